// SPDX-License-Identifier: GPL-2.0

//! `test`: every check, on both kernels, and the summary.

use crate::{
    age,
    bench::vdso as bench_vdso,
    fuzz::{self, Comparison},
    guest::{self, Guest, Machine, Transcript},
    initramfs,
    kbuild::{self, Kind},
    ktap,
    programs::{self, List, KUNIT, NO_COUNTER, OTHER_VDSO, RACE, SELFTESTS},
    race,
    races::{title, Elsewhere},
    report::{keep, Check, Column, Outcome, Report, Status},
    series::Series,
    steps::{Step, Steps},
    Context,
};
use anyhow::{bail, Context as _, Result};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// How many rounds the races have in the summary's short form.
const SHORT_RACE: u32 = 2000;

/// The seed of the summary's short run of random operations, and how many sequences it has.
pub const SHORT_FUZZ: (u64, u32) = (1, 120);

/// What the title of KCSAN's report of the stock kernel's race names: where the page is filled that
/// another task has mapped already, or where it is called from.
const RACING: [&str; 2] = ["timens_commit", "timens_set_vvar_page"];
/// What the report says of the access to `frozen_offsets`, the only one there to a `bool`.
const FROZEN: &str = " of 1 bytes by ";

/// Only the KUnit guest runs KUnit.
pub const KUNIT_OFF: &str = "kunit.enable=0";

/// Our KUnit suites, which the names of their results begin with.
const OUR_SUITES: [&str; 4] = [
    "time_namespace_offsets",
    "time_namespace_object",
    "time_namespace_proc",
    "rust_ns_common",
];

/// How long letting all allocations fail may take.
const FAULTS_LIMIT: Duration = Duration::from_secs(1200);

/// The tree's round trip, its scripts, formatting, this crate; four kernels; the selftests; the
/// images; four archives; ten guests.
const STEPS: usize = 4 + 4 * kbuild::BUILD_STEPS + 2 + 4 + 10;

/// Runs every check and prints the summary.
pub fn test(context: &Context) -> Result<bool> {
    let mut session = Session::new(context, STEPS)?;
    session.check("tree: round trip", Column::Host, |step| {
        round_trip(context, step)
    });
    session.check("tree: scripts", Column::Host, |step| {
        tree_scripts(context, step)
    });
    session.check("rustfmt", Column::Host, |step| formatting(context, step));
    session.check("cargo test", Column::Host, |step| {
        crate_tests(context, step)
    });

    // In an order in which each can start as a copy of its sibling.
    for kind in [
        Kind::Rust,
        Kind::Stock,
        Kind::RustStockVdso,
        Kind::StockOffsetPage,
    ] {
        session.build(kind);
    }
    session.selftests();
    session.check("vDSO images, natively", Column::Host, |step| {
        vdso_images(step, bench_vdso::built_images(context))
    });
    for kind in [Kind::Stock, Kind::Rust] {
        session.pack(kind);
        session.programs(kind, &SELFTESTS, &[KUNIT_OFF.into()], false, None);
        session.programs(kind, &NO_COUNTER, &no_counter(), false, None);
    }
    for kind in [Kind::StockOffsetPage, Kind::RustStockVdso] {
        session.pack(kind);
        session.programs(kind, &OTHER_VDSO, &[KUNIT_OFF.into()], false, None);
    }
    session.fuzz(fuzz::KINDS, SHORT_FUZZ);
    session.kunit(Kind::Rust);
    session.programs(
        Kind::Rust,
        &RACE,
        &[
            &[KUNIT_OFF.into()],
            &race::rounds(SHORT_RACE, 2 * SHORT_RACE)[..],
        ]
        .concat(),
        true,
        None,
    );
    session.finish("test")
}

/// A clock source of QEMU's that can't be read in user space.
fn no_counter() -> Vec<String> {
    [
        KUNIT_OFF,
        "clocksource=acpi_pm",
        "TIMENS_CLOCKSOURCE=acpi_pm",
    ]
    .map(str::to_owned)
    .to_vec()
}

pub fn passed() -> Vec<Outcome> {
    vec![Outcome::new("", Status::Passed, "")]
}

pub fn failed(reason: String) -> Vec<Outcome> {
    vec![Outcome::new("", Status::Failed, reason)]
}

pub fn column(kind: Kind) -> Column {
    match kind.is_ours() {
        true => Column::Ours,
        false => Column::Stock,
    }
}

