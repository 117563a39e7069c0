// SPDX-License-Identifier: GPL-2.0

//! `race`: races for new namespaces on a busy host, with two and four CPUs.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    jobs::{
        race::{parse, zero_clock, RaceCounts, Rounds, FAILURES},
        Job,
    },
    kernel::kernels::{Kernel, RUST, RUST_STOCK_VDSO, STOCK, STOCK_OFFSET_PAGE},
    session::{unless, Check, Column},
};
use anyhow::Result;
use clap::Args;
use std::{collections::BTreeMap, fmt};

static KERNELS: [&Kernel; 4] = [&STOCK, &RUST, &STOCK_OFFSET_PAGE, &RUST_STOCK_VDSO];

/// The programs accept up to ten million namespaces that end, which are twice as many.
const MAX_ROUNDS: i64 = 5_000_000;

/// The tasks must overlap in one of this many rounds.
const ROUNDS_PER_OVERLAP: u64 = 100;

#[derive(Args)]
pub struct Options {
    /// Rounds of each race in join_race. The other programs run a tenth of it, and twice as many
    /// namespaces end.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=MAX_ROUNDS))]
    rounds: u32,
    #[command(flatten)]
    selection: Selection,
}

fn plan(rounds: u32) -> Plan {
    let rounds = Rounds::of(rounds);
    let jobs = [2, 4].map(|cpus| Job::Race { cpus, rounds });
    let rows = KERNELS.map(|kernel| (kernel, jobs.to_vec()));
    Plan::new("race", rows.into())
}

pub fn race(context: &Context, options: &Options) -> Result<bool> {
    let mut table = Table::default();
    let plan = plan(options.rounds).select(&options.selection)?;
    let mut session = plan.run(context, |kernel, job, findings| {
        let Job::Race { cpus, .. } = job else { return };
        for transcript in &findings.transcripts {
            for (name, count) in parse(&transcript.output).0 {
                table.add(&name, *cpus, kernel, count);
            }
            for clock in transcript.output.lines().filter_map(zero_clock) {
                *table.zeroes.entry((kernel.name, clock)).or_default() += 1;
            }
        }
    })?;
    let overlaps = unless(table.rare_overlaps());
    session.add(Check::new("the tasks overlap", Column::Host, overlaps));
    if plan.has_kernel(&STOCK) {
        let failure = "no clock read zero or lacked its offset, so clean results elsewhere prove \
                       little: give more --rounds";
        let results = unless((!table.shows_the_race()).then(|| failure.to_owned()));
        session.add(Check::new("the C kernel shows its race", Column::C, results));
    }
    session.finish("race", &table.to_string())
}

