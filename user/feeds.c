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
#include "user/feeds_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/feed_file.h"
#include "user/feeds_held.h"
#include "user/fetcher.h"
#include "user/log.h"
#include "user/print.h"
#include "user/rsync.h"
#include "user/state.h"
#include "user/worker.h"

#define YOUNG_S	    2	 /* a file younger than this may change again without showing it */
#define PATIENCE_MS 4000 /* with fetches, before all that came is put in force without them */
#define SILENT_MS   2000 /* of a longer wait, before it is said */

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
	/* Of names all must be known again, as with a last good list: the former one is in force. */
	if (!attempt->last && attempt->former && attempt->list->names_count)
		attempt->fetch.etag = "\"former\"";
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
	*own = !error && image->source_digest >> 32 == attempt_settings_digest(config, list);
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
	if (image->source_digest >> 32 != attempt_settings_digest(attempt->config, list)) {
		log_warning(
			"list %s: what was accepted is of another source or format than the list "
			"has now; it is not taken",
			list->name);
	} else {
		attempt_store(attempt, image);
		if (state->unsaved) { /* said; it is taken once there is room */
			list_image_free(image);
			return;
		}
		state->data_s = 0; /* of the one before */
		state->etag[0] = state->last_modified[0] = '\0';
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
	if (attempt_image_bytes(image) && !attempt_room(attempt, image)) {
		log_error("list %s: its copy of %zu MiB has no room beside the other lists",
			  list->name, attempt_image_bytes(image) >> 20);
		list_image_free(image);
	} else if (own) {
		attempt->last = image;
		if (!attempt->state->last_success_s) /* what was known of it is lost */
			attempt->state->last_success_s = image->loaded_s;
	} else if (image && attempt->state->last_success_s &&
		   (image->source_digest >> 32 & 1) == list->allow)
		attempt->former = image;
	else {
		*attempt->held -= attempt_image_bytes(image);
		list_image_free(image);
	}
	return 0;
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

	image->source_digest = (__u64)attempt_settings_digest(attempt->config, attempt->list)
				       << 32 |
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
	attempt_describe(state, attempt->feed->image);
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
	if (state->last_success_s > attempt->now_s) /* the clock was set back */
		state->last_success_s = attempt->now_s;
	error = attempt_look(attempt);
	if (error)
		return error;
	attempt_describe(state, attempt->last ? attempt->last : attempt->former);
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
	attempt->state->next_refresh_s = attempt->now_s + FETCH_WHOLE_S + FEED_RETRY_S;
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
