// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists in columns: CSV, of which one column holds the addresses, and DShield's blocks.
 *
 * In: text. Out: ranges. A record of CSV is a line: a quoted field that goes on in the next one is
 * a bad line. The header may stand in a comment, as abuse.ch has it.
 */
#include "user/lists/reading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SEPARATORS   ",;\t"
#define DETECT_LINES 200 /* a banner is no longer */

struct field {
	const char *at;
	size_t length;
};

struct csv {
	const char *column;
	size_t index;	/* of the column, from 0 */
	char separator; /* 0: not known before the header, or the first record */
	bool by_number;
	bool records; /* the first was seen */
};

/* ---------------------------------------------------------------- fields */

/* The next field, without its quotes; false: there is none, or its quotes do not end. */
static bool field_next(struct scan *scan, char separator, bool *more, struct field *out)
{
	if (!*more)
		return false;
	while (scan->at < scan->end && *scan->at == ' ')
		scan->at++;
	out->at = scan->at;
	if (scan_take(scan, '"')) {
		out->at = scan->at;
		while (scan->at < scan->end && (*scan->at != '"' || scan->at + 1 < scan->end)) {
			if (*scan->at == '"' && scan->at[1] != '"')
				break;
			scan->at += *scan->at == '"' ? 2 : 1;
		}
		out->length = scan->at - out->at;
		if (!scan_take(scan, '"'))
			return false;
		while (scan->at < scan->end && *scan->at == ' ')
			scan->at++;
		if (scan->at < scan->end && *scan->at != separator)
			return false;
	} else {
		while (scan->at < scan->end && *scan->at != separator)
			scan->at++;
		out->length = scan->at - out->at;
		while (out->length && out->at[out->length - 1] == ' ')
			out->length--;
	}
	*more = scan_take(scan, separator);
	return true;
}

static bool field_at(struct scan scan, char separator, size_t index, struct field *out)
{
	bool more = true;

	for (size_t i = 0; i <= index; i++) {
		if (!field_next(&scan, separator, &more, out))
			return false;
	}
	return true;
}

static bool field_is(const struct field *field, const char *name)
{
	return strlen(name) == field->length && !strncasecmp(field->at, name, field->length);
}

/* ---------------------------------------------------------------- CSV */

/* Does this line name the column? Then it is the header. */
static bool header_take(struct csv *csv, struct scan scan)
{
	struct field field;

	for (const char *separator = SEPARATORS; *separator; separator++) {
		struct scan at = scan;
		bool more = true;

		for (size_t i = 0; field_next(&at, *separator, &more, &field); i++) {
			if (!field_is(&field, csv->column))
				continue;
			csv->separator = *separator;
			csv->index = i;
			return true;
		}
	}
	return false;
}

/* The first separator that makes enough fields of the first record; of one field any does. */
static bool separator_take(struct csv *csv, const struct scan *scan)
{
	struct field field;

	for (const char *separator = SEPARATORS; *separator && !csv->separator; separator++)
		if (memchr(scan->at, *separator, scan->end - scan->at) &&
		    field_at(*scan, *separator, csv->index, &field))
			csv->separator = *separator;
	if (!csv->separator && !csv->index)
		csv->separator = *SEPARATORS;
	return csv->separator;
}

static void scan_comment(struct scan *scan)
{
	while (scan->at < scan->end && (*scan->at == '#' || scan_blank(scan)))
		scan->at++;
}

/* A first record that is the header. False, with reading->why: the column is not in it. */
static bool first_record(struct reading *reading, const struct scan *scan, bool *header)
{
	struct csv *csv = reading->format;
	struct gate25_source first, last;
	struct field field;

	csv->records = true;
	*header = false;
	if (!csv->by_number) {
		if (csv->separator) /* a comment had it; some repeat it */
			*header = field_at(*scan, csv->separator, csv->index, &field) &&
				  field_is(&field, csv->column);
		else
			*header = header_take(csv, *scan);
		if (!csv->separator)
			reading->why = "its header names no such column; see column:";
		return csv->separator;
	}
	if (!separator_take(csv, scan)) {
		reading->why = "its first line has fewer columns than column: says";
		return false;
	}
	*header = field_at(*scan, csv->separator, csv->index, &field) && field.length &&
		  scan_whole_entry(field.at, field.length, &first, &last) &&
		  !memchr(field.at, '.', field.length) && !memchr(field.at, ':', field.length);
	return true;
}

static int csv_line(struct reading *reading, struct scan *scan)
{
	struct csv *csv = reading->format;
	struct gate25_source first, last;
	struct field field;
	const char *why;
	bool header;

	if (scan_at(scan, '#')) {
		reading_comment(reading, *scan);
		scan_comment(scan);
		if (!csv->by_number && !csv->separator)
			header_take(csv, *scan);
		return 0;
	}
	if (!csv->records) {
		if (!first_record(reading, scan, &header))
			return -EBADMSG;
		if (header)
			return 0;
	}
	reading->lines++;
	if (!field_at(*scan, csv->separator, csv->index, &field))
		return reading_bad(reading, "it lacks the column, or its quotes do not end");
	why = scan_whole_entry(field.at, field.length, &first, &last);
	return why ? reading_bad(reading, why) : reading_add(reading, &first, &last);
}

