// SPDX-License-Identifier: GPL-2.0

//! What all namespaces have in common.
//!
//! A namespace implemented in Rust is a type that embeds an [`NsCommon`], implements [`Namespace`],
//! and describes how `/proc/PID/ns` and setns(2) deal with it by one or more types that implement
//! [`NsOperations`].
//!
//! For built-in code only: much of what this calls isn't exported to modules.
//!
//! C headers: [`include/linux/ns_common.h`](srctree/include/linux/ns_common.h),
//! [`include/linux/nstree.h`](srctree/include/linux/nstree.h) and
//! [`include/linux/proc_ns.h`](srctree/include/linux/proc_ns.h).

use crate::{
    alloc::Flags,
    bindings,
    error::{
        from_result,
        to_result, //
    },
    ffi::c_int,
    nsproxy::NsSet,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    task::Task,
    types::Opaque,
    user_namespace::UserNamespace, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};

/// A namespace implemented in Rust.
///
/// # Safety
///
/// Implementers must ensure that:
///
/// - `Self` and [`Raw`](Namespace::Raw) are the same object seen from Rust and from C: a pointer to
///   one is a valid pointer to the other;
/// - the [`NsCommon`] that [`ns_common`](Namespace::ns_common) returns lies at
///   [`NS_COMMON_OFFSET`](Namespace::NS_COMMON_OFFSET) in `Self`;
/// - [`TYPE`](Namespace::TYPE), [`tree`](Namespace::tree) and
///   [`operations`](Namespace::operations) are the ones that the C macros `ns_common_type()`,
///   `to_ns_tree()` and `to_ns_operations()` choose for [`Raw`](Namespace::Raw);
/// - instances are either made by [`create`], so that there is no safe way to initialise one
///   elsewhere, or are static, with a `struct ns_common` that `NS_COMMON_INIT` initialised;
/// - no reference to an instance is taken while it is initialised, or dropped;
/// - [`AlwaysRefCounted::inc_ref`] and [`AlwaysRefCounted::dec_ref`] do no more than to call
///   [`NsCommon::get`] and [`NsCommon::put`].
pub unsafe trait Namespace: AlwaysRefCounted + Send + Sync + Sized + 'static {
    /// The C type.
    type Raw;

    /// The `CLONE_NEW*` flag that creates a namespace of this kind.
    const TYPE: u32;

    /// Where in `Self` its [`NsCommon`] lies, in bytes.
    const NS_COMMON_OFFSET: usize;

    /// The embedded [`NsCommon`].
    fn ns_common(&self) -> &NsCommon<Self>;

    /// The table of the operations on namespaces of this kind.
    fn operations() -> &'static ProcNsOperations;

    /// The tree of all namespaces of this kind.
    fn tree() -> *mut bindings::ns_tree_root;

    /// Returns a reference to the namespace that `ptr` points to.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a namespace of this kind that stays alive for `'a`.
    #[inline]
    unsafe fn from_raw<'a>(ptr: *const Self::Raw) -> &'a Self {
        // SAFETY: By the trait's safety requirements the types are the same object; the caller
        // guarantees that it stays alive.
        unsafe { &*ptr.cast() }
    }

    /// Returns the C view of this namespace.
    #[inline]
    fn as_raw(&self) -> *mut Self::Raw {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// The part that every namespace has: reference counts, inode number, id and tree nodes.
///
/// Wraps the kernel's `struct ns_common`, embedded in a namespace of type `T`.
///
/// # Invariants
///
/// The `struct ns_common` is initialised and, until dropped, owns its inode number.
#[pin_data(PinnedDrop)]
#[repr(transparent)]
pub struct NsCommon<T> {
    #[pin]
    inner: Opaque<bindings::ns_common>,
    _p: PhantomData<T>,
}

// SAFETY: `struct ns_common` belongs to no thread.
unsafe impl<T> Send for NsCommon<T> {}

// SAFETY: All that can be done through a shared reference is synchronised by C code.
unsafe impl<T> Sync for NsCommon<T> {}

impl<T: Namespace> NsCommon<T> {
    /// Returns an initialiser that sets the reference count to one and allocates an inode number.
    ///
    /// Fails with what `ida_alloc_max()` fails with: `ENOMEM`, or `ENOSPC` when the inode numbers
    /// have run out. May sleep.
    #[doc(alias = "ns_common_init")]
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: On success `__ns_common_init` has initialised all of it, except for
            // `ns_rcu`, which is not used before the release.
            inner <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and by the trait's safety requirements type
                // and operations belong together. With an `inum` of 0 one is allocated.
                to_result(unsafe {
                    bindings::__ns_common_init(slot, T::TYPE, T::operations().as_ptr(), 0)
                })
            }),
            _p: PhantomData,
        }? Error)
    }

    /// Returns the namespace of which `ns` is part.
    ///
    /// # Safety
    ///
    /// `ns` must be the `struct ns_common` of a namespace of type `T`.
    #[inline]
    unsafe fn container_of(ns: *mut bindings::ns_common) -> NonNull<T> {
        // SAFETY: By the trait's safety requirements the namespace begins that many bytes before
        // its `NsCommon`, and that is what `ns` points to.
        unsafe { NonNull::new_unchecked(ns.byte_sub(T::NS_COMMON_OFFSET).cast()) }
    }

    /// Increments the reference count.
    #[doc(alias = "ns_ref_inc")]
    #[inline]
    pub fn get(&self) {
        // SAFETY: `self` is part of a live namespace, so that its reference count is not zero.
        unsafe { bindings::__ns_ref_inc(self.inner.get()) };
    }

    /// Decrements the reference count of `ns`, and releases it when that was the last reference.
    ///
    /// May sleep.
    ///
    /// # Safety
    ///
    /// The caller gives up a reference to `ns`.
    #[doc(alias = "ns_ref_put")]
    #[inline]
    pub unsafe fn put(ns: NonNull<T>) {
        // SAFETY: The caller owns a reference, so that `ns` is valid.
        let common = unsafe { ns.as_ref() }.ns_common().inner.get();
        // SAFETY: The caller gives up a reference.
        if unsafe { bindings::__ns_ref_put(common) } {
            // SAFETY: That was the last one.
            unsafe { Self::release(ns) };
        }
    }

    /// Takes a namespace without references apart, and frees it after a grace period.
    ///
    /// May sleep.
    ///
    /// # Safety
    ///
    /// The reference count of `ns` must have dropped to zero, and the caller must be the one who
    /// saw that.
    pub unsafe fn release(ns: NonNull<T>) {
        // `kfree_rcu()` finds the start of the object from the offset of its `rcu_head`.
        const {
            assert!(T::NS_COMMON_OFFSET + offset_of!(bindings::ns_common, ns_rcu) < 4096);
        }

        // SAFETY: By the safety requirements nobody has a reference, and thus nobody else frees it.
        let common = unsafe { ns.as_ref() }.ns_common().inner.get();
        // SAFETY: `create` has added the namespace to this tree: the static ones, which it did not
        // make, are initial namespaces, the reference count of which never drops.
        unsafe { bindings::__ns_tree_remove(common, T::tree()) };
        // SAFETY: `common` is valid for as long as `ns` is.
        let rcu = unsafe { &raw mut (*common).ns_rcu };
        // SAFETY: No references are left. Who still walks the tree looks, under RCU, no further
        // than the `struct ns_common`: that lies in an `Opaque`, and dropping it leaves it as it
        // is.
        unsafe { ptr::drop_in_place(ns.as_ptr()) };
        // SAFETY: `create` allocated `ns` by `KBox`, that is, by `kmalloc`; it holds no value any
        // more. `rcu` lies in it, at less than 4096 bytes as asserted above, and is unused.
        unsafe { bindings::kvfree_call_rcu(rcu.cast(), ns.as_ptr().cast()) };
    }
}

