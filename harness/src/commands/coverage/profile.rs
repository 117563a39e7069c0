// SPDX-License-Identifier: GPL-2.0

//! The profile of a kernel for LLVM's tools.
//!
//! The kernel has no profiler runtime. Its guest prints the counters at the end of a job. This
//! module writes them to a raw profile, with the records of functions in the kernel's image.

use crate::{context::Context, session::Step};
use anyhow::{bail, ensure, Context as _, Result};
use object::{Object as _, ObjectSection as _};
use std::{collections::BTreeMap, path::Path, process::Command};

/// `__START_KERNEL_map`: the address of the kernel's image, which is not relocated.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// The counters in a kernel's image.
pub struct Profile<'a> {
    /// The address of the counters in the kernel, and their number.
    address: u64,
    pub counters: usize,
    /// The records of functions.
    functions: &'a [u8],
    functions_address: u64,
    names: &'a [u8],
    names_address: u64,
}

impl<'a> Profile<'a> {
    pub fn new(image: &'a [u8]) -> Result<Self> {
        let file = object::File::parse(image)?;
        let section = |name: &str| -> Result<_> {
            let section = file
                .section_by_name(name)
                .with_context(|| format!("the kernel has no section {name}"))?;
            Ok((section.address(), section.size(), section.data()?))
        };
        let (address, size, _) = section("__llvm_prf_cnts")?;
        let (functions_address, _, functions) = section("__llvm_prf_data")?;
        let (names_address, _, names) = section("__llvm_prf_names")?;
        Ok(Self {
            address,
            counters: size as usize / 8,
            functions,
            functions_address,
            names,
            names_address,
        })
    }

    /// Returns the argument that makes init print the counters: the index of the first word in
    /// physical memory, and the number of words.
    pub fn parameter(&self) -> String {
        let word = (self.address - IMAGE) / 8;
        format!("TIMENS_COUNTERS={word}:{}", self.counters)
    }

    /// Returns a raw profile, as `InstrProfData.inc` of compiler-rt defines it.
    pub fn raw(&self, counters: &[u64]) -> Vec<u8> {
        const MAGIC: u64 = u64::from_be_bytes(*b"\xfflprofr\x81");
        const VERSION: u64 = 10;
        /// The size of a function's record.
        const RECORD: usize = 64;
        /// `IPVK_Last`.
        const LAST_VALUE: u64 = 2;
        let delta = self.address.wrapping_sub(self.functions_address);
        let header = [
            MAGIC,
            VERSION,
            0,
            (self.functions.len() / RECORD) as u64,
            0,
            counters.len() as u64,
            0,
            0,
            0,
            self.names.len() as u64,
            delta,
            0,
            self.names_address,
            0,
            0,
            LAST_VALUE,
        ];
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let padding = vec![0; self.names.len().next_multiple_of(8) - self.names.len()];
        let names = self.names.to_vec();
        let parts: [Vec<u8>; 5] =
            [words(&header), self.functions.to_vec(), words(counters), names, padding];
        parts.concat()
    }
}

/// Parses the counters that a guest printed: eight bytes each, in hexadecimal.
pub fn counters_in(output: &str, count: usize) -> Result<Vec<u64>> {
    let digits: String = output
        .split_once("TIMENS-COUNTERS-BEGIN")
        .and_then(|(_, rest)| rest.split_once("TIMENS-COUNTERS-END"))
        .context("the guest printed no counters: see out/log")?
        .0
        .split_whitespace()
        .collect();
    ensure!(
        digits.len() == count * 16,
        "the guest printed {} digits of {count} counters",
        digits.len()
    );
    (0..count)
        .map(|index| {
            let word = u64::from_str_radix(&digits[index * 16..][..16], 16)?;
            Ok(word.swap_bytes())
        })
        .collect()
}

/// Converts a raw profile into an lcov trace file.
pub fn lcov(context: &Context, step: &Step, raw: &Path, image: &Path) -> Result<String> {
    let indexed = raw.with_extension("profdata");
    let mut merge = Command::new(context.toolchain.llvm_tool("llvm-profdata")?);
    merge.args(["merge", "-o"]).arg(&indexed).arg(raw);
    step.command(&mut merge, "profdata")?;
    let mut export = Command::new(context.toolchain.llvm_tool("llvm-cov")?);
    export.args(["export", "--format=lcov", "--instr-profile"]);
    let output = export.arg(&indexed).arg(image).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("llvm-cov: {}", errors.lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The numbers of executions, by file and line.
pub type LineCounts = BTreeMap<String, BTreeMap<usize, u64>>;

pub fn parse_lcov(text: &str) -> LineCounts {
    let mut all = LineCounts::new();
    let mut file = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            name.clone_into(&mut file);
        } else if let Some((number, count)) =
            line.strip_prefix("DA:").and_then(|rest| rest.split_once(','))
        {
            if let (Ok(number), Ok(count)) = (number.parse(), count.parse::<u64>()) {
                *all.entry(file.clone()).or_default().entry(number).or_default() += count;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_list_of_counters_is_an_error() {
        let output = "x\nTIMENS-COUNTERS-BEGIN\n0100000000000000ff\n01000000000000\n\
                      TIMENS-COUNTERS-END\n";
        assert_eq!(counters_in(output, 2).unwrap(), [1, 0x1ff]);
        assert!(counters_in(output, 3).is_err());
        assert!(counters_in("", 0).is_err());
    }

    #[test]
    fn lcov_is_parsed() {
        let lines = parse_lcov("SF:/a/b.rs\nFN:1,f\nDA:3,2\nDA:4,0\nend_of_record\n");
        assert_eq!(lines["/a/b.rs"], BTreeMap::from([(3, 2), (4, 0)]));
    }
}
