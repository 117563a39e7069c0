// SPDX-License-Identifier: GPL-2.0

//! Counts what each operation on a time namespace costs, on the stock kernel and on ours.
//!
//! Both boot in emulated machines that count their instructions and run the same program, which is
//! in harness/guest/bench.c and says what each of its samples is.

mod output;
mod report;
mod rows;
mod size;
pub mod vdso;
mod plot;

use crate::{
    guest::{self, Guest, Machine},
    initramfs,
    kbuild::{self, Kind},
    steps::{Step, Steps},
    Context,
};
use anyhow::{bail, ensure, Result};
use output::Output;
use report::Report;
use rows::Measured;
use std::{path::Path, time::Duration};

/// What the guests measure, each in a boot of its own.
const GUESTS: [&str; 2] = ["costs", "live"];

/// Instructions that the guest's program counts to see whether the machine does.
const KNOWN: u64 = 1000;

/// Three builds; for both kernels the archive, the guests, the sizes.
const STEPS: usize = 3 * kbuild::BUILD_STEPS + 2 * (2 + GUESTS.len());

/// Builds what is compared, measures it and gives the verdict.
pub fn bench(context: &Context) -> Result<bool> {
    let mut steps = context.steps(STEPS)?;
    // In this order: one may start as a copy of another.
    kbuild::build(context, &mut steps, Kind::RustBench)?;
    kbuild::build(context, &mut steps, Kind::StockBench)?;
    kbuild::build_objects(context, &mut steps, Kind::RustBenchCalls)?;
    let stock = measure(context, &mut steps, Kind::StockBench)?;
    let ours = measure(context, &mut steps, Kind::RustBench)?;
    let report = Report::new(&stock, &ours)?;
    report.save(&context.out.join("bench"))?;
    println!("\n{report}");
    Ok(report.passed())
}

fn measure(context: &Context, steps: &mut Steps, kind: Kind) -> Result<Measured> {
    let name = kind.name();
    let mut output = Output::default();
    let initrd = steps.run(&format!("pack the guest ({name})"), |step| {
        initramfs::pack_job(context, step, kind, "bench", &[])
    })?;
    for what in GUESTS {
        let part = steps.run(&format!("guest: {what} ({name})"), |step| {
            let guest = guest(kind, &initrd, what, Machine::Counting);
            let part = run(context, step, &guest)?;
            let counted = part.counts.get("thousand").copied();
            ensure!(
                counted == Some(KNOWN),
                "the TSC says {counted:?} for {KNOWN} instructions: this QEMU does not count them"
            );
            Ok(part)
        })?;
        output.merge(part);
    }
    steps.run(&format!("sizes and compile time ({name})"), |step| {
        let objects = size::objects(context, kind);
        let with_calls = match kind.is_ours() {
            // C has no helpers.
            false => Some(kind),
            true if context.toolchain.same_llvm() => Some(Kind::RustBenchCalls),
            true => None,
        };
        let with_calls =
            with_calls.map(|kind| size::of(context, step, &size::objects(context, kind)));
        let vmlinux = context.build_dir(kind).join("vmlinux");
        let functions = size::functions(context, step, &vmlinux)?;
        Ok(Measured {
            output,
            size: size::of(context, step, &objects)?,
            size_with_calls: with_calls.transpose()?,
            kernel_text: functions.all,
            elsewhere: match kind.is_ours() {
                true => functions.of_page,
                // It is all in the objects.
                false => 0,
            },
            panics: size::panics(context, step, &objects)?,
            // Last, because it makes the objects anew.
            seconds: kbuild::compile_seconds(context, step, kind, &objects)?,
        })
    })
}

fn guest<'a>(kind: Kind, initrd: &'a Path, what: &str, machine: Machine) -> Guest<'a> {
    Guest {
        name: format!("bench-{what}-{}", kind.name()),
        kind,
        initrd,
        job: "bench",
        arguments: [
            &format!("TIMENS_BENCH={what}"),
            // Addresses and caches of objects are the same in each run.
            "norandmaps",
            "slab_nomerge",
        ]
        .map(str::to_owned)
        .into(),
        limit: Duration::from_secs(1800),
        busy_host: false,
        share: None,
        machine,
    }
}

/// Runs a guest to its end and reads what it measured.
fn run(context: &Context, step: &Step, guest: &Guest) -> Result<Output> {
    let transcript = guest::run(context, step, guest, |_| {})?;
    if let Some(problem) = transcript.problems.first() {
        // Its own complaint says more.
        let complaint = transcript
            .output
            .lines()
            .find_map(|line| line.strip_prefix("/jobs/bench: "));
        bail!("{}", complaint.unwrap_or(problem));
    }
    Output::parse(&transcript.output)
}
