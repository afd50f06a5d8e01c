//! `akasec lab`: a network that stands until it is told to end.

use std::process::ExitCode;

use anyhow::Result;
use lab::Lab;
use node::Shutdown;
use ue::core::{Command, Step};

use crate::setup::Network;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut lab = Lab::start(options.network.lab()?)?;
    let (mut registered, mut failed) = (0, 0);
    lab.run(Command::Register, 0..usize::from(options.network.ues), 16, |finished| match finished.last() {
        Some(Step::Registered(_)) => registered += 1,
        other => {
            failed += 1;
            tracing::error!(ue = finished.member, "{}", other.map(ToString::to_string).unwrap_or_default());
        }
    })?;
    crate::print(&format!("{registered} UEs registered, {failed} failed\n{}\n", lab.nsenter()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Shutdown::on_signal()?.requested().await;
        anyhow::Ok(())
    })?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
