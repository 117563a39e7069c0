// SPDX-License-Identifier: GPL-2.0

//! Sets the options of the kernel's configuration that the sources use.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(CONFIG_64BIT)");
    println!("cargo::rustc-cfg=CONFIG_64BIT");
}
