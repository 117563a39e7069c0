// SPDX-License-Identifier: GPL-2.0

//! Builds the kernel's selftests for the guest, outside of the tree.

use super::build::plain_make;
use crate::{context::Context, session::Step};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A build of selftests: the suffix of its directory, and targets and options of make.
struct Build {
    suffix: &'static str,
    targets: &'static str,
    options: &'static [&'static str],
    /// A header under harness/guest that is included first.
    header: &'static str,
}

/// The builds. selftests/vDSO has no rules for other ABIs. The guest has no libraries for them. The
/// tests of namespaces and ntsync need more than kselftest's timeout on a busy host.
const BUILDS: [Build; 4] = [
    Build {
        suffix: "",
        targets: "timens clone3 pidfd vDSO proc timers",
        options: &["X32=1"],
        header: "posix_types.h",
    },
    Build {
        suffix: "_long",
        targets: "namespaces drivers/ntsync",
        options: &[],
        header: "selftest_timeout.h",
    },
    Build {
        suffix: "_32",
        targets: "vDSO",
        options: &["CC=gcc -m32", "USERLDFLAGS=-static"],
        header: "posix_types.h",
    },
    Build {
        suffix: "_x32",
        targets: "vDSO",
        options: &["CC=gcc -mx32", "USERLDFLAGS=-static"],
        header: "posix_types.h",
    },
];

/// The directory of `make install` in a build of selftests.
pub const INSTALLED: &str = "kselftest/kselftest_install";

impl Context {
    fn selftests_dir(&self, suffix: &str) -> PathBuf {
        self.out.join(format!("build/selftests{suffix}"))
    }

    /// Returns the path of a selftest, which may not be built. A path that begins with `vDSO_32/`
    /// or `vDSO_x32/` is for another ABI.
    pub fn selftest(&self, path: &str) -> PathBuf {
        let (dir, name) = path.split_once('/').unwrap_or((path, ""));
        let (suffix, path) = match dir {
            "namespaces" | "drivers" => ("_long", path.to_owned()),
            dir => match dir.strip_prefix("vDSO") {
                Some(suffix) => (suffix, format!("vDSO/{name}")),
                None => ("", path.to_owned()),
            },
        };
        self.selftests_dir(suffix).join(INSTALLED).join(path)
    }
}

/// Builds and installs all selftests that guests run.
pub fn build(context: &Context, step: &Step) -> Result<()> {
    let variables = context.toolchain.make_variables()?;
    BUILDS.iter().try_for_each(|build| {
        let header = context.top.join("harness/guest").join(build.header);
        let own = [
            format!("TARGETS={}", build.targets),
            format!("USERCFLAGS=-include {}", header.display()),
        ];
        let options: Vec<_> =
            own.iter().map(String::as_str).chain(build.options.iter().copied()).collect();
        let dir = context.selftests_dir(build.suffix);
        build_in(context, step, &context.tree, &dir, &variables, &options)
    })
}

/// Builds and installs a tree's selftests in a directory. `variables` are for the kernel's make,
/// `options` for the selftests'.
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
    // Remove programs that are no longer built.
    let installed = dir.join(INSTALLED);
    if installed.exists() {
        fs::remove_dir_all(&installed)
            .with_context(|| format!("cannot remove {}", installed.display()))?;
    }
    let mut make = plain_make(context, &tree.join("tools/testing/selftests"), dir);
    make.args(options).args(["FORCE_TARGETS=1", "install"]);
    step.command(&mut make, "selftests").map(drop)
}
