#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
#
# Limits that count connections: how exactly, that forged SYNs change nothing, who is not charged, and that the
# program which counts comes, stays and goes with the guard. The server is one that only takes connections.
# shellcheck disable=SC2317,SC2086,SC2119 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

PIN=/sys/fs/bpf/gate25/sessions
KNOCKS=$BUILD/tests/net/knocks
NEW="203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 203.0.113.5 203.0.113.6 203.0.113.7 203.0.113.8 203.0.113.9"

configure() { # LIMITS [KEY: VALUE]…
	{
		echo "limits: {$1}"
		shift
		printf '%s\n' "$@" 'policy: enforce' 'metrics: {listen: "127.0.0.1:9925"}'
		case "$*" in
		*services:*) ;;
		*) echo 'services: [{name: mx, ports: [25]}, {name: mx4, ports: [2525]}]' ;;
		esac
	} | guard_config
}

reconfigure() {
	configure "$@" && gate25 reload
}

listen() { # NAME PORT…
	nsenter --net="/run/netns/$1" -- "$KNOCKS" listen "${@:2}" &
	listener=$!
	wait_for 5 listens "$1" "${*: -1}"
}

listens() { # NAME PORT
	[ -n "$(in_ns "$1" ss -Htln "sport = :$2")" ]
}

# So many connections as fast as they go, from one source; prints how many there were.
burst() { # ADDR COUNT [PORT]
	in_ns senders "$KNOCKS" -p "${3:-25}" -r 400 -t 10 -n $2 connect "$(gateway_of $1)" $1 | cut -d' ' -f1
}

left() { # source|network ADDR
	gate25 -j test $2 | jq ".results[0].limits.$1.left"
}

counted() { # -> what the limits of mx count
	gate25 -j status | jq -r '.results[0].services[] | select(.name == "mx") | .counted'
}

counts() { # WHAT
	[ "$(counted)" = $1 ]
}

program() { # -> the id of the program that counts, if one is pinned
	bpftool -j link show pinned $PIN 2> /dev/null | jq .prog_id
}

attached() { # PROGRAM: is it, anywhere?
	bpftool -j link list | jq -e --argjson id "$1" 'any(.[]; .prog_id == $id)' > /dev/null
}

said() { # TEXT
	grep -qF -e "$1" $WORK/agent.log
}

# ---------------------------------------------------------------- how exactly

# Knocks for ten seconds, beside others; what was let in is the whole that `within` looks at.
knock() { # KEY CORES RATE PORT SOURCE…
	local key=$1 cores=$2 rate=$3 port=$4 core
	shift 4
	for ((core = 0; core < cores; core++)); do
		in_ns senders taskset -c $((core % $(nproc))) "$KNOCKS" -p $port -r $((rate / cores)) -t 10 \
			connect "$(gateway_of $1)" "$@" > $WORK/knock-$key.$core &
		knocking+=($!)
	done
}

within() { # WHAT KEY WANT: within 2 % of it, and what was in flight
	local served late
	read -r served late < <(awk '{ sum += $1; late += $2 } END { print sum, late }' $WORK/knock-$2.*)
	check "$1: $served are let in, of $3 ($late in flight)" [ $served -ge $(($3 * 98 / 100 - 1)) -a \
		$served -le $(($3 * 102 / 100 + 1 + late)) -a $late -le $(($3 / 2)) ]
}

# Not too many at a time: who waits for a CPU lets SYNs pile up, and all of a pile are in flight.
accuracy() {
	local knocking=()
	check "limits" quietly reconfigure 'source: {rate: 30/s, burst: 30}'
	want "of connections" connections "$(counted)"
	knock v4 1 300 25 198.51.100.10
	knock v6-two 2 300 25 2001:db8:2::10
	knock v4-two 2 300 25 198.51.100.11
	knock only4 1 300 2525 198.51.100.12
	wait "${knocking[@]}"
	within "IPv4, to a socket of IPv6, one core" v4 330
	within "IPv4, two cores" v4-two 330
	within "IPv6, two cores" v6-two 330
	within "IPv4, to a socket of IPv4" only4 330
	knocking=()
	check "limits of a network" quietly reconfigure 'network: {rate: 30/s, burst: 30}'
	knock net4-two 2 300 25 $NEW
	knock net6 1 300 25 2001:db8:3:1::1 2001:db8:3:2::1 2001:db8:3:3::1
	wait "${knocking[@]}"
	within "a /24, two cores" net4-two 330
	within "a /48, one core" net6 330
}

