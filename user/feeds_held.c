// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a gate held back of a list, on disk.
 *
 * In: images that may not come into force. Out: the last one of each list, for whoever compares, shows or accepts it.
 */
#include "user/feeds_held.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int path_of(const struct config *config, const char *list, const char *end,
		   char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/lists/%s.%s", config->state_dir, list, end);

	return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int read_end(const struct config *config, const char *list, const char *end,
		    struct list_image **out)
{
	char path[PATH_MAX];
	int error = path_of(config, list, end, path);

	return error ? error : list_image_read(path, out);
}

static void drop_end(const struct config *config, const char *list, const char *end)
{
	char path[PATH_MAX];

	if (!path_of(config, list, end, path))
		unlink(path);
}

int held_read(const struct config *config, const char *list, struct list_image **out)
{
	return read_end(config, list, "held", out);
}

int held_write(const struct config *config, const char *list, const struct list_image *image)
{
	char path[PATH_MAX];
	int error = path_of(config, list, "held", path);

	return error ? error : list_image_write(image, path);
}

void held_drop(const struct config *config, const char *list)
{
	drop_end(config, list, "held");
}

int held_accept(const struct config *config, const char *list)
{
	char from[PATH_MAX], to[PATH_MAX];
	int error = path_of(config, list, "held", from);

	if (!error)
		error = path_of(config, list, "accepted", to);
	if (!error && rename(from, to))
		error = -errno;
	return error;
}

int accepted_read(const struct config *config, const char *list, struct list_image **out)
{
	return read_end(config, list, "accepted", out);
}

void accepted_drop(const struct config *config, const char *list)
{
	drop_end(config, list, "accepted");
}
