// SPDX-License-Identifier: GPL-2.0

//! `race`: tasks that meet at new namespaces, on two and on four CPUs of a busy host, and how often
//! each kernel lets one of them see what it must not.
//!
//! The programs are selftests, which say for each of their races how often it was run, how often the
//! tasks overlapped, and what was wrong. On the stock kernel that is what this wants to know; with
//! the series it is a failure, also where one half of it is chosen: the implementation in C, which it
//! mends, or the vDSO as it was, as other architectures have it.

use crate::{
    guest::{self, Guest, Machine, Transcript},
    initramfs,
    kbuild::{self, Kind},
    ktap,
    programs::{List, RACE},
    report::{keep, Column, Status},
    steps::Step,
    test::KUNIT_OFF,
    Context,
};
use anyhow::Result;
use clap::Args;
use std::{collections::BTreeMap, fmt, time::Duration};

const KINDS: [Kind; 4] = [
    Kind::Stock,
    Kind::Rust,
    Kind::StockOffsetPage,
    Kind::RustStockVdso,
];

/// Four CPUs need not be there: QEMU then takes turns, so that tasks stop at any instruction.
const MACHINES: [(u32, Machine); 2] = [(2, Machine::Fast), (4, Machine::Wide)];

/// The programs take up to ten million, of namespaces that end too, which are twice as many.
const MOST_ROUNDS: i64 = 5_000_000;

/// One round in so many must be one in which the tasks met.
const FEWEST: u64 = 100;

/// The one test of the programs that is no race.
const NO_RACE: &str = "frozen_by_first_join";

#[derive(Args)]
pub struct Options {
    /// How often two tasks meet in each of the races of join_race; those of offsets_race, whose
    /// rounds take longer, have a tenth of it, and twice as many namespaces end.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=MOST_ROUNDS))]
    rounds: u32,
    /// With the kernels and selftests as they are.
    #[arg(long, hide = true)]
    no_build: bool,
}

/// What the programs take as their numbers: of rounds, of which those of offsets_race, which take
/// longer, have a tenth, and of namespaces that end.
pub fn rounds(count: u32, ends: u32) -> [String; 3] {
    [
        format!("TIMENS_JOIN_RACE_ROUNDS={count}"),
        format!("TIMENS_OFFSETS_RACE_ROUNDS={}", offsets_rounds(count)),
        format!("TIMENS_OFFSETS_RACE_ENDS={ends}"),
    ]
}

/// How many rounds offsets_race has where join_race has `count`.
pub fn offsets_rounds(count: u32) -> u32 {
    count / 10
}

/// What can be wrong: in short, and as the programs say it behind a number.
const FAILURES: [(&str, &str); 8] = [
    ("zero", "zero"),
    ("no offset", "without the offset"),
    ("wrong", "wrong otherwise"),
    ("torn", "torn"),
    ("stale", "stale"),
    ("early", "refused too early"),
    ("late", "done too late"),
    ("lost", "lost"),
];

/// How often each of [`FAILURES`] was seen.
type Breakdown = [u64; FAILURES.len()];

/// Takes what a line says of failures into the breakdown.
fn break_down(line: &str, breakdown: &mut Breakdown) {
    // Behind the program, the line and the test, and how many were looked at.
    let said = line.splitn(4, ':').nth(3).unwrap_or_default();
    let said = said.rsplit(": ").next().unwrap_or_default();
    for part in said.split(", ") {
        let Some((count, what)) = part.split_once(' ') else {
            continue;
        };
        let index = FAILURES.iter().position(|(_, said)| *said == what);
        if let (Some(index), Ok(count)) = (index, count.parse::<u64>()) {
            breakdown[index] += count;
        }
    }
}

/// The clock that has read as zero, and by which way, if the line says so: the programs do of the first.
fn zero_clock(line: &str) -> Option<String> {
    let (said, _) = line.split_once(" is 0 ns, ")?;
    let said = said.rsplit(':').next()?;
    let clock = said.rsplit("'s ").next()?.split_whitespace().next()?;
    let way = match said.contains(" by vDSO") {
        true => "vDSO",
        false => "system call",
    };
    Some(format!("{clock} by {way}"))
}

/// What a program said of one race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    rounds: u64,
    overlaps: u64,
    failures: u64,
    breakdown: Breakdown,
}

/// Races by their names.
type Races = Vec<(String, Count)>;

