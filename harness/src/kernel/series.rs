// SPDX-License-Identifier: GPL-2.0

//! The commits of the prepared tree, and work trees of them.

use super::{
    diff::{added_lines, Added},
    kernels::Tree,
};
use crate::context::Context;
use anyhow::{bail, Result};
use std::{collections::BTreeSet, path::Path, process::Command};

pub struct Series {
    pub base: String,
    /// The files that the commits change or add.
    pub files: Vec<String>,
    /// The new files among them.
    pub added: Vec<String>,
}

impl Series {
    /// Returns the lines that the series adds to the files that match `paths`.
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

    /// Returns the files with one of these endings.
    pub fn ending<'a>(&'a self, ends: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let files = self.files.iter().map(String::as_str);
        files.filter(|file| ends.iter().any(|end| file.ends_with(end)))
    }
}

/// Runs git in the prepared tree. Returns its output.
pub fn git(context: &Context, arguments: &[&str]) -> Result<String> {
    git_in(&context.tree, arguments)
}

/// Runs git in a work tree. Returns its output.
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

/// Returns the options, with CONFIG_, whose lines in a tree's Kconfig files match a pattern.
pub fn kconfig_options(tree: &Path, pattern: &str) -> Result<BTreeSet<String>> {
    let lines = git_in(tree, &["grep", "-hE", pattern, "--", "*Kconfig*"])?;
    let names = lines.lines().filter_map(|line| line.split_whitespace().nth(1));
    Ok(names.map(|name| format!("CONFIG_{name}")).collect())
}

fn series_tree(context: &Context, tree: &Path) -> Result<()> {
    let series = git(context, &["rev-parse", "HEAD"])?;
    work_tree(context, tree, series.trim())
}

/// Checks `commit` out in a work tree of the prepared tree. Git only writes the files that differ,
/// so the next build is short.
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

/// Prepares the source tree of KCSAN or of mutants, without a mutant.
pub fn prepare(context: &Context, tree: Tree) -> Result<()> {
    match tree {
        // `make tree` and `bisect` prepare these.
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
