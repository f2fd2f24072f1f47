// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sources of lists: what is taken, what is refused with the last good list in force, what is not read again; over
 * real files, and over HTTP from a server that says exactly what a case wants it to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/common/scratch.h"
#include "user/config_keys.h"
#include "user/feeds.h"
#include "user/feeds_held.h"
#include "user/fetch.h"
#include "user/fetcher.h"
#include "user/log.h"
#include "user/worker.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---------------------------------------------------------------- the stage */

struct stage {
	char directory[64], file[96], image[128];
	struct config config;
	struct config_list list;
	struct guard guard;
	struct gate25_list_total totals[GATE25_LIST_IDS];
	struct fetcher *fetcher; /* NULL: a load waits for all */
	struct list_image own;	 /* addresses of this host */
	bool bounds_said;	 /* those of the list; else the defaults */
	__u64 now_s;		 /* 0: the clock says */
	/* what the last load gave */
	struct feed_state state;
	struct feed feed;
	size_t entries; /* of the image; 0: none */
};

static int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	*state = stage;
	snprintf(stage->directory, sizeof(stage->directory), "/tmp/gate25-feeds-XXXXXX");
	if (!mkdtemp(stage->directory))
		return -1;
	snprintf(stage->file, sizeof(stage->file), "%s/source", stage->directory);
	snprintf(stage->image, sizeof(stage->image), "%s/lists/one.img", stage->directory);
	stage->config.state_dir = stage->directory;
	stage->config.lists = &stage->list;
	stage->config.lists_count = 1;
	stage->guard.totals = stage->totals;
	snprintf(stage->list.name, sizeof(stage->list.name), "one");
	stage->list.file = stage->file;
	stage->list.refresh_s = 3600;
	return 0;
}

static int stage_teardown(void **state)
{
	struct stage *stage = *state;

	scratch_remove(stage->directory);
	free(stage);
	return 0;
}

static void source_write(const struct stage *stage, const void *text, size_t length)
{
	int fd = open(stage->file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	const struct timespec old[2] = { { .tv_nsec = UTIME_NOW },
					 { .tv_sec = time(NULL) - 3600 - (length % 100) } };

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), (ssize_t)length);
	assert_int_equal(futimens(fd, old), 0); /* not so young that it is read again to be sure */
	close(fd);
}

static void load(struct stage *stage, enum feed_how how)
{
	struct feed_states states = { 0 };

	assert_int_equal(feeds_read(&stage->config, &states), 0);
	assert_int_equal(states.count, 1);
	states.fetcher = stage->fetcher;
	states.now_s = stage->now_s;
	states.own = &stage->own;
	if (!stage->bounds_said) {
		stage->list.non_global = false;
		bounds_begin(&stage->list);
		bounds_finish(&stage->list);
	}
	assert_int_equal(
		feeds_load(&stage->config, how, &stage->guard, &states, NULL, &stage->feed), 0);
	assert_int_equal(feeds_write(&stage->config, &states), 0);
	stage->state = states.array[0];
	stage->entries = 0;
	if (stage->feed.image)
		stage->entries = stage->feed.image->count4 + stage->feed.image->count6;
	feeds_release(&stage->feed, 1);
	free(states.array);
}

static __u64 errors_of(const struct stage *stage, enum gate25_list_error kind)
{
	__u64 sum = 0;

	for (size_t i = 0; i < GATE25_LIST_IDS; i++)
		sum += stage->totals[i].errors[kind];
	return sum;
}

/* `good` lines that are entries, `bad` that are not. */
static char *lines(unsigned int good, unsigned int bad)
{
	char *text = calloc(good + bad + 1, 24);
	size_t length = 0;

	for (unsigned int i = 0; i < good; i++)
		length += sprintf(text + length, "198.51.%u.%u\n", i / 200, i % 200 + 1);
	for (unsigned int i = 0; i < bad; i++)
		length += sprintf(text + length, "198.51.100.300.%u\n", i);
	return text;
}

/* ---------------------------------------------------------------- what is taken and refused */

struct source_case {
	const char *name, *text;
	unsigned int good, bad; /* instead of text */
	size_t entries;		/* 0: refused */
	enum gate25_list_error kind;
	const char *why; /* part of the message */
};

static const struct source_case source_cases[] = {
	{ "a plain list", "# head\n192.0.2.1\n192.0.2.128/25\n2001:db8::/32\n", .entries = 3 },
	{ "no newline at the end", "192.0.2.1", .entries = 1 },
	{ "nothing", "", .kind = GATE25_LIST_ERROR_EMPTY, .why = "no entry" },
	{ "comments only", "# nothing today\n", .kind = GATE25_LIST_ERROR_EMPTY,
	  .why = "no entry" },
	{ "a web page", "<!DOCTYPE html>\n<p>down for maintenance at 192.0.2.1\n",
	  .kind = GATE25_LIST_ERROR_PARSE, .why = "web page" },
	{ "a message instead of a list", "please upgrade your account\n",
	  .kind = GATE25_LIST_ERROR_PARSE, .why = "not a list" },
	{ "a damaged gzip", "\x1f\x8b\x08\x00nothing of the kind",
	  .kind = GATE25_LIST_ERROR_PARSE },
	{ "11 bad of 221 lines", .good = 210, .bad = 11, .entries = 210 },
	{ "10 bad of 60", .good = 50, .bad = 10, .entries = 50 },
	{ "11 bad of 60", .good = 49, .bad = 11, .kind = GATE25_LIST_ERROR_PARSE,
	  .why = "more than 5 % of its lines are bad" },
	{ "11 bad of 219", .good = 208, .bad = 11, .kind = GATE25_LIST_ERROR_PARSE,
	  .why = "more than 5 % of its lines are bad" },
};

