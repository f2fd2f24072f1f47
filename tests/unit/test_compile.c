// SPDX-License-Identifier: GPL-2.0-only
/*
 * The compiled table against a naive reading of the same lists: which lists cover an address,
 * what their weights say per service. The look-up is the one that runs in the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/compile.h"
#include "user/lists/layout.h"
#include "user/lists/parse.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define RANGES_MOST   600
#define SETS	      10000

/* A list as the reference has it. */
struct naive_list {
	struct {
		unsigned int family;
		u128 first, last;
	} ranges[RANGES_MOST];
	size_t count;
};

struct scene {
	struct naive_list naive[GATE25_LISTS];
	struct compile_list lists[GATE25_LISTS];
	struct compile_input input;
	struct compiled_table *table;
	bool judged[GATE25_CLASSES + 1]; /* what the class says is right */
};

static __u64 random_state;

static __u64 random64(void) /* xorshift64*: the same on every machine */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

static unsigned int below(unsigned int bound)
{
	return (random64() >> 32) % bound;
}

static bool one_in(unsigned int times)
{
	return below(times) == 0;
}

static struct gate25_source source_of(unsigned int family, u128 address)
{
	return (struct gate25_source){ .family = family, .hi = address >> 64, .lo = address };
}

static const char *text_of(unsigned int family, u128 address)
{
	static char text[PREFIX_TEXT];
	struct gate25_source source = source_of(family, address);

	return address_format(&source, text);
}

/* ---------------------------------------------------------------- the reference */

static __u64 naive_lists(const struct scene *scene, unsigned int family, u128 address)
{
	__u64 lists = 0;

	for (size_t i = 0; i < scene->input.count; i++) {
		const struct naive_list *list = &scene->naive[i];

		bool covers = false;

		for (size_t j = 0; j < list->count && !covers; j++)
			covers = list->ranges[j].family == family &&
				 list->ranges[j].first <= address &&
				 list->ranges[j].last >= address;
		lists |= (__u64)covers << i;
	}
	return lists;
}

/*
 * Sum, action and whether it blocks, over the block lists of a set; written from the description
 * alone.
 */
struct naive_sum {
	int score;
	bool blocks;
	__u8 action;
};

static struct naive_sum naive_sum(const struct scene *scene, __u64 lists, unsigned int service,
				  bool enforced_only)
{
	struct naive_sum sum = { .action = GATE25_PASS };
	int greatest = -32768;
	bool secure = false, some = false;

	for (int pass = 0; pass < 2;
	     pass++) { /* the greatest weight, then the mildest of its actions */
		for (size_t i = 0; i < scene->input.count; i++) {
			const struct compile_list *list = &scene->lists[i];

			if (!(lists >> i & 1) || list->info.allow ||
			    !(list->info.services & 1 << service))
				continue;
			if (enforced_only &&
			    (list->info.observe || list->info.action == GATE25_PASS))
				continue;
			if (!pass) {
				sum.score += list->info.weight;
				secure |= !list->insecure && list->info.weight > 0;
				some = true;
				if (list->info.weight > greatest)
					greatest = list->info.weight;
				sum.action = GATE25_DROP;
			} else if (list->info.weight == greatest &&
				   list->info.action == GATE25_PASS) {
				sum.action = GATE25_PASS;
			}
		}
	}
	if (!secure && sum.score > scene->input.threshold - 1)
		sum.score = scene->input.threshold - 1;
	sum.blocks = some && sum.score >= scene->input.threshold;
	if (!sum.blocks)
		sum.action = 0;
	return sum;
}

static bool naive_allow(const struct scene *scene, __u64 lists, unsigned int service)
{
	for (size_t i = 0; i < scene->input.count; i++) {
		if (lists >> i & 1 && scene->lists[i].info.allow &&
		    scene->lists[i].info.services & 1 << service)
			return true;
	}
	return false;
}

static const struct gate25_class *class_of(const struct compiled_table *table, unsigned int family,
					   u128 address)
{
	struct gate25_source source = source_of(family, address);
	__u16 class = table_class(table->lines, &table->layout, &source);

	assert_true(class < table->classes_count);
	return &table->classes[class];
}

/* What was met in all scenes, so that a check of nothing is seen as such. */
static struct {
	unsigned int prefixes4[33], prefixes6[129]; /* by length */
	unsigned int allowed, blocked, both, observed, addresses;
} met;

/* What the class of a set of lists says, service by service. */
static void check_class(const struct scene *scene, const struct gate25_class *class)
{
	__u64 lists = class->lists;

	for (unsigned int service = 0; service < GATE25_SERVICES; service++) {
		struct naive_sum enforced = naive_sum(scene, lists, service, true);
		struct naive_sum shadow = naive_sum(scene, lists, service, false);
		__u8 flags = (naive_allow(scene, lists, service) ? GATE25_CLASS_ALLOW : 0) |
			     (enforced.blocks ? GATE25_CLASS_BLOCK : 0) |
			     (shadow.blocks ? GATE25_CLASS_SHADOW : 0);

		if (class->flags[service] != flags || class->action[service] != enforced.action ||
		    class->score[service] != enforced.score ||
		    class->shadow_score[service] != shadow.score)
			fail_msg("lists %llx, service %u: flags %u action %u scores %d %d, "
				 "want %u %u %d %d",
				 (unsigned long long)lists, service, class->flags[service],
				 class->action[service], class->score[service],
				 class->shadow_score[service], flags, enforced.action,
				 enforced.score, shadow.score);
		met.allowed += flags == GATE25_CLASS_ALLOW;
		met.blocked += flags == (GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW);
		met.both += (flags & GATE25_CLASS_ALLOW) && (flags & GATE25_CLASS_BLOCK);
		met.observed += flags == GATE25_CLASS_SHADOW;
	}
}

