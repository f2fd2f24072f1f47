// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the sources of lists to their images.
 *
 * In: configuration, what is known of each source, last good images. Out: an image a list, fresh where its source
 * changed and holds a list, else the last good one. What is refused is counted, said once, and tried again.
 *
 * source_digest of an image here: the upper half is of what shapes it (source, format, translated
 * prefixes; the lowest bit says whether it blocks or allows), the lower half of the bytes. So an image alone
 * tells whether it still belongs to its list, or, as long as a new source was not read yet, may stand in for it.
 */
#include "user/feeds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/entry_text.h"
#include "user/feed_file.h"
#include "user/feeds_held.h"
#include "user/fetch.h"
#include "user/fetcher.h"
#include "user/gates.h"
#include "user/lists/measure.h"
#include "user/log.h"
#include "user/own.h"
#include "user/print.h"
#include "user/rsync.h"
#include "user/state.h"
#include "user/worker.h"

#define PARSER_VERSION	3 /* raise it when the same bytes are parsed to another image */
#define RETRY_S		60
#define YOUNG_S		2 /* a file younger than this may change again without showing it */
#define BAD_LINES_SHOWN 3
#define SPREAD_S	60   /* over which urls that are due at a start are asked */
#define PATIENCE_MS	4000 /* with fetches, before all that came is put in force without them */
#define SILENT_MS	2000 /* of a longer wait, before it is said */

/* What is cut out of foreign lists; made for the first of them. */
struct holes {
	struct list_image *own, *non_global;
	const struct list_image *given; /* instead of `own` */
};

/* One list on its way from source to image. */
struct attempt {
	const struct config *config;
	const struct config_list *list;
	struct guard *guard;
	struct feed_state *state;
	struct feed *feed;
	struct list_image *last; /* on disk, and still valid; or NULL */
	/* or: on disk, of what the list was made from before. It is a stand-in, never "unchanged". */
	struct list_image *former;
	char path[PATH_MAX]; /* of the image */
	size_t *held;	     /* bytes of the images of all lists */
	struct holes *holes; /* of all lists */
	bool fresh; /* what is on disk is another one than was in force before, read or not */
	__u64 now_s;
	bool wanted; /* its source is to be read */
	struct fetch fetch;
	char credentials[PATH_MAX], copy[PATH_MAX]; /* paths that it borrows */
};

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
	__u64 delay_s = RETRY_S << doublings;

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

static void attempt_fail(struct attempt *attempt, enum gate25_list_error kind, int error,
			 const char *why)
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

