# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Functions of the scripts that prepare out/linux and write the series back. A script sources this
# file after harness/setup/lib.sh.
#
# shellcheck disable=SC2034,SC2154 # a script reads STOCK and sets tmp

LINUX=$TOP/out/linux
STOCK=$TOP/out/stock/linux

# git in the prepared tree, with that tree's configuration alone.
kgit() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C "$LINUX" "$@"
}

# The state of out/linux is in files of its .git/timens:
#   imported    the key of the base in the object store
#   source      the key of the base in the work tree: its package, tarball or directory
#   prepared    the commit in the work tree
#   stamp       a hash over all inputs of that commit
#   stock       the commit in out/stock/linux
#   moving      exists while the work tree changes
#   refreshing  exists while the checkout changes
# A later run finishes a change that was interrupted.
STATE=$LINUX/.git/timens

state() {
	cat "$STATE/$1" 2>/dev/null || :
}

# require_prepared: refuse an out/linux that 'make tree' did not finish.
require_prepared() {
	if [ ! -e "$STATE/stamp" ] || [ -e "$STATE/moving" ]; then
		die "out/linux is not prepared: run 'make tree' first"
	fi
}

# require_committed: refuse an out/linux that has uncommitted changes, or is not on its branch.
require_committed() {
	[ "$(kgit symbolic-ref -q HEAD)" = refs/heads/series ] ||
		die "out/linux is not on its branch 'series' (a rebase under way?): finish that there first"
	[ -z "$(kgit status --porcelain)" ] || die "out/linux has uncommitted changes: commit them there first"
}

# overlay_files DIR BASE: the files of DIR that are in a directory of Linux.
overlay_files() {
	kgit ls-tree -d --name-only "$2" >"$tmp/dirs"
	if [ "$1" = "$TOP" ]; then
		# shellcheck disable=SC2046 # one word per directory
		git -C "$TOP" ls-files -co --exclude-standard -- $(cat "$tmp/dirs") >"$tmp/known" ||
			die "$TOP is not a git checkout, or git does not trust its owner"
	else
		(cd "$1" && find . -path ./patches -prune -o -type f -print) | sed 's,^\./,,' >"$tmp/known"
	fi
	while read -r file; do
		# A removed file can still be in git's index.
		[ ! -e "$1/$file" ] || printf '%s\n' "$file"
	done <"$tmp/known" | sort -u
}

# series_lines DIR: the lines of patches/series, without comments.
series_lines() {
	sed '/^[[:space:]]*#/d; /^[[:space:]]*$/d' "$1/patches/series"
}

# series_stamp BASE KEY: a hash over all inputs of the prepared tree.
series_stamp() {
	[ -f "$TOP/patches/series" ] || die "patches/series is missing"
	overlay_files "$TOP" "$1" >"$tmp/overlay"
	(
		cd "$TOP" || exit
		printf '%s\n' "$2"
		{
			find patches -type f | sort
			cat "$tmp/overlay"
		} | while read -r file; do
			stat -c '%A %n' "$file"
			sha256sum <"$file"
		done
	) >"$tmp/inputs"
	sha256 "$tmp/inputs"
}

# check_series DIR BASE: refuse a patch or new file in DIR that patches/series does not name exactly
# once, and a name without a file. Writes the lines of the series to $tmp/series.
check_series() {
	series_lines "$1" >"$tmp/series"
	awk '{ print $1 }' "$tmp/series" | sort >"$tmp/patches-named"
	awk '{ for (i = 2; i <= NF; i++) print $i }' "$tmp/series" | sort >"$tmp/files-named"
	(cd "$1/patches" && find . -name '*.patch' -type f) | sed 's,^\./,,' | sort >"$tmp/patches-there"
	overlay_files "$1" "$2" >"$tmp/files-there"
	for kind in patches files; do
		where=
		[ "$kind" = files ] || where=patches/
		twice=$(uniq -d "$tmp/$kind-named" | head -n 1)
		[ -z "$twice" ] || die "$twice: named twice in patches/series"
		lost=$(comm -23 "$tmp/$kind-named" "$tmp/$kind-there" | head -n 1)
		[ -z "$lost" ] || die "$where$lost: named in patches/series, but there is no such file, or Linux has no such directory"
		stray=$(comm -13 "$tmp/$kind-named" "$tmp/$kind-there" | head -n 1)
		[ -z "$stray" ] || die "$where$stray: not named in patches/series, add it there or remove it"
	done
	while read -r file; do
		[ ! -L "$1/$file" ] || die "$file: is a symbolic link, new files must be regular files"
		! kgit cat-file -e "$2:$file" 2>/dev/null ||
			die "$file: Linux has this file already, change it by a patch"
	done <"$tmp/files-named"
}

