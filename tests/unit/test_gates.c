// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may come into force of a list: each gate at its bound, with its default, for block and allow lists; how
 * waiting opens it; and the measuring and cutting of images that it stands on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/config_keys.h"
#include "user/gates.h"
#include "user/lists/measure.h"
#include "user/lists/parse.h"
#include "user/own.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NOW	      1800000000ULL
#define HOUR	      3600

/* ---------------------------------------------------------------- verdicts */

static struct config_list list_of(bool allow, bool insecure)
{
	static char url[] = "https://lists.example.net/a";
	struct config_list list = { .name = "a", .url = url, .allow = allow, .insecure = insecure };

	bounds_begin(&list);
	bounds_finish(&list);
	return list;
}

/* What a case does not speak of: a thousand hosts. */
static struct gate_facts facts_of(struct gate_facts facts)
{
	facts.lines = facts.lines ? facts.lines : 1000;
	facts.entries4 = facts.entries4 ? facts.entries4 : 1000;
	facts.covered4 = facts.covered4 ? facts.covered4 : 1000;
	return facts;
}

static const struct verdict_case {
	const char *name;
	struct gate_facts facts, good; /* as facts_of() completes them */
	bool compared;		       /* with `good`; else there is none */
	bool none;		       /* the list holds nothing */
	bool insecure;
	enum gate want;
	const char *why; /* part of the message */
} verdict_cases[] = {
	{ "a list", .facts = { 0 } },
	{ "the same as before", .facts = { 0 }, .compared = true },
	{ "nothing", .none = true, .want = GATE_EMPTY, .why = "no entry" },
	{ "nothing, where there was something", .none = true, .compared = true,
	  .want = GATE_EMPTY },
	{ "IPv6 too", .facts = { .entries6 = 1 } },
	{ "cut short", .facts = { .cut = "its last line is missing" }, .want = GATE_TRUNCATED,
	  .why = "is cut short: its last line is missing" },
	{ "10 bad lines of 20", .facts = { .lines = 20, .bad_lines = 10 } },
	{ "11 bad lines of 220", .facts = { .lines = 220, .bad_lines = 11 } },
	{ "11 bad lines of 219", .facts = { .lines = 219, .bad_lines = 11 }, .want = GATE_BAD_LINES,
	  .why = "5 % of its lines" },
	{ "11 bad lines of 220, insecure", .facts = { .lines = 220, .bad_lines = 11 },
	  .insecure = true, .want = GATE_BAD_LINES, .why = "2.5 %" },
	{ "1 % of IPv4", .facts = { .covered4 = 42949672 } },
	{ "more than 1 % of IPv4", .facts = { .covered4 = 42949673 }, .want = GATE_COVERED,
	  .why = "of all IPv4 addresses, more than the 1 %" },
	{ "0.6 % of IPv4, insecure", .facts = { .covered4 = 25769804 }, .insecure = true,
	  .want = GATE_COVERED, .why = "0.5 %" },
	{ "more than 1 % of IPv6", .facts = { .entries6 = 1, .covered6 = 0.0101 },
	  .want = GATE_COVERED, .why = "IPv6" },
	{ "data of 72 h ago", .facts = { .data_s = NOW - 72 * HOUR } },
	{ "data of 73 h ago", .facts = { .data_s = NOW - 73 * HOUR }, .want = GATE_OLD,
	  .why = "3 d 1 h" },
	{ "data of the future", .facts = { .data_s = NOW + 73 * HOUR } },
	{ "31,735 to 106,404", .facts = { .entries4 = 106404 }, .good = { .entries4 = 31735 },
	  .compared = true, .want = GATE_GROWTH, .why = "from 31,735 to 106,404 entries" },
	{ "62 % more", .facts = { .entries4 = 51411 }, .good = { .entries4 = 31735 },
	  .compared = true },
	{ "37 % less", .facts = { .entries4 = 19993 }, .good = { .entries4 = 31735 },
	  .compared = true },
	{ "twice as many", .facts = { .entries4 = 20000 }, .good = { .entries4 = 10000 },
	  .compared = true },
	{ "one more than twice as many", .facts = { .entries4 = 20001 },
	  .good = { .entries4 = 10000 }, .compared = true, .want = GATE_GROWTH, .why = "100 %" },
	{ "60 % more, insecure", .facts = { .entries4 = 16000 }, .good = { .entries4 = 10000 },
	  .compared = true, .insecure = true, .want = GATE_GROWTH, .why = "50 %" },
	{ "from 1 to 1,001", .facts = { .entries4 = 1001 }, .good = { .entries4 = 1 },
	  .compared = true },
	{ "from 1 to 1,002", .facts = { .entries4 = 1002 }, .good = { .entries4 = 1 },
	  .compared = true, .want = GATE_GROWTH },
	{ "hosts that became networks", .facts = { .covered4 = 1000 << 12 }, .compared = true,
	  .want = GATE_GROWTH, .why = "to 4,096,000 addresses" },
	{ "hosts of IPv6 that became networks",
	  .facts = { .entries6 = 600, .covered6 = 600 * 0x1p-16 }, .good = { .entries6 = 600 },
	  .compared = true, .want = GATE_GROWTH, .why = "of the IPv6 addresses" },
	{ "an IPv6 network more", .facts = { .entries6 = 1, .covered6 = 0x1p-29 },
	  .compared = true },
	{ "half as many", .facts = { .entries4 = 500 }, .compared = true },
	{ "less than half", .facts = { .entries4 = 499 }, .compared = true, .want = GATE_SHRINK,
	  .why = "from 1,000 to 499 entries" },
	{ "70 % left, insecure", .facts = { .entries4 = 700 }, .compared = true, .insecure = true,
	  .want = GATE_SHRINK, .why = "25 %" },
};

