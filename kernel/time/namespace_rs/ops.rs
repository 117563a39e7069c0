// SPDX-License-Identifier: GPL-2.0

//! How a task joins a namespace, and the files `/proc/PID/ns/time` and
//! `/proc/PID/ns/time_for_children`.

use super::object::TimeNamespace;
use core::ptr;
use kernel::{
    mm::MmWithUser,
    ns_common::ProcNsFile,
    nsproxy::{
        NewNsProxy,
        NsSet, //
    },
    prelude::*,
    sync::aref::ARef,
    task::Task,
    user_namespace::Capability, //
};
#[cfg(CONFIG_TIME_NS_VDSO)]
use {
    super::vdso::TimensPage,
    kernel::{
        mm::virt::VmaRef,
        task::CurrentTask,
        warn_on, //
    },
};

/// The file `/proc/PID/ns/time`: the namespace that the task is in.
pub(crate) struct TimeFile;

impl ProcNsFile for TimeFile {
    type Ns = TimeNamespace;

    const NAME: &'static CStr = c"time";

    fn get(task: &Task) -> Option<ARef<TimeNamespace>> {
        Some(task.lock().nsproxy()?.time_ns::<TimeNamespace>().into())
    }
}

/// The file `/proc/PID/ns/time_for_children`: the namespace of the task's future children, which
/// the task itself joins when it calls execve(2).
pub(crate) struct TimeForChildrenFile;

impl ProcNsFile for TimeForChildrenFile {
    type Ns = TimeNamespace;

    const NAME: &'static CStr = c"time_for_children";
    const REAL_NAME: Option<&'static CStr> = Some(c"time");

    fn get(task: &Task) -> Option<ARef<TimeNamespace>> {
        Some(
            task.lock()
                .nsproxy()?
                .time_ns_for_children::<TimeNamespace>()
                .into(),
        )
    }
}

/// Puts `ns` into the set of namespaces that the current task and its children are about to enter.
///
/// Mirrors `timens_install()`.
///
/// # Errors
///
/// - `EUSERS` if another task shares the address space of the current task.
/// - `EPERM` if the current task lacks `CAP_SYS_ADMIN` in the user namespace that owns `ns`, or in
///   the user namespace that it is about to be in.
pub(crate) fn install(ns: &TimeNamespace, nsset: &mut NsSet<'_>) -> Result {
    if !current!().is_single_threaded() {
        return Err(EUSERS);
    }

    if !ns.user_ns.capable(Capability::SYS_ADMIN) || !nsset.user_ns().capable(Capability::SYS_ADMIN)
    {
        return Err(EPERM);
    }

    let mut nsproxy = nsset.nsproxy();
    nsproxy.set_time_ns::<TimeNamespace>(ns.into());
    nsproxy.set_time_ns_for_children::<TimeNamespace>(ns.into());
    Ok(())
}

/// Moves a task that was forked, or that calls execve(2), to its `time_ns_for_children`.
///
/// `nsproxy` becomes the task's, and `mm` is the task's address space. Cannot fail.
///
/// Mirrors `timens_on_fork()`.
///
/// # Context
///
/// May sleep.
pub(crate) fn on_fork(mut nsproxy: NewNsProxy<'_>, mm: Option<&MmWithUser>) {
    let old: &TimeNamespace = nsproxy.time_ns();
    let new: &TimeNamespace = nsproxy.time_ns_for_children();
    if ptr::eq(old, new) {
        return;
    }

    new.join(old, mm);
    let new = ARef::from(new);
    nsproxy.set_time_ns(new);
}

/// Returns the page with the offsets of the current task's namespace, for a fault in `vma`.
///
/// Returns [`None`] if the task uses the host's page.
///
/// Mirrors `find_timens_vvar_page()`.
#[cfg(CONFIG_TIME_NS_VDSO)]
pub(crate) fn page_of_current<'a>(
    current: &'a CurrentTask,
    vma: &VmaRef,
) -> Option<&'a TimensPage> {
    // Cannot happen: `vvar_fault()` refuses faults on behalf of another task, such as from
    // /proc/PID/mem or process_vm_readv(2).
    if !current.mm().is_some_and(|mm| ptr::eq(mm, vma.mm())) {
        pr_warn!("vvar_page accessed remotely\n");
        warn_on!(true);
        return None;
    }
    current.nsproxy()?.time_ns::<TimeNamespace>().vdso_page()
}
