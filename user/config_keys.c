// SPDX-License-Identifier: GPL-2.0-only
/*
 * The keys of the configuration: one table a mapping.
 *
 * In: the tree of all files. Out: struct config, and a problem for each key that is unknown or comes later.
 */
#include "user/config_keys.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define KEY_NAMES 40 /* of one table */

/* ---------------------------------------------------------------- tables and mappings */

static const struct key *key_find(const struct key *keys, const char *name)
{
	for (; keys->name; keys++) {
		if (!strcmp(keys->name, name))
			return keys;
	}
	return NULL;
}

static void key_unknown(struct reading *reading, const struct node *value, const struct key *keys,
			const char *what)
{
	const char *names[KEY_NAMES] = { NULL }, *near;
	char allowed[512];
	size_t used = 0, count = 0;

	for (; keys->name && count < KEY_NAMES - 1; keys++) {
		if (keys->later)
			continue;
		names[count++] = keys->name;
		if (used < sizeof(allowed))
			used += snprintf(allowed + used, sizeof(allowed) - used, "%s%s",
					 used ? ", " : "", keys->name);
	}
	near = value_near(value->key, names);
	reading_error(reading, value->key_place, "unknown key '%s'%s%s; %s%s%s%s", value->key,
		      *what ? " " : "", what,
		      near ? "did you mean '" : "allowed: ", near ? near : allowed,
		      near ? "'? allowed: " : "", near ? allowed : "");
}

void keys_read(struct build *build, const struct node *mapping, const struct key *keys,
	       const char *what, void *target)
{
	for (size_t i = 0; i < mapping->count; i++) {
		const struct key *key = key_find(keys, mapping->items[i]->key);

		if (!key)
			key_unknown(build->reading, mapping->items[i], keys, what);
		else if (key->later)
			reading_error(build->reading, mapping->items[i]->key_place,
				      "key '%s' is not there yet; %s", key->name, key->later);
	}
	for (; keys->name; keys++) {
		const struct node *value = node_get(mapping, keys->name);

		if (value && keys->read && !build->reading->failure)
			keys->read(build, value, target);
	}
}

static void keys_walk(const struct key *keys, const char *before,
		      void (*each)(const char *path, void *context), void *context)
{
	char path[160];

	for (; keys->name; keys++) {
		if (keys->later)
			continue;
		snprintf(path, sizeof(path), "%s%s%s", before, *before ? "." : "", keys->name);
		each(path, context);
		if (keys->keys)
			keys_walk(keys->keys, path, each, context);
	}
}

void keys_each(void (*each)(const char *path, void *context), void *context)
{
	keys_walk(root_keys, "", each, context);
}

/* ---------------------------------------------------------------- shared readers */

void observe_read(struct build *build, const struct node *value, bool *observe)
{
	static const struct word words[] = { { "enforce", 0, NULL },
					     { "observe", 1, NULL },
					     { 0 } };
	int word;

	if (value_word(build->reading, value, words, &word))
		*observe = word;
}

void action_read(struct build *build, const struct node *value, __u8 *action)
{
	static const char later[] = "use drop";
	static const struct word words[] = {
		{ "drop", GATE25_DROP, NULL }, { "pass", GATE25_PASS, NULL }, { "reset", 0, later },
		{ "refuse", 0, later },	       { "tarpit", 0, later },	      { 0 }
	};
	int word;

	if (value_word(build->reading, value, words, &word))
		*action = word;
}

/* Names of services, as a list or one alone, to bits by index. */
void mask_read(struct build *build, const struct node *value, __u8 *services)
{
	const struct node *const *items = (const struct node *const *)value->items;
	size_t count = value->count;
	__u8 mask = 0;

	if (value->kind == NODE_TEXT && *value->text) {
		items = &value;
		count = 1;
	} else if (!value_kind(build->reading, value, NODE_SEQUENCE, "services: [mx]")) {
		return;
	}
	if (!count)
		reading_error(build->reading, value->place,
			      "services: is empty, so this would hold nowhere; name a service, or "
			      "remove it");
	for (size_t i = 0; i < count; i++) {
		const char *name = value_text(build->reading, items[i]);
		int index = name ? config_service_find(build->config, name) : -1;

		if (index >= 0)
			mask |= 1 << index;
		else if (name)
			reading_error(
				build->reading, items[i]->place,
				"services: there is no service '%s'; it must be one of services:",
				name);
	}
	*services = mask;
}

/* ---------------------------------------------------------------- the top */

static void observe_root_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	observe_read(build, value, &config->observe);
	config->policy_set = true;
}

static void threshold_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;
	long number;

	if (value_number(build->reading, value, 1, 1000, &number))
		config->threshold = number;
}

static void mode_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "auto", ATTACH_AUTO, NULL },
					     { "native", ATTACH_NATIVE, NULL },
					     { "generic", ATTACH_GENERIC, NULL },
					     { 0 } };
	struct config_interface *interface = target;
	int word;

	if (value_word(build->reading, value, words, &word))
		interface->mode = word;
}

static void interface_name_read(struct build *build, const struct node *value, void *target)
{
	struct config_interface *interface = target;

	value_interface(build->reading, value, interface->name);
}

