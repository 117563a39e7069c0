// SPDX-License-Identifier: GPL-2.0

//! The chart: cycles per read, four bars per clock.

use super::report::Row;
use crate::{
    bench::plot::{chart, C, RUST},
    vdso::Role,
};
use anyhow::{Context, Result};

/// The rows of the chart: the clocks that programs read most.
const CHARTED: [&str; 6] = [
    "MONOTONIC",
    "REALTIME",
    "BOOTTIME",
    "MONOTONIC_COARSE",
    "gettimeofday()",
    "MONOTONIC, KVM's clock",
];

/// The chart of the lowest cycles.
pub fn cycles(rows: &[Row]) -> Result<String> {
    let row = |name: &&str| {
        let row = rows.iter().find(|row| row.name == *name);
        row.with_context(|| format!("there is no row {name}"))
    };
    let shown: Vec<_> = CHARTED.iter().map(row).collect::<Result<_>>()?;
    let series = |role: Role| {
        let (title, colour) = match role {
            Role::CHost => ("C kernel, host", C[0]),
            Role::CNamespace => ("C kernel, namespace", C[1]),
            Role::RustHost => ("Rust kernel, host", RUST[0]),
            Role::RustNamespace => ("Rust kernel, namespace", RUST[1]),
        };
        (title, colour, shown.iter().map(|row| row.cells[&role].lowest).collect())
    };
    let title = "Clock reads in the vDSO: cycles per call, less is better";
    Ok(chart(title, &CHARTED, &Role::ALL.map(series)))
}
