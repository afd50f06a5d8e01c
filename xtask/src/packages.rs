//! Debian packages that tests need: there, installed now, or said aloud. No service is started by an installation.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo;

/// Why some packages cannot be had here, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    packages: Vec<&'static str>,
    why: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let packages = self.packages.join(" ");
        write!(f, "{}; install them: apt-get install --no-install-recommends {packages}", self.why)
    }
}

/// Makes sure that `packages` are installed: as root by apt-get, for anybody else only if they are there already.
pub fn obtain(packages: &[&'static str]) -> Result<(), Missing> {
    let absent: Vec<_> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let missing = |why: String| Missing { packages: absent.clone(), why };
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(missing("this is no Debian or Ubuntu".to_owned()));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(missing("only root may install packages".to_owned()));
    }
    install(&absent).map_err(|error| missing(format!("{error:#}")))
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    asked.is_ok_and(|answer| answer.stdout == b"installed")
}

fn install(packages: &[&str]) -> Result<()> {
    eprintln!("packages: installing {}", packages.join(" "));
    let mut updated = false;
    if !has_lists() {
        cargo::check(&mut apt(&["update"]), "apt-get update")?;
        updated = true;
    }
    let arguments = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let installed = cargo::check(&mut apt(&arguments), "apt-get install");
    if installed.is_ok() || updated {
        return installed;
    }
    // Old lists name files that the mirror no longer has.
    cargo::check(&mut apt(&["update"]), "apt-get update")?;
    cargo::check(&mut apt(&arguments), "apt-get install").context("with new package lists")
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["-qq", "-oDPkg::Lock::Timeout=120", "-oDpkg::Use-Pty=0"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Nothing may start or restart: systemctl leaves process 1 alone, and init scripts see the run level of
        // maintenance.
        .env("SYSTEMD_OFFLINE", "1")
        .env("RUNLEVEL", "1")
        .env("NEEDRESTART_SUSPEND", "1")
        .stdin(Stdio::null())
        // Standard output is the tests'.
        .stdout(std::io::stderr());
    command
}

fn has_lists() -> bool {
    std::fs::read_dir("/var/lib/apt/lists").is_ok_and(|lists| {
        lists.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().contains("_Packages")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_remedy() {
        let missing = Missing { packages: vec!["tshark", "kamailio"], why: "only root may".to_owned() };
        assert_eq!(
            missing.to_string(),
            "only root may; install them: apt-get install --no-install-recommends tshark kamailio"
        );
    }

    #[test]
    fn a_package_that_nobody_made_is_not_installed() {
        assert!(!is_installed("akasec-no-such-package"));
        assert_eq!(obtain(&[]), Ok(()));
    }
}
