// SPDX-License-Identifier: GPL-2.0

//! The parts of the kernel crate that `kernel/time/namespace_rs/offsets.rs` uses, so that it
//! compiles on the host. The arithmetic of `timespec` is the kernel's source, too.

pub mod prelude;
pub mod time;

/// C types whose layout the sources check.
mod bindings {
    #[repr(C)]
    pub(crate) struct timespec64 {
        pub(crate) tv_sec: i64,
        pub(crate) tv_nsec: isize,
    }
}

/// C types, as in the kernel crate.
#[expect(non_camel_case_types)]
mod ffi {
    pub(crate) type c_long = isize;
}

/// Clocks, as in the headers for user space.
pub mod uapi {
    pub const CLOCK_REALTIME: u32 = 0;
    pub const CLOCK_BOOTTIME_ALARM: u32 = 9;
}
