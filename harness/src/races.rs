// SPDX-License-Identifier: GPL-2.0

//! What KCSAN reports: whose races these are, and which of those elsewhere in the kernel stock has too.

use crate::{
    guest::message,
    kbuild::Kind,
    programs::{KUNIT, RACE as RACE_LIST, WIDE_RACE},
    report::{forget, keep},
    Context,
};
use anyhow::{Context as _, Result};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
};

/// How KCSAN's reports begin and end.
pub const RACE: &str = "BUG: KCSAN: ";
const RACE_END: &str = "==================================================================";
/// What stands above the frames of each of the two accesses in such a report.
const ACCESS: &str = " bytes by ";
/// How many of these frames say whose data it is: who accesses it, perhaps by memcpy() or the like.
const FRAMES: usize = 2;
/// What they name if it is data of time namespaces.
const OUR_RACES: [&str; 20] = [
    "timens",
    "time_ns",
    "time_namespace",
    "namespace_rs",
    "namespace_vdso",
    "vvar_fault",
    "ns_tree",
    "nstree",
    "ns_common",
    "FreezeLock",
    "TimensPage",
    // Modules of the kernel crate, as rustc writes them in the names of functions.
    "6kernel7nsproxy",
    "6kernel14user_namespace",
    "6kernel4time8timespec",
    // C that reads a `struct ns_common`, of whatever kind.
    "is_current_namespace",
    "legitimize_ns",
    "listns",
    "lookup_ns",
    "ns_ref",
    "nsfs",
];
/// Sets a flag in the current task, next to others that are read without a lock, for whatever calls it.
/// Its accesses do not count, those that it races with do.
const FOREIGN_RACE: &str = "ns_capable";

/// How many times as often as on stock, which did the same, a race elsewhere must have been reported of
/// ours to be more than chance; once more than on stock is taken, so that it is twelve times where stock
/// never had it. Were each report as likely on both, that would come about once in 4,096 for a race.
const TELLING: u32 = 12;

/// KCSAN's reports in a kernel's log: those about time namespaces, and the others.
pub fn races(console: &str) -> (Vec<String>, Vec<String>) {
    let (mut ours, mut others) = (vec![], vec![]);
    let mut lines = console.lines().map(message);
    while let Some(line) = lines.next() {
        if !line.starts_with(RACE) {
            continue;
        }
        let rest = lines
            .by_ref()
            .take_while(|line| !line.starts_with(RACE_END));
        let report: Vec<_> = std::iter::once(line)
            .chain(rest)
            .map(str::trim_end)
            .collect();
        let races = match is_ours(&report) {
            true => &mut ours,
            false => &mut others,
        };
        races.push(report.join("\n"));
    }
    (ours, others)
}

/// Whether a line is about data of time namespaces, or about code that deals with it.
fn names_ours(line: &str) -> bool {
    OUR_RACES.iter().any(|name| line.contains(name))
}

/// How often each race elsewhere was reported, and in full the first report of each, and all that name
/// something of time namespaces nevertheless, as what has called the code that races.
fn elsewhere(reports: &[String]) -> String {
    let mut counts = BTreeMap::<_, u32>::new();
    for report in reports {
        *counts.entry(title(report)).or_default() += 1;
    }
    let lines = counts
        .into_iter()
        .map(|(title, count)| format!("{count:5} {title}\n"));
    let mut told = BTreeSet::new();
    let full = reports
        .iter()
        .filter(|report| told.insert(title(report)) || names_ours(report));
    lines
        .chain(full.map(|report| format!("\n{report}\n")))
        .collect()
}

/// What a guest's reports of races elsewhere are kept as begins with.
const KEPT: &str = "kcsan-elsewhere-";

/// Keeps a guest's reports of races elsewhere, below those of its boots before.
pub fn keep_elsewhere(context: &Context, guest: &str, reports: &[String]) -> Result<()> {
    let name = format!("{KEPT}{guest}");
    let path = context.out.join(format!("results/{name}.txt"));
    let before = fs::read_to_string(path).unwrap_or_default();
    keep(context, &name, &(before + &elsewhere(reports)))
}

/// The guests of a kernel that have kept theirs, each by its name without the kernel's, and as what.
fn kept(context: &Context, kind: Kind) -> Result<BTreeMap<String, String>> {
    let dir = context.out.join("results");
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let end = format!("-{}.txt", kind.name());
    let mut guests = BTreeMap::new();
    for entry in entries {
        let file = entry.context("cannot read the results")?.file_name();
        let file = file.to_string_lossy();
        let guest = file.strip_prefix(KEPT);
        if let Some(guest) = guest.and_then(|rest| rest.strip_suffix(&end)) {
            let name = file.trim_end_matches(".txt").to_owned();
            guests.insert(guest.to_owned(), name);
        }
    }
    Ok(guests)
}

