//! One way a request can leave: the message with our Via, the flow, and what to do where that fails.

use std::net::SocketAddr;

use crate::{Draft, Flow, Message, Name, Timers, Transport};

/// A request over this must not leave by UDP unless its URI or a failure says so.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

/// A request ready to leave.
#[derive(Debug)]
pub struct Hop {
    /// With our Via on top.
    pub message: Message,
    pub flow: Flow,
    pub timers: Timers,
    /// The same request, for where this one cannot be delivered.
    pub instead: Option<Box<Hop>>,
}

/// Whose Via goes on top.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Where requests leave, and answers over UDP come.
    pub address: SocketAddr,
    pub branch: &'a str,
}

impl Hop {
    /// To this address: by the transport that its URI names, else by UDP, or TCP where the request is too large for
    /// that. What leaves over TCP for its size alone falls back to UDP where TCP is refused.
    //= RFC 3261 18.1.1
    pub fn new(
        draft: &mut Draft<'_>,
        sender: Sender<'_>,
        to: SocketAddr,
        named: Option<Transport>,
        timers: Timers,
    ) -> Self {
        if let Some(transport) = named {
            return Self::over(transport, draft, sender, to, timers);
        }
        let mut hop = Self::over(Transport::Udp, draft, sender, to, timers);
        if hop.message.bytes().len() > UDP_LIMIT {
            let instead = Some(Box::new(hop));
            hop = Self { instead, ..Self::over(Transport::Tcp, draft, sender, to, timers) };
        }
        hop
    }

    fn over(
        transport: Transport,
        draft: &mut Draft<'_>,
        sender: Sender<'_>,
        to: SocketAddr,
        timers: Timers,
    ) -> Self {
        let Sender { address, branch } = sender;
        draft.push_front(Name::Via, format!("SIP/2.0/{} {address};branch={branch}", transport.as_str()));
        let message = draft.finish();
        draft.remove_first_value(Name::Via);
        let local = if transport.is_reliable() { SocketAddr::new(address.ip(), 0) } else { address };
        let flow = Flow { transport, local, remote: to, connection: None };
        Self { message, flow, timers, instead: None }
    }
}
