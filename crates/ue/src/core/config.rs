//! What makes one UE differ from another.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aka::{Impi, Impu};
use sec_agree::{Algorithms, ClientPorts, Port, Spi};
use sip::Timers;

use super::Answering;

/// What a UE is told to be.
#[derive(Debug, Clone)]
pub struct Config {
    pub impi: Impi,
    pub impu: Impu,
    pub home_domain: Box<str>,
    pub address: IpAddr,
    /// Local port of unprotected requests.
    pub clear_port: u16,
    /// The P-CSCF's unprotected address.
    pub p_cscf: SocketAddr,
    pub transport: TransportChoice,
    /// The offer, and what is taken of the P-CSCF's list.
    pub algorithms: Vec<Algorithms>,
    /// Offers UDP-enc-tun as well, and uses it where a NAT hides us.
    pub nat_traversal: bool,
    pub server_port: Port,
    pub client_ports: ClientPorts,
    pub spi_first: Spi,
    pub spi_last: Spi,
    /// Registration time asked for, in seconds.
    pub expires: u32,
    /// P-Access-Network-Info of protected requests.
    pub access_network: Option<Box<str>>,
    pub timers: Timers,
    /// A step that takes longer has failed.
    pub patience: Duration,
    /// Re-registers in time by itself, and tries again after failures that may pass.
    pub stay_registered: bool,
    /// Subscribes to its own registration state (event package reg) once registered.
    pub subscribe: bool,
    /// Refreshes that subscription this often, however long it lasts: traffic in both directions for whoever wants to
    /// see what becomes of it.
    pub refresh_subscription: Option<Duration>,
    /// What it does when others ask it.
    pub answering: Answering,
}

/// Which transport requests leave by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// UDP, or TCP for a request over 1300 octets (RFC 3261 18.1.1).
    #[default]
    BySize,
    Udp,
    Tcp,
}
