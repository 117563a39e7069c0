// SPDX-License-Identifier: GPL-2.0

//! Finds reports of defects in the kernel's log.

/// Words at the start of reports.
const REPORTS: [&str; 9] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "general protection fault",
    "UBSAN:",
    "kernel BUG at",
    "Kernel panic",
    "INFO: task ",
    "INFO: rcu",
];
/// Words in reports.
const REPORTS_INSIDE: [&str; 8] = [
    "BUG: soft lockup",
    "INFO: lockdep is turned off",
    "INFO: trying to register",
    "new suspected memory leaks",
    "self-detected stall",
    "stalls on CPUs",
    "INFO: possible",
    "suspicious RCU usage",
];
/// A report of lockdep that begins with a bracket, as a time stamp does.
const BRACKETED: &str = "[ BUG: ";

/// The start of a report of KCSAN.
pub const DATA_RACE: &str = "BUG: KCSAN: ";
/// Words in reports of KASAN, UBSAN, kmemleak and lockdep.
const SANITIZERS: [&str; 6] = [
    "KASAN",
    "UBSAN",
    "new suspected memory leaks",
    "possible circular locking",
    "possible recursive locking",
    "suspicious RCU usage",
];

/// Returns the reports in a kernel's log, except those of KCSAN, as errors.
pub fn reports(console: &str) -> impl Iterator<Item = String> + '_ {
    let lines = console.lines().filter(|line| is_report(line));
    lines.map(|line| format!("the kernel reported: {}", line.trim_end()))
}

/// Returns the reports of KASAN, UBSAN, kmemleak and lockdep.
pub fn sanitizer_reports(console: &str) -> Vec<String> {
    let by_sanitizer = |report: &String| SANITIZERS.iter().any(|name| report.contains(name));
    reports(console).filter(by_sanitizer).collect()
}

/// Removes the time stamp and the caller from a line of the log.
pub fn message(mut line: &str) -> &str {
    while let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        line = rest.trim_start();
    }
    line
}

/// Whether a line is a report, except of KCSAN.
fn is_report(line: &str) -> bool {
    let message = message(line);
    !message.starts_with(DATA_RACE)
        && (line.contains(BRACKETED)
            || REPORTS.iter().any(|start| message.starts_with(start))
            || REPORTS_INSIDE.iter().any(|part| message.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_report_is_found() {
        for report in [
            "[    1.0] BUG: KASAN: slab-out-of-bounds in f",
            "[    1.0][    T1] WARNING: kernel/fork.c:1 at f",
            "[    1.0] WARNING: possible circular locking dependency detected",
            "[    1.0] Oops: general protection fault",
            "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    1.0] UBSAN: shift-out-of-bounds",
            "[    1.0] kmemleak: 3 new suspected memory leaks (see ...)",
            "[    1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [x:1]",
            "[    1.0][    T1] INFO: trying to register non-static key.",
            "[    1.0] INFO: lockdep is turned off.",
            "[    1.0][    T1] [ BUG: Invalid wait context ]",
            "[    1.0] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
        ] {
            assert_eq!(reports(report).count(), 1, "{report}");
        }
    }

    #[test]
    fn other_messages_and_data_races_are_ignored() {
        let log = "[    0.1] Linux version\n[    0.2] Speculation: WARNING: see the docs\n\
                   [    0.3][ T1] BUG: KCSAN: data-race in a / b\n";
        assert_eq!(reports(log).count(), 0);
    }

    #[test]
    fn reports_of_sanitizers_are_found() {
        let log = "[ 1.0] BUG: KASAN: slab-out-of-bounds in f\n[ 1.0] Kernel panic - not syncing\n";
        assert_eq!(sanitizer_reports(log).len(), 1);
    }
}
