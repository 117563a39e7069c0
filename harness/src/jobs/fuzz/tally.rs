// SPDX-License-Identifier: GPL-2.0

//! The sums of outcomes.

use super::requests::{OutcomeCounts, LENGTH};
use crate::kernel::kernels::Kernel;
use std::{fmt, time::Duration};

/// Returns the outcome of an operation that succeeds.
fn success(kind: &str) -> &'static str {
    match kind {
        // Offsets of a process that has ended.
        "zombie" => "ESRCH",
        _ => "ok",
    }
}

/// The operations of one seed on both kernels.
pub struct Tally {
    kernels: [&'static Kernel; 2],
    pub sequences: u32,
    pub different: usize,
    counts: OutcomeCounts,
    pub times: [Duration; 2],
}

impl Tally {
    pub fn new(kernels: [&'static Kernel; 2]) -> Self {
        Self {
            kernels,
            sequences: 0,
            different: 0,
            counts: OutcomeCounts::new(),
            times: [Duration::ZERO; 2],
        }
    }

    pub fn count(&mut self, counts: &OutcomeCounts) {
        for (kind, outcomes) in counts {
            let counts = self.counts.entry(kind.clone()).or_default();
            for (outcome, count) in outcomes {
                *counts.entry(outcome.clone()).or_default() += count;
            }
        }
    }

    /// Lists the kinds of operations that never succeeded, whose comparison proves nothing.
    pub fn never_succeeded(&self) -> Vec<String> {
        let failed = self.counts.iter();
        let failed = failed.filter(|(kind, outcomes)| !outcomes.contains_key(success(kind)));
        failed.map(|(kind, _)| format!("{kind} has never succeeded")).collect()
    }

    /// Prints the outcomes of each kind of operation, a line each.
    pub fn outcomes(&self) -> String {
        let mut text = String::new();
        for (kind, outcomes) in &self.counts {
            let mut sorted: Vec<_> = outcomes.iter().collect();
            sorted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
            text += &format!("  {kind:12}");
            for (outcome, count) in sorted {
                text += &format!(" {outcome} {count}");
            }
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = u64::from(self.sequences) * u64::from(LENGTH);
        write!(f, "{} sequences, {operations} operations on each kernel", self.sequences)?;
        for (kernel, time) in self.kernels.into_iter().zip(self.times) {
            let rate = operations as f64 / time.as_secs_f64();
            write!(f, ", {rate:.0} a second on {}", kernel.name)?;
        }
        write!(f, ": {} differ", self.different)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::requests::add_counts, *};
    use crate::kernel::kernels::{RUST, STOCK};

    #[test]
    fn each_kind_of_operation_must_succeed() {
        let mut tally = Tally::new([&STOCK, &RUST]);
        let mut counts = OutcomeCounts::new();
        add_counts(
            &mut counts,
            "TIMENS-COUNT write ok 3 EACCES 4\nTIMENS-COUNT listns ENOSYS 9\n\
             TIMENS-COUNT zombie ESRCH 5\n",
        );
        tally.count(&counts);
        assert_eq!(tally.never_succeeded(), ["listns has never succeeded"]);
    }

    #[test]
    fn rates_and_outcomes_are_printed() {
        let mut tally = Tally::new([&STOCK, &RUST]);
        tally.sequences = 10;
        tally.different = 3;
        tally.times = [Duration::from_secs(2), Duration::from_secs(4)];
        let mut counts = OutcomeCounts::new();
        add_counts(&mut counts, "TIMENS-COUNT write ok 6 EACCES 8\n");
        tally.count(&counts);
        assert_eq!(
            tally.to_string(),
            "10 sequences, 2000 operations on each kernel, 1000 a second on stock, 500 a second on rust: \
             3 differ"
        );
        assert_eq!(tally.outcomes(), "  write        EACCES 8 ok 6\n");
    }
}
