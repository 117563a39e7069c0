// SPDX-License-Identifier: GPL-2.0

//! Configures and builds the kernels, and the kernel's own selftests.

use crate::{
    steps::{Step, Steps},
    Context,
};
use anyhow::{bail, Context as _, Result};
use clap::ValueEnum;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// About how many lines a build from nothing prints; only the length of the bar depends on it.
const COLD_BUILD_LINES: u64 = 2100;

/// The directories under tools/testing/selftests whose programs are run.
const SELFTEST_TARGETS: &str = "timens clone3 pidfd namespaces drivers/ntsync";
/// Those of them with tests that take longer than kselftest lets them, where the kernel watches itself.
const PATIENT_SELFTEST_TARGETS: &str = "namespaces drivers/ntsync";

/// Where the selftests' own `make install` puts them.
pub const INSTALLED_SELFTESTS: &str = "kselftest/kselftest_install";

/// Variables of a surrounding make that would leak into the kernel's.
const FOREIGN_VARIABLES: [&str; 12] = [
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

/// Whose time namespaces a kernel has, and which vDSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// The kernel's own, in C, of Linux without the series.
    Stock,
    /// Ours, with the offset page.
    Rust,
    /// Those in C, with the offset page.
    StockOffsetPage,
    /// Ours, with the vDSO as it was.
    RustStockVdso,
    /// The kernel's own, to be measured.
    StockBench,
    /// Ours, to be measured.
    RustBench,
    /// Ours, for the size of its objects when helpers in C are not inlined.
    RustBenchCalls,
    /// Ours, which counts how often each line of Rust is executed.
    RustCoverage,
    /// The same with the vDSO as it was, which takes other ways.
    RustStockVdsoCoverage,
    /// Ours, with all tools that can be had in one kernel: KASAN, UBSAN, kmemleak, the checks of
    /// locks and RCU, and faults.
    RustKasan,
    /// The same with the vDSO as it was.
    RustStockVdsoKasan,
    /// Ours, where allocations can be made to fail, and objects be counted.
    RustFaults,
    /// The kernel's own, with the same.
    StockFaults,
    /// Ours, with KCSAN, which excludes KASAN, and which sees Rust by a patch of the harness's.
    RustKcsan,
    /// The kernel's own, with KCSAN.
    StockKcsan,
    /// The kernel's own, with what container runtimes and CRIU need.
    StockClients,
    /// Ours, with the same.
    RustClients,
    /// Ours, with a fault.
    RustPlanted,
    /// The same, with all that the kernel with KASAN has.
    RustPlantedKasan,
    /// Ours as far as the series has come with one of its commits.
    RustBisect,
    /// Ours as clippy compiles it, with the examples of the documentation as tests.
    RustLint,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Rust => "rust",
            Self::StockOffsetPage => "stock-offset-page",
            Self::RustStockVdso => "rust-stock-vdso",
            Self::StockBench => "stock-bench",
            Self::RustBench => "rust-bench",
            Self::RustBenchCalls => "rust-bench-calls",
            Self::RustKasan => "rust-kasan",
            Self::RustStockVdsoKasan => "rust-stock-vdso-kasan",
            Self::RustFaults => "rust-faults",
            Self::StockFaults => "stock-faults",
            Self::RustCoverage => "rust-coverage",
            Self::RustStockVdsoCoverage => "rust-stock-vdso-coverage",
            Self::RustKcsan => "rust-kcsan",
            Self::StockKcsan => "stock-kcsan",
            Self::StockClients => "stock-clients",
            Self::RustClients => "rust-clients",
            Self::RustPlanted => "rust-planted",
            Self::RustPlantedKasan => "rust-planted-kasan",
            Self::RustBisect => "rust-bisect",
            Self::RustLint => "rust-lint",
        }
    }

    /// The fragments under harness/configs that make up the configuration; a later one wins.
    fn fragments(self) -> &'static [&'static str] {
        match self {
            Self::Stock => &["base", "stock", "stock-vdso"],
            Self::Rust => &["base", "rust", "offset-page"],
            Self::StockOffsetPage => &["base", "stock", "offset-page"],
            Self::RustStockVdso => &["base", "rust", "stock-vdso"],
            Self::StockBench => &["base", "stock", "stock-vdso", "bench"],
            Self::RustBench => &["base", "rust", "offset-page", "bench"],
            Self::RustBenchCalls => &["base", "rust", "offset-page", "bench", "no-inline-helpers"],
            Self::RustCoverage => &["base", "rust", "offset-page", "coverage"],
            Self::RustStockVdsoCoverage => &["base", "rust", "stock-vdso", "coverage"],
            Self::RustKasan | Self::RustPlantedKasan => &[
                "base",
                "rust",
                "offset-page",
                "sanitize",
                "kasan",
                "ubsan",
                "kmemleak",
                "faults",
            ],
            Self::RustStockVdsoKasan => &[
                "base",
                "rust",
                "stock-vdso",
                "sanitize",
                "kasan",
                "ubsan",
                "kmemleak",
                "faults",
            ],
            Self::RustKcsan => &["base", "rust", "offset-page", "sanitize", "kcsan"],
            Self::StockKcsan => &["base", "stock", "stock-vdso", "sanitize", "kcsan"],
            Self::StockClients => &["base", "stock", "stock-vdso", "clients"],
            Self::RustClients => &["base", "rust", "offset-page", "clients"],
            Self::RustFaults | Self::RustPlanted => &["base", "rust", "offset-page", "faults"],
            Self::StockFaults => &["base", "stock", "stock-vdso", "faults"],
            Self::RustBisect => &["base", "rust", "offset-page"],
            Self::RustLint => &["base", "rust", "offset-page", "doctests"],
        }
    }

    /// The kernel that is tested instead of one that is measured, that watches itself, or that has
    /// more options.
    pub fn tested(self) -> Self {
        match self {
            Self::StockBench | Self::StockFaults | Self::StockKcsan | Self::StockClients => {
                Self::Stock
            }
            Self::RustBench
            | Self::RustBenchCalls
            | Self::RustKasan
            | Self::RustFaults
            | Self::RustCoverage
            | Self::RustKcsan
            | Self::RustClients
            | Self::RustPlanted
            | Self::RustPlantedKasan
            | Self::RustBisect
            | Self::RustLint => Self::Rust,
            Self::RustStockVdsoCoverage | Self::RustStockVdsoKasan => Self::RustStockVdso,
            tested => tested,
        }
    }

    pub fn is_ours(self) -> bool {
        self.fragments().contains(&"rust")
    }

    /// How many times as long as the others this kernel may take for anything.
    pub fn patience(self) -> u32 {
        match self.watches_itself() {
            true => 10,
            false => 1,
        }
    }

    /// Whether it has KASAN, KCSAN or the like.
    pub fn watches_itself(self) -> bool {
        self.fragments().contains(&"sanitize")
    }

    /// What else the kernel's make is told.
    fn variables(self) -> &'static [&'static str] {
        match self {
            // The crates that the series adds to; the kernel has no runtime of LLVM's.
            Self::RustCoverage | Self::RustStockVdsoCoverage => &[
                "RUSTFLAGS_kernel.o=-Cinstrument-coverage -Zno-profiler-runtime",
                "RUSTFLAGS_namespace_rs.o=-Cinstrument-coverage -Zno-profiler-runtime",
                // As seen from the build.
                "KBUILD_LDS=../../../harness/coverage/counters.lds",
            ],
            Self::RustLint => &["CLIPPY=1"],
            _ => &[],
        }
    }

    /// Whose build this one may start as a copy of.
    fn sibling(self) -> Option<Self> {
        match self {
            // The last three have trees of their own.
            Self::Rust | Self::Stock | Self::RustKcsan | Self::RustPlanted | Self::RustBisect => {
                None
            }
            Self::StockOffsetPage
            | Self::RustStockVdso
            | Self::RustBench
            | Self::RustCoverage
            | Self::RustKasan
            | Self::RustFaults
            | Self::RustClients
            | Self::RustLint => Some(Self::Rust),
            Self::RustStockVdsoCoverage => Some(Self::RustCoverage),
            Self::RustStockVdsoKasan => Some(Self::RustKasan),
            Self::RustBenchCalls => Some(Self::RustBench),
            Self::RustPlantedKasan => Some(Self::RustPlanted),
            Self::StockBench | Self::StockFaults | Self::StockKcsan | Self::StockClients => {
                Some(Self::Stock)
            }
        }
    }
}

