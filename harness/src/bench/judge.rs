// SPDX-License-Identifier: GPL-2.0

//! The comparison of the samples of two kernels.
//!
//! Equal kernels do not give equal samples. An operation takes one of several paths, its modes,
//! depending on the state of the kernel, and the states differ from run to run. So the lows and
//! the medians of equal kernels can fall on different modes. The lowest sample and the frequency of
//! each mode tell kernels apart.

use crate::session::statistics::{chance_of_lower, chance_of_shift};

/// A difference is real if equal kernels show it less often than once in so many comparisons.
const CHANCE: f64 = 1e-6;

/// The fewest samples of each kernel that tell a difference from chance.
pub const ENOUGH: usize = 100;

/// Whether `samples` are worse: samples of the reference are lower than each of them, or greater
/// values are more frequent than in the reference.
pub fn worse(reference: &[f64], samples: &[f64]) -> bool {
    chance_of_lower(reference, samples) < CHANCE || chance_of_shift(reference, samples) < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many samples of each value.
    fn samples(modes: &[(f64, usize)]) -> Vec<f64> {
        let of = |(value, count): &(f64, usize)| vec![*value; *count];
        modes.iter().flat_map(of).collect()
    }

    #[test]
    fn equal_modes_with_other_luck_are_equal() {
        // The medians fall on different modes.
        let one = samples(&[(823.0, 110), (841.0, 91)]);
        let other = samples(&[(823.0, 91), (841.0, 110)]);
        assert!(!worse(&one, &other) && !worse(&other, &one));
        // So does the low of one that is rare.
        let rare = samples(&[(823.0, 7), (841.0, 194)]);
        let rarer = samples(&[(823.0, 14), (841.0, 187)]);
        assert!(!worse(&rarer, &rare));
    }

    #[test]
    fn one_more_instruction_is_worse() {
        let exact = |value, count| samples(&[(value, count)]);
        assert!(!worse(&exact(823.0, 201), &exact(823.0, 201)));
        assert!(worse(&exact(823.0, 201), &exact(824.0, 201)));
        assert!(!worse(&exact(824.0, 201), &exact(823.0, 201)));
        assert!(worse(&exact(823.0, ENOUGH), &exact(824.0, ENOUGH)));
    }

    #[test]
    fn a_shifted_lowest_is_worse() {
        // Too few for their share to tell.
        let modes = |lowest| samples(&[(lowest, 25), (841.0, 176)]);
        assert!(worse(&modes(823.0), &modes(824.0)));
        // All modes are shifted, and the lowest is rare.
        let one = samples(&[(823.0, 5), (841.0, 196)]);
        let other = samples(&[(824.0, 5), (842.0, 196)]);
        assert!(worse(&one, &other));
    }

    #[test]
    fn a_mode_taken_more_often_is_worse() {
        let share = |costly| samples(&[(823.0, 201 - costly), (841.0, costly)]);
        assert!(worse(&share(0), &share(201)));
        assert!(worse(&share(0), &share(200)));
        assert!(worse(&share(40), &share(160)));
        assert!(!worse(&share(160), &share(40)));
    }

    #[test]
    fn spread_samples_are_compared_as_a_whole() {
        let spread = |from: u32| (from..from + 1001).map(f64::from).collect::<Vec<_>>();
        let worse_by = |by: u32| worse(&spread(2000), &spread(2000 + by));
        assert!(!worse_by(0) && !worse_by(10) && worse_by(300));
        assert!(!worse(&spread(2000), &spread(1500)));
    }
}
