# SPDX-License-Identifier: GPL-2.0
# The everyday targets. Each calls ./timens or a script. Every other command is ./timens COMMAND, whose
# options ./timens COMMAND --help lists.
#
# Variables, on the command line or in the environment:
#   KDIR= or LINUX_TARBALL=   a Linux 7.3.y of your own instead of Debian's package
#   RUSTC= LLVM= BINDGEN=     tools of your own
#   JOBS= ACCEL=              parallel jobs; kvm or tcg
#   SETUP=print               print the packages and tools that set-up would install, and run nothing
#   FORCE=1                   tree: drop your work in out/linux; refresh: overwrite changed patches

.DEFAULT_GOAL := help
.PHONY: help run test shell tree refresh setup build build-stock check bench bench-vdso series ide \
	newcomer clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14
	@echo 'Every other command: ./timens --help'

run: ## boot the Rust kernel in QEMU and use time namespaces with real tools
	@./timens run

test: ## run the tests, on the Rust kernel and on the C kernel
	@./timens test

shell: ## boot the Rust kernel to a shell; CMD='...' runs one command and fails if it fails
	@./timens shell $(if $(CMD),-- '$(subst ','\'',$(CMD))')

tree: setup ## prepare out/linux: a git tree of Linux with the series as commits
	@sh harness/series/tree.sh

refresh: ## write the commits of out/linux back into patches/ and the new files
	@sh harness/series/refresh.sh

setup: ## install missing tools and record them in out/toolchain.env
	@sh harness/setup/setup.sh

build: ## build the Rust kernel
	@./timens build rust

build-stock: ## build the C kernel of unmodified Linux, with the same configuration
	@./timens build stock

check: ## run the kernel's own checkers on the series
	@./timens check

bench: ## count the instructions of each operation on both kernels
	@./timens bench

bench-vdso: ## time clock reads in both kernels' vDSO, on this machine
	@./timens bench-vdso

series: setup ## write the commits as mails into out/series, and try git am on them
	@./timens cover-letter >out/cover-letter
	@sh harness/series/export.sh out/cover-letter

ide: ## let rust-analyzer work in out/linux
	@./timens ide

newcomer: ## run make run and make test in bare roots of Debian 12 and 13; NEWCOMER='--help'
	@sh harness/setup/newcomer.sh $(NEWCOMER)

clean: ## remove builds and results; keep the tools and the tree
	@rm -rf out/bench out/build out/*/build out/cargo out/cargo-oldest out/coverage out/guest out/results out/series

distclean: ## remove all of out/
	@rm -rf out
