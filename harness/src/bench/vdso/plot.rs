// SPDX-License-Identifier: GPL-2.0

//! The chart: cycles per read, four bars per clock.

use super::{Role, Row};
use crate::bench::plot::{Chart, Series, OURS, OURS_LIGHT, STOCK, STOCK_LIGHT};
use anyhow::Result;
use std::path::Path;

/// Draws the lowest cycles of every row.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let series = |role: Role| Series {
        title: role.title(),
        colour: match role {
            Role::StockHost => STOCK_LIGHT,
            Role::StockNs => STOCK,
            Role::OursHost => OURS_LIGHT,
            Role::OursNs => OURS,
        },
        values: rows.iter().map(|row| row.cells[&role].lowest).collect(),
    };
    Chart {
        caption: "Clock reads in the vDSO: cycles per call, less is better",
        rows: rows.iter().map(|row| row.name.to_owned()).collect(),
        series: Role::ALL.map(series).into(),
        digits: 2,
        logarithmic: false,
    }
    .draw(path)
}
