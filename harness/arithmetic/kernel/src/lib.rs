// SPDX-License-Identifier: GPL-2.0

//! As much of the kernel crate as `kernel/time/namespace_rs/offsets.rs` takes, so that the very file
//! compiles on the host. What is arithmetic is the kernel's own source, too.

pub mod prelude;
pub mod time;

/// The C types that layouts are compared with.
mod bindings {
    #[repr(C)]
    pub(crate) struct timespec64 {
        pub(crate) tv_sec: i64,
        pub(crate) tv_nsec: isize,
    }
}

/// The C types as the kernel crate maps them.
#[expect(non_camel_case_types)]
mod ffi {
    pub(crate) type c_long = isize;
}

/// The clocks of user space's headers.
pub mod uapi {
    pub const CLOCK_REALTIME: u32 = 0;
    pub const CLOCK_BOOTTIME_ALARM: u32 = 9;
}
