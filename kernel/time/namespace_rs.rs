// SPDX-License-Identifier: GPL-2.0

//! Time namespaces.
//!
//! A time namespace shifts `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`, with their variants, by offsets
//! that are set before the first task enters it. This is the implementation behind
//! [`include/linux/time_namespace.h`](srctree/include/linux/time_namespace.h) when
//! `CONFIG_TIME_NS_RUST` is set; otherwise it is
//! [`kernel/time/namespace.c`](srctree/kernel/time/namespace.c).
//!
//! # States
//!
//! A namespace is in one of two states:
//!
//! - *open*: no task is in it. Its offsets, and the page that shows them to the vDSO, are read and
//!   written together, under the namespace's own lock;
//! - *frozen*, for good, from the moment that the first task joins, by fork, exec or setns(2).
//!   Offsets and page are constant; they are read without a lock.
//!
//! [`FreezeLock`] makes the change: freezing publishes (release) all that was written, and every
//! task that joins sees that the namespace is frozen (acquire) before it can read a clock. There is
//! no guard to write with after that, and no page to map before.
//!
//! The C code that reads the offsets without asking, that is the inline functions of
//! `time_namespace.h` and the fault handler of the vDSO's data, does so for tasks in the namespace,
//! thus when it is frozen.
//!
//! # Structure
//!
//! This file is the boundary to C, and holds all that is `unsafe`: the functions that C calls, each
//! of which turns its arguments into references and calls a safe function of one of the modules:
//!
//! - [`offsets`] has the offsets' bounds and arithmetic;
//! - [`object`] has the namespace and its life;
//! - [`vdso`] has the page that shows the offsets to the vDSO;
//! - [`ops`] has how tasks come to be in a namespace;
//! - [`proc`] has `/proc/PID/timens_offsets`.
//!
//! [`Documentation/timers/time-namespaces.rst`](srctree/Documentation/timers/time-namespaces.rst)
//! shows the states, and how clocks are read, for both implementations.

#[cfg(CONFIG_TIME_NS_VDSO)]
use core::ptr;
use core::{
    mem::offset_of,
    ptr::NonNull,
    slice, //
};
#[cfg(CONFIG_TIME_NS_VDSO)]
use kernel::mm::virt::VmaRef;
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
        NsProxy, //
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
    TimeForChildrenOps,
    TimeOps, //
};
use proc::ProcOffset;
#[cfg(CONFIG_TIME_NS_VDSO)]
use vdso::VdsoOffsets;

#[path = "namespace_rs/object.rs"]
mod object;
#[path = "namespace_rs/offsets.rs"]
mod offsets;
#[path = "namespace_rs/ops.rs"]
mod ops;
#[path = "namespace_rs/proc.rs"]
mod proc;
#[path = "namespace_rs/vdso.rs"]
mod vdso;

const __LOG_PREFIX: &[u8] = b"time_namespace\0";

/// The operations behind `/proc/PID/ns/time`.
#[no_mangle]
pub static timens_operations: ProcNsOperations = ProcNsOperations::new::<TimeOps>();

/// The operations behind `/proc/PID/ns/time_for_children`.
#[no_mangle]
pub static timens_for_children_operations: ProcNsOperations =
    ProcNsOperations::new::<TimeForChildrenOps>();

// The Rust and the C type are the same object: each field lies where its counterpart does and is as
// large, and what is an owned pointer in Rust, `None` being null, has the size of one.
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
static_assert!(size_of::<VdsoOffsets>() == POINTER);
static_assert!(
    STATE + FreezeLock::<State>::LOCK_OFFSET == offset_of!(bindings::time_namespace, offsets_lock)
);
static_assert!(
    STATE + FreezeLock::<State>::FROZEN_OFFSET
        == offset_of!(bindings::time_namespace, frozen_offsets)
);

// The same for what user space asks for.
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
// - The Rust and the C type are the same object, as asserted above. The one that is initialised in
//   C, `init_time_ns`, is frozen, and its null pointers stand for `None`.
// - `NS_COMMON_OFFSET` is that of the field that `ns_common` returns.
// - The flag, the tree and the table are those of time namespaces.
// - All other instances are made by `TimeNamespace::copy`, which calls `ns_common::create`.
// - `owner` does no more than to return a field.
// - The references are counted by `NsCommon`, and nothing else is done with them.
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
    fn tree() -> *mut bindings::ns_tree_root {
        &raw mut bindings::time_ns_tree
    }
}

// SAFETY: The `struct ns_common` in each namespace counts the references; the namespace stays for
// as long as there is one. The initial one stays for ever.
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

/// Returns the namespace that `ns` points to.
///
/// # Safety
///
/// `ns` must point to a time namespace that stays alive for `'a`.
#[inline]
unsafe fn time_ns<'a>(ns: *const bindings::time_namespace) -> &'a TimeNamespace {
    // SAFETY: As the caller guarantees.
    unsafe { TimeNamespace::from_raw(ns) }
}

/// Returns the address space of `task`.
///
/// # Safety
///
/// For `'a`, `task` must be the current task, or one that doesn't run yet, and must keep its
/// address space.
#[inline]
unsafe fn mm<'a>(task: *const bindings::task_struct) -> Option<&'a MmWithUser> {
    // SAFETY: The task is valid; nobody else changes the address space of a task like that.
    let mm = unsafe { (*task).mm };
    if mm.is_null() {
        None
    } else {
        // SAFETY: The task is a user of its address space for `'a`.
        Some(unsafe { MmWithUser::from_raw(mm) })
    }
}

