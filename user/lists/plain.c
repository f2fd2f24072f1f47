// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain lists: an address, a CIDR or a range a line, of both families.
 *
 * In: text. Out: ranges. What follows an entry behind a blank, a comma, # or ; is not looked at.
 * Strict with the entry itself: short forms and leading zeros mean other addresses elsewhere, and
 * a lost newline runs two addresses into one.
 */
#include "user/lists/reading.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define NOT_AN_ADDRESS "not an address, a CIDR or a range"

/* By bytes: at the end of the text, and where nobody knows where that is. */
static bool scan_address4_slow(struct scan *scan, __u32 *address)
{
	const char *at = scan->at, *from;
	__u32 octet;

	for (int i = 0; i < 4; i++) {
		if (i && (at == scan->end || *at++ != '.'))
			return false;
		from = at;
		for (octet = 0; at < scan->end && *at >= '0' && *at <= '9' && at - from < 3; at++)
			octet = octet * 10 + (*at - '0');
		if (at == from || octet > 255 || (*from == '0' && at - from > 1))
			return false;
		*address = *address << 8 | octet;
	}
	scan->at = at;
	return true;
}

/*
 * Nearly every line of a list goes through here, and what costs is guessing how many digits an
 * octet has. So it is computed, from four bytes at once: a digit is 0 to 9 once '0' is taken off,
 * and the first byte that is not ends the octet.
 */
static inline bool scan_address4_fast(struct scan *scan, __u32 *address)
{
	const char *at = scan->at;
	__u32 bytes, others, octet, length;

	for (int i = 0; i < 4; i++) {
		if (i && *at++ != '.')
			return false;
		memcpy(&bytes, at, sizeof(bytes));
		bytes = le32toh(bytes) ^ 0x30303030;
		others = ((bytes + 0x76767676) | bytes) & 0x80808080;
		length = others ? __builtin_ctz(others) / 8 : 0;
		if (!length || (length > 1 && !(bytes & 0xff)))
			return false;
		bytes <<= 32 - 8 * length;
		octet = (bytes >> 8 & 0xff) * 100 + (bytes >> 16 & 0xff) * 10 + (bytes >> 24);
		if (octet > 255)
			return false;
		*address = *address << 8 | octet;
		at += length;
	}
	scan->at = at;
	return true;
}

#define ADDRESS4_BYTES 16 /* at most, with what is read behind it */

static inline bool scan_address4(struct scan *scan, struct gate25_source *out)
{
	__u32 address = 0;
	bool found = scan->limit && scan->limit - scan->at >= ADDRESS4_BYTES ?
			     scan_address4_fast(scan, &address) :
			     scan_address4_slow(scan, &address);

	if (found)
		*out = (struct gate25_source){ .lo = address, .family = 4 };
	return found;
}

static bool scan_address6(struct scan *scan, struct gate25_source *out)
{
	static const char members[] = "0123456789abcdefABCDEF:.";
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	size_t length = 0;

	while (scan->at + length < scan->end && scan->at[length] &&
	       strchr(members, scan->at[length])) {
		if (length == sizeof(text) - 1)
			return false;
		text[length] = scan->at[length];
		length++;
	}
	text[length] = 0;
	if (inet_pton(AF_INET6, text, bytes) != 1)
		return false;
	address_from_bytes(out, 6, bytes);
	scan->at += length;
	return true;
}

/* What is no IPv4 address and begins like one is no IPv6 address either. */
static inline bool scan_any(struct scan *scan, struct gate25_source *out)
{
	return scan_address4(scan, out) || scan_address6(scan, out);
}

bool scan_address(struct scan *scan, struct gate25_source *out)
{
	return scan_any(scan, out);
}

static const char *scan_length(struct scan *scan, struct gate25_source *first,
			       struct gate25_source *last)
{
	struct prefix prefix = { .address = *first };
	const char *from = scan->at;
	unsigned int length = 0;

	for (; scan_digit(scan) && scan->at - from < 3; scan->at++)
		length = length * 10 + (*scan->at - '0');
	if (scan->at == from || (*from == '0' && scan->at - from > 1) ||
	    length > (first->family == 4 ? 32 : 128))
		return "the prefix length is not a decimal number in its bounds";
	prefix.length = length;
	prefix_mask(&prefix);
	if (prefix.address.lo != first->lo || prefix.address.hi != first->hi)
		return "the address has bits set beyond the prefix length";
	*last = prefix_last(&prefix);
	return NULL;
}

/* " - ADDRESS" behind the first address; anything else there is a further column. */
static bool scan_spaced_end(struct scan *scan, struct gate25_source *last)
{
	struct scan ahead = *scan;

	scan_skip_blanks(&ahead);
	if (ahead.at == scan->at || !scan_take(&ahead, '-'))
		return false;
	scan_skip_blanks(&ahead);
	if (!scan_any(&ahead, last))
		return false;
	*scan = ahead;
	return true;
}

const char *check_range(const struct gate25_source *first, const struct gate25_source *last)
{
	if (first->family != last->family)
		return "a range of two families";
	if (first->hi > last->hi || (first->hi == last->hi && first->lo > last->lo))
		return "a range that ends before it begins";
	return NULL;
}

/* NULL, or why it is no entry. What follows it is the caller's business. */
static inline const char *scan_entry(struct scan *scan, struct gate25_source *first,
				     struct gate25_source *last)
{
	const char *why = NULL;

	if (!scan_any(scan, first))
		return NOT_AN_ADDRESS;
	*last = *first;
	if (scan_take(scan, '/')) {
		why = scan_length(scan, first, last);
	} else if (scan_take(scan, '-')) {
		why = scan_any(scan, last) ? check_range(first, last) : NOT_AN_ADDRESS;
	} else if (scan_blank(scan) && scan_spaced_end(scan, last)) {
		why = check_range(first, last);
	}
	return why;
}

const char *scan_whole_entry(const char *text, size_t length, struct gate25_source *first,
			     struct gate25_source *last)
{
	struct scan scan = { .at = text, .end = text + length };
	const char *why;

	scan_skip_blanks(&scan);
	why = scan_entry(&scan, first, last);
	scan_skip_blanks(&scan);
	return why || scan.at == scan.end ? why : NOT_AN_ADDRESS;
}

static int plain_line(struct reading *reading, struct scan *scan)
{
	struct gate25_source first, last;
	const char *why;

	if (scan_done(scan)) {
		reading_comment(reading, *scan);
		return 0;
	}
	reading->lines++;
	why = scan_entry(scan, &first, &last);
	if (!why && !scan_done(scan) && !scan_blank(scan) && !scan_at(scan, ','))
		why = NOT_AN_ADDRESS;
	if (!why && memchr(scan->at, 0, scan->end - scan->at))
		why = "a NUL byte";
	if (why)
		return reading_bad(reading, why);
	return reading_add(reading, &first, &last);
}

int plain_read(struct reading *reading, const char *text, size_t length)
{
	int error = reading_lines(reading, text, length, plain_line);

	reading_count(reading);
	return error;
}
