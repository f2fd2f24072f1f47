// SPDX-License-Identifier: GPL-2.0-only
/* Rates of sources under a clock that the test sets, from one thread and from two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static int swaps_to_fail; /* of the compare-and-swaps to come */

/* The real thing, unless a test wants it to be in vain. */
#define __sync_val_compare_and_swap(word, before, after)                                           \
	(swaps_to_fail > 0 ? swaps_to_fail--,                                                      \
	 ~(before) : __sync_val_compare_and_swap(word, before, after))
#include "bpf/source.h"

#define MS   1000000ULL
#define S    1000000000ULL
#define HOUR (3600 * S)
#define WRAP (1ULL << (SOURCE_TIME_BITS + SOURCE_UNIT_SHIFT)) /* ns until times come round */
#define TICK (4 * MS)					      /* of the coarse clock */

/* Any tag but 0 in the upper bits; the lower ones choose the line, which is the caller's affair. */
#define HASH(n) ((__u64)(n) << SOURCE_TIME_BITS)

static const __u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

/* ------------------------------------------------------------------ keys */

static void test_siphash(void **state)
{
	(void)state;
	/* SipHash-1-3 of the bytes 0, 1, … 14 under the key 0, 1, … 15 */
	assert_true(source_siphash(key, 0x0706050403020100, 0x0e0d0c0b0a0908) ==
		    0xd320d86d2a519956);
	/* and of eight bytes and a tail of 4 */
	assert_true(source_siphash(key, 0x0706050403020100, 4) == 0x73b94e9a1e919fd9);
	/* the tail's eighth byte is the length's */
	assert_true(source_siphash(key, 1, 4) == source_siphash(key, 1, 4 | 1ULL << 56));
}

