// SPDX-License-Identifier: GPL-2.0

//! `clients`: the users of time namespaces, unmodified, on both kernels: container runtimes, CRIU with a process
//! that moves to another machine, and people's tools.
//!
//! Each scenario is a program in harness/guest/clients, with a log of its own.

use super::plan::{Plan, Selection};
use crate::{
    guest::{
        ktap,
        programs::{List, CLIENT_LISTS},
    },
    jobs::{column, Job},
    kernel::kernels::{Kernel, RUST_CLIENTS, STOCK_CLIENTS},
    session::Step,
    Context,
};
use anyhow::{Context as _, Result};
use std::{fs, path::Path, process::Command};

/// The mark of a timeline's lines in a guest's output.
const TIMELINE: &str = "# timeline: ";

/// The file that carries a process from one guest to the next, in the directory that they share.
const HANDOFF: &str = "handoff.tar";

fn plan() -> Plan {
    let jobs = CLIENT_LISTS.map(Job::Programs);
    let kernels = [&STOCK_CLIENTS, &RUST_CLIENTS];
    Plan::new("clients", kernels.map(|kernel| (kernel, jobs.to_vec())).into())
}

/// Runs every scenario on both kernels and prints the timelines.
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

/// A file of an earlier run must not be restored.
fn remove_handoff(context: &Context, kernel: &Kernel) -> Result<()> {
    let path = context.out.join("clients").join(kernel.name).join(HANDOFF);
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Keeps the output of each scenario in a log of its own.
fn save_logs(context: &Context, kernel: &Kernel, list: &List, output: &str) -> Result<()> {
    let output = output.replace('\r', "");
    for program in list.programs() {
        let name = format!("{} {}{}", kernel.name, program.path, list.note);
        let name = name.replace(['/', ' '], "-").replace(',', "");
        let path = context.out.join(format!("log/{name}.log"));
        let frames = ktap::frames(&output, program.path);
        let text: String = frames.iter().map(|frame| frame.text).collect();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Unpacks the packages of the guest, and builds its programs.
pub fn build(context: &Context, step: &Step) -> Result<()> {
    let mut packages = Command::new("sh");
    packages.arg(context.top.join("harness/setup/clients.sh"));
    step.command(&mut packages, "clients")?;
    programs(context, step)
}

/// Builds the programs in Go, in Rust, and of the manual.
fn programs(context: &Context, step: &Step) -> Result<()> {
    let dir = context.out.join("clients");
    let goroot = fs::read_dir(dir.join("go/usr/lib"))
        .ok()
        .and_then(|mut entries| entries.next()?.ok())
        .context("the Go compiler is missing: remove out/clients and try again")?
        .path();
    let mut go = Command::new(goroot.join("bin/go"));
    go.env("GOROOT", &goroot)
        .env("GOCACHE", dir.join("go-cache"))
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0");
    go.args(["build", "-o"]).arg(dir.join("newtime-go"));
    go.arg(context.top.join("harness/guest/clients/newtime.go"));
    step.command(&mut go, "newtime-go")?;

    let mut cargo = Command::new(context.toolchain.need("CARGO")?);
    cargo.env("RUSTC", context.toolchain.need("RUSTC")?);
    cargo.args(["build", "--release", "--locked", "--example", "newtime", "--manifest-path"]);
    cargo.arg(context.top.join("harness/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo"));
    step.command(&mut cargo, "newtime-rust")?;
    let built = context.out.join("cargo/release/examples/newtime");
    fs::copy(built, dir.join("newtime-rust")).context("cannot copy the program in Rust")?;

    let page = dir.join("man/usr/share/man/man2/clock_getres.2.gz");
    let source = dir.join("clock_times.c");
    manual_program(&page, &source)?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-static", "-o"]).arg(dir.join("clock_times"));
    step.command(gcc.arg(source), "clock_times")?;
    Ok(())
}

/// Writes the program in a manual page as a source file.
fn manual_program(page: &Path, source: &Path) -> Result<()> {
    let output = Command::new("zcat").arg(page).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text
        .split_once(".\\\" SRC BEGIN")
        .and_then(|(_, rest)| rest.split_once(".EX\n"))
        .and_then(|(_, rest)| rest.split_once(".EE\n"))
        .map(|(program, _)| program)
        .with_context(|| format!("{} has no program", page.display()))?;
    // roff's escapes.
    let program = program
        .replace("\\&", "")
        .replace("\\-", "-")
        .replace("\\[rs]", "\\")
        .replace("\\[dq]", "\"")
        .replace("\\e", "\\");
    fs::write(source, program).with_context(|| format!("cannot write {}", source.display()))
}
