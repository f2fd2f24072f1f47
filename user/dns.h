/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Questions to a DNS resolver, by c-ares: one at a time (addresses: both families at once), each bounded in
 * time. Nothing is cached here: the resolver does that.
 */
#ifndef GATE25_DNS_H
#define GATE25_DNS_H

#include <arpa/nameser.h>
#include <stdatomic.h>
#include <stddef.h>

#include "bpf/gate25.h"

#define DNS_NAME	256
#define DNS_RECORDS	512 /* of one answer; what is beyond is left out */
#define DNS_ADDRESSES	0   /* as a type: A and AAAA */
#define DNS_TTL_UNKNOWN 0xffffffff

struct dns_record {
	struct gate25_source address; /* A, AAAA */
	unsigned int preference;      /* MX */
	char *text;		      /* MX: the host, "" for none; TXT: its strings, joined */
};

struct dns_answer {
	struct dns_record *records;
	size_t count;
	unsigned int ttl_s; /* the least of all records, of aliases too */
};

struct dns;

/*
 * `server`: "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353"; NULL: those of the system. Questions end at
 * `deadline_s` from now, or soon after *cancel is set (NULL: never). 0 or -errno.
 */
int dns_open(const char *server, unsigned int deadline_s, const atomic_bool *cancel,
	     struct dns **out);
void dns_close(struct dns *dns); /* NULL is fine */

/*
 * Asks for the records of a type (ns_t_txt, ns_t_mx, DNS_ADDRESSES). 0: there are some, to be released; -ENODATA: the
 * name or the type is not there, and that is sure; -EINVAL: it is no name; -ETIMEDOUT, -EAGAIN, -EBADMSG: no answer, or
 * none that says anything, and another time there may be one; -ECANCELED, -ENOMEM.
 */
int dns_ask(struct dns *dns, const char *name, int type, struct dns_answer *out);
void dns_answer_release(struct dns_answer *answer);

/* What to tell people of a failure. */
const char *dns_why(int error);

#endif
