#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Allow lists by name, and `test --domain`: a real unbound with a zone of the test answers for SPF, MX and hosts.
# shellcheck disable=SC2317,SC2119 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

resolver=

# Names under example.com are answered here; those under refused.test are refused, those under silent.test never answered.
zone() { # [LINE]…, behind these
	mkdir -p $WORK/unbound
	{
		cat <<-END
			server:
			  directory: "$WORK/unbound"
			  chroot: ""
			  username: ""
			  pidfile: "$WORK/unbound/pid"
			  use-syslog: no
			  logfile: "$WORK/unbound/log"
			  interface: 127.0.0.1
			  port: 5353
			  do-daemonize: no
			  num-threads: 1
			  module-config: "iterator"
			  do-not-query-localhost: no
			  local-zone: "." always_nxdomain
			  local-zone: "example.com." static
			  local-zone: "refused.test." refuse
			  local-zone: "silent.test." deny
		END
		while IFS= read -r record; do
			[ -z "$record" ] || echo "  local-data: '$record'"
		done
	} > $WORK/unbound/unbound.conf
	zone_stop
	nsenter --net=/run/netns/gw -- unbound -c $WORK/unbound/unbound.conf &
	resolver=$!
	wait_for 5 in_ns gw host -p 5353 -W 1 -t TXT big.example.com 127.0.0.1
}

zone_stop() {
	[ -n "$resolver" ] || return 0
	kill $resolver
	wait $resolver 2> /dev/null
	resolver=
}

records() {
	cat <<-'END'
		big.example.com. 20000 IN TXT "v=spf1 ip4:198.51.100.0/25 ip6:2001:db8:b16::/48 include:sub.example.com a:host.example.com/31 -all"
		sub.example.com. 20000 IN TXT "unrelated"
		sub.example.com. 20000 IN TXT "v=spf1 mx ?ip4:192.0.2.99 ~all"
		sub.example.com. 20000 IN MX 10 mx1.example.com.
		sub.example.com. 20000 IN MX 20 mx2.example.com.
		mx1.example.com. 20000 IN A 203.0.113.11
		mx1.example.com. 20000 IN AAAA 2001:db8:aa::11
		mx2.example.com. 20000 IN A 203.0.113.12
		host.example.com. 20000 IN A 203.0.113.20
		host.example.com. 20000 IN A 203.0.113.22
		macro.example.com. 20000 IN TXT "v=spf1 exists:%{i}._spf.example.com include:%{d}.x.example.com ptr ip4:203.0.113.30 +all"
		long.example.com. 20000 IN TXT "v=spf1 ip4:203.0.113.40 " "ip4:203.0.1" "13.41 redirect=leads.example.com"
		leads.example.com. 20000 IN TXT "v=spf1 ip4:203.0.113.42 -all"
		loop.example.com. 20000 IN TXT "v=spf1 ip4:203.0.113.50 include:loop.example.com -all"
		void.example.com. 20000 IN TXT "v=spf1 a:n1.example.com a:n2.example.com ip4:203.0.113.60 a:n3.example.com ip4:203.0.113.61 -all"
		two.example.com. 20000 IN TXT "v=spf1 -all"
		two.example.com. 20000 IN TXT "v=spf1 +all"
		broken.example.com. 20000 IN TXT "v=spf1 ip4:203.0.113.70 ipv4:203.0.113.71 -all"
		half.example.com. 20000 IN TXT "v=spf1 ip4:203.0.113.80 include:broken.example.com ip4:203.0.113.81 -all"
		none.example.com. 20000 IN TXT "v=spf2.0/pra ip4:203.0.113.90"
		everybody.example.com. 20000 IN TXT "v=spf1 ip4:0.0.0.0/0 -all"
		nowhere.example.com. 20000 IN TXT "v=spf1 include:x.refused.test -all"
		plain.example.com. 20000 IN A 203.0.113.100
		null.example.com. 20000 IN MX 0 .
	END
	printf 'big2.example.com. 20000 IN TXT "v=spf1'
	printf ' a:h%d.example.com' {1..12}
	printf ' -all"\n'
	printf 'h%d.example.com. 20000 IN A 203.0.113.12%d\n' 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9
	printf 'h%d.example.com. 20000 IN A 203.0.113.13%d\n' 10 0 11 1 12 2
	printf 'wide.example.com. 20000 IN MX %d m.example.com.\n' 1
	printf 'm.example.com. 20000 IN A 10.1.%d.7\n' {1..120}
}

configure() { # [LINE]…
	{
		cat <<-END
			policy: enforce
			resolver: "127.0.0.1:5353"
			metrics: {listen: "127.0.0.1:9925"}
		END
		printf '%s\n' "$@"
	} | guard_config
}