/// The counts of one race, by kernel.
#[derive(Default)]
struct Row(BTreeMap<&'static str, RaceCounts>);

/// The races, by name and number of CPUs, and the clocks that read zero on each kernel.
#[derive(Default)]
struct Table {
    races: Vec<((String, u32), Row)>,
    zeroes: BTreeMap<(&'static str, String), u64>,
}

impl Table {
    fn add(&mut self, name: &str, cpus: u32, kernel: &Kernel, count: RaceCounts) {
        let key = (name.to_owned(), cpus);
        let index = self.races.iter().position(|(other, _)| *other == key);
        let index = index.unwrap_or_else(|| {
            self.races.push((key, Row::default()));
            self.races.len() - 1
        });
        self.races[index].1 .0.insert(kernel.name, count);
    }

    /// Lists the races whose tasks rarely overlapped, so that they prove nothing.
    fn rare_overlaps(&self) -> Vec<String> {
        let mut sums = BTreeMap::<_, [u64; 2]>::new();
        for ((name, _), row) in &self.races {
            for (kind, count) in &row.0 {
                let [overlaps, rounds] = sums.entry((name, *kind)).or_default();
                *overlaps += count.overlaps;
                *rounds += count.rounds;
            }
        }
        let few = sums
            .into_iter()
            .filter(|(_, [overlaps, rounds])| overlaps * ROUNDS_PER_OVERLAP < *rounds);
        few.map(|((name, kind), [overlaps, rounds])| {
            format!("{name}: the tasks overlapped in {overlaps} of {rounds} rounds on the {kind} kernel")
        })
        .collect()
    }

    /// Whether a task on the C kernel read a clock as zero or without its offset.
    fn shows_the_race(&self) -> bool {
        let stock = self.races.iter();
        let mut stock = stock.filter_map(|(_, row)| row.0.get(STOCK.name));
        stock.any(|count| count.breakdown[..2] != [0, 0])
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.races.iter().map(|((name, _), _)| name.len()).max();
        let width = width.unwrap_or_default();
        write!(f, "{:width$} CPUs", "")?;
        for kernel in KERNELS {
            write!(f, "  {:>24}", kernel.name)?;
        }
        write!(f, "\n{:width$}     ", "race")?;
        for _ in KERNELS {
            write!(f, "  rounds overlaps failures")?;
        }
        writeln!(f)?;
        for ((name, cpus), row) in &self.races {
            write!(f, "{name:width$} {cpus:4}")?;
            for kernel in KERNELS {
                match row.0.get(kernel.name) {
                    Some(count) => {
                        write!(f, "  {:6} {:8} {:8}", count.rounds, count.overlaps, count.failures)?
                    }
                    None => write!(f, "  {:>24}", "-")?,
                }
            }
            writeln!(f)?;
        }
        write!(f, "\n{:width$} CPUs {:17}", "failures by kind", "kernel")?;
        for (name, _) in FAILURES {
            write!(f, " {name:>9}")?;
        }
        writeln!(f)?;
        for ((name, cpus), row) in &self.races {
            for kernel in KERNELS {
                let Some(count) = row.0.get(kernel.name) else {
                    continue;
                };
                write!(f, "{name:width$} {cpus:4} {:17}", kernel.name)?;
                for count in count.breakdown {
                    write!(f, " {count:9}")?;
                }
                writeln!(f)?;
            }
        }
        for ((kind, clock), count) in &self.zeroes {
            writeln!(f, "zero on the {kind} kernel: {clock}, {count} printed")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::race::{tests::OUTPUT, Breakdown};

    #[test]
    fn a_race_whose_tasks_rarely_overlap_is_a_failure() {
        let count = |rounds, overlaps| RaceCounts {
            rounds,
            overlaps,
            failures: 0,
            breakdown: Breakdown::default(),
        };
        let mut table = Table::default();
        table.add("r.x", 2, &RUST, count(5000, 7));
        table.add("r.x", 4, &RUST, count(5000, 93));
        assert!(table.rare_overlaps().is_empty());
        table.add("r.x", 2, &STOCK, count(5000, 49));
        let failure = "r.x: the tasks overlapped in 49 of 5000 rounds on the stock kernel";
        assert_eq!(table.rare_overlaps(), [failure]);
    }

    #[test]
    fn the_table_has_a_column_for_each_kernel() {
        let mut table = Table::default();
        for (name, count) in parse(OUTPUT).0 {
            table.add(&name, 2, &STOCK, count);
        }
        table.add("r.joins.x", 2, &RUST, parse(OUTPUT).0[1].1);
        assert!(table.shows_the_race());
        assert!(!Table::default().shows_the_race());
        let text = table.to_string();
        let lines: Vec<_> = text.lines().skip(2).map(str::trim).collect();
        let first: Vec<_> = lines[0].split_whitespace().collect();
        assert_eq!(first.join(" "), "r.joins.x 2 10 4 28 10 6 0 - -");
        let words = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[4]), "stock 4 5 6 0 7 1 2 3");
        assert_eq!(words(lines[5]), "rust 0 0 0 0 0 0 0 0");
    }
}
