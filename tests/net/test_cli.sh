#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The command line, before a real mail server: exit codes, first words, JSON; what it says is what
# happens to connections. No agent runs, except where it says so.
# timeout: 240
# shellcheck disable=SC2317,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

GOOD=198.51.100.10
LISTED=203.0.113.66
LISTED6=2001:db8:bad::66
OWN=203.0.113.130
PIN=/sys/fs/bpf/gate25

configure() { # [LINE]…, behind these
	{
		cat <<-END
			services: [{name: mx, ports: [25]}, {name: submission, ports: [587]}]
			policy: enforce
			allow:
			  - {name: own, entries: [203.0.113.128/25]}
			lists:
			  - {name: blocked, file: $WORK/blocked.txt, format: plain}
			limits:
			  source: {rate: 600/min, burst: 300}
			  network: {rate: 6000/min, burst: 3000, policy: observe}
			metrics: {listen: "127.0.0.1:9925"}
		END
		printf '%s\n' "$@"
	} | guard_config
}

connects() { # ADDR
	local name=bad
	[ $1 != $GOOD ] || name=good
	smtp_connects $name $1 "${2:-1}"
}

stopped() { # ADDR
	! connects $1
}

as_nobody() { # ARGUMENT…
	in_ns gw setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$BUILD/gate25" -c $CONFIG "$@" > $WORK/out 2> $WORK/err < /dev/null
}

# ---------------------------------------------------------------- one section each

usage() {
	want "the help is as it was" "$(cat tests/data/cli/help.want)" "$(gate25 --help)"
	says 0 "^usage: gate25 " - --help
	says 0 "^usage: gate25 " - help
	says 0 "^gate25 [0-9]" - --version
	says 0 "^gate25 [0-9]" - version
	says 2 - "^usage: gate25 .*gate25 --help" # no command
	says 2 - "there is no command blah" blah
	says 2 - "unknown option --blah.*usage: gate25" --blah status
	local command
	for command in status test lists feeds log version load unload pause resume policy reload \
		check add del flush unblock allow list; do
		says 0 "^usage: gate25 $command" - $command --help
		says 2 - "usage: gate25 $command" $command --no-such-option
	done
	says 2 - "address is wanted.*usage: gate25 test" test
	says 2 - "192.0.2.300.*usage" test 192.0.2.300
	says 2 - "not a network" test 192.0.2.0/24
	says 2 - "--service wants a value" test $GOOD --service
	says 2 - "a duration such as" pause --for soon
	says 2 - "--for 24: a duration needs a unit: .*, as in 30m, 24h or 7d" pause --for 24
	says 2 - "beyond the year 9999" pause --for 9999999w
	says 2 - "^[^"$'\e\x9b'"]*there is no command .*" $'\e[31mred'
	says 2 - "^[^"$'\e'"]*unknown option --.*" $'--\e[31mred'
	says 2 - "^[^"$'\e'"]*192.0.2.1 .31m: " test $'192.0.2.1\e[31m'
	says 2 - "^[^"$'\e'"]*--no  31m" status $'--no\xc2\x9b31m'
	says 2 - "one of observe, enforce and default" policy
	says 2 - "one of observe, enforce and default" policy stop
	says 2 - "exclude each other" policy observe --list blocked --service mx
	says 2 - "--limit 0" log --limit 0
}

# Whoever made a package of it must not be told to remove what the host has.
uninstall() {
	local root=$WORK/root
	env -u MAKEFLAGS -u MAKELEVEL make -s uninstall DESTDIR=$root BUILD="$BUILD" > $WORK/out 2> $WORK/err
	want "uninstall" 0 $?
	check "names what is kept under DESTDIR" grep -q " rm -r $root/etc/gate25 $root/var/lib/gate25$" $WORK/out
	check_not "and nothing elsewhere" grep -qE "(^| )/(etc|var)/" $WORK/out
}

