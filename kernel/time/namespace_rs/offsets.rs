// SPDX-License-Identifier: GPL-2.0

//! The offsets of a time namespace, their bounds and their arithmetic.
//!
//! This module uses no kernel state.

use core::{
    iter::Rev,
    slice, //
};
use kernel::{
    prelude::*,
    time::{
        timespec::{
            Timespec64,
            KTIME_SEC_MAX, //
        },
        BootTime,
        ClockSource,
        Monotonic, //
    },
    uapi, //
};

/// A clock that time namespaces shift.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// `CLOCK_MONOTONIC` and its raw and coarse variants.
    Monotonic,

    /// `CLOCK_BOOTTIME` and its alarm variant.
    Boottime,
}

impl Clock {
    /// Returns the clock with the id `id`, or [`None`] if `/proc/PID/timens_offsets` does not have
    /// it.
    pub(crate) fn from_id(id: i32) -> Option<Self> {
        match id {
            Monotonic::ID => Some(Self::Monotonic),
            BootTime::ID => Some(Self::Boottime),
            _ => None,
        }
    }
}

/// The offsets that are added to the host's clocks.
///
/// Has the layout of `struct timens_offsets`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offsets {
    pub(crate) monotonic: Timespec64,
    pub(crate) boottime: Timespec64,
}

impl Offsets {
    /// The offsets of the initial namespace.
    pub(crate) const ZERO: Self = Self {
        monotonic: Timespec64::ZERO,
        boottime: Timespec64::ZERO,
    };

    /// Converts an absolute time of the clock `id` from the namespace to the host.
    ///
    /// `time` and the result are in nanoseconds, as in `ktime_t`. The result is `time` for a clock
    /// without an offset. Otherwise it is clamped to `0..=KTIME_MAX`: a time before the host's zero
    /// has expired, and the host's clock never reaches a time after `KTIME_MAX`.
    ///
    /// Mirrors `do_timens_ktime_to_host()`.
    #[inline]
    pub(crate) fn ktime_to_host(&self, id: i32, time: i64) -> i64 {
        const BOOTTIME_ALARM: i32 = uapi::CLOCK_BOOTTIME_ALARM as i32;

        let offset = match id {
            Monotonic::ID => &self.monotonic,
            BootTime::ID | BOOTTIME_ALARM => &self.boottime,
            _ => return time,
        }
        .to_ktime();

        match time.overflowing_sub(offset) {
            (host, false) => host.max(0),
            // `offset` is positive, so the difference is less than `i64::MIN`.
            (_, true) if time < 0 => 0,
            // `offset` is negative, so the difference is greater than `KTIME_MAX`.
            (_, true) => i64::MAX,
        }
    }
}

/// The text of `/proc/PID/timens_offsets`: one line for each clock.
pub(crate) struct Text {
    bytes: [u8; Self::LENGTH],
    /// The index of the first byte of the text. The text is written backwards, from the end of
    /// `bytes`.
    begin: usize,
}

impl Text {
    /// The greatest length: two lines of a name, seconds with a sign and nanoseconds, separated by
    /// spaces.
    const LENGTH: usize = 2 * (10 + 1 + 20 + 1 + 20 + 1);

