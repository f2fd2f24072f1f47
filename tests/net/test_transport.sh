#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Where lists come from: files that are replaced, web servers, under the running agent. The servers are real ones.
# shellcheck disable=SC2317,SC2119,SC2086 # functions that `check` calls
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

web_configure() {
	cat > $WORK/web/nginx.conf <<-END
		user root;
		pid $WORK/web/pid;
		error_log $WORK/web/error.log;
		daemon off;
		events { }
		http {
			access_log $WORK/web/access.log;
			client_body_temp_path $WORK/web/tmp;
			proxy_temp_path $WORK/web/tmp;
			fastcgi_temp_path $WORK/web/tmp;
			uwsgi_temp_path $WORK/web/tmp;
			scgi_temp_path $WORK/web/tmp;
			types { text/plain txt; text/html html; application/gzip gz; }
			gzip on; gzip_types text/plain; gzip_min_length 1;
			server {
				listen $WEB:80;
				root $WORK/web/root;
			}
		}
	END
}

web_start() {
	mkdir -p $WORK/web/root $WORK/web/tmp
	web_configure
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
kill "$nginx"
finish
