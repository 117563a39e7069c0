// SPDX-License-Identifier: GPL-2.0

//! The report: the lines that the series adds, those that ran, and a reason for each that did not.

use super::profile::LineCounts;
use crate::{
    context::Context,
    kernel::diff::Added,
    session::{Check, Column, Outcome, Status},
};
use anyhow::{ensure, Context as _, Result};
use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

const MIN_PERCENT: f64 = 95.0;

/// The files whose added lines are not in the profile, and the reason.
const NOT_IN_PROFILE: [(&str, &str); 5] = [
    ("kernel/time/namespace_rs/no_vdso.rs", "the form for a kernel without a vDSO"),
    ("rust/kernel/error.rs", "an attribute"),
    ("rust/kernel/lib.rs", "modules"),
    ("rust/kernel/sync.rs", "a module and its exports"),
    ("rust/kernel/time.rs", "a module"),
];

const REASONS: &str = include_str!("../../../coverage/reasons");

/// The lines of one file in the profile.
struct Row {
    file: String,
    lines: usize,
    covered: usize,
}

impl Row {
    /// Returns the reason that its lines are not in the profile.
    fn reason(&self) -> Option<&'static str> {
        let reasons = NOT_IN_PROFILE.iter();
        let (_, reason) = reasons.copied().find(|(file, _)| *file == self.file)?;
        Some(reason)
    }
}

/// A line that does not run, and the reason.
struct Missed {
    place: String,
    text: String,
    reason: Option<&'static str>,
}

pub struct CoveredLines {
    rows: Vec<Row>,
    missed: Vec<Missed>,
    /// Lines that have a reason but run.
    unused: Vec<String>,
    /// Items that are not compiled in any kernel.
    left_out: Vec<String>,
}

impl CoveredLines {
    pub fn new(
        context: &Context,
        counted: &LineCounts,
        added: &Added,
        configs: &[String],
    ) -> Result<Self> {
        let mut reasons = reasons(REASONS);
        let mut covered = Self { rows: vec![], missed: vec![], unused: vec![], left_out: vec![] };
        for (file, ranges) in added {
            let path = context.tree.join(file);
            let source = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let source: Vec<_> = source.lines().collect();
            // Tests are at the end of a file, and not covered.
            let end = source.iter().position(|line| line.starts_with("#[kunit_tests("));
            let end = end.unwrap_or(source.len());
            let added =
                |number: usize| number <= end && ranges.iter().any(|lines| lines.contains(&number));
            let counts = counted.iter().find(|(name, _)| Path::new(name).ends_with(file));
            let counts = counts.map(|(_, counts)| counts);
            let counted = counts.into_iter().flatten();
            let counted = counted.filter(|&(&number, _)| added(number));
            let mut row = Row { file: file.clone(), lines: 0, covered: 0 };
            for (&number, &count) in counted {
                row.lines += 1;
                row.covered += usize::from(count > 0);
                if count == 0 {
                    let text = source.get(number - 1).copied().unwrap_or_default().trim();
                    // Each reason is for one line.
                    let mut known = reasons.iter();
                    let known = known.position(|reason| reason.file == file && reason.line == text);
                    covered.missed.push(Missed {
                        place: format!("{file}:{number}"),
                        text: text.to_owned(),
                        reason: known.map(|index| reasons.remove(index).reason),
                    });
                }
            }
            covered.rows.push(row);
            let left_out = left_out(&source, configs).into_iter();
            let left_out = left_out.filter(|&(number, _)| added(number));
            covered
                .left_out
                .extend(left_out.map(|(number, item)| format!("{file}:{number}: {item}")));
        }
        let unused = reasons.iter();
        covered.unused = unused.map(|reason| format!("{}: {}", reason.file, reason.line)).collect();
        ensure!(
            covered.rows.iter().any(|row| row.lines > 0),
            "llvm-cov knows no line of the series"
        );
        Ok(covered)
    }

    fn percent(&self) -> f64 {
        let lines: usize = self.rows.iter().map(|row| row.lines).sum();
        let covered: usize = self.rows.iter().map(|row| row.covered).sum();
        covered as f64 * 100.0 / lines as f64
    }

    /// Checks that enough lines run, and that each other line has a reason.
    pub fn check(&self) -> Check {
        let mut results = vec![];
        let mut judge = |name: &str, good: bool, reason: String| {
            let status = match good {
                true => Status::Passed,
                false => Status::Failed,
            };
            results.push(Outcome::new(name, status, reason));
        };
        let percent = self.percent();
        let reason = format!("{percent:.1} % of the lines run, {MIN_PERCENT} % must");
        judge("lines that run", percent >= MIN_PERCENT, reason);
        for missed in self.missed.iter().filter(|missed| missed.reason.is_none()) {
            judge(&missed.place, false, format!("no test runs it: {}", missed.text));
        }
        for line in &self.unused {
            judge(line, false, "it runs or was removed, but still has a reason".to_owned());
        }
        for row in &self.rows {
            let known = row.lines > 0 || row.reason().is_some();
            judge(&row.file, known, "the profile has no line of it".to_owned());
        }
        Check::new("coverage", Column::Rust, results)
    }
}

