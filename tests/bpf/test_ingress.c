// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict on single frames: description, what the maps say, the counter that must move.
 * Whatever is not told to move must stay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/common/world.h"
#include "user/dataplane.h"
#include "user/reason.h"

static struct world world;

/* ------------------------------------------------------------------ the table */

/* An entry of the overlay. It holds for all services. */
struct entry {
	const char *prefix;
	enum gate25_slot slot;
	enum { LIVE, OVER } when;
};
#define ALLOW(prefix)                                                                              \
	{                                                                                          \
		prefix, GATE25_SLOT_ALLOW, LIVE                                                    \
	}
#define BLOCK(prefix)                                                                              \
	{                                                                                          \
		prefix, GATE25_SLOT_BLOCK, LIVE                                                    \
	}
#define FORCED(prefix)                                                                             \
	{                                                                                          \
		prefix, GATE25_SLOT_FORCED, LIVE                                                   \
	}
#define BAN(prefix)                                                                                \
	{                                                                                          \
		prefix, GATE25_SLOT_AUTO, LIVE                                                     \
	}
#define EXPIRED(prefix, by)                                                                        \
	{                                                                                          \
		prefix, GATE25_SLOT_##by, OVER                                                     \
	}

/* Frames */
#define EXT(...) .family = 6, .extensions = { __VA_ARGS__ }
#define FRAGMENT                                                                                   \
	{                                                                                          \
		IPPROTO_FRAGMENT, 8                                                                \
	}
#define VLAN		  .tags = { 0x8100 }
#define QINQ		  .tags = { 0x88a8, 0x8100 }
#define LISTED		  .from = "203.0.113.200"
#define LISTED6		  .from = "2001:db8:bad::1"
#define SHADOWED	  .from = "198.18.3.4"
#define LISTED_AND_FRIEND .from = "203.0.113.10"

#define UNCOUNTED	      GATE25_REASONS
#define WANT(reason, service) .want = GATE25_REASON_##reason, .row = service

