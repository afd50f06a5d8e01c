//! `ue`: one simulated phone.

#![forbid(unsafe_code)]

use std::io::Write;

use clap::Parser;
use node::daemon::Daemon;
use ue::config::Config;
use ue::core::{Command, Step};
use ue::fleet::Fleet;

/// A UE: registers over IPsec with a soft ISIM, and stays registered until it is ended.
///
/// Needs CAP_NET_ADMIN in its network namespace and a kernel with ESP. Ends with status 0 when the registration (and at
/// the end the de-registration) succeeded, else with 1 and the reason.
///
/// Examples:
///   ue --config phone.toml                 register, stay, de-register at SIGTERM
///   ue --config phone.toml --once --json   register, say what became of it, end
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    /// End after the registration, without de-registering.
    #[arg(long)]
    once: bool,
    /// One JSON object per step on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { daemon, once, json } = Arguments::parse();
    let prepare = async |config: Config| config.into_core().await;
    daemon.run(prepare, async |(config, isim, protection), mut shutdown| {
        let mut fleet = Fleet::start(vec![(config, isim)], vec![protection])?;
        fleet.command(0, Command::Register);
        let outcome = loop {
            let step = tokio::select! {
                () = shutdown.requested() => break Ok(()),
                (_, step) = fleet.step() => step,
            };
            show(&step, json)?;
            match step {
                Step::Failed(failure) => break Err(failure),
                Step::Registered(_) if once => break Ok(()),
                _ => {}
            }
        };
        if outcome.is_ok() && !once && fleet.ue(0).is_some_and(|ue| ue.registration().is_some()) {
            fleet.command(0, Command::Deregister);
            loop {
                let (_, step) = fleet.step().await;
                show(&step, json)?;
                if step.ends() {
                    break;
                }
            }
        }
        fleet.end()?;
        outcome.map_err(|failure| anyhow::anyhow!("failed to register: {failure}"))
    })
}

fn show(step: &Step, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", step.to_json())?;
    } else {
        writeln!(out, "{step}")?;
    }
    Ok(())
}
