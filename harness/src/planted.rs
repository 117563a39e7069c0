// SPDX-License-Identifier: GPL-2.0

//! `planted`: faults that are put into the series on purpose, one at a time, and which check catches
//! each. They are the patches in harness/planted.

use crate::{
    age, kbuild,
    kbuild::Kind,
    ktap,
    programs::{List, KUNIT, RACE, SELFTESTS},
    race,
    report::{Column, Outcome, Status},
    series::{git, git_in, work_tree},
    steps::{Step, Steps},
    test::{boot, boot_faults, failed, Session, KUNIT_OFF},
    Context,
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
};

const KIND: Kind = Kind::RustPlanted;

/// How many rounds the races have.
const ROUNDS: u32 = 2000;

/// As `age` wants it: namespaces that come and go, in so many parts.
const CYCLES: &str = "cycles,20,200";

#[derive(Args)]
pub struct Options {
    /// These faults alone.
    names: Vec<String>,
}

/// The checks, the quickest first.
#[derive(Clone, Copy)]
enum Trap {
    Kunit,
    Selftests,
    Race,
    Faults,
    Age,
}

const TRAPS: [Trap; 5] = [
    Trap::Kunit,
    Trap::Selftests,
    Trap::Race,
    Trap::Faults,
    Trap::Age,
];

impl Trap {
    fn name(self) -> &'static str {
        match self {
            Self::Kunit => "KUnit",
            Self::Selftests => "selftests",
            Self::Race => "race",
            Self::Faults => "faults",
            Self::Age => "age",
        }
    }

    /// Runs the check on the kernel with the fault, and gives what failed.
    fn sprung(self, context: &Context, step: &Step) -> Result<Vec<String>> {
        let off = KUNIT_OFF.to_owned();
        let programs = |list: &List, arguments: &[String], busy_host| -> Result<Vec<String>> {
            let said = boot(context, step, KIND, list, arguments, busy_host, None)?;
            let checks = ktap::programs(context, list, "", Column::Ours, &said.output)?;
            let failures = checks
                .iter()
                .flat_map(|check| check.results.iter().map(move |result| (check, result)))
                .filter(|(_, result)| result.status == Status::Failed)
                .map(|(check, result)| format!("{} {}", check.name, result.name));
            Ok(failures.chain(said.problems).collect())
        };
        let failures = |results: Vec<Outcome>, problems: Vec<String>| {
            let failed = results
                .into_iter()
                .filter(|result| result.status == Status::Failed);
            failed.map(|result| result.name).chain(problems).collect()
        };
        Ok(match self {
            Self::Kunit => {
                let arguments = ["kunit.enable=1".to_owned()];
                let said = boot(context, step, KIND, &KUNIT, &arguments, false, None)?;
                failures(ktap::results(context, &said.console)?, said.problems)
            }
            Self::Selftests => programs(&SELFTESTS, &[off], false)?,
            Self::Race => programs(&RACE, &[&[off], &race::rounds(ROUNDS)[..]].concat(), true)?,
            Self::Faults => {
                let said = boot_faults(context, step, KIND, &[off])?;
                failures(ktap::results(context, &said.output)?, said.problems)
            }
            Self::Age => {
                let life = age::live(context, step, KIND, CYCLES)?;
                life.failures(&life)
            }
        })
    }
}

/// Plants each fault, and has the checks look for it until one of them sees it.
pub fn planted(context: &Context, options: &Options) -> Result<bool> {
    let faults = faults(context, &options.names)?;
    let steps = 2 + faults.len() * (kbuild::BUILD_STEPS + 1 + TRAPS.len());
    let mut session = Session::new(context, steps)?;
    session.selftests();
    session.check("a tree for the faults", Column::Host, |_| {
        let series = git(context, &["rev-parse", "HEAD"])?;
        work_tree(context, &context.planted_tree(), series.trim())?;
        Ok(crate::test::passed())
    });
    for fault in faults {
        let name = fault.file_stem().unwrap_or_default().to_string_lossy();
        session.record(&name, Column::Ours, |steps| {
            let by = plant(context, steps, &name, &fault);
            // The next one is to find the tree as it was.
            let tree = context.planted_tree();
            git_in(&tree, &["checkout", "--quiet", "--force", "HEAD"])?;
            Ok(match by? {
                Some(by) => {
                    println!("{name}: caught by {by}");
                    vec![Outcome::new(&name, Status::Passed, by)]
                }
                None => failed("no check has seen it".to_owned()),
            })
        });
    }
    session.finish("planted")
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

/// Builds a kernel with the fault, and gives the check that has caught it with what failed there.
fn plant(context: &Context, steps: &mut Steps, name: &str, fault: &Path) -> Result<Option<String>> {
    let patch = fault.to_string_lossy();
    git_in(&context.planted_tree(), &["apply", &patch])?;
    kbuild::build(context, steps, KIND)?;
    steps.run(&format!("pack the guest with {name}"), |step| {
        crate::initramfs::pack(context, step, KIND).map(drop)
    })?;
    for trap in TRAPS {
        let title = format!("{name}: {}", trap.name());
        let sprung = steps.run(&title, |step| trap.sprung(context, step))?;
        if let Some(first) = sprung.first() {
            let others = match sprung.len() - 1 {
                0 => String::new(),
                others => format!(", {others} more"),
            };
            return Ok(Some(format!("{}: {first}{others}", trap.name())));
        }
    }
    Ok(None)
}
