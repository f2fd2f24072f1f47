// SPDX-License-Identifier: GPL-2.0-only
/*
 * lists refresh: asks the source of a list now.
 *
 * In: a name, or none for all. Out: what the running agent made of it. The agent alone fetches: it knows when the
 * source was last asked, and how often it may be.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <string.h>

#include "user/apply.h"
#include "user/print.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void list_say(const struct cli *cli, const json_t *list)
{
	__u64 entries = json_integer_value(json_object_get(list, "entries4")) +
			json_integer_value(json_object_get(list, "entries6"));
	const char *error = text_of(list, "error");
	char count[64];

	count_format(entries, "entry", "entries", count);
	if (json_is_true(json_object_get(list, "fetching")))
		cli_say(cli,
			"%s: still being fetched; it comes into force by itself, until then %s",
			text_of(list, "name"), count);
	else if (error[0])
		cli_say(cli, "%s: %s; %s", text_of(list, "name"), error,
			entries ? "the last good one stays in force" : "it is empty");
	else
		cli_say(cli, "%s: %s", text_of(list, "name"), count);
}

static void facts_note(const json_t *reply, const char *key, const char *before)
{
	const json_t *fact;
	size_t i;

	json_array_foreach(json_object_get(reply, key), i, fact)
		cli_note("%s%s%s", before, before[0] ? ": " : "", json_string_value(fact));
}

static int reply_print(struct cli *cli, const char *name, const json_t *reply)
{
	json_t *lists = json_object_get(reply, "lists"), *list;
	bool good = json_is_true(json_object_get(reply, "ok"));
	size_t i;

	facts_note(reply, "errors", name ? name : "");
	if (!lists)
		lists = json_array();
	else
		json_incref(lists);
	json_array_foreach(lists, i, list) {
		good &= !text_of(list, "error")[0];
		list_say(cli, list);
	}
	return cli_results(cli, lists, good ? EXIT_DONE : EXIT_FAILED);
}

int lists_refresh_run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	json_t *reply = NULL;
	int code = cli_options(cli, argc, argv, options, &argc, &argv), error;

	if (!code && argc > 1)
		code = cli_fail(cli, EXIT_USAGE, "refresh: one name is wanted, or none for all");
	if (!code)
		code = cli_config(cli);
	if (!code && argc && !config_list_find(cli->config, argv[0]))
		code = cli_fail(cli, EXIT_FAILED,
				"no list %s is configured; gate25 lists names all", argv[0]);
	if (code)
		return code;
	error = agent_request_list(cli->config->run_dir, "refresh", argc ? argv[0] : NULL, &reply);
	if (error == -ENOENT || error == -ECONNREFUSED)
		return cli_fail(cli, EXIT_FAILED,
				"gate25d is not running, and it fetches; start it, or read all "
				"sources once with gate25 reload");
	if (error)
		return cli_fail(cli, cli_exit_code(error),
				"the agent does not answer (%s); look at its log",
				strerror(-error));
	code = reply_print(cli, argc ? argv[0] : NULL, reply);
	json_decref(reply);
	return code;
}
