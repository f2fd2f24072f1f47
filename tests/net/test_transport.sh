#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Where lists come from: files that are replaced, web servers, an rsync server, under the running agent. The servers
# are real ones.
# shellcheck disable=SC2317,SC2119,SC2086,SC2016 # functions that `check` calls; ${cred:…} is no variable
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

WEB=192.0.2.80

configure() { # [YAML]…: items of `lists`
	{
		cat <<-END
			ports: [25]
			policy: enforce
			metrics: {listen: "127.0.0.1:9925"}
			lists:
			  - {name: file, file: $WORK/lists/file.txt, format: plain, refresh: 1h}
		END
		[ $# -eq 0 ] || printf '  - %s\n' "$@"
	} | guard_config
}

reload() {
	gate25 reload > $WORK/reload.out 2>&1
}

entries_are() { # LIST COUNT
	[ "$(metric gate25_entries list="$1")" -eq "$2" ]
}

addresses() { # COUNT [THIRD OCTET]
	seq -f "198.19.${2:-0}.%g" 1 "$1"
}

served() { # PATH STATUS
	grep -cE "\"GET /$1(\?[^ ]*)? HTTP/[0-9.]+\" $2 " $WORK/web/access.log
}

# ---------------------------------------------------------------- files

test_files() {
	check "it starts" guard_start
	check "the file is in force" wait_for 5 entries_are file 2
	addresses 3 > $WORK/lists/new
	mv $WORK/lists/new $WORK/lists/file.txt
	check "replaced by rename: in force at once, though looked at only every hour" \
		wait_for 10 entries_are file 3
	addresses 4 > $WORK/lists/file.txt
	check "written in place: too" wait_for 10 entries_are file 4
	rm $WORK/lists/file.txt
	sleep 1
	check "removed: the last good one stays" entries_are file 4
	mkdir $WORK/lists/elsewhere
	addresses 5 > $WORK/lists/elsewhere/real.txt
	ln -s elsewhere/real.txt $WORK/lists/link
	mv $WORK/lists/link $WORK/lists/file.txt
	check "replaced by a link" wait_for 10 entries_are file 5
	addresses 6 > $WORK/lists/elsewhere/new
	mv $WORK/lists/elsewhere/new $WORK/lists/elsewhere/real.txt
	check "what the link leads to replaced" wait_for 10 entries_are file 6
	says 0 '^file: 6 entries$' - lists refresh file
	echo '<html>' > $WORK/lists/elsewhere/real.txt
	says 1 'file: .*web page; the last good one stays in force' - lists refresh file
	check "the old one stays in force" entries_are file 6
	addresses 6 > $WORK/lists/elsewhere/real.txt
	says 1 - 'no list nothing is configured' lists refresh nothing
	says 2 - 'one name is wanted' lists refresh a b
}

# ---------------------------------------------------------------- web servers

certificate_make() { # NAME SUBJECT [EXTENSION]
	openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout $WORK/web/$1.key -out $WORK/web/$1.csr
	openssl x509 -req -in $WORK/web/$1.csr -CA $WORK/web/ca.pem -CAkey $WORK/web/ca.key -CAcreateserial \
		-days 2 -out $WORK/web/$1.pem -extfile <(echo "${3:-basicConstraints=CA:FALSE}")
}

certificates_make() {
	{
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
			-keyout $WORK/web/ca.key -out $WORK/web/ca.pem
		certificate_make server /CN=web "subjectAltName=IP:$WEB"
		certificate_make client /CN=gateway
	} > $WORK/web/openssl.log 2>&1
	chmod 600 $WORK/web/*.key
}

web_configure() {
	nginx_configure $WORK/web/access.log <<-END
		types { text/plain txt; text/html html; application/gzip gz; }
		gzip on; gzip_types text/plain; gzip_min_length 1;
		log_format tokens '\$request_uri \$http_x_token';
		server {
			listen $WEB:80;
			root $WORK/web/root;
			location = /to-http.txt { return 301 http://$WEB/a.txt; }
		}
		server {
			listen $WEB:443 ssl;
			ssl_certificate $WORK/web/server.pem;
			ssl_certificate_key $WORK/web/server.key;
			ssl_client_certificate $WORK/web/ca.pem;
			ssl_verify_client optional;
			root $WORK/web/root;
			location = /to-http.txt { return 301 http://$WEB/a.txt; }
			location = /moved.txt { return 301 https://$WEB/a.txt; }
			location = /page.txt { default_type text/html; return 200 '<html>192.0.2.1'; }
			location = /stall.txt { limit_rate 1; }
			location = /cut.txt { proxy_pass http://127.0.0.1:81/; }
			location /members/ {
				if (\$ssl_client_verify != SUCCESS) { return 403; }
			}
			location /tokens/ {
				access_log $WORK/web/tokens.log tokens;
				if (\$http_x_token != $SECRET) { return 403; }
			}
			location /echo/ { default_type text/plain; return 200 "192.0.2.1 \$http_x_token\n"; }
			location /errors/ { return 302 https://$WEB/\$http_x_token; }
		}
	END
}

web_start() {
	mkdir -p $WORK/web/root
	certificates_make
	web_configure
	# What nginx passes on from here breaks off in the middle.
	nsenter --net=/run/netns/web -- perl -MIO::Socket::INET -e '
		my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:81");
		while (my $client = $server->accept) {
			sysread $client, my $request, 2000;
			print $client "HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n192.0.2.1\n";
			close $client;
		}' &
	cutter=$!
	in_ns web nginx -c $WORK/web/nginx.conf 2> $WORK/web/start.log &
	nginx=$!
	wait_for 5 in_ns web curl -s -o /dev/null http://$WEB/
}

test_refresh() {
	addresses 20 > $WORK/web/root/a.txt
	addresses 30 1 > $WORK/web/root/b.txt
	configure "{name: a, url: 'http://$WEB/a.txt', insecure: true, refresh: 1d}" \
		"{name: b, url: 'http://$WEB/b.txt', insecure: true, refresh: 1d, refresh_min: 1h}"
	check "two lists from a web server" quietly gate25 reload
	want "asked once" "1 1" "$(served a.txt 200) $(served b.txt 200)"
	says 0 '^a: 20 entries$' - lists refresh a
	want "asked whether it changed" "1 0" "$(served a.txt 304) $(served b.txt 304)"
	addresses 21 > $WORK/web/root/a.txt
	says 0 '^a: 21 entries$' - lists refresh a
	want "and in force" 21 "$(metric gate25_entries list=a)"
	says 1 - 'b: .*may not be asked again before .*refresh_min' lists refresh b
	addresses 31 1 > $WORK/web/root/b.txt
	check "a reload" quietly gate25 reload
	want "does not ask it either" "1 0" "$(served b.txt 200) $(served b.txt 304)"
	want "whose list stays" 30 "$(metric gate25_entries list=b)"
	says 0 $'^file: 6 entries\na: 21 entries\nb: 30 entries$' - lists refresh
	json "machines are told, too" '.results[0] | .name, .entries4, .error' $'a\n21' \
		lists refresh a
	check "it stops" guard_stop
	says 1 - 'gate25d is not running' lists refresh a
}

# Due or not, a restart begins with what is on disk and asks none of them at once.
test_restart() {
	: > $WORK/web/access.log
	sed -i 's/"next_refresh_s": [0-9]*/"next_refresh_s": 1/' $WORK/state/feeds.json
	check "it starts again" guard_start
	want "with what it had" "21 30" \
		"$(metric gate25_entries list=a) $(metric gate25_entries list=b)"
	sleep 1
	want "the one that may not be asked again was not" 0 "$(served b.txt '(200|304)')"
	check "what is due is asked within a minute" wait_for 65 \
		grep -q 'GET /a.txt' $WORK/web/access.log
}

# ---------------------------------------------------------------- https

# A list `web` from there, alone with the file; what the agent makes of it stands in reload.out.
feed() { # PATH [KEYS]
	configure "{name: web, url: 'https://$WEB/$1', ca: $WORK/web/ca.pem${2:+, $2}}"
	reload
}

test_https() {
	local kind page
	check "it starts" guard_start
	addresses 40 > $WORK/web/root/c.txt
	mkdir $WORK/web/root/members $WORK/web/root/tokens
	addresses 41 > $WORK/web/root/members/m.txt
	configure "{name: web, url: 'https://$WEB/c.txt'}"
	check_not "who shows a certificate of nobody known" reload
	check "is not believed" grep -q 'list web.*certificate' $WORK/reload.out
	check "with its authority it is" feed c.txt
	want "and its list in force" 40 "$(metric gate25_entries list=web)"
	check "packed as a file" eval "gzip -k $WORK/web/root/c.txt; feed c.txt.gz"
	want "too" 40 "$(metric gate25_entries list=web)"
	check_not "what is for members" feed members/m.txt
	check "is refused to others" grep -q 'status 403' $WORK/reload.out
	check "with a certificate of ours, whose key only root may read" \
		feed members/m.txt "cert: $WORK/web/client.pem, key: $WORK/web/client.key"
	want "it is in force" 41 "$(metric gate25_entries list=web)"
	check "a redirect within https" feed moved.txt
	want "is followed" 21 "$(metric gate25_entries list=web)"
	while read -r kind page; do
		feed "$page"
		check "$page: told" grep -q "list web: https://$WEB/$page: " $WORK/reload.out
		want "$page: the last good one stays" 21 "$(metric gate25_entries list=web)"
		check "$page: counted as $kind" [ "$(metric gate25_list_errors_total list=web kind=$kind)" -ge 1 ]
	done <<-END
		fetch to-http.txt
		fetch missing.txt
		parse page.txt
		fetch cut.txt
	END
	addresses 200 > $WORK/web/root/stall.txt
	check "one that stalls" feed stall.txt
	check "is still waited for, while all else goes on" grep -q 'still being fetched' $WORK/reload.out
	check "until it is too slow" wait_for 40 grep -q 'list web: .*stall.txt: .*slow' $WORK/agent.log
	want "and the last good one stays" 21 "$(metric gate25_entries list=web)"
}

# ---------------------------------------------------------------- credentials

SECRET=hush-7f3a9c-quiet

# Nowhere but in its file, and with the server.
leaks() {
	local process
	for process in /proc/[0-9]*; do
		case $(cat $process/comm 2> /dev/null) in
		nginx) continue ;;
		esac
		{ cat $process/cmdline; echo; } 2> /dev/null | tr '\0' ' '
	done | grep -F -f $WORK/pattern
	gate25 -j status | grep -F -f $WORK/pattern
	gate25 -j lists | grep -F -f $WORK/pattern
	gate25 log | grep -F -f $WORK/pattern
	in_ns gw curl -s http://127.0.0.1:9925/metrics | grep -F -f $WORK/pattern
	grep -rlF -f $WORK/pattern $WORK/agent.log $WORK/reload.out $WORK/state $WORK/run
}

