//! Via, and the marks a receiver sets in it (RFC 3261 18.2.1, RFC 3581 4).

use crate::header::Host;
use crate::header::uri::host_port;
use crate::text::{self, Params};
use crate::{Name, ParseError, Transport};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The start of a branch made by the rules of RFC 3261.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// As written, for example `UDP`.
    pub protocol: &'a str,
    pub host: Host<'a>,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// Where sent-by ends in the value: parameters are kept as written from here.
    sent_by: &'a str,
}

impl<'a> Via<'a> {
    /// Blanks are allowed round each `/`, the colon and each parameter.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(value).ok_or(ParseError::Malformed(Name::Via))
    }

    fn read(value: &'a str) -> Option<Self> {
        let (head, params) = text::cut(value, b';').unwrap_or((value, ""));
        let (name, rest) = text::cut(head.trim_ascii(), b'/')?;
        let (version, rest) = text::cut(rest, b'/')?;
        if !name.trim_ascii().eq_ignore_ascii_case("SIP") || version.trim_ascii() != "2.0" {
            return None;
        }
        let (protocol, sent_by) = rest.trim_ascii().split_once(text::is_blank)?;
        let (host, port) = host_port(sent_by)?;
        text::is_token(protocol).then_some(Self {
            protocol,
            host,
            port,
            params: Params::new(params),
            sent_by: sent_by.trim_ascii(),
        })
    }

    pub fn transport(&self) -> Option<Transport> {
        Transport::parse(self.protocol)
    }

    /// Host and port as written.
    pub const fn sent_by(&self) -> &'a str {
        self.sent_by
    }

    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    pub fn received(&self) -> Option<IpAddr> {
        let address = self.params.value("received")?;
        // RFC 3261 wants no brackets round a v6 address, RFC 5118 4.5 tells to accept them.
        address.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `Some(None)`: asked for and not filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.and_then(text::number))
    }
}

/// The Via value with `received` and `rport` as the receiver must set them; `None` when it needs no change.
/// Values of these two that the sender wrote do not survive.
pub fn stamp(via: &Via<'_>, source: SocketAddr) -> Option<String> {
    let rport = via.rport().is_some();
    let received = rport || via.host.ip() != Some(source.ip());
    if !received && !via.params.has("received") {
        return None;
    }
    let mut stamped = format!("SIP/2.0/{} {}", via.protocol, via.sent_by);
    for (name, value) in via.params {
        let ours = name.eq_ignore_ascii_case("rport") || name.eq_ignore_ascii_case("received");
        let _ = match value {
            _ if ours => Ok(()),
            Some(value) => write!(stamped, ";{name}={value}"),
            None => write!(stamped, ";{name}"),
        };
    }
    //= RFC 3581 4
    if rport {
        let _ = write!(stamped, ";rport={}", source.port());
    }
    if received {
        let _ = write!(stamped, ";received={}", source.ip());
    }
    Some(stamped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamped(via: &str, source: &str) -> Option<String> {
        stamp(&Via::parse(via).unwrap(), source.parse().unwrap())
    }

    #[test]
    fn sip_14_odd_white_space_in_via() {
        let via =
            Via::parse("SIP / 2.0 / UDP  first.example.com : 4000 ; ttl=16 ;branch = z9hG4bKx ").unwrap();
        assert_eq!(via.host, Host::Name("first.example.com"));
        assert_eq!(
            (via.port, via.branch(), via.transport()),
            (Some(4000), Some("z9hG4bKx"), Some(Transport::Udp))
        );
        let v6 = Via::parse("SIP/2.0/TCP [2001:db8::9:1]:5061;rport").unwrap();
        assert_eq!(
            (v6.host.to_string().as_str(), v6.port, v6.rport()),
            ("[2001:db8::9:1]", Some(5061), Some(None))
        );
    }

    #[test]
    fn sip_3_received_and_rport() {
        let same = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1";
        assert_eq!(stamped(same, "192.0.2.1:9999"), None);
        assert_eq!(
            stamped(same, "192.0.2.7:1").as_deref(),
            Some("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;received=192.0.2.7")
        );
        let name = "SIP/2.0/UDP host.example;branch=z9hG4bK1;rport;x";
        assert_eq!(
            stamped(name, "192.0.2.7:1234").as_deref(),
            Some("SIP/2.0/UDP host.example;branch=z9hG4bK1;x;rport=1234;received=192.0.2.7")
        );
        let forged = "SIP/2.0/UDP 192.0.2.1;received=203.0.113.9;branch=z9hG4bK1";
        assert_eq!(
            stamped(forged, "192.0.2.1:5060").as_deref(),
            Some("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
        );
        let v6 = "SIP/2.0/UDP [2001:db8::1]:5060;rport;branch=z9hG4bK1";
        let stamped = stamped(v6, "[2001:db8::1]:7").unwrap();
        let via = Via::parse(&stamped).unwrap();
        assert_eq!((via.rport(), via.received()), (Some(Some(7)), Some("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn refuses_broken_vias() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/U{}P a",
            "SIP/2.0/UDP [::1",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn stamping_is_stable(port in 1_u16.., sent in any::<u32>(), source in any::<u32>(), rport: bool) {
            let flag = if rport { ";rport" } else { "" };
            let via = format!("SIP/2.0/UDP {}:5060;branch=z9hG4bKq{flag}", std::net::Ipv4Addr::from_bits(sent));
            let source = SocketAddr::new(std::net::Ipv4Addr::from_bits(source).into(), port);
            let once = stamp(&Via::parse(&via).unwrap(), source).unwrap_or(via);
            let twice = stamp(&Via::parse(&once).unwrap(), source).unwrap_or_else(|| once.clone());
            prop_assert_eq!(once, twice);
        }
    }
}
