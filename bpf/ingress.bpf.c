// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard's front door: an XDP program, one instance an interface. It reads from the bottom up:
 * ingress() at the end is the whole way of a frame.
 *
 *   frame -> packet -> service? -> overlay + table -> judge() -> limits -> count, tell
 *
 * In: a frame. Out: XDP_PASS or XDP_DROP. Whatever fails on our side passes the frame and is
 * counted.
 *
 * A step that is __noinline is verified once, whatever its caller knows; inlined, the verifier
 * would follow it on each path that leads there. What is handed to such a function is written
 * whole, padding too: kernels before 6.3 ask for it.
 */
#include "limits.h"
#include "lists.h"
#include "overlay.h"
#include "services.h"

/* ------------------------------------------------------------------ count */

static __always_inline void count(__u32 row, __u32 reason, __u32 connection)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u32 index = ((cpu * GATE25_IFACES + settings.iface) * GATE25_SERVICE_ROWS + row) *
			      GATE25_REASONS +
		      reason;
	struct gate25_counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->connections += connection;
}

/*
 * 1 for the first SYN of a connection, 0 for its retransmissions: those repeat addresses, ports and
 * sequence number. A fingerprint that newer ones have overwritten is new again.
 */
static __always_inline __u32 first_syn(const struct visit *visit)
{
	const struct packet *packet = &visit->packet;
	__u64 source = packet->source.lo + (packet->source.hi << 1);
	__u64 destination = packet->destination.lo + (packet->destination.hi << 1);
	__u64 hash = source * (secret.hash | 1);
	__u32 *place, fingerprint, first;

	hash ^= hash >> 32 ^ (__u64)packet->sequence << 32 ^ destination << 8 ^
		(__u32)packet->source_port << 16 ^ packet->destination_port;
	hash *= 0xd6e8feb86659fd93ULL;
	place = &repeats.fingerprints[hash >> 48];
	fingerprint = hash >> 16 | 1; /* never that of an empty place */
	first = *place != fingerprint;
	*place = fingerprint;
	return first;
}

/* ------------------------------------------------------------------ tell */

/*
 * 1: an event may be told. A flood cannot drown the log: each CPU has its rate. What was refused is
 * refused until the clock's next tick, before which nothing changes.
 */
static __always_inline int may_tell(struct gate25_cpu_state *mine, struct visit *visit)
{
	__u64 tick = bpf_jiffies64(), now_ns, tat;

	if (mine->event_refused_tick == tick || !settings.event_interval_ns) {
		mine->events_suppressed++;
		return 0;
	}
	now_ns = visit_time(visit);
	tat = mine->event_tat_ns > now_ns ? mine->event_tat_ns : now_ns;
	if (tat - now_ns > settings.event_tolerance_ns) {
		mine->event_refused_tick = tick;
		mine->events_suppressed++;
		return 0;
	}
	mine->event_tat_ns = tat + settings.event_interval_ns;
	return 1;
}

static __always_inline void tell(struct visit *visit, __u8 reason)
{
	struct gate25_cpu_state *mine = cpu_mine(bpf_get_smp_processor_id());
	struct gate25_event *event;

	if (!mine || !may_tell(mine, visit))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		mine->errors[GATE25_ERROR_RING_FULL]++;
		return;
	}
	*event = (struct gate25_event){
		.time_ns = visit->now_ns,
		.source = visit->source,
		.destination_hi = visit->packet.destination.hi,
		.destination_lo = visit->packet.destination.lo,
		.source_port = visit->packet.source_port,
		.destination_port = visit->packet.destination_port,
		.class = visit->class,
		.frame_family = visit->packet.source.family,
		.iface = settings.iface,
		.service = visit->service,
		.reason = reason,
	};
	bpf_ringbuf_submit(event, 0);
}

/* The end of every judged SYN. Each reason from MANUAL on is a drop, or would have been one. */
static __always_inline int conclude(struct visit *visit, __u32 reason, __u32 action)
{
	__u32 first = first_syn(visit);

	count(visit->service, reason, first);
	if (first && reason >= GATE25_REASON_MANUAL)
		tell(visit, reason);
	return action == GATE25_PASS ? XDP_PASS : XDP_DROP;
}

/* The steps before "lists": who is decided there does not reach it. */
#define BEFORE_LISTS                                                                               \
	(1 << GATE25_REASON_ALLOW_MANUAL | 1 << GATE25_REASON_ALLOW | 1 << GATE25_REASON_MANUAL |  \
	 1 << GATE25_REASON_BAN)

