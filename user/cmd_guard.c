// SPDX-License-Identifier: GPL-2.0-only
/*
 * load, unload, reload: what is in force as a whole. pause, resume and policy are in cmd_policy.c,
 * check in cmd_check.c.
 *
 * In: the configuration, the last good lists, interfaces by name. Out: a generation in force, or
 * none.
 */
#include "user/cmd_guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/print.h"
#include "user/record.h"
#include "user/state.h"

static const struct cli_option no_options[] = { { NULL, NULL, NULL } };

/* ---------------------------------------------------------------- interfaces */

/* A set of names, without doubles. */
struct ifaces {
	char names[2 * GATE25_IFACES][16];
	unsigned int count;
};

static bool ifaces_has(const struct ifaces *ifaces, const char *name)
{
	for (unsigned int i = 0; i < ifaces->count; i++)
		if (!strcmp(ifaces->names[i], name))
			return true;
	return false;
}

static void ifaces_add(struct ifaces *ifaces, const char *name)
{
	if (ifaces->count < 2 * GATE25_IFACES && !ifaces_has(ifaces, name))
		snprintf(ifaces->names[ifaces->count++], sizeof(ifaces->names[0]), "%s", name);
}

static void ifaces_of_config(struct ifaces *ifaces, const struct config *config)
{
	for (unsigned int i = 0; i < config->interfaces_count; i++)
		ifaces_add(ifaces, config->interfaces[i].name);
}

static void ifaces_attached(struct ifaces *ifaces, struct guard *guard)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);

	for (int i = 0; i < count; i++)
		ifaces_add(ifaces, attached[i].iface);
}

/*
 * Takes the interfaces that were named, each of which must be known; or all that are. 0 or the exit
 * code.
 */
static int ifaces_choose(struct cli *cli, const struct ifaces *known, int argc, char **argv,
			 struct ifaces *out)
{
	char names[2 * GATE25_IFACES * 18] = "none";
	size_t used = 0;

	for (unsigned int i = 0; i < known->count; i++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
				 known->names[i]);
	for (int i = 0; i < argc; i++) {
		if (!ifaces_has(known, argv[i]))
			return cli_fail(cli, EXIT_FAILED, "there is no interface %s; there are: %s",
					argv[i], names);
		ifaces_add(out, argv[i]);
	}
	if (!argc)
		*out = *known;
	return 0;
}

static json_t *ifaces_json(const struct ifaces *ifaces)
{
	json_t *array = json_array();

	for (unsigned int i = 0; array && i < ifaces->count; i++)
		json_array_append_new(array, json_string(ifaces->names[i]));
	return array;
}

/* Writes into the state what the agent must respect. Under the lock. 0 or the exit code. */
static int ifaces_mark(struct cli *cli, const struct ifaces *ifaces, bool unloaded)
{
	struct state *state = NULL;
	int error = state_read(cli->config->state_dir, &state);
	bool changed = false;

	for (unsigned int i = 0; !error && i < ifaces->count; i++) {
		if (state_is_unloaded(state, ifaces->names[i]) == unloaded)
			continue;
		changed = true;
		error = state_set_unloaded(state, ifaces->names[i], unloaded);
	}
	if (!error && changed)
		error = state_write(cli->config->state_dir, state);
	state_free(state);
	return cli_exit_code(error);
}

/* ---------------------------------------------------------------- load */

/* A load reads no source: what was never read is empty, and stops or exempts nobody. */
static void unread_warn(const struct cli *cli)
{
	if (!feeds_cached(cli->config))
		cli_note("warning: not all lists were read before; to read them: gate25 reload");
}

static int load_ifaces(struct cli *cli, const struct ifaces *chosen, int argc, char **argv)
{
	json_t *before = force_snapshot(cli), *after, *targets = ifaces_json(chosen);
	struct apply_report report;
	int code;

	apply_report_init(&report);
	code = force_generation(cli, "apply", FEED_CACHED, argv, argc, &report);
	force_say(cli, &report);
	after = force_snapshot(cli);
	record_change(cli->config->state_dir, code ? "load failed" : "load", targets, before,
		      after);
	if (!code)
		unread_warn(cli);
	else
		force_fail(cli, code, &report);
	code = cli_results(cli, force_results(&report), code);
	apply_report_free(&report);
	json_decref(targets);
	json_decref(before);
	json_decref(after);
	return code;
}

