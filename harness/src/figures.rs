// SPDX-License-Identifier: GPL-2.0

//! `figures`: fills in the figures of README.md, docs/ and the cover letter from the files in
//! results/.
//!
//! In Markdown a comment names the file and the figure; the text behind it is generated:
//!
//! ```text
//! <!-- figure: FILE SELECTOR -->42<!-- /figure -->
//!
//! <!-- table: FILE                        a table with a row for each name
//! HEADING | HEADING | HEADING
//! EXPRESSION | EXPRESSION
//! NAME
//! NAME => how the table calls it
//! -->
//! <!-- /table -->
//!
//! <!-- excerpt: FILE                      lines, in the order of the patterns
//! PATTERN
//! FIRST => LAST
//! …
//! -->
//! <!-- /excerpt -->
//!
//! <!-- text:                              any text, with {FILE SELECTOR} for each figure
//! TEXT
//! -->
//! <!-- /text -->
//!
//! <!-- mutants: -->                       a table of the patches in harness/mutants
//! <!-- /mutants -->
//! ```
//!
//! The cover letter is a template. There `{FILE SELECTOR}` is a figure, and the lines from
//! `{FILE EXPRESSION EXPRESSION` to `}` are the names of a table's rows.
//!
//! The selector of a JSON file is an expression: paths and numbers with `*` and `/` between them,
//! computed from left to right, and `:N` for N decimals. A path is keys with dots between them, in
//! quotes where they contain spaces, dots or operators; in a list, a key is an index or a `name`. A
//! table's paths begin at the row, or with a dot at the file.
//!
//! The selector of another file is a pattern, which must match exactly one line. `sum PATTERN` adds
//! up all lines that match, `count PATTERN` counts them. A pattern is compared with a whole line,
//! word by word: `?` is the number to take, `*` any part of a word, `...` any words, `A|B` either.
//! `FIRST => PATTERN` skips the lines before the one that matches FIRST, and takes the next one
//! that matches PATTERN.
//!
//! Numbers are rounded to the nearest: to `:N` decimals; else a quotient to 3, a number below 1,000
//! with a fraction to 2, others to 0. A number from a text file keeps its decimals. In Markdown,
//! thousands have commas.

