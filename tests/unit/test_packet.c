// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser over whole frames, over the same frames at every truncated length, and over noise. The
 * end of each frame is the end of an allocation, so that a sanitizer sees a byte read too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/packet.h"
#include "tests/common/packet_builder.h"

#define HBH                                                                                        \
	{                                                                                          \
		IPPROTO_HOPOPTS, 8                                                                 \
	}
#define DSTOPTS                                                                                    \
	{                                                                                          \
		IPPROTO_DSTOPTS, 24                                                                \
	}
#define ROUTING                                                                                    \
	{                                                                                          \
		IPPROTO_ROUTING, 24                                                                \
	}
#define AUTH                                                                                       \
	{                                                                                          \
		IPPROTO_AH, 24                                                                     \
	}
#define FRAGMENT                                                                                   \
	{                                                                                          \
		IPPROTO_FRAGMENT, 8                                                                \
	}
#define MOBILITY                                                                                   \
	{                                                                                          \
		IPPROTO_MH, 16                                                                     \
	}
#define HIP                                                                                        \
	{                                                                                          \
		139, 40                                                                            \
	}
#define SHIM6                                                                                      \
	{                                                                                          \
		140, 16                                                                            \
	}
#define EIGHT	 HBH, ROUTING, DSTOPTS, AUTH, MOBILITY, HIP, SHIM6, DSTOPTS
#define V6(...)	 .family = 6, .extensions = { __VA_ARGS__ }
#define FIRST(n) .more_fragments = true, .end_tcp = (n)
#define LATER(n) .fragment_offset = (n)

