// SPDX-License-Identifier: GPL-2.0-only
/*
 * The overlay map and the control map's words, made from the journal: on real maps, in a mount
 * namespace of its own with a private bpffs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bpf/verdict.h"
#include "user/journal.h"
#include "user/log.h"

#define ENTRIES	 64 /* of the overlay, where a test says nothing else */
#define ALL	 0xff
#define NS_PER_S 1000000000ULL

/* ---------------------------------------------------------------- the stage */

static char stage[] = "/tmp/gate25-overlay-XXXXXX";
static char bpffs[64], pin_dir[96], state_dir[64];

/* All that is mounted and pinned in there ends with this process. */
static int stage_setup(void **state)
{
	(void)state;
	if (!mkdtemp(stage) || unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("stage", stage, "tmpfs", 0, "size=64m"))
		return -1;
	snprintf(bpffs, sizeof(bpffs), "%s/bpf", stage);
	snprintf(pin_dir, sizeof(pin_dir), "%s/gate25", bpffs);
	snprintf(state_dir, sizeof(state_dir), "%s/state", stage);
	return mkdir(bpffs, 0700) || mkdir(state_dir, 0700);
}

static int stage_teardown(void **state)
{
	(void)state;
	umount2(stage, MNT_DETACH);
	return rmdir(stage);
}

static struct guard *guard_of(unsigned int entries)
{
	struct config config = { .sources_mb = 1, .overlay_entries = entries };
	struct guard *guard = NULL;

	config.pin_dir = pin_dir;
	assert_int_equal(guard_create(&config, &guard), 0);
	return guard;
}

static int maps_setup(void **state)
{
	(void)state;
	return mount("bpf", bpffs, "bpf", 0, NULL) ||
	       mount("state", state_dir, "tmpfs", 0, "size=64m");
}

static int maps_teardown(void **state)
{
	(void)state;
	umount2(bpffs, MNT_DETACH);
	return umount2(state_dir, MNT_DETACH);
}

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;
	const char *why = "";

	if (prefix_parse(text, NULL, 0, &prefix, &why))
		fail_msg("%s: %s", text, why);
	return prefix;
}

static struct journal *opened(struct guard *guard)
{
	struct journal *journal = NULL;

	assert_int_equal(journal_open(state_dir, guard, &journal), 0);
	return journal;
}

/* `for_s` 0: for ever. */
static void put(struct journal *journal, const char *prefix, enum entry_kind kind,
		const char *origin, const char *services, int for_s)
{
	struct entry entry = {
		.prefix = prefix_of(prefix),
		.kind = kind,
		.origin = origin,
		.reason = "",
		.services = services,
		.expires_s = for_s ? (__u64)time(NULL) + for_s : GATE25_NEVER,
	};

	assert_int_equal(journal_put(journal, &entry), 0);
}

static void del(struct journal *journal, const char *prefix, enum entry_kind kind,
		const char *origin)
{
	struct prefix parsed = prefix_of(prefix);

	assert_int_equal(journal_del(journal, &parsed, kind, origin), 0);
}

static struct gate25_overlay_entry in_map(const struct guard *guard, const char *text)
{
	struct gate25_overlay_entry entry = { 0 };
	struct prefix prefix = prefix_of(text);
	int error = overlay_get(guard, &prefix, &entry);

	assert_true(error == 0 || error == -ENOENT);
	return entry;
}

static bool is_in_map(const struct guard *guard, const char *text)
{
	struct gate25_overlay_entry entry;
	struct prefix prefix = prefix_of(text);

	return overlay_get(guard, &prefix, &entry) == 0;
}

static int count_one(const struct gate25_overlay_key *key, const struct gate25_overlay_entry *entry,
		     void *context)
{
	(void)key, (void)entry;
	++*(size_t *)context;
	return 0;
}

static size_t keys_in(const struct guard *guard)
{
	size_t count = 0;

	assert_int_equal(overlay_each(guard, count_one, &count), 0);
	return count;
}

