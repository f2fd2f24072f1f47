/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The compiled table, asked for one address: the same code in the kernel and in `gate25 test`.
 *
 * In: the lines of the table, its layout, a source. Out: its class, 0 for "on no list".
 *
 * The including file defines TABLE_LINE(table, index): the 64 bytes of a line (const void *), or
 * NULL beyond the end. In the kernel that is bpf_map_lookup_elem() on the mmapable array, and
 * bpf_helpers.h comes before this file.
 *
 * IPv4: a first level by the upper 16 bits, blocks by the next 8, leaves by the last 8; where
 * single hosts stand out from their surroundings, buckets of hosts. A host's entry overrides what
 * the levels say, also with class 0. IPv6: the first 16 bits choose a group, which holds the
 * class of that /16 and the lengths of the longer prefixes that occur under it; from the longest
 * to the shortest, the first one found decides, also with class 0. A filter says which of them are
 * worth a probe. One line of 64 bytes a probe; a bucket that overflows names another one.
 */
#ifndef GATE25_TABLE_H
#define GATE25_TABLE_H

#include "gate25.h"
#include "inline.h"

#define TABLE_LINE_BYTES 64

/* An entry of the IPv4 first level or of a block: the class of all but single hosts, or ... */
#define TABLE_DEEPER 0x80000000U /* the number of a block (a leaf) in the lower bits */
#define TABLE_NUMBER 0x7fffffffU

#define TABLE_BLOCK_ENTRIES 256 /* __u32, 16 lines */
#define TABLE_LEAF_ENTRIES  256 /* __u16, 8 lines */

/*
 * IPv4 hosts. An address is permuted first (table_permute4, one to one), which scatters it. The
 * upper bits of that choose a line; since all of a line's addresses then agree in them, a line holds
 * only the lower bits of each: 16, 21 or 32 (`v4_lane_bits`), in lanes that are compared several at
 * a time. The more lines there are, the fewer bits it takes.
 *
 * A line names up to four classes. What it has no room for is in a further line, of those behind
 * the ones that are chosen from; there addresses have all 32 bits, since several lines share it.
 * A free lane repeats another lane of its line. In a line without any, the class is TABLE_NONE.
 */
#define TABLE_LANE_WORDS 6
#define TABLE_LANE_SLOTS 24 /* lanes at the most: of 16 bits */
#define TABLE_WIDE	 32 /* bits of a lane of a further line */
#define TABLE_CLASSES4	 4
#define TABLE_NONE	 0xffff /* no class has this number: there are 65,535 */
#define TABLE_NEXT_SHIFT 48

struct table_hosts4 {
	__u64 lanes[TABLE_LANE_WORDS];
	__u16 classes[TABLE_CLASSES4];
	__u64 which; /* 2 bits a lane: which of the classes; above: number of the further line */
};
_Static_assert(sizeof(struct table_hosts4) == TABLE_LINE_BYTES, "IPv4 hosts");

/*
 * Buckets of IPv6. `next` is the number of a further bucket of the same section, 0 for none; these
 * lie behind the `*_buckets` ones that the hash chooses from, and the last of a chain is shared with
 * other chains. A free slot has length 0, which is never asked for.
 */
#define TABLE_PROBES 4 /* a chain is never longer, of either family */

#define TABLE_NETS6 5
struct table_nets6 { /* prefixes of up to /64 */
	__u64 hi[TABLE_NETS6];
	__u16 classes[TABLE_NETS6];
	__u8 lengths[TABLE_NETS6];
	__u8 pad;
	__u32 next;
	__u32 spare;
};
_Static_assert(sizeof(struct table_nets6) == TABLE_LINE_BYTES, "IPv6 nets");

#define TABLE_HOSTS6 3
struct table_hosts6 { /* longer ones */
	__u64 hi[TABLE_HOSTS6];
	__u64 lo[TABLE_HOSTS6];
	__u16 classes[TABLE_HOSTS6];
	__u8 lengths[TABLE_HOSTS6];
	__u8 pad[3];
	__u32 next;
};
_Static_assert(sizeof(struct table_hosts6) == TABLE_LINE_BYTES, "IPv6 hosts");

