//! What leaves for the core network: where to, and with which Via.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sip::routing::branch;
use sip::{Draft, Flow, Message, Name, Transport, Uri};

use super::{PCscf, Refusal};

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

impl PCscf {
    /// Puts our Via on top of what goes to the core network, for UDP or, where it is too large for that, TCP.
    pub(super) fn toward_mw(&mut self, draft: &mut Draft<'_>, to: SocketAddr) -> (Message, Flow) {
        let mw = self.config.mw;
        let (message, transport) = self.with_via(draft, mw);
        match transport {
            Transport::Udp => (message, Flow::udp(mw, to)),
            _ => (message, Flow::tcp(SocketAddr::new(mw.ip(), 0), to)),
        }
    }

    pub(super) fn with_via(&mut self, draft: &mut Draft<'_>, sent_by: SocketAddr) -> (Message, Transport) {
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        let via = |transport: Transport| format!("SIP/2.0/{} {sent_by};branch={branch}", transport.as_str());
        draft.push_front(Name::Via, via(Transport::Udp));
        let message = draft.finish();
        if message.bytes().len() <= UDP_LIMIT {
            return (message, Transport::Udp);
        }
        draft.remove_first_value(Name::Via).push_front(Name::Via, via(Transport::Tcp));
        (draft.finish(), Transport::Tcp)
    }

    /// Where a request towards the core network goes: its top Route, else its Request-URI.
    pub(super) fn mw_hop(&self, request: &Message) -> Result<SocketAddr, Refusal> {
        let target = match request.address(Name::Route) {
            Ok(route) => route.uri,
            Err(_) => request.request_uri().unwrap_or_default(),
        };
        let target = Uri::parse(target).map_err(|error| Refusal::Routing(error.into()))?;
        self.config.next_hop(&target).ok_or(Refusal::NoRoute)
    }

    pub(super) fn charging_vector(&mut self) -> String {
        let icid = self.token();
        format!("icid-value={icid};orig-ioi={}", sip::text::quote(&self.config.network))
    }
}
