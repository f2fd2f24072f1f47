// SPDX-License-Identifier: GPL-2.0-only
/*
 * The formats beside plain text and ip4set zones: what each takes, what it says of itself, and what
 * `auto` takes it for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/parse.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* "192.0.2.0-192.0.2.255 2001:db8::1": what an image holds, for comparing. */
static void show(const struct list_image *image, char *out, size_t room)
{
	char first[PREFIX_TEXT], last[PREFIX_TEXT];
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < image->count4 + image->count6 && used < room - 2 * PREFIX_TEXT;
	     i++) {
		struct gate25_source a = { .family = 4 }, b = { .family = 4 };

		if (i < image->count4) {
			a.lo = image->ranges4[i].first;
			b.lo = image->ranges4[i].last;
		} else {
			const struct range6 *range = &image->ranges6[i - image->count4];

			a.family = b.family = 6;
			a.hi = range->first.hi;
			a.lo = range->first.lo;
			b.hi = range->last.hi;
			b.lo = range->last.lo;
		}
		used += snprintf(out + used, room - used, "%s%s", i ? " " : "",
				 address_format(&a, first));
		if (memcmp(&a, &b, sizeof(a)) != 0)
			used += snprintf(out + used, room - used, "-%s", address_format(&b, last));
	}
}

struct format_case {
	const char *name;
	enum list_format format;
	const char *column, *member, *codes;
	bool allow;
	const char *text;
	const char *want; /* NULL: refused, `why` has a part of the reason */
	unsigned int bad, left_out;
	const char *why;
};

static int parse(const struct format_case *wanted, struct list_image **out,
		 struct list_facts *facts, const char **why)
{
	struct list_codes codes = { 0 };
	struct parse_settings settings = {
		.format = wanted->format,
		.column = wanted->column,
		.member = wanted->member,
		.codes = &codes,
		.allow = wanted->allow,
		.facts = facts,
		.now_s = 1780000000,
	};
	size_t length = strlen(wanted->text);
	char *exact = malloc(length + !length); /* so that reading beyond it is seen */
	int error;

	if (wanted->codes)
		assert_int_equal(codes_add(&codes, wanted->codes, why), 0);
	assert_non_null(exact);
	memcpy(exact, wanted->text, length);
	error = list_parse(exact, length, &settings, out, why);
	free(exact);
	return error;
}

static void check_case(const struct format_case *wanted)
{
	struct list_image *image = NULL;
	struct list_facts facts;
	const char *why = NULL;
	char shown[4096];
	int error = parse(wanted, &image, &facts, &why);

	if (!wanted->want) {
		if (!error || !why || !strstr(why, wanted->why))
			fail_msg("%s: %d, %s", wanted->name, error, why ? why : "no reason");
		return;
	}
	if (error)
		fail_msg("%s: refused: %s", wanted->name, why);
	show(image, shown, sizeof(shown));
	if (strcmp(shown, wanted->want) != 0 || image->bad_lines != wanted->bad ||
	    facts.bad_lines != wanted->bad || facts.left_out != wanted->left_out)
		fail_msg("%s: read as '%s', %u bad, %u left out", wanted->name, shown,
			 (unsigned int)image->bad_lines, (unsigned int)facts.left_out);
	if (wanted->format)
		assert_int_equal(facts.format, wanted->format);
	list_image_free(image);
}

static void check_cases(const struct format_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_case(&cases[i]);
}

/* ---------------------------------------------------------------- Spamhaus DROP */

#define DROP_LINE  "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n"
#define DROP_LINE6 "{\"cidr\":\"2001:db8::/32\",\"sblid\":\"SBL1\",\"rir\":\"ripencc\"}\n"
#define DROP_END(records)                                                                          \
	"{\"type\":\"metadata\",\"timestamp\":1779999999,\"size\":9,\"records\":" records "}\n"

static const struct format_case drop_cases[] = {
	{ .name = "text",
	  .format = LIST_DROP,
	  .text = "; Spamhaus DROP List\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16 ; SBL434604\n",
	  .want = "1.10.16.0-1.10.31.255 1.19.0.0-1.19.255.255" },
	{ .name = "JSON lines",
	  .format = LIST_DROP,
	  .text = DROP_LINE DROP_LINE6 DROP_END("2"),
	  .want = "1.10.16.0-1.10.31.255 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ .name = "JSON lines that are none",
	  .format = LIST_DROP,
	  .text = DROP_LINE "{\"cidr\":\"1.2.3.4/8\"}\n{\"cidr\":4}\n{}\n{\"cidr\":\"1.2\n"
			    "{\"cidr\":\"1.2.3.4 5\"}\n{\"type\":\"metadata\",\"records\":-1}\n"
			    "1.2.3.4\n" DROP_END("1"),
	  .want = "1.10.16.0-1.10.31.255",
	  .bad = 7 },
	{ .name = "nothing but its end", .format = LIST_DROP, .text = DROP_END("0"), .want = "" },
};