static void test_who_shares_a_budget(void **state)
{
	static const struct gate25_limit host = { .length4 = 32, .length6 = 64 };
	static const struct gate25_limit network = { .length4 = 24, .length6 = 48 };
	static const struct gate25_limit all = { .length4 = 0, .length6 = 0 };
	static const struct {
		const char *name;
		const struct gate25_limit *limit;
		struct gate25_source one, other;
		int same;
	} cases[] = {
		{ "one host", &host, { 0, 0xc0000207, 4, { 0 } }, { 0, 0xc0000207, 4, { 0 } }, 1 },
		{ "two hosts", &host, { 0, 0xc0000207, 4, { 0 } }, { 0, 0xc0000206, 4, { 0 } }, 0 },
		{ "a /24", &network, { 0, 0xc0000207, 4, { 0 } }, { 0, 0xc00002ff, 4, { 0 } }, 1 },
		{ "two /24",
		  &network,
		  { 0, 0xc0000207, 4, { 0 } },
		  { 0, 0xc0000307, 4, { 0 } },
		  0 },
		{ "a /64", &host, { 1, 7, 6, { 0 } }, { 1, ~0ULL, 6, { 0 } }, 1 },
		{ "two /64", &host, { 1, 7, 6, { 0 } }, { 2, 7, 6, { 0 } }, 0 },
		{ "a /48", &network, { 0x10001, 7, 6, { 0 } }, { 0x1ffff, 8, 6, { 0 } }, 1 },
		{ "two /48", &network, { 0x10001, 7, 6, { 0 } }, { 0x20001, 7, 6, { 0 } }, 0 },
		{ "families", &host, { 0, 7, 4, { 0 } }, { 7, 0, 6, { 0 } }, 0 },
		{ "all", &all, { 0, 7, 4, { 0 } }, { 0, 0xffffffff, 4, { 0 } }, 1 },
		{ "all, IPv6", &all, { 7, 7, 6, { 0 } }, { ~0ULL, 7, 6, { 0 } }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		__u64 one = source_hash(key, &cases[i].one, cases[i].limit, 0, 0);
		__u64 other = source_hash(key, &cases[i].other, cases[i].limit, 0, 0);

		if ((one == other) != cases[i].same)
			fail_msg("%s", cases[i].name);
		/* each scope, and observing, has a ledger of its own */
		assert_true(one != source_hash(key, &cases[i].one, cases[i].limit, 1, 0));
		assert_true(one != source_hash(key, &cases[i].one, cases[i].limit, 0, 1));
	}
	assert_true(source_tag(0) != 0);
	assert_true(source_tag(HASH(1)) == 1);
	assert_int_equal(source_line(~0ULL, 4096), 4095);
}

static void test_normalise(void **state)
{
	static const struct gate25_settings settings = {
		.translated = { { 0x0064ff9b00000000, 0 },
				{ 0x20010db801230000, 0x00aa000000000000 },
				{ 0x20010db8dead0000, 0 } }, /* beyond the count */
		.translated_count = 2,
	};
	static const struct {
		const char *name;
		struct gate25_source source, want;
	} cases[] = {
		{ "IPv4", { 0, 0xc0000207, 4, { 0 } }, { 0, 0xc0000207, 4, { 0 } } },
		{ "IPv6", { 1ULL << 61, 7, 6, { 0 } }, { 1ULL << 61, 7, 6, { 0 } } },
		{ "mapped", { 0, 0xffffc0000207, 6, { 0 } }, { 0, 0xc0000207, 4, { 0 } } },
		{ "compatible", { 0, 0xc0000207, 6, { 0 } }, { 0, 0xc0000207, 6, { 0 } } },
		{ "mapped, but for a bit",
		  { 0, 0xfffec0000207, 6, { 0 } },
		  { 0, 0xfffec0000207, 6, { 0 } } },
		{ "well-known prefix",
		  { 0x0064ff9b00000000, 0xc0000207, 6, { 0 } },
		  { 0, 0xc0000207, 4, { 0 } } },
		{ "its local-use sister",
		  { 0x0064ff9b00010000, 0xc0000207, 6, { 0 } },
		  { 0x0064ff9b00010000, 0xc0000207, 6, { 0 } } },
		{ "the site's own",
		  { 0x20010db801230000, 0x00aa0000ffffffff, 6, { 0 } },
		  { 0, 0xffffffff, 4, { 0 } } },
		{ "one bit beside the site's",
		  { 0x20010db801230000, 0x00aa0001ffffffff, 6, { 0 } },
		  { 0x20010db801230000, 0x00aa0001ffffffff, 6, { 0 } } },
		{ "not in use",
		  { 0x20010db8dead0000, 1, 6, { 0 } },
		  { 0x20010db8dead0000, 1, 6, { 0 } } },
		{ "unspecified", { 0, 0, 6, { 0 } }, { 0, 0, 6, { 0 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gate25_source source = cases[i].source;

		source_normalise(&source, &settings);
		if (memcmp(&source, &cases[i].want, sizeof(source)) != 0)
			fail_msg("%s: family %u, %llx %llx", cases[i].name, source.family,
				 source.hi, source.lo);
	}
}

/* ------------------------------------------------------------------ rates */

static const struct rate {
	const char *name;
	double per_s;
	unsigned int burst;
} rates[] = {
	{ "1/min, burst 1", 1 / 60.0, 1 },  { "10/min, burst 3", 10 / 60.0, 3 },
	{ "1/s, burst 1", 1, 1 },	    { "300/min, burst 150", 5, 150 },
	{ "50/s, burst 1", 50, 1 },	    { "3000/min, burst 1500", 50, 1500 },
	{ "200/s, burst 2", 200, 2 },	    { "1000/s, burst 1", 1000, 1 },
	{ "1000/s, burst 100", 1000, 100 }, { "10000/s, burst 10", 10000, 10 },
};
#define RATES (sizeof(rates) / sizeof(rates[0]))

static const __u64 starts[] = {
	0, 1, S, 100 * HOUR, WRAP - 3 * S, 7 * WRAP - 10 * S, ~0ULL - 20 * S
};
#define STARTS (sizeof(starts) / sizeof(starts[0]))

static __u64 interval_of(const struct rate *rate)
{
	return S / rate->per_s;
}

static enum source_answer ask(__u64 *words, __u64 hash, __u64 now_ns, const struct rate *rate)
{
	return source_admit(words, hash, now_ns, interval_of(rate),
			    interval_of(rate) * rate->burst);
}

/* Rate x time + burst, within 1 % or one connection. */
static void check_admitted(const struct rate *rate, double seconds, double admitted,
			   const char *how)
{
	double want = rate->per_s * seconds + rate->burst;
	double slack = want / 100 > 1 ? want / 100 : 1;

	if (admitted < want - slack || admitted > want + slack)
		fail_msg("%s, %s: %.0f admitted, want %.0f", rate->name, how, admitted, want);
}

/* 10 s at ten times the limit, or 20 times the burst where that is more. */
static void run_rate(const struct rate *rate, __u64 start, __u64 tick, const char *how)
{
	struct gate25_source_line line = { { 0 } };
	__u64 calls = 100 * rate->per_s > 20 * rate->burst ? 100 * rate->per_s : 20 * rate->burst;
	__u64 admitted = 0;

	for (__u64 i = 0; i < calls; i++) {
		__u64 now_ns = start + 10 * S * i / calls;
		enum source_answer answer = ask(line.words, HASH(25), now_ns - now_ns % tick, rate);

		assert_int_not_equal(answer, SOURCE_CONTENDED);
		admitted += answer == SOURCE_ADMITTED;
	}
	check_admitted(rate, 10, admitted, how);
}

static void test_rate_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATES; i++)
		for (size_t start = 0; start < STARTS; start++) {
			run_rate(&rates[i], starts[start], 1, "exact clock");
			run_rate(&rates[i], starts[start], TICK, "coarse clock");
		}
}

/* Who stays below his rate is never refused, with a burst of one too. */
static void test_below_the_rate(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATES; i++)
		for (size_t start = 0; start < STARTS; start++) {
			struct gate25_source_line line = { { 0 } };
			__u64 interval = interval_of(&rates[i]);

			for (__u64 n = 0; n < 5000; n++) {
				__u64 now_ns = starts[start] + n * (interval + interval / 50);

				if (ask(line.words, HASH(25), now_ns - now_ns % TICK, &rates[i]))
					fail_msg("%s: refused the %llu.", rates[i].name, n);
			}
		}
}

static void test_burst_returns(void **state)
{
	const struct rate *rate = &rates[3]; /* 300/min, burst 150: whole again after 30 s */
	struct gate25_source_line line = { { 0 } };
	__u64 now_ns = 5 * HOUR;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 150; i++)
			assert_int_equal(ask(line.words, HASH(25), now_ns, rate), SOURCE_ADMITTED);
		assert_int_equal(ask(line.words, HASH(25), now_ns, rate), SOURCE_REFUSED);
		assert_int_equal(ask(line.words, HASH(25), now_ns + 100 * MS, rate),
				 SOURCE_REFUSED);
		now_ns += 30 * S;
	}
	now_ns += 2 * S - 30 * S; /* of the last burst, ten are there again */
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask(line.words, HASH(25), now_ns, rate), SOURCE_ADMITTED);
	assert_int_equal(ask(line.words, HASH(25), now_ns, rate), SOURCE_REFUSED);
}

