/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the types of rbldnsd's data sets share while a zone is read: its text goes through
 * rbldnsd.c, a type is a row of the table in zone_types.c.
 */
#ifndef GATE25_LISTS_ZONE_H
#define GATE25_LISTS_ZONE_H

#include <stdbool.h>
#include <time.h>

#include "user/lists/longest.h"
#include "user/lists/reading.h"

enum { LEVEL_32, LEVEL_24, LEVEL_16, LEVEL_8, LEVELS };

#define ZONE_CODE	0x7f000002 /* rbldnsd's own, where a zone names none */
#define ZONE_BAD_RANGE	"invalid address"
#define ZONE_TEST_FIRST 0x7f000000U /* 127/8: how a zone is tested, never a sender */
#define ZONE_TEST_LAST	0x7fffffffU

/* What a zone answers for an entry: an A and a TXT record. */
struct zone_value {
	__u32 code;
	const char *text;
	size_t length;
};

struct zone {
	const struct zone_type *type;
	struct zone_value value; /* default of the entries that follow */
	bool value_set;		 /* by a line of the data set */
	__u64 max_range;	 /* addresses; 0: no bound */
	/* ip4set, and ip4tset's hosts */
	struct ranges listed;
	struct ranges excluded[LEVELS];
	struct ranges others[LEVELS]; /* listed with a code that is not asked for */
	/* the tries, and ip6tset */
	struct longest longest;
	/* of the zone as a whole (rbldnsd.c) */
	time_t now, expires;
	bool entries;	   /* an entry or a default was seen before any $DATASET */
	bool datasets;	   /* there are $DATASET lines */
	bool dataset_base; /* the one at hand belongs to the zone itself */
	bool any_base;
};

struct zone_type {
	const char *name;
	enum list_format format;
	bool one_value;	   /* the first default holds for the whole data set, others are ignored */
	bool colon_starts; /* an entry may begin with "::" */
	int (*entry)(struct reading *reading, struct scan *scan); /* NULL: it holds no addresses */
	int (*finish)(struct reading *reading); /* all that the data set lists is kept */
};

extern const struct zone_type zone_types[]; /* ends with a NULL name */

/* ---------------------------------------------------------------- scanning (zone_scan.c) */

/* One to four octets; returns the bits that they are, or 0. Leading zeros are decimal. */
unsigned int scan_octets(struct scan *scan, __u32 *out);

/* "10.1", "10/8", "127.0.0.1-10". NULL, or why it is none. */
const char *scan_range(struct scan *scan, __u32 *first, __u32 *last);

/* "10.1", "10/8", "0/0": a prefix. */
const char *scan_cidr4(struct scan *scan, __u32 *first, unsigned int *length);

/* "2001:db8:1:2", "2001:db8::1": the bits that were given, "::" makes it 128. -1: it is none. */
int scan_groups(struct scan *scan, struct gate25_source *out);

/* "2001:db8:1:2", "2001:db8::/32" */
const char *scan_cidr6(struct scan *scan, struct gate25_source *first, unsigned int *length);

/* Behind an address: is it over, or does a value follow? */
bool scan_address_ends(const struct scan *scan);

/* ":A:TXT", ":A", or TXT; what is missing is taken from `base`. NULL, or why rbldnsd refuses it. */
const char *scan_value(struct scan *scan, const struct zone_value *base, struct zone_value *out);

/* Behind an entry: nothing (and `base` holds), or a value. */
const char *scan_entry_value(struct scan *scan, const struct zone_value *base,
			     struct zone_value *out);

/* ---------------------------------------------------------------- for the types */

static inline __u32 mask4(unsigned int bits)
{
	return bits ? ~0U << (32 - bits) : 0;
}

/* Is this the code that the list is about? */
bool zone_wants(const struct reading *reading, const struct zone_value *value);

/* Tells what the line at hand says of [first, last], while a line is looked for. */
void zone_note(struct reading *reading, const struct gate25_source *first,
	       const struct gate25_source *last, unsigned int rank, const struct zone_value *value);

/* A range that the zone lists, less its test records. */
int zone_keep4(struct reading *reading, __u32 first, __u32 last);

/* ip4set (zone_set.c) */
int set_entry(struct reading *reading, struct scan *scan);
int set_finish(struct reading *reading);

#endif
