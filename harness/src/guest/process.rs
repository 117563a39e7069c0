// SPDX-License-Identifier: GPL-2.0

//! The process of a guest.

use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A child process that is killed when the value is dropped.
pub struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts QEMU with its output in a log.
pub fn start(qemu: &mut Command, errors: &Path) -> Result<KillOnDrop> {
    let log =
        fs::File::create(errors).with_context(|| format!("cannot write {}", errors.display()))?;
    let child = qemu
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot run QEMU: run `make setup`")?;
    Ok(KillOnDrop(child))
}

/// Reads a text file. It is empty if QEMU has not created it.
pub fn read_lossy(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
