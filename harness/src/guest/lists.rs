// SPDX-License-Identifier: GPL-2.0

//! The lists of programs that guests run, by their paths in an installation of selftests.

use super::config::Machine;
use std::fmt::Write;

/// The time namespace of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Host,
    /// A namespace with offsets.
    Namespace,
}

/// A program of a list.
#[derive(Clone, Copy)]
pub struct Program {
    pub path: &'static str,
    /// The arguments, separated by spaces.
    pub arguments: &'static str,
    /// The time limit in seconds.
    pub limit: u32,
    /// The maximum number of runs until each of its tests has passed once.
    pub tries: u32,
    pub environment: Environment,
    /// Whether it prints KTAP. Otherwise its exit status is its one result.
    pub ktap: bool,
    /// Tests that no kernel can run, by the start of their names.
    pub cannot_run: &'static [&'static str],
    /// Tests whose results depend on the load of the host on every kernel.
    pub unjudged: &'static [&'static str],
}

/// The programs of one guest.
pub struct List {
    pub name: &'static str,
    /// The suffix of the checks' names.
    pub note: &'static str,
    pub machine: Machine,
    pub arguments: &'static [&'static str],
    /// Whether every CPU of the host is busy meanwhile.
    pub busy_host: bool,
    pub groups: &'static [&'static [Program]],
}

const fn program(path: &'static str, limit: u32) -> Program {
    Program {
        path,
        arguments: "",
        limit,
        tries: 1,
        environment: Environment::Host,
        ktap: true,
        cannot_run: &[],
        unjudged: &[],
    }
}

/// Returns a program that does not print KTAP.
const fn plain(path: &'static str, limit: u32) -> Program {
    Program { ktap: false, ..program(path, limit) }
}

/// Returns a program of Linux whose tests depend on timing on a busy host. It runs again until each
/// test has passed once. The report lists the tests that did not pass every time.
const fn unsteady(path: &'static str, limit: u32) -> Program {
    Program { tries: 5, ..program(path, limit) }
}

/// Linux's tests of time namespaces.
const LINUX_TIMENS_PROGRAMS: &[Program] = &[
    program("timens/timens", 60),
    program("timens/timerfd", 60),
    program("timens/timer", 60),
    program("timens/clock_nanosleep", 60),
    program("timens/procfs", 60),
    program("timens/exec", 60),
    program("timens/futex", 60),
    program("timens/vfork_exec", 60),
    program("timens/gettime_perf", 120),
];

/// The tests of time namespaces that the series adds.
const SERIES_TIMENS: &[Program] = &[
    program("timens/vdso_no_syscall", 120),
    program("timens/vdso_no_syscall_32", 120),
    program("timens/vdso_no_syscall_x32", 120),
    program("timens/vdso_offsets", 120),
    program("timens/vdso_offsets_32", 120),
    program("timens/vdso_offsets_x32", 120),
    program("timens/vdso_switch", 180),
    program("timens/vdso_switch_32", 180),
    program("timens/vdso_switch_x32", 180),
    program("timens/vdso_mappings", 120),
    program("timens/vdso_mappings_32", 120),
    program("timens/vdso_mappings_x32", 120),
    program("timens/vdso_remote", 60),
    program("timens/vdso_remote_32", 60),
    program("timens/vdso_remote_x32", 60),
    program("timens/vdso_page", 120),
    program("timens/permissions", 60),
    program("timens/cgroup_freezer", 120),
];

/// Linux's tests of system calls and of namespaces in general.
const OTHERS: &[Program] = &[
    program("clone3/clone3", 60),
    program("clone3/clone3_clear_sighand", 60),
    program("clone3/clone3_set_tid", 60),
    program("clone3/clone3_cap_checkpoint_restore", 60),
    program("pidfd/pidfd_setns_test", 120),
    program("namespaces/nsid_test", 120),
    program("namespaces/file_handle_test", 120),
    program("namespaces/init_ino_test", 60),
    program("namespaces/listns_test", 120),
    program("namespaces/listns_pagination_bug", 60),
    program("namespaces/listns_permissions_test", 120),
    program("namespaces/listns_efault_test", 120),
    program("namespaces/cred_change_test", 60),
    program("namespaces/regression_pidfd_setns_test", 60),
    program("namespaces/siocgskns_test", 120),
    unsteady("namespaces/stress_test", 900),
    unsteady("namespaces/ns_active_ref_test", 300),
    unsteady("drivers/ntsync/ntsync", 300),
];

/// The functions that only a 32-bit vDSO has.
const ONLY_32_BIT: &[&str] = &["__vdso_clock_getres_time64 ", "__vdso_clock_gettime64 "];

