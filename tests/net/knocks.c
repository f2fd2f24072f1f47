// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections without mail, for the tests of limits: a server that takes and ends them, and clients that knock
 * at a steady rate whether they are let in or not.
 *
 *   knocks listen [-4] PORT…                            takes connections on these ports, until it is ended;
 *       one socket a port for both families, or, with -4, for IPv4 alone
 *   knocks [-p PORT] [-r PER_SECOND] [-t SECONDS] [-n COUNT] connect ADDR SOURCE…   from each source in turn, until
 *       the time is over or there were so many; prints how many connections were established, and how many of these
 *       only after connect() had returned: they were in flight when others were sent. Each attempt is given up after
 *       0.5 s, before TCP repeats its SYN. Who comes too late for one does not make up for it: attempts keep their
 *       distance.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MOST  4096
#define PORTS_MOST 8
#define PATIENCE   500000000ULL /* ns */
#define NS_PER_S   1000000000ULL

static struct {
	const char *port;
	unsigned int rate, seconds, most;
	bool ipv4;
} options = { .port = "25", .rate = 100, .seconds = 1, .most = ~0U };

/* Attempts that wait for their end. */
static struct {
	struct pollfd polls[OPEN_MOST];
	unsigned long long began_ns[OPEN_MOST];
	unsigned int count;
} attempts;

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---------------------------------------------------------------- listen */

static int listen_on(const char *port)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(options.ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
	int failed;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (options.ipv4)
		failed = bind(fd, (struct sockaddr *)&any4, sizeof(any4));
	else
		failed = bind(fd, (struct sockaddr *)&any6, sizeof(any6));
	if (failed || listen(fd, OPEN_MOST)) {
		perror(port);
		exit(1);
	}
	return fd;
}

static int do_listen(int count, char **ports)
{
	struct pollfd polls[PORTS_MOST];

	if (count > PORTS_MOST)
		return 2;
	for (int i = 0; i < count; i++)
		polls[i] = (struct pollfd){ .fd = listen_on(ports[i]), .events = POLLIN };
	while (poll(polls, count, -1) >= 0 || errno == EINTR) {
		for (int i = 0; i < count; i++) {
			int fd = accept(polls[i].fd, NULL, NULL);

			if (fd >= 0)
				close(fd);
		}
	}
	return 1;
}

/* ---------------------------------------------------------------- connect */

static struct addrinfo *resolve(const char *text, const char *port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int error = getaddrinfo(text, port, &hints, &found);

	if (error) {
		fprintf(stderr, "knocks: %s: %s\n", text, gai_strerror(error));
		exit(2);
	}
	return found;
}

static bool is_established(unsigned int attempt)
{
	return (attempts.polls[attempt].revents & (POLLOUT | POLLERR | POLLHUP)) == POLLOUT;
}

/*
 * A reset is the end of it: nothing stays behind in TIME_WAIT, which would bind the port. Returns whether it is
 * established already.
 */
static bool attempt_begin(const struct addrinfo *server, const struct addrinfo *source)
{
	const struct linger reset = { .l_onoff = 1 };
	int fd = socket(server->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || attempts.count == OPEN_MOST ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) ||
	    bind(fd, source->ai_addr, source->ai_addrlen) ||
	    (connect(fd, server->ai_addr, server->ai_addrlen) && errno != EINPROGRESS)) {
		perror("knocks: connect");
		exit(1);
	}
	attempts.polls[attempts.count] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	if (poll(&attempts.polls[attempts.count], 1, 0) && is_established(attempts.count)) {
		close(fd);
		return true;
	}
	attempts.began_ns[attempts.count++] = now_ns();
	return false;
}

/* Ends what was established or has had its time; returns how many were established. */
static unsigned int attempts_end(unsigned long long at_ns)
{
	unsigned int left = 0, established = 0;

	poll(attempts.polls, attempts.count, 0);
	for (unsigned int i = 0; i < attempts.count; i++) {
		struct pollfd *attempt = &attempts.polls[i];
		bool over = attempts.began_ns[i] + PATIENCE < at_ns;

		established += is_established(i);
		if (attempt->revents || over) {
			close(attempt->fd);
			continue;
		}
		attempts.began_ns[left] = attempts.began_ns[i];
		attempts.polls[left++] = *attempt;
	}
	attempts.count = left;
	return established;
}

static int do_connect(const char *address, int count, char **texts)
{
	unsigned long long began_ns = now_ns(), next_ns = began_ns, at_ns = began_ns;
	const struct addrinfo *server = resolve(address, options.port), *sources[256];
	unsigned long long end_ns = began_ns + options.seconds * NS_PER_S;
	unsigned long long step_ns = NS_PER_S / options.rate;
	unsigned int at_once = 0, late = 0, turn = 0;

	if (count > 256)
		return 2;
	for (int i = 0; i < count; i++)
		sources[i] = resolve(texts[i], NULL);
	while ((at_ns < end_ns && turn < options.most) || attempts.count) {
		if (at_ns >= next_ns && at_ns < end_ns && turn < options.most) {
			at_once += attempt_begin(server, sources[turn++ % count]);
			next_ns = (at_ns > next_ns + step_ns ? at_ns : next_ns) + step_ns;
		}
		late += attempts_end(at_ns);
		usleep(200);
		at_ns = now_ns();
	}
	printf("%u %u\n", at_once + late, late);
	return 0;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "4n:p:r:t:")) != -1) {
		if (option == '4')
			options.ipv4 = true;
		else if (option == 'n')
			options.most = atoi(optarg);
		else if (option == 'p')
			options.port = optarg;
		else if (option == 'r')
			options.rate = atoi(optarg);
		else if (option == 't')
			options.seconds = atoi(optarg);
		else
			return 2;
	}
	if (argc - optind >= 2 && !strcmp(argv[optind], "listen"))
		return do_listen(argc - optind - 1, argv + optind + 1);
	if (argc - optind >= 3 && !strcmp(argv[optind], "connect") && options.rate)
		return do_connect(argv[optind + 1], argc - optind - 2, argv + optind + 2);
	fprintf(stderr, "usage: knocks listen [-4] PORT… | knocks [-p PORT] [-r PER_SECOND] "
			"[-t SECONDS] [-n COUNT] connect ADDR SOURCE…\n");
	return 2;
}
