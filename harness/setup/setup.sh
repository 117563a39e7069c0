#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install what is missing to build and run the kernel (Debian packages, and bindgen into
# out/tools), and note the tools in out/toolchain.env. With nothing to do it is over at once.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
otherwise=": install QEMU for x86 yourself"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

# The lowest versions that Linux 7.3 takes (its scripts/min-tool-version.sh); cargo's is
# what the harness needs.
MIN_LLVM=17.0.1
MIN_RUSTC=1.85.0
MIN_BINDGEN=0.71.1
MIN_CARGO=1.85.0
# What is built where the distribution's bindgen is too old.
OWN_BINDGEN=0.72.1

ENV=$TOP/out/toolchain.env

# Tools that need no version, and the Debian packages that bring them.
TOOLS="make gcc g++ objcopy git flex bison bc cpio rsync perl python3 xz kmod
	qemu-system-x86_64 unshare nsenter lsns flock"
PACKAGES="make gcc g++ binutils gcc-multilib libc6-dev git flex bison bc cpio rsync perl python3 xz-utils kmod
	qemu-system-x86 util-linux libelf-dev libcap-dev ccache ca-certificates debian-archive-keyring"
LLVM_TOOLS="clang ld.lld llvm-ar llvm-nm llvm-objcopy llvm-objdump llvm-readelf llvm-strip"

# version TOOL: the first version number that TOOL prints, or nothing.
version() {
	"$1" --version </dev/null 2>/dev/null | grep -o '[0-9][0-9]*\.[0-9][0-9.]*' | head -n 1
}

# good TOOL LOWEST: does TOOL run, and is it recent enough?
good() {
	found=$(version "$1")
	[ -n "$found" ] && version_ge "$found" "$2"
}

# full_path TOOL: TOOL as an absolute path; as it is, if there is none.
full_path() {
	command -v "$1" || printf '%s\n' "$1"
}

# fingerprint: changes whenever the tools noted may no longer be the right ones.
fingerprint() {
	{
		cat "$0"
		printf '%s\n' "$TOP" "$asked"
		# shellcheck disable=SC2086 # a list of words
		for tool in $TOOLS ccache; do command -v "$tool" || printf 'no %s\n' "$tool"; done
		sed -n "s/^[A-Z_]*='\(\/.*\)'$/\1/p" "$ENV" | while read -r file; do
			stat -L -c '%n %s %Y' "$file" || printf 'no %s\n' "$file"
		done
		# shellcheck disable=SC2086
		[ -z "$apt" ] || dpkg-query -W -f '${Package} ${Status}\n' $PACKAGES || :
	} 2>/dev/null | sha256sum
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

installed() {
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

# candidate PACKAGE: the version that apt would install, or nothing.
candidate() {
	apt-cache policy "$1" | sed -n 's/^  Candidate: //p' | sed '/(none)/d; s/^[0-9]*://'
}

apt_update() {
	logged apt-update "setup: updating the package lists" as_root apt-get update ||
		die "apt-get update failed: see above"
}

# llvm_of_package RUSTC_PACKAGE: the LLVM major that the package's rustc is linked with.
llvm_of_package() {
	apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$1" | sed -n 's/.*libllvm\([0-9][0-9]*\).*/\1/p' | sort -n | tail -n 1
}

# choose_rust: the family of Rust packages. Debian's stable one where it is recent enough;
# Debian 12 has a recent one of other names.
choose_rust() {
	rust=
	for family in rustc rustc-web; do
		have=$(candidate "$family")
		if [ -n "$have" ] && version_ge "$have" "$MIN_RUSTC"; then
			if [ -z "$rust" ] || installed "$family"; then
				rust=$family
			fi
		fi
	done
	case $rust in
	rustc) rust_packages="rustc rust-src rustfmt rust-clippy" cargo_package=cargo ;;
	rustc-web) rust_packages="rustc-web rust-web-src rustfmt-web rust-web-clippy" cargo_package=cargo-web ;;
	*) return 1 ;;
	esac
}