static void test_drop(void **state)
{
	(void)state;
	check_cases(drop_cases, ARRAY_SIZE(drop_cases));
}

/* ---------------------------------------------------------------- columns */

static const struct format_case column_cases[] = {
	{ .name = "DShield",
	  .format = LIST_DSHIELD,
	  .text = "# DShield.org\nStart\tEnd\tNetblock\tAttacks\n"
		  "192.0.2.0\t192.0.2.255\t24\t7012\tX\n198.51.100.0\t198.51.100.127\t25\n",
	  .want = "192.0.2.0-192.0.2.255 198.51.100.0-198.51.100.127" },
	{ .name = "DShield, lines that are none",
	  .format = LIST_DSHIELD,
	  .text = "192.0.2.0\t192.0.2.255\t24\n192.0.2.0\t192.0.2.255\t25\n"
		  "192.0.2.0 192.0.2.255 24\n192.0.2.0\t192.0.2.255\n192.0.2.1\t192.0.2.255\t24\n"
		  "192.0.2.0\t192.0.2.255\t\n192.0.2.0\t192.0.2.255\t33\n192.0.2.0\t2001::\t24\n"
		  "192.0.2.0\t192.0.2.255\t24x\nStart\tEnd\n",
	  .want = "192.0.2.0-192.0.2.255",
	  .bad = 9 },
	{ .name = "CSV by name",
	  .format = LIST_CSV,
	  .column = "dst_ip",
	  .text = "\"first_seen\",\"dst_ip\",\"dst_port\"\n\"2021-01-17 07:30:05\",\"192.0.2.7\","
		  "\"443\"\n\"a, \"\"b\"\"\" , \"192.0.2.9\"\n,192.0.2.11 ,x\n",
	  .want = "192.0.2.7 192.0.2.9 192.0.2.11" },
	{ .name = "CSV, the header in a comment, and again",
	  .format = LIST_CSV,
	  .column = "DST_IP",
	  .text = "#####\n# abuse.ch #\n#\n# \"seen\",\"dst_ip\"\nseen,dst_ip\nx,192.0.2.7\n"
		  "# END 1 entries\n",
	  .want = "192.0.2.7" },
	{ .name = "CSV by number",
	  .format = LIST_CSV,
	  .column = "2",
	  .text = "name;net\nx;192.0.2.0/24;y\nz;2001:db8::1\n",
	  .want = "192.0.2.0-192.0.2.255 2001:db8::1" },
	{ .name = "CSV by number, no header, tabs",
	  .format = LIST_CSV,
	  .column = "1",
	  .text = "192.0.2.7\tx\n192.0.2.9\ty\n",
	  .want = "192.0.2.7 192.0.2.9" },
	{ .name = "CSV, lines that are none",
	  .format = LIST_CSV,
	  .column = "ip",
	  .text = "n,ip\n1,192.0.2.7\n2\n3,\"192.0.2.8\n4,192.0.2.9 x\n5,\"192.0.2.10\"x\n6,\n7,"
		  "host.example\n",
	  .want = "192.0.2.7",
	  .bad = 6 },
	{ .name = "CSV without the column",
	  .format = LIST_CSV,
	  .column = "addr",
	  .text = "n,ip\n1,192.0.2.7\n",
	  .why = "no such column" },
	{ .name = "CSV without a column at all",
	  .format = LIST_CSV,
	  .text = "n,ip\n1,192.0.2.7\n",
	  .why = "needs column:" },
	{ .name = "CSV with too few columns",
	  .format = LIST_CSV,
	  .column = "3",
	  .text = "n,ip\n1,192.0.2.7\n",
	  .why = "fewer columns" },
};

static void test_columns(void **state)
{
	(void)state;
	check_cases(column_cases, ARRAY_SIZE(column_cases));
}

/* ---------------------------------------------------------------- response policy zones */

static const char rpz_text[] =
	"$TTL 60\n@ IN SOA localhost. root.localhost. (\n  1 ; serial\n  2 3 4 5 )\n  NS "
	"localhost.\n"
	"24.0.2.0.192.rpz-ip CNAME .\n32.7.2.0.192.rpz-ip 60 IN CNAME rpz-passthru.\n"
	"32.8.2.0.192.rpz-ip CNAME 32.8.2.0.192\n32.9.2.0.192.rpz-ip.rpz.example. IN CNAME *.\n"
	"32.1.100.51.198.RPZ-IP A 192.0.2.1\n  TXT \"again; (\"\n"
	"48.zz.101.db8.2001.rpz-ip CNAME rpz-drop.\n"
	"32.2.100.51.198.rpz-ip CNAME rpz-tcp-only.\nbad.example CNAME .\n"
	"32.1.2.0.192.rpz-client-ip CNAME .\n";

