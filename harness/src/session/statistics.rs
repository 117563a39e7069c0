// SPDX-License-Identifier: GPL-2.0

//! Figures of lists of samples. None of the lists may be empty.

pub fn lowest(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// The value that one in twenty samples does not exceed: the lowest may belong to a moment that
/// does not come back.
pub fn low(samples: &[f64]) -> f64 {
    sorted(samples)[(samples.len() - 1) / 20]
}

/// The different values with their shares of the samples, the most frequent first.
pub fn modes(samples: &[f64]) -> Vec<(f64, f64)> {
    let sorted = sorted(samples);
    let equal = sorted.chunk_by(|one, other| one == other);
    let share = |chunk: &[f64]| (chunk[0], chunk.len() as f64 / samples.len() as f64);
    let mut modes: Vec<_> = equal.map(share).collect();
    modes.sort_by(|one, other| other.1.total_cmp(&one.1));
    modes
}

/// The chance that two lists of samples of the same distribution differ this much: so many of the
/// first list are lower than all of the second. Each order of the samples is as likely.
pub fn chance_of_lower(first: &[f64], second: &[f64]) -> f64 {
    let lowest = lowest(second);
    let lower = first.iter().filter(|sample| **sample < lowest).count();
    let (count, all) = (first.len(), first.len() + second.len());
    (0..lower).map(|drawn| (count - drawn) as f64 / (all - drawn) as f64).product()
}

/// The chance that two lists of samples of the same distribution differ this much, the first being
/// the lower one: the one-sided test of Kolmogorov and Smirnov.
pub fn chance_of_shift(first: &[f64], second: &[f64]) -> f64 {
    let share = |samples: &[f64], value: f64| {
        let lower = samples.iter().filter(|sample| **sample <= value).count();
        lower as f64 / samples.len() as f64
    };
    let difference = |value: &f64| share(first, *value) - share(second, *value);
    let most = first.iter().map(difference).fold(0.0, f64::max);
    let [count, other] = [first, second].map(|samples| samples.len() as f64);
    (-2.0 * most * most * count * other / (count + other)).exp()
}

/// The lower bound of the median of the distribution, with 97.5 % confidence, by the normal
/// approximation of the binomial distribution.
pub fn median_at_least(samples: &[f64]) -> f64 {
    let count = samples.len() as f64;
    sorted(samples)[((count / 2.0) - 0.98 * count.sqrt()).max(0.0) as usize]
}

/// The sample that `part` of the samples do not exceed.
pub fn quantile(samples: &[f64], part: f64) -> f64 {
    sorted(samples)[((samples.len() - 1) as f64 * part).round() as usize]
}

/// Every other sample, from the sample `first` on.
pub fn half(samples: &[f64], first: usize) -> Vec<f64> {
    samples.iter().skip(first).step_by(2).copied().collect()
}

/// The difference between the lowest of the two halves, relative to the lowest of all.
pub fn halves_differ(samples: &[f64]) -> f64 {
    let [even, odd] = [0, 1].map(|first| lowest(&half(samples, first)));
    (even - odd).abs() / lowest(samples)
}

/// The growth of the second number of the points with each unit of the first: least squares.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_lowest_and_the_median() {
        assert_eq!(lowest(&[3.0, 1.0, 2.0]), 1.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_median_has_a_lower_bound() {
        let samples: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(median_at_least(&samples), 40.0);
        assert_eq!(median_at_least(&[7.0]), 7.0);
    }

    #[test]
    fn finds_quantiles() {
        let samples: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&samples, 0.25), 25.0);
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }

    #[test]
    fn the_low_is_not_the_lowest() {
        let samples: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(low(&samples), 5.0);
        assert_eq!(low(&[7.0, 3.0]), 3.0);
    }

    #[test]
    fn counts_the_modes() {
        let samples = [841.0, 823.0, 823.0, 823.0];
        assert_eq!(modes(&samples), [(823.0, 0.75), (841.0, 0.25)]);
    }

    #[test]
    fn lower_samples_are_no_chance() {
        let chance = chance_of_lower(&[1.0, 1.0, 2.0], &[2.0, 2.0, 2.0]);
        assert_eq!(chance, 3.0 / 6.0 * 2.0 / 5.0);
        assert_eq!(chance_of_lower(&[1.0, 2.0], &[1.0, 2.0]), 1.0);
        assert_eq!(chance_of_lower(&[2.0], &[1.0]), 1.0);
        assert!(chance_of_lower(&[1.0; 200], &[2.0; 200]) < 1e-50);
    }

    #[test]
    fn a_shift_is_no_chance() {
        let samples: Vec<_> = (0..200).map(f64::from).collect();
        let shifted = |by: f64| samples.iter().map(|sample| sample + by).collect::<Vec<_>>();
        assert_eq!(chance_of_shift(&samples, &samples), 1.0);
        assert_eq!(chance_of_shift(&samples, &shifted(-50.0)), 1.0);
        assert!(chance_of_shift(&samples, &shifted(10.0)) > 0.1);
        assert!(chance_of_shift(&samples, &shifted(100.0)) < 1e-10);
    }

    #[test]
    fn compares_the_halves() {
        assert_eq!(halves_differ(&[2.0, 2.0, 9.0, 3.0]), 0.0);
        assert_eq!(halves_differ(&[2.0, 3.0, 5.0, 4.0]), 0.5);
    }

    #[test]
    fn finds_the_slope() {
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]), 2.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)]), 0.0);
    }
}
