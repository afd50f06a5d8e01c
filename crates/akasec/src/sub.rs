//! `akasec sub`: an operator's hand on the subscribers of an HSS.

mod card;
mod import;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hss::control::{Change, Existing, Reason, Request};
use node::control::ask;
use serde_json::Value;

use crate::operate::{read, tell};

/// An HSS that says nothing for this long is taken for dead. It may have to wait for an S-CSCF's answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The control socket: `control` in hss.toml.
    #[arg(long, value_name = "PATH", global = true, default_value = "/run/akasec/hss.sock")]
    socket: PathBuf,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add one subscriber, its keys from a card's file.
    Add(card::Options),
    /// Add the subscribers of a CSV file, in batches; what a batch has added stays.
    Import(import::Options),
    /// Show the subscribers in the order they came in.
    List {
        /// Those after the one with this number, which an earlier list has told.
        #[arg(long, value_name = "NUMBER")]
        after: Option<i64>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        most: usize,
    },
    /// Show one subscriber: identities, sets, filter criteria, registration state, SQN. No key.
    Show {
        /// IMPI or IMPU.
        user: String,
    },
    /// Remove a subscriber; a registration of it ends first (RTR).
    Remove {
        /// IMPI or IMPU.
        user: String,
    },
    /// Change the profile; the S-CSCF that serves the user gets the new one (PPR).
    Change {
        /// IMPI or IMPU.
        user: String,
        /// Bar a public identity.
        #[arg(long, value_name = "IMPU")]
        bar: Vec<String>,
        /// Let a barred one be used again.
        #[arg(long, value_name = "IMPU")]
        unbar: Vec<String>,
        /// Add a public identity.
        #[arg(long, value_name = "IMPU")]
        add: Vec<String>,
        /// Take one away.
        #[arg(long, value_name = "IMPU")]
        drop: Vec<String>,
        /// A file of InitialFilterCriteria elements that replace those there are; an empty one removes them.
        #[arg(long, value_name = "FILE")]
        criteria: Option<PathBuf>,
    },
    /// End a registration; the S-CSCF that serves the user hears of it (RTR), and the UE through it.
    Deregister {
        /// IMPI or IMPU.
        user: String,
        #[arg(long, value_enum, default_value_t = Why::PermanentTermination)]
        reason: Why,
        /// Reason-Info, for the user to read.
        #[arg(long, value_name = "TEXT")]
        info: Option<String>,
    },
    /// Set the last sequence number that was used, for a card that has seen other ones.
    SetSqn {
        /// IMPI.
        user: String,
        /// 12 hex digits.
        sqn: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Why {
    /// The user must stay away.
    PermanentTermination,
    /// The user registers again.
    ServerChange,
    /// The S-CSCF forgets the user without telling it.
    RemoveScscf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Command::Import(import) = &options.command {
        return import::run(import, &options.socket, options.json);
    }
    let asked = ask(&options.socket, &options.command.request()?, PATIENCE);
    tell(asked, options.json, |result| options.command.in_words(result))
}

impl Command {
    fn request(&self) -> anyhow::Result<Request> {
        Ok(match self {
            Self::Add(card) => card.request()?,
            Self::Import(_) => anyhow::bail!("an import is several requests"),
            Self::List { after, most } => Request::List { after: *after, most: *most },
            Self::Show { user } => Request::Show { user: user.clone() },
            Self::Remove { user } => Request::Remove { user: user.clone() },
            Self::Change { user, bar, unbar, add, drop, criteria } => {
                let criteria =
                    criteria.as_deref().map(import::text).transpose()?.map(|text| text.to_string());
                let change = Change {
                    bar: bar.clone(),
                    unbar: unbar.clone(),
                    add: add.clone(),
                    drop: drop.clone(),
                    criteria,
                };
                Request::Change { user: user.clone(), change }
            }
            Self::Deregister { user, reason, info } => {
                let reason = match reason {
                    Why::PermanentTermination => Reason::PermanentTermination,
                    Why::ServerChange => Reason::ServerChange,
                    Why::RemoveScscf => Reason::RemoveScscf,
                };
                Request::Deregister { user: user.clone(), reason, info: info.clone() }
            }
            Self::SetSqn { user, sqn } => Request::SetSqn { user: user.clone(), sqn: sqn.clone() },
        })
    }

    fn in_words(&self, result: &Value) -> anyhow::Result<String> {
        Ok(match self {
            Self::Add(_) | Self::Import(_) => words::added(&read(result)?),
            Self::List { .. } => words::listed(&read(result)?),
            Self::Show { .. } => words::shown(&read(result)?),
            Self::Remove { .. } => words::changed("removed", &read(result)?),
            Self::Change { .. } => words::changed("changed", &read(result)?),
            Self::Deregister { .. } => words::changed("de-registered", &read(result)?),
            Self::SetSqn { user, sqn } => format!("{user}: SQN is now {sqn}\n"),
        })
    }
}

impl From<import::Present> for Existing {
    fn from(present: import::Present) -> Self {
        match present {
            import::Present::Refuse => Self::Refuse,
            import::Present::Keep => Self::Keep,
            import::Present::Replace => Self::Replace,
        }
    }
}

#[cfg(test)]
mod tests;
