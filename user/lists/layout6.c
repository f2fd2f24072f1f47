// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IPv6 sections of the table.
 *
 * In: segments of the whole address space. Out: groups by the first 16 bits, buckets of prefixes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/layout.h"

#define FIRST_ENTRIES	 65536
#define FIRST_LENGTH	 16
#define NETS_LENGTH	 64 /* the longest prefix that the buckets of nets hold */
#define USUAL_LOAD_NETS	 70 /* percent */
#define USUAL_LOAD_HOSTS 65
#define GROUP_HASH	 (2 * FIRST_ENTRIES)
#define FILTER_MOST	 (1U << 27) /* words: the upper 5 bits of a hash choose the bit */

/* The lengths that occur under a /16, as bits, and the class of what none of them covers. */
struct lengths6 {
	__u64 nets, hosts; /* bit l-1, bit l-65 */
	__u64 class;	   /* as wide, so that they can be compared as bytes */
};

/* ---------------------------------------------------------------- groups */

/*
 * Shorter prefixes come before the longer ones that they cover, so the last one to write is
 * right.
 */
static void lengths_note(struct lengths6 *lengths, const struct entry6 *entry)
{
	__u32 first = entry->hi >> 48, count;

	if (entry->length > NETS_LENGTH) {
		lengths[first].hosts |= 1ULL << (entry->length - NETS_LENGTH - 1);
	} else if (entry->length > FIRST_LENGTH) {
		lengths[first].nets |= 1ULL << (entry->length - 1);
	} else {
		count = 1U << (FIRST_LENGTH - entry->length);
		for (__u32 i = 0; i < count; i++)
			lengths[first + i].class = entry->class;
	}
}

static struct table_group6 group_make(const struct lengths6 *lengths)
{
	struct table_group6 group = { .class = lengths->class };

	for (int bit = 63; bit >= 0; bit--) {
		if (lengths->hosts >> bit & 1)
			group.lengths[group.count++] = NETS_LENGTH + 1 + bit;
	}
	for (int bit = 63; bit >= 0; bit--) {
		if (lengths->nets >> bit & 1)
			group.lengths[group.count++] = 1 + bit;
	}
	return group;
}

/* Groups that are alike are one. `hash` holds numbers + 1. */
static int group_number(struct layout6 *plan, __u32 *hash, const struct lengths6 *lengths,
			__u16 *number)
{
	struct table_group6 group = group_make(lengths);
	__u32 at = list_digest(0, &group, sizeof(group)) >> 32 & (GROUP_HASH - 1);

	for (; hash[at]; at = (at + 1) & (GROUP_HASH - 1)) {
		if (!memcmp(&plan->groups[hash[at] - 1], &group, sizeof(group))) {
			*number = hash[at] - 1;
			return 0;
		}
	}
	if (array_grow(&plan->groups, &plan->groups_room, plan->groups_count, sizeof(group)))
		return -ENOMEM;
	*number = plan->groups_count;
	plan->groups[plan->groups_count++] = group;
	hash[at] = plan->groups_count;
	return 0;
}

static int groups_make(struct layout6 *plan, const struct entries6 *prefixes)
{
	struct lengths6 *lengths = calloc(FIRST_ENTRIES, sizeof(*lengths));
	__u32 *hash = calloc(GROUP_HASH, sizeof(*hash));
	int error = 0;

	if (!lengths || !hash)
		error = -ENOMEM;
	for (size_t i = 0; i < prefixes->count && !error; i++)
		lengths_note(lengths, &prefixes->entries[i]);
	for (__u32 i = 0; i < FIRST_ENTRIES && !error; i++) {
		if (i && !memcmp(&lengths[i], &lengths[i - 1], sizeof(*lengths))) /* as most are */
			plan->first[i] = plan->first[i - 1];
		else
			error = group_number(plan, hash, &lengths[i], &plan->first[i]);
	}
	free(hash);
	free(lengths);
	return error;
}

/* ---------------------------------------------------------------- plan */

static int entries_sort(struct layout6 *plan, const struct entries6 *prefixes)
{
	for (size_t i = 0; i < prefixes->count; i++) {
		const struct entry6 *entry = &prefixes->entries[i];

		if (entry->length > NETS_LENGTH) {
			if (array_grow(&plan->hosts, &plan->hosts_room, plan->hosts_count,
				       sizeof(*entry)))
				return -ENOMEM;
			plan->hosts[plan->hosts_count++] = *entry;
		} else if (entry->length > FIRST_LENGTH) {
			if (array_grow(&plan->nets, &plan->nets_room, plan->nets_count,
				       sizeof(*entry)))
				return -ENOMEM;
			plan->nets[plan->nets_count++] = *entry;
		}
	}
	return 0;
}

/* A word for every two prefixes: 16 to 32 bits each. */
static int filter_size(struct layout6 *plan)
{
	size_t count = plan->nets_count + plan->hosts_count;

	plan->filter_words = TABLE_LINE_BYTES / sizeof(__u32);
	while (plan->filter_words < count / 2 && plan->filter_words < FILTER_MOST)
		plan->filter_words *= 2;
	plan->filter = calloc(plan->filter_words, sizeof(*plan->filter));
	return plan->filter ? 0 : -ENOMEM;
}