#[pinned_drop]
impl<T> PinnedDrop for NsCommon<T> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the inode number is ours, and we're being dropped.
        unsafe { bindings::__ns_common_free(self.inner.get()) };
    }
}

/// Creates a namespace and makes it known: from now on it can be found in the namespace trees.
///
/// Like all new namespaces it is not active: it becomes so when a task enters it or a file refers
/// to it.
///
/// Fails with `ENOMEM`, or with what `init` fails with. May sleep.
pub fn create<T: Namespace>(init: impl PinInit<T, Error>, flags: Flags) -> Result<ARef<T>> {
    let ns = KBox::pin_init(init, flags)?;
    // SAFETY: It stays where it is: from now on it is reached through pointers only.
    let ns = KBox::leak(unsafe { Pin::into_inner_unchecked(ns) });
    // SAFETY: The initialiser of `NsCommon` has set the reference count to one, and that reference
    // is ours.
    let ns = unsafe { ARef::from_raw(NonNull::from(ns)) };
    let common = ns.ns_common().inner.get();
    // SAFETY: `common` is initialised, and nobody else knows of it. An `id` of 0 has one generated.
    unsafe { bindings::__ns_tree_gen_id(common, 0) };
    // SAFETY: By the trait's safety requirements this is the tree for it; it has an id by now.
    unsafe { bindings::__ns_tree_add_raw(common, T::tree()) };
    Ok(ns)
}

