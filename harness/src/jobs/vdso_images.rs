// SPDX-License-Identifier: GPL-2.0

//! Maps vDSO images into a process of this machine, and checks the values that they read with every counter,
//! those included that no guest here has.

use super::findings::{Findings, Place};
use crate::{
    bench::vdso,
    kernel::kernels::STOCK,
    session::{passed, Outcome, Step},
};
use anyhow::Result;
use clap::Args;
use std::{env, path::PathBuf, process::Command};

/// The process that maps the images.
#[derive(Args)]
pub struct Options {
    #[arg(long)]
    stock_image: PathBuf,
    #[arg(long)]
    rust_image: PathBuf,
}

impl Options {
    /// Checks the images in this process, which may crash.
    pub fn check(&self) -> Result<bool> {
        vdso::check([&self.stock_image, &self.rust_image])?;
        Ok(true)
    }
}

pub fn run(place: Place) -> Result<Findings> {
    let images =
        [&STOCK, place.kernel].map(|kernel| vdso::image_of(&place.context.build_dir(kernel)));
    let results = compare(place.step, images)?;
    Ok(Findings { checks: vec![place.check("vDSO images", results)], ..Findings::default() })
}

/// Checks an image of the C kernel and another one in a process of their own.
pub fn compare(step: &Step, [stock, other]: [PathBuf; 2]) -> Result<Vec<Outcome>> {
    let mut check = Command::new(env::current_exe()?);
    check.arg("vdso-images").arg("--stock-image").arg(stock);
    check.arg("--rust-image").arg(other);
    step.command(&mut check, "vdso-images")?;
    Ok(passed())
}
