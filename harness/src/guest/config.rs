// SPDX-License-Identifier: GPL-2.0

//! The description of a guest.

use crate::kernel::kernels::Kernel;
use std::{
    arch::x86_64::_rdtsc,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// The frequency of this host's TSC, which guests see.
fn tsc_khz() -> u64 {
    static KHZ: OnceLock<u64> = OnceLock::new();
    // SAFETY: Every x86-64 processor has a TSC.
    #[allow(unused_unsafe)]
    let read = || (Instant::now(), unsafe { _rdtsc() });
    let measure = |_| {
        let (start, from) = read();
        thread::sleep(Duration::from_millis(20));
        let (end, to) = read();
        u128::from(to - from) * 1_000_000 / (end - start).as_nanos()
    };
    *KHZ.get_or_init(|| {
        // The median: a task can be preempted between the two clocks.
        let mut samples: Vec<_> = (0..5).map(measure).collect();
        samples.sort_unstable();
        samples[2] as u64
    })
}

/// The machine that a guest runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Two CPUs.
    TwoCpus,
    /// One CPU, for a job that needs no more: its emulation takes a fifth less.
    OneCpu,
    /// Four CPUs. The host may have fewer.
    FourCpus,
    /// One emulated CPU whose TSC counts its instructions. Each run is the same.
    Counting,
}

/// A guest to run.
pub struct Guest<'a> {
    /// The name of the logs.
    pub name: String,
    pub kernel: &'static Kernel,
    pub initrd: PathBuf,
    /// The program under /jobs.
    pub job: &'static str,
    /// Arguments beyond those of every guest and of the kernel. The kernel puts those that it does not
    /// know into init's environment.
    pub arguments: Vec<String>,
    /// Whether KUnit runs during the boot.
    pub kunit: bool,
    /// The time limit on a plain kernel.
    pub limit: Duration,
    /// Whether every CPU of the host is kept busy meanwhile.
    pub busy_host: bool,
    /// A directory of the host that the guest can mount, over 9p as `share`.
    pub share: Option<&'a Path>,
    pub machine: Machine,
}

impl Guest<'_> {
    /// A guest with two CPUs, without KUnit, that may take five minutes.
    pub fn new(kernel: &'static Kernel, job: &'static str, initrd: PathBuf) -> Self {
        Self {
            name: format!("{job}-{}", kernel.name),
            kernel,
            initrd,
            job,
            arguments: vec![],
            kunit: false,
            limit: Duration::from_secs(300),
            busy_host: false,
            share: None,
            machine: Machine::TwoCpus,
        }
    }

    /// The kernel command line.
    pub fn command_line(&self, log_level: u32) -> String {
        // no-kvmclock: with KVM, too, the clock source is to be the TSC. no_timer_check: on a busy host
        // the timer's interrupts may come too late for the check at boot, which then panics.
        let mut line = format!(
            "console=ttyS0 loglevel={log_level} tsc=reliable no-kvmclock no_timer_check panic=-1 \
             oops=panic kunit.enable={} TIMENS_JOB={} TIMENS_KIND={} TIMENS_TIMEOUT_FACTOR={}",
            u8::from(self.kunit),
            self.job,
            self.kernel.kind(),
            self.kernel.timeout_factor
        );
        if self.machine != Machine::Counting {
            // On a busy host the kernel may calibrate it wrong by orders of magnitude.
            line += &format!(" tsc_early_khz={}", tsc_khz());
        }
        let own = self.kernel.arguments.iter().copied();
        for argument in own.chain(self.arguments.iter().map(String::as_str)) {
            line.push(' ');
            line += argument;
        }
        line
    }
}
