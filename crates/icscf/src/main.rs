//! `icscf`: the I-CSCF as a service.

#![forbid(unsafe_code)]

use std::sync::Arc;

use clap::Parser;
use icscf::file::File;
use icscf::shell::Shell;
use node::daemon::Daemon;
use xfrm::{ZbFile, ZbInterfaces};

/// The I-CSCF: entry of the home network, finds the S-CSCF of a user.
///
/// Needs CAP_NET_ADMIN and a kernel with ESP only where [[zb]] sections ask for ESP.
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
    let prepare = async |file: File| {
        let config = file.core().await?;
        let tls = file.listeners(&config)?;
        Ok((config, tls, file.cx, ZbFile::load_all(&file.zb)?))
    };
    Arguments::parse().daemon.run(prepare, async |(config, tls, cx, zb), shutdown| {
        let address = config.address;
        let mut zb = ZbInterfaces::secure(zb)?;
        let shell = Shell::start(config, tls, Arc::new(cx.connect().await?))?;
        tracing::info!(%address, hss = cx.peer, "I-CSCF is ready");
        zb.started();
        shell.run(shutdown).await
    })
}
