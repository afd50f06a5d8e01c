//! What time does: challenges nobody answers, contacts and subscriptions that end.

use super::{Deregistration, Event, Pending, Scscf, Timer};
use crate::challenge::State;
use crate::subscriptions::{EndReason, SubscriptionId};
use aka::Impi;
use cx::ServerAssignmentType;
use sip::proxy::Cause;
use sip::reginfo::ContactEvent;
use sip::{ClientId, Instant};
use std::time::Duration;

/// How long the nonce of a finished challenge is remembered: the UE repeats its answer no longer (64 T1 on Gm).
pub(super) const SPENT: Duration = Duration::from_secs(128);

impl Scscf {
    pub(super) fn run_timers(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, timer)) = self.timers.pop_first()
        {
            match timer {
                Timer::Attempt(impi) => self.attempt_ended(now, impi),
                Timer::Expiry(impi, binding) => self.binding_expired(now, &impi, binding),
                Timer::Subscription(id) => self.subscription_expired(now, id),
                Timer::Backup(impi) => self.back_up(&impi),
            }
        }
    }

    /// What the transaction layer found out by itself. The Cx answer of a REGISTER whose transaction
    /// is gone finds it gone.
    pub(super) fn transaction_events(&mut self, now: Instant) {
        while let Some(event) = self.transactions.poll_event() {
            match event {
                sip::Event::ClientTimeout(id) => self.client_failed(now, id, Cause::Silent),
                sip::Event::ClientTransportError(id) => self.client_failed(now, id, Cause::Unreachable),
                sip::Event::ServerGone(id) => self.sender_gone(now, id),
            }
        }
        for failure in self.proxy.handle_timeout(now, &mut self.transactions) {
            self.relay_failed(now, failure);
        }
    }

    fn client_failed(&mut self, now: Instant, id: ClientId, cause: Cause) {
        if self.notifies.contains_key(&id) {
            self.notify_answered(now, id, None);
        } else if let Some(failure) = self.proxy.failed(now, &mut self.transactions, id, cause) {
            self.relay_failed(now, failure);
        }
    }

    pub(super) fn arm_attempt(&mut self, impi: &Impi, deadline: Option<Instant>) {
        let Some(attempt) = self.attempts.get_mut(impi) else { return };
        if let Some(old) = std::mem::replace(&mut attempt.deadline, deadline) {
            self.timers.remove(&(old, Timer::Attempt(impi.clone())));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, Timer::Attempt(impi.clone())));
        }
    }

    /// reg-await-auth, or the memory of a spent nonce, is over.
    fn attempt_ended(&mut self, now: Instant, impi: Impi) {
        let Some(mut attempt) = self.attempts.remove(&impi) else { return };
        let State::Waiting(challenge) = attempt.state else {
            if self.registrar.user(&impi).is_none() {
                self.vectors.forget(&impi);
            }
            return;
        };
        let impu = attempt.impu.clone();
        attempt.state = State::Spent { nonce: challenge.nonce };
        attempt.deadline = None;
        self.attempts.insert(impi.clone(), attempt);
        self.arm_attempt(&impi, Some(now + SPENT));
        //= TS 24.229 5.4.1.2.3
        self.report(ServerAssignmentType::AuthenticationTimeout, &impi, &impu);
        self.event(Event::AuthenticationTimedOut { impi, impu });
    }

    fn binding_expired(&mut self, now: Instant, impi: &Impi, number: u64) {
        if self.demand_again(now, impi, number) {
            return;
        }
        let Some(user) = self.registrar.user(impi).filter(|user| user.binding(number).is_some()) else {
            return;
        };
        let impu = user.impu.clone();
        if user.bindings.len() == 1 {
            let request = self.assignment(ServerAssignmentType::TimeoutDeregistration, impi, &impu);
            self.ask(cx::Request::Sar(request), Pending::Report);
            let cause = Deregistration::Expiry;
            self.event(Event::Deregistered { impi: impi.clone(), impu, cause });
        }
        let notice = self.unbind(impi, |binding| binding.number == number, ContactEvent::Expired, None);
        self.tell(now, &notice);
        self.back_up_later(now, impi);
    }

    fn subscription_expired(&mut self, now: Instant, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.tell_all();
            subscription.end(EndReason::Timeout);
        }
        self.notify(now, id);
    }
}
