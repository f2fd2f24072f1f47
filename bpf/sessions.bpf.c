// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who completed a handshake: a sock_ops program at the root of the control groups, once a host. It
 * charges the limits for each connection to a guarded service that the kernel has just established
 * here; ingress.bpf.c only reads them (limits.h). It changes nothing about any connection.
 *
 * In: the socket. Out: budgets in `sources`, and in `spent` which of them are spent.
 *
 * It sees the TCP of the whole host, so most calls must end at once. The socket's `reply` is left
 * alone: it may be another program's answer.
 */
#include "limits.h"
#include "lists.h"
#include "overlay.h"
#include "services.h"

#define FAMILY_IPV4 2 /* AF_INET: the kernel's headers for programs have no name for it */

/* An address of a socket; a socket of IPv6 has an IPv4 peer as ::ffff:a.b.c.d. */
static __always_inline void address6(struct gate25_source *out, __u32 a, __u32 b, __u32 c, __u32 d)
{
	out->hi = (__u64)__builtin_bswap32(a) << 32 | __builtin_bswap32(b);
	out->lo = (__u64)__builtin_bswap32(c) << 32 | __builtin_bswap32(d);
	out->family = 6;
	if (out->hi || out->lo >> 32 != 0xffff)
		return;
	out->lo &= 0xffffffff;
	out->family = 4;
}

/* Volatile: a context is read word by word, never two at once. */
static __always_inline void addresses(const volatile struct bpf_sock_ops *socket,
				      struct packet *out)
{
	if (socket->family == FAMILY_IPV4) {
		packet_address(&out->source, 4, 0, __builtin_bswap32(socket->remote_ip4));
		packet_address(&out->destination, 4, 0, __builtin_bswap32(socket->local_ip4));
		return;
	}
	address6(&out->source, socket->remote_ip6[0], socket->remote_ip6[1], socket->remote_ip6[2],
		 socket->remote_ip6[3]);
	address6(&out->destination, socket->local_ip6[0], socket->local_ip6[1],
		 socket->local_ip6[2], socket->local_ip6[3]);
}

/* 1: nothing exempts the source from limits. The steps are those of a SYN. */
static __always_inline int is_limited(struct visit *visit)
{
	struct verdict_facts facts = { .observe = visit->observe };

	if (overlay_in_use(visit->source.family))
		overlay_find(visit, &facts.overlay);
	ask_table(visit, &facts);
	return !judge(&facts).exempt;
}

/* Tells the guard that a budget is spent. A race may lose that, until the next connection. */
static __always_inline void mark(struct visit *visit, __u32 scope)
{
	struct limit_account account = {};
	__u64 wait, until_ns, *bucket;

	if (!limit_open(visit, scope, &account))
		return;
	wait = limit_wait(&account, scope, visit->now_ns);
	if (!wait)
		return;
	/* clocks of CPUs differ by a tick */
	until_ns = visit->now_ns + ((wait + SOURCE_TICK) << SOURCE_UNIT_SHIFT);
	bucket = &spent.until_ns[source_bucket(account.hash)];
	if (*bucket < until_ns)
		*bucket = until_ns;
	if (spent.any_until_ns < until_ns)
		spent.any_until_ns = until_ns;
}

SEC("sockops")
int sessions(struct bpf_sock_ops *socket)
{
	struct judgement judgement = {};
	struct visit visit = {};

	if (socket->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || !services_at(socket->local_port) ||
	    bpf_get_netns_cookie(socket) != settings.netns_cookie)
		return 1;
	addresses(socket, &visit.packet);
	visit.packet.destination_port = socket->local_port;
	visit.service = service_find(&visit.packet);
	if (visit.service >= GATE25_NO_SERVICE || !(control.counted_services >> visit.service & 1))
		return 1;
	visit.source = visit.packet.source;
	source_normalise(&visit.source, &settings);
	visit_time(&visit);
	visit.observe = visit_only_observes(&visit);
	if (!is_limited(&visit))
		return 1;
	limits_charge(&visit, &judgement);
	mark(&visit, GATE25_SCOPE_SOURCE);
	mark(&visit, GATE25_SCOPE_NETWORK);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
