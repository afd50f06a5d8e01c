//! The P-CSCF's own subscription to the reg event of its users: how it hears that the network shortens or ends a
//! registration.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aka::Impi;
use sip::dialog::event_package;
use sip::reginfo::{self, ContactEvent, Reginfo};
use sip::{
    Dialog, DialogError, Draft, Instant, Message, Method, Name, ServerId, SubscriptionState, Timers, Uri,
};

use super::{Asked, Device, Event, PCscf, Refusal, SetId};

/// How much longer than the registration the subscription lasts.
//= TS 24.229 5.2.3: higher than the expiry of the registration
const LONGER: u32 = 600;
/// SUBSCRIBEs that wait for their answer at once: after a restart every user is subscribed to again.
const AT_ONCE: usize = 32;

/// One user's.
#[derive(Debug)]
struct Subscription {
    /// Our last SUBSCRIBE while its answer is awaited.
    asked: Option<Message>,
    /// Once the notifier has answered or notified.
    dialog: Option<Dialog>,
    /// Of the last NOTIFY.
    version: Option<u32>,
    until: Instant,
}

/// All of them, and how a NOTIFY finds its own.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_impi: HashMap<Impi, Subscription>,
    by_call: HashMap<String, Impi>,
    /// Users that wait for their SUBSCRIBE, each once, with the expiry of their registration.
    waiting: VecDeque<Impi>,
    queued: HashMap<Impi, (Device, u32)>,
    under_way: usize,
}

impl Subscriptions {
    /// The subscription whose SUBSCRIBE of this Call-ID is not answered yet. Another may have taken its place since.
    fn waiting_for(&mut self, impi: &Impi, call_id: &str) -> Option<&mut Subscription> {
        let asked = |known: &&mut Subscription| {
            known.asked.as_ref().is_some_and(|request| request.call_id() == call_id)
        };
        self.by_impi.get_mut(impi).filter(asked)
    }

    pub(super) fn remove(&mut self, impi: &Impi) {
        if let Some(subscription) = self.by_impi.remove(impi) {
            let call = subscription.dialog.map(|dialog| dialog.call_id);
            let call = call.or(subscription.asked.map(|request| request.call_id().to_owned()));
            call.into_iter().for_each(|call| drop(self.by_call.remove(&call)));
        }
    }
}

impl PCscf {
    /// Subscribes after the first registration of a user, and again where the registration would outlast what there
    /// is.
    //= TS 24.229 5.2.3
    pub(super) fn subscribe(&mut self, now: Instant, device: &Device, expires: u32) {
        if let Some(known) = self.subscriptions.by_impi.get(&device.impi) {
            let lasts = now + Duration::from_secs(expires.into()) <= known.until;
            if known.asked.is_some() || lasts {
                return;
            }
        }
        if self.subscriptions.under_way < AT_ONCE {
            return self.send_subscribe(now, device, expires);
        }
        let impi = device.impi.clone();
        if self.subscriptions.queued.insert(impi.clone(), (device.clone(), expires)).is_none() {
            self.subscriptions.waiting.push_back(impi);
        }
    }