use crate::context::Context;
use anyhow::{anyhow, bail, ensure, Context as _, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Fills in all figures, and prints the pages that change and the figures that cannot be found.
pub fn write(context: &Context) -> Result<bool> {
    let mut good = true;
    for page in Page::all(&context.top)? {
        let filled = page.fill();
        if filled.text != page.text {
            fs::write(&page.path, &filled.text)
                .with_context(|| format!("cannot write {}", page.path.display()))?;
            println!("{}: new figures", page.name);
        }
        for error in filled.errors {
            good = false;
            println!("{error}");
        }
    }
    letter(context)?;
    Ok(good)
}

/// The places that are out of date: figures, figures that cannot be found, and links to files that
/// do not exist.
pub fn check(context: &Context) -> Result<Vec<String>> {
    let mut places = vec![];
    for page in Page::all(&context.top)? {
        let filled = page.fill();
        places.extend(filled.stale);
        places.extend(filled.errors);
        places.extend(page.broken_links());
    }
    if let Err(error) = letter(context) {
        places.push(format!("{error:#}"));
    }
    Ok(places)
}

/// The text of the cover letter.
pub fn letter(context: &Context) -> Result<String> {
    let path = context.top.join("harness/series/cover-letter");
    let template = named(&read(&path)?, &read(&context.top.join("BASE"))?);
    fill_letter(&template, &Results(context.top.join("results"))).context("the cover letter")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Replaces each `@NAME@` by the value of NAME in BASE.
fn named(template: &str, base: &str) -> String {
    let settings = base.lines().filter_map(|line| line.split_once('='));
    settings
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// A Markdown file.
struct Page {
    /// Its path in the repository.
    name: String,
    path: PathBuf,
    text: String,
    results: Results,
}

#[derive(Default)]
struct Filled {
    text: String,
    stale: Vec<String>,
    errors: Vec<String>,
}

impl Page {
    /// README.md and the pages in docs/.
    fn all(top: &Path) -> Result<Vec<Self>> {
        let mut names = vec!["README.md".to_owned()];
        for entry in fs::read_dir(top.join("docs")).context("cannot list docs/")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                names.push(format!("docs/{name}"));
            }
        }
        names.sort();
        let page = |name: String| {
            let path = top.join(&name);
            Ok(Self { text: read(&path)?, results: Results(top.join("results")), name, path })
        };
        names.into_iter().map(page).collect()
    }

    /// Generates the text between each comment and its end.
    fn fill(&self) -> Filled {
        let mut filled = Filled::default();
        let mut rest = self.text.as_str();
        while let Some(block) = Block::next(rest) {
            filled.text += block.before;
            let line = filled.text.matches('\n').count() + 1;
            let place = format!("{}:{line}", self.name);
            let line = filled.text.rsplit('\n').next().unwrap_or_default();
            // Markdown takes a line that begins with a comment for HTML, and one in code for text.
            let verbatim = line.is_empty() || line.matches('`').count() % 2 == 1;
            let generated = match block.kind == "figure" && verbatim {
                true => Err(anyhow!("a figure must not begin a line, nor lie in code")),
                false => self.results.generate(block.kind, block.body),
            };
            filled.text += block.comment;
            match generated {
                Ok(new) => {
                    if new != block.old {
                        filled.stale.push(stale(&place, &block, &new));
                    }
                    filled.text += &new;
                }
                Err(error) => {
                    filled.errors.push(format!("{place}: {error:#}"));
                    filled.text += block.old;
                }
            }
            rest = block.rest;
        }
        filled.text += rest;
        filled
    }

    /// The links to files that do not exist.
    fn broken_links(&self) -> Vec<String> {
        let links = self.text.split("](").skip(1);
        let paths = links.filter_map(|link| link.split([')', '#']).next());
        let dir = self.path.parent().unwrap_or(Path::new(""));
        paths
            .filter(|path| !path.contains("://") && !dir.join(path).exists())
            .map(|path| format!("{}: links to {path}, which does not exist", self.name))
            .collect()
    }
}

/// Names a place that is out of date, by the first line that differs.
fn stale(place: &str, block: &Block<'_>, new: &str) -> String {
    let (mut old, mut new) = (block.old.lines(), new.lines());
    loop {
        let (old, new) = (old.next(), new.next());
        if old != new || old.is_none() {
            let [old, new] = [old, new].map(Option::unwrap_or_default);
            return format!("{place}: the {} has `{old}`, the results `{new}`", block.kind);
        }
    }
}

/// A comment in Markdown, and the generated text behind it.
struct Block<'a> {
    before: &'a str,
    comment: &'a str,
    kind: &'static str,
    body: &'a str,
    old: &'a str,
    /// The end marker, and what follows it.
    rest: &'a str,
}

impl<'a> Block<'a> {
    /// The first one in a text. One without an end has no generated text.
    fn next(text: &'a str) -> Option<Self> {
        let starts = ["figure", "table", "excerpt", "text", "mutants"].map(|kind| {
            let start = text.find(&format!("<!-- {kind}:"));
            start.map(|start| (start, kind))
        });
        let (start, kind) = starts.into_iter().flatten().min()?;
        let end = start + text[start..].find("-->")? + "-->".len();
        let old = text[end..].find(&format!("<!-- /{kind} -->")).unwrap_or(0);
        Some(Self {
            before: &text[..start],
            comment: &text[start..end],
            kind,
            body: text[start + "<!-- :".len() + kind.len()..end - "-->".len()].trim(),
            old: &text[end..end + old],
            rest: &text[end + old..],
        })
    }
}

