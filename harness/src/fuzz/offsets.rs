// SPDX-License-Identifier: GPL-2.0

//! `fuzz-offsets`: libFuzzer on the kernel's arithmetic, with the compiler that is there.

use crate::{report::keep, Context};
use anyhow::{ensure, Context as _, Result};
use std::{fs, process::Command};

/// What `cargo fuzz` passes, without the sanitizers, which take a nightly compiler.
const INSTRUMENTATION: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Named, so that what runs while building is not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What stands in libFuzzer's last line of counts.
const DONE: &str = "DONE   cov:";

/// Looks for arguments that the arithmetic gets wrong, for that many seconds.
pub fn fuzz_offsets(context: &Context, seconds: u32) -> Result<bool> {
    let dir = context.out.join("fuzz");
    let corpus = dir.join("corpus");
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let mut cargo = Command::new(context.toolchain.need("CARGO")?);
    cargo.env("RUSTC", context.toolchain.need("RUSTC")?);
    cargo.env("RUSTFLAGS", INSTRUMENTATION);
    // What was found stands at the end of the log then.
    cargo.env("RUST_BACKTRACE", "0");
    cargo.args(["run", "--release", "--locked", "--target", TARGET]);
    cargo.arg("--manifest-path");
    cargo.arg(context.top.join("harness/offsets/fuzz/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo"));
    cargo.arg("--").arg(format!("-max_total_time={seconds}"));
    cargo.arg(format!("-artifact_prefix={}/", dir.display()));
    cargo.arg(&corpus);
    let title = format!("fuzz the arithmetic for {seconds} s");
    let log = context
        .steps(1)?
        .run(&title, |step| step.command(&mut cargo, "fuzz-offsets"))?;
    let text = fs::read_to_string(&log)?;
    let mut done = text.lines().filter(|line| line.contains(DONE)).peekable();
    ensure!(
        done.peek().is_some(),
        "libFuzzer did not say what it has done: see {}",
        log.display()
    );
    let mut report: String = done.map(|line| format!("{line}\n")).collect();
    report += "nothing is wrong\n";
    print!("{report}");
    keep(context, "fuzz-offsets", &report)?;
    Ok(true)
}
