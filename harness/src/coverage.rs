// SPDX-License-Identifier: GPL-2.0

//! `coverage`: which lines of the series' Rust the tests execute.
//!
//! The crates are compiled with rustc's `-Cinstrument-coverage`. What a user space program has in its
//! runtime is done here: the guest shows the counters when its job is done, and they are put into the
//! raw profile that LLVM's tools read, next to what the kernel's image has of them.

use crate::{
    fuzz, initramfs,
    kbuild::{self, Kind},
    programs::{KUNIT, RACE, SELFTESTS},
    race::rounds,
    report::keep,
    steps::{Step, Steps},
    test::{boot, KUNIT_OFF, SHORT_FUZZ},
    Context,
};
use anyhow::{bail, ensure, Context as _, Result};
use clap::Args;
use object::{Object as _, ObjectSection as _};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
    process::Command,
};

/// How much must be covered, in percent.
const ENOUGH: f64 = 95.0;

/// How many rounds the races have.
const ROUNDS: u32 = 500;

/// Where the kernel maps its image: `__START_KERNEL_map`. It is not relocated.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// The files of which the profile knows no line that the series adds, and why.
const NOT_IN_PROFILE: [(&str, &str); 4] = [
    ("rust/kernel/error.rs", "an attribute"),
    ("rust/kernel/lib.rs", "modules"),
    ("rust/kernel/sync.rs", "a module and what it exports"),
    ("rust/kernel/time.rs", "a module"),
];

/// Why the lines that no test executes are not executed.
const REASONS: &str = include_str!("../coverage/reasons");

#[derive(Args)]
pub struct Options {
    /// With the kernel as it is.
    #[arg(long, hide = true)]
    no_build: bool,
}

/// What a kernel runs that counts.
#[derive(Clone, Copy)]
enum Job {
    Kunit,
    Selftests,
    Race,
    Fuzz,
}

/// The kernels that count, and what they run: the second takes other ways to switch the vDSO's pages.
const KERNELS: [(Kind, &[Job]); 2] = [
    (
        Kind::RustCoverage,
        &[Job::Kunit, Job::Selftests, Job::Race, Job::Fuzz],
    ),
    (Kind::RustStockVdsoCoverage, &[Job::Selftests]),
];

/// Runs the tests on kernels that count, and tells what they leave out.
pub fn coverage(context: &Context, options: &Options) -> Result<bool> {
    let build = match options.no_build {
        true => 0,
        false => (1 + KERNELS.len()) * kbuild::BUILD_STEPS + 1,
    };
    let run = |jobs: &[Job]| jobs.len() + 2;
    let runs: usize = KERNELS.iter().map(|(_, jobs)| run(jobs)).sum();
    let mut steps = context.steps(build + runs)?;
    if !options.no_build {
        // Each starts as a copy of the one before.
        kbuild::build(context, &mut steps, Kind::Rust)?;
        for (kind, _) in KERNELS {
            kbuild::build(context, &mut steps, kind)?;
        }
        steps.run("build the selftests", |step| {
            kbuild::selftests(context, step)
        })?;
    }
    let mut lines = Lines::new();
    let mut configs = vec![];
    for (kind, jobs) in KERNELS {
        for (file, counts) in count(context, &mut steps, kind, jobs)? {
            let sums = lines.entry(file).or_default();
            for (line, count) in counts {
                *sums.entry(line).or_default() += count;
            }
        }
        let config = context.build_dir(kind).join(".config");
        configs.push(
            fs::read_to_string(&config)
                .with_context(|| format!("cannot read {}", config.display()))?,
        );
    }
    let report = Report::new(context, &lines, &added(context)?, &configs)?;
    keep(context, "coverage", &report.to_string())?;
    println!("\n{report}");
    Ok(report.good())
}

