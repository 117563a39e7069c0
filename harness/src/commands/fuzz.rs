// SPDX-License-Identifier: GPL-2.0

//! `fuzz`: random operations on both kernels, whose outcomes must be the same.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    jobs::{
        fuzz::{self, Request, LENGTH},
        Job, Place,
    },
    kernel::kernels::RUST,
    session::Session,
};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub struct Options {
    /// The first seed, which determines the operations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of seeds. Each runs an equal part of the operations.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// The number of operations on each kernel, in sequences of 200, at least one for each seed.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// Run some operations of one sequence of the first seed, and print the outcomes on both
    /// kernels: SEQUENCE:OPERATION,OPERATION…
    #[arg(long, value_parser = Request::parse)]
    replay: Option<Request>,
    #[command(flatten)]
    selection: Selection,
}

fn plan(options: &Options) -> Plan {
    let sequences = options.operations.div_ceil(LENGTH).div_ceil(options.seeds);
    let seeds = (0..options.seeds).map(|index| options.seed.wrapping_add(index.into()));
    let jobs = seeds.map(|seed| Job::Fuzz { seed, sequences });
    Plan::new("fuzz", vec![(&RUST, jobs.collect())])
}

pub fn fuzz(context: &Context, options: &Options) -> Result<bool> {
    if let Some(request) = &options.replay {
        return replay(context, options, request);
    }
    let plan = plan(options).select(&options.selection)?;
    plan.run(context, |_, _, _| {})?.finish("fuzz", "")
}

/// Runs one sequence, without builds.
fn replay(context: &Context, options: &Options, request: &Request) -> Result<bool> {
    let kernel = options.selection.kernels().first().copied().unwrap_or(&RUST);
    let mut session = Session::new(context, 1)?;
    let mut text = String::new();
    session.check("the outcomes are the same", crate::jobs::column(kernel), |step| {
        let place = Place { context, step, kernel, arguments: &[] };
        let (lines, same) = fuzz::replay(place, options.seed, request)?;
        text = lines;
        Ok(crate::session::unless((!same).then(|| "they differ".to_owned())))
    });
    session.finish("fuzz-replay", &text)
}
