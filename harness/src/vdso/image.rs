// SPDX-License-Identifier: GPL-2.0

//! A built `vdso64.so`, patched for this CPU as the kernel does at boot.

use anyhow::{bail, ensure, Context, Result};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::{
    arch::x86_64::{__cpuid_count, CpuidResult},
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The mapped part of an image, and its sizes.
pub struct Image {
    /// The loadable segment, alternatives applied.
    pub bytes: Vec<u8>,
    /// The exported functions, by their offsets.
    functions: HashMap<String, usize>,
    /// The size of the file.
    pub file_size: usize,
    /// The size of the code.
    pub text_size: usize,
}

impl Image {
    pub fn read(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&data, has_feature).with_context(|| format!("{} is unusable", path.display()))
    }

    fn parse(data: &[u8], has: impl Fn(u16) -> Result<bool>) -> Result<Self> {
        let elf = object::File::parse(data).context("not an ELF file")?;
        ensure!(
            elf.architecture() == object::Architecture::X86_64 && elf.is_64(),
            "not an image for 64-bit x86"
        );
        ensure!(
            elf.dynamic_relocations().is_none_or(|mut relocations| relocations.next().is_none()),
            "it has relocations, which a vDSO may not have"
        );
        let mut segments = elf.segments();
        let (Some(segment), None) = (segments.next(), segments.next()) else {
            bail!("it has not exactly one loadable segment");
        };
        ensure!(
            segment.address() == 0 && segment.file_range().0 == 0,
            "it does not start at address 0"
        );
        let mut bytes = segment.data()?.to_vec();
        if let Some(section) = elf.section_by_name(".altinstructions") {
            let start = usize::try_from(section.address())?;
            patch(&mut bytes, start, usize::try_from(section.size())?, has)?;
        }
        let text = elf.section_by_name(".text").context("it has no .text")?;
        let mut functions = HashMap::new();
        for symbol in elf.dynamic_symbols().filter(ObjectSymbol::is_definition) {
            let offset = usize::try_from(symbol.address())?;
            ensure!(offset < bytes.len(), "a symbol lies outside of it");
            functions.insert(symbol.name()?.to_owned(), offset);
        }
        Ok(Self {
            bytes,
            functions,
            file_size: data.len(),
            text_size: usize::try_from(text.size())?,
        })
    }

    /// The offset of an exported function.
    pub fn function(&self, name: &str) -> Result<usize> {
        let offset = self.functions.get(name);
        offset.copied().with_context(|| format!("the image has no {name}"))
    }
}

/// `struct alt_instr` of asm/alternative.h.
struct Alternative {
    /// The offset of the instruction that may be replaced.
    site: usize,
    /// The offset of the replacement.
    replacement: usize,
    feature: u16,
    flags: u16,
    length: usize,
    replacement_length: usize,
}

impl Alternative {
    const SIZE: usize = 14;
    /// `ALT_FLAG_NOT`: replace if the CPU does not have the feature.
    const NOT: u16 = 1;

    /// Reads the entry at `offset`; its addresses are relative to the fields that hold them.
    fn parse(bytes: &[u8], offset: usize) -> Result<Self> {
        let entry =
            bytes.get(offset..offset + Self::SIZE).context(".altinstructions is cut short")?;
        let word = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let target = |at: usize| {
            let relative = i32::from_le_bytes([0, 1, 2, 3].map(|byte| entry[at + byte]));
            (offset + at).checked_add_signed(relative as isize)
        };
        let (Some(site), Some(replacement)) = (target(0), target(4)) else {
            bail!("an alternative lies outside of the image");
        };
        Ok(Self {
            site,
            replacement,
            feature: word(8),
            flags: word(10),
            length: entry[12].into(),
            replacement_length: entry[13].into(),
        })
    }

    fn applies(&self, has: impl Fn(u16) -> Result<bool>) -> Result<bool> {
        let not = match self.flags {
            0 => false,
            Self::NOT => true,
            flags => bail!("it has an alternative with the unknown flags {flags:#x}"),
        };
        Ok(has(self.feature)? != not)
    }
}

