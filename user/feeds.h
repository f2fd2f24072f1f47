/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a list's source (file, http, https, entries) to its image, and the last good one on disk.
 *
 *   state_dir/lists/NAME.img    last good image       state_dir/feeds.json   what is known of each list
 */
#ifndef GATE25_FEEDS_H
#define GATE25_FEEDS_H

#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/lists/image.h"

/* What is known of a list's source; kept in feeds.json over restarts. Times: seconds since 1970, 0 never. */
struct feed_state {
	char name[GATE25_NAME];
	__u64 last_success_s, last_attempt_s, next_refresh_s;
	__u64 entries4, entries6, lines, bad_lines;
	char error[256]; /* of the last attempt; "" if it was a success */
	char etag[128], last_modified[64];
	unsigned int failures; /* in a row */
};

enum feed_how {
	FEED_CACHED,  /* the last good image only: never reads or fetches the source */
	FEED_CHANGED, /* read the source if it changed since the image was made (file: stat; url: conditional) */
};

/*
 * The image of a list. On a failure to read the source the last good image is returned with `state->error` set,
 * the error counted by kind (guard may be NULL) and logged; *out is NULL only when there is none at all
 * (-ENOENT, or the error). *changed says whether it differs from the image on disk before.
 */
int feed_load(const struct config *config, const struct config_list *list, enum feed_how how,
	      struct guard *guard, struct feed_state *state, struct list_image **out, bool *changed);

/* All states, by name; lists of the configuration without one get an empty one. */
int feeds_read(const struct config *config, struct feed_state **out, size_t *count);
int feeds_write(const struct config *config, const struct feed_state *states, size_t count);
struct feed_state *feeds_find(struct feed_state *states, size_t count, const char *name);

#endif
