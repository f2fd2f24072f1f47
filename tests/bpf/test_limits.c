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

#include "bpf/source.h"
#include "tests/common/world.h"
#include "user/addr.h"
#include "user/dataplane.h"

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

/* ------------------------------------------------------------------ where connections are counted */

static const struct gate25_limit lengths[GATE25_SCOPES] = {
	[GATE25_SCOPE_SOURCE] = { .length4 = 32, .length6 = 64 },
	[GATE25_SCOPE_NETWORK] = { .length4 = 24, .length6 = 48 },
};

static __u64 hash_of(const char *from, enum gate25_scope scope, bool observe)
{
	struct prefix prefix;
	const char *why;

	assert_int_equal(prefix_parse(from, NULL, 0, &prefix, &why), 0);
	return source_hash(world_secret, &prefix.address, &lengths[scope], scope, observe);
}

/* Uses a budget up, of all that any of these limits grants. */
static void spend(__u64 hash)
{
	__u64 *words = world.sources[source_line(hash, 4096)].words, now_ns = monotonic_ns();

	while (source_admit(words, hash, now_ns, HOUR, 5 * HOUR) == SOURCE_ADMITTED)
		;
}

static void mark_until(__u64 hash, __u64 until_ns)
{
	world.spent->until_ns[source_bucket(hash)] = until_ns;
	world.spent->any_until_ns = until_ns;
}

/* Who is in no bucket that is still spent is let in, whatever his words say; else his words decide. */
static void test_read(void **state)
{
	static const char from[] = "192.0.2.1", neighbour[] = "192.0.2.2", other[] = "192.0.3.1";
	static const struct {
		const char *name;
		const char *spent;  /* whose budget is used up */
		const char *marked; /* whose bucket is marked */
		enum gate25_scope scope;
		bool observe; /* the ledger, and the limit */
		bool over;    /* the bucket's time */
		bool unlike;  /* the ledger is not that of the limit */
		__u8 reason;
	} cases[] = {
		{ "nobody is over", .reason = GATE25_REASON_OK },
		{ "he is", from, from, .reason = GATE25_REASON_LIMIT_SOURCE },
		{ "he is, and not marked", from, other, .reason = GATE25_REASON_OK },
		{ "one in his bucket is", other, from, .reason = GATE25_REASON_OK },
		{ "another is", other, other, .reason = GATE25_REASON_OK },
		{ "its time is over", from, from, .over = true, .reason = GATE25_REASON_OK },
		{ "his network is", neighbour, neighbour, GATE25_SCOPE_NETWORK,
		  .reason = GATE25_REASON_LIMIT_NETWORK },
		{ "another network is", other, other, GATE25_SCOPE_NETWORK,
		  .reason = GATE25_REASON_OK },
		{ "he would be", from, from, .observe = true,
		  .reason = GATE25_REASON_WOULD_LIMIT_SOURCE },
		{ "he is in the other ledger", from, from, .unlike = true,
		  .reason = GATE25_REASON_OK },
		{ "his network would be", neighbour, neighbour, GATE25_SCOPE_NETWORK,
		  .observe = true, .reason = GATE25_REASON_WOULD_LIMIT_NETWORK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gate25_limit limit = limit_of(5);
		bool observe = cases[i].observe != cases[i].unlike;

		limit.observe = cases[i].observe;
		open_with(limit, limit);
		world.control->counted_services = 1 << MX;
		if (cases[i].spent)
			spend(hash_of(cases[i].spent, cases[i].scope, observe));
		if (cases[i].marked)
			mark_until(hash_of(cases[i].marked, cases[i].scope, observe),
				   cases[i].over ? 1 : monotonic_ns() + HOUR);
		send_syns(from, 20);
		if (counted(cases[i].reason) != 20)
			fail_msg("%s: %llu of 20 for that reason", cases[i].name,
				 counted(cases[i].reason));
		world_close(&world);
	}
	open_with(no_limit, no_limit); /* for the teardown */
}

/* The first comparison: while the time of all is over, no bucket is asked. */
static void test_read_nobody(void **state)
{
	__u64 hash = hash_of("192.0.2.1", GATE25_SCOPE_SOURCE, false);

	(void)state;
	open_with(limit_of(5), no_limit);
	world.control->counted_services = 1 << MX;
	spend(hash);
	mark_until(hash, GATE25_NEVER);
	assert_int_equal(send_syns("192.0.2.1", 5), 0);
	world.spent->any_until_ns = 0;
	assert_int_equal(send_syns("192.0.2.1", 5), 5);
}

static void test_read_charges_nothing(void **state)
{
	(void)state;
	open_with(limit_of(3), limit_of(3));
	world.control->counted_services = 1 << MX;
	world.spent->any_until_ns = GATE25_NEVER;
	for (int i = 0; i < GATE25_SPENT_BUCKETS; i++)
		world.spent->until_ns[i] = GATE25_NEVER;
	assert_int_equal(send_syns("192.0.2.1", 1000), 1000);
	assert_int_equal(send_syns("2001:db8::1", 1000), 1000);
	assert_true(nobody_is_charged());
	/* a service whose sockets are elsewhere is charged for SYNs, beside it */
	assert_int_equal(send_to("192.0.2.1", 10, 587), 3);
	assert_false(nobody_is_charged());
}

static void test_read_exempts(void **state)
{
	static const char *const exempt[] = { "192.0.2.200", "198.51.100.3" };

	(void)state;
	open_with(limit_of(5), limit_of(5));
	world.control->counted_services = 1 << MX;
	world_entry(&world, exempt[1], GATE25_SLOT_ALLOW, GATE25_NEVER, 0xff);
	for (int i = 0; i < 2; i++) {
		spend(hash_of(exempt[i], GATE25_SCOPE_SOURCE, false));
		mark_until(hash_of(exempt[i], GATE25_SCOPE_SOURCE, false), GATE25_NEVER);
		assert_int_equal(send_syns(exempt[i], 20), 20);
	}
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
		LIMITED(test_read),
		LIMITED(test_read_nobody),
		LIMITED(test_read_charges_nothing),
		LIMITED(test_read_exempts),
	};

	return cmocka_run_group_tests_name("limits", tests, world_need_root, NULL);
}
