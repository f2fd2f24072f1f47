/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the formats share while they read a list: the line at hand, the ranges found so far, and
 * what was bad. A format is a function over the whole text; it is named in the table of parse.c.
 */
#ifndef GATE25_LISTS_READING_H
#define GATE25_LISTS_READING_H

#include <stdbool.h>
#include <stddef.h>

#include "user/lists/parse.h"
#include "user/lists/ranges.h"

/* The line that lists an address, while it is looked for (list_find_line()). */
struct wanted_line {
	struct gate25_source address; /* normalised */
	unsigned int rank;	      /* 1 and more: how specific what was found is; 0: nothing */
	struct list_line *out;
};

struct reading {
	const struct parse_settings *settings;
	struct ranges ranges;
	struct list_facts facts;
	__u64 lines; /* that are more than blank or a comment */
	__u64 bad_lines;
	const char *text;	    /* the first byte of the list */
	const char *column;	    /* of CSV, as set or as recognised */
	struct wanted_line *wanted; /* NULL: none */
	size_t line_number;
	const char *line, *line_end; /* without blanks, CR and newline at its ends */
	int error;		     /* of reading_refuse() */
	const char *why;
	void *format; /* what the format keeps */
};

/* A place in a line. */
struct scan {
	const char *at, *end;
	const char *limit; /* of the text: up to there bytes can be read; NULL: not known */
};

static inline bool scan_blank(const struct scan *scan)
{
	return scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t');
}

static inline void scan_skip_blanks(struct scan *scan)
{
	while (scan_blank(scan))
		scan->at++;
}

static inline bool scan_digit(const struct scan *scan)
{
	return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static inline bool scan_at(const struct scan *scan, char byte)
{
	return scan->at < scan->end && *scan->at == byte;
}

/* Takes a byte if it is the next one. */
static inline bool scan_take(struct scan *scan, char byte)
{
	if (!scan_at(scan, byte))
		return false;
	scan->at++;
	return true;
}

/* At the end of the line, or where a comment begins. */
static inline bool scan_done(const struct scan *scan)
{
	return scan->at == scan->end || *scan->at == '#' || *scan->at == ';';
}

/*
 * Calls `line` for each line that is not empty; the line stands in the reading and is what `scan`
 * covers. Stops at the first that returns something other than 0, and returns that.
 */
int reading_lines(struct reading *reading, const char *text, size_t length,
		  int (*line)(struct reading *reading, struct scan *scan));

/* Counts the line at hand as bad and tells the caller of list_parse(). Returns 0. */
int reading_bad(struct reading *reading, const char *why);

/* Refuses the list as a whole, with -EBADMSG. Returns NULL. */
const char *reading_refuse(struct reading *reading, const char *why);

#define READING_TOO_WIDE "wider than this list may name (`bounds: prefix4, prefix6`)"

/*
 * A range of addresses, of one family; turned into IPv4 where it only carries IPv4. One that is too
 * wide for a foreign list is a bad line. 0, -ENOMEM, -EFBIG.
 */
int reading_add(struct reading *reading, struct gate25_source *first, struct gate25_source *last);

/*
 * The same in two steps, for formats that know what is listed only at their end: they turn what
 * carries IPv4 into IPv4 themselves, while it still is what the list says.
 */
bool reading_wide(const struct reading *reading, struct gate25_source first,
		  struct gate25_source last);
int reading_keep(struct reading *reading, const struct gate25_source *first,
		 const struct gate25_source *last);

/*
 * While a line is looked for: the one at hand lists [first, last]. The greatest rank is kept, and
 * of equals the first. `code` (0: none) and `text` are what the list says of the entry.
 */
void reading_note(struct reading *reading, struct gate25_source first, struct gate25_source last,
		  unsigned int rank, __u32 code, const char *text, size_t length);

/* "Entries : 683 subnets, 22583552 unique IPs" of FireHOL, "END 17 entries" of abuse.ch. */
void reading_comment(struct reading *reading, struct scan scan);

/* At the end: fewer lines than were declared? */
void reading_count(struct reading *reading);

/* ---------------------------------------------------------------- entries (plain.c) */

bool scan_address(struct scan *scan, struct gate25_source *out);

/* Address, CIDR or range, and nothing else. NULL, or why it is none. */
const char *scan_whole_entry(const char *text, size_t length, struct gate25_source *first,
			     struct gate25_source *last);

const char *check_range(const struct gate25_source *first, const struct gate25_source *last);

/* ---------------------------------------------------------------- formats */

/* 0, -ENOMEM, -EFBIG, or -EBADMSG with reading->why. */
int plain_read(struct reading *reading, const char *text, size_t length);
int rbldnsd_read(struct reading *reading, const char *text, size_t length);
int drop_read(struct reading *reading, const char *text, size_t length);
int dshield_read(struct reading *reading, const char *text, size_t length);
int csv_read(struct reading *reading, const char *text, size_t length);
int rpz_read(struct reading *reading, const char *text, size_t length);
int json_read(struct reading *reading, const char *text, size_t length);

/* Which format is it for sure? LIST_AUTO: none of these. `reading` is told the column of a CSV. */
enum list_format rbldnsd_detect(const char *text, size_t length);
enum list_format columns_detect(struct reading *reading, const char *text, size_t length);
bool rpz_detect(const char *text, size_t length);
enum list_format json_detect(const char *text, size_t length);

/*
 * Unpacks gzip of up to `most` bytes into *out, to be freed. 0, -EBADMSG, -EFBIG, -ENOMEM, with
 * *why.
 */
int gzip_unpack(const void *packed, size_t length, size_t most, char **out, size_t *out_length,
		const char **why);

#endif