int csv_read(struct reading *reading, const char *text, size_t length)
{
	struct csv csv = { .column = reading->column };
	char *end;
	int error;

	if (!csv.column) {
		reading->why = "CSV needs column:, the name or the number of the one to read";
		return -EBADMSG;
	}
	csv.index = strtoul(csv.column, &end, 10);
	csv.by_number = csv.index && csv.index < 10000 && !*end;
	csv.index -= csv.by_number;
	reading->format = &csv;
	error = reading_lines(reading, text, length, csv_line);
	reading->format = NULL;
	reading_count(reading);
	return error;
}

/* ---------------------------------------------------------------- DShield */

static const char *scan_block(struct scan *scan, struct gate25_source *first,
			      struct gate25_source *last)
{
	struct prefix prefix = { .length = 0 };
	struct gate25_source end;
	const char *from;

	if (!scan_address(scan, first) || !scan_take(scan, '\t') || !scan_address(scan, last) ||
	    !scan_take(scan, '\t'))
		return "not a first address, a tab, a last address, a tab, a prefix length";
	from = scan->at;
	for (; scan_digit(scan) && scan->at - from < 3; scan->at++)
		prefix.length = prefix.length * 10 + (*scan->at - '0');
	if (scan->at == from || prefix.length > (first->family == 4 ? 32 : 128) ||
	    (scan->at < scan->end && *scan->at != '\t'))
		return "the prefix length is not a decimal number in its bounds";
	prefix.address = *first;
	prefix_mask(&prefix);
	end = prefix_last(&prefix);
	if (prefix.address.hi != first->hi || prefix.address.lo != first->lo ||
	    end.family != last->family || end.hi != last->hi || end.lo != last->lo)
		return "first address, last address and prefix length do not fit together";
	return NULL;
}

static bool block_header(const struct scan *scan)
{
	static const char word[] = "Start\t";

	return scan->end - scan->at >= (ptrdiff_t)sizeof(word) - 1 &&
	       !strncasecmp(scan->at, word, sizeof(word) - 1);
}

static int dshield_line(struct reading *reading, struct scan *scan)
{
	struct gate25_source first, last;
	const char *why;

	if (scan_at(scan, '#')) {
		reading_comment(reading, *scan);
		return 0;
	}
	if (!reading->lines && block_header(scan))
		return 0;
	reading->lines++;
	why = scan_block(scan, &first, &last);
	return why ? reading_bad(reading, why) : reading_add(reading, &first, &last);
}

int dshield_read(struct reading *reading, const char *text, size_t length)
{
	int error = reading_lines(reading, text, length, dshield_line);

	reading_count(reading);
	return error;
}

/* ---------------------------------------------------------------- detection */

/* Names that cannot be meant for anything but the sender's address. */
static const char *const address_columns[] = { "ip",   "dst_ip",  "src_ip", "ip_address",
					       "cidr", "network", "prefix", NULL };

struct guess {
	const char *column; /* of a header that was seen */
	size_t index;
	enum list_format format;
};

/* Is it a header in which just one column has such a name? */
static bool header_guess(struct guess *guess, struct scan scan)
{
	struct guess seen = { 0 };
	struct field field;
	bool more = true;
	size_t fields, found = 0;

	for (fields = 0; field_next(&scan, ',', &more, &field); fields++) {
		for (const char *const *name = address_columns; *name; name++) {
			if (!field_is(&field, *name))
				continue;
			seen.column = *name;
			seen.index = fields;
			found++;
		}
	}
	if (fields < 2 || found != 1)
		return false;
	guess->column = seen.column;
	guess->index = seen.index;
	return true;
}

/* The first line that is neither comment nor header decides. */
static int detect_line(struct reading *reading, struct scan *scan)
{
	struct guess *guess = reading->format;
	struct gate25_source first, last;
	struct scan at = *scan;
	struct field field;

	if (++reading->lines > DETECT_LINES)
		return -ERANGE;
	if (scan_at(scan, '#'))
		scan_comment(&at);
	if (header_guess(guess, at) || block_header(scan) || scan_done(scan))
		return 0;
	if (guess->column && field_at(*scan, ',', guess->index, &field) &&
	    !scan_whole_entry(field.at, field.length, &first, &last))
		guess->format = LIST_CSV;
	else if (!scan_block(&at, &first, &last))
		guess->format = LIST_DSHIELD;
	return 1;
}

enum list_format columns_detect(struct reading *reading, const char *text, size_t length)
{
	struct guess guess = { 0 };
	struct reading first = { .format = &guess };

	if (reading->column)
		return LIST_CSV;
	reading_lines(&first, text, length, detect_line);
	if (guess.format == LIST_CSV)
		reading->column = guess.column;
	return guess.format;
}
