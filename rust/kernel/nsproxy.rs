// SPDX-License-Identifier: GPL-2.0

//! The namespaces of a task.
//!
//! The types here enforce the rules of
//! [`include/linux/nsproxy.h`](srctree/include/linux/nsproxy.h): only the current task changes its
//! namespaces and reads them without a lock; other tasks read them under the task's lock.
//!
//! For built-in code only: some of the C functions called here are not exported to modules.

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

/// A set of namespaces that tasks share.
///
/// Wraps the kernel's `struct nsproxy`.
///
/// # Invariants
///
/// The namespaces are valid, and do not change while a shared reference exists.
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
        // SAFETY: The safety requirements guarantee the validity of the dereference, while the
        // `NsProxy` type being transparent makes the cast ok.
        unsafe { &*ptr.cast() }
    }

    /// Returns the time namespace that the tasks are in.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn time_ns<T: Namespace<Raw = bindings::time_namespace>>(&self) -> &T {
        // SAFETY: By the type invariants, the namespace is valid, and the `struct nsproxy` keeps
        // its reference to it.
        unsafe { T::from_raw((*self.0.get()).time_ns) }
    }

    /// Returns the time namespace of the tasks' future children.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn time_ns_for_children<T: Namespace<Raw = bindings::time_namespace>>(&self) -> &T {
        // SAFETY: By the type invariants, the namespace is valid, and the `struct nsproxy` keeps
        // its reference to it.
        unsafe { T::from_raw((*self.0.get()).time_ns_for_children) }
    }
}

/// A `struct nsproxy` that no task uses yet, so its namespaces can be replaced.
///
/// # Invariants
///
/// For `'a`, the `struct nsproxy` is valid, owns a reference to each of its namespaces, and is only
/// accessed through this object.
pub struct NewNsProxy<'a>(NonNull<bindings::nsproxy>, PhantomData<&'a mut NsProxy>);

impl<'a> NewNsProxy<'a> {
    /// Creates a [`NewNsProxy`] from a raw pointer.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` must point to a valid `struct nsproxy` that owns a reference to each of its
    /// namespaces, that no task uses yet, and that no one else accesses.
    #[inline]
    pub unsafe fn from_raw(ptr: *mut bindings::nsproxy) -> Self {
        // INVARIANT: The safety requirements are the type invariants.
        // SAFETY: The caller guarantees that the pointer is valid, so it is not null.
        Self(unsafe { NonNull::new_unchecked(ptr) }, PhantomData)
    }

    /// Replaces the time namespace.
    ///
    /// The offsets of `ns` must be frozen before a task uses this `struct nsproxy`, because the
    /// task reads them without a lock. `timens_on_fork()` freezes them for fork and exec, and
    /// `timens_commit()`, which `commit_nsset()` calls, for setns(2).
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn set_time_ns<T: Namespace<Raw = bindings::time_namespace>>(&mut self, ns: ARef<T>) {
        // SAFETY: By the type invariants, we have exclusive access, and the field owns a reference.
        unsafe { replace(&raw mut (*self.0.as_ptr()).time_ns, ns) };
    }

    /// Replaces the time namespace of the tasks' future children.
    #[cfg(CONFIG_TIME_NS)]
    #[inline]
    pub fn set_time_ns_for_children<T: Namespace<Raw = bindings::time_namespace>>(
        &mut self,
        ns: ARef<T>,
    ) {
        // SAFETY: By the type invariants, we have exclusive access, and the field owns a reference.
        unsafe { replace(&raw mut (*self.0.as_ptr()).time_ns_for_children, ns) };
    }
}

impl Deref for NewNsProxy<'_> {
    type Target = NsProxy;

    #[inline]
    fn deref(&self) -> &NsProxy {
        // SAFETY: By the type invariants, the `struct nsproxy` is valid. It is not changed while
        // `self` is borrowed.
        unsafe { NsProxy::from_raw(self.0.as_ptr()) }
    }
}

