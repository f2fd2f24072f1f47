/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A match: one list, held by gate25 and by each of its rivals, hit and missed by SYNs. And gate25 alone, for traffic
 * of other kinds.
 */
#ifndef GATE25_BENCH_MATCH_H
#define GATE25_BENCH_MATCH_H

#include "tools/bench/bench.h"
#include "tools/bench/entries.h"

struct match {
	const char *name;
	const struct entries *entries;
	const char *file, *format; /* the same list as a file, for gate25 */
	struct aim hit, miss;
};

/* The limits of the configuration as it is shipped; and the same, counted by SYNs. */
extern const char config_shipped[], config_counting[];

/* Measures, reports and cleans up. 0, or -errno if anything failed. */
int match_measure(const struct match *match);

/* The groups of matches. */
int matches_random(void);
int matches_real(void);
int match_networks6(void);

#endif
