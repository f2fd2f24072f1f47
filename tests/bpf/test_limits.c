// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits in the program: who is charged, which ledger, what an exceeded limit does. Rates over time
 * are the unit test's affair: here nothing comes back within an hour.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/common/world.h"

#define HOUR 3600000000000ULL

static const struct gate25_limit no_limit;

/* A limit of `burst` at once, of which none comes back while a test runs. */
static struct gate25_limit limit_of(unsigned int burst)
{
	return (struct gate25_limit){ .interval_ns = HOUR,
				      .tolerance_ns = burst * HOUR,
				      .action = GATE25_DROP,
				      .services = 0xff };
}

static struct gate25_limit observed(struct gate25_limit limit)
{
	limit.observe = 1;
	return limit;
}

static struct world world;

static void open_with(struct gate25_limit source, struct gate25_limit network)
{
	struct world_setup setup = { .without_classes = false };

	source.length4 = 32;
	source.length6 = 64;
	network.length4 = 24;
	network.length6 = 48;
	setup.settings.limits[GATE25_SCOPE_SOURCE] = source;
	setup.settings.limits[GATE25_SCOPE_NETWORK] = network;
	assert_int_equal(world_open(&world, &setup), 0);
	world_clear(&world);
}

static int close_world(void **state)
{
	(void)state;
	world_close(&world);
	memset(&world, 0, sizeof(world));
	return 0;
}

/* Sends `count` SYNs, each of a connection of its own; returns how many passed. */
static unsigned int send_to(const char *from, unsigned int count, __u16 port)
{
	static __u32 sequence;
	unsigned int passed = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct packet_spec spec = { .from = from, .to_port = port, .sequence = ++sequence };

		passed += world_run(&world, &spec) == XDP_PASS;
	}
	return passed;
}

static unsigned int send_syns(const char *from, unsigned int count)
{
	return send_to(from, count, 25);
}

static __u64 counted(enum gate25_reason reason)
{
	return world_count(&world, MX, reason).connections;
}

static int nobody_is_charged(void)
{
	for (size_t i = 0; i < 4096; i++)
		for (int word = 0; word < GATE25_SOURCE_WORDS; word++)
			if (world.sources[i].words[word])
				return 0;
	return 1;
}

static void test_source(void **state)
{
	(void)state;
	open_with(limit_of(3), no_limit);
	assert_int_equal(send_syns("192.0.2.1", 10), 3);
	assert_int_equal(counted(GATE25_REASON_OK), 3);
	assert_int_equal(counted(GATE25_REASON_LIMIT_SOURCE), 7);
	/* others have budgets of their own: the next host, the next /64 */
	assert_int_equal(send_syns("192.0.2.2", 10), 3);
	assert_int_equal(send_syns("2001:db8::1", 2), 2);
	assert_int_equal(send_syns("2001:db8::ffff:1", 10), 1); /* the same /64 */
	assert_int_equal(send_syns("2001:db8:0:1::1", 10), 3);
	/* who comes translated is the IPv4 address */
	assert_int_equal(send_syns("64:ff9b::192.0.2.1", 10), 0);
	assert_int_equal(send_syns("64:ff9b::192.0.2.3", 10), 3);
	assert_int_equal(send_syns("192.0.2.3", 10), 0);
}

static void test_network(void **state)
{
	(void)state;
	open_with(no_limit, limit_of(4));
	assert_int_equal(send_syns("192.0.2.1", 3), 3);
	assert_int_equal(send_syns("192.0.2.99", 3), 1);
	assert_int_equal(send_syns("192.0.3.1", 3), 3);
	assert_int_equal(send_syns("2001:db8:1:1::1", 3), 3);
	assert_int_equal(send_syns("2001:db8:1:2::1", 3), 1);
	assert_int_equal(counted(GATE25_REASON_LIMIT_NETWORK), 4);
}

/* Source first, then network; what the source's limit refuses does not burden the network. */
static void test_both(void **state)
{
	(void)state;
	open_with(limit_of(2), limit_of(5));
	assert_int_equal(send_syns("192.0.2.1", 50), 2);
	assert_int_equal(send_syns("192.0.2.2", 50), 2);
	assert_int_equal(send_syns("192.0.2.3", 3), 1);
	assert_int_equal(counted(GATE25_REASON_LIMIT_SOURCE), 48 + 48 + 1);
	assert_int_equal(counted(GATE25_REASON_LIMIT_NETWORK), 1);
}

static void test_services(void **state)
{
	struct gate25_limit limit = limit_of(2);

	(void)state;
	limit.services = 1 << SUBMISSION;
	open_with(limit, no_limit);
	assert_int_equal(send_syns("192.0.2.1", 10), 10);
	assert_true(nobody_is_charged());
	assert_int_equal(send_to("192.0.2.1", 10, 587), 2);
}

static void test_none(void **state)
{
	(void)state;
	open_with(no_limit, no_limit);
	assert_int_equal(send_syns("192.0.2.1", 1000), 1000);
	assert_true(nobody_is_charged());
}

