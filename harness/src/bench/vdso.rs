// SPDX-License-Identifier: GPL-2.0

//! Times clock reads of the stock and of our vDSO against each other, natively.
//!
//! Both built images are mapped into this process behind data pages that are filled here, as a
//! task on the host and as one in a time namespace sees them, and timed in turns.

mod data;
mod image;
mod mapping;
mod plot;
mod report;

use crate::{
    context::Context,
    kernel::{
        build,
        kernels::{RUST, STOCK},
    },
    session::{
        statistics::{half, halves_differ, lowest, median},
        Session, Step,
    },
};
use anyhow::{bail, ensure, Context as _, Result};
use clap::Args;
use data::{Counter, Offsets, Rate, TimeData, Timestamp};
use image::Image;
use mapping::{cycles, yardstick, Answer, Call, Mapping, YARD};
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    time::{clock_gettime, ClockId},
    unistd::Pid,
};
use report::{time_verdict, Cell, Row};
use serde::Serialize;
use std::{
    fmt, fs,
    hint::{self, black_box},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often each image is mapped, each time elsewhere and called from another stack depth.
///
/// Odd, so that the even and the odd rounds both meet all of them.
const LAYOUTS: u32 = 5;
/// Timings of a round, which has one layout; their median is its result.
///
/// Timings are scaled by the yardstick, which errs to both sides and sometimes far: the lowest of
/// single timings would be the luckiest error.
const TIMINGS: u32 = 7;
/// Calls of one burst, and bursts before a timing that let the caches and predictors settle.
const BURST: u32 = 16;
const WARM_UP: u32 = 12;
/// TSC cycles of one timing: long against reading the TSC, short against a tick.
const TIMING: u64 = 40_000;
/// Timings with cold caches and TLB.
const COLD_SAMPLES: u32 = 400;
/// How often it is tried anew while the machine is noisy.
const ATTEMPTS: u32 = 10;
/// How often a timing is tried while the frequency of the core changes, and how much it may.
const TRIES: u32 = 100;
const SAME_FREQUENCY: f64 = 0.005;
/// How much the lowest of the even and of the odd rounds may differ.
///
/// A sanity check: the code itself may run in one of two rhythms, of which the faster can be rare.
/// What protects the verdict from chance is that either half of the rounds must give the same.
const STEADY: f64 = 0.02;
/// How often the data change while each clock is read, and the most spins between two changes.
const UPDATES: u32 = 1000;
const PAUSES: u32 = 64;
/// Where in the second the ticks of the timed reads are: neither they nor the offsets carry.
const TICK: u64 = 100_000_000;
const TIMED_OFFSETS: Offsets = Offsets {
    monotonic: Timestamp { sec: 1_000_000, nsec: 300_000_000 },
    boottime: Timestamp { sec: -2_000_000, nsec: 500_000_000 },
};

#[derive(Args)]
pub struct Options {
    /// Rounds of timing, at least 30.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(30..))]
    rounds: u32,
    /// The images, where they are not to be those of the two kernels built here.
    #[arg(long, hide = true, requires = "our_image")]
    stock_image: Option<PathBuf>,
    #[arg(long, hide = true, requires = "stock_image")]
    our_image: Option<PathBuf>,
    /// Where the results go, if not to out/bench.
    #[arg(long, hide = true)]
    results: Option<PathBuf>,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    Clock(usize),
    TimeOfDay,
    Time,
    Resolution,
}

/// Everything whose value is checked.
const CHECKED: [Read; 11] = [
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

/// A read that is timed.
struct Timed {
    name: &'static str,
    read: Read,
    counter: Counter,
}

const fn timed(name: &'static str, read: Read) -> Timed {
    Timed { name, read, counter: Counter::Tsc }
}

const fn with(counter: Counter, timed: Timed) -> Timed {
    Timed { counter, ..timed }
}

const READS: [Timed; 13] = [
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

/// What is in the data pages when a value is checked.
struct Case {
    rate: Rate,
    counter: Counter,
    /// Cycles since the last tick.
    age: i64,
    /// How far into a second that was.
    nsec: u64,
    offsets: Offsets,
}

/// Whose image, and where the task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    StockHost,
    StockNs,
    OursHost,
    OursNs,
}

impl Role {
    const ALL: [Self; 4] = [Self::StockHost, Self::StockNs, Self::OursHost, Self::OursNs];

    fn title(self) -> &'static str {
        match self {
            Self::StockHost => "stock, host",
            Self::StockNs => "stock, in a namespace",
            Self::OursHost => "ours, host",
            Self::OursNs => "ours, in a namespace",
        }
    }

    fn in_namespace(self) -> bool {
        matches!(self, Self::StockNs | Self::OursNs)
    }

    /// Which page has the real data.
    fn data_page(self) -> usize {
        usize::from(self == Self::StockNs)
    }

    /// Fills the data pages as a task in this role sees them.
    fn fill(self, mapping: &Mapping<'_>, counter: Counter, data: &TimeData, offsets: &Offsets) {
        match self {
            // What is behind the real page stays a page of zeroes.
            Self::StockHost | Self::OursHost => mapping.fill(0, data),
            Self::StockNs => {
                mapping.fill(0, &offsets.page());
                mapping.fill(1, data);
            }
            Self::OursNs => {
                mapping.fill(0, data);
                mapping.fill(1, &offsets.page());
            }
        }
        if let Some((page, words)) = counter.page() {
            mapping.fill(page, &words);
        }
    }
}

/// The machine does not measure the same twice, so that no verdict can be given.
#[derive(Debug)]
pub struct TooNoisy(String);

impl fmt::Display for TooNoisy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no verdict, the machine is too noisy: {}; try again when it is idle", self.0)
    }
}

