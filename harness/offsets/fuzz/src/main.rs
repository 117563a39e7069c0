// SPDX-License-Identifier: GPL-2.0

//! `cargo fuzz run offsets`, or `make fuzz-offsets`, which does with the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use timens_offsets::Case;

fuzz_target!(|bytes: &[u8]| Case::from_bytes(bytes).check());
