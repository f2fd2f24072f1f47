// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent's loader: configuration, state and lists into force, beside the loop.
 *
 * In: a wish (start, reload, apply, refresh). The thread reads and builds, and takes the lock when all is ready;
 * the loop puts it in force, which is short, and lets the lock go. Out: a generation in force, or the old one.
 */
#include "user/agent.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "user/fetcher.h"
#include "user/log.h"
#include "user/record.h"
#include "user/state.h"

#define AGAIN_S	       60   /* after a start that failed, with an earlier generation in force */
#define REFRESH_MAX_S  3600 /* the clock may be set: look at least so often */
#define US_PER_S       1000000ULL
#define BEHIND_S       10 /* after a refresh that was read and failed then; each time twice as long */
#define LARGE_BYTES    (128 * 1024)
#define HARVEST_WAIT_S 1

static void config_release(void *config)
{
	config_free(config);
}

static void guard_release(void *guard)
{
	guard_close(guard);
}

static void prepared_release(void *prepared)
{
	prepared_free(prepared);
}

/* ---------------------------------------------------------------- in the thread */

static const struct config *load_config(const struct agent *agent)
{
	return agent->load.config ? agent->load.config : agent->config;
}

static struct guard *load_guard(const struct agent *agent)
{
	return agent->load.guard ? agent->load.guard : agent->guard;
}

/* Locks, journal and pins of a running agent do not move. */
static int directories_same(const struct config *old, const struct config *fresh,
			    struct apply_report *report)
{
	const struct {
		const char *key, *old, *fresh;
	} paths[] = {
		{ "state_dir", old->state_dir, fresh->state_dir },
		{ "run_dir", old->run_dir, fresh->run_dir },
		{ "pin_dir", old->pin_dir, fresh->pin_dir },
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!strcmp(paths[i].old, paths[i].fresh))
			continue;
		apply_say(
			report->errors,
			"%s cannot change from %s to %s while the agent runs: gate25 unload, then "
			"restart gate25d",
			paths[i].key, paths[i].old, paths[i].fresh);
		return -EINVAL;
	}
	return 0;
}

static int config_reread(struct agent *agent)
{
	struct load *load = &agent->load;
	int error;

	if (load->kind != LOAD_APPLY && load->kind != LOAD_RELOAD)
		return 0;
	error = apply_read_config(agent->config_path, &load->report, &load->config);
	if (!error)
		error = directories_same(agent->config, load->config, &load->report);
	if (!error)
		return 0;
	guard_count_error(agent->guard, GATE25_ERROR_CONFIG);
	config_free(load->config);
	load->config = NULL;
	return error;
}

/* Somebody may have unloaded all and loaded again: then the pinned maps are others than ours. */
static int guard_follow(struct agent *agent)
{
	struct load *load = &agent->load;
	int lock, error;

	if (guard_current(agent->guard))
		return 0;
	lock = guard_lock(agent->config->run_dir, AGENT_LOCK_WAIT_S);
	if (lock < 0)
		return lock;
	error = guard_create(load_config(agent), &load->guard);
	close(lock);
	return error;
}

/*
 * With something in force already, a start from last good images waits for none of them: a list without one is
 * read first, lest the list that is in force be replaced by an empty one.
 */
static enum feed_how load_how(const struct agent *agent)
{
	switch (agent->load.kind) {
	case LOAD_REFRESH:
		return FEED_DUE;
	case LOAD_APPLY:
		return FEED_CACHED;
	case LOAD_RELOAD:
		return FEED_CHANGED;
	case LOAD_START:
		break;
	}
	return agent->load.takeover && !feeds_cached(agent->config) ? FEED_CHANGED : FEED_CACHED;
}