/// What tells the kernels in one column apart.
pub fn note(kind: Kind) -> &'static str {
    match kind {
        Kind::StockOffsetPage | Kind::RustStockVdso => ", other vDSO",
        Kind::RustKasan => ", KASAN",
        Kind::RustStockVdsoKasan => ", other vDSO, KASAN",
        Kind::RustKcsan | Kind::StockKcsan => ", KCSAN",
        _ => "",
    }
}

/// Runs the programs of `list` in a guest.
pub fn boot(
    context: &Context,
    step: &Step,
    kind: Kind,
    list: &List,
    arguments: &[String],
    busy_host: bool,
    share: Option<&Path>,
) -> Result<Transcript> {
    step.expect(list.programs().count() as u64);
    let limit: u32 = list.programs().map(|program| program.limit).sum();
    let guest = Guest {
        name: format!("{}-{}", list.name, kind.name()),
        kind,
        initrd: &initramfs::path(context, kind),
        job: "programs",
        arguments: [&[format!("TIMENS_LIST={}", list.name)], arguments].concat(),
        limit: Duration::from_secs(120 + u64::from(limit)),
        busy_host,
        share,
        machine: list.machine,
    };
    guest::run(context, step, &guest, |_| {})
}

/// Lets every allocation of every operation fail in a guest.
pub fn boot_faults(context: &Context, step: &Step, kind: Kind) -> Result<Transcript> {
    let (rounds, debug) = match kind.watches_itself() {
        // What the allocator's own checks find KASAN finds as well; they only cost time.
        true => (0, "-"),
        // Free objects are not counted as if in use, which CPUs else keep by the sheaf.
        false => (5, "FZP"),
    };
    let initrd = initramfs::pack_job(context, step, kind, "faults", &[])?;
    let guest = Guest {
        name: format!("faults-{}", kind.name()),
        kind,
        initrd: &initrd,
        job: "faults",
        arguments: vec![
            KUNIT_OFF.to_owned(),
            // Each cache's objects are counted by themselves.
            "slab_nomerge".to_owned(),
            format!("slab_debug={debug}"),
            format!("TIMENS_FAULTS_ROUNDS={rounds}"),
        ],
        limit: FAULTS_LIMIT,
        busy_host: false,
        share: None,
        machine: Machine::Fast,
    };
    guest::run(context, step, &guest, |_| {})
}

/// What is to say about a guest's run, beside what its job found.
fn conduct(transcript: &Transcript) -> Vec<Outcome> {
    outcomes(transcript.complaints())
}

/// A test that was skipped has failed.
fn insist(result: &mut Outcome) {
    if result.status == Status::Skipped {
        let why = format!("it was skipped: {}", result.reason);
        *result = Outcome::new(&result.name, Status::Failed, why);
    }
}

/// A failure for each complaint.
fn outcomes(complaints: Vec<String>) -> Vec<Outcome> {
    match complaints {
        none if none.is_empty() => passed(),
        complaints => complaints.into_iter().flat_map(failed).collect(),
    }
}

/// KUnit's results in a kernel's messages; each suite of ours must be among them.
pub fn kunit_results(context: &Context, console: &str) -> Result<Vec<Outcome>> {
    let mut results = ktap::results(context, console)?;
    let ran = |suite: &str| results.iter().any(|result| result.name.starts_with(suite));
    let missing: Vec<_> = OUR_SUITES
        .into_iter()
        .filter(|&suite| !ran(suite))
        .collect();
    for suite in missing {
        results.extend(failed(format!("the suite {suite} did not run")));
    }
    Ok(results)
}

/// Checks that follow each other. One that fails does not keep the others from running.
pub struct Session<'a> {
    context: &'a Context,
    steps: Steps,
    report: Report,
}

impl<'a> Session<'a> {
    pub fn new(context: &'a Context, steps: usize) -> Result<Self> {
        Ok(Self {
            context,
            steps: context.steps(steps)?,
            report: Report::default(),
        })
    }

    /// Takes a check into the report and shows at once what failed.
    pub fn add(&mut self, check: Check) {
        for result in check.results.iter().filter(|r| r.status == Status::Failed) {
            eprintln!("  FAILED {}", check.tell(result));
        }
        self.report.add(check);
    }

