// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fetches that go on when nobody waits for them any more.
 *
 * In: what to fetch, and how long to wait for it. Out: what came of it, as soon as somebody takes it. One lock
 * guards the list of errands and what their threads say; what is fetched belongs to the thread until it is done.
 */
#include "user/fetcher.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "user/dataplane.h"
#include "user/log.h"
#include "user/worker.h"

#define LOOK_MS 100 /* how soon a cancel is seen */

struct errand {
	struct errand *next;
	struct fetcher *fetcher;
	char name[GATE25_NAME];
	char *url;
	char etag[FETCH_ETAG], last_modified[FETCH_LAST_MODIFIED];
	char *credentials, *copy;
	struct fetch_options options; /* whose texts are ours */
	struct fetch fetch;
	pthread_t thread;
	__u64 began_ms;
	atomic_bool cancel;
	bool done, late;
};

struct fetcher {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct errand *errands;
	int fd;
};

/* ---------------------------------------------------------------- one errand */

static void *errand_run(void *context)
{
	struct errand *errand = context;
	struct fetcher *fetcher = errand->fetcher;
	struct fetch *fetch = &errand->fetch;
	int error = worker_fetch(fetch, &errand->cancel);
	__u64 one = 1;

	if (error && !fetch->error) {
		fetch->error = error;
		snprintf(fetch->why, sizeof(fetch->why), "%s", strerror(-error));
	}
	pthread_mutex_lock(&fetcher->lock);
	errand->done = true;
	if (errand->late && write(fetcher->fd, &one, sizeof(one)) != sizeof(one))
		log_error("a list that came late cannot be told: %s", strerror(errno));
	pthread_cond_broadcast(&fetcher->ended);
	pthread_mutex_unlock(&fetcher->lock);
	return NULL;
}

/* After its thread has ended, or before it was begun. */
static void errand_free(struct errand *errand)
{
	fetch_release(&errand->fetch);
	free(errand->url);
	free(errand->credentials);
	free(errand->copy);
	fetch_options_free(&errand->options);
	free(errand);
}

/* It was unlinked already: nobody else knows it. */
static void errand_give_up(struct errand *errand)
{
	atomic_store(&errand->cancel, true);
	pthread_join(errand->thread, NULL);
	errand_free(errand);
}

static struct errand *errand_new(struct fetcher *fetcher, const char *name,
				 const struct fetch *wanted)
{
	struct errand *errand = calloc(1, sizeof(*errand));

	if (!errand)
		return NULL;
	errand->fetcher = fetcher;
	if (!fetch_text_copy(wanted->url, (const char **)&errand->url) ||
	    !fetch_text_copy(wanted->credentials, (const char **)&errand->credentials) ||
	    !fetch_text_copy(wanted->copy, (const char **)&errand->copy) ||
	    !fetch_options_copy(wanted->options, &errand->options)) {
		errand_free(errand);
		return NULL;
	}
	snprintf(errand->name, sizeof(errand->name), "%s", name);
	snprintf(errand->etag, sizeof(errand->etag), "%s", wanted->etag ? wanted->etag : "");
	snprintf(errand->last_modified, sizeof(errand->last_modified), "%s",
		 wanted->last_modified ? wanted->last_modified : "");
	errand->fetch.url = errand->url;
	errand->fetch.credentials = errand->credentials;
	errand->fetch.copy = errand->copy;
	errand->fetch.options = &errand->options;
	errand->fetch.etag = errand->etag;
	errand->fetch.last_modified = errand->last_modified;
	errand->began_ms = monotonic_ms();
	return errand;
}

/* "Not modified" means something else to who has another copy, or none. */
static bool errand_serves(const struct errand *errand, const struct fetch *wanted)
{
	return !strcmp(errand->url, wanted->url) &&
	       fetch_options_same(&errand->options, wanted->options) &&
	       !strcmp(errand->etag, wanted->etag ? wanted->etag : "") &&
	       !strcmp(errand->last_modified, wanted->last_modified ? wanted->last_modified : "");
}

/* ---------------------------------------------------------------- all of them */

/* Under the lock: the loop asks while a load begins, takes and gives up. */
static struct errand **errand_find(struct fetcher *fetcher, const char *name)
{
	struct errand **at = &fetcher->errands;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct errand *errand_unlink(struct errand **at)
{
	struct errand *errand = *at;

