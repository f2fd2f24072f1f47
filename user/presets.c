// SPDX-License-Identifier: GPL-2.0-only
/*
 * Presets: files of known lists -> struct preset.
 *
 * In: a folder and a name. Out: where the list comes from, on what terms, and its configuration as text.
 */
#include "user/presets.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PRESET_BYTES 65536
#define ASN_MARK     "{ASN}"

/* ---------------------------------------------------------------- text */

static int file_text(const char *path, char **out)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t length;

	if (!file)
		return -errno;
	text = malloc(PRESET_BYTES);
	length = text ? fread(text, 1, PRESET_BYTES - 1, file) : 0;
	fclose(file);
	if (!text)
		return -ENOMEM;
	text[length] = '\0';
	*out = text;
	return 0;
}

/* What stands from `lists:` or `allow:` on. */
static const char *text_body(const char *text)
{
	const char *line = text;

	while (line) {
		if (!strncmp(line, "lists:", 6) || !strncmp(line, "allow:", 6))
			return line;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

/* With the number for each mark; malloc'ed. */
static char *text_expand(const char *text, const char *asn)
{
	size_t marks = 0, used = 0;
	char *out;

	for (const char *at = text; (at = strstr(at, ASN_MARK)); at += strlen(ASN_MARK))
		marks++;
	out = malloc(strlen(text) + marks * (asn ? strlen(asn) : 0) + 1);
	while (out && *text) {
		if (asn && !strncmp(text, ASN_MARK, strlen(ASN_MARK))) {
			memcpy(out + used, asn, strlen(asn));
			used += strlen(asn);
			text += strlen(ASN_MARK);
		} else {
			out[used++] = *text++;
		}
	}
	if (out)
		out[used] = '\0';
	return out;
}

/* The next line that says something, without blanks at its end; NULL at the end. */
static const char *line_next(const char **at, size_t *length)
{
	while (**at) {
		const char *line = *at, *start;

		*length = strcspn(line, "\n");
		*at = line + *length + (line[*length] == '\n');
		start = line + strspn(line, " \t\r");
		while (*length && isspace((unsigned char)line[*length - 1]))
			--*length;
		if (*start && *start != '#' && start < line + *length)
			return line;
	}
	return NULL;
}

bool preset_text_same(const char *a, const char *b)
{
	for (;;) {
		size_t length_a = 0, length_b = 0;
		const char *line_a = line_next(&a, &length_a), *line_b = line_next(&b, &length_b);

		if (!line_a || !line_b)
			return !line_a && !line_b;
		if (length_a != length_b || memcmp(line_a, line_b, length_a) != 0)
			return false;
	}
}

/* ---------------------------------------------------------------- tree */

static const char *preset_expanded(struct preset *preset, const char *text, const char *asn)
{
	char *expanded = text_expand(text, asn);
	const char *kept = expanded ? reading_text(&preset->reading, expanded, strlen(expanded)) :
				      NULL;

	free(expanded);
	return kept ? kept : "";
}

/* A member that has to be there. */
static const char *member(struct preset *preset, const struct node *mapping, const char *key)
{
	const struct node *value = node_get(mapping, key);

	if (value && value->kind == NODE_TEXT && *value->text)
		return value->text;
	reading_error(&preset->reading, mapping->place, "preset: %s: is missing", key);
	return "";
}

/* "spf:gmail.com, spf:outlook.com": what the list stands for, where it has no url. */
static const char *list_names(struct preset *preset, const struct node *item)
{
	static const char *const kinds[] = { "spf", "mx", "host" };
	char text[READING_TEXT] = "";
	size_t used = 0;

	for (size_t kind = 0; kind < 3; kind++) {
		const struct node *names = node_get(item, kinds[kind]);

		for (size_t i = 0; names && i < names->count && used < sizeof(text); i++)
			used += snprintf(text + used, sizeof(text) - used, "%s%s:%s",
					 used ? ", " : "", kinds[kind], names->items[i]->text);
	}
	return reading_text(&preset->reading, text, strlen(text));
}

static void list_add(struct preset *preset, const struct node *item, const char *asn)
{
	struct preset_list *list = &preset->lists[preset->lists_count];
	const struct node *url = node_get(item, "url"), *refresh = node_get(item, "refresh");

	if (!url)
		url = node_get(item, "rsync");
	if (preset->lists_count == PRESET_LISTS || item->kind != NODE_MAPPING) {
		reading_error(&preset->reading, item->place,
			      "a preset holds up to %d lists, each a mapping", PRESET_LISTS);
		return;
	}
	list->name = preset_expanded(preset, member(preset, item, "name"), asn);
	list->source = url && url->kind == NODE_TEXT ? preset_expanded(preset, url->text, asn) :
						       list_names(preset, item);
	list->refresh = refresh && refresh->kind == NODE_TEXT ? refresh->text : "";
	preset->lists_count++;
}

static void lists_add(struct preset *preset, const struct node *root, const char *asn)
{
	const struct node *lists = node_get(root, "lists"), *allow = node_get(root, "allow");
	const struct node *items = allow ? allow : lists;

	if (!items || (lists && allow) || items->kind != NODE_SEQUENCE || !items->count) {
		reading_error(&preset->reading, root->place,
			      "a preset has either lists: or allow:, and not empty");
		return;
	}
	preset->allow = allow != NULL;
	for (size_t i = 0; i < items->count; i++)
		list_add(preset, items->items[i], asn);
}

static void preset_fill(struct preset *preset, const struct node *root, const char *asn)
{
	const struct node *head = node_get(root, "preset");

	if (!head || head->kind != NODE_MAPPING) {
		reading_error(&preset->reading, root->place,
			      "preset: is missing, a mapping that says where the list comes from");
		return;
	}
	preset->about = member(preset, head, "about");
	preset->source = member(preset, head, "source");
	preset->terms = member(preset, head, "terms");
	preset->terms_url = member(preset, head, "terms_url");
	preset->ship = member(preset, head, "ship");
	preset->last_checked = member(preset, head, "last_checked");
	preset->accept_terms = !strcmp(member(preset, head, "accept_terms"), "yes");
	lists_add(preset, root, asn);
}

static int preset_fill_text(struct preset *preset, const char *path, const char *asn)
{
	char *text = NULL;
	const char *body;
	int error = file_text(path, &text);

	if (error)
		return error;
	body = text_body(text);
	preset->numbered = body && strstr(body, ASN_MARK);
	preset->text = text_expand(body ? body : "", asn);
	free(text);
	return preset->text ? 0 : -ENOMEM;
}

/* ---------------------------------------------------------------- files */

static bool name_good(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return isalnum((unsigned char)*name) && strlen(name) < GATE25_NAME;
}

int preset_read(const char *dir, const char *name, const char *asn, FILE *errors,
		struct preset **out)
{
	struct preset *preset = calloc(1, sizeof(*preset));
	struct node *root = NULL;
	char path[PATH_MAX];
	int error;

	if (!preset)
		return -ENOMEM;
	reading_begin(&preset->reading);
	snprintf(path, sizeof(path), "%s/%s.yaml", dir, name);
	error = name_good(name) ? preset_fill_text(preset, path, asn) : -ENOENT;
	if (!error)
		error = tree_read(&preset->reading, path, NULL, &root);
	if (!error && root)
		preset_fill(preset, root, asn);
	if (!error && preset->reading.errors)
		error = -EINVAL;
	if (!error)
		error = preset->reading.failure;
	if (error && error != -ENOENT)
		reading_report(&preset->reading, errors, errors);
	if (error) {
		preset_free(preset);
		return error;
	}
	snprintf(preset->name, sizeof(preset->name), "%s", name);
	*out = preset;
	return 0;
}

void preset_free(struct preset *preset)
{
	if (!preset)
		return;
	reading_end(&preset->reading);
	free(preset->text);
	free(preset);
}

static int is_preset(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot && !strcmp(dot, ".yaml");
}

int presets_names(const char *dir, char ***names, size_t *count)
{
	struct dirent **entries;
	int found = scandir(dir, &entries, is_preset, alphasort), error = 0;

	if (found < 0)
		return -errno;
	*names = calloc(found + 1, sizeof(**names));
	*count = 0;
	for (int i = 0; i < found; i++) {
		char *dot = strrchr(entries[i]->d_name, '.');

		if (*names)
			(*names)[*count] = strndup(entries[i]->d_name, dot - entries[i]->d_name);
		if (!*names || !(*names)[*count])
			error = -ENOMEM;
		else
			++*count;
		free(entries[i]);
	}
	free(entries);
	return error;
}
