// SPDX-License-Identifier: GPL-2.0

//! The namespace and its lifetime.

use super::{
    offsets::Offsets,
    vdso::{
        self,
        SparePage,
        TimensPage,
        VdsoOffsets, //
    },
};
use core::mem::offset_of;
use kernel::{
    mm::MmWithUser,
    ns_common::{
        self,
        Namespace,
        NsCommon, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        new_freeze_lock,
        FreezeLock, //
    },
    task::Kuid,
    user_namespace::{
        TimeNamespaces,
        Ucount,
        UserNamespace, //
    },
};

/// A time namespace.
///
/// Has the layout of `struct time_namespace`.
#[pin_data]
#[repr(C)]
pub(crate) struct TimeNamespace {
    /// The user namespace that owns this namespace.
    pub(crate) user_ns: ARef<UserNamespace>,

    /// The charge to the user who created this namespace, [`None`] for the initial namespace.
    pub(crate) ucount: Option<Ucount<TimeNamespaces>>,

    /// The part that all kinds of namespaces have.
    #[pin]
    pub(crate) ns: NsCommon<Self>,

    /// Open until the first task joins, then frozen.
    #[pin]
    pub(crate) state: FreezeLock<State>,
}

/// The offsets of a namespace, and the form in which the vDSO reads them.
///
/// # Invariants
///
/// `vdso` shows `offsets`: its page is absent if `offsets` is zero, and contains `offsets`
/// otherwise.
#[repr(C)]
pub(crate) struct State {
    offsets: Offsets,
    vdso: VdsoOffsets,
}

impl State {
    /// The byte offset of the clock offsets.
    pub(crate) const OFFSETS_OFFSET: usize = offset_of!(Self, offsets);

    /// The byte offset of the pointer to the page for the vDSO.
    #[cfg(CONFIG_TIME_NS_VDSO)]
    pub(crate) const VDSO_OFFSET: usize = offset_of!(Self, vdso);

    /// Creates the state of a namespace with the given offsets.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if `offsets` is not zero and there is no memory for the page.
    ///
    /// # Context
    ///
    /// May sleep.
    fn new(offsets: Offsets) -> Result<Self> {
        // INVARIANT: `VdsoOffsets::new` returns an object that shows `offsets`.
        Ok(Self {
            vdso: VdsoOffsets::new(&offsets)?,
            offsets,
        })
    }

    /// Replaces the offsets, and what the vDSO reads, with `offsets`.
    ///
    /// Returns `false` and changes nothing if that needs a page and `spare` has none.
    fn replace(&mut self, offsets: Offsets, spare: &mut SparePage) -> bool {
        let shown = self.vdso.show(&offsets, spare);
        if shown {
            // INVARIANT: `vdso` shows `offsets` now.
            self.offsets = offsets;
        }
        shown
    }
}

