#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Poison: everything that went wrong with real lists, from a real web server into the running agent. In none of it a
# good sender loses its connection, nor the old list what it stops. Then: age, holding back, accepting.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

BAD=203.0.113.66
GOOD=198.51.100.10
STRANGER=198.51.100.11 # neither good nor bad
LOCAL=10.1.2.3   # a printer, say: an address that no list has a say in
OTHER=100.64.0.7 # of another customer of the same provider
ROOT_DIR=$WORK/web/root

configure() { # [KEYS of the feed [KEYS of the allow list]]
	guard_config <<-END
		ports: [25]
		policy: enforce
		lists:
		  - {name: feed, url: "https://192.0.2.80/feed.txt", refresh: 1h${1:+, $1}}
		allow:
		  - {name: friends, url: "https://192.0.2.80/friends.txt", refresh: 1h${2:+, $2}}
		metrics: {listen: "127.0.0.1:9925"}
	END
}

web_start() {
	mkdir -p $ROOT_DIR
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=web -addext \
		subjectAltName=IP:192.0.2.80 -keyout $WORK/web/key -out $WORK/web/cert 2> /dev/null
	# The machine's list of authorities, as this test alone sees it.
	mkdir -p /etc/ssl/certs
	mount -t tmpfs tmpfs /etc/ssl/certs
	cp $WORK/web/cert /etc/ssl/certs/ca-certificates.crt
	nginx_configure off <<-END
		server {
			listen 192.0.2.80:443 ssl;
			ssl_certificate $WORK/web/cert;
			ssl_certificate_key $WORK/web/key;
			root $ROOT_DIR;
			etag off;
			if_modified_since off;
		}
	END
	in_ns web nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns web curl -sk -o /dev/null https://192.0.2.80/
}

hosts() { # NETWORK FROM TO
	seq "$2" "$3" | sed "s/^/$1./"
}

many() { # COUNT: hosts of 198.18/15
	local i
	for ((i = 0; i < $1; i++)); do echo "198.$((18 + i / 65536)).$((i / 256 % 256)).$((i % 256))"; done
}

base() {
	echo $BAD
	many 1099
}

friends() {
	echo 192.0.2.200
	hosts 192.0.2 201 210
}

reload() {
	gate25 reload > $WORK/reload.out 2>&1
}

feed_is() { # reads it
	cat > $ROOT_DIR/feed.txt
	reload
	sleep 0.2
}

entries() {
	metric gate25_entries list="${1:-feed}"
}

lists_say() { # FILTER of the one list
	gate25 -j lists | jq -r ".results[] | select(.name == \"${2:-feed}\") | $1"
}

# Whatever came: who is good is let in, who is listed is not, and what is in force is as it was.
nothing_hurt() { # WHAT [ENTRIES]
	check "$1: a good sender is let in" smtp_connects good $GOOD 1
	check "$1: so is who is on no list's business" smtp_connects local $LOCAL 1
	check_not "$1: who was listed is still stopped" smtp_connects bad $BAD 0.5
	want "$1: what is in force" "${2:-1100}" "$(entries)"
}

# ---------------------------------------------------------------- what is skipped

test_lines() {
	{ base; echo 0.0.0.0/0; } | feed_is
	nothing_hurt "0.0.0.0/0"
	{ base; printf '%s\n' 0.0.0.0/1 128.0.0.0/1 ::/0 198.0.0.0/7; } | feed_is
	nothing_hurt "the world in halves"
	{ base; printf '%s\n' 176.221.42.3234.90.93.23 1..218.28 198.51.100.10.20 198.51.100; } | feed_is
	nothing_hurt "lines run into each other"
	{
		base
		printf '%s\n' 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8 169.254.0.0/16 100.64.0.0/10 \
			224.0.0.0/4 fe80::/19 fc00::/19 ::1
	} | feed_is
	nothing_hurt "networks that are not of the Internet"
	check "nor does it hit another customer" smtp_connects local $OTHER 1
	want "which is told" true "$(lists_say '.left_out >= 8')"
	{ base; printf '%s\n' $GW4 $GW6 192.0.2.1 192.0.2.53; } | feed_is
	nothing_hurt "this host, its gateway and its resolver"
	for address in $GW4 $GW6 192.0.2.1 192.0.2.53; do
		check_not "$address is not BLOCKED" quietly gate25 test $address
	done
	{ base; echo 192.0.2.0/24; } | feed_is
	check_not "nor out of a network that is listed" quietly gate25 test 192.0.2.53
	check "whose other addresses are" quietly gate25 test 192.0.2.54
	base | feed_is
}

