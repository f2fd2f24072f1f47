#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs from Debian's packages what is missing: scripts/deps.sh build|demo|test|bench|fuzz|lint|all …
# With everything there it asks dpkg once and is done. Nothing that is installed is upgraded or
# removed, and no service that comes along is started, now or at the next boot: a mail gateway
# keeps the mail server that it has, and opens no port.
set -euo pipefail

build=(gcc libc6-dev linux-libc-dev make pkgconf clang bpftool git
	libbpf-dev libelf-dev zlib1g-dev libmnl-dev libcurl4-gnutls-dev libmicrohttpd-dev
	libjansson-dev libsystemd-dev libsmartcols-dev libcap-ng-dev libyaml-dev libc-ares-dev
	libseccomp-dev)
demo=(postfix swaks libio-socket-inet6-perl iproute2 util-linux mount procps curl jq)
test=("${demo[@]}" libcmocka-dev nftables ethtool bind9-host rbldnsd nginx-light openssl prometheus unbound rsync)
bench=(iproute2 nftables ipset iptables xdp-tools)
fuzz=(libclang-rt-dev llvm)
lint=(clang-format clang-tidy cppcheck shellcheck)

wanted=()
for set in "$@"; do
	case $set in
	build) wanted+=("${build[@]}") ;;
	demo) wanted+=("${demo[@]}") ;;
	test) wanted+=("${test[@]}") ;;
	bench) wanted+=("${bench[@]}") ;;
	fuzz) wanted+=("${fuzz[@]}") ;;
	lint) wanted+=("${lint[@]}") ;;
	all) wanted+=("${build[@]}" "${test[@]}" "${bench[@]}" "${fuzz[@]}" "${lint[@]}") ;;
	*)
		echo "usage: scripts/deps.sh build|demo|test|bench|fuzz|lint|all …" >&2
		exit 2
		;;
	esac
done
[ ${#wanted[@]} -gt 0 ] || { echo "usage: scripts/deps.sh build|demo|test|bench|fuzz|lint|all …" >&2; exit 2; }

declare -A installed=()
while read -r status package; do
	if [ "$status" = ii ]; then installed[$package]=1; fi
done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" 2>/dev/null)
missing=()
for package in "${wanted[@]}"; do
	[ -n "${installed[$package]:-}" ] || missing+=("$package")
	installed[$package]=1 # named twice, installed once
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "Missing packages. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

# invoke-rc.d and systemd's helper ask this script whether a package may start its service.
policy=/usr/sbin/policy-rc.d
kept=
policy_restore() {
	rm -f $policy
	[ -z "$kept" ] || mv "$kept" $policy
}
if [ -e $policy ] || [ -L $policy ]; then
	kept=$policy.before-gate25
	mv $policy $kept
fi
trap policy_restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
printf '#!/bin/sh\nexit 101\n' > $policy
chmod 755 $policy

# What could start at boot, by name.
services() {
	find /lib/systemd/system /etc/init.d -maxdepth 1 -type f \
		\( -name '*.service' -o -name '*.socket' -o -name '*.timer' -o -path '/etc/init.d/*' \) \
		-printf '%f\n' 2> /dev/null | sort -u
}

services_disable() { # NAME…
	local name
	for name; do
		if command -v systemctl > /dev/null; then
			systemctl disable --quiet "$name" > /dev/null 2>&1 || true
		elif [ -e "/etc/init.d/$name" ]; then
			update-rc.d "$name" disable > /dev/null 2>&1 || true
		fi
	done
}

export DEBIAN_FRONTEND=noninteractive
services_before=$(services)
log=$(mktemp)
echo "Installing ${#missing[@]} packages: ${missing[*]}"
if ! { apt-get update && apt-get install -y --no-install-recommends --no-remove "${missing[@]}"; } \
	> "$log" 2>&1 < /dev/null; then
	tail -n 30 "$log" >&2
	echo "apt-get could not install them (all it said: $log). If it says that something would be" >&2
	echo "removed, another mail server say: take another machine, nothing is removed here." >&2
	exit 1
fi
rm -f "$log"
mapfile -t new < <(comm -13 <(echo "$services_before") <(services))
if [ ${#new[@]} -gt 0 ]; then
	services_disable "${new[@]}"
	echo "None of these runs now or starts at boot: ${new[*]}"
fi
