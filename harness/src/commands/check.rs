// SPDX-License-Identifier: GPL-2.0

//! `check`: the kernel's own checkers on the series.

use super::plan::pack;
use crate::{
    context::Context,
    guest::ktap,
    jobs::{programs, Place},
    kernel::{
        build,
        kernels::{Kernel, RUST_LINT},
        series::{git, Series},
        toolchain::find,
        warnings::warnings,
    },
    session::{passed, skipped, unless, Check, Column, Outcome, Session, Status, Step},
};
use anyhow::{bail, Context as _, Result};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The kernel that clippy builds and that runs the doctests.
static KERNEL: &Kernel = &RUST_LINT;

/// Six checks of the files, the build and five checks with it, the archive and the guest.
const STEPS: usize = 6 + 1 + 5 + 2;

/// The remarks of checkpatch that are ignored: the type, a text in the place or the line, and the
/// reason.
const EXCEPTIONS: [(&str, &str, &str); 7] = [
    ("UNKNOWN_COMMIT_ID", "", "the prepared tree has no commits of Linux"),
    ("FILE_PATH_CHANGES", "", "the check of MAINTAINERS covers each file"),
    ("EXPORT_SYMBOL", "do_timens_ktime_to_host", "the function is in Rust, which cannot export it"),
    ("SPACING", "FIXTURE_", "the macro expands to a type, and `*` is a pointer"),
    (
        "LINE_SPACING",
        "struct sibling *sibling = data;",
        "a declaration follows, which begins with a macro",
    ),
    ("VOLATILE", "selftests/timens/", "the value of the read is not used"),
    ("ARCH_DEFINES", "selftests/timens/", "the program is for one architecture"),
];

/// The C file that the vDSO includes, and the object with it.
const VDSO_SOURCE: (&str, &str) =
    ("lib/vdso/gettimeofday.c", "arch/x86/entry/vdso/vdso64/vclock_gettime.o");

pub fn check(context: &Context) -> Result<bool> {
    let series = &Series::read(context)?;
    let mut session = Session::new(context, STEPS)?;
    let host = Column::Host;
    session.check("checkpatch --strict", host, |step| checkpatch(context, step, series));
    session.check("spelling", host, |step| spelling(context, step, series));
    session.check("MAINTAINERS: patterns", host, |step| patterns(context, step));
    session.check("MAINTAINERS: every file", host, |_| maintainers(context, series));
    session.check("srctree links", host, |_| srctree_links(context, series));
    session.check("kernel-doc", host, |_| kernel_doc(context, series));

    session.check("CLIPPY=1", host, |step| {
        // Only an object that is compiled again warns again.
        for object in ["rust/kernel.o", "kernel/time/namespace_rs.o"] {
            let object = context.build_dir(KERNEL).join(object);
            if object.exists() {
                fs::remove_file(&object)
                    .with_context(|| format!("cannot remove {}", object.display()))?;
            }
        }
        build::build(context, step, KERNEL)?;
        let log = step.log(&format!("build-{}.log", KERNEL.name));
        Ok(series_warnings(&fs::read_to_string(log)?, series))
    });
    session.check("rustfmtcheck", host, |step| {
        step.command(build::make(context, KERNEL)?.arg("rustfmtcheck"), "rustfmtcheck")?;
        Ok(passed())
    });
    session.check("Sphinx", host, |step| sphinx(context, step, series));
    session.check("rustdoc", host, |step| {
        let log = step.command(build::make(context, KERNEL)?.arg("rustdoc"), "rustdoc")?;
        Ok(series_warnings(&fs::read_to_string(log)?, series))
    });
    session.check("rustdoc: namespace_rs", host, |step| crate_docs(context, step, series));
    session.check("sparse", host, |step| sparse(context, step, series));
    pack(&mut session, KERNEL);
    session.run("doctests", Column::Rust, |step| doctests(context, step, series));
    session.finish("check", "")
}

/// Returns a command that runs a script of the kernel in the prepared tree, with the distribution's
/// Python, which has the modules.
fn script(context: &Context, interpreter: &str, path: &str) -> Command {
    let search = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(interpreter);
    command.current_dir(&context.tree).env("PATH", format!("/usr/bin:{search}")).arg(path);
    command
}

/// Returns the output of a command, and ignores its exit status.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Returns a skipped result if a program is missing. It names the package.
fn skip_without(program: &str, package: &str) -> Option<Vec<Outcome>> {
    find(program)
        .is_err()
        .then(|| skipped(format!("{program} is not installed: apt-get install {package}")))
}