	if (errand)
		*at = errand->next;
	return errand;
}

int fetcher_new(struct fetcher **out)
{
	struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
	pthread_condattr_t monotonic;

	if (!fetcher)
		return -ENOMEM;
	fetcher->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fetcher->fd < 0) {
		free(fetcher);
		return -errno;
	}
	pthread_mutex_init(&fetcher->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&fetcher->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = fetcher;
	return 0;
}

void fetcher_free(struct fetcher *fetcher)
{
	if (!fetcher)
		return;
	for (struct errand *errand = fetcher->errands; errand; errand = errand->next)
		atomic_store(&errand->cancel, true); /* all at once, then one after the other */
	while (fetcher->errands)
		errand_give_up(errand_unlink(&fetcher->errands));
	pthread_cond_destroy(&fetcher->ended);
	pthread_mutex_destroy(&fetcher->lock);
	close(fetcher->fd);
	free(fetcher);
}

int fetcher_fd(const struct fetcher *fetcher)
{
	return fetcher->fd;
}

void fetcher_begin(struct fetcher *fetcher, const char *name, struct fetch *wanted)
{
	struct errand **at, *errand;
	int error = ENOMEM;
	bool serves;

	pthread_mutex_lock(&fetcher->lock);
	at = errand_find(fetcher, name);
	errand = *at;
	serves = errand && errand_serves(errand, wanted);
	if (errand && !serves)
		errand_unlink(at);
	pthread_mutex_unlock(&fetcher->lock);
	if (serves)
		return;
	if (errand)
		errand_give_up(errand);
	errand = errand_new(fetcher, name, wanted);
	if (errand)
		error = pthread_create(&errand->thread, NULL, errand_run, errand);
	if (!error) {
		pthread_mutex_lock(&fetcher->lock);
		errand->next = fetcher->errands;
		fetcher->errands = errand;
		pthread_mutex_unlock(&fetcher->lock);
		return;
	}
	wanted->error = -error;
	snprintf(wanted->why, sizeof(wanted->why), "cannot start to fetch it: %s", strerror(error));
	if (errand)
		errand_free(errand);
}

/* Does one still run that is younger than `patience_ms`? *late: some other does. */
static bool errands_run(const struct fetcher *fetcher, unsigned int patience_ms, bool *late)
{
	__u64 now = monotonic_ms();
	bool young = false;

	*late = false;
	for (struct errand *errand = fetcher->errands; errand; errand = errand->next) {
		if (errand->done)
			continue;
		if (now - errand->began_ms < patience_ms)
			young = true;
		else
			*late = true;
	}
	return young;
}

bool fetcher_wait(struct fetcher *fetcher, unsigned int patience_ms, const atomic_bool *cancel)
{
	struct timespec until;
	bool late;

	pthread_mutex_lock(&fetcher->lock);
	while (errands_run(fetcher, patience_ms, &late) && !(cancel && atomic_load(cancel))) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&fetcher->ended, &fetcher->lock, &until);
	}
	late = false;
	for (struct errand *errand = fetcher->errands; errand; errand = errand->next)
		if (!errand->done)
			late = errand->late = true;
	pthread_mutex_unlock(&fetcher->lock);
	return !late;
}

bool fetcher_knows(struct fetcher *fetcher, const char *name)
{
	bool known;

	pthread_mutex_lock(&fetcher->lock);
	known = *errand_find(fetcher, name) != NULL;
	pthread_mutex_unlock(&fetcher->lock);
	return known;
}

bool fetcher_runs(struct fetcher *fetcher, const char *name)
{
	const struct errand *errand;
	bool runs;

	pthread_mutex_lock(&fetcher->lock);
	errand = *errand_find(fetcher, name);
	runs = errand && !errand->done;
	pthread_mutex_unlock(&fetcher->lock);
	return runs;
}

bool fetcher_take(struct fetcher *fetcher, const char *name, struct fetch *out)
{
	struct errand **at, *errand;
	struct fetch asked = *out;
	bool done;

	pthread_mutex_lock(&fetcher->lock);
	at = errand_find(fetcher, name);
	errand = *at;
	done = errand && errand->done;
	if (done)
		errand_unlink(at);
	else if (errand)
		errand->late = true;
	pthread_mutex_unlock(&fetcher->lock);
	if (!done)
		return false;
	pthread_join(errand->thread, NULL);
	*out = errand->fetch;
	out->url = asked.url;
	out->etag = asked.etag;
	out->last_modified = asked.last_modified;
	out->options = asked.options;
	out->credentials = asked.credentials;
	out->copy = asked.copy;
	errand->fetch = (struct fetch){ 0 }; /* the body has another owner */
	errand_free(errand);
	return true;
}

void fetcher_retain(struct fetcher *fetcher, bool (*wanted)(const void *context, const char *name),
		    const void *context)
{
	struct errand **at = &fetcher->errands, *gone = NULL, *errand;

	pthread_mutex_lock(&fetcher->lock);
	while (*at) {
		if (wanted(context, (*at)->name)) {
			at = &(*at)->next;
			continue;
		}
		errand = errand_unlink(at);
		errand->next = gone;
		gone = errand;
	}
	pthread_mutex_unlock(&fetcher->lock);
	while (gone) {
		errand = gone;
		gone = errand->next;
		errand_give_up(errand);
	}
}
