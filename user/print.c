// SPDX-License-Identifier: GPL-2.0-only
/*
 * What commands say: tables and plain texts for people, one JSON object for machines.
 *
 * In: a JSON array of flat objects, numbers, times. Out: stdout, or text.
 */
#include "user/print.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/gate25.h"

#define CELL_TEXT 1024

/* ---------------------------------------------------------------- JSON */

int print_json(json_t *results)
{
	json_t *root;
	int error = 0;

	if (!results)
		return -ENOMEM;
	root = json_pack("{s:i, s:o}", "schema", 1, "results", results); /* takes it over */
	if (!root)
		return -ENOMEM;
	if (json_dumpf(root, stdout, JSON_COMPACT) || putchar('\n') == EOF)
		error = -EIO;
	json_decref(root);
	return error;
}

json_t *time_json(unsigned long long seconds_since_1970)
{
	char text[32];

	return seconds_since_1970 ? json_string(time_format(seconds_since_1970, text)) :
				    json_null();
}

json_t *json_vsay(const char *format, va_list arguments)
{
	char *text = NULL;
	json_t *said;

	if (vasprintf(&text, format, arguments) < 0)
		return NULL;
	said = json_string(text);
	if (!said) {
		for (char *at = text; *at; at++)
			if (*at & 0x80)
				*at = '?';
		said = json_string(text);
	}
	free(text);
	return said;
}

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---------------------------------------------------------------- tables */

/* Writes a value and returns how long the whole of it is. */
static size_t value_format(const json_t *value, char *text, size_t room)
{
	char number[32];

	switch (json_typeof(value)) {
	case JSON_STRING:
		return snprintf(text, room, "%s", json_string_value(value));
	case JSON_INTEGER:
		return snprintf(text, room, "%s%s", json_integer_value(value) < 0 ? "-" : "",
				number_format(llabs(json_integer_value(value)), number));
	case JSON_REAL:
		return snprintf(text, room, "%g", json_real_value(value));
	case JSON_TRUE:
		return snprintf(text, room, "yes");
	case JSON_FALSE:
		return snprintf(text, room, "no");
	default:
		return snprintf(text, room, "%s", "");
	}
}

static void array_format(const json_t *array, char *text, size_t room)
{
	const json_t *member;
	size_t used = 0, i;

	text[0] = '\0';
	json_array_foreach(array, i, member) {
		if (i)
			used += snprintf(text + used, room - used, ",");
		if (used >= room)
			return;
		used += value_format(member, text + used, room - used);
		if (used >= room)
			return;
	}
}

static void cell_format(const json_t *value, char text[static CELL_TEXT])
{
	text[0] = '\0';
	if (json_is_array(value))
		array_format(value, text, CELL_TEXT);
	else if (value)
		value_format(value, text, CELL_TEXT);
	if (!text[0])
		snprintf(text, CELL_TEXT, "-");
}

static int row_add(struct libscols_table *table, const json_t *object, const struct column *columns,
		   size_t count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[CELL_TEXT];
	int error = line ? 0 : -ENOMEM;

	for (size_t i = 0; !error && i < count; i++) {
		cell_format(json_object_get(object, columns[i].key), text);
		error = scols_line_set_data(line, i, text);
	}
	return error;
}

static int table_print(const json_t *results, const struct column *columns, size_t count)
{
	struct libscols_table *table = scols_new_table();
	const json_t *object;
	int error = table ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !error && i < count; i++)
		if (!scols_table_new_column(table, columns[i].title, 0,
					    columns[i].right ? SCOLS_FL_RIGHT : 0))
			error = -ENOMEM;
	json_array_foreach(results, i, object)
		if (!error)
			error = row_add(table, object, columns, count);
	if (!error && json_array_size(results))
		error = scols_print_table(table);
	scols_unref_table(table);
	return error;
}

int print_results(bool json, json_t *results, const struct column *columns, size_t count)
{
	int error;

	if (json)
		return print_json(results);
	if (!results)
		return -ENOMEM;
	error = table_print(results, columns, count);
	json_decref(results);
	return error;
}

/* ---------------------------------------------------------------- texts */

const char *time_format(unsigned long long seconds_since_1970, char text[static 32])
{
	time_t time = seconds_since_1970;
	struct tm parts;

	if (seconds_since_1970 == GATE25_NEVER || !gmtime_r(&time, &parts) ||
	    !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts))
		snprintf(text, 32, "never");
	return text;
}

const char *duration_format(unsigned long long seconds, char text[static 32])
{
	static const struct {
		unsigned long long seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	size_t unit = 0;
	int used;

	while (unit < 3 && seconds < units[unit].seconds)
		unit++;
	used = snprintf(text, 32, "%llu %s", seconds / units[unit].seconds, units[unit].name);
	seconds %= units[unit].seconds;
	/* The second unit is told only where it is worth something: "2 d 3 h", but "5 min". */
	if (unit < 2 && seconds >= units[unit + 1].seconds)
		snprintf(text + used, 32 - used, " %llu %s", seconds / units[unit + 1].seconds,
			 units[unit + 1].name);
	return text;
}

const char *number_format(unsigned long long number, char text[static 32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", number);
	char *at = text;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return text;
}

const char *count_format(unsigned long long count, const char *one, const char *many,
			 char text[static 64])
{
	char number[32];

	snprintf(text, 64, "%s %s", number_format(count, number), count == 1 ? one : many);
	return text;
}

char *text_tame(char *text, bool lines)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		bool control = *at < ' ' || *at == 0x7f;

		if (*at == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f) { /* U+0080 to U+009F */
			*at++ = ' ';
			control = true;
		}
		if (control && !(lines && *at == '\n'))
			*at = ' ';
	}
	return text;
}
