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
const END: &str = "<!-- /fill -->";

/// Fills in all figures, and prints the pages that change and the figures that cannot be found.
pub fn write(context: &Context) -> Result<bool> {
    let filled = Filled::new(&context.top)?;
    for (name, text) in &filled.changed {
        fs::write(context.top.join(name), text).with_context(|| format!("cannot write {name}"))?;
        println!("{name}: new figures");
    }
    filled.errors.iter().for_each(|error| println!("{error}"));
    Ok(filled.errors.is_empty())
}

/// The places that are out of date: figures, figures that cannot be found, and links to files that
/// do not exist.
pub fn check(context: &Context) -> Result<Vec<String>> {
    let filled = Filled::new(&context.top)?;
    Ok([filled.stale, filled.errors].concat())
}

/// The text of the cover letter.
pub fn letter(context: &Context) -> Result<String> {
    render(&templates(&context.top)?, LETTER, &read(&context.top, LETTER)?)
}

/// The pages and the cover letter, filled in.
#[derive(Default)]
struct Filled {
    /// The names and new texts of the pages that change.
    changed: Vec<(String, String)>,
    /// Figures and links.
    stale: Vec<String>,
    errors: Vec<String>,
}

impl Filled {
    fn new(top: &Path) -> Result<Self> {
        let mut filled = Self::default();
        let templates = templates(top)?;
        filled.page(top, &templates, "README.md")?;
        for name in files(top, "docs", ".md")? {
            filled.page(top, &templates, &format!("docs/{name}.md"))?;
        }
        let letter = render(&templates, LETTER, &read(top, LETTER)?);
        filled.errors.extend(letter.err().map(|error| format!("{error:#}")));
        Ok(filled)
    }

    fn page(&mut self, top: &Path, templates: &Environment, name: &str) -> Result<()> {
        let text = read(top, name)?;
        let blocks = regex(r"(?s)(<!-- fill:(.*?)-->)(.*?)(<!-- /fill -->|<!-- fill:|\z)")?;
        let new = blocks.replace_all(&text, |block: &Captures| {
            let above = &text[..block.get(1).map_or(0, |comment| comment.start())];
            let place = format!("{name}:{}", above.matches('\n').count() + 1);
            let new = fill(templates, name, above, block).unwrap_or_else(|error| {
                self.errors.push(format!("{place}: {error:#}").replace('\n', " "));
                block[3].to_owned()
            });
            if new != block[3] {
                self.stale.push(format!("{place}: figures are out of date"));
            }
            format!("{}{new}{}", &block[1], &block[4])
        });
        if new != text {
            self.changed.push((name.to_owned(), new.into_owned()));
        }
        let (page, links) = (top.join(name), regex(r"(?s)<!--.*?-->|\]\(([^)#]+)")?);
        let links = links.captures_iter(&text).filter_map(|link| Some(link.get(1)?.as_str()));
        let broken = links.filter(|to| !to.contains("://") && !page.with_file_name(to).exists());
        self.stale.extend(broken.map(|to| format!("{name}: links to {to}, which does not exist")));
        Ok(())
    }
}

/// The text that the template of a block generates.
fn fill(templates: &Environment, name: &str, above: &str, block: &Captures) -> Result<String> {
    ensure!(&block[4] == END, "the block has no {END}");
    let line = above.rsplit('\n').next().unwrap_or_default();
    ensure!(line.matches('`').count() % 2 == 0, "a block must not lie in code");
    // Errors name the line of the page.
    let template = "\n".repeat(above.matches('\n').count()) + &block[2];
    let text = render(templates, name, &template)?;
    Ok(if line.is_empty() { format!("\n{}\n", text.trim()) } else { text.trim().to_owned() })
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
    add(&mut templates, top, "json", json);
    add(&mut templates, top, "matches", matches);
    add(&mut templates, top, "find", find);
    add(&mut templates, top, "files", files);
    templates.add_filter("round", round);
    templates.add_filter("comma", comma);
    Ok(templates)
}

fn add<T>(
    to: &mut Environment,
    top: &Path,
    name: &'static str,
    f: fn(&Path, &str, &str) -> Result<T>,
) where
    T: Into<Value> + 'static,
{
    let top = top.to_owned();
    to.add_function(name, move |file: &str, what: &str| f(&top, file, what).map_err(failed));
}

fn failed(error: anyhow::Error) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{error:#}"))
}

fn read(top: &Path, file: &str) -> Result<String> {
    fs::read_to_string(top.join(file)).with_context(|| format!("cannot read {file}"))
}

