// SPDX-License-Identifier: GPL-2.0

//! Builds the kernel's own selftests, for the host's C library, outside of the tree.

use super::{build::plain_make, kernels::Kernel};
use crate::{context::Context, session::Step};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The directories under tools/testing/selftests whose programs are run.
const TARGETS: &str = "timens clone3 pidfd namespaces drivers/ntsync";
/// Those whose tests take longer on a kernel with sanitizers than kselftest's timeout.
const LONG_TARGETS: &str = "namespaces drivers/ntsync";

/// The directory that the selftests' own `make install` fills.
pub const INSTALLED: &str = "kselftest/kselftest_install";

impl Context {
    fn selftests_dir(&self) -> PathBuf {
        self.out.join("build/selftests")
    }

    fn long_selftests_dir(&self) -> PathBuf {
        self.out.join("build/long-selftests")
    }

    /// The program of a selftest for one kernel, whether it has been built or not.
    pub fn selftest(&self, kernel: &Kernel, path: &str) -> PathBuf {
        let installed = |dir: PathBuf| dir.join(INSTALLED).join(path);
        let long = installed(self.long_selftests_dir());
        match kernel.has_sanitizers() && long.exists() {
            true => long,
            false => installed(self.selftests_dir()),
        }
    }
}

/// Builds and installs the selftests of the series.
pub fn build(context: &Context, step: &Step) -> Result<()> {
    let variables = context.toolchain.make_variables()?;
    let targets = format!("TARGETS={TARGETS}");
    let dir = context.selftests_dir();
    build_in(context, step, &context.tree, &dir, &variables, &[&targets, "X32=1"])
}

/// Builds and installs those of [`LONG_TARGETS`] with the timeout of harness/guest/selftest_timeout.h.
pub fn build_long(context: &Context, step: &Step) -> Result<()> {
    let variables = context.toolchain.make_variables()?;
    let header = context.top.join("harness/guest/selftest_timeout.h");
    let options = [
        &format!("TARGETS={LONG_TARGETS}")[..],
        &format!("USERCFLAGS=-include {}", header.display()),
    ];
    let dir = context.long_selftests_dir();
    build_in(context, step, &context.tree, &dir, &variables, &options)
}

/// Builds and installs a tree's selftests in a directory. `variables` are for the kernel's make, `options`
/// for the selftests'.
pub fn build_in(
    context: &Context,
    step: &Step,
    tree: &Path,
    dir: &Path,
    variables: &[String],
    options: &[&str],
) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut make = plain_make(context, tree, dir);
    step.command(make.args(variables).arg("headers"), "headers")?;
    // A program that is no longer built must not be found.
    let installed = dir.join(INSTALLED);
    if installed.exists() {
        fs::remove_dir_all(&installed)
            .with_context(|| format!("cannot remove {}", installed.display()))?;
    }
    let mut make = plain_make(context, &tree.join("tools/testing/selftests"), dir);
    make.args(options).args(["FORCE_TARGETS=1", "install"]);
    step.command(&mut make, "selftests").map(drop)
}
