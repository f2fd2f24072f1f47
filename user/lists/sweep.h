/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep over the ranges of all lists, and the classes that it finds.
 */
#ifndef GATE25_LISTS_SWEEP_H
#define GATE25_LISTS_SWEEP_H

#include "user/lists/compile.h"
#include "user/lists/layout.h"

struct classes {
	struct gate25_class *classes; /* [0] is "on no list" */
	size_t count, room;
	__u32 *hash; /* of the sets of lists: numbers of classes, 0 for none */
};

/* -ENOMEM. Released by classes_release(), also after a failure. */
int classes_init(struct classes *classes);
void classes_release(struct classes *classes);

/* The class of a set of lists, made when it is new. -E2BIG, -ENOMEM. */
int classes_find(struct classes *classes, const struct compile_input *input, __u64 lists,
		 __u16 *class);

/* The segments of both families. -E2BIG, -ENOMEM; segments_release() also after a failure. */
int sweep(const struct compile_input *input, struct classes *classes, struct segments *out);
void segments_release(struct segments *segments);

#endif
