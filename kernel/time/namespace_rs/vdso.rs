// SPDX-License-Identifier: GPL-2.0

//! The page that shows a namespace's offsets to the vDSO.
//!
//! Mirrors `kernel/time/namespace_vdso.c`.

use super::{
    object::TimeNamespace,
    offsets::Offsets, //
};
use kernel::{
    mm::MmWithUser,
    prelude::*, //
};
#[cfg(CONFIG_TIME_NS_VDSO)]
use {
    core::ptr,
    kernel::{
        mm::virt::VmaRef,
        task::CurrentTask,
        vdso::{
            self,
            TimensPage, //
        },
        warn_on, //
    },
};

/// The offsets as the vDSO sees them.
///
/// Offsets of zero need no page: the tasks of such a namespace share the pages of those outside
/// any, and their clock reads cost the same.
///
/// Stands for the field `vvar_page` of `struct time_namespace`.
pub(crate) struct VdsoOffsets {
    #[cfg(CONFIG_TIME_NS_VDSO)]
    page: Option<TimensPage>,
}

impl VdsoOffsets {
    /// Shows `offsets`.
    ///
    /// Fails with `ENOMEM`, unless they are zero. May sleep.
    pub(crate) fn new(offsets: &Offsets) -> Result<Self> {
        let mut vdso = Self {
            #[cfg(CONFIG_TIME_NS_VDSO)]
            page: None,
        };
        let mut spare = SparePage::NONE;
        if !vdso.set(offsets, &mut spare) {
            spare = SparePage::new()?;
            vdso.set(offsets, &mut spare);
        }
        Ok(vdso)
    }

    /// Shows `offsets` instead of what was shown before, on the page that is there or on the spare
    /// one.
    ///
    /// Returns `false`, and changes nothing, if a page is needed and neither is there.
    #[cfg(CONFIG_TIME_NS_VDSO)]
    pub(crate) fn set(&mut self, offsets: &Offsets, spare: &mut SparePage) -> bool {
        if *offsets == Offsets::ZERO {
            self.page = None;
            return true;
        }
        if self.page.is_none() {
            self.page = spare.page.take();
        }
        match &mut self.page {
            Some(page) => {
                page.set(offsets.monotonic, offsets.boottime);
                true
            }
            None => false,
        }
    }

    /// There is no vDSO to show offsets to.
    #[cfg(not(CONFIG_TIME_NS_VDSO))]
    pub(crate) fn set(&mut self, _offsets: &Offsets, _spare: &mut SparePage) -> bool {
        true
    }

    /// Returns the page to map in the tasks of the namespace, [`None`] if the host's pages serve.
    #[cfg(CONFIG_TIME_NS_VDSO)]
    pub(crate) fn page(&self) -> Option<&TimensPage> {
        self.page.as_ref()
    }
}

/// A page for [`VdsoOffsets`], allocated where waiting for memory holds up nobody else.
pub(crate) struct SparePage {
    #[cfg(CONFIG_TIME_NS_VDSO)]
    page: Option<TimensPage>,
}

impl SparePage {
    /// There is none.
    pub(crate) const NONE: Self = Self {
        #[cfg(CONFIG_TIME_NS_VDSO)]
        page: None,
    };

    /// Allocates one, and charges it to the current task's memory cgroup.
    ///
    /// Fails with `ENOMEM`. May sleep.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(CONFIG_TIME_NS_VDSO)]
            page: Some(TimensPage::new(GFP_KERNEL_ACCOUNT)?),
        })
    }
}

/// Makes the vDSO of a task that moves from namespace `old` to `new` see the offsets of `new`.
///
/// Leaves the address space alone if the page is the same. May sleep.
#[cfg(CONFIG_TIME_NS_VDSO)]
pub(crate) fn switch(mm: &MmWithUser, old: &TimeNamespace, new: &TimeNamespace) {
    let page = |ns: &TimeNamespace| ns.vdso_page().map(TimensPage::as_ptr);
    if page(old) != page(new) {
        vdso::zap_timens_page(mm);
    }
}

/// There is no vDSO.
#[cfg(not(CONFIG_TIME_NS_VDSO))]
pub(crate) fn switch(_mm: &MmWithUser, _old: &TimeNamespace, _new: &TimeNamespace) {}

/// Returns the page with the offsets of the current task's namespace, for a fault in `vma`.
///
/// Returns [`None`] if the host's pages serve.
#[cfg(CONFIG_TIME_NS_VDSO)]
pub(crate) fn page_of_current<'a>(
    current: &'a CurrentTask,
    vma: &VmaRef,
) -> Option<&'a TimensPage> {
    // `vvar_fault()` doesn't let faults get here that come from elsewhere, such as from
    // /proc/PID/mem or process_vm_readv(2).
    if !current.mm().is_some_and(|mm| ptr::eq(mm, vma.mm())) {
        pr_warn!("vvar_page accessed remotely\n");
        warn_on!(true);
        return None;
    }
    current.nsproxy()?.time_ns::<TimeNamespace>().vdso_page()
}
