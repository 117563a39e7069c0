// SPDX-License-Identifier: GPL-2.0

//! Namespaces.
//!
//! A kind of namespace in Rust is a type that embeds an [`NsCommon`] and implements [`Namespace`].
//! Each of its files in `/proc/PID/ns` is a type that implements [`ProcNsFile`].
//!
//! For built-in code only: most of the C functions called here are not exported to modules.
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

/// A kind of namespace.
///
/// # Safety
///
/// Implementers must ensure that:
///
/// - `Self` has the layout of [`Raw`](Namespace::Raw): a pointer to one is a valid pointer to the
///   other;
/// - [`ns_common`](Namespace::ns_common) returns the field at
///   [`NS_COMMON_OFFSET`](Namespace::NS_COMMON_OFFSET);
/// - [`TYPE`](Namespace::TYPE), [`tree`](Namespace::tree) and
///   [`operations`](Namespace::operations) return what the C macros `ns_common_type()`,
///   `to_ns_tree()` and `to_ns_operations()` return for [`Raw`](Namespace::Raw);
/// - each instance is either created by [`create`], so that no other safe code can initialise one,
///   or is a static whose `struct ns_common` was initialised by `NS_COMMON_INIT`;
/// - no one takes a reference count on an instance while it is initialised or dropped;
/// - [`ns_common`](Namespace::ns_common) and [`owner`](Namespace::owner) take no reference count
///   and do not sleep: they are also called when the count is zero, `owner` under a spinlock;
/// - [`AlwaysRefCounted::inc_ref`] and [`AlwaysRefCounted::dec_ref`] only call [`NsCommon::get`]
///   and [`NsCommon::put`].
pub unsafe trait Namespace: AlwaysRefCounted + Send + Sync + Sized + 'static {
    /// The C type.
    type Raw;

    /// The `CLONE_NEW*` flag that creates a namespace of this kind.
    const TYPE: u32;

    /// The byte offset of the [`NsCommon`] in `Self`.
    const NS_COMMON_OFFSET: usize;

    /// Returns the embedded [`NsCommon`].
    fn ns_common(&self) -> &NsCommon<Self>;

    /// Returns the user namespace that owns this namespace.
    fn owner(&self) -> &UserNamespace;

    /// Returns the table of operations of this kind of namespace.
    fn operations() -> &'static ProcNsOperations;

    /// Returns the tree of all namespaces of this kind.
    fn tree() -> *mut bindings::ns_tree_root;

    /// Puts this namespace into the set of namespaces that the current task is about to enter.
    ///
    /// # Errors
    ///
    /// setns(2) fails with the error that this returns. `nsset` must be unchanged then.
    ///
    /// # Context
    ///
    /// Called without locks. May sleep.
    fn install(&self, nsset: &mut NsSet<'_>) -> Result;

    /// Creates a reference to a namespace from a raw pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a namespace of this kind that stays alive for `'a`.
    #[inline]
    unsafe fn from_raw<'a>(ptr: *const Self::Raw) -> &'a Self {
        // SAFETY: The safety requirements guarantee the validity of the dereference. By the safety
        // requirements of the trait, `Self` has the layout of `Self::Raw`.
        unsafe { &*ptr.cast() }
    }
}

/// The part that all kinds of namespaces have: reference counts, inode number, id and tree nodes.
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

// SAFETY: It is okay to send ownership of `NsCommon` across thread boundaries.
unsafe impl<T> Send for NsCommon<T> {}

// SAFETY: It's OK to access `NsCommon` through shared references from other threads because we're
// either accessing properties that don't change or that are properly synchronised by C code.
unsafe impl<T> Sync for NsCommon<T> {}

