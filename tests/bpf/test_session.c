// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session that is open is never muted: real sockets over a veth pair, in namespaces of their own.
 * Their source is blocked in mid-session; the session goes on to its end, and the source begins no
 * other one. What belongs to no session is dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/common/stage.h"
#include "tests/common/world.h"

#define PATIENCE_MS 5000 /* for what must come */
#define SILENCE_MS  300	 /* for what must not */

static struct stage stage;
static struct world world;
static int gateway_ns = -1, sender_ns = -1, link_fd = -1, wire_fd = -1, listener = -1;
static unsigned char gateway_mac[ETH_ALEN];

static const struct family {
	int family;
	const char *gateway, *sender, *forged;
} families[] = {
	{ AF_INET, "192.0.2.25", "192.0.2.7", "192.0.2.77" },
	{ AF_INET6, "2001:db8::25", "2001:db8::7", "2001:db8::77" },
};

/* ------------------------------------------------------------------ namespaces */

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int open_ns(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int read_mac(const char *iface, unsigned char mac[ETH_ALEN])
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	error = ioctl(fd, SIOCGIFHWADDR, &request);
	memcpy(mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
	return error;
}

/* All frames that reach the sender, and the way for forged ones. */
static int wire_open(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex("tx0") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

	return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

static int make_network(void)
{
	unsigned char mac[ETH_ALEN];
	char text[18];

	gateway_ns = open_ns();
	if (unshare(CLONE_NEWNET))
		return -1;
	sender_ns = open_ns();
	if (stage_run("ip link add tx0 type veth peer name mx0 && "
		      "ip addr add 192.0.2.7/24 dev tx0 && ip link set tx0 up && "
		      "ip addr add 2001:db8::7/64 dev tx0 nodad") ||
	    read_mac("tx0", mac) ||
	    stage_run("ip link set mx0 netns /proc/%d/fd/%d", getpid(), gateway_ns))
		return -1;
	wire_fd = wire_open();
	enter(gateway_ns);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	if (stage_run("ip addr add 192.0.2.25/24 dev mx0 && ip link set mx0 up && "
		      "ip addr add 2001:db8::25/64 dev mx0 nodad && "
		      "ip neigh add 192.0.2.77 lladdr %s dev mx0 && "
		      "ip neigh add 2001:db8::77 lladdr %s dev mx0",
		      text, text))
		return -1;
	return wire_fd < 0 || read_mac("mx0", gateway_mac) ? -1 : 0;
}

/* ------------------------------------------------------------------ sockets */

static socklen_t address_of(int family, const char *text, __u16 port, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	out->ss_family = family;
	if (family == AF_INET) {
		in->sin_port = htons(port);
		assert_int_equal(inet_pton(family, text, &in->sin_addr), 1);
		return sizeof(*in);
	}
	in6->sin6_port = htons(port);
	assert_int_equal(inet_pton(family, text, &in6->sin6_addr), 1);
	return sizeof(*in6);
}

/* One listener serves both families, as a mail server's does. */
static int open_listener(__u16 port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(AF_INET6, "::", port, &address);
	int fd, yes = 1;

	enter(gateway_ns);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static bool ready(int fd, short events, int timeout_ms)
{
	struct pollfd wait = { .fd = fd, .events = events };

	return poll(&wait, 1, timeout_ms) == 1;
}

/* A connection from the sender; -1 if none comes about in time. */
static int connect_to(const struct family *family, __u16 port, int timeout_ms)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family->family, family->gateway, port, &address);
	int fd, error = 0;

	enter(sender_ns);
	fd = socket(family->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, length) && errno != EINPROGRESS)
		error = errno;
	length = sizeof(error);
	if (!error && ready(fd, POLLOUT, timeout_ms) &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && !error)
		return fd;
	close(fd);
	return -1;
}

static int accept_from(int from)
{
	assert_true(ready(from, POLLIN, PATIENCE_MS));
	return accept4(from, NULL, NULL, SOCK_CLOEXEC);
}

