// SPDX-License-Identifier: GPL-2.0-only
/*
 * Presets: each that is shipped says what it has to, and can be used as a configuration; what is none is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/scratch.h"
#include "user/config.h"
#include "user/presets.h"

#define SHIPPED "contrib/presets"

static char dir[] = "/tmp/test_presets.XXXXXX";

static void file_write(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int dir_make(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int dir_remove(void **state)
{
	(void)state;
	scratch_remove(dir);
	return 0;
}

/* ---------------------------------------------------------------- shipped */

/* Weight and policy are what the advice means; nobody is asked more than once an hour. */
static void list_check(const struct preset *preset, const struct config_list *list)
{
	assert_int_equal(list->allow, preset->allow);
	if (preset->allow)
		return;
	assert_int_equal(list->action, GATE25_DROP);
	if (!strcmp(preset->ship, "on"))
		assert_false(list->observe);
	else
		assert_true(list->observe);
	assert_in_range(list->weight, 1, 2);
	assert_true(list->max_age_s > 0);
	assert_true(list->refresh_s >= 3600);
}

static void preset_check(const char *name)
{
	static const char *const ships[] = { "on", "observe", "off" };
	struct preset *preset = NULL;
	struct config *config = NULL;
	char text[16384], path[128];
	bool known = false;

	print_message("%s\n", name);
	assert_int_equal(preset_read(SHIPPED, name, "64496", stderr, &preset), 0);
	for (size_t i = 0; i < 3; i++)
		known |= !strcmp(preset->ship, ships[i]);
	assert_true(known);
	assert_int_equal(strncmp(preset->terms_url, "http", 4), 0);
	snprintf(text, sizeof(text), "interfaces: [eth0]\nthreshold: 2\n%s", preset->text);
	file_write("main.yaml", text);
	snprintf(path, sizeof(path), "%s/main.yaml", dir);
	assert_int_equal(config_read(path, stderr, &config), 0);
	assert_int_equal(config->lists_count, preset->lists_count);
	for (size_t i = 0; i < preset->lists_count; i++) {
		assert_string_equal(config->lists[i].name, preset->lists[i].name);
		assert_true(strlen(preset->lists[i].source) > 0);
		list_check(preset, &config->lists[i]);
	}
	config_free(config);
	preset_free(preset);
}

static void test_shipped(void **state)
{
	char **names = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(presets_names(SHIPPED, &names, &count), 0);
	assert_true(count >= 11);
	for (size_t i = 0; i < count; i++) {
		preset_check(names[i]);
		free(names[i]);
	}
	free(names);
}

static void test_number(void **state)
{
	struct preset *preset = NULL;

	(void)state;
	assert_int_equal(preset_read(SHIPPED, "asn", "64496", stderr, &preset), 0);
	assert_true(preset->numbered);
	assert_string_equal(preset->lists[0].name, "as64496");
	assert_null(strstr(preset->text, "{ASN}"));
	assert_non_null(strstr(preset->text, "/as/64496/ipv4-aggregated.txt"));
	preset_free(preset);
}

/* ---------------------------------------------------------------- refused */

#define HEAD                                                                                       \
	"preset: {about: a, source: s, terms: t, terms_url: u, ship: on, accept_terms: no, "       \
	"last_checked: never}\n"

static const struct refusal {
	const char *name, *text, *want;
} refusals[] = {
	{ "no head", "lists:\n  - {name: a, url: 'https://h/a'}\n", "preset: is missing" },
	{ "a head without terms",
	  "preset: {about: a, source: s, ship: on, accept_terms: no, last_checked: never}\n"
	  "lists:\n  - {name: a, url: 'https://h/a'}\n",
	  "terms: is missing" },
	{ "no list", HEAD, "either lists: or allow:" },
	{ "an empty list", HEAD "lists: []\n", "not empty" },
	{ "both kinds", HEAD "lists:\n  - {name: a}\nallow:\n  - {name: b}\n",
	  "either lists: or allow:" },
	{ "an item that is none", HEAD "lists: [a]\n", "each a mapping" },
	{ "no YAML", HEAD "lists: [\n", "" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct preset *preset = NULL;
		char *said = NULL;
		size_t bytes;
		FILE *messages = open_memstream(&said, &bytes);

		file_write("bad.yaml", refusals[i].text);
		assert_non_null(messages);
		assert_int_not_equal(preset_read(dir, "bad", NULL, messages, &preset), 0);
		fclose(messages);
		if (!strstr(said, refusals[i].want) || !strstr(said, "bad.yaml"))
			fail_msg("%s: said %s, want %s", refusals[i].name, said, refusals[i].want);
		free(said);
		assert_null(preset);
	}
	assert_int_equal(preset_read(dir, "absent", NULL, stderr, &(struct preset *){ NULL }),
			 -ENOENT);
	assert_int_equal(preset_read(dir, "../bad", NULL, stderr, &(struct preset *){ NULL }),
			 -ENOENT);
}

/* ---------------------------------------------------------------- changed or not */

static const struct pair {
	const char *name, *a, *b;
	bool same;
} pairs[] = {
	{ "the same", "lists:\n  - a\n", "lists:\n  - a\n", true },
	{ "comments and empty lines", "# x\n\nlists:\n  # y\n  - a\n", "lists:\n  - a", true },
	{ "blanks at the end", "lists: \r\n  - a\t\n", "lists:\n  - a\n", true },
	{ "one word", "lists:\n  - a\n", "lists:\n  - b\n", false },
	{ "one line more", "lists:\n  - a\n", "lists:\n  - a\n  - b\n", false },
	{ "indentation", "lists:\n  - a\n", "lists:\n - a\n", false },
	{ "nothing", "", "# only this\n", true },
};

static void test_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (preset_text_same(pairs[i].a, pairs[i].b) != pairs[i].same)
			fail_msg("%s: want %d", pairs[i].name, pairs[i].same);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
