#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# The metrics as they are served: each is moved by what it claims to measure, a metric that nothing moves
# fails the test; promtool finds nothing wrong, a real Prometheus reads them, and counters never step back.
# shellcheck disable=SC2317,SC2119,SC2086,SC2016 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

BAD=203.0.113.66
GOOD=198.51.100.10
URL=http://127.0.0.1:9925

configure() { # [MODE [OVERLAY_ENTRIES]]
	guard_config <<-END
		ports: [25]
		policy: enforce
		overlay: {max_entries: ${2:-65536}}
		events: {rate: 50/s}
		lists: [{name: blocked, file: $WORK/blocked.txt, format: plain}]
		metrics: {listen: "127.0.0.1:9925"}
	END
	sed -i "s/^interfaces:.*/interfaces: [{name: mx0, mode: ${1:-auto}}]/" $CONFIG
}

fetch() { # PATH [curl options]
	local path=$1
	shift
	in_ns gw curl -s --max-time 5 "$@" "$URL$path"
}

# More clients than the agent serves at once come, say nothing and leave again.
crowd() {
	in_ns gw bash -c 'for i in {1..100}; do exec {fd}<> /dev/tcp/127.0.0.1/9925; done; sleep 1'
}

test_crowd() {
	check "a hundred clients that say nothing come and go" crowd
	check "and the metrics are served again" wait_for 15 quietly fetch /metrics
}

# ---------------------------------------------------------------- stimuli

bad_connects() {
	smtp_connects bad $BAD 1.5 || true
}

good_connects() {
	smtp_connects good $GOOD
}

bad_line() {
	printf '%s\n' $BAD 2001:db8:bad::66 not-an-address > $WORK/blocked.txt
	quietly gate25 reload
}

list_grows() {
	{
		echo $BAD
		awk 'BEGIN { for (i = 0; i < 200000; i++) print "100." 64 + int(i / 65536) "." int(i / 256) % 256 "." i % 256 }'
	} > $WORK/blocked.txt
	quietly gate25 reload
}

budgets_grow() {
	echo "limits: {memory: 32M}" >> $CONFIG
	quietly gate25 reload
}

list_shrinks() {
	printf '%s\n' $BAD 2001:db8:bad::66 > $WORK/blocked.txt
	quietly gate25 reload
}

looked_at_again() {
	sleep 1.1
	quietly gate25 reload
}

entry_added() {
	quietly gate25 add 2001:db8:bad::77 --for 1h
}

entry_added_by_program() {
	quietly gate25 add 203.0.113.99 --for 1h --origin fail2ban
}

more_entries() {
	configure auto 131072
	quietly gate25 reload
}

paused() {
	quietly gate25 pause --for 1m
}

resumed() {
	quietly gate25 resume
}

generic() {
	configure generic 131072
	quietly gate25 reload
}

native() {
	configure native 131072
	quietly gate25 reload
}

limited() {
	echo 'limits: {source: {rate: 1000/s, burst: 1000}}' >> $CONFIG
	quietly gate25 reload
}

limited_by_syns() {
	sed -i 's/^limits: {/&count: syns, /' $CONFIG
	quietly gate25 reload
}

flood() {
	in_ns bad "$BUILD/tests/net/frames" -i eth0 -s $BAD -d $GW4 -n 2000 -r 20000 > /dev/null
}

broken() {
	cp $CONFIG $WORK/kept.yaml
	echo 'polciy: enforce' >> $CONFIG
	kill -HUP "$agent" # the command line would not even ask the agent
	sleep 1
	mv $WORK/kept.yaml $CONFIG
}

restarted() {
	guard_stop && sleep 0.1 && guard_start
}

restarted_with_less() {
	guard_stop
	guard_start prlimit --nofile=512
}

# So many that what a load still holds open does not hide them.
connections_held() {
	in_ns gw bash -c 'for i in {1..12}; do exec {fd}<> /dev/tcp/127.0.0.1/9925; done; sleep 7' &
	wait_for 5 clients_are_there
}

clients_are_there() {
	[ "$(in_ns gw ss -Htn state established '( dport = :9925 )' | wc -l)" -ge 12 ]
}

list_keys() { # KEYS: of the list, beside those that it always has
	sed -i "s/format: plain.*}\\]/format: plain$1}]/" $CONFIG
	quietly gate25 reload
}

held() {
	list_keys ', bounds: {growth: 100%}'
	{ echo $BAD; seq 1 3000 | awk '{ printf "198.18.%d.%d\n", $1 / 256, $1 % 256 }'; } > $WORK/blocked.txt
	quietly gate25 reload
}

let_in() {
	quietly gate25 lists accept blocked
	list_keys ''
}

# Nothing confirms a file that is gone.
aged() {
	list_keys ', max_age: 10s'
	mv $WORK/blocked.txt $WORK/away.txt
	sleep 11
}

young_again() {
	mv $WORK/away.txt $WORK/blocked.txt
	list_keys ''
}

stopped() {
	guard_stop
}

started() {
	guard_start
}

# ---------------------------------------------------------------- metric, stimulus, change

