/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists over http and https, by libcurl: several at once, each bounded in time and size.
 */
#ifndef GATE25_FETCH_H
#define GATE25_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define FETCH_BYTES	    (256UL << 20) /* no body is larger, unpacked, nor are all that are held */
#define FETCH_CONNECT_S	    10
#define FETCH_WHOLE_S	    120
#define FETCH_SLOW_BYTES    100 /* a second … */
#define FETCH_SLOW_S	    20	/* … for so long: stalled */
#define FETCH_REDIRECTS	    5
#define FETCH_ETAG	    128
#define FETCH_LAST_MODIFIED 64

#define FETCH_SHOWN   1024 /* bytes of a url in a message that shows it whole */
#define FETCH_HEADERS 8
#define FETCH_HEADER  1024
#define FETCH_PROXY   512
#define FETCH_PEM     65536 /* bytes of a file of certificates or of a key, at most */

/* How a server is to be asked. NULL: as usual. */
struct fetch_options {
	const char
		*headers[FETCH_HEADERS + 1]; /* "Name: value"; with any, no redirect is followed */
	const char *ca, *certificate, *key;  /* files in PEM */
	const char *proxy;
};

struct fetch {
	/* in: borrowed; etag and last_modified "" or NULL: unconditional */
	const char *url, *etag, *last_modified;
	const struct fetch_options *options; /* NULL: none */
	/* for worker_fetch(): where ${cred:NAME} are, and the last copy, for a difference to it; NULL: none */
	const char *credentials, *copy;
	/* out */
	int error;	   /* 0, or -errno with `why` saying it for people */
	bool not_modified; /* 304: what we have is current; no body */
	char *body;	   /* fetch_release() frees it */
	bool mapped;
	size_t length;
	unsigned int new_ttl_s;	    /* names.h: how long it is good; 0: not said */
	unsigned long long mtime_s; /* of rsync's file; else 0 */
	char new_etag[FETCH_ETAG], new_last_modified[FETCH_LAST_MODIFIED]; /* "": none given */
	char why[256];
	/* the implementation's */
	size_t room;
	void *handle, *headers;
	char curl_said[256];
};

/*
 * Fetches all side by side and returns when the last one is done. What became of each stands in it; an error of
 * one says nothing of the others. 0, -ENOMEM, or -ECANCELED soon after *cancel is set (NULL: never).
 *
 * Only http and https; a redirect never leaves https. Status 200 with a whole body, or 304, is a success.
 */
int fetch_all(struct fetch *fetches, size_t count, const atomic_bool *cancel);
void fetch_release(struct fetch *fetch); /* frees the body */
/* Counts a body that came from elsewhere among those that are held. -ENOBUFS: too many; it is released, and told. */
int fetch_hold(struct fetch *fetch);

/* Copies of options, whose texts are then malloc'ed. false: out of memory, and what there is wants to be freed. */
bool fetch_options_copy(const struct fetch_options *options, struct fetch_options *out);
bool fetch_options_same(const struct fetch_options *a, const struct fetch_options *b);
void fetch_options_free(struct fetch_options *options);
/* Of a text, or of NULL. */
bool fetch_text_copy(const char *text, const char **out);

/* The url without user, password, query and fragment: for messages. */
const char *fetch_url_shown(const char *url, char *text, size_t size);

#endif
