// SPDX-License-Identifier: GPL-2.0-only
/*
 * pause, resume, policy: words that act at once and win over the configuration.
 *
 * In: what the operator wants. Out: a word in the control map, which the kernel reads with the next
 * packet, agent or not; and the state, which holds over a reboot. The policy of one list makes a
 * new generation.
 */
#include "user/cmd_guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/overlay.h"
#include "user/print.h"
#include "user/record.h"
#include "user/state.h"
#include "user/until.h"

#define PAUSE_LOCK_WAIT_S 3

/* What such a command works on. */
struct words {
	struct cli *cli;
	struct state *state;
	struct guard *guard; /* NULL: not loaded */
};

/* Lock, state, guard if loaded. 0 or the exit code; then desk_close() all the same. */
static int words_open(struct cli *cli, struct words *out)
{
	int code, error;

	*out = (struct words){ .cli = cli };
	code = cli_lock(cli);
	if (code)
		return code;
	code = cli_guard(cli);
	if (code && code != EXIT_NOT_LOADED)
		return code;
	out->guard = code ? NULL : cli->guard;
	error = state_read(cli->config->state_dir, &out->state);
	return cli_exit_code(error);
}

static int words_close(struct words *words, int code)
{
	state_free(words->state);
	if (code == EXIT_DONE && !words->guard) {
		cli_note("it is kept, and holds from the next load on");
		return EXIT_NOT_LOADED;
	}
	return code;
}

/* The map first, so that a full disk keeps nobody from what he wants now. 0 or the exit code. */
static int words_keep(struct words *words)
{
	int error = state_write(words->cli->config->state_dir, words->state);

	if (!error)
		return 0;
	if (words->guard)
		return cli_fail(words->cli, cli_exit_code(error),
				"in force now, but not kept on disk (%s): the agent or a reload "
				"may undo it",
				strerror(-error));
	return cli_exit_code(error);
}

static void words_record(const struct words *words, const char *action, json_t *targets,
			 json_t *before, json_t *after)
{
	record_change(words->cli->config->state_dir, action, targets, before, after);
	json_decref(targets);
	json_decref(before);
	json_decref(after);
}

/* ---------------------------------------------------------------- pause, resume */

static int pause_set(struct words *words, const char *action, __u64 until_s)
{
	__u64 before_s = words->state->pause_until_s;

	words->state->pause_until_s = until_s;
	if (words->guard)
		__atomic_store_n(&words->guard->control->pause_until_ns,
				 until_s ? overlay_time_ns(until_s) : 0, __ATOMIC_RELAXED);
	words_record(words, action, NULL, json_pack("{s:o}", "paused_until", time_json(before_s)),
		     json_pack("{s:o}", "paused_until", time_json(until_s)));
	return words_keep(words);
}

/*
 * Whoever pauses is in need. If another gate25 hangs with the lock in its hand, or the state cannot be
 * read, the word is set all the same: it is one store.
 */
static int pause_anyway(struct cli *cli, __u64 until_s)
{
	if (cli_guard(cli))
		return EXIT_FAILED;
	__atomic_store_n(&cli->guard->control->pause_until_ns, overlay_time_ns(until_s),
			 __ATOMIC_RELAXED);
	return cli_fail(cli, EXIT_FAILED,
			"paused now, but it is not kept on disk: a reload or the agent may end it");
}

static int pause_until(struct cli *cli, const char *text, __u64 *until_s)
{
	const char *why = NULL;

	*until_s = GATE25_NEVER;
	if (!text)
		return 0;
	if (for_parse(text, time(NULL), until_s, &why))
		return cli_fail(cli, EXIT_USAGE, "--for %s: %s", text, why);
	return 0;
}

int pause_run(struct cli *cli, int argc, char **argv)
{
	const char *duration = NULL;
	const struct cli_option options[] = { { "for", NULL, &duration }, { NULL, NULL, NULL } };
	struct words words;
	__u64 until_s = 0;
	char time[32];
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc)
		code = cli_fail(cli, EXIT_USAGE, "%s: no argument is wanted", argv[0]);
	if (!code)
		code = pause_until(cli, duration, &until_s);
	if (code)
		return code;
	cli->lock_wait_s = PAUSE_LOCK_WAIT_S;
	code = words_open(cli, &words);
	if (!code)
		code = pause_set(&words, "pause", until_s);
	else if (code == EXIT_FAILED && !words.state)
		code = pause_anyway(cli, until_s);
	if (!code)
		cli_say(cli, "paused %s%s: everything passes, and is counted as observed",
			until_s == GATE25_NEVER ? "until gate25 resume" : "until ",
			until_s == GATE25_NEVER ? "" : time_format(until_s, time));
	code = words_close(&words, code);
	return cli_results(cli, json_pack("[{s:o}]", "paused_until", time_json(until_s)), code);
}

