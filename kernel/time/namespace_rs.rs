// SPDX-License-Identifier: GPL-2.0

//! Time namespaces.
//!
//! A time namespace shifts `CLOCK_MONOTONIC`, `CLOCK_BOOTTIME` and their variants by offsets that
//! are set before the first task joins. This crate implements
//! [`include/linux/time_namespace.h`](srctree/include/linux/time_namespace.h) if
//! `CONFIG_TIME_NS_RUST` is set. Otherwise
//! [`kernel/time/namespace.c`](srctree/kernel/time/namespace.c) does.
//!
//! # States
//!
//! A namespace has two states:
//!
//! - *open*: no task is in the namespace. Its own lock protects the offsets and the page that shows
//!   them to the vDSO. Both are read and written together.
//! - *frozen*: entered for good when the first task joins by fork, exec or setns(2). The offsets
//!   and the page are constant and are read without a lock.
//!
//! [`FreezeLock`] implements the states. Freezing publishes (release) all earlier writes. Each task
//! that joins observes the frozen state (acquire) before it can read a clock. A frozen namespace
//! hands out no guard to write with, and an open one no page to map.
//!
//! Some C code reads the offsets without taking the lock: the inline helpers in `time_namespace.h`
//! and the vvar fault handler. Both act on behalf of a task that is already in the namespace, so
//! the offsets are frozen.
//!
//! # Structure
//!
//! This file is the boundary to C and contains all `unsafe` code. Each function that C calls
//! converts its arguments to references and calls a safe function of one of these modules:
//!
//! - [`offsets`] has the bounds and the arithmetic of the offsets;
//! - [`object`] has the namespace and its lifetime;
//! - [`vdso`] has the page that shows the offsets to the vDSO;
//! - [`ops`] has the ways in which a task joins a namespace, and `/proc/PID/ns/time`;
//! - [`proc`] has `/proc/PID/timens_offsets`.
//!
//! [`Documentation/timers/time-namespaces.rst`](srctree/Documentation/timers/time-namespaces.rst)
//! describes the states and the clock reads of both implementations.

use core::{
    mem::offset_of,
    ptr::NonNull,
    slice, //
};
use kernel::{
    bindings,
    error::from_result,
    ffi::c_int,
    fs::LocalFile,
    mm::MmWithUser,
    ns_common::{
        Namespace,
        NsCommon,
        ProcNsOperations, //
    },
    nsproxy::{
        NewNsProxy,
        NsProxy,
        NsSet, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        FreezeLock, //
    },
    task::Task,
    user_namespace::{
        TimeNamespaces,
        Ucount,
        UserNamespace, //
    },
};

use object::{
    State,
    TimeNamespace, //
};
use offsets::Offsets;
use ops::{
    TimeFile,
    TimeForChildrenFile, //
};
use proc::ProcOffset;

// The modules of a crate root are looked up beside it, in `kernel/time/`: hence `#[path]`.
#[path = "namespace_rs/object.rs"]
mod object;
#[path = "namespace_rs/offsets.rs"]
mod offsets;
#[path = "namespace_rs/ops.rs"]
mod ops;
#[path = "namespace_rs/proc.rs"]
mod proc;
#[cfg_attr(CONFIG_TIME_NS_VDSO, path = "namespace_rs/vdso.rs")]
#[cfg_attr(not(CONFIG_TIME_NS_VDSO), path = "namespace_rs/no_vdso.rs")]
mod vdso;

const __LOG_PREFIX: &[u8] = b"time_namespace\0";

/// The operations behind `/proc/PID/ns/time`.
#[no_mangle]
pub static timens_operations: ProcNsOperations = ProcNsOperations::new::<TimeFile>();

/// The operations behind `/proc/PID/ns/time_for_children`.
#[no_mangle]
pub static timens_for_children_operations: ProcNsOperations =
    ProcNsOperations::new::<TimeForChildrenFile>();

