// SPDX-License-Identifier: GPL-2.0

//! `sanitize`: the tests on kernels with KASAN, UBSAN, kmemleak and lockdep, and with KCSAN.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    guest::{
        kcsan,
        lists::{OTHER_VDSO, SELFTESTS},
    },
    jobs::{age, race::Rounds, Job},
    kernel::kernels::{RUST_KASAN, RUST_KCSAN, RUST_STOCK_VDSO_KASAN, STOCK_KCSAN},
};
use anyhow::Result;

/// Fewer rounds, as each takes several times as long as with KCSAN.
const KASAN: Rounds = Rounds::of(200);
const KCSAN: Rounds = Rounds::of(500);
/// KCSAN finds one in thousands of namespaces that are freed while they are read.
const KCSAN_ENDS: Rounds = Rounds { ends: 20_000, ..KCSAN };

fn plan() -> Plan {
    let race = |cpus, rounds| Job::Race { cpus, rounds };
    let fuzz = |sequences| Job::Fuzz { seed: 1, sequences };
    let age = Job::Age { cycles: age::SHORT };
    let selftests = Job::Programs(&SELFTESTS);
    Plan::new(
        "sanitize",
        vec![
            (
                &RUST_KASAN,
                vec![
                    Job::Kunit,
                    selftests,
                    race(2, KASAN),
                    race(4, KASAN),
                    Job::Faults,
                    age,
                    fuzz(20),
                ],
            ),
            // Only the tests of the vDSO.
            (&RUST_STOCK_VDSO_KASAN, vec![Job::Programs(&OTHER_VDSO), race(2, KASAN)]),
            (
                &RUST_KCSAN,
                vec![Job::Kunit, selftests, race(2, KCSAN_ENDS), race(4, KCSAN), age, fuzz(120)],
            ),
            // The control: KCSAN must report the C kernel's race.
            (&STOCK_KCSAN, vec![race(2, KCSAN_ENDS)]),
        ],
    )
}

pub fn sanitize(context: &Context, selection: &Selection) -> Result<bool> {
    let plan = plan().select(selection)?;
    let mut elsewhere = vec![];
    let session = plan.run(context, |kernel, job, findings| {
        if kernel.has_kcsan() {
            let races =
                findings.transcripts.iter().flat_map(|transcript| &transcript.races_elsewhere);
            let races: Vec<_> = races.cloned().collect();
            elsewhere.push((kernel.name, job.name(), races));
        }
    })?;
    let mut text = plan.amounts();
    for (kernel, job, races) in elsewhere {
        text += &format!(
            "\n{} data races elsewhere in the kernel, {job} on {kernel}:\n{}",
            races.len(),
            kcsan::list(&races)
        );
    }
    session.finish("sanitize", &text)
}
