#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# export.sh COVER: write the commits of out/linux as mails into out/series: a cover letter with the
# text of the file COVER, whose first line is the subject, and one patch for each commit. Then apply
# them with git am.
#
#   SIGNOFF="Name <mail>"   the submitter, who becomes the author and signs off
#   ASSISTED="AGENT:MODEL"  the tools that took part, for an Assisted-by: trailer
#   TO= CC=                 addresses that replace those of get_maintainer.pl
#   PREFIX="RFC PATCH"      the prefix of the subjects
#   ONTO=linux-source-7.2   also apply them on this kernel of Debian's, and not on the newest

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
# git status must not write the index of out/linux.
export GIT_OPTIONAL_LOCKS=0

SIGNOFF=${SIGNOFF:-}
# The suites that have newer kernels than BASE.
SUITES="$SUITE sid experimental"
otherwise=": there is no other kernel to apply the series on"

check_signoff() {
	# A second line must not pass the check below.
	SIGNOFF=$(printf %s "$SIGNOFF" | tr '\n' '<')
	printf '%s\n' "$SIGNOFF" | grep -Eq '^[^]<>()@,;:"\\[ ][^]<>()@,;:"\\[]* <[^<>@ ]+@[^<>@ ]+\.[^<>@ ]+>$' ||
		wrong SIGNOFF "not a name and an address: give SIGNOFF=\"Name <mail@domain>\""
}

# identify COMMIT: set git's author and committer to COMMIT's author, or to the submitter if the author
# has not signed off.
identify() {
	GIT_AUTHOR_NAME=$(kgit log -1 --format=%an "$1")
	GIT_AUTHOR_EMAIL=$(kgit log -1 --format=%ae "$1")
	GIT_AUTHOR_DATE=$(kgit log -1 --format=%aI "$1")
	if [ -n "$SIGNOFF" ] && [ -z "$(kgit log -1 --format='%(trailers:key=Signed-off-by)' "$1")" ]; then
		GIT_AUTHOR_NAME=${SIGNOFF% <*}
		GIT_AUTHOR_EMAIL=${SIGNOFF##*<}
		GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL%>}
	fi
	GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME
	GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
	GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
	export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
}

# sign: make new commits, in the object store alone, with the submitter's trailer.
sign() {
	kgit rev-list --reverse "$base..$tip" >"$tmp/commits"
	tip=$base
	while read -r commit; do
		identify "$commit"
		kgit log -1 --format=%B "$commit" |
			kgit interpret-trailers ${ASSISTED:+--trailer "Assisted-by: $ASSISTED"} \
				--trailer "Signed-off-by: $SIGNOFF" >"$tmp/message"
		tip=$(kgit commit-tree -p "$tip" -F "$tmp/message" "$commit^{tree}")
	done <"$tmp/commits"
}

# cover FILE: put the text of COVER into the cover letter FILE.
cover() {
	awk -v subject="$(head -n 1 "$text")" -v text="$tmp/blurb" '
		/^Subject: / { sub(/\*\*\* SUBJECT HERE \*\*\*/, subject) }
		/^\*\*\* BLURB HERE \*\*\*$/ { while ((getline line < text) > 0) print line; next }
		{ print }' "$1" >"$tmp/letter"
	mv "$tmp/letter" "$1"
}

# people PATCH OPTION...: the addresses that get_maintainer.pl prints. Names are in ASCII, as mails need
# it.
people() {
	(cd "$LINUX" && perl scripts/get_maintainer.pl --no-git --no-git-fallback --no-fixes --no-rolestats "$@") |
		perl -CI -MEncode -pe 's/^"?([^"<]*[^\0-\x7f][^"<]*?)"? </encode("MIME-Q", $1) . " <"/e'
}

# without FILE: the lines of stdin that are not in FILE, without duplicates.
without() {
	awk 'NR == FNR { seen[$0] = 1; next } !seen[$0]++' "$1" -
}

# addresses FILE KIND: the header KIND with the addresses in FILE, one a line.
addresses() {
	[ ! -s "$1" ] || awk -v kind="$2" '{ printf "%s%s", (NR > 1 ? ",\n\t" : kind ": "), $0 } END { print "" }' "$1"
}

# mail_head MAIL TO CC: end the mail's header with the addresses in the files TO and CC, or with those
# of TO= and CC=.
mail_head() {
	[ -z "${TO:-}" ] || say "$TO" >"$2"
	[ -z "${CC:-}" ] || say "$CC" >"$3"
	{
		sed '/^$/,$d' "$1"
		addresses "$2" To
		addresses "$3" Cc
		sed -n '/^$/,$p' "$1"
	} >"$tmp/mail"
	mv "$tmp/mail" "$1"
}

