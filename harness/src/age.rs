// SPDX-License-Identifier: GPL-2.0

//! `age`: namespaces by the hundred thousand and a day of a container host, on both kernels, and
//! whether any memory is left behind.
//!
//! The guest's program, harness/guest/age.c, says what a cycle and an hour are.

use crate::{
    guest::{self, Guest, Machine},
    initramfs,
    kbuild::{self, Kind},
    report::keep,
    statistics::slope,
    steps::Step,
    Context,
};
use anyhow::{bail, ensure, Context as _, Result};
use clap::Args;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// With the ordinary allocator, which counts its objects.
const KINDS: [Kind; 2] = [Kind::StockBench, Kind::RustBench];

/// The cycles of a short life.
pub const SHORT: u32 = 4000;

/// Parts of the cycles, each of which ends with a sample.
const PARTS: u32 = 20;
/// How many samples there must be.
const SAMPLES: usize = 8;
/// How many more bytes may be in use each time that a namespace or a container has come and gone:
/// less than any of the objects that could be left behind has.
const BYTES: f64 = 48.0;
/// How many more objects of one kind there may be than there are on the stock kernel.
const OBJECTS: f64 = 0.01;
/// What vmalloc() frees only when there are thousands, so that a life ends anywhere between: it does not
/// count, nor does what it takes. One that is left behind has its pages, which the bytes tell.
const LAZY: &str = "vmap_area";

#[derive(Args)]
pub struct Options {
    /// How many namespaces come and go one by one: three of four are joined, of these 100,500.
    #[arg(long, default_value_t = 134_000, value_parser = clap::value_parser!(u32).range(2_000..))]
    cycles: u32,
    /// How many hours of a container host are simulated.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(8..))]
    hours: u32,
    /// How many containers start in an hour.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// With the kernels as they are.
    #[arg(long, hide = true)]
    no_build: bool,
}

/// What the guest said after one part.
#[derive(Default)]
struct Sample {
    /// How many namespaces, or containers, there have been.
    events: f64,
    bytes: f64,
    /// How many of these are those of [`LAZY`].
    lazy: f64,
    counts: BTreeMap<String, f64>,
}

/// What a guest said of all its parts.
#[derive(Default)]
pub struct Life {
    samples: Vec<Sample>,
    /// Starts, execs, freezes and thaws, stops.
    events: Option<String>,
    /// What else is wrong: what the kernel reported of itself.
    pub problems: Vec<String>,
}

fn parse(output: &str) -> Result<Life> {
    let mut life = Life::default();
    for line in output.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sample", events, bytes] => life.samples.push(Sample {
                events: events.parse()?,
                bytes: bytes.parse()?,
                lazy: 0.0,
                counts: BTreeMap::new(),
            }),
            ["count", name, count, size] => {
                let sample = life
                    .samples
                    .last_mut()
                    .context("a count without a sample")?;
                let count: f64 = count.parse()?;
                *sample.counts.entry(name.to_owned()).or_default() += count;
                if name == LAZY {
                    sample.lazy += count * size.parse::<f64>()?;
                }
            }
            ["events", starts, execs, freezes, stops] => {
                life.events = Some(format!(
                    "{starts} starts, {execs} execs, {freezes} freezes and thaws, {stops} stops"
                ));
            }
            _ => {}
        }
    }
    Ok(life)
}

impl Life {
    /// How much more of what `value` says there is each time, once the kernel is warm.
    fn growth(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let points: Vec<_> = self.samples[self.samples.len() / 4..]
            .iter()
            .map(|sample| (sample.events, value(sample)))
            .collect();
        slope(&points)
    }

    fn growth_in_bytes(&self) -> f64 {
        self.growth(|sample| sample.bytes - sample.lazy)
    }

    fn growth_of(&self, name: &str) -> f64 {
        self.growth(|sample| sample.counts.get(name).copied().unwrap_or_default())
    }

    /// What is counted, and how much more of it there is each time.
    fn growing(&self) -> Vec<(&str, f64)> {
        let names: BTreeSet<_> = self
            .samples
            .iter()
            .flat_map(|sample| sample.counts.keys())
            .collect();
        let mut growing: Vec<_> = names
            .into_iter()
            .map(|name| (name.as_str(), self.growth_of(name)))
            .collect();
        growing.sort_by(|a, b| b.1.total_cmp(&a.1));
        growing
    }

    /// Why it was not good, if it wasn't, beside the same life on the stock kernel.
    pub fn failures(&self, stock: &Self) -> Vec<String> {
        let mut failures = self.problems.clone();
        let bytes = self.growth_in_bytes();
        if bytes > BYTES {
            failures.push(format!("{bytes:.1} bytes more in use each time"));
        }
        for (name, growth) in self.growing() {
            if name == LAZY {
                continue;
            }
            let beyond = growth - stock.growth_of(name);
            if beyond > OBJECTS {
                failures.push(format!(
                    "{beyond:.3} more of {name} each time than on the stock kernel"
                ));
            }
        }
        failures
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |sample: &Sample| sample.bytes / f64::from(1 << 20);
        write!(f, "in use, MB:")?;
        for sample in &self.samples {
            write!(f, " {:.2}", megabytes(sample))?;
        }
        writeln!(f)?;
        if let Some(events) = &self.events {
            writeln!(f, "{events}")?;
        }
        let bytes = self.growth_in_bytes();
        write!(f, "{bytes:+.2} bytes each time (at most {BYTES})")?;
        let growing = self.growing();
        if let Some((name, growth)) = growing.first() {
            let others = growing.len() - 1;
            write!(
                f,
                "; most of all {growth:+.4} of {name}, {others} others less"
            )?;
        }
        Ok(())
    }
}