static const struct format_case rpz_cases[] = {
	{ .name = "a block list",
	  .format = LIST_RPZ,
	  .text = rpz_text,
	  .want = "192.0.2.0-192.0.2.6 192.0.2.9-192.0.2.255 198.51.100.1 "
		  "2001:db8:101::-2001:db8:101:ffff:ffff:ffff:ffff:ffff",
	  .left_out = 7 },
	{ .name = "an allow list",
	  .format = LIST_RPZ,
	  .allow = true,
	  .text = rpz_text,
	  .want = "192.0.2.7 192.0.2.8",
	  .left_out = 10 },
	{ .name = "an origin",
	  .format = LIST_RPZ,
	  .text = "$ORIGIN rpz-ip.example.\n32.7.2.0.192 CNAME .\n32.9.2.0.192.x. CNAME .\n"
		  "128.1.zz CNAME .\n128.zz CNAME .\n8.zz.1.2 CNAME .\n"
		  "$ORIGIN example.\n32.8.2.0.192 CNAME .\n",
	  .want = "192.0.2.7 :: ::1",
	  .bad = 1,
	  .left_out = 2 },
	{ .name = "triggers that are none",
	  .format = LIST_RPZ,
	  .text = "  CNAME .\n32.7.2.0.192.rpz-ip CNAME .\n24.1.2.0.192.rpz-ip CNAME .\n"
		  "33.1.2.0.192.rpz-ip CNAME .\n1.2.0.192.rpz-ip CNAME .\n32..2.0.192.rpz-ip CNAME "
		  ".\n"
		  "128.1.2.3.4.5.6.7.8.9.10.rpz-ip CNAME .\n128.zz.zz.1.rpz-ip CNAME .\n"
		  "32.00007.2.0.192.rpz-ip CNAME .\nrpz-ip CNAME .\n32.7.2.0.192.rpz-ip\n",
	  .want = "192.0.2.7",
	  .bad = 7,
	  .left_out = 3 },
	{ .name = "the longest decides, of two the first",
	  .format = LIST_RPZ,
	  .text = "24.0.2.0.192.rpz-ip CNAME rpz-passthru.\n23.0.2.0.192.rpz-ip CNAME .\n"
		  "32.7.2.0.192.rpz-ip CNAME .\n32.7.2.0.192.rpz-ip CNAME rpz-passthru.\n",
	  .want = "192.0.2.7 192.0.3.0-192.0.3.255" },
};

static void test_rpz(void **state)
{
	(void)state;
	check_cases(rpz_cases, ARRAY_SIZE(rpz_cases) - 1);
	struct format_case last = rpz_cases[ARRAY_SIZE(rpz_cases) - 1];

	last.left_out = 2;
	check_case(&last);
}

/* ---------------------------------------------------------------- JSON */

static const struct format_case json_cases[] = {
	{ .name = "MISP",
	  .format = LIST_JSON,
	  .text = "{\"description\": \"x\",\n \"list\": [\n  \"192.0.2.0/24\",\n  "
		  "\"2001:db8::1\"\n ],"
		  "\n \"type\": \"cidr\"}\n",
	  .want = "192.0.2.0-192.0.2.255 2001:db8::1" },
	{ .name = "a path through arrays",
	  .format = LIST_JSON,
	  .member = "prefixes.v4",
	  .text = "{\"prefixes\": [{\"v4\": \"192.0.2.0/24\"}, {\"v6\": \"2001:db8::/32\"},"
		  "{\"v4\": [\"198.51.100.7\"]}, 5]}",
	  .want = "192.0.2.0-192.0.2.255 198.51.100.7" },
	{ .name = "an array and nothing else",
	  .format = LIST_JSON,
	  .text = "[\"192.0.2.7\", \"192.0.2.9-192.0.2.10\"]",
	  .want = "192.0.2.7 192.0.2.9-192.0.2.10" },
	{ .name = "entries that are none",
	  .format = LIST_JSON,
	  .text = "{\"list\": [\"192.0.2.7\", 5, null, {}, \"\", \"192.0.2.7 x\", \"10.1\"]}",
	  .want = "192.0.2.7",
	  .bad = 6 },
	{ .name = "no such member",
	  .format = LIST_JSON,
	  .member = "a.b",
	  .text = "{\"a\": {\"c\": []}}",
	  .why = "no such member" },
	{ .name = "cut off",
	  .format = LIST_JSON,
	  .text = "{\"list\": [\"192.0.2.7\", \"192.0",
	  .why = "cut off" },
	{ .name = "an empty one", .format = LIST_JSON, .text = "{\"list\": []}", .want = "" },
};

