// SPDX-License-Identifier: GPL-2.0

//! Turns what a guest printed into results, with the kernel's own KTAP parser.

use crate::{
    programs::List,
    report::{Check, Column, Outcome, Status},
    Context,
};
use anyhow::{bail, Context as _, Result};
use serde::Deserialize;
use std::{
    borrow::Cow,
    io::Write,
    mem,
    process::{Command, Stdio},
};

/// What is wrong with a text that says of no test how it went.
const NO_RESULTS: &str = "no KTAP results";

/// What the parser found in one text.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Parsed {
    pub results: Vec<Outcome>,
    pub complaints: Vec<String>,
}

/// Parses KTAP texts, all with one run of the parser.
pub fn parse(context: &Context, texts: &[&str]) -> Result<Vec<Parsed>> {
    let mut python = Command::new("python3")
        .args(["-B", "-c", include_str!("ktap.py")])
        .env("PYTHONPATH", context.tree.join("tools/testing/kunit"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run python3: run `make setup`")?;
    let input = serde_json::to_vec(texts)?;
    let mut pipe = python.stdin.take().context("python3 has no input")?;
    // The script reads all of its input before it writes; if it ends early, its status tells.
    let written = pipe.write_all(&input);
    drop(pipe);
    let output = python.wait_with_output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let why = errors.lines().last().unwrap_or_default();
        bail!("the kernel's KTAP parser failed: {why}");
    }
    written?;
    serde_json::from_slice(&output.stdout).context("the KTAP parser gave no JSON")
}

/// One program's part of a guest's output.
#[derive(Debug, PartialEq)]
pub struct Frame<'a> {
    pub text: &'a str,
    /// `None` if it never ended.
    exit: Option<i32>,
    seconds: f64,
}

/// TAP allows the plan at the end, the kernel's parser wants a version line and the plan first.
pub fn plan_first(tap: &str) -> String {
    let (plan, rest): (Vec<_>, Vec<_>) = tap.lines().partition(|line| line.starts_with("1.."));
    let lines = [vec!["TAP version 13"], plan, rest].concat();
    lines.join("\n")
}

/// Finds the parts of `output` that the program at `path` wrote, one for each time it ran.
pub fn frames<'a>(mut output: &'a str, path: &str) -> Vec<Frame<'a>> {
    let mut frames = vec![];
    while let Some((frame, rest)) = next_frame(output, path) {
        frames.push(frame);
        output = rest;
    }
    frames
}

fn next_frame<'a>(output: &'a str, path: &str) -> Option<(Frame<'a>, &'a str)> {
    let begin = format!("TIMENS-BEGIN {path} ");
    let start = output
        .match_indices(&begin)
        .map(|(at, _)| at)
        .find(|&at| at == 0 || output[..at].ends_with('\n'))?;
    let (first, rest) = output[start + begin.len()..].split_once('\n')?;
    let end = format!("\nTIMENS-END {path} ");
    let Some((text, tail)) = rest.split_once(&end) else {
        let frame = Frame {
            text: rest,
            exit: None,
            seconds: 0.0,
        };
        return Some((frame, ""));
    };
    let mut words = tail.lines().next()?.split(' ');
    let exit = words.next().and_then(|word| word.parse().ok());
    let time = |word: &str| word.trim().parse::<f64>().ok();
    let times = words.next().and_then(time).zip(time(first));
    let frame = Frame {
        text,
        exit,
        seconds: times.map_or(0.0, |(end, begin)| end - begin),
    };
    Some((frame, tail))
}

