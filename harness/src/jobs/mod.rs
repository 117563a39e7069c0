// SPDX-License-Identifier: GPL-2.0

//! Jobs: each runs one check on one kernel, and returns its findings.

pub mod age;
mod faults;
mod findings;
pub mod fuzz;
mod kunit;
pub mod programs;
pub mod race;
mod vdso_images;

pub use findings::{column, Findings, Place};
pub use kunit::results as kunit_results;
pub use vdso_images::compare as compare_vdso_images;

use crate::guest::lists::List;
use anyhow::Result;
use race::Rounds;

/// A check of one kernel.
#[derive(Clone, Copy)]
pub enum Job {
    /// The KUnit suites of the series.
    Kunit,
    Programs(&'static List),
    /// Races for new namespaces on a busy host, with two or four CPUs.
    Race {
        cpus: u32,
        rounds: Rounds,
    },
    /// Each allocation of each operation fails once.
    Faults,
    /// Namespaces are created, joined and closed.
    Age {
        cycles: u32,
    },
    /// Sequences of random operations, on this kernel and on the C kernel.
    Fuzz {
        seed: u64,
        sequences: u32,
    },
    /// Clock reads by the vDSO images of this kernel and of the C kernel, on the host.
    VdsoImages,
}

impl Job {
    /// Returns the name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kunit => "kunit",
            Self::Programs(list) => list.name,
            Self::Race { cpus, .. } => race::list(*cpus).name,
            Self::Faults => "faults",
            Self::Age { .. } => "age",
            Self::Fuzz { .. } => "fuzz",
            Self::VdsoImages => "vdso-images",
        }
    }

    /// Returns the amount of work, if the results do not show it.
    pub fn amount(&self) -> Option<String> {
        match self {
            Self::Race { cpus, rounds } => Some(format!("{cpus} CPUs, {rounds}")),
            Self::Age { cycles } => Some(format!("{cycles} namespaces")),
            Self::Fuzz { seed, sequences } => {
                let operations = sequences * fuzz::LENGTH;
                Some(format!("seed {seed}, {operations} operations"))
            }
            Self::Kunit | Self::Programs(_) | Self::Faults | Self::VdsoImages => None,
        }
    }

    /// Whether it needs the archive of [`crate::guest::initramfs::pack`].
    pub fn needs_archive(&self) -> bool {
        matches!(self, Self::Kunit | Self::Programs(_) | Self::Race { .. })
    }

    /// Whether it needs the C kernel, to compare with it.
    pub fn needs_stock(&self) -> bool {
        matches!(self, Self::Fuzz { .. } | Self::VdsoImages)
    }

    pub fn run(&self, place: Place) -> Result<Findings> {
        match *self {
            Self::Kunit => kunit::run(place),
            Self::Programs(list) => programs::run(place, list, &[]),
            Self::Race { cpus, rounds } => race::run(place, cpus, rounds),
            Self::Faults => faults::run(place),
            Self::Age { cycles } => age::run(place, cycles),
            Self::Fuzz { seed, sequences } => fuzz::run(place, seed, sequences),
            Self::VdsoImages => vdso_images::run(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::lists::SELFTESTS;

    #[test]
    fn jobs_are_named_after_their_lists() {
        let rounds = Rounds { joins: 10, ends: 20 };
        assert_eq!(Job::Race { cpus: 2, rounds }.name(), "race");
        assert_eq!(Job::Race { cpus: 4, rounds }.name(), "wide-race");
        assert_eq!(Job::Programs(&SELFTESTS).name(), "selftests");
        let amount = Job::Fuzz { seed: 1, sequences: 2 }.amount();
        assert_eq!(amount.unwrap(), "seed 1, 400 operations");
    }
}
