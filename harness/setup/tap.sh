# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The results of a test script, in TAP. The script that sources this file has made the directory $work.

count=0
failed=0

result() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$work/output"
		failed=$((failed + 1))
	fi
}

# passes NAME COMMAND...: it succeeds.
passes() {
	name=$1
	shift
	status=0
	"$@" >"$work/output" 2>&1 || status=1
	result "$status" "$name"
}

# refuses NAME PATTERN COMMAND...: it fails, and its one line of error matches PATTERN.
refuses() {
	name=$1
	pattern=$2
	shift 2
	status=0
	if "$@" >"$work/output" 2>"$work/errors"; then
		status=1
	fi
	cat "$work/errors" >>"$work/output"
	[ "$(grep -c '' "$work/errors")" -eq 1 ] && grep -q "^error: .*$pattern" "$work/errors" || status=1
	result "$status" "refuses $name"
}
