//! The repository's own commands. `cargo xtask` lists them.

mod bench;
mod cargo;
mod check;
mod demo;
mod guest;
mod guest_init;
mod interop;
mod kernel;
mod kernel_modules;
mod limited;
mod packages;
mod spec_report;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and shows akasec.
///
/// Examples:
///   cargo xtask demo                         one UE registers over ESP, end to end
///   cargo xtask demo --ues 5 --json          five, and one JSON document
///   cargo xtask test                         every test, on a kernel with ESP
///   cargo xtask interop                      with Kamailio's I-CSCF and S-CSCF
///   cargo xtask check                        format, clippy, tidy
///   cargo xtask spec-report                  which checklist ids have a test
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    verbatim_doc_comment,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register UEs over ESP on a real kernel and show the proof.
    Demo(demo::Options),
    /// Run every test: unit and property tests here, the netns suite on a kernel with ESP.
    Test(test::Options),
    Interop(interop::Options),
    /// Format, clippy with warnings as errors, and the house rules (tidy).
    Check,
    /// Check the house rules only: pure crates stay pure, files short, pages true.
    Tidy,
    /// List every checklist id with the tests that carry it; fails for one without.
    SpecReport(spec_report::Options),
    /// Run the benches; with --load the whole chain over ESP.
    Bench(bench::Options),
    /// Fetch the guest kernel and say where it lies.
    GuestKernel(kernel::Options),
    /// Run a program in the guest kernel, as its root.
    GuestRun {
        #[command(flatten)]
        kernel: kernel::Options,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Process 1 of the guest kernel.
    #[command(hide = true)]
    GuestInit {
        job: PathBuf,
    },
    /// Module loader of the guest kernel.
    #[command(hide = true, disable_help_flag = true)]
    GuestModprobe {
        modules: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Interop(options) => interop::run(&options),
        Command::Check => check::run().map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Command::SpecReport(options) => spec_report::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::GuestKernel(options) => kernel::show(&options).map(|()| ExitCode::SUCCESS),
        Command::GuestRun { kernel, program, arguments } => kernel::run_in_guest(&kernel, program, arguments),
        Command::GuestInit { job } => guest_init::run(&job),
        Command::GuestModprobe { modules, arguments } => {
            kernel_modules::modprobe(&modules, &arguments).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
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
