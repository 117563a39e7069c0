// SPDX-License-Identifier: GPL-2.0

//! `mutants`: patches that break the series, one at a time, and the checks that must detect each.
//!
//! The patches are in harness/mutants, and name the checks. These must first pass without a mutant.

use super::plan::{build_kernel, build_selftests, pack};
use crate::{
    context::Context,
    guest::{lists::SELFTESTS, log},
    jobs::{age, column, race::summary, race::Rounds, Findings, Job, Place},
    kernel::{
        kernels::{Kernel, Tree, MUTANT, MUTANT_KASAN, RUST_KCSAN, STOCK},
        series::{git_in, prepare},
    },
    session::{Check, Outcome, Session, Status, Step},
};
use anyhow::{bail, ensure, Context as _, Result};
use clap::Args;
use std::{fmt, fs, path::PathBuf};

/// The text in front of the names of checks in a mutant.
const DETECTED_BY: &str = "Detected by: ";

#[derive(Args)]
pub struct Options {
    /// Names of mutants: the files in harness/mutants without their ending [default: all].
    names: Vec<String>,
}

/// A check that must detect mutants.
struct Detector {
    name: &'static str,
    kernel: &'static Kernel,
    jobs: &'static [Job],
    /// The findings that detect a mutant.
    finds: FindingKind,
}

/// The findings that detect a mutant.
#[derive(Clone, Copy, PartialEq)]
enum FindingKind {
    /// Failures of tests, except of those that are unsteady.
    Failures,
    /// Reports of KASAN, UBSAN, kmemleak and lockdep.
    Sanitizers,
    /// Data races of time namespaces.
    Races,
}

static DETECTORS: [Detector; 8] = [
    detector("KUnit", &[Job::Kunit]),
    detector("selftests", &[Job::Programs(&SELFTESTS)]),
    detector("faults", &[Job::Faults]),
    detector("age", &[Job::Age { cycles: age::SHORT }]),
    detector("race", &[race(Rounds::of(5000))]),
    detector("fuzz", &[super::test::FUZZ]),
    Detector {
        kernel: &MUTANT_KASAN,
        finds: FindingKind::Sanitizers,
        ..detector("KASAN", &[Job::Kunit, race(Rounds::of(50))])
    },
    Detector {
        kernel: &RUST_KCSAN,
        finds: FindingKind::Races,
        ..detector("KCSAN", &[race(Rounds::of(500))])
    },
];

const fn detector(name: &'static str, jobs: &'static [Job]) -> Detector {
    Detector { name, kernel: &MUTANT, jobs, finds: FindingKind::Failures }
}

const fn race(rounds: Rounds) -> Job {
    Job::Race { cpus: 2, rounds }
}

impl Detector {
    fn named(name: &str) -> Result<&'static Self> {
        let detector = DETECTORS.iter().find(|detector| detector.name == name);
        detector.with_context(|| format!("there is no check {name}"))
    }

    /// Runs the check without builds. Returns the findings that detect a mutant.
    fn run(&self, context: &Context, step: &Step) -> Result<Vec<String>> {
        let mut found = vec![];
        for job in self.jobs {
            let findings = job.run(Place { context, step, kernel: self.kernel, arguments: &[] })?;
            found.extend(self.select(&findings)?);
        }
        Ok(found)
    }

    fn select(&self, findings: &Findings) -> Result<Vec<String>> {
        let transcripts = &findings.transcripts;
        // The host may be too busy.
        if let Some(slow) = transcripts.iter().find(|transcript| transcript.timed_out) {
            bail!(slow.errors.join("; "));
        }
        let found: Vec<_> = match self.finds {
            FindingKind::Failures => {
                let steady = |check: &&Check| check.unsteady.is_empty();
                let failures = findings.checks.iter().filter(steady).flat_map(Check::failures);
                let mut failures: Vec<_> = failures.collect();
                let races = transcripts.iter().map(|transcript| summary(&transcript.output));
                let races: Vec<_> = races.filter(|text| !text.is_empty()).collect();
                if let Some(first) = failures.first_mut().filter(|_| !races.is_empty()) {
                    *first += &format!(" (in all: {})", races.join("; "));
                }
                failures
            }
            FindingKind::Sanitizers => {
                let consoles = transcripts.iter();
                consoles
                    .flat_map(|transcript| log::sanitizer_reports(&transcript.console))
                    .collect()
            }
            FindingKind::Races => {
                let races = transcripts.iter().flat_map(|transcript| &transcript.races);
                races.map(|race| crate::guest::kcsan::title(race).to_owned()).collect()
            }
        };
        // Without findings, the run must have no other error.
        let errors: Vec<_> = transcripts.iter().flat_map(|transcript| &transcript.errors).collect();
        if let (true, Some(error)) = (found.is_empty(), errors.first()) {
            bail!("the run has another error: {error}");
        }
        Ok(found)
    }
}

