//! Subscriptions between users: those we have made with SUBSCRIBE, and those that others have made here.
//!
//! Ours are not refreshed: a UE that is told to subscribe does so for the time it was told.

use std::time::Duration;

use sip::{ClientId, Dialog, Instant, Message, Method, Name, SubscriptionState};

use super::asked::{Asked, Verdict};
use super::{Identity, Ue};

/// Of each kind at once.
const MOST: usize = 32;
/// Seconds that a subscription lasts at most, and when nobody says how long.
const EXPIRES: u32 = 3600;
/// A NOTIFY may come this long before the answer to its SUBSCRIBE, or instead of it.
//= RFC 6665 4.1.2.4: Timer N
const NOTIFY_WAIT: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Events {
    watches: Vec<Watch>,
    watchers: Vec<Watcher>,
}

/// A subscription of ours.
#[derive(Debug)]
struct Watch {
    request: Message,
    /// Once the answer or a NOTIFY has made it.
    dialog: Option<Dialog>,
    ends: Instant,
}

/// A subscription to us.
#[derive(Debug)]
struct Watcher {
    dialog: Dialog,
    /// As the SUBSCRIBE has it, with its id.
    event: String,
    ends: Instant,
    /// The NOTIFY that waits for its answer.
    notify: Option<ClientId>,
}

impl Watch {
    /// Takes a NOTIFY that belongs here; the first may make the dialog.
    fn take(&mut self, notify: &Message) -> Option<Verdict> {
        if self.dialog.is_none() && self.is_first(notify) {
            let dialog = Dialog::from_notify(&self.request, notify);
            self.dialog = dialog.ok();
            return Some(if self.dialog.is_some() {
                Verdict::ok()
            } else {
                Verdict::new(400, "Bad Request")
            });
        }
        let dialog = self.dialog.as_mut().filter(|dialog| dialog.owns(notify))?;
        Some(match dialog.take(notify) {
            Ok(()) => Verdict::ok(),
            Err(_) => Verdict::new(500, "Server Internal Error"),
        })
    }

    fn is_first(&self, notify: &Message) -> bool {
        let ours = self.request.from().ok().and_then(|from| from.tag());
        notify.call_id() == self.request.call_id()
            && ours.is_some()
            && notify.to().is_ok_and(|to| to.tag() == ours)
    }
}

impl Ue {
    /// A SUBSCRIBE of ours has left: its NOTIFY may overtake the answer.
    pub(super) fn watch(&mut self, now: Instant, request: &Message) {
        if self.events.watches.len() >= MOST {
            self.events.watches.remove(0);
        }
        let ends = now + self.config.timers.t1 * NOTIFY_WAIT;
        self.events.watches.push(Watch { request: request.clone(), dialog: None, ends });
    }

    /// The final answer to it, or that there is none.
    pub(super) fn watch_answered(&mut self, now: Instant, request: &Message, response: Option<&Message>) {
        let call_id = request.call_id();
        let accepted = response.filter(|response| response.status().is_some_and(|status| status < 300));
        let Some(response) = accepted else {
            return self.events.watches.retain(|watch| watch.request.call_id() != call_id);
        };
        let mut watches = self.events.watches.iter_mut();
        let Some(watch) = watches.find(|watch| watch.request.call_id() == call_id) else { return };
        if watch.dialog.is_none() {
            watch.dialog = Dialog::uac(request, response).ok();
        }
        let asked = request.expires().unwrap_or(EXPIRES);
        watch.ends = now + Duration::from_secs(response.expires().unwrap_or(asked).min(asked).into());
        watch.ends = watch.ends.max(now + self.config.timers.t1 * NOTIFY_WAIT);
    }

    /// Whether this NOTIFY belongs to a subscription that a command has made; then it is answered.
    pub(super) fn watch_notified(&mut self, now: Instant, asked: &Asked) -> bool {
        let taken = self
            .events
            .watches
            .iter_mut()
            .enumerate()
            .find_map(|(at, watch)| watch.take(&asked.request).map(|verdict| (at, verdict)));
        let Some((at, verdict)) = taken else { return false };
        let last = SubscriptionState::of(&asked.request).is_some_and(|state| state.is_terminated());
        if last && verdict.status == 200 {
            self.events.watches.remove(at);
        }
        self.answer(now, asked, &verdict, None);
        true
    }

