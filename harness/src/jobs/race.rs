// SPDX-License-Identifier: GPL-2.0

//! Races for new namespaces.
//!
//! The programs are selftests. For each race they print the rounds, the rounds that overlapped, and
//! the failures. The C kernel is the control: its failures are counted. On every other kernel they
//! are failures of the check.

use super::{
    findings::{column, Findings, Place},
    programs,
};
use crate::{
    guest::{
        ktap,
        lists::{List, RACE, WIDE_RACE},
        Transcript,
    },
    session::{failed, passed, unless, Outcome, Status},
};
use anyhow::Result;
use std::{collections::BTreeSet, fmt};

/// The one test of the programs that is not a race.
const NO_RACE: &str = "frozen_by_first_join";

/// The functions in KCSAN's report of the C kernel's race: the function that fills a page which
/// another task has already mapped, or its caller.
const C_RACE: [&str; 2] = ["timens_commit", "timens_set_vvar_page"];
/// The access to `frozen_offsets` in that report, the only `bool` there.
const FROZEN_OFFSETS: &str = " of 1 bytes by ";

/// The numbers of rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounds {
    /// Of each race in join_race. The other programs run a tenth of it, as their rounds take
    /// longer.
    pub joins: u32,
    /// Namespaces that end during lookups.
    pub ends: u32,
}

impl Rounds {
    /// Returns so many rounds, and twice as many namespaces that end.
    pub const fn of(joins: u32) -> Self {
        Self { joins, ends: 2 * joins }
    }

    /// Returns the environment of the programs.
    fn arguments(&self) -> [String; 4] {
        [
            format!("TIMENS_JOIN_RACE_ROUNDS={}", self.joins),
            format!("TIMENS_OFFSETS_RACE_ROUNDS={}", self.joins / 10),
            format!("TIMENS_READING_RACE_ROUNDS={}", self.joins / 10),
            format!("TIMENS_LOOKUP_RACE_ROUNDS={}", self.ends),
        ]
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds of each race in join_race, {} in the others, {} namespaces that end",
            self.joins,
            self.joins / 10,
            self.ends
        )
    }
}

/// Returns the list of programs for a number of CPUs.
pub fn list(cpus: u32) -> &'static List {
    match cpus {
        2 => &RACE,
        _ => &WIDE_RACE,
    }
}

pub fn run(place: Place, cpus: u32, rounds: Rounds) -> Result<Findings> {
    let list = list(cpus);
    if !place.kernel.is_control() {
        return programs::run(place, list, &rounds.arguments());
    }
    let transcript = programs::boot(place, list, false, &rounds.arguments())?;
    let mut checks = vec![place.guest_check(list.name, &transcript)];
    let failures = unexpected(place, list, &transcript)?;
    checks.push(place.check(&format!("{}: counts", list.name), unless(failures)));
    if place.kernel.has_kcsan() {
        checks.push(place.check("KCSAN reports the C kernel's race", control(&transcript)));
    }
    Ok(Findings { checks, transcripts: vec![transcript], text: String::new() })
}

/// Returns the failures on the control that are not counted failures of a race.
fn unexpected(place: Place, list: &'static List, transcript: &Transcript) -> Result<Vec<String>> {
    let (races, mut failures) = parse(&transcript.output);
    let column = column(place.kernel);
    for check in ktap::programs(place.context, list, "", column, &transcript.output)? {
        for result in &check.results {
            let race = races.iter().find(|(name, _)| result.name.ends_with(name));
            let expected = race.is_some_and(|(_, count)| count.failures > 0);
            if result.status != Status::Passed && !expected {
                failures.push(check.describe(result));
            } else if race.is_none() && !result.name.ends_with(NO_RACE) {
                failures.push(format!("{} printed no counts", result.name));
            }
        }
    }
    Ok(failures)
}

/// Checks that KCSAN reports the race of the C kernel, and so can find one on the Rust kernel.
fn control(transcript: &Transcript) -> Vec<Outcome> {
    use crate::guest::kcsan::title;
    let reports = &transcript.races;
    let races: BTreeSet<_> = reports.iter().map(|report| title(report)).collect();
    let is_it = |report: &String| {
        C_RACE.iter().any(|name| title(report).contains(name)) && report.contains(FROZEN_OFFSETS)
    };
    match reports.iter().any(is_it) {
        true => passed(),
        false => failed(format!(
            "KCSAN reported {} other races of time namespaces, and {} elsewhere",
            races.len(),
            transcript.races_elsewhere.len()
        )),
    }
}

/// The kinds of failures: a short name, and the label that the programs print after a number.
pub const FAILURES: [(&str, &str); 8] = [
    ("zero", "zero"),
    ("no offset", "without the offset"),
    ("wrong", "wrong otherwise"),
    ("torn", "torn"),
    ("stale", "stale"),
    ("early", "refused before the freeze"),
    ("late", "succeeded after the freeze"),
    ("lost", "lost"),
];

/// The number of each of [`FAILURES`].
pub type Breakdown = [u64; FAILURES.len()];

