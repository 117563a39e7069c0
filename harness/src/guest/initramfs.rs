// SPDX-License-Identifier: GPL-2.0

//! Packs the initramfs of a guest.
//!
//! The kernel's gen_init_cpio writes the archive if a file in it has changed.

use super::lists::{List, CLIENT_LISTS, SELFTEST_LISTS};
use crate::{
    context::Context,
    kernel::{
        kernels::{Initramfs, Kernel},
        toolchain::find,
    },
    session::Step,
};
use anyhow::{bail, ensure, Context as _, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

/// Tools of util-linux. The applets of busybox with these names do not support time namespaces.
const TOOLS: [&str; 3] = ["unshare", "nsenter", "lsns"];

/// glibc loads it to cancel a thread, as in timers/posix_timers. ldd does not list it.
const LIBGCC: &str = "libgcc_s.so.1";

/// The files of a guest, by their paths in the guest.
#[derive(Default)]
struct Archive {
    files: BTreeMap<String, PathBuf>,
    links: BTreeMap<String, String>,
    /// Directories that may be empty.
    dirs: BTreeSet<String>,
}

/// Returns the path of the archive that [`pack`] writes.
pub fn path(context: &Context, kernel: &Kernel) -> PathBuf {
    let dir = context.out.join("guest");
    dir.join(format!("{}.cpio", kernel.name))
}

pub fn pack(context: &Context, step: &Step, kernel: &Kernel) -> Result<()> {
    let dir = guest_dir(context)?;
    let archive = match kernel.initramfs {
        Initramfs::Selftests => selftests(context, step, kernel, &dir)?,
        Initramfs::Clients => clients(context, step, &dir)?,
    };
    archive.write(step, &context.build_dir(kernel), path(context, kernel)).map(drop)
}

/// Returns the directory of archives and compiled programs.
fn guest_dir(context: &Context) -> Result<PathBuf> {
    let dir = context.out.join("guest");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Returns the files of the guest that runs selftests.
fn selftests(context: &Context, step: &Step, kernel: &Kernel, dir: &Path) -> Result<Archive> {
    let sources = context.top.join("harness/guest");
    let mut archive = Archive::default();
    archive.add("/init", sources.join("init"));
    for job in ["programs", "demo", "shell", "prefer-util-linux"] {
        archive.add(&format!("/jobs/{job}"), sources.join(job));
    }
    archive.add("/bin/clocks", compile(step, &sources, dir, "clocks")?);
    archive.add_busybox(context.toolchain.need("BUSYBOX")?.into())?;
    let mut dynamic = vec![];
    for tool in TOOLS {
        let path = find(tool)?;
        archive.add(&format!("/usr/bin/{tool}"), path.clone());
        dynamic.push(path);
    }
    archive.add_lists(dir, &SELFTEST_LISTS)?;
    for program in SELFTEST_LISTS.into_iter().flat_map(List::programs) {
        let path = context.selftest(program.path);
        // The guest reports a missing program as a failure.
        if path.exists() {
            archive.add(&format!("/selftests/{}", program.path), path.clone());
            dynamic.push(path);
        }
    }
    for library in libraries(&dynamic)? {
        archive.add(&library.clone(), PathBuf::from(library));
    }
    archive.add(&format!("/lib/{LIBGCC}"), libgcc()?);
    let module = context.build_dir(kernel).join("drivers/misc/ntsync.ko");
    archive.add("/modules/ntsync.ko", module);
    Ok(archive)
}

/// Packs a small guest whose job is a C program in harness/guest, with the files that it reads.
/// Returns the path of the archive.
pub fn pack_job(
    context: &Context,
    step: &Step,
    kernel: &Kernel,
    job: &str,
    files: &[(&str, &Path)],
) -> Result<PathBuf> {
    let dir = guest_dir(context)?;
    let sources = context.top.join("harness/guest");
    let mut archive = Archive::default();
    archive.add("/init", sources.join("init"));
    archive.add(&format!("/jobs/{job}"), compile(step, &sources, &dir, job)?);
    for &(target, source) in files {
        archive.add(target, source.to_owned());
    }
    archive.add_busybox(context.toolchain.need("BUSYBOX")?.into())?;
    let path = dir.join(format!("{job}-{}.cpio", kernel.name));
    archive.write(step, &context.build_dir(kernel), path)
}

/// Returns the files of the guest that runs container runtimes, CRIU and tools.
fn clients(context: &Context, step: &Step, dir: &Path) -> Result<Archive> {
    let sources = context.top.join("harness/guest");
    let clients = sources.join("clients");
    let made = context.out.join("clients");
    let mut archive = Archive::default();
    archive.add_tree(&made.join("root"), "")?;
    archive.add("/init", sources.join("init"));
    archive.add("/jobs/programs", sources.join("programs"));
    for part in ["checks", "containers", "session", "migration"] {
        archive.add(&format!("/jobs/{part}"), clients.join(part));
    }
    archive.add_lists(dir, &CLIENT_LISTS)?;
    for (program, script) in [
        ("oci/crun", "oci"),
        ("oci/runc", "oci"),
        ("tools/util-linux", "util-linux"),
        ("tools/manual", "manual"),
        ("tools/languages", "languages"),
        ("tools/admin-guide", "admin-guide"),
        ("migration/checkpoint", "checkpoint"),
        ("migration/restore", "restore"),
    ] {
        archive.add(&format!("/selftests/{program}"), clients.join(script));
    }
    let manual = made.join("man/usr/share/man/man7/time_namespaces.7.gz");
    archive.add("/jobs/time_namespaces.7.gz", manual);
    let page = "Documentation/admin-guide/namespaces/time.rst";
    archive.add("/jobs/time.rst", context.top.join(page));
    for program in ["clocks", "workload"] {
        archive.add(&format!("/usr/bin/{program}"), compile(step, &sources, dir, program)?);
    }
    for program in ["clock_times", "newtime-go", "newtime-rust"] {
        archive.add(&format!("/usr/bin/{program}"), made.join(program));
    }
    // No links to it: this guest has the tools themselves.
    archive.add("/usr/bin/busybox", context.toolchain.need("BUSYBOX")?.into());
    Ok(archive)
}

/// Packs a guest with these files, by their paths in the guest. Returns the path of the archive.
pub fn pack_files(
    step: &Step,
    build_dir: &Path,
    path: PathBuf,
    files: &[(String, PathBuf)],
) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for (target, source) in files {
        archive.add(target, source.clone());
    }
    archive.write(step, build_dir, path)
}

impl Archive {
    /// Adds a directory with its content. All files become executable.
    fn add_tree(&mut self, source: &Path, target: &str) -> Result<()> {
        let entries =
            fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let target = format!("{target}/{}", name.to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add_tree(&entry.path(), &target)?;
                self.dirs.insert(target);
            } else if kind.is_symlink() {
                let link = fs::read_link(entry.path())?;
                self.links.insert(target, link.display().to_string());
            } else {
                self.add(&target, entry.path());
            }
        }
        Ok(())
    }

    /// Adds lists of programs, for the job harness/guest/programs.
    fn add_lists(&mut self, dir: &Path, lists: &[&List]) -> Result<()> {
        for list in lists {
            let path = dir.join(format!("{}.list", list.name));
            write_if_changed(&path, &list.to_text())?;
            self.add(&format!("/jobs/{}.list", list.name), path);
        }
        Ok(())
    }

    fn add(&mut self, target: &str, source: PathBuf) {
        self.files.insert(target.to_owned(), source);
    }

    /// Adds busybox with links for its applets, except [`TOOLS`].
    fn add_busybox(&mut self, busybox: PathBuf) -> Result<()> {
        if !libraries(std::slice::from_ref(&busybox))?.is_empty() {
            bail!("{} is not static: run `make setup`", busybox.display());
        }
        let applets = Command::new(&busybox)
            .arg("--list")
            .output()
            .with_context(|| format!("cannot run {}", busybox.display()))?;
        if !applets.status.success() {
            bail!("{} --list failed: run `make setup`", busybox.display());
        }
        for applet in String::from_utf8_lossy(&applets.stdout).lines() {
            if applet != "busybox" && !TOOLS.contains(&applet) {
                self.links.insert(format!("/bin/{applet}"), "busybox".to_owned());
            }
        }
        self.add("/bin/busybox", busybox);
        Ok(())
    }

    /// Returns the list that gen_init_cpio reads.
    fn spec(&self) -> Result<String> {
        let mut dirs: BTreeSet<&Path> =
            ["/dev", "/proc", "/sys", "/tmp", "/root", "/run"].map(Path::new).into();
        for target in self.files.keys().chain(self.links.keys()) {
            dirs.extend(Path::new(target).ancestors().skip(1));
        }
        dirs.extend(self.dirs.iter().map(Path::new));
        dirs.remove(Path::new("/"));
        let mut spec = String::new();
        for dir in dirs {
            writeln!(spec, "dir {} 755 0 0", dir.display())?;
        }
        writeln!(spec, "nod /dev/console 600 0 0 c 5 1")?;
        for (target, source) in &self.files {
            writeln!(spec, "file {target} {} 755 0 0", source.display())?;
        }
        for (target, name) in &self.links {
            writeln!(spec, "slink {target} {name} 777 0 0")?;
        }
        Ok(spec)
    }

    /// Writes the archive with gen_init_cpio of a kernel's build, if it is out of date. Returns its
    /// path.
    fn write(&self, step: &Step, build_dir: &Path, path: PathBuf) -> Result<PathBuf> {
        let spec = self.spec()?;
        let stamp = path.with_extension("stamp");
        let state = self.state(&spec)?;
        if path.exists() && fs::read_to_string(&stamp).ok().as_ref() == Some(&state) {
            return Ok(path);
        }
        let list = path.with_extension("spec");
        fs::write(&list, spec).with_context(|| format!("cannot write {}", list.display()))?;
        let mut cpio = Command::new(build_dir.join("usr/gen_init_cpio"));
        cpio.args(["-t", "0", "-o"]).arg(&path).arg(&list);
        step.command(&mut cpio, "initramfs")?;
        fs::write(&stamp, state).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(path)
    }

    /// Returns the list with the size and the time of every file.
    fn state(&self, spec: &str) -> Result<String> {
        let mut state = spec.to_owned();
        for source in self.files.values() {
            let data = fs::metadata(source)
                .with_context(|| format!("cannot read {}", source.display()))?;
            let time = data.modified()?.duration_since(UNIX_EPOCH)?;
            writeln!(state, "{} {} {time:?}", source.display(), data.len())?;
        }
        Ok(state)
    }
}