/* That these lists cover the address; and what they say together, once for each set. */
static void check_lists(struct scene *scene, unsigned int family, u128 address, __u64 lists)
{
	const struct gate25_class *class = class_of(scene->table, family, address);
	bool *judged = &scene->judged[class - scene->table->classes];

	if (class->lists != lists)
		fail_msg("%s: lists %llx, want %llx", text_of(family, address),
			 (unsigned long long)class->lists, (unsigned long long)lists);
	if (!*judged)
		check_class(scene, class);
	*judged = true;
	met.addresses++;
}

static void check_address(struct scene *scene, unsigned int family, u128 address)
{
	check_lists(scene, family, address, naive_lists(scene, family, address));
}

/* ---------------------------------------------------------------- scenes */

static u128 top(unsigned int family)
{
	return family == 4 ? 0xffffffff : ~(u128)0;
}

static void range_add(struct naive_list *list, unsigned int family, u128 first, u128 last)
{
	if (list->count == RANGES_MOST)
		return;
	list->ranges[list->count].family = family;
	list->ranges[list->count].first = first;
	list->ranges[list->count++].last = last;
}

/* An address from a few small places, so that entries meet. */
static u128 random_address(unsigned int family)
{
	static const __u32 places4[] = { 0, 0x0a000000, 0x0a00ff00, 0xc0000200, 0xffffff00 };
	static const __u64 places6[] = { 0, 0x20010db800000000ULL, 0x2001ffffffffff00ULL,
					 0xffffffffffffff00ULL };
	unsigned int bits = below(family == 4 ? 25 : 60);
	u128 noise = ((u128)random64() << 64 | random64()) & (((u128)1 << bits) - 1);

	if (one_in(8))
		return ((u128)random64() << 64 | random64()) & top(family);
	if (family == 4)
		return (places4[below(ARRAY_SIZE(places4))] ^ noise) & top(4);
	noise <<= one_in(2) ? 60 : 0;
	return ((u128)places6[below(ARRAY_SIZE(places6))] << 64) ^ noise;
}

static void random_prefix(struct naive_list *list, unsigned int family)
{
	unsigned int bits = family == 4 ? 32 : 128;
	unsigned int length = one_in(3) ? bits : below(bits + 1);
	u128 hosts = bits == length ? 0 : top(family) >> length;
	u128 first = random_address(family) & ~hosts;

	(family == 4 ? met.prefixes4 : met.prefixes6)[length]++;
	range_add(list, family, first, first | hosts);
}

static void random_range(struct naive_list *list, unsigned int family)
{
	u128 a = random_address(family), b = one_in(2) ? a + below(2000) : random_address(family);

	if (b < a || b > top(family))
		return;
	range_add(list, family, a, b);
}

static void random_neighbour(struct naive_list *list)
{
	size_t last = list->count - 1;
	unsigned int family = list->ranges[last].family;
	u128 after = list->ranges[last].last;

	if (after == top(family))
		return;
	range_add(list, family, after + 1, after + 1 + (one_in(2) ? 0 : below(300)));
	if (list->ranges[list->count - 1].last > top(family) ||
	    list->ranges[list->count - 1].last < after)
		list->count--;
}

/* Many hosts in one /24 or /16: the shapes of leaves and blocks. */
static void random_crowd(struct naive_list *list, unsigned int family)
{
	u128 place = random_address(family) & ~(u128)0xffff;
	unsigned int spread = one_in(2) ? 256 : 65536, count = below(300);

	for (unsigned int i = 0; i < count; i++) {
		u128 address = place + below(spread);

		range_add(list, family, address, address);
	}
}

static void random_list(struct scene *scene, size_t index, unsigned int families)
{
	struct naive_list *list = &scene->naive[index];
	struct gate25_list_info *info = &scene->lists[index].info;
	unsigned int entries = one_in(8) ? 0 : below(one_in(8) ? 200 : 12);

	list->count = 0;
	for (unsigned int i = 0; i < entries; i++) {
		unsigned int family = families == 10 ? (one_in(2) ? 4 : 6) : families;

		switch (below(8)) {
		case 0:
			random_range(list, family);
			break;
		case 1:
			if (list->count)
				random_neighbour(list);
			break;
		case 2:
			if (one_in(20))
				random_crowd(list, family);
			break;
		default:
			random_prefix(list, family);
		}
	}
	info->weight = one_in(4) ? -(int)below(4) - 1 : (int)below(4) + 1;
	info->allow = one_in(5);
	info->observe = one_in(3);
	info->action = one_in(6) ? GATE25_PASS : GATE25_DROP;
	info->services = one_in(3) ? random64() : 0xff;
	scene->lists[index].insecure = one_in(4);
}

