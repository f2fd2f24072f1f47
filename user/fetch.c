// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists over http and https.
 *
 * In: urls, with what is known of the copy that we have. Out: bodies in memory, or why not. Everything that
 * comes back is foreign: bounded in size and time, and kept to two protocols.
 */
#include "user/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "user/names.h"

#define POLL_MS 200 /* how soon a cancel is seen */

/* By all bodies together. Two that look at once may go beyond it by what curl has at a time. */
static atomic_size_t held_bytes;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---------------------------------------------------------------- what comes in */

static size_t body_take(char *bytes, size_t size, size_t count, void *context)
{
	struct fetch *fetch = context;
	size_t length = size * count, room = fetch->room ? fetch->room : 1 << 16;
	char *larger;

	if (length > FETCH_BYTES - fetch->length)
		fetch->error = -EFBIG;
	else if (atomic_load(&held_bytes) + length > FETCH_BYTES)
		fetch->error = -ENOBUFS;
	if (fetch->error)
		return 0; /* makes curl give up */
	while (room < fetch->length + length)
		room *= 2;
	if (room != fetch->room) {
		larger = realloc(fetch->body, room);
		if (!larger) {
			fetch->error = -ENOMEM;
			return 0;
		}
		fetch->body = larger;
		fetch->room = room;
	}
	memcpy(fetch->body + fetch->length, bytes, length);
	fetch->length += length;
	atomic_fetch_add(&held_bytes, length);
	return length;
}

/* A value that does not fit is worth nothing: it would never match. */
static void header_keep(const char *line, size_t length, size_t name, char *out, size_t size)
{
	const char *at = line + name, *end = line + length;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && strchr(" \t\r\n", end[-1]))
		end--;
	out[0] = '\0';
	if ((size_t)(end - at) < size) {
		memcpy(out, at, end - at);
		out[end - at] = '\0';
	}
}

static size_t header_take(char *line, size_t size, size_t count, void *context)
{
	struct fetch *fetch = context;
	size_t length = size * count;

	if (length >= 5 && !memcmp(line, "HTTP/", 5)) { /* of the answer behind a redirect */
		fetch->new_etag[0] = '\0';
		fetch->new_last_modified[0] = '\0';
	} else if (length > 5 && !strncasecmp(line, "etag:", 5)) {
		header_keep(line, length, 5, fetch->new_etag, sizeof(fetch->new_etag));
	} else if (length > 14 && !strncasecmp(line, "last-modified:", 14)) {
		header_keep(line, length, 14, fetch->new_last_modified,
			    sizeof(fetch->new_last_modified));
	}
	return length;
}

/* ---------------------------------------------------------------- what goes out */

static int header_add(struct fetch *fetch, const char *name, const char *value)
{
	struct curl_slist *longer;
	char line[FETCH_ETAG + 32];

	if (!value || !value[0])
		return 0;
	snprintf(line, sizeof(line), "%s: %s", name, value);
	longer = curl_slist_append(fetch->headers, line);
	if (!longer)
		return -ENOMEM;
	fetch->headers = longer;
	return 0;
}

static CURLcode bounds_set(CURL *handle)
{
	CURLcode code = curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)FETCH_CONNECT_S);

	code = code ? code : curl_easy_setopt(handle, CURLOPT_TIMEOUT, (long)FETCH_WHOLE_S);
	code = code ? code :
		      curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, (long)FETCH_SLOW_BYTES);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)FETCH_SLOW_S);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS);
	code = code ? code :
		      curl_easy_setopt(handle, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)FETCH_BYTES);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	return code;
}

static CURLcode request_set(struct fetch *fetch, CURL *handle)
{
	bool secure = !strncasecmp(fetch->url, "https:", 6);
	CURLcode code = curl_easy_setopt(handle, CURLOPT_URL, fetch->url);

	code = code ? code : curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
	code = code ? code :
		      curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR,
				       secure ? "https" : "http,https");
	code = code ? code : curl_easy_setopt(handle, CURLOPT_USERAGENT, "gate25/" GATE25_VERSION);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_ACCEPT_ENCODING, "gzip");
	code = code ? code : curl_easy_setopt(handle, CURLOPT_HTTPHEADER, fetch->headers);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, fetch->curl_said);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_PRIVATE, fetch);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, body_take);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_WRITEDATA, fetch);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, header_take);
	code = code ? code : curl_easy_setopt(handle, CURLOPT_HEADERDATA, fetch);
	return code;
}

