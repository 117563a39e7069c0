// SPDX-License-Identifier: GPL-2.0

//! The progress of a command: step n of m, the time, and a bar where the count is known.
//!
//! On a terminal one line is updated. A log gets plain lines, one a minute while a step runs.

use anyhow::{bail, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    cell::Cell,
    fs::{self, File},
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const HEARTBEAT: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);
/// The interval for polling a child process.
pub const POLL: Duration = Duration::from_millis(50);
const TAIL_LINES: usize = 25;

pub struct Steps {
    total: usize,
    done: usize,
    log_dir: PathBuf,
}

pub struct Step {
    label: String,
    log_dir: PathBuf,
    bar: ProgressBar,
    started: Instant,
    next_beat: Cell<Instant>,
}

impl Steps {
    pub fn new(total: usize, log_dir: &Path) -> Result<Self> {
        fs::create_dir_all(log_dir)
            .with_context(|| format!("cannot create {}", log_dir.display()))?;
        Ok(Self { total, done: 0, log_dir: log_dir.to_owned() })
    }

    /// Runs `work` as the next step and prints its verdict.
    pub fn run<T>(&mut self, title: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        self.done += 1;
        let label = format!("[{}/{}] {title}", self.done, self.total);
        Step::new(label, &self.log_dir).run(work)
    }

    /// Returns a step without output, for work after the last step.
    pub fn quiet(&self) -> Step {
        Step {
            label: String::new(),
            log_dir: self.log_dir.clone(),
            bar: ProgressBar::hidden(),
            started: Instant::now(),
            next_beat: Cell::new(Instant::now() + NEVER),
        }
    }
}

impl Step {
    fn new(label: String, log_dir: &Path) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::no_length()
        } else {
            eprintln!("{label} …");
            ProgressBar::hidden()
        };
        bar.set_style(style("{spinner} {prefix} {elapsed_precise}  {wide_msg}"));
        bar.set_prefix(label.clone());
        Self {
            label,
            log_dir: log_dir.to_owned(),
            bar,
            started: Instant::now(),
            next_beat: Cell::new(Instant::now() + HEARTBEAT),
        }
    }

    /// Returns the step without output, for a second thread.
    pub fn quiet(&self) -> Self {
        Self {
            label: self.label.clone(),
            log_dir: self.log_dir.clone(),
            bar: ProgressBar::hidden(),
            started: self.started,
            next_beat: Cell::new(Instant::now() + NEVER),
        }
    }

    fn run<T>(self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let result = work(&self);
        let verdict = if result.is_ok() { "done" } else { "FAILED" };
        let time = seconds(self.started.elapsed());
        self.clear();
        self.bar.suspend(|| eprintln!("{} … {verdict} ({time})", self.label));
        result
    }

    /// Replaces the spinner by a bar of `total` units.
    pub fn expect(&self, total: u64) {
        self.bar.set_style(style("{prefix} {elapsed_precise} [{bar:24}] {pos}/{len}  {wide_msg}"));
        self.bar.set_length(total);
    }

    /// Updates the progress. Call it about every [`POLL`].
    pub fn progress(&self, position: u64, message: &str) {
        // The expected total is an estimate.
        if self.bar.length().is_some_and(|length| length < position) {
            self.bar.set_length(position);
        }
        self.bar.set_position(position);
        self.bar.set_message(message.to_owned());
        self.bar.tick();
        if self.bar.is_hidden() && Instant::now() >= self.next_beat.get() {
            self.next_beat.set(Instant::now() + HEARTBEAT);
            eprintln!("{} … {}: {message}", self.label, seconds(self.started.elapsed()));
        }
    }

    /// Prints a line above the progress.
    pub fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Removes the progress, so that another program can use the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.log_dir.join(name)
    }

    /// Runs `command`, writes its output to the log `name`, and returns the path of the log. On
    /// failure prints the end of the log.
    pub fn command(&self, command: &mut Command, name: &str) -> Result<PathBuf> {
        let program = command.get_program().to_string_lossy().into_owned();
        let path = self.log(&format!("{name}.log"));
        let mut log =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(log, "$ {command:?}")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {program}: run `make setup`"))?;
        let mut follow = Follower::open(&path)?;
        let mut lines = 0;
        let mut last = String::new();
        let status = loop {
            let status = child.try_wait()?;
            for line in follow.lines()? {
                // make and cargo indent the lines about their progress.
                if line.starts_with("  ") {
                    lines += 1;
                    last = line;
                }
            }
            if let Some(status) = status {
                break status;
            }
            self.progress(lines, last.trim());
            thread::sleep(POLL);
        };
        if status.success() {
            return Ok(path);
        }
        self.show_tail(&path);
        bail!("{program}: {status}; see {}", path.display())
    }

    /// Prints the last lines of a log.
    pub fn show_tail(&self, path: &Path) {
        self.bar.suspend(|| {
            eprintln!("--- end of {}", path.display());
            for line in tail(path) {
                eprintln!("| {line}");
            }
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Returns the last lines of a file, without control characters. Returns none if there is no file.
fn tail(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| line.replace(|c: char| c.is_control() && c != '\t', ""))
        .collect()
}

/// Reads lines from a file that another process is writing.
pub struct Follower {
    file: File,
    rest: Vec<u8>,
}

impl Follower {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { file, rest: vec![] })
    }

    /// Returns the lines completed since the last call.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        self.file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(vec![]);
        };
        let complete: Vec<u8> = self.rest.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_lines_are_returned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = File::create(&path).unwrap();
        let mut follow = Follower::open(&path).unwrap();
        write!(file, "one\ntw").unwrap();
        assert_eq!(follow.lines().unwrap(), ["one"]);
        write!(file, "o\r\nthree\n").unwrap();
        assert_eq!(follow.lines().unwrap(), ["two", "three"]);
        assert!(follow.lines().unwrap().is_empty());
    }

    #[test]
    fn the_error_of_a_command_names_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Steps::new(1, dir.path()).unwrap();
        let error = steps
            .run("fails", |step| {
                step.command(Command::new("sh").args(["-c", "echo no; exit 3"]), "x")
            })
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 3") && error.contains("x.log"), "{error}");
        assert_eq!(tail(&dir.path().join("x.log")).last().unwrap(), "no");
    }
}