/*
 * Class hits: each SYN, repeated ones too, that reached the step "lists" and whose source is on
 * some list. What an overlay entry (that enforces) or an allow list decided before does not reach
 * it; an observed block goes on, and does.
 */
static __always_inline void count_lists(const struct visit *visit,
					const struct judgement *judgement)
{
	__u32 index = bpf_get_smp_processor_id() * settings.class_stride + visit->class;
	__u64 *hits;

	if (!visit->class || (BEFORE_LISTS >> (judgement->reason & 31) & 1))
		return;
	hits = bpf_map_lookup_elem(&class_hits, &index);
	if (hits)
		(*hits)++;
}

/* ------------------------------------------------------------------ sessions */

static __always_inline void tuple4(struct bpf_sock_tuple *out, const struct packet *packet)
{
	out->ipv4.saddr = __builtin_bswap32(packet->source.lo);
	out->ipv4.daddr = __builtin_bswap32(packet->destination.lo);
	out->ipv4.sport = __builtin_bswap16(packet->source_port);
	out->ipv4.dport = __builtin_bswap16(packet->destination_port);
}

static __always_inline void tuple6_address(__be32 *out, const struct gate25_source *address)
{
	out[0] = __builtin_bswap32(address->hi >> 32);
	out[1] = __builtin_bswap32(address->hi);
	out[2] = __builtin_bswap32(address->lo >> 32);
	out[3] = __builtin_bswap32(address->lo);
}

static __always_inline void tuple6(struct bpf_sock_tuple *out, const struct packet *packet)
{
	tuple6_address(out->ipv6.saddr, &packet->source);
	tuple6_address(out->ipv6.daddr, &packet->destination);
	out->ipv6.sport = __builtin_bswap16(packet->source_port);
	out->ipv6.dport = __builtin_bswap16(packet->destination_port);
}

/*
 * 1: a socket of this host that is no listener has the segment's addresses, those of the frame: its
 * session is open, or about to be, or was until now.
 */
__noinline int session_open(struct xdp_md *ctx, const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	int open;

	if (!packet)
		return 1;
	if (packet->source.family == 4) {
		tuple4(&tuple, packet);
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		tuple6(&tuple, packet);
		socket =
			bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!socket)
		return 0;
	open = socket->state != BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return open;
}

/* ------------------------------------------------------------------ known */

/*
 * Most frames of a session are of a source that was judged a moment ago and is on no list. Such
 * ones are remembered by a fingerprint, in the instance: a new generation knows nobody. Only what
 * cannot change within it is: the overlay is asked first, and a default has exemptions that end.
 */
static __always_inline __u64 known_tag(const struct visit *visit)
{
	__u64 tag = (visit->source.lo ^ secret.hash) * 0x9e3779b97f4a7c15ULL +
		    visit->source.hi * 0xd6e8feb86659fd93ULL +
		    (visit->service + 1) * 0xbf58476d1ce4e5b9ULL;

	return tag | 1; /* never that of an empty place */
}

static __always_inline __u64 *known_place(__u64 tag)
{
	return &known.tags[tag >> 52];
}

static __always_inline int may_be_known(const struct visit *visit, int overlaid)
{
	return !visit_is_syn(visit) && !overlaid && !has_default(visit);
}

/* ------------------------------------------------------------------ judge */

/*
 * A segment that is no SYN. A session that is open is never muted: only what belongs to no socket
 * of ours is dropped, and only where the sockets are known to be here. Limits are not asked,
 * nothing is told. `tag`: 0, or under which the source may be remembered.
 */
static __always_inline int judge_segment(struct xdp_md *ctx, const struct visit *visit,
					 const struct verdict_facts *facts, __u64 tag)
{
	struct verdict_facts enforced = *facts;
	struct judgement judgement;
	__u32 reason = GATE25_REASON_ESTABLISHED;

	enforced.observe = 0; /* whole and service decide below, over the missing socket */
	judgement = judge(&enforced);
	if (judgement.action != GATE25_PASS) {
		if (!(control.local_services >> visit->service & 1))
			reason = GATE25_REASON_FORWARDED;
		else if (session_open(ctx, &visit->packet))
			reason = GATE25_REASON_OPEN;
		else
			reason = visit->observe ? GATE25_REASON_WOULD_NO_SOCKET :
						  GATE25_REASON_NO_SOCKET;
	} else if (tag && !visit->failed)
		*known_place(tag) = tag;
	count(visit->service, reason, 0);
	return reason == GATE25_REASON_NO_SOCKET ? XDP_DROP : XDP_PASS;
}

