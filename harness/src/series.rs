// SPDX-License-Identifier: GPL-2.0

//! The commits of the prepared tree: which files they change, and what of these is new.

use crate::Context;
use anyhow::{bail, Result};
use std::{collections::BTreeSet, path::Path, process::Command};

pub struct Series {
    pub base: String,
    /// What the commits change or add, in git's order.
    pub files: Vec<String>,
    /// What of that is new.
    pub added: Vec<String>,
}

impl Series {
    pub fn read(context: &Context) -> Result<Self> {
        let root = git(context, &["rev-list", "--max-parents=0", "HEAD"])?;
        let base = root.trim().to_owned();
        let changed = |filter| -> Result<Vec<String>> {
            let names = ["diff", "--name-only", "--no-renames", filter, &base, "HEAD"];
            Ok(git(context, &names)?.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            files: changed("--diff-filter=d")?,
            added: changed("--diff-filter=A")?,
            base,
        })
    }

    /// The files whose names end in one of these.
    pub fn ending<'a>(&'a self, ends: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let files = self.files.iter().map(String::as_str);
        files.filter(|file| ends.iter().any(|end| file.ends_with(end)))
    }
}

/// Runs git in the prepared tree, which it leaves as it is, and gives its output.
pub fn git(context: &Context, arguments: &[&str]) -> Result<String> {
    git_in(&context.tree, arguments)
}

/// Runs git in a work tree, and gives its output.
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
    let names = lines
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    Ok(names.map(|name| format!("CONFIG_{name}")).collect())
}

/// Has a work tree of the prepared tree's repository with the series in it, and nothing else.
pub fn series_tree(context: &Context, tree: &Path) -> Result<()> {
    let series = git(context, &["rev-parse", "HEAD"])?;
    work_tree(context, tree, series.trim())
}

/// Has a work tree of the prepared tree's repository with `commit` in it. Git writes only the files
/// that differ, so that a build after it stays short.
pub fn work_tree(context: &Context, tree: &Path, commit: &str) -> Result<()> {
    if tree.join("Kconfig").exists() {
        git_in(
            tree,
            &["checkout", "--quiet", "--force", "--detach", commit],
        )?;
    } else {
        git(context, &["worktree", "prune"])?;
        let path = tree.to_string_lossy();
        git(
            context,
            &["worktree", "add", "--quiet", "--detach", &path, commit],
        )?;
    }
    Ok(())
}
