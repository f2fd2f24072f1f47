#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# The processes that fetch and parse: what they may do (nothing), and what becomes of the guard when they are killed,
# stopped, run out of memory or crash (nothing). The agent is one whose parser lists can wreck.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

WEB=192.0.2.80
BAD=203.0.113.66
GOOD=198.51.100.10

configure() { # [YAML]…: items of `lists`
	{
		cat <<-END
			ports: [25]
			policy: enforce
			metrics: {listen: "127.0.0.1:9925"}
			lists:
			  - {name: blocked, file: $WORK/lists/blocked.txt, format: plain, refresh: 1h}
			  - {name: wreck, file: $WORK/lists/wreck.txt, format: plain, refresh: 1h}
		END
		[ $# -eq 0 ] || printf '  - %s\n' "$@"
	} | guard_config
}

wreck_start() {
	nsenter --net=/run/netns/gw -- "$BUILD/tests/net/gate25d-wreck" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	wait_for 15 guard_ready
}

entries_are() { # LIST COUNT
	[ "$(metric gate25_entries list="$1")" -eq "$2" ]
}

log_has() { # TEXT
	grep -qF -e "$1" $WORK/agent.log
}

# The youngest child of the agent, or of another process.
worker_of() { # [PID]
	pgrep -n -P "${1:-$agent}"
}

worker_there() { # [PID]
	[ -n "$(worker_of "${1:-$agent}")" ]
}

status_of() { # PID FIELD
	awk -v field="$2:" '$1 == field { $1 = ""; sub(/^ /, ""); print }' "/proc/$1/status"
}

guard_works() { # WHEN
	check_not "$1: who is listed is stopped" smtp_connects bad $BAD 1
	check "$1: who is not gets in" smtp_connects good $GOOD 2
	want "$1: the list that was in force stays" 3 "$(metric gate25_entries list=wreck)"
	check "$1: the agent lives" kill -0 "$agent"
}

errors() {
	metric gate25_list_errors_total list="${1:-wreck}" kind=worker
}

# ---------------------------------------------------------------- what it may do

caged() { # NAME PID
	local field user
	user=$(id -u _gate25)
	for field in CapInh CapPrm CapEff CapAmb CapBnd; do
		want "$1: $field" 0000000000000000 "$(status_of "$2" $field)"
	done
	want "$1: NoNewPrivs" 1 "$(status_of "$2" NoNewPrivs)"
	want "$1: Seccomp" 2 "$(status_of "$2" Seccomp)"
	want "$1: a user of its own" "$user $user $user $user" "$(status_of "$2" Uid | tr '\t' ' ')"
	user=$(id -g _gate25)
	want "$1: its group alone" "$user $user $user $user" "$(status_of "$2" Gid | tr '\t' ' ')"
	want "$1: and no other group" "" "$(status_of "$2" Groups | tr -d ' ')"
	check_not "$1: nothing of the kernel's bpf is open" \
		eval "ls -l /proc/$2/fd | grep -q 'bpf'"
	check "$1: it can hold no more memory than it is given" \
		grep -qE '^Max address space +1073741824 +1073741824' "/proc/$2/limits"
	want "$1: memory that runs short takes it first" 1000 "$(cat "/proc/$2/oom_score_adj")"
}

# As this test alone sees it, the machine has that user.
user_make() {
	cp /etc/passwd $WORK/passwd
	cp /etc/group $WORK/group
	echo '_gate25:x:64725:64725::/nonexistent:/usr/sbin/nologin' >> $WORK/passwd
	echo '_gate25:x:64725:' >> $WORK/group
	mount --bind $WORK/passwd /etc/passwd
	mount --bind $WORK/group /etc/group
}

test_cage() {
	local worker
	check "it starts" wreck_start
	check "lists are in force" wait_for 5 entries_are wreck 3
	configure "{name: slow, url: 'http://$WEB/slow.txt', insecure: true}"
	gate25 reload > $WORK/reload.out 2>&1 &
	check "a process fetches" wait_for 5 worker_there
	worker=$(worker_of)
	sleep 0.5
	caged "who fetches" "$worker"
	want "its name" "gate25d: lists" "$(tr '\0' '\n' < "/proc/$worker/cmdline" | head -n 1)"
	wait $!
	kill -KILL "$worker"
	check "killed: told" wait_for 5 log_has "list slow: http://$WEB/slow.txt: the process that read it was ended by signal 9"
	want "and counted" 1 "$(errors slow)"
	guard_works "killed while it fetches"
	configure
	check "back to files" quietly gate25 reload
}

# ---------------------------------------------------------------- what becomes of it

wreck() { # HOW
	echo "#wreck:$1" | cat - $WORK/lists/wreck.good > $WORK/lists/new
	mv $WORK/lists/new $WORK/lists/wreck.txt
}

test_wrecks() {
	local how signal before worker
	while read -r how signal; do
		before=$(errors)
		wreck "$how"
		check "$how: told" wait_for 15 log_has "was ended by signal $signal "
		check "$how: counted" [ "$(errors)" -gt "$before" ]
		guard_works "$how"
	done <<-END
		crash 11
		memory 6
		open 31
	END
	says 1 'wreck: .*ended by signal 31' - lists refresh wreck
	wreck hang
	check "hang: it is there" wait_for 5 worker_there
	sleep 0.5
	worker=$(worker_of)
	caged "who parses" "$worker"
	kill -STOP "$worker"
	guard_works "stopped"
	check "stopped: an address can be added all the same" quietly gate25 add 203.0.113.9 --for 1h
	check "stopped: it is ended in the end" wait_for 70 log_has "hung for 60 s and was ended"
	check_not "stopped: it is gone" test -e "/proc/$worker"
	guard_works "ended"
	cp $WORK/lists/wreck.good $WORK/lists/new
	echo 198.51.100.9 >> $WORK/lists/new
	mv $WORK/lists/new $WORK/lists/wreck.txt
	check "a good list comes into force at once" wait_for 5 entries_are wreck 4
}

# The agent's own death ends them, too.
test_orphans() {
	local worker
	configure "{name: slow, url: 'http://$WEB/slow.txt', insecure: true}"
	gate25 reload > $WORK/reload.out 2>&1
	check "a process fetches again" wait_for 5 worker_there
	worker=$(worker_of)
	guard_kill
	check "killed with its agent" wait_for 10 eval "! kill -0 $worker 2> /dev/null"
	check_not "the guard stays" smtp_connects bad $BAD 1
}

test_without_agent() {
	local command worker
	configure "{name: slow, url: 'http://$WEB/slow.txt', insecure: true}"
	nsenter --net=/run/netns/gw -- "$BUILD/gate25" -c $CONFIG reload > $WORK/reload.out 2>&1 &
	command=$!
	check "without the agent gate25 reload has one too" wait_for 5 worker_there $command
	worker=$(worker_of $command)
	sleep 0.5
	caged "that of gate25 reload" "$worker"
	kill -KILL "$worker"
	wait $command
	check "killed: told" grep -q 'slow.txt: the process that read it was ended by signal 9' $WORK/reload.out
	check_not "the guard stays" smtp_connects bad $BAD 1
}

web_start() {
	mkdir -p $WORK/web/root
	seq -f 198.19.1.%g 1 250 > $WORK/web/root/slow.txt
	nginx_configure $WORK/web/access.log <<-END
		server {
			listen $WEB:80;
			root $WORK/web/root;
			location = /slow.txt { limit_rate 110; }
		}
	END
	in_ns web nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns web curl -s -o /dev/null http://$WEB/
}

net_start
sender good $GOOD
sender bad $BAD
sender web $WEB
user_make
mkdir -p $WORK/lists $WORK/web
echo $BAD > $WORK/lists/blocked.txt
seq -f 198.19.0.%g 1 3 > $WORK/lists/wreck.good
cp $WORK/lists/wreck.good $WORK/lists/wreck.txt
check "Postfix starts" mail_server_start
check "nginx starts" web_start
configure
test_cage
test_wrecks
test_orphans
test_without_agent
kill "$nginx"
finish
