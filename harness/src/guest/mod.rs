// SPDX-License-Identifier: GPL-2.0

//! Guests: a kernel in QEMU that runs one job.

pub mod accelerator;
pub mod clients;
mod config;
pub mod initramfs;
pub mod kcsan;
pub mod ktap;
pub mod lists;
pub mod log;
mod process;
mod qemu;
mod run;

pub use config::{Guest, Machine};
pub use qemu::{COUNTING, QEMU_ARM64};
pub use run::{run, run_arm64, run_uml, shell, Transcript};
