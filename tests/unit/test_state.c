// SPDX-License-Identifier: GPL-2.0-only
/*
 * What operators said, and the record of changes: kept over a restart, and what becomes of damaged files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/log.h"
#include "user/overlay.h"
#include "user/record.h"
#include "user/state.h"

static char folder[64];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/state.XXXXXX");
	log_init("test", LOG_EMERG);
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void file_write(const char *name, const char *text)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "a");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static bool file_is_there(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

/* ---------------------------------------------------------------- control.json */

static void test_state_is_kept(void **unused)
{
	struct state *state = NULL;

	(void)unused;
	assert_int_equal(state_read(folder, &state), 0); /* no file: nothing was said */
	assert_true(!state->pause_until_s && state->policy == POLICY_UNSET && !state->lists_count);
	state->pause_until_s = 1800000000;
	state->policy = POLICY_ENFORCE;
	state_set_policy(&state->services, &state->services_count, "mx", POLICY_OBSERVE);
	state_set_policy(&state->lists, &state->lists_count, "a", POLICY_OBSERVE);
	state_set_policy(&state->lists, &state->lists_count, "b", POLICY_ENFORCE);
	state_set_policy(&state->lists, &state->lists_count, "a", POLICY_UNSET);
	state_set_unloaded(state, "eth0", true);
	state_set_unloaded(state, "eth1", true);
	state_set_unloaded(state, "eth0", true);
	state_set_unloaded(state, "eth0", false);
	assert_int_equal(state_write(folder, state), 0);
	state_free(state);
	assert_int_equal(state_read(folder, &state), 0);
	assert_int_equal(state->pause_until_s, 1800000000);
	assert_int_equal(state->policy, POLICY_ENFORCE);
	assert_int_equal(state_policy(state->services, state->services_count, "mx"),
			 POLICY_OBSERVE);
	assert_int_equal(state->lists_count, 1);
	assert_int_equal(state_policy(state->lists, state->lists_count, "a"), POLICY_UNSET);
	assert_int_equal(state_policy(state->lists, state->lists_count, "b"), POLICY_ENFORCE);
	assert_true(!state_is_unloaded(state, "eth0") && state_is_unloaded(state, "eth1"));
	state->pause_until_s = GATE25_NEVER;
	assert_int_equal(state_write(folder, state), 0);
	state_free(state);
	assert_int_equal(state_read(folder, &state), 0);
	assert_true(state->pause_until_s == GATE25_NEVER);
	state_free(state);
}

/* Whoever had said "observe" must not find his mail dropped. */
static void test_damaged_state_observes(void **unused)
{
	static const char *const damaged[] = { "", "{", "[]", "{\"policy\": \"enforce\"",
					       "\xff\xfe" };

	(void)unused;
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct state *state = NULL;
		char path[96];

		snprintf(path, sizeof(path), "%s/control.json", folder);
		unlink(path);
		file_write("control.json", damaged[i]);
		assert_int_equal(state_read(folder, &state), 0);
		assert_int_equal(state->policy, POLICY_OBSERVE);
		assert_true(state->lost);
		state_free(state);
		assert_true(file_is_there("control.json.damaged"));
		assert_int_equal(state_read(folder, &state), 0); /* and it holds */
		assert_int_equal(state->policy, POLICY_OBSERVE);
		assert_true(state->lost);
		state->lost = false; /* somebody said it again */
		assert_int_equal(state_write(folder, state), 0);
		state_free(state);
		assert_int_equal(state_read(folder, &state), 0);
		assert_false(state->lost);
		state_free(state);
	}
}

