// SPDX-License-Identifier: GPL-2.0

//! The commands. Most are plans: lists of jobs on kernels.

pub mod age;
pub mod bisect;
pub mod build;
pub mod check;
pub mod clients;
pub mod coverage;
pub mod faults;
pub mod fuzz;
pub mod ide;
pub mod interactive;
pub mod matrix;
pub mod mutants;
pub mod plan;
pub mod race;
pub mod sanitize;
pub mod test;