# address: address each patch to the maintainers, with a copy to the reviewers and the lists, and the
# cover letter to all of them.
address() {
	while read -r patch; do
		# An entry of MAINTAINERS matches the word "Rust": it must not match the sender's name.
		sed '1,/^$/{/^From: /d;}' "$patch" >"$tmp/unsigned"
		people "$tmp/unsigned" --no-r --no-l >"$tmp/to"
		people "$tmp/unsigned" | without "$tmp/to" >"$tmp/cc"
		mail_head "$patch" "$tmp/to" "$tmp/cc"
		cat "$tmp/to" >>"$tmp/all-to"
		cat "$tmp/cc" >>"$tmp/all-cc"
	done <"$tmp/patches"
	awk '!seen[$0]++' "$tmp/all-to" >"$tmp/to"
	without "$tmp/to" <"$tmp/all-cc" >"$tmp/cc"
	mail_head "$mails/0000-cover-letter.patch" "$tmp/to" "$tmp/cc"
}

# git in a repository that shares the objects of out/linux. Its work tree has only the files that the
# series changes.
agit() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C "$tmp/am" "$@"
}

prepare_am() {
	kgit clone -q --shared --no-checkout --no-tags "$LINUX" "$tmp/am"
	kgit diff --name-only --no-renames "$base" "$tip" >"$tmp/files"
	sed 's,^,/,' "$tmp/files" | agit sparse-checkout set --no-cone --stdin
}

# am_on_base: apply the mails on the base, and check that the result is the series.
am_on_base() {
	agit checkout -q --detach "$base"
	xargs -d '\n' git -C "$tmp/am" am -q <"$tmp/patches" >"$tmp/err" 2>&1 ||
		die "git am does not apply the series on $on_base: $(grep -m 1 ^error "$tmp/err")"
	[ "$(agit rev-parse 'HEAD^{tree}')" = "$(kgit rev-parse "$tip^{tree}")" ] ||
		die "git am applies the series on $on_base, but the files differ from out/linux"
	say "series: git am applies it on $on_base (base-commit $(kgit rev-parse --short=12 "$base"))"
}

# debian_edits TARBALL: the files of the package that Debian has patched. They have the time of the
# package, all other files that of the release.
debian_edits() {
	tar --utc --full-time -tvf "$1" |
		awk '/^-/ { time = $4 " " $5; count[time]++; sub("^[^/]*/", "", $6); of[$6] = time }
		     END { for (time in count) if (count[time] > count[most]) most = time
			   for (file in of) if (of[file] != most) print file }' | sort
}

# check_debian: refuse a series that edits a file which Debian has patched.
check_debian() {
	if [ "$(state source)" != "tarball $TARBALL_SHA256" ]; then
		say "series: skipped: the check for Debian's patches: the base is not the package of BASE"
		return
	fi
	tarball=$(sh "$TOP/harness/series/base.sh" | sed -n 's/^base: \(.*\), verified$/\1/p')
	debian_edits "$tarball" >"$tmp/debian"
	[ -s "$tmp/debian" ] || die "$tarball: all files have the same time, so those that Debian patched are unknown"
	sort "$tmp/files" | comm -12 - "$tmp/debian" >"$tmp/both"
	[ ! -s "$tmp/both" ] ||
		die "the series edits files that Debian patches, and may not apply to the release: $(paste -sd ' ' "$tmp/both")"
	say "series: edits none of the $(wc -l <"$tmp/debian") files that Debian patches (by their time in $(basename "$tarball"))"
}

# newest: print the version and package of Debian's newest kernel source, or of $ONTO.
newest() {
	private_apt
	while read -r archive; do
		# shellcheck disable=SC2086 # one word per suite
		if use_archive "$archive" $SUITES; then
			apt-cache pkgnames linux-source- | grep -x "${ONTO:-linux-source-[0-9.]*}" >"$tmp/names" || continue
			xargs apt-cache madison <"$tmp/names" | awk '{ print $3, $1 }' | sort -rV | head -n 1
			return
		fi
	done <"$tmp/archives"
	die "apt finds no ${ONTO:-linux-source} in $SUITES$(apt_reason)$otherwise"
}

# import PACKAGE VERSION: make a commit on top of the base with that kernel's version of the files that
# the series changes, so that git can merge. Prints the commit.
import() {
	export APT_CONFIG="$tmp/apt.conf" GIT_INDEX_FILE="$tmp/index"
	(cd "$tmp" && apt-get download "$1=$2" </dev/null) >"$tmp/err" 2>&1 ||
		die "apt could not fetch $1 $2: $(grep -m 1 '^E: ' "$tmp/err")"
	mkdir "$tmp/onto"
	sed "s,^,$1/," "$tmp/files" >"$tmp/wanted"
	# Files that only the series has are not in the archive.
	dpkg-deb --fsys-tarfile "$tmp/$1"_*.deb | tar -xO "./usr/src/$1.tar.xz" |
		tar -xJ -C "$tmp/onto" --strip-components=1 -T "$tmp/wanted" 2>"$tmp/err" || :
	[ -f "$tmp/onto/MAINTAINERS" ] || die "$1 $2 could not be unpacked: $(head -n 1 "$tmp/err")"
	agit read-tree "$base"
	agit --work-tree="$tmp/onto" update-index --add --remove --stdin <"$tmp/files"
	agit commit-tree -p "$base" -m "$1 $2" "$(agit write-tree)"
}

