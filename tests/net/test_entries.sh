#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Manual entries before a real mail server: add, del, flush, allow, unblock, list. What they say is
# what happens to connections; a batch is all or nothing, whatever ends it. No agent runs.
# timeout: 300
# shellcheck disable=SC2317,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

GOOD=198.51.100.10
BAD=203.0.113.66
BAD6=2001:db8:bad::66
LISTED=203.0.113.67
OWN=203.0.113.130 # on the allow list
ADMIN=198.51.100.22
OVERLAY=/sys/fs/bpf/gate25/overlay

configure() { # ENTRIES
	guard_config <<-END
		services: [{name: mx, ports: [25]}, {name: submission, ports: [587]}]
		policy: enforce
		overlay: {max_entries: ${1:-1000}}
		allow:
		  - {name: own, entries: [203.0.113.128/25, "2001:db8:a110::/48"]}
		lists:
		  - {name: blocked, entries: [$LISTED, 203.0.113.200]}
		metrics: {listen: "off"}
	END
}

connects() { # ADDR [PORT]
	local name=bad
	[ $1 != $GOOD ] || name=good
	smtp_connects $name $1 1 "${2:-25}"
}

input() { # LINE…, for what reads "-"
	printf '%s\n' "$@" > $WORK/input
}

entries() { # ARGUMENT…
	gate25 -j list "$@" | jq -r '.results | length'
}

nothing_left() {
	want "nothing is left over" "0" "$(entries)"
}

# ---------------------------------------------------------------- one section each

not_loaded() {
	says 4 "^blocked $BAD until .*Z \(manual: too early\)$" "not loaded.*it is kept, and holds" \
		add $BAD --for 1h --reason 'too early'
	says 4 "^allowed $OWN" "it is kept" allow add $OWN
	says 4 "$BAD +block +manual +all" "not loaded" list
	json "list" '.results | map(.address) | join(" ")' "$BAD $OWN" list
	want "with -j too" 4 $code
	says 4 "^removed $OWN" "it is kept" allow del $OWN
	says 4 - "not loaded.*there was no entry $OWN" allow del $OWN
	says 2 - "there is no service nope; there are: mx, submission" add $BAD --service nope
	check "everybody connects" connects $BAD
	check "load" quietly gate25 load
	check_not "what was added before holds now" connects $BAD
	says 0 "^removed $BAD$" - del $BAD
	check "and is taken back" connects $BAD
	nothing_left
}

add_del() {
	local address
	for address in $BAD $BAD6 ${BAD%.*}.64/29 2001:db8:bad::/64; do
		case $address in *:*) source=$BAD6 ;; *) source=$BAD ;; esac
		says 0 "^blocked $address \(manual\)$" "" add $address
		check_not "$source is stopped" connects $source
		says 0 "^refreshed $address until .*\(manual\)" "" add $address --for 1h
		json "there is one entry" '.results | map(.address) | join(" ")' $address list
		says 1 - "$address is there already.*nothing was changed" add $address --strict --for 1s
		says 0 "^removed $address$" - del $address
		check "$source connects again" connects $source
	done
	check "others did all the time" connects $GOOD
	says 0 - "there was no entry $BAD" del $BAD
	says 1 - "there is no entry $BAD.*nothing was changed" del $BAD --strict
	says 0 "^blocked $BAD6" "hint: .*whole /64, 2001:db8:bad::/64$" add $BAD6
	says 0 "^removed" - del $BAD6
	says 0 "^blocked 192.0.2.99 " - add 64:ff9b::c000:263 # as it is judged
	says 0 "^removed 192.0.2.99" - del ::ffff:192.0.2.99
	nothing_left
}

