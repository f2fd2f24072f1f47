// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses and values as rbldnsd's zones write them.
 *
 * In: a place in a line. Out: what stands there, or why rbldnsd 1.0 would not take it.
 */
#include "user/lists/zone.h"

#include <string.h>

unsigned int scan_octets(struct scan *scan, __u32 *out)
{
	unsigned int bits = 0;
	__u32 octet;

	*out = 0;
	do {
		if (!scan_digit(scan))
			return 0;
		for (octet = 0; scan_digit(scan); scan->at++) {
			octet = octet * 10 + (*scan->at - '0');
			if (octet > 255)
				return 0;
		}
		bits += 8;
		*out |= octet << (32 - bits);
	} while (bits < 32 && scan_take(scan, '.'));
	return bits;
}

bool scan_address_ends(const struct scan *scan)
{
	return scan_done(scan) || scan_blank(scan) || scan_at(scan, ':');
}

static const char *scan_end(struct scan *scan, unsigned int bits, __u32 *first, __u32 *last)
{
	unsigned int bits_last = scan_octets(scan, last);

	if (!bits_last)
		return ZONE_BAD_RANGE;
	if (bits_last == 8) /* a lone number stands for the last octet that was given */
		*last = *last >> (bits - 8) | (*first & mask4(bits - 8));
	else if (bits_last != bits)
		return "invalid address: the ends of the range differ in octets";
	*last |= ~mask4(bits);
	return *first > *last ? "invalid address: the range ends before it begins" : NULL;
}

/* Digits up to `most`; false: none, or more than that. */
static bool scan_length(struct scan *scan, unsigned int most, unsigned int *out)
{
	*out = 0;
	if (!scan_digit(scan))
		return false;
	for (; scan_digit(scan); scan->at++) {
		*out = *out * 10 + (*scan->at - '0');
		if (*out > most)
			return false;
	}
	return true;
}

static const char *scan_bits(struct scan *scan, __u32 first, unsigned int *bits)
{
	if (!scan_length(scan, 32, bits))
		return "invalid address: the prefix length is no number up to 32";
	if (first & ~mask4(*bits))
		return "invalid address: bits set beyond the prefix length";
	return NULL;
}

const char *scan_range(struct scan *scan, __u32 *first, __u32 *last)
{
	unsigned int bits = scan_octets(scan, first);
	const char *why = NULL;

	if (!bits)
		return ZONE_BAD_RANGE;
	if (scan_take(scan, '-')) {
		why = scan_end(scan, bits, first, last);
	} else {
		if (scan_take(scan, '/'))
			why = scan_bits(scan, *first, &bits);
		else if (bits == 8)
			why = "invalid address: a lone number";
		if (!why && !bits)
			why = "invalid address: /0";
		*last = why ? *first : *first | ~mask4(bits);
	}
	if (!why && !scan_address_ends(scan))
		why = ZONE_BAD_RANGE;
	return why;
}

const char *scan_cidr4(struct scan *scan, __u32 *first, unsigned int *length)
{
	const char *why = NULL;

	*length = scan_octets(scan, first);
	if (!*length)
		return ZONE_BAD_RANGE;
	if (scan_take(scan, '/'))
		why = scan_bits(scan, *first, length);
	else if (*length == 8)
		why = "invalid address: a lone number";
	if (!why && !scan_address_ends(scan))
		why = ZONE_BAD_RANGE;
	return why;
}

/* ---------------------------------------------------------------- IPv6 */

static int hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	if (byte >= 'A' && byte <= 'F')
		return byte - 'A' + 10;
	return -1;
}

/* One group of up to 16 bits, leading zeros as many as there are. */
static bool scan_group(struct scan *scan, unsigned int *out)
{
	const char *from = scan->at;
	int digit;

	for (*out = 0; scan->at < scan->end && (digit = hex_digit(*scan->at)) >= 0; scan->at++) {
		*out = *out << 4 | (unsigned int)digit;
		if (*out > 0xffff)
			return false;
	}
	return scan->at > from;
}

/*
 * A colon behind a group is taken along, whatever follows: behind "::" that is fine for rbldnsd
 * ("1::2:" is 1::2), before it no address came about.
 */
int scan_groups(struct scan *scan, struct gate25_source *out)
{
	unsigned int groups[8] = {}, count = 0, zeros = 8, group;
	u128 address = 0;
	int bits = -1;

	if (scan->end - scan->at >= 2 && scan->at[0] == ':' && scan->at[1] == ':') {
		zeros = 0;
		scan->at += 2;
	}
	while (scan_group(scan, &group)) {
		groups[count++] = group;
		if (count == 8 || !scan_take(scan, ':')) {
			bits = count * 16;
			break;
		}
		if (zeros == 8 && scan_take(scan, ':'))
			zeros = count;
	}
	for (unsigned int i = 0; i < count; i++) {
		unsigned int place = i < zeros ? i : 8 - count + i;

		address |= (u128)groups[i] << (112 - 16 * place);
	}
	*out = (struct gate25_source){ .hi = address >> 64, .lo = (__u64)address, .family = 6 };
	if (zeros == 8)
		return bits;
	return count == 8 ? -1 : 128;
}

const char *scan_cidr6(struct scan *scan, struct gate25_source *first, unsigned int *length)
{
	int bits = scan_groups(scan, first);
	struct prefix prefix = { .address = *first };

	if (bits < 0)
		return ZONE_BAD_RANGE;
	*length = bits;
	if (scan_take(scan, '/')) {
		if (!scan_length(scan, 128, length))
			return "invalid address: the prefix length is no number up to 128";
	} else if (bits == 16) {
		return "invalid address: a lone number";
	}
	if (!scan_address_ends(scan))
		return ZONE_BAD_RANGE;
	prefix.length = *length;
	prefix_mask(&prefix);
	if (prefix.address.hi != first->hi || prefix.address.lo != first->lo)
		return "invalid address: bits set beyond the prefix length";
	return NULL;
}

/* ---------------------------------------------------------------- values */

/* As inet_aton() reads it: what the last number of fewer than four stands for is the end. */
static __u32 code_of(__u32 octets, unsigned int bits)
{
	switch (bits) {
	case 8:
		return octets >> 24;
	case 16:
		return (octets & 0xff000000) | (octets >> 16 & 255);
	case 24:
		return (octets & 0xffff0000) | (octets >> 8 & 255);
	default:
		return octets;
	}
}

const char *scan_value(struct scan *scan, const struct zone_value *base, struct zone_value *out)
{
	unsigned int bits;
	__u32 octets;

	*out = *base;
	if (scan_take(scan, ':')) {
		bits = scan_octets(scan, &octets);
		out->code = bits ? code_of(octets, bits) : 0;
		if (!out->code)
			return "invalid A value";
		if (bits == 8)
			out->code |= 0x7f000000; /* only the last octet of 127.0.0.x */
		scan_skip_blanks(scan);
		if (scan->at == scan->end)
			return NULL;
		if (!scan_take(scan, ':'))
			return "unrecognised value behind the entry";
		scan_skip_blanks(scan);
	}
	out->text = scan->at;
	out->length = scan->end - scan->at;
	return NULL;
}

const char *scan_entry_value(struct scan *scan, const struct zone_value *base,
			     struct zone_value *out)
{
	scan_skip_blanks(scan);
	if (!scan_done(scan))
		return scan_value(scan, base, out);
	*out = *base;
	return NULL;
}
