// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parsing alone: from the text of a list in memory to its sorted ranges, on one core.
 *
 * A million random hosts, one a line: as plain text, as an ip4set zone, and as a zone in which each
 * second line has a code and a text of its own and some are exclusions.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/entries.h"
#include "tools/bench/loading.h"
#include "user/log.h"
#include "user/print.h"

#define LINES	   1000000
#define LINE_BYTES 64

static const struct shape {
	const char *name;
	enum list_format format;
	bool values; /* with codes, texts and exclusions */
} shapes[] = {
	{ "parse plain", LIST_PLAIN, false },
	{ "parse rbldnsd", LIST_RBLDNSD, false },
	{ "parse rbldnsd values", LIST_RBLDNSD, true },
	{ "parse ip4trie values", LIST_IP4TRIE, true },
};

static size_t text_write(const struct shape *shape, const struct entries *entries, char *text)
{
	char address[64];
	size_t length = 0;

	for (__u32 i = 0; i < entries->count; i++) {
		const char *before = shape->values && i % 50 == 0 ? "!" : "";
		const char *behind = shape->values && i % 2 ? " :4:seen in a spam trap" : "";

		length += snprintf(text + length, LINE_BYTES, "%s%s%s\n", before,
				   entry_format(entries, &entries->items[i], address), behind);
	}
	return length;
}

static int parse_once(const struct shape *shape, const char *text, size_t length, double *rate)
{
	struct parse_settings settings = { .format = shape->format };
	struct list_image *image = NULL;
	const char *why = "";
	double began = seconds_now();
	int error = list_parse(text, length, &settings, &image, &why);

	*rate = LINES / (seconds_now() - began);
	if (error || image->bad_lines)
		log_error("%s: %s", shape->name, error ? why : "bad lines");
	else
		list_image_free(image);
	return error;
}

static int shape_measure(const struct shape *shape, const struct entries *entries, char *text)
{
	size_t length = text_write(shape, entries, text);
	double rates[REPETITIONS_MOST], middle;
	int error = 0;

	for (int i = 0; i < options->repetitions && !error; i++)
		error = parse_once(shape, text, length, &rates[i]);
	if (error)
		return error;
	middle = median(rates, options->repetitions);
	printf("%-24s %.2f M lines a second\n", shape->name, middle / 1e6);
	report_add(json_pack("{ss, sf}", "name", shape->name, "lines_per_s", middle));
	return 0;
}

int parse_measure(void)
{
	struct entries entries = { 0 };
	char *text = NULL;
	int error = 0;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !error; i++) {
		if (!group_wants("%s", shapes[i].name))
			continue;
		if (!text) {
			text = malloc((size_t)LINES * LINE_BYTES + LINE_BYTES);
			error = text ? entries_hosts(&entries, LINES) : -ENOMEM;
		}
		if (!error)
			error = shape_measure(&shapes[i], &entries, text);
	}
	if (text)
		printf("\n");
	entries_free(&entries);
	free(text);
	return error;
}