static void test_words_of_the_control_map(void **unused)
{
	struct config config = { .services = { { .name = "mx" },
					       { .name = "own", .observe = true } },
				 .services_count = 2,
				 .observe = true };
	const __u8 slots[GATE25_SERVICES] = { 5, 2 };
	struct gate25_control control = { .local_services = 7 };
	struct config_list list = { .name = "a", .observe = true };
	struct state *state = NULL;

	(void)unused;
	assert_int_equal(state_read(folder, &state), 0);
	state_to_control(state, &config, slots, &control);
	assert_int_equal(control.observe, 1); /* the file's word */
	assert_int_equal(control.observe_services, 1 << 2);
	assert_int_equal(control.pause_until_ns, 0);
	assert_int_equal(control.local_services, 7); /* not its business */
	assert_true(state_list_observes(state, &list));
	state->policy = POLICY_ENFORCE; /* what was said wins */
	state->pause_until_s = GATE25_NEVER;
	state_set_policy(&state->services, &state->services_count, "mx", POLICY_OBSERVE);
	state_set_policy(&state->services, &state->services_count, "own", POLICY_ENFORCE);
	state_set_policy(&state->lists, &state->lists_count, "a", POLICY_ENFORCE);
	state_to_control(state, &config, slots, &control);
	assert_int_equal(control.observe, 0);
	assert_int_equal(control.observe_services, 1 << 5);
	assert_true(control.pause_until_ns == GATE25_NEVER);
	assert_false(state_list_observes(state, &list));
	state->pause_until_s = time(NULL) + 100;
	state_to_control(state, &config, slots, &control);
	assert_in_range(control.pause_until_ns, monotonic_ns() + 97000000000ULL,
			monotonic_ns() + 101000000000ULL);
	state->pause_until_s = time(NULL) - 100; /* it is over */
	state_to_control(state, &config, slots, &control);
	assert_true(control.pause_until_ns <= monotonic_ns());
	state_free(state);
}

/* ---------------------------------------------------------------- ids.json */

static void test_ids_are_never_used_again(void **unused)
{
	(void)unused;
	assert_int_equal(state_list_id(folder, "a"), 0);
	assert_int_equal(state_list_id(folder, "b"), 1);
	assert_int_equal(state_list_id(folder, "a"), 0);
	assert_int_equal(state_list_id(folder, "c"), 2);
}

static void test_ids_run_out(void **unused)
{
	char text[64];

	(void)unused;
	snprintf(text, sizeof(text), "{\"ids\": {\"a\": 7}, \"next\": %d}", GATE25_LIST_IDS);
	file_write("ids.json", text);
	assert_int_equal(state_list_id(folder, "a"), 7);
	assert_int_equal(state_list_id(folder, "b"), -ENOSPC);
}

/* ---------------------------------------------------------------- changes.log */

static int record_note(const json_t *record, void *context)
{
	fprintf(context, "%s ", json_string_value(json_object_get(record, "action")));
	return 0;
}

static void record(const char *action, const char *target)
{
	json_t *targets = json_pack("[s]", target);

	assert_int_equal(record_change(folder, action, targets, NULL, NULL), 0);
	json_decref(targets);
}

static void records_are(const char *about, const char *want)
{
	struct prefix prefix;
	char *actions = NULL;
	const char *why;
	size_t size;
	FILE *out = open_memstream(&actions, &size);

	assert_non_null(out);

	if (about)
		assert_int_equal(prefix_parse(about, NULL, 0, &prefix, &why), 0);
	assert_int_equal(record_read(folder, about ? &prefix : NULL, record_note, out), 0);
	fclose(out);
	assert_string_equal(actions, want);
	free(actions);
}

static void test_records(void **unused)
{
	char *argv[] = { (char *)"gate25", (char *)"add", (char *)"--reason", (char *)"a b\n",
			 NULL };

	(void)unused;
	record_command(4, argv);
	records_are(NULL, "");
	record("one", "192.0.2.7");
	record("two", "192.0.2.0/24");
	record("three", "2001:db8::7");
	file_write("changes.log", "{\"action\": \"torn\n\xff\n[]\n");
	record("four", "198.51.100.1");
	records_are(NULL, "one two three four ");
	records_are("192.0.2.7", "one two ");
	records_are("192.0.2.0/25", "one two ");
	records_are("192.0.2.8", "two ");
	records_are("2001:db8::/32", "three ");
	records_are("203.0.113.1", "");
}

static int record_is_whole(const json_t *record, void *context)
{
	(void)context;
	assert_non_null(json_object_get(record, "time"));
	assert_true(json_is_integer(json_object_get(record, "uid")));
	assert_string_equal(json_string_value(json_object_get(record, "command")),
			    "gate25 add --reason 'a b '");
	assert_true(json_is_array(json_object_get(record, "targets")));
	return 1;
}

static void test_record_says_who_and_how(void **unused)
{
	char *argv[] = { (char *)"gate25", (char *)"add", (char *)"--reason", (char *)"a b\n",
			 NULL };

	(void)unused;
	record_command(4, argv);
	record("add", "192.0.2.7");
	assert_int_equal(record_read(folder, NULL, record_is_whole, NULL), 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_state_is_kept),
		TEST(test_damaged_state_observes),
		TEST(test_words_of_the_control_map),
		TEST(test_ids_are_never_used_again),
		TEST(test_ids_run_out),
		TEST(test_records),
		TEST(test_record_says_who_and_how),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