impl std::error::Error for TooNoisy {}

/// Builds both kernels, times their images and gives the verdict.
pub fn bench(context: &Context, options: &Options) -> Result<bool> {
    const STEPS: usize = 4;
    let (mut steps, paths) = match (&options.stock_image, &options.our_image) {
        (Some(stock), Some(ours)) => (Session::new(context, STEPS)?, [stock.clone(), ours.clone()]),
        _ => {
            let mut steps = Session::new(context, 2 + STEPS)?;
            for kernel in [&RUST, &STOCK] {
                steps.step(&format!("build {}", kernel.name), |step| {
                    build::build(context, step, kernel)
                })?;
            }
            (steps, built_images(context))
        }
    };
    let images = [Image::read(&paths[0])?, Image::read(&paths[1])?];
    let cpu = pin()?;
    let bench = steps.step("map both vDSO images", |_| Bench::new(&images))?;
    // First, because it survives a call that does not return.
    let instructions = steps.step("count instructions", |_| bench.instructions())?;
    let hot = steps.step("time with warm caches", |step| bench.time_hot(step, options.rounds))?;
    let cold = steps.step("time with cold caches and TLB", |step| bench.time_cold(step))?;
    let rows = (0..READS.len())
        .map(|read| Row {
            name: READS[read].name,
            cells: Role::ALL
                .into_iter()
                .map(|role| {
                    let at = cell(read, role);
                    let cell = Cell {
                        lowest: lowest(&hot[at]),
                        median: median(&hot[at]),
                        cold: median(&cold[at]),
                        instructions: instructions[at],
                    };
                    (role, cell)
                })
                .collect(),
        })
        .collect();
    let report = report::Report::new(cpu, &bench, hot[0].len(), rows, &images);
    let dir = options.results.clone().unwrap_or_else(|| context.out.join("bench"));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    report.save(&dir.join("bench-vdso.json"))?;
    plot::draw(&dir.join("bench-vdso.svg"), &report.rows)?;
    println!("\n{report}");
    Ok(report.passed())
}

/// Checks the values that two images read, in this process.
pub fn check(paths: [&Path; 2]) -> Result<()> {
    let images = [Image::read(paths[0])?, Image::read(paths[1])?];
    pin()?;
    let bench = Bench::new(&images)?;
    bench.check()
}

