//! The configuration file of the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shell::KeySource;

/// `hss.toml`. Unknown keys are refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HssConfig {
    /// Where Diameter peers connect (TCP, usually port 3868).
    pub listen: SocketAddr,
    /// Origin-Host: the Diameter identity of this HSS.
    pub origin_host: String,
    /// Origin-Realm: the home domain.
    pub origin_realm: String,
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
}

/// What is wrong with a key of `[store]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use key_file and credential: give one of the two")]
pub struct TwoKeys;

impl HssConfig {
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
    pub fn key(&self) -> Result<KeySource, TwoKeys> {
        let Self::Sqlite { path, key_file, credential } = self;
        match (key_file, credential) {
            (Some(_), Some(_)) => Err(TwoKeys),
            (_, Some(name)) => Ok(KeySource::Credential(name.clone())),
            (Some(file), None) => Ok(KeySource::File(file.clone())),
            (None, None) => Ok(KeySource::File(path.with_extension("key"))),
        }
    }
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
