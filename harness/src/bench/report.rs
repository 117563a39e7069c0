// SPDX-License-Identifier: GPL-2.0

//! The comparison as a table, as JSON and as charts.

use super::rows::{Figure, Line, Measured, Verdict, ROWS};
use crate::{
    bench::plot::{Chart, Series, OURS, STOCK},
    session::statistics::{low, median},
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, fs, path::Path};

/// The samples of a cycle, which are also shown by their growth.
const CYCLE: [&str; 7] =
    ["unshare", "write", "setns_first", "setns_in", "first_read", "setns_out", "close"];
/// What a cycle of [`CYCLE`] is repeated with: the suffixes of the samples.
const GROWTHS: [(&str, &[&str]); 2] = [
    ("VMAs", &["vmas10", "vmas1000", "vmas30000"]),
    ("live namespaces", &["live1", "live100", "live10000", "live100000"]),
];

/// How one cost grows.
#[derive(Serialize)]
struct Growth {
    name: &'static str,
    with: &'static str,
    /// The medians, in the order of [`GROWTHS`].
    stock: Vec<f64>,
    ours: Vec<f64>,
}

#[derive(Serialize)]
pub struct Report {
    commands: Vec<String>,
    rows: Vec<Line>,
    growth: Vec<Growth>,
    /// The objects that each namespace consists of: the caches, and the bytes of one.
    stock_objects: BTreeMap<String, f64>,
    our_objects: BTreeMap<String, f64>,
    /// The low and the median of all samples.
    stock_samples: BTreeMap<String, Figure>,
    our_samples: BTreeMap<String, Figure>,
}

impl Report {
    pub fn new(stock: &Measured, ours: &Measured) -> Result<Self> {
        let mut growth = vec![];
        for (with, suffixes) in GROWTHS {
            for name in CYCLE {
                let medians = |measured: &Measured| -> Result<Vec<f64>> {
                    let of = |suffix| measured.figure(&format!("{name}/offsets/{suffix}"));
                    let medians = suffixes.iter().map(|suffix| Ok(of(suffix)?.median));
                    medians.collect()
                };
                growth.push(Growth { name, with, stock: medians(stock)?, ours: medians(ours)? });
            }
        }
        let objects = |measured: &Measured| -> Result<BTreeMap<String, f64>> {
            let objects = measured.objects("offsets")?.into_iter();
            Ok(objects.map(|(name, size)| (name.to_owned(), size)).collect())
        };
        let samples = |measured: &Measured| {
            let all = measured.output.samples.iter();
            all.map(|(name, samples)| {
                let figure = Figure { low: low(samples), median: median(samples) };
                (name.clone(), figure)
            })
            .collect()
        };
        Ok(Self {
            commands: vec![
                "make bench".to_owned(),
                format!("qemu-system-x86_64 {} …", crate::guest::COUNTING.join(" ")),
            ],
            rows: ROWS.iter().map(|row| row.judge(stock, ours)).collect(),
            growth,
            stock_objects: objects(stock)?,
            our_objects: objects(ours)?,
            stock_samples: samples(stock),
            our_samples: samples(ours),
        })
    }

    pub fn passed(&self) -> bool {
        let passed = |line: &Line| match line.verdict {
            Verdict::Good | Verdict::Told => true,
            Verdict::Bad => false,
            // What must be something must be known.
            Verdict::NotMeasured(_) => line.limit.is_none(),
        };
        self.rows.iter().all(passed)
    }

    /// Writes the table, the JSON and the charts into a directory.
    pub fn save(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("bench.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("bench.txt", format!("{self}\n"))?;
        self.costs().draw(&dir.join("bench-costs.svg"))?;
        self.growths().draw(&dir.join("bench-growth.svg"))
    }

    /// The rows that are costs of the same size, by their medians.
    fn costs(&self) -> Chart<'_> {
        let figures = |line: &Line| Some((line.stock?.median, line.ours?.median));
        let shown: Vec<_> = self
            .rows
            .iter()
            .filter_map(|line| Some((line.name, figures(line)?)))
            .filter(|(name, _)| CHARTED.contains(name))
            .collect();
        Chart {
            caption: "Operations on a time namespace: instructions, less is better",
            rows: shown.iter().map(|(name, _)| (*name).to_owned()).collect(),
            series: series(
                shown.iter().map(|(_, (stock, _))| *stock).collect(),
                shown.iter().map(|(_, (_, ours))| *ours).collect(),
            ),
            digits: 0,
            logarithmic: false,
        }
    }