// `TimeNamespace` has the layout of `struct time_namespace`: each field has the offset and the size
// of its C counterpart. Owned pointers have the size of a pointer; `None` is null.
const STATE: usize = offset_of!(TimeNamespace, state);
const DATA: usize = STATE + FreezeLock::<State>::DATA_OFFSET;
const POINTER: usize = size_of::<*const ()>();
static_assert!(size_of::<TimeNamespace>() == size_of::<bindings::time_namespace>());
static_assert!(align_of::<TimeNamespace>() == align_of::<bindings::time_namespace>());
static_assert!(offset_of!(TimeNamespace, user_ns) == offset_of!(bindings::time_namespace, user_ns));
static_assert!(size_of::<ARef<UserNamespace>>() == POINTER);
static_assert!(offset_of!(TimeNamespace, ucount) == offset_of!(bindings::time_namespace, ucounts));
static_assert!(size_of::<Option<Ucount<TimeNamespaces>>>() == POINTER);
static_assert!(offset_of!(TimeNamespace, ns) == offset_of!(bindings::time_namespace, ns));
static_assert!(size_of::<NsCommon<TimeNamespace>>() == size_of::<bindings::ns_common>());
static_assert!(DATA + State::OFFSETS_OFFSET == offset_of!(bindings::time_namespace, offsets));
static_assert!(size_of::<Offsets>() == size_of::<bindings::timens_offsets>());
static_assert!(offset_of!(Offsets, monotonic) == offset_of!(bindings::timens_offsets, monotonic));
static_assert!(offset_of!(Offsets, boottime) == offset_of!(bindings::timens_offsets, boottime));
#[cfg(CONFIG_TIME_NS_VDSO)]
static_assert!(DATA + State::VDSO_OFFSET == offset_of!(bindings::time_namespace, vvar_page));
#[cfg(CONFIG_TIME_NS_VDSO)]
static_assert!(size_of::<vdso::VdsoOffsets>() == POINTER);
static_assert!(
    STATE + FreezeLock::<State>::LOCK_OFFSET == offset_of!(bindings::time_namespace, offsets_lock)
);
static_assert!(
    STATE + FreezeLock::<State>::FROZEN_OFFSET
        == offset_of!(bindings::time_namespace, frozen_offsets)
);

// `ProcOffset` has the layout of `struct proc_timens_offset`.
static_assert!(size_of::<ProcOffset>() == size_of::<bindings::proc_timens_offset>());
static_assert!(align_of::<ProcOffset>() == align_of::<bindings::proc_timens_offset>());
static_assert!(
    offset_of!(ProcOffset, clockid) == offset_of!(bindings::proc_timens_offset, clockid)
);
static_assert!(
    offset_of!(ProcOffset, sec)
        == offset_of!(bindings::proc_timens_offset, val) + offset_of!(bindings::timespec64, tv_sec)
);
static_assert!(
    offset_of!(ProcOffset, nsec)
        == offset_of!(bindings::proc_timens_offset, val)
            + offset_of!(bindings::timespec64, tv_nsec)
);

// SAFETY:
// - `TimeNamespace` has the layout of `struct time_namespace`, as asserted above. `init_time_ns`,
//   which C initialises, is frozen, and its null pointers are `None`.
// - `NS_COMMON_OFFSET` is the offset of the field that `ns_common` returns.
// - The flag, the tree and the table are those of time namespaces.
// - All other instances are created by `TimeNamespace::copy`, which calls `ns_common::create`.
// - `ns_common` and `owner` only return a field.
// - `NsCommon` counts the references, and `AlwaysRefCounted` only calls it.
unsafe impl Namespace for TimeNamespace {
    type Raw = bindings::time_namespace;

    const TYPE: u32 = bindings::CLONE_NEWTIME;
    const NS_COMMON_OFFSET: usize = offset_of!(Self, ns);

    #[inline]
    fn ns_common(&self) -> &NsCommon<Self> {
        &self.ns
    }

    #[inline]
    fn owner(&self) -> &UserNamespace {
        &self.user_ns
    }

