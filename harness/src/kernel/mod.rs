// SPDX-License-Identifier: GPL-2.0

//! The table of kernels, their source trees, and the builds of kernels and selftests.

pub mod build;
pub mod diff;
pub mod kernels;
pub mod selftests;
pub mod series;
pub mod toolchain;
pub mod warnings;
