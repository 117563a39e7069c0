// SPDX-License-Identifier: GPL-2.0

//! Counts the instructions of each operation on a time namespace, on the C and on the Rust kernel.
//!
//! Both boot in emulated machines that count instructions and run the same program,
//! harness/guest/bench.c, which explains its samples.

mod judge;
mod output;
mod plot;
mod report;
mod results;
mod rows;
mod size;
pub mod vdso;

use crate::{
    context::Context,
    guest::{self, initramfs, Guest, Machine},
    kernel::{
        build,
        kernels::{Kernel, RUST_BENCH, STOCK_BENCH},
    },
    session::{Session, Step},
};
use anyhow::{bail, ensure, Result};
use clap::Args;
use output::Output;
use report::Report;
use results::read;
use rows::Measured;
use std::{path::Path, time::Duration};

/// The measurements, each in a boot of its own.
const GUESTS: [&str; 2] = ["costs", "live"];

/// Instructions that the guest's program counts to check that the machine counts them.
const KNOWN: u64 = 1000;

/// For both kernels the build, the archive, the guests and the sizes.
const STEPS: usize = 2 * (3 + GUESTS.len());

#[derive(Args)]
pub struct Options {
    /// Only write the table and draw the charts of results/bench.json again.
    #[arg(long)]
    draw: bool,
}

impl Options {
    /// Whether nothing is built or measured.
    pub fn only_draws(&self) -> bool {
        self.draw
    }
}

/// Builds both kernels, measures them and prints the verdict.
pub fn bench(context: &Context, options: &Options) -> Result<bool> {
    if options.draw {
        let results = context.top.join("results");
        read::<Report>(&results.join("bench.json"))?.show(&results)?;
        return Ok(true);
    }
    let mut session = Session::new(context, STEPS)?;
    for kernel in [&RUST_BENCH, &STOCK_BENCH] {
        session
            .step(&format!("build {}", kernel.name), |step| build::build(context, step, kernel))?;
    }
    let c = measure(&mut session, &STOCK_BENCH)?;
    let rust = measure(&mut session, &RUST_BENCH)?;
    let report = Report::new(&c, &rust)?;
    report.save(&context.out.join("bench"))?;
    println!("\n{report}");
    Ok(report.passed())
}

fn measure(session: &mut Session<'_>, kernel: &'static Kernel) -> Result<Measured> {
    let (context, name) = (session.context, kernel.name);
    let mut output = Output::default();
    let initrd = session.step(&format!("pack the guest ({name})"), |step| {
        initramfs::pack_job(context, step, kernel, "bench", &[])
    })?;
    for part in GUESTS {
        let part = session.step(&format!("guest: {part} ({name})"), |step| {
            let guest = guest(kernel, &initrd, part);
            let part = run(context, step, &guest)?;
            let counted = part.counts.get("thousand").copied();
            ensure!(
                counted == Some(KNOWN),
                "the TSC advances by {counted:?} in {KNOWN} instructions: QEMU does not count them"
            );
            Ok(part)
        })?;
        output.merge(part);
    }
    session.step(&format!("sizes ({name})"), |step| {
        let objects = size::objects(context, kernel);
        Ok(Measured {
            output,
            size: size::Size {
                // All of the C kernel's is in the objects.
                elsewhere: match kernel.is_rust() {
                    true => size::of_page(context, step, kernel)?,
                    false => 0,
                },
                ..size::of(context, step, &objects)?
            },
            panics: size::panics(context, step, &objects)?,
        })
    })
}

fn guest(kernel: &'static Kernel, initrd: &Path, part: &str) -> Guest<'static> {
    Guest {
        name: format!("bench-{part}-{}", kernel.name),
        arguments: [
            &format!("TIMENS_BENCH={part}"),
            // The same addresses and caches of objects in each run.
            "norandmaps",
            "slab_nomerge",
        ]
        .map(str::to_owned)
        .into(),
        limit: Duration::from_secs(1800),
        machine: Machine::Counting,
        ..Guest::new(kernel, "bench", initrd.to_owned())
    }
}

/// Runs a guest to its end and reads its measurements.
fn run(context: &Context, step: &Step, guest: &Guest) -> Result<Output> {
    let transcript = guest::run(context, step, guest, |_| {})?;
    if let Some(problem) = transcript.errors.first() {
        // The program's own message says more.
        let message = transcript.output.lines().find_map(|line| line.strip_prefix("/jobs/bench: "));
        bail!("{}", message.unwrap_or(problem));
    }
    Output::parse(&transcript.output)
}