ends() {
	says 0 "^blocked $BAD until" - add $BAD --for 2s
	check_not "it is stopped" connects $BAD
	check "until its time is over" wait_for 10 connects $BAD
	says 0 "until 2099-01-02T03:04:05Z" - add $BAD --until 2099-01-02T03:04:05Z
	TZ=UTC-2 says 0 "until 2099-01-02T01:04:00Z" - add $BAD --until '2099-01-02 03:04'
	says 2 - "that time is over" add $BAD --until 2020-01-01
	says 2 - "not a time such as" add $BAD --until soon
	says 2 - "a duration such as" add $BAD --for soon
	says 2 - "a duration such as" add $BAD --for 0
	says 2 - "exclude each other" add $BAD --for 1h --until 2099-01-01
	says 0 "^removed" - del $BAD
	nothing_left
}

services() {
	says 0 "^blocked $BAD for submission \(manual\)" - add $BAD --service submission
	check "it connects to port 25" connects $BAD
	check_not "and not to 587" connects $BAD 587
	says 0 "^refreshed $BAD for mx,submission" - add $BAD --service mx --service submission
	check_not "both" connects $BAD
	check_not "are shut" connects $BAD 587
	says 2 - "there is no service nope; there are: mx, submission" add $BAD --service nope
	says 0 "^ALLOWED|^PASS" "removed the manual block" unblock $BAD
	nothing_left
}

batches() {
	input '# found today' '' "  $BAD  # spam" $BAD6 ' 198.51.100.128/25' $BAD
	INPUT=$WORK/input says 0 "198.51.100.128/25 .*blocked $BAD .*blocked $BAD6 " - \
		add - --reason batch
	want "three entries" 3 "$(entries)"
	check_not "they are stopped" connects $BAD
	check_not "over IPv6 too" connects $BAD6
	INPUT=$WORK/input says 0 "removed $BAD" - del -
	nothing_left

	input $BAD 203.0.113.300 '203.0.113.7/24' 'two words' 2001:db8::1/64 $BAD6
	INPUT=$WORK/input says 2 - \
		"line 2: 203.0.113.300: .*line 3: 203.0.113.7/24: host bits are set; the network is 203.0.113.0/24.*line 4: two words: one address.*line 5: .*the network is 2001:db8::/64.*nothing was changed" \
		add -
	nothing_left
	INPUT=$WORK/input says 2 - "line 2.*nothing was changed" del -

	input $BAD "$OWN # ours" $BAD6
	INPUT=$WORK/input says 1 - "^gate25 add: $OWN \(line 2\): allow list own covers it.*nothing was changed" add -
	nothing_left
	INPUT=$WORK/input says 0 "blocked $BAD " "skipped $OWN \(line 2\): allow list own covers it" \
		add - --origin script
	want "the others are there" 2 "$(entries --origin script)"
	check_not "and stopped" connects $BAD
	says 0 "^removed 2 entries of script$" - flush --origin script
	nothing_left

	input $BAD
	INPUT=$WORK/input says 0 - "there was no entry $BAD" del -
	INPUT=$WORK/input says 1 - "there is no entry $BAD \(line 1\)" del - --strict
	: > $WORK/input
	INPUT=$WORK/input says 0 - - add -
	says 2 - "an address is wanted" add
	says 1 - "$OWN: allow list" add $BAD $OWN
	nothing_left
}

# Who feeds a batch slowly holds up nobody.
slow_input() {
	mkfifo $WORK/slow
	gate25 add - --origin slow < $WORK/slow > $WORK/slow.out 2>&1 &
	local batch=$!
	exec 7> $WORK/slow
	echo $BAD >&7
	says 0 "^blocked $BAD6" . add $BAD6
	exec 7>&-
	wait $batch
	want "and then its batch is applied" "0 1" "$? $(entries --origin slow)"
	says 0 . "" del $BAD $BAD6
	nothing_left
}

# nsenter becomes the server and the client: these are the processes to signal.
servers=()
ssh_sees() { # PORT
	in_ns gw ss -Htn state established "sport = :$1" | grep -q $ADMIN
}

