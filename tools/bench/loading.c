// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading: plain lines of random hosts, from before the file is read until the list is in force. gate25 by `reload`
 * with the agent running (the list was one host before) and by a start of the agent with nothing there yet; beside it
 * `ipset restore` and `nft -f` of the same hosts. Each way in turn, some times over.
 *
 * All files that are read lie in memory. What gate25 keeps (a copy of the list, synced) goes to the disk that it was
 * built on.
 */
#include "tools/bench/loading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/bench.h"
#include "tools/bench/entries.h"
#include "tools/bench/match.h"
#include "tools/bench/rivals.h"
#include "tools/bench/timed.h"
#include "user/log.h"
#include "user/print.h"

#define LOADS_MOST	 5
#define SECONDS_MOST	 60
#define SETTLE_US	 500000 /* until the agent's size is looked at again */
#define MIB		 (1024.0 * 1024)
/* A rival that needs more than this at 1 M, for five times as many would take too long or too much memory. */
#define FIVEFOLD_SECONDS 5.0
#define FIVEFOLD_BYTES	 (256ULL << 20)

#define LINES "/run/bench/lines"
#define ONE   "/run/bench/one"
#define LIST  "/run/bench/loaded"
#define IPSET "/run/bench/loaded.ipset"
#define NFT   "/run/bench/loaded.nft"

struct loaded {
	struct timed times[LOADS_MOST];
	int count;
	__u64 kernel_bytes;		 /* 0: not known */
	__u64 before_bytes, after_bytes; /* of the agent; 0: nothing stays */
};

struct loading {
	const char *name;
	struct entries entries;
	struct guard_run *guard; /* in force with one host, to be reloaded */
	struct device device;	 /* for the others */
	char state[512];
};

struct way {
	const char *name;
	int (*load)(struct loading *loading, struct loaded *loaded, struct timed *timed);
	bool rival;
	bool left_out; /* what it took at 1 M says that 5 M are too many */
};

/* ---------------------------------------------------------------- gate25 */

/* Another file in the list's place, at once. */
static int list_put(const char *path)
{
	unlink(LIST ".new");
	return link(path, LIST ".new") || rename(LIST ".new", LIST) ? -errno : 0;
}

static int reload_run(const struct guard_run *guard, struct timed *timed)
{
	char program[512];
	const char *const arguments[] = { program, "-c", guard_config(guard), "reload", NULL };

	snprintf(program, sizeof(program), "%s/gate25", ground_build());
	return timed_run(arguments, SECONDS_MOST, timed);
}

static __u64 generation_bytes(const struct guard_run *guard, __u32 prog_id)
{
	char folder[128];

	snprintf(folder, sizeof(folder), "%s/gen/%u", guard_pins(guard), prog_id);
	return pinned_bytes(folder);
}

/* The whole command, from its start until it says that the list is in force; which is looked at. */
static int gate25_reload(struct loading *loading, struct loaded *loaded, struct timed *timed)
{
	pid_t agent = guard_agent(loading->guard);
	struct timed ignored;
	__u32 prog_id = 0;
	int error = list_put(LINES);

	loaded->before_bytes = process_bytes(agent, "VmRSS");
	process_peak_reset(agent);
	if (!error)
		error = reload_run(loading->guard, timed);
	if (error)
		return error;
	if (guard_entries(loading->guard, &prog_id) != loading->entries.count) {
		log_error("gate25 reload: %u hosts are not in force", loading->entries.count);
		return -EIO;
	}
	loaded->kernel_bytes = generation_bytes(loading->guard, prog_id);
	usleep(SETTLE_US);
	timed->peak_bytes = process_bytes(agent, "VmHWM");
	loaded->after_bytes = process_bytes(agent, "VmRSS");
	error = list_put(ONE);
	return error ? error : reload_run(loading->guard, &ignored);
}