/* ------------------------------------------------------------------ two CPUs */

struct racer {
	pthread_t thread;
	const struct rate *rate;
	struct gate25_source_line *line;
	const struct racer *other;
	__u64 *clock, end, step, admitted, contended;
	__u64 at; /* where its own clock stands */
};

/* Clocks of CPUs differ by a second at most, however long one of the threads is kept waiting. */
static void wait_for(const struct racer *other, __u64 now_ns)
{
	while ((__s64)(now_ns - S - __atomic_load_n(&other->at, __ATOMIC_ACQUIRE)) > 0)
		sched_yield();
}

static void *race(void *context)
{
	struct racer *racer = context;

	for (;;) {
		__u64 now_ns = __atomic_fetch_add(racer->clock, racer->step, __ATOMIC_RELAXED);
		enum source_answer answer;

		__atomic_store_n(&racer->at, now_ns, __ATOMIC_RELEASE);
		if (now_ns >= racer->end)
			return NULL;
		wait_for(racer->other, now_ns);
		answer = ask(racer->line->words, HASH(25), now_ns - now_ns % TICK, racer->rate);
		racer->admitted += answer == SOURCE_ADMITTED;
		racer->contended += answer == SOURCE_CONTENDED;
	}
}

static void run_race(const struct rate *rate)
{
	struct gate25_source_line line = { { 0 } };
	__u64 start = 3 * WRAP - 5 * S, clock = start, step = interval_of(rate) / 10;
	struct racer racers[2];

	if (step > 10 * S / 100000)
		step = 10 * S / 100000; /* enough calls for them to meet */
	for (int cpu = 0; cpu < 2; cpu++)
		racers[cpu] = (struct racer){ .rate = rate,
					      .line = &line,
					      .other = &racers[!cpu],
					      .clock = &clock,
					      .step = step,
					      .end = start + 10 * S,
					      .at = start };
	for (int cpu = 0; cpu < 2; cpu++)
		assert_int_equal(pthread_create(&racers[cpu].thread, NULL, race, &racers[cpu]), 0);
	for (int cpu = 0; cpu < 2; cpu++)
		assert_int_equal(pthread_join(racers[cpu].thread, NULL), 0);
	check_admitted(rate, 10, racers[0].admitted + racers[1].admitted, "two CPUs");
	assert_true(racers[0].contended + racers[1].contended < 10);
}

