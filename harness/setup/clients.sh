#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Prepare out/clients for ./timens clients: the root of its guests (root), a Go compiler (go) and
# manual pages (man). They come from Debian packages, which are fetched once and kept in the cache.
# Nothing is installed on this machine.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

# The first suite whose runc, crun and CRIU all support time namespaces.
SUITE=forky
GUEST="bash coreutils criu crun diffutils gawk grep gzip hostname jq libcriu2 mount procps runc sed tar util-linux
	util-linux-extra"
wanted="$GUEST manpages manpages-dev"
otherwise=": timens clients needs packages of Debian $SUITE"

out=$TOP/out/clients
debs=$cache/clients-$SUITE

# fetch: fetch all packages and their dependencies into $debs, with checksums.
fetch() {
	use_suite "$SUITE" crun
	go=$(apt-cache depends golang-go | sed -n 's/^ *Depends: \(golang-[0-9.]*-go\)$/\1/p')
	[ -n "$go" ] || die "apt finds no Go compiler in $SUITE$otherwise"
	# shellcheck disable=SC2086 # lists of words
	logged clients-packages "clients: fetching packages of $SUITE" apt-get install -y --download-only \
		--no-install-recommends $wanted "$go" ||
		die "apt could not fetch the packages: see above, and try again"
	mkdir "$tmp/debs"
	mv "$tmp"/cache/archives/*.deb "$tmp/debs"
	say "$wanted" >"$tmp/debs/wanted"
	(cd "$tmp/debs" && sha256sum -- wanted *.deb >SHA256SUMS)
	rm -rf "$debs"
	mv "$tmp/debs" "$debs"
}

# unpack DIR OPTION...: unpack the packages that grep OPTION... selects into DIR.
unpack() {
	into=$tmp/out/$1
	shift
	mkdir -p "$into"
	find "$debs" -name '*.deb' | sort | grep "$@" >"$tmp/unpack"
	while read -r deb; do
		if ! dpkg-deb --fsys-tarfile "$deb" >"$tmp/tar" ||
			! tar -xf "$tmp/tar" -C "$into" --no-same-owner --keep-directory-symlink; then
			die "$(basename "$deb"): cannot be unpacked, remove $debs and try again"
		fi
	done <"$tmp/unpack"
}

lock "$cache/lock"
stamp=$(sha256 "$0")
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
	exit
fi
scratch "$cache"
if [ "$(cat "$debs/wanted" 2>/dev/null)" != "$wanted" ] ||
	! (cd "$debs" && sha256sum --quiet -c SHA256SUMS) >/dev/null 2>&1; then
	fetch
fi
for dir in bin sbin lib lib64; do
	mkdir -p "$tmp/out/root/usr/$dir"
	ln -s "usr/$dir" "$tmp/out/root/$dir"
done
unpack root -v -e '/golang-[^/]*$' -e '/manpages[^/]*$'
# Links that the packages' scripts would make. The scripts do not run here.
ln -s bash "$tmp/out/root/usr/bin/sh"
ln -s gawk "$tmp/out/root/usr/bin/awk"
# Remove documentation and headers.
rm -rf "$tmp/out/root/usr/share" "$tmp/out/root/usr/include"
unpack go -e '/golang-[^/]*$'
unpack man -e '/manpages[^/]*$'
say "$stamp" >"$tmp/out/stamp"
rm -rf "$out"
mkdir -p "$TOP/out"
mv "$tmp/out" "$out"
say "clients: $(cd "$debs" && printf '%s\n' crun_* runc_* criu_* util-linux_* | sed 's/_amd64.*//' | paste -s -d ' ')"
