// SPDX-License-Identifier: GPL-2.0

//! Boots a kernel in QEMU, follows its job, and says whether the run was good.

use crate::{
    kbuild::Kind,
    races::{self, title},
    steps::{Follower, Step, POLL},
    toolchain::find,
    Context,
};
use anyhow::{bail, Context as _, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    thread,
    time::{Duration, Instant},
};

const BOOT_LIMIT: Duration = Duration::from_secs(60);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const BOOT_MARKER: &str = "TIMENS-GUEST-BOOT";
const END_MARKER: &str = "TIMENS-GUEST-END ";
const FAULT_MARKER: &str = "TIMENS-GUEST-FAULT ";

/// How the kernel's reports of its own defects begin.
const REPORTS: [&str; 9] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "general protection fault",
    "UBSAN:",
    "kernel BUG at",
    "Kernel panic",
    "INFO: task ",
    "INFO: rcu",
];
/// What else such a report can say, anywhere in its line.
const REPORTS_INSIDE: [&str; 8] = [
    "BUG: soft lockup",
    "INFO: lockdep is turned off",
    "INFO: trying to register",
    "new suspected memory leaks",
    "self-detected stall",
    "stalls on CPUs",
    "INFO: possible",
    "suspicious RCU usage",
];
/// How lockdep begins a report, in brackets as if it were a time stamp.
const BRACKETED: &str = "[ BUG: ";

/// What the reports of tools name that watch a kernel.
const WATCHERS: [&str; 6] = [
    "KASAN",
    "UBSAN",
    "new suspected memory leaks",
    "possible circular locking",
    "possible recursive locking",
    "suspicious RCU usage",
];

/// The machine that a guest runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Two CPUs, as fast as can be.
    Fast,
    /// One CPU, for a job that uses no more: to emulate it takes a fifth less.
    Single,
    /// Four CPUs, which need not be there.
    Wide,
    /// One CPU, emulated, whose TSC counts its instructions; each run is the same.
    Counting,
}

/// The options of [`Machine::Counting`]: an instruction takes a nanosecond of a clock that nothing
/// else moves, and what is random is the same in each run.
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

/// One guest to run.
pub struct Guest<'a> {
    /// The name of the logs.
    pub name: String,
    pub kind: Kind,
    pub initrd: &'a Path,
    /// The script under /jobs.
    pub job: &'static str,
    /// What is added to the kernel command line; what the kernel does not know becomes init's
    /// environment.
    pub arguments: Vec<String>,
    pub limit: Duration,
    /// Whether every CPU of the host is kept busy meanwhile.
    pub busy_host: bool,
    /// A directory of the host that the guest can mount, over 9p as `share`.
    pub share: Option<&'a Path>,
    pub machine: Machine,
}

/// What a guest said.
#[derive(Default)]
pub struct Transcript {
    /// The job's own output.
    pub output: String,
    /// The kernel's messages.
    pub console: String,
    /// Why the run is not good; empty if it is.
    pub problems: Vec<String>,
    /// Whether it was killed, as one that takes too long is.
    pub killed: bool,
    /// Data races of time namespaces that KCSAN reported, each report in full.
    pub races: Vec<String>,
    /// Those that it reported elsewhere in the kernel.
    pub races_elsewhere: Vec<String>,
    /// Whether the former are what the kernel is there for: the stock one, whose races KCSAN must see.
    pub is_witness: bool,
}

impl Transcript {
    /// All that the run is not good for: races too, but those that are looked for.
    pub fn complaints(&self) -> Vec<String> {
        let raced = self.raced().filter(|_| !self.is_witness);
        self.problems.iter().cloned().chain(raced).collect()
    }

    /// What KASAN, UBSAN, kmemleak and lockdep have reported.
    pub fn watched(&self) -> Vec<String> {
        let by_them = |report: &String| WATCHERS.iter().any(|name| report.contains(name));
        reports(&self.console).filter(by_them).collect()
    }

    /// The races of time namespaces that KCSAN has reported.
    pub fn raced(&self) -> impl Iterator<Item = String> + '_ {
        let races = self.races.iter();
        races.map(|race| format!("the kernel reported: {}", title(race)))
    }
}

/// How a guest ended.
enum Ending {
    Exited(ExitStatus),
    /// By us, who say why.
    Killed(String),
}

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "kvm" => Some(Self::Kvm),
            "tcg" => Some(Self::Tcg),
            _ => None,
        }
    }

    /// The one that `ACCEL=` asks for.
    pub fn wanted() -> Result<Option<Self>> {
        match env::var("ACCEL") {
            Ok(text) if !text.is_empty() => Self::parse(&text)
                .map(Some)
                .with_context(|| format!("ACCEL={text} is unknown: say kvm or tcg")),
            _ => Ok(None),
        }
    }
}