# Change: "+" grows, "+N" grows by N, "=N" becomes N, "!" becomes another.
TABLE='
gate25_packets_total service=mx,verdict=drop,reason=list           bad_connects  +2
gate25_connections_total service=mx,verdict=drop,reason=list       bad_connects  +1
gate25_list_hits_total list=blocked                                bad_connects  +2
gate25_packets_total service=mx,verdict=pass,reason=pass           good_connects +
gate25_connections_total service=mx,verdict=pass,reason=pass       good_connects +1
gate25_packets_total service=mx,verdict=pass,reason=established    good_connects +
gate25_list_errors_total list=blocked,kind=bad_line                bad_line      +1
gate25_entries list=blocked,family=ipv6                            list_shrinks  =1
gate25_list_held list=blocked,gate=growth                          held          =1
gate25_list_held list=blocked,gate=growth                          let_in        =0
gate25_list_expired list=blocked                                   aged          =1
gate25_list_expired list=blocked                                   young_again   =0
gate25_entries list=blocked,family=ipv4                            list_grows    =200001
process_resident_memory_bytes -                                    connections_held !
process_virtual_memory_bytes -                                     budgets_grow  +
gate25_list_last_success_timestamp_seconds list=blocked            looked_at_again +
process_cpu_seconds_total -                                        list_shrinks  +
gate25_overlay_entries origin=manual,family=ipv6                   entry_added   +1
gate25_overlay_entries origin=fail2ban,family=ipv4                 entry_added_by_program +1
gate25_overlay_entries_max -                                       more_entries  =131072
gate25_paused -                                                    paused        =1
gate25_packets_total verdict=pass,reason=would_list                bad_connects  +
gate25_paused -                                                    resumed       =0
gate25_attached mode=generic                                       generic       =1
gate25_attached mode=native                                        native        =1
gate25_service_counted service=mx,what=connections                 limited       =1
gate25_service_counted service=mx,what=syns                        limited_by_syns =1
gate25_events_suppressed_total -                                   flood         +
gate25_errors_total kind=config                                    broken        +1
process_start_time_seconds -                                       restarted     +
process_max_fds -                                                  restarted_with_less =512
process_open_fds -                                                 connections_held +
gate25_build_info -                                                stopped       =0
gate25_build_info -                                                started       =1
'

declare -A moved=()

# As `metric` in lib.sh, but to the microsecond.
value() { # NAME [LABEL=VALUE]…
	case $1 in
	*_cpu_seconds_total) fetch /metrics | awk -v name="$1" '$1 == name { print $2 }' ;;
	*) metric "$@" ;;
	esac
}

