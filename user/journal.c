// SPDX-License-Identifier: GPL-2.0-only
/*
 * Manual entries in memory: a tree of prefixes, each with its entries, and the changes that are
 * staged.
 *
 * In: what journal_file.c reads, and what commands stage. Out: the entries in order, and, by
 * journal_commit(), one record in the file and the overlay brought up to date.
 */
#include "user/journal.h"

#include <errno.h>
#define entry hsearch_entry /* search.h has a struct of that name, for a table that we do not use */
#include <search.h>
#undef entry
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/log.h"

/* ---------------------------------------------------------------- texts */

static int text_compare(const void *a, const void *b)
{
	return strcmp(((const struct text *)a)->text, ((const struct text *)b)->text);
}

/* The journal's own copy: most entries of a batch share their texts. */
static const char *text_keep(struct journal *journal, const char *from)
{
	size_t length = strlen(from);
	struct text *text = calloc(1, sizeof(*text) + length + 1);
	struct text **found;

	if (!text)
		return NULL;
	memcpy(text->text, from, length + 1);
	found = tsearch(text, &journal->texts, text_compare);
	if (!found || *found != text)
		free(text);
	return found ? (*found)->text : NULL;
}

/* ---------------------------------------------------------------- groups */

struct group *journal_group(const struct journal *journal, const struct prefix *prefix)
{
	struct group **found = tfind(prefix, &journal->groups, prefix_compare);

	return found ? *found : NULL;
}

static struct group *group_take(struct journal *journal, const struct prefix *prefix)
{
	struct group *group = journal_group(journal, prefix);

	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->prefix = *prefix;
	if (tsearch(group, &journal->groups, prefix_compare))
		return group;
	free(group);
	return NULL;
}

static void group_free(void *at)
{
	struct group *group = at;

	while (group->entries) {
		struct stored *next = group->entries->next;

		free(group->entries);
		group->entries = next;
	}
	free(group);
}

struct walk {
	void (*each)(struct group *group, void *context);
	void *context;
};

static void walk_step(const void *node, VISIT which, void *context)
{
	struct walk *walk = context;

	if (which == postorder || which == leaf)
		walk->each(*(struct group *const *)node, walk->context);
}

void journal_each(const struct journal *journal, void (*each)(struct group *group, void *context),
		  void *context)
{
	struct walk walk = { each, context };

	twalk_r(journal->groups, walk_step, &walk);
}

/* ---------------------------------------------------------------- entries */

static int entry_order(const struct entry *entry, enum entry_kind kind, const char *origin)
{
	if (entry->kind != kind)
		return entry->kind < kind ? -1 : 1;
	return strcmp(entry->origin, origin);
}

/* Where the entry stands in its group, or would stand. */
static struct stored **entry_place(struct group *group, enum entry_kind kind, const char *origin)
{
	struct stored **place = &group->entries;

	while (*place && entry_order(&(*place)->entry, kind, origin) < 0)
		place = &(*place)->next;
	return place;
}

static bool entry_is(const struct stored *stored, enum entry_kind kind, const char *origin)
{
	return stored && entry_order(&stored->entry, kind, origin) == 0;
}

static void sorted_forget(struct journal *journal)
{
	free(journal->sorted);
	journal->sorted = NULL;
}

int journal_set(struct journal *journal, const struct entry *entry)
{
	struct group *group = group_take(journal, &entry->prefix);
	const char *origin = text_keep(journal, entry->origin);
	const char *reason = text_keep(journal, entry->reason);
	const char *services = text_keep(journal, entry->services);
	struct stored **place, *stored;

	if (!group || !origin || !reason || !services)
		return -ENOMEM;
	place = entry_place(group, entry->kind, origin);
	stored = *place;
	if (entry_is(stored, entry->kind, origin)) {
		journal->live_bytes -= change_bytes(&stored->entry);
	} else {
		stored = calloc(1, sizeof(*stored));
		if (!stored)
			return -ENOMEM;
		stored->next = *place;
		*place = stored;
		journal->count++;
		sorted_forget(journal);
	}
	stored->entry = *entry;
	stored->entry.origin = origin;
	stored->entry.reason = reason;
	stored->entry.services = services;
	journal->live_bytes += change_bytes(&stored->entry);
	return 0;
}

