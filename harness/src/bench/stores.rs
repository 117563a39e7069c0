// SPDX-License-Identifier: GPL-2.0

//! Which cache lines two CPUs both store to, as the plugin in harness/bench/stores.c sees them.

use crate::{guest::PLUGIN, kbuild::Kind, steps::Step, Context};
use anyhow::{ensure, Context as _, Result};
use std::{fs, path::Path, process::Command};

/// The CPUs that the plugin watches.
const CPUS: usize = 2;

/// Builds the plugin.
pub fn build_plugin(context: &Context, step: &Step) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
    gcc.args(["-fvisibility=hidden", "-o"])
        .arg(context.out.join(PLUGIN));
    gcc.arg(format!("-DPLUGIN_VERSION={}", interface(step)?));
    gcc.arg(context.top.join("harness/bench/stores.c"));
    step.command(&mut gcc, "stores")?;
    Ok(())
}

/// The version of the plugins' interface that this QEMU has.
fn interface(step: &Step) -> Result<u32> {
    let mut qemu = Command::new("qemu-system-x86_64");
    let log = step.command(qemu.arg("--version"), "qemu-version")?;
    parse_interface(&fs::read_to_string(&log)?)
}

/// Of what is used here nothing changed, but QEMU 9 no longer takes the first one.
fn parse_interface(version: &str) -> Result<u32> {
    let words = version.split_once("version ").map(|(_, rest)| rest);
    let major = words.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    let major = major.context("qemu-system-x86_64 --version names no version")?;
    Ok(if major < 9 { 1 } else { 2 })
}

/// The names of the lines in the plugin's report, or their addresses.
pub fn shared(context: &Context, step: &Step, kind: Kind, report: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(report)
        .with_context(|| format!("the plugin wrote no {}", report.display()))?;
    let addresses = parse(&text)?;
    let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
    nm.args(["--numeric-sort", "--defined-only"])
        .arg(context.build_dir(kind).join("vmlinux"));
    let symbols = fs::read_to_string(step.command(&mut nm, "symbols")?)?;
    Ok(addresses
        .into_iter()
        .map(|address| name(&symbols, address))
        .collect())
}

fn parse(report: &str) -> Result<Vec<u64>> {
    let lines = |prefix| {
        report
            .lines()
            .filter_map(move |line: &str| line.strip_prefix(prefix))
    };
    ensure!(
        lines("STORED ").count() == CPUS,
        "not every CPU stored to memory"
    );
    lines("SHARED 0x")
        .map(|address| {
            u64::from_str_radix(address, 16).with_context(|| format!("{address} is no address"))
        })
        .collect()
}

/// The symbol that an address of the kernel's image lies in.
fn name(symbols: &str, address: u64) -> String {
    let parsed = symbols.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let at = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((at, words.nth(1)?))
    });
    let below = parsed.take_while(|(at, _)| *at <= address).last();
    match below {
        // What lies past the end of the image is not a part of its last symbol.
        Some((at, name)) if name != "_end" && address - at < 1 << 20 => name.to_owned(),
        _ => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_shared() {
        let report = "SHARED 0xffffffff81000048\nSHARED 0xffff888000001000\nSTORED 0\nSTORED 1\n";
        let symbols = "0000000000000000 A zero\nffffffff81000000 D one\nffffffff81000040 d lock\n\
                       ffffffff81000080 D two\nffffffff82000000 B _end\n";
        let names: Vec<_> = parse(report)
            .unwrap()
            .into_iter()
            .map(|address| name(symbols, address))
            .collect();
        assert_eq!(names, ["lock", "0xffff888000001000"]);
        assert_eq!(name(symbols, 0xffffffff82000010), "0xffffffff82000010");
    }

    #[test]
    fn a_cpu_that_did_nothing_is_told() {
        assert!(parse("STORED 1\n").is_err());
    }

    #[test]
    fn knows_the_interface() {
        let of = |text: &str| parse_interface(text).unwrap();
        assert_eq!(of("QEMU emulator version 7.2.22 (Debian 1:7.2)\n"), 1);
        assert_eq!(of("QEMU emulator version 10.0.2\n"), 2);
        assert!(parse_interface("QEMU").is_err());
    }
}
