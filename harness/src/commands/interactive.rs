// SPDX-License-Identifier: GPL-2.0

//! `run` and `shell`: guests whose output is shown.

use super::plan::{build_kernel, build_selftests, pack};
use crate::{
    context::Context,
    guest::{self, initramfs, ktap, Guest},
    jobs::column,
    kernel::kernels::{Kernel, RUST},
    session::{Check, Session},
};
use anyhow::{bail, ensure, Context as _, Result};
use clap::Args;
use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

#[derive(Args)]
pub struct ShellOptions {
    /// The kernel to boot; a wrong name lists all.
    #[arg(long, value_name = "NAME", default_value = "rust", value_parser = Kernel::named)]
    kernel: &'static Kernel,
    /// Do not build the kernel and the selftests.
    #[arg(long)]
    no_build: bool,
    /// Run this shell command, print its output, and return its exit status.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Builds a kernel and its guest. Returns the session, with one step left.
fn prepared<'a>(
    context: &'a Context,
    kernel: &'static Kernel,
    no_build: bool,
) -> Result<Session<'a>> {
    let kernels = kernel.with_parents();
    let builds = match no_build {
        true => 0,
        false => kernels.len() + 1,
    };
    let mut session = Session::new(context, builds + 2)?;
    let mut ready = true;
    if !no_build {
        for kernel in kernels {
            ready &= build_kernel(&mut session, kernel);
        }
        ready &= build_selftests(&mut session);
    }
    ready &= pack(&mut session, kernel);
    ensure!(ready, "the guest was not built: see above");
    Ok(session)
}

/// Shows real tools in a time namespace, and the checks as a table.
pub fn demo(context: &Context) -> Result<bool> {
    let kernel = &RUST;
    let mut session = prepared(context, kernel, false)?;
    session.run("demonstration", column(kernel), |step| {
        let guest = Guest::new(kernel, "demo", initramfs::path(context, kernel));
        let transcript = guest::run(context, step, &guest, |line| {
            if let Some(line) = shown(line) {
                step.print(&line);
            }
        })?;
        let mut results = ktap::results(context, &transcript.output)?;
        results.extend(transcript.errors.into_iter().map(crate::session::Outcome::failure));
        Ok(vec![Check::new("demonstration", column(kernel), results)])
    });
    session.finish("run", "")
}

/// Opens a shell in a guest, or runs one command. Returns the exit status.
pub fn shell(context: &Context, options: &ShellOptions) -> Result<i32> {
    let kernel = options.kernel;
    let lock = context.lock()?;
    let mut session = prepared(context, kernel, options.no_build)?;
    drop(lock);
    let mut guest = Guest {
        limit: Duration::from_secs(u32::MAX.into()),
        ..Guest::new(kernel, "shell", initramfs::path(context, kernel))
    };
    if options.command.is_empty() {
        session.step("boot the guest", |step| guest::shell(context, step, &guest))?;
        return Ok(0);
    }
    let command = options.command.join(" ");
    guest.name = format!("command-{}", kernel.name);
    guest.arguments.push(format!("TIMENS_COMMAND={}", base64(&command)?));
    let transcript = session.step("run the command", |step| {
        guest::run(context, step, &guest, |line| {
            if !line.starts_with("TIMENS-GUEST-") {
                step.print(line);
            }
        })
    })?;
    match transcript.status {
        Some(status) => Ok(status),
        None => bail!(transcript.errors.join("; ")),
    }
}

/// Encodes a command as one word of the kernel command line.
fn base64(command: &str) -> Result<String> {
    let mut base64 = Command::new("base64");
    let mut child = base64
        .arg("--wrap=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run base64: install coreutils")?;
    let mut input = child.stdin.take().context("base64 has no input")?;
    input.write_all(command.as_bytes())?;
    drop(input);
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

/// Returns a line of the demonstration as shown, or `None` if it is only for the harness.
fn shown(line: &str) -> Option<String> {
    if ["TIMENS-", "TAP version ", "1.."].iter().any(|start| line.starts_with(start)) {
        return None;
    }
    let verdict = |rest: &str, word| {
        let (_, text) = rest.split_once(" - ").unwrap_or(("", rest));
        format!("  {word}  {text}")
    };
    Some(match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
        (Some(rest), _) => verdict(rest, "PASS"),
        (_, Some(rest)) => verdict(rest, "FAIL"),
        _ => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_shown_and_markers_hidden() {
        assert_eq!(shown("ok 3 - it works").unwrap(), "  PASS  it works");
        assert_eq!(shown("not ok 4 - it fails").unwrap(), "  FAIL  it fails");
        assert_eq!(shown("TIMENS-GUEST-END 0"), None);
        assert_eq!(shown("okay").unwrap(), "okay");
    }

    #[test]
    fn commands_are_encoded() {
        assert_eq!(base64("echo 'a  b'").unwrap(), "ZWNobyAnYSAgYic=");
    }
}
