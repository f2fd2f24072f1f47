// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random frames, three opinions: the shipped program (BPF_PROG_TEST_RUN), nftables with the same rules
 * (netdev ingress, real frames over veth), and a naive reference over the frames' descriptions.
 * QinQ and what has state is judged against the reference alone.
 *
 * ORACLE_PROGRAM names another object than the shipped one: so bugs put in on purpose are tried.
 * nftables' verdict on one frame is seen thus: what its chain lets through is forwarded to another
 * veth, whose peer captures; a frame is known by its number in the destination MAC address.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* behind what it needs */
#include <cmocka.h>

#include "tests/common/program.h"
#include "tests/common/random_frames.h"
#include "user/lists/compile.h"
#include "user/lists/parse.h"

#define PER_CELL 1000
#define BATCH	 64
#define PREFIXES 40

static struct prefix allow[PREFIXES], listed[PREFIXES];
static struct rules rules = {
	.allow = allow, .listed = listed, .allow_count = PREFIXES, .listed_count = PREFIXES
};
static struct program program;
static int send_fd, capture_fd;
static unsigned int seed = 25;

/* ------------------------------------------------------------------ the program */

static struct compiled_table *compile_rules(void)
{
	struct list_image *images[2] = { NULL, NULL };
	struct compile_list lists[2] = {
		{ .info = { .name = "allow", .allow = 1, .services = 3 } },
		{ .info = { .name = "listed", .weight = 1, .action = GATE25_DROP, .services = 1 } },
	};
	struct compile_input input = { .lists = lists, .count = 2, .threshold = 1 };
	struct compiled_table *table = NULL;

	assert_int_equal(list_from_prefixes(allow, PREFIXES, &images[0]), 0);
	assert_int_equal(list_from_prefixes(listed, PREFIXES, &images[1]), 0);
	lists[0].image = images[0];
	lists[1].image = images[1];
	assert_int_equal(table_compile(&input, &table), 0);
	list_image_free(images[0]);
	list_image_free(images[1]);
	return table;
}

static void rules_random(void)
{
	prefixes_random(&seed, allow, PREFIXES);
	prefixes_random(&seed, listed, PREFIXES);
	allow[0] = (struct prefix){ { .lo = 0xc6010000, .family = 4 }, 16 };
	listed[0] = (struct prefix){ { .lo = 0xc6000000, .family = 4 }, 15 };
	/* so much of a /16 that the table has a block for it, and a single /24 in that */
	listed[2] = (struct prefix){ { .lo = 0xcb054000, .family = 4 }, 20 };
	listed[4] = (struct prefix){ { .lo = 0xcb055300, .family = 4 }, 24 };
	rules.own4 = (struct prefix){ { .lo = 0xcb007100, .family = 4 }, 24 };
	rules.own6 = (struct prefix){ { .hi = 0x20010db8ffff0000ULL, .family = 6 }, 64 };
}

static int start_program(void)
{
	struct program_setup setup = { .object = getenv("ORACLE_PROGRAM") };
	struct gate25_settings *settings = &setup.settings;
	struct compiled_table *table;
	int error;

	rules_random();
	table = compile_rules();
	setup.table = table;
	settings->any_address = 1; /* slot 0 guards port 25 on every address */
	settings->addresses_count = 2;
	settings->addresses[0].address = rules.own4.address;
	settings->addresses[0].length = 24;
	settings->addresses[0].services = 2;
	settings->addresses[1].address = rules.own6.address;
	settings->addresses[1].length = 64;
	settings->addresses[1].services = 2;
	settings->default_action[1] = GATE25_DROP;
	settings->defaults = 1 << 1;
	settings->allow_in_table = 3;
	setup.ports[0] = (struct program_port){ RULES_PORT, 1 };
	setup.ports[1] = (struct program_port){ RULES_DEFAULT, 2 };
	error = program_load(&program, &setup);
	compiled_table_free(table);
	return error;
}

/* ------------------------------------------------------------------ nftables */

static int run(const char *command)
{
	int status = system(command);

	if (status)
		print_message("failed: %s\n", command);
	return status;
}

