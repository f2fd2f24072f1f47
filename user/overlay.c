// SPDX-License-Identifier: GPL-2.0-only
/*
 * The overlay map: what the journal says, as the kernel reads it.
 *
 * In: the journal's groups of entries. Out: a key per prefix with a slot a kind, and the words of
 * the control map that go with them. The kernel reads while we write, so the order matters: a
 * length's bit stands before a key of that length is there, and `default: drop` never sees a manual
 * allow before its entry is in the map.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "bpf/verdict.h"
#include "user/journal.h"
#include "user/log.h"

#define NS_PER_S 1000000000ULL
#define BATCH	 2048

/* ---------------------------------------------------------------- keys and times */

struct gate25_overlay_key overlay_key(const struct prefix *prefix)
{
	return (struct gate25_overlay_key){
		.hi = prefix->address.hi,
		.lo = prefix->address.lo,
		.family = prefix->address.family,
		.length = prefix->length,
	};
}

struct prefix overlay_prefix(const struct gate25_overlay_key *key)
{
	return (struct prefix){
		.address = { .hi = key->hi, .lo = key->lo, .family = key->family },
		.length = key->length,
	};
}

/* Wall time and the clock of the maps, at one moment. */
struct clocks {
	__u64 wall_ns, monotonic_ns;
};

static struct clocks clocks_now(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct clocks){
		.wall_ns = (__u64)wall.tv_sec * NS_PER_S + wall.tv_nsec,
		.monotonic_ns = monotonic_ns(),
	};
}

static __u64 to_monotonic(const struct clocks *now, __u64 wall_s)
{
	if (wall_s == GATE25_NEVER || wall_s >= (GATE25_NEVER - now->monotonic_ns) / NS_PER_S)
		return GATE25_NEVER;
	if (wall_s * NS_PER_S <= now->wall_ns)
		return 0;
	return now->monotonic_ns + (wall_s * NS_PER_S - now->wall_ns);
}

__u64 overlay_time_ns(__u64 wall_s)
{
	struct clocks now = clocks_now();

	return to_monotonic(&now, wall_s);
}

__u64 overlay_time_s(__u64 ns)
{
	struct clocks now = clocks_now();

	if (ns == GATE25_NEVER)
		return GATE25_NEVER;
	if (ns <= now.monotonic_ns)
		return (now.wall_ns - (now.monotonic_ns - ns)) / NS_PER_S;
	return (now.wall_ns + (ns - now.monotonic_ns) + NS_PER_S / 2) / NS_PER_S;
}

/* ---------------------------------------------------------------- the map */

static bool entry_live(const struct gate25_overlay_entry *entry, __u64 now_ns)
{
	for (int slot = 0; slot < GATE25_SLOTS; slot++)
		if (entry->slots[slot].expires_ns > now_ns)
			return true;
	return false;
}

int overlay_get(const struct guard *guard, const struct prefix *prefix,
		struct gate25_overlay_entry *out)
{
	struct gate25_overlay_key key = overlay_key(prefix);

	return bpf_map_lookup_elem(guard->overlay_fd, &key, out) ? -errno : 0;
}

static __u64 *length_word(struct gate25_control *control, unsigned int family, unsigned int length)
{
	return family == 4 ? &control->overlay_lengths4 : &control->overlay_lengths6[length / 64];
}

static int overlay_failed(struct guard *guard, int error)
{
	if (error == -E2BIG)
		error = -ENOSPC;
	if (error == -ENOSPC) {
		guard_count_error(guard, GATE25_ERROR_OVERLAY_FULL);
		log_error("the overlay is full: it holds at most %u entries (overlay.max_entries); "
			  "remove entries (gate25 list, gate25 flush) or raise that value and "
			  "gate25 reload",
			  guard->overlay_max);
	} else {
		guard_count_error(guard, GATE25_ERROR_MAP);
		log_error("cannot write to the overlay map: %s", strerror(-error));
	}
	return error;
}

/*
 * An entry without a live slot removes the key. The bits of lengths and of the filter are only set
 * here, never cleared.
 */