static void test_json(void **state)
{
	(void)state;
	check_cases(json_cases, ARRAY_SIZE(json_cases));
}

/* ---------------------------------------------------------------- zones */

static const struct format_case zone_cases[] = {
	{ .name = "ip4trie",
	  .format = LIST_IP4TRIE,
	  .text = "10/8\n!10.1/16\n10.1.2\n10.1.2.3 "
		  ":5:\n!10.1.2.4/30\n7.7.7.7\n!7.7.7.7\n!8.8.8.8\n"
		  "8.8.8.8\n127.0.0.2\n",
	  .want = "7.7.7.7 10.0.0.0-10.0.255.255 10.1.2.0-10.1.2.3 10.1.2.8-10.1.2.255 "
		  "10.2.0.0-10.255.255.255" },
	{ .name = "ip4trie, everything",
	  .format = LIST_IP4TRIE,
	  .text = "0.0.0.0/0\n!255.255.255.255\n!0/1\n",
	  .want = "128.0.0.0-255.255.255.254" },
	{ .name = "ip4trie, everything but test records",
	  .format = LIST_IP4TRIE,
	  .text = "0/0\n",
	  .want = "0.0.0.0-126.255.255.255 128.0.0.0-255.255.255.255" },
	{ .name = "ip4trie, lines that are none",
	  .format = LIST_IP4TRIE,
	  .text = "10.0.0.1\n10\n10.0.0.1-2\n10.0.0.1/33\n10.0.0.1/24\n10.0.0.2 :0:\n10.0.0.3x\n"
		  "!10.0.0.1x\n10.0.0.1/\n256.1.1.1\n$DATASET ip4set @\n$MAXRANGE4 /24\n11.0/16\n",
	  .want = "10.0.0.1",
	  .bad = 11 },
	{ .name = "ip4tset",
	  .format = LIST_IP4TSET,
	  .text = "10.0.0.1 :0: whatever\n:2:x\n010.0.0.3#\n:0:\n10.0.0.2\n10.0.0.2\n127.0.0.2\n",
	  .want = "10.0.0.1 10.0.0.2 10.0.0.3" },
	{ .name = "ip4tset, lines that are none",
	  .format = LIST_IP4TSET,
	  .text = ":0:\n10.0.0.1\n!10.0.0.1\n10.0.0.1/32\n10.0.0\n10.0.0.1-2\n10.0.0.1.\n",
	  .want = "10.0.0.1",
	  .bad = 6 },
	{ .name = "ip6trie",
	  .format = LIST_IP6TRIE,
	  .text = ":2:x\n2001:db8::/32\n!2001:db8:1:2\n2001:DB8:1:2::5 :5:\n::1\n"
		  "00001::2:\n1:2:3:4:5:6:7:8:6:text\n1:::5: text\n",
	  .want = "::1 1:: 1::2 1:2:3:4:5:6:7:8 "
		  "2001:db8::-2001:db8:1:1:ffff:ffff:ffff:ffff 2001:db8:1:2::5 "
		  "2001:db8:1:3::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	  .bad = 0 },
	{ .name = "ip6trie, everything",
	  .format = LIST_IP6TRIE,
	  .text = "::/0\n!ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n!8000::/1\n",
	  .want = "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ .name = "ip6trie, its end excluded",
	  .format = LIST_IP6TRIE,
	  .text = "::/0\n!8000::/1\nc000::/2\n",
	  .want = "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "c000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ .name = "ip6trie, what carries IPv4",
	  .format = LIST_IP6TRIE,
	  .text = "::ffff:102:304\n::ffff:7f00:2\n",
	  .want = "1.2.3.4" },
	{ .name = "ip6trie, what is left of a wide one is no IPv4",
	  .format = LIST_IP6TRIE,
	  .text = "::/64\n!::ffff:1.2.3.4\n!::ffff:102:304\n!::ffff:102:309\n"
		  "::ffff:102:0/112\n!::/81\n!::1:0:0:0/81\n!0:0:0:0:8000::/65\n",
	  .want = "1.2.0.0-1.2.3.3 1.2.3.5-1.2.3.8 1.2.3.10-1.2.255.255 "
		  "::8000:0:0-::ffff:255.255.255.255 ::1:8000:0:0-::7fff:ffff:ffff:ffff",
	  .bad = 1 },
	{ .name = "ip6trie, nor when just the place of IPv4 is left",
	  .format = LIST_IP6TRIE,
	  .text = "::fffe:0:0/95\n!::fffe:0:0/96\n",
	  .want = "::ffff:0.0.0.0-::ffff:255.255.255.255" },
	{ .name = "ip6trie, lines that are none",
	  .format = LIST_IP6TRIE,
	  .text = "::2\n2001\n2001:db8:\n10000::\n1:2:3:4:5:6:7:8:9\n::1:2:3:4:5:6:7:8\n2001:db8::"
		  "1/64\n"
		  "2001:db8::/129\n2001:db8::/\n2001:db8::/32x\n2001:db8::1 :0:\n192.0.2.1\n"
		  ":0:\ng::\n",
	  .want = "::2 1:2:3:4:5:6:7:8",
	  .bad = 12 },
	{ .name = "ip6tset",
	  .format = LIST_IP6TSET,
	  .text = "2001:db8:1:2\n!2001:db8:1:2::5\n2001:db8:1:3 :0: whatever\n!2001:db8:1:2::5\n"
		  "!::9\n:2:x\n",
	  .want = "2001:db8:1:2::-2001:db8:1:2::4 2001:db8:1:2::6-2001:db8:1:2:ffff:ffff:ffff:ffff "
		  "2001:db8:1:3::-2001:db8:1:3:ffff:ffff:ffff:ffff" },
	{ .name = "ip6tset, lines that are none",
	  .format = LIST_IP6TSET,
	  .text = "1:2:3:4\n::1\n1:2:3\n1:2:3:4/64\n1:2:3:4:5:6:7:8\n!1:2:3:4\n1::\n",
	  .want = "1:2:3:4::-1:2:3:4:ffff:ffff:ffff:ffff",
	  .bad = 6 },
	{ .name = "combined",
	  .format = LIST_RBLDNSD,
	  .text = "$DATASET ip4trie:a @\n7.7.7.7\n!7.7.7.7\n$DATASET ip4set:b "
		  "@\n!8.8.8.8\n8.8.8.8\n"
		  "$DATASET ip6trie @\n::1\n$DATASET ip6tset @ sub\n1:2:3:4\n$DATASET ip4tset @\n"
		  "9.9.9.9\n$DATASET dnset @\nexample.com\n$DATASET generic @\nx A 1.2.3.4\n"
		  "$DATASET ip4set sub\n10/8\n",
	  .want = "7.7.7.7 9.9.9.9 ::1 1:2:3:4::-1:2:3:4:ffff:ffff:ffff:ffff",
	  .left_out = 3 },
};

static void test_zones(void **state)
{
	(void)state;
	check_cases(zone_cases, ARRAY_SIZE(zone_cases));
}

/* ---------------------------------------------------------------- codes */

static const struct {
	const char *pattern;
	__u32 match, no_match;
	bool bad;
} patterns[] = {
	{ "127.0.0.2", 0x7f000002, 0x7f000003, false },
	{ "127.0.0.[2..11]", 0x7f00000b, 0x7f00000c, false },
	{ "127.0.0.[2;4..6;9]", 0x7f000005, 0x7f000003, false },
	{ "127.0.[0..255].0", 0x7f00ff00, 0x7f00ff01, false },
	{ "[127;128].[0].0.[255]", 0x800000ff, 0x810000ff, false },
	{ "127.0.0", 0, 0, true },
	{ "127.0.0.2.3", 0, 0, true },
	{ "127.0.0.[]", 0, 0, true },
	{ "127.0.0.[2", 0, 0, true },
	{ "127.0.0.[2;]", 0, 0, true },
	{ "127.0.0.[5..2]", 0, 0, true },
	{ "127.0.0.[2.5]", 0, 0, true },
	{ "127.0.0.256", 0, 0, true },
	{ "127.0.0.02", 0, 0, true },
	{ "127.0.0.2 ", 0, 0, true },
	{ "", 0, 0, true },
};

static void test_patterns(void **state)
{
	struct list_codes many = { 0 };
	const char *why;

	(void)state;
	assert_true(codes_match(&many, 5)); /* no filter */
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct list_codes codes = { 0 };
		int error = codes_add(&codes, patterns[i].pattern, &why);

		if (error != (patterns[i].bad ? -EINVAL : 0))
			fail_msg("'%s': %d", patterns[i].pattern, error);
		if (!error && (!codes_match(&codes, patterns[i].match) ||
			       codes_match(&codes, patterns[i].no_match)))
			fail_msg("'%s' matches otherwise", patterns[i].pattern);
	}
	for (int i = 0; i < LIST_CODES; i++)
		assert_int_equal(codes_add(&many, "127.0.0.1", &why), 0);
	assert_int_equal(codes_add(&many, "127.0.0.2", &why), -E2BIG);
}

