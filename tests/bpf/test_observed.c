// SPDX-License-Identifier: GPL-2.0-only
/*
 * An observed list changes nothing: over random sets, the program with and without one more list that only observes
 * gives the same verdict on every SYN, of lists and of limits alike.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/common/program.h"
#include "tests/common/random_frames.h"
#include "user/lists/compile.h"
#include "user/lists/parse.h"

#define SETS	 60
#define PREFIXES 24
#define SYNS	 400
#define LISTS	 4 /* allow, two that enforce, and the one that observes */

static unsigned int seed = 61;

/* With `count` of the lists, the observed one last. */
static struct compiled_table *compile(struct list_image *const *images, const int *weights,
				      size_t count)
{
	struct compile_list lists[LISTS] = {
		{ .info = { .name = "allow", .allow = 1, .services = 1 } },
		{ .info = { .name = "a", .action = GATE25_DROP, .services = 1 } },
		{ .info = { .name = "b", .action = GATE25_DROP, .services = 1 } },
		{ .info = { .name = "watched",
			    .action = GATE25_DROP,
			    .services = 1,
			    .observe = 1 } },
	};
	struct compile_input input = { .lists = lists, .count = count, .threshold = 2 };
	struct compiled_table *table = NULL;

	for (size_t i = 0; i < count; i++) {
		lists[i].image = images[i];
		lists[i].info.weight = weights[i];
	}
	assert_int_equal(table_compile(&input, &table), 0);
	return table;
}

static void load(struct program *program, const struct compiled_table *table)
{
	struct program_setup setup = { .table = table };

	setup.settings.any_address = 1;
	setup.ports[0] = (struct program_port){ RULES_PORT, 1 };
	for (int scope = 0; scope < GATE25_SCOPES;
	     scope++) { /* budgets that do not refill meanwhile */
		struct gate25_limit *limit = &setup.settings.limits[scope];

		limit->interval_ns = 600ULL * 1000000000;
		limit->tolerance_ns = limit->interval_ns * (scope ? 6 : 3);
		limit->action = GATE25_DROP;
		limit->services = 1;
		limit->length4 = scope ? 24 : 32;
		limit->length6 = scope ? 48 : 64;
	}
	assert_int_equal(program_load(program, &setup), 0);
}

struct tally {
	unsigned int passed, dropped, watched;
};

/* The same SYNs through both. Few sources, so that lists and limits both have something to say. */
static void compare(struct program *without, struct program *with, const struct prefix *prefixes,
		    struct list_image *watched, struct tally *tally)
{
	unsigned char frame[FRAME_BYTES];

	for (unsigned int i = 0; i < SYNS; i++) {
		const struct prefix *prefix = &prefixes[rand_r(&seed) % (LISTS * PREFIXES)];
		struct frame_spec spec = { .family = prefix->address.family,
					   .protocol = IPPROTO_TCP,
					   .flags = 2,
					   .destination_port = RULES_PORT,
					   .id = i };
		struct gate25_source first, last;
		size_t length;
		unsigned int a, b;

		spec.source = prefix->address;
		spec.source.lo += rand_r(&seed) % 3;
		spec.destination.family = spec.family;
		length = frame_build(&spec, frame);
		a = program_run(without, frame, length);
		b = program_run(with, frame, length);
		if (a != b)
			fail_msg("SYN %u: %u without, %u with the observed list", i, a, b);
		tally->passed += a == XDP_PASS;
		tally->dropped += a == XDP_DROP;
		tally->watched += !list_image_find(watched, &spec.source, &first, &last);
	}
}

static void test_observed_list_changes_nothing(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	for (int set = 0; set < SETS; set++) {
		const int weights[LISTS] = { 0, 1 + rand_r(&seed) % 2, 1 + rand_r(&seed) % 2,
					     (rand_r(&seed) % 2 ? 1 : -1) *
						     (1 + rand_r(&seed) % 3) };
		struct prefix prefixes[LISTS * PREFIXES];
		struct list_image *images[LISTS] = { NULL };
		struct compiled_table *tables[2];
		struct program programs[2];

		prefixes_random(&seed, prefixes, LISTS * PREFIXES);
		for (int i = 0; i < LISTS; i++)
			assert_int_equal(
				list_from_prefixes(prefixes + i * PREFIXES, PREFIXES, &images[i]),
				0);
		for (int i = 0; i < 2; i++) {
			tables[i] = compile(images, weights, LISTS - 1 + i);
			load(&programs[i], tables[i]);
		}
		compare(&programs[0], &programs[1], prefixes, images[LISTS - 1], &tally);
		for (int i = 0; i < 2; i++) {
			program_free(&programs[i]);
			compiled_table_free(tables[i]);
		}
		for (int i = 0; i < LISTS; i++)
			list_image_free(images[i]);
	}
	print_message("%u SYNs passed, %u dropped, %u of them on the observed list\n", tally.passed,
		      tally.dropped, tally.watched);
	assert_true(tally.passed > 1000 && tally.dropped > 1000 && tally.watched > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_observed_list_changes_nothing) };

	return cmocka_run_group_tests_name("observed", tests, NULL, NULL);
}
