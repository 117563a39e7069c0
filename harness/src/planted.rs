// SPDX-License-Identifier: GPL-2.0

//! `planted`: faults that are put into the series on purpose, one at a time, and which checks see
//! each. They are the patches in harness/mutants, which name the checks that must. Before them these
//! checks must find nothing in the series as it is: one that always fails sees nothing.

use crate::{
    age,
    fuzz::Comparison,
    guest::Transcript,
    initramfs, kbuild,
    kbuild::Kind,
    ktap,
    programs::{List, KUNIT, RACE, SELFTESTS},
    race, races,
    report::{Column, Outcome, Status},
    sanitize::{self, kcsan_tree, WATCH},
    series::{git_in, series_tree},
    steps::{Step, Steps},
    test::{boot, boot_faults, kunit_results, Session, KUNIT_OFF, SHORT_FUZZ},
    Context,
};
use anyhow::{bail, Context as _, Result};
use clap::Args;
use std::{collections::BTreeSet, fmt, fs, path::PathBuf};

/// The kernel that most checks look at.
const KIND: Kind = Kind::RustPlanted;

/// How many rounds the races have.
const ROUNDS: u32 = 5000;
/// And how many on the kernel with KASAN, which takes long for each.
const KASAN_ROUNDS: u32 = 50;

/// What stands in front of the names of the checks that must see a fault.
const SEEN_BY: &str = "Seen by: ";

#[derive(Args)]
pub struct Options {
    /// These faults alone.
    names: Vec<String>,
}

/// A check that looks for a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trap {
    Kunit,
    Selftests,
    Faults,
    Age,
    Race,
    Fuzz,
    /// KUnit and the races, of which nothing but what KASAN and its like report counts.
    Kasan,
    /// The races, of which nothing but what KCSAN reports counts.
    Kcsan,
}

const TRAPS: [Trap; 8] = [
    Trap::Kunit,
    Trap::Selftests,
    Trap::Faults,
    Trap::Age,
    Trap::Race,
    Trap::Fuzz,
    Trap::Kasan,
    Trap::Kcsan,
];

impl Trap {
    fn name(self) -> &'static str {
        match self {
            Self::Kunit => "KUnit",
            Self::Selftests => "selftests",
            Self::Race => "race",
            Self::Faults => "faults",
            Self::Age => "age",
            Self::Fuzz => "fuzz",
            Self::Kasan => "KASAN",
            Self::Kcsan => "KCSAN",
        }
    }

    /// The kernel that it looks at.
    fn kind(self) -> Kind {
        match self {
            Self::Kasan => Kind::RustPlantedKasan,
            Self::Kcsan => Kind::RustKcsan,
            _ => KIND,
        }
    }

    fn named(name: &str) -> Result<Self> {
        let trap = TRAPS.into_iter().find(|trap| trap.name() == name);
        trap.with_context(|| format!("there is no check {name}"))
    }

    /// How many guests it boots: one that compares boots two.
    fn guests(self) -> usize {
        match self {
            Self::Fuzz => 2,
            _ => 1,
        }
    }

    /// Runs the check on the kernel as it was built, and gives what failed; `name` is the fault's.
    fn sprung(self, context: &Context, steps: &mut Steps, name: &str) -> Result<Vec<String>> {
        let run: fn(&Context, &Step) -> Result<Vec<String>> = match self {
            Self::Kunit => kunit,
            Self::Selftests => selftests,
            Self::Race => tasks,
            Self::Faults => allocations,
            Self::Age => life,
            Self::Kasan => kasan,
            Self::Kcsan => kcsan,
            Self::Fuzz => return operations(context, steps),
        };
        let title = format!("{name}: {}", self.name());
        steps.run(&title, |step| run(context, step))
    }
}

fn kunit(context: &Context, step: &Step) -> Result<Vec<String>> {
    let said = boot(context, step, KIND, &KUNIT, &kunit_on(), false, None)?;
    let results = kunit_results(context, &said.console)?;
    failures(results, said)
}

fn kunit_on() -> [String; 1] {
    ["kunit.enable=1".to_owned()]
}

fn kasan(context: &Context, step: &Step) -> Result<Vec<String>> {
    let arguments = [
        &kunit_on()[..],
        // One report is enough.
        &["kasan.fault=panic".to_owned()],
        &race::rounds(KASAN_ROUNDS, 2 * KASAN_ROUNDS),
    ]
    .concat();
    let said = watched_races(context, step, Trap::Kasan, &arguments)?;
    whole(said.watched(), &said)
}