not_loaded() {
	says 4 "^NOT LOADED" - status
	says 2 "^GATE25 CRITICAL - NOT LOADED.*\| entries=0" - status --check
	says 4 - "gate25 load" test $GOOD
	says 4 "blocked" "gate25 load" lists
	says 4 - "gate25 load" reload
	says 4 - "nothing is loaded" unload
	says 4 "^paused" "holds from the next load on" pause
	says 4 "^resumed" "holds from the next load on" resume
	says 0 - "nothing was changed yet|^$" log 192.0.2.99
	says 0 "ok: 1 interface, 2 services, 2 lists" - check
	json "status" '.results[0].state' not_loaded status
	json "resume again" '.results | length' 1 resume
	check_not "nothing is pinned" [ -e $PIN ]
	check "and all connect" connects $LISTED
}

load() {
	says 1 - "there is no interface eth9; there are: mx0" load eth9
	says 0 "mx0 attached" "gate25 reload" load
	check "before a list was read all connect" connects $LISTED
	says 0 "^guarding mx0 \(native\): enforcing, 2 lists, 1 entry" - status
	says 0 "blocked" - reload
	check "what changed is told, and what did not is not" \
		[ "$(gate25 reload)" = "nothing changed" ]
	sed -i s/203.0.113.67/203.0.113.68/ $WORK/blocked.txt
	says 0 "^list blocked: changed, 3 entries$" - reload
	sed -i s/203.0.113.68/203.0.113.67/ $WORK/blocked.txt
	says 0 "^list blocked: changed, 3 entries$" - reload
	says 0 "^guarding mx0 \(native\): enforcing, 2 lists, 4 entries" - status
	check_not "a listed one gets no connection" connects $LISTED
	check_not "nor over IPv6" connects $LISTED6
	check "a good one does" connects $GOOD
}

test_says() {
	says 0 "^BLOCKED $LISTED mx: list blocked \(weight 1 of 1\): $LISTED; submission: PASS$" - \
		test $LISTED
	says 0 "^BLOCKED $LISTED6 mx: list blocked \(weight 1 of 1\): 2001:db8:bad::/48" - test $LISTED6
	says 3 "^PASS $GOOD mx: on no list$" - test $GOOD
	says 3 "^ALLOWED $OWN mx: allow list own: 203.0.113.128/25$" - test $OWN
	says 3 "^PASS $LISTED submission: " - test $LISTED --service submission
	says 2 - "there is no service smtp; there are: mx, submission" test $LISTED --service smtp
	says 3 $'^BLOCKED .*\nPASS .*\nALLOWED ' - test $LISTED $GOOD $OWN
	json "a verdict" '.results[0] | .result, .reason, .lists[0].name, .lists[0].entry' \
		$'BLOCKED\nlist\nblocked\n203.0.113.66' test $LISTED
	json "where services differ" '.results[0].others.submission' PASS test $LISTED
	want "in the order given" "$GOOD $LISTED " \
		"$(printf '%s\n' '# comment' $GOOD '' "  $LISTED  # why" | gate25 test - | awk '{ printf "%s ", $2 }')"
	printf '%s\n' $LISTED 192.0.2.300 $GOOD 192.0.2.0/24 | gate25 test - > $WORK/out 2> $WORK/err
	want "a bad line is named, and the others are answered" "2 2 2" \
		"$? $(wc -l < $WORK/out) $(grep -cE 'line (2|4): ' $WORK/err)"
	printf '%s\n' unknown 192.0.2.300 | gate25 test - > $WORK/out 2> $WORK/err
	want "with none that is good there is no answer" "2 0 2" \
		"$? $(wc -l < $WORK/out) $(grep -cE 'line [12]: ' $WORK/err)"
	cat > $WORK/mail.log <<-END
		postfix/smtpd[1]: 1: client=mail.example.org[$LISTED]
		postfix/smtpd[1]: connect from unknown[unknown]
		postfix/smtpd[1]: 2: client=unknown[unknown]
		postfix/smtpd[1]: 3: client=unknown[$LISTED6], sasl_method=PLAIN
	END
	readme=$(sed -n "s|^    \\(grep -oP 'client=.*\\) /var/log/mail.log .*|\\1|p" README.md)
	check "the README's grep takes addresses, of whoever has one" \
		[ "$(eval "$readme" $WORK/mail.log | tr '\n' ' ')" = "$LISTED $LISTED6 " ]
	printf '%s\n' $LISTED $LISTED6 | gate25 test - > /dev/null
	want "all blocked is 0" 0 $?
	awk 'BEGIN { for (i = 0; i < 20000; i++) printf "203.%d.%d.%d\n", i / 65536, i / 256 % 256, i % 256 }' \
		> $WORK/many
	local began=$EPOCHREALTIME ended readme
	gate25 test - < $WORK/many > $WORK/out
	ended=$EPOCHREALTIME
	want "20,000 answers" 20000 "$(wc -l < $WORK/out)"
	check "in less than a second ($(((${ended/./} - ${began/./}) / 1000)) ms)" \
		[ $((${ended/./} - ${began/./})) -lt 1000000 ]
}

