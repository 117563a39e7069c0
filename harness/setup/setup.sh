#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install the tools that are missing to build and run the kernel (Debian packages, and bindgen into
# out/tools), and record all tools in out/toolchain.env. Print beforehand what is installed and how.
# With nothing to do this takes a moment.
#
#   SETUP=print   only print it: install nothing, and ask for no password

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/checks.sh
. "$TOP/harness/setup/checks.sh"
otherwise=": install QEMU for x86 yourself"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

# The oldest cargo that builds the harness.
MIN_CARGO=1.85.0
# The bindgen that is built where the distribution's is too old, and the time that this takes.
OWN_BINDGEN=0.72.1
BINDGEN_TIME="a few minutes"
# The size of the package that BASE names.
BASE_SIZE="167 MB"

ENV=$TOP/out/toolchain.env

# Tools of any version, and the Debian packages that bring them.
TOOLS="make gcc g++ objcopy git flex bison bc cpio rsync perl python3 xz kmod
	qemu-system-x86_64 unshare nsenter lsns flock"
PACKAGES="make gcc g++ binutils gcc-multilib libc6-dev git flex bison bc cpio rsync perl python3 xz-utils kmod
	qemu-system-x86 util-linux libelf-dev libcap-dev ccache ca-certificates debian-archive-keyring"

# full_path TOOL: the absolute path of TOOL; TOOL itself, if there is none.
full_path() {
	case $1 in
	/*) printf '%s\n' "$1" ;;
	*/*) printf '%s/%s\n' "$(cd "$(dirname "$1")" && pwd)" "$(basename "$1")" ;;
	*) command -v "$1" || printf '%s\n' "$1" ;;
	esac
}

