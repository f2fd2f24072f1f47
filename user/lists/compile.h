/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists -> the table and the classes of a generation.
 *
 * A sweep over the sorted ranges of all lists gives disjoint ranges, each with the set of lists
 * that cover it. Each distinct set becomes a class; scores are summed here, once, not in the
 * kernel.
 */
#ifndef GATE25_LISTS_COMPILE_H
#define GATE25_LISTS_COMPILE_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/lists/image.h"

struct compile_list {
	struct gate25_list_info info; /* name, id, weight, allow, observe, action, services */
	bool insecure; /* came over a transport that can be forged: its sum is capped */
	const struct list_image *image;
};

struct compile_input {
	const struct compile_list *lists;
	size_t count; /* at most GATE25_LISTS */
	int threshold;
};

/* What is put in force. `lines` is layout.lines * 64 bytes, page aligned; NULL while only planned. */
struct compiled_table {
	struct gate25_table_layout layout;
	void *lines;
	struct table_plan *plan;      /* what the lines are written from; NULL once they are */
	struct gate25_class *classes; /* [0] is "on no list" */
	size_t classes_count;
	__u8 allow_services; /* bit per service slot: an allow list holds that is not empty */
};

/*
 * 0 or -errno: -E2BIG for more than GATE25_LISTS lists or GATE25_CLASSES classes, -ENOMEM. *out
 * is left alone on failure.
 *
 * Per service s of a class: ALLOW if an allow list of the set holds for s. BLOCK if the weights
 * of the set's enforcing block lists that hold for s sum up to the threshold or more; SHADOW
 * likewise over all of them. Where only insecure lists add to a sum, it is capped at one below
 * the threshold. The action is that of the list of the greatest weight among those summed, at a
 * tie the mildest; a list whose action is pass counts as observed. A list that is observed never
 * changes an enforced sum or action.
 */
int table_compile(const struct compile_input *input, struct compiled_table **out);

/*
 * The same without the lines, for who has a place for them (a map in memory): table_write() puts
 * them there, layout.lines * 64 bytes that are zero before.
 */
int table_plan(const struct compile_input *input, struct compiled_table **out);
void table_write(const struct compiled_table *table, void *lines);

/*
 * What the kernel finds: the class of a source in the lines of a table, compiled or mapped back
 * from a map.
 */
__u16 table_class(const void *lines, const struct gate25_table_layout *layout,
		  const struct gate25_source *source);

/* Frees it with all it holds; NULL is fine. */
void compiled_table_free(struct compiled_table *table);

#endif