# ---------------------------------------------------------------- what is refused or held

held_by() { # WHAT GATE
	nothing_hurt "$1"
	want "$1: held back by" "$2" "$(lists_say .held)"
	want "$1: counted" 1 "$(metric gate25_list_held list=feed gate="$2")"
	check "$1: told by status" grep -q 'list feed: held back: ' <(gate25 status)
}

refused() { # WHAT TEXT
	nothing_hurt "$1"
	local said
	said=$(lists_say .error)
	if [[ $said =~ $2 ]]; then ok "$1: told"; else fail "$1: told" "$said"; fi
}

test_whole() {
	{ base; seq 1 223 | grep -v '^10$' | sed 's/$/.0.0.0\/8/'; } | feed_is
	held_by "the world in 222 networks" covered
	{ many 3400; echo $GOOD; } | feed_is
	held_by "three times as many in a day" growth
	{ echo $BAD; many 99; } | feed_is
	held_by "a tenth of it" shrink
	base | feed_is
	want "the right one again" null "$(lists_say .held)"
	want "is no error" null "$(lists_say .error)"
	echo 'You ask too often. Your address 198.51.100.10 was noted.' | feed_is
	refused "a message to whom it may concern" 'not a list'
	echo '<!DOCTYPE html><html><body>198.51.100.10 is for sale</body></html>' | feed_is
	refused "a web page" 'web page'
	: | feed_is
	refused "nothing" 'no entry'
	{ base; yes 'moved to 198.51.100.10' | head -n 100; } | feed_is
	refused "a tenth of its lines is bad" '5 % of its lines are bad'
	{ echo '# Entries : 2000 subnets, 2000 unique IPs'; base; } | feed_is
	refused "less than its head says" 'fewer entries'
	base | gzip | head -c 1200 | feed_is
	refused "packed and cut" 'gzip'
	{
		echo '{"cidr":"203.0.113.66/32","sblid":"SBL1","rir":"apnic"}'
		echo '{"cidr":"198.51.100.0/24","sblid":"SBL2","rir":"apnic"}'
	} | feed_is
	refused "without its last record" 'last line'
	rm $ROOT_DIR/feed.txt
	reload
	refused "not there" 404
	base | feed_is
	nothing_hurt "the right one again"
}

# The swings that a list makes by itself are none of these.
test_swings() {
	{ echo $BAD; many 1781; } | feed_is
	want "62 % more is in force" 1782 "$(entries)"
	{ echo $BAD; many 1122; } | feed_is
	want "37 % less is in force" 1123 "$(entries)"
	base | feed_is
	nothing_hurt "as before"
}

# ---------------------------------------------------------------- allow lists

friends_are() { # reads it
	cat > $ROOT_DIR/friends.txt
	reload
	sleep 0.2
}

test_allow() {
	local what
	{ friends; echo $GOOD; } | friends_are
	{ base; echo $GOOD; } | feed_is
	check "a friend that is listed is let in" smtp_connects good $GOOD 1
	says 0 'rescued +1 of IPv4' - lists show feed
	for what in world halves many few page nothing; do
		case $what in
		world) { friends; echo $GOOD; echo 0.0.0.0/0; } ;;
		halves) { friends; echo $GOOD; seq 1 223 | sed 's/$/.0.0.0\/8/'; } ;;
		many) { friends; echo $GOOD; many 4000; echo $BAD; } ;;
		few) echo 192.0.2.200 ;;
		page) echo '<html>friends have moved' ;;
		nothing) : ;;
		esac | friends_are
		check "an allow list, $what: the friend is let in" smtp_connects good $GOOD 1
		check_not "an allow list, $what: the listed one is not" smtp_connects bad $BAD 0.5
		want "an allow list, $what: what is in force" 12 "$(entries friends)"
	done
	echo 192.0.2.200 | friends_are
	reload
	reload
	want "an allow list that shrank waits for a person" 12 "$(entries friends)"
	check "who lets it in" quietly gate25 lists accept friends
	want "at once" 1 "$(entries friends)"
	{ friends; echo $GOOD; } | friends_are
	base | feed_is
}

