//! The search for what should have been hidden, for tests and for whoever wants to know what a border lets out.

use sip::Host;

use crate::Hiding;

/// A name or an address of the inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Where it stands in the octets.
    pub at: usize,
    pub text: String,
}

impl Hiding {
    /// Every name and address of the inside in the octets, wherever it stands: in a header, a body, or as part of an
    /// identifier.
    pub fn leaks(&self, octets: &[u8]) -> Vec<Leak> {
        let mut leaks: Vec<Leak> =
            self.inside.domains().flat_map(|domain| self.names(octets, domain)).collect();
        let v4 = |octet: u8| octet.is_ascii_digit() || octet == b'.';
        leaks.extend(self.addresses(octets, v4, b'.', 3));
        let v6 = |octet: u8| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.');
        leaks.extend(self.addresses(octets, v6, b':', 2));
        leaks.sort();
        leaks.dedup();
        leaks
    }

    fn names(&self, octets: &[u8], domain: &str) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for (at, window) in octets.windows(domain.len()).enumerate() {
            if !window.eq_ignore_ascii_case(domain.as_bytes()) {
                continue;
            }
            let (before, from_here) = octets.split_at(at);
            let after = &from_here[domain.len()..];
            // A longer name that only begins like ours.
            let goes_on = match after {
                [b'.', next, ..] => is_name(*next),
                [next, ..] => *next != b'-' && is_name(*next),
                [] => false,
            };
            if goes_on {
                continue;
            }
            let head = before.iter().rev().take_while(|octet| is_name(**octet) || **octet == b'.').count();
            let start = at - head;
            let name = String::from_utf8_lossy(&octets[start..at + domain.len()]).into_owned();
            let port = port(after);
            if Host::parse(&name).is_some_and(|host| self.is_inside(host, port)) {
                leaks.push(Leak { at: start, text: name });
            }
        }
        leaks
    }

    /// Addresses among the runs of octets that may be of one.
    fn addresses(&self, octets: &[u8], of_one: impl Fn(u8) -> bool, mark: u8, marks: usize) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut at = 0;
        for run in octets.split(|octet| !of_one(*octet)) {
            let start = at;
            at += run.len() + 1;
            if run.iter().filter(|octet| **octet == mark).count() < marks {
                continue;
            }
            let text = std::str::from_utf8(run).unwrap_or_default();
            let trimmed = text.trim_end_matches('.');
            let Some(address) =
                [trimmed, trimmed.trim_end_matches(':'), trimmed.trim_start_matches(['.', ':'])]
                    .into_iter()
                    .find_map(|text| text.parse::<std::net::IpAddr>().ok())
            else {
                continue;
            };
            let after = octets.get(start + run.len()..).unwrap_or_default();
            let port = port(after.strip_prefix(b"]").unwrap_or(after));
            if self.is_inside(address.into(), port) {
                leaks.push(Leak { at: start, text: text.to_owned() });
            }
        }
        leaks
    }
}

/// Letters of a name; labels are joined by dots.
fn is_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')
}

/// What follows a host.
fn port(after: &[u8]) -> Option<u16> {
    let digits = after.strip_prefix(b":")?;
    let length = digits.iter().take_while(|octet| octet.is_ascii_digit()).count();
    std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::{Hiding, Inside, Key, Keys};

    fn leaks(text: &str) -> Vec<String> {
        let inside = Inside::new(
            ["home1.net"],
            ["10.30.0.0/16", "2001:db8:1::/48"],
            ["icscf.home1.net", "10.30.0.2:5070", "[2001:db8:1::2]:5070"],
        );
        let keys = Keys::one(1, Key::new(&[7; 16]));
        let hiding = Hiding::new("home1.net", inside.unwrap(), keys).unwrap();
        hiding.leaks(text.as_bytes()).into_iter().map(|leak| leak.text).collect()
    }

    #[test]
    fn thg_15_what_is_found() {
        for (text, found) in [
            ("Via: SIP/2.0/UDP SCSCF1.home1.net:5060;branch=z", "SCSCF1.home1.net"),
            ("Call-ID: 77@pcscf.home1.net\r\n", "77@pcscf.home1.net".trim_start_matches("77@")),
            ("branch=z9hG4bK-10.30.0.1-7", "10.30.0.1"),
            ("Warning: 399 hss.home1.net. \"x\"", "hss.home1.net"),
            ("c=IN IP4 10.30.4.5\r\n", "10.30.4.5"),
            ("sent to 10.30.4.5.", "10.30.4.5."),
            ("<sip:10.30.0.2:5060;lr>", "10.30.0.2"),
            ("<sip:term@[2001:db8:1::1]:6060;lr>", "2001:db8:1::1"),
            ("received=2001:DB8:1::7;x", "2001:DB8:1::7"),
            ("c=IN IP6 2001:db8:1:0:0:0:0:9\r\n", "2001:db8:1:0:0:0:0:9"),
            ("branch=z.scscf1.home1.net-7", "z.scscf1.home1.net"),
        ] {
            assert_eq!(leaks(text), [found], "{text}");
        }
        assert_eq!(leaks("a.home1.net b.home1.net\n10.30.0.1").len(), 3);
    }

    #[test]
    fn thg_15_what_is_none() {
        for text in [
            "From: <sip:alice@home1.net>;tag=1",
            "Via: SIP/2.0/UDP icscf.home1.net;branch=z",
            "sip:x;tokenized-by=home1.net;lr",
            "sip:scscf.home1.net.example sip:scscf.home1.network xhome1.net",
            "<sip:10.30.0.2:5070;lr> <sip:[2001:db8:1::2]:5070;lr>",
            "10.31.0.1 110.30.0.1 1.2.3 a:b::c 2001:db8:2::1 12:30:45",
            "",
        ] {
            assert_eq!(leaks(text), Vec::<String>::new(), "{text}");
        }
    }
}