/// The images of the stock and of our kernel.
fn built_images(context: &Context) -> [PathBuf; 2] {
    [&STOCK, &RUST].map(|kernel| image_of(&context.build_dir(kernel)))
}

/// The image of the kernel that was built in a directory.
pub fn image_of(build: &Path) -> PathBuf {
    build.join("arch/x86/entry/vdso/vdso64/vdso64.so")
}

/// Samples, one list for each read in each role.
type Samples = Vec<Vec<f64>>;

fn cell(read: usize, role: Role) -> usize {
    read * Role::ALL.len() + role as usize
}

fn no_samples() -> Samples {
    vec![vec![]; READS.len() * Role::ALL.len()]
}

/// All roles, in the order of their turns, which differs from round to round and read to read.
fn turns(round: u32, read: usize) -> impl Iterator<Item = Role> {
    let first = round as usize + read;
    (0..Role::ALL.len()).map(move |turn| Role::ALL[(first + turn) % Role::ALL.len()])
}

/// Runs `work` so much deeper in the stack.
fn deeper<T>(levels: u32, work: &mut dyn FnMut() -> T) -> T {
    let room = black_box([0u64; 17]);
    let result = match levels.checked_sub(1) {
        Some(levels) => deeper(levels, work),
        None => work(),
    };
    black_box(&room);
    result
}

/// The images, mapped for all roles.
struct Bench<'a> {
    cycles_per_second: f64,
    rate: Rate,
    answer: Box<Answer>,
    /// For each layout, the roles.
    mappings: Vec<Vec<Mapping<'a>>>,
}

impl<'a> Bench<'a> {
    fn new(images: &'a [Image; 2]) -> Result<Self> {
        let cycles_per_second = cycles_per_second();
        let layout = |layout: u32| {
            // Any number of pages that does not repeat in the powers of two of the caches.
            let shift = 13 * layout as usize;
            let of = |image| Mapping::new(image, shift);
            let [stock, ours] = images;
            [stock, stock, ours, ours].into_iter().map(of).collect()
        };
        Ok(Self {
            cycles_per_second,
            rate: Rate::new(cycles_per_second, Rate::SHIFT),
            answer: Answer::new(),
            mappings: (0..LAYOUTS).map(layout).collect::<Result<_>>()?,
        })
    }

