// SPDX-License-Identifier: GPL-2.0

//! The layout without `CONFIG_TIME_NS_OFFSET_PAGE`: a task in a time namespace maps the time
//! namespace page in place of the clock data, and the clock data behind it.

use super::TimensPage;
use crate::{
    bindings,
    mm::{
        virt::SpecialMapping,
        MmWithUser, //
    },
};

/// Unmaps all data pages of the vDSO, so that the next vDSO read faults them in as the task's new
/// namespace orders them.
///
/// `mm` must be the address space of a task that changes its time namespace and that shares it with
/// no other task.
///
/// # Context
///
/// May sleep. Takes the mmap lock for reading.
#[doc(alias = "vdso_join_timens")]
pub fn zap_timens_page(mm: &MmWithUser) {
    // SAFETY: `vdso_vvar_mapping` is a static, so it is valid for `'static`.
    let vvar = unsafe { SpecialMapping::from_raw(&raw const bindings::vdso_vvar_mapping) };
    let mmap = mm.mmap_read_lock();
    for vma in mmap.vmas().filter(|vma| vma.is_special_mapping(vvar)) {
        vma.zap_vma();
    }
}

/// Marks all clocks of a zeroed page with an odd sequence count and `VDSO_CLOCKMODE_TIMENS`, which
/// make the vDSO read the clock data from the other page. Without the marks it would take the
/// zeroes for times.
pub(super) fn init(page: &mut TimensPage) {
    page.with_data(|data| {
        for clock in clocks(data) {
            clock.seq = 1;
            clock.clock_mode = bindings::vdso_clock_mode_VDSO_CLOCKMODE_TIMENS as i32;
        }
    });
}

/// Returns the clocks that have offsets and marks, including the auxiliary clocks.
#[inline]
pub(super) fn clocks(
    data: &mut bindings::vdso_time_data,
) -> impl Iterator<Item = &mut bindings::vdso_clock> {
    data.clock_data.iter_mut().chain(&mut data.aux_clock_data)
}
