// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of a change is worth telling.
 *
 * In: lists as they were loaded, the generation in force and the one to come. Out: sentences, one fact each, for the
 * log, for the terminal and for JSON.
 */
#include "user/apply_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/wide.h"
#include "user/print.h"

void apply_report_init(struct apply_report *report)
{
	report->changes = json_array();
	report->warnings = json_array();
	report->errors = json_array();
	report->in_force = false;
}

void apply_report_free(struct apply_report *report)
{
	json_decref(report->changes);
	json_decref(report->warnings);
	json_decref(report->errors);
	memset(report, 0, sizeof(*report));
}

void apply_say(json_t *facts, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_array_append_new(facts, json_vsay(format, arguments));
	va_end(arguments);
}

static void lines_say(json_t *facts, char *lines)
{
	char *rest, *line;

	for (line = lines ? strtok_r(lines, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		apply_say(facts, "%s", line);
}

int apply_read_config(const char *path, struct apply_report *report, struct config **out)
{
	char *errors = NULL, *warnings = NULL;
	size_t bytes = 0;
	FILE *wrong = open_memstream(&errors, &bytes);
	FILE *doubtful = wrong ? open_memstream(&warnings, &bytes) : NULL;
	int error = doubtful ? config_read_apart(path, wrong, doubtful, out) : -ENOMEM;

	if (doubtful)
		fclose(doubtful);
	if (wrong)
		fclose(wrong);
	lines_say(report->warnings, warnings);
	lines_say(report->errors, errors);
	free(warnings);
	free(errors);
	return error;
}

/* ---------------------------------------------------------------- sources */

/* Not what the configuration asks for, so it is more than a warning. */
static void former_say(struct apply_report *report, const struct feed *feed)
{
	const char *why = feed->state->error;
	char when[32];

	apply_say(report->errors,
		  "list %s: %s; its last good content (from the former source), of %s, stays in "
		  "force",
		  feed->list->name, why[0] ? why : "the new source was not read yet",
		  time_format(feed->image->loaded_s, when));
}

static void late_say(struct apply_report *report, const struct feed *feed)
{
	apply_say(report->warnings, "list %s: still being fetched; until it is there, %s",
		  feed->list->name,
		  feed->former ? "its last good content (from the former source) stays in force" :
		  feed->image  ? "the last good one stays in force" :
				 "it is empty");
}

static void expired_say(struct apply_report *report, const struct feed *feed)
{
	const char *why = feed->state->error;
	char most[32];

	apply_say(report->warnings,
		  "list %s: out of force, since it was not confirmed for %s (`max_age`)%s%s",
		  feed->list->name, duration_format(feed->list->max_age_s, most),
		  why[0] ? ": " : "", why);
}

/* Of a file: what a url holds of it was left out, and of entries the configuration's check speaks. */
static void wide_say(struct apply_report *report, const struct feed *feed)
{
	char text[WIDE_TEXT];

	if (feed->list->file && feed->image && image_wide(feed->image, text))
		apply_say(report->warnings, "list %s: %s; is that meant?", feed->list->name, text);
}

void report_feeds(struct apply_report *report, const struct feed *feeds, size_t count,
		  enum feed_how how)
{
	char when[32];

	for (size_t i = 0; i < count; i++) {
		const char *name = feeds[i].list->name;

		if (how != FEED_DUE || feeds[i].changed)
			wide_say(report, &feeds[i]);
		if (feeds[i].expired) {
			expired_say(report, &feeds[i]);
			continue;
		}
		if (feeds[i].late)
			late_say(report, &feeds[i]);
		if ((!feeds[i].error || feeds[i].late) && feeds[i].image)
			continue;
		if (feeds[i].former && feeds[i].image)
			former_say(report, &feeds[i]);
		else if (feeds[i].image)
			apply_say(report->warnings,
				  "list %s: %s; the last good one, of %s, stays in force", name,
				  feeds[i].state->error,
				  time_format(feeds[i].image->loaded_s, when));
		else if (feeds[i].late)
			continue;
		else if (how == FEED_CACHED)
			apply_say(
				report->warnings,
				"list %s is empty: it was not read yet, and no copy of it is kept",
				name);
		else
			apply_say(report->errors,
				  "list %s is empty: %s; there is no earlier copy of it", name,
				  feeds[i].state->error[0] ? feeds[i].state->error :
							     "it could not be read");
	}
}

/* ---------------------------------------------------------------- generations */

static const struct gate25_list_info *list_find(const struct gate25_generation *generation,
						const char *name)
{
	for (unsigned int i = 0; i < generation->lists_count && i < GATE25_LISTS; i++)
		if (!strcmp(generation->lists[i].name, name))
			return &generation->lists[i];
	return NULL;
}

/* "weight 1 → 2, observe → enforce", or "". */
static void list_settings(const struct gate25_list_info *old, const struct gate25_list_info *fresh,
			  char *text, size_t size)
{
	int length = 0;

	text[0] = '\0';
	if (old->weight != fresh->weight)
		length += snprintf(text + length, size - length, ", weight %d → %d", old->weight,
				   fresh->weight);
	if (old->observe != fresh->observe)
		length += snprintf(text + length, size - length, ", now %s",
				   fresh->observe ? "only observed" : "enforced");
	if (old->services != fresh->services)
		length += snprintf(text + length, size - length, ", other services");
	if (old->action != fresh->action)
		snprintf(text + length, size - length, ", other action");
}

static void list_compare(struct apply_report *report, const struct gate25_list_info *old,
			 const struct gate25_list_info *fresh)
{
	__u64 had = old ? old->entries4 + old->entries6 : 0;
	__u64 has = fresh->entries4 + fresh->entries6;
	/* A generation of an earlier version has no digest: then nothing is known of its entries. */
	bool others = old && old->digest && old->digest != fresh->digest;
	char before[32], after[64], settings[128];

	count_format(has, "entry", "entries", after);
	if (!old) {
		apply_say(report->changes, "list %s: new, %s%s", fresh->name, after,
			  fresh->observe ? ", only observed" : "");
		return;
	}
	list_settings(old, fresh, settings, sizeof(settings));
	if (had != has)
		apply_say(report->changes, "list %s: %s → %s%s", fresh->name,
			  number_format(had, before), after, settings);
	else if (others)
		apply_say(report->changes, "list %s: changed, %s%s", fresh->name, after, settings);
	else if (settings[0])
		apply_say(report->changes, "list %s: %s", fresh->name, settings + 2);
}

static void limits_compare(struct apply_report *report, const struct gate25_generation *old,
			   const struct gate25_generation *fresh)
{
	static const char *const names[GATE25_SCOPES] = {
		[GATE25_SCOPE_SOURCE] = "source",
		[GATE25_SCOPE_NETWORK] = "network",
	};

	for (int i = 0; i < GATE25_SCOPES; i++) {
		const struct gate25_limit *now = &fresh->settings.limits[i];

		if (!memcmp(&old->settings.limits[i], now, sizeof(*now)))
			continue;
		if (now->interval_ns)
			apply_say(report->changes, "limit %s: changed%s", names[i],
				  now->observe ? ", only observed" : "");
		else
			apply_say(report->changes, "limit %s: none any more", names[i]);
	}
}

static void generations_compare(struct apply_report *report, const struct gate25_generation *old,
				const struct gate25_generation *fresh)
{
	for (unsigned int i = 0; i < fresh->lists_count; i++)
		list_compare(report, list_find(old, fresh->lists[i].name), &fresh->lists[i]);
	for (unsigned int i = 0; i < old->lists_count && i < GATE25_LISTS; i++)
		if (!list_find(fresh, old->lists[i].name))
			apply_say(report->changes, "list %s: removed", old->lists[i].name);
	if (old->threshold != fresh->threshold)
		apply_say(report->changes, "threshold: %d → %d", old->threshold, fresh->threshold);
	limits_compare(report, old, fresh);
	if (old->services != fresh->services || old->ports_count != fresh->ports_count ||
	    memcmp(old->ports, fresh->ports, sizeof(old->ports)) != 0 ||
	    memcmp(old->port_services, fresh->port_services, sizeof(old->port_services)) != 0 ||
	    memcmp(old->settings.default_action, fresh->settings.default_action,
		   sizeof(old->settings.default_action)) != 0)
		apply_say(report->changes, "services: changed");
}

void report_compare(struct apply_report *report, struct guard *guard,
		    const struct gate25_generation *fresh)
{
	static const struct gate25_generation none;
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);
	struct view view;

	for (int i = 0; i < count; i++) {
		if (view_open(guard, attached[i].prog_id, &view))
			continue;
		generations_compare(report, view.generation, fresh);
		view_close(&view);
		return;
	}
	for (unsigned int i = 0; i < fresh->lists_count; i++)
		list_compare(report, list_find(&none, fresh->lists[i].name), &fresh->lists[i]);
}
