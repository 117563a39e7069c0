// SPDX-License-Identifier: GPL-2.0

//! `ide`: what rust-analyzer needs to understand the prepared tree.

use crate::{
    kbuild::{self, Kind},
    Context,
};
use anyhow::{bail, Context as _, Result};
use serde_json::Value;
use std::fs;

/// The kernel in whose directory the description lies.
const KIND: Kind = Kind::Rust;

/// The crates that the series is in, by their root files.
const CRATES: [&str; 2] = ["rust/kernel/lib.rs", "kernel/time/namespace_rs.rs"];

/// Configures our kernel, has its crates described, and says where an editor finds that.
pub fn ide(context: &Context) -> Result<bool> {
    let mut steps = context.steps(1 + kbuild::BUILD_STEPS)?;
    kbuild::build(context, &mut steps, KIND)?;
    steps.run("describe the crates", |step| {
        step.command(
            kbuild::make(context, KIND)?.arg("rust-analyzer"),
            "rust-analyzer",
        )
    })?;
    let path = context.build_dir(KIND).join("rust-project.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let project: Value = serde_json::from_str(&text)?;
    let roots: Vec<_> = project["crates"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|described| described["root_module"].as_str())
        .collect();
    for crate_root in CRATES {
        if !roots.iter().any(|root| root.ends_with(crate_root)) {
            bail!(
                "{} lacks {crate_root}: scripts/generate_rust_analyzer.py doesn't look there",
                path.display()
            );
        }
    }
    println!(
        "{} describes {} crates.\n\
         Open {} in an editor whose rust-analyzer has the setting\n  \
         rust-analyzer.linkedProjects = [\"{}\"]",
        path.display(),
        roots.len(),
        context.tree.display(),
        path.display()
    );
    Ok(true)
}