impl<T: Namespace> NsCommon<T> {
    /// Returns an initialiser that sets the reference count to one and allocates an inode number.
    ///
    /// # Errors
    ///
    /// The initialiser fails with:
    ///
    /// - `ENOSPC` if all inode numbers are in use;
    /// - `ENOMEM` if there is no memory.
    ///
    /// # Context
    ///
    /// The initialiser may sleep.
    #[doc(alias = "ns_common_init")]
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: On success `__ns_common_init` has initialised all fields except `ns_rcu`,
            // which is first used by `release`, and the children of the tree nodes, which are set
            // when the nodes are added to the trees.
            inner <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes. By the safety requirements of the trait, the
                // flag and the operations belong to the same kind of namespace. An `inum` of 0
                // requests a new inode number.
                to_result(unsafe {
                    bindings::__ns_common_init(slot, T::TYPE, T::operations().as_ptr(), 0)
                })
            }),
            _p: PhantomData,
        }? Error)
    }

    /// Returns the namespace in which `ns` is embedded.
    ///
    /// # Safety
    ///
    /// `ns` must point to the `struct ns_common` of a namespace of type `T`.
    #[inline]
    unsafe fn container_of(ns: *mut bindings::ns_common) -> NonNull<T> {
        // SAFETY: By the safety requirements of the trait, `ns` is `NS_COMMON_OFFSET` bytes behind
        // the start of the namespace.
        unsafe { NonNull::new_unchecked(ns.byte_sub(T::NS_COMMON_OFFSET).cast()) }
    }

    /// Increments the reference count.
    #[doc(alias = "ns_ref_inc")]
    #[inline]
    pub fn get(&self) {
        // SAFETY: By the type invariants, the `struct ns_common` is initialised. The existence of a
        // shared reference to the namespace means that the refcount is nonzero; outside of a
        // namespace, nothing depends on the refcount.
        unsafe { bindings::__ns_ref_inc(self.inner.get()) };
    }

    /// Decrements the reference count of `ns`, and releases `ns` if that was the last reference.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Safety
    ///
    /// The caller must own a reference to `ns`, which it gives up.
    #[doc(alias = "ns_ref_put")]
    #[inline]
    pub unsafe fn put(ns: NonNull<T>) {
        // SAFETY: The caller owns a reference, so `ns` is valid.
        let common = unsafe { ns.as_ref() }.ns_common().inner.get();
        // SAFETY: The caller gives up a reference.
        if unsafe { bindings::__ns_ref_put(common) } {
            // SAFETY: `__ns_ref_put` returned true, so that was the last reference.
            unsafe { Self::release(ns) };
        }
    }

    /// Removes a namespace without references from the trees, drops it, and frees it after an RCU
    /// grace period.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Safety
    ///
    /// The reference count of `ns` must have dropped to zero, and only the caller that dropped it
    /// to zero may call this.
    pub unsafe fn release(ns: NonNull<T>) {
        // `kfree_rcu()` finds the start of the object from the offset of its `rcu_head`.
        const {
            assert!(T::NS_COMMON_OFFSET + offset_of!(bindings::ns_common, ns_rcu) < 4096);
        }

        // SAFETY: The safety requirements guarantee that no one else frees `ns`, so it is valid.
        let common = unsafe { ns.as_ref() }.ns_common().inner.get();
        // SAFETY: `create` added the namespace to this tree. The static namespaces, which `create`
        // did not add, are initial namespaces: their reference count never drops to zero.
        unsafe { bindings::__ns_tree_remove(common, T::tree()) };
        // SAFETY: `common` is part of `ns`, so it is valid.
        let rcu = unsafe { &raw mut (*common).ns_rcu };
        // SAFETY: No references are left. Readers that walk the tree under RCU only access the
        // `struct ns_common`, which is in an `Opaque`: dropping `ns` does not change it.
        unsafe { ptr::drop_in_place(ns.as_ptr()) };
        // SAFETY: `create` allocated `ns` with `KBox`, and its value has been dropped. `rcu` is
        // unused, and is less than 4096 bytes behind `ns`, as asserted above.
        unsafe { bindings::kvfree_call_rcu(rcu.cast(), ns.as_ptr().cast()) };
    }
}