/* Networks that became hosts exempt fewer: of an allow list that is a shrink, of a block list it lets in. */
static void test_networks_that_became_hosts(void **state)
{
	const struct gate_facts good = facts_of((struct gate_facts){ .covered4 = 3000000 });
	const struct gate_facts good6 =
		facts_of((struct gate_facts){ .entries6 = 9, .covered6 = 0x1p-16 });
	const struct gate_facts few =
		facts_of((struct gate_facts){ .entries6 = 9, .covered6 = 0x1p-40 });
	struct gate_verdict verdict;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct config_list list = list_of(i % 2, false);
		struct gate_question question = { &few, i / 2 ? &good6 : &good, &list,
						  .now_s = NOW };

		gates_judge(&question, &verdict);
		assert_int_equal(verdict.gate, list.allow ? GATE_SHRINK : GATE_OPEN);
	}
}

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(verdict_cases); i++) {
		const struct verdict_case *one = &verdict_cases[i / 2];
		struct config_list list = list_of(i % 2, one->insecure);
		struct gate_facts facts = facts_of(one->facts), good = facts_of(one->good);
		static const struct gate_facts nothing;
		struct gate_question question = {
			.facts = one->none ? &nothing : &facts,
			.good = one->compared ? &good : NULL,
			.list = &list,
			.now_s = NOW,
		};
		struct gate_verdict verdict;

		gates_judge(&question, &verdict);
		print_message("# %s list, %s: %s %s\n", list.allow ? "allow" : "block", one->name,
			      gate_label(verdict.gate), verdict.why);
		assert_int_equal(verdict.gate, one->want);
		assert_non_null(strstr(verdict.why, one->why ? one->why : ""));
		assert_int_equal(verdict.wait.gate, one->want);
		assert_int_equal(verdict.wait.seen, one->want ? 1 : 0);
	}
}

/* A bound of the configuration holds instead of the default, and `off` is none. */
static void test_bounds(void **state)
{
	struct gate_facts good = facts_of((struct gate_facts){ 0 });
	struct gate_facts facts = facts_of((struct gate_facts){ .entries4 = 9000 });
	struct config_list list = list_of(false, false);
	struct gate_question question = { &facts, &good, &list, .now_s = NOW };
	struct gate_verdict verdict;

	(void)state;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_GROWTH);
	list.bounds.growth = 8;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_OPEN);
	list.bounds.growth = 7.9;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_GROWTH);
	list.bounds.growth = INFINITY;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_OPEN);
}

