#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# base.sh [DIR]: verify the Linux source that the series is based on, and put its files into DIR, a
# new directory. The files get the current time, so that they are newer than everything built from
# another base.
#
# The source is the Debian package that BASE names. It is fetched through the mirror and keyring of
# this machine's own apt and kept in the cache. KDIR= or LINUX_TARBALL= name another source.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/checks.sh
. "$TOP/harness/setup/checks.sh"
# shellcheck source=harness/series/lib.sh
. "$TOP/harness/series/lib.sh"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

into=${1:-}
otherwise=": give LINUX_TARBALL= or KDIR="
# check_sha256 FILE SUM: refuse FILE, by its name, if BASE has another checksum for it.
check_sha256() {
	sum=$(sha256 "$1")
	[ "$sum" = "$2" ] || die "$(basename "$1"): sha256 is $sum, but BASE has $2"
}

# fetch: fetch the package, verify it, and put its tarball into the cache. Sets $tarball.
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

# verify_tarball: LINUX_TARBALL is the tarball of BASE, or another Linux of the series' version.
verify_tarball() {
	[ "$(sha256 "$tarball")" != "$TARBALL_SHA256" ] || return 0
	[ "$(basename "$tarball")" != "$PACKAGE.tar.xz" ] || check_sha256 "$tarball" "$TARBALL_SHA256"
	makefile=$(tar -xOf "$tarball" --occurrence=1 --no-wildcards-match-slash --wildcards '*/Makefile' 2>/dev/null) ||
		wrong LINUX_TARBALL "truncated, or not a tar archive of Linux: give another"
	check_version LINUX_TARBALL "$(printf '%s\n' "$makefile" | linux_version)"
}

copy_kdir() {
	if kdir_is_git "$KDIR"; then
		# The files of HEAD, without changes and untracked files.
		GIT_INDEX_FILE=$into.index git -C "$KDIR" read-tree HEAD &&
			GIT_INDEX_FILE=$into.index git -C "$KDIR" checkout-index -a --prefix="$into/" &&
			rm "$into.index"
	else
		cp -R --preserve=mode "$KDIR/." "$into"
	fi
}

check_variables
if [ -n "${KDIR:-}" ]; then
	KDIR=$(realpath "$KDIR")
	say "base: Linux $(linux_version <"$KDIR/Makefile"), $KDIR"
	[ -n "$into" ] || exit 0
	mkdir -p "$into"
	logged base-copy "base: copying $KDIR" copy_kdir || wrong KDIR "could not be copied: see above"
else
	if [ -n "${LINUX_TARBALL:-}" ]; then
		tarball=$LINUX_TARBALL
		verify_tarball
	else
		from_package
	fi
	say "base: $tarball, verified"
	[ -n "$into" ] || exit 0
	mkdir -p "$into"
	logged base-unpack "base: unpacking" \
		tar -xmf "$tarball" -C "$into" --strip-components=1 --no-same-owner ||
		die "$tarball: truncated, or not a tar archive"
	case $(linux_version <"$into/Makefile") in
	"$SERIES".*) ;;
	*) die "$tarball: not a Linux $SERIES.y" ;;
	esac
fi