static void test_two_cpus(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATES; i++)
		run_race(&rates[i]);
}

static void test_contention_passes(void **state)
{
	struct gate25_source_line line = { { 0 } };

	(void)state;
	swaps_to_fail = SOURCE_TRIES - 1;
	assert_int_equal(ask(line.words, HASH(25), S, &rates[0]), SOURCE_ADMITTED);
	assert_int_equal(swaps_to_fail, 0);
	memset(&line, 0, sizeof(line));
	swaps_to_fail = SOURCE_TRIES;
	assert_int_equal(ask(line.words, HASH(25), S, &rates[0]), SOURCE_CONTENDED);
	assert_int_equal(swaps_to_fail, 0);
	assert_true(line.words[0] == 0); /* nothing is charged */
}

/* ------------------------------------------------------------------ who gives way */

static void test_over_his_limit_is_never_evicted(void **state)
{
	const struct rate *rate = &rates[3];
	struct gate25_source_line line = { { 0 } };
	__u64 now_ns = WRAP - S; /* times come round on the way */
	int admitted = 0;

	(void)state;
	while (ask(line.words, HASH(25), now_ns, rate) == SOURCE_ADMITTED)
		admitted++;
	assert_int_equal(admitted, rate->burst);
	/* a flood of others, each of them once: the line holds eight */
	for (int i = 0; i < 100000; i++) {
		now_ns += 20000;
		assert_int_equal(ask(line.words, HASH(1000 + i), now_ns, rate), SOURCE_ADMITTED);
		if (i % 10 == 0)
			admitted += ask(line.words, HASH(25), now_ns, rate) == SOURCE_ADMITTED;
	}
	check_admitted(rate, 2, admitted, "in a flood of others");
}

static void test_the_oldest_gives_way(void **state)
{
	const struct rate *rate = &rates[3];
	__u64 begin = 50 * HOUR;

	(void)state;
	for (int oldest = 0; oldest < GATE25_SOURCE_WORDS; oldest++) {
		struct gate25_source_line line = { { 0 } };

		for (int i = 0; i < GATE25_SOURCE_WORDS; i++)
			ask(line.words, HASH(1 + i), begin + (i == oldest ? 0 : 10 * S + i * S),
			    rate);
		ask(line.words, HASH(99), begin + 30 * S, rate);
		for (int i = 0; i < GATE25_SOURCE_WORDS; i++) {
			int there = 0;

			for (int word = 0; word < GATE25_SOURCE_WORDS; word++)
				there += line.words[word] >> SOURCE_TIME_BITS == (__u64)1 + i;
			assert_int_equal(there, i != oldest);
		}
	}
}

/* ------------------------------------------------------------------ clocks */

/* What CPUs whose clocks differ by a second or two make of one source. */
static void test_clocks_differ(void **state)
{
	const struct rate *rate = &rates[3];
	struct gate25_source_line line = { { 0 } };
	__u64 now_ns = 2 * WRAP + S;

	(void)state;
	for (unsigned int i = 0; i < rate->burst; i++)
		ask(line.words, HASH(25), now_ns, rate);
	assert_int_equal(ask(line.words, HASH(25), now_ns, rate), SOURCE_REFUSED);
	assert_int_equal(ask(line.words, HASH(25), now_ns - 1 * S, rate), SOURCE_REFUSED);
	assert_int_equal(ask(line.words, HASH(25), now_ns - 3 * S, rate), SOURCE_REFUSED);
	/* what no clock explains was left behind by another time */
	assert_int_equal(ask(line.words, HASH(25), now_ns - HOUR, rate), SOURCE_ADMITTED);
}

