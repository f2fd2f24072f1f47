// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists of the configuration, those that block and those that allow. In: their mappings. Out: the array in struct
 * config.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "user/config_keys.h"
#include "user/secret.h"

static void list_name_read(struct build *build, const struct node *value, void *target)
{
	value_name(build->reading, value, ((struct config_list *)target)->name);
}

static void list_file_read(struct build *build, const struct node *value, void *target)
{
	value_file(build->reading, value, &((struct config_list *)target)->file);
}

static void list_url_read(struct build *build, const struct node *value, void *target)
{
	value_url(build->reading, value, &((struct config_list *)target)->url);
}

static void entries_read(struct build *build, const struct node *value, void *target)
{
	struct config_list *list = target;
	const struct config *config = build->config;

	if (!value_kind(build->reading, value, NODE_SEQUENCE, "entries: [192.0.2.0/24]"))
		return;
	list->entries = calloc(value->count ? value->count : 1, sizeof(*list->entries));
	if (!list->entries) {
		build->reading->failure = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < value->count; i++)
		list->entries_count += value_prefix(build->reading, value->items[i],
						    config->translated, config->translated_count,
						    &list->entries[list->entries_count]);
}

static void format_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "auto", LIST_AUTO, NULL },
					     { "plain", LIST_PLAIN, NULL },
					     { "rbldnsd", LIST_RBLDNSD, NULL },
					     { "ip4set", LIST_RBLDNSD, NULL },
					     { "combined", LIST_RBLDNSD, NULL },
					     { "ip4tset", LIST_IP4TSET, NULL },
					     { "ip4trie", LIST_IP4TRIE, NULL },
					     { "ip6tset", LIST_IP6TSET, NULL },
					     { "ip6trie", LIST_IP6TRIE, NULL },
					     { "drop", LIST_DROP, NULL },
					     { "dshield", LIST_DSHIELD, NULL },
					     { "csv", LIST_CSV, NULL },
					     { "rpz", LIST_RPZ, NULL },
					     { "json", LIST_JSON, NULL },
					     { 0 } };
	struct config_list *list = target;
	int word;

	if (value_word(build->reading, value, words, &word))
		list->format = word;
}

static void code_add(struct build *build, const struct node *value, struct list_codes *codes)
{
	const char *text = value_text(build->reading, value), *why;

	if (text && codes_add(codes, text, &why))
		reading_error(build->reading, value->place, "codes: '%s': %s", text, why);
}

static void codes_read(struct build *build, const struct node *value, void *target)
{
	struct config_list *list = target;

	if (value->kind != NODE_SEQUENCE) {
		code_add(build, value, &list->codes);
		return;
	}
	for (size_t i = 0; i < value->count; i++)
		code_add(build, value->items[i], &list->codes);
	if (!value->count)
		reading_error(build->reading, value->place,
			      "codes: is empty; write codes: 127.0.0.2, or leave the key out");
}

static void text_read(struct build *build, const struct node *value, char **out)
{
	const char *text = value_text(build->reading, value);

	if (!text)
		return;
	*out = strdup(text);
	if (!*out)
		build->reading->failure = -ENOMEM;
}

static void column_read(struct build *build, const struct node *value, void *target)
{
	text_read(build, value, &((struct config_list *)target)->column);
}

static void member_read(struct build *build, const struct node *value, void *target)
{
	text_read(build, value, &((struct config_list *)target)->member);
}

static void weight_read(struct build *build, const struct node *value, void *target)
{
	struct config_list *list = target;
	long number;

	if (!value_number(build->reading, value, -100, 100, &number))
		return;
	if (!number)
		reading_error(build->reading, value->place,
			      "weight: 0 says nothing; for a list that only counts write policy: "
			      "observe");
	else
		list->weight = number;
}

static void list_action_read(struct build *build, const struct node *value, void *target)
{
	action_read(build, value, &((struct config_list *)target)->action);
}

static void list_policy_read(struct build *build, const struct node *value, void *target)
{
	observe_read(build, value, &((struct config_list *)target)->observe);
}

