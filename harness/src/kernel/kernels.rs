// SPDX-License-Identifier: GPL-2.0

//! The table of kernels. A row has the source tree, the implementation of time namespaces, the vDSO
//! layout, and more configuration fragments and arguments of the command line.

use crate::context::Context;
use std::path::PathBuf;

/// A source tree of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// Linux without the series.
    Stock,
    /// Linux with the series.
    Series,
    /// The series and the patch that makes KCSAN instrument Rust.
    Kcsan,
    /// The series and one mutant.
    Mutant,
    /// The series up to one of its commits.
    Bisect,
}

/// The implementation of time namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeNs {
    C,
    Rust,
}

/// The vDSO layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vdso {
    /// Unmodified Linux: the offsets are in a page that replaces the data page.
    Stock,
    /// The offsets are in a page next to the data page.
    OffsetPage,
}

/// The content of a guest's initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initramfs {
    /// busybox, tools of util-linux, and the selftests.
    Selftests,
    /// A root of Debian packages, with container runtimes and CRIU.
    Clients,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The name, as on the command line, of the build directory and of logs.
    pub name: &'static str,
    pub tree: Tree,
    pub time_ns: TimeNs,
    pub vdso: Vdso,
    /// Fragments in harness/configs, beyond those of the fields above. A later one wins.
    pub extra: &'static [&'static str],
    pub variables: &'static [&'static str],
    /// Arguments of the kernel command line.
    pub arguments: &'static [&'static str],
    /// The kernel whose build this one is copied from, so that only the differences are compiled.
    pub parent: Option<&'static Kernel>,
    /// The factor of every time limit.
    pub timeout_factor: u32,
    pub initramfs: Initramfs,
    /// The suffix of its rows in a report.
    pub note: &'static str,
}

const CLIENTS: &[&str] = &["clients"];
const FAULTS: &[&str] = &["faults"];
const KASAN: &[&str] = &["sanitize", "kasan", "ubsan", "kmemleak", "faults"];
const KCSAN: &[&str] = &["sanitize", "kcsan"];

/// With five levels of page tables, KASAN reports valid addresses if an interrupt arrives while
/// identify_cpu() has cleared the CPU's features.
const NO_5LVL: &str = "no5lvl";

/// KCSAN samples four times the accesses of the default, and stalls each for up to a millisecond,
/// twelve times the default. A race occurs once a round and may take that long on an emulated CPU.
const KCSAN_ARGUMENTS: &[&str] = &["kcsan.skip_watch=1000", "kcsan.udelay_task=1000", NO_5LVL];

/// rustc counts the executions of each line in the crates that the series changes. The kernel has
/// no profiler runtime. The path is relative to the build directory.
const COVERAGE_VARIABLES: &[&str] = &[
    "RUSTFLAGS_kernel.o=-Cinstrument-coverage -Zno-profiler-runtime",
    "RUSTFLAGS_namespace_rs.o=-Cinstrument-coverage -Zno-profiler-runtime",
    "KBUILD_LDS=../../../harness/coverage/counters.lds",
];

/// The Rust kernel.
pub static RUST: Kernel = Kernel {
    name: "rust",
    tree: Tree::Series,
    time_ns: TimeNs::Rust,
    vdso: Vdso::OffsetPage,
    extra: &[],
    variables: &[],
    arguments: &[],
    parent: None,
    timeout_factor: 1,
    initramfs: Initramfs::Selftests,
    note: "",
};

/// The C kernel: Linux without the series.
pub static STOCK: Kernel =
    Kernel { name: "stock", tree: Tree::Stock, time_ns: TimeNs::C, vdso: Vdso::Stock, ..RUST };

/// The C implementation on the series, with the offset page.
pub static STOCK_OFFSET_PAGE: Kernel = Kernel {
    name: "stock-offset-page",
    time_ns: TimeNs::C,
    parent: Some(&RUST),
    note: ", other vDSO",
    ..RUST
};

/// The Rust implementation, with the vDSO of unmodified Linux.
pub static RUST_STOCK_VDSO: Kernel = Kernel {
    name: "rust-stock-vdso",
    vdso: Vdso::Stock,
    parent: Some(&RUST),
    note: ", other vDSO",
    ..RUST
};

pub static RUST_BENCH: Kernel =
    Kernel { name: "rust-bench", extra: &["bench"], parent: Some(&RUST), ..RUST };

