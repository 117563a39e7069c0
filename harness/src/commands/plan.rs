// SPDX-License-Identifier: GPL-2.0

//! A plan has the jobs of a command on each kernel, and runs them.

use crate::{
    context::Context,
    guest::{clients, initramfs},
    jobs::{column, Findings, Job, Place},
    kernel::{
        build,
        kernels::{Initramfs, Kernel, Tree, STOCK},
        selftests, series,
    },
    session::{passed, Column, Outcome, Session, Step},
};
use anyhow::{ensure, Context as _, Result};
use clap::Args;
use std::process::Command;

/// A check on the host, before kernels are built.
#[derive(Clone, Copy)]
pub struct HostCheck {
    pub name: &'static str,
    pub run: fn(&Context, &Step) -> Result<Vec<Outcome>>,
}

/// The jobs of a command on each kernel, in the order in which they run.
pub struct Plan {
    name: &'static str,
    host: Vec<HostCheck>,
    rows: Vec<(&'static Kernel, Vec<Job>)>,
    no_build: bool,
    /// More arguments of a kernel's guests.
    arguments: fn(&Context, &Kernel) -> Result<Vec<String>>,
}

/// The options of a plan.
#[derive(Args, Default)]
pub struct Selection {
    /// Run on this kernel only; can be repeated.
    #[arg(long, value_name = "NAME", value_parser = Kernel::named)]
    kernel: Vec<&'static Kernel>,
    /// Run this job only; can be repeated.
    #[arg(long, value_name = "NAME")]
    job: Vec<String>,
    /// Do not build the kernels and programs.
    #[arg(long)]
    no_build: bool,
}

impl Selection {
    pub fn kernels(&self) -> &[&'static Kernel] {
        &self.kernel
    }
}

enum Task {
    Host(HostCheck),
    Tree(Tree),
    Build(&'static Kernel),
    /// Check that Rust calls the sanitizer.
    Instrumented(&'static Kernel),
    Selftests,
    Clients,
    Pack(&'static Kernel),
    Run(&'static Kernel, Job),
}

impl Plan {
    pub fn new(name: &'static str, rows: Vec<(&'static Kernel, Vec<Job>)>) -> Self {
        Self { name, host: vec![], rows, no_build: false, arguments: |_, _| Ok(vec![]) }
    }

    pub fn with_host(self, host: Vec<HostCheck>) -> Self {
        Self { host, ..self }
    }

    pub fn with_arguments(self, arguments: fn(&Context, &Kernel) -> Result<Vec<String>>) -> Self {
        Self { arguments, ..self }
    }

    pub fn has_kernel(&self, kernel: &Kernel) -> bool {
        self.rows.iter().any(|(other, _)| *other == kernel)
    }

    /// Removes the kernels and jobs that are not selected, and the checks on the host if some are
    /// selected.
    pub fn select(mut self, selection: &Selection) -> Result<Self> {
        for kernel in &selection.kernel {
            let kernels = self.names(|(kernel, _)| vec![kernel.name]);
            ensure!(
                self.has_kernel(kernel),
                "`{}` does not run on {}; its kernels are {kernels}",
                self.name,
                kernel.name
            );
        }
        let jobs = |(_, jobs): &(_, Vec<Job>)| jobs.iter().map(Job::name).collect();
        for name in &selection.job {
            let known = self.rows.iter().flat_map(|(_, jobs)| jobs);
            let known = known.map(Job::name).any(|job| job == name);
            ensure!(known, "`{}` has no job {name}; its jobs are {}", self.name, self.names(jobs));
        }
        let all_kernels = selection.kernel.is_empty();
        let all_jobs = selection.job.is_empty();
        self.rows.retain(|(kernel, _)| all_kernels || selection.kernel.contains(kernel));
        for (_, jobs) in &mut self.rows {
            jobs.retain(|job| all_jobs || selection.job.iter().any(|name| name == job.name()));
        }
        self.rows.retain(|(_, jobs)| !jobs.is_empty());
        ensure!(!self.rows.is_empty(), "no kernel of the selection has a selected job");
        if !(all_kernels && all_jobs) {
            self.host.clear();
        }
        self.no_build = selection.no_build;
        Ok(self)
    }

    /// Returns the names of kernels or jobs, without duplicates.
    fn names<'a>(
        &'a self,
        of: impl Fn(&'a (&'static Kernel, Vec<Job>)) -> Vec<&'static str>,
    ) -> String {
        let mut names: Vec<_> = self.rows.iter().flat_map(of).collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names.join(", ")
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks: Vec<_> = self.host.iter().copied().map(Task::Host).collect();
        if !self.no_build {
            tasks.extend(self.build_tasks());
        }
        for (kernel, jobs) in &self.rows {
            if jobs.iter().any(Job::needs_archive) {
                tasks.push(Task::Pack(kernel));
            }
            tasks.extend(jobs.iter().map(|&job| Task::Run(kernel, job)));
        }
        tasks
    }

    /// Returns the steps that build the kernels and the programs of their guests.
    fn build_tasks(&self) -> Vec<Task> {
        let mut kernels: Vec<&'static Kernel> = vec![];
        let mut add = |kernel: &'static Kernel| {
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        };
        for (kernel, jobs) in &self.rows {
            kernel.with_parents().into_iter().for_each(&mut add);
            if jobs.iter().any(Job::needs_stock) {
                add(&STOCK);
            }
        }
        let mut tasks = vec![];
        if kernels.iter().any(|kernel| kernel.tree == Tree::Kcsan) {
            tasks.push(Task::Tree(Tree::Kcsan));
        }
        tasks.extend(kernels.iter().copied().map(Task::Build));
        let rows = self.rows.iter();
        let sanitized = rows.clone().filter(|(kernel, _)| kernel.has_sanitizers());
        let sanitized = sanitized.filter(|(kernel, _)| kernel.is_rust());
        tasks.extend(sanitized.map(|(kernel, _)| Task::Instrumented(kernel)));
        let has = |wanted| {
            let mut packed = rows.clone().filter(|(kernel, _)| kernel.initramfs == wanted);
            packed.any(|(_, jobs)| jobs.iter().any(Job::needs_archive))
        };
        if has(Initramfs::Selftests) {
            tasks.push(Task::Selftests);
        }
        if has(Initramfs::Clients) {
            tasks.push(Task::Clients);
        }
        tasks
    }

