#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Known lists: shown, enabled as a file in conf.d, never written over; dead ones are refused.
# shellcheck disable=SC2317,SC2086,SC2016 # functions that `check` calls; zones have a $ of their own
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

FROM=(--from "$ROOT/contrib/presets")
CONF=$WORK/conf.d

configure() { # [LINE]…
	{
		echo "threshold: 2"
		echo "policy: observe"
		printf '%s\n' "$@"
	} | guard_config
	cp $CONFIG $WORK/as_it_was
}

shown() {
	says 0 "spamhaus-drop +block +on +no +never" - lists presets "${FROM[@]}"
	says 0 "big-senders +allow +on" - lists presets "${FROM[@]}"
	json "all of them" '.results | length' "$(find contrib/presets -name '*.yaml' | wc -l)" \
		lists presets "${FROM[@]}"
	json "with their terms" '.results[] | select(.name == "dshield") | .accept_terms, .ship' \
		$'true\noff' lists presets "${FROM[@]}"
	json "none was fetched here" '[.results[].last_checked] | unique[]' never \
		lists presets "${FROM[@]}"
	says 0 "source .*www.spamhaus.org.*terms .*credit.*drop_v6.json, every 24h.*lists:" - \
		lists presets spamhaus-drop "${FROM[@]}"
	says 1 - "there is no preset nope; gate25 lists presets" lists presets nope "${FROM[@]}"
	says 1 - "no preset \.\./presets/asn" lists presets ../presets/asn "${FROM[@]}"
	says 1 - "make install" lists presets --from $WORK/absent
	says 2 - "there is no .lists blah.; there are: .*presets, enable" lists blah
}

enabled() {
	configure "include: conf.d/*.yaml"
	says 1 "source" "make the folder conf.d" lists enable greensnow "${FROM[@]}"
	mkdir $CONF
	says 0 "source .*terms .*every 1h.*wrote .*conf.d/greensnow.yaml; in force after: gate25 reload" - \
		lists enable greensnow "${FROM[@]}"
	says 0 "ok: .* 1 list " "no list can block" check
	want "it is one of the lists" greensnow "$(gate25 -j lists 2> /dev/null | jq -r '.results[].name')"
	says 0 "greensnow +block +off +yes" - lists presets "${FROM[@]}"
	says 0 "is there already" - lists enable greensnow "${FROM[@]}"
	json "and is not written again" '.results[0].written' false lists enable greensnow "${FROM[@]}"
	says 0 "enable +greensnow" - log
	sed -i 's/weight: 1/weight: 3/' $CONF/greensnow.yaml
	cp $CONF/greensnow.yaml $WORK/edited
	says 1 "" "was changed, or is of another version. It stays" lists enable greensnow "${FROM[@]}"
	check "what was changed by hand stays" cmp $CONF/greensnow.yaml $WORK/edited
	want "nothing is left half written" greensnow.yaml "$(ls -A $CONF)"
}

terms() {
	says 1 "terms .*not for commercial use" "want to be accepted: .*--accept-terms" \
		lists enable dshield "${FROM[@]}"
	check_not "without it nothing is written" [ -e $CONF/dshield.yaml ]
	says 0 "wrote" - lists enable dshield --accept-terms "${FROM[@]}"
	check "that they were accepted stands there" grep -q "^# Terms: .*, accepted$" $CONF/dshield.yaml
	says 0 "is there already" - lists enable dshield "${FROM[@]}"
}

networks() {
	says 2 - "of which autonomous system, as in --asn 64496" lists enable asn "${FROM[@]}"
	says 2 - "--asn x: a number" lists enable asn --asn x "${FROM[@]}"
	says 2 - "--asn has no meaning" lists enable cins --asn 64496 "${FROM[@]}"
	says 0 "as64496: .*/as/64496/.*wrote .*conf.d/as64496.yaml" - \
		lists enable asn --asn 64496 "${FROM[@]}"
	says 0 "ok" - check
}

conflicts() {
	configure "include: conf.d/*.yaml" "lists: [{name: cins, entries: [192.0.2.1]}]"
	says 1 "source" "cins is configured already, in .*gate25.yaml line" lists enable cins "${FROM[@]}"
	check_not "and nothing is written" [ -e $CONF/cins.yaml ]
	configure "include: conf.d/*.yaml" "services: [{name: mx, ports: [25]}]"
	mkdir $WORK/harm
	sed 's/format: plain/format: nonsense/' contrib/presets/cins.yaml > $WORK/harm/cins.yaml
	says 1 "source" "could not be used, so it was not kept" lists enable cins --from $WORK/harm
	check_not "what harms the configuration is taken away again" [ -e $CONF/cins.yaml ]
	configure
	says 0 "wrote" "does not read it; add there: include: conf.d" lists enable cins "${FROM[@]}"
	check "the configuration itself is never touched" cmp $CONFIG $WORK/as_it_was
}

