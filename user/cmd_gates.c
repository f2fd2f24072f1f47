// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists diff, lists accept: what a gate holds back of a list, and letting it in by hand.
 *
 * In: the last good image and the one that is held. Out: in what they differ; or the held one in force.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd_guard.h"
#include "user/feeds.h"
#include "user/feeds_held.h"
#include "user/lists/measure.h"
#include "user/lists/parse.h"
#include "user/print.h"
#include "user/record.h"

#define SHOWN_MOST 100000

int list_image_open(const struct config *config, const struct config_list *list,
		    struct list_image **out)
{
	char path[PATH_MAX];

	if (!list->file && !list->url)
		return list_from_prefixes(list->entries, list->entries_count, out);
	if (snprintf(path, sizeof(path), "%s/lists/%s.img", config->state_dir, list->name) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	return list_image_read(path, out);
}

int list_argument(struct cli *cli, int argc, char **argv, const char *verb,
		  const struct config_list **out)
{
	int code = 0;

	if (argc != 1)
		code = cli_fail(cli, EXIT_USAGE, "%s: the name of one list is wanted", verb);
	if (!code)
		code = cli_config(cli);
	if (code)
		return code;
	*out = config_list_find(cli->config, argv[0]);
	if (*out)
		return 0;
	return cli_fail(cli, EXIT_FAILED, "no list is called %s; gate25 lists names them", argv[0]);
}

/* ---------------------------------------------------------------- diff */

/* "192.0.2.0/24", "192.0.2.7", or "192.0.2.1-192.0.2.9" where it is no network. */
static json_t *range_json(const struct gate25_source *first, const struct gate25_source *last)
{
	char from[PREFIX_TEXT], to[PREFIX_TEXT];
	struct prefix prefix = { .address = *first };

	for (prefix.length = 0; prefix.length <= (first->family == 4 ? 32 : 128); prefix.length++) {
		struct prefix masked = prefix;
		struct gate25_source end;

		prefix_mask(&masked);
		end = prefix_last(&masked);
		if (masked.address.hi == first->hi && masked.address.lo == first->lo &&
		    end.hi == last->hi && end.lo == last->lo)
			return json_string(prefix_format(&masked, from));
	}
	address_format(first, from);
	address_format(last, to);
	return json_pack("s++", from, "-", to);
}

static json_t *ranges_json(const struct list_image *image, size_t most)
{
	json_t *ranges = json_array();

	for (size_t i = 0; i < image->count4 && json_array_size(ranges) < most; i++)
		json_array_append_new(
			ranges, range_json(&(struct gate25_source){ .family = 4,
								    .lo = image->ranges4[i].first },
					   &(struct gate25_source){
						   .family = 4, .lo = image->ranges4[i].last }));
	for (size_t i = 0; i < image->count6 && json_array_size(ranges) < most; i++) {
		const struct range6 *range = &image->ranges6[i];

		json_array_append_new(ranges,
				      range_json(&(struct gate25_source){ .family = 6,
									  .hi = range->first.hi,
									  .lo = range->first.lo },
						 &(struct gate25_source){ .family = 6,
									  .hi = range->last.hi,
									  .lo = range->last.lo }));
	}
	return ranges;
}

static json_t *side_json(const struct list_image *image, size_t most)
{
	return json_pack("{s:I, s:I, s:o, s:o, s:o}", "entries4", (json_int_t)image->count4,
			 "entries6", (json_int_t)image->count6, "addresses4",
			 json_integer(image_covered4(image)), "addresses6",
			 json_real(image_covered6(image)), "entries", ranges_json(image, most));
}

static void side_say(const struct cli *cli, const char *sign, const char *word, const json_t *side)
{
	json_int_t entries = json_integer_value(json_object_get(side, "entries4")) +
			     json_integer_value(json_object_get(side, "entries6"));
	json_t *ranges = json_object_get(side, "entries"), *range;
	char count[64], addresses[64];
	size_t i;

	cli_say(cli, "%s %s (%s of IPv4)", count_format(entries, "entry", "entries", count), word,
		count_format(json_integer_value(json_object_get(side, "addresses4")), "address",
			     "addresses", addresses));
	json_array_foreach(ranges, i, range)
		cli_say(cli, "%s %s", sign, json_string_value(range));
	if ((json_int_t)json_array_size(ranges) < entries)
		cli_say(cli, "%s … (--limit N shows more)", sign);
}

static json_int_t entries_of(const struct list_image *image)
{
	return (json_int_t)image->count4 + (json_int_t)image->count6;
}

static json_t *diff_json(const struct config_list *list, const struct feed_state *state,
			 const struct list_image *good, const struct list_image *held, size_t most)
{
	struct list_image *added = NULL, *removed = NULL;
	json_t *object = NULL;

	if (!image_subtract(held, good, &added, NULL) &&
	    !image_subtract(good, held, &removed, NULL))
		object = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:o, s:o}", "name", list->name,
				   "gate", gate_label(state ? state->wait.gate : GATE_OPEN), "why",
				   state ? state->error : "", "read", time_json(held->loaded_s),
				   "entries_before", entries_of(good), "entries_after",
				   entries_of(held), "added", side_json(added, most), "removed",
				   side_json(removed, most));
	list_image_free(added);
	list_image_free(removed);
	return object;
}

