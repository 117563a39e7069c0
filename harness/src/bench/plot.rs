// SPDX-License-Identifier: GPL-2.0

//! Charts of horizontal bars, one group of them for each row.

use anyhow::{Context, Result};
use plotters::{
    coord::{
        ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
        Shift,
    },
    prelude::*,
};
use std::path::Path;

const WIDTH: u32 = 860;
const MARGIN: i32 = 14;
/// The height of the caption and the legend, of a bar, and of the axis below the bars.
const HEADER: u32 = 66;
const BAR: u32 = 16;
const AXIS: u32 = 40;
/// The width of the rows' names, and of an entry of the legend.
const NAMES: u32 = 235;
const ENTRY: i32 = 205;
const CAPTION_FONT: (&str, i32) = ("sans-serif", 17);
const FONT: (&str, i32) = ("sans-serif", 13);
const VALUE_FONT: (&str, i32) = ("sans-serif", 11);
/// The part of a row's band that its bars fill.
const FILL: f64 = 0.8;

/// A light and a dark colour of one hue for each kernel. The charts have a ground of their own: they
/// are as clear on a dark page.
pub const C_LIGHT: RGBColor = RGBColor(158, 173, 190);
pub const C: RGBColor = RGBColor(84, 104, 128);
pub const RUST_LIGHT: RGBColor = RGBColor(255, 178, 102);
pub const RUST: RGBColor = RGBColor(214, 98, 0);
const AXIS_COLOUR: RGBColor = RGBColor(120, 120, 120);

/// The bars of one colour.
pub struct Series {
    pub title: &'static str,
    pub colour: RGBColor,
    /// One for each row.
    pub values: Vec<f64>,
}

pub struct Chart<'a> {
    pub caption: &'a str,
    pub rows: Vec<String>,
    pub series: Vec<Series>,
    /// The decimal digits of the values.
    pub digits: usize,
    /// Whether the bars are as long as the logarithms.
    pub logarithmic: bool,
}

impl Chart<'_> {
    pub fn draw(&self, path: &Path) -> Result<()> {
        self.try_draw(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn try_draw(&self, path: &Path) -> Result<()> {
        let values = self.series.iter().flat_map(|series| &series.values);
        let longest = values.copied().fold(0.0, f64::max);
        match self.logarithmic {
            true => self.draw_on(path, (1.0..longest * 4.0).log_scale(), 1.0),
            false => self.draw_on(path, 0.0..longest * 1.1, 0.0),
        }
    }

    fn draw_on<X>(&self, path: &Path, axis: X, origin: f64) -> Result<()>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let bands = (self.rows.len() * self.series.len()) as u32;
        let height = HEADER + (f64::from(bands * BAR) / FILL) as u32 + AXIS;
        let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (header, body) = root.split_vertically(HEADER);
        self.draw_header(&header)?;
        let mut chart = ChartBuilder::on(&body)
            .margin_left(MARGIN)
            .margin_right(2 * MARGIN)
            .margin_bottom(MARGIN)
            .x_label_area_size(26)
            .y_label_area_size(NAMES)
            // The first row at the top.
            .build_cartesian_2d(axis, self.rows.len() as f64 - 0.5..-0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS_COLOUR)
            .x_label_formatter(&|x| thousands(*x, 0))
            .y_labels(self.rows.len())
            .y_label_formatter(&|y| {
                let row = self.rows.get(y.round() as usize);
                row.map_or(String::new(), Clone::clone)
            })
            .label_style(FONT)
            .draw()?;
        let height = FILL / self.series.len() as f64;
        for (place, series) in self.series.iter().enumerate() {
            let top = |band: usize| band as f64 - FILL / 2.0 + place as f64 * height;
            let bars = series.values.iter().enumerate().map(|(band, &value)| {
                let corners = [(origin, top(band)), (value, top(band) + height * 0.92)];
                Rectangle::new(corners, series.colour.filled())
            });
            chart.draw_series(bars)?;
            let texts = series.values.iter().enumerate().map(|(band, &value)| {
                EmptyElement::at((value, top(band)))
                    + Text::new(thousands(value, self.digits), (4, 2), VALUE_FONT)
            });
            chart.draw_series(texts)?;
        }
        root.present()?;
        Ok(())
    }

    /// Draws the caption and below it, outside of the bars, the legend.
    fn draw_header<'a>(&self, area: &DrawingArea<SVGBackend<'a>, Shift>) -> Result<()> {
        area.draw(&Text::new(self.caption, (MARGIN, MARGIN), CAPTION_FONT))?;
        for (entry, series) in self.series.iter().enumerate() {
            let (left, top) = (MARGIN + entry as i32 * ENTRY, MARGIN + 28);
            let square = [(left, top), (left + 14, top + 11)];
            area.draw(&Rectangle::new(square, series.colour.filled()))?;
            area.draw(&Text::new(series.title, (left + 20, top), FONT))?;
        }
        Ok(())
    }
}

/// A number with a comma between each three digits.
fn thousands(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        assert_eq!(thousands(1234567.0, 0), "1,234,567");
        assert_eq!(thousands(123.456, 1), "123.5");
        assert_eq!(thousands(0.0, 0), "0");
    }
}
