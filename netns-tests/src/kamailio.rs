//! Kamailio's I-CSCF and S-CSCF of Debian's packages, with the configuration of `netns-tests/interop`. They have the
//! names and addresses of `examples/testbed`, so that each may stand in the place of ours.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use lab::Namespace;

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

/// Starts `icscf.cfg` or `scscf.cfg` and waits until `hss` has its Diameter connection.
pub fn start(namespace: &Namespace, role: Kamailio, folder: &Path, hss: &mut Process) -> Result<Process> {
    let name = role.name();
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kamailio {
    Icscf,
    Scscf,
}

impl Kamailio {
    fn name(self) -> &'static str {
        match self {
            Self::Icscf => "icscf",
            Self::Scscf => "scscf",
        }
    }
}