    fn send_subscribe(&mut self, now: Instant, device: &Device, expires: u32) {
        let lasts = expires.saturating_add(LONGER);
        let Some(registration) = self.registrations.get(device) else { return };
        let Some(identity) = registration.associated_uris.first().cloned() else { return };
        let routes = registration.service_route.clone();
        let known = self.subscriptions.by_impi.get_mut(&device.impi);
        let mut draft = match known.and_then(|known| known.dialog.as_mut()) {
            Some(dialog) => dialog.request(Method::Subscribe),
            None => {
                let (call_id, tag) = (self.token(), self.token());
                let mut draft = Draft::request(Method::Subscribe, identity.to_string());
                for route in routes {
                    draft.push(Name::Route, route.into_string());
                }
                draft
                    .push(Name::MaxForwards, "70")
                    .push(Name::From, format!("<sip:{}>;tag={tag}", self.config.host))
                    .push(Name::To, format!("<{identity}>"))
                    .push(Name::CallId, call_id)
                    .push(Name::CSeq, "1 SUBSCRIBE");
                draft
            }
        };
        draft
            .push(Name::Contact, format!("<sip:{}>", self.config.mw))
            //= TS 24.229 5.2.3: the URI of Path
            .push(Name::PAssertedIdentity, format!("<{}>", self.path_uri()))
            .push(Name::Event, reginfo::PACKAGE)
            .push(Name::Accept, reginfo::MIME)
            .push(Name::Expires, lasts.to_string())
            .push(Name::PChargingVector, self.charging_vector());
        let Ok(to) = self.mw_hop(&draft.finish()) else {
            let impi = device.impi.clone();
            return self.event(Event::NotSubscribed { impi, reason: "its Service-Route names no neighbour" });
        };
        let (message, flow) = self.toward_mw(&mut draft, to);
        let asked = message.clone();
        let Ok(client) = self.transactions.request(now, flow, Timers::CORE, message) else {
            let impi = device.impi.clone();
            return self.event(Event::NotSubscribed { impi, reason: "too many transactions are open" });
        };
        let (impi, call_id) = (device.impi.clone(), asked.call_id().to_owned());
        self.asked.insert(client, Asked::Subscribe { impi, call_id });
        self.subscriptions.under_way += 1;
        self.subscriptions.by_call.insert(asked.call_id().to_owned(), device.impi.clone());
        let until = now + Duration::from_secs(lasts.into());
        let known = self.subscriptions.by_impi.entry(device.impi.clone());
        let known = known.or_insert(Subscription { asked: None, dialog: None, version: None, until: now });
        known.asked = Some(asked);
        known.until = until;
    }

    /// The notifier's answer to our SUBSCRIBE.
    pub(super) fn subscribe_answered(
        &mut self,
        now: Instant,
        impi: &Impi,
        call_id: &str,
        status: u16,
        response: &Message,
    ) {
        if !(200..300).contains(&status) {
            return self.subscribe_failed(now, impi, call_id);
        }
        if let Some(known) = self.subscriptions.waiting_for(impi, call_id) {
            let dialog = known.asked.take().and_then(|request| Dialog::uac(&request, response).ok());
            // A NOTIFY may have been faster, and knows more.
            known.dialog = known.dialog.take().or(dialog);
            if known.dialog.is_none() {
                self.subscription_lost(impi);
            } else if let Some(granted) = response.expires() {
                known.until = known.until.min(now + Duration::from_secs(granted.into()));
            }
        }
        self.one_less_under_way(now);
    }

    /// It was refused, or nobody answered.
    pub(super) fn subscribe_failed(&mut self, now: Instant, impi: &Impi, call_id: &str) {
        if self.subscriptions.waiting_for(impi, call_id).is_some() {
            self.subscription_lost(impi);
        }
        self.one_less_under_way(now);
    }

    fn subscription_lost(&mut self, impi: &Impi) {
        self.subscriptions.remove(impi);
        self.event(Event::NotSubscribed { impi: impi.clone(), reason: "the S-CSCF did not take it" });
    }

    fn one_less_under_way(&mut self, now: Instant) {
        self.subscriptions.under_way = self.subscriptions.under_way.saturating_sub(1);
        while self.subscriptions.under_way < AT_ONCE
            && let Some(impi) = self.subscriptions.waiting.pop_front()
        {
            if let Some((device, expires)) = self.subscriptions.queued.remove(&impi) {
                self.send_subscribe(now, &device, expires);
            }
        }
    }

