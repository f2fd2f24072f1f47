#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guard before a real Postfix: who is listed, added or over a limit gets no connection, everybody
# else delivers, the counters say so; with the agent there, stopped, killed and started again.
# timeout: 300
# shellcheck disable=SC2317,SC2086,SC2119 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

GOOD="198.51.100.10 2001:db8:1::10"
LISTED="203.0.113.66 2001:db8:bad::66"
ADDED="203.0.113.80 2001:db8:add::80"
BURSTS="198.51.100.20 2001:db8:2::20"
SHADOW="198.51.100.30 2001:db8:3::30"
STREAM=198.51.100.40

configure() { # [KEY: VALUE]…, instead of or beside these
	local line
	{
		printf '%s\n' "$@"
		while read -r line; do
			printf '%s\n' "$@" | grep -q "^${line%%:*}:" || echo "$line"
		done <<-END
			services: [{name: mx, ports: [25]}, {name: submission, ports: [587]}]
			policy: enforce
			lists: [{name: blocked, file: $WORK/blocked.txt, format: plain}]
			limits: {source: {rate: 3/h, burst: 20}}
			metrics: {listen: "127.0.0.1:9925"}
		END
	} | guard_config
}

reconfigure() {
	configure "$@" && gate25 reload
}

sender_of() { # ADDR -> the namespace that has it
	case " $GOOD $STREAM " in
	*" $1 "*) echo good ;;
	*) echo bad ;;
	esac
}

connects() { # ADDR [SECONDS [PORT]]
	smtp_connects "$(sender_of "$1")" "$@"
}

connections() { # REASON
	metric gate25_connections_total "reason=$1"
}

delivers() { # ADDR
	local subject="Subject: $1 $SECONDS $RANDOM"
	mail_send "$(sender_of "$1")" "$1" --header "$subject" &&
		wait_for 5 mail_arrived 1 "$subject" && [ "$(mail_count "$subject")" -eq 1 ]
}

# Every address of a list, each check by name: all_of check_not "…" connects ADDRESSES…
each() { # check|check_not WHAT COMMAND ADDR…
	local how=$1 what=$2 command=$3 address
	shift 3
	for address; do
		$how "$address $what" $command $address
	done
}

# How many more connections a counter saw while the commands ran.
declare -A before=()
mark() { # REASON…
	local reason
	for reason; do
		before[$reason]=$(connections $reason)
	done
}
rose() { # REASON -> by how much
	echo $(($(connections $1) - before[$1]))
}

word_of() { # ADDR -> the first word that `gate25 test` says
	gate25 test "$1" | awk '{ print $1; exit }'
}

# ---------------------------------------------------------------- one section each

lists() {
	mark pass list
	each check "delivers" delivers $GOOD
	each check_not "is listed and gets no connection" connects $LISTED
	each check_not "nor can swaks deliver" delivers ${LISTED%% *}
	want "as many connections passed" 2 "$(rose pass)"
	want "as many were stopped by a list" 3 "$(rose list)"
	want "the list counts each of their SYNs" "$(metric gate25_packets_total reason=list)" \
		"$(metric gate25_list_hits_total list=blocked)"
	each check "reaches port 587, for lists hold for port 25" connects_587 $LISTED
	for address in $LISTED; do
		want "test says BLOCKED of $address" BLOCKED "$(word_of $address)"
	done
	want "and PASS of a good one" PASS "$(word_of ${GOOD%% *})"
}

connects_587() { # ADDR
	connects "$1" 1 587
}

entries() {
	local address
	each check "connects before it is added" connects $ADDED
	mark manual
	check "add" quietly gate25 add $ADDED --for 1h --reason 'phishing run'
	each check_not "was added and gets no connection" connects $ADDED
	each check_not "nor on port 587" connects_587 $ADDED
	want "they were stopped by hand" 4 "$(rose manual)"
	want "the overlay holds them" 2 "$(metric gate25_overlay_entries origin=manual)"
	for address in $ADDED; do
		want "test says BLOCKED of $address" BLOCKED "$(word_of $address)"
		check "unblock $address" quietly gate25 unblock $address
	done
	each check "was unblocked and connects" connects $ADDED
	check "unblock of a listed one" quietly gate25 unblock ${LISTED%% *}
	check "lets it in" connects ${LISTED%% *}
	check "take that back" quietly gate25 allow del ${LISTED%% *}
	check_not "and it is out again" connects ${LISTED%% *}
	check "add for one service" quietly gate25 add ${ADDED%% *} --service submission
	check "does not touch port 25" connects ${ADDED%% *}
	check_not "but port 587" connects_587 ${ADDED%% *}
	check "del" quietly gate25 del ${ADDED%% *}
	check "and it connects" connects_587 ${ADDED%% *}
}

