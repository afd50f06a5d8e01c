//! The configuration file of the P-CSCF.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use node::config::{ConfigError, resolve};
use sec_agree::{Algorithms, ClientPorts, Policy, Port, Spi};
use serde::{Deserialize, Serialize};
use xfrm::ZbFile;

use crate::core;

/// As written in TOML. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our name in SIP.
    pub host: String,
    /// Our network: P-Visited-Network-ID and the inter operator identifier of charging.
    pub network: String,
    /// Our address towards the core network.
    pub mw: SocketAddr,
    /// Addresses towards UEs, at most one of each family.
    pub gm: Vec<Gm>,
    /// Home domain = "HOST:PORT" of its I-CSCF.
    pub entry_points: BTreeMap<String, String>,
    /// Name = "HOST:PORT" of the other hosts of the core network: the S-CSCFs, as their Service-Route names them.
    #[serde(default)]
    pub neighbours: BTreeMap<String, String>,
    /// Where registrations and sets are kept for the next run. Without it they end with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Nodes of the network to which everything goes in ESP with manual keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zb: Vec<ZbFile>,
    #[serde(default)]
    pub ipsec: Ipsec,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gm {
    pub address: IpAddr,
    /// For unprotected requests.
    #[serde(default = "sip_port")]
    pub port: u16,
    /// The protected server port.
    #[serde(default = "server_port")]
    pub server_port: u16,
    /// The protected client ports: a power of two many, the first a multiple of their number.
    #[serde(default = "client_port_first")]
    pub client_port_first: u16,
    #[serde(default = "client_port_count")]
    pub client_port_count: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ipsec {
    /// Pairs "alg/ealg" that are allowed, best first.
    pub algorithms: Vec<String>,
    /// UEs behind a NAT: refuse, or udp-enc-tun.
    pub nat: Nat,
    /// optional: where the UE can; required: a UE that cannot is refused; never: no cipher is offered.
    pub encryption: Encryption,
    /// SPIs are drawn from this range.
    pub spi_first: u32,
    pub spi_last: u32,
    /// Life of a set whose challenge nobody has answered.
    pub reg_await_auth_seconds: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub transactions: usize,
    /// Sets of security associations.
    pub sets: usize,
    /// REGISTERs in clear that one address may send at once; 0: any number.
    pub registers_burst: u32,
    /// And every second after that.
    pub registers_per_second: u32,
}

/// What becomes of UEs behind a NAT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// A 403 that says why.
    #[default]
    Refuse,
    /// Those that offer UDP-enc-tun are served; port 4500 of our addresses is ours then.
    UdpEncTun,
}

