// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses and prefixes: text <-> integers in host byte order, masks, comparisons.
 *
 * In: what people type, bytes of a socket address. Out: struct prefix, text as in RFC 5952.
 */
#include "user/addr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAPPED_LO 0x0000ffff00000000ULL /* ::ffff:0:0/96 */

/*
 * The bits of a word of `width` that a prefix of `length` leaves to hosts; length may be negative
 * or more.
 */
static __u64 host_bits(int length, int width)
{
	if (length >= width)
		return 0;
	return ~0ULL >> (64 - width + (length > 0 ? length : 0));
}

static __u64 host_bits_hi(const struct prefix *prefix)
{
	return prefix->address.family == 4 ? 0 : host_bits(prefix->length, 64);
}

static __u64 host_bits_lo(const struct prefix *prefix)
{
	if (prefix->address.family == 4)
		return host_bits(prefix->length, 32);
	return host_bits((int)prefix->length - 64, 64);
}

/* ---------------------------------------------------------------- text */

bool address_carries4(const struct gate25_source *address, const __u64 (*translated)[2],
		      unsigned int count)
{
	__u64 upper = address->lo & ~0xffffffffULL;

	if (address->family != 6)
		return false;
	if (!address->hi && upper == MAPPED_LO)
		return true;
	for (unsigned int i = 0; i < count; i++) {
		if (address->hi == translated[i][0] && upper == translated[i][1])
			return true;
	}
	return false;
}

void address_normalise(struct gate25_source *address, const __u64 (*translated)[2],
		       unsigned int count)
{
	if (!address_carries4(address, translated, count))
		return;
	address->family = 4;
	address->hi = 0;
	address->lo &= 0xffffffff;
}

static int address_parse(const char *text, struct gate25_source *out, const char **why)
{
	unsigned char bytes[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	/* inet_pton(3) refuses short forms, leading zeros, zones and blanks. */
	if (inet_pton(family, text, bytes) != 1) {
		*why = family == AF_INET6 ? "not an IPv6 address" :
					    "not an IPv4 address of four decimal numbers without "
					    "leading zeros";
		return -EINVAL;
	}
	address_from_bytes(out, family == AF_INET6 ? 6 : 4, bytes);
	return 0;
}

static int length_parse(const char *text, unsigned int most, unsigned int *out, const char **why)
{
	unsigned int length = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits] || (digits > 1 && text[0] == '0')) {
		*why = "the prefix length is not a decimal number";
		return -EINVAL;
	}
	for (; *text; text++)
		length = length * 10 + (*text - '0');
	if (length > most) {
		*why = most == 32 ? "the prefix length is over 32" :
				    "the prefix length is over 128";
		return -EINVAL;
	}
	*out = length;
	return 0;
}

int prefix_parse(const char *text, const __u64 (*translated)[2], unsigned int count,
		 struct prefix *out, const char **why)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct prefix prefix = {};
	int error;

	if (length >= sizeof(address)) {
		*why = "longer than any address";
		return -EINVAL;
	}
	memcpy(address, text, length);
	address[length] = 0;
	error = address_parse(address, &prefix.address, why);
	if (error)
		return error;
	prefix.length = prefix.address.family == 4 ? 32 : 128;
	if (slash) {
		error = length_parse(slash + 1, prefix.length, &prefix.length, why);
		if (error)
			return error;
	}
	if ((prefix.address.hi & host_bits_hi(&prefix)) ||
	    (prefix.address.lo & host_bits_lo(&prefix))) {
		*why = "the address has bits set beyond the prefix length";
		return -EINVAL;
	}
	if (prefix.length >= 96 && address_carries4(&prefix.address, translated, count)) {
		address_normalise(&prefix.address, translated, count);
		prefix.length -= 96;
	}
	*out = prefix;
	return 0;
}

const char *address_format(const struct gate25_source *address, char text[static PREFIX_TEXT])
{
	unsigned char bytes[16];

	address_to_bytes(address, bytes);
	if (!inet_ntop(address->family == 4 ? AF_INET : AF_INET6, bytes, text, PREFIX_TEXT))
		text[0] = 0; /* cannot be: the family is known and the text long enough */
	return text;
}

const char *prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT])
{
	size_t length;

	address_format(&prefix->address, text);
	if (prefix->length < (prefix->address.family == 4 ? 32 : 128)) {
		length = strlen(text);
		snprintf(text + length, PREFIX_TEXT - length, "/%u", prefix->length);
	}
	return text;
}

/* ---------------------------------------------------------------- comparisons */

bool prefix_contains(const struct prefix *outer, const struct gate25_source *address)
{
	return outer->address.family == address->family &&
	       !((outer->address.hi ^ address->hi) & ~host_bits_hi(outer)) &&
	       !((outer->address.lo ^ address->lo) & ~host_bits_lo(outer));
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->length <= inner->length && prefix_contains(outer, &inner->address);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return !prefix_compare(a, b);
}

int prefix_compare(const void *a, const void *b)
{
	const struct prefix *p = a, *q = b;

	if (p->address.family != q->address.family)
		return p->address.family < q->address.family ? -1 : 1;
	if (p->address.hi != q->address.hi)
		return p->address.hi < q->address.hi ? -1 : 1;
	if (p->address.lo != q->address.lo)
		return p->address.lo < q->address.lo ? -1 : 1;
	return (p->length > q->length) - (p->length < q->length);
}

void prefix_mask(struct prefix *prefix)
{
	prefix->address.hi &= ~host_bits_hi(prefix);
	prefix->address.lo &= ~host_bits_lo(prefix);
}

struct gate25_source prefix_last(const struct prefix *prefix)
{
	struct gate25_source last = prefix->address;

	last.hi |= host_bits_hi(prefix);
	last.lo |= host_bits_lo(prefix);
	return last;
}

/* ---------------------------------------------------------------- bytes */

void address_from_bytes(struct gate25_source *out, unsigned int family, const void *bytes)
{
	__be32 word;
	__be64 words[2];

	memset(out, 0, sizeof(*out));
	out->family = family;
	if (family == 4) {
		memcpy(&word, bytes, sizeof(word));
		out->lo = be32toh(word);
		return;
	}
	memcpy(words, bytes, sizeof(words));
	out->hi = be64toh(words[0]);
	out->lo = be64toh(words[1]);
}

void address_to_bytes(const struct gate25_source *address, void *bytes)
{
	__be32 word = htobe32(address->lo);
	__be64 words[2] = { htobe64(address->hi), htobe64(address->lo) };

	if (address->family == 4)
		memcpy(bytes, &word, sizeof(word));
	else
		memcpy(bytes, words, sizeof(words));
}
