// SPDX-License-Identifier: GPL-2.0

//! The page that shows a namespace's offsets to the vDSO, with `CONFIG_TIME_NS_VDSO`.
//!
//! `no_vdso.rs` has the same interface for kernels without a vDSO.
//!
//! Mirrors `kernel/time/namespace_vdso.c`.

use super::offsets::Offsets;
use kernel::prelude::*;

pub(crate) use kernel::vdso::{
    zap_timens_page,
    TimensPage, //
};

/// The form in which the vDSO reads the offsets.
///
/// Offsets of zero need no page: the tasks of the namespace use the host's page, so their clock
/// reads cost the same as on the host.
///
/// Has the layout of the field `vvar_page` of `struct time_namespace`.
pub(crate) struct VdsoOffsets {
    page: Option<TimensPage>,
}

impl VdsoOffsets {
    /// Creates an object that shows `offsets`.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if `offsets` is not zero and there is no memory for the page.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn new(offsets: &Offsets) -> Result<Self> {
        let mut vdso = Self { page: None };
        let mut spare = SparePage::NONE;
        if !vdso.show(offsets, &mut spare) {
            spare = SparePage::new()?;
            vdso.show(offsets, &mut spare);
        }
        Ok(vdso)
    }

    /// Shows `offsets`, on the page of this object or, if it has none, on the spare page.
    ///
    /// Frees the page if `offsets` is zero. Returns `false` and changes nothing if a page is needed
    /// and there is none.
    pub(crate) fn show(&mut self, offsets: &Offsets, spare: &mut SparePage) -> bool {
        if *offsets == Offsets::ZERO {
            self.page = None;
            return true;
        }
        if self.page.is_none() {
            self.page = spare.page.take();
        }
        match &mut self.page {
            Some(page) => {
                page.set_offsets(offsets.monotonic, offsets.boottime);
                true
            }
            None => false,
        }
    }

    /// Returns the page with the offsets, or [`None`] if the offsets are zero.
    pub(crate) fn page(&self) -> Option<&TimensPage> {
        self.page.as_ref()
    }
}

/// A page for [`VdsoOffsets::show`], allocated without holding the namespace's lock.
pub(crate) struct SparePage {
    page: Option<TimensPage>,
}

impl SparePage {
    /// No page.
    pub(crate) const NONE: Self = Self { page: None };

    /// Allocates a page and charges it to the current task's memory cgroup.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if there is no memory.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            page: Some(TimensPage::new(GFP_KERNEL_ACCOUNT)?),
        })
    }
}
