/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names that stand for addresses: who may send for a domain (SPF, RFC 7208), who takes its mail (MX), a host.
 *
 * A list of names is written "dns:spf:example.com,mx:example.org,host:mail.example.net", with "@RESOLVER," behind
 * "dns:" where it is not the system's. It is fetched like a url, and what comes is a plain list.
 */
#ifndef GATE25_NAMES_H
#define GATE25_NAMES_H

#include <stdbool.h>
#include <stdio.h>

#include "user/addr.h"
#include "user/dns.h"
#include "user/fetch.h"

#define NAMES_SCHEME	  "dns:"
#define NAMES_TTL_LEAST_S (15 * 60)
#define NAMES_TTL_MOST_S  (24 * 3600)

/* RFC 7208, 4.6.4 */
#define SPF_LOOKUPS 10
#define SPF_VOIDS   2
#define SPF_MX	    10

enum name_kind { NAME_SPF, NAME_MX, NAME_HOST, NAME_KINDS };

const char *name_kind_word(enum name_kind kind); /* "spf", "mx", "host" */

/* Letters, digits, - and _ between dots: what a configuration may name. */
bool name_is_domain(const char *text);

struct names_found {
	struct prefix *prefixes; /* sorted, each once */
	size_t count, room;
	unsigned int ttl_s;	     /* the least, DNS_TTL_UNKNOWN: none was said */
	unsigned int lookups, voids; /* of SPF */
	char *notes; /* a line each: what of a record could not be followed; NULL: nothing */
	size_t notes_length;
	char why[256]; /* where it failed */
};

/*
 * The addresses that a name stands for. 0; -ENODATA: nothing, and that is sure (no such name, no such record, a
 * record that is broken, `why` says which); -ETIMEDOUT, -EAGAIN, -EBADMSG: not now. -ECANCELED, -ENOMEM.
 *
 * Of SPF are taken what passes: ip4, ip6, a, mx, include, redirect. `exists`, `ptr` and macros depend on who asks and are
 * noted, "all" that passes is noted and names nobody. Where a limit is reached or an included record is broken, a receiver would
 * stop as well: what stands before counts.
 */
int names_find(struct dns *dns, enum name_kind kind, const char *domain, struct names_found *out);
void names_found_release(struct names_found *found);

bool names_is_url(const char *url);

/*
 * Fetches a list of names as a plain list. new_etag is a digest of it, and one that is the same is not_modified; new_ttl_s is set.
 * With an etag, of which there is a last good list, a name that cannot be told now fails the
 * whole; without, what could be told is taken, and new_etag is empty. One that stands for nothing fails
 * the whole only if all do.
 */
void names_fetch(struct fetch *fetch, const atomic_bool *cancel);

/* The names for people: without scheme and resolver. */
const char *names_shown(const char *url);

/* Logs the notes of such a list: whoever takes it does, since it may be made in a process that has no log. */
void names_notes_log(const char *text, size_t length);

#endif
