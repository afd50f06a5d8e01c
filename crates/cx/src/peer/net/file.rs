//! How a configuration file names Diameter peers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;

use super::{DiameterClient, Listener, TlsError, TlsFile};
use crate::Server;
use crate::peer::base::is_identity;
use crate::peer::{ClientConfig, Origin, RemotePeer, ServerConfig};

const MOST_PEERS: usize = 8;

/// Why the Diameter part of a configuration cannot be used. The texts fit after "failed to …".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("use {key} = {value}: {wanted}")]
    BadValue { key: &'static str, value: Box<str>, wanted: &'static str },
    #[error("find the address of the HSS {peer} (HOST:PORT is wanted): {source}")]
    UnknownAddress { peer: Box<str>, source: io::Error },
    #[error("listen for Diameter on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The way to the HSS, as written in TOML: the table `[cx]` of an I-CSCF or S-CSCF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerFile {
    /// "HOST:PORT" of the HSS, or of a Diameter agent on the way to it. Either this or `peers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Our Diameter identity.
    pub origin_host: String,
    pub origin_realm: String,
    pub destination_realm: String,
    /// Set when requests must go to one HSS by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_host: Option<String>,
    /// Silence in seconds before a peer is asked for a sign of life.
    #[serde(default = "watchdog_seconds")]
    pub watchdog_seconds: u64,
    /// Time for an answer, attempts at other peers included.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Requests without an answer, at most.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// Several peers, preferred first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<RemoteFile>,
    /// Without it the connection is clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// "HOST:PORT".
    pub address: String,
    /// The Origin-Host it must have. With TLS its certificate must name it, and HOST stands for it when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

const fn watchdog_seconds() -> u64 {
    30
}

const fn request_timeout_ms() -> u64 {
    5000
}

const fn max_in_flight() -> usize {
    1024
}

impl PeerFile {
    /// Starts connections that keep themselves up. Inside a runtime. What the HSS asks is refused.
    pub async fn connect(&self) -> Result<DiameterClient, FileError> {
        Ok(DiameterClient::start(self.config().await?))
    }

    /// Like [`Self::connect`]; `server` answers what the HSS asks.
    pub async fn connect_with_server(&self, server: Arc<dyn Server>) -> Result<DiameterClient, FileError> {
        Ok(DiameterClient::start_with_server(self.config().await?, server))
    }

    /// Checks every value, resolves every name and reads the certificates.
    pub async fn config(&self) -> Result<ClientConfig, FileError> {
        let origin = origin(&self.origin_host, &self.origin_realm)?;
        identity("cx.destination_realm", &self.destination_realm)?;
        if let Some(host) = &self.destination_host {
            identity("cx.destination_host", host)?;
        }
        let mut peers = Vec::new();
        for file in self.remotes()? {
            peers.push(file.resolve(self.tls.is_some()).await?);
        }
        let tls = self.tls.as_ref().map(|tls| tls.load(&origin.host)).transpose()?;
        Ok(ClientConfig {
            peers,
            destination_host: self.destination_host.clone(),
            watchdog: watchdog(self.watchdog_seconds)?,
            request_timeout: request_timeout(self.request_timeout_ms)?,
            max_in_flight: in_flight(self.max_in_flight)?,
            tls,
            ..ClientConfig::to(origin, self.destination_realm.clone())
        })
    }

    fn remotes(&self) -> Result<Vec<RemoteFile>, FileError> {
        match (&self.peer, self.peers.len()) {
            (Some(address), 0) => Ok(vec![RemoteFile { address: address.clone(), host: None }]),
            (None, 1..=MOST_PEERS) => Ok(self.peers.clone()),
            (Some(peer), _) => Err(bad("cx.peer", peer, "either peer or peers is wanted, not both")),
            (None, 0) => Err(bad("cx.peers", "[]", "peer = \"HOST:PORT\" or peers is wanted")),
            (None, many) => Err(bad("cx.peers", &format!("{many} peers"), "at most 8")),
        }
    }
}

impl RemoteFile {
    async fn resolve(&self, tls: bool) -> Result<RemotePeer, FileError> {
        let host = match &self.host {
            Some(host) => {
                identity("cx.peers.host", host)?;
                Some(host.clone())
            }
            None if tls => Some(self.name_in_address()?),
            None => None,
        };
        let unknown = |source| FileError::UnknownAddress { peer: self.address.as_str().into(), source };
        let mut found = tokio::net::lookup_host(&self.address).await.map_err(unknown)?;
        let address = found.next().ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
        Ok(RemotePeer { address, host })
    }

