// SPDX-License-Identifier: GPL-2.0-only
/*
 * Filters of the codes that a zone answers with.
 *
 * In: a pattern as postscreen writes it. Out: four sets of octets.
 */
#include "user/lists/codes.h"

#include <errno.h>
#include <string.h>

static bool scan_octet(const char **at, unsigned int *octet)
{
	const char *from = *at;

	for (*octet = 0; **at >= '0' && **at <= '9' && *at - from < 3; ++*at)
		*octet = *octet * 10 + (**at - '0');
	return *at > from && *octet <= 255 && !(*from == '0' && *at - from > 1);
}

/* "7" or "2..11" */
static bool scan_span(const char **at, __u64 set[4])
{
	unsigned int first, last;

	if (!scan_octet(at, &first))
		return false;
	last = first;
	if ((*at)[0] == '.' && (*at)[1] == '.') {
		*at += 2;
		if (!scan_octet(at, &last) || last < first)
			return false;
	}
	for (; first <= last; first++)
		set[first / 64] |= 1ULL << first % 64;
	return true;
}

/* "7" or "[2..11;16]" */
static bool scan_set(const char **at, __u64 set[4])
{
	unsigned int octet;

	if (**at != '[') {
		if (!scan_octet(at, &octet))
			return false;
		set[octet / 64] |= 1ULL << octet % 64;
		return true;
	}
	do {
		++*at;
		if (!scan_span(at, set))
			return false;
	} while (**at == ';');
	return *(*at)++ == ']';
}

int codes_add(struct list_codes *codes, const char *text, const char **why)
{
	__u64 sets[4][4] = {};

	*why = "a filter of codes looks like 127.0.0.2 or 127.0.0.[2;4..11]";
	for (int i = 0; i < 4; i++) {
		if ((i && *text++ != '.') || !scan_set(&text, sets[i]))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	if (codes->count == LIST_CODES) {
		*why = "a list takes at most 8 filters of codes";
		return -E2BIG;
	}
	memcpy(codes->patterns[codes->count++], sets, sizeof(sets));
	return 0;
}

bool codes_match(const struct list_codes *codes, __u32 code)
{
	for (size_t i = 0; i < codes->count; i++) {
		bool matches = true;

		for (int octet = 0; octet < 4; octet++) {
			unsigned int value = code >> (24 - 8 * octet) & 255;

			matches &= codes->patterns[i][octet][value / 64] >> value % 64 & 1;
		}
		if (matches)
			return true;
	}
	return !codes->count;
}
