# SPDX-License-Identifier: GPL-2.0
# The front door: each target calls a script or the harness, and nothing else.
#
# Variables, on the command line or in the environment:
#   KDIR= or LINUX_TARBALL=   a Linux 7.3.y of your own in place of Debian's package
#   RUSTC= LLVM= BINDGEN=     tools of your own
#   JOBS= ACCEL=              parallel jobs, QEMU accelerator
#   KIND=                     sanitize: kasan (or ubsan, kmemleak: the same kernels) or kcsan alone
#   KERNEL=                   sanitize: these of its kernels: rust-kasan, rust-stock-vdso-kasan, rust-kcsan,
#                             stock-kcsan
#   ONLY=                     sanitize: these jobs: kunit, selftests, race, wide-race, faults, age, fuzz
#   FAULTS=                   planted: these alone, by the names of the files in harness/planted
#   FUZZ=                     options of fuzz: --seed, --seeds, --operations, --replay; of
#                             fuzz-offsets: --seconds
#   RACE= AGE=                options of race: --rounds; of age: --cycles, --hours, --starts
#   BISECT= ROWS=             options of bisect: --from, --to; rows of matrix, by their names
#   SIGNOFF= ASSISTED=        series: who submits it, which tools had a part in it
#   TO= CC= PREFIX=           series: addresses, what the subjects begin with
#   SPARSE=                   check: a sparse of your own
#   ONTO=                     series: a kernel package to try it on, such as linux-source-7.2
#   FORCE=1                   tree: drop your work in out/linux;
#                             refresh: overwrite changes made to the patches meanwhile

.DEFAULT_GOAL := help
.PHONY: help setup base tree refresh build build-stock run shell test fuzz fuzz-offsets race age \
	sanitize faults planted coverage clients bench bench-vdso series bisect matrix check ide clean distclean

# The kernel's own make, which the harness runs, is not a part of this one.
unexport MAKEFLAGS MFLAGS MAKELEVEL

# The toolchain's rustc also builds the harness: whatever lies first in PATH may be too old.
harness = . out/toolchain.env && RUSTC="$$RUSTC" "$$CARGO" run --quiet --release --locked \
	--manifest-path harness/Cargo.toml --target-dir out/cargo --

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14

setup: ## install what is missing (Debian packages, bindgen) and note the tools in out/toolchain.env
	@sh harness/setup.sh

base: setup ## fetch and verify the Linux that the series is made for
	@sh harness/base.sh

tree: setup ## prepare out/linux: a git tree of Linux with the series as commits
	@sh harness/tree.sh

refresh: ## bring the commits made in out/linux back into patches/ and the new files
	@sh harness/refresh.sh

build: tree ## build the kernel with time namespaces in Rust
	@$(harness) build rust

build-stock: tree ## build the stock C kernel of the same tree and config
	@$(harness) build stock

run: tree ## the demonstration: boot the Rust kernel and use time namespaces with real tools
	@$(harness) run

shell: tree ## boot the Rust kernel to an interactive shell
	@$(harness) shell

test: tree ## every test, on the Rust and on the stock kernel
	@$(harness) test

fuzz: tree ## a million random operations on both kernels, whose outcomes must be the same
	@$(harness) fuzz $(FUZZ)

fuzz-offsets: tree ## look for arguments that the kernel's arithmetic gets wrong, on the host
	@$(harness) fuzz-offsets $(FUZZ)

race: tree ## tasks that race for new namespaces, on both kernels, with two and four CPUs
	@$(harness) race $(RACE)

age: tree ## a hundred thousand namespaces and a day of a container host, on both kernels
	@$(harness) age $(AGE)

sanitize: tree ## run the tests on kernels with KASAN, UBSAN, kmemleak and lock checks, and with KCSAN
	@$(harness) sanitize $(KIND) $(KERNEL:%=--kernel %) $(ONLY:%=--only %)

faults: tree ## let each allocation fail that an operation on time namespaces makes, on both kernels
	@$(harness) faults

planted: tree ## put faults into the series, one at a time, and see which check catches each
	@$(harness) planted $(FAULTS)

coverage: tree ## say which lines of the series' Rust the tests execute
	@$(harness) coverage

clients: tree ## run container runtimes, CRIU and people's tools on both kernels
	@sh harness/clients.sh
	@$(harness) clients

bench: tree ## count what each operation costs on the stock and on the Rust kernel, to the instruction
	@$(harness) bench

bench-vdso: tree ## time clock reads of both kernels' vDSO natively, on this machine
	@$(harness) bench-vdso

series: tree ## write the commits as mails into out/series, and try git am on them
	@$(harness) cover-letter >out/cover-letter
	@sh harness/series.sh out/cover-letter

bisect: tree ## build, boot and test each commit of the series
	@$(harness) bisect $(BISECT)

matrix: tree ## build the series in other configurations, for other machines, by gcc; boot some
	@$(harness) matrix $(ROWS)

check: tree ## check the series: style, documentation, maintainers, clippy, sparse, spelling
	@$(harness) check

ide: tree ## have rust-analyzer find its way in out/linux
	@$(harness) ide

clean: ## remove builds and results, keep the tools and the tree
	@rm -rf out/bench out/build out/*/build out/cargo out/guest out/results out/series

distclean: ## remove everything that was made here: all of out/
	@rm -rf out
