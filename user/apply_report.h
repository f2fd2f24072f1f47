/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of a change is worth telling: the facts of apply.c's report.
 */
#ifndef GATE25_APPLY_REPORT_H
#define GATE25_APPLY_REPORT_H

#include "user/apply.h"

/* Lists whose source failed, or that hold nothing yet. */
void report_feeds(struct apply_report *report, const struct feed *feeds, size_t count,
		  enum feed_how how);

/* In what `fresh` differs from the generation that is in force on the first interface, if there is any. */
void report_compare(struct apply_report *report, struct guard *guard,
		    const struct gate25_generation *fresh);

#endif
