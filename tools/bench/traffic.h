/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate25 alone: what it costs the traffic that it has nothing against, and what each of its features costs.
 */
#ifndef GATE25_BENCH_TRAFFIC_H
#define GATE25_BENCH_TRAFFIC_H

/* Measures, reports and cleans up. 0, or -errno if anything failed. */
int traffic_measure(void);

#endif