impl Context {
    /// The `O=` directory of a kernel: from all of them the tree is `../../linux`, so that ccache
    /// finds for one tree what it has compiled for another.
    pub fn build_dir(&self, kind: Kind) -> PathBuf {
        let tree = self.source(kind);
        tree.with_file_name("build").join(kind.name())
    }

    /// What a kernel is built of: Linux as it is, or with the series.
    pub fn source(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Stock
            | Kind::StockBench
            | Kind::StockFaults
            | Kind::StockKcsan
            | Kind::StockClients => self.stock_tree.clone(),
            Kind::RustKcsan => self.kcsan_tree(),
            Kind::RustPlanted | Kind::RustPlantedKasan => self.planted_tree(),
            Kind::RustBisect => self.bisect_tree(),
            _ => self.tree.clone(),
        }
    }

    pub fn kernel(&self, kind: Kind) -> PathBuf {
        self.build_dir(kind).join("arch/x86/boot/bzImage")
    }

    fn selftests_dir(&self) -> PathBuf {
        self.out.join("build/selftests")
    }

    fn patient_selftests_dir(&self) -> PathBuf {
        self.out.join("build/patient-selftests")
    }

    /// A selftest, as it is for one kernel: whether it has been built is another matter.
    pub fn selftest(&self, kind: Kind, path: &str) -> PathBuf {
        let installed = |dir: PathBuf| dir.join(INSTALLED_SELFTESTS).join(path);
        let patient = installed(self.patient_selftests_dir());
        match kind.watches_itself() && patient.exists() {
            true => patient,
            false => installed(self.selftests_dir()),
        }
    }
}

