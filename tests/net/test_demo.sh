#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo holds what it claims, says so when something does not, and leaves nothing behind.
# timeout: 300
# shellcheck disable=SC2317 # functions that `check` calls
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

# The demo makes a stage of its own, with a /run of its own: what it needs must be elsewhere.
mount -t tmpfs tmpfs /mnt
demo() { # BUILD [ARGUMENT]…
	local build=$1
	shift
	env -u GATE25_STAGE -u ZONE BUILD="$build" timeout 120 scripts/demo.sh "$@" > /mnt/demo.log 2>&1
}

shown() { # PATTERN
	grep -qE -e "$1" /mnt/demo.log && return
	tail -n 40 /mnt/demo.log | sed 's/^/#   /'
	return 1
}

traces() {
	ls -A /run /run/netns /sys/fs/bpf
	cat /proc/mounts
	ip -o link
	ls -A "$ROOT"
}

before=$(traces)
check "the demo holds, within 2 minutes" demo "$BUILD"
check "it says how much held" shown '^ *([0-9]+) of \1 claims held$'
check_not "and nothing failed" grep -q FAILED /mnt/demo.log
want "it leaves nothing behind" "$before" "$(traces)"
check "so it does with the list of the repository" \
	demo "$BUILD" --zone tests/data/demo/zone.txt

# A guard that takes an entry and does nothing.
mkdir -p /mnt/build/tests/net
ln -s "$BUILD/gate25d" /mnt/build/
ln -s "$BUILD/tests/net/smtp" /mnt/build/tests/net/
cat > /mnt/build/gate25 <<-END
	#!/bin/sh
	[ "\$3" != add ] || exit 0
	exec "$BUILD/gate25" "\$@"
END
chmod 755 /mnt/build/gate25
check_not "it fails where 'gate25 add' does nothing" \
	demo /mnt/build --zone tests/data/demo/zone.txt
check "and says what failed" shown 'FAILED  203\.0\.113\.80 should get no connection'
check "and how many" shown '[1-9][0-9]* of [0-9]+ claims did NOT hold'
finish
