// SPDX-License-Identifier: GPL-2.0

//! The options of the kernel's configuration that the sources ask for.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(CONFIG_64BIT)");
    println!("cargo::rustc-cfg=CONFIG_64BIT");
}
