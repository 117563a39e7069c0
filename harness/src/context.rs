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
    /// The checkout.
    pub top: PathBuf,
    /// All that is made.
    pub out: PathBuf,
    /// The prepared kernel tree.
    pub tree: PathBuf,
    /// The same without the series.
    pub stock_tree: PathBuf,
    pub toolchain: toolchain::Toolchain,
    /// The number of parallel jobs.
    pub jobs: usize,
    /// The accelerator that `ACCEL=` names.
    pub accelerator: Option<Accelerator>,
}

impl Context {
    pub fn new() -> Result<Self> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let top = crate_dir.parent().context("the crate lies in no checkout")?.to_owned();
        let out = top.join("out");
        let [tree, stock_tree] = ["linux", "stock/linux"].map(|name| out.join(name));
        for tree in [&tree, &stock_tree] {
            if !tree.join("Kconfig").exists() {
                bail!("{} is no kernel tree: run `make tree`", tree.display());
            }
        }
        Ok(Self {
            toolchain: toolchain::Toolchain::read(&out.join("toolchain.env"))?,
            jobs: toolchain::jobs()?,
            accelerator: Accelerator::wanted()?,
            top,
            out,
            tree,
            stock_tree,
        })
    }

    /// Locks out/ for this run while the returned value lives: two runs would pack each other's files while
    /// they are written.
    pub fn lock(&self) -> Result<Flock<File>> {
        let path = self.out.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => anyhow!(
                "another run works in {}: wait for its end, or use another checkout",
                self.out.display()
            ),
            error => anyhow!("cannot lock {}: {error}", path.display()),
        })
    }
}
