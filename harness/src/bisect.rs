// SPDX-License-Identifier: GPL-2.0

//! `bisect`: each commit of the series builds without a warning, boots, and passes the kernel's own
//! tests of time namespaces. They are built in one directory, one after the other. So are the tests
//! that a commit adds or changes.

use crate::{
    initramfs,
    kbuild::{self, Kind, Plan},
    ktap,
    programs::STOCK,
    report::{Column, Outcome, Status},
    series::{git, git_in, kconfig_options, work_tree},
    steps::{Step, Steps},
    test::{boot, Session, KUNIT_OFF},
    warnings::warnings,
    Context,
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::SystemTime,
};

const KIND: Kind = Kind::RustBisect;

/// What a commit takes: to check it out, to build it and its tests, and to boot it.
const COMMIT_STEPS: usize = 1 + kbuild::BUILD_STEPS + 2;

/// Where the tests of time namespaces are.
const TESTS: &str = "tools/testing/selftests/timens/";

#[derive(Args)]
pub struct Options {
    /// The number of the first commit.
    #[arg(long, default_value_t = 1)]
    from: usize,
    /// The number of the last commit; without it, the last of the series.
    #[arg(long)]
    to: Option<usize>,
}

impl Options {
    /// The part of a series of `count` commits that is asked for, counted from 0.
    fn part(&self, count: usize) -> Result<std::ops::Range<usize>> {
        let to = self.to.unwrap_or(count);
        ensure!(
            0 < self.from && self.from <= to && to <= count,
            "the series has commits 1 to {count}: no part of it is from {} to {to}",
            self.from
        );
        Ok(self.from - 1..to)
    }
}

struct Commit {
    number: usize,
    id: String,
    subject: String,
}

impl Commit {
    fn name(&self) -> String {
        format!("{:02} {}", self.number, self.subject)
    }
}

/// Builds, boots and tests the commits, and prints the table.
pub fn bisect(context: &Context, options: &Options) -> Result<bool> {
    let commits = commits(context)?;
    let commits = &commits[options.part(commits.len())?];
    let mut session = Session::new(context, 1 + commits.len() * COMMIT_STEPS)?;
    session.selftests();
    for commit in commits {
        session.record(&commit.name(), Column::Ours, |steps| {
            prove(context, steps, commit)
        });
    }
    session.finish("bisect")
}

/// The commits of the series, the first one first.
fn commits(context: &Context) -> Result<Vec<Commit>> {
    let log = git(
        context,
        &["log", "--reverse", "--format=%H %s", "base..series"],
    )?;
    let commit = |(index, line): (usize, &str)| {
        let (id, subject) = line.split_once(' ').context("git log gives no subject")?;
        Ok(Commit {
            number: index + 1,
            id: id.to_owned(),
            subject: subject.to_owned(),
        })
    };
    log.lines().enumerate().map(commit).collect()
}

/// What building, booting and testing one commit comes to.
fn prove(context: &Context, steps: &mut Steps, commit: &Commit) -> Result<Vec<Outcome>> {
    let name = commit.name();
    let (plan, has_tests) = steps.run(&format!("check out {name}"), |step| {
        let files = check_out(context, commit)?;
        let has_tests = files.lines().any(|file| file.starts_with(TESTS));
        Ok((plan(context, step)?, has_tests))
    })?;
    let log = kbuild::build_plan(context, steps, &plan, &kbuild::KERNEL)?;
    let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let warnings = warnings(&log);
    let mut outcomes = vec![match &warnings[..] {
        [] => Outcome::new("build", Status::Passed, ""),
        [first, ..] => {
            let reason = format!("{} warnings, the first: {}", warnings.len(), first.text);
            Outcome::new("build", Status::Failed, reason)
        }
    }];
    steps.run(&format!("build the tests of {name}"), |step| {
        if has_tests {
            selftests(context, step, &plan)?;
            outcomes.push(Outcome::new("its tests", Status::Passed, ""));
        }
        Ok(())
    })?;
    // Told for a second time, it counts as told now.
    let kind = format!("TIMENS_KIND={}", implementation(&plan.config()?));
    let arguments = [KUNIT_OFF.to_owned(), kind];
    let said = steps.run(&format!("boot {name}"), |step| {
        initramfs::pack(context, step, KIND)?;
        boot(context, step, KIND, &STOCK, &arguments, false, None)
    })?;
    let checks = ktap::programs(context, &STOCK, "", Column::Ours, &said.output)?;
    outcomes.extend(ktap::together(checks));
    let problems = said.problems.into_iter();
    outcomes.extend(problems.map(|problem| Outcome::new("boot", Status::Failed, problem)));
    Ok(outcomes)
}

