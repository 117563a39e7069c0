// SPDX-License-Identifier: GPL-2.0

//! `sanitize` and `faults`: kernels that watch themselves, and allocations that fail.

use crate::{
    age, fuzz,
    kbuild::{self, Kind},
    programs::{RACE, WIDE_RACE},
    race::{offsets_rounds, rounds},
    races,
    report::Column,
    series::{git_in, series_tree},
    test::{note, passed, Session, KUNIT_OFF, SHORT_FUZZ},
    Context,
};
use anyhow::{ensure, Context as _, Result};
use clap::{Args, ValueEnum};
use std::process::Command;

/// How many rounds the race has on a kernel that is slow, and on one that takes several times as long
/// for each.
pub const ROUNDS: u32 = 500;
const KASAN_ROUNDS: u32 = 200;

/// The seed of the random operations on the latter, and how many sequences it has: a minute does three.
const KASAN_FUZZ: (u64, u32) = (1, 20);

/// How many namespaces end under those that look them up, where KCSAN watches: that one is freed while
/// it is still read would be seen once in thousands.
const ENDS: u32 = 20_000;

/// Has KCSAN watch four times as many accesses as by itself, and each for up to a millisecond, twelve
/// times as long: what races is done but once a round, and may take that long on an emulated CPU.
pub const WATCH: &str = "kcsan.skip_watch=1000 kcsan.udelay_task=1000";

/// The kernels that watch themselves, by the tool that rules out others.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Tool {
    /// KASAN, UBSAN, kmemleak, and the checks of locks, RCU, lists and objects: one kernel has all.
    #[value(aliases = ["ubsan", "kmemleak"])]
    Kasan,
    /// KCSAN, which is made to see Rust, on the stock kernel too.
    Kcsan,
}

#[derive(Args)]
pub struct Options {
    /// With this tool alone.
    tool: Option<Tool>,
    /// These jobs alone.
    #[arg(long, value_name = "JOB")]
    only: Vec<Job>,
    /// On these kernels alone.
    #[arg(long, value_name = "KERNEL")]
    kernel: Vec<Kind>,
    /// With the kernels as they are.
    #[arg(long, hide = true)]
    no_build: bool,
}

#[derive(Args)]
pub struct FaultsOptions {
    /// With the kernels as they are.
    #[arg(long, hide = true)]
    no_build: bool,
}

/// What is run on a kernel.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Job {
    /// The selftests.
    Selftests,
    /// KUnit.
    Kunit,
    /// The races with two CPUs.
    Race,
    /// The races with four CPUs.
    WideRace,
    /// Allocations that fail.
    Faults,
    /// Namespaces that come and go.
    Age,
    /// Random operations.
    Fuzz,
}

impl Job {
    /// How many steps it takes on a kernel.
    fn steps(self, kind: Kind) -> usize {
        match self {
            // Each kernel of a comparison has one.
            Self::Fuzz => 2,
            // What KCSAN has reported of stock is a step of its own.
            Self::Race if kind == Kind::StockKcsan => 2,
            _ => 1,
        }
    }

    /// How much it tries, where its results don't say it: the races' rounds and namespaces that end, the
    /// sequences of random operations.
    fn numbers(self, count: u32, ends: u32, sequences: u32) -> Option<String> {
        let cpus = match self {
            Self::Race => 2,
            Self::WideRace => 4,
            Self::Age => return Some(format!("{} namespaces that come and go", age::SHORT)),
            Self::Fuzz => return Some(format!("{} random operations", sequences * fuzz::LENGTH)),
            Self::Selftests | Self::Kunit | Self::Faults => return None,
        };
        Some(format!(
            "{cpus} CPUs: {count} rounds of each race in join_race, {} in offsets_race, {ends} namespaces \
             that end",
            offsets_rounds(count)
        ))
    }
}

/// The jobs of some kernels, each of which comes behind its sibling.
type Jobs = &'static [(Kind, &'static [Job])];

const KASAN: Jobs = &[
    (
        Kind::RustKasan,
        &[
            Job::Kunit,
            Job::Selftests,
            Job::Race,
            Job::WideRace,
            Job::Faults,
            Job::Age,
            Job::Fuzz,
        ],
    ),
    // These jobs come by all that only this vDSO has.
    (Kind::RustStockVdsoKasan, &[Job::Selftests, Job::Race]),
];

const KCSAN: Jobs = &[
    (
        Kind::RustKcsan,
        &[
            Job::Kunit,
            Job::Selftests,
            Job::Race,
            Job::WideRace,
            Job::Age,
            Job::Fuzz,
        ],
    ),
    // All but KUnit, whose suites it does not have.
    (
        Kind::StockKcsan,
        &[
            Job::Selftests,
            Job::Race,
            Job::WideRace,
            Job::Age,
            Job::Fuzz,
        ],
    ),
];

const FAULTS: Jobs = &[
    (Kind::RustFaults, &[Job::Faults]),
    (Kind::StockFaults, &[Job::Faults]),
];

/// Runs the tests on the kernels that watch themselves.
pub fn sanitize(context: &Context, options: &Options) -> Result<bool> {
    let mut all = match options.tool {
        None => [KASAN, KCSAN].concat(),
        Some(Tool::Kasan) => KASAN.to_vec(),
        Some(Tool::Kcsan) => KCSAN.to_vec(),
    };
    let (only, kernels) = (&options.only, &options.kernel);
    all.retain(|(kind, jobs)| {
        (only.is_empty() || jobs.iter().any(|job| only.contains(job)))
            && (kernels.is_empty() || kernels.contains(kind))
    });
    ensure!(
        !all.is_empty(),
        "this tool has no kernel that is of --kernel and has the jobs of --only"
    );
    run(context, "sanitize", &all, only, options.no_build)
}