# check_edits PATCH BASE: refuse the diff in $tmp/diff unless it only edits files that Linux has.
check_edits() {
	kgit apply --numstat --summary "$tmp/diff" >"$tmp/edits" 2>"$tmp/err" ||
		die "patches/$1: cannot be read: $(head -n 1 "$tmp/err")"
	other=$(sed -n '/^ \(create\|delete\|rename\|copy\) /{s/^ //p;q}' "$tmp/edits")
	[ -z "$other" ] || die "patches/$1: may only edit files that Linux has, but: $other"
	cut -f 3 "$tmp/edits" | sed '/^ /d' >"$tmp/edited"
	while read -r file; do
		kgit cat-file -e "$2:$file" 2>/dev/null ||
			die "patches/$1: edits $file, which is not a file of Linux"
	done <"$tmp/edited"
}

# build_series DIR BASE: make the commits of DIR's series on top of BASE, in the object store alone,
# and print the last commit.
build_series() {
	check_series "$1" "$2"
	export GIT_INDEX_FILE="$tmp/index"
	export GIT_COMMITTER_NAME=timens-rust GIT_COMMITTER_EMAIL=timens-rust@example.invalid
	kgit read-tree "$2"
	tip=$2
	while read -r patch files; do
		kgit mailinfo -b "$tmp/message" "$tmp/diff" <"$1/patches/$patch" >"$tmp/info" 2>"$tmp/err" ||
			die "patches/$patch: cannot be read: $(head -n 1 "$tmp/err")"
		GIT_AUTHOR_NAME=$(sed -n 's/^Author: //p' "$tmp/info")
		GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$tmp/info")
		GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$tmp/info")
		subject=$(sed -n 's/^Subject: //p' "$tmp/info")
		if [ -z "$GIT_AUTHOR_NAME" ] || [ -z "$GIT_AUTHOR_DATE" ] || [ -z "$subject" ]; then
			die "patches/$patch: no From:, Date: or Subject: line, it must be as git format-patch writes it"
		fi
		GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
		export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_DATE

		if grep -Eq '^(diff|\+\+\+|@@) ' "$tmp/diff"; then
			check_edits "$patch" "$2"
			kgit apply --cached --whitespace=nowarn "$tmp/diff" 2>"$tmp/err" ||
				die "patches/$patch: does not apply: $(head -n 1 "$tmp/err")"
		fi
		for file in $files; do
			mode=100644
			[ ! -x "$1/$file" ] || mode=100755
			blob=$(kgit hash-object -w --no-filters "$1/$file")
			printf '%s %s\t%s\n' "$mode" "$blob" "$file"
		done >"$tmp/entries"
		kgit update-index --add --index-info <"$tmp/entries"

		printf '%s\n\n' "$subject" | cat - "$tmp/message" >"$tmp/text"
		kgit stripspace <"$tmp/text" >"$tmp/message"
		tree=$(kgit write-tree)
		tip=$(kgit commit-tree -p "$tip" -F "$tmp/message" "$tree")
	done <"$tmp/series"
	printf '%s\n' "$tip"
}

# move_to BASE COMMIT KEY STAMP: move the branch "series" and the work tree to COMMIT. git writes
# only the files that differ.
move_to() {
	say "$2" >"$STATE/moving" &&
		kgit update-ref refs/tags/base "$1" &&
		kgit symbolic-ref HEAD refs/heads/series || return
	# This updates the times in the index. It fails if files differ, which is no error here.
	kgit update-index -q --refresh || :
	kgit -c checkout.workers=0 reset -q --hard "$2" &&
		kgit clean -qfd &&
		say "$2" >"$STATE/prepared" &&
		say "$3" >"$STATE/source" &&
		say "$4" >"$STATE/stamp" &&
		rm "$STATE/moving"
}
