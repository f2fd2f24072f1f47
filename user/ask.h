/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What would the guard do with a new connection from this address, and why? Asks the maps in force,
 * with the very headers that the kernel runs. Reads only: no budget is charged, nothing is counted.
 */
#ifndef GATE25_ASK_H
#define GATE25_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/addr.h"
#include "user/config.h"
#include "user/dataplane.h"
#include "user/lists/image.h"
#include "user/lists/wide.h"
#include "user/reason.h"

/* A list that covers the address, whatever its policy is and whichever services it holds for. */
struct answer_list {
	const struct gate25_list_info
		*info;	/* name, weight, allow, observe, action: of the generation */
	bool applies;	/* it holds for the service that was asked about */
	bool has_entry; /* its image is on disk and says the same */
	struct gate25_source first, last; /* the entry, if so; both inclusive */
	char text
		[LIST_LINE_TEXT]; /* what the list says of it; "": nothing, or it was not asked for */
};

/* The entry of the overlay that decided or would have; else the first that covers the address. */
struct answer_overlay {
	bool found;
	enum gate25_slot slot;
	struct prefix prefix;
	__u64 expires_ns; /* as in the map; GATE25_NEVER */
};

struct answer_limit {
	bool set;	      /* there is one for this service */
	bool exempt;	      /* it is not asked: the source is allowed, or stopped before */
	bool observe;	      /* the whole, the service or the limit only observes */
	bool spent;	      /* the next connection is over the limit */
	__u64 left;	      /* connections that would be admitted at once */
	struct prefix shared; /* who shares the budget */
};

struct answer {
	struct gate25_source source; /* as it is judged: IPv4 where it only carries IPv4 */
	unsigned int service;	     /* slot */
	const char *service_name;
	__u8 reason;  /* enum gate25_reason that such a SYN would be counted under, now */
	__u8 verdict; /* enum gate25_verdict */
	__u8 would;   /* 0, or the WOULD_ reason of the first match that is only observed */
	__u16 class;
	bool paused, observed; /* observed: paused, or the whole or the service only observes */
	int score, shadow_score, threshold;
	__u8 class_flags; /* GATE25_CLASS_* of the class for this service */
	struct answer_list lists[GATE25_LISTS];
	size_t lists_count;
	struct answer_overlay overlay;
	struct answer_limit limits[GATE25_SCOPES];
};

/*
 * `paths` says where the images of lists are; if it is a whole configuration, static entries are
 * found too. Both arguments must outlive the asker. -ENOENT: nothing is in force on any interface;
 * -ENODATA: something is, but what is pinned of it is gone (both logged).
 */
struct asker;
int ask_open(const struct config *paths, struct guard *guard, struct asker **out);
void ask_close(struct asker *asker); /* NULL is fine */
/* From now on answers have the texts of entries too, which takes a look through each list. */
void ask_want_texts(struct asker *asker);

/* false: a load would put an older image of this list in force, or none, since this one is not on disk. */
bool ask_list_kept(struct asker *asker, __u32 index);

/* The image of a list of the generation, or its entries; NULL: there is none on disk. The asker's. */
const struct list_image *ask_list_image(struct asker *asker, __u32 index);

/* What of a list's last image, or entries, is too wide for any list (wide.h); NULL: nothing. */
const char *ask_list_wide(struct asker *asker, __u32 index, char text[static WIDE_TEXT]);

/* The generation that is asked. */
const struct gate25_generation *ask_generation(const struct asker *asker);

/* Slot of the service to speak of unless told otherwise: the one with port 25, else the first. */
int ask_service(const struct asker *asker);

/* 0 or -errno (a look-up in the overlay failed). What `out` points to is the asker's. */
int ask_address(struct asker *asker, const struct gate25_source *source, int service_slot,
		struct answer *out);

/*
 * Nothing but reason, verdict, would, class and paused/observed: without lists, entries and
 * budgets' details.
 */
int ask_verdict(struct asker *asker, const struct gate25_source *source, int service_slot,
		struct answer *out);

/* An entry of a list as it may have been written: a prefix where it is one, else a range. */
#define ENTRY_TEXT (2 * PREFIX_TEXT)
const char *entry_format(const struct gate25_source *first, const struct gate25_source *last,
			 char text[static ENTRY_TEXT]);

/* "BLOCKED", "LIMITED", "ALLOWED", "PASS" */
const char *answer_word(const struct answer *answer);

/*
 * What decided, in words: "list uceprotect-1 (weight 1 of 1): 192.0.2.7", "manual block
 * 192.0.2.0/24 until …".
 */
#define ANSWER_TEXT 2048
const char *answer_why(const struct answer *answer, char text[static ANSWER_TEXT]);

/* One line as `gate25 test` prints it, without a newline: "BLOCKED 192.0.2.7 mx: list …". */
const char *answer_line(const struct answer *answer, char text[static ANSWER_TEXT]);

/* The same for machines. NULL: out of memory. */
json_t *answer_json(const struct answer *answer);

#endif
