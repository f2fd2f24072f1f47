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
	[LIST_IP4TSET] = { "ip4tset", rbldnsd_read },
	[LIST_IP4TRIE] = { "ip4trie", rbldnsd_read },
	[LIST_IP6TSET] = { "ip6tset", rbldnsd_read },
	[LIST_IP6TRIE] = { "ip6trie", rbldnsd_read },
	[LIST_DROP] = { "drop", drop_read },
	[LIST_DSHIELD] = { "dshield", dshield_read },
	[LIST_CSV] = { "csv", csv_read },
	[LIST_RPZ] = { "rpz", rpz_read },
	[LIST_JSON] = { "json", json_read },
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

/* Both ends in the same /96 that carries IPv4: that is what it is about. */
static void normalise(const struct parse_settings *settings, struct gate25_source *first,
		      struct gate25_source *last)
{
	if (first->family != 6 || first->hi != last->hi || first->lo >> 32 != last->lo >> 32)
		return;
	address_normalise(first, settings->translated, settings->translated_count);
	address_normalise(last, settings->translated, settings->translated_count);
}

bool reading_wide(const struct reading *reading, struct gate25_source first,
		  struct gate25_source last)
{
	if (!reading->settings->foreign)
		return false;
	normalise(reading->settings, &first, &last);
	return range_wider(&first, &last, reading->settings->length4, reading->settings->length6);
}

int reading_keep(struct reading *reading, const struct gate25_source *first,
		 const struct gate25_source *last)
{
	if (first->family == 4)
		return ranges_add4(&reading->ranges, first->lo, last->lo);
	return ranges_add6(&reading->ranges, &(struct address6){ .hi = first->hi, .lo = first->lo },
			   &(struct address6){ .hi = last->hi, .lo = last->lo });
}

/* Greater for fewer addresses: how many leading bits both ends share, and 1. */
static unsigned int range_rank(const struct gate25_source *first, const struct gate25_source *last)
{
	__u64 hi = first->hi ^ last->hi, lo = first->lo ^ last->lo;

	return 1 + (hi ? __builtin_clzll(hi) : lo ? 64 + __builtin_clzll(lo) : 128);
}

int reading_add(struct reading *reading, struct gate25_source *first, struct gate25_source *last)
{
	normalise(reading->settings, first, last);
	if (reading_wide(reading, *first, *last))
		return reading_bad(reading, READING_TOO_WIDE);
	if (reading->wanted)
		reading_note(reading, *first, *last, range_rank(first, last), 0, reading->line,
			     reading->line_end - reading->line);
	return reading_keep(reading, first, last);
}

static bool range_holds(const struct gate25_source *first, const struct gate25_source *last,
			const struct gate25_source *address)
{
	u128 value = (u128)address->hi << 64 | address->lo;

	return first->family == address->family && ((u128)first->hi << 64 | first->lo) <= value &&
	       ((u128)last->hi << 64 | last->lo) >= value;
}

void reading_note(struct reading *reading, struct gate25_source first, struct gate25_source last,
		  unsigned int rank, __u32 code, const char *text, size_t length)
{
	struct wanted_line *wanted = reading->wanted;
	struct list_line *out;

	if (!wanted || rank <= wanted->rank)
		return;
	normalise(reading->settings, &first, &last);
	if (!range_holds(&first, &last, &wanted->address))
		return;
	out = wanted->out;
	wanted->rank = rank;
	out->number = reading->line_number;
	out->code = code;
	if (length > sizeof(out->text) - 1)
		length = sizeof(out->text) - 1;
	for (size_t i = 0; i < length; i++)
		out->text[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	out->text[length] = '\0';
}

static bool scan_phrase(struct scan *scan, const char *phrase)
{
	size_t length = strlen(phrase);

	if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, phrase, length) != 0)
		return false;
	scan->at += length;
	scan_skip_blanks(scan);
	return true;
}

static bool scan_count(struct scan *scan, __u64 *count)
{
	*count = 0;
	if (!scan_digit(scan))
		return false;
	for (; scan_digit(scan) && *count < 1ULL << 32; scan->at++)
		*count = *count * 10 + (*scan->at - '0');
	scan_skip_blanks(scan);
	return true;
}

void reading_comment(struct reading *reading, struct scan scan)
{
	__u64 count;
	bool declared = false;

	while (scan.at < scan.end && (scan_blank(&scan) || *scan.at == '#' || *scan.at == ';'))
		scan.at++;
	if (scan_phrase(&scan, "Entries")) {
		declared = scan_phrase(&scan, ":") && scan_count(&scan, &count) &&
			   (scan_phrase(&scan, "subnets") || scan_phrase(&scan, "unique IPs"));
	} else if (scan_phrase(&scan, "END")) {
		scan_take(&scan, '(');
		declared = scan_count(&scan, &count) && (scan_take(&scan, ')') || true);
		scan_skip_blanks(&scan);
		declared = declared && scan_phrase(&scan, "entries");
	}
	if (!declared)
		return;
	reading->facts.declares = true;
	reading->facts.declared += count;
}