static void image_make(struct scene *scene, size_t index)
{
	const struct naive_list *list = &scene->naive[index];
	struct ranges ranges = {};
	struct list_image *image = NULL;

	for (size_t i = 0; i < list->count; i++) {
		struct address6 first = address6_from(list->ranges[i].first);
		struct address6 last = address6_from(list->ranges[i].last);

		if (list->ranges[i].family == 4)
			assert_int_equal(ranges_add4(&ranges, first.lo, last.lo), 0);
		else
			assert_int_equal(ranges_add6(&ranges, &first, &last), 0);
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	if (!list->count && one_in(2)) { /* a list that was never read */
		list_image_free(image);
		image = NULL;
	}
	scene->lists[index].image = image;
}

static void scene_release(struct scene *scene)
{
	for (size_t i = 0; i < scene->input.count; i++)
		list_image_free((struct list_image *)scene->lists[i].image);
	compiled_table_free(scene->table);
	scene->table = NULL;
}

static void scene_compile(struct scene *scene)
{
	assert_int_equal(table_compile(&scene->input, &scene->table), 0);
	memset(scene->judged, 0, scene->table->classes_count);
}

static void scene_make(struct scene *scene, size_t lists, unsigned int families)
{
	scene->table = NULL;
	for (size_t i = 0; i < lists; i++) {
		random_list(scene, i, families);
		image_make(scene, i);
	}
	scene->input.lists = scene->lists;
	scene->input.count = lists;
	scene->input.threshold = 1 + below(4);
	scene_compile(scene);
}

/* The first and last address of each entry, and those beside them. */
static void check_edges(struct scene *scene)
{
	for (size_t i = 0; i < scene->input.count; i++) {
		for (size_t j = 0; j < scene->naive[i].count; j++) {
			unsigned int family = scene->naive[i].ranges[j].family;
			u128 first = scene->naive[i].ranges[j].first;
			u128 last = scene->naive[i].ranges[j].last;

			check_address(scene, family, first);
			check_address(scene, family, (first - 1) & top(family));
			check_address(scene, family, last);
			check_address(scene, family, (last + 1) & top(family));
		}
	}
}

/* Addresses within entries, beside them, and anywhere. */
static void check_scene(struct scene *scene, unsigned int questions)
{
	for (unsigned int i = 0; i < questions; i++) {
		const struct naive_list *list =
			&scene->naive[scene->input.count ? below(scene->input.count) : 0];
		unsigned int family = one_in(2) ? 4 : 6;
		u128 address = random_address(family);

		if (scene->input.count && list->count && !one_in(4)) {
			size_t range = below(list->count);

			family = list->ranges[range].family;
			switch (below(5)) {
			case 0:
				address = list->ranges[range].first;
				break;
			case 1:
				address = list->ranges[range].last;
				break;
			case 2:
				address = list->ranges[range].first - 1;
				break;
			case 3:
				address = list->ranges[range].last + 1;
				break;
			default:
				address = list->ranges[range].first + below(1 << below(24));
			}
			address &= top(family);
		}
		check_address(scene, family, address);
	}
}

static struct scene scene, other;

static void test_random_sets(void **state)
{
	static const unsigned int families[] = { 4, 6, 10 };

	(void)state;
	random_state = 25;
	for (unsigned int round = 0; round < SETS; round++) {
		unsigned int lists = round % 500 ? below(9) : GATE25_LISTS;

		scene_make(&scene, lists, families[round % 3]);
		check_edges(&scene);
		check_scene(&scene, 20);
		scene_release(&scene);
	}
	print_message("# %d sets, %u addresses; their sets of lists allow %u times, block %u, "
		      "both %u, only observe %u\n",
		      SETS, met.addresses, met.allowed, met.blocked, met.both, met.observed);
	for (size_t length = 0; length <= 32; length++)
		assert_true(met.prefixes4[length] > 0);
	for (size_t length = 0; length <= 128; length++)
		assert_true(met.prefixes6[length] > 0);
	assert_true(met.allowed > 10000 && met.blocked > 10000);
	assert_true(met.both > 10000 && met.observed > 10000);
}

/* The same lists, and one more that only observes: no enforced sum, action or allowance moves. */
static void test_observed(void **state)
{
	(void)state;
	random_state = 26;
	for (unsigned int round = 0; round < 600; round++) {
		unsigned int lists = 1 + below(6), added = below(lists + 1);

		scene_make(&scene, lists, 10);
		other.input =
			(struct compile_input){ other.lists, lists + 1, scene.input.threshold };
		random_list(&other, added, 10);
		other.lists[added].info.allow = 0;
		if (one_in(4))
			other.lists[added].info.action = GATE25_PASS; /* pass is observing, too */
		else
			other.lists[added].info.observe = 1;
		image_make(&other, added);
		for (size_t i = 0; i < lists; i++)
			other.lists[i + (i >= added)] = scene.lists[i];
		assert_int_equal(table_compile(&other.input, &other.table), 0);
		for (unsigned int i = 0; i < 200; i++) {
			const struct naive_list *list = one_in(2) ? &other.naive[added] :
								    &scene.naive[below(lists)];
			unsigned int family = one_in(2) ? 4 : 6;
			u128 address = random_address(family);
			const struct gate25_class *before, *after;

			if (list->count) {
				size_t range = below(list->count);

				family = list->ranges[range].family;
				address = one_in(2) ? list->ranges[range].first :
						      list->ranges[range].last;
			}
			before = class_of(scene.table, family, address);
			after = class_of(other.table, family, address);
			assert_memory_equal(before->action, after->action, GATE25_SERVICES);
			assert_memory_equal(before->score, after->score, sizeof(after->score));
			for (int service = 0; service < GATE25_SERVICES; service++)
				assert_int_equal(before->flags[service] & ~GATE25_CLASS_SHADOW,
						 after->flags[service] & ~GATE25_CLASS_SHADOW);
		}
		list_image_free((struct list_image *)other.lists[added].image);
		compiled_table_free(other.table);
		scene_release(&scene);
	}
}

/* ---------------------------------------------------------------- cases by hand */

static struct list_image *image_of(const char *text)
{
	struct parse_settings settings = { .format = LIST_PLAIN };
	struct list_image *image = NULL;
	const char *why = NULL;

	if (list_parse(text, strlen(text), &settings, &image, &why))
		fail_msg("%s: %s", text, why);
	return image;
}

static const struct {
	const char *name, *lists[3];
	struct {
		const char *address;
		__u64 lists;
	} want[6];
} shapes[] = {
	{ "nothing", {}, { { "0.0.0.0", 0 }, { "255.255.255.255", 0 }, { "::", 0 } } },
	{ "all of IPv4",
	  { "0.0.0.0/0" },
	  { { "0.0.0.0", 1 }, { "127.1.2.3", 1 }, { "255.255.255.255", 1 }, { "::", 0 } } },
	{ "all of IPv6",
	  { "::/0" },
	  { { "::", 1 },
	    { "2001:db8::1", 1 },
	    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 },
	    { "0.0.0.0", 0 } } },
	{ "the first and the last address",
	  { "0.0.0.0\n255.255.255.255\n::\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	  { { "0.0.0.0", 1 },
	    { "0.0.0.1", 0 },
	    { "255.255.255.255", 1 },
	    { "::", 1 },
	    { "::1", 0 },
	    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 0 } } },
	{ "halves",
	  { "0.0.0.0/1\n::/1", "128.0.0.0/1\n8000::/1" },
	  { { "127.255.255.255", 1 },
	    { "128.0.0.0", 2 },
	    { "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 },
	    { "8000::", 2 } } },
	{ "one inside the other",
	  { "10.0.0.0/8\n2001:db8::/32", "10.1.2.0/24\n2001:db8:1::/48",
	    "10.1.2.3\n2001:db8:1::3" },
	  { { "10.1.2.3", 7 },
	    { "10.1.2.4", 3 },
	    { "10.1.3.3", 1 },
	    { "2001:db8:1::3", 7 },
	    { "2001:db8:1::4", 3 },
	    { "2001:db8:2::3", 1 } } },
	{ "hosts around a /16",
	  { "10.0.255.255\n10.1.0.0/16\n10.2.0.0" },
	  { { "10.0.255.254", 0 },
	    { "10.0.255.255", 1 },
	    { "10.1.0.0", 1 },
	    { "10.1.255.255", 1 },
	    { "10.2.0.0", 1 },
	    { "10.2.0.1", 0 } } },
	{ "a range over many /16s",
	  { "10.0.255.254-10.3.0.1" },
	  { { "10.0.255.253", 0 },
	    { "10.0.255.254", 1 },
	    { "10.2.77.1", 1 },
	    { "10.3.0.1", 1 },
	    { "10.3.0.2", 0 } } },
	{ "a /128 and its /64",
	  { "2001:db8::1", "2001:db8::/64" },
	  { { "2001:db8::1", 3 }, { "2001:db8::2", 2 }, { "2001:db8:0:1::1", 0 } } },
	{ "same bits, other lengths",
	  { "2001:db8::/32", "2001:db8::/64", "2001:db8::" },
	  { { "2001:db8::", 7 }, { "2001:db8::1", 3 }, { "2001:db8:0:1::", 1 } } },
	{ "around the 64th bit",
	  { "2001:db8::/63", "2001:db8:0:1::/65" },
	  { { "2001:db8::", 1 },
	    { "2001:db8:0:1::", 3 },
	    { "2001:db8:0:1:8000::", 1 },
	    { "2001:db8:0:2::", 0 } } },
	{ "a network with a hole over the middle of a block",
	  { "::/0", "2001:db8::10-2001:db8::f5" },
	  { { "2001:db8::f", 1 },
	    { "2001:db8::10", 3 },
	    { "2001:db8::f5", 3 },
	    { "2001:db8::f6", 1 },
	    { "2001:db9::", 1 },
	    { "4000::", 1 } } },
	{ "IPv6 of /16 and shorter",
	  { "2000::/3", "2001::/16", "2002::/15" },
	  { { "2001:db8::", 3 }, { "2003::", 5 }, { "2004::", 1 }, { "4000::", 0 } } },
};

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct compile_list lists[3] = {};
		struct compile_input input = { .lists = lists, .threshold = 1 };
		struct compiled_table *table = NULL;
		struct prefix prefix;
		const char *why;

		for (; input.count < 3 && shapes[i].lists[input.count]; input.count++) {
			lists[input.count].image = image_of(shapes[i].lists[input.count]);
			lists[input.count].info.weight = 1;
			lists[input.count].info.action = GATE25_DROP;
			lists[input.count].info.services = 1;
		}
		assert_int_equal(table_compile(&input, &table), 0);
		assert_true(table->layout.lines > 0);
		assert_int_equal((uintptr_t)table->lines % 4096, 0);
		for (size_t j = 0; j < 6 && shapes[i].want[j].address; j++) {
			assert_int_equal(
				prefix_parse(shapes[i].want[j].address, NULL, 0, &prefix, &why), 0);
			if (table->classes[table_class(table->lines, &table->layout,
						       &prefix.address)]
				    .lists != shapes[i].want[j].lists)
				fail_msg("%s: %s", shapes[i].name, shapes[i].want[j].address);
		}
		for (size_t j = 0; j < input.count; j++)
			list_image_free((struct list_image *)lists[j].image);
		compiled_table_free(table);
	}
}

