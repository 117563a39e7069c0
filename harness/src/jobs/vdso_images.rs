// SPDX-License-Identifier: GPL-2.0

//! Maps vDSO images into a process of the host, and checks their clock reads with every clock
//! source.

use super::findings::{Findings, Place};
use crate::{
    kernel::kernels::STOCK,
    session::{passed, Outcome, Step},
    vdso::image::built,
};
use anyhow::Result;
use std::{env, path::PathBuf, process::Command};

pub fn run(place: Place) -> Result<Findings> {
    let images = [&STOCK, place.kernel].map(|kernel| built(&place.context.build_dir(kernel)));
    let results = compare(place.step, images)?;
    Ok(Findings { checks: vec![place.check("vDSO images", results)], ..Findings::default() })
}

/// Checks an image of the C kernel and another one in a child process.
pub fn compare(step: &Step, [stock, other]: [PathBuf; 2]) -> Result<Vec<Outcome>> {
    let mut check = Command::new(env::current_exe()?);
    check.arg("vdso-images").arg("--stock-image").arg(stock);
    check.arg("--rust-image").arg(other);
    step.command(&mut check, "vdso-images")?;
    Ok(passed())
}
