// SPDX-License-Identifier: GPL-2.0

//! The commits of the prepared tree, and the work trees that are made from them.

use super::{
    diff::{added_lines, Added},
    kernels::Tree,
};
use crate::context::Context;
use anyhow::{bail, Result};
use std::{collections::BTreeSet, path::Path, process::Command};

pub struct Series {
    pub base: String,
    /// The files that the commits change or add, in git's order.
    pub files: Vec<String>,
    /// The new files among them.
    pub added: Vec<String>,
}

impl Series {
    /// The lines that the series adds, by file, of the files that `paths` match.
    pub fn added_lines(context: &Context, paths: &[&str]) -> Result<Added> {
        let arguments = ["diff", "-U0", "--no-renames", "base", "HEAD", "--"];
        Ok(added_lines(&git(context, &[&arguments[..], paths].concat())?))
    }

    pub fn read(context: &Context) -> Result<Self> {
        let root = git(context, &["rev-list", "--max-parents=0", "HEAD"])?;
        let base = root.trim().to_owned();
        let changed = |filter| -> Result<Vec<String>> {
            let names = ["diff", "--name-only", "--no-renames", filter, &base, "HEAD"];
            Ok(git(context, &names)?.lines().map(str::to_owned).collect())
        };
        Ok(Self { files: changed("--diff-filter=d")?, added: changed("--diff-filter=A")?, base })
    }

    /// The files whose names have one of these endings.
    pub fn ending<'a>(&'a self, ends: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let files = self.files.iter().map(String::as_str);
        files.filter(|file| ends.iter().any(|end| file.ends_with(end)))
    }
}

/// Runs git in the prepared tree without changing it, and returns its output.
pub fn git(context: &Context, arguments: &[&str]) -> Result<String> {
    git_in(&context.tree, arguments)
}

/// Runs git in a work tree, and returns its output.
pub fn git_in(tree: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .arg("--no-optional-locks")
        .arg("-C")
        .arg(tree)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The options whose lines in a tree's Kconfig files match a pattern, as a configuration has them.
pub fn kconfig_options(tree: &Path, pattern: &str) -> Result<BTreeSet<String>> {
    let lines = git_in(tree, &["grep", "-hE", pattern, "--", "*Kconfig*"])?;
    let names = lines.lines().filter_map(|line| line.split_whitespace().nth(1));
    Ok(names.map(|name| format!("CONFIG_{name}")).collect())
}

/// Checks the series out in a work tree of the prepared tree's repository, without anything else.
fn series_tree(context: &Context, tree: &Path) -> Result<()> {
    let series = git(context, &["rev-parse", "HEAD"])?;
    work_tree(context, tree, series.trim())
}

/// Checks `commit` out in a work tree of the prepared tree's repository. Git writes only the files that
/// differ, so the next build is short.
pub fn work_tree(context: &Context, tree: &Path, commit: &str) -> Result<()> {
    if tree.join("Kconfig").exists() {
        git_in(tree, &["checkout", "--quiet", "--force", "--detach", commit])?;
    } else {
        git(context, &["worktree", "prune"])?;
        let path = tree.to_string_lossy();
        git(context, &["worktree", "add", "--quiet", "--detach", &path, commit])?;
    }
    Ok(())
}

/// Makes the trees that kernels with KCSAN and mutants are built from, as they are without a mutant.
pub fn prepare(context: &Context, tree: Tree) -> Result<()> {
    match tree {
        // `make tree` has made them, and each commit is checked out by itself.
        Tree::Stock | Tree::Series | Tree::Bisect => Ok(()),
        Tree::Mutant => series_tree(context, &context.tree_of(tree)),
        Tree::Kcsan => {
            let path = context.tree_of(tree);
            series_tree(context, &path)?;
            let patch = context.top.join("harness/configs/kcsan-for-rust.patch");
            git_in(&path, &["apply", &patch.to_string_lossy()]).map(drop)
        }
    }
}