/// Compiles a program from NAME.c or from all C files in the directory NAME, if one of them or a
/// header is newer than the program.
fn compile(step: &Step, sources: &Path, dir: &Path, name: &str) -> Result<PathBuf> {
    let program = dir.join(format!("{name}.program"));
    let single = sources.join(format!("{name}.c"));
    let of = |dir: &Path, end| files_ending(dir, end);
    let (own, own_headers) = match single.exists() {
        true => (vec![single], vec![]),
        false => {
            let dir = sources.join(name);
            (of(&dir, "c")?, of(&dir, "h")?)
        }
    };
    let headers = [of(sources, "h")?, own_headers].concat();
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let mut inputs = own.iter().chain(&headers);
    if inputs.any(|input| time(&program) < time(input)) {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-I"]);
        gcc.arg(sources);
        // Few segments, so that a task of the benchmark has few VMAs.
        gcc.args(["-Wl,-z,noseparate-code,-z,norelro", "-o"]);
        step.command(gcc.arg(&program).args(&own), name)?;
    }
    Ok(program)
}

/// Returns the sorted files of a directory with this ending.
fn files_ending(dir: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut files = vec![];
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the libraries and the loader of dynamic programs.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for program in programs {
        let ldd = Command::new("ldd")
            .arg(program)
            .env("LC_ALL", "C")
            .output()
            .context("cannot run ldd: install libc-bin")?;
        let text = String::from_utf8_lossy(&ldd.stdout) + String::from_utf8_lossy(&ldd.stderr);
        match parse_ldd(&text) {
            Ok(libraries) if ldd.status.success() || libraries.is_empty() => all.extend(libraries),
            Ok(_) => bail!("ldd {} failed: {}", program.display(), text.trim()),
            Err(missing) => bail!("{} needs {missing}, which is not installed", program.display()),
        }
    }
    Ok(all)
}