# ---------------------------------------------------------------- what a domain names

networks() { # DOMAIN
	gate25 -j test --domain "$1" 2> /dev/null | jq -r '[.results[0].networks[].network] | join(" ")'
}

notes_say() { # DOMAIN PATTERN
	gate25 -j test --domain "$1" 2> /dev/null | jq -r '.results[0].notes[]' | grep -qE "$2"
}

domains() {
	want "ip4, ip6, a with a length, mx of an included record" \
		"198.51.100.0/25 203.0.113.11 203.0.113.12 203.0.113.20/31 203.0.113.22/31 2001:db8:aa::11 2001:db8:b16::/48" \
		"$(networks big.example.com)"
	check "what does not pass is noted" notes_say big.example.com '\?ip4:192.0.2.99 does not pass'
	want "macros, exists, ptr and +all name nobody" 203.0.113.30 "$(networks macro.example.com)"
	check "and are noted" notes_say macro.example.com 'include:%\{d\}.x.example.com has a macro'
	check "each of them" notes_say macro.example.com '\+all names everybody, so it names nobody'
	want "strings are joined, a redirect is followed" "203.0.113.40 203.0.113.41 203.0.113.42" \
		"$(networks long.example.com)"
	want "a circle ends" 203.0.113.50 "$(networks loop.example.com)"
	check "by the limit" notes_say loop.example.com 'more than 10 look-ups \(RFC 7208\)'
	want "ten look-ups, not twelve" 10 "$(networks big2.example.com | wc -w)"
	want "two that find nothing, not three" 203.0.113.60 "$(networks void.example.com)"
	check "and it is noted" notes_say void.example.com 'more than 2 look-ups that found nothing'
	want "up to an included record that is broken" 203.0.113.80 "$(networks half.example.com)"
	want "everybody is nobody" "" "$(networks everybody.example.com)"
	says 1 - "two.example.com: has more than one SPF record" test --domain two.example.com
	says 1 - "broken.example.com: has an SPF record with an error in it" test --domain broken.example.com
	says 1 - "none.example.com: has no SPF record" test --domain none.example.com
	says 1 - "null.example.com" test --domain null.example.com
	says 1 - "absent.example.com" test --domain absent.example.com
	says 1 - "the resolver cannot tell now" test --domain x.refused.test
	says 1 - "the resolver does not answer" test --domain x.silent.test
	says 2 - "a domain is wanted" test --domain "a b"
	says 2 - "stands alone" test --domain big.example.com 192.0.2.1
	want "an answer too large for UDP comes by TCP" 120 "$(networks wide.example.com | wc -w)"
}

# Listed are one network inside, and one host; one address of it is blocked by hand.
judged() {
	says 3 "4 stretches would be stopped" "note: " test --domain big.example.com
	run test --domain big.example.com
	check "an entry inside a network" grep -qE \
		'^BLOCKED 198.51.100.16-198.51.100.31 mx: list bad .*: 198.51.100.16/28' <<< "$out"
	check "a host" grep -qE '^BLOCKED 203.0.113.12 mx: list bad' <<< "$out"
	check "of IPv6" grep -qE '^BLOCKED 2001:db8:b16:1::-2001:db8:b16:1:ffff:ffff:ffff:ffff mx: ' <<< "$out"
	check "a manual block" grep -qE '^BLOCKED 198.51.100.99 mx: manual block' <<< "$out"
	check "and what is not stopped" grep -qE '^not stopped: 203.0.113.20/31 \(spf\)' <<< "$out"
	json "for machines" '.results[0] | .addresses4, .stopped4' $'134\n18' test --domain big.example.com
}

# ---------------------------------------------------------------- allow lists

entries_of() { # LIST
	gate25 -j lists | jq -r ".results[] | select(.name == \"$1\") | .entries4 + .entries6"
}

next_s() { # LIST: seconds until it is asked again
	gate25 -j lists | jq -r ".results[] | select(.name == \"$1\") | .next_refresh | fromdateiso8601 - now | floor"
}

is_allowed() { # ADDR
	gate25 test "$1" | grep -q '^ALLOWED'
}

allowed() {
	configure "allow: [{name: big, spf: [big.example.com], mx: sub.example.com, host: [plain.example.com]}]" \
		"lists: [{name: bad, file: $WORK/bad.txt}]"
	says 0 "ok" - check
	says 0 "list big: " - reload
	want "all that the names stand for" 8 "$(entries_of big)"
	says 3 "^ALLOWED 198.51.100.17 mx: allow list big: 198.51.100.0/25" - test 198.51.100.17
	says 3 "^ALLOWED 203.0.113.100 mx: allow list big" - test 203.0.113.100
	check "asked again by the time to live (20000 s, a tenth to and fro)" \
		[ "$(next_s big)" -gt 17000 -a "$(next_s big)" -lt 23000 ]
	says 0 "nothing changed" - reload
}

