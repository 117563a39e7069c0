// SPDX-License-Identifier: GPL-2.0

//! `planted`: faults that are put into the series on purpose, one at a time, and which check catches
//! each. They are the patches in harness/planted. Before them all checks must find nothing in the
//! series as it is: one that always fails catches nothing.

use crate::{
    age,
    fuzz::Comparison,
    initramfs, kbuild,
    kbuild::Kind,
    ktap,
    programs::{List, KUNIT, RACE, SELFTESTS},
    race,
    report::{keep, Column, Outcome, Status},
    series::{git_in, series_tree},
    steps::{Step, Steps},
    test::{boot, boot_faults, failed, kunit_results, Session, KUNIT_OFF, SHORT_FUZZ},
    Context,
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

const KIND: Kind = Kind::RustPlanted;

/// How many rounds the races have, and those for what nothing else has caught.
const ROUNDS: u32 = 2000;
const LONG_ROUNDS: u32 = 20_000;

#[derive(Args)]
pub struct Options {
    /// These faults alone.
    names: Vec<String>,
}

/// The checks, the quickest first; but what a fault leaks is counted by those that look for it, before
/// a race ends for want of it.
#[derive(Clone, Copy)]
enum Trap {
    Kunit,
    Selftests,
    Faults,
    Age,
    Race,
    Fuzz,
    LongRace,
}

const TRAPS: [Trap; 7] = [
    Trap::Kunit,
    Trap::Selftests,
    Trap::Faults,
    Trap::Age,
    Trap::Race,
    Trap::Fuzz,
    Trap::LongRace,
];

/// How many guests all of them boot: one, which compares, boots two.
const GUESTS: usize = TRAPS.len() + 1;

impl Trap {
    fn name(self) -> &'static str {
        match self {
            Self::Kunit => "KUnit",
            Self::Selftests => "selftests",
            Self::Race => "race",
            Self::Faults => "faults",
            Self::Age => "age",
            Self::Fuzz => "fuzz",
            Self::LongRace => "long race",
        }
    }

    /// Runs the check on the kernel as it was built, and gives what failed; `name` is the fault's.
    fn sprung(self, context: &Context, steps: &mut Steps, name: &str) -> Result<Vec<String>> {
        let run: fn(&Context, &Step) -> Result<Vec<String>> = match self {
            Self::Kunit => kunit,
            Self::Selftests => selftests,
            Self::Race => |context: &Context, step: &Step| races(context, step, ROUNDS),
            Self::LongRace => |context: &Context, step: &Step| races(context, step, LONG_ROUNDS),
            Self::Faults => allocations,
            Self::Age => life,
            Self::Fuzz => return operations(context, steps),
        };
        let title = format!("{name}: {}", self.name());
        steps.run(&title, |step| run(context, step))
    }
}

fn kunit(context: &Context, step: &Step) -> Result<Vec<String>> {
    let arguments = ["kunit.enable=1".to_owned()];
    let said = boot(context, step, KIND, &KUNIT, &arguments, false, None)?;
    let results = kunit_results(context, &said.console)?;
    Ok(failures(results, said.problems))
}

fn selftests(context: &Context, step: &Step) -> Result<Vec<String>> {
    programs(context, step, &SELFTESTS, &[], false)
}

fn races(context: &Context, step: &Step, rounds: u32) -> Result<Vec<String>> {
    programs(context, step, &RACE, &race::rounds(rounds), true)
}

fn allocations(context: &Context, step: &Step) -> Result<Vec<String>> {
    let said = boot_faults(context, step, KIND, &[KUNIT_OFF.to_owned()])?;
    let results = ktap::results(context, &said.output)?;
    Ok(failures(results, said.problems))
}

fn life(context: &Context, step: &Step) -> Result<Vec<String>> {
    let life = age::live(context, step, KIND, age::SHORT)?;
    Ok(life.failures(&life))
}

fn operations(context: &Context, steps: &mut Steps) -> Result<Vec<String>> {
    let (seed, sequences) = SHORT_FUZZ;
    let mut comparison = Comparison::new([Kind::Stock, KIND], seed);
    comparison.advance(context, steps, sequences)?;
    Ok(comparison.failures())
}

/// Runs the programs of a list, and gives what failed.
fn programs(
    context: &Context,
    step: &Step,
    list: &List,
    arguments: &[String],
    busy_host: bool,
) -> Result<Vec<String>> {
    let arguments = [&[KUNIT_OFF.to_owned()], arguments].concat();
    let said = boot(context, step, KIND, list, &arguments, busy_host, None)?;
    let checks = ktap::programs(context, list, "", Column::Ours, &said.output)?;
    let failures = checks
        .iter()
        .flat_map(|check| check.results.iter().map(move |result| (check, result)))
        .filter(|(_, result)| result.status == Status::Failed)
        .map(|(check, result)| format!("{} {}", check.name, result.name));
    Ok(failures.chain(said.problems).collect())
}

fn failures(results: Vec<Outcome>, problems: Vec<String>) -> Vec<String> {
    let failed = results
        .into_iter()
        .filter(|result| result.status == Status::Failed);
    failed.map(|result| result.name).chain(problems).collect()
}

