// SPDX-License-Identifier: GPL-2.0

//! `test`: every test that takes less than an hour, on both kernels.

use super::plan::{HostCheck, Plan, Selection};
use crate::{
    context::Context,
    figures,
    guest::{
        ktap,
        lists::{CLOCK_TESTS, NO_COUNTER, OTHER_VDSO, SELFTESTS},
    },
    jobs::{race::Rounds, Job},
    kernel::{
        kernels::{RUST, RUST_STOCK_VDSO, STOCK, STOCK_OFFSET_PAGE},
        series::Series,
    },
    session::{passed, skipped, unless, Check, Column, Outcome, Status, Step},
};
use anyhow::{bail, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

const RACE: Job = Job::Race { cpus: 2, rounds: Rounds::of(2000) };
pub const FUZZ: Job = Job::Fuzz { seed: 1, sequences: 120 };

const HOST: [HostCheck; 6] = [
    HostCheck { name: "tree: round trip", run: round_trip },
    HostCheck { name: "shell scripts", run: shell_scripts },
    HostCheck { name: "rustfmt", run: formatting },
    HostCheck { name: "figures", run: figures },
    HostCheck { name: "cargo test", run: crate_tests },
    HostCheck { name: "oldest rustc", run: oldest_rustc },
];

fn plan() -> Plan {
    let [selftests, clock_tests, no_counter, other_vdso] =
        [&SELFTESTS, &CLOCK_TESTS, &NO_COUNTER, &OTHER_VDSO].map(Job::Programs);
    let rust = vec![Job::VdsoImages, Job::Kunit, selftests, clock_tests, no_counter, FUZZ, RACE];
    let rows = vec![
        (&STOCK, vec![selftests, clock_tests, no_counter]),
        (&RUST, rust),
        (&STOCK_OFFSET_PAGE, vec![other_vdso]),
        (&RUST_STOCK_VDSO, vec![other_vdso]),
    ];
    Plan::new("test", rows).with_host(HOST.to_vec())
}

pub fn test(context: &Context, selection: &Selection) -> Result<bool> {
    let plan = plan().select(selection)?;
    let mut results = BTreeMap::<_, BTreeSet<String>>::new();
    let mut session = plan.run(context, |kernel, job, findings| {
        if job.name() == CLOCK_TESTS.name {
            let names = findings.checks.iter().flat_map(|check| {
                check.results.iter().map(move |result| format!("{} {}", check.name, result.name))
            });
            results.entry(kernel.name).or_default().extend(names);
        }
    })?;
    if let [c, rust] = &results.into_values().collect::<Vec<_>>()[..] {
        let differences = c.symmetric_difference(rust).cloned();
        let differences = unless(differences.map(|name| format!("only one kernel has {name}")));
        session.add(Check::new(
            "clock-tests: the same tests on both kernels",
            Column::Host,
            differences,
        ));
    }
    session.finish("test", "")
}

/// Checks that `make tree` and `make refresh` reproduce the files of the checkout.
fn round_trip(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut refresh = Command::new(context.top.join("harness/series/refresh.sh"));
    step.command(refresh.arg("--check"), "round-trip")?;
    Ok(passed())
}

fn shell_scripts(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut results = vec![];
    for dir in ["setup", "series"] {
        let mut script = Command::new(context.top.join(format!("harness/{dir}/tests.sh")));
        let log = step.command(&mut script, &format!("{dir}-scripts"))?;
        results.extend(ktap::results(context, &ktap::plan_first(&fs::read_to_string(log)?))?);
    }
    Ok(results)
}

/// Checks the figures in the documents.
fn figures(context: &Context, _: &Step) -> Result<Vec<Outcome>> {
    Ok(unless(figures::check(context)?))
}

/// The root files of the crates in harness/.
const CRATE_ROOTS: [&str; 6] = [
    "src/main.rs",
    "arithmetic/build.rs",
    "arithmetic/src/lib.rs",
    "arithmetic/kernel/build.rs",
    "arithmetic/kernel/src/lib.rs",
    "arithmetic/kunit_tests/src/lib.rs",
];

/// Checks the format of the series' Rust and of the crates in harness/.
fn formatting(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let series = Series::read(context)?;
    let rustfmt = context.toolchain.need("RUSTFMT")?;
    let mut kernel = Command::new(rustfmt);
    kernel.current_dir(&context.tree).arg("--check").args(series.ending(&[".rs"]));
    step.command(&mut kernel, "rustfmt-kernel")?;
    let mut harness = Command::new(rustfmt);
    harness.args(["--check", "--edition", "2021"]);
    harness.args(CRATE_ROOTS.map(|file| context.top.join("harness").join(file)));
    step.command(&mut harness, "rustfmt-harness")?;
    Ok(passed())
}

/// Runs the unit tests of the crates in harness/.
fn crate_tests(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut cargo = Command::new(context.toolchain.need("CARGO")?);
    // The compiler of ./timens, so that nothing is compiled twice.
    cargo.env("RUSTC", context.toolchain.need("RUSTC")?);
    cargo.args(["test", "--release", "--locked", "--workspace", "--manifest-path"]);
    cargo.arg(context.top.join("harness/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo"));
    let log = step.command(&mut cargo, "cargo-test")?;
    let results = cargo_results(&fs::read_to_string(log)?);
    if results.is_empty() {
        bail!("cargo test ran no test");
    }
    Ok(results)
}

fn cargo_results(text: &str) -> Vec<Outcome> {
    text.lines()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .map(|(name, verdict)| match verdict {
            "ok" => Outcome::new(name, Status::Passed, ""),
            other => Outcome::new(name, Status::Skipped, other),
        })
        .collect()
}

/// Compiles the harness with the oldest rustc that Cargo.toml supports.
fn oldest_rustc(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let script = context.top.join("harness/setup/oldest-rustc.sh");
    let provided = Command::new("sh").arg(script).output()?;
    let output = String::from_utf8_lossy(&provided.stdout);
    let rustc = output.lines().last().unwrap_or_default();
    match provided.status.code() {
        Some(0) => {}
        Some(4) => return Ok(skipped(rustc)),
        _ => bail!("{}", String::from_utf8_lossy(&provided.stderr).trim()),
    }
    let mut cargo = Command::new(context.toolchain.need("CARGO")?);
    cargo.env("RUSTC", rustc);
    cargo.args(["check", "--locked", "--all-targets", "--manifest-path"]);
    cargo.arg(context.top.join("harness/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo-oldest"));
    step.command(&mut cargo, "cargo-oldest")?;
    Ok(passed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_test_is_a_result() {
        let text = "running 2 tests\ntest a::b ... ok\ntest c ... ignored, why\n\
                    test result: ok. 1 passed\n";
        let results = cargo_results(text);
        assert_eq!(results.len(), 2);
        assert_eq!(results[1], Outcome::new("c", Status::Skipped, "ignored, why"));
    }
}
