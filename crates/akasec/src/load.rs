//! `cargo xtask bench --load`: the whole chain over ESP, measured for each two hundred UEs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{Cpu, Lab};
use serde::Serialize;
use ue::core::{Command, Step};

use crate::setup::Network;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    network: Network,
    /// Registrations under way at a time.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// UEs of one line of the table.
    #[arg(long, default_value_t = 200)]
    window: u16,
    #[arg(long)]
    json: bool,
}

/// One line of the table. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Window {
    registered: usize,
    failed: usize,
    per_second: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    /// CPU of one registration.
    cpu_ue: f64,
    cpu_pcscf: f64,
    cpu_icscf: f64,
    cpu_scscf: f64,
    cpu_hss: f64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut lab_options = options.network.lab()?;
    // The tap would take CPU from what is measured; the netns suite watches the wire.
    lab_options.tap = false;
    let mut lab = Lab::start(lab_options)?;
    if !options.json {
        crate::print(&format!(
            "{:>12} {:>6} {:>8} {:>8} {:>8} {:>8}   CPU a registration: {:>7} {:>7} {:>7} {:>7} {:>7}\n",
            "UEs", "failed", "reg/s", "p50 ms", "p95 ms", "p99 ms", "UE", "P", "I", "S", "HSS"
        ))?;
    }
    let (ues, window) = (usize::from(options.network.ues), usize::from(options.window.max(1)));
    let mut windows = Vec::new();
    for first in (0..ues).step_by(window) {
        let last = (first + window).min(ues);
        let measured = measure(&mut lab, first..last, options.at_once)?;
        if !options.json {
            crate::print(&line(first, last, &measured))?;
        }
        windows.push(measured);
    }
    if options.json {
        crate::print(&format!("{}\n", serde_json::to_string_pretty(&windows)?))?;
    }
    let failed = windows.iter().any(|window| window.failed > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(lab: &mut Lab, members: std::ops::Range<usize>, at_once: usize) -> Result<Window> {
    let count = members.len();
    let (before, started) = (lab.cpu(), Instant::now());
    let (mut took, mut failed) = (Vec::with_capacity(count), 0);
    lab.run(Command::Register, members, at_once, |finished| match finished.last() {
        Some(Step::Registered(_)) => took.push(finished.took),
        other => {
            failed += 1;
            tracing::error!(ue = finished.member, "{}", other.map(ToString::to_string).unwrap_or_default());
        }
    })?;
    let (elapsed, after) = (started.elapsed(), lab.cpu());
    took.sort();
    let percentile = |percent: usize| {
        let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(at).copied().map(milliseconds).unwrap_or_default()
    };
    let cpu = |of: fn(&Cpu) -> Duration| milliseconds(of(&after).saturating_sub(of(&before))) / count as f64;
    Ok(Window {
        registered: took.len(),
        failed,
        per_second: took.len() as f64 / elapsed.as_secs_f64(),
        p50: percentile(50),
        p95: percentile(95),
        p99: percentile(99),
        cpu_ue: cpu(|cpu| cpu.ue),
        cpu_pcscf: cpu(|cpu| cpu.pcscf),
        cpu_icscf: cpu(|cpu| cpu.icscf),
        cpu_scscf: cpu(|cpu| cpu.scscf),
        cpu_hss: cpu(|cpu| cpu.hss),
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn line(first: usize, last: usize, window: &Window) -> String {
    format!(
        "{:>12} {:>6} {:>8.1} {:>8.1} {:>8.1} {:>8.1}                       {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>7.3}\n",
        format!("{}-{last}", first + 1),
        window.failed,
        window.per_second,
        window.p50,
        window.p95,
        window.p99,
        window.cpu_ue,
        window.cpu_pcscf,
        window.cpu_icscf,
        window.cpu_scscf,
        window.cpu_hss
    )
}
