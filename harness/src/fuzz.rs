// SPDX-License-Identifier: GPL-2.0

//! `fuzz`: the same random operations on the stock and on our kernel, and what came of them
//! compared.
//!
//! The guest's program, `harness/guest/fuzz.c`, draws the operations from a seed and gives a hash of
//! what each sequence of them came to. Of one that differs it then tells the whole text, for fewer
//! and fewer of its operations, until each that is left is needed.

mod shrink;

use crate::{
    guest::{self, Guest, Machine, Transcript},
    initramfs,
    kbuild::{self, Kind},
    report::keep,
    steps::{Step, Steps},
    test::KUNIT_OFF,
    Context,
};
use anyhow::{bail, Context as _, Result};
use clap::Args;
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    ops::Range,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Operations of a sequence, which begins with a fresh set of processes.
pub const LENGTH: u32 = 200;
/// Sequences of one boot.
const SEQUENCES: u32 = 500;
/// How long a guest may take for a sequence; it gives up an operation that hangs by itself.
const SEQUENCE_LIMIT: Duration = Duration::from_secs(40);
/// So many sequences have some operations of each kind that succeed.
const MANY: u32 = 20;
/// Of how many sequences the shortest form is looked for.
const SHRUNK: usize = 3;
/// How many boots may end before their time.
const DEATHS: usize = 20;

/// The two kernels that are compared: stock, and ours.
pub const KINDS: [Kind; 2] = [Kind::Stock, Kind::Rust];

#[derive(Args)]
pub struct Options {
    /// What the operations are drawn from; the first of the seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds there are, one after the other, which share the operations.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// How many operations on each kernel, in sequences of 200: one of each seed, or more.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// Instead, one sequence of the first seed again, with these of its operations:
    /// SEQUENCE:OPERATION,OPERATION…
    #[arg(long, value_parser = Request::parse)]
    replay: Option<Request>,
    /// With the kernels as they are.
    #[arg(long, hide = true)]
    no_build: bool,
}

/// One sequence to run.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    sequence: u32,
    /// Those to run and to tell of; if there is no list all are run and only hashed.
    operations: Option<Vec<u32>>,
}

impl Request {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = "not of the form SEQUENCE:OPERATION,OPERATION…";
        let (sequence, operations) = text.split_once(':').ok_or(wrong)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong);
        Ok(Self {
            sequence: number(sequence)?,
            operations: Some(
                operations
                    .split(',')
                    .map(number)
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// The form that the guest reads.
    fn to_line(&self, seed: u64) -> String {
        let sequence = self.sequence;
        match &self.operations {
            None => format!("hash {seed} {sequence} {LENGTH}\n"),
            Some(operations) => {
                let mut line = format!("list {seed} {sequence}");
                for operation in operations {
                    line += &format!(" {operation}");
                }
                line + "\n"
            }
        }
    }
}

/// What a sequence came to.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// The text, or its hash.
    Text(Vec<String>),
    /// The guest did not survive it.
    Died(String),
}

impl Answer {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Text(lines) => lines.clone(),
            Self::Died(why) => vec![why.clone()],
        }
    }
}

/// Whether both kernels said the same, and survived it.
fn same(stock: &Answer, ours: &Answer) -> bool {
    stock == ours && matches!(stock, Answer::Text(_))
}

/// What an operation of a kind comes to when all goes well.
fn success(kind: &str) -> &'static str {
    match kind {
        // The offsets of a process that has ended.
        "zombie" => "ESRCH",
        _ => "ok",
    }
}

/// How often each operation came to what.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// What one kernel made of a number of requests.
#[derive(Default)]
struct Run {
    answers: Vec<Answer>,
    counts: Counts,
    /// What is wrong besides: what the kernel reported of itself.
    problems: Vec<String>,
    time: Duration,
}

impl Run {
    /// What the counts miss of so many operations; those of a guest that has died are lost.
    fn miscounts(&self, operations: u64) -> Option<String> {
        let died = |answer: &Answer| matches!(answer, Answer::Died(_));
        let counted: u64 = self.counts.values().flat_map(BTreeMap::values).sum();
        let whole = counted == operations || self.answers.iter().any(died);
        (!whole).then(|| format!("{counted} of {operations} operations are counted"))
    }
}

