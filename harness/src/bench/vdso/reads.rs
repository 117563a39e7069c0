// SPDX-License-Identifier: GPL-2.0

//! The reads that are timed.

use crate::vdso::{
    data::{self, Counter},
    Read,
};

/// A read that is timed.
pub struct Timed {
    pub name: &'static str,
    pub read: Read,
    pub counter: Counter,
}

const fn timed(name: &'static str, read: Read) -> Timed {
    Timed { name, read, counter: Counter::Tsc }
}

const fn with(counter: Counter, timed: Timed) -> Timed {
    Timed { counter, ..timed }
}

pub const READS: [Timed; 13] = [
    timed("MONOTONIC", Read::Clock(data::MONOTONIC)),
    timed("MONOTONIC_RAW", Read::Clock(data::MONOTONIC_RAW)),
    timed("BOOTTIME", Read::Clock(data::BOOTTIME)),
    timed("REALTIME", Read::Clock(data::REALTIME)),
    timed("TAI", Read::Clock(data::TAI)),
    timed("AUX", Read::Clock(data::AUX)),
    timed("MONOTONIC_COARSE", Read::Clock(data::MONOTONIC_COARSE)),
    timed("REALTIME_COARSE", Read::Clock(data::REALTIME_COARSE)),
    timed("gettimeofday()", Read::TimeOfDay),
    timed("time()", Read::Time),
    timed("clock_getres()", Read::Resolution),
    with(Counter::Pvclock, timed("MONOTONIC, KVM's clock", Read::Clock(data::MONOTONIC))),
    with(Counter::Hvclock, timed("MONOTONIC, Hyper-V's", Read::Clock(data::MONOTONIC))),
];
