//! Network topology hiding (THIG): what names or addresses the inside of our network in Via, Record-Route, Route,
//! Service-Route, Path and Contact leaves as a token that only we can read, and becomes again what it was when
//! it comes back (TS 33.203 6.4, TS 24.229 5.10.4).
//!
//! What it never does: keep anything between two messages (each token holds all it takes, so any I-CSCF with the
//! same keys restores what another one hid), draw a random number (the IVs are an argument), read a clock or a
//! file, or show a key.
//!
//! Where to start reading: [`Hiding::hide`] and [`Hiding::restore`]; `token.rs` is the form of a token, [`Inside`]
//! tells what is hidden.
#![forbid(unsafe_code)]

mod base32;
mod hide;
mod inside;
mod key;
mod key_file;
mod leak;
mod restore;
mod token;

use sip::{Host, Name, NameAddr, Via};

pub use inside::{Inside, InsideError};
pub use key::{Key, Keys};
pub use key_file::{KeyFileError, new_key_file, rotate_key_file};
pub use leak::Leak;
pub use token::TokenRefused;

/// The hiding of one network.
#[derive(Debug)]
pub struct Hiding {
    /// What our tokens say behind `tokenized-by`; never hidden itself.
    network: Box<str>,
    inside: Inside,
    keys: Keys,
}

impl Hiding {
    /// `network`: the name of the network that hides, as others may know it.
    pub fn new(network: &str, inside: Inside, keys: Keys) -> Result<Self, InsideError> {
        match Host::parse(network) {
            Some(Host::Name(name)) => Ok(Self { network: name.into(), inside, keys }),
            _ => Err(InsideError::Network(network.into())),
        }
    }

    /// Whether an entry with this host stays among us. Neither the network's own name nor what [`Inside`] excepts.
    pub fn is_inside(&self, host: Host<'_>, port: Option<u16>) -> bool {
        !host.is(Host::Name(&self.network)) && self.inside.holds(host, port)
    }
}

/// The part of an entry that hiding looks at.
struct Seen<'a> {
    host: Host<'a>,
    port: Option<u16>,
    /// The network that made a token of it.
    tokenized_by: Option<&'a str>,
    /// What did not fit into the host.
    rest: &'a str,
}

const TOKENIZED_BY: &str = "tokenized-by";
const TOKENIZED_REST: &str = "tokenized-rest";

impl<'a> Seen<'a> {
    /// `None`: no such entry.
    fn of(name: Name, value: &'a str) -> Option<Self> {
        if name == Name::Via {
            let via = Via::parse(value).ok()?;
            let rest = via.params.value(TOKENIZED_REST).unwrap_or_default();
            let tokenized_by = via.params.get(TOKENIZED_BY).map(Option::unwrap_or_default);
            return Some(Self { host: via.host, port: via.port, tokenized_by, rest });
        }
        let address = NameAddr::parse(value)?;
        let uri = Self::of_uri(address.uri)?;
        // Without angle brackets the URI's parameters are read as the header's.
        let beside = |name| address.params.get(name).map(Option::unwrap_or_default);
        let rest = if uri.rest.is_empty() { beside(TOKENIZED_REST).unwrap_or_default() } else { uri.rest };
        Some(Self { tokenized_by: uri.tokenized_by.or_else(|| beside(TOKENIZED_BY)), rest, ..uri })
    }

    fn of_uri(uri: &'a str) -> Option<Self> {
        let uri = sip::Uri::parse(uri).ok()?;
        let rest = uri.params.value(TOKENIZED_REST).unwrap_or_default();
        let tokenized_by = uri.params.get(TOKENIZED_BY).map(Option::unwrap_or_default);
        Some(Self { host: uri.host, port: uri.port, tokenized_by, rest })
    }

    /// Whether it is a token made by `network`.
    fn is_of(&self, network: &str) -> bool {
        self.tokenized_by.is_some_and(|by| by.eq_ignore_ascii_case(network))
    }
}
