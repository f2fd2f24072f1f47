// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists as text: what each format takes, refuses and makes of it; small golden lists in
 * tests/data/lists; the real ones beside the repository, where they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/lists/parse.h"
#include "user/lists/ranges.h"
#include "user/lists/wide.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NOW_S	      1780000000ULL /* 2026-05-28 20:26:40 */

static const __u64 translated[][2] = { { 0x0064ff9b00000000ULL, 0 } };

static int parse(enum list_format format, const void *text, size_t length, struct list_image **out,
		 const char **why)
{
	struct parse_settings settings = {
		.format = format,
		.translated = translated,
		.translated_count = ARRAY_SIZE(translated),
		.now_s = NOW_S,
	};
	unsigned char *exact = malloc(length + !length); /* so that reading beyond it is seen */
	int error;

	assert_non_null(exact);
	memcpy(exact, text, length);
	error = list_parse(exact, length, &settings, out, why);
	free(exact);
	return error;
}

/* "192.0.2.0-192.0.2.255 2001:db8::1": what an image holds, for comparing. */
static char *show(const struct list_image *image)
{
	size_t room = (image->count4 + image->count6) * 2 * PREFIX_TEXT + 1, length = 0;
	char *text = calloc(1, room), first[PREFIX_TEXT], last[PREFIX_TEXT];
	struct gate25_source a = {}, b = {};

	assert_non_null(text);
	for (size_t i = 0; i < image->count4 + image->count6; i++) {
		if (i < image->count4) {
			a = (struct gate25_source){ .family = 4, .lo = image->ranges4[i].first };
			b = (struct gate25_source){ .family = 4, .lo = image->ranges4[i].last };
		} else {
			const struct range6 *range = &image->ranges6[i - image->count4];

			a = (struct gate25_source){ .family = 6,
						    .hi = range->first.hi,
						    .lo = range->first.lo };
			b = (struct gate25_source){ .family = 6,
						    .hi = range->last.hi,
						    .lo = range->last.lo };
		}
		length += snprintf(text + length, room - length, "%s%s", i ? " " : "",
				   address_format(&a, first));
		if (memcmp(&a, &b, sizeof(a)) != 0)
			length += snprintf(text + length, room - length, "-%s",
					   address_format(&b, last));
	}
	return text;
}

struct reading_case {
	const char *name, *text, *want;
	unsigned int bad;
};

static void check_cases(enum list_format format, const struct reading_case *cases, size_t count)
{
	struct list_image *image;
	const char *why;
	char *shown;

	for (size_t i = 0; i < count; i++) {
		if (format == LIST_AUTO && cases[i].bad > 1)
			continue; /* with so few lines, that is no list */
		image = NULL;
		why = NULL;
		if (parse(format, cases[i].text, strlen(cases[i].text), &image, &why))
			fail_msg("%s: refused: %s", cases[i].name, why);
		shown = show(image);
		if (strcmp(shown, cases[i].want) != 0 || image->bad_lines != cases[i].bad)
			fail_msg("%s: read as '%s' with %u bad lines", cases[i].name, shown,
				 (unsigned int)image->bad_lines);
		free(shown);
		list_image_free(image);
	}
}

/* ---------------------------------------------------------------- plain */

