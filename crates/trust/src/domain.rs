//! The trust decision: what a peer is to us, for one direction.

mod rule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sip::Transport;

use crate::Prefix;
pub use rule::{Method, Rule, RuleError};

/// What a peer is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// A node of this operator (class a).
    Own,
    /// A node of another operator within the trust domain (class b).
    Other,
    /// Outside the trust domain, or unknown (class c).
    Untrusted,
}

/// Which way the message goes. A peer may be trusted in one direction only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Incoming,
    Outgoing,
}

/// How an interface is protected (SPEC(T) point 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protection {
    /// IPsec between operators, through security gateways: integrity and confidentiality.
    #[serde(alias = "za")]
    Za,
    /// IPsec within one operator's network.
    #[serde(alias = "zb")]
    Zb,
    /// TLS; what comes over another transport has no protection.
    #[serde(rename = "TLS", alias = "tls")]
    Tls,
    /// A wire, or a filter of addresses, that outsiders cannot reach.
    #[serde(rename = "physical")]
    Physical,
    #[serde(rename = "none")]
    None,
}

/// A local address and what lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Port 0: every port of that address.
    pub address: SocketAddr,
    pub protection: Protection,
    pub role: Trust,
}

/// A name in the certificate of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// A whole DNS name.
    pub name: Box<str>,
    pub class: Trust,
}

/// What is known of the peer that sent a message, or that it goes to. For a response: of the way it takes, whatever
/// way its request took.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// The listener that the message came in by or leaves from (not the port of an outgoing connection).
    pub interface: Option<SocketAddr>,
    pub remote: IpAddr,
    pub transport: Transport,
    /// The names in the certificate that the peer has proved to hold on this connection. Before a connection stands:
    /// the name that the peer must prove there.
    pub names: &'a [Box<str>],
    /// The role that the routing table gives to the next hop (method III, outgoing).
    pub route: Option<Trust>,
}

/// The trust domain as this node sees it. By default it holds nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustDomain {
    pub incoming: Rule,
    pub outgoing: Rule,
    pub interfaces: Vec<Interface>,
    pub certificates: Vec<Certificate>,
    pub own_prefixes: Vec<Prefix>,
    pub other_prefixes: Vec<Prefix>,
    /// The role of everything round this node, where it was set up for one kind of peer only (method III). With
    /// `Untrusted` (an I-CSCF for the Internet) nobody is trusted, by any method.
    pub dedicated: Option<Trust>,
}

impl TrustDomain {
    /// What the peer is. Whoever no method vouches for is untrusted.
    pub fn decide(&self, direction: Direction, peer: &Peer<'_>) -> Trust {
        if self.dedicated == Some(Trust::Untrusted) {
            return Trust::Untrusted;
        }
        let rule = match direction {
            Direction::Incoming => &self.incoming,
            Direction::Outgoing => &self.outgoing,
        };
        let class = rule.alternatives().find_map(|methods| {
            let votes = methods.iter().map(|method| self.vote(*method, direction, peer));
            let agreed = votes.reduce(Votes::and).unwrap_or(Votes::NOBODY);
            // SPEC(T) point 2: another operator's word that crossed an open wire is anybody's word.
            agreed.class().filter(|class| *class != Trust::Other || self.is_protected(peer))
        });
        class.unwrap_or(Trust::Untrusted)
    }

    fn vote(&self, method: Method, direction: Direction, peer: &Peer<'_>) -> Votes {
        match method {
            Method::Tls => Votes::of(self.proved(peer)),
            Method::Protected => {
                let interface = self.interface(peer);
                let ipsec = |one: &&Interface| matches!(one.protection, Protection::Za | Protection::Zb);
                Votes::of(interface.filter(ipsec).map(|one| one.role))
            }
            Method::Dedicated => match direction {
                Direction::Incoming => Votes::of(self.dedicated),
                Direction::Outgoing => Votes::of(peer.route.or(self.dedicated)),
            },
            Method::Interfaces => Votes::of(self.interface(peer).map(|one| one.role)),
            Method::Addresses => Votes::of(self.of_address(peer.remote)),
            Method::Closed => Votes { own: true, other: true },
        }
    }

    /// The class of the partner whose certificate the peer has shown.
    fn proved(&self, peer: &Peer<'_>) -> Option<Trust> {
        if peer.transport != Transport::Tls {
            return None;
        }
        let shown = |known: &&Certificate| peer.names.iter().any(|name| is_same_name(name, &known.name));
        self.certificates.iter().find(shown).map(|known| known.class)
    }

    fn interface(&self, peer: &Peer<'_>) -> Option<&Interface> {
        let local = peer.interface?;
        let of_address = |one: &&Interface| one.address.ip().to_canonical() == local.ip().to_canonical();
        let mut interfaces = self.interfaces.iter().filter(of_address);
        let exact = interfaces.clone().find(|one| one.address.port() == local.port());
        exact.or_else(|| interfaces.find(|one| one.address.port() == 0))
    }

    /// The longer prefix says more; of two of one length, that of our own network is believed.
    fn of_address(&self, remote: IpAddr) -> Option<Trust> {
        let longest = |prefixes: &[Prefix]| {
            prefixes.iter().filter(|prefix| prefix.contains(remote)).map(Prefix::length).max()
        };
        match (longest(&self.own_prefixes), longest(&self.other_prefixes)) {
            (None, None) => None,
            (own, other) if own >= other => Some(Trust::Own),
            _ => Some(Trust::Other),
        }
    }

    fn is_protected(&self, peer: &Peer<'_>) -> bool {
        let by_interface = self.interface(peer).is_some_and(|interface| match interface.protection {
            Protection::Za | Protection::Zb | Protection::Physical => true,
            Protection::Tls => peer.transport == Transport::Tls,
            Protection::None => false,
        });
        by_interface || self.proved(peer).is_some()
    }
}

/// The classes that a method leaves possible.
#[derive(Clone, Copy)]
struct Votes {
    own: bool,
    other: bool,
}

impl Votes {
    const NOBODY: Self = Self { own: false, other: false };

    fn of(class: Option<Trust>) -> Self {
        Self { own: class == Some(Trust::Own), other: class == Some(Trust::Other) }
    }

    fn and(self, with: Self) -> Self {
        Self { own: self.own && with.own, other: self.other && with.other }
    }

    fn class(self) -> Option<Trust> {
        match self {
            Self { own: true, .. } => Some(Trust::Own),
            Self { other: true, .. } => Some(Trust::Other),
            _ => None,
        }
    }
}

/// Whole names only: no suffix and no wildcard ever matches.
//= RFC 5922 7.2
fn is_same_name(one: &str, two: &str) -> bool {
    let plain = |name: &str| !name.is_empty() && !name.contains('*');
    let (one, two) = (one.strip_suffix('.').unwrap_or(one), two.strip_suffix('.').unwrap_or(two));
    plain(one) && one.eq_ignore_ascii_case(two)
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Other => "other",
            Self::Untrusted => "untrusted",
        })
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Za => "Za",
            Self::Zb => "Zb",
            Self::Tls => "TLS",
            Self::Physical => "physical",
            Self::None => "none",
        })
    }
}