/// One build: of what it is made, where, and what its configuration has.
pub struct Plan {
    /// What it is called in the names of logs.
    pub name: String,
    pub source: PathBuf,
    /// The `O=` directory.
    pub dir: PathBuf,
    /// What make is told whatever it does.
    pub variables: Vec<String>,
    /// What else it is told when it builds.
    pub build_variables: Vec<String>,
    /// What the configuration must have beyond tinyconfig; a later line wins.
    pub fragments: String,
    /// What it is to have where its dependencies let it.
    pub wishes: String,
    /// Another build that this one may start as a copy of: Kbuild then rebuilds only what the
    /// options change.
    pub sibling: Option<PathBuf>,
}

impl Plan {
    /// How a kernel is built.
    pub fn of(context: &Context, kind: Kind) -> Result<Self> {
        let variables = kind.variables().iter();
        Ok(Self {
            name: kind.name().to_owned(),
            source: context.source(kind),
            dir: context.build_dir(kind),
            variables: context.toolchain.make_variables()?,
            build_variables: variables.map(|&variable| variable.to_owned()).collect(),
            fragments: inlined_helpers(context).to_owned() + &fragments(context, kind.fragments())?,
            wishes: String::new(),
            sibling: kind.sibling().map(|kind| context.build_dir(kind)),
        })
    }

    /// The text of the configuration that was made.
    pub fn config(&self) -> Result<String> {
        let config = self.dir.join(".config");
        fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))
    }

    /// `make`, with the toolchain on its command line.
    fn make(&self, context: &Context) -> Command {
        let mut make = plain_make(context, &self.source, &self.dir);
        make.args(&self.variables);
        make
    }
}

/// Has helpers in C inlined into Rust, where that can be.
pub fn inlined_helpers(context: &Context) -> &'static str {
    match context.toolchain.same_llvm() {
        true => "CONFIG_RUST_INLINE_HELPERS=y\n",
        false => "",
    }
}

/// The text of fragments under harness/configs.
pub fn fragments(context: &Context, names: &[&str]) -> Result<String> {
    let mut text = String::new();
    for name in names {
        let path = context.top.join(format!("harness/configs/{name}.config"));
        text += &fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text)
}

/// The number of steps of [`build`].
pub const BUILD_STEPS: usize = 2;

/// What a whole kernel is.
pub const KERNEL: [&str; 2] = ["bzImage", "modules"];

/// Configures and builds one kernel.
pub fn build(context: &Context, steps: &mut Steps, kind: Kind) -> Result<()> {
    build_plan(context, steps, &Plan::of(context, kind)?, &KERNEL).map(drop)
}

/// The directory of the objects that only one of the implementations has.
const OBJECTS: &str = "kernel/time/";