/// The directory with the results.
struct Results(PathBuf);

impl Results {
    /// The text behind a comment.
    fn generate(&self, kind: &str, body: &str) -> Result<String> {
        Ok(match kind {
            "figure" => self.figure(body)?,
            "table" => format!("\n{}", self.table(body)?),
            "text" => format!("\n{}\n", self.inline(body)?),
            "mutants" => format!("\n{}", self.mutants()?),
            _ => format!("\n```text\n{}```\n", self.excerpt(body)?),
        })
    }

    /// Replaces each `{FILE SELECTOR}` in a text.
    fn inline(&self, text: &str) -> Result<String> {
        let mut parts = text.split('{');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (body, rest) = part.split_once('}').context("a figure has no end")?;
            filled += &self.figure(body)?;
            filled += rest;
        }
        Ok(filled)
    }

    fn read(&self, file: &str) -> Result<String> {
        read(&self.0.join(file)).map_err(|_| anyhow!("there is no results/{file}"))
    }

    fn json(&self, file: &str) -> Result<Value> {
        serde_json::from_str(&self.read(file)?)
            .map_err(|error| anyhow!("results/{file} is not JSON: {error}"))
    }

    /// One figure: `FILE SELECTOR`.
    fn figure(&self, body: &str) -> Result<String> {
        let (file, selector) = body.split_once(' ').context("a figure needs a selector")?;
        let figure = match file.ends_with(".json") {
            true => {
                let json = self.json(file)?;
                evaluate(selector, &json, &json, Style::Prose)
            }
            false => count(selector, &self.read(file)?),
        };
        figure.with_context(|| format!("results/{file}"))
    }

    /// The rows of a table: the names, as the table calls them, and a cell for each expression.
    fn rows<'a>(
        &self,
        file: &str,
        expressions: &[&str],
        names: impl Iterator<Item = &'a str>,
        style: Style,
    ) -> Result<Vec<(&'a str, Vec<String>)>> {
        let json = self.json(file)?;
        let row = |line: &'a str| {
            let (name, shown) = line.split_once(" => ").unwrap_or((line, line));
            let row = item(&json["rows"], name)
                .with_context(|| format!("results/{file} has no row {name}"))?;
            let cells = expressions.iter();
            let cells = cells.map(|expression| evaluate(expression, row, &json, style));
            let cells = cells.collect::<Result<_>>();
            Ok((shown, cells.with_context(|| format!("results/{file}: row {name}"))?))
        };
        names.map(row).collect()
    }

    /// A table in Markdown.
    fn table(&self, body: &str) -> Result<String> {
        let mut lines = body.lines();
        let mut next = || lines.next().context("a table needs headings and expressions");
        let [file, headings, expressions] = [next()?, next()?, next()?];
        let expressions: Vec<_> = expressions.split(" | ").collect();
        let columns = headings.split(" | ").count();
        ensure!(
            columns == expressions.len() + 1,
            "the table has {columns} headings and {} expressions",
            expressions.len()
        );
        let mut table = format!("| {headings} |\n|---|{}\n", "---:|".repeat(columns - 1));
        for (name, cells) in self.rows(file, &expressions, lines, Style::Prose)? {
            table += &format!("| {name} | {} |\n", cells.join(" | "));
        }
        Ok(table)
    }

    /// The effects of the mutants, and the checks that detect them, as their patches say.
    fn mutants(&self) -> Result<String> {
        let dir = self.0.join("../harness/mutants");
        let entries = fs::read_dir(dir).context("cannot list harness/mutants")?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        let mut table = "| mutant | effect | detected by |\n|---|---|---|\n".to_owned();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = read(&path)?;
            let effect = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            let detectors = text.lines().find_map(|line| line.strip_prefix("Seen by: "));
            let detectors = detectors.with_context(|| format!("{name} has no `Seen by: `"))?;
            let link = format!("[{}](../harness/mutants/{name})", name.trim_end_matches(".patch"));
            table += &format!("| {link} | {effect} | {detectors} |\n");
        }
        Ok(table)
    }

    /// The lines of a file that match the patterns.
    fn excerpt(&self, body: &str) -> Result<String> {
        let mut patterns = body.lines();
        let file = patterns.next().unwrap_or_default();
        let text = self.read(file)?;
        let mut excerpt = String::new();
        for pattern in patterns {
            if pattern == "…" {
                excerpt += "…\n";
                continue;
            }
            let (first, last) = pattern.split_once(" => ").unwrap_or((pattern, pattern));
            let mut lines = text.lines();
            let matched = lines.find(|line| Pattern::new(first).matches(line).is_some());
            let mut line = matched;
            while let Some(shown) = line {
                excerpt += shown.trim_end();
                excerpt.push('\n');
                if Pattern::new(last).matches(shown).is_some() {
                    break;
                }
                line = lines.next();
            }
            ensure!(line.is_some(), "results/{file} has no line `{pattern}`");
        }
        Ok(excerpt)
    }
}