static int load_run(struct cli *cli, int argc, char **argv)
{
	struct ifaces known = { .count = 0 }, chosen = { .count = 0 };
	int code = cli_options(cli, argc, argv, no_options, &argc, &argv);

	if (!code)
		code = cli_config(cli);
	if (!code)
		code = cli_may_change(cli);
	if (!code)
		code = force_may(cli);
	if (code)
		return code;
	ifaces_of_config(&known, cli->config);
	code = ifaces_choose(cli, &known, argc, argv, &chosen);
	if (!code)
		code = cli_lock(cli);
	if (!code)
		code = ifaces_mark(cli, &chosen, false);
	cli_unlock(cli);
	return code ? code : load_ifaces(cli, &chosen, argc, argv);
}

/* ---------------------------------------------------------------- unload */

static int unload_one(struct cli *cli, const char *iface, json_t *results)
{
	int error = guard_detach(cli->guard, iface);

	if (error == -ENOENT) {
		cli_say(cli, "%s was not guarded; it stays so", iface);
	} else if (error) {
		return cli_exit_code(error);
	} else {
		cli_say(cli, "%s is not guarded any more", iface);
	}
	json_array_append_new(results,
			      json_pack("{s:s, s:b}", "interface", iface, "detached", !error));
	return 0;
}

static int unload_rest(struct cli *cli)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(cli->guard, attached), error;

	if (count)
		return count < 0 ? cli_exit_code(count) : 0;
	error = guard_remove(cli->guard);
	if (!error)
		cli_say(cli, "nothing is guarded now; back with: gate25 load");
	return cli_exit_code(error);
}

static int unload_chosen(struct cli *cli, const struct ifaces *chosen)
{
	json_t *before = force_snapshot(cli), *after = NULL, *targets = ifaces_json(chosen);
	json_t *results = json_array();
	int code = ifaces_mark(cli, chosen, true), marked = code;

	/* Whoever wants it off wants that more than he wants it noted. */
	for (unsigned int i = 0; i < chosen->count; i++) {
		int failed = unload_one(cli, chosen->names[i], results);

		code = failed ? failed : code;
	}
	if (code == marked) {
		int failed = unload_rest(cli);

		code = failed ? failed : code;
	}
	if (marked)
		cli_note("this could not be noted in %s: the agent may attach again",
			 cli->config->state_dir);
	after = force_snapshot(cli);
	record_change(cli->config->state_dir, "unload", targets, before, after);
	json_decref(targets);
	json_decref(before);
	json_decref(after);
	return cli_results(cli, results, code);
}

/*
 * What is pinned cannot be used: another layout, or a part of it is missing. It can still be
 * removed.
 */
static int unload_unread(struct cli *cli, const struct ifaces *chosen, int argc, int error)
{
	json_t *targets;
	int code;

	if (cli_exit_code(error) == EXIT_PERMISSION)
		return EXIT_PERMISSION;
	if (argc)
		return cli_fail(
			cli, EXIT_FAILED,
			"only all of it can be removed: gate25 unload, without an interface");
	ifaces_mark(cli, chosen, true);
	code = cli_exit_code(guard_purge(cli->config->pin_dir));
	if (code)
		return code;
	targets = ifaces_json(chosen);
	record_change(cli->config->state_dir, "unload", targets, NULL, NULL);
	cli_say(cli, "all that was pinned in %s is removed; nothing is guarded now",
		cli->config->pin_dir);
	return cli_results(cli, json_pack("[{s:o, s:b}]", "interfaces", targets, "detached", true),
			   EXIT_DONE);
}

static int unload_nothing(struct cli *cli, const struct ifaces *chosen)
{
	int code = ifaces_mark(cli, chosen, true);

	if (!code)
		cli_fail(cli, EXIT_NOT_LOADED,
			 "nothing is loaded; the agent will not attach either");
	return cli_results(cli, json_array(), code ? code : EXIT_NOT_LOADED);
}

