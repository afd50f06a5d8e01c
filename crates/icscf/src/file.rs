//! The configuration file of the I-CSCF.

mod border;
mod hiding;
mod trust;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cx::ServerName;
use cx::peer::PeerFile;
use node::config::{ConfigError, resolve};
use node::sip_shell::TlsListeners;
use serde::{Deserialize, Serialize};
use sip::{Transport, Uri};
use xfrm::ZbFile;

use crate::{Config, SCscf};

pub use self::border::{BorderFile, TransportWord};
pub use self::hiding::{HidingFile, HidingFileError};
pub use self::trust::{PartnerFile, TrustFile};

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
    /// The S-CSCFs of this network.
    pub s_cscf: Vec<SCscfFile>,
    /// Milliseconds of silence after which the next S-CSCF is asked.
    #[serde(default = "patience_ms")]
    pub patience_ms: u64,
    /// Seconds that an S-CSCF without an answer is left out.
    #[serde(default = "left_out_seconds")]
    pub left_out_seconds: u64,
    /// Who is trusted; absent: this node is no border.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustFile>,
    /// The other networks we know.
    #[serde(default)]
    pub partner: Vec<PartnerFile>,
    /// Nodes of the network to which everything goes in ESP with manual keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zb: Vec<ZbFile>,
    /// Where other networks reach this one; absent: they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<BorderFile>,
    /// What partners with `hide` do not see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hiding: Option<HidingFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SCscfFile {
    /// Its SIP URI, as the HSS stores it.
    pub name: String,
    /// "HOST:PORT", where the host of the name is not found by itself.
    pub address: Option<String>,
    #[serde(default)]
    pub capabilities: Vec<u32>,
    /// Its share of new users. 0: a spare.
    #[serde(default = "weight")]
    pub weight: u32,
}

fn patience_ms() -> u64 {
    5000
}

fn left_out_seconds() -> u64 {
    30
}

fn weight() -> u32 {
    1
}

impl File {
    /// Checks every value and resolves every name.
    pub async fn core(&self) -> Result<Config, ConfigError> {
        let mut s_cscfs: Vec<SCscf> = Vec::new();
        for written in &self.s_cscf {
            let s_cscf = written.core().await?;
            if s_cscfs.iter().any(|other| other.name == s_cscf.name) {
                return Err(bad("s_cscf.name", &written.name, "a name that no other S-CSCF has"));
            }
            s_cscfs.push(s_cscf);
        }
        if s_cscfs.is_empty() {
            return Err(bad("s_cscf", "nothing", "at least one S-CSCF"));
        }
        if !(100..=30_000).contains(&self.patience_ms) {
            return Err(bad("patience_ms", &self.patience_ms.to_string(), "100 to 30000"));
        }
        if !(1..=3600).contains(&self.left_out_seconds) {
            return Err(bad("left_out_seconds", &self.left_out_seconds.to_string(), "1 to 3600"));
        }
        let border = match &self.border {
            Some(border) => Some(border.core(self).await?),
            None => None,
        };
        Ok(Config {
            border,
            trusted_peers: self.trusted_peers.clone(),
            s_cscfs,
            patience: Duration::from_millis(self.patience_ms),
            left_out: Duration::from_secs(self.left_out_seconds),
            ..Config::new(self.address, &self.home_domain)
        })
    }
}

impl File {
    /// What the sockets at the border need.
    pub fn listeners(&self, config: &Config) -> Result<Vec<TlsListeners>, ConfigError> {
        match (&self.border, &config.border) {
            (Some(written), Some(border)) => written.listeners(border),
            _ => Ok(Vec::new()),
        }
    }

    /// What is hidden from partners that have `hide`.
    fn hiding(&self, borders: &[SocketAddr]) -> Result<Option<::hiding::Hiding>, ConfigError> {
        let borders: Vec<String> = borders.iter().map(ToString::to_string).collect();
        let load = |file: &HidingFile| file.load(&self.home_domain, borders.iter().map(String::as_str));
        self.hiding.as_ref().map(load).transpose().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let text = format!("{error}{}", cause.unwrap_or_default());
            bad("hiding", &text, "keys of `akasec hiding-key`, and the inside by domains or prefixes")
        })
    }
}

impl SCscfFile {
    async fn core(&self) -> Result<SCscf, ConfigError> {
        let wanted = "a sip: URI, with transport udp or tcp if any";
        let malformed = || bad("s_cscf.name", &self.name, wanted);
        let name = ServerName::new(&self.name).map_err(|_| malformed())?;
        let uri = Uri::parse(&self.name).map_err(|_| malformed())?;
        let named = uri.params.value("transport");
        if named.is_some() && !matches!(uri.transport(), Some(Transport::Udp | Transport::Tcp)) {
            return Err(malformed());
        }
        let of_name = || format!("{}:{}", uri.host, uri.port.unwrap_or(5060));
        let address = resolve(&self.address.clone().unwrap_or_else(of_name)).await?;
        Ok(SCscf {
            capabilities: self.capabilities.clone(),
            weight: self.weight,
            ..SCscf::new(name, address)
        })
    }
}

fn bad(key: &'static str, value: &str, wanted: &'static str) -> ConfigError {
    ConfigError::BadValue { key, value: value.into(), wanted }
}