    #[inline]
    fn operations() -> &'static ProcNsOperations {
        &timens_operations
    }

    #[inline]
    fn install(&self, nsset: &mut NsSet<'_>) -> Result {
        ops::install(self, nsset)
    }

    #[inline]
    fn tree() -> *mut bindings::ns_tree_root {
        &raw mut bindings::time_ns_tree
    }
}

// SAFETY: `NsCommon` counts the references, and the namespace stays alive as long as there is one.
// The initial namespace is a static.
unsafe impl AlwaysRefCounted for TimeNamespace {
    #[inline]
    fn inc_ref(&self) {
        self.ns.get();
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference.
        unsafe { NsCommon::put(obj) };
    }
}

/// Returns a reference to the namespace that `ns` points to.
///
/// # Safety
///
/// `ns` must point to a time namespace that stays alive for `'a`.
#[inline]
unsafe fn time_ns<'a>(ns: *const bindings::time_namespace) -> &'a TimeNamespace {
    // SAFETY: The safety requirements are those of `from_raw`.
    unsafe { TimeNamespace::from_raw(ns) }
}

/// Returns the address space of `task`, or [`None`] for a kernel thread.
///
/// # Safety
///
/// For `'a`, `task` must be the current task or a task that does not run yet, and must keep its
/// address space.
#[inline]
unsafe fn mm<'a>(task: *const bindings::task_struct) -> Option<&'a MmWithUser> {
    // SAFETY: The caller guarantees that `task` is valid and that no other task changes its `mm`.
    let mm = unsafe { (*task).mm };
    if mm.is_null() {
        None
    } else {
        // SAFETY: The task is a user of its address space and keeps it for `'a`.
        Some(unsafe { MmWithUser::from_raw(mm) })
    }
}

/// Returns the namespace for the children of a task in `old_ns`: see [`TimeNamespace::copy`].
///
/// Returns a reference that the caller owns, or an error pointer.
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// `user_ns` and `old_ns` must be valid.
#[export]
pub unsafe extern "C" fn copy_time_ns(
    flags: u64,
    user_ns: *mut bindings::user_namespace,
    old_ns: *mut bindings::time_namespace,
) -> *mut bindings::time_namespace {
    // SAFETY: The caller guarantees that `user_ns` and `old_ns` are valid.
    let (user_ns, old_ns) = unsafe { (UserNamespace::from_ptr(user_ns), time_ns(old_ns)) };
    match TimeNamespace::copy(flags, user_ns, old_ns) {
        Ok(ns) => ARef::into_raw(ns).cast().as_ptr(),
        Err(e) => e.to_ptr(),
    }
}

/// Frees a namespace.
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// The caller must have dropped the last reference to `ns`.
#[export]
pub unsafe extern "C" fn free_time_ns(ns: *mut bindings::time_namespace) {
    // SAFETY: The caller guarantees that `ns` is valid, so it is not null, and that it dropped the
    // last reference.
    unsafe { NsCommon::<TimeNamespace>::release(NonNull::new_unchecked(ns.cast())) };
}

/// Moves a task to its `time_ns_for_children`: see [`ops::on_fork`].
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// - `nsproxy` must be valid, own a reference to each of its namespaces, not be used by a task yet,
///   and not be accessed by anyone else.
/// - `tsk` must be the current task or a task that does not run yet, keep its address space, and be
///   about to use `nsproxy`.
#[export]
pub unsafe extern "C" fn timens_on_fork(
    nsproxy: *mut bindings::nsproxy,
    tsk: *mut bindings::task_struct,
) {
    // SAFETY: The safety requirements include those of `NewNsProxy::from_raw` and `mm`.
    let (nsproxy, mm) = unsafe { (NewNsProxy::from_raw(nsproxy), mm(tsk)) };
    ops::on_fork(nsproxy, mm);
}