/// Forgets the races elsewhere that a kernel's guests have kept before.
pub fn forget_elsewhere(context: &Context, kind: Kind) -> Result<()> {
    let mut names = kept(context, kind)?.into_values();
    names.try_for_each(|name| forget(context, &name))
}

/// How often each race elsewhere was reported, on the stock kernel and on ours.
#[derive(Default)]
pub struct Elsewhere {
    races: BTreeMap<String, [u32; 2]>,
    /// The guests that one of them had, and not the other.
    alone: Vec<String>,
    /// Whether tasks raced on both, of which KCSAN always reports something.
    raced: bool,
}

impl Elsewhere {
    /// What the guests that both kernels had have kept. KUnit's, which stock has not, is no matter.
    pub fn read(context: &Context, kinds: [Kind; 2]) -> Result<Self> {
        let [stock, ours] = kinds.map(|kind| kept(context, kind));
        let guests = [stock?, ours?];
        let mut all = Self::default();
        for (index, names) in guests.iter().enumerate() {
            for (guest, name) in names.iter().filter(|(guest, _)| *guest != KUNIT.name) {
                if !guests[1 - index].contains_key(guest) {
                    all.alone.push(guest.clone());
                    continue;
                }
                all.raced |= [RACE_LIST.name, WIDE_RACE.name].contains(&guest.as_str());
                let path = context.out.join(format!("results/{name}.txt"));
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                all.add(index, &text);
            }
        }
        Ok(all)
    }

    /// Takes what a guest of the one kernel or the other has kept.
    fn add(&mut self, index: usize, kept: &str) {
        for line in kept.lines() {
            let Some((count, race)) = line.trim_start().split_once(&format!(" {RACE}")) else {
                continue;
            };
            if let Ok(count) = count.parse::<u32>() {
                self.races.entry(without_places(race)).or_default()[index] += count;
            }
        }
    }

    fn total(&self, index: usize) -> u32 {
        self.races.values().map(|counts| counts[index]).sum()
    }

    /// What is not good: a race that it can't be by chance that ours has so often; that there is
    /// nothing to compare with.
    pub fn failures(&self) -> Vec<String> {
        let telling = |[stock, ours]: [u32; 2]| ours >= TELLING * (stock + 1);
        let races = self.races.iter();
        let races = races.filter(|(_, &counts)| telling(counts));
        let races = races.map(|(race, [stock, ours])| {
            format!("{race}: reported {ours} times, and on the stock kernel {stock} times")
        });
        let alone = self.alone.iter();
        let alone = alone.map(|guest| format!("one of the kernels alone had the guest {guest}"));
        let silent = ["stock", "our"].into_iter().enumerate();
        let silent = silent.filter(|&(index, _)| self.raced && self.total(index) == 0);
        let silent = silent.map(|(_, kernel)| {
            format!("KCSAN has reported nothing on {kernel} kernel: it seems not to look")
        });
        races.chain(alone).chain(silent).collect()
    }
}

/// A race without where in its functions it is, as there is if but one of them is known.
fn without_places(race: &str) -> String {
    let words = race.split(' ');
    let words: Vec<_> = words
        .map(|word| {
            word.split_once("+0x")
                .map_or(word, |(function, _)| function)
        })
        .collect();
    words.join(" ")
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut races: Vec<_> = self.races.iter().collect();
        races.sort_by_key(|(_, [stock, ours])| Reverse(stock + ours));
        writeln!(
            f,
            "races elsewhere in the kernel, as KCSAN has reported them:"
        )?;
        writeln!(f, "stock  ours")?;
        writeln!(f, "{:5} {:5}  in all", self.total(0), self.total(1))?;
        for (race, [stock, ours]) in races {
            writeln!(f, "{stock:5} {ours:5}  {race}")?;
        }
        Ok(())
    }
}

