#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A verdict falls on a connection, never on a segment of an open one: whatever happens to a sender
# while it is in mid-DATA, its message arrives, once; and its next connection is stopped.
# shellcheck disable=SC2317,SC2086,SC2119 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

# how              what happens to the sender while it waits in mid-DATA
# listed           a list is reloaded that now names it
# added            `gate25 add`
# forced           `gate25 add --force`, of a whole network
# limited          it opens more connections than the limit admits
# default          a reload with `default: drop`
# enforced         `gate25 policy enforce`, where it was listed all the time
# restarted        listed, and the agent is killed and started again
WAYS="listed added forced limited default enforced restarted"

configure() { # [LIMITS [DEFAULT]]
	guard_config <<-END
		services: [{name: mx, ports: [25], default: ${2:-pass}}]
		policy: enforce
		allow: [{name: own, entries: [198.51.100.10, "2001:db8:1::10"]}]
		lists: [{name: blocked, file: $WORK/blocked.txt, format: plain}]
		limits: {${1:-}}
		metrics: {listen: "127.0.0.1:9925"}
	END
}

# The number of the way is in the address: nothing is left from one way to the next.
addresses_of() { # WAY
	local number=0 way
	for way in $WAYS; do
		number=$((number + 1))
		[ "$way" != "$1" ] || break
	done
	echo "198.18.$number.66 2001:db8:bad:$number::66"
}

happens() { # WAY ADDR4 ADDR6
	local address
	case $1 in
	listed | restarted)
		printf '%s\n' "$2" "$3" >> $WORK/blocked.txt
		gate25 reload || return
		[ "$1" = listed ] || { guard_kill && guard_start; }
		;;
	added) gate25 add "$2" "$3" --for 1h ;;
	forced) gate25 add "${2%66}0/24" "${3%66}/64" --force ;;
	limited)
		for address in "$2" "$3"; do
			[ "$(smtp_burst sender "$address" 8 2)" -lt 8 ] || return
		done
		;;
	default) configure '' drop && gate25 reload ;;
	enforced) gate25 policy enforce ;;
	esac
}

prepare() { # WAY ADDR4 ADDR6
	case $1 in
	limited) configure 'source: {rate: 1/h, burst: 4}' && gate25 reload ;;
	enforced)
		gate25 policy observe && printf '%s\n' "$2" "$3" >> $WORK/blocked.txt &&
			configure && gate25 reload
		;;
	*) configure && gate25 reload ;;
	esac
}

try_way() { # WAY
	local way=$1 address ip4 ip6 opened
	read -r ip4 ip6 < <(addresses_of "$way")
	check "$way: prepared" quietly prepare "$way" "$ip4" "$ip6"
	for address in "$ip4" "$ip6"; do
		check "$way: $address comes to mid-DATA" \
			mail_slow_start "$way-$address" sender "$address"
	done
	opened=$(metric gate25_packets_total reason=open)
	check "$way: it happens" quietly happens "$way" "$ip4" "$ip6"
	for address in "$ip4" "$ip6"; do
		check_not "$way: $address gets no new connection" smtp_connects sender "$address" 1
		want "$way: nothing of it was delivered yet" 0 "$(mail_count "<$way-$address>")"
	done
	for address in "$ip4" "$ip6"; do
		check "$way: the message of $address is taken" mail_slow_finish "$way-$address"
	done
	for address in "$ip4" "$ip6"; do
		wait_for 5 mail_arrived 1 "<$way-$address>"
		want "$way: and delivered once, whole" 1 "$(mail_whole "$way-$address")"
		check_not "$way: $address still gets no new connection" \
			smtp_connects sender "$address" 1
	done
	check "$way: the good sender delivers" mail_send good 198.51.100.10
	# A limit stops SYNs alone; all other ways make a blocked source of it.
	[ "$way" = limited ] || check "$way: its segments were counted as those of an open session" \
		[ "$(metric gate25_packets_total reason=open)" -gt "$opened" ]
}

mail_whole() { # ID -> how many messages of that ID there are, if each has both halves
	local files
	files=$(grep -rlF "<$1>" $WORK/mail/inbox/new)
	[ -n "$files" ] && [ "$(xargs grep -cxF 'second half' <<< "$files" | grep -cv 1$)" -eq 0 ] &&
		wc -l <<< "$files"
}

sources=()
for way in $WAYS; do
	read -r ip4 ip6 < <(addresses_of "$way")
	sources+=("$ip4" "$ip6")
done
net_start
sender good 198.51.100.10 2001:db8:1::10
sender sender "${sources[@]}"
echo 198.18.255.1 > $WORK/blocked.txt # an empty list would be refused
check "Postfix starts" mail_server_start
configure
check "the guard starts" guard_start
for way in $WAYS; do
	try_way "$way"
done
finish
