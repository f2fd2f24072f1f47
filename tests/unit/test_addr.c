// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses and prefixes: what is read, what is refused, what is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/addr.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const __u64 translated[][2] = {
	{ 0x0064ff9b00000000ULL, 0 },
	{ 0x20010db800640000ULL, 0x1234567800000000ULL },
};

static int parse(const char *text, struct prefix *out)
{
	const char *why = NULL;
	int error = prefix_parse(text, translated, ARRAY_SIZE(translated), out, &why);

	if (error)
		assert_non_null(why);
	return error;
}

static const struct {
	const char *text, *want; /* want: as it is written; NULL: refused */
} readings[] = {
	{ "192.0.2.7", "192.0.2.7" },
	{ "192.0.2.7/32", "192.0.2.7" },
	{ "192.0.2.0/24", "192.0.2.0/24" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "128.0.0.0/1", "128.0.0.0/1" },
	{ "2001:db8::", "2001:db8::" },
	{ "2001:DB8:0:0:1::/80", "2001:db8:0:0:1::/80" },
	{ "2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1" },
	{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
	{ "2001:db8::/32", "2001:db8::/32" },
	{ "2001:db8::/128", "2001:db8::" },
	{ "::/0", "::/0" },
	{ "::", "::" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "2001:db8:0:0:8000::/65", "2001:db8:0:0:8000::/65" },
	{ "2001:db8::192.0.2.1", "2001:db8::c000:201" },
	/* what only carries an IPv4 address is that address */
	{ "::ffff:192.0.2.7", "192.0.2.7" },
	{ "::ffff:c000:207", "192.0.2.7" },
	{ "::ffff:192.0.2.0/120", "192.0.2.0/24" },
	{ "::ffff:0:0/96", "0.0.0.0/0" },
	{ "64:ff9b::192.0.2.7", "192.0.2.7" },
	{ "64:ff9b::192.0.0.0/112", "192.0.0.0/16" },
	{ "64:ff9b::/96", "0.0.0.0/0" },
	{ "64:ff9b::/95", "64:ff9b::/95" },
	{ "64:ff9b:1::1", "64:ff9b:1::1" },
	{ "64:ff9b::1:0:0", "64:ff9b::1:0:0" },
	{ "2001:db8:64:0:1234:5678:c000:207", "192.0.2.7" },
	{ "2001:db8:64:0:1234:5679:c000:207", "2001:db8:64:0:1234:5679:c000:207" },
	{ "::fffe:192.0.2.7", "::fffe:c000:207" },
	/* refused */
	{ "", NULL },
	{ "/24", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.", NULL },
	{ "192.0.2.7.1", NULL },
	{ "192.0.2.256", NULL },
	{ "192.0.2.07", NULL },
	{ "192.0.2.00", NULL },
	{ "010.0.2.7", NULL },
	{ "0x7f.0.0.1", NULL },
	{ "3221225985", NULL },
	{ " 192.0.2.7", NULL },
	{ "192.0.2.7 ", NULL },
	{ "192.0.2.7/", NULL },
	{ "192.0.2.7/33", NULL },
	{ "192.0.2.7/24", NULL },
	{ "192.0.2.0/024", NULL },
	{ "192.0.2.0/+24", NULL },
	{ "192.0.2.0/-1", NULL },
	{ "192.0.2.0/24/24", NULL },
	{ "192.0.2.0/255.255.255.0", NULL },
	{ "192.0.2.0/4294967320", NULL },
	{ "192.0.2.0/24x", NULL },
	{ "-192.0.2.7", NULL },
	{ "mail.example.com", NULL },
	{ "2001:db8::/129", NULL },
	{ "2001:db8::1/64", NULL },
	{ "2001:db8:0:1::/63", NULL },
	{ "2001:db8:::1", NULL },
	{ "2001:db8::1::1", NULL },
	{ "2001:db8", NULL },
	{ "2001:db8::12345", NULL },
	{ "fe80::1%eth0", NULL },
	{ "[2001:db8::1]", NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL },
	{ "::ffff:192.0.2.7/96", NULL },
	{ "::ffff:192.0.2.007", NULL },
	{ "11111111111111111111111111111111111111111111111111111111111111111", NULL },
};

static void test_readings(void **state)
{
	char text[PREFIX_TEXT], again[PREFIX_TEXT];
	struct prefix prefix, second;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(readings); i++) {
		memset(&prefix, 0xa5, sizeof(prefix));
		second = prefix;
		if (parse(readings[i].text, &prefix)) {
			if (readings[i].want)
				fail_msg("%s: refused", readings[i].text);
			assert_memory_equal(&prefix, &second, sizeof(prefix)); /* left alone */
			continue;
		}
		prefix_format(&prefix, text);
		if (!readings[i].want || strcmp(text, readings[i].want) != 0)
			fail_msg("%s: read as %s", readings[i].text, text);
		assert_int_equal(parse(text, &second), 0);
		assert_string_equal(prefix_format(&second, again), text);
		assert_true(prefix_equal(&prefix, &second));
	}
}

static const struct {
	const char *outer, *inner;
	int covers;
} coverings[] = {
	{ "192.0.2.0/24", "192.0.2.7", 1 },
	{ "192.0.2.0/24", "192.0.3.0", 0 },
	{ "192.0.2.0/24", "192.0.1.255", 0 },
	{ "192.0.2.0/24", "192.0.2.0/24", 1 },
	{ "192.0.2.0/25", "192.0.2.0/24", 0 },
	{ "0.0.0.0/0", "255.255.255.255", 1 },
	{ "0.0.0.0/0", "2001:db8::", 0 },
	{ "::/0", "ffff::1", 1 },
	{ "::/0", "0.0.0.0", 0 },
	{ "2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", 1 },
	{ "2001:db8::/64", "2001:db8:0:1::", 0 },
	{ "2001:db8::/63", "2001:db8:0:1::", 1 },
	{ "2001:db8::8000:0:0:0/65", "2001:db8::8000:0:0:1", 1 },
	{ "2001:db8::8000:0:0:0/65", "2001:db8::7fff:0:0:1", 0 },
	{ "2001:db8::1", "2001:db8::1", 1 },
	{ "2001:db8::1", "2001:db8::2", 0 },
};

static void test_coverings(void **state)
{
	struct prefix outer, inner;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(coverings); i++) {
		assert_int_equal(parse(coverings[i].outer, &outer), 0);
		assert_int_equal(parse(coverings[i].inner, &inner), 0);
		if (prefix_covers(&outer, &inner) != coverings[i].covers)
			fail_msg("%s covers %s: want %d", coverings[i].outer, coverings[i].inner,
				 coverings[i].covers);
	}
}

