//! The answers on the wire.

use crate::core::ORIGINATING;
use crate::register::{Contact, Register, Wish};
use crate::registrar::Registration;
use crate::{Config, Refusal};
use aka::AuthVector;
use sip::header::{PAssociatedUri, PChargingVector};
use sip::{Draft, Message, Method, Name, OptionTags, Uri, reginfo};
use std::fmt::Write;

/// 401 with the challenge, and for the P-CSCF the keys.
pub(crate) fn challenge(
    request: &Message,
    config: &Config,
    nonce: &str,
    vector: &AuthVector,
    to_tag: &str,
) -> Message {
    let mut value = format!(
        "Digest realm={}, nonce=\"{nonce}\", algorithm={}",
        sip::text::quote(&config.home_domain),
        config.algorithm
    );
    if config.qop {
        value.push_str(", qop=\"auth\"");
    }
    //= TS 24.229 7.2A.1
    for (name, key) in [("ik", vector.ik.as_bytes()), ("ck", vector.ck.as_bytes())] {
        let _ = write!(value, ", {name}=\"");
        for octet in key {
            let _ = write!(value, "{octet:02x}");
        }
        value.push('"');
    }
    let mut draft = Draft::reply(request, 401, "Unauthorized", Some(to_tag));
    draft.push(Name::WwwAuthenticate, value);
    if let Some(vector) = charging_vector(request, config) {
        draft.push(Name::PChargingVector, vector);
    }
    draft.finish()
}

/// 200 for a registered user, with all that `spec/05` section 4 lists.
//= TS 24.229 5.4.1.2.2F
pub(crate) fn registered(
    register: &Register,
    config: &Config,
    user: &Registration,
    contacts: Vec<String>,
    to_tag: &str,
) -> Message {
    let mut draft = Draft::reply(&register.message, 200, "OK", Some(to_tag));
    for path in register.message.values(Name::Path) {
        draft.push(Name::Path, path);
    }
    if register.contact().is_some_and(|contact| contact.flow.is_some()) {
        //= RFC 5626 6
        draft.push(Name::Require, "outbound");
    }
    if let Some(info) = &register.authentication_info {
        draft.push(Name::AuthenticationInfo, info);
    }
    draft.push(Name::ServiceRoute, service_route(config));
    draft.push(Name::PAssociatedUri, PAssociatedUri::value(&user.identities.associated));
    for contact in contacts {
        draft.push(Name::Contact, contact);
    }
    if let Some(vector) = charging_vector(&register.message, config) {
        draft.push(Name::PChargingVector, vector);
    }
    draft.finish()
}

/// 200 after a de-registration, with the contacts other devices still have.
pub(crate) fn deregistered(
    register: &Register,
    config: &Config,
    contacts: Vec<String>,
    to_tag: &str,
) -> Message {
    let mut draft = Draft::reply(&register.message, 200, "OK", Some(to_tag));
    for path in register.message.values(Name::Path) {
        draft.push(Name::Path, path);
    }
    for contact in contacts {
        draft.push(Name::Contact, contact);
    }
    if let Some(vector) = charging_vector(&register.message, config) {
        draft.push(Name::PChargingVector, vector);
    }
    draft.finish()
}

/// 200 to SUBSCRIBE. `expires`: what is granted, in seconds.
//= RFC 6665 4.2.1.1
pub(crate) fn subscribed(request: &Message, config: &Config, expires: u32, to_tag: &str) -> Message {
    let mut draft = Draft::reply(request, 200, "OK", Some(to_tag));
    //= RFC 3261 12.1.1
    for route in request.values(Name::RecordRoute) {
        draft.push(Name::RecordRoute, route);
    }
    draft.push(Name::Contact, format!("<{}>", config.server_name));
    draft.push(Name::Expires, expires.to_string());
    if let Some(vector) = charging_vector(request, config) {
        draft.push(Name::PChargingVector, vector);
    }
    draft.finish()
}

/// The answer to a request that is turned down.
pub(crate) fn refusal(request: &Message, config: &Config, refusal: Refusal, to_tag: &str) -> Message {
    let (status, reason) = refusal.status();
    let mut draft = Draft::reply(request, status, reason, Some(to_tag));
    match refusal {
        Refusal::BadEvent => {
            //= RFC 6665 8.3.2
            draft.push(Name::AllowEvents, reginfo::PACKAGE);
        }
        Refusal::NotAcceptable => {
            draft.push(Name::Accept, reginfo::MIME);
        }
        Refusal::SubscriptionTooBrief => {
            draft.push(Name::MinExpires, config.min_subscription.to_string());
        }
        Refusal::IntervalTooBrief => {
            draft.push(Name::MinExpires, config.min_expires.to_string());
        }
        Refusal::BadExtension => {
            let mut required = OptionTags::of(request, Name::Require);
            if request.method() == Method::Register {
                required.remove("path");
            }
            if let Some(unsupported) = required.value() {
                draft.push(Name::Unsupported, unsupported);
            }
        }
        Refusal::Overloaded => {
            draft.push(Name::RetryAfter, "30");
        }
        _ => {}
    }
    draft.finish()
}

impl Register {
    pub(crate) fn contact(&self) -> Option<&Contact> {
        match &self.wish {
            Wish::Bind(contact) => Some(contact),
            Wish::Unbind(_) | Wish::Query => None,
        }
    }
}

/// The originating direction is marked by the user part.
//= TS 24.229 5.4.1.2.2F
fn service_route(config: &Config) -> String {
    match Uri::parse(config.server_name.as_str()) {
        Ok(uri) => {
            let port = uri.port.map(|port| format!(":{port}")).unwrap_or_default();
            let transport = uri.params.value("transport").map(|word| format!(";transport={word}"));
            format!("<sip:{ORIGINATING}@{}{port}{};lr>", uri.host, transport.unwrap_or_default())
        }
        Err(_) => format!("<{};lr>", config.server_name),
    }
}

/// That of the request, completed by the network that the user belongs to.
pub(crate) fn charging_vector(request: &Message, config: &Config) -> Option<String> {
    let mut vector = PChargingVector::parse(request.first(Name::PChargingVector)?).ok()?;
    vector.term_ioi = Some(config.home_domain.as_str().into());
    Some(vector.value())
}
