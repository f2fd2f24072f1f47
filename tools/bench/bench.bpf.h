/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs of the bench and its user program share: where the frames' source addresses come from.
 */
#ifndef GATE25_BENCH_BPF_H
#define GATE25_BENCH_BPF_H

#include <linux/types.h>

#define FRAME_BYTES 80 /* Ethernet, IPv6, TCP and some padding: written whole for each frame */
#define POOL_MOST   (1 << 17)

/* Offsets in a frame without tags and options. */
#define AT_CHECK4    24
#define AT_SOURCE4   26
#define AT_SOURCE6   22
#define AT_PORTS4    34
#define AT_PORTS6    54
#define AT_SEQUENCE4 38
#define AT_SEQUENCE6 58

/* What the frames of one measurement are like. */
struct aim {
	__u64 template_[FRAME_BYTES / 8];
	__u32 ifindex; /* they leave through this device */
	__u32 family;  /* 4 or 6 */
	/*
	 * Sources are the hosts number base to base + count - 1 of mix(), drawn at random; with count 0 they are
	 * pool_last + 1 (a power of two) addresses of the pool, in turn.
	 */
	__u32 base, count;
	__u32 pool_first, pool_last;
	__u32 check_rest;  /* sum of the IPv4 header without its source */
	__u32 fresh;	   /* 1: port and sequence number are another in each frame */
	__u64 first, last; /* the frames between which time is taken */
};

/*
 * A bijection on 32 bits: host number -> address. A set of N hosts is the numbers below N, so that it can be hit and
 * missed at random without a table of addresses. No number that the bench uses becomes address 0.
 */
static inline __u32 mix(__u32 number)
{
	number += 0x9e3779b9;
	number ^= number >> 16;
	number *= 0x85ebca6b;
	number ^= number >> 13;
	number *= 0xc2b2ae35;
	return number ^ number >> 16;
}

#define MISS_BASE  0x80000000u /* hosts from here on are in no set */
#define MISS_COUNT (1u << 24)

#endif
