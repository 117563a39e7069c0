// SPDX-License-Identifier: GPL-2.0

//! The namespaces of a task.
//!
//! C header: [`include/linux/nsproxy.h`](srctree/include/linux/nsproxy.h). It states the rules that
//! the types here enforce: only the current task changes its namespaces; it reads them without
//! precautions; everyone else reads them under the task's lock.
//!
//! For built-in code only: much of what this calls isn't exported to modules.

use crate::{
    bindings,
    task::{
        CurrentTask,
        TaskLockGuard, //
    },
    types::Opaque,
    user_namespace::UserNamespace, //
};
#[cfg(CONFIG_TIME_NS)]
use crate::{
    ns_common::Namespace,
    sync::aref::ARef, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};

/// Wraps the kernel's `struct nsproxy`: the namespaces that tasks share.
///
/// # Invariants
///
/// Nobody changes the namespaces while a shared reference exists, and they are valid.
#[repr(transparent)]
pub struct NsProxy(Opaque<bindings::nsproxy>);

impl NsProxy {
    /// Creates a reference from a raw pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a `struct nsproxy` with valid namespaces that stays alive and unchanged
    /// for `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *const bindings::nsproxy) -> &'a Self {
        // SAFETY: As the caller guarantees; the type is transparent.
        unsafe { &*ptr.cast() }
    }

    /// Returns the time namespace that the tasks are in.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn time_ns<T: Namespace<Raw = bindings::time_namespace>>(&self) -> &T {
        // SAFETY: By the type invariants the namespace is valid, and the reference to it that the
        // `struct nsproxy` owns stays where it is.
        unsafe { T::from_raw((*self.0.get()).time_ns) }
    }

    /// Returns the time namespace that the tasks' children will be in.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn time_ns_for_children<T: Namespace<Raw = bindings::time_namespace>>(&self) -> &T {
        // SAFETY: By the type invariants the namespace is valid, and the reference to it that the
        // `struct nsproxy` owns stays where it is.
        unsafe { T::from_raw((*self.0.get()).time_ns_for_children) }
    }
}

/// A `struct nsproxy` that is being put together: no task uses it yet.
///
/// # Invariants
///
/// For `'a` the `struct nsproxy` is valid, owns a reference to each of its namespaces, and is
/// accessed through this object only.
pub struct NewNsProxy<'a>(NonNull<bindings::nsproxy>, PhantomData<&'a mut NsProxy>);

impl<'a> NewNsProxy<'a> {
    /// Creates one from a raw pointer.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` must point to a valid `struct nsproxy` that no task uses yet and that nobody
    /// else accesses, and that owns a reference to each of its namespaces.
    #[inline]
    pub unsafe fn from_raw(ptr: *mut bindings::nsproxy) -> Self {
        // INVARIANT: As the caller guarantees.
        // SAFETY: The caller guarantees that the pointer is valid, thus not null.
        Self(unsafe { NonNull::new_unchecked(ptr) }, PhantomData)
    }

    /// Replaces the time namespace.
    ///
    /// By the time that a task uses this `struct nsproxy` the offsets of `ns` must not change any
    /// more, as the task reads them without a lock: `timens_on_fork()` sees to that, and for
    /// setns(2) `timens_commit()`, which `commit_nsset()` calls.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn set_time_ns<T: Namespace<Raw = bindings::time_namespace>>(&mut self, ns: ARef<T>) {
        // SAFETY: By the type invariants access is exclusive, and the field owns a reference.
        unsafe { replace(&raw mut (*self.0.as_ptr()).time_ns, ns) };
    }

    /// Replaces the time namespace of the children.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn set_time_ns_for_children<T: Namespace<Raw = bindings::time_namespace>>(
        &mut self,
        ns: ARef<T>,
    ) {
        // SAFETY: By the type invariants access is exclusive, and the field owns a reference.
        unsafe { replace(&raw mut (*self.0.as_ptr()).time_ns_for_children, ns) };
    }
}

