#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Loading lists of a million lines: what the agent answers meanwhile, what it keeps of it in memory,
# how many generations stand; that a list which did not change is not parsed again, and that one
# which could not be put in force is tried again.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

MILLION=1000000
ANSWERS=10 # at least, while two million lines are loaded
KIB_BACK=$((8 * 1024))	  # what memory may differ by, before and after
KIB_TABLE=$((24 * 1024)) # what a million random hosts may take in the kernel

# Distinct hosts in no order, none of them in use here: a generator of full period.
hosts() { # COUNT
	awk -v count="$1" 'BEGIN {
		while (n < count) {
			x = (x * 1664525 + 1013904223) % 4294967296
			first = int(x / 16777216)
			if (first < 1 || first == 127 || first == 192 || first > 223)
				continue
			n++
			printf "%d.%d.%d.%d\n", first, x / 65536 % 256, x / 256 % 256, x % 256
		}
	}'
}

hosts6() { # COUNT
	awk -v count="$1" 'BEGIN {
		for (i = 0; i < count; i++)
			printf "2001:db8:%x:%x::%x\n", i * 7919 % 65536, i / 65536 + 1, i * 104729 % 65536
	}'
}

# A file that is put in place whole, and not so young that it is read again to be sure.
place() { # FILE
	cp "$1" $WORK/list.part
	touch -d "-$((RANDOM % 1000 + 60)) seconds" $WORK/list.part
	mv $WORK/list.part $WORK/list.txt
}

memory() { # FIELD of /proc/PID/status, in KiB
	awk -v field="$1:" '$1 == field { print $2 }' /proc/$agent/status
}

generations() {
	find /sys/fs/bpf/gate25/gen -mindepth 1 -maxdepth 1 2> /dev/null | wc -l
}

generations_are() { # COUNT
	[ "$(generations)" -eq "$1" ]
}

at_most() { # MOST VALUE
	[ "$2" -le "$1" ] || { echo "# $2 is more than $1"; return 1; }
}

at_least() { # LEAST VALUE
	[ "${2:-0}" -ge "$1" ] || { echo "# $2 is less than $1"; return 1; }
}

entries_are() { # COUNT
	[ "$(metric gate25_entries list=big)" -eq "$1" ]
}

# Another file stands there each time that it is parsed.
image() {
	stat -c '%i %y' $WORK/state/lists/big.img
}

# ---------------------------------------------------------------- the loop has time

answers_start() {
	[ -p $WORK/answers.end ] || mkfifo $WORK/answers.end
	in_ns gw "$BUILD/tests/net/answers" 9925 $WORK/run/gate25d.sock \
		< $WORK/answers.end > $WORK/answers.out 2> $WORK/answers.log &
	asking=$!
	exec {answers_end}> $WORK/answers.end
}

answers_finish() {
	exec {answers_end}>&-
	wait "$asking" || { sed 's/^/# /' $WORK/answers.log; return 1; }
	sed 's/^/# /' $WORK/answers.out
}

answers_while_loading() {
	awk '{ print $4 }' $WORK/answers.out
}

# Somebody else may hold the kernel's lock on links for as long as a load takes: of three, the best.
test_answers() {
	local most=0
	for _ in 1 2 3; do
		place $WORK/few.txt
		quietly gate25 reload
		place $WORK/both.txt
		answers_start
		quietly gate25 reload || fail "two million lines come into force"
		answers_finish || fail "metrics and status are answered all the time"
		[ "$(answers_while_loading)" -le $most ] || most=$(answers_while_loading)
		[ $most -lt $ANSWERS ] || break
	done
	check "two million lines and 100,000 of IPv6 are in force" entries_are $((2 * MILLION + 100000))
	check "while they were loaded, metrics and status were answered" at_least $ANSWERS $most
}

# ---------------------------------------------------------------- memory