static void check_says(int from, int to, const char *text)
{
	char got[64] = "";

	assert_int_equal(send(from, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	assert_true(ready(to, POLLIN, PATIENCE_MS));
	assert_int_equal(recv(to, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

static void check_closes(int from, int to)
{
	char byte;

	assert_int_equal(shutdown(from, SHUT_WR), 0);
	assert_true(ready(to, POLLIN, PATIENCE_MS));
	assert_int_equal(recv(to, &byte, 1, 0), 0);
}

/* ------------------------------------------------------------------ forged segments */

static void forge(struct packet_spec *spec)
{
	static unsigned char frame[PACKET_BYTES];
	size_t length = packet_build(spec, frame);

	memcpy(frame, gateway_mac, ETH_ALEN);
	assert_int_equal(send(wire_fd, frame, length, 0), length);
}

static void wire_drain(void)
{
	unsigned char frame[2048];

	while (recv(wire_fd, frame, sizeof(frame), 0) > 0)
		;
}

/* The TCP header of the gateway's answer to `port`; false if there is none in time. */
static bool answer_to(__u16 port, int timeout_ms, unsigned char tcp[20])
{
	unsigned char frame[2048];

	memset(tcp, 0, 20);
	while (ready(wire_fd, POLLIN, timeout_ms)) {
		ssize_t length = recv(wire_fd, frame, sizeof(frame), 0);
		size_t at = frame[13] == 0x00 ? 34 : 54; /* IPv4 or IPv6, without options */

		if (length < (ssize_t)at + 20 || memcmp(frame + 6, gateway_mac, ETH_ALEN) != 0 ||
		    (frame[12] << 8 | frame[13]) == ETH_P_ARP)
			continue;
		if ((frame[at] << 8 | frame[at + 1]) != 25 ||
		    (frame[at + 2] << 8 | frame[at + 3]) != port)
			continue;
		memcpy(tcp, frame + at, 20);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------ tests */

static __u64 counted(enum gate25_reason reason)
{
	return world_count(&world, MX, reason).packets;
}

static void start_anew(void)
{
	world_clear(&world);
	world.control->local_services = 1 << MX;
	wire_drain();
}

static void check_session_goes_on(const struct family *family)
{
	int client, server;

	start_anew();
	client = connect_to(family, 25, PATIENCE_MS);
	assert_true(client >= 0);
	server = accept_from(listener);
	assert_int_equal(counted(GATE25_REASON_OK), 1);
	check_says(client, server, "DATA");
	check_says(server, client, "354 go on");
	assert_int_equal(counted(GATE25_REASON_OPEN), 0);

	world_entry(&world, family->sender, GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	check_says(client, server, "the rest of the message");
	check_says(server, client, "250 queued");
	assert_true(counted(GATE25_REASON_OPEN) >= 1); /* an ACK may be delayed */
	assert_int_equal(counted(GATE25_REASON_NO_SOCKET), 0);

	/* but that was the last one */
	assert_int_equal(connect_to(family, 25, SILENCE_MS), -1);
	assert_int_equal(world_count(&world, MX, GATE25_REASON_MANUAL).connections, 1);

	/* to the very end: the gateway closes first and is left in TIME-WAIT */
	check_closes(server, client);
	check_closes(client, server);
	close(server);
	close(client);
	assert_int_equal(counted(GATE25_REASON_NO_SOCKET), 0);
}

static void test_a_session_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		check_session_goes_on(&families[i]);
}

/* SYN before the block, ACK behind it: the request is a socket already. */
static void check_handshake_goes_on(const struct family *family, __u16 port)
{
	struct packet_spec spec = {
		.from = family->forged, .to = family->gateway, .from_port = port, .sequence = 1000
	};
	unsigned char tcp[20];
	__be32 sequence;
	int server;

	start_anew();
	forge(&spec);
	assert_true(answer_to(port, PATIENCE_MS, tcp));
	assert_int_equal(tcp[13], SYN | ACK);
	memcpy(&sequence, tcp + 4, 4);
	world_entry(&world, family->forged, GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	spec.flags = ACK;
	spec.sequence++;
	spec.acknowledged = ntohl(sequence) + 1;
	forge(&spec);
	server = accept_from(listener);
	assert_true(server >= 0);
	assert_int_equal(counted(GATE25_REASON_OPEN), 1);
	close(server);
}

static void test_a_handshake_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		check_handshake_goes_on(&families[i], 20000 + i);
}

/* A blocked source's ACK that belongs to no session; a listener is none. */
static void check_stray_ack(const struct family *family, __u16 port)
{
	struct packet_spec spec = { .from = family->forged,
				    .to = family->gateway,
				    .from_port = port,
				    .flags = ACK,
				    .acknowledged = 1 };
	unsigned char tcp[20];

	/* an unblocked one reaches the kernel, which answers with a reset */
	start_anew();
	forge(&spec);
	assert_true(answer_to(port, PATIENCE_MS, tcp));
	assert_int_equal(tcp[13] & RST, RST);
	assert_int_equal(counted(GATE25_REASON_ESTABLISHED), 1);

	world_entry(&world, family->forged, GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	forge(&spec);
	assert_false(answer_to(port, SILENCE_MS, tcp));
	assert_int_equal(counted(GATE25_REASON_NO_SOCKET), 1);

	world.control->observe = 1;
	forge(&spec);
	assert_true(answer_to(port, PATIENCE_MS, tcp));
	assert_int_equal(counted(GATE25_REASON_WOULD_NO_SOCKET), 1);

	/* where the sockets may be elsewhere, nobody can tell */
	world.control->observe = 0;
	world.control->local_services = 0;
	forge(&spec);
	assert_true(answer_to(port, PATIENCE_MS, tcp));
	assert_int_equal(counted(GATE25_REASON_FORWARDED), 1);
}

static void test_a_stray_ack_is_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		check_stray_ack(&families[i], 21000 + i);
}

/*
 * A source whose segments pass is remembered, for the service that it spoke to: who may submit may
 * not speak to port 25 therefore. And whom an entry blocks later is remembered no more.
 */
static void test_a_known_source_is_judged(void **state)
{
	struct packet_spec submits = { .from = "203.0.113.5", .to_port = 587, .flags = ACK };
	struct packet_spec delivers = { .from = "203.0.113.5", .to_port = 25, .flags = ACK };

	(void)state;
	start_anew();
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_run(&world, &submits), XDP_PASS);
	assert_int_equal(world_count(&world, SUBMISSION, GATE25_REASON_ESTABLISHED).packets, 3);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(world_run(&world, &delivers), XDP_DROP);
		assert_int_equal(counted(GATE25_REASON_NO_SOCKET), i);
	}
	/* nor may its neighbour, in the next /64 */
	start_anew();
	for (int hi = 0; hi < 8; hi++) {
		char from[64];

		snprintf(from, sizeof(from), "2001:db8:bad:%x::1", 0x10 + hi);
		delivers.from = from;
		delivers.to_port = 587;
		assert_int_equal(world_run(&world, &delivers), XDP_PASS);
		snprintf(from, sizeof(from), "2001:db8:bad:%x::1", 0x11 + hi);
		delivers.to_port = 25;
		assert_int_equal(world_run(&world, &delivers), XDP_DROP);
	}
	start_anew();
	submits = (struct packet_spec){ .from = "203.0.113.5", .to_port = 587, .flags = ACK };
	world.control->local_services = 1 << SUBMISSION;
	world_entry(&world, "203.0.113.5", GATE25_SLOT_BLOCK, GATE25_NEVER, 1 << SUBMISSION);
	assert_int_equal(world_run(&world, &submits), XDP_DROP);
	world_clear(&world);
	assert_int_equal(world_run(&world, &submits), XDP_PASS);
}

/* Answers to our own mail come from port 25, from listed sources too. */
static void test_our_own_mail_gets_out(void **state)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(AF_INET, "192.0.2.7", 25, &address);
	int remote, client, server;

	(void)state;
	start_anew();
	world_entry(&world, "192.0.2.7", GATE25_SLOT_BLOCK, GATE25_NEVER, 0xff);
	enter(sender_ns);
	remote = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(remote, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(remote, 1), 0);
	enter(gateway_ns);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
	server = accept_from(remote);
	check_says(server, client, "220 ready");
	check_says(client, server, "EHLO");
	assert_int_equal(world_packets(&world), 0);
	close(client);
	close(server);
	close(remote);
}

/* ------------------------------------------------------------------ both modes */

static int attach(unsigned int mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);

	enter(gateway_ns);
	link_fd = bpf_link_create(world.program.fd, (int)if_nametoindex("mx0"), BPF_XDP, &options);
	if (link_fd < 0)
		print_message("cannot attach: %s\n", strerror(errno));
	listener = open_listener(25);
	return link_fd < 0 || listener < 0 ? -1 : 0;
}

static int attach_native(void **state)
{
	(void)state;
	return attach(XDP_FLAGS_DRV_MODE);
}

static int attach_generic(void **state)
{
	(void)state;
	return attach(XDP_FLAGS_SKB_MODE);
}

static int detach(void **state)
{
	(void)state;
	close(link_fd);
	close(listener);
	return 0;
}

static int enter_stage(void **state)
{
	struct world_setup setup = { .without_classes = false };

	(void)state;
	if (geteuid()) {
		print_message("skipped: namespaces and BPF programs need root\n");
		return -1;
	}
	return stage_enter(&stage) || make_network() || world_open(&world, &setup) ? -1 : 0;
}

static int leave_stage(void **state)
{
	(void)state;
	world_close(&world);
	close(wire_fd);
	close(sender_ns);
	close(gateway_ns);
	stage_leave(&stage);
	return 0;
}

#define NATIVE(test) cmocka_unit_test_setup_teardown(test, attach_native, detach)
#define GENERIC(test)                                                                              \
	{                                                                                          \
#test " (generic)", test, attach_generic, detach, NULL                             \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NATIVE(test_a_session_goes_on),	       NATIVE(test_a_handshake_goes_on),
		NATIVE(test_a_stray_ack_is_dropped),   NATIVE(test_our_own_mail_gets_out),
		NATIVE(test_a_known_source_is_judged), GENERIC(test_a_session_goes_on),
		GENERIC(test_a_stray_ack_is_dropped),
	};

	return cmocka_run_group_tests_name("session", tests, enter_stage, leave_stage);
}