static __always_inline int judge_syn(struct visit *visit, const struct verdict_facts *facts)
{
	struct judgement judgement = judge(facts);
	__u32 reason;

	count_lists(visit, &judgement);
	if (judgement.action == GATE25_PASS && !judgement.exempt)
		limits_judge(visit, &judgement);
	reason = judgement_reason(&judgement);
	if (reason == GATE25_REASON_OK && visit->failed)
		reason = GATE25_REASON_ERROR;
	return conclude(visit, reason, judgement.action);
}

static __always_inline int visit_judge(struct xdp_md *ctx, struct visit *visit)
{
	struct verdict_facts facts = {};
	int overlaid = overlay_in_use(visit->source.family);
	__u64 tag = 0;

	if (overlaid) {
		visit_time(visit);
		overlaid = overlay_find(visit, &facts.overlay);
	}
	if (may_be_known(visit, overlaid)) {
		tag = known_tag(visit);
		if (*known_place(tag) == tag) {
			count(visit->service, GATE25_REASON_ESTABLISHED, 0);
			return XDP_PASS;
		}
	}
	visit->observe = visit_only_observes(visit);
	facts.observe = visit->observe;
	ask_table(visit, &facts);
	ask_default(visit, &facts);
	return visit_is_syn(visit) ? judge_syn(visit, &facts) :
				     judge_segment(ctx, visit, &facts, tag);
}

/* ------------------------------------------------------------------ what cannot be judged */

/*
 * Malformed can be forged, so it is never a strike. What has no port has no service: then the
 * policy of the whole decides.
 */
static __always_inline int malformed(__u32 row)
{
	__u32 service = row & (GATE25_SERVICES - 1);
	__u32 observe;

	observe = control.observe ||
		  (row < GATE25_SERVICES && (control.observe_services >> service & 1)) ||
		  (control.pause_until_ns && control.pause_until_ns > bpf_ktime_get_coarse_ns());
	count(row, observe ? GATE25_REASON_WOULD_MALFORMED : GATE25_REASON_MALFORMED, 0);
	return observe ? XDP_PASS : XDP_DROP;
}

/* TCP, or perhaps TCP, whose ports or flags are not to be had. `row`: its service, if known. */
__noinline int unjudged(struct xdp_md *ctx, __u32 kind, __u32 row)
{
	__u32 seen = ctx->data_end - ctx->data;

	if (kind == PACKET_MALFORMED || (kind == PACKET_CUT && seen >= bpf_xdp_get_buff_len(ctx)))
		return malformed(row);
	/* a driver that splits frames shows the first part only: no fault of the sender */
	count(row, kind == PACKET_FRAGMENT ? GATE25_REASON_FRAGMENT : GATE25_REASON_HEADERS, 0);
	return XDP_PASS;
}

/* ------------------------------------------------------------------ the way of a frame */

/*
 * The length of the frame, or as much of it as the datagram needs: what is not all in the first part
 * costs a call.
 */
static __always_inline __u32 frame_length(struct xdp_md *ctx, const struct packet *packet)
{
	const __u8 *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 needed = packet->datagram_end;

	if (needed < 1 << 17 && start + needed <= end)
		return needed;
	return bpf_xdp_get_buff_len(ctx);
}

SEC("xdp.frags")
int ingress(struct xdp_md *ctx)
{
	struct cursor cursor = { .at = (void *)(long)ctx->data,
				 .end = (void *)(long)ctx->data_end };
	struct visit visit;
	enum packet_kind kind = packet_parse(&cursor, &visit.packet);

	if (kind == PACKET_OTHER)
		return XDP_PASS;
	visit.service = GATE25_NO_SERVICE;
	if (kind == PACKET_TCP) {
		visit.service = service_find(&visit.packet);
		if (visit.service >= GATE25_NO_SERVICE)
			return XDP_PASS;
		kind = packet_flags(&cursor, frame_length(ctx, &visit.packet), &visit.packet);
	}
	if (kind != PACKET_TCP)
		return unjudged(ctx, kind, visit.service);
	visit.source = visit.packet.source;
	source_normalise(&visit.source, &settings);
	visit.now_ns = 0;
	visit.class = 0;
	visit.observe = 0;
	visit.failed = 0;
	return visit_judge(ctx, &visit);
}

char LICENSE[] SEC("license") = "GPL";
