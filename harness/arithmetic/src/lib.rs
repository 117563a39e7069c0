// SPDX-License-Identifier: GPL-2.0

//! Compares the arithmetic of time namespaces, compiled from the kernel's source, with a model that
//! has 128 bits.

#[path = "../../../kernel/time/namespace_rs/offsets.rs"]
mod offsets;

use kernel::{
    prelude::{EINVAL, ERANGE},
    time::{timespec::Timespec64, Instant, Monotonic},
};
use offsets::{Clock, Offsets};

const NSEC_PER_SEC: i128 = 1_000_000_000;
const KTIME_MAX: i128 = i64::MAX as i128;
const KTIME_SEC_MAX: i128 = KTIME_MAX / NSEC_PER_SEC;

const MONOTONIC: i32 = 1;
const BOOTTIME: i32 = 7;
const BOOTTIME_ALARM: i32 = 9;

/// Arguments of the functions under test, which may be invalid.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub clock: i32,
    /// Seconds and nanoseconds of two offsets.
    pub monotonic: (i64, i64),
    pub boottime: (i64, i64),
    /// An absolute time in a namespace.
    pub time: i64,
    /// The time of the host's clock, not negative.
    pub now: i64,
}

impl Case {
    /// Panics if a function under test differs from the model.
    pub fn check(&self) {
        self.check_clock();
        self.check_bounds(self.monotonic);
        self.check_bounds(self.boottime);
        if let (Some(monotonic), Some(boottime)) = (new(self.monotonic), new(self.boottime)) {
            check_sum(monotonic, boottime);
            check_ktime(monotonic);
            let offsets = Offsets {
                monotonic,
                boottime,
            };
            self.check_to_host(&offsets);
            check_text(offsets);
        }
        self.check_to_host(&Offsets::ZERO);
    }

    fn check_clock(&self) {
        let model = match self.clock {
            MONOTONIC => Some(Clock::Monotonic),
            BOOTTIME => Some(Clock::Boottime),
            _ => None,
        };
        assert!(Clock::from_id(self.clock) == model, "{self:?}");
    }

    fn check_bounds(&self, (sec, nsec): (i64, i64)) {
        let instant = Instant::<Monotonic>::from_nanos(self.now).expect("not negative");
        let now = Timespec64::from(instant);
        assert_eq!(nanos(now), i128::from(self.now), "{self:?}");
        let reads = i128::from(self.now) + i128::from(sec) * NSEC_PER_SEC + i128::from(nsec);
        let model = if i128::from(sec).abs() > KTIME_SEC_MAX {
            Err(ERANGE)
        } else if !(0..NSEC_PER_SEC).contains(&i128::from(nsec)) {
            Err(EINVAL)
        } else if reads < 0 || reads.div_euclid(NSEC_PER_SEC) > KTIME_SEC_MAX / 2 {
            Err(ERANGE)
        } else {
            Ok((sec, nsec))
        };
        let found = offsets::check(sec, nsec as isize, now);
        let found = found.map(|offset| (offset.sec(), offset.nsec() as i64));
        assert_eq!(found, model, "{self:?}");
    }

    fn check_to_host(&self, offsets: &Offsets) {
        let time = i128::from(self.time);
        let model = match self.clock {
            MONOTONIC => to_host(time, ktime(offsets.monotonic)),
            BOOTTIME | BOOTTIME_ALARM => to_host(time, ktime(offsets.boottime)),
            _ => time,
        };
        let found = offsets.ktime_to_host(self.clock, self.time);
        assert_eq!(i128::from(found), model, "{self:?}");
    }
}

fn new((sec, nsec): (i64, i64)) -> Option<Timespec64> {
    let valid = (0..NSEC_PER_SEC).contains(&i128::from(nsec));
    let time = Timespec64::new(sec, nsec as isize);
    assert_eq!(time.is_some(), valid, "{sec} {nsec}");
    time
}

fn nanos(time: Timespec64) -> i128 {
    i128::from(time.sec()) * NSEC_PER_SEC + time.nsec() as i128
}

/// Mirrors `timespec64_to_ktime()`: a large time saturates, a small one wraps.
fn ktime(time: Timespec64) -> i128 {
    match i128::from(time.sec()) >= KTIME_SEC_MAX {
        true => KTIME_MAX,
        false => i128::from(nanos(time) as i64),
    }
}

fn to_host(time: i128, offset: i128) -> i128 {
    (time - offset).clamp(0, KTIME_MAX)
}

fn check_ktime(time: Timespec64) {
    assert_eq!(i128::from(time.to_ktime()), ktime(time), "{time:?}");
}

fn check_sum(a: Timespec64, b: Timespec64) {
    let sum = nanos(a) + nanos(b);
    let found = a.wrapping_add(b);
    let sec = sum.div_euclid(NSEC_PER_SEC) as i64;
    let nsec = sum.rem_euclid(NSEC_PER_SEC) as isize;
    assert_eq!((found.sec(), found.nsec()), (sec, nsec), "{a:?} {b:?}");
}

