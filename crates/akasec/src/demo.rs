//! `akasec demo`: registers UEs over ESP and proves it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use lab::observer::Observer;
use lab::{Lab, ladder};
use node::logging::LogOptions;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use ue::core::{Command, Step};

use crate::report::{self, Evidence, Kernel, RegistrationReport, Report};
use crate::setup::Network;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    network: Network,
    /// One JSON document on standard output and nothing else there.
    #[arg(long)]
    json: bool,
}

/// UEs that register at the same time after the first.
const AT_ONCE: usize = 16;

pub(crate) fn run(options: &Options, log: &LogOptions) -> Result<ExitCode> {
    let (observer, rungs) = Observer::new();
    // Logs are for trouble here: the ladder tells the rest.
    let level = if log.log == "info" { "warn" } else { &log.log };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let filter = EnvFilter::try_new(level).context("read the log filter")?;
    let wire =
        tracing_subscriber::filter::Targets::new().with_target(node::wire::TARGET, tracing::Level::TRACE);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(observer.with_filter(wire)).init();

    let lab_options = options.network.lab()?;
    let ues = usize::from(lab_options.ues);
    let mut lab = Lab::start(lab_options)?;
    let mut steps: Vec<Vec<Step>> = vec![Vec::new(); ues];
    // The first alone, so that its ladder is its own.
    steps[0] = lab.command(0, Command::Register)?.steps;
    let drawn = rungs.seen();
    lab.run(Command::Register, 1..ues, AT_ONCE, |finished| {
        if let Some(place) = steps.get_mut(finished.member) {
            *place = finished.steps;
        }
    })?;
    let report = report_on(&lab, &options.network.transport, &steps)?;
    if options.json {
        crate::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        crate::print(&format!("{}\n(= inside ESP)\n\n{}", ladder::draw(&drawn), report.in_words()))?;
    }
    Ok(if report.verdict == "pass" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report_on(lab: &Lab, transport: &str, steps: &[Vec<Step>]) -> Result<Report> {
    let wire = lab.wire();
    let (at_ue, at_p_cscf) = lab.kernel_states()?;
    let evidence = Evidence { wire: &wire, at_ue: &at_ue, at_p_cscf: &at_p_cscf };
    let registrations: Vec<RegistrationReport> = (0u16..)
        .zip(steps)
        .map(|(n, steps)| RegistrationReport::new(n, lab.options(), transport, steps, &evidence))
        .collect();
    let (ue_errors, p_cscf_errors) = lab.kernel_errors()?;
    let kernel_errors =
        BTreeMap::from([("ue", report::errors(&ue_errors)), ("p-cscf", report::errors(&p_cscf_errors))]);
    let mut reasons: Vec<String> = registrations.iter().flat_map(RegistrationReport::faults).collect();
    for (namespace, errors) in &kernel_errors {
        reasons.extend(
            errors.iter().map(|(name, count)| format!("{namespace}: the kernel counted {name} {count}")),
        );
    }
    let verdict = if reasons.is_empty() { "pass" } else { "fail" };
    Ok(Report { verdict, reasons, kernel: kernel()?, registrations, kernel_errors })
}

fn kernel() -> Result<Kernel> {
    let release = nix::sys::utsname::uname().context("ask for the kernel's release")?;
    let release = release.release().to_string_lossy().into_owned();
    // Both ends ask the kernel at their start and end the demo where there is no ESP.
    Ok(Kernel { release, guest: std::env::var_os("AKASEC_GUEST").is_some(), esp: true })
}
