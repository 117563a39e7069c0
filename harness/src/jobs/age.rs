// SPDX-License-Identifier: GPL-2.0

//! Creates, joins and closes namespaces, and checks that memory does not grow.
//!
//! harness/guest/age.c describes a cycle.

use super::findings::{Findings, Place};
use crate::{
    guest::{self, initramfs, Guest, Transcript},
    session::{statistics::slope, unless},
};
use anyhow::{bail, ensure, Context as _, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// The number of cycles of a short run.
pub const SHORT: u32 = 4000;

/// The number of parts. Each ends with a sample.
const PARTS: u32 = 20;
const MIN_SAMPLES: usize = 8;
/// The maximum growth per namespace in bytes, less than the size of any object of a namespace.
const MAX_BYTES: f64 = 48.0;
/// The maximum growth per namespace in objects of one cache, beyond that of the C kernel.
const MAX_OBJECTS: f64 = 0.01;
/// vmalloc() frees these by the thousand, so they do not count. The pages of an area that leaks do.
const LAZILY_FREED: &str = "vmap_area";

/// The memory in use after one part.
#[derive(Default)]
struct Sample {
    /// The number of namespaces until then.
    events: f64,
    bytes: f64,
    /// The bytes of the objects in [`LAZILY_FREED`].
    lazy: f64,
    counts: BTreeMap<String, f64>,
}

/// The memory in use during a run.
#[derive(Default)]
pub struct MemoryGrowth {
    samples: Vec<Sample>,
}

pub fn parse(output: &str) -> Result<MemoryGrowth> {
    let mut growth = MemoryGrowth::default();
    for line in output.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sample", events, bytes] => growth.samples.push(Sample {
                events: events.parse()?,
                bytes: bytes.parse()?,
                lazy: 0.0,
                counts: BTreeMap::new(),
            }),
            ["count", name, count, size] => {
                let sample = growth.samples.last_mut().context("a count without a sample")?;
                let count: f64 = count.parse()?;
                *sample.counts.entry(name.to_owned()).or_default() += count;
                if name == LAZILY_FREED {
                    sample.lazy += count * size.parse::<f64>()?;
                }
            }
            _ => {}
        }
    }
    Ok(growth)
}

impl MemoryGrowth {
    /// Returns the growth of `value` per namespace, without the first quarter of the run.
    fn slope_of(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let points: Vec<_> = self.samples[self.samples.len() / 4..]
            .iter()
            .map(|sample| (sample.events, value(sample)))
            .collect();
        slope(&points)
    }

    fn growth_in_bytes(&self) -> f64 {
        self.slope_of(|sample| sample.bytes - sample.lazy)
    }

    fn growth_of(&self, name: &str) -> f64 {
        self.slope_of(|sample| sample.counts.get(name).copied().unwrap_or_default())
    }

    /// Returns the caches and their growth per namespace, the largest first.
    fn growing(&self) -> Vec<(&str, f64)> {
        let names: BTreeSet<_> =
            self.samples.iter().flat_map(|sample| sample.counts.keys()).collect();
        let mut growing: Vec<_> =
            names.into_iter().map(|name| (name.as_str(), self.growth_of(name))).collect();
        growing.sort_by(|a, b| b.1.total_cmp(&a.1));
        growing
    }

    /// Returns the failures, compared with the same run on the C kernel.
    pub fn failures(&self, stock: &Self) -> Vec<String> {
        let mut failures = vec![];
        let bytes = self.growth_in_bytes();
        if bytes > MAX_BYTES {
            failures.push(format!("{bytes:.1} bytes more in use for each namespace"));
        }
        for (name, growth) in self.growing() {
            if name == LAZILY_FREED {
                continue;
            }
            let beyond = growth - stock.growth_of(name);
            if beyond > MAX_OBJECTS {
                failures.push(format!(
                    "{beyond:.3} more of {name} for each namespace than on the C kernel"
                ));
            }
        }
        failures
    }
}

