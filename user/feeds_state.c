// SPDX-License-Identifier: GPL-2.0-only
/*
 * state_dir/feeds.json: what is known of each list's source.
 *
 * In and out: an array of struct feed_state, and a JSON object by the names of lists. Losing the file costs a
 * reading of the sources, nothing else; so it is replaced by rename without waiting for the disk.
 */
#include "user/feeds.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/log.h"

enum field_kind { FIELD_U64, FIELD_UNSIGNED, FIELD_BOOL, FIELD_TEXT };

#define FIELD(kind, member)                                                                        \
	{                                                                                          \
#member, kind, offsetof(struct feed_state, member),                                \
			sizeof(((struct feed_state *)0)->member)                                   \
	}

static const struct {
	const char *key;
	enum field_kind kind;
	size_t offset, size;
} fields[] = {
	FIELD(FIELD_U64, last_success_s),
	FIELD(FIELD_U64, last_attempt_s),
	FIELD(FIELD_U64, next_refresh_s),
	FIELD(FIELD_U64, entries4),
	FIELD(FIELD_U64, entries6),
	FIELD(FIELD_U64, lines),
	FIELD(FIELD_U64, bad_lines),
	FIELD(FIELD_TEXT, error),
	FIELD(FIELD_TEXT, format),
	FIELD(FIELD_TEXT, etag),
	FIELD(FIELD_TEXT, last_modified),
	FIELD(FIELD_UNSIGNED, failures),
	FIELD(FIELD_U64, identity.device),
	FIELD(FIELD_U64, identity.inode),
	FIELD(FIELD_U64, identity.size),
	FIELD(FIELD_U64, identity.mtime_ns),
	FIELD(FIELD_U64, identity.ctime_ns),
	FIELD(FIELD_BOOL, unsaved),
	FIELD(FIELD_UNSIGNED, wait.gate),
	FIELD(FIELD_UNSIGNED, wait.seen),
	FIELD(FIELD_U64, wait.since_s),
	FIELD(FIELD_U64, changed_s),
	FIELD(FIELD_U64, data_s),
	FIELD(FIELD_U64, left_out),
	FIELD(FIELD_BOOL, expired),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static json_t *field_pack(const struct feed_state *state, size_t field)
{
	const char *at = (const char *)state + fields[field].offset;
	json_t *text;

	switch (fields[field].kind) {
	case FIELD_U64:
		return json_integer((json_int_t) * (const __u64 *)at);
	case FIELD_UNSIGNED:
		return json_integer(*(const unsigned int *)at);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_TEXT:
		text = json_stringn(at, strnlen(at, fields[field].size));
		return text ? text : json_string(""); /* a server said something that is no UTF-8 */
	}
	return NULL;
}

static void field_unpack(struct feed_state *state, size_t field, const json_t *value)
{
	char *at = (char *)state + fields[field].offset;

	if (fields[field].kind == FIELD_TEXT && json_is_string(value))
		snprintf(at, fields[field].size, "%s", json_string_value(value));
	else if (fields[field].kind == FIELD_U64 && json_is_integer(value))
		*(__u64 *)at = json_integer_value(value);
	else if (fields[field].kind == FIELD_UNSIGNED && json_is_integer(value))
		*(unsigned int *)at = json_integer_value(value);
	else if (fields[field].kind == FIELD_BOOL && json_is_boolean(value))
		*(bool *)at = json_is_true(value);
}

static int states_path(const struct config *config, const char *end, char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/feeds.json%s", config->state_dir, end);

	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* NULL: there is none, or nothing can be made of it. */
static json_t *states_load(const struct config *config)
{
	char path[PATH_MAX];
	json_error_t why;
	json_t *root;

	if (states_path(config, "", path) || access(path, F_OK))
		return NULL;
	root = json_load_file(path, 0, &why);
	if (!root)
		log_warning("%s cannot be read (%s): the sources of all lists are read again", path,
			    why.text);
	return root;
}

int feeds_read(const struct config *config, struct feed_states *out)
{
	struct feed_state *states = calloc(config->lists_count + 1, sizeof(*states));
	json_t *root, *lists;

	if (!states)
		return -ENOMEM;
	root = states_load(config);
	lists = json_object_get(root, "lists");
	for (size_t i = 0; i < config->lists_count; i++) {
		const json_t *known = json_object_get(lists, config->lists[i].name);

		snprintf(states[i].name, sizeof(states[i].name), "%s", config->lists[i].name);
		for (size_t j = 0; j < FIELDS; j++)
			field_unpack(&states[i], j, json_object_get(known, fields[j].key));
	}
	json_decref(root);
	out->array = states;
	out->count = config->lists_count;
	return 0;
}

static json_t *states_pack(const struct feed_states *states)
{
	json_t *lists = json_object();

	for (size_t i = 0; i < states->count; i++) {
		json_t *known = json_object();

		for (size_t j = 0; j < FIELDS; j++)
			json_object_set_new_nocheck(known, fields[j].key,
						    field_pack(&states->array[i], j));
		json_object_set_new_nocheck(lists, states->array[i].name, known);
	}
	return json_pack("{s:i, s:o}", "schema", 1, "lists", lists);
}

int feeds_write(const struct config *config, const struct feed_states *states)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int error = states_path(config, "", path);
	json_t *root;

	if (!error)
		error = states_path(config, ".new", fresh);
	if (error)
		return error;
	root = states_pack(states);
	if (!root)
		return -ENOMEM;
	errno = 0;
	if (json_dump_file(root, fresh, JSON_INDENT(1)) || rename(fresh, path)) {
		error = errno ? -errno : -EIO;
		log_error(
			"cannot write %s: %s; after a restart the sources of lists are read again",
			path, strerror(-error));
		unlink(fresh);
	}
	json_decref(root);
	return error;
}

struct feed_state *feeds_find(const struct feed_states *states, const char *name)
{
	for (size_t i = 0; i < states->count; i++)
		if (!strcmp(states->array[i].name, name))
			return &states->array[i];
	return NULL;
}
