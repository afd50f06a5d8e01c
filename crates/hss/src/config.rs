//! The configuration file of the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// The CSV file of subscribers; sequence numbers live beside it in `<file>.sqn`.
    pub subscribers: PathBuf,
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
    /// Capabilities an S-CSCF must have.
    #[serde(default)]
    pub mandatory_capabilities: Vec<u32>,
    /// Capabilities an S-CSCF should have.
    #[serde(default)]
    pub optional_capabilities: Vec<u32>,
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
