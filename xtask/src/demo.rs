//! `cargo xtask demo`: builds, finds or fetches a kernel with ESP, and shows a registration over it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cargo;
use crate::kernel::{self, Job, Kernel, Outcome};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    kernel: kernel::Options,
    /// How many UEs register.
    #[arg(long, default_value = "1")]
    ues: String,
    /// Integrity: hmac-sha-1-96, hmac-md5-96, aes-gmac, or null (only with aes-gcm).
    #[arg(long)]
    alg: Option<String>,
    /// Encryption: null, aes-cbc, des-ede3-cbc, or aes-gcm (only with null integrity).
    #[arg(long)]
    ealg: Option<String>,
    /// Between UE and P-CSCF: udp, tcp, or by-size.
    #[arg(long, default_value = "udp")]
    transport: String,
    /// Between UE and P-CSCF: ipv4 or ipv6.
    #[arg(long, default_value = "ipv4")]
    family: String,
    /// One JSON document on standard output and nothing else there.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["demo", "--ues", &self.ues, "--transport", &self.transport, "--family", &self.family]
                .map(String::from)
                .to_vec();
        for (name, value) in [("--alg", &self.alg), ("--ealg", &self.ealg)] {
            arguments.extend(value.iter().flat_map(|value| [name.to_owned(), value.clone()]));
        }
        if self.json {
            arguments.push("--json".into());
        }
        arguments
    }
}

const LIMIT: Duration = Duration::from_secs(15 * 60);

pub fn run(options: &Options) -> Result<ExitCode> {
    eprintln!("building (the first time takes some minutes)");
    let built = cargo::build(&["build", "--locked", "--package", "akasec"])?;
    let akasec = built.iter().find(|built| built.target == "akasec").context("find the built akasec")?;
    let kernel = Kernel::choose(&options.kernel, &akasec.path)?;
    let job = Job {
        program: akasec.path.clone(),
        arguments: options.arguments(),
        environment: vec![("RUST_BACKTRACE".into(), "0".into())],
        limit: LIMIT,
    };
    match kernel.run(&job)? {
        Outcome::Exited(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Outcome::TimedOut => anyhow::bail!("the demo did not end within {} minutes", LIMIT.as_secs() / 60),
    }
}
