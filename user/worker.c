// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our side of a worker: makes it, tells it what to do, checks what it says, ends it.
 *
 * In: an errand. Out: what a memfd holds that nobody can change any more, or why not. All that comes from a worker is
 * bounded here; an image is read as one from disk is, with every bound and the order of its ranges checked.
 */
#include "user/worker.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/dataplane.h"
#include "user/log.h"
#include "user/names.h"
#include "user/secret.h"
#include "user/worker_protocol.h"

#define LOOK_MS 50 /* how soon a cancel is seen */
#define SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Pointers in it are carried over one by one: who adds one to parse_settings does so below and in worker_main.c. */
_Static_assert(sizeof(struct parse_settings) == 104, "parse settings that a worker is told");

static struct {
	pthread_mutex_t lock;
	uid_t uid;
	gid_t gid;
	char name[32], directory[128];
	bool told;
} who = { .lock = PTHREAD_MUTEX_INITIALIZER, .uid = -1, .gid = -1 };

bool worker_is_wanted(int argc, char **argv)
{
	return argc == 2 && !strcmp(argv[1], WORKER_ARGUMENT);
}

/* ---------------------------------------------------------------- who it runs as */

/* The right to end it belongs to that of making it somebody else's. */
static bool may_become(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_KILL);
}

static bool user_find(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwnam_r(name, &entry, text, sizeof(text), &found) || !found)
		return false;
	*uid = entry.pw_uid;
	*gid = entry.pw_gid;
	return true;
}

static void user_choose(const char *user)
{
	const char *const names[] = { user ? user : WORKER_USER, "nobody" };

	who.uid = who.gid = -1;
	snprintf(who.name, sizeof(who.name), "%s", names[0]);
	if (geteuid() != 0)
		return;
	if (!may_become()) {
		if (!who.told)
			log_warning("lists are fetched and parsed as root without capabilities: to "
				    "do it as %s, CapabilityBoundingSet= needs CAP_SETUID, "
				    "CAP_SETGID and CAP_KILL",
				    names[0]);
		who.told = true;
		return;
	}
	for (int i = 0; i < 2; i++)
		if (user_find(names[i], &who.uid, &who.gid)) {
			if (i && !who.told)
				log_notice("there is no user %s: lists are fetched and parsed as "
					   "nobody; to have one: useradd --system --shell "
					   "/usr/sbin/nologin %s",
					   names[0], names[0]);
			who.told = true;
			return;
		}
}

void worker_configure(const char *user, const char *run_dir)
{
	pthread_mutex_lock(&who.lock);
	user_choose(user);
	who.directory[0] = '\0';
	if (run_dir)
		snprintf(who.directory, sizeof(who.directory), "%s/worker", run_dir);
	pthread_mutex_unlock(&who.lock);
}

static void request_begin(struct worker_request *request, enum worker_errand errand)
{
	memset(request, 0, sizeof(*request));
	request->bytes = sizeof(*request);
	request->errand = errand;
	pthread_mutex_lock(&who.lock);
	request->uid = who.uid;
	request->gid = who.gid;
	if (errand == WORKER_FETCH)
		memcpy(request->directory, who.directory, sizeof(request->directory));
	pthread_mutex_unlock(&who.lock);
}

/* ---------------------------------------------------------------- making one */

struct worker {
	pid_t pid;
	int socket;
	const struct worker_request *request;
	int files[WORKER_FILES];
	unsigned int files_count;
	unsigned int limit_s;
	const atomic_bool *cancel;
	char why[WORKER_TEXT]; /* what became of it, where it is its fault */
};

/* Nothing of ours but what its errand needs: no secret of the environment, no socket of systemd's. */
static char **environment_make(char *fixed[16])
{
	static const char *const kept[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					    "all_proxy",  "ALL_PROXY",	 "no_proxy",
					    "NO_PROXY",	  "TZ",		 "ASAN_OPTIONS" };
	size_t count = 0;

	fixed[count++] = "PATH=/usr/local/bin:/usr/bin:/bin";
	fixed[count++] = "LC_ALL=C";
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = getenv(kept[i]);

		if (value) /* as it stands in environ, with its name before it */
			fixed[count++] = (char *)(value - strlen(kept[i]) - 1);
	}
	fixed[count] = NULL;
	return fixed;
}

