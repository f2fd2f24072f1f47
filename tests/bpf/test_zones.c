// SPDX-License-Identifier: GPL-2.0-only
/*
 * rbldnsd as the oracle for its zones: it serves zones of all types that were made up, full of
 * abbreviations, nested exclusions, defaults, ranges and bad lines, and the real one where it is
 * there. What it answers must be what gate25 reads from the same files: listed or not, and by code.
 *
 * Left out of the questions: 127/8 and what carries IPv4 in IPv6, which gate25 reads in its own way.
 * GATE25_SEED makes other zones.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* behind what it needs */
#include <cmocka.h>

#include "tests/common/scratch.h"
#include "user/lists/parse.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ZONES	      48 /* of each type */
#define QUESTIONS     400
#define REAL_ASKED    10000
#define DNS_PORT      5301
#define IN_FLIGHT     64
#define CODES	      3 /* 127.0.0.2 and so on are asked for one by one */
#define SHOWN	      10

static const struct {
	const char *name;
	enum list_format format;
	unsigned int family;
} types[] = {
	{ "ip4set", LIST_RBLDNSD, 4 },	{ "ip4tset", LIST_IP4TSET, 4 },
	{ "ip4trie", LIST_IP4TRIE, 4 }, { "ip6tset", LIST_IP6TSET, 6 },
	{ "ip6trie", LIST_IP6TRIE, 6 }, { "combined", LIST_RBLDNSD, 4 },
};
#define TYPES	 ARRAY_SIZE(types)
#define COMBINED (TYPES - 1)

struct question {
	struct gate25_source address;
	bool listed;	    /* rbldnsd says */
	unsigned int codes; /* bit n: it answered 127.0.0.(2 + n) */
};

static char folder[] = "/tmp/zones.XXXXXX";
static pid_t server = -1;
static bool differed;
static unsigned int seed = 12;
static struct question questions[REAL_ASKED];

/* ------------------------------------------------------------------ made-up zones */

static unsigned int pick(unsigned int count)
{
	return (unsigned int)rand_r(&seed) / 7 % count;
}

static const char *one_of(const char *const *texts, size_t count)
{
	return texts[pick(count)];
}
#define ONE_OF(texts) one_of(texts, ARRAY_SIZE(texts))

/* Few octets, so that all meet: nested, beside each other, the same. */
static unsigned int octet4(void)
{
	static const unsigned char octets[] = { 0, 1, 2, 3, 7, 10, 126, 127, 128, 254, 255 };

	return octets[pick(ARRAY_SIZE(octets))];
}

static unsigned int first_octet4(void)
{
	static const unsigned char octets[] = { 0, 5, 5, 5, 6, 6, 10, 126, 128, 255 };

	return octets[pick(ARRAY_SIZE(octets))];
}

static void write_octets(FILE *file, __u32 address, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		fprintf(file, "%s%s%u", i ? "." : "", pick(40) ? "" : "0",
			address >> (24 - 8 * i) & 255);
}

static __u32 address4(void)
{
	return first_octet4() << 24 | octet4() << 16 | octet4() << 8 | octet4();
}

/* An abbreviation, a CIDR or a range; now and then none of these. */
static void write_range4(FILE *file)
{
	static const unsigned char lengths[] = { 0,  1,	 7,  8,	 9,  12, 15, 16, 17, 20, 23,
						 24, 24, 25, 26, 28, 29, 30, 31, 32, 32, 33 };
	__u32 address = address4(), other;
	unsigned int length = lengths[pick(ARRAY_SIZE(lengths))];
	unsigned int count = 1 + pick(4);

	switch (pick(8)) {
	case 0:
	case 1:
		write_octets(file, address, count);
		break;
	case 2:
	case 3:
		if (pick(20) && length <= 32)
			address &= length ? ~0U << (32 - length) : 0;
		write_octets(file, address, length <= 8 * count && pick(2) ? count : 4);
		fprintf(file, "/%s%u", pick(30) ? "" : "0", length);
		break;
	case 4:
		other = address + pick(256 - (address & 255));
		if (!pick(10))
			other = address4();
		write_octets(file, address, count);
		putc('-', file);
		write_octets(file, other, pick(20) ? count : 1 + pick(4));
		break;
	case 5:
		write_octets(file, address, count);
		fprintf(file, "-%u", pick(256));
		break;
	default:
		write_octets(file, address, 4);
	}
}

static void write_group6(FILE *file)
{
	static const char *const groups[] = { "0", "1",	   "2",	    "ff",   "FFFE", "8000",
					      "0", "0db8", "00001", "7fff", "1",    "0" };

	fputs(pick(100) ? ONE_OF(groups) : "10000", file);
}

