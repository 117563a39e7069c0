// SPDX-License-Identifier: GPL-2.0

//! The sizes of objects, by `llvm-size`.

use crate::{context::Context, kernel::kernels::Kernel, session::Step};
use anyhow::{ensure, Result};
use serde::Serialize;
use std::{
    fs,
    ops::AddAssign,
    path::{Path, PathBuf},
    process::Command,
};

/// Bytes of code and data, without the tables for the linker and for patching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Size {
    /// Code, including the part that is dropped after the boot.
    pub text: u64,
    pub rodata: u64,
    /// Writable data, including zeroes.
    pub data: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.text += other.text;
        self.rodata += other.rodata;
        self.data += other.data;
    }
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

/// The bytes of the functions of a linked kernel, without the padding of its sections.
pub struct Functions {
    pub all: u64,
    /// The functions of the vDSO's page in objects that have other things too.
    pub of_page: u64,
}

/// Parts of the names of those functions, in Rust and in C.
const OF_PAGE: [&str; 2] = ["TimensPage", "zap_timens_page"];

pub fn functions(context: &Context, step: &Step, file: &Path) -> Result<Functions> {
    let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
    nm.args(["--print-size", "--defined-only", "--demangle"]).arg(file);
    let log = step.command(&mut nm, "functions")?;
    let functions = parse_functions(&fs::read_to_string(&log)?);
    ensure!(functions.all > 0, "llvm-nm lists no code: see {}", log.display());
    Ok(functions)
}

/// Sums up lines of an address, a size, a letter for the kind, and a name.
fn parse_functions(text: &str) -> Functions {
    let mut functions = Functions { all: 0, of_page: 0 };
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        let [_, size, "t" | "T", name] = words[..] else {
            continue;
        };
        let Ok(size) = u64::from_str_radix(size, 16) else {
            continue;
        };
        functions.all += size;
        if OF_PAGE.iter().any(|part| name.contains(part)) {
            functions.of_page += size;
        }
    }
    functions
}

/// The number of functions of `core::panicking` that the objects refer to.
pub fn panics(context: &Context, step: &Step, objects: &[PathBuf]) -> Result<u64> {
    let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
    nm.args(["--undefined-only", "--demangle"]).args(objects);
    let log = step.command(&mut nm, "panics")?;
    let text = fs::read_to_string(&log)?;
    Ok(text.lines().filter(|line| line.contains("core::panicking")).count() as u64)
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
    let mut total = Size::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(section), Some(bytes)) = (words.next(), words.next()) else {
            continue;
        };
        if let Ok(bytes) = bytes.parse() {
            total += classify(section, bytes);
        }
    }
    total
}

fn classify(section: &str, bytes: u64) -> Size {
    let mut size = Size::default();
    let is = |names: &[&str]| names.iter().any(|name| section.starts_with(name));
    if is(&[".text", ".init.text", ".exit.text"]) {
        size.text = bytes;
    } else if is(&[".rodata"]) {
        size.rodata = bytes;
    } else if is(&[".data", ".init.data", ".bss"]) {
        size.data = bytes;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_functions() {
        let text = "$ \"llvm-nm\"\nffffffff81000000 0000000000000010 T one\n\
                    ffffffff81000010 000000000000000a t two\n\
                    ffffffff81000020 0000000000000100 T <kernel::vdso::TimensPage>::new\n\
                    ffffffff82000000 00000000000000ff D data\nffffffff81000020 T label\n";
        let functions = parse_functions(text);
        assert_eq!((functions.all, functions.of_page), (282, 256));
    }

    #[test]
    fn classifies_sections() {
        let text = "namespace.o  :\nsection size addr\n.text 1000 0\n.init.text 16 0\n\
                    .rodata.str1.1 30 0\n.data 400 0\n.bss 8 0\n__ksymtab_gpl 24 0\n\
                    .comment 99 0\n.llvm_addrsig 4 0\nTotal 1581\n";
        let size = Size { text: 1016, rodata: 30, data: 408 };
        assert_eq!(parse(text), size);
    }
}