static void ban(struct guard *guard, const char *text, int for_s)
{
	struct gate25_overlay_entry entry = in_map(guard, text);
	struct prefix prefix = prefix_of(text);
	struct gate25_overlay_key key = overlay_key(&prefix);

	entry.slots[GATE25_SLOT_AUTO] = (struct gate25_overlay_slot){
		.expires_ns = monotonic_ns() + for_s * NS_PER_S,
		.services = 1,
	};
	assert_int_equal(bpf_map_update_elem(guard->overlay_fd, &key, &entry, BPF_ANY), 0);
	guard->filter->words[overlay_bit(&key) / 64] |= 1ULL << overlay_bit(&key) % 64;
	if (key.family == 4)
		guard->control->overlay_lengths4 |= 1ULL << key.length;
	else
		guard->control->overlay_lengths6[key.length / 64] |= 1ULL << (key.length & 63);
}

/* In seconds from now, to the nearest; 0: over or never there; -1: for ever. */
static int left_of(const struct gate25_overlay_slot *slot)
{
	__u64 now_ns = monotonic_ns();

	if (slot->expires_ns == GATE25_NEVER)
		return -1;
	if (slot->expires_ns <= now_ns)
		return 0;
	return (slot->expires_ns - now_ns + NS_PER_S / 2) / NS_PER_S;
}

/* Wall time in whole seconds makes what is left up to a second less. */
static void left_is(const char *name, const struct gate25_overlay_slot *slot, int want_s)
{
	int left = left_of(slot);

	if (want_s <= 0 ? left != want_s : left < want_s - 1 || left > want_s)
		fail_msg("%s: %d s are left, not %d", name, left, want_s);
}

/* ---------------------------------------------------------------- entries to slots */

struct step {
	bool put;
	enum entry_kind kind;
	const char *origin, *services;
	int for_s;
};

static const struct {
	const char *name;
	struct step steps[4];
	enum gate25_slot slot;
	int left_s;
	__u8 services;
} slot_cases[] = {
	{ "block", { { 1, ENTRY_BLOCK, "manual", "", 100 } }, GATE25_SLOT_BLOCK, 100, ALL },
	{ "allow for ever", { { 1, ENTRY_ALLOW, "manual", "", 0 } }, GATE25_SLOT_ALLOW, -1, ALL },
	{ "forced", { { 1, ENTRY_FORCED, "manual", "", 50 } }, GATE25_SLOT_FORCED, 50, ALL },
	{ "other slots stay empty",
	  { { 1, ENTRY_FORCED, "manual", "", 50 } },
	  GATE25_SLOT_BLOCK,
	  0,
	  0 },
	{ "refreshed to less",
	  { { 1, ENTRY_BLOCK, "manual", "", 100 }, { 1, ENTRY_BLOCK, "manual", "", 30 } },
	  GATE25_SLOT_BLOCK,
	  30,
	  ALL },
	{ "the latest end over origins",
	  { { 1, ENTRY_BLOCK, "manual", "mx", 200 }, { 1, ENTRY_BLOCK, "cron", "mx", 100 } },
	  GATE25_SLOT_BLOCK,
	  200,
	  1 },
	{ "the union of services",
	  { { 1, ENTRY_BLOCK, "manual", "mx", 200 },
	    { 1, ENTRY_BLOCK, "cron", "submission", 100 } },
	  GATE25_SLOT_BLOCK,
	  200,
	  3 },
	{ "one origin less",
	  { { 1, ENTRY_BLOCK, "manual", "mx", 200 },
	    { 1, ENTRY_BLOCK, "cron", "submission", 100 },
	    { 0, ENTRY_BLOCK, "manual", "", 0 } },
	  GATE25_SLOT_BLOCK,
	  100,
	  2 },
	{ "a service that is gone",
	  { { 1, ENTRY_BLOCK, "manual", "mx,gone", 100 } },
	  GATE25_SLOT_BLOCK,
	  100,
	  1 },
	{ "only services that are gone",
	  { { 1, ENTRY_BLOCK, "manual", "gone,away", 100 } },
	  GATE25_SLOT_BLOCK,
	  0,
	  0 },
};