static const struct given {
	const char *name;
	struct packet_spec spec;
	struct entry entries[4];
	struct gate25_control control;
	enum { NO_PAUSE, PAUSED, PAUSE_OVER } pause;
	enum { NO_MANUAL_ALLOW, MANUAL_ALLOW, MANUAL_ALLOW_OVER } manual_allow; /* of closed */
	unsigned int want, row;
} cases[] = {
	/* what is nothing to us: no counter moves */
	{ "UDP", { LISTED, .protocol = IPPROTO_UDP }, .want = UNCOUNTED },
	{ "UDP, IPv6", { LISTED6, .protocol = IPPROTO_UDP }, .want = UNCOUNTED },
	{ "ICMP", { LISTED, .protocol = IPPROTO_ICMP }, .want = UNCOUNTED },
	{ "ARP", { LISTED, .ethertype = 0x0806 }, .want = UNCOUNTED },
	{ "another port", { LISTED, .to_port = 443 }, .want = UNCOUNTED },
	{ "port 25 with its bytes swapped", { LISTED, .to_port = 0x1900 }, .want = UNCOUNTED },
	{ "from port 25", { LISTED, .from_port = 25, .to_port = 40000 }, .want = UNCOUNTED },
	{ "from port 25, SYN ACK",
	  { LISTED6, .from_port = 25, .to_port = 40000, .flags = SYN | ACK },
	  .want = UNCOUNTED },
	{ "malformed to another port", { .to_port = 443, .flags = SYN | FIN }, .want = UNCOUNTED },
	{ "three tags", { LISTED, .tags = { 0x88a8, 0x8100, 0x8100 } }, .want = UNCOUNTED },
	{ "IPv4 of version 6", { LISTED, .version_delta = 2 }, .want = UNCOUNTED },
	{ "IPv4 with ihl 4", { LISTED, .ihl_delta = -1 }, .want = UNCOUNTED },
	{ "UDP fragment",
	  { LISTED, .protocol = IPPROTO_UDP, .fragment_offset = 1 },
	  .want = UNCOUNTED },

	/* nobody's enemy */
	{ "SYN", { .flags = SYN }, WANT(OK, MX) },
	{ "SYN, IPv6", { .family = 6 }, WANT(OK, MX) },
	{ "SYN with ECN and payload", { .flags = SYN | ECE | 0x80, .payload = 99 }, WANT(OK, MX) },
	{ "ACK", { .flags = ACK }, WANT(ESTABLISHED, MX) },
	{ "SYN ACK", { .flags = SYN | ACK }, WANT(ESTABLISHED, MX) },
	{ "RST, IPv6", { .flags = RST, .family = 6 }, WANT(ESTABLISHED, MX) },
	{ "beside the list", { .from = "203.0.112.255" }, WANT(OK, MX) },
	{ "behind the list", { .from = "203.0.114.0" }, WANT(OK, MX) },
	{ "beside the listed host", { .from = "192.0.2.67" }, WANT(OK, MX) },
	{ "beside the list, IPv6", { .from = "2001:db8:bac:ffff::1" }, WANT(OK, MX) },
	{ "beside the listed host, IPv6", { .from = "2001:db8::67" }, WANT(OK, MX) },

	/* listed, in every wrapping */
	{ "listed", { LISTED }, WANT(LIST, MX) },
	{ "first of the list", { .from = "203.0.113.0" }, WANT(LIST, MX) },
	{ "last of the list", { .from = "203.0.113.255" }, WANT(LIST, MX) },
	{ "listed host", { .from = "192.0.2.66" }, WANT(LIST, MX) },
	{ "listed, IPv6", { LISTED6 }, WANT(LIST, MX) },
	{ "last of the list, IPv6",
	  { .from = "2001:db8:bad:ffff:ffff:ffff:ffff:ffff" },
	  WANT(LIST, MX) },
	{ "listed host, IPv6", { .from = "2001:db8::66" }, WANT(LIST, MX) },
	{ "listed, VLAN", { LISTED, VLAN }, WANT(LIST, MX) },
	{ "listed, VLAN, IPv6", { LISTED6, VLAN }, WANT(LIST, MX) },
	{ "listed, QinQ", { LISTED, QINQ }, WANT(LIST, MX) },
	{ "listed, QinQ, IPv6", { LISTED6, QINQ }, WANT(LIST, MX) },
	{ "listed, IPv4 options", { LISTED, .ip_options = 40, .tcp_options = 40 }, WANT(LIST, MX) },
	{ "listed, options, QinQ", { LISTED, .ip_options = 4, QINQ }, WANT(LIST, MX) },
	{ "listed, padding", { LISTED, .padding = 6 }, WANT(LIST, MX) },
	{ "listed, total length 0", { LISTED, .length_delta = -40 }, WANT(LIST, MX) },
	{ "listed, payload length 0 behind hop-by-hop",
	  { LISTED6, EXT({ 0, 8 }), .length_delta = -28 },
	  WANT(LIST, MX) },
	{ "aggregated beyond 64 KiB",
	  { .flags = ACK, .payload = 9000, .length_delta = -9040 },
	  WANT(ESTABLISHED, MX) },
	{ "listed, extension headers",
	  { LISTED6, EXT({ 0, 8 }, { 43, 24 }, { 60, 2048 }, { 51, 24 }, { 135, 16 }, { 139, 40 },
			 { 140, 16 }, { 60, 8 }) },
	  WANT(LIST, MX) },
	{ "listed, atomic fragment", { LISTED6, EXT(FRAGMENT) }, WANT(LIST, MX) },
	{ "listed, first fragment",
	  { LISTED, .more_fragments = true, .payload = 4 },
	  WANT(LIST, MX) },
	{ "listed, first fragment, IPv6",
	  { LISTED6, EXT(FRAGMENT), .more_fragments = true, .payload = 4 },
	  WANT(LIST, MX) },
	{ "listed, urgent SYN", { LISTED, .flags = SYN | URG | PSH }, WANT(LIST, MX) },
	{ "listed and observed", { .from = "203.0.113.4" }, WANT(LIST, MX) },
	{ "observed list", { SHADOWED }, WANT(WOULD_LIST, MX) },
	{ "observed list, IPv6", { .from = "2001:db8:5ad::1" }, WANT(WOULD_LIST, MX) },

	/* an IPv6 address that carries an IPv4 one is that one */
	{ "listed, translated", { .from = "64:ff9b::203.0.113.9" }, WANT(LIST, MX) },
	{ "listed, mapped", { .from = "::ffff:203.0.113.9" }, WANT(LIST, MX) },
	{ "blocked by hand, translated",
	  { .from = "64:ff9b::192.0.2.1" },
	  { BLOCK("192.0.2.1") },
	  WANT(MANUAL, MX) },
	{ "friend, translated", { .from = "64:ff9b::203.0.113.10" }, WANT(ALLOW, MX) },
	{ "unlisted, translated", { .from = "64:ff9b::192.0.2.1" }, WANT(OK, MX) },
	{ "another prefix carries nothing", { .from = "64:ff9b:1::203.0.113.9" }, WANT(OK, MX) },

	/* allow */
	{ "friend", { .from = "192.0.2.200" }, WANT(ALLOW, MX) },
	{ "friend and listed", { LISTED_AND_FRIEND }, WANT(ALLOW, MX) },
	{ "friend and listed, IPv6", { .from = "2001:db8:bad:1::5" }, WANT(ALLOW, MX) },
	{ "friend, but not for closed",
	  { .from = "192.0.2.200", .to_port = 2525 },
	  WANT(NO_ALLOW, CLOSED) },
	{ "manual allow", { LISTED }, { ALLOW("203.0.113.200") }, WANT(ALLOW_MANUAL, MX) },
	{ "manual allow, IPv6",
	  { LISTED6 },
	  { ALLOW("2001:db8:bad::/64") },
	  WANT(ALLOW_MANUAL, MX) },
	{ "manual allow of everybody", { LISTED }, { ALLOW("0.0.0.0/0") }, WANT(ALLOW_MANUAL, MX) },
	{ "manual allow of everybody, IPv6",
	  { LISTED6 },
	  { ALLOW("::/0") },
	  WANT(ALLOW_MANUAL, MX) },

	/* manual block, ban, forced */
	{ "blocked", { .flags = SYN }, { BLOCK("192.0.2.7") }, WANT(MANUAL, MX) },
	{ "blocked network", { .flags = SYN }, { BLOCK("192.0.0.0/16") }, WANT(MANUAL, MX) },
	{ "blocked, IPv6", { .family = 6 }, { BLOCK("2001:db8::7") }, WANT(MANUAL, MX) },
	{ "blocked /64", { .family = 6 }, { BLOCK("2001:db8::/64") }, WANT(MANUAL, MX) },
	{ "blocked /65", { .family = 6 }, { BLOCK("2001:db8::/65") }, WANT(MANUAL, MX) },
	{ "blocked /1", { .from = "c000::1" }, { BLOCK("8000::/1") }, WANT(MANUAL, MX) },
	{ "a neighbour is blocked", { .flags = SYN }, { BLOCK("192.0.2.6") }, WANT(OK, MX) },
	{ "a neighbour is blocked, IPv6",
	  { .family = 6 },
	  { BLOCK("2001:db8::8/127") },
	  WANT(OK, MX) },
	{ "blocks of both families",
	  { .family = 6 },
	  { BLOCK("192.0.2.7"), BLOCK("2001:db8::7") },
	  WANT(MANUAL, MX) },
	{ "banned", { .flags = SYN }, { BAN("192.0.2.7") }, WANT(BAN, MX) },
	{ "banned /64", { .from = "2001:db8::9999" }, { BAN("2001:db8::/64") }, WANT(BAN, MX) },
	{ "blocked friend", { .from = "192.0.2.200" }, { BLOCK("192.0.2.200") }, WANT(ALLOW, MX) },
	{ "banned friend", { .from = "192.0.2.200" }, { BAN("192.0.2.200") }, WANT(ALLOW, MX) },
	{ "forced against a friend",
	  { .from = "192.0.2.200" },
	  { FORCED("192.0.2.200") },
	  WANT(MANUAL, MX) },
	{ "forced within an allowed network",
	  { .flags = SYN },
	  { ALLOW("192.0.2.0/24"), FORCED("192.0.2.7") },
	  WANT(MANUAL, MX) },
	{ "allowed within a forced network",
	  { .flags = SYN },
	  { FORCED("192.0.2.0/24"), ALLOW("192.0.2.7") },
	  WANT(ALLOW_MANUAL, MX) },
	{ "allow, then forced",
	  { .flags = SYN },
	  { ALLOW("192.0.2.7"), FORCED("192.0.2.7") },
	  WANT(MANUAL, MX) },
	{ "forced, then allow",
	  { .flags = SYN },
	  { FORCED("192.0.2.7"), ALLOW("192.0.2.7") },
	  WANT(ALLOW_MANUAL, MX) },
	{ "allowed by /40, forced by /39",
	  { .family = 6 },
	  { FORCED("2001:db8::/39"), ALLOW("2001:db8::/40") },
	  WANT(ALLOW_MANUAL, MX) },
	{ "allowed by /127, forced by /128",
	  { .family = 6 },
	  { FORCED("2001:db8::7"), ALLOW("2001:db8::6/127") },
	  WANT(MANUAL, MX) },
	{ "allowed network, banned host",
	  { .flags = SYN },
	  { BAN("192.0.2.7"), ALLOW("192.0.2.0/24") },
	  WANT(ALLOW_MANUAL, MX) },

	/* what is over is over, though nobody has cleared it away */
	{ "block is over", { .flags = SYN }, { EXPIRED("192.0.2.7", BLOCK) }, WANT(OK, MX) },
	{ "ban is over", { .family = 6 }, { EXPIRED("2001:db8::/64", AUTO) }, WANT(OK, MX) },
	{ "allow is over", { LISTED }, { EXPIRED("203.0.113.200", ALLOW) }, WANT(LIST, MX) },
	{ "forced is over",
	  { .flags = SYN },
	  { EXPIRED("192.0.2.7", FORCED), ALLOW("192.0.2.0/24") },
	  WANT(ALLOW_MANUAL, MX) },

	/* services */
	{ "listed, submission", { LISTED, .to_port = 587 }, WANT(OK, SUBMISSION) },
	{ "blocked, submission",
	  { .to_port = 465 },
	  { BLOCK("192.0.2.7") },
	  WANT(MANUAL, SUBMISSION) },
	{ "an address of its own", { .to = "198.51.100.99" }, WANT(OK, OWN) },
	{ "a network of its own", { .to = "198.51.100.129" }, WANT(OK, OWN) },
	{ "beside that network", { .to = "198.51.100.127" }, WANT(OK, MX) },
	{ "an IPv6 address of its own", { .to = "2001:db8:ffff::99" }, WANT(OK, OWN) },
	{ "its neighbour", { .to = "2001:db8:ffff::98" }, WANT(OK, MX) },
	{ "an own address at another port",
	  { .to = "198.51.100.99", .to_port = 587 },
	  WANT(OK, SUBMISSION) },
	{ "listed, own address", { LISTED, .to = "198.51.100.99" }, WANT(LIST, OWN) },

	/* default: drop */
	{ "closed, no allow entry is live", { .to_port = 2525 }, WANT(NO_ALLOW, CLOSED) },
	{ "closed", { .to_port = 2525 }, .manual_allow = MANUAL_ALLOW, WANT(DEFAULT, CLOSED) },
	{ "closed, the last allow entry is over",
	  { .to_port = 2525 },
	  .manual_allow = MANUAL_ALLOW_OVER,
	  WANT(NO_ALLOW, CLOSED) },
	{ "closed, allowed by hand",
	  { .to_port = 2525 },
	  { ALLOW("192.0.2.7") },
	  .manual_allow = MANUAL_ALLOW,
	  WANT(ALLOW_MANUAL, CLOSED) },
	{ "partners", { .to_port = 2526 }, WANT(DEFAULT, PARTNERS) },
	{ "partners, IPv6", { .family = 6, .to_port = 2526 }, WANT(DEFAULT, PARTNERS) },
	{ "partners, a friend", { .from = "192.0.2.200", .to_port = 2526 }, WANT(ALLOW, PARTNERS) },
	{ "partners, observed",
	  { .to_port = 2526 },
	  .control = { .observe_services = 1 << PARTNERS },
	  WANT(WOULD_DEFAULT, PARTNERS) },

	/* policies */
	{ "the whole observes: listed",
	  { LISTED },
	  .control = { .observe = 1 },
	  WANT(WOULD_LIST, MX) },
	{ "the whole observes: blocked",
	  { .family = 6 },
	  { BLOCK("2001:db8::7") },
	  .control = { .observe = 1 },
	  WANT(WOULD_MANUAL, MX) },
	{ "the whole observes: banned",
	  { .flags = SYN },
	  { BAN("192.0.2.7") },
	  .control = { .observe = 1 },
	  WANT(WOULD_BAN, MX) },
	{ "the whole observes: friend",
	  { LISTED_AND_FRIEND },
	  .control = { .observe = 1 },
	  WANT(ALLOW, MX) },
	{ "the service observes: listed",
	  { LISTED },
	  .control = { .observe_services = 1 << MX },
	  WANT(WOULD_LIST, MX) },
	{ "another service observes: listed",
	  { LISTED },
	  .control = { .observe_services = 0xff & ~(1 << MX) },
	  WANT(LIST, MX) },
	{ "paused: listed", { LISTED }, .pause = PAUSED, WANT(WOULD_LIST, MX) },
	{ "paused: blocked",
	  { .flags = SYN },
	  { BLOCK("192.0.2.7") },
	  .pause = PAUSED,
	  WANT(WOULD_MANUAL, MX) },
	{ "paused: friend", { LISTED_AND_FRIEND }, .pause = PAUSED, WANT(ALLOW, MX) },
	{ "paused: unlisted", { .flags = SYN }, .pause = PAUSED, WANT(OK, MX) },
	{ "the pause is over", { LISTED }, .pause = PAUSE_OVER, WANT(LIST, MX) },

	/* malformed */
	{ "SYN FIN", { .flags = SYN | FIN }, WANT(MALFORMED, MX) },
	{ "SYN RST, IPv6", { .flags = SYN | RST, .family = 6 }, WANT(MALFORMED, MX) },
	{ "NULL, submission", { .flags = NO_FLAGS, .to_port = 587 }, WANT(MALFORMED, SUBMISSION) },
	{ "XMAS", { .flags = FIN | PSH | URG, VLAN }, WANT(MALFORMED, MX) },
	{ "FIN alone", { .flags = FIN, .to = "198.51.100.99" }, WANT(MALFORMED, OWN) },
	{ "doff 4", { .doff_delta = -1 }, WANT(MALFORMED, MX) },
	{ "doff beyond the datagram", { .doff_delta = 1, .padding = 20 }, WANT(MALFORMED, MX) },
	{ "total length beyond the frame", { .length_delta = 1 }, WANT(MALFORMED, MX) },
	{ "payload length beyond the frame",
	  { .length_delta = 9, .family = 6 },
	  WANT(MALFORMED, MX) },
	{ "the frame ends within TCP", { .cut = 1 }, WANT(MALFORMED, MX) },
	{ "the frame ends within ports", { .cut = 17 }, WANT(MALFORMED, NO_SERVICE) },
	{ "the datagram ends within ports", { .length_delta = -17 }, WANT(MALFORMED, NO_SERVICE) },
	{ "ihl beyond the frame", { .ihl_delta = 10 }, WANT(MALFORMED, NO_SERVICE) },
	{ "first fragment of 8 bytes",
	  { .more_fragments = true, .end_tcp = 8, .padding = 32 },
	  WANT(MALFORMED, NO_SERVICE) },
	{ "first fragment of 8 bytes, IPv6",
	  { EXT(FRAGMENT), .more_fragments = true, .end_tcp = 8 },
	  WANT(MALFORMED, NO_SERVICE) },
	{ "first fragment of 16 bytes",
	  { .more_fragments = true, .end_tcp = 16, .padding = 24 },
	  WANT(MALFORMED, MX) },
	{ "offset 1", { .fragment_offset = 1 }, WANT(MALFORMED, NO_SERVICE) },
	{ "offset 1, IPv6", { EXT(FRAGMENT), .fragment_offset = 1 }, WANT(MALFORMED, NO_SERVICE) },
	{ "malformed friend", { LISTED_AND_FRIEND, .flags = SYN | FIN }, WANT(MALFORMED, MX) },
	{ "the whole observes: malformed",
	  { .flags = SYN | FIN },
	  .control = { .observe = 1 },
	  WANT(WOULD_MALFORMED, MX) },
	{ "the service observes: malformed",
	  { .flags = SYN | FIN },
	  .control = { .observe_services = 1 << MX },
	  WANT(WOULD_MALFORMED, MX) },
	{ "all services observe: no port",
	  { .fragment_offset = 1 },
	  .control = { .observe_services = 0xff },
	  WANT(MALFORMED, NO_SERVICE) },
	{ "the whole observes: no port",
	  { .fragment_offset = 1 },
	  .control = { .observe = 1 },
	  WANT(WOULD_MALFORMED, NO_SERVICE) },
	{ "paused: no port",
	  { .fragment_offset = 1 },
	  .pause = PAUSED,
	  WANT(WOULD_MALFORMED, NO_SERVICE) },
	{ "paused: malformed", { .doff_delta = -1 }, .pause = PAUSED, WANT(WOULD_MALFORMED, MX) },
	{ "the pause is over: malformed",
	  { .doff_delta = -1 },
	  .pause = PAUSE_OVER,
	  WANT(MALFORMED, MX) },

	/* no port to be seen, and no malice */
	{ "later fragment", { LISTED, .fragment_offset = 2 }, WANT(FRAGMENT, NO_SERVICE) },
	{ "later fragment, tags",
	  { LISTED, .fragment_offset = 185, QINQ },
	  WANT(FRAGMENT, NO_SERVICE) },
	{ "later fragment, IPv6",
	  { LISTED6, EXT(FRAGMENT), .fragment_offset = 2 },
	  WANT(FRAGMENT, NO_SERVICE) },
	{ "later fragment of who knows what",
	  { LISTED6, EXT(FRAGMENT, { 60, 8 }), .fragment_offset = 1 },
	  WANT(FRAGMENT, NO_SERVICE) },
	{ "nine extension headers",
	  { LISTED6, EXT({ 0, 8 }, { 60, 8 }, { 60, 8 }, { 60, 8 }, { 60, 8 }, { 60, 8 }, { 60, 8 },
			 { 60, 8 }, { 60, 8 }) },
	  WANT(HEADERS, NO_SERVICE) },
	{ "extension headers beyond the frame",
	  { LISTED6, EXT({ 60, 64 }), .cut = 60 },
	  WANT(HEADERS, NO_SERVICE) },
	{ "extension headers beyond what the driver shows",
	  { LISTED6, EXT({ 60, 2048 }, { 60, 2048 }), .flags = ACK },
	  WANT(HEADERS, NO_SERVICE) },
	{ "long frame of an open session",
	  { .flags = ACK, .payload = 8900 },
	  WANT(ESTABLISHED, MX) },
	{ "long SYN of a listed source", { LISTED, .payload = 8900 }, WANT(LIST, MX) },

	/* no SYN: the sockets of this namespace are asked, and it has none */
	{ "listed, ACK, sockets elsewhere", { LISTED, .flags = ACK }, WANT(FORWARDED, MX) },
	{ "listed, ACK",
	  { LISTED, .flags = ACK },
	  .control = { .local_services = 1 << MX },
	  WANT(NO_SOCKET, MX) },
	{ "listed, SYN ACK, IPv6",
	  { LISTED6, .flags = SYN | ACK },
	  .control = { .local_services = 1 << MX },
	  WANT(NO_SOCKET, MX) },
	{ "listed, RST",
	  { LISTED, .flags = RST },
	  .control = { .local_services = 1 << MX },
	  WANT(NO_SOCKET, MX) },
	{ "listed, ACK, only others are local",
	  { LISTED, .flags = ACK },
	  .control = { .local_services = 0xff & ~(1 << MX) },
	  WANT(FORWARDED, MX) },
	{ "blocked, ACK",
	  { .flags = FIN | ACK },
	  { BLOCK("192.0.2.7") },
	  .control = { .local_services = 1 << MX },
	  WANT(NO_SOCKET, MX) },
	{ "banned, ACK, IPv6",
	  { .flags = ACK, .family = 6 },
	  { BAN("2001:db8::/64") },
	  .control = { .local_services = 1 << MX },
	  WANT(NO_SOCKET, MX) },
	{ "block is over, ACK",
	  { .flags = ACK },
	  { EXPIRED("192.0.2.7", BLOCK) },
	  .control = { .local_services = 1 << MX },
	  WANT(ESTABLISHED, MX) },
	{ "default, ACK",
	  { .flags = ACK, .to_port = 2526 },
	  .control = { .local_services = 1 << PARTNERS },
	  WANT(NO_SOCKET, PARTNERS) },
	{ "no allow entry is live, ACK",
	  { .flags = ACK, .to_port = 2525 },
	  .control = { .local_services = 1 << CLOSED },
	  WANT(ESTABLISHED, CLOSED) },
	{ "the last allow entry is over, ACK",
	  { .flags = ACK, .to_port = 2525 },
	  .control = { .local_services = 1 << CLOSED },
	  .manual_allow = MANUAL_ALLOW_OVER,
	  WANT(ESTABLISHED, CLOSED) },
	{ "friend and listed, ACK",
	  { LISTED_AND_FRIEND, .flags = ACK },
	  .control = { .local_services = 1 << MX },
	  WANT(ESTABLISHED, MX) },
	{ "allowed by hand and listed, ACK",
	  { LISTED, .flags = ACK },
	  { ALLOW("203.0.113.200") },
	  .control = { .local_services = 1 << MX },
	  WANT(ESTABLISHED, MX) },
	{ "observed list, ACK",
	  { SHADOWED, .flags = ACK },
	  .control = { .local_services = 1 << MX },
	  WANT(ESTABLISHED, MX) },
	{ "the whole observes: observed list, ACK",
	  { SHADOWED, .flags = ACK },
	  .control = { .local_services = 1 << MX, .observe = 1 },
	  WANT(ESTABLISHED, MX) },
	{ "the whole observes: listed, ACK",
	  { LISTED, .flags = ACK },
	  .control = { .local_services = 1 << MX, .observe = 1 },
	  WANT(WOULD_NO_SOCKET, MX) },
	{ "the whole observes: listed, ACK, sockets elsewhere",
	  { LISTED, .flags = ACK },
	  .control = { .observe = 1 },
	  WANT(FORWARDED, MX) },
	{ "the service observes: blocked, ACK",
	  { .flags = ACK },
	  { BLOCK("192.0.2.7") },
	  .control = { .local_services = 1 << MX, .observe_services = 1 << MX },
	  WANT(WOULD_NO_SOCKET, MX) },
	{ "paused: listed, ACK",
	  { LISTED, .flags = ACK },
	  .control = { .local_services = 1 << MX },
	  .pause = PAUSED,
	  WANT(WOULD_NO_SOCKET, MX) },
	{ "the pause is over: listed, ACK",
	  { LISTED, .flags = ACK },
	  .control = { .local_services = 1 << MX },
	  .pause = PAUSE_OVER,
	  WANT(NO_SOCKET, MX) },
};