#define CODED                                                                                      \
	":3:x\n10.0.0/24\n10.0.0.5 :4:y\n10.0.0.6 :127.0.1.4:y\n10.0.0.7\n10.0.0.7 "               \
	":4\n!10.0.0.8\n"                                                                          \
	"10.0.0.8 :3\n10.0.0.9 text\n"

static const struct format_case code_cases[] = {
	{ .name = "ip4set, one code",
	  .format = LIST_RBLDNSD,
	  .codes = "127.0.0.4",
	  .text = CODED,
	  .want = "10.0.0.5 10.0.0.7",
	  .left_out = 5 },
	{ .name = "ip4set, what has another code hides what is less specific",
	  .format = LIST_RBLDNSD,
	  .codes = "127.0.0.3",
	  .text = CODED,
	  .want = "10.0.0.0-10.0.0.4 10.0.0.7 10.0.0.9-10.0.0.255",
	  .left_out = 3 },
	{ .name = "ip4set, a set of codes",
	  .format = LIST_RBLDNSD,
	  .codes = "127.0.[0;1].4",
	  .text = CODED,
	  .want = "10.0.0.5 10.0.0.6 10.0.0.7",
	  .left_out = 4 },
	{ .name = "ip4trie",
	  .format = LIST_IP4TRIE,
	  .codes = "127.0.0.4",
	  .text = CODED,
	  .want = "10.0.0.5",
	  .left_out = 5 },
	{ .name = "the default is 127.0.0.2",
	  .format = LIST_RBLDNSD,
	  .codes = "127.0.0.2",
	  .text = "10.0.0.1\n10.0.0.2 :1.2:\n",
	  .want = "10.0.0.1",
	  .left_out = 1 },
	{ .name = "short codes",
	  .format = LIST_RBLDNSD,
	  .codes = "[1..127].[0;2].[0..5].[2..4]",
	  .text = "10.0.0.1 :1.2:\n10.0.0.2 :1.2.3\n10.0.0.3 :1.2.3.4\n10.0.0.4 :1.2.3.9:x\n",
	  .want = "10.0.0.1 10.0.0.2 10.0.0.3",
	  .left_out = 1,
	  .bad = 0 },
	{ .name = "ip4tset has one for all",
	  .format = LIST_IP4TSET,
	  .codes = "127.0.0.3",
	  .text = "10.0.0.1 :4:x\n:3:x\n:4:x\n10.0.0.2\n",
	  .want = "10.0.0.1 10.0.0.2" },
	{ .name = "ip4tset, another",
	  .format = LIST_IP4TSET,
	  .codes = "127.0.0.4",
	  .text = "10.0.0.1 :4:x\n:3:x\n:4:x\n10.0.0.2\n",
	  .want = "",
	  .left_out = 2 },
	{ .name = "ip6tset, another",
	  .format = LIST_IP6TSET,
	  .codes = "127.0.0.4",
	  .text = "1:2:3:4\n",
	  .want = "",
	  .left_out = 1 },
	{ .name = "no zone",
	  .format = LIST_AUTO,
	  .codes = "127.0.0.4",
	  .text = "10.0.0.1\n",
	  .why = "codes: needs a zone" },
};