/* `want` is what parser and flags together make of it. */
static const struct fixture {
	const char *name;
	struct packet_spec spec;
	enum packet_kind want;
} fixtures[] = {
	/* Ethernet */
	{ "IPv4", { 0 }, PACKET_TCP },
	{ "IPv6", { .family = 6 }, PACKET_TCP },
	{ "VLAN", { .tags = { 0x8100 } }, PACKET_TCP },
	{ "VLAN, IPv6", { .tags = { 0x8100 }, .family = 6 }, PACKET_TCP },
	{ "service tag alone", { .tags = { 0x88a8 } }, PACKET_TCP },
	{ "QinQ", { .tags = { 0x88a8, 0x8100 } }, PACKET_TCP },
	{ "QinQ, IPv6", { .tags = { 0x88a8, 0x8100 }, .family = 6 }, PACKET_TCP },
	{ "QinQ of the old kind", { .tags = { 0x8100, 0x8100 } }, PACKET_TCP },
	{ "three tags", { .tags = { 0x88a8, 0x8100, 0x8100 } }, PACKET_OTHER },
	{ "ARP", { .ethertype = 0x0806 }, PACKET_OTHER },
	{ "802.3 length", { .ethertype = 60 }, PACKET_OTHER },
	{ "MPLS", { .ethertype = 0x8847 }, PACKET_OTHER },
	{ "IPv6 that says IPv4", { .family = 6, .ethertype = 0x0800 }, PACKET_OTHER },
	{ "IPv4 that says IPv6", { .ethertype = 0x86dd }, PACKET_OTHER },
	{ "padding", { .padding = 6 }, PACKET_TCP },
	{ "padding, IPv6", { .padding = 100, .family = 6 }, PACKET_TCP },

	/* other protocols */
	{ "UDP", { .protocol = IPPROTO_UDP }, PACKET_OTHER },
	{ "ICMP", { .protocol = IPPROTO_ICMP }, PACKET_OTHER },
	{ "UDP, IPv6", { .protocol = IPPROTO_UDP, .family = 6 }, PACKET_OTHER },
	{ "UDP behind options, IPv6", { .protocol = IPPROTO_UDP, V6(EIGHT) }, PACKET_OTHER },
	{ "no next header", { .protocol = IPPROTO_NONE, .family = 6 }, PACKET_OTHER },
	{ "ESP", { .protocol = IPPROTO_ESP, .family = 6 }, PACKET_OTHER },
	{ "UDP, later fragment", { .protocol = IPPROTO_UDP, LATER(9) }, PACKET_OTHER },
	{ "UDP, offset 1", { .protocol = IPPROTO_UDP, LATER(1) }, PACKET_OTHER },
	{ "UDP, first fragment", { .protocol = IPPROTO_UDP, FIRST(8) }, PACKET_OTHER },

	/* IPv4 */
	{ "4 bytes of options", { .ip_options = 4 }, PACKET_TCP },
	{ "40 bytes of options", { .ip_options = 40, .tcp_options = 40 }, PACKET_TCP },
	{ "options behind a tag", { .ip_options = 12, .tags = { 0x8100 } }, PACKET_TCP },
	{ "version 5", { .version_delta = 1 }, PACKET_OTHER },
	{ "version 0", { .version_delta = -4 }, PACKET_OTHER },
	{ "ihl 4", { .ihl_delta = -1 }, PACKET_OTHER },
	{ "ihl 0", { .ihl_delta = -5 }, PACKET_OTHER },
	{ "ihl beyond the frame", { .ihl_delta = 10 }, PACKET_CUT },
	{ "ihl beyond the datagram", { .ihl_delta = 10, .padding = 60 }, PACKET_MALFORMED },
	{ "total length 0: the frame's counts", { .length_delta = -40 }, PACKET_TCP },
	{ "total length 0, a large frame",
	  { .flags = ACK, .payload = 9000, .length_delta = -9040 },
	  PACKET_TCP },
	{ "total length 0, doff beyond the frame",
	  { .doff_delta = 1, .length_delta = -40 },
	  PACKET_MALFORMED },
	{ "total length within IP", { .length_delta = -30 }, PACKET_MALFORMED },
	{ "total length without ports", { .length_delta = -17 }, PACKET_MALFORMED },
	{ "total length with ports only", { .length_delta = -16 }, PACKET_MALFORMED },
	{ "total length one too short", { .length_delta = -1 }, PACKET_MALFORMED },
	{ "total length beyond the frame", { .length_delta = 1 }, PACKET_MALFORMED },
	{ "payload", { .flags = ACK, .payload = 1400 }, PACKET_TCP },
	{ "payload cut off", { .flags = ACK, .payload = 1400, .cut = 1 }, PACKET_MALFORMED },

	/* fragments, IPv4 */
	{ "don't fragment", { .fragment_flags = 0x4000 }, PACKET_TCP },
	{ "evil bit", { .fragment_flags = 0x8000 }, PACKET_TCP },
	{ "first fragment", { .more_fragments = true, .payload = 4 }, PACKET_TCP },
	{ "first fragment, 8 bytes", { FIRST(8) }, PACKET_MALFORMED },
	{ "first fragment, 8 bytes, padding", { FIRST(8), .padding = 46 }, PACKET_MALFORMED },
	{ "first fragment, 13 bytes", { FIRST(13) }, PACKET_MALFORMED },
	{ "first fragment, 16 bytes", { FIRST(16) }, PACKET_CUT },
	{ "first fragment, 16 bytes, padding", { FIRST(16), .padding = 9 }, PACKET_MALFORMED },
	{ "first fragment, options cut", { FIRST(24), .tcp_options = 20 }, PACKET_MALFORMED },
	{ "offset 1", { LATER(1) }, PACKET_MALFORMED },
	{ "offset 1, more", { LATER(1), .more_fragments = true }, PACKET_MALFORMED },
	{ "offset 2", { LATER(2) }, PACKET_FRAGMENT },
	{ "last offset", { LATER(0x1fff) }, PACKET_FRAGMENT },
	{ "middle fragment", { LATER(185), .more_fragments = true }, PACKET_FRAGMENT },

	/* IPv6 */
	{ "version 7", { .version_delta = 1, .family = 6 }, PACKET_OTHER },
	{ "hop-by-hop", { V6(HBH) }, PACKET_TCP },
	{ "destination options", { V6(DSTOPTS) }, PACKET_TCP },
	{ "routing", { V6(ROUTING) }, PACKET_TCP },
	{ "authentication", { V6(AUTH) }, PACKET_TCP },
	{ "authentication, 12 bytes", { V6({ IPPROTO_AH, 12 }) }, PACKET_TCP },
	{ "mobility", { V6(MOBILITY) }, PACKET_TCP },
	{ "HIP", { V6(HIP) }, PACKET_TCP },
	{ "shim6", { V6(SHIM6) }, PACKET_TCP },
	{ "longest header", { V6({ IPPROTO_DSTOPTS, 2048 }) }, PACKET_TCP },
	{ "eight headers", { V6(EIGHT) }, PACKET_TCP },
	{ "eight headers, tags", { V6(EIGHT), .tags = { 0x88a8, 0x8100 } }, PACKET_TCP },
	{ "nine headers", { V6(EIGHT, DSTOPTS) }, PACKET_HEADERS },
	{ "nine headers before UDP", { .protocol = IPPROTO_UDP, V6(EIGHT, HBH) }, PACKET_HEADERS },
	{ "payload length 0: the frame's counts",
	  { .length_delta = -20, .family = 6 },
	  PACKET_TCP },
	{ "payload length 0 behind hop-by-hop", { .length_delta = -28, V6(HBH) }, PACKET_TCP },
	{ "payload length without ports", { .length_delta = -17, .family = 6 }, PACKET_MALFORMED },
	{ "payload length too short", { .length_delta = -1, V6(HBH) }, PACKET_MALFORMED },
	{ "payload length beyond", { .length_delta = 1, .family = 6 }, PACKET_MALFORMED },
	{ "ends within the chain", { .length_delta = -26, V6(HBH) }, PACKET_MALFORMED },

	/* fragments, IPv6 */
	{ "atomic fragment", { V6(FRAGMENT) }, PACKET_TCP },
	{ "atomic fragment, reserved bits", { V6(FRAGMENT), .fragment_flags = 6 }, PACKET_TCP },
	{ "atomic fragment in a chain", { V6(HBH, FRAGMENT, DSTOPTS) }, PACKET_TCP },
	{ "first fragment, IPv6", { V6(FRAGMENT), .more_fragments = true }, PACKET_TCP },
	{ "first fragment, 8 bytes, IPv6", { V6(FRAGMENT), FIRST(8) }, PACKET_MALFORMED },
	{ "first fragment, 16 bytes, IPv6", { V6(FRAGMENT), FIRST(16) }, PACKET_CUT },
	{ "first fragment, chain", { V6(FRAGMENT, DSTOPTS), FIRST(8) }, PACKET_MALFORMED },
	{ "offset 1, IPv6", { V6(FRAGMENT), LATER(1) }, PACKET_MALFORMED },
	{ "offset 1 behind a chain", { V6(HBH, ROUTING, FRAGMENT), LATER(1) }, PACKET_MALFORMED },
	{ "offset 2, IPv6", { V6(FRAGMENT), LATER(2) }, PACKET_FRAGMENT },
	{ "later, unknown protocol", { V6(FRAGMENT, DSTOPTS), LATER(2) }, PACKET_FRAGMENT },
	{ "offset 1, unknown protocol", { V6(FRAGMENT, DSTOPTS), LATER(1) }, PACKET_FRAGMENT },
	{ "later, UDP, IPv6", { V6(FRAGMENT), LATER(2), .protocol = IPPROTO_UDP }, PACKET_OTHER },
	{ "eighth is a later fragment",
	  { V6(HBH, HBH, HBH, HBH, HBH, HBH, HBH, FRAGMENT), LATER(7) },
	  PACKET_FRAGMENT },

	/* TCP */
	{ "doff 0", { .doff_delta = -5 }, PACKET_MALFORMED },
	{ "doff 4", { .doff_delta = -1 }, PACKET_MALFORMED },
	{ "doff 15", { .tcp_options = 40 }, PACKET_TCP },
	{ "doff beyond the datagram", { .doff_delta = 1 }, PACKET_MALFORMED },
	{ "doff into the padding", { .doff_delta = 10, .padding = 40 }, PACKET_MALFORMED },
	{ "doff over the payload", { .doff_delta = 10, .payload = 40 }, PACKET_TCP },
	{ "doff 4, IPv6", { .doff_delta = -1, V6(EIGHT) }, PACKET_MALFORMED },
	{ "SYN ECE CWR", { .flags = SYN | ECE | 0x80 }, PACKET_TCP },
	{ "SYN PSH URG", { .flags = SYN | PSH | URG }, PACKET_TCP },
	{ "SYN ACK", { .flags = SYN | ACK }, PACKET_TCP },
	{ "ACK", { .flags = ACK }, PACKET_TCP },
	{ "FIN ACK", { .flags = FIN | ACK }, PACKET_TCP },
	{ "RST", { .flags = RST }, PACKET_TCP },
	{ "RST ACK", { .flags = RST | ACK }, PACKET_TCP },
	{ "FIN RST", { .flags = FIN | RST }, PACKET_TCP },
	{ "SYN FIN", { .flags = SYN | FIN }, PACKET_MALFORMED },
	{ "SYN FIN ACK", { .flags = SYN | FIN | ACK }, PACKET_MALFORMED },
	{ "SYN RST", { .flags = SYN | RST }, PACKET_MALFORMED },
	{ "SYN RST ACK, IPv6", { .flags = SYN | RST | ACK, .family = 6 }, PACKET_MALFORMED },
	{ "NULL scan", { .flags = NO_FLAGS }, PACKET_MALFORMED },
	{ "FIN scan", { .flags = FIN }, PACKET_MALFORMED },
	{ "XMAS scan", { .flags = FIN | PSH | URG }, PACKET_MALFORMED },
	{ "PSH alone, IPv6", { .flags = PSH, .family = 6 }, PACKET_MALFORMED },
};

