// SPDX-License-Identifier: GPL-2.0

//! The sizes of objects, by `llvm-size`.

use crate::{context::Context, kernel::kernels::Kernel, session::Step};
use anyhow::{ensure, Result};
use std::{fs, path::PathBuf, process::Command};

/// Bytes of code and data, without the tables for the linker and for patching.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// Code, including the part that is dropped after the boot.
    pub text: u64,
    pub rodata: u64,
    /// Writable data, including zeroes.
    pub data: u64,
    /// Code of the vDSO's page in objects that have other code too.
    pub elsewhere: u64,
}

/// The objects that only one of the implementations has.
pub fn objects(context: &Context, kernel: &Kernel) -> Vec<PathBuf> {
    let names = match kernel.is_rust() {
        true => ["namespace_rs.o", "namespace_init.o"],
        false => ["namespace.o", "namespace_vdso.o"],
    };
    let dir = context.build_dir(kernel).join("kernel/time");
    names.map(|name| dir.join(name)).into()
}

/// Parts of the names of the functions of the vDSO's page, in Rust and in C.
const OF_PAGE: [&str; 2] = ["TimensPage", "zap_timens_page"];

/// The number of functions of `core::panicking` that the objects refer to.
pub fn panics(context: &Context, step: &Step, objects: &[PathBuf]) -> Result<u64> {
    let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
    nm.args(["--undefined-only", "--demangle"]).args(objects);
    let log = step.command(&mut nm, "panics")?;
    let text = fs::read_to_string(&log)?;
    Ok(text.lines().filter(|line| line.contains("core::panicking")).count() as u64)
}

/// The bytes of functions of the vDSO's page in a linked kernel, by lines of an address, a size, a letter
/// for the kind, and a name.
pub fn of_page(context: &Context, step: &Step, kernel: &Kernel) -> Result<u64> {
    let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
    nm.args(["--print-size", "--defined-only", "--demangle"]);
    nm.arg(context.build_dir(kernel).join("vmlinux"));
    let text = fs::read_to_string(step.command(&mut nm, "functions")?)?;
    let bytes = sum_of_page(&text);
    ensure!(bytes > 0, "llvm-nm lists no function of the page");
    Ok(bytes)
}

fn sum_of_page(text: &str) -> u64 {
    let size = |line: &str| match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
        [_, size, "t" | "T", name] if OF_PAGE.iter().any(|part| name.contains(part)) => {
            u64::from_str_radix(size, 16).ok()
        }
        _ => None,
    };
    text.lines().filter_map(size).sum()
}

/// The total size of files.
pub fn of(context: &Context, step: &Step, files: &[PathBuf]) -> Result<Size> {
    let mut size = Command::new(context.toolchain.llvm_tool("llvm-size")?);
    let log = step.command(size.arg("-A").args(files), "size")?;
    let text = fs::read_to_string(&log)?;
    let size = parse(&text);
    ensure!(size.text > 0, "llvm-size lists no code: see {}", log.display());
    Ok(size)
}

fn parse(text: &str) -> Size {
    let mut size = Size::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(section), Some(Ok(bytes))) = (words.next(), words.next().map(str::parse::<u64>))
        else {
            continue;
        };
        let is = |names: &[&str]| names.iter().any(|name| section.starts_with(name));
        if is(&[".text", ".init.text", ".exit.text"]) {
            size.text += bytes;
        } else if is(&[".rodata"]) {
            size.rodata += bytes;
        } else if is(&[".data", ".init.data", ".bss"]) {
            size.data += bytes;
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_sections() {
        let text = "namespace.o  :\nsection size addr\n.text 1000 0\n.init.text 16 0\n\
                    .rodata.str1.1 30 0\n.data 400 0\n.bss 8 0\n__ksymtab_gpl 24 0\n\
                    .comment 99 0\n.llvm_addrsig 4 0\nTotal 1581\n";
        let size = Size { text: 1016, rodata: 30, data: 408, elsewhere: 0 };
        assert_eq!(parse(text), size);
    }

    #[test]
    fn sums_up_functions_of_the_page() {
        let text = "f0 10 t <kernel::vdso::TimensPage>::new\nf1 20 T zap_timens_page\n\
                    f2 40 t other\nf3 80 d TimensPage\n";
        assert_eq!(sum_of_page(text), 0x30);
    }
}
