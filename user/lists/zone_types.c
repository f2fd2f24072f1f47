// SPDX-License-Identifier: GPL-2.0-only
/*
 * The types of rbldnsd's data sets, but for ip4set (zone_set.c).
 *
 * In: lines. Out: ranges. In the tries the longest prefix decides, and of exact duplicates the
 * first. The tsets hold hosts (ip6tset: /64, and exclusions of /128) with one value for all.
 */
#include "user/lists/zone.h"

#include <stdio.h>

#define HOST_RANK 129 /* what is as specific as can be */

bool zone_wants(const struct reading *reading, const struct zone_value *value)
{
	const struct list_codes *codes = reading->settings->codes;

	return !codes || codes_match(codes, value->code);
}

/* ---------------------------------------------------------------- the line that is looked for */

/* A zone's TXT: "$" is the address, "$$" a dollar; a "=" in front only concerns templates. */
static size_t text_fill(const struct zone_value *value, const char *address,
			char out[LIST_LINE_TEXT])
{
	const char *at = value->text, *end = value->text + value->length;
	size_t length = 0;

	if (value->length && *at == '=')
		at++;
	for (; at < end && length < LIST_LINE_TEXT - PREFIX_TEXT; at++) {
		if (*at != '$') {
			out[length++] = *at;
		} else if (at + 1 < end && at[1] == '$') {
			out[length++] = '$';
			at++;
		} else {
			length += snprintf(out + length, LIST_LINE_TEXT - length, "%s", address);
		}
	}
	return length;
}

void zone_note(struct reading *reading, const struct gate25_source *first,
	       const struct gate25_source *last, unsigned int rank, const struct zone_value *value)
{
	char text[LIST_LINE_TEXT], address[PREFIX_TEXT];

	if (!reading->wanted)
		return;
	address_format(&reading->wanted->address, address);
	reading_note(reading, *first, *last, rank, value->code, text,
		     text_fill(value, address, text));
}

/* ---------------------------------------------------------------- what is listed */

int zone_keep4(struct reading *reading, __u32 first, __u32 last)
{
	int error = 0;

	if (first < ZONE_TEST_FIRST)
		error = ranges_add4(&reading->ranges, first,
				    last < ZONE_TEST_FIRST ? last : ZONE_TEST_FIRST - 1);
	if (!error && last > ZONE_TEST_LAST)
		error = ranges_add4(&reading->ranges,
				    first > ZONE_TEST_LAST ? first : ZONE_TEST_LAST + 1, last);
	return error;
}

static int keep(void *context, const struct gate25_source *first, const struct gate25_source *last)
{
	struct reading *reading = context;

	return first->family == 4 ? zone_keep4(reading, first->lo, last->lo) :
				    reading_keep(reading, first, last);
}

/* ---------------------------------------------------------------- tries */

static int trie_finish(struct reading *reading)
{
	struct zone *zone = reading->format;

	return longest_finish(&zone->longest, keep, reading);
}

/* Of what is left of the line behind the prefix. */
static int trie_add(struct reading *reading, struct scan *scan, const struct prefix *prefix,
		    bool excluded)
{
	struct zone *zone = reading->format;
	struct gate25_source last = prefix_last(prefix);
	struct zone_value value = zone->value;
	bool listed = !excluded;
	const char *why = NULL;

	if (!excluded && reading_wide(reading, prefix->address, last))
		why = READING_TOO_WIDE;
	if (!why && !excluded)
		why = scan_entry_value(scan, &zone->value, &value);
	if (why)
		return reading_bad(reading, why);
	if (listed && !zone_wants(reading, &value)) {
		reading->facts.left_out++;
		listed =
			false; /* another answer than the one asked for hides what is less specific */
	}
	if (listed)
		zone_note(reading, &prefix->address, &last, prefix->length + 1, &value);
	return longest_add(&zone->longest, &prefix->address, prefix->length, listed);
}

static int trie4_entry(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	bool excluded = scan_take(scan, '!');
	struct prefix prefix = { .address = { .family = 4 } };
	const char *why;
	__u32 first;

	if (excluded)
		scan_skip_blanks(scan);
	why = scan_cidr4(scan, &first, &prefix.length);
	if (!why && zone->max_range && (__u32)~mask4(prefix.length) >= zone->max_range)
		why = "larger than the zone's own $MAXRANGE4";
	if (why)
		return reading_bad(reading, why);
	prefix.address.lo = first;
	return trie_add(reading, scan, &prefix, excluded);
}