static const char *const kinds[] = { "other", "TCP", "fragment", "headers", "malformed", "cut" };
static unsigned char built[PACKET_BYTES];

/* As drivers place a frame: two bytes behind a multiple of four. Nothing lies behind it. */
static enum packet_kind parse(const unsigned char *bytes, size_t length, struct packet *out)
{
	unsigned char *memory = malloc(length + 2), *frame = memory + 2;
	struct cursor cursor = { .at = frame, .end = frame + length };
	enum packet_kind kind;

	assert_non_null(memory);
	memcpy(frame, bytes, length);
	memset(out, 0, sizeof(*out));
	kind = packet_parse(&cursor, out);
	if (kind == PACKET_TCP)
		kind = packet_flags(&cursor, length, out);
	free(memory);
	return kind;
}

static void test_fixtures(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		size_t length = packet_build(&fixtures[i].spec, built);
		struct packet packet;
		enum packet_kind kind = parse(built, length, &packet);

		if (kind != fixtures[i].want)
			fail_msg("%s: %s, want %s", fixtures[i].name, kinds[kind],
				 kinds[fixtures[i].want]);
	}
}

/* What is seen of a part is what is seen of the whole, or less; never another port or address. */
static void check_part(const struct fixture *fixture, const struct packet *whole, size_t length)
{
	struct packet part;
	enum packet_kind kind = parse(built, length, &part);

	if (kind == PACKET_FRAGMENT ? fixture->want != PACKET_FRAGMENT :
	    kind == PACKET_HEADERS  ? fixture->spec.extensions[0].bytes == 0 :
	    kind == PACKET_TCP	    ? fixture->want != PACKET_TCP :
				      0)
		fail_msg("%s, cut to %zu bytes: %s", fixture->name, length, kinds[kind]);
	if (part.destination_port && part.destination_port != whole->destination_port)
		fail_msg("%s, cut to %zu bytes: port %u", fixture->name, length,
			 part.destination_port);
	if (kind == PACKET_TCP)
		assert_memory_equal(&part, whole, sizeof(part));
}

