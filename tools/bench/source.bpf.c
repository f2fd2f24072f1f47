// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source of frames. BPF_PROG_TEST_RUN runs it with live frames: it writes a whole frame from a template, with a
 * source address of its own, and sends it out of one end of a veth pair; what is measured sits at the other.
 * It takes the time itself, between two of its frames, so that what the kernel does before and after does not count.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* One CPU alone runs the source: plain variables do. */
struct aim aim;
__u64 sent;
__u64 first_ns, last_ns;
__u64 state = 0x2545f4914f6cdd1dULL;

struct address {
	__u32 be[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, POOL_MOST);
	__type(key, __u32);
	__type(value, struct address);
} pool SEC(".maps");

static __always_inline __u16 check4(__u32 source_be)
{
	__u32 sum = aim.check_rest + (source_be & 0xffff) + (source_be >> 16);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void source4_write(char *frame, __u32 source_be, __u64 random)
{
	*(__u32 *)(frame + AT_SOURCE4) = source_be;
	*(__u16 *)(frame + AT_CHECK4) = check4(source_be);
	if (!aim.fresh)
		return;
	*(__u16 *)(frame + AT_PORTS4) = random >> 8;
	*(__u32 *)(frame + AT_SEQUENCE4) = random;
}

static __always_inline void source6_write(char *frame, const struct address *source, __u64 random)
{
	*(struct address *)(frame + AT_SOURCE6) = *source;
	if (!aim.fresh)
		return;
	*(__u16 *)(frame + AT_PORTS6) = random >> 8;
	*(__u32 *)(frame + AT_SEQUENCE6) = random;
}

static __always_inline int source_write(char *frame, __u64 number)
{
	__u32 index = aim.pool_first + (number & aim.pool_last);
	struct address *source;
	__u64 random;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	random = state >> 24;
	if (aim.count) {
		index = aim.base + ((state >> 32) * aim.count >> 32);
		source4_write(frame, bpf_htonl(mix(index)), random);
		return 0;
	}
	source = bpf_map_lookup_elem(&pool, &index);
	if (!source)
		return -1;
	if (aim.family == 4)
		source4_write(frame, source->be[0], random);
	else
		source6_write(frame, source, random);
	return 0;
}

SEC("xdp")
int source(struct xdp_md *context)
{
	char *frame = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 number = ++sent;

	if (frame + FRAME_BYTES > end)
		return XDP_ABORTED;
	if (number == aim.first)
		first_ns = bpf_ktime_get_ns();
	if (number == aim.last)
		last_ns = bpf_ktime_get_ns();
	__builtin_memcpy(frame, aim.template_, FRAME_BYTES);
	if (source_write(frame, number))
		return XDP_ABORTED;
	return bpf_redirect(aim.ifindex, 0);
}