int layout6_plan(struct layout6 *plan, const struct segment6 *segments, size_t count,
		 unsigned int load)
{
	struct entries6 prefixes = {};
	int error;

	memset(plan, 0, sizeof(*plan));
	plan->net_buckets.slots = TABLE_NETS6;
	plan->net_buckets.next_at = offsetof(struct table_nets6, next);
	plan->host_buckets.slots = TABLE_HOSTS6;
	plan->host_buckets.next_at = offsetof(struct table_hosts6, next);
	if (count == 1 && !segments[0].class)
		return 0;
	plan->first = calloc(FIRST_ENTRIES, sizeof(*plan->first));
	error = plan->first ? prefixes6_make(segments, count, &prefixes) : -ENOMEM;
	if (!error)
		error = groups_make(plan, &prefixes);
	if (!error)
		error = entries_sort(plan, &prefixes);
	if (!error)
		error = filter_size(plan);
	if (!error)
		error = buckets_size(&plan->net_buckets, plan->nets_count,
				     USUAL_LOAD_NETS * load / 100);
	if (!error)
		error = buckets_size(&plan->host_buckets, plan->hosts_count,
				     USUAL_LOAD_HOSTS * load / 100);
	free(prefixes.entries);
	return error;
}

static void filter_note(struct layout6 *plan, __u32 hash)
{
	plan->filter[hash & (plan->filter_words - 1)] |= 1U << (hash >> 27);
}

int layout6_place(struct layout6 *plan, __u32 seed)
{
	const struct entry6 *entry;
	__u32 hash;
	int error;

	if (!plan->filter) /* nothing is listed */
		return 0;
	memset(plan->filter, 0, plan->filter_words * sizeof(*plan->filter));

	for (size_t i = 0; i < plan->nets_count; i++) {
		entry = &plan->nets[i];
		hash = table_hash_net6(entry->hi, entry->length, seed);
		filter_note(plan, hash);
		plan->net_buckets.places[i] = table_scale(hash, plan->net_buckets.buckets);
	}
	for (size_t i = 0; i < plan->hosts_count; i++) {
		entry = &plan->hosts[i];
		hash = table_hash_host6(entry->hi, entry->lo, entry->length, seed);
		filter_note(plan, hash);
		plan->host_buckets.places[i] = table_scale(hash, plan->host_buckets.buckets);
	}
	error = buckets_assign(&plan->net_buckets);
	if (!error)
		error = buckets_assign(&plan->host_buckets);
	return error;
}

/* ---------------------------------------------------------------- lines */

__u32 layout6_reserve(const struct layout6 *plan, struct gate25_table_layout *layout, __u32 line)
{
	if (!plan->first)
		return line;
	layout->has_v6 = 1;
	layout->v6_first = line;
	line += FIRST_ENTRIES * sizeof(__u16) / TABLE_LINE_BYTES;
	layout->v6_groups = line;
	line += plan->groups_count * sizeof(struct table_group6) / TABLE_LINE_BYTES;
	layout->v6_filter = line;
	layout->v6_filter_mask = plan->filter_words - 1;
	line += plan->filter_words * sizeof(__u32) / TABLE_LINE_BYTES;
	layout->v6_nets = line;
	layout->v6_nets_buckets = plan->net_buckets.buckets;
	line += buckets_lines(&plan->net_buckets);
	layout->v6_hosts = line;
	layout->v6_hosts_buckets = plan->host_buckets.buckets;
	return line + buckets_lines(&plan->host_buckets);
}

static void nets_fill(const struct layout6 *plan, struct table_nets6 *buckets)
{
	for (size_t i = 0; i < plan->nets_count; i++) {
		__u32 place = plan->net_buckets.places[i], slot = place % TABLE_NETS6;
		struct table_nets6 *bucket = &buckets[place / TABLE_NETS6];

		bucket->hi[slot] = plan->nets[i].hi;
		bucket->classes[slot] = plan->nets[i].class;
		bucket->lengths[slot] = plan->nets[i].length;
	}
	buckets_link(&plan->net_buckets, buckets);
}

static void hosts_fill(const struct layout6 *plan, struct table_hosts6 *buckets)
{
	for (size_t i = 0; i < plan->hosts_count; i++) {
		__u32 place = plan->host_buckets.places[i], slot = place % TABLE_HOSTS6;
		struct table_hosts6 *bucket = &buckets[place / TABLE_HOSTS6];

		bucket->hi[slot] = plan->hosts[i].hi;
		bucket->lo[slot] = plan->hosts[i].lo;
		bucket->classes[slot] = plan->hosts[i].class;
		bucket->lengths[slot] = plan->hosts[i].length;
	}
	buckets_link(&plan->host_buckets, buckets);
}

void layout6_fill(const struct layout6 *plan, const struct gate25_table_layout *layout, void *lines)
{
	char *bytes = lines;

	if (!plan->first)
		return;
	memcpy(bytes + (size_t)layout->v6_first * TABLE_LINE_BYTES, plan->first,
	       FIRST_ENTRIES * sizeof(__u16));
	memcpy(bytes + (size_t)layout->v6_groups * TABLE_LINE_BYTES, plan->groups,
	       plan->groups_count * sizeof(struct table_group6));
	memcpy(bytes + (size_t)layout->v6_filter * TABLE_LINE_BYTES, plan->filter,
	       plan->filter_words * sizeof(*plan->filter));
	nets_fill(plan, (void *)(bytes + (size_t)layout->v6_nets * TABLE_LINE_BYTES));
	hosts_fill(plan, (void *)(bytes + (size_t)layout->v6_hosts * TABLE_LINE_BYTES));
}

void layout6_release(struct layout6 *plan)
{
	free(plan->first);
	free(plan->groups);
	free(plan->filter);
	free(plan->nets);
	free(plan->hosts);
	buckets_release(&plan->net_buckets);
	buckets_release(&plan->host_buckets);
	memset(plan, 0, sizeof(*plan));
}
