// SPDX-License-Identifier: GPL-2.0-only
/*
 * What netlink tells: link events, addresses, sockets. In a network namespace of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/common/stage.h"
#include "user/addr.h"
#include "user/link.h"

static struct stage stage;

static int group_setup(void **state)
{
	(void)state;
	return stage_enter(&stage) || stage_veth("mx0", "peer0") ||
	       stage_run("ip address add 192.0.2.25/24 dev mx0 && "
			 "ip address add 198.51.100.1 peer 198.51.100.2 dev mx0 && "
			 "ip -6 address add 2001:db8::25/64 dev mx0 nodad");
}

static int group_teardown(void **state)
{
	(void)state;
	stage_leave(&stage);
	return 0;
}

/* ---------------------------------------------------------------- link events */

struct seen {
	char text[1024]; /* "+mx1 -mx1 …" */
	unsigned int last_ifindex;
};

static void event_note(const char *iface, unsigned int ifindex, bool gone, void *context)
{
	struct seen *seen = context;
	size_t length = strlen(seen->text);

	snprintf(seen->text + length, sizeof(seen->text) - length, "%c%s ", gone ? '-' : '+',
		 iface);
	seen->last_ifindex = ifindex;
}

static void test_link_events(void **state)
{
	struct link_monitor *monitor = NULL;
	struct pollfd wait = { .events = POLLIN };
	struct seen seen = { 0 };
	unsigned int ifindex;

	(void)state;
	assert_int_equal(link_monitor_open(&monitor), 0);
	assert_int_equal(link_monitor_read(monitor, event_note, &seen), 0); /* does not block */
	assert_string_equal(seen.text, "");
	assert_int_equal(stage_veth("mx0.100", "peer1"), 0);
	ifindex = if_nametoindex("mx0.100");
	wait.fd = link_monitor_fd(monitor);
	assert_int_equal(poll(&wait, 1, 1000), 1);
	assert_int_equal(link_monitor_read(monitor, event_note, &seen), 0);
	assert_non_null(strstr(seen.text, "+mx0.100 "));
	assert_null(strstr(seen.text, "-mx0.100 "));
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(stage_run("ip link del mx0.100"), 0);
	assert_int_equal(link_monitor_read(monitor, event_note, &seen), 0);
	assert_non_null(strstr(seen.text, "-mx0.100 "));
	assert_int_not_equal(ifindex, 0);
	link_monitor_close(monitor);
	link_monitor_close(NULL);
}

/* More events than the socket holds: that is told, and reading goes on. */
static void test_link_events_lost(void **state)
{
	struct link_monitor *monitor = NULL;
	struct seen seen = { 0 };
	int small = 1;

	(void)state;
	assert_int_equal(link_monitor_open(&monitor), 0);
	assert_int_equal(
		setsockopt(link_monitor_fd(monitor), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)),
		0);
	assert_int_equal(stage_run("for n in 1 2 3 4 5; do ip link set mx0 alias $n; done"), 0);
	assert_int_equal(link_monitor_read(monitor, event_note, &seen), -ENOBUFS);
	while (link_monitor_read(monitor, event_note, &seen))
		;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(stage_run("ip link set mx0 alias 6"), 0);
	assert_int_equal(link_monitor_read(monitor, event_note, &seen), 0);
	assert_string_equal(seen.text, "+mx0 ");
	assert_int_equal(seen.last_ifindex, if_nametoindex("mx0"));
	link_monitor_close(monitor);
}

/* ---------------------------------------------------------------- addresses */

struct found {
	char text[1024]; /* each address with a space behind it */
	int stop_at;	 /* answer 42 at the nth; 0: never */
	int count;
};

static int address_note(const struct gate25_source *address, void *context)
{
	char text[PREFIX_TEXT];
	struct found *found = context;
	size_t length = strlen(found->text);

	address_format(address, text);
	snprintf(found->text + length, sizeof(found->text) - length, "%s ", text);
	return ++found->count == found->stop_at ? 42 : 0;
}

