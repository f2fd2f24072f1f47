// SPDX-License-Identifier: GPL-2.0-only
/*
 * The journal of manual entries: what is told to be written is there after any crash, whole, once.
 *
 * Works on files in a directory of its own; no guard, no root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/common/scratch.h"
#include "user/journal.h"
#include "user/log.h"

#define FUTURE 4102444800ULL /* 2100-01-01 */

/* ---------------------------------------------------------------- the stage */

struct stage {
	char directory[64], journal[96], damaged[128];
};

static int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	snprintf(stage->directory, sizeof(stage->directory), "/tmp/gate25-journal-XXXXXX");
	*state = stage;
	if (!mkdtemp(stage->directory))
		return -1;
	snprintf(stage->journal, sizeof(stage->journal), "%s/entries.journal", stage->directory);
	snprintf(stage->damaged, sizeof(stage->damaged), "%s.damaged", stage->journal);
	return 0;
}

static int stage_teardown(void **state)
{
	struct stage *stage = *state;

	scratch_remove(stage->directory);
	free(stage);
	return 0;
}

struct content {
	unsigned char *bytes;
	size_t count;
};

static struct content content_read(const char *path)
{
	struct content content = { 0 };
	struct stat status;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	content.bytes = malloc(status.st_size + 1);
	content.count = status.st_size;
	assert_int_equal(read(fd, content.bytes, content.count), content.count);
	close(fd);
	return content;
}

static void content_write(const char *path, const unsigned char *bytes, size_t count)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	close(fd);
}

/* Prefix number n: some of either family, no two alike. */
static struct prefix prefix_of(unsigned int n)
{
	struct prefix prefix = { .length = 32 };

	prefix.address.family = 4;
	prefix.address.lo = 0x0a000000U + n;
	if (n % 3 == 2) {
		prefix.address.family = 6;
		prefix.address.hi = 0x20010db800000000ULL + n;
		prefix.address.lo = 0;
		prefix.length = 64;
	}
	return prefix;
}

static void put(struct journal *journal, unsigned int n, const char *origin, __u64 expires_s)
{
	struct entry entry = {
		.prefix = prefix_of(n),
		.kind = ENTRY_BLOCK,
		.origin = origin,
		.reason = "said so",
		.services = "mx,submission",
		.added_s = 1000 + n,
		.expires_s = expires_s,
	};

	assert_int_equal(journal_put(journal, &entry), 0);
}

static struct journal *opened(const struct stage *stage)
{
	struct journal *journal = NULL;

	assert_int_equal(journal_open(stage->directory, NULL, &journal), 0);
	return journal;
}

static bool holds(const struct journal *journal, unsigned int n, const char *origin)
{
	struct prefix prefix = prefix_of(n);

	return journal_find(journal, &prefix, ENTRY_BLOCK, origin) != NULL;
}

/* `records` commits of `each` entries, numbered from 0. */
static void fill(const struct stage *stage, unsigned int records, unsigned int each)
{
	struct journal *journal = opened(stage);

	for (unsigned int record = 0; record < records; record++) {
		for (unsigned int i = 0; i < each; i++)
			put(journal, record * each + i, "manual", FUTURE);
		assert_int_equal(journal_commit(journal), 0);
	}
	journal_close(journal);
}

/* Where each record of the file ends; the last is the file's size. Returns how many there are. */
static size_t record_ends(const struct content *file, size_t *ends, size_t room)
{
	size_t at = 16, count = 0;

	while (at < file->count) {
		__u32 length;

		memcpy(&length, file->bytes + at + 4, sizeof(length));
		at += 16 + length;
		assert_true(count < room && at <= file->count);
		ends[count++] = at;
	}
	return count;
}

/* ---------------------------------------------------------------- entries */