static const struct reading_case plain_cases[] = {
	{ "nothing", "", "", 0 },
	{ "blank lines and comments", "\n \t\n# x\n;y\n   # z\n\n", "", 0 },
	{ "an address", "192.0.2.7\n", "192.0.2.7", 0 },
	{ "no final newline", "192.0.2.7\n192.0.2.9", "192.0.2.7 192.0.2.9", 0 },
	{ "CRLF", "192.0.2.7\r\n192.0.2.8/31\r\n\r\n#c\r\n", "192.0.2.7 192.0.2.8-192.0.2.9", 0 },
	{ "CIDR", "192.0.2.0/24\n10.0.0.0/8\n", "10.0.0.0-10.255.255.255 192.0.2.0-192.0.2.255",
	  0 },
	{ "all of IPv4", "0.0.0.0/0\n", "0.0.0.0-255.255.255.255", 0 },
	{ "range", "192.0.2.7-192.0.2.9\n", "192.0.2.7-192.0.2.9", 0 },
	{ "range with blanks", "192.0.2.7 - 192.0.2.9\n", "192.0.2.7-192.0.2.9", 0 },
	{ "range of one", "192.0.2.7-192.0.2.7\n", "192.0.2.7", 0 },
	{ "dash that is a column", "192.0.2.7 - spam\n192.0.2.9\t-\n", "192.0.2.7 192.0.2.9", 0 },
	{ "comment behind", "192.0.2.7 # x\n192.0.2.9;y\n192.0.2.11#z\n192.0.2.16/28 ; SBL1\n",
	  "192.0.2.7 192.0.2.9 192.0.2.11 192.0.2.16-192.0.2.31", 0 },
	{ "further columns", "192.0.2.7\t5\n192.0.2.9 x y\n192.0.2.11,2026-01-01,x\n",
	  "192.0.2.7 192.0.2.9 192.0.2.11", 0 },
	{ "indented", "  192.0.2.7\n\t192.0.2.9\n", "192.0.2.7 192.0.2.9", 0 },
	{ "Latin-1 in comments", "# gr\xfc\xdf\n192.0.2.7 # \xe4\xff\n", "192.0.2.7", 0 },
	{ "UTF-8 mark at the start",
	  "\xef\xbb\xbf"
	  "192.0.2.7\n",
	  "192.0.2.7", 0 },
	{ "unsorted, twice", "192.0.2.9\n192.0.2.7\n192.0.2.9\n", "192.0.2.7 192.0.2.9", 0 },
	{ "neighbours stay apart", "192.0.2.7\n192.0.2.8\n192.0.2.8/31\n",
	  "192.0.2.7 192.0.2.8-192.0.2.9", 0 },
	{ "inside another", "192.0.2.0/24\n192.0.2.7\n192.0.2.0/25\n192.0.2.128/25\n",
	  "192.0.2.0-192.0.2.255", 0 },
	{ "overlap in part", "192.0.2.5-192.0.2.9\n192.0.2.7-192.0.2.12\n192.0.2.8-192.0.2.10\n",
	  "192.0.2.5-192.0.2.9 192.0.2.10-192.0.2.12", 0 },
	{ "IPv6", "2001:db8::1\n2001:DB8:0:1::/64\n",
	  "2001:db8::1 2001:db8:0:1::-2001:db8:0:1:ffff:ffff:ffff:ffff", 0 },
	{ "IPv6 range", "2001:db8::1-2001:db8::ff\n", "2001:db8::1-2001:db8::ff", 0 },
	{ "IPv6 over the 64th bit", "2001:db8::/63\n",
	  "2001:db8::-2001:db8:0:1:ffff:ffff:ffff:ffff", 0 },
	{ "all of IPv6", "::/0\n", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0 },
	{ "IPv6 overlap in part", "2001:db8::-2001:db8::9\n2001:db8::5-2001:db8::c\n",
	  "2001:db8::-2001:db8::9 2001:db8::a-2001:db8::c", 0 },
	{ "both families", "2001:db8::1\n192.0.2.7\n::2\n", "192.0.2.7 ::2 2001:db8::1", 0 },
	{ "mapped is IPv4", "::ffff:192.0.2.7\n::ffff:192.0.2.0/121\n", "192.0.2.0-192.0.2.127",
	  0 },
	{ "translated is IPv4", "64:ff9b::192.0.2.7-64:ff9b::192.0.2.9\n", "192.0.2.7-192.0.2.9",
	  0 },
	{ "wider than translated is not", "64:ff9b::/95\n", "64:ff9b::-64:ff9b::1:ffff:ffff", 0 },
	{ "short forms", "192.0.2.7\n10\n10.1\n10.1.2\n10/8\n10.1/16\n192.0.2.1-9\n", "192.0.2.7",
	  6 },
	{ "leading zeros", "192.0.2.7\n010.1.2.3\n10.01.2.3\n10.1.2.03\n10.0.0.0/08\n", "192.0.2.7",
	  4 },
	{ "zeros that do not lead", "0.0.0.0\n10.0.0.0/30\n", "0.0.0.0 10.0.0.0-10.0.0.3", 0 },
	{ "a lost newline", "192.0.2.7\n176.221.42.3234.90.93.23\n", "192.0.2.7", 1 },
	{ "two runs together", "192.0.2.7\n192.0.2.7192.0.2.9\n1.2.3.4.5.6.7.8\n", "192.0.2.7", 2 },
	{ "a lost octet", "192.0.2.7\n1..218.28\n.1.2.3\n1.2.3.\n", "192.0.2.7", 3 },
	{ "octets over 255", "192.0.2.7\n256.1.1.1\n1.1.1.999\n1.1.1.4294967297\n", "192.0.2.7",
	  3 },
	{ "host bits", "192.0.2.7\n10.1.2.3/8\n2001:db8::1/64\n", "192.0.2.7", 2 },
	{ "lengths", "192.0.2.7\n10.0.0.0/33\n::/129\n10.0.0.0/\n10.0.0.0/x\n10.0.0.0/8x\n",
	  "192.0.2.7", 5 },
	{ "dotted mask", "192.0.2.7\n10.0.0.0/255.0.0.0\n", "192.0.2.7", 1 },
	{ "ranges that are none",
	  "192.0.2.7\n192.0.2.9-192.0.2.8\n192.0.2.9-\n1.1.1.1-2001:db8::1\n-1.1.1.1\n",
	  "192.0.2.7", 4 },
	{ "port, brackets, zone", "192.0.2.7\n192.0.2.9:25\n[2001:db8::1]\nfe80::1%eth0\n",
	  "192.0.2.7", 3 },
	{ "names", "192.0.2.7\nmail.example.com\nlocalhost\nbeef\n", "192.0.2.7", 3 },
	{ "IPv6 that is none",
	  "::1\n2001:db8:::1\n1:2:3:4:5:6:7\n1:2:3:4:5:6:7:8:9\n2001:db8::12345\n:::\n", "::1", 5 },
};

static void test_plain(void **state)
{
	(void)state;
	check_cases(LIST_PLAIN, plain_cases, ARRAY_SIZE(plain_cases));
	check_cases(LIST_AUTO, plain_cases, ARRAY_SIZE(plain_cases));
}

