//! `cargo xtask bench`: what things cost. Timings are printed, never asserted.

use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cargo;
use crate::kernel::{self, Job, Kernel, Outcome};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    kernel: kernel::Options,
    /// Register UEs over ESP through the whole chain instead, and measure each 200 of them.
    #[arg(long)]
    load: bool,
    /// UEs of --load.
    #[arg(long, default_value = "1200")]
    ues: String,
    /// The HSS's store is filled with up to so many subscribers.
    #[arg(long, default_value = "100000")]
    subscribers: String,
    /// Registrations under way at a time, of --load.
    #[arg(long, default_value = "32")]
    at_once: String,
}

/// Criterion's groups in the order of the table, and what the reader should compare with.
const ROWS: [(&str, &str, &str); 3] = [
    ("sip", "parse", "goal: below 1 us, at most 2 allocations (asserted in crates/sip/tests/allocations.rs)"),
    ("aka", "vector", "goal: below 1 us"),
    ("scscf", "registration", "goal: below 30 us"),
];

const LIMIT: Duration = Duration::from_secs(30 * 60);

pub fn run(options: &Options) -> Result<ExitCode> {
    let built = cargo::build(&["build", "--release", "--locked", "--package", "akasec"])?;
    let akasec = built.iter().find(|built| built.target == "akasec").context("find the built akasec")?;
    let kernel = Kernel::choose(&options.kernel, &akasec.path)?;
    let arguments = if options.load {
        ["bench-load", "--ues", &options.ues, "--at-once", &options.at_once].map(String::from).to_vec()
    } else {
        in_process()?;
        store(&options.subscribers)?;
        vec!["bench-sets".to_owned()]
    };
    let job = Job { program: akasec.path.clone(), arguments, environment: Vec::new(), limit: LIMIT };
    match kernel.run(&job)? {
        Outcome::Exited(0) => Ok(ExitCode::SUCCESS),
        Outcome::Exited(code) => anyhow::bail!("the bench ended with status {code}"),
        Outcome::TimedOut => anyhow::bail!("the bench did not end within {} minutes", LIMIT.as_secs() / 60),
    }
}

/// Runs the criterion benches and prints their table.
fn in_process() -> Result<()> {
    for (package, bench, _) in ROWS {
        eprintln!("bench: {package}/{bench}");
        let mut command = cargo::cargo();
        command.args(["bench", "--locked", "--package", package, "--bench", bench, "--", "--noplot"]);
        cargo::check(command.stdout(Stdio::null()), "cargo bench")?;
    }
    println!("{:<44} {:>12}  {:>24}", "bench", "time", "95 % confidence");
    for (package, bench, goal) in ROWS {
        let folder = cargo::target().join("criterion").join(format!("{package}_{bench}"));
        for (name, estimate) in estimates(&folder, &format!("{package}/{bench}"))? {
            let Estimate { point_estimate, confidence_interval: interval } = estimate;
            let range = format!("{} .. {}", time(interval.lower_bound), time(interval.upper_bound));
            println!("{name:<44} {:>12}  {range:>24}", time(point_estimate));
        }
        println!("    {goal}");
    }
    Ok(())
}

/// The HSS's store prints a table of its own.
fn store(subscribers: &str) -> Result<()> {
    eprintln!("bench: hss/store");
    let mut command = cargo::cargo();
    command.args(["bench", "--locked", "--package", "hss", "--bench", "store"]);
    cargo::check(command.env("AKASEC_SUBSCRIBERS", subscribers), "cargo bench")
}

#[derive(Debug, Deserialize)]
struct Estimates {
    mean: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// All `new/estimates.json` below a group's folder, by the bench's name.
fn estimates(folder: &Path, name: &str) -> Result<Vec<(String, Estimate)>> {
    let mut found = Vec::new();
    let file = folder.join("new/estimates.json");
    if file.exists() {
        let estimates: Estimates = serde_json::from_slice(&fs::read(&file)?)?;
        found.push((name.to_owned(), estimates.mean));
    }
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("find criterion's results of {name} in {}", folder.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let below = entry.file_name().to_string_lossy().into_owned();
        if !matches!(below.as_str(), "new" | "base" | "change" | "report") {
            found.append(&mut estimates(&entry.path(), &format!("{name}/{below}"))?);
        }
    }
    Ok(found)
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1000.0 {
        format!("{nanoseconds:.0} ns")
    } else {
        format!("{:.2} us", nanoseconds / 1000.0)
    }
}
