// SPDX-License-Identifier: GPL-2.0-only
/*
 * What commands print: times, durations, numbers, tables, the one JSON object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "user/print.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_time(void **state)
{
	static const struct {
		unsigned long long seconds;
		const char *want;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 951782400, "2000-02-29T00:00:00Z" },
		{ 1769860800, "2026-01-31T12:00:00Z" },
		{ 4102444799, "2099-12-31T23:59:59Z" },
		{ GATE25_NEVER, "never" },
		{ 1ULL << 62, "never" }, /* beyond any year that can be written */
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(time_format(cases[i].seconds, text), cases[i].want);
}

static void test_duration(void **state)
{
	static const struct {
		unsigned long long seconds;
		const char *want;
	} cases[] = {
		{ 0, "0 s" },
		{ 45, "45 s" },
		{ 59, "59 s" },
		{ 60, "1 min" },
		{ 119, "1 min" },
		{ 3599, "59 min" },
		{ 3600, "1 h" },
		{ 3659, "1 h" },
		{ 12000, "3 h 20 min" },
		{ 86399, "23 h 59 min" },
		{ 86400, "1 d" },
		{ 90000, "1 d 1 h" },
		{ 86400 * 400, "400 d" },
		{ 86400 + 3599, "1 d" },
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(duration_format(cases[i].seconds, text), cases[i].want);
	assert_true(strlen(duration_format(~0ULL, text)) < sizeof(text));
}

static void test_number(void **state)
{
	static const struct {
		unsigned long long number;
		const char *want;
	} cases[] = {
		{ 0, "0" },
		{ 999, "999" },
		{ 1000, "1,000" },
		{ 50103, "50,103" },
		{ 1234567, "1,234,567" },
		{ 18446744073709551615ULL, "18,446,744,073,709,551,615" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(number_format(cases[i].number, text), cases[i].want);
	assert_string_equal(count_format(0, "entry", "entries", text), "0 entries");
	assert_string_equal(count_format(1, "entry", "entries", text), "1 entry");
	assert_string_equal(count_format(50103, "entry", "entries", text), "50,103 entries");
}

/* ---------------------------------------------------------------- stdout */

/* What a call writes to stdout, to be freed. */
static char *printed(int (*print)(json_t *results), json_t *results)
{
	FILE *file = tmpfile();
	int former = dup(STDOUT_FILENO);
	char *text = calloc(1, 4096);

	assert_non_null(file);
	assert_non_null(text);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	assert_int_equal(print(results), 0);
	fflush(stdout);
	dup2(former, STDOUT_FILENO);
	close(former);
	rewind(file);
	assert_true(fread(text, 1, 4095, file) < 4095);
	fclose(file);
	return text;
}

static const struct column columns[] = {
	{ "name", "NAME", false },
	{ "count", "COUNT", true },
	{ "parts", "PARTS", false },
};

static int as_table(json_t *results)
{
	return print_results(false, results, columns, ARRAY_SIZE(columns));
}

static int as_json(json_t *results)
{
	return print_results(true, results, columns, ARRAY_SIZE(columns));
}

static void test_table(void **state)
{
	static const struct {
		const char *name, *input, *want;
	} cases[] = {
		{ "plain", "[{\"name\": \"a\", \"count\": 1234, \"parts\": [\"x\", \"y\"]}]",
		  "NAME COUNT PARTS\na    1,234 x,y\n" },
		{ "what is missing, null or empty is a dash",
		  "[{\"name\": \"\", \"count\": null, \"parts\": []}, {\"name\": \"b\"}]",
		  "NAME COUNT PARTS\n-        - -\nb        - -\n" },
		{ "negative numbers and truths",
		  "[{\"name\": true, \"count\": -1000, \"parts\": false}]",
		  "NAME  COUNT PARTS\nyes  -1,000 no\n" },
		{ "a terminal is not to be written to from a list",
		  "[{\"name\": \"a\\u001b[2Jb\", \"count\": 0, \"parts\": []}]",
		  "NAME      COUNT PARTS\na\\x1b[2Jb     0 -\n" },
		{ "nothing", "[]", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = printed(as_table, json_loads(cases[i].input, 0, NULL));

		if (strcmp(text, cases[i].want) != 0)
			fail_msg("%s: \"%s\"", cases[i].name, text);
		free(text);
	}
}

static void test_json(void **state)
{
	char *text = printed(as_json, json_loads("[{\"name\": \"a\\u001b\"}]", 0, NULL));

	(void)state;
	assert_string_equal(text, "{\"schema\":1,\"results\":[{\"name\":\"a\\u001B\"}]}\n");
	free(text);
	text = printed(print_json, json_array());
	assert_string_equal(text, "{\"schema\":1,\"results\":[]}\n");
	free(text);
}

static void test_json_parts(void **state)
{
	json_t *never = time_json(GATE25_NEVER), *zero = time_json(0), *time = time_json(60);
	json_t *object = json_pack("{s:s, s:i}", "text", "yes", "number", 1);

	(void)state;
	assert_string_equal(json_string_value(never), "never");
	assert_true(json_is_null(zero));
	assert_string_equal(json_string_value(time), "1970-01-01T00:01:00Z");
	assert_string_equal(json_text(object, "text"), "yes");
	assert_string_equal(json_text(object, "number"), "");
	assert_string_equal(json_text(object, "absent"), "");
	assert_string_equal(json_text(NULL, "absent"), "");
	json_decref(never);
	json_decref(zero);
	json_decref(time);
	json_decref(object);
}

static void check_said(const char *want, const char *format, ...)
{
	va_list arguments;
	json_t *said;

	va_start(arguments, format);
	said = json_vsay(format, arguments);
	va_end(arguments);
	assert_string_equal(json_string_value(said), want);
	json_decref(said);
}

static void test_said(void **state)
{
	(void)state;
	check_said("list 1: caf\xc3\xa9", "list %d: %s", 1, "caf\xc3\xa9");
	check_said("/lists/caf?: gone", "%s: gone", "/lists/caf\xe9"); /* no UTF-8 */
	check_said("", "%s", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),   cmocka_unit_test(test_duration),
		cmocka_unit_test(test_number), cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),   cmocka_unit_test(test_json_parts),
		cmocka_unit_test(test_said),
	};

	setlocale(LC_CTYPE, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
