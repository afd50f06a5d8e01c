//! `scscf`: the S-CSCF as a service.

#![forbid(unsafe_code)]

use std::sync::Arc;

use clap::Parser;
use node::daemon::Daemon;
use scscf::file::File;
use scscf::shell::Shell;

/// The S-CSCF: registrar and authenticator.
///
/// Examples:
///   scscf --config /etc/akasec/scscf.toml
///   scscf --config /etc/akasec/scscf.toml --check
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
}

fn main() -> anyhow::Result<()> {
    Arguments::parse().daemon.run(|file: File, shutdown| async move {
        let link = Arc::new(file.cx.connect().await?);
        let shell = Shell::start(file.core()?, file.listen, link)?;
        tracing::info!(listen = %file.listen, hss = file.cx.peer, "S-CSCF is ready");
        shell.run(shutdown).await
    })
}