    /// Returns the text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

/// Writes `byte` before the text that was written last.
#[inline]
fn put(rest: &mut Rev<slice::IterMut<'_, u8>>, byte: u8) {
    // This is always `Some`: the buffer has `Text::LENGTH` bytes.
    if let Some(place) = rest.next() {
        *place = byte;
    }
}

/// Writes `number` before the text that was written last, right-aligned in a column of `width`
/// bytes or more.
fn put_number(rest: &mut Rev<slice::IterMut<'_, u8>>, number: i64, width: usize) {
    let column = rest.len().saturating_sub(width);
    let mut digits = number.unsigned_abs();
    loop {
        put(rest, b'0' + (digits % 10) as u8);
        digits /= 10;
        if digits == 0 {
            break;
        }
    }
    if number < 0 {
        put(rest, b'-');
    }
    while rest.len() > column {
        put(rest, b' ');
    }
}

impl Offsets {
    /// Returns the text of `/proc/PID/timens_offsets`.
    ///
    /// Each line has the format `"%-10s %10lld %9ld\n"`.
    ///
    /// Mirrors `show_offset()`.
    pub(crate) fn to_text(self) -> Text {
        let mut bytes = [0; Text::LENGTH];
        let mut rest = bytes.iter_mut().rev();
        for (name, offset) in [
            (b"boottime   ", self.boottime),
            (b"monotonic  ", self.monotonic),
        ] {
            put(&mut rest, b'\n');
            put_number(&mut rest, offset.nsec() as i64, 9);
            put(&mut rest, b' ');
            put_number(&mut rest, offset.sec(), 10);
            for byte in name.iter().rev() {
                put(&mut rest, *byte);
            }
        }
        let begin = rest.len();
        Text { bytes, begin }
    }
}

/// Checks an offset from user space for a clock that reads `now` on the host.
///
/// `sec` is in seconds and `nsec` in nanoseconds.
///
/// # Errors
///
/// - `ERANGE` if `sec` is not in `-KTIME_SEC_MAX..=KTIME_SEC_MAX`.
/// - `EINVAL` if `nsec` is not in `0..NSEC_PER_SEC`.
/// - `ERANGE` if the clock in the namespace would read less than zero or more than half of
///   `KTIME_SEC_MAX`. The other half ensures that the clock never reaches `KTIME_MAX`.
pub(crate) fn check(sec: i64, nsec: isize, now: Timespec64) -> Result<Timespec64> {
    if !(-KTIME_SEC_MAX..=KTIME_SEC_MAX).contains(&sec) {
        return Err(ERANGE);
    }
    let offset = Timespec64::new(sec, nsec).ok_or(EINVAL)?;
    // Does not wrap: `sec` was checked above, and `now` is the time of a clock.
    if !(0..=KTIME_SEC_MAX / 2).contains(&now.wrapping_add(offset).sec()) {
        return Err(ERANGE);
    }
    Ok(offset)
}

#[cfg(CONFIG_TIME_NS_RUST_KUNIT_TEST)]
#[kunit_tests(time_namespace_offsets)]
mod tests {
    use super::*;
    use kernel::time::NSEC_PER_SEC;

    const ALARM: i32 = uapi::CLOCK_BOOTTIME_ALARM as i32;
    const REALTIME: i32 = uapi::CLOCK_REALTIME as i32;
    const KTIME_MAX: i64 = i64::MAX;

    const fn ts(sec: i64, nsec: isize) -> Timespec64 {
        match Timespec64::new(sec, nsec) {
            Some(ts) => ts,
            None => panic!("not normalised"),
        }
    }

    const fn offsets(sec: i64, nsec: isize) -> Offsets {
        Offsets {
            monotonic: ts(sec, nsec),
            boottime: ts(sec, nsec),
        }
    }

    #[test]
    fn from_id_accepts_two_clocks() {
        for id in -1..32 {
            let known = Clock::from_id(id).is_some();
            assert_eq!(known, id == 1 || id == 7);
        }
    }

    #[test]
    fn check_bounds_the_seconds() {
        let now = ts(100, 0);
        assert_eq!(check(KTIME_SEC_MAX + 1, 0, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX - 1, 0, now), Err(ERANGE));
        assert_eq!(check(i64::MAX, 0, now), Err(ERANGE));
        assert_eq!(check(i64::MIN, 0, now), Err(ERANGE));
        // The seconds are checked first, then the nanoseconds, then the sum.
        assert_eq!(check(KTIME_SEC_MAX + 1, -1, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX - 1, -1, now), Err(ERANGE));
        assert_eq!(check(KTIME_SEC_MAX, -1, now), Err(EINVAL));
        assert_eq!(check(-KTIME_SEC_MAX, -1, now), Err(EINVAL));
    }

    #[test]
    fn check_bounds_the_nanoseconds() {
        let now = ts(100, 0);
        assert_eq!(check(0, -1, now), Err(EINVAL));
        assert_eq!(check(0, NSEC_PER_SEC as isize, now), Err(EINVAL));
        assert_eq!(check(0, isize::MIN, now), Err(EINVAL));
        assert_eq!(check(0, isize::MAX, now), Err(EINVAL));
        assert_eq!(check(0, 999_999_999, now), Ok(ts(0, 999_999_999)));
        // The nanoseconds are checked before the sum.
        assert_eq!(check(-101, -1, now), Err(EINVAL));
    }

    #[test]
    fn check_bounds_the_clock() {
        let now = ts(100, 500_000_000);
        // At least zero; the nanoseconds count.
        assert_eq!(check(-101, 499_999_999, now), Err(ERANGE));
        assert_eq!(check(-101, 500_000_000, now), Ok(ts(-101, 500_000_000)));
        assert_eq!(check(-100, 0, now), Ok(ts(-100, 0)));
        // At most half of `KTIME_SEC_MAX`.
        let max = KTIME_SEC_MAX / 2 - 100;
        assert_eq!(check(max, 499_999_999, now), Ok(ts(max, 499_999_999)));
        assert_eq!(check(max, 500_000_000, now), Err(ERANGE));
        assert_eq!(check(KTIME_SEC_MAX, 0, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX, 0, now), Err(ERANGE));
    }