impl TimeNamespace {
    /// Returns the namespace for the children of a task: `old`, or a copy of it if `flags` contains
    /// `CLONE_NEWTIME`.
    ///
    /// The copy is open, has the offsets that `old` has at this moment, and is owned by `user_ns`.
    ///
    /// Mirrors `copy_time_ns()`.
    ///
    /// # Errors
    ///
    /// - `ENOSPC` if the current user has reached a limit on time namespaces, or if there is no
    ///   memory to count them.
    /// - `ENOMEM` if there is no memory for the page with the offsets or for the namespace.
    /// - `ENOSPC` or `ENOMEM` if there is no inode number: see [`NsCommon::new`].
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn copy(flags: u64, user_ns: &UserNamespace, old: &Self) -> Result<ARef<Self>> {
        if flags & u64::from(Self::TYPE) == 0 {
            return Ok(old.into());
        }

        let ucount = Ucount::charge(user_ns, Kuid::current_euid()).ok_or(ENOSPC)?;
        let state = State::new(old.offsets())?;
        ns_common::create(
            try_pin_init!(Self {
                user_ns: user_ns.into(),
                ucount: Some(ucount),
                ns <- NsCommon::new(),
                state <- new_freeze_lock!(state, "TimeNamespace::state"),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Returns the offsets as they are at this moment.
    ///
    /// # Context
    ///
    /// May sleep while the namespace is open.
    pub(crate) fn offsets(&self) -> Offsets {
        self.state.with(|state| state.offsets)
    }

    /// Replaces the offsets with the result of calling `change` on them.
    ///
    /// `change` may be called twice. The page for the vDSO is allocated without holding the lock,
    /// because the first task that joins needs the lock.
    ///
    /// # Errors
    ///
    /// - `EACCES` if a task has joined the namespace.
    /// - `ENOMEM` if the offsets change from zero to another value and there is no memory for the
    ///   page.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn update(&self, change: impl Fn(Offsets) -> Offsets) -> Result {
        let mut spare = SparePage::NONE;
        loop {
            let mut state = self.state.write().map_err(|_frozen| EACCES)?;
            let offsets = change(state.offsets);
            if state.replace(offsets, &mut spare) {
                return Ok(());
            }
            drop(state);
            spare = SparePage::new()?;
        }
    }

    /// Freezes the offsets and prepares the address space of a task that joins from `old`.
    ///
    /// Must be called for each task that joins, before the task can read a clock. The caller changes
    /// the task's namespaces afterwards. Cannot fail, because the page for the vDSO is allocated when
    /// the offsets are written.
    ///
    /// If the namespaces have different pages, unmaps the time namespace page, so that the next
    /// vDSO read faults in the page of the new namespace.
    ///
    /// Mirrors `timens_commit()`.
    ///
    /// # Context
    ///
    /// May sleep. Takes the mmap lock for reading.
    pub(crate) fn join(&self, old: &Self, mm: Option<&MmWithUser>) {
        self.state.freeze();
        if let Some(mm) = mm {
            let page = |ns: &Self| ns.vdso_page().map(TimensPage::as_ptr);
            if page(old) != page(self) {
                vdso::zap_timens_page(mm);
            }
        }
    }

    /// Returns the page from which the tasks of this namespace read the offsets in the vDSO.
    ///
    /// Returns [`None`] if the tasks use the host's page. Also returns [`None`] while the namespace
    /// is open: a page that may still be written must not be mapped.
    pub(crate) fn vdso_page(&self) -> Option<&TimensPage> {
        self.state.get()?.vdso.page()
    }
}

#[cfg(CONFIG_TIME_NS_RUST_KUNIT_TEST)]
#[kunit_tests(time_namespace_object)]
pub(crate) mod tests {
    use super::*;
    use kernel::time::timespec::Timespec64;

    const NEW: u64 = TimeNamespace::TYPE as u64;

    /// Returns an open namespace with offsets of zero.
    pub(crate) fn new_namespace() -> Result<ARef<TimeNamespace>> {
        let nsproxy = current!();
        let nsproxy = nsproxy.nsproxy().ok_or(ESRCH)?;
        TimeNamespace::copy(NEW, UserNamespace::init(), nsproxy.time_ns())
    }

    const OFFSETS: Offsets = match (Timespec64::new(-5, 7), Timespec64::new(11, 13)) {
        (Some(monotonic), Some(boottime)) => Offsets {
            monotonic,
            boottime,
        },
        _ => panic!("not normalised"),
    };

    fn set(ns: &TimeNamespace, offsets: Offsets) -> Result {
        ns.update(|_old| offsets)
    }

    #[test]
    fn copy_without_the_flag_returns_the_same_namespace() -> Result {
        let ns = new_namespace()?;
        let same = TimeNamespace::copy(0, UserNamespace::init(), &ns)?;
        assert!(core::ptr::eq(&*ns, &*same));
        Ok(())
    }

    #[test]
    fn copy_has_the_offsets_and_is_open() -> Result {
        let old = new_namespace()?;
        set(&old, OFFSETS)?;
        old.join(&old, None);

        let copy = TimeNamespace::copy(NEW, UserNamespace::init(), &old)?;
        assert!(!core::ptr::eq(&*copy, &*old));
        assert_eq!(copy.offsets(), OFFSETS);
        assert!(copy.state.write().is_ok());
        assert!(core::ptr::eq(&*copy.user_ns, UserNamespace::init()));
        Ok(())
    }

    #[test]
    fn update_of_a_copy_leaves_the_original_alone() -> Result {
        let old = new_namespace()?;
        let copy = TimeNamespace::copy(NEW, UserNamespace::init(), &old)?;
        set(&copy, OFFSETS)?;
        assert_eq!(old.offsets(), Offsets::ZERO);
        Ok(())
    }

    #[test]
    fn join_freezes_for_good() -> Result {
        let ns = new_namespace()?;
        set(&ns, OFFSETS)?;
        assert!(ns.state.get().is_none());
        ns.join(&ns, None);
        assert_eq!(ns.state.get().map(|state| state.offsets), Some(OFFSETS));
        assert!(ns.state.write().is_err());
        ns.join(&ns, None);
        assert_eq!(ns.offsets(), OFFSETS);
        Ok(())
    }

    #[test]
    fn initial_namespace_is_frozen_at_zero() -> Result {
        let current = current!();
        let init: &TimeNamespace = current.nsproxy().ok_or(ESRCH)?.time_ns();
        assert_eq!(
            init.state.get().map(|state| state.offsets),
            Some(Offsets::ZERO)
        );
        assert!(init.ucount.is_none());
        Ok(())
    }

    #[test]
    #[cfg(CONFIG_TIME_NS_VDSO)]
    fn only_nonzero_offsets_have_a_page() -> Result {
        let ns = new_namespace()?;
        let page = |ns: &TimeNamespace| ns.state.with(|state| state.vdso.page().is_some());
        assert!(!page(&ns));
        set(&ns, OFFSETS)?;
        assert!(page(&ns));
        // The namespace is open, so the page must not be mapped yet.
        assert!(ns.vdso_page().is_none());
        // A copy with offsets other than zero has its own page.
        let copy = TimeNamespace::copy(NEW, UserNamespace::init(), &ns)?;
        assert!(page(&copy));
        // The page is freed when the offsets become zero again.
        set(&ns, Offsets::ZERO)?;
        assert!(!page(&ns));
        ns.join(&ns, None);
        assert!(ns.vdso_page().is_none());
        copy.join(&copy, None);
        assert!(copy.vdso_page().is_some());
        Ok(())
    }

    #[test]
    fn user_is_charged_until_the_last_reference_is_dropped() -> Result {
        let count = || {
            Ucount::<TimeNamespaces>::charge(UserNamespace::init(), Kuid::current_euid())
                .map(|ucount| ucount.count())
                .ok_or(ENOSPC)
        };
        let before = count()?;
        let first = new_namespace()?;
        let second = TimeNamespace::copy(NEW, UserNamespace::init(), &first)?;
        assert_eq!(count()?, before + 2);
        let again = first.clone();
        drop(first);
        assert_eq!(count()?, before + 2);
        drop(again);
        assert_eq!(count()?, before + 1);
        drop(second);
        assert_eq!(count()?, before);
        Ok(())
    }
}
