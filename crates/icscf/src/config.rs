use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cx::ServerName;
use sip::{Timers, Transport};

use crate::Border;

/// What the I-CSCF needs to know, names resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our address: in Via, and in Route entries that are ours.
    pub address: SocketAddr,
    /// Our domain: the visited network of whoever names none.
    pub home_domain: Box<str>,
    /// The CSCFs that may send us requests; a UE that goes around its P-CSCF is not among them.
    pub trusted_peers: Vec<IpAddr>,
    /// The S-CSCFs of this network.
    pub s_cscfs: Vec<SCscf>,
    /// An S-CSCF that has not said a word for this long is passed over. Longer than the 3.5 s after which one that
    /// waits for the HSS says 100 (RFC 4320).
    pub patience: Duration,
    /// How long one that failed is left out before a single request tries it again; and the longest that one may stay
    /// away with Retry-After.
    pub left_out: Duration,
    /// Towards other networks.
    pub border: Option<Border>,
    pub timers: Timers,
    pub transactions: usize,
}

impl Config {
    /// Defaults for all that has one.
    pub fn new(address: SocketAddr, home_domain: &str) -> Self {
        Self {
            address,
            home_domain: home_domain.into(),
            trusted_peers: Vec::new(),
            s_cscfs: Vec::new(),
            patience: Duration::from_secs(5),
            left_out: Duration::from_secs(30),
            border: None,
            timers: Timers::CORE,
            transactions: 100_000,
        }
    }
}

/// An S-CSCF that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SCscf {
    /// As the HSS stores it.
    pub name: ServerName,
    pub address: SocketAddr,
    /// As its name says; without it the size of a request decides.
    pub transport: Option<Transport>,
    pub capabilities: Vec<u32>,
    /// Its share of new users among equals. 0: only when no other can.
    pub weight: u32,
}

impl SCscf {
    /// With an equal share, and no capabilities.
    pub fn new(name: ServerName, address: SocketAddr) -> Self {
        let transport = sip::Uri::parse(name.as_str()).ok().and_then(|uri| uri.transport());
        Self { name, address, transport, capabilities: Vec::new(), weight: 1 }
    }
}
