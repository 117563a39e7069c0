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
    /// Boot the Rust kernel, use time namespaces with real tools, and check the results.
    ///
    /// Builds the kernel and the selftests first: about 20 minutes on two cores, the first time.
    Run,
    /// Boot a kernel to a shell, or run one command on it.
    ///
    /// `./timens shell -- COMMAND` prints the output of COMMAND and returns its exit status. Without a
    /// command, `exit` or Ctrl-A X ends the guest.
    Shell(interactive::ShellOptions),
    /// Run every test that takes less than an hour, on the Rust kernel and on the C kernel.
    ///
    /// Kernels: stock (C), rust, and both with the vDSO layout of the other: stock-offset-page and
    /// rust-stock-vdso. Jobs: selftests, readers (Linux's tests of vDSO, /proc and timers, on the host and
    /// in a namespace), no-counter (a clock source that the vDSO cannot read), other-vdso; on rust also
    /// kunit, vdso-images, fuzz and race, both short. Without --kernel and --job it also checks the scripts,
    /// the format, the figures and the unit tests on the host. About an hour with the first builds.
    Test(Selection),
    /// Race for new namespaces on a busy host: join, write, read, copy and free at the same time.
    ///
    /// Kernels: stock, rust, stock-offset-page, rust-stock-vdso. Jobs: race (2 CPUs) and wide-race (4). A
    /// clock that reads zero or lacks its offset, a torn or stale read, and a write that succeeds after the
    /// freeze or is refused before it are failures, except on stock, where they are counted: it must show
    /// its known race.
    Race(race::Options),
    /// Make each allocation of each operation fail once.
    ///
    /// Kernels: stock-faults, rust-faults. Job: faults. The error must be the documented one, nothing may be
    /// left half done, and no memory may leak. About 4 minutes, plus builds.
    Faults(Selection),
    /// Create, join and close namespaces by the hundred thousand, and check that memory does not grow.
    ///
    /// Kernels: stock-bench (the reference for the growth of each slab cache), rust-bench. Job: age.
    Age(age::Options),
    /// Run the same random operations on both kernels, and compare the outcomes.
    ///
    /// Kernel: rust, compared with stock. Job: fuzz, once for each seed. A sequence that differs is reduced
    /// to the operations that make the difference. About one and a half hours for a million operations.
    Fuzz(fuzz::Options),
    /// Run the tests on kernels with sanitizers.
    ///
    /// Kernels: rust-kasan and rust-stock-vdso-kasan (KASAN, UBSAN, kmemleak, lockdep), rust-kcsan, and
    /// stock-kcsan, on which KCSAN must report the C kernel's race. Jobs: kunit, selftests, other-vdso, race,
    /// wide-race, faults, age, fuzz. About five hours.
    Sanitize(Selection),
    /// Apply mutants to the series, one at a time, and run the checks that must detect each.
    ///
    /// A mutant is a patch in harness/mutants that breaks the series on purpose. The checks must pass
    /// without a mutant. About two hours for all mutants.
    Mutants(mutants::Options),
    /// List the lines of the series' Rust that the tests do not execute.
    ///
    /// Kernels: rust-coverage (jobs kunit, selftests, race, fuzz), rust-stock-vdso-coverage (selftests). At
    /// least 95 % of the lines must run; each other line needs a reason in harness/coverage/reasons.
    Coverage(Selection),
    /// Run container runtimes, CRIU and the tools of util-linux, unmodified, on both kernels.
    ///
    /// Kernels: stock-clients, rust-clients. Jobs: clients (util-linux, manual pages, Go and Rust, crun,
    /// runc), checkpoint, restore-smaller and restore-larger (CRIU moves a process to another guest). About
    /// 15 minutes, plus builds.
    Clients(Selection),
    /// Count the instructions of each operation on both kernels.
    Bench(bench::Options),
    /// Time clock reads in both kernels' vDSO, on this host.
    BenchVdso(bench_vdso::Options),
    /// Build, boot and test each commit of the series.
    ///
    /// Each commit must build without a warning and pass Linux's tests of time namespaces. The tests that a
    /// commit adds or changes must build.
    Bisect(bisect::Options),
    /// Build the series with other configurations, architectures and compilers, at W=1.
    ///
    /// A warning about a file of the series is a failure. The rows arm64 and uml also boot. A row whose
    /// compiler or library is missing is skipped, and names the package.
    Matrix(matrix::Options),
    /// Run the kernel's own checkers on the series: checkpatch, kernel-doc, clippy, sparse and others.
    Check,
    /// Print the cover letter of the series.
    CoverLetter,
    /// Fill in the figures of README.md, docs/ and the cover letter from results/.
    Figures {
        /// Change nothing; list the places that are out of date.
        #[arg(long)]
        check: bool,
    },
    /// Configure rust-analyzer for the prepared tree, out/linux.
    Ide,
    /// Build one kernel, and print the path of its image.
    Build(build::Options),
    #[command(hide = true)]
    VdsoImages(vdso::check::Options),
}