static void test_codes(void **state)
{
	(void)state;
	check_cases(code_cases, ARRAY_SIZE(code_cases));
}

/* ---------------------------------------------------------------- auto, and facts */

static const struct {
	const char *name;
	struct format_case read;
	enum list_format format;
	const char *cut; /* a part of it; NULL: whole */
	unsigned int declared;
	__u64 stamp_s;
	bool incomplete;
} facts_cases[] = {
	{ "plain", { .text = "10.0.0.1\n" }, LIST_PLAIN, NULL, 0, 0, false },
	{ "no final newline", { .text = "10.0.0.1" }, LIST_PLAIN, NULL, 0, 0, true },
	{ "FireHOL",
	  { .text = "#\n# Entries         : 2 subnets, 257 unique IPs\n10.0.0.1\n10.1.0.0/24\n" },
	  LIST_PLAIN,
	  NULL,
	  2,
	  0,
	  false },
	{ "FireHOL, cut",
	  { .text = "# Entries : 3 subnets, 258 unique IPs\n10.0.0.1\nnonsense\n" },
	  LIST_PLAIN,
	  "fewer",
	  3,
	  0,
	  false },
	{ "FireHOL, addresses",
	  { .text = "# Entries : 1 unique IPs\n10.0.0.1\n" },
	  LIST_PLAIN,
	  NULL,
	  1,
	  0,
	  false },
	{ "abuse.ch", { .text = "10.0.0.1\n# END 1 entries\n" }, LIST_PLAIN, NULL, 1, 0, false },
	{ "abuse.ch in brackets",
	  { .text = "10.0.0.1\n# END (2) entries\n" },
	  LIST_PLAIN,
	  "fewer",
	  2,
	  0,
	  false },
	{ "talk of entries",
	  { .text = "# Entries: see below\n# END of it\n# END 2 x\n10.0.0.1\n" },
	  LIST_PLAIN,
	  NULL,
	  0,
	  0,
	  false },
	{ "DROP", { .text = DROP_LINE DROP_END("1") }, LIST_DROP, NULL, 1, 1779999999, false },
	{ "DROP without its end",
	  { .text = DROP_LINE DROP_LINE },
	  LIST_DROP,
	  "last line",
	  0,
	  0,
	  false },
	{ "DROP with fewer",
	  { .text = DROP_LINE DROP_END("2") },
	  LIST_DROP,
	  "fewer",
	  2,
	  1779999999,
	  false },
	{ "DROP of both families",
	  { .text = DROP_LINE DROP_END("1") DROP_LINE6 DROP_END("1") },
	  LIST_DROP,
	  NULL,
	  2,
	  1779999999,
	  false },
	{ "MISP", { .text = "{\n\"list\": [\"192.0.2.7\"]\n}" }, LIST_JSON, NULL, 0, 0, true },
	{ "an array", { .text = "[\"192.0.2.7\"]\n" }, LIST_JSON, NULL, 0, 0, false },
	{ "brackets that are no JSON",
	  { .text = "[2001:db8::1]\n::1\n" },
	  LIST_PLAIN,
	  NULL,
	  0,
	  0,
	  false },
	{ "DShield",
	  { .text = "# x\nStart\tEnd\n192.0.2.0\t192.0.2.255\t24\n" },
	  LIST_DSHIELD,
	  NULL,
	  0,
	  0,
	  false },
	{ "RPZ",
	  { .text = "$TTL 60\n32.7.2.0.192.rpz-ip CNAME .\n" },
	  LIST_RPZ,
	  NULL,
	  0,
	  0,
	  false },
	{ "CSV by its header",
	  { .text = "# \"seen\",\"dst_ip\"\n\"x\",\"192.0.2.7\"\n" },
	  LIST_CSV,
	  NULL,
	  0,
	  0,
	  false },
	{ "CSV by the column that is asked for",
	  { .column = "addr", .text = "n,addr\nx,192.0.2.7\n" },
	  LIST_CSV,
	  NULL,
	  0,
	  0,
	  false },
	{ "two such columns are not sure",
	  { .text = "src_ip,dst_ip\n192.0.2.7,192.0.2.9\n" },
	  LIST_PLAIN,
	  NULL,
	  0,
	  0,
	  false },
	{ "a zone",
	  { .text = "$TIMESTAMP 2026:01:01:00:00:00\n10.1\n" },
	  LIST_RBLDNSD,
	  NULL,
	  0,
	  1767225600,
	  false },
	{ "a zone of IPv6",
	  { .text = ":2:x\n2001:db8:1:2\n!2001:db8:1:2::5\n" },
	  LIST_IP6TRIE,
	  NULL,
	  0,
	  0,
	  false },
	{ "data sets of both",
	  { .text = "$DATASET ip6trie @\n::1\n$DATASET ip4set @\n10.1\n" },
	  LIST_RBLDNSD,
	  NULL,
	  0,
	  0,
	  false },
};

