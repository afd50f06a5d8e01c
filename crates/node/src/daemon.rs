//! The command line and the life of a daemon.

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
    /// Print the configuration in force, without secrets, and end.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

impl Daemon {
    /// Loads the configuration, hands it to `serve` on a runtime of one thread, and returns when `serve` does.
    /// With `--check` it only prints.
    pub fn run<T, F>(self, serve: impl FnOnce(T, Shutdown) -> F) -> anyhow::Result<()>
    where
        T: DeserializeOwned + Serialize,
        F: Future<Output = anyhow::Result<()>>,
    {
        let config: T = config::load(&self.config)?;
        if self.check {
            use std::io::Write;
            std::io::stdout().write_all(config::effective(&config)?.as_bytes())?;
            return Ok(());
        }
        logging::init(&self.log)?;
        tracing::debug!(limit = raise_open_files(), "open files");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let shutdown = Shutdown::on_signal()?;
            serve(config, shutdown).await
        })
    }
}
