/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much an image covers, in what two of them differ, and what is cut out of one.
 */
#ifndef GATE25_LISTS_MEASURE_H
#define GATE25_LISTS_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/lists/image.h"

/* Addresses that are covered. Of IPv6 as a number that may be beyond all integers. */
__u64 image_covered4(const struct list_image *image);
double image_covered6(const struct list_image *image);
#define COVERED6_WHOLE 0x1p125 /* 2000::/3, all that is given out */

/*
 * What `image` covers and `other` does not: entries, or what is left of them. *touched (may be NULL): entries that
 * lost addresses. lines, bad_lines, loaded_s and source_digest are those of `image`. 0, or -ENOMEM with *out left alone.
 */
int image_subtract(const struct list_image *image, const struct list_image *other,
		   struct list_image **out, __u64 *touched);

/*
 * Cuts what `holes` covers out of *image; costs next to nothing where that is nothing. *touched: as above. 0, or
 * -ENOMEM with the image as it was.
 */
int image_carve(struct list_image **image, const struct list_image *holes, __u64 *touched);

/* Are nine in ten entries of each also in the other? Out of memory: no. */
bool image_alike(const struct list_image *a, const struct list_image *b);

#endif
