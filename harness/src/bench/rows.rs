// SPDX-License-Identifier: GPL-2.0

//! The rows of the comparison: how each figure is made of what was measured, and what it must be.

use super::{
    output::{Cache, Output},
    size::Size,
};
use crate::session::statistics::{low, median, median_at_least};
use anyhow::{bail, Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use Formula::{
    Difference, Growth, KernelText, Memory, ModuleSize, Paired, Panics, Samples, Seconds, Sum,
    TextElsewhere, TextWithCalls,
};
use Limit::{Itself, Nothing, OfStock};

/// How many namespaces the guest keeps alive to see their memory.
const NAMESPACES: f64 = 100_000.0;

/// What was measured of one kernel.
pub struct Measured {
    pub output: Output,
    pub size: Size,
    /// The same without helpers inlined, where that makes a difference.
    pub size_with_calls: Option<Size>,
    /// The functions of the whole kernel.
    pub kernel_text: u64,
    /// Those of the page for the vDSO which lie in objects that have other things too.
    pub elsewhere: u64,
    /// The functions of `core::panicking` that the objects refer to.
    pub panics: u64,
    /// To compile the objects.
    pub seconds: f64,
}

/// A figure of one kernel. What is measured once only has both the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub low: f64,
    pub median: f64,
}

impl Figure {
    fn once(value: f64) -> Self {
        Self { low: value, median: value }
    }

    fn with(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self { low: of(self.low, other.low), median: of(self.median, other.median) }
    }

    fn greatest(self) -> f64 {
        self.low.max(self.median)
    }
}

/// How a figure is made. The names are those of the guest's samples.
#[derive(Clone, Copy)]
pub enum Formula {
    Samples(&'static str),
    Sum(&'static str, &'static str),
    /// The first without the second, its control.
    Difference(&'static str, &'static str),
    /// The same, of samples that were taken in turns and vary from one turn to the next.
    Paired(&'static str, &'static str),
    /// How many times the second the first is.
    Growth(&'static str, &'static str),
    /// The bytes of a namespace of that phase.
    Memory(&'static str),
    /// A part of the objects' size.
    ModuleSize(fn(&Size) -> u64),
    TextWithCalls,
    TextElsewhere,
    Panics,
    KernelText,
    Seconds,
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Samples(name) => write!(f, "{name}"),
            Sum(one, other) => write!(f, "{one} + {other}"),
            Difference(whole, control) => write!(f, "{whole} - {control}"),
            Paired(whole, control) => write!(
                f,
                "median of {whole} - {control} taken in turns; for the low, the least that it is, with \
                 97.5 % confidence"
            ),
            Growth(large, small) => write!(f, "{large} / {small}"),
            Memory(phase) => write!(
                f,
                "pages that {NAMESPACES} namespaces take, {phase}, each kept alive by a file, without \
                 the pages that as many UTS namespaces take beside those of their own cache; bytes \
                 of one"
            ),
            ModuleSize(_) => write!(f, "sections of the objects that only this implementation has"),
            TextWithCalls => write!(f, "the same, built without CONFIG_RUST_INLINE_HELPERS"),
            TextElsewhere => write!(
                f,
                "the same, with TimensPage's functions and those that unmap the page, wherever they are"
            ),
            Panics => write!(f, "undefined symbols of core::panicking in the objects"),
            KernelText => write!(f, "sizes of all functions of vmlinux"),
            Seconds => write!(
                f,
                "make kernel/time/ without these objects, less the same with them, no ccache"
            ),
        }
    }
}