# shellcheck disable=SC2016 # it is perl's
ssh_starts() { # PORT
	nsenter --net=/run/netns/gw -- perl -MIO::Socket::INET6 -e '
		$listener = IO::Socket::INET6->new(Listen => 9, LocalPort => shift, ReuseAddr => 1,
						   Domain => AF_INET6) or die $!;
		push @open, scalar $listener->accept while 1' $1 &
	servers+=($!)
	nsenter --net=/run/netns/bad -- perl -MIO::Socket::INET -e '
		for (1 .. 50) {
			last if $open = IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 1,
				LocalAddr => $ARGV[1], PeerPort => $ARGV[2]);
			select undef, undef, undef, 0.1;
		}
		sleep 600' $GW4 $ADMIN $1 &
	servers+=($!)
	wait_for 5 ssh_sees $1
}

ssh_ends() {
	kill "${servers[@]}"
	wait "${servers[@]}" 2> /dev/null
	servers=()
}

refusals() {
	says 1 - "^gate25 add: $GW4: it is an address of this host; --force.*nothing was changed" add $GW4
	says 1 - "192.0.2.0/24: it holds $GW4, and it is an address of this host" add 192.0.2.0/24
	says 1 - "$GW6: it is an address of this host" add $GW6
	says 1 - "$OWN: allow list own covers it" add $OWN
	says 1 - "203.0.113.128/26: allow list own covers it" add 203.0.113.128/26
	says 1 - "2001:db8:a110:1::/64: allow list own covers it" add 2001:db8:a110:1::/64
	says 1 - "198.50.0.0/15: it is shorter than /16" add 198.50.0.0/15
	says 1 - "2001:d00::/31: it is shorter than /32" add 2001:d00::/31
	says 0 "^allowed $BAD" - allow add $BAD
	says 1 - "$BAD: allow entry $BAD covers it" add $BAD
	says 0 "^blocked ${BAD%.*}.64/29 " "of ${BAD%.*}.64/29, $BAD stays allowed" add ${BAD%.*}.64/29
	check "it does" connects $BAD
	says 0 . "" del ${BAD%.*}.64/29
	says 0 "^removed $BAD" - allow del $BAD

	check "somebody is logged in by ssh" ssh_starts 22
	says 1 - "$ADMIN: an ssh session from it is open" add $ADMIN
	says 1 - "198.51.100.0/24: it holds $ADMIN" add 198.51.100.0/24
	ssh_ends
	check "and another on a port of his own" ssh_starts 2222
	says 0 "^blocked $ADMIN" - add $ADMIN # which nobody could know
	says 0 . "" del $ADMIN
	says 0 "^blocked 198.51.100.23 " - add 198.51.100.23
	SSH_CONNECTION="198.51.100.23 4711 $GW4 2222" \
		says 1 - "198.51.100.23: your own ssh session comes from it" add 198.51.100.23
	SSH_CONNECTION="198.51.100.23 4711 $GW4 2222" \
		says 1 - "$ADMIN: an ssh session from it is open" add $ADMIN
	# sudo takes the variable away; the shell above still has it
	SSH_CONNECTION="198.51.100.23 4711 $GW4 2222" bash -c \
		"env -u SSH_CONNECTION nsenter --net=/run/netns/gw $BUILD/gate25 -c $CONFIG add $ADMIN; exit \$?" \
		> $WORK/out 2> $WORK/err
	want "nor where sudo hides it" 1 $?
	check "and it says why" grep -q "$ADMIN: an ssh session from it is open" $WORK/err
	ssh_ends
	says 0 . "" del 198.51.100.23
	nothing_left
}

forced() {
	check "who is on the allow list connects" connects $OWN
	says 0 "^blocked $OWN \(manual\)" - add $OWN --force
	check_not "not when he is blocked by force" connects $OWN
	json "list" '.results[0] | .kind, .shadowed' $'forced\nfalse' list
	says 0 "^allowed $OWN" - allow add $OWN # later, at the same length
	check "a later allow entry lets him in" connects $OWN
	json "the forced one is without effect" '.results | map("\(.kind) \(.shadowed)") | join(" ")' \
		"allow false forced true" list
	says 0 "^refreshed $OWN" - add $OWN --force
	check_not "and the other way round" connects $OWN
	says 0 "^removed" "." allow del $OWN
	says 0 "^removed $OWN" - del $OWN
	check "without both he connects" connects $OWN
	says 0 "^blocked 203.0.0.0/15" - add 203.0.0.0/15 --force
	check_not "short prefixes by force" connects $BAD
	says 0 "^removed" - del 203.0.0.0/15
	says 0 "^blocked $BAD" - add $BAD --force
	says 0 "^refreshed $BAD" - add $BAD
	json "the last word holds" '.results | map(.kind) | join(" ")' block list
	says 0 "^removed" - del $BAD
	nothing_left
}

