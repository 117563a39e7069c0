// SPDX-License-Identifier: GPL-2.0

//! The offsets of a time namespace, their bounds and their arithmetic.
//!
//! Nothing here depends on the state of the kernel.

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
    /// `CLOCK_MONOTONIC`, and with it its raw and coarse variants.
    Monotonic,

    /// `CLOCK_BOOTTIME`, and with it its alarm variant.
    Boottime,
}

impl Clock {
    /// Returns the clock that `/proc/PID/timens_offsets` knows by that id.
    pub(crate) fn from_id(id: i32) -> Option<Self> {
        match id {
            Monotonic::ID => Some(Self::Monotonic),
            BootTime::ID => Some(Self::Boottime),
            _ => None,
        }
    }
}

/// How far the clocks of a namespace are ahead of those of the host.
///
/// Mirrors `struct timens_offsets`.
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
    /// `time` is in nanoseconds, a `ktime_t`. What is before the namespace's own beginning, thus
    /// has expired, becomes 0; what the host's clock would not reach becomes `KTIME_MAX`. Clocks
    /// without an offset are left alone.
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
            // Far less than `offset`, which is positive then.
            (_, true) if time < 0 => 0,
            // Here the C code finds that the difference has wrapped around.
            (_, true) => i64::MAX,
        }
    }
}

/// The offsets as `/proc/PID/timens_offsets` shows them: a line for each clock.
pub(crate) struct Text {
    bytes: [u8; Self::LENGTH],
    /// Where the text begins. It is written from its end to its beginning.
    begin: usize,
}

impl Text {
    /// Name, seconds with their sign and nanoseconds, each at its longest, and what is between.
    const LENGTH: usize = 2 * (10 + 1 + 20 + 1 + 20 + 1);

    /// Returns the text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

/// Puts `byte` before what has been written.
#[inline]
fn put(rest: &mut Rev<slice::IterMut<'_, u8>>, byte: u8) {
    // There always is one: the text is no longer than the buffer.
    if let Some(place) = rest.next() {
        *place = byte;
    }
}

/// Puts a number before what has been written, right-aligned in a column of that width, which it
/// may exceed.
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
    /// Returns what `/proc/PID/timens_offsets` shows.
    ///
    /// The same as `show_offset()` prints, by its `"%-10s %10lld %9ld\n"`.
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

/// Checks an offset that user space asks for, for a clock that reads `now` on the host.
///
/// Fails with:
///
/// - `ERANGE` if `sec` isn't in `-KTIME_SEC_MAX..=KTIME_SEC_MAX`;
/// - `EINVAL` if `nsec` isn't in `0..NSEC_PER_SEC`;
/// - `ERANGE` if the clock in the namespace would read less than zero, or more than half of
///   `KTIME_SEC_MAX`: the other half is there so that it never reaches `KTIME_MAX`.
pub(crate) fn check(sec: i64, nsec: isize, now: Timespec64) -> Result<Timespec64> {
    if !(-KTIME_SEC_MAX..=KTIME_SEC_MAX).contains(&sec) {
        return Err(ERANGE);
    }
    let offset = Timespec64::new(sec, nsec).ok_or(EINVAL)?;
    // Doesn't wrap around: `sec` has just been bounded, and `now` is a clock's time.
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
    fn only_two_clocks_are_shifted() {
        for id in -1..32 {
            let known = Clock::from_id(id).is_some();
            assert_eq!(known, id == 1 || id == 7);
        }
    }

    #[test]
    fn seconds_are_bounded() {
        let now = ts(100, 0);
        assert_eq!(check(KTIME_SEC_MAX + 1, 0, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX - 1, 0, now), Err(ERANGE));
        assert_eq!(check(i64::MAX, 0, now), Err(ERANGE));
        assert_eq!(check(i64::MIN, 0, now), Err(ERANGE));
        // This comes before the nanoseconds, which come before the sum.
        assert_eq!(check(KTIME_SEC_MAX + 1, -1, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX - 1, -1, now), Err(ERANGE));
        assert_eq!(check(KTIME_SEC_MAX, -1, now), Err(EINVAL));
        assert_eq!(check(-KTIME_SEC_MAX, -1, now), Err(EINVAL));
    }

    #[test]
    fn nanoseconds_are_bounded() {
        let now = ts(100, 0);
        assert_eq!(check(0, -1, now), Err(EINVAL));
        assert_eq!(check(0, NSEC_PER_SEC as isize, now), Err(EINVAL));
        assert_eq!(check(0, isize::MIN, now), Err(EINVAL));
        assert_eq!(check(0, isize::MAX, now), Err(EINVAL));
        assert_eq!(check(0, 999_999_999, now), Ok(ts(0, 999_999_999)));
        // Invalid nanoseconds come before a sum that is out of range.
        assert_eq!(check(-101, -1, now), Err(EINVAL));
    }

    #[test]
    fn clock_stays_in_range() {
        let now = ts(100, 500_000_000);
        // Not before zero: the nanoseconds count.
        assert_eq!(check(-101, 499_999_999, now), Err(ERANGE));
        assert_eq!(check(-101, 500_000_000, now), Ok(ts(-101, 500_000_000)));
        assert_eq!(check(-100, 0, now), Ok(ts(-100, 0)));
        // No further than half of what a `ktime_t` can hold.
        let max = KTIME_SEC_MAX / 2 - 100;
        assert_eq!(check(max, 499_999_999, now), Ok(ts(max, 499_999_999)));
        assert_eq!(check(max, 500_000_000, now), Err(ERANGE));
        assert_eq!(check(KTIME_SEC_MAX, 0, now), Err(ERANGE));
        assert_eq!(check(-KTIME_SEC_MAX, 0, now), Err(ERANGE));
    }

    #[test]
    fn text_has_a_line_for_each_clock() {
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
        // What doesn't fit into its column makes it wider.
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
    fn ktime_to_host_subtracts_the_clock_s_own_offset() {
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
    fn ktime_to_host_of_what_has_expired_is_zero() {
        let offset = 10 * NSEC_PER_SEC + 5;
        let offsets = offsets(10, 5);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset - 1), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, offset + 1), 1);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, 0), 0);
        assert_eq!(offsets.ktime_to_host(Monotonic::ID, i64::MIN), 0);
    }

    #[test]
    fn ktime_to_host_ends_at_ktime_max() {
        // A positive offset brings the end nearer.
        assert_eq!(
            offsets(1, 0).ktime_to_host(Monotonic::ID, KTIME_MAX),
            KTIME_MAX - NSEC_PER_SEC
        );
        // With a negative offset the host's clock would have to go past the end.
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
        // The furthest offsets that there are.
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
    fn ktime_to_host_of_offsets_of_zero_changes_nothing_valid() {
        for time in [0, 1, NSEC_PER_SEC, KTIME_MAX - 1, KTIME_MAX] {
            assert_eq!(Offsets::ZERO.ktime_to_host(Monotonic::ID, time), time);
            assert_eq!(Offsets::ZERO.ktime_to_host(ALARM, time), time);
        }
    }
}