# With the first packet after it, and no agent anywhere.
words() {
	says 0 "^paused until gate25 resume" - pause
	check "paused: a listed one connects" connects $LISTED
	says 0 "^PAUSED until resumed" - status
	says 1 "^GATE25 WARNING - PAUSED" - status --check
	says 3 "^PASS $LISTED mx: would be blocked: list blocked .*\(paused\)" - test $LISTED
	says 0 "^resumed" - resume
	check_not "resumed: it does not" connects $LISTED
	says 0 "^it was not paused" - resume
	says 0 "^paused until 20" - pause --for 2s
	check "paused for 2 s: it connects" connects $LISTED
	check "and then it ends by itself" wait_for 5 stopped $LISTED
	says 0 "^guarding" - status

	flock -o $WORK/run/lock sleep 20 &
	local holder=$!
	sleep 0.2
	says 1 - "is held by.*paused now, but it is not kept" pause
	check "a pause acts even if another one hangs with the lock" connects $LISTED
	kill $holder
	wait $holder 2> /dev/null
	says 0 "^resumed" - resume
	flock $WORK/run/lock bash -c "echo \$\$ > $WORK/run/lock; sleep 2; true" &
	holder=$!
	sleep 0.2
	says 0 "^blocked" "^[^"$'\n'"]*waiting for process [0-9]+ .bash., which holds $WORK/run/lock…$" \
		add 198.18.0.98
	wait $holder
	says 0 . - del 198.18.0.98

	says 0 "only observes: nothing is dropped" - policy observe
	check "observed: it connects" connects $LISTED
	says 0 "^OBSERVING only: nothing is dropped" - status
	says 0 "^the guard enforces" - policy enforce
	check_not "enforced: it does not" connects $LISTED

	says 0 "^service mx only observes" - policy observe --service mx
	check "its service observed: it connects" connects $LISTED
	says 0 "enforcing except for mx" - status
	says 0 "^service mx enforces" - policy default --service mx
	check_not "by default it does not" connects $LISTED

	says 0 "^list blocked only observes" - policy observe --list blocked
	check "its list observed: it connects" connects $LISTED
	says 3 "\(only observed\)" - test $LISTED
	says 0 "^list blocked enforces" - policy default --list blocked
	check_not "by default it does not" connects $LISTED

	says 2 - "there is no block list nope; there are: blocked" policy observe --list nope
	says 2 - "own is an allow list" policy observe --list own
	says 2 - "there is no service nope; there are: mx, submission" policy observe --service nope
	json "a policy" '.results[0].observe' true policy observe
	says 0 "^list blocked enforces" "but the whole only observes" policy enforce --list blocked
	says 0 "the guard enforces" - policy default
	says 0 "^list blocked enforces" - policy default --list blocked
}

lists() {
	says 0 "NAME +KIND +WEIGHT" - lists
	json "lists" '.results[] | select(.name == "blocked") | .kind, .entries4, .entries6, .policy' \
		$'block\n2\n1\nenforce' lists
	check "hits are counted" [ "$(gate25 -j lists | jq '.results[] | select(.name == "blocked").hits')" -gt 0 ]
	want "feeds is the same" "$(gate25 lists | head -n 1)" "$(gate25 feeds | head -n 1)"
}

