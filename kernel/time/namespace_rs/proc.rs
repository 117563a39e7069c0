// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/timens_offsets`: the offsets of the namespace of the task's future children.
//!
//! `fs/proc/base.c` creates the file and parses the text that is written to it.

use super::{
    object::TimeNamespace,
    offsets::{
        self,
        Clock,
        Offsets, //
    },
    ops::TimeForChildrenFile, //
};
use kernel::{
    fs::LocalFile,
    ns_common::ProcNsFile,
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

/// An offset from user space, not checked yet.
///
/// Has the layout of `struct proc_timens_offset`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ProcOffset {
    pub(crate) clockid: i32,
    pub(crate) sec: i64,
    pub(crate) nsec: isize,
}

/// Prints the offsets, or nothing if `task` has exited.
///
/// Mirrors `proc_timens_show_offsets()`.
///
/// # Context
///
/// May sleep.
pub(crate) fn show(task: &Task, m: &SeqFile) {
    if let Some(ns) = TimeForChildrenFile::get(task) {
        m.write(ns.offsets().to_text().as_bytes());
    }
}

/// Writes the offsets in `changes`, all of them or none.
///
/// Mirrors `proc_timens_set_offset()`.
///
/// # Errors
///
/// - `ESRCH` if `task` has exited.
/// - `EPERM` if the opener of `file` lacked `CAP_SYS_TIME` in the user namespace that owns the time
///   namespace.
/// - For the first invalid element of `changes`: `EINVAL` if no namespace shifts the clock, or an
///   error of [`offsets::check`].
/// - `EACCES` if a task has joined the namespace.
/// - `ENOMEM` if the offsets change from zero to another value and there is no memory for the page.
///
/// # Context
///
/// May sleep.
pub(crate) fn write(file: &LocalFile, task: &Task, changes: &[ProcOffset]) -> Result {
    let ns = TimeForChildrenFile::get(task).ok_or(ESRCH)?;

    if !ns.user_ns.file_capable(file, Capability::SYS_TIME) {
        return Err(EPERM);
    }

    apply(&ns, changes)
}

/// Checks `changes` and writes them to `ns`, all of them or none.
///
/// The last change to a clock counts.
///
/// # Errors
///
/// The errors of [`write`] from `EINVAL` on.
fn apply(ns: &TimeNamespace, changes: &[ProcOffset]) -> Result {
    let mut monotonic = None;
    let mut boottime = None;
    for change in changes {
        let (now, offset) = match Clock::from_id(change.clockid).ok_or(EINVAL)? {
            Clock::Monotonic => (Instant::<Monotonic>::now().into(), &mut monotonic),
            Clock::Boottime => (Instant::<BootTime>::now().into(), &mut boottime),
        };
        *offset = Some(offsets::check(change.sec, change.nsec, now)?);
    }

    ns.update(|old| Offsets {
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
    fn apply_writes_all_changes_or_none() -> Result {
        let ns = new_namespace()?;
        apply(&ns, &[change(MONOTONIC, 10, 1), change(BOOTTIME, 20, 2)])?;
        let before = ns.offsets();
        assert_eq!(before.monotonic.sec(), 10);
        assert_eq!(before.boottime.nsec(), 2);

        for (bad, error) in [
            (change(REALTIME, 0, 0), EINVAL),
            (change(BOOTTIME, 0, -1), EINVAL),
            (change(BOOTTIME, i64::MIN, 0), ERANGE),
            (change(BOOTTIME, -KTIME_SEC_MAX, 0), ERANGE),
        ] {
            let result = apply(&ns, &[change(MONOTONIC, 30, 3), bad]);
            assert_eq!(result, Err(error));
            assert_eq!(ns.offsets(), before);
        }
        Ok(())
    }

    #[test]
    fn apply_leaves_the_other_clock_alone() -> Result {
        let ns = new_namespace()?;
        apply(&ns, &[change(MONOTONIC, 10, 1)])?;
        apply(&ns, &[change(BOOTTIME, 20, 2)])?;
        assert_eq!(ns.offsets().monotonic.sec(), 10);
        assert_eq!(ns.offsets().boottime.sec(), 20);
        // The last change to a clock counts.
        apply(&ns, &[change(BOOTTIME, 30, 0), change(BOOTTIME, 40, 0)])?;
        assert_eq!(ns.offsets().boottime.sec(), 40);
        apply(&ns, &[])?;
        assert_eq!(ns.offsets().boottime.sec(), 40);
        Ok(())
    }

    #[test]
    fn apply_fails_after_a_task_has_joined() -> Result {
        let ns = new_namespace()?;
        apply(&ns, &[change(MONOTONIC, 10, 0)])?;
        ns.join(&ns, None);
        let late = apply(&ns, &[change(MONOTONIC, 11, 0)]);
        assert_eq!(late, Err(EACCES));
        // `changes` is checked before the state.
        let wrong = apply(&ns, &[change(REALTIME, 11, 0)]);
        assert_eq!(wrong, Err(EINVAL));
        assert_eq!(ns.offsets().monotonic.sec(), 10);
        Ok(())
    }
}