static void interfaces_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	if (!value_kind(build->reading, value, NODE_SEQUENCE, "interfaces: [eth0]"))
		return;
	for (size_t i = 0; i < value->count; i++) {
		const struct node *item = value->items[i];
		struct config_interface *interface = &config->interfaces[config->interfaces_count];

		if (config->interfaces_count == GATE25_IFACES) {
			reading_error(build->reading, item->place, "interfaces: more than %d",
				      GATE25_IFACES);
			return;
		}
		*interface = (struct config_interface){ .file = item->place.file,
							.line = item->place.line };
		if (item->kind == NODE_MAPPING)
			keys_read(build, item, interface_keys, "of an interface", interface);
		else
			value_interface(build->reading, item, interface->name);
		if (item->kind == NODE_MAPPING && !node_get(item, "name"))
			reading_error(
				build->reading, item->place,
				"interfaces: an item has no name; write {name: eth0, mode: auto}");
		config->interfaces_count += interface->name[0] != 0;
	}
}

static void translated_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	config->translated_count = 0;
	if (!value_kind(build->reading, value, NODE_SEQUENCE, "translated: [\"64:ff9b::/96\"]"))
		return;
	for (size_t i = 0; i < value->count; i++) {
		struct prefix prefix;

		if (!value_prefix(build->reading, value->items[i], NULL, 0, &prefix))
			continue;
		if (prefix.address.family != 6 || prefix.length != 96)
			reading_error(build->reading, value->items[i]->place,
				      "translated: must be an IPv6 prefix of length 96");
		else if (config->translated_count == GATE25_TRANSLATED)
			reading_error(build->reading, value->items[i]->place,
				      "translated: more than %d", GATE25_TRANSLATED);
		else {
			config->translated[config->translated_count][0] = prefix.address.hi;
			config->translated[config->translated_count++][1] = prefix.address.lo;
		}
	}
}

/* A mapping whose keys have a table: overlay, events, metrics. */
static void part_read(struct build *build, const struct node *value, const struct key *keys,
		      const char *what, const char *example)
{
	if (value_kind(build->reading, value, NODE_MAPPING, example))
		keys_read(build, value, keys, what, build->config);
}

static void max_entries_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;
	long number;

	if (value_number(build->reading, value, 64, CONFIG_OVERLAY_MOST, &number))
		config->overlay_entries = number;
}

static void events_rate_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	value_rate(build->reading, value, &config->events_per_s);
}

static void listen_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	value_listen(build->reading, value, &config->metrics_listen);
}

static const struct key overlay_keys[] = { { "max_entries", max_entries_read, NULL, NULL }, { 0 } };
static const struct key events_keys[] = { { "rate", events_rate_read, NULL, NULL }, { 0 } };
static const struct key metrics_keys[] = { { "listen", listen_read, NULL, NULL }, { 0 } };

static void overlay_read(struct build *build, const struct node *value, void *target)
{
	(void)target;
	part_read(build, value, overlay_keys, "in overlay", "overlay: {max_entries: 65536}");
}

static void events_read(struct build *build, const struct node *value, void *target)
{
	(void)target;
	part_read(build, value, events_keys, "in events", "events: {rate: 100/s}");
}

static void metrics_read(struct build *build, const struct node *value, void *target)
{
	(void)target;
	part_read(build, value, metrics_keys, "in metrics",
		  "metrics: {listen: \"127.0.0.1:9925\"}");
}

/* sockaddr_un holds 108 bytes, and a name lies in each of these. */
#define FOLDER_MOST 80

static void state_dir_read(struct build *build, const struct node *value, void *target)
{
	value_folder(build->reading, value, FOLDER_MOST, &((struct config *)target)->state_dir);
}

static void run_dir_read(struct build *build, const struct node *value, void *target)
{
	value_folder(build->reading, value, FOLDER_MOST, &((struct config *)target)->run_dir);
}

static void pin_dir_read(struct build *build, const struct node *value, void *target)
{
	value_folder(build->reading, value, FOLDER_MOST, &((struct config *)target)->pin_dir);
}

static void user_read(struct build *build, const struct node *value, void *target)
{
	const char *text = value_text(build->reading, value);
	const char *out = NULL;

	if (!text)
		return;
	if (!getpwnam(text))
		reading_error(build->reading, value->place,
			      "user: there is no user '%s'; make one: useradd --system --shell "
			      "/usr/sbin/nologin %s",
			      text, text);
	else if (!fetch_text_copy(text, &out))
		build->reading->failure = -ENOMEM;
	((struct config *)target)->user = (char *)out;
}

const struct key interface_keys[] = { { "name", interface_name_read, NULL, NULL },
				      { "mode", mode_read, NULL, NULL },
				      { 0 } };

/* In the order in which they are read: addresses need `translated`, lists and limits need the services, names the resolver. */
const struct key root_keys[] = {
	{ "include", NULL, NULL, NULL }, /* followed when the tree was made */
	{ "state_dir", state_dir_read, NULL, NULL },
	{ "run_dir", run_dir_read, NULL, NULL },
	{ "pin_dir", pin_dir_read, NULL, NULL },
	{ "user", user_read, NULL, NULL },
	{ "interfaces", interfaces_read, interface_keys, NULL },
	{ "translated", translated_read, NULL, NULL },
	{ "ports", ports_read, NULL, NULL },
	{ "services", services_read, service_keys, NULL },
	{ "policy", observe_root_read, NULL, NULL },
	{ "threshold", threshold_read, NULL, NULL },
	{ "resolver", resolver_read, NULL, NULL },
	{ "allow", allow_read, allow_keys, NULL },
	{ "lists", lists_read, list_keys, NULL },
	{ "limits", limits_read, limits_keys, NULL },
	{ "overlay", overlay_read, overlay_keys, NULL },
	{ "events", events_read, events_keys, NULL },
	{ "metrics", metrics_read, metrics_keys, NULL },
	{ "connections", NULL, NULL,
	  "those of this network namespace are counted; see limits: {count: …}" },
	{ "cookies", NULL, NULL, "remove it" },
	{ 0 },
};
