//! What comes back: to the next S-CSCF, or on to the sender.

use std::net::SocketAddr;

use sip::proxy::{self, Cause, Failure};
use sip::{ClientId, Draft, Flow, Instant, Message, Method, Name, Transport, Via};
use trust::{Direction, Service, Trust, answer_as_asked, border};

use super::arrive::{Origin, trust};
use super::leave::iv;
use super::{ICscf, Passage, Way};
use crate::Refusal;

impl ICscf {
    pub(super) fn answered(
        &mut self,
        now: Instant,
        id: ClientId,
        flow: Flow,
        names: &[Box<str>],
        response: Message,
    ) {
        let Some(status) = response.status().filter(|_| self.may_answer(flow)) else { return };
        self.heard(id);
        let Some(relay) = self.proxy.answered(now, &mut self.transactions, id, status) else { return };
        if status >= 200 && self.passed_over(now, id, &relay, &response) {
            return;
        }
        let Some(response) = self.admit_answer(now, flow, names, response) else { return };
        let mut draft = Draft::forward(&response);
        // The others as they came with the request: what they hid or marked there is theirs.
        draft.replace_values(Name::Via, relay.request.values(Name::Via));
        answer_as_asked(&relay.request, &mut draft);
        let Passage { task, way } = &relay.context;
        if let (Way::Exit(_), Some((status, reason))) = (way, proxy::upstream(status)) {
            draft.set_status(status, reason);
        }
        let answer = draft.finish();
        self.memory.answered(&task.message, &answer);
        let answer = self.as_it_leaves(now, &task.origin, answer);
        self.transactions.respond(now, relay.server, answer);
    }

    /// An answer as the sender of the request gets it.
    fn as_it_leaves(&mut self, now: Instant, origin: &Origin, answer: Message) -> Message {
        let Some(interface) = origin.interface else { return answer };
        let entry = self.entry(interface);
        let Self { config, rng, memory, .. } = self;
        let Some(border) = &config.border else { return answer };
        let mut draft = Draft::forward(&answer);
        if answer.first(Name::ServiceRoute).is_some() {
            //= TS 33.203 6.4: the way to an S-CSCF that the other network cannot see
            draft.push_front(Name::ServiceRoute, entry);
        }
        match trust(border, Direction::Outgoing, interface, origin.flow, &origin.names) {
            //= RFC 3325 5
            Trust::Untrusted => {
                let privacy = memory.response(now, &answer);
                border::strip_outgoing(&mut draft, privacy.as_ref(), border.policy);
                // A response cannot be refused: what cannot be done stays undone.
                if let Some(privacy) = privacy {
                    let _ = privacy.execute(&mut draft, Service::Edge);
                }
            }
            Trust::Other => border::strip_charging_host(&mut draft),
            Trust::Own => {}
        }
        let answer = draft.finish();
        let hiding = border.hides_from(origin.flow.remote.ip());
        hiding.and_then(|hiding| hiding.hide(&answer, || iv(rng))).unwrap_or(answer)
    }

    /// The transaction failed.
    pub(super) fn failed(&mut self, now: Instant, id: ClientId, cause: Cause) {
        if let Some(failure) = self.proxy.failed(now, &mut self.transactions, id, cause)
            && !self.silent(now, id, &failure)
        {
            self.gave_up(now, &failure);
        }
    }

    pub(super) fn gave_up(&mut self, now: Instant, failure: &Failure<Passage>) {
        let refusal = match failure.cause {
            Cause::Silent if failure.relay.request.method() == Method::Invite => Refusal::Silent,
            Cause::Silent => Refusal::NoAnswer,
            Cause::Unreachable => Refusal::Unreachable,
            Cause::Cancelled => Refusal::Cancelled,
        };
        self.refuse(now, failure.relay.server, &failure.relay.request, refusal);
    }

    /// An answer to a request that another I-CSCF of this network has forwarded: its way back stands in the message.
    //= TS 33.203 6.4: any of them can decrypt what another encrypted
    pub(super) fn stray(&mut self, now: Instant, flow: Flow, names: &[Box<str>], message: &Message) {
        let alike = self.config.border.as_ref().map(|border| border.alike.as_slice()).unwrap_or_default();
        let of_another = message.top_via().is_ok_and(|via| {
            alike.iter().any(|own| via.host.ip() == Some(own.ip()) && via.port.unwrap_or(5060) == own.port())
        });
        if message.is_request() || !of_another {
            return;
        }
        let Some(message) = self.admit_answer(now, flow, names, message.clone()) else { return };
        let mut draft = Draft::forward(&message);
        draft.remove_first_value(Name::Via);
        let response = draft.finish();
        let Some((to, transport)) = response.top_via().ok().and_then(|via| way_back(&via)) else { return };
        if self.config.trusted_peers.contains(&to.ip()) {
            let local = match transport {
                Transport::Udp => self.config.address,
                _ => SocketAddr::new(self.config.address.ip(), 0),
            };
            let flow = Flow { transport, local, remote: to, connection: None };
            self.transactions.pass(flow, &response);
        }
    }
}

//= RFC 3261 18.2.2
fn way_back(via: &Via<'_>) -> Option<(SocketAddr, Transport)> {
    let address = via.received().or(via.host.ip())?;
    let port = via.rport().flatten().or(via.port).unwrap_or(5060);
    Some((SocketAddr::new(address, port), via.transport()?))
}