static void attempt_succeed(struct attempt *attempt, struct list_image *image, bool changed)
{
	struct feed_state *state = attempt->state;

	if (state->failures)
		log_notice("list %s: read again with success", attempt->list->name);
	state->last_success_s = attempt->now_s;
	state->next_refresh_s = later(attempt, attempt->list->by_ttl && attempt->fetch.new_ttl_s ?
						       attempt->fetch.new_ttl_s :
						       attempt->list->refresh_s);
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

static __u32 settings_digest(const struct config *config, const struct config_list *list)
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

	return (__u64)settings_digest(attempt->config, attempt->list) << 32 |
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

static void holes_release(struct holes *holes)
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
static int attempt_carve(struct attempt *attempt, struct list_image **image, __u64 *touched)
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
static void attempt_store(struct attempt *attempt, const struct list_image *image)
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

static void state_describe(struct feed_state *state, const struct list_image *image)
{
	state->entries4 = image ? image->count4 : 0;
	state->entries6 = image ? image->count6 : 0;
	state->lines = image ? image->lines : 0;
	state->bad_lines = image ? image->bad_lines : 0;
}

static size_t image_bytes(const struct list_image *image)
{
	return image ? image->count4 * sizeof(struct range4) +
			       image->count6 * sizeof(struct range6) :
		       0;
}

/* Takes room for an image beside those of the other lists, in place of what the list had. */
static bool room_take(struct attempt *attempt, const struct list_image *image)
{
	size_t had = image_bytes(attempt->last) + image_bytes(attempt->former);
	size_t held = *attempt->held - had + image_bytes(image);

	if (held > FEEDS_BYTES && image_bytes(image) > had)
		return false;
	*attempt->held = held;
	return true;
}

/* The bytes of a source were had, whole. */
static void attempt_take(struct attempt *attempt, const char *text, size_t length)
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
	if (!room_take(attempt, image)) {
		list_image_free(image);
		attempt_fail(attempt, GATE25_LIST_ERROR_PARSE, -E2BIG,
			     "with it all lists together would hold more than 12 million entries "
			     "of IPv4, or 3 million of IPv6");
		return;
	}
	state_describe(state, image);
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

/* ---------------------------------------------------------------- files */

static bool file_unchanged(const struct attempt *attempt)
{
	struct feed_identity now;

	return attempt->last && feed_file_identity(attempt->list->file, &now) &&
	       feed_identity_same(&now, &attempt->state->identity);
}

/* Neither time says enough alone: one may be set at will, and of a copy with its times it is old. */
static bool identity_settled(const struct feed_identity *identity, __u64 now_s)
{
	__u64 last_ns = identity->mtime_ns > identity->ctime_ns ? identity->mtime_ns :
								  identity->ctime_ns;

	return last_ns / 1000000000ULL + YOUNG_S < now_s;
}

static void file_attempt(struct attempt *attempt)
{
	struct feed_state *state = attempt->state;
	struct feed_identity identity;
	char *text = NULL;
	size_t length;
	int error;

	if (file_unchanged(attempt)) {
		attempt_succeed(attempt, attempt->last, false);
		attempt->last = NULL;
		return;
	}
	state->identity = (struct feed_identity){ 0 };
	error = feed_file_read(attempt->list->file, &text, &length, &identity);
	if (error) {
		attempt_fail(attempt, GATE25_LIST_ERROR_READ, error, feed_file_why(error));
		return;
	}
	attempt_take(attempt, text, length);
	free(text);
	if (!attempt->feed->error && !state->unsaved && identity_settled(&identity, attempt->now_s))
		state->identity = identity;
}

/* ---------------------------------------------------------------- urls */

static int copy_path(const struct attempt *attempt, char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/lists/%s.rsync", attempt->config->state_dir,
			      attempt->list->name);

	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* What rsync brought, for it to begin with the next time. Lost, the whole is sent again. */
static void copy_keep(const struct attempt *attempt)
{
	const struct fetch *fetch = &attempt->fetch;
	const struct timespec times[2] = { { .tv_sec = fetch->mtime_s },
					   { .tv_sec = fetch->mtime_s } };
	char fresh[PATH_MAX + 8];
	bool kept;
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", fetch->copy);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	kept = write(fd, fetch->body, fetch->length) == (ssize_t)fetch->length &&
	       !futimens(fd, times) && !rename(fresh, fetch->copy);
	close(fd);
	if (!kept)
		unlink(fresh);
}

static void url_begin(struct attempt *attempt)
{
	const struct config *config = attempt->config;

	attempt->fetch.url = attempt->list->url;
	attempt->fetch.options = &attempt->list->options;
	if (config->files_count && config_beside(config, "credentials", attempt->credentials))
		attempt->fetch.credentials = attempt->credentials;
	if (rsync_is_url(attempt->list->url) && !copy_path(attempt, attempt->copy))
		attempt->fetch.copy = attempt->copy;
	if (!attempt->last) /* nothing that "not modified" could mean */
		return;
	attempt->fetch.etag = attempt->state->etag;
	attempt->fetch.last_modified = attempt->state->last_modified;
}

static void url_finish(struct attempt *attempt)
{
	struct feed_state *state = attempt->state;
	struct fetch *fetch = &attempt->fetch;

	if (fetch->error) {
		attempt_fail(attempt, GATE25_LIST_ERROR_FETCH, fetch->error, fetch->why);
		return;
	}
	if (fetch->not_modified) {
		attempt_succeed(attempt, attempt->last, false);
		attempt->last = NULL;
		return;
	}
	state->etag[0] = state->last_modified[0] = '\0';
	if (fetch->copy)
		copy_keep(attempt);
	attempt_take(attempt, fetch->body ? fetch->body : "", fetch->length);
	if (attempt->feed->error || state->unsaved)
		return; /* ask for the whole again */
	memcpy(state->etag, fetch->new_etag, sizeof(state->etag));
	memcpy(state->last_modified, fetch->new_last_modified, sizeof(state->last_modified));
}

/* ---------------------------------------------------------------- all lists */

static int image_path(const struct config *config, const struct config_list *list,
		      char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/lists/%s.img", config->state_dir, list->name);

	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The last good image. *own: it was made from this source in this way. */
static struct list_image *image_last(const struct config *config, const struct config_list *list,
				     const char *path, bool *own)
{
	struct list_image *image = NULL;
	int error = list_image_read(path, &image);

	if (error == -EBADMSG)
		log_warning(
			"list %s: %s is damaged or of another version: reading the source again",
			list->name, path);
	*own = !error && image->source_digest >> 32 == settings_digest(config, list);
	return image;
}

/* Somebody looked at what a gate held back, and wants it: from now on it is the last good one. */
static void accepted_take(struct attempt *attempt)
{
	const struct config_list *list = attempt->list;
	struct feed_state *state = attempt->state;
	struct list_image *image = NULL;

	if (accepted_read(attempt->config, list->name, &image))
		return;
	if (image->source_digest >> 32 != settings_digest(attempt->config, list)) {
		log_warning(
			"list %s: what was accepted is of another source or format than the list "
			"has now; it is not taken",
			list->name);
	} else {
		attempt_store(attempt, image);
		state->last_success_s = state->changed_s = image->loaded_s;
		state->wait = (struct gate_wait){ .gate = GATE_OPEN };
		state->error[0] = '\0';
		state->failures = 0;
		attempt->fresh = true;
		log_notice("list %s: what was held back was accepted, and comes into force",
			   list->name);
	}
	list_image_free(image);
	accepted_drop(attempt->config, list->name);
}

/* An address may have become ours since the list was read. */
static int attempt_recarve(struct attempt *attempt, struct list_image **image)
{
	__u64 touched = 0;
	int error = *image ? attempt_carve(attempt, image, &touched) : 0;

	if (error || !touched)
		return error;
	attempt->fresh = true;
	attempt->state->left_out += touched;
	attempt_store(attempt, *image);
	log_notice(
		"list %s: %llu of its entries name addresses that are this host's now; these were "
		"left out",
		attempt->list->name, touched);
	return 0;
}

/*
 * One from a former source stands in for it while the list goes on under its name. Never one that blocked for
 * one that allows, nor of a list that was gone from the configuration meanwhile: nobody knows how old that is.
 */
static int attempt_look(struct attempt *attempt)
{
	const struct config_list *list = attempt->list;
	struct list_image *image;
	bool own;
	int error;

	accepted_take(attempt);
	image = image_last(attempt->config, list, attempt->path, &own);
	error = attempt_recarve(attempt, &image);
	if (error) {
		list_image_free(image);
		return error;
	}
	if (image_bytes(image) && !room_take(attempt, image)) {
		log_error("list %s: its copy of %zu MiB has no room beside the other lists",
			  list->name, image_bytes(image) >> 20);
		list_image_free(image);
	} else if (own) {
		attempt->last = image;
		if (!attempt->state->last_success_s) /* what was known of it is lost */
			attempt->state->last_success_s = image->loaded_s;
	} else if (image && attempt->state->last_success_s &&
		   (image->source_digest >> 32 & 1) == list->allow)
		attempt->former = image;
	else {
		*attempt->held -= image_bytes(image);
		list_image_free(image);
	}
	return 0;
}

__u64 feed_may_ask_s(const struct config_list *list, const struct feed_state *state)
{
	__u64 now = time(NULL);

	if (!list->url || !list->refresh_min_s || !state->last_attempt_s ||
	    state->last_attempt_s > now)
		return 0;
	return state->last_attempt_s + list->refresh_min_s;
}

static bool attempt_wanted(const struct attempt *attempt, enum feed_how how)
{
	const struct feed_state *state = attempt->state;

	if (how == FEED_CACHED)
		return false;
	/* A source that was never asked is no matter of this: the last attempt was another one's. */
	if ((attempt->last || state->failures) &&
	    feed_may_ask_s(attempt->list, state) > attempt->now_s)
		return false;
	if (how == FEED_CHANGED || attempt->list->file) /* looking at a file costs nothing */
		return true;
	/* Also when the clock was set back: nothing is put off by more than its interval. */
	return state->unsaved || state->next_refresh_s <= attempt->now_s ||
	       state->last_attempt_s > attempt->now_s;
}

/* Entries need no copy, but should the list get a source that fails, they are what it last held. */
static void entries_keep(const struct attempt *attempt, struct list_image *image)
{
	struct list_image *kept;
	bool own;

	image->source_digest = (__u64)settings_digest(attempt->config, attempt->list) << 32 |
			       list_image_digest(image);
	kept = image_last(attempt->config, attempt->list, attempt->path, &own);
	if (!(own && kept->source_digest == image->source_digest) &&
	    list_image_write(image, attempt->path))
		unlink(attempt->path); /* older than what is in force now */
	list_image_free(kept);
}

static int entries_take(struct attempt *attempt)
{
	const struct config_list *list = attempt->list;
	struct feed_state *state = attempt->state;
	int error = list_from_prefixes(list->entries, list->entries_count, &attempt->feed->image);

	if (error)
		return error;
	entries_keep(attempt, attempt->feed->image);
	state_describe(state, attempt->feed->image);
	state->last_attempt_s = state->last_success_s = attempt->now_s;
	return 0;
}

static int attempt_begin(struct attempt *attempt, enum feed_how how, struct fetcher *fetcher)
{
	const struct config_list *list = attempt->list;
	struct feed_state *state = attempt->state;
	int error = image_path(attempt->config, list, attempt->path);

	if (error)
		return error;
	if (!list->file && !list->url)
		return entries_take(attempt);
	error = attempt_look(attempt);
	if (error)
		return error;
	state_describe(state, attempt->last ? attempt->last : attempt->former);
	if (!attempt->last) {
		state->identity = (struct feed_identity){ 0 };
		state->etag[0] = state->last_modified[0] = '\0';
		if (!state->failures) /* else it is put off for a reason */
			state->next_refresh_s = 0;
	}
	attempt->wanted = attempt_wanted(attempt, how) ||
			  (how == FEED_DUE && fetcher && fetcher_knows(fetcher, list->name));
	if (attempt->wanted) {
		state->last_attempt_s = attempt->now_s;
		if (list->url)
			url_begin(attempt);
	}
	return 0;
}

static void late_tell(const struct attempt *attempts, size_t count, struct fetcher *fetcher)
{
	char shown[200];

	for (size_t i = 0; i < count; i++)
		if (fetcher_runs(fetcher, attempts[i].list->name))
			log_notice("list %s: still being fetched from %s", attempts[i].list->name,
				   fetch_url_shown(attempts[i].list->url, shown, sizeof(shown)));
}

/* Who has no fetcher that goes on later waits for the last one, and is told for whom. */
static void urls_wait(const struct attempt *attempts, size_t count, struct fetcher *fetcher,
		      bool to_the_end, const atomic_bool *cancel)
{
	if (!to_the_end) {
		fetcher_wait(fetcher, PATIENCE_MS, cancel);
		return;
	}
	if (fetcher_wait(fetcher, SILENT_MS, cancel))
		return;
	late_tell(attempts, count, fetcher);
	fetcher_wait(fetcher, UINT_MAX, cancel);
}

static bool list_is_fetched(const void *context, const char *name)
{
	const struct config *config = context;

	for (size_t i = 0; i < config->lists_count; i++)
		if (config->lists[i].url && !strcmp(config->lists[i].name, name))
			return true;
	return false;
}

/* One that does not come in time keeps its last good image, and comes with a later load. */
static void url_take(struct attempt *attempt, struct fetcher *fetcher)
{
	if (attempt->fetch.error || fetcher_take(fetcher, attempt->list->name, &attempt->fetch))
		return;
	attempt->wanted = false;
	attempt->feed->late = true;
	attempt->state->next_refresh_s = attempt->now_s + FETCH_WHOLE_S + RETRY_S;
}

static int urls_fetch(struct attempt *attempts, size_t count, struct fetcher *lasting,
		      const atomic_bool *cancel)
{
	struct fetcher *fetcher = lasting;
	int error = lasting ? 0 : fetcher_new(&fetcher);

	if (!error && count)
		fetcher_retain(fetcher, list_is_fetched, attempts[0].config);
	for (size_t i = 0; !error && i < count; i++)
		if (attempts[i].wanted && attempts[i].list->url)
			fetcher_begin(fetcher, attempts[i].list->name, &attempts[i].fetch);
	if (!error)
		urls_wait(attempts, count, fetcher, !lasting, cancel);
	if (!error && cancel && atomic_load(cancel))
		error = -ECANCELED;
	for (size_t i = 0; !error && i < count; i++)
		if (attempts[i].wanted && attempts[i].list->url)
			url_take(&attempts[i], fetcher);
	if (!lasting)
		fetcher_free(fetcher);
	return error;
}

static void attempt_release(struct attempt *attempt)
{
	fetch_release(&attempt->fetch);
	list_image_free(attempt->last);
	list_image_free(attempt->former);
	attempt->last = attempt->former = NULL;
}

/* Stale listings are the commonest false positive there is. An allow list that is old only alarms. */
static void attempt_expire(struct attempt *attempt)
{
	const struct config_list *list = attempt->list;
	struct feed_state *state = attempt->state;
	struct feed *feed = attempt->feed;
	bool expired = feed->image && feed_expired(list, state, attempt->now_s);
	char most[32];

	if (expired && !state->expired)
		log_error("list %s: not confirmed for %s (`max_age`); %s%s%s", list->name,
			  duration_format(list->max_age_s, most),
			  list->allow ?
				  "it stays in force, since it is an allow list" :
				  "it is out of force until its source is read again, and lets "
				  "its senders in",
			  state->error[0] ? ". Last: " : "", state->error);
	else if (!expired && state->expired && !list->allow)
		log_notice("list %s: confirmed again, and back in force", list->name);
	if (!list->allow && expired != state->expired)
		feed->changed = true;
	state->expired = expired;
	if (!expired || list->allow)
		return;
	feed->expired = true;
	list_image_free(feed->image);
	feed->image = NULL;
}

static void attempt_finish(struct attempt *attempt)
{
	struct feed *feed = attempt->feed;

	if (attempt->wanted && attempt->list->file)
		file_attempt(attempt);
	else if (attempt->wanted)
		url_finish(attempt);
	else if (!feed->image && !attempt->last && !feed->late)
		feed->error = -ENOENT;
	if (!feed->image) {
		feed->former = !attempt->last && attempt->former;
		feed->image = feed->former ? attempt->former : attempt->last;
		if (feed->former)
			attempt->former = NULL;
		else
			attempt->last = NULL;
		feed->changed |= attempt->fresh;
	}
	attempt_expire(attempt);
	attempt_release(attempt);
}

static int attempts_run(struct attempt *attempts, size_t count, enum feed_how how,
			struct fetcher *fetcher, const atomic_bool *cancel)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		error = attempt_begin(&attempts[i], how, fetcher);
	if (!error && how != FEED_CACHED)
		error = urls_fetch(attempts, count, fetcher, cancel);
	for (size_t i = 0; i < count; i++) {
		if (!error && cancel && atomic_load(cancel))
			error = -ECANCELED;
		if (!error) {
			attempt_finish(&attempts[i]);
			continue;
		}
		attempt_release(&attempts[i]);
	}
	return error;
}

static void directory_make(const struct config *config)
{
	char path[PATH_MAX];

	mkdir(config->state_dir, 0700);
	snprintf(path, sizeof(path), "%s/lists", config->state_dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		log_error("cannot make the directory %s: %s; lists cannot be kept over a restart",
			  path, strerror(errno));
}

int feeds_load(const struct config *config, enum feed_how how, struct guard *guard,
	       struct feed_states *states, const atomic_bool *cancel, struct feed *feeds)
{
	struct attempt *attempts = calloc(config->lists_count + 1, sizeof(*attempts));
	struct holes holes = { .given = states->own };
	size_t held = 0;
	int error = 0;

	if (!attempts)
		return -ENOMEM;
	directory_make(config);
	worker_configure(config->user, config->run_dir);
	for (size_t i = 0; i < config->lists_count; i++) {
		struct attempt *attempt = &attempts[i];

		feeds[i] = (struct feed){
			.list = &config->lists[i],
			.state = feeds_find(states, config->lists[i].name),
		};
		if (!feeds[i].state)
			error = -EINVAL;
		attempt->config = config;
		attempt->held = &held;
		attempt->holes = &holes;
		attempt->guard = guard;
		attempt->list = feeds[i].list;
		attempt->feed = &feeds[i];
		attempt->state = feeds[i].state;
		attempt->now_s = states->now_s ? states->now_s : (__u64)time(NULL);
	}
	if (!error)
		error = attempts_run(attempts, config->lists_count, how, states->fetcher, cancel);
	if (error)
		feeds_release(feeds, config->lists_count);
	holes_release(&holes);
	free(attempts);
	return error;
}

void feeds_release(struct feed *feeds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		list_image_free(feeds[i].image);
		feeds[i].image = NULL;
	}
}

bool feeds_cached(const struct config *config)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		struct list_image *image;
		bool own;

		if (!list->file && !list->url)
			continue;
		if (image_path(config, list, path))
			return false;
		image = image_last(config, list, path, &own);
		list_image_free(image);
		if (!own)
			return false;
	}
	return true;
}