/// Lets allocations fail, on both kernels.
pub fn faults(context: &Context, options: &FaultsOptions) -> Result<bool> {
    run(context, "faults", FAULTS, &[], options.no_build)
}

/// Builds the kernels, runs their jobs, or those of `only` if there are any, and sums up.
fn run(
    context: &Context,
    name: &str,
    all: &[(Kind, &[Job])],
    only: &[Job],
    no_build: bool,
) -> Result<bool> {
    let wanted = |job: &&Job| only.is_empty() || only.contains(job);
    // What the others start as a copy of, and what fuzz compares with.
    let plain = [Kind::Rust, Kind::Stock];
    let kinds = all.iter().map(|&(kind, _)| kind);
    let has_kcsan = kinds.clone().any(|kind| kind == Kind::RustKcsan);
    let watched = kinds.filter(|&kind| kind.is_ours() && kind.watches_itself());
    let watched: Vec<_> = watched.collect();
    let patient = all.iter().any(|(kind, _)| kind.watches_itself());
    // What KCSAN reports of C that is not ours is told from ours by what it reports on both.
    let compared = [Kind::StockKcsan, Kind::RustKcsan];
    let compares = compared
        .iter()
        .all(|kind| all.iter().any(|(other, _)| other == kind));
    let build = if no_build {
        0
    } else {
        // The selftests are built once as they are, and once for the kernels that watch themselves.
        let selftests = 1 + usize::from(patient);
        let builds = (plain.len() + all.len()) * kbuild::BUILD_STEPS;
        builds + selftests + usize::from(has_kcsan) + watched.len()
    };
    let jobs = all.iter().flat_map(|&(kind, jobs)| {
        let jobs = jobs.iter().filter(wanted);
        jobs.map(move |job| job.steps(kind))
    });
    let jobs: usize = jobs.sum();
    let steps = build + all.len() + jobs + usize::from(compares);
    let mut session = Session::new(context, steps)?;
    if !no_build {
        if has_kcsan {
            session.check("a tree for KCSAN", Column::Host, |_| {
                kcsan_tree(context)?;
                Ok(passed())
            });
        }
        plain.into_iter().for_each(|kind| session.build(kind));
        all.iter().for_each(|&(kind, _)| session.build(kind));
        for &kind in &watched {
            let name = format!("Rust's accesses are watched{}", note(kind));
            session.check(&name, Column::Ours, |_| {
                is_watched(context, kind)?;
                Ok(passed())
            });
        }
        session.selftests();
        if patient {
            session.patient_selftests();
        }
    }
    for &(kind, _) in all {
        races::forget_elsewhere(context, kind)?;
    }
    let mut tried = String::new();
    for &(kind, jobs) in all {
        session.pack(kind);
        let arguments = [KUNIT_OFF, WATCH].map(str::to_owned);
        let (count, operations) = match kind {
            Kind::RustKasan | Kind::RustStockVdsoKasan => (KASAN_ROUNDS, KASAN_FUZZ),
            _ => (ROUNDS, SHORT_FUZZ),
        };
        for job in jobs.iter().filter(wanted) {
            let ends = match (kind, job) {
                (Kind::RustKcsan | Kind::StockKcsan, Job::Race) => ENDS,
                _ => 2 * count,
            };
            let race = [&arguments[..], &rounds(count, ends)].concat();
            if let Some(numbers) = job.numbers(count, ends, operations.1) {
                tried += &format!("\n{}: {numbers}", kind.name());
            }
            match job {
                Job::Kunit => session.kunit(kind),
                Job::Selftests => session.selftest_programs(kind),
                Job::Race if kind == Kind::StockKcsan => session.witness(kind, &race),
                Job::Race => {
                    session.programs(kind, &RACE, &race, true, None);
                }
                Job::WideRace if kind == Kind::StockKcsan => {
                    session.stock_races(kind, &WIDE_RACE, &race);
                }
                Job::WideRace => {
                    session.programs(kind, &WIDE_RACE, &race, true, None);
                }
                Job::Faults => session.faults(kind),
                Job::Age => session.age(kind),
                Job::Fuzz => session.fuzz([Kind::Stock, kind], operations),
            }
        }
    }
    if compares {
        tried += &format!("\n\n{}", session.elsewhere(compared));
    }
    session.finish_with(name, &tried)
}

/// Has a tree of the series in which KCSAN sees Rust.
pub fn kcsan_tree(context: &Context) -> Result<()> {
    let tree = context.kcsan_tree();
    series_tree(context, &tree)?;
    let patch = context.top.join("harness/configs/kcsan-for-rust.patch");
    git_in(&tree, &["apply", &patch.to_string_lossy()]).map(drop)
}

/// Whether the objects of Rust tell KASAN or KCSAN what they access: else its silence about them says
/// nothing.
fn is_watched(context: &Context, kind: Kind) -> Result<()> {
    let calls = match kind {
        Kind::RustKcsan => ["__tsan_read", "__tsan_write"],
        _ => ["__asan_report_load", "__asan_report_store"],
    };
    for object in ["kernel/time/namespace_rs.o", "rust/kernel.o"] {
        let path = context.build_dir(kind).join(object);
        let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
        let output = nm.arg("-u").arg(&path).output().context("llvm-nm")?;
        let symbols = String::from_utf8_lossy(&output.stdout);
        ensure!(
            calls.iter().all(|call| symbols.contains(call)),
            "{object} does not call {}..., which the {} kernel's Rust must",
            calls[0],
            kind.name()
        );
    }
    Ok(())
}
