// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allow lists by name: `spf:`, `mx:`, `host:`, and the resolver that is asked.
 *
 * In: sequences of domains. Out: the list's source, as names.h writes it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/config_keys.h"
#include "user/names.h"

#define LIST_NAMES 64 /* of one list: each takes its time */

static void name_add(struct build *build, const struct node *item, enum name_kind kind,
		     struct config_list *list)
{
	const char *domain = value_text(build->reading, item), *server = build->config->resolver;
	char *longer = NULL;
	int length;

	if (!domain)
		return;
	if (!name_is_domain(domain)) {
		reading_error(build->reading, item->place,
			      "%s: '%s' is no domain; write %s: [example.com]", item->key, domain,
			      item->key);
		return;
	}
	if (++list->names_count > LIST_NAMES) {
		reading_error(build->reading, item->place, "%s: more than %d names in one list",
			      item->key, LIST_NAMES);
		return;
	}
	if (list->url)
		length = asprintf(&longer, "%s,%s:%s", list->url, name_kind_word(kind), domain);
	else
		length = asprintf(&longer, NAMES_SCHEME "%s%s%s%s:%s", server ? "@" : "",
				  server ? server : "", server ? "," : "", name_kind_word(kind),
				  domain);
	if (length < 0) {
		build->reading->failure = -ENOMEM;
		return;
	}
	free(list->url);
	list->url = longer;
}

static void names_read(struct build *build, const struct node *value, enum name_kind kind,
		       void *target)
{
	struct config_list *list = target;
	const struct node *const *items = (const struct node *const *)value->items;
	size_t count = value->count;

	if (list->url && !names_is_url(list->url))
		return; /* two sources: said where the item is checked */
	if (value->kind == NODE_TEXT && *value->text) {
		items = &value;
		count = 1;
	} else if (!value_kind(build->reading, value, NODE_SEQUENCE, "spf: [example.com]")) {
		return;
	}
	if (!count)
		reading_error(build->reading, value->place,
			      "%s: names no domain; write %s: [example.com], or remove it",
			      value->key, value->key);
	for (size_t i = 0; i < count; i++)
		name_add(build, items[i], kind, list);
}

void spf_read(struct build *build, const struct node *value, void *target)
{
	names_read(build, value, NAME_SPF, target);
}

void mx_read(struct build *build, const struct node *value, void *target)
{
	names_read(build, value, NAME_MX, target);
}

void host_read(struct build *build, const struct node *value, void *target)
{
	names_read(build, value, NAME_HOST, target);
}

/* "192.0.2.53", "[2001:db8::53]:5353" */
static bool server_good(const char *text)
{
	struct dns *dns = NULL;
	bool good = !strpbrk(text, ", %") && !dns_open(text, 1, NULL, &dns);

	dns_close(dns);
	return good;
}

void resolver_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;
	const char *text = value_text(build->reading, value);

	if (!text)
		return;
	if (!server_good(text)) {
		reading_error(build->reading, value->place,
			      "resolver: '%s' is no address; write 127.0.0.1 or "
			      "\"[2001:db8::53]:5353\", or leave it out for that of the system",
			      text);
		return;
	}
	free(config->resolver);
	config->resolver = strdup(text);
	if (!config->resolver)
		build->reading->failure = -ENOMEM;
}
