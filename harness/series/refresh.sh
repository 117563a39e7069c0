#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# refresh.sh: write the commits base..series of out/linux into patches/ and the new files of the
# checkout.
# refresh.sh --check: prepare the commits from the checkout and write them into a scratch directory.
# Fail if that differs from the checkout. Changes nothing.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/checks.sh
. "$TOP/harness/setup/checks.sh"
# shellcheck source=harness/series/lib.sh
. "$TOP/harness/series/lib.sh"

commit_name() {
	kgit log -1 --format='%h ("%s")' "$1"
}

# new_files BASE COMMIT: the files that COMMIT adds. Refuses a COMMIT that does more than adding files
# and editing files that Linux has.
new_files() {
	kgit diff-tree -r --no-renames --no-commit-id --name-status "$2" >"$tmp/changes"
	while read -r what file; do
		if kgit cat-file -e "$1:$file" 2>/dev/null; then
			[ "$what" = M ] ||
				die "$(commit_name "$2") removes or retypes $file: the series can only edit files that Linux has"
			continue
		fi
		[ "$what" = A ] ||
			die "$file is new in the series, but more than one commit touches it: $(
				kgit log --reverse --format='%h ("%s")' "$1..$tip" -- "$file" | paste -sd, -
			)"
		case $(kgit ls-tree "$2" -- "$file") in
		100*) printf '%s\n' "$file" ;;
		*) die "$(commit_name "$2") adds $file, which is not a regular file" ;;
		esac
	done <"$tmp/changes"
}

# export_series BASE TIP DIR: write BASE..TIP into DIR, as patches, patches/series and new files.
export_series() {
	kgit merge-base --is-ancestor "$1" "$2" || die "branch 'series' of out/linux is not on top of 'base'"
	[ -z "$(kgit rev-list --merges "$1..$2")" ] || die "branch 'series' of out/linux has merges: rebase it"
	mkdir -p "$3/patches"
	# The comments above the first patch stay.
	sed -n '/^[[:space:]]*\(#.*\)\{0,1\}$/!q;p' "$TOP/patches/series" >"$3/patches/series"
	kgit format-patch --always --no-numbered --zero-commit --no-signature --abbrev=12 \
		--no-renames --diff-filter=M -o "$3/patches" "$1..$2" >"$tmp/exported"
	kgit rev-list --reverse "$1..$2" | paste - "$tmp/exported" >"$tmp/commits"
	: >"$tmp/brought"
	while read -r commit patch; do
		new_files "$1" "$commit" >"$tmp/new"
		cat "$tmp/new" >>"$tmp/brought"
		printf '%s\n' "$(basename "$patch")" | cat - "$tmp/new" | paste -sd ' ' - >>"$3/patches/series"
	done <"$tmp/commits"
	(
		export GIT_INDEX_FILE="$tmp/index"
		kgit read-tree "$2"
		kgit checkout-index --prefix="$3/" --stdin <"$tmp/brought"
	)
}

# named_files DIR: the files in DIR that belong to the series.
named_files() {
	printf 'patches/series\n'
	series_lines "$1" | awk '{ print "patches/" $1; for (i = 2; i <= NF; i++) print $i }'
}

# identity BASE TIP: everything in the commits that a refresh must keep: files, messages, authors and
# dates.
identity() {
	kgit log --format='%T%n%an <%ae>%n%ad%n%B' "$1..$2"
}

check() {
	tip=$(build_series "$TOP" "$base")
	export_series "$base" "$tip" "$tmp/again"
	if [ "$(state source)" = "tarball $TARBALL_SHA256" ]; then
		mkdir "$tmp/now"
		named_files "$TOP" >"$tmp/named"
		(cd "$TOP" && xargs cp --parents --preserve=mode -t "$tmp/now") <"$tmp/named"
		(cd "$tmp" && git diff --no-index --no-ext-diff --name-status now again) ||
			die "preparing and refreshing changes the files above: run 'make refresh'"
	else
		# On another base, line numbers and hashes in the patches can differ.
		rebuilt=$(build_series "$tmp/again" "$base")
		[ "$rebuilt" = "$tip" ] ||
			die "preparing the refreshed patches gives other commits"
	fi
	say "refresh: preparing and refreshing $(wc -l <"$tmp/commits") commits gives zero diff"
}

refresh() {
	require_committed
	stamp=$(series_stamp "$base" "$(state source)")
	if [ -z "${FORCE:-}" ] && [ ! -e "$STATE/refreshing" ] && [ "$stamp" != "$(state stamp)" ]; then
		die "patches/ or new files changed since out/linux was prepared: 'make refresh FORCE=1' overwrites these changes"
	fi
	tip=$(kgit rev-parse series)
	export_series "$base" "$tip" "$tmp/again"
	rebuilt=$(build_series "$tmp/again" "$base")
	[ "$(identity "$base" "$rebuilt")" = "$(identity "$base" "$tip")" ] ||
		die "a commit differs after it has become a patch: is there a line '---' or 'diff' in its message?"

	say "$tip" >"$STATE/refreshing"
	named_files "$TOP" | sort >"$tmp/old"
	named_files "$tmp/again" | sort >"$tmp/named"
	comm -23 "$tmp/old" "$tmp/named" | while read -r file; do
		rm -f "$TOP/$file"
		say "refresh: removed $file"
		(cd "$TOP" && rmdir -p --ignore-fail-on-non-empty "$(dirname "$file")" 2>/dev/null) || :
	done
	while read -r file; do
		if cmp -s "$tmp/again/$file" "$TOP/$file" &&
			[ "$(stat -c %A "$tmp/again/$file")" = "$(stat -c %A "$TOP/$file")" ]; then
			continue
		fi
		mkdir -p "$(dirname "$TOP/$file")"
		cp --preserve=mode "$tmp/again/$file" "$TOP/$file"
		say "refresh: wrote $file"
	done <"$tmp/named"
	# Move to the commits that 'make tree' would make, so that it has nothing to do.
	stamp=$(series_stamp "$base" "$(state source)")
	move_to "$base" "$rebuilt" "$(state source)" "$stamp"
	rm "$STATE/refreshing"
	say "refresh: the checkout has the $(wc -l <"$tmp/commits") commits of out/linux"
}

check_variables
! only_prints || exit 0
lock "$TOP/out/.lock"
scratch "$TOP/out"
require_prepared
[ -f "$TOP/patches/series" ] || die "patches/series is missing"
base=$(kgit rev-parse refs/tags/base)
case ${1:-} in
--check) check ;;
"") refresh ;;
*) die "usage: refresh.sh [--check]" ;;
esac