#[pinned_drop]
impl<T> PinnedDrop for NsCommon<T> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants, `self` owns the inode number.
        unsafe { bindings::__ns_common_free(self.inner.get()) };
    }
}

/// Creates a namespace and adds it to the namespace trees, where others can find it.
///
/// Like all new namespaces it is inactive until a task enters it or a file refers to it.
///
/// # Errors
///
/// - `ENOMEM` if there is no memory.
/// - The errors of `init`.
///
/// # Context
///
/// May sleep.
pub fn create<T: Namespace>(init: impl PinInit<T, Error>, flags: Flags) -> Result<ARef<T>> {
    let ns = KBox::pin_init(init, flags)?;
    // SAFETY: The namespace is not moved: from here on it is only accessed through pointers.
    let ns = KBox::leak(unsafe { Pin::into_inner_unchecked(ns) });
    // SAFETY: The initialiser of `NsCommon` set the reference count to one. We own that reference.
    let ns = unsafe { ARef::from_raw(NonNull::from(ns)) };
    let common = ns.ns_common().inner.get();
    // SAFETY: `common` is initialised and not shared yet. An `id` of 0 requests a new id.
    unsafe { bindings::__ns_tree_gen_id(common, 0) };
    // SAFETY: `common` has an id. By the safety requirements of the trait, this is its tree.
    unsafe { bindings::__ns_tree_add_raw(common, T::tree()) };
    Ok(ns)
}

/// A file in `/proc/PID/ns`: a namespace that a task has.
///
/// A kind of namespace has a file for each of its namespaces in `struct nsproxy`, such as `time`
/// and `time_for_children`. setns(2) installs the namespace in the same way whichever file was
/// opened: see [`Namespace::install`].
pub trait ProcNsFile {
    /// The kind of namespace.
    type Ns: Namespace;

    /// The name of the file.
    const NAME: &'static CStr;

    /// The kind of namespace that the link shows, if it differs from [`NAME`](Self::NAME).
    const REAL_NAME: Option<&'static CStr> = None;

    /// Returns the namespace of `task`, or [`None`] if the task has exited.
    ///
    /// # Context
    ///
    /// Called without locks. May sleep.
    fn get(task: &Task) -> Option<ARef<Self::Ns>>;
}

/// The table of operations of a file in `/proc/PID/ns`.
///
/// Wraps the kernel's `struct proc_ns_operations`.
///
/// # Invariants
///
/// The pointers in the table are null or point to statics and functions that any thread may use.
#[repr(transparent)]
pub struct ProcNsOperations(bindings::proc_ns_operations);

// SAFETY: By the type invariants, any thread may use the table. It is never changed.
unsafe impl Sync for ProcNsOperations {}

impl ProcNsOperations {
    /// Creates the table for the file `F`.
    pub const fn new<F: ProcNsFile>() -> Self {
        // INVARIANT: The names are static strings.
        Self(bindings::proc_ns_operations {
            name: crate::str::as_char_ptr_in_const_context(F::NAME),
            real_ns_name: match F::REAL_NAME {
                Some(name) => crate::str::as_char_ptr_in_const_context(name),
                None => ptr::null(),
            },
            get: Some(get_callback::<F>),
            put: Some(put_callback::<F::Ns>),
            install: Some(install_callback::<F::Ns>),
            owner: Some(owner_callback::<F::Ns>),
            get_parent: None,
        })
    }

    /// Returns a raw pointer to the table.
    #[inline]
    pub const fn as_ptr(&self) -> *const bindings::proc_ns_operations {
        &raw const self.0
    }
}