/// A child that does not outlive its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a guest to its end and judges the run. `on_line` sees each line of the job's output.
pub fn run(
    context: &Context,
    step: &Step,
    guest: &Guest,
    on_line: impl FnMut(&str),
) -> Result<Transcript> {
    let [output, console, _] = logs(step, &guest.name);
    let mut qemu = match guest.machine {
        Machine::Fast => fast(accelerator(context, step, guest.kind)?, "2")?,
        Machine::Single => fast(accelerator(context, step, guest.kind)?, "1")?,
        Machine::Wide => fast(accelerator(context, step, guest.kind)?, "4")?,
        Machine::Counting => counting()?,
    };
    qemu.arg("-kernel").arg(context.kernel(guest.kind));
    qemu.arg("-initrd").arg(guest.initrd);
    qemu.arg("-append").arg(command_line(guest, 7));
    qemu.args(["-display", "none"]);
    qemu.arg("-serial")
        .arg(format!("file:{}", console.display()));
    qemu.arg("-serial")
        .arg(format!("file:{}", output.display()));
    if let Some(share) = guest.share {
        // A comma in QEMU's options is written as two.
        let path = share.display().to_string().replace(',', ",,");
        qemu.arg("-virtfs").arg(format!(
            "local,path={path},mount_tag=share,security_model=none"
        ));
    }
    let _load = guest.busy_host.then(Load::start);
    let patience = guest.kind.patience();
    let limits = Limits {
        boot: BOOT_LIMIT * patience,
        whole: guest.limit.saturating_mul(patience),
    };
    let mut transcript = follow(step, &guest.name, &mut qemu, &limits, on_line)?;
    transcript.is_witness = guest.kind == Kind::StockKcsan;
    if matches!(guest.kind, Kind::RustKcsan | Kind::StockKcsan) {
        step.print(&format!(
            "{}: KCSAN reported {} races of time namespaces, {} elsewhere in the kernel",
            guest.name,
            transcript.races.len(),
            transcript.races_elsewhere.len()
        ));
        races::keep_elsewhere(context, &guest.name, &transcript.races_elsewhere)?;
    }
    Ok(transcript)
}

/// Where a guest's job, its kernel and QEMU speak.
fn logs(step: &Step, name: &str) -> [PathBuf; 3] {
    ["out", "console", "qemu"].map(|kind| step.log(&format!("{name}.{kind}")))
}

/// How long a guest may take.
struct Limits {
    boot: Duration,
    whole: Duration,
}

impl Limits {
    /// Those of a guest whose kernel boots in the usual time.
    fn within(whole: Duration) -> Self {
        Self {
            boot: BOOT_LIMIT,
            whole,
        }
    }
}

/// Starts QEMU, which writes what a guest says into its logs, and judges how it ends.
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
        // First the state, then the output: what was written before the end is not missed.
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
        killed: matches!(ending, Ending::Killed(_)),
        ..Transcript::default()
    };
    (transcript.races, transcript.races_elsewhere) = races::races(&transcript.console);
    transcript.problems = judge(&transcript, &ending, &read_lossy(&errors));
    if !transcript.problems.is_empty() {
        step.show_tail(&console);
    }
    Ok(transcript)
}

/// The emulator of [`run_arm64`].
pub const QEMU_ARM64: &str = "qemu-system-aarch64";

/// Runs a guest for 64-bit ARM, emulated, to its end, and judges the run.
pub fn run_arm64(
    step: &Step,
    name: &str,
    kernel: &Path,
    initrd: &Path,
    limit: Duration,
) -> Result<Transcript> {
    let [output, console, _] = logs(step, name);
    let mut qemu = emulator(QEMU_ARM64)?;
    // Without QARMA, the cipher of pointers, which takes long to emulate.
    qemu.args(["-M", "virt", "-cpu", "max,pauth-impdef=on"]);
    qemu.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1G"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    qemu.args([
        "-append",
        "console=ttyAMA0 loglevel=7 panic=-1 oops=panic \
                           TIMENS_CLOCKSOURCE=arch_sys_counter",
    ]);
    qemu.args(["-display", "none", "-serial"])
        .arg(format!("file:{}", console.display()));
    // A comma in QEMU's options is written as two.
    let path = output.display().to_string().replace(',', ",,");
    qemu.arg("-chardev").arg(format!("file,id=job,path={path}"));
    qemu.args(["-device", "virtio-serial-device"]);
    qemu.args(["-device", "virtconsole,chardev=job"]);
    let limits = Limits::within(limit);
    follow(step, name, &mut qemu, &limits, |_| {})
}

