#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Print the path of a rustc of the version that harness/Cargo.toml promises (rust-version), to
# check the harness with: cargo check with RUSTC set to it. Where there can be none, print the reason
# and exit with 4.
#
# It is /usr/bin/rustc where that has this version, and otherwise Debian 13's. Its packages are
# unpacked in the cache, with all libraries they need, and nothing is installed. A wrapper,
# out/oldest/bin/rustc, runs it by the ld.so of these packages, because this machine's libc may be
# older. rustc only loads what it has linked itself (proc macros), and cargo only runs what the
# machine's own cc has linked (build scripts): both fit this machine's libc, and a libc that is
# newer loads the proc macros as well.

set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=harness/setup/lib.sh
. "$TOP/harness/setup/lib.sh"
# shellcheck source=harness/setup/apt.sh
. "$TOP/harness/setup/apt.sh"

SUITE=trixie
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$TOP/harness/Cargo.toml")
[ -n "$oldest" ] || die "harness/Cargo.toml: no rust-version"
otherwise=": the check with rustc $oldest needs Debian's packages"
debs=$cache/rustc-$oldest
wrapper=$TOP/out/oldest/bin/rustc

# is_oldest RUSTC: does it run, with the version that is promised?
is_oldest() {
	case $("$1" --version 2>/dev/null) in
	"rustc $oldest".* | "rustc $oldest "*) ;;
	*) return 1 ;;
	esac
}

# needed PACKAGE...: these packages, and those whose libraries they need.
needed() {
	apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$@" | sed -n 's/^\([a-z0-9][^:<> ]*\)$/\1/p' | sort -u
}

# fetch: the packages, unpacked, into $debs. rustc's own dependencies bring a C compiler too,
# which is not needed; its library's dependencies are all it loads.
fetch() {
	scratch "$cache"
	use_suite "$SUITE" rustc
	mkdir "$tmp/debs" "$tmp/root"
	{
		say rustc
		needed libstd-rust-dev
	} >"$tmp/packages"
	(cd "$tmp/debs" && logged oldest-rustc "setup: fetching rustc $oldest of $SUITE" \
		xargs -a "$tmp/packages" apt-get download) ||
		die "apt could not fetch the packages of rustc $oldest: see above, and try again"
	for deb in "$tmp"/debs/*.deb; do
		if ! dpkg-deb --fsys-tarfile "$deb" >"$tmp/tar" ||
			! tar -xf "$tmp/tar" -C "$tmp/root" --no-same-owner --keep-directory-symlink; then
			die "$(basename "$deb"): cannot be unpacked"
		fi
	done
	rm -rf "$tmp/root/usr/share" "$debs"
	mv "$tmp/root" "$debs"
}

write_wrapper() {
	loader=$(find "$debs/lib64" "$debs/usr/lib64" "$debs/usr/lib" -name 'ld-linux-x86-64.so.2' 2>/dev/null | head -n 1)
	[ -n "$loader" ] || die "$debs: has no ld.so, remove it and try again"
	mkdir -p "$(dirname "$wrapper")"
	cat >"$wrapper.new" <<-END
		#!/bin/sh
		# rustc $oldest of Debian $SUITE, by the ld.so and libraries of its own packages.
		exec '$loader' --library-path '$debs/usr/lib/x86_64-linux-gnu:$debs/lib/x86_64-linux-gnu' \\
			'$debs/usr/bin/rustc' --sysroot '$debs/usr' "\$@"
	END
	chmod +x "$wrapper.new"
	mv "$wrapper.new" "$wrapper"
}

# Only the path, or the reason that there is none, goes to stdout.
exec 3>&1 1>&2
if is_oldest /usr/bin/rustc; then
	say /usr/bin/rustc >&3
	exit
fi
if ! command -v apt-get >/dev/null; then
	say "there is no rustc $oldest, and no apt to fetch it" >&3
	exit 4
fi
lock "$cache/lock"
[ -x "$debs/usr/bin/rustc" ] || fetch
is_oldest "$wrapper" || write_wrapper
is_oldest "$wrapper" || die "$wrapper: does not run, or is not rustc $oldest: remove $debs and try again"
say "$wrapper" >&3
