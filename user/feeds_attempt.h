/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One list on its way from source to image: what feeds.c (which lists, from where) and feeds_take.c (what may come into
 * force) share. Nobody else includes this.
 */
#ifndef GATE25_FEEDS_ATTEMPT_H
#define GATE25_FEEDS_ATTEMPT_H

#include <limits.h>

#include "user/feeds.h"
#include "user/fetch.h"

#define FEED_RETRY_S 60 /* after the first failure; doubled with each further one */

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

/* The source failed: said, counted, and when to try again. */
void attempt_fail(struct attempt *attempt, enum gate25_list_error kind, int error, const char *why);
/* It was read, or is as it was; the image is the feed's now. */
void attempt_succeed(struct attempt *attempt, struct list_image *image, bool changed);
/* The bytes of a source were had, whole: succeeds, fails or is held back. */
void attempt_take(struct attempt *attempt, const char *text, size_t length);

/* Cuts what no fetched list may name; how many entries it *touched. -ENOMEM and what asking for our addresses says. */
int attempt_carve(struct attempt *attempt, struct list_image **image, __u64 *touched);
void holes_release(struct holes *holes);

/* Keeps an image on disk; a failure is said and counted. */
void attempt_store(struct attempt *attempt, const struct list_image *image);
/* Takes room for an image beside those of the other lists, in place of what the list had. */
bool attempt_room(struct attempt *attempt, const struct list_image *image);
size_t attempt_image_bytes(const struct list_image *image); /* 0 of NULL */
/* What is shown of an image; NULL: none. */
void attempt_describe(struct feed_state *state, const struct list_image *image);
/* Of all that shapes an image but the bytes themselves. */
__u32 attempt_settings_digest(const struct config *config, const struct config_list *list);

#endif