static void test_what_was_committed_is_there(void **state)
{
	struct journal *journal = opened(*state);
	struct prefix prefix = prefix_of(2);
	const struct entry *entry;

	assert_int_equal(journal_count(journal), 0);
	for (unsigned int n = 0; n < 10; n++)
		put(journal, n, "manual", FUTURE + n);
	put(journal, 2, "fail2ban", GATE25_NEVER);
	assert_int_equal(journal_count(journal), 11);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);

	journal = opened(*state);
	assert_int_equal(journal_count(journal), 11);
	for (size_t i = 1; i < 11; i++)
		assert_true(prefix_compare(&journal_at(journal, i - 1)->prefix,
					   &journal_at(journal, i)->prefix) <= 0);
	assert_null(journal_at(journal, 11));
	entry = journal_find(journal, &prefix, ENTRY_BLOCK, "manual");
	assert_non_null(entry);
	assert_true(prefix_equal(&entry->prefix, &prefix));
	assert_string_equal(entry->origin, "manual");
	assert_string_equal(entry->reason, "said so");
	assert_string_equal(entry->services, "mx,submission");
	assert_int_equal(entry->added_s, 1002);
	assert_int_equal(entry->expires_s, FUTURE + 2);
	entry = journal_find(journal, &prefix, ENTRY_BLOCK, "fail2ban");
	assert_true(entry->expires_s == GATE25_NEVER);
	assert_null(journal_find(journal, &prefix, ENTRY_ALLOW, NULL));
	assert_non_null(journal_find(journal, &prefix, ENTRY_BLOCK, NULL));
	journal_close(journal);
}

static void test_put_again_refreshes(void **state)
{
	struct prefix prefix = prefix_of(1);
	__u64 sequence = 0;

	for (unsigned int round = 1; round <= 3; round++) {
		struct journal *journal = opened(*state);

		put(journal, 1, "manual", FUTURE + round);
		assert_int_equal(journal_commit(journal), 0);
		journal_close(journal);
		journal = opened(*state);
		assert_int_equal(journal_count(journal), 1);
		assert_int_equal(journal_at(journal, 0)->expires_s, FUTURE + round);
		assert_true(journal_at(journal, 0)->sequence > sequence);
		sequence = journal_find(journal, &prefix, ENTRY_BLOCK, NULL)->sequence;
		journal_close(journal);
	}
}

static void test_del_removes_one_origin(void **state)
{
	struct journal *journal = opened(*state);
	struct prefix prefix = prefix_of(7), other = prefix_of(8);

	put(journal, 7, "manual", FUTURE);
	put(journal, 7, "fail2ban", FUTURE);
	assert_int_equal(journal_commit(journal), 0);
	assert_int_equal(journal_del(journal, &other, ENTRY_BLOCK, "manual"), -ENOENT);
	assert_int_equal(journal_del(journal, &prefix, ENTRY_FORCED, "manual"), -ENOENT);
	assert_int_equal(journal_del(journal, &prefix, ENTRY_BLOCK, "cron"), -ENOENT);
	assert_int_equal(journal_del(journal, &prefix, ENTRY_BLOCK, "manual"), 0);
	assert_int_equal(journal_del(journal, &prefix, ENTRY_BLOCK, "manual"), -ENOENT);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);

	journal = opened(*state);
	assert_int_equal(journal_count(journal), 1);
	assert_true(holds(journal, 7, "fail2ban"));
	assert_int_equal(journal_del(journal, &journal_at(journal, 0)->prefix, ENTRY_BLOCK,
				     journal_at(journal, 0)->origin),
			 0);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);

	journal = opened(*state);
	assert_int_equal(journal_count(journal), 0);
	journal_close(journal);
}

static void test_what_was_not_committed_is_gone(void **state)
{
	struct journal *journal;
	struct prefix prefix = prefix_of(0);

	fill(*state, 1, 1);
	journal = opened(*state);
	put(journal, 1, "manual", FUTURE);
	assert_int_equal(journal_del(journal, &prefix, ENTRY_BLOCK, "manual"), 0);
	journal_close(journal);
	journal = opened(*state);
	assert_int_equal(journal_count(journal), 1);
	assert_true(holds(journal, 0, "manual"));
	journal_close(journal);
}

static void test_what_is_over_is_not_listed(void **state)
{
	struct journal *journal = opened(*state);

	put(journal, 0, "manual", 1000);
	put(journal, 1, "manual", FUTURE);
	put(journal, 3, "manual", time(NULL));
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	journal = opened(*state);
	assert_int_equal(journal_count(journal), 1);
	assert_true(holds(journal, 1, NULL));
	journal_close(journal);
}

