// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text of a list -> list_image.
 *
 * In: the bytes of a file or a download, perhaps gzipped. Out: the ranges that it lists. What is
 * foreign is judged here (a web page, JSON); what a line means is the format's business.
 */
#include "user/lists/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/lists/reading.h"
#include "user/lists/wide.h"

#define BAD_LINES_TOLD 20

static const struct {
	const char *name;
	int (*read)(struct reading *reading, const char *text, size_t length);
} formats[LIST_FORMATS] = {
	[LIST_AUTO] = { "auto", NULL },
	[LIST_PLAIN] = { "plain", plain_read },
	[LIST_RBLDNSD] = { "rbldnsd", rbldnsd_read },
};

int list_format_from_name(const char *name)
{
	for (int i = 0; i < LIST_FORMATS; i++) {
		if (!strcmp(formats[i].name, name))
			return i;
	}
	return -1;
}

const char *list_format_name(enum list_format format)
{
	return formats[format].name;
}

/* ---------------------------------------------------------------- for the formats */

int reading_lines(struct reading *reading, const char *text, size_t length,
		  int (*line)(struct reading *reading, struct scan *scan))
{
	const char *end = text + length, *newline;
	struct scan scan;
	int result = 0;

	for (; text < end && !result; text = newline + 1) {
		newline = memchr(text, '\n', end - text);
		if (!newline)
			newline = end;
		reading->line_number++;
		scan = (struct scan){ .at = text, .end = newline, .limit = end };
		scan_skip_blanks(&scan);
		if (scan.end > scan.at && scan.end[-1] == '\r')
			scan.end--;
		while (scan.end > scan.at && (scan.end[-1] == ' ' || scan.end[-1] == '\t'))
			scan.end--;
		if (scan.at == scan.end)
			continue;
		reading->line = scan.at;
		reading->line_end = scan.end;
		result = line(reading, &scan);
	}
	return result;
}

int reading_bad(struct reading *reading, const char *why)
{
	const struct parse_settings *settings = reading->settings;

	if (++reading->bad_lines <= BAD_LINES_TOLD && settings->bad_line)
		settings->bad_line(settings->context, reading->line_number, why, reading->line,
				   reading->line_end - reading->line);
	return 0;
}

const char *reading_refuse(struct reading *reading, const char *why)
{
	reading->error = -EBADMSG;
	reading->why = why;
	return NULL;
}

int reading_add(struct reading *reading, struct gate25_source *first, struct gate25_source *last)
{
	const struct parse_settings *settings = reading->settings;

	/* both ends in the same /96 that carries IPv4 */
	if (first->family == 6 && first->hi == last->hi && first->lo >> 32 == last->lo >> 32) {
		address_normalise(first, settings->translated, settings->translated_count);
		address_normalise(last, settings->translated, settings->translated_count);
	}
	if (settings->foreign && range_wide(first, last))
		return reading_bad(reading, READING_TOO_WIDE);
	if (first->family == 4)
		return ranges_add4(&reading->ranges, first->lo, last->lo);
	return ranges_add6(&reading->ranges, &(struct address6){ .hi = first->hi, .lo = first->lo },
			   &(struct address6){ .hi = last->hi, .lo = last->lo });
}

/* ---------------------------------------------------------------- the whole */

/* NULL, or what the text is instead of a list, by its first byte. */
static const char *foreign(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length && strchr(" \t\r\n", text[i]) && text[i])
		i++;
	if (i < length && text[i] == '<')
		return "not a list: it looks like a web page";
	if (i < length && (text[i] == '{' || (text[i] == '[' && i + 1 < length && text[i + 1] &&
					      strchr("\"{ \t\r\n", text[i + 1]))))
		return "not a list: it looks like JSON, which is not read";
	return NULL;
}

static int read_text(struct reading *reading, const char *text, size_t length)
{
	enum list_format format = reading->settings->format;
	int error;

	reading->why = foreign(text, length);
	if (reading->why)
		return -EBADMSG;
	if (format == LIST_AUTO)
		format = rbldnsd_detect(text, length) ? LIST_RBLDNSD : LIST_PLAIN;
	if (format == LIST_PLAIN && length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3; /* some editors begin a file with this */
		length -= 3;
	}
	error = formats[format].read(reading, text, length);
	if (error)
		return error;
	if (reading->lines && reading->bad_lines == reading->lines) {
		reading->why = "not a list: no line of it is an entry";
		return -EBADMSG;
	}
	if (reading->settings->format == LIST_AUTO && reading->bad_lines * 2 > reading->lines) {
		reading->why = "not a list: most of its lines are no entries";
		return -EBADMSG;
	}
	return 0;
}

static __u64 clock_s(const struct parse_settings *settings)
{
	return settings->now_s ? settings->now_s : (__u64)time(NULL);
}

int list_parse(const void *text, size_t length, const struct parse_settings *settings,
	       struct list_image **out, const char **why)
{
	const unsigned char *magic = text;
	struct reading reading = { .settings = settings };
	const char *plain = text;
	size_t plain_length = length;
	size_t most = settings->most_bytes ? settings->most_bytes : GATE25_LIST_BYTES;
	char *unpacked = NULL;
	int error = 0;

	if (length > most) {
		reading.why = "larger than a list may be (256 MiB)";
		error = -EFBIG;
	} else if (length >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
		error = gzip_unpack(text, length, most, &unpacked, &plain_length, &reading.why);
		plain = unpacked;
	}
	if (!error)
		error = read_text(&reading, plain, plain_length);
	if (error == -EFBIG && !reading.why)
		reading.why = "more entries than a list may have: 8 million of IPv4, or 2 million "
			      "of IPv6";
	free(unpacked); /* before more is wanted to sort what it held */
	if (!error)
		error = ranges_finish(&reading.ranges, out);
	if (!error) {
		(*out)->lines = reading.lines;
		(*out)->bad_lines = reading.bad_lines;
		(*out)->loaded_s = clock_s(settings);
	} else {
		*why = error == -ENOMEM ? "out of memory" : reading.why;
	}
	ranges_release(&reading.ranges);
	return error;
}

int list_from_prefixes(const struct prefix *prefixes, size_t count, struct list_image **out)
{
	const struct parse_settings settings = {};
	struct reading reading = { .settings = &settings };
	struct gate25_source first, last;
	int error = 0;

	for (size_t i = 0; i < count && !error; i++) {
		first = prefixes[i].address;
		last = prefix_last(&prefixes[i]);
		error = reading_add(&reading, &first, &last);
	}
	if (!error)
		error = ranges_finish(&reading.ranges, out);
	if (!error) {
		(*out)->lines = count;
		(*out)->loaded_s = time(NULL);
	}
	ranges_release(&reading.ranges);
	return error;
}