/* Up to three lists that cover one address: what the sum says. */
static const struct {
	const char *name;
	int threshold;
	struct {
		int weight;
		bool allow, observe, insecure, pass;
	} lists[3];
	__u8 flags;
	int score, shadow;
} sums[] = {
	{ "one reaches it",
	  1,
	  { { .weight = 1 } },
	  GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,
	  1,
	  1 },
	{ "one does not", 2, { { .weight = 1 } }, 0, 1, 1 },
	{ "two do",
	  2,
	  { { .weight = 1 }, { .weight = 1 } },
	  GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,
	  2,
	  2 },
	{ "one observed", 1, { { .weight = 1, .observe = true } }, GATE25_CLASS_SHADOW, 0, 1 },
	{ "an observed one does not help",
	  2,
	  { { .weight = 1 }, { .weight = 1, .observe = true } },
	  GATE25_CLASS_SHADOW,
	  1,
	  2 },
	{ "an observed negative one does not hurt",
	  1,
	  { { .weight = 1 }, { .weight = -5, .observe = true } },
	  GATE25_CLASS_BLOCK,
	  1,
	  -4 },
	{ "action pass observes", 1, { { .weight = 1, .pass = true } }, GATE25_CLASS_SHADOW, 0, 1 },
	{ "a negative one", 1, { { .weight = 2 }, { .weight = -2 } }, 0, 0, 0 },
	{ "a negative sum is no allowance", 1, { { .weight = -9 } }, 0, -9, -9 },
	{ "allow", 1, { { .weight = 1, .allow = true } }, GATE25_CLASS_ALLOW, 0, 0 },
	{ "allow does not end the sum",
	  1,
	  { { .weight = 1, .allow = true }, { .weight = 1 } },
	  GATE25_CLASS_ALLOW | GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,
	  1,
	  1 },
	{ "insecure alone is capped",
	  2,
	  { { .weight = 9, .insecure = true }, { .weight = 9, .insecure = true } },
	  0,
	  1,
	  1 },
	{ "insecure helps a secure one",
	  2,
	  { { .weight = 1, .insecure = true }, { .weight = 1 } },
	  GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,
	  2,
	  2 },
	{ "a secure negative one adds nothing",
	  2,
	  { { .weight = 9, .insecure = true }, { .weight = -1 } },
	  0,
	  1,
	  1 },
	{ "a secure one that observes does not lend its word",
	  2,
	  { { .weight = 9, .insecure = true }, { .weight = 1, .observe = true } },
	  GATE25_CLASS_SHADOW,
	  1,
	  10 },
};