static void test_nul_bytes(void **state)
{
	static const char text[] =
		"192.0.2.7\n192.0.2.9\0\n192.0\0.2.11\n192.0.2.13 x\0y\n192.0.2.15";
	struct list_image *image = NULL;
	const char *why = NULL;
	char *shown;

	(void)state;
	assert_int_equal(parse(LIST_PLAIN, text, sizeof(text) - 1, &image, &why), 0);
	shown = show(image);
	assert_string_equal(shown, "192.0.2.7 192.0.2.15");
	assert_int_equal(image->bad_lines, 3);
	free(shown);
	list_image_free(image);
}

/* ---------------------------------------------------------------- rbldnsd */

static const struct reading_case rbldnsd_cases[] = {
	{ "address", "192.0.2.7\n", "192.0.2.7", 0 },
	{ "abbreviations", "10.1\n10.2.3\n11/8\n12.1/16\n",
	  "10.1.0.0-10.1.255.255 10.2.3.0-10.2.3.255 11.0.0.0-11.255.255.255 12.1.0.0-12.1.255.255",
	  0 },
	{ "ranges", "10.0.0.1-10\n12.1-2\n13.1.2-13.1.4\n14-15\n16.0.0.7-16.0.0.7\n",
	  "10.0.0.1-10.0.0.10 12.1.0.0-12.2.255.255 13.1.2.0-13.1.4.255 14.0.0.0-15.255.255.255 "
	  "16.0.0.7",
	  0 },
	{ "a bare number", "192.0.2.7\n10\n", "192.0.2.7", 1 },
	{ "ends that differ in octets", "192.0.2.7\n1.2.3.4-5.6\n12-12.0.0\n", "192.0.2.7", 2 },
	{ "reversed", "192.0.2.7\n10.0.0.9-1\n10.0.0.9-10.0.0.8\n", "192.0.2.7", 2 },
	{ "dotted mask", "192.0.2.7\n10.0.0.0/255.0.0.0\n", "192.0.2.7", 1 },
	{ "UTF-8 mark",
	  "\xef\xbb\xbf"
	  "192.0.2.7\n192.0.2.9\n",
	  "192.0.2.9", 1 },
	{ "host bits", "192.0.2.7\n10.1.2.3/8\n10.1/8\n", "192.0.2.7", 2 },
	{ "leading zeros are decimal", "010.1.2.3\n0012.000.0.08\n", "10.1.2.3 12.0.0.8", 0 },
	{ "/0", "192.0.2.7\n0.0.0.0/0\n0/0\n", "192.0.2.7", 2 },
	{ "/1 twice", "0.0.0.0/1\n128.0.0.0/1\n",
	  "0.0.0.0-126.255.255.255 128.0.0.0-255.255.255.255", 0 },
	{ "all, as a range", "0-255\n", "0.0.0.0-126.255.255.255 128.0.0.0-255.255.255.255", 0 },
	{ "test records", "127.0.0.2\n127/8\n127.0.0.0-128.0.0.1\n126.255.255.255-127.0.0.1\n",
	  "126.255.255.255 128.0.0.0-128.0.0.1", 0 },
	{ "exclusion of a host", "10.0.0.0/30\n!10.0.0.1\n", "10.0.0.0 10.0.0.2-10.0.0.3", 0 },
	{ "exclusion before what it excludes", "!10.0.0.1\n10.0.0.0/30\n",
	  "10.0.0.0 10.0.0.2-10.0.0.3", 0 },
	{ "more specific than the exclusion", "5.6.7.8\n!5.6.7.0/24\n", "5.6.7.8", 0 },
	{ "expanded to hosts", "6.6.6.0/25\n!6.6.6.0/24\n", "6.6.6.0-6.6.6.127", 0 },
	{ "same level", "7.7.7.7\n!7.7.7.7\n", "", 0 },
	{ "same level, other order", "!7.7.7.7\n7.7.7.7\n", "", 0 },
	{ "/12 is of /16s", "10.0.0.0/12\n!10.0/16\n!10.1.2/24\n!10/8\n10.2.3.4\n!10.2.3/24\n",
	  "10.1.0.0-10.1.1.255 10.1.3.0-10.2.2.255 10.2.3.4 10.2.4.0-10.15.255.255", 0 },
	{ "a range has several levels", "10.0.0.254-10.0.2.1\n!10.0.1.0/24\n!10.0.0.0/24\n",
	  "10.0.0.254-10.0.0.255 10.0.2.0-10.0.2.1", 0 },
	{ "exclusion with blanks and a value", "10.0.0.0/30\n! 10.0.0.1 :0: never\n",
	  "10.0.0.0 10.0.0.2-10.0.0.3", 0 },
	{ "values",
	  ":127.0.0.2:listed $\n10.0.0.1 :5:\n10.0.0.3:6:x\n10.0.0.5 text # x\n10.0.0.7 "
	  ":127.0.0.9\n10.0.0.9 # c\n10.0.0.11;c\n",
	  "10.0.0.1 10.0.0.3 10.0.0.5 10.0.0.7 10.0.0.9 10.0.0.11", 0 },
	{ "values that are none",
	  "10.0.0.1 :0:\n10.0.0.2 :x:\n10.0.0.3 :5 # c\n:0:default\n:1.2.3.4.5:\n10.0.0.9\n",
	  "10.0.0.9", 5 },
	{ "specials",
	  "$SOA 3600 a. b. 1 2 3 4 5\n$NS 3600 ns.example.\n$TTL 60\n$0 text\n$= base\n10.0.0.1\n",
	  "10.0.0.1", 0 },
	{ "specials in comments",
	  "#$TTL 60\n;$NS 60 a.\n:$TTL 60\n#$Id: x 1.7 $\n# $TTL\n10.0.0.1\n", "10.0.0.1", 0 },
	{ "specials that are none", "$TTL\n$FOO bar\n$\n:$x y\n$ TTL 60\n10.0.0.1\n", "10.0.0.1",
	  5 },
	{ "$MAXRANGE4",
	  "10.0.0.0/16\n$MAXRANGE4 /24\n10.1.0.0/16\n10.2.0.0/24\n10.3.0.0-10.3.1.0\n",
	  "10.0.0.0-10.0.255.255 10.2.0.0-10.2.0.255", 2 },
	{ "$MAXRANGE4 in a comment, in hosts",
	  "#$maxrange4 4\n10.0.0.0/30\n10.0.1.0/29\n!10.0.0.0/29\n", "10.0.0.0-10.0.0.3", 2 },
	{ "$MAXRANGE4 only shrinks", "$MAXRANGE4 4\n$MAXRANGE4 256\n10.0.0.0/24\n10.1.0.0/30\n",
	  "10.1.0.0-10.1.0.3", 1 },
	{ "$MAXRANGE4 that is none",
	  "$MAXRANGE4 0\n$MAXRANGE4 /33\n$MAXRANGE4 x\n$MAXRANGE4 4 4\n10.0.0.0/24\n",
	  "10.0.0.0-10.0.0.255", 4 },
	{ "$TIMESTAMP", "$TIMESTAMP 2026:05:28:20:26:40 +1h\n10.0.0.1\n", "10.0.0.1", 0 },
	{ "$TIMESTAMP, dense", "$TIMESTAMP 20260528 20260601\n10.0.0.1\n", "10.0.0.1", 0 },
	{ "$TIMESTAMP without stamp", "$TIMESTAMP 0 2027-01-01\n$TIMESTAMP - -\n10.0.0.1\n",
	  "10.0.0.1", 0 },
	{ "$TIMESTAMP that is none",
	  "$TIMESTAMP 1969:01:01\n$TIMESTAMP 2026:02:30\n$TIMESTAMP 2026\n$TIMESTAMP 0 "
	  "+1h\n$TIMESTAMP 2026:01:01 +x\n10.0.0.1\n",
	  "10.0.0.1", 5 },
	{ "data sets",
	  "$SOA 1 a. b. 1 1 1 1 1\n$DATASET ip4set:one sub @\n10.0.0.0/30\n!10.0.0.1\n$DATASET "
	  "ip4set @ # x\n10.0.0.1\n10.0.0.9\n",
	  "10.0.0.0 10.0.0.1 10.0.0.2-10.0.0.3 10.0.0.9", 0 },
	{ "data sets of subzones",
	  "$DATASET ip4set:one sub\n10.0.0.1\nnonsense\n$DATASET ip4set:two @\n10.0.0.3\n$DATASET "
	  "ip4set:three white # @\n10.0.0.5\n",
	  "10.0.0.3", 0 },
	{ "IPv6 is not of this type", "192.0.2.7\n2001:db8::1\n", "192.0.2.7", 1 },
	{ "CRLF and indentation", "  10.0.0.1\r\n\t!10.0.0.1 \r\n10.0.0.3\r\n", "10.0.0.3", 0 },
	{ "junk behind an address",
	  "192.0.2.7\n10.0.0.1,x\n10.0.0.1/32.5\n10.0.0.1x\n10.0.0.256\n10.0.0.1.\n", "192.0.2.7",
	  5 },
	{ "Latin-1", "# \xa9\n10.0.0.1 \xfc\xff\n", "10.0.0.1", 0 },
};

