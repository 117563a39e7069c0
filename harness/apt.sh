# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Packages of any suite of Debian's, fetched through this machine's mirror and verified by the
# archive's signature; nothing is installed. For a script that has sourced lib.sh and made $tmp;
# $otherwise is what it tells the user to do where there is no such package.

# shellcheck disable=SC2034 # for the scripts that source this
cache=${TIMENS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or TIMENS_CACHE}/.cache}/timens-rust}

# apt with directories of its own, and nothing of the machine's configuration but how to
# reach its mirror (proxies, certificates). Hooks of the machine's apt do not run.
private_apt() {
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

# use_suite SUITE PACKAGE: point apt at the suite and leave the versions of the package, newest
# first, in $tmp/versions. The archives that the machine's apt uses are tried in turn: only
# Debian's own has the suite under the signature of Debian's keyring.
use_suite() {
	command -v apt-get >/dev/null || die "no apt here to fetch $2$otherwise"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f "$keyring" ] || die "$keyring is missing: install debian-archive-keyring$otherwise"
	apt-get --print-uris update 2>/dev/null |
		sed -n "s,^'\(.*\)/dists/.*/InRelease' .*,\1,p" | awk '!seen[$0]++' >"$tmp/archives"
	[ -s "$tmp/archives" ] || die "apt on this machine has no archive configured$otherwise"
	private_apt
	while read -r archive; do
		say "deb [signed-by=$keyring] $archive $1 main" >"$tmp/sources.list"
		if apt-get update >>"$tmp/apt.log" 2>&1 </dev/null; then
			apt-cache madison "$2" | awk '{ print $3 }' >"$tmp/versions"
			[ ! -s "$tmp/versions" ] || return 0
		fi
	done <"$tmp/archives"
	reason=$(sed -n '/^[EW]: /{s///p;q}' "$tmp/apt.log")
	die "apt finds no $2 in $1${reason:+ ($reason)}$otherwise"
}