static void print_set(FILE *out, const char *name, unsigned int family,
		      const struct prefix *prefixes, size_t count)
{
	const char *comma = "";
	char text[PREFIX_TEXT];

	fprintf(out, "set %s%u { type ipv%u_addr; flags interval; auto-merge; elements = { ", name,
		family, family);
	for (size_t i = 0; i < count; i++) {
		if (prefixes[i].address.family != family)
			continue;
		fprintf(out, "%s%s", comma, prefix_format(&prefixes[i], text));
		comma = ", ";
	}
	fprintf(out, " }; }\n");
}

/*
 * TCP's data offset may not reach beyond the datagram. nftables cannot add, so each length of the
 * headers in front of TCP is a rule of its own.
 */
static void print_offsets4(FILE *out)
{
	for (unsigned int ihl = 5; ihl <= 15; ihl++)
		for (unsigned int doff = 5; doff <= 15; doff++)
			fprintf(out, "ip hdrlength %u tcp doff %u ip length < %u drop\n", ihl, doff,
				4 * (ihl + doff));
}

static void print_offsets6(FILE *out)
{
	/* the generator's chains: hop-by-hop (8), destination (16), routing (8), destination (16) */
	static const struct {
		const char *match;
		unsigned int bytes;
	} chains[] = {
		{ "ip6 nexthdr { 6, 44 }", 0 },
		{ "hbh nexthdr { 6, 44 }", 8 },
		{ "exthdr rt missing dst nexthdr { 6, 44 }", 24 },
		{ "rt nexthdr { 6, 44 }", 32 },
		{ "rt nexthdr 60", 48 },
	};

	for (unsigned int i = 0; i < sizeof(chains) / sizeof(chains[0]); i++)
		for (unsigned int doff = 5; doff <= 15; doff++)
			fprintf(out,
				"%s exthdr frag missing tcp doff %u ip6 length < %u drop\n"
				"%s exthdr frag exists tcp doff %u ip6 length < %u drop\n",
				chains[i].match, doff, chains[i].bytes + 4 * doff, chains[i].match,
				doff, chains[i].bytes + 8 + 4 * doff);
}

static void print_judge(FILE *out, unsigned int family)
{
	const char *ip = family == 4 ? "ip" : "ip6";
	char own[PREFIX_TEXT];

	prefix_format(family == 4 ? &rules.own4 : &rules.own6, own);
	fprintf(out,
		"chain judge%u {\n"
		"tcp dport != { %u, %u } return\n"
		"tcp dport %u %s daddr != %s return\n"
		"tcp flags & (syn|fin) == (syn|fin) drop\n"
		"tcp flags & (syn|rst) == (syn|rst) drop\n"
		"tcp flags & (syn|rst|ack) == 0 drop\n"
		"tcp doff < 5 drop\n",
		family, RULES_PORT, RULES_DEFAULT, RULES_DEFAULT, ip, own);
	if (family == 4)
		print_offsets4(out);
	else
		print_offsets6(out);
	fprintf(out,
		"tcp flags & (syn|ack) != syn return\n"
		"%s saddr @allow%u return\n"
		"tcp dport %u drop\n"
		"%s saddr @listed%u drop\n}\n",
		ip, family, RULES_DEFAULT, ip, family);
}

static void print_parse(FILE *out)
{
	fprintf(out, "chain parse4 {\n"
		     "ip protocol != tcp return\n"
		     "ip frag-off & 0x1fff == 1 drop\n"
		     "ip frag-off & 0x1fff != 0 return\n");
	for (unsigned int ihl = 5; ihl <= 15; ihl++)
		fprintf(out, "ip frag-off & 0x2000 != 0 ip hdrlength %u ip length < %u drop\n", ihl,
			4 * ihl + 14);
	fprintf(out, "jump judge4\n}\n"
		     "chain parse6 {\n"
		     "meta l4proto != tcp return\n"
		     "frag frag-off 1 drop\n"
		     "frag frag-off != 0 return\n"
		     "frag more-fragments 1 ip6 nexthdr 44 ip6 length < 22 drop\n"
		     "jump judge6\n}\n"
		     "chain ingress { type filter hook ingress device \"rx0\" priority 0; policy "
		     "accept;\n"
		     "meta protocol ip jump parse4\n"
		     "meta protocol ip6 jump parse6\n"
		     "fwd to \"out0\"\n}\n");
}

