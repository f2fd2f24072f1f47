// SPDX-License-Identifier: GPL-2.0-only
/*
 * A parsed list as a file: the last good list, which the guard starts from when its source is
 * away.
 *
 * In: an image in memory. Out: a file that is either whole and right, or not read at all.
 *
 * The file: a header, then the ranges of both families as they are in memory. It is written and
 * read on the same machine; one of another byte order has another magic.
 */
#include "user/lists/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lists/ranges.h"

#define IMAGE_MAGIC   0x3153494c35324147ULL /* "GA25LIS1" in little endian */
#define IMAGE_VERSION 3
#define IMAGE_MOST    (1ULL << 32) /* ranges of a family */

struct image_header {
	__u64 magic;
	__u32 version;
	__u32 header_bytes;
	__u64 checksum; /* of the header with 0 here, and of all that follows */
	__u64 count4, count6;
	__u64 lines, bad_lines;
	__u64 loaded_s, source_digest;
};

/* Each step is a permutation of the digest: damage within one word of 64 bits never goes unseen. */
static __u64 digest_step(__u64 digest, __u64 word)
{
	digest = (digest ^ word) * 0x9e3779b97f4a7c15ULL;
	return digest ^ digest >> 29;
}

#define LANES 4 /* steps that do not wait for each other */

/* What is left of `*length` bytes behind whole rounds of all lanes. */
static __u64 digest_lanes(__u64 digest, const unsigned char **at, size_t *length)
{
	__u64 lanes[LANES] = { 1, 2, 3, 4 }, words[LANES];

	for (; *length >= sizeof(words); *length -= sizeof(words), *at += sizeof(words)) {
		memcpy(words, *at, sizeof(words));
#pragma GCC unroll 4
		for (int i = 0; i < LANES; i++)
			lanes[i] = digest_step(lanes[i], words[i]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < LANES; i++)
		digest = digest_step(digest, lanes[i]);
	return digest;
}

__u64 list_digest(__u64 seed, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	__u64 digest = digest_step(seed, length), word;

	if (length >= LANES * sizeof(word))
		digest = digest_lanes(digest, &at, &length);
	for (; length >= sizeof(word); length -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		digest = digest_step(digest, word);
	}
	word = 0;
	if (length)
		memcpy(&word, at, length);
	return digest_step(digest, word);
}

static __u64 ranges_digest(__u64 digest, const struct list_image *image)
{
	digest = list_digest(digest, image->ranges4, image->count4 * sizeof(struct range4));
	return list_digest(digest, image->ranges6, image->count6 * sizeof(struct range6));
}

static __u64 checksum(const struct image_header *header, const struct list_image *image)
{
	struct image_header copy = *header;

	copy.checksum = 0;
	return ranges_digest(list_digest(0, &copy, sizeof(copy)), image);
}

__u32 list_image_digest(const struct list_image *image)
{
	__u64 digest = ranges_digest(0, image);

	digest ^= digest >> 32;
	return (__u32)digest ? (__u32)digest : 1;
}

void list_image_free(struct list_image *image)
{
	if (!image)
		return;
	free(image->ranges4);
	free(image->ranges6);
	free(image);
}

/* ---------------------------------------------------------------- write */

static int write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;
	ssize_t written;

	while (length) {
		written = write(fd, at, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += written;
		length -= written;
	}
	return 0;
}

int list_image_write_fd(const struct list_image *image, int fd)
{
	struct image_header header = {
		.magic = IMAGE_MAGIC,
		.version = IMAGE_VERSION,
		.header_bytes = sizeof(header),
		.count4 = image->count4,
		.count6 = image->count6,
		.lines = image->lines,
		.bad_lines = image->bad_lines,
		.loaded_s = image->loaded_s,
		.source_digest = image->source_digest,
	};
	int error;

	header.checksum = checksum(&header, image);
	error = write_all(fd, &header, sizeof(header));
	if (!error)
		error = write_all(fd, image->ranges4, image->count4 * sizeof(struct range4));
	if (!error)
		error = write_all(fd, image->ranges6, image->count6 * sizeof(struct range6));
	return error;
}

/* A rename is on disk when its directory is. */
static int sync_directory(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, error = 0;

	if (!slash)
		strcpy(directory, ".");
	else if (snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path) >=
		 (int)sizeof(directory))
		return -ENAMETOOLONG;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		error = -errno;
	close(fd);
	return error;
}

int list_image_write(const struct list_image *image, const char *path)
{
	char temporary[PATH_MAX];
	int fd, error;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = list_image_write_fd(image, fd);
	if (!error && fsync(fd))
		error = -errno;
	if (close(fd) && !error)
		error = -errno;
	if (!error && rename(temporary, path))
		error = -errno;
	if (error)
		unlink(temporary);
	else
		error = sync_directory(path);
	return error;
}

