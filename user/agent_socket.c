// SPDX-License-Identifier: GPL-2.0-only
/*
 * run_dir/gate25d.sock: what the command line asks of the agent (see agent_request() in apply.h).
 *
 * In: one JSON object a connection. Out: one in return, after the load that it waits for. Few clients, short
 * requests, a limit of time: none can hold up the loop. A lock beside the socket tells whether an agent runs.
 */
#include "user/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/fetcher.h"
#include "user/log.h"
#include "user/print.h"

#define CLIENTS	      16
#define REQUEST_BYTES 1024
#define US_PER_S      1000000ULL
#define REQUEST_S     5	 /* to say what it wants */
#define ANSWER_S      10 /* to take the answer */

struct client {
	struct server *server;
	LIST_ENTRY(client) others;
	int fd;
	sd_event_source *source, *timer;
	char request[REQUEST_BYTES];
	size_t got;
	enum load_kind waits;	/* 0: not (any more) for a load */
	bool served;		/* by the load that runs */
	char list[GATE25_NAME]; /* what it asks about; "": all */
	char *answer;
	size_t length, sent;
};

struct server {
	struct agent *agent;
	char path[108];
	int lock, fd;
	sd_event_source *source;
	LIST_HEAD(client_list, client) clients;
	unsigned int count;
};

static void client_close(struct client *client)
{
	LIST_REMOVE(client, others);
	client->server->count--;
	sd_event_source_unref(client->source);
	sd_event_source_unref(client->timer);
	close(client->fd);
	free(client->answer);
	free(client);
}

/* ---------------------------------------------------------------- answers */

static void client_send(struct client *client)
{
	ssize_t sent = send(client->fd, client->answer + client->sent,
			    client->length - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	client->sent += sent > 0 ? sent : 0;
	if (sent <= 0 || client->sent == client->length)
		client_close(client);
}

static void client_answer(struct client *client, json_t *answer)
{
	client->answer = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!client->answer) {
		client_close(client);
		return;
	}
	client->length = strlen(client->answer);
	client->waits = 0;
	sd_event_source_set_io_events(client->source, EPOLLOUT);
	sd_event_source_set_time_relative(client->timer, ANSWER_S * US_PER_S);
	sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

static json_t *refusal(const char *why)
{
	return json_pack("{s:b, s:[], s:[], s:[s]}", "ok", 0, "changes", "warnings", "errors", why);
}

static json_t *list_status(const struct feed_state *state, bool fetching)
{
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:s}", "name", state->name,
			 "fetching", fetching, "last_success", (json_int_t)state->last_success_s,
			 "last_attempt", (json_int_t)state->last_attempt_s, "next_refresh",
			 (json_int_t)state->next_refresh_s, "entries4", (json_int_t)state->entries4,
			 "entries6", (json_int_t)state->entries6, "bad_lines",
			 (json_int_t)state->bad_lines, "failures", state->failures, "error",
			 state->error);
}

/* Whole, for who asks from elsewhere. A file that is gone keeps the name that we were started with. */
static json_t *config_named(const struct agent *agent)
{
	char path[PATH_MAX];

	return json_pack("{s:b, s:i, s:s}", "ok", 1, "pid", (int)getpid(), "config",
			 realpath(agent->config_path, path) ? path : agent->config_path);
}

/* Of one list, or of all ("" or NULL). */
static json_t *lists_status(const struct agent *agent, const char *name)
{
	json_t *lists = json_array();

	for (size_t i = 0; i < agent->feeds.count; i++) {
		const struct feed_state *state = &agent->feeds.array[i];
		json_t *list;

		if (name && name[0] && strcmp(state->name, name) != 0)
			continue;
		list = list_status(state, fetcher_runs(agent->fetcher, state->name));
		if (list)
			json_array_append_new(lists, list);
	}
	return lists;
}

static json_t *status(const struct agent *agent)
{
	json_t *lists = lists_status(agent, NULL);

	return json_pack("{s:b, s:s, s:i, s:b, s:o}", "ok", 1, "version", GATE25_VERSION, "pid",
			 (int)getpid(), "loading", agent->load.job.running, "lists", lists);
}

/* ---------------------------------------------------------------- requests */

static void client_refresh(struct client *client, const char *list)
{
	struct agent *agent = client->server->agent;
	char when[32], why[160];
	__u64 when_s = 0;
	int error;

	snprintf(client->list, sizeof(client->list), "%s", list ? list : "");
	client->waits = LOAD_REFRESH; /* before the load begins: that may be at once */
	error = load_want_list(agent, list, &when_s);
	if (!error)
		return;
	if (error == -EAGAIN)
		snprintf(why, sizeof(why),
			 "its source may not be asked again before %s (`refresh_min`)",
			 time_format(when_s, when));
	else if (list)
		snprintf(why, sizeof(why),
			 "no list of that name with a file or url is in the configuration that "
			 "the agent runs with");
	else
		snprintf(why, sizeof(why), "no list has a source that may be asked now");
	client_answer(client, refusal(why));
}

static void client_understand(struct client *client)
{
	json_t *root = json_loadb(client->request, client->got, JSON_DISABLE_EOF_CHECK, NULL);
	const char *command = json_string_value(json_object_get(root, "command"));
	struct agent *agent = client->server->agent;

	sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	sd_event_source_set_io_events(client->source, 0);
	if (!command) {
		client_answer(client, refusal("not understood"));
	} else if (!strcmp(command, "status")) {
		client_answer(client, status(agent));
	} else if (!strcmp(command, "config")) {
		client_answer(client, config_named(agent));
	} else if (!strcmp(command, "reload") || !strcmp(command, "apply")) {
		client->waits = command[0] == 'r' ? LOAD_RELOAD : LOAD_APPLY;
		load_want(agent, client->waits);
	} else if (!strcmp(command, "refresh")) {
		client_refresh(client, json_string_value(json_object_get(root, "list")));
	} else {
		client_answer(client,
			      refusal("this agent does not know that command; is it older than "
				      "the command line?"));
	}
	json_decref(root);
}

