// SPDX-License-Identifier: GPL-2.0

//! The requests that a guest reads, and its answers.

use crate::{
    context::Context,
    guest::{self, initramfs, Guest, Machine, Transcript},
    kernel::kernels::Kernel,
    session::Step,
};
use anyhow::{bail, Context as _, Result};
use std::{
    collections::BTreeMap,
    fs,
    sync::Mutex,
    time::{Duration, Instant},
};

/// The number of operations in a sequence, which begins with new processes.
pub const LENGTH: u32 = 200;
/// The time limit of a sequence. The program in the guest also limits each operation.
const SEQUENCE_LIMIT: Duration = Duration::from_secs(40);

/// A sequence to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub sequence: u32,
    /// The operations to run and to print. If it is `None`, all run, and the guest prints a hash.
    pub operations: Option<Vec<u32>>,
}

impl Request {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = "not of the form SEQUENCE:OPERATION,OPERATION…";
        let (sequence, operations) = text.split_once(':').ok_or(wrong)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong);
        Ok(Self {
            sequence: number(sequence)?,
            operations: Some(operations.split(',').map(number).collect::<Result<_, _>>()?),
        })
    }

    /// Returns the request in the format of the guest.
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

/// The outcome of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The lines, or their hash.
    Text(Vec<String>),
    /// The guest died.
    Died(String),
}

impl Answer {
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Text(lines) => lines.clone(),
            Self::Died(why) => vec![why.clone()],
        }
    }
}

/// Whether both answers are the same text.
pub fn same(stock: &Answer, other: &Answer) -> bool {
    stock == other && matches!(stock, Answer::Text(_))
}

/// The numbers of outcomes, by kind of operation and by outcome.
pub type OutcomeCounts = BTreeMap<String, BTreeMap<String, u64>>;

/// The answers of one kernel.
#[derive(Default)]
pub struct Answers {
    pub answers: Vec<Answer>,
    pub counts: OutcomeCounts,
    /// The errors of guests that answered all requests.
    pub errors: Vec<String>,
    pub transcripts: Vec<Transcript>,
    pub time: Duration,
}

impl Answers {
    /// Returns an error if the counts do not add up to `operations`, unless a guest died with its
    /// counts.
    pub fn miscounts(&self, operations: u64) -> Option<String> {
        let died = |answer: &Answer| matches!(answer, Answer::Died(_));
        let counted: u64 = self.counts.values().flat_map(BTreeMap::values).sum();
        let whole = counted == operations || self.answers.iter().any(died);
        (!whole).then(|| format!("{counted} of {operations} operations are counted"))
    }
}

/// Parses the answers in a guest's output.
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

