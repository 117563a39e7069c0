// SPDX-License-Identifier: GPL-2.0

//! `bisect`: each commit of the series builds without a warning, boots, and passes Linux's tests of
//! time namespaces. The tests that a commit adds or changes must build. All commits share a build
//! directory.

use super::plan::build_selftests;
use crate::{
    context::Context,
    guest::{initramfs, ktap, lists::LINUX_TIMENS},
    jobs::{programs, Place},
    kernel::{
        build::{self, Build},
        kernels::{kind, Kernel, TimeNs, Tree, Vdso, RUST_BISECT},
        selftests,
        series::{git, git_in, kconfig_options, work_tree},
        warnings::warnings,
    },
    session::{Check, Column, Outcome, Session, Status, Step},
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::SystemTime,
};

static KERNEL: &Kernel = &RUST_BISECT;

/// The directory of the tests of time namespaces.
const TESTS: &str = "tools/testing/selftests/timens/";

#[derive(Args)]
pub struct Options {
    /// The number of the first commit.
    #[arg(long, default_value_t = 1)]
    from: usize,
    /// The number of the last commit [default: that of the last one in the series].
    #[arg(long)]
    to: Option<usize>,
}

impl Options {
    /// Returns the selected part of a series of `count` commits, counted from 0.
    fn part(&self, count: usize) -> Result<std::ops::Range<usize>> {
        let to = self.to.unwrap_or(count);
        ensure!(
            0 < self.from && self.from <= to && to <= count,
            "the series has commits 1 to {count}: it has no part from {} to {to}",
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
    let mut session = Session::new(context, 1 + commits.len())?;
    build_selftests(&mut session);
    for commit in commits {
        let name = commit.name();
        session.run(&name, Column::Rust, |step| {
            Ok(vec![Check::new(&name, Column::Rust, try_commit(context, step, commit)?)])
        });
    }
    session.finish("bisect", "")
}

/// Returns the commits of the series, the first one first.
fn commits(context: &Context) -> Result<Vec<Commit>> {
    let log = git(context, &["log", "--reverse", "--format=%H %s", "base..series"])?;
    let commit = |(index, line): (usize, &str)| {
        let (id, subject) = line.split_once(' ').context("git log printed no subject")?;
        Ok(Commit { number: index + 1, id: id.to_owned(), subject: subject.to_owned() })
    };
    log.lines().enumerate().map(commit).collect()
}

fn try_commit(context: &Context, step: &Step, commit: &Commit) -> Result<Vec<Outcome>> {
    let files = check_out(context, commit)?;
    let build = commit_build(context, step)?;
    let log = build::build_targets(context, step, &build, &build::KERNEL)?;
    let log = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let warnings = warnings(&log);
    let mut outcomes = vec![match &warnings[..] {
        [] => Outcome::new("build", Status::Passed, ""),
        [first, ..] => {
            let reason = format!("{} warnings, the first: {}", warnings.len(), first.text);
            Outcome::new("build", Status::Failed, reason)
        }
    }];
    if files.lines().any(|file| file.starts_with(TESTS)) {
        build_tests(context, step, &build)?;
        outcomes.push(Outcome::new("its tests", Status::Passed, ""));
    }
    initramfs::pack(context, step, KERNEL)?;
    // The last value of an argument counts.
    let kind = format!("TIMENS_KIND={}", implementation(&build.config()?));
    let place = Place { context, step, kernel: KERNEL, arguments: &[kind] };
    outcomes.extend(ktap::flatten(programs::run(place, &LINUX_TIMENS, &[])?.checks));
    Ok(outcomes)
}

/// Builds the tests of time namespaces in the tree from scratch.
fn build_tests(context: &Context, step: &Step, build: &Build) -> Result<()> {
    let dir = build.dir.with_file_name("bisect-selftests");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let options = ["TARGETS=timens", "X32=1"];
    selftests::build_in(context, step, &build.source, &dir, &build.variables, &options)
}

/// Checks a commit out and returns the files that it changes. Updates their times, so that their
/// objects are compiled and warn.
fn check_out(context: &Context, commit: &Commit) -> Result<String> {
    let tree = context.tree_of(Tree::Bisect);
    work_tree(context, &tree, &commit.id)?;
    let parent = format!("{}^", commit.id);
    let names = ["diff", "--name-only", "--diff-filter=d", &parent, &commit.id];
    let files = git_in(&tree, &names)?;
    for file in files.lines() {
        let path = tree.join(file);
        File::open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .with_context(|| format!("cannot touch {}", path.display()))?;
    }
    Ok(files)
}

/// Returns the build of the commit in the tree, without the options that the commit does not have.
fn commit_build(context: &Context, step: &Step) -> Result<Build> {
    let mut build = Build::of(context, KERNEL)?;
    let known = kconfig_options(&build.source, r"^\s*(menu)?config [A-Z0-9_]+")?;
    let (fragments, dropped) = without_unknown(&build.fragments, &known);
    if !dropped.is_empty() {
        step.print(&format!("options that this commit does not have: {}", dropped.join(", ")));
    }
    // Configure each commit again, as other options may be new.
    let head = git_in(&build.source, &["rev-parse", "HEAD"])?;
    build.fragments = format!("# {}\n{fragments}", head.trim());
    Ok(build)
}

/// Removes the lines for unknown options. Returns the rest and the removed options.
fn without_unknown<'a>(fragments: &'a str, known: &BTreeSet<String>) -> (String, Vec<&'a str>) {
    let mut kept = String::new();
    let mut dropped = vec![];
    for line in fragments.lines() {
        match build::setting(line) {
            Some((option, _)) if !known.contains(option) => dropped.push(option),
            _ => {
                kept += line;
                kept.push('\n');
            }
        }
    }
    (kept, dropped)
}

/// Returns the name of a configuration's implementation and vDSO in harness/guest/init.
fn implementation(config: &str) -> &'static str {
    let has = |wanted| config.lines().any(|line| line == wanted);
    let page = has("CONFIG_TIME_NS_OFFSET_PAGE=y");
    let time_ns = match has("CONFIG_TIME_NS_RUST=y") {
        true => TimeNs::Rust,
        false => TimeNs::C,
    };
    let vdso = match page {
        true => Vdso::OffsetPage,
        false => Vdso::Stock,
    };
    kind(time_ns, vdso)
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
    fn a_part_is_in_the_series() {
        let part = |from, to| Options { from, to }.part(18);
        assert_eq!(part(1, None).unwrap(), 0..18);
        assert_eq!(part(5, Some(8)).unwrap(), 4..8);
        for (from, to) in [(0, None), (3, Some(2)), (1, Some(19)), (19, None)] {
            assert!(part(from, to).is_err());
        }
    }

    #[test]
    fn the_guest_checks_its_implementation() {
        assert_eq!(implementation("CONFIG_TIME_NS=y\n"), "stock");
        let page = "CONFIG_TIME_NS_OFFSET_PAGE=y\n";
        assert_eq!(implementation(page), "stock-offset-page");
        let both = format!("{page}CONFIG_TIME_NS_RUST=y\n");
        assert_eq!(implementation(&both), "rust");
    }
}