# ---------------------------------------------------------------- forged SYNs

forge() {
	local source mac
	mac=$(in_ns gw ip -j link show mx0 | jq -r '.[0].address')
	for source in 198.51.100.10 198.51.100.11 198.51.100.200; do
		in_ns bad "$BUILD/tests/net/frames" -i eth0 -m $mac -s $source -d $GW4 -n 1000 -r 2000
	done | awk '{ sum += $1 } END { print sum }'
}

forged() {
	local limits='source: {rate: 30/h, burst: 30}, network: {rate: 60/h, burst: 60}'
	check "limits that nothing comes back to" quietly reconfigure "$limits, memory: 8M"
	want "a good sender takes some of his" 5 "$(burst 198.51.100.10 5)"
	want "the others are there" "25 55" "$(left source 198.51.100.10) $(left network 198.51.100.10)"
	want "forged SYNs are sent" 3000 "$(forge)"
	want "they take nothing" "25 55" "$(left source 198.51.100.10) $(left network 198.51.100.10)"
	want "he is served" 10 "$(burst 198.51.100.10 10)"
	check "the same where SYNs are counted" quietly reconfigure "$limits, memory: 4M, count: syns"
	want "they are" syns "$(counted)"
	check_not "and nothing is attached for it" test -e $PIN
	want "a good sender takes some of his" 5 "$(burst 198.51.100.10 5)"
	want "forged SYNs are sent" 3000 "$(forge)"
	want "they take all" "0 0" "$(left source 198.51.100.10) $(left network 198.51.100.10)"
	want "he is not served" 0 "$(burst 198.51.100.10 10)"
}

# ---------------------------------------------------------------- who is not charged

uncharged() {
	local limits='source: {rate: 30/h, burst: 30}, network: {rate: 60/h, burst: 60}'
	check "an allow list" quietly reconfigure "$limits, memory: 8M" 'allow: [{name: own, entries: [203.0.113.1]}]'
	check "an allow entry" quietly gate25 allow add 203.0.113.2
	want "who is on the list is not limited" 100 "$(burst 203.0.113.1 100)"
	want "nor who is allowed by hand" 100 "$(burst 203.0.113.2 100)"
	want "neither burdens his network" 60 "$(left network 203.0.113.3)"
	want "a port that is not guarded" 100 "$(burst 203.0.113.3 100 2600)"
	want "is not charged" "30 60" "$(left source 203.0.113.3) $(left network 203.0.113.3)"
	want "the port of another namespace" 100 \
		"$(in_ns senders "$KNOCKS" -r 400 -n 100 connect 192.0.2.80 203.0.113.3 | cut -d" " -f1)"
	want "is not charged either" "30 60" "$(left source 203.0.113.3) $(left network 203.0.113.3)"
	check "allow no more" quietly gate25 allow del 203.0.113.2
	check "limits of one service" quietly reconfigure \
		'source: {rate: 30/h, burst: 30, services: [mx4]}, memory: 4M'
	want "the other is not limited" 100 "$(burst 203.0.113.4 100)"
	want "it has nothing to count" - "$(counted)"
	want "and nothing is charged" 30 "$(gate25 -j test 203.0.113.4 --service mx4 | jq '.results[0].limits.source.left')"
	check "the one is" [ "$(burst 203.0.113.4 100 2525)" -le 35 ]
}

second() { # ARGUMENT…
	in_ns bad "$BUILD/gate25" -c $WORK/second.yaml "$@"
}

# Another guard of the same host, without an agent, for another namespace: each counts its own.
two_guards() {
	local first
	check "the first guard" quietly reconfigure 'source: {rate: 30/h, burst: 30}, memory: 8M'
	first=$(program)
	cat > $WORK/second.yaml <<-END
		interfaces: [eth0]
		state_dir: $WORK/second
		run_dir: $WORK/second-run
		pin_dir: /sys/fs/bpf/second
		policy: enforce
		limits: {source: {rate: 30/h, burst: 30}}
	END
	check "a second guard" quietly second load
	check "which counts connections" grep -q 'limits count connections' $WORK/said
	check "from ten times its limit" [ "$(in_ns senders "$KNOCKS" -r 400 -n 300 connect 192.0.2.80 203.0.113.5 | cut -d" " -f1)" -le 35 ]
	want "it charged all" 0 "$(second -j test 203.0.113.5 | jq '.results[0].limits.source.left')"
	want "the first did not" 30 "$(left source 203.0.113.5)"
	check "unload the second" quietly second unload
	want "the first is still there" "$first" "$(program)"
	check "attached" attached "$first"
}

