// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line's side of run_dir/gate25d.sock: one JSON object each way.
 */
#include "user/apply.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/log.h"

#define ANSWER_S 600 /* a reload may wait for slow sources */
#define SILENT_S 2   /* of that, before it is said */
#define STATUS_S 3   /* what is answered at once, unless the agent hangs */

static int socket_connect(const char *run_dir, int patience_s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = patience_s };
	int length =
		snprintf(address.sun_path, sizeof(address.sun_path), "%s/gate25d.sock", run_dir);
	int fd, error;

	if (length >= (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

struct answer_stream {
	int fd;
	size_t bytes;
	int error; /* what ended it */
};

static size_t answer_take(void *buffer, size_t size, void *context)
{
	struct answer_stream *stream = context;
	ssize_t got = recv(stream->fd, buffer, size, 0);

	if (got > 0)
		stream->bytes += got;
	if (got < 0)
		stream->error = errno == EAGAIN ? -ETIMEDOUT : -errno;
	return got < 0 ? (size_t)-1 : (size_t)got;
}

static int answer_read(int fd, json_t **reply)
{
	struct answer_stream stream = { .fd = fd };
	json_error_t why;

	*reply = json_load_callback(answer_take, &stream, JSON_DISABLE_EOF_CHECK, &why);
	if (*reply)
		return 0;
	if (stream.error)
		return stream.error;
	return stream.bytes ? -EBADMSG : -ECONNRESET;
}

/* Sources may be slow, and an agent may hang: whoever waits is told for whom. */
static void wait_aloud(int fd, const char *what)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	socklen_t length = sizeof(struct ucred);
	struct ucred agent = { .pid = 0 };

	if (poll(&answer, 1, SILENT_S * 1000))
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &agent, &length))
		agent.pid = 0;
	log_warning("waiting for gate25d (process %d) to %s…", (int)agent.pid, what);
}

int agent_request_list(const char *run_dir, const char *command, const char *list, json_t **reply)
{
	bool brief = strcmp(command, "status") == 0;
	int fd = socket_connect(run_dir, brief ? STATUS_S : ANSWER_S);
	char text[64 + GATE25_NAME];
	int length, error = 0;

	if (fd < 0)
		return fd;
	if (list) /* a name has no letter that JSON would want to be escaped */
		length = snprintf(text, sizeof(text), "{\"command\": \"%s\", \"list\": \"%s\"}\n",
				  command, list);
	else
		length = snprintf(text, sizeof(text), "{\"command\": \"%s\"}\n", command);
	if (length >= (int)sizeof(text))
		error = -EINVAL;
	else if (send(fd, text, length, MSG_NOSIGNAL) != length || shutdown(fd, SHUT_WR))
		error = -EIO;
	if (!error && !brief)
		wait_aloud(fd, list || !strcmp(command, "refresh") ? "refresh" : "reload");
	if (!error)
		error = answer_read(fd, reply);
	close(fd);
	return error;
}

int agent_request(const char *run_dir, const char *command, json_t **reply)
{
	return agent_request_list(run_dir, command, NULL, reply);
}
