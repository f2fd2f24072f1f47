// SPDX-License-Identifier: GPL-2.0-only
/*
 * 50 swaps between two tables of a million hosts while at least a million frames arrive at the native XDP program:
 * every frame is judged, by one table or the other, and every hit is counted once.
 *
 * Sources are in both tables, in A only, in B only, in none, or of the million. A list that only observes covers the
 * first three. What passed is noted per frame, so a verdict that was wrong for a single frame is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/common/stage.h"
#include "tests/common/traffic.h"
#include "user/lists/ranges.h"
#include "user/log.h"

#define SWAPS	      50
#define FRAMES_LEAST  1200000
#define FRAMES_MOST   (1 << 24)
#define BETWEEN_LEAST (FRAMES_LEAST / SWAPS)
#define BETWEEN_MOST  150000
#define SECONDS_MOST  60

enum group { BOTH, ONLY_A, ONLY_B, NONE, HOSTS, GROUPS };
static const char *const group_names[GROUPS] = { "in both", "only in A", "only in B", "in none",
						 "of hosts" };

enum { ID_COMMON = 1, ID_A, ID_B, ID_WATCH, ID_HOSTS };

static const char *const entries_common[] = { "198.51.100.0/26", "2001:db8:b::/48", NULL };
static const char *const entries_a[] = { "198.51.100.64/26", "2001:db8:a::1", "2001:db8:a::2",
					 NULL };
static const char *const entries_b[] = { "198.51.100.128", "198.51.100.129", "2001:db8:c::/64",
					 NULL };
static const char *const entries_watch[] = { "198.51.100.0/25", "198.51.100.128/26",
					     "2001:db8:a::/48", "2001:db8:b::/48",
					     "2001:db8:c::/48", NULL };

/* In turn, two of each group and family; and then, in turn, one of the million and one of no list. */
static const struct {
	const char *address;
	enum group group;
} named_senders[] = {
	{ "198.51.100.1", BOTH },	{ "198.51.100.65", ONLY_A },
	{ "198.51.100.128", ONLY_B },	{ "198.51.100.193", NONE },
	{ "2001:db8:b::1", BOTH },	{ "2001:db8:a::1", ONLY_A },
	{ "2001:db8:c::1", ONLY_B },	{ "2001:db8:d::1", NONE },
	{ "198.51.100.63", BOTH },	{ "198.51.100.127", ONLY_A },
	{ "198.51.100.129", ONLY_B },	{ "203.0.113.1", NONE },
	{ "2001:db8:b:ffff::1", BOTH }, { "2001:db8:a::2", ONLY_A },
	{ "2001:db8:c::ffff", ONLY_B }, { "2001:db8:ffff::1", NONE },
};
#define NAMED	(sizeof(named_senders) / sizeof(named_senders[0]))
#define SENDERS 2048 /* each several times between two swaps */
#define MILLION 1000000
#define TRIES	4 /* on a machine that is busy with other things */

/* The hosts are put in later. */
static const char *const entries_none[] = { NULL };

static const struct stage_list lists_a[] = {
	{ "hosts", ID_HOSTS, false, false, entries_none },
	{ "common", ID_COMMON, false, false, entries_common },
	{ "only-a", ID_A, false, false, entries_a },
	{ "watch", ID_WATCH, false, true, entries_watch },
};
/* Another order, so that bits and class numbers differ between the two. */
static const struct stage_list lists_b[] = {
	{ "watch", ID_WATCH, false, true, entries_watch },
	{ "only-b", ID_B, false, false, entries_b },
	{ "common", ID_COMMON, false, false, entries_common },
	{ "hosts", ID_HOSTS, false, false, entries_none },
};
#define LISTS 4

struct swapper {
	struct stage *stage;
	struct guard *guard;
	struct stage_table tables[2];
	struct traffic *traffic;
	unsigned int swaps; /* done */
	__u64 last;	    /* frames that were sent before the last of them */
	__u64 longest_ns;
	int error;
	__u64 lost; /* frames of which the program heard nothing */
};

