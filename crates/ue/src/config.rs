//! The configuration file of the UE, and the card's file it names.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aka::{Algorithm, Impi, Impu, Isim, K, Op, Opc, Sqn, SqnArray, Top, Topc, Tuak, TuakK, TuakSettings};
use anyhow::{Context, bail};
use node::config::{ConfigError, resolve};
use sec_agree::{Algorithms, ClientPorts, Policy, Port, Spi};
use serde::{Deserialize, Serialize};
use sip::Timers;
use xfrm::Protection;

use crate::core;

/// As written in TOML. Holds no secret; the card is a file of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Private identity, `user@home-domain`.
    pub impi: String,
    /// Public identity to register.
    pub impu: String,
    /// Home domain; by default that of the private identity.
    pub home_domain: Option<String>,
    /// Our own address.
    pub address: IpAddr,
    #[serde(default = "sip_port")]
    pub port: u16,
    /// "HOST:PORT" of the P-CSCF.
    pub p_cscf: String,
    /// The file with the card's keys.
    pub card: PathBuf,
    /// udp, tcp, or by-size.
    #[serde(default)]
    pub transport: Transport,
    /// Pairs "alg/ealg" that are offered.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// Behind a NAT: refuse, or udp-enc-tun.
    #[serde(default)]
    pub nat: Nat,
    #[serde(default = "server_port")]
    pub server_port: u16,
    #[serde(default = "client_port_first")]
    pub client_port_first: u16,
    #[serde(default = "client_port_count")]
    pub client_port_count: u16,
    /// Registration time asked for, in seconds.
    #[serde(default = "expires")]
    pub expires: u32,
    /// P-Access-Network-Info.
    pub access_network: Option<String>,
    /// A step that takes longer has failed.
    #[serde(default = "patience")]
    pub patience_seconds: u64,
    /// Subscribe to the registration state once registered.
    #[serde(default = "subscribe")]
    pub subscribe: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    #[default]
    BySize,
    Udp,
    Tcp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// A registration through a NAT fails and says so.
    #[default]
    Refuse,
    /// UDP-enc-tun is offered too. The host then takes the NAT's address as one of its own.
    UdpEncTun,
}

/// The card's file: TOML with `k`, and `opc` or `op`, in hex; and the highest SQN the card has accepted.
/// A card with TUAK has `topc` or `top` instead, and may have `iterations` and `res_bits`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    k: String,
    opc: Option<String>,
    op: Option<String>,
    topc: Option<String>,
    top: Option<String>,
    iterations: Option<NonZeroU8>,
    res_bits: Option<u8>,
    sqn: Option<String>,
}

impl Drop for Card {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.k.zeroize();
        self.opc.zeroize();
        self.op.zeroize();
        self.topc.zeroize();
        self.top.zeroize();
    }
}

/// SPIs of a UE: those of one device matter only at its own address.
pub const SPI_FIRST: u32 = 0x0200_0000;
pub const SPI_LAST: u32 = 0x02ff_ffff;

fn sip_port() -> u16 {
    5060
}

fn default_algorithms() -> Vec<String> {
    Policy::default().algorithms().iter().map(ToString::to_string).collect()
}

fn server_port() -> u16 {
    7100
}

/// Many more than a P-CSCF holds sets of one subscriber: it remembers ports of a UE that has ended without a word.
fn client_port_first() -> u16 {
    7168
}

fn client_port_count() -> u16 {
    1024
}

fn expires() -> u32 {
    600_000
}

fn patience() -> u64 {
    130
}

fn subscribe() -> bool {
    true
}

impl Config {
    /// Checks every value, resolves the P-CSCF, reads the card.
    pub async fn into_core(self) -> anyhow::Result<(core::Config, Isim, Protection)> {
        let p_cscf: SocketAddr = resolve(&self.p_cscf).await?;
        let impi = Impi::new(&self.impi).map_err(|_| bad("impi", &self.impi, "user@home-domain"))?;
        let impu = Impu::new(&self.impu).map_err(|_| bad("impu", &self.impu, "a sip: or tel: URI"))?;
        let port =
            |key, value| Port::new(value).map_err(|_| bad(key, value, "any port but 0, 5060 and 5061"));
        let server_port = port("server_port", self.server_port)?;
        let wanted = "a multiple of client_port_count, which is a power of two and at least 4";
        let client_ports = ClientPorts::new(self.client_port_first, self.client_port_count)
            .filter(|ports| ports.iter().count() >= 4 && !ports.contains(self.server_port))
            .ok_or_else(|| bad("client_port_first", self.client_port_first, wanted))?;
        let wanted = "pairs such as \"hmac-sha-1-96/aes-cbc\"";
        let pairs: Result<Vec<Algorithms>, _> = self
            .algorithms
            .iter()
            .map(|text| text.parse().map_err(|_| bad("algorithms", text, wanted)))
            .collect();
        let config = core::Config {
            home_domain: self.home_domain.as_deref().unwrap_or(impi.realm()).into(),
            impi,
            impu,
            address: self.address,
            clear_port: self.port,
            p_cscf,
            transport: match self.transport {
                Transport::BySize => core::TransportChoice::BySize,
                Transport::Udp => core::TransportChoice::Udp,
                Transport::Tcp => core::TransportChoice::Tcp,
            },
            algorithms: pairs?,
            nat_traversal: self.nat == Nat::UdpEncTun,
            server_port,
            client_ports,
            spi_first: Spi::new(SPI_FIRST)?,
            spi_last: Spi::new(SPI_LAST)?,
            expires: self.expires,
            access_network: self.access_network.map(Into::into),
            timers: Timers::GM,
            patience: Duration::from_secs(self.patience_seconds.max(1)),
            stay_registered: true,
            subscribe: self.subscribe,
            refresh_subscription: None,
            answering: core::Answering::default(),
        };
        let protection = Protection::of_address(self.address, server_port, client_ports);
        Ok((config, read_card(&self.card)?, protection))
    }
}

