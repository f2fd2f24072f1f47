// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink through libmnl: link events, addresses of this host, TCP sockets by sock_diag.
 *
 * In: what the kernel of this network namespace says. Out: one call of the caller's function for each.
 */
#include "user/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "user/log.h"

/* A host with many VLANs that come at once; what does not fit is reported as -ENOBUFS. */
#define MONITOR_BYTES (1 << 20)
#define DUMP_BYTES    32768

/* ---------------------------------------------------------------- link events */

struct link_monitor {
	struct mnl_socket *socket;
};

/* Of the callers' functions: what mnl's callbacks pass on. */
struct link_listener {
	void (*each)(const char *iface, unsigned int ifindex, bool gone, void *context);
	void *context;
};

int link_monitor_open(struct link_monitor **out)
{
	struct link_monitor *monitor = calloc(1, sizeof(*monitor));
	int bytes = MONITOR_BYTES, error = 0;

	if (!monitor)
		return -ENOMEM;
	monitor->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!monitor->socket) {
		error = -errno;
		goto out;
	}
	/* As much as net.core.rmem_max allows. */
	setsockopt(mnl_socket_get_fd(monitor->socket), SOL_SOCKET, SO_RCVBUF, &bytes,
		   sizeof(bytes));
	if (mnl_socket_bind(monitor->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0)
		error = -errno;
out:
	if (error) {
		log_error("cannot listen for interfaces that come and go: %s", strerror(-error));
		link_monitor_close(monitor);
	} else {
		*out = monitor;
	}
	return error;
}

int link_monitor_fd(const struct link_monitor *monitor)
{
	return mnl_socket_get_fd(monitor->socket);
}

static int link_message(const struct nlmsghdr *message, void *context)
{
	const struct link_listener *listener = context;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
		return MNL_CB_OK;
	if (info->ifi_family != AF_UNSPEC) /* a bridge port, say: its device is told of apart */
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*info))
	{
		if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
		    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
			listener->each(mnl_attr_get_str(attribute), info->ifi_index,
				       message->nlmsg_type == RTM_DELLINK, listener->context);
	}
	return MNL_CB_OK;
}

int link_monitor_read(struct link_monitor *monitor,
		      void (*each)(const char *iface, unsigned int ifindex, bool gone,
				   void *context),
		      void *context)
{
	struct link_listener listener = { .each = each, .context = context };
	char buffer[DUMP_BYTES] __attribute__((aligned(8)));

	for (;;) {
		ssize_t length = mnl_socket_recvfrom(monitor->socket, buffer, sizeof(buffer));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return errno == EAGAIN ? 0 : -errno;
		/* Events have the kernel's sequence number, 0. */
		if (mnl_cb_run(buffer, length, 0, 0, link_message, &listener) < 0)
			return -errno;
	}
}

void link_monitor_close(struct link_monitor *monitor)
{
	if (!monitor)
		return;
	if (monitor->socket)
		mnl_socket_close(monitor->socket);
	free(monitor);
}

/* ---------------------------------------------------------------- dumps */

/* A function of the caller, and what it answered: not 0 ends the dump. */
struct dump {
	mnl_cb_t message;
	int (*each)(const struct gate25_source *address, void *context);
	void *context;
	unsigned char *ports;
	__u16 port; /* host byte order */
	int answer;
};

static int dump_read(struct mnl_socket *socket, unsigned int sequence, struct dump *dump)
{
	char buffer[DUMP_BYTES] __attribute__((aligned(8)));
	int more = MNL_CB_OK;

	while (more > MNL_CB_STOP) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		more = mnl_cb_run(buffer, length, sequence, mnl_socket_get_portid(socket),
				  dump->message, dump);
		if (more < 0)
			return -errno;
	}
	return dump->answer;
}

/* Sends a request for a dump on a socket of its own, and reads it to its end. */
static int dump_run(int bus, struct nlmsghdr *request, struct dump *dump)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int error = 0;

	if (!socket)
		return -errno;
	request->nlmsg_seq = 1;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		error = -errno;
	if (!error)
		error = dump_read(socket, request->nlmsg_seq, dump);
	mnl_socket_close(socket);
	return error;
}

/* ---------------------------------------------------------------- addresses */

/* IFA_LOCAL is this host's own where the link is point to point, and IFA_ADDRESS the peer's. */
static int address_message(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute, *found = NULL;
	struct gate25_source address;
	struct dump *dump = context;
	size_t length = info->ifa_family == AF_INET ? 4 : 16;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*info))
	{
		unsigned int type = mnl_attr_get_type(attribute);

		if (mnl_attr_get_payload_len(attribute) == length &&
		    (type == IFA_LOCAL || (type == IFA_ADDRESS && !found)))
			found = attribute;
	}
	if (!found)
		return MNL_CB_OK;
	address_from_bytes(&address, length == 4 ? 4 : 6, mnl_attr_get_payload(found));
	if (length == 4 ? address.lo >> 24 == 127 : !address.hi && address.lo == 1)
		return MNL_CB_OK;
	dump->answer = dump->each(&address, dump->context);
	return dump->answer ? MNL_CB_STOP : MNL_CB_OK;
}

int link_addresses(int (*each)(const struct gate25_source *address, void *context), void *context)
{
	struct dump dump = { .message = address_message, .each = each, .context = context };
	char buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + MNL_ALIGN(sizeof(struct ifaddrmsg))];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *info;

	request->nlmsg_type = RTM_GETADDR;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	info->ifa_family = AF_UNSPEC;
	return dump_run(NETLINK_ROUTE, request, &dump);
}

