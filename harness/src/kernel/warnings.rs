// SPDX-License-Identifier: GPL-2.0

//! Parses the warnings in the log of a kernel's build.

use super::series::Series;
use std::collections::BTreeSet;

/// A warning of a compiler or another tool of the build.
#[derive(Debug, PartialEq)]
pub struct Warning {
    /// The place and the message.
    pub text: String,
    /// The file of the warning, and the files of its notes.
    files: Vec<String>,
}

impl Warning {
    /// Whether it names a file that the series changes, an object of such a file, or no file, as
    /// modpost does.
    pub fn is_of_series(&self, series: &Series) -> bool {
        self.text.contains("modpost: ")
            // rust/Makefile prints these without a file.
            || self.text.contains("srctree/ link")
            || self.files.iter().any(|path| {
                let files = &mut series.files.iter();
                match path.strip_suffix(".o") {
                    Some(object) => files.any(|file| is_object_of(object, file)),
                    None => files.any(|file| path == file || path.ends_with(&format!("/{file}"))),
                }
            })
    }
}

/// Whether an object, named without its ending, is compiled from a file, or from a crate with the
/// file.
fn is_object_of(object: &str, file: &str) -> bool {
    let rest = file.strip_prefix(object).unwrap_or_default();
    rest.starts_with('/') || (rest.starts_with('.') && !rest.contains('/'))
}

/// Returns the warnings of a build, without duplicates.
pub fn warnings(log: &str) -> Vec<Warning> {
    let mut found: Vec<Warning> = vec![];
    // Whether a line may belong to the last warning.
    let mut open = false;
    for line in log.lines() {
        if is_warning(line) {
            found.push(Warning {
                text: line.trim().to_owned(),
                files: path(line).into_iter().collect(),
            });
            open = true;
        } else if is_progress(line) {
            open = false;
        } else if let Some(warning) = found.last_mut().filter(|_| open) {
            let trimmed = line.trim_start();
            if let Some(place) = trimmed.strip_prefix("--> ") {
                // rustc prints the message first, then the place.
                if warning.files.is_empty() {
                    warning.text = format!("{place}: {}", warning.text);
                }
                warning.files.extend(path(place));
            } else if line.contains(": note: ") {
                warning.files.extend(path(line));
            }
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|warning| seen.insert(warning.text.clone()));
    found
}

fn is_warning(line: &str) -> bool {
    let lower = line.to_lowercase();
    // Of rustc. The errors of the other tools end the build.
    let error = lower.starts_with("error: ") || lower.starts_with("error[");
    // The first line of a log is the command, and the last one of rustc a count.
    (lower.contains("warning: ") || error) && !line.starts_with("$ ") && !lower.ends_with("emitted")
}

/// Whether a line shows the progress of make: two spaces and a word in capitals.
fn is_progress(line: &str) -> bool {
    line.strip_prefix("  ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Returns the path at the start of a line, PATH:LINE or OBJECT:, without leading `./` and `../`.
fn path(line: &str) -> Option<String> {
    let (path, rest) = line.trim_start().split_once(':')?;
    let is_place = rest.starts_with(|c: char| c.is_ascii_digit()) || path.ends_with(".o");
    if path.contains(' ') || !is_place {
        return None;
    }
    let mut path = path;
    while let Some(inner) = ["./", "../"].iter().find_map(|out| path.strip_prefix(out)) {
        path = inner;
    }
    Some(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        Series {
            base: String::new(),
            files: ["kernel/time/namespace.c", "rust/kernel/vdso.rs"].map(str::to_owned).to_vec(),
            added: vec![],
        }
    }

    #[test]
    fn each_warning_is_found_once_with_its_files() {
        let log = "$ make W=1 \"warning: no\"\n  CC      fs/a.o\n\
                   /t/fs/a.c:1:2: warning: unused [-Wunused]\n\
                   /t/kernel/time/namespace.c:3:4: note: expanded from here\n  CC      fs/b.o\n\
                   ../fs/b.c:1:2: warning: other\n  CC      c.o\n\
                   ../kernel/time/namespace.c:5:6: note: of something else\n\
                   ../fs/b.c:1:2: warning: other\n";
        let found = warnings(log);
        let of_series: Vec<_> = found.iter().map(|one| one.is_of_series(&series())).collect();
        assert_eq!(of_series, [true, false]);
        assert_eq!(found[1].files, ["fs/b.c"]);
    }

    #[test]
    fn warnings_of_rustc_have_places() {
        let log = "warning: unused import\n  --> /t/rust/kernel/vdso.rs:3:4\n   |\n\
                   warning: 1 warning emitted\n";
        let found = warnings(log);
        assert_eq!(found.len(), 1);
        assert!(found[0].is_of_series(&series()));
        assert_eq!(found[0].text, "/t/rust/kernel/vdso.rs:3:4: warning: unused import");
    }

    #[test]
    fn warnings_without_a_place_are_found() {
        let found = warnings("WARNING: modpost: missing MODULE_LICENSE\nld.lld: warning: x\n");
        assert_eq!(found.len(), 2);
        assert!(found[0].is_of_series(&series()));
        assert!(!found[1].is_of_series(&series()));
    }

    #[test]
    fn objects_belong_to_their_sources() {
        let is_of_series = |object| {
            let found = warnings(&format!("{object}.o: warning: objtool: f+0x1: x\n"));
            found[0].is_of_series(&series())
        };
        assert!(is_of_series("kernel/time/namespace") && is_of_series("rust/kernel"));
        assert!(
            !is_of_series("kernel/time/name")
                && !is_of_series("fs/namespace")
                && !is_of_series("vmlinux")
        );
    }
}
