// SPDX-License-Identifier: GPL-2.0

//! Builds, boots and tests the kernels of this repository.

mod bench;
mod commands;
mod context;
mod figures;
mod guest;
mod jobs;
mod kernel;
mod session;
mod vdso;

use anyhow::Result;
use bench::vdso as bench_vdso;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use commands::{
    age, bisect, build, check, clients, coverage, faults, fuzz, ide, interactive, matrix, mutants,
    plan::Selection, race, sanitize, test,
};
use context::Context;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "timens", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot the Rust kernel, use time namespaces with real tools, and check the session.
    Run,
    /// Boot a kernel to a shell, or run one command on it.
    Shell(interactive::ShellOptions),
    /// Run every test, on the Rust kernel and on the C kernel.
    Test(Selection),
    /// Let tasks race for new namespaces on a busy host.
    Race(race::Options),
    /// Make each allocation of each operation fail once.
    Faults(Selection),
    /// Create, join and close namespaces by the hundred thousand, and look for memory that is left.
    Age(age::Options),
    /// Run the same random operations on both kernels, and compare the outcomes.
    Fuzz(fuzz::Options),
    /// Run the tests on kernels with sanitizers.
    Sanitize(Selection),
    /// Put mutants into the series, one at a time, and see which checks detect each.
    Mutants(mutants::Options),
    /// List the lines of the series' Rust that no test runs.
    Coverage(Selection),
    /// Run container runtimes, CRIU and people's tools.
    Clients(Selection),
    /// Count the instructions of each operation on both kernels.
    Bench(bench::Options),
    /// Time clock reads in both kernels' vDSO, on this machine.
    BenchVdso(bench_vdso::Options),
    /// Build, boot and test each commit of the series.
    Bisect(bisect::Options),
    /// Build the series in other configurations, for other machines, by another compiler.
    Matrix(matrix::Options),
    /// Run the kernel's own checkers on the series.
    Check,
    /// Print the cover letter of the series.
    CoverLetter,
    /// Fill in the figures of README.md, docs/ and the cover letter from results/.
    Figures {
        /// Change nothing; list the places that are out of date.
        #[arg(long)]
        check: bool,
    },
    /// Let rust-analyzer work in the prepared tree.
    Ide,
    /// Build one kernel.
    Build(build::Options),
    #[command(hide = true)]
    VdsoImages(vdso::check::Options),
}

/// Runs the command of that name. Returns the exit status.
fn run(command: Command, name: &str) -> Result<ExitCode> {
    // A part of `test`, in a process of its own.
    if let Command::VdsoImages(options) = &command {
        return vdso::check::run(options).map(status);
    }
    let context = Context::new()?;
    let _lock = match &command {
        // Two do not use out/, the third locks while it builds.
        Command::CoverLetter | Command::Figures { .. } | Command::Shell(_) => None,
        Command::Bench(options) if options.only_draws() => None,
        Command::BenchVdso(options) if options.only_draws() => None,
        _ => Some(context.lock()?),
    };
    session::remove_result(&context, name)?;
    let good = match command {
        Command::Run => interactive::demo(&context),
        Command::Shell(options) => {
            let status = interactive::shell(&context, &options)?;
            return Ok(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)));
        }
        Command::Test(selection) => test::test(&context, &selection),
        Command::Race(options) => race::race(&context, &options),
        Command::Faults(selection) => faults::faults(&context, &selection),
        Command::Age(options) => age::age(&context, &options),
        Command::Fuzz(options) => fuzz::fuzz(&context, &options),
        Command::Sanitize(selection) => sanitize::sanitize(&context, &selection),
        Command::Mutants(options) => mutants::mutants(&context, &options),
        Command::Coverage(selection) => coverage::coverage(&context, &selection),
        Command::Clients(selection) => clients::clients(&context, &selection),
        Command::Bench(options) => bench::bench(&context, &options),
        Command::BenchVdso(options) => bench_vdso::bench(&context, &options),
        Command::Bisect(options) => bisect::bisect(&context, &options),
        Command::Matrix(options) => matrix::matrix(&context, &options),
        Command::Check => check::check(&context),
        Command::CoverLetter => {
            print!("{}", figures::letter(&context)?);
            Ok(true)
        }
        Command::Figures { check: false } => figures::write(&context),
        Command::Figures { check: true } => figures::check(&context).map(|places| {
            places.iter().for_each(|place| println!("{place}"));
            places.is_empty()
        }),
        Command::Ide => ide::ide(&context),
        Command::Build(options) => build::build(&context, &options),
        Command::VdsoImages(options) => vdso::check::run(&options),
    };
    good.map(status)
}

fn status(good: bool) -> ExitCode {
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let name = matches.subcommand_name().unwrap_or_default();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    run(arguments.command, name).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        match error.is::<bench_vdso::TooNoisy>() {
            true => ExitCode::from(3),
            false => ExitCode::FAILURE,
        }
    })
}
