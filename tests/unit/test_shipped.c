// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is shipped beside the code: docs/configuration.md names every key and no other, and the configuration
 * that is installed can be used, and only observes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/config_keys.h"
#include "user/presets.h"

#define DOCUMENT "docs/configuration.md"
#define KEYS	 128

struct documented {
	char keys[KEYS][64];
	size_t count;
	unsigned int missing;
};

/* What stands in backquotes in the first column of a table. */
static void row_read(struct documented *documented, const char *line)
{
	const char *end = strchr(line + 1, '|'), *at = line;

	while (end && (at = strchr(at, '`')) && at < end) {
		size_t length = strcspn(at + 1, "`");

		assert_true(documented->count < KEYS && length < sizeof(documented->keys[0]));
		snprintf(documented->keys[documented->count++], sizeof(documented->keys[0]), "%.*s",
			 (int)length, at + 1);
		at += length + 2;
	}
}

static void document_read(struct documented *documented)
{
	FILE *file = fopen(DOCUMENT, "r");
	char line[1024];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (line[0] == '|')
			row_read(documented, line);
	fclose(file);
}

static void key_strike(const char *path, void *context)
{
	struct documented *documented = context;

	for (size_t i = 0; i < documented->count; i++) {
		if (strcmp(documented->keys[i], path) != 0)
			continue;
		documented->keys[i][0] = 0;
		return;
	}
	print_message("%s does not speak of `%s`\n", DOCUMENT, path);
	documented->missing++;
}

static void test_keys_documented(void **state)
{
	static struct documented documented;
	unsigned int unknown = 0;

	(void)state;
	document_read(&documented);
	keys_each(key_strike, &documented);
	for (size_t i = 0; i < documented.count; i++) {
		if (!documented.keys[i][0])
			continue;
		print_message("%s speaks of `%s`, which is no key\n", DOCUMENT, documented.keys[i]);
		unknown++;
	}
	assert_int_equal(documented.missing, 0);
	assert_int_equal(unknown, 0);
}

/* The lists that are on are those of the presets, and there is one text of each. */
static void preset_is_on(const struct config *config, const char *name)
{
	static const char path[] = "/tmp/test_shipped.yaml.XXXXXX";
	char file[sizeof(path)];
	struct preset *preset = NULL;
	struct config *alone = NULL;
	FILE *text;
	int fd;

	memcpy(file, path, sizeof(path));
	fd = mkstemp(file);
	text = fdopen(fd, "w");
	assert_non_null(text);
	assert_int_equal(preset_read("contrib/presets", name, NULL, stderr, &preset), 0);
	assert_string_equal(preset->ship, "on");
	fprintf(text, "interfaces: [eth0]\nthreshold: 2\n%s", preset->text);
	assert_int_equal(fclose(text), 0);
	assert_int_equal(config_read(file, stderr, &alone), 0);
	unlink(file);
	for (size_t i = 0; i < alone->lists_count; i++) {
		const struct config_list *want = &alone->lists[i];
		const struct config_list *have = config_list_find(config, want->name);

		assert_non_null(have);
		assert_string_equal(have->url, want->url);
		assert_int_equal(have->allow, want->allow);
		assert_int_equal(have->format, want->format);
		assert_int_equal(have->weight, want->weight);
		assert_int_equal(have->action, want->action);
		assert_int_equal(have->observe, want->observe);
		assert_int_equal(have->refresh_s, want->refresh_s);
		assert_int_equal(have->max_age_s, want->max_age_s);
		assert_memory_equal(&have->bounds, &want->bounds, sizeof(have->bounds));
	}
	config_free(alone);
	preset_free(preset);
}

/* As in the tree: without a conf.d beside it. */
static void test_shipped(void **state)
{
	struct config *config = NULL;

	(void)state;
	assert_int_equal(config_read("contrib/gate25.yaml", stderr, &config), 0);
	assert_true(config->observe);
	assert_int_equal(config->threshold, 2);
	assert_int_equal(config->lists_count, 6);
	preset_is_on(config, "spamhaus-drop");
	preset_is_on(config, "big-senders");
	for (int scope = 0; scope < GATE25_SCOPES; scope++)
		assert_true(config->limits[scope].set && config->limits[scope].observe);
	assert_int_equal(config->limits[GATE25_SCOPE_SOURCE].burst, 150);
	assert_int_equal(config->limits[GATE25_SCOPE_NETWORK].burst, 1500);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_documented),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
