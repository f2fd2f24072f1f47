// SPDX-License-Identifier: GPL-2.0-only
/*
 * The real UCEPROTECT zone, three answers to one question: rbldnsd serving the file, `gate25 test` over the
 * maps in force, and the program in force run over a SYN of that address (BPF_PROG_TEST_RUN).
 *
 * Addresses are drawn from the zone, from right beside its entries, and at random. 127/8 is left out: there the
 * zone holds its test records, which gate25 never blocks.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* behind what it needs */
#include <cmocka.h>

#include "tests/common/random_frames.h"
#include "user/lists/parse.h"

#define QUESTIONS 20000
#define DNS_PORT  5300
#define IN_FLIGHT 64
#define FILE_NAME "dnsbl-1.uceprotect.net"

static char folder[] = "/tmp/zone.XXXXXX";
static char zone[512];
static pid_t server = -1;
static __u32 questions[QUESTIONS];
static bool listed[QUESTIONS], blocked[QUESTIONS], dropped[QUESTIONS];
static unsigned int seed = 7;

/* ------------------------------------------------------------------ stage */

static int run(const char *format, ...)
{
	char command[1024];
	va_list arguments;
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	status = system(command);
	if (status)
		print_message("failed: %s\n", command);
	return status;
}

static bool find_zone(void)
{
	const char *feeds = getenv("GATE25_FEEDS");

	snprintf(zone, sizeof(zone), "%s/" FILE_NAME, feeds ? feeds : "../shared/feeds");
	return access(zone, R_OK) == 0;
}

static int write_config(void)
{
	char path[128], full[PATH_MAX];
	FILE *file;

	if (!realpath(zone, full))
		return -errno;
	snprintf(path, sizeof(path), "%s/gate25.yaml", folder);
	file = fopen(path, "w");
	if (!file)
		return -errno;
	fprintf(file,
		"interfaces: [mx0]\npolicy: enforce\nthreshold: 1\n"
		"lists:\n  - {name: uceprotect-1, file: %s, format: rbldnsd, weight: 1}\n"
		"metrics: {listen: off}\nstate_dir: %s/state\nrun_dir: %s/run\npin_dir: "
		"%s/bpf/gate25\n",
		full, folder, folder, folder);
	return fclose(file) ? -errno : 0;
}

static int start_server(void)
{
	char listen[64], data[600];

	snprintf(listen, sizeof(listen), "127.0.0.1/%d", DNS_PORT);
	snprintf(data, sizeof(data), "bl.test:ip4set:%s", zone);
	server = fork();
	if (server == 0) {
		int log = open("/dev/null", O_WRONLY);

		dup2(log, 1);
		dup2(log, 2);
		execlp("rbldnsd", "rbldnsd", "-n", "-b", listen, "-u", "rbldns", data, NULL);
		_exit(127);
	}
	return server < 0 ? -errno : 0;
}

static int setup(void **state)
{
	(void)state;
	if (!find_zone()) {
		print_message("skipped: no %s (GATE25_FEEDS names its folder)\n", zone);
		return 0;
	}
	if (geteuid() || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		print_message("needs root: %s\n", strerror(errno));
		return -1;
	}
	if (!mkdtemp(folder) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	if (run("mkdir -p %s/bpf %s/state %s/run && mount -t bpf bpf %s/bpf", folder, folder,
		folder, folder) ||
	    run("ip link set lo up && ip link add mx0 type veth peer name wire && "
		"ip link set mx0 up && ip link set wire up"))
		return -1;
	return write_config() || start_server() ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	if (strcmp(folder + strlen(folder) - 6, "XXXXXX") != 0)
		run("umount %s/bpf && rm -r %s", folder, folder);
	return 0;
}

/* ------------------------------------------------------------------ questions */

static size_t draw_questions(void)
{
	struct parse_settings settings = { .format = LIST_RBLDNSD };
	struct list_image *image = NULL;
	const char *why = "";
	size_t left_out = 0, length = 0;
	FILE *file = fopen(zone, "r");
	char *text = malloc(16 << 20);

	assert_non_null(file);
	assert_non_null(text);
	length = fread(text, 1, 16 << 20, file);
	fclose(file);
	assert_int_equal(list_parse(text, length, &settings, &image, &why), 0);
	for (size_t i = 0; i < QUESTIONS;) {
		const struct range4 *range = &image->ranges4[(size_t)rand_r(&seed) % image->count4];
		__u32 address = (__u32)rand_r(&seed) << 16 ^ (__u32)rand_r(&seed);

		if (i % 5 < 2)
			address = range->first + address % (range->last - range->first + 1);
		else if (i % 5 < 4)
			address = address % 2 ? range->first - 1 : range->last + 1;
		if (address >> 24 == 127)
			left_out++;
		else
			questions[i++] = address;
	}
	list_image_free(image);
	free(text);
	return left_out;
}

/* ------------------------------------------------------------------ rbldnsd */

static size_t dns_question(__u16 id, __u32 address, unsigned char *out)
{
	char labels[5][16];
	size_t at = 12;

	memset(out, 0, 12);
	out[0] = id >> 8;
	out[1] = id & 0xff;
	out[5] = 1;
	for (int i = 0; i < 4; i++)
		snprintf(labels[i], 16, "%u", address >> (8 * i) & 255);
	for (int i = 0; i < 6; i++) {
		const char *label = i < 4 ? labels[i] : i == 4 ? "bl" : "test";

		out[at] =
			snprintf((char *)out + at + 1, 16, "%s", label); /* its 0 is overwritten */
		at += 1 + out[at];
	}
	memset(out + at, 0, 5); /* the root; then type A, class IN */
	out[at + 2] = out[at + 4] = 1;
	return at + 5;
}

/* Questions i to i + count; the id of a question is its place among them. */
static void ask_server(int fd, size_t first, size_t count)
{
	bool answered[IN_FLIGHT] = { false };
	unsigned char packet[512];
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	for (size_t i = 0; i < count; i++) {
		size_t length = dns_question(i, questions[first + i], packet);

		assert_int_equal(send(fd, packet, length, 0), length);
	}
	for (size_t left = count; left;) {
		ssize_t got;
		unsigned int id;

		if (poll(&ready, 1, 5000) <= 0)
			fail_msg("rbldnsd does not answer");
		got = recv(fd, packet, sizeof(packet), 0);
		id = packet[0] << 8 | packet[1];
		if (got < 12 || id >= count || answered[id])
			continue;
		answered[id] = true;
		left--;
		listed[first + id] = packet[7] > 0; /* answers; rcode 3 has none */
	}
}

static void ask_rbldnsd(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(DNS_PORT),
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	unsigned char packet[64];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int tries = 0; tries < 100; tries++) { /* it loads the zone first */
		size_t length = dns_question(0, 0x7f000002, packet);

		if (send(fd, packet, length, 0) == (ssize_t)length && poll(&ready, 1, 100) > 0 &&
		    recv(fd, packet, sizeof(packet), 0) > 0)
			break;
		usleep(50000);
	}
	for (size_t i = 0; i < QUESTIONS; i += IN_FLIGHT)
		ask_server(fd, i, QUESTIONS - i < IN_FLIGHT ? QUESTIONS - i : IN_FLIGHT);
	close(fd);
}

