/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small world for the program to judge in: services, lists and maps of its own, and which counter
 * moved.
 *
 *   slot  service      guards                                          default
 *   0     mx           port 25, any address
 *   1     submission   ports 465 and 587, any address
 *   2     own          port 25 on 198.51.100.99, 198.51.100.128/25 and 2001:db8:ffff::99
 *   3     closed       port 2525                                       drop
 *   4     partners     port 2526, and the allow list holds for it      drop
 *
 *   list "blocked"  for mx and own: 203.0.113.0/24, 192.0.2.66, 2001:db8:bad::/48, 2001:db8::66
 *   list "shadow"   observed, for mx and own: 198.18.0.0/15, 203.0.113.0/25, 2001:db8:5ad::/48
 *   allow "friends" for all but closed: 203.0.113.10, 192.0.2.128/25, 2001:db8:bad:1::/64
 *
 * 64:ff9b::/96 carries IPv4. Nothing is pinned, and no interface is needed.
 */
#ifndef GATE25_TEST_WORLD_H
#define GATE25_TEST_WORLD_H

#include "tests/common/packet_builder.h"
#include "tests/common/program.h"

enum world_service { MX, SUBMISSION, OWN, CLOSED, PARTNERS, NO_SERVICE = GATE25_NO_SERVICE };
enum world_list { BLOCKED, SHADOW, FRIENDS, WORLD_LISTS };
#define WORLD_IFACE 3 /* the slot of the interface */

/* The key of the budgets. */
extern const __u64 world_secret[2];

struct world {
	struct program program;
	struct gate25_control *control;
	struct gate25_filter *filter;
	struct gate25_counter *counters;
	struct gate25_cpu_state *cpu_state;
	struct gate25_source_line *sources;
	struct gate25_spent *spent;
	struct gate25_repeats *repeats;
	struct gate25_class *classes;
	__u64 *class_hits;
	__u32 stride, classes_count;
	int overlay_fd, events_fd;
	unsigned int cpus;
};

/* cmocka's group setup: fails, and says why, without the right to load programs. */
int world_need_root(void **state);

struct world_setup {
	struct gate25_settings settings; /* limits and rate of events; the rest is filled in */
	bool without_classes;		 /* the table names classes that are not there */
};

/*
 * 0 or -errno. What the frames of the world have to do with sockets, the program finds in the
 * network namespace of the caller.
 */
int world_open(struct world *world, const struct world_setup *wanted);
void world_close(struct world *world);

/* Empties all maps of state: no counter, no entry, no debt; everything enforces. */
void world_clear(struct world *world);

/* Sets one slot of an entry of the overlay; the others of that entry stay. */
void world_entry(struct world *world, const char *prefix, enum gate25_slot slot, __u64 expires_ns,
		 __u8 services);

/* Runs one frame; XDP_* or whatever the program said. */
unsigned int world_run(struct world *world, const struct packet_spec *spec);

/* A counter over all CPUs. */
struct gate25_counter world_count(const struct world *world, unsigned int row, unsigned int reason);
/* How many packets were counted in all, whatever interface, row and reason. */
__u64 world_packets(const struct world *world);
__u64 world_errors(const struct world *world, enum gate25_error kind);
__u64 world_suppressed(const struct world *world);
/* Hits of the classes that a list is part of. */
__u64 world_hits(const struct world *world, enum world_list list);

enum gate25_verdict world_verdict(unsigned int reason);

#endif