static enum group sender_group(size_t sender)
{
	if (sender < NAMED)
		return named_senders[sender].group;
	return sender % 2 ? NONE : HOSTS;
}

static __u64 frames_judged(const struct guard *guard)
{
	int slot = guard_iface_slot((struct guard *)guard, "mx0", false);
	__u64 sum = 0;

	for (int reason = 0; reason < GATE25_REASONS; reason++)
		sum += guard_counter(guard, slot, 0, reason).packets;
	return sum;
}

/* Frames since the last swap; what is sent meanwhile is judged by the generation in force. */
static int traffic_await(const struct swapper *swapper)
{
	__u64 end_ns = monotonic_ns() + SECONDS_MOST * 1000000000ULL;

	while (traffic_sent(swapper->traffic) < swapper->last + BETWEEN_LEAST) {
		if (__atomic_load_n(&swapper->lost, __ATOMIC_RELAXED))
			return -ECANCELED;
		if (monotonic_ns() > end_ns)
			return -ETIMEDOUT;
		usleep(100);
	}
	return 0;
}

/* Loaded before, so that the update of the link falls into the midst of the frames. */
static int swap_once(struct swapper *swapper, const struct stage_table *table)
{
	struct instance *instance = NULL;
	__u64 began_ns, took_ns;
	int error = stage_load(swapper->stage, swapper->guard, table, "mx0", &instance);

	if (!error)
		error = traffic_await(swapper);
	began_ns = monotonic_ns();
	if (!error)
		error = instance_attach(swapper->guard, instance, ATTACH_NATIVE);
	took_ns = monotonic_ns() - began_ns;
	instance_free(instance);
	if (took_ns > swapper->longest_ns)
		swapper->longest_ns = took_ns;
	return error ? error : guard_harvest(swapper->guard);
}

