// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks a running agent again and again, for tests of whether it always has time to answer.
 *
 *   answers PORT SOCKET     GET /metrics of 127.0.0.1:PORT and "status" on SOCKET, in turn, every 5 ms; when a line comes on stdin, or its end, it prints
 *           answers N loading M slowest_ms X slowest_loading_ms Y
 *       N answers to both, M of them while status said that a load was running, and the longest that /metrics took.
 *
 * Exits with 1, and says why, when one of them is not answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS    5
#define ANSWER_S    30
#define ANSWER_MOST (1 << 20)

static const char question[] = "GET /metrics HTTP/1.0\r\n\r\n";
static const char status_question[] = "{\"command\": \"status\"}\n";

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int socket_open(const struct sockaddr *address, socklen_t length)
{
	struct timeval patience = { .tv_sec = ANSWER_S };
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, address, length) == 0)
		return fd;
	perror("answers: connect");
	exit(1);
}

static int http_open(const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	return socket_open((struct sockaddr *)&address, sizeof(address));
}

static int status_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return socket_open((struct sockaddr *)&address, sizeof(address));
}

/* Asks, and reads until the other side closes the connection, as the agent does behind each answer. */
static const char *ask(int fd, const char *what)
{
	static char text[ANSWER_MOST];
	size_t length = 0;
	ssize_t got = 1;

	if (send(fd, what, strlen(what), MSG_NOSIGNAL) < 0)
		got = -1;
	while (got > 0 && length < sizeof(text) - 1) {
		got = recv(fd, text + length, sizeof(text) - 1 - length, 0);
		length += got > 0 ? got : 0;
	}
	text[length] = '\0';
	close(fd);
	if (got >= 0 && length)
		return text;
	fprintf(stderr, "answers: no answer: %s\n", got < 0 ? strerror(errno) : "closed");
	exit(1);
}

static bool is_loading(const char *path)
{
	return strstr(ask(status_open(path), status_question), "\"loading\":true");
}

static bool told_to_end(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&input, 1, PAUSE_MS) != 0;
}

int main(int argc, char **argv)
{
	unsigned int answers = 0, loading = 0;
	double slowest_ms = 0, slowest_loading_ms = 0, took_ms;
	bool before = false, after;

	if (argc != 3) {
		fprintf(stderr, "usage: answers PORT SOCKET\n");
		return 2;
	}
	do {
		took_ms = -now_ms();
		if (!strstr(ask(http_open(argv[1]), question), "gate25_")) {
			fprintf(stderr, "answers: no metrics in the answer\n");
			return 1;
		}
		took_ms += now_ms();
		after = is_loading(argv[2]);
		answers++;
		if (took_ms > slowest_ms)
			slowest_ms = took_ms;
		/* as before or after it a load was running, it was running or ending meanwhile */
		if ((before || after) && took_ms > slowest_loading_ms)
			slowest_loading_ms = took_ms;
		loading += before && after;
		before = after;
	} while (!told_to_end());
	printf("answers %u loading %u slowest_ms %.1f slowest_loading_ms %.1f\n", answers, loading,
	       slowest_ms, slowest_loading_ms);
	return 0;
}