static void source_run(const struct source_case *one, struct stage *stage)
{
	char *made = one->text ? NULL : lines(one->good, one->bad);
	const char *text = one->text ? one->text : made;

	source_write(stage, text, strlen(text));
	load(stage, FEED_CHANGED);
	print_message("# %s: %zu entries, error \"%s\"\n", one->name, stage->entries,
		      stage->state.error);
	assert_int_equal(stage->entries, one->entries);
	assert_int_equal(stage->feed.changed, one->entries != 0);
	if (one->entries) {
		assert_string_equal(stage->state.error, "");
		assert_int_equal(stage->feed.error, 0);
		assert_int_equal(errors_of(stage, GATE25_LIST_ERROR_BAD_LINE), one->bad);
		assert_int_equal(stage->state.entries4 + stage->state.entries6, one->entries);
		assert_true(stage->state.last_success_s > 0);
	} else {
		assert_int_equal(errors_of(stage, one->kind), 1);
		assert_non_null(strstr(stage->state.error, one->why ? one->why : ""));
		assert_int_equal(stage->state.failures, 1);
		assert_int_equal(stage->state.last_success_s, 0);
	}
	free(made);
}

static void test_sources(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(source_cases); i++) {
		void *stage = NULL;

		assert_int_equal(stage_setup(&stage), 0);
		source_run(&source_cases[i], stage);
		stage_teardown(&stage);
	}
}

/* ---------------------------------------------------------------- the last good list */

static void test_last_good_stays(void **state)
{
	static const char *const bad[] = { "", "<html>", "192.0.2.300\n" };
	struct stage *stage = *state;

	source_write(stage, "192.0.2.1\n192.0.2.2\n", 20);
	load(stage, FEED_CHANGED);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		source_write(stage, bad[i], strlen(bad[i]));
		load(stage, FEED_CHANGED);
		assert_int_equal(stage->entries, 2);
		assert_false(stage->feed.changed);
		assert_int_equal(stage->feed.error, -EBADMSG);
		assert_int_equal(stage->state.failures, i + 1);
		assert_int_equal(stage->state.entries4, 2);
	}
	assert_int_equal(unlink(stage->file), 0);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 2);
	assert_int_equal(stage->feed.error, -ENOENT);
	assert_int_equal(errors_of(stage, GATE25_LIST_ERROR_READ), 1);
	source_write(stage, "192.0.2.7\n", 10);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 1);
	assert_true(stage->feed.changed);
	assert_int_equal(stage->state.failures, 0);
	assert_string_equal(stage->state.error, "");
}

static void test_cached_reads_no_source(void **state)
{
	struct stage *stage = *state;

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 0);
	assert_int_equal(stage->feed.error, -ENOENT);
	assert_false(feeds_cached(&stage->config));
	load(stage, FEED_CHANGED);
	assert_true(feeds_cached(&stage->config));
	source_write(stage, "192.0.2.1\n192.0.2.2\n", 20);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 1);
	assert_int_equal(stage->feed.error, 0);
	load(stage, FEED_DUE); /* a file is always looked at */
	assert_int_equal(stage->entries, 2);
}

/* Puts another list with the same digest of settings in the image's place: if it comes back, nobody parsed. */
static void image_mark(const struct stage *stage)
{
	struct list_image *image = NULL;

	assert_int_equal(list_image_read(stage->image, &image), 0);
	assert_int_equal(image->count4, 1);
	image->ranges4[0].first = image->ranges4[0].last = 0xc633640d;
	assert_int_equal(list_image_write(image, stage->image), 0);
	list_image_free(image);
}

static bool image_is_marked(const struct stage *stage)
{
	struct list_image *image = NULL;
	bool marked;

	assert_int_equal(list_image_read(stage->image, &image), 0);
	marked = image->ranges4[0].first == 0xc633640d;
	list_image_free(image);
	return marked;
}

static void test_unchanged_is_not_parsed_again(void **state)
{
	struct stage *stage = *state;
	struct timespec before[2] = { { .tv_nsec = UTIME_OMIT }, { 0 } };
	struct stat info;

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	image_mark(stage);
	load(stage, FEED_CHANGED);
	assert_false(stage->feed.changed);
	assert_true(image_is_marked(stage));
	assert_int_equal(stage->state.last_success_s, stage->state.last_attempt_s);

	/* same size and modification time, other bytes: the change time tells */
	assert_int_equal(stat(stage->file, &info), 0);
	before[1] = info.st_mtim;
	source_write(stage, "192.0.2.9\n", 10);
	assert_int_equal(utimensat(AT_FDCWD, stage->file, before, 0), 0);
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.changed);
	assert_false(image_is_marked(stage));

	/* touched, same bytes: read, but not parsed */
	image_mark(stage);
	source_write(stage, "192.0.2.9\n", 10);
	load(stage, FEED_CHANGED);
	assert_false(stage->feed.changed);
	assert_true(image_is_marked(stage));
}

/*
 * Within the clock's grain, which is a second on some file systems, a file may change twice without
 * showing it. Who copies a list with its times changes it now, however old it says it is.
 */
static void test_young_file_is_read_again(void **state)
{
	struct stage *stage = *state;
	const struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->state.identity.inode, 0);
	assert_int_equal(utimensat(AT_FDCWD, stage->file, now, 0), 0);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->state.identity.inode, 0);
}

/* What is known of a source is on disk, so each load() here is one after a restart, too. */
static void test_old_file_is_not_opened(void **state)
{
	struct stage *stage = *state;
	struct inotify_event event;
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	source_write(stage, "192.0.2.1\n", 10);
	sleep(3); /* nothing makes it look older than it is */
	assert_true(inotify_add_watch(watch, stage->file, IN_OPEN) >= 0);
	load(stage, FEED_CHANGED);
	assert_int_equal(read(watch, &event, sizeof(event)), sizeof(event));
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 1);
	load(stage, FEED_DUE);
	assert_int_equal(stage->entries, 1);
	assert_int_equal(read(watch, &event, sizeof(event)), -1);
	assert_int_equal(errno, EAGAIN);

	source_write(stage, "192.0.2.9\n", 10);
	load(stage, FEED_DUE);
	assert_true(stage->feed.changed);
	close(watch);
}

