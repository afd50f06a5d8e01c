//! Steps in words and in JSON.

use std::fmt;

use serde_json::{Value, json};

use super::Step;

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
        }
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
            Self::Failed(failure) => json!({ "step": "failed", "reason": failure.to_string() }),
        }
    }
}
