// SPDX-License-Identifier: GPL-2.0

//! Boots kernels for other architectures: 64-bit ARM in QEMU, and user-mode Linux.

use crate::{
    context::Context,
    guest::{
        self, initramfs, ktap,
        lists::{List, LINUX_TIMENS, NO_VDSO},
        log, Transcript,
    },
    jobs::kunit_results,
    kernel::{
        build::Build,
        selftests::{build_in, INSTALLED},
        toolchain::find,
    },
    session::{Column, Outcome, Status, Step},
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// The time limit of KUnit in user-mode Linux, in seconds.
const UML_SECONDS: &str = "300";

const ARM64_TARGET: &str = "--target=aarch64-linux-gnu";

pub fn kunit(context: &Context, step: &Step, build: &Build) -> Result<Vec<Outcome>> {
    let mut linux = Command::new(find("timeout")?);
    linux.args(["-s", "KILL", UML_SECONDS]).arg(build.dir.join("linux")).args([
        "mem=256M",
        "kunit.enable=1",
        "kunit_shutdown=halt",
    ]);
    let log = step.command(&mut linux, "kunit-uml")?;
    let console = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let console = String::from_utf8_lossy(&console);
    let mut results = kunit_results(context, &console)?;
    results.extend(log::reports(&console).map(Outcome::failure));
    Ok(results)
}

/// Whether a compiler can build a program.
pub fn compiles(compiler: &str, arguments: &[&str], source: &str) -> bool {
    let child = Command::new(compiler)
        .args(["-x", "c", "-o", "/dev/null", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let pipe = child.stdin.take();
    // If the compiler has already ended, its status is the answer.
    let _ = pipe.map(|mut pipe| pipe.write_all(source.as_bytes()));
    child.wait().is_ok_and(|status| status.success())
}

/// Returns the reason if a guest for 64-bit ARM cannot be built.
fn lacks_arm64(clang: &str) -> Option<String> {
    if find(guest::QEMU_ARM64).is_err() {
        return Some(format!(
            "{} is not installed: apt-get install qemu-system-arm, from the suite of \
             qemu-system-x86",
            guest::QEMU_ARM64
        ));
    }
    let source = "#include <stdio.h>\nint main(void) { return puts(\"\"); }\n";
    let options = [ARM64_TARGET, "-static", "-fuse-ld=lld"];
    (!compiles(clang, &options, source)).then(|| {
        "clang finds no C library: apt-get install libc6-dev-arm64-cross and \
         libgcc-NN-dev-arm64-cross, where NN is the version of gcc"
            .to_owned()
    })
}

/// Runs Linux's tests of time namespaces in a guest for 64-bit ARM.
pub fn arm64_selftests(context: &Context, step: &Step, build: &Build) -> Result<Vec<Outcome>> {
    let clang = context.toolchain.llvm_tool("clang")?;
    if let Some(reason) = lacks_arm64(&clang) {
        return Ok(vec![Outcome::new("selftests", Status::Skipped, reason)]);
    }
    let llvm = format!("LLVM={}", context.toolchain.need("LLVM")?);
    let options = ["ARCH=arm64", &llvm, "USERLDFLAGS=-static -fuse-ld=lld"];
    let compiler = [&clang, ARM64_TARGET, "-fuse-ld=lld"];
    let initrd = pack(context, step, build, &LINUX_TIMENS, &options, &compiler)?;
    let kernel = build.dir.join("arch/arm64/boot/Image");
    let limit = limit(step, &LINUX_TIMENS);
    let transcript = guest::run_arm64(step, &build.name, &kernel, &initrd, limit)?;
    results(context, &LINUX_TIMENS, transcript)
}

/// Runs the tests that need no vDSO in user-mode Linux.
pub fn uml_selftests(context: &Context, step: &Step, build: &Build) -> Result<Vec<Outcome>> {
    let options = ["USERLDFLAGS=-static"];
    let initrd = pack(context, step, build, &NO_VDSO, &options, &["gcc"])?;
    let limit = limit(step, &NO_VDSO);
    let kernel = build.dir.join("linux");
    let transcript = guest::run_uml(step, &build.name, &kernel, &initrd, limit)?;
    results(context, &NO_VDSO, transcript)
}

/// Builds the tests of a list with `options` of make, and init with `compiler`. Packs them.
fn pack(
    context: &Context,
    step: &Step,
    build: &Build,
    list: &List,
    options: &[&str],
    compiler: &[&str],
) -> Result<PathBuf> {
    let beside = |suffix: &str| build.dir.with_file_name(format!("{}{suffix}", build.name));
    let dir = beside("-selftests");
    let options = [&["TARGETS=timens"], options].concat();
    build_in(context, step, &context.tree, &dir, &build.variables, &options)?;
    let init = dir.join("init");
    let mut cc = Command::new(compiler[0]);
    cc.args(&compiler[1..]);
    cc.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
    cc.arg(&init).arg(context.top.join("harness/guest/mini_init.c"));
    step.command(&mut cc, "mini_init")?;
    let text = dir.join("list");
    fs::write(&text, list.to_text()).with_context(|| format!("cannot write {}", text.display()))?;
    let mut files = vec![("/init".to_owned(), init), ("/list".to_owned(), text)];
    for program in list.programs() {
        let path = dir.join(INSTALLED).join(program.path);
        files.push((format!("/selftests/{}", program.path), path));
    }
    initramfs::pack_files(step, &build.dir, beside(".cpio"), &files)
}

/// Returns the time limit of a list. Shows a bar of its programs.
fn limit(step: &Step, list: &List) -> Duration {
    step.expect(list.programs().count() as u64);
    Duration::from_secs(120 + u64::from(list.limit()))
}

/// Returns the results of a guest that ran a list.
fn results(context: &Context, list: &List, transcript: Transcript) -> Result<Vec<Outcome>> {
    let checks = ktap::programs(context, list, "", Column::Rust, &transcript.output)?;
    let mut outcomes = ktap::flatten(checks);
    outcomes.extend(transcript.errors.into_iter().map(Outcome::failure));
    Ok(outcomes)
}