fn files(top: &Path, dir: &str, ending: &str) -> Result<Vec<String>> {
    let mut names = vec![];
    for entry in fs::read_dir(top.join(dir)).with_context(|| format!("cannot list {dir}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ending).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn json(top: &Path, file: &str, name: &str) -> Result<Value> {
    let json: serde_json::Value =
        serde_json::from_str(&read(top, file)?).context(file.to_owned())?;
    let mut rows = json["rows"].as_array().into_iter().flatten();
    let value = json.get(name).or_else(|| rows.find(|row| row["name"] == name));
    Ok(Serde(value.with_context(|| format!("{file} has no {name}"))?).into())
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("(?m){pattern}")).with_context(|| format!("`{pattern}`"))
}

fn matches(top: &Path, file: &str, pattern: &str) -> Result<Vec<String>> {
    let (text, mut groups) = (read(top, file)?, vec![]);
    for found in regex(pattern)?.captures_iter(&text) {
        groups.extend(found.iter().skip(1).flatten().map(|group| group.as_str().to_owned()));
    }
    ensure!(!groups.is_empty(), "{file} has no match of `{pattern}`");
    Ok(groups)
}

fn find(top: &Path, file: &str, pattern: &str) -> Result<String> {
    let groups = matches(top, file, pattern)?;
    ensure!(groups.len() == 1, "{file} has {} matches of `{pattern}`", groups.len());
    Ok(groups.concat())
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

    fn filled(readme: &str) -> Filled {
        let dir = tempfile::tempdir().unwrap();
        let json =
            r#"{"mhz": 2000, "rows": [{"name": "a b", "low": 2.5}, {"name": "c", "low": 1}]}"#;
        let macros = "{% macro low(name) %}{{ json('x.json', name).low|round(2) }}{% endmacro %}";
        let lines = "a 1 20\nb 4 -3000\nc 97.10 %\n";
        let files = [("README.md", readme), (MACROS, macros), ("x.json", json), ("y.txt", lines)];
        for (name, text) in files.into_iter().chain([(LETTER, "{{ fig.low('c') }}")]) {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        Filled::new(dir.path()).unwrap()
    }

    #[test]
    fn fills_lines_and_parts_of_lines() {
        let text = "a <!-- fill: {{ fig.low('a b') }} -->2.5<!-- /fill -->,\n\n<!-- fill:\n\
                    {% for row in json('x.json', 'rows') %}\n{{ row.name }}\n{% endfor %}\n-->\n\
                    a b\nd\n<!-- /fill -->\n";
        let old = filled(text);
        assert_eq!(old.errors, [""; 0]);
        assert_eq!(
            old.stale,
            [1, 3].map(|line| format!("README.md:{line}: figures are out of date"))
        );
        let new = text.replace("2.5<", "2.50<").replace("\nd\n", "\nc\n");
        assert_eq!(old.changed, [("README.md".to_owned(), new.clone())]);
        let new = filled(&new);
        assert!(new.changed.is_empty() && new.stale.is_empty());
    }

    #[test]
    fn generates_figures() {
        for (template, text) in [
            ("matches('y.txt', ' (-?\\d+)$')|map('int')|sum|comma", "-2,980"),
            ("find('y.txt', '^c (\\S+)')", "97.10"),
            ("(json('x.json', 'mhz') * 617.284)|round(1)|comma", "1,234,568.0"),
            ("files('docs', '.j2')|join", "figures"),
        ] {
            let filled =
                filled(&format!("a <!-- fill: {{{{ {template} }}}} -->{text}<!-- /fill -->"));
            assert_eq!([filled.stale, filled.errors].concat(), [""; 0]);
        }
    }

    #[test]
    fn errors_are_one_line_and_name_the_place() {
        for (text, error) in [
            ("{{ find('z.txt', 'a') }} -->1<!-- /fill -->", "cannot read z.txt"),
            ("{{ fig.low('z') }} -->1<!-- /fill -->", "x.json has no z (in docs/figures.j2:1)"),
            ("{{ json('x.json', 'c').high }} -->1<!-- /fill -->", "undefined"),
            ("{{ json('x.json', 'c').high|round }} -->1<!-- /fill -->", "undefined"),
            ("{{ json('y.txt', 'a') }} -->1<!-- /fill -->", "y.txt: "),
            ("{{ find('y.txt', '^[ab] (.)') }} -->1<!-- /fill -->", "y.txt has 2 matches of `^["),
            ("{{ find('y.txt', '^d (.)') }} -->1<!-- /fill -->", "y.txt has no match of `^d (.)`"),
            ("{{ find('y.txt', '(') }} -->1<!-- /fill -->", "`(`: "),
            ("{{ 'a\nb'|round }} -->1<!-- /fill -->", "is not a number"),
            ("{{ -->1<!-- /fill -->", "syntax error"),
            ("-->1 <!-- fill: -->1<!-- /fill -->", "the block has no <!-- /fill -->"),
        ] {
            let errors = filled(&format!("\na <!-- fill: {text}")).errors.concat();
            assert!(errors.starts_with("README.md:2: ") && errors.contains(error), "{errors}");
            assert!(!errors.contains('\n'));
        }
        assert!(filled("`a <!-- fill: -->1<!-- /fill -->`").errors[0].contains("code"));
    }

    #[test]
    fn finds_broken_links() {
        let links = "[a](README.md#top) [b](docs/none.md) [c](https://a/b) [d](#e) <!-- [f](g) -->";
        assert_eq!(filled(links).stale, ["README.md: links to docs/none.md, which does not exist"]);
    }
}
