// SPDX-License-Identifier: GPL-2.0

//! The reads of clocks.

/// A function of the vDSO, with the clock that it reads.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    Clock(usize),
    TimeOfDay,
    Time,
    Resolution,
}