limits() {
	local address served
	for address in $BURSTS; do
		mark pass limit_source
		served=$(smtp_burst bad $address 40 3)
		# and the one or two that knocked before the twentieth was counted
		check "a burst of 40 from $address is limited to 20, not to $served" \
			[ "$served" -ge 20 -a "$served" -le 22 ]
		want "all that were served passed" $served "$(rose pass)"
		want "all others were over the limit" $((40 - served)) "$(rose limit_source)"
	done
	want "test says LIMITED" LIMITED "$(word_of ${BURSTS%% *})"
	each check "is served meanwhile" connects $GOOD
	check "unblock forgets the debt" quietly gate25 unblock ${BURSTS%% *}
	want "all of it, and needs no allow entry for that" "PASS 0" \
		"$(word_of ${BURSTS%% *}) $(gate25 -j allow list | jq '.results | length')"
	check "it connects" connects ${BURSTS%% *}
}

observe() {
	local address served
	check "add, to be observed" quietly gate25 add $ADDED --for 1h
	check "observe" quietly gate25 policy observe
	mark would_list would_manual would_limit_source list manual limit_source
	each check "is listed and delivers all the same" delivers $LISTED
	each check "was added and delivers all the same" delivers $ADDED
	for address in $SHADOW; do
		served=$(smtp_burst bad $address 40 10)
		want "a burst of $address is served whole" 40 $served
	done
	want "the lists would have stopped" 2 "$(rose would_list)"
	want "the entries would have stopped" 2 "$(rose would_manual)"
	# 20 of each burst, but for those that were on their way when the budget ended: ten clients connect at once
	check "the limit would have stopped about 40" \
		[ "$(rose would_limit_source)" -gt 20 -a "$(rose would_limit_source)" -le 40 ]
	want "nothing was stopped" "0 0 0" "$(rose list) $(rose manual) $(rose limit_source)"
	check "enforce" quietly gate25 policy enforce
	each check_not "is out again" connects $LISTED $ADDED
	check "observe one list" quietly gate25 policy observe --list blocked
	each check "connects" connects $LISTED
	each check_not "is still out" connects $ADDED
	check "enforce it" quietly gate25 policy enforce --list blocked
	check "observe one service" quietly gate25 policy observe --service submission
	each check "reaches it" connects_587 $ADDED
	each check_not "but not the other" connects $ADDED
	check "enforce it" quietly gate25 policy enforce --service submission
	each check_not "is out of both" connects_587 $ADDED
	check "del" quietly gate25 del $ADDED
}

agent_dead() {
	check "the agent dies" guard_kill
	each check_not "is out, agent or not" connects $LISTED
	each check "delivers" delivers $GOOD
	check "pause" quietly gate25 pause --for 1h
	each check "is let in by the pause" connects $LISTED
	check "resume" quietly gate25 resume
	each check_not "is out again" connects $LISTED
	check "add for 3 seconds" quietly gate25 add $ADDED --for 3s
	each check_not "was added and is out" connects_briefly $ADDED
	sleep 3
	each check "is in again, its time is over" connects $ADDED
	check "add, to be found by the next agent" quietly gate25 add ${ADDED%% *} --for 1h
	check "pause for 4 seconds" quietly gate25 pause --for 4s
	check "lets it in" connects ${ADDED%% *}
	sleep 4
	check_not "and ends by itself" connects ${ADDED%% *}
	check "the agent starts again" guard_start
	check_not "the entry is still there" connects ${ADDED%% *}
	each check_not "so is the list" connects $LISTED
	check "del" quietly gate25 del ${ADDED%% *}
}

connects_briefly() { # ADDR
	connects $1 0.5
}

# Mail every moment, and a listed source that knocks all the time.
stream_start() {
	rm -f $WORK/streaming
	: > $WORK/stream.sent
	: > $WORK/stream.lost
	: > $WORK/stream.intruded
	touch $WORK/streaming
	(
		count=0
		while [ -e $WORK/streaming ]; do
			count=$((count + 1))
			echo "<stream-$1-$count>" >> $WORK/stream.sent
			echo go | in_ns good "$BUILD/tests/net/smtp" -f $STREAM -t 20 \
				-m "stream-$1-$count" slow $GW4 > $WORK/stream.log 2>&1 ||
				{ echo "$1-$count"; cat $WORK/stream.log; } >> $WORK/stream.lost
			sleep 0.02
		done
	) &
	stream=$!
	(
		while [ -e $WORK/streaming ]; do
			for address in $LISTED; do
				! connects_quickly $address || echo $address >> $WORK/stream.intruded
			done
		done
	) &
	knocking=$!
}