# What was said last may have been "observe".
words_lost() {
	echo '{' > $WORK/state/control.json
	says 0 "^policy: observe$" "is damaged.*warning: what was said.*gate25 policy enforce" reload
	check "a listed one is let in" connects $LISTED
	says 0 "^OBSERVING.*warning +what was said .*gate25 policy enforce" - status
	says 1 "^GATE25 WARNING - OBSERVING only.* is lost, since control.json was damaged" - status --check
	says 0 . "warning: what was said" reload
	says 0 "the guard enforces" - policy enforce
	check_not "once it is said again he is not" connects $LISTED
	run status
	check_not "and nothing is lost any more" grep -q "is lost" $WORK/out
	says 0 "nothing changed" - reload
	says 0 . - policy default
}

changes() {
	json "the last change" '.results[-1] | .action, .user' $'policy\nroot' log --limit 1
	json "no more than asked for" '.results | length' 3 log --limit 3
	check "the policy before is told" \
		[ "$(gate25 -j log | jq -r '[.results[] | select(.action == "policy")][0].before.policy')" = default ]
	gate25 add 192.0.2.99 > /dev/null 2>&1
	json "what concerns an address" '.results | map(.action) | unique | join(",")' add log 192.0.2.99
	json "and the network around it" '.results | map(.action) | unique | join(",")' add log 192.0.2.0/24
	gate25 del 192.0.2.99 > /dev/null 2>&1
	says 0 "^TIME +USER" - log --limit 100
}

broken() {
	configure 'nonsense: 1'
	says 1 - "gate25.yaml:[0-9]+: .*nonsense" check
	json "check" '.results[0].ok' false check
	says 1 - "gate25.yaml:[0-9]+: .*nonsense.*stays so" reload
	check_not "the old state is in force" connects $LISTED
	json "a failure is on record as one" '.results[-1].action' "reload failed" log --limit 1
	configure 'threshold: "warning: 1"'
	says 1 - $'(^|\n)'"$CONFIG:[0-9]+: threshold: 'warning: 1' is not" reload
	check_not "and no more is said than that" grep -q "Invalid argument" $WORK/err
	configure 'threshold: 9'
	says 0 "threshold: 1 → 9" $'(^|\n)'"warning: $CONFIG:[0-9]+: all lists together" reload
	configure
	says 0 "threshold: 9 → 1" - reload
	configure 'nonsense: 1'
	says 0 "warning +$CONFIG cannot be used" "cannot be used" status
	says 0 "^paused" "warning: $CONFIG cannot be used" pause
	check "pause acts" connects $LISTED
	says 0 "^resumed" "warning" resume
	says 0 "." "warning" unblock $LISTED
	check "unblock acts" connects $LISTED
	gate25 allow del $LISTED > /dev/null 2>&1
	check_not "and is taken back" connects $LISTED
	says 0 "^BLOCKED" "warning" test $LISTED
	says 0 "mx0 is not guarded any more" "warning" unload
	check "unload acts" connects $LISTED
	configure
	says 0 "mx0 attached" - load
	check_not "and load" connects $LISTED
}

# It may be the file of another machine: what is not here is told, and no problem.
check_here() {
	says 0 "ok: " - check
	sed -i 's/^interfaces: .*/interfaces: [mx0, mx7]/' $CONFIG
	says 0 "ok: 2 interfaces" "^warning: $CONFIG:1: interface mx7 is not there now; [^"$'\n'"]*$" check
	configure
	sed -i 's/blocked.txt/nowhere.txt/' $CONFIG
	says 0 "ok: 1 interface" \
		"^warning: $CONFIG:[0-9]+: list blocked: $WORK/nowhere.txt is not there now" check
	json "warnings" '.results[0] | .ok, (.warnings | length), (.problems | length)' $'true\n1\n0' check
	install -m 600 -o nobody /dev/null $WORK/nowhere.txt
	says 0 "ok: " "^warning: $CONFIG:[0-9]+: list blocked: .* cannot be read now: permission denied" check
	rm $WORK/nowhere.txt
	configure
	says 0 . - reload
}

config_changed() {
	says 0 "^guarding" - status
	check_not "nothing is said of the configuration" grep -q "was changed" $WORK/out
	sleep 1.1
	configure 'threshold: 1'
	says 0 "gate25.yaml was changed after" - status
	says 0 . - reload
	run status
	check_not "after a reload it is not said any more" grep -q "was changed" $WORK/out
}

