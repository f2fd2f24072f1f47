#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# The agent: what it does to the guard by starting, stopping, dying and reloading (nothing that a frame
# could slip through), what it tells systemd, how it follows interfaces, files and real web servers.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

BAD=203.0.113.66
BAD2=203.0.113.67
GOOD=198.51.100.10

configure() { # [YAML for a second list]
	guard_config <<-END
		ports: [25]
		policy: enforce
		lists:
		  - {name: blocked, file: $WORK/blocked.txt, format: plain, refresh: 10s}
		  ${1:-}
		metrics: {listen: "127.0.0.1:9925"}
	END
}

# What it said stands in reload.out.
reload() {
	gate25 reload > $WORK/reload.out 2>&1
}

log_has() { # TEXT
	grep -qF -e "$1" $WORK/agent.log
}

log_forget() {
	: > $WORK/agent.log
}

attached() {
	[ "$(metric gate25_attached interface=mx0)" -eq 1 ]
}

not_attached() {
	[ "$(metric gate25_attached interface=mx0)" -eq 0 ]
}

entries_are() { # LIST COUNT
	[ "$(metric gate25_entries list="$1")" -eq "$2" ]
}

agent_gone() {
	! kill -0 "$agent" 2> /dev/null
}

# ---------------------------------------------------------------- frames, watched behind the guard

# What passes the guard is counted by nftables, on the same device behind XDP.
watch_start() {
	in_ns gw nft -f - <<-END
		table netdev behind {
			counter passed { }
			chain in {
				type filter hook ingress device mx0 priority 0
				ip saddr $BAD counter name passed
			}
		}
	END
}

passed() {
	in_ns gw nft -j list counter netdev behind passed | jq '.nftables[1].counter.packets'
}

frames_start() { # COUNT RATE
	nsenter --net=/run/netns/bad -- "$BUILD/tests/net/frames" -i eth0 -s $BAD -d $GW4 -n "$1" -r "$2" \
		> $WORK/frames.sent 2> $WORK/frames.log &
	frames=$!
}

frames_running() {
	kill -0 "$frames" 2> /dev/null
}

# ---------------------------------------------------------------- command line

test_command_line() {
	want "--version" "gate25d $("$BUILD/gate25" version | awk '{ print $2; exit }')" \
		"$("$BUILD/gate25d" --version)"
	check "--check of a good file" quietly "$BUILD/gate25d" -c $CONFIG --check
	check_not "an unknown option" quietly "$BUILD/gate25d" --frobnicate
	sed 's/^policy:.*/policy: enfroce/' $CONFIG > $WORK/broken.yaml
	check_not "--check of a broken file" in_ns gw "$BUILD/gate25d" -c $WORK/broken.yaml --check \
		2> $WORK/broken.log
	check "names file and line" grep -qE "^$WORK/broken.yaml:[0-9]+: " $WORK/broken.log
	in_ns gw "$BUILD/gate25d" -c $WORK/broken.yaml > $WORK/broken.log 2>&1
	want "a broken file at the start ends it" 1 $?
	check "with file and line" grep -qE "$WORK/broken.yaml:[0-9]+: " $WORK/broken.log
}

# ---------------------------------------------------------------- systemd

notify_start() {
	"$BUILD/tests/net/notify" $WORK/notify.sock > $WORK/notified 2>&1 &
	notifier=$!
	wait_for 5 test -S $WORK/notify.sock
}

unit_capabilities() { # ",+bpf,+net_admin,…"
	sed -n 's/^CapabilityBoundingSet=//p' contrib/systemd/gate25d.service |
		tr 'A-Z ' 'a-z\n' | sed 's/^cap_/,+/' | tr -d '\n'
}

notified() { # PATTERN
	grep -qE -e "$1" $WORK/notified
}