static void test_addresses(void **state)
{
	struct found found = { 0 }, stopped = { .stop_at = 1 };

	(void)state;
	assert_int_equal(link_addresses(address_note, &found), 0);
	assert_non_null(strstr(found.text, "192.0.2.25 "));
	assert_non_null(strstr(found.text, "198.51.100.1 "));
	assert_null(strstr(found.text, "198.51.100.2 ")); /* the peer's */
	assert_non_null(strstr(found.text, "2001:db8::25 "));
	assert_non_null(strstr(found.text, "fe80::"));
	assert_null(strstr(found.text, "127.0.0.1"));
	assert_null(strstr(found.text, "::1 "));
	assert_int_equal(link_addresses(address_note, &stopped), 42);
	assert_int_equal(stopped.count, 1);
}

/* ---------------------------------------------------------------- sockets */

static int listening(int family, const char *address, __u16 port, bool only6)
{
	int fd = socket(family, SOCK_STREAM, 0), flag = only6;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (family == AF_INET6) {
		inet_pton(AF_INET6, address, &six.sin6_addr);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &flag, sizeof(flag));
		assert_int_equal(bind(fd, (struct sockaddr *)&six, sizeof(six)), 0);
	} else {
		inet_pton(AF_INET, address, &four.sin_addr);
		assert_int_equal(bind(fd, (struct sockaddr *)&four, sizeof(four)), 0);
	}
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* From the same host: bound to `from`, a peer of the listener. */
static int connected(const char *from, const char *to, __u16 port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	bool is6 = strchr(to, ':');
	void *address = is6 ? (void *)&six : (void *)&four;
	socklen_t length = is6 ? sizeof(six) : sizeof(four);
	int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET6, from, &six.sin6_addr);
	inet_pton(AF_INET, from, &four.sin_addr);
	assert_int_equal(bind(fd, address, length), 0);
	six.sin6_port = four.sin_port = htons(port);
	inet_pton(AF_INET6, to, &six.sin6_addr);
	inet_pton(AF_INET, to, &four.sin_addr);
	assert_int_equal(connect(fd, address, length), 0);
	return fd;
}

static void test_sockets(void **state)
{
	struct found found = { 0 }, none = { 0 }, stopped = { .stop_at = 1 };
	unsigned char ports[8192];
	unsigned int set = 0;
	int fds[6];

	(void)state;
	fds[0] = listening(AF_INET6, "::", 22, false); /* IPv4 peers come as ::ffff:a.b.c.d */
	fds[1] = listening(AF_INET, "192.0.2.25", 25, false);
	fds[2] = connected("198.51.100.1", "192.0.2.25", 22);
	fds[3] = connected("2001:db8::25", "2001:db8::25", 22);
	fds[4] = connected("127.0.0.9", "192.0.2.25", 25);
	fds[5] = listening(AF_INET6, "2001:db8::25", 65535, true);

	assert_int_equal(socket_peers(22, address_note, &found), 0);
	assert_int_equal(found.count, 2);
	assert_non_null(strstr(found.text, "198.51.100.1 "));
	assert_non_null(strstr(found.text, "2001:db8::25 "));
	memset(&found, 0, sizeof(found));
	assert_int_equal(socket_peers(25, address_note, &found), 0);
	assert_string_equal(found.text, "127.0.0.9 ");
	assert_int_equal(socket_peers(65535, address_note, &none), 0);
	assert_int_equal(none.count, 0);
	assert_int_equal(socket_peers(22, address_note, &stopped), 42);
	assert_int_equal(stopped.count, 1);

	memset(ports, 0xff, sizeof(ports));
	assert_int_equal(socket_listeners(ports), 0);
	for (unsigned int port = 0; port < 65536; port++)
		set += ports[port / 8] >> port % 8 & 1;
	assert_int_equal(set, 3);
	assert_true(ports[22 / 8] >> 22 % 8 & 1);
	assert_true(ports[25 / 8] >> 25 % 8 & 1);
	assert_true(ports[65535 / 8] >> 65535 % 8 & 1);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_events),
		cmocka_unit_test(test_link_events_lost),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests_name("link", tests, group_setup, group_teardown);
}
