/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a list's source (file, http, https, entries) to its image, and the last good one on disk.
 *
 *   state_dir/lists/NAME.img    last good image       state_dir/feeds.json   what is known of each list
 *   state_dir/lists/NAME.held   what a gate holds back (feeds_held.h)
 *
 * A source is foreign data: what is not a list (a web page, too many bad lines, nothing at all) is
 * refused, and the last good image stays in force.
 */
#ifndef GATE25_FEEDS_H
#define GATE25_FEEDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/gates.h"
#include "user/lists/image.h"

#define FEED_UNCHANGED_S (7 * 86400) /* the same content for so long: is the source still kept? */

/* Ranges of all lists together, in memory: what compiling takes of it has to fit the unit's MemoryMax. */
#define FEEDS_BYTES (96UL << 20)

/* What tells that a file is the one that was read before. All 0: not known. */
struct feed_identity {
	__u64 device, inode, size, mtime_ns, ctime_ns;
};

/* What is known of a list's source; kept in feeds.json over restarts. Times: seconds since 1970, 0 never. */
struct feed_state {
	char name[GATE25_NAME];
	__u64 last_success_s, last_attempt_s, next_refresh_s;
	__u64 entries4, entries6, lines, bad_lines;
	char error[384]; /* of the last attempt; "" if it was a success */
	char format[16]; /* that its text was last read as, also where `auto` had to find out */
	char etag[128], last_modified[64];
	unsigned int failures;	       /* in a row */
	struct feed_identity identity; /* of a file */
	bool unsaved; /* the image in force could not be kept on disk: read the source again */
	struct gate_wait wait; /* what a gate holds back; it is in NAME.held */
	__u64 changed_s;       /* when it last was another one than before */
	__u64 data_s;	       /* the time that the data give themselves; 0: none */
	__u64 left_out; /* entries that lost addresses which are this host's, or not of the Internet */
	bool expired; /* past max_age: a block list is not in force any more */
};

struct feed_states {
	struct feed_state *array;
	size_t count;
	/* whose fetches may go on behind feeds_load(), to be taken by a later one; borrowed. NULL: all are waited for */
	struct fetcher *fetcher;
	__u64 now_s;		      /* seconds since 1970; 0: the clock says */
	const struct list_image *own; /* addresses of this host; NULL: it is asked for them */
};

enum feed_how {
	FEED_CACHED, /* the last good image only: never reads or fetches the source */
	FEED_CHANGED, /* read the source if it changed since the image was made (file: stat; url: conditional) */
	FEED_DUE, /* FEED_CHANGED for lists whose next_refresh_s is over, FEED_CACHED for the others */
};

/* A list of the configuration with what came of loading it. */
struct feed {
	const struct config_list *list;
	struct feed_state *state;
	struct list_image *image; /* NULL: there is none at all */
	bool changed;		  /* the image is another one than was on disk before */
	bool late;		  /* it is still being fetched, and comes with a later load */
	bool expired;		  /* a block list past its max_age: there is no image, on purpose */
	bool former; /* it is the last good one from a former source: this one was not read yet */
	int error;   /* of the attempt, 0 or -errno; with an image: the last good one is used */
};

/*
 * The images of all lists of the configuration, in its order. A source that fails leaves the last good image
 * in `image`, with `error` and `state->error` set, the failure counted by kind (guard may be NULL) and logged.
 * Urls are fetched side by side, so that one that stalls does not hold up the others. With states->fetcher
 * none holds up the whole either: what is not there within some seconds is `late`, and wanted as soon as
 * fetcher_fd() says that it is there.
 *
 * While a source that is new to a list was not read with success, what was last read from its former one stands
 * in (`former`), on disk as well.
 *
 * `states` is what feeds_read() gave; feeds[lists_count] is the caller's. The states' array is freed with free(). 0, -ENOMEM, or -ECANCELED soon
 * after *cancel is set (NULL: never).
 */
int feeds_load(const struct config *config, enum feed_how how, struct guard *guard,
	       struct feed_states *states, const atomic_bool *cancel, struct feed *feeds);
void feeds_release(struct feed *feeds, size_t count); /* frees the images */

/* Has every list of the configuration that reads a source a last good image that is still valid? */
bool feeds_cached(const struct config *config);

/* The earliest time that its source may be asked again (`refresh_min`); 0: any. */
__u64 feed_may_ask_s(const struct config_list *list, const struct feed_state *state);

/*
 * At a start: urls that are due and have a last good image are asked within a minute, each at a time of its
 * own, so that a machine, or a thousand that came back with the power, do not ask all at once.
 */
void feeds_spread(const struct config *config, const struct feed_states *states);

/* Was the list last confirmed longer ago than its max_age? false while it has none, or was never read. */
bool feed_expired(const struct config_list *list, const struct feed_state *state, __u64 now_s);

/* The next time a list wants to be read or comes to its max_age, in seconds since 1970; 0: never. */
__u64 feeds_next_refresh(const struct config *config, const struct feed_states *states);

/*
 * All states, by name; lists of the configuration without one get an empty one, others are left out.
 * A missing or damaged file is no error: the sources are then read again. -ENOMEM.
 */
int feeds_read(const struct config *config, struct feed_states *out);
int feeds_write(const struct config *config, const struct feed_states *states);
struct feed_state *feeds_find(const struct feed_states *states, const char *name);

#endif