static void test_slots(void **state)
{
	struct guard *guard = guard_of(ENTRIES);

	(void)state;
	assert_int_equal(guard_service_slot(guard, "mx", true), 0);
	assert_int_equal(guard_service_slot(guard, "submission", true), 1);
	for (size_t i = 0; i < sizeof(slot_cases) / sizeof(slot_cases[0]); i++) {
		struct gate25_overlay_entry entry;
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "2001:db8:%zx::/48", i);
		for (size_t s = 0; s < 4 && slot_cases[i].steps[s].origin; s++) {
			const struct step *step = &slot_cases[i].steps[s];
			struct journal *journal = opened(guard);

			if (step->put)
				put(journal, prefix, step->kind, step->origin, step->services,
				    step->for_s);
			else
				del(journal, prefix, step->kind, step->origin);
			assert_int_equal(journal_commit(journal), 0);
			journal_close(journal);
		}
		entry = in_map(guard, prefix);
		left_is(slot_cases[i].name, &entry.slots[slot_cases[i].slot], slot_cases[i].left_s);
		if (entry.slots[slot_cases[i].slot].services != slot_cases[i].services)
			fail_msg("%s: services %x", slot_cases[i].name,
				 entry.slots[slot_cases[i].slot].services);
	}
	assert_false(is_in_map(guard, "2001:db8:9::/48"));
	guard_close(guard);
}

static void test_the_later_has_the_higher_sequence(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct gate25_overlay_entry entry;

	(void)state;
	for (int round = 0; round < 4; round++) {
		struct journal *journal = opened(guard);
		bool allow = round % 2;

		put(journal, "192.0.2.7", allow ? ENTRY_ALLOW : ENTRY_FORCED, "manual", "", 0);
		assert_int_equal(journal_commit(journal), 0);
		journal_close(journal);
		entry = in_map(guard, "192.0.2.7");
		assert_int_equal(entry.slots[GATE25_SLOT_ALLOW].sequence >
					 entry.slots[GATE25_SLOT_FORCED].sequence,
				 allow);
	}
	guard_close(guard);
}

static void test_times(void **state)
{
	__u64 now_s = time(NULL), now_ns = monotonic_ns();

	(void)state;
	assert_true(overlay_time_ns(GATE25_NEVER) == GATE25_NEVER);
	assert_true(overlay_time_ns(now_s - 10) == 0);
	assert_true(overlay_time_ns(1ULL << 40) == GATE25_NEVER);
	assert_in_range(overlay_time_ns(now_s + 100), now_ns + 98 * NS_PER_S,
			now_ns + 101 * NS_PER_S);
	assert_true(overlay_time_s(GATE25_NEVER) == GATE25_NEVER);
	for (int i = 1; i < 1000; i += 100)
		assert_true(overlay_time_s(overlay_time_ns(now_s + i + 1)) == now_s + i + 1);
	assert_in_range(overlay_time_s(monotonic_ns() - 5 * NS_PER_S), now_s - 6, now_s - 4);
}

/* ---------------------------------------------------------------- words of the control map */

static size_t bits_in_filter(const struct guard *guard)
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(guard->filter->words) / sizeof(guard->filter->words[0]); i++)
		count += __builtin_popcountll(guard->filter->words[i]);
	return count;
}

static void test_lengths(void **state)
{
	static const struct {
		const char *prefix;
		int word; /* 4, or 60 and up */
		unsigned int bit;
	} cases[] = {
		{ "0.0.0.0/0", 4, 0 },	      { "10.0.0.0/8", 4, 8 },
		{ "192.0.2.7", 4, 32 },	      { "::/0", 60, 0 },
		{ "2001:db8::/63", 60, 63 },  { "2001:db8::/64", 61, 0 },
		{ "2001:db8::/127", 61, 63 }, { "2001:db8::1", 62, 0 },
	};
	const size_t count = sizeof(cases) / sizeof(cases[0]);
	struct guard *guard = guard_of(ENTRIES);
	const __u64 *lengths6 = guard->control->overlay_lengths6;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const __u64 *word = cases[i].word == 4 ? &guard->control->overlay_lengths4 :
							 &lengths6[cases[i].word - 60];
		struct journal *journal = opened(guard);

		assert_false(*word >> cases[i].bit & 1);
		put(journal, cases[i].prefix, ENTRY_BLOCK, "manual", "", 0);
		assert_int_equal(journal_commit(journal), 0);
		if (!(*word >> cases[i].bit & 1))
			fail_msg("%s: its length is not said", cases[i].prefix);
		if (bits_in_filter(guard) != i + 1)
			fail_msg("%s: the filter does not have it", cases[i].prefix);
		journal_close(journal);
	}
	for (size_t i = 0; i < count; i++) {
		struct journal *journal = opened(guard);

		del(journal, cases[i].prefix, ENTRY_BLOCK, "manual");
		assert_int_equal(journal_commit(journal), 0);
		journal_close(journal);
	}
	assert_true(guard->control->overlay_lengths4 == 0);
	assert_true(lengths6[0] == 0 && lengths6[1] == 0 && lengths6[2] == 0);
	assert_int_equal(keys_in(guard), 0);
	assert_int_equal(bits_in_filter(guard), 0);
	guard_close(guard);
}

