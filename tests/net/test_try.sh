#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# lists try: a list judged by logs: one that a real Postfix wrote while it took, deferred and rejected mail, and one of
# Exim's main log, written by hand in its shape.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

GOOD=198.51.100.10 # taken, and on the list
OWN=203.0.113.130  # taken, on the list, and allowed
SPAM=203.0.113.66  # rejected, and on the list
SLOW=203.0.113.67  # deferred, not on the list
FINE6=2001:db8:f::1 # taken, not on the list

cell() { # FATE WHICH KEY
	jq -r ".results[0].$1.$2.$3" $WORK/try.json
}

try_json() { # ARGUMENT…
	gate25 -j lists try "$@" > $WORK/try.json 2> $WORK/err
}

# Postfix itself says what is in its log.
postfix_log() {
	mail_server_configure
	cat >> $WORK/postfix/main.cf <<-END
		smtpd_client_restrictions = check_client_access inline:{ {$SPAM = REJECT go away}, {$SLOW = 450 4.7.1 later} }
		smtpd_delay_reject = yes
	END
	touch -d '1 minute ago' $WORK/postfix/main.cf
	mail_server_start || return 1
	for _ in 1 2 3; do mail_send client $GOOD || return 1; done
	mail_send client $OWN || return 1
	mail_send client $FINE6 || return 1
	mail_send client $SPAM && return 1
	mail_send client $SPAM && return 1
	mail_send client $SLOW && return 1
	in_ns client "$BUILD/tests/net/smtp" -f 203.0.113.68 -t 2 probe $GW4 > /dev/null 2>&1
	mail_server_stop
	[ -s $WORK/postfix/log ]
}

exim_log() {
	cat <<-END
		2026-11-24 10:00:00 exim 4.96 daemon started: pid=1, -q30m, listening for SMTP on port 25 (IPv6 and IPv4)
		2026-11-24 10:00:01 1tFabc-000001-AB <= a@b.example H=mx.good.example [$GOOD]:4711 P=esmtps X=TLS1.3 CV=no S=1234 id=1@b
		2026-11-24 10:00:01 1tFabc-000001-AB => inbox <inbox@example.org> R=local T=maildir
		2026-11-24 10:00:01 1tFabc-000001-AB Completed
		2026-11-24 10:00:02 H=([192.0.2.99]) [$SPAM] F=<x@y.example> rejected RCPT <inbox@example.org>: listed
		2026-11-24 10:00:03 H=(x) [$SLOW] F=<x@y.example> temporarily rejected RCPT <inbox@example.org>: greylisted
		2026-11-24 10:00:04 1tFabc-000002-AB => z@b.example R=dnslookup T=remote_smtp H=mx.b.example [203.0.113.69] C="250 ok"
	END
}

postfix() {
	check "Postfix writes a log" postfix_log
	check "a list of the configuration" try_json bad --log $WORK/postfix/log
	want "taken, and would be stopped" "1 3" "$(cell accepted named clients) $(cell accepted named messages)"
	want "taken, named, but allowed" 1 "$(cell accepted named_but_allowed clients)"
	want "taken, not named" 1 "$(cell accepted not_named clients)"
	want "rejected, and named" "1 2" "$(cell rejected named clients) $(cell rejected named messages)"
	want "deferred, not named" 1 "$(cell deferred not_named clients)"
	want "connected only, and named" 1 "$(cell neither named clients)"
	want "who would have lost mail comes first" "$GOOD 3 198.51.100.0/24 null" \
		"$(jq -r '.results[0].examples[0] | "\(.address) \(.messages) \(.entry) \(.allowed_by)"' $WORK/try.json)"
	want "and who is allowed behind" "$OWN own" \
		"$(jq -r '.results[0].examples[1] | "\(.address) \(.allowed_by)"' $WORK/try.json)"
	says 0 "a message accepted +1 +3 +1 +1.*only rejected +1 +2 .*accepted +$GOOD +3 " \
		"its weight is 1, the threshold 2" lists try bad --log $WORK/postfix/log
	gzip -c $WORK/postfix/log > $WORK/log.1.gz
	check "a packed log, and another beside it" try_json bad --log $WORK/log.1.gz $WORK/postfix/log
	want "count together" 6 "$(cell accepted named messages)"
	INPUT=$WORK/log.1.gz says 0 "only rejected +1 +2" "threshold" lists try bad --log -
}

exim() {
	exim_log > $WORK/exim.log
	check "a file that is no list of the configuration" try_json $WORK/bad.txt --log $WORK/exim.log
	want "taken, and would be stopped" "1 1" "$(cell accepted named clients) $(cell accepted named messages)"
	want "rejected, and named" 1 "$(cell rejected named clients)"
	want "deferred, not named" 1 "$(cell deferred not_named clients)"
	want "where mail goes to is nobody" 3 "$(jq .results[0].clients $WORK/try.json)"
	sed 's/^/Nov 24 10:00:00 mx exim[77]: /' $WORK/exim.log > $WORK/exim.syslog
	check "the same through syslog" try_json $WORK/bad.txt --log $WORK/exim.syslog
	want "says the same" "1 1 3" \
		"$(cell accepted named clients) $(cell rejected named clients) $(jq .results[0].clients $WORK/try.json)"
}

refused() {
	says 2 - "a list and a log are wanted" lists try
	says 2 - "a list and a log are wanted" lists try bad
	says 1 - "no list nope in .*, and no file" lists try nope --log $WORK/exim.log
	says 1 - "cannot read /absent" lists try bad --log /absent
	says 2 - "is an allow list" lists try own --log $WORK/exim.log
	says 1 - "unread was never read; read it: gate25 reload" lists try unread --log $WORK/exim.log
	says 2 - "there is no such format" lists try $WORK/bad.txt --format nonsense --log $WORK/exim.log
	echo "<html><body>Gone</body></html>" > $WORK/page
	says 1 - "page: " lists try $WORK/page --log $WORK/exim.log
	says 0 "0 clients in 1 line" "is it the right log" lists try $WORK/bad.txt --log $WORK/page
	head -c 200 $WORK/log.1.gz > $WORK/cut.gz
	says 0 "" "cut.gz cannot be read to its end" lists try $WORK/bad.txt --log $WORK/cut.gz
	{ head -c 100000 /dev/zero | tr '\0' x; echo; cat $WORK/exim.log; } > $WORK/long.log
	check "a line that never ends is no harm" try_json $WORK/bad.txt --log $WORK/long.log
	want "and what stands behind it is read" 3 "$(jq .results[0].clients $WORK/try.json)"
}

net_start
sender client $GOOD $OWN $SPAM $SLOW 203.0.113.68 $FINE6
printf '%s\n' 198.51.100.0/24 203.0.113.128/25 $SPAM 203.0.113.68/32 > $WORK/bad.txt
guard_config <<-END
	policy: observe
	threshold: 2
	allow:
	  - {name: own, entries: [$OWN]}
	lists:
	  - {name: bad, file: $WORK/bad.txt}
	  - {name: unread, url: "https://192.0.2.1/x"}
END
postfix
exim
refused
finish