static void test_facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(facts_cases); i++) {
		struct list_image *image = NULL;
		struct list_facts facts;
		const char *why = "";

		if (parse(&facts_cases[i].read, &image, &facts, &why))
			fail_msg("%s: %s", facts_cases[i].name, why);
		if (facts.format != facts_cases[i].format ||
		    facts.declared != facts_cases[i].declared ||
		    facts.declares != !!facts_cases[i].declared ||
		    facts.stamp_s != facts_cases[i].stamp_s ||
		    facts.last_line_complete == facts_cases[i].incomplete ||
		    !facts.cut != !facts_cases[i].cut ||
		    (facts.cut && !strstr(facts.cut, facts_cases[i].cut)))
			fail_msg("%s: %s, declares %u, stamp %llu, %s", facts_cases[i].name,
				 list_format_name(facts.format), (unsigned int)facts.declared,
				 facts.stamp_s, facts.cut ? facts.cut : "whole");
		list_image_free(image);
	}
}

static void test_facts_of_refused(void **state)
{
	struct format_case page = { .text = " <html>\n" };
	struct list_image *image = NULL;
	struct list_facts facts;
	const char *why;

	(void)state;
	assert_int_equal(parse(&page, &image, &facts, &why), -EBADMSG);
	assert_true(facts.web_page);
	assert_int_equal(facts.format, LIST_AUTO);
}

