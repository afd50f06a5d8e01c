//! The HSS daemon: reads the configuration and the subscribers, then answers Diameter peers.
#![forbid(unsafe_code)]

use std::sync::Arc;

use aka::IndRange;
use anyhow::Context;
use clap::Parser;
use cx::{Origin, ServerCapabilities, ServerConfig, VisitedNetwork};
use hss::csv::Imported;
use hss::store::FileStore;
use hss::{Hss, HssConfig, Policy};
use node::Shutdown;
use node::daemon::Daemon;
use tokio::net::TcpListener;

/// Home subscriber server for IMS AKA: subscribers from a CSV file, Cx over Diameter.
#[derive(Parser)]
#[command(name = "hss", version)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
}

fn main() -> anyhow::Result<()> {
    Arguments::parse().daemon.run(prepare, serve)
}

/// A configuration that has been checked, and the subscribers it names.
type Prepared = (HssConfig, Policy, Vec<Imported>);

/// Reads everything but the sequence numbers, which `--check` must not touch.
async fn prepare(config: HssConfig) -> anyhow::Result<Prepared> {
    let policy = policy(&config)?;
    let imported = hss::csv::import(&config.subscribers)?;
    Ok((config, policy, imported))
}

async fn serve((config, policy, imported): Prepared, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let subscribers = imported.len();
    let store = FileStore::with(imported, &config.subscribers)?;
    let server = Arc::new(Hss::new(policy, store, node::seed()?, hss::shell::wall_clock()));
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("listen on {}", config.listen))?;
    let origin = Origin { host: config.origin_host, realm: config.origin_realm };
    tracing::info!(address = %listener.local_addr()?, host = %origin.host, subscribers, "the HSS answers");
    cx::peer::serve(listener, ServerConfig::new(origin), server, async move { shutdown.requested().await })
        .await;
    Ok(())
}

fn policy(config: &HssConfig) -> anyhow::Result<Policy> {
    let [first, last] = config.ind;
    let networks = config.visited_networks.iter().map(|name| VisitedNetwork::new(name));
    Ok(Policy {
        capabilities: ServerCapabilities {
            mandatory: config.mandatory_capabilities.clone(),
            optional: config.optional_capabilities.clone(),
            server_names: Vec::new(),
        },
        visited_networks: networks.collect::<Result<_, _>>().context("use visited_networks")?,
        most_vectors: config.most_vectors,
        keep_server_name: config.keep_server_name,
        ind: IndRange::new(first, last).context("use ind")?,
        ..Policy::default()
    })
}
