// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metrics and event lines as text: every series that must be there with its value, every family once with its help,
 * no series twice, whatever the names are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/events.h"
#include "user/log.h"
#include "user/metrics.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CPUS	      2
#define NOW_NS	      1000000000ULL

/* ---------------------------------------------------------------- a guard without a kernel */

struct world {
	struct guard guard;
	struct gate25_control control;
	struct gate25_names names;
	struct gate25_counter counters[CPUS * GATE25_IFACES * GATE25_SERVICE_ROWS * GATE25_REASONS];
	struct gate25_cpu_state cpu_state[CPUS];
	struct gate25_list_total totals[GATE25_LIST_IDS];
	__u64 agent_errors[GATE25_ERRORS], hits[GATE25_LIST_IDS];
	struct config config;
	struct config_list lists[2];
	struct gate25_generation generation;
	struct attachment attached[2];
	struct feed_state feed_array[2];
	struct feed_states feeds;
	int ids[2];
	struct metrics_origin origins[2];
	struct metrics_input input;
};

static struct gate25_counter *counter(struct world *world, unsigned int cpu, unsigned int iface,
				      unsigned int row, unsigned int reason)
{
	return &world->counters[((cpu * GATE25_IFACES + iface) * GATE25_SERVICE_ROWS + row) *
					GATE25_REASONS +
				reason];
}

static void world_lists(struct world *world)
{
	static const char *const names[] = { "feed-a", "own \"x\"\\y" };

	for (int i = 0; i < 2; i++) {
		snprintf(world->lists[i].name, GATE25_NAME, "%s", names[i]);
		snprintf(world->feed_array[i].name, GATE25_NAME, "%s", names[i]);
		snprintf(world->generation.lists[i].name, GATE25_NAME, "%s", names[i]);
	}
	world->config.lists = world->lists;
	world->config.lists_count = 2;
	world->generation.lists_count = 1; /* the second is not in force yet */
	world->generation.lists[0].entries4 = 50103;
	world->generation.lists[0].entries6 = 12;
	world->feed_array[0].last_success_s = 1780000000;
	world->feed_array[0].wait.gate = GATE_GROWTH;
	world->feed_array[1].expired = true;
	world->feeds = (struct feed_states){ .array = world->feed_array, .count = 2 };
	world->ids[0] = 17;
	world->ids[1] = 4095;
	world->hits[17] = 9000000000ULL;
	world->totals[17].errors[GATE25_LIST_ERROR_PARSE] = 2;
	world->totals[4095].errors[GATE25_LIST_ERROR_BAD_LINE] = 5;
}

static struct world *world_make(void)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->guard.cpus = CPUS;
	world->guard.control = &world->control;
	world->guard.names = &world->names;
	world->guard.counters = world->counters;
	world->guard.cpu_state = world->cpu_state;
	world->guard.totals = world->totals;
	world->guard.agent_errors = world->agent_errors;
	world->guard.overlay_max = 65536;
	snprintf(world->names.ifaces[3], 16, "eth0");
	snprintf(world->names.services[1], GATE25_NAME, "mx");
	snprintf(world->names.services[7], GATE25_NAME, "submission");
	counter(world, 0, 3, 1, GATE25_REASON_LIST)->packets = 40;
	counter(world, 1, 3, 1, GATE25_REASON_LIST)->packets = 2;
	counter(world, 1, 3, 1, GATE25_REASON_LIST)->connections = 20;
	counter(world, 1, 3, 7, GATE25_REASON_WOULD_LIMIT_SOURCE)->packets = 3;
	counter(world, 0, 3, GATE25_NO_SERVICE, GATE25_REASON_FRAGMENT)->packets = 5;
	counter(world, 0, 4, 1, GATE25_REASON_OK)->packets = 99; /* a slot that is free */
	world->cpu_state[0].events_suppressed = 1;
	world->cpu_state[1].events_suppressed = 10;
	world->cpu_state[1].errors[GATE25_ERROR_MAP] = 6;
	world->agent_errors[GATE25_ERROR_MAP] = 1;
	snprintf(world->config.interfaces[0].name, 16, "eth0");
	snprintf(world->config.interfaces[1].name, 16, "eth1");
	world->config.interfaces_count = 2;
	world->attached[0] = (struct attachment){ .iface = "eth0", .ifindex = 2, .native = true };
	world->attached[1] = (struct attachment){ .iface = "old0", .ifindex = 9 };
	world->origins[0] = (struct metrics_origin){ "auto", 0, 0 };
	world->origins[1] = (struct metrics_origin){ "fail2ban", 7, 1 };
	world->generation.services = 1 << 1 | 1 << 7;
	world->generation.settings.limits[GATE25_SCOPE_SOURCE] =
		(struct gate25_limit){ .interval_ns = 1, .services = 1 << 1 };
	world->generation.settings.limits[GATE25_SCOPE_NETWORK] =
		(struct gate25_limit){ .interval_ns = 1, .services = 1 << 7 };
	world->control.counted_services = 1 << 1;
	world_lists(world);
	world->input = (struct metrics_input){
		.guard = &world->guard,
		.config = &world->config,
		.attached = world->attached,
		.attached_count = 2,
		.generation = &world->generation,
		.feeds = &world->feeds,
		.list_ids = world->ids,
		.list_hits = world->hits,
		.origins = world->origins,
		.origins_count = 2,
		.now_ns = NOW_NS,
	};
	return world;
}

