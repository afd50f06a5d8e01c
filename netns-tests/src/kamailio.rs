//! Kamailio's I-CSCF and S-CSCF of Debian's packages, with the configuration of `netns-tests/interop`. They have the
//! names and addresses of `examples/testbed`, so that each may stand in the place of ours.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::{Namespace, Network};

use crate::Process;

/// The testbed's files and Kamailio's, in one folder of our own.
pub fn interop() -> tempfile::TempDir {
    let folder = crate::testbed();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    for (from, to) in
        [(files.clone(), folder.path().to_owned()), (files.join("icscf-db"), folder.path().join("icscf-db"))]
    {
        std::fs::create_dir_all(&to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("the interop files") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
    }
    folder
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Kamailios,
}

/// Our HSS, and an I-CSCF and an S-CSCF of either house.
#[derive(Debug)]
pub struct Core {
    pub hss: Process,
    pub icscf: Process,
    pub scscf: Process,
    whose: [Whose; 2],
}

impl Core {
    /// Starts them with the files in `folder` and waits until they are ready. The HSS logs all it can.
    pub fn start(network: &Network, folder: &Path, icscf: Whose, scscf: Whose) -> Result<Self> {
        let core = &network.core;
        let mut hss = Process::start(core, "hss", &["--config", "hss.toml", "--log", "trace"], folder)?;
        hss.wait_for_log("the HSS answers")?;
        let scscf_process = start(core, "scscf", "S-CSCF is ready", scscf, folder, &mut hss)?;
        let icscf_process = start(core, "icscf", "I-CSCF is ready", icscf, folder, &mut hss)?;
        Ok(Self { hss, icscf: icscf_process, scscf: scscf_process, whose: [icscf, scscf] })
    }

    /// Everything they said.
    pub fn logs(&self) -> String {
        let said = [("HSS", &self.hss), ("I-CSCF", &self.icscf), ("S-CSCF", &self.scscf)];
        said.map(|(name, process)| format!("{name}:\n{}", process.stderr())).join("\n")
    }

    /// What our own programs among them said.
    pub fn own_logs(&self) -> String {
        let [icscf, scscf] = self.whose;
        let own = [(Whose::Ours, &self.hss), (icscf, &self.icscf), (scscf, &self.scscf)];
        own.into_iter()
            .filter(|(whose, _)| *whose == Whose::Ours)
            .map(|(_, process)| process.stderr())
            .collect()
    }

    /// SIGTERM to all three, which must end well.
    pub fn end(mut self) -> Result<()> {
        for process in [&mut self.icscf, &mut self.scscf, &mut self.hss] {
            let status = process.terminate()?;
            ensure!(status.success(), "{status}: {}", process.stderr());
        }
        Ok(())
    }
}

/// Starts one and waits until it is ready; of Kamailio's, `hss` knows.
fn start(
    namespace: &Namespace,
    name: &'static str,
    ready: &str,
    whose: Whose,
    folder: &Path,
    hss: &mut Process,
) -> Result<Process> {
    if whose == Whose::Ours {
        let config = format!("{name}.toml");
        let arguments = ["--config", &config, "--log", "trace"];
        let mut process = Process::start(namespace, name, &arguments, folder)?;
        process.wait_for_log(ready)?;
        return Ok(process);
    }
    let run = folder.join(format!("{name}.run"));
    std::fs::create_dir_all(&run).context("make the folder of Kamailio's sockets")?;
    let mut command = Command::new("/usr/sbin/kamailio");
    // In the foreground, log to standard error.
    command.args(["-DD", "-E", "-f"]).arg(folder.join(format!("{name}.cfg")));
    let tables = folder.join("icscf-db");
    command.arg("-A").arg(format!("TABLES=\"text://{}\"", tables.display()));
    command.arg("-w").arg(folder).arg("-Y").arg(run).current_dir(folder);
    let kamailio = Process::foreign(namespace, name, &mut command, &folder.join("hosts"))?;
    let peer = format!("peer={name}.");
    hss.wait_for_log(&peer).with_context(|| format!("{name} of Kamailio said:\n{}", kamailio.stderr()))?;
    Ok(kamailio)
}
