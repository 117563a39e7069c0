// SPDX-License-Identifier: GPL-2.0

//! The figures of the clock reads, and the verdict.

use super::reads::{Timed, READS};
use crate::vdso::{image::Image, Role};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs};

/// The limits of the verdict: the cost of a read in a namespace relative to the host's, and on the
/// Rust kernel's host relative to the C kernel's.
const NAMESPACE_LIMITS: [(&str, f64); 4] = [
    ("MONOTONIC", 1.015),
    ("MONOTONIC_RAW", 1.015),
    ("BOOTTIME", 1.015),
    ("MONOTONIC_COARSE", 1.01),
];
const HOST_LIMIT: f64 = 1.005;

/// The cost of one call in one role.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Cell {
    /// Core cycles with warm caches, and the median of all rounds.
    pub lowest: f64,
    pub median: f64,
    /// TSC cycles with cold caches and TLB: memory does not follow the frequency of the core.
    pub cold: f64,
    pub instructions: u32,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Row {
    pub name: String,
    #[serde(flatten)]
    pub cells: BTreeMap<Role, Cell>,
}

impl Row {
    fn ratio(&self, of: impl Fn(&Cell) -> f64, role: Role, to: Role) -> f64 {
        of(&self.cells[&role]) / of(&self.cells[&to])
    }
}

/// One line of the verdict.
#[derive(Debug, Deserialize, Serialize)]
pub struct Verdict {
    #[serde(rename = "what")]
    pub name: String,
    #[serde(rename = "stock")]
    c: f64,
    #[serde(rename = "ours")]
    rust: f64,
    /// The Rust kernel's figure by the medians, where `rust` is by the lowest; both have the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    limit: String,
    pub passed: bool,
}

#[derive(Deserialize, Serialize)]
struct ImageSize {
    file: usize,
    text: usize,
}

#[derive(Deserialize, Serialize)]
pub struct Report {
    model: String,
    cpu: usize,
    tsc_mhz: f64,
    rounds: usize,
    pub rows: Vec<Row>,
    #[serde(rename = "stock_bytes")]
    c_bytes: ImageSize,
    #[serde(rename = "our_bytes")]
    rust_bytes: ImageSize,
    verdict: Vec<Verdict>,
}

impl Report {
    pub fn new(
        cpu: usize,
        cycles_per_second: f64,
        rounds: usize,
        rows: Vec<Row>,
        images: &[Image; 2],
    ) -> Self {
        let [c_bytes, rust_bytes] = images
            .each_ref()
            .map(|image| ImageSize { file: image.file_size, text: image.text_size });
        let mut verdict = time_verdict(|read, role| rows[read].cells[&role].lowest);
        let medians = time_verdict(|read, role| rows[read].cells[&role].median);
        for (line, median) in verdict.iter_mut().zip(medians) {
            line.median = Some(median.rust);
            line.passed &= median.passed;
        }
        for (name, c, rust) in [
            ("bytes of the image", c_bytes.file, rust_bytes.file),
            ("bytes of its code", c_bytes.text, rust_bytes.text),
        ] {
            verdict.push(Verdict {
                name: name.to_owned(),
                c: c as f64,
                rust: rust as f64,
                median: None,
                limit: "< C".to_owned(),
                passed: rust < c,
            });
        }
        Self {
            model: model(),
            cpu,
            tsc_mhz: cycles_per_second / 1e6,
            rounds,
            rows,
            c_bytes,
            rust_bytes,
            verdict,
        }
    }

    pub fn passed(&self) -> bool {
        self.verdict.iter().all(|line| line.passed)
    }

