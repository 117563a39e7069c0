// SPDX-License-Identifier: GPL-2.0

//! The data that the kernel shares with the vDSO.
//!
//! C headers: [`include/vdso/datapage.h`](srctree/include/vdso/datapage.h) and
//! [`include/linux/vdso_datastore.h`](srctree/include/linux/vdso_datastore.h).

use crate::{
    alloc::{
        flags::__GFP_ZERO,
        AllocError,
        Flags, //
    },
    bindings,
    page::Page,
    prelude::*,
    time::timespec::Timespec64, //
};

// The two layouts of the pages that a task in a time namespace maps.
#[cfg_attr(CONFIG_TIME_NS_OFFSET_PAGE, path = "vdso/offset_page.rs")]
#[cfg_attr(not(CONFIG_TIME_NS_OFFSET_PAGE), path = "vdso/swapped_pages.rs")]
mod layout;

pub use layout::zap_timens_page;

/// The time namespace page, from which the vDSO reads the clock offsets of a time namespace.
///
/// It has the layout of the page with the clock data, `struct vdso_time_data`, with the offset of
/// each clock in place of its time. The tasks of the namespace map it next to the clock data with
/// `CONFIG_TIME_NS_OFFSET_PAGE`, and in place of the clock data otherwise.
///
/// Tasks map it read-only. It must not be written once it is mapped: the clocks of the tasks would
/// jump.
///
/// # Invariants
///
/// The page is initialised, and the kernel only accesses it through this object.
#[repr(transparent)]
pub struct TimensPage(Page);

static_assert!(size_of::<bindings::vdso_time_data>() <= bindings::PAGE_SIZE);

impl TimensPage {
    /// Allocates a page with offsets of zero.
    ///
    /// # Errors
    ///
    /// - [`AllocError`] if there is no memory.
    ///
    /// # Context
    ///
    /// May sleep if `flags` permit it.
    pub fn new(flags: Flags) -> Result<Self, AllocError> {
        // INVARIANT: The page is zeroed, and it is not shared.
        let mut page = Self(Page::alloc_page(flags | __GFP_ZERO)?);
        layout::init(&mut page);
        Ok(page)
    }

    /// Sets the offsets of `CLOCK_MONOTONIC` and its variants to `monotonic`, and those of
    /// `CLOCK_BOOTTIME` and its variants to `boottime`.
    pub fn set_offsets(&mut self, monotonic: Timespec64, boottime: Timespec64) {
        self.with_data(|data| {
            for clock in layout::clocks(data) {
                set_clock_offsets(clock, monotonic.into(), boottime.into());
            }
        });
    }

    /// Returns a raw pointer to the page, for mapping it.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }

    /// Calls `f` on the contents of the page.
    #[inline]
    fn with_data(&mut self, f: impl FnOnce(&mut bindings::vdso_time_data)) {
        self.0.with_page_mapped(|page| {
            // SAFETY: By the type invariants, the page is initialised, and we have exclusive access
            // because `self` is borrowed mutably. The page is aligned, and large enough as asserted
            // above.
            f(unsafe { &mut *page.cast() });
        });
    }
}

fn set_clock_offsets(
    clock: &mut bindings::vdso_clock,
    monotonic: bindings::timens_offset,
    boottime: bindings::timens_offset,
) {
    // SAFETY: Any bit pattern is valid for both fields of the union.
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
