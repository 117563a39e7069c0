// SPDX-License-Identifier: GPL-2.0

//! Runs a command in a time namespace with offsets, in seconds:
//! `newtime MONOTONIC BOOTTIME COMMAND...`

use anyhow::{bail, Context, Result};
use rustix::thread::{unshare_unsafe, UnshareFlags};
use std::{env, fs, os::unix::process::CommandExt, process::Command};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [monotonic, boottime, program, rest @ ..] = &arguments[..] else {
        bail!("usage: newtime MONOTONIC BOOTTIME COMMAND...");
    };
    // SAFETY: NEWTIME changes no resource of this thread that safe code relies on.
    unsafe { unshare_unsafe(UnshareFlags::NEWTIME) }.context("unshare")?;
    let offsets = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
    fs::write("/proc/self/timens_offsets", offsets).context("timens_offsets")?;
    // Exec enters the namespace.
    Err(Command::new(program).args(rest).exec()).context(program.clone())
}