# Not smtp_connects: its log would be that of the stream too.
connects_quickly() { # ADDR
	in_ns bad "$BUILD/tests/net/smtp" -f $1 -t 0.1 probe "$(gateway_of $1)" > /dev/null 2>&1
}

stream_end() { # WHAT LEAST
	local sent
	rm $WORK/streaming
	wait $stream $knocking
	sent=$(wc -l < $WORK/stream.sent)
	check "$1: enough mail flowed ($sent messages)" [ "$sent" -ge "$2" ]
	check "$1: not one was refused" not_any $WORK/stream.lost
	check "$1: the listed one never got in" not_any $WORK/stream.intruded
	wait_for 10 mail_arrived "$sent" '<stream-'
	want "$1: each arrived once" "" \
		"$(grep -rhoiE '<stream-[^>]*>' $WORK/mail/inbox/new | sort |
			comm -3 <(sort $WORK/stream.sent) - | head -n 3)"
	find $WORK/mail/inbox/new -type f -exec grep -qF '<stream-' {} \; -delete
}

not_any() { # FILE
	[ ! -s "$1" ] || { head -n 5 "$1" | sed 's/^/# /'; return 1; }
}

under_traffic() {
	local round
	check "no limits now" quietly reconfigure 'limits: {}'
	stream_start stop
	for round in 1 2 3; do
		sleep 0.3
		check "stop $round" guard_stop
		sleep 0.3
		check "start $round" guard_start
	done
	stream_end "stop and start" 20
	stream_start kill
	for round in 1 2 3; do
		sleep 0.3
		check "kill $round" guard_kill
		sleep 0.3
		check "start $round" guard_start
	done
	stream_end "kill -9 and start" 20
	stream_start reload
	for round in 1 2 3 4 5 6 7 8 9 10; do
		echo 198.18.0.$round >> $WORK/blocked.txt
		quietly gate25 reload || fail "reload $round"
		want "reload $round took" BLOCKED "$(word_of 198.18.0.$round)"
		sleep 0.2
	done
	stream_end "reload" 20
	check "limits again" quietly reconfigure
}

own_addresses() {
	local other=192.0.2.26
	in_ns gw ip address add $other/32 dev mx0
	check "guard one address of each family" quietly reconfigure \
		'services: [{name: mx, ports: [25], addresses: [192.0.2.25, "2001:db8::25"]}]'
	each check_not "is out of the guarded one" connects $LISTED
	check "and in at the other" connects_to $other ${LISTED%% *}
	check "guard the other alone" quietly reconfigure \
		"services: [{name: mx, ports: [25], addresses: [$other]}]"
	each check "is in" connects $LISTED
	check_not "and out of the other" connects_to $other ${LISTED%% *}
	check "guard all again" quietly reconfigure
	in_ns gw ip address del $other/32 dev mx0
}

connects_to() { # SERVER ADDR
	in_ns bad "$BUILD/tests/net/smtp" -f $2 -t 1 probe $1 > /dev/null 2>&1
}

default_drop() {
	check "only who is allowed" quietly reconfigure \
		'services: [{name: mx, ports: [25], default: drop}]' \
		"allow: [{name: own, entries: [${GOOD%% *}, \"${GOOD##* }\"]}]"
	mark default allow
	each check "is allowed" connects $GOOD
	each check_not "is nobody known" connects $ADDED
	check "allow it by hand" quietly gate25 allow add ${ADDED%% *} --for 1h
	check "and it is in" connects ${ADDED%% *}
	want "allowed" 2 "$(rose allow)"
	want "stopped by default" 2 "$(rose default)"
	check "take it back" quietly gate25 allow del ${ADDED%% *}
	check "nobody is allowed any more" quietly reconfigure \
		'services: [{name: mx, ports: [25], default: drop}]'
	mark no_allow
	each check "is in: without an allow entry the default passes" connects $GOOD $ADDED
	want "and says why" 4 "$(rose no_allow)"
	check "no default again" quietly reconfigure
}

