// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interfaces that come, go and come back: guarded as soon as they are there.
 *
 * In: link events, and a look now and then in case one was missed. Out: an instance of the generation in force, loaded
 * beside the loop and attached in it; so is what counts connections when it was lost. What an operator unloaded is left
 * alone.
 */
#include "user/agent.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/log.h"
#include "user/state.h"

#define NS_PER_S  1000000000ULL
#define AGAIN_S	  60 /* after a failure; doubled with each further one … */
#define AGAIN_MAX 4  /* … so often */

/* ---------------------------------------------------------------- in the thread */

static void links_run(struct agent *agent)
{
	struct links *links = &agent->links;

	for (unsigned int i = 0; i < links->count; i++)
		links->errors[i] =
			apply_load_interface(links->guard, links->prepared, links->ifaces[i]);
	links->lock = guard_lock(links->run_dir, AGENT_LOCK_WAIT_S);
}

/* ---------------------------------------------------------------- in the loop */

static struct link_try *try_of(struct links *links, const char *iface)
{
	struct link_try *spare = NULL;

	for (int i = 0; i < GATE25_IFACES; i++) {
		if (!strcmp(links->tries[i].iface, iface))
			return &links->tries[i];
		if (!spare && !links->tries[i].iface[0])
			spare = &links->tries[i];
	}
	if (!spare) /* of interfaces that the configuration knew once */
		spare = &links->tries[0];
	memset(spare, 0, sizeof(*spare));
	snprintf(spare->iface, sizeof(spare->iface), "%s", iface);
	return spare;
}

static void try_note(struct links *links, const char *iface, bool failed)
{
	struct link_try *tried = try_of(links, iface);
	unsigned int doublings = tried->failures < AGAIN_MAX ? tried->failures : AGAIN_MAX;

	tried->ifindex = if_nametoindex(iface);
	tried->failures = failed ? tried->failures + 1 : 0;
	tried->next_ns = failed ? monotonic_ns() + (AGAIN_S * NS_PER_S << doublings) : 0;
}

static bool attached_to(const struct agent *agent, const char *iface, unsigned int ifindex)
{
	for (int i = 0; i < agent->views.attached_count; i++)
		if (!strcmp(agent->views.attached[i].iface, iface))
			return agent->views.attached[i].ifindex == ifindex;
	return false;
}

void links_tried(struct agent *agent)
{
	views_refresh(agent);
	for (unsigned int i = 0; i < agent->config->interfaces_count; i++) {
		const char *iface = agent->config->interfaces[i].name;
		unsigned int ifindex = if_nametoindex(iface);

		if (ifindex)
			try_note(&agent->links, iface, !attached_to(agent, iface, ifindex));
	}
}

static void attach_one(struct agent *agent, const struct state *state, unsigned int index,
		       struct apply_report *report)
{
	struct links *links = &agent->links;
	const char *iface = links->ifaces[index];
	int error = links->errors[index];

	if (error)
		guard_count_error(agent->guard, GATE25_ERROR_ATTACH);
	else
		error = apply_attach_interface(agent->guard, agent->config, state, links->prepared,
					       iface, report);
	try_note(links, iface, error != 0);
}

static void links_done(struct agent *agent)
{
	struct links *links = &agent->links;
	struct apply_report report;
	struct state *state = NULL;

	apply_report_init(&report);
	/* A load that overtook us has attached what is there; ours is of yesterday. */
	if (links->lock >= 0 && links->prepared == agent->in_force &&
	    links->guard == agent->guard && state_read(agent->config->state_dir, &state) == 0) {
		for (unsigned int i = 0; i < links->count; i++)
			attach_one(agent, state, i, &report);
		if (links->sessions)
			apply_attach_sessions(agent->guard, agent->config, links->prepared,
					      &report);
	}
	if (links->lock >= 0)
		close(links->lock);
	links->lock = -1;
	agent_report(&report);
	apply_report_free(&report);
	state_free(state);
	views_refresh(agent);
	agent_status(agent);
	upkeep_want(agent, false);
	links_check(agent);
}

/* Is it there, not guarded, and time to try? */
static bool iface_wants(struct agent *agent, const char *iface)
{
	unsigned int ifindex = if_nametoindex(iface);
	const struct link_try *tried;

	if (!ifindex || attached_to(agent, iface, ifindex))
		return false;
	tried = try_of(&agent->links, iface);
	return tried->ifindex != ifindex || tried->next_ns <= monotonic_ns();
}

void links_check(struct agent *agent)
{
	struct links *links = &agent->links;
	const struct config *config = agent->config;
	struct state *state = NULL;

	if (links->job.running || !agent->in_force || agent->stopping)
		return;
	links->count = 0;
	for (unsigned int i = 0; i < config->interfaces_count; i++) {
		const char *iface = config->interfaces[i].name;

		if (!iface_wants(agent, iface))
			continue;
		if (!state && state_read(config->state_dir, &state))
			return;
		if (!state_is_unloaded(state, iface))
			snprintf(links->ifaces[links->count++], sizeof(links->ifaces[0]), "%s",
				 iface);
	}
	state_free(state);
	links->sessions = apply_sessions_lost(agent->guard, agent->in_force);
	if (!links->count && !links->sessions)
		return;
	links->prepared = agent->in_force;
	links->guard = agent->guard;
	snprintf(links->run_dir, sizeof(links->run_dir), "%s", config->run_dir);
	job_start(&links->job);
}

/* ---------------------------------------------------------------- events */

static void link_event(const char *iface, unsigned int ifindex, bool gone, void *context)
{
	struct agent *agent = context;

	for (unsigned int i = 0; i < agent->config->interfaces_count; i++) {
		if (strcmp(agent->config->interfaces[i].name, iface) != 0)
			continue;
		if (gone && attached_to(agent, iface, ifindex))
			log_warning("interface %s is gone; guarded again as soon as it is back",
				    iface);
	}
}

static int links_event(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;
	int error = link_monitor_read(agent->links.monitor, link_event, agent);

	(void)source;
	(void)fd;
	(void)events;
	if (error && error != -ENOBUFS && error != -EAGAIN)
		log_warning("link events cannot be read: %s; looking every 10 s", strerror(-error));
	views_refresh(agent);
	links_check(agent);
	return 0;
}

int links_init(struct agent *agent)
{
	struct links *links = &agent->links;
	int error = job_init(&links->job, agent, links_run, links_done);

	links->lock = -1;
	if (error)
		return error;
	error = link_monitor_open(&links->monitor);
	if (error) {
		log_warning("no link events: %s; looking every 10 s", strerror(-error));
		return 0;
	}
	return sd_event_add_io(agent->event, &links->source, link_monitor_fd(links->monitor),
			       EPOLLIN, links_event, agent);
}

void links_release(struct agent *agent)
{
	sd_event_source_unref(agent->links.source);
	link_monitor_close(agent->links.monitor);
	job_release(&agent->links.job);
}