token_feed() { # PATH
	feed "$1" "headers: ['X-Token: \${cred:token}']"
}

no_leak() { # AFTER
	want "$1: the value appears nowhere" "" "$(leaks 2>&1)"
}

test_credentials() {
	addresses 42 > $WORK/web/root/tokens/t.txt
	mkdir $WORK/credentials
	echo $SECRET > $WORK/pattern
	check_not "a credential that is not there" token_feed tokens/t.txt
	check "is named" grep -q "credential token ($WORK/credentials/token): there is no such file" $WORK/reload.out
	echo $SECRET > $WORK/credentials/token
	chmod 644 $WORK/credentials/token
	check_not "one that others may read" token_feed tokens/t.txt
	check "is not used" grep -q 'for its owner alone: chmod 600' $WORK/reload.out
	chmod 600 $WORK/credentials/token
	check "one that they may not" token_feed tokens/t.txt
	want "opens the list" 42 "$(metric gate25_entries list=web)"
	no_leak "taken"
	check_not "a server that sends it elsewhere" token_feed errors/x
	check "is not followed" grep -q 'follows no redirect' $WORK/reload.out
	no_leak "redirected"
	check_not "a server that sends it back" token_feed echo/x
	check "is not believed" grep -q 'repeats a credential' $WORK/reload.out
	no_leak "repeated"
	check_not "in a url" feed "\${cred:token}/missing?key=\${cred:token}"
	check "it failed" grep -q 'list web: https://.*status 404' $WORK/reload.out
	no_leak "in a url"
	configure '{name: web, url: "https://${cred:token}.invalid/x"}'
	reload
	check "as a host nobody has" wait_for 30 grep -qF 'list web: https://${cred:token}.invalid/x: ' $WORK/agent.log
	no_leak "as a host"
	want "the list stays" 42 "$(metric gate25_entries list=web)"
}