/* ------------------------------------------------------------------ running it */

/* Far enough from now for the slowest machine. */
static __u64 expiry(int live)
{
	return live ? monotonic_ns() + 3600ULL * 1000000000 : monotonic_ns() - 100000000;
}

static void set_up(const struct given *given)
{
	world_clear(&world);
	*world.control = given->control;
	if (given->pause)
		world.control->pause_until_ns = expiry(given->pause == PAUSED);
	if (given->manual_allow)
		world.control->manual_allow_until_ns[CLOSED] =
			expiry(given->manual_allow == MANUAL_ALLOW);
	for (int i = 0; i < 4 && given->entries[i].prefix; i++)
		world_entry(&world, given->entries[i].prefix, given->entries[i].slot,
			    expiry(given->entries[i].when == LIVE), 0xff);
}

/* A SYN that was judged is a connection; nothing else is. */
static unsigned int connections_wanted(const struct given *given)
{
	unsigned int flags = given->spec.flags ? given->spec.flags : SYN;

	switch (given->want) {
	case GATE25_REASON_MALFORMED:
	case GATE25_REASON_WOULD_MALFORMED:
	case GATE25_REASON_FRAGMENT:
	case GATE25_REASON_HEADERS:
		return 0;
	default:
		return (flags & (SYN | ACK)) == SYN;
	}
}

