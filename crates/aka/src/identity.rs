//! The two identities of a subscriber as strings that are safe in a header, a log and a Diameter AVP.

use std::fmt;
use std::sync::Arc;

use crate::AkaError;

const LONGEST: usize = 255;

/// The private identity: a NAI `user@realm`. Never a URI.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Impi(Arc<str>);

impl Impi {
    pub fn new(text: &str) -> Result<Self, AkaError> {
        let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| starts_with_scheme(text, scheme));
        match text.split_once('@') {
            Some((user, realm))
                if !user.is_empty()
                    && !realm.is_empty()
                    && !realm.contains('@')
                    && !has_scheme
                    && is_plain(text) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(AkaError::ImpiInvalid),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the `@`: the home domain.
    pub fn realm(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, realm)| realm)
    }
}

/// A public identity: a `sip:`, `sips:` or `tel:` URI in canonical form, so that equal identities are equal strings.
///
/// Canonical means: scheme and host in lower case, and a SIP URI without its parameters and headers
/// (a registrar compares addresses-of-record that way, RFC 3261 10.3 step 5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Impu(Arc<str>);

impl Impu {
    pub fn new(text: &str) -> Result<Self, AkaError> {
        if !is_plain(text) {
            return Err(AkaError::ImpuInvalid);
        }
        let (scheme, rest) = text.split_once(':').ok_or(AkaError::ImpuInvalid)?;
        let scheme = scheme.to_ascii_lowercase();
        let canonical = match scheme.as_str() {
            "sip" | "sips" => canonical_sip(&scheme, rest).ok_or(AkaError::ImpuInvalid)?,
            "tel" if rest.bytes().any(|b| b.is_ascii_digit()) && !rest.contains('@') => format!("tel:{rest}"),
            _ => return Err(AkaError::ImpuInvalid),
        };
        Ok(Self(canonical.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn canonical_sip(scheme: &str, rest: &str) -> Option<String> {
    // A user part may hold ';' and '?', so the host begins at the last '@'.
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let host = host.split([';', '?']).next().unwrap_or_default().to_ascii_lowercase();
    if host.is_empty() {
        return None;
    }
    match user {
        Some(user) if user.is_empty() || user.contains('@') => None,
        Some(user) => Some(format!("{scheme}:{user}@{host}")),
        None => Some(format!("{scheme}:{host}")),
    }
}

fn starts_with_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Printable ASCII without what would need escaping in a quoted string or end a name-addr.
fn is_plain(text: &str) -> bool {
    text.len() <= LONGEST
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'<' | b'>'))
}

macro_rules! as_text {
    ($name:ident) => {
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = AkaError;

            fn from_str(text: &str) -> Result<Self, AkaError> {
                Self::new(text)
            }
        }
    };
}

as_text!(Impi);
as_text!(Impu);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impi_is_user_at_realm() {
        let impi = Impi::new("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap();
        assert_eq!(impi.realm(), "ims.mnc001.mcc001.3gppnetwork.org");
        let long = format!("{}@b", "a".repeat(254));
        for wrong in [
            "", "@b", "a@", "a", "a@b@c", "sip:a@b", "SIP:a@b", "a b@c", "a\"@b", "a\r\n@b", "a\\@b", "ä@b",
            &long,
        ] {
            assert_eq!(Impi::new(wrong), Err(AkaError::ImpiInvalid), "{wrong:?}");
        }
    }

    #[test]
    fn impu_is_canonical() {
        let cases = [
            ("sip:Alice@Home.Example", "sip:Alice@home.example"),
            ("SIP:alice@home.example;user=phone", "sip:alice@home.example"),
            ("sip:+49;phone-context=a@HOME", "sip:+49;phone-context=a@home"),
            ("sips:home.example?x=y", "sips:home.example"),
            ("sip:a@[2001:DB8::1]:5060", "sip:a@[2001:db8::1]:5060"),
            ("TEL:+4912345", "tel:+4912345"),
        ];
        for (from, to) in cases {
            assert_eq!(Impu::new(from).unwrap().as_str(), to);
        }
        for wrong in [
            "",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@b@c",
            "http://a",
            "tel:",
            "tel:x",
            "sip:a b@c",
            "sip:<a@b>",
            "alice@home",
        ] {
            assert_eq!(Impu::new(wrong), Err(AkaError::ImpuInvalid), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn canonical_form_is_stable(text in "(sip|tel|SIPS):[ -~]{0,20}") {
            if let Ok(impu) = Impu::new(&text) {
                proptest::prop_assert_eq!(Impu::new(impu.as_str()).unwrap(), impu);
            }
        }
    }
}
