// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a source -> an image that may come into force.
 *
 * In: what was read of a list, whole. Out: its image, parsed by a worker, cut to what it may name, through all gates
 * and kept on disk; or the last good one stays, and why is said and counted.
 */
#include "user/feeds_attempt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "user/entry_text.h"
#include "user/feeds_held.h"
#include "user/gates.h"
#include "user/lists/measure.h"
#include "user/log.h"
#include "user/own.h"
#include "user/state.h"
#include "user/worker.h"

#define PARSER_VERSION	3 /* raise it when the same bytes are parsed to another image */
#define BAD_LINES_SHOWN 3

/* ---------------------------------------------------------------- failures */

static void error_count(const struct attempt *attempt, enum gate25_list_error kind, __u64 times)
{
	int id;

	if (!attempt->guard || !times)
		return;
	id = state_list_id(attempt->config->state_dir, attempt->list->name);
	if (id >= 0)
		__atomic_fetch_add(&attempt->guard->totals[id].errors[kind], times,
				   __ATOMIC_RELAXED);
}

static __u64 later(const struct attempt *attempt, __u64 delay_s)
{
	unsigned char random = 128;

	/* A tenth to and fro, so that not all the world asks at the full hour. */
	if (attempt->list->url && getrandom(&random, 1, 0) == 1)
		delay_s = delay_s * (230 + random / 5) / 256;
	if (delay_s < attempt->list->refresh_min_s)
		delay_s = attempt->list->refresh_min_s;
	return attempt->now_s + (delay_s ? delay_s : 1);
}

static __u64 retry_delay(const struct attempt *attempt)
{
	unsigned int doublings = attempt->state->failures > 8 ? 8 : attempt->state->failures;
	__u64 delay_s = FEED_RETRY_S << doublings;

	return delay_s < attempt->list->refresh_s ? delay_s : attempt->list->refresh_s;
}

/* What is in force when an attempt failed. */
static const char *attempt_rest(const struct attempt *attempt)
{
	if (attempt->last)
		return "the last good one stays in force";
	return attempt->former ? "its last good content (from the former source) stays in force" :
				 "there is no earlier one: the list is empty";
}

void attempt_fail(struct attempt *attempt, enum gate25_list_error kind, int error, const char *why)
{
	struct feed_state *state = attempt->state;
	const struct config_list *list = attempt->list;
	char shown[200];

	/* Whatever it was doing, and of whatever it died. */
	error_count(attempt, error == -ECHILD ? GATE25_LIST_ERROR_WORKER : kind, 1);
	attempt->feed->error = error;
	snprintf(state->error, sizeof(state->error), "%s: %s",
		 list->file ? list->file : fetch_url_shown(list->url, shown, sizeof(shown)), why);
	state->next_refresh_s = later(attempt, retry_delay(attempt));
	state->failures++;
	/* The 1st, 2nd, 4th, 8th … in a row: enough to be seen, too little to drown the log. */
	if ((state->failures & (state->failures - 1)) == 0)
		log_error("list %s: %s; %s", list->name, state->error, attempt_rest(attempt));
}

/* Until the next look at a source that is well. Some of its names without the others are not what was asked for. */
static __u64 success_delay(const struct attempt *attempt)
{
	const struct config_list *list = attempt->list;
	const struct fetch *fetch = &attempt->fetch;
	bool partial = list->names_count && fetch->body && !fetch->new_etag[0];

	if (!fetch->new_ttl_s || (!list->by_ttl && !partial))
		return list->refresh_s;
	return fetch->new_ttl_s;
}

void attempt_succeed(struct attempt *attempt, struct list_image *image, bool changed)
{
	struct feed_state *state = attempt->state;

	if (state->failures)
		log_notice("list %s: read again with success", attempt->list->name);
	state->last_success_s = attempt->now_s;
	state->next_refresh_s = later(attempt, success_delay(attempt));
	if (changed || !state->changed_s)
		state->changed_s = attempt->now_s;
	if (state->wait.gate != GATE_OPEN)
		held_drop(attempt->config, attempt->list->name);
	state->wait = (struct gate_wait){ .gate = GATE_OPEN };
	state->failures = 0;
	state->error[0] = '\0';
	attempt->feed->image = image;
	attempt->feed->changed = changed || attempt->fresh;
}

/* ---------------------------------------------------------------- text -> image */

__u32 attempt_settings_digest(const struct config *config, const struct config_list *list)
{
	const struct parse_settings settings = config_list_settings(config, list);
	const char *source = list->file ? list->file : list->url ? list->url : "";
	const __u32 lengths[] = { list->bounds.prefix4, list->bounds.prefix6, list->non_global };
	__u64 digest = list_digest(PARSER_VERSION, source, strlen(source) + 1);

	digest = parse_settings_digest(digest, &settings);
	digest = list_digest(digest, lengths, sizeof(lengths));
	return ((digest ^ digest >> 32) & ~1U) | list->allow;
}

