// SPDX-License-Identifier: GPL-2.0

//! `clients`: those that time namespaces are for, unmodified, on both kernels: container runtimes,
//! CRIU with a process that moves to another machine, and the tools that people use.
//!
//! Each scenario is a program in harness/guest/clients, and its output a log of its own.

use crate::{
    guest::Transcript,
    initramfs,
    kbuild::{self, Kind},
    ktap,
    programs::{List, CLIENT_LISTS},
    report::Column,
    steps::Step,
    test::{column, passed, Session, KUNIT_OFF},
    Context,
};
use anyhow::{bail, Context as _, Result};
use std::{fs, path::Path, process::Command};

/// How the guest marks the lines of a timeline.
const TIMELINE: &str = "# timeline: ";

/// What is carried from one machine to the next, in the directory that they share.
const LUGGAGE: &str = "luggage.tar";

/// Two kernels; the programs; for both kernels the archive and the guests.
const STEPS: usize = 2 * kbuild::BUILD_STEPS + 1 + 2 * (1 + CLIENT_LISTS.len());

/// Runs every scenario on both kernels and prints the timelines and the summary.
pub fn clients(context: &Context, build: bool) -> Result<bool> {
    if !context.out.join("clients/stamp").exists() {
        bail!("the packages of the guest are not there: run `make clients`");
    }
    let mut session = Session::new(context, STEPS)?;
    if build {
        // In an order in which each can start as a copy of its sibling.
        session.build(Kind::RustClients);
        session.build(Kind::StockClients);
    }
    session.check("build programs", Column::Host, |step| {
        programs(context, step)?;
        Ok(passed())
    });
    let mut timelines = vec![];
    for kind in [Kind::StockClients, Kind::RustClients] {
        session.check("pack the guest", column(kind), |step| {
            initramfs::pack_clients(context, step, kind)?;
            Ok(passed())
        });
        let share = context.out.join("clients").join(kind.name());
        fs::create_dir_all(&share).with_context(|| format!("cannot create {}", share.display()))?;
        // What an earlier run left is nothing to arrive with.
        let luggage = share.join(LUGGAGE);
        if luggage.exists() {
            fs::remove_file(&luggage)
                .with_context(|| format!("cannot remove {}", luggage.display()))?;
        }
        for list in CLIENT_LISTS {
            let arguments = [KUNIT_OFF.to_owned(), format!("TIMENS_ARRIVE={}", list.name)];
            let said = session.programs(kind, list, &arguments, false, Some(&share));
            let Some(Transcript { output, .. }) = said else {
                continue;
            };
            save_logs(context, kind, list, &output)?;
            let lines: Vec<_> = output
                .lines()
                .filter_map(|line| line.strip_prefix(TIMELINE))
                .collect();
            if !lines.is_empty() {
                let title = format!("A process moves ({}{})", column(kind), list.note);
                timelines.push(format!("{title}\n{}", lines.join("\n")));
            }
        }
    }
    println!();
    for timeline in timelines {
        println!("{timeline}\n");
    }
    session.finish("clients")
}

/// Keeps the output of each scenario in a log of its own.
fn save_logs(context: &Context, kind: Kind, list: &List, output: &str) -> Result<()> {
    let output = output.replace('\r', "");
    for program in list.programs() {
        let name = format!("{} {}{}", kind.name(), program.path, list.note);
        let name = name.replace(['/', ' '], "-").replace(',', "");
        let path = context.out.join(format!("log/{name}.log"));
        let text: String = ktap::frames(&output, program.path)
            .iter()
            .map(|frame| frame.text)
            .collect();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Builds the programs in Go, in Rust and of the manual.
fn programs(context: &Context, step: &Step) -> Result<()> {
    let dir = context.out.join("clients");
    let goroot = fs::read_dir(dir.join("go/usr/lib"))
        .ok()
        .and_then(|mut entries| entries.next()?.ok())
        .context("the Go compiler is not there: remove out/clients and run `make clients`")?
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
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--example",
        "newtime",
        "--manifest-path",
    ]);
    cargo.arg(context.top.join("harness/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo"));
    step.command(&mut cargo, "newtime-rust")?;
    let built = context.out.join("cargo/release/examples/newtime");
    fs::copy(built, dir.join("newtime-rust")).context("cannot copy the program in Rust")?;

    let page = dir.join("man/usr/share/man/man2/clock_getres.2.gz");
    let source = dir.join("clock_times.c");
    manual_program(&page, &source)?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-static", "-o"])
        .arg(dir.join("clock_times"));
    step.command(gcc.arg(source), "clock_times")?;
    Ok(())
}

/// The program that a manual page shows, as it is to be compiled.
fn manual_program(page: &Path, source: &Path) -> Result<()> {
    let output = Command::new("zcat").arg(page).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text
        .split_once(".\\\" SRC BEGIN")
        .and_then(|(_, rest)| rest.split_once(".EX\n"))
        .and_then(|(_, rest)| rest.split_once(".EE\n"))
        .map(|(program, _)| program)
        .with_context(|| format!("{} shows no program", page.display()))?;
    // What roff's escapes stand for.
    let program = program
        .replace("\\&", "")
        .replace("\\-", "-")
        .replace("\\[rs]", "\\")
        .replace("\\[dq]", "\"")
        .replace("\\e", "\\");
    fs::write(source, program).with_context(|| format!("cannot write {}", source.display()))
}
