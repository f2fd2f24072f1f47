# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The stage for tests/net/test_*.sh and scripts/demo.sh: a mail gateway with a real Postfix and
# senders around it, all in namespaces of their own.
#
# Sourcing this file runs the script again inside new network, mount and process namespaces, with a
# private /run and a private bpffs. When the script ends, or is killed, every process, device, mount
# and pinned program in there ends with it: there is nothing to clean up and nothing to leave behind.
#
#   sender eth0 --- br0 of namespace `net` --- mx0 of namespace `gw` (Postfix, gate25)
#
# Everybody is on one link, so a sender may have any address. Say what holds with want, check,
# check_not, ok, fail, skip, and end with `finish`: a script that ends without it has failed.
#
#   net_start                                        makes gw (192.0.2.25, 2001:db8::25) and the link
#   sender NAME ADDR…                                makes a namespace with these addresses
#   in_ns NAME COMMAND…                              runs a command there
#   mail_server_start, mail_server_stop              Postfix on ports 25 and 587 of gw
#   mail_send NAME ADDR [swaks options]              delivers one message from ADDR, by swaks
#   mail_count [TEXT]                                messages that were delivered (and contain TEXT)
#   smtp_connects NAME ADDR [SECONDS [PORT]]         does a connection from ADDR get a greeting?
#   smtp_burst NAME ADDR COUNT [SECONDS]             prints how many of COUNT at once got one
#   mail_slow_start KEY NAME ADDR                    a client that stops in mid-DATA
#   mail_slow_finish KEY                             it goes on; 0 if its message (ID KEY) was taken
#   guard_config < YAML                              configuration of gw's gate25, without its paths
#   guard_start [COMMAND…]                           starts gate25d (under COMMAND) and waits for it
#   guard_stop, guard_kill                           ends gate25d: SIGTERM, SIGKILL
#   gate25 ARGUMENT…                                 the CLI, on gw
#   metric NAME [LABEL=VALUE]…                       sum over all series that match, 0 if none does
#   quietly COMMAND…                                 shows what a command says only if it fails
#   wait_for SECONDS COMMAND…                        repeats a command until it succeeds
#   run, says, json                                  gate25 on gw, and what it has to say

set -u

