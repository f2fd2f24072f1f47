/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files behind overlay.h share: journal.c (entries in memory), journal_file.c (on disk),
 * overlay.c (in the kernel). Nobody else includes this, but for the tests.
 */
#ifndef GATE25_JOURNAL_H
#define GATE25_JOURNAL_H

#include <stddef.h>
#include <sys/types.h>

#include "user/overlay.h"

/*
 * A text that entries share. `round` and `mask` are overlay.c's: services by slot, as last
 * resolved.
 */
struct text {
	unsigned int round;
	__u8 mask;
	char text[];
};

struct stored {
	struct entry entry;
	struct stored *next;
};

/* All entries of one prefix, by kind, then origin. */
struct group {
	struct prefix prefix; /* first: the tree compares groups by it */
	struct stored *entries;
	bool touched; /* by what is staged */
};

struct bytes {
	unsigned char *at;
	size_t count, room;
};

struct journal {
	char *path, *directory;
	int fd;	      /* -1: there is no file yet, or it was only looked at */
	bool looking; /* journal_read() */
	bool sealed; /* the file system is read-only: nothing can be committed but to the overlay */
	bool anyway; /* the overlay is changed even if the file cannot be */
	struct guard *guard;
	void *groups;	     /* tsearch(3), by prefix */
	void *texts;	     /* tsearch(3), by text */
	size_t count;	     /* of entries */
	size_t live_bytes;   /* of their records */
	__u64 sequence;	     /* of the last write */
	size_t size;	     /* of the file, up to the last good record */
	struct bytes staged; /* the payload of the record to come */
	struct group **touched;
	size_t touched_count, touched_room;
	const struct entry **sorted; /* NULL: to be made */
	unsigned int round;
};

/* ---- journal.c */

/* Calls `each` for all groups, in order. */
void journal_each(const struct journal *journal, void (*each)(struct group *group, void *context),
		  void *context);
/* NULL: nothing was ever said of that prefix. A group may have no entries. */
struct group *journal_group(const struct journal *journal, const struct prefix *prefix);
/* What is in memory; nothing is staged. */
int journal_set(struct journal *journal, const struct entry *entry);
int journal_unset(struct journal *journal, const struct prefix *prefix, enum entry_kind kind,
		  const char *origin);
/* Drops what is over at `now_s`. */
int journal_expire(struct journal *journal, __u64 now_s);

/* ---- journal_file.c */

/*
 * One change, as it stands in a record. `put` false: only prefix, kind and origin count. 0 or
 * -ENOMEM, -EFBIG.
 */
int change_encode(struct bytes *out, const struct entry *entry, bool put);
size_t change_bytes(const struct entry *entry);
/* Reads the file into memory, and puts it right unless the journal is only looked at. */
int journal_load(struct journal *journal);
/* Appends what is staged and makes it last. On failure the file is as before. */
int journal_append(struct journal *journal);
/* Takes the last record back: the file ends at `size` again. */
void journal_take_back(struct journal *journal, size_t size);
/* A fresh file with all entries, in the place of the old one. */
int journal_rewrite(struct journal *journal);
/* Is more than half of the file of no use any more? */
bool journal_wasteful(const struct journal *journal);
/* Has the overlay seen all that is in the file? And: it has now. */
bool journal_applied(const struct journal *journal);
void journal_set_applied(const struct journal *journal);

/* ---- overlay.c */

/* Will what is staged fit into the map? -ENOSPC, logged and counted. */
int overlay_fits(struct guard *guard, struct journal *journal);
/* The touched groups into the map; all or nothing. */
int overlay_apply(struct guard *guard, struct journal *journal);

#endif
