//! The way back: answers pass on, and the next contact is tried where one does not take the request.

use super::terminating::Target;
use crate::Refusal;
use crate::answer;
use crate::core::Scscf;
use sip::proxy::{self, Cause, Failure, Relay, Sender};
use sip::{ClientId, Draft, Instant, Message, Name, ServerId};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the answer to a request must find again.
#[derive(Debug, Default)]
pub(in crate::core) struct Leg {
    /// It goes to a user of ours.
    to_user: bool,
    /// The contacts that have not been tried.
    others: VecDeque<Target>,
    /// The answer of one that has been.
    best: Option<Message>,
}

impl Leg {
    pub(super) fn transparent() -> Self {
        Self::default()
    }

    pub(super) fn to_user(others: VecDeque<Target>) -> Self {
        Self { to_user: true, others, best: None }
    }
}

impl Scscf {
    /// A response to a request of ours that is no NOTIFY.
    //= RFC 3261 16.7
    pub(in crate::core) fn relay_answered(&mut self, now: Instant, id: ClientId, response: &Message) {
        let Some(status) = response.status() else { return };
        let Some(relay) = self.proxy.answered(now, &mut self.transactions, id, status) else { return };
        // It is this contact that is not there, not the user.
        if matches!(status, 408 | 430 | 480 | 503) && self.try_next(now, &relay, Some(response)) {
            return;
        }
        let best =
            if status < 300 { Some(response) } else { better(relay.context.best.as_ref(), Some(response)) };
        self.answer_with(now, &relay, best.unwrap_or(response));
    }

    /// Nobody answered, or the request could not leave.
    pub(in crate::core) fn relay_failed(&mut self, now: Instant, failure: Failure<Leg>) {
        let Failure { relay, cause, .. } = failure;
        if cause != Cause::Cancelled && self.try_next(now, &relay, None) {
            return;
        }
        if let Some(best) = relay.context.best.clone().filter(|_| cause != Cause::Cancelled) {
            return self.answer_with(now, &relay, &best);
        }
        let refusal = match cause {
            Cause::Silent => Refusal::NextHopSilent,
            Cause::Unreachable => Refusal::NextHopUnreachable,
            Cause::Cancelled => Refusal::TakenBack,
        };
        self.taken_back.remove(&relay.server);
        self.refuse_message(now, relay.server, &relay.request, None, refusal);
    }

    /// The caller's INVITE has ended by itself.
    pub(in crate::core) fn sender_gone(&mut self, now: Instant, server: ServerId) {
        self.waiting.remove(&server);
        self.proxy.sender_gone(now, &mut self.transactions, server);
    }

    /// Whether there is another contact, and the request on its way there.
    fn try_next(&mut self, now: Instant, relay: &Arc<Relay<Leg>>, response: Option<&Message>) -> bool {
        let Leg { to_user, others, best } = &relay.context;
        if others.is_empty() || self.taken_back.contains(&relay.server) {
            return false;
        }
        let Some(flow) = self.transactions.request_flow(relay.server) else { return false };
        let branch = self.branch(&relay.request);
        let sender = Sender { address: flow.local, branch: &branch };
        let Ok((draft, _)) = self.arrived(&relay.request, flow.local) else { return false };
        let mut others = others.clone();
        let Some(hop) = self.to_next(&relay.request, draft, sender, &mut others) else { return false };
        let best = better(best.as_ref(), response).cloned();
        let context = Leg { to_user: *to_user, others, best };
        self.send_on(now, Relay { server: relay.server, request: relay.request.clone(), context }, hop);
        true
    }

    fn answer_with(&mut self, now: Instant, relay: &Relay<Leg>, response: &Message) {
        let status = response.status().unwrap_or(500);
        if status >= 200 {
            self.taken_back.remove(&relay.server);
        }
        let tag = self.tag();
        let mut draft = match proxy::upstream(status) {
            Some((status, reason)) => Draft::reply(&relay.request, status, reason, Some(&tag)),
            None => {
                let mut draft = Draft::forward(response);
                draft.remove_first_value(Name::Via);
                draft
            }
        };
        if relay.context.to_user
            && let Some(vector) = answer::charging_vector(&relay.request, &self.config)
        {
            //= TS 24.229 5.4.3.3
            draft.set(Name::PChargingVector, vector);
        }
        let answer = draft.finish();
        self.transactions.respond(now, relay.server, answer);
    }
}

/// The answer that says more to the caller: 6xx, else of the lower class, else the later one.
//= RFC 3261 16.7
fn better<'a>(earlier: Option<&'a Message>, later: Option<&'a Message>) -> Option<&'a Message> {
    let class = |message: &&Message| match message.status().unwrap_or(500) / 100 {
        6 => 0,
        class => class,
    };
    later.into_iter().chain(earlier).min_by_key(class)
}
