use std::process::ExitCode;

use anyhow::Result;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {}

pub fn run(_options: &Options) -> Result<ExitCode> {
    Ok(ExitCode::FAILURE)
}
