//! The subscription to our own registration state: the event package reg.

use std::net::SocketAddr;
use std::time::Duration;

use sip::reginfo::{self, ContactEvent, ContactInfo, Reginfo};
use sip::{
    ClientId, Dialog, DialogError, Draft, Flow, Instant, Message, Method, Name, SubscriptionState, Uri,
};

use super::answer::refresh_after;
use super::recovery::PROBATION;
use super::sets::{Sets, Via};
use super::{Command, Config, Failure, Notice, Step, Ue};

/// Seconds asked for.
//= TS 24.229 5.1.1.3
const EXPIRES: u32 = 600_000;

/// A subscription is held to last at least so many seconds.
const SHORTEST: u32 = 60;

/// What a NOTIFY is answered with.
type Status = (u16, &'static str);

/// What the UE does once the NOTIFY is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    Nothing,
    /// Fetch the full state.
    Refresh,
    /// Subscribe anew.
    Subscribe,
}

const OK: Status = (200, "OK");
const UNKNOWN: Status = (481, "Subscription Does Not Exist");
const BAD_REQUEST: Status = (400, "Bad Request");

#[derive(Debug)]
pub(super) struct Subscription {
    call_id: Box<str>,
    /// Our SUBSCRIBE until the dialog is made of it.
    request: Option<Message>,
    dialog: Option<Dialog>,
    /// The SUBSCRIBE that waits for its answer, and what it went over.
    pending: Option<(ClientId, Via)>,
    /// Of the last document.
    version: Option<u32>,
    refresh: Option<Instant>,
    ends: Instant,
}

impl Subscription {
    pub(super) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// For an answer, or for the first document.
    pub(super) fn waits(&self) -> bool {
        self.pending.is_some() || self.version.is_none()
    }

    pub(super) fn waits_for(&self, id: ClientId) -> bool {
        self.pending.is_some_and(|(client, _)| client == id)
    }

    pub(super) fn may_be_answered(&self, config: &Config, sets: &Sets, flow: &Flow) -> bool {
        self.pending.is_some_and(|(_, via)| via.may_answer(config, sets, flow))
    }

    pub(super) fn next_timeout(&self) -> Instant {
        self.refresh.unwrap_or(self.ends).min(self.ends)
    }

    /// Finds the dialog of a NOTIFY, which may have come before the answer to our SUBSCRIBE and then makes it.
    //= RFC 6665 4.1.2.4
    fn take(&mut self, notify: &Message) -> Result<(), Status> {
        match &mut self.dialog {
            Some(dialog) if dialog.owns(notify) => dialog.take(notify).map_err(|error| match error {
                DialogError::OutOfOrder => (500, "Server Internal Error"),
                _ => BAD_REQUEST,
            }),
            Some(_) => Err(UNKNOWN),
            None => {
                let request = self.request.as_ref().ok_or(UNKNOWN)?;
                let tag = request.from().ok().and_then(|from| from.tag());
                let ours = notify.call_id() == &*self.call_id
                    && tag.is_some()
                    && notify.to().is_ok_and(|to| to.tag() == tag);
                if !ours {
                    return Err(UNKNOWN);
                }
                self.dialog = Some(Dialog::from_notify(request, notify).map_err(|_| BAD_REQUEST)?);
                self.request = None;
                Ok(())
            }
        }
    }

    /// Whether this document tells something new; and, besides, whether one before it is missing.
    //= RFC 3680 5.2: an old version is ignored, after a gap the full state is fetched
    fn follows(&mut self, document: &Reginfo) -> (bool, bool) {
        if self.version.is_some_and(|last| document.version <= last) {
            return (false, false);
        }
        let next = self.version.map_or(0, |last| last.saturating_add(1));
        let gap = !document.full && document.version != next;
        self.version = Some(document.version);
        (true, gap)
    }
}

