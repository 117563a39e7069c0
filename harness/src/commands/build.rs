// SPDX-License-Identifier: GPL-2.0

//! `build`: one kernel of the table.

use super::plan::build_kernel;
use crate::{context::Context, kernel::kernels::Kernel, session::Session};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub struct Options {
    /// The name of the kernel: rust, stock or another one; a wrong name lists all.
    #[arg(value_parser = Kernel::named)]
    kernel: &'static Kernel,
}

pub fn build(context: &Context, options: &Options) -> Result<bool> {
    let kernels = options.kernel.with_parents();
    let mut session = Session::new(context, kernels.len())?;
    for kernel in kernels {
        build_kernel(&mut session, kernel);
    }
    println!("{}", context.kernel_image(options.kernel).display());
    session.finish("build", "")
}
