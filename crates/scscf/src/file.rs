//! The configuration file of the S-CSCF.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use aka::DigestAlgorithm;
use cx::ServerName;
use cx::peer::PeerFile;
use node::config::ConfigError;
use serde::{Deserialize, Serialize};
use sip::Timers;
use xfrm::ZbFile;

use crate::{Config, Reauthenticate, Unanswered};

/// More would age before they are used.
const MOST_VECTORS: u32 = 16;

/// As written in TOML. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Our SIP URI, as the HSS stores it: `sip:scscf.ims.example:6060`.
    pub server_name: String,
    pub home_domain: String,
    /// UDP and TCP.
    pub listen: SocketAddr,
    /// Where the control socket stands, for `akasec reg`; none when absent.
    pub control: Option<PathBuf>,
    /// CSCFs that may send us requests.
    pub trusted_peers: Vec<IpAddr>,
    /// Domains of our users beside `home_domain`.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The I-CSCF that requests of our users to users of ours, and to telephone numbers, go to. Without it users register
    /// only.
    pub icscf: Option<SocketAddr>,
    /// The I-CSCF that leads to other networks; that above when absent.
    pub exit: Option<SocketAddr>,
    /// Nodes of the network to which everything goes in ESP with manual keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zb: Vec<ZbFile>,
    /// The HSS.
    pub cx: PeerFile,
    /// AKAv1-MD5, AKAv2-MD5 or AKAv2-SHA-256.
    #[serde(default = "digest_algorithm")]
    pub digest_algorithm: String,
    #[serde(default)]
    pub qop: bool,
    /// Authentication-Info with rspauth in the 200.
    #[serde(default)]
    pub authentication_info: bool,
    /// Challenge every re-registration.
    #[serde(default = "yes")]
    pub reauthenticate: bool,
    /// How often a UE that does not authenticate again when the network wants it is told so again, before it is
    /// de-registered.
    #[serde(default)]
    pub reauthentication_repeats: u8,
    /// Vectors asked of the HSS at once.
    #[serde(default = "one")]
    pub vectors_per_request: u32,
    /// Seconds a UE has to answer a challenge.
    #[serde(default = "reg_await_auth")]
    pub reg_await_auth: u64,
    /// T1, T2 and T4 of SIP in milliseconds.
    #[serde(default = "t1_ms")]
    pub t1_ms: u64,
    #[serde(default = "t2_ms")]
    pub t2_ms: u64,
    #[serde(default = "t4_ms")]
    pub t4_ms: u64,
    /// Seconds a registration is kept longer than the UE was told.
    #[serde(default = "expiry_margin")]
    pub expiry_margin: u64,
    #[serde(default = "min_expires")]
    pub min_expires: u32,
    #[serde(default = "max_expires")]
    pub max_expires: u32,
    /// Keep in the HSS what another S-CSCF needs to take users over.
    #[serde(default = "yes")]
    pub restoration: bool,
    /// Visited networks users may come from; all when absent.
    pub visited_networks: Option<Vec<String>>,
}