/// Has one kernel run its jobs, and gives how often it executed each line.
fn count(context: &Context, steps: &mut Steps, kind: Kind, jobs: &[Job]) -> Result<Lines> {
    let name = kind.name();
    let image = context.build_dir(kind).join("vmlinux");
    let data = fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?;
    let profile = Profile::new(&data)?;
    steps.run(&format!("pack the guest of {name}"), |step| {
        initramfs::pack(context, step, kind).map(drop)
    })?;
    let mut sum = vec![0; profile.counters];
    for job in jobs {
        let mut arguments = match job {
            Job::Kunit => vec!["kunit.enable=1".to_owned()],
            Job::Race => rounds(ROUNDS, 2 * ROUNDS).to_vec(),
            Job::Selftests | Job::Fuzz => vec![],
        };
        if !matches!(job, Job::Kunit) {
            arguments.push(KUNIT_OFF.to_owned());
        }
        arguments.push(profile.parameter());
        let (list, busy_host) = match job {
            Job::Kunit => (&KUNIT, false),
            Job::Race => (&RACE, true),
            Job::Selftests | Job::Fuzz => (&SELFTESTS, false),
        };
        let title = match job {
            Job::Fuzz => "fuzz",
            _ => list.name,
        };
        let said = steps.run(&format!("{name}: {title}"), |step| match job {
            Job::Fuzz => {
                let (seed, sequences) = SHORT_FUZZ;
                fuzz::boot_alone(context, step, kind, seed, sequences, &arguments)
            }
            _ => boot(context, step, kind, list, &arguments, busy_host, None),
        })?;
        let counters = counters_in(&said.output, profile.counters)?;
        sum.iter_mut()
            .zip(counters)
            .for_each(|(sum, count)| *sum += count);
    }
    steps.run(&format!("{name}: map the counters to lines"), |step| {
        let dir = context.out.join("coverage");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let raw = dir.join(name).with_extension("profraw");
        fs::write(&raw, profile.raw(&sum))
            .with_context(|| format!("cannot write {}", raw.display()))?;
        Ok(parse_lcov(&lcov(context, step, &raw, &image)?))
    })
}

/// What the kernel's image says of its counters.
struct Profile<'a> {
    /// Where they lie, as the kernel sees it, and how many they are.
    address: u64,
    counters: usize,
    /// What functions they belong to.
    functions: &'a [u8],
    functions_address: u64,
    names: &'a [u8],
    names_address: u64,
}

impl<'a> Profile<'a> {
    fn new(image: &'a [u8]) -> Result<Self> {
        let file = object::File::parse(image)?;
        let section = |name: &str| -> Result<_> {
            let section = file
                .section_by_name(name)
                .with_context(|| format!("the kernel has no section {name}"))?;
            Ok((section.address(), section.size(), section.data()?))
        };
        let (address, size, _) = section("__llvm_prf_cnts")?;
        let (functions_address, _, functions) = section("__llvm_prf_data")?;
        let (names_address, _, names) = section("__llvm_prf_names")?;
        Ok(Self {
            address,
            counters: size as usize / 8,
            functions,
            functions_address,
            names,
            names_address,
        })
    }

    /// What tells the guest's init which physical memory to show: the first word, and how many.
    fn parameter(&self) -> String {
        let word = (self.address - IMAGE) / 8;
        format!("TIMENS_COUNTERS={word}:{}", self.counters)
    }

    /// A profile in the form of compiler-rt's `InstrProfData.inc`.
    fn raw(&self, counters: &[u64]) -> Vec<u8> {
        const MAGIC: u64 = u64::from_be_bytes(*b"\xfflprofr\x81");
        const VERSION: u64 = 10;
        /// The size of a function's record.
        const RECORD: usize = 64;
        /// `IPVK_Last`.
        const LAST_VALUE: u64 = 2;
        let delta = self.address.wrapping_sub(self.functions_address);
        let header = [
            MAGIC,
            VERSION,
            0,
            (self.functions.len() / RECORD) as u64,
            0,
            counters.len() as u64,
            0,
            0,
            0,
            self.names.len() as u64,
            delta,
            0,
            self.names_address,
            0,
            0,
            LAST_VALUE,
        ];
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let padding = vec![0; self.names.len().next_multiple_of(8) - self.names.len()];
        let names = self.names.to_vec();
        let parts: [Vec<u8>; 5] = [
            words(&header),
            self.functions.to_vec(),
            words(counters),
            names,
            padding,
        ];
        parts.concat()
    }
}

