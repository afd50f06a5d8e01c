//! Every test. What needs no ESP runs here; what does runs on the host's kernel or in the guest.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo::{self, Executable};
use crate::kernel::{self, Job, Kernel, Outcome};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    kernel: kernel::Options,
    /// Only the tests that need a kernel with ESP.
    #[arg(long)]
    netns: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Packages whose ignored tests need ESP.
const NEED_ESP: [&str; 2] = ["xfrm", "netns-tests"];
/// Random runs of the flows on the virtual clock.
const RANDOM_RUNS: &str = "10000";
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub fn run(options: &Options) -> Result<ExitCode> {
    let mut passed = true;
    if !options.netns {
        let mut command = cargo::cargo();
        command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(&options.filter);
        // As many as the flows on the virtual clock are held to; a plain `cargo test` makes fewer.
        command.env("AKASEC_SEEDS", RANDOM_RUNS);
        passed &= command.status().context("start cargo test")?.success();
    }
    let executables = cargo::build(&["test", "--workspace", "--locked", "--no-run"])?;
    // The suite starts the daemons as processes.
    let binaries = cargo::build(&["build", "--workspace", "--locked", "--bins"])?;
    let akasec = binaries.iter().find(|built| built.target == "akasec").context("find the built akasec")?;
    let kernel = Kernel::choose(&options.kernel, &akasec.path)?;
    let suites: Vec<&Executable> = executables
        .iter()
        .filter(|built| built.is_integration_test && NEED_ESP.contains(&built.package.as_str()))
        .collect();
    let mut failed = Vec::new();
    for suite in &suites {
        eprintln!("netns: {} / {}", suite.package, suite.target);
        let mut arguments = vec!["--ignored".to_owned(), "--test-threads=1".to_owned()];
        arguments.extend(options.filter.clone());
        let job = Job { program: suite.path.clone(), arguments, environment: environment(), limit: LIMIT };
        let outcome = kernel.run(&job)?;
        if outcome == Outcome::TimedOut {
            eprintln!("netns: {} did not end within {} s", suite.target, LIMIT.as_secs());
        }
        if !outcome.success() {
            failed.push(format!("{} / {}", suite.package, suite.target));
        }
    }
    passed &= failed.is_empty();
    // Ignored above means "run here": nothing is left out, or the suite has failed.
    eprintln!(
        "verdict: {}; {} netns suites on the {}, 0 skipped{}",
        if passed { "pass" } else { "FAIL" },
        suites.len(),
        match kernel {
            Kernel::Host { .. } => "host's kernel",
            Kernel::Guest(_) => "guest kernel",
        },
        if failed.is_empty() { String::new() } else { format!("; failed: {}", failed.join(", ")) }
    );
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn environment() -> Vec<(String, String)> {
    vec![("RUST_BACKTRACE".to_owned(), "1".to_owned())]
}
