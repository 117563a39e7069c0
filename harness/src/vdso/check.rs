// SPDX-License-Identifier: GPL-2.0

//! Checks the values that the vDSO images of both kernels return, with every counter.
//!
//! Each read is checked on the host and in a time namespace: at several times since the last tick,
//! with offsets that carry and that don't, while the data change, and with counters that can't be
//! read, including those of hypervisors that no guest here has.

use super::{
    data::{self, Counter, Offsets, Rate, TimeData, Timestamp},
    image::Image,
    mapping::{cycles, Answer, Mapping, Read},
    role::{cycles_per_second, pin, Role, OFFSETS, TICK},
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use nix::{
    sched::{sched_setaffinity, CpuSet},
    time::{clock_gettime, ClockId},
    unistd::Pid,
};
use std::{
    hint,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

/// How often the data change while each clock is read, and the most spins between two changes.
const UPDATES: u32 = 1000;
const PAUSES: u32 = 64;

/// The reads whose values are checked.
const READS: [Read; 11] = [
    Read::Clock(data::MONOTONIC),
    Read::Clock(data::MONOTONIC_RAW),
    Read::Clock(data::BOOTTIME),
    Read::Clock(data::REALTIME),
    Read::Clock(data::TAI),
    Read::Clock(data::AUX),
    Read::Clock(data::MONOTONIC_COARSE),
    Read::Clock(data::REALTIME_COARSE),
    Read::TimeOfDay,
    Read::Time,
    Read::Resolution,
];

/// The images to check.
#[derive(Args)]
pub struct Options {
    #[arg(long, value_name = "PATH")]
    stock_image: PathBuf,
    #[arg(long, value_name = "PATH")]
    rust_image: PathBuf,
}

/// Checks the images of the C and of the Rust kernel.
///
/// A call into a wrong image may crash the process: run it in one of its own.
///
/// # Errors
///
/// An image can't be read or mapped, a call does not return, or it returns a wrong value.
pub fn run(options: &Options) -> Result<bool> {
    let images = [Image::read(&options.stock_image)?, Image::read(&options.rust_image)?];
    pin()?;
    let check = Check::new(&images)?;
    // First, because it survives a call that does not return.
    check.returns()?;
    check.values()?;
    check.updates()?;
    check.fallbacks()?;
    Ok(true)
}

/// The contents of the data pages when a value is checked.
struct Case {
    rate: Rate,
    counter: Counter,
    /// Cycles since the last tick.
    age: i64,
    /// The position of that tick in its second.
    nsec: u64,
    offsets: Offsets,
}

/// The images, mapped for all roles.
struct Check<'a> {
    cycles_per_second: f64,
    rate: Rate,
    answer: Box<Answer>,
    /// In the order of [`Role::ALL`].
    mappings: Vec<Mapping<'a>>,
}

impl<'a> Check<'a> {
    fn new([stock, rust]: &'a [Image; 2]) -> Result<Self> {
        let cycles_per_second = cycles_per_second();
        let mappings = [stock, stock, rust, rust].map(|image| Mapping::new(image, 0));
        Ok(Self {
            cycles_per_second,
            rate: Rate::new(cycles_per_second, Rate::SHIFT),
            answer: Answer::new(),
            mappings: mappings.into_iter().collect::<Result<_>>()?,
        })
    }

    fn mapping(&self, role: Role) -> &Mapping<'a> {
        &self.mappings[role as usize]
    }

    /// Every call returns, in every role and with every counter.
    fn returns(&self) -> Result<()> {
        for counter in Counter::VALID {
            for role in Role::ALL {
                let mapping = self.mapping(role);
                role.tick(mapping, counter, self.rate);
                for read in READS {
                    mapping
                        .count_instructions(mapping.call(read, &self.answer)?)
                        .with_context(|| format!("{read:?} ({}, {counter:?})", role.title()))?;
                }
            }
        }
        Ok(())
    }

    /// Every read returns the right value.
    fn values(&self) -> Result<()> {
        let negative = |offset: Timestamp| Timestamp { sec: -offset.sec, nsec: 999_999_999 };
        let others = Offsets {
            monotonic: negative(OFFSETS.monotonic),
            boottime: negative(OFFSETS.boottime),
        };
        // For the greatest shift a TSC of less than 1 GHz would have too great a factor.
        let steep = Rate::new(self.cycles_per_second.max(2e9), Rate::MAX_SHIFT);
        let part = |rate: Rate, percent: i64| rate.max_cycles() as i64 / 100 * percent;
        // No time ago; in the future, as another CPU's counter may see it; around half of the time
        // after which the multiplication could overflow, and after it.
        let ages = [
            (self.rate, 0),
            (self.rate, -1000),
            (self.rate, part(self.rate, 49)),
            (self.rate, part(self.rate, 51)),
            (self.rate, part(self.rate, 110)),
            (steep, 0),
            (steep, part(steep, 49)),
        ];
        for (rate, age) in ages {
            for (nsec, offsets) in [(TICK, OFFSETS), (900_000_000, OFFSETS), (999_999_999, others)]
            {
                for counter in Counter::VALID {
                    let case = Case { rate, counter, age, nsec, offsets };
                    for role in Role::ALL {
                        for read in READS {
                            self.value(role, read, &case).with_context(|| {
                                let role = role.title();
                                format!("{read:?} ({role}, {counter:?}, {age}) is wrong")
                            })?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&self, role: Role, read: Read, case: &Case) -> Result<()> {
        let counter = case.counter;
        let mapping = self.mapping(role);
        let now = cycles();
        // A counter does not go back beyond its beginning.
        let age = case.age.min(now as i64 / 2);
        let then = now.wrapping_add_signed(-age);
        let data = TimeData::new(case.rate, counter, then, case.nsec);
        role.fill(mapping, counter, &data, &case.offsets);
        let call = mapping.call(read, &self.answer)?;
        self.answer.clear();
        let before = cycles();
        let result = call.call();
        let after = cycles();
        let offsets = role.in_namespace().then_some(&case.offsets);
        let wanted = wanted(read, &data, counter, [before, after], offsets);
        within(self.got(read, result)?, &[wanted])
    }

    /// The value that a call has returned.
    fn got(&self, read: Read, result: usize) -> Result<Timestamp> {
        if let Read::Time = read {
            return Ok(Timestamp { sec: result as i64, nsec: 0 });
        }
        ensure!(result as u32 == 0, "the call failed");
        Ok(self.answer.get())
    }

    /// While the data change, each read returns the value before or after, and no mixture.
    fn updates(&self) -> Result<()> {
        for counter in Counter::VALID {
            for role in Role::ALL {
                self.update(role, counter)
                    .with_context(|| format!("{}, {counter:?}, during updates", role.title()))?;
            }
        }
        Ok(())
    }

    fn update(&self, role: Role, counter: Counter) -> Result<()> {
        let mapping = self.mapping(role);
        let now = cycles();
        let early = now - now.min(self.cycles_per_second as u64 / 3);
        let data = [
            TimeData::new(self.rate, counter, now, TICK),
            TimeData::new(self.rate, counter, early, 900_000_000).later(5000),
        ];
        role.fill(mapping, counter, &data[0], &OFFSETS);
        let updater = mapping.updater(role.data_page());
        let (updates, done) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let (data, updates, done) = (&data, &updates, &done);
            scope.spawn(move || {
                use_all_cpus();
                for pause in (0..PAUSES).cycle() {
                    for data in data {
                        updater.update(data);
                        updates.fetch_add(1, Ordering::Relaxed);
                        (0..pause).for_each(|_| hint::spin_loop());
                    }
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let result = self.read_updates(role, counter, data, updates);
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    fn read_updates(
        &self,
        role: Role,
        counter: Counter,
        data: &[TimeData; 2],
        updates: &AtomicU32,
    ) -> Result<()> {
        let mapping = self.mapping(role);
        let offsets = role.in_namespace().then_some(&OFFSETS);
        for read in READS {
            let call = mapping.call(read, &self.answer)?;
            let first = updates.load(Ordering::Relaxed);
            while updates.load(Ordering::Relaxed).wrapping_sub(first) < UPDATES {
                let before = cycles();
                let result = call.call();
                let after = cycles();
                let of = |data| wanted(read, data, counter, [before, after], offsets);
                within(self.got(read, result)?, &data.each_ref().map(of))
                    .with_context(|| format!("{read:?} is wrong"))?;
            }
        }
        Ok(())
    }

    /// With a counter that can't be read the vDSO makes the system call.
    fn fallbacks(&self) -> Result<()> {
        for counter in Counter::INVALID {
            for role in Role::ALL {
                for id in [data::REALTIME, data::MONOTONIC, data::BOOTTIME] {
                    self.fallback(role, id, counter).with_context(|| {
                        let role = role.title();
                        format!("clock {id} ({role}, {counter:?}) is wrong")
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The kernel adds the offset itself: the value is this process's own.
    fn fallback(&self, role: Role, id: usize, counter: Counter) -> Result<()> {
        let mapping = self.mapping(role);
        role.tick(mapping, counter, self.rate);
        let call = mapping.call(Read::Clock(id), &self.answer)?;
        self.answer.clear();
        let real = || -> Result<Timestamp> {
            let now = clock_gettime(ClockId::from_raw(id as i32))?;
            Ok(Timestamp { sec: now.tv_sec(), nsec: now.tv_nsec() as u64 })
        };
        let before = real()?;
        ensure!(call.call() as u32 == 0, "the call failed");
        within(self.answer.get(), &[[before, real()?]])
    }
}

/// The least and the greatest value that a read may return which took from one cycle to another.
fn wanted(
    read: Read,
    data: &TimeData,
    counter: Counter,
    around: [u64; 2],
    offsets: Option<&Offsets>,
) -> [Timestamp; 2] {
    let expected = |id| around.map(|at| data.expected(id, counter.at(at), offsets));
    match read {
        Read::Clock(id) => expected(id),
        Read::TimeOfDay => {
            expected(data::REALTIME).map(|time| Timestamp { nsec: time.nsec / 1000, ..time })
        }
        Read::Time => [data.second(); 2],
        Read::Resolution => [data.resolution(); 2],
    }
}

/// The value lies in one of some ranges.
fn within(got: Timestamp, ranges: &[[Timestamp; 2]]) -> Result<()> {
    let mut ranges_with = ranges.iter().filter(|[low, high]| (low..=high).contains(&&got));
    ensure!(ranges_with.next().is_some(), "{got:?} is not within any of {ranges:?}");
    Ok(())
}

/// Lets this thread run on any CPU, away from a CPU that the process may be pinned to.
fn use_all_cpus() {
    let mut all = CpuSet::new();
    (0..CpuSet::count()).for_each(|cpu| {
        // Each of them is in range.
        let _ = all.set(cpu);
    });
    // Where this is not allowed, it takes turns with the others.
    let _ = sched_setaffinity(Pid::from_raw(0), &all);
}
