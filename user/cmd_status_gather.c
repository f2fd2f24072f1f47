// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that `status` shows, read once.
 *
 * In: the pinned maps, the generation in force, state, feeds.json, the agent's socket. Out: struct
 * status.
 */
#include "user/cmd_status.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "user/apply.h"
#include "user/cmd_show.h"
#include "user/overlay.h"

bool service_observes(const struct status *status, int slot)
{
	return status->guard->control->observe ||
	       (status->guard->control->observe_services >> slot & 1);
}

const char *service_counted(const struct status *status, int slot)
{
	if (!(generation_limited(status->generation) >> slot & 1))
		return "-";
	return status->guard->control->counted_services >> slot & 1 ? "connections" : "syns";
}

static void add(struct gate25_counter *sum, const struct gate25_counter *counter)
{
	sum->packets += counter->packets;
	sum->connections += counter->connections;
}

static void traffic_add(struct status_traffic *traffic, unsigned int reason,
			const struct gate25_counter *counter)
{
	if (reason >= GATE25_REASON_WOULD_MANUAL)
		add(&traffic->observed, counter);
	else if (reason >= GATE25_REASON_MANUAL)
		add(&traffic->dropped, counter);
	else
		add(&traffic->passed, counter);
}

static void counters_gather(struct status *out)
{
	for (unsigned int iface = 0; iface < GATE25_IFACES; iface++) {
		if (!out->guard->names->ifaces[iface][0])
			continue;
		for (unsigned int row = 0; row < GATE25_SERVICE_ROWS; row++)
			for (unsigned int reason = 0; reason < GATE25_REASONS; reason++) {
				struct gate25_counter counter =
					guard_counter(out->guard, iface, row, reason);

				add(&out->reasons[reason], &counter);
				traffic_add(&out->total, reason, &counter);
				if (row < GATE25_SERVICES)
					traffic_add(&out->services[row], reason, &counter);
			}
	}
}

static void errors_gather(struct status *out)
{
	const struct guard *guard = out->guard;

	for (unsigned int cpu = 0; cpu < guard->cpus; cpu++)
		out->events_suppressed += guard->cpu_state[cpu].events_suppressed;
	for (int kind = 0; kind < GATE25_ERRORS; kind++) {
		out->errors[kind] = guard->agent_errors[kind];
		for (unsigned int cpu = 0; cpu < guard->cpus; cpu++)
			out->errors[kind] += guard->cpu_state[cpu].errors[kind];
	}
}

static int overlay_count(const struct gate25_overlay_key *key,
			 const struct gate25_overlay_entry *entry, void *context)
{
	struct status *out = context;

	(void)key;
	out->overlay_keys++;
	for (int slot = 0; slot < GATE25_SLOTS; slot++)
		out->overlay[slot] += entry->slots[slot].expires_ns > out->now_ns;
	return 0;
}

/* Links whose device is gone are not counted as guarded. */
static int attachments_gather(struct status *out)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(out->guard, attached);

	for (int i = 0; i < count; i++)
		if (attached[i].ifindex)
			out->attached[out->attached_count++] = attached[i];
	return count < 0 ? count : 0;
}

static void pause_gather(struct status *out)
{
	__u64 until_ns = out->guard->control->pause_until_ns;

	if (until_ns > out->now_ns)
		out->pause_until_s = overlay_time_s(until_ns);
}

static void observing_gather(struct status *out)
{
	bool all = true;

	if (!out->generation) { /* what is observed by a service cannot be known */
		out->observing = out->pause_until_s || out->guard->control->observe;
		return;
	}
	for (int slot = 0; slot < GATE25_SERVICES; slot++)
		if (out->generation->services >> slot & 1)
			all &= service_observes(out, slot);
	out->observing = out->pause_until_s || all;
}

static int guard_gather(struct cli *cli, struct status *out)
{
	int code = cli_guard(cli), error;

	if (code)
		return code == EXIT_NOT_LOADED ? 0 : code;
	out->guard = cli->guard;
	error = attachments_gather(out);
	if (!error && out->attached_count)
		error = ask_open(cli->config, out->guard, &out->asker);
	if (error && error != -ENOENT && error != -ENODATA)
		return cli_exit_code(error);
	if (out->asker)
		out->generation = ask_generation(out->asker);
	pause_gather(out);
	observing_gather(out);
	counters_gather(out);
	errors_gather(out);
	error = overlay_each(out->guard, overlay_count, out);
	return cli_exit_code(error);
}

int status_gather(struct cli *cli, struct status *out)
{
	struct timespec wall;
	int code = cli_paths(cli);

	memset(out, 0, sizeof(*out));
	out->cli = cli;
	clock_gettime(CLOCK_REALTIME, &wall);
	out->now_s = wall.tv_sec;
	out->now_ns = monotonic_ns();
	if (!code && cli_pinned(cli))
		code = guard_gather(cli, out);
	if (code)
		return code;
	state_read(cli->config->state_dir, &out->state);
	out->agent_error = agent_request(cli->config->run_dir, "status", &out->agent);
	out->lists = lists_describe(cli->config, cli->config_whole, out->guard, out->generation);
	for (__u32 i = 0; out->generation && i < out->generation->lists_count; i++)
		out->entries +=
			out->generation->lists[i].entries4 + out->generation->lists[i].entries6;
	status_doubt(out);
	return 0;
}

void status_release(struct status *status)
{
	ask_close(status->asker);
	state_free(status->state);
	json_decref(status->agent);
	json_decref(status->lists);
	json_decref(status->doubts);
}