    #[test]
    fn text_has_one_line_for_each_clock() {
        assert_eq!(
            Offsets::ZERO.to_text().as_bytes(),
            b"monotonic           0         0\nboottime            0         0\n"
        );
        let shifted = Offsets {
            monotonic: ts(86400, 5),
            boottime: ts(-604_800, 999_999_999),
        };
        assert_eq!(
            shifted.to_text().as_bytes(),
            b"monotonic       86400         5\nboottime      -604800 999999999\n"
        );
        // A number that is wider than its column makes the column wider.
        let shifted = Offsets {
            monotonic: ts(-KTIME_SEC_MAX, 1),
            boottime: ts(12_345_678_901, 0),
        };
        assert_eq!(
            shifted.to_text().as_bytes(),
            b"monotonic  -9223372036         1\nboottime   12345678901         0\n"
        );
        let shifted = offsets(i64::MIN, 999_999_999);
        assert_eq!(
            shifted.to_text().as_bytes(),
            b"monotonic  -9223372036854775808 999999999\n\
              boottime   -9223372036854775808 999999999\n"
        );
    }

    #[test]
    fn ktime_to_host_subtracts_the_offset_of_the_clock() {
        let offsets = Offsets {
            monotonic: ts(10, 1),
            boottime: ts(-20, 2),
        };
        let time = 100 * NSEC_PER_SEC;
        assert_eq!(
            offsets.ktime_to_host(Monotonic::ID, time),
            90 * NSEC_PER_SEC - 1
        );
        assert_eq!(
            offsets.ktime_to_host(BootTime::ID, time),
            120 * NSEC_PER_SEC - 2
        );
        assert_eq!(offsets.ktime_to_host(ALARM, time), 120 * NSEC_PER_SEC - 2);
        assert_eq!(offsets.ktime_to_host(REALTIME, time), time);
    }

    #[test]
    fn ktime_to_host_of_an_expired_time_is_zero() {
        let offset = 10 * NSEC_PER_SEC + 5;
        let offsets = offsets(10, 5);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset - 1), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset + 1), 1);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, 0), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, i64::MIN), 0);
    }

    #[test]
    fn ktime_to_host_saturates_at_ktime_max() {
        // A positive offset lowers the greatest result.
        assert_eq!(
            offsets(1, 0).ktime_to_host(Monotonic::ID, KTIME_MAX),
            KTIME_MAX - NSEC_PER_SEC
        );
        // With a negative offset the difference can exceed `KTIME_MAX`.
        let behind = offsets(-1, 0);
        assert_eq!(behind.ktime_to_host(Monotonic::ID, KTIME_MAX), KTIME_MAX);
        assert_eq!(
            behind.ktime_to_host(Monotonic::ID, KTIME_MAX - NSEC_PER_SEC + 1),
            KTIME_MAX
        );
        assert_eq!(
            behind.ktime_to_host(Monotonic::ID, KTIME_MAX - NSEC_PER_SEC),
            KTIME_MAX
        );
        assert_eq!(
            behind.ktime_to_host(Monotonic::ID, KTIME_MAX - NSEC_PER_SEC - 1),
            KTIME_MAX - 1
        );
        // The least and the greatest valid offset.
        let least = offsets(-KTIME_SEC_MAX, 0);
        assert_eq!(
            least.ktime_to_host(Monotonic::ID, 0),
            KTIME_SEC_MAX * NSEC_PER_SEC
        );
        assert_eq!(least.ktime_to_host(Monotonic::ID, KTIME_MAX), KTIME_MAX);
        let most = offsets(KTIME_SEC_MAX, 999_999_999);
        assert_eq!(most.ktime_to_host(Monotonic::ID, KTIME_MAX), 0);
        assert_eq!(most.ktime_to_host(Monotonic::ID, KTIME_MAX - 1), 0);
    }

    #[test]
    fn ktime_to_host_with_zero_offsets_changes_nothing() {
        for time in [0, 1, NSEC_PER_SEC, KTIME_MAX - 1, KTIME_MAX] {
            assert_eq!(Offsets::ZERO.ktime_to_host(Monotonic::ID, time), time);
            assert_eq!(Offsets::ZERO.ktime_to_host(ALARM, time), time);
        }
    }
}
