//! The P- headers a registration carries (RFC 7315, RFC 7976).

use crate::header::NameAddr;
use crate::text::{self, Params};
use crate::{Message, Name, ParseError};
use std::borrow::Cow;
use std::fmt::Write;

/// P-Visited-Network-ID: a token or quoted string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PVisitedNetworkId<'a>(pub Cow<'a, str>);

impl<'a> PVisitedNetworkId<'a> {
    /// The first value, without quotes and parameters.
    pub fn of(message: &'a Message) -> Option<Self> {
        let value = message.values(Name::PVisitedNetworkId).next()?;
        let end = text::find_outside(value, b';', false).unwrap_or(value.len());
        Some(Self(text::unquote(value[..end].trim_ascii())))
    }

    /// The header value, quoted.
    pub fn value(&self) -> String {
        text::quote(&self.0)
    }
}

/// P-Charging-Vector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PChargingVector<'a> {
    pub icid_value: Cow<'a, str>,
    pub icid_generated_at: Option<Cow<'a, str>>,
    pub orig_ioi: Option<Cow<'a, str>>,
    pub term_ioi: Option<Cow<'a, str>>,
}

impl<'a> PChargingVector<'a> {
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let params = Params::new(value);
        let find = |name| params.value(name).map(text::unquote);
        Ok(Self {
            icid_value: find("icid-value").ok_or(ParseError::Malformed(Name::PChargingVector))?,
            icid_generated_at: find("icid-generated-at"),
            orig_ioi: find("orig-ioi"),
            term_ioi: find("term-ioi"),
        })
    }

    /// The header value. Everything is quoted: legal for each of these parameters, and safe for any content.
    pub fn value(&self) -> String {
        let mut value = format!("icid-value={}", text::quote(&self.icid_value));
        for (name, part) in [
            ("icid-generated-at", &self.icid_generated_at),
            ("orig-ioi", &self.orig_ioi),
            ("term-ioi", &self.term_ioi),
        ] {
            if let Some(part) = part {
                let _ = write!(value, ";{name}={}", text::quote(part));
            }
        }
        value
    }
}

/// P-Associated-URI: the implicit registration set, default identity first.
#[derive(Debug, Clone, Default)]
pub struct PAssociatedUri<'a>(pub Vec<NameAddr<'a>>);

impl<'a> PAssociatedUri<'a> {
    pub fn of(message: &'a Message) -> Result<Self, ParseError> {
        message.addresses(Name::PAssociatedUri).collect::<Result<_, _>>().map(Self)
    }

    /// The header value for these URIs.
    pub fn value<U: AsRef<str>>(uris: impl IntoIterator<Item = U>) -> String {
        let mut value = String::new();
        for uri in uris {
            let separator = if value.is_empty() { "" } else { ", " };
            let _ = write!(value, "{separator}<{}>", uri.as_ref());
        }
        value
    }
}

/// P-Access-Network-Info, carried as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PAccessNetworkInfo<'a>(pub &'a str);

impl PAccessNetworkInfo<'_> {
    /// Whether the network, not the UE, wrote it (RFC 7315 5.4).
    pub fn is_network_provided(&self) -> bool {
        Params::new(self.0).has("network-provided")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn charging_vector_reads_tokens_and_strings() {
        let vector =
            PChargingVector::parse(r#"icid-value=a1 ; icid-generated-at=192.0.2.1;orig-ioi="home.example""#);
        let vector = vector.unwrap();
        assert_eq!((vector.icid_value.as_ref(), vector.orig_ioi.as_deref()), ("a1", Some("home.example")));
        assert!(PChargingVector::parse("orig-ioi=x").is_err());
    }

    proptest! {
        #[test]
        fn charging_vector_round_trips(icid in "\\PC{1,20}", ioi in proptest::option::of("\\PC{0,20}")) {
            let vector = PChargingVector {
                icid_value: icid.into(),
                orig_ioi: ioi.map(Into::into),
                ..PChargingVector::default()
            };
            let value = vector.value();
            prop_assert_eq!(PChargingVector::parse(&value).unwrap(), vector);
        }
    }
}