/* A copy of what a list was made from before is never taken for one of what it is made from now. */
static void test_settings_make_the_copy_invalid(void **state)
{
	struct stage *stage = *state;

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	assert_true(feeds_cached(&stage->config));
	stage->list.format = LIST_RBLDNSD;
	assert_false(feeds_cached(&stage->config));
	load(stage, FEED_CACHED);
	assert_true(stage->feed.former);
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.changed);
	assert_false(stage->feed.former);
	stage->config.translated[0][0] = 0x0064ff9b00000000ULL;
	stage->config.translated_count = 1;
	load(stage, FEED_CACHED);
	assert_true(stage->feed.former);
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.changed);
}

/* Until a source is read that is new to a list, what was read from the one before stays. */
static void test_former_source_stands_in(void **state)
{
	struct stage *stage = *state;
	char other[128];

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	snprintf(other, sizeof(other), "%s-moved", stage->file);
	stage->list.file = other;
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 1);
	assert_true(stage->feed.former);
	for (int i = 0; i < 2; i++) {
		load(stage, FEED_CHANGED);
		assert_int_equal(stage->feed.error, -ENOENT);
		assert_int_equal(stage->entries, 1);
		assert_int_equal(stage->state.entries4, 1);
		assert_true(stage->feed.former);
		assert_false(stage->feed.changed);
	}
	assert_int_equal(rename(stage->file, other), 0); /* the very bytes of the former one */
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.changed);
	assert_false(stage->feed.former);
	assert_int_equal(stage->feed.error, 0);
	load(stage, FEED_CACHED);
	assert_false(stage->feed.former);
	assert_int_equal(stage->entries, 1);
}

static void test_former_entries_stand_in(void **state)
{
	struct stage *stage = *state;
	struct prefix entries[] = { { .address = { .family = 4, .lo = 0xc0000200 }, .length = 24 },
				    { .address = { .family = 4, .lo = 0xc6336401 },
				      .length = 32 } };

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	stage->list.file = NULL;
	stage->list.entries = entries;
	stage->list.entries_count = 2;
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 2);
	stage->list.file = "/nonexistent/list.txt";
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->feed.error, -ENOENT);
	assert_true(stage->feed.former);
	assert_int_equal(stage->entries, 2);
}

/* One that blocked never allows; and a list that was away begins anew. */
static void test_former_source_of_another_kind(void **state)
{
	struct stage *stage = *state;
	char states[128];

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	stage->list.allow = true;
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 0);
	assert_int_equal(stage->feed.error, -ENOENT);
	stage->list.allow = false;
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 1);
	stage->list.format = LIST_RBLDNSD;
	snprintf(states, sizeof(states), "%s/feeds.json", stage->directory);
	assert_int_equal(unlink(states), 0);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 0);
}

static void file_damage(const char *path)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "damage", 6, 24), 6);
	close(fd);
}

static void test_damage_means_reading_again(void **state)
{
	struct stage *stage = *state;
	char states[128];

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	file_damage(stage->image);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 0);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 1);
	snprintf(states, sizeof(states), "%s/feeds.json", stage->directory);
	assert_int_equal(truncate(states, 20), 0);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 1);
	assert_int_equal(stage->state.entries4, 1);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 1);
	assert_false(stage->feed.changed);
}

static void test_no_regular_file(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(mkdir(stage->file, 0755), 0);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->feed.error, -EISDIR);
	assert_int_equal(rmdir(stage->file), 0);
	assert_int_equal(mkfifo(stage->file, 0644), 0); /* must not wait for a writer */
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->feed.error, -EINVAL);
	assert_int_equal(errors_of(stage, GATE25_LIST_ERROR_READ), 2);
}

static void test_not_kept_is_read_again(void **state)
{
	struct stage *stage = *state;
	char inner[256];

	source_write(stage, "192.0.2.1\n", 10);
	load(stage, FEED_CHANGED);
	/* a directory in the place of the image: nobody, root neither, can write there */
	assert_int_equal(unlink(stage->image), 0);
	assert_int_equal(mkdir(stage->image, 0755), 0);
	snprintf(inner, sizeof(inner), "%s/x", stage->image);
	close(open(inner, O_CREAT | O_WRONLY, 0644));
	source_write(stage, "192.0.2.1\n192.0.2.2\n", 20);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 2);
	assert_int_equal(errors_of(stage, GATE25_LIST_ERROR_STORE), 1);
	assert_true(stage->state.unsaved);
	load(stage, FEED_DUE);
	assert_int_equal(stage->entries, 2);
	assert_int_equal(errors_of(stage, GATE25_LIST_ERROR_STORE), 2);
}

static void test_entries(void **state)
{
	struct prefix entries[2] = {
		{ { .family = 4, .lo = 0xc0000200 }, 24 },
		{ { .family = 6, .hi = 0x20010db800000000ULL }, 32 },
	};
	struct stage *stage = *state;
	struct list_image *kept = NULL;

	stage->list.file = NULL;
	stage->list.entries = entries;
	stage->list.entries_count = 2;
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 2);
	assert_true(feeds_cached(&stage->config));
	assert_int_equal(stage->state.entries4, 1);
	assert_int_equal(stage->state.entries6, 1);
	assert_true(list_image_read(stage->image, &kept) == 0);
	assert_int_equal(kept->count4, 1);
	list_image_free(kept);
}

/* ---------------------------------------------------------------- a server that obeys */

struct page {
	const char *path, *answer; /* the whole answer, head and body */
	size_t length;		   /* 0: strlen */
	bool stall;		   /* says no more and does not hang up */
};

static struct server {
	int fd;
	unsigned int port;
	pthread_t thread;
	const struct page *pages;
	size_t count;
	char request[2048]; /* the last one's head */
	unsigned int requests;
	int stalled[8];
	unsigned int stalled_count;
} server;

static const struct page *page_find(const char *request)
{
	for (size_t i = 0; i < server.count; i++) {
		size_t length = strlen(server.pages[i].path);

		if (!strncmp(request + 4, server.pages[i].path, length) &&
		    request[4 + length] == ' ')
			return &server.pages[i];
	}
	return NULL;
}

