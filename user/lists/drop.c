// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spamhaus DROP: text like any plain list, or JSON lines.
 *
 * In: text. Out: ranges. Of JSON lines each is an object with a `cidr`; the last one has none, says
 * how many records there are and when they were made, and is missing when the list was cut off.
 */
#include "user/lists/reading.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

struct drop {
	bool counted; /* the line at hand is one that counts, with nothing behind it */
};

static bool metadata(struct reading *reading, const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	const json_t *records = json_object_get(object, "records");
	json_int_t stamp = json_integer_value(json_object_get(object, "timestamp"));

	if (!type || strcmp(type, "metadata") != 0 || json_integer_value(records) < 0)
		return false;
	if (json_is_integer(records)) {
		reading->facts.declares = true;
		reading->facts.declared += json_integer_value(records);
	}
	if (stamp > 0 && (__u64)stamp > reading->facts.stamp_s)
		reading->facts.stamp_s = stamp;
	return true;
}

static int drop_object(struct reading *reading, const json_t *object)
{
	const json_t *cidr = json_object_get(object, "cidr");
	struct drop *drop = reading->format;
	struct gate25_source first, last;
	const char *why;

	if (!cidr && metadata(reading, object)) {
		drop->counted = true;
		return 0;
	}
	drop->counted = false;
	reading->lines++;
	if (!json_is_string(cidr))
		return reading_bad(reading, "a JSON object without a cidr");
	why = scan_whole_entry(json_string_value(cidr), json_string_length(cidr), &first, &last);
	return why ? reading_bad(reading, why) : reading_add(reading, &first, &last);
}

static int drop_line(struct reading *reading, struct scan *scan)
{
	struct drop *drop = reading->format;
	json_t *object = json_loadb(scan->at, scan->end - scan->at, 0, NULL);
	int error;

	if (json_is_object(object)) {
		error = drop_object(reading, object);
	} else {
		drop->counted = false;
		reading->lines++;
		error = reading_bad(reading, "not a JSON object on a line of its own");
	}
	json_decref(object);
	return error;
}

int drop_read(struct reading *reading, const char *text, size_t length)
{
	struct drop drop = { 0 };
	int error;

	if (json_detect(text, length) == LIST_AUTO)
		return plain_read(reading, text, length);
	reading->format = &drop;
	error = reading_lines(reading, text, length, drop_line);
	reading->format = NULL;
	reading_count(reading);
	if (!drop.counted)
		reading->facts.cut = "its last line, which counts the records, is missing";
	return error;
}
