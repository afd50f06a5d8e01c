//! Diameter connections over TCP: enough for separate daemons on one testbed, and for another vendor's HSS.
//!
//! [`DiameterClient`] keeps one connection to an HSS and is a [`crate::Link`]; [`serve`] answers any number of
//! clients out of a [`crate::Server`]. There is no TLS and no list of allowed peers: listen on a network where only
//! the core lives.

mod base;
mod client;
mod connection;
mod file;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

pub use client::DiameterClient;
pub use file::{PeerFile, UnknownPeer};
pub use server::serve;

/// Origin-Host and Origin-Realm: who a Diameter node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub host: String,
    pub realm: String,
}

/// How a client reaches its HSS.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub origin: Origin,
    pub remote: SocketAddr,
    pub destination_realm: String,
    /// Set when the HSS is known by name.
    pub destination_host: Option<String>,
    /// After this long a request is answered with [`crate::LinkError::Timeout`].
    pub request_timeout: Duration,
    /// Beyond this many unanswered requests, further ones are refused at once.
    pub max_in_flight: usize,
    /// Tw of RFC 3539: silence before the peer is asked for a sign of life. Below 6 s is for tests only.
    pub watchdog: Duration,
    /// The first pause before connecting again; doubles up to `longest_pause`.
    pub shortest_pause: Duration,
    pub longest_pause: Duration,
}

impl ClientConfig {
    /// With the timers of RFC 3539 and RFC 6733.
    pub fn new(origin: Origin, remote: SocketAddr, destination_realm: String) -> Self {
        Self {
            origin,
            remote,
            destination_realm,
            destination_host: None,
            request_timeout: Duration::from_secs(5),
            max_in_flight: 1024,
            watchdog: Duration::from_secs(30),
            shortest_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// How a server meets its peers.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub origin: Origin,
    pub watchdog: Duration,
    /// Beyond this many connections, further ones are closed at once.
    pub max_peers: usize,
}

impl ServerConfig {
    pub fn new(origin: Origin) -> Self {
        Self { origin, watchdog: Duration::from_secs(30), max_peers: 64 }
    }
}
