// SPDX-License-Identifier: GPL-2.0

//! Parses the reports of KCSAN, and finds those about time namespaces.

use super::log::{message, DATA_RACE};
use std::collections::BTreeMap;

/// The last line of a report.
const RACE_END: &str = "==================================================================";
/// The line above the stack frames of each of the two accesses in a report.
const ACCESS: &str = " bytes by ";
/// The number of frames that identify the data: the accessing function, and memcpy() or similar.
const FRAMES: usize = 2;
/// Names in these frames that identify data of time namespaces.
const TIME_NS_NAMES: [&str; 20] = [
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
    // Modules of the kernel crate in mangled names.
    "6kernel7nsproxy",
    "6kernel14user_namespace",
    "6kernel4time8timespec",
    // C that reads a `struct ns_common` of any kind.
    "is_current_namespace",
    "legitimize_ns",
    "listns",
    "lookup_ns",
    "ns_ref",
    "nsfs",
];
/// It sets a flag in the current task, next to flags that are read without a lock. Its own accesses
/// do not identify a report.
const IGNORED_FUNCTION: &str = "ns_capable";

/// Returns the reports in a kernel's log: those about time namespaces, and the others.
pub fn races(console: &str) -> (Vec<String>, Vec<String>) {
    let (mut time_ns, mut others) = (vec![], vec![]);
    let mut lines = console.lines().map(message);
    while let Some(line) = lines.next() {
        if !line.starts_with(DATA_RACE) {
            continue;
        }
        let rest = lines.by_ref().take_while(|line| !line.starts_with(RACE_END));
        let report: Vec<_> = std::iter::once(line).chain(rest).map(str::trim_end).collect();
        let races = match is_about_time_ns(&report) {
            true => &mut time_ns,
            false => &mut others,
        };
        races.push(report.join("\n"));
    }
    (time_ns, others)
}

/// Whether a line has one of [`TIME_NS_NAMES`].
fn names_time_ns(line: &str) -> bool {
    TIME_NS_NAMES.iter().any(|name| line.contains(name))
}

/// Lists the races with their numbers of reports, the most frequent first.
pub fn list(reports: &[String]) -> String {
    let mut counts = BTreeMap::<_, u32>::new();
    for report in reports {
        *counts.entry(without_offsets(title(report))).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines = counts.into_iter();
    lines.map(|(title, count)| format!("{count:5} {title}\n")).collect()
}

/// Removes the offsets in functions, which a title has if only one access is known.
fn without_offsets(title: &str) -> String {
    let words = title.split(' ');
    let words = words.map(|word| word.split_once("+0x").map_or(word, |(function, _)| function));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a report is about data of time namespaces, and not only about a function that they call.
fn is_about_time_ns(report: &[&str]) -> bool {
    let accesses = report.iter().enumerate();
    let accesses = accesses.filter(|(_, line)| line.contains(ACCESS));
    let frames = accesses.map(|(index, _)| report[index + 1..].iter().take(FRAMES));
    let frames = frames.map(|frames| frames.copied().collect());
    let titles: Vec<_> = report[0].split(" / ").map(|name| vec![name]).collect();
    let ignored = |lines: &Vec<&str>| lines.iter().any(|line| line.contains(IGNORED_FUNCTION));
    // All Rust in these kernels is time namespaces and the kernel crate.
    let rust = |name: &&str| name.rsplit(' ').next().is_some_and(is_rust);
    let by_rust = titles.iter().flatten().any(rust);
    let by_time_ns = titles
        .into_iter()
        .chain(frames)
        .filter(|lines| !ignored(lines))
        .any(|lines| lines.into_iter().any(names_time_ns));
    by_rust || by_time_ns
}

/// Whether a symbol is mangled by rustc.
fn is_rust(name: &str) -> bool {
    name.starts_with("_R")
}

/// Returns the first line of a report.
pub fn title(report: &str) -> &str {
    report.lines().next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_about_time_namespaces_are_found() {
        const END: &str =
            "[ 1.1] ==================================================================\n";
        let report = |title: &str, frames: [&str; 3]| {
            let frames: String = frames.map(|frame| format!("[ 1.0]  {frame}+0x1/0x2\n")).concat();
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
            report("kfree / is_current_namespace", ["kfree", "rcu_do_batch", "x"]),
            report("a / b", ["ktime_get", "BootTime", "namespace_rs"]),
            report("a / memcpy", ["memcpy", "namespace_rs", "vfs_write"]),
            report("a / timens_commit", ["timens_commit", "setns", "syscall"]),
            report("_RNvNt2mm / a", ["a", "setns", "syscall"]),
        ];
        let log = log.concat();
        let (time_ns, others) = races(&log);
        let titles: Vec<_> = time_ns.iter().map(|report| title(report)).collect();
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
        assert!(time_ns[3].ends_with("syscall+0x1/0x2"));
        assert_eq!(others.len(), 4);
        let text = list(&others);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "    3 BUG: KCSAN: data-race in a / b");
        assert_eq!(lines[1], "    1 BUG: KCSAN: data-race in a / ns_capable");
        assert_eq!(without_offsets("in c+0x1/0x20 / d"), "in c / d");
    }
}
