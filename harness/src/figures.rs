// SPDX-License-Identifier: GPL-2.0

//! `figures`: fills in the figures of README.md, docs/ and the cover letter from results/.
//!
//! In Markdown, `<!-- fill: TEMPLATE -->TEXT<!-- /fill -->` is a template and the text that it
//! generates: lines of their own if the comment begins a line. The cover letter is one template.
//! The language is Jinja, as the crate minijinja describes it, with the macros of docs/figures.j2 as
//! `fig`, and with these functions and filters. A FILE is a path in the repository.
//!
//! - `json(FILE, NAME)`: the value of a key, or the item of `rows` with that `name`
//! - `matches(FILE, REGEX)`: the groups of all matches, at least one; `^` and `$` match at each line
//! - `find(FILE, REGEX)`: the group of the only match
//! - `files(DIRECTORY, ENDING)`: the names of files, without the ending
//! - `round(DECIMALS)`: a number with so many decimals, or none; `comma`: with commas at thousands

use crate::context::Context;
use anyhow::{anyhow, ensure, Context as _, Result};
use minijinja::{
    syntax::SyntaxConfig, value::Serde, Environment, Error, ErrorKind, UndefinedBehavior, Value,
};
use regex_lite::{Captures, Regex};
use std::{fs, path::Path};

const LETTER: &str = "harness/series/cover-letter";
const MACROS: &str = "docs/figures.j2";

/// Fills in all figures, and prints the pages that change and the places that [`check`] still finds.
pub fn write(context: &Context) -> Result<bool> {
    for (name, text) in fill_pages(&context.top)?.0 {
        fs::write(context.top.join(&name), text).with_context(|| format!("cannot write {name}"))?;
        println!("{name}: new figures");
    }
    let places = check(context)?;
    places.iter().for_each(|place| println!("{place}"));
    Ok(places.is_empty())
}

/// The places that are out of date: figures, figures that cannot be found, and links to files that
/// do not exist.
pub fn check(context: &Context) -> Result<Vec<String>> {
    Ok(fill_pages(&context.top)?.1)
}

/// The text of the cover letter.
pub fn letter(context: &Context) -> Result<String> {
    render(&templates(&context.top)?, LETTER, &read(&context.top, LETTER)?)
}

/// Names of pages, and their new texts.
type Changes = Vec<(String, String)>;
/// A function of templates: of a path and something to look for.
type Function = fn(&Path, &str, &str) -> Result<Value>;

/// The pages that change, and the places that are out of date.
fn fill_pages(top: &Path) -> Result<(Changes, Vec<String>)> {
    let (mut changed, mut places) = (vec![], vec![]);
    let templates = templates(top)?;
    let blocks = regex(r"(?s)(<!-- fill:(.*?)-->)(.*?)(<!-- /fill -->|<!-- fill:|\z)")?;
    let links = regex(r"(?s)<!--.*?-->|\]\(([^)#]+)")?;
    let docs = files(top, "docs", ".md")?;
    let docs = docs.try_iter()?.map(|name| format!("docs/{name}.md"));
    for name in docs.chain(["README.md".to_owned()]) {
        let text = read(top, &name)?;
        let new = blocks.replace_all(&text, |block: &Captures| {
            let above = &text[..block.get(1).map_or(0, |comment| comment.start())];
            let mut report = |text| places.push(format!("{name}:{}: {text}", line(above)));
            let new = fill(&templates, &name, above, block).unwrap_or_else(|error| {
                report(format!("{error:#}").replace('\n', " "));
                block[3].to_owned()
            });
            if new != block[3] {
                report("figures are out of date".to_owned());
            }
            format!("{}{new}{}", &block[1], &block[4])
        });
        for link in links.captures_iter(&text).filter_map(|link| link.get(1)) {
            let (to, line) = (link.as_str(), line(&text[..link.start()]));
            if !to.contains("://") && !top.join(&name).with_file_name(to).exists() {
                places.push(format!("{name}:{line}: links to {to}, which does not exist"));
            }
        }
        if new != text {
            changed.push((name.clone(), new.into_owned()));
        }
    }
    let letter = render(&templates, LETTER, &read(top, LETTER)?);
    places.extend(letter.err().map(|error| format!("{error:#}")));
    Ok((changed, places))
}

/// The number of the line behind a text.
fn line(above: &str) -> usize {
    above.matches('\n').count() + 1
}

/// The text that the template of a block generates.
fn fill(templates: &Environment, name: &str, above: &str, block: &Captures) -> Result<String> {
    ensure!(block[4].ends_with("/fill -->"), "the block has no <!-- /fill -->");
    // Errors name the line of the page.
    let template = "\n".repeat(line(above) - 1) + &block[2];
    let text = render(templates, name, &template)?;
    let own_lines = above.is_empty() || above.ends_with('\n');
    Ok(if own_lines { format!("\n{}\n", text.trim()) } else { text.trim().to_owned() })
}

fn render(templates: &Environment, name: &str, template: &str) -> Result<String> {
    let template = format!("{{% import \"{MACROS}\" as fig %}}{template}");
    Ok(templates.render_named_str(name, &template, ())?)
}

/// The functions, macros and filters of templates.
fn templates(top: &Path) -> Result<Environment<'static>> {
    let mut templates = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    templates.set_syntax(syntax.build()?);
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template_owned(MACROS, read(top, MACROS)?)?;
    let functions: [(_, Function); 4] =
        [("json", json), ("matches", matches), ("find", find), ("files", files)];
    for (name, function) in functions {
        let top = top.to_owned();
        let run = move |file: &str, what: &str| function(&top, file, what).map_err(failed);
        templates.add_function(name, run);
    }
    templates.add_filter("round", round);
    templates.add_filter("comma", comma);
    Ok(templates)
}