origins() {
	says 0 "\(fail2ban\)" - add $BAD --for 1h --origin fail2ban
	says 0 "\(manual\)" - add $BAD --for 2h
	want "an entry each" 2 "$(entries)"
	want "of which one is fail2ban's" 1 "$(entries --origin fail2ban)"
	says 0 "^removed $BAD" "$BAD stays blocked: manual block $BAD until" del $BAD --origin fail2ban
	check_not "the other's still holds" connects $BAD
	says 0 "\(cron\)" - add $BAD --for 1s --origin cron
	sleep 1.2
	check_not "the longer one after the shorter is over, too" connects $BAD
	says 0 "^blocked 192.0.2.77" - add 192.0.2.77 192.0.2.78 --origin cron
	says 0 "^allowed 192.0.2.79" - allow add 192.0.2.79
	says 2 - "--origin NAME is wanted" flush
	says 0 "^removed 2 entries of cron$" - flush --origin cron
	says 0 "^removed 1 entry of manual$" - flush --origin manual
	json "allow entries stay" '.results | map(.address) | join(" ")' 192.0.2.79 list
	check "all of $BAD is gone" connects $BAD
	json "flush" '.results | length' 0 flush --origin manual
	says 2 - "automatic bans" add $BAD --origin auto
	says 2 - "a name of letters" add $BAD --origin 'a b'
	says 0 . - allow del 192.0.2.79
	nothing_left
}

# An automatic ban, as a later version writes them. The bit of its length stands already; in the filter all bits are set.
ban() { # HEX OF ADDR, HOST BYTE ORDER, AS IN THE MAP
	local until
	# shellcheck disable=SC2046
	bpftool map update pinned "${OVERLAY%/*}/filter" key hex 0 0 0 0 value hex $(printf 'ff %.0s' {1..65536})
	until=$(awk '{ printf "%.0f", ($1 + 1000) * 1e9 }' /proc/uptime)
	# shellcheck disable=SC2046
	bpftool map update pinned $OVERLAY \
		key hex 0 0 0 0 0 0 0 0 $1 0 0 0 0 04 20 0 0 0 0 0 0 \
		value hex $(printf '0 %.0s' {1..48}) \
		$(for shift in 0 8 16 24 32 40 48 56; do printf '%02x ' $(((until >> shift) & 255)); done) \
		0 0 0 0 ff 0 0 0
}

bans() {
	quietly gate25 add 192.0.2.200 # so that /32 is looked for
	local hex='42 71 00 cb' # 203.0.113.66
	ban "$hex"
	check_not "a banned one is stopped" connects $BAD
	json "list shows it" '.results[] | select(.address == "'$BAD'") | .kind, .origin, .services' \
		$'ban\nauto\nall' list
	json "under its origin" '.results | length' 1 list --origin auto
	says 0 - "there was no entry $BAD.*$BAD stays blocked: automatic ban $BAD" del $BAD --origin manual
	says 0 "^removed $BAD" - del $BAD
	check "del ends it" connects $BAD
	ban "$hex"
	says 0 "^removed 1 entry of auto" - flush --origin auto
	check "flush ends it" connects $BAD
	ban "$hex"
	says 0 "^allowed ${BAD%.*}.64/26" "1 automatic ban ended" allow add ${BAD%.*}.64/26
	says 0 "^removed ${BAD%.*}.64/26" - allow del ${BAD%.*}.64/26
	check "an allow entry around it ends it for good" connects $BAD
	ban "$hex"
	says 0 "^PASS $BAD" "removed the automatic ban of $BAD" unblock $BAD
	check "unblock ends it" connects $BAD
	ban "$hex"
	says 0 "^blocked $BAD" - add $BAD --origin cron
	says 0 "^removed" "stays blocked: automatic ban" del $BAD --origin cron
	check_not "a ban outlives the entry beside it" connects $BAD
	says 0 "removed 192.0.2.200" "" del $BAD 192.0.2.200
	nothing_left
}

