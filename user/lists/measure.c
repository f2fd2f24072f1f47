// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much an image covers, in what two of them differ, and what is cut out of one.
 *
 * In: images, sorted and disjoint as they always are. Out: numbers, or another image of that kind.
 */
#include "user/lists/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/ranges.h"

#define ALIKE_SHARE 10 /* one entry in so many may be another one */

/* ---------------------------------------------------------------- both families alike */

struct span {
	u128 first, last;
};

static size_t spans_count(const struct list_image *image, unsigned int family)
{
	return family == 4 ? image->count4 : image->count6;
}

static struct span span_at(const struct list_image *image, unsigned int family, size_t at)
{
	if (family == 4)
		return (struct span){ image->ranges4[at].first, image->ranges4[at].last };
	return (struct span){ address6_value(&image->ranges6[at].first),
			      address6_value(&image->ranges6[at].last) };
}

static int span_add(struct ranges *out, unsigned int family, const struct span *span)
{
	struct address6 first, last;

	if (family == 4)
		return ranges_add4(out, span->first, span->last);
	first = address6_from(span->first);
	last = address6_from(span->last);
	return ranges_add6(out, &first, &last);
}

/* ---------------------------------------------------------------- how much */

__u64 image_covered4(const struct list_image *image)
{
	__u64 sum = 0;

	for (size_t i = 0; i < image->count4; i++)
		sum += (__u64)image->ranges4[i].last - image->ranges4[i].first + 1;
	return sum;
}

double image_covered6(const struct list_image *image)
{
	double sum = 0;

	for (size_t i = 0; i < image->count6; i++) {
		struct span span = span_at(image, 6, i);

		sum += (double)(span.last - span.first) + 1;
	}
	return sum;
}

/* ---------------------------------------------------------------- the difference */

/* What is left of one entry; *hole is the first of the holes that may still matter, for the next one too. */
static int span_subtract(const struct span *span, const struct list_image *holes,
			 unsigned int family, size_t *hole, struct ranges *out, bool *touched)
{
	size_t count = spans_count(holes, family);
	struct span rest = *span;
	int error = 0;

	while (*hole < count && span_at(holes, family, *hole).last < span->first)
		++*hole;
	for (size_t i = *hole; i < count; i++) {
		struct span cut = span_at(holes, family, i);
		struct span before = { rest.first, cut.first - 1 };

		if (cut.first > rest.last)
			break;
		*touched = true;
		if (cut.first > rest.first)
			error = span_add(out, family, &before);
		if (error || cut.last >= rest.last)
			return error;
		rest.first = cut.last + 1;
	}
	return span_add(out, family, &rest);
}

static int family_subtract(const struct list_image *image, const struct list_image *holes,
			   unsigned int family, struct ranges *out, __u64 *touched)
{
	size_t count = spans_count(image, family), hole = 0;
	int error = 0;

	for (size_t i = 0; !error && i < count; i++) {
		struct span span = span_at(image, family, i);
		bool hit = false;

		error = span_subtract(&span, holes, family, &hole, out, &hit);
		*touched += hit;
	}
	return error;
}

int image_subtract(const struct list_image *image, const struct list_image *other,
		   struct list_image **out, __u64 *touched)
{
	struct ranges ranges = { 0 };
	struct list_image *left = NULL;
	__u64 hits = 0;
	int error = family_subtract(image, other, 4, &ranges, &hits);

	if (!error)
		error = family_subtract(image, other, 6, &ranges, &hits);
	if (!error)
		error = ranges_finish(&ranges, &left);
	ranges_release(&ranges);
	if (error)
		return error;
	left->lines = image->lines;
	left->bad_lines = image->bad_lines;
	left->loaded_s = image->loaded_s;
	left->source_digest = image->source_digest;
	if (touched)
		*touched = hits;
	*out = left;
	return 0;
}

/* ---------------------------------------------------------------- carve */

static bool span_meets(const struct list_image *image, unsigned int family, const struct span *span)
{
	size_t low = 0, high = spans_count(image, family), count = high, middle;

	while (low < high) { /* the first that does not end before it */
		middle = (low + high) / 2;
		if (span_at(image, family, middle).last < span->first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && span_at(image, family, low).first <= span->last;
}

static bool images_meet(const struct list_image *image, const struct list_image *holes)
{
	for (unsigned int family = 4; family <= 6; family += 2)
		for (size_t i = 0; i < spans_count(holes, family); i++) {
			struct span span = span_at(holes, family, i);

			if (span_meets(image, family, &span))
				return true;
		}
	return false;
}

int image_carve(struct list_image **image, const struct list_image *holes, __u64 *touched)
{
	struct list_image *left = NULL;
	int error;

	*touched = 0;
	if (!images_meet(*image, holes))
		return 0;
	error = image_subtract(*image, holes, &left, touched);
	if (error)
		return error;
	list_image_free(*image);
	*image = left;
	return 0;
}

/* ---------------------------------------------------------------- alike */

static bool mostly_within(const struct list_image *image, const struct list_image *other)
{
	struct list_image *left = NULL;
	__u64 without;

	if (image_subtract(image, other, &left, NULL))
		return false;
	without = left->count4 + left->count6;
	list_image_free(left);
	return without * ALIKE_SHARE <= image->count4 + image->count6;
}

bool image_alike(const struct list_image *a, const struct list_image *b)
{
	return mostly_within(a, b) && mostly_within(b, a);
}
