// SPDX-License-Identifier: GPL-2.0

//! `coverage`: the lines of the series' Rust that the tests execute.

mod lines;
mod profile;

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    guest::lists::SELFTESTS,
    jobs::{race::Rounds, Job},
    kernel::{
        kernels::{Kernel, RUST_COVERAGE, RUST_STOCK_VDSO_COVERAGE},
        series::Series,
    },
    session::Step,
};
use anyhow::{Context as _, Result};
use lines::CoveredLines;
use profile::{counters_in, lcov, parse_lcov, LineCounts, Profile};
use std::{collections::BTreeMap, fs};

/// The kernels differ in the code that switches the vDSO's pages.
fn plan() -> Plan {
    let selftests = Job::Programs(&SELFTESTS);
    let race = Job::Race { cpus: 2, rounds: Rounds::of(500) };
    Plan::new(
        "coverage",
        vec![
            (&RUST_COVERAGE, vec![Job::Kunit, selftests, race, super::test::FUZZ]),
            (&RUST_STOCK_VDSO_COVERAGE, vec![selftests]),
        ],
    )
    .with_arguments(|context, kernel| {
        let image = image(context, kernel)?;
        Ok(vec![Profile::new(&image)?.parameter()])
    })
}

pub fn coverage(context: &Context, selection: &Selection) -> Result<bool> {
    let plan = plan().select(selection)?;
    let mut outputs = BTreeMap::<_, (&Kernel, Vec<String>)>::new();
    let mut session = plan.run(context, |kernel, _, findings| {
        let (_, outputs) = outputs.entry(kernel.name).or_insert((kernel, vec![]));
        outputs.extend(findings.transcripts.iter().map(|transcript| transcript.output.clone()));
    })?;
    let mut lines = LineCounts::new();
    let mut configs = vec![];
    for (kernel, outputs) in outputs.into_values() {
        for (file, counts) in count(context, &session.quiet_step(), kernel, &outputs)? {
            let sums = lines.entry(file).or_default();
            for (line, count) in counts {
                *sums.entry(line).or_default() += count;
            }
        }
        let config = context.build_dir(kernel).join(".config");
        configs.push(
            fs::read_to_string(&config)
                .with_context(|| format!("cannot read {}", config.display()))?,
        );
    }
    let added = Series::added_lines(context, &["*.rs"])?;
    let covered = CoveredLines::new(context, &lines, &added, &configs)?;
    session.add(covered.check());
    session.finish("coverage", &covered.to_string())
}

fn image(context: &Context, kernel: &Kernel) -> Result<Vec<u8>> {
    let image = context.build_dir(kernel).join("vmlinux");
    fs::read(&image).with_context(|| format!("cannot read {}", image.display()))
}

/// Counts the executions of each line on a kernel, by the counters in the outputs of its guests.
fn count(
    context: &Context,
    step: &Step,
    kernel: &Kernel,
    outputs: &[String],
) -> Result<LineCounts> {
    let data = image(context, kernel)?;
    let profile = Profile::new(&data)?;
    let mut sum = vec![0; profile.counters];
    for output in outputs {
        let counters = counters_in(output, profile.counters)?;
        sum.iter_mut().zip(counters).for_each(|(sum, count)| *sum += count);
    }
    let dir = context.out.join("coverage");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let raw = dir.join(kernel.name).with_extension("profraw");
    fs::write(&raw, profile.raw(&sum))
        .with_context(|| format!("cannot write {}", raw.display()))?;
    let image = context.build_dir(kernel).join("vmlinux");
    Ok(parse_lcov(&lcov(context, step, &raw, &image)?))
}
