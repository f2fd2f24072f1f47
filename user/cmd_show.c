// SPDX-License-Identifier: GPL-2.0-only
/*
 * log and version, and the table of the commands that only look.
 *
 * In: the record of changes. Out: lines, newest last.
 */
#include "user/cmd_show.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/print.h"
#include "user/record.h"

#define LOG_LIMIT   100
#define LOG_TARGETS 4 /* shown to people */

/* ---------------------------------------------------------------- log */

/* The last `limit` records that were seen. */
struct tail {
	json_t *records; /* an array, newest last */
	size_t limit, seen;
};

static int tail_take(const json_t *record, void *context)
{
	struct tail *tail = context;

	tail->seen++;
	if (json_array_append(tail->records, (json_t *)record))
		return -ENOMEM;
	/* Dropping one at a time from the front would move all the others each time. */
	if (json_array_size(tail->records) >= 2 * tail->limit) {
		json_t *kept = json_array();

		for (size_t i = tail->limit; kept && i < 2 * tail->limit; i++)
			json_array_append(kept, json_array_get(tail->records, i));
		json_decref(tail->records);
		tail->records = kept;
	}
	return tail->records ? 0 : -ENOMEM;
}

static void tail_trim(struct tail *tail)
{
	while (json_array_size(tail->records) > tail->limit)
		json_array_remove(tail->records, 0);
}

static json_t *record_for_people(const json_t *record)
{
	const json_t *targets = json_object_get(record, "targets");
	size_t count = json_array_size(targets);
	json_t *shown = json_array();
	char more[32];

	for (size_t i = 0; i < count && i < LOG_TARGETS; i++)
		json_array_append(shown, json_array_get(targets, i));
	if (count > LOG_TARGETS) {
		snprintf(more, sizeof(more), "… %zu in all", count);
		json_array_append_new(shown, json_string(more));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s}", "time", json_text(record, "time"),
			 "user", json_text(record, "user"), "tty", json_text(record, "tty"),
			 "action", json_text(record, "action"), "targets", shown, "command",
			 json_text(record, "command"));
}

static int tail_print(const struct cli *cli, const struct tail *tail)
{
	static const struct column columns[] = {
		{ "time", "TIME", false },	 { "user", "USER", false },
		{ "tty", "TTY", false },	 { "action", "ACTION", false },
		{ "targets", "TARGETS", false }, { "command", "COMMAND", false },
	};
	json_t *shown, *record;
	size_t i;

	if (cli->json)
		return print_json(json_incref(tail->records));
	shown = json_array();
	json_array_foreach(tail->records, i, record)
		json_array_append_new(shown, record_for_people(record));
	if (!tail->seen)
		cli_note("nothing was changed yet");
	else if (tail->seen > json_array_size(shown))
		cli_note("the last %zu of %zu; --limit N shows more", json_array_size(shown),
			 tail->seen);
	return print_results(false, shown, columns, sizeof(columns) / sizeof(columns[0]));
}

static int limit_read(struct cli *cli, const char *text, size_t *limit)
{
	char *end = NULL;

	if (!text)
		return 0;
	errno = 0;
	*limit = strtoul(text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*text) || !*limit || *limit > 1000000)
		return cli_fail(cli, EXIT_USAGE, "--limit %s: a number from 1 to 1000000 is wanted",
				text);
	return 0;
}

