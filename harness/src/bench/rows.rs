// SPDX-License-Identifier: GPL-2.0

//! The rows of the comparison: the formula of each figure, and its limit.

use super::{
    judge::{worse, ENOUGH},
    output::{Cache, Output, Phase},
    size::Size,
};
use crate::session::statistics::{low, median, median_at_least, modes, quantile};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use Formula::{Difference, Growth, Memory, ModuleSize, Paired, Panics, Samples, Sum};
use Limit::{Absolute, NoLimit, OfC};

/// The namespaces that the guest keeps alive to measure their memory.
const NAMESPACES: f64 = 100_000.0;

/// The measurements of one kernel.
pub struct Measured {
    pub output: Output,
    pub size: Size,
    /// The functions of `core::panicking` that the objects refer to.
    pub panics: u64,
}

/// A figure of one kernel. All parts of one that is measured once are the same.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figure {
    /// One in twenty samples does not exceed it.
    pub low: f64,
    pub median: f64,
}

impl Figure {
    pub fn of(samples: &[f64]) -> Self {
        Self { low: low(samples), median: median(samples) }
    }

    fn once(value: f64) -> Self {
        Self { low: value, median: value }
    }

    fn with(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self { low: of(self.low, other.low), median: of(self.median, other.median) }
    }

    fn worst(self) -> f64 {
        self.low.max(self.median)
    }
}

/// A figure, with the samples that it summarises where there are any.
struct Evaluated {
    figure: Figure,
    samples: Option<Vec<f64>>,
}

impl Evaluated {
    fn of(samples: Vec<f64>) -> Self {
        Self { figure: Figure::of(&samples), samples: Some(samples) }
    }

    fn alone(figure: Figure) -> Self {
        Self { figure, samples: None }
    }
}

/// The formula of a figure. The names are those of the guest's samples.
#[derive(Clone, Copy)]
pub enum Formula {
    Samples(&'static str),
    /// The sum of two samples of the same cycle.
    Sum(&'static str, &'static str),
    /// The first without the second, its control.
    Difference(&'static str, &'static str),
    /// The same, of samples that were taken in turns and vary from one turn to the next.
    Paired(&'static str, &'static str),
    /// The ratio of the first to the second.
    Growth(&'static str, &'static str),
    /// The bytes of a namespace of that phase.
    Memory(&'static str),
    /// A part of the objects' size.
    ModuleSize(fn(&Size) -> u64),
    Panics,
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Samples(name) => write!(f, "{name}"),
            Sum(one, other) => write!(f, "{one} + {other}"),
            Difference(whole, control) => write!(f, "{whole} - {control}"),
            Paired(whole, control) => write!(
                f,
                "median of {whole} - {control} taken in turns; low: its lower bound with 97.5 % \
                 confidence"
            ),
            Growth(large, small) => write!(f, "{large} / {small}"),
            Memory(phase) => write!(
                f,
                "pages of {NAMESPACES} namespaces, {phase}, each kept alive by a file, without the \
                 pages of as many UTS namespaces but for those of their own cache; bytes of one"
            ),
            ModuleSize(_) => write!(f, "sections of the objects that only this implementation has"),
            Panics => write!(f, "undefined symbols of core::panicking in the objects"),
        }
    }
}

/// The limit of a figure.
#[derive(Clone, Copy)]
pub enum Limit {
    /// At most this many times the C kernel's.
    OfC(f64),
    /// At most this.
    Absolute(f64),
    /// The figure is only shown.
    NoLimit,
}

pub struct Row {
    pub name: &'static str,
    pub formula: Formula,
    pub limit: Limit,
}

const fn row(name: &'static str, formula: Formula, limit: Limit) -> Row {
    Row { name, formula, limit }
}

