// SPDX-License-Identifier: GPL-2.0

//! Times in seconds and nanoseconds.
//!
//! C header: [`include/linux/time64.h`](srctree/include/linux/time64.h).

use super::{
    ClockSource,
    Instant,
    NSEC_PER_SEC, //
};
use crate::{
    bindings,
    ffi::c_long,
    prelude::*, //
};
use core::mem::offset_of;

/// The largest number of seconds that a `ktime_t` can hold.
pub const KTIME_SEC_MAX: i64 = i64::MAX / NSEC_PER_SEC;

/// A point in time or a span of time, in seconds and nanoseconds, normalised.
///
/// The nanoseconds are not negative, even if the seconds are: a quarter of a second before zero is
/// -1 s and 750,000,000 ns.
///
/// Has the layout of `struct timespec64`.
///
/// # Invariants
///
/// `0 <= nsec < NSEC_PER_SEC`.
///
/// # Examples
///
/// ```
/// use kernel::time::timespec::Timespec64;
///
/// let a = Timespec64::new(-1, 750_000_000).ok_or(EINVAL)?;
/// let b = Timespec64::new(2, 500_000_000).ok_or(EINVAL)?;
/// assert_eq!(a.wrapping_add(b), Timespec64::new(2, 250_000_000).ok_or(EINVAL)?);
/// assert_eq!(a.to_ktime(), -250_000_000);
/// assert!(Timespec64::new(0, 1_000_000_000).is_none());
/// # Ok::<(), Error>(())
/// ```
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timespec64 {
    sec: i64,
    nsec: c_long,
}

static_assert!(size_of::<Timespec64>() == size_of::<bindings::timespec64>());
static_assert!(align_of::<Timespec64>() == align_of::<bindings::timespec64>());
static_assert!(offset_of!(Timespec64, sec) == offset_of!(bindings::timespec64, tv_sec));
static_assert!(offset_of!(Timespec64, nsec) == offset_of!(bindings::timespec64, tv_nsec));

impl Timespec64 {
    /// Zero.
    pub const ZERO: Self = Self { sec: 0, nsec: 0 };

    /// Creates a [`Timespec64`], or returns [`None`] if `nsec` is not in `0..NSEC_PER_SEC`.
    #[inline]
    pub const fn new(sec: i64, nsec: c_long) -> Option<Self> {
        if nsec >= 0 && nsec < NSEC_PER_SEC as c_long {
            // INVARIANT: Just checked.
            Some(Self { sec, nsec })
        } else {
            None
        }
    }

    /// Returns the seconds.
    #[inline]
    pub const fn sec(self) -> i64 {
        self.sec
    }

    /// Returns the nanoseconds, in `0..NSEC_PER_SEC`.
    #[inline]
    pub const fn nsec(self) -> c_long {
        self.nsec
    }

    /// Returns the sum. The seconds wrap at the bounds of [`i64`].
    ///
    /// Mirrors `timespec64_add()`.
    #[doc(alias = "timespec64_add")]
    #[inline]
    pub const fn wrapping_add(self, rhs: Self) -> Self {
        let sec = self.sec.wrapping_add(rhs.sec);
        // By the type invariants, the sum is less than `2 * NSEC_PER_SEC`, which fits in an `i32`.
        let nsec = self.nsec.wrapping_add(rhs.nsec);
        if nsec < NSEC_PER_SEC as c_long {
            // INVARIANT: Just checked.
            Self { sec, nsec }
        } else {
            // INVARIANT: The sum is in `NSEC_PER_SEC..2 * NSEC_PER_SEC`.
            Self {
                sec: sec.wrapping_add(1),
                nsec: nsec.wrapping_sub(NSEC_PER_SEC as c_long),
            }
        }
    }

    /// Returns the number of nanoseconds, as in `ktime_t`.
    ///
    /// Returns `KTIME_MAX` from [`KTIME_SEC_MAX`] seconds on. Wraps if the result would be less
    /// than [`i64::MIN`].
    ///
    /// Mirrors `timespec64_to_ktime()`.
    #[doc(alias = "timespec64_to_ktime")]
    #[inline]
    pub const fn to_ktime(self) -> i64 {
        let ns = self
            .sec
            .wrapping_mul(NSEC_PER_SEC)
            .wrapping_add(self.nsec as i64);

        if self.sec >= KTIME_SEC_MAX {
            i64::MAX
        } else {
            ns
        }
    }
}

impl<C: ClockSource> From<Instant<C>> for Timespec64 {
    #[inline]
    fn from(instant: Instant<C>) -> Self {
        let ns = instant.as_nanos();

        #[cfg(CONFIG_64BIT)]
        let (sec, nsec) = (ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);

        // On 32-bit CPUs, `i64 / i64` would call a function that the kernel does not have.
        #[cfg(not(CONFIG_64BIT))]
        let (sec, nsec) = {
            let mut nsec = 0;
            // SAFETY: `nsec` is valid for writes, and the divisor is not zero.
            let sec = unsafe { bindings::div_s64_rem(ns, NSEC_PER_SEC as i32, &mut nsec) };
            (sec, nsec)
        };

        // INVARIANT: An `Instant` is not negative, so the remainder is not negative either.
        Self {
            sec,
            nsec: nsec as c_long,
        }
    }
}
