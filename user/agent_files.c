// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of lists: read again as soon as somebody replaced them.
 *
 * In: the configuration, inotify. Out: a refresh is wanted. What is watched are the directories, since who writes a
 * list well writes it elsewhere and renames it into place; of a symbolic link also where it leads. What inotify cannot
 * tell (a directory that comes later, a network file system) the look every `refresh` finds.
 */
#include "user/agent.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "user/log.h"

#define US_PER_S   1000000ULL
#define SETTLE_US  300000 /* several lists are often replaced at once */
#define WATCHED	   (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB)
#define NAME_BYTES (NAME_MAX + 1)

struct files_watch {
	int descriptor;
	char name[NAME_BYTES];
};

static void watch_add(struct files *files, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct files_watch *watch = &files->watches[files->count];
	char directory[PATH_MAX];

	if (!slash || strlen(slash + 1) >= sizeof(watch->name) ||
	    (size_t)(slash - path) >= sizeof(directory))
		return;
	memcpy(directory, path, slash - path + 1);
	directory[slash - path + 1] = '\0';
	watch->descriptor = inotify_add_watch(files->fd, directory, WATCHED | IN_ONLYDIR);
	if (watch->descriptor < 0) {
		log_debug("cannot watch %s: %s", directory, strerror(errno));
		return;
	}
	memcpy(watch->name, slash + 1, strlen(slash + 1) + 1);
	files->count++;
}

void files_follow(struct agent *agent)
{
	struct files *files = &agent->files;
	const struct config *config = agent->config;
	struct files_watch *watches;
	char real[PATH_MAX];

	if (files->fd < 0)
		return;
	watches = calloc(2 * config->lists_count + 1, sizeof(*watches));
	if (!watches)
		return;
	free(files->watches);
	files->watches = watches;
	files->count = 0;
	for (size_t i = 0; i < config->lists_count; i++) {
		const char *path = config->lists[i].file;

		if (!path)
			continue;
		watch_add(files, path);
		if (realpath(path, real) && strcmp(real, path) != 0)
			watch_add(files, real);
	}
}

static bool event_concerns(const struct files *files, const struct inotify_event *event)
{
	if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED))
		return true;
	for (size_t i = 0; event->len && i < files->count; i++)
		if (files->watches[i].descriptor == event->wd &&
		    !strcmp(files->watches[i].name, event->name))
			return true;
	return false;
}

static int events_come(sd_event_source *source, int fd, uint32_t revents, void *context)
{
	char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct agent *agent = context;
	ssize_t got = read(fd, bytes, sizeof(bytes));
	bool concerns = false;

	(void)source;
	(void)revents;
	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *event = (const void *)(bytes + at);

		concerns |= event_concerns(&agent->files, event);
		at += sizeof(*event) + event->len;
	}
	if (concerns) {
		sd_event_source_set_time_relative(agent->files.timer, SETTLE_US);
		sd_event_source_set_enabled(agent->files.timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int settled(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source;
	(void)usec;
	load_want(context, LOAD_REFRESH);
	return 0;
}

/* Without inotify files are still looked at every `refresh`. */
int files_init(struct agent *agent)
{
	struct files *files = &agent->files;
	int error;

	files->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (files->fd < 0) {
		log_warning("files of lists are not watched: %s; they are looked at every "
			    "`refresh`",
			    strerror(errno));
		return 0;
	}
	error = sd_event_add_io(agent->event, &files->source, files->fd, EPOLLIN, events_come,
				agent);
	if (error >= 0)
		error = sd_event_add_time_relative(agent->event, &files->timer, CLOCK_MONOTONIC,
						   US_PER_S, SETTLE_US / 4, settled, agent);
	if (error >= 0)
		error = sd_event_source_set_enabled(files->timer, SD_EVENT_OFF);
	return error < 0 ? error : 0;
}

void files_release(struct agent *agent)
{
	struct files *files = &agent->files;

	sd_event_source_unref(files->source);
	sd_event_source_unref(files->timer);
	if (files->fd >= 0)
		close(files->fd);
	files->fd = -1;
	free(files->watches);
	files->watches = NULL;
	files->count = 0;
}