pub const ROWS: &[Row] = &[
    row("unshare(CLONE_NEWTIME)", Samples("unshare/zero"), OfC(0.40)),
    row("unshare + write of both offsets", Sum("unshare/offsets", "write/offsets"), OfC(1.0)),
    row("unshare of a namespace with offsets", Samples("unshare/copy"), OfC(1.0)),
    row("read of timens_offsets, open to close", Samples("read_whole"), OfC(1.0)),
    row("read of timens_offsets, open before", Samples("read_again"), OfC(1.0)),
    row("write of timens_offsets, open before", Samples("write_again"), OfC(1.0)),
    row("first join by fork", Paired("fork_first/offsets", "fork_plain/offsets"), OfC(1.0)),
    row("first join by fork, offsets 0", Paired("fork_first/zero", "fork_plain/zero"), OfC(1.0)),
    row("later join by fork", Paired("fork_later/offsets", "fork_plain/offsets"), OfC(1.0)),
    row("later join by fork, offsets 0", Paired("fork_later/zero", "fork_plain/zero"), OfC(1.0)),
    row("first join by exec", Paired("exec_first/offsets", "exec_plain/offsets"), OfC(1.0)),
    row("later join by exec", Paired("exec_later/offsets", "exec_plain/offsets"), OfC(1.0)),
    row("setns in, first to join", Samples("setns_first/offsets"), OfC(1.0)),
    row("setns in", Samples("setns_in/offsets"), OfC(1.0)),
    row("setns out", Samples("setns_out/offsets"), OfC(1.0)),
    row("setns in, first, offsets 0", Samples("setns_first/zero"), OfC(1.0)),
    row("setns in, offsets 0", Samples("setns_in/zero"), OfC(1.0)),
    row("setns out, offsets 0", Samples("setns_out/zero"), OfC(1.0)),
    row("first clock read after setns", Samples("first_read/offsets"), NoLimit),
    row("first clock read of a program, host", Samples("first_clock/host"), NoLimit),
    row("first clock read of a program, namespace", Samples("first_clock/ns"), NoLimit),
    row("fork + exit, host", Samples("fork_plain/zero"), NoLimit),
    row("last close", Samples("close/offsets"), OfC(1.0)),
    row("last close, offsets 0", Samples("close/zero"), OfC(1.0)),
    row("last close, with RCU", Difference("close_deferred/offsets", "close_plain"), OfC(1.0)),
    row(
        "last close, with RCU, offsets 0",
        Difference("close_deferred/zero", "close_plain"),
        OfC(1.0),
    ),
    row(
        "setns in, 30,000 VMAs / 10",
        Growth("setns_in/offsets/vmas30000", "setns_in/offsets/vmas10"),
        Absolute(1.1),
    ),
    row(
        "setns in, first, 30,000 VMAs / 10",
        Growth("setns_first/offsets/vmas30000", "setns_first/offsets/vmas10"),
        Absolute(1.1),
    ),
    row(
        "setns out, 30,000 VMAs / 10",
        Growth("setns_out/offsets/vmas30000", "setns_out/offsets/vmas10"),
        Absolute(1.1),
    ),
    row("clock_gettime, host", Samples("clock_gettime/host"), OfC(1.0)),
    row("clock_gettime, namespace", Samples("clock_gettime/ns"), OfC(1.0)),
    row("clock_gettime BOOTTIME, host", Samples("clock_gettime_boottime/host"), OfC(1.0)),
    row("clock_gettime BOOTTIME, namespace", Samples("clock_gettime_boottime/ns"), OfC(1.0)),
    row("clock_nanosleep, host", Samples("clock_nanosleep/host"), OfC(1.0)),
    row("clock_nanosleep, namespace", Samples("clock_nanosleep/ns"), OfC(1.0)),
    row("timerfd_settime, host", Samples("timerfd_settime/host"), OfC(1.0)),
    row("timerfd_settime, namespace", Samples("timerfd_settime/ns"), OfC(1.0)),
    row("timer_settime, host", Samples("timer_settime/host"), OfC(1.0)),
    row("timer_settime, namespace", Samples("timer_settime/ns"), OfC(1.0)),
    row("futex with timeout, host", Samples("futex/host"), OfC(1.0)),
    row("futex with timeout, namespace", Samples("futex/ns"), OfC(1.0)),
    row("bytes of a namespace, offsets 0", Memory("zero"), OfC(0.2)),
    row("bytes of a namespace", Memory("offsets"), NoLimit),
    row("unshare, 100,000 live", Samples("unshare/offsets/live100000"), OfC(1.0)),
    row(
        "unshare, 100,000 live, more than 1",
        Difference("unshare/offsets/live100000", "unshare/offsets/live1"),
        OfC(1.0),
    ),
    row(
        "unshare, 100,000 live / 1",
        Growth("unshare/offsets/live100000", "unshare/offsets/live1"),
        OfC(1.0),
    ),
    row("bytes of text", ModuleSize(|size| size.text), OfC(1.3)),
    row(
        "bytes of text, with parts elsewhere",
        ModuleSize(|size| size.text + size.elsewhere),
        OfC(1.3),
    ),
    row("bytes of rodata", ModuleSize(|size| size.rodata), NoLimit),
    row("bytes of data", ModuleSize(|size| size.data), NoLimit),
    row("references to core::panicking", Panics, Absolute(0.0)),
];