/* A word that nobody asked for until times came round must not look like a debt. */
static void test_sweep(void **state)
{
	const struct rate *rate = &rates[3];
	struct gate25_source_line line = { { 0 } }, swept;
	__u64 now_ns = 7 * HOUR;

	(void)state;
	for (unsigned int i = 0; i < rate->burst; i++)
		ask(line.words, HASH(25), now_ns, rate);
	swept = line;
	source_sweep(swept.words, now_ns); /* what holds stays */
	assert_memory_equal(&swept, &line, sizeof(line));
	assert_int_equal(ask(line.words, HASH(25), now_ns + WRAP, rate), SOURCE_REFUSED);
	for (__u64 hours = 1; hours <= 8; hours++) {
		swept = line;
		source_sweep(swept.words, now_ns + hours * HOUR);
		assert_true(swept.words[0] == 0);
	}
	assert_int_equal(ask(swept.words, HASH(25), now_ns + WRAP, rate), SOURCE_ADMITTED);
}

/* ------------------------------------------------------------------ reading only */

static void test_budget(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATES; i++) {
		struct gate25_source_line line = { { 0 } }, before;
		__u64 now_ns = WRAP - 2 * S, interval = interval_of(&rates[i]);

		for (int call = 0; call < 200; call++) {
			__u64 budget, there = 0;

			now_ns += interval / 3;
			before = line;
			budget = source_budget(line.words, HASH(25), now_ns, interval,
					       interval * rates[i].burst);
			assert_memory_equal(&line, &before, sizeof(line));
			while (ask(before.words, HASH(25), now_ns, &rates[i]) == SOURCE_ADMITTED)
				there++;
			if (budget != there)
				fail_msg("%s: said %llu, admitted %llu", rates[i].name, budget,
					 there);
			ask(line.words, HASH(25), now_ns, &rates[i]);
		}
	}
}

/* As long as it says, and not a tick less: before that it is refused, then admitted. Nothing is charged. */
static void test_wait(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATES; i++) {
		struct gate25_source_line line = { { 0 } }, before, later;
		__u64 now_ns = WRAP - 2 * S, interval = interval_of(&rates[i]);
		__u64 tolerance = interval * rates[i].burst, wait, unit = 1 << SOURCE_UNIT_SHIFT;

		for (int call = 0; call < 200; call++) {
			now_ns += interval / 3;
			before = line;
			wait = source_wait(line.words, HASH(25), now_ns, interval, tolerance);
			assert_memory_equal(&line, &before, sizeof(line));
			later = line;
			assert_int_equal(
				ask(later.words, HASH(25), now_ns + wait * unit, &rates[i]),
				SOURCE_ADMITTED);
			if (wait)
				assert_int_equal(ask(line.words, HASH(25),
						     now_ns + (wait - 1) * unit, &rates[i]),
						 SOURCE_REFUSED);
			assert_true(wait <= source_units(interval));
			while (ask(line.words, HASH(25), now_ns, &rates[i]) == SOURCE_ADMITTED)
				assert_int_equal(wait, 0);
		}
		/* another one's word is none of his */
		assert_int_equal(source_wait(line.words, HASH(26), now_ns, interval, tolerance), 0);
	}
}

/* Buckets are far apart from lines, or those of a line would all be in one; and all are used. */
static void test_bucket(void **state)
{
	const __u64 key[2] = { 1, 2 };
	static __u32 count[GATE25_SPENT_BUCKETS];
	const __u32 sources = GATE25_SPENT_BUCKETS * 64;

	(void)state;
	for (__u32 i = 0; i < sources; i++) {
		__u32 bucket = source_bucket(source_siphash(key, i, 4));

		assert_true(bucket < GATE25_SPENT_BUCKETS);
		count[bucket]++;
	}
	for (__u32 i = 0; i < GATE25_SPENT_BUCKETS; i++)
		assert_in_range(count[i], 16, 128);
	/* the line is of the lowest bits, and the tag of the highest: a bucket is no matter of lines */
	for (__u32 bit = 0; bit < 28; bit++)
		assert_int_equal(source_bucket(1ULL << bit), source_bucket(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_who_shares_a_budget),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_rate_holds),
		cmocka_unit_test(test_below_the_rate),
		cmocka_unit_test(test_burst_returns),
		cmocka_unit_test(test_two_cpus),
		cmocka_unit_test(test_contention_passes),
		cmocka_unit_test(test_over_his_limit_is_never_evicted),
		cmocka_unit_test(test_the_oldest_gives_way),
		cmocka_unit_test(test_clocks_differ),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_bucket),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
