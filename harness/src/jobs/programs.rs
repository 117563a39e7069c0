// SPDX-License-Identifier: GPL-2.0

//! Runs the programs of a list in a guest.

use super::findings::{column, Findings, Place};
use crate::{
    guest::{
        self, initramfs, ktap,
        lists::{List, Program},
        Guest, Transcript,
    },
    session::{Outcome, Status},
};
use anyhow::{Context as _, Result};
use std::{fs, time::Duration};

/// The time for the boot and the end of a guest.
const OVERHEAD: Duration = Duration::from_secs(120);

pub fn boot(
    place: Place,
    list: &'static List,
    kunit: bool,
    arguments: &[String],
) -> Result<Transcript> {
    let Place { context, step, kernel, .. } = place;
    step.expect(list.programs().count() as u64);
    // Guests with clients share a directory.
    let share = context.out.join("clients").join(kernel.name);
    if !list.is_selftests() {
        fs::create_dir_all(&share).with_context(|| format!("cannot create {}", share.display()))?;
    }
    let own = list.arguments.iter().map(|&argument| argument.to_owned());
    let own = own.chain([format!("TIMENS_LIST={}", list.name)]);
    let guest = Guest {
        name: format!("{}-{}", list.name, kernel.name),
        arguments: own.chain(arguments.iter().chain(place.arguments).cloned()).collect(),
        kunit,
        limit: OVERHEAD + Duration::from_secs(list.limit().into()),
        busy_host: list.busy_host,
        share: (!list.is_selftests()).then_some(&share),
        machine: list.machine,
        ..Guest::new(kernel, "programs", initramfs::path(context, kernel))
    };
    guest::run(context, step, &guest, |_| {})
}

/// Runs a list of programs and judges each.
pub fn run(place: Place, list: &'static List, arguments: &[String]) -> Result<Findings> {
    let transcript = boot(place, list, false, arguments)?;
    let column = column(place.kernel);
    let mut checks = vec![place.guest_check(list.name, &transcript)];
    let programs =
        ktap::programs(place.context, list, place.kernel.note, column, &transcript.output)?;
    for (mut check, program) in programs.into_iter().zip(list.programs()) {
        if place.kernel.is_rust() && list.is_selftests() && must_run(program) {
            check.results.iter_mut().for_each(fail_if_skipped);
        }
        checks.push(check);
    }
    Ok(Findings { checks, transcripts: vec![transcript], text: String::new() })
}

/// Whether no test of the program may be skipped. Other programs skip tests because of their
/// timing.
fn must_run(program: &Program) -> bool {
    program.tries == 1
}

fn fail_if_skipped(result: &mut Outcome) {
    if result.status == Status::Skipped && result.name != ktap::NOT_JUDGED {
        let why = format!("it was skipped: {}", result.reason);
        *result = Outcome::new(&result.name, Status::Failed, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_a_failure() {
        let status = |status| {
            let mut result = Outcome::new("r", status, "no vDSO");
            fail_if_skipped(&mut result);
            result.status
        };
        assert_eq!(status(Status::Skipped), Status::Failed);
        assert_eq!(status(Status::Passed), Status::Passed);
    }
}