# A name that cannot be told now leaves the last good list in force; one that is gone leaves it too, while it is.
kept() {
	zone_stop
	quietly gate25 reload
	check "without the resolver the last good one stays" is_allowed 198.51.100.17
	says 0 "big.*the resolver cannot tell now" - lists
	zone < <(records | sed 's/^plain.example.com. 20000/plain.example.com. 30/; s/203.0.113.100/203.0.113.101/')
	says 0 "list big: changed" - reload
	check "a change is followed" is_allowed 203.0.113.101
	check_not "and the former address is not" is_allowed 203.0.113.100
	check "a short time to live becomes a quarter of an hour" \
		[ "$(next_s big)" -gt 700 -a "$(next_s big)" -lt 1100 ]
	configure "allow: [{name: big, spf: [big.example.com, nowhere.example.com]}]"
	quietly gate25 reload
	check "of a new list what can be told is taken" is_allowed 198.51.100.17
	check "and the rest is asked for soon" [ "$(next_s big)" -lt 100 ]
	configure "allow: [{name: big, spf: [big.example.com, gone.example.com]}]"
	quietly gate25 reload
	check "a name that stands for nothing leaves the others" is_allowed 198.51.100.17
	check_not "they alone" is_allowed 203.0.113.101
}

refused() {
	configure "allow: [{name: a, spf: [\"nodots\"]}]"
	says 1 - "spf: 'nodots' is no domain" check
	configure "allow: [{name: a, spf: [example.com], entries: [192.0.2.1]}]"
	says 1 - "needs one of file:, url:, rsync: or entries:, or names .*, not 2 of them" check
	configure "lists: [{name: a, spf: [example.com]}]"
	says 1 - "unknown key 'spf' of a list" check
	configure "allow: [{name: a, entries: [\"spf:example.com\"]}]"
	says 1 - "is a name; write it as a key of its own" check
	printf 'resolver: localhost\npolicy: observe\n' | guard_config
	says 1 - "resolver: 'localhost' is no address" check
}

# ---------------------------------------------------------------- the agent

is_blocked() { # ADDR
	gate25 test "$1" | grep -q '^BLOCKED'
}

error_says() { # LIST TEXT
	gate25 -j lists | jq -r ".results[] | select(.name == \"$1\") | .error" | grep -qF "$2"
}

agent_follows() {
	configure "allow: [{name: big, spf: [big.example.com]}]" "lists: [{name: bad, file: $WORK/bad.txt}]"
	check "the agent starts" guard_start
	check "and has the names in force" wait_for 10 is_allowed 198.51.100.17
	# until the names were asked for by itself, its lists only observe
	check "it blocks" wait_for 10 is_blocked 192.0.2.7
	check "a listed sender of a domain that is allowed gets its connection" smtp_connects client 198.51.100.17
	check_not "a listed one beside it gets none" smtp_connects client 192.0.2.7 1
	zone < <(records | sed 's|ip4:198.51.100.0/25|ip4:198.51.100.0/25 ip4:192.0.2.7|')
	quietly gate25 lists refresh big
	check "a record that changed is followed" wait_for 10 is_allowed 192.0.2.7
	check "and its new sender gets a connection" smtp_connects client 192.0.2.7
	zone_stop
	gate25 lists refresh big > /dev/null 2>&1
	check "without the resolver it stays" is_allowed 198.51.100.17
	check "and the error is told" wait_for 10 error_says big "the resolver cannot tell now"
	check "connections go on" smtp_connects client 198.51.100.17
	check "it stops" guard_stop
}

if ! command -v unbound > /dev/null; then
	skip "names" "unbound is not there"
	finish
fi
printf '%s\n' 198.51.100.16/28 203.0.113.12 2001:db8:b16:1::/64 192.0.2.7 > $WORK/bad.txt
net_start
sender client 198.51.100.17 192.0.2.7
mail_server_start
zone < <(records)
configure "lists: [{name: bad, file: $WORK/bad.txt}]"
quietly gate25 load
quietly gate25 reload
quietly gate25 add 198.51.100.99
domains
judged
allowed
kept
refused
configure "lists: [{name: bad, file: $WORK/bad.txt}]"
agent_follows
zone_stop
mail_server_stop
finish
