# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Packages of any suite of Debian's, fetched through this machine's mirror and verified by the
# archive's signature; nothing is installed. For a script that has sourced lib.sh and made $tmp;
# $otherwise is what it tells the user to do where there is no such package.

# shellcheck disable=SC2034 # for the scripts that source this
cache=${TIMENS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or TIMENS_CACHE}/.cache}/timens-rust}

# private_apt: apt with directories of its own, and nothing of the machine's configuration but
# how to reach its mirror (proxies, certificates). Hooks of the machine's apt do not run.
# Leaves the archives that the machine's apt uses in $tmp/archives, to be tried in turn: only
# Debian's own has Debian's suites under the signature of Debian's keyring.
private_apt() {
	command -v apt-get >/dev/null || die "no apt here to fetch packages$otherwise"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f "$keyring" ] || die "$keyring is missing: install debian-archive-keyring$otherwise"
	apt-get --print-uris update 2>/dev/null |
		sed -n "s,^'\(.*\)/dists/.*/InRelease' .*,\1,p" | awk '!seen[$0]++' >"$tmp/archives"
	[ -s "$tmp/archives" ] || die "apt on this machine has no archive configured$otherwise"
	apt-config dump | grep '^Acquire::' >"$tmp/apt.conf" || :
	cat >>"$tmp/apt.conf" <<-END
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::Cache "$tmp/cache";
		Dir::Etc::main "/dev/null";
		Dir::Etc::parts "/dev/null";
		Dir::Etc::sourcelist "$tmp/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State "$tmp/state";
		Dir::State::lists "$tmp/state/lists";
		Dir::State::status "/dev/null";
	END
	mkdir -p "$tmp/cache/archives/partial" "$tmp/state/lists/partial"
	export APT_CONFIG="$tmp/apt.conf"
}

# use_archive ARCHIVE SUITE...: point the private apt there.
use_archive() {
	archive=$1
	shift
	for suite; do
		say "deb [signed-by=$keyring] $archive $suite main"
	done >"$tmp/sources.list"
	apt-get update >>"$tmp/apt.log" 2>&1 </dev/null
}

# apt_reason: why the private apt found nothing, in brackets, if it said so.
apt_reason() {
	sed -n '/^[EW]: /{s/^[EW]: \(.*\)/ (\1)/p;q}' "$tmp/apt.log"
}

# use_suite SUITE PACKAGE: point apt at the suite and leave the versions of the package, newest
# first, in $tmp/versions.
use_suite() {
	private_apt
	while read -r archive; do
		if use_archive "$archive" "$1"; then
			apt-cache madison "$2" | awk '{ print $3 }' >"$tmp/versions"
			[ ! -s "$tmp/versions" ] || return 0
		fi
	done <"$tmp/archives"
	die "apt finds no $2 in $1$(apt_reason)$otherwise"
}
