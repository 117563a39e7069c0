// SPDX-License-Identifier: GPL-2.0

//! `clients`: container runtimes, CRIU and tools, unmodified, on both kernels.
//!
//! Each scenario is a program in harness/guest/clients, and has a log.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    guest::{
        ktap,
        lists::{List, CLIENT_LISTS},
    },
    jobs::{column, Job},
    kernel::kernels::{Kernel, RUST_CLIENTS, STOCK_CLIENTS},
};
use anyhow::{Context as _, Result};
use std::fs;

/// The start of a timeline's lines in a guest's output.
const TIMELINE: &str = "# timeline: ";

/// The file with a dumped process, in the directory that guests share.
const HANDOFF: &str = "handoff.tar";

fn plan() -> Plan {
    let jobs = CLIENT_LISTS.map(Job::Programs);
    let kernels = [&STOCK_CLIENTS, &RUST_CLIENTS];
    Plan::new("clients", kernels.map(|kernel| (kernel, jobs.to_vec())).into())
}

pub fn clients(context: &Context, selection: &Selection) -> Result<bool> {
    let plan = plan().select(selection)?;
    for kernel in [&STOCK_CLIENTS, &RUST_CLIENTS] {
        remove_handoff(context, kernel)?;
    }
    let mut timelines = String::new();
    let mut logs = Ok(());
    let session = plan.run(context, |kernel, job, findings| {
        let Job::Programs(list) = job else { return };
        for transcript in &findings.transcripts {
            let lines = transcript.output.lines();
            let lines: Vec<_> = lines.filter_map(|line| line.strip_prefix(TIMELINE)).collect();
            if !lines.is_empty() {
                let title = format!("Migration of a process ({}{})", column(kernel), list.note);
                timelines += &format!("{title}\n{}\n\n", lines.join("\n"));
            }
            if let Err(error) = save_logs(context, kernel, list, &transcript.output) {
                logs = Err(error);
            }
        }
    })?;
    logs?;
    session.finish("clients", &timelines)
}

/// Removes the dumped process of the last run.
fn remove_handoff(context: &Context, kernel: &Kernel) -> Result<()> {
    let path = context.out.join("clients").join(kernel.name).join(HANDOFF);
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Saves the output of each scenario as a log.
fn save_logs(context: &Context, kernel: &Kernel, list: &List, output: &str) -> Result<()> {
    let output = output.replace('\r', "");
    for program in list.programs() {
        let name = format!("{} {}{}", kernel.name, program.path, list.note);
        let name = name.replace(['/', ' '], "-").replace(',', "");
        let path = context.out.join(format!("log/{name}.log"));
        let runs = ktap::runs(&output, program.path);
        let text: String = runs.iter().map(|run| run.text).collect();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
