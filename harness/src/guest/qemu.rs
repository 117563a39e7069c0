// SPDX-License-Identifier: GPL-2.0

//! The command line of QEMU, and the choice between KVM and TCG.

use super::{
    accelerator::Accelerator,
    process::{read_lossy, start},
};
use crate::{
    context::Context,
    kernel::{kernels::Kernel, toolchain::find},
    session::{Step, POLL},
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The options of [`Machine::Counting`]: each instruction takes a nanosecond, and random numbers
/// are the same in each run.
pub const COUNTING: [&str; 14] = [
    "-accel",
    "tcg,thread=single",
    "-cpu",
    "max",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "base=2026-01-01,clock=vm",
    "-seed",
    "1",
    "-smp",
    "1",
    "-m",
    "2G",
];

pub const QEMU_ARM64: &str = "qemu-system-aarch64";

fn qemu() -> Result<Command> {
    emulator("qemu-system-x86_64")
}

/// Returns QEMU with the options of all guests. It is killed when this process ends.
pub fn emulator(program: &str) -> Result<Command> {
    let mut qemu = Command::new(find("setpriv")?);
    qemu.args(["--pdeathsig", "KILL"]).arg(find(program)?);
    qemu.args(["-nodefaults", "-no-reboot"]);
    Ok(qemu)
}

pub fn with_cpus(accelerator: Accelerator, cpus: &str) -> Result<Command> {
    let mut qemu = qemu()?;
    qemu.args(accelerator.arguments());
    qemu.args(["-smp", cpus, "-m", "1G"]);
    Ok(qemu)
}

/// Returns QEMU for [`Machine::Counting`].
pub fn counting() -> Result<Command> {
    let mut qemu = qemu()?;
    qemu.args(COUNTING);
    Ok(qemu)
}

/// Returns the accelerator that `ACCEL=` selects, else KVM if it works. KVM is probed once per boot
/// of the host.
pub fn accelerator(context: &Context, step: &Step, kernel: &Kernel) -> Result<Accelerator> {
    if let Some(wanted) = context.accelerator {
        return Ok(wanted);
    }
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    // Guests that start at the same time share one probe.
    static PROBING: Mutex<()> = Mutex::new(());
    let _one = PROBING.lock();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let cache = context.out.join("accelerator");
    let known = fs::read_to_string(&cache).unwrap_or_default();
    if let Some(accelerator) = known.strip_prefix(&boot).and_then(Accelerator::parse) {
        return Ok(accelerator);
    }
    let works = kvm_works(context, step, kernel)?;
    let (accelerator, name) = if works {
        (Accelerator::Kvm, "kvm")
    } else {
        step.print("/dev/kvm exists, but no guest boots with it: using TCG");
        (Accelerator::Tcg, "tcg")
    };
    fs::write(&cache, format!("{boot}{name}"))
        .with_context(|| format!("cannot write {}", cache.display()))?;
    Ok(accelerator)
}

/// Whether a kernel with KVM gets as far as its panic about the missing root file system.
fn kvm_works(context: &Context, step: &Step, kernel: &Kernel) -> Result<bool> {
    let console = step.log("kvm-probe.console");
    let mut qemu = with_cpus(Accelerator::Kvm, "2")?;
    qemu.arg("-kernel").arg(context.kernel_image(kernel));
    qemu.args(["-append", "console=ttyS0 panic=-1 kunit.enable=0", "-display", "none"]);
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    let mut child = start(&mut qemu, &step.log("kvm-probe.qemu"))?;
    let started = Instant::now();
    while started.elapsed() < PROBE_LIMIT {
        if let Some(status) = child.0.try_wait()? {
            return Ok(status.success() && read_lossy(&console).contains("Kernel panic"));
        }
        step.progress(0, "trying /dev/kvm");
        thread::sleep(POLL);
    }
    Ok(false)
}