allow() {
	check_not "a listed one is stopped" connects $LISTED
	says 0 "^allowed $LISTED until .*Z$" - allow add $LISTED --for 1h --reason 'ticket 12'
	check "an allow entry lets him in" connects $LISTED
	says 0 "^refreshed $LISTED for submission" - allow add $LISTED --service submission
	check_not "for the service that it names" connects $LISTED
	json "allow list" '.results[] | .address, .kind, .services, .expires' \
		"$LISTED"$'\nallow\nsubmission\nnever' allow list
	says 0 "$LISTED +allow +manual +submission +never" - allow list
	says 0 "^removed $LISTED" "$LISTED is now blocked: list blocked" allow del $LISTED
	says 1 - "there is no entry" allow del $LISTED --strict
	says 0 "^blocked $BAD" - add $BAD
	says 0 "^allowed" "1 manual block is in .* without effect now" allow add ${BAD%.*}.0/25
	check "it lies over a manual block" connects $BAD
	json "which is shown as shadowed" \
		'.results[] | select(.kind == "block") | .shadowed, .shadowed_by' \
		$'true\nallow entry 203.0.113.0/25' list
	says 0 "^refreshed $BAD" - add $BAD --force
	check_not "and under a longer forced one" connects $BAD
	says 0 "^refreshed" "$BAD stays blocked .forced" allow add ${BAD%.*}.0/25
	says 0 . "" allow del ${BAD%.*}.0/25
	says 0 . "" del $BAD
	says 1 - "gate25 pause lets everybody in" allow add 0.0.0.0/0
	says 2 - "one of add, del and list" allow
	says 2 - "one of add, del and list" allow blah
	nothing_left
}

unblock() {
	says 0 "^PASS $BAD" - unblock $BAD
	nothing_left
	says 0 . - add $BAD --for 1h
	says 0 "^PASS $BAD" "removed the manual block of $BAD" unblock $BAD
	nothing_left
	says 0 "^ALLOWED $LISTED .*manual allow $LISTED until" - unblock $LISTED
	check "a listed one is in" connects $LISTED
	json "for a day" '.results[0] | (.expires | fromdate) - now | . > 86300 and . <= 86400' true list
	says 0 "^ALLOWED" - unblock $LISTED
	want "asked again there is one entry" 1 "$(entries)"
	says 0 . "" allow del $LISTED

	says 0 . - add ${BAD%.*}.64/29
	says 0 "^ALLOWED $BAD" - unblock $BAD --for 1h
	check "of a wider block, he alone is let in" connects $BAD
	json "the wider block is left alone" '.results | map(.kind) | join(" ")' "block allow" list
	json "for as long as was asked" '.results[1] | (.expires | fromdate) - now | . > 3500 and . <= 3600' \
		true list
	says 0 . "" allow del $BAD
	says 0 . - add ${BAD%.*}.64/29 --force
	says 0 "^ALLOWED $BAD" - unblock $BAD
	check "of a wider forced block too" connects $BAD
	says 0 . "" del ${BAD%.*}.64/29
	says 0 . "" allow del $BAD

	says 0 . - add ${BAD6%66}/64 --service submission
	says 0 "^ALLOWED $BAD6" - unblock $BAD6
	check "at another service than mail too" connects $BAD6 587
	json "unblock" '.results[0] | .address' $BAD6 unblock $BAD6
	says 0 . "" del ${BAD6%66}/64
	says 0 . "" allow del $BAD6
	says 2 - "one address is wanted" unblock
	says 2 - "not a network" unblock 192.0.2.0/24
	nothing_left
}

