# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The checks of every variable that a user can set. A script sources this file after lib.sh and calls
# check_variables before it does any work.

# shellcheck source=BASE
. "$TOP/BASE"

# The lowest versions that Linux 7.3 accepts (its scripts/min-tool-version.sh).
MIN_LLVM=17.0.1
MIN_RUSTC=1.85.0
MIN_BINDGEN=0.71.1
LLVM_TOOLS="clang ld.lld llvm-ar llvm-nm llvm-objcopy llvm-objdump llvm-readelf llvm-strip"
# linux-source-7.3 is Linux 7.3.y.
SERIES=${PACKAGE#linux-source-}

# wrong NAME TEXT: refuse the variable NAME. TEXT is the reason and what to do.
wrong() {
	eval "value=\$$1"
	# shellcheck disable=SC2154 # set by eval
	die "$1=$(printf %s "$value" | tr '\n' ' '): $2"
}

# version TOOL KIND: the version that TOOL --version prints after KIND's name, or nothing. So
# /bin/false, which prints a version of coreutils, is no rustc.
version() {
	case $2 in
	clang) before='.*clang version ' ;;
	ld.lld) before='.*LLD ' ;;
	llvm-*) before='.*LLVM version ' ;;
	clippy-driver) before='clippy ' ;;
	*) before="$2 " ;;
	esac
	"$1" --version </dev/null 2>/dev/null | sed -n "s/^$before\([0-9][0-9]*\.[0-9][0-9.]*\).*/\1/p" | head -n 1
}

# good TOOL KIND LOWEST: is TOOL a KIND of this version or a later one? Sets $found.
good() {
	found=$(version "$1" "$2")
	[ -n "$found" ] && version_ge "$found" "$3"
}

# llvm_tool KIND: the tool as the kernel's LLVM= means it (1, a suffix or a prefix).
llvm_tool() {
	case $LLVM in
	*/) printf '%s%s\n' "$LLVM" "$1" ;;
	-*) printf '%s%s\n' "$1" "$LLVM" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# library_sources RUSTC: the directory where its library's sources are, with rust-src.
library_sources() {
	printf '%s/lib/rustlib/src/rust/library\n' "$("$1" --print sysroot 2>/dev/null || :)"
}

# linux_version: the version in a kernel's top Makefile, read from stdin.
linux_version() {
	awk '$2 == "=" && NF <= 3 { v[$1] = $3 }
	     $1 == "EXTRAVERSION" { print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"] v["EXTRAVERSION"]; exit }'
}

# kdir_is_git DIR: is DIR the top of a git work tree (and not merely inside one)?
kdir_is_git() {
	[ "$(git -C "$1" rev-parse --show-toplevel 2>/dev/null)" = "$(realpath "$1")" ]
}

# check_version NAME VERSION: refuse the source that the variable NAME names unless it is a $SERIES.y.
check_version() {
	case $2 in
	"$SERIES".*) ;;
	"" | ..) wrong "$1" "not a Linux source: give one of Linux $SERIES.y" ;;
	*) wrong "$1" "is Linux $2: give a Linux $SERIES.y" ;;
	esac
}

# check_tool NAME TOOL KIND LOWEST: refuse the variable NAME unless TOOL is such a KIND.
check_tool() {
	[ -n "$(command -v "$2")" ] || wrong "$1" "there is no program $2: give a $3, $4 or later"
	good "$2" "$3" "$4" && return
	[ -n "$found" ] || wrong "$1" "$2 --version does not print the version of a $3: give a $3, $4 or later"
	wrong "$1" "$2 is $3 $found, which is too old: give $4 or later"
}

check_rustc() {
	check_tool RUSTC "$RUSTC" rustc "$MIN_RUSTC"
	beside=$(dirname "$(command -v "$RUSTC")")
	for tool in rustfmt rustdoc clippy-driver; do
		[ -n "$(version "$beside/$tool" "$tool")" ] ||
			wrong RUSTC "there is no $tool beside it: install it, or give another rustc"
	done
	[ -f "$(library_sources "$RUSTC")/core/src/lib.rs" ] ||
		wrong RUSTC "it lacks the sources of its library: install rust-src, or give another rustc"
}

check_llvm() {
	case $LLVM in
	1 | -* | */) ;;
	*) wrong LLVM "is none of 1, -SUFFIX and DIRECTORY/: give 1, or -19 for clang-19, or /usr/lib/llvm-19/bin/" ;;
	esac
	for tool in $LLVM_TOOLS; do
		check_tool LLVM "$(llvm_tool "$tool")" "$tool" "$MIN_LLVM"
	done
}

check_kdir() {
	[ -z "${LINUX_TARBALL:-}" ] || wrong KDIR "LINUX_TARBALL=$LINUX_TARBALL is set as well: give one of them"
	[ -d "$KDIR" ] || wrong KDIR "no such directory: give the top directory of a Linux $SERIES.y"
	[ -f "$KDIR/Makefile" ] || wrong KDIR "has no Makefile of Linux: give the top directory of a Linux $SERIES.y"
	check_version KDIR "$(linux_version <"$KDIR/Makefile")"
	if kdir_is_git "$KDIR"; then
		git -C "$KDIR" rev-parse -q --verify HEAD >/dev/null || wrong KDIR "has no commit: commit its files"
		return
	fi
	for made in .config include/config; do
		[ ! -e "$KDIR/$made" ] || wrong KDIR "a kernel was built in it: run 'make mrproper' there first"
	done
}

check_tarball() {
	[ -f "$LINUX_TARBALL" ] || wrong LINUX_TARBALL "no such file: give a tar archive of Linux $SERIES.y"
	[ -r "$LINUX_TARBALL" ] || wrong LINUX_TARBALL "cannot be read: change its permissions"
}

check_accelerator() {
	case $ACCEL in
	tcg) ;;
	kvm) [ -w /dev/kvm ] || wrong ACCEL "/dev/kvm cannot be opened: give tcg, or join the group kvm" ;;
	*) wrong ACCEL "no such accelerator: give kvm or tcg" ;;
	esac
}

# check_variables: refuse what the user set wrongly, by its name, within a second.
check_variables() {
	case ${SETUP:-} in
	"" | print) ;;
	*) wrong SETUP "no such mode: give print, or leave it empty" ;;
	esac
	case ${FORCE:-} in
	"" | 1) ;;
	*) wrong FORCE "neither 1 nor empty: give 1, or leave it empty" ;;
	esac
	case ${JOBS:-1} in
	0* | *[!0-9]*) wrong JOBS "not a number of jobs: give 1 or more" ;;
	esac
	case ${TIMENS_CACHE:-/} in
	/*) ;;
	*) wrong TIMENS_CACHE "not an absolute path: give one that starts with /" ;;
	esac
	[ -z "${ACCEL:-}" ] || check_accelerator
	[ -z "${KDIR:-}" ] || check_kdir
	[ -z "${LINUX_TARBALL:-}" ] || check_tarball
	[ -z "${RUSTC:-}" ] || check_rustc
	[ -z "${LLVM:-}" ] || check_llvm
	[ -z "${BINDGEN:-}" ] || check_tool BINDGEN "$BINDGEN" bindgen "$MIN_BINDGEN"
}

# only_prints: does SETUP=print ask that nothing runs after set-up?
only_prints() {
	[ "${SETUP:-}" = print ]
}
