//! What another S-CSCF needs to go on with a user (TS 23.380), as the HSS keeps it: written from what is registered
//! here, and read back with the distrust that everything from outside gets.

use crate::Config;
use crate::binding::Binding;
use crate::register::{Contact, OutboundFlow};
use crate::subscribe::peer;
use crate::subscriptions::{Subscription, SubscriptionId};
use aka::{Impi, Impu};
use cx::{RestorationInfo, RestoredContact, RestoredSubscription};
use sip::reginfo::{self, ContactEvent};
use sip::{Dialog, Draft, Instant, Message, Method, Name, NameAddr, Uri};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// Octets of one text of the HSS.
const LONGEST: usize = 4096;
/// A To parameter of ours: with what CSeq this S-CSCF began its NOTIFYs.
const BASE: &str = "notify-cseq";
/// How far above that the next S-CSCF begins: it cannot know how many NOTIFYs there were.
//= RFC 3261 12.2.1.1: CSeq only grows
const GENERATION: u32 = 1 << 24;
/// How long a restored subscription outlives its contact; how long it was asked for is not kept.
const LONGER: Duration = Duration::from_secs(600);

/// What is kept for a private identity. `watching`: who watches an identity of its set.
pub(crate) fn write(
    impi: &Impi,
    bindings: &[&Binding],
    set: &[Impu],
    watching: &[&Subscription],
) -> RestorationInfo {
    let contacts = bindings.iter().map(|binding| RestoredContact {
        path: binding.path.join(", "),
        contact: format!("{};expires={}", binding.contact, binding.granted),
        initial_cseq: Some(binding.cseq),
        call_id: Some(binding.call_id.clone()),
        subscription: of_ue(binding, set, watching).map(write_subscription),
        p_cscf_subscription: of_p_cscf(binding, set, watching).map(write_subscription),
    });
    RestorationInfo { impi: impi.clone(), contacts: contacts.collect() }
}

/// Tells whether something worth storing has changed: the CSeq of a refresh is not.
pub(crate) fn fingerprint(info: &RestorationInfo) -> u64 {
    let mut hasher = DefaultHasher::new();
    for contact in &info.contacts {
        (&contact.path, &contact.contact, &contact.call_id).hash(&mut hasher);
        for one in [&contact.subscription, &contact.p_cscf_subscription] {
            let texts =
                one.as_ref().map(|one| (&one.call_id, &one.from, &one.to, &one.record_route, &one.contact));
            texts.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn is_of_set(subscription: &Subscription, set: &[Impu]) -> bool {
    set.iter().any(|impu| impu.as_str() == subscription.subscriber)
}

/// Whether it can be written down: the Event value has no place there.
fn is_plain(subscription: &Subscription) -> bool {
    subscription.ended.is_none() && subscription.event.eq_ignore_ascii_case(reginfo::PACKAGE)
}

/// The latest of the UE that has this contact.
fn of_ue<'a>(binding: &Binding, set: &[Impu], watching: &[&'a Subscription]) -> Option<&'a Subscription> {
    let contact = Uri::parse(binding.uri()).ok()?;
    let at_contact = |subscription: &Subscription| {
        Uri::parse(&subscription.dialog.remote_target)
            .is_ok_and(|target| target.host.is(contact.host) && target.port == contact.port)
    };
    let mut latest = watching.iter().rev().copied();
    latest.find(|one| is_plain(one) && is_of_set(one, set) && at_contact(one))
}

/// The latest of the P-CSCF that the contact is reached through.
fn of_p_cscf<'a>(binding: &Binding, set: &[Impu], watching: &[&'a Subscription]) -> Option<&'a Subscription> {
    let hosts = || binding.path.iter().filter_map(|path| Some(NameAddr::parse(path)?.parse_uri().ok()?.host));
    let on_path = |subscription: &Subscription| {
        Uri::parse(&subscription.dialog.remote_target)
            .is_ok_and(|target| hosts().any(|host| host.is(target.host)))
    };
    let mut latest = watching.iter().rev().copied();
    latest.find(|one| is_plain(one) && !is_of_set(one, set) && on_path(one))
}

