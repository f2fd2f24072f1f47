// SPDX-License-Identifier: GPL-2.0-only
/*
 * A point in time as people write it (RFC 3339, or local time; or so long from now) -> seconds since 1970.
 */
#include "user/until.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/config.h"

#define NO_OFFSET 99999
#define LAST_S	  253402300799ULL /* 9999-12-31T23:59:59Z */

/* strptime(3) takes fewer digits too; here a field has all of its digits. */
static const char *field(const char *text, const char *format, size_t bytes, struct tm *into)
{
	const char *end;

	if (!text || !isdigit((unsigned char)text[bytes > 3 ? 0 : 1]))
		return NULL;
	end = strptime(text, format, into);
	return end && (size_t)(end - text) == bytes ? end : NULL;
}

/* "Z", "+01:00" or nothing; in seconds east of UTC. */
static bool offset_parse(const char *text, long *offset_s)
{
	struct tm offset = { 0 };
	const char *end;

	*offset_s = NO_OFFSET;
	if (!*text)
		return true;
	*offset_s = 0;
	if (!strcmp(text, "Z") || !strcmp(text, "z"))
		return true;
	if (*text != '+' && *text != '-')
		return false;
	end = field(text + 1, "%H:%M", 5, &offset);
	*offset_s = offset.tm_hour * 3600L + offset.tm_min * 60L;
	if (*text == '-')
		*offset_s = -*offset_s;
	return end && !*end;
}

/*
 * "T12:00", " 12:00:30", "T12:00:30.25", with what follows; a fraction of a second counts for
 * nothing.
 */
static const char *clock_parse(const char *text, struct tm *time)
{
	if (*text != 'T' && *text != 't' && *text != ' ')
		return NULL;
	text = field(text + 1, "%H:%M", 5, time);
	if (text && *text == ':')
		text = field(text, ":%S", 3, time);
	if (text && text[0] == '.' && isdigit((unsigned char)text[1]))
		text += 1 + strspn(text + 1, "0123456789");
	return text;
}

/* strptime(3) knows no 30th of February, and the conversions make the 2nd of March of it. */
static bool day_exists(const struct tm *time)
{
	struct tm copy = { .tm_year = time->tm_year,
			   .tm_mon = time->tm_mon,
			   .tm_mday = time->tm_mday };

	timegm(&copy);
	return copy.tm_mday == time->tm_mday && copy.tm_mon == time->tm_mon;
}

int for_parse(const char *text, __u64 now_s, __u64 *out, const char **why)
{
	unsigned long seconds = 0;

	*why = "a duration such as 30m, 24h or 7d is wanted";
	if (config_parse_duration(text, &seconds) || !seconds)
		return -EINVAL;
	*why = "a duration needs a unit: s, m, h, d or w, as in 30m, 24h or 7d";
	if (isdigit((unsigned char)text[strlen(text) - 1]))
		return -EINVAL;
	*why = "that is beyond the year 9999";
	if (seconds > LAST_S || now_s + seconds > LAST_S)
		return -EINVAL;
	*out = now_s + seconds;
	return 0;
}

int until_parse(const char *text, __u64 now_s, __u64 *out, const char **why)
{
	struct tm time = { .tm_isdst = -1 };
	const char *rest = field(text, "%Y-%m-%d", 10, &time);
	long offset_s = NO_OFFSET;
	time_t seconds;

	*why = "not a time such as 2026-12-01T12:00:00Z, \"2026-12-01 12:00\" (local time) or "
	       "2026-12-01";
	if (!rest || !day_exists(&time))
		return -EINVAL;
	if (*rest) {
		rest = clock_parse(rest, &time);
		if (!rest || !offset_parse(rest, &offset_s))
			return -EINVAL;
	}
	if (offset_s == NO_OFFSET)
		seconds = mktime(&time);
	else
		seconds = timegm(&time) - offset_s;
	if (seconds <= 0 || (__u64)seconds <= now_s) {
		*why = "that time is over";
		return -EINVAL;
	}
	if ((__u64)seconds > LAST_S) {
		*why = "that is beyond the year 9999";
		return -EINVAL;
	}
	*out = seconds;
	return 0;
}
