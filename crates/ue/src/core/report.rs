//! Steps in words and in JSON.

use std::fmt;

use serde_json::{Value, json};
use sip::reginfo::ContactEvent;

use super::report_users::with_answer;
use super::{Notice, Step};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenged { associations, .. } => {
                write!(f, "challenged; security associations with {}", associations.algorithms)
            }
            Self::SynchronisationFailure => f.write_str("the card refused the sequence number; sent AUTS"),
            Self::Registered(registration) => {
                let identity = registration.associated_uris.first().map_or("(no identity)", |uri| uri);
                write!(f, "registered as {identity} for {} s", registration.expires)
            }
            Self::Deregistered => f.write_str("de-registered"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Subscribed { expires } => write!(f, "subscribed to the registration state for {expires} s"),
            Self::NotSubscribed(failure) => write!(f, "not subscribed to the registration state: {failure}"),
            Self::Notified(notice) => write!(f, "notified: {notice}"),
            Self::Lapsed => f.write_str("the registration has run out"),
            Self::Retrying { after } => write!(f, "registers again in {} s", after.as_secs()),
            Self::Sent { request, method } => write!(f, "request {request}: sent {method}"),
            Self::Answered { request, method, answer } => {
                write!(f, "request {request}: {method} answered with {answer}")
            }
            Self::NotSent { request, failure } => write!(f, "request {request}: not sent: {failure}"),
            Self::Received(request) => request.fmt(f),
            Self::Call { call, step } => write!(f, "call {call}: {step}"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(event) => write!(f, "our contact is {}", event.as_str())?,
            None => f.write_str("nothing of our contact")?,
        }
        if let Some(expires) = self.expires {
            write!(f, ", for {expires} s")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(f, ", to come back after {seconds} s")?;
        }
        f.write_str(if self.last { "; the subscription has ended" } else { "" })
    }
}

impl Step {
    pub fn to_json(&self) -> Value {
        match self {
            Self::Challenged { associations, .. } => json!({
                "step": "challenged",
                "alg": associations.algorithms.alg().as_str(),
                "ealg": associations.algorithms.ealg().as_str(),
                "sas": associations.iter().map(|sa| json!({
                    "role": sa.role.as_str(),
                    "src": sa.source.ip(),
                    "sport": sa.source.port(),
                    "dst": sa.destination.ip(),
                    "dport": sa.destination.port(),
                    "spi": sa.spi.get(),
                })).collect::<Vec<_>>(),
            }),
            Self::SynchronisationFailure => json!({ "step": "synchronisation-failure" }),
            Self::Registered(registration) => json!({
                "step": "registered",
                "expires": registration.expires,
                "associated_uris": registration.associated_uris,
                "service_route": registration.service_route,
            }),
            Self::Deregistered => json!({ "step": "deregistered" }),
            Self::Failed(failure) => json!({
                "step": "failed",
                "reason": failure.to_string(),
                "status": failure.status(),
            }),
            Self::Subscribed { expires } => json!({ "step": "subscribed", "expires": expires }),
            Self::NotSubscribed(failure) => json!({
                "step": "not-subscribed",
                "reason": failure.to_string(),
                "status": failure.status(),
            }),
            Self::Notified(notice) => json!({
                "step": "notified",
                "event": notice.event.map(ContactEvent::as_str),
                "version": notice.version,
                "expires": notice.expires,
                "retry_after": notice.retry_after,
                "last": notice.last,
            }),
            Self::Lapsed => json!({ "step": "lapsed" }),
            Self::Retrying { after } => json!({ "step": "retrying", "after": after.as_secs() }),
            Self::Sent { request, method } => json!({
                "step": "sent",
                "request": request.0,
                "method": method.as_str(),
            }),
            Self::Answered { request, method, answer } => with_answer(
                json!({ "step": "answered", "request": request.0, "method": method.as_str() }),
                answer,
            ),
            Self::NotSent { request, failure } => json!({
                "step": "not-sent",
                "request": request.0,
                "reason": failure.to_string(),
            }),
            Self::Received(request) => request.to_json(),
            Self::Call { call, step } => step.to_json(*call),
        }
    }
}
