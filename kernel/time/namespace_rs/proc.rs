// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/timens_offsets`: the offsets of the namespace that the task's children will be in.
//!
//! The file itself, and how what is written to it is parsed, is in `fs/proc/base.c`.

use super::{
    object::TimeNamespace,
    offsets::{
        self,
        Clock,
        Offsets, //
    },
    ops::TimeForChildrenOps, //
};
use kernel::{
    fs::LocalFile,
    ns_common::NsOperations,
    prelude::*,
    seq_file::SeqFile,
    task::Task,
    time::{
        BootTime,
        Instant,
        Monotonic, //
    },
    user_namespace::Capability, //
};

/// An offset that user space asks for, not checked yet.
///
/// Mirrors `struct proc_timens_offset`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ProcOffset {
    pub(crate) clockid: i32,
    pub(crate) sec: i64,
    pub(crate) nsec: isize,
}

/// Prints the offsets, or nothing if `task` has exited.
///
/// May sleep.
///
/// Mirrors `proc_timens_show_offsets()`.
pub(crate) fn show(task: &Task, m: &SeqFile) {
    if let Some(ns) = TimeForChildrenOps::get(task) {
        m.write(ns.offsets().to_text().as_bytes());
    }
}

/// Changes the offsets that `changes` name, all of them or none.
///
/// Fails, in this order, with:
///
/// - `ESRCH` if `task` has exited;
/// - `EPERM` if who opened `file` lacked `CAP_SYS_TIME` in the user namespace that owns the time
///   namespace;
/// - `EINVAL` and `ERANGE` for the first of the `changes` that isn't right: `EINVAL` if there is no
///   such clock to shift, otherwise see [`offsets::check`];
/// - `EACCES` if a task has joined the namespace;
/// - `ENOMEM`, unless the offsets become zero, or haven't all been zero.
///
/// May sleep.
///
/// Mirrors `proc_timens_set_offset()`.
pub(crate) fn set(file: &LocalFile, task: &Task, changes: &[ProcOffset]) -> Result {
    let ns = TimeForChildrenOps::get(task).ok_or(ESRCH)?;

    if !ns.user_ns.file_capable(file, Capability::SYS_TIME) {
        return Err(EPERM);
    }

    set_offsets(&ns, changes)
}

fn set_offsets(ns: &TimeNamespace, changes: &[ProcOffset]) -> Result {
    let mut monotonic = None;
    let mut boottime = None;
    for change in changes {
        let (now, offset) = match Clock::from_id(change.clockid).ok_or(EINVAL)? {
            Clock::Monotonic => (Instant::<Monotonic>::now().into(), &mut monotonic),
            Clock::Boottime => (Instant::<BootTime>::now().into(), &mut boottime),
        };
        *offset = Some(offsets::check(change.sec, change.nsec, now)?);
    }

    ns.change(|old| Offsets {
        monotonic: monotonic.unwrap_or(old.monotonic),
        boottime: boottime.unwrap_or(old.boottime),
    })
}

#[cfg(CONFIG_TIME_NS_RUST_KUNIT_TEST)]
#[kunit_tests(time_namespace_proc)]
mod tests {
    use super::*;
    use crate::object::tests::new_namespace;
    use kernel::time::timespec::KTIME_SEC_MAX;

    const BOOTTIME: i32 = 7;
    const MONOTONIC: i32 = 1;
    const REALTIME: i32 = 0;

    fn change(clockid: i32, sec: i64, nsec: isize) -> ProcOffset {
        ProcOffset { clockid, sec, nsec }
    }

    #[test]
    fn all_changes_or_none() -> Result {
        let ns = new_namespace()?;
        set_offsets(&ns, &[change(MONOTONIC, 10, 1), change(BOOTTIME, 20, 2)])?;
        let before = ns.offsets();
        assert_eq!(before.monotonic.sec(), 10);
        assert_eq!(before.boottime.nsec(), 2);

        for (bad, error) in [
            (change(REALTIME, 0, 0), EINVAL),
            (change(BOOTTIME, 0, -1), EINVAL),
            (change(BOOTTIME, i64::MIN, 0), ERANGE),
            (change(BOOTTIME, -KTIME_SEC_MAX, 0), ERANGE),
        ] {
            let result = set_offsets(&ns, &[change(MONOTONIC, 30, 3), bad]);
            assert_eq!(result, Err(error));
            assert_eq!(ns.offsets(), before);
        }
        Ok(())
    }

    #[test]
    fn a_change_leaves_the_other_clock_alone() -> Result {
        let ns = new_namespace()?;
        set_offsets(&ns, &[change(MONOTONIC, 10, 1)])?;
        set_offsets(&ns, &[change(BOOTTIME, 20, 2)])?;
        assert_eq!(ns.offsets().monotonic.sec(), 10);
        assert_eq!(ns.offsets().boottime.sec(), 20);
        // The last one for a clock counts.
        set_offsets(&ns, &[change(BOOTTIME, 30, 0), change(BOOTTIME, 40, 0)])?;
        assert_eq!(ns.offsets().boottime.sec(), 40);
        set_offsets(&ns, &[])?;
        assert_eq!(ns.offsets().boottime.sec(), 40);
        Ok(())
    }

    #[test]
    fn no_change_after_a_task_has_joined() -> Result {
        let ns = new_namespace()?;
        set_offsets(&ns, &[change(MONOTONIC, 10, 0)])?;
        ns.join(&ns, None);
        let late = set_offsets(&ns, &[change(MONOTONIC, 11, 0)]);
        assert_eq!(late, Err(EACCES));
        // What isn't valid is said before that.
        let wrong = set_offsets(&ns, &[change(REALTIME, 11, 0)]);
        assert_eq!(wrong, Err(EINVAL));
        assert_eq!(ns.offsets().monotonic.sec(), 10);
        Ok(())
    }
}