/// Replaces the namespace in `slot` by `ns`, and drops the reference to the old namespace.
///
/// # Safety
///
/// `slot` must be valid for reads and writes, and own a reference to the namespace in it. No one
/// else may access it.
#[cfg(CONFIG_TIME_NS)]
#[inline]
unsafe fn replace<T: Namespace>(slot: *mut *mut T::Raw, ns: ARef<T>) {
    let new = ARef::into_raw(ns).cast().as_ptr();
    // SAFETY: The caller guarantees that `slot` is valid for reads and writes.
    let old = unsafe { slot.replace(new) };
    // SAFETY: The slot owned a reference to `old`, so `old` is valid and not null. We own that
    // reference now.
    drop(unsafe { ARef::<T>::from_raw(NonNull::new_unchecked(old.cast())) });
}

/// The namespaces and credentials that the current task is about to switch to, in setns(2).
///
/// Wraps the kernel's `struct nsset`.
///
/// # Invariants
///
/// For `'a`, the `struct nsset` is valid, its `nsproxy` satisfies the invariants of [`NewNsProxy`],
/// and its `cred` is valid.
pub struct NsSet<'a>(
    NonNull<bindings::nsset>,
    PhantomData<&'a mut bindings::nsset>,
);

impl NsSet<'_> {
    /// Creates an [`NsSet`] from a raw pointer.
    ///
    /// # Safety
    ///
    /// For the lifetime of the returned object, `ptr` must point to a `struct nsset` that
    /// `prepare_nsset()` has set up and that no one else accesses.
    #[inline]
    pub unsafe fn from_raw(ptr: *mut bindings::nsset) -> Self {
        // INVARIANT: `prepare_nsset()` created the `struct nsproxy` and set the credentials.
        // SAFETY: The caller guarantees that the pointer is valid, so it is not null.
        Self(unsafe { NonNull::new_unchecked(ptr) }, PhantomData)
    }

    /// Returns the namespaces that the task is about to switch to.
    #[inline]
    pub fn nsproxy(&mut self) -> NewNsProxy<'_> {
        // SAFETY: By the type invariants, `nsproxy` meets the requirements. `self` is borrowed, so
        // no one else accesses it.
        unsafe { NewNsProxy::from_raw((*self.0.as_ptr()).nsproxy) }
    }

    /// Returns the user namespace that the task is about to be in.
    #[inline]
    pub fn user_ns(&self) -> &UserNamespace {
        // SAFETY: By the type invariants, the credentials are valid. Only the installation of a
        // user namespace changes their user namespace; it needs the set, which is borrowed.
        unsafe { UserNamespace::from_ptr((*(*self.0.as_ptr()).cred).user_ns) }
    }
}

impl TaskLockGuard<'_> {
    /// Returns the namespaces of the task, or [`None`] if it has exited.
    #[inline]
    pub fn nsproxy(&self) -> Option<&NsProxy> {
        // SAFETY: The task is valid, and `nsproxy` only changes under the lock, which we hold.
        let ptr = unsafe { (*self.task().as_ptr()).nsproxy };
        if ptr.is_null() {
            None
        } else {
            // SAFETY: The task keeps its reference to the `struct nsproxy` while we hold the lock.
            // The namespaces in a `struct nsproxy` do not change once a task uses it.
            Some(unsafe { NsProxy::from_raw(ptr) })
        }
    }
}

impl CurrentTask {
    /// Returns the namespaces of the current task, or [`None`] if it has left them in exit(2).
    #[inline]
    pub fn nsproxy(&self) -> Option<&NsProxy> {
        // SAFETY: Only the current task changes this field, so reading it is not a data race.
        let ptr = unsafe { (*self.as_ptr()).nsproxy };
        if ptr.is_null() {
            None
        } else {
            // SAFETY: The current task has a reference to the `struct nsproxy`. It only drops it
            // when it switches namespaces, and no code does so while a `CurrentTask` is borrowed.
            // The namespaces in a `struct nsproxy` do not change once a task uses it.
            Some(unsafe { NsProxy::from_raw(ptr) })
        }
    }
}