static void *swap_all(void *context)
{
	struct swapper *swapper = context;

	while (!swapper->error && swapper->swaps < SWAPS) {
		swapper->error = swap_once(swapper, &swapper->tables[(swapper->swaps + 1) % 2]);
		__atomic_store_n(&swapper->last, traffic_sent(swapper->traffic), __ATOMIC_RELAXED);
		__atomic_store_n(&swapper->swaps, swapper->swaps + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/*
 * One burst, until all of it was judged. 0: some were lost on the way, which is the fault of the wire. Each batch of the sender is taken out of the veth's ring before the next
 * one is written (softirqs run when it enables them), so the ring, of 256 frames, loses nothing.
 */
static int send_burst(struct swapper *swapper)
{
	__u64 want = traffic_sent(swapper->traffic) + TRAFFIC_BURST;
	__u64 end_ns = monotonic_ns() + 5000000000ULL;

	assert_int_equal(traffic_send(swapper->traffic, TRAFFIC_BURST), 0);
	while (frames_judged(swapper->guard) < want)
		if (monotonic_ns() > end_ns) {
			__atomic_store_n(&swapper->lost, want - frames_judged(swapper->guard),
					 __ATOMIC_RELAXED);
			return 0;
		}
	assert_int_equal(frames_judged(swapper->guard), want);
	return 1;
}

/* While others harvest, no total may step back. */
static void totals_grow(const struct guard *guard, __u64 last[GATE25_LIST_IDS])
{
	static __u64 hits[GATE25_LIST_IDS];

	assert_int_equal(guard_list_hits(guard, hits), 0);
	for (int id = 0; id < GATE25_LIST_IDS; id++) {
		if (hits[id] < last[id])
			fail_msg("list %d went from %llu to %llu", id, last[id], hits[id]);
		last[id] = hits[id];
	}
}

/*
 * A frame waits in the ring until the CPU that it was sent on comes to it. From another CPU the sender would go on
 * meanwhile, and on a busy machine fill the ring; likewise where the kernel puts that off to a thread of its own,
 * to which the sender therefore gives way at once.
 */
static void cpu_stay(void)
{
	const struct sched_param none = { 0 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus), 0);
	assert_int_equal(pthread_setschedparam(pthread_self(), SCHED_IDLE, &none), 0);
}

static unsigned int traffic_run(struct swapper *swapper)
{
	static __u64 last[GATE25_LIST_IDS];
	unsigned int readings = 0;
	pthread_t thread;
	int tail = 20;

	memset(last, 0, sizeof(last));
	assert_int_equal(pthread_create(&thread, NULL, swap_all, swapper), 0);
	cpu_stay();
	while (tail) {
		__u64 since = traffic_sent(swapper->traffic) -
			      __atomic_load_n(&swapper->last, __ATOMIC_RELAXED);

		if (__atomic_load_n(&swapper->swaps, __ATOMIC_ACQUIRE) == SWAPS)
			tail--;
		else if (__atomic_load_n(&swapper->error, __ATOMIC_RELAXED))
			break;
		else if (since > BETWEEN_MOST ||
			 traffic_sent(swapper->traffic) > FRAMES_MOST - TRAFFIC_BURST) {
			usleep(100);
			continue;
		}
		if (!send_burst(swapper))
			break;
		totals_grow(swapper->guard, last);
		readings++;
	}
	pthread_join(thread, NULL);
	return readings;
}

struct group_result {
	__u64 frames, passed;
	unsigned int changes_least, changes_most; /* over its sources */
	unsigned int inside; /* changes of the last source that fell inside a burst */
};

static void results_count(const struct traffic *traffic, struct group_result results[GROUPS])
{
	__u64 sent = traffic_sent(traffic);

	for (size_t s = 0; s < SENDERS; s++) {
		struct group_result *result = &results[sender_group(s)];
		unsigned int changes = 0;

		result->inside = 0;
		for (__u64 number = s; number < sent; number += SENDERS) {
			bool passed = traffic_passed(traffic, number);

			result->passed += passed;
			result->frames++;
			if (number == s || passed == traffic_passed(traffic, number - SENDERS))
				continue;
			changes++;
			result->inside += number / TRAFFIC_BURST ==
					  (number - SENDERS) / TRAFFIC_BURST;
		}
		if (!result->changes_most || changes < result->changes_least)
			result->changes_least = changes;
		if (changes > result->changes_most)
			result->changes_most = changes;
	}
}

static void results_check(const struct swapper *swapper, const struct group_result *results,
			  const __u64 *hits)
{
	const struct guard *guard = swapper->guard;
	__u64 dropped[GROUPS];

	for (int group = 0; group < GROUPS; group++)
		dropped[group] = results[group].frames - results[group].passed;
	assert_int_equal(results[BOTH].passed, 0);
	assert_int_equal(results[HOSTS].passed, 0);
	assert_int_equal(dropped[NONE], 0);
	for (int group = ONLY_A; group <= ONLY_B; group++) {
		assert_int_equal(results[group].changes_least, SWAPS);
		assert_int_equal(results[group].changes_most, SWAPS);
	}
	assert_int_equal(hits[ID_COMMON], results[BOTH].frames);
	assert_int_equal(hits[ID_HOSTS], results[HOSTS].frames);
	assert_int_equal(hits[ID_A], dropped[ONLY_A]);
	assert_int_equal(hits[ID_B], dropped[ONLY_B]);
	assert_int_equal(hits[ID_WATCH],
			 results[BOTH].frames + results[ONLY_A].frames + results[ONLY_B].frames);
	assert_int_equal(guard_counter(guard, 0, 0, GATE25_REASON_LIST).packets,
			 dropped[BOTH] + dropped[ONLY_A] + dropped[ONLY_B] + dropped[HOSTS]);
	assert_int_equal(guard_counter(guard, 0, 0, GATE25_REASON_WOULD_LIST).packets,
			 results[ONLY_A].passed + results[ONLY_B].passed);
	assert_int_equal(guard_counter(guard, 0, 0, GATE25_REASON_OK).packets,
			 results[NONE].passed);
}

static void results_print(const struct swapper *swapper, const struct group_result *results,
			  const __u64 *hits, unsigned int readings, double seconds)
{
	printf("# %llu frames, %u swaps in %.1f s; longest swap %.2f ms; totals read %u times\n",
	       traffic_sent(swapper->traffic), swapper->swaps, seconds, swapper->longest_ns / 1e6,
	       readings);
	for (int group = 0; group < GROUPS; group++)
		printf("# sources %-9s: %8llu frames, %8llu dropped, %8llu passed, %u changes\n",
		       group_names[group], results[group].frames,
		       results[group].frames - results[group].passed, results[group].passed,
		       results[group].changes_most);
	printf("# %u of %d swaps fell inside a burst of %d frames, the others between two\n",
	       results[ONLY_A].inside, SWAPS, TRAFFIC_BURST);
	printf("# list hits: hosts %llu, common %llu, only-a %llu, only-b %llu, watch (observed) "
	       "%llu\n",
	       hits[ID_HOSTS], hits[ID_COMMON], hits[ID_A], hits[ID_B], hits[ID_WATCH]);
}

/* ---------------------------------------------------------------- a million hosts */

static __u64 random_state = 31;

static __u32 random_host(void) /* xorshift64*: the same on every machine */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL) >> 32;
}

