/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames by description: what is not said is as in an ordinary SYN to port 25. Lengths and
 * checksums are right unless the description makes them lie.
 */
#ifndef GATE25_TEST_PACKET_BUILDER_H
#define GATE25_TEST_PACKET_BUILDER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define PACKET_BYTES 65536 /* of the buffer for a frame */

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20, ECE = 0x40 };

/* An IPv6 extension header of `bytes` bytes in all (0 ends the chain). A fragment header has 8. */
struct packet_extension {
	__u8 type;
	__u16 bytes;
};

struct packet_spec {
	__u8 family;	  /* 0: that of the addresses, else IPv4 */
	__u16 tags[4];	  /* Ethertypes of tags, outermost first; 0 ends them */
	__u16 ethertype;  /* 0: that of the family */
	const char *from; /* text; NULL: 192.0.2.7, 2001:db8::7 */
	const char *to;	  /* NULL: 198.51.100.25, 2001:db8:ffff::25 */
	__u16 from_port;  /* 0: 40000 */
	__u16 to_port;	  /* 0: 25 */
	__u8 protocol;	  /* 0: TCP; else no TCP, but with ports at the same place */
	int flags;	  /* of TCP; 0: SYN, NO_FLAGS: none */
	__u32 sequence;
	__u32 acknowledged;
	__u8 tcp_options; /* bytes, a multiple of 4 up to 40 */
	__u16 payload;	  /* bytes */

	__u8 ip_options; /* IPv4: bytes, a multiple of 4 up to 40 */
	struct packet_extension extensions[12];
	__u16 fragment_offset; /* in units of 8 bytes; IPv6: in each fragment header of the chain */
	bool more_fragments;
	__u16 fragment_flags; /* further bits of the field */

	/* lies and damage */
	int version_delta, ihl_delta, doff_delta; /* added to what is right, modulo 16 */
	int length_delta;			  /* added to the length that IP says */
	__u16 end_tcp; /* the datagram ends after so many bytes of TCP; 0: after all of it */
	__u16 cut;     /* bytes that are missing at the frame's end */
	__u16 padding; /* bytes behind the datagram */
};
#define NO_FLAGS 0x100

/* Returns the frame's length. Its destination MAC is broadcast unless the caller overwrites it. */
size_t packet_build(const struct packet_spec *spec, unsigned char out[PACKET_BYTES]);

/* The family that `spec` has, 4 or 6. */
unsigned int packet_family(const struct packet_spec *spec);

#endif
