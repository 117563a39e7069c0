# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Fetch packages of any suite of Debian through this machine's mirror. apt verifies the archive's
# signature. Nothing is installed. A script sources this file after lib.sh, and sets $otherwise to the
# end of an error message: the alternative to the package. $tmp is its scratch directory.
#
# shellcheck disable=SC2154 # the script sets tmp and otherwise

# shellcheck disable=SC2034 # for the scripts that source this
cache=${TIMENS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or TIMENS_CACHE}/.cache}/timens-rust}

# private_apt: configure apt with directories of its own. Of the machine's configuration it only takes
# the transport settings (proxies, certificates), and no hooks. Writes the archives of the machine's
# apt to $tmp/archives. The callers try each: only Debian's own archives have Debian's suites with a
# signature of Debian's keyring.
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

# use_archive ARCHIVE SUITE...: make these the only source of the private apt.
use_archive() {
	archive=$1
	shift
	for suite; do
		say "deb [signed-by=$keyring] $archive $suite main"
	done >"$tmp/sources.list"
	apt-get update >>"$tmp/apt.log" 2>&1 </dev/null
}

# apt_reason: the first error of the private apt, in brackets, if there is one.
apt_reason() {
	sed -n '/^[EW]: /{s/^[EW]: \(.*\)/ (\1)/p;q}' "$tmp/apt.log"
}

# use_suite SUITE PACKAGE: make the suite the source of the private apt, and write the versions of the
# package to $tmp/versions, newest first.
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
