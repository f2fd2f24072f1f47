/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames from a set of sources through a veth pair, in the order of their numbers, and which of them passed.
 *
 * What it needs: both ends of the pair in this namespace and up, and native XDP on the receiving one.
 */
#ifndef GATE25_TEST_TRAFFIC_H
#define GATE25_TEST_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bpf/frames.h"

/* Frames in one go. The kernel takes some 20 ms to clear up behind each, so it should not be few. */
#define TRAFFIC_BURST 65536

struct traffic;

/*
 * `from` is the sending end, `to` the guarded one. Source number n sends the frames n, n + count, n + 2 count, …;
 * they go to 192.0.2.25 and 2001:db8::25, `port`. `frames_max`: for how many the witness has room.
 */
int traffic_open(const char *from, const char *to, const struct frame_source *sources, size_t count,
		 __u16 port, __u64 frames_max, struct traffic **out);
/* Sends some frames in one go. 0 or -errno. */
int traffic_send(struct traffic *traffic, unsigned int frames);
__u64 traffic_sent(const struct traffic *traffic);
bool traffic_passed(const struct traffic *traffic, __u64 number);
void traffic_close(struct traffic *traffic);

#endif