static void test_rbldnsd(void **state)
{
	(void)state;
	check_cases(LIST_RBLDNSD, rbldnsd_cases, ARRAY_SIZE(rbldnsd_cases));
}

/* ---------------------------------------------------------------- refused as a whole */

static const struct {
	const char *name;
	enum list_format format;
	const char *text, *why; /* a part of it; NULL: accepted */
} refusals[] = {
	{ "a web page", LIST_AUTO, "\n <!DOCTYPE html><html>\n192.0.2.7\n192.0.2.8\n", "web page" },
	{ "a web page, plain", LIST_PLAIN, "<html>\n", "web page" },
	{ "JSON without a list", LIST_AUTO, "{\"lists\": [\"192.0.2.7\"]}\n", "member:" },
	{ "JSON, plain", LIST_PLAIN, "{\"list\": [\"192.0.2.7\"]}\n", "JSON" },
	{ "JSON lines", LIST_PLAIN, "[\n\"192.0.2.7\"]\n", "JSON" },
	{ "prose", LIST_AUTO, "Dear user,\nyou fetch too often.\n", "no line" },
	{ "prose, plain", LIST_PLAIN, "Dear user,\nyou fetch too often.\n", "no line" },
	{ "prose, rbldnsd", LIST_RBLDNSD, "Dear user,\nyou fetch too often.\n", "no line" },
	{ "prose with an address", LIST_AUTO,
	  "Dear user,\nyour address\n192.0.2.7\nfetches too often.\n", "most" },
	{ "half", LIST_AUTO, "word\n192.0.2.7\n", NULL },
	{ "plain named so takes bad lines", LIST_PLAIN, "a\nb\n192.0.2.7\n", NULL },
	{ "only comments", LIST_AUTO, "# nothing today\n", NULL },
	{ "nothing", LIST_AUTO, "", NULL },
	{ "the future", LIST_RBLDNSD, "$TIMESTAMP 2026:05:28:20:26:41\n10.0.0.1\n", "future" },
	{ "expired", LIST_RBLDNSD, "$TIMESTAMP 2026:05:28:19:26:39 +1h\n10.0.0.1\n", "expired" },
	{ "expires now", LIST_RBLDNSD, "$TIMESTAMP 2026:05:28:19:26:40 +1h\n10.0.0.1\n", NULL },
	{ "expired, the earliest counts", LIST_RBLDNSD,
	  "$TIMESTAMP 0 2026:05:01\n$TIMESTAMP 0 2027:01:01\n10.0.0.1\n", "expired" },
	{ "another type", LIST_RBLDNSD,
	  "$DATASET ip4set @\n10.0.0.1\n$DATASET dnset @\nexample.com\n", NULL },
	{ "type that is none", LIST_RBLDNSD, "$DATASET dns @\n", "type that is not known" },
	{ "type with a longer name", LIST_RBLDNSD, "$DATASET ip4setx @\n", "not known" },
	{ "no type", LIST_RBLDNSD, "$DATASET # ip4set @\n10.0.0.1\n", "not known" },
	{ "no base zone", LIST_RBLDNSD, "$DATASET ip4set a b\n10.0.0.1\n", "(@)" },
	{ "entries before", LIST_RBLDNSD, "10.0.0.1\n$DATASET ip4set @\n10.0.0.3\n", "before" },
};

