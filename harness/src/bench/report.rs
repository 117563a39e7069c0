// SPDX-License-Identifier: GPL-2.0

//! The comparison as a table, as JSON and as charts.

use super::{
    plot::{chart, C, RUST},
    results::write,
    rows::{Figure, Line, Measured, Mode, Spread, Verdict, ROWS},
};
use crate::guest::COUNTING;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path};

#[derive(Deserialize, Serialize)]
pub struct Report {
    commands: Vec<String>,
    rows: Vec<Line>,
    /// The objects that each namespace consists of: the caches, and the bytes of one.
    #[serde(rename = "stock_objects")]
    c_objects: BTreeMap<String, f64>,
    #[serde(rename = "our_objects")]
    rust_objects: BTreeMap<String, f64>,
    /// The figures of all samples.
    #[serde(rename = "stock_samples")]
    c_samples: BTreeMap<String, Figure>,
    #[serde(rename = "our_samples")]
    rust_samples: BTreeMap<String, Figure>,
}

impl Report {
    pub fn new(c: &Measured, rust: &Measured) -> Result<Self> {
        let objects = |measured: &Measured| -> Result<BTreeMap<String, f64>> {
            let objects = measured.objects("offsets")?.into_iter();
            Ok(objects.map(|(name, size)| (name.to_owned(), size)).collect())
        };
        let samples = |measured: &Measured| {
            let all = measured.output.samples.iter();
            all.map(|(name, samples)| (name.clone(), Figure::of(samples))).collect()
        };
        Ok(Self {
            commands: vec![
                "make bench".to_owned(),
                format!("qemu-system-x86_64 {} …", COUNTING.join(" ")),
            ],
            rows: ROWS.iter().map(|row| row.judge(c, rust)).collect(),
            c_objects: objects(c)?,
            rust_objects: objects(rust)?,
            c_samples: samples(c),
            rust_samples: samples(rust),
        })
    }

    /// The rows that passed, failed and were skipped, of those with a limit.
    ///
    /// A row that was not measured has failed, unless it has no limit.
    fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for line in &self.rows {
            let limited = line.limit.is_some();
            match line.verdict {
                Verdict::Pass | Verdict::Chance => counts[0] += 1,
                Verdict::Fail => counts[1] += 1,
                Verdict::NotMeasured(_) if limited => counts[1] += 1,
                Verdict::NotMeasured(_) => counts[2] += 1,
                Verdict::NoLimit => {}
            }
        }
        counts
    }

    pub fn passed(&self) -> bool {
        self.counts()[1] == 0
    }

    /// Writes the JSON, the table and the chart into a directory.
    pub fn save(&self, dir: &Path) -> Result<()> {
        write(dir, "bench.json", &serde_json::to_string_pretty(self)?)?;
        self.show(dir)
    }

    /// Writes the table and the chart into a directory.
    pub fn show(&self, dir: &Path) -> Result<()> {
        write(dir, "bench.txt", &self.to_string())?;
        write(dir, "bench-costs.svg", &self.chart()?)
    }

    /// The chart of costs of the same size, by their medians.
    fn chart(&self) -> Result<String> {
        let [mut c, mut rust] = [vec![], vec![]];
        for name in COSTS {
            let line = self.rows.iter().find(|line| line.name == name);
            let figures = line.and_then(|line| Some((line.c?, line.rust?)));
            let figures = figures.with_context(|| format!("there are no figures of {name}"))?;
            c.push(figures.0.median);
            rust.push(figures.1.median);
        }
        let title = "Operations on a time namespace: instructions, less is better";
        let series = [("C kernel", C[1], c), ("Rust kernel", RUST[1], rust)];
        Ok(chart(title, &COSTS, &series))
    }
}

/// The rows of the chart of the costs.
const COSTS: [&str; 6] = [
    "unshare(CLONE_NEWTIME)",
    "unshare + write of both offsets",
    "read of timens_offsets, open to close",
    "first join by fork",
    "setns in",
    "last close",
];

/// A figure, with digits where it is small.
fn number(value: f64) -> String {
    match value.abs() < 100.0 && value.fract() != 0.0 {
        true => format!("{value:.3}"),
        false => format!("{value:.0}"),
    }
}

/// The values of samples that are not exact, with their shares, or their quantiles.
fn spread(samples: &Option<Spread>, exact: Option<Figure>) -> String {
    match samples {
        Some(Spread::Modes(modes)) => {
            let mode =
                |mode: &Mode| format!("{} ({:.0} %)", number(mode.value), 100.0 * mode.share);
            modes.iter().map(mode).collect::<Vec<_>>().join(", ")
        }
        Some(Spread::Quantiles(quantiles)) => quantiles.map(number).join(" "),
        None => exact.map_or(String::new(), |figure| number(figure.median)),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdicts(f)?;
        self.spreads(f)?;
        for (kernel, objects) in [("C", &self.c_objects), ("Rust", &self.rust_objects)] {
            let objects: Vec<_> =
                objects.iter().map(|(name, size)| format!("{name} ({size})")).collect();
            writeln!(
                f,
                "\n{kernel} kernel: objects of a namespace with offsets that a file keeps alive: {}",
                objects.join(", ")
            )?;
        }
        let [passed, failed, skipped] = self.counts();
        write!(f, "\n{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl Report {
    fn verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:41} {:>19} {:>19}\n{:41} {:>9} {:>9} {:>9} {:>9} {:>6}  limit",
            "",
            "C kernel",
            "Rust kernel",
            "instructions, where no other unit",
            "low",
            "median",
            "low",
            "median",
            "ratio",
        )?;
        for line in &self.rows {
            write!(f, "{:41}", line.name)?;
            for figure in [line.c, line.rust] {
                let [low, median] = match figure {
                    Some(figure) => [figure.low, figure.median].map(number),
                    None => ["-", "-"].map(str::to_owned),
                };
                write!(f, " {low:>9} {median:>9}")?;
            }
            let ratio = line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            let limit = line.limit.as_deref().unwrap_or("(no limit)");
            let verdict = match &line.verdict {
                Verdict::Pass => "PASS",
                Verdict::Chance => "PASS, equal but for chance",
                Verdict::Fail => "FAIL",
                Verdict::NoLimit => "",
                Verdict::NotMeasured(why) => &format!("not measured: {why}"),
            };
            let text = format!(" {ratio:>6}  {limit:12} {verdict}");
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn spreads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread_rows = self.rows.iter().filter_map(|line| Some((line, line.spread.as_ref()?)));
        if spread_rows.clone().next().is_none() {
            return Ok(());
        }
        writeln!(
            f,
            "\nrows that are not exact: values and their shares, or the 5th, 25th, 50th, 75th and 95th \
             percentile"
        )?;
        for (line, [c, rust]) in spread_rows {
            writeln!(f, "{:41} C    {}", line.name, spread(c, line.c))?;
            writeln!(f, "{:41} Rust {}", "", spread(rust, line.rust))?;
        }
        Ok(())
    }
}