static int unload_run(struct cli *cli, int argc, char **argv)
{
	struct ifaces known = { .count = 0 }, chosen = { .count = 0 };
	int code = cli_options(cli, argc, argv, no_options, &argc, &argv), error = -ENOENT;

	if (!code)
		code = cli_lock(cli);
	if (code)
		return code;
	if (cli->config_whole)
		ifaces_of_config(&known, cli->config);
	if (cli_pinned(cli))
		error = guard_open(cli->config->pin_dir, &cli->guard);
	if (!error)
		ifaces_attached(&known, cli->guard);
	code = ifaces_choose(cli, &known, argc, argv, &chosen);
	if (code)
		return code;
	if (!error)
		return unload_chosen(cli, &chosen);
	if (error == -ENOENT && access(cli->config->pin_dir, F_OK))
		return unload_nothing(cli, &chosen);
	return unload_unread(cli, &chosen, argc, error);
}

/* ---------------------------------------------------------------- reload */

static int reload_run(struct cli *cli, int argc, char **argv)
{
	struct apply_report report;
	json_t *before, *after;
	int code = cli_options(cli, argc, argv, no_options, &argc, &argv);

	if (!code && argc)
		code = cli_fail(cli, EXIT_USAGE, "%s: no argument is wanted", argv[0]);
	if (!code)
		code = cli_may_change(cli);
	if (!code)
		code = force_may(cli);
	if (code)
		return code;
	if (!cli_pinned(cli))
		return cli_guard(cli);
	before = force_snapshot(cli);
	apply_report_init(&report);
	code = force_generation(cli, "reload", FEED_CHANGED, NULL, 0, &report);
	force_say(cli, &report);
	after = force_snapshot(cli);
	record_change(cli->config->state_dir, code ? "reload failed" : "reload", NULL, before,
		      after);
	if (code)
		force_fail(cli, code, &report);
	else if (!json_array_size(report.changes))
		cli_say(cli, "nothing changed");
	code = cli_results(cli, force_results(&report), code);
	apply_report_free(&report);
	json_decref(before);
	json_decref(after);
	return code;
}

/* ---------------------------------------------------------------- the table */

const struct command commands_guard[] = {
	{ "load", "[IFACE…]", "put the guard in force, with the last good lists",
	  "All interfaces of the configuration, or those that are named. It reads no source: lists "
	  "are those\n"
	  "that were read last. What `unload` took off is attached again.\n\n"
	  "  gate25 load\n  gate25 load eth1\n",
	  load_run },
	{ "unload", "[IFACE…]", "take the guard off; the agent does not attach again",
	  "All interfaces, or those that are named. With the last one all maps and counters go; "
	  "manual entries,\n"
	  "lists and the record of changes stay on disk.\n\n"
	  "  gate25 unload\n",
	  unload_run },
	{ "pause", "[--for TIME]", "let everything pass, at once, and go on counting",
	  "It holds over a restart and a reboot, until its time is over or `gate25 resume`.\n\n"
	  "  --for TIME  how long (30m, 1h, 2d); else until resumed\n\n"
	  "  gate25 pause --for 1h\n",
	  pause_run },
	{ "resume", "", "end a pause", "  gate25 resume\n", resume_run },
	{ "policy", "observe|enforce|default [--list NAME|--service NAME]",
	  "only observe, or enforce; without editing the configuration",
	  "What is said here wins over the configuration and holds over a reboot; `default` takes "
	  "it back. A thing is\n"
	  "enforced only if the whole, its service and its list all enforce.\n\n"
	  "  --list NAME     this block list alone\n"
	  "  --service NAME  this service alone\n\n"
	  "  gate25 policy enforce\n  gate25 policy observe --list uceprotect-1\n",
	  policy_run },
	{ "reload", "", "read configuration and lists again",
	  "Waits until it is in force and prints what changed. When it fails, the last line says "
	  "whether\n"
	  "all else is in force, or what was in force stays so.\n\n"
	  "  gate25 check && gate25 reload\n",
	  reload_run },
	{ "check", "[FILE]", "say whether the configuration can be used",
	  "Changes nothing. Every problem is a line FILE:LINE: what is wrong, and what is "
	  "allowed. Of files and\n"
	  "interfaces that are not there now it warns.\n\n"
	  "  gate25 check\n",
	  check_run },
	{ NULL, NULL, NULL, NULL, NULL },
};
