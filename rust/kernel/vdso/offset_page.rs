// SPDX-License-Identifier: GPL-2.0

//! The layout with `CONFIG_TIME_NS_OFFSET_PAGE`: every task maps the clock data, and next to it the
//! time namespace page or a page of zeroes.

use super::TimensPage;
use crate::{
    bindings,
    mm::MmWithUser, //
};

/// Unmaps the time namespace page, so that the next vDSO read faults in the page of the task's new
/// namespace.
///
/// `mm` must be the address space of a task that changes its time namespace and that shares it with
/// no other task.
///
/// # Context
///
/// May sleep. Takes the mmap lock for reading.
#[doc(alias = "vdso_zap_timens_page")]
pub fn zap_timens_page(mm: &MmWithUser) {
    // SAFETY: The pointer is valid since `mm` is a reference, and `mm_users` is non-zero.
    unsafe { bindings::vdso_zap_timens_page(mm.as_raw()) };
}

/// Does nothing: a page of zeroes has offsets of zero.
#[inline]
pub(super) fn init(_page: &mut TimensPage) {}

/// Returns the clocks that have offsets.
///
/// The auxiliary clocks have none. The vDSO reads their offset from the entry of `CLOCK_REALTIME`,
/// which stays zero.
#[inline]
pub(super) fn clocks(
    data: &mut bindings::vdso_time_data,
) -> impl Iterator<Item = &mut bindings::vdso_clock> {
    data.clock_data.iter_mut()
}
