/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prefixes that list and prefixes that un-list: of those that cover an address the longest decides,
 * and of exact duplicates the first. Made into ranges. Only the files of user/lists/ include this.
 */
#ifndef GATE25_LISTS_LONGEST_H
#define GATE25_LISTS_LONGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "user/lists/ranges.h"

struct longest6 {
	__u64 hi, lo;
	__u64 order; /* length, place in the list, listed; as in longest.c */
};

struct longest {
	__u64 *keys4; /* address, length, place in the list, listed */
	struct longest6 *keys6;
	size_t count4, room4;
	size_t count6, room6;
};

/* `first` is masked to `length`. 0, -ENOMEM, -EFBIG: as many as ranges may be. */
int longest_add(struct longest *longest, const struct gate25_source *first, unsigned int length,
		bool listed);

/*
 * Calls `emit` with the ranges that are listed, sorted and disjoint. What it returns other than 0
 * ends it and is returned. `longest` is empty afterwards.
 */
int longest_finish(struct longest *longest,
		   int (*emit)(void *context, const struct gate25_source *first,
			       const struct gate25_source *last),
		   void *context);

void longest_release(struct longest *longest);

#endif