/// Writes the series as mails. Returns their paths.
fn mails(context: &Context, series: &Series) -> Result<Vec<PathBuf>> {
    let dir = context.out.join("check");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    let to = dir.display().to_string();
    let range = format!("{}..HEAD", series.base);
    let written =
        git(context, &["format-patch", "--no-signature", "--no-renames", "-o", &to, &range])?;
    Ok(written.lines().map(PathBuf::from).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A remark of checkpatch.
#[derive(Debug, PartialEq)]
struct Remark<'a> {
    kind: &'a str,
    text: &'a str,
    place: &'a str,
    line: &'a str,
}

fn remarks(output: &str) -> Vec<Remark<'_>> {
    let mut remarks = vec![];
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(3, ':');
        let (Some("ERROR" | "WARNING" | "CHECK"), Some(kind), Some(text)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let place = lines.next_if(|line| line.starts_with('#')).unwrap_or_default();
        let line = lines.next_if(|line| line.starts_with('+')).unwrap_or_default();
        remarks.push(Remark {
            kind,
            text: text.trim(),
            place: place.split_once("FILE: ").map_or("", |(_, place)| place),
            line,
        });
    }
    remarks
}

fn exception(remark: &Remark) -> Option<&'static str> {
    let (_, _, why) = EXCEPTIONS.into_iter().find(|(kind, text, _)| {
        remark.kind == *kind && (remark.line.contains(text) || remark.place.contains(text))
    })?;
    Some(why)
}

/// Runs checkpatch on each patch, without the check for sign-offs, which the submitter adds.
fn checkpatch(context: &Context, step: &Step, series: &Series) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![];
    let mails = mails(context, series)?;
    step.expect(mails.len() as u64);
    for (number, mail) in mails.iter().enumerate() {
        step.progress(number as u64, &name_of(mail));
        let mut checkpatch = script(context, "perl", "scripts/checkpatch.pl");
        checkpatch
            .args(["--strict", "--no-signoff", "--codespell", "--show-types", "--no-summary"])
            .arg(mail);
        let output = output(&mut checkpatch)?;
        let name = name_of(mail);
        let before = outcomes.len();
        let mut exceptions = BTreeSet::new();
        for remark in remarks(&output) {
            if let Some(why) = exception(&remark) {
                exceptions.insert(format!("{}: {why}", remark.kind));
                continue;
            }
            let Remark { kind, text, place, .. } = remark;
            outcomes.push(Outcome::new(&name, Status::Failed, format!("{place} {kind}: {text}")));
        }
        if output.contains("Traceback") {
            let reason = "spdxcheck.py lacks its modules: apt-get install python3-ply python3-git";
            outcomes.push(Outcome::new(&name, Status::Skipped, reason));
        }
        if outcomes.len() == before {
            outcomes.push(Outcome::new(&name, Status::Passed, ""));
        }
        outcomes.extend(
            exceptions.into_iter().map(|exception| Outcome::new(&name, Status::Skipped, exception)),
        );
    }
    Ok(outcomes)
}

/// Runs codespell on the patches and their messages.
fn spelling(context: &Context, step: &Step, series: &Series) -> Result<Vec<Outcome>> {
    if let Some(skipped) = skip_without("codespell", "codespell") {
        return Ok(skipped);
    }
    step.progress(0, "codespell");
    let mut codespell = Command::new("codespell");
    codespell.args(["--ignore-words-list", "crate"]);
    codespell.args(mails(context, series)?);
    Ok(unless(output(&mut codespell)?.lines().map(str::to_owned)))
}

/// Checks that each pattern that the series adds to MAINTAINERS matches a file.
fn patterns(context: &Context, step: &Step) -> Result<Vec<Outcome>> {
    step.progress(0, "get_maintainer.pl");
    let mut test = script(context, "perl", "scripts/get_maintainer.pl");
    let errors = output(test.arg("--self-test=patterns"))?;
    of_added_lines(context, &errors)
}

const RUST_LIST: &str = "rust-for-linux@vger.kernel.org";

/// Checks that MAINTAINERS has an entry for each new file, and the mailing list for each file in
/// Rust.
fn maintainers(context: &Context, series: &Series) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![];
    for file in &series.files {
        let mut ask = script(context, "perl", "scripts/get_maintainer.pl");
        ask.args(["--no-git", "--no-git-fallback", "--no-rolestats", "--no-keywords"]);
        let entries = output(ask.args(["--no-email", "--subsystem", "-f", file]))?;
        // The output has mailing lists, too.
        let has_entry = entries.lines().any(|entry| !entry.contains('@') && entry != "THE REST");
        let listed = !file.ends_with(".rs") || entries.contains(RUST_LIST);
        let (status, reason) = match (has_entry, series.added.contains(file)) {
            (true, _) if !listed => (Status::Failed, "MAINTAINERS lacks the mailing list for Rust"),
            (true, _) => (Status::Passed, ""),
            (false, true) => (Status::Failed, "MAINTAINERS has no entry for it"),
            (false, false) => (Status::Skipped, "Linux has no entry for it either"),
        };
        outcomes.push(Outcome::new(file, status, reason));
    }
    Ok(outcomes)
}

