// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in force, mapped for reading: names for the events, numbers for the metrics.
 *
 * In: pinned links. Out: a view an interface, opened again when another instance runs there.
 */
#include "user/agent.h"

#include <string.h>

#include "user/log.h"

#define LOOK_AGAIN_NS 1000000000ULL

static void view_drop(struct view *view)
{
	if (view->prog_id)
		view_close(view);
	memset(view, 0, sizeof(*view));
}

static void view_follow(struct agent *agent, unsigned int slot, __u32 prog_id)
{
	struct view *view = &agent->views.views[slot];

	if (view->prog_id == prog_id)
		return;
	view_drop(view);
	if (prog_id && view_open_names(agent->guard, prog_id, view))
		memset(view, 0, sizeof(*view));
}

void views_refresh(struct agent *agent)
{
	struct views *views = &agent->views;
	__u32 running[GATE25_IFACES] = { 0 };

	views->attached_count = guard_attachments(agent->guard, views->attached);
	for (int i = 0; i < views->attached_count; i++) {
		int slot = guard_iface_slot(agent->guard, views->attached[i].iface, false);

		if (slot >= 0)
			running[slot] = views->attached[i].prog_id;
	}
	for (unsigned int slot = 0; slot < GATE25_IFACES; slot++)
		view_follow(agent, slot, running[slot]);
	views->looked_ns = monotonic_ns();
}

const struct view *views_of(struct agent *agent, unsigned int iface_slot)
{
	if (iface_slot >= GATE25_IFACES)
		return NULL;
	if (!agent->views.views[iface_slot].prog_id &&
	    monotonic_ns() - agent->views.looked_ns > LOOK_AGAIN_NS)
		views_refresh(agent);
	return agent->views.views[iface_slot].prog_id ? &agent->views.views[iface_slot] : NULL;
}

const struct view *views_first(struct agent *agent)
{
	for (unsigned int slot = 0; slot < GATE25_IFACES; slot++)
		if (agent->views.views[slot].prog_id)
			return &agent->views.views[slot];
	return NULL;
}

void views_close(struct agent *agent)
{
	for (unsigned int slot = 0; slot < GATE25_IFACES; slot++)
		view_drop(&agent->views.views[slot]);
	agent->views.attached_count = 0;
}

/* ---------------------------------------------------------------- events */

#define EVENT_AGE_NS 60000000000ULL /* of the time without an agent: whom would it help now? */

static void event_tell(const struct gate25_event *event, void *context)
{
	struct agent *agent = context;
	char text[EVENT_TEXT];

	if (event->time_ns + EVENT_AGE_NS < monotonic_ns())
		return;
	log_info("%s",
		 event_format(event, agent->guard->names, views_of(agent, event->iface), text));
}

static int events_come(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct agent *agent = context;

	(void)source;
	(void)fd;
	(void)events;
	events_read(agent->events);
	return 0;
}

int views_events_open(struct agent *agent)
{
	int error;

	agent->events_source = sd_event_source_unref(agent->events_source);
	events_close(agent->events);
	agent->events = NULL;
	error = events_open(agent->guard, event_tell, agent, &agent->events);
	if (error)
		return error;
	return sd_event_add_io(agent->event, &agent->events_source, events_fd(agent->events),
			       EPOLLIN, events_come, agent);
}
