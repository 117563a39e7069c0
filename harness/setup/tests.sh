#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test the checks of the user's variables, SETUP=print, oldest-rustc.sh, newcomer.sh's options and
# .ci/run, in TAP. Writes only to a scratch directory and needs no network: scripts take the place
# of apt, dpkg, sudo and id.

set -eu
export LC_ALL=C
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset KDIR LINUX_TARBALL RUSTC LLVM BINDGEN JOBS ACCEL SETUP FORCE APT_CONFIG
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export TIMENS_CACHE="$work/cache"

# shellcheck source=harness/setup/tap.sh
. "$TOP/harness/setup/tap.sh"

# prints NAME PATTERN: the last command printed a line that matches PATTERN.
prints() {
	cp "$work/output" "$work/printed"
	passes "$1" grep -q "$2" "$work/printed"
	cp "$work/printed" "$work/output"
}

# script PATH: an executable script with the lines of stdin.
script() {
	mkdir -p "$(dirname "$1")"
	{
		echo '#!/bin/sh'
		cat
	} >"$1"
	chmod +x "$1"
}

# tool PATH TEXT: a tool whose --version prints TEXT.
tool() {
	echo "echo '$2'" | script "$1"
}

# A checkout.
co=$work/checkout
mkdir -p "$co/harness" "$co/.ci"
cp -R "$TOP/harness/setup" "$TOP/harness/series" "$TOP/harness/Cargo.toml" "$co/harness"
cp "$TOP/BASE" "$TOP/timens" "$co"
cp "$TOP/.ci/run" "$co/.ci"
setup=$co/harness/setup/setup.sh
tree=$co/harness/series/tree.sh

# The user's variables.
mkdir -p "$work/empty" "$work/old" "$work/built/include/config"
printf '%s\n' 'VERSION = 6' 'PATCHLEVEL = 12' 'SUBLEVEL = 1' 'EXTRAVERSION =' >"$work/old/Makefile"
printf '%s\n' 'VERSION = 7' 'PATCHLEVEL = 3' 'SUBLEVEL = 1' 'EXTRAVERSION =' >"$work/built/Makefile"
echo 'all:' >"$work/empty/other"
refuses "a KDIR that is missing" "KDIR=$work/none: no such directory: give" env KDIR="$work/none" sh "$setup"
refuses "a KDIR without a Makefile" "KDIR=$work/empty: has no Makefile of Linux: give" env KDIR="$work/empty" sh "$setup"
refuses "a KDIR of another Linux" "KDIR=$work/old: is Linux 6.12.1: give" env KDIR="$work/old" sh "$setup"
echo 'all:' >"$work/empty/Makefile"
refuses "a KDIR with another Makefile" "KDIR=$work/empty: not a Linux source: give" env KDIR="$work/empty" sh "$setup"
refuses "a KDIR that a kernel was built in" "KDIR=$work/built: .*run 'make mrproper'" env KDIR="$work/built" sh "$setup"
refuses "a LINUX_TARBALL that is missing" "LINUX_TARBALL=$work/none: no such file: give" env LINUX_TARBALL="$work/none" sh "$setup"
refuses "KDIR and LINUX_TARBALL" "KDIR=$work/built: LINUX_TARBALL=$setup is set as well: give" \
	env KDIR="$work/built" LINUX_TARBALL="$setup" sh "$setup"
for jobs in 0 -1 two 1.5 08; do
	refuses "JOBS=$jobs" "JOBS=$jobs: .*: give" env JOBS="$jobs" sh "$setup"
done
refuses "ACCEL=foo" "ACCEL=foo: .*: give kvm or tcg" env ACCEL=foo sh "$setup"
refuses "SETUP=foo" "SETUP=foo: .*: give print" env SETUP=foo sh "$setup"
refuses "FORCE=yes" "FORCE=yes: .*: give 1" env FORCE=yes sh "$setup"
refuses "a relative TIMENS_CACHE" "TIMENS_CACHE=cache: .*: give" env TIMENS_CACHE=cache sh "$setup"
refuses "a value of two lines" "JOBS=1 2: " env JOBS="1
2" sh "$setup"