/// Whether a report is about data of time namespaces, not about what they call.
fn is_ours(report: &[&str]) -> bool {
    let accesses = report.iter().enumerate();
    let accesses = accesses.filter(|(_, line)| line.contains(ACCESS));
    let frames = accesses.map(|(index, _)| report[index + 1..].iter().take(FRAMES));
    let frames = frames.map(|frames| frames.copied().collect());
    let titles: Vec<_> = report[0].split(" / ").map(|name| vec![name]).collect();
    let foreign = |lines: &Vec<&str>| lines.iter().any(|line| line.contains(FOREIGN_RACE));
    // There is no Rust but ours.
    let rust = |name: &&str| name.rsplit(' ').next().is_some_and(is_rust);
    let by_rust = titles.iter().flatten().any(rust);
    let by_ours = titles
        .into_iter()
        .chain(frames)
        .filter(|lines| !foreign(lines))
        .any(|lines| lines.into_iter().any(names_ours));
    by_rust || by_ours
}

/// Whether it is a name as rustc writes them.
fn is_rust(name: &str) -> bool {
    name.starts_with("_R")
}

/// The first line of a report, which says what it is about.
pub fn title(report: &str) -> &str {
    report.lines().next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn races_are_told_apart() {
        const END: &str =
            "[ 1.1] ==================================================================\n";
        let report = |title: &str, frames: [&str; 3]| {
            let frames: String = frames
                .map(|frame| format!("[ 1.0]  {frame}+0x1/0x2\n"))
                .concat();
            format!(
                "[ 1.0][ T1] BUG: KCSAN: data-race in {title}\n[ 1.0]\n\
                 [ 1.0][ T1] write to 0x1 of 8 bytes by task 1 on cpu 0:\n{frames}{END}"
            )
        };
        let log = [
            report("a / b", ["a", "c", "vfs_write"]),
            report("a / b", ["a", "c", "vfs_read"]),
            report("a / ns_capable", ["ns_capable", "timens_install", "setns"]),
            report("a / ns_capable", ["timens_commit", "setns", "syscall"]),
            report(
                "kfree / is_current_namespace",
                ["kfree", "rcu_do_batch", "x"],
            ),
            report("a / b", ["ktime_get", "BootTime", "namespace_rs"]),
            report("a / memcpy", ["memcpy", "namespace_rs", "vfs_write"]),
            report("a / timens_commit", ["timens_commit", "setns", "syscall"]),
            report("_RNvNt2mm / a", ["a", "setns", "syscall"]),
        ];
        let log = log.concat();
        let (ours, others) = races(&log);
        let titles: Vec<_> = ours.iter().map(|report| title(report)).collect();
        assert_eq!(
            titles,
            [
                "BUG: KCSAN: data-race in a / ns_capable",
                "BUG: KCSAN: data-race in kfree / is_current_namespace",
                "BUG: KCSAN: data-race in a / memcpy",
                "BUG: KCSAN: data-race in a / timens_commit",
                "BUG: KCSAN: data-race in _RNvNt2mm / a"
            ]
        );
        assert!(ours[3].ends_with("syscall+0x1/0x2"));
        assert_eq!(others.len(), 4);
        let text = elsewhere(&others);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    3 BUG: KCSAN: data-race in a / b");
        assert_eq!(lines[1], "    1 BUG: KCSAN: data-race in a / ns_capable");
        let full = lines[2..].iter().filter(|line| line.starts_with("BUG"));
        assert_eq!(full.count(), 3, "{text}");
        assert!(text.contains("vfs_write") && !text.contains("vfs_read"));
    }

    #[test]
    fn what_only_ours_has_often_is_no_chance() {
        let mut all = Elsewhere::default();
        all.add(
            0,
            "    3 BUG: KCSAN: data-race in a / b\n\nBUG: KCSAN: data-race in a / b\n",
        );
        all.add(1, "   40 BUG: KCSAN: data-race in a / b\n");
        all.add(
            1,
            "    6 BUG: KCSAN: data-race in c\n   11 BUG: KCSAN: data-race in d\n",
        );
        assert!(all.failures().is_empty());
        all.add(1, "    6 BUG: KCSAN: data-race in c+0x1/0x20\n");
        let telling = "data-race in c: reported 12 times, and on the stock kernel 0 times";
        assert_eq!(all.failures(), [telling]);
        let text = all.to_string();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "    3    63  in all");
        assert_eq!(lines[1], "    3    40  data-race in a / b");
        all.add(0, "    1 BUG: KCSAN: data-race in c\n");
        assert!(all.failures().is_empty());
    }

    #[test]
    fn there_must_be_something_to_compare_with() {
        let mut all = Elsewhere::default();
        all.alone.push("race".to_owned());
        all.add(0, "    3 BUG: KCSAN: data-race in a / b\n");
        assert_eq!(all.failures().len(), 1);
        all.raced = true;
        let wrong = all.failures();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("guest race"));
        assert!(wrong[1].contains("our kernel"));
    }
}
