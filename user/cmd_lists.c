// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists: what is listed, by whom, how old it is, and how often it spoke.
 *
 * In: the configuration, the generation in force, feeds.json. Out: a table or JSON.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/ask.h"
#include "user/feeds.h"
#include "user/print.h"
#include "user/state.h"

/* ---------------------------------------------------------------- describe */

json_t *services_json(const struct guard *guard, const struct gate25_generation *generation,
		      __u8 slots)
{
	__u8 in_use = generation->services;
	json_t *names = json_array();

	if ((slots & in_use) == in_use)
		json_array_append_new(names, json_string("all"));
	for (int slot = 0; (slots & in_use) != in_use && slot < GATE25_SERVICES; slot++)
		if (slots & in_use & (1 << slot))
			json_array_append_new(names, json_string(guard->names->services[slot]));
	return names;
}

static json_t *services_of_config(const struct config *config, __u8 services)
{
	__u8 all = (1u << config->services_count) - 1;
	json_t *names = json_array();

	if ((services & all) == all)
		json_array_append_new(names, json_string("all"));
	for (unsigned int i = 0; (services & all) != all && i < config->services_count; i++)
		if (services & (1 << i))
			json_array_append_new(names, json_string(config->services[i].name));
	return names;
}

static const char *policy_word(bool observe)
{
	return observe ? "observe" : "enforce";
}

/* What a list is: of the generation in force, if it is there. */
static json_t *info_json(const struct gate25_list_info *info, json_t *services)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:I, s:I, s:b}", "name", info->name,
			 "kind", info->allow ? "allow" : "block", "weight", info->weight, "action",
			 info->allow ? "allow" : verdict_label(info->action), "policy",
			 policy_word(info->observe), "services", services, "entries4",
			 (json_int_t)info->entries4, "entries6", (json_int_t)info->entries6,
			 "in_force", true);
}

static json_t *config_json(const struct config *config, const struct state *state,
			   const struct config_list *list)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:n, s:n, s:b}", "name", list->name,
			 "kind", list->allow ? "allow" : "block", "weight", list->weight, "action",
			 list->allow ? "allow" : verdict_label(list->action), "policy",
			 policy_word(state ? state_list_observes(state, list) : list->observe),
			 "services", services_of_config(config, list->services), "entries4",
			 "entries6", "in_force", false);
}

/* What is known of its source. */
static void feed_add(json_t *object, const struct feed_state *feed)
{
	json_object_set_new(object, "last_success", time_json(feed ? feed->last_success_s : 0));
	json_object_set_new(object, "next_refresh", time_json(feed ? feed->next_refresh_s : 0));
	json_object_set_new(object, "error",
			    feed && feed->error[0] ? json_string(feed->error) : json_null());
	json_object_set_new(object, "read_as",
			    feed && feed->format[0] ? json_string(feed->format) : json_null());
	json_object_set_new(object, "held",
			    feed && feed->wait.gate ? json_string(gate_label(feed->wait.gate)) :
						      json_null());
	json_object_set_new(object, "expired", json_boolean(feed && feed->expired));
	json_object_set_new(object, "changed", time_json(feed ? feed->changed_s : 0));
	json_object_set_new(object, "left_out", json_integer(feed ? feed->left_out : 0));
}

static void source_add(json_t *object, const struct config_list *list)
{
	char shown[FETCH_SHOWN];

	json_object_set_new(object, "configured", json_boolean(list != NULL));
	json_object_set_new(object, "source",
			    json_string(!list ? "" :
					list->url ?
						fetch_url_shown(list->url, shown, sizeof(shown)) :
					list->file ? list->file :
						     "entries"));
}

struct listing {
	const struct config *config; /* NULL: it cannot be read */
	struct guard *guard;
	const struct gate25_generation *generation;
	struct state *state;
	struct feed_states feeds;
	__u64 *hits; /* by stable id; NULL: not known */
	json_t *results;
};

static void listing_add(struct listing *listing, const struct gate25_list_info *info,
			const struct config_list *list)
{
	const char *name = info ? info->name : list->name;
	json_t *object;

	if (info)
		object = info_json(
			info, services_json(listing->guard, listing->generation, info->services));
	else
		object = config_json(listing->config, listing->state, list);
	if (!object)
		return;
	json_object_set_new(object, "hits",
			    info && listing->hits && info->id < GATE25_LIST_IDS ?
				    json_integer(listing->hits[info->id]) :
				    json_null());
	source_add(object, list);
	feed_add(object, feeds_find(&listing->feeds, name));
	json_array_append_new(listing->results, object);
}

static const struct gate25_list_info *info_find(const struct gate25_generation *generation,
						const char *name)
{
	for (__u32 i = 0; generation && i < generation->lists_count; i++)
		if (!strcmp(generation->lists[i].name, name))
			return &generation->lists[i];
	return NULL;
}

