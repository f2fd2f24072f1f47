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
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "gate25.h"
#include "maps.h"
#include "packet.h"
#include "source.h"
#include "verdict.h"

#define TABLE_LINE(table, index) bpf_map_lookup_elem(table, &(__u32){ index })
#include "table.h"

/* .rodata: constants of this instance, which the verifier folds */
const volatile struct gate25_settings settings = {};
const volatile struct gate25_table_layout layout = {};
const volatile __u8 port_services[65536] = {}; /* bit per service slot, by destination port */

/* A segment to a guarded service, on its way through the steps. */
struct visit {
	struct packet packet;
	struct gate25_source source; /* as it is judged */
	__u64 now_ns;		     /* 0: nobody asked for the time */
	__u32 service;		     /* slot; GATE25_NO_SERVICE */
	__u16 class;
	__u8 observe; /* paused, or the whole or the service only observes */
	__u8 failed;  /* something of our own that must be there was missing */
};

static __always_inline int visit_is_syn(const struct visit *visit)
{
	return (visit->packet.flags & (PACKET_SYN | PACKET_ACK)) == PACKET_SYN;
}

/* ------------------------------------------------------------------ count */

static __always_inline struct gate25_cpu_state *cpu_mine(__u32 cpu)
{
	return bpf_map_lookup_elem(&cpu_state, &cpu);
}

static __always_inline void count_error(enum gate25_error kind)
{
	struct gate25_cpu_state *mine = cpu_mine(bpf_get_smp_processor_id());

	if (mine)
		mine->errors[kind]++;
}

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