impl Ue {
    /// After a registration: subscribes, unless the subscription is still there.
    pub(super) fn subscribe(&mut self, now: Instant) {
        if !self.config.subscribe || self.subscription.is_some() {
            return;
        }
        let (Some(registration), Some(set)) = (&self.registration, self.sets.current()) else { return };
        let p_cscf = set.associations.uc_to_ps.destination;
        let routes: Vec<String> =
            registration.service_route.iter().map(|route| format!("<{route}>")).collect();
        let identity = self.identity();
        let (call_id, tag) = (self.token(), self.token());
        let mut draft = Draft::request(Method::Subscribe, identity.clone());
        //= TS 24.229 5.1.2A: the P-CSCF with its protected server port, then the Service-Route
        draft.push(Name::Route, format!("<sip:{p_cscf};lr>"));
        for route in routes {
            draft.push(Name::Route, route);
        }
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{identity}>;tag={tag}"))
            .push(Name::To, format!("<{identity}>"))
            .push(Name::CallId, call_id.to_string())
            .push(Name::CSeq, "1 SUBSCRIBE");
        let Some((sent, request)) = self.send_subscribe(now, draft) else {
            return self.step(Step::NotSubscribed(Failure::CannotSend));
        };
        self.subscription = Some(Subscription {
            call_id,
            request: Some(request),
            dialog: None,
            pending: Some(sent),
            version: None,
            refresh: None,
            ends: now + Duration::from_secs(EXPIRES.into()),
        });
    }

    /// Refreshes the subscription, and with it fetches the full state.
    fn resubscribe(&mut self, now: Instant) {
        let Some(subscription) = &mut self.subscription else { return };
        subscription.refresh = None;
        let Some(dialog) = subscription.dialog.as_mut().filter(|_| subscription.pending.is_none()) else {
            return;
        };
        let draft = dialog.request(Method::Subscribe);
        let sent = self.send_subscribe(now, draft);
        match (sent, &mut self.subscription) {
            (Some((sent, _)), Some(subscription)) => subscription.pending = Some(sent),
            _ => self.step(Step::NotSubscribed(Failure::CannotSend)),
        }
    }

    fn send_subscribe(&mut self, now: Instant, mut draft: Draft<'_>) -> Option<((ClientId, Via), Message)> {
        let via = Via::Set(self.sets.current()?.id);
        draft
            .push(Name::Contact, format!("<{}>", self.contact(via)))
            .push(Name::Event, reginfo::PACKAGE)
            .push(Name::Accept, reginfo::MIME)
            .push(Name::Expires, EXPIRES.to_string())
            .push(Name::PPreferredIdentity, format!("<{}>", self.identity()));
        self.add_security(&mut draft, via);
        let (client, message) = self.send_request(now, via, draft)?;
        Some(((client, via), message))
    }

    /// The default public identity, as the network said.
    //= TS 24.229 5.1.1.2: the first entry of P-Associated-URI is the default public identity
    pub(super) fn identity(&self) -> String {
        let first = self.registration.as_ref().and_then(|registration| registration.associated_uris.first());
        first.map_or(self.config.impu.as_str(), |uri| uri).to_owned()
    }

    pub(super) fn subscribe_answered(&mut self, now: Instant, status: u16, response: &Message) {
        let Some(subscription) = &mut self.subscription else { return };
        subscription.pending = None;
        if !(200..300).contains(&status) {
            let reason = response.reason().unwrap_or_default().into();
            let known = subscription.dialog.is_some();
            let failure = Failure::Rejected { status, reason, retry_after: retry_after(response) };
            self.subscribe_failed(failure);
            // Nobody is registered there who could be told about: the registration has ended unheard.
            if !known && (status == 404 || status == 403 && self.doubtful) {
                return self.ended(now, Some(Duration::ZERO));
            }
            //= RFC 6665 4.1.2.2: after 481 the subscription is made anew
            if status == 481 && known {
                self.subscription = None;
                self.subscribe(now);
            }
            return;
        }
        if subscription.dialog.is_none() {
            let dialog = subscription.request.as_ref().map(|request| Dialog::uac(request, response));
            match dialog {
                Some(Ok(dialog)) => subscription.dialog = Some(dialog),
                _ => return self.subscribe_failed(Failure::BadAnswer("the 200 makes no dialog")),
            }
        }
        subscription.request = None;
        let expires = response.expires().unwrap_or(EXPIRES).min(EXPIRES);
        subscription.lasts(now, expires, self.config.refresh_subscription);
        self.doubtful = false;
        self.step(Step::Subscribed { expires });
    }

