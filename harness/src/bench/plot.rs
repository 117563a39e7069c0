// SPDX-License-Identifier: GPL-2.0

//! Charts of horizontal bars as SVG, one group of bars for each row.

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

/// The bars of one colour: their title, the colour and a value for each row.
pub type Series<'a> = (&'a str, &'a str, Vec<f64>);

/// The SVG of a chart.
pub fn chart(caption: &str, rows: &[&str], series: &[Series<'_>]) -> String {
    let bars = BAR * series.len();
    let row_height = bars * 5 / 4;
    let bottom = TOP + row_height * rows.len();
    let longest = series.iter().flat_map(|(.., values)| values).copied().fold(0.0, f64::max);
    let length = |value: f64| (value / longest * LONGEST as f64).round() as usize;
    let height = bottom + 40;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' \
         height='{height}' font-family='sans-serif' font-size='11'>\n"
    );
    svg += &rectangle(0, 0, [WIDTH, height], "white");
    svg += &text(MARGIN, 25, "font-size='14'", caption);
    // The least round step that gives ten lines or fewer.
    let mut steps = (0..).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10f64.powi(power)));
    let step = steps.find(|step| longest <= 10.0 * step).unwrap_or(longest);
    for value in (0..=(longest / step) as usize).map(|line| line as f64 * step) {
        let x = LEFT + length(value);
        svg += &rectangle(x, TOP, [1, bottom - TOP], "#cccccc");
        svg += &text(x, bottom + 18, "text-anchor='middle'", &thousands(value, 0));
    }
    for (row, name) in rows.iter().enumerate() {
        let middle = TOP + row * row_height + row_height / 2;
        svg += &text(LEFT - 10, middle + 4, "text-anchor='end'", name);
    }
    for (place, (title, colour, values)) in series.iter().enumerate() {
        svg += &rectangle(MARGIN + place * ENTRY, 42, [14, 11], colour);
        svg += &text(MARGIN + place * ENTRY + 20, 52, "", title);
        for (row, &value) in values.iter().enumerate() {
            let y = TOP + row * row_height + (row_height - bars) / 2 + place * BAR;
            svg += &rectangle(LEFT, y, [length(value), BAR - 1], colour);
            let number = thousands(value, usize::from(longest < 1000.0));
            svg += &text(LEFT + length(value) + 4, y + 11, "", &number);
        }
    }
    svg + "</svg>"
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
    let chart = |one| {
        let series = [("one", C[1], vec![one, 500.0]), ("two", RUST[1], vec![0.0, 625.5])];
        chart("a < b", &["x", "y"], &series)
    };
    let parts = ["a &lt; b", "width='530'", "width='265'", ">1,000<", ">626<", ">200<"];
    assert_eq!(parts.map(|part| chart(1000.0).contains(part)), [true; 6]);
    let parts = ["width='530'", "width='424'", ">0.0<", ">500.0<", ">625.5<", ">100<"];
    assert_eq!(parts.map(|part| chart(250.0).contains(part)), [true; 6]);
}
