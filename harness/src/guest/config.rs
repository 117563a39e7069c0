// SPDX-License-Identifier: GPL-2.0

//! The configuration of a guest.

use crate::kernel::kernels::Kernel;
use std::{
    arch::x86_64::_rdtsc,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// Measures the frequency of the host's TSC, which guests use.
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
        // The median, as the task can be preempted between the two clocks.
        let mut samples: Vec<_> = (0..5).map(measure).collect();
        samples.sort_unstable();
        samples[2] as u64
    })
}

/// The virtual machine of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Two CPUs.
    TwoCpus,
    /// One CPU, whose emulation takes a fifth less time.
    OneCpu,
    /// Four CPUs. The host may have fewer.
    FourCpus,
    /// One emulated CPU whose TSC counts instructions. All runs are identical.
    Counting,
}

pub struct Guest<'a> {
    /// The name of its logs.
    pub name: String,
    pub kernel: &'static Kernel,
    pub initrd: PathBuf,
    /// The program under /jobs.
    pub job: &'static str,
    /// More arguments of the kernel command line. The kernel puts those that it does not know into
    /// the environment of init.
    pub arguments: Vec<String>,
    /// Whether KUnit runs during the boot.
    pub kunit: bool,
    /// The time limit on a plain kernel.
    pub limit: Duration,
    /// Whether every CPU of the host is busy meanwhile.
    pub busy_host: bool,
    /// A directory of the host that the guest can mount with 9p as `share`.
    pub share: Option<&'a Path>,
    pub machine: Machine,
}

impl Guest<'_> {
    /// Returns a guest with two CPUs, without KUnit, limited to five minutes.
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

    pub fn command_line(&self, log_level: u32) -> String {
        // no-kvmclock: the clock source is the TSC with KVM, too. no_timer_check: the check at boot
        // panics if the host is too busy for the interrupts of the timer.
        let mut line = format!(
            "console=ttyS0 loglevel={log_level} tsc=reliable no-kvmclock no_timer_check panic=-1 \
             oops=panic kunit.enable={} TIMENS_JOB={} TIMENS_KIND={} TIMENS_TIMEOUT_FACTOR={}",
            u8::from(self.kunit),
            self.job,
            self.kernel.kind(),
            self.kernel.timeout_factor
        );
        if self.machine != Machine::Counting {
            // On a busy host, the calibration of the kernel may be wrong by orders of magnitude.
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