fn kcsan(context: &Context, step: &Step) -> Result<Vec<String>> {
    races::forget_elsewhere(context, Trap::Kcsan.kind())?;
    let arguments = [KUNIT_OFF, WATCH].map(str::to_owned);
    let rounds = race::rounds(sanitize::ROUNDS, 2 * sanitize::ROUNDS);
    let arguments = [&arguments[..], &rounds].concat();
    let said = watched_races(context, step, Trap::Kcsan, &arguments)?;
    whole(said.raced().collect(), &said)
}

/// Runs the races on a kernel that watches itself.
fn watched_races(
    context: &Context,
    step: &Step,
    trap: Trap,
    arguments: &[String],
) -> Result<Transcript> {
    let said = boot(context, step, trap.kind(), &RACE, arguments, true, None)?;
    ended(&said)?;
    Ok(said)
}

/// That nothing was reported says something only of a run that is good otherwise.
fn whole(reports: Vec<String>, said: &Transcript) -> Result<Vec<String>> {
    if reports.is_empty() && !said.problems.is_empty() {
        bail!(said.problems.join("; "));
    }
    Ok(reports)
}

fn selftests(context: &Context, step: &Step) -> Result<Vec<String>> {
    let said = boot_programs(context, step, &SELFTESTS, &[], false)?;
    programs(context, &SELFTESTS, said)
}

fn tasks(context: &Context, step: &Step) -> Result<Vec<String>> {
    let rounds = race::rounds(ROUNDS, 2 * ROUNDS);
    let said = boot_programs(context, step, &RACE, &rounds, true)?;
    let wrong = race::wrong(&said.output);
    let mut failed = programs(context, &RACE, said)?;
    if let Some(first) = failed.first_mut().filter(|_| !wrong.is_empty()) {
        *first += &format!(" (in all: {wrong})");
    }
    Ok(failed)
}

fn allocations(context: &Context, step: &Step) -> Result<Vec<String>> {
    let said = boot_faults(context, step, KIND)?;
    let results = ktap::results(context, &said.output)?;
    failures(results, said)
}

fn life(context: &Context, step: &Step) -> Result<Vec<String>> {
    let life = age::live(context, step, KIND, &age::of_cycles(age::SHORT))?;
    Ok(life.failures(&life))
}

fn operations(context: &Context, steps: &mut Steps) -> Result<Vec<String>> {
    let (seed, sequences) = SHORT_FUZZ;
    let mut comparison = Comparison::new([Kind::Stock, KIND], seed);
    comparison.advance(context, steps, sequences)?;
    Ok(comparison.failures())
}

/// Runs the programs of a list.
fn boot_programs(
    context: &Context,
    step: &Step,
    list: &List,
    arguments: &[String],
    busy_host: bool,
) -> Result<Transcript> {
    let arguments = [&[KUNIT_OFF.to_owned()], arguments].concat();
    boot(context, step, KIND, list, &arguments, busy_host, None)
}

/// What failed of the programs of a list.
fn programs(context: &Context, list: &List, said: Transcript) -> Result<Vec<String>> {
    let checks = ktap::programs(context, list, "", Column::Ours, &said.output)?;
    // What fails now and then by itself says nothing of a fault.
    let steady = checks.into_iter().zip(list.programs());
    let steady = steady.filter(|(_, program)| program.tries == 1);
    let results = steady.flat_map(|(check, program)| {
        check.results.into_iter().map(move |result| Outcome {
            name: format!("{} {}", program.path, result.name),
            ..result
        })
    });
    failures(results.collect(), said)
}

/// That a guest took too long may be the host's fault.
fn ended(said: &Transcript) -> Result<()> {
    if said.killed {
        bail!(said.problems.join("; "));
    }
    Ok(())
}

/// What failed in a guest.
fn failures(results: Vec<Outcome>, said: Transcript) -> Result<Vec<String>> {
    ended(&said)?;
    let failed = results
        .into_iter()
        .filter(|result| result.status == Status::Failed);
    Ok(failed
        .map(|result| result.name)
        .chain(said.problems)
        .collect())
}

/// A fault that can be planted.
struct Fault {
    name: String,
    patch: PathBuf,
    what: String,
    /// The checks that must see it.
    seen_by: Vec<Trap>,
}

