// SPDX-License-Identifier: GPL-2.0-only
/*
 * rbldnsd zones with ip4set data, read as rbldnsd 1.0 itself reads them.
 *
 * In: text. Out: ranges, less what the zone excludes. What a zone would answer (A, TXT, SOA, NS,
 * TTL) is only looked at where it decides whether rbldnsd takes the line.
 *
 * rbldnsd expands each entry into /8, /16, /24 and /32 (as few as there can be). Of those that
 * cover an address the most specific ones decide, and among them an exclusion wins. So an entry
 * loses, at each of its levels, what is excluded at that level or at a more specific one.
 */
#include "user/lists/reading.h"
#include "user/lists/wide.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { LEVEL_32, LEVEL_24, LEVEL_16, LEVEL_8, LEVELS };
#define PIECES (2 * LEVELS - 1)

struct piece {
	__u32 first, last;
	unsigned int level;
};

struct zone {
	struct ranges listed;
	struct ranges excluded[LEVELS];
	__u64 max_range; /* addresses; 0: no bound */
	time_t now, expires;
	bool entries;	   /* an entry or a default was seen before any $DATASET */
	bool datasets;	   /* there are $DATASET lines */
	bool dataset_base; /* the one at hand belongs to the zone itself */
	bool any_base;
};

/* ---------------------------------------------------------------- levels */

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

/* Each level excludes what the more specific ones do, too; no level lists the test records. */
static int exclusions_settle(struct zone *zone)
{
	int error = ranges_add4(&zone->excluded[LEVEL_32], 0x7f000000, 0x7fffffff);

	for (int level = LEVEL_32; level < LEVELS && !error; level++) {
		const struct ranges *below = level ? &zone->excluded[level - 1] : NULL;

		for (size_t i = 0; below && i < below->count4 && !error; i++)
			error = ranges_add4(&zone->excluded[level], below->ranges4[i].first,
					    below->ranges4[i].last);
		if (!error)
			error = ranges_settle(&zone->excluded[level]);
	}
	return error;
}

/* What the data set at hand lists goes to `out`; an entry that no exclusion touches stays whole. */
static int dataset_finish(struct zone *zone, struct ranges *out)
{
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
	ranges_release(&zone->listed);
	for (int level = 0; level < LEVELS; level++)
		ranges_release(&zone->excluded[level]);
	return error;
}

/* ---------------------------------------------------------------- entries */

static __u32 mask4(unsigned int bits)
{
	return bits ? ~0U << (32 - bits) : 0;
}

/* One to four octets; returns the bits that they are, or 0. Leading zeros are decimal. */
static unsigned int scan_octets(struct scan *scan, __u32 *out)
{
	unsigned int bits = 0;
	__u32 octet;

	*out = 0;
	do {
		if (!scan_digit(scan))
			return 0;
		for (octet = 0; scan_digit(scan); scan->at++) {
			octet = octet * 10 + (*scan->at - '0');
			if (octet > 255)
				return 0;
		}
		bits += 8;
		*out |= octet << (32 - bits);
	} while (bits < 32 && scan_take(scan, '.'));
	return bits;
}

static const char *scan_end(struct scan *scan, unsigned int bits, __u32 *first, __u32 *last)
{
	unsigned int bits_last = scan_octets(scan, last);

	if (!bits_last)
		return "invalid address";
	if (bits_last == 8) /* a lone number stands for the last octet that was given */
		*last = *last >> (bits - 8) | (*first & mask4(bits - 8));
	else if (bits_last != bits)
		return "invalid address: the ends of the range differ in octets";
	*last |= ~mask4(bits);
	return *first > *last ? "invalid address: the range ends before it begins" : NULL;
}

static const char *scan_bits(struct scan *scan, __u32 *first, __u32 *last)
{
	unsigned int bits = 0;

	if (!scan_digit(scan))
		return "invalid address: no prefix length";
	for (; scan_digit(scan); scan->at++) {
		bits = bits * 10 + (*scan->at - '0');
		if (bits > 32)
			return "invalid address: the prefix length is over 32";
	}
	if (!bits)
		return "invalid address: /0";
	if (*first & ~mask4(bits))
		return "invalid address: bits set beyond the prefix length";
	*last = *first | ~mask4(bits);
	return NULL;
}

