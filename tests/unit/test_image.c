// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images on disk: written and read back, damaged at every byte, cut at every length; and the
 * search in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/addr.h"
#include "user/lists/image.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static char folder[] = "/tmp/gate25-image.XXXXXX";
static char path[64];

static struct range4 ranges4[] = {
	{ 0, 0 }, { 0x0a000000, 0x0affffff }, { 0x0b000000, 0x0b000000 }, { 0xffffff00, 0xffffffff }
};
static struct range6 ranges6[] = {
	{ { 0x20010db800000000, 0 }, { 0x20010db8ffffffff, ~0ULL } },
	{ { 0x20010db900000000, 7 }, { 0x20010db900000000, 7 } },
};
static const struct list_image sample = {
	.ranges4 = ranges4,
	.ranges6 = ranges6,
	.count4 = ARRAY_SIZE(ranges4),
	.count6 = ARRAY_SIZE(ranges6),
	.lines = 9,
	.bad_lines = 3,
	.loaded_s = 1780000000,
	.source_digest = 0x123456789abcdef0,
};

static void assert_same(const struct list_image *a, const struct list_image *b)
{
	assert_int_equal(a->count4, b->count4);
	assert_int_equal(a->count6, b->count6);
	if (a->count4)
		assert_memory_equal(a->ranges4, b->ranges4, a->count4 * sizeof(*a->ranges4));
	if (a->count6)
		assert_memory_equal(a->ranges6, b->ranges6, a->count6 * sizeof(*a->ranges6));
	assert_int_equal(a->lines, b->lines);
	assert_int_equal(a->bad_lines, b->bad_lines);
	assert_int_equal(a->loaded_s, b->loaded_s);
	assert_true(a->source_digest == b->source_digest);
}

