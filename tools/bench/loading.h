/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a list costs before the first frame: loading it, holding it, swapping it. And what all results say to the
 * bounds that were set. Each function measures, reports and cleans up; 0, or -errno if anything failed.
 */
#ifndef GATE25_BENCH_LOADING_H
#define GATE25_BENCH_LOADING_H

/* A million lines from text to sorted ranges, for some formats. */
int parse_measure(void);
/* 1 M and 5 M plain lines, from file to in force, beside nft and ipset. */
int loading_measure(void);
/* A table of 1 M swapped under a flood of sources that are on it and sources that are not. */
int swaps_measure(void);

/* Which bounds the results keep. Nothing fails by it: a bound is for this kind of machine, and noise is noise. */
void bounds_report(void);

#endif