listing() {
	input 192.0.2.1 192.0.2.2 2001:db8:1::/48 198.51.100.0/30
	INPUT=$WORK/input says 0 "^blocked" - add - --origin cron --reason 'a reason, with commas' --for 1h
	json "list, in order" '.results | map(.address) | join(" ")' \
		"192.0.2.1 192.0.2.2 198.51.100.0/30 2001:db8:1::/48" list
	json "with all there is to know" \
		'.results[0] | .kind, .origin, .services, .reason, .shadowed, (.expires | fromdate > now)' \
		$'block\ncron\nall\na reason, with commas\nfalse\ntrue' list
	json "no more than asked for" '.results | length' 2 list --limit 2
	json "of another origin there is none" '.results | length' 0 list --origin manual
	says 0 "ADDRESS +KIND +ORIGIN +SERVICES +EXPIRES +REASON" - list
	says 2 - "--limit 0" list --limit 0
	says 2 - "no address is wanted" list 192.0.2.1
	says 2 - "one line of UTF-8" add 192.0.2.1 --reason $'two\nlines'
	says 2 - "one line of UTF-8" add 192.0.2.1 --reason $'\xff'
	says 2 - "more than 159 bytes" add 192.0.2.1 --reason "$(printf 'x%.0s' {1..160})"
	says 0 "^removed 4 entries of cron" - flush --origin cron
	nothing_left
}

records() {
	says 0 . - add 192.0.2.50 --origin cron --reason why --for 1h
	json "add is on record" \
		'.results[-1] | .action, (.targets | join(" ")), .after.origin, .after.reason, .user' \
		$'add\n192.0.2.50\ncron\nwhy\nroot' log 192.0.2.50
	says 0 . "" del 192.0.2.50
	json "del, with what there was" '.results[-1] | .action, .before[0].origin' $'del\ncron' log 192.0.2.50
	says 0 . - add 192.0.2.50
	says 0 . "" unblock 192.0.2.50
	json "unblock is one record" '.results | map(.action) | join(" ")' "add del add unblock" log 192.0.2.50
	local before
	before=$(gate25 -j log --limit 1000 | jq '.results | length')
	says 1 - . add $OWN
	says 0 - "no entry" del 192.0.2.51
	want "what changed nothing is not" $before "$(gate25 -j log --limit 1000 | jq '.results | length')"
}

observed() {
	check "policy observe" quietly gate25 policy observe
	says 0 "^blocked $BAD" "the guard only observes, and nobody is stopped" add $BAD
	check "it connects" connects $BAD
	check "policy enforce" quietly gate25 policy default
	check "pause" quietly gate25 pause
	says 0 "^refreshed $BAD" "it is paused, and nobody is stopped" add $BAD
	check "resume" quietly gate25 resume
	check_not "now it is stopped" connects $BAD
	says 0 "^removed" - del $BAD
}

# What has no end is not read without end, and not kept without bounds.
too_many() {
	local i limit=200000 # KiB
	for ((i = 0; i < 1001; i++)); do echo 10.1.$((i / 256)).$((i % 256)); done > $WORK/input
	INPUT=$WORK/input says 1 - "^gate25 add: more than 1000 different .*overlay.max_entries.*Nothing was changed$" add -
	want "nothing was" 0 "$(entries)"
	INPUT=$WORK/input says 0 . "^$" del -
	for ((i = 0; i < 5000; i++)); do echo 10.2.0.$((i % 2)); done > $WORK/input
	INPUT=$WORK/input says 0 $'^blocked 10.2.0.0 [^\n]*\nblocked 10.2.0.1 [^\n]*$' - add -
	INPUT=$WORK/input says 0 "^removed" - del -
	nothing_left
	INPUT=/dev/zero says 2 - "line 1: longer than" add -
	(ulimit -v $limit; yes 10.2.0.0 | gate25 add -) > $WORK/out 2> $WORK/err
	want "lines without end" 1 $?
	check "are said to be" grep -q "no end. Nothing was changed" $WORK/err
	nothing_left
}