static void serve(int fd)
{
	const struct page *page;
	size_t got = 0;
	ssize_t more;

	while (got < sizeof(server.request) - 1 &&
	       (more = recv(fd, server.request + got, sizeof(server.request) - 1 - got, 0)) > 0) {
		got += more;
		server.request[got] = '\0';
		if (strstr(server.request, "\r\n\r\n"))
			break;
	}
	server.requests++;
	page = got ? page_find(server.request) : NULL;
	if (page)
		send(fd, page->answer, page->length ? page->length : strlen(page->answer),
		     MSG_NOSIGNAL);
	if (page && page->stall && server.stalled_count < ARRAY_SIZE(server.stalled))
		server.stalled[server.stalled_count++] = fd;
	else
		close(fd);
}

static void *server_run(void *unused)
{
	int fd;

	(void)unused;
	while ((fd = accept(server.fd, NULL, NULL)) >= 0)
		serve(fd);
	return NULL;
}

static void server_start(const struct page *pages, size_t count)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);

	memset(&server, 0, sizeof(server));
	server.pages = pages;
	server.count = count;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server.fd, 8), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &length), 0);
	server.port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, server_run, NULL), 0);
}

static void server_stop(void)
{
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	for (unsigned int i = 0; i < server.stalled_count; i++)
		close(server.stalled[i]);
	close(server.fd);
}

static const char *url_of(const char *path, char text[static 128])
{
	snprintf(text, 128, "http://127.0.0.1:%u%s", server.port, path);
	return text;
}

static void load_url(struct stage *stage, const char *path)
{
	char url[128];

	stage->list.file = NULL;
	stage->list.url = (char *)url_of(path, url);
	load(stage, FEED_CHANGED);
	stage->list.url = NULL;
}

/* ---------------------------------------------------------------- http */

#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"

