// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services of the configuration. In: their mappings. Out: the array in struct config; elsewhere a service is a bit by
 * its index there.
 */
#include <stdlib.h>
#include <string.h>

#include "user/config_keys.h"

static void service_ports(struct build *build, const struct node *value, struct config_service *out)
{
	const struct node *const *items = (const struct node *const *)value->items;
	size_t count = value->count;

	if (value->kind == NODE_TEXT && *value->text) {
		items = &value;
		count = 1;
	} else if (!value_kind(build->reading, value, NODE_SEQUENCE, "ports: [25]")) {
		return;
	}
	if (!count)
		reading_error(build->reading, value->place,
			      "ports: is empty, so nothing would be guarded; name a port, as in "
			      "ports: [25]%s",
			      value == node_get(build->root, "ports") ? ", or leave the key out" :
									"");
	for (size_t i = 0; i < count; i++) {
		long port;

		if (!value_number(build->reading, items[i], 1, 65535, &port))
			continue;
		if (build->ports_count == GATE25_PORTS) {
			reading_error(build->reading, items[i]->place,
				      "ports: more than %d over all services", GATE25_PORTS);
			return;
		}
		build->ports_count++;
		out->ports[out->ports_count++] = port;
	}
}

static void service_name_read(struct build *build, const struct node *value, void *target)
{
	struct config_service *service = target;

	if (value_name(build->reading, value, service->name) && !strcmp(service->name, "none"))
		reading_error(build->reading, value->place,
			      "name: 'none' stands for no service in metrics; choose another");
}

static void service_ports_read(struct build *build, const struct node *value, void *target)
{
	service_ports(build, value, target);
}

static void addresses_read(struct build *build, const struct node *value, void *target)
{
	struct config_service *service = target;
	const struct config *config = build->config;

	if (!value_kind(build->reading, value, NODE_SEQUENCE, "addresses: [any]"))
		return;
	for (size_t i = 0; i < value->count; i++) {
		const struct node *item = value->items[i];

		if (item->kind == NODE_TEXT && !strcmp(item->text, "any")) {
			if (value->count > 1)
				reading_error(
					build->reading, item->place,
					"addresses: 'any' stands alone; remove it or the others");
			continue;
		}
		if (build->addresses_count == GATE25_ADDRESSES) {
			reading_error(build->reading, item->place,
				      "addresses: more than %d over all services",
				      GATE25_ADDRESSES);
			return;
		}
		if (value_prefix(build->reading, item, config->translated, config->translated_count,
				 &service->addresses[service->addresses_count])) {
			service->addresses_count++;
			build->addresses_count++;
		}
	}
}

static void default_read(struct build *build, const struct node *value, void *target)
{
	action_read(build, value, &((struct config_service *)target)->default_action);
}

static void service_policy_read(struct build *build, const struct node *value, void *target)
{
	observe_read(build, value, &((struct config_service *)target)->observe);
}

static void forwarded_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "auto", FORWARDED_AUTO, NULL },
					     { "yes", FORWARDED_YES, NULL },
					     { "no", FORWARDED_NO, NULL },
					     { 0 } };
	struct config_service *service = target;
	int word;

	if (value_word(build->reading, value, words, &word))
		service->forwarded = word;
}

const struct key service_keys[] = {
	{ "name", service_name_read, NULL, NULL },     { "ports", service_ports_read, NULL, NULL },
	{ "addresses", addresses_read, NULL, NULL },   { "default", default_read, NULL, NULL },
	{ "policy", service_policy_read, NULL, NULL }, { "forwarded", forwarded_read, NULL, NULL },
	{ "cookies", NULL, NULL, "remove it" },	       { 0 },
};

void services_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	if (!value_kind(build->reading, value, NODE_SEQUENCE,
			"services: [{name: mx, ports: [25]}]"))
		return;
	if (!value->count)
		reading_error(build->reading, value->place,
			      "services: is empty, so nothing would be guarded; name a service, as "
			      "in services: [{name: mx, ports: [25]}], or leave the key out");
	for (size_t i = 0; i < value->count; i++) {
		const struct node *item = value->items[i];
		struct config_service *service = &config->services[config->services_count];

		if (config->services_count == GATE25_SERVICES) {
			reading_error(build->reading, item->place, "services: more than %d",
				      GATE25_SERVICES);
			return;
		}
		if (!value_kind(build->reading, item, NODE_MAPPING, "{name: mx, ports: [25]}"))
			continue;
		build->service_places[config->services_count++] = item->place;
		keys_read(build, item, service_keys, "of a service", service);
		if (!node_get(item, "name"))
			reading_error(
				build->reading, item->place,
				"services: an item has no name; write {name: mx, ports: [25]}");
		if (!node_get(item, "ports"))
			reading_error(
				build->reading, item->place,
				"services: an item has no ports; write {name: mx, ports: [25]}");
	}
}

void ports_read(struct build *build, const struct node *value, void *target)
{
	struct config *config = target;

	if (node_get(build->root, "services")) {
		reading_error(
			build->reading, value->key_place,
			"ports: and services: exclude each other; write services: [{name: mx, "
			"ports: [25]}] with each port in one of them");
		return;
	}
	build->service_places[0] = value->place;
	config->services_count = 1;
	strcpy(config->services[0].name, "mx");
	service_ports(build, value, &config->services[0]);
}
