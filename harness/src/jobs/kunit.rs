// SPDX-License-Identifier: GPL-2.0

//! Boots with KUnit and parses its results in the kernel's log.

use super::{
    findings::{Findings, Place},
    programs,
};
use crate::{
    context::Context,
    guest::{ktap, lists::KUNIT},
    session::Outcome,
};
use anyhow::Result;

/// The suites of the series: the start of the names of their results.
const SUITES: [&str; 4] =
    ["time_namespace_offsets", "time_namespace_object", "time_namespace_proc", "rust_ns_common"];

pub fn run(place: Place) -> Result<Findings> {
    let transcript = programs::boot(place, &KUNIT, true, &[])?;
    let results = results(place.context, &transcript.console)?;
    Ok(Findings {
        checks: vec![place.guest_check(KUNIT.name, &transcript), place.check("KUnit", results)],
        transcripts: vec![transcript],
        text: String::new(),
    })
}

/// Returns KUnit's results in a kernel's log. A missing suite of the series is a failure.
pub fn results(context: &Context, console: &str) -> Result<Vec<Outcome>> {
    let mut results = ktap::results(context, console)?;
    let ran = |suite: &str| results.iter().any(|result| result.name.starts_with(suite));
    let missing: Vec<_> = SUITES.into_iter().filter(|&suite| !ran(suite)).collect();
    let missing = missing.into_iter();
    results.extend(missing.map(|suite| Outcome::failure(format!("the suite {suite} did not run"))));
    Ok(results)
}