/* ---------------------------------------------------------------- gateways */

/* RTA_GATEWAY is the address; RTA_VIA (an IPv4 route over IPv6) has its family, two bytes, before it. */
static int gateway_tell(const struct nlattr *attribute, struct dump *dump)
{
	const unsigned char *bytes = mnl_attr_get_payload(attribute);
	size_t length = mnl_attr_get_payload_len(attribute);
	struct gate25_source address;

	if (mnl_attr_get_type(attribute) == RTA_VIA && length > 2) {
		bytes += 2;
		length -= 2;
	} else if (mnl_attr_get_type(attribute) != RTA_GATEWAY) {
		return 0;
	}
	if (length != 4 && length != 16)
		return 0;
	address_from_bytes(&address, length == 4 ? 4 : 6, bytes);
	return dump->each(&address, dump->context);
}

/* Of a route over several: struct rtnexthop each, with attributes of its own behind. */
static int nexthops_tell(const struct nlattr *attribute, struct dump *dump)
{
	const unsigned char *at = mnl_attr_get_payload(attribute);
	const unsigned char *end = at + mnl_attr_get_payload_len(attribute);
	const struct nlattr *attr; /* as the macro has it */
	int answer = 0;

	while (!answer && end - at >= (ptrdiff_t)sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const void *)at;

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > end - at)
			break;
		mnl_attr_for_each_payload((void *)(at + sizeof(*hop)), hop->rtnh_len - sizeof(*hop))
		{
			answer = answer ? answer : gateway_tell(attr, dump);
		}
		at += MNL_ALIGN(hop->rtnh_len);
	}
	return answer;
}

static int route_message(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	struct dump *dump = context;

	if (route->rtm_dst_len || route->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*route))
	{
		if (dump->answer)
			break;
		dump->answer = mnl_attr_get_type(attribute) == RTA_MULTIPATH ?
				       nexthops_tell(attribute, dump) :
				       gateway_tell(attribute, dump);
	}
	return dump->answer ? MNL_CB_STOP : MNL_CB_OK;
}

int link_gateways(int (*each)(const struct gate25_source *address, void *context), void *context)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	struct dump dump = { .message = route_message, .each = each, .context = context };
	int answer = 0;

	for (size_t i = 0; !answer && i < sizeof(families); i++) {
		char buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) + MNL_ALIGN(sizeof(struct rtmsg))];
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct rtmsg *route;

		request->nlmsg_type = RTM_GETROUTE;
		request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		route = mnl_nlmsg_put_extra_header(request, sizeof(*route));
		route->rtm_family = families[i];
		answer = dump_run(NETLINK_ROUTE, request, &dump);
	}
	return answer;
}

/* ---------------------------------------------------------------- sockets */

static int sockets_dump(int family, int tcp_state, struct dump *dump)
{
	char buffer[MNL_ALIGN(sizeof(struct nlmsghdr)) +
		    MNL_ALIGN(sizeof(struct inet_diag_req_v2))];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *what;

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	what = mnl_nlmsg_put_extra_header(request, sizeof(*what));
	what->sdiag_family = family;
	what->sdiag_protocol = IPPROTO_TCP;
	what->idiag_states = 1u << tcp_state;
	what->id.idiag_sport = htons(dump->port); /* 0: any */
	return dump_run(NETLINK_SOCK_DIAG, request, dump);
}

static int sockets_dump_both(int tcp_state, struct dump *dump)
{
	int error = sockets_dump(AF_INET, tcp_state, dump);

	/* -ENOENT: a kernel without IPv6 */
	if (!error)
		error = sockets_dump(AF_INET6, tcp_state, dump);
	return error == -ENOENT && !dump->answer ? 0 : error;
}

static int peer_message(const struct nlmsghdr *message, void *context)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct inet_diag_msg *info = mnl_nlmsg_get_payload(message);
	const unsigned char *bytes = (const unsigned char *)info->id.idiag_dst;
	struct gate25_source peer;
	struct dump *dump = context;

	if (ntohs(info->id.idiag_sport) != dump->port)
		return MNL_CB_OK;
	if (info->idiag_family == AF_INET)
		address_from_bytes(&peer, 4, bytes);
	else if (!memcmp(bytes, mapped, sizeof(mapped)))
		address_from_bytes(&peer, 4, bytes + sizeof(mapped));
	else
		address_from_bytes(&peer, 6, bytes);
	dump->answer = dump->each(&peer, dump->context);
	return dump->answer ? MNL_CB_STOP : MNL_CB_OK;
}

int socket_peers(__u16 port, int (*each)(const struct gate25_source *peer, void *context),
		 void *context)
{
	struct dump dump = {
		.message = peer_message, .each = each, .context = context, .port = port
	};

	return sockets_dump_both(TCP_ESTABLISHED, &dump);
}

static int listener_message(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *info = mnl_nlmsg_get_payload(message);
	__u16 port = ntohs(info->id.idiag_sport);
	struct dump *dump = context;

	dump->ports[port / 8] |= 1 << port % 8;
	return MNL_CB_OK;
}

int socket_listeners(unsigned char ports[8192])
{
	struct dump dump = { .message = listener_message, .ports = ports };

	memset(ports, 0, 8192);
	return sockets_dump_both(TCP_LISTEN, &dump);
}

bool socket_listens(const unsigned char listeners[8192], const __u16 *ports, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (listeners[ports[i] / 8] & (1 << ports[i] % 8))
			return true;
	return false;
}
