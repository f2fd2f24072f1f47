#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shows the guard at work: a mail gateway with Postfix and real SMTP clients around it, in network
# namespaces that end with this script. `sudo make demo` builds what it needs and calls it.
#
#   scripts/demo.sh [--zone FILE]     as root; FILE is a zone of rbldnsd. Default: $ZONE, else the
#                                     one of ../shared/feeds, else tests/data/demo/zone.txt
#
# Exits 0 if all that it claims was seen, 1 if anything was not.
# shellcheck disable=SC2317,SC2086,SC2119 # functions that others call
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/../tests/net/lib.sh"

zone=${ZONE:-}
case "$# ${1:-}" in
"0 ") ;;
"2 --zone") zone=$2 ;;
*)
	finished=1
	echo "usage: scripts/demo.sh [--zone FILE]" >&2
	exit 2
	;;
esac
zone_name=uceprotect-1
if [ -z "$zone" ] && [ -r ../shared/feeds/dnsbl-1.uceprotect.net ]; then
	zone=../shared/feeds/dnsbl-1.uceprotect.net
elif [ -z "$zone" ]; then
	zone=tests/data/demo/zone.txt
	zone_name=demo-zone
fi

began=$SECONDS
step=0
messages=0
declare -A sent=()

# ---------------------------------------------------------------- what is shown

bold='' plain=''
[ ! -t 1 ] || { bold=$'\e[1m' plain=$'\e[0m'; }

step() { # TEXT
	step=$((step + 1))
	printf '\n%s%2d. %s%s\n' "$bold" $step "$1" "$plain"
}

ok() { # TEXT
	results=$((results + 1))
	printf '      ok  %s\n' "$1"
}

