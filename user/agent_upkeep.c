// SPDX-License-Identifier: GPL-2.0-only
/*
 * What wants doing now and then: entries whose time is over, class hits of generations that are gone, clocks that
 * drift apart, listeners that come and go; and how many entries each origin has.
 *
 * In: a timer, a change of the journal. Out: a tidy overlay, right control words, counts for the metrics. The map may
 * hold many entries: all that walks it runs beside the loop.
 */
#include "bpf/source.h"
#include "user/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "user/log.h"
#include "user/overlay.h"
#include "user/state.h"

#define US_PER_S    1000000ULL
#define NS_PER_S    1000000000ULL
#define UPKEEP_S    30
#define TICK_S	    10
#define LOCK_WAIT_S 10
#define APART_NS    (2 * NS_PER_S) /* at most so often because the journal changes */
#define DRIFT_NS    (1 * NS_PER_S)
#define AUTO	    0 /* the first origin: automatic bans */

/* ---------------------------------------------------------------- in the thread */

static struct metrics_origin *origin_of(struct upkeep *upkeep, const char *name)
{
	for (size_t i = 0; i < upkeep->origins_count; i++)
		if (!strcmp(upkeep->origins[i].origin, name))
			return &upkeep->origins[i];
	if (upkeep->origins_count >= METRICS_ORIGINS && strcmp(name, "other") != 0)
		return origin_of(upkeep, "other");
	snprintf(upkeep->origins[upkeep->origins_count].origin, GATE25_NAME, "%s", name);
	return &upkeep->origins[upkeep->origins_count++];
}

static void origin_count(struct metrics_origin *origin, unsigned int family)
{
	if (family == 4)
		origin->entries4++;
	else
		origin->entries6++;
}

static int auto_count(const struct gate25_overlay_key *key,
		      const struct gate25_overlay_entry *entry, void *context)
{
	struct upkeep *upkeep = context;

	if (entry->slots[GATE25_SLOT_AUTO].expires_ns > monotonic_ns())
		origin_count(&upkeep->origins[AUTO], key->family);
	return 0;
}

static void origins_count(struct upkeep *upkeep)
{
	struct journal *journal = NULL;

	memset(upkeep->origins, 0, sizeof(upkeep->origins));
	upkeep->origins_count = 0;
	origin_of(upkeep, "auto");
	origin_of(upkeep, "manual");
	overlay_each(upkeep->guard, auto_count, upkeep);
	if (journal_read(upkeep->config->state_dir, &journal))
		return;
	for (size_t i = 0; i < journal_count(journal); i++) {
		const struct entry *entry = journal_at(journal, i);

		origin_count(origin_of(upkeep, entry->origin), entry->prefix.address.family);
	}
	journal_close(journal);
}

static void control_resync(struct upkeep *upkeep)
{
	struct state *state = NULL;

	if (state_read(upkeep->config->state_dir, &state))
		return;
	apply_control(upkeep->guard, upkeep->config, state);
	state_free(state);
}

/*
 * Budgets that are long full again are emptied, before the clock of their words comes round. Words change by CAS. When
 * none is spent any more, the kernel need not ask for the time to know.
 */
static void sources_sweep(struct guard *guard)
{
	__u64 now_ns = monotonic_ns(), until_ns = guard->spent->any_until_ns;

	if (until_ns < now_ns)
		__sync_val_compare_and_swap(&guard->spent->any_until_ns, until_ns, 0);
	for (__u32 i = 0; i < guard->source_lines; i++)
		source_sweep(guard->sources[i].words, now_ns);
}

/* All under the lock: a generation with other sizes, put in force meanwhile, would unmap what is walked here. */
static void upkeep_run(struct agent *agent)
{
	struct upkeep *upkeep = &agent->upkeep;
	int lock = guard_lock(upkeep->config->run_dir, LOCK_WAIT_S);

	upkeep->error = lock < 0 ? lock : 0;
	if (lock < 0)
		return;
	if (upkeep->resync) {
		upkeep->error = apply_sync_overlay(upkeep->guard, upkeep->config);
		control_resync(upkeep);
	}
	guard_harvest(upkeep->guard);
	overlay_collect(upkeep->guard);
	sources_sweep(upkeep->guard);
	origins_count(upkeep);
	close(lock);
}

/* ---------------------------------------------------------------- in the loop */

static void timer_set(struct agent *agent, __u64 delay_us)
{
	sd_event_source_set_time_relative(agent->upkeep.timer, delay_us);
	sd_event_source_set_enabled(agent->upkeep.timer, SD_EVENT_ONESHOT);
}

