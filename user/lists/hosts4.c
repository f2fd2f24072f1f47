// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv4 hosts into lines of lanes.
 *
 * In: hosts, each once. Out: the lines that table_find4() reads. What a line has no room for, be it
 * for lanes or for classes, goes to a further line; a further line is shared, so that overflow
 * costs hardly any memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/layout.h"

#define USUAL_LOAD   60 /* percent of the lanes: one line in a hundred overflows */
#define FURTHER_MOST 0xffff
#define BUCKETS_MOST (1U << 28)

static __u32 buckets_for(size_t count, __u32 bits, unsigned int load)
{
	__u64 lanes = TABLE_LANE_WORDS * table_lanes_in_word(bits);
	__u64 buckets = (__u64)count * 100 * 100 / (lanes * USUAL_LOAD * load) + 1;
	__u64 least =
		1ULL << (TABLE_WIDE - bits); /* or a line's addresses differ above the lanes */

	buckets = buckets > least ? buckets : least;
	return buckets < BUCKETS_MOST ? buckets : BUCKETS_MOST;
}

int hosts4_size(struct hosts4 *hosts, unsigned int load)
{
	static const __u32 widths[] = { 16, 21, TABLE_WIDE };

	hosts->buckets = hosts->lane_bits = 0;
	if (!hosts->count)
		return 0;
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		__u32 buckets = buckets_for(hosts->count, widths[i], load);

		if (hosts->buckets && hosts->buckets <= buckets)
			continue;
		hosts->buckets = buckets;
		hosts->lane_bits = widths[i];
	}
	return hosts->buckets < BUCKETS_MOST ? 0 : -E2BIG;
}

/* A line that is being filled. */
struct filling {
	__u32 line;    /* its number */
	__u32 bits;    /* of a lane */
	__u32 lanes;   /* in use */
	__u32 classes; /* in use */
};

/* The number of the class in the line; `classes` if the line does not name it yet. */
static __u32 class_slot(const struct table_hosts4 *line, const struct filling *filling, __u16 class)
{
	__u32 slot = 0;

	while (slot < filling->classes && line->classes[slot] != class)
		slot++;
	return slot;
}

static __u32 lanes_most(const struct filling *filling)
{
	return TABLE_LANE_WORDS * table_lanes_in_word(filling->bits);
}

static void lane_write(struct table_hosts4 *line, __u32 bits, __u32 lane, __u32 permuted)
{
	__u32 in_word = table_lanes_in_word(bits), shift = lane % in_word * bits;
	__u64 mask = (__u64)(~0U >> (TABLE_WIDE - bits)) << shift;
	__u64 *word = &line->lanes[lane / in_word];

	*word = (*word & ~mask) | ((__u64)permuted << shift & mask);
}

/* Puts a host into the line, if there is room. */
static bool line_put(struct hosts4 *hosts, struct filling *filling, const struct host4 *host)
{
	struct table_hosts4 *line = &hosts->lines[filling->line];
	__u32 slot = class_slot(line, filling, host->class);

	if (filling->lanes == lanes_most(filling) || slot == TABLE_CLASSES4)
		return false;
	if (slot == filling->classes)
		line->classes[filling->classes++] = host->class;
	line->which |= (__u64)slot << (2 * filling->lanes);
	lane_write(line, filling->bits, filling->lanes++, host->address);
	return true;
}

/* Free lanes repeat the first one. */
static void line_close(struct hosts4 *hosts, struct filling *filling)
{
	struct table_hosts4 *line = &hosts->lines[filling->line];
	__u32 first = line->lanes[0] & (~0U >> (TABLE_WIDE - filling->bits));

	if (!filling->lanes)
		line->classes[0] = TABLE_NONE;
	for (__u32 i = filling->lanes; i < lanes_most(filling); i++)
		lane_write(line, filling->bits, i, first);
}

static int line_add(struct hosts4 *hosts, struct filling *filling)
{
	if (hosts->lines_count - hosts->buckets == FURTHER_MOST)
		return -ENOSPC;
	if (array_grow(&hosts->lines, &hosts->lines_room, hosts->lines_count,
		       sizeof(*hosts->lines)))
		return -ENOMEM;
	*filling = (struct filling){ .line = hosts->lines_count++, .bits = TABLE_WIDE };
	memset(&hosts->lines[filling->line], 0, sizeof(*hosts->lines));
	return 0;
}

static void line_link(struct hosts4 *hosts, __u32 from, __u32 to)
{
	hosts->lines[from].which |= (__u64)(to - hosts->buckets + 1) << TABLE_NEXT_SHIFT;
}

/*
 * Further lines that are not full. They are several so that hosts find one that names their class
 * already: it is classes that a further line runs out of first.
 */
#define OPEN_LINES 16
struct sharing {
	struct filling lines[OPEN_LINES]; /* bits 0: none */
};

/* How many classes the line would have to name besides for all of these; -1: it has no room. */
static int line_cost(const struct hosts4 *hosts, const struct filling *filling,
		     const struct host4 *rest, size_t count)
{
	struct table_hosts4 line;
	struct filling with = *filling;

	if (!filling->bits || filling->lanes + count > lanes_most(filling))
		return -1;
	memcpy(line.classes, hosts->lines[filling->line].classes, sizeof(line.classes));
	for (size_t i = 0; i < count; i++) {
		__u32 slot = class_slot(&line, &with, rest[i].class);

		if (slot == TABLE_CLASSES4)
			return -1;
		if (slot == with.classes)
			line.classes[with.classes++] = rest[i].class;
	}
	return with.classes - filling->classes;
}