/* The row and reason that moved, for the message. */
static const char *moved(void)
{
	static char text[64];

	for (unsigned int row = 0; row < GATE25_SERVICE_ROWS; row++)
		for (unsigned int reason = 0; reason < GATE25_REASONS; reason++)
			if (world_count(&world, row, reason).packets) {
				snprintf(text, sizeof(text), "%s of service %u",
					 reason_label(reason), row);
				return text;
			}
	return "nothing";
}

static int check(const struct given *given)
{
	unsigned int drop = world_verdict(given->want) == GATE25_DROP, verdict;
	struct gate25_counter counter = { 1, 0 };
	__u64 packets = given->want != UNCOUNTED;

	set_up(given);
	verdict = world_run(&world, &given->spec);
	if (packets)
		counter = world_count(&world, given->row, given->want);
	if (verdict == (drop ? XDP_DROP : XDP_PASS) && world_packets(&world) == packets &&
	    counter.packets == 1 && (!packets || counter.connections == connections_wanted(given)))
		return 0;
	print_message("%s: verdict %u, counted %s, %llu packets, %llu connections; want %s of %u\n",
		      given->name, verdict, moved(), world_packets(&world), counter.connections,
		      packets ? reason_label(given->want) : "nothing", given->row);
	return 1;
}

static void test_verdicts(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		failed += check(&cases[i]);
	assert_int_equal(failed, 0);
}

