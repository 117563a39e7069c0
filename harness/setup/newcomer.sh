#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run the README's commands as a newcomer does: in bare roots of Debian 12 and 13, in a clone of
# this checkout's HEAD, as an ordinary user who may use sudo.
#
# Each root is built by mmdebstrap from packages of this machine's mirror. apt, cargo and TLS are
# configured there as they are here: the mirror, proxies and certificates are copied at run time.
# The commands run in mount and PID namespaces of their own, so no mount outlives them.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

usage() {
	cat <<-END
		usage: newcomer.sh [--suite SUITE]... [--command 'TARGET [VARIABLE=VALUE]...']... [--keep]

		Run 'make TARGET' in a bare Debian root, as an ordinary user who may use sudo.

		  --suite SUITE    bookworm (Debian 12) or trixie (Debian 13); both by default
		  --command WORDS  the arguments of make; by default 'run', then 'test'
		  --keep           keep the roots, in out/newcomer/SUITE
	END
}

# The disk space, in GB, that one root needs while make test runs in it.
SPACE=15
# The packages of a machine on which the README's commands are meant to work.
PACKAGES=git,make,sudo,ca-certificates
NAME=newcomer

otherwise=": newcomer needs Debian's packages"
rooms=$TOP/out/newcomer
results=$TOP/out/results/newcomer.txt

release() {
	case $1 in
	bookworm) say "Debian 12" ;;
	trixie) say "Debian 13" ;;
	*) return 1 ;;
	esac
}

# duration SECONDS
duration() {
	printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
}

# step LOG TEXT COMMAND...: run COMMAND with its output in out/log/LOG.log and print a line of
# progress a minute. Sets $took. Returns the command's status. COMMAND is a function that ends with
# exec unshare, so $child is the process whose end kills all others.
step() {
	log=$TOP/out/log/$1.log
	text=$2
	shift 2
	mkdir -p "$TOP/out/log"
	say "newcomer: $text (out/log/$(basename "$log"))"
	began=$(date +%s)
	"$@" >"$log" 2>&1 </dev/null 9>&- &
	child=$!
	minute=1
	while kill -0 "$child" 2>/dev/null; do
		sleep 1 9>&-
		took=$(($(date +%s) - began))
		if [ "$took" -ge $((minute * 60)) ]; then
			say "newcomer: $text … $minute min: $(tail -n 1 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-80)"
			minute=$((minute + 1))
		fi
	done
	status=0
	wait "$child" || status=$?
	child=
	took=$(($(date +%s) - began))
	if [ "$status" -eq 0 ]; then
		say "newcomer: $text: done in $(duration "$took")"
	else
		tail -n 25 "$log" >&2
		say "newcomer: $text: failed with status $status after $(duration "$took")" >&2
	fi
	return "$status"
}

# sources SUITE: the sources.list of an ordinary Debian machine, with the archives of this one.
sources() {
	while read -r archive; do
		for suite in "$1" "$1-updates" "$1-security"; do
			if /usr/lib/apt/apt-helper download-file "$archive/dists/$suite/InRelease" \
				"$tmp/InRelease" >>"$tmp/apt.log" 2>&1; then
				say "deb [signed-by=$keyring] $archive $suite main"
			fi
		done
	done <"$tmp/archives"
}

# find_mmdebstrap: this machine's mmdebstrap, or one from its package. It is a Perl program.
find_mmdebstrap() {
	mmdebstrap=$(command -v mmdebstrap || :)
	if [ -n "$mmdebstrap" ]; then
		private_apt
		return
	fi
	use_suite trixie mmdebstrap
	(cd "$tmp" && apt-get download mmdebstrap) >>"$tmp/apt.log" 2>&1 ||
		die "mmdebstrap could not be fetched$(apt_reason)$otherwise"
	dpkg-deb -x "$tmp"/mmdebstrap_*.deb "$tmp/mmdebstrap"
	mmdebstrap=$tmp/mmdebstrap/usr/bin/mmdebstrap
}

