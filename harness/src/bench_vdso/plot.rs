// SPDX-License-Identifier: GPL-2.0

//! The chart: cycles per read, four bars per clock.

use super::{Role, Row};
use anyhow::{Context, Result};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (860, 720);
const FONT: (&str, i32) = ("sans-serif", 13);
/// The part of a clock's band that its bars fill.
const FILL: f64 = 0.8;

/// Pairs of one hue, a light and a dark one, on a ground of their own: as clear on a dark page.
fn colour(role: Role) -> RGBColor {
    match role {
        Role::StockHost => RGBColor(158, 173, 190),
        Role::StockNs => RGBColor(84, 104, 128),
        Role::OursHost => RGBColor(255, 178, 102),
        Role::OursNs => RGBColor(214, 98, 0),
    }
}

/// Draws the lowest cycles of every row.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    try_draw(path, rows).with_context(|| format!("cannot write {}", path.display()))
}

fn try_draw(path: &Path, rows: &[Row]) -> Result<()> {
    let lowest = |row: &Row, role: Role| row.cells[&role].lowest;
    let longest = rows
        .iter()
        .flat_map(|row| Role::ALL.map(|role| lowest(row, role)))
        .fold(0.0, f64::max);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Clock reads in the vDSO: cycles per call, less is better",
            ("sans-serif", 17),
        )
        .margin(14)
        .x_label_area_size(26)
        .y_label_area_size(150)
        // The first row at the top.
        .build_cartesian_2d(0.0..longest * 1.1, rows.len() as f64 - 0.5..-0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(rows.len())
        .y_label_formatter(&|y| {
            let row = rows.get(y.round() as usize);
            row.map_or(String::new(), |row| row.name.to_owned())
        })
        .label_style(FONT)
        .draw()?;
    let height = FILL / Role::ALL.len() as f64;
    for (place, role) in Role::ALL.into_iter().enumerate() {
        let bars = rows.iter().enumerate().map(|(band, row)| {
            let top = band as f64 - FILL / 2.0 + place as f64 * height;
            let corners = [(0.0, top), (lowest(row, role), top + height * 0.92)];
            Rectangle::new(corners, colour(role).filled())
        });
        chart
            .draw_series(bars)?
            .label(role.title())
            .legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour(role).filled())
            });
        chart.draw_series(rows.iter().enumerate().map(|(band, row)| {
            let top = band as f64 - FILL / 2.0 + place as f64 * height;
            let value = lowest(row, role);
            EmptyElement::at((value, top))
                + Text::new(format!("{value:.2}"), (4, 1), ("sans-serif", 11))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .label_font(FONT)
        .draw()?;
    root.present()?;
    Ok(())
}
