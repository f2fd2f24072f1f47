/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guard in the kernel, from user space: pinned maps, generations, program instances, links.
 *
 *   pin_dir/                 maps of state, shared by all generations (control, names, counters, …)
 *   pin_dir/gen/<prog_id>/   a program instance: prog, table, classes, class_hits, generation
 *   pin_dir/links/<iface>    the link; the live instance is the folder that its prog_id names
 *   pin_dir/sessions         the link of the program that counts connections, where one is wanted
 *
 * A generation is a table with its classes and settings. On each interface an instance of the
 * program runs it. Putting one in force is one atomic update of the interface's link.
 *
 * Whoever changes anything holds the lock (guard_lock). Reading needs no lock.
 */
#ifndef GATE25_DATAPLANE_H
#define GATE25_DATAPLANE_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/config.h"
#include "user/lists/compile.h"

/* The maps of state, mapped into memory. All pointers are shared with the kernel. */
struct guard {
	char pin_dir[256];
	struct gate25_control *control;
	struct gate25_filter *filter;
	struct gate25_spent *spent;
	struct gate25_names *names;
	struct gate25_counter *counters;
	struct gate25_cpu_state *cpu_state;
	struct gate25_source_line *sources;
	__u32 source_lines;
	struct gate25_list_total *totals;
	__u64 *agent_errors; /* by enum gate25_error */
	const struct gate25_secret *secret;
	int overlay_fd, events_fd;
	__u32 overlay_max; /* entries */
	unsigned int cpus; /* possible ones: the counters' first dimension */
			   /* the implementation keeps further fields behind these */
};

/*
 * Takes run_dir/lock (flock), waiting up to `wait_s` seconds; after the first of them it logs for whom.
 * -EAGAIN, -EACCES. Returns an fd to close.
 */
int guard_lock(const char *run_dir, unsigned int wait_s);
/* The same without waiting or a word, for what can be done the next time. */
int guard_lock_try(const char *run_dir);

/*
 * Opens what is pinned. -ENOENT: not loaded; -EPERM; -EPROTO: pinned by another layout (the message
 * says what to do). guard_create() makes what is missing (under the lock): bpffs, maps of state with the
 * sizes of the configuration, the secret. A size of sources or overlay that was changed since takes
 * effect with the next generation that is put in force. Both log the reason of a failure once.
 */
int guard_open(const char *pin_dir, struct guard **out);
int guard_create(const struct config *config, struct guard **out);
void guard_close(struct guard *guard);
/*
 * Are the maps that we hold still the pinned ones? false after somebody else unloaded, or put a
 * generation with other sizes in force: close, and open or create again.
 */
bool guard_current(const struct guard *guard);

/* The slot of a service or interface by name: found, or taken if free (its counters zeroed). -ENOSPC. */
int guard_service_slot(struct guard *guard, const char *name, bool take);
int guard_iface_slot(struct guard *guard, const char *name, bool take);

/*
 * Gives each service of the configuration its slot (slots[i] for config->services[i]). Those of services that
 * are gone are taken only when none is free; all of them are freed by guard_harvest(), once no instance
 * uses them. -ENOSPC.
 */
int guard_assign_services(struct guard *guard, const struct config *config,
			  __u8 slots[GATE25_SERVICES]);

/* Turns a mask by index in config->services into one by slot. */
__u8 services_to_slots(__u8 by_index, const __u8 slots[GATE25_SERVICES]);

/* Bumps agent_errors; NULL guard is fine. */
void guard_count_error(struct guard *guard, enum gate25_error kind);

/* A generation that is made ready: its maps are filled and no program runs it yet. */
struct generation;
struct generation_plan {
	const struct config *config;
	const __u8 *service_slots; /* by index in config->services */
	const struct compiled_table *table;
	const struct compile_list *lists;
	size_t lists_count;
};
int generation_create(struct guard *guard, const struct generation_plan *plan,
		      struct generation **out);
const struct gate25_generation *generation_info(const struct generation *generation);
/* An allow list without any copy, for which block lists only observe (apply.h); NULL: there is none. */
const struct gate25_list_info *generation_unread_allow(const struct gate25_generation *generation);
/* Services that some limit holds for: bit per slot. */
__u8 generation_limited(const struct gate25_generation *generation);
/* Drops our handles; instances in force go on. NULL is fine. */
void generation_free(struct generation *generation);

