#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does the stage itself hold? Without gate25 everybody delivers, and what is dropped by hand is
# seen to be dropped: else the other tests would prove nothing.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_start
sender good 198.51.100.10 2001:db8:1::10
sender bad 203.0.113.66 203.0.113.67 2001:db8:bad::66
began=$(date +%s%N)
check "Postfix starts" mail_server_start
check "within 2 seconds" [ $((($(date +%s%N) - began) / 1000000)) -lt 2000 ]

while read -r name address; do
	check "$name delivers from $address" mail_send "$name" "$address" \
		--header "Subject: from $address"
	wait_for 5 mail_arrived 1 "Subject: from $address"
	want "once, from $address" 1 "$(mail_count "Subject: from $address")"
	want "Postfix saw $address" 1 "$(grep -c "client=unknown\[$address\]" $WORK/postfix/log)"
done <<-END
	good 198.51.100.10
	good 2001:db8:1::10
	bad 203.0.113.66
	bad 203.0.113.67
	bad 2001:db8:bad::66
END

check "a message to another domain is refused" grep -q '^<\*\* 5' <(
	mail_send good 198.51.100.10 --to someone@elsewhere.example
	cat $WORK/swaks.log)

check "a slow client comes to mid-DATA" mail_slow_start slow-4 good 198.51.100.10
check "another beside it, over IPv6" mail_slow_start slow-6 bad 2001:db8:bad::66
want "nothing arrives before they go on" 0 "$(mail_count 'Subject: slow')"
check "the first goes on" mail_slow_finish slow-4
check "the other too" mail_slow_finish slow-6
wait_for 5 mail_arrived 2 'Subject: slow'
want "its message arrives once" 1 "$(mail_count '<slow-4>')"
want "the other's too" 1 "$(mail_count '<slow-6>')"

want "a burst is answered" 60 "$(smtp_burst good 198.51.100.10 60 5)"
check "port 587 answers" smtp_connects good 2001:db8:1::10 2 587
check_not "a port without a server does not" smtp_connects good 198.51.100.10 1 26

if command -v nft > /dev/null; then
	in_ns gw nft -f - <<-END
		table netdev guard {
			chain in {
				type filter hook ingress device mx0 priority 0
				ip saddr 203.0.113.66 tcp dport 25 tcp flags syn drop
				ip6 saddr 2001:db8:bad::66 tcp dport 25 drop
			}
		}
	END
	check_not "a dropped source is seen to get no greeting" smtp_connects bad 203.0.113.66 1
	check_not "nor over IPv6" smtp_connects bad 2001:db8:bad::66 1
	check_not "and cannot deliver" mail_send bad 203.0.113.66 --timeout 1
	want "a burst of it gets nothing" 0 "$(smtp_burst bad 203.0.113.66 5)"
	check "its neighbour is served" smtp_connects bad 203.0.113.67
else
	skip "a dropped source is seen to get no greeting" "no nft"
fi

check "Postfix stops" mail_server_stop
check_not "and is gone" smtp_connects good 198.51.100.10 1
check "a bpffs is there" [ "$(stat -f -c %T /sys/fs/bpf)" = bpf_fs ]
finish