static void test_texts_have_bounds(void **state)
{
	static const struct {
		const char *name;
		size_t origin, reason, services;
		int want;
	} cases[] = {
		{ "longest", ENTRY_ORIGIN - 1, ENTRY_REASON - 1, ENTRY_SERVICES - 1, 0 },
		{ "no origin", 0, 1, 0, -EINVAL },
		{ "origin", ENTRY_ORIGIN, 0, 0, -EINVAL },
		{ "reason", 1, ENTRY_REASON, 0, -EINVAL },
		{ "services", 1, 0, ENTRY_SERVICES, -EINVAL },
	};
	struct journal *journal = opened(*state);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[3][ENTRY_SERVICES + 1] = { { 0 } };
		struct entry entry = {
			.prefix = prefix_of(1),
			.kind = ENTRY_ALLOW,
			.expires_s = FUTURE,
			.origin = text[0],
			.reason = text[1],
			.services = text[2],
		};

		memset(text[0], 'o', cases[i].origin);
		memset(text[1], 'r', cases[i].reason);
		memset(text[2], 's', cases[i].services);
		if (journal_put(journal, &entry) != cases[i].want)
			fail_msg("%s", cases[i].name);
	}
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
	journal = opened(*state);
	assert_int_equal(journal_count(journal), 1);
	assert_int_equal(strlen(journal_at(journal, 0)->services), ENTRY_SERVICES - 1);
	journal_close(journal);
}

/*
 * ---------------------------------------------------------------- files that were cut or damaged
 */

#define RECORDS 4
#define EACH	3

static void test_cut_at_every_byte(void **state)
{
	struct stage *stage = *state;
	size_t ends[RECORDS] = { 0 }, whole = 0;
	struct content file;

	fill(stage, RECORDS, EACH);
	file = content_read(stage->journal);
	assert_int_equal(record_ends(&file, ends, RECORDS), RECORDS);
	for (size_t cut = 0; cut < file.count; cut++) {
		struct journal *journal;
		struct stat status;

		content_write(stage->journal, file.bytes, cut);
		if (cut == ends[whole])
			whole++;
		journal = opened(stage);
		if (journal_count(journal) != whole * EACH)
			fail_msg("cut at %zu: %zu entries, not %zu", cut, journal_count(journal),
				 whole * EACH);
		assert_int_equal(stat(stage->journal, &status), 0);
		assert_int_equal(status.st_size, whole ? ends[whole - 1] : 16);
		put(journal, 1000, "manual", FUTURE);
		assert_int_equal(journal_commit(journal), 0);
		journal_close(journal);
		journal = opened(stage);
		assert_int_equal(journal_count(journal), whole * EACH + 1);
		assert_true(holds(journal, 1000, "manual"));
		journal_close(journal);
	}
	assert_int_equal(access(stage->damaged, F_OK), -1);
	free(file.bytes);
}

/* A machine that lost power: the file has its length, but its end was never written. */
static void test_zeros_at_the_end(void **state)
{
	struct stage *stage = *state;
	struct content file;
	size_t ends[2] = { 0 };

	fill(stage, 2, EACH);
	file = content_read(stage->journal);
	record_ends(&file, ends, 2);
	memset(file.bytes + ends[0], 0, file.count - ends[0]);
	content_write(stage->journal, file.bytes, file.count);
	for (int round = 0; round < 2; round++) {
		struct journal *journal = opened(stage);

		assert_int_equal(journal_count(journal), EACH);
		journal_close(journal);
	}
	assert_int_equal(access(stage->damaged, F_OK), -1);
	free(file.bytes);
}

static void test_damage_at_every_byte(void **state)
{
	struct stage *stage = *state;
	size_t ends[RECORDS] = { 0 };
	struct content file;

	fill(stage, RECORDS, EACH);
	file = content_read(stage->journal);
	record_ends(&file, ends, RECORDS);
	for (size_t at = ends[0]; at < file.count; at++) {
		size_t good = at < ends[1] ? 1 : at < ends[2] ? 2 : 3, want = good * EACH;
		struct content aside;
		struct journal *journal;

		file.bytes[at] ^= 1 << at % 8;
		content_write(stage->journal, file.bytes, file.count);
		unlink(stage->damaged);
		journal = opened(stage);
		if (journal_count(journal) != want)
			fail_msg("damage at %zu: %zu entries, not %zu", at, journal_count(journal),
				 want);
		assert_true(holds(journal, 0, "manual"));
		journal_close(journal);
		aside = content_read(stage->damaged);
		assert_int_equal(aside.count, file.count);
		assert_memory_equal(aside.bytes, file.bytes, file.count);
		free(aside.bytes);
		unlink(stage->damaged);
		journal = opened(stage);
		assert_int_equal(journal_count(journal), want);
		journal_close(journal);
		assert_int_equal(access(stage->damaged, F_OK), -1);
		file.bytes[at] ^= 1 << at % 8;
	}
	free(file.bytes);
}