/// Never shows what the file holds.
fn read_card(path: &Path) -> anyhow::Result<Isim> {
    let card: Card = node::config::load(path).map_err(|error| match error {
        // The parser's words may quote the line, and the line may be a key.
        ConfigError::Malformed { path, line, .. } => {
            anyhow::anyhow!(
                "read {}:{line}: a card has k, sqn, and opc or op (TUAK: topc or top), as quoted hex digits",
                path.display()
            )
        }
        other => other.into(),
    })?;
    let algorithm = algorithm_of(&card).with_context(|| format!("read {}", path.display()))?;
    let sqn = match &card.sqn {
        Some(sqn) => SqnArray::starting_at(Sqn::from_hex(sqn).context("read sqn: 12 hex digits")?),
        None => SqnArray::new(),
    };
    Ok(Isim::new(algorithm, sqn))
}

fn algorithm_of(card: &Card) -> anyhow::Result<Algorithm> {
    let k = || K::from_hex(&card.k);
    let tuak_k = || TuakK::from_hex(&card.k);
    let keys = (&card.opc, &card.op, &card.topc, &card.top);
    let wants_tuak = card.topc.is_some() || card.top.is_some();
    if !wants_tuak && (card.iterations.is_some() || card.res_bits.is_some()) {
        bail!("iterations and res_bits are settings of TUAK, which needs topc or top");
    }
    Ok(match keys {
        (Some(opc), None, None, None) => Algorithm::milenage(k()?, Opc::from_hex(opc)?),
        (None, Some(op), None, None) => Algorithm::milenage_with_op(k()?, &Op::from_hex(op)?),
        (None, None, Some(topc), None) => {
            Algorithm::Tuak(Tuak::new(tuak_k()?, Topc::from_hex(topc)?, tuak_settings(card)?))
        }
        (None, None, None, Some(top)) => {
            Algorithm::Tuak(Tuak::with_top(tuak_k()?, &Top::from_hex(top)?, tuak_settings(card)?))
        }
        _ => bail!("exactly one of opc, op, topc and top is needed; see \"OP or OPc?\" in the README"),
    })
}

fn tuak_settings(card: &Card) -> anyhow::Result<TuakSettings> {
    let mut settings = TuakSettings::default();
    if let Some(bits) = card.res_bits {
        settings.res_length = bits.to_string().parse()?;
    }
    settings.iterations = card.iterations.unwrap_or(settings.iterations);
    Ok(settings)
}

fn bad(key: &'static str, value: impl ToString, wanted: &'static str) -> ConfigError {
    ConfigError::BadValue { key, value: value.to_string().into(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";

    fn card(text: &str) -> Result<Isim, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.toml");
        std::fs::write(&path, text).unwrap();
        read_card(&path).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn aka_14_the_card_file_names_one_algorithm_set() {
        let (opc, top) = ("cd63cb71954a9f4e48a5994e37a02baf", "5".repeat(64));
        for good in [
            format!("k = '{K}'\nopc = '{opc}'\nsqn = '000000000020'"),
            format!("k = '{K}'\ntop = '{top}'\niterations = 2\nres_bits = 128"),
            format!("k = '{K}{K}'\ntopc = '{top}'"),
        ] {
            assert!(card(&good).is_ok(), "{good}: {:?}", card(&good).unwrap_err());
        }
        for (bad, why) in [
            (format!("k = '{K}'"), "exactly one of opc, op, topc and top"),
            (format!("k = '{K}'\nop = '{opc}'\ntop = '{top}'"), "exactly one of opc, op, topc and top"),
            (format!("k = '{K}{K}'\nopc = '{opc}'"), "K: 32 hex digits"),
            (format!("k = '{K}0'\ntop = '{top}'"), "K: 32 or 64 hex digits"),
            (format!("k = '{K}'\ntop = '{opc}'"), "TOP: 64 hex digits"),
            (format!("k = '{K}'\nopc = '{opc}'\nres_bits = 64"), "settings of TUAK"),
            (format!("k = '{K}'\ntop = '{top}'\nres_bits = 65"), "32, 64 or 128 bits"),
            (format!("k = '{K}'\ntop = '{top}'\niterations = 0"), "card.toml:3"),
        ] {
            let error = card(&bad).unwrap_err();
            assert!(error.contains(why) && error.contains("card.toml"), "{error}");
            assert!(!error.contains("465b") && !error.contains("cd63"), "{error}");
        }
    }
}
