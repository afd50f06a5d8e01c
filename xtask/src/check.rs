//! Format, clippy, tidy.

use anyhow::Result;

use crate::{cargo, tidy};

pub fn run() -> Result<()> {
    cargo::check(cargo::cargo().args(["fmt", "--all", "--check"]), "cargo fmt --check")?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    cargo::check(cargo::cargo().args(clippy), "cargo clippy")?;
    tidy::run()?;
    eprintln!("check: format, clippy and tidy are clean");
    Ok(())
}
