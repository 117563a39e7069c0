// SPDX-License-Identifier: GPL-2.0

//! The results of a command's checks, and the table that the command ends with.

use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passed,
    Failed,
    Skipped,
}

/// The result of one test of a check.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Outcome {
    /// Empty if the check has only one result.
    pub name: String,
    pub status: Status,
    pub reason: String,
}

impl Outcome {
    pub fn new(name: &str, status: Status, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status, reason: reason.into() }
    }

    /// Creates a failure of a check that has only one result.
    pub fn failure(reason: impl Into<String>) -> Self {
        Self::new("", Status::Failed, reason)
    }
}

/// Returns the one result of a check that passed.
pub fn passed() -> Vec<Outcome> {
    vec![Outcome::new("", Status::Passed, "")]
}

/// Returns the one result of a check that failed.
pub fn failed(reason: impl Into<String>) -> Vec<Outcome> {
    vec![Outcome::failure(reason)]
}

/// Returns the one result of a check that cannot run.
pub fn skipped(reason: impl Into<String>) -> Vec<Outcome> {
    vec![Outcome::new("", Status::Skipped, reason)]
}

/// Returns a failure for each reason, or a pass if there is none.
pub fn unless(reasons: impl IntoIterator<Item = String>) -> Vec<Outcome> {
    let failures: Vec<_> = reasons.into_iter().map(Outcome::failure).collect();
    match failures.is_empty() {
        true => passed(),
        false => failures,
    }
}

/// The column of a check in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Runs on the host.
    Host,
    /// Runs on a kernel with time namespaces in C.
    C,
    /// Runs on a kernel with time namespaces in Rust.
    Rust,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::C => "C",
            Self::Rust => "Rust",
        })
    }
}

/// The tries of a test that did not pass every time.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsteady {
    pub name: String,
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
    /// The reason of the last try that did not pass.
    pub reason: String,
}

/// The results in one row and column of the table.
#[derive(Debug)]
pub struct Check {
    pub name: String,
    pub column: Column,
    pub seconds: f64,
    pub results: Vec<Outcome>,
    /// Tests that ran again. They are listed, but not counted.
    pub unsteady: Vec<Unsteady>,
}

impl Check {
    pub fn new(name: impl Into<String>, column: Column, results: Vec<Outcome>) -> Self {
        Self { name: name.into(), column, seconds: 0.0, results, unsteady: vec![] }
    }

    /// Describes a result by its full name and its reason.
    pub fn describe(&self, result: &Outcome) -> String {
        let reason = match result.reason.as_str() {
            "" => "no reason given",
            reason => reason,
        };
        format!("{}: {reason}", self.full_name(&result.name))
    }

    pub fn failures(&self) -> impl Iterator<Item = String> + '_ {
        let failed = self.results.iter();
        let failed = failed.filter(|result| result.status == Status::Failed);
        failed.map(|result| self.describe(result))
    }

    fn full_name(&self, result: &str) -> String {
        let separator = if result.is_empty() { "" } else { " " };
        format!("{}{separator}{result}", self.name)
    }
}

/// The numbers of results by status.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    fn add(&mut self, results: &[Outcome]) {
        for result in results {
            match result.status {
                Status::Passed => self.passed += 1,
                Status::Failed => self.failed += 1,
                Status::Skipped => self.skipped += 1,
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// All checks, in the order in which they ran.
#[derive(Default)]
pub struct Report(Vec<Check>);

impl Report {
    pub fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.0.iter().for_each(|check| counts.add(&check.results));
        counts
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<&str> = vec![];
        let mut cells: BTreeMap<(&str, Column), (Counts, f64)> = BTreeMap::new();
        for check in &self.0 {
            if !rows.contains(&check.name.as_str()) {
                rows.push(&check.name);
            }
            let cell = cells.entry((&check.name, check.column)).or_default();
            cell.0.add(&check.results);
            cell.1 += check.seconds;
        }
        let columns = [Column::Host, Column::C, Column::Rust];
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "passed/failed/skipped, time")?;
        for column in columns {
            write!(f, "  {column:>18}")?;
        }
        writeln!(f)?;
        for row in rows {
            let mut line = format!("{row:width$}");
            for column in columns {
                let cell = cells.get(&(row, column)).map_or(String::new(), |(counts, time)| {
                    let Counts { passed, failed, skipped } = counts;
                    format!("{passed}/{failed}/{skipped} {time:7.1} s")
                });
                line += &format!("  {cell:>18}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f)?;
        for (status, word) in [(Status::Failed, "FAILED"), (Status::Skipped, "skipped")] {
            for check in &self.0 {
                for result in check.results.iter().filter(|result| result.status == status) {
                    writeln!(f, "{word:8} {:5} {}", check.column, check.describe(result))?;
                }
            }
        }
        for check in &self.0 {
            for test in &check.unsteady {
                writeln!(
                    f,
                    "unsteady {:5} {}: {} passed, {} failed, {} skipped: {}",
                    check.column,
                    check.full_name(&test.name),
                    test.passed,
                    test.failed,
                    test.skipped,
                    test.reason
                )?;
            }
        }
        write!(f, "{}", self.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_every_reason_and_ends_with_the_counts() {
        let mut report = Report::default();
        report.add(Check {
            seconds: 1.0,
            ..Check::new(
                "a",
                Column::C,
                vec![
                    Outcome::new("x", Status::Passed, ""),
                    Outcome::new("y", Status::Skipped, "no such clock"),
                ],
            )
        });
        report.add(Check {
            seconds: 2.0,
            unsteady: vec![Unsteady {
                name: "z".to_owned(),
                passed: 1,
                failed: 2,
                skipped: 0,
                reason: "late".to_owned(),
            }],
            ..Check::new("a", Column::Rust, failed("broken"))
        });
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("1/0/1     1.0 s") && lines[1].contains("0/1/0     2.0 s"));
        assert!(lines.contains(&"FAILED   Rust  a: broken"), "{text}");
        assert!(lines.contains(&"skipped  C     a y: no such clock"), "{text}");
        let unsteady = "unsteady Rust  a z: 1 passed, 2 failed, 0 skipped: late";
        assert!(lines.contains(&unsteady), "{text}");
        assert_eq!(lines.last(), Some(&"1 passed, 1 failed, 1 skipped"));
    }
}
