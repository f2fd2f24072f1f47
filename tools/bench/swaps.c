// SPDX-License-Identifier: GPL-2.0-only
/*
 * A table of 1 M hosts swapped again and again, by `gate25 reload` and the agent, while SYNs of listed and of good
 * sources arrive at full speed. Every frame that arrives must be counted as what it is, in each burst; and behind the
 * program a chain of nftables counts what came through, which must be the good ones, all of them and nothing else.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/bench.h"
#include "tools/bench/entries.h"
#include "tools/bench/loading.h"
#include "tools/bench/timed.h"
#include "user/log.h"
#include "user/print.h"

#define NAME	     "1M swaps"
#define HOSTS	     1000000
#define SWAPS	     50
#define BURST	     (1 << 19)
#define SECONDS_MOST 60

#define LIST "/run/bench/swapped"

enum side { LISTED, GOOD, SIDES };

struct swaps {
	struct guard_run *guard;
	struct subject subject;
	struct aim aims[SIDES];
	int done, error; /* of the thread that reloads */
	__u64 sent[SIDES];
	__u64 lost;	    /* before the program, in the ring of the veth */
	__u64 wrong[SIDES]; /* counted as something else */
	__u64 passed;	    /* as nftables saw it */
	int inside; /* swaps that fell into a burst, or into the kernel's clearing up behind it */
	double seconds, busy; /* of these, frames were on their way for so long */
};

/* The list and the same with one more host, so that each reload finds another one. */
static int lists_write(void)
{
	struct entries entries = { 0 };
	int error = entries_hosts(&entries, HOSTS + 1);

	if (!error)
		error = entries_write(&entries, LIST ".1");
	entries.count = HOSTS;
	if (!error)
		error = entries_write(&entries, LIST ".0");
	entries_free(&entries);
	return error;
}

static int list_put(int which)
{
	char path[64];

	snprintf(path, sizeof(path), "%s.%d", LIST, which);
	unlink(LIST ".new");
	return link(path, LIST ".new") || rename(LIST ".new", LIST) ? -errno : 0;
}

/* ---------------------------------------------------------------- one thread swaps */

static __u32 program_in_force(const struct swaps *swaps)
{
	__u32 prog_id = 0;

	guard_entries(swaps->guard, &prog_id);
	return prog_id;
}

static int swap_once(struct swaps *swaps, int which)
{
	char program[512];
	const char *const arguments[] = { program, "-c", guard_config(swaps->guard), "reload",
					  NULL };
	__u32 before, after;
	struct timed timed;
	int error;

	if (guard_entries(swaps->guard, &before) < HOSTS)
		return -EIO;
	snprintf(program, sizeof(program), "%s/gate25", ground_build());
	error = list_put(which);
	if (!error)
		error = timed_run(arguments, SECONDS_MOST, &timed);
	if (error)
		return error;
	if (guard_entries(swaps->guard, &after) == HOSTS + which && after != before)
		return 0;
	log_error("gate25 reload: the other table is not in force");
	return -EIO;
}

