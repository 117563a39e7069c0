// SPDX-License-Identifier: GPL-2.0

//! Configures and builds kernels.

use super::kernels::Kernel;
use crate::{context::Context, session::Step};
use anyhow::{bail, Context as _, Result};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An estimate of the lines that a build from scratch prints, for the progress bar.
const COLD_BUILD_LINES: u64 = 2100;

/// Variables of the environment that would change the kernel's build.
const REMOVED_VARIABLES: [&str; 12] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKEOVERRIDES",
    "MAKELEVEL",
    "LLVM",
    "RUSTC",
    "BINDGEN",
    "CC",
    "KBUILD_OUTPUT",
    "ARCH",
    "CROSS_COMPILE",
    "LD_LIBRARY_PATH",
];

/// One build: its source, its directory and its configuration.
pub struct Build {
    /// The name, as in the names of logs.
    pub name: String,
    pub source: PathBuf,
    /// The `O=` directory.
    pub dir: PathBuf,
    /// Variables of every call of make.
    pub variables: Vec<String>,
    /// More variables of the calls of make that build.
    pub build_variables: Vec<String>,
    /// Lines that the configuration must have beyond tinyconfig. A later line wins.
    pub fragments: String,
    /// Lines that the configuration has if their dependencies are met.
    pub optional: String,
    /// The build that this one is copied from, so that Kbuild only rebuilds the differences.
    pub parent: Option<PathBuf>,
}

impl Build {
    /// Returns the build of a kernel in the table.
    pub fn of(context: &Context, kernel: &Kernel) -> Result<Self> {
        let variables = kernel.variables.iter();
        Ok(Self {
            name: kernel.name.to_owned(),
            source: context.tree_of(kernel.tree),
            dir: context.build_dir(kernel),
            variables: context.toolchain.make_variables()?,
            build_variables: variables.map(|&variable| variable.to_owned()).collect(),
            fragments: inlined_helpers(context).to_owned()
                + &fragments(context, &kernel.fragments())?,
            optional: String::new(),
            parent: kernel.parent.map(|parent| context.build_dir(parent)),
        })
    }

    pub fn config(&self) -> Result<String> {
        let config = self.dir.join(".config");
        fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))
    }

    /// Returns `make` with the toolchain on its command line.
    fn make(&self, context: &Context) -> Command {
        let mut make = plain_make(context, &self.source, &self.dir);
        make.args(&self.variables);
        make
    }
}

/// Returns the option that inlines C helpers into Rust, if the toolchain supports it.
pub fn inlined_helpers(context: &Context) -> &'static str {
    match context.toolchain.same_llvm() {
        true => "CONFIG_RUST_INLINE_HELPERS=y\n",
        false => "",
    }
}

pub fn fragments(context: &Context, names: &[&str]) -> Result<String> {
    let mut text = String::new();
    for name in names {
        let path = context.top.join(format!("harness/configs/{name}.config"));
        text += &fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text)
}

/// The targets of a kernel.
pub const KERNEL: [&str; 2] = ["bzImage", "modules"];

pub fn build(context: &Context, step: &Step, kernel: &Kernel) -> Result<()> {
    build_targets(context, step, &Build::of(context, kernel)?, &KERNEL).map(drop)
}

/// Configures and builds targets. Returns the path of the build's log.
pub fn build_targets(
    context: &Context,
    step: &Step,
    build: &Build,
    targets: &[&str],
) -> Result<PathBuf> {
    copy_parent(step, build)?;
    configure(context, step, build)?;
    if !build.dir.join("vmlinux").exists() {
        step.expect(COLD_BUILD_LINES);
    }
    let mut make = build.make(context);
    make.args(&build.build_variables).args(targets);
    step.command(&mut make, &format!("build-{}", build.name))
}

