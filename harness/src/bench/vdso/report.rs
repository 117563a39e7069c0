// SPDX-License-Identifier: GPL-2.0

//! What was measured, and the verdict.

use super::{image::Image, Bench, Role, Timed, READS};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, fs, path::Path};

/// The limits of the verdict: what a read costs in a namespace relative to the host's, and on our
/// host relative to the stock one.
const NAMESPACE_LIMITS: [(&str, f64); 4] = [
    ("MONOTONIC", 1.015),
    ("MONOTONIC_RAW", 1.015),
    ("BOOTTIME", 1.015),
    ("MONOTONIC_COARSE", 1.01),
];
const HOST_LIMIT: f64 = 1.005;

/// What one call costs in one role.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cell {
    /// Core cycles with warm caches, and the median of all rounds.
    pub lowest: f64,
    pub median: f64,
    /// TSC cycles with cold caches and TLB: memory does not follow the frequency of the core.
    pub cold: f64,
    pub instructions: u32,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    #[serde(flatten)]
    pub cells: BTreeMap<Role, Cell>,
}

impl Row {
    fn ratio(&self, of: impl Fn(&Cell) -> f64, role: Role, to: Role) -> f64 {
        of(&self.cells[&role]) / of(&self.cells[&to])
    }
}

/// One line of the verdict.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub what: String,
    stock: f64,
    ours: f64,
    /// By the medians, where `ours` is by the lowest; both must be within the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    limit: String,
    pub passed: bool,
}

#[derive(Serialize)]
struct ImageSize {
    file: usize,
    text: usize,
}

#[derive(Serialize)]
pub struct Report {
    model: String,
    cpu: usize,
    tsc_mhz: f64,
    rounds: usize,
    pub rows: Vec<Row>,
    stock_bytes: ImageSize,
    our_bytes: ImageSize,
    verdict: Vec<Verdict>,
}

impl Report {
    pub fn new(
        cpu: usize,
        bench: &Bench<'_>,
        rounds: usize,
        rows: Vec<Row>,
        images: &[Image; 2],
    ) -> Self {
        let [stock_bytes, our_bytes] = images
            .each_ref()
            .map(|image| ImageSize { file: image.file_size, text: image.text_size });
        let mut verdict = time_verdict(|read, role| rows[read].cells[&role].lowest);
        let medians = time_verdict(|read, role| rows[read].cells[&role].median);
        for (line, median) in verdict.iter_mut().zip(medians) {
            line.median = Some(median.ours);
            line.passed &= median.passed;
        }
        for (what, stock, ours) in [
            ("bytes of the image", stock_bytes.file, our_bytes.file),
            ("bytes of its code", stock_bytes.text, our_bytes.text),
        ] {
            verdict.push(Verdict {
                what: what.to_owned(),
                stock: stock as f64,
                ours: ours as f64,
                median: None,
                limit: "less".to_owned(),
                passed: ours < stock,
            });
        }
        Self {
            model: model(),
            cpu,
            tsc_mhz: bench.cycles_per_second / 1e6,
            rounds,
            rows,
            stock_bytes,
            our_bytes,
            verdict,
        }
    }

    pub fn passed(&self) -> bool {
        self.verdict.iter().all(|line| line.passed)
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn table(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        digits: usize,
        of: impl Fn(&Cell) -> f64,
    ) -> fmt::Result {
        writeln!(f, "{title:24}      stock             ours         ns/host       ours/stock")?;
        writeln!(f, "{:24}   host      ns     host      ns   stock   ours    host      ns", "")?;
        for row in &self.rows {
            write!(f, "{:24}", row.name)?;
            for role in Role::ALL {
                write!(f, " {:7.digits$}", of(&row.cells[&role]))?;
            }
            for (role, to) in [
                (Role::StockNs, Role::StockHost),
                (Role::OursNs, Role::OursHost),
                (Role::OursHost, Role::StockHost),
                (Role::OursNs, Role::StockNs),
            ] {
                write!(f, " {:7.3}", row.ratio(&of, role, to))?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }
}

/// What the CPU calls itself.
fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("a CPU without a name", |(_, name)| name).to_owned()
}

/// The verdict on what the reads cost, given what each costs in each role.
pub fn time_verdict(cost: impl Fn(usize, Role) -> f64) -> Vec<Verdict> {
    let line = |what, stock, ours, limit: f64| Verdict {
        what,
        stock,
        ours,
        median: None,
        limit: format!("<= {limit}"),
        passed: ours <= limit,
    };
    let mut verdict = vec![];
    for (name, limit) in NAMESPACE_LIMITS {
        for read in (0..READS.len()).filter(|read| READS[*read].name == name) {
            let ratio = |namespace, host| cost(read, namespace) / cost(read, host);
            verdict.push(line(
                format!("ns/host, {name}"),
                ratio(Role::StockNs, Role::StockHost),
                ratio(Role::OursNs, Role::OursHost),
                limit,
            ));
        }
    }
    for (read, Timed { name, .. }) in READS.into_iter().enumerate() {
        let ours = cost(read, Role::OursHost) / cost(read, Role::StockHost);
        let what = format!("ours/stock host, {name}");
        verdict.push(line(what, 1.0, ours, HOST_LIMIT));
    }
    verdict
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, CPU {}, TSC {:.0} MHz, {} rounds; ns is a time namespace with offsets\n",
            self.model, self.cpu, self.tsc_mhz, self.rounds
        )?;
        self.table(f, "warm, lowest (cycles)", 2, |cell| cell.lowest)?;
        self.table(f, "warm, median (cycles)", 2, |cell| cell.median)?;
        self.table(f, "cold, median (TSC)", 0, |cell| cell.cold)?;
        self.table(f, "instructions", 0, |cell| cell.instructions.into())?;
        writeln!(f, "{:34} {:>7} {:>7} {:>7}  must be", "verdict", "stock", "ours", "median")?;
        for line in &self.verdict {
            // Ratios and bytes.
            let digits = if line.stock < 100.0 { 3 } else { 0 };
            writeln!(
                f,
                "{:34} {:7.digits$} {:7.digits$} {:>7}  {:9} {}",
                line.what,
                line.stock,
                line.ours,
                line.median.map_or(String::new(), |median| format!("{median:.3}")),
                line.limit,
                if line.passed { "PASS" } else { "FAIL" }
            )?;
        }
        let failed = self.verdict.iter().filter(|line| !line.passed).count();
        write!(f, "{} good, {failed} bad", self.verdict.len() - failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_reads_against_their_limits() {
        let verdict = time_verdict(|read, role| match (READS[read].name, role) {
            ("MONOTONIC", Role::StockNs) => 55.0,
            ("MONOTONIC", Role::OursNs) => 51.0,
            ("time()", Role::OursHost) => 49.0,
            ("TAI", Role::OursHost) => 50.3,
            _ => 50.0,
        });
        let failed: Vec<_> = verdict.iter().filter(|line| !line.passed).collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[0].what, "ns/host, MONOTONIC");
        assert_eq!((failed[0].stock, failed[0].ours), (1.1, 1.02));
        assert_eq!(failed[1].what, "ours/stock host, TAI");
        assert_eq!(verdict.len(), NAMESPACE_LIMITS.len() + READS.len());
    }
}