fn digest_algorithm() -> String {
    DigestAlgorithm::AkaV1Md5.as_str().into()
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn reg_await_auth() -> u64 {
    240
}

fn expiry_margin() -> u64 {
    10
}

fn t1_ms() -> u64 {
    500
}

fn t2_ms() -> u64 {
    4000
}

fn t4_ms() -> u64 {
    5000
}

fn min_expires() -> u32 {
    60
}

fn max_expires() -> u32 {
    600_000
}

impl File {
    pub fn core(&self) -> Result<Config, ConfigError> {
        let server_name = ServerName::new(&self.server_name)
            .map_err(|_| bad("server_name", &self.server_name, "a sip: URI"))?;
        let algorithm = self.digest_algorithm.parse();
        let algorithm = algorithm.map_err(|_| {
            bad("digest_algorithm", &self.digest_algorithm, "AKAv1-MD5, AKAv2-MD5 or AKAv2-SHA-256")
        })?;
        if !(1..=MOST_VECTORS).contains(&self.vectors_per_request) {
            let value = self.vectors_per_request.to_string();
            return Err(bad("vectors_per_request", &value, "1 to 16"));
        }
        if self.reg_await_auth == 0 {
            return Err(bad("reg_await_auth", "0", "at least 1 second"));
        }
        if self.t1_ms == 0 || self.t2_ms < self.t1_ms {
            return Err(bad("t1_ms", &self.t1_ms.to_string(), "at least 1, and not more than t2_ms"));
        }
        let defaults = Config::new(server_name, &self.home_domain);
        Ok(Config {
            restoration: defaults.restoration.filter(|_| self.restoration),
            trusted_peers: self.trusted_peers.clone(),
            domains: self.domains.clone(),
            icscf: self.icscf,
            exit: self.exit,
            algorithm,
            qop: self.qop,
            authentication_info: self.authentication_info,
            reauthenticate: if self.reauthenticate { Reauthenticate::Always } else { Reauthenticate::Never },
            unanswered: match self.reauthentication_repeats {
                0 => Unanswered::Deregister,
                times => Unanswered::NotifyAgain { times },
            },
            vectors_per_request: self.vectors_per_request,
            reg_await_auth: Duration::from_secs(self.reg_await_auth),
            expiry_margin: Duration::from_secs(self.expiry_margin),
            timers: Timers {
                t1: Duration::from_millis(self.t1_ms),
                t2: Duration::from_millis(self.t2_ms),
                t4: Duration::from_millis(self.t4_ms),
            },
            min_expires: self.min_expires,
            max_expires: self.max_expires.max(self.min_expires),
            visited_networks: self.visited_networks.clone(),
            ..defaults
        })
    }
}

fn bad(key: &'static str, value: &str, wanted: &'static str) -> ConfigError {
    ConfigError::BadValue { key, value: value.into(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        server_name = "sip:scscf.home.example:6060"
        home_domain = "home.example"
        listen = "127.0.0.1:6060"
        trusted_peers = ["127.0.0.1"]
        EXTRA
        [cx]
        peer = "127.0.0.1:3868"
        origin_host = "scscf.home.example"
        origin_realm = "home.example"
        destination_realm = "home.example"
    "#;

    fn core(extra: &str) -> Result<Config, ConfigError> {
        toml::from_str::<File>(&LEAST.replace("EXTRA", extra)).unwrap().core()
    }

    #[test]
    fn reg_18_defaults_of_the_timers_and_each_can_be_set() {
        let config = core("").unwrap();
        assert_eq!(config.timers, Timers::CORE);
        let seconds = Duration::from_secs;
        assert_eq!((config.reg_await_auth, config.expiry_margin), (seconds(240), seconds(10)));
        assert_eq!((config.min_expires, config.max_expires), (60, 600_000));
        let all = "t1_ms = 100\nt2_ms = 800\nt4_ms = 900\nreg_await_auth = 20\nexpiry_margin = 5\n\
                   min_expires = 7\nmax_expires = 70\nreauthentication_repeats = 2";
        let config = core(all).unwrap();
        let millis = Duration::from_millis;
        assert_eq!(config.timers, Timers { t1: millis(100), t2: millis(800), t4: millis(900) });
        assert_eq!((config.reg_await_auth, config.expiry_margin), (seconds(20), seconds(5)));
        assert_eq!((config.min_expires, config.max_expires), (7, 70));
        assert_eq!(config.unanswered, Unanswered::NotifyAgain { times: 2 });
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for extra in [
            "t1_ms = 0",
            "t1_ms = 5000",
            "reg_await_auth = 0",
            "vectors_per_request = 0",
            "vectors_per_request = 17",
        ] {
            assert!(core(extra).is_err(), "{extra}");
        }
    }
}