/* A file is the operator's word: only what is broken is held back. */
static void test_file(void **state)
{
	const struct gate_facts good = facts_of((struct gate_facts){ 0 }), none = { 0 };
	const struct gate_facts few = facts_of((struct gate_facts){ .entries4 = 1 });
	const struct gate_facts wide =
		facts_of((struct gate_facts){ .entries4 = 100000, .covered4 = 1ULL << 32 });
	static char path[] = "/tmp/list";
	struct config_list list = { .file = path };
	struct gate_question question = { &wide, &good, &list, .now_s = NOW };
	struct gate_verdict verdict;

	(void)state;
	bounds_begin(&list);
	bounds_finish(&list);
	assert_int_equal(list.max_age_s, 0);
	assert_true(list.non_global);
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_OPEN);
	question.facts = &few;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_OPEN);
	question.facts = &none;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_EMPTY);
}

/* ---------------------------------------------------------------- waiting */

struct fetch_seen {
	unsigned int hours; /* since the first */
	bool alike;	    /* as the one before */
	enum gate want;
};

static const struct {
	const char *name;
	bool allow, shrinks;
	struct fetch_seen fetches[6]; /* up to one without hours, but for the first */
} wait_cases[] = {
	{ "growth: three alike over six hours", .fetches = { { 0, false, GATE_GROWTH },
							     { 3, true, GATE_GROWTH },
							     { 6, true, GATE_OPEN } } },
	{ "growth: three alike in an hour, then six hours", .fetches = { { 0, false, GATE_GROWTH },
									 { 1, true, GATE_GROWTH },
									 { 2, true, GATE_GROWTH },
									 { 5, true, GATE_GROWTH },
									 { 7, true, GATE_OPEN } } },
	{ "growth: two, long apart", .fetches = { { 0, false, GATE_GROWTH },
						  { 24, true, GATE_GROWTH },
						  { 48, true, GATE_OPEN } } },
	{ "growth: another one each time", .fetches = { { 0, false, GATE_GROWTH },
							{ 6, false, GATE_GROWTH },
							{ 12, false, GATE_GROWTH },
							{ 18, false, GATE_GROWTH } } },
	{ "growth: of an allow list", .allow = true,
	  .fetches = { { 0, false, GATE_GROWTH },
		       { 6, true, GATE_GROWTH },
		       { 12, true, GATE_GROWTH },
		       { 96, true, GATE_GROWTH } } },
	{ "shrink: the second alike", .shrinks = true,
	  .fetches = { { 0, false, GATE_SHRINK }, { 1, true, GATE_OPEN } } },
	{ "shrink: the second is another one", .shrinks = true,
	  .fetches = { { 0, false, GATE_SHRINK },
		       { 1, false, GATE_SHRINK },
		       { 2, true, GATE_OPEN } } },
	{ "shrink: of an allow list", .allow = true, .shrinks = true,
	  .fetches = { { 0, false, GATE_SHRINK },
		       { 6, true, GATE_SHRINK },
		       { 96, true, GATE_SHRINK } } },
};

static void test_waiting(void **state)
{
	const struct gate_facts good = facts_of((struct gate_facts){ 0 });
	const struct gate_facts many = facts_of((struct gate_facts){ .entries4 = 5000 });
	const struct gate_facts few = facts_of((struct gate_facts){ .entries4 = 10 });

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wait_cases); i++) {
		struct config_list list = list_of(wait_cases[i].allow, false);
		struct gate_question question = {
			.facts = wait_cases[i].shrinks ? &few : &many,
			.good = &good,
			.list = &list,
		};

		print_message("# %s\n", wait_cases[i].name);
		for (size_t j = 0; !j || wait_cases[i].fetches[j].hours; j++) {
			const struct fetch_seen *seen = &wait_cases[i].fetches[j];
			struct gate_verdict verdict;

			question.now_s = NOW + seen->hours * HOUR;
			question.alike = seen->alike;
			gates_judge(&question, &verdict);
			assert_int_equal(verdict.gate, seen->want);
			question.wait = verdict.wait;
		}
	}
}

