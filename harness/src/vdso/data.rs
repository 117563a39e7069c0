// SPDX-License-Identifier: GPL-2.0

//! The data pages of the vDSO, filled as the kernel fills them, and the values it must return.

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// `VDSO_BASES`: the clocks up to `CLOCK_TAI`.
const BASES: usize = 12;
const AUX_CLOCKS: usize = 8;
/// `VDSO_CLOCKMODE_TIMENS`.
const MODE_TIMENS: i32 = i32::MAX;

pub const REALTIME: usize = 0;
pub const MONOTONIC: usize = 1;
pub const MONOTONIC_RAW: usize = 4;
pub const REALTIME_COARSE: usize = 5;
pub const MONOTONIC_COARSE: usize = 6;
pub const BOOTTIME: usize = 7;
const BOOTTIME_ALARM: usize = 9;
pub const TAI: usize = 11;
/// The first of the auxiliary clocks, which have a `struct vdso_clock` each and its first base.
pub const AUX: usize = 16;

/// An odd resolution and times far in the future: they expose a fallback to a system call.
const RESOLUTION: u32 = 7;
const FAR_FUTURE: u64 = 4_000_000_000;

/// `struct vdso_timestamp` and, with the same layout, `struct timens_offset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub sec: i64,
    pub nsec: u64,
}

/// `struct vdso_clock`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Clock {
    seq: u32,
    mode: i32,
    cycle_last: u64,
    max_cycles: u64,
    mask: u64,
    mult: u32,
    shift: u32,
    base: [Timestamp; BASES],
}

/// The number of `struct vdso_clock` in the page.
pub const CLOCKS: usize = 2 + AUX_CLOCKS;
/// The 64-bit words of a `struct vdso_clock`. The lower half of the first one is its sequence
/// counter.
pub const CLOCK_WORDS: usize = size_of::<Clock>() / size_of::<u64>();

/// `struct vdso_time_data`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TimeData {
    clocks: [Clock; 2],
    aux_clocks: [Clock; AUX_CLOCKS],
    tz_minuteswest: i32,
    tz_dsttime: i32,
    resolution: u32,
    unused: u32,
}

/// The conversion of TSC cycles to nanoseconds.
#[derive(Clone, Copy)]
pub struct Rate {
    mult: u32,
    shift: u32,
}

impl Rate {
    /// The shift that the kernel computes for TSCs of some GHz.
    pub const SHIFT: u32 = 24;
    /// The greatest shift of any clock: it leaves the least room for an offset.
    pub const MAX_SHIFT: u32 = 32;

    pub fn new(cycles_per_second: f64, shift: u32) -> Self {
        let mult = (NSEC_PER_SEC << shift) as f64 / cycles_per_second;
        Self { mult: mult.round() as u32, shift }
    }

    /// The most cycles that can be multiplied without overflow, with the room for NTP's adjustments
    /// that clocks_calc_max_nsecs() leaves.
    pub fn max_cycles(self) -> u64 {
        let mult = u64::from(self.mult);
        u64::MAX / (mult + mult * 11 / 100)
    }
}

/// The counter of the clock source, and the way that the vDSO reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The TSC itself.
    Tsc,
    /// The TSC through KVM's page.
    Pvclock,
    /// The TSC through Hyper-V's page.
    Hvclock,
    /// KVM's page without the flag that all CPUs may read it.
    PvclockUnstable,
    /// Hyper-V's page with the sequence that means invalid.
    HvclockInvalid,
}

impl Counter {
    pub const VALID: [Self; 3] = [Self::Tsc, Self::Pvclock, Self::Hvclock];
    /// Those that can't be read: the vDSO makes the system call.
    pub const INVALID: [Self; 2] = [Self::PvclockUnstable, Self::HvclockInvalid];

    /// The distance of a hypervisor's counter from the TSC: enough to tell them apart.
    const AHEAD: u64 = 1 << 50;

    /// `enum vdso_clock_mode`.
    fn mode(self) -> i32 {
        match self {
            Self::Tsc => 1,
            Self::Pvclock | Self::PvclockUnstable => 2,
            Self::Hvclock | Self::HvclockInvalid => 3,
        }
    }

    /// Its value when the TSC is at `cycles`.
    pub fn at(self, cycles: u64) -> u64 {
        match self {
            Self::Tsc => cycles,
            Self::Pvclock | Self::PvclockUnstable => cycles + Self::AHEAD,
            // The scale is a little less than 1.
            Self::Hvclock | Self::HvclockInvalid => cycles + Self::AHEAD - 1,
        }
    }

    /// The index of the hypervisor's data page, and its contents as 64-bit words.
    pub fn page(self) -> Option<(usize, [u64; 4])> {
        match self {
            Self::Tsc => None,
            // `struct pvclock_vcpu_time_info`: version, TSC, time, 2^31 / 2^32 shifted by 1,
            // stable.
            Self::Pvclock => Some((4, [2, 0, Self::AHEAD, 1 << 31 | 1 << 32 | 1 << 40])),
            // `struct ms_hyperv_tsc_page`: sequence, scale in 1 / 2^64, offset.
            Self::Hvclock => Some((5, [1, u64::MAX, Self::AHEAD, 0])),
            Self::PvclockUnstable => Some((4, [2, 0, Self::AHEAD, 1 << 31 | 1 << 32])),
            Self::HvclockInvalid => Some((5, [0, u64::MAX, Self::AHEAD, 0])),
        }
    }
}