# ---------------------------------------------------------------- rsync

rsync_serve() {
	mkdir -p $WORK/rsync/files
	echo "reader:$SECRET" > $WORK/rsync/secrets
	chmod 600 $WORK/rsync/secrets
	cat > $WORK/rsync/rsyncd.conf <<-END
		pid file = $WORK/rsync/pid
		log file = $WORK/rsync/log
		address = $WEB
		use chroot = no
		reverse lookup = no
		transfer logging = yes
		log format = %f %b
		[zones]
			path = $WORK/rsync/files
		[closed]
			path = $WORK/rsync/files
			auth users = reader
			secrets file = $WORK/rsync/secrets
	END
	in_ns web rsync --daemon --config=$WORK/rsync/rsyncd.conf
	wait_for 5 test -s $WORK/rsync/pid
}

# Bytes that went over the wire for the last transfer.
sent() {
	awk '$NF ~ /^[0-9]+$/ && /zone.txt/ { bytes = $NF } END { print bytes + 0 }' $WORK/rsync/log
}

rsync_feed() { # SOURCE
	configure "{name: zone, rsync: '$1', insecure: true, format: plain}"
	reload
}

# Arguments of rsync while it runs.
arguments_watch() {
	local end=$((SECONDS + 3)) process
	while [ $SECONDS -lt $end ]; do
		for process in /proc/[0-9]*; do
			{ tr '\0' ' ' < $process/cmdline; echo; } 2> /dev/null
		done | grep 'rsync --times' >> $WORK/arguments
	done
}