static int diff_print(struct cli *cli, const struct config_list *list,
		      const struct list_image *good, const struct list_image *held, size_t most)
{
	struct feed_states states = { 0 };
	json_t *object;

	feeds_read(cli->config, &states);
	object = diff_json(list, feeds_find(&states, list->name), good, held, most);
	free(states.array);
	if (!object)
		return cli_fail(cli, EXIT_FAILED, "out of memory");
	cli_say(cli, "%s: %s", list->name, json_text(object, "why"));
	side_say(cli, "+", "more", json_object_get(object, "added"));
	side_say(cli, "-", "less", json_object_get(object, "removed"));
	cli_say(cli, "to let it in: gate25 lists accept %s", list->name);
	return cli_results(cli, json_pack("[o]", object), EXIT_DONE);
}

static int limit_read(struct cli *cli, const char *text, size_t *most)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || number > SHOWN_MOST)
		return cli_fail(cli, EXIT_USAGE, "--limit %s is no number up to %d", text,
				SHOWN_MOST);
	*most = number;
	return 0;
}

int lists_diff_run(struct cli *cli, int argc, char **argv)
{
	static const struct list_image none;
	const char *limit = NULL;
	const struct cli_option options[] = { { "limit", NULL, &limit }, { NULL, NULL, NULL } };
	const struct config_list *list = NULL;
	struct list_image *good = NULL, *held = NULL;
	size_t most = 20;
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code)
		code = list_argument(cli, argc, argv, "diff", &list);
	if (!code && limit)
		code = limit_read(cli, limit, &most);
	if (code)
		return code;
	if (held_read(cli->config, list->name, &held)) {
		cli_note("%s: nothing is held back of it", list->name);
		return cli_results(cli, json_array(), EXIT_DONE);
	}
	if (list_image_open(cli->config, list, &good))
		good = NULL;
	code = diff_print(cli, list, good ? good : &none, held, most);
	list_image_free(good);
	list_image_free(held);
	return code;
}

/* ---------------------------------------------------------------- accept */

/* What was accepted is the next load's to take, and that is now. */
static int accept_enforce(struct cli *cli, const struct config_list *list)
{
	struct apply_report report;
	int code;

	if (!cli_pinned(cli)) {
		cli_say(cli,
			"%s: accepted; nothing is loaded: it comes into force with gate25 load",
			list->name);
		return cli_results(cli, json_array(), EXIT_DONE);
	}
	apply_report_init(&report);
	code = force_generation(cli, "apply", FEED_CACHED, NULL, 0, &report);
	force_say(cli, &report);
	if (code)
		force_fail(cli, code, &report);
	code = cli_results(cli, force_results(&report), code);
	apply_report_free(&report);
	return code;
}

int lists_accept_run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	const struct config_list *list = NULL;
	json_t *targets;
	int code = cli_options(cli, argc, argv, options, &argc, &argv), error;

	if (!code)
		code = list_argument(cli, argc, argv, "accept", &list);
	if (!code)
		code = cli_may_change(cli);
	if (!code)
		code = force_may(cli);
	if (code)
		return code;
	error = held_accept(cli->config, list->name);
	if (error == -ENOENT)
		return cli_fail(cli, EXIT_FAILED, "%s: nothing is held back of it", list->name);
	if (error)
		return cli_fail(cli, cli_exit_code(error), "%s: %s", list->name, strerror(-error));
	targets = json_pack("[s]", list->name);
	record_change(cli->config->state_dir, "accept", targets, NULL, NULL);
	json_decref(targets);
	return accept_enforce(cli, list);
}
