//! How a configuration file names a Diameter peer.

use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::DiameterClient;
use crate::peer::{ClientConfig, Origin};

/// The HSS, over Diameter, as written in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerFile {
    /// "HOST:PORT" of the HSS.
    pub peer: String,
    /// Our Diameter identity.
    pub origin_host: String,
    pub origin_realm: String,
    pub destination_realm: String,
    /// Set when requests must go to one HSS by name.
    pub destination_host: Option<String>,
}

/// The HSS's address cannot be found.
#[derive(Debug, Error)]
#[error("find the address of the HSS {peer} (HOST:PORT is wanted): {source}")]
pub struct UnknownPeer {
    peer: Box<str>,
    source: io::Error,
}

impl PeerFile {
    /// Starts a connection that keeps itself up. Inside a runtime.
    pub async fn connect(&self) -> Result<DiameterClient, UnknownPeer> {
        let unknown = |source| UnknownPeer { peer: self.peer.as_str().into(), source };
        let mut found = tokio::net::lookup_host(&self.peer).await.map_err(unknown)?;
        let remote = found.next().ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
        let origin = Origin { host: self.origin_host.clone(), realm: self.origin_realm.clone() };
        let mut config = ClientConfig::new(origin, remote, self.destination_realm.clone());
        config.destination_host.clone_from(&self.destination_host);
        Ok(DiameterClient::start(config))
    }
}
