// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the program counts and tells beside its verdicts: connections, hits of lists, events and
 * their rate, its own failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/common/world.h"
#include "user/dataplane.h"
#include "user/reason.h"

static struct world world;

static void open_with(__u64 event_interval_ns, unsigned int event_burst)
{
	struct world_setup setup = { .without_classes = false };

	setup.settings.event_interval_ns = event_interval_ns;
	setup.settings.event_tolerance_ns = event_interval_ns * event_burst;
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

/* ------------------------------------------------------------------ connections */

static void check_counter(enum gate25_reason reason, __u64 packets, __u64 connections)
{
	struct gate25_counter counter = world_count(&world, MX, reason);

	if (counter.packets != packets || counter.connections != connections)
		fail_msg("%s: %llu packets, %llu connections; want %llu, %llu",
			 reason_label(reason), counter.packets, counter.connections, packets,
			 connections);
}

static void test_a_repeated_syn_is_one_connection(void **state)
{
	static const struct {
		const char *name;
		struct packet_spec spec;
	} others[] = {
		{ "another source", { .from = "203.0.113.201", .sequence = 7 } },
		{ "another destination",
		  { .from = "203.0.113.200", .to = "198.51.100.26", .sequence = 7 } },
		{ "another source port",
		  { .from = "203.0.113.200", .from_port = 40001, .sequence = 7 } },
		{ "another sequence number", { .from = "203.0.113.200", .sequence = 8 } },
		{ "IPv6", { .from = "2001:db8:bad::1", .sequence = 7 } },
		{ "upper half of IPv6", { .from = "2001:db8:bad:2::1", .sequence = 7 } },
		{ "upper half of an IPv6 destination",
		  { .from = "2001:db8:bad::1", .to = "2001:db8:fffe::25", .sequence = 7 } },
	};
	struct packet_spec listed = { .from = "203.0.113.200", .sequence = 7 }, again;
	struct packet_spec unlisted = { .sequence = 7 };
	__u64 count = sizeof(others) / sizeof(others[0]);

	(void)state;
	open_with(0, 0);
	for (int i = 0; i < 5; i++)
		world_run(&world, &listed);
	check_counter(GATE25_REASON_LIST, 5, 1);
	/* what else a retransmission may change does not make it new */
	again = listed;
	again.tcp_options = 20;
	again.tags[0] = 0x8100;
	again.flags = SYN | ECE;
	world_run(&world, &again);
	check_counter(GATE25_REASON_LIST, 6, 1);
	for (__u64 i = 0; i < count; i++) {
		world_run(&world, &others[i].spec);
		if (world_count(&world, MX, GATE25_REASON_LIST).connections != 2 + i)
			fail_msg("%s: taken for the same connection", others[i].name);
		world_run(&world, &others[i].spec);
	}
	check_counter(GATE25_REASON_LIST, 6 + 2 * count, 1 + count);
	/* what passes is counted by the same rule */
	for (int i = 0; i < 3; i++)
		world_run(&world, &unlisted);
	check_counter(GATE25_REASON_OK, 3, 1);
}

/* Repeats are recognised among tens of thousands of others. */
static void test_many_connections(void **state)
{
	struct packet_spec spec = { .from = "203.0.113.200" };
	struct gate25_counter counter;

	(void)state;
	open_with(0, 0);
	for (int round = 0; round < 2; round++)
		for (__u32 i = 0; i < 20000; i++) {
			spec.from_port = 1024 + i;
			spec.sequence = i * 2654435761U;
			world_run(&world, &spec);
		}
	counter = world_count(&world, MX, GATE25_REASON_LIST);
	assert_int_equal(counter.packets, 40000);
	/* a slot that two of them share forgets the first: 20,000 on 65,536 slots */
	assert_in_range(counter.connections, 20000, 20000 + 20000 * 35 / 100);
}

/* ------------------------------------------------------------------ lists */

static const struct {
	const char *name;
	struct packet_spec spec;
	const char *entry; /* prefix that is entered in `slot` */
	enum gate25_slot slot;
	int observe;
	unsigned int hits[WORLD_LISTS];
} hits[] = {
	{ "unlisted", { .flags = SYN }, NULL, 0, 0, { 0, 0, 0 } },
	{ "listed", { .from = "203.0.113.200" }, NULL, 0, 0, { 1, 0, 0 } },
	{ "listed, ACK", { .from = "203.0.113.200", .flags = ACK }, NULL, 0, 0, { 0, 0, 0 } },
	{ "listed, another port",
	  { .from = "203.0.113.200", .to_port = 80 },
	  NULL,
	  0,
	  0,
	  { 0, 0, 0 } },
	{ "observed list", { .from = "198.18.0.1" }, NULL, 0, 0, { 0, 1, 0 } },
	{ "two lists", { .from = "203.0.113.5" }, NULL, 0, 0, { 1, 1, 0 } },
	{ "two lists, the whole observes", { .from = "203.0.113.5" }, NULL, 0, 1, { 1, 1, 0 } },
	{ "IPv6", { .from = "2001:db8:bad::1" }, NULL, 0, 0, { 1, 0, 0 } },
	/* decided before the step "lists" is reached */
	{ "listed friend", { .from = "203.0.113.10" }, NULL, 0, 0, { 0, 0, 0 } },
	{ "allowed by hand",
	  { .from = "203.0.113.200" },
	  "203.0.113.200",
	  GATE25_SLOT_ALLOW,
	  0,
	  { 0, 0, 0 } },
	{ "blocked by hand",
	  { .from = "203.0.113.200" },
	  "203.0.113.200",
	  GATE25_SLOT_BLOCK,
	  0,
	  { 0, 0, 0 } },
	{ "banned",
	  { .from = "203.0.113.200" },
	  "203.0.113.200",
	  GATE25_SLOT_AUTO,
	  0,
	  { 0, 0, 0 } },
	/* what is only observed goes on to it */
	{ "blocked by hand, observed",
	  { .from = "203.0.113.200" },
	  "203.0.113.200",
	  GATE25_SLOT_BLOCK,
	  1,
	  { 1, 0, 0 } },
	{ "a block of another",
	  { .from = "203.0.113.200" },
	  "203.0.113.201",
	  GATE25_SLOT_BLOCK,
	  0,
	  { 1, 0, 0 } },
};

static void test_hits(void **state)
{
	(void)state;
	open_with(0, 0);
	for (size_t i = 0; i < sizeof(hits) / sizeof(hits[0]); i++) {
		world_clear(&world);
		world.control->observe = hits[i].observe;
		if (hits[i].entry)
			world_entry(&world, hits[i].entry, hits[i].slot, GATE25_NEVER, 0xff);
		for (int repeat = 0; repeat < 3; repeat++) /* a repeated SYN is a hit too */
			world_run(&world, &hits[i].spec);
		for (int list = 0; list < WORLD_LISTS; list++)
			if (world_hits(&world, list) != 3 * hits[i].hits[list])
				fail_msg("%s: %llu hits of list %d", hits[i].name,
					 world_hits(&world, list), list);
	}
}

/* ------------------------------------------------------------------ events */

#define EVENTS_MAX 8192

struct told {
	unsigned int count;
	struct gate25_event events[EVENTS_MAX];
};
static struct told told;

static int listen_to(void *context, void *data, size_t size)
{
	struct told *to = context;

	assert_int_equal(size, sizeof(struct gate25_event));
	if (to->count < EVENTS_MAX)
		memcpy(&to->events[to->count], data, size);
	to->count++;
	return 0;
}

static unsigned int read_events(void)
{
	struct ring_buffer *ring = ring_buffer__new(world.events_fd, listen_to, &told, NULL);

	assert_non_null(ring);
	memset(&told, 0, sizeof(told));
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
	return told.count;
}

static void test_event(void **state)
{
	struct packet_spec spec = { .from = "64:ff9b::203.0.113.200",
				    .to = "2001:db8:1:2:3:4:5:6",
				    .from_port = 1234 };
	__u64 before_ns;

	(void)state;
	open_with(1000, 1000);
	before_ns = monotonic_ns() - 20000000; /* the coarse clock is behind by a tick */
	world_run(&world, &spec);
	assert_int_equal(read_events(), 1);
	assert_in_range(told.events[0].time_ns, before_ns, monotonic_ns());
	assert_int_equal(told.events[0].source.family, 4);
	assert_int_equal(told.events[0].source.lo, 0xcb0071c8);
	assert_int_equal(told.events[0].source.hi, 0);
	assert_int_equal(told.events[0].frame_family, 6);
	assert_true(told.events[0].destination_hi == 0x20010db800010002);
	assert_true(told.events[0].destination_lo == 0x0003000400050006);
	assert_int_equal(told.events[0].source_port, 1234);
	assert_int_equal(told.events[0].destination_port, 25);
	assert_int_equal(told.events[0].iface, WORLD_IFACE);
	assert_int_equal(told.events[0].service, MX);
	assert_int_equal(told.events[0].reason, GATE25_REASON_LIST);
	assert_in_range(told.events[0].class, 1, world.classes_count - 1);
	assert_true(world.classes[told.events[0].class].lists >> BLOCKED & 1);
}

/*
 * Each decision against a SYN is told, whether enforced or observed; nothing else is, and no
 * repetition.
 */
static void test_what_is_told(void **state)
{
	static const struct {
		const char *name;
		struct packet_spec spec;
		const char *block;
		int observe;
		unsigned int want; /* a reason; 0: nothing */
	} cases[] = {
		{ "listed", { .from = "203.0.113.200" }, NULL, 0, GATE25_REASON_LIST },
		{ "observed", { .from = "203.0.113.200" }, NULL, 1, GATE25_REASON_WOULD_LIST },
		{ "observed list", { .from = "198.18.0.1" }, NULL, 0, GATE25_REASON_WOULD_LIST },
		{ "blocked", { .family = 6 }, "2001:db8::7", 0, GATE25_REASON_MANUAL },
		{ "default", { .to_port = 2526 }, NULL, 0, GATE25_REASON_DEFAULT },
		{ "passes", { .flags = SYN }, NULL, 0, 0 },
		{ "friend", { .from = "192.0.2.200" }, NULL, 0, 0 },
		{ "malformed", { .flags = SYN | FIN }, NULL, 0, 0 },
		{ "no socket", { .from = "203.0.113.200", .flags = ACK }, NULL, 0, 0 },
		{ "fragment", { .fragment_offset = 2 }, NULL, 0, 0 },
	};

	(void)state;
	open_with(1000, 1000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int count;

		world_clear(&world);
		world.control->observe = cases[i].observe;
		world.control->local_services = 0xff;
		if (cases[i].block)
			world_entry(&world, cases[i].block, GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
		for (int repeat = 0; repeat < 4; repeat++)
			world_run(&world, &cases[i].spec);
		count = read_events();
		if (count != (cases[i].want ? 1 : 0) ||
		    (count && told.events[0].reason != cases[i].want))
			fail_msg("%s: %u events, the first for %s", cases[i].name, count,
				 reason_label(told.events[0].reason));
		assert_int_equal(world_suppressed(&world), 0);
	}
}

static void flood(unsigned int count)
{
	struct packet_spec spec = { .from = "203.0.113.200" };

	for (unsigned int i = 0; i < count; i++) {
		spec.sequence = i;
		spec.from_port = 1024 + i % 60000;
		world_run(&world, &spec);
	}
}

/* Of a flood some are told, each CPU its burst, and the rest is counted. */
static void test_events_have_a_rate(void **state)
{
	unsigned int events;

	(void)state;
	open_with(3600000000000ULL, 9); /* a burst of ten, and none comes back */
	flood(1000);
	events = read_events();
	assert_in_range(events, 10, 10 * world.cpus);
	assert_int_equal(events + world_suppressed(&world), 1000);
	check_counter(GATE25_REASON_LIST, 1000, 1000);
}

static void test_no_events(void **state)
{
	(void)state;
	open_with(0, 0);
	flood(100);
	assert_int_equal(read_events(), 0);
	assert_int_equal(world_suppressed(&world), 100);
}

/* A reader that sleeps costs events, never verdicts; what was lost is counted. */
static void test_a_full_ring(void **state)
{
	const unsigned int count = 8192; /* 256 KiB hold 3,640 events with their heads */
	unsigned int events;

	(void)state;
	open_with(1, 1000000000);
	flood(count);
	events = read_events();
	assert_in_range(events, 3000, 4096);
	assert_int_equal(world_errors(&world, GATE25_ERROR_RING_FULL), count - events);
	assert_int_equal(world_suppressed(&world), 0);
	check_counter(GATE25_REASON_LIST, count, count);
}

/* ------------------------------------------------------------------ our own failures */

/* A table that names a class which is not there: the frame passes, and both counters say why. */
static void test_a_missing_class(void **state)
{
	struct world_setup setup = { .without_classes = true };
	struct packet_spec listed = { .from = "203.0.113.200" }, ack = listed;

	(void)state;
	assert_int_equal(world_open(&world, &setup), 0);
	world_clear(&world);
	assert_int_equal(world_run(&world, &listed), XDP_PASS);
	assert_int_equal(world_errors(&world, GATE25_ERROR_MAP), 1);
	check_counter(GATE25_REASON_ERROR, 1, 1);
	ack.flags = ACK;
	assert_int_equal(world_run(&world, &ack), XDP_PASS);
	assert_int_equal(world_errors(&world, GATE25_ERROR_MAP), 2);
	check_counter(GATE25_REASON_ESTABLISHED, 1, 0);
	/* and the other steps go on */
	world_entry(&world, "203.0.113.200", GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	assert_int_equal(world_run(&world, &listed), XDP_DROP);
	check_counter(GATE25_REASON_MANUAL, 1, 0);
}

#define COUNTED(test) cmocka_unit_test_teardown(test, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(test_a_repeated_syn_is_one_connection),
		COUNTED(test_many_connections),
		COUNTED(test_hits),
		COUNTED(test_event),
		COUNTED(test_what_is_told),
		COUNTED(test_events_have_a_rate),
		COUNTED(test_no_events),
		COUNTED(test_a_full_ring),
		COUNTED(test_a_missing_class),
	};

	return cmocka_run_group_tests_name("counting", tests, world_need_root, NULL);
}