static void test_sums(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		struct list_image *image = image_of("192.0.2.7");
		struct compile_list lists[3] = {};
		struct compile_input input = { .lists = lists, .threshold = sums[i].threshold };
		struct compiled_table *table = NULL;
		const struct gate25_class *class;
		__u8 allow = 0;

		for (; input.count < 3 && sums[i].lists[input.count].weight; input.count++) {
			struct compile_list *list = &lists[input.count];

			list->image = image;
			list->info.weight = sums[i].lists[input.count].weight;
			list->info.allow = sums[i].lists[input.count].allow;
			list->info.observe = sums[i].lists[input.count].observe;
			list->insecure = sums[i].lists[input.count].insecure;
			list->info.action = sums[i].lists[input.count].pass ? GATE25_PASS :
									      GATE25_DROP;
			list->info.services = 0x82; /* two of the eight */
			allow |= list->info.allow ? 0x82 : 0;
		}
		assert_int_equal(table_compile(&input, &table), 0);
		assert_int_equal(table->allow_services, allow);
		class = class_of(table, 4, 0xc0000207);
		for (int service = 0; service < GATE25_SERVICES; service++) {
			bool holds = 0x82 >> service & 1;

			if (class->flags[service] != (holds ? sums[i].flags : 0) ||
			    class->score[service] != (holds ? sums[i].score : 0) ||
			    class->shadow_score[service] != (holds ? sums[i].shadow : 0))
				fail_msg("%s: service %d: flags %u, scores %d %d", sums[i].name,
					 service, class->flags[service], class->score[service],
					 class->shadow_score[service]);
		}
		assert_int_equal(class_of(table, 4, 0xc0000208)->lists, 0);
		compiled_table_free(table);
		list_image_free(image);
	}
}