/* Last in the thread: the loop finds the lock taken, and everything said that an operator said until now. */
static int load_lock(struct agent *agent)
{
	struct load *load = &agent->load;
	const struct config *config = load_config(agent);
	int error = 0;

	load->lock = guard_lock(config->run_dir, AGENT_LOCK_WAIT_S);
	if (load->lock < 0) {
		apply_say(load->report.errors, "cannot take the lock in %s: %s", config->run_dir,
			  strerror(-load->lock));
		return load->lock;
	}
	load->overlay_max = load_guard(agent)->overlay_max;
	if (load->kind != LOAD_REFRESH || load->guard) /* fresh maps know no entry */
		error = apply_sync_overlay(load_guard(agent), config);
	if (error ==
	    -ENOSPC) /* a larger overlay may come with this generation; then it is synced again */
		error = 0;
	state_free(load->state);
	load->state = NULL;
	if (!error)
		error = state_read(config->state_dir, &load->state);
	return error;
}

/*
 * What the load before replaced is still there when this one follows at once: it goes first, so that
 * memory has to hold two generations and never three. Who has the lock harvests himself, or soon will.
 */
static void before_harvest(struct agent *agent)
{
	int lock = guard_lock(load_config(agent)->run_dir, HARVEST_WAIT_S);

	if (lock < 0)
		return;
	guard_harvest(load_guard(agent));
	close(lock);
}

/* Sources that were read, and could not be put in force then, do not change for that. */
static bool load_is_due(const struct load *load)
{
	return load->behind && (__u64)time(NULL) >= load->again_s;
}

static int load_prepare(struct agent *agent)
{
	struct load *load = &agent->load;
	enum feed_how how = load_how(agent);
	int error;

	do {
		error = apply_prepare(load_config(agent), load->state, load_guard(agent), how,
				      &load->feeds, &agent->stopping, &load->report,
				      &load->prepared);
		how = FEED_CACHED;
	} while (error == -EALREADY && load_is_due(load));
	return error;
}

static void load_run(struct agent *agent)
{
	struct load *load = &agent->load;
	const struct config *config;

	load->error = config_reread(agent);
	if (load->error)
		return;
	config = load_config(agent);
	load->error = state_read(config->state_dir, &load->state);
	if (!load->error)
		load->error = guard_follow(agent);
	if (!load->error)
		before_harvest(agent);
	if (!load->error)
		load->error = load_prepare(agent);
	if (!load->error)
		load->error = load_lock(agent);
}

/* ---------------------------------------------------------------- in the loop */

static void list_ids_refresh(struct agent *agent)
{
	const struct config *config = agent->config;
	int *ids = calloc(config->lists_count + 1, sizeof(*ids));

	for (size_t i = 0; ids && i < config->lists_count; i++)
		ids[i] = state_list_id(config->state_dir, config->lists[i].name);
	if (!ids)
		return;
	free(agent->list_ids);
	agent->list_ids = ids;
}

static void config_follow(struct agent *agent)
{
	struct load *load = &agent->load;

	if (load->config) {
		agent_retire(agent, agent->config, config_release);
		agent->config = load->config;
		load->config = NULL;
		http_follow(agent);
	}
	list_ids_refresh(agent);
}

/*
 * What was read is on disk, and no refresh finds it changed any more: it has to be remembered that it is not in
 * force. A device that is not ours is tried by agent_links.c.
 */
static void load_fall_behind(struct load *load)
{
	unsigned int doublings = load->behind < 8 ? load->behind : 8;

	if (load->error == -EBUSY || load->error == -EMEDIUMTYPE)
		return;
	load->behind++;
	load->again_s = time(NULL) + (BEHIND_S << doublings);
}

/* What was in force is in force no more, whatever of the new could not be attached. */
static void load_enforce(struct agent *agent)
{
	struct load *load = &agent->load;
	const struct config *config = load_config(agent);

	events_read(agent->events); /* they are the old generation's to name */
	if (load->guard) {
		views_close(agent);
		agent_retire(agent, agent->guard, guard_release);
		agent->guard = load->guard;
		load->guard = NULL;
		views_events_open(agent);
	}
	load->error =
		apply_enforce(agent->guard, config, load->state, load->prepared, &load->report);
	agent_retire(agent, agent->in_force, prepared_release);
	agent->in_force = load->prepared;
	load->prepared = NULL;
	load->started = true;
	if (load->error)
		load_fall_behind(load);
	else
		load->behind = 0;
	config_follow(agent);
	links_tried(agent);
	views_refresh(agent);
	upkeep_want(agent, load->overlay_max != agent->guard->overlay_max);
}

