// SPDX-License-Identifier: GPL-2.0

//! Builds the content of the guest with container runtimes and CRIU.

use crate::{context::Context, session::Step};
use anyhow::{Context as _, Result};
use std::{fs, path::Path, process::Command};

pub fn build(context: &Context, step: &Step) -> Result<()> {
    let mut packages = Command::new("sh");
    packages.arg(context.top.join("harness/setup/clients.sh"));
    step.command(&mut packages, "clients")?;
    programs(context, step)
}

/// Builds the programs in Go, in Rust, and from the manual page.
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

/// Extracts the program from a manual page.
fn manual_program(page: &Path, source: &Path) -> Result<()> {
    let output = Command::new("zcat").arg(page).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text
        .split_once(".\\\" SRC BEGIN")
        .and_then(|(_, rest)| rest.split_once(".EX\n"))
        .and_then(|(_, rest)| rest.split_once(".EE\n"))
        .map(|(program, _)| program)
        .with_context(|| format!("{} has no program", page.display()))?;
    // Escapes of roff.
    let program = program
        .replace("\\&", "")
        .replace("\\-", "-")
        .replace("\\[rs]", "\\")
        .replace("\\[dq]", "\"")
        .replace("\\e", "\\");
    fs::write(source, program).with_context(|| format!("cannot write {}", source.display()))
}