/// Checks that linked files exist.
fn srctree_links(context: &Context, series: &Series) -> Result<Vec<Outcome>> {
    let mut broken = vec![];
    for file in series.ending(&[".rs"]) {
        let text = fs::read_to_string(context.tree.join(file))?;
        for link in text.split("(srctree/").skip(1) {
            let (path, _) = link.split_once(')').unwrap_or((link, ""));
            if !context.tree.join(path).exists() {
                broken.push(format!("{file} links to {path}, which does not exist"));
            }
        }
    }
    Ok(unless(broken))
}

fn kernel_doc(context: &Context, series: &Series) -> Result<Vec<Outcome>> {
    let mut check = script(context, "python3", "scripts/kernel-doc");
    check.args(["-none", "-Wall"]).args(c_files(series));
    of_added_lines(context, &output(&mut check)?)
}

/// Returns the C files of the series outside of tools/.
fn c_files(series: &Series) -> impl Iterator<Item = &str> {
    let files = series.ending(&[".c", ".h"]);
    files.filter(|file| !file.starts_with("tools/"))
}

/// Returns the errors about lines that the series adds, as failures. An error has a file and a
/// line.
fn of_added_lines(context: &Context, errors: &str) -> Result<Vec<Outcome>> {
    let mut found = vec![];
    for (file, added) in Series::added_lines(context, &[])? {
        for error in errors.lines() {
            let place = error.split_once(&format!("{file}:"));
            let line = place.and_then(|(_, rest)| {
                let mut digits = rest.split(|c: char| !c.is_ascii_digit());
                digits.next()?.parse().ok()
            });
            if line.is_some_and(|line| added.iter().any(|lines| lines.contains(&line))) {
                found.push(error.to_owned());
            }
        }
    }
    Ok(unless(found))
}

/// Builds the pages that the series changes as HTML, without a warning.
fn sphinx(context: &Context, step: &Step, series: &Series) -> Result<Vec<Outcome>> {
    let pages: Vec<_> = series.ending(&[".rst"]).collect();
    if pages.is_empty() {
        return Ok(skipped("the series has no .rst file".to_owned()));
    }
    if let Some(skipped) = skip_without("sphinx-build", "python3-sphinx") {
        return Ok(skipped);
    }
    let inside = |page: &&str| {
        Some(Path::new(page).strip_prefix("Documentation").ok()?.parent()?.display().to_string())
    };
    let dirs: BTreeSet<_> = pages.iter().filter_map(inside).collect();
    let dirs: Vec<_> = dirs.into_iter().collect();
    let mut make = build::make(context, KERNEL)?;
    let search = env::var("PATH").unwrap_or_default();
    make.env("PATH", format!("/usr/bin:{search}"));
    // In Documentation/Makefile the variable holds options, not the tool.
    make.arg("RUSTDOC=");
    make.arg(format!("SPHINXDIRS={}", dirs.join(" "))).arg("htmldocs");
    let log = fs::read_to_string(step.command(&mut make, "sphinx")?)?;
    let about = |line: &&str| {
        (line.contains("WARNING") || line.contains("ERROR"))
            && pages.iter().any(|page| line.contains(page))
    };
    Ok(unless(log.lines().filter(about).map(str::to_owned)))
}

/// Returns the warnings in a log about files of the series, as failures.
fn series_warnings(log: &str, series: &Series) -> Vec<Outcome> {
    let of_series = warnings(log).into_iter();
    let of_series = of_series.filter(|warning| warning.is_of_series(series));
    unless(of_series.map(|warning| warning.text))
}

