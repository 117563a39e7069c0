// SPDX-License-Identifier: GPL-2.0

//! Runs the same random operations on the C kernel and on another one, and compares the outcomes.
//!
//! The program harness/guest/fuzz draws the operations from a seed, and prints a hash of the
//! outcomes of each sequence. A sequence that differs is reduced to the operations that are needed
//! for the difference.

mod requests;
mod shrink;
mod tally;

pub use requests::{Request, LENGTH};
pub use tally::Tally;

use super::findings::{Findings, Place};
use crate::{
    kernel::kernels::{Kernel, Tree, RUST, STOCK},
    session::{unless, Step},
};
use anyhow::{Context as _, Result};
use requests::{same, Answer, Answers, FuzzGuest};
use std::{fmt::Write as _, fs, panic::resume_unwind, thread};

const SEQUENCES_PER_BOOT: u32 = 500;
/// The number of sequences in which an operation of each kind succeeds.
const ALL_KINDS: u32 = 20;
/// The maximum number of sequences that are reduced.
const MAX_SHRUNK: usize = 3;
/// The maximum number of boots that end early.
const MAX_CRASHES: usize = 20;

fn kernels(place: Place) -> [&'static Kernel; 2] {
    [&STOCK, place.kernel]
}

/// Runs the first sequences of a seed on both kernels.
pub fn run(place: Place, seed: u64, sequences: u32) -> Result<Findings> {
    let mut comparison = Comparison::new(place, seed);
    place.step.expect(sequences.into());
    while comparison.tally.sequences < sequences {
        let rest = sequences - comparison.tally.sequences;
        comparison.advance(rest)?;
    }
    // A mutant is known to differ.
    let explained = match place.kernel.tree {
        Tree::Mutant => String::new(),
        _ => comparison.explain()?,
    };
    let failures = comparison.failures();
    let name = format!("fuzz, seed {seed}");
    Ok(Findings {
        checks: vec![place.check(&name, unless(failures))],
        text: format!(
            "seed {seed}: {}\n{explained}{}",
            comparison.tally,
            comparison.tally.outcomes()
        ),
        transcripts: comparison.answers.transcripts,
    })
}

/// Runs one sequence on both kernels. Returns the answers side by side, and whether they are the
/// same.
pub fn replay(place: Place, seed: u64, request: &Request) -> Result<(String, bool)> {
    let comparison = Comparison::new(place, seed);
    let [stock, other] = comparison.answers_to(std::slice::from_ref(request), 1)?;
    let (stock, other) = (&stock.answers[0], &other.answers[0]);
    Ok((side_by_side(place.kernel.name, &stock.lines(), &other.lines()), same(stock, other)))
}

/// The sequences of one seed on both kernels.
struct Comparison<'a> {
    place: Place<'a>,
    seed: u64,
    tally: Tally,
    /// The sequences that differ, and the first operation in them that does.
    different: Vec<(u32, usize)>,
    errors: Vec<String>,
    /// The answers of the other kernel.
    answers: Answers,
}

impl<'a> Comparison<'a> {
    fn new(place: Place<'a>, seed: u64) -> Self {
        Self {
            place,
            seed,
            tally: Tally::new(kernels(place)),
            different: vec![],
            errors: vec![],
            answers: Answers::default(),
        }
    }

    /// Runs requests on both kernels at the same time.
    fn answers_to(&self, requests: &[Request], max_crashes: usize) -> Result<[Answers; 2]> {
        let Place { context, step, kernel, arguments } = self.place;
        let seed = self.seed;
        let run = move |step: &Step, kernel, arguments| {
            let guest = FuzzGuest { context, step, kernel, seed, arguments };
            guest.run(requests, max_crashes)
        };
        thread::scope(|scope| {
            let quiet = step.quiet();
            let stock = scope.spawn(move || run(&quiet, &STOCK, &[]));
            let other = run(step, kernel, arguments);
            let stock = stock.join().unwrap_or_else(|why| resume_unwind(why));
            Ok([stock?, other?])
        })
    }

    /// Runs the next sequences in one boot, at most `most`.
    fn advance(&mut self, most: u32) -> Result<()> {
        let first = self.tally.sequences;
        let count = most.min(SEQUENCES_PER_BOOT);
        let request = |sequence| Request { sequence, operations: None };
        let requests: Vec<_> = (first..first + count).map(request).collect();
        let both = self.answers_to(&requests, MAX_CRASHES)?;
        let operations = u64::from(count) * u64::from(LENGTH);
        let kernels = kernels(self.place).into_iter().zip(&both);
        for ((kernel, answers), time) in kernels.zip(&mut self.tally.times) {
            *time += answers.time;
            let errors = answers.errors.iter().cloned();
            let errors = errors.chain(answers.miscounts(operations));
            self.errors.extend(errors.map(|why| format!("{}: {why}", kernel.name)));
        }
        let [stock, other] = both;
        self.tally.count(&other.counts);
        self.tally.sequences += count;
        let pairs = stock.answers.iter().zip(&other.answers);
        for (request, (stock, other)) in requests.iter().zip(pairs) {
            if !same(stock, other) {
                let line = same_lines(&stock.lines(), &other.lines());
                self.different.push((request.sequence, line));
            }
        }
        self.tally.different = self.different.len();
        self.answers.transcripts.extend(other.transcripts);
        Ok(())
    }