void feeds_spread(const struct config *config, const struct feed_states *states)
{
	__u64 now = time(NULL);
	__u32 random;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		struct feed_state *state = feeds_find(states, list->name);
		__u32 most = list->refresh_s / 10 < SPREAD_S ? list->refresh_s / 10 : SPREAD_S;

		if (!list->url || !state || !state->last_success_s || !state->next_refresh_s ||
		    state->next_refresh_s > now)
			continue;
		if (getrandom(&random, sizeof(random), 0) == sizeof(random))
			state->next_refresh_s = now + random % (most + 1);
	}
}

static __u64 confirmed_s(const struct config_list *list, const struct feed_state *state)
{
	return list->data_time && state->data_s ? state->data_s : state->last_success_s;
}

bool feed_expired(const struct config_list *list, const struct feed_state *state, __u64 now_s)
{
	__u64 since_s = confirmed_s(list, state);

	return list->max_age_s && since_s && now_s > since_s && now_s - since_s > list->max_age_s;
}

/* When something is to be done for a list. */
static __u64 list_next(const struct config_list *list, const struct feed_state *state)
{
	__u64 when, ends;

	if (!state || !state->next_refresh_s)
		return 1;
	when = state->next_refresh_s;
	ends = confirmed_s(list, state) + list->max_age_s + 1;
	if (list->max_age_s && confirmed_s(list, state) && !state->expired && ends < when)
		when = ends;
	return when;
}

__u64 feeds_next_refresh(const struct config *config, const struct feed_states *states)
{
	__u64 next = 0;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = &config->lists[i];
		const struct feed_state *state = feeds_find(states, list->name);
		__u64 when = list_next(list, state);

		if ((list->file || list->url) && (!next || when < next))
			next = when;
	}
	return next;
}
