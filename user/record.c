// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of changes: changes.log.
 *
 * In: what was done, to what, before and after. Out: one JSON object a line. A record is one write to a file opened
 * for appending, so two commands never mix theirs.
 */
#include "user/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/log.h"
#include "user/print.h"

#define ROTATE_BYTES (8 << 20)
#define COMMAND_TEXT 1024
#define NOBODY	     4294967295U /* loginuid of what no login started */

static char command[COMMAND_TEXT];

void record_command(int argc, char *const *argv)
{
	size_t used = 0;

	for (int i = 0; i < argc && used < sizeof(command) - 1; i++) {
		bool quote = argv[i][strcspn(argv[i], " \t\"'\\$`")] || !*argv[i];
		int length = snprintf(command + used, sizeof(command) - used, "%s%s%s%s",
				      i ? " " : "", quote ? "'" : "", argv[i], quote ? "'" : "");

		used += length > 0 ? (size_t)length : 0;
	}
	if (used >= sizeof(command))
		used = sizeof(command) - 1;
	for (size_t i = 0; i < used; i++) {
		if ((unsigned char)command[i] < ' ')
			command[i] = ' ';
	}
}

/* Who it really is: sudo and su keep the login's uid. */
static uid_t real_uid(void)
{
	const char *sudo = getenv("SUDO_UID");
	FILE *file = fopen("/proc/self/loginuid", "re");
	unsigned int uid = NOBODY;

	if (file) {
		if (fscanf(file, "%u", &uid) != 1)
			uid = NOBODY;
		fclose(file);
	}
	if (uid != NOBODY)
		return uid;
	return sudo && sscanf(sudo, "%u", &uid) == 1 ? uid : getuid();
}

static json_t *record_json(const char *action, const json_t *targets, const json_t *before,
			   const json_t *after)
{
	uid_t uid = real_uid();
	const struct passwd *user = getpwuid(uid);
	const char *tty = isatty(STDERR_FILENO) ? ttyname(STDERR_FILENO) : NULL;
	char when[32];

	return json_pack("{s:s, s:s?, s:i, s:s?, s:s, s:s, s:O?, s:O?, s:O?}", "time",
			 time_format(time(NULL), when), "user", user ? user->pw_name : NULL, "uid",
			 (int)uid, "tty", tty, "command", command, "action", action, "targets",
			 targets, "before", before, "after", after);
}

static int record_open(const char *state_dir)
{
	char path[PATH_MAX], old[PATH_MAX + 4];
	struct stat status;
	int fd;

	if (snprintf(path, sizeof(path), "%s/changes.log", state_dir) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (mkdir(state_dir, 0750) && errno != EEXIST)
		return -errno;
	if (!stat(path, &status) && status.st_size > ROTATE_BYTES) {
		snprintf(old, sizeof(old), "%s.1", path);
		if (rename(path, old))
			log_warning("cannot rename %s: %s", path, strerror(errno));
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	return fd < 0 ? -errno : fd;
}

int record_change(const char *state_dir, const char *action, const json_t *targets,
		  const json_t *before, const json_t *after)
{
	json_t *record = record_json(action, targets, before, after);
	char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : 0;
	int fd = text ? record_open(state_dir) : -ENOMEM, error = fd < 0 ? fd : 0;

	if (!error) {
		text[length] = '\n'; /* in the place of the final 0: one write */
		ssize_t written = write(fd, text, length + 1);

		if (written != (ssize_t)length + 1) /* less than all: the disk is full by now */
			error = written < 0 ? -errno : -ENOSPC;
		close(fd);
	}
	if (error)
		log_error("%s is done, but could not be recorded in %s/changes.log: %s", action,
			  state_dir, strerror(-error));
	free(text);
	json_decref(record);
	return error;
}

/* ---------------------------------------------------------------- reading */

static bool record_touches(const json_t *record, const struct prefix *about)
{
	const json_t *targets = json_object_get(record, "targets");

	for (size_t i = 0; i < json_array_size(targets); i++) {
		const char *text = json_string_value(json_array_get(targets, i)), *why;
		struct prefix target;

		if (text && !prefix_parse(text, NULL, 0, &target, &why) &&
		    (prefix_covers(&target, about) || prefix_covers(about, &target)))
			return true;
	}
	return false;
}

static int file_each(const char *path, const struct prefix *about,
		     int (*each)(const json_t *record, void *context), void *context)
{
	FILE *file = fopen(path, "re");
	size_t room = 0;
	char *line = NULL;
	int result = 0;

	if (!file)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while (!result && getline(&line, &room, file) > 0) {
		json_t *record = json_loads(line, 0, NULL);

		if (json_is_object(record) && (!about || record_touches(record, about)))
			result = each(record, context);
		json_decref(record);
	}
	free(line);
	fclose(file);
	return result;
}

int record_read(const char *state_dir, const struct prefix *about,
		int (*each)(const json_t *record, void *context), void *context)
{
	static const char *const names[] = { "changes.log.1", "changes.log" };
	char path[PATH_MAX];
	int result = 0;

	for (size_t i = 0; i < 2 && !result; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]) >= PATH_MAX)
			return -ENAMETOOLONG;
		result = file_each(path, about, each, context);
	}
	return result;
}
