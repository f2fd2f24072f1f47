/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two sides of a worker's socket say to each other: one request, one reply, of fixed size. Both sides are the
 * same program; but what a worker says is taken for foreign.
 */
#ifndef GATE25_WORKER_PROTOCOL_H
#define GATE25_WORKER_PROTOCOL_H

#include <sys/types.h>

#include "user/fetch.h"
#include "user/lists/parse.h"

#define WORKER_SOCKET	  3 /* its only descriptor besides standard ones */
#define WORKER_FILES	  4
#define WORKER_URL	  2048
#define WORKER_TEXT	  256
#define WORKER_KEY_NAME	  1024
#define WORKER_LINES	  20
#define WORKER_LINE_BYTES 64
#define WORKER_FETCH_S	  (FETCH_WHOLE_S + 10)
#define WORKER_PARSE_S	  60
#define WORKER_MEMORY	  (1024UL << 20) /* address space */

enum worker_errand { WORKER_FETCH = 1, WORKER_PARSE };

/* Files that come with a request, in this order, as far as their bits in `files` are set. */
enum worker_file { WORKER_LIST, WORKER_CA, WORKER_CERTIFICATE, WORKER_KEY };

struct worker_request {
	__u32 bytes; /* sizeof(struct worker_request) */
	__u32 errand;
	__u32 files; /* bits by enum worker_file */
	uid_t uid;   /* to become; (uid_t)-1: stay */
	gid_t gid;
	char directory[128]; /* where rsync may keep its copy; "": nowhere */
	struct {
		char url[WORKER_URL], proxy[FETCH_PROXY];
		char headers[FETCH_HEADERS][FETCH_HEADER];
		char etag[FETCH_ETAG], last_modified[FETCH_LAST_MODIFIED];
		__u64 mtime_s; /* of the copy that comes along (WORKER_LIST) */
	} fetch;
	struct {
		struct parse_settings settings; /* without its pointers */
		__u64 translated[GATE25_TRANSLATED][2];
		struct list_codes codes;
		char column[WORKER_KEY_NAME], member[WORKER_KEY_NAME];
		__u64 length; /* of WORKER_LIST */
	} parse;
};

struct worker_line {
	__u64 number;
	char why[96];
	__u32 length;
	char text[WORKER_LINE_BYTES];
};

struct worker_reply {
	__u32 bytes;
	__s32 error;
	char why[WORKER_TEXT];
	__u32 has_result; /* a memfd comes along: the body, or the image */
	__u64 length;	  /* of it */
	__u32 not_modified;
	char etag[FETCH_ETAG], last_modified[FETCH_LAST_MODIFIED];
	__u64 mtime_s;
	__u32 ttl_s;
	struct list_facts facts; /* without its pointer */
	char cut[96];		 /* in its place; "": none */
	__u32 lines_count;
	struct worker_line lines[WORKER_LINES];
};

#endif