/// Builds the documentation of namespace_rs, which `make rustdoc` does not cover, with its private
/// items.
fn crate_docs(context: &Context, step: &Step, series: &Series) -> Result<Vec<Outcome>> {
    let dir = context.build_dir(KERNEL);
    let built = dir.join("kernel/time/.namespace_rs.o.cmd");
    let text = fs::read_to_string(&built)
        .with_context(|| format!("cannot read {}: it was not built", built.display()))?;
    // VARIABLE=VALUE… COMPILER OPTION… --out-dir …
    let command = text
        .split_once(" := ")
        .and_then(|(_, command)| command.split_once(" --out-dir "))
        .and_then(|(compile, _)| compile.split_once(" --edition="));
    let Some((environment, options)) = command else {
        bail!("{} has no command of the expected form", built.display());
    };
    let (environment, _) = environment.rsplit_once(' ').unwrap_or_default();
    let rustdoc = context.toolchain.need("RUSTDOC")?;
    let options = options.replace("--remap-path-scope=macro", "");
    let output = context.out.join("check/rustdoc");
    let source = context.tree.join("kernel/time/namespace_rs.rs");
    let mut shell = Command::new("sh");
    shell.current_dir(dir).env("RUSTC_BOOTSTRAP", "1").arg("-c");
    shell.arg(format!(
        "{environment} {rustdoc} --edition={options} --document-private-items \
         -Arustdoc::private_intra_doc_links --crate-name namespace_rs --output {} {}",
        output.display(),
        source.display()
    ));
    let log = step.command(&mut shell, "rustdoc-namespace_rs")?;
    Ok(series_warnings(&fs::read_to_string(log)?, series))
}

/// Runs sparse on the C files of the series in this kernel.
fn sparse(context: &Context, step: &Step, series: &Series) -> Result<Vec<Outcome>> {
    let sparse = env::var("SPARSE").unwrap_or_else(|_| "sparse".to_owned());
    let valid = output(script(context, "sh", "scripts/checker-valid.sh").arg(&sparse))?;
    if valid.trim() != "1" {
        return Ok(skipped(format!(
            "{sparse} is missing or older than 0.6.5, which this kernel needs: set SPARSE="
        )));
    }
    let dir = context.build_dir(KERNEL);
    let mut results = vec![];
    let mut objects = BTreeSet::new();
    for file in c_files(series).filter(|file| file.ends_with(".c")) {
        let (source, object) = VDSO_SOURCE;
        let object = match file == source {
            true => object.to_owned(),
            false => file.replace(".c", ".o"),
        };
        match dir.join(&object).exists() {
            true => drop(objects.insert(object)),
            false => results.push(Outcome::new(file, Status::Skipped, "is not in this kernel")),
        }
    }
    let mut make = build::make(context, KERNEL)?;
    make.arg("C=2").arg(format!("CHECK={sparse}")).args(&objects);
    let log = fs::read_to_string(step.command(&mut make, "sparse")?)?;
    let about = |line: &&str| {
        let (path, message) = line.split_once(':').unwrap_or_default();
        [": warning: ", ": error: "].iter().any(|word| message.contains(word))
            && series.files.iter().any(|file| path.ends_with(file.as_str()))
    };
    results.extend(unless(log.lines().filter(about).map(str::to_owned)));
    Ok(results)
}

/// Runs the doctests of the series as KUnit tests.
fn doctests(context: &Context, step: &Step, series: &Series) -> Result<Vec<Check>> {
    let place = Place {
        context,
        step,
        kernel: KERNEL,
        arguments: &["kunit.filter_glob=rust_doctests_kernel".to_owned()],
    };
    let transcript = programs::boot(place, &crate::guest::lists::KUNIT, true, &[])?;
    let results = ktap::results(context, &transcript.console)?;
    Ok(vec![
        Check::new("guest: doctests", Column::Rust, unless(transcript.failures(KERNEL))),
        Check::new("doctests", Column::Rust, examples(context, series, &results)),
    ])
}

/// Returns the results of new files. Each file with an example must have one.
fn examples(context: &Context, series: &Series, results: &[Outcome]) -> Vec<Outcome> {
    let mut found = vec![];
    for file in series.added.iter().filter(|file| file.starts_with("rust/kernel/")) {
        let text = fs::read_to_string(context.tree.join(file)).unwrap_or_default();
        if !text.contains("/// ```\n") {
            continue;
        }
        // The name of tests in scripts/rustdoc_test_gen.rs.
        let name = file.trim_start_matches("rust/").replace(['/', '.'], "_");
        let of_file = results.iter().filter(|result| result.name.contains(&name));
        let before = found.len();
        found.extend(of_file.cloned());
        if found.len() == before {
            found.push(Outcome::failure(format!("no example of {file} ran")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_of_checkpatch_are_parsed() {
        let text = "WARNING:VOLATILE: usually wrong\n#9: FILE: a/b.c:3:\n+\tvolatile x;\n\n\
                    WARNING:FILE_PATH_CHANGES: added file\n#5: \nnew file mode 100644\n\ntotal: 1\n";
        let found = remarks(text);
        assert_eq!(
            found[0],
            Remark {
                kind: "VOLATILE",
                text: "usually wrong",
                place: "a/b.c:3:",
                line: "+\tvolatile x;"
            }
        );
        assert_eq!(found.len(), 2);
        assert!(exception(&found[0]).is_none() && exception(&found[1]).is_some());
    }
}