fail() { # TEXT [DETAIL]…
	results=$((results + 1))
	failures=$((failures + 1))
	printf '  FAILED  %s\n' "$1"
	shift
	[ $# -eq 0 ] || printf '          %s\n' "$@"
}

note() { # [TEXT]
	printf '%s\n' "${1:+          $1}"
}

# A command on the gateway with what it says.
on_gateway() { # gate25 ARGUMENT…
	local argument line=
	for argument; do
		[ "$argument" = "${argument% *}" ] || argument="'$argument'"
		line="$line $argument"
	done
	printf '    gw#%s\n' "$line"
	"$@" > $WORK/said 2>&1
	local status=$?
	sed 's/^/        | /' $WORK/said
	return $status
}

demo_leave() {
	local status=$?
	if [ -z "$finished" ]; then
		fail "the demo ended early, with status $status"
		status=1
	fi
	if [ $failures -gt 0 ] && [ -s $WORK/agent.log ]; then
		printf '\nThe end of the log of gate25d:\n'
		tail -n 20 $WORK/agent.log | sed 's/^/        | /'
	fi
	exit $status
}
trap demo_leave EXIT

# ---------------------------------------------------------------- what is sent

count_sent() { # REASON [COUNT]
	[ -z "$agent" ] || sent[$1]=$((${sent[$1]:-0} + ${2:-1}))
}

delivers() { # NAME ADDR REASON
	local subject="Subject: demo $results from $2"
	count_sent "$3"
	if mail_send "$1" "$2" --header "$subject" && wait_for 5 mail_arrived 1 "$subject"; then
		messages=$((messages + 1))
		ok "$2 delivers a message: $(sed -n 's/^<- *\(250 .*queued.*\)/\1/p' $WORK/swaks.log)"
	else
		fail "$2 should deliver a message" "$(grep -E '^(<\*\*|\*\*\*)' $WORK/swaks.log)"
	fi
}

stopped() { # NAME ADDR REASON
	count_sent "$3"
	if mail_send "$1" "$2" --timeout 2; then
		fail "$2 should get no connection, but delivered"
	elif grep -q '^\*\*\* Error connecting' $WORK/swaks.log; then
		ok "$2 gets no connection, not in 2 seconds"
	else
		fail "$2 should get no connection" "$(grep -E '^(<|\*\*\*)' $WORK/swaks.log | head -n 3)"
	fi
}

# ---------------------------------------------------------------- the steps

GOOD4=198.51.100.10 GOOD6=2001:db8:1::10
LISTED6=2001:db8:bad::66
LISTED4=$(grep -aE '^[0-9]{1,3}(\.[0-9]{1,3}){3}([[:space:]]|$)' "$zone" | grep -v '^127\.' |
	awk '{ line[NR] = $1 } END { print line[int((NR + 1) / 2)] }')
PHISH4=203.0.113.80 PHISH6=2001:db8:add::80
BULK=198.51.100.20 BULK_OBSERVED=198.51.100.21
MIDDATA=198.51.100.30

the_stage() {
	step "The stage: a gateway and its senders, each in a network namespace of its own"
	net_start
	sender good $GOOD4 $GOOD6
	sender listed $LISTED4 $LISTED6
	sender phish $PHISH4 $PHISH6
	sender bulk $BULK $BULK_OBSERVED
	sender slow $MIDDATA
	note "gateway   $GW4 and $GW6, Postfix on port 25"
	note "good      $GOOD4 and $GOOD6"
	note "listed    $LISTED4, out of $zone"
	note "          $LISTED6, out of a list of our own"
	note "phish     $PHISH4 and $PHISH6, on no list"
	check "Postfix answers" mail_server_start
}

without_guard() {
	step "Without the guard everybody delivers"
	delivers good $GOOD4 pass
	delivers listed $LISTED4 pass
	delivers listed $LISTED6 pass
}

guard_in_force() {
	step "The guard goes in force"
	guard_config <<-END
		services: [{name: mx, ports: [25]}]
		policy: enforce
		lists:
		  - {name: $zone_name, file: $(realpath "$zone"), format: rbldnsd}
		  - {name: our-own, file: $ROOT/tests/data/demo/own.txt, format: plain}
		limits:
		  source: {rate: 6/min, burst: 20}
		metrics: {listen: "127.0.0.1:9925"}
	END
	printf '    gw# %s\n' 'gate25d -c gate25.yaml &'
	check "gate25d is ready" guard_start
	on_gateway gate25 status
	on_gateway gate25 lists
	check "in native mode, before the kernel has spent anything on a packet" \
		[ "$(metric gate25_attached interface=mx0 mode=native)" -eq 1 ]
}

who_is_listed() {
	step "A good sender delivers, a listed one gets no connection"
	delivers good $GOOD4 pass
	delivers good $GOOD6 pass
	on_gateway gate25 test $GOOD4 $LISTED4 $LISTED6
	stopped listed $LISTED4 list
	stopped listed $LISTED6 list
}

add_and_unblock() {
	step "A phishing run comes in: stop it by hand, at once"
	delivers phish $PHISH4 pass
	on_gateway gate25 add $PHISH4 $PHISH6 --for 24h --reason 'phishing run' ||
		fail "gate25 add should succeed"
	stopped phish $PHISH4 manual
	stopped phish $PHISH6 manual
	note "It was a mistake. In again:"
	on_gateway gate25 unblock $PHISH4
	on_gateway gate25 unblock $PHISH6
	delivers phish $PHISH4 pass
	delivers phish $PHISH6 pass
}

open_session() {
	step "A session that is open is never cut"
	count_sent pass
	check "$MIDDATA is in the middle of its message" mail_slow_start middle slow $MIDDATA
	on_gateway gate25 add $MIDDATA --for 1h || fail "gate25 add should succeed"
	stopped slow $MIDDATA manual
	check "the message that was under way is taken" mail_slow_finish middle
	wait_for 5 mail_arrived 1 '<middle>'
	messages=$((messages + 1))
	want "and delivered, once" 1 "$(mail_count '<middle>')"
}

burst() {
	local served
	step "A burst: one source opens 40 connections at once, 20 are its limit"
	served=$(smtp_burst bulk $BULK 40 3)
	admitted=$served
	count_sent pass "$served"
	count_sent limit_source $((40 - served))
	check "$served of 40 are served" [ "$served" -ge 20 -a "$served" -le 21 ]
	on_gateway gate25 test $BULK
	delivers good $GOOD4 pass
}

observe() {
	local served
	step "Observe: everybody delivers, and the counters say what would have happened"
	on_gateway gate25 add $PHISH4 --for 24h || fail "gate25 add should succeed"
	on_gateway gate25 policy observe || fail "gate25 policy should succeed"
	delivers listed $LISTED4 would_list
	delivers listed $LISTED6 would_list
	delivers phish $PHISH4 would_manual
	served=$(smtp_burst bulk $BULK_OBSERVED 40 10)
	want "40 of 40 connections of a burst are served" 40 "$served"
	count_sent pass "$admitted"
	count_sent would_limit_source $((40 - admitted))
	on_gateway gate25 policy enforce || fail "gate25 policy should succeed"
	stopped listed $LISTED4 list
}

agent_dies() {
	step "The agent dies: the guard does not"
	local dead=$agent
	printf '    gw# %s\n' "kill -9 \$(pidof gate25d)"
	kill -9 $agent
	wait $agent 2> /dev/null
	stopped listed $LISTED4 list
	delivers good $GOOD6 pass
	on_gateway gate25 pause --for 1h || fail "gate25 pause should succeed"
	delivers listed $LISTED4 would_list
	on_gateway gate25 resume || fail "gate25 resume should succeed"
	stopped listed $LISTED6 list
	printf '    gw# %s\n' 'gate25d -c gate25.yaml &'
	check "another takes over" guard_start
	check "it is another" [ $agent -ne $dead ]
}

compare() { # WHAT REASON
	local counted
	counted=$(metric gate25_connections_total "reason=$2")
	if [ "$counted" = "${sent[$2]:-0}" ]; then
		ok "$(printf '%-46s%4d %9d' "$1" "${sent[$2]:-0}" "$counted")"
	else
		fail "$(printf '%-46s%4d %9d' "$1" "${sent[$2]:-0}" "$counted")"
	fi
}

counters() {
	local reason all=0
	step "The counters, http://127.0.0.1:9925/metrics on the gateway, against what was sent"
	note "connections                                   sent   counted"
	compare "let in                       pass" pass
	compare "stopped, on a list           list" list
	compare "stopped, added by hand       manual" manual
	compare "stopped, over the limit      limit_source" limit_source
	compare "observed, on a list          would_list" would_list
	compare "observed, added by hand      would_manual" would_manual
	compare "observed, over the limit     would_limit_source" would_limit_source
	for reason in "${!sent[@]}"; do
		all=$((all + sent[$reason]))
	done
	want "$all connections in all, and none is counted under another reason" $all \
		"$(metric gate25_connections_total)"
	note
	want "$messages messages were sent, and as many delivered" $messages "$(mail_count)"
	want "no errors were counted" 0 "$(metric gate25_errors_total)"
	on_gateway gate25 status
}

take_out() {
	step "And out again"
	guard_stop
	on_gateway gate25 unload || fail "gate25 unload should succeed"
	delivers listed $LISTED4 pass
	check_not "and nothing stays in the kernel" test -e /sys/fs/bpf/gate25
}

summary() {
	finished=1
	printf '\n%sSummary%s (%d s)\n' "$bold" "$plain" $((SECONDS - began))
	note "$(printf '%4d messages delivered by Postfix, %d of them past the guard' \
		"$(mail_count)" $((messages - 4)))"
	for reason in list manual limit_source; do
		stopped_all=$((${stopped_all:-0} + ${sent[$reason]:-0}))
	done
	note "$(printf '%4d connections stopped before the kernel made a socket' $stopped_all)"
	if [ $failures -eq 0 ]; then
		note "$(printf '%4d of %d claims held' $results $results)"
	else
		note "$(printf '%4d of %d claims did NOT hold: look for FAILED above' $failures $results)"
	fi
	[ $failures -eq 0 ]
}

echo "$("$BUILD/gate25" version | head -n 1): a guard for TCP port 25"
the_stage
without_guard
guard_in_force
who_is_listed
add_and_unblock
open_session
burst
observe
agent_dies
counters
take_out
summary
