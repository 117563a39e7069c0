// SPDX-License-Identifier: GPL-2.0

//! `age`: many namespaces on both kernels, whose memory must not grow.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    jobs::{age::parse, column, Job},
    kernel::kernels::{RUST_BENCH, STOCK_BENCH},
    session::{unless, Check},
};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub struct Options {
    /// The number of namespaces. Three of four are joined.
    #[arg(long, default_value_t = 134_000, value_parser = clap::value_parser!(u32).range(2_000..))]
    cycles: u32,
    #[command(flatten)]
    selection: Selection,
}

/// Kernels whose allocator counts its objects. The C kernel comes first, as the reference.
fn plan(cycles: u32) -> Plan {
    let jobs = vec![Job::Age { cycles }];
    Plan::new("age", vec![(&STOCK_BENCH, jobs.clone()), (&RUST_BENCH, jobs)])
}

/// Runs the plan, and compares the growth on both kernels.
pub fn age(context: &Context, options: &Options) -> Result<bool> {
    let plan = plan(options.cycles).select(&options.selection)?;
    let mut growths = vec![];
    let mut session = plan.run(context, |kernel, _, findings| {
        for transcript in &findings.transcripts {
            growths.push((kernel, parse(&transcript.output)));
        }
    })?;
    let mut text = String::new();
    let mut reference = None;
    for (kernel, growth) in growths {
        let growth = growth?;
        text += &format!("{} namespaces on {}: {growth}\n", options.cycles, kernel.name);
        if kernel.is_control() {
            reference = Some(growth);
        } else if let Some(reference) = &reference {
            let results = unless(growth.failures(reference));
            session.add(Check::new("growth, compared with C", column(kernel), results));
        }
    }
    session.finish("age", &text)
}