pub static STOCK_BENCH: Kernel =
    Kernel { name: "stock-bench", extra: &["bench"], parent: Some(&STOCK), ..STOCK };

/// Counts the executions of each line of Rust.
pub static RUST_COVERAGE: Kernel = Kernel {
    name: "rust-coverage",
    extra: &["coverage"],
    variables: COVERAGE_VARIABLES,
    parent: Some(&RUST),
    ..RUST
};

pub static RUST_STOCK_VDSO_COVERAGE: Kernel = Kernel {
    name: "rust-stock-vdso-coverage",
    vdso: Vdso::Stock,
    parent: Some(&RUST_COVERAGE),
    ..RUST_COVERAGE
};

/// With fault injection and a count of objects.
pub static RUST_FAULTS: Kernel =
    Kernel { name: "rust-faults", extra: FAULTS, parent: Some(&RUST), ..RUST };

pub static STOCK_FAULTS: Kernel =
    Kernel { name: "stock-faults", extra: FAULTS, parent: Some(&STOCK), ..STOCK };

/// KASAN, UBSAN, kmemleak, lockdep and the checks of RCU.
pub static RUST_KASAN: Kernel = Kernel {
    name: "rust-kasan",
    extra: KASAN,
    arguments: &[NO_5LVL],
    parent: Some(&RUST),
    timeout_factor: 10,
    note: ", KASAN",
    ..RUST
};

pub static RUST_STOCK_VDSO_KASAN: Kernel = Kernel {
    name: "rust-stock-vdso-kasan",
    vdso: Vdso::Stock,
    parent: Some(&RUST_KASAN),
    note: ", other vDSO, KASAN",
    ..RUST_KASAN
};

/// KCSAN, which cannot be combined with KASAN.
pub static RUST_KCSAN: Kernel = Kernel {
    name: "rust-kcsan",
    tree: Tree::Kcsan,
    extra: KCSAN,
    arguments: KCSAN_ARGUMENTS,
    timeout_factor: 10,
    note: ", KCSAN",
    ..RUST
};

/// The control: KCSAN must report the races of the C kernel.
pub static STOCK_KCSAN: Kernel = Kernel {
    name: "stock-kcsan",
    extra: KCSAN,
    arguments: KCSAN_ARGUMENTS,
    parent: Some(&STOCK),
    timeout_factor: 10,
    note: ", KCSAN",
    ..STOCK
};

/// With the options that container runtimes and CRIU need.
pub static RUST_CLIENTS: Kernel = Kernel {
    name: "rust-clients",
    extra: CLIENTS,
    initramfs: Initramfs::Clients,
    parent: Some(&RUST),
    ..RUST
};

pub static STOCK_CLIENTS: Kernel = Kernel {
    name: "stock-clients",
    extra: CLIENTS,
    initramfs: Initramfs::Clients,
    parent: Some(&STOCK),
    ..STOCK
};

pub static MUTANT: Kernel = Kernel { name: "mutant", tree: Tree::Mutant, extra: FAULTS, ..RUST };

/// The first report ends the guest.
pub static MUTANT_KASAN: Kernel = Kernel {
    name: "mutant-kasan",
    tree: Tree::Mutant,
    arguments: &[NO_5LVL, "kasan.fault=panic"],
    parent: Some(&MUTANT),
    ..RUST_KASAN
};

/// One commit of the series.
pub static RUST_BISECT: Kernel = Kernel { name: "rust-bisect", tree: Tree::Bisect, ..RUST };

/// Compiled by clippy, with the doctests as KUnit tests.
pub static RUST_LINT: Kernel = Kernel {
    name: "rust-lint",
    extra: &["doctests"],
    variables: &["CLIPPY=1"],
    parent: Some(&RUST),
    ..RUST
};

pub static ALL: [&Kernel; 20] = [
    &RUST,
    &STOCK,
    &STOCK_OFFSET_PAGE,
    &RUST_STOCK_VDSO,
    &RUST_BENCH,
    &STOCK_BENCH,
    &RUST_COVERAGE,
    &RUST_STOCK_VDSO_COVERAGE,
    &RUST_FAULTS,
    &STOCK_FAULTS,
    &RUST_KASAN,
    &RUST_STOCK_VDSO_KASAN,
    &RUST_KCSAN,
    &STOCK_KCSAN,
    &RUST_CLIENTS,
    &STOCK_CLIENTS,
    &MUTANT,
    &MUTANT_KASAN,
    &RUST_BISECT,
    &RUST_LINT,
];

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kernel {}

