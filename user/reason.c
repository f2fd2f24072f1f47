// SPDX-License-Identifier: GPL-2.0-only
/* Reasons and verdicts as words. */
#include "user/reason.h"

#include <stddef.h>

const char *verdict_label(unsigned int verdict)
{
	static const char *const labels[GATE25_VERDICTS] = {
		[GATE25_PASS] = "pass",
		[GATE25_DROP] = "drop",
	};

	return verdict < GATE25_VERDICTS ? labels[verdict] : "?";
}

const char *reason_label(unsigned int reason)
{
	static const char *const labels[GATE25_REASONS] = {
#define LABEL(number, name, verdict, label) [number] = (label),
		GATE25_REASON_TABLE(LABEL)
#undef LABEL
	};

	return reason < GATE25_REASONS ? labels[reason] : NULL;
}

const char *reason_verdict(unsigned int reason)
{
	static const unsigned char verdicts[GATE25_REASONS] = {
#define VERDICT(number, name, verdict, label) [number] = (verdict),
		GATE25_REASON_TABLE(VERDICT)
#undef VERDICT
	};

	return reason_label(reason) ? verdict_label(verdicts[reason]) : NULL;
}
