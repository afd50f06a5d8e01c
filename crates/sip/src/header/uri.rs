//! SIP, SIPS and tel URIs.

use crate::text::{Params, cut, is_token, number};
use crate::{ParseError, Transport};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The schemes a CSCF routes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Other,
}

/// A host as written: a name or a literal address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// `[v6]`, `v4` or a name of letters, digits, `-`, `_` and `.`.
    pub fn parse(host: &'a str) -> Option<Self> {
        if let Some(inner) = host.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        if let Ok(address) = host.parse() {
            return Some(Self::V4(address));
        }
        let valid = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        (!host.is_empty() && host.bytes().all(valid)).then_some(Self::Name(host))
    }

    /// The literal address.
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(address)),
            Self::V6(address) => Some(IpAddr::V6(address)),
        }
    }

    /// Same host: names without regard to case, addresses by value.
    pub fn is(self, other: Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(one), Host::Name(two)) => one.eq_ignore_ascii_case(two),
            (one, two) => one.ip().is_some() && one.ip() == two.ip(),
        }
    }
}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// `host[:port]`, blanks allowed round the colon (Via has them).
pub(crate) fn host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let text = text.trim_ascii();
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => memchr::memchr(b':', text.as_bytes()).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let host = Host::parse(host.trim_ascii())?;
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = number::<u16>(rest.strip_prefix(':')?.trim_ascii())?;
    Some((host, Some(port)))
}

/// A URI taken apart. For `tel`, `user` is the number and the host is an empty name; a URI of another scheme keeps
/// all behind the colon in `user`.
#[derive(Debug, Clone, Copy)]
pub struct Uri<'a> {
    raw: &'a str,
    pub scheme: Scheme,
    /// User and password as written, escapes included.
    pub user: Option<&'a str>,
    pub host: Host<'a>,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// What follows `?`.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// A bare URI: no angle brackets, blanks or controls.
    pub fn parse(raw: &'a str) -> Result<Self, ParseError> {
        let illegal = |octet: u8| octet <= b' ' || matches!(octet, 0x7f | b'<' | b'>' | b'"');
        if raw.bytes().any(illegal) {
            return Err(ParseError::Uri);
        }
        let (scheme, rest) = cut(raw, b':').ok_or(ParseError::Uri)?;
        if !is_token(scheme) || rest.is_empty() {
            return Err(ParseError::Uri);
        }
        let scheme = match scheme {
            word if word.eq_ignore_ascii_case("sip") => Scheme::Sip,
            word if word.eq_ignore_ascii_case("sips") => Scheme::Sips,
            word if word.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ => Scheme::Other,
        };
        let empty = Self {
            raw,
            scheme,
            user: Some(rest),
            host: Host::Name(""),
            port: None,
            params: Params::default(),
            headers: None,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => empty.with_host(rest).ok_or(ParseError::Uri),
            Scheme::Tel => {
                let (user, params) = cut(rest, b';').unwrap_or((rest, ""));
                Ok(Self { user: Some(user), params: Params::new(params), ..empty })
            }
            Scheme::Other => Ok(empty),
        }
    }

    fn with_host(self, rest: &'a str) -> Option<Self> {
        let (user, rest) = match cut(rest, b'@') {
            Some((user, rest)) if !user.is_empty() => (Some(user), rest),
            Some(_) => return None,
            None => (None, rest),
        };
        let (rest, headers) = match cut(rest, b'?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (host, params) = cut(rest, b';').unwrap_or((rest, ""));
        let (host, port) = host_port(host)?;
        Some(Self { user, host, port, params: Params::new(params), headers, ..self })
    }

    pub const fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Loose routing.
    pub fn lr(&self) -> bool {
        self.params.has("lr")
    }

    /// The transport parameter when it names one of ours.
    pub fn transport(&self) -> Option<Transport> {
        self.params.value("transport").and_then(Transport::parse)
    }

    /// `user@host` without scheme, port and parameters: how a missing IMPI is derived from To
    /// (`spec/02` section 2).
    pub fn user_at_host(&self) -> Option<String> {
        let user = self.user?.split(':').next().unwrap_or_default();
        matches!(self.scheme, Scheme::Sip | Scheme::Sips).then(|| format!("{user}@{}", self.host))
    }

    /// The identity this URI names, in canonical form (TS 23.003 13.4): `sip:user@host` with a lower-case host and
    /// without port, parameters and headers; `tel:` without visual separators.
    pub fn identity(&self) -> String {
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                let scheme = if self.scheme == Scheme::Sip { "sip" } else { "sips" };
                let host = self.host.to_string().to_ascii_lowercase();
                match self.user {
                    Some(user) => format!("{scheme}:{}@{host}", user.split(':').next().unwrap_or_default()),
                    None => format!("{scheme}:{host}"),
                }
            }
            Scheme::Tel => format!("tel:{}", digits(self.user.unwrap_or_default())),
            Scheme::Other => self.raw.to_owned(),
        }
    }

    /// Whether both name the same resource (RFC 3261 19.1.4; tel: RFC 3966 5).
    pub fn equals(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Other => self.raw == other.raw,
            Scheme::Tel => {
                let digits = |uri: &Uri<'_>| digits(uri.user.unwrap_or_default());
                digits(self).eq_ignore_ascii_case(&digits(other)) && params_equal(self.params, other.params)
            }
            Scheme::Sip | Scheme::Sips => {
                let user = match (self.user, other.user) {
                    (None, None) => true,
                    (Some(one), Some(two)) => unescape(one) == unescape(two),
                    _ => false,
                };
                user && self.host.is(other.host)
                    && self.port == other.port
                    && params_equal(self.params, other.params)
                    && headers(self) == headers(other)
            }
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

fn digits(number: &str) -> String {
    number.chars().filter(|letter| !matches!(letter, '-' | '.' | '(' | ')')).collect()
}

fn params_equal(one: Params<'_>, two: Params<'_>) -> bool {
    // A parameter of this list must be in both or in neither; any other counts only when both have it.
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let same = |a: Option<&str>, b: Option<&str>| match (a, b) {
        (Some(a), Some(b)) => unescape(a).eq_ignore_ascii_case(&unescape(b)),
        (None, None) => true,
        _ => false,
    };
    let shared = |name: &str, value| match two.get(name) {
        Some(other) => same(value, other),
        None => !DECISIVE.iter().any(|decisive| decisive.eq_ignore_ascii_case(name)),
    };
    let mut first = one;
    first.all(|(name, value)| shared(name, value))
        && DECISIVE.iter().all(|decisive| one.has(decisive) == two.has(decisive))
}

fn headers(uri: &Uri<'_>) -> Vec<Vec<u8>> {
    let mut headers: Vec<_> =
        uri.headers.into_iter().flat_map(|text| text.split('&')).map(unescape).collect();
    headers.sort_unstable();
    headers
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [octet, tail @ ..] = rest {
        let escaped = match (octet, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*octet);
                rest = tail;
            }
        }
    }
    bytes
}

pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(one: &str, two: &str) -> bool {
        let (one, two) = (Uri::parse(one).unwrap(), Uri::parse(two).unwrap());
        assert_eq!(one.equals(&two), two.equals(&one));
        one.equals(&two)
    }

    #[test]
    fn takes_apart() {
        let uri = Uri::parse("sip:term;x:pw@[2001:db8::1]:7002;transport=TCP;lr?a=b").unwrap();
        assert_eq!(uri.user, Some("term;x:pw"));
        assert_eq!(uri.host, Host::V6("2001:db8::1".parse().unwrap()));
        assert_eq!((uri.port, uri.lr(), uri.transport()), (Some(7002), true, Some(Transport::Tcp)));
        assert_eq!(uri.headers, Some("a=b"));
        let tel = Uri::parse("tel:+49-30-123;phone-context=x").unwrap();
        assert_eq!((tel.scheme, tel.identity().as_str()), (Scheme::Tel, "tel:+4930123"));
        let uri = Uri::parse("SIP:User@Home.EXAMPLE:5060;a=b").unwrap();
        assert_eq!(uri.identity(), "sip:User@home.example");
        assert_eq!(uri.user_at_host().as_deref(), Some("User@Home.EXAMPLE"));
    }

    #[test]
    fn refuses() {
        for bad in
            ["", "sip:", "sip", "sip:@h", "sip:a@b@c", "sip:h:99999", "sip:h:+1", "sip:[::1", "sip:a b"]
        {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }

    /// The examples of RFC 3261 19.1.4.
    #[test]
    fn sip_13_uri_equality() {
        for (one, two) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+49-30(1)23", "tel:+4930123"),
        ] {
            assert!(same(one, two), "{one} {two}");
        }
        for (one, two) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@192.0.2.4", "sip:bob@phone21.boxesbybob.com"),
            ("sip:a@h", "sips:a@h"),
        ] {
            assert!(!same(one, two), "{one} {two}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_equals_itself(text in "(sip:|tel:)?[a-z0-9%@:;=?&.<\\[\\]\\PC]{0,40}") {
            if let Ok(uri) = Uri::parse(&text) {
                prop_assert_eq!(uri.as_str(), text.as_str());
                prop_assert!(uri.equals(&uri) || uri.params.count() > 1);
                let identity = uri.identity();
                if !matches!(uri.scheme, Scheme::Other) && !identity.ends_with(':') {
                    let again = Uri::parse(&identity).map(|uri| uri.identity());
                    prop_assert_eq!(again, Ok(identity));
                }
            }
        }

        #[test]
        fn print_parse(user in "[a-z0-9]{1,8}", host in "[a-z][a-z0-9.-]{0,12}", port in any::<u16>(), v6 in any::<u128>()) {
            let text = format!("sip:{user}@{host}:{port};lr");
            let uri = Uri::parse(&text).unwrap();
            prop_assert_eq!((uri.user, uri.host, uri.port), (Some(user.as_str()), Host::Name(host.as_str()), Some(port)));
            let v6 = Host::V6(Ipv6Addr::from_bits(v6));
            let printed = v6.to_string();
            prop_assert_eq!(Host::parse(&printed), Some(v6));
        }
    }
}
