// SPDX-License-Identifier: GPL-2.0

//! Boots a guest, follows its job, and finds the errors of the run.

use super::{
    config::{Guest, Machine},
    kcsan, log,
    process::{read_lossy, start},
    qemu::{accelerator, counting, emulator, with_cpus, QEMU_ARM64},
};
use crate::{
    context::Context,
    kernel::{kernels::Kernel, toolchain::find},
    session::{Follower, Step, POLL},
};
use anyhow::{bail, Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

const BOOT_LIMIT: Duration = Duration::from_secs(60);
const BOOT_MARKER: &str = "TIMENS-GUEST-BOOT";
const END_MARKER: &str = "TIMENS-GUEST-END ";
const FAULT_MARKER: &str = "TIMENS-GUEST-FAULT ";

/// The output of a guest.
#[derive(Default)]
pub struct Transcript {
    pub output: String,
    /// The kernel's log.
    pub console: String,
    /// The errors of the guest, and the kernel's reports.
    pub errors: Vec<String>,
    pub status: Option<i32>,
    /// Whether the guest was killed at its time limit.
    pub timed_out: bool,
    /// The full reports of KCSAN about time namespaces.
    pub races: Vec<String>,
    /// The other reports of KCSAN.
    pub races_elsewhere: Vec<String>,
}

impl Transcript {
    /// Returns the errors, with the data races of time namespaces unless the kernel is a control.
    pub fn failures(&self, kernel: &Kernel) -> Vec<String> {
        let races = self.races.iter().filter(|_| !kernel.is_control());
        let races = races.map(|race| format!("the kernel reported: {}", kcsan::title(race)));
        self.errors.iter().cloned().chain(races).collect()
    }
}

enum Ending {
    Exited(ExitStatus),
    /// The harness killed it for this reason.
    Killed(String),
}

/// Runs a guest to its end. `on_line` is called with each line of the job's output.
pub fn run(
    context: &Context,
    step: &Step,
    guest: &Guest,
    on_line: impl FnMut(&str),
) -> Result<Transcript> {
    let [output, console, _] = logs(step, &guest.name);
    let cpus = |count| with_cpus(accelerator(context, step, guest.kernel)?, count);
    let mut qemu = match guest.machine {
        Machine::TwoCpus => cpus("2")?,
        Machine::OneCpu => cpus("1")?,
        Machine::FourCpus => cpus("4")?,
        Machine::Counting => counting()?,
    };
    qemu.arg("-kernel").arg(context.kernel_image(guest.kernel));
    qemu.arg("-initrd").arg(&guest.initrd);
    qemu.arg("-append").arg(guest.command_line(7));
    qemu.args(["-display", "none"]);
    for port in [&console, &output] {
        qemu.arg("-serial").arg(format!("file:{}", port.display()));
    }
    if let Some(share) = guest.share {
        qemu.arg("-virtfs")
            .arg(format!("local,path={},mount_tag=share,security_model=none", escaped(share)));
    }
    let _load = guest.busy_host.then(Load::start);
    let factor = guest.kernel.timeout_factor;
    let limits = Limits { boot: BOOT_LIMIT * factor, whole: guest.limit.saturating_mul(factor) };
    follow(step, &guest.name, &mut qemu, &limits, on_line)
}

/// Escapes the commas of a path in an option of QEMU.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Returns the paths of the logs of a guest's job, of its kernel, and of QEMU.
fn logs(step: &Step, name: &str) -> [PathBuf; 3] {
    ["out", "console", "qemu"].map(|kind| step.log(&format!("{name}.{kind}")))
}

struct Limits {
    boot: Duration,
    whole: Duration,
}

impl Limits {
    /// Returns the limits of a kernel without a timeout factor.
    fn within(whole: Duration) -> Self {
        Self { boot: BOOT_LIMIT, whole }
    }
}

/// Starts QEMU, follows the logs of the guest, and returns the transcript.
fn follow(
    step: &Step,
    name: &str,
    qemu: &mut Command,
    limits: &Limits,
    mut on_line: impl FnMut(&str),
) -> Result<Transcript> {
    let [output, console, errors] = logs(step, name);
    fs::write(&output, "").with_context(|| format!("cannot write {}", output.display()))?;
    let mut child = start(qemu, &errors)?;
    let started = Instant::now();
    let mut follow = Follower::open(&output)?;
    let mut booted = false;
    let mut place = "boot".to_owned();
    let mut programs = 0;
    let ending = loop {
        // Poll the process before the output, so that no output is missed.
        let status = child.0.try_wait()?;
        for line in follow.lines()? {
            booted |= line == BOOT_MARKER;
            if let Some(name) = line.strip_prefix("TIMENS-BEGIN ") {
                place = name.split(' ').next().unwrap_or(name).to_owned();
            }
            programs += u64::from(line.starts_with("TIMENS-END "));
            on_line(&line);
        }
        if let Some(status) = status {
            break Ending::Exited(status);
        }
        let time = started.elapsed();
        if !booted && time > limits.boot {
            let limit = limits.boot.as_secs();
            break Ending::Killed(format!("did not boot within {limit} s"));
        }
        if time > limits.whole {
            let limit = limits.whole.as_secs();
            break Ending::Killed(format!("hung in {place}: not done after {limit} s"));
        }
        step.progress(programs, &place);
        thread::sleep(POLL);
    };
    drop(child);

    let mut transcript = Transcript {
        output: read_lossy(&output),
        console: read_lossy(&console),
        timed_out: matches!(ending, Ending::Killed(_)),
        ..Transcript::default()
    };
    transcript.status = match end_markers(&transcript.output)[..] {
        [status] => status.trim().parse().ok(),
        _ => None,
    };
    (transcript.races, transcript.races_elsewhere) = kcsan::races(&transcript.console);
    transcript.errors = judge(&transcript, &ending, &read_lossy(&errors));
    if !transcript.errors.is_empty() {
        step.show_tail(&console);
    }
    Ok(transcript)
}

/// Runs an emulated guest for 64-bit ARM to its end.
pub fn run_arm64(
    step: &Step,
    name: &str,
    kernel: &Path,
    initrd: &Path,
    limit: Duration,
) -> Result<Transcript> {
    let [output, console, _] = logs(step, name);
    let mut qemu = emulator(QEMU_ARM64)?;
    // QARMA, the default cipher of pointer authentication, is slow to emulate.
    qemu.args(["-M", "virt", "-cpu", "max,pauth-impdef=on"]);
    qemu.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1G"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    qemu.args([
        "-append",
        "console=ttyAMA0 loglevel=7 panic=-1 oops=panic \
                           TIMENS_CLOCKSOURCE=arch_sys_counter",
    ]);
    qemu.args(["-display", "none", "-serial"]).arg(format!("file:{}", console.display()));
    let path = escaped(&output);
    qemu.arg("-chardev").arg(format!("file,id=job,path={path}"));
    qemu.args(["-device", "virtio-serial-device"]);
    qemu.args(["-device", "virtconsole,chardev=job"]);
    let limits = Limits::within(limit);
    follow(step, name, &mut qemu, &limits, |_| {})
}

