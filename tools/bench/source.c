// SPDX-License-Identifier: GPL-2.0-only
/* Drives source.bpf.c: templates of frames, the pool of addresses, one run on one CPU. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tools/bench/bench.h"
#include "tools/bench/source.skel.h"
#include "user/log.h"

#define BATCH	  64   /* the ring of a veth holds 256 */
#define WARM_UP	  8192 /* frames before time is taken */
#define POOL_ITEM 16

static struct source_bpf *source;
static __u32 (*pool)[4];

int source_open(void)
{
	source = source_bpf__open_and_load();
	if (!source) {
		log_error("cannot load the source of frames: %s", strerror(errno));
		return -errno;
	}
	pool = mmap(NULL, POOL_MOST * POOL_ITEM, PROT_READ | PROT_WRITE, MAP_SHARED,
		    bpf_map__fd(source->maps.pool), 0);
	if (pool != MAP_FAILED)
		return 0;
	pool = NULL;
	return -errno;
}

void source_close(void)
{
	if (pool)
		munmap(pool, POOL_MOST * POOL_ITEM);
	source_bpf__destroy(source);
}

int source_pool(__u32 first, const __u32 (*addresses_be)[4], __u32 count)
{
	if (first + count > POOL_MOST)
		return -E2BIG;
	memcpy(pool[first], addresses_be, count * POOL_ITEM);
	return 0;
}

/* ---------------------------------------------------------------- frames */

static const struct {
	__u8 family, protocol;
	__u16 port;
	bool syn, ack, fresh;
} kinds[FRAME_KINDS] = {
	[FRAME_SYN4] = { 4, IPPROTO_TCP, 25, true, false, true },
	[FRAME_ACK4] = { 4, IPPROTO_TCP, 25, false, true, false },
	[FRAME_WEB4] = { 4, IPPROTO_TCP, 443, false, true, false },
	[FRAME_UDP4] = { 4, IPPROTO_UDP, 53, false, false, false },
	[FRAME_SYN6] = { 6, IPPROTO_TCP, 25, true, false, true },
};

static void transport_fill(char *at, enum frame_kind kind)
{
	struct tcphdr *tcp = (struct tcphdr *)at;
	struct udphdr *udp = (struct udphdr *)at;

	if (kinds[kind].protocol == IPPROTO_UDP) {
		udp->source = htons(40000);
		udp->dest = htons(kinds[kind].port);
		udp->len = htons(sizeof(*tcp));
		return;
	}
	tcp->source = htons(40000);
	tcp->dest = htons(kinds[kind].port);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = kinds[kind].syn;
	tcp->ack = kinds[kind].ack;
	tcp->window = htons(64240);
}

static void aim_fill4(struct aim *aim, struct iphdr *ip, __u8 protocol)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons(sizeof(*ip) + sizeof(struct tcphdr));
	ip->ttl = 64;
	ip->protocol = protocol;
	inet_pton(AF_INET, "192.0.2.25", &ip->daddr);
	for (size_t i = 0; i < sizeof(*ip); i += 2) {
		__u16 word;

		memcpy(&word, (char *)ip + i, sizeof(word));
		aim->check_rest += word;
	}
}

static void aim_fill6(struct ipv6hdr *ip)
{
	ip->version = 6;
	ip->payload_len = htons(sizeof(struct tcphdr));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = 64;
	inet_pton(AF_INET6, "2001:db8::25", &ip->daddr);
}

static void aim_fill(struct aim *aim, enum frame_kind kind)
{
	char *frame = (char *)aim->template_;
	struct ethhdr *ethernet = (struct ethhdr *)frame;

	memset(aim, 0, sizeof(*aim));
	aim->family = kinds[kind].family;
	aim->fresh = kinds[kind].fresh;
	memset(ethernet->h_source, 0x02, ETH_ALEN);
	if (aim->family == 4) {
		ethernet->h_proto = htons(ETH_P_IP);
		aim_fill4(aim, (struct iphdr *)(ethernet + 1), kinds[kind].protocol);
		transport_fill(frame + AT_PORTS4, kind);
	} else {
		ethernet->h_proto = htons(ETH_P_IPV6);
		aim_fill6((struct ipv6hdr *)(ethernet + 1));
		transport_fill(frame + AT_PORTS6, kind);
	}
}

void aim_hosts(struct aim *aim, enum frame_kind kind, __u32 base, __u32 count)
{
	aim_fill(aim, kind);
	aim->base = base;
	aim->count = count;
}

void aim_pool(struct aim *aim, enum frame_kind kind, __u32 first, __u32 count)
{
	aim_fill(aim, kind);
	aim->pool_first = first;
	aim->pool_last = count - 1;
}

/* ---------------------------------------------------------------- a run */

/* Whatever else the machine does waits meanwhile, as far as it can. */
static int run_pinned(struct bpf_test_run_opts *run)
{
	cpu_set_t before, one;
	int error = 0;

	CPU_ZERO(&one);
	CPU_SET(options->cpu, &one);
	if (sched_getaffinity(0, sizeof(before), &before) ||
	    sched_setaffinity(0, sizeof(one), &one))
		return -errno;
	setpriority(PRIO_PROCESS, 0, -20);
	if (bpf_prog_test_run_opts(bpf_program__fd(source->progs.source), run))
		error = -errno;
	setpriority(PRIO_PROCESS, 0, 0);
	sched_setaffinity(0, sizeof(before), &before);
	return error;
}

int source_run(const struct aim *aim, const struct device *device, __u32 frames, double *ns)
{
	static const char blank[FRAME_BYTES];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = blank, .data_size_in = sizeof(blank),
		    .repeat = frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	__u64 before = source->bss->sent;
	struct aim *mine = &source->bss->aim;
	int error;

	*mine = *aim;
	memcpy(mine->template_, device->mac, ETH_ALEN);
	mine->ifindex = device->peer_ifindex;
	mine->first = before + WARM_UP;
	mine->last = before + frames;
	error = run_pinned(&run);
	if (!error && source->bss->sent != before + frames)
		error = -EIO;
	if (error) {
		log_error("the source of frames stopped: %s", strerror(-error));
		return error;
	}
	*ns = (double)(source->bss->last_ns - source->bss->first_ns) / (frames - WARM_UP);
	return 0;
}
