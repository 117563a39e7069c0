#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Test base.sh, tree.sh, refresh.sh and export.sh on an artificial Linux of six files, in TAP. Writes
# only to a scratch directory and needs no network: a script takes the place of apt.

set -eu
export LC_ALL=C
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset KDIR LINUX_TARBALL RUSTC LLVM BINDGEN JOBS ACCEL SETUP FORCE SIGNOFF ASSISTED TO CC PREFIX ONTO
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export TIMENS_CACHE="$work/cache"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Tester GIT_AUTHOR_EMAIL=tester@example.invalid
export GIT_COMMITTER_NAME=Tester GIT_COMMITTER_EMAIL=tester@example.invalid

# shellcheck source=harness/setup/tap.sh
. "$TOP/harness/setup/tap.sh"

series() { (cd "$co" && sh harness/series/export.sh "$work/cover"); }
tree() { (cd "$co" && sh harness/series/tree.sh); }
refresh() { (cd "$co" && sh harness/series/refresh.sh "$@"); }
base() { (cd "$co" && sh harness/series/base.sh); }
linux() { git -C "$co/out/linux" "$@"; }
clean() { [ -z "$(git -C "$co" status --porcelain)" ]; }
sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

# restore: undo what a test did to the checkout.
restore() {
	git -C "$co" reset -q --hard
	git -C "$co" clean -qfd
}

# A Linux, as a tarball.
linux=$work/linux-7.3.4
mkdir -p "$linux/kernel/time" "$linux/tools" "$linux/scripts"
cat >"$linux/scripts/get_maintainer.pl" <<-'END'
	print "Jürgen <j\@example.invalid>\n";
	print "list\@example.invalid\n" if !grep /--no-l/, @ARGV;
END
printf '%s\n' '# SPDX-License-Identifier: GPL-2.0' 'VERSION = 7' 'PATCHLEVEL = 3' 'SUBLEVEL = 4' \
	'EXTRAVERSION =' 'NAME = Test' >"$linux/Makefile"
seq 1 40 >"$linux/kernel/time/time.c"
seq 1 9 >"$linux/kernel/time/Makefile"
echo '*.o' >"$linux/.gitignore"
echo 'tracked, though ignored' >"$linux/tools/data.o"
mkdir "$work/cache"
# Debian has patched one of the files.
find "$linux" -type f -exec touch -d '2026-01-01' {} +
touch -d '2026-01-02' "$linux/tools/data.o"
package='linux-source-7.3_7.3.4-1~bpo13+1'
cached=$work/cache/$package.tar.xz
tar -C "$work" -cJf "$cached" linux-7.3.4

# A checkout, with a series of two.
co=$work/checkout
mkdir -p "$co/patches" "$co/kernel/time/ns" "$co/harness"
cp -R "$TOP/harness/setup" "$TOP/harness/series" "$co/harness"
sed "s/^TARBALL_SHA256=.*/TARBALL_SHA256=$(sum "$cached")/" "$TOP/BASE" >"$co/BASE"
echo /out/ >"$co/.gitignore"
echo 'int one;' >"$co/kernel/time/ns/one.c"
printf '#!/bin/sh\n' >"$co/kernel/time/ns/gen.sh"
chmod +x "$co/kernel/time/ns/gen.sh"
cat >"$co/patches/series" <<-'END'
	# SPDX-License-Identifier: GPL-2.0
	# The order of the series.

	0001-time-add-one.patch kernel/time/ns/gen.sh kernel/time/ns/one.c
	0002-time-change-a-line.patch
END
cat >"$co/patches/0001-time-add-one.patch" <<-'END'
	From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
	From: =?UTF-8?q?J=C3=BCrgen?= <j@example.invalid>
	Date: Mon, 2 Feb 2026 12:00:00 +0100
	Subject: [PATCH] time: add one

	Nothing but new files.

END
cat >"$co/patches/0002-time-change-a-line.patch" <<-'END'
	From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
	From: Somebody <s@example.invalid>
	Date: Tue, 3 Feb 2026 12:00:00 -0500
	Subject: [PATCH] time: change a line

	It was wrong.
	---
	diff --git a/kernel/time/time.c b/kernel/time/time.c
	--- a/kernel/time/time.c
	+++ b/kernel/time/time.c
	@@ -18,5 +18,5 @@
	 18
	 19
	-20
	+twenty
	 21
	 22
