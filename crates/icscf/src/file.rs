//! The configuration file of the I-CSCF.

use std::net::{IpAddr, SocketAddr};

use cx::ServerName;
use cx::peer::PeerFile;
use node::config::{ConfigError, resolve};
use serde::{Deserialize, Serialize};
use sip::Timers;

use crate::{Config, SCscf};

/// As written in TOML. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// UDP and TCP; also what we call ourselves in Via.
    pub address: SocketAddr,
    pub home_domain: String,
    /// CSCFs that may send us requests.
    pub trusted_peers: Vec<IpAddr>,
    /// The HSS.
    pub cx: PeerFile,
    /// The S-CSCFs of this network, preferred first.
    pub s_cscf: Vec<SCscfFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SCscfFile {
    /// Its SIP URI, as the HSS stores it.
    pub name: String,
    /// "HOST:PORT".
    pub address: String,
    #[serde(default)]
    pub capabilities: Vec<u32>,
}

impl File {
    /// Checks every value and resolves every name.
    pub async fn core(&self) -> Result<Config, ConfigError> {
        let mut s_cscfs = Vec::new();
        for s_cscf in &self.s_cscf {
            let name = ServerName::new(&s_cscf.name).map_err(|_| ConfigError::BadValue {
                key: "s_cscf.name",
                value: s_cscf.name.as_str().into(),
                wanted: "a sip: URI",
            })?;
            let address = resolve(&s_cscf.address).await?;
            s_cscfs.push(SCscf { name, address, capabilities: s_cscf.capabilities.clone() });
        }
        Ok(Config {
            address: self.address,
            home_domain: self.home_domain.as_str().into(),
            trusted_peers: self.trusted_peers.clone(),
            s_cscfs,
            timers: Timers::CORE,
            transactions: 100_000,
        })
    }
}