impl fmt::Display for MemoryGrowth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |sample: &Sample| sample.bytes / f64::from(1 << 20);
        write!(f, "in use, MB:")?;
        for sample in &self.samples {
            write!(f, " {:.2}", megabytes(sample))?;
        }
        writeln!(f)?;
        let bytes = self.growth_in_bytes();
        write!(f, "{bytes:+.2} bytes for each namespace (at most {MAX_BYTES})")?;
        let growing = self.growing();
        if let Some((name, growth)) = growing.first() {
            let others = growing.len() - 1;
            write!(
                f,
                "; the cache that grew most is {name}, {growth:+.4} objects ({others} others grew less)"
            )?;
        }
        Ok(())
    }
}

/// Runs the cycles and checks the growth. A kernel with sanitizers keeps freed memory: only its
/// reports count.
pub fn run(place: Place, cycles: u32) -> Result<Findings> {
    let transcript = boot(place, cycles)?;
    let mut failures = transcript.failures(place.kernel);
    if !place.kernel.has_sanitizers() {
        let growth = parse(&transcript.output)?;
        failures.extend(growth.failures(&growth));
    }
    Ok(Findings {
        checks: vec![place.check("guest: age", unless(failures))],
        transcripts: vec![transcript],
        text: String::new(),
    })
}

fn boot(place: Place, cycles: u32) -> Result<Transcript> {
    let Place { context, step, kernel, .. } = place;
    step.expect(PARTS.into());
    let initrd = initramfs::pack_job(context, step, kernel, "age", &[])?;
    let own = [format!("TIMENS_AGE={PARTS},{}", cycles / PARTS), "slab_nomerge".to_owned()];
    let guest = Guest {
        arguments: [&own, place.arguments].concat(),
        limit: Duration::from_secs(7200),
        ..Guest::new(kernel, "age", initrd)
    };
    let transcript = guest::run(context, step, &guest, |_| {})?;
    let growth = parse(&transcript.output)?;
    if growth.samples.len() < MIN_SAMPLES {
        let mut lines = transcript.output.lines();
        let error = lines.find_map(|line| line.strip_prefix("/jobs/age: "));
        bail!(
            "the guest printed {} samples: {}",
            growth.samples.len(),
            error.map_or(transcript.errors.join("; "), str::to_owned)
        );
    }
    let counted = |sample: &Sample| sample.counts.keys().any(|name| name.starts_with("kmalloc"));
    ensure!(
        growth.samples.iter().all(counted),
        "the guest counted no objects: see its /proc/slabinfo"
    );
    Ok(transcript)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(bytes: impl Fn(u32) -> u32, objects: impl Fn(u32) -> u32) -> MemoryGrowth {
        let output: String = (1..=20)
            .map(|part| {
                format!(
                    "sample {} {}\ncount kmalloc-256 {} 256\n",
                    part * 100,
                    bytes(part),
                    objects(part)
                )
            })
            .collect();
        parse(&output).unwrap()
    }

    #[test]
    fn noise_and_warm_up_are_no_leak() {
        let warm = |part: u32| if part < 4 { part * 100_000 } else { 400_000 };
        let noisy = growth(warm, |part| 500 + part % 3);
        assert_eq!(noisy.failures(&noisy), [""; 0]);
    }

    #[test]
    fn an_object_per_namespace_is_a_leak() {
        let stock = growth(|_| 1_000_000, |_| 500);
        let leaky = growth(|part| 1_000_000 + part * 100 * 64, |part| part * 100);
        let failures = leaky.failures(&stock);
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].starts_with("64.0 bytes"), "{failures:?}");
        assert!(failures[1].starts_with("1.000 more of kmalloc-256"));
    }

    #[test]
    fn lazily_freed_objects_do_not_count() {
        let output: String = (1..=20)
            .map(|part| {
                let (events, areas) = (part * 100, part * 50);
                let bytes = 1_000_000 + areas * 128;
                format!("sample {events} {bytes}\ncount {LAZILY_FREED} {areas} 128\n")
            })
            .collect();
        let growth = parse(&output).unwrap();
        assert_eq!(growth.failures(&MemoryGrowth::default()), [""; 0]);
        assert!(growth.to_string().contains("+0.00 bytes for each namespace"), "{growth}");
    }

    #[test]
    fn growth_on_both_kernels_is_no_leak() {
        let late = || growth(|_| 1_000_000, |part| part * 20);
        assert_eq!(late().failures(&late()), [""; 0]);
    }
}
