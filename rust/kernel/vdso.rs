// SPDX-License-Identifier: GPL-2.0

//! The data that the kernel shares with the vDSO.
//!
//! C headers: [`include/vdso/datapage.h`](srctree/include/vdso/datapage.h) and
//! [`include/linux/vdso_datastore.h`](srctree/include/linux/vdso_datastore.h).

#[cfg(not(CONFIG_TIME_NS_OFFSET_PAGE))]
use crate::mm::virt::SpecialMapping;
use crate::{
    alloc::{
        flags::__GFP_ZERO,
        AllocError,
        Flags, //
    },
    bindings,
    mm::MmWithUser,
    page::Page,
    prelude::*,
    time::timespec::Timespec64, //
};

/// Has a task that changes its time namespace fault in the [`TimensPage`] again.
///
/// `mm` is the task's address space, and nobody else uses it. Takes the mmap lock for reading. May
/// sleep.
pub fn zap_timens_page(mm: &MmWithUser) {
    #[cfg(CONFIG_TIME_NS_OFFSET_PAGE)]
    // SAFETY: `mm` is a valid address space with users.
    unsafe {
        bindings::vdso_zap_timens_page(mm.as_raw())
    };

    // All of the pages change their places.
    #[cfg(not(CONFIG_TIME_NS_OFFSET_PAGE))]
    {
        // SAFETY: `vdso_vvar_mapping` is a static.
        let vvar = unsafe { SpecialMapping::from_raw(&raw const bindings::vdso_vvar_mapping) };
        let mmap = mm.mmap_read_lock();
        for vma in mmap.vmas().filter(|vma| vma.is_special_mapping(vvar)) {
            vma.zap_vma();
        }
    }
}

/// The page that tells the vDSO the clock offsets of a time namespace.
///
/// It has the layout of the page with the clock data, `struct vdso_time_data`: the offsets of the
/// clocks lie where their times are in that one. In the tasks of the namespace it is mapped next to
/// it with `CONFIG_TIME_NS_OFFSET_PAGE`, and in its place otherwise: the sequence counts are odd
/// and the clock modes are `VDSO_CLOCKMODE_TIMENS`, which leads the vDSO to the real data.
///
/// It is mapped for reading only, and should not be written to from then on: tasks would see their
/// clocks jump.
///
/// # Invariants
///
/// The page is initialised, and only its owner accesses it in the kernel.
#[repr(transparent)]
pub struct TimensPage(Page);

static_assert!(size_of::<bindings::vdso_time_data>() <= bindings::PAGE_SIZE);

impl TimensPage {
    /// Allocates a page with offsets of zero.
    ///
    /// Fails if there is no memory. May sleep, if `flags` let it.
    pub fn new(flags: Flags) -> Result<Self, AllocError> {
        // INVARIANT: The page is zeroed, and nobody else knows it.
        let page = Self(Page::alloc_page(flags | __GFP_ZERO)?);
        // There zeroes would be taken for times.
        #[cfg(not(CONFIG_TIME_NS_OFFSET_PAGE))]
        let page = {
            let mut page = page;
            page.set(Timespec64::ZERO, Timespec64::ZERO);
            page
        };
        Ok(page)
    }

    /// Sets the offsets of `CLOCK_MONOTONIC`, which are those of its raw and coarse variants too,
    /// and of `CLOCK_BOOTTIME`, which are those of its alarm variant.
    pub fn set(&mut self, monotonic: Timespec64, boottime: Timespec64) {
        self.0.with_page_mapped(|page| {
            // SAFETY: By the type invariants the page is initialised, and nobody else accesses it:
            // `self` is borrowed exclusively. It is large enough, as asserted above, and aligned.
            let data = unsafe { &mut *page.cast::<bindings::vdso_time_data>() };
            for clock in &mut data.clock_data {
                set_clock(clock, monotonic.into(), boottime.into());
            }
            // With a page for the offsets these clocks have them where they have their time, in the
            // place of `CLOCK_REALTIME`, which must stay zero.
            if cfg!(CONFIG_POSIX_AUX_CLOCKS) && !cfg!(CONFIG_TIME_NS_OFFSET_PAGE) {
                for clock in &mut data.aux_clock_data {
                    set_clock(clock, monotonic.into(), boottime.into());
                }
            }
        });
    }

    /// Returns the page, for mapping it.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }
}

fn set_clock(
    clock: &mut bindings::vdso_clock,
    monotonic: bindings::timens_offset,
    boottime: bindings::timens_offset,
) {
    if !cfg!(CONFIG_TIME_NS_OFFSET_PAGE) {
        clock.seq = 1;
        clock.clock_mode = bindings::vdso_clock_mode_VDSO_CLOCKMODE_TIMENS as i32;
    }
    // SAFETY: Any bytes are valid for either field of the union.
    let offset = unsafe { &mut clock.__bindgen_anon_1.offset };
    offset[bindings::CLOCK_MONOTONIC as usize] = monotonic;
    offset[bindings::CLOCK_MONOTONIC_RAW as usize] = monotonic;
    offset[bindings::CLOCK_MONOTONIC_COARSE as usize] = monotonic;
    offset[bindings::CLOCK_BOOTTIME as usize] = boottime;
    offset[bindings::CLOCK_BOOTTIME_ALARM as usize] = boottime;
}

impl From<Timespec64> for bindings::timens_offset {
    fn from(offset: Timespec64) -> Self {
        Self {
            sec: offset.sec(),
            nsec: offset.nsec() as u64,
        }
    }
}