static int overlay_write(struct guard *guard, const struct prefix *prefix,
			 const struct gate25_overlay_entry *entry, __u64 now_ns)
{
	struct gate25_overlay_key key = overlay_key(prefix);
	__u64 *word = length_word(guard->control, key.family, key.length);
	__u32 bit;

	if (!entry_live(entry, now_ns)) {
		if (bpf_map_delete_elem(guard->overlay_fd, &key) && errno != ENOENT)
			return -errno;
		return 0;
	}
	bit = overlay_bit(&key);
	__atomic_fetch_or(&guard->filter->words[bit / 64], 1ULL << bit % 64, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(word, 1ULL << (key.length & 63), __ATOMIC_SEQ_CST);
	return bpf_map_update_elem(guard->overlay_fd, &key, entry, BPF_ANY) ? -errno : 0;
}

/*
 * One batch: *count is how many there is room for, and then how many came. -ENOENT: these were the
 * last.
 */
static int batch_read(int fd, bool first, __u32 *cursor, struct gate25_overlay_key *keys,
		      struct gate25_overlay_entry *entries, __u32 *count)
{
	__u32 next = 0;
	int error = 0;

	if (bpf_map_lookup_batch(fd, first ? NULL : cursor, &next, keys, entries, count, NULL))
		error = -errno;
	*cursor = next;
	return error;
}

int overlay_each(const struct guard *guard,
		 int (*each)(const struct gate25_overlay_key *key,
			     const struct gate25_overlay_entry *entry, void *context),
		 void *context)
{
	struct gate25_overlay_key *keys = calloc(BATCH, sizeof(*keys));
	struct gate25_overlay_entry *entries = calloc(BATCH, sizeof(*entries));
	int error = keys && entries ? 0 : -ENOMEM, stop = 0;
	__u32 cursor = 0, count;

	for (bool first = true; !error && !stop; first = false) {
		count = BATCH;
		error = batch_read(guard->overlay_fd, first, &cursor, keys, entries, &count);
		if (error && error != -ENOENT)
			break;
		for (__u32 i = 0; i < count && !stop; i++)
			stop = each(&keys[i], &entries[i], context);
	}
	free(keys);
	free(entries);
	return stop || error == -ENOENT ? stop : error;
}

/* ---------------------------------------------------------------- lengths in use, filter */

struct in_use {
	__u64 bits4, bits6[3];
	size_t keys;
	struct gate25_filter filter;
};

static int in_use_note(const struct gate25_overlay_key *key,
		       const struct gate25_overlay_entry *entry, void *context)
{
	struct in_use *in_use = context;
	__u64 *word = key->family == 4 ? &in_use->bits4 : &in_use->bits6[key->length / 64];
	__u32 bit = overlay_bit(key);

	(void)entry;
	*word |= 1ULL << (key->length & 63);
	in_use->filter.words[bit / 64] |= 1ULL << bit % 64;
	in_use->keys++;
	return 0;
}

/* Clears the bits of lengths and of the filter of which the map holds no key any more. */
static int in_use_settle(struct guard *guard)
{
	struct in_use in_use = { 0 };
	int error = overlay_each(guard, in_use_note, &in_use);

	if (error)
		return error;
	__atomic_store_n(&guard->control->overlay_lengths4, in_use.bits4, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++)
		__atomic_store_n(&guard->control->overlay_lengths6[i], in_use.bits6[i],
				 __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < sizeof(in_use.filter.words) / sizeof(in_use.filter.words[0]); i++)
		__atomic_store_n(&guard->filter->words[i], in_use.filter.words[i],
				 __ATOMIC_SEQ_CST);
	return 0;
}

/* ---------------------------------------------------------------- groups to entries */

static __u8 services_resolve(struct guard *guard, const struct prefix *prefix, const char *names)
{
	char copy[ENTRY_SERVICES], address[PREFIX_TEXT], *rest = copy, *name;
	__u8 mask = 0;

	if (!names[0])
		return 0xff;
	snprintf(copy, sizeof(copy), "%s", names);
	while ((name = strsep(&rest, ",")) != NULL) {
		int slot = guard_service_slot(guard, name, false);

		if (slot >= 0)
			mask |= 1 << slot;
		else
			log_warning(
				"%s (and maybe others) is for service %s, which is not there any "
				"more: it does not count for it",
				prefix_format(prefix, address), name);
	}
	return mask;
}

/*
 * What a walk over groups needs; `round` lets each text of services be resolved, and complained
 * about, once.
 */
struct making {
	struct guard *guard;
	struct clocks now;
	unsigned int round;
};

static struct making making_start(struct guard *guard, const struct journal *journal)
{
	struct journal *own = (struct journal *)journal; /* of which the entries stay as they are */

	return (struct making){ .guard = guard, .now = clocks_now(), .round = ++own->round };
}

static __u8 services_of(const struct making *making, const struct entry *entry)
{
	struct text *text = (struct text *)((char *)entry->services - offsetof(struct text, text));

	if (text->round != making->round) {
		text->round = making->round;
		text->mask = services_resolve(making->guard, &entry->prefix, entry->services);
	}
	return text->mask;
}

static const enum gate25_slot kind_slots[ENTRY_KINDS] = {
	[ENTRY_ALLOW] = GATE25_SLOT_ALLOW,
	[ENTRY_BLOCK] = GATE25_SLOT_BLOCK,
	[ENTRY_FORCED] = GATE25_SLOT_FORCED,
};

/* Over origins: the latest end, the union of services, the last write. */
static void group_make(const struct making *making, const struct group *group,
		       struct gate25_overlay_entry *out)
{
	for (const struct stored *stored = group->entries; stored; stored = stored->next) {
		const struct entry *entry = &stored->entry;
		struct gate25_overlay_slot *slot = &out->slots[kind_slots[entry->kind]];
		__u64 expires_ns = to_monotonic(&making->now, entry->expires_s);
		__u8 services = services_of(making, entry);

		if (!services || expires_ns <= making->now.monotonic_ns)
			continue;
		if (expires_ns > slot->expires_ns)
			slot->expires_ns = expires_ns;
		if (!slot->services || (__s32)((__u32)entry->sequence - slot->sequence) > 0)
			slot->sequence = entry->sequence;
		slot->services |= services;
	}
}

/* The key's next value: what the journal says, and the automatic ban as it is in `before`. */
static struct gate25_overlay_entry group_entry(const struct making *making,
					       const struct group *group,
					       const struct gate25_overlay_entry *before)
{
	struct gate25_overlay_entry entry = { 0 };

	if (before->slots[GATE25_SLOT_AUTO].expires_ns > making->now.monotonic_ns)
		entry.slots[GATE25_SLOT_AUTO] = before->slots[GATE25_SLOT_AUTO];
	group_make(making, group, &entry);
	return entry;
}

/* ---------------------------------------------------------------- when manual allows end */

struct allow_words {
	const struct making *making;
	__u64 until_ns[GATE25_SERVICES];
};

static void allow_note(struct group *group, void *context)
{
	struct allow_words *words = context;
	struct gate25_overlay_entry entry = { 0 };
	const struct gate25_overlay_slot *slot = &entry.slots[GATE25_SLOT_ALLOW];

	if (!group->entries || group->entries->entry.kind != ENTRY_ALLOW)
		return; /* allow entries are the first of a group */
	group_make(words->making, group, &entry);
	for (int service = 0; service < GATE25_SERVICES; service++)
		if ((slot->services & (1 << service)) &&
		    slot->expires_ns > words->until_ns[service])
			words->until_ns[service] = slot->expires_ns;
}

/* Lowers the words that are to fall (before an allow entry goes), or sets all (after it came). */
static void allow_words_store(struct guard *guard, const struct allow_words *words, bool only_lower)
{
	for (int service = 0; service < GATE25_SERVICES; service++) {
		__u64 *word = &guard->control->manual_allow_until_ns[service];
		__u64 until_ns = words->until_ns[service];

		if (!only_lower || until_ns < __atomic_load_n(word, __ATOMIC_RELAXED))
			__atomic_store_n(word, until_ns, __ATOMIC_SEQ_CST);
	}
}

/* ---------------------------------------------------------------- a commit */

int overlay_fits(struct guard *guard, struct journal *journal)
{
	struct gate25_overlay_entry entry;
	struct in_use in_use = { 0 };
	size_t fresh = 0;
	int error;

	for (size_t i = 0; guard && i < journal->touched_count; i++)
		if (journal->touched[i]->entries &&
		    overlay_get(guard, &journal->touched[i]->prefix, &entry) == -ENOENT)
			fresh++;
	if (!fresh)
		return 0;
	error = overlay_each(guard, in_use_note, &in_use);
	if (!error && in_use.keys + fresh > guard->overlay_max) {
		overlay_collect(guard);
		in_use = (struct in_use){ 0 };
		error = overlay_each(guard, in_use_note, &in_use);
	}
	if (!error && in_use.keys + fresh > guard->overlay_max)
		error = -ENOSPC;
	return error ? overlay_failed(guard, error) : 0;
}

static bool touches_allow(const struct journal *journal, const struct gate25_overlay_entry *before)
{
	for (size_t i = 0; i < journal->touched_count; i++) {
		const struct stored *first = journal->touched[i]->entries;

		if (before[i].slots[GATE25_SLOT_ALLOW].expires_ns ||
		    (first && first->entry.kind == ENTRY_ALLOW))
			return true;
	}
	return false;
}

/* Writes all touched keys. On failure those that were written get their former value back. */
static int touched_write(struct guard *guard, const struct journal *journal,
			 const struct making *making, const struct gate25_overlay_entry *before)
{
	__u64 now_ns = making->now.monotonic_ns;
	size_t i;
	int error = 0;

	for (i = 0; i < journal->touched_count; i++) {
		const struct group *group = journal->touched[i];
		struct gate25_overlay_entry entry = group_entry(making, group, &before[i]);

		error = overlay_write(guard, &group->prefix, &entry, now_ns);
		if (error)
			break;
	}
	if (!error)
		return 0;
	while (i--)
		overlay_write(guard, &journal->touched[i]->prefix, &before[i], now_ns);
	return overlay_failed(guard, error);
}

static bool removes_keys(const struct journal *journal, const struct making *making,
			 const struct gate25_overlay_entry *before)
{
	for (size_t i = 0; i < journal->touched_count; i++) {
		struct gate25_overlay_entry entry =
			group_entry(making, journal->touched[i], &before[i]);

		if (!entry_live(&entry, making->now.monotonic_ns))
			return true;
	}
	return false;
}

int overlay_apply(struct guard *guard, struct journal *journal)
{
	struct gate25_overlay_entry *before;
	struct allow_words words = { 0 };
	struct making making;
	bool allow;
	int error;

	if (!guard || !journal->touched_count)
		return 0;
	making = making_start(guard, journal);
	before = calloc(journal->touched_count, sizeof(*before));
	if (!before)
		return -ENOMEM;
	for (size_t i = 0; i < journal->touched_count; i++)
		overlay_get(guard, &journal->touched[i]->prefix, &before[i]);
	words.making = &making;
	allow = touches_allow(journal, before);
	if (allow) {
		journal_each(journal, allow_note, &words);
		allow_words_store(guard, &words, true);
	}
	error = touched_write(guard, journal, &making, before);
	if (!error && allow)
		allow_words_store(guard, &words, false);
	/* A bit too many costs a look-up; it is no failure of what was asked for. */
	if (!error && removes_keys(journal, &making, before) && in_use_settle(guard))
		log_debug("the words about lengths were not put right");
	free(before);
	return error;
}

/* ---------------------------------------------------------------- the whole */

struct found_keys {
	struct prefix *at;
	size_t count, room;
};

static int keys_note(const struct gate25_overlay_key *key, const struct gate25_overlay_entry *entry,
		     void *context)
{
	struct found_keys *keys = context;

	(void)entry;
	if (keys->count == keys->room) {
		size_t room = keys->room ? 2 * keys->room : 1024;
		struct prefix *more = realloc(keys->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		keys->at = more;
		keys->room = room;
	}
	keys->at[keys->count++] = overlay_prefix(key);
	return 0;
}

/* Keys of which the journal says nothing: only a ban may stay. */
static int strangers_remove(struct guard *guard, const struct journal *journal,
			    const struct making *making, const struct found_keys *keys)
{
	struct group nothing = { .entries = NULL };
	int error = 0;

	for (size_t i = 0; !error && i < keys->count; i++) {
		struct gate25_overlay_entry before, entry;
		const struct group *known = journal_group(journal, &keys->at[i]);

		if ((known && known->entries) || overlay_get(guard, &keys->at[i], &before))
			continue;
		entry = group_entry(making, &nothing, &before);
		error = overlay_write(guard, &keys->at[i], &entry, making->now.monotonic_ns);
	}
	return error;
}

struct filling {
	const struct making *making;
	bool allows; /* this pass is for groups with an allow entry, or for the others */
	int error;
};

static void group_fill(struct group *group, void *context)
{
	struct filling *filling = context;
	struct gate25_overlay_entry before = { 0 }, entry;

	if (filling->error || !group->entries ||
	    (group->entries->entry.kind == ENTRY_ALLOW) != filling->allows)
		return;
	overlay_get(filling->making->guard, &group->prefix, &before);
	entry = group_entry(filling->making, group, &before);
	filling->error = overlay_write(filling->making->guard, &group->prefix, &entry,
				       filling->making->now.monotonic_ns);
}

/* Allow entries first: should the map be too small, it is no good sender that is left outside. */
static int groups_fill(const struct journal *journal, const struct making *making)
{
	struct filling filling = { .making = making, .allows = true };

	journal_each(journal, group_fill, &filling);
	filling.allows = false;
	journal_each(journal, group_fill, &filling);
	return filling.error;
}

int overlay_sync(struct guard *guard, const struct journal *journal)
{
	struct making making = making_start(guard, journal);
	struct allow_words words = { .making = &making };
	struct found_keys keys = { 0 };
	int error;

	error = overlay_each(guard, keys_note, &keys);
	journal_each(journal, allow_note, &words);
	if (!error) {
		allow_words_store(guard, &words, true);
		error = strangers_remove(guard, journal, &making, &keys);
	}
	if (!error)
		error = groups_fill(journal, &making);
	if (!error || error == -E2BIG)
		allow_words_store(guard, &words, false);
	if (!error)
		error = in_use_settle(guard);
	free(keys.at);
	if (error)
		return overlay_failed(guard, error);
	if (!journal->looking)
		journal_set_applied(journal);
	return 0;
}

int overlay_collect(struct guard *guard)
{
	struct found_keys keys = { 0 };
	__u64 now_ns = monotonic_ns();
	int error = overlay_each(guard, keys_note, &keys);

	for (size_t i = 0; !error && i < keys.count; i++) {
		struct gate25_overlay_entry entry;

		if (!overlay_get(guard, &keys.at[i], &entry) && !entry_live(&entry, now_ns))
			error = overlay_write(guard, &keys.at[i], &entry, now_ns);
	}
	free(keys.at);
	if (!error)
		error = in_use_settle(guard);
	return error ? overlay_failed(guard, error) : 0;
}

/* ---------------------------------------------------------------- single slots */

static int slot_clear(struct guard *guard, const struct prefix *prefix, enum gate25_slot slot)
{
	struct gate25_overlay_entry entry;
	__u64 now_ns = monotonic_ns();
	bool live;
	int error = overlay_get(guard, prefix, &entry);

	if (error)
		return error;
	live = entry.slots[slot].expires_ns > now_ns;
	memset(&entry.slots[slot], 0, sizeof(entry.slots[slot]));
	error = overlay_write(guard, prefix, &entry, now_ns);
	return error || live ? error : -ENOENT;
}

int overlay_clear_slots(struct guard *guard, const struct prefix *prefixes, size_t count,
			enum gate25_slot slot)
{
	int error = 0, cleared = 0;

	for (size_t i = 0; !error && i < count; i++) {
		error = slot_clear(guard, &prefixes[i], slot);
		if (!error)
			cleared++;
		else if (error == -ENOENT)
			error = 0;
	}
	if (!error && cleared)
		error = in_use_settle(guard);
	return error ? overlay_failed(guard, error) : cleared;
}

int overlay_clear_slot(struct guard *guard, const struct prefix *prefix, enum gate25_slot slot)
{
	int cleared = overlay_clear_slots(guard, prefix, 1, slot);

	if (cleared < 0)
		return cleared;
	return cleared ? 0 : -ENOENT;
}