#define TABLE_LENGTHS6 112 /* /17 to /128 */
struct table_group6 {
	__u16 class; /* of what no longer prefix covers */
	__u8 count;  /* of lengths */
	__u8 pad;
	__u8 lengths[TABLE_LENGTHS6]; /* from the longest to the shortest */
	__u8 spare[12];
};
_Static_assert(sizeof(struct table_group6) == 2 * TABLE_LINE_BYTES, "IPv6 group");

/* 1 if no bit is set, else 0. */
static inline __u64 table_zero(__u64 bits)
{
	__u64 negated = -bits, zero;

	OPAQUE(negated);
	zero = 1 ^ ((bits | negated) >> 63);
	OPAQUE(zero);
	return zero;
}

/* The same for 32 bits, one step shorter. */
static inline __u64 table_zero32(__u32 bits)
{
	__u64 zero = (__u64)bits - 1;

	OPAQUE(zero);
	zero >>= 63;
	OPAQUE(zero);
	return zero;
}

static inline __u32 table_mix(__u64 value, __u64 length, __u32 seed)
{
	value ^= ((__u64)seed << 32) + length;
	value *= 0x9e3779b97f4a7c15ULL;
	value ^= value >> 32;
	value *= 0xd6e8feb86659fd93ULL;
	return value >> 32;
}

/* A hash of 32 bits -> a bucket, without a division and for any number of buckets. */
static inline __u32 table_scale(__u32 hash, __u32 buckets)
{
	return ((__u64)hash * buckets) >> 32;
}

/* One to one on 32 bits; the upper ones depend on all. */
static inline __u32 table_permute4(__u32 address, __u32 seed)
{
	address = (address ^ seed) * 0x9e3779b1U;
	address ^= address >> 15;
	return address * 0x85ebca77U;
}

static inline __u32 table_hash_net6(__u64 hi, __u32 length, __u32 seed)
{
	return table_mix(hi, length, seed);
}

static inline __u32 table_hash_host6(__u64 hi, __u64 lo, __u32 length, __u32 seed)
{
	return table_mix(hi + (lo ^ seed) * 0xbf58476d1ce4e5b9ULL, length, seed);
}

/* Entry `index` of a section of __u32. */
static inline __u32 table_word(void *table, __u32 section, __u32 index)
{
	const __u32 *words = TABLE_LINE(table, section + (index >> 4));

	return words ? words[index & 15] : 0;
}

/* Entry `index` of a section of __u16. */
static inline __u16 table_half(void *table, __u32 section, __u32 index)
{
	const __u16 *halves = TABLE_LINE(table, section + (index >> 5));

	return halves ? halves[index & 31] : 0;
}

/*
 * What buckets answer: found << 16 | class. OR, not a sum, so that a repeated entry does no harm.
 */
#define TABLE_FOUND 0x10000U

/* A 1 in the lowest bit of each lane. */
static inline __u64 table_lanes(__u32 bits)
{
	if (bits == 16)
		return 0x0001000100010001ULL;
	return bits == 21 ? 1ULL | 1ULL << 21 | 1ULL << 42 : 1ULL | 1ULL << 32;
}

static inline __u32 table_lanes_in_word(__u32 bits)
{
	if (bits == 16)
		return 4;
	return bits == 21 ? 3 : 2;
}

/*
 * The highest bit of each lane is set if that of `word` equals that of `key`; the other bits say
 * nothing. Exact in the lowest such lane (above it a borrow may pass), and so in whether there is one.
 */
static inline __u64 table_equal(__u64 word, __u64 key, __u64 ones)
{
	__u64 differs = word ^ key;

	return (differs - ones) & ~differs;
}

/* The class of the lane that equals `key`; there is one. */
static inline __u32 table_which4(const struct table_hosts4 *line, __u64 key, __u64 ones, __u32 bits)
{
	__u32 slot = 0;
	__u64 found = 0;

	if (!(line->which << (64 - TABLE_NEXT_SHIFT)))
		return line->classes[0];
	for (int i = 0; i < TABLE_LANE_WORDS; i++) {
		found = table_equal(line->lanes[i], key, ones) & ones << (bits - 1);
		if (found)
			break;
		slot += table_lanes_in_word(bits);
	}
	found &= -found;
#pragma GCC unroll 3
	for (int i = 0; i < 3; i++) {
		found >>= bits;
		slot += 1 - table_zero(found);
	}
	return line->classes[line->which >> (2 * slot) & 3];
}