END
git -C "$co" init -q -b main

# The round trip: prepare and refresh.
passes "prepare from the cached package" tree
prepared=$(linux rev-parse series)
passes "one commit for the base, two for the series" [ "$(linux rev-list --count series)" = 3 ]
passes "author and date are those of the patch" \
	[ "$(linux log -1 --format='%an %ae %ad' series~)" = "Jürgen j@example.invalid Mon Feb 2 12:00:00 2026 +0100" ]
passes "the files are there, with their modes" \
	[ -x "$co/out/linux/kernel/time/ns/gen.sh" -a ! -x "$co/out/linux/kernel/time/ns/one.c" ]
passes "a file of Linux that its .gitignore names is there" [ -f "$co/out/linux/tools/data.o" ]
passes "out/stock/linux has the base alone" sh -c "diff -r -x .git '$linux' '$co/out/stock/linux'"
passes "nothing is left uncommitted" [ -z "$(linux status --porcelain)" ]
passes "refresh normalises patches written by hand" refresh
git -C "$co" add -A
git -C "$co" commit -qm start
passes "the round trip gives zero diff" refresh --check
passes "refresh changes nothing then" sh -c "sh '$co/harness/series/refresh.sh' && [ -z \"\$(git -C '$co' status --porcelain)\" ]"
passes "the commits have stayed the same" [ "$(linux rev-parse series)" = "$prepared" ]
touch -d '2020-01-01' "$work/past"
linux ls-files | (cd "$co/out/linux" && xargs touch -r "$work/past")
rm "$co/out/linux/.git/timens/stock" "$co/out/stock/linux/kernel/time/time.c"
passes "prepare again" sh -c "sh '$co/harness/series/tree.sh' | grep 'up to date'"
passes "an incomplete out/stock/linux is written again" [ -f "$co/out/stock/linux/kernel/time/time.c" ]
echo 'int two;' >>"$co/kernel/time/ns/one.c"
passes "prepare after an edit" tree
passes "only the edited file is written" \
	[ "$(cd "$co/out/linux" && find . -path ./.git -prune -o -type f -newer "$work/past" -print)" = ./kernel/time/ns/one.c ]

# The user's own work in out/linux.
echo mine >>"$co/out/linux/kernel/time/ns/one.c"
passes "prepare does not touch the user's work in out/linux" sh -c "sh '$co/harness/series/tree.sh' | grep 'uncommitted changes'"
refuses "to refresh uncommitted changes" "uncommitted changes" refresh
restore
refuses "to overwrite uncommitted changes" "uncommitted changes.*make refresh.*FORCE=1" tree
passes "FORCE=1 drops them" env FORCE=1 sh "$co/harness/series/tree.sh"
passes "and gives the first commits again" [ "$(linux rev-parse series)" = "$prepared" ]
echo 'int three;' >"$co/out/linux/kernel/time/three.c"
sed -i 's/^5$/five/' "$co/out/linux/kernel/time/Makefile"
linux add -A
linux commit -qm 'time: add three' -m 'It was missing.'
echo 'int more;' >>"$co/kernel/time/ns/one.c"
refuses "to drop commits" "commits of yours" tree
refuses "to overwrite a changed checkout" "FORCE=1" refresh
restore
passes "refresh writes a new commit into the checkout" refresh
passes "as a patch, a line of the series and a file" [ "$(git -C "$co" status --porcelain -uall | sort | tr '\n' ' ')" = \
	" M patches/series ?? kernel/time/three.c ?? patches/0003-time-add-three.patch " ]
passes "the comments on top of the series stay" [ "$(sed -n 2p "$co/patches/series")" = "# The order of the series." ]
passes "the round trip gives zero diff with it" refresh --check
passes "there is nothing to prepare after that" sh -c "sh '$co/harness/series/tree.sh' | grep 'up to date$'"
linux reset -q --hard series~
passes "refresh drops a commit that is gone" refresh
passes "with its patch and its file" clean

