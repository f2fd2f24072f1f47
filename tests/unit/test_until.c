// SPDX-License-Identifier: GPL-2.0-only
/* Points in time as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/until.h"

#define NOW 1764547200ULL /* 2025-12-01T00:00:00Z */

static const struct {
	const char *text;
	__u64 want; /* 0: refused */
} cases[] = {
	{ "2025-12-01T00:00:01Z", NOW + 1 },
	{ "2025-12-01t00:00:01z", NOW + 1 },
	{ "2025-12-01 00:00:01Z", NOW + 1 },
	{ "2025-12-01T12:00:00.250Z", NOW + 43200 },
	{ "2025-12-01T12:00Z", NOW + 43200 },
	{ "2025-12-01T12:00:00+01:00", NOW + 39600 },
	{ "2025-12-01T12:00:00-05:30", NOW + 63000 },
	{ "2028-02-29T00:00:00Z", 1835395200 },
	/* local time: two hours east of UTC */
	{ "2025-12-02", NOW + 86400 - 7200 },
	{ "2025-12-01 12:00", NOW + 43200 - 7200 },
	{ "2025-12-01T12:00:30", NOW + 43230 - 7200 },
	/* over */
	{ "2025-12-01T00:00:00Z", 0 },
	{ "2025-12-01", 0 },
	{ "1969-12-31T00:00:00Z", 0 },
	{ "0001-01-01", 0 },
	{ "9999-12-31T23:59:59Z", 253402300799 },
	{ "9999-12-31T23:59:59-01:00", 0 },
	{ "10000-01-01", 0 },
	/* no times */
	{ "", 0 },
	{ "tomorrow", 0 },
	{ "2026-02-29", 0 },
	{ "2026-02-30T00:00:00Z", 0 },
	{ "2026-13-01", 0 },
	{ "2026-12-00", 0 },
	{ "2026-12-1", 0 },
	{ "26-12-01", 0 },
	{ "2026-12-01 ", 0 },
	{ "2026-12-01T", 0 },
	{ "2026-12-01T1:00", 0 },
	{ "2026-12-01T24:00", 0 },
	{ "2026-12-01T12:60", 0 },
	{ "2026-12-01T12:00:", 0 },
	{ "2026-12-01T12:00:00.", 0 },
	{ "2026-12-01T12:00:00+1", 0 },
	{ "2026-12-01T12:00:00+01:00x", 0 },
	{ "2026-12-01T12:00:00 Z", 0 },
	{ "2026-12-01x12:00", 0 },
	{ " 2026-12-01", 0 },
	{ "+2026-12-01", 0 },
};

static void test_until(void **state)
{
	(void)state;
	setenv("TZ", "TEST-2", 1);
	tzset();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		__u64 out = 25;
		const char *why = NULL;
		int error = until_parse(cases[i].text, NOW, &out, &why);

		if (error != (cases[i].want ? 0 : -EINVAL) ||
		    out != (cases[i].want ? cases[i].want : 25))
			fail_msg("\"%s\": %d, %llu, want %llu", cases[i].text, error, out,
				 cases[i].want);
		assert_non_null(why);
	}
}

static const struct {
	const char *text;
	__u64 want; /* 0: refused */
	const char *why;
} lengths[] = {
	{ "30m", NOW + 1800, "" },
	{ "24h", NOW + 86400, "" },
	{ "2w", NOW + 1209600, "" },
	{ "45s", NOW + 45, "" },
	{ "24", 0, "needs a unit" },
	{ "0h", 0, "such as" },
	{ "0", 0, "such as" },
	{ "", 0, "such as" },
	{ "24 h", 0, "such as" },
	{ "-1h", 0, "such as" },
	{ "18446744073709551615s", 0, "beyond the year 9999" },
	{ "9999999w", 0, "beyond the year 9999" },
};

static void test_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		__u64 out = 25;
		const char *why = NULL;
		int error = for_parse(lengths[i].text, NOW, &out, &why);

		if (error != (lengths[i].want ? 0 : -EINVAL) ||
		    out != (lengths[i].want ? lengths[i].want : 25) ||
		    (error && !strstr(why, lengths[i].why)))
			fail_msg("\"%s\": %d, %llu, %s", lengths[i].text, error, out, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_until),
		cmocka_unit_test(test_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