static void list_services_read(struct build *build, const struct node *value, void *target)
{
	mask_read(build, value, &((struct config_list *)target)->services);
}

static void refresh_read(struct build *build, const struct node *value, void *target)
{
	value_duration(build->reading, value, 10, 30 * 86400,
		       &((struct config_list *)target)->refresh_s);
}

static void option_keep(struct build *build, const struct node *value, const char **out)
{
	const char *text = value_text(build->reading, value);
	const char *fault = text ? secret_fault(text) : NULL;

	if (fault)
		reading_error(build->reading, value->place, "%s: %s", value->key, fault);
	else if (text && !fetch_text_copy(text, out))
		build->reading->failure = -ENOMEM;
}

static void header_read(struct build *build, const struct node *value, const char **out)
{
	const char *text = value_text(build->reading, value);
	size_t name = text ? strcspn(text, ": \t") : 0;

	if (!text)
		return;
	if (!name || text[name] != ':')
		reading_error(build->reading, value->place,
			      "headers: '%s' is none; write \"Name: value\"", text);
	else
		option_keep(build, value, out);
}

static void headers_read(struct build *build, const struct node *value, void *target)
{
	struct fetch_options *options = &((struct config_list *)target)->options;

	if (!value_kind(build->reading, value, NODE_SEQUENCE,
			"headers: [\"Authorization: Bearer ${cred:NAME}\"]"))
		return;
	if (value->count > FETCH_HEADERS)
		reading_error(build->reading, value->place, "headers: more than %d", FETCH_HEADERS);
	for (size_t i = 0; i < value->count && i < FETCH_HEADERS; i++)
		header_read(build, value->items[i], &options->headers[i]);
}

static void pem_read(struct build *build, const struct node *value, const char **out)
{
	char *path = NULL;

	if (value_file(build->reading, value, &path))
		*out = path;
}

static void ca_read(struct build *build, const struct node *value, void *target)
{
	pem_read(build, value, &((struct config_list *)target)->options.ca);
}

static void certificate_read(struct build *build, const struct node *value, void *target)
{
	pem_read(build, value, &((struct config_list *)target)->options.certificate);
}

static void certificate_key_read(struct build *build, const struct node *value, void *target)
{
	pem_read(build, value, &((struct config_list *)target)->options.key);
}

static void proxy_read(struct build *build, const struct node *value, void *target)
{
	option_keep(build, value, &((struct config_list *)target)->options.proxy);
}

static void rsync_read(struct build *build, const struct node *value, void *target)
{
	value_rsync(build->reading, value, &((struct config_list *)target)->url);
}

static void refresh_min_read(struct build *build, const struct node *value, void *target)
{
	value_duration(build->reading, value, 10, 30 * 86400,
		       &((struct config_list *)target)->refresh_min_s);
}

static void insecure_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "true", 1, NULL }, { "false", 0, NULL }, { 0 } };
	int word;

	if (value_word(build->reading, value, words, &word))
		((struct config_list *)target)->insecure = word;
}

#define LIST_SOURCE_KEYS                                                                           \
	{ "name", list_name_read, NULL, NULL }, { "file", list_file_read, NULL, NULL },            \
		{ "url", list_url_read, NULL, NULL }, { "rsync", rsync_read, NULL, NULL },         \
		{ "headers", headers_read, NULL, NULL }, { "ca", ca_read, NULL, NULL },            \
		{ "cert", certificate_read, NULL, NULL },                                          \
		{ "key", certificate_key_read, NULL, NULL }, { "proxy", proxy_read, NULL, NULL },  \
		{ "entries", entries_read, NULL, NULL }, { "format", format_read, NULL, NULL },    \
		{ "codes", codes_read, NULL, NULL }, { "column", column_read, NULL, NULL },        \
		{ "member", member_read, NULL, NULL },                                             \
		{ "services", list_services_read, NULL, NULL },                                    \
		{ "bounds", bounds_read, bounds_keys, NULL },                                      \
		{ "max_age", max_age_read, NULL, NULL },                                           \
		{ "max_age_from", max_age_from_read, NULL, NULL },                                 \
		{ "non_global", non_global_read, NULL, NULL },                                     \
		{ "refresh", refresh_read, NULL, NULL },                                           \
		{ "refresh_min", refresh_min_read, NULL, NULL },                                   \
	{                                                                                          \
		"insecure", insecure_read, NULL, NULL                                              \
	}

