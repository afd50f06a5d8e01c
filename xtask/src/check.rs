//! Format, clippy, tidy, and a test for each checklist id.

use anyhow::Result;

use crate::{cargo, spec_report, tidy};

pub fn run() -> Result<()> {
    cargo::check(cargo::cargo().args(["fmt", "--all", "--check"]), "cargo fmt --check")?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    cargo::check(cargo::cargo().args(clippy), "cargo clippy")?;
    tidy::run()?;
    spec_report::check()?;
    eprintln!("check: format, clippy and tidy are clean, each checklist id has its test or its reason");
    Ok(())
}