agent_alive() {
	local words
	check "the agent starts" guard_start
	check_not "and a listed one is stopped" connects $LISTED
	json "status knows it" '.results[0].agent.ok' true status
	says 0 "^GATE25 OK - guarding mx0" - status --check
	says 0 "^paused" - pause
	check "pause acts beside it" connects $LISTED
	says 1 "^GATE25 WARNING - PAUSED" - status --check
	says 0 "^resumed" - resume
	echo 198.51.100.77 >> $WORK/blocked.txt
	says 0 "blocked: 3 → 4 entries" - reload
	(kill -STOP "$agent"; sleep 3; kill -CONT "$agent") &
	sleep 0.2
	says 0 "^nothing changed" "^[^"$'\n'"]*waiting for gate25d .process $agent. to reload…$" reload
	as_nobody reload
	want "nobody's reload is not the agent's fault" "5 gate25 reload: run as root" "$? $(< $WORK/err)"
	as_nobody load
	want "nor is his load" "5 gate25 load: run as root" "$? $(< $WORK/err)"
	says 0 "^BLOCKED" - test 198.51.100.77
	configure 'nonsense: 1'
	says 1 - "gate25.yaml:[0-9]+: .*nonsense" reload
	configure
	cp $CONFIG $WORK/other.yaml
	gate25 unload mx0 > $WORK/out
	for words in reload load "load mx0"; do
		says 1 - "gate25d .process $agent. runs with $CONFIG, this command was given $WORK/other.yaml: nothing was done" \
			-c $WORK/other.yaml $words
	done
	check "what was unloaded stays so" connects $LISTED
	ln -s $CONFIG $WORK/same.yaml
	says 0 "." - -c $WORK/same.yaml load mx0
	says 0 "^list blocked only observes" - policy observe --list blocked
	check "a list's policy acts" connects $LISTED
	says 0 "^list blocked enforces" - policy default --list blocked

	says 0 "mx0 is not guarded any more" - unload
	sleep 1
	check "unload sticks while it runs" connects $LISTED
	says 4 "^NOT LOADED" - status
	guard_stop
	nsenter --net=/run/netns/gw -- "$BUILD/gate25d" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	sleep 1.5
	check "and over a start of the agent" connects $LISTED
	says 0 "." - load
	check_not "load puts it in force again" connects $LISTED
	kill -STOP "$agent"
	says 1 "^GATE25 WARNING - guarding.*the agent runs but does not answer" - status --check
	kill -CONT "$agent"
	check "the agent is killed" guard_kill
	says 0 "^paused" - pause
	check "pause acts with the agent dead" connects $LISTED
	says 0 "^resumed" - resume
	check_not "and resume" connects $LISTED
	says 1 "^GATE25 WARNING - guarding.*the agent does not run" - status --check
}

# Every command of these in a state in which it works.
all_json() {
	local line command
	while read -r command line; do
		run -j $command $line
		if is_json <<< "$out"; then
			ok "-j $command $line"
		else
			fail "-j $command $line" "$out" "$err"
		fi
		run $command $line -j
		check "$command $line -j" is_json <<< "$out"
	done <<-END
		status
		status --check
		test $GOOD $LISTED $LISTED6
		lists
		feeds
		log
		version
		check
		add 192.0.2.50 --for 1h
		add 192.0.2.50
		list
		del 192.0.2.50
		flush --origin nobody
		allow add 192.0.2.51
		allow list
		allow del 192.0.2.51
		unblock 192.0.2.52
		pause --for 1m
		resume
		policy observe
		policy enforce --service mx
		policy default --list blocked
		policy default
		reload
		unload
		load
	END
}