full_overlay() {
	local i
	for ((i = 0; i < 999; i++)); do echo 10.0.$((i / 256)).$((i % 256)); done > $WORK/input
	INPUT=$WORK/input says 0 "^blocked 999 addresses and networks \(manual\), 0 of them refreshed" - add -
	says 1 - "overlay.max_entries.*nothing was changed" add $BAD $BAD6
	check "nothing was applied" connects $BAD
	want "nor kept" 999 "$(entries)"
	says 0 "^blocked $BAD" - add $BAD
	says 1 - "overlay.max_entries" add $BAD6
	says 0 "^refreshed $BAD until" - add $BAD --for 1h
	INPUT=$WORK/input says 0 "^removed 999 of 999" - del -
	says 0 "^blocked $BAD6" . add $BAD6
	says 0 . "" del $BAD $BAD6
	nothing_left
}

# Whoever has to be let in is, disk or not.
let_in() { # WHY NOT KEPT
	local before
	before=$(entries)
	says 1 "^ALLOWED $LISTED" \
		"cannot write .*entries.journal: $1; it is in force.*but not kept on disk .$1." \
		unblock $LISTED
	check "unblock acts" connects $LISTED
	says 1 "^allowed 192.0.2.61" "but not kept on disk .$1." allow add 192.0.2.61
	says 3 "^ALLOWED 192.0.2.61" - test 192.0.2.61
	says 1 - "$1.*nothing was changed" add 192.0.2.62
	want "on disk it is as it was" $before "$(entries)"
}

# A file system of its own for the journal, with nothing left on it.
full_disk() {
	mount -t tmpfs -o size=96k full $WORK/state
	says 0 . - add $BAD --for 1h
	dd if=/dev/zero of=$WORK/state/ballast bs=1k 2> $WORK/dd.log
	for ((i = 0; i < 500; i++)); do echo 10.0.$((i / 256)).$((i % 256)); done > $WORK/input
	INPUT=$WORK/input says 1 - "No space left on device; nothing was changed: free some space" add -
	want "nothing of it is there" 1 "$(entries)"
	check_not "what was there holds" connects $BAD
	says 0 "warning +$WORK/state cannot be written .No space left on device.: .* is not kept" - status
	# What is left of the journal's last page.
	for ((i = 0; i < 100; i++)); do gate25 add 10.9.0.$i > /dev/null 2>&1 || break; done
	let_in "No space left on device"
	rm $WORK/state/ballast
	check "a load" quietly gate25 load
	check_not "goes back to what was kept" connects $LISTED
	says 0 . - flush --origin manual
	says 0 . - add $BAD --for 1h
	mount -o remount,ro $WORK/state
	let_in "Read-only file system"
	says 1 "^PASS $BAD" "removed the manual block.*but not kept on disk" unblock $BAD
	check "of a manual block, too" connects $BAD
	mount -o remount,rw $WORK/state
	check "a load" quietly gate25 load
	check_not "goes back to it" connects $BAD
	INPUT=$WORK/input says 0 "^blocked 500" - add -
	want "with space it goes on" 501 "$(entries)"
	umount $WORK/state
	# The journal from before is another one; whoever opens it puts the overlay right.
	says 0 "^blocked $BAD6" . add $BAD6
	check_not "which says what is in force" connects $BAD6
	check "gate25 load brings both in step" quietly gate25 load
	check "and what is not in the journal is gone" connects $BAD
	says 0 . "" del $BAD6
	nothing_left
}

damaged() {
	says 0 . - add $BAD
	says 0 . - add 192.0.2.60
	local journal=$WORK/state/entries.journal
	cp $journal $WORK/whole
	truncate -s -3 $journal
	says 0 "^blocked 192.0.2.61" "last change was not written whole.*1 entries kept" add 192.0.2.61
	check_not "what was whole holds" connects $BAD
	json "the rest is there" '.results | map(.address) | join(" ")' "192.0.2.61 $BAD" list
	printf 'x' | dd of=$journal bs=1 seek=40 conv=notrunc 2> $WORK/dd.log
	says 0 "^blocked 192.0.2.62" "is damaged at byte .*entries.journal.damaged.*gate25 log" add 192.0.2.62
	check "the original is kept" [ -s $journal.damaged ]
	printf 'GATE25J9' | dd of=$journal bs=1 conv=notrunc 2> $WORK/dd.log
	says 1 - "another version of gate25" add 192.0.2.63
	cp $WORK/whole $journal
	says 0 "removed $BAD" - del $BAD 192.0.2.60
	rm $journal.damaged
	nothing_left
}

