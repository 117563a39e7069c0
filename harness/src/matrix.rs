// SPDX-License-Identifier: GPL-2.0

//! `matrix`: the series in other configurations, for other machines, and by another compiler.
//!
//! No warning at `W=1` may be about a file that the series adds or edits. What is warned of elsewhere
//! is counted: Linux has it without the series, unless a change to a header brought it, which the
//! compilers' notes then tell.

use crate::{
    bench::vdso as bench_vdso,
    guest, initramfs,
    kbuild::{self, Plan},
    ktap,
    programs::{List, NO_VDSO, STOCK},
    report::{Column, Outcome, Status},
    series::{kconfig_options, Series},
    steps::{Step, Steps},
    test::{kunit_results, vdso_images, Session},
    toolchain::find,
    warnings::warnings,
    Context,
};
use anyhow::{Context as _, Result};
use clap::Args;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

#[derive(Args)]
pub struct Options {
    /// These rows alone.
    rows: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Compiler {
    Clang,
    Gcc,
}

/// What is made of a row's sources.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    /// Our objects, and those that include what we change.
    Objects,
    /// These, and other directories.
    AlsoObjects(&'static [&'static str]),
    /// The same, and what the vDSO's image reads.
    Image,
    /// The same, and the versions of what they export.
    Versions,
    /// A kernel that is a program of this machine's, and runs KUnit, if it has it, and tests that
    /// need no vDSO.
    Uml,
    /// A kernel for 64-bit ARM, which runs the kernel's own tests of time namespaces.
    Arm64,
}

struct Row {
    name: &'static str,
    /// As the kernel's make calls it.
    arch: &'static str,
    compiler: Compiler,
    /// Fragments under harness/configs.
    fragments: &'static [&'static str],
    /// What the configuration has beyond them.
    lines: &'static str,
    /// Whether every other option for Rust is wanted.
    wishes: bool,
    /// The build that this one may start as a copy of.
    sibling: Option<&'static str>,
    work: Work,
}

/// Our kernel for x86-64, from which the rows differ.
const OURS: Row = Row {
    name: "rust",
    arch: "x86_64",
    compiler: Compiler::Clang,
    fragments: &["base", "rust", "offset-page"],
    lines: "",
    wishes: false,
    sibling: Some("rust"),
    work: Work::Objects,
};

static ROWS: [Row; 16] = [
    OURS,
    Row {
        name: "no-rust",
        fragments: &["base", "stock", "offset-page"],
        lines: "# CONFIG_RUST is not set\n",
        ..OURS
    },
    Row {
        name: "no-time-ns",
        fragments: &["base", "stock", "stock-vdso"],
        lines: "# CONFIG_TIME_NS is not set\n",
        ..OURS
    },
    Row {
        name: "c-offset-page",
        fragments: &["base", "stock", "offset-page"],
        ..OURS
    },
    Row {
        name: "c",
        fragments: &["base", "stock", "stock-vdso"],
        ..OURS
    },
    Row {
        name: "modversions",
        fragments: &["base", "rust", "offset-page", "modversions"],
        work: Work::Versions,
        ..OURS
    },
    Row {
        name: "rust-all",
        fragments: &["base", "rust", "offset-page", "rust-all"],
        wishes: true,
        work: Work::AlsoObjects(&["samples/rust/", "drivers/block/rnull/", "drivers/android/"]),
        ..OURS
    },
    Row {
        name: "up",
        lines: "# CONFIG_SMP is not set\nCONFIG_NR_CPUS=1\n",
        ..OURS
    },
    // The vDSO with one counter and no auxiliary clocks, compiled for size.
    Row {
        name: "small",
        lines: "# CONFIG_POSIX_AUX_CLOCKS is not set\n# CONFIG_HYPERVISOR_GUEST is not set\n\
                # CONFIG_PARAVIRT is not set\n# CONFIG_KVM_GUEST is not set\n\
                # CONFIG_HYPERV is not set\n# CONFIG_CC_OPTIMIZE_FOR_PERFORMANCE is not set\n\
                CONFIG_CC_OPTIMIZE_FOR_SIZE=y\n",
        ..OURS
    },
    Row {
        name: "gcc",
        compiler: Compiler::Gcc,
        work: Work::Image,
        ..OURS
    },
    Row {
        name: "i386",
        arch: "i386",
        fragments: &["portable", "stock", "offset-page"],
        lines: "CONFIG_SMP=y\n",
        sibling: None,
        ..OURS
    },
    Row {
        name: "arm64",
        arch: "arm64",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso", "arm64"],
        sibling: None,
        work: Work::Arm64,
        ..OURS
    },
    Row {
        name: "riscv64",
        arch: "riscv",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso"],
        lines: "CONFIG_64BIT=y\nCONFIG_SMP=y\n",
        sibling: None,
        ..OURS
    },
    // A driver that asks for offsets.
    Row {
        name: "panthor",
        lines: "CONFIG_COMPILE_TEST=y\n# CONFIG_WERROR is not set\nCONFIG_DRM=y\n\
                CONFIG_DRM_PANTHOR=y\n",
        work: Work::AlsoObjects(&["drivers/gpu/drm/panthor/panthor_drv.o"]),
        ..OURS
    },
    // Without TIME_NS_VDSO, which every architecture has that reads clocks in the vDSO: it can't be
    // chosen there.
    Row {
        name: "uml",
        arch: "um",
        fragments: &["portable", "portable-rust", "rust", "stock-vdso", "uml"],
        lines: "# CONFIG_TIME_NS_VDSO is not set\n",
        sibling: None,
        work: Work::Uml,
        ..OURS
    },
    Row {
        name: "uml-c",
        arch: "um",
        fragments: &["portable", "stock", "stock-vdso", "uml"],
        lines: "# CONFIG_TIME_NS_VDSO is not set\n",
        sibling: None,
        work: Work::Uml,
        ..OURS
    },
];