/// Adds the failures in a line of the output.
fn break_down(line: &str, breakdown: &mut Breakdown) {
    // PROGRAM:LINE:TEST:NUMBER reads: NUMBER KIND, …
    let message = line.splitn(4, ':').nth(3).unwrap_or_default();
    let counts = message.rsplit(": ").next().unwrap_or_default();
    for part in counts.split(", ") {
        let Some((count, kind)) = part.split_once(' ') else {
            continue;
        };
        let index = FAILURES.iter().position(|(_, label)| *label == kind);
        if let (Some(index), Ok(count)) = (index, count.parse::<u64>()) {
            breakdown[index] += count;
        }
    }
}

/// Parses a line about a clock that read zero. Returns the clock, and the way it was read.
pub fn zero_clock(line: &str) -> Option<String> {
    let (read, _) = line.split_once(" is 0 ns, ")?;
    let read = read.rsplit(':').next()?;
    let clock = read.rsplit("'s ").next()?.split_whitespace().next()?;
    let way = match read.contains(" by vDSO") {
        true => "vDSO",
        false => "system call",
    };
    Some(format!("{clock} by {way}"))
}

/// The counts of one race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaceCounts {
    pub rounds: u64,
    pub overlaps: u64,
    pub failures: u64,
    pub breakdown: Breakdown,
}

/// The races of a guest, by name.
pub type Races = Vec<(String, RaceCounts)>;

/// Parses the races in a guest's output. Also returns the errors in it.
pub fn parse(output: &str) -> (Races, Vec<String>) {
    let (mut races, mut errors) = (vec![], vec![]);
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
            errors.push(format!("{name}: no counts: {rest}"));
            continue;
        };
        if breakdown.iter().sum::<u64>() != failures {
            errors.push(format!("{name}: {failures} failures, but {breakdown:?} by kind"));
        }
        races.push((name.to_owned(), RaceCounts { rounds, overlaps, failures, breakdown }));
    }
    (races, errors)
}

/// Parses the rounds, overlaps and failures of a race.
fn counts(text: &str) -> Option<(u64, u64, u64)> {
    let words: Vec<_> = text.split_whitespace().collect();
    let ["rounds", rounds, "overlaps", overlaps, "failures", failures] = words[..] else {
        return None;
    };
    Some((rounds.parse().ok()?, overlaps.parse().ok()?, failures.parse().ok()?))
}

/// Sums up the failures of a guest's races, by kind.
pub fn summary(output: &str) -> String {
    let mut sums = Breakdown::default();
    for (_, count) in parse(output).0 {
        let counts = sums.iter_mut().zip(count.breakdown);
        counts.for_each(|(sum, count)| *sum += count);
    }
    let sums = sums.into_iter().zip(FAILURES);
    let sums: Vec<_> = sums
        .filter(|(count, _)| *count > 0)
        .map(|(count, (_, label))| format!("{count} {label}"))
        .collect();
    sums.join(", ")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const OUTPUT: &str = "#  RUN           r.joins.x ...\n# r.c:1:x:3 writes done, 2 refused\n\
                          # r.c:2:x:round 3: RAW is 0 ns, since the round began 1 ns\n\
                          # r.c:5:x:9 clock reads: 4 zero, 5 without the offset, 6 wrong otherwise\n\
                          # r.c:6:x:0 torn, 7 stale, 1 refused before the freeze, 2 succeeded after the freeze, 3 lost\n\
                          # r.c:7:x:RACE rounds 10 overlaps 4 failures 28\nnot ok 1 r.joins.x\n\
                          #  RUN           r.reads.x ...\n\
                          # r.c:7:x:RACE rounds 10 overlaps 6 failures 0\nok 2 r.reads.x\n";

    #[test]
    fn each_race_has_counts() {
        let (races, errors) = parse(OUTPUT);
        assert!(errors.is_empty(), "{errors:?}");
        let names: Vec<_> = races.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["r.joins.x", "r.reads.x"]);
        assert_eq!(
            races[0].1,
            RaceCounts {
                rounds: 10,
                overlaps: 4,
                failures: 28,
                breakdown: [4, 5, 6, 0, 7, 1, 2, 3]
            }
        );
        assert_eq!(races[1].1.breakdown, Breakdown::default());
        let wrong = summary(OUTPUT);
        assert!(wrong.starts_with("4 zero, 5 without the offset, 6 "), "{wrong}");
        assert!(wrong.ends_with(", 2 succeeded after the freeze, 3 lost"), "{wrong}");
    }

    #[test]
    fn counts_that_do_not_add_up_are_an_error() {
        for wrong in ["failures 27\nnot", "failures x\nnot"] {
            let (_, errors) = parse(&OUTPUT.replace("failures 28\nnot", wrong));
            assert_eq!(errors.len(), 1, "{errors:?}");
        }
    }

    #[test]
    fn clocks_that_read_zero_are_found() {
        let lines = [
            "# j.c:1:x:joiner's MONOTONIC_COARSE by vDSO at the join is 0 ns, off by -9 ns",
            "# o.c:1:x:round 3: RAW after joining by system call is 0 ns, since the round began 1 ns",
            "# j.c:1:x:joiner's RAW by vDSO at the join is 10 ns, off by -9 ns",
        ];
        let clocks: Vec<_> = lines.into_iter().filter_map(zero_clock).collect();
        assert_eq!(clocks, ["MONOTONIC_COARSE by vDSO", "RAW by system call"]);
    }
}
