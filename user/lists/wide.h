/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ranges that are wider than a list has reason to name: 0.0.0.0/0 in a list of spammers stops the world, in an
 * allow list it lets it in. Of a foreign list they are left out, of the operator's own they are doubted.
 */
#ifndef GATE25_LISTS_WIDE_H
#define GATE25_LISTS_WIDE_H

#include <stdbool.h>

#include "user/addr.h"
#include "user/lists/image.h"

/* The shortest prefixes that a list has reason to name. */
#define WIDE_LENGTH4 8
#define WIDE_LENGTH6 19

#define WIDE_TEXT (2 * PREFIX_TEXT + 32)

/* Is it wider than these? Both ends of one family. */
bool range_wide(const struct gate25_source *first, const struct gate25_source *last);

/* Likewise, with other shortest prefixes; 0: those above. */
bool range_wider(const struct gate25_source *first, const struct gate25_source *last,
		 unsigned int length4, unsigned int length6);

/* "0.0.0.0/0 covers everything", "10.0.0.0/7 is wider than a /8", of the first that is so; NULL: none is. */
const char *image_wide(const struct list_image *image, char text[static WIDE_TEXT]);
const char *prefix_wide(const struct prefix *prefix, char text[static WIDE_TEXT]);

#endif
