/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Netlink through libmnl: interfaces that come and go, this host's addresses, sockets.
 */
#ifndef GATE25_LINK_H
#define GATE25_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/addr.h"

/* A socket for link events (RTM_NEWLINK, RTM_DELLINK), to be polled. */
struct link_monitor;
int link_monitor_open(struct link_monitor **out);
int link_monitor_fd(const struct link_monitor *monitor);
/* Calls `each` for every event that is waiting. -ENOBUFS: events were lost, look at all interfaces. */
int link_monitor_read(struct link_monitor *monitor,
		      void (*each)(const char *iface, unsigned int ifindex, bool gone,
				   void *context),
		      void *context);
void link_monitor_close(struct link_monitor *monitor);

/* This host's addresses, both families (not 127/8, ::1). Calls `each`; stops at non-zero and returns it. */
int link_addresses(int (*each)(const struct gate25_source *address, void *context), void *context);

/* The gateways of all default routes, both families, of all tables. Calls `each`, as above. */
int link_gateways(int (*each)(const struct gate25_source *address, void *context), void *context);

/* Peers of established TCP connections to local `port`, by sock_diag; v4-mapped peers are IPv4. */
int socket_peers(__u16 port, int (*each)(const struct gate25_source *peer, void *context),
		 void *context);

/* Ports of all TCP listeners of this namespace: sets bits in `ports` (65,536 bits). */
int socket_listeners(unsigned char ports[8192]);
/* Is one of some ports among them? */
bool socket_listens(const unsigned char listeners[8192], const __u16 *ports, unsigned int count);

#endif