static void test_refusals(void **state)
{
	struct list_image *image;
	const char *why;
	int error;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		image = NULL;
		why = NULL;
		error = parse(refusals[i].format, refusals[i].text, strlen(refusals[i].text),
			      &image, &why);
		if (!refusals[i].why) {
			if (error)
				fail_msg("%s: refused: %s", refusals[i].name, why);
			list_image_free(image);
			continue;
		}
		if (error != -EBADMSG || image || !why || !strstr(why, refusals[i].why))
			fail_msg("%s: %d, %s", refusals[i].name, error, why ? why : "no reason");
	}
}

/* ---------------------------------------------------------------- lists that others make */

static const struct {
	const char *name;
	enum list_format format;
	const char *text, *want; /* of a foreign list */
	unsigned int bad;
	const char *wide; /* of the same text, taken at its word; NULL: nothing */
} foreign_cases[] = {
	{ "the world", LIST_PLAIN, "0.0.0.0/0\n192.0.2.1\n", "192.0.2.1", 1,
	  "0.0.0.0/0 covers everything" },
	{ "half of it", LIST_PLAIN, "192.0.2.1\n0.0.0.0/1\n", "192.0.2.1", 1,
	  "0.0.0.0/1 is wider than a /8" },
	{ "a range", LIST_PLAIN, "1.0.0.0-2.0.0.0\n192.0.2.1\n", "192.0.2.1", 1,
	  "1.0.0.0-2.0.0.0 is wider than a /8" },
	{ "the widest", LIST_PLAIN, "10.0.0.0/8\n2001:c000::/19\n",
	  "10.0.0.0-10.255.255.255 2001:c000::-2001:dfff:ffff:ffff:ffff:ffff:ffff:ffff", 0, NULL },
	{ "a wider one", LIST_PLAIN, "10.0.0.0/7\n192.0.2.1\n", "192.0.2.1", 1,
	  "10.0.0.0/7 is wider than a /8" },
	{ "IPv6", LIST_PLAIN, "::/0\n2001:db8::1\n", "2001:db8::1", 1, "::/0 covers everything" },
	{ "a wider one of IPv6", LIST_PLAIN, "2001:c000::/18\n2001:db8::1\n", "2001:db8::1", 1,
	  "2001:c000::/18 is wider than a /19" },
	{ "all that carry IPv4", LIST_PLAIN, "64:ff9b::/96\n192.0.2.1\n", "192.0.2.1", 1,
	  "0.0.0.0/0 covers everything" },
	{ "a zone", LIST_RBLDNSD, "0.0.0.0/1\n10/8\n", "10.0.0.0-10.255.255.255", 1,
	  "0.0.0.0-126.255.255.255 is wider than a /8" },
	{ "what a zone excludes", LIST_RBLDNSD, "10/8\n!0.0.0.0/1\n192.0.2.1\n", "192.0.2.1", 0,
	  NULL },
};

static void test_foreign(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(foreign_cases); i++) {
		struct parse_settings settings = { .format = foreign_cases[i].format,
						   .translated = translated,
						   .translated_count = ARRAY_SIZE(translated),
						   .foreign = true };
		const char *text = foreign_cases[i].text, *why = "", *wide;
		struct list_image *image = NULL;
		char *shown, said[WIDE_TEXT];

		if (list_parse(text, strlen(text), &settings, &image, &why))
			fail_msg("%s: %s", foreign_cases[i].name, why);
		shown = show(image);
		if (strcmp(shown, foreign_cases[i].want) != 0 ||
		    image->bad_lines != foreign_cases[i].bad || image_wide(image, said))
			fail_msg("%s: %s", foreign_cases[i].name, shown);
		free(shown);
		list_image_free(image);

		settings.foreign = false;
		image = NULL;
		assert_int_equal(list_parse(text, strlen(text), &settings, &image, &why), 0);
		wide = image_wide(image, said);
		if (!wide != !foreign_cases[i].wide ||
		    (wide && strcmp(wide, foreign_cases[i].wide) != 0))
			fail_msg("%s: %s", foreign_cases[i].name, wide ? wide : "not wide");
		assert_int_equal(image->bad_lines, 0);
		list_image_free(image);
	}
}

