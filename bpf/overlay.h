/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The overlay, asked for a source: single entries, each with an end. In: a visit. Out: what was found,
 * ranked as verdict.h wants it.
 */
#ifndef GATE25_OVERLAY_H
#define GATE25_OVERLAY_H

#include "verdict.h"
#include "visit.h"

struct overlay_walk {
	struct gate25_source source;
	struct overlay_findings found;
	__u64 bits; /* lengths in use that are still to be asked */
	__u64 now_ns;
	__u32 base; /* the length that bit 0 stands for */
	__u8 service_bit;
	__u8 pad[3];
};

static __always_inline __u64 mask_upper(__u32 length)
{
	return length ? ~0ULL << ((64 - length) & 63) : 0;
}

/*
 * The number of the highest bit set. Arithmetic, since each branch would double what the verifier
 * follows; by hand, since the compiler's own expansion of the builtin does not end for BPF.
 */
static __always_inline __u32 highest_bit(__u64 bits)
{
#pragma GCC unroll 6
	for (int shift = 1; shift < 64; shift *= 2)
		bits |= bits >> shift;
	bits -= bits >> 1 & 0x5555555555555555ULL;
	bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return ((bits * 0x0101010101010101ULL >> 56) - 1) & 63;
}

static long overlay_step(__u32 index __attribute__((unused)), void *context)
{
	struct overlay_walk *walk = context;
	struct gate25_overlay_key key = { .family = walk->source.family };
	struct gate25_overlay_entry *entry;
	__u32 top, length, bit;

	if (!walk->bits)
		return 1;
	top = highest_bit(walk->bits);
	walk->bits &= ~(1ULL << top);
	length = walk->base + top;
	key.length = length;
	if (key.family == 4) {
		key.lo = walk->source.lo & mask_upper(length + 32);
	} else {
		key.hi = walk->source.hi & mask_upper(length < 64 ? length : 64);
		key.lo = walk->source.lo & mask_upper(length > 64 ? length - 64 : 0);
	}
	bit = overlay_bit(&key);
	if (!(filter.words[bit >> 6] >> (bit & 63) & 1))
		return 0;
	entry = bpf_map_lookup_elem(&overlay, &key);
	if (entry)
		overlay_rank(&walk->found, entry, length, walk->service_bit, walk->now_ns);
	return 0;
}

/* What the overlay says: all lengths in use are probed, the findings ranked. 1: there are some. */
__noinline int overlay_find(const struct visit *visit, struct overlay_findings *found)
{
	struct overlay_walk walk = {};

	if (!visit || !found)
		return 0;
	walk.source = visit->source;
	walk.now_ns = visit->now_ns;
	walk.service_bit = 1 << (visit->service & 7);
	if (walk.source.family == 4) {
		walk.bits = control.overlay_lengths4;
		bpf_loop(33, overlay_step, &walk, 0);
	} else {
		for (int word = 2; word >= 0; word--) { /* from the longest to the shortest */
			walk.bits = control.overlay_lengths6[word];
			walk.base = word * 64;
			if (walk.bits)
				bpf_loop(64, overlay_step, &walk, 0);
		}
	}
	*found = walk.found;
	return found->first | found->block | found->ban;
}

static __always_inline int overlay_in_use(__u8 family)
{
	if (family == 4)
		return control.overlay_lengths4 != 0;
	return (control.overlay_lengths6[0] | control.overlay_lengths6[1] |
		control.overlay_lengths6[2]) != 0;
}

#endif