static void upkeep_done(struct agent *agent)
{
	struct upkeep *upkeep = &agent->upkeep;
	bool failed = upkeep->error && upkeep->resync;

	memcpy(agent->origins, upkeep->origins, sizeof(agent->origins));
	agent->origins_count = upkeep->origins_count;
	upkeep->last_ns = monotonic_ns();
	upkeep->resync = failed || upkeep->resync_next;
	upkeep->resync_next = false;
	timer_set(agent, upkeep->again ? APART_NS / 1000 : UPKEEP_S * US_PER_S);
	upkeep->again = false;
}

static void upkeep_start(struct agent *agent)
{
	struct upkeep *upkeep = &agent->upkeep;

	if (upkeep->job.running || agent->stopping)
		return;
	upkeep->guard = agent->guard;
	upkeep->config = agent->config;
	job_start(&upkeep->job);
}

void upkeep_want(struct agent *agent, bool resync)
{
	struct upkeep *upkeep = &agent->upkeep;
	__u64 since_ns = monotonic_ns() - upkeep->last_ns;

	if (upkeep->job.running) {
		upkeep->again = true;
		upkeep->resync_next |= resync;
		return;
	}
	upkeep->resync |= resync;
	if (since_ns >= APART_NS)
		upkeep_start(agent);
	else
		timer_set(agent, (APART_NS - since_ns) / 1000);
}

static __s64 clock_drift_ns(void)
{
	struct timespec boot, monotonic;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (boot.tv_sec - monotonic.tv_sec) * (__s64)NS_PER_S + boot.tv_nsec -
	       monotonic.tv_nsec;
}

static int upkeep_fires(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;

	(void)source;
	(void)usec;
	upkeep_start(agent);
	return 0;
}

/* After a suspend everything that was to end in monotonic time would end too late. */
static void drift_follow(struct agent *agent)
{
	struct upkeep *upkeep = &agent->upkeep;
	__s64 drift_ns = clock_drift_ns();

	if (llabs(drift_ns - upkeep->drift_ns) < (long long)DRIFT_NS)
		return;
	log_notice("the machine slept for %lld s: ends of entries and pause are set right",
		   (drift_ns - upkeep->drift_ns) / (long long)NS_PER_S);
	upkeep->drift_ns = drift_ns;
	upkeep_want(agent, true);
}

/* Pins that are not ours any more: somebody unloaded everything, and perhaps loaded again without us. */
static void guard_watch(struct agent *agent)
{
	struct state *state = NULL;
	bool wanted = false;

	if (guard_current(agent->guard) || state_read(agent->config->state_dir, &state))
		return;
	for (unsigned int i = 0; i < agent->config->interfaces_count; i++)
		wanted |= !state_is_unloaded(state, agent->config->interfaces[i].name);
	state_free(state);
	if (wanted)
		load_want(agent, LOAD_APPLY);
}

/* A load or an unload may be putting what counts in force, or taking it off: then the next tick does it. */
static void listeners_follow(struct agent *agent)
{
	int lock = guard_lock_try(agent->config->run_dir);

	if (lock < 0)
		return;
	apply_local_services(agent->guard, agent->config);
	apply_counted_services(agent->guard, agent->config, NULL);
	close(lock);
}

static int tick_fires(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;

	(void)usec;
	drift_follow(agent);
	listeners_follow(agent);
	guard_watch(agent);
	words_follow(agent, false);
	views_refresh(agent);
	links_check(agent);
	agent_status(agent);
	sd_event_source_set_time_relative(source, TICK_S * US_PER_S);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int state_changes(sd_event_source *source, const struct inotify_event *event, void *context)
{
	(void)source;
	if (event->len && !strcmp(event->name, "entries.journal"))
		upkeep_want(context, false);
	if (event->len && !strcmp(event->name, "control.json"))
		words_follow(context, false);
	return 0;
}

int upkeep_init(struct agent *agent)
{
	struct upkeep *upkeep = &agent->upkeep;
	int error = job_init(&upkeep->job, agent, upkeep_run, upkeep_done);

	upkeep->drift_ns = clock_drift_ns();
	if (!error)
		error = sd_event_add_time_relative(agent->event, &upkeep->timer, CLOCK_MONOTONIC, 0,
						   US_PER_S / 10, upkeep_fires, agent);
	if (!error)
		error = sd_event_add_time_relative(agent->event, &upkeep->tick, CLOCK_MONOTONIC,
						   TICK_S * US_PER_S, US_PER_S, tick_fires, agent);
	if (error)
		return error;
	if (sd_event_add_inotify(agent->event, &upkeep->watch, agent->config->state_dir,
				 IN_MODIFY | IN_MOVED_TO | IN_CREATE, state_changes, agent) < 0)
		log_warning("changes of entries in %s cannot be watched: counted every %d s",
			    agent->config->state_dir, UPKEEP_S);
	return 0;
}