pub fn run_uml(
    step: &Step,
    name: &str,
    kernel: &Path,
    initrd: &Path,
    limit: Duration,
) -> Result<Transcript> {
    let [output, console, _] = logs(step, name);
    let mut linux = Command::new(find("setpriv")?);
    linux.args(["--pdeathsig", "KILL", "sh", "-c"]);
    linux.arg("exec \"$0\" \"$@\" 3>>\"$TIMENS_OUTPUT\" 4>\"$TIMENS_CONSOLE\"");
    linux.env("TIMENS_OUTPUT", &output).env("TIMENS_CONSOLE", &console);
    linux.arg(kernel).arg(format!("initrd={}", initrd.display()));
    linux.args(["mem=512M", "con=null", "con0=null,fd:4", "ssl0=null,fd:3"]);
    linux.args(["console=tty0", "loglevel=7", "panic=-1", "oops=panic"]);
    let limits = Limits::within(limit);
    follow(step, name, &mut linux, &limits, |_| {})
}

/// Connects a guest to the terminal until it powers off.
pub fn shell(context: &Context, step: &Step, guest: &Guest) -> Result<()> {
    let mut qemu = with_cpus(accelerator(context, step, guest.kernel)?, "2")?;
    qemu.arg("-kernel").arg(context.kernel_image(guest.kernel));
    qemu.arg("-initrd").arg(&guest.initrd);
    qemu.arg("-append").arg(guest.command_line(4));
    qemu.args(["-display", "none", "-serial", "mon:stdio"]);
    step.print("Ctrl-A X ends the guest at once, `exit` powers it off.");
    step.clear();
    let status = qemu.status().context("cannot run qemu-system-x86_64: run `make setup`")?;
    if !status.success() {
        bail!("qemu-system-x86_64: {status}");
    }
    Ok(())
}

