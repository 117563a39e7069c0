// SPDX-License-Identifier: GPL-2.0

//! Times clock reads in the vDSO of the C and of the Rust kernel, natively.
//!
//! Both built images are mapped into this process behind data pages that are filled here, as a
//! task on the host and one in a time namespace have them, and timed in turns.

mod plot;
mod reads;
mod report;
mod timing;

use crate::{
    bench::results::{read, write},
    context::Context,
    kernel::{
        build,
        kernels::{RUST, STOCK},
    },
    session::{
        statistics::{lowest, median},
        Session,
    },
    vdso::{
        image::{built, Image},
        pin, Role,
    },
};
use anyhow::Result;
use clap::Args;
use reads::READS;
use report::{Cell, Report, Row};
pub use timing::TooNoisy;
use timing::{cell, Bench, Samples};

#[derive(Args)]
pub struct Options {
    /// Rounds of timing, at least 30.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(30..))]
    rounds: u32,
    /// Only draw the chart of results/bench-vdso.json again.
    #[arg(long)]
    draw: bool,
}

impl Options {
    /// Whether nothing is built or timed.
    pub fn only_draws(&self) -> bool {
        self.draw
    }
}

/// Builds both kernels, times their images and prints the verdict.
pub fn bench(context: &Context, options: &Options) -> Result<bool> {
    const STEPS: usize = 6;
    if options.draw {
        let results = context.top.join("results");
        let report: Report = read(&results.join("bench-vdso.json"))?;
        write(&results, "bench-vdso.svg", &plot::cycles(&report.rows)?)?;
        return Ok(true);
    }
    let mut session = Session::new(context, STEPS)?;
    for kernel in [&RUST, &STOCK] {
        session
            .step(&format!("build {}", kernel.name), |step| build::build(context, step, kernel))?;
    }
    let image = |kernel| Image::read(&built(&context.build_dir(kernel)));
    let images = [image(&STOCK)?, image(&RUST)?];
    let cpu = pin()?;
    let bench = session.step("map both vDSO images", |_| Bench::new(&images))?;
    // First, because it survives a call that does not return.
    let instructions = session.step("count instructions", |_| bench.instructions())?;
    let hot = session.step("time with warm caches", |step| bench.time_hot(step, options.rounds))?;
    let cold = session.step("time with cold caches and TLB", |step| bench.time_cold(step))?;
    let rows = rows(&hot, &cold, &instructions);
    let report = Report::new(cpu, bench.cycles_per_second, hot[0].len(), rows, &images);
    let dir = context.out.join("bench");
    write(&dir, "bench-vdso.json", &serde_json::to_string_pretty(&report)?)?;
    write(&dir, "bench-vdso.svg", &plot::cycles(&report.rows)?)?;
    println!("\n{report}");
    Ok(report.passed())
}

/// The figures of all reads in all roles.
fn rows(hot: &Samples, cold: &Samples, instructions: &[u32]) -> Vec<Row> {
    let figures = |read, role| {
        let at = cell(read, role);
        Cell {
            lowest: lowest(&hot[at]),
            median: median(&hot[at]),
            cold: median(&cold[at]),
            instructions: instructions[at],
        }
    };
    let row = |read: usize| Row {
        name: READS[read].name.to_owned(),
        cells: Role::ALL.map(|role| (role, figures(read, role))).into(),
    };
    (0..READS.len()).map(row).collect()
}