static void load_clean(struct load *load)
{
	if (load->lock >= 0)
		close(load->lock);
	load->lock = -1;
	prepared_free(load->prepared);
	load->prepared = NULL;
	state_free(load->state);
	load->state = NULL;
	config_free(load->config);
	load->config = NULL;
	guard_close(load->guard);
	load->guard = NULL;
}

/* A configuration that was refused counted already. */
static void load_failed(struct agent *agent)
{
	struct load *load = &agent->load;

	if (load->error == -EALREADY || load->error == -ECANCELED)
		return;
	if (load->kind == LOAD_REFRESH)
		load_fall_behind(load);
	if (load->config || load->kind == LOAD_START || load->kind == LOAD_REFRESH)
		guard_count_error(agent->guard, GATE25_ERROR_SWAP);
	if (!json_array_size(load->report.errors))
		apply_say(load->report.errors, "%s", strerror(-load->error));
	apply_say(load->report.errors, "%s",
		  agent->views.attached_count > 0 ? "what was in force before stays in force" :
						    "nothing is guarded");
}

/* What `gate25 reload` asks for, it records itself. */
static void load_record(struct agent *agent)
{
	struct load *load = &agent->load;

	if (load->records)
		record_change(agent->config->state_dir, load->error ? "reload failed" : "reload",
			      NULL, NULL, NULL);
	load->records = false;
}

static void timer_set(struct agent *agent)
{
	struct load *load = &agent->load;
	__u64 next = feeds_next_refresh(agent->config, &agent->feeds), now = time(NULL);
	__u64 delay;

	if (load->behind && (!next || load->again_s < next))
		next = load->again_s;
	delay = next > now ? next - now : 1;
	if (!next || delay > REFRESH_MAX_S)
		delay = REFRESH_MAX_S;
	if (!load->started)
		delay = AGAIN_S;
	sd_event_source_set_time_relative(load->timer, delay * US_PER_S);
	sd_event_source_set_enabled(load->timer, SD_EVENT_ONESHOT);
}

static void load_next(struct agent *agent);

static void load_done(struct agent *agent)
{
	struct load *load = &agent->load;
	bool first = load->kind == LOAD_START;

	free(agent->feeds.array);
	agent->feeds = load->feeds;
	load->feeds = (struct feed_states){ 0 };
	if (load->error)
		load_failed(agent);
	else
		load_enforce(agent);
	load_clean(load);
	load_record(agent);
	words_follow(agent, !load->error);
	agent_report(&load->report);
	server_load_ends(agent->server, &load->report);
	apply_report_free(&load->report);
	files_follow(agent);
	if (first && load->started) {
		feeds_spread(agent->config, &agent->feeds);
		load->wanted |= LOAD_REFRESH;
	}
	if (first && !load->started && agent->views.attached_count <= 0) {
		log_error("nothing could be put in force");
		sd_event_exit(agent->event, EXIT_FAILURE);
		return;
	}
	agent_ready(agent);
	agent_status(agent);
	timer_set(agent);
	load_next(agent);
}

/* The state's copy goes to the thread, so that the metrics can read ours meanwhile. */
static int feeds_lend(struct agent *agent)
{
	struct feed_states *copy = &agent->load.feeds;

	*copy = (struct feed_states){ 0 };
	/* A start waits for what it has to read: an empty list would replace one that is in force. */
	if (agent->load.kind != LOAD_START)
		copy->fetcher = agent->fetcher;
	if (!agent->feeds.count)
		return 0;
	copy->array = malloc(agent->feeds.count * sizeof(*copy->array));
	if (!copy->array)
		return -ENOMEM;
	memcpy(copy->array, agent->feeds.array, agent->feeds.count * sizeof(*copy->array));
	copy->count = agent->feeds.count;
	return 0;
}