impl Measured {
    fn samples(&self, name: &str) -> Result<&[f64]> {
        let samples = self.output.samples.get(name);
        samples.map(Vec::as_slice).with_context(|| format!("the guest printed no samples {name}"))
    }

    fn figure(&self, name: &str) -> Result<Figure> {
        Ok(Figure::of(self.samples(name)?))
    }

    /// Combines the samples of two names that were taken in turns.
    fn in_turns(&self, one: &str, other: &str, of: fn(f64, f64) -> f64) -> Result<Vec<f64>> {
        let turns = self.samples(one)?.iter().zip(self.samples(other)?);
        Ok(turns.map(|(one, other)| of(*one, *other)).collect())
    }

    /// The caches that have one more object for each namespace of a phase, with the objects' sizes.
    pub fn objects(&self, phase: &str) -> Result<BTreeMap<&str, f64>> {
        let [before, after] = self.phases(phase)?;
        let grown = after.caches.iter().filter(|(name, cache)| {
            let old = before.caches.get(*name).map_or(0.0, |cache| cache.objects);
            cache.objects - old >= 0.9 * NAMESPACES
        });
        Ok(grown.map(|(name, cache)| (name.as_str(), cache.object_size)).collect())
    }

    fn phases(&self, phase: &str) -> Result<[&Phase; 2]> {
        let of = |moment| {
            let name = format!("{phase}-{moment}");
            self.output
                .phases
                .get(&name)
                .with_context(|| format!("the guest did not print its memory at {name}"))
        };
        Ok([of("before")?, of("after")?])
    }

    /// The pages of the objects of a phase, without those of one cache.
    fn pages(&self, phase: &str, without: Option<&str>) -> Result<f64> {
        let [before, after] = self.phases(phase)?;
        let mut pages = before.free_pages - after.free_pages;
        if let Some(name) = without {
            let of = |caches: &BTreeMap<_, Cache>| -> Result<f64> {
                let cache = caches.get(name);
                Ok(cache.with_context(|| format!("/proc/slabinfo has no {name}"))?.pages)
            };
            pages -= of(&after.caches)? - of(&before.caches)?;
        }
        Ok(pages)
    }

    fn evaluate(&self, formula: Formula) -> Result<Evaluated> {
        let two = |one, other, of: fn(f64, f64) -> f64| -> Result<Evaluated> {
            let figure = self.figure(one)?.with(self.figure(other)?, of);
            Ok(Evaluated::alone(figure))
        };
        let once = |value| Ok(Evaluated::alone(Figure::once(value)));
        match formula {
            Samples(name) => Ok(Evaluated::of(self.samples(name)?.to_vec())),
            Sum(one, other) => {
                let sums = self.in_turns(one, other, |one, other| one + other)?;
                Ok(Evaluated::of(sums))
            }
            Difference(whole, control) => two(whole, control, |whole, control| whole - control),
            Paired(whole, control) => {
                let differences =
                    self.in_turns(whole, control, |whole, control| whole - control)?;
                Ok(Evaluated {
                    figure: Figure {
                        low: median_at_least(&differences),
                        median: median(&differences),
                    },
                    samples: Some(differences),
                })
            }
            Growth(large, small) => two(large, small, |large, small| large / small),
            Memory(phase) => {
                // The files that keep the namespaces alive are those of the control too.
                let pages = self.pages(phase, None)? - self.pages("uts", Some("uts_namespace"))?;
                once(pages * 4096.0 / NAMESPACES)
            }
            ModuleSize(part) => once(part(&self.size) as f64),
            Panics => once(self.panics as f64),
        }
    }
}