/* ---------------------------------------------------------------- auto */

static const struct {
	const char *name, *text, *want;
} guesses[] = {
	{ "plain", "10.0.0.1\n", "10.0.0.1" },
	{ "IPv6 that begins with colons", "::2\n::/127\n", "::-::1 ::2" },
	{ "special", "# x\n$TTL 60\n10.1\n", "10.1.0.0-10.1.255.255" },
	{ "special in a comment", "#$SOA 1 a. b. 1 1 1 1 1\n10.1\n", "10.1.0.0-10.1.255.255" },
	{ "default value", ":127.0.0.2:x\n10.1\n", "10.1.0.0-10.1.255.255" },
	{ "exclusion", "10.1\n!10.1/16\n10.2\n", "10.2.0.0-10.2.255.255" },
	{ "dollar in a comment is none", "#$Id$\n10.0.0.1\n", "10.0.0.1" },
};

static void test_auto(void **state)
{
	struct list_image *image;
	const char *why;
	char *shown;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guesses); i++) {
		image = NULL;
		if (parse(LIST_AUTO, guesses[i].text, strlen(guesses[i].text), &image, &why))
			fail_msg("%s: refused: %s", guesses[i].name, why);
		shown = show(image);
		if (strcmp(shown, guesses[i].want) != 0)
			fail_msg("%s: read as '%s'", guesses[i].name, shown);
		free(shown);
		list_image_free(image);
	}
	for (int format = 0; format < LIST_FORMATS; format++)
		assert_int_equal(list_format_from_name(list_format_name(format)), format);
	assert_int_equal(list_format_from_name("ip4set"), -1);
}

/* ---------------------------------------------------------------- gzip */

static size_t gzip(const char *text, size_t length, unsigned char *out, size_t room)
{
	z_stream stream = {};

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (unsigned char *)text;
	stream.avail_in = length;
	stream.next_out = out;
	stream.avail_out = room;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	length = room - stream.avail_out;
	deflateEnd(&stream);
	return length;
}

static void check_gzip(const unsigned char *packed, size_t length, const char *want)
{
	struct list_image *image = NULL;
	const char *why = NULL;
	int error = parse(LIST_AUTO, packed, length, &image, &why);
	char *shown;

	if (!want) {
		assert_int_equal(error, -EBADMSG);
		assert_non_null(strstr(why, "damaged gzip"));
		assert_null(image);
		return;
	}
	if (error)
		fail_msg("refused: %s", why);
	shown = show(image);
	assert_string_equal(shown, want);
	free(shown);
	list_image_free(image);
}

static void test_gzip(void **state)
{
	static const char text[] = "192.0.2.7\n2001:db8::1\n192.0.2.9\n";
	unsigned char packed[1024];
	size_t length = gzip(text, sizeof(text) - 1, packed, sizeof(packed)), second;

	(void)state;
	check_gzip(packed, length, "192.0.2.7 192.0.2.9 2001:db8::1");
	for (size_t cut = 2; cut < length; cut++)
		check_gzip(packed, cut, NULL);
	second = gzip("\n192.0.2.11\n", 12, packed + length, sizeof(packed) - length);
	check_gzip(packed, length + second, "192.0.2.7 192.0.2.9 192.0.2.11 2001:db8::1");
	memset(packed + length, 0, 512);
	check_gzip(packed, length + 512, "192.0.2.7 192.0.2.9 2001:db8::1");
	packed[length] = 'x';
	check_gzip(packed, length + 512, NULL);
	packed[length - 6] ^= 1; /* its checksum */
	check_gzip(packed, length, NULL);
}

/* A list of exactly the bound, and of one byte more. */
static void test_bound(void **state)
{
	char text[4096];
	unsigned char packed[1024];
	struct parse_settings settings = { .most_bytes = sizeof(text) };
	struct list_image *image = NULL;
	const char *why = NULL;
	size_t length;

	(void)state;
	memset(text, '\n', sizeof(text));
	length = gzip(text, sizeof(text), packed, sizeof(packed));
	for (size_t most = sizeof(text) + 1; most >= sizeof(text) - 1; most--) {
		settings.most_bytes = most;
		assert_int_equal(list_parse(text, sizeof(text), &settings, &image, &why),
				 most < sizeof(text) ? -EFBIG : 0);
		if (most >= sizeof(text))
			list_image_free(image);
		assert_int_equal(list_parse(packed, length, &settings, &image, &why),
				 most < sizeof(text) ? -EFBIG : 0);
		if (most >= sizeof(text))
			list_image_free(image);
		else
			assert_non_null(strstr(why, "larger"));
	}
}