static int start_nftables(void)
{
	FILE *nft = popen("nft -f -", "w");

	if (!nft)
		return -errno;
	fprintf(nft, "table netdev oracle {\n");
	for (unsigned int family = 4; family <= 6; family += 2) {
		print_set(nft, "allow", family, allow, PREFIXES);
		print_set(nft, "listed", family, listed, PREFIXES);
		print_judge(nft, family);
	}
	print_parse(nft);
	fprintf(nft, "}\n");
	return pclose(nft);
}

/* ------------------------------------------------------------------ frames on the wire */

static int packet_socket(const char *iface, unsigned int protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(protocol),
				       .sll_ifindex = (int)if_nametoindex(iface) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return fd;
}

static int start_wire(void)
{
	if (run("ip link add tx0 type veth peer name rx0 && "
		"ip link add out0 type veth peer name out1 && "
		"for i in tx0 rx0 out0 out1; do "
		"echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done"))
		return -1;
	send_fd = packet_socket("tx0", 0);
	capture_fd = packet_socket("out1", ETH_P_ALL);
	return send_fd < 0 || capture_fd < 0 ? -1 : 0;
}

/* Marks in `passed` which of `count` frames from number `first` come out; the last is a sentinel. */
static void collect(__u32 first, size_t count, bool *passed)
{
	unsigned char frame[2048];
	struct pollfd ready = { .fd = capture_fd, .events = POLLIN };

	while (poll(&ready, 1, 5000) > 0) {
		ssize_t got = recv(capture_fd, frame, sizeof(frame), 0);
		__be32 id;

		if (got < ETH_HLEN || memcmp(frame + 6, FRAME_SOURCE_MAC, 6) != 0)
			continue;
		memcpy(&id, frame + 2, 4);
		if (ntohl(id) - first < count)
			passed[ntohl(id) - first] = true;
		if (ntohl(id) == first + count - 1)
			return;
	}
	fail_msg("the sentinel frame was lost");
}

/* ------------------------------------------------------------------ comparing */

struct tally {
	unsigned int cells[CELLS][2][3]; /* by family and tags */
	unsigned int frames, differ;
};

static const char *describe(const struct frame_spec *spec, char text[static 320])
{
	char from[PREFIX_TEXT], to[PREFIX_TEXT];

	snprintf(text, 320,
		 "%s -> %s port %u flags 0x%02x protocol %u tags %u options %u extensions %u "
		 "tcp options %u first %d later %d damage %d id %u",
		 address_format(&spec->source, from), address_format(&spec->destination, to),
		 spec->destination_port, spec->flags, spec->protocol, spec->tags, spec->ip_options,
		 spec->extensions, spec->tcp_options, spec->first_fragment, spec->later_fragment,
		 spec->damage, spec->id);
	return text;
}

static const char *word(bool drop)
{
	return drop ? "drop" : "pass";
}

static void compare(struct tally *tally, const struct frame_spec *spec, const bool *nft_drop,
		    bool guard_drop)
{
	enum cell cell;
	bool want = frame_reference(&rules, spec, &cell);
	char text[320];

	tally->frames++;
	tally->cells[cell][spec->family == 6][spec->tags]++;
	if (guard_drop == want && (!nft_drop || *nft_drop == want))
		return;
	if (tally->differ++ < 10)
		print_message("differs (%s): reference %s, gate25 %s, nftables %s: %s\n",
			      cell_names[cell], word(want), word(guard_drop),
			      nft_drop ? word(*nft_drop) : "-", describe(spec, text));
}

static void batch(struct tally *tally, unsigned int family, unsigned int tags, enum cell wish)
{
	static __u32 first = 1;
	struct frame_spec specs[BATCH];
	bool passed[BATCH] = { false }, guard[BATCH];
	unsigned char frame[FRAME_BYTES];

	for (size_t i = 0; i < BATCH; i++) {
		size_t length;

		frame_random(&seed, &rules, family, tags, wish, &specs[i]);
		if (i == BATCH - 1)
			specs[i].protocol = IPPROTO_UDP; /* the sentinel is not guarded */
		specs[i].id = first + i;
		length = frame_build(&specs[i], frame);
		guard[i] = program_run(&program, frame, length) == XDP_DROP;
		if (tags < 2)
			assert_int_equal(send(send_fd, frame, length, 0), length);
	}
	if (tags < 2)
		collect(first, BATCH, passed);
	for (size_t i = 0; i < BATCH; i++) {
		bool dropped = !passed[i];

		compare(tally, &specs[i], tags < 2 ? &dropped : NULL, guard[i]);
	}
	first += BATCH;
}