/* ---------------------------------------------------------------- bounds */

/* Address i is on the lists that are the bits of i: as many sets as addresses. */
static int compile_sets(__u32 sets, struct compiled_table **table)
{
	struct compile_list lists[17] = {};
	struct compile_input input = { .lists = lists, .count = ARRAY_SIZE(lists), .threshold = 1 };
	int error;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct ranges ranges = {};
		struct list_image *image = NULL;

		for (__u32 address = 0; address <= sets; address++) {
			if (address >> i & 1)
				assert_int_equal(ranges_add4(&ranges, address, address), 0);
		}
		assert_int_equal(ranges_finish(&ranges, &image), 0);
		lists[i].image = image;
	}
	error = table_compile(&input, table);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_image_free((struct list_image *)lists[i].image);
	return error;
}

static void test_bounds(void **state)
{
	static struct compile_list lists[GATE25_LISTS + 1];
	struct compile_input input = { .lists = lists, .count = ARRAY_SIZE(lists), .threshold = 1 };
	struct compiled_table *table = NULL;

	(void)state;
	assert_int_equal(table_compile(&input, &table), -E2BIG);
	assert_int_equal(compile_sets(GATE25_CLASSES, &table), -E2BIG);
	assert_null(table);
	assert_int_equal(compile_sets(GATE25_CLASSES - 1, &table), 0);
	assert_int_equal(table->classes_count, GATE25_CLASSES);
	for (__u32 address = 0; address < GATE25_CLASSES; address++)
		assert_int_equal(class_of(table, 4, address)->lists, address);
	compiled_table_free(table);
}