static void test_a_length_stays_while_a_key_is_left(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);

	(void)state;
	ban(guard, "198.51.100.9", 100);
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 0);
	put(journal, "192.0.2.8", ENTRY_BLOCK, "manual", "", 0);
	assert_int_equal(journal_commit(journal), 0);
	del(journal, "192.0.2.7", ENTRY_BLOCK, "manual");
	assert_int_equal(journal_commit(journal), 0);
	assert_true(guard->control->overlay_lengths4 == 1ULL << 32);
	del(journal, "192.0.2.8", ENTRY_BLOCK, "manual");
	assert_int_equal(journal_commit(journal), 0);
	assert_true(guard->control->overlay_lengths4 == 1ULL << 32);
	journal_close(journal);
	guard_close(guard);
}

static void test_manual_allow_until(void **state)
{
	static const struct {
		const char *name;
		bool put;
		const char *prefix, *services;
		int for_s, mx_s, submission_s;
	} steps[] = {
		{ "for all", true, "192.0.2.0/24", "", 100, 100, 100 },
		{ "longer, for one", true, "192.0.2.7", "mx", 300, 300, 100 },
		{ "shorter", true, "192.0.2.8", "mx,submission", 50, 300, 100 },
		{ "the longest goes", false, "192.0.2.7", "", 0, 100, 100 },
		{ "the next goes", false, "192.0.2.0/24", "", 0, 50, 50 },
		{ "the last goes", false, "192.0.2.8", "", 0, 0, 0 },
	};
	struct guard *guard = guard_of(ENTRIES);
	const __u64 *words = guard->control->manual_allow_until_ns;

	(void)state;
	assert_int_equal(guard_service_slot(guard, "mx", true), 0);
	assert_int_equal(guard_service_slot(guard, "submission", true), 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct journal *journal = opened(guard);
		struct gate25_overlay_slot mx = { 0 }, submission = { 0 };

		if (steps[i].put)
			put(journal, steps[i].prefix, ENTRY_ALLOW, "manual", steps[i].services,
			    steps[i].for_s);
		else
			del(journal, steps[i].prefix, ENTRY_ALLOW, "manual");
		put(journal, "203.0.113.1", ENTRY_FORCED, "manual", "", 1000);
		assert_int_equal(journal_commit(journal), 0);
		journal_close(journal);
		mx.expires_ns = words[0];
		submission.expires_ns = words[1];
		left_is(steps[i].name, &mx, steps[i].mx_s);
		left_is(steps[i].name, &submission, steps[i].submission_s);
	}
	guard_close(guard);
}

/* ---------------------------------------------------------------- all or nothing */

static void put_many(struct journal *journal, unsigned int from, unsigned int count, int for_s)
{
	for (unsigned int i = from; i < from + count; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		put(journal, prefix, ENTRY_BLOCK, "manual", "", for_s);
	}
}

static void test_a_full_map(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);
	size_t size;

	(void)state;
	put_many(journal, 0, ENTRIES - 2, 0);
	assert_int_equal(journal_commit(journal), 0);
	size = journal->size;
	put_many(journal, 1000, 3, 0);
	put(journal, "10.0.0.1", ENTRY_FORCED, "manual", "", 0);
	assert_int_equal(journal_commit(journal), -ENOSPC);
	assert_int_equal(journal->size, size);
	journal_close(journal);
	assert_int_equal(guard->agent_errors[GATE25_ERROR_OVERLAY_FULL], 1);
	assert_int_equal(keys_in(guard), ENTRIES - 2);
	assert_true(in_map(guard, "10.0.0.1").slots[GATE25_SLOT_FORCED].expires_ns == 0);

	journal = opened(guard);
	assert_int_equal(journal_count(journal), ENTRIES - 2);
	put_many(journal, 1000, 2, 0); /* what fits exactly */
	assert_int_equal(journal_commit(journal), 0);
	put_many(journal, 1000, 2, 100); /* and a refresh needs no room */
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_int_equal(keys_in(guard), ENTRIES);
	guard_close(guard);
}