changed() { # BEFORE METRIC LABELS CHANGE
	local now
	now=$(value $2 $3)
	case $4 in
	=*) [ "$now" = "${4#=}" ] ;;
	!) [ "$now" != "$1" ] ;;
	+) awk "BEGIN { exit !($now > $1) }" ;;
	+*) [ "$now" = $(($1 + ${4#+})) ] ;;
	esac
}

row() { # METRIC LABELS STIMULUS CHANGE
	local before labels=${2//,/ }
	[ "$labels" != - ] || labels=
	before=$(value $1 $labels)
	$3 || { fail "$1 $2: $3 is $4" "$3 failed"; return; }
	if wait_for 5 changed "$before" "$1" "$labels" "$4"; then
		ok "$1 $2: $3 is $4"
		moved[$1]=1
	else
			fail "$1 $2: $3 is $4" "before: $before" " after: $(value $1 $labels)"
	fi
}

families() {
	fetch /metrics | awk '/^# TYPE/ { print $3 }'
}

test_table() {
	local metric labels stimulus change family
	while read -r metric labels stimulus change; do
		[ -z "$metric" ] || row "$metric" "$labels" "$stimulus" "$change"
	done <<< "$TABLE"
	for family in $(families); do
		check "$family is moved by something" [ -n "${moved[$family]:-}" ]
	done
}

# ---------------------------------------------------------------- HTTP

status() { # METHOD PATH
	fetch "$2" -X "$1" -o /dev/null -w '%{http_code}'
}

test_http() {
	want "GET /metrics" 200 "$(status GET /metrics)"
	want "its type" "text/plain; version=0.0.4; charset=utf-8" \
		"$(fetch /metrics -o /dev/null -w '%{content_type}')"
	want "GET /" 200 "$(status GET /)"
	want "HEAD /metrics" 200 "$(fetch /metrics -I -o /dev/null -w '%{http_code}')"
	want "HEAD has no body" 0 "$(fetch /metrics -I -o /dev/null -w '%{size_download}')"
	want "something else" 404 "$(status GET /metrics/x)"
	want "the way out of the folder" 404 "$(fetch /../etc/passwd --path-as-is -o /dev/null -w '%{http_code}')"
	want "POST" 405 "$(status POST /metrics)"
	want "DELETE" 405 "$(status DELETE /)"
	check "says what is allowed" grep -qi '^allow: GET, HEAD' <(fetch /metrics -X POST -D - -o /dev/null)
	want "a large body is not taken" 405 \
		"$(head -c 1000000 /dev/zero | fetch /metrics --data-binary @- -o /dev/null -w '%{http_code}')"
	in_ns gw bash -c 'for i in 3 4 5 6; do eval "exec $i<> /dev/tcp/127.0.0.1/9925"; done
		printf "GET /metr" >&3; sleep 3' &
	sleep 0.3
	want "clients that say nothing do not hold it up" 200 "$(status GET /metrics)"
	check_not "only on the address of the configuration" \
		in_ns gw curl -s --max-time 2 -o /dev/null http://$GW4:9925/metrics
	check_not "no address is a label" grep -qF -e "$BAD" -e 2001:db8 <(fetch /metrics)
	wait $!
}

# ---------------------------------------------------------------- counters never step back

counters() {
	fetch /metrics | awk '/^# TYPE/ { counter = $4 == "counter" && $3 !~ /^process_/; next }
		counter && !/^#/ { print }' | sort
}

test_never_back() {
	local step back
	counters > $WORK/counters.before
	check "there are counters" [ "$(awk '$NF > 0' $WORK/counters.before | wc -l)" -ge 5 ]
	for step in list_grows restarted list_shrinks "guard_kill" "guard_start" "flood"; do
		$step
		[ "$step" != guard_kill ] || continue
		counters > $WORK/counters.now
		back=$(join -t '|' <(sed 's/ \([0-9]*\)$/|\1/' $WORK/counters.before) \
			<(sed 's/ \([0-9]*\)$/|\1/' $WORK/counters.now) | awk -F '|' '$3 < $2')
		want "no counter steps back: $step" "" "$back"
		want "none is lost: $step" "" "$(join -v 1 <(sed 's/ [0-9]*$//' $WORK/counters.before | sort) \
			<(sed 's/ [0-9]*$//' $WORK/counters.now | sort))"
		cp $WORK/counters.now $WORK/counters.before
	done
}

# ---------------------------------------------------------------- the real Prometheus

query() { # EXPRESSION -> the value of the one series
	in_ns gw curl -s --max-time 5 --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query |
		jq -r '.data.result | if length == 1 then .[0].value[1] else "\(length) series" end'
}

query_is() { # EXPRESSION VALUE
	[ "$(query "$1")" = "$2" ]
}

test_prometheus() {
	fetch /metrics > $WORK/metrics.txt
	promtool check metrics < $WORK/metrics.txt > $WORK/promtool.log 2>&1
	want "promtool check metrics" "0 " "$? $(cat $WORK/promtool.log)"
	check "promtool check rules" quietly promtool check rules contrib/prometheus/gate25.rules.yml
	cat > $WORK/prometheus.yml <<-END
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [$ROOT/contrib/prometheus/gate25.rules.yml]
		scrape_configs:
		  - job_name: gate25
		    static_configs: [{targets: ["127.0.0.1:9925"]}]
	END
	in_ns gw prometheus --config.file=$WORK/prometheus.yml --storage.tsdb.path=$WORK/tsdb \
		--web.listen-address=127.0.0.1:9090 > $WORK/prometheus.log 2>&1 &
	prometheus=$!
	check "Prometheus scrapes it" wait_for 20 query_is 'up{job="gate25"}' 1
	bad_connects
	check "and reads what we read" wait_for 5 reads_alike
	want "the metrics have their types" counter "$(in_ns gw curl -s \
		'http://127.0.0.1:9090/api/v1/metadata?metric=gate25_packets_total' |
		jq -r '.data.gate25_packets_total[0].type')"
	want "rules are evaluated without an error" 0 "$(in_ns gw curl -s http://127.0.0.1:9090/api/v1/rules |
		jq '[.data.groups[].rules[] | select(.health == "err")] | length')"
	paused
	check "an alert notices a pause" wait_for 10 alert_is Gate25Paused pending
	resumed
	quietly gate25 unload mx0
	check "and an interface that is not guarded" wait_for 10 alert_is Gate25NotAttached pending
	quietly gate25 load
	check "and that it is guarded again" wait_for 10 query_is 'sum(gate25_attached)' 1
	kill "$prometheus"
	wait "$prometheus" 2> /dev/null
}

reads_alike() {
	query_is 'gate25_list_hits_total{list="blocked"}' "$(metric gate25_list_hits_total list=blocked)"
}

alert_is() { # NAME STATE
	in_ns gw curl -s http://127.0.0.1:9090/api/v1/alerts |
		jq -e --arg name "$1" --arg state "$2" \
			'[.data.alerts[] | select(.labels.alertname == $name and .state == $state)] | length > 0'
}

net_start
sender good $GOOD
sender bad $BAD
check "Postfix starts" mail_server_start
printf '%s\n' $BAD 2001:db8:bad::66 > $WORK/blocked.txt
configure
check "the guard starts" guard_start
test_http
test_crowd
test_table
test_never_back
if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
	test_prometheus
else
	skip "Prometheus reads the metrics" "no prometheus"
fi
check "the agent stops" guard_stop
finish