# choose_clang WANTED: the clang major that is rustc's own LLVM, or else the newest one.
choose_clang() {
	clang=
	for major in $(apt-cache pkgnames clang- | sed -n 's/^clang-\([0-9][0-9]*\)$/\1/p' | sort -n); do
		if [ "$major" -ge "${MIN_LLVM%%.*}" ] && [ -n "$(candidate "clang-$major")" ]; then
			clang=$major
			[ "$major" != "$1" ] || return 0
		fi
	done
	[ -n "$clang" ]
}

# wanted_packages: what is to be installed in all, in $wanted; fails if apt does not know it.
wanted_packages() {
	wanted=$PACKAGES missing=
	if [ -z "${RUSTC:-}" ]; then
		choose_rust || return 1
		wanted="$wanted $rust_packages"
		good "$CARGO" "$MIN_CARGO" || wanted="$wanted $cargo_package"
		rust_llvm=$(llvm_major "$(packaged rustc)")
		[ -n "$rust_llvm" ] || rust_llvm=$(llvm_of_package "$rust")
	else
		rust_llvm=$(llvm_major "$RUSTC")
	fi
	if [ -z "${LLVM:-}" ]; then
		choose_clang "$rust_llvm" || return 1
		wanted="$wanted clang-$clang lld-$clang llvm-$clang"
	fi
	if [ -z "${BINDGEN:-}" ]; then
		have=$(candidate bindgen)
		if [ -n "$have" ] && version_ge "$have" "$MIN_BINDGEN"; then
			wanted="$wanted bindgen"
		fi
	fi
	# Installing the static busybox would remove an ordinary one: see own_busybox.
	installed busybox || wanted="$wanted busybox-static"

	for package in $wanted; do
		installed "$package" && continue
		[ -n "$(candidate "$package")" ] || return 1
		missing="$missing $package"
	done
}

install_packages() {
	if wanted_packages && [ -z "$missing" ]; then
		return
	fi
	if [ "$(id -u)" -ne 0 ]; then
		ask="have root run 'apt-get update' and 'apt-get install --no-install-recommends${missing:- $PACKAGES}'"
		command -v sudo >/dev/null || die "not root and no sudo: $ask"
		# The password is asked for here, where nothing is drawn over it.
		sudo -v || die "sudo refused: $ask"
	fi
	# Old lists name packages that the mirror no longer has, and not the newest compilers.
	apt_update
	wanted_packages ||
		die "apt does not offer ${package:-a recent rustc or clang}: this needs Debian 12 or 13 with its updates, or tools of your own in RUSTC= LLVM= BINDGEN="
	say "setup: [1/2] installing Debian packages:$missing"
	qemu=
	removed=$(apt_would_remove)
	if [ -n "$removed" ]; then
		# A part of QEMU is there, of a version that the distribution's own breaks.
		all=$missing
		missing=$(printf '%s ' "$all" | sed 's/ qemu-system-x86 / /')
		if [ "$missing" != "$all " ] && [ -z "$(apt_would_remove)" ]; then
			qemu=backports
		else
			die "installing$all would remove$removed: remove them yourself, or give RUSTC= LLVM= BINDGEN= of your own"
		fi
	fi
	[ -z "$(printf %s "$missing" | tr -d ' ')" ] || apt_install ||
		die "apt-get install failed: see above"
	[ -z "$qemu" ] || qemu_from_backports
}

# apt_would_remove: the packages that would go if $missing came.
apt_would_remove() {
	# shellcheck disable=SC2086 # a list of words
	apt-get -s install --no-install-recommends $missing | awk '$1 == "Remv" { printf " %s", $2 }'
}

# apt_install [OPTION...]: install $missing.
apt_install() {
	# shellcheck disable=SC2086 # a list of words
	logged apt-install "setup: installing" as_root env DEBIAN_FRONTEND=noninteractive \
		${APT_CONFIG:+APT_CONFIG="$APT_CONFIG"} apt-get install -y --no-install-recommends \
		--no-remove -o DPkg::Lock::Timeout=300 "$@" $missing
}