/// The counters that a guest showed: eight bytes each, in hexadecimal.
fn counters_in(output: &str, count: usize) -> Result<Vec<u64>> {
    let digits: String = output
        .split_once("TIMENS-COUNTERS-BEGIN")
        .and_then(|(_, rest)| rest.split_once("TIMENS-COUNTERS-END"))
        .context("the guest showed no counters: see out/log")?
        .0
        .split_whitespace()
        .collect();
    ensure!(
        digits.len() == count * 16,
        "the guest showed {} digits of {count} counters",
        digits.len()
    );
    (0..count)
        .map(|index| {
            let word = u64::from_str_radix(&digits[index * 16..][..16], 16)?;
            Ok(word.swap_bytes())
        })
        .collect()
}

/// LLVM's view of the profile: an lcov trace file.
fn lcov(context: &Context, step: &Step, raw: &Path, image: &Path) -> Result<String> {
    let indexed = raw.with_extension("profdata");
    let mut merge = Command::new(context.toolchain.llvm_tool("llvm-profdata")?);
    merge.args(["merge", "-o"]).arg(&indexed).arg(raw);
    step.command(&mut merge, "profdata")?;
    let mut export = Command::new(context.toolchain.llvm_tool("llvm-cov")?);
    export.args(["export", "--format=lcov", "--instr-profile"]);
    let output = export.arg(&indexed).arg(image).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("llvm-cov: {}", errors.lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// How often lines were executed, by file and number.
type Lines = BTreeMap<String, BTreeMap<usize, u64>>;

fn parse_lcov(text: &str) -> Lines {
    let mut all = Lines::new();
    let mut file = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            name.clone_into(&mut file);
        } else if let Some((number, count)) = line
            .strip_prefix("DA:")
            .and_then(|rest| rest.split_once(','))
        {
            if let (Ok(number), Ok(count)) = (number.parse(), count.parse::<u64>()) {
                *all.entry(file.clone())
                    .or_default()
                    .entry(number)
                    .or_default() += count;
            }
        }
    }
    all
}

/// The lines of Rust that the series adds, by file: begin and end.
type Added = BTreeMap<String, Vec<(usize, usize)>>;

fn added(context: &Context) -> Result<Added> {
    let mut git = Command::new("git");
    git.arg("-C").arg(&context.tree);
    git.args(["diff", "-U0", "base", "HEAD", "--", "*.rs"]);
    let output = git.output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(parse_diff(&String::from_utf8(output.stdout)?))
}

fn parse_diff(diff: &str) -> Added {
    let mut added = Added::new();
    let mut file = "";
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            file = name;
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let range = hunk.split(' ').find_map(|word| word.strip_prefix('+'));
            let (first, count) = range
                .map(|range| range.split_once(',').unwrap_or((range, "1")))
                .unwrap_or_default();
            if let (Ok(first), Ok(count)) = (first.parse::<usize>(), count.parse::<usize>()) {
                added
                    .entry(file.to_owned())
                    .or_default()
                    .push((first, first + count));
            }
        }
    }
    added
}

/// One file's lines, none if the profile has none of them.
struct Row {
    file: String,
    lines: usize,
    covered: usize,
}

impl Row {
    /// Why the profile has none of its lines, if that is right.
    fn excuse(&self) -> Option<&'static str> {
        let excuses = NOT_IN_PROFILE.iter();
        let (_, excuse) = excuses.copied().find(|(file, _)| *file == self.file)?;
        Some(excuse)
    }
}

/// A line that no test executes, and why.
struct Missed {
    place: String,
    text: String,
    reason: Option<&'static str>,
}

struct Report {
    rows: Vec<Row>,
    missed: Vec<Missed>,
    /// What has a reason and needs none.
    unused: Vec<String>,
    /// What the kernels are compiled without.
    left_out: Vec<String>,
}