impl Kernel {
    /// Returns the kernel of a name, for the command line.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let kernel = ALL.into_iter().find(|kernel| kernel.name == name);
        kernel.ok_or_else(|| {
            let names = ALL.map(|kernel| kernel.name).join(", ");
            format!("no such kernel; the kernels are {names}")
        })
    }

    /// Returns the fragments of the configuration. A later one wins.
    pub fn fragments(&self) -> Vec<&'static str> {
        let time_ns = match self.time_ns {
            TimeNs::C => "stock",
            TimeNs::Rust => "rust",
        };
        let vdso = match self.vdso {
            Vdso::Stock => "stock-vdso",
            Vdso::OffsetPage => "offset-page",
        };
        [&["base", time_ns, vdso], self.extra].concat()
    }

    pub fn is_rust(&self) -> bool {
        self.time_ns == TimeNs::Rust
    }

    /// Whether this is unmodified Linux, the control.
    pub fn is_control(&self) -> bool {
        self.tree == Tree::Stock
    }

    /// Whether it has KASAN or KCSAN.
    pub fn has_sanitizers(&self) -> bool {
        self.extra.contains(&"sanitize")
    }

    pub fn has_kcsan(&self) -> bool {
        self.extra.contains(&"kcsan")
    }

    /// Returns the name of its implementation and vDSO in harness/guest/init.
    pub fn kind(&self) -> &'static str {
        kind(self.time_ns, self.vdso)
    }

    /// Returns its parents, the first one first, and itself.
    pub fn with_parents(&'static self) -> Vec<&'static Self> {
        let mut line = self.parent.map_or(vec![], Self::with_parents);
        line.push(self);
        line
    }
}

/// Returns the name of an implementation and a vDSO in harness/guest/init.
pub fn kind(time_ns: TimeNs, vdso: Vdso) -> &'static str {
    match (time_ns, vdso) {
        (TimeNs::C, Vdso::Stock) => "stock",
        (TimeNs::C, Vdso::OffsetPage) => "stock-offset-page",
        (TimeNs::Rust, Vdso::Stock) => "rust-stock-vdso",
        (TimeNs::Rust, Vdso::OffsetPage) => "rust",
    }
}

impl Context {
    /// Returns the path of a source tree, which may not exist yet.
    pub fn tree_of(&self, tree: Tree) -> PathBuf {
        match tree {
            Tree::Stock => self.stock_tree.clone(),
            Tree::Series => self.tree.clone(),
            Tree::Kcsan => self.out.join("kcsan/linux"),
            Tree::Mutant => self.out.join("mutants/linux"),
            Tree::Bisect => self.out.join("bisect/linux"),
        }
    }

    /// Returns the `O=` directory of a kernel. The tree is always `../../linux` from there, so that
    /// ccache shares objects between trees.
    pub fn build_dir(&self, kernel: &Kernel) -> PathBuf {
        let tree = self.tree_of(kernel.tree);
        tree.with_file_name("build").join(kernel.name)
    }

    /// Returns the path of the bootable image of a kernel.
    pub fn kernel_image(&self, kernel: &Kernel) -> PathBuf {
        self.build_dir(kernel).join("arch/x86/boot/bzImage")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_of_kernels_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|kernel| kernel.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(Kernel::named("stock"), Ok(&STOCK));
        assert!(Kernel::named("vax").is_err());
    }

    #[test]
    fn parents_have_the_same_tree() {
        for kernel in ALL {
            let parents = kernel.with_parents();
            assert_eq!(parents.last(), Some(&kernel));
            assert!(parents.iter().all(|parent| parent.tree == kernel.tree));
        }
    }

    #[test]
    fn rows_inherit() {
        assert_eq!(RUST_KASAN.fragments()[..3], ["base", "rust", "offset-page"]);
        let other_vdso = RUST_STOCK_VDSO_KASAN.fragments();
        assert!(other_vdso.contains(&"stock-vdso") && other_vdso.contains(&"kasan"));
        assert_eq!(RUST_STOCK_VDSO_KASAN.timeout_factor, 10);
        assert!(STOCK_KCSAN.is_control() && STOCK_KCSAN.has_kcsan());
    }
}