static char *render(const struct world *world)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_int_equal(metrics_write(&world->input, out), 0);
	fclose(out);
	return text;
}

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return true;
	return false;
}

/* ---------------------------------------------------------------- metrics */

static const struct {
	const char *name, *line;
} lines[] = {
	{ "sums over CPUs", "gate25_packets_total{interface=\"eth0\",service=\"mx\",verdict="
			    "\"drop\",reason=\"list\"} 42" },
	{ "connections", "gate25_connections_total{interface=\"eth0\",service=\"mx\",verdict="
			 "\"drop\",reason=\"list\"} 20" },
	{ "observed, another service",
	  "gate25_packets_total{interface=\"eth0\",service=\"submission\",verdict=\"pass\",reason="
	  "\"would_limit_source\"} 3" },
	{ "what carries no port", "gate25_packets_total{interface=\"eth0\",service=\"none\","
				  "verdict=\"pass\",reason=\"fragment\"} 5" },
	{ "zero is said", "gate25_packets_total{interface=\"eth0\",service=\"submission\",verdict="
			  "\"drop\",reason=\"manual\"} 0" },
	{ "hits beyond 32 bits", "gate25_list_hits_total{list=\"feed-a\"} 9000000000" },
	{ "a list without hits", "gate25_list_hits_total{list=\"own \\\"x\\\"\\\\y\"} 0" },
	{ "list errors", "gate25_list_errors_total{list=\"feed-a\",kind=\"parse\"} 2" },
	{ "bad lines",
	  "gate25_list_errors_total{list=\"own \\\"x\\\"\\\\y\",kind=\"bad_line\"} 5" },
	{ "entries", "gate25_entries{list=\"feed-a\",family=\"ipv4\"} 50103" },
	{ "entries of IPv6", "gate25_entries{list=\"feed-a\",family=\"ipv6\"} 12" },
	{ "a list that is not in force",
	  "gate25_entries{list=\"own \\\"x\\\"\\\\y\",family=\"ipv4\"} 0" },
	{ "held back", "gate25_list_held{list=\"feed-a\",gate=\"growth\"} 1" },
	{ "by no other gate", "gate25_list_held{list=\"feed-a\",gate=\"shrink\"} 0" },
	{ "not too old", "gate25_list_expired{list=\"feed-a\"} 0" },
	{ "too old", "gate25_list_expired{list=\"own \\\"x\\\"\\\\y\"} 1" },
	{ "last success",
	  "gate25_list_last_success_timestamp_seconds{list=\"feed-a\"} 1780000000" },
	{ "never", "gate25_list_last_success_timestamp_seconds{list=\"own \\\"x\\\"\\\\y\"} 0" },
	{ "entries by origin", "gate25_overlay_entries{origin=\"fail2ban\",family=\"ipv4\"} 7" },
	{ "no bans", "gate25_overlay_entries{origin=\"auto\",family=\"ipv6\"} 0" },
	{ "their maximum", "gate25_overlay_entries_max 65536" },
	{ "not paused", "gate25_paused 0" },
	{ "connections are counted",
	  "gate25_service_counted{service=\"mx\",what=\"connections\"} 1" },
	{ "and SYNs are not", "gate25_service_counted{service=\"mx\",what=\"syns\"} 0" },
	{ "SYNs are", "gate25_service_counted{service=\"submission\",what=\"syns\"} 1" },
	{ "attached", "gate25_attached{interface=\"eth0\",mode=\"native\"} 1" },
	{ "not in the other mode", "gate25_attached{interface=\"eth0\",mode=\"generic\"} 0" },
	{ "not attached", "gate25_attached{interface=\"eth1\",mode=\"native\"} 0" },
	{ "not configured any more", "gate25_attached{interface=\"old0\",mode=\"generic\"} 1" },
	{ "suppressed", "gate25_events_suppressed_total 11" },
	{ "errors of kernel and agent", "gate25_errors_total{kind=\"map\"} 7" },
	{ "errors that never were", "gate25_errors_total{kind=\"overlay_full\"} 0" },
};

