/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ranges while a list is read: added in any order, overlapping as they like; then sorted and made
 * disjoint for the image. Only the files of user/lists/ include this.
 */
#ifndef GATE25_LISTS_RANGES_H
#define GATE25_LISTS_RANGES_H

#include <stddef.h>

#include "user/lists/image.h"

typedef unsigned __int128 u128;

static inline u128 address6_value(const struct address6 *address)
{
	return (u128)address->hi << 64 | address->lo;
}

static inline struct address6 address6_from(u128 value)
{
	return (struct address6){ .hi = value >> 64, .lo = value };
}

/* Of one family in a list: 8 M ranges of IPv4, 2 M of IPv6. Sorting takes as much again. */
#define RANGES_BYTES (64UL << 20)

struct ranges {
	struct range4 *ranges4;
	struct range6 *ranges6;
	size_t count4, room4;
	size_t count6, room6;
};

/* Doubles the room of an array, whose elements are of `size` bytes. */
int array_double(void *array, size_t *room, size_t size);

/*
 * Makes room for one more element; `array` points to the pointer to the first. -ENOMEM, and then
 * the array stays as it was.
 */
static inline int array_grow(void *array, size_t *room, size_t count, size_t size)
{
	return count < *room ? 0 : array_double(array, room, size);
}

/* 0, -ENOMEM, or -EFBIG: more than RANGES_BYTES. */
int ranges_add4(struct ranges *ranges, __u32 first, __u32 last);
int ranges_add6(struct ranges *ranges, const struct address6 *first, const struct address6 *last);

/*
 * Sorts by address and makes disjoint: what lies inside another range is dropped, what overlaps
 * it in part keeps the rest; neighbours stay apart.
 */
int ranges_settle(struct ranges *ranges);

/* Settles, and hands the arrays, of exact size, over to a new image. */
int ranges_finish(struct ranges *ranges, struct list_image **out);

void ranges_release(struct ranges *ranges);

#endif
