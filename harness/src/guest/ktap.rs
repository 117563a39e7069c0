// SPDX-License-Identifier: GPL-2.0

//! Parses the output of a guest into results, with the kernel's KTAP parser.

use super::lists::{List, Program};
use crate::{
    context::Context,
    session::{Check, Column, Outcome, Status, Unsteady},
};
use anyhow::{bail, Context as _, Result};
use serde::Deserialize;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

/// The error of a text without results.
const NO_RESULTS: &str = "no KTAP results";

/// The results and errors of one text.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Parsed {
    pub results: Vec<Outcome>,
    pub errors: Vec<String>,
}

/// Parses KTAP texts with one run of the parser.
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
    // The script reads all input before it writes. If it ends early, its status is the error.
    let written = pipe.write_all(&input);
    drop(pipe);
    let output = python.wait_with_output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let why = errors.lines().last().unwrap_or_default();
        bail!("the kernel's KTAP parser failed: {why}");
    }
    written?;
    serde_json::from_slice(&output.stdout).context("the KTAP parser printed no JSON")
}

/// The output of one run of a program.
#[derive(Debug, PartialEq)]
pub struct Run<'a> {
    pub text: &'a str,
    /// `None` if it did not end.
    exit: Option<i32>,
    seconds: f64,
}

/// Adds a version line and moves the plan to the start, as the kernel's parser needs them.
pub fn plan_first(tap: &str) -> String {
    let (plan, rest): (Vec<_>, Vec<_>) = tap.lines().partition(|line| line.starts_with("1.."));
    let lines = [vec!["TAP version 13"], plan, rest].concat();
    lines.join("\n")
}

/// Returns the runs of a program in the output of a guest.
pub fn runs<'a>(mut output: &'a str, path: &str) -> Vec<Run<'a>> {
    let mut runs = vec![];
    while let Some((run, rest)) = next_run(output, path) {
        runs.push(run);
        output = rest;
    }
    runs
}

fn next_run<'a>(output: &'a str, path: &str) -> Option<(Run<'a>, &'a str)> {
    let begin = format!("TIMENS-BEGIN {path} ");
    let start = output
        .match_indices(&begin)
        .map(|(at, _)| at)
        .find(|&at| at == 0 || output[..at].ends_with('\n'))?;
    let (first, rest) = output[start + begin.len()..].split_once('\n')?;
    let end = format!("\nTIMENS-END {path} ");
    let Some((text, tail)) = rest.split_once(&end) else {
        let run = Run { text: rest, exit: None, seconds: 0.0 };
        return Some((run, ""));
    };
    let mut words = tail.lines().next()?.split(' ');
    let exit = words.next().and_then(|word| word.parse().ok());
    let time = |word: &str| word.trim().parse::<f64>().ok();
    let times = words.next().and_then(time).zip(time(first));
    let run = Run { text, exit, seconds: times.map_or(0.0, |(end, begin)| end - begin) };
    Some((run, tail))
}