void reading_count(struct reading *reading)
{
	if (reading->facts.declares && reading->lines < reading->facts.declared)
		reading->facts.cut = "it holds fewer entries than it says itself";
}

/* ---------------------------------------------------------------- the whole */

static bool web_page(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length && text[i] && strchr(" \t\r\n", text[i]))
		i++;
	return i < length && text[i] == '<';
}

static enum list_format detect(struct reading *reading, const char *text, size_t length)
{
	enum list_format format = json_detect(text, length);

	if (!format && rpz_detect(text, length))
		format = LIST_RPZ;
	if (!format)
		format = rbldnsd_detect(text, length);
	if (!format)
		format = columns_detect(reading, text, length);
	return format ? format : LIST_PLAIN;
}

/* NULL, or why this format cannot do what the settings ask for. */
static const char *settings_misfit(const struct parse_settings *settings, enum list_format format,
				   const char *text, size_t length)
{
	if (settings->codes && settings->codes->count &&
	    !(format >= LIST_RBLDNSD && format <= LIST_IP6TRIE))
		return "codes: needs a zone, whose entries have codes; this is none";
	if (settings->member && format != LIST_JSON)
		return "member: needs JSON; this is none";
	if (settings->column && format != LIST_CSV)
		return "column: needs CSV; this is none";
	if (format != LIST_JSON && format != LIST_DROP && json_detect(text, length))
		return "not a list: it looks like JSON; is it format: json or drop?";
	return NULL;
}

static int read_text(struct reading *reading, const char *text, size_t length)
{
	enum list_format format = reading->settings->format;
	int error;

	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) &&
	    !(format >= LIST_RBLDNSD && format <= LIST_IP6TRIE)) {
		text += 3; /* some editors begin a file with this; rbldnsd takes it for an entry */
		length -= 3;
	}
	reading->text = text;
	reading->column = reading->settings->column;
	reading->facts.last_line_complete = !length || text[length - 1] == '\n';
	reading->facts.web_page = web_page(text, length);
	reading->why = "not a list: it looks like a web page";
	if (reading->facts.web_page)
		return -EBADMSG;
	if (format == LIST_AUTO)
		format = detect(reading, text, length);
	reading->why = settings_misfit(reading->settings, format, text, length);
	if (reading->why)
		return -EBADMSG;
	reading->facts.format = format;
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

/* Unpacks if need be, and reads it all into reading->ranges. */
static int read_packed(struct reading *reading, const void *text, size_t length)
{
	const struct parse_settings *settings = reading->settings;
	size_t most = settings->most_bytes ? settings->most_bytes : GATE25_LIST_BYTES;
	const unsigned char *magic = text;
	const char *plain = text;
	char *unpacked = NULL;
	int error = 0;

	if (length > most) {
		reading->why = "larger than a list may be (256 MiB)";
		return -EFBIG;
	}
	if (length >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
		error = gzip_unpack(text, length, most, &unpacked, &length, &reading->why);
		plain = unpacked;
	}
	if (!error)
		error = read_text(reading, plain, length);
	if (error == -EFBIG && !reading->why)
		reading->why = "more entries than a list may have: 8 million of IPv4, or 2 million "
			       "of IPv6";
	free(unpacked); /* before more is wanted to sort what it held */
	if (settings->facts) {
		reading->facts.lines = reading->lines;
		reading->facts.bad_lines = reading->bad_lines;
		*settings->facts = reading->facts;
	}
	return error;
}

int list_parse(const void *text, size_t length, const struct parse_settings *settings,
	       struct list_image **out, const char **why)
{
	struct reading reading = { .settings = settings };
	int error;

	if (settings->facts)
		*settings->facts = (struct list_facts){ 0 };
	error = read_packed(&reading, text, length);
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

int list_find_line(const void *text, size_t length, const struct parse_settings *settings,
		   const struct gate25_source *address, struct list_line *out)
{
	struct list_line line = { 0 };
	struct wanted_line wanted = { .address = *address, .out = &line };
	struct parse_settings quiet = *settings;
	struct reading reading = { .settings = &quiet, .wanted = &wanted };
	int error;

	quiet.bad_line = NULL;
	quiet.facts = NULL;
	address_normalise(&wanted.address, settings->translated, settings->translated_count);
	error = read_packed(&reading, text, length);
	ranges_release(&reading.ranges);
	if (error)
		return error;
	if (!wanted.rank)
		return -ENOENT;
	*out = line;
	return 0;
}

__u64 parse_settings_digest(__u64 seed, const struct parse_settings *settings)
{
	const char *column = settings->column ? settings->column : "";
	const char *member = settings->member ? settings->member : "";
	const struct list_codes *codes = settings->codes;
	__u64 digest = list_digest(seed + settings->format, column, strlen(column) + 1);

	digest = list_digest(digest, member, strlen(member) + 1);
	if (codes)
		digest = list_digest(digest, codes->patterns,
				     codes->count * sizeof(codes->patterns[0]));
	return list_digest(digest, settings->translated,
			   settings->translated_count * sizeof(settings->translated[0]));
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