/// Returns the namespace of `task` with a reference, or null if the task has exited.
///
/// # Safety
///
/// `task` must be valid.
unsafe extern "C" fn get_callback<F: ProcNsFile>(
    task: *mut bindings::task_struct,
) -> *mut bindings::ns_common {
    // SAFETY: The caller guarantees that `task` is valid. The cast is okay because `Task` is a
    // transparent wrapper.
    let task: &Task = unsafe { &*task.cast() };
    match F::get(task) {
        Some(ns) => {
            let ns = ARef::into_raw(ns);
            // SAFETY: The reference that the caller is about to own keeps the namespace alive.
            unsafe { ns.as_ref() }.ns_common().inner.get()
        }
        None => ptr::null_mut(),
    }
}

/// Drops a reference to a namespace.
///
/// # Safety
///
/// `ns` must be part of a namespace of type `T`. The caller must own a reference to it, which it
/// gives up.
unsafe extern "C" fn put_callback<T: Namespace>(ns: *mut bindings::ns_common) {
    // SAFETY: The safety requirements are those of `container_of` and `put`.
    unsafe { NsCommon::<T>::put(NsCommon::container_of(ns)) };
}

/// Puts a namespace into `nsset`.
///
/// Returns 0 or a negative error number.
///
/// # Safety
///
/// `nsset` must have been set up by `prepare_nsset()` for the current task, and no one else may
/// access it. `ns` must be part of a live namespace of type `T`.
unsafe extern "C" fn install_callback<T: Namespace>(
    nsset: *mut bindings::nsset,
    ns: *mut bindings::ns_common,
) -> c_int {
    // SAFETY: The safety requirements include those of `NsSet::from_raw`.
    let mut nsset = unsafe { NsSet::from_raw(nsset) };
    // SAFETY: The caller guarantees that `ns` is part of a live namespace of type `T`.
    let ns = unsafe { NsCommon::<T>::container_of(ns).as_ref() };
    from_result(|| ns.install(&mut nsset).map(|()| 0))
}

/// Returns the user namespace that owns a namespace.
///
/// # Safety
///
/// `ns` must be part of a namespace of type `T` that has not been dropped yet. Its reference count
/// may be zero: `__ns_tree_remove()` calls this.
unsafe extern "C" fn owner_callback<T: Namespace>(
    ns: *mut bindings::ns_common,
) -> *mut bindings::user_namespace {
    // SAFETY: The caller guarantees that the namespace has not been dropped. By the safety
    // requirements of the trait, `Namespace::owner` takes no reference to it.
    let ns = unsafe { NsCommon::<T>::container_of(ns).as_ref() };
    ns.owner().as_ptr()
}