# refuses_commit NAME PATTERN SHELL: refresh refuses a commit of the changes that SHELL makes.
refuses_commit() {
	(cd "$co/out/linux" && eval "$3" && git add -A && git commit -qm 'A commit') >/dev/null
	refuses "$1" "$2" refresh
	linux reset -q --hard "$prepared"
}
refuses_commit "two commits that touch a new file" 'kernel/time/ns/one.c .*time: add one.*A commit' 'echo >>kernel/time/ns/one.c'
refuses_commit "a commit that removes a new file" 'kernel/time/ns/one.c .*A commit' 'git rm -q kernel/time/ns/one.c'
refuses_commit "a commit that removes a file of Linux" 'kernel/time/Makefile' 'git rm -q kernel/time/Makefile'
refuses_commit "a commit that renames a file of Linux" 'kernel/time/time.c' 'git mv kernel/time/time.c kernel/x.c'
refuses_commit "a commit that adds a symbolic link" 'kernel/link' 'ln -s time kernel/link'
linux checkout -q --detach
refuses "to refresh from another branch" "branch 'series'" refresh
linux checkout -q series

# refuses_series NAME PATTERN SHELL: tree refuses the checkout after SHELL.
refuses_series() {
	(cd "$co" && eval "$3")
	refuses "$1" "$2" tree
	restore
}
patch2=patches/0002-time-change-a-line.patch
refuses_series "a new file that no commit brings" 'kernel/stray.c: not named' 'echo >kernel/stray.c'
refuses_series "a patch that is not in the series" 'patches/0009-x.patch: not named' 'echo >patches/0009-x.patch'
refuses_series "a new file that is missing" 'kernel/time/ns/one.c: named' 'rm kernel/time/ns/one.c'
refuses_series "a patch that is missing" "$patch2: named" "rm $patch2"
refuses_series "a file named twice" 'kernel/time/ns/one.c: named twice' \
	'sed -i "s,0002.*,& kernel/time/ns/one.c," patches/series'
refuses_series "a new file that Linux has" 'kernel/time/Makefile: Linux has' \
	'echo >kernel/time/Makefile; sed -i "s,0002.*,& kernel/time/Makefile," patches/series'
refuses_series "a symbolic link" 'kernel/time/ns/one.c: is a symbolic link' 'ln -sf gen.sh kernel/time/ns/one.c'
refuses_series "a patch that does not apply" "$patch2: does not apply" "sed -i 's/^ 19/ 91/' $patch2"
refuses_series "a patch with fuzz" "$patch2: does not apply" "sed -i 's/^ 24/ x24/; s/^ 17/ x17/; s/^ 23/ x/' $patch2"
refuses_series "a damaged patch" "$patch2: " "sed -i '/^ 22/d' $patch2"
refuses_series "a patch without a subject" "$patch2: no From:" "sed -i /^Subject/d $patch2"
refuses_series "a patch that adds a file" "$patch2: may only edit.*create.*kernel/new.c" \
	"printf '%s\n' 'diff --git a/kernel/new.c b/kernel/new.c' 'new file mode 100644' '--- /dev/null' '+++ b/kernel/new.c' '@@ -0,0 +1 @@' '+x' >>$patch2"
refuses_series "a patch that removes a file" "$patch2: may only edit.*delete.*tools/data.o" \
	"printf '%s\n' 'diff --git a/tools/data.o b/tools/data.o' 'deleted file mode 100644' '--- a/tools/data.o' '+++ /dev/null' '@@ -1 +0,0 @@' '-tracked, though ignored' >>$patch2"
refuses_series "a patch to a new file" "$patch2: edits kernel/time/ns/one.c" \
	"printf '%s\n' 'diff --git a/kernel/time/ns/one.c b/kernel/time/ns/one.c' '--- a/kernel/time/ns/one.c' '+++ b/kernel/time/ns/one.c' '@@ -1 +1,2 @@' ' int one;' '+int two;' >>$patch2"
passes "out/linux has not changed" [ "$(linux rev-parse series)" = "$prepared" ]

# Interrupted while git was writing the files.
mkdir "$co/out/tmp.killed"
echo "$prepared" >"$co/out/linux/.git/timens/moving"
: >"$co/out/linux/.git/index.lock"
echo half >"$co/out/linux/kernel/time/time.c"
rm "$co/out/linux/kernel/time/ns/one.c"
refuses "to refresh a tree whose preparation was interrupted" "make tree" refresh
passes "an interrupted preparation is finished" tree
passes "to the same tree" [ "$(linux rev-parse series) $(linux status --porcelain)" = "$prepared " ]