    fn name_in_address(&self) -> Result<String, FileError> {
        let name = self.address.rsplit_once(':').map(|(name, _)| name).unwrap_or_default();
        if is_identity(name) && name.parse::<IpAddr>().is_err() {
            return Ok(name.to_owned());
        }
        let wanted =
            "with TLS the peer's Origin-Host: peers = [{ address = \"HOST:PORT\", host = \"hss.example\" }]";
        Err(bad("cx.peers.address", &self.address, wanted))
    }
}

/// The Diameter side of an HSS, as written in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFile {
    /// Addresses for Diameter over TCP in clear text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<SocketAddr>,
    /// Addresses for Diameter over TLS; port 5658 is the usual one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen_tls: Vec<SocketAddr>,
    /// Our Diameter identity.
    pub origin_host: String,
    pub origin_realm: String,
    /// Origin-Hosts that may connect; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_peers: Option<Vec<String>>,
    /// Peers at a time, at most.
    #[serde(default = "max_peers")]
    pub max_peers: usize,
    #[serde(default = "watchdog_seconds")]
    pub watchdog_seconds: u64,
    /// Time for the answer to a request of the HSS's own.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// Needed by `listen_tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFile>,
}

const fn max_peers() -> usize {
    64
}

impl ServerFile {
    /// Checks every value but the addresses.
    pub fn config(&self) -> Result<ServerConfig, FileError> {
        for host in self.allowed_peers.iter().flatten() {
            identity("allowed_peers", host)?;
        }
        if !(1..=4096).contains(&self.max_peers) {
            return Err(bad("max_peers", &self.max_peers.to_string(), "1 to 4096"));
        }
        if self.listen.is_empty() && self.listen_tls.is_empty() {
            return Err(bad("listen", "[]", "an address in listen or listen_tls is wanted"));
        }
        if self.tls.is_none() && !self.listen_tls.is_empty() {
            return Err(bad(
                "listen_tls",
                "",
                "the table tls with ca, certificate and key is wanted as well",
            ));
        }
        if self.tls.is_some() && self.listen_tls.is_empty() {
            return Err(bad("listen_tls", "[]", "an address is wanted where there is a table tls"));
        }
        Ok(ServerConfig {
            allowed_peers: self.allowed_peers.clone(),
            max_peers: self.max_peers,
            watchdog: watchdog(self.watchdog_seconds)?,
            request_timeout: request_timeout(self.request_timeout_ms)?,
            max_in_flight: in_flight(self.max_in_flight)?,
            ..ServerConfig::new(origin(&self.origin_host, &self.origin_realm)?)
        })
    }

    /// Opens the sockets and reads the certificates. Inside a runtime.
    pub async fn listen(&self) -> Result<Vec<Listener>, FileError> {
        let mut listeners = Vec::new();
        for address in &self.listen {
            listeners.push(Listener::from(bind(*address).await?));
        }
        if let Some(file) = &self.tls {
            let tls = file.load(&self.origin_host)?;
            for address in &self.listen_tls {
                listeners.push(Listener::tls(bind(*address).await?, tls.clone()));
            }
        }
        Ok(listeners)
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, FileError> {
    TcpListener::bind(address).await.map_err(|source| FileError::Listen { address, source })
}

fn origin(host: &str, realm: &str) -> Result<Origin, FileError> {
    identity("origin_host", host)?;
    identity("origin_realm", realm)?;
    Ok(Origin { host: host.to_owned(), realm: realm.to_owned() })
}

fn identity(key: &'static str, value: &str) -> Result<(), FileError> {
    if is_identity(value) {
        return Ok(());
    }
    Err(bad(key, value, "a host or realm name of letters, digits, dots and hyphens"))
}

//= RFC 3539 3.4.1
fn watchdog(seconds: u64) -> Result<Duration, FileError> {
    if (6..=3600).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(bad("watchdog_seconds", &seconds.to_string(), "6 to 3600"))
}

fn request_timeout(millis: u64) -> Result<Duration, FileError> {
    if (100..=60_000).contains(&millis) {
        return Ok(Duration::from_millis(millis));
    }
    Err(bad("request_timeout_ms", &millis.to_string(), "100 to 60000"))
}

fn in_flight(number: usize) -> Result<usize, FileError> {
    if (1..=65_536).contains(&number) {
        return Ok(number);
    }
    Err(bad("max_in_flight", &number.to_string(), "1 to 65536"))
}

fn bad(key: &'static str, value: &str, wanted: &'static str) -> FileError {
    FileError::BadValue { key, value: value.into(), wanted }
}
