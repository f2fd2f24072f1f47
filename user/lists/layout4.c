// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IPv4 sections of the table.
 *
 * In: segments of the whole address space. Out: the first level, blocks, leaves and buckets of
 * hosts.
 *
 * For each /16, and then for each /24 in it, one of two shapes is taken: the class that most of it
 * has, with the addresses that differ as hosts; or the next level below. That is the smaller one for
 * a /24. For a /16 it is the hosts unless they are much larger: which /16s have a block, no
 * processor can guess, and hosts are asked for anyway.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/layout.h"

#define FIRST_ENTRIES 65536
#define BLOCK_BYTES   (TABLE_BLOCK_ENTRIES * sizeof(__u32))
#define LEAF_BYTES    (TABLE_LEAF_ENTRIES * sizeof(__u16))
#define HOST_BYTES    6 /* of a line of hosts, at its usual load; fewer where there are many */
#define LOAD_USUAL    100
#define BLOCK_WORTH   4 /* so many times its bytes in hosts, before a block is taken */
#define CLASSES	      65536

struct planning {
	struct layout4 *plan;
	const struct segment4 *segments;
	size_t count;
	size_t host_bytes;
	__u32 *covered; /* by class: addresses of the part at hand; all 0 between */
};

/* A part of the address space, and the segments that lie in it. */
struct part {
	__u32 first, last;
	size_t from, to; /* segments, both inclusive */
};

static __u32 segment_last(const struct planning *planning, size_t index)
{
	return index + 1 < planning->count ? planning->segments[index + 1].first - 1 : 0xffffffff;
}