static int log_run(struct cli *cli, int argc, char **argv)
{
	const char *limit = NULL, *why = NULL;
	const struct cli_option options[] = { { "limit", NULL, &limit }, { NULL, NULL, NULL } };
	struct tail tail = { .limit = LOG_LIMIT };
	struct prefix about;
	int code = cli_options(cli, argc, argv, options, &argc, &argv), error;

	if (!code)
		code = limit_read(cli, limit, &tail.limit);
	if (!code && argc > 1)
		code = cli_fail(cli, EXIT_USAGE, "one address or network is wanted");
	if (!code)
		code = cli_paths(cli);
	if (!code && argc &&
	    prefix_parse(argv[0], cli->config->translated, cli->config->translated_count, &about,
			 &why))
		code = cli_fail(cli, EXIT_USAGE, "%s: %s", argv[0], why);
	if (code)
		return code;
	tail.records = json_array();
	error = record_read(cli->config->state_dir, argc ? &about : NULL, tail_take, &tail);
	if (!error) {
		tail_trim(&tail);
		error = tail_print(cli, &tail);
	}
	json_decref(tail.records);
	return error ? cli_fail(cli, cli_exit_code(error), "cannot read the record in %s: %s",
				cli->config->state_dir, strerror(-error)) :
		       EXIT_DONE;
}

/* ---------------------------------------------------------------- version */

static int version_run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc)
		code = cli_fail(cli, EXIT_USAGE, "%s: no argument is wanted", argv[0]);
	if (code)
		return code;
	cli_say(cli, "gate25 %s (layout %d)", GATE25_VERSION, GATE25_LAYOUT);
	return cli_results(
		cli, json_pack("[{s:s, s:i}]", "version", GATE25_VERSION, "layout", GATE25_LAYOUT),
		EXIT_DONE);
}

/* ---------------------------------------------------------------- the table */

const struct command commands_show[] = {
	{ "status", "[--check]", "say what is in force, in words, and what is not as it should be",
	  "  --check  one line for Nagios and Icinga, with performance data; exits with 0 ok, 1 "
	  "warning,\n"
	  "           2 critical, 3 unknown\n\n"
	  "  gate25 status\n",
	  status_run },
	{ "test", "ADDR…|-|--domain NAME [--service NAME]",
	  "say what a connection from these addresses meets, and why",
	  "One line an address, whose first word is BLOCKED, LIMITED, ALLOWED or PASS. `-` reads "
	  "standard input,\n"
	  "one address a line; what is none is named, and the exit code is 2. Exits with 3 when "
	  "any "
	  "of them\n"
	  "is not BLOCKED.\n\n"
	  "  --service NAME  of this service; else of the one with port 25, and of others where "
	  "they differ\n"
	  "  --domain NAME   all addresses that the SPF record and the mail exchangers of a domain "
	  "name\n\n"
	  "  gate25 test 192.0.2.7 2001:db8::7\n",
	  test_run },
	{ "lists", "[VERB …]", "list the lists: entries, age, hits, errors",
	  "  show NAME                all that is known of one, and what others have in common "
	  "with it\n"
	  "  diff NAME [--limit N]    what an update that is held back would change\n"
	  "  accept NAME              lets it in\n"
	  "  presets [NAME]           known lists, their source and terms; all of one\n"
	  "  enable NAME              write one into conf.d, beside the configuration; never over\n"
	  "                           a file that is there. --accept-terms accepts terms that ask\n"
	  "                           for it; --asn N says of which autonomous system;\n"
	  "                           --from DIR reads presets of yours\n"
	  "  try NAME|FILE --log LOG  whom of those in a log of Postfix or Exim it would have\n"
	  "                           stopped; more logs may stand behind, plain or gzip;\n"
	  "                           --format as in the configuration\n"
	  "  refresh [NAME]           ask its source now\n\n"
	  "  gate25 lists\n"
	  "  gate25 lists enable spamhaus-drop && gate25 reload\n",
	  lists_run },
	{ "feeds", "[VERB …]", NULL, "The same as `gate25 lists`.\n", lists_run },
	{ "log", "[ADDR[/LEN]] [--limit N]", "show who changed what, and when",
	  "Newest last; with an address, what concerns it.\n\n"
	  "  --limit N  the last N (100)\n\n"
	  "  gate25 log 192.0.2.7\n",
	  log_run },
	{ "version", "", "print the version", "  gate25 version\n", version_run },
	{ NULL, NULL, NULL, NULL, NULL },
};
