// SPDX-License-Identifier: GPL-2.0

//! What is made of a list of samples. None of the lists may be empty.

pub fn lowest(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// What one in twenty samples does not exceed: the lowest may be of a moment that does not come back.
pub fn low(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 20]
}

/// What the median of all that could have been measured is not below, with 97.5 % confidence, by the
/// binomial distribution's normal approximation.
pub fn median_at_least(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    sorted[((count / 2.0) - 0.98 * count.sqrt()).max(0.0) as usize]
}

/// Every other sample, from the first or the second on.
pub fn half(samples: &[f64], first: usize) -> Vec<f64> {
    samples.iter().skip(first).step_by(2).copied().collect()
}

/// By how much the lowest of the two halves differ, relative to the lowest of all.
pub fn halves_differ(samples: &[f64]) -> f64 {
    let [even, odd] = [0, 1].map(|first| lowest(&half(samples, first)));
    (even - odd).abs() / lowest(samples)
}

/// By how much the second number of the points grows with each unit of the first: least squares.
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
    fn sums_samples_up() {
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
    fn the_low_is_not_the_lowest() {
        let samples: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(low(&samples), 5.0);
        assert_eq!(low(&[7.0, 3.0]), 3.0);
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