# qemu_from_backports: QEMU of the release's backports, which may be no source of this machine's apt.
qemu_from_backports() {
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	(
		scratch "$TOP/out"
		missing=" qemu-system-x86"
		use_suite "$release-backports" qemu-system-x86
		use_archive "$archive" "$release" "$release-backports" ||
			die "apt finds no $release$(apt_reason)$otherwise"
		cat >>"$APT_CONFIG" <<-END
			Dir::State "/var/lib/apt";
			Dir::State::lists "$tmp/state/lists";
			Dir::State::status "/var/lib/dpkg/status";
		END
		say "setup: [1/2] installing from $release-backports:$missing"
		apt_install -t "$release-backports" ||
			die "QEMU could not be installed beside what is here$removed: see above$otherwise"
	)
}

own_bindgen() {
	say "setup: [2/2] building bindgen $OWN_BINDGEN into out/tools: no packaged one is recent enough"
	logged bindgen "setup: building bindgen" env RUSTC="$RUSTC" "$CARGO" install --locked \
		--version "$OWN_BINDGEN" --root "$TOP/out/tools" --target-dir "$TOP/out/tools/build" bindgen-cli ||
		die "bindgen could not be built: see above, or give BINDGEN="
	rm -rf "$TOP/out/tools/build"
}

# own_busybox: the static busybox beside the ordinary one, which it cannot be installed with.
own_busybox() {
	scratch "$TOP/out"
	(cd "$tmp" && logged busybox "setup: fetching busybox-static" apt-get download busybox-static) ||
		die "busybox-static could not be fetched: see above"
	dpkg-deb -x "$tmp"/busybox-static_*.deb "$tmp/busybox"
	mkdir -p "$TOP/out/tools/bin"
	find "$tmp/busybox" -name busybox -type f -exec mv {} "$TOP/out/tools/bin/busybox" \;
}

llvm_major() {
	"$1" -vV 2>/dev/null | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'
}

# llvm_tool NAME: the tool as the kernel's LLVM= means it (1, a suffix or a prefix).
llvm_tool() {
	case $LLVM in
	*/) printf '%s%s\n' "$LLVM" "$1" ;;
	-*) printf '%s%s\n' "$1" "$LLVM" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

