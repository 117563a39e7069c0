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
/// - no reference to an instance is taken while it is initialised, or dropped, or by
///   [`ns_common`](Namespace::ns_common) or [`owner`](Namespace::owner), which are called also for
///   one that has no references any more, the latter under a spinlock: it must not sleep;
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

    /// Returns the user namespace that owns this one.
    fn owner(&self) -> &UserNamespace;

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
            // `ns_rcu`, which is not used before the release, and for the children of its tree
            // nodes, which are set when it is put into the trees.
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
        // SAFETY: By the type invariants the `struct ns_common` is initialised. As there is a
        // reference to the namespace that it is part of, its count is not zero; if it is part of
        // none, nothing depends on the count.
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
        // make, are initial namespaces, the reference count of which never drops. What this calls
        // back, `Namespace::owner`, takes no reference.
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
    ///
    /// Called without locks. May sleep.
    fn get(task: &Task) -> Option<ARef<Self::Ns>>;

    /// Makes `ns` part of the set of namespaces that the current task is about to enter.
    ///
    /// Fails with what setns(2) is to fail with, and then changes nothing. Called without locks.
    /// May sleep.
    fn install(nsset: &mut NsSet<'_>, ns: &Self::Ns) -> Result;
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
    /// `nsset` must be the one that `prepare_nsset()` has set up for the current task, and nobody
    /// else may access it. `ns` must be part of a live namespace of type `T::Ns`.
    unsafe extern "C" fn install(
        nsset: *mut bindings::nsset,
        ns: *mut bindings::ns_common,
    ) -> c_int {
        // SAFETY: As the caller guarantees.
        let mut nsset = unsafe { NsSet::from_raw(nsset) };
        // SAFETY: The caller guarantees that the namespace is alive.
        let ns = unsafe { NsCommon::<T::Ns>::container_of(ns).as_ref() };
        from_result(|| T::install(&mut nsset, ns).map(|()| 0))
    }

    /// # Safety
    ///
    /// `ns` must be part of a namespace of type `T::Ns` that has not been dropped yet, with or
    /// without references: `__ns_tree_remove()` asks for the owner when there are none any more.
    unsafe extern "C" fn owner(ns: *mut bindings::ns_common) -> *mut bindings::user_namespace {
        // SAFETY: The caller guarantees that the namespace is there, and `Namespace::owner` takes
        // no reference to it.
        let ns = unsafe { NsCommon::<T::Ns>::container_of(ns).as_ref() };
        ns.owner().as_ptr()
    }
}