const struct key list_keys[] = { LIST_SOURCE_KEYS,
				 { "weight", weight_read, NULL, NULL },
				 { "action", list_action_read, NULL, NULL },
				 { "policy", list_policy_read, NULL, NULL },
				 { 0 } };

const struct key allow_keys[] = {
	LIST_SOURCE_KEYS,
	{ "weight", NULL, NULL, "an allow list outweighs every block list; remove it" },
	{ "action", NULL, NULL, "an allow list passes; remove it" },
	{ "policy", NULL, NULL, "an allow list always holds; remove it" },
	{ "spf", spf_read, NULL, NULL },
	{ "mx", mx_read, NULL, NULL },
	{ "host", host_read, NULL, NULL },
	{ 0 },
};

/* Bits of the services that contain port 25. */
static __u8 mail_services(const struct config *config)
{
	__u8 mask = 0;

	for (unsigned int i = 0; i < config->services_count; i++)
		for (unsigned int j = 0; j < config->services[i].ports_count; j++)
			mask |= config->services[i].ports[j] == 25 ? 1 << i : 0;
	return mask;
}

/* Keys that only some formats look at: elsewhere they would be silently without effect. */
static void list_format_check(struct build *build, const struct node *item,
			      const struct config_list *list)
{
	bool zone = list->format >= LIST_RBLDNSD && list->format <= LIST_IP6TRIE;
	bool sourceless = node_get(item, "entries") || node_get(item, "spf") ||
			  node_get(item, "mx") || node_get(item, "host");
	const struct {
		bool set, fits;
		const char *key, *needs;
	} keys[] = {
		{ list->codes.count, zone || !list->format, "codes", "a zone: format: rbldnsd" },
		{ list->column, list->format == LIST_CSV || !list->format, "column",
		  "format: csv" },
		{ list->member, list->format == LIST_JSON || !list->format, "member",
		  "format: json" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].set && (!keys[i].fits || sourceless))
			reading_error(build->reading, item->place,
				      "%s '%s': %s: goes only with a source of %s", item->key,
				      list->name, keys[i].key, keys[i].needs);
	if (list->format == LIST_CSV && !list->column)
		reading_error(build->reading, item->place,
			      "%s '%s': format: csv needs column:, the name or the number of the "
			      "column of addresses",
			      item->key, list->name);
}

/* Over http, or with rsync, they would say nothing. */
static void list_options_check(struct build *build, const struct node *item,
			       const struct config_list *list)
{
	static const char *const keys[] = { "ca", "cert", "headers", "proxy" };
	bool https = list->url && !strncmp(list->url, "https:", 6);
	bool http = list->url && !strncmp(list->url, "http:", 5);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (node_get(item, keys[i]) && !https && (i < 2 || !http))
			reading_error(build->reading, item->place,
				      "%s '%s': %s: goes with an https url", item->key, list->name,
				      keys[i]);
}

static void list_source_check(struct build *build, const struct node *item,
			      const struct config_list *list)
{
	bool names = node_get(item, "spf") || node_get(item, "mx") || node_get(item, "host");
	unsigned int sources = !!node_get(item, "file") + !!node_get(item, "url") +
			       !!node_get(item, "rsync") + !!node_get(item, "entries") +
			       (list->allow && names);

	if (!node_get(item, "name"))
		reading_error(build->reading, item->place,
			      "%s: an item has no name; write {name: NAME, file: PATH}", item->key);
	if (sources != 1)
		reading_error(
			build->reading, item->place,
			"%s '%s': needs one of file:, url:, rsync: or entries:%s, not %u of them",
			item->key, list->name, list->allow ? ", or names (spf:, mx:, host:)" : "",
			sources);
	list_format_check(build, item, list);
	if (list->url && !strncmp(list->url, "http:", 5) && !list->insecure)
		reading_error(build->reading, item->place,
			      "%s '%s': http without s can be forged on its way; use https, or say "
			      "insecure: true",
			      item->key, list->name);
	if (list->url && !strncmp(list->url, "rsync:", 6) && !list->insecure)
		reading_error(
			build->reading, item->place,
			"%s '%s': rsync can be forged on its way; say insecure: true, and its "
			"list counts less (see the manual), or use https",
			item->key, list->name);
	if (!list->options.certificate != !list->options.key)
		reading_error(build->reading, item->place,
			      "%s '%s': cert: and key: belong together", item->key, list->name);
	list_options_check(build, item, list);
}

