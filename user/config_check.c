// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contradictions and doubts of a configuration that only the whole can show.
 */
#include <ctype.h>
#include <string.h>

#include "user/config_keys.h"
#include "user/lists/wide.h"

static bool share_port(const struct config_service *a, const struct config_service *b, __u16 *port)
{
	for (unsigned int i = 0; i < a->ports_count; i++)
		for (unsigned int j = 0; j < b->ports_count; j++)
			if (a->ports[i] == b->ports[j]) {
				*port = a->ports[i];
				return true;
			}
	return false;
}

/* An own address beats "any", so only two of a kind contradict each other. */
static bool share_address(const struct config_service *a, const struct config_service *b)
{
	if (!a->addresses_count || !b->addresses_count)
		return !a->addresses_count && !b->addresses_count;
	for (unsigned int i = 0; i < a->addresses_count; i++)
		for (unsigned int j = 0; j < b->addresses_count; j++)
			if (prefix_covers(&a->addresses[i], &b->addresses[j]) ||
			    prefix_covers(&b->addresses[j], &a->addresses[i]))
				return true;
	return false;
}

static void check_services(struct build *build)
{
	const struct config *config = build->config;
	__u16 port;

	for (unsigned int i = 0; i < config->services_count; i++)
		for (unsigned int j = 0; j < i; j++)
			if (share_port(&config->services[i], &config->services[j], &port) &&
			    share_address(&config->services[i], &config->services[j]))
				reading_error(
					build->reading, build->service_places[i],
					"services '%s' and '%s' both guard port %u of the same "
					"address; give it to one of them",
					config->services[j].name, config->services[i].name, port);
}

static void check_names(struct build *build)
{
	const struct config *config = build->config;

	for (size_t i = 0; i < config->lists_count; i++)
		for (size_t j = 0; j < i; j++)
			if (config->lists[i].name[0] &&
			    !strcmp(config->lists[i].name, config->lists[j].name))
				reading_error(
					build->reading, build->list_places[i],
					"list '%s' is there as block and as allow list; rename one",
					config->lists[i].name);
}

/* Without services: a block list holds where port 25 is, and there may be no such service. */
static void check_reach(struct build *build)
{
	const struct config *config = build->config;

	for (size_t i = 0; i < config->lists_count; i++)
		if (!config->lists[i].services && !build->reading->errors)
			reading_warning(build->reading, build->list_places[i],
					"list '%s' holds nowhere: no service has port 25; name its "
					"services:",
					config->lists[i].name);
}

/* What all lists of a service can weigh together, and those that count fully. */
static void check_weights(struct build *build)
{
	const struct config *config = build->config;
	long all = 0, secure = 0;
	bool any = false;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];

		if (list->allow || list->weight <= 0)
			continue;
		any = true;
		all += list->weight;
		secure += list->insecure ? 0 : list->weight;
	}
	if (any && all < config->threshold)
		reading_warning(
			build->reading, build->list_places[0],
			"all lists together weigh %ld, the threshold is %d: no list can block", all,
			config->threshold);
	else if (any && !secure)
		reading_warning(
			build->reading, build->list_places[0],
			"all lists come over insecure transports, whose sum is capped below the "
			"threshold: no list can block");
}

static void check_defaults(struct build *build)
{
	const struct config *config = build->config;
	__u8 allowed = 0;

	for (size_t i = 0; i < config->lists_count; i++)
		allowed |= config->lists[i].allow ? config->lists[i].services : 0;
	for (unsigned int i = 0; i < config->services_count; i++)
		if (config->services[i].default_action != GATE25_PASS && !(allowed >> i & 1))
			reading_warning(
				build->reading, build->service_places[i],
				"service '%s' has default drop and no allow list: it passes "
				"everything until `gate25 allow add` names somebody",
				config->services[i].name);
}

/* The file is taken at its word, but who writes /1 for /16 wants to know. */
static void check_entries(struct build *build)
{
	const struct config *config = build->config;
	char text[WIDE_TEXT];

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		const char *wide = NULL;

		for (size_t j = 0; !wide && j < list->entries_count; j++)
			wide = prefix_wide(&list->entries[j], text);
		if (wide)
			reading_warning(build->reading, build->list_places[i],
					"list '%s': %s; is that meant?", list->name, wide);
	}
}

/* Of what is known that it must not be used: by host, or by the name of its file. */
static const struct {
	const char *where;
	bool dead; /* else it lives, and costs mail */
	const char *what;
} unfit[] = {
	{ "ix.dnsbl.manitu.net", true, "NiX Spam, shut down in January 2025" },
	{ "nixspam.net", true, "NiX Spam, shut down in January 2025" },
	{ "sorbs.net", true, "SORBS, shut down in June 2024" },
	{ "wpbl.info", true, "WPBL, gone" },
	{ "spamcannibal.org", true, "SpamCannibal, gone; its domain lapsed and named everybody" },
	{ "ahbl.org", true, "AHBL, gone; it named everybody at its end" },
	{ "njabl.org", true, "NJABL, gone" },
	{ "dnsbl.inps.de", true, "inps.de, gone" },
	{ "virbl.dnsbl.bit.nl", true, "virbl, gone" },
	{ "virbl.bit.nl", true, "virbl, gone" },
	{ "edrop.txt", true, "an empty stub since April 2024; use spamhaus-drop, which holds it" },
	{ "dnsbl-2.uceprotect.net", false, "it names whole networks for what some hosts did" },
	{ "dnsbl-3.uceprotect.net", false, "it names whole providers for what some hosts did" },
	{ "ips.backscatterer.org", false, "it names servers that bounce or verify senders" },
};

/* Does it stand there as a whole name, or behind a dot? */
static bool text_names(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = text; (at = strcasestr(at, name)); at++)
		if ((at == text || strchr("./:@", at[-1])) && !isalnum((unsigned char)at[length]) &&
		    at[length] != '-')
			return true;
	return false;
}

/* A list that is no more is refused: its last copy names addresses that have other owners by now. */
static void check_unfit(struct build *build)
{
	const struct config *config = build->config;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		const char *source = list->url ? list->url : list->file ? list->file : "";

		for (size_t j = 0; j < sizeof(unfit) / sizeof(unfit[0]); j++) {
			if (list->allow || !text_names(source, unfit[j].where))
				continue;
			if (unfit[j].dead)
				reading_error(build->reading, build->list_places[i],
					      "list '%s': %s is a dead list (%s); remove it",
					      list->name, unfit[j].where, unfit[j].what);
			else
				reading_warning(build->reading, build->list_places[i],
						"list '%s': %s stops much good mail: %s",
						list->name, unfit[j].where, unfit[j].what);
			break;
		}
	}
}

void config_check(struct build *build)
{
	const struct place top = { 0, 0 };

	check_services(build);
	check_names(build);
	check_reach(build);
	check_weights(build);
	check_entries(build);
	check_unfit(build);
	check_defaults(build);
	if (!build->config->interfaces_count && !build->reading->broken)
		reading_warning(build->reading, top,
				"no interface is guarded; write interfaces: [eth0]");
}