# bootstrap SUITE: build the bare root. Its apt has the transport settings of this machine's apt.
bootstrap() {
	sources "$1" >"$tmp/sources"
	grep -q " $1 main\$" "$tmp/sources" || {
		say "no archive of this machine's apt has $1$(apt_reason)"
		exit 1
	}
	grep '^Acquire::' "$tmp/apt.conf" | grep -v '^Acquire::IndexTargets' >"$tmp/root.conf" || :
	unset APT_CONFIG
	exec unshare --mount --pid --fork --kill-child --mount-proc perl "$mmdebstrap" --mode=root --variant=minbase --include="$PACKAGES" \
		--aptopt="$tmp/root.conf" --aptopt='APT::Sandbox::User "root"' --dpkgopt=force-unsafe-io \
		"$1" "$root" - <"$tmp/sources"
}

# configure: name resolution, certificates and cargo's configuration, as on this machine.
configure() {
	# dpkg writes without fsync() only while the root is built.
	rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	! [ -d /usr/local/share/ca-certificates ] ||
		cp -RL /usr/local/share/ca-certificates "$root/usr/local/share/"
	chroot "$root" update-ca-certificates >/dev/null 2>&1
	chroot "$root" useradd --create-home --shell /bin/bash "$NAME"
	say "$NAME ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$NAME"
	chmod 440 "$root/etc/sudoers.d/$NAME"
	for file in config.toml config; do
		file=${CARGO_HOME:-$HOME/.cargo}/$file
		if [ -f "$file" ]; then
			mkdir -p "$root/home/$NAME/.cargo"
			cp "$file" "$root/home/$NAME/.cargo/"
		fi
	done
}

# put_checkout: a clone of HEAD. Changes that are not committed are not in it.
put_checkout() {
	# git as root refuses a checkout of somebody else's.
	printf '[safe]\n\tdirectory = *\n' >"$tmp/gitconfig"
	export GIT_CONFIG_GLOBAL="$tmp/gitconfig" GIT_CONFIG_NOSYSTEM=1
	git clone -q --no-hardlinks "$TOP" "$root/home/$NAME/timens"
	commit=$(git -C "$root/home/$NAME/timens" rev-parse --short=12 HEAD)
	git -C "$root/home/$NAME/timens" remote remove origin
	chroot "$root" chown -R "$NAME:$NAME" "/home/$NAME"
}

# The variables of this machine that tell programs how to reach the network.
network_variables() {
	env | grep -iE '^(https?_proxy|ftp_proxy|all_proxy|no_proxy|CARGO_(HTTP|NET|REGISTRIES)_[A-Z_]*)=' |
		grep -v TOKEN || :
}

# inside COMMAND...: run it in $root as the ordinary user, with /proc, /sys and /dev. The root is
# the root of its mount namespace, as on a real machine: in a mere chroot the kernel refuses user
# namespaces. All processes and mounts go away with unshare's child.
inside() {
	# shellcheck disable=SC2046,SC2016 # one word per variable; the inner shells expand the rest
	exec unshare --mount --pid --fork --kill-child --propagation private sh -euc '
		root=$1
		shift
		mount --bind "$root" "$root"
		cd "$root"
		mount -t proc proc proc
		mount --rbind /sys sys
		mount --rbind /dev dev
		mount -t tmpfs tmpfs run
		mkdir -p mnt/machine
		pivot_root . mnt/machine
		cd /
		umount -l /mnt/machine
		exec "$@"' sh "$root" \
		/usr/bin/setpriv --reuid "$NAME" --regid "$NAME" --init-groups --reset-env \
		/usr/bin/env $(network_variables) PATH=/usr/local/bin:/usr/bin:/bin \
		/bin/sh -c 'cd "$HOME/timens" && exec "$@"' sh "$@"
}

# row SUITE COMMAND RESULT TIME REMARK
row() {
	printf '%-22s %-24s %-8s %12s  %s\n' "$@"
}

# note RESULT...: add a row to the table and count it.
note() {
	case $3 in
	passed) passed=$((passed + 1)) ;;
	failed) failed=$((failed + 1)) ;;
	skipped) skipped=$((skipped + 1)) ;;
	esac
	row "$(release "$1") ($1)" "$2" "$3" "$4" "$5" >>"$tmp/table"
}

