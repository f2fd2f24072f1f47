// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists in JSON: the strings under a member.
 *
 * In: one JSON document. Out: ranges. A member is a path of names: "list" of MISP's warning lists,
 * "prefixes.ip_prefix" of a cloud's ranges. Arrays on the way are walked through, elements without
 * the member have nothing to say.
 */
#include "user/lists/reading.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define JSON_BYTES   (32UL << 20) /* in memory it takes several times as much */
#define DETECT_LINES 5
#define DETECT_BYTES 4096 /* a longer line is no record of DROP */

static int json_entry(struct reading *reading, const json_t *value)
{
	struct gate25_source first, last;
	const char *why;

	reading->line_number++; /* the number of the entry: lines mean nothing here */
	reading->lines++;
	if (!json_is_string(value)) {
		reading->line = reading->line_end = "";
		return reading_bad(reading, "not a string");
	}
	reading->line = json_string_value(value);
	reading->line_end = reading->line + json_string_length(value);
	why = scan_whole_entry(reading->line, json_string_length(value), &first, &last);
	return why ? reading_bad(reading, why) : reading_add(reading, &first, &last);
}

/*
 * What `path` leads to from here; *found: it leads somewhere at all. As deep as jansson lets a
 * document be.
 */
static int json_walk(struct reading *reading, const json_t *value, const char *path, bool *found)
{
	size_t length = strcspn(path, "."), index;
	const json_t *element;
	int error = 0;

	if (json_is_array(value)) {
		*found |= !*path;
		json_array_foreach(value, index, element) {
			error = json_walk(reading, element, path, found);
			if (error)
				return error;
		}
		return 0;
	}
	if (!*path) {
		*found = true;
		return json_entry(reading, value);
	}
	element = json_object_getn(value, path, length);
	if (!element)
		return 0;
	return json_walk(reading, element, path[length] ? path + length + 1 : path + length, found);
}

int json_read(struct reading *reading, const char *text, size_t length)
{
	const char *member = reading->settings->member;
	bool found = false;
	json_t *document;
	int error;

	if (length > JSON_BYTES) {
		reading->why = "larger than JSON may be (32 MiB)";
		return -EFBIG;
	}
	document = json_loadb(text, length, 0, NULL);
	if (!document) {
		reading->facts.cut = "it is no whole JSON document";
		reading->why = "not a whole JSON document: damaged, or cut off";
		return -EBADMSG;
	}
	if (!member)
		member = json_is_array(document) ? "" : "list";
	error = json_walk(reading, document, member, &found);
	json_decref(document);
	if (!error && !found) {
		reading->why = "its JSON has no such member; name the one that holds the addresses "
			       "with member:";
		error = -EBADMSG;
	}
	return error;
}

/* ---------------------------------------------------------------- detection */

/* Is one of the first lines an object with a cidr, or with metadata, by itself? */
static int detect_line(struct reading *reading, struct scan *scan)
{
	size_t length = scan->end - scan->at;
	json_t *object = length <= DETECT_BYTES ? json_loadb(scan->at, length, 0, NULL) : NULL;
	bool drop = json_is_string(json_object_get(object, "cidr"));

	json_decref(object);
	return drop ? 1 : ++reading->lines == DETECT_LINES ? -ERANGE : 0;
}

enum list_format json_detect(const char *text, size_t length)
{
	struct reading reading = { 0 };
	size_t i = 0;

	while (i < length && text[i] && strchr(" \t\r\n", text[i]))
		i++;
	if (i == length || (text[i] != '{' && text[i] != '['))
		return LIST_AUTO;
	if (text[i] == '{' && reading_lines(&reading, text + i, length - i, detect_line) == 1)
		return LIST_DROP;
	if (text[i] == '[' &&
	    (i + 1 == length || !text[i + 1] || !strchr("\"{[] \t\r\n", text[i + 1])))
		return LIST_AUTO; /* "[2001:db8::1]" is a bad line */
	return LIST_JSON;
}
