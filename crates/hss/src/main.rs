//! The HSS daemon: reads the configuration, opens the store, then answers Diameter peers.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aka::IndRange;
use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cx::peer::{Listener, Peers, ServerFile};
use cx::{ServerCapabilities, ServerConfig, VisitedNetwork};
use hss::csv::Imported;
use hss::shell::{self, KeySource};
use hss::store::Store;
use hss::store::seal::MasterKey;
use hss::{Hss, HssConfig, Policy, StoreConfig, operator};
use node::Shutdown;
use node::control::{self, Control};
use node::daemon::Daemon;

/// Home subscriber server for IMS AKA: subscribers in a database, Cx over Diameter.
#[derive(Parser)]
#[command(
    name = "hss",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  hss --config hss.toml\n  hss --config hss.toml --check\n  hss new-key --out /etc/akasec/hss.key"
)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    #[command(subcommand)]
    _command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key that seals the subscribers' keys in the database.
    NewKey {
        /// The file to write, mode 0600. One that is there is left alone.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let matches = Arguments::command().get_matches();
    // A subcommand needs nothing of what the daemon needs.
    if matches.subcommand().is_some() {
        return Command::from_arg_matches(&matches)?.run();
    }
    Arguments::from_arg_matches(&matches)?.daemon.run(prepare, serve)
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::NewKey { out } => Ok(MasterKey::create(&out).map(drop)?),
        }
    }
}

/// A configuration that has been checked, and the subscribers it names.
struct Prepared {
    config: HssConfig,
    policy: Policy,
    cx: (ServerFile, ServerConfig),
    key: KeySource,
    imported: Vec<Imported>,
}

/// Reads everything but the store, which `--check` must not touch.
async fn prepare(config: HssConfig) -> anyhow::Result<Prepared> {
    let (policy, key) = (policy(&config)?, config.store().key()?);
    let cx = config.cx()?;
    let cx = (cx.clone(), cx.config()?);
    let imported = config.subscribers.as_deref().map(hss::csv::import).transpose()?.unwrap_or_default();
    Ok(Prepared { config, policy, cx, key, imported })
}

async fn serve(prepared: Prepared, shutdown: Shutdown) -> anyhow::Result<()> {
    match prepared.config.store() {
        StoreConfig::Sqlite { path, .. } => {
            let store = shell::open_sqlite(&path, &prepared.key)?;
            serve_from(store, &path.display().to_string(), prepared, shutdown).await
        }
        StoreConfig::Postgres { host, port, database, user, password_file, connections, .. } => {
            let password = password_file.as_deref().map(shell::password).transpose()?;
            let place = shell::PostgresPlace { host, port, database, user, password, connections };
            let name = place.to_string();
            let store = shell::open_postgres(place, &prepared.key).await?;
            serve_from(store, &name, prepared, shutdown).await
        }
    }
}

async fn serve_from<S: Store>(
    store: S,
    place: &str,
    prepared: Prepared,
    mut shutdown: Shutdown,
) -> anyhow::Result<()> {
    let Prepared { config, policy, cx: (file, cx), imported, .. } = prepared;
    let mut control = config.control.as_deref().map(Control::listen).transpose()?;
    if let Some(file) = &config.subscribers {
        let shell::ImportReport { inserted, present, in_part } =
            shell::import(&store, imported, file).await?;
        tracing::info!(file = %file.display(), inserted, present, "imported subscribers");
        if in_part > 0 {
            tracing::warn!(
                file = %file.display(),
                in_part,
                "subscribers were not imported: they share an identity with others that the store has already"
            );
        }
    }
    let counts = shell::ask(|done| store.count(done)).await?;
    let hss = Hss::new(policy, store, node::seed()?, shell::wall_clock());
    let listeners = file.listen().await?;
    let (host, subscribers) = (cx.origin.host.clone(), counts.private_identities);
    let peers = Peers::new(cx);
    hss.reach(Arc::new(peers.clone()));
    let addresses: Vec<_> = listeners.iter().map(Listener::address).collect::<Result<_, _>>()?;
    tracing::info!(?addresses, host, subscribers, store = place, "the HSS answers");
    let serving = peers.serve(listeners, Arc::new(hss.clone()), async move { shutdown.requested().await });
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => break,
            asked = control::next(&mut control) => operator::carry_out(&hss, asked),
        }
    }
    // Each holds the other; the store is to be closed.
    hss.leave();
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
        pending_lifetime: Duration::from_secs(config.pending_seconds),
    })
}