/* The open line that suits them best; NULL if none has room. */
static struct filling *sharing_find(const struct hosts4 *hosts, struct sharing *sharing,
				    const struct host4 *rest, size_t count)
{
	int least = TABLE_CLASSES4 + 1;
	struct filling *best = NULL;

	for (int i = 0; i < OPEN_LINES && least; i++) {
		int cost = line_cost(hosts, &sharing->lines[i], rest, count);

		if (cost < 0 || cost >= least)
			continue;
		least = cost;
		best = &sharing->lines[i];
	}
	return best;
}

/* A place for a new one; the fullest makes room for it. */
static struct filling *sharing_place(struct hosts4 *hosts, struct sharing *sharing)
{
	struct filling *fullest = &sharing->lines[0];

	for (int i = 0; i < OPEN_LINES; i++) {
		if (!sharing->lines[i].bits)
			return &sharing->lines[i];
		if (sharing->lines[i].lanes > fullest->lanes)
			fullest = &sharing->lines[i];
	}
	line_close(hosts, fullest);
	fullest->bits = 0;
	return fullest;
}

static void sharing_close(struct hosts4 *hosts, struct sharing *sharing)
{
	for (int i = 0; i < OPEN_LINES; i++) {
		if (sharing->lines[i].bits)
			line_close(hosts, &sharing->lines[i]);
	}
}

/* What a line had no room for, into one line that is open, or into new ones. */
static int rest_place(struct hosts4 *hosts, __u32 line, struct sharing *sharing,
		      const struct host4 *rest, size_t count)
{
	struct filling *further = sharing_find(hosts, sharing, rest, count);
	int error, probes = 2;

	if (further)
		line_link(hosts, line, further->line);
	for (size_t i = 0; i < count; i++) {
		if (further && line_put(hosts, further, &rest[i]))
			continue;
		if (probes++ > TABLE_PROBES)
			return -EAGAIN;
		further = sharing_place(hosts, sharing);
		error = line_add(hosts, further);
		if (error)
			return error;
		line_link(hosts, line, further->line);
		line = further->line;
		line_put(hosts, further, &rest[i]);
	}
	return 0;
}

/* The hosts of one line, which lie side by side. */
static int bucket_place(struct hosts4 *hosts, __u32 bucket, struct sharing *sharing,
			struct host4 *members, size_t count)
{
	struct filling filling = { .line = bucket, .bits = hosts->lane_bits };
	size_t rest = 0;

	for (size_t i = 0; i < count; i++) {
		if (!line_put(hosts, &filling, &members[i]))
			members[rest++] = members[i];
	}
	line_close(hosts, &filling);
	return rest ? rest_place(hosts, bucket, sharing, members, rest) : 0;
}

/* Sorts the hosts by line; starts[i] is where those of line i begin. */
static void hosts_sort(const struct hosts4 *hosts, __u32 seed, __u32 *starts, struct host4 *sorted)
{
	__u32 at = 0, count;

	for (size_t i = 0; i < hosts->count; i++) {
		__u32 permuted = table_permute4(hosts->hosts[i].address, seed);

		starts[table_scale(permuted, hosts->buckets)]++;
	}
	for (__u32 i = 0; i <= hosts->buckets; i++) {
		count = starts[i];
		starts[i] = at;
		at += count;
	}
	for (size_t i = 0; i < hosts->count; i++) {
		__u32 permuted = table_permute4(hosts->hosts[i].address, seed);
		__u32 bucket = table_scale(permuted, hosts->buckets);

		sorted[starts[bucket]++] = (struct host4){ permuted, hosts->hosts[i].class };
	}
	memmove(starts + 1, starts,
		hosts->buckets * sizeof(*starts)); /* each had become the next */
	starts[0] = 0;
}

static int lines_make(struct hosts4 *hosts, const __u32 *starts, struct host4 *sorted)
{
	struct sharing sharing = {};
	int error = 0;

	memset(hosts->lines, 0, hosts->buckets * sizeof(*hosts->lines));
	hosts->lines_count = hosts->buckets;
	for (__u32 i = 0; i < hosts->buckets && !error; i++)
		error = bucket_place(hosts, i, &sharing, sorted + starts[i],
				     starts[i + 1] - starts[i]);
	if (!error)
		sharing_close(hosts, &sharing);
	return error;
}

int hosts4_place(struct hosts4 *hosts, __u32 seed)
{
	struct host4 *sorted = NULL;
	__u32 *starts = NULL;
	int error = -ENOMEM;

	if (!hosts->count)
		return 0;
	free(hosts->lines);
	hosts->lines_room = hosts->buckets + hosts->buckets / 16 + 1;
	hosts->lines = malloc(hosts->lines_room * sizeof(*hosts->lines));
	sorted = calloc(hosts->count, sizeof(*sorted));
	starts = calloc((size_t)hosts->buckets + 2, sizeof(*starts));
	if (hosts->lines && sorted && starts) {
		hosts_sort(hosts, seed, starts, sorted);
		error = lines_make(hosts, starts, sorted);
	}
	free(starts);
	free(sorted);
	return error;
}

void hosts4_release(struct hosts4 *hosts)
{
	free(hosts->hosts);
	free(hosts->lines);
	memset(hosts, 0, sizeof(*hosts));
}