    /// Without a dialog there is no subscription; one that could not be refreshed lasts as long as it lasts.
    pub(super) fn subscribe_failed(&mut self, failure: Failure) {
        if let Some(subscription) = &mut self.subscription {
            subscription.pending = None;
            if subscription.dialog.is_none() {
                self.subscription = None;
            }
        }
        self.step(Step::NotSubscribed(failure));
    }

    pub(super) fn subscription_timeout(&mut self, now: Instant) {
        let Some(subscription) = &self.subscription else { return };
        if subscription.ends <= now {
            self.subscription = None;
            self.subscribe(now);
        } else if subscription.refresh.is_some_and(|at| at <= now) {
            self.resubscribe(now);
        }
    }

    /// A NOTIFY that came over a set in force: what it is answered with, and what follows then.
    pub(super) fn notified(&mut self, now: Instant, notify: &Message) -> (Status, FollowUp) {
        match self.take_notify(now, notify) {
            Ok(follow_up) => (OK, follow_up),
            Err(status) => (status, FollowUp::Nothing),
        }
    }

    pub(super) fn follow_up(&mut self, now: Instant, follow_up: FollowUp) {
        match follow_up {
            FollowUp::Nothing => {}
            FollowUp::Refresh => self.resubscribe(now),
            FollowUp::Subscribe => self.subscribe(now),
        }
    }

    fn take_notify(&mut self, now: Instant, notify: &Message) -> Result<FollowUp, Status> {
        if sip::dialog::event_package(notify) != Some(reginfo::PACKAGE) {
            return Err((489, "Bad Event"));
        }
        let subscription = self.subscription.as_mut().ok_or(UNKNOWN)?;
        subscription.take(notify)?;
        let state = SubscriptionState::of(notify).ok_or(BAD_REQUEST)?;
        let document = match notify.body() {
            [] => None,
            body => Some(Reginfo::parse(body).map_err(|_| BAD_REQUEST)?),
        };
        let (is_new, gap) =
            document.as_ref().map_or((true, false), |document| subscription.follows(document));
        if state.is_terminated() {
            self.subscription = None;
        } else if let Some(expires) = state.expires {
            subscription.lasts(now, expires, self.config.refresh_subscription);
        }
        if is_new {
            let news = document.as_ref().and_then(|document| self.own_contact(document)).cloned();
            self.step(Step::Notified(Notice {
                version: document.as_ref().map(|document| document.version),
                event: news.as_ref().map(|contact| contact.event),
                expires: news.as_ref().and_then(|contact| contact.expires),
                retry_after: news.as_ref().and_then(|contact| contact.retry_after),
                last: state.is_terminated(),
            }));
            if let Some(contact) = news {
                self.react(now, &contact);
            }
        }
        Ok(match state.reason {
            //= RFC 6665 4.1.3: after these a subscriber may subscribe again at once
            Some("deactivated" | "timeout") if state.is_terminated() => FollowUp::Subscribe,
            _ if gap => FollowUp::Refresh,
            _ => FollowUp::Nothing,
        })
    }

