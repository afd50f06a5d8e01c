//! `akasec`: the operator's and researcher's tool.

#![forbid(unsafe_code)]

mod demo;
mod hiding_key;
mod load;
mod operate;
mod reg;
mod report;
mod sets;
mod setup;
mod spec_t;
mod stand;
mod sub;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use node::logging::LogOptions;

/// IMS AKA registrations over kernel IPsec, in namespaces of this machine.
///
/// Needs a kernel with ESP; root, or an ordinary user where the host allows user namespaces.
/// `cargo xtask demo` brings a guest kernel where the host's has no ESP.
///
/// Examples:
///   akasec demo --ues 3 --transport tcp --family ipv6
///   akasec demo --alg hmac-sha-1-96 --ealg aes-cbc --json
///   akasec lab --ues 10
///   akasec reg list --socket /run/akasec/scscf.sock
///   akasec sub list --socket /run/akasec/hss.sock
///   akasec spec-t icscf.toml
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register UEs over ESP and show the messages, the kernel states and the proof.
    Demo(demo::Options),
    /// Start a network with registered UEs and let it stand until SIGINT or SIGTERM.
    Lab(stand::Options),
    /// List, de-register and re-authenticate the users of a running S-CSCF.
    ///
    /// Examples:
    ///   akasec reg list --socket /run/akasec/scscf.sock
    ///   akasec reg deregister 001010000000001@ims.mnc001.mcc001.3gppnetwork.org --how rejected
    ///   akasec reg reauthenticate sip:alice@home.example --expires 120 --json
    ///
    /// Exit status: 0 done, 1 refused, 2 wrong usage, 3 no S-CSCF answered.
    #[command(verbatim_doc_comment)]
    Reg(reg::Options),
    /// Add, import, list, show, change, de-register and remove the subscribers of a running HSS.
    ///
    /// Examples:
    ///   akasec sub import subscribers.csv --socket /run/akasec/hss.sock
    ///   akasec sub add --imsi 001010000000001 --impu sip:alice@home.example --card card.toml
    ///   akasec sub show sip:alice@home.example --json
    ///   akasec sub change sip:alice@home.example --bar tel:+15550100
    ///   akasec sub deregister 001010000000001@ims.mnc001.mcc001.3gppnetwork.org --reason server-change
    ///   akasec sub set-sqn sip:alice@home.example 000000000420
    ///
    /// Keys come from files or standard input only, and no command shows one.
    /// Exit status: 0 done, 1 refused, 2 wrong usage, 3 no HSS answered.
    #[command(verbatim_doc_comment)]
    Sub(sub::Options),
    /// Declare the trust domain of an operator: the eight points of SPEC(T) with the method chosen for each.
    ///
    /// Examples:
    ///   akasec spec-t icscf.toml
    ///   akasec spec-t icscf.toml --pcscf pcscf.toml --scscf scscf.toml --json
    ///
    /// Exit status: 0 it stands, 1 these files cannot make a trust domain, 2 wrong usage.
    #[command(verbatim_doc_comment)]
    SpecT(spec_t::Options),
    /// Make the key file of topology hiding, or put a new key on top of the one in use.
    ///
    /// Examples:
    ///   akasec hiding-key /etc/akasec/hiding.keys
    ///   akasec hiding-key --rotate /etc/akasec/hiding.keys
    ///
    /// The file has mode 0600, and every I-CSCF of the network needs the same one. No key is shown.
    #[command(verbatim_doc_comment)]
    HidingKey(hiding_key::Options),
    /// Say whether this kernel can serve, and with which algorithms.
    Probe,
    /// Register many UEs over ESP and measure each two hundred of them.
    #[command(hide = true)]
    BenchLoad(load::Options),
    /// Measure how fast the kernel takes sets of security associations.
    #[command(hide = true)]
    BenchSets(sets::Options),
    /// Run a program with the right to make namespaces.
    #[command(hide = true)]
    WithNamespaces {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Reg(options) => return reg::run(options),
        Command::Sub(options) => return sub::run(options),
        Command::SpecT(options) => return spec_t::run(options),
        Command::HidingKey(options) => return hiding_key::run(options),
        _ => {}
    }
    // While there is one thread.
    lab::privileges::obtain()?;
    match arguments.command {
        Command::Demo(options) => demo::run(&options, &arguments.log),
        Command::Lab(options) => {
            node::logging::init(&arguments.log)?;
            stand::run(&options)
        }
        Command::Probe => {
            let capabilities = setup::probe()?;
            print(&format!(
                "ESP works; IPv4: {}; IPv6: {}\n",
                names(&capabilities.ipv4),
                names(&capabilities.ipv6)
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        // Done above: they need no rights.
        Command::Reg(options) => reg::run(&options),
        Command::Sub(options) => sub::run(&options),
        Command::SpecT(options) => spec_t::run(&options),
        Command::HidingKey(options) => hiding_key::run(&options),
        Command::BenchLoad(options) => load::run(&options),
        Command::BenchSets(options) => sets::run(&options),
        Command::WithNamespaces { program, arguments } => {
            use std::os::unix::process::CommandExt;
            let error = std::process::Command::new(&program).args(arguments).exec();
            Err(error).with_context(|| format!("start {}", program.display()))
        }
    }
}

fn names(algorithms: &[sec_agree::Algorithms]) -> String {
    algorithms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Writes a result to standard output.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::io::stdout().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
