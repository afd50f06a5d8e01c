use std::net::{IpAddr, SocketAddr};

use cx::ServerName;
use sip::Timers;

/// What the I-CSCF needs to know, names resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our address: in Via, and in Route entries that are ours.
    pub address: SocketAddr,
    /// Our domain: the visited network of whoever names none.
    pub home_domain: Box<str>,
    /// The CSCFs that may send us requests; a UE that goes around its P-CSCF is not among them.
    pub trusted_peers: Vec<IpAddr>,
    /// The S-CSCFs of this network, preferred first.
    pub s_cscfs: Vec<SCscf>,
    pub timers: Timers,
    pub transactions: usize,
}

/// An S-CSCF that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SCscf {
    /// As the HSS stores it.
    pub name: ServerName,
    pub address: SocketAddr,
    pub capabilities: Vec<u32>,
}