test_notify() {
	notify_start
	check "it starts, with no more rights than its unit gives it" guard_start \
		env NOTIFY_SOCKET=$WORK/notify.sock WATCHDOG_USEC=1000000 \
		setpriv --no-new-privs "--bounding-set=-all$(unit_capabilities)"
	check "READY=1" wait_for 5 notified '^READY=1$'
	check "the status names the interface and its mode" \
		wait_for 5 notified '^STATUS=mx0 \((native|generic)\); 1 entry; enforcing$'
	check "the watchdog is fed" wait_for 5 notified '^WATCHDOG=1$'
	: > $WORK/notified
	kill -HUP "$agent"
	check "a reload is told" wait_for 5 notified '^RELOADING=1$'
	check "with the time" notified '^MONOTONIC_USEC=[0-9]{6,}$'
	check "and its end" wait_for 5 notified '^READY=1$'
	in_ns gw "$BUILD/gate25d" -c $CONFIG > $WORK/second.log 2>&1
	want "a second agent is refused" 1 $?
	check "and says who runs" grep -q "another gate25d runs already (process $agent" $WORK/second.log
	check "the first is not disturbed" attached
	guard_stop
	want "it stops without complaint" 0 $?
	check "STOPPING=1" notified '^STOPPING=1$'
	check_not "its socket is gone" test -e $WORK/run/gate25d.sock
	kill "$notifier"
}

# ---------------------------------------------------------------- no gap

test_no_gap() {
	local sent before after round
	check "it starts again" guard_start
	watch_start
	before=$(metric gate25_packets_total reason=list verdict=drop)
	frames_start 1000000 5000
	check "stopped under traffic" guard_stop
	sleep 0.5
	check "started under traffic" guard_start
	check "killed under traffic" guard_kill
	rm -r $WORK/state/lists
	sleep 0.5
	check "started after that, without its copies of the lists" guard_start
	for round in 1 2 3; do
		echo "198.18.0.$round" >> $WORK/blocked.txt
		check "reload $round under traffic" quietly gate25 reload
		kill -HUP "$agent"
	done
	check "frames were sent all the time" frames_running
	kill "$frames"
	wait "$frames"
	sent=$(cat $WORK/frames.sent)
	wait_for 5 settled
	after=$(metric gate25_packets_total reason=list verdict=drop)
	echo "# $sent frames over 2 stops, 2 starts and 6 reloads"
	check "many frames" [ "$sent" -gt 4000 ]
	want "each was judged" "$sent" "$((after - before))"
	want "none slipped through" 0 "$(passed)"
	want "and the list counted each" "$sent" "$(metric gate25_list_hits_total list=blocked)"
	check "the log tells drops in the fixed shape" \
		grep -qE "$(event_pattern 'drop list')" $WORK/agent.log
}

event_pattern() { # "VERDICT REASON"
	echo "$1 src=$BAD sport=[0-9]+ dst=$GW4 dport=25 service=mx iface=mx0 lists=blocked\$"
}

settled() { # the bridge has delivered what it got
	local first
	first=$(metric gate25_packets_total reason=list)
	sleep 0.2
	[ "$first" = "$(metric gate25_packets_total reason=list)" ]
}

# ---------------------------------------------------------------- without the agent

test_without_agent() {
	check "$BAD2 connects" smtp_connects bad $BAD2
	check "it is added for 6 seconds" quietly gate25 add $BAD2 --for 6s
	check_not "and gets no connection" smtp_connects bad $BAD2 1
	check "the agent is killed" guard_kill
	check_not "it still gets none" smtp_connects bad $BAD2 1
	check_not "nor does a listed one" smtp_connects bad $BAD 1
	check "a good one delivers" mail_send good $GOOD
	check "the entry ends with no agent to see it" wait_for 10 smtp_connects bad $BAD2 1
	check "the agent comes back" guard_start
	check "and tidies the overlay up" wait_for 10 overlay_empty
}

overlay_empty() {
	[ "$(metric gate25_overlay_entries)" -eq 0 ]
}

# ---------------------------------------------------------------- reload

