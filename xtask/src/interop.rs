//! Other people's programs with ours: Kamailio's I-CSCF and S-CSCF.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo::{self, Executable};
use crate::kernel::{self, Job, Kernel, Outcome};
use crate::packages;

/// Kamailio's I-CSCF and S-CSCF with our hss, pcscf, icscf and scscf, each as a process in a network namespace.
///
/// Needs Debian's packages kamailio, kamailio-ims-modules and kamailio-presence-modules: as root they are installed
/// (and no service is started), anybody else is told what to install. Each scenario is a line `test NAME ... ok`.
///
/// Exit status: 0 every scenario passed, 1 one failed, 4 skipped because the packages cannot be had here.
///
/// Examples:
///   cargo xtask interop                      every scenario
///   cargo xtask interop --list               their names
///   cargo xtask interop resynchron           those with this in their name
///   cargo xtask interop --guest              in the guest kernel even where the host's has ESP
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    #[command(flatten)]
    kernel: kernel::Options,
    /// Only say what the scenarios are called.
    #[arg(long)]
    list: bool,
    /// Only scenarios whose name contains this.
    filter: Option<String>,
}

/// Integration tests of netns-tests that are not of `cargo xtask test`.
pub const SUITES: [&str; 2] = ["kamailio_cx", "kamailio"];
const PACKAGES: [&str; 3] = ["kamailio", "kamailio-ims-modules", "kamailio-presence-modules"];
const SKIPPED: u8 = 4;
const LIMIT: Duration = Duration::from_secs(10 * 60);

pub fn run(options: &Options) -> Result<ExitCode> {
    let executables = cargo::build(&["test", "--package", "netns-tests", "--locked", "--no-run"])?;
    let mut suites = Vec::new();
    for name in SUITES {
        let is_suite = |built: &&Executable| built.is_integration_test && built.target == name;
        let suite = executables.iter().find(is_suite).with_context(|| format!("find the test {name}"))?;
        let scenarios = suite.ignored_tests(options.filter.as_deref())?;
        if !scenarios.is_empty() {
            suites.push((suite, scenarios));
        }
    }
    let count: usize = suites.iter().map(|(_, scenarios)| scenarios.len()).sum();
    anyhow::ensure!(count > 0, "no scenario has that in its name; --list shows all");
    if options.list {
        suites.iter().flat_map(|(_, scenarios)| scenarios).for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(missing) = packages::obtain(&PACKAGES) {
        eprintln!("interop: skipped: {missing}");
        eprintln!("verdict: skipped; {count} scenarios");
        return Ok(ExitCode::from(SKIPPED));
    }
    // The scenarios start the daemons as processes.
    let binaries = cargo::build(&["build", "--workspace", "--locked", "--bins"])?;
    let akasec = binaries.iter().find(|built| built.target == "akasec").context("find the built akasec")?;
    let kernel = Kernel::choose(&options.kernel, &akasec.path)?;
    let mut failed = Vec::new();
    for (suite, _) in &suites {
        eprintln!("interop: {}", suite.target);
        let own = ["--ignored", "--test-threads=1"].into_iter();
        let job = Job {
            program: suite.path.clone(),
            arguments: own.chain(options.filter.as_deref()).map(str::to_owned).collect(),
            environment: vec![("RUST_BACKTRACE".to_owned(), "1".to_owned())],
            limit: LIMIT,
        };
        match kernel.run(&job)? {
            Outcome::Exited(0) => {}
            Outcome::Exited(_) => failed.push(suite.target.clone()),
            Outcome::TimedOut => {
                failed.push(format!("{} (did not end within {} s)", suite.target, LIMIT.as_secs()));
            }
        }
    }
    let verdict = if failed.is_empty() { "pass" } else { "FAIL" };
    eprint!("verdict: {verdict}; {count} scenarios with Kamailio on the {kernel}");
    eprintln!(
        "{}",
        if failed.is_empty() { String::new() } else { format!("; failed: {}", failed.join(", ")) }
    );
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