fn libgcc() -> Result<PathBuf> {
    let mut gcc = Command::new("gcc");
    let output = gcc.arg(format!("-print-file-name={LIBGCC}")).output();
    let output = output.context("cannot run gcc: run `make setup`")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // gcc prints the name without a path if it does not find the file.
    ensure!(path.is_absolute(), "gcc has no {LIBGCC}: install libgcc-s1");
    Ok(path)
}

/// Parses the output of ldd. Returns the files, or the library that it did not find.
fn parse_ldd(text: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let path = match line.split_once(" => ") {
            Some((name, "not found")) => return Err(name.to_owned()),
            Some((_, path)) => path,
            None => line,
        };
        if let Some((path, _)) = path.split_once(" (0x").filter(|(p, _)| p.starts_with('/')) {
            found.insert(path.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_parsed() {
        let text = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f00)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x7f01)\n";
        let libraries: Vec<_> = parse_ldd(text).unwrap().into_iter().collect();
        assert_eq!(libraries, ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(parse_ldd("\tlibcap.so.2 => not found\n").unwrap_err(), "libcap.so.2");
        assert!(parse_ldd("\tnot a dynamic executable\n").unwrap().is_empty());
    }

    #[test]
    fn every_directory_is_listed() {
        let mut archive = Archive::default();
        archive.add("/a/b/c", "/bin/sh".into());
        let spec = archive.spec().unwrap();
        assert!(spec.contains("dir /a 755 0 0\ndir /a/b 755 0 0\n"), "{spec}");
        assert!(spec.contains("file /a/b/c /bin/sh 755 0 0\n"));
    }
}