impl Nat {
    fn apply(self, policy: Policy) -> Policy {
        match self {
            Self::Refuse => policy,
            Self::UdpEncTun => policy.with_nat_traversal(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    #[default]
    Optional,
    Required,
    Never,
}

impl Default for Ipsec {
    fn default() -> Self {
        Self {
            algorithms: Policy::default().algorithms().iter().map(ToString::to_string).collect(),
            nat: Nat::default(),
            encryption: Encryption::default(),
            spi_first: 0x0100_0000,
            spi_last: 0x01ff_ffff,
            reg_await_auth_seconds: 240,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let core::Limits { transactions, sets, registers } = core::Limits::default();
        let core::Rate { burst, per_second } = registers;
        Self { transactions, sets, registers_burst: burst, registers_per_second: per_second }
    }
}

impl Limits {
    fn into_core(self) -> core::Limits {
        let registers = core::Rate { burst: self.registers_burst, per_second: self.registers_per_second };
        core::Limits { transactions: self.transactions, sets: self.sets, registers }
    }
}

fn sip_port() -> u16 {
    5060
}

fn server_port() -> u16 {
    6100
}

fn client_port_first() -> u16 {
    6000
}

fn client_port_count() -> u16 {
    4
}

impl Config {
    /// The addresses towards UEs, checked.
    pub fn gm_addresses(&self) -> Result<Vec<core::GmAddress>, ConfigError> {
        let gm = self.gm.iter().map(Gm::check).collect::<Result<Vec<core::GmAddress>, _>>()?;
        let families = |v4: bool| gm.iter().filter(|gm| gm.clear.is_ipv4() == v4).count();
        if gm.is_empty() || families(true) > 1 || families(false) > 1 {
            return Err(bad("gm", gm.len(), "one address of each family at most, and one at least"));
        }
        Ok(gm)
    }

    /// Checks every value and resolves every name.
    pub async fn into_core(self) -> Result<core::Config, ConfigError> {
        let gm = self.gm_addresses()?;
        let entry_points = resolve_all(&self.entry_points).await?;
        let neighbours = resolve_all(&self.neighbours).await?;
        Ok(core::Config {
            host: self.host.into(),
            network: self.network.into(),
            gm,
            mw: self.mw,
            entry_points,
            neighbours,
            policy: self.ipsec.nat.apply(self.ipsec.policy()?),
            spi_first: spi("ipsec.spi_first", self.ipsec.spi_first)?,
            spi_last: spi("ipsec.spi_last", self.ipsec.spi_last.max(self.ipsec.spi_first))?,
            reg_await_auth: Duration::from_secs(self.ipsec.reg_await_auth_seconds.max(1)),
            limits: self.limits.into_core(),
        })
    }
}

async fn resolve_all(hosts: &BTreeMap<String, String>) -> Result<Vec<(Box<str>, SocketAddr)>, ConfigError> {
    let mut resolved = Vec::new();
    for (name, address) in hosts {
        resolved.push((name.as_str().into(), resolve(address).await?));
    }
    Ok(resolved)
}

impl Gm {
    fn check(&self) -> Result<core::GmAddress, ConfigError> {
        let server_port = Port::new(self.server_port)
            .map_err(|_| bad("gm.server_port", self.server_port, "any port but 0, 5060 and 5061"))?;
        let first = self.client_port_first;
        let client_ports = ClientPorts::new(first, self.client_port_count);
        let wanted = "a multiple of client_port_count, which is a power of two and at least 4";
        let client_ports =
            client_ports.filter(|ports| ports.iter().count() >= 4 && !ports.contains(self.server_port));
        let client_ports = client_ports.ok_or_else(|| bad("gm.client_port_first", first, wanted))?;
        Ok(core::GmAddress { clear: SocketAddr::new(self.address, self.port), server_port, client_ports })
    }
}

impl Ipsec {
    fn policy(&self) -> Result<Policy, ConfigError> {
        let wanted = "pairs such as \"hmac-sha-1-96/aes-cbc\"";
        let pairs: Result<Vec<Algorithms>, _> = self
            .algorithms
            .iter()
            .map(|text| text.parse().map_err(|_| bad("ipsec.algorithms", text, wanted)))
            .collect();
        let policy = Policy::new(&pairs?).map_err(|_| bad("ipsec.algorithms", "[]", wanted))?;
        let encryption = match self.encryption {
            Encryption::Optional => sec_agree::Encryption::Optional,
            Encryption::Required => sec_agree::Encryption::Required,
            Encryption::Never => sec_agree::Encryption::Never,
        };
        policy.with_encryption(encryption).map_err(|_| {
            let wanted = "something that leaves a pair of ipsec.algorithms";
            bad("ipsec.encryption", format!("{:?}", self.encryption).to_lowercase(), wanted)
        })
    }
}

fn spi(key: &'static str, value: u32) -> Result<Spi, ConfigError> {
    Spi::new(value).map_err(|_| bad(key, value, "at least 256"))
}

fn bad(key: &'static str, value: impl ToString, wanted: &'static str) -> ConfigError {
    ConfigError::BadValue { key, value: value.to_string().into(), wanted }
}