/* From the agent's start, with no copy of the list, until it is in force. */
static int gate25_start(struct loading *loading, struct loaded *loaded, struct timed *timed)
{
	char state[sizeof(loading->state) + 8];
	struct guard_wish wish = { .name = "start",
				   .file = LINES,
				   .format = "plain",
				   .config = config_shipped,
				   .state = state,
				   .entries = loading->entries.count };
	struct guard_run *guard = NULL;
	__u32 prog_id = 0;
	int error;

	snprintf(state, sizeof(state), "%s/start", loading->state);
	error = command_run("mkdir -p %s", state);
	if (!error)
		error = guard_start(&wish, &guard);
	if (!error) {
		guard_entries(guard, &prog_id);
		timed->seconds = guard_start_seconds(guard);
		loaded->kernel_bytes = generation_bytes(guard, prog_id);
		usleep(SETTLE_US);
		timed->peak_bytes = process_bytes(guard_agent(guard), "VmHWM");
		loaded->after_bytes = process_bytes(guard_agent(guard), "VmRSS");
		guard_stop(guard);
	}
	command_run("rm -rf %s", state);
	return error;
}

/* ---------------------------------------------------------------- the others */

static int ipset_restore(struct loading *loading, struct loaded *loaded, struct timed *timed)
{
	static const char *const arguments[] = { "ipset", "restore", "-f", IPSET, NULL };
	char text[64];
	int error = ipset_write(&loading->entries, IPSET);

	if (!error)
		error = timed_run(arguments, SECONDS_MOST, timed);
	unlink(IPSET);
	if (!error)
		error = command_read(text, sizeof(text),
				     "ipset list -t listed | sed -n 's/^Size in memory: //p'");
	if (!error)
		loaded->kernel_bytes = strtoull(text, NULL, 10);
	command_run("ipset destroy listed");
	return error;
}

static int nft_load(struct loading *loading, struct loaded *loaded, struct timed *timed)
{
	static const char *const arguments[] = { "nft", "-f", NFT, NULL };
	int error = nft_write(&loading->entries, NFT, loading->device.name);

	(void)loaded;
	if (!error)
		error = timed_run(arguments, SECONDS_MOST, timed);
	unlink(NFT);
	if (!error)
		error = command_run("nft delete table netdev bench");
	return error;
}