static void write_address6(FILE *file, unsigned int groups)
{
	static const char *const starts[] = { "2001:db8:", "2001:db8:1:", "2001:0DB8:1:2:", "",
					      "" };
	static const unsigned char taken[] = { 2, 3, 4, 0, 0 };
	unsigned int start = pick(ARRAY_SIZE(starts)), zeros = pick(3) ? 9 : pick(9);

	if (taken[start] >= groups)
		start = 4;
	fputs(starts[start], file);
	for (unsigned int i = taken[start]; i < groups; i++) {
		if (i == zeros) {
			fputs(start < 3 && i == taken[start] ? ":" : "::", file);
			zeros = 9;
			continue;
		}
		write_group6(file);
		if (i + 1 < groups && i + 1 != zeros)
			putc(':', file);
	}
	if (!pick(60))
		putc(':', file);
}

static void write_prefix6(FILE *file)
{
	static const unsigned char lengths[] = { 0,  1,	 16, 32, 33,  47,  48,	49, 63,
						 64, 65, 80, 96, 112, 127, 128, 129 };
	static const char *const masked[] = {
		"::",	  "2001:db8::", "2001:db8:1::", "2001:db8:1:2::", "2001:db8:8000::",
		"8000::", "2001:db8",	"2001:db8:1:2"
	};

	switch (pick(4)) {
	case 0:
	case 1:
		fprintf(file, "%s/%u", ONE_OF(masked), lengths[pick(ARRAY_SIZE(lengths))]);
		break;
	case 2:
		write_address6(file, 1 + pick(8));
		break;
	default:
		write_address6(file, 8);
	}
}

static void write_value(FILE *file)
{
	static const char *const values[] = {
		"",
		"",
		"",
		" text",
		" :3:",
		" :3:text",
		" :4",
		":4:x",
		" :4: x $",
		" :0:",
		" :x:",
		" # comment",
		"#comment",
		" ;c",
		";c",
		"\t:3:\t",
		" :127.0.0.3:",
		" :127.0.0.4",
		" :127.3:",
		" :127.0.4:",
		" :3 x",
		" :3#",
		" : 3:x",
		"x",
		" :256:",
		" :1.2.3.4.5:",
		" :003:",
		"  ",
		" :4:# x",
		" ::x",
		",text",
		":3:x",
		":4",
		"/",
		"-",
		":",
		" =x $ $$",
		" :4 :x",
	};

	fputs(ONE_OF(values), file);
}

static void write_other(FILE *file, bool limits)
{
	static const char *const lines[] = {
		"",
		"   ",
		"# comment",
		"; comment",
		"#",
		":",
		":3:default",
		":4:$",
		":0:",
		":x",
		":3",
		":127.0.0.4:x",
		": 3:x",
		":2:",
		"\t:2:x",
		"$TTL 60",
		"#$TTL 60",
		";$TTL 1h",
		":$TTL 5m",
		"$TTL",
		"$",
		"$FOO bar",
		"#$Id$",
		"$SOA 60 a. b. 1 2 3 4 5",
		"$NS 60 a.",
		"$0 x",
		"$1",
		"$= $",
		"$TIMESTAMP 2020:01:01:00:00:00",
		"$TIMESTAMP 20200101",
		"$timestamp 0 -",
		"$TIMESTAMP x",
		"$MAXRANGE4 /33",
		"$MAXRANGE4 0",
		"$DATASET",
		"nonsense",
		"!",
		"! x",
		"!!5.5.5.5",
		"-",
		"5",
		".",
		"5.5.5.5.5",
		"::",
		":::3:x",
		"1::2::3",
		"\x80\xff",
		"!:",
		"::3",
	};
	static const char *const bounds[] = { "$MAXRANGE4 /16", "#$maxrange4 256",
					      "$MAXRANGE4 70000" };

	fputs(limits && !pick(20) ? ONE_OF(bounds) : ONE_OF(lines), file);
}

static void write_line(FILE *file, size_t type, bool limits)
{
	if (!pick(6)) {
		write_other(file, limits);
		putc('\n', file);
		return;
	}
	if (!pick(15))
		fputs(pick(2) ? " " : "\t ", file);
	if (!pick(types[type].format == LIST_IP4TSET ? 30 : 3))
		fputs(pick(4) ? "!" : "! ", file);
	if (types[type].family == 4 && types[type].format == LIST_IP4TSET && pick(8))
		write_octets(file, address4(), 4);
	else if (types[type].family == 4)
		write_range4(file);
	else if (types[type].format == LIST_IP6TSET && pick(8))
		write_address6(file, pick(3) ? 4 : 8);
	else
		write_prefix6(file);
	if (pick(2))
		write_value(file);
	putc('\n', file);
}