static const struct page plain_pages[] = {
	{ .path = "/good",
	  .answer = OK_HEAD "Content-Length: 20\r\nETag: \"v1\"\r\n"
			    "Last-Modified: Sat, 01 Aug 2026 10:00:00 GMT\r\n\r\n"
			    "192.0.2.1\n192.0.2.2\n" },
	{ .path = "/short", .answer = OK_HEAD "Content-Length: 40\r\n\r\n192.0.2.1\n192.0.2.2\n" },
	{ .path = "/chunks-cut",
	  .answer = OK_HEAD "Transfer-Encoding: chunked\r\n\r\nA\r\n192.0.2.1\n\r\n" },
	{ .path = "/page",
	  .answer = OK_HEAD "Content-Type: text/html\r\n\r\n<html>sold out</html>" },
	{ .path = "/wide", .answer = OK_HEAD "\r\n0.0.0.0/0\n192.0.2.1\n" },
	{ .path = "/empty", .answer = OK_HEAD "Content-Length: 0\r\n\r\n" },
	{ .path = "/404",
	  .answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: "
		    "10\r\n\r\n192.0.2.1\n" },
	{ .path = "/503",
	  .answer = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: "
		    "10\r\n\r\n192.0.2.1\n" },
	{ .path = "/206",
	  .answer = "HTTP/1.1 206 Partial\r\nConnection: close\r\nContent-Length: "
		    "10\r\n\r\n192.0.2.1\n" },
	{ .path = "/304", .answer = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n" },
	{ .path = "/huge", .answer = OK_HEAD "Content-Length: 99999999999\r\n\r\n192.0.2.1\n" },
	{ .path = "/file",
	  .answer = "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n"
		    "Location: file:///etc/passwd\r\n\r\n" },
	{ .path = "/ftp",
	  .answer = "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n"
		    "Location: ftp://127.0.0.1/list\r\n\r\n" },
	{ .path = "/moved",
	  .answer = "HTTP/1.1 301 Moved\r\nConnection: close\r\nContent-Length: 4\r\n"
		    "ETag: \"old\"\r\nLocation: /good\r\n\r\ngone" },
	{ .path = "/loop",
	  .answer = "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n"
		    "Location: /loop\r\n\r\n" },
};

static const struct {
	const char *name, *path;
	size_t entries; /* 0: refused */
	enum gate25_list_error kind;
	const char *why;
} http_cases[] = {
	{ "a list", "/good", .entries = 2 },
	{ "a list that moved", "/moved", .entries = 2 },
	{ "the world on it", "/wide", .entries = 1 },
	{ "cut short", "/short", .kind = GATE25_LIST_ERROR_FETCH },
	{ "cut between chunks", "/chunks-cut", .kind = GATE25_LIST_ERROR_FETCH },
	{ "a web page", "/page", .kind = GATE25_LIST_ERROR_PARSE, .why = "web page" },
	{ "nothing", "/empty", .kind = GATE25_LIST_ERROR_EMPTY },
	{ "not found, though it looks like a list", "/404", .kind = GATE25_LIST_ERROR_FETCH,
	  .why = "404" },
	{ "busy", "/503", .kind = GATE25_LIST_ERROR_FETCH, .why = "503" },
	{ "a part of it", "/206", .kind = GATE25_LIST_ERROR_FETCH, .why = "206" },
	{ "not modified, unasked", "/304", .kind = GATE25_LIST_ERROR_FETCH, .why = "304" },
	{ "larger than any list", "/huge", .kind = GATE25_LIST_ERROR_FETCH, .why = "larger" },
	{ "a redirect to a file", "/file", .kind = GATE25_LIST_ERROR_FETCH },
	{ "a redirect to ftp", "/ftp", .kind = GATE25_LIST_ERROR_FETCH },
	{ "redirects without end", "/loop", .kind = GATE25_LIST_ERROR_FETCH },
};

static void test_http(void **state)
{
	(void)state;
	server_start(plain_pages, ARRAY_SIZE(plain_pages));
	for (size_t i = 0; i < ARRAY_SIZE(http_cases); i++) {
		struct stage *stage = NULL;

		assert_int_equal(stage_setup((void **)&stage), 0);
		load_url(stage, http_cases[i].path);
		print_message("# %s: %zu entries, error \"%s\"\n", http_cases[i].name,
			      stage->entries, stage->state.error);
		assert_int_equal(stage->entries, http_cases[i].entries);
		if (!http_cases[i].entries) {
			assert_int_equal(errors_of(stage, http_cases[i].kind), 1);
			assert_non_null(strstr(stage->state.error,
					       http_cases[i].why ? http_cases[i].why : ""));
		}
		stage_teardown((void **)&stage);
	}
	server_stop();
}

static void test_http_asks_whether_it_changed(void **state)
{
	static const struct page unchanged[] = {
		{ .path = "/good",
		  .answer = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n" },
	};
	static const struct page changed[] = {
		{ .path = "/good",
		  .answer = OK_HEAD "Content-Length: 10\r\nETag: \"v2\"\r\n\r\n192.0.2.9\n" },
	};
	struct stage *stage = *state;

	server_start(plain_pages, ARRAY_SIZE(plain_pages));
	load_url(stage, "/good");
	assert_null(strstr(server.request, "If-"));
	assert_non_null(strstr(server.request, "User-Agent: gate25/"));
	assert_non_null(strstr(server.request, "Accept-Encoding: gzip"));
	assert_string_equal(stage->state.etag, "\"v1\"");

	server.pages = unchanged;
	server.count = 1;
	stage->state.last_success_s = 0;
	load_url(stage, "/good");
	assert_non_null(strstr(server.request, "If-None-Match: \"v1\"\r\n"));
	assert_non_null(
		strstr(server.request, "If-Modified-Since: Sat, 01 Aug 2026 10:00:00 GMT\r\n"));
	assert_int_equal(stage->entries, 2);
	assert_false(stage->feed.changed);
	assert_true(stage->state.last_success_s > 0);
	assert_string_equal(stage->state.error, "");
	assert_string_equal(stage->state.etag, "\"v1\"");

	server.pages = changed;
	load_url(stage, "/good");
	assert_int_equal(stage->entries, 1);
	assert_string_equal(stage->state.etag, "\"v2\"");
	assert_string_equal(stage->state.last_modified, "");
	server_stop();
}

static void test_http_same_is_not_parsed_again(void **state)
{
	static const struct page pages[] = {
		{ .path = "/first",
		  .answer = OK_HEAD "Content-Length: 10\r\nETag: \"v1\"\r\n\r\n192.0.2.9\n" },
		{ .path = "/first",
		  .answer = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n" },
		{ .path = "/first", .answer = OK_HEAD "Content-Length: 10\r\n\r\n192.0.2.9\n" },
		{ .path = "/first", .answer = OK_HEAD "Content-Length: 10\r\n\r\n192.0.2.8\n" },
	};
	struct stage *stage = *state;

	server_start(pages, 1);
	load_url(stage, "/first");
	assert_true(stage->feed.changed);
	image_mark(stage);
	for (size_t i = 1; i < ARRAY_SIZE(pages); i++) {
		bool other = i == 3;

		server.pages = &pages[i];
		load_url(stage, "/first");
		assert_int_equal(stage->feed.changed, other);
		assert_int_equal(image_is_marked(stage), !other);
	}
	server_stop();
}

/* Without the copy "not modified" would leave nothing: the whole is asked for. */
static void test_http_without_copy_asks_for_the_whole(void **state)
{
	struct stage *stage = *state;

	server_start(plain_pages, ARRAY_SIZE(plain_pages));
	load_url(stage, "/good");
	assert_int_equal(unlink(stage->image), 0);
	load_url(stage, "/good");
	assert_null(strstr(server.request, "If-"));
	assert_int_equal(stage->entries, 2);
	server_stop();
}

static void test_http_due(void **state)
{
	struct stage *stage = *state;
	char url[128];
	unsigned int before;

	server_start(plain_pages, ARRAY_SIZE(plain_pages));
	stage->list.file = NULL;
	stage->list.url = (char *)url_of("/good", url);
	load(stage, FEED_DUE);
	assert_int_equal(stage->entries, 2);
	assert_in_range(stage->state.next_refresh_s - stage->state.last_attempt_s, 3600 * 88 / 100,
			3600 * 112 / 100);
	before = server.requests;
	load(stage, FEED_DUE);
	assert_int_equal(server.requests, before);
	assert_int_equal(stage->entries, 2);
	stage->list.url = (char *)url_of("/503", url);
	load(stage, FEED_CHANGED);
	assert_in_range(stage->state.next_refresh_s - stage->state.last_attempt_s, 50, 70);
	server_stop();
}

/* Its settings changed: until it is fetched again a stand-in is in force, so that does not wait an interval. */
static void test_http_without_image_is_due(void **state)
{
	struct stage *stage = *state;
	struct feed_states states = { 0 };
	char url[128];
	unsigned int before;

	server_start(plain_pages, ARRAY_SIZE(plain_pages));
	stage->list.file = NULL;
	stage->list.url = (char *)url_of("/good", url);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 2);
	stage->list.format = LIST_PLAIN;
	load(stage, FEED_CACHED);
	assert_true(stage->feed.former);
	states.array = &stage->state;
	states.count = 1;
	assert_true(feeds_next_refresh(&stage->config, &states) <= (__u64)time(NULL));
	load(stage, FEED_DUE);
	assert_true(stage->feed.changed);

	/* but a source that fails is not asked more often for it */
	stage->list.url = (char *)url_of("/503", url);
	load(stage, FEED_DUE);
	assert_true(stage->feed.former);
	before = server.requests;
	load(stage, FEED_DUE);
	assert_int_equal(server.requests, before);
	server_stop();
}

static size_t gzip(const char *text, char *out, size_t size)
{
	z_stream stream = { 0 };

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	stream.next_in = (unsigned char *)text;
	stream.avail_in = strlen(text);
	stream.next_out = (unsigned char *)out;
	stream.avail_out = size;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return size - stream.avail_out;
}

static void test_http_gzip(void **state)
{
	char body[256], encoded[512], file[512];
	size_t length = gzip("192.0.2.1\n192.0.2.2\n192.0.2.3\n", body, sizeof(body));
	struct page pages[] = { { .path = "/encoded", .answer = encoded },
				{ .path = "/list.gz", .answer = file } };
	struct stage *stage = *state;
	int head;

	head = sprintf(encoded, OK_HEAD "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		       length);
	memcpy(encoded + head, body, length);
	pages[0].length = head + length;
	head = sprintf(file, OK_HEAD "Content-Length: %zu\r\n\r\n", length);
	memcpy(file + head, body, length);
	pages[1].length = head + length;
	server_start(pages, 2);
	load_url(stage, "/encoded");
	assert_int_equal(stage->entries, 3);
	load_url(stage, "/list.gz");
	assert_int_equal(stage->entries, 3);
	server_stop();
}

static void *cancel_soon(void *cancel)
{
	usleep(300000);
	atomic_store((atomic_bool *)cancel, true);
	return NULL;
}

/* One that stalls holds up neither the others nor the end of the agent. */
static void test_http_cancel(void **state)
{
	static const struct page pages[] = {
		{ .path = "/stall",
		  .answer = OK_HEAD "Content-Length: 100\r\n\r\n192.0.2.1\n",
		  .stall = true },
		{ .path = "/good", .answer = OK_HEAD "Content-Length: 10\r\n\r\n192.0.2.9\n" },
	};
	char stall[128], good[128];
	struct fetch fetches[2] = { 0 };
	atomic_bool cancel = false;
	time_t began = time(NULL);
	pthread_t thread;

	(void)state;
	server_start(pages, ARRAY_SIZE(pages));
	fetches[0].url = url_of("/stall", stall);
	fetches[1].url = url_of("/good", good);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	assert_int_equal(fetch_all(fetches, 2, &cancel), -ECANCELED);
	pthread_join(thread, NULL);
	assert_true(time(NULL) - began < 5);
	assert_int_equal(server.requests, 2);
	assert_null(fetches[0].body);
	assert_null(fetches[1].body);
	server_stop();
}

static const struct page slow_pages[] = {
	{ .path = "/stall",
	  .answer = OK_HEAD "Content-Length: 20\r\n\r\n192.0.2.1\n",
	  .stall = true },
	{ .path = "/good", .answer = OK_HEAD "Content-Length: 10\r\n\r\n192.0.2.9\n" },
};

static bool late_told(const struct stage *stage, int wait_ms)
{
	struct pollfd told = { .fd = fetcher_fd(stage->fetcher), .events = POLLIN };
	__u64 count;

	return poll(&told, 1, wait_ms) == 1 && read(told.fd, &count, sizeof(count)) == 8;
}

/* A load waits some seconds for a list, once; what comes later is a later load's. */
static void test_http_late(void **state)
{
	struct stage *stage = *state;
	char url[128];
	time_t began;

	server_start(slow_pages, ARRAY_SIZE(slow_pages));
	assert_int_equal(fetcher_new(&stage->fetcher), 0);
	stage->list.file = NULL;
	stage->list.url = (char *)url_of("/stall", url);
	for (int i = 0; i < 2; i++) {
		began = time(NULL);
		load(stage, FEED_CHANGED);
		assert_in_range(time(NULL) - began, 0, i ? 2 : 8);
		assert_true(stage->feed.late);
		assert_int_equal(stage->feed.error, 0);
		assert_int_equal(stage->entries, 0);
		assert_int_equal(server.requests, 1);
		assert_false(late_told(stage, 0));
	}
	assert_true(stage->state.next_refresh_s > (__u64)time(NULL));
	assert_int_equal(send(server.stalled[0], "192.0.2.2\n", 10, 0), 10);
	assert_true(late_told(stage, 5000));
	load(stage, FEED_DUE);
	assert_false(stage->feed.late);
	assert_true(stage->feed.changed);
	assert_int_equal(stage->entries, 2);
	assert_int_equal(server.requests, 1);
	load(stage, FEED_DUE);
	assert_false(stage->feed.changed);
	fetcher_free(stage->fetcher);
	stage->fetcher = NULL;
	server_stop();
}

/* What a list is not made from any more is of no use when it comes. */
static void test_http_late_moved(void **state)
{
	struct stage *stage = *state;
	char url[128];
	time_t began;

	server_start(slow_pages, ARRAY_SIZE(slow_pages));
	assert_int_equal(fetcher_new(&stage->fetcher), 0);
	stage->list.file = NULL;
	stage->list.url = (char *)url_of("/stall", url);
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.late);
	stage->list.url = (char *)url_of("/good", url);
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 1);
	stage->list.url = (char *)url_of("/stall", url);
	load(stage, FEED_CHANGED);
	assert_true(stage->feed.late);
	assert_true(stage->feed.former);
	assert_int_equal(stage->entries, 1);
	began = time(NULL);
	fetcher_free(stage->fetcher);
	assert_in_range(time(NULL) - began, 0, 3);
	stage->fetcher = NULL;
	server_stop();
}

static void test_url_shown(void **state)
{
	static const char *const cases[][2] = {
		{ "https://lists.example.net/drop.txt", "https://lists.example.net/drop.txt" },
		{ "https://user:secret@lists.example.net/a", "https://lists.example.net/a" },
		{ "https://lists.example.net/a?key=secret#x", "https://lists.example.net/a" },
		{ "https://lists.example.net", "https://lists.example.net" },
		{ "http://[2001:db8::1]:8080/mail@home", "http://[2001:db8::1]:8080/mail@home" },
	};
	char shown[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(fetch_url_shown(cases[i][0], shown, sizeof(shown)),
				    cases[i][1]);
}

/* ---------------------------------------------------------------- what is known */

static void test_states_come_back(void **state)
{
	struct stage *stage = *state;
	struct feed_states states = { 0 }, back = { 0 };
	struct feed_state *one;

	assert_int_equal(feeds_read(&stage->config, &states), 0);
	one = feeds_find(&states, "one");
	assert_non_null(one);
	assert_null(feeds_find(&states, "two"));
	*one = (struct feed_state){
		.name = "one",
		.last_success_s = 1780000000,
		.last_attempt_s = 1780000001,
		.next_refresh_s = 1780003600,
		.entries4 = 50103,
		.entries6 = 7,
		.lines = 60000,
		.bad_lines = 3,
		.error = "said \"no\"\n",
		.etag = "W/\"x\"",
		.last_modified = "Sat",
		.failures = 4,
		.identity = { 1, 2, 3, 4, ~0ULL >> 1 },
		.unsaved = true,
	};
	assert_int_equal(feeds_write(&stage->config, &states), 0);
	assert_int_equal(feeds_read(&stage->config, &back), 0);
	assert_memory_equal(back.array, states.array, sizeof(*states.array));
	snprintf(one->etag, sizeof(one->etag), "\xff\xfe"); /* no UTF-8: not kept, and no harm */
	assert_int_equal(feeds_write(&stage->config, &states), 0);
	free(back.array);
	assert_int_equal(feeds_read(&stage->config, &back), 0);
	assert_string_equal(back.array[0].etag, "");
	assert_int_equal(back.array[0].entries4, 50103);
	free(back.array);
	free(states.array);
}

static void test_next_refresh(void **state)
{
	struct stage *stage = *state;
	struct config_list lists[3] = { { .name = "a", .file = "x" },
					{ .name = "b", .url = "y" },
					{ .name = "c" } };
	struct feed_state known[3] = { { .name = "a", .next_refresh_s = 200 },
				       { .name = "b", .next_refresh_s = 100 },
				       { .name = "c" } };
	struct feed_states states = { .array = known, .count = 3 };

	stage->config.lists = lists;
	stage->config.lists_count = 3;
	assert_int_equal(feeds_next_refresh(&stage->config, &states), 100);
	known[1].next_refresh_s = 0; /* never read: at once */
	assert_int_equal(feeds_next_refresh(&stage->config, &states), 1);
	stage->config.lists = &lists[2];
	stage->config.lists_count = 1;
	assert_int_equal(feeds_next_refresh(&stage->config, &states), 0);
}

/* ---------------------------------------------------------------- held back, and too old */

#define BEGIN_S 1800000000ULL

/* A file with the bounds that a url has by itself. */
static void bounds_as_fetched(struct stage *stage, bool allow)
{
	stage->bounds_said = true;
	stage->list.allow = allow;
	bounds_begin(&stage->list);
	bounds_finish(&stage->list);
	stage->list.bounds.growth = 1;
	stage->list.bounds.shrink = 0.5;
	stage->list.max_age_s = 72 * 3600;
}

static void load_at(struct stage *stage, enum feed_how how, __u64 after_s)
{
	stage->now_s = BEGIN_S + after_s;
	load(stage, how);
}

static void source_holds(const struct stage *stage, unsigned int entries)
{
	char *text = lines(entries, 0);

	source_write(stage, text, strlen(text));
	free(text);
}

static bool is_held(const struct stage *stage)
{
	struct list_image *image = NULL;
	bool held = !held_read(&stage->config, "one", &image);

	list_image_free(image);
	return held;
}

static void held_is(const struct stage *stage, enum gate gate, unsigned int seen, size_t entries)
{
	assert_int_equal(stage->entries, entries);
	assert_int_equal(stage->state.wait.gate, gate);
	assert_int_equal(stage->state.wait.seen, seen);
	assert_int_equal(is_held(stage), gate != GATE_OPEN);
	assert_int_equal(stage->feed.error, gate == GATE_OPEN ? 0 : -EBADMSG);
	assert_int_equal(stage->state.failures, 0);
	assert_int_equal(!strncmp(stage->state.error, "held back: ", 11), gate != GATE_OPEN);
}

/* Each load reads the states from disk, as a process that was started anew does. */
static void test_growth_waits(void **state)
{
	struct stage *stage = *state;

	bounds_as_fetched(stage, false);
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 0);
	held_is(stage, GATE_OPEN, 0, 100);
	source_holds(stage, 2000);
	load_at(stage, FEED_CHANGED, 60);
	held_is(stage, GATE_GROWTH, 1, 100);
	assert_false(stage->feed.changed);
	assert_int_equal(stage->state.last_success_s, BEGIN_S);
	load_at(stage, FEED_CACHED, 120); /* no fetch */
	assert_int_equal(stage->state.wait.seen, 1);
	source_holds(stage, 2010); /* alike */
	load_at(stage, FEED_CHANGED, 3 * 3600);
	held_is(stage, GATE_GROWTH, 2, 100);
	load_at(stage, FEED_CHANGED, 6 * 3600);
	held_is(stage, GATE_GROWTH, 3, 100);
	load_at(stage, FEED_CHANGED, 6 * 3600 + 60);
	held_is(stage, GATE_OPEN, 0, 2010);
	assert_true(stage->feed.changed);
}

static void test_growth_of_others_begins_anew(void **state)
{
	struct stage *stage = *state;

	bounds_as_fetched(stage, false);
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 0);
	for (unsigned int i = 1; i < 6; i++) {
		source_holds(stage, 2000 << i % 2);
		load_at(stage, FEED_CHANGED, i * 6 * 3600);
		held_is(stage, GATE_GROWTH, 1, 100);
	}
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 48 * 3600);
	held_is(stage, GATE_OPEN, 0, 100);
	assert_false(stage->feed.changed);
}