/* Does the url name this host, or one of its domain? */
static bool url_is_of(const char *url, const char *domain)
{
	const char *host = strstr(url, "://"), *at;
	size_t length, tail = strlen(domain);

	if (!host)
		return false;
	host += 3;
	length = strcspn(host, "/?#");
	at = memchr(host, '@', length);
	host = at ? at + 1 : host;
	length = strcspn(host, ":/?#");
	return length >= tail && !strncasecmp(host + length - tail, domain, tail) &&
	       (length == tail || host[length - tail - 1] == '.');
}

/* Who asks Spamhaus more than once an hour is locked out, and its whole network with it. */
static void list_interval_set(struct build *build, const struct node *item,
			      struct config_list *list)
{
	if (list->url && url_is_of(list->url, "spamhaus.org") && list->refresh_min_s < 3600)
		list->refresh_min_s = 3600;
	list->by_ttl = list->names_count && !list->refresh_s;
	if (list->names_count)
		list->format = LIST_PLAIN; /* that is what they are made into */
	if (!list->refresh_s)
		list->refresh_s = list->url ? 3600 : 60;
	else if (list->refresh_s < list->refresh_min_s)
		reading_error(build->reading, item->place,
			      "%s '%s': refresh is shorter than this source permits; write "
			      "refresh: %us or more",
			      item->key, list->name, list->refresh_min_s);
	if (list->refresh_s < list->refresh_min_s)
		list->refresh_s = list->refresh_min_s;
}

static void list_read(struct build *build, const struct node *item, bool allow)
{
	struct config *config = build->config;
	struct config_list *list = &config->lists[config->lists_count];

	if (!value_kind(build->reading, item, NODE_MAPPING, "{name: NAME, file: PATH}"))
		return;
	if (config->lists_count == GATE25_LISTS) {
		reading_error(build->reading, item->place,
			      "%s: more than %d lists, block and allow", item->key, GATE25_LISTS);
		return;
	}
	build->list_places[config->lists_count++] = item->place;
	*list = (struct config_list){ .weight = allow ? 0 : 1,
				      .action = GATE25_DROP,
				      .allow = allow };
	bounds_begin(list);
	list->services = allow ? (1U << config->services_count) - 1 : mail_services(config);
	list->config_file = build->reading->files[item->place.file].name;
	list->config_line = item->place.line;
	keys_read(build, item, allow ? allow_keys : list_keys,
		  allow ? "of an allow list" : "of a list", list);
	list_interval_set(build, item, list);
	bounds_finish(list);
	list_source_check(build, item, list);
}

static void all_lists_read(struct build *build, const struct node *value, bool allow)
{
	struct config *config = build->config;

	if (!value_kind(build->reading, value, NODE_SEQUENCE,
			allow ? "allow: [{name: own, entries: [192.0.2.0/24]}]" :
				"lists: [{name: NAME, file: PATH}]"))
		return;
	if (!config->lists)
		config->lists = calloc(GATE25_LISTS + 1, sizeof(*config->lists));
	if (!build->list_places)
		build->list_places =
			reading_alloc(build->reading, (GATE25_LISTS + 1) * sizeof(struct place));
	if (!config->lists || !build->list_places) {
		build->reading->failure = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < value->count; i++)
		list_read(build, value->items[i], allow);
}

void lists_read(struct build *build, const struct node *value, void *target)
{
	(void)target;
	all_lists_read(build, value, false);
}

void allow_read(struct build *build, const struct node *value, void *target)
{
	(void)target;
	all_lists_read(build, value, true);
}
