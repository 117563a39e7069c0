// SPDX-License-Identifier: GPL-2.0

//! The prelude of kernel sources.

pub use kunit_tests::kunit_tests;

/// A negative error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

pub type Result<T = (), E = Error> = core::result::Result<T, E>;

pub const EINVAL: Error = Error(-22);
pub const ERANGE: Error = Error(-34);

macro_rules! static_assert {
    ($condition:expr) => {
        const _: () = assert!($condition);
    };
}
pub(crate) use static_assert;