static const char *scan_range(struct scan *scan, __u32 *first, __u32 *last)
{
	unsigned int bits = scan_octets(scan, first);
	const char *why = NULL;

	if (!bits)
		return "invalid address";
	if (scan_take(scan, '-'))
		why = scan_end(scan, bits, first, last);
	else if (scan_take(scan, '/'))
		why = scan_bits(scan, first, last);
	else if (bits == 8)
		why = "invalid address: a lone number";
	else
		*last = *first | ~mask4(bits);
	if (!why && !scan_done(scan) && !scan_blank(scan) && !scan_at(scan, ':'))
		why = "invalid address";
	return why;
}

/* ":A:TXT", ":A", or TXT, as far as rbldnsd refuses it. */
static const char *check_value(struct scan *scan)
{
	__u32 address;
	unsigned int bits;

	if (!scan_take(scan, ':'))
		return NULL;
	bits = scan_octets(scan, &address);
	if (!bits || !address)
		return "invalid A value";
	scan_skip_blanks(scan);
	if (scan->at < scan->end && *scan->at != ':')
		return "unrecognised value behind the entry";
	return NULL;
}

static int zone_entry(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	bool excluded = scan_take(scan, '!');
	struct piece pieces[PIECES];
	unsigned int count;
	const char *why;
	__u32 first, last;
	int error = 0;

	if (excluded)
		scan_skip_blanks(scan);
	why = scan_range(scan, &first, &last);
	if (!why && zone->max_range && (__u64)last - first >= zone->max_range)
		why = "larger than the zone's own $MAXRANGE4";
	if (!why && !excluded && reading->settings->foreign &&
	    range_wide(&(struct gate25_source){ .family = 4, .lo = first },
		       &(struct gate25_source){ .family = 4, .lo = last }))
		why = READING_TOO_WIDE;
	if (!why && !excluded) {
		scan_skip_blanks(scan);
		why = scan_done(scan) ? NULL : check_value(scan);
	}
	if (why)
		return reading_bad(reading, why);
	if (!excluded)
		return ranges_add4(&zone->listed, first, last);
	count = expand(first, last, pieces);
	for (unsigned int i = 0; i < count && !error; i++)
		error = ranges_add4(&zone->excluded[pieces[i].level], pieces[i].first,
				    pieces[i].last);
	return error;
}

/* ---------------------------------------------------------------- specials */

/* A number and what follows it behind blanks; false if there is none, or something else follows. */
static bool scan_number(struct scan *scan, __u64 *out)
{
	__u64 number = 0;

	if (!scan_digit(scan))
		return false;
	for (; scan_digit(scan); scan->at++) {
		number = number * 10 + (*scan->at - '0');
		if (number > 0xffffffff)
			return false;
	}
	*out = number;
	return true;
}

static bool scan_word_end(struct scan *scan)
{
	if (scan->at < scan->end && !scan_blank(scan))
		return false;
	scan_skip_blanks(scan);
	return true;
}

static const char *special_max_range(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	bool prefix = scan_take(scan, '/');
	__u64 number;

	if (!scan_number(scan, &number) || scan->at < scan->end || !number ||
	    (prefix && number > 32))
		return "$MAXRANGE4 without a number of addresses or a prefix length";
	if (prefix)
		number = 1ULL << (32 - number);
	if (!zone->max_range || number < zone->max_range)
		zone->max_range = number;
	return NULL;
}