/// What a figure must be.
#[derive(Clone, Copy)]
pub enum Limit {
    /// At most so many times stock's.
    OfStock(f64),
    /// At most this.
    Itself(f64),
    /// Anything: it is only told.
    Nothing,
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
    row("unshare(CLONE_NEWTIME)", Samples("unshare/zero"), OfStock(0.40)),
    row("unshare + write of both offsets", Sum("unshare/offsets", "write/offsets"), OfStock(1.0)),
    row("unshare of a namespace with offsets", Samples("unshare/copy"), OfStock(1.0)),
    row("read of timens_offsets, open to close", Samples("read_whole"), OfStock(1.0)),
    row("read of timens_offsets, open before", Samples("read_again"), OfStock(1.0)),
    row("write of timens_offsets, open before", Samples("write_again"), OfStock(1.0)),
    row("first join by fork", Paired("fork_first/offsets", "fork_plain/offsets"), OfStock(1.0)),
    row(
        "first join by fork, offsets 0",
        Paired("fork_first/zero", "fork_plain/zero"),
        OfStock(1.0),
    ),
    row("later join by fork", Paired("fork_later/offsets", "fork_plain/offsets"), OfStock(1.0)),
    row(
        "later join by fork, offsets 0",
        Paired("fork_later/zero", "fork_plain/zero"),
        OfStock(1.0),
    ),
    row("first join by exec", Paired("exec_first/offsets", "exec_plain/offsets"), OfStock(1.0)),
    row("later join by exec", Paired("exec_later/offsets", "exec_plain/offsets"), OfStock(1.0)),
    row("unshare + fork + exit", Sum("unshare/zero", "fork_first/zero"), Nothing),
    row("vfork + exec + exit", Samples("exec_first/offsets"), Nothing),
    row("setns in, first to join", Samples("setns_first/offsets"), OfStock(1.0)),
    row("setns in", Samples("setns_in/offsets"), OfStock(1.0)),
    row("setns out", Samples("setns_out/offsets"), OfStock(1.0)),
    row("setns in, first, offsets 0", Samples("setns_first/zero"), OfStock(1.0)),
    row("setns in, offsets 0", Samples("setns_in/zero"), OfStock(1.0)),
    row("setns out, offsets 0", Samples("setns_out/zero"), OfStock(1.0)),
    row("first clock read after setns", Samples("first_read/offsets"), Nothing),
    row("first clock read of a program, host", Samples("first_clock/host"), Nothing),
    row("first clock read of a program, ns", Samples("first_clock/ns"), Nothing),
    row("fork + exit, host", Samples("fork_plain/zero"), Nothing),
    row("last close", Samples("close/offsets"), OfStock(1.0)),
    row("last close, offsets 0", Samples("close/zero"), OfStock(1.0)),
    row("last close, with RCU", Difference("close_deferred/offsets", "close_plain"), OfStock(1.0)),
    row(
        "last close, with RCU, offsets 0",
        Difference("close_deferred/zero", "close_plain"),
        OfStock(1.0),
    ),
    row(
        "setns in, 30,000 VMAs / 10",
        Growth("setns_in/offsets/vmas30000", "setns_in/offsets/vmas10"),
        Itself(1.1),
    ),
    row(
        "setns in, first, 30,000 VMAs / 10",
        Growth("setns_first/offsets/vmas30000", "setns_first/offsets/vmas10"),
        Itself(1.1),
    ),
    row(
        "setns out, 30,000 VMAs / 10",
        Growth("setns_out/offsets/vmas30000", "setns_out/offsets/vmas10"),
        Itself(1.1),
    ),
    row("fork + exit, 10 VMAs, no join", Samples("fork_plain/offsets/vmas10"), Nothing),
    row("fork + exit, 1,000 VMAs, no join", Samples("fork_plain/offsets/vmas1000"), Nothing),
    row("fork + exit, 30,000 VMAs, no join", Samples("fork_plain/offsets/vmas30000"), Nothing),
    row(
        "first join by fork, 10 VMAs",
        Paired("fork_first/offsets/vmas10", "fork_plain/offsets/vmas10"),
        Nothing,
    ),
    row(
        "first join by fork, 1,000 VMAs",
        Paired("fork_first/offsets/vmas1000", "fork_plain/offsets/vmas1000"),
        Nothing,
    ),
    row(
        "first join by fork, 30,000 VMAs",
        Paired("fork_first/offsets/vmas30000", "fork_plain/offsets/vmas30000"),
        Nothing,
    ),
    row("clock_gettime, host", Samples("clock_gettime/host"), OfStock(1.0)),
    row("clock_gettime, ns", Samples("clock_gettime/ns"), OfStock(1.0)),
    row("clock_gettime BOOTTIME, host", Samples("clock_gettime_boottime/host"), OfStock(1.0)),
    row("clock_gettime BOOTTIME, ns", Samples("clock_gettime_boottime/ns"), OfStock(1.0)),
    row("clock_nanosleep, host", Samples("clock_nanosleep/host"), OfStock(1.0)),
    row("clock_nanosleep, ns", Samples("clock_nanosleep/ns"), OfStock(1.0)),
    row("timerfd_settime, host", Samples("timerfd_settime/host"), OfStock(1.0)),
    row("timerfd_settime, ns", Samples("timerfd_settime/ns"), OfStock(1.0)),
    row("timer_settime, host", Samples("timer_settime/host"), OfStock(1.0)),
    row("timer_settime, ns", Samples("timer_settime/ns"), OfStock(1.0)),
    row("futex with timeout, host", Samples("futex/host"), OfStock(1.0)),
    row("futex with timeout, ns", Samples("futex/ns"), OfStock(1.0)),
    row("bytes of a namespace, offsets 0", Memory("zero"), OfStock(0.2)),
    row("bytes of a namespace", Memory("offsets"), Nothing),
    row("unshare, 100,000 live", Samples("unshare/offsets/live100000"), OfStock(1.0)),
    row(
        "unshare, 100,000 live, more than 1",
        Difference("unshare/offsets/live100000", "unshare/offsets/live1"),
        OfStock(1.0),
    ),
    row(
        "unshare, 100,000 live / 1",
        Growth("unshare/offsets/live100000", "unshare/offsets/live1"),
        OfStock(1.0),
    ),
    row(
        "setns in, 100,000 live / 1",
        Growth("setns_in/offsets/live100000", "setns_in/offsets/live1"),
        Nothing,
    ),
    row(
        "last close, 100,000 live / 1",
        Growth("close/offsets/live100000", "close/offsets/live1"),
        Nothing,
    ),
    row("bytes of text", ModuleSize(|size| size.text), OfStock(1.3)),
    row("bytes of text, with what lies elsewhere", TextElsewhere, OfStock(1.3)),
    row("bytes of text, helpers called", TextWithCalls, Nothing),
    row("bytes of rodata", ModuleSize(|size| size.rodata), Nothing),
    row("bytes of data", ModuleSize(|size| size.data), Nothing),
    row("references to core::panicking", Panics, Itself(0.0)),
    row("bytes of the kernel's functions", KernelText, Nothing),
    row("seconds to compile", Seconds, Nothing),
];

