//! The command line and the life of a daemon.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::logging::LogOptions;
use crate::{Shutdown, config, logging, raise_open_files};

/// Options that every daemon has.
#[derive(Debug, Clone, clap::Args)]
pub struct Daemon {
    /// The configuration file (TOML; unknown keys are refused).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration and the files it names, print what is in force, without secrets, and end.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

impl Daemon {
    /// Loads the configuration, has `prepare` check it, and serves what came of it on a runtime of one thread until
    /// `serve` returns. With `--check` it prints the configuration in force, and serves nothing.
    pub fn run<T, P>(
        self,
        prepare: impl AsyncFnOnce(T) -> anyhow::Result<P>,
        serve: impl AsyncFnOnce(P, Shutdown) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>
    where
        T: DeserializeOwned + Serialize,
    {
        let config: T = config::load(&self.config)?;
        let printed = config::effective(&config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if self.check {
                prepare(config).await?;
                std::io::stdout().write_all(printed.as_bytes())?;
                return Ok(());
            }
            logging::init(&self.log)?;
            tracing::debug!(limit = raise_open_files(), "open files");
            let shutdown = Shutdown::on_signal()?;
            serve(prepare(config).await?, shutdown).await
        })
    }
}