is_static() {
	[ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1
}

# find_tools: name every tool, what the user gave first.
find_tools() {
	RUSTC=$(full_path "${RUSTC:-$(packaged rustc)}")
	rust_dir=$(dirname "$RUSTC")
	RUSTFMT=$rust_dir/rustfmt
	RUSTDOC=$rust_dir/rustdoc
	CLIPPY_DRIVER=$rust_dir/clippy-driver
	RUST_LIB_SRC=$("$RUSTC" --print sysroot 2>/dev/null || :)/lib/rustlib/src/rust/library
	RUSTC_LLVM_MAJOR=$(llvm_major "$RUSTC")
	if ! good "$CARGO" "$MIN_CARGO"; then
		CARGO=$(packaged cargo)
	fi
	CARGO=$(full_path "$CARGO")
	if [ -z "${LLVM:-}" ]; then
		LLVM=-${clang:-$RUSTC_LLVM_MAJOR}
		command -v "clang$LLVM" >/dev/null || LLVM=1
	fi
	CLANG_MAJOR=$(version "$(llvm_tool clang)" | cut -d . -f 1)
	CCACHE=
	# shellcheck disable=SC2034 # write_env reads it
	! command -v ccache >/dev/null || CCACHE=ccache
	BUSYBOX=$(full_path busybox)
	is_static "$BUSYBOX" || BUSYBOX=$TOP/out/tools/bin/busybox
	if [ -z "${BINDGEN:-}" ]; then
		BINDGEN=$TOP/out/tools/bin/bindgen
		if ! good "$BINDGEN" "$MIN_BINDGEN" && good "$(packaged bindgen)" "$MIN_BINDGEN"; then
			BINDGEN=$(packaged bindgen)
		fi
	fi
	BINDGEN=$(full_path "$BINDGEN")
}

# packaged TOOL: where Debian puts it. A rustup one may lie before it in PATH, without the
# sources of the library.
packaged() {
	if [ -n "$apt" ]; then
		printf '/usr/bin/%s\n' "$1"
	else
		full_path "$1"
	fi
}

lack() {
	lacking="$lacking${lacking:+, }$1"
}

# need TOOL LOWEST NAME: note TOOL as lacking if it is not there, does not run or is too old.
need() {
	good "$1" "$2" || lack "${3:-$1} >= $2${found:+ (found $found)}"
}

# compiles FLAG... : can gcc build a program from stdin?
compiles() {
	gcc "$@" -x c -o /dev/null - 2>/dev/null
}

check_tools() {
	lacking=
	for tool in $TOOLS; do
		command -v "$tool" >/dev/null || lack "$tool"
	done
	if good "$RUSTC" "$MIN_RUSTC"; then
		for tool in "$RUSTFMT" "$RUSTDOC" "$CLIPPY_DRIVER"; do
			[ -n "$(version "$tool")" ] || lack "$tool"
		done
		[ -f "$RUST_LIB_SRC/core/src/lib.rs" ] || lack "the library sources of $RUSTC (rust-src)"
	else
		need "$RUSTC" "$MIN_RUSTC" "rustc, with rustfmt, clippy and rust-src,"
	fi
	need "$CARGO" "$MIN_CARGO" cargo
	for tool in $LLVM_TOOLS; do
		need "$(llvm_tool "$tool")" "$MIN_LLVM"
	done
	is_static "$BUSYBOX" || lack "a static busybox"
	echo 'int main(void) { return 0; }' | compiles -m32 -static || lack "gcc -m32 with a static 32-bit libc"
	echo 'int main(void) { return 0; }' | compiles -mx32 -static || lack "gcc -mx32 with a static x32 libc"
	echo '#include <gelf.h>
int main(void) { return 0; }' | compiles -lelf || lack "libelf with its header"
	echo '#include <sys/capability.h>
int main(void) { return 0; }' | compiles -lcap || lack "libcap with its header"
	settle
}

settle() {
	[ -z "$lacking" ] || die "missing or too old: $lacking"
}

write_env() {
	{
		echo "# SPDX-License-Identifier: GPL-2.0"
		for key in LLVM CLANG_MAJOR RUSTC RUSTC_LLVM_MAJOR RUSTFMT RUSTDOC CLIPPY_DRIVER \
			RUST_LIB_SRC BINDGEN CARGO CCACHE BUSYBOX; do
			eval "value=\$$key"
			# shellcheck disable=SC2154 # set by eval
			case $value in *\'*) die "$key=$value: a path with a quote in it cannot be used" ;; esac
			printf "%s='%s'\n" "$key" "$value"
		done
	} >"$ENV.new"
	mv "$ENV.new" "$ENV"
	fingerprint >"$TOP/out/toolchain.stamp"
}

[ "$(uname -m)" = x86_64 ] || die "this is a $(uname -m) machine: the kernels here are for x86_64"
lock "$TOP/out/.lock"
apt=$(command -v apt-get || :)
asked="RUSTC=${RUSTC:-} LLVM=${LLVM:-} BINDGEN=${BINDGEN:-}"
if [ -f "$ENV" ] && [ "$(fingerprint)" = "$(cat "$TOP/out/toolchain.stamp" 2>/dev/null)" ]; then
	exit
fi
CARGO=$(full_path cargo)
clang=
[ -z "$apt" ] || install_packages
find_tools
if [ -n "$apt" ] && ! is_static "$BUSYBOX"; then
	own_busybox
fi
check_tools
if [ "$BINDGEN" = "$TOP/out/tools/bin/bindgen" ] && ! good "$BINDGEN" "$MIN_BINDGEN"; then
	own_bindgen
fi
need "$BINDGEN" "$MIN_BINDGEN" bindgen
settle
write_env
say "setup: ready: rustc $(version "$RUSTC") (LLVM $RUSTC_LLVM_MAJOR), clang $CLANG_MAJOR, bindgen $(version "$BINDGEN")"