static void print_matrix(const struct tally *tally)
{
	print_message("%-10s", "frames");
	for (unsigned int cell = 0; cell < CELLS; cell++)
		print_message("%10s", cell_names[cell]);
	for (unsigned int row = 0; row < 6; row++) {
		print_message("\nipv%u %u tag", row % 2 ? 6 : 4, row / 2);
		for (unsigned int cell = 0; cell < CELLS; cell++)
			print_message("%10u", tally->cells[cell][row % 2][row / 2]);
	}
	print_message("\n%u frames, %u differing verdicts\n", tally->frames, tally->differ);
}

static void test_against_nftables(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	for (unsigned int i = 0; i < CELLS * 6; i++) {
		unsigned int cell = i % CELLS, v6 = i / CELLS % 2, tags = i / CELLS / 2;

		for (unsigned int round = 0; tally.cells[cell][v6][tags] < PER_CELL && round < 400;
		     round++)
			batch(&tally, v6 ? 6 : 4, tags, cell);
	}
	print_matrix(&tally);
	for (unsigned int i = 0; i < CELLS * 6; i++)
		if (tally.cells[i % CELLS][i / CELLS % 2][i / CELLS / 2] < PER_CELL)
			fail_msg("a cell of \"%s\" has too few frames", cell_names[i % CELLS]);
	assert_int_equal(tally.differ, 0);
}

/* A budget that cannot refill within the test: exactly `burst` SYNs of each source pass. */
static void test_limit_against_reference(void **state)
{
	struct program_setup setup = { .object = getenv("ORACLE_PROGRAM") };
	struct gate25_limit *limit = &setup.settings.limits[GATE25_SCOPE_SOURCE];
	struct program limited;
	unsigned char frame[FRAME_BYTES];
	const unsigned int burst = 5;

	(void)state;
	setup.settings.any_address = 1;
	setup.settings.table_empty = 1;
	*limit = (struct gate25_limit){ .action = GATE25_DROP, .services = 1 };
	limit->interval_ns = 3600ULL * 1000000000;
	limit->tolerance_ns = limit->interval_ns * burst;
	limit->length4 = 32;
	limit->length6 = 64;
	setup.ports[0] = (struct program_port){ RULES_PORT, 1 };
	assert_int_equal(program_load(&limited, &setup), 0);
	for (unsigned int source = 0; source < 200; source++) {
		unsigned int v6 = source % 2, passed = 0, sent = 1 + source % 12;
		struct frame_spec spec = { .family = v6 ? 6 : 4,
					   .protocol = IPPROTO_TCP,
					   .flags = 2 };

		spec.destination_port = RULES_PORT;
		spec.destination.family = spec.source.family = spec.family;
		for (unsigned int i = 0; i < sent; i++) {
			spec.id = source * 100 + i;
			spec.source.lo = v6 ? i : 0xc0000200 + source; /* a /64 is one source */
			spec.source.hi = v6 ? 0x20010db800000000ULL + source : 0;
			passed += program_run(&limited, frame, frame_build(&spec, frame)) ==
				  XDP_PASS;
		}
		if (passed != (sent < burst ? sent : burst))
			fail_msg("source %u: %u of %u SYNs passed at a burst of %u", source, passed,
				 sent, burst);
	}
	program_free(&limited);
}

static int setup(void **state)
{
	(void)state;
	if (geteuid() || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		print_message("needs root: %s\n", strerror(errno));
		return -1;
	}
	return start_program() || start_wire() || start_nftables() ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	program_free(&program);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_nftables),
		cmocka_unit_test(test_limit_against_reference),
	};

	return cmocka_run_group_tests_name("oracle", tests, setup, teardown);
}