test_reload() {
	printf '%s\n' $BAD 198.18.7.7 198.18.7.8 > $WORK/blocked.txt
	check "a file that changed is seen by itself" wait_for 15 entries_are blocked 3
	printf '%s\n' $BAD > $WORK/blocked.txt
	check "reload" reload
	check "says what changed" grep -q 'list blocked: 3 → 1 entry' $WORK/reload.out
	log_forget
	cp $CONFIG $WORK/good.yaml
	sed -i 's/^ports:.*/ports: [25, 99999]/' $CONFIG
	reload
	want "a broken configuration is refused" 1 $?
	check "with file and line" grep -qE "$CONFIG:[0-9]+: " $WORK/reload.out
	kill -HUP "$agent"
	check "a signal tells it in the log" wait_for 5 log_has "$CONFIG:"
	want "both are on record as what they were" '["reload failed","reload failed"]' \
		"$(gate25 -j log --limit 2 | jq -c '.results | map(.action)')"
	check "and it is counted" [ "$(metric gate25_errors_total kind=config)" -ge 1 ]
	check "the guard stays" attached
	check_not "and still stops" smtp_connects bad $BAD 1
	log_forget
	: > $CONFIG
	kill -HUP "$agent"
	check "a file that was cut short is refused as well" wait_for 5 log_has "$CONFIG: is empty"
	check "the guard stays" attached
	check_not "and goes on stopping" smtp_connects bad $BAD 1
	cp $WORK/good.yaml $CONFIG
	: > $WORK/blocked.txt
	reload
	check "an emptied list is refused" grep -q 'holds no entry' $WORK/reload.out
	check_not "and the last good one stays in force" smtp_connects bad $BAD 1
	check "counted by kind, each time it is read" \
		[ "$(metric gate25_list_errors_total list=blocked kind=empty)" -ge 1 ]
	printf '%s\n' $BAD > $WORK/blocked.txt
	check "until it is good again" quietly gate25 reload
	test_reload_moved
	cp $WORK/good.yaml $CONFIG
	sed -i "s|run_dir:.*|run_dir: $WORK/elsewhere|" $CONFIG
	kill -HUP "$agent"
	check "run_dir does not move under an agent" wait_for 5 log_has 'run_dir cannot change'
	cp $WORK/good.yaml $CONFIG
	check "which goes on" still_answers
}

# A slip in the path of a list empties nothing, and the rest of a change is in force.
test_reload_moved() {
	sed -i -e "s|file: $WORK/blocked.txt|file: $WORK/blokced.txt|" \
		-e 's/^ports:.*/ports: [25, 2525]/' $CONFIG
	reload
	want "a list that moved to nowhere fails a reload" 1 $?
	check "what of it stays is said" grep -q \
		'list blocked: .*/blokced.txt: No such file.*its last good content (from the former source)' \
		$WORK/reload.out
	check_not "and is in force" smtp_connects bad $BAD 1
	check "the rest is, too" grep -q 'services: changed' $WORK/reload.out
	check "and the end says so" grep -q 'failed; all else is in force' $WORK/reload.out
	guard_stop
	check "over a restart" guard_start
	check_not "it is in force as well" smtp_connects bad $BAD 1
	echo $BAD2 > $WORK/blokced.txt
	check "with the new source there" reload
	check_not "it is in force" smtp_connects bad $BAD2 1
	check "instead of the former" smtp_connects bad $BAD 2
	rm $WORK/blokced.txt
}

# An own list is taken at its word, and doubted.
test_reload_wide() {
	echo 128.0.0.0/1 > $WORK/wide.txt
	configure "- {name: wide, file: $WORK/wide.txt, policy: observe}"
	check "a list that names half of the world is taken" reload
	want "as it is" 1 "$(metric gate25_entries list=wide)"
	check "with a warning" grep -q 'warning: list wide: 128.0.0.0/1 is wider than a /8' $WORK/reload.out
	check "in the log, too" log_has 'list wide: 128.0.0.0/1 is wider than a /8'
	gate25 status --check > $WORK/status
	want "the check warns" 1 $?
	check "of it" grep -q 'list wide: 128.0.0.0/1 is wider than a /8' $WORK/status
	configure
	check "without it" quietly gate25 reload
}

# What cannot be exempted must not be stopped.
test_allow_list_missing() {
	configure
	echo "allow: [{name: partners, file: $WORK/partners.txt}]" >> $CONFIG
	check_not "an allow list that is not there is an error" reload
	check "and is named" grep -q 'allow list partners was never read' $WORK/reload.out
	check "meanwhile block lists only observe" smtp_connects bad $BAD 2
	check "which the log tells, too" grep -qE "$(event_pattern 'pass would_list')" $WORK/agent.log
	gate25 status --check > $WORK/status
	want "and the check warns of" 1 $?
	check "with its name, first of all" grep -q \
		'WARNING - guarding mx0 (native): LISTS ONLY OBSERVE, since allow list partners was never read' \
		$WORK/status
	echo $GOOD > $WORK/partners.txt
	check "with the list there" reload
	check_not "they enforce" smtp_connects bad $BAD 1
	gate25 status > $WORK/status
	check "and status says so" grep -q '^guarding mx0 (native): enforcing, ' $WORK/status
	rm $WORK/partners.txt
	check "an allow list that goes away stays in force" quietly gate25 reload
	want "with what it held" 1 "$(metric gate25_entries list=partners)"
	check_not "and the block lists enforce" smtp_connects bad $BAD 1
	configure
	check "without it" quietly gate25 reload
}

