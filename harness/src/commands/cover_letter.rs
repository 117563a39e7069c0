// SPDX-License-Identifier: GPL-2.0

//! The series' cover letter: its text is in harness/series/cover-letter, its numbers in the results of
//! the benchmarks.

use crate::context::Context;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{fmt::Write, fs, path::Path};

/// The text of the cover letter.
pub fn letter(context: &Context) -> Result<String> {
    let path = context.top.join("harness/series/cover-letter");
    let template =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let base = context.top.join("BASE");
    let base =
        fs::read_to_string(&base).with_context(|| format!("cannot read {}", base.display()))?;
    fill(&named(&template, &base), &context.top.join("results"))
}

/// Puts what BASE says of the Linux that the series is for in the place of `@NAME@`.
fn named(template: &str, base: &str) -> String {
    let settings = base.lines().filter_map(|line| line.split_once('='));
    settings
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// Fills the tables in.
///
/// A line `{FILE COLUMN…` begins one, in which each line up to `}` is the name of one of the rows
/// in FILE. A column is the path of a number in it, or of two with a `/` between them, whose ratio
/// is shown.
fn fill(template: &str, results: &Path) -> Result<String> {
    let mut letter = String::new();
    let mut lines = template.lines();
    while let Some(line) = lines.next() {
        let Some((file, columns)) = line.strip_prefix('{').and_then(|l| l.split_once(' ')) else {
            writeln!(letter, "{line}")?;
            continue;
        };
        let path = results.join(file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let json: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        let names: Vec<_> = lines.by_ref().take_while(|line| *line != "}").collect();
        let width = names.iter().map(|name| name.len()).max();
        let width = width.unwrap_or_default().max(20);
        for name in names {
            let row = row(&json, name)
                .with_context(|| format!("{} has no row {name}", path.display()))?;
            let mut shown = format!("{name:width$}");
            for column in columns.split(' ') {
                shown += &cell(row, column).with_context(|| {
                    format!("{}: row {name} has no number {column}", path.display())
                })?;
            }
            writeln!(letter, "{shown}")?;
        }
    }
    Ok(letter)
}

fn row<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    let mut rows = json["rows"].as_array()?.iter();
    rows.find(|row| row["name"] == name)
}

fn cell(row: &Value, column: &str) -> Option<String> {
    let number = |path: &str| row.pointer(&format!("/{}", path.replace('.', "/")))?.as_f64();
    Some(match column.split_once('/') {
        Some((of, to)) => format!(" {:6.3}", number(of)? / number(to)?),
        None => match number(column)? {
            large if large >= 1000.0 || large.fract() == 0.0 => format!(" {large:8.0}"),
            small => format!(" {small:8.2}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#"{"rows": [{"name": "a b", "ours": {"low": 2.5}, "stock": {"low": 4000}}]}"#;

    #[test]
    fn names_the_base() {
        let base = "# X=1\nPACKAGE=linux\nVERSION=7.3\n";
        assert_eq!(named("on @PACKAGE@ @VERSION@\n", base), "on linux 7.3\n");
    }

    #[test]
    fn shows_numbers_and_ratios() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.json"), JSON).unwrap();
        let of = |template| fill(template, dir.path());
        let text = of("one\n{x.json ours.low stock.low ours.low/stock.low\na b\n}\ntwo\n").unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["one", "a", "b", "2.50", "4000", "0.001", "two"]);
        let error = of("{x.json ours.high\na b\n}").unwrap_err().to_string();
        assert!(error.ends_with("row a b has no number ours.high"), "{error}");
        assert!(of("{x.json ours.low\nc\n}").is_err());
    }
}
