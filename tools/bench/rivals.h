/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an operator would use instead: each puts a list in force on a device of its own and drops what is listed. Where
 * it can, it drops the rest as well, by its next rule, so that a miss costs no more than it must.
 */
#ifndef GATE25_BENCH_RIVALS_H
#define GATE25_BENCH_RIVALS_H

#include "tools/bench/bench.h"
#include "tools/bench/entries.h"

struct rival {
	const char *name;
	/* Why it cannot hold these entries, NULL if it can. */
	const char *(*refuses)(const struct entries *entries);
	int (*make)(struct subject *subject, const struct entries *entries);
	bool passes; /* what is not listed, into the kernel's stack: no row for misses */
};

extern const struct rival rivals[];
extern const int rivals_count;

/* The files that nft and ipset load. `rest`: with the rules that drop. */
int nft_write(const struct entries *entries, const char *path, const char *device);
int ipset_write(const struct entries *entries, const char *path);

#endif