static bool is_paused(const struct words *words)
{
	__u64 until_s = words->state->pause_until_s;

	return (words->guard && words->guard->control->pause_until_ns > monotonic_ns()) ||
	       until_s == GATE25_NEVER || until_s > (__u64)time(NULL);
}

static void resume_say(const struct words *words)
{
	bool observe = words->guard ? words->guard->control->observe :
				      words->state->policy == POLICY_OBSERVE;

	cli_say(words->cli, "resumed%s",
		observe ? "; the policy is observe, so still nothing is dropped" : "");
}

int resume_run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_option options[] = { { NULL, NULL, NULL } };
	struct words words;
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code && argc)
		code = cli_fail(cli, EXIT_USAGE, "%s: no argument is wanted", argv[0]);
	if (code)
		return code;
	code = words_open(cli, &words);
	if (!code && !is_paused(&words)) {
		cli_say(cli, "it was not paused");
	} else if (!code) {
		code = pause_set(&words, "resume", 0);
		if (!code)
			resume_say(&words);
	}
	code = words_close(&words, code);
	return cli_results(cli, json_pack("[{s:n}]", "paused_until"), code);
}

/* ---------------------------------------------------------------- policy */

struct policy {
	enum policy_word word;
	const char *list, *service; /* at most one */
	bool observe;		    /* what it comes to */
};

static const char *policy_name(enum policy_word word)
{
	static const char *const names[] = {
		[POLICY_UNSET] = "default",
		[POLICY_ENFORCE] = "enforce",
		[POLICY_OBSERVE] = "observe",
	};

	return names[word];
}

static int policy_read(struct cli *cli, int argc, char **argv, struct policy *out)
{
	for (int word = 0; argc == 1 && word <= POLICY_OBSERVE; word++) {
		if (strcmp(argv[0], policy_name(word)) != 0)
			continue;
		out->word = word;
		return 0;
	}
	return cli_fail(cli, EXIT_USAGE, "one of observe, enforce and default is wanted");
}

static int whole_set(struct words *words, struct policy *policy, enum policy_word *before)
{
	*before = words->state->policy;
	words->state->policy = policy->word;
	words->state->lost = false;
	policy->observe = policy->word == POLICY_UNSET ? words->cli->config->observe :
							 policy->word == POLICY_OBSERVE;
	if (words->guard)
		__atomic_store_n(&words->guard->control->observe, policy->observe,
				 __ATOMIC_RELAXED);
	return 0;
}

static int service_unknown(struct words *words, const char *name)
{
	const struct config *config = words->cli->config;
	char known[GATE25_SERVICES * (GATE25_NAME + 2)] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < config->services_count; i++)
		used += snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
				 config->services[i].name);
	for (int i = 0; !used && words->guard && i < GATE25_SERVICES; i++)
		if (words->guard->names->services[i][0])
			used += snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", words->guard->names->services[i]);
	return cli_fail(words->cli, EXIT_USAGE, "there is no service %s; there are: %s", name,
			known);
}

static int service_set(struct words *words, struct policy *policy, enum policy_word *before)
{
	struct state *state = words->state;
	const struct config *config = words->cli->config;
	int index = config_service_find(config, policy->service), slot = -ENOENT;
	int error;

	if (words->guard)
		slot = guard_service_slot(words->guard, policy->service, false);
	if (slot < 0 && (!words->cli->config_whole || index < 0))
		return service_unknown(words, policy->service);
	*before = state_policy(state->services, state->services_count, policy->service);
	error = state_set_policy(&state->services, &state->services_count, policy->service,
				 policy->word);
	if (error)
		return cli_exit_code(error);
	policy->observe = policy->word == POLICY_OBSERVE;
	if (policy->word == POLICY_UNSET)
		policy->observe = index >= 0 && config->services[index].observe;
	if (slot >= 0 && policy->observe)
		__atomic_or_fetch(&words->guard->control->observe_services, 1 << slot,
				  __ATOMIC_RELAXED);
	else if (slot >= 0)
		__atomic_and_fetch(&words->guard->control->observe_services, ~(1 << slot),
				   __ATOMIC_RELAXED);
	return 0;
}