/// Returns the checks of a guest that ran the programs of `list`. `note` is the kernel's.
pub fn programs(
    context: &Context,
    list: &List,
    note: &str,
    column: Column,
    output: &str,
) -> Result<Vec<Check>> {
    let output = output.replace('\r', "");
    let runs: Vec<_> = list.programs().map(|program| runs(&output, &program.name())).collect();
    let texts: Vec<_> = runs
        .iter()
        .flatten()
        .map(|run| match run.text.contains("TAP version ") {
            true => results_on_own_lines(run.text),
            false => plan_first(run.text).into(),
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(AsRef::as_ref).collect();
    let mut parsed = parse(context, &texts)?.into_iter();
    let mut checks = vec![];
    for (program, runs) in list.programs().zip(runs) {
        let seconds = runs.iter().map(|run| run.seconds).sum();
        let tries: Vec<_> = runs
            .into_iter()
            .zip(&mut parsed)
            .map(|(run, parsed)| match program.ktap {
                true => set_unjudged_aside(program, judge(run, parsed)),
                false => vec![by_exit_status(&run)],
            })
            .collect();
        let (results, unsteady) = over_all_tries(tries);
        checks.push(Check {
            seconds,
            unsteady,
            ..Check::new(format!("{}{}{note}", program.name(), list.note), column, results)
        });
    }
    Ok(checks)
}

/// Starts a line for each result. timers/posix_timers prints the reason of a failure in front of
/// it.
fn results_on_own_lines(tap: &str) -> Cow<'_, str> {
    match tap.contains("..not ok ") {
        true => tap.replace("..not ok ", "..\nnot ok ").into(),
        false => tap.into(),
    }
}

/// Returns the result of a program that does not print KTAP.
fn by_exit_status(run: &Run) -> Outcome {
    let (status, reason) = match run.exit {
        Some(0) => (Status::Passed, String::new()),
        Some(4) => (Status::Skipped, last_line(run.text).to_owned()),
        exit => (Status::Failed, failed_exit(exit, run.text)),
    };
    Outcome::new("", status, reason)
}

fn failed_exit(exit: Option<i32>, text: &str) -> String {
    match exit {
        Some(127) => "was not built".to_owned(),
        Some(137) => "hung and was killed".to_owned(),
        Some(code) => format!("exit status {code}: {}", last_line(text)),
        None => "never ended".to_owned(),
    }
}

/// The name of the result that sums up the tests of a program that are not judged.
pub const NOT_JUDGED: &str = "(not judged)";

/// Replaces the tests that are not judged by one skipped result.
fn set_unjudged_aside(program: &Program, results: Vec<Outcome>) -> Vec<Outcome> {
    let (mut kept, mut cannot_run, mut unjudged) = (vec![], 0, vec![]);
    for mut result in results {
        // ksft_test_result_skip() prints the name instead of the reason.
        if result.name.is_empty() && result.status == Status::Skipped {
            result.name.clone_from(&result.reason);
        }
        let is_skipped = result.status == Status::Skipped;
        if is_skipped && program.cannot_run.iter().any(|name| result.name.starts_with(name)) {
            cannot_run += 1;
        } else if program.unjudged.contains(&&*result.name) {
            unjudged.push(result.status);
        } else {
            kept.push(result);
        }
    }
    if cannot_run + unjudged.len() > 0 {
        let failed = unjudged.iter().filter(|status| **status == Status::Failed).count();
        let reason = format!(
            "{cannot_run} tests cannot run on any kernel, {} depend on the load of the host, of which \
             {failed} failed",
            unjudged.len()
        );
        kept.push(Outcome::new(NOT_JUDGED, Status::Skipped, reason));
    }
    kept
}

/// Judges each test over all tries of its program. Also returns the tests that did not pass every
/// time.
///
/// A test passes if it passed once. It fails if it failed every time that it ran. It is skipped if
/// it never ran.
fn over_all_tries(tries: Vec<Vec<Outcome>>) -> (Vec<Outcome>, Vec<Unsteady>) {
    if tries.is_empty() {
        return (vec![Outcome::failure("did not run")], vec![]);
    }
    let count = tries.len() as u32;
    let many = count > 1;
    let mut names: Vec<String> = vec![];
    let mut tests = BTreeMap::<String, Vec<Outcome>>::new();
    for outcome in tries.into_iter().flatten() {
        if !tests.contains_key(&outcome.name) {
            names.push(outcome.name.clone());
        }
        tests.entry(outcome.name.clone()).or_default().push(outcome);
    }
    let (mut results, mut unsteady) = (vec![], vec![]);
    for name in names {
        let outcomes = tests.remove(&name).unwrap_or_default();
        if !many {
            // Several results may have one name.
            results.extend(outcomes);
            continue;
        }
        let of = |status| outcomes.iter().filter(|o| o.status == status).count() as u32;
        let last = |status| outcomes.iter().rfind(|outcome| outcome.status == status);
        let [mut passed, failed, skipped] =
            [Status::Passed, Status::Failed, Status::Skipped].map(of);
        let bad = last(Status::Failed).or(last(Status::Skipped));
        if name.is_empty() {
            // An error of the program. A good try has none.
            passed = count.saturating_sub(failed + skipped);
        }
        match last(Status::Passed).or(bad) {
            Some(best) if passed == 0 || best.status == Status::Passed => {
                results.push(best.clone());
            }
            _ => {}
        }
        if let Some(bad) = bad {
            unsteady.push(Unsteady { name, passed, failed, skipped, reason: bad.reason.clone() });
        }
    }
    (results, unsteady)
}

/// Returns the results of several checks as those of one.
pub fn flatten(checks: Vec<Check>) -> Vec<Outcome> {
    let mut outcomes = vec![];
    for check in checks {
        for result in check.results {
            let name = format!("{} {}", check.name, result.name);
            outcomes.push(Outcome::new(name.trim(), result.status, result.reason));
        }
    }
    outcomes
}

/// Returns the results of one run, and a failure if the exit status disagrees with them.
fn judge(run: Run, parsed: Parsed) -> Vec<Outcome> {
    let failure = |reason: String| Outcome::failure(reason);
    let mut results = parsed.results;
    match run.exit {
        Some(0) => results.extend(parsed.errors.into_iter().map(failure)),
        // kselftest's exit status for "skipped": the rest of the plan does not count.
        Some(4) => {
            results.retain(|result| !result.name.is_empty() && result.status != Status::Skipped);
            let reason = run.text.lines().rev().find_map(|line| line.split_once("SKIP"));
            let reason = reason.map_or("no reason given", |(_, reason)| reason.trim());
            results.push(Outcome::new("", Status::Skipped, reason));
        }
        // Failed results explain the status, unless there are none.
        Some(code) if ![127, 137].contains(&code) => {
            if !results.iter().any(|result| result.status == Status::Failed) {
                results.push(failure(failed_exit(run.exit, run.text)));
            }
        }
        exit => results.push(failure(failed_exit(exit, run.text))),
    }
    if results.is_empty() {
        results.push(failure(format!("{NO_RESULTS}: {}", last_line(run.text))));
    }
    results
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no output")
}

/// Returns the results of a KTAP text. A text without results is a failure.
pub fn results(context: &Context, text: &str) -> Result<Vec<Outcome>> {
    let parsed = parse(context, &[text])?.pop().unwrap_or_default();
    let mut results = parsed.results;
    let failure = |reason: String| Outcome::failure(reason);
    results.extend(parsed.errors.into_iter().map(failure));
    if results.is_empty() {
        results.push(failure(NO_RESULTS.to_owned()));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::{super::lists::CLOCK_TESTS, *};

    const OUTPUT: &str = "TIMENS-GUEST-BOOT\nTIMENS-BEGIN a/b 1.50\nok 1 x\n\n\
                          TIMENS-END a/b 0 4.00\nTIMENS-BEGIN a/c 4.00\n\n\
                          TIMENS-END a/c 1 5.00\nTIMENS-BEGIN a/c 5.00\nstuck\n";

    fn run_of(exit: i32, text: &str) -> Run<'_> {
        Run { text, exit: Some(exit), seconds: 0.0 }
    }

    fn passed() -> Parsed {
        Parsed { results: vec![Outcome::new("x", Status::Passed, "")], errors: vec![] }
    }

    #[test]
    fn a_test_is_judged_over_all_tries() {
        use Status::{Failed, Passed, Skipped};
        let outcome = |name: &str, status| Outcome::new(name, status, "why");
        let a_try = |a, b, c| vec![outcome("a", a), outcome("b", b), outcome("c", c)];
        let (results, unsteady) = over_all_tries(vec![
            a_try(Failed, Passed, Skipped),
            a_try(Failed, Failed, Skipped),
            a_try(Skipped, Skipped, Skipped),
        ]);
        let status: Vec<_> = results.iter().map(|result| result.status).collect();
        assert_eq!(status, [Failed, Passed, Skipped]);
        let counts: Vec<_> = unsteady
            .iter()
            .map(|test| (&*test.name, test.passed, test.failed, test.skipped))
            .collect();
        assert_eq!(counts, [("a", 0, 2, 1), ("b", 1, 1, 1), ("c", 0, 0, 3)]);
        // An error of the program. The second try has none.
        let good = vec![outcome("a", Passed)];
        let hung = vec![outcome("", Failed)];
        let (results, unsteady) = over_all_tries(vec![hung.clone(), good]);
        assert_eq!((results[0].status, results.len()), (Passed, 1));
        assert_eq!((unsteady[0].passed, unsteady[0].failed), (1, 1));
        assert_eq!(over_all_tries(vec![hung.clone(), hung]).0[0].status, Failed);
        // One try is not judged.
        let (results, unsteady) = over_all_tries(vec![a_try(Failed, Passed, Skipped)]);
        assert_eq!((results.len(), unsteady.len()), (3, 0));
        assert_eq!(over_all_tries(vec![]).0[0].reason, "did not run");
    }

    #[test]
    fn a_result_after_other_text_is_found() {
        let text =
            results_on_own_lines("Diff too high: 2543600570 ns..not ok 3 ITIMER_PROF\nok 4 x\n");
        assert_eq!(text.lines().nth(1), Some("not ok 3 ITIMER_PROF"));
    }

    #[test]
    fn the_exit_status_is_the_result_without_ktap() {
        let status = |exit| by_exit_status(&run_of(exit, "why\n")).status;
        assert_eq!([0, 4].map(status), [Status::Passed, Status::Skipped]);
        assert_eq!([1, 127, 134, 137].map(status), [Status::Failed; 4]);
        let outcome = by_exit_status(&run_of(134, "read: assertion failed\n\n"));
        assert_eq!(outcome.reason, "exit status 134: read: assertion failed");
    }

    #[test]
    fn tests_that_are_not_judged_are_one_skipped_result() {
        let abi =
            CLOCK_TESTS.programs().find(|program| program.path == "vDSO/vdso_test_abi").unwrap();
        let program = Program { unjudged: &["ITIMER_PROF"], ..*abi };
        let outcomes = vec![
            Outcome::new("", Status::Skipped, "__vdso_clock_gettime64 CLOCK_TAI"),
            Outcome::new("__vdso_clock_gettime64 CLOCK_TAI", Status::Failed, ""),
            Outcome::new("ITIMER_PROF", Status::Failed, ""),
            Outcome::new("ITIMER_PROF of another", Status::Failed, ""),
            Outcome::new("", Status::Skipped, "not root"),
        ];
        let judged = set_unjudged_aside(&program, outcomes);
        let names: Vec<_> = judged.iter().map(|result| &*result.name).collect();
        let failed = "__vdso_clock_gettime64 CLOCK_TAI";
        assert_eq!(names, [failed, "ITIMER_PROF of another", "not root", NOT_JUDGED]);
        assert!(judged[3].reason.starts_with("1 tests cannot run on any kernel, 1 depend"));
    }

    #[test]
    fn the_plan_comes_first() {
        let text = plan_first("ok 1 - a\nok 2 - b\n1..2\n");
        assert_eq!(text, "TAP version 13\n1..2\nok 1 - a\nok 2 - b");
    }

    #[test]
    fn all_runs_of_a_program_are_found() {
        let found = &runs(OUTPUT, "a/b")[..];
        assert!(matches!(found, [Run { text: "ok 1 x\n", exit: Some(0), seconds: 2.5 }]));
        let exits: Vec<_> = runs(OUTPUT, "a/c").iter().map(|run| run.exit).collect();
        assert_eq!(exits, [Some(1), None]);
        assert!(runs(OUTPUT, "a").is_empty());
    }

    #[test]
    fn the_exit_status_counts_beside_the_results() {
        let statuses =
            |run, parsed| -> Vec<_> { judge(run, parsed).into_iter().map(|r| r.status).collect() };
        use Status::{Failed, Passed, Skipped};
        assert_eq!(statuses(run_of(0, ""), passed()), [Passed]);
        assert_eq!(statuses(run_of(0, ""), Parsed::default()), [Failed]);
        assert_eq!(statuses(run_of(1, ""), passed()), [Passed, Failed]);
        assert_eq!(statuses(run_of(4, "1..0 # SKIP why"), Parsed::default()), [Skipped]);
        let mut incomplete = passed();
        incomplete.errors.push("missing expected subtest!".to_owned());
        assert_eq!(statuses(run_of(0, ""), incomplete), [Passed, Failed]);
    }

    #[test]
    fn a_skip_keeps_its_reason() {
        let results = judge(run_of(4, "1..0 # SKIP not root\n"), Parsed::default());
        assert_eq!(results[0].reason, "not root");
    }
}
