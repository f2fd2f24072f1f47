// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists show: all that is known of one list, and what it has in common with the others.
 *
 * In: the images of all lists as they were last read with success. Out: a page for people, or JSON.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/ask.h"
#include "user/feeds.h"
#include "user/lists/measure.h"
#include "user/print.h"

/* What an image loses to others: all of it that one of them covers, too. */
struct shared {
	__u64 addresses4;
	double addresses6;
};

struct showing {
	const struct config *config;
	const struct config_list *list;
	struct list_image *images[GATE25_LISTS]; /* by index in config->lists; NULL: none */
	size_t at;				 /* of the list */
};

static void showing_open(struct showing *showing)
{
	for (size_t i = 0; i < showing->config->lists_count; i++) {
		if (&showing->config->lists[i] == showing->list)
			showing->at = i;
		if (list_image_open(showing->config, &showing->config->lists[i],
				    &showing->images[i]))
			showing->images[i] = NULL;
	}
}

static void showing_close(struct showing *showing)
{
	for (size_t i = 0; i < showing->config->lists_count; i++)
		list_image_free(showing->images[i]);
}

/* Do both hold for some service? Else neither ever meets the other. */
static bool lists_meet(const struct config_list *a, const struct config_list *b)
{
	return (a->services & b->services) != 0;
}

/* What of the list is in the chosen ones. -ENOMEM. */
static int shared_with(const struct showing *showing,
		       bool (*chosen)(const struct showing *showing, size_t index, size_t one),
		       size_t one, struct shared *out)
{
	const struct list_image *image = showing->images[showing->at];
	struct list_image *left = NULL, *less;
	int error = 0;

	*out = (struct shared){ 0 };
	for (size_t i = 0; !error && i < showing->config->lists_count; i++) {
		if (i == showing->at || !showing->images[i] || !chosen(showing, i, one))
			continue;
		error = image_subtract(left ? left : image, showing->images[i], &less, NULL);
		if (error)
			break;
		list_image_free(left);
		left = less;
	}
	if (left && !error) {
		out->addresses4 = image_covered4(image) - image_covered4(left);
		out->addresses6 = image_covered6(image) - image_covered6(left);
	}
	list_image_free(left);
	return error;
}

static bool is_one(const struct showing *showing, size_t index, size_t one)
{
	(void)showing;
	return index == one;
}

/* Of the other kind: allow lists take out of a block list, and an allow list out of those that block. */
static bool is_opposite(const struct showing *showing, size_t index, size_t one)
{
	const struct config_list *other = &showing->config->lists[index];

	(void)one;
	return other->allow != showing->list->allow && lists_meet(other, showing->list);
}

static void shared_set(json_t *object, const char *key4, const char *key6,
		       const struct shared *shared)
{
	json_object_set_new(object, key4, json_integer(shared->addresses4));
	json_object_set_new(object, key6, json_real(shared->addresses6));
}

static json_t *overlaps_json(const struct showing *showing)
{
	json_t *overlaps = json_array(), *object;
	struct shared shared;

	for (size_t i = 0; i < showing->config->lists_count; i++) {
		const struct config_list *other = &showing->config->lists[i];

		if (i == showing->at || !showing->images[i] ||
		    shared_with(showing, is_one, i, &shared))
			continue;
		object = json_pack("{s:s, s:s}", "list", other->name, "kind",
				   other->allow ? "allow" : "block");
		shared_set(object, "addresses4", "addresses6", &shared);
		json_array_append_new(overlaps, object);
	}
	return overlaps;
}

static int measures_add(const struct showing *showing, json_t *object)
{
	const struct list_image *image = showing->images[showing->at];
	struct shared covered, rescued;
	int error;

	if (!image)
		return 0;
	covered = (struct shared){ image_covered4(image), image_covered6(image) };
	json_object_set_new(object, "read4", json_integer(image->count4));
	json_object_set_new(object, "read6", json_integer(image->count6));
	shared_set(object, "covered4", "covered6", &covered);
	error = shared_with(showing, is_opposite, 0, &rescued);
	if (error)
		return error;
	shared_set(object, "rescued4", "rescued6", &rescued);
	json_object_set_new(object, "overlap", overlaps_json(showing));
	return 0;
}

/* ---------------------------------------------------------------- for people */

static const char *addresses_say(const json_t *object, const char *key4, const char *key6,
				 char text[static 128])
{
	double six = json_real_value(json_object_get(object, key6));
	char four[32], more[32] = "";

	if (six > 0 && six < 1e6)
		snprintf(more, sizeof(more), ", %.0f of IPv6", six);
	else if (six > 0)
		snprintf(more, sizeof(more), ", %.3g of IPv6", six);
	snprintf(text, 128, "%s of IPv4%s",
		 number_format(json_integer_value(json_object_get(object, key4)), four), more);
	return text;
}

