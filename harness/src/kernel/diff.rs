// SPDX-License-Identifier: GPL-2.0

//! Parses diffs without context lines.

use std::{collections::BTreeMap, ops::Range};

/// The line numbers that a diff adds, by file.
pub type Added = BTreeMap<String, Vec<Range<usize>>>;

/// Parses the output of `git diff -U0`.
pub fn added_lines(diff: &str) -> Added {
    let mut added = Added::new();
    let mut file = "";
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            file = name;
        } else if let Some(lines) = line.strip_prefix("@@ ").and_then(new_lines) {
            added.entry(file.to_owned()).or_default().push(lines);
        }
    }
    added
}

/// Parses the new lines of a hunk, `-A,B +C,D @@ …`.
fn new_lines(hunk: &str) -> Option<Range<usize>> {
    let range = hunk.split(' ').find_map(|word| word.strip_prefix('+'))?;
    let (first, count) = range.split_once(',').unwrap_or((range, "1"));
    let (first, count): (usize, usize) = (first.parse().ok()?, count.parse().ok()?);
    Some(first..first + count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_lines_are_sorted_by_file() {
        let diff = "+++ b/x.rs\n@@ -1 +1,2 @@ fn\n+a\n+b\n@@ -9,2 +10 @@\n@@ -20 +20,0 @@\n\
                    +++ b/y.c\n@@ -3 +5,2 @@ x\n";
        let added = added_lines(diff);
        assert_eq!(added["x.rs"], [1..3, 10..11, 20..20]);
        assert_eq!(added["y.c"], [5..7]);
    }
}