/// Tests that compare CPU time with other clocks, or expect an exact number of expiries.
const LOAD_DEPENDENT: &[&str] = &[
    "ITIMER_PROF",
    "ITIMER_VIRTUAL",
    "check signal distribution",
    "check_gettime CLOCK_PROCESS_CPUTIME_ID",
    "check_overrun CLOCK_MONOTONIC",
    "check_overrun CLOCK_PROCESS_CPUTIME_ID",
    "check_overrun CLOCK_THREAD_CPUTIME_ID",
    "check_sig_ign SIGEV_SIGNAL",
    "timer_create() per CLOCK_PROCESS_CPUTIME_ID",
    "timer_create() per CLOCK_THREAD_CPUTIME_ID",
];

/// Linux's tests of the vDSO, /proc and timers.
const CLOCK_TESTS_ON_HOST: [Program; 45] = [
    plain("proc/fd-001-lookup", 60),
    plain("proc/fd-002-posix-eq", 60),
    plain("proc/fd-003-kthread", 60),
    plain("proc/proc-2-is-kthread", 60),
    plain("proc/proc-empty-vm", 60),
    plain("proc/proc-fsconfig-hidepid", 60),
    plain("proc/proc-loadavg-001", 60),
    plain("proc/proc-multiple-procfs", 60),
    plain("proc/proc-net-dev-lseek", 60),
    plain("proc/proc-pid-vm", 60),
    program("proc/proc-pidns", 60),
    plain("proc/proc-self-isnt-kthread", 60),
    plain("proc/proc-self-map-files-001", 60),
    plain("proc/proc-self-map-files-002", 60),
    plain("proc/proc-self-syscall", 60),
    plain("proc/proc-self-wchan", 60),
    plain("proc/proc-subset-pid", 60),
    plain("proc/proc-tid0", 60),
    plain("proc/proc-uptime-001", 60),
    plain("proc/proc-uptime-002", 60),
    plain("proc/read", 120),
    plain("proc/self", 60),
    plain("proc/setns-dcache", 60),
    plain("proc/setns-sysvipc", 60),
    plain("proc/thread-self", 60),
    Program {
        arguments: "-t 1",
        // An id that Linux no longer uses.
        cannot_run: &["UNKNOWN_CLOCKID"],
        ..program("timers/inconsistency-check", 120)
    },
    unsteady("timers/nanosleep", 120),
    Program { unjudged: LOAD_DEPENDENT, ..program("timers/posix_timers", 180) },
    plain("timers/set-tai", 60),
    plain("timers/set-tz", 60),
    plain("timers/valid-adjtimex", 60),
    plain("vDSO/vdso_standalone_test_x86", 60),
    Program { cannot_run: ONLY_32_BIT, ..program("vDSO/vdso_test_abi", 60) },
    plain("vDSO/vdso_test_correctness", 60),
    plain("vDSO/vdso_test_getcpu", 60),
    program("vDSO/vdso_test_getrandom", 60),
    plain("vDSO/vdso_test_gettimeofday", 60),
    program("vDSO_32/vdso_test_abi", 60),
    plain("vDSO_32/vdso_test_correctness", 60),
    plain("vDSO_32/vdso_test_getcpu", 60),
    plain("vDSO_32/vdso_test_gettimeofday", 60),
    Program { cannot_run: ONLY_32_BIT, ..program("vDSO_x32/vdso_test_abi", 60) },
    plain("vDSO_x32/vdso_test_correctness", 60),
    plain("vDSO_x32/vdso_test_getcpu", 60),
    plain("vDSO_x32/vdso_test_gettimeofday", 60),
];

/// The same in a time namespace with offsets.
const CLOCK_TESTS_IN_NAMESPACE: [Program; CLOCK_TESTS_ON_HOST.len()] = {
    let mut programs = CLOCK_TESTS_ON_HOST;
    let mut index = 0;
    while index < programs.len() {
        programs[index].environment = Environment::Namespace;
        index += 1;
    }
    programs
};

/// The defaults of the lists.
const LIST: List = List {
    name: "selftests",
    note: "",
    machine: Machine::TwoCpus,
    arguments: &[],
    busy_host: false,
    groups: &[LINUX_TIMENS_PROGRAMS, SERIES_TIMENS, OTHERS],
};

pub static SELFTESTS: List = LIST;

/// Linux's tests of the vDSO, /proc and timers, on the host and in a namespace with offsets.
pub static CLOCK_TESTS: List = List {
    name: "clock-tests",
    groups: &[&CLOCK_TESTS_ON_HOST, &CLOCK_TESTS_IN_NAMESPACE],
    ..LIST
};

