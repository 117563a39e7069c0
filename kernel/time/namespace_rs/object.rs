// SPDX-License-Identifier: GPL-2.0

//! The namespace object and its life.

use super::{
    offsets::Offsets,
    vdso::{
        self,
        SparePage,
        VdsoOffsets, //
    },
};
use core::mem::offset_of;
#[cfg(CONFIG_TIME_NS_VDSO)]
use kernel::vdso::TimensPage;
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
/// Stands for `struct time_namespace`: the layout is the same.
#[pin_data]
#[repr(C)]
pub(crate) struct TimeNamespace {
    /// The user namespace that owns this one.
    pub(crate) user_ns: ARef<UserNamespace>,

    /// Who is charged for this one: nobody for the initial one.
    pub(crate) ucount: Option<Ucount<TimeNamespaces>>,

    /// What all kinds of namespaces have: reference counts, identifiers, operations.
    #[pin]
    pub(crate) ns: NsCommon<Self>,

    /// Open until the first task joins, then frozen.
    #[pin]
    pub(crate) state: FreezeLock<State>,
}

/// The offsets of a namespace, and what shows them to the vDSO.
///
/// # Invariants
///
/// Both are the same.
#[repr(C)]
pub(crate) struct State {
    offsets: Offsets,
    vdso: VdsoOffsets,
}

impl State {
    /// Where the offsets lie, in bytes.
    pub(crate) const OFFSETS_OFFSET: usize = offset_of!(Self, offsets);

    /// Where the pointer to the page for the vDSO lies, in bytes.
    #[cfg(CONFIG_TIME_NS_VDSO)]
    pub(crate) const VDSO_OFFSET: usize = offset_of!(Self, vdso);

    /// Constructs the state of a namespace with the given offsets.
    ///
    /// Fails with `ENOMEM`, unless they are zero. May sleep.
    fn new(offsets: Offsets) -> Result<Self> {
        // INVARIANT: Both are the same.
        Ok(Self {
            vdso: VdsoOffsets::new(&offsets)?,
            offsets,
        })
    }

    /// Changes the offsets.
    ///
    /// Returns `false`, and changes nothing, if that takes a page and there is none to spare.
    fn set(&mut self, offsets: Offsets, spare: &mut SparePage) -> bool {
        let set = self.vdso.set(&offsets, spare);
        if set {
            // INVARIANT: Both become the same, or stay.
            self.offsets = offsets;
        }
        set
    }
}

impl TimeNamespace {
    /// Returns what the children of a task are to be in: `old` itself, or a copy of it if `flags`
    /// have `CLONE_NEWTIME`.
    ///
    /// The copy begins with the offsets that `old` has at this moment, is open, and is owned by
    /// `user_ns`.
    ///
    /// Fails with `ENOSPC` if the current user has as many time namespaces as are allowed, if the
    /// inode numbers have run out or if there is no memory to count them, and with `ENOMEM`. May
    /// sleep.
    ///
    /// Mirrors `copy_time_ns()`.
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
    /// May sleep, unless a task has joined.
    pub(crate) fn offsets(&self) -> Offsets {
        self.state.with(|state| state.offsets)
    }

    /// Changes the offsets to what `change` makes of those that there are.
    ///
    /// `change` may be called twice. No memory is waited for under the lock, which every task that
    /// is the first to join needs.
    ///
    /// Fails with `EACCES` if a task has joined, and with `ENOMEM` if the offsets become other than
    /// zero and all were zero. May sleep.
    pub(crate) fn change(&self, change: impl Fn(Offsets) -> Offsets) -> Result {
        let mut spare = SparePage::NONE;
        loop {
            let mut state = self.state.write().map_err(|_frozen| EACCES)?;
            let offsets = change(state.offsets);
            if state.set(offsets, &mut spare) {
                return Ok(());
            }
            drop(state);
            spare = SparePage::new()?;
        }
    }

    /// Makes the offsets final, and readies the address space of the task that joins from `old`.
    ///
    /// To be called for each task that joins, before it can read a clock. Can't fail. May sleep.
    ///
    /// Mirrors `timens_commit()`.
    pub(crate) fn join(&self, old: &Self, mm: Option<&MmWithUser>) {
        self.state.freeze();
        if let Some(mm) = mm {
            vdso::switch(mm, old, self);
        }
    }

    /// Returns the page that the vDSO of this namespace's tasks reads the offsets from.
    ///
    /// Returns [`None`] if the host's pages serve, and also while there are no tasks: no page can
    /// be mapped that is still written to.
    #[cfg(CONFIG_TIME_NS_VDSO)]
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
        ns.change(|_old| offsets)
    }

    #[test]
    fn without_the_flag_it_is_the_same_namespace() -> Result {
        let ns = new_namespace()?;
        let same = TimeNamespace::copy(0, UserNamespace::init(), &ns)?;
        assert!(core::ptr::eq(&*ns, &*same));
        Ok(())
    }

    #[test]
    fn a_copy_has_the_offsets_and_is_open() -> Result {
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
    fn changing_a_copy_leaves_the_original_alone() -> Result {
        let old = new_namespace()?;
        let copy = TimeNamespace::copy(NEW, UserNamespace::init(), &old)?;
        set(&copy, OFFSETS)?;
        assert_eq!(old.offsets(), Offsets::ZERO);
        Ok(())
    }

    #[test]
    fn joining_freezes_for_good() -> Result {
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
    fn the_initial_namespace_is_frozen_at_zero() -> Result {
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
    fn the_page_is_there_when_it_is_needed() -> Result {
        let ns = new_namespace()?;
        let page = |ns: &TimeNamespace| ns.state.with(|state| state.vdso.page().is_some());
        assert!(!page(&ns));
        set(&ns, OFFSETS)?;
        assert!(page(&ns));
        // It can't be mapped yet.
        assert!(ns.vdso_page().is_none());
        // A copy of offsets that aren't zero has one of its own.
        let copy = TimeNamespace::copy(NEW, UserNamespace::init(), &ns)?;
        assert!(page(&copy));
        // Offsets that are zero again need none.
        set(&ns, Offsets::ZERO)?;
        assert!(!page(&ns));
        ns.join(&ns, None);
        assert!(ns.vdso_page().is_none());
        copy.join(&copy, None);
        assert!(copy.vdso_page().is_some());
        Ok(())
    }

    #[test]
    fn the_user_is_charged_for_each_until_it_is_freed() -> Result {
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
