// SPDX-License-Identifier: GPL-2.0-only
/*
 * Includes: several files -> one tree.
 *
 * In: the first file. Out: one mapping in which each key stands once. Files come in the order in which
 * they are named; what a pattern matches, in the order of the alphabet.
 */
#include "user/config_tree.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

/* Joined by name; 64 lists are the most, so whoever has many more has another problem. */
static const char *const named[] = { "lists", "allow", "services", "interfaces" };
#define NAMED_ITEMS 256

static bool is_named(const char *key)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (!strcmp(named[i], key))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- merging */

/* The name of an item; an interface may be a name alone. NULL: it has none. */
static const char *item_name(const struct node *item)
{
	const struct node *name = item->kind == NODE_MAPPING ? node_get(item, "name") : item;

	return name && name->kind == NODE_TEXT && *name->text ? name->text : NULL;
}

static struct node *item_find(const struct node *sequence, const char *name)
{
	for (size_t i = 0; i < sequence->count; i++) {
		const char *other = item_name(sequence->items[i]);

		if (other && !strcmp(other, name))
			return sequence->items[i];
	}
	return NULL;
}

static void merge_mapping(struct reading *reading, struct node *into, struct node *from,
			  const char *joined_by);

static void merge_item(struct reading *reading, struct node *sequence, struct node *item)
{
	const char *name = item_name(item);
	struct node *before = name ? item_find(sequence, name) : NULL;

	if (!before)
		node_add(reading, sequence, item);
	else if (before->kind == NODE_MAPPING && item->kind == NODE_MAPPING)
		merge_mapping(reading, before, item, "name");
	else if (item->kind == NODE_MAPPING)
		*before = *item;
}

/* Within one file a name that is there twice is a slip, not an addition. */
static bool item_is_repeated(struct reading *reading, const struct node *from, size_t index)
{
	const struct node *item = from->items[index];
	const char *name = item_name(item);
	const struct node *first = name ? item_find(from, name) : item;

	if (first == item)
		return false;
	reading_error(reading, item->place, "%s: '%s' is there twice, first in line %u; keep one",
		      item->key, name, first->place.line);
	return true;
}

/* An empty `from` is no sequence and has no items. */
static void merge_named(struct reading *reading, struct node *into, const struct node *from)
{
	for (size_t i = 0; i < from->count && !reading->failure; i++) {
		if (into->count == NAMED_ITEMS) {
			reading_error(reading, from->items[i]->place, "%s: more than %u items",
				      from->key, NAMED_ITEMS);
			return;
		}
		if (!item_is_repeated(reading, from, i))
			merge_item(reading, into, from->items[i]);
	}
}

static void merge_value(struct reading *reading, struct node *before, struct node *value)
{
	if (before->kind == NODE_REFUSED || value->kind == NODE_REFUSED ||
	    (node_is_empty(value) && before->kind != NODE_TEXT))
		return;
	if (node_is_empty(before) && value->kind != NODE_TEXT) {
		*before = *value;
	} else if (before->kind == NODE_SEQUENCE && value->kind == NODE_SEQUENCE) {
		for (size_t i = 0; i < value->count; i++)
			node_add(reading, before, value->items[i]);
	} else if (before->kind == NODE_MAPPING && value->kind == NODE_MAPPING) {
		merge_mapping(reading, before, value, NULL);
	} else {
		reading_error(reading, value->key_place, "key '%s' is set here and in %s; keep one",
			      value->key, reading_where(reading, before->key_place));
	}
}

/* An empty sequence where `value` stands, for its items to be joined into. */
static struct node *named_begin(struct reading *reading, struct node *into,
				const struct node *value)
{
	struct node *sequence = reading_alloc(reading, sizeof(*sequence));

	if (!sequence)
		return NULL;
	*sequence = (struct node){ .kind = NODE_SEQUENCE,
				   .place = value->place,
				   .key_place = value->key_place,
				   .key = value->key,
				   .text = "" };
	return node_add(reading, into, sequence) ? sequence : NULL;
}

static void merge_mapping(struct reading *reading, struct node *into, struct node *from,
			  const char *joined_by)
{
	for (size_t i = 0; i < from->count && !reading->failure; i++) {
		struct node *value = from->items[i];
		struct node *before = node_get(into, value->key);

		if (joined_by && !strcmp(value->key, joined_by))
			continue;
		if (before)
			merge_value(reading, before, value);
		else
			node_add(reading, into, value);
	}
}

