// SPDX-License-Identifier: GPL-2.0-only
/*
 * check: can a configuration be used, and is what it names there?
 *
 * In: a file. Out: problems, which no agent would take; doubts, among them what is not there now. It may be
 * the file of another machine: what is missing here is no problem.
 */
#include <cap-ng.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd_guard.h"
#include "user/feed_file.h"
#include "user/link.h"
#include "user/print.h"

static const struct cli_option no_options[] = { { NULL, NULL, NULL } };

/* ---------------------------------------------------------------- this host */

/* The unit's agent has no right to pass over the mode of a file: a check as root must not have it either. */
static void rights_as_agent(void)
{
	capng_get_caps_process();
	if (capng_updatev(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, -1) ||
	    capng_apply(CAPNG_SELECT_CAPS))
		cli_note("warning: whether the agent may read the lists' files was not checked");
}

static void check_interfaces(const struct config *config, FILE *doubts)
{
	for (unsigned int i = 0; i < config->interfaces_count; i++) {
		const struct config_interface *interface = &config->interfaces[i];

		if (!if_nametoindex(interface->name))
			fprintf(doubts,
				"%s:%u: interface %s is not there now; it is guarded when it comes "
				"(`ip -br link` shows those that are)\n",
				config->files[interface->file], interface->line, interface->name);
	}
}

static void check_files(const struct config *config, FILE *doubts)
{
	rights_as_agent();
	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		int error = list->file ? feed_file_look(list->file) : 0;

		if (error == -ENOENT || error == -ENOTDIR)
			fprintf(doubts,
				"%s:%u: list %s: %s is not there now; without it the list stays as "
				"it was read last, or is empty\n",
				list->config_file, list->config_line, list->name, list->file);
		else if (error)
			fprintf(doubts, "%s:%u: list %s: %s cannot be read now: %s\n",
				list->config_file, list->config_line, list->name, list->file,
				feed_file_why(error));
	}
}

/* The mail server may come later; but if it runs elsewhere, the limits hold for nobody. */
static void check_counting(const struct config *config, FILE *doubts)
{
	unsigned char listeners[8192];

	if (config->count != COUNT_CONNECTIONS || socket_listeners(listeners))
		return;
	for (unsigned int i = 0; i < config->services_count; i++)
		if ((config_limited(config) >> i & 1) &&
		    !socket_listens(listeners, config->services[i].ports,
				    config->services[i].ports_count))
			fprintf(doubts,
				"limits: count: connections, and nothing listens for service %s "
				"here now: while that is so, its limits hold for nobody\n",
				config->services[i].name);
}

/* ---------------------------------------------------------------- the command */

static json_t *lines_json(const char *said)
{
	json_t *lines = json_array();
	char *copy = strdup(said), *rest, *line;

	for (line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		json_array_append_new(lines, json_string(line));
	free(copy);
	return lines;
}

static void doubts_print(const json_t *doubts)
{
	const json_t *doubt;
	size_t i;

	json_array_foreach(doubts, i, doubt)
		cli_note("warning: %s", json_string_value(doubt));
}

static void check_say(const struct cli *cli, const char *path, const struct config *config)
{
	char interfaces[64], services[64], lists[64];
	unsigned int allow = 0;

	for (size_t i = 0; i < config->lists_count; i++)
		allow += config->lists[i].allow;
	cli_say(cli, "%s: ok: %s, %s, %s (%u of them allow)", path,
		count_format(config->interfaces_count, "interface", "interfaces", interfaces),
		count_format(config->services_count, "service", "services", services),
		count_format(config->lists_count, "list", "lists", lists), allow);
}

/* What is said of the file, in lines; the caller frees both. NULL where memory is short. */
struct said {
	char *problems, *doubts;
};

static int check_file(const char *path, struct said *said, struct config **out)
{
	size_t bytes;
	FILE *problems = open_memstream(&said->problems, &bytes);
	FILE *doubts = problems ? open_memstream(&said->doubts, &bytes) : NULL;
	int error = doubts ? config_read_apart(path, problems, doubts, out) : -ENOMEM;

	if (!error) {
		check_interfaces(*out, doubts);
		check_files(*out, doubts);
		check_counting(*out, doubts);
	}
	if (doubts)
		fclose(doubts);
	if (problems)
		fclose(problems);
	return error;
}

int check_run(struct cli *cli, int argc, char **argv)
{
	struct config *config = NULL;
	struct said said = { NULL, NULL };
	const char *path = cli->config_path;
	int code = cli_options(cli, argc, argv, no_options, &argc, &argv), error;
	json_t *doubts;

	if (!code && argc > 1)
		code = cli_fail(cli, EXIT_USAGE, "one file is wanted");
	if (code)
		return code;
	path = argc ? argv[0] : path;
	error = check_file(path, &said, &config);
	if (!said.problems || !said.doubts) {
		code = cli_fail(cli, EXIT_FAILED, "out of memory");
		goto out;
	}
	fputs(text_tame(said.problems, true), stderr);
	doubts = lines_json(said.doubts);
	doubts_print(doubts);
	if (!error)
		check_say(cli, path, config);
	code = cli_results(cli,
			   json_pack("[{s:s, s:b, s:o, s:o}]", "file", path, "ok", !error,
				     "problems", lines_json(said.problems), "warnings", doubts),
			   cli_exit_code(error));
out:
	config_free(config);
	free(said.problems);
	free(said.doubts);
	return code;
}