static void test_shrink_waits(void **state)
{
	struct stage *stage = *state;

	for (int allow = 0; allow <= 1; allow++) {
		bounds_as_fetched(stage, allow);
		source_holds(stage, 100);
		load_at(stage, FEED_CHANGED, 0);
		held_is(stage, GATE_OPEN, 0, 100);
		source_holds(stage, 10);
		load_at(stage, FEED_CHANGED, 60);
		held_is(stage, GATE_SHRINK, 1, 100);
		load_at(stage, FEED_CHANGED, 120);
		held_is(stage, allow ? GATE_SHRINK : GATE_OPEN, allow ? 2 : 0, allow ? 100 : 10);
	}
	load_at(stage, FEED_CHANGED, 71 * 3600);
	held_is(stage, GATE_SHRINK, 3, 100);
}

static void test_held_is_accepted(void **state)
{
	struct stage *stage = *state;

	bounds_as_fetched(stage, true);
	assert_int_equal(held_accept(&stage->config, "one"), -ENOENT);
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 0);
	source_holds(stage, 2000);
	load_at(stage, FEED_CHANGED, 60);
	held_is(stage, GATE_GROWTH, 1, 100);
	assert_int_equal(held_accept(&stage->config, "one"), 0);
	load_at(stage, FEED_CACHED, 120);
	held_is(stage, GATE_OPEN, 0, 2000);
	assert_true(stage->feed.changed);
	load_at(stage, FEED_CACHED, 180); /* once */
	held_is(stage, GATE_OPEN, 0, 2000);
	assert_false(stage->feed.changed);
	load_at(stage, FEED_CHANGED, 240);
	held_is(stage, GATE_OPEN, 0, 2000);
	assert_false(stage->feed.changed);
}

