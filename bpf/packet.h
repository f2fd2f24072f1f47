/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A frame -> what it is to the guard. Bytes in, values out: no maps, no helpers.
 *
 * One cursor walks over the frame, one small function reads a header. Nothing in a packet is
 * trusted: ihl, doff, total and extension lengths are checked before they move the cursor. What is
 * not TCP leaves as early as possible: that is most of a machine's traffic.
 *
 * The frame should start two bytes behind a multiple of four, as drivers place it: then all headers
 * are aligned.
 */
#ifndef GATE25_PACKET_H
#define GATE25_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "gate25.h"
#include "inline.h"

#define PACKET_TAGS	  2
#define PACKET_EXTENSIONS 8 /* IPv6 extension headers that are followed */

enum packet_kind {
	PACKET_OTHER,	  /* nothing to do with us */
	PACKET_TCP,	  /* ports are known */
	PACKET_FRAGMENT,  /* a later fragment: carries no port */
	PACKET_HEADERS,	  /* IPv6 header chain beyond bound or frame: protocol unknown */
	PACKET_MALFORMED, /* TCP that hides its ports or flags (RFC 1858, RFC 3128), or is none */
	PACKET_CUT,	  /* what can be seen of the frame ends within TCP's header */
};

#define PACKET_FIN 0x01
#define PACKET_SYN 0x02
#define PACKET_RST 0x04
#define PACKET_ACK 0x10

/*
 * A length of 0 in the IP header: the datagram ends where the frame does. Generic mode sees frames
 * that were aggregated beyond 64 KiB (BIG TCP) so, and the kernel reads some others so too.
 */
#define PACKET_FRAME_END (~0U)

struct packet {
	struct gate25_source source, destination; /* as in the frame, not translated */
	__u32 datagram_end; /* offset from the start of the frame, or PACKET_FRAME_END */
	__u32 tcp_start;    /* likewise */
	__u32 sequence;
	__u16 source_port, destination_port; /* host byte order */
	__u64 flags;			     /* of TCP: 8 bits, the rest is 0 */
};

struct cursor {
	const __u8 *at, *end; /* linear part of the frame */
	__u32 offset;	      /* of `at` from the start */
};

/* What `bytes` more bytes start with; NULL if the frame ends before. */
ALWAYS_INLINE const void *cursor_take(struct cursor *cursor, __u32 bytes)
{
	const __u8 *header = cursor->at;

	if (header + bytes > cursor->end)
		return (void *)0;
	cursor->at += bytes;
	cursor->offset += bytes;
	return header;
}

ALWAYS_INLINE __u64 packet_be64(const void *bytes)
{
	const __u32 *words = bytes;

	return (__u64)__builtin_bswap32(words[0]) << 32 | __builtin_bswap32(words[1]);
}

/* The EtherType behind up to two tags, host byte order; 0 if there is none. */
ALWAYS_INLINE __u16 packet_ethernet(struct cursor *cursor)
{
	const struct ethhdr *eth = cursor_take(cursor, sizeof(*eth));
	__u16 type;

	if (!eth)
		return 0;
	type = __builtin_bswap16(((const __be16 *)eth)[6]); /* h_proto, as a word */
#pragma GCC unroll 2
	for (int i = 0; i < PACKET_TAGS; i++) {
		const __be16 *tag;

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		tag = cursor_take(cursor, 4);
		if (!tag)
			return 0;
		type = __builtin_bswap16(tag[1]);
	}
	return type;
}

/*
 * The ports of TCP behind the cursor. `first` says that it is the first of several fragments: one
 * without room for ports and flags hides them (RFC 1858), so no port of it is believed.
 */
ALWAYS_INLINE enum packet_kind packet_ports(struct cursor *cursor, __u32 end, __u8 first,
					    struct packet *out)
{
	__u32 start = cursor->offset;
	const __be16 *ports = cursor_take(cursor, 4);

	if (end < start + 4 || (first && end < start + 14))
		return PACKET_MALFORMED;
	if (!ports)
		return PACKET_CUT;
	out->source_port = __builtin_bswap16(ports[0]);
	out->destination_port = __builtin_bswap16(ports[1]);
	out->tcp_start = start;
	out->datagram_end = end;
	return PACKET_TCP;
}

/*
 * The rest of the TCP header, once it is known that somebody cares: sequence number and flags.
 * `length` is that of the whole frame. Malformed is a length that lies, SYN with FIN or RST, none
 * of SYN, RST and ACK (NULL, XMAS, FIN scans).
 */
ALWAYS_INLINE enum packet_kind packet_flags(struct cursor *cursor, __u32 length,
					    struct packet *packet)
{
	const __u8 *rest = cursor_take(cursor, 16);
	__u32 header, end = packet->datagram_end;
	__u8 flags;

	if (!rest)
		return PACKET_CUT;
	packet->sequence = __builtin_bswap32(*(const __be32 *)rest);
	header = (rest[8] >> 4) * 4;
	flags = rest[9];
	packet->flags = flags;
	if (end == PACKET_FRAME_END)
		end = length;
	if (header < sizeof(struct tcphdr) || end > length || packet->tcp_start + header > end ||
	    (flags & (PACKET_SYN | PACKET_FIN)) == (PACKET_SYN | PACKET_FIN) ||
	    (flags & (PACKET_SYN | PACKET_RST)) == (PACKET_SYN | PACKET_RST) ||
	    !(flags & (PACKET_SYN | PACKET_RST | PACKET_ACK)))
		return PACKET_MALFORMED;
	return PACKET_TCP;
}

ALWAYS_INLINE void packet_address(struct gate25_source *out, __u8 family, __u64 hi, __u64 lo)
{
	*out = (struct gate25_source){ .hi = hi, .lo = lo, .family = family };
}