/* Another gate, or a clock that was set back, begins anew. */
static void test_waiting_begins_anew(void **state)
{
	const struct gate_facts good = facts_of((struct gate_facts){ 0 });
	const struct gate_facts few = facts_of((struct gate_facts){ .entries4 = 10 });
	struct config_list list = list_of(false, false);
	struct gate_question question = { &few, &good, &list, { GATE_GROWTH, 2, NOW - 9 * HOUR },
					  true, NOW };
	struct gate_verdict verdict;

	(void)state;
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_SHRINK);
	assert_int_equal(verdict.wait.seen, 1);
	question.wait = (struct gate_wait){ GATE_SHRINK, 1, NOW + HOUR };
	gates_judge(&question, &verdict);
	assert_int_equal(verdict.gate, GATE_SHRINK);
	assert_int_equal(verdict.wait.since_s, NOW);
}

/* ---------------------------------------------------------------- images */

static struct list_image *image_of(const char *text)
{
	const struct parse_settings settings = { .format = LIST_PLAIN };
	struct list_image *image = NULL;
	const char *why = "";

	if (!*text) {
		assert_int_equal(list_from_prefixes(NULL, 0, &image), 0);
		return image;
	}
	if (list_parse(text, strlen(text), &settings, &image, &why))
		fail_msg("%s", why);
	return image;
}

static const struct {
	const char *name, *image, *other, *left;
	__u64 touched;
} subtract_cases[] = {
	{ "nothing from nothing", "", "", "", 0 },
	{ "nothing in common", "192.0.2.1\n", "192.0.2.2\n", "192.0.2.1\n", 0 },
	{ "all", "192.0.2.1\n", "192.0.2.0/24\n", "", 1 },
	{ "the middle", "192.0.2.0/24\n", "192.0.2.7\n",
	  "192.0.2.0-192.0.2.6\n192.0.2.8-192.0.2.255\n", 1 },
	{ "both ends", "192.0.2.0/24\n", "192.0.2.0\n192.0.2.255\n", "192.0.2.1-192.0.2.254\n", 1 },
	{ "across two", "192.0.2.0/25\n192.0.2.128/25\n", "192.0.2.100-192.0.2.200\n",
	  "192.0.2.0-192.0.2.99\n192.0.2.201-192.0.2.255\n", 2 },
	{ "many holes in one", "192.0.2.0/29\n", "192.0.2.1\n192.0.2.3\n192.0.2.5\n",
	  "192.0.2.0\n192.0.2.2\n192.0.2.4\n192.0.2.6-192.0.2.7\n", 1 },
	{ "one hole over many", "192.0.2.1\n192.0.2.2\n192.0.2.3\n198.51.100.1\n", "192.0.2.0/24\n",
	  "198.51.100.1\n", 3 },
	{ "the ends of the space", "0.0.0.0/0\n", "0.0.0.0\n255.255.255.255\n",
	  "0.0.0.1-255.255.255.254\n", 1 },
	{ "IPv6", "2001:db8::/32\n192.0.2.1\n", "2001:db8::/33\n",
	  "2001:db8:8000::/33\n192.0.2.1\n", 1 },
	{ "the end of IPv6", "ffff::/16\n", "ffff:ffff::/32\n",
	  "ffff::-ffff:fffe:ffff:ffff:ffff:ffff:ffff:ffff\n", 1 },
};

static void images_equal(const struct list_image *a, const struct list_image *b)
{
	assert_int_equal(a->count4, b->count4);
	assert_int_equal(a->count6, b->count6);
	if (a->count4)
		assert_memory_equal(a->ranges4, b->ranges4, a->count4 * sizeof(*a->ranges4));
	if (a->count6)
		assert_memory_equal(a->ranges6, b->ranges6, a->count6 * sizeof(*a->ranges6));
}

static void test_subtract(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subtract_cases); i++) {
		struct list_image *image = image_of(subtract_cases[i].image);
		struct list_image *other = image_of(subtract_cases[i].other);
		struct list_image *want = image_of(subtract_cases[i].left), *left = NULL;
		__u64 touched = 99;

		print_message("# %s\n", subtract_cases[i].name);
		assert_int_equal(image_subtract(image, other, &left, &touched), 0);
		images_equal(left, want);
		assert_int_equal(touched, subtract_cases[i].touched);
		assert_int_equal(image_carve(&image, other, &touched), 0);
		images_equal(image, want);
		assert_int_equal(touched, subtract_cases[i].touched);
		list_image_free(image);
		list_image_free(other);
		list_image_free(want);
		list_image_free(left);
	}
}

