// SPDX-License-Identifier: GPL-2.0

//! `faults`: each allocation of each operation fails once, on both kernels.

use super::plan::{Plan, Selection};
use crate::{
    context::Context,
    jobs::Job,
    kernel::kernels::{RUST_FAULTS, STOCK_FAULTS},
};
use anyhow::Result;

pub fn faults(context: &Context, selection: &Selection) -> Result<bool> {
    let kernels = [&STOCK_FAULTS, &RUST_FAULTS];
    let rows = kernels.map(|kernel| (kernel, vec![Job::Faults]));
    let plan = Plan::new("faults", rows.into()).select(selection)?;
    plan.run(context, |_, _, _| {})?.finish("faults", "")
}