static __u64 source_digest(const struct attempt *attempt, const void *text, size_t length)
{
	__u64 digest = list_digest(0, text, length);

	return (__u64)attempt_settings_digest(attempt->config, attempt->list) << 32 |
	       (__u32)(digest ^ digest >> 32);
}

struct telling {
	const struct config_list *list;
	unsigned int told;
};

static void bad_line_tell(void *context, size_t line, const char *why, const char *text,
			  size_t length)
{
	struct telling *telling = context;
	char shown[64];
	size_t i;

	if (telling->told++ >= BAD_LINES_SHOWN)
		return;
	for (i = 0; i < length && i < sizeof(shown) - 1; i++)
		shown[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	shown[i] = '\0';
	log_notice("list %s: line %zu skipped: %s: %s", telling->list->name, line, why, shown);
}

static int attempt_parse(struct attempt *attempt, const char *text, size_t length,
			 struct list_image **out, struct gate_facts *facts)
{
	const struct config *config = attempt->config;
	struct telling telling = { .list = attempt->list };
	struct parse_settings settings = config_list_settings(config, attempt->list);
	struct list_facts found = { 0 };
	struct list_image *image = NULL;
	const char *why = "not a list";
	int error;

	settings.bad_line = bad_line_tell;
	settings.context = &telling;
	settings.facts = &found;
	error = worker_parse(text, length, &settings, &image, &why);
	if (error) {
		attempt_fail(attempt, GATE25_LIST_ERROR_PARSE, error, why);
		return error;
	}
	error_count(attempt, GATE25_LIST_ERROR_BAD_LINE, image->bad_lines);
	snprintf(attempt->state->format, sizeof(attempt->state->format), "%s",
		 list_format_name(found.format));
	facts->cut = found.cut;
	facts->data_s = attempt->list->data_time ? found.stamp_s : 0;
	image->loaded_s = attempt->now_s;
	*out = image;
	return 0;
}

/* ---------------------------------------------------------------- what no list may name */

void holes_release(struct holes *holes)
{
	list_image_free(holes->own);
	list_image_free(holes->non_global);
}

static int holes_make(const struct config *config, struct holes *holes)
{
	int error = 0;

	if (!holes->own && !holes->given)
		error = own_addresses(config, &holes->own);
	if (!error && !holes->non_global)
		error = own_non_global(&holes->non_global);
	return error;
}

/* Without memory to cut, the list is not taken: it may name this very host. */
int attempt_carve(struct attempt *attempt, struct list_image **image, __u64 *touched)
{
	const struct config_list *list = attempt->list;
	struct holes *holes = attempt->holes;
	__u64 more = 0;
	int error;

	*touched = 0;
	if (!config_list_fetched(list))
		return 0;
	error = holes_make(attempt->config, holes);
	if (!error)
		error = image_carve(image, holes->given ? holes->given : holes->own, touched);
	if (!error && !list->non_global)
		error = image_carve(image, holes->non_global, &more);
	*touched += more;
	return error;
}

/* ---------------------------------------------------------------- gates */

static bool attempt_alike(const struct attempt *attempt, const struct list_image *image)
{
	struct list_image *held = NULL;
	bool alike;

	if (attempt->state->wait.gate == GATE_OPEN ||
	    held_read(attempt->config, attempt->list->name, &held))
		return false;
	alike = image_alike(image, held);
	list_image_free(held);
	return alike;
}

static const char *hold_ends(const struct attempt *attempt, const struct gate_wait *wait,
			     char text[static 128])
{
	const char *name = attempt->list->name;
	unsigned int wanted = wait->gate == GATE_SHRINK ? GATE_SHRINK_FETCHES : GATE_GROWTH_FETCHES;

	if (attempt->list->allow || (wait->gate != GATE_GROWTH && wait->gate != GATE_SHRINK))
		snprintf(text, 128, "if that is right: gate25 lists accept %s", name);
	else
		snprintf(text, 128, "seen %u of %u times%s; at once: gate25 lists accept %s",
			 wait->seen, wanted, wait->gate == GATE_GROWTH ? " over 6 h" : "", name);
	return text;
}

/* It is asked for at its usual pace: nothing is wrong with the source. */
static void attempt_hold(struct attempt *attempt, const struct list_image *image,
			 const struct gate_verdict *verdict)
{
	struct feed_state *state = attempt->state;
	const struct config_list *list = attempt->list;
	bool again = state->wait.gate == verdict->gate;
	char ends[128];

	if (held_write(attempt->config, list->name, image))
		log_error(
			"list %s: what is held back cannot be kept in %s/lists, so that it cannot "
			"be accepted",
			list->name, attempt->config->state_dir);
	state->wait = verdict->wait;
	snprintf(state->error, sizeof(state->error), "held back: %s; %s", verdict->why,
		 hold_ends(attempt, &verdict->wait, ends));
	state->next_refresh_s = later(attempt, list->refresh_s);
	state->failures = 0;
	attempt->feed->error = -EBADMSG;
	if (!again || verdict->wait.seen == 1)
		log_error("list %s: %s; %s", list->name, state->error, attempt_rest(attempt));
}

/* false: it may not come into force, and that was said. */
static bool attempt_judge(struct attempt *attempt, const struct list_image *image,
			  const struct gate_facts *facts)
{
	struct gate_facts good = { 0 };
	struct gate_verdict verdict;

	if (attempt->last)
		gate_measure(attempt->last, &good);
	gates_judge(
		&(struct gate_question){
			.facts = facts,
			.good = attempt->last ? &good : NULL,
			.list = attempt->list,
			.wait = attempt->state->wait,
			.alike = attempt_alike(attempt, image),
			.now_s = attempt->now_s,
		},
		&verdict);
	if (verdict.gate == GATE_OPEN)
		return true;
	if (gate_waits(verdict.gate))
		attempt_hold(attempt, image, &verdict);
	else
		attempt_fail(attempt,
			     verdict.gate == GATE_EMPTY ? GATE25_LIST_ERROR_EMPTY :
							  GATE25_LIST_ERROR_PARSE,
			     -EBADMSG, verdict.why);
	return false;
}

/* Parsed, cut to what it may name, and through all gates. NULL: no, and that was said. */
static struct list_image *attempt_admit(struct attempt *attempt, const char *text, size_t length,
					__u64 digest)
{
	struct feed_state *state = attempt->state;
	struct gate_facts facts = { 0 };
	struct list_image *image = NULL;
	__u64 touched = 0;
	int error = attempt_parse(attempt, text, length, &image, &facts);

	if (error)
		return NULL;
	error = attempt_carve(attempt, &image, &touched);
	if (error) {
		attempt_fail(attempt, GATE25_LIST_ERROR_PARSE, error, strerror(-error));
	} else {
		image->source_digest = digest;
		gate_measure(image, &facts);
		if (attempt_judge(attempt, image, &facts)) {
			state->left_out = touched;
			state->data_s = facts.data_s;
			return image;
		}
	}
	list_image_free(image);
	return NULL;
}

/* A list that cannot be kept is in force all the same; its source is then read again each time. */
void attempt_store(struct attempt *attempt, const struct list_image *image)
{
	int error = list_image_write(image, attempt->path);

	attempt->state->unsaved = error != 0;
	if (!error)
		return;
	error_count(attempt, GATE25_LIST_ERROR_STORE, 1);
	log_error("list %s: cannot keep it in %s: %s; it is in force, but a restart would begin "
		  "with an "
		  "older one",
		  attempt->list->name, attempt->path, strerror(-error));
}

void attempt_describe(struct feed_state *state, const struct list_image *image)
{
	state->entries4 = image ? image->count4 : 0;
	state->entries6 = image ? image->count6 : 0;
	state->lines = image ? image->lines : 0;
	state->bad_lines = image ? image->bad_lines : 0;
}

size_t attempt_image_bytes(const struct list_image *image)
{
	return image ? image->count4 * sizeof(struct range4) +
			       image->count6 * sizeof(struct range6) :
		       0;
}

/* Takes room for an image beside those of the other lists, in place of what the list had. */
bool attempt_room(struct attempt *attempt, const struct list_image *image)
{
	size_t had = attempt_image_bytes(attempt->last) + attempt_image_bytes(attempt->former);
	size_t held = *attempt->held - had + attempt_image_bytes(image);

	if (held > FEEDS_BYTES && attempt_image_bytes(image) > had)
		return false;
	*attempt->held = held;
	return true;
}

/* The bytes of a source were had, whole. */
void attempt_take(struct attempt *attempt, const char *text, size_t length)
{
	struct feed_state *state = attempt->state;
	__u64 digest = source_digest(attempt, text, length);
	struct list_image *image;

	if (attempt->last && attempt->last->source_digest == digest) {
		state->unsaved = false;
		attempt_succeed(attempt, attempt->last, false);
		attempt->last = NULL;
		return;
	}
	image = attempt_admit(attempt, text, length, digest);
	if (!image)
		return;
	if (!attempt_room(attempt, image)) {
		list_image_free(image);
		attempt_fail(attempt, GATE25_LIST_ERROR_PARSE, -E2BIG,
			     "with it all lists together would hold more than 12 million entries "
			     "of IPv4, or 3 million of IPv6");
		return;
	}
	attempt_describe(state, image);
	if (image->bad_lines)
		log_notice("list %s: %llu of %llu lines are bad and were skipped",
			   attempt->list->name, image->bad_lines, image->lines);
	if (state->left_out)
		log_notice(
			"list %s: %llu of its entries name addresses of this host, or such as are "
			"not of the Internet; these were left out",
			attempt->list->name, state->left_out);
	attempt_store(attempt, image);
	entry_text_keep(attempt->config, attempt->list, text, length);
	attempt_succeed(attempt, image, true);
}
