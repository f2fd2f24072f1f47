// SPDX-License-Identifier: GPL-2.0-only
/*
 * The metrics as text.
 *
 * In: counters of the kernel, lists, entries, this process. Out: a family of series each with its help. Counters
 * are the kernel's sums as they stand; nothing is added up here, so nothing can step back.
 */
#include "user/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "user/reason.h"

static const char *const error_kinds[GATE25_ERRORS] = {
#define KIND(number, name, label) [number] = (label),
	GATE25_ERROR_TABLE(KIND)
#undef KIND
};

static const char *const list_error_kinds[GATE25_LIST_ERRORS] = {
#define KIND(number, name, label) [number] = (label),
	GATE25_LIST_ERROR_TABLE(KIND)
#undef KIND
};

/* ---------------------------------------------------------------- text */

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label_write(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
}

/* Pairs of name and value. */
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* `labels` may be NULL. */
static void sample(FILE *out, const char *name, const char *const *labels, __u64 value)
{
	const char *before = "{";

	fputs(name, out);
	for (; labels && labels[0]; labels += 2) {
		fprintf(out, "%s%s=\"", before, labels[0]);
		label_write(out, labels[1]);
		fputc('"', out);
		before = ",";
	}
	fprintf(out, "%s %llu\n", before[0] == ',' ? "}" : "", value);
}

/* ---------------------------------------------------------------- packets and connections */

static void row_write(FILE *out, const struct guard *guard, const char *metric, unsigned int iface,
		      unsigned int row, const char *service, bool connections)
{
	for (unsigned int reason = 0; reason < GATE25_REASONS; reason++) {
		struct gate25_counter counter;

		if (!reason_label(reason))
			continue;
		counter = guard_counter(guard, iface, row, reason);
		sample(out, metric,
		       LABELS("interface", guard->names->ifaces[iface], "service", service,
			      "verdict", reason_verdict(reason), "reason", reason_label(reason)),
		       connections ? counter.connections : counter.packets);
	}
}

static void counters_write(FILE *out, const struct metrics_input *input, const char *metric,
			   bool connections)
{
	const struct gate25_names *names = input->guard->names;

	for (unsigned int iface = 0; iface < GATE25_IFACES; iface++) {
		if (!names->ifaces[iface][0])
			continue;
		for (unsigned int slot = 0; slot < GATE25_SERVICES; slot++)
			if (names->services[slot][0])
				row_write(out, input->guard, metric, iface, slot,
					  names->services[slot], connections);
		row_write(out, input->guard, metric, iface, GATE25_NO_SERVICE, "none", connections);
	}
}

static void packets_write(FILE *out, const struct metrics_input *input)
{
	family(out, "gate25_packets_total", "counter",
	       "Frames that were judged, by interface, service, verdict and the step that decided. "
	       "Service none: no port could be read.");
	counters_write(out, input, "gate25_packets_total", false);
	family(out, "gate25_connections_total", "counter",
	       "Connection attempts (SYNs) among them. A repeated SYN is recognised by its "
	       "addresses, "
	       "ports and sequence number among the last 65,536 and counted once; under a flood a "
	       "repetition may be counted again.");
	counters_write(out, input, "gate25_connections_total", true);
}

/* ---------------------------------------------------------------- lists */

static const struct gate25_list_info *list_in_force(const struct metrics_input *input,
						    const char *name)
{
	const struct gate25_generation *generation = input->generation;

	for (unsigned int i = 0; generation && i < generation->lists_count && i < GATE25_LISTS; i++)
		if (!strcmp(generation->lists[i].name, name))
			return &generation->lists[i];
	return NULL;
}

static void list_hits_write(FILE *out, const struct metrics_input *input)
{
	family(out, "gate25_list_hits_total", "counter",
	       "Connection attempts (SYNs, repeated ones too) whose source the list names, "
	       "whatever was "
	       "decided in the end. Several lists may count one.");
	for (size_t i = 0; i < input->config->lists_count; i++) {
		int id = input->list_ids[i];

		if (id >= 0 && input->list_hits)
			sample(out, "gate25_list_hits_total",
			       LABELS("list", input->config->lists[i].name), input->list_hits[id]);
	}
}

static void list_errors_write(FILE *out, const struct metrics_input *input)
{
	family(out, "gate25_list_errors_total", "counter",
	       "Failures to read a list, by kind; bad_line counts lines that were skipped.");
	for (size_t i = 0; i < input->config->lists_count; i++) {
		int id = input->list_ids[i];

		for (int kind = 0; id >= 0 && kind < GATE25_LIST_ERRORS; kind++)
			if (list_error_kinds[kind])
				sample(out, "gate25_list_errors_total",
				       LABELS("list", input->config->lists[i].name, "kind",
					      list_error_kinds[kind]),
				       __atomic_load_n(&input->guard->totals[id].errors[kind],
						       __ATOMIC_RELAXED));
	}
}

