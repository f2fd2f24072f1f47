// SPDX-License-Identifier: GPL-2.0-only
/*
 * The longest prefix decides.
 *
 * In: prefixes in the order of the list. Out: ranges that are listed.
 *
 * Sorted by address, then by length, a prefix stands behind those that cover it. One walk with the
 * prefixes open at the moment on a stack then sees each change between listed and not.
 */
#include "user/lists/longest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A key of IPv4: 32 bits of address, 6 of length, 25 of place, 1 of listed. */
#define PLACE_BITS4  25
#define LENGTH_BITS4 6
#define MOST4	     (RANGES_BYTES / sizeof(struct range4))
#define MOST6	     (RANGES_BYTES / sizeof(struct range6))
#define DEPTH	     130 /* lengths 0 to 128, and what lies below all */

_Static_assert(MOST4 <= 1UL << PLACE_BITS4, "the place in the list fits its bits");

struct open {
	u128 last;
	bool listed;
};

struct walk {
	struct open stack[DEPTH];
	unsigned int depth;
	unsigned int family;
	u128 from;     /* of the listed range that is open, if the top of the stack is listed */
	bool past_end; /* the last address was reached: nothing lies behind */
	int (*emit)(void *context, const struct gate25_source *first,
		    const struct gate25_source *last);
	void *context;
};

int longest_add(struct longest *longest, const struct gate25_source *first, unsigned int length,
		bool listed)
{
	int error;

	if (first->family == 4) {
		if (longest->count4 == MOST4)
			return -EFBIG;
		error = array_grow(&longest->keys4, &longest->room4, longest->count4,
				   sizeof(*longest->keys4));
		if (error)
			return error;
		longest->keys4[longest->count4] = first->lo << 32 |
						  (__u64)length << (PLACE_BITS4 + 1) |
						  longest->count4 << 1 | listed;
		longest->count4++;
		return 0;
	}
	if (longest->count6 == MOST6)
		return -EFBIG;
	error = array_grow(&longest->keys6, &longest->room6, longest->count6,
			   sizeof(*longest->keys6));
	if (error)
		return error;
	longest->keys6[longest->count6] =
		(struct longest6){ .hi = first->hi,
				   .lo = first->lo,
				   .order = (__u64)length << 32 | longest->count6 << 1 | listed };
	longest->count6++;
	return 0;
}

static int compare4(const void *a, const void *b)
{
	__u64 one, other;

	memcpy(&one, a, sizeof(one));
	memcpy(&other, b, sizeof(other));
	return (one > other) - (one < other);
}

static int compare6(const void *a, const void *b)
{
	const struct longest6 *one = a, *other = b;

	if (one->hi != other->hi)
		return one->hi > other->hi ? 1 : -1;
	if (one->lo != other->lo)
		return one->lo > other->lo ? 1 : -1;
	return (one->order > other->order) - (one->order < other->order);
}

static struct gate25_source source_of(const struct walk *walk, u128 address)
{
	return (struct gate25_source){ .hi = address >> 64,
				       .lo = (__u64)address,
				       .family = walk->family };
}

/* The listed range that is open ends with `last`. */
static int walk_emit(struct walk *walk, u128 last)
{
	struct gate25_source from = source_of(walk, walk->from), to = source_of(walk, last);

	return walk->emit(walk->context, &from, &to);
}

/* Closes the top of the stack; what lies below goes on behind it. */
static int walk_close(struct walk *walk)
{
	struct open top = walk->stack[--walk->depth];
	struct open below = walk->stack[walk->depth - 1];
	int error = 0;

	if (top.listed && walk->from <= top.last && !walk->past_end)
		error = walk_emit(walk, top.last);
	if (below.listed)
		walk->from = top.last + 1;
	walk->past_end |= top.last == ~(u128)0;
	return error;
}

/* A prefix that begins where the walk has come to. */
static int walk_open(struct walk *walk, u128 first, u128 last, bool listed)
{
	struct open *top = &walk->stack[walk->depth - 1];
	int error = 0;

	if (top->listed == listed) /* changes nothing */
		return 0;
	if (top->listed && walk->from < first)
		error = walk_emit(walk, first - 1);
	walk->stack[walk->depth++] = (struct open){ .last = last, .listed = listed };
	walk->from = first;
	return error;
}

static int walk_prefix(struct walk *walk, u128 first, unsigned int bits, unsigned int length,
		       bool listed)
{
	u128 size = length ? (u128)1 << (bits - length) : 0; /* 0: all that there is of IPv6 */
	u128 last = length ? first + (size - 1) : bits == 128 ? ~(u128)0 : 0xffffffff;
	int error = 0;

	while (walk->depth > 1 && walk->stack[walk->depth - 1].last < first && !error)
		error = walk_close(walk);
	return error ? error : walk_open(walk, first, last, listed);
}

static int walk_end(struct walk *walk, int error)
{
	while (walk->depth > 1 && !error)
		error = walk_close(walk);
	return error;
}

static void walk_begin(struct walk *walk, unsigned int family)
{
	walk->family = family;
	walk->depth = 1;
	walk->stack[0] = (struct open){ .last = ~(u128)0 };
	walk->from = 0;
	walk->past_end = false;
}

static int finish4(const struct longest *longest, struct walk *walk)
{
	__u64 duplicate = ~0ULL;
	int error = 0;

	walk_begin(walk, 4);
	for (size_t i = 0; i < longest->count4 && !error; i++) {
		__u64 key = longest->keys4[i];

		if (key >> (PLACE_BITS4 + 1) == duplicate)
			continue;
		duplicate = key >> (PLACE_BITS4 + 1);
		error = walk_prefix(walk, key >> 32, 32, duplicate & ((1 << LENGTH_BITS4) - 1),
				    key & 1);
	}
	return walk_end(walk, error);
}

static int finish6(const struct longest *longest, struct walk *walk)
{
	const struct longest6 *before = NULL;
	int error = 0;

	walk_begin(walk, 6);
	for (size_t i = 0; i < longest->count6 && !error; i++) {
		const struct longest6 *key = &longest->keys6[i];

		if (before && before->hi == key->hi && before->lo == key->lo &&
		    before->order >> 32 == key->order >> 32)
			continue;
		before = key;
		error = walk_prefix(walk, (u128)key->hi << 64 | key->lo, 128, key->order >> 32,
				    key->order & 1);
	}
	return walk_end(walk, error);
}

int longest_finish(struct longest *longest,
		   int (*emit)(void *context, const struct gate25_source *first,
			       const struct gate25_source *last),
		   void *context)
{
	struct walk walk = { .emit = emit, .context = context };
	int error;

	if (longest->count4)
		qsort(longest->keys4, longest->count4, sizeof(*longest->keys4), compare4);
	if (longest->count6)
		qsort(longest->keys6, longest->count6, sizeof(*longest->keys6), compare6);
	error = finish4(longest, &walk);
	if (!error)
		error = finish6(longest, &walk);
	longest_release(longest);
	return error;
}

void longest_release(struct longest *longest)
{
	free(longest->keys4);
	free(longest->keys6);
	memset(longest, 0, sizeof(*longest));
}
