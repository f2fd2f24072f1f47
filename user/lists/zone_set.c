// SPDX-License-Identifier: GPL-2.0-only
/*
 * rbldnsd's ip4set.
 *
 * In: entries and exclusions. Out: ranges, less what is excluded.
 *
 * rbldnsd expands each entry into /8, /16, /24 and /32 (as few as there can be). Of those that
 * cover an address the most specific ones decide, and among them an exclusion wins. So an entry
 * loses, at each of its levels, what is excluded at that level or at a more specific one, and what
 * is listed at a more specific one with a code that nobody asked for.
 */
#include "user/lists/zone.h"

#define PIECES (2 * LEVELS - 1)

struct piece {
	__u32 first, last;
	unsigned int level;
};

/* How rbldnsd expands a range: at most two pieces a level, ends first. */
static unsigned int expand(__u32 range_first, __u32 range_last, struct piece pieces[PIECES])
{
	__s64 first = range_first, last = range_last; /* in blocks of the level */
	unsigned int count = 0, level, shift;

#define PIECE(from, to, at)                                                                        \
	(pieces[count++] = (struct piece){ (from) << shift, (((to) + 1) << shift) - 1, at })
	for (level = LEVEL_32; level < LEVEL_8; level++) {
		shift = 8 * level;
		if ((first | 255) >= last) { /* what is left lies in one block of the next level */
			if (last - first == 255)
				PIECE(first, last, level + 1);
			else if (first <= last)
				PIECE(first, last, level);
			return count;
		}
		if (first & 255)
			PIECE(first, first | 255, level);
		if ((last & 255) != 255)
			PIECE(last & ~255LL, last, level);
		first = (first + 255) >> 8;
		last = ((last + 1) >> 8) - 1;
	}
	shift = 8 * LEVEL_8;
	if (first <= last)
		PIECE(first, last, LEVEL_8);
#undef PIECE
	return count;
}

/* The first hole that does not end before `address`; `excluded` is settled. */
static size_t hole_find(const struct ranges *excluded, __u32 address)
{
	size_t low = 0, high = excluded->count4, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (excluded->ranges4[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool touches(const struct range4 *range, const struct ranges *excluded)
{
	size_t hole = hole_find(excluded, range->first);

	return hole < excluded->count4 && excluded->ranges4[hole].first <= range->last;
}

/* Adds [first, last] without what is excluded. */
static int subtract(struct ranges *out, __u32 first, __u32 last, const struct ranges *excluded)
{
	const struct range4 *hole = excluded->ranges4 + hole_find(excluded, first);
	const struct range4 *end = excluded->ranges4 + excluded->count4;
	__u64 from = first;
	int error = 0;

	for (; hole < end && hole->first <= last && !error; hole++) {
		if (hole->first > from)
			error = ranges_add4(out, from, hole->first - 1);
		from = (__u64)hole->last + 1;
	}
	if (!error && from <= last)
		error = ranges_add4(out, from, last);
	return error;
}

static int ranges_join(struct ranges *to, const struct ranges *from)
{
	int error = 0;

	for (size_t i = 0; i < from->count4 && !error; i++)
		error = ranges_add4(to, from->ranges4[i].first, from->ranges4[i].last);
	return error;
}

/* Each level excludes what the more specific ones do, too; no level lists the test records. */
static int exclusions_settle(struct zone *zone)
{
	int error = ranges_add4(&zone->excluded[LEVEL_32], ZONE_TEST_FIRST, ZONE_TEST_LAST);

	for (int level = LEVEL_32; level < LEVELS && !error; level++) {
		if (level) {
			error = ranges_join(&zone->excluded[level], &zone->excluded[level - 1]);
			if (!error)
				error = ranges_join(&zone->excluded[level],
						    &zone->others[level - 1]);
		}
		if (!error)
			error = ranges_settle(&zone->excluded[level]);
	}
	return error;
}

/* An entry that no exclusion touches stays whole. */
int set_finish(struct reading *reading)
{
	struct zone *zone = reading->format;
	struct ranges *out = &reading->ranges;
	struct piece pieces[PIECES];
	unsigned int count;
	int error = exclusions_settle(zone);

	for (size_t i = 0; i < zone->listed.count4 && !error; i++) {
		const struct range4 *range = &zone->listed.ranges4[i];

		if (!touches(range, &zone->excluded[LEVEL_8])) {
			error = ranges_add4(out, range->first, range->last);
			continue;
		}
		count = expand(range->first, range->last, pieces);
		for (unsigned int j = 0; j < count && !error; j++)
			error = subtract(out, pieces[j].first, pieces[j].last,
					 &zone->excluded[pieces[j].level]);
	}
	return error;
}

/* ---------------------------------------------------------------- entries */

/* Pieces of [first, last] go to the sets of their levels. */
static int levels_add(struct ranges levels[LEVELS], __u32 first, __u32 last)
{
	struct piece pieces[PIECES];
	unsigned int count = expand(first, last, pieces);
	int error = 0;

	for (unsigned int i = 0; i < count && !error; i++)
		error = ranges_add4(&levels[pieces[i].level], pieces[i].first, pieces[i].last);
	return error;
}

static void levels_note(struct reading *reading, __u32 first, __u32 last,
			const struct zone_value *value)
{
	struct piece pieces[PIECES];
	unsigned int count = expand(first, last, pieces);

	for (unsigned int i = 0; i < count; i++)
		zone_note(reading, &(struct gate25_source){ .family = 4, .lo = pieces[i].first },
			  &(struct gate25_source){ .family = 4, .lo = pieces[i].last },
			  LEVELS - pieces[i].level, value);
}

int set_entry(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	bool excluded = scan_take(scan, '!');
	struct zone_value value = zone->value;
	const char *why;
	__u32 first, last;

	if (excluded)
		scan_skip_blanks(scan);
	why = scan_range(scan, &first, &last);
	if (!why && zone->max_range && (__u64)last - first >= zone->max_range)
		why = "larger than the zone's own $MAXRANGE4";
	if (!why && !excluded &&
	    reading_wide(reading, (struct gate25_source){ .family = 4, .lo = first },
			 (struct gate25_source){ .family = 4, .lo = last }))
		why = READING_TOO_WIDE;
	if (!why && !excluded)
		why = scan_entry_value(scan, &zone->value, &value);
	if (why)
		return reading_bad(reading, why);
	if (excluded)
		return levels_add(zone->excluded, first, last);
	if (!zone_wants(reading, &value)) {
		reading->facts.left_out++;
		return levels_add(zone->others, first, last);
	}
	if (reading->wanted)
		levels_note(reading, first, last, &value);
	return ranges_add4(&zone->listed, first, last);
}
