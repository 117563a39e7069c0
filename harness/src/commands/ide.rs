// SPDX-License-Identifier: GPL-2.0

//! `ide`: the configuration of rust-analyzer for the prepared tree.

use crate::{
    commands::plan::build_kernel,
    context::Context,
    kernel::{
        build,
        kernels::{Kernel, RUST},
    },
    session::{passed, Column, Session},
};
use anyhow::{bail, Context as _, Result};
use serde_json::Value;
use std::fs;

/// The kernel whose build directory has the configuration.
static KERNEL: &Kernel = &RUST;

/// The root files of the crates that the series changes.
const CRATES: [&str; 2] = ["rust/kernel/lib.rs", "kernel/time/namespace_rs.rs"];

/// Builds the Rust kernel and configures rust-analyzer.
pub fn ide(context: &Context) -> Result<bool> {
    let mut session = Session::new(context, 2)?;
    build_kernel(&mut session, KERNEL);
    session.check("configure rust-analyzer", Column::Host, |step| {
        let mut make = build::make(context, KERNEL)?;
        step.command(make.arg("rust-analyzer"), "rust-analyzer")?;
        check_configuration(context)?;
        Ok(passed())
    });
    session.finish("ide", "")
}

/// Checks that the configuration has the crates of the series, and prints its path.
fn check_configuration(context: &Context) -> Result<()> {
    let path = context.build_dir(KERNEL).join("rust-project.json");
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
                "{} lacks {crate_root}, which scripts/generate_rust_analyzer.py did not find",
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
    Ok(())
}
