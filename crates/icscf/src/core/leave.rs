//! A request as it leaves: to the inside with no more than our Via; out of the network without what stays here.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sip::proxy::Sender;
use sip::{Draft, Flow, Hop, Instant, Message, Method, Name, Relay, Transport, Uri, routing};
use trust::{Direction, Service, Trust, border};

use super::arrive::{Origin, trust};
use super::route::Target;
use super::{Event, ICscf, Passage, Task, Way};
use crate::Refusal;
use crate::border::{Border, Partner};

/// The way out of the network.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) partner: Partner,
    address: SocketAddr,
    transport: Option<Transport>,
}

impl Exit {
    /// To the partner's entry.
    pub(super) fn first(partner: &Partner) -> Self {
        Self { partner: partner.clone(), address: partner.next_hop, transport: partner.transport }
    }

    /// To the node of the partner that this URI names. Over TLS only its entry is known to be its own.
    pub(super) fn to(partner: &Partner, uri: &Uri<'_>) -> Self {
        let address = uri.host.ip().map(|address| SocketAddr::new(address, uri.port.unwrap_or(5060)));
        match address.filter(|_| partner.transport != Some(Transport::Tls)) {
            Some(address) => {
                let named = uri.transport().filter(|transport| *transport != Transport::Tls);
                Self { partner: partner.clone(), address, transport: named.or(partner.transport) }
            }
            None => Self::first(partner),
        }
    }

    /// What the next hop is to us. Over TLS the shell sends nothing to a peer that does not prove the name.
    pub(super) fn trust(&self, border: &Border) -> Trust {
        let transport = self.transport.unwrap_or(Transport::Udp);
        let flow = Flow { transport, local: self.partner.interface, remote: self.address, connection: None };
        let names = self.partner.certificate.as_slice();
        trust(border, Direction::Outgoing, self.partner.interface, flow, names)
    }
}

impl ICscf {
    /// Sends a request on its way, and remembers it.
    pub(super) fn send(&mut self, now: Instant, task: Task, target: &Target, way: Way) {
        let hop = match self.hop(now, &task.request, &task.message, &task.origin, target) {
            Ok(hop) => hop,
            Err(refusal) => return self.refuse(now, task.server, &task.request, refusal),
        };
        if let (Way::Exit(exit), Some(border)) = (&way, &self.config.border) {
            let trusted = exit.trust(border) != Trust::Untrusted;
            let to = exit.partner.domains.first().cloned().unwrap_or_default();
            self.event(Event::Left { to, trusted });
        }
        let relay =
            Relay { server: task.server, request: task.request.clone(), context: Passage { task, way } };
        if let Err(full) = self.proxy.forward(now, &mut self.transactions, relay, hop) {
            let relay = full.0;
            self.refuse(now, relay.server, &relay.request, Refusal::Overloaded);
        }
    }

    pub(super) fn hop(
        &mut self,
        now: Instant,
        request: &Message,
        message: &Message,
        origin: &Origin,
        target: &Target,
    ) -> Result<Hop, Refusal> {
        match target {
            Target::Inside(address, transport) => self.inward(request, message, origin, *address, *transport),
            Target::Exit(exit) => self.outward(now, request, message, exit),
            Target::SCscf(_) => Err(Refusal::NoPartner),
        }
    }

    /// To a node of this network.
    pub(super) fn inward(
        &mut self,
        request: &Message,
        message: &Message,
        origin: &Origin,
        to: SocketAddr,
        transport: Option<Transport>,
    ) -> Result<Hop, Refusal> {
        let mut draft = Draft::forward(message);
        draft.set(Name::MaxForwards, routing::max_forwards(message)?.to_string());
        if let Some(interface) = origin.interface {
            let (outer, inner) = (self.entry(interface), self.entry(self.config.address));
            if makes_dialog(message) {
                draft.push_front(Name::RecordRoute, outer).push_front(Name::RecordRoute, inner);
            } else if message.method() == Method::Register {
                //= TS 24.229 5.3.1.2: requests to the user leave by the border that his registration came in by
                draft.push_front(Name::Path, inner);
            }
        }
        let branch = self.branch(request);
        let sender = Sender { address: self.config.address, branch: &branch };
        Ok(Hop::new(&mut draft, sender, to, transport, self.config.timers))
    }

    /// To another network.
    fn outward(
        &mut self,
        now: Instant,
        request: &Message,
        message: &Message,
        exit: &Exit,
    ) -> Result<Hop, Refusal> {
        let branch = self.branch(request);
        let (outer, inner) = (self.entry(exit.partner.interface), self.entry(self.config.address));
        let Self { config, rng, memory, .. } = self;
        let border = config.border.as_ref().ok_or(Refusal::NoPartner)?;
        let mut draft = Draft::forward(message);
        draft.set(Name::MaxForwards, routing::max_forwards(message)?.to_string());
        if makes_dialog(message) {
            draft.push_front(Name::RecordRoute, inner).push_front(Name::RecordRoute, outer);
        } else if message.method() == Method::Register {
            draft.push_front(Name::Path, inner).push_front(Name::Path, outer);
        }
        match exit.trust(border) {
            //= RFC 3325 5: what asserts an identity does not leave the trust domain against the sender's will
            Trust::Untrusted => {
                let privacy = memory.request(now, message)?;
                border::strip_outgoing(&mut draft, privacy.as_ref(), border.policy);
                if let Some(privacy) = &privacy {
                    privacy.execute(&mut draft, Service::Edge).map_err(trust::MemoryError::from)?;
                }
            }
            Trust::Other => border::strip_charging_host(&mut draft),
            Trust::Own => {}
        }
        let message = draft.finish();
        let hidden = border.hides(&exit.partner).and_then(|hiding| hiding.hide(&message, || iv(rng)));
        let message = hidden.unwrap_or(message);
        let sender = Sender { address: exit.partner.interface, branch: &branch };
        Ok(Hop::new(&mut Draft::forward(&message), sender, exit.address, exit.transport, config.timers))
    }

    /// Our Record-Route, Path or Service-Route entry.
    pub(super) fn entry(&self, address: SocketAddr) -> String {
        let tls = self.config.border.as_ref().is_some_and(|border| border.secure.contains(&address));
        let transport = if tls { ";transport=tls" } else { "" };
        format!("<sip:{address}{transport};lr>")
    }

    /// Unlike any other, and with what tells a loop.
    //= RFC 3261 16.6
    pub(super) fn branch(&mut self, request: &Message) -> String {
        routing::branch(self.rng.next_u64(), routing::loop_hash(request, self.loop_key))
    }
}

pub(super) fn iv(rng: &mut impl Rng) -> [u8; 16] {
    let mut iv = [0; 16];
    rng.fill_bytes(&mut iv);
    iv
}

/// Whether later requests of what this one begins must come this way.
fn makes_dialog(request: &Message) -> bool {
    matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer)
        && request.to().is_ok_and(|to| to.tag().is_none())
}
