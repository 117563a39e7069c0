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
#[command(name = "timens", bin_name = "./timens", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot the Rust kernel, use time namespaces with real tools, and check the results
    ///
    /// Builds the kernel and the selftests first: about 20 minutes on two cores, the first time.
    Run,
    /// Boot a kernel to a shell, or run one command on it
    ///
    /// Without a command, `exit` powers the guest off, and Ctrl-A X ends it at once.
    Shell(interactive::ShellOptions),
    /// Run every test that takes less than an hour, on the Rust kernel and on the C kernel
    ///
    /// Kernels: stock (the C kernel) and rust: selftests, readers, no-counter;
    ///          rust also: kunit, vdso-images, fuzz, race (the last two are short);
    ///          stock-offset-page and rust-stock-vdso (the other's vDSO layout): other-vdso.
    /// readers are Linux's tests of the vDSO, /proc and timers, on the host and in a namespace.
    /// no-counter boots with a clock source that the vDSO cannot read.
    ///
    /// Without --kernel and --job it also checks the scripts, the format of the sources, the
    /// figures and the unit tests on the host. It takes about an hour, with the first builds.
    #[command(verbatim_doc_comment)]
    Test(Selection),
    /// Race to join, write, read and free namespaces on a busy host
    ///
    /// Kernels: stock, rust, stock-offset-page, rust-stock-vdso.
    /// Jobs: race (2 CPUs), wide-race (4 CPUs).
    ///
    /// A failure is a clock that reads zero or lacks its offset, a torn or stale read, and a write
    /// that succeeds after the freeze or is refused before it. On stock they are only counted, and
    /// its known race must be among them.
    #[command(verbatim_doc_comment)]
    Race(race::Options),
    /// Make each allocation of each operation fail once
    ///
    /// Kernels: stock-faults, rust-faults. Job: faults. It takes about 4 minutes, plus builds.
    ///
    /// The error must be the C kernel's, nothing may be left half done, and no memory may leak.
    #[command(verbatim_doc_comment)]
    Faults(Selection),
    /// Create, join and close many namespaces, and check that memory does not grow
    ///
    /// Kernels: stock-bench (the reference for each slab cache), rust-bench. Job: age.
    #[command(verbatim_doc_comment)]
    Age(age::Options),
    /// Run the same random operations on both kernels, and compare the outcomes
    ///
    /// Kernel: rust, compared with stock. Job: fuzz, once for each seed.
    /// A million operations take about an hour and a half.
    ///
    /// A sequence that differs is reduced to the operations that make the difference.
    #[command(verbatim_doc_comment)]
    Fuzz(fuzz::Options),
    /// Run the tests on kernels with sanitizers
    ///
    /// Kernels: rust-kasan and rust-stock-vdso-kasan (KASAN, UBSAN, kmemleak, lockdep), rust-kcsan,
    ///          stock-kcsan (the control: KCSAN must report the C kernel's race).
    /// Jobs: kunit, selftests, other-vdso, race, wide-race, faults, age, fuzz.
    /// It takes about five hours.
    #[command(verbatim_doc_comment)]
    Sanitize(Selection),
    /// Apply mutants to the series, one at a time, and run the checks that must detect each
    ///
    /// A mutant is a patch in harness/mutants that breaks the series. The checks must pass without
    /// one. All mutants take about two hours.
    #[command(verbatim_doc_comment)]
    Mutants(mutants::Options),
    /// List the lines of the series' Rust that the tests do not execute
    ///
    /// Kernels: rust-coverage: kunit, selftests, race, fuzz; rust-stock-vdso-coverage: selftests.
    ///
    /// 95 % of the lines must run. Each other line needs a reason in harness/coverage/reasons.
    #[command(verbatim_doc_comment)]
    Coverage(Selection),
    /// Run container runtimes, CRIU and the tools of util-linux on both kernels, unmodified
    ///
    /// Kernels: stock-clients, rust-clients.
    /// Jobs: clients; checkpoint, restore-smaller, restore-larger (CRIU moves a process to another
    ///       guest, whose uptime is smaller or larger).
    /// It takes about 15 minutes, plus builds.
    #[command(verbatim_doc_comment)]
    Clients(Selection),
    /// Count the instructions of each operation on both kernels.
    Bench(bench::Options),
    /// Time clock reads in both kernels' vDSO, on this host.
    BenchVdso(bench_vdso::Options),
    /// Build, boot and test each commit of the series
    ///
    /// Each commit must build without a warning and pass Linux's tests of time namespaces. If it
    /// changes tests, they must build.
    #[command(verbatim_doc_comment)]
    Bisect(bisect::Options),
    /// Build the series with other configurations, architectures and compilers
    ///
    /// A warning at W=1 about a file of the series is a failure. The rows arm64 and uml also run
    /// tests. A row whose compiler or library is missing is skipped, and names the package.
    #[command(verbatim_doc_comment)]
    Matrix(matrix::Options),
    /// Run the kernel's own checkers on the series
    ///
    /// checkpatch, spelling, MAINTAINERS, links, kernel-doc, rustfmt, Sphinx, clippy, rustdoc and
    /// sparse run on the host; the examples of the documentation run on the kernel rust-lint.
    #[command(verbatim_doc_comment)]
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
