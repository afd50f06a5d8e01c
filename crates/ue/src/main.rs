//! `ue`: one simulated phone.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use node::Shutdown;
use node::daemon::Daemon;
use sip::Instant;
use ue::config::Config;
use ue::core::{CallAnswer, Command, Fault, Step};
use ue::fleet::Fleet;
use ue::scenario::{Deed, Order, Outcome, Run, Scenario};

/// A UE: registers over IPsec with a soft ISIM.
///
/// Needs CAP_NET_ADMIN in its network namespace and a kernel with ESP. Without a command it registers, stays registered
/// (tries again where that makes sense), answers calls and messages, and de-registers at SIGTERM. The other commands do their part and end, without
/// de-registering.
///
/// Exit status: 0 as it should be; 1 another failure, or a scenario that did not go as it must; 2 wrong usage;
/// 3 the network refused (the JSON has its status); 4 the UE refused the network (MAC, sequence number, agreement);
/// 5 no answer; 6 the kernel did not take the security associations.
///
/// Examples:
///   ue --config phone.toml                            register, stay, de-register at SIGTERM
///   ue --config phone.toml --json register            register, one JSON object a step, end
///   ue --config phone.toml reregister --fault res     register, then again with a wrong answer
///   ue --config phone.toml resync                     force a synchronisation failure, then register
///   ue --config phone.toml run life.toml              play a scenario, say what was not as it must be
///   ue --config phone.toml run call.toml              the same with a call and a message to another phone
///   ue --config phone.toml --answer busy              register, stay, refuse every call with 486
///   ue --config phone.toml --check run life.toml      only read both files
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    /// As the command `register`.
    #[arg(long, conflicts_with = "fault")]
    once: bool,
    /// One JSON object per step on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Does one thing wrong on purpose in the last registration of the command.
    #[arg(long, global = true, value_name = "NAME", value_parser = fault_parser())]
    fault: Option<Fault>,
    /// What becomes of calls that come in: answer (after a second), busy, decline, or silence (it only rings).
    #[arg(long, global = true, value_name = "HOW", default_value = "answer", value_parser = CallAnswer::NAMES)]
    answer: String,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register, stay registered, de-register at SIGTERM (as without a command).
    Stay,
    /// Register once.
    Register,
    /// Register, then once more over the set that came of it.
    Reregister,
    /// Register, then de-register.
    Deregister,
    /// Claim that the network's sequence number is stale, then register.
    Resync,
    /// Play a scenario file; ends with status 0 when every step is as it must be.
    Run {
        /// TOML; see examples/scenarios.
        scenario: PathBuf,
    },
}