static void test_what_is_over_makes_room(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);

	(void)state;
	put_many(journal, 0, ENTRIES, 1);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_int_equal(keys_in(guard), ENTRIES);
	usleep(1100000);
	journal = opened(guard);
	put_many(journal, 1000, ENTRIES, 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_int_equal(keys_in(guard), ENTRIES);
	assert_true(is_in_map(guard, "10.0.3.232"));
	guard_close(guard);
}

/* The check beforehand left out, as if somebody else had filled the map meanwhile. */
static void test_half_a_batch_is_taken_back(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);

	(void)state;
	put(journal, "10.0.0.7", ENTRY_BLOCK, "manual", "", 100);
	assert_int_equal(journal_commit(journal), 0);
	put_many(journal, 0, ENTRIES + 1, 0);
	assert_int_equal(overlay_apply(guard, journal), -ENOSPC);
	journal_close(journal);
	assert_int_equal(keys_in(guard), 1);
	left_is("as before",
		&(struct gate25_overlay_slot){
			in_map(guard, "10.0.0.7").slots[GATE25_SLOT_BLOCK].expires_ns,
			0,
			0,
			{ 0 } },
		100);
	guard_close(guard);
}

static void test_a_full_disk(void **state)
{
	struct guard *guard = guard_of(8192);
	struct journal *journal;
	size_t before;

	(void)state;
	assert_int_equal(mount("state", state_dir, "tmpfs", 0, "size=64k"), 0);
	journal = opened(guard);
	put_many(journal, 0, 10, 0);
	assert_int_equal(journal_commit(journal), 0);
	before = journal->size;
	put_many(journal, 0, 2000, 100);
	put(journal, "192.0.2.1", ENTRY_ALLOW, "manual", "", 0);
	assert_int_equal(journal_commit(journal), -ENOSPC);
	assert_int_equal(journal->size, before);
	journal_close(journal);
	assert_int_equal(keys_in(guard), 10);
	assert_true(guard->control->manual_allow_until_ns[0] == 0);
	assert_true(in_map(guard, "10.0.0.1").slots[GATE25_SLOT_BLOCK].expires_ns == GATE25_NEVER);
	assert_int_equal(guard->agent_errors[GATE25_ERROR_JOURNAL], 1);

	journal = opened(guard);
	assert_int_equal(journal_count(journal), 10);
	put_many(journal, 100, 10, 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_int_equal(keys_in(guard), 20);
	umount2(state_dir, MNT_DETACH);
	guard_close(guard);
}

/* ---------------------------------------------------------------- sync, bans, collect */

/* Written while nothing was loaded, or by a process that died between file and map. */
static void test_catching_up(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);

	(void)state;
	put_many(journal, 0, 3, 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);

	journal = opened(NULL);
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 0);
	del(journal, "10.0.0.1", ENTRY_BLOCK, "manual");
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_false(is_in_map(guard, "192.0.2.7"));

	journal = opened(guard);
	assert_true(is_in_map(guard, "192.0.2.7"));
	assert_false(is_in_map(guard, "10.0.0.1"));
	assert_int_equal(keys_in(guard), 3);
	assert_true(journal_applied(journal));
	journal_close(journal);
	guard_close(guard);
}

static void test_sync(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct gate25_overlay_key key = { .lo = 0x01020304, .family = 4, .length = 32 };
	struct gate25_overlay_entry stranger = { 0 };
	struct journal *journal = opened(guard);

	(void)state;
	stranger.slots[GATE25_SLOT_BLOCK] =
		(struct gate25_overlay_slot){ .expires_ns = GATE25_NEVER, .services = ALL };
	assert_int_equal(bpf_map_update_elem(guard->overlay_fd, &key, &stranger, BPF_ANY), 0);
	ban(guard, "1.2.3.4", 100);
	ban(guard, "2001:db8:5::/64", 100);
	put(journal, "192.0.2.0/24", ENTRY_ALLOW, "manual", "", 500);
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 300);
	assert_int_equal(journal_commit(journal), 0);
	memset(guard->control, 0, sizeof(*guard->control));
	for (int round = 0; round < 2; round++) {
		assert_int_equal(overlay_sync(guard, journal), 0);
		assert_int_equal(keys_in(guard), 4);
		stranger = in_map(guard, "1.2.3.4");
		assert_true(stranger.slots[GATE25_SLOT_BLOCK].expires_ns == 0);
		left_is("the ban stays", &stranger.slots[GATE25_SLOT_AUTO], 100);
		assert_true(guard->control->overlay_lengths4 == (1ULL << 32 | 1ULL << 24));
		assert_true(guard->control->overlay_lengths6[1] == 1);
		left_is("allow",
			&(struct gate25_overlay_slot){
				guard->control->manual_allow_until_ns[3], 0, 0, { 0 } },
			500);
	}
	journal_close(journal);
	guard_close(guard);
}

