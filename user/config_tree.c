// SPDX-License-Identifier: GPL-2.0-only
/*
 * One YAML file -> nodes.
 *
 * In: a file. Out: a mapping of nodes with their lines, and a message for everything that is not as it should be.
 * Bounds keep a foreign or damaged file from costing time or memory: size, depth, keys of a mapping.
 */
#include "user/config_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define TREE_BYTES (1U << 20)
#define TREE_DEPTH 12 /* the deepest key is at 5 */
#define TREE_KEYS  64 /* of one mapping; looked up one by one */

struct tree_parser {
	yaml_parser_t yaml;
	struct reading *reading;
	unsigned int file;
	const char *bytes;
	size_t size;
};

const char *node_kind_name(const struct node *node)
{
	static const char *const names[] = {
		[NODE_TEXT] = "text",
		[NODE_SEQUENCE] = "a list",
		[NODE_MAPPING] = "a mapping",
		[NODE_REFUSED] = "refused",
	};

	return names[node->kind];
}

bool node_is_empty(const struct node *node)
{
	return node->kind == NODE_TEXT && node->plain &&
	       (!*node->text || !strcmp(node->text, "~") || !strcmp(node->text, "null"));
}

struct node *node_get(const struct node *mapping, const char *key)
{
	if (mapping->kind != NODE_MAPPING)
		return NULL;
	for (size_t i = 0; i < mapping->count; i++) {
		if (!strcmp(mapping->items[i]->key, key))
			return mapping->items[i];
	}
	return NULL;
}

bool node_add(struct reading *reading, struct node *parent, struct node *item)
{
	if (parent->count == parent->space) {
		size_t space = parent->space ? parent->space * 2 : 8;
		struct node **items = reading_alloc(reading, space * sizeof(struct node *));

		if (!items)
			return false;
		if (parent->count)
			memcpy(items, parent->items, parent->count * sizeof(struct node *));
		parent->items = items;
		parent->space = space;
	}
	parent->items[parent->count++] = item;
	return true;
}

static struct place event_place(const struct tree_parser *parser, const yaml_event_t *event)
{
	return (struct place){ parser->file, event->start_mark.line + 1 };
}

static struct node *node_new(struct tree_parser *parser, const yaml_event_t *event,
			     enum node_kind kind)
{
	struct node *node = reading_alloc(parser->reading, sizeof(*node));

	if (node) {
		node->kind = kind;
		node->place = node->key_place = event_place(parser, event);
		node->key = node->text = "";
	}
	return node;
}

/* ---------------------------------------------------------------- what libyaml does not take */

static unsigned int line_of_offset(const struct tree_parser *parser, size_t offset)
{
	unsigned int line = 1;

	for (size_t i = 0; i < offset && i < parser->size; i++)
		line += parser->bytes[i] == '\n';
	return line;
}

/* A tab is the commonest reason, and libyaml's words for it do not say so. */
static bool line_is_indented_by_tab(const struct tree_parser *parser, unsigned int line)
{
	size_t i = 0;

	for (; line > 1 && i < parser->size; i++)
		line -= parser->bytes[i] == '\n';
	while (i < parser->size && parser->bytes[i] == ' ')
		i++;
	return i < parser->size && parser->bytes[i] == '\t';
}

static void syntax_problem(struct tree_parser *parser)
{
	const yaml_parser_t *yaml = &parser->yaml;
	struct place place = { parser->file, yaml->problem_mark.line + 1 };
	const char *problem = yaml->problem ? yaml->problem : "it ends too early";

	if (yaml->error == YAML_READER_ERROR) {
		place.line = line_of_offset(parser, yaml->problem_offset);
		reading_error(parser->reading, place, "not UTF-8 text: %s; save the file as UTF-8",
			      problem);
	} else if (line_is_indented_by_tab(parser, place.line)) {
		reading_error(parser->reading, place,
			      "not YAML: a tab indents this line; indent with spaces");
	} else if (yaml->context && yaml->context_mark.line + 1 != place.line) {
		reading_error(parser->reading, place, "not YAML: %s, %s that begins in line %zu",
			      problem, yaml->context, yaml->context_mark.line + 1);
	} else {
		reading_error(parser->reading, place, "not YAML: %s%s%s", problem,
			      yaml->context ? ", " : "", yaml->context ? yaml->context : "");
	}
}