    /// Adds what `work` found; an error of its own is a failure.
    pub fn record(
        &mut self,
        name: &str,
        column: Column,
        work: impl FnOnce(&mut Steps) -> Result<Vec<Outcome>>,
    ) {
        let started = Instant::now();
        let results = work(&mut self.steps).unwrap_or_else(|error| failed(format!("{error:#}")));
        self.add(Check {
            name: name.to_owned(),
            column,
            seconds: started.elapsed().as_secs_f64(),
            results,
            failed_before: vec![],
        });
    }

    /// A check that is one step.
    pub fn check(
        &mut self,
        name: &str,
        column: Column,
        work: impl FnOnce(&Step) -> Result<Vec<Outcome>>,
    ) {
        let title = match column {
            Column::Host => name.to_owned(),
            Column::Stock | Column::Ours => format!("{name} ({column})"),
        };
        self.record(name, column, |steps| steps.run(&title, work));
    }

    pub fn build(&mut self, kind: Kind) {
        let context = self.context;
        self.record(&format!("build{}", note(kind)), column(kind), |steps| {
            kbuild::build(context, steps, kind)?;
            Ok(passed())
        });
    }

    pub fn selftests(&mut self) {
        let context = self.context;
        self.check("build selftests", Column::Host, |step| {
            kbuild::selftests(context, step)?;
            Ok(passed())
        });
    }

    /// Builds those that a kernel which watches itself needs more time for.
    pub fn patient_selftests(&mut self) {
        let context = self.context;
        self.check("build patient selftests", Column::Host, |step| {
            kbuild::patient_selftests(context, step)?;
            Ok(passed())
        });
    }

    pub fn pack(&mut self, kind: Kind) {
        let context = self.context;
        let name = format!("pack the guest{}", note(kind));
        self.check(&name, column(kind), |step| {
            initramfs::pack(context, step, kind)?;
            Ok(passed())
        });
    }

    /// Boots a guest that runs the programs of `list`. Gives what it said. On the stock kernel with KCSAN
    /// they are run for what that reports, and what they come to is not looked at: if they did less
    /// there, ours would only compare worse.
    pub fn programs(
        &mut self,
        kind: Kind,
        list: &'static List,
        arguments: &[String],
        busy_host: bool,
        share: Option<&Path>,
    ) -> Option<Transcript> {
        let context = self.context;
        let name = format!("guest: {}{}", list.name, note(kind));
        let mut checks = vec![];
        let mut said = None;
        self.check(&name, column(kind), |step| {
            let transcript = boot(context, step, kind, list, arguments, busy_host, share)?;
            if !transcript.is_witness {
                checks =
                    ktap::programs(context, list, note(kind), column(kind), &transcript.output)?;
            }
            let outcomes = conduct(&transcript);
            said = Some(transcript);
            Ok(outcomes)
        });
        for (mut check, program) in checks.into_iter().zip(list.programs()) {
            // Our kernel has all that they need.
            if kind.is_ours() && programs::is_selftest(program) {
                check.results.iter_mut().for_each(insist);
            }
            self.add(check);
        }
        said
    }

    /// Boots a guest that runs the selftests. Where only the vDSO is another, these are those of time
    /// namespaces.
    pub fn selftest_programs(&mut self, kind: Kind) {
        let list = match kind {
            Kind::RustStockVdsoKasan => &OTHER_VDSO,
            _ => &SELFTESTS,
        };
        self.programs(kind, list, &[KUNIT_OFF.to_owned()], false, None);
    }

    /// Has the tasks of `list` race on a stock kernel, where what is wrong is no failure.
    pub fn stock_races(
        &mut self,
        kind: Kind,
        list: &'static List,
        arguments: &[String],
    ) -> Option<Transcript> {
        let context = self.context;
        let name = format!("guest: {}{}", list.name, note(kind));
        let mut said = None;
        self.check(&name, column(kind), |step| {
            let transcript = boot(context, step, kind, list, arguments, true, None)?;
            let (_, failures) = race::judge(context, kind, list, &transcript)?;
            let outcomes = outcomes([transcript.complaints(), failures].concat());
            said = Some(transcript);
            Ok(outcomes)
        });
        said
    }

