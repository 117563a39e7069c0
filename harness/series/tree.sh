#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Prepare out/linux: a git repository with one commit for the base (tag "base") and one
# for each line of patches/series (branch "series"). And out/stock/linux: the base alone, the source
# of the C kernel.
#
# The commits are made in the object store alone. Then the work tree moves to the last one. git
# writes only the files that differ, so the next kernel build is short.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/checks.sh
. "$TOP/harness/setup/checks.sh"
# shellcheck source=harness/series/lib.sh
. "$TOP/harness/series/lib.sh"

# base_key: a text that identifies the base which the user's variables name.
base_key() {
	if [ -n "${KDIR:-}" ] && kdir_is_git "$KDIR"; then
		printf 'git %s\n' "$(git -C "$KDIR" rev-parse 'HEAD^{tree}')"
	elif [ -n "${KDIR:-}" ]; then
		(cd "$KDIR" && find . -type f -printf '%p %s %T@\n') | sort >"$tmp/kdir"
		printf 'dir %s\n' "$(sha256 "$tmp/kdir")"
	elif [ -n "${LINUX_TARBALL:-}" ]; then
		printf 'tarball %s\n' "$(sha256 "$LINUX_TARBALL")"
	else
		printf 'tarball %s\n' "$TARBALL_SHA256"
	fi
}

# git with the base's files, $tmp/base, as work tree, the repository $store and the index $index.
base_git() {
	GIT_INDEX_FILE=$index GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
		git -C "$tmp/base" --git-dir="$store" --work-tree="$tmp/base" "$@"
}

# import_base KEY: add the base to the object store, as refs/timens/imported. If there is no out/linux
# yet, the unpacked files become it, in one step.
import_base() {
	sh "$TOP/harness/series/base.sh" "$tmp/base"
	# Debian's .gitignore ignores all files but its packaging, so git would not see new files.
	[ ! -f "$tmp/base/.gitignore" ] ||
		sed -i '/^# Debian packaging: ignore everything/,$d' "$tmp/base/.gitignore"
	if [ -e "$LINUX" ]; then
		store=$LINUX/.git
		index=$tmp/index
	else
		store=$tmp/base/.git
		index=$store/index
		base_git init -q -b series
		base_git config gc.auto 0
		base_git config core.untrackedCache true
		# Plain hunk headers: git's rules for C and Rust change from version to version,
		# and the patches would change with them.
		mkdir -p "$store/info" "$store/timens"
		say '* !diff' >"$store/info/attributes"
	fi
	# Files above the threshold go straight into one pack, not into 100,000 loose objects.
	logged tree-import "tree: importing the base into git" \
		base_git -c core.bigFileThreshold=1 -c core.compression=1 add -Af . ||
		die "the base could not be imported"
	tree=$(base_git write-tree)
	# One identity and one date, so that the same files always give the same commit.
	commit=$(
		export GIT_AUTHOR_NAME=timens-rust GIT_AUTHOR_EMAIL=timens-rust@example.invalid
		export GIT_COMMITTER_NAME=timens-rust GIT_COMMITTER_EMAIL=timens-rust@example.invalid
		export GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z'
		base_git commit-tree -m "Linux $(linux_version <"$tmp/base/Makefile")" "$tree"
	)
	base_git update-ref refs/timens/imported "$commit"
	say "$1" >"$store/timens/imported"
	[ -e "$LINUX" ] || mv "$tmp/base" "$LINUX"
}

# own_work: print how the user has changed out/linux since this script wrote it. Prints nothing if
# it is unchanged.
own_work() {
	if [ "$(kgit symbolic-ref -q HEAD)" != refs/heads/series ]; then
		say "is not on its branch 'series' (a rebase under way?)"
	elif [ "$(kgit rev-parse -q --verify series)" != "$(state prepared)" ]; then
		say "has commits of yours"
	elif [ -n "$(kgit status --porcelain)" ]; then
		say "has uncommitted changes"
	fi
}

# stock_tree: check the base out beside out/linux, as a work tree of the same repository.
stock_tree() {
	commit=$(kgit rev-parse refs/tags/base)
	[ "$(state stock)" != "$commit" ] || [ ! -e "$STOCK/Makefile" ] || return 0
	rm -rf "$STOCK" "$STATE/stock"
	kgit worktree prune
	logged tree-stock "tree: writing the files of out/stock/linux" \
		kgit -c checkout.workers=0 worktree add -q --detach "$STOCK" "$commit" ||
		die "out/stock/linux could not be written"
	say "$commit" >"$STATE/stock"
}

check_variables
! only_prints || exit 0
lock "$TOP/out/.lock"
scratch "$TOP/out"
[ ! -e "$LINUX" ] || [ -d "$STATE" ] || die "out/linux was not made by 'make tree': move it away"

key=$(base_key)
if [ -n "${FORCE:-}" ] || [ -e "$STATE/moving" ]; then
	# The work tree is overwritten, including the state of an interrupted git.
	rm -rf "$LINUX/.git/index.lock" "$LINUX/.git/rebase-merge" "$LINUX/.git/rebase-apply"
else
	work=
	[ -z "$(state prepared)" ] || work=$(own_work)
	if [ "$(state imported)" = "$key" ]; then
		stamp=$(series_stamp refs/timens/imported "$key")
		if [ "$stamp" = "$(state stamp)" ]; then
			stock_tree
			say "tree: out/linux is up to date${work:+ (it $work)}"
			exit
		fi
	fi
	[ -z "$work" ] ||
		die "out/linux $work: commit there and run 'make refresh' to keep your work, or run 'make tree FORCE=1' to drop it"
fi

[ "$(state imported)" = "$key" ] || import_base "$key"
base=$(kgit rev-parse refs/timens/imported)
stamp=$(series_stamp "$base" "$key")
tip=$(build_series "$TOP" "$base")
logged tree-checkout "tree: writing the files" move_to "$base" "$tip" "$key" "$stamp" ||
	die "out/linux could not be written"
stock_tree
say "tree: out/linux is $(kgit log -1 --format=%s base) and $(kgit rev-list --count base..series) commits"
