//! `pcscf`: the P-CSCF as a service.

#![forbid(unsafe_code)]

use clap::Parser;
use node::daemon::Daemon;
use pcscf::config::Config;
use pcscf::shell::Shell;

/// The P-CSCF: first hop of UEs, ends their IPsec.
///
/// Needs CAP_NET_ADMIN in its network namespace and a kernel with ESP.
///
/// Examples:
///   pcscf --config /etc/akasec/pcscf.toml
///   pcscf --config /etc/akasec/pcscf.toml --check
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
}

fn main() -> anyhow::Result<()> {
    let prepare = async |config: Config| Ok(config.into_core().await?);
    Arguments::parse().daemon.run(prepare, async |core, shutdown| {
        let (gm, mw) = (core.gm.clone(), core.mw);
        let shell = Shell::start(core)?;
        tracing::info!(?gm, %mw, "P-CSCF is ready");
        shell.run(shutdown).await
    })
}