    /// Runs the plan. `on_findings` is called with the findings of each job. Returns the session.
    pub fn run<'a>(
        &self,
        context: &'a Context,
        mut on_findings: impl FnMut(&'static Kernel, &Job, &Findings),
    ) -> Result<Session<'a>> {
        let tasks = self.tasks();
        let mut session = Session::new(context, tasks.len())?;
        for task in &tasks {
            self.run_task(&mut session, task, &mut on_findings)?;
        }
        Ok(session)
    }

    fn run_task(
        &self,
        session: &mut Session<'_>,
        task: &Task,
        on_findings: &mut impl FnMut(&'static Kernel, &Job, &Findings),
    ) -> Result<()> {
        let context = session.context;
        match task {
            Task::Host(check) => {
                session.check(check.name, Column::Host, |step| (check.run)(context, step))
            }
            Task::Tree(tree) => session.check("prepare the tree for KCSAN", Column::Host, |_| {
                series::prepare(context, *tree)?;
                Ok(passed())
            }),
            Task::Build(kernel) => build_kernel(session, kernel),
            Task::Instrumented(kernel) => {
                let name = format!("Rust is instrumented{}", kernel.note);
                session.check(&name, column(kernel), |_| {
                    check_instrumented(context, kernel)?;
                    Ok(passed())
                })
            }
            Task::Selftests => build_selftests(session),
            Task::Clients => session.check("build the clients", Column::Host, |step| {
                clients::build(context, step)?;
                Ok(passed())
            }),
            Task::Pack(kernel) => pack(session, kernel),
            Task::Run(kernel, job) => {
                let arguments = (self.arguments)(context, kernel)?;
                run_job(session, kernel, job, &arguments, on_findings)
            }
        };
        Ok(())
    }

    /// Lists the amounts of work.
    pub fn amounts(&self) -> String {
        let mut text = String::new();
        for (kernel, jobs) in &self.rows {
            for job in jobs {
                if let Some(amount) = job.amount() {
                    text += &format!("{} on {}: {amount}\n", job.name(), kernel.name);
                }
            }
        }
        text
    }
}

/// Runs a job as one step. Returns whether nothing failed.
fn run_job(
    session: &mut Session<'_>,
    kernel: &'static Kernel,
    job: &Job,
    arguments: &[String],
    on_findings: &mut impl FnMut(&'static Kernel, &Job, &Findings),
) -> bool {
    let context = session.context;
    let name = format!("{}{}", job.name(), kernel.note);
    let mut notes = String::new();
    let good = session.run(&name, column(kernel), |step| {
        let place = Place { context, step, kernel, arguments };
        let findings = job.run(place)?;
        on_findings(kernel, job, &findings);
        notes = findings.text;
        Ok(findings.checks)
    });
    session.note(&notes);
    good
}

/// Builds a kernel as one step. Returns whether it succeeded.
pub fn build_kernel(session: &mut Session<'_>, kernel: &'static Kernel) -> bool {
    let context = session.context;
    let name = format!("build {}", kernel.name);
    session.check(&name, column(kernel), |step| {
        build::build(context, step, kernel)?;
        Ok(passed())
    })
}

/// Builds the selftests as one step. Returns whether it succeeded.
pub fn build_selftests(session: &mut Session<'_>) -> bool {
    let context = session.context;
    session.check("build the selftests", Column::Host, |step| {
        selftests::build(context, step)?;
        Ok(passed())
    })
}

/// Packs the guest of a kernel as one step. Returns whether it succeeded.
pub fn pack(session: &mut Session<'_>, kernel: &'static Kernel) -> bool {
    let context = session.context;
    let name = format!("pack {}", kernel.name);
    session.check(&name, column(kernel), |step| {
        initramfs::pack(context, step, kernel)?;
        Ok(passed())
    })
}

/// Checks that the objects of Rust call KASAN or KCSAN, so that it can find their defects.
fn check_instrumented(context: &Context, kernel: &Kernel) -> Result<()> {
    let calls = match kernel.has_kcsan() {
        true => ["__tsan_read", "__tsan_write"],
        false => ["__asan_report_load", "__asan_report_store"],
    };
    for object in ["kernel/time/namespace_rs.o", "rust/kernel.o"] {
        let path = context.build_dir(kernel).join(object);
        let mut nm = Command::new(context.toolchain.llvm_tool("llvm-nm")?);
        let output = nm.arg("-u").arg(&path).output().context("llvm-nm")?;
        let symbols = String::from_utf8_lossy(&output.stdout);
        ensure!(
            calls.iter().all(|call| symbols.contains(call)),
            "{object} of the {} kernel does not call {}…",
            kernel.name,
            calls[0]
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        guest::lists::SELFTESTS,
        kernel::kernels::{RUST, RUST_KASAN},
    };

    fn plan() -> Plan {
        let fuzz = Job::Fuzz { seed: 1, sequences: 1 };
        Plan::new(
            "test",
            vec![(&RUST_KASAN, vec![Job::Kunit, fuzz]), (&STOCK, vec![Job::Programs(&SELFTESTS)])],
        )
    }

    fn selection(kernel: &[&'static Kernel], job: &[&str]) -> Selection {
        Selection {
            kernel: kernel.to_vec(),
            job: job.iter().map(|&name| name.to_owned()).collect(),
            no_build: true,
        }
    }

    #[test]
    fn parents_and_the_c_kernel_are_built_once_and_first() {
        let builds = plan().build_tasks().into_iter().filter_map(|task| match task {
            Task::Build(kernel) => Some(kernel.name),
            _ => None,
        });
        assert_eq!(builds.collect::<Vec<_>>(), ["rust", "rust-kasan", "stock"]);
    }

    #[test]
    fn the_steps_are_counted_from_the_plan() {
        // Three builds, the check of instrumentation, the selftests; then two archives, three jobs.
        assert_eq!(plan().tasks().len(), 5 + 5);
        let selected = plan().select(&selection(&[&STOCK], &[])).unwrap();
        assert_eq!(selected.tasks().len(), 2);
        let selected = plan().select(&selection(&[], &["fuzz"])).unwrap();
        assert_eq!(selected.tasks().len(), 1);
    }

    #[test]
    fn unknown_selections_are_errors() {
        let error = |selection| plan().select(&selection).err().unwrap().to_string();
        assert!(error(selection(&[&RUST], &[])).contains("rust-kasan, stock"));
        assert!(error(selection(&[], &["race"])).contains("kunit, fuzz, selftests"));
        assert!(error(selection(&[&STOCK], &["fuzz"])).contains("no kernel"));
    }

    #[test]
    fn amounts_are_listed() {
        assert_eq!(plan().amounts(), "fuzz on rust-kasan: seed 1, 200 operations\n");
    }
}