dead() {
	local source
	for source in "url: \"https://ix.dnsbl.manitu.net/x\"" "url: \"https://www.sorbs.net/zone\"" \
		"url: \"https://www.spamhaus.org/drop/edrop.txt\"" "file: /var/lib/rbldns/dnsbl.inps.de" \
		"file: /var/lib/rbldns/virbl.dnsbl.bit.nl.gz"; do
		configure "lists: [{name: old, $source}]"
		says 1 - "'old': .* is a dead list \(.*\); remove it" check
	done
	configure "lists: [{name: own, url: \"https://nosorbs.net/list\"}, {name: b, file: /x/sorbs.net-example}]"
	run check
	want "a like name is none" 0 $code
	configure "lists: [{name: hard, file: $WORK/dnsbl-2.uceprotect.net}]"
	touch $WORK/dnsbl-2.uceprotect.net
	says 0 "ok" "warning: .*stops much good mail: it names whole networks" check
}

# None of the sources can be asked here: local files in the shape of each stand in for them.
stand_in() { # LIST
	case $1 in
	spamhaus-drop)
		echo '{"cidr":"198.51.100.0/24","sblid":"SBL1","rir":"apnic"}'
		echo '{"cidr":"203.0.113.0/25","sblid":"SBL2","rir":"arin"}'
		echo '{"type":"metadata","timestamp":1760000000,"size":99,"records":2,"copyright":"(c)","terms":"t"}'
		;;
	spamhaus-drop-v6)
		echo '{"cidr":"2001:db8:bad::/48","sblid":"SBL3","rir":"ripencc"}'
		echo '{"type":"metadata","timestamp":1760000000,"size":99,"records":1,"copyright":"(c)","terms":"t"}'
		;;
	big-senders-*)
		echo '{"description": "d", "list": ["198.51.100.0/26", "203.0.113.7", "2001:db8:f::/48"], "name": "n"}'
		;;
	uceprotect-1)
		printf '$TTL 60\n$TIMESTAMP 2026:01:02:03:04:05\n$SOA 0 a. b. 1 60 60 60 60\n:127.0.0.2:listed, see http://x.example/$\n!192.0.2.0/24\n'
		printf '127.0.0.2\n198.51.100.1\n198.51.100.2\n198.51.100.3\n'
		;;
	dshield)
		printf '# DShield\nStart\tEnd\tNetmask\tAttacks\n198.51.100.0\t198.51.100.255\t24\t99\n'
		printf '203.0.113.0\t203.0.113.255\t24\t9\n192.0.2.0\t192.0.2.255\t24\t9\n'
		;;
	ipsum-3) printf '# IPsum\n198.51.100.1\t9\n198.51.100.2\t8\n198.51.100.3\t3\n' ;;
	firehol-1)
		printf '#\n# Entries : 3 subnets, 770 unique IPs\n#\n198.51.100.0/24\n203.0.113.0/24\n192.0.2.0/24\n'
		;;
	*-v6) printf '# x\n2001:db8:1::/48\n2001:db8:2::/48\n2001:db8:3::/48\n' ;;
	*) printf '198.51.100.1\r\n198.51.100.2\n198.51.100.3' ;;
	esac
}

stand_ins_hold() {
	cat <<-END
		as64496 3
		as64496-v6 3
		big-senders 2
		big-senders-gmail 3
		big-senders-office365 3
		big-senders-smtp 3
		blocklist-de-mail 3
		cins 3
		dshield 3
		firehol-1 3
		greensnow 3
		interserver 3
		ipsum-3 3
		psbl 3
		spamhaus-drop 2
		spamhaus-drop-v6 1
		uceprotect-1 3
	END
}

# Each preset as it is, but for where its lists come from.
stand_ins() {
	local preset name conf=$WORK/stand-in
	rm -rf $CONF
	mkdir $CONF $conf
	for preset in contrib/presets/*.yaml; do
		sed '1,/^  last_checked/d; s/{ASN}/64496/; /^    insecure/d; /^    refresh/d' $preset > $conf/text
		sed -n 's/^  - name: //p' $conf/text | while read -r name; do stand_in $name > $conf/$name; done
		awk -v dir=$conf '/^  - name: / { name = $3 }
			/^    (url|rsync): / { print "    file: " dir "/" name; next }
			/^    spf:/ { print "    entries: [192.0.2.1, 192.0.2.2]"; skip = 1; next }
			/^      - / && skip { next } { skip = 0; print }' $conf/text > $CONF/${preset##*/}
	done
	configure "include: conf.d/*.yaml"
	says 0 "ok" - check
	quietly gate25 load
	quietly gate25 reload
	gate25 -j lists > $conf/lists.json
	want "each list reads its stand-in without an error" 0 \
		"$(jq '[.results[] | select(.error != null or .entries4 + .entries6 == 0)] | length' $conf/lists.json)"
	want "and all of it" "$(stand_ins_hold)" \
		"$(jq -r '.results[] | "\(.name) \(.entries4 + .entries6)"' $conf/lists.json | sort)"
}

net_start
configure
shown
enabled
terms
networks
conflicts
dead
stand_ins
finish