/// Fills in the figures and tables of the cover letter.
fn fill_letter(template: &str, results: &Results) -> Result<String> {
    let mut letter = String::new();
    let mut lines = template.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix('{').and_then(|line| line.split_once(' ')) {
            Some((file, expressions)) if !line.contains('}') => {
                let names: Vec<_> = lines.by_ref().take_while(|line| *line != "}").collect();
                let width = names.iter().map(|name| name.len()).max();
                let width = width.unwrap_or_default().max(20);
                let expressions: Vec<_> = expressions.split(' ').collect();
                for (name, cells) in
                    results.rows(file, &expressions, names.into_iter(), Style::Mail)?
                {
                    letter += &format!("{name:width$}");
                    for (cell, expression) in cells.iter().zip(&expressions) {
                        let width = if expression.contains('/') { 6 } else { 8 };
                        letter += &format!(" {cell:>width$}");
                    }
                    letter.push('\n');
                }
            }
            _ => {
                letter += &results.inline(line)?;
                letter.push('\n');
            }
        }
    }
    Ok(letter)
}

/// How numbers are written.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// With commas at thousands.
    Prose,
    /// Without.
    Mail,
}

impl Style {
    fn number(self, number: f64, decimals: usize) -> String {
        let text = format!("{number:.decimals$}");
        let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or_default();
        let whole = text.find('.').unwrap_or(text.len());
        let mut shown = text.clone();
        if self == Self::Prose {
            let commas = (start + 1..whole).rev().filter(|at| (whole - at) % 3 == 0);
            commas.for_each(|at| shown.insert(at, ','));
        }
        shown
    }
}

/// An item of a list, by index or by its name, or of an object, by key.
fn item<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items
            .iter()
            .find(|item| item["name"] == key)
            .or_else(|| items.get(key.parse::<usize>().ok()?)),
        _ => value.get(key),
    }
}

/// Splits a text at characters that lie outside of quotes; each part comes with the one before it.
fn split<'a>(text: &'a str, separators: &[char]) -> Vec<(Option<char>, &'a str)> {
    let (mut parts, mut quoted, mut start, mut separator) = (vec![], false, 0, None);
    for (at, c) in text.char_indices() {
        quoted ^= c == '"';
        if !quoted && separators.contains(&c) {
            parts.push((separator, &text[start..at]));
            (start, separator) = (at + 1, Some(c));
        }
    }
    parts.push((separator, &text[start..]));
    parts
}