    /// What the implementations differ in, with growing numbers.
    fn growths(&self) -> Chart<'_> {
        let mut rows = vec![];
        let [mut stock, mut ours] = [vec![], vec![]];
        for (with, suffixes) in GROWTHS {
            let shown = |growth: &&Growth| growth.with == with && GROWING.contains(&growth.name);
            for growth in self.growth.iter().filter(shown) {
                let row = |suffix: &&str| format!("{}, {} {with}", growth.name, count(suffix));
                rows.extend(suffixes.iter().map(row));
                stock.extend(&growth.stock);
                ours.extend(&growth.ours);
            }
        }
        Chart {
            caption: "How costs grow: instructions, less is better",
            rows,
            series: series(stock, ours),
            digits: 0,
            logarithmic: true,
        }
    }
}

fn series(stock: Vec<f64>, ours: Vec<f64>) -> Vec<Series> {
    let of = |title, colour, values| Series { title, colour, values };
    vec![of("stock", STOCK, stock), of("ours", OURS, ours)]
}

/// The number in a suffix of [`GROWTHS`].
fn count(suffix: &str) -> &str {
    suffix.trim_start_matches(char::is_alphabetic)
}

/// The costs that the chart of the growth shows.
const GROWING: [&str; 3] = ["unshare", "setns_in", "setns_out"];

/// The rows that the chart of the costs shows.
const CHARTED: [&str; 15] = [
    "unshare(CLONE_NEWTIME)",
    "unshare + write of both offsets",
    "read of timens_offsets, open to close",
    "first join by fork",
    "later join by fork",
    "setns in, first to join",
    "setns in",
    "setns out",
    "setns in, offsets 0",
    "setns out, offsets 0",
    "last close",
    "last close, with RCU",
    "clock_gettime, ns",
    "timerfd_settime, ns",
    "futex with timeout, ns",
];

/// A figure, with digits where it is small.
fn number(value: f64) -> String {
    match value.abs() < 100.0 && value.fract() != 0.0 {
        true => format!("{value:.3}"),
        false => format!("{value:.0}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:38} {:>19} {:>19}\n{:38} {:>9} {:>9} {:>9} {:>9} {:>6}  must be",
            "",
            "stock",
            "ours",
            "instructions, where no other unit",
            "low",
            "median",
            "low",
            "median",
            "ratio",
        )?;
        for line in &self.rows {
            write!(f, "{:38}", line.name)?;
            for figure in [line.stock, line.ours] {
                let [low, median] = match figure {
                    Some(figure) => [figure.low, figure.median].map(number),
                    None => ["-", "-"].map(str::to_owned),
                };
                write!(f, " {low:>9} {median:>9}")?;
            }
            let ratio = line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            let limit = line.limit.as_deref().unwrap_or("");
            let verdict = match &line.verdict {
                Verdict::Good => "PASS",
                Verdict::Bad => "FAIL",
                Verdict::Told => "",
                Verdict::NotMeasured(why) => &format!("not measured: {why}"),
            };
            let text = format!(" {ratio:>6}  {limit:16} {verdict}");
            writeln!(f, "{}", text.trim_end())?;
        }
        for (with, suffixes) in GROWTHS {
            writeln!(f, "\nmedians with {with}")?;
            write!(f, "{:14}", "")?;
            for kernel in ["stock", "ours"] {
                for suffix in suffixes {
                    write!(f, " {:>13}", format!("{kernel} {}", count(suffix)))?;
                }
            }
            writeln!(f)?;
            for growth in self.growth.iter().filter(|growth| growth.with == with) {
                write!(f, "{:14}", growth.name)?;
                for value in growth.stock.iter().chain(&growth.ours) {
                    write!(f, " {value:13.0}")?;
                }
                writeln!(f)?;
            }
        }
        for (kernel, objects) in [("stock", &self.stock_objects), ("ours", &self.our_objects)] {
            let objects: Vec<_> =
                objects.iter().map(|(name, size)| format!("{name} ({size})")).collect();
            writeln!(
                f,
                "\n{kernel}: a namespace with offsets that a file keeps alive has an object of: {}",
                objects.join(", ")
            )?;
        }
        let lines = |wanted: fn(&Verdict) -> bool| {
            self.rows.iter().filter(|line| wanted(&line.verdict)).count()
        };
        write!(
            f,
            "\n{} good, {} bad, {} not measured, {} only told",
            lines(|verdict| *verdict == Verdict::Good),
            lines(|verdict| *verdict == Verdict::Bad),
            lines(|verdict| matches!(verdict, Verdict::NotMeasured(_))),
            lines(|verdict| *verdict == Verdict::Told),
        )
    }
}
