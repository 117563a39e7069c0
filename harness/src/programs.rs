// SPDX-License-Identifier: GPL-2.0

//! The selftests that a guest runs, by the paths under which the kernel installs them.

use crate::guest::Machine;
use std::fmt::Write;

/// One selftest.
pub struct Program {
    pub path: &'static str,
    /// The seconds after which it counts as hung.
    pub limit: u32,
    /// How often it is run until it succeeds.
    pub tries: u32,
}

/// The programs of one guest run.
pub struct List {
    pub name: &'static str,
    /// What the results' names end with, to tell them from those of the plain run.
    pub note: &'static str,
    pub machine: Machine,
    pub groups: &'static [&'static [Program]],
}

const fn program(path: &'static str, limit: u32) -> Program {
    Program {
        path,
        limit,
        tries: 1,
    }
}

/// A test of the kernel's that can fail on a busy machine: one looks before what it waits for has
/// happened, as pthread_join() returns before an exiting thread has dropped its namespaces; another
/// counts what the test before it has left for a moment; a third may need more than the thirty seconds
/// that kselftest gives it; one skips what it opens by handle too late, when the child that it belongs to
/// has ended. It is run again, and the summary says so.
const fn unsteady(path: &'static str, limit: u32) -> Program {
    Program {
        path,
        limit,
        tries: 3,
    }
}

/// The kernel's own tests of time namespaces.
const STOCK_TIMENS: &[Program] = &[
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

/// Ours.
const OUR_TIMENS: &[Program] = &[
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
];

/// What else touches time namespaces, or what they share with others.
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
    unsteady("namespaces/stress_test", 240),
    unsteady("namespaces/ns_active_ref_test", 120),
    unsteady("drivers/ntsync/ntsync", 120),
];

/// Everything that touches time namespaces.
pub const SELFTESTS: List = List {
    name: "selftests",
    note: "",
    machine: Machine::Fast,
    groups: &[STOCK_TIMENS, OUR_TIMENS, OTHERS],
};

/// What every commit of the series, and every architecture, has to pass.
pub const STOCK: List = List {
    name: "stock",
    note: "",
    machine: Machine::Fast,
    groups: &[STOCK_TIMENS],
};

/// For the kernels without a vDSO.
pub const NO_VDSO: List = List {
    name: "no-vdso",
    note: "",
    machine: Machine::Fast,
    groups: &[STOCK_TIMENS, &[program("timens/permissions", 60)]],
};

/// For the kernels that have the vDSO of the other implementation.
pub const OTHER_VDSO: List = List {
    name: "other-vdso",
    note: "",
    machine: Machine::Fast,
    groups: &[STOCK_TIMENS, OUR_TIMENS],
};

/// For a clock source that the vDSO can't read, so that it makes the system call.
pub const NO_COUNTER: List = List {
    name: "no-counter",
    note: ", no counter",
    machine: Machine::Fast,
    groups: &[&[
        program("timens/timens", 60),
        program("timens/vdso_offsets", 120),
        program("timens/vdso_offsets_32", 120),
        program("timens/vdso_offsets_x32", 120),
        program("timens/vdso_switch", 180),
        program("timens/vdso_switch_32", 180),
        program("timens/vdso_switch_x32", 180),
    ]],
};

/// The races for a new namespace: they need a guest of their own on a busy host.
pub const RACE: List = List {
    name: "race",
    note: "",
    machine: Machine::Fast,
    groups: &[&[
        program("timens/join_race", 1800),
        program("timens/offsets_race", 3600),
    ]],
};

/// The same with four CPUs.
pub const WIDE_RACE: List = List {
    name: "wide-race",
    note: ", 4 CPUs",
    machine: Machine::Wide,
    groups: RACE.groups,
};

/// Container runtimes and people's tools.
pub const CLIENTS: List = List {
    name: "clients",
    note: "",
    machine: Machine::Fast,
    groups: &[&[
        program("tools/util-linux", 300),
        program("tools/manual", 120),
        program("tools/languages", 120),
        program("tools/page", 300),
        program("oci/crun", 1200),
        program("oci/runc", 1200),
    ]],
};

/// What leaves a machine to go on elsewhere.
pub const LEAVE: List = List {
    name: "leave",
    note: "",
    machine: Machine::Fast,
    groups: &[&[program("move/leave", 300)]],
};

/// Arrives on a machine that has been up for less time.
pub const ARRIVE_EARLY: List = List {
    name: "early",
    note: ", smaller uptime",
    machine: Machine::Fast,
    groups: &[&[program("move/arrive", 300)]],
};

/// Arrives on a machine that has been up for longer.
pub const ARRIVE_LATE: List = List {
    name: "late",
    note: ", larger uptime",
    machine: Machine::Fast,
    groups: ARRIVE_EARLY.groups,
};

/// The lists of guests that have container runtimes and CRIU.
pub const CLIENT_LISTS: [&List; 4] = [&CLIENTS, &LEAVE, &ARRIVE_EARLY, &ARRIVE_LATE];

/// Nothing but the boot, in which KUnit runs.
pub const KUNIT: List = List {
    name: "kunit",
    note: "",
    machine: Machine::Fast,
    groups: &[],
};

pub const LISTS: [&List; 7] = [
    &SELFTESTS,
    &STOCK,
    &OTHER_VDSO,
    &NO_COUNTER,
    &RACE,
    &WIDE_RACE,
    &KUNIT,
];

pub fn all() -> impl Iterator<Item = &'static Program> {
    LISTS.into_iter().flat_map(List::programs)
}

/// Whether it is one of the kernel's, or of ours: not a program that people use.
pub fn is_selftest(program: &Program) -> bool {
    all().any(|selftest| selftest.path == program.path)
}

impl List {
    pub fn programs(&self) -> impl Iterator<Item = &'static Program> {
        self.groups.iter().copied().flatten()
    }

    /// The form that the guest's `programs` job reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for program in self.programs() {
            let Program { path, limit, tries } = program;
            writeln!(text, "{path} {limit} {tries}").expect("a String grows");
        }
        text
    }
}
