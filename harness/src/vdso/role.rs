// SPDX-License-Identifier: GPL-2.0

//! The roles of a task that reads clocks: its kernel, and its place.

use super::{
    data::{Counter, Offsets, Rate, TimeData, Timestamp},
    mapping::{cycles, Mapping},
};
use anyhow::{Context as _, Result};
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The position of the last tick in its second: neither the time since then nor the offsets carry.
pub const TICK: u64 = 100_000_000;
/// The offsets of the time namespace.
pub const OFFSETS: Offsets = Offsets {
    monotonic: Timestamp { sec: 1_000_000, nsec: 300_000_000 },
    boottime: Timestamp { sec: -2_000_000, nsec: 500_000_000 },
};

/// The kernel that an image belongs to, and the place of the task that calls it.
///
/// The names in the results are those that the cover letter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Role {
    #[serde(rename = "stock_host")]
    CHost,
    #[serde(rename = "stock_ns")]
    CNamespace,
    #[serde(rename = "ours_host")]
    RustHost,
    #[serde(rename = "ours_ns")]
    RustNamespace,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::CHost, Self::CNamespace, Self::RustHost, Self::RustNamespace];

    pub fn title(self) -> &'static str {
        match self {
            Self::CHost => "C, host",
            Self::CNamespace => "C, namespace",
            Self::RustHost => "Rust, host",
            Self::RustNamespace => "Rust, namespace",
        }
    }

    pub fn in_namespace(self) -> bool {
        matches!(self, Self::CNamespace | Self::RustNamespace)
    }

    /// The index of the real data page.
    pub fn data_page(self) -> usize {
        usize::from(self == Self::CNamespace)
    }

    /// Fills the data pages as a task in this role has them.
    pub fn fill(self, mapping: &Mapping<'_>, counter: Counter, data: &TimeData, offsets: &Offsets) {
        match self {
            // The page behind the real one stays a page of zeroes.
            Self::CHost | Self::RustHost => mapping.fill(0, data),
            Self::CNamespace => {
                mapping.fill(0, &offsets.page());
                mapping.fill(1, data);
            }
            Self::RustNamespace => {
                mapping.fill(0, data);
                mapping.fill(1, &offsets.page());
            }
        }
        if let Some((page, words)) = counter.page() {
            mapping.fill(page, &words);
        }
    }

    /// Fills the data pages as after a tick just now.
    pub fn tick(self, mapping: &Mapping<'_>, counter: Counter, rate: Rate) {
        let data = TimeData::new(rate, counter, cycles(), TICK);
        self.fill(mapping, counter, &data, &OFFSETS);
    }
}

/// Measures the frequency of the TSC.
pub fn cycles_per_second() -> f64 {
    let (time, begin) = (Instant::now(), cycles());
    std::thread::sleep(Duration::from_millis(100));
    (cycles() - begin) as f64 / time.elapsed().as_secs_f64()
}

/// Keeps this process on one CPU: the last, which has the fewest interrupts on most machines.
pub fn pin() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::this()).context("cannot see the allowed CPUs")?;
    let cpu = (0..CpuSet::count())
        .rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("no CPU is allowed")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::this(), &one).with_context(|| format!("cannot stay on CPU {cpu}"))?;
    Ok(cpu)
}
