// SPDX-License-Identifier: GPL-2.0

//! The place of a job and its findings.

use crate::{
    context::Context,
    guest::Transcript,
    kernel::kernels::Kernel,
    session::{unless, Check, Column, Outcome, Step},
};

/// The findings of a job.
#[derive(Default)]
pub struct Findings {
    /// The rows of the table.
    pub checks: Vec<Check>,
    /// The output of its guests.
    pub transcripts: Vec<Transcript>,
    /// Lines above the table.
    pub text: String,
}

/// The place of a job: the context and step of the command, the kernel, and more arguments of its
/// guests.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub context: &'a Context,
    pub step: &'a Step,
    pub kernel: &'static Kernel,
    pub arguments: &'a [String],
}

impl Place<'_> {
    /// Returns a check in the column of this kernel, with its note.
    pub fn check(&self, name: &str, results: Vec<Outcome>) -> Check {
        let name = format!("{name}{}", self.kernel.note);
        Check::new(name, column(self.kernel), results)
    }

    /// Returns the check of the errors of a guest.
    pub fn guest_check(&self, name: &str, transcript: &Transcript) -> Check {
        let failures = transcript.failures(self.kernel);
        self.check(&format!("guest: {name}"), unless(failures))
    }
}

/// Returns the column of a kernel in the table.
pub fn column(kernel: &Kernel) -> Column {
    match kernel.is_rust() {
        true => Column::Rust,
        false => Column::C,
    }
}
