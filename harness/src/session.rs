// SPDX-License-Identifier: GPL-2.0

//! The guests that a person looks at: the demonstration and the shell.

use crate::{
    guest::{self, Guest, Machine},
    initramfs,
    kbuild::{self, Kind},
    ktap,
    report::Status,
    steps::Steps,
    test::KUNIT_OFF,
    Context,
};
use anyhow::Result;
use std::{path::PathBuf, time::Duration};

/// The kernel, the selftests, the archive and the guest.
const STEPS: usize = kbuild::BUILD_STEPS + 3;

/// Builds a kernel and what its guest runs, and gives the archive.
fn prepare(context: &Context, steps: &mut Steps, kind: Kind) -> Result<PathBuf> {
    kbuild::build(context, steps, kind)?;
    steps.run("build the selftests", |step| {
        kbuild::selftests(context, step)
    })?;
    steps.run("pack the guest", |step| {
        initramfs::pack(context, step, kind)
    })
}

/// Shows a container-like session in a time namespace, and its checks as a table.
pub fn demo(context: &Context) -> Result<bool> {
    let mut steps = context.steps(STEPS)?;
    let kind = Kind::Rust;
    let initrd = prepare(context, &mut steps, kind)?;
    let transcript = steps.run("boot the guest and show a session", |step| {
        let guest = Guest {
            name: "demo".to_owned(),
            kind,
            initrd: &initrd,
            job: "demo",
            arguments: vec![KUNIT_OFF.to_owned()],
            limit: Duration::from_secs(300),
            busy_host: false,
            share: None,
            machine: Machine::Fast,
        };
        guest::run(context, step, &guest, |line| {
            if let Some(line) = shown(line) {
                step.print(&line);
            }
        })
    })?;
    let results = ktap::results(context, &transcript.output)?;
    println!();
    for result in &results {
        let verdict = match result.status {
            Status::Passed => "PASS",
            Status::Failed => "FAIL",
            Status::Skipped => "SKIP",
        };
        // One without a name is the parser's complaint.
        let text = match result.name.as_str() {
            "" => &result.reason,
            name => name,
        };
        println!("{verdict}  {text}");
    }
    for problem in &transcript.problems {
        println!("FAIL  {problem}");
    }
    // Nothing of the demonstration may be missing, so a skip is no success either.
    let good = results.iter().all(|result| result.status == Status::Passed);
    Ok(good && transcript.problems.is_empty())
}

/// How a line of the demonstration is shown: without what only machines read.
fn shown(line: &str) -> Option<String> {
    if ["TIMENS-", "TAP version ", "1.."]
        .iter()
        .any(|start| line.starts_with(start))
    {
        return None;
    }
    let verdict = |rest: &str, word| {
        let (_, text) = rest.split_once(" - ").unwrap_or(("", rest));
        format!("  {word}  {text}")
    };
    Some(
        match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => verdict(rest, "PASS"),
            (_, Some(rest)) => verdict(rest, "FAIL"),
            _ => line.to_owned(),
        },
    )
}

/// Opens a shell in a guest.
pub fn shell(context: &Context, kind: Kind) -> Result<bool> {
    let mut steps = context.steps(STEPS)?;
    let lock = context.lock()?;
    let initrd = prepare(context, &mut steps, kind)?;
    drop(lock);
    steps.run("boot the guest", |step| {
        let guest = Guest {
            name: "shell".to_owned(),
            kind,
            initrd: &initrd,
            job: "shell",
            arguments: vec![KUNIT_OFF.to_owned()],
            limit: Duration::MAX,
            busy_host: false,
            share: None,
            machine: Machine::Fast,
        };
        guest::shell(context, step, &guest)
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_verdicts_and_hides_markers() {
        assert_eq!(shown("ok 3 - it works").unwrap(), "  PASS  it works");
        assert_eq!(shown("not ok 4 - it fails").unwrap(), "  FAIL  it fails");
        assert_eq!(shown("TIMENS-GUEST-END 0"), None);
        assert_eq!(shown("okay").unwrap(), "okay");
    }
}