static void test_order(void **state)
{
	static const char *const sorted[] = {
		"0.0.0.0/0", "0.0.0.0/8", "10.0.0.0/8",	   "10.0.0.0",	    "192.0.2.7",
		"::/0",	     "::1",	  "2001:db8::/32", "2001:db8::/48", "2001:db8::1",
	};
	struct prefix a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
			assert_int_equal(parse(sorted[i], &a), 0);
			assert_int_equal(parse(sorted[j], &b), 0);
			assert_int_equal(prefix_compare(&a, &b), (i > j) - (i < j));
		}
	}
}

/* At every length: masked, of its own prefix, the next address not, bytes there and back. */
static void test_masks(void **state)
{
	struct prefix prefix;
	unsigned char bytes[16];
	struct gate25_source back;

	(void)state;
	for (unsigned int family = 4; family <= 6; family += 2) {
		for (unsigned int length = 0; length <= (family == 4 ? 32 : 128); length++) {
			memset(bytes, 0xff, sizeof(bytes));
			address_from_bytes(&prefix.address, family, bytes);
			prefix.length = length;
			prefix_mask(&prefix);
			assert_true(prefix_contains(&prefix, &prefix.address));
			address_to_bytes(&prefix.address, bytes);
			for (unsigned int bit = 0; bit < (family == 4 ? 32 : 128); bit++)
				assert_int_equal(bytes[bit / 8] >> (7 - bit % 8) & 1, bit < length);
			address_from_bytes(&back, family, bytes);
			assert_memory_equal(&back, &prefix.address, sizeof(back));
			if (!length)
				continue;
			bytes[(length - 1) / 8] ^= 0x80 >> (length - 1) % 8;
			address_from_bytes(&back, family, bytes);
			assert_false(prefix_contains(&prefix, &back));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readings),
		cmocka_unit_test(test_coverings),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
