#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# base.sh [DIR]: see that the Linux which the series is made for is here and genuine, and
# put its files into DIR, a new directory. They are as old as this: whatever was built
# from another base is older.
#
# It is the Debian package that BASE names, fetched through the mirror and keyring of this
# machine's own apt and kept in the cache, or what KDIR= or LINUX_TARBALL= name.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/series/lib.sh
. "$TOP/harness/series/lib.sh"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"
# shellcheck source=BASE
. "$TOP/BASE"

into=${1:-}
otherwise=": give LINUX_TARBALL= or KDIR="
# linux-source-7.3 is Linux 7.3.y.
series=${PACKAGE#linux-source-}

# check_version NAME VERSION: NAME is of the kernel series that the patches are for.
check_version() {
	case $2 in
	"$series".*) ;;
	"" | ..) die "$1: not a Linux source" ;;
	*) die "$1: is Linux $2, but the series needs $series.y" ;;
	esac
}

# check_sha256 FILE SUM: refuse FILE by name if it is not what BASE says.
check_sha256() {
	sum=$(sha256 "$1")
	[ "$sum" = "$2" ] || die "$(basename "$1"): sha256 is $sum, but BASE says $2"
}

# fetch: get the package, verify it, and put its tarball into the cache. Sets $tarball.
fetch() {
	scratch "$cache"
	use_suite "$SUITE" "$PACKAGE"
	version=$VERSION
	if ! grep -qxF "$VERSION" "$tmp/versions"; then
		version=$(head -n 1 "$tmp/versions")
		say "base: $PACKAGE $VERSION is gone from $SUITE, taking $version (verified by the archive's signature)"
		tarball=$cache/${PACKAGE}_$version.tar.xz
		[ ! -f "$tarball" ] || return 0
	fi
	say "base: fetching $PACKAGE $version"
	(cd "$tmp" && apt-get download "$PACKAGE=$version" </dev/null) ||
		die "apt could not fetch $PACKAGE $version: try again, or give LINUX_TARBALL= or KDIR="
	deb=$(find "$tmp" -maxdepth 1 -name "${PACKAGE}_*.deb")
	[ "$version" != "$VERSION" ] || check_sha256 "$deb" "$DEB_SHA256"
	dpkg-deb -x "$deb" "$tmp/deb" || die "$(basename "$deb"): cannot be unpacked"
	got=$tmp/deb/usr/src/$PACKAGE.tar.xz
	[ "$version" != "$VERSION" ] || check_sha256 "$got" "$TARBALL_SHA256"
	tarball=$cache/${PACKAGE}_$version.tar.xz
	mv -f "$got" "$tarball"
}

# from_package: find the tarball in the cache, or fetch it. Sets $tarball.
from_package() {
	lock "$cache/lock"
	tarball=$cache/${PACKAGE}_$VERSION.tar.xz
	if [ -f "$tarball" ] && [ "$(sha256 "$tarball")" != "$TARBALL_SHA256" ]; then
		say "base: $tarball: wrong sha256, removed"
		rm -f "$tarball"
	fi
	[ -f "$tarball" ] || fetch
}

# check_tarball: LINUX_TARBALL is the one that BASE knows, or another $series.y.
check_tarball() {
	[ -f "$tarball" ] || die "LINUX_TARBALL=$tarball: no such file"
	[ "$(sha256 "$tarball")" != "$TARBALL_SHA256" ] || return 0
	[ "$(basename "$tarball")" != "$PACKAGE.tar.xz" ] || check_sha256 "$tarball" "$TARBALL_SHA256"
	makefile=$(tar -xOf "$tarball" --occurrence=1 --no-wildcards-match-slash --wildcards '*/Makefile' 2>/dev/null) ||
		die "$tarball: truncated, or not a tar archive of Linux"
	check_version "$tarball" "$(printf '%s\n' "$makefile" | linux_version)"
}

check_kdir() {
	[ -f "$KDIR/Makefile" ] || die "KDIR=$KDIR: no Linux source there"
	check_version "KDIR=$KDIR" "$(linux_version <"$KDIR/Makefile")"
	if kdir_is_git "$KDIR"; then
		return
	fi
	for made in .config include/config; do
		[ ! -e "$KDIR/$made" ] || die "KDIR=$KDIR: was built in, run 'make mrproper' there first"
	done
}

copy_kdir() {
	if kdir_is_git "$KDIR"; then
		# The files of HEAD, and none that are changed or merely lie there.
		GIT_INDEX_FILE=$into.index git -C "$KDIR" read-tree HEAD &&
			GIT_INDEX_FILE=$into.index git -C "$KDIR" checkout-index -a --prefix="$into/" &&
			rm "$into.index"
	else
		cp -R --preserve=mode "$KDIR/." "$into"
	fi
}

if [ -n "${KDIR:-}" ]; then
	[ -z "${LINUX_TARBALL:-}" ] || die "KDIR= and LINUX_TARBALL= are both set: give one of them"
	[ -d "$KDIR" ] || die "KDIR=$KDIR: no such directory"
	KDIR=$(realpath "$KDIR")
	check_kdir
	say "base: Linux $(linux_version <"$KDIR/Makefile"), $KDIR"
	[ -n "$into" ] || exit 0
	mkdir -p "$into"
	logged base-copy "base: copying $KDIR" copy_kdir || die "KDIR=$KDIR: could not be copied"
else
	if [ -n "${LINUX_TARBALL:-}" ]; then
		tarball=$LINUX_TARBALL
		check_tarball
	else
		from_package
	fi
	say "base: $tarball, verified"
	[ -n "$into" ] || exit 0
	mkdir -p "$into"
	logged base-unpack "base: unpacking" \
		tar -xmf "$tarball" -C "$into" --strip-components=1 --no-same-owner ||
		die "$tarball: truncated, or not a tar archive"
	[ -f "$into/Makefile" ] || die "$tarball: not a Linux source"
	check_version "$tarball" "$(linux_version <"$into/Makefile")"
fi