impl Deref for NewNsProxy<'_> {
    type Target = NsProxy;

    #[inline]
    fn deref(&self) -> &NsProxy {
        // SAFETY: By the type invariants the `struct nsproxy` is valid, and can't be changed while
        // `self` is borrowed.
        unsafe { NsProxy::from_raw(self.0.as_ptr()) }
    }
}

/// Puts `ns` where another namespace was, and drops the reference to that one.
///
/// # Safety
///
/// `slot` must be valid for reads and writes, nobody else may access it, and the reference to the
/// namespace in it must be owned by it.
#[cfg(CONFIG_TIME_NS)]
#[inline]
unsafe fn replace<T: Namespace>(slot: *mut *mut T::Raw, ns: ARef<T>) {
    let new = ARef::into_raw(ns).cast().as_ptr();
    // SAFETY: The caller guarantees that `slot` is valid; the reference moves into it.
    let old = unsafe { slot.replace(new) };
    // SAFETY: The slot owned a reference to `old`, thus `old` is valid and not null; that reference
    // is ours now.
    drop(unsafe { ARef::<T>::from_raw(NonNull::new_unchecked(old.cast())) });
}

/// The namespaces and credentials that the current task is about to take on, by setns(2).
///
/// Wraps the kernel's `struct nsset`.
///
/// # Invariants
///
/// For `'a` the `struct nsset` is valid, its `nsproxy` is as [`NewNsProxy`] wants it, and its
/// `cred` is valid.
pub struct NsSet<'a>(
    NonNull<bindings::nsset>,
    PhantomData<&'a mut bindings::nsset>,
);

impl NsSet<'_> {
    /// Creates one from a raw pointer.
    ///
    /// # Safety
    ///
    /// For the lifetime of the returned object, `ptr` must point to a `struct nsset` that
    /// `prepare_nsset()` has set up and that nobody else accesses.
    #[inline]
    pub unsafe fn from_raw(ptr: *mut bindings::nsset) -> Self {
        // INVARIANT: `prepare_nsset()` has made a new `struct nsproxy` and set the credentials.
        // SAFETY: The caller guarantees that the pointer is valid, thus not null.
        Self(unsafe { NonNull::new_unchecked(ptr) }, PhantomData)
    }

    /// Returns the namespaces that the task is about to have.
    #[inline]
    pub fn nsproxy(&mut self) -> NewNsProxy<'_> {
        // SAFETY: By the type invariants, for as long as `self` is borrowed.
        unsafe { NewNsProxy::from_raw((*self.0.as_ptr()).nsproxy) }
    }

    /// Returns the user namespace that the task is about to be in.
    #[inline]
    pub fn user_ns(&self) -> &UserNamespace {
        // SAFETY: By the type invariants the credentials are valid, and only installing another
        // user namespace would change theirs: that takes the set, which is borrowed.
        unsafe { UserNamespace::from_ptr((*(*self.0.as_ptr()).cred).user_ns) }
    }
}

impl TaskLockGuard<'_> {
    /// Returns the namespaces of the task, or [`None`] if it has exited.
    #[inline]
    pub fn nsproxy(&self) -> Option<&NsProxy> {
        // SAFETY: The task is valid, and `nsproxy` changes only under the lock that we hold.
        let ptr = unsafe { (*self.task().as_ptr()).nsproxy };
        if ptr.is_null() {
            None
        } else {
            // SAFETY: While we hold the lock the task keeps its reference to the `struct nsproxy`,
            // the namespaces of which don't change once a task uses it.
            Some(unsafe { NsProxy::from_raw(ptr) })
        }
    }
}

impl CurrentTask {
    /// Returns the namespaces of the current task, or [`None`] if it is exiting and has left them.
    #[inline]
    pub fn nsproxy(&self) -> Option<&NsProxy> {
        // SAFETY: Only the current task itself changes this field.
        let ptr = unsafe { (*self.as_ptr()).nsproxy };
        if ptr.is_null() {
            None
        } else {
            // SAFETY: The current task has a reference to the `struct nsproxy`, the namespaces of
            // which don't change once a task uses it. It keeps that reference until it switches
            // namespaces, which nothing does that is called with a `CurrentTask` borrowed.
            Some(unsafe { NsProxy::from_raw(ptr) })
        }
    }
}