/* Few bytes may be many entries: those have a bound of their own. */
static void test_bound_of_entries(void **state)
{
	static const struct {
		const char *line;
		size_t most;
		enum list_format format;
	} cases[] = {
		{ "1.2.3.4\n", RANGES_BYTES / sizeof(struct range4), LIST_PLAIN },
		{ "1.2.3.4\n", RANGES_BYTES / sizeof(struct range4), LIST_RBLDNSD },
		{ "1::2\n", RANGES_BYTES / sizeof(struct range6), LIST_PLAIN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct parse_settings settings = { .format = cases[i].format };
		size_t length = strlen(cases[i].line), lines = cases[i].most + 1;
		char *text = malloc(lines * length);
		struct list_image *image = NULL;
		const char *why = "";

		assert_non_null(text);
		for (size_t line = 0; line < lines; line++)
			memcpy(text + line * length, cases[i].line, length);
		assert_int_equal(list_parse(text, lines * length, &settings, &image, &why), -EFBIG);
		assert_non_null(strstr(why, "more entries than a list may have"));
		assert_int_equal(list_parse(text, (lines - 1) * length, &settings, &image, &why),
				 0);
		list_image_free(image);
		free(text);
	}
}

/* ---------------------------------------------------------------- bad lines, digest, prefixes */

static void note_bad_line(void *context, size_t line, const char *why, const char *text,
			  size_t length)
{
	char *notes = context;
	size_t used = strlen(notes);

	assert_non_null(why);
	snprintf(notes + used, 1024 - used, "%zu:%.*s ", line, (int)length, text);
}

static void test_bad_lines(void **state)
{
	static const char text[] = "192.0.2.7\n  x y \r\n# c\n\nz";
	char notes[1024] = "", many[30 * 2 + 11];
	struct parse_settings settings = { .format = LIST_PLAIN,
					   .bad_line = note_bad_line,
					   .context = notes };
	struct list_image *image;
	const char *why;

	(void)state;
	assert_int_equal(list_parse(text, sizeof(text) - 1, &settings, &image, &why), 0);
	assert_string_equal(notes, "2:x y 5:z ");
	assert_int_equal(image->lines, 3);
	assert_int_equal(image->bad_lines, 2);
	list_image_free(image);

	notes[0] = 0;
	memcpy(many, "192.0.2.7\n", 11);
	for (int i = 0; i < 30; i++)
		memcpy(many + 10 + 2 * i, "x\n", 3);
	assert_int_equal(list_parse(many, strlen(many), &settings, &image, &why), 0);
	assert_true(image->loaded_s > 1700000000);
	assert_int_equal(image->bad_lines, 30);
	assert_non_null(strstr(notes, "21:x "));
	assert_null(strstr(notes, "22:x "));
	list_image_free(image);
}

static void test_prefixes(void **state)
{
	static const char *const texts[] = { "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32",
					     "192.0.2.7", "::1" };
	struct prefix prefixes[ARRAY_SIZE(texts)];
	struct list_image *image;
	const char *why;
	char *shown;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(prefix_parse(texts[i], NULL, 0, &prefixes[i], &why), 0);
	assert_int_equal(list_from_prefixes(prefixes, ARRAY_SIZE(texts), &image), 0);
	shown = show(image);
	assert_string_equal(shown, "10.0.0.0-10.255.255.255 192.0.2.0-192.0.2.255 ::1 "
				   "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_int_equal(image->lines, ARRAY_SIZE(texts));
	free(shown);
	list_image_free(image);
	assert_int_equal(list_from_prefixes(NULL, 0, &image), 0);
	assert_int_equal(image->count4 + image->count6, 0);
	list_image_free(image);
}

/* ---------------------------------------------------------------- files */

static char *file_read(const char *path, size_t *length)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;

	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	*length = ftell(file);
	rewind(file);
	text = calloc(1, *length + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, *length, file), *length);
	fclose(file);
	return text;
}

