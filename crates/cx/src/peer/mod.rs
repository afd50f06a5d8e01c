//! Diameter connections between the CSCFs and the HSS, over TCP or TLS.
//!
//! [`DiameterClient`] keeps a connection to each HSS peer of its configuration and is a [`crate::Link`]; what the HSS
//! asks of its own accord goes to a [`crate::Server`]. [`Peers`] is the HSS's end: it answers whoever connects and is a
//! [`crate::PeerLink`] to them.
//!
//! The protocol is the value `Node` in `node.rs`, without sockets and clocks; `net/` moves its octets and tells it
//! the time.

mod base;
mod calling;
mod connection;
mod dial;
mod duplicates;
mod net;
mod node;
mod random;
mod serving;
mod watchdog;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

pub use net::{
    DiameterClient, FileError, Listener, PeerFile, Peers, RemoteFile, ServerFile, Tls, TlsError, TlsFile,
    serve,
};
use random::Random;

use crate::diameter::Command;

/// Time since the node began.
type Now = Duration;

/// 30 s give 28 to 32 s.
//= RFC 3539 3.4.1
fn jittered(interval: Duration, random: &mut Random) -> Duration {
    random.around(interval, interval / 15)
}

/// Origin-Host and Origin-Realm: who a Diameter node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub host: String,
    pub realm: String,
}

/// One peer a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePeer {
    pub address: SocketAddr,
    /// The Origin-Host it must have; any when absent.
    pub host: Option<String>,
}

/// How a client reaches its HSS.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub origin: Origin,
    /// Preferred first. All are kept connected; requests go to the first that is usable.
    pub peers: Vec<RemotePeer>,
    pub destination_realm: String,
    /// Set when the HSS is known by name.
    pub destination_host: Option<String>,
    /// After this long, attempts at other peers included, a request is answered with an error.
    pub request_timeout: Duration,
    /// Beyond this many unanswered requests, further ones are refused at once.
    pub max_in_flight: usize,
    /// Tw of RFC 3539: silence before the peer is asked for a sign of life. Below 6 s is for tests only.
    pub watchdog: Duration,
    /// The first pause before connecting again; doubles up to `longest_pause`.
    pub shortest_pause: Duration,
    pub longest_pause: Duration,
    /// What the HSS may ask, when a server is there to answer it.
    pub serves: &'static [Command],
    /// Requests of one peer the server may work on at a time; further ones are refused with TOO_BUSY.
    pub max_in_progress: usize,
    /// With it every peer must have a name, and nothing is ever sent in clear text.
    pub tls: Option<Tls>,
}

impl ClientConfig {
    /// To one peer in clear text.
    pub fn new(origin: Origin, remote: SocketAddr, destination_realm: String) -> Self {
        let peers = vec![RemotePeer { address: remote, host: None }];
        Self { peers, ..Self::to(origin, destination_realm) }
    }

    /// To no peer so far. With the timers of RFC 3539 and RFC 6733.
    pub fn to(origin: Origin, destination_realm: String) -> Self {
        Self {
            origin,
            peers: Vec::new(),
            destination_realm,
            destination_host: None,
            request_timeout: Duration::from_secs(5),
            max_in_flight: 1024,
            watchdog: Duration::from_secs(30),
            shortest_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            serves: &[Command::RegistrationTermination, Command::PushProfile],
            max_in_progress: 256,
            tls: None,
        }
    }
}

/// How a server meets its peers.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub origin: Origin,
    pub watchdog: Duration,
    /// Beyond this many peers, further ones are refused with TOO_BUSY.
    pub max_peers: usize,
    /// Origin-Hosts that may connect; all when absent.
    pub allowed_peers: Option<Vec<String>>,
    /// For the requests of the server's own.
    pub request_timeout: Duration,
    pub max_in_flight: usize,
    pub serves: &'static [Command],
    /// Requests of one peer the server may work on at a time; further ones are refused with TOO_BUSY.
    pub max_in_progress: usize,
}

impl ServerConfig {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            watchdog: Duration::from_secs(30),
            max_peers: 64,
            allowed_peers: None,
            request_timeout: Duration::from_secs(5),
            max_in_flight: 1024,
            serves: &[
                Command::UserAuthorization,
                Command::ServerAssignment,
                Command::LocationInfo,
                Command::MultimediaAuth,
            ],
            max_in_progress: 1024,
        }
    }
}