/* What must be there and is not: mail passes. */
static __always_inline int fail(__u32 row)
{
	count_error(GATE25_ERROR_MAP);
	count(row, GATE25_REASON_ERROR, 0);
	return XDP_PASS;
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

/* 1: an event may be told. A flood cannot drown the log: each CPU has its rate. */
static __always_inline int may_tell(struct gate25_cpu_state *mine, __u64 now_ns)
{
	__u64 tat = mine->event_tat_ns > now_ns ? mine->event_tat_ns : now_ns;

	if (tat - now_ns > settings.event_tolerance_ns || !settings.event_interval_ns) {
		mine->events_suppressed++;
		return 0;
	}
	mine->event_tat_ns = tat + settings.event_interval_ns;
	return 1;
}

static __always_inline void tell(const struct visit *visit, __u8 reason)
{
	struct gate25_cpu_state *mine = cpu_mine(bpf_get_smp_processor_id());
	struct gate25_event *event;

	if (!mine || !may_tell(mine, visit->now_ns))
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
static __always_inline int conclude(const struct visit *visit, __u32 reason, __u32 action)
{
	__u32 first = first_syn(visit);

	count(visit->service, reason, first);
	if (first && reason >= GATE25_REASON_MANUAL)
		tell(visit, reason);
	return action == GATE25_PASS ? XDP_PASS : XDP_DROP;
}

/* ------------------------------------------------------------------ overlay */

struct overlay_walk {
	struct gate25_source source;
	struct overlay_findings found;
	__u64 bits; /* lengths in use that are still to be asked */
	__u64 now_ns;
	__u32 base; /* the length that bit 0 stands for */
	__u8 service_bit;
	__u8 pad[3];
};

static __always_inline __u64 mask_upper(__u32 length)
{
	return length ? ~0ULL << ((64 - length) & 63) : 0;
}

/*
 * The number of the highest bit set. Arithmetic, since each branch would double what the verifier
 * follows; by hand, since the compiler's own expansion of the builtin does not end for BPF.
 */
static __always_inline __u32 highest_bit(__u64 bits)
{
#pragma GCC unroll 6
	for (int shift = 1; shift < 64; shift *= 2)
		bits |= bits >> shift;
	bits -= bits >> 1 & 0x5555555555555555ULL;
	bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return ((bits * 0x0101010101010101ULL >> 56) - 1) & 63;
}

static long overlay_step(__u32 index __attribute__((unused)), void *context)
{
	struct overlay_walk *walk = context;
	struct gate25_overlay_key key = { .family = walk->source.family };
	struct gate25_overlay_entry *entry;
	__u32 top, length;

	if (!walk->bits)
		return 1;
	top = highest_bit(walk->bits);
	walk->bits &= ~(1ULL << top);
	length = walk->base + top;
	key.length = length;
	if (key.family == 4) {
		key.lo = walk->source.lo & mask_upper(length + 32);
	} else {
		key.hi = walk->source.hi & mask_upper(length < 64 ? length : 64);
		key.lo = walk->source.lo & mask_upper(length > 64 ? length - 64 : 0);
	}
	entry = bpf_map_lookup_elem(&overlay, &key);
	if (entry)
		overlay_rank(&walk->found, entry, length, walk->service_bit, walk->now_ns);
	return 0;
}

/* What the overlay says: all lengths in use are probed, the findings ranked. */
__noinline int overlay_find(const struct visit *visit, struct overlay_findings *found)
{
	struct overlay_walk walk = {};

	if (!visit || !found)
		return 0;
	walk.source = visit->source;
	walk.now_ns = visit->now_ns;
	walk.service_bit = 1 << (visit->service & 7);
	if (walk.source.family == 4) {
		walk.bits = control.overlay_lengths4;
		bpf_loop(33, overlay_step, &walk, 0);
	} else {
		for (int word = 2; word >= 0; word--) { /* from the longest to the shortest */
			walk.bits = control.overlay_lengths6[word];
			walk.base = word * 64;
			if (walk.bits)
				bpf_loop(64, overlay_step, &walk, 0);
		}
	}
	*found = walk.found;
	return 0;
}

static __always_inline int overlay_in_use(__u8 family)
{
	if (family == 4)
		return control.overlay_lengths4 != 0;
	return (control.overlay_lengths6[0] | control.overlay_lengths6[1] |
		control.overlay_lengths6[2]) != 0;
}

/* ------------------------------------------------------------------ table */

/* Inlined it would cost 2 ns less a SYN, and more stack than 6.1 grants a chain of calls. */
__noinline int class_find(const struct gate25_source *source)
{
	return source ? table_lookup(&table, &layout, source) : 0;
}

static __always_inline void ask_table(struct visit *visit, struct verdict_facts *facts)
{
	__u32 index, service = visit->service & (GATE25_SERVICES - 1);
	struct gate25_class *class;

	if (settings.table_empty)
		return;
	index = class_find(&visit->source) & 0xffff;
	if (!index)
		return;
	class = bpf_map_lookup_elem(&classes, &index);
	if (!class) {
		count_error(GATE25_ERROR_MAP);
		visit->failed = 1;
		return;
	}
	visit->class = index;
	facts->class_flags = class->flags[service];
	facts->class_action = class->action[service];
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

/* ------------------------------------------------------------------ default */

static __always_inline void ask_default(const struct visit *visit, struct verdict_facts *facts)
{
	__u32 service = visit->service & (GATE25_SERVICES - 1);

	facts->default_action = settings.default_action[service];
	facts->default_live = (settings.allow_in_table >> service & 1) ||
			      control.manual_allow_until_ns[service] > visit->now_ns;
}

/* ------------------------------------------------------------------ limits */

/* A limit that holds for a visit, and where its budget is kept. */
struct limit_account {
	struct gate25_source_line *line; /* NULL: none */
	__u64 hash;
	struct source_charge charge;
	__u32 observe;
};

/* 1: the limit holds, and has its line. */
static __always_inline int limit_open(struct visit *visit, __u32 scope,
				      struct limit_account *account)
{
	const volatile struct gate25_limit *limit = &settings.limits[scope];
	__u32 index;

	if (!limit->interval_ns || !(limit->services >> (visit->service & 7) & 1))
		return 0;
	account->observe = visit->observe | !!limit->observe | (limit->action == GATE25_PASS);
	account->hash = source_hash(secret.siphash, &visit->source, limit, scope, account->observe);
	index = source_line(account->hash, settings.source_lines);
	account->line = bpf_map_lookup_elem(&sources, &index);
	if (account->line)
		return 1;
	count_error(GATE25_ERROR_MAP);
	visit->failed = 1;
	return 0;
}

static __always_inline void limit_ask(struct limit_account *account, __u32 scope, __u64 now_ns)
{
	account->charge = source_charge(account->line->words, account->hash, now_ns,
					settings.limits[scope].interval_ns,
					settings.limits[scope].tolerance_ns);
}

/* Charges the limit. 1: it is exceeded, and that decides. */
static __always_inline int limit_decides(const struct limit_account *account, __u32 scope,
					 __u64 now_ns, struct judgement *judgement, __u8 reason)
{
	const volatile struct gate25_limit *limit = &settings.limits[scope];
	__u32 answer = account->charge.refused ? SOURCE_REFUSED : SOURCE_ADMITTED;

	if (!account->charge.refused && !source_commit(&account->charge))
		answer = source_admit(account->line->words, account->hash, now_ns,
				      limit->interval_ns, limit->tolerance_ns);
	if (answer == SOURCE_REFUSED)
		return judge_match(judgement, reason, limit->action, account->observe);
	if (answer == SOURCE_CONTENDED)
		count_error(GATE25_ERROR_SOURCES_CONTENDED);
	return 0;
}

/*
 * Asks the limits, and charges them one after the other until one decides. Both lines are read
 * before the first is written: a compare-and-swap waits for all that came before it, and the lines
 * are seldom in the cache.
 */
__noinline int limits_judge(struct visit *visit, struct judgement *judgement)
{
	struct limit_account source = {}, network = {};
	int by_source, by_network;

	if (!visit || !judgement)
		return 0;
	by_source = limit_open(visit, GATE25_SCOPE_SOURCE, &source);
	by_network = limit_open(visit, GATE25_SCOPE_NETWORK, &network);
	if (by_source)
		limit_ask(&source, GATE25_SCOPE_SOURCE, visit->now_ns);
	if (by_network)
		limit_ask(&network, GATE25_SCOPE_NETWORK, visit->now_ns);
	if (by_source && limit_decides(&source, GATE25_SCOPE_SOURCE, visit->now_ns, judgement,
				       GATE25_REASON_LIMIT_SOURCE))
		return 1;
	return by_network && limit_decides(&network, GATE25_SCOPE_NETWORK, visit->now_ns, judgement,
					   GATE25_REASON_LIMIT_NETWORK);
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

/* ------------------------------------------------------------------ judge */

/*
 * A segment that is no SYN. A session that is open is never muted: only what belongs to no socket
 * of ours is dropped, and only where the sockets are known to be here. Limits are not asked,
 * nothing is told.
 */
static __always_inline int judge_segment(struct xdp_md *ctx, const struct visit *visit,
					 const struct verdict_facts *facts)
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
	}
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

/* The clock costs more than most steps: it is asked only where something can have an end. */
static __always_inline int wants_time(const struct visit *visit, int overlaid)
{
	return visit_is_syn(visit) || overlaid || control.pause_until_ns ||
	       settings.default_action[visit->service & (GATE25_SERVICES - 1)] != GATE25_PASS;
}

__noinline int visit_judge(struct xdp_md *ctx, struct visit *visit)
{
	struct verdict_facts facts = {};
	int overlaid;

	if (!visit)
		return fail(GATE25_NO_SERVICE);
	overlaid = overlay_in_use(visit->source.family);
	if (wants_time(visit, overlaid))
		visit->now_ns = bpf_ktime_get_coarse_ns();
	visit->observe = control.observe || control.pause_until_ns > visit->now_ns ||
			 (control.observe_services >> (visit->service & 7) & 1);
	facts.observe = visit->observe;
	if (overlaid)
		overlay_find(visit, &facts.overlay);
	ask_table(visit, &facts);
	ask_default(visit, &facts);
	return visit_is_syn(visit) ? judge_syn(visit, &facts) : judge_segment(ctx, visit, &facts);
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

/* ------------------------------------------------------------------ service */

/* The number of the lowest bit of eight: BPF has no such instruction for 32 bits. */
static __always_inline __u32 lowest_slot(__u32 mask)
{
	mask &= -mask;
	return !!(mask & 0xaa) | !!(mask & 0xcc) << 1 | !!(mask & 0xf0) << 2;
}

/*
 * Bits of the services that name this address as their own. Arithmetic: a branch for each would be
 * too much to verify.
 */
static __always_inline __u32 own_services(const struct gate25_source *address)
{
	__u64 own = 0;

	for (__u32 i = 0; i < GATE25_ADDRESSES; i++) {
		const volatile struct gate25_service_address *entry = &settings.addresses[i];
		__u32 length = entry->length;
		__u64 differs = entry->address.family ^ address->family;

		if (i >= settings.addresses_count)
			break;
		if (entry->address.family == 4) {
			differs |= (entry->address.lo ^ address->lo) & mask_upper(length + 32);
		} else {
			differs |= (entry->address.hi ^ address->hi) &
				   mask_upper(length < 64 ? length : 64);
			differs |= (entry->address.lo ^ address->lo) &
				   mask_upper(length > 64 ? length - 64 : 0);
		}
		own |= table_zero(differs) * entry->services;
	}
	return own;
}

/*
 * Bits of the services at a port. The mask is for verifiers that forget a number's bounds when its
 * bytes are turned around (6.1); the compiler, which does not, must not see through to it.
 */
static __always_inline __u32 services_at(__u32 port)
{
	PACKET_OPAQUE(port);
	return port_services[port & 0xffff];
}

/* Of the services at a port, those that guard the address. Own beats any. */
__noinline int services_choose(const struct gate25_source *destination, __u32 mask)
{
	__u32 own = destination ? mask & own_services(destination) : 0;

	return own ? own : mask & settings.any_address;
}

/* The slot of the service that guards port and address, or GATE25_NO_SERVICE. */
static __always_inline __u32 service_find(const struct packet *packet)
{
	__u32 mask = services_at(packet->destination_port);

	if (!mask)
		return GATE25_NO_SERVICE; /* most of a machine's TCP */
	mask = settings.addresses_count ? services_choose(&packet->destination, mask) :
					  mask & settings.any_address;
	return mask ? lowest_slot(mask) : GATE25_NO_SERVICE;
}

/* ------------------------------------------------------------------ the way of a frame */

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
		kind = packet_flags(&cursor, bpf_xdp_get_buff_len(ctx), &visit.packet);
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
