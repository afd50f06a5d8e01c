//! CANCEL, and the ACK of a 2xx: what has no answer of its own.

use super::Mark;
use crate::Refusal;
use crate::core::Scscf;
use sip::proxy::Sender;
use sip::{Draft, Flow, Instant, Message, ServerId};

impl Scscf {
    /// The sender takes an INVITE back.
    //= RFC 3261 16.10
    pub(in crate::core) fn cancelled(
        &mut self,
        now: Instant,
        flow: &Flow,
        id: ServerId,
        invite: Option<ServerId>,
        cancel: &Message,
    ) {
        let trusted = self.config.trusted_peers.contains(&flow.remote.ip());
        let Some(invite) = invite.filter(|_| trusted) else {
            let refusal = if trusted { Refusal::NothingToCancel } else { Refusal::UntrustedPeer };
            return self.refuse_message(now, id, cancel, None, refusal);
        };
        let tag = self.tag();
        let answer = Draft::reply(cancel, 200, "OK", Some(&tag)).finish();
        self.transactions.respond(now, id, answer);
        if self.proxy.cancel(now, &mut self.transactions, invite, cancel).is_none() {
            self.taken_back.insert(invite);
        } else if let Some(request) = self.waiting.remove(&invite) {
            self.refuse_message(now, invite, &request, None, Refusal::TakenBack);
        }
    }

    /// Travels on by its Route; nothing answers it.
    //= RFC 3261 16.11
    pub(in crate::core) fn pass_ack(&mut self, flow: &Flow, ack: &Message) {
        let branch = self.branch(ack);
        let sender = Sender { address: flow.local, branch: &branch };
        if self.check(flow, ack).is_err() {
            return;
        }
        let Ok((draft, Some(mark))) = self.arrived(ack, flow.local) else { return };
        if mark == Mark::Originating {
            return;
        }
        if let Ok((hop, _)) = self.within(draft, sender) {
            self.transactions.pass(hop.flow, &hop.message);
        }
    }
}
