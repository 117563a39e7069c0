// SPDX-License-Identifier: GPL-2.0

//! The paths and tools of a run.

use crate::{guest::accelerator::Accelerator, kernel::toolchain};
use anyhow::{anyhow, bail, Context as _, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

pub struct Context {
    pub top: PathBuf,
    /// The directory of all generated files.
    pub out: PathBuf,
    /// The prepared kernel tree.
    pub tree: PathBuf,
    /// Linux without the series.
    pub stock_tree: PathBuf,
    pub toolchain: toolchain::Toolchain,
    /// The number of parallel jobs of make.
    pub parallel_jobs: usize,
    /// The accelerator that `ACCEL=` names.
    pub accelerator: Option<Accelerator>,
}

impl Context {
    pub fn new() -> Result<Self> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let top = crate_dir.parent().context("the crate is not in a checkout")?.to_owned();
        let out = top.join("out");
        let [tree, stock_tree] = ["linux", "stock/linux"].map(|name| out.join(name));
        for tree in [&tree, &stock_tree] {
            if !tree.join("Kconfig").exists() {
                bail!("{} is not a kernel tree: run `make tree`", tree.display());
            }
        }
        Ok(Self {
            toolchain: toolchain::Toolchain::read(&out.join("toolchain.env"))?,
            parallel_jobs: toolchain::parallel_jobs()?,
            accelerator: Accelerator::wanted()?,
            top,
            out,
            tree,
            stock_tree,
        })
    }

    /// Locks out/ until the returned value is dropped. Two runs would overwrite each other's files.
    pub fn lock(&self) -> Result<Flock<File>> {
        let path = self.out.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => anyhow!(
                "another run uses {}: wait until it ends, or use another checkout",
                self.out.display()
            ),
            error => anyhow!("cannot lock {}: {error}", path.display()),
        })
    }
}
