/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Filters of the codes that a zone answers with (127.0.0.2 …), written as in postscreen:
 * "127.0.0.[2..11]", "127.0.[0;2].[4;6..8]".
 */
#ifndef GATE25_LISTS_CODES_H
#define GATE25_LISTS_CODES_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#define LIST_CODES 8 /* patterns of a filter; one that matches is enough */

struct list_codes {
	__u64 patterns[LIST_CODES][4][4]; /* by octet: bit `value % 64` of word `value / 64` */
	size_t count;			  /* 0: no filter, everything matches */
};

/* Adds a pattern. 0, -EINVAL with *why, or -E2BIG when it is one too many. */
int codes_add(struct list_codes *codes, const char *text, const char **why);

/* `code` in host byte order: 127.0.0.2 is 0x7f000002. */
bool codes_match(const struct list_codes *codes, __u32 code);

#endif