test_rsync() {
	local first watcher
	check "rsync serves" rsync_serve
	awk 'BEGIN { srand(1); for (i = 0; i < 20000; i++)
		printf "198.%d.%d.%d\n", 18 + rand() * 2, rand() * 256, rand() * 256 }' |
		sort -u > $WORK/rsync/files/zone.txt
	check "a list over rsync" rsync_feed $WEB::zones/zone.txt
	want "is in force" "$(wc -l < $WORK/rsync/files/zone.txt)" "$(metric gate25_entries list=zone)"
	first=$(sent)
	echo 203.0.113.77 >> $WORK/rsync/files/zone.txt
	install -d -o nobody -m 700 $WORK/run/worker/4194303 # of one that was killed
	touch $WORK/run/worker/4194303/list
	says 0 '^zone: [0-9,]+ entries' - lists refresh zone
	want "changed: in force" "$(wc -l < $WORK/rsync/files/zone.txt)" "$(metric gate25_entries list=zone)"
	check "changed: less than a fifth of $first bytes was sent ($(sent))" [ "$(sent)" -lt $((first / 5)) ]
	want "nothing is left in the agent's directory" "" "$(ls $WORK/run/worker)"
	mv $WORK/rsync/files/zone.txt $WORK/rsync/files/kept.txt
	mkdir $WORK/rsync/files/zone.txt
	check_not "a directory in its place is no success" quietly gate25 lists refresh zone
	check "is told" grep -q 'nothing came; is it no file' <(gate25 lists)
	rmdir $WORK/rsync/files/zone.txt
	mv $WORK/rsync/files/kept.txt $WORK/rsync/files/zone.txt
	check "as it was, it is one" quietly gate25 lists refresh zone
	check_not "what is not there" rsync_feed $WEB::zones/missing.txt
	check "is told" grep -q 'list zone: .*rsync: no such file there' $WORK/reload.out
	check "and the last good one stays" [ "$(metric gate25_entries list=zone)" -gt 10000 ]
	check_not "what wants a login" rsync_feed rsync://$WEB/closed/zone.txt
	arguments_watch &
	watcher=$!
	check "with it" rsync_feed "rsync://reader:\${cred:token}@$WEB/closed/zone.txt"
	wait $watcher
	if grep -q closed $WORK/arguments; then
		check_not "the password is in no argument while it runs" grep -qF -f $WORK/pattern $WORK/arguments
	else
		skip "the password is in no argument while it runs" "rsync was done before it was seen"
	fi
	no_leak "rsync"
	kill "$(cat $WORK/rsync/pid)"
	check_not "a server that is away" quietly gate25 lists refresh zone
	check "leaves the last good one in force" [ "$(metric gate25_entries list=zone)" -gt 10000 ]
}

net_start
sender web $WEB
mkdir -p $WORK/lists $WORK/web
addresses 2 > $WORK/lists/file.txt
configure
test_files
check "nginx starts" web_start
test_refresh
test_restart
guard_stop
test_https
test_credentials
test_rsync
guard_stop
kill "$nginx" "$cutter"
finish
