// SPDX-License-Identifier: GPL-2.0

//! The table of configurations, and their builds.

use crate::{
    context::Context,
    kernel::{
        build::{self, Build},
        series::kconfig_options,
    },
};
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

#[derive(Clone, Copy, PartialEq)]
pub enum Compiler {
    Clang,
    Gcc,
}

/// The targets of a row, and the tests that run on them.
#[derive(Clone, Copy, PartialEq)]
pub enum Work {
    /// The objects of the series, and those that include its headers.
    Objects,
    /// [`OBJECTS`] and others.
    AlsoObjects(&'static [&'static str]),
    /// [`OBJECTS`], and the clock reads of the vDSO image.
    Image,
    /// [`OBJECTS`], and the version of an exported symbol.
    Versions,
    /// User-mode Linux, which runs KUnit and the tests without a vDSO.
    Uml,
    /// A kernel for 64-bit ARM, which runs Linux's tests of time namespaces.
    Arm64,
}

pub struct Row {
    pub name: &'static str,
    /// The value of ARCH=.
    pub arch: &'static str,
    pub compiler: Compiler,
    pub fragments: &'static [&'static str],
    /// More lines of the configuration.
    pub lines: &'static str,
    /// Whether it has every other option for Rust whose dependencies are met.
    pub all_rust: bool,
    /// The build that this one is copied from.
    pub parent: Option<&'static str>,
    pub work: Work,
}

/// The Rust kernel for x86-64: the defaults of the rows.
const RUST: Row = Row {
    name: "rust",
    arch: "x86_64",
    compiler: Compiler::Clang,
    fragments: &["base", "rust", "offset-page"],
    lines: "",
    all_rust: false,
    parent: Some("rust"),
    work: Work::Objects,
};

pub static ROWS: [Row; 16] = [
    RUST,
    Row {
        name: "no-rust",
        fragments: &["base", "stock", "offset-page"],
        lines: "# CONFIG_RUST is not set\n",
        ..RUST
    },
    Row {
        name: "no-time-ns",
        fragments: &["base", "stock", "stock-vdso"],
        lines: "# CONFIG_TIME_NS is not set\n",
        ..RUST
    },
    Row { name: "c-offset-page", fragments: &["base", "stock", "offset-page"], ..RUST },
    Row { name: "c", fragments: &["base", "stock", "stock-vdso"], ..RUST },
    Row {
        name: "modversions",
        fragments: &["base", "rust", "offset-page", "modversions"],
        work: Work::Versions,
        ..RUST
    },
    Row {
        name: "rust-all",
        fragments: &["base", "rust", "offset-page", "rust-all"],
        all_rust: true,
        work: Work::AlsoObjects(&["samples/rust/", "drivers/block/rnull/", "drivers/android/"]),
        ..RUST
    },
    Row { name: "up", lines: "# CONFIG_SMP is not set\nCONFIG_NR_CPUS=1\n", ..RUST },
    // A vDSO with one clock source and no auxiliary clocks, compiled for size.
    Row {
        name: "small",
        lines: "# CONFIG_POSIX_AUX_CLOCKS is not set\n# CONFIG_HYPERVISOR_GUEST is not set\n\
                # CONFIG_PARAVIRT is not set\n# CONFIG_KVM_GUEST is not set\n\
                # CONFIG_HYPERV is not set\n# CONFIG_CC_OPTIMIZE_FOR_PERFORMANCE is not set\n\
                CONFIG_CC_OPTIMIZE_FOR_SIZE=y\n",
        ..RUST
    },
    Row { name: "gcc", compiler: Compiler::Gcc, work: Work::Image, ..RUST },
    Row {
        name: "i386",
        arch: "i386",
        fragments: &["portable", "stock", "offset-page"],
        lines: "CONFIG_SMP=y\n",
        parent: None,
        ..RUST
    },
    Row {
        name: "arm64",
        arch: "arm64",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso", "arm64"],
        parent: None,
        work: Work::Arm64,
        ..RUST
    },
    Row {
        name: "riscv64",
        arch: "riscv",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso"],
        lines: "CONFIG_64BIT=y\nCONFIG_SMP=y\n",
        parent: None,
        ..RUST
    },
    // A driver that uses offsets.
    Row {
        name: "panthor",
        lines: "CONFIG_COMPILE_TEST=y\n# CONFIG_WERROR is not set\nCONFIG_DRM=y\n\
                CONFIG_DRM_PANTHOR=y\n",
        work: Work::AlsoObjects(&["drivers/gpu/drm/panthor/panthor_drv.o"]),
        ..RUST
    },
    // Without TIME_NS_VDSO, which cannot be disabled on an architecture with a vDSO.
    Row {
        name: "uml",
        arch: "um",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso", "uml"],
        lines: "# CONFIG_TIME_NS_VDSO is not set\n",
        parent: None,
        work: Work::Uml,
        ..RUST
    },
    Row {
        name: "uml-c",
        arch: "um",
        fragments: &["portable", "stock", "stock-vdso", "uml"],
        lines: "# CONFIG_TIME_NS_VDSO is not set\n",
        parent: None,
        work: Work::Uml,
        ..RUST
    },
];