/* ---------------------------------------------------------------- the line that lists */

static const struct {
	const char *name;
	enum list_format format;
	const char *codes, *text, *address;
	size_t number; /* 0: none */
	__u32 code;
	const char *said;
} line_cases[] = {
	{ "plain", LIST_PLAIN, NULL, "# x\n192.0.2.0/24 ; SBL1\n192.0.2.7  x\n", "192.0.2.7", 3, 0,
	  "192.0.2.7  x" },
	{ "plain, by the wider one", LIST_PLAIN, NULL, "192.0.2.0/24 ; SBL1\n192.0.2.7\n",
	  "192.0.2.8", 1, 0, "192.0.2.0/24 ; SBL1" },
	{ "not listed", LIST_PLAIN, NULL, "192.0.2.0/24\n", "192.0.3.1", 0, 0, NULL },
	{ "other family", LIST_PLAIN, NULL, "192.0.2.0/24\n", "2001:db8::1", 0, 0, NULL },
	{ "zone, its default", LIST_RBLDNSD, NULL, ":5:IP $ is listed for $$\n192.0.2.7\n",
	  "192.0.2.7", 2, 0x7f000005, "IP 192.0.2.7 is listed for $" },
	{ "zone, its own text", LIST_RBLDNSD, NULL, "192.0.2/24 :3:net\n192.0.2.7 =spam\xfc\n",
	  "192.0.2.7", 2, 0x7f000002, "spam?" },
	{ "zone, with a filter", LIST_RBLDNSD, "127.0.0.3",
	  "192.0.2/24 :3:net\n192.0.3.7 :4:host\n", "192.0.2.7", 1, 0x7f000003, "net" },
	{ "trie", LIST_IP4TRIE, NULL, "192.0.2/24 :3:net\n192.0.2.0/30 :4:few\n", "192.0.2.3", 2,
	  0x7f000004, "few" },
	{ "IPv6", LIST_IP6TRIE, NULL, "2001:db8::/32 :3:see $\n", "2001:db8::5", 1, 0x7f000003,
	  "see 2001:db8::5" },
	{ "tset", LIST_IP4TSET, NULL, ":3:x\n192.0.2.7\n", "192.0.2.7", 2, 0x7f000003, "x" },
	{ "ip6tset", LIST_IP6TSET, NULL, "1:2:3:4\n", "1:2:3:4::9", 1, 0x7f000002, "" },
	{ "JSON", LIST_JSON, NULL, "[\"192.0.2.1\",\n\"192.0.2.7\"]", "192.0.2.7", 2, 0,
	  "192.0.2.7" },
	{ "RPZ", LIST_RPZ, NULL, "32.7.2.0.192.rpz-ip CNAME .\n", "192.0.2.7", 1, 0,
	  "32.7.2.0.192.rpz-ip CNAME ." },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(line_cases); i++) {
		struct list_codes codes = { 0 };
		struct parse_settings settings = { .format = line_cases[i].format,
						   .codes = &codes };
		struct list_line line = { 0 };
		struct prefix prefix;
		const char *why;
		int error;

		if (line_cases[i].codes)
			assert_int_equal(codes_add(&codes, line_cases[i].codes, &why), 0);
		assert_int_equal(prefix_parse(line_cases[i].address, NULL, 0, &prefix, &why), 0);
		error = list_find_line(line_cases[i].text, strlen(line_cases[i].text), &settings,
				       &prefix.address, &line);
		if (error != (line_cases[i].number ? 0 : -ENOENT) ||
		    (!error &&
		     (line.number != line_cases[i].number || line.code != line_cases[i].code ||
		      strcmp(line.text, line_cases[i].said) != 0)))
			fail_msg("%s: %d, line %zu: %x, '%s'", line_cases[i].name, error,
				 line.number, line.code, line.text);
	}
}

/* What decides how bytes are read makes another digest. */
static void test_digest(void **state)
{
	struct list_codes codes = { 0 };
	const struct parse_settings all[] = { { .format = LIST_AUTO },
					      { .format = LIST_RPZ },
					      { .column = "a" },
					      { .member = "a" },
					      { .codes = &codes } };
	const char *why;

	(void)state;
	assert_int_equal(codes_add(&codes, "127.0.0.2", &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t j = 0; j < i; j++)
			assert_true(parse_settings_digest(1, &all[i]) !=
				    parse_settings_digest(1, &all[j]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop),   cmocka_unit_test(test_columns),
		cmocka_unit_test(test_rpz),    cmocka_unit_test(test_json),
		cmocka_unit_test(test_zones),  cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_codes),  cmocka_unit_test(test_facts),
		cmocka_unit_test(test_lines),  cmocka_unit_test(test_facts_of_refused),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
