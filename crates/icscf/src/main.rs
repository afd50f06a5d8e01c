//! `icscf`: the I-CSCF as a service.

#![forbid(unsafe_code)]

use std::sync::Arc;

use clap::Parser;
use icscf::file::File;
use icscf::shell::Shell;
use node::daemon::Daemon;

/// The I-CSCF: entry of the home network, finds the S-CSCF of a user.
///
/// Examples:
///   icscf --config /etc/akasec/icscf.toml
///   icscf --config /etc/akasec/icscf.toml --check
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
}

fn main() -> anyhow::Result<()> {
    Arguments::parse().daemon.run(|file: File, shutdown| async move {
        let link = Arc::new(file.cx.connect().await?);
        let shell = Shell::start(file.core().await?, link)?;
        tracing::info!(address = %file.address, hss = file.cx.peer, "I-CSCF is ready");
        shell.run(shutdown).await
    })
}