/// The races in a guest's output, in their order, and what of it is not as it should be.
fn parse(output: &str) -> (Races, Vec<String>) {
    let (mut races, mut problems) = (vec![], vec![]);
    let mut name = "";
    let mut breakdown = Breakdown::default();
    for line in output.lines() {
        if let Some((_, rest)) = line.split_once("#  RUN ") {
            name = rest.trim().trim_end_matches(" ...");
            breakdown = Breakdown::default();
        }
        let Some((_, rest)) = line.split_once(":RACE ") else {
            break_down(line, &mut breakdown);
            continue;
        };
        let Some((rounds, overlaps, failures)) = counts(rest) else {
            problems.push(format!("{name}: no counts: {rest}"));
            continue;
        };
        if breakdown.iter().sum::<u64>() != failures {
            problems.push(format!(
                "{name}: {failures} failures, of which it says what {breakdown:?} were"
            ));
        }
        races.push((
            name.to_owned(),
            Count {
                rounds,
                overlaps,
                failures,
                breakdown,
            },
        ));
    }
    (races, problems)
}

/// The rounds, overlaps and failures of a race.
fn counts(said: &str) -> Option<(u64, u64, u64)> {
    let words: Vec<_> = said.split_whitespace().collect();
    let ["rounds", rounds, "overlaps", overlaps, "failures", failures] = words[..] else {
        return None;
    };
    Some((
        rounds.parse().ok()?,
        overlaps.parse().ok()?,
        failures.parse().ok()?,
    ))
}