/* The next event; whoever gets 0 deletes it. */
static int next_event(struct tree_parser *parser, yaml_event_t *event)
{
	if (yaml_parser_parse(&parser->yaml, event))
		return 0;
	if (parser->yaml.error == YAML_MEMORY_ERROR) {
		parser->reading->failure = -ENOMEM;
		return -ENOMEM;
	}
	syntax_problem(parser);
	return -EINVAL;
}

static void event_extras(const yaml_event_t *event, const yaml_char_t **anchor,
			 const yaml_char_t **tag)
{
	*anchor = *tag = NULL;
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		*anchor = event->data.scalar.anchor;
		*tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		*anchor = event->data.sequence_start.anchor;
		*tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		*anchor = event->data.mapping_start.anchor;
		*tag = event->data.mapping_start.tag;
		break;
	case YAML_ALIAS_EVENT:
		*anchor = event->data.alias.anchor;
		break;
	default:
		break;
	}
}

/* true: the node is refused, and said so */
static bool refuse_extras(struct tree_parser *parser, const yaml_event_t *event)
{
	const yaml_char_t *anchor, *tag;
	struct place place = event_place(parser, event);

	event_extras(event, &anchor, &tag);
	if (anchor)
		reading_error(parser->reading, place,
			      "%s%s: anchors and aliases are not read here; write the value out",
			      event->type == YAML_ALIAS_EVENT ? "*" : "&", (const char *)anchor);
	else if (tag)
		reading_error(parser->reading, place,
			      "tag %s: tags are not read here; write the value alone",
			      (const char *)tag);
	return anchor || tag;
}

/* ---------------------------------------------------------------- nodes */

static int parse_node(struct tree_parser *parser, const yaml_event_t *event, unsigned int depth,
		      struct node **out);

/* Text is shown in messages and lands in paths and maps: one line, nothing hidden in it. */
static const char *text_fault(const unsigned char *text, size_t length)
{
	if (length > READING_TEXT)
		return "text of more than 1,024 bytes; are its quotes closed?";
	for (size_t i = 0; i < length; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f)
			return "a line break or control character in the text; write it in one "
			       "line";
	}
	return NULL;
}

static int parse_text(struct tree_parser *parser, const yaml_event_t *event, struct node **out)
{
	const unsigned char *value = event->data.scalar.value;
	size_t length = event->data.scalar.length;
	const char *fault = text_fault(value, length);
	struct node *node = node_new(parser, event, NODE_TEXT);

	if (!node)
		return -ENOMEM;
	if (fault) {
		reading_error(parser->reading, node->place, "%s", fault);
		node->kind = NODE_REFUSED;
	} else {
		node->text = reading_text(parser->reading, (const char *)value, length);
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	}
	*out = node;
	return node->text ? 0 : -ENOMEM;
}

static int parse_sequence(struct tree_parser *parser, unsigned int depth, struct node *sequence)
{
	for (;;) {
		yaml_event_t event;
		struct node *item = NULL;
		int error = next_event(parser, &event);

		if (error)
			return error;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		error = parse_node(parser, &event, depth, &item);
		yaml_event_delete(&event);
		if (item && !node_add(parser->reading, sequence, item))
			return -ENOMEM;
		if (error)
			return error;
	}
}

static bool key_is_good(struct tree_parser *parser, const struct node *mapping,
			const struct node *key)
{
	const struct node *before;

	if (key->kind == NODE_REFUSED)
		return false;
	if (key->kind != NODE_TEXT) {
		reading_error(parser->reading, key->place, "a key must be text, not %s",
			      node_kind_name(key));
		return false;
	}
	before = node_get(mapping, key->text);
	if (before) {
		reading_error(parser->reading, key->place,
			      "key '%s' is there twice, first in line %u; keep one", key->text,
			      before->key_place.line);
		return false;
	}
	if (mapping->count == TREE_KEYS) {
		reading_error(parser->reading, key->place, "more than %u keys in one mapping",
			      TREE_KEYS);
		return false;
	}
	return true;
}

