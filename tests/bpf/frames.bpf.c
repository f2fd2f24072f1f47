// SPDX-License-Identifier: GPL-2.0-only
/*
 * A source of frames, for tests and benches, and a witness of what arrived.
 *
 * `frames` is run by BPF_PROG_TEST_RUN with live frames: it writes a whole TCP SYN over the frame, from the
 * next address of a set, and sends it out of a device. Through one end of a veth pair the frame arrives at
 * the native XDP program of the other. The sequence number of the SYN is the number of the frame.
 * `witness` sits behind that program (tc ingress): it notes which numbers passed, and lets nothing further.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "frames.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct frames_settings settings = {};
__u64 next_number; /* of all frames that were written, on any CPU */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame_source);
} frame_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} passed SEC(".maps"); /* a bit per number */

static __always_inline __u16 sum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void tcp_write(struct tcphdr *tcp, __u64 number, __u32 pseudo)
{
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = bpf_htons(1024 + number % 60000);
	tcp->dest = bpf_htons(settings.port);
	tcp->seq = bpf_htonl((__u32)number);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = 1;
	tcp->window = bpf_htons(64240);
	tcp->check = sum_fold(bpf_csum_diff(0, 0, (__be32 *)tcp, sizeof(*tcp), pseudo));
}

static __always_inline int frame4(void *data, void *end, const struct frame_source *source,
				  __u64 number)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__be32 pseudo[3];

	if ((void *)(tcp + 1) > end)
		return -1;
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->saddr = source->address_be[0];
	ip->daddr = settings.destination4_be;
	ip->check = sum_fold(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
	pseudo[0] = ip->saddr;
	pseudo[1] = ip->daddr;
	pseudo[2] = bpf_htonl(IPPROTO_TCP << 16 | sizeof(*tcp));
	tcp_write(tcp, number, bpf_csum_diff(0, 0, pseudo, sizeof(pseudo), 0));
	return 0;
}

static __always_inline int frame6(void *data, void *end, const struct frame_source *source,
				  __u64 number)
{
	struct ethhdr *ethernet = data;
	struct ipv6hdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__be32 rest[2] = { bpf_htonl(sizeof(*tcp)), bpf_htonl(IPPROTO_TCP) };
	__u32 pseudo;

	if ((void *)(tcp + 1) > end)
		return -1;
	ethernet->h_proto = bpf_htons(ETH_P_IPV6);
	__builtin_memset(ip, 0, 8);
	ip->version = 6;
	ip->payload_len = bpf_htons(sizeof(*tcp));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, source->address_be, 16);
	__builtin_memcpy(&ip->daddr, (const void *)settings.destination6_be, 16);
	pseudo = bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, 0);
	tcp_write(tcp, number, bpf_csum_diff(0, 0, rest, sizeof(rest), pseudo));
	return 0;
}

SEC("xdp")
int frames(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 number = __sync_fetch_and_add(&next_number, 1);
	__u32 index = number % (settings.sources ? settings.sources : 1);
	const struct frame_source *source = bpf_map_lookup_elem(&frame_sources, &index);
	struct ethhdr *ethernet = data;
	int failed;

	if (!source || (void *)(ethernet + 1) > end)
		return XDP_ABORTED;
	__builtin_memcpy(ethernet->h_dest, (const void *)settings.destination_mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, (const void *)settings.source_mac, ETH_ALEN);
	if (source->family == 4)
		failed = frame4(data, end, source, number);
	else
		failed = frame6(data, end, source, number);
	return failed ? XDP_ABORTED : bpf_redirect(settings.ifindex, 0);
}

SEC("tc")
int witness(struct __sk_buff *frame)
{
	__u32 offset = sizeof(struct ethhdr), number, word;
	__u8 protocol = 0;
	__u64 *bits;

	if (frame->protocol == bpf_htons(ETH_P_IP)) {
		bpf_skb_load_bytes(frame, offset + __builtin_offsetof(struct iphdr, protocol),
				   &protocol, sizeof(protocol));
		offset += sizeof(struct iphdr);
	} else if (frame->protocol == bpf_htons(ETH_P_IPV6)) {
		bpf_skb_load_bytes(frame, offset + __builtin_offsetof(struct ipv6hdr, nexthdr),
				   &protocol, sizeof(protocol));
		offset += sizeof(struct ipv6hdr);
	}
	offset += __builtin_offsetof(struct tcphdr, seq);
	if (protocol != IPPROTO_TCP || bpf_skb_load_bytes(frame, offset, &number, sizeof(number)))
		return TC_ACT_OK; /* neighbour discovery and the like */
	number = bpf_ntohl(number);
	word = number / 64;
	bits = bpf_map_lookup_elem(&passed, &word);
	if (bits)
		__sync_fetch_and_or(bits, 1ULL << number % 64);
	return TC_ACT_SHOT;
}
