// SPDX-License-Identifier: GPL-2.0

//! The timing: calls into both images in turns, with warm and with cold caches.

use super::{
    reads::{Timed, READS},
    report::time_verdict,
};
use crate::{
    session::{
        statistics::{half, halves_differ, lowest, median},
        Step,
    },
    vdso::{
        cycles_per_second,
        data::{Counter, Rate},
        image::Image,
        mapping::{yardstick, Answer, Call, Mapping, YARD},
        Role,
    },
};
use anyhow::{bail, Context as _, Result};
use std::{fmt, hint::black_box};

/// The mappings of each image, each elsewhere and called from another stack depth.
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
/// The attempts while the machine is noisy.
const ATTEMPTS: u32 = 10;
/// The tries of a timing while the frequency of the core changes, and the change that is accepted.
const TRIES: u32 = 100;
const SAME_FREQUENCY: f64 = 0.005;
/// The accepted difference between the lowest of the even and of the odd rounds.
///
/// A sanity check: the code itself may run in one of two rhythms, and the faster one can be rare.
/// The verdict does not depend on chance, because both halves of the rounds must give the same one.
const STEADY: f64 = 0.02;

/// The machine does not measure the same twice: there is no verdict.
#[derive(Debug)]
pub struct TooNoisy(String);

impl fmt::Display for TooNoisy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no verdict, the machine is too noisy: {}; try again when it is idle", self.0)
    }
}

impl std::error::Error for TooNoisy {}

/// Samples, one list for each read in each role.
pub type Samples = Vec<Vec<f64>>;

pub fn cell(read: usize, role: Role) -> usize {
    read * Role::ALL.len() + role as usize
}

fn no_samples() -> Samples {
    vec![vec![]; READS.len() * Role::ALL.len()]
}

/// All roles in the order of their turns. It differs from round to round and from read to read.
fn turns(round: u32, read: usize) -> impl Iterator<Item = Role> {
    let first = round as usize + read;
    (0..Role::ALL.len()).map(move |turn| Role::ALL[(first + turn) % Role::ALL.len()])
}

/// Runs `work` `levels` calls deeper in the stack.
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
pub struct Bench<'a> {
    pub cycles_per_second: f64,
    rate: Rate,
    answer: Box<Answer>,
    /// For each layout, the roles.
    mappings: Vec<Vec<Mapping<'a>>>,
}

impl<'a> Bench<'a> {
    /// Maps the images of the C and of the Rust kernel.
    pub fn new([c, rust]: &'a [Image; 2]) -> Result<Self> {
        let cycles_per_second = cycles_per_second();
        let layout = |layout: u32| {
            // Any number of pages that does not repeat in the powers of two of the caches.
            let shift = 13 * layout as usize;
            let of = |image| Mapping::new(image, shift);
            [c, c, rust, rust].into_iter().map(of).collect()
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
        role.tick(mapping, counter, self.rate);
        mapping
    }

    /// The instructions of each read in each role.
    pub fn instructions(&self) -> Result<Vec<u32>> {
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
    pub fn time_hot(&self, step: &Step, rounds: u32) -> Result<Samples> {
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
    pub fn time_cold(&self, step: &Step) -> Result<Samples> {
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

/// The core cycles of a call, timed while the core keeps its frequency.
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

/// The reason why there is no verdict, if the even and the odd rounds do not agree about it.
fn noise(samples: &Samples) -> Option<String> {
    for (at, Timed { name, .. }) in READS.into_iter().enumerate() {
        // No limit depends on the C kernel's reads in a namespace.
        for role in [Role::CHost, Role::RustHost, Role::RustNamespace] {
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
    Some(format!("even and odd rounds do not give the same verdict on {}", even.name))
}