static void test_sync_into_a_small_map(void **state)
{
	struct guard *guard = guard_of(4);
	struct journal *journal = opened(NULL);

	(void)state;
	put_many(journal, 0, 10, 0);
	put(journal, "198.51.100.0/24", ENTRY_ALLOW, "manual", "", 0);
	put(journal, "2001:db8::/32", ENTRY_ALLOW, "manual", "", 0);
	assert_int_equal(journal_commit(journal), 0);
	assert_int_equal(overlay_sync(guard, journal), -ENOSPC);
	assert_true(is_in_map(guard, "198.51.100.0/24"));
	assert_true(is_in_map(guard, "2001:db8::/32"));
	assert_true(guard->control->manual_allow_until_ns[0] == GATE25_NEVER);
	assert_int_equal(keys_in(guard), 4);
	journal_close(journal);

	/* An operator can still remove what is too much. */
	journal = opened(guard);
	for (int i = 0; i < 8; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.0.0.%d", i);
		del(journal, prefix, ENTRY_BLOCK, "manual");
	}
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	journal_close(opened(guard));
	assert_true(is_in_map(guard, "10.0.0.8") && is_in_map(guard, "10.0.0.9"));
	assert_int_equal(keys_in(guard), 4);
	guard_close(guard);
}

static void test_bans_are_left_alone(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);
	struct prefix prefix = prefix_of("192.0.2.7");
	struct gate25_overlay_entry entry;

	(void)state;
	ban(guard, "192.0.2.7", 100);
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 50);
	assert_int_equal(journal_commit(journal), 0);
	entry = in_map(guard, "192.0.2.7");
	left_is("beside a block", &entry.slots[GATE25_SLOT_AUTO], 100);
	del(journal, "192.0.2.7", ENTRY_BLOCK, "manual");
	assert_int_equal(journal_commit(journal), 0);
	entry = in_map(guard, "192.0.2.7");
	left_is("after the block", &entry.slots[GATE25_SLOT_AUTO], 100);
	left_is("the block", &entry.slots[GATE25_SLOT_BLOCK], 0);
	assert_int_equal(overlay_clear_slot(guard, &prefix, GATE25_SLOT_AUTO), 0);
	assert_int_equal(overlay_clear_slot(guard, &prefix, GATE25_SLOT_AUTO), -ENOENT);
	assert_false(is_in_map(guard, "192.0.2.7"));
	assert_true(guard->control->overlay_lengths4 == 0);
	journal_close(journal);
	guard_close(guard);
}

static void test_clear_many(void **state)
{
	static const char *const banned[] = { "192.0.2.0/24", "192.0.2.9", "2001:db8::/64" };
	static const char *const others[] = { "192.0.0.0/16", "192.0.2.10", "2001:db8:1::/64" };
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);
	struct prefix prefixes[4];

	(void)state;
	put(journal, "192.0.2.9", ENTRY_BLOCK, "manual", "", 0);
	put(journal, "192.0.2.10", ENTRY_BLOCK, "manual", "", 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	for (int i = 0; i < 3; i++) {
		ban(guard, banned[i], 100);
		ban(guard, others[i], 100);
		prefixes[i] = prefix_of(banned[i]);
	}
	prefixes[3] = prefix_of("203.0.113.1"); /* which is not there */
	assert_int_equal(overlay_clear_slots(guard, prefixes, 4, GATE25_SLOT_AUTO), 3);
	assert_int_equal(overlay_clear_slots(guard, prefixes, 4, GATE25_SLOT_AUTO), 0);
	for (int i = 0; i < 3; i++) {
		assert_true(in_map(guard, banned[i]).slots[GATE25_SLOT_AUTO].expires_ns == 0);
		assert_true(in_map(guard, others[i]).slots[GATE25_SLOT_AUTO].expires_ns != 0);
	}
	assert_int_equal(keys_in(guard), 4);
	assert_true(guard->control->overlay_lengths4 == (1ULL << 32 | 1ULL << 16));
	guard_close(guard);
}

