/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Manual entries: the journal on disk, and the overlay map that the kernel reads.
 *
 * The journal (state_dir/entries.journal) holds every entry with its origin, reason, services by name and end
 * in wall time; it is the truth. The overlay is made from it: per prefix one slot a kind, with the latest end over
 * its origins and the union of their services. A batch is one record with a checksum: after a crash it
 * is there whole or not at all. Compaction writes a new file and renames it.
 * Callers hold the guard's lock from opening the journal until they have committed.
 */
#ifndef GATE25_OVERLAY_H
#define GATE25_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/addr.h"
#include "user/dataplane.h"

enum entry_kind { ENTRY_ALLOW, ENTRY_BLOCK, ENTRY_FORCED };

struct entry {
	struct prefix prefix;
	enum entry_kind kind;
	char origin[GATE25_NAME]; /* "manual" when typed by a person */
	char reason[160];	  /* UTF-8, no control characters; may be empty */
	char services[GATE25_SERVICES * GATE25_NAME]; /* names, comma separated; "" is all */
	__u64 added_s, expires_s; /* seconds since 1970; expires_s GATE25_NEVER */
	__u64 sequence;		  /* the journal's; rises with each write */
};

struct journal;
/* A torn last record is cut off (and counted, logged); damage before it puts the file aside as ".damaged". */
int journal_open(const char *state_dir, struct guard *guard, struct journal **out);
void journal_close(struct journal *journal); /* what was not committed is gone */

/* Stages a change. put: same prefix, kind and origin replaces (refresh). del: -ENOENT if absent. */
int journal_put(struct journal *journal, const struct entry *entry);
int journal_del(struct journal *journal, const struct prefix *prefix, enum entry_kind kind,
		const char *origin);
/* All that was staged: one record, fsync; then the overlay (if guard is not NULL). All or nothing. */
int journal_commit(struct journal *journal);

/* The entries with what is staged, sorted by prefix_compare; expired ones are not among them. */
size_t journal_count(const struct journal *journal);
const struct entry *journal_at(const struct journal *journal, size_t index);
const struct entry *journal_find(const struct journal *journal, const struct prefix *prefix,
				 enum entry_kind kind, const char *origin); /* origin NULL: any */

/*
 * Makes the overlay say what the journal says (at load, at boot, after clocks drifted apart, after service slots
 * changed); slots of automatic bans are left alone.
 */
int overlay_sync(struct guard *guard, const struct journal *journal);

/* Removes keys all of whose slots are over; puts the control map's words about lengths right. */
int overlay_collect(struct guard *guard);

/* Walks the map itself (for metrics, `list`): every key with its slots. */
int overlay_each(const struct guard *guard,
		 int (*each)(const struct gate25_overlay_key *key,
			     const struct gate25_overlay_entry *entry, void *context),
		 void *context);

/* Drops one slot of a key (an automatic ban, say); the key goes with its last live slot. */
int overlay_clear_slot(struct guard *guard, const struct prefix *prefix, enum gate25_slot slot);

#endif
