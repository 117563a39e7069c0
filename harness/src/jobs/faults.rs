// SPDX-License-Identifier: GPL-2.0

//! Makes each allocation of each operation fail once.

use super::findings::{Findings, Place};
use crate::guest::{self, initramfs, ktap, Guest};
use anyhow::Result;
use std::time::Duration;

pub fn run(place: Place) -> Result<Findings> {
    let Place { context, step, kernel, .. } = place;
    let (rounds, debug) = match kernel.has_sanitizers() {
        // KASAN finds everything that the allocator's checks find.
        true => (0, "-"),
        // Exact counts of objects: without them, free objects in the caches of CPUs count as used.
        false => (5, "FZP"),
    };
    let initrd = initramfs::pack_job(context, step, kernel, "faults", &[])?;
    let own = [
        // The objects of each cache are counted separately.
        "slab_nomerge".to_owned(),
        format!("slab_debug={debug}"),
        format!("TIMENS_FAULTS_ROUNDS={rounds}"),
    ];
    let guest = Guest {
        arguments: [&own, place.arguments].concat(),
        limit: Duration::from_secs(1200),
        ..Guest::new(kernel, "faults", initrd)
    };
    let transcript = guest::run(context, step, &guest, |_| {})?;
    // The number of faults of each operation, and their errors.
    let counts = transcript.output.lines();
    let counts: Vec<_> = counts.filter_map(|line| line.strip_prefix("# ")).collect();
    let text = format!("faults on {}:\n{}\n\n", kernel.name, counts.join("\n"));
    let results = ktap::results(context, &transcript.output)?;
    Ok(Findings {
        checks: vec![place.guest_check("faults", &transcript), place.check("faults", results)],
        transcripts: vec![transcript],
        text,
    })
}