if [ -z "${GATE25_STAGE:-}" ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "$0: network namespaces need root: sudo $0" >&2
		exit 1
	fi
	export GATE25_STAGE=1
	exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash "$0" "$@"
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case ${BUILD:=build} in
/*) ;;
*) BUILD=$ROOT/$BUILD ;;
esac
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

mount -t tmpfs -o mode=755 tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /run/lock /run/test
WORK=/run/test # mode 755: daemons that gave up root work in here
cd "$ROOT" || exit 1

# ---------------------------------------------------------------- results, as TAP

results=0
failures=0
finished=

ok() { # NAME
	results=$((results + 1))
	echo "ok $results - $1"
}

fail() { # NAME [DETAIL]…
	results=$((results + 1))
	failures=$((failures + 1))
	echo "not ok $results - $1"
	shift
	[ $# -eq 0 ] || printf '# %s\n' "$@"
}

skip() { # NAME WHY
	results=$((results + 1))
	echo "ok $results - $1 # SKIP $2"
}

want() { # NAME EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "expected: $2" "     got: $3"; fi
}

check() { # NAME COMMAND…
	local name=$1
	shift
	if "$@"; then ok "$name"; else fail "$name" "failed: $*"; fi
}

check_not() { # NAME COMMAND…
	local name=$1
	shift
	if "$@"; then fail "$name" "succeeded: $*"; else ok "$name"; fi
}

finish() {
	finished=1
	echo "1..$results"
	[ $failures -eq 0 ]
	exit
}

# shellcheck disable=SC2317 # called by the traps
stage_leave() {
	local status=$?
	if [ -z "$finished" ]; then
		fail "ended early, with status $status"
		status=1
	fi
	if [ $failures -gt 0 ] && [ -s $WORK/postfix/log ]; then
		echo "# the end of Postfix's log:"
		tail -n 20 $WORK/postfix/log | sed 's/^/#   /'
	fi
	if [ $failures -gt 0 ] && [ -s $WORK/agent.log ]; then
		echo "# the end of gate25d's log:"
		tail -n 30 $WORK/agent.log | sed 's/^/#   /'
	fi
	exit $status
}
trap stage_leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

quietly() { # COMMAND…
	"$@" > $WORK/said 2>&1 || { sed 's/^/# /' $WORK/said; return 1; }
}

# $WORK/web/nginx.conf, for a server in the foreground: what its http block holds comes on stdin.
nginx_configure() { # ACCESS_LOG
	local what
	mkdir -p $WORK/web/tmp
	{
		printf '%s;\n' "user root" "pid $WORK/web/pid" "error_log $WORK/web/error.log" "daemon off"
		printf 'events { }\nhttp {\naccess_log %s;\n' "$1"
		for what in client_body proxy fastcgi uwsgi scgi; do
			echo "${what}_temp_path $WORK/web/tmp;"
		done
		cat
		echo "}"
	} > $WORK/web/nginx.conf
}

wait_for() { # SECONDS COMMAND…
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# ---------------------------------------------------------------- namespaces

GW4=192.0.2.25
GW6=2001:db8::25

# `ip netns exec` would hide the bpffs behind a fresh /sys.
in_ns() { # NAME COMMAND…
	local name=$1
	shift
	nsenter --net="/run/netns/$name" -- "$@"
}

ns_add() { # NAME
	ip netns add "$1"
	in_ns "$1" ip link set lo up
	# No router, no waiting for duplicate addresses: what is configured works at once.
	# shellcheck disable=SC2016
	in_ns "$1" sh -c 'cd /proc/sys/net
		for interface in all default; do
			echo 0 > ipv4/conf/$interface/rp_filter
			echo 0 > ipv6/conf/$interface/accept_dad
			echo 0 > ipv6/conf/$interface/accept_ra
			echo 0 > ipv6/conf/$interface/disable_ipv6
		done'
}

# Joins a new interface of a namespace to the bridge. All addresses are on the link.
link_add() { # NAME INTERFACE ADDR…
	local name=$1 interface=$2 address
	shift 2
	in_ns net ip link add "$name-$interface" type veth peer name "$interface" \
		netns "/run/netns/$name"
	in_ns net ip link set "$name-$interface" master br0 up
	in_ns "$name" ip link set "$interface" up
	for address; do
		case $address in
		*:*) in_ns "$name" ip -6 address add "$address/128" dev "$interface" nodad ;;
		*) in_ns "$name" ip address add "$address/32" dev "$interface" ;;
		esac
	done
}

net_start() {
	ip link set lo up
	ns_add net
	in_ns net ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
	in_ns net ip link set br0 up
	ns_add gw
	link_add gw mx0 $GW4 $GW6
	routes_add gw mx0
}

routes_add() { # NAME INTERFACE
	in_ns "$1" ip route add default dev "$2"
	in_ns "$1" ip -6 route add default dev "$2"
}

sender() { # NAME ADDR…
	local name=$1
	shift
	ns_add "$name"
	link_add "$name" eth0 "$@"
	routes_add "$name" eth0
}

gateway_of() { # ADDR
	case $1 in
	*:*) echo $GW6 ;;
	*) echo $GW4 ;;
	esac
}

# ---------------------------------------------------------------- Postfix

# One domain, every address of it a Maildir: a message is a file. No DNS, no chroot.
mail_server_configure() {
	local service
	mkdir -p $WORK/postfix/queue $WORK/postfix/data $WORK/mail
	chown postfix $WORK/postfix/data
	chown nobody $WORK/mail
	cat > $WORK/postfix/main.cf <<-END
		compatibility_level = 3.6
		queue_directory = $WORK/postfix/queue
		data_directory = $WORK/postfix/data
		maillog_file = $WORK/postfix/log
		maillog_file_prefixes = $WORK
		myhostname = mx.example.org
		mydestination =
		mynetworks = 127.0.0.0/8
		inet_interfaces = all
		inet_protocols = all
		alias_maps =
		disable_dns_lookups = yes
		smtpd_peername_lookup = no
		smtpd_relay_restrictions = reject_unauth_destination
		smtpd_client_connection_count_limit = 0
		virtual_mailbox_domains = example.org
		virtual_mailbox_maps = static:inbox/
		virtual_mailbox_base = $WORK/mail
		virtual_uid_maps = static:$(id -u nobody)
		virtual_gid_maps = static:$(id -g nobody)
		default_process_limit = 500
	END
	{
		echo 'smtp inet n - n - - smtpd'
		echo '587 inet n - n - - smtpd'
		echo 'postlog unix-dgram n - n - 1 postlogd'
		echo 'cleanup unix n - n - 0 cleanup'
		echo 'qmgr unix n - n 300 1 qmgr'
		echo 'rewrite unix - - n - - trivial-rewrite'
		echo 'smtp unix - - n - - smtp'
		for service in bounce defer trace; do
			echo "$service unix - - n - 0 bounce"
		done
		for service in error retry; do
			echo "$service unix - - n - - error"
		done
		echo 'proxymap unix - - n - - proxymap'
		echo 'virtual unix - n n - - virtual'
		echo 'anvil unix - - n - 1 anvil'
	} > $WORK/postfix/master.cf
	# Postfix waits while its main.cf is younger than two seconds: somebody may still be writing.
	touch -d '1 minute ago' $WORK/postfix/*.cf
}

mail_server_start() {
	[ -e $WORK/postfix/main.cf ] || mail_server_configure
	if ! in_ns gw postfix -c $WORK/postfix start > $WORK/postfix/start.log 2>&1; then
		sed 's/^/# /' $WORK/postfix/start.log
		return 1
	fi
	wait_for 10 in_ns gw "$BUILD/tests/net/smtp" -t 1 probe 127.0.0.1
}

mail_server_stop() {
	in_ns gw postfix -c $WORK/postfix stop >> $WORK/postfix/start.log 2>&1
}

mail_send() { # NAME ADDR [swaks options]
	local name=$1 address=$2
	shift 2
	in_ns "$name" timeout 30 swaks --server "$(gateway_of "$address")" \
		--local-interface "$address" --helo client.example --timeout 5 \
		--from sender@client.example --to inbox@example.org "$@" > $WORK/swaks.log 2>&1
}

# A message is there once Postfix has put it down, a moment after it took it.
mail_count() { # [TEXT]
	if [ $# -eq 0 ]; then
		find $WORK/mail/inbox/new -type f 2> /dev/null | wc -l
	else
		grep -rlF -e "$1" $WORK/mail/inbox/new 2> /dev/null | wc -l
	fi
}

mail_arrived() { # COUNT [TEXT]
	local count=$1
	shift
	[ "$(mail_count "$@")" -ge "$count" ]
}

smtp_connects() { # NAME ADDR [SECONDS [PORT]]
	in_ns "$1" "$BUILD/tests/net/smtp" -f "$2" -t "${3:-2}" -p "${4:-25}" \
		probe "$(gateway_of "$2")" > /dev/null 2> $WORK/smtp.log
}

smtp_burst() { # NAME ADDR COUNT [SECONDS]
	in_ns "$1" "$BUILD/tests/net/smtp" -f "$2" -n "$3" -t "${4:-0.8}" \
		probe "$(gateway_of "$2")" 2> $WORK/smtp.log
}

declare -A slow_client=()

mail_slow_start() { # KEY NAME ADDR
	local key=$1 said=$WORK/slow-$1.log
	mkfifo "$WORK/slow-$key"
	in_ns "$2" "$BUILD/tests/net/smtp" -f "$3" -t 30 -m "$key" slow "$(gateway_of "$3")" \
		< "$WORK/slow-$key" > "$said" 2>&1 &
	slow_client[$key]=$!
	exec {slow_go}> "$WORK/slow-$key"
	slow_client[$key-go]=$slow_go
	wait_for 5 grep -q '^data' "$said" || { sed 's/^/# /' "$said"; return 1; }
}

mail_slow_finish() { # KEY
	local go=${slow_client[$1-go]}
	echo go >&"$go"
	exec {go}>&-
	wait "${slow_client[$1]}" || { sed 's/^/# /' "$WORK/slow-$1.log"; return 1; }
}

# ---------------------------------------------------------------- gate25

CONFIG=$WORK/gate25.yaml
agent=

guard_config() {
	{
		cat <<-END
			interfaces: [mx0]
			state_dir: $WORK/state
			run_dir: $WORK/run
			pin_dir: /sys/fs/bpf/gate25
		END
		cat
	} > $CONFIG.part
	mv $CONFIG.part $CONFIG
}

gate25() {
	in_ns gw "$BUILD/gate25" -c $CONFIG "$@"
}

# What a command says on stdout is in $out, on stderr in $err, its exit code in $code. It reads $INPUT.
run() { # ARGUMENT…
	gate25 "$@" > $WORK/out 2> $WORK/err < "${INPUT:-/dev/null}"
	code=$?
	out=$(cat $WORK/out)
	err=$(cat $WORK/err)
}

# A command, its exit code, and what stdout and stderr have to match; "-" is nothing at all.
matches() { # TEXT PATTERN
	case $2 in
	-) [ -z "$1" ] ;;
	*) [[ $1 =~ $2 ]] ;;
	esac
}

says() { # CODE STDOUT STDERR ARGUMENT…
	local want=$1 stdout=$2 stderr=$3
	shift 3
	run "$@"
	if [ $code -eq "$want" ] && matches "$out" "$stdout" && matches "$err" "$stderr"; then
		ok "gate25 $* -> $want"
	else
		fail "gate25 $* -> $want" "exit code $code" "stdout: $out" "    wanted: $stdout" \
			"stderr: $err" "    wanted: $stderr"
	fi
}

is_json() {
	jq -se 'length == 1 and (.[0] | .schema == 1 and (.results | type == "array"))' \
		> /dev/null 2>&1 # one object: of no input at all jq would think well
}

json() { # NAME FILTER WANT ARGUMENT…
	local name=$1 filter=$2 wanted=$3
	shift 3
	run -j "$@"
	if is_json <<< "$out"; then
		want "$name" "$wanted" "$(jq -r "$filter" <<< "$out")"
	else
		fail "$name" "no JSON: $out" "$err"
	fi
}

metric() { # NAME [LABEL=VALUE]…
	in_ns gw curl -s --max-time 5 http://127.0.0.1:9925/metrics | awk -v want="$*" '
	BEGIN { count = split(want, part, " ") }
	{
		name = $1
		sub(/\{.*/, "", name)
		if (name != part[1])
			next
		for (i = 2; i <= count; i++) {
			label = part[i]
			sub(/=/, "=\"", label)
			if (!index($1, "{" label "\"") && !index($1, "," label "\""))
				next
		}
		sum += $NF
	}
	END { printf "%.0f\n", sum }'
}

# shellcheck disable=SC2317 # called by wait_for
guard_ready() {
	[ "$(metric gate25_attached)" -ge 1 ]
}

# nsenter becomes the agent: what stands in `agent` is the process to signal.
guard_start() {
	nsenter --net=/run/netns/gw -- "$@" "$BUILD/gate25d" -c $CONFIG >> $WORK/agent.log 2>&1 &
	agent=$!
	wait_for 15 guard_ready
}

guard_end() { # SIGNAL
	local status
	kill "-$1" "$agent"
	wait "$agent" 2> /dev/null
	status=$?
	agent=
	return $status
}

guard_stop() {
	guard_end TERM
}

guard_kill() {
	guard_end KILL
	[ $? -eq 137 ]
}
