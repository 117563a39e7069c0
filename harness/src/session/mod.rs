// SPDX-License-Identifier: GPL-2.0

//! A session: the steps and the report of one command.

mod report;
pub mod statistics;
mod steps;

pub use report::{
    failed, passed, skipped, unless, Check, Column, Outcome, Report, Status, Unsteady,
};
pub use steps::{Follower, Step, Steps, POLL};

use crate::context::Context;
use anyhow::{Context as _, Result};
use std::{fs, io, time::Instant};

/// The steps and checks of one command. The checks after a failed one still run.
pub struct Session<'a> {
    pub context: &'a Context,
    steps: Steps,
    report: Report,
    /// Lines above the table.
    notes: String,
}

impl<'a> Session<'a> {
    pub fn new(context: &'a Context, steps: usize) -> Result<Self> {
        Ok(Self {
            context,
            steps: Steps::new(steps, &context.out.join("log"))?,
            report: Report::default(),
            notes: String::new(),
        })
    }

    /// Adds a check to the report and prints its failures.
    pub fn add(&mut self, check: Check) {
        check.failures().for_each(|failure| eprintln!("  FAILED {failure}"));
        self.report.add(check);
    }

    /// Prints lines, and adds them above the table.
    pub fn note(&mut self, text: &str) {
        print!("{text}");
        self.notes += text;
    }

    /// Runs one step and adds the checks that it returns. A check without a time gets that of the
    /// step. An error becomes a failed check with the name of the step. Returns whether nothing
    /// failed.
    pub fn run(
        &mut self,
        name: &str,
        column: Column,
        work: impl FnOnce(&Step) -> Result<Vec<Check>>,
    ) -> bool {
        let title = match column {
            Column::Host => name.to_owned(),
            Column::C | Column::Rust => format!("{name} ({column})"),
        };
        let started = Instant::now();
        let checks = self.steps.run(&title, work);
        let checks = checks
            .unwrap_or_else(|error| vec![Check::new(name, column, failed(format!("{error:#}")))]);
        let seconds = started.elapsed().as_secs_f64();
        let mut good = true;
        for mut check in checks {
            if check.seconds == 0.0 {
                check.seconds = seconds;
            }
            good &= check.failures().next().is_none();
            self.add(check);
        }
        good
    }

    /// Runs one step that is not a check.
    pub fn step<T>(&mut self, title: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        self.steps.run(title, work)
    }

    /// Runs one step as one check. Returns whether nothing failed.
    pub fn check(
        &mut self,
        name: &str,
        column: Column,
        work: impl FnOnce(&Step) -> Result<Vec<Outcome>>,
    ) -> bool {
        self.run(name, column, |step| Ok(vec![Check::new(name, column, work(step)?)]))
    }

    /// Returns a step without output, for work after the last step.
    pub fn quiet_step(&self) -> Step {
        self.steps.quiet()
    }

    /// Prints the report and saves it in out/results, with `more` and the notes above its table.
    /// Returns whether nothing failed.
    pub fn finish(self, name: &str, more: &str) -> Result<bool> {
        let above = [more, &self.notes].concat();
        let text = match above.is_empty() {
            true => format!("{}\n", self.report),
            false => format!("{}\n\n{}\n", above.trim_end(), self.report),
        };
        save_result(self.context, name, &text)?;
        print!("\n{text}");
        Ok(self.report.counts().failed == 0)
    }
}

/// Saves a text as out/results/NAME.txt.
pub fn save_result(context: &Context, name: &str, text: &str) -> Result<()> {
    let dir = context.out.join("results");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{name}.txt"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the result of the last run of a command.
pub fn remove_result(context: &Context, name: &str) -> Result<()> {
    let path = context.out.join(format!("results/{name}.txt"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