impl Fault {
    /// Reads what stands in front of a patch.
    fn read(patch: PathBuf) -> Result<Self> {
        let file = patch.display();
        let text = fs::read_to_string(&patch).with_context(|| format!("cannot read {file}"))?;
        let mut paragraphs = text.split("\n\n");
        let what = paragraphs.next().unwrap_or_default().replace('\n', " ");
        let names = paragraphs
            .next()
            .and_then(|text| text.strip_prefix(SEEN_BY));
        let names = names.with_context(|| format!("{file} does not say \"{SEEN_BY}…\""))?;
        let seen_by = names.split(", ").map(Trap::named).collect::<Result<_>>();
        Ok(Self {
            name: patch
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            seen_by: seen_by.with_context(|| file.to_string())?,
            what,
            patch,
        })
    }

    fn guests(&self) -> usize {
        self.seen_by.iter().map(|trap| trap.guests()).sum()
    }
}

/// A fault, what it does, and what each check saw that has seen it.
struct Row {
    name: String,
    what: String,
    by: String,
}

/// The faults that were planted.
struct Table(Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Row {
            name: "fault".to_owned(),
            what: "what it does".to_owned(),
            by: "seen by".to_owned(),
        };
        let rows: Vec<_> = std::iter::once(&head).chain(&self.0).collect();
        let width = |cell: fn(&Row) -> &str| {
            let widths = rows.iter().map(|&row| cell(row).chars().count());
            widths.max().unwrap_or_default()
        };
        let (name, what) = (width(|row| &row.name), width(|row| &row.what));
        for row in rows {
            writeln!(f, "{:name$} | {:what$} | {}", row.name, row.what, row.by)?;
        }
        Ok(())
    }
}

/// Plants each fault, and has the checks look for it that must see it.
pub fn planted(context: &Context, options: &Options) -> Result<bool> {
    let faults = faults(context, &options.names)?;
    let needed = TRAPS.into_iter();
    let needed = needed.filter(|trap| faults.iter().any(|fault| fault.seen_by.contains(trap)));
    let needed: Vec<_> = needed.collect();
    let kernels: usize = faults.iter().map(|fault| kinds(&fault.seen_by).len()).sum();
    let kernels = kinds(&needed).len() + kernels;
    let guests: usize = needed.iter().map(|trap| trap.guests()).sum();
    let guests = guests + faults.iter().map(Fault::guests).sum::<usize>();
    let builds = kbuild::BUILD_STEPS + kernels * (kbuild::BUILD_STEPS + 1);
    let mut session = Session::new(context, 2 + builds + guests)?;
    session.build(Kind::Stock);
    session.selftests();
    session.check("trees for the faults", Column::Host, |_| {
        ready_trees(context, &needed)?;
        Ok(crate::test::passed())
    });
    let mut sound = false;
    session.record("no fault", Column::Ours, |steps| {
        let outcomes = without(context, steps, &needed)?;
        let passed = |outcome: &Outcome| outcome.status == Status::Passed;
        sound = outcomes.iter().all(passed);
        Ok(outcomes)
    });
    let mut table = Table(vec![]);
    if sound {
        let names: Vec<_> = needed.iter().map(|trap| trap.name()).collect();
        table.0.push(Row {
            name: "none".to_owned(),
            what: "The series as it is.".to_owned(),
            by: format!("nothing by {}", names.join(", ")),
        });
    }
    // What a check sees that always sees something proves nothing.
    for fault in faults.iter().filter(|_| sound) {
        let mut seen = vec![];
        session.record(&fault.name, Column::Ours, |steps| {
            let outcomes = plant(context, steps, fault);
            // The next one is to find the trees as they were.
            ready_trees(context, &fault.seen_by)?;
            let outcomes = outcomes?;
            seen.extend(outcomes.iter().map(|outcome| match outcome.status {
                Status::Passed => format!("{}: {}", outcome.name, outcome.reason),
                _ => format!("NOT BY {}", outcome.name),
            }));
            Ok(outcomes)
        });
        table.0.push(Row {
            name: fault.name.clone(),
            what: fault.what.clone(),
            by: seen.join("; "),
        });
    }
    session.finish_with("planted", &format!("\n{table}"))
}