/// Prepares the current task to join a namespace in setns(2): see [`TimeNamespace::join`].
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// `ns` must be valid. `tsk` must be the current task, keep its address space, and still be in its
/// old namespace.
#[export]
pub unsafe extern "C" fn timens_commit(
    tsk: *mut bindings::task_struct,
    ns: *mut bindings::time_namespace,
) {
    // SAFETY: The safety requirements include those of `time_ns` and `mm`.
    let (ns, mm) = unsafe { (time_ns(ns), mm(tsk)) };
    // SAFETY: The caller guarantees that this is the current task. It calls setns(2), so it has
    // not exited and has namespaces. Only the current task changes them, and only later.
    let nsproxy = unsafe { NsProxy::from_raw((*tsk).nsproxy) };
    ns.join(nsproxy.time_ns(), mm);
}

/// Returns the page with the offsets of the current task's namespace, or null if the task uses the
/// host's page: see [`ops::page_of_current`].
///
/// # Safety
///
/// `vma` must be valid, and the caller must hold its mmap lock or its vma lock.
#[cfg(CONFIG_TIME_NS_VDSO)]
#[export]
pub unsafe extern "C" fn find_timens_vvar_page(
    vma: *mut bindings::vm_area_struct,
) -> *mut bindings::page {
    // SAFETY: The caller guarantees that `vma` is valid and locked.
    let vma = unsafe { kernel::mm::virt::VmaRef::from_raw(vma) };
    ops::page_of_current(current!(), vma).map_or(core::ptr::null_mut(), |page| page.as_ptr())
}

/// Prints the offsets of a task's children: see [`proc::show`].
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// `p` and `m` must be valid, and no one else may access `m`.
#[export]
pub unsafe extern "C" fn proc_timens_show_offsets(
    p: *mut bindings::task_struct,
    m: *mut bindings::seq_file,
) {
    // SAFETY: The caller guarantees that `p` and `m` are valid and that it alone accesses `m`. The
    // cast is okay because `Task` is a transparent wrapper.
    let (task, m) = unsafe { (&*p.cast::<Task>(), SeqFile::from_raw(m)) };
    proc::show(task, m);
}

/// Writes the offsets of a task's children: see [`proc::write`].
///
/// Returns 0 or a negative error number.
///
/// # Context
///
/// May sleep.
///
/// # Safety
///
/// - `file` and `p` must be valid, and `offsets` must be an array of `n` elements.
/// - If there is an active call to `fdget_pos()` on `file` that did not take `f_pos_lock`, it must
///   be on the current thread, as it is in write(2).
#[export]
pub unsafe extern "C" fn proc_timens_set_offset(
    file: *mut bindings::file,
    p: *mut bindings::task_struct,
    offsets: *mut bindings::proc_timens_offset,
    n: c_int,
) -> c_int {
    // SAFETY: The safety requirements include those of `from_raw_file`, and `p` is valid. The cast
    // is okay because `Task` is a transparent wrapper.
    let (file, task) = unsafe { (LocalFile::from_raw_file(file), &*p.cast::<Task>()) };
    // SAFETY: The caller guarantees that there are `n` elements, so `n` is not negative. The cast
    // is okay because `ProcOffset` has the layout of the C type, as asserted above.
    let offsets = unsafe { slice::from_raw_parts(offsets.cast::<ProcOffset>(), n as usize) };
    from_result(|| proc::write(file, task, offsets).map(|()| 0))
}

/// Converts an absolute time of a namespace to the host's: see [`Offsets::ktime_to_host`].
///
/// # Safety
///
/// `ns_offsets` must belong to a namespace that a task is in.
#[export]
pub unsafe extern "C" fn do_timens_ktime_to_host(
    clockid: bindings::clockid_t,
    tim: bindings::ktime_t,
    ns_offsets: *mut bindings::timens_offsets,
) -> bindings::ktime_t {
    // SAFETY: The caller guarantees that a task is in the namespace, so the offsets are frozen. The
    // cast is okay because `Offsets` has the layout of the C type, as asserted above.
    let offsets = unsafe { &*ns_offsets.cast::<Offsets>() };
    offsets.ktime_to_host(clockid, tim)
}
