// SPDX-License-Identifier: GPL-2.0

//! Kernels: the table of them, their source trees, and how they and the selftests are built.

pub mod build;
pub mod diff;
pub mod kernels;
pub mod selftests;
pub mod series;
pub mod toolchain;
pub mod warnings;