static int actions_make(posix_spawn_file_actions_t *actions, int socket)
{
	int error = posix_spawn_file_actions_adddup2(actions, socket, WORKER_SOCKET);

	for (int fd = 0; !error && fd < 3; fd++)
		error = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
	return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, WORKER_SOCKET + 1);
}

static int process_make(struct worker *worker, int socket)
{
	char *const arguments[] = { "gate25d: lists", WORKER_ARGUMENT, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *environment[16];
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	error = actions_make(&actions, socket);
	if (!error)
		error = posix_spawn(&worker->pid, "/proc/self/exe", &actions, &attributes,
				    arguments, environment_make(environment));
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int request_send(const struct worker *worker)
{
	char control[CMSG_SPACE(WORKER_FILES * sizeof(int))] = { 0 };
	struct iovec bytes = { (void *)worker->request, sizeof(*worker->request) };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
	size_t size = worker->files_count * sizeof(int);
	struct cmsghdr *header;

	if (size) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(size);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(header), worker->files, size);
	}
	return sendmsg(worker->socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int worker_begin(struct worker *worker)
{
	int pair[2], error;

	worker->pid = -1;
	worker->socket = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	worker->socket = pair[0];
	error = process_make(worker, pair[1]);
	close(pair[1]);
	return error ? error : request_send(worker);
}

/* ---------------------------------------------------------------- what it says */

/* 0: it said something, or is gone. */
static int answer_wait(const struct worker *worker)
{
	__u64 until = monotonic_ms() + worker->limit_s * 1000ULL;
	struct pollfd answer = { .fd = worker->socket, .events = POLLIN };

	for (;;) {
		int ready = poll(&answer, 1, LOOK_MS);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (worker->cancel && atomic_load(worker->cancel))
			return -ECANCELED;
		if (monotonic_ms() > until)
			return -ETIMEDOUT;
	}
}

/* It goes to logs and into JSON, which takes no bytes that are not UTF-8. */
static void text_end(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void texts_end(struct worker_reply *reply)
{
	text_end(reply->why, sizeof(reply->why));
	text_end(reply->cut, sizeof(reply->cut));
	text_end(reply->etag, sizeof(reply->etag));
	text_end(reply->last_modified, sizeof(reply->last_modified));
	if (reply->lines_count > WORKER_LINES)
		reply->lines_count = WORKER_LINES;
	for (unsigned int i = 0; i < reply->lines_count; i++) {
		text_end(reply->lines[i].why, sizeof(reply->lines[i].why));
		if (reply->lines[i].length > WORKER_LINE_BYTES)
			reply->lines[i].length = WORKER_LINE_BYTES;
	}
}

/* The only descriptor that is taken, and it is closed on exec. */
static int descriptor_of(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static int answer_take(struct worker *worker, struct worker_reply *reply, int *result)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec bytes = { reply, sizeof(*reply) };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(worker->socket, &message, MSG_CMSG_CLOEXEC);

	*result = descriptor_of(&message);
	if (got != sizeof(*reply) || reply->bytes != sizeof(*reply) || reply->error > 0)
		return -ECHILD;
	texts_end(reply);
	return 0;
}

/* Its end is told by its socket first; a moment later it can be collected. */
static void worker_end(struct worker *worker, bool kill_it)
{
	int status = 0;
	pid_t ended = 0;

	if (worker->socket >= 0)
		close(worker->socket);
	if (worker->pid < 0)
		return;
	if (!kill_it) /* with its socket it has lost what it lives for */
		for (int i = 0; i < 100 && !(ended = waitpid(worker->pid, &status, WNOHANG)); i++)
			usleep(1000 * LOOK_MS / 50);
	if (!ended && kill(worker->pid, SIGKILL) == 0)
		ended = waitpid(worker->pid, &status, 0);
	else if (!ended)
		log_error("worker %d cannot be ended: %s", (int)worker->pid, strerror(errno));
	if (ended == worker->pid && WIFSIGNALED(status))
		snprintf(worker->why, sizeof(worker->why),
			 "the process that read it was ended by signal %d (%s)%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)),
			 WTERMSIG(status) == SIGKILL ? "; out of memory?" : "");
	else if (ended == worker->pid)
		snprintf(worker->why, sizeof(worker->why),
			 "the process that read it gave up (exit status %d)", WEXITSTATUS(status));
}

/*
 * A whole errand. 0: *reply is said, and *result is its memfd or -1. Else -errno, with worker->why where it was
 * the worker's fault (-ECHILD).
 */
static int worker_run(struct worker *worker, struct worker_reply *reply, int *result)
{
	int error = worker_begin(worker);

	*result = -1;
	if (error && worker->pid < 0) {
		snprintf(worker->why, sizeof(worker->why), "no process to read it in: %s",
			 strerror(-error));
		worker_end(worker, false);
		return -ECHILD;
	}
	/* One that went away has said why; else it waits for what never comes. */
	if (!error || error == -EPIPE || error == -ECONNRESET)
		error = answer_wait(worker);
	if (!error)
		error = answer_take(worker, reply, result);
	worker_end(worker, error && error != -ECHILD);
	if (error == -ETIMEDOUT) {
		snprintf(worker->why, sizeof(worker->why),
			 "the process that read it hung for %u s and was ended", worker->limit_s);
		error = -ECHILD;
	}
	if (error && *result >= 0) {
		close(*result);
		*result = -1;
	}
	return error;
}

/* What can still change under us is not looked at. */
static int result_check(int fd, const struct worker_reply *reply, size_t most)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	if (fd < 0 || seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status))
		return -EBADMSG;
	return (__u64)status.st_size == reply->length && reply->length <= most ? 0 : -EBADMSG;
}

/* ---------------------------------------------------------------- files to send along */

/* In memory, since a worker may not open what root may; and what it has is not what a name means later. */
static int file_of_bytes(const void *bytes, size_t length)
{
	const char *at = bytes;
	int fd = memfd_create("gate25", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (fd < 0)
		return -errno;
	while (length) {
		ssize_t written = write(fd, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			error = -errno;
			close(fd);
			return error;
		}
		at += written;
		length -= written;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void files_close(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->files_count; i++)
		close(worker->files[i]);
	worker->files_count = 0;
}

static void file_add(struct worker *worker, struct worker_request *request, enum worker_file file,
		     int fd)
{
	request->files |= 1u << file;
	worker->files[worker->files_count++] = fd;
}

/* ---------------------------------------------------------------- fetch */

static int fetch_fail(struct fetch *fetch, int error, const char *why)
{
	fetch->error = error;
	snprintf(fetch->why, sizeof(fetch->why), "%.*s", (int)sizeof(fetch->why) - 1, why);
	return error;
}

static int certificates_add(struct worker *worker, struct worker_request *request,
			    struct fetch *fetch)
{
	const struct fetch_options *options = fetch->options;
	const struct {
		enum worker_file file;
		const char *path;
	} files[] = { { WORKER_CA, options->ca },
		      { WORKER_CERTIFICATE, options->certificate },
		      { WORKER_KEY, options->key } };
	char text[FETCH_PEM], why[300];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd, length;

		if (!files[i].path)
			continue;
		length = secret_file(files[i].path, false, text, sizeof(text));
		fd = length < 0 ? length : file_of_bytes(text, length);
		explicit_bzero(text, sizeof(text));
		if (fd < 0) {
			snprintf(why, sizeof(why), "cannot read %s: %s", files[i].path,
				 strerror(-fd));
			return fetch_fail(fetch, fd, why);
		}
		file_add(worker, request, files[i].file, fd);
	}
	return 0;
}

/* ${cred:NAME} for what it stands for, here and nowhere else. */
static int secrets_put(struct worker_request *request, struct fetch *fetch, struct secrets *secrets)
{
	const struct fetch_options *options = fetch->options;
	const char *directory = fetch->credentials;
	char why[SECRET_WHY];
	int error =
		secret_expand(directory, fetch->url, request->fetch.url, WORKER_URL, secrets, why);

	for (size_t i = 0; !error && options && i < FETCH_HEADERS && options->headers[i]; i++)
		error = secret_expand(directory, options->headers[i], request->fetch.headers[i],
				      FETCH_HEADER, secrets, why);
	if (!error && options && options->proxy)
		error = secret_expand(directory, options->proxy, request->fetch.proxy, FETCH_PROXY,
				      secrets, why);
	return error ? fetch_fail(fetch, error, why) : 0;
}

static int fetch_ask(struct worker *worker, struct worker_request *request, struct fetch *fetch,
		     struct secrets *secrets)
{
	int error = secrets_put(request, fetch, secrets), fd;

	if (error)
		return error;
	snprintf(request->fetch.etag, FETCH_ETAG, "%s", fetch->etag ? fetch->etag : "");
	snprintf(request->fetch.last_modified, FETCH_LAST_MODIFIED, "%s",
		 fetch->last_modified ? fetch->last_modified : "");
	if (fetch->copy) {
		fd = open(fetch->copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			file_add(worker, request, WORKER_LIST, fd);
	}
	return fetch->options ? certificates_add(worker, request, fetch) : 0;
}

static void body_take(struct fetch *fetch, const struct worker_reply *reply, int fd,
		      const struct secrets *secrets)
{
	int error = result_check(fd, reply, FETCH_BYTES);
	void *body = NULL;

	if (!error && reply->length) {
		body = mmap(NULL, reply->length, PROT_READ, MAP_SHARED, fd, 0);
		error = body == MAP_FAILED ? -errno : 0;
	}
	if (error) {
		fetch_fail(fetch, error, "what it was handed over in is not as it should be");
		return;
	}
	fetch->body = body;
	fetch->mapped = true;
	fetch->length = reply->length;
	fetch->mtime_s = reply->mtime_s;
	if (fetch_hold(fetch))
		return;
	if (body && names_is_url(fetch->url))
		names_notes_log(body, fetch->length);
	if (body && secrets_are_in(secrets, body, reply->length)) {
		fetch_release(fetch);
		fetch_fail(fetch, -EPROTO,
			   "the answer repeats a credential that it was asked with; not taken");
	}
}

static bool asks_for_change(const struct fetch *fetch)
{
	return (fetch->etag && *fetch->etag) || (fetch->last_modified && *fetch->last_modified);
}

static void answer_use(struct fetch *fetch, struct worker_reply *reply, int fd,
		       const struct secrets *secrets)
{
	secrets_hide(secrets, reply->why, sizeof(reply->why));
	if (reply->error) {
		fetch_fail(fetch, reply->error, reply->why);
		return;
	}
	fetch->not_modified = reply->not_modified;
	if (fetch->not_modified && !asks_for_change(fetch)) {
		fetch_fail(fetch, -EPROTO,
			   "\"not modified\", but nothing was asked to be compared");
		return;
	}
	fetch->new_ttl_s = reply->ttl_s > NAMES_TTL_MOST_S ? NAMES_TTL_MOST_S : reply->ttl_s;
	if (!secrets_are_in(secrets, reply->etag, strlen(reply->etag)))
		memcpy(fetch->new_etag, reply->etag, sizeof(fetch->new_etag));
	if (!secrets_are_in(secrets, reply->last_modified, strlen(reply->last_modified)))
		memcpy(fetch->new_last_modified, reply->last_modified,
		       sizeof(fetch->new_last_modified));
	if (!fetch->not_modified)
		body_take(fetch, reply, fd, secrets);
}

int worker_fetch(struct fetch *fetch, const atomic_bool *cancel)
{
	struct worker_request *request = malloc(sizeof(*request));
	struct worker_reply *reply = calloc(1, sizeof(*reply));
	struct worker worker = { .request = request, .limit_s = WORKER_FETCH_S, .cancel = cancel };
	struct secrets secrets = { .count = 0 };
	int error = -ENOMEM, fd = -1;

	if (request && reply) {
		request_begin(request, WORKER_FETCH);
		error = fetch_ask(&worker, request, fetch, &secrets);
	}
	if (!error) {
		error = worker_run(&worker, reply, &fd);
		if (error == -ECHILD)
			fetch_fail(fetch, error, worker.why);
		if (!error)
			answer_use(fetch, reply, fd, &secrets);
	}
	if (fd >= 0)
		close(fd);
	files_close(&worker);
	secrets_forget(&secrets);
	if (request)
		explicit_bzero(request, sizeof(*request));
	free(request);
	free(reply);
	if (error && !fetch->error)
		fetch_fail(fetch, error, strerror(-error));
	return error == -ECANCELED ? error : 0;
}

/* ---------------------------------------------------------------- parse */

static _Thread_local char parse_why[WORKER_TEXT];

static int parse_ask(struct worker *worker, struct worker_request *request, const void *text,
		     size_t length, const struct parse_settings *settings)
{
	struct parse_settings *told = &request->parse.settings;
	int fd = file_of_bytes(text, length);

	if (fd < 0)
		return fd;
	file_add(worker, request, WORKER_LIST, fd);
	*told = *settings;
	told->translated = NULL;
	told->bad_line = NULL;
	told->context = NULL;
	told->facts = NULL;
	told->codes = NULL;
	told->column = told->member = NULL;
	if (settings->codes)
		request->parse.codes = *settings->codes;
	snprintf(request->parse.column, WORKER_KEY_NAME, "%s",
		 settings->column ? settings->column : "");
	snprintf(request->parse.member, WORKER_KEY_NAME, "%s",
		 settings->member ? settings->member : "");
	if (told->translated_count > GATE25_TRANSLATED)
		return -EINVAL;
	if (told->translated_count)
		memcpy(request->parse.translated, settings->translated,
		       told->translated_count * sizeof(settings->translated[0]));
	request->parse.length = length;
	return 0;
}

static void lines_tell(const struct worker_reply *reply, const struct parse_settings *settings)
{
	for (unsigned int i = 0; settings->bad_line && i < reply->lines_count; i++)
		settings->bad_line(settings->context, reply->lines[i].number, reply->lines[i].why,
				   reply->lines[i].text, reply->lines[i].length);
}

static _Thread_local char parse_cut[96];

static void facts_take(const struct worker_reply *reply, struct list_facts *facts)
{
	if (!facts)
		return;
	*facts = reply->facts;
	if ((unsigned int)facts->format >= LIST_FORMATS)
		facts->format = LIST_AUTO;
	memcpy(parse_cut, reply->cut, sizeof(parse_cut));
	facts->cut = parse_cut[0] ? parse_cut : NULL;
}

static int image_take(int fd, const struct worker_reply *reply, struct list_image **out)
{
	int error = result_check(fd, reply, LIST_IMAGE_BYTES);

	if (!error)
		error = list_image_read_fd(fd, out);
	if (error)
		snprintf(parse_why, sizeof(parse_why),
			 "what it was handed over in is not as it should be");
	return error;
}

int worker_parse(const void *text, size_t length, const struct parse_settings *settings,
		 struct list_image **out, const char **why)
{
	struct worker_request *request = malloc(sizeof(*request));
	struct worker_reply *reply = calloc(1, sizeof(*reply));
	struct worker worker = { .request = request, .limit_s = WORKER_PARSE_S };
	int error = -ENOMEM, fd = -1;

	snprintf(parse_why, sizeof(parse_why), "%s", strerror(ENOMEM));
	*why = parse_why;
	if (request && reply) {
		request_begin(request, WORKER_PARSE);
		error = parse_ask(&worker, request, text, length, settings);
	}
	if (!error) {
		error = worker_run(&worker, reply, &fd);
		if (error)
			snprintf(parse_why, sizeof(parse_why), "%s", worker.why);
	}
	if (!error) {
		lines_tell(reply, settings);
		facts_take(reply, settings->facts);
		memcpy(parse_why, reply->why, sizeof(parse_why));
		error = reply->error ? reply->error : image_take(fd, reply, out);
	}
	if (fd >= 0)
		close(fd);
	files_close(&worker);
	free(request);
	free(reply);
	return error;
}