no_permission() {
	local command
	for command in status "test $GOOD" lists load unload pause resume "policy observe" reload \
		"add 192.0.2.1" "del 192.0.2.1" "unblock 192.0.2.1" list; do
		as_nobody $command
		want "nobody: $command -> 5" 5 $?
		check "  and is told what to do" grep -q "run as root" $WORK/err
	done
	as_nobody status --check
	want "nobody: status --check -> 3" 3 $?
	check "  in Nagios' words" grep -q "^GATE25 UNKNOWN - .*root" $WORK/out
	as_nobody check
	want "nobody: check -> 0" 0 $?
	as_nobody version
	want "nobody: version -> 0" 0 $?
	as_nobody --help
	want "nobody: --help -> 0" 0 $?
	check_not "and nothing happened" connects $LISTED
}

full_stdout() {
	in_ns gw "$BUILD/gate25" -c $CONFIG status > /dev/full 2> $WORK/err
	want "a full disk behind stdout is a failure" 1 $?
}

two_interfaces() {
	link_add gw mx1 192.0.2.26
	configure
	sed -i 's/^interfaces: .*/interfaces: [mx0, mx1]/' $CONFIG
	says 0 "mx1 attached" - load mx1
	says 0 "^guarding mx1 .native.: .*mx0 is not guarded: it was unloaded" - status
	check "the other one is not" connects $LISTED
	says 0 "mx0 attached" - load
	says 0 "^guarding mx[01] .native., mx[01] .native.:" - status
	check_not "now it is" connects $LISTED
	says 0 "^mx0 is not guarded any more$" - unload mx0
	check "one is taken off" connects $LISTED
	says 0 "mx0 is not guarded: it was unloaded; back with: gate25 load mx0" - status
	says 1 "^GATE25 WARNING - guarding mx1" - status --check
	says 0 "nothing changed" "mx0 stays unloaded" reload
	check "a reload does not attach it" connects $LISTED
	says 0 "mx0 attached" - load mx0
	check_not "load does" connects $LISTED
	says 0 $'mx0 is not guarded.*\nmx1 is not guarded.*\nnothing is guarded now' - unload
	configure
}

# Something removed a part of what is pinned: it can still be taken off.
damaged() {
	says 0 "mx0 attached" - load
	rm $PIN/secret
	says 1 - "$PIN/secret is missing" status
	says 3 "^GATE25 UNKNOWN" "is missing" status --check
	check_not "it goes on" connects $LISTED
	says 1 - "only all of it can be removed" unload mx0
	says 0 "all that was pinned in $PIN is removed" "is missing" unload
	check "and ends" connects $LISTED
	check_not "without a trace" [ -e $PIN ]
	says 0 "mx0 attached" - load
	rm -r $PIN/gen/*
	says 1 "^GATE25 WARNING - guarding mx0 .native., by what cannot be read:.*gate25 reload" \
		"pins are gone" status --check
	json "its state" '.results[0] | .state, .severity' $'unreadable\nwarning' status
	says 0 "^guarding mx0" "pins are gone" status
	check_not "which is true" connects $LISTED
	says 1 - "pins are gone" test $LISTED
	says 1 - "pins are gone" unblock $LISTED
	check "he is let in all the same" connects $LISTED
	says 0 . "pins are gone" allow del $LISTED
	says 0 . - reload
	says 0 "^guarding mx0 .native.: enforcing" - status
	check_not "made anew, it goes on" connects $LISTED
	rm $PIN/names
	says 4 "^NOT LOADED" - status
	says 0 "all that was pinned in $PIN is removed" - unload
	check "without its names too" connects $LISTED
}

unload() {
	says 1 - "there is no interface eth9; there are: mx0" unload eth9
	says 0 $'mx0 is not guarded any more\nnothing is guarded now' - unload mx0
	check_not "nothing is left pinned" [ -e $PIN ]
	check "and all connect" connects $LISTED
	says 4 - "nothing is pinned|not loaded" reload
	check "a reload does not load" connects $LISTED
}

net_start
sender good $GOOD
sender bad $LISTED $LISTED6 $OWN
printf '%s\n' $LISTED 203.0.113.67 2001:db8:bad::/48 > $WORK/blocked.txt
configure
check "Postfix starts" mail_server_start
usage
uninstall
not_loaded
load
test_says
words
words_lost
lists
changes
broken
check_here
config_changed
all_json
no_permission
full_stdout
agent_alive
unload
two_interfaces
damaged
mail_server_stop
finish