/// Builds the tests of time namespaces as they are in the tree, from nothing.
fn selftests(context: &Context, step: &Step, plan: &Plan) -> Result<()> {
    let dir = plan.dir.with_file_name("bisect-selftests");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let options = ["TARGETS=timens", "X32=1"];
    kbuild::selftests_in(context, step, &plan.source, &dir, &plan.variables, &options)
}

/// Has the files of a commit in the tree, and names those that it changes. These count as changed now,
/// however the tree came to have them: what is made of them is then compiled, and warns.
fn check_out(context: &Context, commit: &Commit) -> Result<String> {
    let tree = context.bisect_tree();
    work_tree(context, &tree, &commit.id)?;
    let parent = format!("{}^", commit.id);
    let names = [
        "diff",
        "--name-only",
        "--diff-filter=d",
        &parent,
        &commit.id,
    ];
    let files = git_in(&tree, &names)?;
    for file in files.lines() {
        let path = tree.join(file);
        File::open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .with_context(|| format!("cannot touch {}", path.display()))?;
    }
    Ok(files)
}

/// How the commit in the tree is built: as the whole series, without the options that it does not know.
fn plan(context: &Context, step: &Step) -> Result<Plan> {
    let mut plan = Plan::of(context, KIND)?;
    let known = kconfig_options(&plan.source, r"^\s*(menu)?config [A-Z0-9_]+")?;
    let (fragments, dropped) = without_unknown(&plan.fragments, &known);
    if !dropped.is_empty() {
        step.print(&format!(
            "left out, as this commit does not know it: {}",
            dropped.join(", ")
        ));
    }
    // What is not asked for may be new as well: configured anew for each commit.
    let head = git_in(&plan.source, &["rev-parse", "HEAD"])?;
    plan.fragments = format!("# {}\n{fragments}", head.trim());
    Ok(plan)
}

/// Fragments without the lines for options that are not known, and these.
fn without_unknown<'a>(fragments: &'a str, known: &BTreeSet<String>) -> (String, Vec<&'a str>) {
    let mut kept = String::new();
    let mut dropped = vec![];
    for line in fragments.lines() {
        match kbuild::setting(line) {
            Some((option, _)) if !known.contains(option) => dropped.push(option),
            _ => {
                kept += line;
                kept.push('\n');
            }
        }
    }
    (kept, dropped)
}

/// What the guest is to find itself in, as /init calls it.
fn implementation(config: &str) -> &'static str {
    let has = |wanted| config.lines().any(|line| line == wanted);
    let page = has("CONFIG_TIME_NS_OFFSET_PAGE=y");
    match (has("CONFIG_TIME_NS_RUST=y"), page) {
        (true, true) => Kind::Rust,
        (true, false) => Kind::RustStockVdso,
        (false, true) => Kind::StockOffsetPage,
        (false, false) => Kind::Stock,
    }
    .name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_options_are_dropped() {
        let known = ["CONFIG_A", "CONFIG_C"].map(str::to_owned).into();
        let fragments = "# about\nCONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n\
                         # CONFIG_D is not set\n";
        let (kept, dropped) = without_unknown(fragments, &known);
        assert_eq!(kept, "# about\nCONFIG_A=y\n# CONFIG_C is not set\n");
        assert_eq!(dropped, ["CONFIG_B", "CONFIG_D"]);
    }

    #[test]
    fn a_part_lies_in_the_series() {
        let part = |from, to| Options { from, to }.part(18);
        assert_eq!(part(1, None).unwrap(), 0..18);
        assert_eq!(part(5, Some(8)).unwrap(), 4..8);
        for (from, to) in [(0, None), (3, Some(2)), (1, Some(19)), (19, None)] {
            assert!(part(from, to).is_err());
        }
    }

    #[test]
    fn the_guest_is_told_what_it_is() {
        assert_eq!(implementation("CONFIG_TIME_NS=y\n"), "stock");
        let page = "CONFIG_TIME_NS_OFFSET_PAGE=y\n";
        assert_eq!(implementation(page), "stock-offset-page");
        let both = format!("{page}CONFIG_TIME_NS_RUST=y\n");
        assert_eq!(implementation(&both), "rust");
    }
}