static void file_write(const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static size_t file_read(unsigned char *bytes, size_t room)
{
	FILE *file = fopen(path, "rb");
	size_t length;

	assert_non_null(file);
	length = fread(bytes, 1, room, file);
	fclose(file);
	assert_true(length > 0 && length < room);
	return length;
}

static void check_refused(const char *what, size_t at)
{
	struct list_image *image = NULL;
	int error = list_image_read(path, &image);

	if (error != -EBADMSG || image)
		fail_msg("%s at byte %zu: %d", what, at, error);
}

static void test_there_and_back(void **state)
{
	struct list_image empty = { .loaded_s = 1 }, *image = NULL;
	unsigned int files = 0;
	struct dirent *entry;
	DIR *directory;

	(void)state;
	assert_int_equal(list_image_write(&sample, path), 0);
	assert_int_equal(list_image_read(path, &image), 0);
	assert_same(&sample, image);
	assert_int_equal(list_image_write(image, path), 0); /* over itself */
	list_image_free(image);
	assert_int_equal(list_image_write(&empty, path), 0);
	assert_int_equal(list_image_read(path, &image), 0);
	assert_same(&empty, image);
	list_image_free(image);
	list_image_free(NULL);

	directory = opendir(folder); /* nothing is left beside it */
	assert_non_null(directory);
	while ((entry = readdir(directory)))
		files += entry->d_name[0] != '.';
	closedir(directory);
	assert_int_equal(files, 1);
}

static void test_damage(void **state)
{
	unsigned char bytes[1024], damaged[1024];
	size_t length;

	(void)state;
	assert_int_equal(list_image_write(&sample, path), 0);
	length = file_read(bytes, sizeof(bytes));
	for (size_t i = 0; i < length; i++) {
		for (unsigned int bit = 0; bit <= 8; bit++) { /* each bit, then all of them */
			memcpy(damaged, bytes, length);
			damaged[i] ^= bit == 8 ? 0xff : 1 << bit;
			file_write(damaged, length);
			check_refused("a flipped bit", i);
		}
	}
	for (size_t i = 0; i < length; i++) {
		file_write(bytes, i);
		check_refused("cut", i);
	}
	memcpy(damaged, bytes, length);
	damaged[length] = 0;
	file_write(damaged, length + 1);
	check_refused("one byte more", length);
}

/* Sums are right, contents are not: what the compiler relies on is checked all the same. */
static void test_disorder(void **state)
{
	static struct range4 backwards4[] = { { 2, 1 } }, unsorted4[] = { { 5, 6 }, { 1, 2 } };
	static struct range4 overlapping4[] = { { 1, 5 }, { 5, 6 } };
	static struct range6 backwards6[] = { { { 1, 0 }, { 0, 9 } } };
	static struct range6 overlapping6[] = { { { 0, 1 }, { 1, 1 } }, { { 1, 1 }, { 1, 2 } } };
	const struct list_image images[] = {
		{ .ranges4 = backwards4, .count4 = 1 },	  { .ranges4 = unsorted4, .count4 = 2 },
		{ .ranges4 = overlapping4, .count4 = 2 }, { .ranges6 = backwards6, .count6 = 1 },
		{ .ranges6 = overlapping6, .count6 = 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		assert_int_equal(list_image_write(&images[i], path), 0);
		check_refused("disorder", i);
	}
}

static void test_paths(void **state)
{
	struct list_image *image = NULL;
	char missing[128];

	(void)state;
	snprintf(missing, sizeof(missing), "%s/none/list.img", folder);
	assert_int_equal(list_image_read(missing, &image), -ENOENT);
	assert_int_equal(list_image_write(&sample, missing), -ENOENT);
	assert_int_equal(list_image_read(folder, &image), -EISDIR);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(list_image_read(path, &image), -EBADMSG); /* and does not wait */
	unlink(path);
	assert_null(image);
}

static const struct {
	const char *address, *first, *last; /* first: NULL when it is not listed */
} searches[] = {
	{ "0.0.0.0", "0.0.0.0", "0.0.0.0" },
	{ "0.0.0.1", NULL, NULL },
	{ "9.255.255.255", NULL, NULL },
	{ "10.0.0.0", "10.0.0.0", "10.255.255.255" },
	{ "10.255.255.255", "10.0.0.0", "10.255.255.255" },
	{ "11.0.0.0", "11.0.0.0", "11.0.0.0" },
	{ "11.0.0.1", NULL, NULL },
	{ "255.255.255.255", "255.255.255.0", "255.255.255.255" },
	{ "::", NULL, NULL },
	{ "2001:db8::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	  "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "2001:db9::6", NULL, NULL },
	{ "2001:db9::7", "2001:db9::7", "2001:db9::7" },
	{ "2001:db9::8", NULL, NULL },
};

static void test_find(void **state)
{
	const struct list_image empty = {};
	struct gate25_source first, last;
	char text[PREFIX_TEXT];
	struct prefix prefix;
	const char *why;
	int error;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(searches); i++) {
		assert_int_equal(prefix_parse(searches[i].address, NULL, 0, &prefix, &why), 0);
		assert_int_equal(list_image_find(&empty, &prefix.address, &first, &last), -ENOENT);
		error = list_image_find(&sample, &prefix.address, &first, &last);
		if (error != (searches[i].first ? 0 : -ENOENT))
			fail_msg("%s: %d", searches[i].address, error);
		if (error)
			continue;
		assert_string_equal(address_format(&first, text), searches[i].first);
		assert_string_equal(address_format(&last, text), searches[i].last);
	}
}

/* Every entry counts, and nothing but the entries. */
static void test_digest(void **state)
{
	__u32 *bound[] = { &ranges4[0].last, &ranges4[3].first };
	struct list_image other = sample;
	__u32 digest = list_image_digest(&sample);

	(void)state;
	other.loaded_s++;
	other.lines++;
	other.source_digest++;
	assert_int_equal(list_image_digest(&other), digest);
	for (size_t i = 0; i < ARRAY_SIZE(bound); i++) {
		++*bound[i];
		assert_int_not_equal(list_image_digest(&sample), digest);
		--*bound[i];
	}
	ranges6[1].first.lo--;
	assert_int_not_equal(list_image_digest(&sample), digest);
	ranges6[1].first.lo++;
	other = (struct list_image){ .count4 = 0 };
	assert_int_not_equal(list_image_digest(&other), 0);
}

static int folder_make(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/list.img", folder);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_disorder),       cmocka_unit_test(test_paths),
		cmocka_unit_test(test_find),	       cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