impl Report {
    fn new(context: &Context, lines: &Lines, added: &Added, configs: &[String]) -> Result<Self> {
        let mut reasons = reasons(REASONS);
        let mut report = Self {
            rows: vec![],
            missed: vec![],
            unused: vec![],
            left_out: vec![],
        };
        for (file, ranges) in added {
            let path = context.tree.join(file);
            let source = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let source: Vec<_> = source.lines().collect();
            // Tests are no part of what is to be tested, and come last.
            let end = source
                .iter()
                .position(|line| line.starts_with("#[kunit_tests("));
            let end = end.unwrap_or(source.len());
            let added = |number: usize| {
                number <= end
                    && ranges
                        .iter()
                        .any(|&(from, to)| (from..to).contains(&number))
            };
            let counts = lines
                .iter()
                .find(|(name, _)| Path::new(name).ends_with(file));
            let counts = counts.map(|(_, counts)| counts);
            let counted = counts.into_iter().flatten();
            let counted = counted.filter(|&(&number, _)| added(number));
            let mut row = Row {
                file: file.clone(),
                lines: 0,
                covered: 0,
            };
            for (&number, &count) in counted {
                row.lines += 1;
                row.covered += usize::from(count > 0);
                if count == 0 {
                    let text = source.get(number - 1).copied().unwrap_or_default().trim();
                    // Each excuses one line.
                    let mut known = reasons.iter();
                    let known = known.position(|reason| reason.file == file && reason.line == text);
                    report.missed.push(Missed {
                        place: format!("{file}:{number}"),
                        text: text.to_owned(),
                        reason: known.map(|index| reasons.remove(index).why),
                    });
                }
            }
            report.rows.push(row);
            let left_out = left_out(&source, configs).into_iter();
            let left_out = left_out.filter(|&(number, _)| added(number));
            report
                .left_out
                .extend(left_out.map(|(number, what)| format!("{file}:{number}: {what}")));
        }
        let unused = reasons.iter();
        report.unused = unused
            .map(|reason| format!("{}: {}", reason.file, reason.line))
            .collect();
        ensure!(
            report.rows.iter().any(|row| row.lines > 0),
            "llvm-cov knows no line of the series"
        );
        Ok(report)
    }

    fn percent(&self) -> f64 {
        let lines: usize = self.rows.iter().map(|row| row.lines).sum();
        let covered: usize = self.rows.iter().map(|row| row.covered).sum();
        covered as f64 * 100.0 / lines as f64
    }

    /// Whether enough is covered, and a reason given for the rest.
    fn good(&self) -> bool {
        self.percent() >= ENOUGH
            && self.missed.iter().all(|missed| missed.reason.is_some())
            && self.unused.is_empty()
            && self
                .rows
                .iter()
                .all(|row| row.lines > 0 || row.excuse().is_some())
    }
}

/// What kernels with these configurations are compiled without: the number of the line, the condition
/// and the line that it is for. Imports are no matter.
fn left_out(source: &[&str], configs: &[String]) -> Vec<(usize, String)> {
    let set = |config: &String, option| config.lines().any(|line| line == format!("{option}=y"));
    let mut found = vec![];
    for (index, pair) in source.windows(2).enumerate() {
        let (line, next) = (pair[0].trim(), pair[1].trim());
        let condition = line
            .strip_prefix("#[cfg(")
            .and_then(|rest| rest.strip_suffix(")]"));
        let Some(condition) = condition else {
            continue;
        };
        let negated = condition
            .strip_prefix("not(")
            .and_then(|rest| rest.strip_suffix(')'));
        let compiled = configs.iter().any(|config| match negated {
            Some(option) => !set(config, option),
            None => set(config, condition),
        });
        if !compiled && !next.starts_with("use ") {
            found.push((index + 1, format!("{line} {next}")));
        }
    }
    found
}

/// Why one line is not executed.
#[derive(Debug, PartialEq)]
struct Reason<'a> {
    file: &'a str,
    line: &'a str,
    why: &'a str,
}