void tree_merge(struct reading *reading, struct node *into, struct node *from)
{
	for (size_t i = 0; i < from->count && !reading->failure; i++) {
		struct node *value = from->items[i];
		struct node *before = node_get(into, value->key);

		if (is_named(value->key) &&
		    (value->kind == NODE_SEQUENCE || node_is_empty(value))) {
			if (!before)
				before = named_begin(reading, into, value);
			if (before && before->kind == NODE_SEQUENCE)
				merge_named(reading, before, value);
		} else if (!strcmp(value->key, "include")) {
			continue; /* followed by tree_load() */
		} else if (before) {
			merge_value(reading, before, value);
		} else {
			node_add(reading, into, value);
		}
	}
}

/* ---------------------------------------------------------------- includes */

struct loading {
	struct reading *reading;
	struct node *root;
};

static int load_file(struct loading *loading, const char *path, const struct place *from);

/* Who globs has no context of his own: the first error of a folder that cannot be read. */
static _Thread_local int glob_errno;

static int glob_failed(const char *path, int error)
{
	(void)path;
	if (error == ENOENT || error == ENOTDIR)
		return 0; /* a folder that is not there holds no files */
	glob_errno = error;
	return 1;
}

/* The folder of the file, as glob() reads it literally, with `text` behind; or `text` if it is absolute. */
static char *pattern_of(struct reading *reading, const char *file, const char *text)
{
	const char *end = strrchr(file, '/');
	size_t folder = *text != '/' && end ? (size_t)(end - file) + 1 : 0, used = 0;
	char *pattern = reading_alloc(reading, 2 * folder + strlen(text) + 1);

	for (size_t i = 0; pattern && i < folder; i++) {
		if (strchr("*?[\\", file[i]))
			pattern[used++] = '\\';
		pattern[used++] = file[i];
	}
	if (pattern)
		memcpy(pattern + used, text, strlen(text) + 1);
	return pattern;
}

static void include_pattern(struct loading *loading, const struct node *item)
{
	struct reading *reading = loading->reading;
	bool wild = item->text[strcspn(item->text, "*?[")];
	glob_t found = { 0 };
	char *pattern;
	int result;

	pattern = pattern_of(reading, reading->files[item->place.file].name, item->text);
	if (!pattern)
		return;
	glob_errno = 0;
	result = glob(pattern, 0, glob_failed, &found);
	if (result == GLOB_NOSPACE)
		reading->failure = -ENOMEM;
	else if (result == GLOB_ABORTED)
		reading_error(reading, item->place, "include: %s cannot be read: %s", item->text,
			      strerror(glob_errno));
	else if (result == GLOB_NOMATCH && !wild)
		reading_error(reading, item->place,
			      "include: %s is not there; files that may be missing are named "
			      "with a *, as in conf.d/*.yaml",
			      item->text);
	if (result && (result != GLOB_NOMATCH || !wild))
		reading->broken = true;
	for (size_t i = 0; !result && i < found.gl_pathc && !reading->failure; i++)
		load_file(loading, found.gl_pathv[i], &item->place);
	globfree(&found);
}

static void include_follow(struct loading *loading, const struct node *include)
{
	const struct node *const *items = (const struct node *const *)include->items;
	size_t count = include->count;

	if (include->kind == NODE_REFUSED || node_is_empty(include))
		return;
	if (include->kind == NODE_TEXT) {
		items = &include;
		count = 1;
	}
	for (size_t i = 0; i < count && !loading->reading->failure; i++) {
		if (items[i]->kind == NODE_REFUSED)
			continue;
		if (include->kind == NODE_MAPPING || items[i]->kind != NODE_TEXT ||
		    !*items[i]->text) {
			reading_error(loading->reading, items[i]->place,
				      "include: must be file names, as in include: conf.d/*.yaml");
			return;
		}
		include_pattern(loading, items[i]);
	}
}

static int load_file(struct loading *loading, const char *path, const struct place *from)
{
	struct reading *reading = loading->reading;
	const struct node *include;
	unsigned int file = reading->files_count;
	struct node *root = NULL;
	int error;

	error = tree_read(reading, path, from, &root);
	if (error)
		return error;
	if (!from)
		loading->root->place = root->place;
	tree_merge(reading, loading->root, root);
	include = node_get(root, "include");
	if (include)
		include_follow(loading, include);
	reading->files[file].open = false;
	return 0;
}

int tree_load(struct reading *reading, const char *path, struct node **root)
{
	struct loading loading = { .reading = reading };
	int error;

	loading.root = reading_alloc(reading, sizeof(*loading.root));
	if (!loading.root)
		return -ENOMEM;
	*loading.root = (struct node){ .kind = NODE_MAPPING, .key = "", .text = "" };
	error = load_file(&loading, path, NULL);
	if (error)
		return error;
	*root = loading.root;
	return reading->failure;
}
