/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel tells about single connections: the ring buffer -> one line of the log each.
 *
 *   drop list src=192.0.2.7 sport=40112 dst=198.51.100.25 dport=25 service=mx iface=eth0 lists=a,b
 *   pass would_list src=2001:db8::7 sport=…
 *
 * The words: verdict, reason (both as in the metrics), then fields in this order, always all of them; "-" is
 * none. The shape is fixed, so that grep and fail2ban can rely on it; a field may be appended.
 */
#ifndef GATE25_EVENTS_H
#define GATE25_EVENTS_H

#include <stddef.h>

#include "bpf/gate25.h"
#include "user/dataplane.h"

#define EVENT_TEXT 4096

/* `view` is of the generation that judged: it names the lists of the class. NULL: they are not known ("?"). */
const char *event_format(const struct gate25_event *event, const struct gate25_names *names,
			 const struct view *view, char text[static EVENT_TEXT]);

/* The one reader of a guard's ring buffer. `each` gets every event, in order. */
struct events;
int events_open(struct guard *guard, void (*each)(const struct gate25_event *event, void *context),
		void *context, struct events **out);
int events_fd(const struct events *events); /* to be polled for reading */
int events_read(struct events *events);	    /* all that are there; how many, or -errno */
void events_close(struct events *events);   /* NULL is fine */

#endif