/// Builds both kernels, has them grow old and compares.
pub fn age(context: &Context, options: &Options) -> Result<bool> {
    let jobs = [
        (
            format!("{} namespaces", options.cycles),
            of_cycles(options.cycles),
            PARTS,
        ),
        (
            format!("{} hours of {} containers", options.hours, options.starts),
            format!("hours,{},{}", options.hours, options.starts),
            options.hours,
        ),
    ];
    let builds = match options.no_build {
        true => 0,
        false => KINDS.len() * kbuild::BUILD_STEPS,
    };
    let mut steps = context.steps(builds + jobs.len() * KINDS.len())?;
    if !options.no_build {
        // The stock build starts as a copy of ours.
        for kind in KINDS.into_iter().rev() {
            kbuild::build(context, &mut steps, kind)?;
        }
    }
    let mut good = true;
    let mut report = String::new();
    for (name, argument, parts) in jobs {
        let mut stock = None;
        for kind in KINDS {
            let title = format!("{name} on the {} kernel", kind.tested().name());
            let life = steps.run(&title, |step| {
                step.expect(parts.into());
                live(context, step, kind, &argument)
            })?;
            let mut text = format!("{title}: {life}\n");
            for failure in life.failures(stock.as_ref().unwrap_or(&life)) {
                text += &format!("FAILED {title}: {failure}\n");
                good = false;
            }
            print!("{text}");
            report += &text;
            keep(context, "age", &report)?;
            stock.get_or_insert(life);
        }
    }
    Ok(good)
}

/// A life of so many cycles, as the guest reads it.
pub fn of_cycles(cycles: u32) -> String {
    format!("cycles,{PARTS},{}", cycles / PARTS)
}

pub fn live(context: &Context, step: &Step, kind: Kind, argument: &str) -> Result<Life> {
    let initrd = initramfs::pack_job(context, step, kind, "age", &[])?;
    let guest = Guest {
        name: format!("age-{}", kind.name()),
        kind,
        initrd: &initrd,
        job: "age",
        arguments: [&format!("TIMENS_AGE={argument}"), "slab_nomerge"]
            .map(str::to_owned)
            .into(),
        limit: Duration::from_secs(7200),
        busy_host: false,
        share: None,
        machine: Machine::Fast,
    };
    let transcript = guest::run(context, step, &guest, |_| {})?;
    let mut life = parse(&transcript.output)?;
    if life.samples.len() < SAMPLES {
        // Its own complaint says more.
        let complaint = transcript
            .output
            .lines()
            .find_map(|line| line.strip_prefix("/jobs/age: "));
        bail!(
            "the {} kernel's guest gave {} samples: {}",
            kind.name(),
            life.samples.len(),
            complaint
                .map(str::to_owned)
                .unwrap_or(transcript.complaints().join("; "))
        );
    }
    let counted = |sample: &Sample| sample.counts.keys().any(|name| name.starts_with("kmalloc"));
    ensure!(
        life.samples.iter().all(counted),
        "the guest counted no objects: see /proc/slabinfo there"
    );
    life.problems = transcript.complaints();
    Ok(life)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(bytes: impl Fn(u32) -> u32, objects: impl Fn(u32) -> u32) -> Life {
        let output: String = (1..=20)
            .map(|part| {
                format!(
                    "sample {} {}\ncount kmalloc-256 {} 256\n",
                    part * 100,
                    bytes(part),
                    objects(part)
                )
            })
            .collect();
        parse(&output).unwrap()
    }

    #[test]
    fn noise_and_warming_up_are_no_leak() {
        let warm = |part: u32| if part < 4 { part * 100_000 } else { 400_000 };
        let noisy = life(warm, |part| 500 + part % 3);
        assert_eq!(noisy.failures(&noisy), [""; 0]);
    }

    #[test]
    fn an_object_each_time_is_a_leak() {
        let stock = life(|_| 1_000_000, |_| 500);
        let leaky = life(|part| 1_000_000 + part * 100 * 64, |part| part * 100);
        let failures = leaky.failures(&stock);
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].starts_with("64.0 bytes"), "{failures:?}");
        assert!(failures[1].starts_with("1.000 more of kmalloc-256"));
    }

    #[test]
    fn what_is_freed_lazily_does_not_count() {
        let output: String = (1..=20)
            .map(|part| {
                let (events, areas) = (part * 100, part * 50);
                let bytes = 1_000_000 + areas * 128;
                format!("sample {events} {bytes}\ncount {LAZY} {areas} 128\n")
            })
            .collect();
        let life = parse(&output).unwrap();
        assert_eq!(life.failures(&Life::default()), [""; 0]);
        assert!(life.to_string().contains("+0.00 bytes each time"), "{life}");
    }

    #[test]
    fn what_stock_frees_late_is_no_leak_of_ours() {
        let late = || life(|_| 1_000_000, |part| part * 20);
        assert_eq!(late().failures(&late()), [""; 0]);
    }
}