/// The faults of that name, or all.
fn faults(context: &Context, names: &[String]) -> Result<Vec<Fault>> {
    let dir = context.top.join("harness/mutants");
    let mut paths: Vec<_> = names
        .iter()
        .map(|name| dir.join(format!("{name}.patch")))
        .collect();
    if paths.is_empty() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            paths.push(entry?.path());
        }
        paths.sort();
    }
    paths.into_iter().map(Fault::read).collect()
}

/// The kernels that checks look at.
fn kinds(traps: &[Trap]) -> BTreeSet<Kind> {
    traps.iter().map(|trap| trap.kind()).collect()
}

/// Has the trees of these kernels as they are without a fault.
fn ready_trees(context: &Context, traps: &[Trap]) -> Result<()> {
    kinds(traps).into_iter().try_for_each(|kind| match kind {
        Kind::RustKcsan => kcsan_tree(context),
        _ => series_tree(context, &context.source(kind)),
    })
}

/// Builds the kernels that checks look at, of the trees as they are now, and their guests.
fn build(context: &Context, steps: &mut Steps, name: &str, traps: &[Trap]) -> Result<()> {
    kinds(traps).into_iter().try_for_each(|kind| {
        kbuild::build(context, steps, kind)?;
        steps.run(&format!("pack the guest with {name}"), |step| {
            initramfs::pack(context, step, kind).map(drop)
        })
    })
}

/// Has the checks look at the series without a fault: each that sees one is a failure.
fn without(context: &Context, steps: &mut Steps, traps: &[Trap]) -> Result<Vec<Outcome>> {
    const NAME: &str = "no fault";
    build(context, steps, NAME, traps)?;
    traps
        .iter()
        .map(|trap| {
            let sprung = trap.sprung(context, steps, NAME)?;
            Ok(match seen(&sprung) {
                None => Outcome::new(trap.name(), Status::Passed, ""),
                Some(what) => Outcome::new(trap.name(), Status::Failed, what),
            })
        })
        .collect()
}

/// Builds kernels with the fault, and has its checks look: each that sees nothing is a failure.
fn plant(context: &Context, steps: &mut Steps, fault: &Fault) -> Result<Vec<Outcome>> {
    let patch = fault.patch.to_string_lossy();
    let trees = kinds(&fault.seen_by).into_iter();
    let trees: BTreeSet<_> = trees.map(|kind| context.source(kind)).collect();
    for tree in trees {
        git_in(&tree, &["apply", &patch])?;
    }
    build(context, steps, &fault.name, &fault.seen_by)?;
    let outcomes = fault
        .seen_by
        .iter()
        .map(|trap| {
            let sprung = trap.sprung(context, steps, &fault.name)?;
            Ok(match seen(&sprung) {
                Some(what) => Outcome::new(trap.name(), Status::Passed, what),
                None => Outcome::new(trap.name(), Status::Failed, "it has seen nothing"),
            })
        })
        .collect();
    // Nothing else is to boot these.
    for kind in kinds(&fault.seen_by) {
        fs::remove_file(context.kernel(kind)).context("cannot remove a kernel with a fault")?;
    }
    outcomes
}

/// The first of what failed, and how many others.
fn seen(sprung: &[String]) -> Option<String> {
    let (first, others) = sprung.split_first()?;
    Some(match others.len() {
        0 => first.clone(),
        others => format!("{first}, {others} more"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_says_what_it_does_and_what_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.patch");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Fault::read(path.clone())
        };
        let fault = read("It is\nbroken.\n\nSeen by: age, KUnit\n\n--- a/x\n").unwrap();
        assert_eq!((&*fault.name, &*fault.what), ("x", "It is broken."));
        assert_eq!(fault.seen_by, [Trap::Age, Trap::Kunit]);
        for wrong in [
            "It is broken.\n\n--- a/x\n",
            "It is.\n\nSeen by: me\n\n--- a/x\n",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_fault() {
        let row = |name: &str, by: Option<String>| Row {
            name: name.to_owned(),
            what: "It is broken.".to_owned(),
            by: by.unwrap_or_default(),
        };
        let sprung = ["a".to_owned(), "b".to_owned()];
        let table = Table(vec![row("first", seen(&sprung)), row("x", seen(&[]))]);
        assert_eq!(
            table.to_string(),
            "fault | what it does  | seen by\nfirst | It is broken. | a, 1 more\n\
             x     | It is broken. | \n"
        );
    }
}