/// Configures one kernel and builds no more than the objects in [`OBJECTS`].
pub fn build_objects(context: &Context, steps: &mut Steps, kind: Kind) -> Result<()> {
    build_plan(context, steps, &Plan::of(context, kind)?, &[OBJECTS]).map(drop)
}

/// Configures and builds some targets, and gives the log of the build.
pub fn build_plan(
    context: &Context,
    steps: &mut Steps,
    plan: &Plan,
    targets: &[&str],
) -> Result<PathBuf> {
    let name = &plan.name;
    steps.run(&format!("configure the {name} kernel"), |step| {
        copy_sibling(step, plan)?;
        configure(context, step, plan)
    })?;
    steps.run(&format!("build the {name} kernel"), |step| {
        if !plan.dir.join("vmlinux").exists() {
            step.expect(COLD_BUILD_LINES);
        }
        let mut make = plan.make(context);
        make.args(&plan.build_variables).args(targets);
        step.command(&mut make, &format!("build-{name}"))
    })
}

/// Begins a kernel's first build as a copy of its sibling's, if there is one.
fn copy_sibling(step: &Step, plan: &Plan) -> Result<()> {
    let dir = &plan.dir;
    let Some(sibling) = &plan.sibling else {
        return Ok(());
    };
    if dir.exists() || !sibling.join("vmlinux").exists() {
        return Ok(());
    }
    // Copied under another name, so that an interrupted copy is never taken for a whole one.
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"])
        .arg(sibling)
        .arg(&partial);
    step.command(&mut copy, "copy-build")?;
    fs::rename(&partial, dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// Merges the fragments into `.config`, unless it was made from the same ones already and still has
/// what they ask for.
fn configure(context: &Context, step: &Step, plan: &Plan) -> Result<()> {
    let (dir, name) = (&plan.dir, &plan.name);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // What must be there comes last.
    let asked = plan.wishes.clone() + &plan.fragments;
    let config = dir.join(".config");
    let merged = dir.with_extension("config");
    let current = fs::read_to_string(&config).unwrap_or_default();
    if fs::read_to_string(&merged).ok().as_ref() != Some(&asked)
        || !not_taken(&plan.fragments, &current).is_empty()
    {
        let log = |what| format!("{what}-{name}");
        step.command(plan.make(context).arg("tinyconfig"), &log("tinyconfig"))?;
        let fresh = merged.with_extension("new");
        fs::write(&fresh, &asked).with_context(|| format!("cannot write {}", fresh.display()))?;
        let mut merge = Command::new(plan.source.join("scripts/kconfig/merge_config.sh"));
        merge
            .current_dir(dir)
            .args(["-m", "-O"])
            .arg(dir)
            .arg(&config)
            .arg(&fresh);
        step.command(&mut merge, &log("merge-config"))?;
        step.command(plan.make(context).arg("olddefconfig"), &log("olddefconfig"))?;
        fs::rename(&fresh, &merged)
            .with_context(|| format!("cannot write {}", merged.display()))?;
    }
    let missing = not_taken(&plan.fragments, &plan.config()?);
    if missing.iter().any(|line| line == "CONFIG_RUST=y") {
        // Says what is wrong with the toolchain.
        step.command(plan.make(context).arg("rustavailable"), "rustavailable")?;
    }
    if !missing.is_empty() {
        bail!(
            "the {name} kernel's configuration did not take {}: see its dependencies in Kconfig",
            missing.join(", ")
        );
    }
    Ok(())
}

/// The requested lines that a `.config` does not have. The last request for an option counts.
pub fn not_taken(requested: &str, config: &str) -> Vec<String> {
    let wanted: BTreeMap<_, _> = requested.lines().filter_map(setting).collect();
    let have: BTreeMap<_, _> = config.lines().filter_map(setting).collect();
    wanted
        .iter()
        .filter(|(option, value)| have.get(*option).unwrap_or(&"n") != *value)
        .map(|(option, value)| format!("{option}={value}"))
        .collect()
}

/// The option and the value of a line of a configuration.
pub fn setting(line: &str) -> Option<(&str, &str)> {
    match line
        .strip_prefix("# ")
        .and_then(|l| l.strip_suffix(" is not set"))
    {
        Some(option) => Some((option, "n")),
        None => line.split_once('=').filter(|_| line.starts_with("CONFIG_")),
    }
}

/// The seconds that it takes to compile `objects`, without what `make` takes when nothing is to do.
pub fn compile_seconds(
    context: &Context,
    step: &Step,
    kind: Kind,
    objects: &[PathBuf],
) -> Result<f64> {
    let make = || -> Result<f64> {
        let mut make = Plan::of(context, kind)?.make(context);
        make.env("CCACHE_DISABLE", "1").arg(OBJECTS);
        let started = Instant::now();
        step.command(&mut make, &format!("compile-{}", kind.name()))?;
        Ok(started.elapsed().as_secs_f64())
    };
    make()?;
    let nothing = make()?;
    for object in objects {
        fs::remove_file(object).with_context(|| format!("cannot remove {}", object.display()))?;
    }
    Ok(make()? - nothing)
}

/// Builds and installs the selftests outside the tree, for the host's C library.
pub fn selftests(context: &Context, step: &Step) -> Result<()> {
    let variables = context.toolchain.make_variables()?;
    let targets = format!("TARGETS={SELFTEST_TARGETS}");
    let options = [&targets, "X32=1"];
    selftests_in(
        context,
        step,
        &context.tree,
        &context.selftests_dir(),
        &variables,
        &options,
    )
}

/// Builds and installs those of [`PATIENT_SELFTEST_TARGETS`], which then have the time that
/// harness/guest/patient.h gives them.
pub fn patient_selftests(context: &Context, step: &Step) -> Result<()> {
    let variables = context.toolchain.make_variables()?;
    let header = context.top.join("harness/guest/patient.h");
    let options = [
        &format!("TARGETS={PATIENT_SELFTEST_TARGETS}")[..],
        &format!("USERCFLAGS=-include {}", header.display()),
    ];
    let dir = context.patient_selftests_dir();
    selftests_in(context, step, &context.tree, &dir, &variables, &options)
}

/// Builds and installs a tree's selftests in a directory. The kernel's make and the selftests' are told
/// different things.
pub fn selftests_in(
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
    let installed = dir.join(INSTALLED_SELFTESTS);
    if installed.exists() {
        fs::remove_dir_all(&installed)
            .with_context(|| format!("cannot remove {}", installed.display()))?;
    }
    let mut make = plain_make(context, &tree.join("tools/testing/selftests"), dir);
    make.args(options).args(["FORCE_TARGETS=1", "install"]);
    step.command(&mut make, "selftests").map(drop)
}

/// `make` in the directory of a kernel that has been configured.
pub fn make(context: &Context, kind: Kind) -> Result<Command> {
    let plan = Plan::of(context, kind)?;
    let mut make = plan.make(context);
    make.args(&plan.build_variables);
    Ok(make)
}

fn plain_make(context: &Context, dir: &Path, build_dir: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(dir)
        .arg(format!("O={}", build_dir.display()));
    make.arg(format!("-j{}", context.jobs));
    for variable in FOREIGN_VARIABLES {
        make.env_remove(variable);
    }
    // The same sources give the same kernel, wherever and whenever it is built.
    make.env("KBUILD_BUILD_USER", "timens");
    make.env("KBUILD_BUILD_HOST", "timens");
    make.env("KBUILD_BUILD_VERSION", "1");
    make.env("KBUILD_BUILD_TIMESTAMP", "1970-01-01");
    // ccache calls each tree what it is from the build's directory; the messages of the kernel don't.
    make.env("CCACHE_BASEDIR", &context.out);
    make.env("CCACHE_NOHASHDIR", "1");
    make.env("KCPPFLAGS", "-fmacro-prefix-map=../../linux/=");
    // The tree has commits of its own; the version stays Linux's.
    make.env("LOCALVERSION", "");
    make
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requested_option_must_be_there() {
        let requested = "# a comment\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=y\n";
        let config = "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_D is not set\n";
        assert_eq!(not_taken(requested, config), ["CONFIG_B=m", "CONFIG_D=y"]);
    }

    #[test]
    fn a_later_fragment_wins() {
        let requested = "CONFIG_A=y\n# CONFIG_A is not set\n";
        assert!(not_taken(requested, "").is_empty());
        assert_eq!(not_taken(requested, "CONFIG_A=y\n"), ["CONFIG_A=n"]);
    }
}