/// The objects of the series, and those that include its headers.
pub const OBJECTS: [&str; 16] = [
    "kernel/time/",
    "kernel/futex/",
    "kernel/nsproxy.o",
    "kernel/nscommon.o",
    "kernel/nstree.o",
    "kernel/sys.o",
    "lib/vdso/",
    "drivers/char/random.o",
    "fs/proc/",
    "fs/exec.o",
    "fs/nsfs.o",
    "fs/pidfs.o",
    "fs/timerfd.o",
    "init/main.o",
    "io_uring/timeout.o",
    "io_uring/wait.o",
];

/// The objects in rust/ that are always compiled again.
pub const RUST_OBJECTS: [&str; 2] = ["rust/kernel.o", "rust/helpers/helpers.o"];

/// A symbol that C exports and Rust implements, and the file with its version.
pub const VERSIONED: (&str, &str) =
    ("kernel/time/.namespace_init.o.cmd", "do_timens_ktime_to_host");

impl Row {
    pub fn build(&self, context: &Context) -> Result<Build> {
        let builds = context.out.join("build");
        let name = format!("matrix-{}", self.name);
        let mut fragments = build::fragments(context, self.fragments)? + self.lines;
        // The option needs LLVM and one of these architectures.
        if has_rust(&fragments)
            && self.compiler == Compiler::Clang
            && ["x86_64", "arm64"].contains(&self.arch)
        {
            fragments.insert_str(0, build::inlined_helpers(context));
        }
        Ok(Build {
            source: context.tree.clone(),
            dir: builds.join(&name),
            name,
            variables: self.variables(context)?,
            // `check` covers the comments.
            build_variables: ["W=1", "cmd_checkdoc="].map(str::to_owned).to_vec(),
            fragments,
            optional: match self.all_rust {
                true => all_rust_options(context)?,
                false => String::new(),
            },
            parent: self.parent.map(|name| builds.join(name)),
        })
    }

    fn variables(&self, context: &Context) -> Result<Vec<String>> {
        let tools = &context.toolchain;
        let arch = vec![format!("ARCH={}", self.arch)];
        let tools = match (self.compiler, self.arch) {
            (Compiler::Clang, "x86_64") => tools.make_variables()?,
            (Compiler::Clang, _) => [tools.clang_variables()?, tools.rust_variables()?].concat(),
            (Compiler::Gcc, _) => [tools.gcc_variables(), tools.rust_variables()?].concat(),
        };
        Ok([arch, tools].concat())
    }

    pub fn targets(&self, rust: bool) -> Vec<&'static str> {
        let whole = match self.work {
            Work::Uml => Some("linux"),
            Work::Arm64 => Some("Image"),
            Work::Objects | Work::AlsoObjects(_) | Work::Image | Work::Versions => None,
        };
        if let Some(whole) = whole {
            return vec![whole];
        }
        let mut targets = OBJECTS.to_vec();
        targets.extend(match self.arch {
            "x86_64" => {
                &["arch/x86/entry/vdso/", "arch/x86/kernel/tsc.o", "drivers/misc/ntsync.o"][..]
            }
            "i386" => &["arch/x86/entry/vdso/", "arch/x86/kernel/tsc.o"],
            "riscv" => &["arch/riscv/kernel/vdso/", "arch/riscv/kernel/vdso.o"],
            _ => &[],
        });
        if rust {
            targets.push("rust/");
        }
        if let Work::AlsoObjects(more) = self.work {
            targets.extend(more);
        }
        targets
    }
}

/// Whether a configuration has Rust. The last line counts.
pub fn has_rust(fragments: &str) -> bool {
    let mut settings = fragments.lines().rev().filter_map(build::setting);
    let last = settings.find(|(option, _)| *option == "CONFIG_RUST");
    last.is_some_and(|(_, value)| value == "y")
}

fn all_rust_options(context: &Context) -> Result<String> {
    let pattern = r"^\s*(menu)?config ([A-Z0-9]+_)*RUST(_[A-Z0-9]+)*$";
    let options = kconfig_options(&context.tree, pattern)?;
    Ok(options.iter().map(|option| format!("{option}=y\n")).collect())
}

/// Removes an object, or the objects in a directory.
pub fn remove_objects(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() || path.extension().is_some_and(|end| end == "o") {
                remove_objects(&path)?;
            }
        }
    } else if path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_is_built_if_it_is_configured() {
        assert!(has_rust("CONFIG_RUST=y\nCONFIG_RUST_X=n\n"));
        assert!(!has_rust("CONFIG_RUST=y\n# CONFIG_RUST is not set\n"));
        assert!(!has_rust(""));
        assert!(RUST.targets(true).contains(&"rust/"));
        assert!(!RUST.targets(false).contains(&"rust/"));
    }

    #[test]
    fn only_objects_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        for name in ["a.o", "a.c", "sub/b.o", "c.o"] {
            fs::write(path(name), "").unwrap();
        }
        remove_objects(&path("sub")).unwrap();
        remove_objects(&path("c.o")).unwrap();
        remove_objects(&path("none.o")).unwrap();
        let there = ["a.o", "a.c", "sub/b.o", "c.o"].map(|name| path(name).exists());
        assert_eq!(there, [true, true, false, false]);
    }
}