    /// Has a stock kernel with KCSAN join namespaces in a race. KCSAN must report it, by a name of
    /// [`RACING`] and for `frozen_offsets`, else its silence about ours says nothing. The reports are
    /// kept as kcsan-stock.txt.
    pub fn witness(&mut self, kind: Kind, arguments: &[String]) {
        let context = self.context;
        let Some(transcript) = self.stock_races(kind, &RACE, arguments) else {
            return;
        };
        let name = format!("KCSAN sees the race{}", note(kind));
        self.check(&name, column(kind), |_| {
            let reports = &transcript.races;
            keep(context, "kcsan-stock", &(reports.join("\n\n") + "\n"))?;
            let races = BTreeSet::from_iter(reports.iter().map(|report| title(report)));
            races.iter().for_each(|race| println!("{race}"));
            let is_it = |report: &String| {
                RACING.iter().any(|name| title(report).contains(name)) && report.contains(FROZEN)
            };
            Ok(match reports.iter().any(is_it) {
                true => races
                    .into_iter()
                    .map(|race| Outcome::new(race, Status::Passed, ""))
                    .collect(),
                false => failed(format!(
                    "it was not reported; {} other races were",
                    races.len() + transcript.races_elsewhere.len()
                )),
            })
        });
    }

    /// Judges the races elsewhere in the kernel that KCSAN has reported, in C: those that are there
    /// without the series are not ours. Gives how often each was reported.
    pub fn elsewhere(&mut self, kinds: [Kind; 2]) -> String {
        let context = self.context;
        let mut text = String::new();
        let name = format!("races elsewhere are stock's{}", note(kinds[1]));
        self.check(&name, Column::Ours, |_| {
            let elsewhere = Elsewhere::read(context, kinds)?;
            text = elsewhere.to_string();
            Ok(outcomes(elsewhere.failures()))
        });
        text
    }

    /// Creates, joins and gives up namespaces. Whether memory is left behind is for `age` to say:
    /// here a kernel that watches itself keeps what was freed, and has to report what is wrong.
    pub fn age(&mut self, kind: Kind) {
        let context = self.context;
        let name = format!("guest: age{}", note(kind));
        self.check(&name, column(kind), |step| {
            let life = age::live(context, step, kind, &age::of_cycles(age::SHORT))?;
            Ok(outcomes(life.problems))
        });
    }

    /// Lets every allocation of every operation fail, and keeps the counts by the kernel's name.
    pub fn faults(&mut self, kind: Kind) {
        let context = self.context;
        let name = format!("guest: faults{}", note(kind));
        let mut results = vec![];
        let started = Instant::now();
        self.check(&name, column(kind), |step| {
            let transcript = boot_faults(context, step, kind)?;
            results = ktap::results(context, &transcript.output)?;
            // How many faults each operation met, and what they came to.
            let lines = transcript.output.lines();
            let counts = lines.filter_map(|line| line.strip_prefix("# "));
            let counts: Vec<_> = counts.collect();
            let counts = counts.join("\n") + "\n";
            let kernel = kind.name().trim_end_matches("-faults");
            keep(context, &format!("faults-{kernel}"), &counts)?;
            Ok(conduct(&transcript))
        });
        self.add(Check {
            name: format!("faults{}", note(kind)),
            column: column(kind),
            seconds: started.elapsed().as_secs_f64(),
            results,
            failed_before: vec![],
        });
    }

    /// Runs the same random operations on a stock kernel and on another one.
    pub fn fuzz(&mut self, kinds: [Kind; 2], (seed, sequences): (u64, u32)) {
        let context = self.context;
        let name = format!("fuzz, seed {seed}{}", note(kinds[1]));
        self.record(&name, column(kinds[1]), |steps| {
            let mut comparison = Comparison::new(kinds, seed);
            comparison.advance(context, steps, sequences)?;
            print!("{}", comparison.explain(context)?);
            Ok(outcomes(comparison.failures()))
        });
    }

    /// Boots our kernel with KUnit enabled and reads its results from the kernel's messages.
    pub fn kunit(&mut self, kind: Kind) {
        let context = self.context;
        let started = Instant::now();
        let arguments = ["kunit.enable=1".into()];
        if let Some(said) = self.programs(kind, &KUNIT, &arguments, false, None) {
            let results = kunit_results(context, &said.console);
            self.add(Check {
                name: format!("KUnit{}", note(kind)),
                column: Column::Ours,
                seconds: started.elapsed().as_secs_f64(),
                results: results.unwrap_or_else(|error| failed(format!("{error:#}"))),
                failed_before: vec![],
            });
        }
    }

