// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of a table into buckets of one line each.
 *
 * In: the bucket that the hash chose for each entry. Out: bucket and slot of each. A bucket that
 * overflows gets buckets of its own while it fills them, and shares the last with others: a
 * shared one is full, so that overflow costs hardly any memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lists/layout.h"

#define PLACES_MOST (1ULL << 32)

int buckets_size(struct bucket_section *section, size_t count, unsigned int load)
{
	size_t buckets = count ? (__u64)count * 100 / (section->slots * load) + 1 : 0;

	section->count = count;
	/* all overflow: as many entries again */
	if ((__u64)buckets * section->slots + 2 * (__u64)count >= PLACES_MOST)
		return -E2BIG;
	section->buckets = buckets;
	section->overflows = 0;
	section->places = count ? malloc(count * sizeof(*section->places)) : NULL;
	section->chains = count ? malloc(buckets * sizeof(*section->chains)) : NULL;
	return count && (!section->places || !section->chains) ? -ENOMEM : 0;
}

/* Gives each bucket that overflows its further ones. */
static int chains_make(struct bucket_section *section)
{
	__u32 slots = section->slots, next = section->buckets, tail = 0, room = 0, rest;

	for (__u32 i = 0; i < section->buckets; i++) {
		struct bucket_chain *chain = &section->chains[i];

		if (chain->count <= slots)
			continue;
		if (chain->count > slots * TABLE_PROBES)
			return -EAGAIN;
		chain->extra = next;
		chain->extras = (chain->count - slots - 1) / slots;
		next += chain->extras;
		rest = chain->count - slots * (1 + chain->extras);
		if (rest > room) {
			tail = next++;
			room = slots;
		}
		chain->tail = tail;
		chain->offset = slots - room;
		room -= rest;
	}
	section->overflows = next - section->buckets;
	return 0;
}

/* The place of the next entry of a chain. */
static __u32 chain_place(const struct bucket_section *section, __u32 bucket)
{
	struct bucket_chain *chain = &section->chains[bucket];
	__u32 slots = section->slots, slot = chain->count++;

	if (slot < slots)
		return bucket * slots + slot;
	slot -= slots;
	if (slot < chain->extras * slots)
		return chain->extra * slots + slot;
	slot -= chain->extras * slots;
	return chain->tail * slots + chain->offset + slot;
}

int buckets_assign(struct bucket_section *section)
{
	int error;

	if (!section->count)
		return 0;
	memset(section->chains, 0, section->buckets * sizeof(*section->chains));
	for (size_t i = 0; i < section->count; i++)
		section->chains[section->places[i]].count++;
	error = chains_make(section);
	if (error)
		return error;
	for (__u32 i = 0; i < section->buckets; i++)
		section->chains[i].count = 0;
	for (size_t i = 0; i < section->count; i++)
		section->places[i] = chain_place(section, section->places[i]);
	return 0;
}

static void link_write(const struct bucket_section *section, void *lines, __u32 bucket, __u32 next)
{
	memcpy((char *)lines + (size_t)bucket * TABLE_LINE_BYTES + section->next_at, &next,
	       sizeof(next));
}

void buckets_link(const struct bucket_section *section, void *lines)
{
	for (__u32 i = 0; i < section->buckets; i++) {
		const struct bucket_chain *chain = &section->chains[i];
		__u32 at = i;

		if (chain->count <= section->slots)
			continue;
		for (__u32 j = 0; j < chain->extras; j++) {
			link_write(section, lines, at, chain->extra + j);
			at = chain->extra + j;
		}
		link_write(section, lines, at, chain->tail);
	}
}

void buckets_release(struct bucket_section *section)
{
	free(section->chains);
	free(section->places);
	section->chains = NULL;
	section->places = NULL;
}
