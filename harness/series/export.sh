#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# series.sh COVER: write the commits of out/linux as mails into out/series, a cover letter with
# the text in COVER (whose first line is the subject) and one patch for each, and see what
# git am makes of them.
#
#   SIGNOFF="Name <mail>"   the submitter, who becomes the author and signs off
#   ASSISTED="AGENT:MODEL"  the tools that had a part in it, for the Assisted-by: that they ask for
#   TO= CC=                 addresses in place of those that get_maintainer.pl gives
#   PREFIX="RFC PATCH"      what the subjects begin with
#   ONTO=linux-source-7.2   also try that kernel of Debian's, in place of the newest

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
# Looking at out/linux leaves its index alone.
export GIT_OPTIONAL_LOCKS=0

SIGNOFF=${SIGNOFF:-}
# Where newer kernels than that of BASE appear.
SUITES="$SUITE sid experimental"
otherwise=": there is no other kernel to try the series on"

check_signoff() {
	# A second line must not pass for one.
	SIGNOFF=$(printf %s "$SIGNOFF" | tr '\n' '<')
	printf '%s\n' "$SIGNOFF" | grep -Eq '^[^]<>()@,;:"\\[ ][^]<>()@,;:"\\[]* <[^<>@ ]+@[^<>@ ]+\.[^<>@ ]+>$' ||
		die "SIGNOFF=$SIGNOFF: give it as SIGNOFF=\"Name <mail@domain>\""
}

# identify COMMIT: be its author. One who hasn't signed off can't be that: who submits it is.
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

# sign: make the commits anew, in the object store alone, with the submitter's trailer.
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

# cover FILE: put the text that was given into the cover letter.
cover() {
	awk -v subject="$(head -n 1 "$text")" -v text="$tmp/blurb" '
		/^Subject: / { sub(/\*\*\* SUBJECT HERE \*\*\*/, subject) }
		/^\*\*\* BLURB HERE \*\*\*$/ { while ((getline line < text) > 0) print line; next }
		{ print }' "$1" >"$tmp/letter"
	mv "$tmp/letter" "$1"
}

# people PATCH OPTION...: those of whom get_maintainer.pl says so; names in ASCII, as in mails.
people() {
	(cd "$LINUX" && perl scripts/get_maintainer.pl --no-git --no-git-fallback --no-fixes --no-rolestats "$@") |
		perl -CI -MEncode -pe 's/^"?([^"<]*[^\0-\x7f][^"<]*?)"? </encode("MIME-Q", $1) . " <"/e'
}

# without FILE: the lines of stdin that are not in FILE, each once.
without() {
	awk 'NR == FNR { seen[$0] = 1; next } !seen[$0]++' "$1" -
}

# addresses FILE KIND: a header from the addresses in FILE, one on each line.
addresses() {
	[ ! -s "$1" ] || awk -v kind="$2" '{ printf "%s%s", (NR > 1 ? ",\n\t" : kind ": "), $0 } END { print "" }' "$1"
}

# mail_head MAIL TO CC: end the mail's head with these addresses, or with those of TO= and CC=.
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

# address: each patch goes to the maintainers, with a copy to the reviewers and the lists; the
# cover letter to everybody.
address() {
	while read -r patch; do
		# Those who are told of what has the word "Rust" are not to be told of a sender's name.
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

# git in a repository that has the objects of out/linux, and in its work tree the files of the
# series alone.
agit() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C "$tmp/am" "$@"
}

prepare_am() {
	kgit clone -q --shared --no-checkout --no-tags "$LINUX" "$tmp/am"
	kgit diff --name-only --no-renames "$base" "$tip" >"$tmp/files"
	sed 's,^,/,' "$tmp/files" | agit sparse-checkout set --no-cone --stdin
}

