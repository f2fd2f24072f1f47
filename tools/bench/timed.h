/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A command from its start to its end: how long, and how large it became. And what a process or a map of the kernel
 * occupies.
 */
#ifndef GATE25_BENCH_TIMED_H
#define GATE25_BENCH_TIMED_H

#include <linux/types.h>
#include <sys/types.h>

struct timed {
	double seconds;
	__u64 peak_bytes; /* the most that was resident */
};

/* -ECHILD: it failed, and said why on stderr. -ETIMEDOUT: it was ended after `seconds_most`. */
int timed_run(const char *const *arguments, double seconds_most, struct timed *out);

/* A line of /proc/PID/status, such as "VmRSS", in bytes; 0 if there is none. */
__u64 process_bytes(pid_t pid, const char *line);
/* From now on VmHWM is the most since now. */
void process_peak_reset(pid_t pid);
/* What the kernel charges for everything that is pinned in a folder: maps and program. */
__u64 pinned_bytes(const char *folder);

#endif