/* "2026:07:06:18:13:00", also with '-' or nothing between; "0" or "-" is none. */
static bool scan_timestamp(struct scan *scan, time_t *out)
{
	static const struct {
		int digits, low, high;
	} fields[] = { { 4, 1970, 2038 }, { 2, 1, 12 }, { 2, 1, 31 },
		       { 2, 0, 23 },	  { 2, 0, 59 }, { 2, 0, 59 } };
	int values[6] = {}, digits;
	struct tm tm;

	*out = 0;
	if (scan->at < scan->end && strchr("0-:", *scan->at) &&
	    (scan->at + 1 == scan->end || scan->at[1] == ' ' || scan->at[1] == '\t')) {
		scan->at++;
		return scan_word_end(scan);
	}
	for (int i = 0; i < 6 && (i < 3 || (scan->at < scan->end && !scan_blank(scan))); i++) {
		if (!scan_digit(scan))
			return false;
		for (digits = 0; scan_digit(scan) && digits < fields[i].digits; digits++)
			values[i] = values[i] * 10 + (*scan->at++ - '0');
		if (values[i] < fields[i].low || values[i] > fields[i].high)
			return false;
		if (!scan_take(scan, ':'))
			scan_take(scan, '-');
	}
	tm = (struct tm){ .tm_year = values[0] - 1900,
			  .tm_mon = values[1] - 1,
			  .tm_mday = values[2],
			  .tm_hour = values[3],
			  .tm_min = values[4],
			  .tm_sec = values[5] };
	*out = timegm(&tm);
	return scan_word_end(scan) &&
	       tm.tm_mday == values[2]; /* timegm() turns 31 June to 1 July */
}

