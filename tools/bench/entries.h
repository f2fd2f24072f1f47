/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The addresses and networks of a list, for gate25 and for its rivals, and addresses that are on it or beside it.
 */
#ifndef GATE25_BENCH_ENTRIES_H
#define GATE25_BENCH_ENTRIES_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>

#include "user/lists/parse.h"

struct entry {
	__u32 be[4]; /* the first one alone for IPv4 */
	__u32 length;
};

struct entries {
	int family; /* of all of them */
	bool hosts; /* each is a single address */
	__u32 count;
	struct entry *items;
};

/* Hosts number 0 to count - 1 of mix(). */
int entries_hosts(struct entries *entries, __u32 count);
/*
 * IPv6 networks of /29 to /64 and hosts, as lists have them: a few thousand providers in the blocks of the registries,
 * and in those mostly /64, /48, /56 and /128. All of them differ.
 */
int entries_networks6(struct entries *entries, __u32 count);
/* The IPv4 entries of a file. */
int entries_read(struct entries *entries, const char *path, enum list_format format);
void entries_free(struct entries *entries);

/* One a line. */
int entries_write(const struct entries *entries, const char *path);
/* "192.0.2.1" or "192.0.2.0/24" */
const char *entry_format(const struct entries *entries, const struct entry *entry,
			 char text[static 64]);

/*
 * Fills half of the source's pool with addresses that are listed, the other half with addresses that are not, but near
 * to some that are.
 */
#define POOL_HALF (POOL_MOST / 2)
int entries_pool(const struct entries *entries);

#endif