/* ---------------------------------------------------------------- read */

/* -EBADMSG when the file ends before that. */
static int read_all(int fd, void *bytes, size_t length)
{
	char *at = bytes;
	ssize_t got;

	while (length) {
		got = read(fd, at, length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -EBADMSG;
		at += got;
		length -= got;
	}
	return 0;
}

/* The header, if the file is as long as it says. */
static int read_header(int fd, struct image_header *header)
{
	struct stat status;
	__u64 bytes;
	int error = read_all(fd, header, sizeof(*header));

	if (error)
		return error;
	if (fstat(fd, &status))
		return -errno;
	if (header->magic != IMAGE_MAGIC || header->version != IMAGE_VERSION ||
	    header->header_bytes != sizeof(*header) || header->count4 > IMAGE_MOST ||
	    header->count6 > IMAGE_MOST)
		return -EBADMSG;
	bytes = sizeof(*header) + header->count4 * sizeof(struct range4) +
		header->count6 * sizeof(struct range6);
	return bytes == (__u64)status.st_size ? 0 : -EBADMSG;
}

static int read_ranges(int fd, void *ranges, size_t count, size_t size)
{
	void *bytes;
	int error;

	if (!count)
		return 0;
	bytes = malloc(count * size);
	if (!bytes)
		return -ENOMEM;
	error = read_all(fd, bytes, count * size);
	if (error)
		free(bytes);
	else
		memcpy(ranges, &bytes, sizeof(bytes)); /* a pointer to ranges of either family */
	return error;
}

/* Sorted and disjoint: what the compiler relies on. */
static bool well_formed(const struct list_image *image)
{
	for (size_t i = 0; i < image->count4; i++) {
		const struct range4 *range = &image->ranges4[i];

		if (range->first > range->last || (i && range->first <= range[-1].last))
			return false;
	}
	for (size_t i = 0; i < image->count6; i++) {
		const struct range6 *range = &image->ranges6[i];

		if (address6_value(&range->first) > address6_value(&range->last) ||
		    (i && address6_value(&range->first) <= address6_value(&range[-1].last)))
			return false;
	}
	return true;
}

static int read_image(int fd, struct list_image *image)
{
	struct image_header header;
	int error = read_header(fd, &header);

	if (error)
		return error;
	error = read_ranges(fd, &image->ranges4, header.count4, sizeof(struct range4));
	if (!error)
		error = read_ranges(fd, &image->ranges6, header.count6, sizeof(struct range6));
	if (error)
		return error;
	image->count4 = header.count4;
	image->count6 = header.count6;
	image->lines = header.lines;
	image->bad_lines = header.bad_lines;
	image->loaded_s = header.loaded_s;
	image->source_digest = header.source_digest;
	return checksum(&header, image) == header.checksum && well_formed(image) ? 0 : -EBADMSG;
}

int list_image_read_fd(int fd, struct list_image **out)
{
	struct list_image *image = calloc(1, sizeof(*image));
	int error = image ? read_image(fd, image) : -ENOMEM;

	if (error)
		list_image_free(image);
	else
		*out = image;
	return error;
}

int list_image_read(const char *path, struct list_image **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would not be one */
	int error;

	if (fd < 0)
		return -errno;
	error = list_image_read_fd(fd, out);
	close(fd);
	return error;
}

/* ---------------------------------------------------------------- find */

static const struct range4 *find4(const struct list_image *image, __u32 address)
{
	size_t low = 0, high = image->count4, middle;

	while (low < high) { /* the first that does not end before it */
		middle = (low + high) / 2;
		if (image->ranges4[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->count4 && image->ranges4[low].first <= address ? &image->ranges4[low] :
									     NULL;
}

static const struct range6 *find6(const struct list_image *image, u128 address)
{
	size_t low = 0, high = image->count6, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (address6_value(&image->ranges6[middle].last) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->count6 && address6_value(&image->ranges6[low].first) <= address ?
		       &image->ranges6[low] :
		       NULL;
}

int list_image_find(const struct list_image *image, const struct gate25_source *address,
		    struct gate25_source *first, struct gate25_source *last)
{
	const struct range4 *range4;
	const struct range6 *range6;

	*first = *last = (struct gate25_source){ .family = address->family };
	if (address->family == 4) {
		range4 = find4(image, address->lo);
		if (!range4)
			return -ENOENT;
		first->lo = range4->first;
		last->lo = range4->last;
		return 0;
	}
	range6 = find6(image, (u128)address->hi << 64 | address->lo);
	if (!range6)
		return -ENOENT;
	first->hi = range6->first.hi;
	first->lo = range6->first.lo;
	last->hi = range6->last.hi;
	last->lo = range6->last.lo;
	return 0;
}