/* found << 16 | class; not found: 0. */
ALWAYS_INLINE __u32 table_match4(const struct table_hosts4 *line, __u32 permuted, __u32 bits)
{
	__u64 ones = table_lanes(bits), any = 0;
	__u64 key = (permuted & (~0U >> (32 - bits))) * ones;
	__u32 class;

#pragma GCC unroll 6
	for (int i = 0; i < TABLE_LANE_WORDS; i++)
		any |= table_equal(line->lanes[i], key, ones);
	if (!(any & ones << (bits - 1)))
		return 0;
	class = table_which4(line, key, ones, bits);
	return class == TABLE_NONE ? 0 : TABLE_FOUND | class;
}

static inline __u32 table_find4(void *table, const volatile struct gate25_table_layout *layout,
				__u32 address)
{
	__u32 permuted = table_permute4(address, layout->seed), answer;
	__u32 lines = layout->v4_hosts_buckets, further = layout->v4_hosts + lines - 1, next;
	const struct table_hosts4 *line =
		TABLE_LINE(table, layout->v4_hosts + table_scale(permuted, lines));

	if (!line)
		return 0;
	answer = table_match4(line, permuted, layout->v4_lane_bits);
	for (int i = 1; i < TABLE_PROBES && !answer; i++) {
		next = line->which >> TABLE_NEXT_SHIFT;
		line = next ? TABLE_LINE(table, further + next) : (void *)0;
		if (!line)
			return 0;
		answer = table_match4(line, permuted, TABLE_WIDE);
	}
	return answer;
}

/*
 * Hosts are asked for whatever the levels say: their line is on its way meanwhile, and a branch on
 * what lies around an address would be foretold wrongly too often.
 */
static inline __u16 table_lookup4(void *table, const volatile struct gate25_table_layout *layout,
				  __u32 address)
{
	__u32 host = layout->v4_hosts_buckets ? table_find4(table, layout, address) : 0, entry;

	if (host)
		return host;
	entry = table_word(table, layout->v4_first, address >> 16);
	if (entry & TABLE_DEEPER) {
		entry = table_word(table, layout->v4_blocks,
				   (entry & TABLE_NUMBER) * TABLE_BLOCK_ENTRIES +
					   ((address >> 8) & 255));
		if (entry & TABLE_DEEPER)
			return table_half(table, layout->v4_leaves,
					  (entry & TABLE_NUMBER) * TABLE_LEAF_ENTRIES +
						  (address & 255));
	}
	return entry;
}

ALWAYS_INLINE __u32 table_match_nets6(const struct table_nets6 *bucket, __u64 hi, __u32 length)
{
	__u64 answer = 0;

#pragma GCC unroll 5
	for (int i = 0; i < TABLE_NETS6; i++)
		answer |= table_zero((bucket->hi[i] ^ hi) | (bucket->lengths[i] ^ length)) *
			  (TABLE_FOUND | bucket->classes[i]);
	return answer;
}

static inline __u32 table_find_net6(void *table, const volatile struct gate25_table_layout *layout,
				    __u32 hash, __u64 hi, __u32 length)
{
	__u32 section = layout->v6_nets, answer = 0;
	__u32 number = table_scale(hash, layout->v6_nets_buckets);

#pragma GCC unroll 4
	for (int i = 0; i < TABLE_PROBES; i++) {
		const struct table_nets6 *bucket = TABLE_LINE(table, section + number);

		if (!bucket)
			return 0;
		answer = table_match_nets6(bucket, hi, length);
		number = bucket->next;
		if (answer || !number)
			break;
	}
	return answer;
}

ALWAYS_INLINE __u32 table_match_hosts6(const struct table_hosts6 *bucket, __u64 hi, __u64 lo,
				       __u32 length)
{
	__u64 answer = 0;

#pragma GCC unroll 3
	for (int i = 0; i < TABLE_HOSTS6; i++)
		answer |= table_zero((bucket->hi[i] ^ hi) | (bucket->lo[i] ^ lo) |
				     (bucket->lengths[i] ^ length)) *
			  (TABLE_FOUND | bucket->classes[i]);
	return answer;
}