fn check_text(offsets: Offsets) {
    let line =
        |name, time: Timespec64| format!("{name:<10} {:>10} {:>9}\n", time.sec(), time.nsec());
    let model = line("monotonic", offsets.monotonic) + &line("boottime", offsets.boottime);
    let text = offsets.to_text();
    let found = String::from_utf8_lossy(text.as_bytes());
    assert_eq!(found, model, "{offsets:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};

    const SEC_MAX: i64 = KTIME_SEC_MAX as i64;
    const NSEC: i64 = NSEC_PER_SEC as i64;

    /// Returns the values and their neighbours.
    fn edges(around: &[i64]) -> Vec<i64> {
        let near = |&edge: &i64| [-1, 0, 1].map(|step| edge.saturating_add(step));
        let mut all: Vec<_> = around.iter().flat_map(near).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn seconds() -> Vec<i64> {
        edges(&[
            i64::MIN,
            -SEC_MAX,
            -SEC_MAX / 2,
            -1_000_000_000,
            0,
            999_999_999,
            9_999_999_999,
            SEC_MAX / 2,
            SEC_MAX,
            i64::MAX,
        ])
    }

    fn nanoseconds() -> Vec<i64> {
        edges(&[i64::MIN, 0, NSEC / 2, NSEC, i64::MAX])
    }

    fn times() -> Vec<i64> {
        edges(&[
            i64::MIN,
            -SEC_MAX * NSEC,
            -NSEC,
            0,
            NSEC,
            SEC_MAX / 2 * NSEC,
            SEC_MAX * NSEC,
            i64::MAX,
        ])
    }

    fn any_or(edges: Vec<i64>) -> impl Strategy<Value = i64> {
        prop_oneof![select(edges), any::<i64>(), -1_000_000..1_000_000_i64]
    }

    prop_compose! {
        fn offset()(
            sec in prop_oneof![any_or(seconds()), -SEC_MAX..=SEC_MAX],
            nsec in prop_oneof![4 => 0..NSEC, 1 => any_or(nanoseconds())],
        ) -> (i64, i64) {
            (sec, nsec)
        }
    }

    prop_compose! {
        fn case()(
            clock in prop_oneof![4 => -1..16_i32, 1 => any::<i32>()],
            monotonic in offset(),
            boottime in offset(),
            time in any_or(times()),
            now in any_or(times()),
        ) -> Case {
            Case { clock, monotonic, boottime, time, now: now & i64::MAX }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 200_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_case_matches_the_model(case in case()) {
            case.check();
        }

        /// The offset sets the clock close to its bounds.
        #[test]
        fn a_clock_near_its_bounds_matches_the_model(
            now in 0..=i64::MAX,
            bound in select(vec![0, KTIME_SEC_MAX / 2 * NSEC_PER_SEC, (KTIME_SEC_MAX / 2 + 1) * NSEC_PER_SEC]),
            step in -2..=2_i128,
        ) {
            let offset = bound - i128::from(now) + step;
            let offset = (
                offset.div_euclid(NSEC_PER_SEC) as i64,
                offset.rem_euclid(NSEC_PER_SEC) as i64,
            );
            Case { clock: MONOTONIC, monotonic: offset, boottime: offset, time: now, now }.check();
        }

        /// The time on the host is close to its bounds.
        #[test]
        fn a_time_near_its_bounds_matches_the_model(
            offset in (-SEC_MAX..=SEC_MAX, 0..NSEC),
            end in select(vec![0, KTIME_MAX]),
            step in -2..=2_i128,
        ) {
            let time = end + i128::from(offset.0) * NSEC_PER_SEC + i128::from(offset.1) + step;
            let time = time.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            for clock in [MONOTONIC, BOOTTIME, BOOTTIME_ALARM] {
                Case { clock, monotonic: offset, boottime: offset, time, now: 0 }.check();
            }
        }
    }

    #[test]
    fn every_edge_matches_the_model() {
        for &sec in &seconds() {
            for &nsec in &nanoseconds() {
                for &other in &seconds() {
                    for &time in &times() {
                        for clock in [0, MONOTONIC, BOOTTIME, BOOTTIME_ALARM] {
                            let case = Case {
                                clock,
                                monotonic: (sec, nsec),
                                boottime: (other, NSEC - 1),
                                time,
                                now: time & i64::MAX,
                            };
                            case.check();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_clock_matches_the_model() {
        for clock in -1..=256 {
            let (monotonic, boottime) = ((5, 7), (0, -1));
            Case {
                clock,
                monotonic,
                boottime,
                time: 100 * NSEC,
                now: 0,
            }
            .check();
        }
    }
}
