//! What the options of several commands mean for a lab.

use anyhow::{Context, Result};
use lab::Namespace;
use lab::plan::Family;
use sec_agree::{Alg, Algorithms, Ealg, Policy};
use ue::core::TransportChoice;
use xfrm::{Capabilities, Engine};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Network {
    /// How many UEs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) ues: u16,
    /// Integrity: hmac-sha-1-96, hmac-md5-96, aes-gmac, or null (only with aes-gcm).
    #[arg(long)]
    pub(crate) alg: Option<String>,
    /// Encryption: null, aes-cbc, des-ede3-cbc, or aes-gcm (only with null integrity).
    #[arg(long)]
    pub(crate) ealg: Option<String>,
    /// Between UE and P-CSCF: udp, tcp, or by-size (UDP up to 1300 octets).
    #[arg(long, default_value = "udp", value_parser = ["udp", "tcp", "by-size"])]
    pub(crate) transport: String,
    /// Between UE and P-CSCF.
    #[arg(long, default_value = "ipv4", value_parser = ["ipv4", "ipv6"])]
    pub(crate) family: String,
}

impl Network {
    pub(crate) fn lab(&self) -> Result<lab::Options> {
        let mut options =
            lab::Options { ues: self.ues, transport: self.transport(), ..lab::Options::default() };
        if self.family == "ipv6" {
            options.family = Family::V6;
        }
        if let Some(pair) = self.algorithms()? {
            options.policy = vec![pair];
            options.offers = vec![vec![pair]];
        }
        Ok(options)
    }

    fn transport(&self) -> TransportChoice {
        match self.transport.as_str() {
            "tcp" => TransportChoice::Tcp,
            "by-size" => TransportChoice::BySize,
            _ => TransportChoice::Udp,
        }
    }

    /// One named half is completed: gcm and gmac know their partner, the rest takes the default's.
    fn algorithms(&self) -> Result<Option<Algorithms>> {
        let alg: Option<Alg> = self.alg.as_deref().map(str::parse).transpose().context("read --alg")?;
        let ealg: Option<Ealg> = self.ealg.as_deref().map(str::parse).transpose().context("read --ealg")?;
        let default =
            Policy::default().algorithms().first().copied().context("find the default algorithms")?;
        let (alg, ealg) = match (alg, ealg) {
            (None, None) => return Ok(None),
            (Some(alg), Some(ealg)) => (alg, ealg),
            (Some(Alg::Null), None) => (Alg::Null, Ealg::AesGcm),
            (Some(Alg::AesGmac), None) => (Alg::AesGmac, Ealg::Null),
            (Some(alg), None) => (alg, default.ealg()),
            (None, Some(Ealg::AesGcm)) => (Alg::Null, Ealg::AesGcm),
            (None, Some(ealg)) => (default.alg(), ealg),
        };
        Ok(Some(Algorithms::new(alg, ealg).context("use --alg and --ealg together")?))
    }
}

/// Asks the kernel in a namespace of our own.
pub(crate) fn probe() -> Result<Capabilities> {
    Namespace::new("probe")?.run(|| Ok(Engine::open()?.probe()?))
}