static inline __u32 table_find_host6(void *table, const volatile struct gate25_table_layout *layout,
				     __u32 hash, __u64 hi, __u64 lo, __u32 length)
{
	__u32 section = layout->v6_hosts, answer = 0;
	__u32 number = table_scale(hash, layout->v6_hosts_buckets);

#pragma GCC unroll 4
	for (int i = 0; i < TABLE_PROBES; i++) {
		const struct table_hosts6 *bucket = TABLE_LINE(table, section + number);

		if (!bucket)
			return 0;
		answer = table_match_hosts6(bucket, hi, lo, length);
		number = bucket->next;
		if (answer || !number)
			break;
	}
	return answer;
}

/* The way through the lengths of a group. */
struct table_walk6 {
	void *table;
	const volatile struct gate25_table_layout *layout;
	__u64 hi, lo;
	__u32 group;  /* its first line */
	__u32 answer; /* as of the buckets */
};

/*
 * 1 if some prefix has this hash, as the filter knows them. It is small enough for a near cache, and
 * the look-ups of all lengths in it can be under way at once: what has no prefix costs no line.
 */
static inline __u32 table_filter6(void *table, const volatile struct gate25_table_layout *layout,
				  __u32 hash)
{
	return table_word(table, layout->v6_filter, hash & layout->v6_filter_mask) >> (hash >> 27) &
	       1;
}

/* One length; returns 1 to stop. */
static long table_step6(__u32 index, struct table_walk6 *walk)
{
	__u32 offset = __builtin_offsetof(struct table_group6, lengths) + index;
	const __u8 *bytes = TABLE_LINE(walk->table, walk->group + (offset / TABLE_LINE_BYTES));
	__u32 length, shift, hash;
	__u64 hi = walk->hi, lo = walk->lo;

	if (!bytes)
		return 1;
	length = bytes[offset & (TABLE_LINE_BYTES - 1)];
	shift = -length & 63; /* the same for lengths of 1 to 64 and of 65 to 128 */
	if (length <= 64) {
		hi = hi >> shift << shift;
		hash = table_hash_net6(hi, length, walk->layout->seed);
		if (table_filter6(walk->table, walk->layout, hash))
			walk->answer = table_find_net6(walk->table, walk->layout, hash, hi, length);
	} else {
		lo = lo >> shift << shift;
		hash = table_hash_host6(hi, lo, length, walk->layout->seed);
		if (table_filter6(walk->table, walk->layout, hash))
			walk->answer =
				table_find_host6(walk->table, walk->layout, hash, hi, lo, length);
	}
	return walk->answer != 0;
}

#ifdef __bpf__
/* As a callback the step is verified once; as an unrolled loop 112 times. */
#define TABLE_LOOP(count, walk) bpf_loop(count, table_step6, walk, 0)
#else
static inline void table_loop(__u32 count, struct table_walk6 *walk)
{
	for (__u32 i = 0; i < count; i++)
		if (table_step6(i, walk))
			return;
}
#define TABLE_LOOP(count, walk) table_loop(count, walk)
#endif

static inline __u16 table_lookup6(void *table, const volatile struct gate25_table_layout *layout,
				  __u64 hi, __u64 lo)
{
	__u32 group = layout->v6_groups + 2 * table_half(table, layout->v6_first, hi >> 48);
	const struct table_group6 *head = TABLE_LINE(table, group); /* of which the first line */
	struct table_walk6 walk = {
		.table = table,
		.layout = layout,
		.hi = hi,
		.lo = lo,
		.group = group,
	};
	__u32 count;

	if (!head)
		return 0;
	count = head->count;
	if (!count)
		return head->class;
	if (count <= TABLE_LENGTHS6)
		TABLE_LOOP(count, &walk);
	return walk.answer ? walk.answer : head->class;
}

static inline __u16 table_lookup(void *table, const volatile struct gate25_table_layout *layout,
				 const struct gate25_source *source)
{
	if (source->family == 4)
		return layout->has_v4 ? table_lookup4(table, layout, source->lo) : 0;
	return layout->has_v6 ? table_lookup6(table, layout, source->hi, source->lo) : 0;
}

#endif