static void times_say(const struct cli *cli, const json_t *object)
{
	static const struct {
		const char *key, *title;
	} times[] = {
		{ "last_success", "last confirmed" },
		{ "changed", "last changed" },
		{ "next_refresh", "next refresh" },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (json_text(object, times[i].key)[0])
			cli_say(cli, "  %-16s %s", times[i].title, json_text(object, times[i].key));
}

static void measures_say(const struct cli *cli, const json_t *object)
{
	bool allow = !strcmp(json_text(object, "kind"), "allow");
	json_t *overlaps = json_object_get(object, "overlap"), *overlap;
	char text[128], four[32], six[32];
	size_t i;

	if (!overlaps) {
		cli_say(cli, "  no copy of it is kept: it was never read with success");
		return;
	}
	cli_say(cli, "  %-16s %s of IPv4, %s of IPv6", "entries",
		number_format(json_integer_value(json_object_get(object, "read4")), four),
		number_format(json_integer_value(json_object_get(object, "read6")), six));
	cli_say(cli, "  %-16s %s", "covers", addresses_say(object, "covered4", "covered6", text));
	cli_say(cli, "  %-16s %s, %s", "rescued",
		addresses_say(object, "rescued4", "rescued6", text),
		allow ? "which block lists name" : "which allow lists exempt");
	json_array_foreach(overlaps, i, overlap)
		cli_say(cli, "  %-16s %s (%s): %s", i ? "" : "in common with",
			json_text(overlap, "list"), json_text(overlap, "kind"),
			addresses_say(overlap, "addresses4", "addresses6", text));
}

static void object_say(const struct cli *cli, const struct config_list *list, const json_t *object)
{
	const char *error = json_text(object, "error");
	char number[32];

	cli_say(cli, "%s: %s list, %s%s", list->name, json_text(object, "kind"),
		json_text(object, "source"),
		!json_is_true(json_object_get(object, "in_force")) ? ", not in force yet" :
		json_is_true(json_object_get(object, "expired")) && !list->allow ?
								     ", out of force by its age" :
								     "");
	if (!list->allow)
		cli_say(cli, "  %-16s weight %d, %s, %s", "counts as", list->weight,
			json_text(object, "action"), json_text(object, "policy"));
	if (json_text(object, "read_as")[0])
		cli_say(cli, "  %-16s %s%s", "read as", json_text(object, "read_as"),
			list->format ? "" : ", by its content");
	measures_say(cli, object);
	if (json_is_integer(json_object_get(object, "hits")))
		cli_say(cli, "  %-16s %s", "hits",
			number_format(json_integer_value(json_object_get(object, "hits")), number));
	if (json_integer_value(json_object_get(object, "left_out")))
		cli_say(cli, "  %-16s %s entries: this host's own, or not of the Internet",
			"left out",
			number_format(json_integer_value(json_object_get(object, "left_out")),
				      number));
	times_say(cli, object);
	if (error[0])
		cli_say(cli, "  %-16s %s", "last error", error);
}

/* ---------------------------------------------------------------- the command */

static json_t *describe_one(struct cli *cli, const struct config_list *list)
{
	struct asker *asker = NULL;
	json_t *all, *object, *found = NULL;
	size_t i;

	if (cli->guard)
		ask_open(cli->config, cli->guard, &asker);
	all = lists_describe(cli->config, true, cli->guard, asker ? ask_generation(asker) : NULL);
	json_array_foreach(all, i, object)
		if (!strcmp(json_text(object, "name"), list->name))
			found = json_incref(object);
	json_decref(all);
	ask_close(asker);
	return found;
}

int lists_show_run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	struct showing showing = { 0 };
	const struct config_list *list = NULL;
	json_t *object;
	int code = cli_options(cli, argc, argv, options, &argc, &argv), error;

	if (!code)
		code = list_argument(cli, argc, argv, "show", &list);
	if (!code && cli_pinned(cli))
		code = cli_guard(cli);
	if (code)
		return code;
	showing.config = cli->config;
	showing.list = list;
	showing_open(&showing);
	object = describe_one(cli, list);
	error = object ? measures_add(&showing, object) : -ENOMEM;
	showing_close(&showing);
	if (error) {
		json_decref(object);
		return cli_fail(cli, EXIT_FAILED, "%s", strerror(-error));
	}
	object_say(cli, list, object);
	return cli_results(cli, json_pack("[o]", object), EXIT_DONE);
}