static void lists_gates_write(FILE *out, const struct metrics_input *input)
{
	const struct config *config = input->config;

	family(out, "gate25_list_held", "gauge",
	       "1: what was last read of a list is held back by that gate; the last good one is in "
	       "force. gate25 lists says why.");
	for (size_t i = 0; i < config->lists_count; i++) {
		const struct feed_state *state = feeds_find(input->feeds, config->lists[i].name);

		for (int gate = GATE_OPEN + 1; gate < GATES; gate++)
			if (gate_waits(gate))
				sample(out, "gate25_list_held",
				       LABELS("list", config->lists[i].name, "gate",
					      gate_label(gate)),
				       state && state->wait.gate == (enum gate)gate);
	}
	family(out, "gate25_list_expired", "gauge",
	       "1: a list was not confirmed for its max_age. A block list is out of force then.");
	for (size_t i = 0; i < config->lists_count; i++) {
		const struct feed_state *state = feeds_find(input->feeds, config->lists[i].name);

		sample(out, "gate25_list_expired", LABELS("list", config->lists[i].name),
		       state && state->expired);
	}
}

static void lists_write(FILE *out, const struct metrics_input *input)
{
	list_hits_write(out, input);
	list_errors_write(out, input);
	family(out, "gate25_entries", "gauge", "Entries of a list that are in force.");
	for (size_t i = 0; i < input->config->lists_count; i++) {
		const char *name = input->config->lists[i].name;
		const struct gate25_list_info *list = list_in_force(input, name);

		sample(out, "gate25_entries", LABELS("list", name, "family", "ipv4"),
		       list ? list->entries4 : 0);
		sample(out, "gate25_entries", LABELS("list", name, "family", "ipv6"),
		       list ? list->entries6 : 0);
	}
	lists_gates_write(out, input);
	family(out, "gate25_list_last_success_timestamp_seconds", "gauge",
	       "When the source of a list was last read, or found unchanged; 0: never.");
	for (size_t i = 0; i < input->config->lists_count; i++) {
		const char *name = input->config->lists[i].name;
		const struct feed_state *state = feeds_find(input->feeds, name);

		sample(out, "gate25_list_last_success_timestamp_seconds", LABELS("list", name),
		       state ? state->last_success_s : 0);
	}
}

/* ---------------------------------------------------------------- single entries */

static void overlay_write(FILE *out, const struct metrics_input *input)
{
	family(out, "gate25_overlay_entries", "gauge",
	       "Live single entries by who wrote them: manual, the name of a program, or auto for "
	       "automatic bans.");
	for (size_t i = 0; i < input->origins_count; i++) {
		const struct metrics_origin *origin = &input->origins[i];

		sample(out, "gate25_overlay_entries",
		       LABELS("origin", origin->origin, "family", "ipv4"), origin->entries4);
		sample(out, "gate25_overlay_entries",
		       LABELS("origin", origin->origin, "family", "ipv6"), origin->entries6);
	}
	family(out, "gate25_overlay_entries_max", "gauge",
	       "The most addresses and prefixes that single entries can be kept for.");
	sample(out, "gate25_overlay_entries_max", NULL, input->guard->overlay_max);
}

/* ---------------------------------------------------------------- the guard itself */

static void attached_one(FILE *out, const char *name, const struct attachment *attached)
{
	bool there = attached && attached->ifindex;

	sample(out, "gate25_attached", LABELS("interface", name, "mode", "native"),
	       there && attached->native);
	sample(out, "gate25_attached", LABELS("interface", name, "mode", "generic"),
	       there && !attached->native);
}

static const struct attachment *attachment_of(const struct metrics_input *input, const char *name)
{
	for (size_t i = 0; i < input->attached_count; i++)
		if (!strcmp(input->attached[i].iface, name))
			return &input->attached[i];
	return NULL;
}

static void attached_write(FILE *out, const struct metrics_input *input)
{
	const struct config *config = input->config;

	family(out, "gate25_attached", "gauge",
	       "1: the interface is guarded, in that mode of XDP.");
	for (unsigned int i = 0; i < config->interfaces_count; i++)
		attached_one(out, config->interfaces[i].name,
			     attachment_of(input, config->interfaces[i].name));
	for (size_t i = 0; i < input->attached_count; i++) {
		bool configured = false;

		for (unsigned int j = 0; j < config->interfaces_count; j++)
			configured |= !strcmp(config->interfaces[j].name, input->attached[i].iface);
		if (!configured)
			attached_one(out, input->attached[i].iface, &input->attached[i]);
	}
}

static void counted_write(FILE *out, const struct metrics_input *input)
{
	const struct guard *guard = input->guard;
	__u8 limited = input->generation ? generation_limited(input->generation) : 0;
	__u8 counted = limited & guard->control->counted_services;

	family(out, "gate25_service_counted", "gauge",
	       "1: limits of the service count that. Neither: it has none. SYNs can be forged.");
	for (unsigned int slot = 0; slot < GATE25_SERVICES; slot++) {
		const char *name = guard->names->services[slot];

		if (!name[0])
			continue;
		sample(out, "gate25_service_counted",
		       LABELS("service", name, "what", "connections"), counted >> slot & 1);
		sample(out, "gate25_service_counted", LABELS("service", name, "what", "syns"),
		       (limited & ~counted) >> slot & 1);
	}
}