/// The headers of the SUBSCRIBE that made it, as if it came with our tag.
fn write_subscription(subscription: &Subscription) -> RestoredSubscription {
    let Dialog { call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, route_set, .. } =
        &subscription.dialog;
    RestoredSubscription {
        call_id: call_id.clone(),
        from: format!("<{remote_uri}>;tag={remote_tag}"),
        to: format!("<{local_uri}>;tag={local_tag};{BASE}={}", subscription.base),
        record_route: route_set.join(", "),
        contact: format!("<{remote_target}>"),
    }
}

/// A contact as it goes on here. Its time begins anew: how long it has been there is not kept.
pub(crate) fn binding(number: u64, now: Instant, kept: &RestoredContact, config: &Config) -> Option<Binding> {
    let call_id = kept.call_id.as_deref().unwrap_or_default();
    let mut draft = Draft::request(Method::Register, config.server_name.as_str());
    draft.push(Name::Contact, plain(&kept.contact)?);
    if !kept.path.is_empty() {
        draft.push(Name::Path, plain(&kept.path)?);
    }
    draft
        .push(Name::CallId, plain(call_id)?)
        .push(Name::CSeq, format!("{} REGISTER", kept.initial_cseq.unwrap_or(0)));
    let message = draft.finish();
    let address = message.address(Name::Contact).ok()?;
    address.parse_uri().ok()?;
    let instance = address.params.value("+sip.instance").map(str::to_owned);
    let reg_id = address.params.value("reg-id").and_then(sip::header::delta_seconds).filter(|id| *id > 0);
    let flow = instance.zip(reg_id).map(|(instance, reg_id)| OutboundFlow { instance, reg_id });
    let expires = address.expires().unwrap_or(config.default_expires);
    let contact = Contact::of(&address, expires.clamp(1, config.max_expires), flow);
    let mut binding = Binding::new(number, now, &contact, &message, config.expiry_margin);
    binding.event = ContactEvent::Refreshed;
    Some(binding)
}

/// A subscription as it goes on here, with the name its subscriber knows it by.
pub(crate) fn subscription(
    kept: &RestoredSubscription,
    impu: &Impu,
    ends: Instant,
    local: SocketAddr,
    config: &Config,
) -> Option<(SubscriptionId, Subscription)> {
    let mut draft = Draft::request(Method::Subscribe, config.server_name.as_str());
    if !kept.record_route.is_empty() {
        draft.push(Name::RecordRoute, plain(&kept.record_route)?);
    }
    draft
        .push(Name::From, plain(&kept.from)?)
        .push(Name::To, plain(&kept.to)?)
        .push(Name::CallId, plain(&kept.call_id)?)
        .push(Name::Contact, plain(&kept.contact)?)
        .push(Name::CSeq, "0 SUBSCRIBE");
    let message: Message = draft.finish();
    let to = message.to().ok()?;
    let id = SubscriptionId::of_tag(to.tag()?)?;
    let base = to.params.value(BASE).map_or(Some(0), |value| value.parse::<u32>().ok())?;
    let base = base.checked_add(GENERATION).filter(|base| *base <= u32::MAX / 2 - GENERATION)?;
    let mut dialog = Dialog::uas(&message, &id.tag()).ok()?;
    (dialog.local_cseq, dialog.remote_cseq) = (base, None);
    let subscriber = Uri::parse(&dialog.remote_uri).ok()?.identity();
    let peer = peer(&message, local, config).ok()?;
    let until = ends + LONGER;
    let mut subscription = Subscription::new(dialog, reginfo::PACKAGE, impu.clone(), subscriber, peer, until);
    (subscription.base, subscription.version) = (base, base);
    Some((id, subscription))
}

/// A header value that stays one.
fn plain(text: &str) -> Option<&str> {
    let is_plain = text.len() <= LONGEST && !text.chars().any(char::is_control);
    is_plain.then_some(text)
}