/* Those that somebody asked for are due. A clock set back would put them off. */
static void asked_take(struct load *load)
{
	for (size_t i = 0; i < load->asked_count; i++) {
		struct feed_state *state = feeds_find(&load->feeds, load->asked[i]);

		if (state)
			state->next_refresh_s = 0;
	}
	load->asked_count = 0;
}

static void load_next(struct agent *agent)
{
	static const enum load_kind order[] = { LOAD_START, LOAD_RELOAD, LOAD_APPLY, LOAD_REFRESH };
	struct load *load = &agent->load;

	if (load->job.running || !load->wanted || agent->stopping)
		return;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (!(load->wanted & order[i]))
			continue;
		load->kind = order[i];
		break;
	}
	/* A reload does what is smaller than it, too. */
	load->wanted &= load->kind == LOAD_RELOAD ? LOAD_START : ~load->kind;
	if (load->kind == LOAD_RELOAD) {
		agent_reloading(agent);
		load->records = load->signalled;
		load->signalled = false;
	}
	apply_report_init(&load->report);
	server_load_begins(agent->server, load->kind);
	load->error = feeds_lend(agent);
	if (!load->error && load->kind == LOAD_REFRESH)
		asked_take(load);
	load->takeover = agent->views.attached_count > 0;
	if (load->error || job_start(&load->job)) {
		load->error = load->error ? load->error : -EAGAIN;
		load_done(agent);
	}
}

void load_want(struct agent *agent, enum load_kind kind)
{
	struct load *load = &agent->load;

	/* Before the first generation stands there is nothing to refresh, and a start reads all. */
	if (!load->started && kind == LOAD_REFRESH)
		kind = LOAD_START;
	load->wanted |= kind;
	load_next(agent);
}

static bool is_asked(const struct load *load, const char *name)
{
	for (size_t i = 0; i < load->asked_count; i++)
		if (!strcmp(load->asked[i], name))
			return true;
	return false;
}

int load_want_list(struct agent *agent, const char *name, __u64 *when_s)
{
	struct load *load = &agent->load;
	int error = -ENOENT;

	for (size_t i = 0; i < agent->config->lists_count; i++) {
		const struct config_list *list = &agent->config->lists[i];
		const struct feed_state *state = feeds_find(&agent->feeds, list->name);

		if ((name && strcmp(list->name, name) != 0) || (!list->url && !list->file))
			continue;
		*when_s = state ? feed_may_ask_s(list, state) : 0;
		if (*when_s > (__u64)time(NULL)) {
			error = name ? -EAGAIN : error;
			continue;
		}
		error = 0;
		if (!is_asked(load, list->name) && load->asked_count < GATE25_LISTS)
			memcpy(load->asked[load->asked_count++], list->name, GATE25_NAME);
	}
	if (!error)
		load_want(agent, LOAD_REFRESH);
	return error;
}

/* A list that a load did not wait for: what came of it is the next one's. */
static int late_ends(sd_event_source *source, int fd, uint32_t events, void *context)
{
	__u64 count;

	(void)source;
	(void)events;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		load_want(context, LOAD_REFRESH);
	return 0;
}

static int timer_fires(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	load_want(context, LOAD_REFRESH);
	return 0;
}

int load_init(struct agent *agent)
{
	struct load *load = &agent->load;
	int error = job_init(&load->job, agent, load_run, load_done);

	/*
	 * The arrays of a load come and go: each is a mapping of its own, which the system has back as
	 * soon as it is freed. By itself malloc() would keep ever larger ones for the next time.
	 */
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	load->lock = -1;
	if (!error)
		error = fetcher_new(&agent->fetcher);
	if (!error)
		error = sd_event_add_io(agent->event, &load->late, fetcher_fd(agent->fetcher),
					EPOLLIN, late_ends, agent);
	if (!error)
		error = sd_event_add_time_relative(agent->event, &load->timer, CLOCK_BOOTTIME,
						   REFRESH_MAX_S * US_PER_S, US_PER_S, timer_fires,
						   agent);
	return error;
}
