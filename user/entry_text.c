// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a list itself says of an address.
 *
 * In: a list, its file or the copy of what was fetched, an address. Out: the line that names it. Who asks is
 * root, so a child gives its rights up before it looks into what others wrote, and has a few seconds for it.
 */
#include "user/entry_text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "user/feed_file.h"
#include "user/log.h"

#define NOBODY	     65534
#define LOOK_S	     10
#define WRITE_AT_ONE (1U << 20) /* zlib takes an unsigned int */

static int source_path(const struct config *config, const struct config_list *list,
		       const char *suffix, char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/lists/%s.src%s", config->state_dir, list->name,
			      suffix);

	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* ---------------------------------------------------------------- keep */

static int gzip_write(const char *path, const char *text, size_t length)
{
	/* e: closed by exec; 1: fast; T: as it is, what came packed is not packed once more */
	bool packed = length > 1 && !memcmp(text, "\x1f\x8b", 2);
	gzFile file = gzopen(path, packed ? "wbeT" : "wbe1");
	int error = 0;

	if (!file)
		return -errno;
	for (size_t done = 0; !error && done < length;) {
		size_t part = length - done < WRITE_AT_ONE ? length - done : WRITE_AT_ONE;

		if (gzwrite(file, text + done, part) != (int)part)
			error = -EIO;
		done += part;
	}
	if (gzclose(file) != Z_OK && !error)
		error = -EIO;
	return error;
}

void entry_text_keep(const struct config *config, const struct config_list *list, const void *text,
		     size_t length)
{
	char path[PATH_MAX], part[PATH_MAX];
	int error;

	if (list->file || source_path(config, list, "", path) ||
	    source_path(config, list, ".part", part))
		return;
	error = gzip_write(part, text, length);
	if (!error && rename(part, path))
		error = -errno;
	if (!error)
		return;
	log_notice("list %s: the texts of its entries cannot be kept in %s: %s", list->name, path,
		   strerror(-error));
	unlink(part);
	unlink(path); /* older than what is in force now */
}

/* ---------------------------------------------------------------- find */

/* In the child. */
static int rights_drop(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

static void look(const struct parse_settings *settings, const char *text, size_t length,
		 const struct gate25_source *address, int fd)
{
	struct list_line line = { 0 };

	alarm(LOOK_S);
	if (rights_drop() || list_find_line(text, length, settings, address, &line))
		_exit(EXIT_FAILURE);
	if (write(fd, &line, sizeof(line)) != sizeof(line))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

static int line_take(int fd, struct list_line *out)
{
	struct list_line line;
	ssize_t got;

	do
		got = read(fd, &line, sizeof(line));
	while (got < 0 && errno == EINTR);
	if (got != sizeof(line))
		return -ENOENT;
	line.text[sizeof(line.text) - 1] = '\0';
	*out = line;
	return 0;
}

static int look_apart(const struct parse_settings *settings, const char *text, size_t length,
		      const struct gate25_source *address, struct list_line *out)
{
	int fds[2], error, status;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	child = fork();
	if (!child)
		look(settings, text, length, address, fds[1]);
	error = child < 0 ? -errno : 0;
	close(fds[1]);
	if (!error)
		error = line_take(fds[0], out);
	close(fds[0]);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	return error;
}

int entry_text_find(const struct config *config, const struct config_list *list,
		    const struct gate25_source *address, struct list_line *out)
{
	const struct parse_settings settings = config_list_settings(config, list);
	struct feed_identity identity;
	char path[PATH_MAX];
	char *text = NULL;
	size_t length;
	int error;

	if (!list->file && !list->url)
		return -ENOENT;
	error = list->file ? 0 : source_path(config, list, "", path);
	if (!error)
		error = feed_file_read(list->file ? list->file : path, &text, &length, &identity);
	if (error)
		return error;
	error = look_apart(&settings, text, length, address, out);
	free(text);
	return error;
}