impl Measured {
    fn samples(&self, name: &str) -> Result<&[f64]> {
        let samples = self.output.samples.get(name);
        samples.map(Vec::as_slice).with_context(|| format!("the guest gave no samples {name}"))
    }

    pub fn figure(&self, name: &str) -> Result<Figure> {
        let samples = self.samples(name)?;
        Ok(Figure { low: low(samples), median: median(samples) })
    }

    /// The caches of which each object of a phase has one, or one more; with their sizes.
    pub fn objects(&self, phase: &str) -> Result<BTreeMap<&str, f64>> {
        let [before, after] = self.phases(phase)?;
        let grown = after.caches.iter().filter(|(name, cache)| {
            let old = before.caches.get(*name).map_or(0.0, |cache| cache.objects);
            cache.objects - old >= 0.9 * NAMESPACES
        });
        Ok(grown.map(|(name, cache)| (name.as_str(), cache.object_size)).collect())
    }

    fn phases(&self, phase: &str) -> Result<[&super::output::Phase; 2]> {
        let of = |moment| {
            let name = format!("{phase}-{moment}");
            self.output
                .phases
                .get(&name)
                .with_context(|| format!("the guest did not say its memory at {name}"))
        };
        Ok([of("before")?, of("after")?])
    }

    /// The pages that the objects of a phase took, without those of one cache.
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

    fn evaluate(&self, formula: Formula) -> Result<Figure> {
        let two = |one, other, of: fn(f64, f64) -> f64| -> Result<Figure> {
            Ok(self.figure(one)?.with(self.figure(other)?, of))
        };
        match formula {
            Samples(name) => self.figure(name),
            Sum(one, other) => two(one, other, |one, other| one + other),
            Difference(whole, control) => two(whole, control, |whole, control| whole - control),
            Paired(whole, control) => {
                let pairs = self.samples(whole)?.iter().zip(self.samples(control)?);
                let differences: Vec<_> = pairs.map(|(whole, control)| whole - control).collect();
                Ok(Figure { low: median_at_least(&differences), median: median(&differences) })
            }
            Growth(large, small) => two(large, small, |large, small| large / small),
            Memory(phase) => {
                // What keeps the control alive keeps the namespaces alive too.
                let pages = self.pages(phase, None)? - self.pages("uts", Some("uts_namespace"))?;
                Ok(Figure::once(pages * 4096.0 / NAMESPACES))
            }
            ModuleSize(part) => Ok(Figure::once(part(&self.size) as f64)),
            TextWithCalls => match self.size_with_calls {
                Some(size) => Ok(Figure::once(size.text as f64)),
                None => bail!("this toolchain cannot inline helpers at all"),
            },
            TextElsewhere => Ok(Figure::once((self.size.text + self.elsewhere) as f64)),
            Panics => Ok(Figure::once(self.panics as f64)),
            KernelText => Ok(Figure::once(self.kernel_text as f64)),
            Seconds => Ok(Figure::once(self.seconds)),
        }
    }
}

/// A row with its figures and its verdict.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: &'static str,
    /// What of: the samples are explained in harness/guest/bench.c.
    pub of: String,
    pub stock: Option<Figure>,
    pub ours: Option<Figure>,
    /// Of the low or of the median, whichever is worse for us.
    pub ratio: Option<f64>,
    pub limit: Option<String>,
    pub verdict: Verdict,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    Bad,
    /// There is no limit.
    Told,
    NotMeasured(String),
}

