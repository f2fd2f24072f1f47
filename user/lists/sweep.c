// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep: from the sorted ranges of each list to segments, each with the class of the lists that
 * cover it.
 *
 * In: images of up to 64 lists. Out: segments of the whole address space, neighbours with different
 * classes. A heap holds, for each list, the address at which it begins or ends to cover.
 */
#include "user/lists/sweep.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where one list is. */
struct cursor {
	u128 border; /* where it changes next */
	size_t at;   /* range */
	unsigned int list;
	bool inside;
};

struct sweeping {
	const struct compile_input *input;
	struct classes *classes;
	struct segments *out;
	__u64 lists; /* that cover the address at hand */
	struct cursor heap[GATE25_LISTS];
	size_t heap_count;
	/* the set that was asked for last, and its class */
	__u64 last_lists;
	__u16 last_class;
};

/* The next border of a list; false if there is none any more. */
ALWAYS_INLINE bool cursor_advance(const struct sweeping *sweeping, unsigned int family,
				  struct cursor *cursor)
{
	const struct list_image *image = sweeping->input->lists[cursor->list].image;
	const u128 end = family == 4 ? 0xffffffff : ~(u128)0;
	u128 last;

	if (!cursor->inside) {
		if (cursor->at == (family == 4 ? image->count4 : image->count6))
			return false;
		cursor->border = family == 4 ? image->ranges4[cursor->at].first :
					       address6_value(&image->ranges6[cursor->at].first);
		return true;
	}
	last = family == 4 ? image->ranges4[cursor->at].last :
			     address6_value(&image->ranges6[cursor->at].last);
	cursor->border = last + 1;
	return last != end;
}

/* The cursor at the top has moved on: puts it where it belongs. */
static void heap_sink(struct sweeping *sweeping)
{
	struct cursor *heap = sweeping->heap, moved = heap[0];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < sweeping->heap_count) {
		if (child + 1 < sweeping->heap_count && heap[child + 1].border < heap[child].border)
			child++;
		if (heap[child].border >= moved.border)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static void heap_add(struct sweeping *sweeping, const struct cursor *cursor)
{
	struct cursor *heap = sweeping->heap;
	size_t at = sweeping->heap_count++;

	for (; at && heap[(at - 1) / 2].border > cursor->border; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = *cursor;
}

/* Takes the border at the top. */
ALWAYS_INLINE void heap_step(struct sweeping *sweeping, unsigned int family)
{
	struct cursor *top = &sweeping->heap[0];

	sweeping->lists ^= 1ULL << top->list;
	if (top->inside)
		top->at++;
	top->inside = !top->inside;
	if (!cursor_advance(sweeping, family, top))
		*top = sweeping->heap[--sweeping->heap_count];
	if (sweeping->heap_count > 1)
		heap_sink(sweeping);
}

static int segment4_add(struct segments *out, __u32 first, __u16 class)
{
	if (out->count4 && out->segments4[out->count4 - 1].class == class)
		return 0;
	if (array_grow(&out->segments4, &out->room4, out->count4, sizeof(*out->segments4)))
		return -ENOMEM;
	out->segments4[out->count4++] = (struct segment4){ .first = first, .class = class };
	return 0;
}

static int segment6_add(struct segments *out, u128 first, __u16 class)
{
	if (out->count6 && out->segments6[out->count6 - 1].class == class)
		return 0;
	if (array_grow(&out->segments6, &out->room6, out->count6, sizeof(*out->segments6)))
		return -ENOMEM;
	out->segments6[out->count6++] = (struct segment6){ .first = first, .class = class };
	return 0;
}

/* From `first` on, the lists at hand hold. */
ALWAYS_INLINE int segment_add(struct sweeping *sweeping, unsigned int family, u128 first)
{
	__u16 class = 0;
	int error = 0;

	if (sweeping->lists && sweeping->lists == sweeping->last_lists) {
		class = sweeping->last_class;
	} else if (sweeping->lists) {
		error = classes_find(sweeping->classes, sweeping->input, sweeping->lists, &class);
		sweeping->last_lists = sweeping->lists;
		sweeping->last_class = class;
	}
	if (error)
		return error;
	return family == 4 ? segment4_add(sweeping->out, first, class) :
			     segment6_add(sweeping->out, first, class);
}

/* Made twice by the compiler, so that nothing asks for the family at each border. */
ALWAYS_INLINE int sweep_family(const struct compile_input *input, struct classes *classes,
			       struct segments *out, unsigned int family)
{
	struct sweeping sweeping = { .input = input, .classes = classes, .out = out };
	u128 at = 0;
	int error = 0;

	for (size_t i = 0; i < input->count; i++) {
		struct cursor cursor = { .list = i };

		if (input->lists[i].image && cursor_advance(&sweeping, family, &cursor))
			heap_add(&sweeping, &cursor);
	}
	while (sweeping.heap_count && !error) {
		if (sweeping.heap[0].border > at) {
			error = segment_add(&sweeping, family, at);
			at = sweeping.heap[0].border;
		}
		heap_step(&sweeping, family);
	}
	return error ? error : segment_add(&sweeping, family, at);
}

int sweep(const struct compile_input *input, struct classes *classes, struct segments *out)
{
	int error;

	memset(out, 0, sizeof(*out));
	error = sweep_family(input, classes, out, 4);
	return error ? error : sweep_family(input, classes, out, 6);
}

void segments_release(struct segments *segments)
{
	free(segments->segments4);
	free(segments->segments6);
	memset(segments, 0, sizeof(*segments));
}