static __u32 max4(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

static __u32 min4(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

/* The addresses of a segment that lie in a part: the first of them, and how many. */
static __u32 overlap(const struct planning *planning, const struct part *part, size_t index,
		     __u32 *first)
{
	*first = max4(planning->segments[index].first, part->first);
	return min4(segment_last(planning, index), part->last) - *first + 1;
}

/* The class of most of a part's addresses; returns how many have another one. */
static __u32 part_judge(struct planning *planning, const struct part *part, __u16 *class)
{
	__u32 most = 0, first, *covered;

	for (size_t i = part->from; i <= part->to; i++) {
		covered = &planning->covered[planning->segments[i].class];
		*covered += overlap(planning, part, i, &first);
		if (*covered > most) {
			most = *covered;
			*class = planning->segments[i].class;
		}
	}
	for (size_t i = part->from; i <= part->to; i++)
		planning->covered[planning->segments[i].class] = 0;
	return part->last - part->first + 1 - most;
}

/* The part [first, last], whose first segment is not before `from`. */
static struct part part_find(const struct planning *planning, __u32 first, __u32 last, size_t from)
{
	struct part part = { .first = first, .last = last };

	while (segment_last(planning, from) < first)
		from++;
	part.from = part.to = from;
	while (segment_last(planning, part.to) < last)
		part.to++;
	return part;
}

static struct part part_below(const struct planning *planning, const struct part *part,
			      unsigned int index, size_t from)
{
	__u32 first = part->first + index * TABLE_LEAF_ENTRIES;

	return part_find(planning, first, first + TABLE_LEAF_ENTRIES - 1, from);
}

/* Adds what differs from `class` as hosts. */
static int hosts_add(struct planning *planning, const struct part *part, __u16 class)
{
	struct hosts4 *hosts = &planning->plan->hosts;
	__u32 first, count;

	for (size_t i = part->from; i <= part->to; i++) {
		if (planning->segments[i].class == class)
			continue;
		count = overlap(planning, part, i, &first);
		for (__u32 j = 0; j < count; j++) {
			if (array_grow(&hosts->hosts, &hosts->room, hosts->count,
				       sizeof(*hosts->hosts)))
				return -ENOMEM;
			hosts->hosts[hosts->count++] = (struct host4){
				.address = first + j,
				.class = planning->segments[i].class,
			};
		}
	}
	return 0;
}

static int leaf_add(struct planning *planning, const struct part *part, __u32 *word)
{
	struct layout4 *plan = planning->plan;
	__u32 first, count;
	__u16 *leaf;

	if (array_grow(&plan->leaves, &plan->leaves_room, plan->leaves_count, LEAF_BYTES))
		return -ENOMEM;
	leaf = plan->leaves + plan->leaves_count * TABLE_LEAF_ENTRIES;
	*word = TABLE_DEEPER | plan->leaves_count++;
	for (size_t i = part->from; i <= part->to; i++) {
		count = overlap(planning, part, i, &first);
		for (__u32 j = 0; j < count; j++)
			leaf[(first + j) & (TABLE_LEAF_ENTRIES - 1)] = planning->segments[i].class;
	}
	return 0;
}

/* A /24 within a block. */
static int block_entry(struct planning *planning, const struct part *part, __u32 *word)
{
	__u16 class = planning->segments[part->from].class;
	__u32 differ = part->from == part->to ? 0 : part_judge(planning, part, &class);

	if (differ * planning->host_bytes > LEAF_BYTES)
		return leaf_add(planning, part, word);
	*word = class;
	return differ ? hosts_add(planning, part, class) : 0;
}

static int block_add(struct planning *planning, const struct part *part, __u32 *word)
{
	struct layout4 *plan = planning->plan;
	size_t block = plan->blocks_count;
	struct part below;
	size_t from = part->from;
	__u32 entry;
	int error;

	if (array_grow(&plan->blocks, &plan->blocks_room, block, BLOCK_BYTES))
		return -ENOMEM;
	plan->blocks_count++;
	*word = TABLE_DEEPER | block;
	for (unsigned int i = 0; i < TABLE_BLOCK_ENTRIES; i++) {
		below = part_below(planning, part, i, from);
		error = block_entry(planning, &below, &entry);
		if (error)
			return error;
		plan->blocks[block * TABLE_BLOCK_ENTRIES + i] = entry;
		from = below.to;
	}
	return 0;
}

/* What a block and all below it would take. */
static size_t block_bytes(struct planning *planning, const struct part *part)
{
	size_t bytes = BLOCK_BYTES, from = part->from, hosts;
	struct part below;
	__u16 class;

	for (unsigned int i = 0; i < TABLE_BLOCK_ENTRIES; i++) {
		below = part_below(planning, part, i, from);
		from = below.to;
		if (below.from == below.to)
			continue;
		hosts = part_judge(planning, &below, &class) * planning->host_bytes;
		bytes += hosts < LEAF_BYTES ? hosts : LEAF_BYTES;
	}
	return bytes;
}

/* A /16. */
static int first_entry(struct planning *planning, const struct part *part, __u32 *word)
{
	__u16 class = planning->segments[part->from].class;
	size_t differ;

	if (part->from == part->to) {
		*word = class;
		return 0;
	}
	differ = part_judge(planning, part, &class);
	if (differ && differ * planning->host_bytes >= BLOCK_BYTES &&
	    differ * planning->host_bytes > BLOCK_WORTH * block_bytes(planning, part))
		return block_add(planning, part, word);
	*word = class;
	return differ ? hosts_add(planning, part, class) : 0;
}

int layout4_plan(struct layout4 *plan, const struct segment4 *segments, size_t count,
		 unsigned int load)
{
	struct planning planning = { .plan = plan, .segments = segments, .count = count };
	struct part part;
	size_t from = 0;
	int error = -ENOMEM;

	memset(plan, 0, sizeof(*plan));
	planning.host_bytes = (size_t)HOST_BYTES * LOAD_USUAL / load; /* the emptier, the dearer */
	if (count == 1 && !segments[0].class)
		return 0;
	plan->first = calloc(FIRST_ENTRIES, sizeof(*plan->first));
	planning.covered = calloc(CLASSES, sizeof(*planning.covered));
	if (!plan->first || !planning.covered)
		goto out;
	error = 0;
	for (__u32 i = 0; i < FIRST_ENTRIES && !error; i++) {
		part = part_find(&planning, i << 16, i << 16 | 0xffff, from);
		from = part.to;
		error = first_entry(&planning, &part, &plan->first[i]);
	}
	if (!error)
		error = hosts4_size(&plan->hosts, load);
out:
	free(planning.covered);
	return error;
}

int layout4_place(struct layout4 *plan, __u32 seed)
{
	return hosts4_place(&plan->hosts, seed);
}

__u32 layout4_reserve(const struct layout4 *plan, struct gate25_table_layout *layout, __u32 line)
{
	if (!plan->first)
		return line;
	layout->has_v4 = 1;
	layout->v4_first = line;
	line += FIRST_ENTRIES * sizeof(__u32) / TABLE_LINE_BYTES;
	layout->v4_blocks = line;
	line += plan->blocks_count * BLOCK_BYTES / TABLE_LINE_BYTES;
	layout->v4_leaves = line;
	line += plan->leaves_count * LEAF_BYTES / TABLE_LINE_BYTES;
	layout->v4_hosts = line;
	layout->v4_hosts_buckets = plan->hosts.buckets;
	layout->v4_lane_bits = plan->hosts.lane_bits;
	return line + plan->hosts.lines_count;
}

void layout4_fill(const struct layout4 *plan, const struct gate25_table_layout *layout, void *lines)
{
	char *bytes = lines;

	if (!plan->first)
		return;
	memcpy(bytes + (size_t)layout->v4_first * TABLE_LINE_BYTES, plan->first,
	       FIRST_ENTRIES * sizeof(__u32));
	if (plan->blocks_count)
		memcpy(bytes + (size_t)layout->v4_blocks * TABLE_LINE_BYTES, plan->blocks,
		       plan->blocks_count * BLOCK_BYTES);
	if (plan->leaves_count)
		memcpy(bytes + (size_t)layout->v4_leaves * TABLE_LINE_BYTES, plan->leaves,
		       plan->leaves_count * LEAF_BYTES);
	if (plan->hosts.lines_count)
		memcpy(bytes + (size_t)layout->v4_hosts * TABLE_LINE_BYTES, plan->hosts.lines,
		       plan->hosts.lines_count * TABLE_LINE_BYTES);
}

void layout4_release(struct layout4 *plan)
{
	free(plan->first);
	free(plan->blocks);
	free(plan->leaves);
	hosts4_release(&plan->hosts);
	memset(plan, 0, sizeof(*plan));
}
