# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Functions that all shell scripts share. The script that sources this file has set TOP to the checkout.

# The same bytes everywhere, whatever the user's locale, time zone and git set-up.
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

# lock FILE: one script at a time, until this one ends.
lock() {
	mkdir -p "$(dirname "$1")" 2>/dev/null || die "cannot write to $(dirname "$1")"
	exec 9>"$1"
	flock -n 9 && return
	say "waiting for another run to finish ($1)"
	flock 9
}

# scratch PARENT: a directory $tmp in PARENT that goes away with the script. The script
# holds PARENT's lock: what lies there was left by one that was killed.
scratch() {
	rm -rf "$1"/tmp.*
	tmp=$(mktemp -d "$1/tmp.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
}

# Shows that a long step is alive: seconds on a terminal, a line a minute in a log.
tick() {
	elapsed=0
	while sleep 1 >/dev/null 2>&1 9>&- && kill -0 $$ 2>/dev/null; do
		elapsed=$((elapsed + 1))
		if [ -t 1 ]; then
			printf '\r%s … %d s' "$1" "$elapsed"
		elif [ $((elapsed % 60)) -eq 0 ]; then
			printf '%s … %d s\n' "$1" "$elapsed"
		fi
	done
}

# logged NAME STEP COMMAND...: run COMMAND with its output in out/log/NAME.log. A failure
# shows the end of that log and returns the command's status.
logged() {
	log=out/log/$1.log
	step=$2
	shift 2
	mkdir -p "$TOP/out/log"
	began=$(date +%s)
	tick "$step" &
	ticker=$!
	status=0
	# Without the lock: a daemon that COMMAND starts must not keep it.
	"$@" >"$TOP/$log" 2>&1 </dev/null 9>&- || status=$?
	# KILL, for a shell just forked may lose another signal to the traps it inherited.
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