/// The answers in a guest's output, as far as it got.
fn parse(output: &str) -> Vec<Answer> {
    let mut answers = vec![];
    let mut lines = vec![];
    for line in output.lines() {
        if let Some(line) = line.strip_prefix("| ") {
            lines.push(line.to_owned());
        } else if line.starts_with("TIMENS-BEGIN ") {
            lines.clear();
        } else if line.starts_with("TIMENS-END ") {
            answers.push(match std::mem::take(&mut lines) {
                none if none.is_empty() => Answer::Died("no answer".to_owned()),
                lines => Answer::Text(lines),
            });
        }
    }
    answers
}

fn add_counts(counts: &mut Counts, output: &str) {
    for line in output.lines() {
        let Some(line) = line.strip_prefix("TIMENS-COUNT ") else {
            continue;
        };
        let mut words = line.split(' ');
        let kind = counts
            .entry(words.next().unwrap_or_default().to_owned())
            .or_default();
        while let (Some(outcome), Some(count)) = (words.next(), words.next()) {
            *kind.entry(outcome.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }
}

/// Runs the requests on one kernel, in as many boots as it takes: one that a guest does not survive
/// is its answer, and the others are run without it. More than `most_deaths` are an error.
fn run(
    context: &Context,
    step: &Step,
    kind: Kind,
    seed: u64,
    requests: &[Request],
    most_deaths: usize,
) -> Result<Run> {
    let mut all = Run::default();
    let mut deaths = 0;
    while all.answers.len() < requests.len() {
        let rest = &requests[all.answers.len()..];
        let arguments = [KUNIT_OFF.to_owned()];
        let mut started = None;
        let transcript = boot(context, step, kind, seed, rest, &arguments, |line| {
            if line.starts_with("TIMENS-BEGIN ") {
                started.get_or_insert_with(Instant::now);
            }
        })?;
        let Some(started) = started else {
            bail!(
                "the {} kernel's guest ran nothing: {}",
                kind.name(),
                transcript.problems.join("; ")
            );
        };
        all.time += started.elapsed();
        add_counts(&mut all.counts, &transcript.output);
        let answers = parse(&transcript.output);
        let complete = answers.len() == rest.len();
        all.answers.extend(answers);
        if complete {
            all.problems.extend(transcript.complaints());
            break;
        }
        let why = transcript.complaints().join("; ");
        deaths += 1;
        if deaths > most_deaths {
            bail!(
                "the {} kernel's guest died {deaths} times, the last time: {why}",
                kind.name()
            );
        }
        all.answers.push(Answer::Died(why));
    }
    Ok(all)
}

/// Runs the requests in one guest, as far as it gets.
fn boot(
    context: &Context,
    step: &Step,
    kind: Kind,
    seed: u64,
    requests: &[Request],
    arguments: &[String],
    on_line: impl FnMut(&str),
) -> Result<Transcript> {
    let dir = context.out.join("guest");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let text: String = requests
        .iter()
        .map(|request| request.to_line(seed))
        .collect();
    let path = dir.join(format!("requests-{}", kind.name()));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    // Both kernels' guests begin at the same time, but have the one program.
    static PACKING: Mutex<()> = Mutex::new(());
    let packing = PACKING.lock();
    let initrd = initramfs::pack_job(context, step, kind, "fuzz", &[("/requests", &path)])?;
    drop(packing);
    let guest = Guest {
        name: format!("fuzz-{}", kind.name()),
        kind,
        initrd: &initrd,
        job: "fuzz",
        arguments: arguments.to_vec(),
        limit: Duration::from_secs(120) + SEQUENCE_LIMIT * requests.len() as u32,
        busy_host: false,
        share: None,
        // One that watches itself is to see what other CPUs do meanwhile.
        machine: match kind.watches_itself() {
            true => Machine::Fast,
            false => Machine::Single,
        },
    };
    guest::run(context, step, &guest, on_line)
}

/// Those of a seed's sequences, to be hashed.
fn hashes(sequences: Range<u32>) -> Vec<Request> {
    let request = |sequence| Request {
        sequence,
        operations: None,
    };
    sequences.map(request).collect()
}

/// Runs a seed's first sequences on one kernel, compared with nothing.
pub fn boot_alone(
    context: &Context,
    step: &Step,
    kind: Kind,
    seed: u64,
    sequences: u32,
    arguments: &[String],
) -> Result<Transcript> {
    let requests = hashes(0..sequences);
    boot(context, step, kind, seed, &requests, arguments, |_| {})
}

/// Runs the requests on both kernels, which each may kill.
fn run_both(
    context: &Context,
    step: &Step,
    kinds: [Kind; 2],
    seed: u64,
    requests: &[Request],
) -> Result<[Vec<Answer>; 2]> {
    let [stock, ours] = kinds.map(|kind| run(context, step, kind, seed, requests, requests.len()));
    Ok([stock?.answers, ours?.answers])
}

/// How much was run on both kernels, of one seed or of several.
struct Tally {
    kinds: [Kind; 2],
    sequences: u32,
    different: usize,
    counts: Counts,
    times: [Duration; 2],
}

impl Tally {
    fn new(kinds: [Kind; 2]) -> Self {
        Self {
            kinds,
            sequences: 0,
            different: 0,
            counts: Counts::new(),
            times: [Duration::ZERO; 2],
        }
    }

    fn count(&mut self, counts: &Counts) {
        for (kind, outcomes) in counts {
            let counts = self.counts.entry(kind.clone()).or_default();
            for (outcome, count) in outcomes {
                *counts.entry(outcome.clone()).or_default() += count;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.sequences += other.sequences;
        self.different += other.different;
        self.count(&other.counts);
        let times = self.times.iter_mut().zip(other.times);
        times.for_each(|(time, other)| *time += other);
    }

    /// A complaint for each kind of operation that has not succeeded once: of one that can't, both
    /// kernels say the same.
    fn never_done(&self) -> Vec<String> {
        let failed = self.counts.iter();
        let failed = failed.filter(|(kind, outcomes)| !outcomes.contains_key(success(kind)));
        failed
            .map(|(kind, _)| format!("{kind} has never succeeded"))
            .collect()
    }

    /// What each kind of operation came to on ours, a line for each.
    fn outcomes(&self) -> String {
        let mut text = String::new();
        for (kind, outcomes) in &self.counts {
            let mut sorted: Vec<_> = outcomes.iter().collect();
            sorted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
            text += &format!("  {kind:12}");
            for (outcome, count) in sorted {
                text += &format!(" {outcome} {count}");
            }
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = u64::from(self.sequences) * u64::from(LENGTH);
        write!(
            f,
            "{} sequences, {operations} operations on each kernel",
            self.sequences
        )?;
        for (kind, time) in self.kinds.into_iter().zip(self.times) {
            let rate = operations as f64 / time.as_secs_f64();
            write!(f, ", {rate:.0} a second on {}", kind.name())?;
        }
        write!(f, ": {} differ", self.different)
    }
}

/// What a number of a seed's sequences came to on both kernels.
pub struct Comparison {
    seed: u64,
    tally: Tally,
    /// Those that differ, and from which line on.
    different: Vec<(u32, usize)>,
    problems: Vec<String>,
}

impl Comparison {
    pub fn new(kinds: [Kind; 2], seed: u64) -> Self {
        Self {
            seed,
            tally: Tally::new(kinds),
            different: vec![],
            problems: vec![],
        }
    }

    /// Runs the next sequences, as many as one boot takes or fewer, on both kernels at the same
    /// time: two steps.
    pub fn advance(&mut self, context: &Context, steps: &mut Steps, most: u32) -> Result<()> {
        let (seed, kinds) = (self.seed, self.tally.kinds);
        let first = self.tally.sequences;
        let count = most.min(SEQUENCES);
        let requests = &hashes(first..first + count);
        let both = steps.both(kinds.map(|kind| {
            let title = format!(
                "seed {seed}, sequences {first} to {} on the {} kernel",
                first + count - 1,
                kind.name()
            );
            (title, move |step: &Step| {
                step.expect(count.into());
                run(context, step, kind, seed, requests, DEATHS)
            })
        }))?;
        let operations = u64::from(count) * u64::from(LENGTH);
        for ((kind, run), time) in kinds.into_iter().zip(&both).zip(&mut self.tally.times) {
            *time += run.time;
            let problems = run
                .problems
                .iter()
                .cloned()
                .chain(run.miscounts(operations));
            self.problems
                .extend(problems.map(|why| format!("{}: {why}", kind.name())));
        }
        let [stock, ours] = both;
        self.tally.count(&ours.counts);
        self.tally.sequences += count;
        for (request, (stock, ours)) in requests.iter().zip(stock.answers.iter().zip(&ours.answers))
        {
            if !same(stock, ours) {
                let line = same_lines(&stock.lines(), &ours.lines());
                self.different.push((request.sequence, line));
            }
        }
        self.tally.different = self.different.len();
        Ok(())
    }

    /// Looks for the shortest form of the first sequences that differ, and gives it.
    pub fn explain(&self, context: &Context) -> Result<String> {
        let mut steps = context.steps(self.different.len().min(SHRUNK))?;
        let mut text = String::new();
        for &(sequence, line) in self.different.iter().take(SHRUNK) {
            let title = format!("make sequence {sequence} short");
            let short = steps.run(&title, |step| {
                explain(context, step, self.tally.kinds, self.seed, sequence, line)
            });
            // That it differs is known; other seeds are to be run nevertheless.
            text += &short.unwrap_or_else(|error| {
                format!(
                    "seed {}, sequence {sequence}: not made short: {error:#}\n",
                    self.seed
                )
            });
        }
        Ok(text)
    }

    /// What is not good, if anything is.
    pub fn failures(&self) -> Vec<String> {
        let different = self.different.iter().map(|(sequence, line)| {
            format!(
                "seed {}: sequence {sequence} differs from operation {line} on",
                self.seed
            )
        });
        let mut failures: Vec<_> = different.chain(self.problems.iter().cloned()).collect();
        if self.tally.sequences >= MANY {
            let never = self.tally.never_done().into_iter();
            failures.extend(never.map(|what| format!("seed {}: {what}", self.seed)));
        }
        failures
    }
}

/// Builds both kernels, runs as many operations as asked for, and compares.
pub fn fuzz(context: &Context, options: &Options) -> Result<bool> {
    let sequences = options.operations.div_ceil(LENGTH).div_ceil(options.seeds);
    let runs = match options.replay {
        Some(_) => 1,
        None => 2 * options.seeds as usize * sequences.div_ceil(SEQUENCES) as usize,
    };
    let builds = if options.no_build {
        0
    } else {
        2 * kbuild::BUILD_STEPS
    };
    let mut steps = context.steps(builds + runs)?;
    if !options.no_build {
        for kind in [Kind::Rust, Kind::Stock] {
            kbuild::build(context, &mut steps, kind)?;
        }
    }
    if let Some(request) = &options.replay {
        let requests = std::slice::from_ref(request);
        let [stock, ours] = steps.run("run the sequence on both kernels", |step| {
            run_both(context, step, KINDS, options.seed, requests)
        })?;
        print!("{}", side_by_side(&stock[0].lines(), &ours[0].lines()));
        return Ok(same(&stock[0], &ours[0]));
    }
    let mut total = Tally::new(KINDS);
    let mut report = String::new();
    let mut failures = vec![];
    for seed in (0..options.seeds).map(|index| options.seed.wrapping_add(index.into())) {
        let mut comparison = Comparison::new(KINDS, seed);
        while comparison.tally.sequences < sequences {
            let rest = sequences - comparison.tally.sequences;
            comparison.advance(context, &mut steps, rest)?;
        }
        let text = format!(
            "seed {seed}: {}\n{}",
            comparison.tally,
            comparison.explain(context)?
        );
        print!("{text}");
        report += &text;
        failures.extend(comparison.failures());
        total.add(&comparison.tally);
        // What there is is kept, should a later seed's guest not start.
        keep(context, "fuzz", &report)?;
    }
    let mut text = format!("\nwhat the operations came to:\n{}", total.outcomes());
    text += &format!("{} seeds: {total}\n", options.seeds);
    for failure in &failures {
        text += &format!("FAILED {failure}\n");
    }
    print!("{text}");
    keep(context, "fuzz", &(report + &text))?;
    Ok(failures.is_empty())
}

/// The shortest form of a sequence that differs, from `line` on when it was run first, and where it
/// is kept.
fn explain(
    context: &Context,
    step: &Step,
    kinds: [Kind; 2],
    seed: u64,
    sequence: u32,
    line: usize,
) -> Result<String> {
    let both = |lists: &[Vec<u32>]| {
        let requests: Vec<_> = lists
            .iter()
            .map(|operations| Request {
                sequence,
                operations: Some(operations.clone()),
            })
            .collect();
        run_both(context, step, kinds, seed, &requests)
    };
    let differ = |lists: &[Vec<u32>]| -> Result<Vec<bool>> {
        let [stock, ours] = both(lists)?;
        let pairs = stock.iter().zip(&ours);
        Ok(pairs.map(|(stock, ours)| !same(stock, ours)).collect())
    };
    let mut operations: Vec<_> = (0..LENGTH).collect();
    let [stock, ours] = both(std::slice::from_ref(&operations))?;
    if same(&stock[0], &ours[0]) {
        return Ok(format!(
            "seed {seed}, sequence {sequence}: differed once, but not when it was run again; \
             then this was the first line:\n        {}\n",
            ours[0].lines().get(line).map_or("-", String::as_str)
        ));
    }
    operations.truncate(concerned(&stock[0], &ours[0]));
    let operations = shrink::shrink(operations, differ)?;
    let [stock, ours] = both(std::slice::from_ref(&operations))?;
    let list: Vec<_> = operations.iter().map(u32::to_string).collect();
    let mut report = format!(
        "seed {seed}, sequence {sequence}: the operations that make the difference,\n\
         again with: make fuzz FUZZ='--seed {seed} --replay {sequence}:{}'{}\n",
        list.join(","),
        if kinds == KINDS {
            ""
        } else {
            ", on other kernels than here"
        }
    );
    report += &side_by_side(&stock[0].lines(), &ours[0].lines());
    let dir = context.out.join("fuzz");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{seed}-{sequence}.txt"));
    fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(report + &format!("kept in {}\n", path.display()))
}

/// How many of the operations, from the first on, can have a part in a difference: none behind the
/// first line that differs. Of a guest that has died there are no lines.
fn concerned(stock: &Answer, ours: &Answer) -> usize {
    match (stock, ours) {
        (Answer::Text(stock), Answer::Text(ours)) => same_lines(stock, ours) + 1,
        _ => LENGTH as usize,
    }
}

/// How many lines there are before the first that differs.
fn same_lines(stock: &[String], ours: &[String]) -> usize {
    let pairs = stock.iter().zip(ours);
    pairs.take_while(|(stock, ours)| stock == ours).count()
}

/// The lines of both, those that differ marked.
fn side_by_side(stock: &[String], ours: &[String]) -> String {
    let mut text = String::new();
    for index in 0..stock.len().max(ours.len()) {
        let (stock, ours) = (stock.get(index), ours.get(index));
        if let (true, Some(line)) = (stock == ours, stock) {
            writeln!(text, "        {line}").expect("a String grows");
            continue;
        }
        for (name, line) in [("stock", stock), ("ours", ours)] {
            let line = line.map_or("-", String::as_str);
            writeln!(text, "{name:5} > {line}").expect("a String grows");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> Answer {
        Answer::Text(lines.iter().map(|&line| line.to_owned()).collect())
    }

    #[test]
    fn reads_the_answers_and_leaves_out_what_was_cut_off() {
        let output = "TIMENS-GUEST-BOOT\nTIMENS-BEGIN 3\n| a\n| b\nTIMENS-END 3\n\
                      TIMENS-BEGIN 4\n| c\nTIMENS-END 4\nTIMENS-BEGIN 5\n| d\n";
        assert_eq!(parse(output), [text(&["a", "b"]), text(&["c"])]);
    }

    #[test]
    fn what_both_do_not_survive_is_a_defect() {
        let (a, b) = (text(&["a"]), text(&["b"]));
        let died = Answer::Died("hung".to_owned());
        assert!(same(&a, &a));
        assert!(!same(&a, &b));
        assert!(!same(&died, &died));
    }

    #[test]
    fn all_operations_are_concerned_when_a_guest_dies() {
        let (a, b) = (text(&["a", "b", "c"]), text(&["a", "x", "y"]));
        let died = Answer::Died("hung".to_owned());
        assert_eq!(concerned(&a, &b), 2);
        assert_eq!(concerned(&a, &died), LENGTH as usize);
        assert_eq!(concerned(&died, &died), LENGTH as usize);
    }

    #[test]
    fn requests_come_from_the_command_line_and_go_to_the_guest() {
        let request = Request::parse("7:1,20,3").unwrap();
        assert_eq!(request.to_line(9), "list 9 7 1 20 3\n");
        let all = Request {
            sequence: 7,
            operations: None,
        };
        assert_eq!(all.to_line(9), "hash 9 7 200\n");
        for wrong in ["", "7", "7:", "x:1", "7:1,,2"] {
            assert!(Request::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_add_up() {
        let mut counts = Counts::new();
        let output = "TIMENS-COUNT write ok 3 EACCES 2\nTIMENS-COUNT read\n";
        add_counts(&mut counts, output);
        add_counts(&mut counts, output);
        assert_eq!(counts["write"]["ok"], 6);
        assert_eq!(counts["write"]["EACCES"], 4);
        assert!(counts["read"].is_empty());
    }

    #[test]
    fn operations_that_are_not_counted_are_told() {
        let mut run = Run::default();
        add_counts(&mut run.counts, "TIMENS-COUNT write ok 3 EACCES 2\n");
        assert_eq!(run.miscounts(5), None);
        assert!(run.miscounts(6).is_some());
        run.answers = parse("TIMENS-BEGIN 1\nTIMENS-END 1\n");
        assert!(!same(&run.answers[0], &run.answers[0]));
        assert_eq!(run.miscounts(6), None);
    }

    #[test]
    fn an_operation_must_succeed_now_and_then() {
        let mut tally = Tally::new(KINDS);
        let mut counts = Counts::new();
        add_counts(
            &mut counts,
            "TIMENS-COUNT write ok 3 EACCES 4\nTIMENS-COUNT listns ENOSYS 9\n\
             TIMENS-COUNT zombie ESRCH 5\n",
        );
        tally.count(&counts);
        assert_eq!(tally.never_done(), ["listns has never succeeded"]);
    }

    #[test]
    fn seeds_add_up() {
        let mut total = Tally::new(KINDS);
        for different in [1, 2] {
            let mut tally = Tally::new(KINDS);
            tally.sequences = 5;
            tally.different = different;
            tally.times = [Duration::from_secs(1), Duration::from_secs(2)];
            let mut counts = Counts::new();
            add_counts(&mut counts, "TIMENS-COUNT write ok 3 EACCES 4\n");
            tally.count(&counts);
            total.add(&tally);
        }
        assert_eq!(
            total.to_string(),
            "10 sequences, 2000 operations on each kernel, 1000 a second on stock, 500 a second \
             on rust: 3 differ"
        );
        assert_eq!(total.outcomes(), "  write        EACCES 8 ok 6\n");
    }

    #[test]
    fn marks_what_differs() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            side_by_side(&lines("a\nb"), &lines("a\nc\nd")),
            "        a\nstock > b\nours  > c\nstock > -\nours  > d\n"
        );
    }
}