/// A kind of namespace that nothing else has, made of what this module offers.
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

    /// How many there are.
    static ALIVE: Atomic<i32> = Atomic::new(0);

    /// The number of the one that a task has entered last.
    static ENTERED: Atomic<i32> = Atomic::new(0);

    /// A namespace whose tasks have a number in common.
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

    /// Has no limit of its own, and takes that of another kind of namespace.
    enum NumberedNamespaces {}

    // SAFETY: `UCOUNT_UTS_NAMESPACES` is a constant of `enum ucount_type` below `UCOUNT_COUNTS`.
    unsafe impl UcountType for NumberedNamespaces {
        const TYPE: bindings::ucount_type = bindings::ucount_type_UCOUNT_UTS_NAMESPACES;
    }

    static OPERATIONS: ProcNsOperations = ProcNsOperations::new::<NumberedOps>();

    /// All of them. The list is empty, thus points to itself.
    static mut TREE: bindings::ns_tree_root = bindings::ns_tree_root {
        ns_rb: bindings::rb_root {
            rb_node: ptr::null_mut(),
        },
        ns_list_head: bindings::list_head {
            // SAFETY: The address is all that is taken.
            next: unsafe { &raw mut TREE.ns_list_head },
            // SAFETY: As above.
            prev: unsafe { &raw mut TREE.ns_list_head },
        },
    };

    // SAFETY:
    // - C code doesn't know the type, so that there is but one view of it.
    // - `NS_COMMON_OFFSET` is that of the field that `ns_common` returns.
    // - No macro chooses anything for the type: flag, tree and table are its own. Without a flag,
    //   listns(2) would take offence at it: that is nothing to call while these tests run.
    // - All instances are made by `Numbered::new`, which calls `create`.
    // - The references are counted by `NsCommon`, and nothing else is done with them.
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
    }

    // SAFETY: The `struct ns_common` in each namespace counts the references; the namespace stays
    // for as long as there is one.
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
                        // Behind what has to be given back.
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
            // SAFETY: It is initialised, and does not change while the namespace is alive.
            unsafe { (*self.ns.inner.get()).inum }
        }
    }

    /// How many objects the current user is charged with, one for the question included.
    fn charges() -> Result<isize> {
        Ucount::<NumberedNamespaces>::charge(UserNamespace::init(), Kuid::current_euid())
            .map(|ucount| ucount.count())
            .ok_or(ENOSPC)
    }

    fn tree_is_empty() -> bool {
        // SAFETY: No other task knows the tree, and none of its namespaces comes or goes now.
        unsafe { ptr::eq(TREE.ns_list_head.next, &raw const TREE.ns_list_head) }
    }

    /// Tasks are in a namespace that has their number, made when somebody asks.
    struct NumberedOps;

    impl NsOperations for NumberedOps {
        type Ns = Numbered;

        const NAME: &'static CStr = c"numbered";

        fn get(task: &Task) -> Option<ARef<Numbered>> {
            Numbered::new(task.pid()).ok()
        }

        fn install(nsset: &mut NsSet<'_>, ns: &Numbered) -> Result {
            if !nsset.user_ns().capable(Capability::SYS_ADMIN) {
                return Err(EPERM);
            }
            ENTERED.store(ns.number, Relaxed);
            Ok(())
        }
    }

    #[test]
    fn it_lives_while_there_are_references() -> Result {
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
    fn each_has_an_inode_number_of_its_own() -> Result {
        let first = Numbered::new(1)?;
        let second = Numbered::new(2)?;
        assert!(first.inum() != second.inum());
        Ok(())
    }

    #[test]
    fn who_has_found_it_under_rcu_may_look_at_it() -> Result {
        let ns = Numbered::new(1)?;
        let common = ns.ns_common().inner.get();
        let inum = ns.inum();

        let guard = rcu::read_lock();
        // This does not sleep: none of what the namespace has goes with it.
        drop(ns);
        // SAFETY: The namespace was there in this critical section, and is freed after it. Nobody
        // writes to its inode number.
        let found = unsafe { (*common).inum };
        drop(guard);
        assert_eq!(ALIVE.load(Relaxed), 0);
        assert_eq!(found, inum);
        Ok(())
    }

    #[test]
    fn what_fails_gives_all_back() -> Result {
        let charged = charges()?;
        assert_eq!(Numbered::new(-1).err(), Some(EINVAL));
        assert_eq!(ALIVE.load(Relaxed), 0);
        assert_eq!(charges()?, charged);
        assert!(tree_is_empty());
        Ok(())
    }

    #[test]
    fn c_code_reaches_it_through_the_table() -> Result {
        let ops = &OPERATIONS.0;
        let (get, put) = ops.get.zip(ops.put).ok_or(ENOENT)?;
        let (owner, install) = ops.owner.zip(ops.install).ok_or(ENOENT)?;
        // SAFETY: The name is a static string.
        assert_eq!(unsafe { CStr::from_char_ptr(ops.name) }, c"numbered");

        let current = current!();
        // SAFETY: The current task is valid.
        let common = unsafe { get(current.as_ptr()) };
        assert!(!common.is_null());
        // SAFETY: `get` has returned part of a namespace of this type, and a reference to it.
        let ns = unsafe { NsCommon::<Numbered>::container_of(common).as_ref() };
        assert_eq!(ns.number, current.pid());
        // SAFETY: The namespace is alive.
        assert_eq!(unsafe { owner(common) }, UserNamespace::init().as_ptr());

        // SAFETY: The current task has namespaces and credentials, which don't change meanwhile.
        let (mut nsproxy, cred) =
            unsafe { (*(*current.as_ptr()).nsproxy, (*current.as_ptr()).cred) };
        let mut nsset = bindings::nsset {
            nsproxy: &mut nsproxy,
            cred,
            ..Default::default()
        };
        // SAFETY: The namespace is alive. The set is as `prepare_nsset()` makes it, but for the
        // references to other namespaces, which are the current task's: none of them is replaced.
        assert_eq!(unsafe { install(&mut nsset, common) }, 0);
        assert_eq!(ENTERED.load(Relaxed), ns.number);

        // SAFETY: The reference that `get` has returned is ours, and not used any more.
        unsafe { put(common) };
        assert_eq!(ALIVE.load(Relaxed), 0);
        Ok(())
    }
}
