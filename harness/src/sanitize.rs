// SPDX-License-Identifier: GPL-2.0

//! `sanitize` and `faults`: kernels that watch themselves, and allocations that fail.

use crate::{
    kbuild::{self, Kind},
    programs::{RACE, SELFTESTS, WIDE_RACE},
    race::rounds,
    report::Column,
    series::{git_in, series_tree},
    test::{passed, Session, KUNIT_OFF},
    Context,
};
use anyhow::{ensure, Context as _, Result};
use clap::{Args, ValueEnum};
use std::process::Command;

/// How many rounds the race has on a kernel that is slow.
const ROUNDS: u32 = 500;

/// Has KCSAN watch four times as many accesses as by itself: what races is done but once a round.
const WATCH: &str = "kcsan.skip_watch=1000";

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
#[derive(Clone, Copy, PartialEq)]
enum Job {
    Selftests,
    Kunit,
    Race,
    /// The races with four CPUs.
    WideRace,
    /// The race, which stock has: KCSAN must see it.
    Witness,
    Faults,
    Age,
    Fuzz,
}

impl Job {
    /// How many guests it boots.
    fn steps(self) -> usize {
        match self {
            // Each kernel of a comparison has one.
            Self::Fuzz => 2,
            _ => 1,
        }
    }
}

/// The jobs of some kernels, each of which comes behind its sibling.
type Jobs = &'static [(Kind, &'static [Job])];

const KASAN: Jobs = &[(
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
)];

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
    (Kind::StockKcsan, &[Job::Witness]),
];

const FAULTS: Jobs = &[
    (Kind::RustFaults, &[Job::Faults]),
    (Kind::StockFaults, &[Job::Faults]),
    (Kind::RustKasan, &[Job::Faults]),
    (Kind::StockKasan, &[Job::Faults]),
];

/// Runs the tests on the kernels that watch themselves.
pub fn sanitize(context: &Context, options: &Options) -> Result<bool> {
    let all = match options.tool {
        None => [KASAN, KCSAN].concat(),
        Some(Tool::Kasan) => KASAN.to_vec(),
        Some(Tool::Kcsan) => KCSAN.to_vec(),
    };
    run(context, "sanitize", &all, options.no_build)
}

/// Lets allocations fail, on both kernels.
pub fn faults(context: &Context, options: &FaultsOptions) -> Result<bool> {
    run(context, "faults", FAULTS, options.no_build)
}

/// Builds the kernels, runs their jobs and sums up.
fn run(context: &Context, name: &str, all: &[(Kind, &[Job])], no_build: bool) -> Result<bool> {
    // What the others start as a copy of, and what fuzz compares with.
    let plain = [Kind::Rust, Kind::Stock];
    let has_kcsan = all.iter().any(|(kind, _)| *kind == Kind::RustKcsan);
    let build = if no_build {
        0
    } else {
        (plain.len() + all.len()) * kbuild::BUILD_STEPS + 1 + 2 * usize::from(has_kcsan)
    };
    let jobs = all.iter().flat_map(|(_, jobs)| jobs.iter());
    let jobs: usize = jobs.map(|job| job.steps()).sum();
    let mut session = Session::new(context, build + all.len() + jobs)?;
    if !no_build {
        if has_kcsan {
            session.check("a tree for KCSAN", Column::Host, |_| {
                kcsan_tree(context)?;
                Ok(passed())
            });
        }
        plain.into_iter().for_each(|kind| session.build(kind));
        all.iter().for_each(|&(kind, _)| session.build(kind));
        if has_kcsan {
            session.check("KCSAN is told of Rust's accesses", Column::Ours, |_| {
                kcsan_sees_rust(context)?;
                Ok(passed())
            });
        }
        session.selftests();
    }
    for &(kind, jobs) in all {
        session.pack(kind);
        let arguments = [KUNIT_OFF, WATCH].map(str::to_owned);
        let race = [&arguments[..], &rounds(ROUNDS)].concat();
        for job in jobs {
            match job {
                Job::Kunit => session.kunit(kind),
                Job::Selftests => {
                    session.programs(kind, &SELFTESTS, &[KUNIT_OFF.to_owned()], false, None);
                }
                Job::Race => {
                    session.programs(kind, &RACE, &race, true, None);
                }
                Job::WideRace => {
                    session.programs(kind, &WIDE_RACE, &race, true, None);
                }
                Job::Witness => session.witness(kind, &race),
                Job::Faults => session.faults(kind),
                Job::Age => session.age(kind),
                Job::Fuzz => session.fuzz([Kind::Stock, kind]),
            }
        }
    }
    session.finish(name)
}

/// Has a tree of the series in which KCSAN sees Rust.
fn kcsan_tree(context: &Context) -> Result<()> {
    let tree = context.kcsan_tree();
    series_tree(context, &tree)?;
    let patch = context.top.join("harness/patches/kcsan-for-rust.patch");
    git_in(&tree, &["apply", &patch.to_string_lossy()]).map(drop)
}

/// Whether the objects of Rust tell KCSAN what they access: else its silence about them says nothing.
fn kcsan_sees_rust(context: &Context) -> Result<()> {
    for object in ["kernel/time/namespace_rs.o", "rust/kernel.o"] {
        let path = context.build_dir(Kind::RustKcsan).join(object);
        let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
        let output = nm.arg("-u").arg(&path).output().context("llvm-nm")?;
        let calls = String::from_utf8_lossy(&output.stdout);
        ensure!(
            ["__tsan_read", "__tsan_write"]
                .iter()
                .all(|call| calls.contains(call)),
            "{object} does not call KCSAN: see harness/patches/kcsan-for-rust.patch"
        );
    }
    Ok(())
}