/// Creates `timens_for_children` from `old_ns`: see [`TimeNamespace::copy`].
///
/// Returns the namespace, with a reference that is the caller's, or an error pointer.
///
/// # Safety
///
/// `user_ns` and `old_ns` must be valid. May sleep.
#[export]
pub unsafe extern "C" fn copy_time_ns(
    flags: u64,
    user_ns: *mut bindings::user_namespace,
    old_ns: *mut bindings::time_namespace,
) -> *mut bindings::time_namespace {
    // SAFETY: The caller guarantees that both are valid.
    let (user_ns, old_ns) = unsafe { (UserNamespace::from_ptr(user_ns), time_ns(old_ns)) };
    match TimeNamespace::copy(flags, user_ns, old_ns) {
        Ok(ns) => ARef::into_raw(ns).cast().as_ptr(),
        Err(e) => e.to_ptr(),
    }
}

/// Frees a namespace.
///
/// # Safety
///
/// The last reference to `ns` must have been dropped, by the caller. May sleep.
#[export]
pub unsafe extern "C" fn free_time_ns(ns: *mut bindings::time_namespace) {
    // SAFETY: The caller guarantees that `ns` is valid, thus not null, and has no references.
    unsafe { NsCommon::<TimeNamespace>::release(NonNull::new_unchecked(ns.cast())) };
}

/// Moves a task into its `time_ns_for_children`: see [`ops::on_fork`].
///
/// # Safety
///
/// `nsproxy` must be valid, own a reference to each of its namespaces, not be used by any task yet,
/// and not be accessed by anybody else. `tsk` must be the current task, or one that doesn't run
/// yet, keep its address space, and be about to use `nsproxy`. May sleep.
#[export]
pub unsafe extern "C" fn timens_on_fork(
    nsproxy: *mut bindings::nsproxy,
    tsk: *mut bindings::task_struct,
) {
    // SAFETY: As the caller guarantees.
    let (nsproxy, mm) = unsafe { (NewNsProxy::from_raw(nsproxy), mm(tsk)) };
    ops::on_fork(nsproxy, mm);
}

/// Finishes the move of a task into a namespace: see [`TimeNamespace::join`].
///
/// # Safety
///
/// `ns` must be valid. `tsk` must be the current task, keep its address space, and still be in the
/// namespace that it comes from. May sleep.
#[export]
pub unsafe extern "C" fn timens_commit(
    tsk: *mut bindings::task_struct,
    ns: *mut bindings::time_namespace,
) {
    // SAFETY: As the caller guarantees.
    let (ns, mm) = unsafe { (time_ns(ns), mm(tsk)) };
    // SAFETY: As the caller guarantees, this is the current task; it has namespaces, as it has not
    // exited, and they stay the same until it has moved.
    let nsproxy = unsafe { NsProxy::from_raw((*tsk).nsproxy) };
    ns.join(nsproxy.time_ns(), mm);
}

/// Returns the page with the offsets of the current task's namespace, or null if it has none: see
/// [`vdso::page_of_current`].
///
/// # Safety
///
/// `vma` must be valid, and its mmap or vma lock be held.
#[cfg(CONFIG_TIME_NS_VDSO)]
#[export]
pub unsafe extern "C" fn find_timens_vvar_page(
    vma: *mut bindings::vm_area_struct,
) -> *mut bindings::page {
    // SAFETY: As the caller guarantees.
    let vma = unsafe { VmaRef::from_raw(vma) };
    vdso::page_of_current(current!(), vma).map_or(ptr::null_mut(), |page| page.as_ptr())
}

/// Prints the offsets: see [`proc::show`].
///
/// # Safety
///
/// `p` and `m` must be valid, and `m` not be accessed by anybody else. May sleep.
#[export]
pub unsafe extern "C" fn proc_timens_show_offsets(
    p: *mut bindings::task_struct,
    m: *mut bindings::seq_file,
) {
    // SAFETY: As the caller guarantees. `Task` is a transparent wrapper.
    let (task, m) = unsafe { (&*p.cast::<Task>(), SeqFile::from_raw(m)) };
    proc::show(task, m);
}

/// Changes offsets: see [`proc::set`].
///
/// Returns 0 or a negative error number.
///
/// # Safety
///
/// `file` and `p` must be valid, and `offsets` be an array of `n` elements. If a call to
/// `fdget_pos()` for `file` is active that did not take `f_pos_lock`, it must be of the current
/// thread, as it is in write(2). May sleep.
#[export]
pub unsafe extern "C" fn proc_timens_set_offset(
    file: *mut bindings::file,
    p: *mut bindings::task_struct,
    offsets: *mut bindings::proc_timens_offset,
    n: c_int,
) -> c_int {
    // SAFETY: As the caller guarantees. `Task` is a transparent wrapper.
    let (file, task) = unsafe { (LocalFile::from_raw_file(file), &*p.cast::<Task>()) };
    // SAFETY: The caller guarantees that there are that many, and `ProcOffset` is the same as the C
    // type, as asserted above. The number isn't negative.
    let offsets = unsafe { slice::from_raw_parts(offsets.cast::<ProcOffset>(), n as usize) };
    from_result(|| proc::set(file, task, offsets).map(|()| 0))
}

/// Converts an absolute time from a namespace to the host: see [`Offsets::ktime_to_host`].
///
/// # Safety
///
/// `ns_offsets` must be those of a namespace that a task is in.
#[export]
pub unsafe extern "C" fn do_timens_ktime_to_host(
    clockid: bindings::clockid_t,
    tim: bindings::ktime_t,
    ns_offsets: *mut bindings::timens_offsets,
) -> bindings::ktime_t {
    // SAFETY: The offsets of a namespace with tasks in it don't change, and `Offsets` is the same
    // as the C type, as asserted above.
    let offsets = unsafe { &*ns_offsets.cast::<Offsets>() };
    offsets.ktime_to_host(clockid, tim)
}
