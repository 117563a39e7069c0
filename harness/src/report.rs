// SPDX-License-Identifier: GPL-2.0

//! The results of all checks and the summary that `make test` ends with.

use crate::Context;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, io, path::Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passed,
    Failed,
    Skipped,
}

/// One result, as small as its test names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Empty if the check has only the one result.
    pub name: String,
    pub status: Status,
    pub reason: String,
}

impl Outcome {
    pub fn new(name: &str, status: Status, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status,
            reason: reason.into(),
        }
    }
}

/// Where a check ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    Host,
    Stock,
    Ours,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Stock => "stock",
            Self::Ours => "ours",
        })
    }
}

/// Keeps what a command found as out/results/NAME.txt.
pub fn keep(context: &Context, name: &str, text: &str) -> Result<()> {
    let dir = context.out.join("results");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{name}.txt"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Forgets what an earlier run of a command has found, which is not to be taken for this one's.
pub fn forget(context: &Context, name: &str) -> Result<()> {
    let path = context.out.join(format!("results/{name}.txt"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// One row's results in one column.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: String,
    pub column: Column,
    pub seconds: f64,
    pub results: Vec<Outcome>,
    /// What failed before it was run again; not counted, but told.
    pub failed_before: Vec<Outcome>,
}

impl Check {
    /// What a result that is not plain success says, with its full name.
    pub fn tell(&self, result: &Outcome) -> String {
        let separator = if result.name.is_empty() { "" } else { " " };
        let reason = match result.reason.as_str() {
            "" => "no reason given",
            reason => reason,
        };
        format!("{}{separator}{}: {reason}", self.name, result.name)
    }
}

/// How many results passed, failed and were skipped.
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
        let Self {
            passed,
            failed,
            skipped,
        } = self;
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

    pub fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(&self.0)?)
            .with_context(|| format!("cannot write {}", path.display()))
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
        let columns = [Column::Host, Column::Stock, Column::Ours];
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "passed/failed/skipped, time")?;
        for column in columns {
            write!(f, "  {column:>18}")?;
        }
        writeln!(f)?;
        for row in rows {
            let mut line = format!("{row:width$}");
            for column in columns {
                let cell = cells
                    .get(&(row, column))
                    .map_or(String::new(), |(counts, time)| {
                        let Counts {
                            passed,
                            failed,
                            skipped,
                        } = counts;
                        format!("{passed}/{failed}/{skipped} {time:7.1} s")
                    });
                line += &format!("  {cell:>18}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f)?;
        for (status, word) in [(Status::Failed, "FAILED"), (Status::Skipped, "skipped")] {
            for check in &self.0 {
                for result in check
                    .results
                    .iter()
                    .filter(|result| result.status == status)
                {
                    writeln!(f, "{word:8} {:5} {}", check.column, check.tell(result))?;
                }
            }
        }
        for check in &self.0 {
            for result in &check.failed_before {
                writeln!(f, "unsteady {:5} {}", check.column, check.tell(result))?;
            }
        }
        write!(f, "{}", self.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_the_counts_and_gives_every_reason() {
        let mut report = Report::default();
        report.add(Check {
            name: "a".to_owned(),
            column: Column::Stock,
            seconds: 1.0,
            results: vec![
                Outcome::new("x", Status::Passed, ""),
                Outcome::new("y", Status::Skipped, "no such clock"),
            ],
            failed_before: vec![],
        });
        report.add(Check {
            name: "a".to_owned(),
            column: Column::Ours,
            seconds: 2.0,
            results: vec![Outcome::new("", Status::Failed, "broken")],
            failed_before: vec![Outcome::new("z", Status::Failed, "late")],
        });
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("1/0/1     1.0 s") && lines[1].contains("0/1/0     2.0 s"));
        assert!(lines.contains(&"FAILED   ours  a: broken"), "{text}");
        assert!(
            lines.contains(&"skipped  stock a y: no such clock"),
            "{text}"
        );
        assert!(lines.contains(&"unsteady ours  a z: late"), "{text}");
        assert_eq!(lines.last(), Some(&"1 passed, 1 failed, 1 skipped"));
    }
}