/// The value of an expression as text; paths begin at the row, or with a dot at the root.
fn evaluate(expression: &str, row: &Value, root: &Value, style: Style) -> Result<String> {
    let value = |path: &str| {
        let (from, keys) = match path.strip_prefix('.') {
            Some(keys) => (root, keys),
            None => (row, path),
        };
        let mut keys = split(keys, &['.']).into_iter().map(|(_, key)| key.trim_matches('"'));
        keys.try_fold(from, item).with_context(|| format!("there is no {path}"))
    };
    let (formula, decimals) = match split(expression, &[':'])[..] {
        [(_, formula)] => (formula, None),
        [(_, formula), (_, decimals)] => (formula, Some(decimals.parse()?)),
        _ => bail!("`{expression}` has more than one `:`"),
    };
    let terms = split(formula, &['*', '/']);
    if let [(_, path)] = terms[..] {
        if let Some(text) = value(path).ok().and_then(Value::as_str) {
            return Ok(text.to_owned());
        }
    }
    let quotient = terms.iter().any(|(operator, _)| *operator == Some('/'));
    let mut number = 1.0;
    for (operator, term) in terms {
        let operand = match term.parse() {
            Ok(operand) => operand,
            Err(_) => {
                let value = value(term)?.as_f64();
                value.with_context(|| format!("{term} is not a number"))?
            }
        };
        match operator {
            Some('/') => number /= operand,
            _ => number *= operand,
        }
    }
    ensure!(number.is_finite(), "`{expression}` divides by zero");
    let decimals = decimals.unwrap_or(match number {
        _ if quotient => 3,
        _ if number.abs() >= 1000.0 || number.fract() == 0.0 => 0,
        _ => 2,
    });
    Ok(style.number(number, decimals))
}

/// What a pattern finds in a text: `PATTERN`, `sum PATTERN` or `count PATTERN`.
fn count(selector: &str, text: &str) -> Result<String> {
    let sums = selector.strip_prefix("sum ");
    let counts = selector.strip_prefix("count ");
    let pattern = sums.or(counts).unwrap_or(selector);
    let (from, pattern) = pattern.split_once(" => ").unwrap_or(("...", pattern));
    let (from, pattern) = (Pattern::new(from), Pattern::new(pattern));
    let lines = text.lines().skip_while(|line| from.matches(line).is_none());
    let mut found: Vec<_> = lines.filter_map(|line| pattern.matches(line)).collect();
    if selector.contains(" => ") && sums.or(counts).is_none() {
        found.truncate(1);
    }
    ensure!(!found.is_empty(), "no line matches `{selector}`");
    if counts.is_some() {
        return Ok(Style::Prose.number(found.len() as f64, 0));
    }
    ensure!(sums.is_some() || found.len() == 1, "{} lines match `{selector}`", found.len());
    let numbers: Vec<_> = found.concat();
    ensure!(!numbers.is_empty(), "`{selector}` has no `?`");
    let decimals = numbers.iter().filter_map(|number| Some(number.split_once('.')?.1.len()));
    let decimals = decimals.max().unwrap_or_default();
    let sum = numbers.iter().map(|number| number.parse::<f64>());
    Ok(Style::Prose.number(sum.sum::<Result<f64, _>>()?, decimals))
}

/// A pattern, as words.
struct Pattern<'a>(Vec<&'a str>);

impl<'a> Pattern<'a> {
    fn new(pattern: &'a str) -> Self {
        Self(pattern.split_whitespace().collect())
    }

    /// The numbers at each `?` of a line that matches.
    fn matches<'b>(&self, line: &'b str) -> Option<Vec<&'b str>> {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut numbers = vec![];
        matches(&self.0, &words, &mut numbers).then_some(numbers)
    }
}

fn matches<'a>(pattern: &[&str], words: &[&'a str], numbers: &mut Vec<&'a str>) -> bool {
    let Some((first, pattern)) = pattern.split_first() else {
        return words.is_empty();
    };
    if *first == "..." {
        return (0..=words.len()).any(|skipped| {
            let known = numbers.len();
            let good = matches(pattern, &words[skipped..], numbers);
            if !good {
                numbers.truncate(known);
            }
            good
        });
    }
    let Some((word, words)) = words.split_first() else {
        return false;
    };
    if let Some((before, after)) = first.split_once('?') {
        let inner = word.strip_prefix(before).and_then(|word| word.strip_suffix(after));
        let Some(number) = inner.filter(|number| number.parse::<f64>().is_ok()) else {
            return false;
        };
        numbers.push(number);
    } else if !first.split('|').any(|pattern| glob(pattern, word)) {
        return false;
    }
    matches(pattern, words, numbers)
}