    /// Saves and prints the report.
    pub fn finish(self, name: &str) -> Result<bool> {
        self.finish_with(name, "")
    }

    /// The same, with more below the report.
    pub fn finish_with(self, name: &str, more: &str) -> Result<bool> {
        let dir = self.context.out.join("results");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        self.report.save(&dir.join(format!("{name}.json")))?;
        let text = format!("{}{more}", self.report);
        keep(self.context, name, &text)?;
        println!("\n{text}");
        Ok(self.report.counts().failed == 0)
    }
}

/// Preparing the tree and regenerating the patches from it gives what the checkout has.
fn round_trip(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut refresh = Command::new(context.top.join("harness/series/refresh.sh"));
    step.command(refresh.arg("--check"), "round-trip")?;
    Ok(passed())
}

fn tree_scripts(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut script = Command::new(context.top.join("harness/series/tests.sh"));
    let log = step.command(&mut script, "tree-scripts")?;
    ktap::results(context, &ktap::plan_first(&fs::read_to_string(log)?))
}

/// What two 64-bit images, of the stock and of our kernel, read with every counter, those included
/// that no guest here has.
///
/// In a process of its own, which may crash.
pub fn vdso_images(step: &Step, [stock, ours]: [PathBuf; 2]) -> Result<Vec<Outcome>> {
    let mut check = Command::new(env::current_exe()?);
    check.args(["bench-vdso", "--check", "--stock-image"]);
    check.arg(stock).arg("--our-image").arg(ours);
    step.command(&mut check, "vdso-images")?;
    Ok(passed())
}

/// The roots of the crates under harness/.
const OUR_CRATES: [&str; 6] = [
    "src/main.rs",
    "arithmetic/build.rs",
    "arithmetic/src/lib.rs",
    "arithmetic/kernel/build.rs",
    "arithmetic/kernel/src/lib.rs",
    "arithmetic/kunit_tests/src/lib.rs",
];

/// What the series has in Rust, in the kernel's style, and these crates.
fn formatting(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let series = Series::read(context)?;
    let rustfmt = context.toolchain.need("RUSTFMT")?;
    let mut kernel = Command::new(rustfmt);
    kernel
        .current_dir(&context.tree)
        .arg("--check")
        .args(series.ending(&[".rs"]));
    step.command(&mut kernel, "rustfmt-kernel")?;
    let mut harness = Command::new(rustfmt);
    harness.args(["--check", "--edition", "2021"]);
    harness.args(OUR_CRATES.map(|file| context.top.join("harness").join(file)));
    step.command(&mut harness, "rustfmt-harness")?;
    Ok(passed())
}

/// The tests of this crate, and of the kernel's arithmetic on the host, each a result.
fn crate_tests(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    let mut cargo = Command::new(context.toolchain.need("CARGO")?);
    // As `make` builds the crate itself, so that nothing is compiled twice.
    cargo.env("RUSTC", context.toolchain.need("RUSTC")?);
    cargo.args([
        "test",
        "--release",
        "--locked",
        "--workspace",
        "--manifest-path",
    ]);
    cargo.arg(context.top.join("harness/Cargo.toml"));
    cargo.arg("--target-dir").arg(context.out.join("cargo"));
    let log = step.command(&mut cargo, "cargo-test")?;
    let results = cargo_results(&fs::read_to_string(log)?);
    if results.is_empty() {
        bail!("cargo test ran no test");
    }
    Ok(results)
}

fn cargo_results(text: &str) -> Vec<Outcome> {
    text.lines()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .map(|(name, verdict)| match verdict {
            "ok" => Outcome::new(name, Status::Passed, ""),
            other => Outcome::new(name, Status::Skipped, other),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_skipped_has_failed() {
        let status = |status| {
            let mut result = Outcome::new("r", status, "no vDSO");
            insist(&mut result);
            result.status
        };
        assert_eq!(status(Status::Skipped), Status::Failed);
        assert_eq!(status(Status::Passed), Status::Passed);
    }

    #[test]
    fn every_unit_test_is_a_result() {
        let text = "running 2 tests\ntest a::b ... ok\ntest c ... ignored, why\n\
                    test result: ok. 1 passed\n";
        let results = cargo_results(text);
        assert_eq!(results.len(), 2);
        assert_eq!(
            results[1],
            Outcome::new("c", Status::Skipped, "ignored, why")
        );
    }
}