static void *swap_all(void *context)
{
	struct swaps *swaps = context;
	int error = 0;

	for (int i = 1; i <= SWAPS && !error; i++) {
		error = swap_once(swaps, i % 2);
		__atomic_store_n(&swaps->error, error, __ATOMIC_RELAXED);
		__atomic_store_n(&swaps->done, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ---------------------------------------------------------------- the other floods */

static int burst_send(struct swaps *swaps, enum side side)
{
	static const int reasons[SIDES] = { GATE25_REASON_LIST, GATE25_REASON_OK };
	__u64 before[TALLIES] = { 0 }, after[TALLIES] = { 0 }, right;
	__u64 received = device_received(&swaps->subject.device);
	__u32 program = program_in_force(swaps);
	double ns = 0;
	int error = swaps->subject.tally(&swaps->subject, before);

	if (!error)
		error = source_run(&swaps->aims[side], &swaps->subject.device, BURST, &ns);
	if (!error)
		error = swaps->subject.tally(&swaps->subject, after);
	received = device_received(&swaps->subject.device) - received;
	right = after[reasons[side]] - before[reasons[side]];
	swaps->sent[side] += BURST;
	swaps->busy += ns * BURST / 1e9;
	swaps->lost += received < BURST ? BURST - received : 0;
	swaps->wrong[side] += received > right ? received - right : right - received;
	swaps->inside += program != program_in_force(swaps);
	return error;
}

static int flood(struct swaps *swaps)
{
	double began = seconds_now();
	pthread_t thread;
	int error = -pthread_create(&thread, NULL, swap_all, swaps);

	if (error)
		return error;
	for (int i = 0; !error; i++) {
		bool over = __atomic_load_n(&swaps->done, __ATOMIC_ACQUIRE) == SWAPS ||
			    __atomic_load_n(&swaps->error, __ATOMIC_RELAXED);

		error = burst_send(swaps, i % SIDES);
		if (over)
			break;
	}
	pthread_join(thread, NULL);
	swaps->seconds = seconds_now() - began;
	return error ? error : swaps->error;
}

/* ---------------------------------------------------------------- all of it */

/* Behind XDP, before anything else. */
static int witness_add(const struct swaps *swaps)
{
	return command_run("nft 'table netdev witness { chain in { type filter hook ingress device "
			   "%s priority 0; counter drop; }; }'",
			   swaps->subject.device.name);
}

static int witness_read(struct swaps *swaps)
{
	char text[64];
	int error = command_read(text, sizeof(text),
				 "nft list table netdev witness | "
				 "sed -n 's/.*counter packets \\([0-9]*\\).*/\\1/p'");

	swaps->passed = strtoull(text, NULL, 10);
	return error;
}

static int swaps_open(struct swaps *swaps)
{
	struct guard_wish wish = {
		.name = "swap", .file = LIST, .format = "plain", .config = "", .entries = HOSTS
	};
	int error = lists_write();

	if (!error)
		error = list_put(0);
	if (!error)
		error = guard_start(&wish, &swaps->guard);
	if (!error)
		error = subject_guard(&swaps->subject, swaps->guard);
	if (!error)
		error = witness_add(swaps);
	aim_hosts(&swaps->aims[LISTED], FRAME_SYN4, 0, HOSTS);
	aim_hosts(&swaps->aims[GOOD], FRAME_SYN4, MISS_BASE, MISS_COUNT);
	return error;
}

static void swaps_report(const struct swaps *swaps)
{
	__u64 good = swaps->sent[GOOD];

	printf("%s: %d swaps in %.1f s, under %llu listed and %llu good frames\n"
	       "  (frames were on their way %.0f %% of the time)\n"
	       "  (%llu more were lost before the program, in the ring of the veth)\n"
	       "  listed ones not dropped as listed: %llu; good ones not passed: %llu; "
	       "seen behind the program: %llu\n\n",
	       NAME, swaps->done, swaps->seconds, swaps->sent[LISTED], good,
	       swaps->busy / swaps->seconds * 100, swaps->lost, swaps->wrong[LISTED],
	       swaps->wrong[GOOD], swaps->passed);
	report_add(json_pack("{ss, si, si, sf, sf, sI, sI, sI, sI, sI, sI}", "name", NAME, "swaps",
			     swaps->done, "swaps_inside", swaps->inside, "seconds", swaps->seconds,
			     "busy_seconds", swaps->busy, "listed", (json_int_t)swaps->sent[LISTED],
			     "good", (json_int_t)good, "lost", (json_int_t)swaps->lost,
			     "listed_through", (json_int_t)swaps->wrong[LISTED], "good_dropped",
			     (json_int_t)swaps->wrong[GOOD], "passed", (json_int_t)swaps->passed));
	fflush(stdout);
}

int swaps_measure(void)
{
	struct swaps *swaps;
	int error;

	if (!group_wants(NAME))
		return 0;
	swaps = calloc(1, sizeof(*swaps));
	if (!swaps)
		return -ENOMEM;
	error = swaps_open(swaps);
	if (!error)
		error = flood(swaps);
	if (!error)
		error = witness_read(swaps);
	if (!error)
		swaps_report(swaps);
	command_run("nft delete table netdev witness");
	guard_stop(swaps->guard);
	unlink(LIST);
	unlink(LIST ".0");
	unlink(LIST ".1");
	free(swaps);
	return error;
}
