// SPDX-License-Identifier: GPL-2.0

//! User namespaces, capabilities in them, and their per-user limits.
//!
//! For built-in code only: some of the C functions called here are not exported to modules.
//!
//! C headers: [`include/linux/user_namespace.h`](srctree/include/linux/user_namespace.h) and
//! [`include/linux/capability.h`](srctree/include/linux/capability.h).

use crate::{
    bindings,
    ffi::c_int,
    fs::LocalFile,
    sync::aref::AlwaysRefCounted,
    task::Kuid,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// A capability: see capabilities(7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capability(c_int);

impl Capability {
    /// `CAP_SYS_ADMIN`, needed to create and to join namespaces.
    pub const SYS_ADMIN: Self = Self(bindings::CAP_SYS_ADMIN as c_int);

    /// `CAP_SYS_TIME`, needed to set clocks.
    pub const SYS_TIME: Self = Self(bindings::CAP_SYS_TIME as c_int);
}

/// Wraps the kernel's `struct user_namespace`.
///
/// # Invariants
///
/// Instances of this type are always ref-counted, that is, a call to `get_user_ns` ensures that
/// the allocation remains valid at least until the matching call to `put_user_ns`.
#[repr(transparent)]
pub struct UserNamespace(Opaque<bindings::user_namespace>);

// SAFETY:
// - `UserNamespace::dec_ref` can be called from any thread.
// - It is okay to send ownership of `UserNamespace` across thread boundaries.
unsafe impl Send for UserNamespace {}

// SAFETY: It's OK to access `UserNamespace` through shared references from other threads because
// we're either accessing properties that don't change or that are properly synchronised by C code.
unsafe impl Sync for UserNamespace {}

impl UserNamespace {
    /// Creates a reference to a [`UserNamespace`] from a raw pointer.
    ///
    /// # Safety
    ///
    /// The caller must ensure that `ptr` is valid and remains valid for the lifetime `'a`.
    #[inline]
    pub unsafe fn from_ptr<'a>(ptr: *const bindings::user_namespace) -> &'a Self {
        // SAFETY: The safety requirements guarantee the validity of the dereference, while the
        // `UserNamespace` type being transparent makes the cast ok.
        unsafe { &*ptr.cast() }
    }

    /// Returns a raw pointer to the user namespace.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::user_namespace {
        self.0.get()
    }

    /// Returns the initial user namespace.
    #[inline]
    pub fn init() -> &'static Self {
        // SAFETY: `init_user_ns` is a static, so it is valid for `'static`.
        unsafe { Self::from_ptr(&raw const bindings::init_user_ns) }
    }

    /// Returns whether the current task has `cap` in this user namespace.
    ///
    /// Sets `PF_SUPERPRIV` in the current task if it has.
    #[doc(alias = "ns_capable")]
    #[inline]
    pub fn capable(&self, cap: Capability) -> bool {
        // SAFETY: `self` is valid since it is a reference, and every `Capability` is valid.
        unsafe { bindings::ns_capable(self.as_ptr(), cap.0) }
    }

    /// Returns whether the opener of `file` had `cap` in this user namespace.
    #[doc(alias = "file_ns_capable")]
    #[inline]
    pub fn file_capable(&self, file: &LocalFile, cap: Capability) -> bool {
        // SAFETY: `file` and `self` are valid since they are references, and every `Capability` is
        // valid.
        unsafe { bindings::file_ns_capable(file.as_ptr(), self.as_ptr(), cap.0) }
    }
}

// SAFETY: The type invariants guarantee that `UserNamespace` is always ref-counted.
unsafe impl AlwaysRefCounted for UserNamespace {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference means that the refcount is nonzero.
        unsafe { bindings::get_user_ns(self.as_ptr()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The safety requirements guarantee that the refcount is nonzero.
        unsafe { bindings::put_user_ns(obj.cast().as_ptr()) };
    }
}

/// A kind of object whose number is limited for each user and user namespace.
///
/// The limits are in `/proc/sys/user`.
///
/// Mirrors `enum ucount_type`.
///
/// # Safety
///
/// [`UcountType::TYPE`] must be below `UCOUNT_COUNTS`.
pub unsafe trait UcountType {
    /// The C constant.
    const TYPE: bindings::ucount_type;
}

/// Time namespaces, limited by `/proc/sys/user/max_time_namespaces`.
pub enum TimeNamespaces {}

// SAFETY: `UCOUNT_TIME_NAMESPACES` is a constant of `enum ucount_type` below `UCOUNT_COUNTS`.
unsafe impl UcountType for TimeNamespaces {
    const TYPE: bindings::ucount_type = bindings::ucount_type_UCOUNT_TIME_NAMESPACES;
}

/// A charge of one object to a user, in a user namespace and in all its ancestors.
///
/// Dropping it returns the charge.
///
/// # Invariants
///
/// `inc_ucount` returned the pointer for `T::TYPE`, and only this object calls the matching
/// `dec_ucount`.
#[repr(transparent)]
pub struct Ucount<T: UcountType>(NonNull<bindings::ucounts>, PhantomData<T>);

// SAFETY: It is okay to send ownership of `Ucount` across thread boundaries: `dec_ucount` can be
// called from any thread.
unsafe impl<T: UcountType> Send for Ucount<T> {}

// SAFETY: The only operation on a shared reference reads an atomic.
unsafe impl<T: UcountType> Sync for Ucount<T> {}

impl<T: UcountType> Ucount<T> {
    /// Charges one object to `uid` in `ns` and in all its ancestors.
    ///
    /// Returns [`None`] if that would exceed a limit or if there is no memory. C callers return
    /// `ENOSPC` for both.
    ///
    /// # Context
    ///
    /// May sleep.
    #[doc(alias = "inc_ucount")]
    #[inline]
    pub fn charge(ns: &UserNamespace, uid: Kuid) -> Option<Self> {
        // SAFETY: `ns` is valid since it is a reference. By the safety requirements of the trait,
        // `T::TYPE` is below `UCOUNT_COUNTS`.
        let ptr = unsafe { bindings::inc_ucount(ns.as_ptr(), uid.into_raw(), T::TYPE) };
        // INVARIANT: `inc_ucount` returned `ptr` for `T::TYPE`, and it is not shared.
        NonNull::new(ptr).map(|ptr| Self(ptr, PhantomData))
    }

    /// Returns the number of charges to the user, including this one, in the user namespace that
    /// was passed to [`charge`](Self::charge).
    pub fn count(&self) -> isize {
        // SAFETY: By the type invariants, the pointer is valid. By the safety requirements of the
        // trait, `T::TYPE` is below `UCOUNT_COUNTS`.
        unsafe { bindings::ucount_read(self.0.as_ptr(), T::TYPE) }
    }
}

impl<T: UcountType> Drop for Ucount<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this is the call that matches `inc_ucount`.
        unsafe { bindings::dec_ucount(self.0.as_ptr(), T::TYPE) };
    }
}
