/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A point in time as people write it -> seconds since 1970.
 */
#ifndef GATE25_UNTIL_H
#define GATE25_UNTIL_H

#include <linux/types.h>

/*
 * RFC 3339 ("2026-12-01T12:00:00Z", "…+01:00"); without an offset local time, seconds and the time
 * of day may be left out ("2026-12-01 12:00", "2026-12-01" is the start of that day). -EINVAL with
 * *why set to a constant text, also for what is not after `now_s`; *out is left alone then.
 */
int until_parse(const char *text, __u64 now_s, __u64 *out, const char **why);

/*
 * From now on: "30m", "24h", "7d". -EINVAL with *why as above, also without a unit: 24 may mean hours to who types
 * it. Neither reaches beyond the year 9999, which RFC 3339 cannot say.
 */
int for_parse(const char *text, __u64 now_s, __u64 *out, const char **why);

#endif