static void entry_remove(struct journal *journal, struct stored **place)
{
	struct stored *stored = *place;

	*place = stored->next;
	journal->live_bytes -= change_bytes(&stored->entry);
	journal->count--;
	free(stored);
	sorted_forget(journal);
}

int journal_unset(struct journal *journal, const struct prefix *prefix, enum entry_kind kind,
		  const char *origin)
{
	struct group *group = journal_group(journal, prefix);
	struct stored **place;

	if (!group)
		return -ENOENT;
	place = entry_place(group, kind, origin);
	if (!entry_is(*place, kind, origin))
		return -ENOENT;
	entry_remove(journal, place);
	return 0;
}

/* ---------------------------------------------------------------- the end of entries */

struct expiry {
	struct journal *journal;
	__u64 now_s;
	struct group **empty;
	size_t count;
};

static void group_expire(struct group *group, void *context)
{
	struct expiry *expiry = context;
	struct stored **place = &group->entries;

	while (*place) {
		if ((*place)->entry.expires_s <= expiry->now_s)
			entry_remove(expiry->journal, place);
		else
			place = &(*place)->next;
	}
	if (!group->entries)
		expiry->empty[expiry->count++] = group;
}

static void group_count(struct group *group, void *context)
{
	(void)group;
	++*(size_t *)context;
}

static void group_drop(struct journal *journal, struct group *group)
{
	tdelete(group, &journal->groups, prefix_compare);
	group_free(group);
}

int journal_expire(struct journal *journal, __u64 now_s)
{
	struct expiry expiry = { .journal = journal, .now_s = now_s };
	size_t groups = 0;

	journal_each(journal, group_count, &groups);
	if (!groups)
		return 0;
	expiry.empty = calloc(groups, sizeof(struct group *));
	if (!expiry.empty)
		return -ENOMEM;
	journal_each(journal, group_expire, &expiry);
	while (expiry.count)
		group_drop(journal, expiry.empty[--expiry.count]);
	free(expiry.empty);
	return 0;
}

/* ---------------------------------------------------------------- open, close */

static int journal_new(const char *state_dir, struct guard *guard, bool looking,
		       struct journal **out)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int error;

	if (!journal)
		return -ENOMEM;
	journal->fd = -1;
	journal->guard = guard;
	journal->looking = looking;
	journal->directory = strdup(state_dir);
	if (!journal->directory || asprintf(&journal->path, "%s/entries.journal", state_dir) < 0) {
		journal->path = NULL;
		error = -ENOMEM;
	} else {
		error = journal_load(journal);
	}
	if (!error)
		error = journal_expire(journal, time(NULL));
	if (error)
		journal_close(journal);
	else
		*out = journal;
	return error;
}

int journal_open(const char *state_dir, struct guard *guard, struct journal **out)
{
	struct journal *journal = NULL;
	int error = journal_new(state_dir, guard, false, &journal);

	if (error) {
		guard_count_error(guard, GATE25_ERROR_JOURNAL);
		return error;
	}
	/* What does not fit is said there; it must not keep an operator from removing entries. */
	if (guard && !journal_applied(journal))
		overlay_sync(guard, journal);
	*out = journal;
	return 0;
}

int journal_read(const char *state_dir, struct journal **out)
{
	return journal_new(state_dir, NULL, true, out);
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	if (journal->fd >= 0)
		close(journal->fd);
	tdestroy(journal->groups, group_free);
	tdestroy(journal->texts, free);
	free(journal->sorted);
	free(journal->touched);
	free(journal->staged.at);
	free(journal->path);
	free(journal->directory);
	free(journal);
}

/* ---------------------------------------------------------------- changes */

static int group_touch(struct journal *journal, struct group *group)
{
	if (group->touched)
		return 0;
	if (journal->touched_count == journal->touched_room) {
		size_t room = journal->touched_room ? 2 * journal->touched_room : 16;
		struct group **more = realloc(journal->touched, room * sizeof(struct group *));

		if (!more)
			return -ENOMEM;
		journal->touched = more;
		journal->touched_room = room;
	}
	journal->touched[journal->touched_count++] = group;
	group->touched = true;
	return 0;
}

static bool entry_fits(const struct entry *entry)
{
	return strlen(entry->origin) < ENTRY_ORIGIN && entry->origin[0] &&
	       strlen(entry->reason) < ENTRY_REASON && strlen(entry->services) < ENTRY_SERVICES;
}

