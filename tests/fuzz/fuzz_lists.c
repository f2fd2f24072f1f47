// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parsers of lists under libFuzzer; scripts/fuzz runs it.
 *
 * In: bytes, and in the environment GATE25_FUZZ, a format's name ("gzip" is auto, "codes" are
 * filters of codes). Whatever the bytes are: no crash, no bad access, and what comes out holds.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/parse.h"
#include "user/lists/ranges.h"

#define MOST_BYTES (1UL << 20)
#define NOW_S	   1780000000ULL

static int format;
static bool codes_only;

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void note_bad_line(void *context, size_t line, const char *why, const char *text,
			  size_t length)
{
	size_t *sum = context;

	HOLDS(why && *why && line);
	for (size_t i = 0; i < length; i++)
		*sum += (unsigned char)text[i]; /* all of it can be read */
}

static void check_image(const struct list_image *image)
{
	for (size_t i = 0; i < image->count4; i++) {
		const struct range4 *range = &image->ranges4[i];

		HOLDS(range->first <= range->last);
		HOLDS(!i || range[-1].last < range->first);
	}
	for (size_t i = 0; i < image->count6; i++) {
		const struct range6 *range = &image->ranges6[i];

		HOLDS(address6_value(&range->first) <= address6_value(&range->last));
		HOLDS(!i || address6_value(&range[-1].last) < address6_value(&range->first));
	}
	HOLDS(image->bad_lines <= image->lines);
}

/* What is listed is listed by some line. */
static void check_line(const uint8_t *data, size_t size, const struct parse_settings *settings,
		       const struct gate25_source *address)
{
	struct list_line line;

	HOLDS(list_find_line(data, size, settings, address, &line) == 0);
	HOLDS(line.number > 0 && memchr(line.text, 0, sizeof(line.text)));
}

static void check_lines(const uint8_t *data, size_t size, const struct parse_settings *settings,
			const struct list_image *image)
{
	struct gate25_source address = { .family = 4 };

	if (image->count4) {
		address.lo = image->ranges4[image->count4 / 2].last;
		check_line(data, size, settings, &address);
	}
	if (image->count6) {
		const struct address6 *first = &image->ranges6[image->count6 / 2].first;

		address = (struct gate25_source){ .family = 6, .hi = first->hi, .lo = first->lo };
		if (!address_carries4(&address, settings->translated, settings->translated_count))
			check_line(data, size, settings, &address);
	}
}

static void parse(const uint8_t *data, size_t size, const struct parse_settings *asked)
{
	struct parse_settings settings = *asked;
	struct list_facts facts = { 0 };
	struct list_image *image = NULL;
	const char *why = NULL;
	size_t sum = 0;
	int error;

	settings.format = format;
	settings.most_bytes = MOST_BYTES;
	settings.now_s = NOW_S;
	settings.bad_line = note_bad_line;
	settings.context = &sum;
	settings.facts = &facts;
	error = list_parse(data, size, &settings, &image, &why);
	HOLDS(facts.bad_lines <= facts.lines);
	if (error) {
		HOLDS(!image && why && *why);
		return;
	}
	HOLDS(facts.format != LIST_AUTO);
	check_image(image);
	check_lines(data, size, &settings, image);
	list_image_free(image);
}

static void codes(const uint8_t *data, size_t size)
{
	struct list_codes filter = { 0 };
	char *text = strndup((const char *)data, size);
	const char *why;

	HOLDS(text);
	if (!codes_add(&filter, text, &why))
		codes_match(&filter, 0x7f000002);
	free(text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("GATE25_FUZZ");

	(void)argc;
	(void)argv;
	codes_only = name && !strcmp(name, "codes");
	if (!name || codes_only || !strcmp(name, "gzip"))
		name = "auto";
	format = list_format_from_name(name);
	if (format < 0) {
		fprintf(stderr, "GATE25_FUZZ: there is no format %s\n", name);
		exit(2);
	}
	return 0;
}

/* Once as it is, once with all there is to ask for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const __u64 translated[][2] = { { 0x0064ff9b00000000ULL, 0 } };
	struct list_codes filter = { 0 };
	struct parse_settings simple = { .format = LIST_AUTO };
	struct parse_settings asked = {
		.translated = translated, .translated_count = 1, .foreign = true, .allow = true
	};
	const char *why;

	if (codes_only) {
		codes(data, size);
		return 0;
	}
	HOLDS(!codes_add(&filter, "127.0.[0;1].[2..4]", &why));
	if (format == LIST_CSV)
		simple.column = "ip";
	parse(data, size, &simple);
	if (format >= LIST_RBLDNSD && format <= LIST_IP6TRIE)
		asked.codes = &filter;
	if (format == LIST_CSV)
		asked.column = "2";
	if (format == LIST_JSON)
		asked.member = "a.b";
	parse(data, size, &asked);
	return 0;
}
