// SPDX-License-Identifier: GPL-2.0

//! Charts of horizontal bars, one group of them for each row.

use anyhow::{Context, Result};
use plotters::{
    coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    prelude::*,
};
use std::path::Path;

const WIDTH: u32 = 860;
/// The height of a bar, and of what is around them.
const BAR: u32 = 16;
const MARGINS: u32 = 80;
const FONT: (&str, i32) = ("sans-serif", 13);
/// The part of a row's band that its bars fill.
const FILL: f64 = 0.8;

/// Pairs of one hue, a light and a dark one, on a ground of their own: as clear on a dark page.
pub const STOCK_LIGHT: RGBColor = RGBColor(158, 173, 190);
pub const STOCK: RGBColor = RGBColor(84, 104, 128);
pub const OURS_LIGHT: RGBColor = RGBColor(255, 178, 102);
pub const OURS: RGBColor = RGBColor(214, 98, 0);

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
    /// How many digits of the values are shown behind the point.
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
        let size = (WIDTH, MARGINS + (f64::from(bands * BAR) / FILL) as u32);
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.caption, ("sans-serif", 17))
            .margin(14)
            .x_label_area_size(26)
            .y_label_area_size(235)
            // The first row at the top.
            .build_cartesian_2d(axis, self.rows.len() as f64 - 0.5..-0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|x| x.to_string())
            .y_labels(self.rows.len())
            .y_label_formatter(&|y| {
                let row = self.rows.get(y.round() as usize);
                row.map_or(String::new(), Clone::clone)
            })
            .label_style(FONT)
            .draw()?;
        let height = FILL / self.series.len() as f64;
        for (place, series) in self.series.iter().enumerate() {
            let colour = series.colour;
            let top = |band: usize| band as f64 - FILL / 2.0 + place as f64 * height;
            let bars = series.values.iter().enumerate().map(|(band, &value)| {
                let corners = [(origin, top(band)), (value, top(band) + height * 0.92)];
                Rectangle::new(corners, colour.filled())
            });
            chart.draw_series(bars)?.label(series.title).legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled())
            });
            let digits = self.digits;
            let texts = series.values.iter().enumerate().map(|(band, &value)| {
                EmptyElement::at((value, top(band)))
                    + Text::new(format!("{value:.digits$}"), (4, 1), ("sans-serif", 11))
            });
            chart.draw_series(texts)?;
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
}