/// Copies the build of the parent, if this build does not exist.
fn copy_parent(step: &Step, build: &Build) -> Result<()> {
    let dir = &build.dir;
    let Some(parent) = &build.parent else {
        return Ok(());
    };
    if dir.exists() || !parent.join("vmlinux").exists() {
        return Ok(());
    }
    // Another name, so that an interrupted copy is not used.
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).arg(parent).arg(&partial);
    step.command(&mut copy, "copy-build")?;
    fs::rename(&partial, dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// Merges the fragments into `.config`, unless it was made from them and still has their options.
fn configure(context: &Context, step: &Step, build: &Build) -> Result<()> {
    let (dir, name) = (&build.dir, &build.name);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // A later line wins, so the required lines come last.
    let requested = build.optional.clone() + &build.fragments;
    let config = dir.join(".config");
    let merged = dir.with_extension("config");
    let current = fs::read_to_string(&config).unwrap_or_default();
    if fs::read_to_string(&merged).ok().as_ref() != Some(&requested)
        || !missing_options(&build.fragments, &current).is_empty()
    {
        let log = |what| format!("{what}-{name}");
        step.command(build.make(context).arg("tinyconfig"), &log("tinyconfig"))?;
        let fresh = merged.with_extension("new");
        fs::write(&fresh, &requested)
            .with_context(|| format!("cannot write {}", fresh.display()))?;
        let mut merge = Command::new(build.source.join("scripts/kconfig/merge_config.sh"));
        merge.current_dir(dir).args(["-m", "-O"]).arg(dir).arg(&config).arg(&fresh);
        step.command(&mut merge, &log("merge-config"))?;
        step.command(build.make(context).arg("olddefconfig"), &log("olddefconfig"))?;
        fs::rename(&fresh, &merged)
            .with_context(|| format!("cannot write {}", merged.display()))?;
    }
    let missing = missing_options(&build.fragments, &build.config()?);
    if missing.iter().any(|line| line == "CONFIG_RUST=y") {
        // Its error names the tool that is missing or too old.
        step.command(build.make(context).arg("rustavailable"), "rustavailable")?;
    }
    if !missing.is_empty() {
        bail!(
            "the configuration of the {name} kernel lacks {}: see the dependencies in Kconfig",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Returns the requested lines that a `.config` lacks. The last line for an option counts.
pub fn missing_options(requested: &str, config: &str) -> Vec<String> {
    let wanted: BTreeMap<_, _> = requested.lines().filter_map(setting).collect();
    let have: BTreeMap<_, _> = config.lines().filter_map(setting).collect();
    wanted
        .iter()
        .filter(|(option, value)| have.get(*option).unwrap_or(&"n") != *value)
        .map(|(option, value)| format!("{option}={value}"))
        .collect()
}

/// Parses a line of a configuration. Returns the option and its value.
pub fn setting(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
        Some(option) => Some((option, "n")),
        None => line.split_once('=').filter(|_| line.starts_with("CONFIG_")),
    }
}

pub fn make(context: &Context, kernel: &Kernel) -> Result<Command> {
    let build = Build::of(context, kernel)?;
    let mut make = build.make(context);
    make.args(&build.build_variables);
    Ok(make)
}

/// Returns `make` in a directory of a kernel tree, without [`REMOVED_VARIABLES`].
pub fn plain_make(context: &Context, dir: &Path, build_dir: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(dir).arg(format!("O={}", build_dir.display()));
    make.arg(format!("-j{}", context.parallel_jobs));
    for variable in REMOVED_VARIABLES {
        make.env_remove(variable);
    }
    // Builds are reproducible.
    make.env("KBUILD_BUILD_USER", "timens");
    make.env("KBUILD_BUILD_HOST", "timens");
    make.env("KBUILD_BUILD_VERSION", "1");
    make.env("KBUILD_BUILD_TIMESTAMP", "1970-01-01");
    // For ccache, the paths of all trees are the same, relative to the build directory.
    make.env("CCACHE_BASEDIR", &context.out);
    make.env("CCACHE_NOHASHDIR", "1");
    make.env("KCPPFLAGS", "-fmacro-prefix-map=../../linux/=");
    // No suffix for the commits of the series.
    make.env("LOCALVERSION", "");
    make
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_options_are_found() {
        let requested = "# a comment\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=y\n";
        let config = "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_D is not set\n";
        assert_eq!(missing_options(requested, config), ["CONFIG_B=m", "CONFIG_D=y"]);
    }

    #[test]
    fn a_later_fragment_wins() {
        let requested = "CONFIG_A=y\n# CONFIG_A is not set\n";
        assert!(missing_options(requested, "").is_empty());
        assert_eq!(missing_options(requested, "CONFIG_A=y\n"), ["CONFIG_A=n"]);
    }
}
