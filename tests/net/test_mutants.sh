#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 120
#
# Bugs put into the program on purpose: the oracle test must catch each. A bug whose line is no longer there fails too,
# so that none of them turns into a test of the unchanged program.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build}
work=$(mktemp -d /tmp/mutants.XXXXXX) || exit 2
trap 'rm -r "$work"' EXIT
count=0
failed=0

result() { # ok|"not ok" NAME
	count=$((count + 1))
	echo "$1 $count - $2"
	[ "$1" = ok ] || failed=1
}

build() {
	clang -target bpf -mcpu=v3 -O2 -g -std=gnu11 -I"$work" -I. \
		-I"/usr/include/$(gcc -print-multiarch)" -c "$work/bpf/ingress.bpf.c" -o "$work/ingress.bpf.o"
}

oracle() {
	ORACLE_PROGRAM=$work/ingress.bpf.o timeout 60 "$BUILD/tests/bpf/test_oracle" > "$work/log" 2>&1
}

mutant() { # NAME FILE SED
	rm -rf "$work/bpf"
	cp -r bpf "$work/bpf"
	sed -i "$3" "$work/bpf/$2"
	if cmp -s "bpf/$2" "$work/bpf/$2"; then
		result "not ok" "$1: there is no such line any more"
	elif ! build; then
		result "not ok" "$1: does not build"
	elif oracle; then
		result "not ok" "$1: not caught"
	elif grep -q '^differs\|differs (' "$work/log"; then
		result ok "$1: caught, $(grep -o '[0-9]* differing verdicts' "$work/log")"
	else
		tail -5 "$work/log" | sed 's/^/# /'
		result "not ok" "$1: failed, but not by a verdict"
	fi
}

cp -r bpf "$work/bpf"
if build && oracle; then
	result ok "the program as it is agrees"
else
	result "not ok" "the program as it is agrees"
fi
mutant "byte order" packet.h 's/__builtin_bswap32(ip->saddr)/ip->saddr/'
mutant "prefix edge" table.h 's/((address >> 8) & 255)/((address >> 8) \& 254)/'
mutant "precedence" verdict.h 's/if (facts->class_flags & GATE25_CLASS_ALLOW)/if ((facts->class_flags \& 3) == GATE25_CLASS_ALLOW)/'
mutant "second VLAN tag" packet.h 's/^#define PACKET_TAGS.*/#define PACKET_TAGS 1/'
mutant "fragment at offset 1" packet.h 's/0x1fff) == 1/0x1fff) == 2/'
echo "1..$count"
exit $failed