/* Enforced or observed, the same step decides; observed, all passes. */
static void test_observe_drops_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_up(&cases[i]);
		world.control->observe = 1;
		if (world_run(&world, &cases[i].spec) != XDP_PASS)
			fail_msg("%s: dropped, though the whole observes", cases[i].name);
		set_up(&cases[i]);
		world.control->pause_until_ns = GATE25_NEVER;
		if (world_run(&world, &cases[i].spec) != XDP_PASS)
			fail_msg("%s: dropped, though paused", cases[i].name);
	}
}

/*
 * A frame that is cut anywhere neither crashes the parser nor lets a drop become a pass of another
 * reason.
 */
static void test_every_truncated_length(void **state)
{
	static unsigned char frame[PACKET_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = packet_build(&cases[i].spec, frame);

		if (length > 400)
			continue; /* the unit test has them all */
		set_up(&cases[i]);
		for (size_t cut = 14; cut < length; cut++) {
			unsigned int verdict = program_run(&world.program, frame, cut);

			assert_true(verdict == XDP_PASS || verdict == XDP_DROP);
		}
		/* what is cut off may be malformed, and is never taken for a connection */
		for (unsigned int reason = 0; reason < GATE25_REASONS; reason++)
			for (unsigned int row = 0; row < GATE25_SERVICE_ROWS; row++)
				if (world_count(&world, row, reason).connections &&
				    !cases[i].spec.padding)
					fail_msg("%s: cut, and counted as %s", cases[i].name,
						 reason_label(reason));
	}
}