pub fn add_counts(counts: &mut OutcomeCounts, output: &str) {
    for line in output.lines() {
        let Some(line) = line.strip_prefix("TIMENS-COUNT ") else {
            continue;
        };
        let mut words = line.split(' ');
        let kind = counts.entry(words.next().unwrap_or_default().to_owned()).or_default();
        while let (Some(outcome), Some(count)) = (words.next(), words.next()) {
            *kind.entry(outcome.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }
}

/// The guests of one kernel.
#[derive(Clone, Copy)]
pub struct FuzzGuest<'a> {
    pub context: &'a Context,
    pub step: &'a Step,
    pub kernel: &'static Kernel,
    pub seed: u64,
    pub arguments: &'a [String],
}

impl FuzzGuest<'_> {
    /// Runs the requests. If a request kills the guest, another guest runs the rest.
    ///
    /// # Errors
    ///
    /// If more than `max_crashes` guests die, or if one runs no request.
    pub fn run(&self, requests: &[Request], max_crashes: usize) -> Result<Answers> {
        let name = self.kernel.name;
        let mut all = Answers::default();
        let mut crashes = 0;
        while all.answers.len() < requests.len() {
            let rest = &requests[all.answers.len()..];
            let mut started = None;
            let transcript = self.boot(rest, |line| {
                if line.starts_with("TIMENS-BEGIN ") {
                    started.get_or_insert_with(Instant::now);
                }
            })?;
            let failures = transcript.failures(self.kernel);
            let why = failures.join("; ");
            let Some(started) = started else {
                bail!("the guest of the {name} kernel ran nothing: {why}");
            };
            all.time += started.elapsed();
            add_counts(&mut all.counts, &transcript.output);
            let answers = parse(&transcript.output);
            let complete = answers.len() == rest.len();
            all.answers.extend(answers);
            all.transcripts.push(transcript);
            if complete {
                all.errors.extend(failures);
                break;
            }
            crashes += 1;
            if crashes > max_crashes {
                bail!("the guest of the {name} kernel died {crashes} times, the last time: {why}");
            }
            all.answers.push(Answer::Died(why));
        }
        Ok(all)
    }

    fn boot(&self, requests: &[Request], on_line: impl FnMut(&str)) -> Result<Transcript> {
        let Self { context, step, kernel, .. } = *self;
        let dir = context.out.join("guest");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let lines = requests.iter().map(|request| request.to_line(self.seed));
        let path = dir.join(format!("requests-{}", kernel.name));
        fs::write(&path, lines.collect::<String>())
            .with_context(|| format!("cannot write {}", path.display()))?;
        // The guests of both kernels start at the same time and share the compiled program.
        static PACKING: Mutex<()> = Mutex::new(());
        let packing = PACKING.lock();
        let initrd = initramfs::pack_job(context, step, kernel, "fuzz", &[("/requests", &path)])?;
        drop(packing);
        let guest = Guest {
            arguments: self.arguments.to_vec(),
            limit: Duration::from_secs(120) + SEQUENCE_LIMIT * requests.len() as u32,
            // KCSAN needs a second CPU.
            machine: match kernel.has_sanitizers() {
                true => Machine::TwoCpus,
                false => Machine::OneCpu,
            },
            ..Guest::new(kernel, "fuzz", initrd)
        };
        guest::run(context, step, &guest, on_line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> Answer {
        Answer::Text(lines.iter().map(|&line| line.to_owned()).collect())
    }

    #[test]
    fn incomplete_answers_are_ignored() {
        let output = "TIMENS-GUEST-BOOT\nTIMENS-BEGIN 3\n| a\n| b\nTIMENS-END 3\n\
                      TIMENS-BEGIN 4\n| c\nTIMENS-END 4\nTIMENS-BEGIN 5\n| d\n";
        assert_eq!(parse(output), [text(&["a", "b"]), text(&["c"])]);
    }

    #[test]
    fn requests_are_parsed_and_printed() {
        let request = Request::parse("7:1,20,3").unwrap();
        assert_eq!(request.to_line(9), "list 9 7 1 20 3\n");
        let all = Request { sequence: 7, operations: None };
        assert_eq!(all.to_line(9), "hash 9 7 200\n");
        for wrong in ["", "7", "7:", "x:1", "7:1,,2"] {
            assert!(Request::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_add_up() {
        let mut counts = OutcomeCounts::new();
        let output = "TIMENS-COUNT write ok 3 EACCES 2\nTIMENS-COUNT read\n";
        add_counts(&mut counts, output);
        add_counts(&mut counts, output);
        assert_eq!(counts["write"]["ok"], 6);
        assert_eq!(counts["write"]["EACCES"], 4);
        assert!(counts["read"].is_empty());
    }

    #[test]
    fn uncounted_operations_are_an_error() {
        let mut run = Answers::default();
        add_counts(&mut run.counts, "TIMENS-COUNT write ok 3 EACCES 2\n");
        assert_eq!(run.miscounts(5), None);
        assert!(run.miscounts(6).is_some());
        run.answers = parse("TIMENS-BEGIN 1\nTIMENS-END 1\n");
        assert!(!same(&run.answers[0], &run.answers[0]));
        assert_eq!(run.miscounts(6), None);
    }
}
