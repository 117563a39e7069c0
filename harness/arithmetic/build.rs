// SPDX-License-Identifier: GPL-2.0

//! The option of the kernel's configuration that has the arithmetic's KUnit tests.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(CONFIG_TIME_NS_RUST_KUNIT_TEST)");
    println!("cargo::rustc-cfg=CONFIG_TIME_NS_RUST_KUNIT_TEST");
}