/*
 * A driver that splits frames shows the program the first part only. Wherever that ends, in TCP's
 * header too, the rest is no fault of the sender.
 */
static void test_frames_in_parts(void **state)
{
	struct packet_spec spec = { LISTED6, EXT({ 60, 2048 }, { 60, 8 }), .payload = 1000 };
	__u64 judged, unseen_ports, unseen_flags;

	(void)state;
	world_clear(&world);
	for (spec.extensions[1].bytes = 8; spec.extensions[1].bytes <= 2048;
	     spec.extensions[1].bytes += 8)
		world_run(&world, &spec);
	judged = world_count(&world, MX, GATE25_REASON_LIST).packets;
	unseen_ports = world_count(&world, NO_SERVICE, GATE25_REASON_HEADERS).packets;
	unseen_flags = world_count(&world, MX, GATE25_REASON_HEADERS).packets;
	assert_true(judged && unseen_ports && unseen_flags);
	assert_int_equal(judged + unseen_ports + unseen_flags, 256);
}

static int open_world(void **state)
{
	struct world_setup setup = { .without_classes = false };

	(void)state;
	if (geteuid()) {
		print_message("skipped: loading BPF programs needs root\n");
		return -1;
	}
	return world_open(&world, &setup);
}

static int close_world(void **state)
{
	(void)state;
	world_close(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_observe_drops_nothing),
		cmocka_unit_test(test_every_truncated_length),
		cmocka_unit_test(test_frames_in_parts),
	};

	return cmocka_run_group_tests_name("ingress", tests, open_world, close_world);
}
