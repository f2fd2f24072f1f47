/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The groups of rows. Each measures, reports and cleans up; 0, or -errno if anything in it failed.
 */
#ifndef GATE25_BENCH_GROUPS_H
#define GATE25_BENCH_GROUPS_H

#include <linux/types.h>

/* The limits of the configuration as it is shipped. */
extern const char config_shipped[];

/* The hosts number 0 to count - 1 of mix(), a line each. */
int hosts_write(const char *path, __u32 count);

int sets_measure(void);

#endif