    /// A SUBSCRIBE to one of our packages, or one that refreshes or ends a subscription.
    //= RFC 6665 4.2.1
    pub(super) fn subscribed_to(&mut self, now: Instant, asked: &Asked) {
        let request = &asked.request;
        let package = sip::dialog::event_package(request);
        let known = self.config.answering.packages.iter().any(|one| package == Some(one));
        let at = self.events.watchers.iter().position(|watcher| watcher.dialog.owns(request));
        let begins = request.to().is_ok_and(|to| to.tag().is_none());
        let refusal = match at {
            _ if !known => {
                let verdict = Verdict::new(489, "Bad Event");
                Some(match self.config.answering.packages.join(", ") {
                    packages if packages.is_empty() => verdict,
                    packages => verdict.with(Name::AllowEvents, packages),
                })
            }
            None if !begins => Some(Verdict::no_dialog()),
            None if self.events.watchers.len() >= MOST => Some(Verdict::new(480, "Temporarily Unavailable")),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return self.answer(now, asked, &refusal, None);
        }
        match self.enter_watcher(now, request, at) {
            Ok((watcher, expires)) => self.accept_watcher(now, asked, watcher, expires),
            Err(verdict) => self.answer(now, asked, &verdict, None),
        }
    }

    /// The subscription as this SUBSCRIBE leaves it, taken out of the table.
    fn enter_watcher(
        &mut self,
        now: Instant,
        request: &Message,
        at: Option<usize>,
    ) -> Result<(Watcher, u32), Verdict> {
        let expires = request.expires().unwrap_or(EXPIRES).min(EXPIRES);
        let ends = now + Duration::from_secs(expires.into());
        if let Some(at) = at {
            let taken = self.events.watchers.get_mut(at).map(|watcher| watcher.dialog.take(request));
            if !matches!(taken, Some(Ok(()))) {
                return Err(Verdict::new(500, "Server Internal Error"));
            }
            let watcher = self.events.watchers.remove(at);
            return Ok((Watcher { ends, ..watcher }, expires));
        }
        let tag = self.token();
        let dialog = Dialog::uas(request, &tag).map_err(|_| Verdict::new(400, "Bad Request"))?;
        let event = request.first(Name::Event).unwrap_or_default().to_owned();
        Ok((Watcher { dialog, event, ends, notify: None }, expires))
    }

    fn accept_watcher(&mut self, now: Instant, asked: &Asked, watcher: Watcher, expires: u32) {
        let contact = self.current_contact();
        let mut draft = self.reply(&asked.request, 200, "OK", &watcher.dialog.local_tag);
        for route in asked.request.lines(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route);
        }
        draft.push(Name::Contact, contact).push(Name::Expires, expires.to_string());
        let response = draft.finish();
        self.respond_to(now, asked, response);
        self.received_step(&asked.request, None, Some(200));
        let state = if expires == 0 {
            "terminated;reason=timeout".to_owned()
        } else {
            format!("active;expires={expires}")
        };
        //= RFC 6665 4.2.1.2: a NOTIFY follows at once
        self.notify_watcher(now, watcher, state);
    }

    /// Sends a NOTIFY, and keeps the subscription unless it ends with it.
    fn notify_watcher(&mut self, now: Instant, mut watcher: Watcher, state: String) {
        let last = state.starts_with("terminated");
        let answering = &self.config.answering;
        let identity = Identity {
            preferred: answering.preferred.iter().cloned().collect(),
            privacy: answering.privacy.clone(),
            ..Identity::default()
        };
        let mut draft = watcher.dialog.request(Method::Notify);
        super::outside::add_identity(&mut draft, &identity);
        draft
            .push(Name::Contact, self.current_contact())
            .push(Name::Event, watcher.event.clone())
            .push(Name::SubscriptionState, state);
        watcher.notify = self.send_protected(now, draft).ok().map(|departure| departure.client);
        if !last {
            self.events.watchers.push(watcher);
        }
    }

    /// The answer to a NOTIFY of ours: who does not know the subscription has none.
    pub(super) fn notify_answered(&mut self, client: ClientId, status: u16) {
        if matches!(status, 408 | 481) {
            self.events.watchers.retain(|watcher| watcher.notify != Some(client));
        }
    }

    pub(super) fn events_next_timeout(&self) -> Option<Instant> {
        let watches = self.events.watches.iter().map(|watch| watch.ends);
        watches.chain(self.events.watchers.iter().map(|watcher| watcher.ends)).min()
    }

    pub(super) fn events_timeout(&mut self, now: Instant) {
        self.events.watches.retain(|watch| watch.ends > now);
        while let Some(at) = self.events.watchers.iter().position(|watcher| watcher.ends <= now) {
            let watcher = self.events.watchers.remove(at);
            self.notify_watcher(now, watcher, "terminated;reason=timeout".to_owned());
        }
    }
}
