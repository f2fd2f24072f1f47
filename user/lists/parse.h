/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The text of a list -> list_image. One table of formats; a format is a function over bytes.
 */
#ifndef GATE25_LISTS_PARSE_H
#define GATE25_LISTS_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/addr.h"
#include "user/lists/codes.h"
#include "user/lists/image.h"

#define GATE25_LIST_BYTES (256UL << 20) /* no list is larger, unpacked */

enum list_format {
	LIST_AUTO = 0, /* by content; what is not recognised for sure is plain */
	LIST_PLAIN,   /* address, CIDR or range a line; # and ; comments; further columns ignored */
	LIST_RBLDNSD, /* a zone, read as rbldnsd reads it: ip4set, or what its $DATASETs name */
	LIST_IP4TSET, /* zones of another type, which their text does not tell */
	LIST_IP4TRIE,
	LIST_IP6TSET,
	LIST_IP6TRIE,
	LIST_DROP,    /* of Spamhaus: text, or JSON lines with a last one that counts them */
	LIST_DSHIELD, /* first address, tab, last address, tab, prefix length */
	LIST_CSV,     /* one column, by its name or number */
	LIST_RPZ,     /* rpz-ip triggers of a response policy zone; rpz-passthru un-lists */
	LIST_JSON,    /* strings under a member */
	LIST_FORMATS
};

/* "auto", "plain", "rbldnsd"; -1 when it is none of them. And back. */
int list_format_from_name(const char *name);
const char *list_format_name(enum list_format format);

/* What the text says of itself and looks like, for whoever judges whether it is to be trusted. */
struct list_facts {
	enum list_format format; /* it was read as; LIST_AUTO: it was refused before that */
	__u64 lines, bad_lines;	 /* as in the image; entries where these are no lines */
	__u64 left_out; /* lines that are understood and list nothing here: other triggers, codes */
	bool declares;	/* it says how many entries it has … */
	__u64 declared; /* … and these are they */
	__u64 stamp_s; /* when it was made, by its own word, seconds since 1970; 0: it does not say */
	bool last_line_complete; /* it ends in a newline, or is empty */
	bool web_page;
	const char *cut; /* why it looks as if its end was missing; NULL: it does not */
};

struct parse_settings {
	enum list_format format;
	const __u64 (*translated)[2]; /* as in prefix_parse() */
	unsigned int translated_count;
	/* called for each bad line (not more than the first 20); may be NULL */
	void (*bad_line)(void *context, size_t line, const char *why, const char *text,
			 size_t length);
	void *context;
	bool foreign; /* what is too wide for a list that others make (wide.h) is a bad line */
	unsigned int length4, length6; /* the shortest prefixes that are not; 0: those of wide.h */
	bool allow; /* an allow list: of a response policy zone it takes what passes */
	const char
		*column; /* of CSV: its name in the header, or its number from 1; NULL: as auto */
	const char *member; /* of JSON: "list", or "prefixes.ip_prefix"; NULL: list, or the whole */
	const struct list_codes *codes; /* NULL or none: all entries of a zone */
	size_t most_bytes;		/* of the text, unpacked; 0: GATE25_LIST_BYTES */
	__u64 now_s; /* for zones with a time stamp, seconds since 1970; 0: the clock */
	struct list_facts *facts; /* to be filled, also when the list is refused; may be NULL */
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

/* A line that lists an address. */
#define LIST_LINE_TEXT 256
struct list_line {
	size_t number; /* from 1; of JSON: the entry's */
	__u32 code;    /* what a zone answers, 127.0.0.2 as 0x7f000002; 0: the format has none */
	char text[LIST_LINE_TEXT]; /* the TXT of a zone's entry, else the line; printable */
};

/*
 * Which line of this text lists `address`? The most specific one. Reads the whole text again.
 * -ENOENT: none; else as list_parse().
 */
int list_find_line(const void *text, size_t length, const struct parse_settings *settings,
		   const struct gate25_source *address, struct list_line *out);

/* Of what decides how the same bytes are read: format, column, member, codes, translated prefixes. */
__u64 parse_settings_digest(__u64 seed, const struct parse_settings *settings);

/* From prefixes (a list's `entries:`). */
int list_from_prefixes(const struct prefix *prefixes, size_t count, struct list_image **out);

#endif
