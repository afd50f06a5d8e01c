//! `scscf`: the S-CSCF as a service.

#![forbid(unsafe_code)]

use std::sync::Arc;

use clap::Parser;
use node::daemon::Daemon;
use scscf::file::File;
use scscf::shell::{self, Shell};
use xfrm::{ZbFile, ZbInterfaces};

/// The S-CSCF: registrar and authenticator.
///
/// Needs CAP_NET_ADMIN and a kernel with ESP only where [[zb]] sections ask for ESP.
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
    let prepare = async |file: File| Ok((file.core()?, ZbFile::load_all(&file.zb)?, file));
    Arguments::parse().daemon.run(prepare, async |(config, zb, file), shutdown| {
        let mut zb = ZbInterfaces::secure(zb)?;
        let (server, requests) = shell::cx_requests();
        let link = Arc::new(file.cx.connect_with_server(server).await?);
        let mut shell = Shell::start(config, file.listen, link)?.with_cx_requests(requests);
        if let Some(path) = &file.control {
            shell = shell.with_control(path)?;
        }
        tracing::info!(listen = %file.listen, hss = file.cx.peer, "S-CSCF is ready");
        zb.started();
        shell.run(shutdown).await
    })
}
