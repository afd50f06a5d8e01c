//! Structured logs on standard error. Standard output belongs to results.

use tracing_subscriber::EnvFilter;

/// What the command line says about logs.
#[derive(Debug, Clone, clap::Args)]
pub struct LogOptions {
    /// What is logged: error, warn, info, debug, trace, or a filter such as `pcscf=debug,info`.
    #[arg(long, default_value = "info", env = "AKASEC_LOG", value_name = "FILTER")]
    pub log: String,
    /// One JSON object per log line.
    #[arg(long)]
    pub log_json: bool,
}

/// To be called once, before anything is logged.
pub fn init(options: &LogOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log)
        .map_err(|error| anyhow::anyhow!("read the log filter {:?}: {error}", options.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if options.log_json { builder.json().try_init() } else { builder.try_init() };
    done.map_err(|error| anyhow::anyhow!("start the log: {error}"))
}