    /// A NOTIFY that is for us.
    pub(super) fn notified(&mut self, now: Instant, id: ServerId, request: &Message) {
        let taken = self.take_notify(request);
        let (impi, ends) = match taken {
            Ok(taken) => taken,
            Err(refusal) => return self.refuse(now, id, request, None, refusal, None),
        };
        let tag = self.token();
        let response = Draft::reply(request, 200, "OK", Some(&tag)).finish();
        self.respond(now, id, None, response);
        if let Ok(document) = Reginfo::parse(request.body()) {
            self.learn(now, &impi, &document);
        }
        if ends {
            self.subscriptions.remove(&impi);
        }
    }

    /// Whose it is, and whether it is the last one.
    fn take_notify(&mut self, request: &Message) -> Result<(Impi, bool), Refusal> {
        if request.method() != Method::Notify {
            return Err(Refusal::MethodNotServed);
        }
        if event_package(request).is_none_or(|package| !package.eq_ignore_ascii_case(reginfo::PACKAGE)) {
            return Err(Refusal::BadEvent);
        }
        let impi = self.subscriptions.by_call.get(request.call_id()).cloned().ok_or(Refusal::NoSuchDialog)?;
        let known = self.subscriptions.by_impi.get_mut(&impi).ok_or(Refusal::NoSuchDialog)?;
        if known.dialog.is_none() {
            let asked = known.asked.as_ref().ok_or(Refusal::NoSuchDialog)?;
            let early = Dialog::from_notify(asked, request);
            let mut early = early.map_err(|error| Refusal::Routing(error.into()))?;
            early.remote_cseq = None;
            known.dialog = Some(early).filter(|dialog| dialog.owns(request));
        }
        let dialog = known.dialog.as_mut().filter(|dialog| dialog.owns(request));
        dialog.ok_or(Refusal::NoSuchDialog)?.take(request).map_err(|error| match error {
            DialogError::Malformed(error) => Refusal::Routing(error.into()),
            _ => Refusal::OutOfOrder,
        })?;
        let ends = SubscriptionState::of(request).is_some_and(|state| state.is_terminated());
        Ok((impi, ends))
    }

    /// What the document says of contacts that are registered here.
    //= TS 24.229 5.2.3, TS 33.203 6.1.4
    fn learn(&mut self, now: Instant, impi: &Impi, document: &Reginfo) {
        let Some(known) = self.subscriptions.by_impi.get_mut(impi) else { return };
        //= RFC 3680 5.1: an older version says nothing new
        if known.version.is_some_and(|version| document.version <= version) {
            return;
        }
        known.version = Some(document.version);
        let mut learnt: Vec<(Device, ContactEvent, Option<u32>)> = Vec::new();
        for (device, registration) in self.registrations.of(impi) {
            let own = |aor: &str| registration.associated_uris.iter().any(|uri| **uri == *aor);
            let contacts = document.registrations.iter().filter(|one| own(&one.aor));
            let mut contacts = contacts.flat_map(|one| &one.contacts);
            let contact =
                contacts.find(|contact| Uri::parse(&contact.uri).is_ok_and(|uri| registration.is_at(&uri)));
            learnt.extend(contact.map(|contact| (device.clone(), contact.event, contact.expires)));
        }
        for (device, event, expires) in learnt {
            match (event.is_active(), expires) {
                (false, _) => self.deregistered(now, &device),
                (true, Some(expires)) if event == ContactEvent::Shortened => {
                    self.shortened(now, &device, expires)
                }
                (true, _) => {}
            }
        }
    }

    /// The network wants the UE to authenticate again soon: its sets end with what is left of its registration.
    //= TS 33.203 6.1.4
    fn shortened(&mut self, now: Instant, device: &Device, expires: u32) {
        let confirmed = self.sets.of(device).filter(|(_, entry)| !entry.stage.is_attempt());
        let ids: Vec<SetId> = confirmed.map(|(id, _)| id).collect();
        for id in ids {
            let change = self.sets.shorten(now, id, expires);
            self.outputs.extend(change);
        }
        self.event(Event::Shortened { impi: device.impi.clone(), expires });
    }
}
