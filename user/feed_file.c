// SPDX-License-Identifier: GPL-2.0-only
/*
 * A list's file, whole and unmixed.
 *
 * In: a path. Out: the bytes as they stood at one moment, and what tells later whether the file is still that one.
 */
#include "user/feed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct feed_identity identity_of(const struct stat *info)
{
	return (struct feed_identity){
		.device = info->st_dev,
		.inode = info->st_ino,
		.size = info->st_size,
		.mtime_ns = info->st_mtim.tv_sec * 1000000000ULL + info->st_mtim.tv_nsec,
		.ctime_ns = info->st_ctim.tv_sec * 1000000000ULL + info->st_ctim.tv_nsec,
	};
}

bool feed_identity_same(const struct feed_identity *a, const struct feed_identity *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static int file_open(const char *path, struct stat *info)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, info))
		error = -errno;
	else if (!S_ISREG(info->st_mode))
		error = S_ISDIR(info->st_mode) ? -EISDIR : -EINVAL;
	else if ((__u64)info->st_size > GATE25_LIST_BYTES)
		error = -EFBIG;
	if (!error)
		return fd;
	close(fd);
	return error;
}

/* -ESTALE: it changed meanwhile. */
static int file_read_once(const char *path, char **text, size_t *length,
			  struct feed_identity *identity)
{
	struct stat before = { 0 }, after = { 0 };
	int fd = file_open(path, &before), error = 0;
	size_t size, done = 0;
	ssize_t got = 1;
	char *bytes;

	if (fd < 0)
		return fd;
	size = before.st_size;
	bytes = malloc(size + 1); /* one more than it holds: growth is seen as such */
	if (!bytes)
		error = -ENOMEM;
	while (!error && done <= size && (got = read(fd, bytes + done, size + 1 - done)) > 0)
		done += got;
	if (!error && (got < 0 || fstat(fd, &after)))
		error = -errno;
	close(fd);
	if (!error) {
		struct feed_identity now = identity_of(&after);

		*identity = identity_of(&before);
		if (done != size || !feed_identity_same(identity, &now))
			error = -ESTALE;
	}
	if (error) {
		free(bytes);
		return error;
	}
	*text = bytes;
	*length = size;
	return 0;
}

int feed_file_look(const char *path)
{
	struct stat info;
	int fd = file_open(path, &info);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Who writes a list in place is caught in the middle now and then: look once more before complaining. */
int feed_file_read(const char *path, char **text, size_t *length, struct feed_identity *identity)
{
	int error = file_read_once(path, text, length, identity);

	if (error != -ESTALE)
		return error;
	usleep(200000);
	return file_read_once(path, text, length, identity);
}

const char *feed_file_why(int error)
{
	switch (error) {
	case -ESTALE:
		return "is being written all the time; write it elsewhere and rename it into place";
	case -EINVAL:
		return "is not a regular file";
	case -EACCES:
		return "permission denied: root without further rights must be able to read it, so "
		       "make root its owner, or let everybody read it";
	case -EFBIG:
		return "larger than a list may be (256 MiB)";
	default:
		return strerror(-error);
	}
}

bool feed_file_identity(const char *path, struct feed_identity *out)
{
	struct stat info;

	if (stat(path, &info))
		return false;
	*out = identity_of(&info);
	return true;
}
