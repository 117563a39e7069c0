# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Functions of all shell scripts. A script sets TOP to the checkout and sources this file.

# The output must not depend on the user's locale, time zone and git configuration.
export LC_ALL=C TZ=UTC
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
umask 022

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# lock FILE: wait until no other script holds the lock, and hold it until this one ends.
lock() {
	mkdir -p "$(dirname "$1")" 2>/dev/null || die "cannot write to $(dirname "$1")"
	exec 9>"$1"
	flock -n 9 && return
	say "waiting for another run to finish ($1)"
	flock 9
}

# scratch PARENT: make a directory $tmp in PARENT, and remove it when the script ends. The script holds
# PARENT's lock, so any such directory there belongs to a script that was killed.
scratch() {
	rm -rf "$1"/tmp.*
	tmp=$(mktemp -d "$1/tmp.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
}

# tick STEP: show the progress of a long step: seconds on a terminal, a line a minute in a log.
tick() {
	start=$(date +%s)
	minute=1
	while sleep 1 >/dev/null 2>&1 9>&- && kill -0 $$ 2>/dev/null; do
		elapsed=$(($(date +%s) - start))
		if [ -t 1 ]; then
			printf '\r%s … %d s' "$1" "$elapsed"
		elif [ "$elapsed" -ge $((minute * 60)) ]; then
			printf '%s … %d s\n' "$1" "$elapsed"
			minute=$((minute + 1))
		fi
	done
}

# logged NAME STEP COMMAND...: run COMMAND with its output in out/log/NAME.log. On failure, print the
# end of that log and return the command's status.
logged() {
	log=out/log/$1.log
	step=$2
	shift 2
	mkdir -p "$TOP/out/log"
	began=$(date +%s)
	tick "$step" &
	ticker=$!
	status=0
	# Close the lock: a daemon that COMMAND starts must not hold it.
	"$@" >"$TOP/$log" 2>&1 </dev/null 9>&- || status=$?
	# KILL: a shell that has just been forked can lose other signals to its inherited traps.
	kill -KILL "$ticker"
	wait "$ticker" 2>/dev/null || :
	[ ! -t 1 ] || printf '\r\033[K'
	if [ "$status" -ne 0 ]; then
		tail -n 25 "$TOP/$log" >&2
		say "$step: failed, the full log is $log" >&2
		return "$status"
	fi
	say "$step ($(($(date +%s) - began)) s)"
}

sha256() {
	set -- "$(sha256sum <"$1")"
	printf '%s\n' "${1%% *}"
}

# version_ge A B: is version A at least B?
version_ge() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}