/*
 * A prefix of what carries IPv4 is one of IPv4, before anything is cut out of anything: what is left
 * of a wider one must not become IPv4 because it happens to end there.
 */
static void prefix_carried(const struct reading *reading, struct prefix *prefix)
{
	const struct parse_settings *settings = reading->settings;

	if (prefix->length < 96)
		return;
	address_normalise(&prefix->address, settings->translated, settings->translated_count);
	if (prefix->address.family == 4)
		prefix->length -= 96;
}

static int trie6_entry(struct reading *reading, struct scan *scan)
{
	bool excluded = scan_take(scan, '!');
	struct prefix prefix;
	const char *why;

	if (excluded)
		scan_skip_blanks(scan);
	why = scan_cidr6(scan, &prefix.address, &prefix.length);
	if (!why)
		prefix_carried(reading, &prefix);
	return why ? reading_bad(reading, why) : trie_add(reading, scan, &prefix, excluded);
}

/* ---------------------------------------------------------------- trivial sets */

/* What follows an address is not looked at. */
static int tset4_entry(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	struct gate25_source host = { .family = 4 };
	__u32 address;

	if (scan_octets(scan, &address) != 32 || !scan_address_ends(scan))
		return reading_bad(reading,
				   "not a whole IPv4 address, which is all an ip4tset takes");
	host.lo = address;
	zone_note(reading, &host, &host, HOST_RANK, &zone->value);
	return ranges_add4(&zone->listed, address, address);
}

static int tset4_finish(struct reading *reading)
{
	struct zone *zone = reading->format;
	int error = 0;

	if (!zone_wants(reading, &zone->value)) {
		reading->facts.left_out += zone->listed.count4;
		return 0;
	}
	for (size_t i = 0; i < zone->listed.count4 && !error; i++)
		error = zone_keep4(reading, zone->listed.ranges4[i].first,
				   zone->listed.ranges4[i].last);
	return error;
}

static int tset6_entry(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	bool excluded = scan_take(scan, '!');
	int wanted = excluded ? 128 : 64;
	struct prefix prefix;

	if (excluded)
		scan_skip_blanks(scan);
	if (scan_groups(scan, &prefix.address) != wanted || !scan_address_ends(scan))
		return reading_bad(reading,
				   excluded ? "not a whole IPv6 address, which is all that an "
					      "ip6tset excludes" :
					      "not four groups of an IPv6 address (a /64), which "
					      "is all an ip6tset takes");
	prefix.length = wanted;
	prefix_carried(reading, &prefix);
	if (!excluded) {
		struct gate25_source last = prefix_last(&prefix);

		zone_note(reading, &prefix.address, &last, HOST_RANK, &zone->value);
	}
	return longest_add(&zone->longest, &prefix.address, prefix.length, !excluded);
}

static int tset6_finish(struct reading *reading)
{
	struct zone *zone = reading->format;

	if (zone_wants(reading, &zone->value))
		return trie_finish(reading);
	reading->facts.left_out += zone->longest.count6;
	return 0;
}

static int nothing_finish(struct reading *reading)
{
	(void)reading;
	return 0;
}

const struct zone_type zone_types[] = {
	{ .name = "ip4set", .format = LIST_RBLDNSD, .entry = set_entry, .finish = set_finish },
	{ .name = "ip4tset",
	  .format = LIST_IP4TSET,
	  .one_value = true,
	  .entry = tset4_entry,
	  .finish = tset4_finish },
	{ .name = "ip4trie", .format = LIST_IP4TRIE, .entry = trie4_entry, .finish = trie_finish },
	{ .name = "ip6tset",
	  .format = LIST_IP6TSET,
	  .one_value = true,
	  .entry = tset6_entry,
	  .finish = tset6_finish },
	{ .name = "ip6trie",
	  .format = LIST_IP6TRIE,
	  .colon_starts = true,
	  .entry = trie6_entry,
	  .finish = trie_finish },
	{ .name = "dnset", .finish = nothing_finish }, /* names: nothing to block */
	{ .name = "generic", .finish = nothing_finish },
	{ 0 },
};