/// Returns the exit statuses in the end markers of a guest.
fn end_markers(output: &str) -> Vec<&str> {
    let lines = output.lines();
    lines.filter_map(|line| line.strip_prefix(END_MARKER)).collect()
}

fn judge(transcript: &Transcript, ending: &Ending, qemu: &str) -> Vec<String> {
    let faults = transcript.output.lines();
    let faults = faults.filter_map(|line| line.strip_prefix(FAULT_MARKER));
    let mut errors: Vec<_> = faults.map(str::to_owned).collect();
    match (ending, &end_markers(&transcript.output)[..]) {
        (Ending::Killed(why), _) => errors.push(format!("the guest {why}; it was killed")),
        (Ending::Exited(status), _) if !status.success() => {
            let why = qemu.lines().last().unwrap_or_default();
            errors.push(format!("QEMU: {status} {why}"));
        }
        (_, ["0"]) => {}
        // The status of a guest with a fault is no second error.
        (_, [_]) if !errors.is_empty() => {}
        (_, [status]) => errors.push(format!("the guest's job ended with status {status}")),
        (_, []) => errors.push("the guest ended without its end marker".to_owned()),
        (_, ends) => errors.push(format!("the guest printed {} end markers", ends.len())),
    }
    errors.extend(log::reports(&transcript.console));
    errors
}

/// Busy loops on every CPU of the host, until the value is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            let on = on.clone();
            thread::spawn(move || {
                while on.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(on)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn errors(output: &str, console: &str, status: i32) -> Vec<String> {
        let transcript = Transcript {
            output: output.to_owned(),
            console: console.to_owned(),
            ..Transcript::default()
        };
        judge(&transcript, &Ending::Exited(ExitStatus::from_raw(status)), "why\n")
    }

    #[test]
    fn a_good_run_has_no_errors() {
        assert!(errors("TIMENS-GUEST-END 0\n", "[    0.1] Linux version\n", 0).is_empty());
    }

    #[test]
    fn a_hang_is_reported_once() {
        let transcript = Transcript::default();
        let errors = judge(&transcript, &Ending::Killed("hung".to_owned()), "");
        assert_eq!(errors, ["the guest hung; it was killed"]);
    }

    #[test]
    fn each_error_is_found() {
        let end = "TIMENS-GUEST-END 0\n";
        assert_eq!(errors("", "", 0).len(), 1);
        assert_eq!(errors("TIMENS-GUEST-END 1\n", "", 0).len(), 1);
        assert_eq!(errors(&format!("{end}{end}"), "", 0).len(), 1);
        assert!(errors(end, "", 256)[0].contains("why"));
        assert_eq!(errors("TIMENS-GUEST-FAULT x\nTIMENS-GUEST-END 1\n", "", 0), ["x"]);
        assert_eq!(errors(end, "[ 1.0] BUG: KASAN: x", 0).len(), 1);
    }

    #[test]
    fn races_are_expected_on_a_control() {
        use crate::kernel::kernels::{RUST_KCSAN, STOCK_KCSAN};
        let transcript = Transcript {
            races: vec!["BUG: KCSAN: data-race in a / b\nmore".to_owned()],
            ..Transcript::default()
        };
        assert!(transcript.failures(&STOCK_KCSAN).is_empty());
        assert_eq!(
            transcript.failures(&RUST_KCSAN),
            ["the kernel reported: BUG: KCSAN: data-race in a / b"]
        );
    }
}
