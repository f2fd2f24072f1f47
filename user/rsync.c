// SPDX-License-Identifier: GPL-2.0-only
/*
 * rsync, as a program that is run.
 *
 * In: rsync://[USER[:PASSWORD]@]HOST/MODULE/FILE and the last copy. Out: the file's bytes. The password goes through the
 * environment of rsync, which nobody else can read, never through its arguments.
 */
#include "user/rsync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPY	   "list"
#define SAID_BYTES 512

struct transfer {
	char url[2048];	     /* without the password */
	char password[1100]; /* RSYNC_PASSWORD=…, or "" */
	char directory[160]; /* its own */
	int said;	     /* what rsync complains of */
};

bool rsync_is_url(const char *url)
{
	return !strncmp(url, RSYNC_SCHEME, strlen(RSYNC_SCHEME));
}

static void url_split(struct transfer *transfer, const char *url)
{
	const char *host = url + strlen(RSYNC_SCHEME), *end = host + strcspn(host, "/");
	const char *at = memrchr(host, '@', end - host);
	const char *colon = at ? memchr(host, ':', at - host) : NULL;

	if (!colon) {
		snprintf(transfer->url, sizeof(transfer->url), "%s", url);
		return;
	}
	snprintf(transfer->url, sizeof(transfer->url), "%.*s%s", (int)(colon - url), url, at);
	snprintf(transfer->password, sizeof(transfer->password), "RSYNC_PASSWORD=%.*s",
		 (int)(at - colon - 1), colon + 1);
}

/* ---------------------------------------------------------------- the copy */

static int copy_lay(int copy)
{
	struct timespec times[2];
	struct stat status;
	off_t at = 0;
	int fd, error = 0;

	if (copy < 0)
		return 0;
	fd = open(COPY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(copy, &status))
		error = -errno;
	while (!error && at < status.st_size)
		if (sendfile(fd, copy, &at, status.st_size - at) <= 0)
			error = -EIO;
	times[0] = times[1] = status.st_mtim;
	if (!error && futimens(fd, times))
		error = -errno;
	close(fd);
	if (error)
		unlink(COPY); /* then the whole is sent */
	return 0;
}

static int copy_take(struct fetch *fetch)
{
	int fd = open(COPY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), error = 0;
	struct stat status;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -EINVAL;
	else if ((size_t)status.st_size > FETCH_BYTES)
		error = -EFBIG;
	if (!error && !(fetch->body = malloc(status.st_size + 1)))
		error = -ENOMEM;
	while (!error && fetch->length < (size_t)status.st_size && got > 0) {
		got = read(fd, fetch->body + fetch->length, status.st_size - fetch->length);
		fetch->length += got > 0 ? got : 0;
	}
	if (!error && fetch->length != (size_t)status.st_size)
		error = -EIO;
	fetch->mtime_s = status.st_mtim.tv_sec;
	close(fd);
	return error;
}

/* ---------------------------------------------------------------- the program */

static _Noreturn void rsync_exec(struct transfer *transfer)
{
	char size[32];
	char *arguments[] = { "rsync",
			      "--times",
			      "--copy-links",
			      "--inplace",
			      "--no-whole-file",
			      "--compress",
			      "--no-motd",
			      "-ii", /* a file is named even if it is as it was */
			      "--contimeout=10",
			      "--timeout=20",
			      size,
			      "--",
			      transfer->url,
			      COPY,
			      NULL };
	char *environment[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
				"RSYNC_PROTECT_ARGS=1",
				transfer->password[0] ? transfer->password : NULL, NULL };

	snprintf(size, sizeof(size), "--max-size=%lu", FETCH_BYTES);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(transfer->said, STDERR_FILENO);
	dup2(transfer->said, STDOUT_FILENO);
	execvpe(arguments[0], arguments, environment);
	_exit(127);
}

