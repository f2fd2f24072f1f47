#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Mail safety: the shipped configuration with real lists, all in enforce and the threshold at 1. Not one address that
# large senders send from is blocked, though lists name some; without the allow lists these are. The lists are found
# in ../shared/feeds, or where GATE25_FEEDS says; their web servers and resolver are stand-ins.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

FEEDS=${GATE25_FEEDS:-$ROOT/../shared/feeds}
ZONE=dnsbl-1.uceprotect.net
PLAIN=ipsum-level-2.txt
MISP=(smtp-sending-ips google-gmail-sending-ips microsoft-office365-ip)
RANDOM_ADDRESSES=20000

# ---------------------------------------------------------------- stand-ins

# Whose names they have, the certificate and /etc/hosts say, as this test alone sees them.
web_start() {
	local host names='' list
	mkdir -p $WORK/web/root/MISP/misp-warninglists/main/lists $WORK/web/root/drop
	cp "$FEEDS/$ZONE" "$FEEDS/$PLAIN" $WORK/web/root/
	for list in "${MISP[@]}"; do
		mkdir $WORK/web/root/MISP/misp-warninglists/main/lists/$list
		cp "$FEEDS/misp-$list.json" $WORK/web/root/MISP/misp-warninglists/main/lists/$list/list.json
	done
	printf '{"cidr":"203.0.113.0/25","sblid":"SBL1","rir":"test"}\n{"type":"metadata","records":1}\n' \
		> $WORK/web/root/drop/drop_v4.json
	printf '{"cidr":"2001:db8:bad::/48","sblid":"SBL2","rir":"test"}\n{"type":"metadata","records":1}\n' \
		> $WORK/web/root/drop/drop_v6.json
	cp /etc/hosts $WORK/hosts
	for host in raw.githubusercontent.com www.spamhaus.org lists.example; do
		names+=,DNS:$host
		echo "192.0.2.80 $host" >> $WORK/hosts
	done
	mount --bind $WORK/hosts /etc/hosts
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=web -addext "subjectAltName=${names#,}" \
		-keyout $WORK/web/key -out $WORK/web/cert 2> /dev/null
	mkdir -p /etc/ssl/certs
	mount -t tmpfs tmpfs /etc/ssl/certs
	cp $WORK/web/cert /etc/ssl/certs/ca-certificates.crt
	nginx_configure off <<-END
		gzip on; gzip_types *;
		server {
			listen 192.0.2.80:443 ssl;
			ssl_certificate $WORK/web/cert;
			ssl_certificate_key $WORK/web/key;
			root $WORK/web/root;
		}
	END
	in_ns web nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns web curl -sk -o /dev/null https://192.0.2.80/
}

# Every domain of the shipped configuration sends from one address.
dns_start() {
	mkdir -p $WORK/unbound
	cat > $WORK/unbound/unbound.conf <<-END
		server:
		  directory: "$WORK/unbound"
		  chroot: ""
		  username: ""
		  pidfile: "$WORK/unbound/pid"
		  use-syslog: no
		  logfile: "$WORK/unbound/log"
		  interface: 192.0.2.80
		  access-control: 192.0.2.0/24 allow
		  do-daemonize: no
		  num-threads: 1
		  module-config: "iterator"
		  local-zone: "." static
	END
	sed -n '/spf:/,/\]/p' contrib/gate25.yaml | tr -d ' \n' | sed 's/.*\[//; s/\].*//' | tr ',' '\n' |
		sed "s/.*/  local-data: '&. 600 IN TXT \"v=spf1 ip4:192.0.2.99 -all\"'/" \
			>> $WORK/unbound/unbound.conf
	echo 'nameserver 192.0.2.80' > $WORK/resolv.conf
	mount --bind $WORK/resolv.conf /etc/resolv.conf
	in_ns web unbound -c $WORK/unbound/unbound.conf &
	unbound=$!
	wait_for 5 in_ns web host -W 1 -t TXT gmail.com 192.0.2.80
}

# ---------------------------------------------------------------- configuration

shipped() { # SED EXPRESSION
	sed -e '/^interfaces:/d' -e 's/^policy: observe/policy: enforce/' -e 's/^threshold: .*/threshold: 1/' \
		-e "${1:-}" contrib/gate25.yaml | guard_config
	mkdir -p $WORK/conf.d
	cat > $WORK/conf.d/real.yaml <<-END
		lists:
		  - {name: uceprotect-1, url: "https://lists.example/$ZONE", format: rbldnsd}
		  - {name: ipsum-2, url: "https://lists.example/$PLAIN", format: plain}
	END
}