/* Hosts that one seed throws into one bucket: another seed is taken. */
static void test_collisions(void **state)
{
	enum { HOSTS = 60 };
	struct hosts4 hosts = { .count = HOSTS };
	struct ranges ranges = {};
	struct list_image *image = NULL;
	struct compile_list list = { .info = { .weight = 1, .services = 1 } };
	struct compile_input input = { .lists = &list, .count = 1, .threshold = 1 };
	struct compiled_table *table = NULL;
	__u32 addresses[HOSTS], found = 0;

	(void)state;
	random_state = 27;
	assert_int_equal(hosts4_size(&hosts, 100), 0);
	while (found < HOSTS) {
		__u32 address = random64();

		if (table_scale(table_permute4(address, 1), hosts.buckets) != 3)
			continue;
		addresses[found++] = address;
		assert_int_equal(ranges_add4(&ranges, address, address), 0);
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	list.image = image;
	assert_int_equal(table_compile(&input, &table), 0);
	assert_true(table->layout.seed > 1);
	for (found = 0; found < HOSTS; found++)
		assert_int_equal(class_of(table, 4, addresses[found])->lists, 1);
	compiled_table_free(table);
	list_image_free(image);
}

/* ---------------------------------------------------------------- many */

/* Against each list by itself: for scenes that are too large for the naive reference. */
static void check_images(struct scene *scene, unsigned int family, u128 address)
{
	struct gate25_source source = source_of(family, address & top(family)), first, last;
	__u64 lists = 0;

	for (size_t i = 0; i < scene->input.count; i++)
		lists |= (__u64)!list_image_find(scene->lists[i].image, &source, &first, &last)
			 << i;
	check_lists(scene, family, address & top(family), lists);
}

static void check_image_edges(struct scene *scene, const struct list_image *image)
{
	for (size_t i = 0; i < image->count4; i++) {
		for (int beside = -1; beside <= 1; beside++) {
			check_images(scene, 4, (u128)image->ranges4[i].first + beside);
			check_images(scene, 4, (u128)image->ranges4[i].last + beside);
		}
	}
	for (size_t i = 0; i < image->count6; i++) {
		for (int beside = -1; beside <= 1; beside++) {
			check_images(scene, 6, address6_value(&image->ranges6[i].first) + beside);
			check_images(scene, 6, address6_value(&image->ranges6[i].last) + beside);
		}
	}
}

#define MANY 1000000

static void test_million(void **state)
{
	struct ranges ranges = {};
	struct list_image *image = NULL;
	struct compile_list list = { .info = { .weight = 1, .services = 1 } };
	struct compile_input input = { .lists = &list, .count = 1, .threshold = 1 };
	struct compiled_table *table = NULL;
	struct gate25_source first, last;

	(void)state;
	random_state = 28;
	for (int i = 0; i < MANY; i++) {
		__u32 address = random64();

		assert_int_equal(ranges_add4(&ranges, address, address), 0);
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	list.image = image;
	assert_int_equal(table_compile(&input, &table), 0);
	assert_true((__u64)table->layout.lines * TABLE_LINE_BYTES <= 24 << 20);
	for (size_t i = 0; i < image->count4; i++)
		assert_int_equal(class_of(table, 4, image->ranges4[i].first)->lists, 1);
	for (int i = 0; i < 200000; i++) {
		struct gate25_source source = source_of(4, random64() & 0xffffffff);

		assert_int_equal(class_of(table, 4, source.lo)->lists,
				 list_image_find(image, &source, &first, &last) == 0);
	}
	compiled_table_free(table);
	list_image_free(image);
}

/* Entries `from` to `to` of a random sequence: hosts, or networks below a /16. */
static struct list_image *sequence_image(__u64 seed, unsigned int from, unsigned int to,
					 bool networks)
{
	struct ranges ranges = {};
	struct list_image *image = NULL;

	random_state = seed;
	for (unsigned int i = 0; i < to; i++) {
		__u32 address = random64(), rest = networks ? 0xffffffffU >> (17 + below(15)) : 0;

		if (i >= from)
			assert_int_equal(ranges_add4(&ranges, address & ~rest, address | rest), 0);
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	return image;
}

/* Two lists of hosts that share many, and networks among them. */
static void test_many_classes(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.input = (struct compile_input){ scene.lists, 3, 2 };
	scene.lists[0].image = sequence_image(30, 0, 300000, false);
	scene.lists[1].image = sequence_image(30, 200000, 400000, false);
	scene.lists[2].image = sequence_image(31, 0, 20000, true);
	for (size_t i = 0; i < scene.input.count; i++) {
		scene.lists[i].info.weight = 1;
		scene.lists[i].info.action = GATE25_DROP;
		scene.lists[i].info.services = 1;
	}
	scene_compile(&scene);
	assert_int_equal(scene.table->classes_count, 8);
	for (size_t i = 0; i < scene.input.count; i++)
		check_image_edges(&scene, scene.lists[i].image);
	scene_release(&scene);
}

/*
 * Lists of one size that hardly share a host are the worst for lines that name few classes: with so
 * many hosts there are never enough further lines at the usual load. It has to be found all the same.
 */
static void test_many_lists(void **state)
{
	enum { LISTS = 10, HOSTS = 500000 };
	static struct compile_list lists[LISTS];
	struct compile_input input = { .lists = lists, .count = LISTS, .threshold = 1 };
	struct compiled_table *table = NULL;

	(void)state;
	random_state = 31;
	for (int i = 0; i < LISTS; i++) {
		struct list_image *image = NULL;
		struct ranges ranges = {};

		for (__u32 j = 0; j < HOSTS; j++) {
			__u32 address = random64();

			assert_int_equal(ranges_add4(&ranges, address, address), 0);
		}
		assert_int_equal(ranges_finish(&ranges, &image), 0);
		lists[i].info = (struct gate25_list_info){ .weight = 1, .services = 1 };
		lists[i].image = image;
	}
	assert_int_equal(table_compile(&input, &table), 0);
	assert_true((__u64)table->layout.lines * TABLE_LINE_BYTES <= 120 << 20);
	print_message("# %d lists of %d hosts: %zu classes, %.1f MiB\n", LISTS, HOSTS,
		      table->classes_count, table->layout.lines * 64 / 1048576.0);
	for (int i = 0; i < LISTS; i++) {
		for (__u32 j = 0; j < HOSTS; j++) {
			__u32 address = lists[i].image->ranges4[j % lists[i].image->count4].first;

			assert_true(class_of(table, 4, address)->lists >> i & 1);
		}
	}
	compiled_table_free(table);
	for (int i = 0; i < LISTS; i++)
		list_image_free((struct list_image *)lists[i].image);
}

/*
 * Small networks of many lists: their addresses scatter as hosts, so that lines see many classes and
 * get more and more room, until leaves are the smaller shape.
 */
static void test_many_networks(void **state)
{
	enum { LISTS = 60, NETWORKS = 500, ASKED = 6 };

	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.input = (struct compile_input){ scene.lists, LISTS, 2 };
	random_state = 32;
	for (int i = 0; i < LISTS; i++) {
		struct ranges ranges = {};
		struct list_image *image = NULL;

		for (int j = 0; j < NETWORKS; j++) {
			__u32 address = random64(), rest = (1U << below(9)) - 1;

			assert_int_equal(ranges_add4(&ranges, address & ~rest, address | rest), 0);
		}
		assert_int_equal(ranges_finish(&ranges, &image), 0);
		scene.lists[i].image = image;
		scene.lists[i].info.weight = 1;
		scene.lists[i].info.action = GATE25_DROP;
		scene.lists[i].info.services = 1;
	}
	scene_compile(&scene);
	print_message("# %d lists of %d networks: %.1f MiB\n", LISTS, NETWORKS,
		      scene.table->layout.lines * 64 / 1048576.0);
	assert_true((__u64)scene.table->layout.lines * TABLE_LINE_BYTES <= 22 << 20);
	for (int i = 0; i < ASKED; i++)
		check_image_edges(&scene, scene.lists[i].image);
	scene_release(&scene);
}

/* How many lengths the look-up tries for an address. */
static unsigned int lengths_tried(const struct compiled_table *table, u128 address)
{
	const char *bytes = table->lines;
	const __u16 *first = (const void *)(bytes + table->layout.v6_first * TABLE_LINE_BYTES);
	const struct table_group6 *groups =
		(const void *)(bytes + table->layout.v6_groups * TABLE_LINE_BYTES);

	return groups[first[address >> 112]].count;
}

/* Hosts and /64s of a few networks: neighbours, nested ones, chains that overflow. */
static void test_many6(void **state)
{
	struct ranges ranges = {};
	struct list_image *image = NULL;
	struct compile_list list = { .info = { .weight = 1, .services = 1 } };
	struct compile_input input = { .lists = &list, .count = 1, .threshold = 1 };
	struct compiled_table *table = NULL;
	struct gate25_source first, last;

	(void)state;
	random_state = 29;
	for (int i = 0; i < 200000; i++) {
		struct address6 a = { 0x20010db800000000ULL | (random64() & 0xffffff),
				      one_in(2) ? 0 : random64() & 0xffff };
		struct address6 b = a;

		if (!a.lo && one_in(2))
			b.lo = ~0ULL;
		assert_int_equal(ranges_add6(&ranges, &a, &b), 0);
	}
	assert_int_equal(ranges_finish(&ranges, &image), 0);
	list.image = image;
	assert_int_equal(table_compile(&input, &table), 0);
	assert_in_range(lengths_tried(table, address6_value(&image->ranges6[0].first)), 2, 8);
	for (size_t i = 0; i < image->count6; i++) {
		u128 address = address6_value(&image->ranges6[i].first);

		assert_int_equal(class_of(table, 6, address)->lists, 1);
		for (int j = 0; j < 2; j++) {
			struct gate25_source source;

			address = j ? address6_value(&image->ranges6[i].last) + 1 : address - 1;
			source = source_of(6, address);
			assert_int_equal(class_of(table, 6, address)->lists,
					 list_image_find(image, &source, &first, &last) == 0);
		}
	}
	compiled_table_free(table);
	list_image_free(image);
}

/* ---------------------------------------------------------------- real lists */

static struct list_image *real_list(const char *path)
{
	struct parse_settings settings = {};
	struct list_image *image = NULL;
	const char *why = NULL;
	FILE *file = fopen(path, "rb");
	char *text;
	size_t length;

	if (!file)
		return NULL;
	text = malloc(1 << 24);
	assert_non_null(text);
	length = fread(text, 1, 1 << 24, file);
	fclose(file);
	if (list_parse(text, length, &settings, &image, &why))
		fail_msg("%s: %s", path, why);
	free(text);
	return image;
}

/* A MISP warning list: a JSON object with the prefixes in `list`. */
static struct list_image *real_prefixes(const char *path)
{
	struct prefix prefixes[4096];
	struct list_image *image = NULL;
	json_t *root = json_load_file(path, 0, NULL), *text;
	const char *why = "too many";
	size_t i, count = 0;

	if (!root)
		return NULL;
	json_array_foreach(json_object_get(root, "list"), i, text) {
		if (count == ARRAY_SIZE(prefixes) ||
		    prefix_parse(json_string_value(text), NULL, 0, &prefixes[count++], &why))
			fail_msg("%s: %s: %s", path, json_string_value(text), why);
	}
	json_decref(root);
	assert_int_equal(list_from_prefixes(prefixes, count, &image), 0);
	return image;
}

static const struct {
	const char *path;
	struct list_image *(*read)(const char *path);
	struct gate25_list_info info;
} reals[] = {
	{ "../shared/feeds/dnsbl-1.uceprotect.net",
	  real_list,
	  { .weight = 1, .services = 0x01, .action = GATE25_DROP } },
	{ "../shared/feeds/ipsum-level-2.txt",
	  real_list,
	  { .weight = 1, .services = 0xff, .action = GATE25_DROP } },
	{ "../shared/feeds/misp-smtp-sending-ips.json",
	  real_prefixes,
	  { .allow = 1, .services = 0xff } },
	{ "../shared/feeds/misp-google-gmail-sending-ips.json",
	  real_prefixes,
	  { .allow = 1, .services = 0x02 } },
	{ "../shared/feeds/misp-microsoft-office365-ip.json",
	  real_prefixes,
	  { .weight = 2, .observe = 1, .services = 0xff, .action = GATE25_DROP } },
};

/* false: one of the files is not there. */
static bool reals_read(struct scene *scene)
{
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(reals); i++) {
		scene->lists[i] = (struct compile_list){ .info = reals[i].info };
		scene->lists[i].image = reals[i].read(reals[i].path);
		all = all && scene->lists[i].image;
	}
	scene->input = (struct compile_input){ scene->lists, ARRAY_SIZE(reals), 2 };
	return all;
}

/* Each list by itself is the reference here: where its ranges are is the parsers' to test. */
static void test_real(void **state)
{
	(void)state;
	memset(&met, 0, sizeof(met));
	if (!reals_read(&scene)) {
		print_message("skipped: no real lists in ../shared/feeds\n");
		scene_release(&scene);
		skip();
		return;
	}
	scene_compile(&scene);
	for (size_t i = 0; i < scene.input.count; i++)
		check_image_edges(&scene, scene.lists[i].image);
	for (unsigned int i = 0; i < 100000; i++)
		check_images(&scene, 4, random64());
	print_message("# real lists: %u addresses, %zu classes\n", met.addresses,
		      scene.table->classes_count);
	assert_true(met.allowed && met.blocked && met.observed);
	assert_true(met.addresses > 300000);
	scene_release(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sets),   cmocka_unit_test(test_observed),
		cmocka_unit_test(test_shapes),	      cmocka_unit_test(test_sums),
		cmocka_unit_test(test_bounds),	      cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_million),	      cmocka_unit_test(test_many_classes),
		cmocka_unit_test(test_many_networks), cmocka_unit_test(test_many_lists),
		cmocka_unit_test(test_many6),	      cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
