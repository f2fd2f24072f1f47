/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random frames for the oracle tests, and what a naive reference says of each.
 *
 * A frame is first described (struct frame_spec), then built. The reference judges the description, never the
 * bytes, so that it shares nothing with the parser under test.
 */
#ifndef GATE25_RANDOM_FRAMES_H
#define GATE25_RANDOM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "user/addr.h"

#define FRAME_BYTES	 512
#define FRAME_SOURCE_MAC "\x02\x25\x25\x25\x25\x25"

enum cell { CELL_LIST, CELL_ALLOW, CELL_DEFAULT, CELL_MALFORMED, CELL_FRAGMENT, CELL_PASS, CELLS };
extern const char *const cell_names[CELLS];

enum damage { /* what is wrong with a frame */
	      DAMAGE_NONE,
	      DAMAGE_SYN_FIN,
	      DAMAGE_SYN_RST,
	      DAMAGE_NULL,
	      DAMAGE_XMAS,
	      DAMAGE_DOFF_SMALL,  /* below 5 */
	      DAMAGE_DOFF_BEYOND, /* beyond the datagram */
	      DAMAGE_OFFSET_ONE,  /* a fragment at offset 1 (8 bytes): would overwrite the flags */
	      DAMAGE_SHORT_FIRST, /* a first fragment without room for ports and flags */
	      DAMAGES
};

struct frame_spec {
	unsigned int family; /* 4 or 6 */
	unsigned int tags;   /* 0..2 */
	struct gate25_source source, destination;
	__u16 source_port, destination_port;
	__u8 flags; /* of TCP */
	__u8 protocol;
	unsigned int ip_options;  /* bytes, a multiple of 4 (IPv4) */
	unsigned int extensions;  /* headers in front (IPv6) */
	unsigned int tcp_options; /* bytes, a multiple of 4 */
	bool later_fragment, first_fragment;
	enum damage damage;
	__u32 id; /* stands in the destination MAC address */
};

/* What the rules are, for the reference and for nftables. */
struct rules {
	const struct prefix *allow, *listed;
	size_t allow_count, listed_count;
	struct prefix own4, own6; /* addresses of the service whose default is drop */
};
#define RULES_PORT    25  /* any address, default pass */
#define RULES_DEFAULT 587 /* on own4 and own6 alone, default drop */

void frame_random(unsigned int *seed, const struct rules *rules, unsigned int family,
		  unsigned int tags, enum cell wish, struct frame_spec *spec);
size_t frame_build(const struct frame_spec *spec, unsigned char frame[static FRAME_BYTES]);
bool frame_reference(const struct rules *rules, const struct frame_spec *spec, enum cell *cell);

/* A random prefix set that overlaps, nests and touches. */
void prefixes_random(unsigned int *seed, struct prefix *out, size_t count);

#endif
