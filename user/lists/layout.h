/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From disjoint ranges with classes to the lines of the table: what compile.c, layout4.c,
 * layout6.c and buckets.c share. bpf/table.h says what the lines hold.
 */
#ifndef GATE25_LISTS_LAYOUT_H
#define GATE25_LISTS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/lists/ranges.h"

/* The lines of a table in memory, so that the look-up knows where they end. */
struct table_lines {
	const char *bytes;
	__u32 count;
};

static inline const void *table_line(const struct table_lines *lines, __u32 index)
{
	return index < lines->count ? lines->bytes + (size_t)index * 64 : NULL;
}

#define TABLE_LINE(table, index) table_line(table, index)
#include "bpf/table.h"

/*
 * A segment ends where the next one begins; the first begins at 0, the last ends with the address
 * space.
 */
struct segment4 {
	__u32 first;
	__u16 class;
};

struct segment6 {
	u128 first;
	__u16 class;
};

struct segments {
	struct segment4 *segments4;
	struct segment6 *segments6;
	size_t count4, room4;
	size_t count6, room6;
};

/* ---- buckets.c */

/* Where a bucket's entries lie that it has no room for. */
struct bucket_chain {
	__u32 count;	     /* entries; while they are placed, those placed so far */
	__u32 extra, extras; /* buckets of its own behind it: the first, how many */
	__u32 tail, offset;  /* the last one, and its first slot there */
};

/*
 * Buckets of one kind: `slots` entries each; `next_at` is where in a line the next bucket is
 * named.
 */
struct bucket_section {
	__u32 slots, next_at;
	__u32 buckets;		     /* that the hash chooses from */
	__u32 overflows;	     /* further ones */
	struct bucket_chain *chains; /* of each that the hash chooses */
	__u32 *places;		     /* of each entry: bucket * slots + slot */
	size_t count;		     /* of entries */
};

/*
 * Sets `buckets` for `count` entries at `load` percent of the slots; 0 for none. -ENOMEM, -E2BIG.
 */
int buckets_size(struct bucket_section *section, size_t count, unsigned int load);

/*
 * Turns the buckets that the hash chose, in `places`, into places. -EAGAIN: a chain would be too
 * long, try another seed. -ENOMEM.
 */
int buckets_assign(struct bucket_section *section);

/* Writes the chains' links into the lines of the section. */
void buckets_link(const struct bucket_section *section, void *lines);
void buckets_release(struct bucket_section *section);

static inline __u32 buckets_lines(const struct bucket_section *section)
{
	return section->buckets + section->overflows;
}

/* ---- hosts4.c */

struct host4 {
	__u32 address; /* permuted, once hosts4_place() has seen it */
	__u16 class;
};

/* The lines of IPv4 hosts, as struct table_hosts4 has them. */
struct hosts4 {
	struct host4 *hosts;
	size_t count, room;
	__u32 lane_bits;
	__u32 buckets;		    /* lines that the permuted address chooses from */
	struct table_hosts4 *lines; /* these, and the further ones */
	size_t lines_count, lines_room;
};

/*
 * How many lines, and how wide a lane; `load` is in percent of the usual one. -E2BIG.
 */
int hosts4_size(struct hosts4 *hosts, unsigned int load);
/*
 * Makes the lines. -EAGAIN: a chain of lines would be too long, try another seed. -ENOSPC: there
 * would be too many further ones, take a lower load. -ENOMEM.
 */
int hosts4_place(struct hosts4 *hosts, __u32 seed);
void hosts4_release(struct hosts4 *hosts);

/* ---- layout4.c */

struct layout4 {
	__u32 *first;  /* 65,536 words; NULL: nothing is listed */
	__u32 *blocks; /* TABLE_BLOCK_ENTRIES words each */
	__u16 *leaves; /* TABLE_LEAF_ENTRIES halves each */
	size_t blocks_count, blocks_room;
	size_t leaves_count, leaves_room;
	struct hosts4 hosts;
};

/*
 * What the sections will hold; `load` is in percent of the usual load of buckets. -ENOMEM, -E2BIG.
 * Released by layout4_release(), also after a failure.
 */
int layout4_plan(struct layout4 *plan, const struct segment4 *segments, size_t count,
		 unsigned int load);
/* Hosts into lines; errors as of hosts4_place(). */
int layout4_place(struct layout4 *plan, __u32 seed);
/* Takes its lines from `lines` on, and says where in the layout. Returns the next free line. */
__u32 layout4_reserve(const struct layout4 *plan, struct gate25_table_layout *layout, __u32 line);
void layout4_fill(const struct layout4 *plan, const struct gate25_table_layout *layout,
		  void *lines);
void layout4_release(struct layout4 *plan);

/* ---- layout6.c */

/* A prefix of the table: of the longest one that covers an address, the class holds. */
struct entry6 {
	__u64 hi, lo;
	__u16 class;
	__u8 length;
};

struct layout6 {
	__u16 *first; /* 65,536 halves; NULL: nothing is listed */
	struct table_group6 *groups;
	__u32 *filter;
	__u32 filter_words;	     /* a power of two */
	struct entry6 *nets, *hosts; /* longer than /16: up to /64, and longer */
	size_t groups_count, groups_room;
	size_t nets_count, nets_room;
	size_t hosts_count, hosts_room;
	struct bucket_section net_buckets, host_buckets;
};

int layout6_plan(struct layout6 *plan, const struct segment6 *segments, size_t count,
		 unsigned int load);
int layout6_place(struct layout6 *plan, __u32 seed);
__u32 layout6_reserve(const struct layout6 *plan, struct gate25_table_layout *layout, __u32 line);
void layout6_fill(const struct layout6 *plan, const struct gate25_table_layout *layout,
		  void *lines);
void layout6_release(struct layout6 *plan);

/* ---- prefixes6.c */

struct entries6 {
	struct entry6 *entries;
	size_t count, room;
};

/*
 * Segments -> few prefixes that say the same by the longest match, shorter ones before the longer
 * ones that they cover; what no prefix covers has class 0. -ENOMEM.
 */
int prefixes6_make(const struct segment6 *segments, size_t count, struct entries6 *out);

#endif