/// A fault, what it does, and the check that has caught it, or none.
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
            by: "caught by".to_owned(),
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

/// Plants each fault, and has the checks look for it until one of them sees it.
pub fn planted(context: &Context, options: &Options) -> Result<bool> {
    let faults = faults(context, &options.names)?;
    let builds = (2 + faults.len()) * kbuild::BUILD_STEPS;
    let steps = 2 + builds + (1 + faults.len()) * (1 + GUESTS);
    let mut session = Session::new(context, steps)?;
    session.build(Kind::Stock);
    session.selftests();
    session.check("a tree for the faults", Column::Host, |_| {
        series_tree(context, &context.planted_tree())?;
        Ok(crate::test::passed())
    });
    let mut sound = false;
    session.record("no fault", Column::Ours, |steps| {
        let outcomes = without(context, steps)?;
        let passed = |outcome: &Outcome| outcome.status == Status::Passed;
        sound = outcomes.iter().all(passed);
        Ok(outcomes)
    });
    let mut table = Table(vec![]);
    // What a check sees that always sees something proves nothing.
    for fault in faults.iter().filter(|_| sound) {
        let name = fault.file_stem().unwrap_or_default().to_string_lossy();
        let mut row = Row {
            name: name.clone().into_owned(),
            what: what(fault)?,
            by: "nothing".to_owned(),
        };
        session.record(&name, Column::Ours, |steps| {
            let by = plant(context, steps, &name, fault);
            // The next one is to find the tree as it was.
            let tree = context.planted_tree();
            git_in(&tree, &["checkout", "--quiet", "--force", "HEAD"])?;
            Ok(match by? {
                Some(by) => {
                    println!("{name}: caught by {by}");
                    row.by.clone_from(&by);
                    vec![Outcome::new(&name, Status::Passed, by)]
                }
                None => failed("no check has seen it".to_owned()),
            })
        });
        table.0.push(row);
    }
    let good = session.finish("planted")?;
    println!("\n{table}");
    keep(context, "planted", &table.to_string())?;
    Ok(good)
}

/// The patches of that name, or all.
fn faults(context: &Context, names: &[String]) -> Result<Vec<PathBuf>> {
    let dir = context.top.join("harness/planted");
    if !names.is_empty() {
        let paths = names.iter().map(|name| dir.join(format!("{name}.patch")));
        return paths
            .map(|path| {
                ensure!(path.exists(), "there is no {}", path.display());
                Ok(path)
            })
            .collect();
    }
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// What a fault does: the text in front of the patch.
fn what(fault: &Path) -> Result<String> {
    let text =
        fs::read_to_string(fault).with_context(|| format!("cannot read {}", fault.display()))?;
    let lines = text.lines().take_while(|line| !line.is_empty());
    Ok(lines.collect::<Vec<_>>().join(" "))
}

/// Builds the kernel of the tree as it is now, and its guest.
fn build(context: &Context, steps: &mut Steps, name: &str) -> Result<()> {
    kbuild::build(context, steps, KIND)?;
    steps.run(&format!("pack the guest with {name}"), |step| {
        initramfs::pack(context, step, KIND).map(drop)
    })
}

/// Has all checks look at the series without a fault: each that sees one is a failure. The long race
/// is left to `race`, which has as many rounds of the same program and fails for what it sees.
fn without(context: &Context, steps: &mut Steps) -> Result<Vec<Outcome>> {
    const NAME: &str = "no fault";
    build(context, steps, NAME)?;
    TRAPS
        .iter()
        .filter(|trap| !matches!(trap, Trap::LongRace))
        .map(|trap| {
            let sprung = trap.sprung(context, steps, NAME)?;
            Ok(match seen(&sprung) {
                None => Outcome::new(trap.name(), Status::Passed, ""),
                Some(what) => Outcome::new(trap.name(), Status::Failed, what),
            })
        })
        .collect()
}

/// Builds a kernel with the fault, and gives the check that has caught it with what failed there.
fn plant(context: &Context, steps: &mut Steps, name: &str, fault: &Path) -> Result<Option<String>> {
    let patch = fault.to_string_lossy();
    git_in(&context.planted_tree(), &["apply", &patch])?;
    build(context, steps, name)?;
    for trap in TRAPS {
        if let Some(what) = seen(&trap.sprung(context, steps, name)?) {
            return Ok(Some(format!("{}: {what}", trap.name())));
        }
    }
    Ok(None)
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
    fn a_patch_says_what_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.patch");
        fs::write(&path, "It is\nbroken.\n\n--- a/x\n").unwrap();
        assert_eq!(what(&path).unwrap(), "It is broken.");
    }

    #[test]
    fn the_table_has_a_line_for_each_fault() {
        let row = |name: &str, by: Option<String>| Row {
            name: name.to_owned(),
            what: "It is broken.".to_owned(),
            by: by.unwrap_or("nothing".to_owned()),
        };
        let sprung = ["a".to_owned(), "b".to_owned()];
        let table = Table(vec![row("first", seen(&sprung)), row("x", seen(&[]))]);
        assert_eq!(
            table.to_string(),
            "fault | what it does  | caught by\nfirst | It is broken. | a, 1 more\n\
             x     | It is broken. | nothing\n"
        );
    }
}