/// Tests with a kind of namespace that only exists here.
#[cfg(CONFIG_RUST_NS_COMMON_KUNIT_TEST)]
#[kunit_tests(rust_ns_common)]
mod tests {
    use super::*;
    use crate::{
        current,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            rcu, //
        },
        task::Kuid,
        user_namespace::{
            Capability,
            Ucount,
            UcountType, //
        },
    };

    /// The number of live namespaces.
    static ALIVE: Atomic<i32> = Atomic::new(0);

    /// The number of the namespace that a task has entered last.
    static ENTERED: Atomic<i32> = Atomic::new(0);

    /// A namespace with a number.
    #[pin_data(PinnedDrop)]
    struct Numbered {
        user_ns: ARef<UserNamespace>,
        _ucount: Ucount<NumberedNamespaces>,
        #[pin]
        ns: NsCommon<Self>,
        number: i32,
    }

    #[pinned_drop]
    impl PinnedDrop for Numbered {
        fn drop(self: Pin<&mut Self>) {
            ALIVE.fetch_sub(1, Relaxed);
        }
    }

    /// The charge for a [`Numbered`], counted as a UTS namespace.
    enum NumberedNamespaces {}

    // SAFETY: `UCOUNT_UTS_NAMESPACES` is a constant of `enum ucount_type` below `UCOUNT_COUNTS`.
    unsafe impl UcountType for NumberedNamespaces {
        const TYPE: bindings::ucount_type = bindings::ucount_type_UCOUNT_UTS_NAMESPACES;
    }

    static OPERATIONS: ProcNsOperations = ProcNsOperations::new::<NumberedFile>();

    /// The tree of all [`Numbered`]. Its list is empty, so it points to itself.
    static mut TREE: bindings::ns_tree_root = bindings::ns_tree_root {
        ns_rb: bindings::rb_root {
            rb_node: ptr::null_mut(),
        },
        ns_list_head: bindings::list_head {
            // SAFETY: Only the address is taken.
            next: unsafe { &raw mut TREE.ns_list_head },
            // SAFETY: As above.
            prev: unsafe { &raw mut TREE.ns_list_head },
        },
    };

    // SAFETY:
    // - `Raw` is `Self`.
    // - `NS_COMMON_OFFSET` is the offset of the field that `ns_common` returns.
    // - The C macros do not have this kind of namespace. listns(2) would warn about the missing
    //   flag, and must not be called while these tests run.
    // - All instances are created by `Numbered::new`, which calls `create`.
    // - `ns_common` and `owner` only return a field.
    // - `NsCommon` counts the references, and `AlwaysRefCounted` only calls it.
    unsafe impl Namespace for Numbered {
        type Raw = Self;

        const TYPE: u32 = 0;
        const NS_COMMON_OFFSET: usize = offset_of!(Self, ns);

        fn ns_common(&self) -> &NsCommon<Self> {
            &self.ns
        }

        fn owner(&self) -> &UserNamespace {
            &self.user_ns
        }

        fn operations() -> &'static ProcNsOperations {
            &OPERATIONS
        }

        fn tree() -> *mut bindings::ns_tree_root {
            &raw mut TREE
        }

        fn install(&self, nsset: &mut NsSet<'_>) -> Result {
            if !nsset.user_ns().capable(Capability::SYS_ADMIN) {
                return Err(EPERM);
            }
            ENTERED.store(self.number, Relaxed);
            Ok(())
        }
    }

    // SAFETY: `NsCommon` counts the references, and the namespace stays alive as long as there is
    // one.
    unsafe impl AlwaysRefCounted for Numbered {
        fn inc_ref(&self) {
            self.ns.get();
        }

        unsafe fn dec_ref(obj: NonNull<Self>) {
            // SAFETY: The caller gives up a reference.
            unsafe { NsCommon::put(obj) };
        }
    }

    impl Numbered {
        fn new(number: i32) -> Result<ARef<Self>> {
            let ucount = Ucount::charge(UserNamespace::init(), Kuid::current_euid());
            create(
                try_pin_init!(Self {
                    user_ns: UserNamespace::init().into(),
                    _ucount: ucount.ok_or(ENOSPC)?,
                    ns <- NsCommon::new(),
                    number: {
                        // Fails after the other fields are initialised.
                        if number < 0 {
                            return Err(EINVAL);
                        }
                        ALIVE.fetch_add(1, Relaxed);
                        number
                    },
                }? Error),
                GFP_KERNEL_ACCOUNT,
            )
        }

        fn inum(&self) -> u32 {
            // SAFETY: The inode number never changes after initialization, so reading this field is
            // not a data race.
            unsafe { (*self.ns.inner.get()).inum }
        }
    }

    /// Returns the number of charges to the current user, including one for this call.
    fn charges() -> Result<isize> {
        Ucount::<NumberedNamespaces>::charge(UserNamespace::init(), Kuid::current_euid())
            .map(|ucount| ucount.count())
            .ok_or(ENOSPC)
    }

    fn tree_is_empty() -> bool {
        // SAFETY: Only this test accesses the tree.
        unsafe { ptr::eq(TREE.ns_list_head.next, &raw const TREE.ns_list_head) }
    }

    /// A file that creates a namespace with the task's pid as its number.
    struct NumberedFile;

    impl ProcNsFile for NumberedFile {
        type Ns = Numbered;

        const NAME: &'static CStr = c"numbered";

        fn get(task: &Task) -> Option<ARef<Numbered>> {
            Numbered::new(task.pid()).ok()
        }
    }

    #[test]
    fn last_put_drops_the_namespace() -> Result {
        let charged = charges()?;
        let first = Numbered::new(1)?;
        let second = Numbered::new(2)?;
        assert_eq!(ALIVE.load(Relaxed), 2);
        assert_eq!(charges()?, charged + 2);
        assert!(!tree_is_empty());

        let again = first.clone();
        drop(first);
        assert_eq!(again.number, 1);
        assert_eq!(ALIVE.load(Relaxed), 2);
        drop(again);
        assert_eq!(ALIVE.load(Relaxed), 1);
        assert_eq!(charges()?, charged + 1);

        drop(second);
        assert_eq!(ALIVE.load(Relaxed), 0);
        assert_eq!(charges()?, charged);
        assert!(tree_is_empty());
        Ok(())
    }

    #[test]
    fn inode_numbers_are_unique() -> Result {
        let first = Numbered::new(1)?;
        let second = Numbered::new(2)?;
        assert!(first.inum() != second.inum());
        Ok(())
    }

    #[test]
    fn rcu_readers_can_read_a_dropped_namespace() -> Result {
        let ns = Numbered::new(1)?;
        let common = ns.ns_common().inner.get();
        let inum = ns.inum();

        let guard = rcu::read_lock();
        // Does not sleep: the user namespace and its counts have other references.
        drop(ns);
        // SAFETY: The namespace was in the tree in this RCU read-side critical section, so it is
        // not freed before its end. Its inode number is not written any more.
        let found = unsafe { (*common).inum };
        drop(guard);
        assert_eq!(ALIVE.load(Relaxed), 0);
        assert_eq!(found, inum);
        Ok(())
    }

    #[test]
    fn failed_initialisation_leaks_nothing() -> Result {
        let charged = charges()?;
        assert_eq!(Numbered::new(-1).err(), Some(EINVAL));
        assert_eq!(ALIVE.load(Relaxed), 0);
        assert_eq!(charges()?, charged);
        assert!(tree_is_empty());
        Ok(())
    }

    #[test]
    fn table_calls_the_traits() -> Result {
        let ops = &OPERATIONS.0;
        let (get, put) = ops.get.zip(ops.put).ok_or(ENOENT)?;
        let (owner, install) = ops.owner.zip(ops.install).ok_or(ENOENT)?;
        // SAFETY: The name is a static string.
        assert_eq!(unsafe { CStr::from_char_ptr(ops.name) }, c"numbered");

        let current = current!();
        // SAFETY: The current task is valid.
        let common = unsafe { get(current.as_ptr()) };
        assert!(!common.is_null());
        // SAFETY: `get` returned part of a namespace of this type, and a reference to it.
        let ns = unsafe { NsCommon::<Numbered>::container_of(common).as_ref() };
        assert_eq!(ns.number, current.pid());
        // SAFETY: The namespace is alive.
        assert_eq!(unsafe { owner(common) }, UserNamespace::init().as_ptr());

        // SAFETY: The current task has namespaces and credentials, and only changes them itself.
        let (mut nsproxy, cred) =
            unsafe { (*(*current.as_ptr()).nsproxy, (*current.as_ptr()).cred) };
        let mut nsset = bindings::nsset {
            nsproxy: &mut nsproxy,
            cred,
            ..Default::default()
        };
        // SAFETY: The namespace is alive. The set differs from that of `prepare_nsset()` in that it
        // owns no references to the current task's namespaces: `install` replaces none of them.
        assert_eq!(unsafe { install(&mut nsset, common) }, 0);
        assert_eq!(ENTERED.load(Relaxed), ns.number);

        // SAFETY: We own the reference that `get` returned.
        unsafe { put(common) };
        assert_eq!(ALIVE.load(Relaxed), 0);
        Ok(())
    }
}