# Tools, by their own names. /bin/false prints a version of coreutils.
for name in RUSTC BINDGEN; do
	refuses "$name=/bin/false" "$name=/bin/false: /bin/false --version does not print .*: give" \
		env "$name=/bin/false" sh "$setup"
	refuses "a $name that is missing" "$name=$work/none: there is no program .*: give" env "$name=$work/none" sh "$setup"
done
tool "$work/rust/rustc" 'rustc 1.70.0 (1234 2023-06-01)'
refuses "an old rustc" "RUSTC=.*: .* is rustc 1.70.0, which is too old: give 1.85.0" env RUSTC="$work/rust/rustc" sh "$setup"
script "$work/rust/rustc" <<-END
	case \$1 in
	--version) echo 'rustc 1.85.1 (1234 2025-03-15)' ;;
	--print) echo '$work/rust' ;;
	esac
END
refuses "a rustc without rustfmt" "RUSTC=.*: there is no rustfmt beside it: install" env RUSTC="$work/rust/rustc" sh "$setup"
for name in rustfmt rustdoc; do
	tool "$work/rust/$name" "$name 1.8.0"
done
tool "$work/rust/clippy-driver" 'clippy 0.1.85'
refuses "a rustc without rust-src" "RUSTC=.*: it lacks the sources.*: install rust-src" env RUSTC="$work/rust/rustc" sh "$setup"
tool "$work/bindgen" 'bindgen 0.60.1'
refuses "an old bindgen" "BINDGEN=.*: .* is bindgen 0.60.1, which is too old: give 0.71.1" env BINDGEN="$work/bindgen" sh "$setup"
refuses "LLVM=foo" "LLVM=foo: .*: give 1, or -19" env LLVM=foo sh "$setup"
refuses "an LLVM of no version" "LLVM=-0: there is no program clang-0: give" env LLVM=-0 sh "$setup"
tool "$work/llvm/clang" 'gcc version 19.1.0'
refuses "an LLVM whose clang is another compiler" "LLVM=$work/llvm/: .*/clang --version does not print .*: give" \
	env LLVM="$work/llvm/" sh "$setup"
tool "$work/llvm/clang" 'Debian clang version 19.1.7 (3)'
refuses "an LLVM without ld.lld" "LLVM=$work/llvm/: there is no program $work/llvm/ld.lld: give" env LLVM="$work/llvm/" sh "$setup"
tool "$work/llvm/ld.lld" 'Debian LLD 16.0.6 (compatible with GNU linkers)'
refuses "an old ld.lld" "LLVM=$work/llvm/: .* is ld.lld 16.0.6, which is too old: give 17.0.1" env LLVM="$work/llvm/" sh "$setup"
refuses "a wrong variable in tree.sh" "KDIR=$work/empty: " env KDIR="$work/empty" sh "$tree"
refuses "a wrong variable in refresh.sh" "JOBS=0: " env JOBS=0 sh "$co/harness/series/refresh.sh"
refuses "a wrong variable in export.sh" "JOBS=0: " env JOBS=0 sh "$co/harness/series/export.sh" cover
refuses "a wrong variable in base.sh" "JOBS=0: " env JOBS=0 sh "$co/harness/series/base.sh"
refuses "a wrong variable in timens" "JOBS=0: " env JOBS=0 sh "$co/timens" test
passes "none of this started any work" [ ! -e "$co/out" ]

# Set-up where nothing is installed. This apt offers what a Debian has, but not its bindgen.
calls=$work/calls
: >"$calls"
real=$PATH
PATH=$work/bin:$PATH
script "$work/bin/apt-get" <<-END
	echo "apt-get \$*" >>'$calls'
	case \$* in
	*--assume-no*)
		echo 'Need to get 300 MB of archives.'
		echo 'After this operation, 1,400 MB of additional disk space will be used.'
		exit 1 ;;
	esac
END
script "$work/bin/apt-cache" <<-'END'
	case "$*" in
	"policy bindgen") echo '  Candidate: 0.60.1-1' ;;
	"policy rustc") echo '  Candidate: 1.85.1-1' ;;
	policy*) echo '  Candidate: 19.1' ;;
	pkgnames*) printf '%s\n' clang-16 clang-19 ;;
	esac