/* A header may be a credential: it is sent to whom it is meant for, and to nobody whom that one names. */
static CURLcode options_set(struct fetch *fetch, CURL *handle)
{
	const struct fetch_options *options = fetch->options;
	CURLcode code = CURLE_OK;

	if (!options)
		return code;
	for (int i = 0; !code && i < FETCH_HEADERS && options->headers[i]; i++) {
		struct curl_slist *longer = curl_slist_append(fetch->headers, options->headers[i]);

		code = longer ? CURLE_OK : CURLE_OUT_OF_MEMORY;
		fetch->headers = longer ? longer : fetch->headers;
	}
	if (!code && options->ca)
		code = curl_easy_setopt(handle, CURLOPT_CAINFO, options->ca);
	if (!code && options->certificate)
		code = curl_easy_setopt(handle, CURLOPT_SSLCERT, options->certificate);
	if (!code && options->key)
		code = curl_easy_setopt(handle, CURLOPT_SSLKEY, options->key);
	if (!code && options->proxy)
		code = curl_easy_setopt(handle, CURLOPT_PROXY, options->proxy);
	return code;
}

static CURLcode redirects_set(const struct fetch *fetch, CURL *handle)
{
	bool bound = fetch->options && fetch->options->headers[0];

	return curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, bound ? 0L : 1L);
}

static int fetch_begin(struct fetch *fetch, CURLM *multi)
{
	CURL *handle = curl_easy_init();

	fetch->handle = handle;
	if (!handle || options_set(fetch, handle) ||
	    header_add(fetch, "If-None-Match", fetch->etag) ||
	    header_add(fetch, "If-Modified-Since", fetch->last_modified))
		return -ENOMEM;
	if (bounds_set(handle) || request_set(fetch, handle) || redirects_set(fetch, handle) ||
	    curl_multi_add_handle(multi, handle))
		return -ENOMEM;
	return 0;
}

/* ---------------------------------------------------------------- what came of it */

static void judge_status(struct fetch *fetch, long status)
{
	bool asked = (fetch->etag && fetch->etag[0]) ||
		     (fetch->last_modified && fetch->last_modified[0]);

	fetch->not_modified = status == 304;
	if (status == 200 || (status == 304 && asked))
		return;
	fetch->error = -EPROTO;
	snprintf(fetch->why, sizeof(fetch->why), "the server answers with HTTP status %ld%s",
		 status,
		 status == 404 || status == 410 ? "; has the list moved?" :
		 status == 401 || status == 403 ? "; it wants a login, or does not want us" :
		 status == 429			? "; it wants to be asked less often" :
		 status / 100 == 3 && status != 304 ?
				 "; a list with headers: follows no redirect, so "
				 "that these reach nobody else: write the new url" :
				 "");
}

static void full_say(struct fetch *fetch)
{
	snprintf(fetch->why, sizeof(fetch->why),
		 "with what other urls sent at the same time it is larger than %lu MiB; "
		 "asked again later",
		 FETCH_BYTES >> 20);
}

static void fetch_judge(struct fetch *fetch, CURLcode code)
{
	long status = 0;

	if (code == CURLE_FILESIZE_EXCEEDED)
		fetch->error = -EFBIG;
	if (fetch->error == -EFBIG) {
		snprintf(fetch->why, sizeof(fetch->why), "larger than %lu MiB", FETCH_BYTES >> 20);
	} else if (fetch->error == -ENOBUFS) {
		full_say(fetch);
	} else if (fetch->error) {
		snprintf(fetch->why, sizeof(fetch->why), "%s", strerror(-fetch->error));
	} else if (code != CURLE_OK) {
		fetch->error = code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
		snprintf(fetch->why, sizeof(fetch->why), "%.*s", (int)sizeof(fetch->why) - 1,
			 fetch->curl_said[0] ? fetch->curl_said : curl_easy_strerror(code));
	} else {
		curl_easy_getinfo(fetch->handle, CURLINFO_RESPONSE_CODE, &status);
		judge_status(fetch, status);
	}
	if (fetch->error || fetch->not_modified)
		fetch_release(fetch);
}

static void fetches_collect(CURLM *multi)
{
	struct fetch *fetch;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left))) {
		if (message->msg == CURLMSG_DONE &&
		    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch) == CURLE_OK)
			fetch_judge(fetch, message->data.result);
	}
}