/// Runs a kernel that is a program of this machine's to its end, and judges the run.
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
    linux
        .env("TIMENS_OUTPUT", &output)
        .env("TIMENS_CONSOLE", &console);
    linux
        .arg(kernel)
        .arg(format!("initrd={}", initrd.display()));
    linux.args(["mem=512M", "con=null", "con0=null,fd:4", "ssl0=null,fd:3"]);
    linux.args(["console=tty0", "loglevel=7", "panic=-1", "oops=panic"]);
    let limits = Limits::within(limit);
    follow(step, name, &mut linux, &limits, |_| {})
}

/// Gives the terminal to a guest until it powers off.
pub fn shell(context: &Context, step: &Step, guest: &Guest) -> Result<()> {
    let mut qemu = fast(accelerator(context, step, guest.kind)?, "2")?;
    qemu.arg("-kernel").arg(context.kernel(guest.kind));
    qemu.arg("-initrd").arg(guest.initrd);
    qemu.arg("-append").arg(command_line(guest, 4));
    qemu.args(["-display", "none", "-serial", "mon:stdio"]);
    step.print("Ctrl-A X leaves the guest at once, `exit` powers it off.");
    step.clear();
    let status = qemu
        .status()
        .context("cannot run qemu-system-x86_64: run `make setup`")?;
    if !status.success() {
        bail!("qemu-system-x86_64: {status}");
    }
    Ok(())
}

fn command_line(guest: &Guest, log_level: u32) -> String {
    // no-kvmclock: under KVM too the clock source is to be the TSC. no_timer_check: on a busy host
    // the timer's interrupts may come too late for the check at boot, which then panics.
    let mut line = format!(
        "console=ttyS0 loglevel={log_level} tsc=reliable no-kvmclock no_timer_check panic=-1 \
         oops=panic TIMENS_JOB={} TIMENS_KIND={} TIMENS_PATIENCE={}",
        guest.job,
        guest.kind.tested().name(),
        guest.kind.patience()
    );
    if guest.kind.watches_itself() {
        // While identify_cpu() has cleared the CPU's features, an interrupt on a CPU with five levels
        // of page tables makes KASAN take the kernel's addresses for wild ones.
        line += " no5lvl";
    }
    for argument in &guest.arguments {
        line.push(' ');
        line += argument;
    }
    line
}

fn qemu() -> Result<Command> {
    emulator("qemu-system-x86_64")
}

/// QEMU with what all guests have in common. It dies with this process, however that ends.
fn emulator(program: &str) -> Result<Command> {
    let mut qemu = Command::new(find("setpriv")?);
    qemu.args(["--pdeathsig", "KILL"]).arg(find(program)?);
    qemu.args(["-nodefaults", "-no-reboot"]);
    Ok(qemu)
}

/// See [`Machine::Fast`], [`Machine::Single`] and [`Machine::Wide`].
fn fast(accelerator: Accelerator, cpus: &str) -> Result<Command> {
    let mut qemu = qemu()?;
    qemu.args(accelerator.arguments());
    qemu.args(["-smp", cpus, "-m", "1G"]);
    Ok(qemu)
}

/// See [`Machine::Counting`].
fn counting() -> Result<Command> {
    let mut qemu = qemu()?;
    qemu.args(COUNTING);
    Ok(qemu)
}

fn start(qemu: &mut Command, errors: &Path) -> Result<Owned> {
    let log =
        fs::File::create(errors).with_context(|| format!("cannot write {}", errors.display()))?;
    let child = qemu
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot run QEMU: run `make setup`")?;
    Ok(Owned(child))
}

/// The one asked for, or KVM if a guest really boots with it. Probed once per boot of the host.
fn accelerator(context: &Context, step: &Step, kind: Kind) -> Result<Accelerator> {
    if let Some(wanted) = context.accelerator {
        return Ok(wanted);
    }
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    // Guests that start at the same time wait for one probe.
    static PROBING: Mutex<()> = Mutex::new(());
    let _one = PROBING.lock();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let cache = context.out.join("accelerator");
    let known = fs::read_to_string(&cache).unwrap_or_default();
    if let Some(accelerator) = known.strip_prefix(&boot).and_then(Accelerator::parse) {
        return Ok(accelerator);
    }
    let works = kvm_works(context, step, kind)?;
    let (accelerator, name) = if works {
        (Accelerator::Kvm, "kvm")
    } else {
        step.print("/dev/kvm exists but no guest boots with it: using TCG");
        (Accelerator::Tcg, "tcg")
    };
    fs::write(&cache, format!("{boot}{name}"))
        .with_context(|| format!("cannot write {}", cache.display()))?;
    Ok(accelerator)
}