# What operators say acts without the agent, which tells it all the same.
test_words() {
	local word
	log_forget
	while read -r word; do
		quietly gate25 ${word%%:*}
		check "gate25 ${word%%:*} is told" wait_for 10 log_has "${word#*: }"
	done <<-END
		policy observe: policy: observe
		policy default: policy: enforce
		policy observe --service mx: policy of service mx: observe
		policy default --service mx: policy of service mx: enforce
		pause: paused until resumed
		pause --for 1h: paused until 20
		resume: the pause is over
	END
	want "each once" 7 "$(grep -cE "policy|paus" $WORK/agent.log)"
	kill -HUP "$agent"
	check "a reload by a signal is on record" wait_for 5 reload_recorded
}

reload_recorded() {
	[ "$(gate25 -j log --limit 1 | jq -r '.results[0] | .action + " " + .command')" = \
		"reload $BUILD/gate25d -c $CONFIG" ]
}

# What was read and cannot be kept is in force, and an older one would come back.
test_state_full() {
	mount -t tmpfs -o size=64k full $WORK/state
	printf '%s\n' $BAD $BAD2 > $WORK/blocked.txt
	check "a list is kept" quietly gate25 reload
	gate25 status > $WORK/status
	check_not "and nothing is to be doubted" grep -qE "kept|cannot be written" $WORK/status
	dd if=/dev/zero of=$WORK/state/ballast bs=1k 2> $WORK/dd.log
	printf '%s\n' $BAD > $WORK/blocked.txt
	check "with the disk full it is read" reload
	check "and in force" smtp_connects bad $BAD2 2
	gate25 status --check > $WORK/status
	want "which the check warns of" 1 $?
	check "by the disk" grep -qF "$WORK/state cannot be written (No space left on device)" $WORK/status
	check "and by the list" grep -qF "list blocked: what is in force is not kept" $WORK/status
	rm $WORK/state/ballast
	check "with space it is kept" quietly gate25 reload
	gate25 status > $WORK/status
	check_not "and nothing is to be doubted any more" grep -qE "kept|cannot be written" $WORK/status
	umount $WORK/state
	check "the state from before" quietly gate25 reload
}

still_answers() {
	quietly gate25 reload && attached
}

# Somebody who connects to the agent's socket and says nothing, and sixteen of them.
test_slow_clients() {
	perl -MIO::Socket::UNIX -e '
		my @all = map { IO::Socket::UNIX->new(Peer => $ARGV[0]) } 1 .. 40;
		print { $all[0] } "{\"command\": ";
		sleep 4' $WORK/run/gate25d.sock &
	local clients=$!
	sleep 0.3
	check "idle clients hold up neither metrics" attached
	check "nor signals" reload_by_signal
	kill $clients
	wait $clients 2> /dev/null
	check "nor, once they are gone, requests" wait_for 10 quietly gate25 reload
}

reload_by_signal() {
	log_forget
	echo "198.18.9.9" >> $WORK/blocked.txt
	kill -HUP "$agent"
	wait_for 5 entries_are blocked 2
}

# ---------------------------------------------------------------- interfaces

link_vanishes() {
	in_ns net ip link del gw-mx0
}

# Another device of the same name, with another MAC address.
link_returns() {
	link_add gw mx0 $GW4 $GW6
	routes_add gw mx0
	in_ns good ip neigh flush all
	in_ns bad ip neigh flush all
}

test_interfaces() {
	printf '%s\n' $BAD > $WORK/blocked.txt
	quietly gate25 reload
	link_vanishes
	check "an interface that vanishes is not guarded" wait_for 5 not_attached
	link_returns
	check "one that comes back is" wait_for 10 attached
	check_not "and stops whom it stopped" smtp_connects bad $BAD 1
	check "a good sender delivers" mail_send good $GOOD

	link_vanishes
	check "the agent ends with the interface gone" guard_stop
	nsenter --net=/run/netns/gw -- "$BUILD/gate25d" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	check "and starts without it" wait_for 5 not_attached
	link_returns
	check "one that comes late is guarded" wait_for 10 attached
	check_not "a listed one gets no connection" smtp_connects bad $BAD 1
}

