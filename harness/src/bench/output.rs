// SPDX-License-Identifier: GPL-2.0

//! The output of the guest's program: see harness/guest/bench.c.

use anyhow::{bail, ensure, Context, Result};
use std::collections::BTreeMap;

/// The lines of one guest.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    pub samples: BTreeMap<String, Vec<f64>>,
    pub counts: BTreeMap<String, u64>,
    pub phases: BTreeMap<String, Phase>,
}

/// The memory at one moment.
#[derive(Debug, Default, PartialEq)]
pub struct Phase {
    pub free_pages: f64,
    pub caches: BTreeMap<String, Cache>,
}

/// A cache of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cache {
    pub objects: f64,
    pub object_size: f64,
    pub pages: f64,
}

impl Output {
    pub fn parse(text: &str) -> Result<Self> {
        let mut output = Self::default();
        for line in text.lines() {
            output.line(line).with_context(|| format!("the guest printed `{}`", excerpt(line)))?;
        }
        Ok(output)
    }

    /// Adds the output of another guest.
    pub fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.counts.extend(other.counts);
        self.phases.extend(other.phases);
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else {
            return Ok(());
        };
        let mut name = || words.next().context("there is no name").map(str::to_owned);
        match keyword {
            "SAMPLES" => {
                let name = name()?;
                let samples = words
                    .map(|word| word.parse().context("a sample is not a number"))
                    .collect::<Result<Vec<f64>>>()?;
                ensure!(!samples.is_empty(), "there are no samples");
                let old = self.samples.insert(name, samples);
                ensure!(old.is_none(), "there are such samples already");
            }
            "COUNT" => {
                let (name, count) = (name()?, number(words.next())?);
                self.counts.insert(name, count as u64);
            }
            "PAGES" => {
                let (name, pages) = (name()?, number(words.next())?);
                self.phases.entry(name).or_default().free_pages = pages;
            }
            "SLAB" => {
                let phase = self.phases.entry(name()?).or_default();
                let words: Vec<_> = words.collect();
                // The version and the heading come first.
                if !matches!(words[..], ["slabinfo", ..] | ["#", ..]) {
                    let (name, cache) = slab(&words)?;
                    phase.caches.insert(name, cache);
                }
            }
            // Markers of the guest's progress.
            marker if marker.starts_with("TIMENS-") => {}
            _ => bail!("the line is not one of the program's"),
        }
        Ok(())
    }
}

/// A line of /proc/slabinfo.
fn slab(words: &[&str]) -> Result<(String, Cache)> {
    let &[name, _active, objects, object_size, _objects_per_slab, pages_per_slab, .., slabs, _shared] =
        words
    else {
        bail!("this is no line of /proc/slabinfo");
    };
    let cache = Cache {
        objects: number(Some(objects))?,
        object_size: number(Some(object_size))?,
        pages: number(Some(pages_per_slab))? * number(Some(slabs))?,
    };
    Ok((name.to_owned(), cache))
}

fn number(word: Option<&str>) -> Result<f64> {
    let word = word.context("a number is missing")?;
    word.parse().with_context(|| format!("{word} is not a number"))
}

fn excerpt(line: &str) -> String {
    line.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_output() {
        let output = Output::parse(
            "TIMENS-GUEST-BOOT\nTIMENS-BEGIN costs\nCOUNT thousand 1000\nSAMPLES unshare/zero 3 1 2\n\
             PAGES zero-before 1200\nSLAB zero-before slabinfo - version: 2.1\n\
             SLAB zero-before # name <active_objs>\n\
             SLAB zero-before filp 30 32 256 16 1 : tunables 0 0 0 : slabdata 2 2 0\n\n\
             TIMENS-GUEST-END 0\n",
        )
        .unwrap();
        assert_eq!(output.counts["thousand"], 1000);
        assert_eq!(output.samples["unshare/zero"], [3.0, 1.0, 2.0]);
        let phase = &output.phases["zero-before"];
        assert_eq!(phase.free_pages, 1200.0);
        let filp = Cache { objects: 32.0, object_size: 256.0, pages: 2.0 };
        assert_eq!(phase.caches, BTreeMap::from([("filp".to_owned(), filp)]));
    }

    #[test]
    fn reports_unknown_lines() {
        for (line, why) in [
            ("SAMPLES x", "no samples"),
            ("SAMPLES x 1 two", "not a number"),
            ("SAMPLES", "no name"),
            ("COUNT x", "missing"),
            ("SLAB x filp 1 2", "slabinfo"),
            ("bench: unshare: Operation not permitted", "not one of"),
        ] {
            let error = format!("{:#}", Output::parse(line).unwrap_err());
            assert!(error.contains(why) && error.contains(line), "{error}");
        }
    }
}
