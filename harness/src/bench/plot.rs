// SPDX-License-Identifier: GPL-2.0

//! Charts of horizontal bars as SVG, one group of bars for each row.

use anyhow::{Context, Result};
use std::{fs, path::Path};

/// The size of the page, and the places of the bars and of the legend in it.
const WIDTH: usize = 860;
const MARGIN: usize = 14;
const LEFT: usize = 249;
const TOP: usize = 66;
const ENTRY: usize = 205;
/// The height of a bar, and the length of the longest one. Its value is written behind it.
const BAR: usize = 16;
const LONGEST: usize = 530;

/// A light and a dark colour for each kernel, on a white ground: as clear on a dark page.
pub const C: [&str; 2] = ["#9eadbe", "#546880"];
pub const RUST: [&str; 2] = ["#ffb266", "#d66200"];

pub struct Chart<'a> {
    pub caption: &'a str,
    pub rows: &'a [&'a str],
    /// The title and the colour of each bar of a row, and the values, one for each row.
    pub series: Vec<(&'a str, &'a str, Vec<f64>)>,
    /// The decimal digits of the values.
    pub digits: usize,
}

impl Chart<'_> {
    pub fn draw(&self, path: &Path) -> Result<()> {
        fs::write(path, self.svg()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn svg(&self) -> String {
        let bars = BAR * self.series.len();
        let row_height = bars * 5 / 4;
        let bottom = TOP + row_height * self.rows.len();
        let longest = self.series.iter().flat_map(|(.., values)| values).copied();
        let longest = longest.fold(0.0, f64::max);
        let length = |value: f64| (value / longest * LONGEST as f64).round() as usize;
        let svg = "<svg xmlns='http://www.w3.org/2000/svg' font-family='sans-serif'";
        let height = bottom + 40;
        let mut svg = format!("{svg} font-size='11' width='{WIDTH}' height='{height}'>\n");
        svg += &rectangle(0, 0, [WIDTH, height], "white");
        svg += &text(MARGIN, 25, "font-size='14'", self.caption);
        // The least round step that gives ten lines or fewer.
        let mut steps = (0..).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10f64.powi(power)));
        let step = steps.find(|step| longest <= 10.0 * step).unwrap_or(longest);
        for value in (0..=(longest / step) as usize).map(|line| line as f64 * step) {
            let x = LEFT + length(value);
            svg += &rectangle(x, TOP, [1, bottom - TOP], "#cccccc");
            svg += &text(x, bottom + 18, "text-anchor='middle'", &thousands(value, 0));
        }
        for (row, name) in self.rows.iter().enumerate() {
            let middle = TOP + row * row_height + row_height / 2;
            svg += &text(LEFT - 10, middle + 4, "text-anchor='end'", name);
        }
        for (place, (title, colour, values)) in self.series.iter().enumerate() {
            svg += &rectangle(MARGIN + place * ENTRY, 42, [14, 11], colour);
            svg += &text(MARGIN + place * ENTRY + 20, 52, "", title);
            for (row, &value) in values.iter().enumerate() {
                let y = TOP + row * row_height + (row_height - bars) / 2 + place * BAR;
                svg += &rectangle(LEFT, y, [length(value), BAR - 1], colour);
                let value_left = LEFT + length(value) + 4;
                svg += &text(value_left, y + 11, "", &thousands(value, self.digits));
            }
        }
        svg + "</svg>\n"
    }
}

fn rectangle(x: usize, y: usize, [width, height]: [usize; 2], colour: &str) -> String {
    format!("<rect x='{x}' y='{y}' width='{width}' height='{height}' fill='{colour}'/>\n")
}

fn text(x: usize, y: usize, style: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x='{x}' y='{y}' {style}>{text}</text>\n")
}

/// A number with a comma between each three digits.
fn thousands(value: f64, digits: usize) -> String {
    let mut text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    (1..whole).rev().filter(|at| (whole - at) % 3 == 0).for_each(|at| text.insert(at, ','));
    text
}

#[cfg(test)]
#[test]
fn bars_are_as_long_as_their_values() {
    let series = vec![("one", C[1], vec![2500.0, 1250.0]), ("two", RUST[1], vec![0.0, 625.5])];
    let svg = Chart { caption: "a < b", rows: &["x", "y"], series, digits: 1 }.svg();
    for part in ["width='530'", "width='265'", "a &lt; b", ">2,500.0<", ">625.5<", ">2,500<"] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
}
