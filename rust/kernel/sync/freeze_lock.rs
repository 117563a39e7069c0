// SPDX-License-Identifier: GPL-2.0

//! A lock that data needs only until it is frozen.

use super::{
    atomic::{
        ordering::{
            Acquire,
            Release, //
        },
        Atomic,
    },
    LockClassKey,
    Mutex,
    MutexGuard, //
};
use crate::prelude::*;
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ops::{
        Deref,
        DerefMut, //
    },
};

/// Creates a [`FreezeLock`] initialiser with the given name and a newly-created lock class.
///
/// It uses the name if one is given, otherwise it generates one based on the file name and line
/// number.
#[macro_export]
macro_rules! new_freeze_lock {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::FreezeLock::new(
            $inner, $crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_freeze_lock;

/// Data that can be written under a mutex until it is frozen, and from then on read without one.
///
/// It is *open* at first: whoever wants to read or write takes the mutex. [`freeze`] ends that for
/// good: it publishes (release) what was written, and whoever then sees that the data is frozen
/// (acquire) sees all of it, and may keep a shared reference for as long as the [`FreezeLock`]
/// lives. Writing takes a guard, which there is only while the data is open; a reference that
/// outlives the guards there is only once it is frozen.
///
/// The layout is part of the contract: the C object that a `FreezeLock<T>` stands for is
/// `struct { T data; struct mutex lock; bool frozen; }`, so that C may initialise one statically
/// and may read `data` where it knows that it is frozen.
///
/// # Invariants
///
/// - `frozen` only ever changes from `false` to `true`, by the owner of `lock`.
/// - While `frozen` is `false`, `data` is accessed only by the owner of `lock`.
/// - Once `frozen` is `true`, `data` is not written to.
///
/// # Examples
///
/// ```
/// use kernel::sync::{
///     new_freeze_lock,
///     FreezeLock, //
/// };
///
/// let cell = KBox::pin_init(new_freeze_lock!(1), GFP_KERNEL)?;
/// assert!(cell.get().is_none());
///
/// // Open: it can be written, and read under the lock.
/// if let Ok(mut guard) = cell.write() {
///     *guard = 2;
/// }
/// assert_eq!(cell.with(|value| *value), 2);
///
/// // Frozen: it can be read only, and without the lock.
/// assert_eq!(cell.freeze(), &2);
/// assert_eq!(cell.get(), Some(&2));
/// assert!(cell.write().is_err());
/// # Ok::<(), Error>(())
/// ```
///
/// [`freeze`]: FreezeLock::freeze
#[pin_data]
#[repr(C)]
pub struct FreezeLock<T> {
    data: UnsafeCell<T>,
    #[pin]
    lock: Mutex<()>,
    frozen: Atomic<bool>,
}

// SAFETY: While open, the mutex serialises all access to the data, which needs `T: Send`; once
// frozen, any number of threads share references to it, which needs `T: Sync`.
unsafe impl<T: Send + Sync> Sync for FreezeLock<T> {}

impl<T> FreezeLock<T> {
    /// Where the data lies, in bytes.
    pub const DATA_OFFSET: usize = offset_of!(Self, data);

    /// Where the mutex lies, in bytes.
    pub const LOCK_OFFSET: usize = offset_of!(Self, lock);

    /// Where the flag lies, in bytes.
    pub const FROZEN_OFFSET: usize = offset_of!(Self, frozen);

    /// Constructs an initialiser of an open [`FreezeLock`].
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        // INVARIANT: Nobody else can access what is not initialised yet.
        pin_init!(Self {
            data: UnsafeCell::new(data),
            lock <- Mutex::new((), name, key),
            frozen: Atomic::new(false),
        })
    }

    /// Returns the data if it is frozen.
    ///
    /// Takes no lock; can be called from any context.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.frozen.load(Acquire) {
            // SAFETY: By the type invariants the data is not written to any more, and the acquire
            // above orders this after the release in `FreezeWriteGuard::freeze`, which came after
            // the last write.
            Some(unsafe { &*self.data.get() })
        } else {
            None
        }
    }

    /// Locks the data for writing, or returns it if it is frozen.
    ///
    /// May sleep, unless the data is frozen.
    #[inline]
    pub fn write(&self) -> core::result::Result<FreezeWriteGuard<'_, T>, &T> {
        if let Some(data) = self.get() {
            return Err(data);
        }
        let guard = self.lock.lock();
        match self.get() {
            // INVARIANT: The lock is held, and the data is not frozen.
            None => Ok(FreezeWriteGuard {
                owner: self,
                _guard: guard,
            }),
            Some(data) => Err(data),
        }
    }

    /// Freezes the data, if that has not been done yet, and returns it.
    ///
    /// May sleep, unless the data is frozen.
    #[inline]
    pub fn freeze(&self) -> &T {
        match self.write() {
            Ok(guard) => guard.freeze(),
            Err(data) => data,
        }
    }

    /// Calls `f` on the data as it is between two writes, frozen or not.
    ///
    /// May sleep, unless the data is frozen.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.write() {
            Ok(guard) => f(&guard),
            Err(data) => f(data),
        }
    }
}

/// Exclusive access to the data of a [`FreezeLock`] that is open.
///
/// # Invariants
///
/// `_guard` is that of `owner.lock`, and `owner.frozen` is `false`.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct FreezeWriteGuard<'a, T> {
    owner: &'a FreezeLock<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<'a, T> FreezeWriteGuard<'a, T> {
    /// Freezes the data and returns it.
    #[inline]
    pub fn freeze(self) -> &'a T {
        // INVARIANT: The lock is held by the type invariants; all writes that it serialised come
        // before this release, and `self`, which alone could write, ends here.
        self.owner.frozen.store(true, Release);
        // SAFETY: By the type invariants of `FreezeLock` the data is not written to any more.
        unsafe { &*self.owner.data.get() }
    }
}

impl<T> Deref for FreezeWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the lock is held and the data is not frozen, so that no
        // one else accesses it.
        unsafe { &*self.owner.data.get() }
    }
}

impl<T> DerefMut for FreezeWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariants the lock is held and the data is not frozen, so that no
        // one else accesses it.
        unsafe { &mut *self.owner.data.get() }
    }
}