/* What was accepted is of a source that the list has no more. */
static void test_accepted_of_a_former_source(void **state)
{
	struct stage *stage = *state;

	bounds_as_fetched(stage, false);
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 0);
	source_holds(stage, 2000);
	load_at(stage, FEED_CHANGED, 60);
	assert_int_equal(held_accept(&stage->config, "one"), 0);
	stage->list.format = LIST_PLAIN;
	load_at(stage, FEED_CACHED, 120);
	assert_int_equal(stage->entries, 100);
	assert_true(stage->feed.former);
}

static void test_max_age(void **state)
{
	struct stage *stage = *state;

	for (int allow = 0; allow <= 1; allow++) {
		size_t left = allow ? 100 : 0;

		bounds_as_fetched(stage, allow);
		source_holds(stage, 100);
		load_at(stage, FEED_CHANGED, 0);
		assert_int_equal(unlink(stage->file), 0);
		load_at(stage, FEED_DUE, 72 * 3600);
		assert_int_equal(stage->entries, 100);
		assert_false(stage->feed.expired);
		load_at(stage, FEED_DUE, 72 * 3600 + 1);
		assert_int_equal(stage->entries, left);
		assert_int_equal(stage->feed.expired, !allow);
		assert_int_equal(stage->feed.changed, !allow);
		assert_true(stage->state.expired);
		load_at(stage, FEED_CACHED, 80 * 3600); /* a restart */
		assert_int_equal(stage->entries, left);
		assert_false(stage->feed.changed);
		source_holds(stage, 100);
		load_at(stage, FEED_CHANGED, 90 * 3600);
		assert_int_equal(stage->entries, 100);
		assert_int_equal(stage->feed.changed, !allow);
		assert_false(stage->state.expired);
	}
}