/// Whether a word is what a pattern says, in which `*` is any text.
fn glob(pattern: &str, word: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == word,
        Some((before, after)) => word.strip_prefix(before).is_some_and(|rest| {
            let mut starts = (0..=rest.len()).filter(|at| rest.is_char_boundary(*at));
            starts.any(|at| glob(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"mhz": 2000, "model": "X", "rows": [
        {"name": "a b", "ours": {"low": 2.5}, "stock": {"low": 4000}}]}"#;
    const TEXT: &str = "race.a 2 stock 1 20\nrace.b 4 stock 2 3000\nrace.a 2 rust 0 0\n\
                        10 seeds: 1000000 operations, 97.10 %\nend\n";

    /// A repository with these results and this README.
    fn page(text: &str) -> (tempfile::TempDir, Page) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        let mutant = "It\nleaks.\n\nSeen by: age\n\n--- a\n";
        for (name, text) in [
            ("results/x.json", JSON),
            ("results/y.txt", TEXT),
            ("harness/mutants/m.patch", mutant),
            ("docs/empty.md", ""),
            ("README.md", text),
        ] {
            let path = top.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let page = Page::all(top).unwrap().remove(0);
        (dir, page)
    }

    fn figure(selector: &str) -> Result<String> {
        page("").1.results.figure(selector)
    }

    /// The only error, which is one line.
    fn error(text: &str) -> String {
        let filled = page(text).1.fill();
        assert_eq!(filled.text, text);
        let [error] = &filled.errors[..] else {
            panic!("{:?}", filled.errors);
        };
        assert!(!error.contains('\n'), "{error}");
        error.clone()
    }

    #[test]
    fn names_the_base() {
        let base = "# X=1\nPACKAGE=linux\nVERSION=7.3\n";
        assert_eq!(named("on @PACKAGE@ @VERSION@\n", base), "on linux 7.3\n");
    }

    #[test]
    fn computes_and_rounds() {
        for (selector, shown) in [
            (r#"rows."a b".stock.low"#, "4,000"),
            (r#"rows.0.ours.low"#, "2.50"),
            (r#"rows."a b".ours.low/rows."a b".stock.low"#, "0.001"),
            (r#"rows."a b".stock.low/mhz*1000:1"#, "2,000.0"),
            ("mhz*-1", "-2,000"),
            ("mhz*617.2839", "1,234,568"),
            ("model", "X"),
        ] {
            assert_eq!(figure(&format!("x.json {selector}")).unwrap(), shown, "{selector}");
        }
    }

    #[test]
    fn finds_numbers_in_text() {
        for (selector, shown) in [
            ("* seeds: ? operations, ...", "1,000,000"),
            ("... ? %", "97.10"),
            ("race.b * stock ? *", "2"),
            ("sum race.* * stock * ?", "3,020"),
            ("sum race.* 2 * ? ?", "21"),
            ("sum race.b|*.a 2|4 stock * ?", "3,020"),
            ("race.b ... => race.* 2 * ? *", "0"),
            ("count race.b ... => race.* ...", "2"),
            ("count race.* ...", "3"),
        ] {
            assert_eq!(figure(&format!("y.txt {selector}")).unwrap(), shown, "{selector}");
        }
    }

    #[test]
    fn fills_and_detects_stale() {
        let text = "now <!-- figure: x.json mhz -->1<!-- /figure -->,\n\
                    <!-- table: x.json\nof | C | in all\nstock.low:1 | .mhz\na b => b\n-->\n\
                    <!-- /table -->\n\
                    <!-- excerpt: y.txt\nend\n…\nrace.b ... => * seeds: ...\n-->\n\
                    <!-- /excerpt -->\n\
                    <!-- text:\n| a | {x.json mhz} |\n-->\n<!-- /text -->\n\
                    <!-- mutants: -->\n<!-- /mutants -->\n";
        let (_dir, mut page) = page(text);
        let filled = page.fill();
        assert!(filled.errors.is_empty(), "{:?}", filled.errors);
        assert_eq!(filled.stale.len(), 5);
        assert_eq!(filled.stale[0], "README.md:1: the figure has `1`, the results `2,000`");
        assert_eq!(
            filled.stale[1],
            "README.md:2: the table has ``, the results `| of | C | in all |`"
        );
        for part in [
            "now <!-- figure: x.json mhz -->2,000<!-- /figure -->,",
            "-->\n| of | C | in all |\n|---|---:|---:|\n| b | 4,000.0 | 2,000 |\n<!-- /table -->",
            "-->\n```text\nend\n…\nrace.b 4 stock 2 3000\nrace.a 2 rust 0 0\n10 seeds",
            "-->\n| a | 2,000 |\n<!-- /text -->",
            "| [m](../harness/mutants/m.patch) | It leaks. | age |\n<!-- /mutants -->",
        ] {
            assert!(filled.text.contains(part), "{part}: {}", filled.text);
        }
        page.text = filled.text;
        let again = page.fill();
        assert!(again.stale.is_empty() && again.errors.is_empty());
        assert_eq!(again.text, page.text);
    }

    #[test]
    fn says_what_cannot_be_found() {
        for (selector, text) in [
            ("z.txt ?", "there is no results/z.txt"),
            ("x.json mhz.low", "there is no mhz.low"),
            ("x.json model*2", "model is not a number"),
            ("x.json mhz/0", "divides by zero"),
            ("y.txt nothing ?", "no line matches"),
            ("y.txt race.* * stock ? *", "2 lines match"),
            ("y.txt end", "has no `?`"),
        ] {
            let error = error(&format!("a <!-- figure: {selector} -->1<!-- /figure -->"));
            assert!(error.starts_with("README.md:1: "), "{error}");
            assert!(error.contains(text), "{error}");
        }
        assert!(error("a\n<!-- figure: x.json mhz -->1<!-- /figure -->").contains("begin"));
        assert!(error("a `b<!-- figure: x.json mhz -->1<!-- /figure -->`").contains("code"));
        assert!(error("<!-- excerpt: y.txt\nend => nothing\n-->").contains("end => nothing"));
        assert!(error("<!-- table: x.json\na | b\nmhz\nc\n-->").contains("has no row c"));
        assert!(error("<!-- table: x.json\na | b\nmhz | mhz\n-->").contains("2 headings"));
    }

    #[test]
    fn names_broken_links() {
        let text = "[a](README.md#top) [b](docs/none.md) [c](https://a/b) [d](#e)";
        let broken = page(text).1.broken_links();
        assert_eq!(broken, ["README.md: links to docs/none.md, which does not exist"]);
    }

    #[test]
    fn fills_the_letter() {
        let (_dir, page) = page("");
        let letter = |template| fill_letter(template, &page.results);
        let text = letter(
            "one {y.txt ... ? %}\n{x.json ours.low stock.low ours.low/stock.low\na b\n}\ntwo\n",
        );
        assert_eq!(
            text.unwrap(),
            "one 97.10\na b                      2.50     4000  0.001\ntwo\n"
        );
        let error = format!("{:#}", letter("{x.json ours.high\na b\n}").unwrap_err());
        assert_eq!(error, "results/x.json: row a b: there is no ours.high");
        assert!(letter("{x.json ours.low\nc\n}").is_err());
    }
}