/* Not in the networks of the named senders. */
static bool host_is_free(__u32 address)
{
	return address >> 8 != 0xc63364 && address >> 8 != 0xcb0071;
}

static struct list_image *hosts_make(void)
{
	struct ranges ranges = { 0 };
	struct list_image *image = NULL;

	random_state = 31;
	for (unsigned int i = 0; i < MILLION;) {
		__u32 address = random_host();

		if (!host_is_free(address))
			continue;
		assert_int_equal(ranges_add4(&ranges, address, address), 0);
		i++;
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	return image;
}

/* A table of the lists, with the million in the list that is for them. */
static void table_make(const struct stage_list *lists, struct stage_table *out)
{
	struct compile_input input = { .lists = out->lists, .count = LISTS, .threshold = 1 };

	assert_int_equal(stage_table_make(lists, LISTS, out), 0);
	compiled_table_free(out->compiled);
	out->compiled = NULL;
	for (size_t i = 0; i < LISTS; i++) {
		if (out->lists[i].info.id != ID_HOSTS)
			continue;
		list_image_free((struct list_image *)out->lists[i].image);
		out->lists[i].image = hosts_make();
		out->lists[i].info.entries4 = out->lists[i].image->count4;
	}
	assert_int_equal(table_compile(&input, &out->compiled), 0);
}

static const struct list_image *hosts_of(const struct stage_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->lists[i].info.id == ID_HOSTS)
			return table->lists[i].image;
	fail();
	return NULL;
}

static __u32 good_host(const struct list_image *hosts)
{
	struct gate25_source source = { .family = 4 }, first, last;

	do {
		source.lo = random_host();
	} while (!host_is_free(source.lo) || !list_image_find(hosts, &source, &first, &last));
	return source.lo;
}

static void sources_fill(const struct list_image *hosts, struct frame_source sources[SENDERS])
{
	memset(sources, 0, SENDERS * sizeof(sources[0]));
	for (size_t i = 0; i < NAMED; i++) {
		bool is6 = strchr(named_senders[i].address, ':');

		sources[i].family = is6 ? 6 : 4;
		assert_int_equal(inet_pton(is6 ? AF_INET6 : AF_INET, named_senders[i].address,
					   sources[i].address_be),
				 1);
	}
	for (size_t i = NAMED; i < SENDERS; i++) {
		__u32 host = sender_group(i) == HOSTS ?
				     hosts->ranges4[hosts->count4 / SENDERS * i].first :
				     good_host(hosts);

		sources[i].family = 4;
		sources[i].address_be[0] = htonl(host);
	}
}