# last_line LOG: the line that sums up a command.
last_line() {
	tail -n 1 "$TOP/out/log/$1.log" | cut -c 1-90
}

# keep_logs SUITE: the logs that the commands wrote in the root.
keep_logs() {
	from=$root/home/$NAME/timens/out
	to=$TOP/out/log/newcomer-$1
	rm -rf "$to"
	for dir in log results; do
		[ ! -d "$from/$dir" ] || { mkdir -p "$to" && cp -R "$from/$dir" "$to/"; }
	done
}

remove_root() {
	[ ! -e "$root" ] || rm -rf --one-file-system "$root"
}

# cleanup: end the command that runs, with its processes and mounts, and remove its root.
cleanup() {
	if [ -n "$child" ]; then
		kill -KILL "$child" 2>/dev/null || :
		wait "$child" 2>/dev/null || :
	fi
	[ -n "$keep" ] || [ -z "$root" ] || remove_root
	rm -rf "$tmp"
}

# try_suite SUITE: run all commands in a new root.
try_suite() {
	root=$rooms/$1
	remove_root
	status=0
	step "newcomer-$1-root" "$(release "$1"): building the bare root" bootstrap "$1" || status=1
	if [ "$status" -eq 0 ]; then
		configure
		put_checkout
	fi
	say "$commands" >"$tmp/commands"
	while read -r command; do
		if [ "$status" -ne 0 ]; then
			note "$1" "make $command" skipped - "the root could not be built"
			continue
		fi
		name=newcomer-$1-$(printf %s "$command" | tr -c 'A-Za-z0-9\n' -)
		result=passed
		# shellcheck disable=SC2086 # the arguments of make
		step "$name" "$(release "$1"): make $command" inside make $command || result=failed
		note "$1" "make $command" "$result" "$(duration "$took")" "$(last_line "$name")"
	done <"$tmp/commands"
	[ "$status" -eq 0 ] || failed=$((failed + 1))
	keep_logs "$1"
	if [ -n "$keep" ]; then
		say "newcomer: $(release "$1"): kept, $(du -sh "$root" | cut -f 1) in out/newcomer/$1"
	else
		remove_root
	fi
}

# A function, so that the shell has read all of this file before the long part: the checkout can change
# meanwhile.
main() {
	suites='' commands='' keep=''
	while [ $# -gt 0 ]; do
		case $1 in
		--suite | --command)
			[ $# -ge 2 ] || die "$1: a value is missing: see --help"
			if [ "$1" = --suite ]; then
				release "$2" >/dev/null || die "--suite $2: unknown: give bookworm or trixie"
				suites="$suites $2"
			else
				commands="$commands${commands:+
}$2"
			fi
			shift
			;;
		--keep) keep=1 ;;
		--help | -h)
			usage
			exit
			;;
		*) die "$1: unknown: see --help" ;;
		esac
		shift
	done
	suites=${suites:-bookworm trixie}
	commands=${commands:-run
test}

	[ "$(id -u)" -eq 0 ] || die "newcomer builds and mounts root file systems: run it as root"
	lock "$rooms/.lock"
	free=$(df -BG --output=avail "$rooms" | tail -n 1 | tr -dc 0-9)
	say "newcomer: each root needs up to $SPACE GB in out/newcomer, one at a time${keep:+; --keep keeps them}; $free GB are free"
	[ "$free" -ge "$SPACE" ] || die "out/newcomer: $free GB are free: free $SPACE GB"
	child='' root=''
	scratch "$rooms"
	trap cleanup EXIT
	find_mmdebstrap
	passed=0 failed=0 skipped=0
	row suite command result time "last line" >"$tmp/table"
	for suite in $suites; do
		try_suite "$suite"
	done
	mkdir -p "$(dirname "$results")"
	{
		say "commit ${commit:-unknown}"
		say
		cat "$tmp/table"
		say
		say "$passed passed, $failed failed, $skipped skipped"
	} >"$results"
	say
	cat "$results"
	[ "$failed" -eq 0 ]
}

main "$@"