/// Runs the command of that name. Returns the exit status.
fn run(command: Command, name: &str) -> Result<ExitCode> {
    // The job vdso-images runs it as a child process.
    if let Command::VdsoImages(options) = &command {
        return vdso::check::run(options).map(status);
    }
    let context = Context::new()?;
    let _lock = match &command {
        // `shell` locks only while it builds.
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, collections::BTreeSet, fs, path::PathBuf};

    #[test]
    fn modules_do_not_import_each_other_in_a_circle() {
        let src = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let (mut sources, mut paths) = (BTreeMap::new(), vec![PathBuf::from(src)]);
        while let Some(path) = paths.pop() {
            if let Ok(dir) = fs::read_dir(&path) {
                paths.extend(dir.map(|entry| entry.unwrap().path()));
            } else if let Some(name) = path.to_str().unwrap().strip_suffix(".rs") {
                let module = name.replace(src, "crate").replace('/', "::");
                let module = module.trim_end_matches("::mod").trim_end_matches("::main");
                sources.insert(module.to_owned(), fs::read_to_string(path).unwrap());
            }
        }
        let resolve = |module: &String, path: &str| {
            path.split("::").fold(module.clone(), |found, word| match format!("{found}::{word}") {
                _ if word == "crate" => word.to_owned(),
                _ if word == "super" => found.rsplit_once("::").unwrap().0.to_owned(),
                inner if sources.contains_key(&inner) => inner,
                _ => found,
            })
        };
        let mut reached = BTreeMap::<_, BTreeSet<_>>::new();
        for (module, text) in &sources {
            let text = text.split("#[cfg(test)]").next().unwrap().replace("\npub use", "\nuse");
            for (_, tree) in text.split(';').filter_map(|item| item.rsplit_once("\nuse ")) {
                let mut tree = tree.replace(" as ", "::").replace(char::is_whitespace, "");
                while let Some((head, rest)) = tree.rsplit_once('{') {
                    let (group, tail) = rest.split_once('}').unwrap();
                    let prefix = &head[head.rfind([',', '{']).map_or(0, |at| at + 1)..];
                    let group = group.trim_end_matches(',').replace(',', &format!(",{prefix}"));
                    tree = format!("{head}{group}{tail}");
                }
                let used = tree.split(',').map(|path| resolve(module, path));
                reached.entry(module).or_default().extend(used.filter(|used| used != module));
            }
        }
        for _ in 0..sources.len().ilog2() {
            let known = reached.clone();
            for modules in reached.values_mut() {
                let more = modules.iter().filter_map(|module| known.get(module)).flatten();
                *modules = more.chain(&*modules).cloned().collect();
            }
        }
        reached.retain(|module, modules| modules.contains(*module));
        assert!(reached.is_empty(), "a circle of imports: {:?}", reached.keys());
    }
}