# fingerprint: a hash that changes whenever the recorded tools may be out of date.
fingerprint() {
	{
		cat "$0" "$TOP/harness/setup/checks.sh"
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

# llvm_of_package RUSTC_PACKAGE: the major version of LLVM that the package's rustc is linked with.
llvm_of_package() {
	apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$1" | sed -n 's/.*libllvm\([0-9][0-9]*\).*/\1/p' | sort -n | tail -n 1
}

# choose_rust: the family of Rust packages: rustc where it is recent enough, and rustc-web on
# Debian 12.
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

# choose_clang WANTED: the major version of clang that is rustc's own LLVM, or else the newest.
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

# wanted_packages: set $wanted to all packages that are needed, and $missing to those that are not
# installed. Fails if apt does not offer one, $package.
wanted_packages() {
	wanted=$PACKAGES missing=
	if [ -z "${RUSTC:-}" ]; then
		choose_rust || return 1
		wanted="$wanted $rust_packages"
		good "$CARGO" cargo "$MIN_CARGO" || wanted="$wanted $cargo_package"
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

# private_lists: fetch the package lists into $tmp, as any user may, and point apt-get and apt-cache
# there. The machine's own lists can be missing, or name packages that the mirror no longer has.
private_lists() {
	scratch "$TOP/out"
	private=1
	{
		apt-config dump | grep '^Acquire::' || :
		cat <<-END
			APT::Sandbox::User "root";
			Dir::Cache "$tmp/cache";
			Dir::Etc::main "/dev/null";
			Dir::Etc::parts "/dev/null";
			Dir::State::lists "$tmp/lists";
		END
	} >"$tmp/apt.conf"
	mkdir -p "$tmp/cache/archives/partial" "$tmp/lists/partial"
	export APT_CONFIG="$tmp/apt.conf"
	logged apt-lists "setup: fetching the package lists to a temporary directory" apt-get update ||
		die "apt-get update failed: see above"
}

drop_private_lists() {
	[ -n "$private" ] || return 0
	private=
	rm -rf "$tmp"
	unset APT_CONFIG
}

# plan_packages: if apt-get would remove packages to install QEMU, take QEMU out of $missing and set
# $backports to the release whose backports have a QEMU that fits.
plan_packages() {
	backports=
	[ -n "$missing" ] || return 0
	removed=$(apt_would_remove)
	[ -n "$removed" ] || return 0
	# A part of QEMU is installed, of a version that the distribution's own breaks.
	all=$missing
	missing=$(printf '%s ' "$all" | sed 's/ qemu-system-x86 / /; s/ *$//')
	if [ "$missing" = "$all" ] || [ -n "$(apt_would_remove)" ]; then
		die "installing$all would remove$removed: remove them yourself, or give RUSTC= LLVM= BINDGEN= of your own"
	fi
	backports=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
}

# apt_would_remove: the packages that apt-get would remove to install $missing.
apt_would_remove() {
	# shellcheck disable=SC2086 # a list of words
	apt-get -s install --no-install-recommends $missing | awk '$1 == "Remv" { printf " %s", $2 }'
}

# apt_sizes: the bytes that apt-get would fetch for $missing and then need, as it prints them.
apt_sizes() {
	# shellcheck disable=SC2086
	apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=1 $missing 2>/dev/null |
		sed -n 's/^Need to get \(.*\) of archives\.$/, \1 to fetch/p
			s/^After this operation, \(.*\) of additional disk space will be used\.$/, \1 on disk/p' |
		tr -d '\n'
}

# builds_bindgen: is no bindgen installed, or offered by apt, that is recent enough?
builds_bindgen() {
	[ -z "${BINDGEN:-}" ] || return 1
	case " $wanted " in *" bindgen "*) return 1 ;; esac
	! good "$TOP/out/tools/bin/bindgen" bindgen "$MIN_BINDGEN" &&
		! good "$(packaged bindgen)" bindgen "$MIN_BINDGEN"
}

# fetches_busybox: is the ordinary busybox installed, which excludes the package of the static one?
fetches_busybox() {
	[ -n "$apt" ] && installed busybox && ! is_static "$(full_path busybox)" &&
		! is_static "$TOP/out/tools/bin/busybox"
}

# announce: print what set-up is about to install, and how.
announce() {
	how="with apt-get"
	[ "$(id -u)" -eq 0 ] || how="with apt-get through sudo"
	if [ -n "$missing" ]; then
		# shellcheck disable=SC2086
		set -- $missing
		say "setup: $how: apt-get update, and $# packages$(apt_sizes):"
		say "$*" | fold -s -w 90 | sed 's/^/    /; s/ *$//'
	fi
	[ -z "$backports" ] || say "setup: $how, from $backports-backports: qemu-system-x86"
	! fetches_busybox || say "setup: without installing it: busybox-static, unpacked into out/tools"
	! builds_bindgen ||
		say "setup: with cargo: bindgen $OWN_BINDGEN from crates.io, built into out/tools in $BINDGEN_TIME"
}

# announce_rest: print what the harness fetches after set-up, none of which is installed.
announce_rest() {
	if [ -z "${KDIR:-}${LINUX_TARBALL:-}" ] && [ ! -f "$cache/${PACKAGE}_$VERSION.tar.xz" ]; then
		say "later: with apt-get, not installed: $PACKAGE $VERSION of $SUITE, $BASE_SIZE, into $cache"
	fi
	[ -d "$TOP/out/cargo" ] ||
		say "later: with cargo: the crates of harness/Cargo.lock from crates.io"
}

# plan: find what is missing, and print it before anything is installed.
plan() {
	wanted='' missing='' backports='' private=''
	if [ -n "$apt" ]; then
		if ! wanted_packages; then
			private_lists
			wanted_packages ||
				die "apt does not offer ${package:-a recent rustc or clang}: this needs Debian 12 or 13 with its updates, or tools of your own in RUSTC= LLVM= BINDGEN="
		fi
		plan_packages
	elif only_prints; then
		say "setup: there is no apt here: set-up installs no package, and names the tools that are missing"
	fi
	announce
	drop_private_lists
}

install_packages() {
	[ -n "$missing$backports" ] || return 0
	planned="$missing $backports"
	if [ "$(id -u)" -ne 0 ]; then
		ask="have root run 'apt-get update' and 'apt-get install --no-install-recommends$missing'"
		command -v sudo >/dev/null || die "not root and no sudo: $ask"
		# The password is asked for here, where nothing is drawn over it.
		sudo -v || die "sudo refused: $ask"
	fi
	apt_update
	wanted_packages || die "apt does not offer $package any more: try again"
	plan_packages
	[ "$missing $backports" = "$planned" ] || say "setup: with the new package lists:$missing"
	[ -z "$missing" ] || apt_install || die "apt-get install failed: see above"
	[ -z "$backports" ] || qemu_from_backports
}

# apt_install [OPTION...]: install $missing.
apt_install() {
	# shellcheck disable=SC2086 # a list of words
	logged apt-install "setup: installing the packages" as_root env DEBIAN_FRONTEND=noninteractive \
		${APT_CONFIG:+APT_CONFIG="$APT_CONFIG"} apt-get install -y --no-install-recommends \
		--no-remove -o DPkg::Lock::Timeout=300 "$@" $missing
}

# qemu_from_backports: QEMU of $backports-backports, which this machine's apt may not have as a source.
qemu_from_backports() {
	(
		scratch "$TOP/out"
		missing=" qemu-system-x86"
		use_suite "$backports-backports" qemu-system-x86
		use_archive "$archive" "$backports" "$backports-backports" ||
			die "apt finds no $backports$(apt_reason)$otherwise"
		cat >>"$APT_CONFIG" <<-END
			Dir::State "/var/lib/apt";
			Dir::State::lists "$tmp/state/lists";
			Dir::State::status "/var/lib/dpkg/status";
		END
		apt_install -t "$backports-backports" ||
			die "QEMU could not be installed beside$removed: see above$otherwise"
	)
}

own_bindgen() {
	logged bindgen "setup: building bindgen $OWN_BINDGEN" env RUSTC="$RUSTC" "$CARGO" install --locked \
		--version "$OWN_BINDGEN" --root "$TOP/out/tools" --target-dir "$TOP/out/tools/build" bindgen-cli ||
		die "bindgen could not be built: see above, or give BINDGEN="
	rm -rf "$TOP/out/tools/build"
}

# own_busybox: unpack the static busybox, which cannot be installed beside the ordinary one.
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

is_static() {
	[ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1
}

# find_tools: set the variable of every tool, from the user's variables first.
# shellcheck disable=SC2034 # write_env reads the variables
find_tools() {
	RUSTC=$(full_path "${RUSTC:-$(packaged rustc)}")
	rust_dir=$(dirname "$RUSTC")
	RUSTFMT=$rust_dir/rustfmt
	RUSTDOC=$rust_dir/rustdoc
	CLIPPY_DRIVER=$rust_dir/clippy-driver
	RUST_LIB_SRC=$(library_sources "$RUSTC")
	RUSTC_LLVM_MAJOR=$(llvm_major "$RUSTC")
	if ! good "$CARGO" cargo "$MIN_CARGO"; then
		CARGO=$(packaged cargo)
	fi
	CARGO=$(full_path "$CARGO")
	if [ -z "${LLVM:-}" ]; then
		LLVM=-${clang:-$RUSTC_LLVM_MAJOR}
		command -v "clang$LLVM" >/dev/null || LLVM=1
	fi
	CLANG_MAJOR=$(version "$(llvm_tool clang)" clang | cut -d . -f 1)
	CCACHE=
	! command -v ccache >/dev/null || CCACHE=ccache
	BUSYBOX=$(full_path busybox)
	is_static "$BUSYBOX" || BUSYBOX=$TOP/out/tools/bin/busybox
	if [ -z "${BINDGEN:-}" ]; then
		BINDGEN=$TOP/out/tools/bin/bindgen
		if ! good "$BINDGEN" bindgen "$MIN_BINDGEN" && good "$(packaged bindgen)" bindgen "$MIN_BINDGEN"; then
			BINDGEN=$(packaged bindgen)
		fi
	fi
	BINDGEN=$(full_path "$BINDGEN")
}

# packaged TOOL: the path where Debian installs it. One of rustup's may come first in PATH, without
# the sources of the library.
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

# need TOOL KIND LOWEST NAME: note TOOL as lacking unless it is a KIND of this version or later.
need() {
	good "$1" "$2" "$3" || lack "${4:-$1} >= $3${found:+ (found $found)}"
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
	if good "$RUSTC" rustc "$MIN_RUSTC"; then
		for tool in rustfmt rustdoc clippy-driver; do
			[ -n "$(version "$rust_dir/$tool" "$tool")" ] || lack "$rust_dir/$tool"
		done
		[ -f "$RUST_LIB_SRC/core/src/lib.rs" ] || lack "the library sources of $RUSTC (rust-src)"
	else
		need "$RUSTC" rustc "$MIN_RUSTC" "rustc, with rustfmt, clippy and rust-src,"
	fi
	need "$CARGO" cargo "$MIN_CARGO" cargo
	for tool in $LLVM_TOOLS; do
		need "$(llvm_tool "$tool")" "$tool" "$MIN_LLVM"
	done
	is_static "$BUSYBOX" || lack "a static busybox"
	echo 'int main(void) { return 0; }' | compiles -m32 -static || lack "gcc -m32 with a static 32-bit libc"
	echo 'int main(void) { return 0; }' | compiles -mx32 -static || lack "gcc -mx32 with a static x32 libc"
	echo '#include <gelf.h>
int main(void) { return 0; }' | compiles -lelf || lack "libelf with its header"
	echo '#include <sys/capability.h>
int main(void) { return 0; }' | compiles -lcap || lack "libcap with its header"
	refuse_lacking
}

refuse_lacking() {
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
check_variables
lock "$TOP/out/.lock"
apt=$(command -v apt-get || :)
asked="RUSTC=${RUSTC:-} LLVM=${LLVM:-} BINDGEN=${BINDGEN:-}"
if [ -f "$ENV" ] && [ "$(fingerprint)" = "$(cat "$TOP/out/toolchain.stamp" 2>/dev/null)" ]; then
	if only_prints; then
		say "setup: all tools are installed"
		announce_rest
	fi
	exit
fi
CARGO=$(full_path cargo)
clang=
plan
if only_prints; then
	announce_rest
	say "setup: SETUP=print: nothing was installed"
	exit
fi
install_packages
find_tools
if [ -n "$apt" ] && ! is_static "$BUSYBOX"; then
	own_busybox
fi
check_tools
if [ "$BINDGEN" = "$TOP/out/tools/bin/bindgen" ] && ! good "$BINDGEN" bindgen "$MIN_BINDGEN"; then
	own_bindgen
fi
need "$BINDGEN" bindgen "$MIN_BINDGEN" bindgen
refuse_lacking
write_env
say "setup: ready: rustc $(version "$RUSTC" rustc) (LLVM $RUSTC_LLVM_MAJOR), clang $CLANG_MAJOR, bindgen $(version "$BINDGEN" bindgen)"
