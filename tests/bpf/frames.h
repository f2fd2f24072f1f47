/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What frames.bpf.c and its user program share.
 */
#ifndef GATE25_FRAMES_H
#define GATE25_FRAMES_H

#include <linux/types.h>

#define FRAMES_BYTES 74 /* Ethernet, IPv6, TCP; an IPv4 frame has some padding */

struct frame_source {
	__u32 address_be[4]; /* the first one alone for IPv4 */
	__u32 family;	     /* 4 or 6 */
};

struct frames_settings {
	__u32 ifindex; /* the device that they are sent out of */
	__u32 sources; /* in frame_sources; taken in turn */
	__u32 destination4_be;
	__u32 destination6_be[4];
	__u16 port; /* host byte order */
	__u8 destination_mac[6], source_mac[6];
};

#endif