unload() {
	check "unload" quietly gate25 unload
	each check "is in: the guard is gone" connects $LISTED
	want "status --check calls it critical" 2 "$(gate25 status --check > /dev/null; echo $?)"
	check "the agent starts again" restart_unattached
	each check "is in: what was unloaded stays so" connects $LISTED
	check "load" quietly gate25 load
	each check_not "is out" connects $LISTED
	check "ready again" wait_for 5 guard_ready
}

restart_unattached() {
	guard_stop
	nsenter --net=/run/netns/gw -- "$BUILD/gate25d" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	wait_for 10 in_ns gw curl -sf http://127.0.0.1:9925/metrics
}

# The same name, another device: the old link died with the old one.
interface_back() {
	in_ns gw ip link del mx0
	check "the interface is gone" [ "$(metric gate25_attached)" -eq 0 ]
	link_add gw mx0 $GW4 $GW6
	routes_add gw mx0
	in_ns good ip neigh flush dev eth0 # the new one has another MAC address
	in_ns bad ip neigh flush dev eth0
	check "it is back, and guarded" wait_for 5 guard_ready
	each check_not "is out" connects $LISTED
	each check "delivers" delivers $GOOD
}

# What the unit leaves to the agent, and nothing more.
unit_capabilities() {
	local set
	set=$(sed -n 's/^CapabilityBoundingSet=//p' contrib/systemd/gate25d.service)
	set=$(tr 'A-Z ' 'a-z,' <<< "${set//CAP_/+}")
	guard_stop
	if ! setpriv --bounding-set "-all,$set" --no-new-privs true 2> $WORK/said; then
		skip "the agent with $set alone" "$(head -n 1 $WORK/said)"
		guard_start
		return
	fi
	check "unload, so that it has to attach" quietly gate25 unload
	check "load it again later: the mark is gone" quietly forget_unloaded
	check "the agent starts with $set alone" guard_start \
		setpriv --bounding-set "-all,$set" --inh-caps -all --no-new-privs
	want "it has no other" "$(capabilities_mask)" \
		"$(awk '$1 == "CapEff:" { print $2 }' /proc/$agent/status)"
	want "it attached natively" 1 "$(metric gate25_attached mode=native)"
	each check_not "is out" connects $LISTED
	each check "delivers" delivers $GOOD
	echo ${ADDED%% *} >> $WORK/blocked.txt
	check "it swaps" quietly gate25 reload
	check_not "the new entry holds" connects ${ADDED%% *}
	check "its metrics say so" [ "$(metric gate25_list_hits_total list=blocked)" -ge 3 ]
	check "it knows that the sockets are here" open_session_counts
	want "it has met no error" 0 "$(metric gate25_errors_total)"
}

# A blocked source in an open session counts as `open` only where the listener was found.
open_session_counts() {
	local address=203.0.113.90 mark
	mark=$(metric gate25_packets_total reason=open)
	mail_slow_start open bad $address && quietly gate25 add $address --for 1m &&
		mail_slow_finish open && [ "$(metric gate25_packets_total reason=open)" -gt "$mark" ]
}

# CAP_NET_ADMIN 12, CAP_PERFMON 38, CAP_BPF 39
capabilities_mask() {
	# kill, setgid and setuid are for the process that reads lists
	printf '%016x\n' $((1 << 5 | 1 << 6 | 1 << 7 | 1 << 12 | 1 << 38 | 1 << 39))
}

forget_unloaded() {
	rm -f $WORK/state/control.json
}

net_start
sender good $GOOD $STREAM
sender bad $LISTED $ADDED $BURSTS $SHADOW 203.0.113.90
printf '%s\n' "# listed" $LISTED > $WORK/blocked.txt
check "Postfix starts" mail_server_start
each check "is in: there is no guard yet" connects $GOOD $LISTED $ADDED $BURSTS
want "gate25 status says not loaded" 4 "$(gate25 status > /dev/null 2>&1; echo $?)"
configure
check "the guard starts" guard_start
want "in native mode" 1 "$(metric gate25_attached interface=mx0 mode=native)"
sections="lists entries limits observe agent_dead under_traffic own_addresses default_drop unload"
for section in ${SECTIONS:-$sections interface_back unit_capabilities}; do
	echo "# ---- $section"
	$section
done
skip "a tagged frame from a real interface" "tests/bpf does it; here it takes a kernel with 8021q"
check "the agent stops" guard_stop
each check_not "is out: the guard stays in force" connects $LISTED
check "unload" quietly gate25 unload
each check "is in: the guard is gone" connects $LISTED
check_not "and nothing stays pinned" test -e /sys/fs/bpf/gate25
finish
