// SPDX-License-Identifier: GPL-2.0

//! Packs what a guest runs: busybox, the real util-linux tools, the selftests, the job scripts.
//!
//! The archive is written by the kernel's own gen_init_cpio, and only when something in it changed.

use crate::{
    kbuild::Kind,
    programs::{self, List},
    steps::Step,
    toolchain::find,
    Context,
};
use anyhow::{bail, Context as _, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

/// The real tools; busybox has applets of these names that know nothing of time namespaces.
const TOOLS: [&str; 3] = ["unshare", "nsenter", "lsns"];

/// The files of a guest by their path in it.
#[derive(Default)]
struct Image {
    files: BTreeMap<String, PathBuf>,
    links: BTreeMap<String, String>,
    /// Those that are there even if empty.
    dirs: BTreeSet<String>,
}

/// The archive of one kernel's guest.
pub fn path(context: &Context, kind: Kind) -> PathBuf {
    context
        .out
        .join("guest")
        .join(format!("{}.cpio", kind.name()))
}

/// Packs the guest of one kernel and gives the archive's path.
pub fn pack(context: &Context, step: &Step, kind: Kind) -> Result<PathBuf> {
    let dir = context.out.join("guest");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let sources = context.top.join("harness/guest");

    let mut image = Image::default();
    image.add("/init", sources.join("init"));
    for job in ["programs", "demo", "shell", "real-tools"] {
        image.add(&format!("/jobs/{job}"), sources.join(job));
    }
    image.add("/bin/clocks", compile(step, &sources, &dir, "clocks")?);
    image.add_busybox(context.toolchain.need("BUSYBOX")?.into())?;
    let mut dynamic = vec![];
    for tool in TOOLS {
        let path = find(tool)?;
        image.add(&format!("/usr/bin/{tool}"), path.clone());
        dynamic.push(path);
    }
    image.add_lists(&dir, &programs::LISTS)?;
    for program in programs::all() {
        let path = context.selftest(kind, program.path);
        // One that was not built is told of by the guest, as a failure of that program.
        if path.exists() {
            image.add(&format!("/selftests/{}", program.path), path.clone());
            dynamic.push(path);
        }
    }
    for library in libraries(&dynamic)? {
        image.add(&library.clone(), PathBuf::from(library));
    }
    let module = context.build_dir(kind).join("drivers/misc/ntsync.ko");
    image.add("/modules/ntsync.ko", module);
    image.write(step, &context.build_dir(kind), path(context, kind))
}

/// Packs a small guest whose job is a program of harness/guest, which may read other files, and gives
/// the archive's path.
pub fn pack_job(
    context: &Context,
    step: &Step,
    kind: Kind,
    job: &str,
    files: &[(&str, &Path)],
) -> Result<PathBuf> {
    let dir = context.out.join("guest");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let sources = context.top.join("harness/guest");

    let mut image = Image::default();
    image.add("/init", sources.join("init"));
    image.add(&format!("/jobs/{job}"), compile(step, &sources, &dir, job)?);
    for &(target, source) in files {
        image.add(target, source.to_owned());
    }
    image.add_busybox(context.toolchain.need("BUSYBOX")?.into())?;
    let archive = dir.join(format!("{job}-{}.cpio", kind.name()));
    image.write(step, &context.build_dir(kind), archive)
}

/// Packs the guest that has container runtimes and CRIU, and gives the archive's path.
pub fn pack_clients(context: &Context, step: &Step, kind: Kind) -> Result<PathBuf> {
    let dir = context.out.join("guest");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let sources = context.top.join("harness/guest");
    let clients = sources.join("clients");
    let made = context.out.join("clients");

    let mut image = Image::default();
    image.add_tree(&made.join("root"), "")?;
    image.add("/init", sources.join("init"));
    image.add("/jobs/programs", sources.join("programs"));
    for part in ["checks", "containers", "session", "travellers"] {
        image.add(&format!("/jobs/{part}"), clients.join(part));
    }
    image.add_lists(&dir, &programs::CLIENT_LISTS)?;
    for (program, script) in [
        ("oci/crun", "oci"),
        ("oci/runc", "oci"),
        ("tools/util-linux", "util-linux"),
        ("tools/manual", "manual"),
        ("tools/languages", "languages"),
        ("tools/page", "page"),
        ("move/leave", "leave"),
        ("move/arrive", "arrive"),
    ] {
        image.add(&format!("/selftests/{program}"), clients.join(script));
    }
    let manual = made.join("man/usr/share/man/man7/time_namespaces.7.gz");
    image.add("/jobs/time_namespaces.7.gz", manual);
    let page = "Documentation/admin-guide/namespaces/time.rst";
    image.add("/jobs/time.rst", context.top.join(page));
    for program in ["clocks", "traveller"] {
        image.add(
            &format!("/usr/bin/{program}"),
            compile(step, &sources, &dir, program)?,
        );
    }
    for program in ["clock_times", "newtime-go", "newtime-rust"] {
        image.add(&format!("/usr/bin/{program}"), made.join(program));
    }
    // Without links to it: the real tools are there.
    image.add(
        "/usr/bin/busybox",
        context.toolchain.need("BUSYBOX")?.into(),
    );
    image.write(step, &context.build_dir(kind), path(context, kind))
}

/// Packs a guest that has nothing but some static programs and what they read, and gives the
/// archive's path.
pub fn pack_files(
    step: &Step,
    build_dir: &Path,
    archive: PathBuf,
    files: &[(String, PathBuf)],
) -> Result<PathBuf> {
    let mut image = Image::default();
    for (target, source) in files {
        image.add(target, source.clone());
    }
    image.write(step, build_dir, archive)
}

impl Image {
    /// A directory with all that is in it. The rights of files are not kept.
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

    /// Lists of programs, for the guest's `programs` job.
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

    /// busybox under every name it has, except those of the real tools.
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
                self.links
                    .insert(format!("/bin/{applet}"), "busybox".to_owned());
            }
        }
        self.add("/bin/busybox", busybox);
        Ok(())
    }

    /// The image in gen_init_cpio's own format.
    fn spec(&self) -> Result<String> {
        let mut dirs: BTreeSet<&Path> = ["/dev", "/proc", "/sys", "/tmp", "/root", "/run"]
            .map(Path::new)
            .into();
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

    /// Writes an archive by what a kernel's build has for it, unless it is there already, and gives
    /// its path.
    fn write(&self, step: &Step, build_dir: &Path, archive: PathBuf) -> Result<PathBuf> {
        let spec = self.spec()?;
        let stamp = archive.with_extension("stamp");
        let state = self.state(&spec)?;
        if archive.exists() && fs::read_to_string(&stamp).ok().as_ref() == Some(&state) {
            return Ok(archive);
        }
        let list = archive.with_extension("spec");
        fs::write(&list, spec).with_context(|| format!("cannot write {}", list.display()))?;
        let mut cpio = Command::new(build_dir.join("usr/gen_init_cpio"));
        cpio.args(["-t", "0", "-o"]).arg(&archive).arg(&list);
        step.command(&mut cpio, "initramfs")?;
        fs::write(&stamp, state).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(archive)
    }

    /// What the archive's content depends on: its list, and size and time of every file.
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

/// Compiles a program of the guest, when its source is newer, or what it may include.
fn compile(step: &Step, sources: &Path, dir: &Path, name: &str) -> Result<PathBuf> {
    let (source, program) = (sources.join(format!("{name}.c")), dir.join(name));
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let sources = [source.clone(), sources.join("settle.h")];
    if sources.iter().any(|source| time(&program) < time(source)) {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-static"]);
        // Few segments, as a task of the benchmark is to have few VMAs.
        gcc.args(["-Wl,-z,noseparate-code,-z,norelro", "-o"]);
        step.command(gcc.arg(&program).arg(&source), name)?;
    }
    Ok(program)
}

fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The libraries and the loader that dynamic programs need, as ldd names them.
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
            Err(missing) => bail!(
                "{} needs {missing}, which is not installed",
                program.display()
            ),
        }
    }
    Ok(all)
}

/// The files in ldd's output, or the library that it did not find.
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
    fn reads_ldd() {
        let text = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f00)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x7f01)\n";
        let libraries: Vec<_> = parse_ldd(text).unwrap().into_iter().collect();
        assert_eq!(
            libraries,
            ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
        assert_eq!(
            parse_ldd("\tlibcap.so.2 => not found\n").unwrap_err(),
            "libcap.so.2"
        );
        assert!(parse_ldd("\tnot a dynamic executable\n")
            .unwrap()
            .is_empty());
    }

    #[test]
    fn the_specification_names_every_directory() {
        let mut image = Image::default();
        image.add("/a/b/c", "/bin/sh".into());
        let spec = image.spec().unwrap();
        assert!(
            spec.contains("dir /a 755 0 0\ndir /a/b 755 0 0\n"),
            "{spec}"
        );
        assert!(spec.contains("file /a/b/c /bin/sh 755 0 0\n"));
    }
}