static void test_heads(void **state)
{
	static const struct {
		const char *name, *head;
		int want;
		bool aside;
	} cases[] = {
		{ "another version", "GATE25J2", -EPROTO, false },
		{ "something else", "#!/bin/s", 0, true },
	};
	struct stage *stage = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct journal *journal = NULL;
		struct content file, after;

		fill(stage, 1, EACH);
		file = content_read(stage->journal);
		memcpy(file.bytes, cases[i].head, 8);
		content_write(stage->journal, file.bytes, file.count);
		assert_int_equal(journal_open(stage->directory, NULL, &journal), cases[i].want);
		after = content_read(cases[i].aside ? stage->damaged : stage->journal);
		assert_int_equal(after.count, file.count);
		assert_memory_equal(after.bytes, file.bytes, file.count);
		journal_close(journal);
		unlink(stage->journal);
		free(file.bytes);
		free(after.bytes);
	}
}

static void test_looking_changes_nothing(void **state)
{
	struct stage *stage = *state;
	struct journal *journal = NULL;
	struct content file, after;
	struct entry entry = {
		.prefix = prefix_of(0), .origin = "a", .reason = "", .services = ""
	};

	assert_int_equal(journal_read(stage->directory, &journal), 0);
	assert_int_equal(journal_count(journal), 0);
	journal_close(journal);
	assert_int_equal(access(stage->journal, F_OK), -1);
	fill(stage, 2, EACH);
	file = content_read(stage->journal);
	file.count -= 5;
	content_write(stage->journal, file.bytes, file.count);
	assert_int_equal(journal_read(stage->directory, &journal), 0);
	assert_int_equal(journal_count(journal), EACH);
	assert_int_equal(journal_put(journal, &entry), -EINVAL);
	journal_close(journal);
	after = content_read(stage->journal);
	assert_int_equal(after.count, file.count);
	assert_memory_equal(after.bytes, file.bytes, file.count);
	free(file.bytes);
	free(after.bytes);
}

/* ---------------------------------------------------------------- kill -9, a full disk */

/*
 * Writes batches until it is killed, and tells each that was committed. A batch also refreshes
 * entries, so that the file is rewritten now and then.
 */
static void writer(const struct stage *stage, unsigned int from, int tell)
{
	for (unsigned int batch = from;; batch++) {
		struct journal *journal = opened(stage);

		for (unsigned int i = 0; i < EACH; i++)
			put(journal, batch * EACH + i, "manual", FUTURE + batch);
		for (unsigned int i = 0; i < 20; i++)
			put(journal, i, "refreshed", FUTURE + batch);
		if (journal_commit(journal))
			_exit(1);
		journal_close(journal);
		if (write(tell, &batch, sizeof(batch)) != sizeof(batch))
			_exit(1);
	}
}

/* Lets a writer run and kills it; returns the first batch that it did not tell. */
static unsigned int killed_round(const struct stage *stage, unsigned int from)
{
	unsigned int told = from, batch;
	int pipes[2], status;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	if (!child) {
		close(pipes[0]);
		writer(stage, from, pipes[1]);
	}
	close(pipes[1]);
	usleep(rand() % 30000);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (read(pipes[0], &batch, sizeof(batch)) == sizeof(batch))
		told = batch + 1;
	close(pipes[0]);
	return told;
}

static void test_killed_at_any_moment(void **state)
{
	unsigned int next = 0, told_in_all = 0, kept_untold = 0;

	srand(25);
	for (int round = 0; round < 50; round++) {
		unsigned int told = killed_round(*state, next);
		struct journal *journal = opened(*state);
		size_t refreshed = 0, own = 0;

		for (size_t i = 0; i < journal_count(journal); i++) {
			bool manual = !strcmp(journal_at(journal, i)->origin, "manual");

			*(manual ? &own : &refreshed) += 1;
		}
		for (unsigned int n = 0; n < told * EACH; n++)
			if (!holds(journal, n, "manual"))
				fail_msg("round %d: entry %u of %u was lost", round, n,
					 told * EACH);
		/* The one that it was at when it died is there as a whole or not at all. */
		assert_true(own == told * EACH || own == (told + 1) * EACH);
		assert_true(refreshed == (own ? 20 : 0));
		told_in_all += told - next;
		kept_untold += own / EACH - told;
		next = own / EACH;
		journal_close(journal);
	}
	assert_int_equal(access(((struct stage *)*state)->damaged, F_OK), -1);
	print_message("# 50 kills: %u batches were told, %u more had got to the disk\n",
		      told_in_all, kept_untold);
	assert_true(told_in_all > 50);
}

