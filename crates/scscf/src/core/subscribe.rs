//! Who may watch whom, and the life of a subscription (RFC 3680, RFC 6665; TS 24.229 5.4.2.1).

use super::restore::Waiting;
use super::{Event, Scscf, Timer};
use crate::registrar::Registration;
use crate::subscribe::{Place, Subscribe};
use crate::subscriptions::{EndReason, Subscription, SubscriptionId};
use crate::{Refusal, answer};
use aka::Impu;
use rand_chacha::rand_core::Rng;
use sip::{Dialog, DialogError, Instant};
use std::time::Duration;

impl Scscf {
    /// The answer first, then at once the NOTIFY.
    //= RFC 6665 4.2.1.2
    pub(super) fn subscribe(&mut self, now: Instant, subscribe: Subscribe) {
        let unknown = match &subscribe.place {
            Place::Outside(impu) => Some(impu.clone()),
            // A dialog that this S-CSCF had before it lost its memory.
            Place::Inside(id) if self.subscriptions.get(*id).is_none() => subscribe.watched(),
            Place::Inside(_) => None,
        };
        let unknown = unknown.filter(|impu| !self.registrar.is_registered(impu));
        if let Some(impu) = unknown.filter(|_| self.config.restoration.is_some() && !subscribe.restored) {
            return self.ask_what_was(None, &impu, Waiting::Subscribe(subscribe));
        }
        let done = match &subscribe.place {
            Place::Outside(impu) => self.open(now, &subscribe, impu),
            Place::Inside(id) => self.prolong(now, &subscribe, *id),
        };
        if let Err(refusal) = done {
            self.refuse_message(now, subscribe.id, &subscribe.message, None, refusal);
        }
    }

    fn open(&mut self, now: Instant, subscribe: &Subscribe, impu: &Impu) -> Result<(), Refusal> {
        let subscriber = self.may_watch(subscribe, impu)?;
        let peer = subscribe.peer(&self.config)?;
        let oldest = self.subscriptions.to_replace(impu, &subscriber, self.config.limits.subscriptions_each);
        if self.subscriptions.len() >= self.config.limits.subscriptions {
            return Err(Refusal::Overloaded);
        }
        let id = SubscriptionId(self.rng.next_u64());
        let dialog = Dialog::uas(&subscribe.message, &id.tag()).map_err(|_| Refusal::SubscribeMalformed)?;
        let subscription =
            Subscription::new(dialog, subscribe.event(), impu.clone(), subscriber.clone(), peer, now);
        self.subscriptions.insert(id, subscription);
        self.grant(now, subscribe, id);
        let expires = subscribe.expires;
        self.event(Event::Subscribed { impu: impu.clone(), subscriber, expires });
        self.notify(now, id);
        if let Some(oldest) = oldest {
            self.end_subscription(now, oldest, EndReason::Rejected);
        }
        self.back_up_owners(now, impu);
        Ok(())
    }

    fn prolong(&mut self, now: Instant, subscribe: &Subscribe, id: SubscriptionId) -> Result<(), Refusal> {
        let known = self.subscriptions.get_mut(id).filter(|one| {
            one.ended.is_none() && one.event == subscribe.event() && one.dialog.owns(&subscribe.message)
        });
        let subscription = known.ok_or(Refusal::DialogUnknown)?;
        match subscription.dialog.take(&subscribe.message) {
            Ok(()) => {}
            Err(DialogError::OutOfOrder) => return Err(Refusal::DialogOutOfOrder),
            Err(_) => return Err(Refusal::SubscribeMalformed),
        }
        subscription.tell_all();
        self.grant(now, subscribe, id);
        self.notify(now, id);
        Ok(())
    }

    /// 200, and the time the subscription has from now on. No time at all: its next NOTIFY is its last.
    //= RFC 6665 4.2.1.4
    fn grant(&mut self, now: Instant, subscribe: &Subscribe, id: SubscriptionId) {
        let expires = subscribe.expires;
        let response = answer::subscribed(&subscribe.message, &self.config, expires, &id.tag());
        self.transactions.respond(now, subscribe.id, response);
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        self.timers.remove(&(subscription.until, Timer::Subscription(id)));
        subscription.until = now + Duration::from_secs(expires.into());
        if expires == 0 {
            subscription.end(EndReason::Timeout);
        } else {
            self.timers.insert((subscription.until, Timer::Subscription(id)));
        }
    }

    pub(super) fn end_subscription(&mut self, now: Instant, id: SubscriptionId, reason: EndReason) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.tell_all();
            subscription.end(reason);
        }
        self.notify(now, id);
    }

    /// The subscriber's name, when it is of the identity's own set, or the P-CSCF the identity registered through.
    //= TS 24.229 5.4.2.1.1
    fn may_watch(&self, subscribe: &Subscribe, impu: &Impu) -> Result<String, Refusal> {
        if !self.registrar.is_registered(impu) {
            return Err(Refusal::IdentityNotRegistered);
        }
        let owners: Vec<&Registration> = self
            .registrar
            .owners(impu)
            .map(|(_, user)| user)
            // A barred identity is nobody's to watch.
            .filter(|user| user.identities.associated.contains(impu))
            .collect();
        let asserted = subscribe.asserted().filter_map(|uri| Impu::new(&uri.identity()).ok());
        let mut of_set =
            asserted.filter(|asked| owners.iter().any(|user| user.identities.associated.contains(asked)));
        if let Some(asked) = of_set.next() {
            return Ok(asked.as_str().to_owned());
        }
        let bindings = owners.iter().flat_map(|user| &user.bindings);
        let paths = bindings.flat_map(|binding| &binding.path).map(String::as_str);
        let proxy = subscribe.is_from_proxy(paths).then(|| subscribe.asserted().next()).flatten();
        proxy.map(|uri| uri.identity()).ok_or(Refusal::SubscriberNotAllowed)
    }
}