fn failed(error: anyhow::Error) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{error:#}"))
}

fn read(top: &Path, file: &str) -> Result<String> {
    fs::read_to_string(top.join(file)).with_context(|| format!("cannot read {file}"))
}

fn files(top: &Path, dir: &str, ending: &str) -> Result<Value> {
    let entries = fs::read_dir(top.join(dir)).with_context(|| format!("cannot list {dir}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect();
    names.sort();
    Ok(names.into())
}

fn json(top: &Path, file: &str, name: &str) -> Result<Value> {
    let text = read(top, file)?;
    let json: serde_json::Value = serde_json::from_str(&text).context(file.to_owned())?;
    let mut rows = json["rows"].as_array().into_iter().flatten();
    let value = json.get(name).or_else(|| rows.find(|row| row["name"] == name));
    Ok(Serde(value.with_context(|| format!("{file} has no {name}"))?).into())
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("(?m){pattern}")).with_context(|| format!("`{pattern}`"))
}

fn matches(top: &Path, file: &str, pattern: &str) -> Result<Value> {
    let (text, mut groups) = (read(top, file)?, vec![]);
    for found in regex(pattern)?.captures_iter(&text) {
        groups.extend(found.iter().skip(1).flatten().map(|group| group.as_str().to_owned()));
    }
    ensure!(!groups.is_empty(), "{file} has no match of `{pattern}`");
    Ok(groups.into())
}

fn find(top: &Path, file: &str, pattern: &str) -> Result<Value> {
    let groups = matches(top, file, pattern)?;
    ensure!(groups.len() == Some(1), "{file} has several matches of `{pattern}`");
    Ok(groups.get_item_by_index(0)?)
}

/// Numbers from a text are text, too.
fn round(number: String, decimals: Option<usize>) -> Result<String, Error> {
    let finite = number.parse().ok().filter(|number: &f64| number.is_finite());
    let finite = finite.ok_or_else(|| failed(anyhow!("`{number}` is not a number")))?;
    Ok(format!("{finite:.*}", decimals.unwrap_or_default()))
}

fn comma(mut number: String) -> Result<String, Error> {
    round(number.clone(), None)?;
    let whole = number.find('.').unwrap_or(number.len());
    let first = 1 + number.find(|c: char| c.is_ascii_digit()).unwrap_or_default();
    let places = (first..whole).rev().filter(|at| (whole - at) % 3 == 0);
    places.for_each(|at| number.insert(at, ','));
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(readme: &str) -> (Changes, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let json = r#"{"mhz": 2000, "rows": [{"name": "a b", "low": 2.5}]}"#;
        let macros = "{% macro low(name) %}{{ json('x.json', name).low|round(2) }}{% endmacro %}";
        let lines = "a 1 20\nb 4 -3000\nc 97.10 %\n";
        let files = [("README.md", readme), (MACROS, macros), ("x.json", json), ("y.txt", lines)];
        for (name, text) in files.into_iter().chain([(LETTER, "{{ fig.low('a b') }}")]) {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        fill_pages(dir.path()).unwrap()
    }

    #[test]
    fn fills_blocks_and_names_stale_ones() {
        let links = "[a](#b) [c](https://d) [e](README.md#f) <!-- [g](h) -->";
        for (template, text) in [
            ("{{ fig.low('a b') }}", "2.50"),
            ("{{ find('y.txt', '^c (\\S+)') }}", "97.10"),
            ("{{ matches('y.txt', ' (-?\\d+)$')|map('int')|sum|comma }}", "-2,980"),
            ("{{ (json('x.json', 'mhz') * 6.1728)|round(1)|comma }}", "12,345.6"),
            ("\n{% for name in files('docs', '2') %}\n{{ name }}\n{% endfor %}\n", "figures.j"),
        ] {
            for (above, text) in [("a\n ", text.to_owned()), ("a\n", format!("\n{text}\n"))] {
                let block = format!("{above}<!-- fill: {template} -->");
                let page = |text| format!("{block}{text}<!-- /fill -->{links}");
                let (changed, places) = filled(&page("0"));
                assert_eq!(changed, [("README.md".to_owned(), page(&text))]);
                assert_eq!(places, ["README.md:2: figures are out of date"]);
                assert_eq!(filled(&page(&text)).1, [""; 0]);
            }
        }
    }

    #[test]
    fn errors_are_one_line_and_name_the_place() {
        for (template, error) in [
            ("{{ find('z.txt', 'a') }}", "cannot read z.txt"),
            ("{{ fig.low('z') }}", "x.json has no z (in docs/figures.j2:1)"),
            ("{{ json('x.json', 'a b').high|round }}", "undefined"),
            ("{{ json('y.txt', 'a') }}", "y.txt: "),
            ("{{ find('y.txt', '^[ab] (.)') }}", "y.txt has several matches of `^[ab] (.)`"),
            ("{{ find('y.txt', '^d (.)') }}", "y.txt has no match of `^d (.)`"),
            ("{{ find('y.txt', '(') }}", "`(`: "),
            ("{{ 'a\nb'|round }}", "is not a number"),
            ("--><!-- /fill -->[b](docs/none.md#c)<!-- fill: 1", "links to docs/none.md, which"),
            ("{{ matches('y.txt', '^(.) ')|map('int') }}", ""),
            ("{{", "syntax error"),
            ("-->1<!-- fill:", "the block has no <!-- /fill -->"),
        ] {
            let places = filled(&format!("\na <!-- fill: {template} -->1<!-- /fill -->")).1;
            let [place] = &places[..] else { panic!("{places:?}") };
            let good = place.starts_with("README.md:2: ") && place.contains(error);
            assert!(good && !place.contains('\n'), "{place}");
        }
    }
}