static void errors_write(FILE *out, const struct guard *guard)
{
	family(out, "gate25_errors_total", "counter",
	       "Failures of gate25 itself, by kind. Mail passes them.");
	for (int kind = 0; kind < GATE25_ERRORS; kind++) {
		__u64 sum;

		if (!error_kinds[kind])
			continue;
		sum = __atomic_load_n(&guard->agent_errors[kind], __ATOMIC_RELAXED);
		for (unsigned int cpu = 0; cpu < guard->cpus; cpu++)
			sum += __atomic_load_n(&guard->cpu_state[cpu].errors[kind],
					       __ATOMIC_RELAXED);
		sample(out, "gate25_errors_total", LABELS("kind", error_kinds[kind]), sum);
	}
}

static void guard_write(FILE *out, const struct metrics_input *input)
{
	const struct guard *guard = input->guard;
	__u64 suppressed = 0;

	family(out, "gate25_paused", "gauge",
	       "1: an operator paused the guard, everything passes and is counted as observed.");
	sample(out, "gate25_paused", NULL, guard->control->pause_until_ns > input->now_ns);
	attached_write(out, input);
	counted_write(out, input);
	for (unsigned int cpu = 0; cpu < guard->cpus; cpu++)
		suppressed +=
			__atomic_load_n(&guard->cpu_state[cpu].events_suppressed, __ATOMIC_RELAXED);
	family(out, "gate25_events_suppressed_total", "counter",
	       "Drops that were counted but not logged, since there were more than the rate of "
	       "`events:` allows.");
	sample(out, "gate25_events_suppressed_total", NULL, suppressed);
	errors_write(out, guard);
	family(out, "gate25_build_info", "gauge", "The agent's version; always 1.");
	sample(out, "gate25_build_info", LABELS("version", GATE25_VERSION), 1);
}

/* ---------------------------------------------------------------- this process */

static unsigned int descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;
	struct dirent *entry;

	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			count++;
	closedir(directory);
	return count - 1; /* the one that looks */
}

/* Ticks since boot, the 22nd field of /proc/self/stat; the 2nd may hold spaces, but ends in the last ")". */
static double start_ticks(void)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char line[1024], *at, *rest, *word;
	double ticks = 0;

	if (!file)
		return 0;
	at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	word = at ? strtok_r(at + 1, " ", &rest) : NULL;
	for (int field = 3; word && field <= 22; field++, word = strtok_r(NULL, " ", &rest))
		if (field == 22)
			ticks = strtod(word, NULL);
	return ticks;
}

static double boot_time_s(void)
{
	FILE *file = fopen("/proc/stat", "re");
	char line[4096];
	double boot = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "btime ", 6))
			boot = strtod(line + 6, NULL);
	if (file)
		fclose(file);
	return boot;
}

static void memory_read(__u64 *virtual_bytes, __u64 *resident_bytes)
{
	FILE *file = fopen("/proc/self/statm", "re");
	char line[128], *rest = line;
	__u64 page = sysconf(_SC_PAGESIZE);

	*virtual_bytes = *resident_bytes = 0;
	if (!file)
		return;
	if (fgets(line, sizeof(line), file)) {
		*virtual_bytes = strtoull(rest, &rest, 10) * page;
		*resident_bytes = strtoull(rest, &rest, 10) * page;
	}
	fclose(file);
}

static void process_write(FILE *out)
{
	struct rlimit descriptors = { 0 };
	struct rusage used = { 0 };
	__u64 virtual_bytes, resident_bytes;

	getrusage(RUSAGE_SELF, &used);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	memory_read(&virtual_bytes, &resident_bytes);
	family(out, "process_cpu_seconds_total", "counter", "CPU time of the agent.");
	fprintf(out, "process_cpu_seconds_total %.6f\n",
		used.ru_utime.tv_sec + used.ru_stime.tv_sec +
			(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	family(out, "process_resident_memory_bytes", "gauge",
	       "Memory of the agent that is in RAM.");
	sample(out, "process_resident_memory_bytes", NULL, resident_bytes);
	family(out, "process_virtual_memory_bytes", "gauge", "Address space of the agent.");
	sample(out, "process_virtual_memory_bytes", NULL, virtual_bytes);
	family(out, "process_open_fds", "gauge", "File descriptors that the agent has open.");
	sample(out, "process_open_fds", NULL, descriptors_open());
	family(out, "process_max_fds", "gauge", "File descriptors that it may open.");
	sample(out, "process_max_fds", NULL, descriptors.rlim_cur);
	family(out, "process_start_time_seconds", "gauge", "When the agent started.");
	fprintf(out, "process_start_time_seconds %.2f\n",
		boot_time_s() + start_ticks() / sysconf(_SC_CLK_TCK));
}

int metrics_write(const struct metrics_input *input, FILE *out)
{
	packets_write(out, input);
	lists_write(out, input);
	overlay_write(out, input);
	guard_write(out, input);
	process_write(out);
	return ferror(out) ? -EIO : 0;
}
