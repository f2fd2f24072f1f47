/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bench: what is measured, on what ground, with which frames.
 *
 * A subject is whatever sits on the receiving end of a veth pair. A row is a subject under one kind of frames. A group
 * is a set of rows that is set up once and measured in turn, so that all of them see the same moods of the machine.
 */
#ifndef GATE25_BENCH_H
#define GATE25_BENCH_H

#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tools/bench/bench.bpf.h"

#define REPETITIONS_MOST 31
#define ROWS_MOST	 48
#define SUBJECTS_MOST	 12
#define TALLIES		 64

/* ---------------------------------------------------------------- the ground (ground.c) */

struct device {
	char name[16], peer[16]; /* the receiving and the sending end */
	__u32 ifindex, peer_ifindex;
	__u8 mac[6]; /* of the receiving end */
};

/* Namespaces of our own for network and mounts, a bpffs, a tmpfs on /run. All of it ends with the process. */
int ground_enter(void);
/* The folder that everything was built into: that of this program. */
const char *ground_build(void);
/* Runs a command with arguments in it; 0, or -ECHILD with the command on stderr. */
int command_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the command says on stdout, cut to `size`. */
int command_read(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A veth pair, up, that takes redirected frames even without an XDP program at its end (NAPI, by GRO). */
int device_make(struct device *device, const char *name);
void device_remove(const struct device *device);
/* Frames that arrived, dropped ones too. */
__u64 device_received(const struct device *device);
double seconds_now(void);

/* ---------------------------------------------------------------- the frames (source.c) */

enum frame_kind {
	FRAME_SYN4, /* to port 25 */
	FRAME_ACK4, /* to port 25: of a session that is open, or claims to be */
	FRAME_WEB4, /* TCP ACK to port 443 */
	FRAME_UDP4,
	FRAME_SYN6,
	FRAME_KINDS
};

int source_open(void);
void source_close(void);
/* Hosts number `base` to `base + count - 1` of mix(). */
void aim_hosts(struct aim *aim, enum frame_kind kind, __u32 base, __u32 count);
/* `count` addresses of the pool from `first` on; a power of two. */
void aim_pool(struct aim *aim, enum frame_kind kind, __u32 first, __u32 count);
/* Fills the pool from `first` on. */
int source_pool(__u32 first, const __u32 (*addresses_be)[4], __u32 count);
/* Sends frames to the device; `*ns`: the whole way of one of them, on average. */
int source_run(const struct aim *aim, const struct device *device, __u32 frames, double *ns);

/* ---------------------------------------------------------------- what is measured */

struct subject {
	const char *name;
	struct device device;
	/* How many frames came to which end, so far. NULL: they are only counted. */
	int (*tally)(struct subject *subject, __u64 tallies[TALLIES]);
	void (*close)(struct subject *subject);
	void *own;
	__u64 other; /* counted so far, where counting resets */
};

/* Tallies of subjects other than gate25, whose are its reasons. */
enum { TALLY_OTHER, TALLY_LISTED };
#define BIT(tally) (1ULL << (tally))

int subject_drop_all(struct subject *subject, const char *device);
int subject_pass_all(struct subject *subject, const char *device);

/* gate25 (guard.c): the agent, with the configuration as shipped and one list */
struct guard_run;
struct guard_wish {
	const char *name; /* of its folder and its pins */
	const char *file; /* the list */
	const char *format;
	const char *config; /* more lines of configuration */
	__u64 entries;	    /* the least that must be in force before it is measured */
	/* where it keeps its copies of lists; NULL: in its folder, which is in memory */
	const char *state;
};
int guard_start(const struct guard_wish *wish, struct guard_run **out);
void guard_stop(struct guard_run *guard);
const char *guard_config(const struct guard_run *guard);
const char *guard_pins(const struct guard_run *guard);
const struct device *guard_device(const struct guard_run *guard);
pid_t guard_agent(const struct guard_run *guard);
/* From the agent's start until its list was in force. */
double guard_start_seconds(const struct guard_run *guard);
/* Entries of the generation in force, -1 if there is none; `*prog_id` is its program. */
long long guard_entries(const struct guard_run *guard, __u32 *prog_id);
/* The program that the agent attached, where it attached it. */
int subject_guard(struct subject *subject, struct guard_run *guard);
/* The same program over the same maps inside of a wrapper that drops whatever it answers. */
int subject_guard_wrapped(struct subject *subject, struct guard_run *guard, const char *device);

/* ---------------------------------------------------------------- rows and groups (group.c) */

struct row {
	char name[80];
	struct subject *subject;
	struct aim aim;
	__u64 expect; /* the tallies that its frames may come to; 0: they come to none */
	int drop_all; /* index of the row of the same frames that only drops; -1 */
	__u32 frames; /* in one repetition */
	int count;    /* of repetitions */
	double ns[REPETITIONS_MOST];
	bool failed;
};

struct group {
	const char *title;
	struct subject subjects[SUBJECTS_MOST];
	struct row rows[ROWS_MOST];
	int subjects_count, rows_count;
};

struct options {
	int repetitions;
	double seconds; /* of one repetition */
	int cpu;
	bool quick; /* without rivals and loading */
	const char *filter;
	const char *json;
};
extern const struct options *const options;

/* A place for one more subject; its device is named after its number. */
struct subject *group_subject(struct group *group);
/* A row, unless the filter leaves it out. `drop_all`: the group's last row that only drops is its measure. */
void group_row(struct group *group, struct subject *subject, const struct aim *aim, __u64 expect,
	       const char *format, ...) __attribute__((format(printf, 5, 6)));
bool group_wants(const char *format, ...) __attribute__((format(printf, 1, 2)));
int group_measure(struct group *group);
void group_close(struct group *group);

/* ---------------------------------------------------------------- results (report.c) */

void report_group(const struct group *group);
/* One more result; the reference is taken over. At least "name". */
void report_add(json_t *result);
/* All results so far. */
const json_t *report_results(void);
double median(const double *values, int count);
int report_write(const char *path);

#endif
