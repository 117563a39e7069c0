#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Prepare out/linux: a git repository with one commit for the base (tag "base") and one
# for each line of patches/series (branch "series"). And out/stock/linux: the base alone,
# of which the kernel that ours is compared with is built.
#
# The commits are made in the object store alone. Only then does the work tree move, and
# git writes no file that stays the same: a kernel build after it stays short.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/series/lib.sh
. "$TOP/harness/series/lib.sh"
# shellcheck source=BASE
. "$TOP/BASE"

# base_key: names the base that is asked for.
base_key() {
	[ -z "${KDIR:-}" ] || [ -d "$KDIR" ] || die "KDIR=$KDIR: no such directory"
	if [ -n "${KDIR:-}" ] && kdir_is_git "$KDIR"; then
		printf 'git %s\n' "$(git -C "$KDIR" rev-parse 'HEAD^{tree}')"
	elif [ -n "${KDIR:-}" ]; then
		(cd "$KDIR" && find . -type f -printf '%p %s %T@\n') | sort >"$tmp/kdir"
		printf 'dir %s\n' "$(sha256 "$tmp/kdir")"
	elif [ -n "${LINUX_TARBALL:-}" ]; then
		[ -f "$LINUX_TARBALL" ] || die "LINUX_TARBALL=$LINUX_TARBALL: no such file"
		printf 'tarball %s\n' "$(sha256 "$LINUX_TARBALL")"
	else
		printf 'tarball %s\n' "$TARBALL_SHA256"
	fi
}

# git for the base's files in $tmp/base, with the repository $store and the index $index.
base_git() {
	GIT_INDEX_FILE=$index GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
		git -C "$tmp/base" --git-dir="$store" --work-tree="$tmp/base" "$@"
}

# import_base KEY: bring the base into the object store, as refs/timens/base. The first
# time, the unpacked files then become out/linux, in one step.
import_base() {
	sh "$TOP/harness/series/base.sh" "$tmp/base"
	# Debian's package has git ignore all but its packaging: new files would go unseen.
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
		# Plain hunk headers: what git knows of C and Rust changes from version to
		# version, and would change the patches with it.
		mkdir -p "$store/info" "$store/timens"
		say '* !diff' >"$store/info/attributes"
	fi
	# Above the threshold git writes straight into one pack: no hundred thousand files.
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
	base_git update-ref refs/timens/base "$commit"
	say "$1" >"$store/timens/imported"
	[ -e "$LINUX" ] || mv "$tmp/base" "$LINUX"
}

# own_work: say in what way out/linux is not as this script left it, if at all.
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

lock "$TOP/out/.lock"
scratch "$TOP/out"
[ ! -e "$LINUX" ] || [ -d "$STATE" ] || die "out/linux was not made by 'make tree': move it away"

key=$(base_key)
if [ -n "${FORCE:-}" ] || [ -e "$STATE/moving" ]; then
	# Nothing in the work tree counts: not even what an interrupted git left there.
	rm -rf "$LINUX/.git/index.lock" "$LINUX/.git/rebase-merge" "$LINUX/.git/rebase-apply"
else
	work=
	[ -z "$(state prepared)" ] || work=$(own_work)
	if [ "$(state imported)" = "$key" ]; then
		stamp=$(series_stamp refs/timens/base "$key")
		if [ "$stamp" = "$(state stamp)" ]; then
			stock_tree
			say "tree: out/linux is up to date${work:+ (it $work)}"
			exit
		fi
	fi
	[ -z "$work" ] ||
		die "out/linux $work: commit there and run 'make refresh' to keep them, or 'make tree FORCE=1' to drop them"
fi

[ "$(state imported)" = "$key" ] || import_base "$key"
base=$(kgit rev-parse refs/timens/base)
stamp=$(series_stamp "$base" "$key")
tip=$(build_series "$TOP" "$base")
logged tree-checkout "tree: writing the files" move_to "$base" "$tip" "$key" "$stamp" ||
	die "out/linux could not be written"
stock_tree
say "tree: out/linux is $(kgit log -1 --format=%s base) and $(kgit rev-list --count base..series) commits"