fn fault_parser() -> impl clap::builder::TypedValueParser<Value = Fault> {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let values = Fault::all().map(|fault| PossibleValue::new(fault.as_str()).help(fault.meaning()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Fault>())
}

/// What the whole call is about.
enum Plan {
    Stay(Command),
    Play { scenario: Scenario, named: bool },
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { daemon, once, json, fault, answer, action } = Arguments::parse();
    let plan = match plan(once, fault, action) {
        Ok(plan) => plan,
        Err(Misuse::Fault) => clap::Error::raw(
            clap::error::ErrorKind::ArgumentConflict,
            "--fault goes with register and reregister\n",
        )
        .exit(),
        Err(Misuse::Scenario(error)) => return Err(error),
    };
    let status = Cell::new(0);
    let prepare = async |config: Config| config.into_core().await;
    daemon.run(prepare, async |(mut config, isim, protection), mut shutdown| {
        config.answering.with = answer.parse().unwrap_or_default();
        if let Plan::Play { scenario, .. } = &plan {
            config.stay_registered = scenario.stay_registered;
            config.patience = scenario.patience.unwrap_or(config.patience);
        }
        let mut fleet = Fleet::start(vec![(config, isim)], vec![protection])?;
        let played = match plan {
            Plan::Stay(command) => stay(&mut fleet, command, json, &mut shutdown).await,
            Plan::Play { scenario, named } => play(&mut fleet, scenario, named, json, &mut shutdown).await,
        };
        let settled = settle(&mut fleet, json).await;
        fleet.end()?;
        status.set(played?);
        settled
    })?;
    Ok(ExitCode::from(status.get()))
}

enum Misuse {
    Fault,
    Scenario(anyhow::Error),
}

fn plan(once: bool, fault: Option<Fault>, action: Option<Action>) -> Result<Plan, Misuse> {
    let register = Deed::Register { fault: None };
    let deeds = match action {
        None if once => vec![register],
        None | Some(Action::Stay) => {
            return Ok(Plan::Stay(fault.map_or(Command::Register, Command::Misbehave)));
        }
        Some(Action::Register) => vec![Deed::Register { fault }],
        Some(Action::Reregister) => vec![register, Deed::Reregister { fault }],
        Some(Action::Deregister | Action::Resync | Action::Run { .. }) if fault.is_some() => {
            return Err(Misuse::Fault);
        }
        Some(Action::Deregister) => vec![register, Deed::Deregister],
        Some(Action::Resync) => vec![Deed::Resync],
        Some(Action::Run { scenario }) => {
            let scenario = read_scenario(&scenario).map_err(Misuse::Scenario)?;
            return Ok(Plan::Play { scenario, named: true });
        }
    };
    let mut scenario = Scenario::of(deeds);
    // Whoever misbehaves wants to see what comes of it: the exit status says so.
    for action in &mut scenario.steps {
        action.expect.outcome = Some(action.expect.outcome.unwrap_or(Outcome::Registered));
    }
    Ok(Plan::Play { scenario, named: false })
}

fn read_scenario(path: &Path) -> anyhow::Result<Scenario> {
    let what = || format!("failed to read the scenario {}", path.display());
    let text = std::fs::read_to_string(path).with_context(what)?;
    Scenario::parse(&text).with_context(what)
}

/// Registers and stays so until it is told to end, or until there is nothing left to wait for.
async fn stay(
    fleet: &mut Fleet,
    command: Command,
    json: bool,
    shutdown: &mut Shutdown,
) -> anyhow::Result<u8> {
    fleet.command(0, command);
    let mut last = Outcome::Failed;
    loop {
        let step = tokio::select! {
            () = shutdown.requested() => break,
            (_, step) = fleet.step() => step,
        };
        show(&step, json)?;
        last = Outcome::of(&step).unwrap_or(last);
        let Some(ue) = fleet.ue(0) else { break };
        if ue.registration().is_none() && !ue.is_busy() && !ue.will_register() {
            explain(&step);
            return Ok(last.exit_status().max(1));
        }
    }
    if fleet.ue(0).is_none_or(|ue| ue.registration().is_none()) {
        return Ok(0);
    }
    fleet.command(0, Command::Deregister);
    loop {
        let (_, step) = fleet.step().await;
        show(&step, json)?;
        if step.ends() {
            return Ok(0);
        }
    }
}

/// Plays a scenario to its end, or to the first step that is not as it must be.
async fn play(
    fleet: &mut Fleet,
    scenario: Scenario,
    named: bool,
    json: bool,
    shutdown: &mut Shutdown,
) -> anyhow::Result<u8> {
    let mut run = Run::new(scenario);
    loop {
        let registered = fleet.ue(0).is_some_and(|ue| ue.registration().is_some());
        let order = run.poll(fleet.now(), registered);
        while let Some(report) = run.report().filter(|_| named) {
            let reason = report.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
            let verdict = if reason.is_empty() { "pass" } else { "FAIL" };
            let what = report.action.deed.as_str();
            say(json, &report.to_json(), &format!("step {} {what}: {verdict}{reason}", report.number))?;
        }
        match order {
            Order::Command(command) => fleet.command(0, command),
            Order::Done => break,
            Order::Pause(until) => {
                let step = tokio::select! {
                    () = shutdown.requested() => anyhow::bail!("ended by a signal"),
                    () = sleep_until(fleet.now(), until) => continue,
                    (_, step) = fleet.step() => step,
                };
                show(&step, json)?;
                if !named {
                    explain(&step);
                }
                let registered = fleet.ue(0).is_some_and(|ue| ue.registration().is_some());
                run.hear(fleet.now(), &step, registered);
            }
        }
    }
    if named {
        let verdict = if run.passed() { "pass" } else { "fail" };
        let line = serde_json::json!({ "step": "verdict", "verdict": verdict });
        say(json, &line, &format!("verdict: {verdict}"))?;
    }
    Ok(match run.outcome() {
        _ if run.passed() => 0,
        Some(outcome) if !named => outcome.exit_status().max(1),
        _ => 1,
    })
}

/// Hears what the network has still to say: it must not talk to closed ports.
async fn settle(fleet: &mut Fleet, json: bool) -> anyhow::Result<()> {
    let end = fleet.now() + Duration::from_secs(1);
    while fleet.ue(0).is_some_and(ue::core::Ue::is_settling) {
        tokio::select! {
            () = sleep_until(fleet.now(), Some(end)) => break,
            (_, step) = fleet.step() => show(&step, json)?,
        }
    }
    Ok(())
}

async fn sleep_until(now: Instant, until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep(until - now).await,
        None => std::future::pending().await,
    }
}

fn explain(step: &Step) {
    if let Step::Failed(failure) = step {
        eprintln!("failed to register: {failure}");
    }
}

fn show(step: &Step, json: bool) -> anyhow::Result<()> {
    say(json, &step.to_json(), &step.to_string())
}

fn say(json: bool, value: &serde_json::Value, words: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "{words}")?;
    }
    Ok(())
}
