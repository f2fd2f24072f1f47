#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Scores and their reasons: weights of several lists, negative ones, the threshold; each list with its weight and what it
# says of the address itself, out of a file and out of the copy that is kept of what a real nginx served.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

web_start() {
	mkdir -p $WORK/web/root
	nginx_configure off <<-END
		server { listen 127.0.0.1:80; root $WORK/web/root; }
	END
	nsenter --net=/run/netns/gw -- nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns gw curl -s -o /dev/null http://127.0.0.1/
}

lists() {
	# shellcheck disable=SC2016 # the zone's own $
	printf ':127.0.0.2:Listed, see http://bl.example/$\n203.0.113.0/24\n203.0.113.7 :5:spam trap, seen today\n' \
		> $WORK/zone
	printf '203.0.113.7 ; SBL123\n203.0.113.8\n203.0.113.9\n203.0.113.0/26 ; SBL124\n' > $WORK/web/root/drop.txt
	printf '203.0.113.8\n' > $WORK/trusted.txt
	guard_config <<-END
		policy: enforce
		threshold: 3
		metrics: {listen: "127.0.0.1:9925"}
		lists:
		  - {name: zone, file: $WORK/zone, format: rbldnsd, weight: 2}
		  - {name: web, url: "http://127.0.0.1/drop.txt", insecure: true, format: plain, weight: 2}
		  - {name: trusted, file: $WORK/trusted.txt, weight: -2}
	END
	quietly gate25 load
	quietly gate25 reload
}

reasons() {
	says 0 '^BLOCKED 203.0.113.7 mx: lists zone \(weight 2\): 203.0.113.* "spam trap, seen today", web \(weight 2\): .*"203.0.113.7 ; SBL123"; sum 4 of 3$' - \
		test 203.0.113.7
	says 0 '^BLOCKED 203.0.113.9 mx: lists zone \(weight 2\): 203.0.113.0/24 "Listed, see http://bl.example/203.0.113.9", web .*; sum 4 of 3$' - \
		test 203.0.113.9
	says 3 '^PASS 203.0.113.8 mx: lists zone \(weight 2\).*, web \(weight 2\): .*, trusted \(weight -2\): 203.0.113.8; sum 2 of 3, below the threshold$' - \
		test 203.0.113.8
	says 3 '^PASS 203.0.113.200 mx: list zone \(weight 2 of 3\): .*"Listed, see .*203.0.113.200", below the threshold$' - \
		test 203.0.113.200
	says 3 '^PASS 192.0.2.1 mx: on no list$' - test 192.0.2.1
	json "for machines" '.results[0].lists[] | "\(.name) \(.weight) \(.text)"' \
		$'zone 2 spam trap, seen today\nweb 2 203.0.113.7 ; SBL123' test 203.0.113.7
	says 0 'read as +rbldnsd' - lists show zone
	says 0 'read as +plain, by its content' - lists show trusted
	check "what decided is what happens" smtp_refused 203.0.113.7
	check "negative weight lets in" smtp_connects client 203.0.113.8
}

smtp_refused() { # ADDR
	! smtp_connects client $1 1
}

# An image says whom a list names, the copy of the source only what it says of him.
copies() {
	rm $WORK/state/lists/web.src
	says 0 '^BLOCKED .*web \(weight 2\): 203.0.113[^"]*; sum 4 of 3$' - test 203.0.113.7
	echo '203.0.113.7 another word' >> $WORK/web/root/drop.txt
	quietly gate25 reload
	check "the copy comes with the next change" [ -s $WORK/state/lists/web.src ]
	gzip -c $WORK/web/root/drop.txt > $WORK/packed
	mv $WORK/packed $WORK/web/root/drop.txt
	quietly gate25 reload
	says 0 '^BLOCKED .*web \(weight 2\): .*"203.0.113.7 ; SBL123"; sum 4 of 3$' - test 203.0.113.7
	head -c 100 /dev/urandom > $WORK/state/lists/web.src
	says 0 '^BLOCKED .*sum 4 of 3$' - test 203.0.113.7
	seq 20 39 | sed 's/^/203.0.113./' > $WORK/many
	INPUT=$WORK/many says 0 '^BLOCKED 203.0.113.20 mx: lists zone \(weight 2\): 203.0.113.0/24, web' - test -
}

# One zone, split by what it answers: traps block at once, the rest of the network only counts.
codes() {
	guard_config <<-END
		policy: enforce
		threshold: 3
		metrics: {listen: "127.0.0.1:9925"}
		lists:
		  - {name: traps, file: $WORK/zone, format: rbldnsd, codes: "127.0.0.[3..5]", weight: 3}
		  - {name: rest, file: $WORK/zone, format: rbldnsd, codes: 127.0.0.2, weight: 1}
	END
	quietly gate25 reload
	says 0 '^BLOCKED 203.0.113.7 mx: list traps \(weight 3 of 3\): 203.0.113.7 "spam trap, seen today"$' - test 203.0.113.7
	says 3 '^PASS 203.0.113.8 mx: list rest \(weight 1 of 3\): .*"Listed, see .*", below the threshold$' - test 203.0.113.8
}

if ! command -v nginx > /dev/null; then
	skip "reasons" "nginx is not there"
	finish
fi
net_start
sender client 203.0.113.7 203.0.113.8
check "nginx starts" web_start
check "Postfix starts" mail_server_start
lists
reasons
copies
codes
kill "$nginx"
mail_server_stop
finish