/* ------------------------------------------------------------------ gate25 test */

static void ask_gate25(void)
{
	char path[128], line[1024];
	FILE *file;
	size_t at = 0;

	snprintf(path, sizeof(path), "%s/questions", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	for (size_t i = 0; i < QUESTIONS; i++)
		fprintf(file, "%u.%u.%u.%u\n", questions[i] >> 24, questions[i] >> 16 & 255,
			questions[i] >> 8 & 255, questions[i] & 255);
	fclose(file);
	assert_int_equal(
		run("for word in load reload; do ${BUILD:-build}/gate25 -c %s/gate25.yaml $word "
		    "|| exit 1; done",
		    folder),
		0);
	/* exit 3: not every address is blocked, as it must be here */
	assert_int_equal(
		run("${BUILD:-build}/gate25 -c %s/gate25.yaml test - < %s/questions > %s/answers; "
		    "test $? = 3",
		    folder, folder, folder),
		0);
	snprintf(path, sizeof(path), "%s/answers", folder);
	file = fopen(path, "r");
	assert_non_null(file);
	while (at < QUESTIONS && fgets(line, sizeof(line), file)) {
		char verdict[32], address[64];
		struct in_addr parsed;

		assert_int_equal(sscanf(line, "%31s %63s", verdict, address), 2);
		assert_int_equal(inet_pton(AF_INET, address, &parsed), 1);
		assert_int_equal(ntohl(parsed.s_addr), questions[at]);
		blocked[at++] = !strcmp(verdict, "BLOCKED");
	}
	fclose(file);
	assert_int_equal(at, QUESTIONS);
}

/* ------------------------------------------------------------------ the program in force */

static void ask_program(void)
{
	char pattern[128];
	unsigned char frame[FRAME_BYTES];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/bpf/gate25/gen/*/prog", folder);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	fd = bpf_obj_get(found.gl_pathv[0]);
	globfree(&found);
	assert_true(fd >= 0);
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct frame_spec spec = { .family = 4,
					   .protocol = IPPROTO_TCP,
					   .flags = 2,
					   .source = { .lo = questions[i], .family = 4 },
					   .destination = { .lo = 0xc0000219, .family = 4 },
					   .source_port = 40000,
					   .destination_port = 25,
					   .id = i };
		size_t length = frame_build(&spec, frame);
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length,
			    .repeat = 1);

		assert_int_equal(bpf_prog_test_run_opts(fd, &options), 0);
		dropped[i] = options.retval == XDP_DROP;
	}
	close(fd);
}

static void test_zone(void **state)
{
	size_t left_out, hits = 0, differ = 0;

	(void)state;
	if (!find_zone())
		skip();
	left_out = draw_questions();
	ask_rbldnsd();
	ask_gate25();
	ask_program();
	for (size_t i = 0; i < QUESTIONS; i++) {
		hits += listed[i];
		if (listed[i] == blocked[i] && blocked[i] == dropped[i])
			continue;
		if (differ++ < 10)
			print_message("%u.%u.%u.%u: rbldnsd %d, gate25 test %d, program %d\n",
				      questions[i] >> 24, questions[i] >> 16 & 255,
				      questions[i] >> 8 & 255, questions[i] & 255, listed[i],
				      blocked[i], dropped[i]);
	}
	print_message("%d addresses, %zu listed, %zu of 127/8 left out, %zu answers differ\n",
		      QUESTIONS, hits, left_out, differ);
	assert_true(hits > QUESTIONS / 4 && hits < QUESTIONS * 3 / 4);
	assert_int_equal(differ, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_zone) };

	return cmocka_run_group_tests_name("zone", tests, setup, teardown);
}
