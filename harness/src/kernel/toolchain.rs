// SPDX-License-Identifier: GPL-2.0

//! The tools that `harness/setup/setup.sh` found: `out/toolchain.env`, with lines `KEY='value'`.

use anyhow::{bail, Context, Result};
use std::{collections::HashMap, env, fs, path::Path, path::PathBuf, thread};

/// The values of `out/toolchain.env`, by key.
pub struct Toolchain(HashMap<String, String>);

impl Toolchain {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: run `make setup`", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}: run `make setup`", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut values = HashMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                bail!("not of the form KEY='value': {line}");
            };
            let value =
                value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).unwrap_or(value);
            values.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self(values))
    }

    /// Returns the value of `key`, or `None` if it is empty or missing.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Returns the value of `key`, which must exist.
    pub fn need(&self, key: &str) -> Result<&str> {
        self.get(key).with_context(|| format!("out/toolchain.env has no {key}: run `make setup`"))
    }

    /// Whether clang and rustc have the same LLVM, so that C helpers can be inlined into Rust.
    pub fn same_llvm(&self) -> bool {
        let clang = self.get("CLANG_MAJOR");
        clang.is_some() && clang == self.get("RUSTC_LLVM_MAJOR")
    }

    /// Returns the name of an LLVM program for `LLVM=`.
    pub fn llvm_tool(&self, name: &str) -> Result<String> {
        Ok(match self.need("LLVM")? {
            suffix if suffix.starts_with('-') => format!("{name}{suffix}"),
            prefix if prefix.ends_with('/') => format!("{prefix}{name}"),
            _ => name.to_owned(),
        })
    }

    /// Returns the variables of make for a kernel.
    pub fn make_variables(&self) -> Result<Vec<String>> {
        // llvm-objcopy cannot make the x32 vDSO: see X86_X32_ABI in arch/x86/Kconfig.
        let objcopy = vec!["OBJCOPY=objcopy".to_owned()];
        Ok([self.clang_variables()?, objcopy, self.rust_variables()?].concat())
    }

    /// Returns the variables for clang, for any architecture.
    pub fn clang_variables(&self) -> Result<Vec<String>> {
        let llvm = format!("LLVM={}", self.need("LLVM")?);
        let compiler = self.llvm_tool("clang")?;
        Ok([llvm].into_iter().chain(self.through_ccache(&compiler)).collect())
    }

    /// Returns the variables for gcc, for the host's architecture.
    pub fn gcc_variables(&self) -> Vec<String> {
        let gcc = self.through_ccache("gcc");
        vec![gcc.unwrap_or_else(|| "CC=gcc".to_owned())]
    }

    pub fn rust_variables(&self) -> Result<Vec<String>> {
        let mut variables = vec![];
        for key in ["RUSTC", "BINDGEN", "RUST_LIB_SRC"] {
            variables.push(format!("{key}={}", self.need(key)?));
        }
        for key in ["RUSTDOC", "RUSTFMT", "CLIPPY_DRIVER"] {
            if let Some(value) = self.get(key) {
                variables.push(format!("{key}={value}"));
            }
        }
        Ok(variables)
    }

    fn through_ccache(&self, compiler: &str) -> Option<String> {
        let ccache = self.get("CCACHE")?;
        Some(format!("CC={ccache} {compiler}"))
    }
}

/// Returns the number of parallel jobs: `JOBS=`, or one for each CPU.
pub fn parallel_jobs() -> Result<usize> {
    match env::var("JOBS") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(jobs) if jobs > 0 => Ok(jobs),
            _ => bail!("JOBS={text} is not a number of jobs: give one from 1 up"),
        },
        _ => Ok(thread::available_parallelism().map_or(1, Into::into)),
    }
}

/// Finds a program in `PATH`, `/usr/sbin` and `/sbin`.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed: run `make setup`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_removed() {
        let tools =
            Toolchain::parse("# c\nLLVM='-22'\nCCACHE=''\nRUSTC='/usr/bin/rustc'\n").unwrap();
        assert_eq!(tools.get("LLVM"), Some("-22"));
        assert_eq!(tools.get("CCACHE"), None);
        assert!(tools.need("BINDGEN").is_err());
        assert!(Toolchain::parse("nonsense").is_err());
    }

    #[test]
    fn ccache_is_used() {
        let text = "LLVM='-22'\nCCACHE='ccache'\nRUSTC=r\nBINDGEN=b\nRUST_LIB_SRC=s\n";
        let variables = Toolchain::parse(text).unwrap().make_variables().unwrap();
        assert!(variables.contains(&"CC=ccache clang-22".to_owned()));
        let text = text.replace("'-22'", "/opt/llvm/bin/");
        let variables = Toolchain::parse(&text).unwrap().make_variables().unwrap();
        assert!(variables.contains(&"CC=ccache /opt/llvm/bin/clang".to_owned()));
    }

    #[test]
    fn helpers_are_inlined_only_with_the_same_llvm() {
        let of = |text| Toolchain::parse(text).unwrap().same_llvm();
        assert!(of("CLANG_MAJOR=22\nRUSTC_LLVM_MAJOR=22\n"));
        assert!(!of("CLANG_MAJOR=19\nRUSTC_LLVM_MAJOR=20\n"));
        assert!(!of(""));
    }
}
