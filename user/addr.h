/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses and prefixes as people write them <-> as the maps hold them.
 */
#ifndef GATE25_ADDR_H
#define GATE25_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"

/* A prefix. `address` is masked to `length`, host byte order, family 4 or 6. */
struct prefix {
	struct gate25_source address;
	unsigned int length;
};

#define PREFIX_TEXT 52 /* longest "xxxx:…:xxxx/128" and its final 0 */

/*
 * Reads ADDR or ADDR/LEN. Strict: four decimal octets without leading zeros (they mean other
 * numbers to inet_aton), RFC 4291 text for IPv6, no zone, no space. Host bits beyond LEN are
 * refused with -EINVAL and *why set to a constant text for the message; so is everything else
 * that is refused. IPv4-mapped (::ffff:0:0/96) and the `translated` prefixes (count of them, each
 * hi and lo as in gate25_settings) of length 96 and more become family 4.
 */
int prefix_parse(const char *text, const __u64 (*translated)[2], unsigned int count,
		 struct prefix *out, const char **why);

/*
 * Does an IPv6 address only carry an IPv4 one: in ::ffff:0:0/96, or in one of the translated
 * prefixes? address_normalise() makes those family 4, as all of the guard sees them; others stay
 * as they are.
 */
bool address_carries4(const struct gate25_source *address, const __u64 (*translated)[2],
		      unsigned int count);
void address_normalise(struct gate25_source *address, const __u64 (*translated)[2],
		       unsigned int count);

/* Writes "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" (RFC 5952); a host without its length. */
const char *prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT]);

/* The same for an address alone. */
const char *address_format(const struct gate25_source *address, char text[static PREFIX_TEXT]);

bool prefix_contains(const struct prefix *outer, const struct gate25_source *address);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* Orders by family, address, then length: for sorting and searching. */
int prefix_compare(const void *a, const void *b);

/* Clears the bits beyond `length`. */
void prefix_mask(struct prefix *prefix);

/* The highest address of a prefix. */
struct gate25_source prefix_last(const struct prefix *prefix);

/* From and to network byte order bytes (4 or 16 of them). */
void address_from_bytes(struct gate25_source *out, unsigned int family, const void *bytes);
void address_to_bytes(const struct gate25_source *address, void *bytes);

#endif
