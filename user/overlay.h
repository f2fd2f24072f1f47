/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Manual entries: the journal on disk, and the overlay map that the kernel reads.
 *
 * The journal (state_dir/entries.journal) holds every entry with its origin, reason, services by
 * name and end in wall time; it is the truth. The overlay is made from it: per prefix one slot a
 * kind, with the latest end over its origins and the union of their services. A batch is one record
 * with a checksum: after a crash it is there whole or not at all. Compaction writes a new file and
 * renames it. Callers hold the guard's lock from opening the journal until they have committed.
 */
#ifndef GATE25_OVERLAY_H
#define GATE25_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/addr.h"
#include "user/dataplane.h"

#define ENTRY_ORIGIN   GATE25_NAME /* bytes with the final 0 */
#define ENTRY_REASON   160
#define ENTRY_SERVICES (GATE25_SERVICES * GATE25_NAME)

enum entry_kind { ENTRY_ALLOW, ENTRY_BLOCK, ENTRY_FORCED, ENTRY_KINDS };

/* The texts of an entry that the journal gives out are the journal's. */
struct entry {
	struct prefix prefix;
	enum entry_kind kind;
	const char *origin;	  /* "manual" when typed by a person */
	const char *reason;	  /* UTF-8, no control characters; may be empty */
	const char *services;	  /* names, comma separated; "" is all */
	__u64 added_s, expires_s; /* seconds since 1970; expires_s GATE25_NEVER */
	__u64 sequence;		  /* the journal's; rises with each write */
};

struct journal;
/*
 * A missing file is an empty journal. A last record that was not written whole is cut off; what is
 * damaged is put aside as "entries.journal.damaged" and the entries before the damage are kept;
 * both are logged and counted. -EPROTO: of another version. Each failure is logged. With a guard
 * the overlay first catches up with what a killed process left undone. journal_read() only looks:
 * it needs no lock, writes nothing and cannot be staged to.
 */
int journal_open(const char *state_dir, struct guard *guard, struct journal **out);
int journal_read(const char *state_dir, struct journal **out);
void journal_close(struct journal *journal); /* what was not committed is gone; NULL is fine */

/*
 * Stages a change; texts are copied. put: same prefix, kind and origin replaces (refresh); -EINVAL
 * for a text that is too long. del: -ENOENT if absent; its arguments may be the journal's own.
 */
int journal_put(struct journal *journal, const struct entry *entry);
int journal_del(struct journal *journal, const struct prefix *prefix, enum entry_kind kind,
		const char *origin);
/*
 * All that was staged: one record, fsync; then the overlay (if guard is not NULL). All or nothing:
 * on a failure, which is logged and counted, file and overlay are as before, and only
 * journal_close() may follow.
 */
int journal_commit(struct journal *journal);
/*
 * Likewise, for what lets somebody in: when only the file cannot be written, which is logged and counted, the
 * overlay is changed all the same. *unkept is then why (-errno), and 0 is returned: it holds until the overlay is
 * made from the journal again. The journal may be used further.
 */
int journal_commit_anyway(struct journal *journal, int *unkept);

/*
 * The entries with what is staged, sorted by prefix_compare, then kind, then origin; expired ones
 * are not among them. What was returned is good until the next put or del.
 */
size_t journal_count(const struct journal *journal);
const struct entry *journal_at(const struct journal *journal, size_t index);
const struct entry *journal_find(const struct journal *journal, const struct prefix *prefix,
				 enum entry_kind kind, const char *origin); /* origin NULL: any */

/*
 * Makes the overlay say what the journal says (at load, at boot, after clocks drifted apart, after
 * service slots changed); slots of automatic bans are left alone. -ENOSPC: the map is too small; it
 * then holds all allow entries that fit, and of the others as many as fit.
 */
int overlay_sync(struct guard *guard, const struct journal *journal);

/* Removes keys all of whose slots are over; puts the control map's words about lengths right. */
int overlay_collect(struct guard *guard);

/*
 * Walks the map itself (for metrics, `list`): every key with its slots. Stops at non-zero and
 * returns it.
 */
int overlay_each(const struct guard *guard,
		 int (*each)(const struct gate25_overlay_key *key,
			     const struct gate25_overlay_entry *entry, void *context),
		 void *context);

/* What the map holds for exactly this prefix. -ENOENT. */
int overlay_get(const struct guard *guard, const struct prefix *prefix,
		struct gate25_overlay_entry *out);

/*
 * Drops one slot of a key (an automatic ban, say); the key goes with its last live slot. -ENOENT:
 * there was no live one. overlay_clear_slots(): of many keys; returns how many were live, or
 * -errno.
 */
int overlay_clear_slot(struct guard *guard, const struct prefix *prefix, enum gate25_slot slot);
int overlay_clear_slots(struct guard *guard, const struct prefix *prefixes, size_t count,
			enum gate25_slot slot);

struct gate25_overlay_key overlay_key(const struct prefix *prefix);
struct prefix overlay_prefix(const struct gate25_overlay_key *key);

/*
 * Between wall time and the clock of the maps; GATE25_NEVER stays. What is over becomes a time that
 * is over.
 */
__u64 overlay_time_ns(__u64 wall_s);
__u64 overlay_time_s(__u64 monotonic_ns);

#endif
