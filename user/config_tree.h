/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * YAML files -> one tree of nodes, each with its file and line.
 *
 * YAML beyond what a configuration needs is refused with a message: tags, anchors, aliases, keys that are
 * no text, further documents, control characters. Includes are merged here, so the steps behind see one tree.
 */
#ifndef GATE25_CONFIG_TREE_H
#define GATE25_CONFIG_TREE_H

#include "user/config_reading.h"

enum node_kind {
	NODE_TEXT,
	NODE_SEQUENCE,
	NODE_MAPPING,
	NODE_REFUSED, /* its problem is noted already: whoever meets it says nothing more */
};

struct node {
	enum node_kind kind;
	bool plain; /* text without quotes: where it is empty, nothing was written */
	struct place place;
	struct place key_place;
	const char *key;  /* it stands under; an item has the key of its sequence, the top has "" */
	const char *text; /* NODE_TEXT: one line of UTF-8 without control characters */
	struct node **items; /* of a sequence, or the values of a mapping, each with its key */
	size_t count, space;
};

/* "text", "a list", "a mapping": for messages. */
const char *node_kind_name(const struct node *node);

/* `lists:` with nothing behind it. */
bool node_is_empty(const struct node *node);

/* The value of a key, or NULL. */
struct node *node_get(const struct node *mapping, const char *key);

/* Adds an item or a value; false when memory ran out (noted in `reading`). */
bool node_add(struct reading *reading, struct node *parent, struct node *item);

/*
 * Reads one file. *root is a mapping (empty for an empty file), or NULL where the file could not be
 * opened: then -errno, and the message stands at `from` (where it is named; for the first file NULL).
 * A file that is no YAML is noted as a problem, reading->broken is set, and *root has what was before.
 */
int tree_read(struct reading *reading, const char *path, const struct place *from,
	      struct node **root);

/* Reads a file with all that it includes into one mapping. Returns -errno when `path` itself cannot be read. */
int tree_load(struct reading *reading, const char *path, struct node **root);

/*
 * Merges `from` into `into`, key by key: sequences are joined, mappings merged, a text that is there twice is
 * a problem. Items of lists, allow, services and interfaces are joined by name. (config_merge.c)
 */
void tree_merge(struct reading *reading, struct node *into, struct node *from);

#endif
