// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events of the kernel -> lines for people, grep and fail2ban.
 *
 * In: the ring buffer, names of slots, the view of a generation. Out: a line an event. The kernel has limited
 * their rate already.
 */
#include "user/events.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/addr.h"
#include "user/log.h"
#include "user/reason.h"

struct events {
	struct ring_buffer *ring;
	void (*each)(const struct gate25_event *event, void *context);
	void *context;
};

/* ---------------------------------------------------------------- a line */

/* The block lists that name the source for that service: "a,b". */
static void lists_name(const struct gate25_event *event, const struct view *view, char *text,
		       size_t size)
{
	const struct gate25_generation *generation = view ? view->generation : NULL;
	__u8 service = event->service < GATE25_SERVICES ? 1 << event->service : 0xff;
	size_t length = 0;

	snprintf(text, size, "%s", event->class && !view ? "?" : "-");
	if (!view || event->class >= generation->classes)
		return;
	for (unsigned int i = 0; i < generation->lists_count && i < GATE25_LISTS; i++) {
		const struct gate25_list_info *list = &generation->lists[i];

		if (!(view->classes[event->class].lists & (1ULL << i)) || list->allow ||
		    !(list->services & service))
			continue;
		if (length + GATE25_NAME + 2 > size)
			break;
		length += snprintf(text + length, size - length, "%s%s", length ? "," : "",
				   list->name);
	}
}

static const char *slot_name(const char *name)
{
	return name && name[0] ? name : "-";
}

const char *event_format(const struct gate25_event *event, const struct gate25_names *names,
			 const struct view *view, char text[static EVENT_TEXT])
{
	struct gate25_source destination = {
		.hi = event->destination_hi,
		.lo = event->destination_lo,
		.family = event->frame_family,
	};
	char source[PREFIX_TEXT], target[PREFIX_TEXT];
	char lists[GATE25_LISTS * (GATE25_NAME + 1)];
	const char *verdict = reason_verdict(event->reason), *label = reason_label(event->reason);

	lists_name(event, view, lists, sizeof(lists));
	snprintf(text, EVENT_TEXT,
		 "%s %s src=%s sport=%u dst=%s dport=%u service=%s iface=%s lists=%s",
		 verdict ? verdict : "-", label ? label : "-",
		 address_format(&event->source, source), event->source_port,
		 address_format(&destination, target), event->destination_port,
		 slot_name(event->service < GATE25_SERVICES ? names->services[event->service] : ""),
		 slot_name(event->iface < GATE25_IFACES ? names->ifaces[event->iface] : ""), lists);
	return text;
}

/* ---------------------------------------------------------------- the ring */

static int ring_take(void *context, void *data, size_t size)
{
	struct events *events = context;

	if (size >= sizeof(struct gate25_event))
		events->each(data, events->context);
	return 0;
}

int events_open(struct guard *guard, void (*each)(const struct gate25_event *event, void *context),
		void *context, struct events **out)
{
	struct events *events = calloc(1, sizeof(*events));
	int error;

	if (!events)
		return -ENOMEM;
	events->each = each;
	events->context = context;
	events->ring = ring_buffer__new(guard->events_fd, ring_take, events, NULL);
	if (!events->ring) {
		error = -errno;
		log_error("cannot read the events of the guard: %s; verdicts are not affected",
			  strerror(-error));
		free(events);
		return error;
	}
	*out = events;
	return 0;
}

int events_fd(const struct events *events)
{
	return ring_buffer__epoll_fd(events->ring);
}

int events_read(struct events *events)
{
	return ring_buffer__consume(events->ring);
}

void events_close(struct events *events)
{
	if (!events)
		return;
	ring_buffer__free(events->ring);
	free(events);
}