static int fetches_run(CURLM *multi, const atomic_bool *cancel)
{
	int running = 1;

	while (running) {
		if (curl_multi_perform(multi, &running))
			return -EIO;
		fetches_collect(multi);
		if (cancel && atomic_load(cancel))
			return -ECANCELED;
		if (running && curl_multi_poll(multi, NULL, 0, POLL_MS, NULL))
			return -EIO;
	}
	return 0;
}

int fetch_all(struct fetch *fetches, size_t count, const atomic_bool *cancel)
{
	int error = 0;
	CURLM *multi;

	if (!count)
		return 0;
	pthread_once(&curl_once, curl_start);
	multi = curl_multi_init();
	if (!multi)
		return -ENOMEM;
	for (size_t i = 0; !error && i < count; i++)
		error = names_is_url(fetches[i].url) ? 0 : fetch_begin(&fetches[i], multi);
	if (!error)
		error = fetches_run(multi, cancel);
	for (size_t i = 0; !error && i < count; i++) {
		if (!names_is_url(fetches[i].url))
			continue;
		names_fetch(&fetches[i], cancel);
		atomic_fetch_add(&held_bytes, fetches[i].length);
		error = fetches[i].error == -ECANCELED ? -ECANCELED : 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (fetches[i].handle) {
			curl_multi_remove_handle(multi, fetches[i].handle);
			curl_easy_cleanup(fetches[i].handle);
		}
		curl_slist_free_all(fetches[i].headers);
		fetches[i].handle = fetches[i].headers = NULL;
		if (error)
			fetch_release(&fetches[i]);
	}
	curl_multi_cleanup(multi);
	return error;
}

void fetch_release(struct fetch *fetch)
{
	if (fetch->mapped && fetch->body)
		munmap(fetch->body, fetch->length);
	else if (!fetch->mapped)
		free(fetch->body);
	atomic_fetch_sub(&held_bytes, fetch->length);
	fetch->body = NULL;
	fetch->mapped = false;
	fetch->length = fetch->room = 0;
}

int fetch_hold(struct fetch *fetch)
{
	if (atomic_fetch_add(&held_bytes, fetch->length) + fetch->length <= FETCH_BYTES)
		return 0;
	fetch_release(fetch);
	fetch->error = -ENOBUFS;
	full_say(fetch);
	return -ENOBUFS;
}

void fetch_options_free(struct fetch_options *options)
{
	for (int i = 0; i < FETCH_HEADERS; i++)
		free((char *)options->headers[i]);
	free((char *)options->ca);
	free((char *)options->certificate);
	free((char *)options->key);
	free((char *)options->proxy);
}

bool fetch_text_copy(const char *text, const char **out)
{
	*out = text ? strdup(text) : NULL;
	return !text || *out;
}

bool fetch_options_copy(const struct fetch_options *options, struct fetch_options *out)
{
	bool good = true;

	if (!options)
		return true;
	for (int i = 0; good && i < FETCH_HEADERS; i++)
		good = fetch_text_copy(options->headers[i], &out->headers[i]);
	return good && fetch_text_copy(options->ca, &out->ca) &&
	       fetch_text_copy(options->certificate, &out->certificate) &&
	       fetch_text_copy(options->key, &out->key) &&
	       fetch_text_copy(options->proxy, &out->proxy);
}

static bool text_same(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

bool fetch_options_same(const struct fetch_options *a, const struct fetch_options *b)
{
	static const struct fetch_options none;

	b = b ? b : &none;
	for (int i = 0; i < FETCH_HEADERS; i++)
		if (!text_same(a->headers[i], b->headers[i]))
			return false;
	return text_same(a->ca, b->ca) && text_same(a->certificate, b->certificate) &&
	       text_same(a->key, b->key) && text_same(a->proxy, b->proxy);
}

const char *fetch_url_shown(const char *url, char *text, size_t size)
{
	const char *host = strstr(url, "://"), *at, *path;

	if (names_is_url(url)) {
		snprintf(text, size, "%s", names_shown(url));
		return text;
	}
	host = host ? host + 3 : url;
	path = host + strcspn(host, "/?#");
	at = memchr(host, '@', path - host);
	snprintf(text, size, "%.*s%.*s", (int)(host - url), url,
		 (int)strcspn(at ? at + 1 : host, "?#"), at ? at + 1 : host);
	return text;
}