# am_on_base: see that git am gives the very files of the series.
am_on_base() {
	agit checkout -q --detach "$base"
	xargs -d '\n' git -C "$tmp/am" am -q <"$tmp/patches" >"$tmp/err" 2>&1 ||
		die "git am does not take the series on $on_base: $(grep -m 1 ^error "$tmp/err")"
	[ "$(agit rev-parse 'HEAD^{tree}')" = "$(kgit rev-parse "$tip^{tree}")" ] ||
		die "git am takes the series on $on_base, but gives other files than out/linux has"
	say "series: git am takes it on $on_base (base-commit $(kgit rev-parse --short=12 "$base"))"
}

# debian_edits: the files of the package that are not Linux's own. Packaging gives what it
# patches the time of the package, and leaves all other files that of the release.
debian_edits() {
	tar --utc --full-time -tvf "$1" |
		awk '/^-/ { time = $4 " " $5; count[time]++; sub("^[^/]*/", "", $6); of[$6] = time }
		     END { for (time in count) if (count[time] > count[most]) most = time
			   for (file in of) if (of[file] != most) print file }' | sort
}

# check_debian: no file that the series edits is one that Debian has patched.
check_debian() {
	if [ "$(state base)" != "tarball $TARBALL_SHA256" ]; then
		say "series: skipped: what Debian patches, as the base is not the package of BASE"
		return
	fi
	tarball=$(sh "$TOP/harness/series/base.sh" | sed -n 's/^base: \(.*\), verified$/\1/p')
	debian_edits "$tarball" >"$tmp/debian"
	[ -s "$tmp/debian" ] || die "$tarball: all files have one time: what Debian patched cannot be told"
	sort "$tmp/files" | comm -12 - "$tmp/debian" >"$tmp/both"
	[ ! -s "$tmp/both" ] ||
		die "the series edits what Debian patches, and may not fit the release: $(paste -sd ' ' "$tmp/both")"
	say "series: edits none of the $(wc -l <"$tmp/debian") files that are Debian's (by their time in $(basename "$tarball"))"
}

# newest: the package and version of the newest kernel source that Debian has, or of $ONTO's.
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

# import PACKAGE VERSION: make a commit on top of the base that has the series' files as that
# kernel has them, so that git can merge. Prints the commit.
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

# am_onto NAME COMMIT: what git am does there, patch by patch, and what a merge would, file by
# file.
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
			say "  $name: does not apply ($files), the patches after it were not tried"
			agit am --abort
			break
		fi
		say "  $name: with --3way ($files)"
	done <"$tmp/patches"
	agit merge-tree --write-tree --name-only --no-messages "$2" "$tip" >"$tmp/merge" ||
		say "series: $1: a three-way merge of the whole series has conflicts in $(tail -n +2 "$tmp/merge" | paste -sd ' ')"
}

# am_on_newest: the same on the newest kernel that Debian has.
am_on_newest() {
	(newest >"$tmp/newest") 2>"$tmp/err" || {
		say "series: skipped: the newest kernel, $(sed 's/^error: //' "$tmp/err")"
		return
	}
	read -r version package <"$tmp/newest"
	if [ "${version%%-*}" = "${VERSION%%-*}" ]; then
		say "series: that is the newest that Debian has ($package $version in $SUITES)"
		return
	fi
	say "series: on $package $version:"
	commit=$(import "$package" "$version")
	am_onto "$package $version" "$commit"
}

# sizes: the series, with the lines that each commit adds and removes.
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

text=${1:?usage: series.sh COVER}
lock "$TOP/out/.lock"
scratch "$TOP/out"
[ -z "$SIGNOFF" ] || check_signoff
[ -z "${ASSISTED:-}" ] || [ -n "$SIGNOFF" ] || die "ASSISTED= is for a series that is signed off: give SIGNOFF= too"
prepared
settled
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
	say "series: signed off by $SIGNOFF, who certifies Documentation/process/submitting-patches.rst with it."
else
	say "series: nobody has signed off: give SIGNOFF=\"Name <mail>\" to submit it (see Documentation/process/submitting-patches.rst)."
fi
say "  That asks for Fixes: where a patch mends a commit, and Cc: stable@vger.kernel.org where it is to be backported;"
say "  Documentation/process/coding-assistants.rst asks for Assisted-by: where it applies."