static void guard_up(struct swapper *swapper, const struct frame_source *sources)
{
	assert_int_equal(guard_create(&swapper->stage->config, &swapper->guard), 0);
	assert_int_equal(stage_swap(swapper->stage, swapper->guard, &swapper->tables[0], "mx0",
				    ATTACH_NATIVE),
			 0);
	assert_int_equal(
		traffic_open("peer0", "mx0", sources, SENDERS, 25, FRAMES_MOST, &swapper->traffic),
		0);
}

static void guard_down(struct swapper *swapper)
{
	traffic_close(swapper->traffic);
	assert_int_equal(guard_detach(swapper->guard, "mx0"), 0);
}

static void guard_gone(struct swapper *swapper)
{
	assert_int_equal(guard_remove(swapper->guard), 0);
	guard_close(swapper->guard);
}

/* What passed was judged: a frame that came through between two programs is none that the wire lost. */
static void passed_check(const struct swapper *swapper)
{
	__u64 seen = 0, counted = 0;

	for (__u64 number = 0; number < traffic_sent(swapper->traffic); number++)
		seen += traffic_passed(swapper->traffic, number);
	for (int reason = 0; reason < GATE25_REASONS; reason++)
		if (reason < GATE25_REASON_MANUAL || reason >= GATE25_REASON_MANUAL + GATE25_WOULD)
			counted += guard_counter(swapper->guard, 0, 0, reason).packets;
	assert_int_equal(seen, counted);
}

/* Each frame must be accounted for. Where the wire lost some, which a busy machine makes it do, it is done again. */
static unsigned int run_whole(struct swapper *swapper, const struct frame_source *sources)
{
	unsigned int readings;

	for (int tries = 0; tries < TRIES; tries++) {
		swapper->swaps = swapper->last = swapper->lost = swapper->error = 0;
		guard_up(swapper, sources);
		readings = traffic_run(swapper);
		if (!swapper->lost)
			return readings;
		printf("# %llu of %llu frames were lost on the way to the program: once more\n",
		       swapper->lost, traffic_sent(swapper->traffic));
		passed_check(swapper);
		guard_down(swapper);
		guard_gone(swapper);
	}
	fail_msg("frames were lost in each of %d runs", TRIES);
	return 0;
}

static void test_swaps_under_traffic(void **state)
{
	static __u64 hits[GATE25_LIST_IDS];
	struct swapper swapper = { .stage = *state };
	struct group_result results[GROUPS] = { 0 };
	static struct frame_source sources[SENDERS];
	__u64 began_ns = monotonic_ns();
	unsigned int readings;

	table_make(lists_a, &swapper.tables[0]);
	table_make(lists_b, &swapper.tables[1]);
	sources_fill(hosts_of(&swapper.tables[0]), sources);
	readings = run_whole(&swapper, sources);
	assert_int_equal(swapper.error, 0);
	assert_int_equal(guard_list_hits(swapper.guard, hits), 0);
	results_count(swapper.traffic, results);
	results_print(&swapper, results, hits, readings, (monotonic_ns() - began_ns) / 1e9);
	results_check(&swapper, results, hits);
	assert_true(traffic_sent(swapper.traffic) >= 1000000);
	assert_true(results[ONLY_A].inside > SWAPS / 5);

	guard_down(&swapper);
	/* What the last instance had counted is in the totals now. */
	for (int id = ID_COMMON; id <= ID_HOSTS; id++)
		assert_int_equal(swapper.guard->totals[id].hits, hits[id]);
	guard_gone(&swapper);
	stage_table_free(&swapper.tables[0]);
	stage_table_free(&swapper.tables[1]);
}

/* IPv6 speaks by itself on a new device: router solicitations are no TCP, so they do not count here. */
static int setup(void **state)
{
	static struct stage stage;

	*state = &stage;
	log_init("test_swap", LOG_WARNING);
	return stage_enter(&stage) || stage_veth("mx0", "peer0");
}

static int teardown(void **state)
{
	stage_leave(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_swaps_under_traffic),
	};

	return cmocka_run_group_tests_name("swap", tests, setup, teardown);
}
