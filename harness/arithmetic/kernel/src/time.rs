// SPDX-License-Identifier: GPL-2.0

//! Clocks and times.

use core::marker::PhantomData;

#[path = "../../../../rust/kernel/time/timespec.rs"]
pub mod timespec;

pub const NSEC_PER_SEC: i64 = 1_000_000_000;

/// A clock.
pub trait ClockSource {
    const ID: i32;
}

pub struct Monotonic;

impl ClockSource for Monotonic {
    const ID: i32 = 1;
}

pub struct BootTime;

impl ClockSource for BootTime {
    const ID: i32 = 7;
}

/// A non-negative time of a clock.
pub struct Instant<C> {
    nanos: i64,
    clock: PhantomData<C>,
}

impl<C: ClockSource> Instant<C> {
    /// Returns an instant, or `None` if `nanos` is negative.
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        let clock = PhantomData;
        (nanos >= 0).then_some(Self { nanos, clock })
    }

    fn as_nanos(&self) -> i64 {
        self.nanos
    }
}