/// Finds items, except imports, that no configuration compiles. Returns their line numbers and
/// texts.
fn left_out(source: &[&str], configs: &[String]) -> Vec<(usize, String)> {
    let set = |config: &String, option| config.lines().any(|line| line == format!("{option}=y"));
    let mut found = vec![];
    for (index, pair) in source.windows(2).enumerate() {
        let (line, next) = (pair[0].trim(), pair[1].trim());
        let condition = line.strip_prefix("#[cfg(").and_then(|rest| rest.strip_suffix(")]"));
        let Some(condition) = condition else {
            continue;
        };
        let negated = condition.strip_prefix("not(").and_then(|rest| rest.strip_suffix(')'));
        let compiled = configs.iter().any(|config| match negated {
            Some(option) => !set(config, option),
            None => set(config, condition),
        });
        if !compiled && !next.starts_with("use ") {
            found.push((index + 1, format!("{line} {next}")));
        }
    }
    found
}

/// The reason for one line.
#[derive(Debug, PartialEq)]
struct Reason<'a> {
    file: &'a str,
    line: &'a str,
    reason: &'a str,
}

/// Parses reasons: files, lines and reasons, each indented deeper.
fn reasons(text: &str) -> Vec<Reason<'_>> {
    let (mut file, mut line) = ("", "");
    let mut all = vec![];
    for text in text.lines().filter(|line| !line.starts_with('#')) {
        match text.strip_prefix('\t') {
            None => file = text,
            Some(rest) => match rest.strip_prefix('\t') {
                None => line = rest,
                Some(reason) => all.push(Reason { file, line, reason }),
            },
        }
    }
    all
}

impl fmt::Display for CoveredLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.file.len()).max().unwrap_or(0);
        let mut table = String::new();
        let (mut lines, mut covered) = (0, 0);
        writeln!(table, "{:width$}  lines  covered       %", "")?;
        for row in &self.rows {
            if row.lines == 0 {
                let reason = row.reason().unwrap_or("NO REASON GIVEN");
                writeln!(table, "{:width$}  not in the profile: {reason}", row.file)?;
                continue;
            }
            lines += row.lines;
            covered += row.covered;
            let percent = row.covered as f64 * 100.0 / row.lines as f64;
            writeln!(
                table,
                "{:width$}  {:5}  {:7}  {percent:6.1}",
                row.file, row.lines, row.covered
            )?;
        }
        let percent = self.percent();
        writeln!(table, "{:width$}  {lines:5}  {covered:7}  {percent:6.1}", "all")?;
        writeln!(table, "\nlines that no test runs:")?;
        for Missed { place, text, reason } in &self.missed {
            let reason = reason.unwrap_or("NO REASON GIVEN");
            writeln!(table, "{place}: {text}\n    {reason}")?;
        }
        for line in &self.unused {
            writeln!(table, "{line}\n    NEEDS NO REASON, but has one")?;
        }
        writeln!(table, "\nnot compiled in these configurations:")?;
        for item in &self.left_out {
            writeln!(table, "{item}")?;
        }
        f.write_str(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_in_the_profile_needs_a_reason() {
        let row = |file: &str, lines| Row { file: file.to_owned(), lines, covered: lines };
        let covered =
            |rows| CoveredLines { rows, missed: vec![], unused: vec![], left_out: vec![] };
        let excused = covered(vec![row("a.rs", 5), row("rust/kernel/time.rs", 0)]);
        assert!(excused.check().failures().next().is_none());
        assert!(excused.to_string().contains("not in the profile: a module"));
        let lacking = covered(vec![row("a.rs", 5), row("b.rs", 0)]);
        assert_eq!(lacking.check().failures().count(), 1);
        assert!(lacking.to_string().contains("not in the profile: NO REASON"));
    }

    #[test]
    fn reasons_are_parsed() {
        let reason = |file, line, reason| Reason { file, line, reason };
        assert_eq!(
            reasons("# x\na.rs\n\t}\n\t\tnone\n\t}\n\t\tsome\nb.rs\n\tx()\n\t\tnone\n"),
            [
                reason("a.rs", "}", "none"),
                reason("a.rs", "}", "some"),
                reason("b.rs", "x()", "none"),
            ]
        );
    }

    #[test]
    fn items_that_are_not_compiled_are_found() {
        let source = [
            "#[cfg(CONFIG_A)]",
            "fn a() {}",
            "    #[cfg(not(CONFIG_A))]",
            "    fn not_a() {}",
            "#[cfg(CONFIG_B)]",
            "use b::b;",
        ];
        assert_eq!(
            left_out(&source, &["CONFIG_A=y\n".to_owned()]),
            [(3, "#[cfg(not(CONFIG_A))] fn not_a() {}".to_owned())]
        );
        let both = ["CONFIG_A=y\n".to_owned(), String::new()];
        assert!(left_out(&source, &both).is_empty());
    }
}