/// Our objects, and those that include the headers that we change.
const OBJECTS: [&str; 16] = [
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

/// The objects of Rust that are made anew, of all under rust/.
const RUST_OBJECTS: [&str; 2] = ["rust/kernel.o", "rust/helpers/helpers.o"];

/// Exported by C, implemented in Rust.
const VERSIONED: (&str, &str) = (
    "kernel/time/.namespace_init.o.cmd",
    "do_timens_ktime_to_host",
);

/// How long KUnit may take natively.
const UML_SECONDS: &str = "300";

/// The target of clang's for 64-bit ARM under Linux.
const ARM64_TARGET: &str = "--target=aarch64-linux-gnu";

/// Builds the rows, boots what boots, and prints the table.
pub fn matrix(context: &Context, options: &Options) -> Result<bool> {
    let rows = select(&options.rows)?;
    let series = Series::read(context)?;
    let steps = rows.iter().map(|row| row.steps()).sum();
    let mut session = Session::new(context, steps)?;
    for row in rows {
        session.record(row.name, Column::Ours, |steps| {
            row.run(context, steps, &series)
        });
    }
    session.finish("matrix")
}

/// The rows of these names, or all.
fn select(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let row = |name: &String| {
        let row = ROWS.iter().find(|row| row.name == name);
        row.with_context(|| {
            let names = ROWS.each_ref().map(|row| row.name).join(" ");
            format!("there is no row {name}: give some of {names}")
        })
    };
    names.iter().map(row).collect()
}

impl Row {
    fn steps(&self) -> usize {
        kbuild::BUILD_STEPS
            + match self.work {
                Work::Objects | Work::AlsoObjects(_) | Work::Versions => 0,
                Work::Image => 1,
                Work::Arm64 => 2,
                // One of them for Rust alone.
                Work::Uml => 3,
            }
    }

    fn run(&self, context: &Context, steps: &mut Steps, series: &Series) -> Result<Vec<Outcome>> {
        if self.work == Work::Versions && !has_libdw() {
            return Ok(skipped(
                "",
                "gendwarfksyms needs libdw: apt-get install libdw-dev",
            ));
        }
        let plan = self.plan(context)?;
        let targets = self.targets(has_rust(&plan.fragments));
        // What is not compiled again does not warn again.
        for target in OBJECTS.iter().chain(&RUST_OBJECTS).chain(&targets) {
            forget(&plan.dir.join(target))?;
        }
        let log = kbuild::build_plan(context, steps, &plan, &targets)?;
        let mut outcomes = judge(context, &log, series)?;
        if self.wishes {
            let refused = kbuild::not_taken(&plan.wishes, &plan.config()?);
            println!("{}: without {}", self.name, refused.join(", "));
        }
        outcomes.extend(match self.work {
            Work::Objects | Work::AlsoObjects(_) => vec![],
            Work::Image => image(context, steps, &plan)?,
            Work::Versions => versions(&plan)?,
            Work::Uml => {
                let mut results = match has_rust(&plan.fragments) {
                    true => kunit(context, steps, &plan)?,
                    false => vec![],
                };
                results.extend(uml_selftests(context, steps, &plan)?);
                results
            }
            Work::Arm64 => selftests(context, steps, &plan)?,
        });
        Ok(outcomes)
    }

    fn plan(&self, context: &Context) -> Result<Plan> {
        let builds = context.out.join("build");
        let name = format!("matrix-{}", self.name);
        let mut fragments = kbuild::fragments(context, self.fragments)? + self.lines;
        // Kconfig has it for these, and LLVM alone.
        if has_rust(&fragments)
            && self.compiler == Compiler::Clang
            && ["x86_64", "arm64"].contains(&self.arch)
        {
            fragments.insert_str(0, kbuild::inlined_helpers(context));
        }
        Ok(Plan {
            source: context.tree.clone(),
            dir: builds.join(&name),
            name,
            variables: self.variables(context)?,
            // The comments are looked at by `make check`.
            build_variables: ["W=1", "cmd_checkdoc="].map(str::to_owned).to_vec(),
            fragments,
            wishes: match self.wishes {
                true => wishes(context)?,
                false => String::new(),
            },
            sibling: self.sibling.map(|name| builds.join(name)),
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

    /// What make is to build.
    fn targets(&self, rust: bool) -> Vec<&'static str> {
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
            "x86_64" => &[
                "arch/x86/entry/vdso/",
                "arch/x86/kernel/tsc.o",
                "drivers/misc/ntsync.o",
            ][..],
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
fn has_rust(fragments: &str) -> bool {
    let mut settings = fragments.lines().rev().filter_map(kbuild::setting);
    let last = settings.find(|(option, _)| *option == "CONFIG_RUST");
    last.is_some_and(|(_, value)| value == "y")
}

/// All options that have to do with Rust.
fn wishes(context: &Context) -> Result<String> {
    let pattern = r"^\s*(menu)?config ([A-Z0-9]+_)*RUST(_[A-Z0-9]+)*$";
    let options = kconfig_options(&context.tree, pattern)?;
    Ok(options
        .iter()
        .map(|option| format!("{option}=y\n"))
        .collect())
}

/// Removes an object, or those of a directory.
fn forget(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() || path.extension().is_some_and(|end| end == "o") {
                forget(&path)?;
            }
        }
    } else if path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn skipped(name: &str, reason: impl Into<String>) -> Vec<Outcome> {
    vec![Outcome::new(name, Status::Skipped, reason)]
}

/// What a build's warnings come to.
fn judge(context: &Context, log: &Path, series: &Series) -> Result<Vec<Outcome>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let (ours, others): (Vec<_>, Vec<_>) = warnings(&text)
        .into_iter()
        .partition(|warning| warning.is_ours(series));
    let tree = format!("{}/", context.tree.display());
    // Some come from below the build's directory.
    let shorten = |text: &str| text.replace(&tree, "").replace("../../linux/", "");
    let fail = |text: &str| Outcome::new("W=1", Status::Failed, shorten(text));
    let mut outcomes: Vec<_> = ours.iter().map(|warning| fail(&warning.text)).collect();
    if outcomes.is_empty() {
        outcomes.push(Outcome::new("W=1", Status::Passed, ""));
    }
    if let Some(first) = others.first() {
        let reason = format!(
            "{} warnings in files that the series leaves as they are, the first: {}",
            others.len(),
            shorten(&first.text)
        );
        outcomes.extend(skipped("elsewhere", reason));
    }
    Ok(outcomes)
}

/// Whether a compiler makes a program of some source.
fn compiles(compiler: &str, arguments: &[&str], source: &str) -> bool {
    let child = Command::new(compiler)
        .args(["-x", "c", "-o", "/dev/null", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let pipe = child.stdin.take();
    // One that has ended has a status that says more.
    let _ = pipe.map(|mut pipe| pipe.write_all(source.as_bytes()));
    child.wait().is_ok_and(|status| status.success())
}

fn has_libdw() -> bool {
    let source = "#include <elfutils/libdw.h>\nint main(void) { return 0; }\n";
    compiles("gcc", &["-ldw", "-lelf", "-lz"], source)
}

/// What the vDSO's image reads, next to that of the stock kernel.
fn image(context: &Context, steps: &mut Steps, plan: &Plan) -> Result<Vec<Outcome>> {
    let [stock, _] = bench_vdso::built_images(context);
    if !stock.exists() {
        return Ok(skipped(
            "vDSO",
            "the stock kernel is not built: run `make build-stock`",
        ));
    }
    steps.run("check what the vDSO reads", |step| {
        vdso_images(step, [stock, bench_vdso::image_of(&plan.dir)])
    })
}

/// The symbol that C exports for Rust has a version.
fn versions(plan: &Plan) -> Result<Vec<Outcome>> {
    let (file, symbol) = VERSIONED;
    let file = plan.dir.join(file);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let status = match text.contains(&format!("#SYMVER {symbol} 0x")) {
        true => Status::Passed,
        false => Status::Failed,
    };
    Ok(vec![Outcome::new(symbol, status, "has no version")])
}

/// Runs the kernel that is a program, with KUnit.
fn kunit(context: &Context, steps: &mut Steps, plan: &Plan) -> Result<Vec<Outcome>> {
    steps.run("run KUnit in UML", |step| {
        let mut linux = Command::new(find("timeout")?);
        linux
            .args(["-s", "KILL", UML_SECONDS])
            .arg(plan.dir.join("linux"))
            .args(["mem=256M", "kunit.enable=1", "kunit_shutdown=halt"]);
        let log = step.command(&mut linux, "kunit-uml")?;
        let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let said = String::from_utf8_lossy(&said);
        let mut results = kunit_results(context, &said)?;
        results.extend(guest::reports(&said).map(failure));
        Ok(results)
    })
}

fn failure(reason: String) -> Outcome {
    Outcome::new("", Status::Failed, reason)
}

/// Why no guest for 64-bit ARM can be made, if so.
fn lacks_arm64(clang: &str) -> Option<String> {
    if find(guest::QEMU_ARM64).is_err() {
        return Some(format!(
            "{} is not installed: apt-get install qemu-system-arm, of the suite that \
             qemu-system-x86 is of",
            guest::QEMU_ARM64
        ));
    }
    let source = "#include <stdio.h>\nint main(void) { return puts(\"\"); }\n";
    let options = [ARM64_TARGET, "-static", "-fuse-ld=lld"];
    (!compiles(clang, &options, source)).then(|| {
        "clang finds no C library to link with: apt-get install libc6-dev-arm64-cross and \
         libgcc-NN-dev-arm64-cross, NN being gcc's version"
            .to_owned()
    })
}

/// Runs the kernel's own tests of time namespaces in a guest for 64-bit ARM.
fn selftests(context: &Context, steps: &mut Steps, plan: &Plan) -> Result<Vec<Outcome>> {
    let clang = context.toolchain.llvm_tool("clang")?;
    if let Some(reason) = lacks_arm64(&clang) {
        return Ok(skipped("selftests", reason));
    }
    let initrd = steps.run("build the selftests for arm64", |step| {
        let llvm = format!("LLVM={}", context.toolchain.need("LLVM")?);
        let options = ["ARCH=arm64", &llvm, "USERLDFLAGS=-static -fuse-ld=lld"];
        let compiler = [&clang, ARM64_TARGET, "-fuse-ld=lld"];
        pack(context, step, plan, &STOCK, &options, &compiler)
    })?;
    steps.run("boot the arm64 guest", |step| {
        let kernel = plan.dir.join("arch/arm64/boot/Image");
        let limit = limit(step, &STOCK);
        let said = guest::run_arm64(step, &plan.name, &kernel, &initrd, limit)?;
        results(context, &STOCK, said)
    })
}

/// Runs the tests that need no vDSO in a kernel that is a program.
fn uml_selftests(context: &Context, steps: &mut Steps, plan: &Plan) -> Result<Vec<Outcome>> {
    let initrd = steps.run("build the selftests for UML", |step| {
        let options = ["USERLDFLAGS=-static"];
        pack(context, step, plan, &NO_VDSO, &options, &["gcc"])
    })?;
    steps.run("run the selftests in UML", |step| {
        let limit = limit(step, &NO_VDSO);
        let said = guest::run_uml(step, &plan.name, &plan.dir.join("linux"), &initrd, limit)?;
        results(context, &NO_VDSO, said)
    })
}

/// Builds a list's tests of time namespaces and a guest's init, as the options of their make and the
/// compiler of init have it, and packs them for a row.
fn pack(
    context: &Context,
    step: &Step,
    plan: &Plan,
    list: &List,
    options: &[&str],
    compiler: &[&str],
) -> Result<PathBuf> {
    let beside = |what: &str| plan.dir.with_file_name(format!("{}{what}", plan.name));
    let dir = beside("-selftests");
    let options = [&["TARGETS=timens"], options].concat();
    kbuild::selftests_in(
        context,
        step,
        &context.tree,
        &dir,
        &plan.variables,
        &options,
    )?;
    let init = dir.join("init");
    let mut cc = Command::new(compiler[0]);
    cc.args(&compiler[1..]);
    cc.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
    cc.arg(&init)
        .arg(context.top.join("harness/guest/foreign.c"));
    step.command(&mut cc, "foreign")?;
    let text = dir.join("list");
    fs::write(&text, list.to_text()).with_context(|| format!("cannot write {}", text.display()))?;
    let mut files = vec![("/init".to_owned(), init), ("/list".to_owned(), text)];
    for program in list.programs() {
        let path = dir.join(kbuild::INSTALLED_SELFTESTS).join(program.path);
        files.push((format!("/selftests/{}", program.path), path));
    }
    initramfs::pack_files(step, &plan.dir, beside(".cpio"), &files)
}

/// How long a list's guest may take; the step waits for its programs.
fn limit(step: &Step, list: &List) -> Duration {
    step.expect(list.programs().count() as u64);
    let limit: u32 = list.programs().map(|program| program.limit).sum();
    Duration::from_secs(120 + u64::from(limit))
}

/// What a guest's run of a list comes to.
fn results(context: &Context, list: &List, said: guest::Transcript) -> Result<Vec<Outcome>> {
    let checks = ktap::programs(context, list, "", Column::Ours, &said.output)?;
    let mut outcomes = ktap::together(checks);
    outcomes.extend(said.problems.into_iter().map(failure));
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_name() {
        let names = |names: &[&str]| -> Result<Vec<_>> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            Ok(select(&names)?.into_iter().map(|row| row.name).collect())
        };
        assert_eq!(names(&["uml", "c"]).unwrap(), ["uml", "c"]);
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        let error = names(&["vax"]).unwrap_err().to_string();
        assert!(error.contains("vax") && error.contains("arm64"), "{error}");
    }

    #[test]
    fn rust_is_built_where_the_configuration_has_it() {
        assert!(has_rust("CONFIG_RUST=y\nCONFIG_RUST_X=n\n"));
        assert!(!has_rust("CONFIG_RUST=y\n# CONFIG_RUST is not set\n"));
        assert!(!has_rust(""));
        assert!(OURS.targets(true).contains(&"rust/"));
        assert!(!OURS.targets(false).contains(&"rust/"));
    }

    #[test]
    fn only_objects_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        for name in ["a.o", "a.c", "sub/b.o", "c.o"] {
            fs::write(path(name), "").unwrap();
        }
        forget(&path("sub")).unwrap();
        forget(&path("c.o")).unwrap();
        forget(&path("none.o")).unwrap();
        let there = ["a.o", "a.c", "sub/b.o", "c.o"].map(|name| path(name).exists());
        assert_eq!(there, [true, true, false, false]);
    }
}