/// Applies the alternatives in the table at `start`, as `apply_alternatives()` does.
///
/// The last one that applies at a site wins, and the rest of the site becomes one long NOP.
fn patch(
    bytes: &mut [u8],
    start: usize,
    size: usize,
    has: impl Fn(u16) -> Result<bool>,
) -> Result<()> {
    let table = (start..start + size)
        .step_by(Alternative::SIZE)
        .map(|offset| Alternative::parse(bytes, offset))
        .collect::<Result<Vec<_>>>()?;
    for site in table.chunk_by(|a, b| a.site == b.site) {
        let length = site.iter().map(|alternative| alternative.length).max();
        let range = site[0].site..site[0].site + length.unwrap_or(0);
        let mut code =
            bytes.get(range.clone()).context("an alternative lies outside of the image")?.to_vec();
        for alternative in site {
            if alternative.applies(&has)? {
                let end = alternative.replacement + alternative.replacement_length;
                let replacement = bytes
                    .get(alternative.replacement..end)
                    .filter(|replacement| replacement.len() <= code.len())
                    .context("an alternative has no room for its replacement")?;
                code.fill(NOP);
                code[..replacement.len()].copy_from_slice(replacement);
            }
        }
        join_nops(&mut code);
        bytes[range].copy_from_slice(&code);
    }
    Ok(())
}

const NOP: u8 = 0x90;

/// The kernel's `x86_nops` of 2 to 8 bytes.
const LONG_NOPS: [&[u8]; 7] = [
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Makes one instruction of the NOPs at the end of `code`, as `optimize_nops()` does.
fn join_nops(code: &mut [u8]) {
    let count = code.iter().rev().take_while(|byte| **byte == NOP).count();
    if let Some(long) = LONG_NOPS.iter().find(|long| long.len() == count) {
        let start = code.len() - count;
        code[start..].copy_from_slice(long);
    }
}

/// The CPU's answer about a leaf and its part.
// `__cpuid_count` is unsafe in rustc 1.85 and safe in later versions.
#[allow(unused_unsafe)]
fn cpuid(leaf: u32, part: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has this instruction, and it touches no memory.
    unsafe { __cpuid_count(leaf, part) }
}

/// Whether this CPU has a feature, by its number in asm/cpufeatures.h.
///
/// Only features whose replacements can be copied as they are, without relocation.
fn has_feature(feature: u16) -> Result<bool> {
    const fn number(word: u16, bit: u16) -> u16 {
        word * 32 + bit
    }
    const RDTSCP: u16 = number(1, 27);
    const RDPID: u16 = number(16, 22);
    const LFENCE_RDTSC: u16 = number(20, 2);
    Ok(match feature {
        RDTSCP => cpuid(0x8000_0001, 0).edx & 1 << 27 != 0,
        RDPID => cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & 1 << 22 != 0,
        // The kernel sets it for every vendor's CPUs with SSE2, so for all of x86-64.
        LFENCE_RDTSC => true,
        _ => bail!(
            "it has an alternative for the unknown CPU feature {}*32+{}",
            feature / 32,
            feature % 32
        ),
    })
}

/// The image of the kernel that was built in a directory.
pub fn built(dir: &Path) -> PathBuf {
    dir.join("arch/x86/entry/vdso/vdso64/vdso64.so")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One site of five bytes at 0, replacements at 5 and 10, the table at 13.
    fn code() -> Vec<u8> {
        let mut bytes = vec![0x0f, 0x31, 0x90, 0x90, 0x90];
        bytes.extend([0x0f, 0xae, 0xe8, 0x0f, 0x31]);
        bytes.extend([0x0f, 0x01, 0xf9]);
        for (entry, (replacement, feature, length)) in [(5, 1u16, 5), (10, 2, 3)].iter().enumerate()
        {
            let at = 13 + entry as i32 * Alternative::SIZE as i32;
            bytes.extend((-at).to_le_bytes());
            bytes.extend((replacement - (at + 4)).to_le_bytes());
            bytes.extend(feature.to_le_bytes());
            bytes.extend([0, 0, 5, *length]);
        }
        bytes
    }

    fn patched(has: impl Fn(u16) -> Result<bool>) -> Vec<u8> {
        let mut bytes = code();
        patch(&mut bytes, 13, 2 * Alternative::SIZE, has).unwrap();
        bytes.truncate(5);
        bytes
    }

    #[test]
    fn the_last_alternative_that_applies_wins() {
        assert_eq!(patched(|_| Ok(true)), [0x0f, 0x01, 0xf9, 0x66, 0x90]);
        assert_eq!(patched(|feature| Ok(feature == 1)), [0x0f, 0xae, 0xe8, 0x0f, 0x31]);
        assert_eq!(patched(|_| Ok(false)), [0x0f, 0x31, 0x0f, 0x1f, 0x00]);
    }

    #[test]
    fn refuses_unknown_entries() {
        assert!(has_feature(0xffff).is_err());
        let mut bytes = code();
        bytes[13 + 10] = 2;
        assert!(patch(&mut bytes, 13, 2 * Alternative::SIZE, |_| Ok(true)).is_err());
        let mut bytes = code();
        assert!(patch(&mut bytes, 13, 3 * Alternative::SIZE, |_| Ok(true)).is_err());
        assert!(Image::parse(b"no image", |_| Ok(true)).is_err());
    }
}