/* Without feeds.json an image knows its age itself. */
static void test_max_age_without_states(void **state)
{
	struct stage *stage = *state;
	char states[128];

	bounds_as_fetched(stage, false);
	source_holds(stage, 100);
	load_at(stage, FEED_CHANGED, 0);
	snprintf(states, sizeof(states), "%s/feeds.json", stage->directory);
	assert_int_equal(unlink(states), 0);
	load_at(stage, FEED_CACHED, 73 * 3600);
	assert_int_equal(stage->entries, 0);
	assert_true(stage->feed.expired);
}

/* Cut out when it is read, and when an address becomes this host's later. */
static void test_own_addresses(void **state)
{
	static const struct page pages[] = {
		{ .path = "/list",
		  .answer = OK_HEAD "\r\n192.0.2.0/24\n198.51.100.1\n198.51.100.2\n10.0.0.0/8\n" },
	};
	struct range4 own[] = { { 0xc0000207, 0xc0000207 }, { 0xc6336402, 0xc6336402 } };
	struct stage *stage = *state;
	char url[128];

	server_start(pages, 1);
	stage->own = (struct list_image){ .ranges4 = own, .count4 = 1 };
	load_url(stage, "/list");
	assert_int_equal(stage->entries, 4); /* the first is two now */
	assert_int_equal(stage->state.left_out, 2);
	stage->own.count4 = 2;
	stage->list.url = (char *)url_of("/list", url);
	load(stage, FEED_CACHED);
	assert_int_equal(stage->entries, 3);
	assert_true(stage->feed.changed);
	load(stage, FEED_CACHED);
	assert_false(stage->feed.changed);
	stage->bounds_said = true;
	stage->list.non_global = true;
	load(stage, FEED_CHANGED);
	assert_int_equal(stage->entries, 4);
	assert_int_equal(stage->state.left_out, 2);
	server_stop();
}

int main(int argc, char **argv)
{
#define STAGED(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		STAGED(test_last_good_stays),
		STAGED(test_cached_reads_no_source),
		STAGED(test_unchanged_is_not_parsed_again),
		STAGED(test_young_file_is_read_again),
		STAGED(test_old_file_is_not_opened),
		STAGED(test_settings_make_the_copy_invalid),
		STAGED(test_former_source_stands_in),
		STAGED(test_former_entries_stand_in),
		STAGED(test_former_source_of_another_kind),
		STAGED(test_damage_means_reading_again),
		STAGED(test_no_regular_file),
		STAGED(test_not_kept_is_read_again),
		STAGED(test_entries),
		cmocka_unit_test(test_http),
		STAGED(test_http_asks_whether_it_changed),
		STAGED(test_http_same_is_not_parsed_again),
		STAGED(test_http_without_copy_asks_for_the_whole),
		STAGED(test_http_due),
		STAGED(test_http_without_image_is_due),
		STAGED(test_http_gzip),
		STAGED(test_http_late),
		STAGED(test_http_late_moved),
		cmocka_unit_test(test_http_cancel),
		cmocka_unit_test(test_url_shown),
		STAGED(test_states_come_back),
		STAGED(test_next_refresh),
		STAGED(test_growth_waits),
		STAGED(test_growth_of_others_begins_anew),
		STAGED(test_shrink_waits),
		STAGED(test_held_is_accepted),
		STAGED(test_accepted_of_a_former_source),
		STAGED(test_max_age),
		STAGED(test_max_age_without_states),
		STAGED(test_own_addresses),
	};

	if (worker_is_wanted(argc, argv))
		return worker_main();
	log_init("test_feeds", LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
