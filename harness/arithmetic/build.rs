// SPDX-License-Identifier: GPL-2.0

//! Sets the option of the kernel's configuration for the KUnit tests of the arithmetic.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(CONFIG_TIME_NS_RUST_KUNIT_TEST)");
    println!("cargo::rustc-cfg=CONFIG_TIME_NS_RUST_KUNIT_TEST");
}