test_unload_sticks() {
	check "unload" quietly gate25 unload mx0
	check "is seen" wait_for 5 not_attached
	check "a listed one connects" smtp_connects bad $BAD 2
	kill -HUP "$agent"
	sleep 1
	check "a reload does not undo it" not_attached
	link_vanishes
	link_returns
	sleep 1
	check "nor does the interface's return" not_attached
	check "nor an agent" guard_stop
	nsenter --net=/run/netns/gw -- "$BUILD/gate25d" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	wait_for 10 metrics_answer
	sleep 1
	check "that starts" not_attached
	check "load does" quietly gate25 load
	check "at once" wait_for 5 attached
	check_not "and stops again" smtp_connects bad $BAD 1
}

metrics_answer() {
	in_ns gw curl -sf -o /dev/null --max-time 2 http://127.0.0.1:9925/metrics
}

# An interface that the configuration names no more.
test_interface_leaves() {
	ip netns exec gw true # the namespace is there
	link_add gw mx1 192.0.2.26
	sed -i 's/^interfaces:.*/interfaces: [mx0, mx1]/' $CONFIG
	check "a second interface" quietly gate25 reload
	want "is guarded" 1 "$(metric gate25_attached interface=mx1)"
	sed -i 's/^interfaces:.*/interfaces: [mx0]/' $CONFIG
	check "taken out of the configuration" reload
	check "it is detached" grep -q 'interface mx1 detached' $WORK/reload.out
	want "and not shown any more" 0 "$(metric gate25_attached interface=mx1)"
	check "the first stays" attached
	check "and the record says so" grep -q '"mx1"' $WORK/state/changes.log
	sed -i 's/^interfaces:.*/interfaces: [mx0, lo]/' $CONFIG
	reload
	check "one that cannot be guarded is named" grep -q 'interface lo' $WORK/reload.out
	check "and does not keep the other from it" attached
	sed -i 's/^interfaces:.*/interfaces: [mx0]/' $CONFIG
	quietly gate25 reload
}

# ---------------------------------------------------------------- web servers

