// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials by name, and the processes that read lists: what comes back from one is what would have been made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/common/scratch.h"
#include "user/log.h"
#include "user/secret.h"
#include "user/worker.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---------------------------------------------------------------- credentials */

static char directory[64];

static void secret_write(const char *name, const char *value, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static const struct {
	const char *name, *text, *want; /* NULL: refused */
	int error;
	const char *why; /* part of it */
} secret_cases[] = {
	{ "none", "https://h/list", "https://h/list", 0, NULL },
	{ "in the middle", "https://h/${cred:good}/list", "https://h/open sesame/list", 0, NULL },
	{ "twice", "${cred:good}${cred:good}", "open sesameopen sesame", 0, NULL },
	{ "a value is not read again", "${cred:nested}", "${cred:good}", 0, NULL },
	{ "others may read it", "a${cred:loose}", NULL, -EACCES, "chmod 600" },
	{ "it is not there", "${cred:absent}", NULL, -ENOENT, "no such file" },
	{ "it is empty", "${cred:empty}", NULL, -ENODATA, "empty" },
	{ "two lines", "${cred:lines}", NULL, -EINVAL, "one line" },
	{ "no name", "${cred:}", "${cred:}", 0, NULL },
	{ "no way out of the directory", "${cred:../x}", "${cred:../x}", 0, NULL },
};

static void test_secrets(void **state)
{
	struct secrets secrets;
	char out[128], why[SECRET_WHY];

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/gate25-secrets-XXXXXX");
	assert_non_null(mkdtemp(directory));
	secret_write("good", "open sesame\n", 0600);
	secret_write("nested", "${cred:good}", 0400);
	secret_write("loose", "x", 0640);
	secret_write("empty", "\n", 0600);
	secret_write("lines", "a\r\nX-Other: b\n", 0600);
	unsetenv("CREDENTIALS_DIRECTORY");
	for (size_t i = 0; i < ARRAY_SIZE(secret_cases); i++) {
		int error;

		secrets.count = 0;
		error = secret_expand(directory, secret_cases[i].text, out, sizeof(out), &secrets,
				      why);
		print_message("# %s: %d\n", secret_cases[i].name, error);
		assert_int_equal(error, secret_cases[i].error);
		if (secret_cases[i].want)
			assert_string_equal(out, secret_cases[i].want);
		else
			assert_non_null(strstr(why, secret_cases[i].why));
		if (error)
			assert_string_equal(out, "");
	}
	/* What systemd hands over comes first, whatever its mode. */
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
	secrets.count = 0;
	assert_int_equal(secret_expand(NULL, "${cred:loose}", out, sizeof(out), &secrets, why), 0);
	assert_string_equal(out, "x");
	assert_int_equal(secret_expand(NULL, "${cred:good}", out, 5, &secrets, why), -E2BIG);
	scratch_remove(directory);
}

static void test_secrets_hide(void **state)
{
	static const struct secrets secrets = { .values = { "open sesame", "ab" }, .count = 2 };
	char text[] = "open sesame: cannot open sesame at ab/open";

	(void)state;
	assert_true(secrets_are_in(&secrets, text, sizeof(text)));
	secrets_hide(&secrets, text, sizeof(text));
	assert_string_equal(text, "***: cannot *** at **/open");
	assert_false(secrets_are_in(&secrets, text, sizeof(text)));
}

/* Of a credential that looks like what hides it. */
static void test_secrets_of_stars(void **state)
{
	static const struct secrets secrets = { .values = { "**", "a*" }, .count = 2 };
	char text[] = "x**y a*z";

	(void)state;
	secrets_hide(&secrets, text, sizeof(text));
	assert_string_equal(text, "x**y **z");
}

static void test_secret_faults(void **state)
{
	static const char *const good[] = { "https://h/", "${cred:a-b.c_1}", "$x {y}" };
	static const char *const bad[] = { "${cred:}", "${cred:a b}", "${cred:.a}", "${other:x}",
					   "${cred:open" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(secret_fault(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(secret_fault(bad[i]));
}

/* ---------------------------------------------------------------- parsing in a process of its own */

static const struct {
	const char *name, *text;
	enum list_format format;
	const char *column, *codes;
} lists[] = {
	{ "plain", "# x\n192.0.2.1\n2001:db8::/32\nbad\n198.51.100.0/24\n", LIST_PLAIN, NULL,
	  NULL },
	{ "a zone", ":127.0.0.2:x\n10.1\n!10.1.2.3\n", LIST_RBLDNSD, NULL, NULL },
	{ "a zone by code", ":127.0.0.2:x\n192.0.2.1\n192.0.2.2 :127.0.0.9:y\n", LIST_RBLDNSD, NULL,
	  "127.0.0.9" },
	{ "a column", "id,ip\n1,192.0.2.7\n2,192.0.2.9\n", LIST_CSV, "ip", NULL },
	{ "no list", "<html>\n", LIST_AUTO, NULL, NULL },
	{ "nothing", "", LIST_PLAIN, NULL, NULL },
};

struct told {
	size_t count, last;
};

static void line_told(void *context, size_t line, const char *why, const char *text, size_t length)
{
	struct told *told = context;

	(void)why;
	(void)text;
	(void)length;
	told->count++;
	told->last = line;
}

/* So many entries that the parser has to sort more than a little: the C library then asks for more of the kernel. */
static void test_parse_many(void **state)
{
	static const struct {
		const char *name, *head, *entry;
		enum list_format format;
	} cases[] = {
		{ "plain", "", "198.51.%d.%d\n", LIST_PLAIN },
		{ "ip4set", "", "198.51.%d.%d\n", LIST_RBLDNSD },
		{ "ip4trie", "$DATASET ip4trie @\n", "198.51.%d.%d\n", LIST_RBLDNSD },
		{ "ip6trie", "$DATASET ip6trie @\n", "2001:db8:%x:%x::/64\n", LIST_RBLDNSD },
		{ "RPZ", "", "32.%d.%d.51.198.rpz-ip CNAME .\n", LIST_RPZ },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parse_settings settings = { .format = cases[i].format };
		struct list_image *image = NULL;
		const char *why = "";
		char *text = NULL;
		size_t length;
		FILE *out = open_memstream(&text, &length);

		fputs(cases[i].head, out);
		for (int n = 5000; n > 0; n--)
			fprintf(out, cases[i].entry, n / 251, n % 251);
		fclose(out);
		if (worker_parse(text, length, &settings, &image, &why))
			fail_msg("%s: %s", cases[i].name, why);
		assert_true(image->count4 + image->count6 > 100);
		list_image_free(image);
		free(text);
	}
}

static void list_run(size_t i)
{
	struct list_codes codes = { .count = 0 };
	struct told told[2] = { { 0 } };
	struct list_facts facts[2];
	struct list_image *images[2] = { NULL, NULL };
	struct parse_settings settings = { .format = lists[i].format,
					   .column = lists[i].column,
					   .codes = &codes,
					   .bad_line = line_told };
	const char *whys[2] = { "", "" };
	int errors[2];

	if (lists[i].codes)
		assert_int_equal(codes_add(&codes, lists[i].codes, &whys[0]), 0);
	settings.context = &told[0];
	settings.facts = &facts[0];
	errors[0] =
		list_parse(lists[i].text, strlen(lists[i].text), &settings, &images[0], &whys[0]);
	settings.context = &told[1];
	settings.facts = &facts[1];
	errors[1] =
		worker_parse(lists[i].text, strlen(lists[i].text), &settings, &images[1], &whys[1]);
	print_message("# %s: %d, %s\n", lists[i].name, errors[1], errors[1] ? whys[1] : "");
	assert_int_equal(errors[0], errors[1]);
	assert_int_equal(told[0].count, told[1].count);
	assert_int_equal(told[0].last, told[1].last);
	assert_int_equal(facts[0].lines, facts[1].lines);
	assert_int_equal(facts[0].format, facts[1].format);
	assert_int_equal(facts[0].web_page, facts[1].web_page);
	if (errors[0]) {
		assert_string_equal(whys[0], whys[1]);
		return;
	}
	assert_int_equal(images[0]->count4, images[1]->count4);
	assert_int_equal(images[0]->count6, images[1]->count6);
	assert_int_equal(images[0]->bad_lines, images[1]->bad_lines);
	assert_int_equal(list_image_digest(images[0]), list_image_digest(images[1]));
	list_image_free(images[0]);
	list_image_free(images[1]);
}

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_run(i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_secrets_hide),
		cmocka_unit_test(test_secrets_of_stars),
		cmocka_unit_test(test_secret_faults),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_many),
	};

	if (worker_is_wanted(argc, argv))
		return worker_main();
	log_init("test_worker", LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
