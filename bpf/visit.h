/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Somebody who wants to speak to a guarded service, on the way through the steps; the constants of the
 * program; what the steps have in common. For BPF programs alone: maps and helpers.
 */
#ifndef GATE25_VISIT_H
#define GATE25_VISIT_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "gate25.h"
#include "maps.h"
#include "packet.h"

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

/*
 * The time, once a visit. The clock costs more than most steps: it is asked only where something
 * that has an end is in use.
 */
static __always_inline __u64 visit_time(struct visit *visit)
{
	if (!visit->now_ns)
		visit->now_ns = bpf_ktime_get_coarse_ns();
	return visit->now_ns;
}

/* 1: nothing is enforced. */
static __always_inline __u8 visit_only_observes(struct visit *visit)
{
	return control.observe ||
	       (control.pause_until_ns && control.pause_until_ns > visit_time(visit)) ||
	       (control.observe_services >> (visit->service & 7) & 1);
}

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

#endif