static void write_zone(const char *path, size_t type)
{
	FILE *file = fopen(path, "w");
	unsigned int lines = 3 + pick(pick(3) ? 40 : 400);
	bool limits = !pick(4);

	assert_non_null(file);
	for (unsigned int set = 0; type == COMBINED && set < 5; set++) {
		size_t of = pick(COMBINED);

		fprintf(file, "%s %s%s%s\n", pick(4) ? "$DATASET" : "#$dataset", types[of].name,
			pick(2) ? "" : ":name", pick(4) ? pick(2) ? " @" : " sub @ # x" : " sub");
		for (unsigned int i = 0; i < 1 + lines / 5; i++)
			write_line(file, of, false);
	}
	if (type == COMBINED)
		fputs("$DATASET ip4set @\n9.9.9.9\n$DATASET dnset @\nexample.com\n", file);
	for (unsigned int i = 0; type != COMBINED && i < lines; i++)
		write_line(file, type, limits);
	fclose(file);
}

static void zone_path(char path[128], size_t type, unsigned int zone)
{
	snprintf(path, 128, "%s/%s.%u", folder, types[type].name, zone);
}

/* ------------------------------------------------------------------ stage */

static const char *real_zone(void)
{
	static char path[512];
	const char *feeds = getenv("GATE25_FEEDS");

	snprintf(path, sizeof(path), "%s/dnsbl-1.uceprotect.net",
		 feeds ? feeds : "../shared/feeds");
	return access(path, R_OK) ? NULL : path;
}

static char **server_arguments(void)
{
	char **arguments = calloc(TYPES * ZONES + 16, sizeof(char *)), path[128];
	size_t count = 0;

	assert_non_null(arguments);
	arguments[count++] = strdup("rbldnsd");
	for (const char *const *word = (const char *const[]){ "-n", "-u", "rbldns", "-b", NULL };
	     *word; word++)
		arguments[count++] = strdup(*word);
	assert_true(asprintf(&arguments[count++], "127.0.0.1/%d", DNS_PORT) > 0);
	for (size_t type = 0; type < TYPES; type++) {
		for (unsigned int zone = 0; zone < ZONES; zone++) {
			zone_path(path, type, zone);
			write_zone(path, type);
			assert_true(asprintf(&arguments[count++], "%s%u.test:%s:%s",
					     types[type].name, zone, types[type].name, path) > 0);
		}
	}
	if (real_zone())
		assert_true(asprintf(&arguments[count++], "real0.test:ip4set:%s", real_zone()) > 0);
	return arguments;
}

static void start_server(void)
{
	char **arguments = server_arguments();
	int log;

	server = fork();
	if (server == 0) {
		char path[64];

		snprintf(path, sizeof(path), "%s/log", folder);
		log = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		dup2(log, 1);
		dup2(log, 2);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	for (size_t i = 0; arguments[i]; i++)
		free(arguments[i]);
	free(arguments);
}

static int setup(void **state)
{
	const char *other = getenv("GATE25_SEED");

	(void)state;
	if (other)
		seed = strtoul(other, NULL, 10);
	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		print_message("needs root: %s\n", strerror(errno));
		return -1;
	}
	if (!mkdtemp(folder) || chmod(folder, 0755))
		return -1;
	start_server();
	return server < 0 ? -1 : 0;
}

/* What was made up is kept where something is to be looked at. */
static int teardown(void **state)
{
	(void)state;
	if (!differed)
		scratch_remove(folder);
	else
		print_message("the zones are in %s\n", folder);
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	return 0;
}

/* ------------------------------------------------------------------ questions */

static size_t dns_question(__u16 id, const struct gate25_source *address, const char *zone,
			   unsigned char *out)
{
	char name[160];
	size_t used = 0, at = 12;
	unsigned char bytes[16];

	address_to_bytes(address, bytes);
	for (int i = address->family == 4 ? 3 : 15; i >= 0; i--)
		used += address->family == 4 ?
				snprintf(name + used, sizeof(name) - used, "%u.", bytes[i]) :
				snprintf(name + used, sizeof(name) - used, "%x.%x.", bytes[i] & 15,
					 bytes[i] >> 4);
	snprintf(name + used, sizeof(name) - used, "%s.test", zone);
	memset(out, 0, 12);
	out[0] = id >> 8;
	out[1] = id & 0xff;
	out[5] = 1;
	for (const char *label = name; *label;) {
		size_t length = strcspn(label, ".");

		out[at++] = length;
		memcpy(out + at, label, length);
		at += length;
		label += length + (label[length] == '.');
	}
	memset(out + at, 0, 5); /* the root; then type A, class IN */
	out[at + 2] = out[at + 4] = 1;
	return at + 5;
}