/*
 * Loads an instance for an interface (it need not exist yet): some 10 ms of verifier, so not in the event loop;
 * safe in a thread beside it. instance_attach() then puts it in force: an update of the pinned link,
 * or a fresh link where there is none, or the link's device is gone (also: came back as another
 * device of the same name). Only Ethernet devices (ARPHRD_ETHER); -EMEDIUMTYPE else. -ENODEV.
 * -EBUSY: another XDP program sits there; the message names its id. -ESTALE: since the instance was loaded it
 * was harvested, or others unloaded the guard, changed its sizes or took its slots: make another.
 * A link in force keeps its mode under ATTACH_AUTO; under another one it is replaced, with a gap of some ms.
 */
struct instance;
int instance_load(struct guard *guard, struct generation *generation, const char *iface,
		  struct instance **out);
int instance_attach(struct guard *guard, struct instance *instance, enum attach_mode mode);
/* Drops our handles; in force, it goes on. NULL is fine. */
void instance_free(struct instance *instance);

/*
 * The program that charges the limits for connections (bpf/sessions.bpf.c). Loading is for a thread, as that of an
 * instance is. It is attached after an instance of the same generation; an update of the pinned link, or a fresh link.
 * -ENOENT: no cgroup2 file system is mounted; -EXDEV: only a part of the control groups is to be seen, unless `part`
 * says that it will do; -ESTALE as with instances. sessions_why() says what to do, for people.
 */
struct sessions;
int sessions_load(struct guard *guard, const struct generation *generation, struct sessions **out);
int sessions_attach(struct guard *guard, const struct sessions *sessions, bool part);
void sessions_free(struct sessions *sessions); /* in force, it goes on; NULL is fine */
const char *sessions_why(int error);
/* Is it in force, and counts on the maps that are pinned? */
bool sessions_counting(const struct guard *guard);
/* Is it this one that does? NULL: does none? */
bool sessions_in_force(const struct guard *guard, const struct sessions *sessions);
/* SYNs are counted from now on; then it is taken off. `why`: errno, for status; 0: nobody wants it. */
void sessions_detach(struct guard *guard, int why);

/*
 * Folds the class hits of each instance that no link runs any more into list_totals (after the last
 * CPU has left it), and removes its pins. To be called after swaps, detach, and at start.
 */
int guard_harvest(struct guard *guard);

/* What is in force on an interface. */
struct attachment {
	char iface[16];
	unsigned int ifindex; /* 0: the link's device is gone */
	bool native;
	__u32 prog_id;
};
/* All pinned links (also dead ones), at most GATE25_IFACES; returns how many or -errno. */
int guard_attachments(struct guard *guard, struct attachment out[GATE25_IFACES]);
/* Removes link and instance of an interface, with the last the counting of connections; harvests. -ENOENT if it was not attached. */
int guard_detach(struct guard *guard, const char *iface);
/* Removes all pins; -EBUSY while something is attached. Counters and totals stay until then. */
int guard_remove(struct guard *guard);
/* Detaches and removes all that is pinned there, unread: also what another layout pinned (-EPROTO). */
int guard_purge(const char *pin_dir);

/* An instance in force, mapped for reading: for `test`, metrics, status. */
struct view {
	const struct gate25_generation *generation;
	const void *table; /* lines of 64 bytes */
	const struct gate25_class *classes;
	const __u64 *class_hits; /* see gate25.h */
	__u32 prog_id;
	/* further fields of the implementation */
	size_t table_bytes, classes_bytes, hits_bytes, generation_bytes;
};
/* -ENOENT: no such instance (e.g. it was swapped out meanwhile: ask for the attachments again). */
int view_open(const struct guard *guard, __u32 prog_id, struct view *out);
/* The same without the table, which may be large: `table` is NULL. */
int view_open_names(const struct guard *guard, __u32 prog_id, struct view *out);
void view_close(struct view *view);

/*
 * Sums of counters over CPUs. guard_list_hits(): total of a list by stable id, over what was harvested and all
 * instances that still stand; never steps back.
 */
struct gate25_counter guard_counter(const struct guard *guard, unsigned int iface_slot,
				    unsigned int service_row, unsigned int reason);
int guard_list_hits(const struct guard *guard, __u64 hits[GATE25_LIST_IDS]);

/* CLOCK_MONOTONIC, as all times in the maps. */
__u64 monotonic_ns(void);
static inline __u64 monotonic_ms(void)
{
	return monotonic_ns() / 1000000;
}

#endif
