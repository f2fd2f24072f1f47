/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two printers over one structure: a JSON array of flat objects becomes a table for people, or
 * {"schema": 1, "results": […]} with -j.
 */
#ifndef GATE25_PRINT_H
#define GATE25_PRINT_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct column {
	const char *key;   /* of the objects */
	const char *title; /* head of the table */
	bool right;
};

/*
 * Prints `results` (an array; the reference is taken over). Columns are those of the table alone:
 * an integer is written as number_format() does, an array as its members with commas, null and ""
 * as "-". Control characters are escaped. An empty array is no table at all. 0 or -errno.
 */
int print_results(bool json, json_t *results, const struct column *columns, size_t count);

/* Only {"schema": 1, "results": […]}: for commands that print their own lines to people. */
int print_json(json_t *results);

/* RFC 3339 in UTC: "2026-01-31T12:00:00Z"; "never" for GATE25_NEVER. */
const char *time_format(unsigned long long seconds_since_1970, char text[static 32]);

/* For people: "3 h 20 min", "45 s". */
const char *duration_format(unsigned long long seconds, char text[static 32]);

/* For people: "50,103". */
const char *number_format(unsigned long long number, char text[static 32]);

/*
 * "1 list", "2 lists", "50,103 entries": the plural is given, since English does not agree with
 * itself.
 */
const char *count_format(unsigned long long count, const char *one, const char *many,
			 char text[static 64]);

/*
 * A time of the maps or the state as JSON: null for 0, "never" for GATE25_NEVER, else as
 * time_format().
 */
json_t *time_json(unsigned long long seconds_since_1970);

/*
 * What printf would write, as a JSON string. A path or a server's word that is no UTF-8, which JSON
 * cannot hold, has '?' in its place. NULL without memory.
 */
json_t *json_vsay(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/*
 * Puts a space for what a terminal may take for a command: control characters, in UTF-8 too. With `lines` newlines
 * stay. Returns `text`.
 */
char *text_tame(char *text, bool lines);

/* The object's member as text; "" if it is absent or no string. */
const char *json_text(const json_t *object, const char *key);

#endif
