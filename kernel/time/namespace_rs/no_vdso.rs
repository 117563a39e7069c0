// SPDX-License-Identifier: GPL-2.0

//! The interface of `vdso.rs` for kernels without `CONFIG_TIME_NS_VDSO`.
//!
//! There is no vDSO to show offsets to, so nothing is allocated or mapped.

use super::offsets::Offsets;
use kernel::{
    mm::MmWithUser,
    prelude::*, //
};

/// A page with offsets. There are none.
pub(crate) enum TimensPage {}

impl TimensPage {
    /// Returns a pointer that identifies the page.
    pub(crate) fn as_ptr(&self) -> *const Self {
        self
    }
}

/// Does nothing: no page is mapped.
pub(crate) fn zap_timens_page(_mm: &MmWithUser) {}

/// Takes the place of the offsets that a vDSO reads.
pub(crate) struct VdsoOffsets;

impl VdsoOffsets {
    /// Creates the object. Cannot fail.
    pub(crate) fn new(_offsets: &Offsets) -> Result<Self> {
        Ok(Self)
    }

    /// Returns `true`: no page is needed.
    pub(crate) fn show(&mut self, _offsets: &Offsets, _spare: &mut SparePage) -> bool {
        true
    }

    /// Returns [`None`].
    pub(crate) fn page(&self) -> Option<&TimensPage> {
        None
    }
}

/// Takes the place of a page for [`VdsoOffsets::show`].
pub(crate) struct SparePage;

impl SparePage {
    /// No page.
    pub(crate) const NONE: Self = Self;

    /// Creates the object. Cannot fail.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self)
    }
}