static void rsync_why(struct transfer *transfer, int status, struct fetch *fetch)
{
	static const struct {
		int status;
		const char *why;
	} known[] = {
		{ 5, "the server refuses: no such module, or a login is wanted" },
		{ 10, "the server cannot be reached" },
		{ 12, "the connection broke off" },
		{ 23, "no such file there, or it cannot be read" },
		{ 30, "too slow: nothing came for 20 s" },
		{ 35, "the server does not answer" },
		{ 127, "there is no program rsync; install it" },
	};
	char said[SAID_BYTES] = "";
	const char *why = "rsync failed";

	if (pread(transfer->said, said, sizeof(said) - 1, 0) < 0)
		said[0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			why = known[i].why;
	fetch->error = -EIO;
	snprintf(fetch->why, sizeof(fetch->why), "rsync: %s (%d)%s%.80s", why, status,
		 said[0] ? ": " : "", said);
}

/*
 * What is no regular file, or larger than wanted, rsync skips with success: then what lies here is only our own copy.
 * Lines are "YXcstpoguax NAME"; X is f for a file.
 */
static bool rsync_looked(const struct transfer *transfer)
{
	char said[SAID_BYTES] = "";
	const char *line = said;

	if (pread(transfer->said, said, sizeof(said) - 1, 0) < 0)
		return false;
	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (*line && strchr("<>ch.", *line) && line[1] == 'f')
			return true;
	}
	return false;
}

static int rsync_run(struct transfer *transfer, struct fetch *fetch)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (!child)
		rsync_exec(transfer);
	if (waitpid(child, &status, 0) != child)
		return -errno;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (status)
		rsync_why(transfer, status, fetch);
	else if (!rsync_looked(transfer))
		return -ENOENT;
	return 0;
}

/* Each is named after its worker. One that was ended in the middle has left its own. */
static void directories_clear(const char *directory)
{
	DIR *entries = opendir(directory);
	const struct dirent *entry;
	char path[PATH_MAX];

	while (entries && (entry = readdir(entries))) {
		pid_t owner = strtol(entry->d_name, NULL, 10);

		if (owner <= 0 || (owner != getpid() && (!kill(owner, 0) || errno != ESRCH)))
			continue;
		snprintf(path, sizeof(path), "%s/%s/" COPY, directory, entry->d_name);
		unlink(path);
		path[strlen(path) - strlen("/" COPY)] = '\0';
		rmdir(path);
	}
	if (entries)
		closedir(entries);
}

static int directory_enter(struct transfer *transfer, const char *directory)
{
	if (!directory[0])
		return -ENOENT;
	directories_clear(directory);
	snprintf(transfer->directory, sizeof(transfer->directory), "%s/%d", directory,
		 (int)getpid());
	return mkdir(transfer->directory, 0700) || chdir(transfer->directory) ? -errno : 0;
}

static void directory_leave(const struct transfer *transfer)
{
	unlink(COPY);
	if (chdir("/") == 0)
		rmdir(transfer->directory);
}

void rsync_fetch(struct fetch *fetch, const char *directory, int copy)
{
	struct transfer transfer = { .said = memfd_create("said", MFD_CLOEXEC) };
	int error;

	url_split(&transfer, fetch->url);
	error = directory_enter(&transfer, directory);
	if (!error) {
		error = copy_lay(copy);
		if (!error)
			error = rsync_run(&transfer, fetch);
		if (!error && !fetch->error)
			error = copy_take(fetch);
		directory_leave(&transfer);
	}
	explicit_bzero(transfer.password, sizeof(transfer.password));
	if (transfer.said >= 0)
		close(transfer.said);
	if (!error)
		return;
	fetch->error = error;
	snprintf(fetch->why, sizeof(fetch->why), "rsync: %s",
		 error == -EFBIG  ? "larger than a list may be" :
		 error == -ENOENT ? "nothing came; is it no file, or one larger than 256 MiB?" :
				    strerror(-error));
}