# Whatever was reported is in the journal and in force, and a batch is there whole or not at all.
killed() {
	local round pid reported=0 torn=0 lost=0 i
	for ((round = 0; round < 30; round++)); do
		for ((i = 0; i < 50; i++)); do echo 10.1.$round.$i; done > $WORK/input
		"$BUILD/gate25" -c $CONFIG add - --origin killed < $WORK/input > $WORK/killed.out 2>&1 &
		pid=$!
		sleep "0.0$((RANDOM % 40 / 10))$((RANDOM % 10))"
		kill -9 $pid 2> /dev/null
		wait $pid 2> /dev/null
		if grep -q "^blocked 50" $WORK/killed.out; then
			reported=$((reported + 1))
			echo "10.1.$round." >> $WORK/reported
		fi
	done
	gate25 -j list --origin killed | jq -r '.results[].address' > $WORK/kept
	for ((round = 0; round < 30; round++)); do
		i=$(grep -c "^10\.1\.$round\." $WORK/kept)
		[ $i -eq 0 ] || [ $i -eq 50 ] || torn=$((torn + 1))
		if grep -qxF "10.1.$round." $WORK/reported && [ $i -ne 50 ]; then lost=$((lost + 1)); fi
	done
	want "30 batches killed: none is there in part" 0 $torn
	want "$reported of them were reported: none is lost" 0 $lost
	says 0 . - add $BAD # which brings the overlay up to date, should it be behind
	gate25 test - < $WORK/kept | cut -d' ' -f1 | sort | uniq -c > $WORK/verdicts
	want "and what is there is in force" "$(wc -l < $WORK/kept) BLOCKED" "$(xargs < $WORK/verdicts)"
	says 0 . - flush --origin killed
	says 0 . "" del $BAD
	nothing_left
}

hundred_thousand() {
	configure 200000
	check "a larger overlay" quietly gate25 reload
	local i start took
	for ((i = 0; i < 100000; i++)); do echo "10.$((i >> 16)).$((i >> 8 & 255)).$((i & 255))"; done \
		> $WORK/input
	start=$(date +%s%N)
	INPUT=$WORK/input says 0 "^blocked 100000 " - add - --origin big --for 24h
	took=$((($(date +%s%N) - start) / 1000000))
	echo "# add - of 100,000 lines: $took ms"
	check "100,000 lines in under 2 s" [ $took -lt 2000 ]
	says 3 "^BLOCKED 10.1.134.159 .*"$'\n'"PASS 10.1.134.160 " - test 10.1.134.159 10.1.134.160
	start=$(date +%s%N)
	says 0 . - add $BAD
	echo "# one more: $((($(date +%s%N) - start) / 1000000)) ms"
	INPUT=$WORK/input says 0 "^removed 100000 of 100000" - del -
	INPUT=$WORK/input says 0 "^blocked 100000 " - add - --origin big
	start=$(date +%s%N)
	says 0 "^removed 100000 entries|^removed 100,000 entries" - flush --origin big
	took=$((($(date +%s%N) - start) / 1000000))
	echo "# flush: $took ms"
	check "and gone in as little" [ $took -lt 2000 ]
	says 0 . "" del $BAD
	nothing_left
}

net_start
sender good $GOOD
sender bad $BAD $BAD6 $LISTED $OWN $ADMIN
configure
check "Postfix starts" mail_server_start
check "a first connection" connects $BAD
for section in not_loaded add_del ends services batches slow_input refusals forced origins bans \
	allow unblock listing records observed too_many full_overlay full_disk damaged killed hundred_thousand; do
	echo "# $section"
	$section
done
finish
