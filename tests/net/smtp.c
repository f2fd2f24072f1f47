// SPDX-License-Identifier: GPL-2.0-only
/*
 * An SMTP client for the tests, for what swaks cannot do: keep many connections waiting at once, and
 * stand still in mid-DATA until it is told to go on.
 *
 *   smtp [-f SOURCE] [-p PORT] [-t SECONDS] [-n COUNT] probe ADDR     opens COUNT connections at
 *       once, prints how many got a 220 greeting within SECONDS (5), exits 0 if all did
 *   smtp [-f SOURCE] [-p PORT] [-t SECONDS] -m ID slow ADDR           delivers a message with
 *       Message-ID ID: prints "data" in the middle of it, goes on when a line comes on stdin,
 *       exits 0 if the server took it
 *
 * SECONDS holds for each single wait. What went wrong is said on stderr.
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

#define CONNECTIONS 4096
#define RECIPIENT   "inbox@example.org"

static struct {
	const char *source, *port, *id;
	unsigned int timeout_ms, count;
} options = { .port = "25", .timeout_ms = 5000, .count = 1 };

static unsigned long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

static int address_resolve(const char *text, const char *port, struct addrinfo **out)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	int error = getaddrinfo(text, port, &hints, out);

	if (error)
		fprintf(stderr, "smtp: %s port %s: %s\n", text, port, gai_strerror(error));
	return error ? -EINVAL : 0;
}

/* Starts to connect; -1 (and said on stderr) if that fails at once. */
static int connect_start(const struct addrinfo *source, const struct addrinfo *server)
{
	int fd = socket(server->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || (source && bind(fd, source->ai_addr, source->ai_addrlen)) ||
	    (connect(fd, server->ai_addr, server->ai_addrlen) && errno != EINPROGRESS)) {
		perror("smtp: connect");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Takes what one ready connection of a probe has; counts a greeting, ends the connection. */
static bool probe_answer(int fd)
{
	char reply[512];
	ssize_t size = recv(fd, reply, sizeof(reply) - 1, 0);
	bool greeted = size >= 4 && !strncmp(reply, "220", 3);

	if (size < 0)
		fprintf(stderr, "smtp: %s\n", strerror(errno));
	else if (size == 0)
		fprintf(stderr, "smtp: closed without a greeting\n");
	else if (!greeted)
		fprintf(stderr, "smtp: %.*s\n", (int)strcspn(reply, "\r\n"), reply);
	else if (send(fd, "QUIT\r\n", 6, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "smtp: QUIT: %s\n", strerror(errno));
	close(fd);
	return greeted;
}

/* Waits for all connections together; returns how many were greeted. */
static unsigned int probe_wait(struct pollfd *polls, unsigned int count)
{
	unsigned long long end_ms = now_ms() + options.timeout_ms, at_ms;
	unsigned int greeted = 0, open = count;

	while (open && (at_ms = now_ms()) < end_ms) {
		if (poll(polls, count, end_ms - at_ms) <= 0)
			continue;
		for (unsigned int i = 0; i < count; i++) {
			if (polls[i].fd < 0 || !polls[i].revents)
				continue;
			greeted += probe_answer(polls[i].fd);
			polls[i].fd = -1;
			open--;
		}
	}
	if (open)
		fprintf(stderr, "smtp: no answer on %u of %u\n", open, count);
	return greeted;
}

static int do_probe(const struct addrinfo *source, const struct addrinfo *server)
{
	static struct pollfd polls[CONNECTIONS];
	unsigned int greeted;

	for (unsigned int i = 0; i < options.count; i++) {
		polls[i].fd = connect_start(source, server);
		polls[i].events = POLLIN;
	}
	greeted = probe_wait(polls, options.count);
	printf("%u\n", greeted);
	return greeted == options.count ? 0 : 1;
}

static int wait_ready(int fd, short events)
{
	struct pollfd ready = { .fd = fd, .events = events };

	if (poll(&ready, 1, options.timeout_ms) > 0)
		return 0;
	fprintf(stderr, "smtp: no answer\n");
	return -ETIMEDOUT;
}

static int send_text(int fd, const char *text)
{
	if (wait_ready(fd, POLLOUT))
		return -ETIMEDOUT;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text))
		return 0;
	perror("smtp: send");
	return -EIO;
}

/* Reads lines up to the last of a reply and compares its code. */
static int expect(int fd, const char *code)
{
	char reply[2048];
	size_t size = 0;
	char *line = reply;

	while (size < sizeof(reply) - 1) {
		if (wait_ready(fd, POLLIN) || recv(fd, reply + size, 1, 0) != 1)
			break;
		if (reply[size++] != '\n')
			continue;
		reply[size] = 0;
		if (strlen(line) > 3 && line[3] != '-') {
			if (!strncmp(line, code, 3))
				return 0;
			break;
		}
		line = reply + size;
	}
	reply[size] = 0;
	fprintf(stderr, "smtp: expected %s, got \"%s\"\n", code, line);
	return -EPROTO;
}

static int session_open(const struct addrinfo *source, const struct addrinfo *server)
{
	static const struct {
		const char *expected, *next;
	} steps[] = {
		{ "220", "EHLO client.example\r\n" },
		{ "250", "MAIL FROM:<sender@client.example>\r\n" },
		{ "250", "RCPT TO:<" RECIPIENT ">\r\n" },
		{ "250", "DATA\r\n" },
		{ "354", NULL },
	};
	int fd = connect_start(source, server);

	for (size_t i = 0; fd >= 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (expect(fd, steps[i].expected) ||
		    (steps[i].next && send_text(fd, steps[i].next))) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static int do_slow(const struct addrinfo *source, const struct addrinfo *server)
{
	int fd = session_open(source, server), rc = 1;
	char text[512], line[16];

	if (fd < 0)
		return 1;
	snprintf(text, sizeof(text),
		 "From: sender@client.example\r\nTo: " RECIPIENT "\r\nMessage-ID: <%s>\r\n"
		 "Subject: slow\r\n\r\nfirst half\r\n",
		 options.id);
	if (send_text(fd, text))
		goto out;
	puts("data");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin)) {
		fprintf(stderr, "smtp: stdin ended, message given up\n");
		goto out;
	}
	if (send_text(fd, "second half\r\n.\r\n") || expect(fd, "250"))
		goto out;
	rc = 0;
	send_text(fd, "QUIT\r\n");
out:
	close(fd);
	return rc;
}

static int usage(void)
{
	fprintf(stderr, "usage: smtp [-f SOURCE] [-p PORT] [-t SECONDS] [-n COUNT] [-m ID] "
			"probe|slow ADDR\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct addrinfo *source = NULL, *server = NULL;
	int option;

	while ((option = getopt(argc, argv, "f:p:t:n:m:")) != -1) {
		switch (option) {
		case 'f':
			options.source = optarg;
			break;
		case 'p':
			options.port = optarg;
			break;
		case 't':
			options.timeout_ms = atof(optarg) * 1000;
			break;
		case 'n':
			options.count = atoi(optarg);
			break;
		case 'm':
			options.id = optarg;
			break;
		default:
			return usage();
		}
	}
	if (optind + 2 != argc || options.count > CONNECTIONS)
		return usage();
	if (address_resolve(argv[optind + 1], options.port, &server) ||
	    (options.source && address_resolve(options.source, "0", &source)))
		return 2;
	if (!strcmp(argv[optind], "probe"))
		return do_probe(source, server);
	if (!strcmp(argv[optind], "slow") && options.id)
		return do_slow(source, server);
	return usage();
}