/// What `/proc/PID/ns` and setns(2) do with namespaces of a kind.
///
/// Mirrors `struct proc_ns_operations`; [`ProcNsOperations::new`] makes one of it.
pub trait NsOperations {
    /// The kind of namespace.
    type Ns: Namespace;

    /// The name of the file in `/proc/PID/ns`.
    const NAME: &'static CStr;

    /// The kind of namespace that the link shows, where that isn't [`NAME`](Self::NAME).
    const REAL_NAME: Option<&'static CStr> = None;

    /// Returns the namespace of this kind that `task` has, or [`None`] if it has exited.
    fn get(task: &Task) -> Option<ARef<Self::Ns>>;

    /// Makes `ns` part of the set of namespaces that the current task is about to enter.
    fn install(nsset: &mut NsSet<'_>, ns: &Self::Ns) -> Result;

    /// Returns the user namespace that owns `ns`.
    fn owner(ns: &Self::Ns) -> &UserNamespace;
}

/// A table of operations, `struct proc_ns_operations`.
///
/// # Invariants
///
/// Its pointers are null or are valid for as long as the table is, and may be used by any thread.
#[repr(transparent)]
pub struct ProcNsOperations(bindings::proc_ns_operations);

// SAFETY: By the type invariants the table may be used by any thread; it can't be changed.
unsafe impl Sync for ProcNsOperations {}

impl ProcNsOperations {
    /// Makes the table for `T`.
    pub const fn new<T: NsOperations>() -> Self {
        // INVARIANT: The names and the functions are static.
        Self(bindings::proc_ns_operations {
            name: crate::str::as_char_ptr_in_const_context(T::NAME),
            real_ns_name: match T::REAL_NAME {
                Some(name) => crate::str::as_char_ptr_in_const_context(name),
                None => ptr::null(),
            },
            get: Some(VTable::<T>::get),
            put: Some(VTable::<T>::put),
            install: Some(VTable::<T>::install),
            owner: Some(VTable::<T>::owner),
            get_parent: None,
        })
    }

    /// Returns the C view of the table.
    #[inline]
    pub const fn as_ptr(&self) -> *const bindings::proc_ns_operations {
        &raw const self.0
    }
}

/// The C functions in the table for `T`.
struct VTable<T>(PhantomData<T>);

impl<T: NsOperations> VTable<T> {
    /// # Safety
    ///
    /// `task` must point to a valid task.
    unsafe extern "C" fn get(task: *mut bindings::task_struct) -> *mut bindings::ns_common {
        // SAFETY: The caller guarantees that `task` is valid. `Task` is a transparent wrapper.
        let task: &Task = unsafe { &*task.cast() };
        match T::get(task) {
            // The caller gets the reference.
            Some(ns) => {
                let ns = ARef::into_raw(ns);
                // SAFETY: The reference, which the caller is about to get, keeps it alive.
                unsafe { ns.as_ref() }.ns_common().inner.get()
            }
            None => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// `ns` must be part of a namespace of type `T::Ns`, a reference to which the caller gives up.
    unsafe extern "C" fn put(ns: *mut bindings::ns_common) {
        // SAFETY: As the caller guarantees.
        unsafe { NsCommon::<T::Ns>::put(NsCommon::container_of(ns)) };
    }

    /// # Safety
    ///
    /// `nsset` must be the one that the current task prepares, and `ns` part of a live namespace of
    /// type `T::Ns`.
    unsafe extern "C" fn install(
        nsset: *mut bindings::nsset,
        ns: *mut bindings::ns_common,
    ) -> c_int {
        // SAFETY: The caller guarantees that the set is valid and being prepared, and that nobody
        // else accesses it meanwhile.
        let mut nsset = unsafe { NsSet::from_raw(nsset) };
        // SAFETY: The caller guarantees that the namespace is alive.
        let ns = unsafe { NsCommon::<T::Ns>::container_of(ns).as_ref() };
        from_result(|| T::install(&mut nsset, ns).map(|()| 0))
    }

    /// # Safety
    ///
    /// `ns` must be part of a live namespace of type `T::Ns`.
    unsafe extern "C" fn owner(ns: *mut bindings::ns_common) -> *mut bindings::user_namespace {
        // SAFETY: The caller guarantees that the namespace is alive.
        let ns = unsafe { NsCommon::<T::Ns>::container_of(ns).as_ref() };
        T::owner(ns).as_ptr()
    }
}