/// The tests that every commit of the series and every architecture must pass.
pub static LINUX_TIMENS: List =
    List { name: "linux-timens", groups: &[LINUX_TIMENS_PROGRAMS], ..LIST };

/// For kernels without a vDSO.
pub static NO_VDSO: List = List {
    name: "no-vdso",
    groups: &[LINUX_TIMENS_PROGRAMS, &[program("timens/permissions", 60)]],
    ..LIST
};

/// For kernels with the vDSO of the other implementation.
pub static OTHER_VDSO: List =
    List { name: "other-vdso", groups: &[LINUX_TIMENS_PROGRAMS, SERIES_TIMENS], ..LIST };

/// With a clock source that user space cannot read, so that the vDSO makes the system call.
pub static NO_COUNTER: List = List {
    name: "no-counter",
    note: ", no counter",
    arguments: &["clocksource=acpi_pm", "TIMENS_CLOCKSOURCE=acpi_pm"],
    groups: &[&[
        program("timens/timens", 60),
        program("timens/vdso_offsets", 120),
        program("timens/vdso_offsets_32", 120),
        program("timens/vdso_offsets_x32", 120),
        program("timens/vdso_switch", 180),
        program("timens/vdso_switch_32", 180),
        program("timens/vdso_switch_x32", 180),
    ]],
    ..LIST
};

/// The races for a new namespace, on a busy host.
pub static RACE: List = List {
    name: "race",
    busy_host: true,
    groups: &[&[
        program("timens/join_race", 1800),
        program("timens/offsets_race", 3600),
        program("timens/lookup_race", 1800),
        program("timens/reading_race", 600),
    ]],
    ..LIST
};

/// The same with four CPUs.
pub static WIDE_RACE: List =
    List { name: "wide-race", note: ", 4 CPUs", machine: Machine::FourCpus, ..RACE };

pub static CLIENTS: List = List {
    name: "clients",
    groups: &[&[
        program("tools/util-linux", 300),
        program("tools/manual", 120),
        program("tools/languages", 120),
        program("tools/admin-guide", 300),
        program("oci/crun", 1200),
        program("oci/runc", 1200),
    ]],
    ..LIST
};

pub static CHECKPOINT: List =
    List { name: "checkpoint", groups: &[&[program("migration/checkpoint", 300)]], ..LIST };

/// Restores the process in a guest with a smaller uptime.
pub static RESTORE_SMALLER: List = List {
    name: "restore-smaller",
    note: ", smaller uptime",
    arguments: &["TIMENS_SECOND_UPTIME=smaller"],
    groups: &[&[program("migration/restore", 300)]],
    ..LIST
};

/// Restores the process in a guest with a larger uptime.
pub static RESTORE_LARGER: List = List {
    name: "restore-larger",
    note: ", larger uptime",
    arguments: &["TIMENS_SECOND_UPTIME=larger"],
    ..RESTORE_SMALLER
};

/// No program. KUnit runs during the boot.
pub static KUNIT: List = List { name: "kunit", groups: &[], ..LIST };

/// The lists in the guests of selftests.
pub static SELFTEST_LISTS: [&List; 8] =
    [&SELFTESTS, &CLOCK_TESTS, &LINUX_TIMENS, &OTHER_VDSO, &NO_COUNTER, &RACE, &WIDE_RACE, &KUNIT];

/// The lists in the guests of container runtimes and CRIU.
pub static CLIENT_LISTS: [&List; 4] = [&CLIENTS, &CHECKPOINT, &RESTORE_SMALLER, &RESTORE_LARGER];

impl Program {
    /// Returns the path, with the environment if it is not the host.
    pub fn name(&self) -> String {
        match self.environment {
            Environment::Host => self.path.to_owned(),
            Environment::Namespace => format!("{}@namespace", self.path),
        }
    }
}

impl List {
    pub fn programs(&self) -> impl Iterator<Item = &'static Program> {
        self.groups.iter().copied().flatten()
    }

    /// Whether its programs are selftests. Otherwise they are clients.
    pub fn is_selftests(&self) -> bool {
        SELFTEST_LISTS.iter().any(|list| list.name == self.name)
    }

    /// Returns the sum of the time limits, in seconds.
    pub fn limit(&self) -> u32 {
        self.programs().map(|program| program.limit * program.tries).sum()
    }

    /// Returns the list in the format of the job harness/guest/programs.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for program in self.programs() {
            let Program { path, arguments, limit, tries, environment, .. } = program;
            let environment = match environment {
                Environment::Host => "host",
                Environment::Namespace => "namespace",
            };
            writeln!(text, "{path} {limit} {tries} {environment} {arguments}")
                .expect("a String grows");
        }
        text
    }
}