static void test_every_truncated_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		size_t length = packet_build(&fixtures[i].spec, built);
		struct packet whole;

		parse(built, length, &whole);
		for (size_t cut = 0; cut < length; cut++)
			check_part(&fixtures[i], &whole, cut);
	}
}

/* A datagram that a frame does not hold whole is never taken for TCP that makes sense. */
static void test_cut_datagram_is_no_tcp(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		size_t length = packet_build(&fixtures[i].spec, built);
		struct packet packet;

		if (fixtures[i].want != PACKET_TCP || fixtures[i].spec.length_delta)
			continue; /* a length of 0 says that the frame's end is the datagram's */
		for (size_t cut = 0; cut < length - fixtures[i].spec.padding; cut++)
			assert_int_not_equal(parse(built, cut, &packet), PACKET_TCP);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *name;
		struct packet_spec spec;
		struct gate25_source source, destination;
	} cases[] = {
		{ "IPv4",
		  { .from = "192.0.2.1", .to = "203.0.113.254", .ip_options = 8 },
		  { .lo = 0xc0000201, .family = 4 },
		  { .lo = 0xcb0071fe, .family = 4 } },
		{ "upper bits of IPv4",
		  { .from = "255.255.255.255", .to = "128.0.0.1", .tags = { 0x8100 } },
		  { .lo = 0xffffffff, .family = 4 },
		  { .lo = 0x80000001, .family = 4 } },
		{ "IPv6",
		  { .from = "2001:db8:1:2:3:4:5:6", .to = "fe80::ff:fe00:25", V6(EIGHT) },
		  { 0x20010db800010002, 0x0003000400050006, 6, { 0 } },
		  { 0xfe80000000000000, 0x000000fffe000025, 6, { 0 } } },
		{ "mapped stays as it is on the wire",
		  { .from = "::ffff:192.0.2.1", .to = "64:ff9b::192.0.2.25" },
		  { 0, 0x0000ffffc0000201, 6, { 0 } },
		  { 0x0064ff9b00000000, 0x00000000c0000219, 6, { 0 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_spec spec = cases[i].spec;
		struct packet packet;

		spec.from_port = 0x1234;
		spec.to_port = 0xfedc;
		spec.sequence = 0x89abcdef;
		spec.flags = SYN | ECE;
		print_message("%s\n", cases[i].name);
		assert_int_equal(parse(built, packet_build(&spec, built), &packet), PACKET_TCP);
		assert_memory_equal(&packet.source, &cases[i].source, sizeof(packet.source));
		assert_memory_equal(&packet.destination, &cases[i].destination,
				    sizeof(packet.destination));
		assert_int_equal(packet.source_port, 0x1234);
		assert_int_equal(packet.destination_port, 0xfedc);
		assert_int_equal(packet.sequence, 0x89abcdef);
		assert_int_equal(packet.flags, SYN | ECE);
	}
}

/*
 * Fixtures with bytes turned at random: nothing is read that is not there, and each answer is one
 * of those known.
 */
static void test_noise(void **state)
{
	unsigned int seed = 25;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		const struct fixture *fixture =
			&fixtures[rand_r(&seed) % (sizeof(fixtures) / sizeof(fixtures[0]))];
		size_t length = packet_build(&fixture->spec, built);
		struct packet packet;

		if (length > 256)
			length = 256;
		for (int turns = rand_r(&seed) % 6; turns >= 0; turns--)
			built[(size_t)rand_r(&seed) % length] = rand_r(&seed) >> 8;
		assert_in_range(parse(built, rand_r(&seed) % (length + 1), &packet), PACKET_OTHER,
				PACKET_CUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_every_truncated_length),
		cmocka_unit_test(test_cut_datagram_is_no_tcp),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
