// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges that are wider than a list has reason to name.
 *
 * In: a range, or all those of an image. Out: whether one is too wide, and how to say so.
 */
#include "user/lists/wide.h"

#include <stdio.h>

#include "user/lists/ranges.h"

bool range_wider(const struct gate25_source *first, const struct gate25_source *last,
		 unsigned int length4, unsigned int length6)
{
	u128 from = (u128)first->hi << 64 | first->lo, to = (u128)last->hi << 64 | last->lo;

	length4 = length4 ? length4 : WIDE_LENGTH4;
	length6 = length6 ? length6 : WIDE_LENGTH6;
	return (to - from) >> (first->family == 4 ? 32 - length4 : 128 - length6);
}

bool range_wide(const struct gate25_source *first, const struct gate25_source *last)
{
	return range_wider(first, last, 0, 0);
}

/* The prefix that is just this range; false: it is none. */
static bool range_prefix(const struct gate25_source *first, const struct gate25_source *last,
			 struct prefix *out)
{
	unsigned int bits = first->family == 4 ? 32 : 128;

	for (unsigned int length = 0; length <= bits; length++) {
		struct prefix prefix = { .address = *first, .length = length };
		struct gate25_source end;

		prefix_mask(&prefix);
		end = prefix_last(&prefix);
		if (prefix.address.hi == first->hi && prefix.address.lo == first->lo &&
		    end.hi == last->hi && end.lo == last->lo) {
			*out = prefix;
			return true;
		}
	}
	return false;
}

static const char *range_say(const struct gate25_source *first, const struct gate25_source *last,
			     char text[static WIDE_TEXT])
{
	unsigned int least = first->family == 4 ? WIDE_LENGTH4 : WIDE_LENGTH6;
	char from[PREFIX_TEXT], to[PREFIX_TEXT];
	struct prefix prefix;

	if (!range_prefix(first, last, &prefix))
		snprintf(text, WIDE_TEXT, "%s-%s is wider than a /%u", address_format(first, from),
			 address_format(last, to), least);
	else if (!prefix.length)
		snprintf(text, WIDE_TEXT, "%s covers everything", prefix_format(&prefix, from));
	else
		snprintf(text, WIDE_TEXT, "%s is wider than a /%u", prefix_format(&prefix, from),
			 least);
	return text;
}

const char *image_wide(const struct list_image *image, char text[static WIDE_TEXT])
{
	for (size_t i = 0; i < image->count4; i++) {
		struct gate25_source first = { .family = 4, .lo = image->ranges4[i].first };
		struct gate25_source last = { .family = 4, .lo = image->ranges4[i].last };

		if (range_wide(&first, &last))
			return range_say(&first, &last, text);
	}
	for (size_t i = 0; i < image->count6; i++) {
		const struct range6 *range = &image->ranges6[i];
		struct gate25_source first = { .family = 6,
					       .hi = range->first.hi,
					       .lo = range->first.lo };
		struct gate25_source last = { .family = 6,
					      .hi = range->last.hi,
					      .lo = range->last.lo };

		if (range_wide(&first, &last))
			return range_say(&first, &last, text);
	}
	return NULL;
}

const char *prefix_wide(const struct prefix *prefix, char text[static WIDE_TEXT])
{
	struct gate25_source last = prefix_last(prefix);

	return range_wide(&prefix->address, &last) ? range_say(&prefix->address, &last, text) :
						     NULL;
}