    /// The mapping for `role` with its data pages as after a tick just now.
    fn ticked(&self, layout: u32, role: Role, counter: Counter) -> &Mapping<'a> {
        let mapping = &self.mappings[layout as usize][role as usize];
        let data = TimeData::new(self.rate, counter, cycles(), TICK);
        role.fill(mapping, counter, &data, &TIMED_OFFSETS);
        mapping
    }

    /// Every read in every role gives the right value, with every counter, whenever the last tick
    /// was, and with offsets that carry and don't.
    fn check(&self) -> Result<()> {
        let negative = |offset: Timestamp| Timestamp { sec: -offset.sec, nsec: 999_999_999 };
        let others = Offsets {
            monotonic: negative(TIMED_OFFSETS.monotonic),
            boottime: negative(TIMED_OFFSETS.boottime),
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
            for (nsec, offsets) in
                [(TICK, TIMED_OFFSETS), (900_000_000, TIMED_OFFSETS), (999_999_999, others)]
            {
                for counter in Counter::VALID {
                    let case = Case { rate, counter, age, nsec, offsets };
                    for role in Role::ALL {
                        for read in CHECKED {
                            self.check_one(role, read, &case).with_context(|| {
                                let role = role.title();
                                format!("{read:?} ({role}, {counter:?}, {age}) reads wrongly")
                            })?;
                        }
                    }
                }
            }
        }
        for counter in Counter::VALID {
            for role in Role::ALL {
                self.check_updates(role, counter)
                    .with_context(|| format!("{}, {counter:?}, during updates", role.title()))?;
            }
        }
        for counter in Counter::INVALID {
            for role in Role::ALL {
                for id in [data::REALTIME, data::MONOTONIC, data::BOOTTIME] {
                    self.check_fallback(role, id, counter).with_context(|| {
                        let role = role.title();
                        format!("clock {id} ({role}, {counter:?}) reads wrongly")
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_one(&self, role: Role, read: Read, case: &Case) -> Result<()> {
        let counter = case.counter;
        let mapping = &self.mappings[0][role as usize];
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

    /// What a call has read.
    fn got(&self, read: Read, result: usize) -> Result<Timestamp> {
        if let Read::Time = read {
            return Ok(Timestamp { sec: result as i64, nsec: 0 });
        }
        ensure!(result as u32 == 0, "the call failed");
        Ok(self.answer.get())
    }

    /// While the data change, each read gives what is right before or after, and no mixture.
    fn check_updates(&self, role: Role, counter: Counter) -> Result<()> {
        let mapping = &self.mappings[0][role as usize];
        let now = cycles();
        let early = now - now.min(self.cycles_per_second as u64 / 3);
        let data = [
            TimeData::new(self.rate, counter, now, TICK),
            TimeData::new(self.rate, counter, early, 900_000_000).later(5000),
        ];
        role.fill(mapping, counter, &data[0], &TIMED_OFFSETS);
        let updater = mapping.updater(role.data_page());
        let (updates, done) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let (data, updates, done) = (&data, &updates, &done);
            scope.spawn(move || {
                leave_cpu();
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
        let mapping = &self.mappings[0][role as usize];
        let offsets = role.in_namespace().then_some(&TIMED_OFFSETS);
        for read in CHECKED {
            let call = mapping.call(read, &self.answer)?;
            let first = updates.load(Ordering::Relaxed);
            while updates.load(Ordering::Relaxed).wrapping_sub(first) < UPDATES {
                let before = cycles();
                let result = call.call();
                let after = cycles();
                let of = |data| wanted(read, data, counter, [before, after], offsets);
                within(self.got(read, result)?, &data.each_ref().map(of))
                    .with_context(|| format!("{read:?} reads wrongly"))?;
            }
        }
        Ok(())
    }

    /// A counter that can't be read has the kernel asked, which adds the offset itself.
    fn check_fallback(&self, role: Role, id: usize, counter: Counter) -> Result<()> {
        let mapping = self.ticked(0, role, counter);
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

    fn instructions(&self) -> Result<Vec<u32>> {
        let mut counts = vec![];
        for Timed { name, read, counter } in READS {
            for role in Role::ALL {
                let mapping = self.ticked(0, role, counter);
                let count = mapping
                    .count_instructions(mapping.call(read, &self.answer)?)
                    .with_context(|| format!("{name} ({})", role.title()))?;
                counts.push(count);
            }
        }
        Ok(counts)
    }

    /// Core cycles per call, round by round.
    ///
    /// Starts again while the machine is noisy.
    fn time_hot(&self, step: &Step, rounds: u32) -> Result<Samples> {
        let mut attempt = 1;
        loop {
            let mut samples = no_samples();
            step.expect(rounds.into());
            for round in 0..rounds {
                self.hot_round(round, &mut samples)?;
                step.progress(round.into(), &format!("attempt {attempt}"));
            }
            let Some(noise) = noise(&samples) else {
                return Ok(samples);
            };
            if attempt == ATTEMPTS {
                bail!(TooNoisy(format!("{noise} in the last of {ATTEMPTS} attempts")));
            }
            attempt += 1;
        }
    }

    fn hot_round(&self, round: u32, samples: &mut Samples) -> Result<()> {
        let layout = round % LAYOUTS;
        let mut timings = no_samples();
        for turn in 0..TIMINGS {
            for (at, Timed { read, counter, .. }) in READS.into_iter().enumerate() {
                for role in turns(round + turn, at) {
                    let mapping = self.ticked(layout, role, counter);
                    let call = mapping.call(read, &self.answer)?;
                    timings[cell(at, role)].push(deeper(layout, &mut || core_cycles(call))?);
                }
            }
        }
        for (samples, timings) in samples.iter_mut().zip(timings) {
            samples.push(median(&timings));
        }
        Ok(())
    }

    /// TSC cycles of single calls right after the caches and the TLB were emptied.
    fn time_cold(&self, step: &Step) -> Result<Samples> {
        let mut samples = no_samples();
        step.expect(COLD_SAMPLES.into());
        for round in 0..COLD_SAMPLES {
            for (at, Timed { read, counter, .. }) in READS.into_iter().enumerate() {
                for role in turns(round, at) {
                    let mapping = self.ticked(round % LAYOUTS, role, counter);
                    let call = mapping.call(read, &self.answer)?;
                    mapping.cool()?;
                    let empty = call.time(1, 0);
                    samples[cell(at, role)].push(call.time(1, 1).saturating_sub(empty) as f64);
                }
            }
            step.progress(round.into(), "");
        }
        Ok(samples)
    }
}

/// The least and the most that a read may give which took from one cycle to another.
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

/// Lets this thread run on any CPU, away from the one that the process stays on.
fn leave_cpu() {
    let mut all = CpuSet::new();
    (0..CpuSet::count()).for_each(|cpu| {
        // Each of them is in range.
        let _ = all.set(cpu);
    });
    // Where it may not, it takes turns with the others.
    let _ = sched_setaffinity(Pid::from_raw(0), &all);
}

/// The core cycles of a call, from a timing during which the core kept its frequency.
fn core_cycles(call: Call<'_>) -> Result<f64> {
    for _ in 0..TRIES {
        let burst = call.time(WARM_UP, BURST) / u64::from(WARM_UP);
        let bursts = (TIMING / burst).max(1) as u32;
        let before = yardstick() as f64;
        let taken = call.time(bursts, BURST) as f64;
        let after = yardstick() as f64;
        if (before - after).abs() <= SAME_FREQUENCY * before {
            let core_cycles = taken * 2.0 * YARD as f64 / (before + after);
            return Ok(core_cycles / f64::from(bursts * BURST));
        }
    }
    bail!(TooNoisy(format!("the frequency of the core changed during {TRIES} timings in a row")))
}

/// What keeps the verdict from standing: the even and the odd rounds do not agree about it.
fn noise(samples: &Samples) -> Option<String> {
    for (at, Timed { name, .. }) in READS.into_iter().enumerate() {
        // What stock costs in a namespace is told, but nothing is judged by it.
        for role in [Role::StockHost, Role::OursHost, Role::OursNs] {
            let difference = halves_differ(&samples[cell(at, role)]);
            if difference > STEADY {
                let percent = 100.0 * difference;
                let title = role.title();
                return Some(format!(
                    "even and odd rounds differ by {percent:.1} % for {name} ({title})"
                ));
            }
        }
    }
    let verdict = |first, of: fn(&[f64]) -> f64| {
        time_verdict(|at, role| of(&half(&samples[cell(at, role)], first)))
    };
    let mut pairs =
        [lowest, median].into_iter().flat_map(|of| verdict(0, of).into_iter().zip(verdict(1, of)));
    let (even, _) = pairs.find(|(even, odd)| even.passed != odd.passed)?;
    Some(format!("even and odd rounds do not give the same verdict on {}", even.what))
}

/// Keeps this process on one CPU: the last, which has the fewest interrupts on most machines.
fn pin() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::this()).context("cannot see the allowed CPUs")?;
    let cpu = (0..CpuSet::count())
        .rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("no CPU is allowed")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::this(), &one).with_context(|| format!("cannot stay on CPU {cpu}"))?;
    Ok(cpu)
}

/// The frequency of the TSC.
fn cycles_per_second() -> f64 {
    let (time, begin) = (Instant::now(), cycles());
    std::thread::sleep(Duration::from_millis(100));
    (cycles() - begin) as f64 / time.elapsed().as_secs_f64()
}
