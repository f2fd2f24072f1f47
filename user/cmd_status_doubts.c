// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is not as it should be, each with what to do.
 *
 * In: struct status. Out: its doubts, the worst first.
 */
#include "user/cmd_status.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "user/feeds.h"
#include "user/print.h"

#define OVERLAY_NEARLY	90   /* percent */
#define STALE_LEAST_S	7200 /* however short the refresh */
#define STALE_REFRESHES 3

static const char *const severity_names[] = {
	[SEVERITY_OK] = "ok",
	[SEVERITY_WARNING] = "warning",
	[SEVERITY_CRITICAL] = "critical",
	[SEVERITY_NOTE] = "note",
};

static void doubt(struct status *status, enum severity severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void doubt(struct status *status, enum severity severity, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_array_append_new(status->doubts,
			      json_pack("{s:s, s:o}", "severity", severity_names[severity], "text",
					json_vsay(format, arguments)));
	va_end(arguments);
	if (severity != SEVERITY_NOTE && severity > status->worst)
		status->worst = severity;
}

/* ---------------------------------------------------------------- in force */

static bool is_attached(const struct status *status, const char *iface)
{
	for (unsigned int i = 0; i < status->attached_count; i++)
		if (!strcmp(status->attached[i].iface, iface))
			return true;
	return false;
}

static void interfaces_doubt(struct status *status)
{
	const struct config *config = status->cli->config;
	enum severity severity = status->attached_count ? SEVERITY_WARNING : SEVERITY_CRITICAL;

	for (unsigned int i = 0; status->cli->config_whole && i < config->interfaces_count; i++) {
		const char *iface = config->interfaces[i].name;

		if (is_attached(status, iface))
			continue;
		if (status->state && state_is_unloaded(status->state, iface))
			doubt(status, severity,
			      "%s is not guarded: it was unloaded; back with: gate25 load %s",
			      iface, iface);
		else if (!if_nametoindex(iface))
			doubt(status, severity,
			      "%s is not there; the agent guards it when it appears", iface);
		else
			doubt(status, severity, "%s is not guarded; to do so: gate25 load %s",
			      iface, iface);
	}
}

/* What the headline says is not said again. */
static void force_doubt(struct status *status)
{
	if (status->pause_until_s || !status->generation ||
	    generation_unread_allow(status->generation))
		status->worst = SEVERITY_WARNING;
	if (!status->guard || !status->attached_count)
		status->worst = SEVERITY_CRITICAL;
	if (status->guard)
		interfaces_doubt(status);
}

static void state_doubt(struct status *status)
{
	if (status->state && status->state->lost)
		doubt(status, SEVERITY_WARNING, "%s", STATE_LOST);
}

/*
 * `default: drop` of a service that nobody is exempted from would stop all mail, so it passes
 * instead.
 */
static void default_doubt(struct status *status)
{
	const struct gate25_generation *generation = status->generation;
	const struct gate25_control *control;

	if (!generation)
		return;
	control = status->guard->control;
	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if ((generation->services >> slot & 1) &&
		    generation->settings.default_action[slot] != GATE25_PASS &&
		    !(generation->settings.allow_in_table >> slot & 1) &&
		    control->manual_allow_until_ns[slot] <= status->now_ns)
			doubt(status, SEVERITY_WARNING,
			      "service %s: `default: %s` is not in force, since no allow entry is "
			      "(it would "
			      "stop all mail); add one: gate25 allow add",
			      status->guard->names->services[slot],
			      verdict_label(generation->settings.default_action[slot]));
}

/* Where limits count what they are not meant to count. */
static void counted_doubt(struct status *status)
{
	const struct gate25_generation *generation = status->generation;
	const struct gate25_control *control;
	__u8 limited = generation ? generation_limited(generation) : 0;
	enum limit_count count = status->cli->config->count;

	if (!limited || (status->cli->config_whole && count == COUNT_SYNS))
		return;
	control = status->guard->control;
	if (!sessions_counting(status->guard) && (limited & control->counted_services)) {
		doubt(status, SEVERITY_WARNING,
		      "limits hold for nobody: what counts connections was taken off; gate25 "
		      "reload");
		return;
	}
	if (!sessions_counting(status->guard)) {
		doubt(status, SEVERITY_WARNING,
		      "limits count SYNs, which can be forged, since connections cannot be "
		      "counted: "
		      "%s",
		      control->sessions_error ? sessions_why(control->sessions_error) :
						"nothing is attached to do so; gate25 reload");
		return;
	}
	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if ((limited & control->counted_services & ~control->local_services) >> slot & 1)
			doubt(status, SEVERITY_WARNING,
			      "service %s: its limits hold for nobody, since connections are "
			      "counted "
			      "(`count: connections`) and nothing listens for it here",
			      status->guard->names->services[slot]);
}

static void overlay_doubt(struct status *status)
{
	char keys[32], most[32];
	const struct guard *guard = status->guard;

	if (guard && status->overlay_keys * 100 >= guard->overlay_max * OVERLAY_NEARLY)
		doubt(status, SEVERITY_WARNING,
		      "the overlay is nearly full: %s of %s manual entries and bans; remove some "
		      "(gate25 flush) or use a list",
		      number_format(status->overlay_keys, keys),
		      number_format(guard->overlay_max, most));
}

/* ---------------------------------------------------------------- lists */

static __u64 time_of(const json_t *object, const char *key)
{
	struct tm parts = { 0 };

	if (!strptime(json_text(object, key), "%Y-%m-%dT%H:%M:%SZ", &parts))
		return 0;
	return timegm(&parts);
}

/* Not fresh enough to be trusted: a block list is out of force by now. */
static bool age_doubt(struct status *status, const struct config_list *list, const json_t *object)
{
	const char *error = json_text(object, "error");
	__u64 changed = time_of(object, "changed");
	char most[32];

	if (json_is_true(json_object_get(object, "expired"))) {
		doubt(status, SEVERITY_WARNING, "list %s: not confirmed for %s (`max_age`): %s%s%s",
		      list->name, duration_format(list->max_age_s, most),
		      list->allow ? "it stays in force, since it is an allow list" :
				    "it is out of force, and lets its senders in",
		      error[0] ? ". " : "", error);
		return true;
	}
	if (config_list_fetched(list) && !list->allow && list->max_age_s && changed &&
	    status->now_s > changed + FEED_UNCHANGED_S)
		doubt(status, SEVERITY_WARNING,
		      "list %s: its content has been the same for %s: is its source still kept?",
		      list->name, duration_format(status->now_s - changed, most));
	return false;
}

static void list_doubt(struct status *status, const struct config_list *list, const json_t *object)
{
	__u64 success = time_of(object, "last_success"), age, bound;
	const char *error = json_text(object, "error");
	char ago[32] = "never";

	if ((!list->file && !list->url) || age_doubt(status, list, object))
		return;
	age = status->now_s > success ? status->now_s - success : 0;
	bound = (__u64)list->refresh_s * STALE_REFRESHES;
	if (success)
		duration_format(age, ago);
	if (error[0])
		doubt(status, SEVERITY_WARNING, "list %s: %s (last read: %s%s)", list->name, error,
		      ago, success ? " ago" : "");
	else if (!success)
		doubt(status, SEVERITY_WARNING, "list %s was never read: gate25 reload",
		      list->name);
	else if (list->url && age > (bound > STALE_LEAST_S ? bound : STALE_LEAST_S))
		doubt(status, SEVERITY_WARNING, "list %s was last read %s ago: gate25 reload",
		      list->name, ago);
}

static void lists_doubt(struct status *status)
{
	const struct config_list *list;
	const json_t *object;
	size_t i;

	if (!status->cli->config_whole || !status->guard)
		return;
	json_array_foreach(status->lists, i, object) {
		list = config_list_find(status->cli->config, json_text(object, "name"));
		if (list)
			list_doubt(status, list, object);
	}
}

/* Once in force nothing else tells: everybody is on the list, and each verdict is right by it. */
static void wide_doubt(struct status *status)
{
	const struct gate25_generation *generation = status->generation;
	char text[WIDE_TEXT];

	for (__u32 i = 0; generation && i < generation->lists_count; i++)
		if (ask_list_wide(status->asker, i, text))
			doubt(status, SEVERITY_WARNING, "list %s: %s; is that meant?",
			      generation->lists[i].name, text);
}

/* ---------------------------------------------------------------- what is kept on disk */

/* 0, or why a file of some size cannot be made there. Of a folder that is not there yet nothing is known. */
static int folder_refuses(const char *folder)
{
	struct statvfs space;

	if (access(folder, W_OK))
		return errno == ENOENT ? 0 : errno;
	if (statvfs(folder, &space))
		return errno;
	if ((space.f_blocks && !space.f_bfree) || (space.f_files && !space.f_ffree))
		return ENOSPC;
	return 0;
}

/* Nothing is wrong with what is in force: what comes after the next load or restart is. */
static void disk_doubt(struct status *status)
{
	const struct gate25_generation *generation = status->generation;
	const char *folder = status->cli->config->state_dir;
	int why = folder_refuses(folder);

	if (why)
		doubt(status, SEVERITY_WARNING,
		      "%s cannot be written (%s): what changes now (entries, policies, lists) is "
		      "not kept, and the next load or restart goes back to what is there",
		      folder, strerror(why));
	for (__u32 i = 0; generation && i < generation->lists_count; i++)
		if (!ask_list_kept(status->asker, i))
			doubt(status, SEVERITY_WARNING,
			      "list %s: what is in force is not kept in %s/lists, so the next load "
			      "goes back to what is there; when it can be written: gate25 reload",
			      generation->lists[i].name, folder);
}

/* ---------------------------------------------------------------- configuration, agent */

/*
 * The time of the last change of the inode: a file that keeps its mtime when it is copied is seen
 * too.
 */
static void config_doubt(struct status *status)
{
	const struct config *config = status->cli->config;
	struct stat info;

	if (!status->cli->config_whole) {
		doubt(status, SEVERITY_WARNING,
		      "%s cannot be used; what is in force stays so. See: gate25 check",
		      status->cli->config_path);
		return;
	}
	for (size_t i = 0; status->generation && i < config->files_count; i++) {
		if (stat(config->files[i], &info) ||
		    (__u64)info.st_ctim.tv_sec <= status->generation->created_s)
			continue;
		doubt(status, SEVERITY_WARNING,
		      "%s was changed after what is in force was made: gate25 check && gate25 "
		      "reload",
		      config->files[i]);
		return;
	}
}

static void agent_doubt(struct status *status)
{
	if (!status->guard || status->agent)
		return;
	if (status->agent_error == -ENOENT || status->agent_error == -ECONNREFUSED)
		doubt(status, SEVERITY_WARNING,
		      "the agent does not run: the guard works, but lists are not refreshed and "
		      "there are no metrics; systemctl start gate25d");
	else if (status->agent_error == -ETIMEDOUT)
		doubt(status, SEVERITY_WARNING,
		      "the agent runs but does not answer: it is held up, or stopped by a signal; "
		      "the "
		      "guard works, but lists are not refreshed; systemctl restart gate25d");
	else
		doubt(status, SEVERITY_WARNING,
		      "the agent gave no answer (%s): did it stop just now? systemctl status "
		      "gate25d",
		      strerror(-status->agent_error));
}

static void version_doubt(struct status *status)
{
	const char *made = status->generation ? status->generation->version : GATE25_VERSION;

	if (strncmp(made, GATE25_VERSION, sizeof(status->generation->version) - 1) != 0)
		doubt(status, SEVERITY_NOTE,
		      "what is in force was made by gate25 %s, this is %s: restart the agent, or "
		      "gate25 reload",
		      made, GATE25_VERSION);
}

/* ---------------------------------------------------------------- what was */

static void past_doubt(struct status *status)
{
	static const char *const kinds[GATE25_ERRORS] = {
#define ERROR_LABEL(number, name, label) [number] = label,
		GATE25_ERROR_TABLE(ERROR_LABEL)
#undef ERROR_LABEL
	};
	char number[32];

	if (status->events_suppressed)
		doubt(status, SEVERITY_NOTE,
		      "%s events were not told, since too many came at once; all are counted",
		      number_format(status->events_suppressed, number));
	for (int kind = 0; kind < GATE25_ERRORS; kind++)
		if (status->errors[kind])
			doubt(status, SEVERITY_NOTE, "own errors of kind %s: %s",
			      kinds[kind] ? kinds[kind] : "?",
			      number_format(status->errors[kind], number));
}

/* The worst first; what is alike stays in its order. */
static void doubts_sort(struct status *status)
{
	static const char *const order[] = { "critical", "warning", "note" };
	json_t *sorted = json_array(), *object;
	size_t i;

	for (int step = 0; sorted && step < 3; step++)
		json_array_foreach(status->doubts, i, object)
			if (!strcmp(json_text(object, "severity"), order[step]))
				json_array_append(sorted, object);
	if (!sorted)
		return;
	json_decref(status->doubts);
	status->doubts = sorted;
}

void status_doubt(struct status *status)
{
	status->doubts = json_array();
	force_doubt(status);
	state_doubt(status);
	config_doubt(status);
	default_doubt(status);
	counted_doubt(status);
	lists_doubt(status);
	wide_doubt(status);
	disk_doubt(status);
	overlay_doubt(status);
	agent_doubt(status);
	version_doubt(status);
	past_doubt(status);
	doubts_sort(status);
}