static void test_lines(void **state)
{
	struct world *world = world_make();
	char *text = render(world);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (!has_line(text, lines[i].line))
			fail_msg("%s: no line %s", lines[i].name, lines[i].line);
	}
	assert_non_null(strstr(text, "\ngate25_build_info{version=\""));
	assert_null(strstr(text, "} 99\n"));
	free(text);
	free(world);
}

static void test_every_reason(void **state)
{
	struct world *world = world_make();
	char *text, line[256];

	(void)state;
	for (unsigned int reason = 0; reason < GATE25_REASONS; reason++)
		counter(world, 1, 3, 1, reason)->packets = 1000 + reason;
	text = render(world);
#define REASON(number, name, verdict, label)                                                       \
	snprintf(line, sizeof(line),                                                               \
		 "gate25_packets_total{interface=\"eth0\",service=\"mx\",verdict=\"%s\",reason="   \
		 "\"%s\"} %d",                                                                     \
		 (verdict) == GATE25_PASS ? "pass" : "drop", label,                                \
		 1000 + (number) + ((number) == GATE25_REASON_LIST ? 40 : 0));                     \
	assert_true(has_line(text, line));
	GATE25_REASON_TABLE(REASON)
#undef REASON
	free(text);
	free(world);
}

static void test_paused(void **state)
{
	static const struct {
		__u64 until_ns;
		const char *line;
	} cases[] = {
		{ 0, "gate25_paused 0" },
		{ NOW_NS, "gate25_paused 0" },
		{ NOW_NS + 1, "gate25_paused 1" },
		{ GATE25_NEVER, "gate25_paused 1" },
	};
	struct world *world = world_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text;

		world->control.pause_until_ns = cases[i].until_ns;
		text = render(world);
		assert_true(has_line(text, cases[i].line));
		free(text);
	}
	free(world);
}

/* What is not known is left out, not told as 0: a counter that steps back is worse than a gap. */
static void test_not_known(void **state)
{
	struct world *world = world_make();
	char *text;

	(void)state;
	world->input.list_hits = NULL;
	world->input.generation = NULL;
	world->ids[1] = -1;
	text = render(world);
	assert_null(strstr(text, "\ngate25_list_hits_total{"));
	assert_null(strstr(text, "gate25_list_errors_total{list=\"own"));
	assert_true(has_line(text, "gate25_entries{list=\"feed-a\",family=\"ipv4\"} 0"));
	free(text);
	free(world);
}

/* The name of a sample's family, as far as its labels. */
static size_t name_length(const char *line)
{
	return strcspn(line, "{ ");
}

/* HELP, TYPE, then samples of that family only; each family and each series once. */
static void test_shape(void **state)
{
	struct world *world = world_make();
	char *text = render(world), *rest, *line, family[128] = "", key[512];
	size_t room = 2 * strlen(text), length = 1;
	char *seen = calloc(1, room);

	(void)state;
	seen[0] = '\n'; /* so that the first line is found like the others */
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strncmp(line, "# HELP ", 7)) {
			snprintf(family, sizeof(family), "%.*s", (int)name_length(line + 7),
				 line + 7);
			assert_true(strlen(line) > 7 + strlen(family) + 10);
			line = strtok_r(NULL, "\n", &rest);
			assert_int_equal(strncmp(line, "# TYPE ", 7), 0);
			assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
			snprintf(key, sizeof(key), "\n%s\n", family);
		} else {
			assert_int_equal(name_length(line), strlen(family));
			assert_memory_equal(line, family, strlen(family));
			*strrchr(line, ' ') = '\0';
			snprintf(key, sizeof(key), "\n%s=\n", line);
		}
		assert_null(strstr(seen, key));
		length += snprintf(seen + length, room - length, "%s", key + 1);
	}
	free(seen);
	free(text);
	free(world);
}

/* ---------------------------------------------------------------- events */