/// The checks of a guest that ran the programs of `list`; `note` tells the kernel.
pub fn programs(
    context: &Context,
    list: &List,
    note: &str,
    column: Column,
    output: &str,
) -> Result<Vec<Check>> {
    let output = output.replace('\r', "");
    let runs: Vec<_> = list
        .programs()
        .map(|program| frames(&output, program.path))
        .collect();
    let texts: Vec<_> = runs
        .iter()
        .flatten()
        .map(|frame| match frame.text.contains("TAP version ") {
            true => Cow::Borrowed(frame.text),
            false => plan_first(frame.text).into(),
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(AsRef::as_ref).collect();
    let mut parsed = parse(context, &texts)?.into_iter();
    let mut checks = vec![];
    for (program, frames) in list.programs().zip(runs) {
        let seconds = frames.iter().map(|frame| frame.seconds).sum();
        let tries: Vec<_> = frames
            .into_iter()
            .zip(&mut parsed)
            .map(|(frame, parsed)| judge(frame, parsed))
            .collect();
        let (results, failed_before) = best(tries);
        checks.push(Check {
            name: format!("{}{}{note}", program.path, list.note),
            column,
            seconds,
            results,
            failed_before,
        });
    }
    Ok(checks)
}

/// The results of the last time that a program was run, but that a test which has passed before has
/// passed; and beside them what failed before, or was skipped only then.
fn best(mut tries: Vec<Vec<Outcome>>) -> (Vec<Outcome>, Vec<Outcome>) {
    let mut results = tries
        .pop()
        .unwrap_or_else(|| vec![Outcome::new("", Status::Failed, "did not run")]);
    let (passed, mut failed): (Vec<_>, Vec<_>) = tries
        .concat()
        .into_iter()
        .filter(|result| result.status != Status::Skipped)
        .partition(|result| result.status == Status::Passed);
    for result in &mut results {
        if result.status == Status::Passed {
            continue;
        }
        if let Some(before) = passed.iter().find(|before| before.name == result.name) {
            failed.push(mem::replace(result, before.clone()));
        }
    }
    (results, failed)
}

/// The results of several checks as those of one.
pub fn together(checks: Vec<Check>) -> Vec<Outcome> {
    let mut outcomes = vec![];
    for check in checks {
        for result in check.results {
            let name = format!("{} {}", check.name, result.name);
            outcomes.push(Outcome::new(name.trim(), result.status, result.reason));
        }
    }
    outcomes
}

/// The results of one program: those of its KTAP, and what its exit status says beyond them.
fn judge(frame: Frame, parsed: Parsed) -> Vec<Outcome> {
    let failure = |reason: String| Outcome::new("", Status::Failed, reason);
    let mut results = parsed.results;
    match frame.exit {
        Some(0) => results.extend(parsed.complaints.into_iter().map(failure)),
        // kselftest's exit status for "skipped": what the plan still promised does not count.
        Some(4) => {
            results.retain(|result| !result.name.is_empty() && result.status != Status::Skipped);
            let reason = frame
                .text
                .lines()
                .rev()
                .find_map(|line| line.split_once("SKIP"));
            let reason = reason.map_or("no reason given", |(_, reason)| reason.trim());
            results.push(Outcome::new("", Status::Skipped, reason));
        }
        Some(127) => results.push(failure("was not built".to_owned())),
        Some(137) => results.push(failure("hung and was killed".to_owned())),
        Some(code) => {
            // Its failed results explain the status, unless there are none.
            if !results.iter().any(|result| result.status == Status::Failed) {
                results.push(failure(format!(
                    "exit status {code}: {}",
                    last_line(frame.text)
                )));
            }
        }
        None => results.push(failure("never ended".to_owned())),
    }
    if results.is_empty() {
        results.push(failure(format!("{NO_RESULTS}: {}", last_line(frame.text))));
    }
    results
}

fn last_line(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("no output")
}

/// The results of a text that is nothing but KTAP; none at all is a failure.
pub fn results(context: &Context, text: &str) -> Result<Vec<Outcome>> {
    let parsed = parse(context, &[text])?.pop().unwrap_or_default();
    let mut results = parsed.results;
    let failure = |reason| Outcome::new("", Status::Failed, reason);
    results.extend(parsed.complaints.into_iter().map(failure));
    if results.is_empty() {
        results.push(failure(NO_RESULTS.to_owned()));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "TIMENS-GUEST-BOOT\nTIMENS-BEGIN a/b 1.50\nok 1 x\n\n\
                          TIMENS-END a/b 0 4.00\nTIMENS-BEGIN a/c 4.00\n\n\
                          TIMENS-END a/c 1 5.00\nTIMENS-BEGIN a/c 5.00\nstuck\n";

    fn frame_of(exit: i32, text: &str) -> Frame<'_> {
        Frame {
            text,
            exit: Some(exit),
            seconds: 0.0,
        }
    }

    fn passed() -> Parsed {
        Parsed {
            results: vec![Outcome::new("x", Status::Passed, "")],
            complaints: vec![],
        }
    }

    #[test]
    fn a_test_has_passed_that_has_once() {
        let outcome = |name: &str, status| Outcome::new(name, status, "why");
        let first = vec![outcome("a", Status::Failed), outcome("b", Status::Passed)];
        let second = vec![outcome("a", Status::Failed), outcome("b", Status::Failed)];
        let (results, failed) = best(vec![first.clone(), second.clone()]);
        let status: Vec<_> = results.iter().map(|result| result.status).collect();
        assert_eq!(status, [Status::Failed, Status::Passed]);
        let names: Vec<_> = failed.iter().map(|result| &*result.name).collect();
        assert_eq!(names, ["a", "b"]);
        let third = vec![outcome("a", Status::Skipped), outcome("b", Status::Skipped)];
        let (results, told) = best(vec![second, first, third]);
        let status: Vec<_> = results.iter().map(|result| result.status).collect();
        assert_eq!(status, [Status::Skipped, Status::Passed]);
        assert_eq!(told.last().unwrap().status, Status::Skipped);
        assert_eq!(best(vec![]).0[0].reason, "did not run");
    }

    #[test]
    fn the_plan_comes_first() {
        let text = plan_first("ok 1 - a\nok 2 - b\n1..2\n");
        assert_eq!(text, "TAP version 13\n1..2\nok 1 - a\nok 2 - b");
    }

    #[test]
    fn finds_the_frames_of_a_program() {
        let found = &frames(OUTPUT, "a/b")[..];
        assert!(matches!(
            found,
            [Frame {
                text: "ok 1 x\n",
                exit: Some(0),
                seconds: 2.5
            }]
        ));
        let exits: Vec<_> = frames(OUTPUT, "a/c")
            .iter()
            .map(|frame| frame.exit)
            .collect();
        assert_eq!(exits, [Some(1), None]);
        assert!(frames(OUTPUT, "a").is_empty());
    }

    #[test]
    fn the_exit_status_counts_beside_the_results() {
        let statuses = |frame, parsed| -> Vec<_> {
            judge(frame, parsed).into_iter().map(|r| r.status).collect()
        };
        use Status::{Failed, Passed, Skipped};
        assert_eq!(statuses(frame_of(0, ""), passed()), [Passed]);
        assert_eq!(statuses(frame_of(0, ""), Parsed::default()), [Failed]);
        assert_eq!(statuses(frame_of(1, ""), passed()), [Passed, Failed]);
        assert_eq!(
            statuses(frame_of(4, "1..0 # SKIP why"), Parsed::default()),
            [Skipped]
        );
        let mut incomplete = passed();
        incomplete
            .complaints
            .push("missing expected subtest!".to_owned());
        assert_eq!(statuses(frame_of(0, ""), incomplete), [Passed, Failed]);
    }

    #[test]
    fn a_skip_keeps_its_reason() {
        let results = judge(frame_of(4, "1..0 # SKIP not root\n"), Parsed::default());
        assert_eq!(results[0].reason, "not root");
    }
}
