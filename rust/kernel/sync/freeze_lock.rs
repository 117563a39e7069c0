// SPDX-License-Identifier: GPL-2.0

//! A lock for data that is written at first and constant later.

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

/// Data that is written under a mutex until it is frozen, and read without a lock from then on.
///
/// The data is *open* at first: reading and writing need the mutex. [`freeze`] makes it *frozen*
/// for good. Freezing publishes (release) all earlier writes. A thread that observes the frozen
/// state (acquire) sees these writes, and can keep a shared reference as long as the [`FreezeLock`]
/// lives.
///
/// A guard to write with only exists while the data is open, and a reference that outlives the
/// guard only once it is frozen.
///
/// The layout is that of `struct { T data; struct mutex lock; bool frozen; }` in C. C code can
/// initialise such an object statically, and can read `data` where it knows that it is frozen.
///
/// # Invariants
///
/// - `frozen` only changes from `false` to `true`, while `lock` is held.
/// - While `frozen` is `false`, `data` is only accessed while `lock` is held.
/// - Once `frozen` is `true`, `data` is not written.
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
/// // Open: reading and writing take the lock.
/// if let Ok(mut guard) = cell.write() {
///     *guard = 2;
/// }
/// assert_eq!(cell.with(|value| *value), 2);
///
/// // Frozen: reading takes no lock, and writing fails.
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

// SAFETY: While the data is open, the mutex serialises all accesses, which needs `T: Send`. Once it
// is frozen, several threads can have shared references to it, which needs `T: Sync`.
unsafe impl<T: Send + Sync> Sync for FreezeLock<T> {}

impl<T> FreezeLock<T> {
    /// The byte offset of the data.
    pub const DATA_OFFSET: usize = offset_of!(Self, data);

    /// The byte offset of the mutex.
    pub const LOCK_OFFSET: usize = offset_of!(Self, lock);

    /// The byte offset of the flag.
    pub const FROZEN_OFFSET: usize = offset_of!(Self, frozen);

    /// Returns an initialiser for an open [`FreezeLock`].
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        // INVARIANT: `frozen` is `false`, and no one else accesses `data` yet.
        pin_init!(Self {
            data: UnsafeCell::new(data),
            lock <- Mutex::new((), name, key),
            frozen: Atomic::new(false),
        })
    }

    /// Returns the data if it is frozen.
    ///
    /// # Context
    ///
    /// Any context. Takes no lock.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.frozen.load(Acquire) {
            // SAFETY: By the type invariants, the data is not written any more. The acquire above
            // pairs with the release in `FreezeWriteGuard::freeze`, which is after the last write.
            Some(unsafe { &*self.data.get() })
        } else {
            None
        }
    }

    /// Locks the data for writing.
    ///
    /// # Errors
    ///
    /// - The data if it is frozen.
    ///
    /// # Context
    ///
    /// May sleep while the data is open.
    #[inline]
    pub fn write(&self) -> core::result::Result<FreezeWriteGuard<'_, T>, &T> {
        if let Some(data) = self.get() {
            return Err(data);
        }
        let guard = self.lock.lock();
        match self.get() {
            // INVARIANT: The lock is held, and `frozen` is `false`.
            None => Ok(FreezeWriteGuard {
                owner: self,
                _guard: guard,
            }),
            Some(data) => Err(data),
        }
    }

    /// Freezes the data if it is open, and returns it.
    ///
    /// # Context
    ///
    /// May sleep while the data is open.
    #[inline]
    pub fn freeze(&self) -> &T {
        match self.write() {
            Ok(guard) => guard.freeze(),
            Err(data) => data,
        }
    }

    /// Calls `f` on the data, open or frozen. Takes the lock while the data is open.
    ///
    /// # Context
    ///
    /// May sleep while the data is open.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.write() {
            Ok(guard) => f(&guard),
            Err(data) => f(data),
        }
    }
}

/// A guard with exclusive access to the data of an open [`FreezeLock`].
///
/// # Invariants
///
/// `_guard` is the guard of `owner.lock`, and `owner.frozen` is `false`.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct FreezeWriteGuard<'a, T> {
    owner: &'a FreezeLock<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<'a, T> FreezeWriteGuard<'a, T> {
    /// Freezes the data and returns it.
    #[inline]
    pub fn freeze(self) -> &'a T {
        // INVARIANT: By the type invariants, the lock is held. All writes are before this release,
        // and `self`, through which the data could be written, is consumed.
        self.owner.frozen.store(true, Release);
        // SAFETY: By the type invariants of `FreezeLock`, the data is not written any more.
        unsafe { &*self.owner.data.get() }
    }
}

impl<T> Deref for FreezeWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants, the lock is held and the data is open, so no one else
        // accesses it.
        unsafe { &*self.owner.data.get() }
    }
}

impl<T> DerefMut for FreezeWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariants, the lock is held and the data is open, so no one else
        // accesses it.
        unsafe { &mut *self.owner.data.get() }
    }
}