# ---------------------------------------------------------------- waiting and accepting

test_accept() {
	says 1 - 'nothing is held back' lists accept feed
	says 0 - 'nothing is held back' lists diff feed
	says 2 - 'name of one list' lists accept
	says 1 - 'no list is called nobody' lists diff nobody
	{ echo $BAD; echo $STRANGER; many 3000; } | feed_is
	says 0 'held back: grew from 1,100 to 3,002 entries.*1,902 entries more' - lists diff feed
	json "lists diff for machines" '.results[0].added.entries4' 1902 lists diff feed
	json "names what comes" '.results[0].added.entries | index("198.51.100.11") != null' true \
		lists diff feed --limit 5000
	guard_stop
	guard_start
	want "a restart forgets nothing" growth "$(lists_say .held)"
	nothing_hurt "after a restart"
	check "accepted" quietly gate25 lists accept feed
	want "it is in force" 3002 "$(entries)"
	check_not "whom it names is stopped" smtp_connects good $STRANGER 0.5
	want "nothing is held any more" null "$(lists_say .held)"
	check "the record says who" grep -q '"accept"' $WORK/state/changes.log
	reload
	want "and it stays" 3002 "$(entries)"
	base | feed_is
	want "a shrink waits for the second time" 3002 "$(entries)"
	reload
	want "and comes by itself then" 1100 "$(entries)"
	nothing_hurt "as before"
	{ echo $BAD; echo $STRANGER; many 3000; } | feed_is
	guard_stop
	check "accepted without an agent" quietly gate25 lists accept feed
	check "whom it names is stopped" quietly gate25 test $STRANGER
	base | feed_is
	reload
	guard_start
	nothing_hurt "as before"
}

# ---------------------------------------------------------------- age

test_age() {
	configure 'max_age: 10s' 'max_age: 10s'
	reload
	kill -STOP $nginx $(pgrep -P $nginx)
	check "a list that is not confirmed for its max_age leaves force" wait_for 20 feed_expired
	check "its senders get in" smtp_connects bad $BAD 1
	check "a good one too" smtp_connects good $GOOD 1
	want "it holds nothing" 0 "$(entries)"
	check "which status says" grep -q 'list feed: not confirmed for 10 s .*out of force' <(gate25 status)
	check "and the log" grep -q 'list feed: not confirmed for 10 s' $WORK/agent.log
	says 1 'out of force' - status --check
	want "an allow list is as old" 1 "$(metric gate25_list_expired list=friends)"
	want "and stays" 12 "$(entries friends)"
	guard_stop
	guard_start
	want "a restart does not bring it back" 0 "$(entries)"
	kill -CONT $nginx $(pgrep -P $nginx)
	check "once it is read again" quietly gate25 reload
	want "it is no alarm any more" 0 "$(metric gate25_list_expired list=feed)"
	nothing_hurt "confirmed again"
}

feed_expired() {
	[ "$(metric gate25_list_expired list=feed)" -eq 1 ]
}

# ---------------------------------------------------------------- all

net_start
sender good $GOOD $STRANGER
sender bad $BAD
sender local $LOCAL $OTHER
sender web 192.0.2.80
# A gateway and a resolver, as this test alone sees them.
in_ns gw ip route replace default via 192.0.2.1 dev mx0 onlink
link_add net gate0 192.0.2.1
for address in $GOOD $STRANGER $BAD $LOCAL $OTHER 192.0.2.80; do
	in_ns gw ip route replace $address dev mx0
done
echo 'nameserver 192.0.2.53' > $WORK/resolv.conf
mount --bind $WORK/resolv.conf /etc/resolv.conf
check "Postfix starts" mail_server_start
check "nginx starts" web_start
base > $ROOT_DIR/feed.txt
friends > $ROOT_DIR/friends.txt
configure
check "the agent starts" guard_start
wait_for 10 [ "$(entries)" -eq 1100 ]
nothing_hurt "to begin with"
test_lines
test_whole
test_swings
test_allow
test_accept
test_age
kill $nginx
finish