impl Row {
    pub fn judge(&self, stock: &Measured, ours: &Measured) -> Line {
        let limit = match self.limit {
            OfStock(limit) => Some(format!("<= {limit:.2} of stock")),
            Itself(limit) => Some(format!("<= {limit:.2}")),
            Nothing => None,
        };
        let mut line = Line {
            name: self.name,
            of: self.formula.to_string(),
            stock: None,
            ours: None,
            ratio: None,
            limit,
            verdict: Verdict::Told,
        };
        let figures = stock
            .evaluate(self.formula)
            .and_then(|stock| Ok((stock, ours.evaluate(self.formula)?)));
        let (stock, ours) = match figures {
            Ok(figures) => figures,
            Err(why) => {
                line.verdict = Verdict::NotMeasured(format!("{why:#}"));
                return line;
            }
        };
        (line.stock, line.ours) = (Some(stock), Some(ours));
        let comparable = stock.low > 0.0 && stock.median > 0.0;
        if comparable {
            line.ratio = Some(ours.with(stock, |ours, stock| ours / stock).greatest());
        }
        line.verdict = match (self.limit, line.ratio) {
            (Nothing, _) => Verdict::Told,
            (OfStock(limit), Some(ratio)) => judge(ratio, limit),
            (OfStock(_), None) => {
                Verdict::NotMeasured("stock costs no more than its control".to_owned())
            }
            (Itself(limit), _) => judge(ours.greatest(), limit),
        };
        line
    }
}

fn judge(value: f64, limit: f64) -> Verdict {
    match value <= limit {
        true => Verdict::Good,
        false => Verdict::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(text: &str) -> Measured {
        Measured {
            output: Output::parse(text).unwrap(),
            size: Size::default(),
            size_with_calls: None,
            kernel_text: 0,
            elsewhere: 0,
            panics: 0,
            seconds: 1.0,
        }
    }

    fn verdict(formula: Formula, limit: Limit, stock: &str, ours: &str) -> Line {
        row("x", formula, limit).judge(&measured(stock), &measured(ours))
    }

    #[test]
    fn the_worse_of_low_and_median_decides() {
        let stock = "SAMPLES a 100 110 120";
        let line = |ours| verdict(Samples("a"), OfStock(1.0), stock, ours);
        let good = line("SAMPLES a 100 110 900");
        assert_eq!((good.ratio, good.verdict), (Some(1.0), Verdict::Good));
        let bad = line("SAMPLES a 50 121 121");
        assert_eq!((bad.ratio, bad.verdict), (Some(1.1), Verdict::Bad));
        assert_eq!(bad.limit.unwrap(), "<= 1.00 of stock");
    }

    #[test]
    fn a_control_is_subtracted() {
        let formula = Difference("a", "b");
        let line = |ours| verdict(formula, OfStock(1.0), "SAMPLES a 30\nSAMPLES b 10", ours);
        assert_eq!(line("SAMPLES a 40\nSAMPLES b 21").ratio, Some(0.95));
        let nothing =
            verdict(formula, OfStock(1.0), "SAMPLES a 9\nSAMPLES b 10", "SAMPLES a 1\nSAMPLES b 1");
        assert!(matches!(nothing.verdict, Verdict::NotMeasured(_)));
    }

    #[test]
    fn pairs_are_subtracted_one_by_one() {
        // A turn that takes longer does so for both.
        let stock = "SAMPLES a 130 1130 130\nSAMPLES b 100 1100 100";
        let ours = "SAMPLES a 1115 115 115\nSAMPLES b 1100 100 100";
        let line = verdict(Paired("a", "b"), OfStock(1.0), stock, ours);
        assert_eq!((line.ratio, line.verdict), (Some(0.5), Verdict::Good));
    }

    #[test]
    fn growth_is_judged_by_itself() {
        let formula = Growth("a", "b");
        let flat = "SAMPLES a 11\nSAMPLES b 10";
        let steep = "SAMPLES a 300\nSAMPLES b 10";
        assert_eq!(verdict(formula, Itself(1.1), steep, flat).verdict, Verdict::Good);
        assert_eq!(verdict(formula, Itself(1.1), flat, steep).verdict, Verdict::Bad);
        assert_eq!(verdict(formula, OfStock(1.0), flat, steep).verdict, Verdict::Bad);
        assert_eq!(verdict(formula, Nothing, flat, steep).verdict, Verdict::Told);
    }

    #[test]
    fn what_is_missing_is_told() {
        let line = verdict(Samples("a"), OfStock(1.0), "SAMPLES a 1", "SAMPLES b 1");
        let Verdict::NotMeasured(why) = line.verdict else {
            panic!("{line:?}");
        };
        assert!(why.contains("no samples a"), "{why}");
    }

    #[test]
    fn memory_is_what_the_control_does_not_take() {
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
        assert_eq!(measured.evaluate(Memory("zero")).unwrap().low, 4096.0);
        assert_eq!(measured.objects("zero").unwrap(), BTreeMap::from([("filp", 256.0)]));
        assert!(measured.evaluate(Memory("offsets")).is_err());
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