static void test_measure(void **state)
{
	struct list_image *image = image_of("192.0.2.0/24\n198.51.100.7\n2001:db8::/32\n");
	struct list_image *all = image_of("0.0.0.0/0\n");
	struct gate_facts facts = { 0 };

	(void)state;
	gate_measure(image, &facts);
	assert_int_equal(facts.entries4, 2);
	assert_int_equal(facts.entries6, 1);
	assert_int_equal(facts.covered4, 257);
	assert_true(fabs(facts.covered6 * 0x1p29 - 1) < 1e-9);
	assert_int_equal(image_covered4(all), 1ULL << 32);
	list_image_free(image);
	list_image_free(all);
}

static const struct {
	const char *name, *a, *b;
	bool alike;
} alike_cases[] = {
	{ "the same", "192.0.2.1\n", "192.0.2.1\n", true },
	{ "others", "192.0.2.1\n", "192.0.2.2\n", false },
	{ "one of ten another one",
	  "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n"
	  "192.0.2.7\n192.0.2.8\n192.0.2.9\n192.0.2.10\n",
	  "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n192.0.2.7\n192.0.2.8\n"
	  "192.0.2.9\n192.0.2.11\n",
	  true },
	{ "one of nine another one",
	  "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n"
	  "192.0.2.7\n192.0.2.8\n192.0.2.9\n",
	  "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n192.0.2.6\n192.0.2.7\n192.0.2.8\n"
	  "192.0.2.10\n",
	  false },
	{ "a part of the other", "192.0.2.1\n", "192.0.2.0/24\n198.51.100.1\n", false },
};

static void test_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(alike_cases); i++) {
		struct list_image *a = image_of(alike_cases[i].a), *b = image_of(alike_cases[i].b);

		print_message("# %s\n", alike_cases[i].name);
		assert_int_equal(image_alike(a, b), alike_cases[i].alike);
		assert_int_equal(image_alike(b, a), alike_cases[i].alike);
		list_image_free(a);
		list_image_free(b);
	}
}

static const struct {
	const char *address;
	bool special;
} special_cases[] = {
	{ "0.0.0.0", true },
	{ "1.0.0.0", false },
	{ "10.255.255.255", true },
	{ "100.64.0.1", true },
	{ "100.128.0.0", false },
	{ "127.0.0.2", true },
	{ "169.254.169.254", true },
	{ "172.15.255.255", false },
	{ "172.16.0.0", true },
	{ "172.32.0.0", false },
	{ "192.0.0.8", true },
	{ "192.0.2.1", false },
	{ "192.168.1.1", true },
	{ "198.18.0.0", false },
	{ "198.20.0.0", false },
	{ "223.255.255.255", false },
	{ "224.0.0.1", true },
	{ "255.255.255.255", true },
	{ "::1", true },
	{ "fe80::1", true },
	{ "fd00::1", true },
	{ "ff02::1", true },
	{ "2000::", false },
	{ "2001:db8::1", false },
	{ "3fff:ffff::1", false },
	{ "4000::", true },
};

static void test_non_global(void **state)
{
	struct list_image *special = NULL;

	(void)state;
	assert_int_equal(own_non_global(&special), 0);
	for (size_t i = 0; i < ARRAY_SIZE(special_cases); i++) {
		struct gate25_source first, last;
		struct prefix prefix;
		const char *why;

		print_message("# %s\n", special_cases[i].address);
		assert_int_equal(prefix_parse(special_cases[i].address, NULL, 0, &prefix, &why), 0);
		assert_int_equal(!list_image_find(special, &prefix.address, &first, &last),
				 special_cases[i].special);
	}
	list_image_free(special);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_networks_that_became_hosts),
		cmocka_unit_test(test_bounds),	 cmocka_unit_test(test_file),
		cmocka_unit_test(test_waiting),	 cmocka_unit_test(test_waiting_begins_anew),
		cmocka_unit_test(test_subtract), cmocka_unit_test(test_measure),
		cmocka_unit_test(test_alike),	 cmocka_unit_test(test_non_global),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
