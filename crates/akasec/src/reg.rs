//! `akasec reg`: an operator's hand on the registrations of an S-CSCF.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use node::control::ask;
use scscf::control::{Changed, How, List, Request};
use serde_json::Value;

use crate::operate::{read, tell};

/// A daemon that says nothing for this long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The control socket: `control` in scscf.toml.
    #[arg(long, value_name = "PATH", global = true, default_value = "/run/akasec/scscf.sock")]
    socket: PathBuf,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who is registered, with which contacts and for how long.
    List {
        /// This private or public identity only.
        user: Option<String>,
        /// At most so many users.
        #[arg(long, value_name = "N", default_value_t = 100)]
        most: usize,
    },
    /// End a user's registration; UE and P-CSCF hear how.
    Deregister {
        /// IMPI or IMPU.
        user: String,
        /// What the UE shall do next: register again, later, or never.
        #[arg(long, value_enum, default_value_t = Next::Deactivated)]
        how: Next,
        /// Seconds to stay away; with `--how probation`.
        #[arg(long, value_name = "SECONDS", required_if_eq("how", "probation"))]
        retry_after: Option<u32>,
    },
    /// Make a user authenticate again: the registration is shortened, and its next REGISTER is challenged.
    Reauthenticate {
        /// IMPI or IMPU.
        user: String,
        /// Seconds the UE has.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        expires: u32,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Next {
    Deactivated,
    Probation,
    Rejected,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let asked = ask(&options.socket, &options.command.request(), PATIENCE);
    tell(asked, options.json, |result| options.command.in_words(result))
}

impl Command {
    fn request(&self) -> Request {
        match self {
            Self::List { user, most } => Request::List { user: user.clone(), most: Some(*most) },
            Self::Deregister { user, how, retry_after } => {
                let how = match how {
                    Next::Deactivated => How::Deactivated,
                    Next::Probation => How::Probation,
                    Next::Rejected => How::Rejected,
                };
                Request::Deregister { user: user.clone(), how, retry_after: *retry_after }
            }
            Self::Reauthenticate { user, expires } => {
                Request::Reauthenticate { user: user.clone(), expires: *expires }
            }
        }
    }

    fn in_words(&self, result: &Value) -> anyhow::Result<String> {
        Ok(match self {
            Self::List { .. } => listed(&read(result)?),
            Self::Deregister { .. } => changed("de-registered", &read(result)?),
            Self::Reauthenticate { expires, .. } => {
                changed(&format!("must authenticate again within {expires} s"), &read(result)?)
            }
        })
    }
}

fn listed(list: &List) -> String {
    let mut out = String::new();
    for user in &list.users {
        let _ = writeln!(out, "{}  {}", user.impi, user.impus.join(" "));
        for criteria in &user.filter_criteria {
            let priority = criteria.priority.map_or("?".into(), |priority| priority.to_string());
            let trigger = criteria.trigger.as_deref().unwrap_or("everything");
            let server = criteria.application_server.as_deref().unwrap_or("?");
            let _ = writeln!(out, "  criteria {priority}: {trigger} -> {server}");
        }
        for contact in &user.contacts {
            let _ = writeln!(out, "  {:>7} s  {}", contact.remaining, contact.contact);
        }
    }
    let _ = writeln!(out, "{} of {} registered users", list.users.len(), list.registered);
    out
}

fn changed(what: &str, changed: &Changed) -> String {
    let mut out = String::new();
    for user in &changed.users {
        let _ = writeln!(out, "{user}: {what}");
    }
    let _ = writeln!(out, "{} contacts; {} subscriptions hear of it", changed.contacts, changed.watchers);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn request(line: &str) -> Result<Request, clap::Error> {
        let line = Line::try_parse_from(["reg"].into_iter().chain(line.split(' ')))?;
        Ok(line.options.command.request())
    }

    #[test]
    fn lines_become_requests() {
        let user = || "a@b".to_owned();
        assert_eq!(request("list").unwrap(), Request::List { user: None, most: Some(100) });
        assert_eq!(
            request("deregister a@b --how probation --retry-after 60").unwrap(),
            Request::Deregister { user: user(), how: How::Probation, retry_after: Some(60) }
        );
        assert_eq!(
            request("reauthenticate a@b --socket /x --json").unwrap(),
            Request::Reauthenticate { user: user(), expires: 300 }
        );
        for bad in
            ["deregister", "deregister a@b --how probation", "reauthenticate a@b --expires x", "drop a@b"]
        {
            assert!(request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dead_socket_has_its_own_status() {
        let line = Line::try_parse_from(["reg", "list", "--socket", "/nonexistent/scscf.sock"]).unwrap();
        assert_eq!(run(&line.options).unwrap(), ExitCode::from(crate::operate::NO_ANSWER));
    }
}
