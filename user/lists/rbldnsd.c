// SPDX-License-Identifier: GPL-2.0-only
/*
 * rbldnsd's zones, read as rbldnsd 1.0 itself reads them.
 *
 * In: text. Out: ranges, less what the zone excludes. Here are its lines, specials and data sets;
 * what an entry means is the business of the data set's type (zone_types.c). What a zone would
 * answer beside A and TXT (SOA, NS, TTL) is not looked at.
 */
#include "user/lists/zone.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct zone_value value_none = { .code = ZONE_CODE, .text = "" };

/* ---------------------------------------------------------------- data sets */

static void dataset_release(struct zone *zone)
{
	ranges_release(&zone->listed);
	for (int level = 0; level < LEVELS; level++) {
		ranges_release(&zone->excluded[level]);
		ranges_release(&zone->others[level]);
	}
	longest_release(&zone->longest);
}

static void dataset_begin(struct zone *zone, const struct zone_type *type)
{
	zone->type = type;
	zone->value = value_none;
	zone->value_set = false;
}

static int dataset_finish(struct reading *reading)
{
	struct zone *zone = reading->format;
	int error = zone->type->finish(reading);

	dataset_release(zone);
	return error;
}

/* ":A:TXT" alone on a line: of the entries that follow, or of all where there is one for all. */
static int dataset_value(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	struct zone_value value;
	const char *why;

	if (zone->type->one_value && zone->value_set)
		return 0;
	why = scan_value(scan, &value_none, &value);
	if (why)
		return reading_bad(reading, why);
	zone->value = value;
	zone->value_set = true;
	return 0;
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
	if (stamp > 0 && (__u64)stamp > reading->facts.stamp_s)
		reading->facts.stamp_s = stamp;
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

static const struct zone_type *type_find(const char *word, size_t length)
{
	const char *colon = memchr(word, ':', length);

	if (colon)
		length = colon - word;
	for (const struct zone_type *type = zone_types; type->name; type++)
		if (strlen(type->name) == length && !memcmp(type->name, word, length))
			return type;
	return NULL;
}

/* "$DATASET ip4set:name subzone…": only what is for the zone itself ("@") is what it lists. */
static const char *special_dataset(struct reading *reading, struct scan *scan)
{
	struct zone *zone = reading->format;
	const struct zone_type *type = NULL;
	const char *word;
	size_t length;

	if (reading->facts.format != LIST_RBLDNSD)
		return "$DATASET in a zone of one type";
	if (zone->entries && !zone->datasets)
		return reading_refuse(reading, "entries stand before its first $DATASET");
	if (scan_word(scan, &word, &length))
		type = type_find(word, length);
	if (!type)
		return reading_refuse(reading, "it has a $DATASET of a type that is not known");
	if (zone->dataset_base)
		reading->error = dataset_finish(reading);
	if (reading->error)
		return NULL;
	dataset_begin(zone, type);
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
	const struct zone_type *type = zone->type;

	if (at_special(scan))
		return zone_special(reading, scan);
	if (scan_done(scan))
		return 0;
	reading->lines++;
	zone->entries = true;
	if ((zone->datasets && !zone->dataset_base) || !type->entry) {
		reading->facts.left_out++;
		return 0;
	}
	if (memchr(scan->at, 0, scan->end - scan->at))
		return reading_bad(reading, "a NUL byte");
	if (scan_at(scan, ':') &&
	    !(type->colon_starts && scan->end - scan->at > 1 && scan->at[1] == ':'))
		return dataset_value(reading, scan);
	return type->entry(reading, scan);
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
	return !zone->datasets || zone->dataset_base ? dataset_finish(reading) : 0;
}

int rbldnsd_read(struct reading *reading, const char *text, size_t length)
{
	__u64 now_s = reading->settings->now_s;
	struct zone *zone = calloc(1, sizeof(*zone));
	const struct zone_type *type = zone_types;
	int error;

	if (!zone)
		return -ENOMEM;
	while (type->format != reading->facts.format)
		type++;
	dataset_begin(zone, type);
	zone->now = now_s ? (time_t)now_s : time(NULL);
	reading->format = zone;
	error = zone_read(reading, text, length);
	dataset_release(zone);
	free(zone);
	reading->format = NULL;
	return error;
}

/* ---------------------------------------------------------------- detection */

#define DETECT_LINES 10000

/* What only a zone has: an exclusion, a default value, a special. */
static bool zone_mark(struct scan scan, bool *datasets)
{
	size_t index;

	if (scan_at(&scan, '!'))
		return true;
	if (scan_at(&scan, ':') && scan.end - scan.at > 1 && scan.at[1] >= '0' && scan.at[1] <= '9')
		return true; /* no IPv6 address begins with a single colon */
	if (!at_special(&scan))
		return false;
	scan.at += *scan.at == '$' ? 1 : 2;
	if (!special_find(&scan, &index))
		return false;
	*datasets |= specials[index].read == special_dataset;
	return true;
}

struct marks {
	bool zone;
	bool entry, first6; /* there is one, and the first is one of IPv6 */
	bool datasets;	    /* which say themselves what they are */
};

static int detect_line(struct reading *reading, struct scan *scan)
{
	struct marks *marks = reading->format;
	struct gate25_source address;

	if (++reading->lines > DETECT_LINES)
		return -ERANGE;
	marks->zone |= zone_mark(*scan, &marks->datasets);
	if (marks->datasets)
		return 1;
	if (marks->entry || scan_done(scan) || at_special(scan))
		return marks->zone && marks->entry;
	if (scan_take(scan, '!'))
		scan_skip_blanks(scan);
	if (scan_at(scan, ':') && !(scan->end - scan->at > 1 && scan->at[1] == ':'))
		return 0;
	marks->entry = true;
	marks->first6 = scan_groups(scan, &address) > 16 && scan_address_ends(scan);
	return marks->zone;
}

/* A trie of IPv6 takes whatever a set of IPv6 holds, and means the same by it. */
enum list_format rbldnsd_detect(const char *text, size_t length)
{
	struct marks marks = { 0 };
	struct reading reading = { .format = &marks };

	reading_lines(&reading, text, length, detect_line);
	if (!marks.zone)
		return LIST_AUTO;
	return marks.first6 && !marks.datasets ? LIST_IP6TRIE : LIST_RBLDNSD;
}
