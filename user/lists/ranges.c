// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges while a list is read.
 *
 * In: ranges in the order of the list. Out: sorted, disjoint ranges in an image.
 */
#include "user/lists/ranges.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 1024

int array_double(void *array, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : ROOM_FIRST;
	void *elements, *grown;

	if (more > SIZE_MAX / size)
		return -ENOMEM;
	memcpy(&elements, array, sizeof(elements)); /* a pointer of whatever type */
	grown = realloc(elements, more * size);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*room = more;
	/* cppcheck-suppress memleak ; the array has it */
	return 0;
}

static int ranges_double(void *array, size_t *room, size_t size)
{
	return *room * size >= RANGES_BYTES ? -EFBIG : array_double(array, room, size);
}

int ranges_add4(struct ranges *ranges, __u32 first, __u32 last)
{
	int error = ranges->count4 < ranges->room4 ?
			    0 :
			    ranges_double(&ranges->ranges4, &ranges->room4, sizeof(struct range4));

	if (error)
		return error;
	ranges->ranges4[ranges->count4++] = (struct range4){ .first = first, .last = last };
	return 0;
}

int ranges_add6(struct ranges *ranges, const struct address6 *first, const struct address6 *last)
{
	int error = ranges->count6 < ranges->room6 ?
			    0 :
			    ranges_double(&ranges->ranges6, &ranges->room6, sizeof(struct range6));

	if (error)
		return error;
	ranges->ranges6[ranges->count6++] = (struct range6){ .first = *first, .last = *last };
	return 0;
}

/* ---------------------------------------------------------------- sort */

/*
 * Radix sort by digits of `first`, from the lowest to the highest; a digit that is the same
 * everywhere costs no pass. Written twice, since the compiler makes the best of fixed sizes: IPv4
 * takes three passes of 11 bits, IPv6 as many of 16 bytes as differ.
 */
#define DIGITS4 2048
#define DIGITS6 256

static void starts(size_t *counts, size_t digits)
{
	size_t sum = 0, count;

	for (size_t i = 0; i < digits; i++) {
		count = counts[i];
		counts[i] = sum;
		sum += count;
	}
}

static bool sorted4(const struct range4 *ranges, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (ranges[i - 1].first > ranges[i].first)
			return false;
	}
	return true;
}

static inline __u32 digit4(const struct range4 *range, unsigned int digit)
{
	return range->first >> (11 * digit) & (DIGITS4 - 1);
}

static int sort4(struct range4 **ranges, size_t count)
{
	struct range4 *from = *ranges, *to;
	size_t counts[3][DIGITS4] = {};

	if (!count || sorted4(from, count))
		return 0;
	to = calloc(count, sizeof(*to)); /* fresh pages are zero anyway */
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		for (unsigned int digit = 0; digit < 3; digit++)
			counts[digit][digit4(&from[i], digit)]++;
	}
	for (unsigned int digit = 0; digit < 3; digit++) {
		struct range4 *other = from;

		if (counts[digit][digit4(&from[0], digit)] == count)
			continue;
		starts(counts[digit], DIGITS4);
		for (size_t i = 0; i < count; i++)
			to[counts[digit][digit4(&from[i], digit)]++] = from[i];
		from = to;
		to = other;
	}
	free(to);
	*ranges = from;
	return 0;
}

static bool sorted6(const struct range6 *ranges, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (address6_value(&ranges[i - 1].first) > address6_value(&ranges[i].first))
			return false;
	}
	return true;
}

static inline unsigned int digit6(const struct range6 *range, unsigned int digit)
{
	__u64 word = digit < 8 ? range->first.lo : range->first.hi;

	return word >> (8 * (digit & 7)) & 255;
}

static int sort6(struct range6 **ranges, size_t count)
{
	struct range6 *from = *ranges, *to;
	size_t counts[16][DIGITS6] = {};

	if (!count || sorted6(from, count))
		return 0;
	to = calloc(count, sizeof(*to)); /* fresh pages are zero anyway */
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		for (unsigned int digit = 0; digit < 16; digit++)
			counts[digit][digit6(&from[i], digit)]++;
	}
	for (unsigned int digit = 0; digit < 16; digit++) {
		struct range6 *other = from;

		if (counts[digit][digit6(&from[0], digit)] == count)
			continue;
		starts(counts[digit], DIGITS6);
		for (size_t i = 0; i < count; i++)
			to[counts[digit][digit6(&from[i], digit)]++] = from[i];
		from = to;
		to = other;
	}
	free(to);
	*ranges = from;
	return 0;
}

/* ---------------------------------------------------------------- settle */

static size_t settle4(struct range4 *ranges, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct range4 range = ranges[i];
		struct range4 *previous = kept ? &ranges[kept - 1] : NULL;

		if (!previous || range.first > previous->last) {
			ranges[kept++] = range;
		} else if (range.last > previous->last) {
			if (range.first == previous->first) { /* the wider of the two */
				previous->last = range.last;
				continue;
			}
			range.first = previous->last + 1;
			ranges[kept++] = range;
		}
	}
	return kept;
}

static size_t settle6(struct range6 *ranges, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct range6 range = ranges[i];
		struct range6 *previous = kept ? &ranges[kept - 1] : NULL;
		u128 first = address6_value(&range.first), last = address6_value(&range.last);

		if (!previous || first > address6_value(&previous->last)) {
			ranges[kept++] = range;
		} else if (last > address6_value(&previous->last)) {
			if (first == address6_value(&previous->first)) {
				previous->last = range.last;
				continue;
			}
			range.first = address6_from(address6_value(&previous->last) + 1);
			ranges[kept++] = range;
		}
	}
	return kept;
}

int ranges_settle(struct ranges *ranges)
{
	if (sort4(&ranges->ranges4, ranges->count4))
		return -ENOMEM;
	if (sort6(&ranges->ranges6, ranges->count6))
		return -ENOMEM;
	/* a sorted array may be a fresh one of exact size */
	ranges->room4 = ranges->count4;
	ranges->room6 = ranges->count6;
	ranges->count4 = settle4(ranges->ranges4, ranges->count4);
	ranges->count6 = settle6(ranges->ranges6, ranges->count6);
	return 0;
}

/* Gives the slack back; an array that stays is as good. */
static void *shrunk(void *array, size_t count, size_t size)
{
	void *smaller;

	if (!count) {
		free(array);
		return NULL;
	}
	smaller = realloc(array, count * size);
	if (smaller)
		array = smaller;
	return array;
}

int ranges_finish(struct ranges *ranges, struct list_image **out)
{
	struct list_image *image = calloc(1, sizeof(*image));

	if (!image || ranges_settle(ranges)) {
		free(image);
		return -ENOMEM;
	}
	image->count4 = ranges->count4;
	image->count6 = ranges->count6;
	image->ranges4 = shrunk(ranges->ranges4, ranges->count4, sizeof(struct range4));
	image->ranges6 = shrunk(ranges->ranges6, ranges->count6, sizeof(struct range6));
	memset(ranges, 0, sizeof(*ranges));
	*out = image;
	return 0;
}

void ranges_release(struct ranges *ranges)
{
	free(ranges->ranges4);
	free(ranges->ranges6);
	memset(ranges, 0, sizeof(*ranges));
}