/* Who is not let in by a limit's grace, or not let in at all, is not charged. */
static void test_who_is_not_charged(void **state)
{
	static const struct packet_spec segments[] = {
		{ .flags = ACK },	{ .flags = SYN | ACK }, { .flags = RST },
		{ .flags = SYN | FIN }, { .to_port = 443 },	{ .fragment_offset = 2 },
	};

	(void)state;
	open_with(limit_of(2), limit_of(2));
	assert_int_equal(send_syns("192.0.2.200", 20), 20);  /* on an allow list */
	assert_int_equal(send_syns("203.0.113.200", 20), 0); /* listed */
	world_entry(&world, "198.51.100.1", GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	world_entry(&world, "198.51.100.2", GATE25_SLOT_AUTO, GATE25_NEVER, 0xff);
	world_entry(&world, "198.51.100.3", GATE25_SLOT_ALLOW, GATE25_NEVER, 0xff);
	assert_int_equal(send_syns("198.51.100.1", 20), 0);
	assert_int_equal(send_syns("198.51.100.2", 20), 0);
	assert_int_equal(send_syns("198.51.100.3", 20), 20);
	assert_int_equal(send_to("192.0.2.1", 20, 2526), 0); /* default: drop */
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
		world_run(&world, &segments[i]);
	assert_true(nobody_is_charged());
	assert_int_equal(counted(GATE25_REASON_LIMIT_SOURCE), 0);
}

static void test_observed(void **state)
{
	(void)state;
	open_with(observed(limit_of(3)), no_limit);
	assert_int_equal(send_syns("192.0.2.1", 10), 10);
	assert_int_equal(counted(GATE25_REASON_OK), 3);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIMIT_SOURCE), 7);
}

static void test_action_pass_is_observed(void **state)
{
	struct gate25_limit limit = limit_of(3);

	(void)state;
	limit.action = GATE25_PASS;
	open_with(limit, no_limit);
	assert_int_equal(send_syns("192.0.2.1", 10), 10);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIMIT_SOURCE), 7);
}

/* A limit that only observes shields from none that enforces. */
static void test_observed_before_enforced(void **state)
{
	(void)state;
	open_with(observed(limit_of(2)), limit_of(5));
	assert_int_equal(send_syns("192.0.2.1", 10), 5);
	assert_int_equal(counted(GATE25_REASON_OK), 2);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIMIT_SOURCE), 3);
	assert_int_equal(counted(GATE25_REASON_LIMIT_NETWORK), 5);
}

/* An observed list shields from none either, and is the reason while nothing refuses. */
static void test_observed_list_before_limit(void **state)
{
	(void)state;
	open_with(limit_of(3), no_limit);
	assert_int_equal(send_syns("198.18.0.1", 10), 3);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIST), 3);
	assert_int_equal(counted(GATE25_REASON_LIMIT_SOURCE), 7);
}

/* What was charged while observing is no debt once it is enforced, nor the other way. */
static void test_ledgers_are_separate(void **state)
{
	(void)state;
	open_with(limit_of(3), no_limit);
	world.control->observe = 1;
	assert_int_equal(send_syns("192.0.2.1", 10), 10);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIMIT_SOURCE), 7);
	world.control->observe = 0;
	assert_int_equal(send_syns("192.0.2.1", 10), 3);
	assert_int_equal(counted(GATE25_REASON_LIMIT_SOURCE), 7);
	world.control->pause_until_ns = GATE25_NEVER;
	assert_int_equal(send_syns("192.0.2.1", 10), 10);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIMIT_SOURCE), 17);
}

/*
 * A listed source in observe passes, so the limit that would meet it is asked, in the shadow
 * ledger.
 */
static void test_observed_listed_source(void **state)
{
	(void)state;
	open_with(limit_of(3), no_limit);
	world.control->observe = 1;
	assert_int_equal(send_syns("203.0.113.200", 10), 10);
	assert_int_equal(counted(GATE25_REASON_WOULD_LIST), 10);
	assert_false(nobody_is_charged());
}

/* 20,000 sources on 4,096 lines of 8: none of those within their limit is refused. */
static void test_many_sources(void **state)
{
	char from[16];

	(void)state;
	open_with(limit_of(5), no_limit);
	for (unsigned int i = 0; i < 20000; i++) {
		snprintf(from, sizeof(from), "10.1.%u.%u", i >> 8, i & 255);
		assert_int_equal(send_syns(from, 1), 1);
	}
	assert_int_equal(world_errors(&world, GATE25_ERROR_SOURCES_CONTENDED), 0);
}

#define LIMITED(test) cmocka_unit_test_teardown(test, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMITED(test_source),
		LIMITED(test_network),
		LIMITED(test_both),
		LIMITED(test_services),
		LIMITED(test_none),
		LIMITED(test_who_is_not_charged),
		LIMITED(test_observed),
		LIMITED(test_action_pass_is_observed),
		LIMITED(test_observed_before_enforced),
		LIMITED(test_observed_list_before_limit),
		LIMITED(test_ledgers_are_separate),
		LIMITED(test_observed_listed_source),
		LIMITED(test_many_sources),
	};

	return cmocka_run_group_tests_name("limits", tests, world_need_root, NULL);
}