int journal_put(struct journal *journal, const struct entry *entry)
{
	struct entry change = *entry;
	struct group *group;
	int error;

	if (journal->looking || !entry_fits(entry))
		return -EINVAL;
	group = group_take(journal, &entry->prefix);
	if (!group)
		return -ENOMEM;
	change.sequence = journal->sequence + 1;
	error = group_touch(journal, group);
	if (!error)
		error = change_encode(&journal->staged, &change, true);
	if (!error)
		error = journal_set(journal, &change);
	if (!error)
		journal->sequence = change.sequence;
	return error;
}

int journal_del(struct journal *journal, const struct prefix *prefix, enum entry_kind kind,
		const char *origin)
{
	struct entry change = {
		.prefix = *prefix,
		.kind = kind,
		.origin = origin,
		.reason = "",
		.services = "",
	};
	struct group *group = journal_group(journal, prefix);
	struct stored **place;
	int error;

	if (journal->looking)
		return -EINVAL;
	if (!group)
		return -ENOENT;
	place = entry_place(group, kind, origin);
	if (!entry_is(*place, kind, origin))
		return -ENOENT;
	error = group_touch(journal, group);
	if (!error)
		error = change_encode(&journal->staged, &change, false);
	if (!error)
		entry_remove(journal, place);
	return error;
}

/* What was staged is what holds now. */
static void journal_settle(struct journal *journal)
{
	for (size_t i = 0; i < journal->touched_count; i++) {
		struct group *group = journal->touched[i];

		group->touched = false;
		if (!group->entries)
			group_drop(journal, group);
	}
	journal->touched_count = 0;
	journal->staged.count = 0;
}

/* `unkept` NULL: what cannot be kept is not to be done either. */
static int commit(struct journal *journal, int *unkept)
{
	size_t size = journal->size;
	bool in_step = journal_applied(journal);
	int error, lost;

	if (journal->looking)
		return -EINVAL;
	if (!journal->staged.count)
		return 0;
	error = overlay_fits(journal->guard, journal);
	if (error)
		return error;
	lost = journal_append(journal);
	if (lost)
		guard_count_error(journal->guard, GATE25_ERROR_JOURNAL);
	if (lost && !(unkept && journal->guard))
		return lost;
	error = overlay_apply(journal->guard, journal);
	if (error) {
		if (!lost)
			journal_take_back(journal, size);
		return error;
	}
	if (lost)
		*unkept = lost;
	else if (journal->guard && in_step)
		journal_set_applied(journal);
	journal_settle(journal);
	if (lost)
		return 0;
	/* The change is in the file and in force: a compaction that fails is for another time. */
	if (journal_wasteful(journal) && journal_rewrite(journal))
		guard_count_error(journal->guard, GATE25_ERROR_JOURNAL);
	return 0;
}

int journal_commit(struct journal *journal)
{
	return commit(journal, NULL);
}

int journal_commit_anyway(struct journal *journal, int *unkept)
{
	int error;

	*unkept = 0;
	journal->anyway = journal->guard != NULL;
	error = commit(journal, unkept);
	journal->anyway = false;
	return error;
}

/* ---------------------------------------------------------------- reading */

struct listing {
	const struct entry **at;
	size_t count;
};

static void group_list(struct group *group, void *context)
{
	struct listing *listing = context;

	for (const struct stored *stored = group->entries; stored; stored = stored->next)
		listing->at[listing->count++] = &stored->entry;
}

size_t journal_count(const struct journal *journal)
{
	return journal->count;
}

const struct entry *journal_at(const struct journal *journal, size_t index)
{
	struct journal *own = (struct journal *)journal; /* the order is only remembered */
	struct listing listing = { 0 };

	if (index >= journal->count)
		return NULL;
	if (!journal->sorted) {
		listing.at = calloc(journal->count, sizeof(const struct entry *));
		if (!listing.at)
			return NULL;
		journal_each(journal, group_list, &listing);
		own->sorted = listing.at;
	}
	return journal->sorted[index];
}

const struct entry *journal_find(const struct journal *journal, const struct prefix *prefix,
				 enum entry_kind kind, const char *origin)
{
	const struct group *group = journal_group(journal, prefix);
	const struct stored *stored = group ? group->entries : NULL;

	while (stored && (stored->entry.kind != kind ||
			  (origin && strcmp(stored->entry.origin, origin) != 0)))
		stored = stored->next;
	return stored ? &stored->entry : NULL;
}