# Of the maps of a pinned generation, in KiB.
kernel_memory() {
	local map sum=0
	for map in /sys/fs/bpf/gate25/gen/*/{table,classes,class_hits,generation}; do
		sum=$((sum + $(bpftool -j map show pinned "$map" | jq .bytes_memlock)))
	done
	echo $((sum / 1024))
}

test_memory() {
	local before after peak
	place $WORK/few.txt
	quietly gate25 reload
	before=$(memory VmRSS)
	echo 5 > /proc/$agent/clear_refs # VmHWM begins anew
	place $WORK/a.txt
	check "a million lines come into force" quietly gate25 reload
	check "all of them" entries_are $MILLION
	after=$(memory VmRSS) peak=$(memory VmHWM)
	echo "# resident: $before KiB before, $peak at most, $after after"
	check "it took memory for that" at_least $((before + KIB_BACK)) "$peak"
	check "and gave it back" at_most $((before + KIB_BACK)) "$after"
	check "the generation before is gone" wait_for 15 generations_are 1
	check "a million hosts take at most 24 MiB in the kernel" at_most $KIB_TABLE "$(kernel_memory)"
	echo "# kernel: $(kernel_memory) KiB"
}

test_generations() {
	local most=0 count list
	for list in b a b a b a; do
		place $WORK/$list.txt
		quietly gate25 reload
		count=$(generations)
		[ "$count" -le $most ] || most=$count
	done
	check "however fast loads follow each other, two generations stand" at_most 2 $most
	check "and soon one" wait_for 15 generations_are 1
}

# ---------------------------------------------------------------- what did not change

reload_done() {
	grep -q "$1" $WORK/agent.log
}

test_unchanged() {
	local first size
	place $WORK/a.txt
	quietly gate25 reload
	first=$(image)
	sleep 3 # until the file is so old that how it looks is believed
	quietly gate25 reload
	quietly gate25 reload
	want "a reload leaves the image of an unchanged list" "$first" "$(image)"
	kill -HUP "$agent"
	sleep 0.2
	quietly gate25 reload # comes behind it
	want "so does SIGHUP" "$first" "$(image)"
	guard_stop
	check "the agent starts again" guard_start
	quietly gate25 reload
	want "so does a start" "$first" "$(image)"
	check "with all of it in force" entries_are $MILLION

	# The same size, the same time of change, the same inode; one address is another one.
	size=$(stat -c %s $WORK/list.txt)
	touch -r $WORK/list.txt $WORK/stamp
	printf '12' | dd of=$WORK/list.txt conv=notrunc status=none
	touch -r $WORK/stamp $WORK/list.txt
	want "(it has the same size)" "$size" "$(stat -c %s $WORK/list.txt)"
	quietly gate25 reload
	check_not "one address that changed is not missed" test "$first" = "$(image)"
	run test "$(head -n 1 $WORK/list.txt)"
	want "it is in force" 0 $code
}

# ---------------------------------------------------------------- what could not be put in force

blocked() { # ADDRESS
	gate25 test "$1" > /dev/null
}

# The numbers of lists cannot be read for a while: the generation with a list that was read fails.
test_again() {
	place $WORK/few.txt
	quietly gate25 reload
	: > $WORK/agent.log
	mv $WORK/state/ids.json $WORK/ids.kept
	ln -s ids.json $WORK/state/ids.json # which leads to itself
	echo 192.0.2.79 > $WORK/small.txt
	check "a refresh that fails is told" \
		wait_for 20 grep -q "what was in force before stays in force" $WORK/agent.log
	rm $WORK/state/ids.json
	mv $WORK/ids.kept $WORK/state/ids.json
	check_not "it changed nothing" blocked 192.0.2.79
	check "it is tried again, though the list does not change any more" \
		wait_for 25 blocked 192.0.2.79
}

# ----------------------------------------------------------------

net_start
guard_config <<-END
	ports: [25]
	policy: enforce
	lists:
	  - {name: big, file: $WORK/list.txt, format: plain, refresh: 1h}
	  - {name: small, file: $WORK/small.txt, format: plain, refresh: 10s}
	metrics: {listen: "127.0.0.1:9925"}
END
hosts $((2 * MILLION)) > $WORK/both.txt
head -n $MILLION $WORK/both.txt > $WORK/a.txt
tail -n $MILLION $WORK/both.txt > $WORK/b.txt
hosts6 100000 >> $WORK/both.txt
echo 192.0.2.77 > $WORK/few.txt
echo 192.0.2.78 > $WORK/small.txt
place $WORK/few.txt
if guard_start; then
	test_answers
	test_memory
	test_generations
	test_unchanged
	test_again
	guard_stop
else
	fail "the agent does not start"
fi
finish