/* Answers have a pointer for their name, and 4 bytes of address. */
static void answer_read(const unsigned char *packet, size_t length, struct question *question)
{
	size_t at = 12, answers = packet[7];

	question->listed = answers > 0;
	question->codes = 0;
	while (at < length && packet[at])
		at += packet[at] + 1;
	at += 5;
	for (size_t i = 0; i < answers; i++, at += 16) {
		assert_true(at + 16 <= length && packet[at] >= 0xc0 && packet[at + 11] == 4);
		for (unsigned int code = 0; code < CODES; code++) {
			const unsigned char wanted[] = { 127, 0, 0, 2 + code };

			question->codes |= memcmp(packet + at + 12, wanted, 4) ? 0 : 1U << code;
		}
	}
	assert_true((packet[3] & 15) == 0 || (packet[3] & 15) == 3); /* NOERROR, NXDOMAIN */
}

static void ask(int fd, const char *zone, size_t count)
{
	unsigned char packet[512];
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	for (size_t first = 0; first < count; first += IN_FLIGHT) {
		size_t end = first + IN_FLIGHT < count ? first + IN_FLIGHT : count;

		for (size_t i = first; i < end; i++) {
			size_t length = dns_question(i, &questions[i].address, zone, packet);

			assert_int_equal(send(fd, packet, length, 0), length);
		}
		for (size_t left = end - first; left; left--) {
			ssize_t got;
			size_t id;

			if (poll(&ready, 1, 5000) <= 0)
				fail_msg("rbldnsd does not answer");
			got = recv(fd, packet, sizeof(packet), 0);
			assert_true(got >= 12);
			id = packet[0] << 8 | packet[1];
			assert_true(id >= first && id < end);
			answer_read(packet, got, &questions[id]);
		}
	}
}

static int dns_connect(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(DNS_PORT),
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct gate25_source any = { .family = 4, .lo = 1 };
	unsigned char packet[512];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int tries = 0; tries < 200; tries++) { /* it loads the zones first */
		size_t length = dns_question(0, &any, "ip4set0", packet);

		if (send(fd, packet, length, 0) == (ssize_t)length && poll(&ready, 1, 50) > 0 &&
		    recv(fd, packet, sizeof(packet), 0) > 0)
			return fd;
		usleep(50000);
	}
	fail_msg("rbldnsd does not start; see %s/log", folder);
	return -1;
}

/* ------------------------------------------------------------------ what gate25 reads */

static struct list_image *read_zone(const char *path, enum list_format format, int code)
{
	struct list_codes codes = { 0 };
	struct parse_settings settings = { .format = format, .codes = &codes };
	struct list_image *image = NULL;
	char pattern[16], *text = malloc(16 << 20);
	FILE *file = fopen(path, "r");
	const char *why = "";
	size_t length;
	int error;

	assert_non_null(file);
	assert_non_null(text);
	length = fread(text, 1, 16 << 20, file);
	fclose(file);
	snprintf(pattern, sizeof(pattern), "127.0.0.%d", code);
	if (code)
		assert_int_equal(codes_add(&codes, pattern, &why), 0);
	error = list_parse(text, length, &settings, &image, &why);
	free(text);
	/* where every line is bad it is no list, and rbldnsd lists nothing */
	if (error == -EBADMSG && strstr(why, "no line of it"))
		return calloc(1, sizeof(*image));
	if (error)
		fail_msg("%s: %s", path, why);
	return image;
}

/* An end of an entry, right beside it, or anything of the few octets there are. */
static struct gate25_source draw4(const struct list_image *image)
{
	struct gate25_source address = { .family = 4, .lo = address4() };

	if (image->count4 && pick(2)) {
		const struct range4 *range = &image->ranges4[(size_t)pick(1 << 24) % image->count4];
		const __u32 near[] = { range->first, range->last, range->first - 1, range->last + 1,
				       range->first + (range->last - range->first) / 2 };

		address.lo = near[pick(ARRAY_SIZE(near))];
	}
	return address;
}

static struct gate25_source draw6(const struct list_image *image)
{
	static const __u16 groups[] = { 0, 1, 2, 0xff, 0xfffe, 0x8000, 0xdb8, 0x7fff };
	struct gate25_source address = { .family = 6 };
	unsigned int pattern = pick(5);