# am_onto NAME COMMIT: apply the mails on COMMIT and print the result for each patch, then the files
# in which a merge has conflicts.
am_onto() {
	agit checkout -q --detach "$2"
	while read -r patch; do
		name=$(basename "$patch")
		if agit am -q "$patch" >/dev/null 2>"$tmp/err"; then
			say "  $name"
			continue
		fi
		files=$(sed -n 's/^error: \([^:]*\): \(patch does not\|does not exist\|already exists\).*/\1/p' "$tmp/err" | sort -u | paste -sd ' ')
		agit am --abort
		if ! agit am -q --3way "$patch" >/dev/null 2>&1; then
			say "  $name: does not apply ($files); the later patches were not applied"
			agit am --abort
			break
		fi
		say "  $name: with --3way ($files)"
	done <"$tmp/patches"
	agit merge-tree --write-tree --name-only --no-messages "$2" "$tip" >"$tmp/merge" ||
		say "series: $1: a three-way merge of the whole series has conflicts in $(tail -n +2 "$tmp/merge" | paste -sd ' ')"
}

# am_on_newest: apply the mails on the newest kernel that Debian has.
am_on_newest() {
	(newest >"$tmp/newest") 2>"$tmp/err" || {
		say "series: skipped: the newest kernel, $(sed 's/^error: //' "$tmp/err")"
		return
	}
	read -r version package <"$tmp/newest"
	if [ "${version%%-*}" = "${VERSION%%-*}" ]; then
		say "series: Debian has no newer kernel ($package $version in $SUITES)"
		return
	fi
	say "series: on $package $version:"
	commit=$(import "$package" "$version")
	am_onto "$package $version" "$commit"
}

# sizes: print the lines that each commit adds and removes.
sizes() {
	kgit log --reverse --no-renames --format='>%s' --numstat "$base..$tip" |
		awk '
			function flush() {
				if (subject) printf "%6d %5d  %s\n", plus, minus, subject
				if (plus > most) { most = plus; largest = subject }
			}
			/^>/ { flush(); subject = substr($0, 2); plus = minus = 0; next }
			NF { plus += $1; minus += $2 }
			END { flush(); printf "series: the largest, with %d lines: %s\n", most, largest }'
}

check_variables
! only_prints || exit 0
text=${1:?usage: export.sh COVER}
[ -z "$SIGNOFF" ] || check_signoff
[ -z "${ASSISTED:-}" ] || [ -n "$SIGNOFF" ] || wrong ASSISTED "the series is not signed off: give SIGNOFF= too"
lock "$TOP/out/.lock"
scratch "$TOP/out"
require_prepared
require_committed
base=$(kgit rev-parse refs/tags/base)
tip=$(kgit rev-parse series)
unfinished=$(kgit log --format=%s "$base..$tip" | grep -m 1 '^[a-z]*! ' || :)
[ -z "$unfinished" ] || die "out/linux has a commit \"$unfinished\": git rebase -i --autosquash base there first"
on_base=$(kgit log -1 --format=%s "$base")
identify "$tip"
[ -z "$SIGNOFF" ] || sign
mails=$tmp/series
tail -n +3 "$text" >"$tmp/blurb"
kgit format-patch -q --cover-letter --subject-prefix="${PREFIX:-RFC PATCH}" --base="$base" \
	--no-signature --no-renames -o "$mails" "$base..$tip"
find "$mails" -name '*.patch' ! -name '0000-*' | sort >"$tmp/patches"
cover "$mails/0000-cover-letter.patch"
address
rm -rf "$TOP/out/series"
cp -R "$mails" "$TOP/out/series"
sizes
say "series: out/series has a cover letter and $(wc -l <"$tmp/patches") patches, $(kgit diff --shortstat "$base" "$tip" | sed 's/^ //')"
prepare_am
am_on_base
check_debian
am_on_newest
if [ -n "$SIGNOFF" ]; then
	say "series: signed off by $SIGNOFF, as Documentation/process/submitting-patches.rst explains."
else
	say "series: not signed off: to submit it, give SIGNOFF=\"Name <mail>\" (see Documentation/process/submitting-patches.rst)."
fi
say "  It requires Fixes: in a patch that fixes a commit, and Cc: stable@vger.kernel.org for a backport."
say "  Documentation/process/coding-assistants.rst requires Assisted-by: where it applies."