/// What a text like [`REASONS`] has: files, lines, and reasons, each indented deeper.
fn reasons(text: &str) -> Vec<Reason<'_>> {
    let (mut file, mut line) = ("", "");
    let mut all = vec![];
    for text in text.lines().filter(|line| !line.starts_with('#')) {
        match text.strip_prefix('\t') {
            None => file = text,
            Some(rest) => match rest.strip_prefix('\t') {
                None => line = rest,
                Some(why) => all.push(Reason { file, line, why }),
            },
        }
    }
    all
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.file.len())
            .max()
            .unwrap_or(0);
        let mut table = String::new();
        let (mut lines, mut covered) = (0, 0);
        writeln!(table, "{:width$}  lines  covered       %", "")?;
        for row in &self.rows {
            if row.lines == 0 {
                let excuse = row.excuse().unwrap_or("NO REASON GIVEN");
                writeln!(table, "{:width$}  not in the profile: {excuse}", row.file)?;
                continue;
            }
            lines += row.lines;
            covered += row.covered;
            let percent = row.covered as f64 * 100.0 / row.lines as f64;
            writeln!(
                table,
                "{:width$}  {:5}  {:7}  {percent:6.1}",
                row.file, row.lines, row.covered
            )?;
        }
        let percent = self.percent();
        writeln!(
            table,
            "{:width$}  {lines:5}  {covered:7}  {percent:6.1}",
            "all"
        )?;
        writeln!(table, "\nlines that no test executes:")?;
        for Missed {
            place,
            text,
            reason,
        } in &self.missed
        {
            let reason = reason.unwrap_or("NO REASON GIVEN");
            writeln!(table, "{place}: {text}\n    {reason}")?;
        }
        for line in &self.unused {
            writeln!(table, "{line}\n    NEEDS NO REASON, but has one")?;
        }
        writeln!(table, "\nnot compiled in these configurations:")?;
        for item in &self.left_out {
            writeln!(table, "{item}")?;
        }
        f.write_str(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_counters_and_takes_no_part_of_them() {
        let output = "x\nTIMENS-COUNTERS-BEGIN\n0100000000000000ff\n01000000000000\n\
                      TIMENS-COUNTERS-END\n";
        assert_eq!(counters_in(output, 2).unwrap(), [1, 0x1ff]);
        assert!(counters_in(output, 3).is_err());
        assert!(counters_in("", 0).is_err());
    }

    #[test]
    fn reads_lcov() {
        let lines = parse_lcov("SF:/a/b.rs\nFN:1,f\nDA:3,2\nDA:4,0\nend_of_record\n");
        assert_eq!(lines["/a/b.rs"], BTreeMap::from([(3, 2), (4, 0)]));
    }

    #[test]
    fn a_file_that_the_profile_lacks_needs_an_excuse() {
        let row = |file: &str, lines| Row {
            file: file.to_owned(),
            lines,
            covered: lines,
        };
        let report = |rows| Report {
            rows,
            missed: vec![],
            unused: vec![],
            left_out: vec![],
        };
        let excused = report(vec![row("a.rs", 5), row("rust/kernel/time.rs", 0)]);
        assert!(excused.good());
        assert!(excused.to_string().contains("not in the profile: a module"));
        let lacking = report(vec![row("a.rs", 5), row("b.rs", 0)]);
        assert!(!lacking.good());
        assert!(lacking
            .to_string()
            .contains("not in the profile: NO REASON"));
    }

    #[test]
    fn reads_reasons() {
        let reason = |file, line, why| Reason { file, line, why };
        assert_eq!(
            reasons("# x\na.rs\n\t}\n\t\tnone\n\t}\n\t\tsome\nb.rs\n\tx()\n\t\tnone\n"),
            [
                reason("a.rs", "}", "none"),
                reason("a.rs", "}", "some"),
                reason("b.rs", "x()", "none"),
            ]
        );
    }

    #[test]
    fn finds_what_a_configuration_leaves_out() {
        let source = [
            "#[cfg(CONFIG_A)]",
            "fn a() {}",
            "    #[cfg(not(CONFIG_A))]",
            "    fn not_a() {}",
            "#[cfg(CONFIG_B)]",
            "use b::b;",
        ];
        assert_eq!(
            left_out(&source, &["CONFIG_A=y\n".to_owned()]),
            [(3, "#[cfg(not(CONFIG_A))] fn not_a() {}".to_owned())]
        );
        let both = ["CONFIG_A=y\n".to_owned(), String::new()];
        assert!(left_out(&source, &both).is_empty());
    }

    #[test]
    fn reads_what_a_diff_adds() {
        let diff = "+++ b/x.rs\n@@ -1 +1,2 @@ fn\n+a\n+b\n@@ -9,2 +10 @@\n@@ -20 +20,0 @@\n";
        assert_eq!(parse_diff(diff)["x.rs"], [(1, 3), (10, 11), (20, 20)]);
    }
}