# ---------------------------------------------------------------- observed

observed() {
	local before
	check "limits that observe" quietly reconfigure 'source: {rate: 4/s, burst: 20, policy: observe}, memory: 4M'
	before=$(metric gate25_connections_total reason=would_limit_source)
	want "a burst of 100 is served whole" 100 "$(burst 203.0.113.6 100)"
	before=$(($(metric gate25_connections_total reason=would_limit_source) - before))
	check "$before of them would have been refused" [ $before -ge 72 -a $before -le 80 ]
	sleep 1
	check "those are no debt" [ "$(left source 203.0.113.6)" -ge 3 ]
}

unblocked() {
	check "limits" quietly reconfigure 'source: {rate: 30/h, burst: 30}, memory: 8M'
	check "one uses up his" [ "$(burst 203.0.113.7 100)" -le 35 ]
	want "he is not served" 0 "$(burst 203.0.113.7 5)"
	check "test says so" grep -q '^LIMITED' <(gate25 test 203.0.113.7)
	check "unblock" quietly gate25 unblock 203.0.113.7
	want "he is served at once" 5 "$(burst 203.0.113.7 5)"
	want "by no allow entry" 0 "$(gate25 -j allow list | jq '.results | length')"
}

# ---------------------------------------------------------------- comes, stays, goes

# Whatever became of the agent and the generation meanwhile, as many were let in as the limit says.
under_knocks() {
	local knocking=() round
	check "limits" quietly reconfigure 'source: {rate: 30/s, burst: 30}, memory: 4M'
	knock swapped 1 300 25 198.51.100.20
	for round in 1 2 3 4; do
		quietly reconfigure "source: {rate: 30/s, burst: 30}, network: {rate: 5000/s, burst: ${round}0000}" ||
			fail "reload $round"
	done
	check "kill the agent" guard_kill
	sleep 1
	check "start it" guard_start
	for round in 5 6; do
		quietly reconfigure "source: {rate: 30/s, burst: 30}, network: {rate: 5000/s, burst: ${round}0000}" ||
			fail "reload $round"
	done
	wait "${knocking[@]}"
	within "six reloads, a kill -9 and a start" swapped 330
	check "kill the agent once more" guard_kill
	check "nobody is there, and one uses up his" [ "$(burst 198.51.100.21 300)" -le 65 ]
	check "start it" guard_start
}

resized() {
	local limits='source: {rate: 30/h, burst: 30}'
	check "limits" quietly reconfigure "$limits, memory: 4M"
	check "one uses up his" [ "$(burst 198.51.100.22 100)" -le 35 ]
	check "another memory" quietly reconfigure "$limits, memory: 16M"
	want "connections are counted" connections "$(counted)"
	want "all begin afresh" 30 "$(left source 198.51.100.22)"
	check "and are limited again" [ "$(burst 198.51.100.22 100)" -le 35 ]
	want "in the maps that are read" 0 "$(left source 198.51.100.22)"
	check "another overlay" quietly reconfigure "$limits, memory: 16M" 'overlay: {max_entries: 1000}'
	want "connections are counted" connections "$(counted)"
	check "an entry of the new overlay" quietly gate25 allow add 198.51.100.22
	want "exempts" 100 "$(burst 198.51.100.22 100)"
	check "take it back" quietly gate25 allow del 198.51.100.22
}

listener_later() {
	kill $listener
	wait $listener 2> /dev/null
	check "without a listener SYNs are counted, soon" wait_for 15 counts syns
	check "the log says so" said "service mx: limits count SYNs"
	check "insist on connections" quietly reconfigure 'source: {rate: 30/h, burst: 30}, count: connections'
	want "so be it" connections "$(counted)"
	check "status warns" grep -q 'service mx: its limits hold for nobody' <(gate25 status)
	check "so does check" grep -q 'nothing listens for service mx here' <(gate25 check 2>&1)
	check "as is" quietly reconfigure 'source: {rate: 30/h, burst: 30}'
	want "SYNs again" syns "$(counted)"
	want "the metric says so" "0 1" "$(metric gate25_service_counted service=mx what=connections) $(
		metric gate25_service_counted service=mx what=syns)"
	check "the listener comes" listen gw 25 2600
	check "connections are counted, soon" wait_for 15 counts connections
	check_not "and nothing is to be said" grep -q 'limits count SYNs' <(gate25 status)
}