struct Mutant {
    name: String,
    patch: PathBuf,
    description: String,
    /// The checks that must detect it.
    detected_by: Vec<&'static Detector>,
}

impl Mutant {
    fn read(patch: PathBuf) -> Result<Self> {
        let file = patch.display();
        let text = fs::read_to_string(&patch).with_context(|| format!("cannot read {file}"))?;
        let mut paragraphs = text.split("\n\n");
        let description = paragraphs.next().unwrap_or_default().replace('\n', " ");
        let names = paragraphs.find_map(|text| text.strip_prefix(DETECTED_BY));
        let names = names.with_context(|| format!("{file} has no line \"{DETECTED_BY}…\""))?;
        let detected_by = names.split(", ").map(Detector::named).collect::<Result<_>>();
        Ok(Self {
            name: patch.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            detected_by: detected_by.with_context(|| file.to_string())?,
            description,
            patch,
        })
    }

    fn kernels(&self) -> Vec<&'static Kernel> {
        kernels(self.detected_by.iter().copied())
    }
}

/// Returns the kernels of detectors, without duplicates.
fn kernels(detectors: impl Iterator<Item = &'static Detector>) -> Vec<&'static Kernel> {
    let mut kernels = vec![];
    for detector in detectors {
        if !kernels.contains(&detector.kernel) {
            kernels.push(detector.kernel);
        }
    }
    kernels
}

/// Returns the kernels and their parents, in the order of their builds.
fn builds(kernels: &[&'static Kernel]) -> Vec<&'static Kernel> {
    let mut all = vec![];
    for kernel in kernels.iter().flat_map(|kernel| kernel.with_parents()) {
        if !all.contains(&kernel) {
            all.push(kernel);
        }
    }
    all
}

/// Counts the steps for a mutant, or for none: the kernels, their archives, and the checks.
fn steps(detectors: &[&'static Detector]) -> usize {
    let kernels = kernels(detectors.iter().copied());
    builds(&kernels).len() + kernels.len() + detectors.len()
}

/// Applies each mutant and runs the checks that must detect it.
pub fn mutants(context: &Context, options: &Options) -> Result<bool> {
    let mutants = read(context, &options.names)?;
    let needed = |detector: &&Detector| {
        let mut detected_by = mutants.iter().flat_map(|mutant| &mutant.detected_by);
        detected_by.any(|other| other.name == detector.name)
    };
    let needed: Vec<_> = DETECTORS.iter().filter(needed).collect();
    let all = mutants.iter().map(|mutant| steps(&mutant.detected_by));
    let mut session = Session::new(context, 2 + steps(&needed) + all.sum::<usize>())?;
    build_kernel(&mut session, &STOCK);
    build_selftests(&mut session);
    let mut table = Table(vec![]);
    prepare_trees(context, &kernels(needed.iter().copied()))?;
    let mut clean = true;
    run(&mut session, "no mutant", &needed, |detector, found| {
        clean &= found.is_empty();
        let status = match found.is_empty() {
            true => Status::Passed,
            false => Status::Failed,
        };
        Outcome::new(detector.name, status, first(found))
    })?;
    ensure!(clean, "a check fails without a mutant: see above");
    for mutant in &mutants {
        let kernels = mutant.kernels();
        for tree in trees(&kernels) {
            git_in(&context.tree_of(tree), &["apply", &mutant.patch.to_string_lossy()])?;
        }
        let mut seen = vec![];
        let result = run(&mut session, &mutant.name, &mutant.detected_by, |detector, found| {
            let name = detector.name;
            match found.is_empty() {
                true => {
                    seen.push(format!("NOT BY {name}"));
                    Outcome::new(name, Status::Failed, "it detected nothing")
                }
                false => {
                    seen.push(format!("{name}: {}", first(found)));
                    Outcome::new(name, Status::Passed, "")
                }
            }
        });
        // Remove the mutant and the kernels that have it.
        prepare_trees(context, &kernels)?;
        for kernel in kernels {
            let image = context.kernel_image(kernel);
            if image.exists() {
                fs::remove_file(image).context("cannot remove a kernel with a mutant")?;
            }
        }
        result?;
        table.0.push([mutant.name.clone(), mutant.description.clone(), seen.join("; ")]);
    }
    session.finish("mutants", &table.to_string())
}

/// Reads the mutants of these names, or all.
fn read(context: &Context, names: &[String]) -> Result<Vec<Mutant>> {
    let dir = context.top.join("harness/mutants");
    let mut paths: Vec<_> = names.iter().map(|name| dir.join(format!("{name}.patch"))).collect();
    if paths.is_empty() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            paths.push(entry?.path());
        }
        paths.sort();
    }
    paths.into_iter().map(Mutant::read).collect()
}

/// Returns the trees of kernels, without duplicates.
fn trees(kernels: &[&'static Kernel]) -> Vec<Tree> {
    let mut trees: Vec<_> = kernels.iter().map(|kernel| kernel.tree).collect();
    trees.sort();
    trees.dedup();
    trees
}

fn prepare_trees(context: &Context, kernels: &[&'static Kernel]) -> Result<()> {
    let mut trees = trees(kernels).into_iter();
    trees.try_for_each(|tree| prepare(context, tree))
}

/// Builds the kernels of detectors and runs the detectors.
fn run(
    session: &mut Session<'_>,
    name: &str,
    detectors: &[&'static Detector],
    mut judge: impl FnMut(&Detector, &[String]) -> Outcome,
) -> Result<()> {
    let kernels = kernels(detectors.iter().copied());
    let mut ready = true;
    for kernel in builds(&kernels) {
        ready &= build_kernel(session, kernel);
    }
    for kernel in kernels {
        ready &= pack(session, kernel);
    }
    ensure!(ready, "the kernels of {name} were not built");
    let context = session.context;
    for detector in detectors {
        let title = format!("{name}: {}", detector.name);
        let column = column(detector.kernel);
        session.run(&title, column, |step| {
            let found = detector.run(context, step)?;
            Ok(vec![Check::new(name, column, vec![judge(detector, &found)])])
        });
    }
    Ok(())
}

/// Returns the first finding, and the number of the others.
fn first(found: &[String]) -> String {
    match found {
        [] => String::new(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first}, {} more", others.len()),
    }
}

/// The rows of the report: mutant, description, and findings of each check.
struct Table(Vec<[String; 3]>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["mutant", "description", "detected by"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(&head).chain(&self.0).collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let (name, description) = (width(0), width(1));
        for row in rows {
            writeln!(f, "{:name$} | {:description$} | {}", row[0], row[1], row[2])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_a_description_and_the_checks_that_detect_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.patch");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Mutant::read(path.clone())
        };
        let mutant = read("It is\nbroken.\n\nDetected by: age, KUnit\n\n--- a/x\n").unwrap();
        assert_eq!((&*mutant.name, &*mutant.description), ("x", "It is broken."));
        let names: Vec<_> = mutant.detected_by.iter().map(|detector| detector.name).collect();
        assert_eq!(names, ["age", "KUnit"]);
        for wrong in ["It is broken.\n\n--- a/x\n", "It is.\n\nDetected by: me\n\n--- a/x\n"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_mutants_are_valid() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/mutants");
        for entry in fs::read_dir(dir).unwrap() {
            Mutant::read(entry.unwrap().path()).unwrap();
        }
    }

    #[test]
    fn steps_are_counted_from_the_detectors() {
        let of = |names: &[&str]| {
            let detectors = names.iter().map(|name| Detector::named(name).unwrap());
            steps(&detectors.collect::<Vec<_>>())
        };
        // A kernel, its archive, two checks.
        assert_eq!(of(&["KUnit", "fuzz"]), 4);
        // The parent of the kernel with KASAN is built first.
        assert_eq!(of(&["KASAN"]), 4);
    }

    #[test]
    fn the_first_finding_and_a_count_are_shown() {
        let found = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(first(&found), "a, 2 more");
        assert_eq!(first(&found[..1]), "a");
        let table = Table(vec![["x", "It is broken.", "age: a"].map(str::to_owned)]);
        assert_eq!(
            table.to_string(),
            "mutant | description   | detected by\nx      | It is broken. | age: a\n"
        );
    }
}