web_start() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=web -addext \
		subjectAltName=IP:192.0.2.80 -keyout $WORK/web/key -out $WORK/web/cert 2> /dev/null
	# The machine's list of authorities, as this test alone sees it.
	mkdir -p /etc/ssl/certs
	mount -t tmpfs tmpfs /etc/ssl/certs
	cp $WORK/web/cert /etc/ssl/certs/ca-certificates.crt
	nginx_configure $WORK/web/access.log <<-END
		types { text/plain txt; text/html html; application/gzip gz; }
		gzip on; gzip_types text/plain; gzip_min_length 1;
		server {
			listen 192.0.2.80:80;
			listen 192.0.2.80:443 ssl;
			ssl_certificate $WORK/web/cert;
			ssl_certificate_key $WORK/web/key;
			root $WORK/web/root;
			location = /slow.txt { limit_rate 10; }
			location = /slowly.txt { gzip off; limit_rate 300; }
			location = /to-https { return 301 https://192.0.2.80/list.txt; }
			location = /to-http { return 301 http://192.0.2.80/list.txt; }
		}
	END
	in_ns web nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns web curl -s -o /dev/null http://192.0.2.80/
}

feed() { # PATH [SCHEME] -> reloads with a list from there, what was said stands in reload.out
	local insecure=', insecure: true'
	[ "${2:-http}" = http ] || insecure=
	configure "- {name: web, url: \"${2:-http}://192.0.2.80/$1\", format: plain$insecure}"
	reload
}

served() { # PATH STATUS [SIZE]
	grep -cE "\"GET /$1 HTTP/[0-9.]+\" $2 " $WORK/web/access.log
}

test_web() {
	local address
	mkdir -p $WORK/web/root
	for address in $(seq 1 200); do echo "198.19.0.$address"; done > $WORK/web/root/list.txt
	gzip -k $WORK/web/root/list.txt
	echo '<!DOCTYPE html><p>192.0.2.1 is sold out' > $WORK/web/root/page.html
	: > $WORK/web/root/empty.txt
	for address in $(seq 1 250); do echo "198.19.1.$address"; done > $WORK/web/root/slow.txt
	cp $WORK/web/root/slow.txt $WORK/web/root/slowly.txt
	check "nginx starts" web_start
	check "a list from a web server" feed list.txt
	want "is in force" 200 "$(metric gate25_entries list=web)"
	want "packed on its way" 1 "$(served list.txt 200)"
	check "less than half of what it holds was sent" \
		[ "$(awk '/GET \/list.txt/ { print $10; exit }' $WORK/web/access.log)" -lt 1500 ]
	check "again" quietly gate25 reload
	want "it was only asked whether it changed" 1 "$(served list.txt 304)"
	want "which is a success" 0 "$(metric gate25_list_errors_total list=web)"
	want "and the list stays" 200 "$(metric gate25_entries list=web)"
	check "a packed file" feed list.txt.gz
	want "is unpacked" 200 "$(metric gate25_entries list=web)"
	check "over https" feed list.txt https
	want "too" 200 "$(metric gate25_entries list=web)"
	check "a redirect to https" feed to-https
	want "is followed" 200 "$(metric gate25_entries list=web)"
	check_not "a redirect from https to http" feed to-http https
	check "is not" grep -q "list web: https://192.0.2.80/to-http: .*http" $WORK/reload.out
	want "and the list stays as it was" 200 "$(metric gate25_entries list=web)"
	test_web_failures
	kill "$nginx"
	umount /etc/ssl/certs
}

# Each begins with the good list in force, at the same url.
test_web_failures() {
	local kind
	feed list.txt
	cp $WORK/web/root/list.txt $WORK/list.good
	cat > $WORK/failures <<-END
		empty empty.txt
		parse page.html
		fetch missing
	END
	while read -r kind page; do
		if [ "$page" = missing ]; then
			rm $WORK/web/root/list.txt
		else
			cp "$WORK/web/root/$page" $WORK/web/root/list.txt
		fi
		log_forget
		reload
		want "$page: the last good list stays" 200 "$(metric gate25_entries list=web)"
		check "$page: counted as $kind" \
			[ "$(metric gate25_list_errors_total list=web kind="$kind")" -ge 1 ]
		check "$page: told" grep -q 'list web: http://192.0.2.80/list.txt: ' $WORK/reload.out
	done < $WORK/failures
	yes 198.19.0.1 | head -c 1G | gzip -1 > $WORK/web/root/list.txt
	reload
	check "a little that unpacks to a lot is refused" grep -q 'web: .*larger than a list may be' $WORK/reload.out
	check "without taking much memory for it" \
		[ "$(awk '/^VmHWM/ { print $2 }' /proc/$agent/status)" -lt 400000 ]
	cp $WORK/list.good $WORK/web/root/list.txt
	check "good again" quietly gate25 reload
	test_web_stalls
}

# While one list trickles in, all else goes on.
test_web_stalls() {
	configure '- {name: web, url: "http://192.0.2.80/slow.txt", format: plain, insecure: true}'
	printf '%s\n' $BAD 198.18.7.7 > $WORK/blocked.txt
	log_forget
	began=$(date +%s)
	reload &
	local loading=$!
	sleep 1
	check "metrics answer during a slow load" attached
	check "an address can be added" quietly gate25 add $BAD2 --for 1h
	check_not "and is stopped" smtp_connects bad $BAD2 1
	link_vanishes
	link_returns
	check "an interface that returns is guarded" wait_for 10 attached
	wait $loading
	want "reload does not wait for it" 0 $?
	check "longer than 10 seconds" [ $(($(date +%s) - began)) -lt 10 ]
	check "and says whose list is not there yet" grep -q \
		'list web: still being fetched; until it is there, its last good content' $WORK/reload.out
	check "and for whom it waited" grep -q 'waiting for gate25d' $WORK/reload.out
	want "while the others are in force" 2 "$(metric gate25_entries list=blocked)"
	check_not "it is not given up yet" log_has 'too slow'
	check "but is in the end" wait_for 60 log_has 'too slow'
	configure '- {name: web, url: "http://192.0.2.80/slowly.txt", format: plain, insecure: true}'
	check "one that is slow" quietly gate25 reload
	want "is not there yet" 200 "$(metric gate25_entries list=web)"
	check "comes into force by itself" wait_for 30 entries_are web 250
	configure '- {name: web, url: "http://192.0.2.80/slow.txt", format: plain, insecure: true}'
	reload
	began=$(date +%s%N)
	check "a stop does not wait for a fetch" guard_stop
	check "longer than 2 seconds" [ $((($(date +%s%N) - began) / 1000000)) -lt 2000 ]
}

net_start
sender good $GOOD
sender bad $BAD $BAD2
sender web 192.0.2.80
check "Postfix starts" mail_server_start
echo $BAD > $WORK/blocked.txt
configure
test_command_line
test_notify
test_no_gap
test_without_agent
test_reload
test_reload_wide
test_allow_list_missing
test_state_full
test_words
test_slow_clients
test_interfaces
test_unload_sticks
test_interface_leaves
test_web
finish
