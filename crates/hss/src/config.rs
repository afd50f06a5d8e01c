//! The configuration file of the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cx::peer::ServerFile;
use serde::{Deserialize, Serialize};

use crate::shell::KeySource;

/// `hss.toml`. Unknown keys are refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HssConfig {
    /// Where Diameter peers connect (TCP, usually port 3868). The short form of `[cx]`, with the two names below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Origin-Host: the Diameter identity of this HSS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_host: Option<String>,
    /// Origin-Realm: the home domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_realm: Option<String>,
    /// Where the control socket stands, for `akasec sub`; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    /// A CSV file of subscribers: those the store does not have are added at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<PathBuf>,
    /// The first and last IND used for IMS. Narrow it when the same K also serves EPS.
    #[serde(default = "all_slots")]
    pub ind: [u8; 2],
    /// Networks users may register from, as in P-Visited-Network-ID; empty means all.
    #[serde(default)]
    pub visited_networks: Vec<String>,
    /// At most this many vectors in one answer.
    #[serde(default = "few")]
    pub most_vectors: u32,
    /// Whether an S-CSCF that asks to stay assigned after a de-registration does.
    #[serde(default = "yes")]
    pub keep_server_name: bool,
    /// A challenge that nobody has answered for so many seconds is over.
    #[serde(default = "ten_minutes")]
    pub pending_seconds: u64,
    /// Capabilities an S-CSCF must have.
    #[serde(default)]
    pub mandatory_capabilities: Vec<u32>,
    /// Capabilities an S-CSCF should have.
    #[serde(default)]
    pub optional_capabilities: Vec<u32>,
    /// The Diameter side in full: several addresses, TLS, who may connect. Instead of the three keys at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cx: Option<ServerFile>,
    /// Where subscribers live. Without it, a SQLite file: see [`HssConfig::store`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreConfig>,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum StoreConfig {
    /// One file, for one process.
    Sqlite {
        path: PathBuf,
        /// The key that seals the subscribers' keys: a file of 64 hex digits, mode 0600. Without it and without
        /// `credential`, the database's path with `.key` in the place of its ending.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_file: Option<PathBuf>,
        /// The same as a systemd credential, by its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
    },
    /// A server, for any number of HSSs. All need the same key.
    Postgres {
        /// A name, an address, or the folder of its socket.
        host: String,
        #[serde(default = "postgres_port")]
        port: u16,
        database: String,
        user: String,
        /// The password alone, in a file of mode 0600; none where the server knows the user by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password_file: Option<PathBuf>,
        #[serde(default = "connections")]
        connections: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_file: Option<PathBuf>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
    },
}

/// What does not fit together. The texts fit after "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFault {
    #[error("use key_file and credential: give one of the two")]
    TwoKeys,
    #[error(
        "find the Diameter side: listen, origin_host and origin_realm are wanted, or a table cx with them"
    )]
    NoCx,
    #[error("use listen, origin_host or origin_realm: the table cx holds them already")]
    TwoCx,
    #[error(
        "find the key that seals the subscribers' keys: key_file or credential is wanted with PostgreSQL"
    )]
    NoKey,
    #[error("use connections: 1 to 64 wanted")]
    Connections,
}

impl HssConfig {
    /// The Diameter side in force.
    pub fn cx(&self) -> Result<ServerFile, ConfigFault> {
        match (&self.cx, self.listen, &self.origin_host, &self.origin_realm) {
            (Some(cx), None, None, None) => Ok(cx.clone()),
            (Some(_), ..) => Err(ConfigFault::TwoCx),
            (None, Some(listen), Some(host), Some(realm)) => {
                // Through the file's form, so that its defaults are the only ones.
                let file = serde_json::json!({
                    "listen": [listen.to_string()], "origin_host": host, "origin_realm": realm,
                });
                serde_json::from_value(file).map_err(|_| ConfigFault::NoCx)
            }
            (None, ..) => Err(ConfigFault::NoCx),
        }
    }

    /// The store in force: without `[store]`, `hss.db` and `hss.key` in the folder of `subscribers`, and without
    /// that in the present one.
    pub fn store(&self) -> StoreConfig {
        let folder = self.subscribers.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let default =
            || StoreConfig::Sqlite { path: folder.join("hss.db"), key_file: None, credential: None };
        self.store.clone().unwrap_or_else(default)
    }
}

impl StoreConfig {
    pub fn key(&self) -> Result<KeySource, ConfigFault> {
        let (default, key_file, credential) = match self {
            Self::Sqlite { path, key_file, credential } => {
                (Some(path.with_extension("key")), key_file, credential)
            }
            Self::Postgres { connections, .. } if !(1..=64).contains(connections) => {
                return Err(ConfigFault::Connections);
            }
            Self::Postgres { key_file, credential, .. } => (None, key_file, credential),
        };
        match (key_file, credential, default) {
            (Some(_), Some(_), _) => Err(ConfigFault::TwoKeys),
            (None, Some(name), _) => Ok(KeySource::Credential(name.clone())),
            (Some(file), None, _) => Ok(KeySource::File(file.clone())),
            (None, None, Some(file)) => Ok(KeySource::File(file)),
            (None, None, None) => Err(ConfigFault::NoKey),
        }
    }
}

fn postgres_port() -> u16 {
    5432
}

fn connections() -> usize {
    16
}

fn all_slots() -> [u8; 2] {
    [0, 31]
}

fn few() -> u32 {
    5
}

fn yes() -> bool {
    true
}

fn ten_minutes() -> u64 {
    600
}