static void key_set(struct node *value, const struct node *key)
{
	value->key = key->text;
	value->key_place = key->place;
	for (size_t i = 0; value->kind == NODE_SEQUENCE && i < value->count; i++)
		value->items[i]->key = key->text;
}

static int parse_mapping(struct tree_parser *parser, unsigned int depth, struct node *mapping)
{
	struct node *key = NULL;

	for (;;) {
		yaml_event_t event;
		struct node *node = NULL;
		int error = next_event(parser, &event);

		if (error)
			return error;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		error = parse_node(parser, &event, depth, &node);
		yaml_event_delete(&event);
		if (!key) {
			key = node;
		} else if (node) {
			if (key_is_good(parser, mapping, key)) {
				key_set(node, key);
				if (!node_add(parser->reading, mapping, node))
					return -ENOMEM;
			}
			key = NULL;
		}
		if (error)
			return error;
	}
}

/* *out is set also on an error, to what was read before it. */
static int parse_node(struct tree_parser *parser, const yaml_event_t *event, unsigned int depth,
		      struct node **out)
{
	bool refused = refuse_extras(parser, event);
	int error = 0;

	if (depth == TREE_DEPTH) {
		reading_error(parser->reading, event_place(parser, event),
			      "nested deeper than %u levels: no key goes that deep", TREE_DEPTH);
		return -EINVAL;
	}
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		error = parse_text(parser, event, out);
		break;
	case YAML_SEQUENCE_START_EVENT:
		*out = node_new(parser, event, NODE_SEQUENCE);
		error = *out ? parse_sequence(parser, depth + 1, *out) : -ENOMEM;
		break;
	case YAML_MAPPING_START_EVENT:
		*out = node_new(parser, event, NODE_MAPPING);
		error = *out ? parse_mapping(parser, depth + 1, *out) : -ENOMEM;
		break;
	default: /* an alias */
		*out = node_new(parser, event, NODE_REFUSED);
		error = *out ? 0 : -ENOMEM;
		break;
	}
	if (refused && *out)
		(*out)->kind = NODE_REFUSED;
	return error;
}

static int parse_document(struct tree_parser *parser, const yaml_event_t *event, struct node *root)
{
	struct node *node = NULL;
	int error = parse_node(parser, event, 0, &node);

	if (!node || node->kind == NODE_REFUSED || node_is_empty(node))
		return error;
	if (node->kind != NODE_MAPPING) {
		reading_error(parser->reading, node->place,
			      "the file must be a mapping (\"key: value\"), not %s",
			      node_kind_name(node));
		return -EINVAL;
	}
	*root = *node;
	return error;
}

static int parse_stream(struct tree_parser *parser, struct node *root)
{
	unsigned int documents = 0;
	bool more = true;
	int error;

	while (more) {
		yaml_event_t event;

		error = next_event(parser, &event);
		if (error)
			return error;
		if (event.type == YAML_DOCUMENT_START_EVENT && documents++) {
			reading_error(
				parser->reading, event_place(parser, &event),
				"a second document begins here (---); one file is one document");
			error = -EINVAL;
		} else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT ||
			   event.type == YAML_SEQUENCE_START_EVENT ||
			   event.type == YAML_MAPPING_START_EVENT) {
			error = parse_document(parser, &event, root);
		}
		more = event.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
		if (error)
			return error;
	}
	return 0;
}

/* ---------------------------------------------------------------- the file */

static int parse_bytes(struct reading *reading, unsigned int file, const char *bytes, size_t size,
		       struct node *root)
{
	struct tree_parser parser = {
		.reading = reading, .file = file, .bytes = bytes, .size = size
	};

	if (!yaml_parser_initialize(&parser.yaml)) {
		reading->failure = -ENOMEM;
		return -ENOMEM;
	}
	yaml_parser_set_encoding(&parser.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)bytes, size);
	if (parse_stream(&parser, root))
		reading->broken = true;
	yaml_parser_delete(&parser.yaml);
	return reading->failure;
}