/// One race, on so many CPUs, by kernel.
#[derive(Default)]
struct Row(BTreeMap<&'static str, Count>);

/// The races in the order in which they ran, and which clocks have read as zero on which kernel.
#[derive(Default)]
struct Table {
    races: Vec<((String, u32), Row)>,
    zeroes: BTreeMap<(&'static str, String), u64>,
}

impl Table {
    fn add(&mut self, name: &str, cpus: u32, kind: Kind, count: Count) {
        let key = (name.to_owned(), cpus);
        let index = self.races.iter().position(|(other, _)| *other == key);
        let index = index.unwrap_or_else(|| {
            self.races.push((key, Row::default()));
            self.races.len() - 1
        });
        self.races[index].1 .0.insert(kind.name(), count);
    }

    /// The races that some kernel hardly had, on all machines together: that nothing was wrong in them
    /// says nothing.
    fn hardly_met(&self) -> Vec<String> {
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
            .filter(|(_, [overlaps, rounds])| overlaps * FEWEST < *rounds);
        few.map(|((name, kind), [overlaps, rounds])| {
            format!("{name}: the tasks met in {overlaps} of {rounds} rounds on the {kind} kernel")
        })
        .collect()
    }

    /// Whether a task on the stock kernel has read a clock as zero or without its offset.
    fn shows_the_race(&self) -> bool {
        let stock = self.races.iter();
        let mut stock = stock.filter_map(|(_, row)| row.0.get(Kind::Stock.name()));
        stock.any(|count| count.breakdown[..2] != [0, 0])
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.races.iter().map(|((name, _), _)| name.len()).max();
        let width = width.unwrap_or_default();
        write!(f, "{:width$} CPUs", "")?;
        for kind in KINDS {
            write!(f, "  {:>24}", kind.name())?;
        }
        write!(f, "\n{:width$}     ", "race")?;
        for _ in KINDS {
            write!(f, "  rounds overlaps failures")?;
        }
        writeln!(f)?;
        for ((name, cpus), row) in &self.races {
            write!(f, "{name:width$} {cpus:4}")?;
            for kind in KINDS {
                match row.0.get(kind.name()) {
                    Some(count) => write!(
                        f,
                        "  {:6} {:8} {:8}",
                        count.rounds, count.overlaps, count.failures
                    )?,
                    None => write!(f, "  {:>24}", "did not end")?,
                }
            }
            writeln!(f)?;
        }
        write!(f, "\n{:width$} CPUs {:17}", "what was wrong", "kernel")?;
        for (name, _) in FAILURES {
            write!(f, " {name:>9}")?;
        }
        writeln!(f)?;
        for ((name, cpus), row) in &self.races {
            for kind in KINDS {
                let Some(count) = row.0.get(kind.name()) else {
                    continue;
                };
                write!(f, "{name:width$} {cpus:4} {:17}", kind.name())?;
                for count in count.breakdown {
                    write!(f, " {count:9}")?;
                }
                writeln!(f)?;
            }
        }
        for ((kind, clock), count) in &self.zeroes {
            writeln!(
                f,
                "zero on the {kind} kernel: {clock}, {count} of those told"
            )?;
        }
        Ok(())
    }
}

/// Builds the kernels and the programs, has them race and says what came of it.
pub fn race(context: &Context, options: &Options) -> Result<bool> {
    let builds = match options.no_build {
        true => 0,
        false => KINDS.len() * kbuild::BUILD_STEPS + 1,
    };
    let mut steps = context.steps(builds + KINDS.len() * (1 + MACHINES.len()))?;
    if !options.no_build {
        // The others start as copies of the first two.
        for kind in KINDS {
            kbuild::build(context, &mut steps, kind)?;
        }
        steps.run("build the selftests", |step| {
            kbuild::selftests(context, step)
        })?;
    }
    for kind in KINDS {
        steps.run(&format!("pack the {} guest", kind.name()), |step| {
            initramfs::pack(context, step, kind)
        })?;
    }
    let mut table = Table::default();
    let mut failures = vec![];
    for (cpus, machine) in MACHINES {
        for kind in KINDS {
            let title = format!("{cpus} CPUs, the {} kernel", kind.name());
            let found = steps.run(&title, |step| {
                run(context, step, kind, machine, options.rounds)
            })?;
            for (name, count) in &found.races {
                table.add(name, cpus, kind, *count);
            }
            for clock in found.zeroes {
                *table.zeroes.entry((kind.name(), clock)).or_default() += 1;
            }
            failures.extend(found.failures.iter().map(|why| format!("{title}: {why}")));
        }
    }
    failures.extend(table.hardly_met());
    if !table.shows_the_race() {
        failures.push(
            "the stock kernel did not show its race, which makes ours being clean worth little: \
             more rounds by RACE='--rounds NUMBER'"
                .to_owned(),
        );
    }
    let mut report = table.to_string();
    for failure in &failures {
        report += &format!("FAILED {failure}\n");
    }
    print!("\n{report}");
    keep(context, "race", &report)?;
    Ok(failures.is_empty())
}

#[derive(Default)]
struct Found {
    races: Races,
    zeroes: Vec<String>,
    failures: Vec<String>,
}

fn run(context: &Context, step: &Step, kind: Kind, machine: Machine, count: u32) -> Result<Found> {
    step.expect(RACE.programs().count() as u64);
    let limit: u32 = RACE.programs().map(|program| program.limit).sum();
    let guest = Guest {
        name: format!("race-{}", kind.name()),
        kind,
        initrd: &initramfs::path(context, kind),
        job: "programs",
        arguments: [
            &[KUNIT_OFF.to_owned(), format!("TIMENS_LIST={}", RACE.name)],
            &rounds(count, 2 * count)[..],
        ]
        .concat(),
        limit: Duration::from_secs(120 + u64::from(limit)),
        busy_host: true,
        share: None,
        machine,
    };
    let transcript = guest::run(context, step, &guest, |_| {})?;
    let (races, failures) = judge(context, kind, &RACE, &transcript)?;
    Ok(Found {
        races,
        zeroes: transcript.output.lines().filter_map(zero_clock).collect(),
        failures: [transcript.problems, failures].concat(),
    })
}

/// The races of the programs of `list`, and what is not as it should be: on a stock kernel all may fail
/// that say how often something was wrong.
pub fn judge(
    context: &Context,
    kind: Kind,
    list: &List,
    transcript: &Transcript,
) -> Result<(Races, Vec<String>)> {
    let (races, mut failures) = parse(&transcript.output);
    for check in ktap::programs(context, list, "", Column::Ours, &transcript.output)? {
        for result in &check.results {
            let race = races.iter().find(|(name, _)| result.name.ends_with(name));
            // What stock gets wrong is in the counts.
            let is_stock = matches!(kind, Kind::Stock | Kind::StockKcsan);
            let expected = is_stock && race.is_some_and(|(_, count)| count.failures > 0);
            if result.status != Status::Passed && !expected {
                failures.push(check.tell(result));
            } else if race.is_none() && !result.name.ends_with(NO_RACE) {
                failures.push(format!("{} has given no counts", result.name));
            }
        }
    }
    Ok((races, failures))
}

/// What was wrong in a guest's races, and how often.
pub fn wrong(output: &str) -> String {
    let mut sums = Breakdown::default();
    for (_, count) in parse(output).0 {
        let counts = sums.iter_mut().zip(count.breakdown);
        counts.for_each(|(sum, count)| *sum += count);
    }
    let sums = sums.into_iter().zip(FAILURES);
    let sums: Vec<_> = sums
        .filter(|(count, _)| *count > 0)
        .map(|(count, (_, said))| format!("{count} {said}"))
        .collect();
    sums.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "#  RUN           r.joins.x ...\n# r.c:1:x:3 writes done, 2 refused\n\
                          # r.c:2:x:round 3: RAW is 0 ns, since the round began 1 ns\n\
                          # r.c:5:x:9 clock reads: 4 zero, 5 without the offset, 6 wrong otherwise\n\
                          # r.c:6:x:0 torn, 7 stale, 1 refused too early, 2 done too late, 3 lost\n\
                          # r.c:7:x:RACE rounds 10 overlaps 4 failures 28\nnot ok 1 r.joins.x\n\
                          #  RUN           r.reads.x ...\n\
                          # r.c:7:x:RACE rounds 10 overlaps 6 failures 0\nok 2 r.reads.x\n";

    #[test]
    fn finds_the_counts_of_each_race() {
        let (races, problems) = parse(OUTPUT);
        assert!(problems.is_empty(), "{problems:?}");
        let names: Vec<_> = races.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["r.joins.x", "r.reads.x"]);
        assert_eq!(
            races[0].1,
            Count {
                rounds: 10,
                overlaps: 4,
                failures: 28,
                breakdown: [4, 5, 6, 0, 7, 1, 2, 3],
            }
        );
        assert_eq!(races[1].1.breakdown, Breakdown::default());
        let wrong = wrong(OUTPUT);
        assert!(
            wrong.starts_with("4 zero, 5 without the offset, 6 "),
            "{wrong}"
        );
        assert!(wrong.ends_with(", 2 done too late, 3 lost"), "{wrong}");
    }

    #[test]
    fn counts_that_do_not_add_up_are_told() {
        for wrong in ["failures 27\nnot", "failures x\nnot"] {
            let (_, problems) = parse(&OUTPUT.replace("failures 28\nnot", wrong));
            assert_eq!(problems.len(), 1, "{problems:?}");
        }
    }

    #[test]
    fn names_the_clocks_that_read_zero() {
        let lines = [
            "# j.c:1:x:joiner's MONOTONIC_COARSE by vDSO at the join is 0 ns, off by -9 ns",
            "# o.c:1:x:round 3: RAW after joining by system call is 0 ns, since the round began 1 ns",
            "# j.c:1:x:joiner's RAW by vDSO at the join is 10 ns, off by -9 ns",
        ];
        let clocks: Vec<_> = lines.into_iter().filter_map(zero_clock).collect();
        assert_eq!(clocks, ["MONOTONIC_COARSE by vDSO", "RAW by system call"]);
    }

    #[test]
    fn a_race_in_which_tasks_hardly_meet_is_told() {
        let count = |rounds, overlaps| Count {
            rounds,
            overlaps,
            failures: 0,
            breakdown: Breakdown::default(),
        };
        let mut table = Table::default();
        table.add("r.x", 2, Kind::Rust, count(5000, 7));
        table.add("r.x", 4, Kind::Rust, count(5000, 93));
        assert!(table.hardly_met().is_empty());
        table.add("r.x", 2, Kind::Stock, count(5000, 49));
        let told = "r.x: the tasks met in 49 of 5000 rounds on the stock kernel";
        assert_eq!(table.hardly_met(), [told]);
    }

    #[test]
    fn the_table_has_both_kernels_side_by_side() {
        let mut table = Table::default();
        for (name, count) in parse(OUTPUT).0 {
            table.add(&name, 2, Kind::Stock, count);
        }
        table.add("r.joins.x", 2, Kind::Rust, parse(OUTPUT).0[1].1);
        assert!(table.shows_the_race());
        assert!(!Table::default().shows_the_race());
        let text = table.to_string();
        let lines: Vec<_> = text.lines().skip(2).map(str::trim).collect();
        let first: Vec<_> = lines[0].split_whitespace().collect();
        assert_eq!(
            first.join(" "),
            "r.joins.x 2 10 4 28 10 6 0 did not end did not end"
        );
        assert!(
            lines[1].contains("6        0               did not end"),
            "{text}"
        );
        let words = |line: &str| {
            line.split_whitespace()
                .skip(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words(lines[4]), "stock 4 5 6 0 7 1 2 3");
        assert_eq!(words(lines[5]), "rust 0 0 0 0 0 0 0 0");
    }
}