static void client_read(struct client *client)
{
	ssize_t got = recv(client->fd, client->request + client->got,
			   sizeof(client->request) - client->got, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		client->got += got;
	if (got > 0 && !memchr(client->request, '\n', client->got) &&
	    client->got < sizeof(client->request))
		return;
	if (got < 0 || !client->got)
		client_close(client);
	else
		client_understand(client);
}

static int client_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct client *client = context;

	(void)source;
	(void)fd;
	if (client->answer)
		client_send(client);
	else if (events & EPOLLIN)
		client_read(client);
	else if (events & (EPOLLHUP | EPOLLERR)) /* it waits no more */
		client_close(client);
	return 0;
}

static int client_late(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	client_close(context);
	return 0;
}

static int client_accept(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct server *server = context;
	struct client *client;
	int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (accepted < 0)
		return 0;
	client = server->count < CLIENTS ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(accepted);
		return 0;
	}
	client->server = server;
	client->fd = accepted;
	LIST_INSERT_HEAD(&server->clients, client, others);
	server->count++;
	if (sd_event_add_io(server->agent->event, &client->source, accepted, EPOLLIN, client_ready,
			    client) < 0 ||
	    sd_event_add_time_relative(server->agent->event, &client->timer, CLOCK_MONOTONIC,
				       REQUEST_S * US_PER_S, US_PER_S, client_late, client) < 0)
		client_close(client);
	return 0;
}

/* ---------------------------------------------------------------- loads */

void server_load_begins(struct server *server, enum load_kind kind)
{
	struct client *client;

	LIST_FOREACH(client, &server->clients, others)
	client->served = client->waits && (kind == LOAD_RELOAD || client->waits == kind);
}

void server_load_ends(struct server *server, const struct apply_report *report)
{
	struct client *client, *next;

	for (client = LIST_FIRST(&server->clients); client; client = next) {
		next = LIST_NEXT(client, others);
		if (!client->served)
			continue;
		client->served = false;
		client_answer(client,
			      json_pack("{s:b, s:o, s:b, s:O, s:O, s:O}", "ok",
					!json_array_size(report->errors), "lists",
					lists_status(server->agent, client->list), "in_force",
					report->in_force, "changes", report->changes, "warnings",
					report->warnings, "errors", report->errors));
	}
}

/* ---------------------------------------------------------------- the socket */

static int server_lock(struct server *server, const char *run_dir)
{
	char path[256], holder[16] = "";
	int error;

	snprintf(path, sizeof(path), "%s/gate25d.lock", run_dir);
	server->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (server->lock < 0) {
		error = -errno;
		log_error("cannot open %s: %s", path, strerror(-error));
		return error;
	}
	if (flock(server->lock, LOCK_EX | LOCK_NB) == 0) {
		if (ftruncate(server->lock, 0) || dprintf(server->lock, "%d\n", getpid()) < 0)
			log_debug("cannot write to %s", path);
		return 0;
	}
	error = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	if (error == -EADDRINUSE && pread(server->lock, holder, sizeof(holder) - 1, 0) > 0)
		log_error("another gate25d runs already (process %.*s, %s)",
			  (int)strcspn(holder, "\n"), holder, path);
	else
		log_error("cannot lock %s: %s", path, strerror(-error));
	return error;
}

static int server_listen(struct server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int error = 0;

	memcpy(address.sun_path, server->path, sizeof(server->path));
	unlink(server->path); /* of an agent that was killed: the lock is ours */
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0)
		return -errno;
	mask = umask(0177);
	if (bind(server->fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	umask(mask);
	if (!error && listen(server->fd, CLIENTS))
		error = -errno;
	if (!error)
		error = sd_event_add_io(server->agent->event, &server->source, server->fd, EPOLLIN,
					client_accept, server);
	if (error)
		log_error("cannot listen on %s: %s", server->path, strerror(-error));
	return error;
}

int server_open(struct agent *agent, struct server **out)
{
	const char *run_dir = agent->config->run_dir;
	struct server *server = calloc(1, sizeof(*server));
	int error = 0;

	if (!server)
		return -ENOMEM;
	server->agent = agent;
	server->lock = server->fd = -1;
	if (snprintf(server->path, sizeof(server->path), "%s/gate25d.sock", run_dir) >=
	    (int)sizeof(server->path)) {
		log_error("run_dir %s is too long for a socket in it", run_dir);
		error = -ENAMETOOLONG;
	}
	if (!error)
		error = server_lock(server, run_dir);
	if (!error)
		error = server_listen(server);
	if (error)
		server_close(server);
	else
		*out = server;
	return error;
}

void server_close(struct server *server)
{
	struct client *client, *next;

	if (!server)
		return;
	for (client = LIST_FIRST(&server->clients); client; client = next) {
		next = LIST_NEXT(client, others);
		client_close(client);
	}
	sd_event_source_unref(server->source);
	if (server->fd >= 0) {
		close(server->fd);
		unlink(server->path);
	}
	if (server->lock >= 0)
		close(server->lock);
	free(server);
}
