/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metrics as text, in Prometheus' exposition format 0.0.4. Described for people in docs/metrics.md.
 *
 * Labels are names of the configuration (interfaces, services, lists), origins and closed sets; never an
 * address, so the number of series is bounded.
 */
#ifndef GATE25_METRICS_H
#define GATE25_METRICS_H

#include <stdio.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/feeds.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_ORIGINS	     32 /* further ones are counted together as "other" */

/* Live entries of one origin. */
struct metrics_origin {
	char origin[GATE25_NAME];
	__u64 entries4, entries6;
};

/* Everything is borrowed. */
struct metrics_input {
	const struct guard *guard;
	const struct config *config;
	const struct attachment *attached;
	size_t attached_count;
	const struct gate25_generation *generation; /* in force; NULL: none */
	const struct feed_states *feeds;
	const int *list_ids;	/* by index in config->lists; negative: not known */
	const __u64 *list_hits; /* by stable id; NULL: not known */
	const struct metrics_origin *origins;
	size_t origins_count;
	__u64 now_ns; /* CLOCK_MONOTONIC */
};

/* Writes all metrics. 0, or -EIO when the stream failed. */
int metrics_write(const struct metrics_input *input, FILE *out);

#endif