END
echo 'exit 1' | script "$work/bin/dpkg-query"
echo 'exit 0' | script "$work/bin/apt-config"
echo "echo sudo >>'$calls'; exit 1" | script "$work/bin/sudo"
echo "[ \$1 = --version ] || echo cargo >>'$calls'" | script "$work/bin/cargo"
echo 'echo 1000' | script "$work/bin/id"
passes "SETUP=print" env SETUP=print sh "$setup"
prints "names apt, sudo and the sizes" \
	'^setup: with apt-get through sudo: .* packages, 300 MB to fetch, 1,400 MB on disk:$'
prints "names the packages" ' clang-19 '
prints "prefers Debian's own rustc" ' rustc rust-src '
if [ -x /usr/bin/bindgen ]; then
	count=$((count + 1))
	echo "ok $count - names bindgen # SKIP /usr/bin/bindgen is installed"
else
	prints "names bindgen" '^setup: with cargo: bindgen [0-9.]* from crates.io, .* minutes$'
fi
prints "names the kernel's source and its size" "^later: .*linux-source-7.3 .*, [0-9]* MB, into $work/cache$"
prints "says that nothing was installed" '^setup: SETUP=print: nothing was installed$'
passes "installs nothing" sh -c "! grep -v -e 'apt-get -s ' -e 'apt-get install --assume-no ' '$calls' | grep -e install -e update"
passes "asks for no password" sh -c "! grep sudo '$calls'"
passes "records no tools" [ ! -e "$co/out/toolchain.env" ]
passes "SETUP=print ./timens run" env SETUP=print sh "$co/timens" run
prints "prints the same" '^setup: SETUP=print: nothing was installed$'
passes "runs nothing" sh -c "[ ! -e '$co/out/linux' ] && ! grep '^cargo' '$calls'"
passes "SETUP=print tree.sh" env SETUP=print sh "$tree"
passes "prepares nothing" [ ! -e "$co/out/linux" ]
: >"$calls"
code=0
sh "$setup" >"$work/output" 2>&1 || code=$?
prints "a set-up whose sudo is refused says so" '^error: sudo refused: have root run .*apt-get install'
passes "but has named the packages before" \
	[ "$(grep -n -m 1 ' clang-19 ' "$work/printed" | cut -d : -f 1)" -lt "$(grep -n -m 1 '^error' "$work/printed" | cut -d : -f 1)" ]
passes "and fails, with nothing installed" sh -c "[ $code -ne 0 ] && ! grep -v -e 'apt-get -s ' -e --assume-no '$calls' | grep install"

# The other scripts.
refuses "newcomer as an ordinary user" "newcomer .*run it as root" sh "$co/harness/setup/newcomer.sh"
refuses "newcomer in another suite" "--suite sid: unknown: give bookworm or trixie" sh "$co/harness/setup/newcomer.sh" --suite sid
passes "newcomer --help" sh "$co/harness/setup/newcomer.sh" --help
sed -i 's/^rust-version.*/rust-version = "1.2"/' "$co/harness/Cargo.toml"
mkdir "$work/no-apt"
for name in sh dirname sed cat; do
	ln -s "$(PATH=$real command -v "$name")" "$work/no-apt/$name"
done
code=0
PATH=$work/no-apt sh "$co/harness/setup/oldest-rustc.sh" >"$work/path" 2>"$work/errors" || code=$?
passes "oldest-rustc.sh exits with 4 where there is no apt" [ "$code" -eq 4 ]
passes "and prints the reason" [ "$(cat "$work/path" "$work/errors")" = "there is no rustc 1.2, and no apt to fetch it" ]

echo 'exit 0' >"$setup"
printf '%s\n' 'echo 3 passed, 1 failed, 0 skipped' 'echo make: Error 1 >&2' 'exit 2' | script "$work/bin/make"
code=0
bash "$co/.ci/run" >"$work/ci" 2>&1 || code=$?
passes ".ci/run fails with the tests" [ "$code" -ne 0 ]
passes "and ends with their counts" [ "$(tail -n 1 "$work/ci")" = "3 passed, 1 failed, 0 skipped" ]
echo 'exit 1' >"$setup"
bash "$co/.ci/run" >"$work/ci" 2>&1 || :
passes "and with one failure if nothing ran" [ "$(tail -n 1 "$work/ci")" = "0 passed, 1 failed, 0 skipped" ]

echo "1..$count"
[ "$failed" -eq 0 ]