/* "3600", "2h": seconds. */
static bool scan_duration(struct scan *scan, __u64 *out)
{
	static const struct {
		char unit;
		__u32 seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

	if (!scan_number(scan, out))
		return false;
	for (size_t i = 0; scan->at < scan->end && i < sizeof(units) / sizeof(units[0]); i++) {
		if (tolower((unsigned char)*scan->at) == units[i].unit) {
			*out *= units[i].seconds;
			scan->at++;
			break;
		}
	}
	return *out <= 0xffffffff && scan_word_end(scan);
}

static const char *special_timestamp(struct reading *reading, struct scan *scan)
{
	static const char malformed[] = "$TIMESTAMP that is none";
	struct zone *zone = reading->format;
	time_t stamp, expires = 0;
	__u64 seconds;

	if (!scan_timestamp(scan, &stamp))
		return malformed;
	if (scan_take(scan, '+')) {
		if (!scan_duration(scan, &seconds) || !stamp || !seconds)
			return malformed;
		expires = stamp + (time_t)seconds;
	} else if (scan->at < scan->end && !scan_timestamp(scan, &expires)) {
		return malformed;
	}
	if (scan->at < scan->end)
		return malformed;
	if (stamp > zone->now)
		return reading_refuse(reading,
				      "its $TIMESTAMP lies in the future: is the clock right?");
	if (expires && (!zone->expires || expires < zone->expires))
		zone->expires = expires;
	return NULL;
}

/* The next word of a $DATASET line; a comment begins a word. */
static bool scan_word(struct scan *scan, const char **word, size_t *length)
{
	scan_skip_blanks(scan);
	if (scan_done(scan))
		return false;
	*word = scan->at;
	while (scan->at < scan->end && !scan_blank(scan))
		scan->at++;
	*length = scan->at - *word;
	return true;
}

/* "$DATASET ip4set:name subzone…": only what is for the zone itself ("@") is what it lists. */
static const char *special_dataset(struct reading *reading, struct scan *scan)
{
	static const char type[] = "ip4set";
	struct zone *zone = reading->format;
	const char *word;
	size_t length;

	if (zone->entries && !zone->datasets)
		return reading_refuse(reading, "entries stand before its first $DATASET");
	if (!scan_word(scan, &word, &length) || length < sizeof(type) - 1 ||
	    memcmp(word, type, sizeof(type) - 1) != 0 ||
	    (length > sizeof(type) - 1 && word[sizeof(type) - 1] != ':'))
		return reading_refuse(reading, "it has a $DATASET of another type than ip4set");
	if (zone->dataset_base)
		reading->error = dataset_finish(zone, &reading->ranges);
	if (reading->error)
		return NULL;
	zone->datasets = true;
	zone->dataset_base = false;
	while (scan_word(scan, &word, &length))
		zone->dataset_base |= length == 1 && *word == '@';
	zone->any_base |= zone->dataset_base;
	return NULL;
}

static const char *special_ignored(struct reading *reading, struct scan *scan)
{
	(void)reading;
	(void)scan;
	return NULL;
}

static const struct {
	const char *word;
	const char *(*read)(struct reading *reading, struct scan *scan);
} specials[] = {
	{ "soa", special_ignored },	    { "ns", special_ignored },
	{ "nameserver", special_ignored },  { "ttl", special_ignored },
	{ "maxrange4", special_max_range }, { "timestamp", special_timestamp },
	{ "dataset", special_dataset },	    { "=", special_ignored },
};

/* Behind the '$'. True if it is one; it may be a bad one then. */
static bool special_find(struct scan *scan, size_t *index)
{
	const char *word = scan->at;
	size_t length = 0;

	while (scan->at < scan->end && !scan_blank(scan))
		scan->at++;
	length = scan->at - word;
	if (scan->at == scan->end)
		return false;
	scan_skip_blanks(scan);
	for (*index = 0; *index < sizeof(specials) / sizeof(specials[0]); ++*index) {
		if (strlen(specials[*index].word) == length &&
		    !strncasecmp(word, specials[*index].word, length))
			return true;
	}
	*index = 0; /* $0 to $9 hold texts, and are ignored like $SOA */
	return length == 1 && *word >= '0' && *word <= '9';
}

static bool at_special(const struct scan *scan)
{
	return scan_at(scan, '$') || (scan->end - scan->at > 1 && scan->at[1] == '$' &&
				      (scan_done(scan) || scan_at(scan, ':')));
}

static int zone_special(struct reading *reading, struct scan *scan)
{
	bool comment = scan_done(scan);
	const char *why;
	size_t index;

	scan->at += *scan->at == '$' ? 1 : 2;
	if (!special_find(scan, &index)) {
		if (comment) /* "#$Id: zone 1.7 $" is one */
			return 0;
		why = "a special line that is not known";
	} else {
		why = specials[index].read(reading, scan);
	}
	reading->lines++;
	if (reading->error)
		return reading->error;
	return why ? reading_bad(reading, why) : 0;
}

/* ---------------------------------------------------------------- zone */

static int zone_line(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	const char *why;

	if (at_special(scan))
		return zone_special(reading, scan);
	if (scan_done(scan))
		return 0;
	reading->lines++;
	zone->entries = true;
	if (memchr(scan->at, 0, scan->end - scan->at))
		return reading_bad(reading, "a NUL byte");
	if (scan_at(scan, ':')) { /* the default value of the entries that follow */
		why = check_value(scan);
		return why ? reading_bad(reading, why) : 0;
	}
	if (zone->datasets && !zone->dataset_base)
		return 0;
	return zone_entry(reading, scan);
}

static int zone_read(struct reading *reading, const char *text, size_t length)
{
	struct zone *zone = reading->format;
	int error = reading_lines(reading, text, length, zone_line);

	if (error)
		return error;
	if (zone->datasets && !zone->any_base)
		reading_refuse(reading, "none of its $DATASETs is for the zone itself (@)");
	if (zone->expires && zone->expires < zone->now)
		reading_refuse(reading, "its $TIMESTAMP says that it has expired");
	if (reading->error)
		return reading->error;
	return !zone->datasets || zone->dataset_base ? dataset_finish(zone, &reading->ranges) : 0;
}

int rbldnsd_read(struct reading *reading, const char *text, size_t length)
{
	__u64 now_s = reading->settings->now_s;
	struct zone *zone = calloc(1, sizeof(*zone));
	int error;

	if (!zone)
		return -ENOMEM;
	zone->now = now_s ? (time_t)now_s : time(NULL);
	reading->format = zone;
	error = zone_read(reading, text, length);
	ranges_release(&zone->listed);
	for (int level = 0; level < LEVELS; level++)
		ranges_release(&zone->excluded[level]);
	free(zone);
	reading->format = NULL;
	return error;
}

/* ---------------------------------------------------------------- detection */

#define DETECT_LINES 10000

static int detect_line(struct reading *reading, struct scan *scan)
{
	size_t index;

	if (++reading->lines > DETECT_LINES)
		return -ERANGE;
	if (scan_at(scan, '!'))
		return 1;
	if (scan_at(scan, ':') && scan->end - scan->at > 1 && scan->at[1] >= '0' &&
	    scan->at[1] <= '9')
		return 1; /* no IPv6 address begins with a single colon */
	if (!at_special(scan))
		return 0;
	scan->at += *scan->at == '$' ? 1 : 2;
	return special_find(scan, &index) ? 1 : 0;
}

bool rbldnsd_detect(const char *text, size_t length)
{
	struct reading reading = {};

	return reading_lines(&reading, text, length, detect_line) == 1;
}
