//! Which kernel runs what needs ESP: the host's where it can, else a guest kernel.

use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo;
use crate::guest::GuestKernel;
use crate::limited;

#[derive(Debug, Clone, clap::Args)]
#[group(id = "kernel")]
pub struct Options {
    /// Use the guest kernel even where the host's kernel has ESP.
    #[arg(long)]
    pub guest: bool,
    /// A user-mode Linux binary to start instead of Debian's (its modules beside it, as Debian's package lays them).
    #[arg(long, value_name = "FILE", env = "AKASEC_GUEST_KERNEL")]
    pub guest_kernel: Option<PathBuf>,
}

/// A command for a kernel with ESP, and how long it may take.
#[derive(Debug, Clone)]
pub struct Job {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub limit: Duration,
}

#[derive(Debug)]
pub enum Kernel {
    /// Programs run through `akasec with-namespaces`, which an ordinary user needs.
    Host {
        akasec: PathBuf,
    },
    Guest(GuestKernel),
}

impl Kernel {
    /// Asks the host's kernel by installing a state in a namespace of its own; fetches the guest kernel where that
    /// fails. `akasec` is the built operator's tool.
    pub fn choose(options: &Options, akasec: &std::path::Path) -> Result<Self> {
        if !options.guest && options.guest_kernel.is_none() {
            let probe = Command::new(akasec).arg("probe").output().context("start the ESP probe")?;
            if probe.status.success() {
                eprintln!("kernel: the host's, it has ESP");
                return Ok(Self::Host { akasec: akasec.to_owned() });
            }
            let reason = String::from_utf8_lossy(&probe.stderr);
            eprintln!("kernel: the host's cannot serve ({}); using the guest kernel", reason.trim());
        }
        Ok(Self::Guest(GuestKernel::obtain(options.guest_kernel.as_deref())?))
    }

    /// Runs the job, its output passed on as it comes.
    pub fn run(&self, job: &Job) -> Result<Outcome> {
        match self {
            Self::Host { akasec } => {
                let mut command = Command::new(akasec);
                command.arg("with-namespaces").arg(&job.program).args(&job.arguments);
                command.envs(job.environment.iter().cloned()).current_dir(cargo::root());
                limited::run(&mut command, job.limit)
            }
            Self::Guest(guest) => guest.run(job),
        }
    }
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host { .. } => "host's kernel",
            Self::Guest(_) => "guest kernel",
        })
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Exited(i32),
    TimedOut,
}

impl Outcome {
    pub fn of(status: ExitStatus) -> Self {
        Self::Exited(status.code().unwrap_or(-1))
    }

    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

pub fn show(options: &Options) -> Result<()> {
    let guest = GuestKernel::obtain(options.guest_kernel.as_deref())?;
    println!("kernel  {}", guest.kernel().display());
    println!("modules {}", guest.modules().display());
    Ok(())
}

pub fn run_in_guest(options: &Options, program: PathBuf, arguments: Vec<String>) -> Result<ExitCode> {
    let program = program.canonicalize().with_context(|| format!("find {}", program.display()))?;
    let guest = GuestKernel::obtain(options.guest_kernel.as_deref())?;
    let job = Job { program, arguments, environment: Vec::new(), limit: Duration::from_secs(3600) };
    match guest.run(&job)? {
        Outcome::Exited(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Outcome::TimedOut => anyhow::bail!("the program did not end within an hour"),
    }
}