    fn table(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        digits: usize,
        of: impl Fn(&Cell) -> f64,
    ) -> fmt::Result {
        writeln!(f, "{title:24}     C kernel       Rust kernel     namespace/host       Rust/C")?;
        writeln!(
            f,
            "{:24} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
            "", "host", "ns", "host", "ns", "C", "Rust", "host", "ns"
        )?;
        for row in &self.rows {
            write!(f, "{:24}", row.name)?;
            for role in Role::ALL {
                write!(f, " {:7.digits$}", of(&row.cells[&role]))?;
            }
            for (role, to) in [
                (Role::CNamespace, Role::CHost),
                (Role::RustNamespace, Role::RustHost),
                (Role::RustHost, Role::CHost),
                (Role::RustNamespace, Role::CNamespace),
            ] {
                write!(f, " {:7.3}", row.ratio(&of, role, to))?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }
}

/// The name of the CPU.
fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("a CPU without a name", |(_, name)| name).to_owned()
}

/// The verdict on the costs of the reads, given the cost of each read in each role.
pub fn time_verdict(cost: impl Fn(usize, Role) -> f64) -> Vec<Verdict> {
    let line = |name, c, rust, limit: f64| Verdict {
        name,
        c,
        rust,
        median: None,
        limit: format!("<= {limit}"),
        passed: rust <= limit,
    };
    let mut verdict = vec![];
    for (name, limit) in NAMESPACE_LIMITS {
        for read in (0..READS.len()).filter(|read| READS[*read].name == name) {
            let ratio = |namespace, host| cost(read, namespace) / cost(read, host);
            verdict.push(line(
                format!("namespace/host, {name}"),
                ratio(Role::CNamespace, Role::CHost),
                ratio(Role::RustNamespace, Role::RustHost),
                limit,
            ));
        }
    }
    for (read, Timed { name, .. }) in READS.into_iter().enumerate() {
        let rust = cost(read, Role::RustHost) / cost(read, Role::CHost);
        let title = format!("Rust/C host, {name}");
        verdict.push(line(title, 1.0, rust, HOST_LIMIT));
    }
    verdict
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, CPU {}, TSC {:.0} MHz, {} rounds; ns: in a time namespace with offsets\n",
            self.model, self.cpu, self.tsc_mhz, self.rounds
        )?;
        self.table(f, "warm, lowest (cycles)", 2, |cell| cell.lowest)?;
        self.table(f, "warm, median (cycles)", 2, |cell| cell.median)?;
        self.table(f, "cold, median (TSC)", 0, |cell| cell.cold)?;
        self.table(f, "instructions", 0, |cell| cell.instructions.into())?;
        writeln!(f, "{:34} {:>7} {:>7} {:>7}  limit", "verdict", "C", "Rust", "median")?;
        for line in &self.verdict {
            // Ratios and bytes.
            let digits = if line.c < 100.0 { 3 } else { 0 };
            writeln!(
                f,
                "{:34} {:7.digits$} {:7.digits$} {:>7}  {:9} {}",
                line.name,
                line.c,
                line.rust,
                line.median.map_or(String::new(), |median| format!("{median:.3}")),
                line.limit,
                if line.passed { "PASS" } else { "FAIL" }
            )?;
        }
        let failed = self.verdict.iter().filter(|line| !line.passed).count();
        let passed = self.verdict.len() - failed;
        write!(f, "\n{passed} passed, {failed} failed, 0 skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_reads_against_their_limits() {
        let verdict = time_verdict(|read, role| match (READS[read].name, role) {
            ("MONOTONIC", Role::CNamespace) => 55.0,
            ("MONOTONIC", Role::RustNamespace) => 51.0,
            ("time()", Role::RustHost) => 49.0,
            ("TAI", Role::RustHost) => 50.3,
            _ => 50.0,
        });
        let failed: Vec<_> = verdict.iter().filter(|line| !line.passed).collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[0].name, "namespace/host, MONOTONIC");
        assert_eq!((failed[0].c, failed[0].rust), (1.1, 1.02));
        assert_eq!(failed[1].name, "Rust/C host, TAI");
        assert_eq!(verdict.len(), NAMESPACE_LIMITS.len() + READS.len());
    }
}