pin_lost() {
	local first
	first=$(program)
	rm $PIN
	check "status warns" grep -q 'limits hold for nobody.*gate25 reload' <(gate25 status)
	check "the agent attaches it again" wait_for 15 attached $first
	want "connections are counted" connections "$(counted)"
	check "the log says so" said "was taken off by somebody else"
	want "it is the same program" "$first" "$(program)"
}

# With another configuration than it went with: what counts is of that one then.
interface_back() {
	local before
	check "limits" quietly reconfigure 'source: {rate: 30/s, burst: 30}, memory: 4M'
	before=$(program)
	in_ns gw ip link del mx0
	check "the interface is gone" [ "$(metric gate25_attached)" -eq 0 ]
	quietly reconfigure 'source: {rate: 3/s, burst: 10}, memory: 4M' # which says that it is
	link_add gw mx0 $GW4 $GW6
	routes_add gw mx0
	in_ns senders ip neigh flush dev eth0
	check "it is back, and guarded" wait_for 5 guard_ready
	want "connections are counted" connections "$(counted)"
	check "by another program than before, $before" [ "$(program)" -gt "$before" ]
	check "of which ten are let in" [ "$(burst 198.51.100.24 100)" -le 15 ]
}

# Of the control groups there is nothing to be seen: SYNs are counted, and it is said.
no_cgroup() {
	local mounts
	mounts=$(awk '$3 == "cgroup2" { print $2 }' /proc/self/mounts)
	check "unload" quietly gate25 unload
	guard_stop
	for mount in $mounts; do
		umount -l $mount
	done
	rm -f $WORK/state/control.json
	check "the guard starts" guard_start
	want "SYNs are counted" syns "$(counted)"
	check "the log says why" said "connections cannot be counted: no cgroup2 file system is mounted"
	check "status says why" grep -q 'SYNs, which can be forged.*no cgroup2' <(gate25 status)
	want "status --check warns" 1 "$(gate25 status --check > /dev/null; echo $?)"
	check "it is an error of ours" [ "$(metric gate25_errors_total kind=attach)" -ge 1 ]
	check "the limit holds" [ "$(burst 198.51.100.23 100)" -eq 30 ]
	check "nothing is wrong where that is wanted" quietly reconfigure 'source: {rate: 30/h, burst: 30}, count: syns'
	check_not "status does not warn" grep -q 'cannot be counted' <(gate25 status)
}

empty() {
	local last
	last=$(program)
	check "attached" attached $last
	check "no limit" quietly reconfigure ''
	check_not "nothing is pinned" test -e $PIN
	check_not "nor attached" attached $last
	want "there is nothing to count" - "$(counted)"
	check "limits" quietly reconfigure 'source: {rate: 30/h, burst: 30}'
	last=$(program)
	check "attached" attached $last
	check "unload" quietly gate25 unload
	check_not "it went" attached $last
	check_not "with its pin" test -e /sys/fs/bpf/gate25
	check "load" quietly gate25 load
	check "it is back" wait_for 15 counts connections
	last=$(program)
	check "the agent stops" guard_stop
	check "it stays" attached $last
	check "what another version pinned" damage
	check "is removed unread" quietly gate25 unload
	check_not "with what counts" attached $last
	rm -f $WORK/state/control.json
	check "the guard starts" guard_start
}

damage() {
	rm /sys/fs/bpf/gate25/control
}

net_start
sender senders 198.51.100.{10..12} 198.51.100.{20..24} 192.0.2.{101..103} $NEW 2001:db8:{1..2}::10 2001:db8:3:{1..3}::1
sender bad 192.0.2.80
listen bad 25
listen gw -4 2525
listen gw 25 2600
configure 'source: {rate: 30/s, burst: 30}'
check "the guard starts" guard_start
sections="accuracy forged uncharged two_guards observed unblocked under_knocks resized listener_later"
for section in ${SECTIONS:-$sections pin_lost interface_back empty no_cgroup}; do
	echo "# ---- $section ($SECONDS s)"
	$section
done
check "the agent stops" guard_stop
check "unload" quietly gate25 unload
finish
