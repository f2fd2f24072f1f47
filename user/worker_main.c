// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker: one errand, one reply, the end.
 *
 * In: a request on its socket. Out: a reply there, with what it made in a sealed memfd. The cage is entered before the
 * first foreign byte is read, and closed further before one is parsed.
 */
#include "user/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/rsync.h"
#include "user/worker_cage.h"

struct errand {
	struct worker_request request;
	struct worker_reply reply;
	int files[WORKER_FILES]; /* by enum worker_file; -1: none */
	int result;
};

/* ---------------------------------------------------------------- the socket */

static int request_read(struct errand *errand)
{
	char control[CMSG_SPACE(WORKER_FILES * sizeof(int))] = { 0 };
	struct iovec bytes = { &errand->request, sizeof(errand->request) };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(WORKER_SOCKET, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int at = 0;

	if (got != sizeof(errand->request) || errand->request.bytes != sizeof(errand->request))
		return -EBADMSG;
	for (int i = 0; i < WORKER_FILES; i++) {
		errand->files[i] = -1;
		if (errand->request.files >> i & 1 && header)
			memcpy(&errand->files[i], CMSG_DATA(header) + sizeof(int) * at++,
			       sizeof(int));
	}
	return 0;
}

static int reply_send(struct errand *errand)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec bytes = { &errand->reply, sizeof(errand->reply) };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
	struct cmsghdr *header;

	errand->reply.bytes = sizeof(errand->reply);
	if (errand->result >= 0) {
		errand->reply.has_result = 1;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &errand->result, sizeof(int));
	}
	return sendmsg(WORKER_SOCKET, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void fail(struct errand *errand, int error, const char *why)
{
	errand->reply.error = error;
	snprintf(errand->reply.why, sizeof(errand->reply.why), "%s", why);
}

/* Nobody changes it any more, we neither. */
static int result_seal(struct errand *errand)
{
	struct stat status;

	if (fcntl(errand->result, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ||
	    fstat(errand->result, &status) || lseek(errand->result, 0, SEEK_SET))
		return -errno;
	errand->reply.length = status.st_size;
	return 0;
}

static int result_write(struct errand *errand, const char *bytes, size_t length)
{
	errand->result = memfd_create("gate25", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (errand->result < 0)
		return -errno;
	while (length) {
		ssize_t written = write(errand->result, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		length -= written;
	}
	return result_seal(errand);
}

/* ---------------------------------------------------------------- fetch */

/* The name by which a library opens what we were given. */
static const char *file_name(const struct errand *errand, enum worker_file file, char name[32])
{
	if (errand->files[file] < 0)
		return NULL;
	snprintf(name, 32, "/proc/self/fd/%d", errand->files[file]);
	return name;
}

static void fetched(struct errand *errand, struct fetch *fetch)
{
	int error = 0;

	if (fetch->error) {
		fail(errand, fetch->error, fetch->why);
		return;
	}
	errand->reply.not_modified = fetch->not_modified;
	errand->reply.mtime_s = fetch->mtime_s;
	errand->reply.ttl_s = fetch->new_ttl_s;
	memcpy(errand->reply.etag, fetch->new_etag, sizeof(errand->reply.etag));
	memcpy(errand->reply.last_modified, fetch->new_last_modified,
	       sizeof(errand->reply.last_modified));
	if (!fetch->not_modified)
		error = result_write(errand, fetch->body, fetch->length);
	if (error)
		fail(errand, error, strerror(-error));
}

static void fetch_do(struct errand *errand)
{
	struct worker_request *request = &errand->request;
	char ca[32], certificate[32], key[32];
	struct fetch_options options = {
		.ca = file_name(errand, WORKER_CA, ca),
		.certificate = file_name(errand, WORKER_CERTIFICATE, certificate),
		.key = file_name(errand, WORKER_KEY, key),
		.proxy = request->fetch.proxy[0] ? request->fetch.proxy : NULL,
	};
	struct fetch fetch = {
		.url = request->fetch.url,
		.etag = request->fetch.etag,
		.last_modified = request->fetch.last_modified,
		.options = &options,
	};

	for (int i = 0; i < FETCH_HEADERS && request->fetch.headers[i][0]; i++)
		options.headers[i] = request->fetch.headers[i];
	if (rsync_is_url(fetch.url))
		rsync_fetch(&fetch, request->directory, errand->files[WORKER_LIST]);
	else
		fetch_all(&fetch, 1, NULL);
	fetched(errand, &fetch);
}

/* ---------------------------------------------------------------- parse */

#ifdef GATE25_WRECK
/* For a test of what becomes of a worker that fails: lists that ask for it. Not in what is installed. */
static void wreck(const char *text, size_t length)
{
	static volatile char *nowhere;

	if (memmem(text, length, "#wreck:crash", 12))
		*nowhere = 1;
	if (memmem(text, length, "#wreck:hang", 11))
		for (;;)
			pause();
	if (memmem(text, length, "#wreck:memory", 13))
		for (;;) {
			char *more = malloc(1 << 20);

			if (!more)
				abort();
			memset(more, 1, 1 << 20);
		}
	if (memmem(text, length, "#wreck:open", 11))
		open("/etc/passwd", O_RDONLY);
}
#else
static void wreck(const char *text, size_t length)
{
	(void)text;
	(void)length;
}
#endif

static void line_keep(void *context, size_t line, const char *why, const char *text, size_t length)
{
	struct worker_reply *reply = context;
	struct worker_line *kept = &reply->lines[reply->lines_count];

	if (reply->lines_count >= WORKER_LINES)
		return;
	kept->number = line;
	snprintf(kept->why, sizeof(kept->why), "%s", why);
	kept->length = length < WORKER_LINE_BYTES ? length : WORKER_LINE_BYTES;
	memcpy(kept->text, text, kept->length);
	reply->lines_count++;
}

static int image_hand_over(struct errand *errand, const struct list_image *image)
{
	int error;

	errand->result = memfd_create("gate25", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (errand->result < 0)
		return -errno;
	error = list_image_write_fd(image, errand->result);
	return error ? error : result_seal(errand);
}

static const char *key_name(const char *text)
{
	return text[0] ? text : NULL;
}

static void text_parse(struct errand *errand, const char *text, size_t length)
{
	struct parse_settings settings = errand->request.parse.settings;
	struct list_facts facts = { 0 };
	struct list_image *image = NULL;
	const char *why = "not a list";
	int error;

	settings.translated = (const __u64(*)[2])errand->request.parse.translated;
	settings.codes = &errand->request.parse.codes;
	settings.column = key_name(errand->request.parse.column);
	settings.member = key_name(errand->request.parse.member);
	settings.facts = &facts;
	settings.bad_line = line_keep;
	settings.context = &errand->reply;
	error = list_parse(text, length, &settings, &image, &why);
	errand->reply.facts = facts;
	errand->reply.facts.cut = NULL;
	snprintf(errand->reply.cut, sizeof(errand->reply.cut), "%s", facts.cut ? facts.cut : "");
	if (!error) {
		error = image_hand_over(errand, image);
		why = strerror(-error);
	}
	if (error)
		fail(errand, error, why);
	list_image_free(image);
}

static void parse_do(struct errand *errand)
{
	size_t length = errand->request.parse.length;
	int fd = errand->files[WORKER_LIST];
	void *text = NULL;

	if (length) {
		text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text == MAP_FAILED) {
			fail(errand, -errno, strerror(errno));
			return;
		}
	}
	/* Both open a file at their first use, which nothing may any more then. */
	json_object_seed(0);
	tzset();
	if (cage_close()) {
		fail(errand, -EPERM, "cannot give up the rights that parsing needs not");
		return;
	}
	wreck(text ? text : "", length);
	text_parse(errand, text ? text : "", length);
}

int worker_main(void)
{
	static struct errand errand = { .result = -1 };
	bool fetches, runs;

	prctl(PR_SET_NAME, "gate25d: lists");
	if (request_read(&errand))
		return EXIT_FAILURE;
	fetches = errand.request.errand == WORKER_FETCH;
	runs = fetches && rsync_is_url(errand.request.fetch.url);
	if (cage_enter(&errand.request, runs))
		fail(&errand, -EPERM,
		     "the process that reads it cannot give up its rights; nothing was read");
	else if (fetches)
		fetch_do(&errand);
	else
		parse_do(&errand);
	if (errand.reply.error && errand.result >= 0) {
		close(errand.result);
		errand.result = -1;
	}
	return reply_send(&errand) ? EXIT_FAILURE : EXIT_SUCCESS;
}