ALWAYS_INLINE enum packet_kind packet_ipv4(struct cursor *cursor, struct packet *out)
{
	__u32 start = cursor->offset, header, total;
	const struct iphdr *ip = cursor_take(cursor, sizeof(*ip));
	__u16 fragment;

	if (!ip || ip->protocol != IPPROTO_TCP)
		return PACKET_OTHER;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return PACKET_OTHER; /* no IP: the kernel throws it away */
	fragment = __builtin_bswap16(ip->frag_off);
	if (fragment & 0x1fff)
		return (fragment & 0x1fff) == 1 ? PACKET_MALFORMED : PACKET_FRAGMENT;
	packet_address(&out->source, 4, 0, __builtin_bswap32(ip->saddr));
	packet_address(&out->destination, 4, 0, __builtin_bswap32(ip->daddr));
	total = __builtin_bswap16(ip->tot_len);
	if (header > sizeof(*ip) && !cursor_take(cursor, header - sizeof(*ip)))
		return PACKET_CUT;
	return packet_ports(cursor, total ? start + total : PACKET_FRAME_END, !!(fragment & 0x2000),
			    out);
}

ALWAYS_INLINE __u64 packet_is(__u8 type, __u8 wanted)
{
	__u64 same = (__u64)(type ^ wanted) - 1; /* below 0 if they are */

	same >>= 63;
	OPAQUE(same);
	return same;
}

/* The extension headers that the walk follows (RFC 8200, 4302, 6275, 7401, 5533). */
#define PACKET_EXTENSIONS_0                                                                        \
	(1ULL << IPPROTO_HOPOPTS | 1ULL << IPPROTO_ROUTING | 1ULL << IPPROTO_FRAGMENT |            \
	 1ULL << IPPROTO_AH | 1ULL << IPPROTO_DSTOPTS)
#define PACKET_EXTENSIONS_128                                                                      \
	(1ULL << (IPPROTO_MH - 128) | 1ULL << (139 - 128) | 1ULL << (140 - 128))

ALWAYS_INLINE __u64 packet_is_extension(__u8 type)
{
	__u64 low = PACKET_EXTENSIONS_0 >> (type & 63) & packet_is(type >> 6, 0);
	__u64 high = PACKET_EXTENSIONS_128 >> (type & 63) & packet_is(type >> 6, 2);
	__u64 known = (low | high) & 1;

	OPAQUE(known);
	return known;
}

/* Where the walk stands. */
struct packet_walk {
	__u64 next;	/* type of the header at the cursor */
	__u64 fragment; /* of a fragment header: offset above 3 bits, the lowest says "more" */
};

/* Steps over one extension header; 0 if the frame ends within. */
ALWAYS_INLINE int packet_step(struct cursor *cursor, struct packet_walk *walk)
{
	const __u8 *header = cursor_take(cursor, 8);
	__u64 fragment = packet_is(walk->next, IPPROTO_FRAGMENT),
	      ah = packet_is(walk->next, IPPROTO_AH);
	__u64 more;

	if (!header)
		return 0;
	/*
	 * units of 8 bytes behind the first 8; AH counts words (RFC 4302 2.2), a fragment header
	 * has no length
	 */
	more = ((__u64)header[1] << (3 - ah)) * (1 - fragment) & 0x7ff;
	walk->fragment |= ((__u64)header[2] << 8 | header[3]) * fragment;
	walk->next = header[0];
	return !!cursor_take(cursor, more);
}

/* A later fragment: what follows it is known only where no further extension header does. */
ALWAYS_INLINE enum packet_kind packet_later(const struct packet_walk *walk)
{
	if (walk->next != IPPROTO_TCP)
		return packet_is_extension(walk->next) ? PACKET_FRAGMENT : PACKET_OTHER;
	return walk->fragment >> 3 == 1 ? PACKET_MALFORMED : PACKET_FRAGMENT;
}

ALWAYS_INLINE enum packet_kind packet_ipv6(struct cursor *cursor, struct packet *out)
{
	const struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));
	struct packet_walk walk = { 0 };
	__u32 end;

	if (!ip || (ip->nexthdr != IPPROTO_TCP && !packet_is_extension(ip->nexthdr)))
		return PACKET_OTHER;
	if (ip->version != 6)
		return PACKET_OTHER;
	end = ip->payload_len ? cursor->offset + __builtin_bswap16(ip->payload_len) :
				PACKET_FRAME_END;
	packet_address(&out->source, 6, packet_be64(&ip->saddr),
		       packet_be64((const __u8 *)&ip->saddr + 8));
	packet_address(&out->destination, 6, packet_be64(&ip->daddr),
		       packet_be64((const __u8 *)&ip->daddr + 8));
	walk.next = ip->nexthdr;
	for (int i = 0; i < PACKET_EXTENSIONS && packet_is_extension(walk.next); i++) {
		if (!packet_step(cursor, &walk))
			return PACKET_HEADERS; /* where the chain leads is not to be seen */
		if (walk.fragment > 7)
			return packet_later(&walk);
	}
	if (packet_is_extension(walk.next))
		return PACKET_HEADERS;
	return walk.next == IPPROTO_TCP ? packet_ports(cursor, end, walk.fragment & 1, out) :
					  PACKET_OTHER;
}

/* Walks to the ports. packet_flags() goes on from the cursor. */
ALWAYS_INLINE enum packet_kind packet_parse(struct cursor *cursor, struct packet *out)
{
	__u16 type = packet_ethernet(cursor);

	if (type == ETH_P_IP)
		return packet_ipv4(cursor, out);
	if (type == ETH_P_IPV6)
		return packet_ipv6(cursor, out);
	return PACKET_OTHER;
}

#endif
