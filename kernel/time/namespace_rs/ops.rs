// SPDX-License-Identifier: GPL-2.0

//! How tasks come to be in a namespace, and `/proc/PID/ns/time`.

use super::object::TimeNamespace;
use core::ptr;
use kernel::{
    mm::MmWithUser,
    ns_common::NsOperations,
    nsproxy::{
        NewNsProxy,
        NsSet, //
    },
    prelude::*,
    sync::aref::ARef,
    task::Task,
    user_namespace::Capability, //
};

/// The operations behind `/proc/PID/ns/time`: the namespace that the task is in.
pub(crate) struct TimeOps;

impl NsOperations for TimeOps {
    type Ns = TimeNamespace;

    const NAME: &'static CStr = c"time";

    fn get(task: &Task) -> Option<ARef<TimeNamespace>> {
        Some(task.lock().nsproxy()?.time_ns::<TimeNamespace>().into())
    }

    fn install(nsset: &mut NsSet<'_>, ns: &TimeNamespace) -> Result {
        install(nsset, ns)
    }
}

/// The operations behind `/proc/PID/ns/time_for_children`: the namespace that the task's children
/// will be in, and the task itself after its next exec.
pub(crate) struct TimeForChildrenOps;

impl NsOperations for TimeForChildrenOps {
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

    fn install(nsset: &mut NsSet<'_>, ns: &TimeNamespace) -> Result {
        install(nsset, ns)
    }
}

/// Makes `ns` what the current task and its children will be in.
///
/// Fails with `EUSERS` if the task shares its address space, and with `EPERM` if it lacks
/// `CAP_SYS_ADMIN` in the user namespace that owns `ns`, or in the one that it will be in itself.
///
/// Mirrors `timens_install()`.
fn install(nsset: &mut NsSet<'_>, ns: &TimeNamespace) -> Result {
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

/// Moves a task that has forked off, or that executes a new program, into the namespace that was
/// meant for the children.
///
/// `nsproxy` is what the task will have, `mm` its address space.
///
/// Can't fail. May sleep.
///
/// Mirrors `timens_on_fork()`.
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