static void test_full_disk(void **state)
{
	struct stage *stage = *state;
	struct rlimit before, limit;
	struct content file, after;

	fill(stage, 2, EACH);
	file = content_read(stage->journal);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (size_t room = 0; room < 400; room += 7) {
		struct journal *journal = opened(stage);

		for (unsigned int n = 100; n < 110; n++)
			put(journal, n, "manual", FUTURE);
		limit = before;
		limit.rlim_cur = file.count + room;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(journal_commit(journal), -EFBIG);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		journal_close(journal);
		after = content_read(stage->journal);
		assert_int_equal(after.count, file.count);
		assert_memory_equal(after.bytes, file.bytes, file.count);
		free(after.bytes);
	}
	fill(stage, 3, EACH);
	free(file.bytes);
}

static void test_full_disk_at_the_first_write(void **state)
{
	struct stage *stage = *state;
	struct rlimit before, limit;
	struct journal *journal = opened(stage);

	put(journal, 1, "manual", FUTURE);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(journal_commit(journal), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	journal_close(journal);
	journal = opened(stage);
	assert_int_equal(journal_count(journal), 0);
	put(journal, 1, "manual", FUTURE);
	assert_int_equal(journal_commit(journal), 0);
	journal_close(journal);
}

/* ---------------------------------------------------------------- size */

static void test_compaction(void **state)
{
	struct stage *stage = *state;
	struct journal *journal = opened(stage);
	struct stat status;

	for (unsigned int round = 0; round < 40; round++) {
		for (unsigned int n = 0; n < 100; n++)
			put(journal, n, "manual", FUTURE + round);
		assert_int_equal(journal_commit(journal), 0);
		assert_int_equal(stat(stage->journal, &status), 0);
		assert_true((size_t)status.st_size <= 2 * journal->live_bytes + 16384);
	}
	assert_true(journal->live_bytes > 100 * 48);
	journal_close(journal);
	journal = opened(stage);
	assert_int_equal(journal_count(journal), 100);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(journal_at(journal, i)->expires_s, FUTURE + 39);
	for (unsigned int n = 0; n < 100; n++) {
		struct prefix prefix = prefix_of(n);

		assert_int_equal(journal_del(journal, &prefix, ENTRY_BLOCK, "manual"), 0);
	}
	assert_int_equal(journal_commit(journal), 0);
	assert_int_equal(journal->live_bytes, 0);
	journal_close(journal);
	journal = opened(stage);
	assert_int_equal(journal_count(journal), 0);
	journal_close(journal);
}

static double seconds(void)
{
	return monotonic_ns() / 1e9;
}

static void test_a_hundred_thousand(void **state)
{
	struct journal *journal;
	double start = seconds(), committed, read_again;

	fill(*state, 1, 100000);
	committed = seconds();
	journal = opened(*state);
	assert_int_equal(journal_count(journal), 100000);
	assert_non_null(journal_at(journal, 99999));
	read_again = seconds();
	journal_close(journal);
	print_message("# 100,000 entries: %.2f s to commit, %.2f s to open and sort\n",
		      committed - start, read_again - committed);
	assert_true(read_again - start < 4.0);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_what_was_committed_is_there),
		STAGED(test_put_again_refreshes),
		STAGED(test_del_removes_one_origin),
		STAGED(test_what_was_not_committed_is_gone),
		STAGED(test_what_is_over_is_not_listed),
		STAGED(test_texts_have_bounds),
		STAGED(test_cut_at_every_byte),
		STAGED(test_zeros_at_the_end),
		STAGED(test_damage_at_every_byte),
		STAGED(test_heads),
		STAGED(test_looking_changes_nothing),
		STAGED(test_killed_at_any_moment),
		STAGED(test_full_disk),
		STAGED(test_full_disk_at_the_first_write),
		STAGED(test_compaction),
		STAGED(test_a_hundred_thousand),
	};

	log_init("test_journal", LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