static void test_collect(void **state)
{
	struct guard *guard = guard_of(ENTRIES);
	struct journal *journal = opened(guard);

	(void)state;
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 1);
	put(journal, "192.0.2.8", ENTRY_BLOCK, "manual", "", 1);
	put(journal, "2001:db8::/32", ENTRY_BLOCK, "manual", "", 1);
	put(journal, "198.51.100.0/24", ENTRY_BLOCK, "manual", "", 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	ban(guard, "192.0.2.8", 100);
	assert_int_equal(overlay_collect(guard), 0);
	assert_int_equal(keys_in(guard), 4);
	usleep(1100000);
	assert_int_equal(overlay_collect(guard), 0);
	assert_int_equal(keys_in(guard), 2);
	assert_true(is_in_map(guard, "192.0.2.8") && is_in_map(guard, "198.51.100.0/24"));
	assert_true(guard->control->overlay_lengths4 == (1ULL << 32 | 1ULL << 24));
	assert_true(guard->control->overlay_lengths6[0] == 0);
	guard_close(guard);
}

struct seen {
	unsigned char keys[20000];
	size_t count, stop_at;
};

static int see(const struct gate25_overlay_key *key, const struct gate25_overlay_entry *entry,
	       void *context)
{
	struct seen *seen = context;

	assert_true(entry->slots[GATE25_SLOT_BLOCK].expires_ns == GATE25_NEVER);
	seen->keys[key->lo & 0xffffff]++;
	return ++seen->count == seen->stop_at ? 25 : 0;
}

static void test_a_walk_sees_each_key_once_and_stops(void **state)
{
	struct guard *guard = guard_of(20000);
	struct journal *journal = opened(guard);
	struct seen *seen = calloc(1, sizeof(*seen));

	(void)state;
	put_many(journal, 0, 20000, 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	assert_int_equal(overlay_each(guard, see, seen), 0);
	assert_int_equal(seen->count, 20000);
	for (size_t i = 0; i < 20000; i++)
		assert_int_equal(seen->keys[i], 1);
	seen->count = 0;
	seen->stop_at = 5000;
	assert_int_equal(overlay_each(guard, see, seen), 25);
	assert_int_equal(seen->count, 5000);
	free(seen);
	guard_close(guard);
}

static void test_a_hundred_thousand(void **state)
{
	struct guard *guard = guard_of(131072);
	struct journal *journal = opened(guard);
	__u64 start_ns = monotonic_ns(), batch_ns, one_ns;

	(void)state;
	put_many(journal, 0, 100000, 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	batch_ns = monotonic_ns() - start_ns;
	assert_int_equal(keys_in(guard), 100000);
	start_ns = monotonic_ns();
	journal = opened(guard);
	put(journal, "192.0.2.7", ENTRY_BLOCK, "manual", "", 0);
	assert_int_equal(journal_commit(journal), 0);
	del(journal, "192.0.2.7", ENTRY_BLOCK, "manual");
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	one_ns = monotonic_ns() - start_ns;
	print_message("# 100,000 entries: %.2f s; one more and back: %.3f s\n", batch_ns / 1e9,
		      one_ns / 1e9);
	assert_true(batch_ns < 4 * NS_PER_S);
	guard_close(guard);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, maps_setup, maps_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_slots),
		STAGED(test_the_later_has_the_higher_sequence),
		cmocka_unit_test(test_times),
		STAGED(test_lengths),
		STAGED(test_a_length_stays_while_a_key_is_left),
		STAGED(test_manual_allow_until),
		STAGED(test_a_full_map),
		STAGED(test_what_is_over_makes_room),
		STAGED(test_half_a_batch_is_taken_back),
		STAGED(test_a_full_disk),
		STAGED(test_catching_up),
		STAGED(test_sync),
		STAGED(test_sync_into_a_small_map),
		STAGED(test_bans_are_left_alone),
		STAGED(test_clear_many),
		STAGED(test_collect),
		STAGED(test_a_walk_sees_each_key_once_and_stops),
		STAGED(test_a_hundred_thousand),
	};

	log_init("test_overlay", LOG_EMERG);
	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
