// SPDX-License-Identifier: GPL-2.0

//! The built vDSO images of both kernels, mapped into this process.
//!
//! An image lies behind data pages that are filled here, as a task on the host or in a time namespace has
//! them. The benchmark times calls into the images, [`check`] checks the values that they return.

pub mod check;
pub mod data;
pub mod image;
pub mod mapping;
mod role;

pub use mapping::Read;
pub use role::{cycles_per_second, pin, Role};