# Interrupted while refresh was writing the checkout.
linux commit -q --amend -m 'time: change another line'
echo x >"$co/out/linux/.git/timens/refreshing"
rm "$co/$patch2"
passes "an interrupted refresh is finished" refresh
passes "to a good checkout" refresh --check
restore
passes "and back" env FORCE=1 sh "$co/harness/series/tree.sh"

# Other bases.
base_commit=$(linux rev-parse base)
cp "$cached" "$work/mine.tar.xz"
passes "a tarball with the right sum is the same base" \
	sh -c "LINUX_TARBALL='$work/mine.tar.xz' sh '$co/harness/series/tree.sh' | grep 'up to date'"
passes "a source directory gives the same base commit" env KDIR="$linux" sh "$co/harness/series/tree.sh"
passes "the same" [ "$(linux rev-parse base)" = "$base_commit" ]
git -C "$linux" init -q
git -C "$linux" add -Af
git -C "$linux" commit -qm Linux
echo changed >>"$linux/Makefile"
echo untracked >"$linux/untracked"
passes "a git tree gives its HEAD" env KDIR="$linux" sh "$co/harness/series/tree.sh"
passes "which is the same" [ "$(linux rev-parse base) $(linux rev-parse series)" = "$base_commit $prepared" ]
git -C "$linux" checkout -q .
sed -i 's/^SUBLEVEL.*/SUBLEVEL = 5/' "$linux/Makefile"
sed -i '1i\
zero' "$linux/kernel/time/time.c"
git -C "$linux" commit -qam newer
passes "another base is taken" env KDIR="$linux" sh "$co/harness/series/tree.sh"
passes "and the series is on it" [ "$(linux log -1 --format=%s series~2)" = "Linux 7.3.5" ]
passes "and round-trips there" refresh --check
passes "back to the package" tree
passes "to the same commits" [ "$(linux rev-parse series)" = "$prepared" ]
refuses "both KDIR and LINUX_TARBALL" "KDIR=.*LINUX_TARBALL=.* is set as well: give one" env KDIR="$linux" LINUX_TARBALL="$cached" sh "$co/harness/series/base.sh"
refuses "a directory that is missing" "KDIR=$work/none" env KDIR="$work/none" sh "$co/harness/series/tree.sh"
rm -rf "$linux/.git"
: >"$linux/.config"
refuses "a directory in which a kernel was built" "KDIR=$linux: .*mrproper" env KDIR="$linux" sh "$co/harness/series/base.sh"
sed -i 's/^VERSION.*/VERSION = 6/' "$linux/Makefile"
refuses "a directory of another Linux" "KDIR=$linux: is Linux 6.3.5" env KDIR="$linux" sh "$co/harness/series/base.sh"
tar -C "$work" -czf "$work/old.tar.gz" linux-7.3.4
refuses "a tarball of another Linux" "$work/old.tar.gz: is Linux 6.3.5" env LINUX_TARBALL="$work/old.tar.gz" sh "$co/harness/series/base.sh"
refuses "a tarball that is missing" "$work/none.tar" env LINUX_TARBALL="$work/none.tar" sh "$co/harness/series/base.sh"
head -c 200 "$cached" >"$work/short.tar.xz"
refuses "a truncated tarball" "$work/short.tar.xz: truncated" env LINUX_TARBALL="$work/short.tar.xz" sh "$co/harness/series/base.sh"
cp "$work/short.tar.xz" "$work/linux-source-7.3.tar.xz"
refuses "a tarball of the package's name and another sum" "linux-source-7.3.tar.xz: sha256" \
	env LINUX_TARBALL="$work/linux-source-7.3.tar.xz" sh "$co/harness/series/base.sh"

# Fetching. This apt offers the versions in $work/offer.
mkdir -p "$work/bin" "$work/deb/DEBIAN" "$work/deb/usr/src"
cat >"$work/bin/apt-get" <<-END
	#!/bin/sh
	case \$* in
	*--print-uris*) echo "'http://mirror.invalid/debian/dists/stable/InRelease' x 0" ;;
	update) [ -s "$work/offer" ] || { echo 'E: no mirror'; exit 100; } ;;
	download*) cp "$work/$package.deb" "\${2%=*}_1_all.deb" ;;
	esac