static int list_unknown(struct cli *cli, const char *name)
{
	const struct config *config = cli->config;
	char known[512] = "none";
	size_t used = 0;

	for (size_t i = 0; i < config->lists_count && used < sizeof(known); i++)
		if (!config->lists[i].allow)
			used += snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", config->lists[i].name);
	return cli_fail(cli, EXIT_USAGE, "there is no block list %s; there are: %s", name, known);
}

static int list_set(struct words *words, struct policy *policy, enum policy_word *before)
{
	const struct config_list *list = config_list_find(words->cli->config, policy->list);
	struct state *state = words->state;
	int error;

	if (!list)
		return list_unknown(words->cli, policy->list);
	if (list->allow)
		return cli_fail(words->cli, EXIT_USAGE, "%s is an allow list: it has no policy",
				policy->list);
	*before = state_policy(state->lists, state->lists_count, policy->list);
	error = state_set_policy(&state->lists, &state->lists_count, policy->list, policy->word);
	policy->observe = state_list_observes(state, list);
	return cli_exit_code(error);
}

/* What still keeps it from being enforced. */
static void policy_warn(const struct words *words, const struct policy *policy)
{
	const struct gate25_control *control = words->guard ? words->guard->control : NULL;

	if (!control || policy->observe)
		return;
	if (control->pause_until_ns > monotonic_ns())
		cli_note("but it is paused: gate25 resume");
	if (control->observe)
		cli_note("but the whole only observes: gate25 policy enforce");
	else if (control->observe_services && !policy->service)
		cli_note("but not for all services: see gate25 status");
}

static void policy_say(const struct words *words, const struct policy *policy, const char *scope,
		       const char *name)
{
	const char *does = policy->observe ? "only observes" : "enforces";

	if (name)
		cli_say(words->cli, "%s %s %s", scope, name, does);
	else
		cli_say(words->cli, "the guard %s%s", does,
			policy->observe ? ": nothing is dropped" : "");
}

/*
 * A list's policy stands in the classes of a generation. The lock is given back, since that takes
 * its own.
 */
static int list_apply(struct words *words)
{
	struct apply_report report;
	int code;

	if (!words->guard)
		return 0;
	cli_unlock(words->cli);
	apply_report_init(&report);
	code = force_generation(words->cli, "apply", FEED_CACHED, NULL, 0, &report);
	if (report.in_force) /* what failed besides was said */
		code = 0;
	apply_report_free(&report);
	return code ? cli_fail(
			      words->cli, code,
			      "it is kept, but not in force yet; after the repair: gate25 reload") :
		      0;
}

static int policy_apply(struct words *words, struct policy *policy)
{
	const char *scope = policy->list ? "list" : policy->service ? "service" : "whole";
	const char *name = policy->list ? policy->list : policy->service;
	enum policy_word before = POLICY_UNSET;
	int code;

	if (policy->list)
		code = list_set(words, policy, &before);
	else if (policy->service)
		code = service_set(words, policy, &before);
	else
		code = whole_set(words, policy, &before);
	if (code)
		return code;
	words_record(words, "policy", NULL,
		     json_pack("{s:s, s:s?, s:s}", "scope", scope, "name", name, "policy",
			       policy_name(before)),
		     json_pack("{s:s, s:s?, s:s}", "scope", scope, "name", name, "policy",
			       policy_name(policy->word)));
	code = words_keep(words);
	if (!code && policy->list)
		code = list_apply(words);
	if (!code)
		policy_say(words, policy, scope, name);
	if (!code)
		policy_warn(words, policy);
	return code;
}

int policy_run(struct cli *cli, int argc, char **argv)
{
	struct policy policy = { .word = POLICY_UNSET };
	const struct cli_option options[] = {
		{ "list", NULL, &policy.list },
		{ "service", NULL, &policy.service },
		{ NULL, NULL, NULL },
	};
	struct words words;
	int code = cli_options(cli, argc, argv, options, &argc, &argv);

	if (!code)
		code = policy_read(cli, argc, argv, &policy);
	if (!code && policy.list && policy.service)
		code = cli_fail(cli, EXIT_USAGE, "--list and --service exclude each other");
	/*
	 * What the configuration says has to be known for `default`, and for a list's generation.
	 */
	if (!code && (policy.list || policy.word == POLICY_UNSET))
		code = cli_config(cli);
	if (code)
		return code;
	code = words_open(cli, &words);
	if (!code)
		code = policy_apply(&words, &policy);
	code = words_close(&words, code);
	if (code && code != EXIT_NOT_LOADED)
		return code;
	return cli_results(cli,
			   json_pack("[{s:s, s:s?, s:s?, s:b}]", "policy", policy_name(policy.word),
				     "list", policy.list, "service", policy.service, "observe",
				     policy.observe),
			   code);
}
