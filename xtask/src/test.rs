//! Every test. What needs no ESP runs here, with the Debian packages it needs; what does runs on the host's kernel or
//! in the guest.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo::{self, Executable};
use crate::kernel::{self, Job, Kernel, Outcome};
use crate::{interop, limited, packages};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    kernel: kernel::Options,
    /// Only the tests that need a kernel with ESP.
    #[arg(long, conflicts_with = "packages")]
    netns: bool,
    /// Only the tests that need Debian packages.
    #[arg(long)]
    packages: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Packages whose ignored tests need ESP.
const NEED_ESP: [&str; 2] = ["xfrm", "netns-tests"];
/// Integration tests whose ignored tests need Debian packages and run on the host: package, test target, Debian's
/// packages. Whoever lands such a target adds its line; a target that does not exist fails the run, so that none is
/// forgotten after a change of name. `#[ignore = "needs <package>; cargo xtask test runs it"]` stands at its tests.
const NEED_PACKAGES: &[(&str, &str, &[&str])] = &[
    ("cx", "tshark", &["tshark"]),
    ("cx", "freediameter", &["freediameterd", "freediameter-extensions"]),
    ("hss", "postgres", &["postgresql"]),
];
/// Suites among those that need ESP which need Debian packages too.
const NETNS_PACKAGES: &[(&str, &[&str])] = &[("operators_sipp", &["sip-tester"])];
/// Random runs of the flows on the virtual clock.
const RANDOM_RUNS: &str = "10000";
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub fn run(options: &Options) -> Result<ExitCode> {
    let everything = !options.netns && !options.packages;
    let mut verdict = Verdict::default();
    if everything {
        let mut command = cargo::cargo();
        command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(&options.filter);
        // As many as the flows on the virtual clock are held to; a plain `cargo test` makes fewer.
        command.env("AKASEC_SEEDS", RANDOM_RUNS);
        if !command.status().context("start cargo test")?.success() {
            verdict.failed.push("cargo test".to_owned());
        }
    }
    let executables = cargo::build(&["test", "--workspace", "--locked", "--no-run"])?;
    // The suites start the daemons as processes.
    let binaries = cargo::build(&["build", "--workspace", "--locked", "--bins"])?;
    if everything || options.packages {
        package_suites(&executables, options.filter.as_deref(), &mut verdict)?;
    }
    if everything || options.netns {
        let akasec =
            binaries.iter().find(|built| built.target == "akasec").context("find the built akasec")?;
        let kernel = Kernel::choose(&options.kernel, &akasec.path)?;
        netns_suites(&kernel, &executables, options.filter.as_deref(), &mut verdict)?;
    }
    eprintln!("{verdict}");
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What has run and how it went. Ignored in `cargo test` means "run here": what did not run is no success.
#[derive(Debug, Default)]
struct Verdict {
    suites: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Verdict {
    fn passed(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "verdict: {}; ", if self.passed() { "pass" } else { "FAIL" })?;
        for suites in &self.suites {
            write!(f, "{suites}, ")?;
        }
        write!(f, "{} skipped", self.skipped.len())?;
        for (what, names) in [(": ", &self.skipped), ("; failed: ", &self.failed)] {
            if !names.is_empty() {
                write!(f, "{what}{}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

fn package_suites(executables: &[Executable], filter: Option<&str>, verdict: &mut Verdict) -> Result<()> {
    let mut count = 0;
    for (package, target, debian) in NEED_PACKAGES {
        let suite = executables
            .iter()
            .find(|built| built.is_integration_test && (built.package == *package && built.target == *target))
            .with_context(|| format!("find the test {target} of {package}, which NEED_PACKAGES names"))?;
        if suite.ignored_tests(filter)?.is_empty() {
            anyhow::ensure!(filter.is_some(), "{package} / {target} is in NEED_PACKAGES and ignores no test");
            continue;
        }
        if let Err(missing) = packages::obtain(debian) {
            eprintln!("packages: SKIPPED {package} / {target}: {missing}");
            verdict.skipped.push(format!("{package} / {target} ({missing})"));
            continue;
        }
        eprintln!("packages: {package} / {target}");
        let mut command = Command::new(&suite.path);
        // The folder in which cargo test runs it.
        let folder = cargo::root().join("crates").join(package);
        command.args(arguments(filter)).envs(environment()).current_dir(folder);
        verdict.take("packages", suite, limited::run(&mut command, LIMIT)?);
        count += 1;
    }
    verdict.suites.push(format!("{count} suites with Debian packages"));
    Ok(())
}

fn netns_suites(
    kernel: &Kernel,
    executables: &[Executable],
    filter: Option<&str>,
    verdict: &mut Verdict,
) -> Result<()> {
    let is_netns = |built: &&Executable| {
        let is_ours = built.is_integration_test && NEED_ESP.contains(&built.package.as_str());
        is_ours && !interop::SUITES.contains(&built.target.as_str())
    };
    let suites: Vec<&Executable> = executables.iter().filter(is_netns).collect();
    for suite in &suites {
        let needed = NETNS_PACKAGES.iter().find(|(target, _)| *target == suite.target);
        if let Some((_, debian)) = needed
            && !suite.ignored_tests(filter)?.is_empty()
            && let Err(missing) = packages::obtain(debian)
        {
            eprintln!("netns: SKIPPED {} / {}: {missing}", suite.package, suite.target);
            verdict.skipped.push(format!("{} / {} ({missing})", suite.package, suite.target));
            continue;
        }
        eprintln!("netns: {} / {}", suite.package, suite.target);
        let job = Job {
            program: suite.path.clone(),
            arguments: arguments(filter),
            environment: environment(),
            limit: LIMIT,
        };
        verdict.take("netns", suite, kernel.run(&job)?);
    }
    verdict.suites.push(format!("{} netns suites on the {kernel}", suites.len()));
    Ok(())
}

impl Verdict {
    fn take(&mut self, kind: &str, suite: &Executable, outcome: Outcome) {
        if outcome == Outcome::TimedOut {
            eprintln!("{kind}: {} did not end within {} s", suite.target, LIMIT.as_secs());
        }
        if !outcome.success() {
            self.failed.push(format!("{} / {}", suite.package, suite.target));
        }
    }
}

fn arguments(filter: Option<&str>) -> Vec<String> {
    let own = ["--ignored", "--test-threads=1"];
    own.into_iter().chain(filter).map(str::to_owned).collect()
}

fn environment() -> Vec<(String, String)> {
    // Captures of failed tests outlive the guest, whose temporary folder does not.
    let captures = cargo::target().join("captures").display().to_string();
    vec![("RUST_BACKTRACE".to_owned(), "1".to_owned()), ("AKASEC_CAPTURES".to_owned(), captures)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_counted_and_fails() {
        let mut verdict = Verdict::default();
        verdict.suites.push("2 suites with Debian packages".to_owned());
        assert_eq!(verdict.to_string(), "verdict: pass; 2 suites with Debian packages, 0 skipped");
        verdict.skipped.push("cx / tshark (no)".to_owned());
        verdict.failed.push("cargo test".to_owned());
        assert_eq!(
            verdict.to_string(),
            "verdict: FAIL; 2 suites with Debian packages, 1 skipped: cx / tshark (no); failed: cargo test"
        );
        verdict.failed.clear();
        assert!(!verdict.passed());
    }

    #[test]
    fn suites_with_packages_and_esp_are_there() {
        for (target, _) in NETNS_PACKAGES {
            let file = cargo::root().join("netns-tests/tests").join(format!("{target}.rs"));
            assert!(file.exists(), "NETNS_PACKAGES names {target}, which is not there");
        }
    }

    /// An integration test that nothing runs looks as good as one that passes.
    #[test]
    fn every_ignored_integration_test_is_run_by_some_command() {
        let root = cargo::root();
        for file in crate::tidy::rust_files(&root.join("crates")).unwrap() {
            let name = file.strip_prefix(root.join("crates")).unwrap().to_string_lossy().into_owned();
            let mut parts = name.split('/');
            let (package, folder, target) = (parts.next(), parts.next(), parts.next());
            let text = std::fs::read_to_string(&file).unwrap();
            if !text.contains("#[ignore") || NEED_ESP.contains(&package.unwrap_or_default()) {
                continue;
            }
            let target = target.unwrap_or_default().trim_end_matches(".rs");
            let known = NEED_PACKAGES.iter().any(|(p, t, _)| (Some(*p), *t) == (package, target));
            assert!(folder == Some("tests") && known, "{name} ignores a test that no table of ours names");
        }
    }
}
