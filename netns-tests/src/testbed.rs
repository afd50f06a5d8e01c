//! The daemons as processes, with the configuration files that the README shows.

use std::path::Path;

use anyhow::Result;
use lab::Network;

use crate::Process;

/// A copy of `examples/testbed` and `examples/scenarios`, so that the HSS's sequence numbers do not land in the
/// repository.
pub fn testbed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for part in ["testbed", "scenarios"] {
        for entry in std::fs::read_dir(examples.join(part)).expect("the examples") {
            let path = entry.expect("an entry").path();
            std::fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    folder
}

/// The network side of the testbed.
#[derive(Debug)]
pub struct Daemons {
    pub hss: Process,
    pub scscf: Process,
    pub icscf: Process,
    pub pcscf: Process,
}

impl Daemons {
    /// Starts all four with the files in `folder` and waits until they are ready.
    pub fn start(network: &Network, folder: &Path) -> Result<Self> {
        let start = |namespace, name, config| Process::start(namespace, name, &["--config", config], folder);
        let mut hss = start(&network.core, "hss", "hss.toml")?;
        hss.wait_for_log("the HSS answers")?;
        let mut scscf = start(&network.core, "scscf", "scscf.toml")?;
        scscf.wait_for_log("S-CSCF is ready")?;
        let mut icscf = start(&network.core, "icscf", "icscf.toml")?;
        icscf.wait_for_log("I-CSCF is ready")?;
        let mut pcscf = start(&network.access, "pcscf", "pcscf.toml")?;
        pcscf.wait_for_log("P-CSCF is ready")?;
        Ok(Self { hss, scscf, icscf, pcscf })
    }

    pub fn all(&mut self) -> [&mut Process; 4] {
        [&mut self.pcscf, &mut self.icscf, &mut self.scscf, &mut self.hss]
    }

    /// Everything they said.
    pub fn logs(&self) -> String {
        [&self.pcscf, &self.icscf, &self.scscf, &self.hss].map(Process::stderr).join("\n")
    }
}