/* tests/data/lists/NAME.in, read as auto, is NAME.want: a range a line, then what was counted. */
static void test_golden(void **state)
{
	struct list_image *image;
	char want_path[256], counts[64], *text, *want, *shown;
	const char *why;
	size_t length = 0, ignored;
	glob_t found;

	(void)state;
	assert_int_equal(glob("tests/data/lists/*.in", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		text = file_read(found.gl_pathv[i], &length);
		assert_non_null(text);
		snprintf(want_path, sizeof(want_path), "%.*s.want",
			 (int)strlen(found.gl_pathv[i]) - 3, found.gl_pathv[i]);
		want = file_read(want_path, &ignored);
		assert_non_null(want);
		if (parse(LIST_AUTO, text, length, &image, &why))
			fail_msg("%s: refused: %s", found.gl_pathv[i], why);
		shown = show(image);
		for (char *at = shown; *at; at++)
			*at = *at == ' ' ? '\n' : *at;
		snprintf(counts, sizeof(counts), "\n# %u lines, %u bad\n",
			 (unsigned int)image->lines, (unsigned int)image->bad_lines);
		if (strncmp(want, shown, strlen(shown)) != 0 ||
		    strcmp(want + strlen(shown), counts) != 0)
			fail_msg("%s: read as\n%s%s", found.gl_pathv[i], shown, counts);
		free(shown);
		free(want);
		free(text);
		list_image_free(image);
	}
	globfree(&found);
}

static const struct {
	const char *path;
	size_t entries, bad;
	const char *listed, *not_listed;
} real_lists[] = {
	{ "../shared/feeds/dnsbl-1.uceprotect.net", 50000, 0, "1.1.138.2", "127.0.0.2" },
	{ "../shared/feeds/ipsum-level-2.txt", 30000, 0, NULL, "127.0.0.1" },
	{ "../shared/feeds/misp-smtp-sending-ips.json", 900, 0, "1.201.15.9", "127.0.0.1" },
	{ "../shared/feeds/misp-google-gmail-sending-ips.json", 1, 0, "209.85.220.41", "8.8.8.8" },
	{ "../shared/feeds/misp-microsoft-office365-ip.json", 10, 0, "40.107.0.1", "8.8.8.8" },
};

static void test_real(void **state)
{
	struct gate25_source first, last;
	struct list_image *image;
	struct prefix prefix;
	const char *why;
	size_t length = 0, seen = 0;
	char *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(real_lists); i++) {
		text = file_read(real_lists[i].path, &length);
		if (!text)
			continue;
		seen++;
		if (parse(LIST_AUTO, text, length, &image, &why))
			fail_msg("%s: refused: %s", real_lists[i].path, why);
		assert_true(image->count4 > real_lists[i].entries);
		assert_int_equal(image->bad_lines, real_lists[i].bad);
		assert_int_equal(prefix_parse(real_lists[i].not_listed, NULL, 0, &prefix, &why), 0);
		assert_int_equal(list_image_find(image, &prefix.address, &first, &last), -ENOENT);
		if (real_lists[i].listed) {
			assert_int_equal(prefix_parse(real_lists[i].listed, NULL, 0, &prefix, &why),
					 0);
			assert_int_equal(list_image_find(image, &prefix.address, &first, &last), 0);
		}
		list_image_free(image);
		free(text);
	}
	if (!seen) {
		print_message("skipped: no real lists in ../shared/feeds\n");
		skip();
	}
}

/* Bytes of all kinds: whatever comes out, it is sorted and disjoint. */
static void test_noise(void **state)
{
	static const char members[] = "0123456789...:::/-- \t\n\n\n\n!#;$,abf@\r";
	struct list_image *image;
	const char *why;
	char text[200];

	(void)state;
	srandom(25);
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = members[random() % (sizeof(members) - 1)];
		if (parse(round % LIST_FORMATS, text, sizeof(text), &image, &why))
			continue;
		for (size_t i = 0; i < image->count4; i++) {
			assert_true(image->ranges4[i].first <= image->ranges4[i].last);
			assert_true(!i || image->ranges4[i].first > image->ranges4[i - 1].last);
		}
		list_image_free(image);
	}
}

/* "10.0.255.99", and much that is nearly so. Returns its length. */
static int random_quad(char *text)
{
	static const char *const octets[] = { "0",   "7",   "9",   "10",   "42",  "99",
					      "100", "127", "199", "255",  "255", "256",
					      "260", "300", "999", "1000", "00",  "01",
					      "007", "",    "1x",  "\x80", ":1",  "1/" };
	unsigned int wild = random() % 4 ? 11 : ARRAY_SIZE(octets);
	int count = random() % 16 ? 4 : 3 + random() % 3, length = 0;

	for (int i = 0; i < count; i++)
		length += sprintf(text + length, "%s%s", i ? "." : "", octets[random() % wild]);
	return length;
}

/* The same line at the end of the text, and with more behind it, where it is read in another way. */
static void test_addresses4(void **state)
{
	static const char *const ends[] = { "",	   "",	  "",
					    " ",   "\r",  "\t#",
					    "/32", "/0x", "-255.255.255.255" };
	char line[80], text[2][200], *shown[2];
	struct list_image *images[2];
	unsigned char bytes[4];
	const char *why;

	(void)state;
	srandom(2525);
	for (int round = 0; round < 50000; round++) {
		int length = random_quad(line);
		const char *end = ends[random() % ARRAY_SIZE(ends)];
		bool entry = inet_pton(AF_INET, line, bytes) == 1;

		snprintf(line + length, sizeof(line) - length, "%s", end);
		snprintf(text[0], sizeof(text[0]), "2001:db8::1\n%s", line);
		snprintf(text[1], sizeof(text[1]), "2001:db8::1\n%s\n%40s", line, "#");
		for (int i = 0; i < 2; i++) {
			assert_int_equal(
				parse(LIST_PLAIN, text[i], strlen(text[i]), &images[i], &why), 0);
			shown[i] = show(images[i]);
		}
		assert_string_equal(shown[0], shown[1]);
		assert_int_equal(images[0]->bad_lines, images[1]->bad_lines);
		if (!end[0] && images[1]->count4 != entry)
			fail_msg("'%s' was read as '%s'", line, shown[1]);
		if (!end[0] && entry)
			assert_int_equal(images[1]->ranges4[0].first,
					 (__u32)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 |
						 bytes[3]);
		for (int i = 0; i < 2; i++) {
			free(shown[i]);
			list_image_free(images[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	   cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_rbldnsd),	   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_auto),	   cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_bound),	   cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_prefixes),   cmocka_unit_test(test_golden),
		cmocka_unit_test(test_real),	   cmocka_unit_test(test_noise),
		cmocka_unit_test(test_addresses4), cmocka_unit_test(test_bound_of_entries),
		cmocka_unit_test(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