# ---------------------------------------------------------------- addresses

# All hosts that the two lists name.
listed_hosts() {
	grep -ohaE '^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+' "$FEEDS/$ZONE" "$FEEDS/$PLAIN" | grep -v '^127\.' | sort -u
}

# At random, but the same each time, in the networks that the large senders name, each as often as any other.
random_senders() { # COUNT
	jq -r '.list[]' "$FEEDS"/misp-*.json | awk -v count="$1" '
	{ network[NR - 1] = $0 }
	function group() { return sprintf("%x", int(rand() * 65536)) }
	END {
		srand(25)
		for (i = 0; i < count; i++) {
			split(network[int(rand() * NR)], part, "/")
			if (part[1] ~ /:/) {
				length6 = part[2] == "" ? 128 : part[2]
				if (length6 > 96) print part[1]
				else print part[1] group() ":" group()
				continue
			}
			split(part[1], octet, ".")
			bits = part[2] == "" ? 32 : part[2]
			at = ((octet[1] * 256 + octet[2]) * 256 + octet[3]) * 256 + octet[4] + int(rand() * 2 ^ (32 - bits))
			printf "%d.%d.%d.%d\n", int(at / 16777216), int(at / 65536) % 256, int(at / 256) % 256, at % 256
		}
	}'
}

verdicts() { # FILE WORD: addresses of the file that get it
	gate25 test - < "$1" 2> /dev/null | awk -v word="$2" '$1 == word { print $2 }' | sort -u
}

count() {
	wc -l | tr -d ' '
}

rescued() { # LIST
	gate25 -j lists show "$1" | jq '.results[0].rescued4'
}

# ---------------------------------------------------------------- the test

with_allow_lists() {
	local list
	check "the shipped configuration is taken" guard_start
	quietly gate25 reload
	for list in big-senders big-senders-smtp big-senders-gmail big-senders-office365 spamhaus-drop \
		uceprotect-1 ipsum-2; do
		check "list $list is in force" [ "$(metric gate25_entries list=$list)" -gt 0 ]
	done
	want "nothing is held back" 0 "$(metric gate25_list_held)"
	listed_hosts > $WORK/listed
	random_senders $RANDOM_ADDRESSES > $WORK/random
	want "addresses of large senders" $RANDOM_ADDRESSES "$(count < $WORK/random)"
	want "none is blocked" "" "$(verdicts $WORK/random BLOCKED | head)"
	want "all are allowed" "$(sort -u $WORK/random | count)" "$(verdicts $WORK/random ALLOWED | count)"
	verdicts $WORK/listed ALLOWED > $WORK/rescued
	verdicts $WORK/listed BLOCKED > $WORK/blocked
	echo "# $(count < $WORK/listed) hosts are listed, $(count < $WORK/rescued) of them are large senders'"
	check "hosts that are listed are blocked" [ "$(count < $WORK/blocked)" -gt 70000 ]
	check "but for some that large senders have" [ "$(count < $WORK/rescued)" -ge 60 ]
	want "which are told" "$(count < $WORK/rescued)" \
		"$(($(rescued uceprotect-1) + $(rescued ipsum-2)))"
	check "each of them is allowed" [ "$(verdicts $WORK/rescued ALLOWED | count)" -eq "$(count < $WORK/rescued)" ]
	check "one of DROP is blocked, too" quietly gate25 test 203.0.113.7
	gate25 lists show uceprotect-1 | sed 's/^/# /'
}

without_allow_lists() {
	shipped '/^allow:/,/^lists:/{/^lists:/!d}'
	check "without the allow lists" quietly gate25 reload
	want "each of these is blocked" "$(count < $WORK/rescued)" "$(verdicts $WORK/rescued BLOCKED | count)"
	want "and nothing is told to be rescued" 0 "$(rescued uceprotect-1)"
}

if ! [ -e "$FEEDS/$ZONE" ]; then
	skip "mail safety" "no real lists in $FEEDS; GATE25_FEEDS=FOLDER names another"
	finish
fi
for program in nginx unbound jq; do
	if ! command -v $program > /dev/null; then
		skip "mail safety" "$program is not there"
		finish
	fi
done
net_start
sender web 192.0.2.80
in_ns gw ip route replace 192.0.2.80 dev mx0
check "nginx starts" web_start
check "unbound starts" dns_start
shipped
with_allow_lists
without_allow_lists
guard_stop
kill $nginx $unbound
finish