    /// What a document says of our contact: that it lives, under whatever identity it does; or that it has ended under
    /// the identity we registered.
    fn own_contact<'a>(&self, document: &'a Reginfo) -> Option<&'a ContactInfo> {
        let (address, port) = (self.current_address(), self.config.server_port.get());
        let ours = |contact: &&ContactInfo| {
            Uri::parse(&contact.uri).is_ok_and(|uri| uri.host.ip() == Some(address) && uri.port == Some(port))
        };
        let identities = [self.config.impu.as_str().to_owned(), self.identity()];
        let registered = |aor: &str| identities.iter().any(|identity| same_identity(identity, aor));
        let (mut lives, mut ended) = (None, None);
        for registration in &document.registrations {
            for contact in registration.contacts.iter().filter(ours) {
                if contact.event.is_active() {
                    // The shortest life counts.
                    let earlier = |other: &&ContactInfo| urgency(contact) < urgency(other);
                    if lives.as_ref().is_none_or(earlier) {
                        lives = Some(contact);
                    }
                } else if registered(&registration.aor) {
                    ended = ended.or(Some(contact));
                }
            }
        }
        lives.or(ended)
    }

    /// What the network's word about our contact changes here (`spec/05` section 7).
    fn react(&mut self, now: Instant, contact: &ContactInfo) {
        match contact.event {
            ContactEvent::Registered | ContactEvent::Created | ContactEvent::Refreshed => {}
            ContactEvent::Shortened => {
                if let Some(expires) = contact.expires {
                    self.shortened(now, expires);
                }
            }
            // An expired registration was not wanted to end: whoever wants to stay registers again.
            ContactEvent::Deactivated | ContactEvent::Expired => self.ended(now, Some(Duration::ZERO)),
            ContactEvent::Probation => {
                let wait = contact.retry_after.map_or(PROBATION, |wait| Duration::from_secs(wait.into()));
                self.ended(now, Some(wait));
            }
            ContactEvent::Unregistered | ContactEvent::Rejected => self.ended(now, None),
        }
    }

    /// The network wants to authenticate us again before this time is over.
    fn shortened(&mut self, now: Instant, expires: u32) {
        let Some(registration) = &mut self.registration else { return };
        registration.expires = registration.expires.min(expires);
        let outputs = self.sets.shorten(now, expires);
        self.outputs.extend(outputs);
        if let Some(attempt) = &mut self.attempt {
            // It may have overtaken a 200 that says more: then the 200 is the older word.
            attempt.bound = Some(now + Duration::from_secs(expires.into()));
        }
        if self.config.stay_registered {
            let at = now + refresh_after(expires);
            self.refresh = Some(self.refresh.map_or(at, |refresh| refresh.min(at)));
        }
    }

    /// The network has ended the registration; we may come back after `again`.
    fn ended(&mut self, now: Instant, again: Option<Duration>) {
        // The answer to our own de-registration ends everything.
        let leaving = self.attempt.as_ref().is_some_and(|attempt| attempt.command == Command::Deregister);
        if let Some(attempt) = &mut self.attempt {
            attempt.ended = true;
        }
        if leaving || self.registration.take().is_none() {
            return;
        }
        self.last_authorization = None;
        self.subscription = None;
        self.drop_between_users();
        let outputs = self.sets.retire(now, self.attempt.is_none());
        self.outputs.extend(outputs);
        self.refresh = again.filter(|_| self.config.stay_registered).map(|wait| now + wait);
    }

    /// Our protected address as a URI, in what goes over `via`.
    pub(super) fn contact(&self, via: Via) -> String {
        let impu = self.config.impu.as_str();
        let user = impu.split_once(':').and_then(|(_, rest)| rest.split('@').next()).unwrap_or(impu);
        format!("sip:{user}@{}", SocketAddr::new(self.address_over(via), self.config.server_port.get()))
    }
}

impl Subscription {
    fn lasts(&mut self, now: Instant, expires: u32, refresh: Option<Duration>) {
        // A shorter one would have us ask without pause.
        let expires = expires.max(SHORTEST);
        self.ends = now + Duration::from_secs(expires.into());
        let in_time = refresh_after(expires);
        self.refresh = Some(now + refresh.map_or(in_time, |wanted| wanted.min(in_time)));
    }
}

/// Retry-After of a response, in seconds.
pub(super) fn retry_after(response: &Message) -> Option<u32> {
    response.first(Name::RetryAfter).and_then(sip::header::delta_seconds)
}

fn urgency(contact: &ContactInfo) -> (bool, u32) {
    (contact.event != ContactEvent::Shortened, contact.expires.unwrap_or(u32::MAX))
}

fn same_identity(one: &str, other: &str) -> bool {
    match (Uri::parse(one), Uri::parse(other)) {
        (Ok(one), Ok(other)) => one.identity() == other.identity(),
        _ => one == other,
    }
}
