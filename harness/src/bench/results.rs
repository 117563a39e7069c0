// SPDX-License-Identifier: GPL-2.0

//! The files of results.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::{fs, path::Path};

/// Reads a report that was saved.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a saved report", path.display()))
}

/// Writes a file of results into a directory.
pub fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, format!("{text}\n")));
    written.with_context(|| format!("cannot write {}", path.display()))
}