/// A value that samples have, and its share of them.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Mode {
    pub value: f64,
    pub share: f64,
}

/// The distribution of the samples of a row that is not exact.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// Nearly all samples have one of a few values: these, the most frequent first.
    Modes(Vec<Mode>),
    /// The samples that 5 %, 25 %, 50 %, 75 % and 95 % do not exceed.
    Quantiles([f64; 5]),
}

impl Spread {
    /// The most modes that are listed, and the part of the samples that they have to cover.
    const MODES: usize = 4;
    const COVERED: f64 = 0.95;

    /// The spread of samples, unless nearly all are equal.
    fn of(samples: &[f64]) -> Option<Self> {
        let modes = modes(samples).into_iter().take(Self::MODES);
        let modes: Vec<_> = modes.map(|(value, share)| Mode { value, share }).collect();
        if modes[0].share >= Self::COVERED {
            return None;
        }
        let covered: f64 = modes.iter().map(|mode| mode.share).sum();
        Some(match covered >= Self::COVERED {
            true => Self::Modes(modes),
            false => {
                let quantile = |part| quantile(samples, part);
                Self::Quantiles([0.05, 0.25, 0.5, 0.75, 0.95].map(quantile))
            }
        })
    }
}

/// A row with its figures and its verdict.
///
/// The names in the results are those that the cover letter reads.
#[derive(Debug, Deserialize, Serialize)]
pub struct Line {
    pub name: String,
    /// The formula: harness/guest/bench.c explains the samples.
    #[serde(rename = "of")]
    pub formula: String,
    #[serde(rename = "stock")]
    pub c: Option<Figure>,
    #[serde(rename = "ours")]
    pub rust: Option<Figure>,
    /// The Rust kernel's low or median relative to the C kernel's, the greater of both.
    pub ratio: Option<f64>,
    pub limit: Option<String>,
    /// Of both kernels' samples, where they are not exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<[Option<Spread>; 2]>,
    pub verdict: Verdict,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub enum Verdict {
    #[serde(rename = "PASS")]
    Pass,
    /// The low or the median is above the limit, but by no more than equal kernels differ.
    #[serde(rename = "PASS, equal but for chance")]
    Chance,
    #[serde(rename = "FAIL")]
    Fail,
    #[serde(rename = "no limit")]
    NoLimit,
    #[serde(rename = "not measured")]
    NotMeasured(String),
}

impl Row {
    pub fn judge(&self, c: &Measured, rust: &Measured) -> Line {
        let limit = match self.limit {
            OfC(limit) => Some(format!("<= {limit:.2} of C")),
            Absolute(limit) => Some(format!("<= {limit:.2}")),
            NoLimit => None,
        };
        let mut line = Line {
            name: self.name.to_owned(),
            formula: self.formula.to_string(),
            c: None,
            rust: None,
            ratio: None,
            limit,
            spread: None,
            verdict: Verdict::NoLimit,
        };
        let figures = c.evaluate(self.formula).and_then(|c| Ok((c, rust.evaluate(self.formula)?)));
        let (c, rust) = match figures {
            Ok(figures) => figures,
            Err(why) => {
                line.verdict = Verdict::NotMeasured(format!("{why:#}"));
                return line;
            }
        };
        (line.c, line.rust) = (Some(c.figure), Some(rust.figure));
        line.spread = spreads(&c, &rust);
        let comparable = c.figure.low > 0.0 && c.figure.median > 0.0;
        if comparable {
            line.ratio = Some(rust.figure.with(c.figure, |rust, c| rust / c).worst());
        }
        line.verdict = match self.limit {
            NoLimit => Verdict::NoLimit,
            OfC(_) if !comparable => {
                Verdict::NotMeasured("the C kernel takes no more than the control".to_owned())
            }
            OfC(limit) => compare(&c, &rust, limit),
            Absolute(limit) => verdict(rust.figure.worst() <= limit),
        };
        line
    }
}

fn spreads(c: &Evaluated, rust: &Evaluated) -> Option<[Option<Spread>; 2]> {
    let of = |evaluated: &Evaluated| Spread::of(evaluated.samples.as_deref()?);
    let spreads = [of(c), of(rust)];
    spreads.iter().any(Option::is_some).then_some(spreads)
}

/// Compares the Rust kernel's figure with `limit` times the C kernel's.
///
/// With enough samples the distributions decide, otherwise the low and the median.
fn compare(c: &Evaluated, rust: &Evaluated, limit: f64) -> Verdict {
    let within = rust.figure.with(c.figure, |rust, c| rust / c).worst() <= limit;
    match (&c.samples, &rust.samples) {
        (Some(c), Some(rust)) if c.len().min(rust.len()) >= ENOUGH => {
            let limits: Vec<_> = c.iter().map(|sample| limit * sample).collect();
            match worse(&limits, rust) {
                true => Verdict::Fail,
                false if within => Verdict::Pass,
                false => Verdict::Chance,
            }
        }
        _ => verdict(within),
    }
}

fn verdict(passed: bool) -> Verdict {
    match passed {
        true => Verdict::Pass,
        false => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: &str) -> Measured {
        Measured { output: Output::parse(text).unwrap(), size: Size::default(), panics: 0 }
    }

    fn line(formula: Formula, limit: Limit, c: &str, rust: &str) -> Line {
        row("x", formula, limit).judge(&measured(c), &measured(rust))
    }

    /// Samples of the name `a`: so many of each value.
    fn samples(modes: &[(u32, usize)]) -> String {
        let of = |(value, count): &(u32, usize)| format!(" {value}").repeat(*count);
        format!("SAMPLES a{}", modes.iter().map(of).collect::<String>())
    }

    #[test]
    fn few_samples_are_judged_by_the_worse_of_low_and_median() {
        let c = "SAMPLES a 100 110 120";
        let of = |rust| line(Samples("a"), OfC(1.0), c, rust);
        let passed = of("SAMPLES a 100 110 900");
        assert_eq!((passed.ratio, passed.verdict), (Some(1.0), Verdict::Pass));
        let failed = of("SAMPLES a 50 121 121");
        assert_eq!((failed.ratio, failed.verdict), (Some(1.1), Verdict::Fail));
        assert_eq!(failed.limit.unwrap(), "<= 1.00 of C");
    }

    #[test]
    fn many_samples_are_judged_by_their_distribution() {
        let verdict = |limit, c: &[(u32, usize)], rust: &[(u32, usize)]| {
            line(Samples("a"), OfC(limit), &samples(c), &samples(rust)).verdict
        };
        let [one, other] = [[(823, 110), (841, 91)], [(823, 91), (841, 110)]];
        assert_eq!(verdict(1.0, &one, &other), Verdict::Chance);
        assert_eq!(verdict(1.0, &other, &one), Verdict::Pass);
        // One instruction more, on an exact row.
        assert_eq!(verdict(1.0, &[(823, 201)], &[(823, 201)]), Verdict::Pass);
        assert_eq!(verdict(1.0, &[(823, 201)], &[(824, 201)]), Verdict::Fail);
        // A mode that one kernel always takes and the other never.
        assert_eq!(verdict(1.0, &[(823, 200), (841, 1)], &[(823, 1), (841, 200)]), Verdict::Fail);
        // The limit is relative.
        assert_eq!(verdict(0.5, &[(1000, 201)], &[(500, 201)]), Verdict::Pass);
        assert_eq!(verdict(0.5, &[(1000, 201)], &[(501, 201)]), Verdict::Fail);
        assert_eq!(verdict(0.5, &one, &other), Verdict::Fail);
    }

    #[test]
    fn samples_that_differ_are_shown() {
        let of = |c, rust| line(Samples("a"), OfC(1.0), c, rust).spread;
        let exact = samples(&[(823, 200), (9000, 1)]);
        assert_eq!(of(&exact, &exact), None);
        let modes = samples(&[(823, 50), (841, 150)]);
        let mode = |value, share| Mode { value, share };
        let shown = Spread::Modes(vec![mode(841.0, 0.75), mode(823.0, 0.25)]);
        assert_eq!(of(&exact, &modes), Some([None, Some(shown)]));
        let many: Vec<_> = (0..=100).map(|value| (value, 1)).collect();
        let shown = Spread::Quantiles([5.0, 25.0, 50.0, 75.0, 95.0]);
        assert_eq!(of(&samples(&many), &exact), Some([Some(shown), None]));
    }

    #[test]
    fn a_control_is_subtracted() {
        let formula = Difference("a", "b");
        let of = |rust| line(formula, OfC(1.0), "SAMPLES a 30\nSAMPLES b 10", rust);
        assert_eq!(of("SAMPLES a 40\nSAMPLES b 21").ratio, Some(0.95));
        let nothing =
            line(formula, OfC(1.0), "SAMPLES a 9\nSAMPLES b 10", "SAMPLES a 1\nSAMPLES b 1");
        assert!(matches!(nothing.verdict, Verdict::NotMeasured(_)));
    }

    #[test]
    fn pairs_are_subtracted_one_by_one() {
        // A turn that takes longer does so for both.
        let c = "SAMPLES a 130 1130 130\nSAMPLES b 100 1100 100";
        let rust = "SAMPLES a 1115 115 115\nSAMPLES b 1100 100 100";
        let line = line(Paired("a", "b"), OfC(1.0), c, rust);
        assert_eq!((line.ratio, line.verdict), (Some(0.5), Verdict::Pass));
    }

    #[test]
    fn growth_has_a_limit_of_its_own() {
        let formula = Growth("a", "b");
        let flat = "SAMPLES a 11\nSAMPLES b 10";
        let steep = "SAMPLES a 300\nSAMPLES b 10";
        let verdict = |limit, c, rust| line(formula, limit, c, rust).verdict;
        assert_eq!(verdict(Absolute(1.1), steep, flat), Verdict::Pass);
        assert_eq!(verdict(Absolute(1.1), flat, steep), Verdict::Fail);
        assert_eq!(verdict(OfC(1.0), flat, steep), Verdict::Fail);
        assert_eq!(verdict(NoLimit, flat, steep), Verdict::NoLimit);
    }

    #[test]
    fn missing_samples_are_reported() {
        let line = line(Samples("a"), OfC(1.0), "SAMPLES a 1", "SAMPLES b 1");
        let Verdict::NotMeasured(why) = line.verdict else {
            panic!("{line:?}");
        };
        assert!(why.contains("no samples a"), "{why}");
    }

    #[test]
    fn memory_is_measured_against_a_control() {
        let slab = |phase: &str, name: &str, objects: u32, slabs: u32| {
            format!("SLAB {phase} {name} 0 {objects} 256 16 1 : tunables 0 0 0 : slabdata 0 {slabs} 0\n")
        };
        let mut text = String::new();
        for (phase, free) in [
            ("uts-before", 900_000),
            ("uts-after", 700_000),
            ("zero-before", 900_000),
            ("zero-after", 650_000),
        ] {
            text += &format!("PAGES {phase} {free}\n");
        }
        text += &slab("uts-before", "uts_namespace", 0, 0);
        text += &slab("uts-after", "uts_namespace", 100_000, 50_000);
        text += &slab("zero-before", "filp", 10, 1);
        text += &slab("zero-after", "filp", 100_010, 50_001);
        let measured = measured(&text);
        assert_eq!(measured.evaluate(Memory("zero")).unwrap().figure.low, 4096.0);
        assert_eq!(measured.objects("zero").unwrap(), BTreeMap::from([("filp", 256.0)]));
        assert!(measured.evaluate(Memory("offsets")).is_err());
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
