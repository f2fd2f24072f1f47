// SPDX-License-Identifier: GPL-2.0-only
/*
 * /metrics over HTTP, by libmicrohttpd in the agent's loop.
 *
 * In: GET or HEAD of / and /metrics. Out: text. Connections are few and bounded in time; loads run beside the
 * loop, so scraping works during them.
 */
#include "user/agent.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "user/log.h"

#define CONNECTIONS 16
#define TIMEOUT_S   10
#define AGAIN_US    10000000ULL /* when the address could not be had */
#define IDLE_US	    3600000000ULL

/* ---------------------------------------------------------------- answers */

static const char front_page[] =
	"<!DOCTYPE html><title>gate25</title>\n"
	"<h1>gate25 " GATE25_VERSION "</h1>\n"
	"<p>A guard for the mail ports. <a href=\"/metrics\">Metrics</a>\n";

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status,
			      const char *type, const char *header, const char *value,
			      struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (header)
		MHD_add_response_header(response, header, value);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static struct MHD_Response *text_response(const char *text)
{
	return MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
}

static int metrics_text(struct agent *agent, char **text, size_t *length)
{
	__u64 *hits = calloc(GATE25_LIST_IDS, sizeof(*hits));
	FILE *stream = open_memstream(text, length);
	struct metrics_input input;
	int error = -ENOMEM;

	views_refresh(agent);
	input = (struct metrics_input){
		.guard = agent->guard,
		.config = agent->config,
		.attached = agent->views.attached,
		.attached_count = agent->views.attached_count > 0 ? agent->views.attached_count : 0,
		.generation = views_first(agent) ? views_first(agent)->generation : NULL,
		.feeds = &agent->feeds,
		.list_ids = agent->list_ids,
		.origins = agent->origins,
		.origins_count = agent->origins_count,
		.now_ns = monotonic_ns(),
	};
	if (hits && guard_list_hits(agent->guard, hits) == 0)
		input.list_hits = hits;
	if (stream) {
		error = metrics_write(&input, stream);
		if (fclose(stream) && !error)
			error = -ENOMEM;
	}
	free(hits);
	return error;
}

static enum MHD_Result metrics_answer(struct agent *agent, struct MHD_Connection *connection)
{
	char *text = NULL;
	size_t length = 0;

	if (metrics_text(agent, &text, &length)) {
		free(text);
		return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain", NULL, NULL,
			      text_response("out of memory\n"));
	}
	return answer(connection, MHD_HTTP_OK, METRICS_CONTENT_TYPE, NULL, NULL,
		      MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result request(void *context, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **state)
{
	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
			      MHD_HTTP_HEADER_ALLOW, "GET, HEAD",
			      text_response("only GET and HEAD\n"));
	if (!strcmp(url, "/metrics"))
		return metrics_answer(context, connection);
	if (!strcmp(url, "/"))
		return answer(connection, MHD_HTTP_OK, "text/html; charset=utf-8", NULL, NULL,
			      text_response(front_page));
	return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", NULL, NULL,
		      text_response("there is /metrics\n"));
}

/* ---------------------------------------------------------------- where to listen */

static void microhttpd_says(void *context, const char *format, va_list arguments)
{
	char text[256];
	size_t length;

	(void)context;
	vsnprintf(text, sizeof(text), format, arguments);
	length = strlen(text);
	while (length && text[length - 1] == '\n')
		text[--length] = '\0';
	log_debug("http: %s", text);
}

/* "127.0.0.1:9925", "[::1]:9925" */
static int listen_parse(const char *listen, struct addrinfo **out)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	char host[64], *colon;
	size_t length;

	snprintf(host, sizeof(host), "%s", listen);
	colon = strrchr(host, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	length = strlen(host);
	if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		memmove(host, host + 1, length - 1);
	}
	return getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, out) ? -EINVAL : 0;
}

static struct MHD_Daemon *daemon_start(struct agent *agent, const struct addrinfo *address)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;

	if (address->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	return MHD_start_daemon(flags, 0, NULL, NULL, request, agent, MHD_OPTION_EXTERNAL_LOGGER,
				microhttpd_says, NULL, MHD_OPTION_SOCK_ADDR, address->ai_addr,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)TIMEOUT_S,
				MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
}

/* ---------------------------------------------------------------- in the loop */

static unsigned int connections(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

static int http_work(struct agent *agent)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	struct http *http = &agent->http;
	__u64 delay_us = IDLE_US;
	unsigned int before;

	/*
	 * At its limit the library listens no more, and only begins to again at the start of a run.
	 * After one that ended connections no event need ever come to start the next.
	 */
	do {
		before = connections(http->daemon);
		MHD_run(http->daemon);
	} while (connections(http->daemon) < before);
	if (MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES)
		delay_us = timeout_ms * 1000;
	sd_event_source_set_time_relative(http->timer, delay_us);
	return sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
}

static int http_ready(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	return http_work(context);
}

static void http_stop(struct http *http)
{
	http->source = sd_event_source_unref(http->source);
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	http->daemon = NULL;
}

static int http_listen(struct agent *agent)
{
	struct http *http = &agent->http;
	struct addrinfo *address = NULL;
	const union MHD_DaemonInfo *info;
	int error = listen_parse(http->listen, &address);

	if (error)
		return error;
	errno = 0;
	http->daemon = daemon_start(agent, address);
	error = errno ? -errno : -EIO;
	freeaddrinfo(address);
	if (!http->daemon)
		return error;
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	error = info ? sd_event_add_io(agent->event, &http->source, info->epoll_fd, EPOLLIN,
				       http_ready, agent) :
		       -EIO;
	if (error < 0) {
		http_stop(http);
		return error;
	}
	log_info("metrics on http://%s/metrics", http->listen);
	return 0;
}

/* What cannot be had now may be had later: somebody else's socket, an address that is not there yet. */
static void http_try(struct agent *agent)
{
	struct http *http = &agent->http;
	int error = http_listen(agent);

	if (!error) {
		http->complained = false;
		return;
	}
	if (!http->complained)
		log_error("metrics cannot listen on %s: %s; trying again every 10 s", http->listen,
			  strerror(-error));
	http->complained = true;
	sd_event_source_set_time_relative(http->timer, AGAIN_US);
	sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
}

static int timer_fires(sd_event_source *source, uint64_t usec, void *context)
{
	struct agent *agent = context;

	(void)source;
	(void)usec;
	if (agent->http.daemon)
		return http_work(agent);
	if (agent->http.listen[0])
		http_try(agent);
	return 0;
}

void http_follow(struct agent *agent)
{
	const char *listen = agent->config->metrics_listen;
	struct http *http = &agent->http;

	if (!listen || !strcmp(listen, "off"))
		listen = "";
	if (!strcmp(listen, http->listen))
		return;
	if (!http->timer && sd_event_add_time_relative(agent->event, &http->timer, CLOCK_MONOTONIC,
						       IDLE_US, 1000, timer_fires, agent) < 0)
		return;
	http_stop(http);
	http->complained = false;
	snprintf(http->listen, sizeof(http->listen), "%s", listen);
	if (listen[0])
		http_try(agent);
}

void http_release(struct agent *agent)
{
	http_stop(&agent->http);
	agent->http.timer = sd_event_source_unref(agent->http.timer);
}