static const struct {
	const char *name;
	struct gate25_event event;
	const char *text;
} event_cases[] = {
	{ "a drop",
	  { .source = { .lo = 0xc0000207, .family = 4 },
	    .destination_lo = 0xc6336419,
	    .source_port = 40112,
	    .destination_port = 25,
	    .class = 2,
	    .frame_family = 4,
	    .iface = 3,
	    .service = 1,
	    .reason = GATE25_REASON_LIST },
	  "drop list src=192.0.2.7 sport=40112 dst=198.51.100.25 dport=25 service=mx "
	  "iface=eth0 lists=feed-a,feed-b" },
	{ "observed, IPv6",
	  { .source = { .hi = 0x20010db800000000ULL, .lo = 7, .family = 6 },
	    .destination_hi = 0x20010db800000000ULL,
	    .destination_lo = 0x25,
	    .source_port = 1,
	    .destination_port = 25,
	    .class = 1,
	    .frame_family = 6,
	    .iface = 3,
	    .service = 1,
	    .reason = GATE25_REASON_WOULD_LIST },
	  "pass would_list src=2001:db8::7 sport=1 dst=2001:db8::25 dport=25 service=mx "
	  "iface=eth0 lists=feed-a" },
	{ "a list that does not hold for the service",
	  { .source = { .lo = 0xc0000207, .family = 4 },
	    .destination_lo = 0xc6336419,
	    .source_port = 2,
	    .destination_port = 587,
	    .class = 2,
	    .frame_family = 4,
	    .iface = 3,
	    .service = 7,
	    .reason = GATE25_REASON_MANUAL },
	  "drop manual src=192.0.2.7 sport=2 dst=198.51.100.25 dport=587 "
	  "service=submission "
	  "iface=eth0 lists=-" },
	{ "on no list, no service",
	  { .source = { .lo = 0xc0000207, .family = 4 },
	    .destination_lo = 0xc6336419,
	    .frame_family = 4,
	    .iface = 3,
	    .service = GATE25_NO_SERVICE,
	    .reason = GATE25_REASON_MALFORMED },
	  "drop malformed src=192.0.2.7 sport=0 dst=198.51.100.25 dport=0 service=- "
	  "iface=eth0 lists=-" },
	{ "an IPv6 frame that carries an IPv4 source",
	  { .source = { .lo = 0xc0000207, .family = 4 },
	    .destination_hi = 0x20010db800000000ULL,
	    .destination_lo = 0x25,
	    .destination_port = 25,
	    .frame_family = 6,
	    .iface = 3,
	    .service = 1,
	    .reason = GATE25_REASON_BAN },
	  "drop ban src=192.0.2.7 sport=0 dst=2001:db8::25 dport=25 service=mx iface=eth0 "
	  "lists=-" },
	{ "a class beyond the generation's, slots beyond all",
	  { .source = { .lo = 0xc0000207, .family = 4 },
	    .destination_lo = 0xc6336419,
	    .class = 3,
	    .frame_family = 4,
	    .iface = 200,
	    .service = 200,
	    .reason = 63 },
	  "- - src=192.0.2.7 sport=0 dst=198.51.100.25 dport=0 service=- iface=- lists=-" },
};

static void test_events(void **state)
{
	struct world *world = world_make();
	struct gate25_class classes[3] = { { 0 }, { .lists = 5 }, { .lists = 7 } };
	struct view view = { .generation = &world->generation, .classes = classes };
	char text[EVENT_TEXT];

	(void)state;
	world->generation.classes = 3;
	world->generation.lists_count = 3;
	world->generation.lists[0].services = 1 << 1;
	world->generation.lists[1].services = 1 << 1;
	snprintf(world->generation.lists[1].name, GATE25_NAME, "feed-b");
	world->generation.lists[2].services = 0xff;
	world->generation.lists[2].allow = 1;
	for (size_t i = 0; i < ARRAY_SIZE(event_cases); i++) {
		print_message("# %s\n", event_cases[i].name);
		assert_string_equal(event_format(&event_cases[i].event, &world->names, &view, text),
				    event_cases[i].text);
	}
	event_format(&event_cases[0].event, &world->names, NULL, text);
	assert_non_null(strstr(text, " lists=?"));
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),  cmocka_unit_test(test_every_reason),
		cmocka_unit_test(test_paused), cmocka_unit_test(test_not_known),
		cmocka_unit_test(test_shape),  cmocka_unit_test(test_events),
	};

	log_init("test_metrics", LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
