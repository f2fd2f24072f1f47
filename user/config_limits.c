// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of the configuration. In: their mappings. Out: limits in struct config.
 */
#include "user/config_keys.h"

static void limit_rate_read(struct build *build, const struct node *value, void *target)
{
	value_rate(build->reading, value, &((struct config_limit *)target)->rate_per_s);
}

static void burst_read(struct build *build, const struct node *value, void *target)
{
	long number;

	if (value_number(build->reading, value, 1, 1000000, &number))
		((struct config_limit *)target)->burst = number;
}

static void limit_action_read(struct build *build, const struct node *value, void *target)
{
	action_read(build, value, &((struct config_limit *)target)->action);
}

static void limit_policy_read(struct build *build, const struct node *value, void *target)
{
	observe_read(build, value, &((struct config_limit *)target)->observe);
}

static void limit_services_read(struct build *build, const struct node *value, void *target)
{
	mask_read(build, value, &((struct config_limit *)target)->services);
}

const struct key limit_keys[] = {
	{ "rate", limit_rate_read, NULL, NULL },
	{ "burst", burst_read, NULL, NULL },
	{ "action", limit_action_read, NULL, NULL },
	{ "policy", limit_policy_read, NULL, NULL },
	{ "services", limit_services_read, NULL, NULL },
	{ 0 },
};

/* The kernel's clock of a budget reaches 8 hours. */
#define LIMIT_REACH_S (8 * 3600)

static void limit_read(struct build *build, const struct node *value, struct config_limit *limit)
{
	const struct config *config = build->config;

	if (!value_kind(build->reading, value, NODE_MAPPING, "{rate: 300/min, burst: 150}"))
		return;
	*limit = (struct config_limit){ .set = true, .action = GATE25_DROP };
	limit->services = (1U << config->services_count) - 1;
	keys_read(build, value, limit_keys, "of a limit", limit);
	if (!node_get(value, "rate")) {
		reading_error(build->reading, value->place, "%s: needs a rate; write rate: 300/min",
			      value->key);
		return;
	}
	if (!limit->burst)
		limit->burst = limit->rate_per_s * 60 < 1 ? 1 : limit->rate_per_s * 60;
	if (limit->rate_per_s > 0 && limit->burst / limit->rate_per_s > LIMIT_REACH_S)
		reading_error(build->reading, value->place,
			      "%s: a burst of %u takes more than 8 hours at this rate; lower it",
			      value->key, limit->burst);
}

static void source_limit_read(struct build *build, const struct node *value, void *target)
{
	limit_read(build, value, &((struct config *)target)->limits[GATE25_SCOPE_SOURCE]);
}

static void network_limit_read(struct build *build, const struct node *value, void *target)
{
	limit_read(build, value, &((struct config *)target)->limits[GATE25_SCOPE_NETWORK]);
}

static void memory_read(struct build *build, const struct node *value, void *target)
{
	value_mebibytes(build->reading, value, &((struct config *)target)->sources_mb);
}

static void count_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "auto", COUNT_AUTO, NULL },
					     { "connections", COUNT_CONNECTIONS, NULL },
					     { "syns", COUNT_SYNS, NULL },
					     { 0 } };
	int word;

	if (value_word(build->reading, value, words, &word))
		((struct config *)target)->count = word;
}

static const char limits_later[] = "this version has limits of source and network";
const struct key limits_keys[] = {
	{ "source", source_limit_read, limit_keys, NULL },
	{ "network", network_limit_read, limit_keys, NULL },
	{ "memory", memory_read, NULL, NULL },
	{ "count", count_read, NULL, NULL },
	{ "service", NULL, NULL, limits_later },
	{ "all", NULL, NULL, limits_later },
	{ "open", NULL, NULL, limits_later },
	{ "overrides", NULL, NULL, limits_later },
	{ 0 },
};

void limits_read(struct build *build, const struct node *value, void *target)
{
	if (value_kind(build->reading, value, NODE_MAPPING,
		       "limits: {source: {rate: 300/min, burst: 150}}"))
		keys_read(build, value, limits_keys, "in limits", target);
}