	for (unsigned int i = 0; i < 8; i++) {
		__u64 group = groups[pick(ARRAY_SIZE(groups))];

		if (pattern && i < 2)
			group = i ? 0xdb8 : 0x2001;
		if (i < 4)
			address.hi |= group << (48 - 16 * i);
		else
			address.lo |= group << (48 - 16 * (i - 4));
	}
	if (image->count6 && pick(2)) {
		const struct range6 *range = &image->ranges6[pick(1 << 24) % image->count6];
		const struct address6 *end = pick(2) ? &range->first : &range->last;
		unsigned int beside = pick(3);

		address.hi = end->hi;
		address.lo = end->lo + (beside == 2 ? -1ULL : beside);
	}
	return address;
}

static void draw_questions(const struct list_image *image, size_t type, size_t count)
{
	for (size_t i = 0; i < count;) {
		bool six = type == COMBINED ? pick(2) : types[type].family == 6;
		struct gate25_source address = six ? draw6(image) : draw4(image);

		if (six ? address_carries4(&address, NULL, 0) : address.lo >> 24 == 127)
			continue;
		questions[i++].address = address;
	}
}

static size_t compare(const char *path, enum list_format format, size_t count, int code,
		      size_t *listed)
{
	static size_t shown;
	struct list_image *image = read_zone(path, format, code);
	struct gate25_source first, last;
	size_t differ = 0;

	for (size_t i = 0; i < count; i++) {
		const struct question *question = &questions[i];
		bool ours = list_image_find(image, &question->address, &first, &last) == 0;
		bool theirs = code ? question->codes >> (code - 2) & 1 : question->listed;
		char text[PREFIX_TEXT];

		*listed += theirs;
		if (ours == theirs)
			continue;
		differ++;
		differed = true;
		if (shown++ < SHOWN)
			print_message("%s, code %d: %s: rbldnsd %d, gate25 %d\n", path, code,
				      address_format(&question->address, text), theirs, ours);
	}
	list_image_free(image);
	return differ;
}

/* ------------------------------------------------------------------ tests */

static void check_zone(int fd, size_t type, unsigned int zone, size_t *listed, size_t *differ)
{
	struct list_image *image;
	char path[128], name[32];
	size_t coded = 0;

	zone_path(path, type, zone);
	snprintf(name, sizeof(name), "%s%u", types[type].name, zone);
	image = read_zone(path, types[type].format, 0);
	draw_questions(image, type, QUESTIONS);
	list_image_free(image);
	ask(fd, name, QUESTIONS);
	*differ += compare(path, types[type].format, QUESTIONS, 0, listed);
	for (int code = 2; code < 2 + CODES; code++)
		*differ += compare(path, types[type].format, QUESTIONS, code, &coded);
}

static void test_made_up(void **state)
{
	size_t asked = 0, all_differ = 0;
	int fd = dns_connect();

	(void)state;
	for (size_t type = 0; type < TYPES; type++) {
		size_t listed = 0, differ = 0;

		for (unsigned int zone = 0; zone < ZONES; zone++)
			check_zone(fd, type, zone, &listed, &differ);
		print_message("%-8s %d zones, %d questions: %zu listed, %zu answers differ\n",
			      types[type].name, ZONES, ZONES * QUESTIONS, listed, differ);
		assert_true(listed > ZONES * QUESTIONS / 50);
		assert_true(listed < (size_t)ZONES * QUESTIONS * 49 / 50);
		asked += ZONES * QUESTIONS;
		all_differ += differ;
	}
	close(fd);
	print_message("%zu questions, each also by code; seed %s\n", asked,
		      getenv("GATE25_SEED") ? getenv("GATE25_SEED") : "12");
	assert_int_equal(all_differ, 0);
}

static void test_real(void **state)
{
	size_t listed = 0, differ = 0;
	struct list_image *image;
	int fd;

	(void)state;
	if (!real_zone()) {
		print_message("skipped: no real zone (GATE25_FEEDS names its folder)\n");
		skip();
	}
	fd = dns_connect();
	image = read_zone(real_zone(), LIST_RBLDNSD, 0);
	draw_questions(image, 0, REAL_ASKED);
	list_image_free(image);
	ask(fd, "real0", REAL_ASKED);
	differ = compare(real_zone(), LIST_RBLDNSD, REAL_ASKED, 0, &listed);
	print_message("real zone: %d questions, %zu listed, %zu answers differ\n", REAL_ASKED,
		      listed, differ);
	close(fd);
	assert_int_equal(differ, 0);
	assert_true(listed > REAL_ASKED / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_made_up),
					    cmocka_unit_test(test_real) };

	return cmocka_run_group_tests_name("zones", tests, setup, teardown);
}