    /// Reduces the first sequences that differ.
    fn explain(&self) -> Result<String> {
        let mut text = String::new();
        for &(sequence, line) in self.different.iter().take(MAX_SHRUNK) {
            self.place.step.progress(0, &format!("reducing sequence {sequence}"));
            // The difference is a failure even if the reduction has an error.
            text += &self.shortest(sequence, line).unwrap_or_else(|error| {
                format!("seed {}, sequence {sequence}: not reduced: {error:#}\n", self.seed)
            });
        }
        Ok(text)
    }

    fn failures(&self) -> Vec<String> {
        let different = self.different.iter();
        let different = different.map(|(sequence, line)| {
            format!("sequence {sequence} differs from operation {line} on")
        });
        let mut failures: Vec<_> = different.chain(self.errors.iter().cloned()).collect();
        if self.tally.sequences >= ALL_KINDS {
            failures.extend(self.tally.never_succeeded());
        }
        failures
    }

    /// Reduces a sequence that differs from `line` on. Returns the report, which is also saved in
    /// out/fuzz.
    fn shortest(&self, sequence: u32, line: usize) -> Result<String> {
        let seed = self.seed;
        let both = |lists: &[Vec<u32>]| {
            let request =
                |operations: &Vec<u32>| Request { sequence, operations: Some(operations.clone()) };
            let requests: Vec<_> = lists.iter().map(request).collect();
            self.answers_to(&requests, requests.len())
        };
        let differ = |lists: &[Vec<u32>]| -> Result<Vec<bool>> {
            let [stock, other] = both(lists)?;
            let pairs = stock.answers.iter().zip(&other.answers);
            Ok(pairs.map(|(stock, other)| !same(stock, other)).collect())
        };
        let mut operations: Vec<_> = (0..LENGTH).collect();
        let [stock, other] = both(std::slice::from_ref(&operations))?;
        let (stock, other) = (&stock.answers[0], &other.answers[0]);
        if same(stock, other) {
            return Ok(format!(
                "seed {seed}, sequence {sequence}: differed once, but not when it ran again; the first \
                 difference:\n        {}\n",
                other.lines().get(line).map_or("-", String::as_str)
            ));
        }
        operations.truncate(relevant(stock, other));
        let operations = shrink::shrink(operations, differ)?;
        let [stock, other] = both(std::slice::from_ref(&operations))?;
        let list: Vec<_> = operations.iter().map(u32::to_string).collect();
        let name = self.place.kernel.name;
        let kernel = match self.place.kernel == &RUST {
            true => String::new(),
            false => format!(" --kernel {name}"),
        };
        let mut report = format!(
            "seed {seed}, sequence {sequence}: the operations that make the difference; to repeat:\n\
             ./timens fuzz --seed {seed} --replay {sequence}:{}{kernel}\n",
            list.join(","),
        );
        report += &side_by_side(name, &stock.answers[0].lines(), &other.answers[0].lines());
        let dir = self.place.context.out.join("fuzz");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(format!("{seed}-{sequence}.txt"));
        fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(report + &format!("saved as {}\n", path.display()))
    }
}

/// Returns the number of operations that can cause a difference: those up to the first line that
/// differs, or all if a guest died.
fn relevant(stock: &Answer, other: &Answer) -> usize {
    match (stock, other) {
        (Answer::Text(stock), Answer::Text(other)) => same_lines(stock, other) + 1,
        _ => LENGTH as usize,
    }
}

/// Returns the number of lines before the first that differs.
fn same_lines(stock: &[String], other: &[String]) -> usize {
    let pairs = stock.iter().zip(other);
    pairs.take_while(|(stock, other)| stock == other).count()
}

/// Prints the lines of both kernels, and marks those that differ.
fn side_by_side(name: &str, stock: &[String], other: &[String]) -> String {
    let mut text = String::new();
    for index in 0..stock.len().max(other.len()) {
        let (stock, other) = (stock.get(index), other.get(index));
        if let (true, Some(line)) = (stock == other, stock) {
            writeln!(text, "        {line}").expect("a String grows");
            continue;
        }
        for (name, line) in [(STOCK.name, stock), (name, other)] {
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
    fn a_sequence_that_kills_both_kernels_is_a_failure() {
        let (a, b) = (text(&["a"]), text(&["b"]));
        let died = Answer::Died("hung".to_owned());
        assert!(same(&a, &a));
        assert!(!same(&a, &b));
        assert!(!same(&died, &died));
    }

    #[test]
    fn all_operations_are_relevant_when_a_guest_dies() {
        let (a, b) = (text(&["a", "b", "c"]), text(&["a", "x", "y"]));
        let died = Answer::Died("hung".to_owned());
        assert_eq!(relevant(&a, &b), 2);
        assert_eq!(relevant(&a, &died), LENGTH as usize);
        assert_eq!(relevant(&died, &died), LENGTH as usize);
    }

    #[test]
    fn lines_that_differ_are_marked() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            side_by_side("rust", &lines("a\nb"), &lines("a\nc\nd")),
            "        a\nstock > b\nrust  > c\nstock > -\nrust  > d\n"
        );
    }
}
