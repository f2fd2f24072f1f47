// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one would write first: a program that looks the source of a TCP segment to port 25 up in a map of the kernel.
 * Listed or not, the frame is dropped, so that a miss costs no more than its look-up; `seen` counts which it was.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 seen[2]; /* not listed, listed */

struct key4 {
	__u32 length, address_be;
};

struct key6 {
	__u32 length, address_be[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct key4);
	__type(value, __u32);
} trie4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct key6);
	__type(value, __u32);
} trie6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} hash4 SEC(".maps");

static __always_inline const struct iphdr *guarded4(const struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP || tcp->dest != bpf_htons(25))
		return 0;
	return ip;
}

static __always_inline const struct ipv6hdr *guarded6(const struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct ipv6hdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IPV6) ||
	    ip->nexthdr != IPPROTO_TCP || tcp->dest != bpf_htons(25))
		return 0;
	return ip;
}

SEC("xdp.frags")
int by_trie4(struct xdp_md *context)
{
	const struct iphdr *ip = guarded4(context);
	struct key4 key = { .length = 32 };

	if (!ip)
		return XDP_PASS;
	key.address_be = ip->saddr;
	seen[bpf_map_lookup_elem(&trie4, &key) != 0]++;
	return XDP_DROP;
}

SEC("xdp.frags")
int by_trie6(struct xdp_md *context)
{
	const struct ipv6hdr *ip = guarded6(context);
	struct key6 key = { .length = 128 };

	if (!ip)
		return XDP_PASS;
	__builtin_memcpy(key.address_be, &ip->saddr, sizeof(key.address_be));
	seen[bpf_map_lookup_elem(&trie6, &key) != 0]++;
	return XDP_DROP;
}

SEC("xdp.frags")
int by_hash4(struct xdp_md *context)
{
	const struct iphdr *ip = guarded4(context);
	__u32 address_be;

	if (!ip)
		return XDP_PASS;
	address_be = ip->saddr;
	seen[bpf_map_lookup_elem(&hash4, &address_be) != 0]++;
	return XDP_DROP;
}
