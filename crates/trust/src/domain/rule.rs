//! The six methods of the seed, and how a configuration combines them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way to know what a peer is (`spec/07` section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// I: TLS with a certificate of a partner.
    Tls,
    /// II: an interface under IPsec (Za, Zb).
    Protected,
    /// III: a node for one kind of peer only; outgoing, the role in the routing table.
    Dedicated,
    /// IV: trusted and untrusted interfaces in one node.
    Interfaces,
    /// V: ranges of addresses, where others cannot forge them.
    Addresses,
    /// VI: a closed network, in which all are members.
    Closed,
}

const METHODS: [Method; 6] = [
    Method::Tls,
    Method::Protected,
    Method::Dedicated,
    Method::Interfaces,
    Method::Addresses,
    Method::Closed,
];

impl Method {
    /// The number that the seed gives it.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Tls => "I",
            Self::Protected => "II",
            Self::Dedicated => "III",
            Self::Interfaces => "IV",
            Self::Addresses => "V",
            Self::Closed => "VI",
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Protected => "ipsec",
            Self::Dedicated => "dedicated",
            Self::Interfaces => "interfaces",
            Self::Addresses => "addresses",
            Self::Closed => "closed",
        }
    }
}

/// `IV (interfaces)`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.word())
    }
}

impl FromStr for Method {
    type Err = RuleError;

    /// The number or the word, in any case.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let is = |method: &Method| {
            text.eq_ignore_ascii_case(method.number()) || text.eq_ignore_ascii_case(method.word())
        };
        let squeezed: String = text.chars().filter(|letter| letter.is_ascii_alphabetic()).collect();
        match METHODS.into_iter().find(is) {
            Some(method) => Ok(method),
            None if ["dns", "reversedns", "rdns", "ptr"]
                .iter()
                .any(|word| squeezed.eq_ignore_ascii_case(word)) =>
            {
                Err(RuleError::ReverseDns)
            }
            None => Err(RuleError::UnknownMethod),
        }
    }
}

/// Why a list of methods is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    #[error("read a method of trust: write I to VI, or tls, ipsec, dedicated, interfaces, addresses, closed")]
    UnknownMethod,
    #[error(
        "trust by reverse DNS: whoever owns an address writes its name; use I (tls), II (ipsec) or IV (interfaces)"
    )]
    ReverseDns,
    #[error("decide without any method: name at least one")]
    Empty,
    #[error("accept more than {MOST} methods")]
    TooMany,
}

const MOST: usize = 32;

/// Alternatives, asked in their order; within one, all methods must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Vec<Vec<Method>>);

impl Rule {
    /// As configurations write it: `["IV", "I", "II+V"]`.
    pub fn parse<T: AsRef<str>>(alternatives: &[T]) -> Result<Self, RuleError> {
        if alternatives.is_empty() {
            return Err(RuleError::Empty);
        }
        let methods = |text: &T| text.as_ref().split('+').map(str::parse).collect::<Result<Vec<_>, _>>();
        let rule = Self(alternatives.iter().map(methods).collect::<Result<_, _>>()?);
        if rule.methods().count() > MOST { Err(RuleError::TooMany) } else { Ok(rule) }
    }

    pub(crate) fn alternatives(&self) -> impl Iterator<Item = &[Method]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Every method named anywhere.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        self.0.iter().flatten().copied()
    }

    pub fn names(&self, method: Method) -> bool {
        self.methods().any(|named| named == method)
    }
}

impl Default for Rule {
    /// IV, or else I.
    fn default() -> Self {
        Self(vec![vec![Method::Interfaces], vec![Method::Tls]])
    }
}

/// `IV (interfaces), or II (ipsec) with V (addresses)`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, alternative) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", or " })?;
            for (at, method) in alternative.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { " with " })?;
                method.fmt(f)?;
            }
        }
        Ok(())
    }
}

/// As configurations write it.
impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let joined =
            |methods: &[Method]| methods.iter().map(|one| one.number()).collect::<Vec<_>>().join("+");
        serializer.collect_seq(self.alternatives().map(joined))
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<String>::deserialize(deserializer)?;
        Self::parse(&written).map_err(|error| serde::de::Error::custom(format!("cannot {error}")))
    }
}
