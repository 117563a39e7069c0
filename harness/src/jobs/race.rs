// SPDX-License-Identifier: GPL-2.0

//! Tasks that race for new namespaces.
//!
//! The programs are selftests. They print for each race its rounds, the rounds that overlapped, and the
//! failures. On the C kernel of unmodified Linux the failures are the finding; on every other kernel they
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

/// The one test of the programs that is no race.
const NO_RACE: &str = "frozen_by_first_join";

/// The functions in the title of KCSAN's report of the C kernel's race: the function that fills the page
/// that another task has mapped already, or its caller.
const C_RACE: [&str; 2] = ["timens_commit", "timens_set_vvar_page"];
/// The access to `frozen_offsets` in that report, the only `bool` there.
const FROZEN_OFFSETS: &str = " of 1 bytes by ";

/// The number of rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounds {
    /// Of each race in join_race. The other programs, whose rounds take longer, have a tenth of it.
    pub joins: u32,
    /// Namespaces that end while others look them up.
    pub ends: u32,
}

impl Rounds {
    /// So many rounds, and twice as many namespaces that end.
    pub const fn of(joins: u32) -> Self {
        Self { joins, ends: 2 * joins }
    }

    /// The environment of the programs.
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

/// The list of programs for a number of CPUs.
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

/// The failures on a control beyond those that the counts of a race explain.
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

/// KCSAN must report the race of the C kernel: otherwise its silence about the Rust kernel proves nothing.
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

/// The kinds of failures: a short name, and the label that the programs print behind a number.
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

/// Adds the failures that a line counts.
fn break_down(line: &str, breakdown: &mut Breakdown) {
    // PROGRAM:LINE:TEST:NUMBER reads: NUMBER KIND, …
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

/// The clock that read as zero, and the way it was read, if the line has one: the programs print the first.
pub fn zero_clock(line: &str) -> Option<String> {
    let (said, _) = line.split_once(" is 0 ns, ")?;
    let said = said.rsplit(':').next()?;
    let clock = said.rsplit("'s ").next()?.split_whitespace().next()?;
    let way = match said.contains(" by vDSO") {
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

/// Races by their names.
pub type Races = Vec<(String, RaceCounts)>;

/// The races in a guest's output, in their order, and the errors in it.
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
            errors.push(format!("{name}: {failures} failures, but by kind they are {breakdown:?}"));
        }
        races.push((name.to_owned(), RaceCounts { rounds, overlaps, failures, breakdown }));
    }
    (races, errors)
}

/// The rounds, overlaps and failures of a race.
fn counts(said: &str) -> Option<(u64, u64, u64)> {
    let words: Vec<_> = said.split_whitespace().collect();
    let ["rounds", rounds, "overlaps", overlaps, "failures", failures] = words[..] else {
        return None;
    };
    Some((rounds.parse().ok()?, overlaps.parse().ok()?, failures.parse().ok()?))
}

/// The failures of a guest's races, by kind.
pub fn summary(output: &str) -> String {
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
    fn finds_the_counts_of_each_race() {
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
    fn names_the_clocks_that_read_zero() {
        let lines = [
            "# j.c:1:x:joiner's MONOTONIC_COARSE by vDSO at the join is 0 ns, off by -9 ns",
            "# o.c:1:x:round 3: RAW after joining by system call is 0 ns, since the round began 1 ns",
            "# j.c:1:x:joiner's RAW by vDSO at the join is 10 ns, off by -9 ns",
        ];
        let clocks: Vec<_> = lines.into_iter().filter_map(zero_clock).collect();
        assert_eq!(clocks, ["MONOTONIC_COARSE by vDSO", "RAW by system call"]);
    }
}