/// Whether the kernel, without any root, gets as far as its panic about that.
fn kvm_works(context: &Context, step: &Step, kind: Kind) -> Result<bool> {
    let console = step.log("kvm-probe.console");
    let mut qemu = fast(Accelerator::Kvm, "2")?;
    qemu.arg("-kernel").arg(context.kernel(kind));
    qemu.args([
        "-append",
        "console=ttyS0 panic=-1 kunit.enable=0",
        "-display",
        "none",
    ]);
    qemu.arg("-serial")
        .arg(format!("file:{}", console.display()));
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

/// A file's text, empty if QEMU never made it.
fn read_lossy(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Why a run is not good.
fn judge(transcript: &Transcript, ending: &Ending, errors: &str) -> Vec<String> {
    let output = transcript.output.lines();
    let faults = output
        .clone()
        .filter_map(|line| line.strip_prefix(FAULT_MARKER));
    let mut problems: Vec<_> = faults.map(str::to_owned).collect();
    let ends: Vec<_> = output
        .filter_map(|line| line.strip_prefix(END_MARKER))
        .collect();
    match (ending, &ends[..]) {
        (Ending::Killed(why), _) => problems.push(format!("the guest {why}; it was killed")),
        (Ending::Exited(status), _) if !status.success() => {
            let why = errors.lines().last().unwrap_or_default();
            problems.push(format!("QEMU: {status} {why}"));
        }
        (_, ["0"]) => {}
        // The fault says why.
        (_, [_]) if !problems.is_empty() => {}
        (_, [code]) => problems.push(format!("the guest's job ended with status {code}")),
        (_, []) => problems.push("the guest ended without its end marker".to_owned()),
        (_, _) => problems.push(format!("the guest gave {} end markers", ends.len())),
    }
    problems.extend(reports(&transcript.console));
    problems
}

/// What a kernel's log tells of the kernel's own defects.
pub fn reports(console: &str) -> impl Iterator<Item = String> + '_ {
    let lines = console.lines().filter(|line| is_report(line));
    lines.map(|line| format!("the kernel reported: {}", line.trim_end()))
}

/// A line of the kernel's log past the time stamp, and the caller that some configurations add.
pub fn message(mut line: &str) -> &str {
    while let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        line = rest.trim_start();
    }
    line
}

/// Whether a line of the kernel's log reports a defect; races are judged by themselves.
fn is_report(line: &str) -> bool {
    let message = message(line);
    !message.starts_with(races::RACE)
        && (line.contains(BRACKETED)
            || REPORTS.iter().any(|start| message.starts_with(start))
            || REPORTS_INSIDE.iter().any(|part| message.contains(part)))
}

/// Busy loops on every CPU of the host, for as long as the value lives.
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

    fn problems(output: &str, console: &str, status: i32) -> Vec<String> {
        let transcript = Transcript {
            output: output.to_owned(),
            console: console.to_owned(),
            ..Transcript::default()
        };
        judge(
            &transcript,
            &Ending::Exited(ExitStatus::from_raw(status)),
            "why\n",
        )
    }

    #[test]
    fn a_good_run_has_one_marker_and_a_clean_log() {
        let log = "[    0.1] Linux version\n[    0.2] Speculation: WARNING: see the docs\n\
                   [    0.3][ T1] BUG: KCSAN: data-race in a / b\n";
        assert!(problems("TIMENS-GUEST-END 0\n", log, 0).is_empty());
    }

    #[test]
    fn a_hang_is_told_once() {
        let transcript = Transcript::default();
        let problems = judge(&transcript, &Ending::Killed("hung".to_owned()), "");
        assert_eq!(problems, ["the guest hung; it was killed"]);
    }

    #[test]
    fn each_defect_is_seen() {
        let end = "TIMENS-GUEST-END 0\n";
        assert_eq!(problems("", "", 0).len(), 1);
        assert_eq!(problems("TIMENS-GUEST-END 1\n", "", 0).len(), 1);
        assert_eq!(problems(&format!("{end}{end}"), "", 0).len(), 1);
        assert!(problems(end, "", 256)[0].contains("why"));
        assert_eq!(
            problems("TIMENS-GUEST-FAULT x\nTIMENS-GUEST-END 1\n", "", 0),
            ["x"]
        );
        for report in [
            "[    1.0] BUG: KASAN: slab-out-of-bounds in f",
            "[    1.0][    T1] WARNING: kernel/fork.c:1 at f",
            "[    1.0] WARNING: possible circular locking dependency detected",
            "[    1.0] Oops: general protection fault",
            "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    1.0] UBSAN: shift-out-of-bounds",
            "[    1.0] kmemleak: 3 new suspected memory leaks (see ...)",
            "[    1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [x:1]",
            "[    1.0][    T1] INFO: trying to register non-static key.",
            "[    1.0] INFO: lockdep is turned off.",
            "[    1.0][    T1] [ BUG: Invalid wait context ]",
            "[    1.0] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
        ] {
            assert_eq!(problems(end, report, 0).len(), 1, "{report}");
        }
    }
}