static struct way ways[] = {
	{ .name = "gate25 reload", .load = gate25_reload },
	{ .name = "gate25d start", .load = gate25_start },
	{ .name = "ipset restore", .load = ipset_restore, .rival = true },
	{ .name = "nft -f", .load = nft_load, .rival = true },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---------------------------------------------------------------- results */

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static __u64 loaded_peak(const struct loaded *loaded)
{
	__u64 most = 0;

	for (int i = 0; i < loaded->count; i++)
		if (loaded->times[i].peak_bytes > most)
			most = loaded->times[i].peak_bytes;
	return most;
}

static json_t *mib_format(__u64 bytes)
{
	char text[32] = "";

	if (bytes)
		snprintf(text, sizeof(text), "%.1f", bytes / MIB);
	return json_string(text);
}

static void loaded_report(struct way *way, const struct loading *loading,
			  const struct loaded *loaded, json_t *table)
{
	double seconds[LOADS_MOST], middle, each = loading->entries.count;
	char text[4][64];

	for (int i = 0; i < loaded->count; i++)
		seconds[i] = loaded->times[i].seconds;
	qsort(seconds, loaded->count, sizeof(*seconds), double_compare);
	middle = median(seconds, loaded->count);
	way->left_out = way->rival &&
			(middle > FIVEFOLD_SECONDS || loaded_peak(loaded) > FIVEFOLD_BYTES);
	snprintf(text[0], sizeof(text[0]), "%s load %s", loading->name, way->name);
	report_add(json_pack("{ss, sf, sf, sf, sI, sI, sI, sI, si}", "name", text[0], "ns",
			     middle * 1e9 / each, "seconds", middle, "lines_per_second",
			     each / middle, "kernel_bytes", (json_int_t)loaded->kernel_bytes,
			     "peak_bytes", (json_int_t)loaded_peak(loaded), "before_bytes",
			     (json_int_t)loaded->before_bytes, "after_bytes",
			     (json_int_t)loaded->after_bytes, "repetitions", loaded->count));
	snprintf(text[1], sizeof(text[1]), "%.3f", middle);
	snprintf(text[2], sizeof(text[2]), "%.3f-%.3f", seconds[0], seconds[loaded->count - 1]);
	snprintf(text[3], sizeof(text[3]), "%.2f", each / middle / 1e6);
	json_array_append_new(table, json_pack("{ss, ss, ss, ss, so, so, so, so}", "name", text[0],
					       "seconds", text[1], "range", text[2], "rate",
					       text[3], "kernel", mib_format(loaded->kernel_bytes),
					       "peak", mib_format(loaded_peak(loaded)), "before",
					       mib_format(loaded->before_bytes), "after",
					       mib_format(loaded->after_bytes)));
}

static void loading_report(const struct loading *loading, const struct loaded *loaded)
{
	const struct column columns[] = {
		{ "name", "from file to in force", false },
		{ "seconds", "s", true },
		{ "range", "from-to", true },
		{ "rate", "M lines/s", true },
		{ "kernel", "kernel MiB", true },
		{ "peak", "process's peak MiB", true },
		{ "before", "before", true },
		{ "after", "after", true },
	};
	json_t *table = json_array();

	for (size_t i = 0; i < WAYS; i++)
		if (loaded[i].count)
			loaded_report(&ways[i], loading, &loaded[i], table);
	print_results(false, table, columns, sizeof(columns) / sizeof(columns[0]));
	printf("\n");
	fflush(stdout);
}

/* ---------------------------------------------------------------- in turn */

static bool way_wanted(const struct loading *loading, const struct way *way)
{
	return group_wants("%s load %s", loading->name, way->name);
}

static int loading_open(struct loading *loading, __u32 count)
{
	struct entries one = { 0 };
	struct guard_wish wish = { .name = "load",
				   .file = LIST,
				   .format = "plain",
				   .config = config_shipped,
				   .state = loading->state,
				   .entries = 1 };
	int error = entries_hosts(&loading->entries, count);

	snprintf(loading->state, sizeof(loading->state), "%s/bench-state", ground_build());
	if (!error)
		error = command_run("rm -rf %s && mkdir %s", loading->state, loading->state);
	if (!error)
		error = entries_hosts(&one, 1);
	if (!error)
		error = entries_write(&one, ONE);
	entries_free(&one);
	if (!error)
		error = entries_write(&loading->entries, LINES);
	if (!error)
		error = list_put(ONE);
	if (!error)
		error = device_make(&loading->device, "rival");
	return error ? error : guard_start(&wish, &loading->guard);
}

static void loading_close(struct loading *loading)
{
	guard_stop(loading->guard);
	device_remove(&loading->device);
	entries_free(&loading->entries);
	unlink(LIST);
	unlink(LINES);
	unlink(ONE);
	if (loading->state[0])
		command_run("rm -rf %s", loading->state);
}

static int loading_run(struct loading *loading, struct loaded loaded[WAYS])
{
	int turns = options->repetitions < LOADS_MOST ? options->repetitions : LOADS_MOST;
	int failed = 0;

	for (int turn = 0; turn < turns; turn++) {
		for (size_t i = 0; i < WAYS; i++) {
			struct loaded *at = &loaded[i];
			int error;

			if (ways[i].left_out || !way_wanted(loading, &ways[i]))
				continue;
			error = ways[i].load(loading, at, &at->times[at->count]);
			if (!error)
				at->count++;
			failed |= error;
		}
	}
	return failed ? -EIO : 0;
}

static int loading_measure_one(const char *name, __u32 count)
{
	struct loading loading = { .name = name };
	struct loaded loaded[WAYS] = { 0 };
	bool any = false;
	int error;

	for (size_t i = 0; i < WAYS; i++) {
		any |= way_wanted(&loading, &ways[i]);
		if (ways[i].left_out && way_wanted(&loading, &ways[i]))
			printf("%s load %s: left out, 1M took over %.0f s or %llu MiB\n", name,
			       ways[i].name, FIVEFOLD_SECONDS, FIVEFOLD_BYTES >> 20);
	}
	if (!any)
		return 0;
	error = loading_open(&loading, count);
	if (!error)
		error = loading_run(&loading, loaded);
	loading_report(&loading, loaded);
	loading_close(&loading);
	return error;
}

int loading_measure(void)
{
	int error = loading_measure_one("1M", 1000000);

	return loading_measure_one("5M", 5000000) ? -EIO : error;
}
