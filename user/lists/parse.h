/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The text of a list -> list_image. One table of formats; a format is a function over bytes.
 */
#ifndef GATE25_LISTS_PARSE_H
#define GATE25_LISTS_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/addr.h"
#include "user/lists/image.h"

#define GATE25_LIST_BYTES (256UL << 20) /* no list is larger, unpacked */

enum list_format {
	LIST_AUTO = 0, /* by content */
	LIST_PLAIN,   /* address, CIDR or range a line; # and ; comments; further columns ignored */
	LIST_RBLDNSD, /* ip4set zone, read as rbldnsd reads it */
	LIST_FORMATS
};

/* "auto", "plain", "rbldnsd"; -1 when it is none of them. And back. */
int list_format_from_name(const char *name);
const char *list_format_name(enum list_format format);

struct parse_settings {
	enum list_format format;
	const __u64 (*translated)[2]; /* as in prefix_parse() */
	unsigned int translated_count;
	/* called for each bad line (not more than the first 20); may be NULL */
	void (*bad_line)(void *context, size_t line, const char *why, const char *text,
			 size_t length);
	void *context;
	bool foreign;	   /* what is too wide for a list that others make (wide.h) is a bad line */
	size_t most_bytes; /* of the text, unpacked; 0: GATE25_LIST_BYTES */
	__u64 now_s;	   /* for zones with a time stamp, seconds since 1970; 0: the clock */
};

/*
 * Parses `length` bytes at `text` (need not end in 0 or a newline; CRLF is fine; NUL bytes make a
 * bad line). Gzip, by its magic, is unpacked first. Bad lines are skipped and counted. 127/8 in
 * an rbldnsd zone is a test record and left out. loaded_s is set; source_digest is the caller's.
 *
 * 0, or -EBADMSG: damaged gzip, or no list (no line of it is an entry; with LIST_AUTO, less than
 * half of them are), or a zone that says of itself that it has expired. -EFBIG (bytes, or
 * RANGES_BYTES of entries), -ENOMEM. `*why`
 * then says what is wrong. *out is left alone on failure.
 */
int list_parse(const void *text, size_t length, const struct parse_settings *settings,
	       struct list_image **out, const char **why);

/* From prefixes (a list's `entries:`). */
int list_from_prefixes(const struct prefix *prefixes, size_t count, struct list_image **out);

#endif
