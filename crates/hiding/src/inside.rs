//! What is hidden: told by names and addresses as written, never by a look-up.

use sip::{Host, Uri};
use trust::{Prefix, PrefixError};

/// The inside of our network.
///
/// A Via, Route or Path entry belongs to it by its host alone. So what tells our P-CSCFs' entries from those of the
/// phones before them is that no address a phone may have is in `prefixes`, and no name a phone may use below `domains`.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    domains: Vec<Box<str>>,
    prefixes: Vec<Prefix>,
    except: Vec<Except>,
}

/// A value that says nothing about hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsideError {
    #[error("take {0:?} as the name of the network that hides: it must be a host name")]
    Network(Box<str>),
    #[error("take {0:?} as a domain of the inside: it must be a host name")]
    Domain(Box<str>),
    #[error("take {0:?} as addresses of the inside")]
    Prefix(Box<str>, #[source] PrefixError),
    #[error("leave {0:?} in sight: it must be HOST or HOST:PORT")]
    Except(Box<str>),
}

impl Inside {
    /// `domains`: each with all names below it. `prefixes`: `10.30.0.0/16`, `2001:db8:1::/48`. `except`: what others
    /// must reach all the same, above all our borders: `HOST` with every port, or `HOST:PORT`.
    pub fn new<'d, 'p, 'e>(
        domains: impl IntoIterator<Item = &'d str>,
        prefixes: impl IntoIterator<Item = &'p str>,
        except: impl IntoIterator<Item = &'e str>,
    ) -> Result<Self, InsideError> {
        let domain = |name: &str| match Host::parse(name) {
            Some(Host::Name(name)) if !name.starts_with('.') => Ok(absolute(name).into()),
            _ => Err(InsideError::Domain(name.into())),
        };
        let prefix = |text: &str| text.parse().map_err(|error| InsideError::Prefix(text.into(), error));
        let border = |text: &str| Except::parse(text).ok_or_else(|| InsideError::Except(text.into()));
        Ok(Self {
            domains: domains.into_iter().map(domain).collect::<Result<_, _>>()?,
            prefixes: prefixes.into_iter().map(prefix).collect::<Result<_, _>>()?,
            except: except.into_iter().map(border).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn holds(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let among = match host.ip() {
            Some(address) => self.prefixes.iter().any(|prefix| prefix.contains(address)),
            None => self.domains.iter().any(|domain| below(host, domain)),
        };
        among && !self.except.iter().any(|except| except.is(host, port))
    }

    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(AsRef::as_ref)
    }
}

/// The domain itself or a name below it.
fn below(host: Host<'_>, domain: &str) -> bool {
    let Host::Name(name) = host else { return false };
    let name = absolute(name);
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let (head, tail) = (name.get(..at), name.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(domain))
        && head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// `home1.net.` is `home1.net`.
fn absolute(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[derive(Debug, Clone)]
struct Except {
    host: Box<str>,
    port: Option<u16>,
}

impl Except {
    fn parse(text: &str) -> Option<Self> {
        let uri = format!("sip:{text}");
        let uri = Uri::parse(&uri).ok()?;
        let bare = uri.user.is_none() && uri.params.as_str().is_empty() && uri.headers.is_none();
        bare.then(|| Self { host: absolute(&uri.host.to_string()).into(), port: uri.port })
    }

    fn is(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let host = match host {
            Host::Name(name) => Host::Name(absolute(name)),
            address => address,
        };
        Host::parse(&self.host).is_some_and(|own| own.is(host))
            && self.port.is_none_or(|own| own == port.unwrap_or(5060))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> Inside {
        let except = ["icscf.home1.net", "10.30.0.2:5070", "[2001:db8:1::2]"];
        Inside::new(["home1.net", "core.example."], ["10.30.0.0/16", "2001:db8:1::/48"], except).unwrap()
    }

    fn holds(text: &str) -> bool {
        let uri = format!("sip:{text}");
        let uri = Uri::parse(&uri).unwrap();
        inside().holds(uri.host, uri.port)
    }

    #[test]
    fn thg_1_what_is_inside() {
        for host in [
            "scscf1.home1.net",
            "SCSCF1.Home1.NET:5060",
            "a.b.home1.net.",
            "home1.net",
            "x.core.example",
            "10.30.255.1",
            "10.30.0.2",
            "[2001:db8:1:ffff::1]:5060",
            "[::ffff:10.30.0.1]",
        ] {
            assert!(holds(host), "{host}");
        }
    }

    #[test]
    fn thg_1_what_is_not() {
        for host in [
            "icscf.home1.net",
            "ICSCF.home1.net.:5070",
            "10.30.0.2:5070",
            "[2001:db8:1::2]:99",
            "home2.net",
            "xhome1.net",
            "home1.net.example",
            "net",
            "10.31.0.1",
            "[2001:db8:2::1]",
        ] {
            assert!(!holds(host), "{host}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["10.0.0.0/33", "10.30.0.1/16", "::/129", "10.0.0.0/-1", "x/8", ""] {
            let named = |error| matches!(error, InsideError::Prefix(named, _) if *named == *text);
            assert!(Inside::new([], [text], []).is_err_and(named), "{text}");
        }
        for text in ["", ".home1.net", "10.0.0.1", "home1 net"] {
            assert_eq!(Inside::new([text], [], []).err(), Some(InsideError::Domain(text.into())));
        }
        for text in ["", "a@b", "a;lr", "a:b", "a?b"] {
            assert_eq!(Inside::new([], [], [text]).err(), Some(InsideError::Except(text.into())));
        }
    }
}
