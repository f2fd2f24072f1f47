// SPDX-License-Identifier: GPL-2.0-only
/* Commands with a stop-watch, and sizes as the kernel tells them in /proc. */
#include "tools/bench/timed.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "user/log.h"

#define KIB 1024ULL

static pid_t command_start(const char *const *arguments)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = null < 0 ? -1 : fork();

	if (pid) {
		close(null);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execvp(arguments[0], (char *const *)arguments);
	_exit(127);
}

/* Ends it when its time is over. */
static bool command_await(pid_t pid, double seconds_most)
{
	struct pollfd ended = { .fd = pidfd_open(pid, 0), .events = POLLIN };
	bool in_time = ended.fd < 0 || poll(&ended, 1, (int)(seconds_most * 1000)) > 0;

	if (!in_time)
		kill(pid, SIGKILL);
	if (ended.fd >= 0)
		close(ended.fd);
	return in_time;
}

int timed_run(const char *const *arguments, double seconds_most, struct timed *out)
{
	struct rusage usage = { 0 };
	double began = seconds_now();
	pid_t pid = command_start(arguments);
	int status = 0;
	bool in_time;

	if (pid < 0)
		return -errno;
	in_time = command_await(pid, seconds_most);
	if (wait4(pid, &status, 0, &usage) != pid)
		return -errno;
	out->seconds = seconds_now() - began;
	out->peak_bytes = usage.ru_maxrss * KIB;
	if (in_time && WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	log_error("%s %s: %s", arguments[0], arguments[1],
		  in_time ? "failed" : "took too long, it was ended");
	return in_time ? -ECHILD : -ETIMEDOUT;
}

/* ---------------------------------------------------------------- sizes */

/* The number behind "NAME:" in one of the kernel's files of such lines. */
static __u64 number_read(const char *path, const char *name)
{
	size_t length = strlen(name);
	__u64 number = 0;
	char line[256];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			number = strtoull(line + length + 1, NULL, 10);
	if (file)
		fclose(file);
	return number;
}

__u64 process_bytes(pid_t pid, const char *line)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number_read(path, line) * KIB;
}

void process_peak_reset(pid_t pid)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	file = fopen(path, "we");
	if (!file)
		return;
	fputs("5\n", file); /* proc(5) */
	fclose(file);
}

__u64 pinned_bytes(const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;
	char path[PATH_MAX];
	__u64 sum = 0;

	while (directory && (entry = readdir(directory))) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		fd = entry->d_name[0] == '.' ? -1 : bpf_obj_get(path);
		if (fd < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		sum += number_read(path, "memlock");
		close(fd);
	}
	if (directory)
		closedir(directory);
	return sum;
}