static void listing_fill(struct listing *listing)
{
	const struct gate25_generation *generation = listing->generation;

	for (size_t i = 0; listing->config && i < listing->config->lists_count; i++) {
		const struct config_list *list = &listing->config->lists[i];

		listing_add(listing, info_find(generation, list->name), list);
	}
	for (__u32 i = 0; generation && i < generation->lists_count; i++) {
		const struct gate25_list_info *info = &generation->lists[i];

		if (!listing->config || !config_list_find(listing->config, info->name))
			listing_add(listing, info, NULL);
	}
}

json_t *lists_describe(const struct config *config, bool config_whole, struct guard *guard,
		       const struct gate25_generation *generation)
{
	struct listing listing = { .guard = guard, .generation = generation };

	listing.results = json_array();
	listing.config = config_whole ? config : NULL;
	listing.hits = guard ? calloc(GATE25_LIST_IDS, sizeof(*listing.hits)) : NULL;
	if (listing.hits && guard_list_hits(guard, listing.hits)) {
		free(listing.hits);
		listing.hits = NULL;
	}
	if (config_whole) {
		feeds_read(config, &listing.feeds);
		state_read(config->state_dir, &listing.state);
	}
	listing_fill(&listing);
	free(listing.hits);
	free(listing.feeds.array);
	state_free(listing.state);
	return listing.results;
}

/* ---------------------------------------------------------------- the command */

static __u64 time_of(const json_t *object, const char *key)
{
	struct tm parts = { 0 };

	if (!strptime(json_text(object, key), "%Y-%m-%dT%H:%M:%SZ", &parts))
		return 0;
	return timegm(&parts);
}

/* Times as people want them: how long ago, how soon. */
static void people_add(json_t *object)
{
	__u64 now = time(NULL), success = time_of(object, "last_success");
	__u64 refresh = time_of(object, "next_refresh");
	char text[32];

	if (success)
		json_object_set_new(
			object, "age",
			json_string(duration_format(now > success ? now - success : 0, text)));
	if (refresh)
		json_object_set_new(
			object, "next",
			json_string(refresh > now ? duration_format(refresh - now, text) : "due"));
	if (!json_is_true(json_object_get(object, "in_force")))
		json_object_set_new(object, "error",
				    json_string("not in force yet: gate25 reload"));
	else if (!json_is_true(json_object_get(object, "configured")))
		json_object_set_new(object, "error",
				    json_string("not configured any more: gate25 reload"));
	if (!strcmp(json_text(object, "kind"), "allow")) {
		json_object_del(object, "weight");
		json_object_del(object, "policy");
	}
}

static int lists_print(struct cli *cli, json_t *results)
{
	static const struct column columns[] = {
		{ "name", "NAME", false },     { "kind", "KIND", false },
		{ "weight", "WEIGHT", true },  { "action", "ACTION", false },
		{ "policy", "POLICY", false }, { "services", "SERVICES", false },
		{ "entries4", "IPV4", true },  { "entries6", "IPV6", true },
		{ "hits", "HITS", true },      { "age", "AGE", true },
		{ "next", "NEXT", true },      { "error", "ERROR", false },
	};
	json_t *object;
	size_t i;

	if (!cli->json) {
		json_array_foreach(results, i, object)
			people_add(object);
		if (!json_array_size(results))
			cli_note("no list is configured");
	}
	return print_results(cli->json, results, columns, sizeof(columns) / sizeof(columns[0]));
}

/* gate25 lists VERB …: each a function of a file of its own. */
static const struct {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the verb */
} verbs[] = {
	{ "show", lists_show_run },	  { "diff", lists_diff_run },
	{ "accept", lists_accept_run },	  { "presets", lists_presets_run },
	{ "enable", lists_enable_run },	  { "try", lists_try_run },
	{ "refresh", lists_refresh_run },
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int verb_unknown(const struct cli *cli, const char *name)
{
	char known[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < VERBS && used < sizeof(known); i++)
		used += snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
				 verbs[i].name);
	return cli_fail(cli, EXIT_USAGE, "there is no `lists %s`; there are: %s", name, known);
}

static int lists_table(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	struct asker *asker = NULL;
	int code = cli_options(cli, argc, argv, options, &argc, &argv), error;

	if (!code && argc)
		code = verb_unknown(cli, argv[0]);
	if (!code)
		code = cli_guard(cli);
	if (code && code != EXIT_NOT_LOADED)
		return code;
	if (!code && ask_open(cli->config, cli->guard, &asker) == -ENOENT)
		code = EXIT_NOT_LOADED;
	error = lists_print(cli, lists_describe(cli->config, cli->config_whole, cli->guard,
						asker ? ask_generation(asker) : NULL));
	ask_close(asker);
	return error ? cli_exit_code(error) : code;
}

int lists_run(struct cli *cli, int argc, char **argv)
{
	int at = 1;

	while (at < argc && (!strcmp(argv[at], "-j") || !strcmp(argv[at], "--json")))
		at++;
	for (size_t i = 0; at < argc && i < VERBS; i++)
		if (!strcmp(argv[at], verbs[i].name)) {
			cli->json |= at > 1;
			return verbs[i].run(cli, argc - at, argv + at);
		}
	return lists_table(cli, argc, argv);
}
