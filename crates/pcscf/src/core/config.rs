use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sec_agree::{ClientPorts, Policy, Port, Spi};
use sip::{Host, Uri};

/// What the P-CSCF needs to know, names resolved and values checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name: in Path, and in Route entries that are ours.
    pub host: Box<str>,
    /// P-Visited-Network-ID, orig-ioi.
    pub network: Box<str>,
    /// Addresses towards UEs, at most one of each family.
    pub gm: Vec<GmAddress>,
    /// Our address towards the core network.
    pub mw: SocketAddr,
    /// The I-CSCF of each home domain; a domain that is not here is not served.
    pub entry_points: Vec<(Box<str>, SocketAddr)>,
    /// The other hosts of the core network that requests go to and come from, above all S-CSCFs.
    pub neighbours: Vec<(Box<str>, SocketAddr)>,
    pub policy: Policy,
    pub spi_first: Spi,
    pub spi_last: Spi,
    /// Life of a set that no registration has confirmed.
    //= TS 24.229 7.8
    pub reg_await_auth: Duration,
    pub limits: Limits,
}

/// An address towards UEs with its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GmAddress {
    /// For unprotected requests.
    pub clear: SocketAddr,
    pub server_port: Port,
    pub client_ports: ClientPorts,
}

/// Bounds on what strangers can make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub transactions: usize,
    /// Sets of security associations, whatever their stage.
    pub sets: usize,
    /// REGISTERs in clear from one address: each costs the HSS a vector.
    pub registers: Rate,
}

/// How fast something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once; 0: there is no limit.
    pub burst: u32,
    /// And then every second, at least one.
    pub per_second: u32,
}

impl GmAddress {
    /// Whether this end of a state is one of our protected ports. They are ours alone, so nobody else made it.
    pub fn protects(&self, end: SocketAddr) -> bool {
        let port = end.port();
        let protected = port == self.server_port.get() || self.client_ports.contains(port);
        end.ip() == self.clear.ip() && protected
    }

    /// Whether UEs send to this port, or we send to them from it.
    pub(super) fn owns(&self, port: u16) -> bool {
        port == self.clear.port() || port == self.server_port.get() || self.client_ports.contains(port)
    }
}

impl Config {
    pub(super) fn gm_address(&self, address: IpAddr) -> Option<&GmAddress> {
        self.gm.iter().find(|gm| gm.clear.ip() == address)
    }

    /// The I-CSCF of a home domain.
    pub(super) fn entry_point(&self, domain: &str) -> Option<SocketAddr> {
        self.entry_points
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(domain))
            .map(|(_, address)| *address)
    }

    /// Where a request for this URI goes: to a neighbour by name or address, to nobody else.
    pub(super) fn next_hop(&self, uri: &Uri<'_>) -> Option<SocketAddr> {
        let known = self.neighbours.iter().chain(&self.entry_points);
        let found = match uri.host.ip() {
            Some(ip) => known.map(|(_, address)| address).find(|address| address.ip() == ip),
            None => {
                known.filter(|(name, _)| uri.host.is(Host::Name(name))).map(|(_, address)| address).next()
            }
        };
        found.map(|address| SocketAddr::new(address.ip(), uri.port.unwrap_or(address.port())))
    }

    /// Whether this is a host of the core network that requests may come from.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.neighbours.iter().chain(&self.entry_points).any(|(_, known)| known.ip() == address)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 100_000, sets: 300_000, registers: Rate::default() }
    }
}

/// Many UEs may share the address of their NAT.
impl Default for Rate {
    fn default() -> Self {
        Self { burst: 200, per_second: 20 }
    }
}
