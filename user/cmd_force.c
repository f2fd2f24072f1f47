// SPDX-License-Identifier: GPL-2.0-only
/*
 * A new generation from the command line: through the agent where one runs, else by ourselves.
 *
 * In: what to do. Out: facts for people and for the record of changes.
 */
#include "user/cmd_guard.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- snapshot */

static __u64 entries_of(const struct gate25_generation *generation)
{
	__u64 entries = 0;

	for (__u32 i = 0; i < generation->lists_count; i++)
		entries += generation->lists[i].entries4 + generation->lists[i].entries6;
	return entries;
}

static json_t *guard_snapshot(struct guard *guard)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);
	json_t *interfaces = json_array();
	json_t *out = json_pack("{s:o}", "interfaces", interfaces);
	struct view view;

	for (int i = 0; out && i < count; i++) {
		json_array_append_new(interfaces, json_string(attached[i].iface));
		if (json_object_get(out, "generation") ||
		    view_open(guard, attached[i].prog_id, &view))
			continue;
		json_object_set_new(out, "generation", json_integer(view.generation->number));
		json_object_set_new(out, "entries", json_integer(entries_of(view.generation)));
		view_close(&view);
	}
	return out;
}

json_t *force_snapshot(struct cli *cli)
{
	struct guard *guard = NULL;
	json_t *out;

	if (!cli_pinned(cli) || guard_open(cli->config->pin_dir, &guard))
		return json_null();
	out = guard_snapshot(guard);
	guard_close(guard);
	return out ? out : json_null();
}

/* ---------------------------------------------------------------- a new generation */

static void facts_take(json_t **facts, const json_t *reply, const char *key)
{
	json_t *array = json_object_get(reply, key);

	if (!json_is_array(array))
		return;
	json_decref(*facts);
	*facts = json_incref(array);
}

int force_may(const struct cli *cli)
{
	char ours[PATH_MAX];
	json_t *reply = NULL;
	const char *theirs;
	int code = 0;

	if (!realpath(cli->config_path, ours) ||
	    agent_request(cli->config->run_dir, "config", &reply))
		return 0; /* said by who reads the file, or asks for more */
	theirs = json_string_value(json_object_get(reply, "config"));
	if (theirs && strcmp(theirs, ours) != 0)
		code = cli_fail(cli, EXIT_FAILED,
				"gate25d (process %lld) runs with %s, this command was given %s: "
				"nothing was done; leave out -c, or restart gate25d with that file",
				json_integer_value(json_object_get(reply, "pid")), theirs, ours);
	json_decref(reply);
	return code;
}

/* -ENOENT, -ECONNREFUSED: no agent runs. -EIO: it could not, and says why. */
static int ask_agent(struct cli *cli, const char *request, struct apply_report *report)
{
	json_t *reply = NULL;
	int error = agent_request(cli->config->run_dir, request, &reply);

	if (!error) {
		facts_take(&report->changes, reply, "changes");
		facts_take(&report->warnings, reply, "warnings");
		facts_take(&report->errors, reply, "errors");
		report->in_force = json_is_true(json_object_get(reply, "in_force"));
		error = json_is_true(json_object_get(reply, "ok")) ? 0 : -EIO;
	} else if (error != -ENOENT && error != -ECONNREFUSED) {
		apply_say(report->errors,
			  "the agent does not answer (%s); look at its log, or stop it and try "
			  "again: the guard stays in force",
			  strerror(-error));
	}
	json_decref(reply);
	return error;
}

void force_say(const struct cli *cli, const struct apply_report *report)
{
	const json_t *fact;
	size_t i;

	json_array_foreach(report->changes, i, fact)
		cli_say(cli, "%s", json_string_value(fact));
}

static void doubts_print(const struct apply_report *report)
{
	const json_t *fact;
	size_t i;

	json_array_foreach(report->warnings, i, fact)
		cli_note("warning: %s", json_string_value(fact));
	json_array_foreach(report->errors, i, fact)
		cli_note("%s", json_string_value(fact));
}

int force_generation(struct cli *cli, const char *request, enum feed_how how, char *const *ifaces,
		     size_t count, struct apply_report *report)
{
	int error = ask_agent(cli, request, report);

	if (error == -ENOENT || error == -ECONNREFUSED)
		error = apply_now(cli->config_path, how, ifaces, count, report);
	if (!error && json_array_size(report->errors)) /* as the agent judges it */
		error = -EIO;
	doubts_print(report);
	return cli_exit_code(error);
}

int force_fail(const struct cli *cli, int code, const struct apply_report *report)
{
	return cli_fail(cli, code, "failed; %s",
			report->in_force ? "all else is in force" :
					   "what was in force before stays so");
}

json_t *force_results(const struct apply_report *report)
{
	return json_pack("[{s:O, s:O, s:O}]", "changes", report->changes, "warnings",
			 report->warnings, "errors", report->errors);
}
