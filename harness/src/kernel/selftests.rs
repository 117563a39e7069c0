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
const TARGETS: &str = "timens clone3 pidfd namespaces drivers/ntsync vDSO proc timers";
/// Other ABIs for which the programs of selftests/vDSO are built: the option of gcc, and the suffix of the
/// directory.
const OTHER_ABIS: [(&str, &str); 2] = [("-m32", "_32"), ("-mx32", "_x32")];
/// Those whose tests take longer on a kernel with sanitizers than kselftest's timeout.
const LONG_TARGETS: &str = "namespaces drivers/ntsync";

/// The directory that the selftests' own `make install` fills.
pub const INSTALLED: &str = "kselftest/kselftest_install";

impl Context {
    fn selftests_dir(&self) -> PathBuf {
        self.out.join("build/selftests")
    }

    fn vdso_selftests_dir(&self, suffix: &str) -> PathBuf {
        self.out.join(format!("build/vdso-selftests{suffix}"))
    }

    fn long_selftests_dir(&self) -> PathBuf {
        self.out.join("build/long-selftests")
    }

    /// The program of a selftest for one kernel, whether it has been built or not.
    pub fn selftest(&self, kernel: &Kernel, path: &str) -> PathBuf {
        for (_, suffix) in OTHER_ABIS {
            if let Some(name) = path.strip_prefix(&format!("vDSO{suffix}/")) {
                return self.vdso_selftests_dir(suffix).join(INSTALLED).join("vDSO").join(name);
            }
        }
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
    let header = context.top.join("harness/guest/posix-types.h");
    let flags = format!("USERCFLAGS=-include {}", header.display());
    let targets = format!("TARGETS={TARGETS}");
    let build = |dir: &Path, options: &[&str]| {
        build_in(context, step, &context.tree, dir, &variables, options)
    };
    build(&context.selftests_dir(), &[&targets, &flags, "X32=1"])?;
    for (abi, suffix) in OTHER_ABIS {
        let compiler = format!("CC=gcc {abi}");
        // The guest has no libraries for them.
        let options = ["TARGETS=vDSO", &compiler, &flags, "USERLDFLAGS=-static"];
        build(&context.vdso_selftests_dir(suffix), &options)?;
    }
    Ok(())
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
