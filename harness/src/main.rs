// SPDX-License-Identifier: GPL-2.0

//! Builds, boots and tests the kernels of this repository. `make help` lists the front doors.

mod age;
mod bench;
mod bisect;
mod check;
mod clients;
mod cover;
mod coverage;
mod fuzz;
mod guest;
mod ide;
mod initramfs;
mod kbuild;
mod ktap;
mod matrix;
mod planted;
mod programs;
mod race;
mod races;
mod report;
mod sanitize;
mod series;
mod session;
mod statistics;
mod steps;
mod test;
mod toolchain;
mod warnings;

use anyhow::{anyhow, bail, Context as _, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use guest::Accelerator;
use kbuild::Kind;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};
use steps::Steps;
use toolchain::Toolchain;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Build one kernel.
    Build { kind: Kind },
    /// Show a session in a time namespace with real tools, and check it.
    Run,
    /// Open a shell in a guest.
    Shell {
        #[arg(default_value = "rust")]
        kind: Kind,
    },
    /// Run every check and sum up.
    Test,
    /// Let tasks race for new namespaces on a busy host, on both kernels.
    Race(race::Options),
    /// Count what each operation costs on both kernels.
    Bench,
    /// Run the same random operations on both kernels and compare what came of them.
    Fuzz(fuzz::Options),
    /// Let both kernels grow old, and see whether their memory grows.
    Age(age::Options),
    /// Run the tests on kernels that watch themselves.
    Sanitize(sanitize::Options),
    /// Let each allocation fail that an operation makes, on both kernels.
    Faults(sanitize::FaultsOptions),
    /// Put faults into the series, and see which check catches each.
    Planted(planted::Options),
    /// Say which lines of the series' Rust the tests execute.
    Coverage(coverage::Options),
    /// Run container runtimes, CRIU and people's tools on both kernels.
    Clients {
        /// Take the kernels as they are.
        #[arg(long, hide = true)]
        no_build: bool,
    },
    /// Build, boot and test each commit of the series.
    Bisect(bisect::Options),
    /// Build the series in other configurations, for other machines, by another compiler.
    Matrix(matrix::Options),
    /// Check the commits of the series as what will be sent.
    Check,
    /// Print the text of the series' cover letter.
    CoverLetter,
    /// Have rust-analyzer find its way in the prepared tree.
    Ide,
    /// Time clock reads of both kernels' vDSO on this machine.
    BenchVdso(bench::vdso::Options),
}

/// Where everything is.
pub struct Context {
    /// The checkout.
    pub top: PathBuf,
    /// Everything that is made.
    pub out: PathBuf,
    /// The prepared kernel tree.
    pub tree: PathBuf,
    /// The same without the series.
    pub stock_tree: PathBuf,
    pub toolchain: Toolchain,
    pub jobs: usize,
    /// What `ACCEL=` asks for.
    pub accelerator: Option<Accelerator>,
}

impl Context {
    /// Where the tree is that has KCSAN see Rust, if it has been made.
    pub fn kcsan_tree(&self) -> PathBuf {
        self.out.join("kcsan/linux")
    }

    /// Where the tree is that faults are planted in, if it has been made.
    pub fn planted_tree(&self) -> PathBuf {
        self.out.join("planted/linux")
    }

    /// Where the tree is that has the commits of the series one by one.
    pub fn bisect_tree(&self) -> PathBuf {
        self.out.join("bisect/linux")
    }

    fn new() -> Result<Self> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let top = crate_dir
            .parent()
            .context("the crate lies in no checkout")?
            .to_owned();
        let out = top.join("out");
        let [tree, stock_tree] = ["linux", "stock/linux"].map(|name| out.join(name));
        for tree in [&tree, &stock_tree] {
            if !tree.join("Kconfig").exists() {
                bail!("{} is no kernel tree: run `make tree`", tree.display());
            }
        }
        Ok(Self {
            toolchain: Toolchain::read(&out.join("toolchain.env"))?,
            jobs: toolchain::jobs()?,
            accelerator: Accelerator::wanted()?,
            top,
            out,
            tree,
            stock_tree,
        })
    }

    /// Makes sure that nobody else works under `out` as long as what is returned lives: two runs would
    /// pack the files of each other's guests while they are written.
    fn lock(&self) -> Result<Flock<File>> {
        let path = self.out.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => anyhow!(
                "another run works in {}: wait until it is done, or use a checkout of its own",
                self.out.display()
            ),
            error => anyhow!("cannot lock {}: {error}", path.display()),
        })
    }

    fn steps(&self, total: usize) -> Result<Steps> {
        Steps::new(total, &self.out.join("log"))
    }
}

/// Runs the command of that name and says whether what it checked was good.
fn run(command: Subcommands, name: &str) -> Result<bool> {
    let context = Context::new()?;
    let lock = match &command {
        // Only looks.
        Subcommands::CoverLetter => None,
        // Is open as long as its user likes: locks by itself.
        Subcommands::Shell { .. } => None,
        // A part of `test`.
        Subcommands::BenchVdso(options) if options.only_checks() => None,
        _ => Some(context.lock()?),
    };
    if lock.is_some() {
        report::forget(&context, name)?;
    }
    match command {
        Subcommands::Build { kind } => {
            kbuild::build(&context, &mut context.steps(kbuild::BUILD_STEPS)?, kind)?;
            println!("{}", context.kernel(kind).display());
            Ok(true)
        }
        Subcommands::Run => session::demo(&context),
        Subcommands::Shell { kind } => session::shell(&context, kind),
        Subcommands::Test => test::test(&context),
        Subcommands::Race(options) => race::race(&context, &options),
        Subcommands::Bench => bench::bench(&context),
        Subcommands::Fuzz(options) => fuzz::fuzz(&context, &options),
        Subcommands::Age(options) => age::age(&context, &options),
        Subcommands::Sanitize(options) => sanitize::sanitize(&context, &options),
        Subcommands::Faults(options) => sanitize::faults(&context, &options),
        Subcommands::Planted(options) => planted::planted(&context, &options),
        Subcommands::Coverage(options) => coverage::coverage(&context, &options),
        Subcommands::Clients { no_build } => clients::clients(&context, !no_build),
        Subcommands::Bisect(options) => bisect::bisect(&context, &options),
        Subcommands::Matrix(options) => matrix::matrix(&context, &options),
        Subcommands::Check => check::check(&context),
        Subcommands::CoverLetter => {
            print!("{}", cover::letter(&context)?);
            Ok(true)
        }
        Subcommands::Ide => ide::ide(&context),
        Subcommands::BenchVdso(options) => bench::vdso::bench(&context, &options),
    }
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let name = matches.subcommand_name().unwrap_or_default();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(arguments.command, name) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.is::<bench::vdso::TooNoisy>() {
                true => ExitCode::from(3),
                false => ExitCode::FAILURE,
            }
        }
    }
}
