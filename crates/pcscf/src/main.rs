//! `pcscf`: the P-CSCF as a service.

#![forbid(unsafe_code)]

use std::io::Write;

use clap::Parser;
use node::daemon::Daemon;
use pcscf::config::Config;
use pcscf::shell::{self, Shell};
use pcscf::store::StateFile;
use xfrm::{ZbFile, ZbInterfaces};

/// The P-CSCF: first hop of UEs, ends their IPsec.
///
/// Needs CAP_NET_ADMIN in its network namespace and a kernel with ESP.
///
/// Examples:
///   pcscf --config /etc/akasec/pcscf.toml
///   pcscf --config /etc/akasec/pcscf.toml --check
///   pcscf --config /etc/akasec/pcscf.toml --forget
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    /// Remove the kernel states and policies of the configured addresses and the state file, and end: every UE must
    /// then register anew. Refused while a P-CSCF runs there.
    #[arg(long, conflicts_with = "check")]
    forget: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { daemon, forget } = Arguments::parse();
    if forget {
        let config: Config = node::config::load(&daemon.config)?;
        let states = shell::forget(&config.gm_addresses()?, config.state.as_deref())?;
        writeln!(std::io::stdout(), "removed {states} states, the policies and what was saved")?;
        return Ok(());
    }
    let prepare = async |config: Config| {
        let state = config.state.clone();
        if let Some(path) = &state {
            StateFile::check(path, &node::boot_id()?)?;
        }
        let zb = ZbFile::load_all(&config.zb)?;
        Ok((config.into_core().await?, state, zb))
    };
    daemon.run(prepare, async |(core, state, zb), shutdown| {
        let (gm, mw) = (core.gm.clone(), core.mw);
        let mut zb = ZbInterfaces::secure(zb)?;
        let shell = Shell::start(core, state.as_deref())?;
        tracing::info!(?gm, %mw, "P-CSCF is ready");
        zb.started();
        shell.run(shutdown).await
    })
}