/// The offsets of a time namespace.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    pub monotonic: Timestamp,
    pub boottime: Timestamp,
}

impl Offsets {
    fn by_clock(&self) -> [Timestamp; BASES] {
        let mut offsets = [Timestamp::default(); BASES];
        for clock in [MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE] {
            offsets[clock] = self.monotonic;
        }
        for clock in [BOOTTIME, BOOTTIME_ALARM] {
            offsets[clock] = self.boottime;
        }
        offsets
    }

    /// The namespace's page: the C kernel maps it in place of the real one, the Rust kernel behind
    /// the real one.
    pub fn page(&self) -> TimeData {
        let clock = Clock { seq: 1, mode: MODE_TIMENS, base: self.by_clock(), ..Clock::default() };
        TimeData {
            clocks: [clock; 2],
            aux_clocks: [clock; AUX_CLOCKS],
            tz_minuteswest: 0,
            tz_dsttime: 0,
            resolution: 0,
            unused: 0,
        }
    }
}

impl TimeData {
    /// The real data page after a tick when the TSC was at `cycles`, `nsec` into a second.
    pub fn new(rate: Rate, counter: Counter, cycles: u64, nsec: u64) -> Self {
        let mut clock = Clock {
            seq: 2,
            mode: counter.mode(),
            cycle_last: counter.at(cycles),
            max_cycles: rate.max_cycles(),
            mask: u64::MAX,
            mult: rate.mult,
            shift: rate.shift,
            ..Clock::default()
        };
        for (id, base) in clock.base.iter_mut().enumerate() {
            let coarse = [REALTIME_COARSE, MONOTONIC_COARSE].contains(&id);
            *base = Timestamp {
                sec: (FAR_FUTURE + 1000 * id as u64) as i64,
                // High-resolution clocks keep the fraction of a nanosecond.
                nsec: nsec << if coarse { 0 } else { rate.shift },
            };
        }
        let mut aux_clock = clock;
        aux_clock.base[0].sec = (FAR_FUTURE + 1000 * AUX as u64) as i64;
        Self {
            clocks: [clock; 2],
            aux_clocks: [aux_clock; AUX_CLOCKS],
            tz_minuteswest: 0,
            tz_dsttime: 0,
            resolution: RESOLUTION,
            unused: 0,
        }
    }

    /// The same page `seconds` later.
    pub fn later(mut self, seconds: i64) -> Self {
        for clock in self.clocks.iter_mut().chain(&mut self.aux_clocks) {
            for base in &mut clock.base {
                base.sec += seconds;
            }
        }
        self
    }

    /// The result of `time()`: the second of the last tick.
    pub fn second(&self) -> Timestamp {
        Timestamp { nsec: 0, ..self.clocks[0].base[REALTIME] }
    }

    /// The result of `clock_getres()`.
    pub fn resolution(&self) -> Timestamp {
        Timestamp { sec: 0, nsec: self.resolution.into() }
    }

    /// The value of a clock when the counter is at `cycles`.
    pub fn expected(&self, id: usize, cycles: u64, offsets: Option<&Offsets>) -> Timestamp {
        let (clock, index) = match id.checked_sub(AUX) {
            Some(aux) => (&self.aux_clocks[aux], 0),
            None => (&self.clocks[0], id),
        };
        let base = clock.base[index];
        let offset = offsets.and_then(|offsets| offsets.by_clock().get(id).copied());
        let offset = offset.unwrap_or_default();
        let nsec = match id {
            REALTIME_COARSE | MONOTONIC_COARSE => base.nsec,
            _ => {
                // A counter that is behind the last tick counts as being at it.
                let delta = (cycles as i64 - clock.cycle_last as i64).max(0) as u128;
                ((delta * u128::from(clock.mult) + u128::from(base.nsec)) >> clock.shift) as u64
            }
        } + offset.nsec;
        Timestamp {
            sec: base.sec + offset.sec + (nsec / NSEC_PER_SEC) as i64,
            nsec: nsec % NSEC_PER_SEC,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_layout_of_the_kernel() {
        assert_eq!(size_of::<Clock>(), 232);
        assert_eq!(std::mem::offset_of!(Clock, base), 40);
        assert_eq!(size_of::<TimeData>(), 2336);
    }

    #[test]
    fn adds_cycles_and_offsets_with_carry() {
        let data = TimeData::new(Rate::new(2e9, Rate::SHIFT), Counter::Tsc, 1000, 900_000_000);
        let cycles = 1000 + 100_000_000;
        let real = data.expected(REALTIME, cycles, None);
        assert_eq!((real.sec, real.nsec), (4_000_000_000, 950_000_000));
        let offsets = Offsets {
            monotonic: Timestamp { sec: -5, nsec: 100_000_000 },
            boottime: Timestamp { sec: 7, nsec: 0 },
        };
        let of = |id| data.expected(id, cycles, Some(&offsets));
        assert_eq!(of(REALTIME), real);
        assert_eq!((of(MONOTONIC).sec, of(MONOTONIC).nsec), (4_000_000_996, 50_000_000));
        assert_eq!((of(MONOTONIC_COARSE).sec, of(MONOTONIC_COARSE).nsec), (4_000_005_996, 0));
        assert_eq!(of(BOOTTIME).sec, 4_000_007_007);
    }
}