/* Takes the file up among those of the reading; a file that is there already is a problem. */
static int file_register(struct reading *reading, const char *path, const struct stat *status,
			 const struct place *from)
{
	struct reading_file *file = &reading->files[reading->files_count];

	for (unsigned int i = 0; i < reading->files_count && from; i++) {
		const struct reading_file *other = &reading->files[i];

		if (other->device != status->st_dev || other->inode != status->st_ino)
			continue;
		reading_error(reading, *from,
			      other->open ?
				      "include: %s is one of the files that lead here: a circle" :
				      "include: %s is included twice; name it once",
			      path);
		return -EEXIST;
	}
	if (from && reading->files_count == READING_FILES) {
		reading_error(reading, *from, "include: more than %u files", READING_FILES);
		return -E2BIG;
	}
	file->name = strdup(path);
	if (!file->name) {
		reading->failure = -ENOMEM;
		return -ENOMEM;
	}
	file->device = status->st_dev;
	file->inode = status->st_ino;
	file->open = true;
	reading->files_count++;
	return 0;
}

static const char *file_fault(const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		return "is a directory; name the file in it";
	if (!S_ISREG(status->st_mode))
		return "is not a regular file";
	if (status->st_size > TREE_BYTES)
		return "is larger than 1 MiB: no configuration is (a list's entries belong into "
		       "a file that `file:` names)";
	return NULL;
}

/* Where the first file cannot even be opened there is no file yet to place the message in. */
static int file_problem(struct reading *reading, const char *path, const struct place *from,
			const char *fault, int error)
{
	struct stat none = { 0 };

	if (from) {
		reading_error(reading, *from, "include: %s %s", path, fault);
		reading->broken = true;
	} else if (!file_register(reading, path, &none, NULL)) {
		reading_error(reading, (struct place){ 0, 0 }, "%s", fault);
	}
	return reading->failure ? reading->failure : error;
}

static int file_read(int fd, char *bytes, size_t *size)
{
	size_t room = *size;

	*size = 0;
	while (*size < room) {
		ssize_t got = read(fd, bytes + *size, room - *size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		*size += got;
	}
	return 0;
}

static int file_open(struct reading *reading, const char *path, const struct place *from,
		     struct stat *status)
{
	char fault[200];
	/* O_NONBLOCK: a FIFO is refused below, not waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, status)) {
		int error = -errno;

		snprintf(fault, sizeof(fault), "cannot be read: %s", strerror(-error));
		if (fd >= 0)
			close(fd);
		return file_problem(reading, path, from, fault, error);
	}
	if (file_fault(status)) {
		close(fd);
		return file_problem(reading, path, from, file_fault(status), -EINVAL);
	}
	return fd;
}

/* A write that was cut short leaves an empty file: taken at its word, it would take the guard off. */
static void refuse_empty(struct reading *reading, unsigned int file, const struct node *root)
{
	if (!root->count && !reading->errors)
		reading_error(reading, (struct place){ file, 0 },
			      "is empty: there is no key in it; write at least interfaces: [eth0], "
			      "or bring back what stood there");
}

int tree_read(struct reading *reading, const char *path, const struct place *from,
	      struct node **root)
{
	size_t size = TREE_BYTES;
	struct stat status = { 0 };
	char *bytes = NULL;
	unsigned int file;
	int fd, error;

	fd = file_open(reading, path, from, &status);
	if (fd < 0)
		return fd;
	file = reading->files_count;
	error = file_register(reading, path, &status, from);
	if (error)
		goto out;
	error = -ENOMEM;
	bytes = malloc(size);
	*root = reading_alloc(reading, sizeof(**root));
	if (!bytes || !*root) {
		reading->failure = error;
		goto out;
	}
	**root = (struct node){ .kind = NODE_MAPPING, .key = "", .text = "" };
	(*root)->place = (*root)->key_place = (struct place){ file, 1 };
	error = file_read(fd, bytes, &size);
	if (error)
		reading_error(reading, (struct place){ file, 0 }, "cannot be read: %s",
			      strerror(-error));
	else
		error = parse_bytes(reading, file, bytes, size, *root);
	if (!from && !error)
		refuse_empty(reading, file, *root);
out:
	free(bytes);
	close(fd);
	return error;
}
