// SPDX-License-Identifier: GPL-2.0

//! `matrix`: the series with other configurations, architectures and compilers.
//!
//! A warning at `W=1` about a file of the series is a failure. Warnings elsewhere are counted.

mod foreign;
mod rows;

use crate::{
    context::Context,
    jobs::compare_vdso_images,
    kernel::{
        build::{self, Build},
        kernels::STOCK,
        series::Series,
        warnings::warnings,
    },
    session::{Check, Column, Outcome, Session, Status, Step},
    vdso::image::built,
};
use anyhow::{Context as _, Result};
use clap::Args;
use rows::{has_rust, remove_objects, Row, Work, OBJECTS, ROWS, RUST_OBJECTS, VERSIONED};
use std::{fs, path::Path};

#[derive(Args)]
pub struct Options {
    /// Rows to build [default: all]; a wrong name lists them.
    rows: Vec<String>,
}

/// Builds the rows, runs their tests, and prints the table.
pub fn matrix(context: &Context, options: &Options) -> Result<bool> {
    let rows = select(&options.rows)?;
    let series = Series::read(context)?;
    let mut session = Session::new(context, rows.len())?;
    for row in rows {
        session.run(row.name, Column::Rust, |step| {
            let results = run(context, step, row, &series)?;
            Ok(vec![Check::new(row.name, Column::Rust, results)])
        });
    }
    session.finish("matrix", "")
}

/// Returns the rows of these names, or all.
fn select(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let row = |name: &String| {
        let row = ROWS.iter().find(|row| row.name == name);
        row.with_context(|| {
            let names = ROWS.each_ref().map(|row| row.name).join(" ");
            format!("there is no row {name}; the rows are {names}")
        })
    };
    names.iter().map(row).collect()
}

fn run(context: &Context, step: &Step, row: &Row, series: &Series) -> Result<Vec<Outcome>> {
    if row.work == Work::Versions && !has_libdw() {
        return Ok(skipped("", "gendwarfksyms needs libdw: apt-get install libdw-dev"));
    }
    let build = row.build(context)?;
    let targets = row.targets(has_rust(&build.fragments));
    // Only an object that is compiled again warns again.
    for target in OBJECTS.iter().chain(&RUST_OBJECTS).chain(&targets) {
        remove_objects(&build.dir.join(target))?;
    }
    let log = build::build_targets(context, step, &build, &targets)?;
    let mut outcomes = judge(context, &log, series)?;
    if row.all_rust {
        let refused = build::missing_options(&build.optional, &build.config()?);
        step.print(&format!("{}: without {}", row.name, refused.join(", ")));
    }
    outcomes.extend(match row.work {
        Work::Objects | Work::AlsoObjects(_) => vec![],
        Work::Image => image(context, step, &build)?,
        Work::Versions => versions(&build)?,
        Work::Uml => {
            let mut results = match has_rust(&build.fragments) {
                true => foreign::kunit(context, step, &build)?,
                false => vec![],
            };
            results.extend(foreign::uml_selftests(context, step, &build)?);
            results
        }
        Work::Arm64 => foreign::arm64_selftests(context, step, &build)?,
    });
    Ok(outcomes)
}

fn skipped(name: &str, reason: impl Into<String>) -> Vec<Outcome> {
    vec![Outcome::new(name, Status::Skipped, reason)]
}

fn judge(context: &Context, log: &Path, series: &Series) -> Result<Vec<Outcome>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let (of_series, others): (Vec<_>, Vec<_>) =
        warnings(&text).into_iter().partition(|warning| warning.is_of_series(series));
    let tree = format!("{}/", context.tree.display());
    // Some paths are relative to the build directory.
    let shorten = |text: &str| text.replace(&tree, "").replace("../../linux/", "");
    let fail = |text: &str| Outcome::new("W=1", Status::Failed, shorten(text));
    let mut outcomes: Vec<_> = of_series.iter().map(|warning| fail(&warning.text)).collect();
    if outcomes.is_empty() {
        outcomes.push(Outcome::new("W=1", Status::Passed, ""));
    }
    if let Some(first) = others.first() {
        let reason = format!(
            "{} warnings in files that the series does not change, the first: {}",
            others.len(),
            shorten(&first.text)
        );
        outcomes.extend(skipped("elsewhere", reason));
    }
    Ok(outcomes)
}

fn has_libdw() -> bool {
    let source = "#include <elfutils/libdw.h>\nint main(void) { return 0; }\n";
    foreign::compiles("gcc", &["-ldw", "-lelf", "-lz"], source)
}

/// Compares the clock reads of the vDSO image with the C kernel's.
fn image(context: &Context, step: &Step, build: &Build) -> Result<Vec<Outcome>> {
    let stock = built(&context.build_dir(&STOCK));
    if !stock.exists() {
        let reason = "the C kernel is not built: run `make build-stock`";
        return Ok(skipped("vDSO", reason));
    }
    compare_vdso_images(step, [stock, built(&build.dir)])
}

/// Checks that the symbol that C exports for Rust has a version.
fn versions(build: &Build) -> Result<Vec<Outcome>> {
    let (file, symbol) = VERSIONED;
    let file = build.dir.join(file);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let status = match text.contains(&format!("#SYMVER {symbol} 0x")) {
        true => Status::Passed,
        false => Status::Failed,
    };
    Ok(vec![Outcome::new(symbol, status, "has no version")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_name() {
        let names = |names: &[&str]| -> Result<Vec<_>> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            Ok(select(&names)?.into_iter().map(|row| row.name).collect())
        };
        assert_eq!(names(&["uml", "c"]).unwrap(), ["uml", "c"]);
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        let error = names(&["vax"]).unwrap_err().to_string();
        assert!(error.contains("vax") && error.contains("arm64"), "{error}");
    }
}