END
printf '#!/bin/sh\nsed "s/.*/linux-source-7.3 | & | mirror/" "%s"\n' "$work/offer" >"$work/bin/apt-cache"
printf '#!/bin/sh\n' >"$work/bin/apt-config"
chmod +x "$work"/bin/*
printf '%s\n' 'Package: linux-source-7.3' 'Version: 7.3.4-1' 'Architecture: all' 'Maintainer: t <t@example.invalid>' \
	'Description: test' >"$work/deb/DEBIAN/control"
cp "$cached" "$work/deb/usr/src/linux-source-7.3.tar.xz"
dpkg-deb -b "$work/deb" "$work/$package.deb" >/dev/null
sed -i "s/^DEB_SHA256=.*/DEB_SHA256=$(sum "$work/$package.deb")/" "$co/BASE"
PATH=$work/bin:$PATH

printf '%s\n' '7.3.9-1' '7.3.4-1~bpo13+1' >"$work/offer"
echo damaged >"$cached"
passes "a damaged file in the cache is fetched again" sh -c "sh '$co/harness/series/base.sh' | grep '$package.tar.xz: wrong sha256'"
passes "and is good then" base
printf 'A cover\n\nIts text.\n' >"$work/cover"
passes "the series as mails" series
mail=$co/out/series/0001-time-add-one.patch
passes "with a cover letter" grep -qx 'Its text.' "$co/out/series/0000-cover-letter.patch"
passes "to the maintainers" grep -qx 'To: =?UTF-8?Q?J=C3=BCrgen?= <j@example.invalid>' "$mail"
passes "with a copy to the lists" grep -qx 'Cc: list@example.invalid' "$mail"
passes "or to the addresses of TO= and CC=" \
	sh -c "TO=to@example.invalid CC=cc@example.invalid sh '$co/harness/series/export.sh' '$work/cover' && grep -qx 'Cc: cc@example.invalid' '$mail'"
passes "without a sign-off" sh -c "! grep -q Signed-off-by '$mail'"
passes "the submitter signs off" env SIGNOFF='A B <a@example.org>' sh "$co/harness/series/export.sh" "$work/cover"
passes "and is the author" [ "$(grep -c -e '^From: A B <a@example.org>' -e '^Signed-off-by: A B <a@example.org>' "$mail")" = 2 ]
refuses "a sign-off without an address" 'SIGNOFF=A B: .*give' env SIGNOFF='A B' sh "$co/harness/series/export.sh" "$work/cover"
refuses "a sign-off of two lines" 'SIGNOFF=A <a@b.c><X: .*give' env SIGNOFF="A <a@b.c>
X" sh "$co/harness/series/export.sh" "$work/cover"
echo edited >"$co/out/linux/tools/data.o"
refuses "to send uncommitted changes" 'uncommitted changes' series
linux commit -qam 'tools: edit'
refuses "to edit a file that Debian patches" 'edits files that Debian patches.*: tools/data.o' series
linux reset -q --hard "$prepared"
linux commit -q --allow-empty -m 'fixup! time: add one'
refuses "to send a fixup" 'fixup! time: add one.*autosquash' series
linux reset -q --hard "$prepared"
rm "$cached"
base >"$work/first" 2>&1 &
other=$!
passes "two runs at a time share one cache" base
passes "and both succeed" wait "$other"
rm "$cached"
sed -i 's/^TARBALL_SHA256=/&0/' "$co/BASE"
refuses "a tarball with another sum in the package" "linux-source-7.3.tar.xz: sha256" base
sed -i 's/^DEB_SHA256=/&0/' "$co/BASE"
refuses "a package with another sum" "linux-source-7.3_1_all.deb: sha256" base
echo '7.3.9-1' >"$work/offer"
passes "a version that is gone is replaced by the newest" \
	sh -c "sh '$co/harness/series/base.sh' | grep '7.3.4-1~bpo13+1 is gone .*taking 7.3.9-1'"
: >"$work/offer"
refuses "to go on without a mirror" "no mirror.*LINUX_TARBALL=" base
passes "nothing is left over in the cache" [ "$(ls "$work/cache")" = "linux-source-7.3_7.3.9-1.tar.xz
lock" ]
passes "nor in the checkout" [ "$(ls "$co/out")" = "linux
log
series
stock" ]

echo "1..$count"
[ "$failed" -eq 0 ]
