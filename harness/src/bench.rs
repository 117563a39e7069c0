// SPDX-License-Identifier: GPL-2.0

//! Counts what each operation on a time namespace costs, on the stock kernel and on ours.
//!
//! Both boot in emulated machines that count their instructions and run the same program, which is
//! in harness/guest/bench.c and says what each of its samples is.

mod output;
mod plot;
mod report;
mod rows;
mod size;
pub mod vdso;

use crate::{
    context::Context,
    guest::{self, initramfs, Guest, Machine},
    kernel::{
        build,
        kernels::{Kernel, RUST_BENCH, RUST_BENCH_CALLS, STOCK_BENCH},
    },
    session::{Session, Step},
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
const STEPS: usize = 3 + 2 * (2 + GUESTS.len());

/// Builds what is compared, measures it and gives the verdict.
pub fn bench(context: &Context) -> Result<bool> {
    let mut steps = Session::new(context, STEPS)?;
    // In this order: one may start as a copy of another.
    for kernel in [&RUST_BENCH, &STOCK_BENCH] {
        steps
            .step(&format!("build {}", kernel.name), |step| build::build(context, step, kernel))?;
    }
    steps.step(&format!("build {}", RUST_BENCH_CALLS.name), |step| {
        build::build_objects(context, step, &RUST_BENCH_CALLS)
    })?;
    let stock = measure(context, &mut steps, &STOCK_BENCH)?;
    let ours = measure(context, &mut steps, &RUST_BENCH)?;
    let report = Report::new(&stock, &ours)?;
    report.save(&context.out.join("bench"))?;
    println!("\n{report}");
    Ok(report.passed())
}

fn measure(
    context: &Context,
    steps: &mut Session<'_>,
    kernel: &'static Kernel,
) -> Result<Measured> {
    let name = kernel.name;
    let mut output = Output::default();
    let initrd = steps.step(&format!("pack the guest ({name})"), |step| {
        initramfs::pack_job(context, step, kernel, "bench", &[])
    })?;
    for what in GUESTS {
        let part = steps.step(&format!("guest: {what} ({name})"), |step| {
            let guest = guest(kernel, &initrd, what, Machine::Counting);
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
    steps.step(&format!("sizes and compile time ({name})"), |step| {
        let objects = size::objects(context, kernel);
        let with_calls = match kernel.is_rust() {
            // C has no helpers.
            false => Some(kernel),
            true if context.toolchain.same_llvm() => Some(&RUST_BENCH_CALLS),
            true => None,
        };
        let with_calls =
            with_calls.map(|kernel| size::of(context, step, &size::objects(context, kernel)));
        let vmlinux = context.build_dir(kernel).join("vmlinux");
        let functions = size::functions(context, step, &vmlinux)?;
        Ok(Measured {
            output,
            size: size::of(context, step, &objects)?,
            size_with_calls: with_calls.transpose()?,
            kernel_text: functions.all,
            elsewhere: match kernel.is_rust() {
                true => functions.of_page,
                // It is all in the objects.
                false => 0,
            },
            panics: size::panics(context, step, &objects)?,
            // Last, because it makes the objects anew.
            seconds: build::compile_seconds(context, step, kernel, &objects)?,
        })
    })
}

fn guest(kernel: &'static Kernel, initrd: &Path, what: &str, machine: Machine) -> Guest<'static> {
    Guest {
        name: format!("bench-{what}-{}", kernel.name),
        arguments: [
            &format!("TIMENS_BENCH={what}"),
            // Addresses and caches of objects are the same in each run.
            "norandmaps",
            "slab_nomerge",
        ]
        .map(str::to_owned)
        .into(),
        limit: Duration::from_secs(1800),
        machine,
        ..Guest::new(kernel, "bench", initrd.to_owned())
    }
}

/// Runs a guest to its end and reads what it measured.
fn run(context: &Context, step: &Step, guest: &Guest) -> Result<Output> {
    let transcript = guest::run(context, step, guest, |_| {})?;
    if let Some(problem) = transcript.errors.first() {
        // Its own complaint says more.
        let complaint =
            transcript.output.lines().find_map(|line| line.strip_prefix("/jobs/bench: "));
        bail!("{}", complaint.unwrap_or(problem));
    }
    Output::parse(&transcript.output)
}
