// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `gate25 test` says: the order of precedence, observe, pause, services, limits, entries; over
 * a table that is really compiled and images that are really on disk. Only the kernel's maps are
 * stood in for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/dataplane.h"
#include "user/overlay.h"

static int fake_attachments(struct guard *asked, struct attachment out[GATE25_IFACES]);
static int fake_view_open(const struct guard *asked, __u32 prog_id, struct view *out);
static void fake_view_close(struct view *view);
static int fake_overlay_get(const struct guard *asked, const struct prefix *prefix,
			    struct gate25_overlay_entry *out);

#define guard_attachments fake_attachments
#define view_open	  fake_view_open
#define view_close	  fake_view_close
#define overlay_get	  fake_overlay_get
#include "user/ask.c" /* NOLINT(bugprone-suspicious-include): with these in the place of its own */

#include "user/lists/parse.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NS_PER_S      1000000000ULL

enum { MX, SUBMISSION, RELAY };
#define ON(service) (1 << (service))
#define ALL	    (ON(MX) | ON(SUBMISSION) | ON(RELAY))

/* ---------------------------------------------------------------- the lists */

static const struct {
	const char *name, *text;
	int weight;
	bool allow, observe, insecure;
	__u8 services;
} lists[] = {
	{ "own", "192.0.2.128/25\n2001:db8:a::/48\n", 1, true, false, false, ALL },
	{ "feed", "192.0.2.0/24\n198.51.100.7\n203.0.113.5-203.0.113.9\n2001:db8::/32\n", 2, false,
	  false, false, ON(MX) },
	{ "half", "198.51.100.7\n198.51.100.8\n", 1, false, false, false, ON(MX) },
	{ "trial", "198.51.100.8\n198.51.100.9\n", 2, false, true, false, ON(MX) },
	{ "good", "198.51.100.7\n", -1, false, false, false, ON(MX) },
	{ "forgeable", "198.51.100.20\n", 2, false, false, true, ON(MX) },
	{ "everywhere", "198.51.100.30\n", 2, false, false, false, ALL },
	{ "lost", "198.51.100.40\n", 2, false, false, false, ON(MX) },	 /* no image on disk */
	{ "static", "198.51.100.50\n", 2, false, false, false, ON(MX) }, /* in the configuration */
};

#define THRESHOLD 2
#define LINES	  1024 /* of sources */

static char state_dir[] = "/tmp/gate25-ask-XXXXXX";
static struct list_image *images[ARRAY_SIZE(lists)];
static struct compiled_table *table;
static struct gate25_generation generation;
static struct gate25_control control;
static struct gate25_names names = { .services = { "mx", "submission", "relay" } };
static struct gate25_secret secret = { .siphash = { 1, 2 } };
static struct gate25_source_line *sources;
static struct prefix static_entry;
static struct config_list static_list = { .name = "static", .entries = &static_entry };
static struct config config = { .state_dir = state_dir, .lists = &static_list, .lists_count = 1 };
static struct guard guard = { .control = &control, .names = &names, .secret = &secret };

static void lists_compile(void)
{
	struct compile_list compiled[ARRAY_SIZE(lists)] = {};
	struct compile_input input = { compiled, ARRAY_SIZE(lists), THRESHOLD };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct gate25_list_info *info = &compiled[i].info;
		struct parse_settings settings = { .format = LIST_PLAIN };
		const char *why;

		assert_int_equal(list_parse(lists[i].text, strlen(lists[i].text), &settings,
					    &images[i], &why),
				 0);
		snprintf(info->name, sizeof(info->name), "%s", lists[i].name);
		info->weight = lists[i].weight;
		info->allow = lists[i].allow;
		info->observe = lists[i].observe;
		info->action = GATE25_DROP;
		info->services = lists[i].services;
		compiled[i].insecure = lists[i].insecure;
		compiled[i].image = images[i];
		generation.lists[i] = *info;
	}
	generation.lists_count = ARRAY_SIZE(lists);
	assert_int_equal(table_compile(&input, &table), 0);
}

static void images_write(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/lists", state_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (!strcmp(lists[i].name, "lost") || !strcmp(lists[i].name, "static"))
			continue;
		snprintf(path, sizeof(path), "%s/lists/%s.img", state_dir, lists[i].name);
		assert_int_equal(list_image_write(images[i], path), 0);
	}
}

static void generation_fill(void)
{
	struct gate25_settings *settings = &generation.settings;
	static const __u8 lengths[GATE25_SCOPES][2] = { { 32, 64 }, { 24, 48 } };

	generation.classes = table->classes_count;
	generation.table = table->layout;
	generation.threshold = THRESHOLD;
	generation.services = ALL;
	generation.ports_count = 3;
	generation.ports[0] = 465;
	generation.port_services[0] = ON(SUBMISSION);
	generation.ports[1] = 25;
	generation.port_services[1] = ON(MX);
	generation.ports[2] = 2525;
	generation.port_services[2] = ON(RELAY);
	settings->source_lines = LINES;
	settings->translated_count = 1;
	settings->translated[0][0] = 0x0064ff9b00000000ULL;
	for (int scope = 0; scope < GATE25_SCOPES; scope++) {
		struct gate25_limit *limit = &settings->limits[scope];

		limit->interval_ns = NS_PER_S;
		limit->tolerance_ns = 3 * NS_PER_S;
		limit->action = GATE25_DROP;
		limit->services = ON(MX);
		limit->length4 = lengths[scope][0];
		limit->length6 = lengths[scope][1];
	}
}

static int stage_setup(void **state)
{
	struct prefix entry;
	const char *why;

	(void)state;
	if (!mkdtemp(state_dir) || prefix_parse("198.51.100.50", NULL, 0, &entry, &why))
		return -1;
	static_entry = entry;
	static_list.entries_count = 1;
	sources = calloc(LINES, sizeof(*sources));
	guard.sources = sources;
	guard.source_lines = LINES;
	lists_compile();
	images_write();
	generation_fill();
	return 0;
}

static int stage_teardown(void **state)
{
	char command[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_image_free(images[i]);
	compiled_table_free(table);
	free(sources);
	snprintf(command, sizeof(command), "rm -r %s", state_dir);
	return system(command);
}

/* ---------------------------------------------------------------- what stands for the kernel */

static struct attachment attachments[3] = {
	{ "eth0", 0, true, 7 }, /* its device is gone */
	{ "eth1", 3, true, 8 },
};
static int attachments_count = 2, views_vanish;
static __u32 view_asked;

static int fake_attachments(struct guard *asked, struct attachment out[GATE25_IFACES])
{
	(void)asked;
	for (int i = 0; i < attachments_count; i++)
		out[i] = attachments[i];
	return attachments_count;
}

static int fake_view_open(const struct guard *asked, __u32 prog_id, struct view *out)
{
	(void)asked;
	if (views_vanish) {
		views_vanish--;
		return -ENOENT;
	}
	view_asked = prog_id;
	*out = (struct view){
		.generation = &generation,
		.table = table->lines,
		.classes = table->classes,
		.prog_id = prog_id,
		.table_bytes = (size_t)table->layout.lines * 64,
	};
	return 0;
}

static void fake_view_close(struct view *view)
{
	(void)view;
}

static struct overlaid {
	struct gate25_overlay_key key;
	struct gate25_overlay_entry entry;
} overlaid[8];
static size_t overlaid_count;
static int overlay_error;

static int fake_overlay_get(const struct guard *asked, const struct prefix *prefix,
			    struct gate25_overlay_entry *out)
{
	struct gate25_overlay_key key = overlay_key(prefix);

	(void)asked;
	if (overlay_error)
		return overlay_error;
	for (size_t i = 0; i < overlaid_count; i++)
		if (!memcmp(&overlaid[i].key, &key, sizeof(key))) {
			*out = overlaid[i].entry;
			return 0;
		}
	return -ENOENT;
}

static struct gate25_source address(const char *text)
{
	struct prefix prefix;
	const char *why = NULL;

	if (prefix_parse(text, NULL, 0, &prefix, &why))
		fail_msg("%s: %s", text, why);
	return prefix.address;
}

struct manual {
	const char *prefix;
	enum gate25_slot slot;
	__u8 services;
	int for_s; /* 0: for ever; negative: over */
	__u32 sequence;
};

static void overlay_put(const struct manual *manual)
{
	struct prefix prefix;
	struct gate25_overlay_slot *slot;
	const char *why;
	size_t at = 0;

	assert_int_equal(prefix_parse(manual->prefix, NULL, 0, &prefix, &why), 0);
	while (at < overlaid_count) {
		struct prefix there = overlay_prefix(&overlaid[at].key);

		if (prefix_equal(&there, &prefix))
			break;
		at++;
	}
	if (at == overlaid_count)
		overlaid[overlaid_count++] = (struct overlaid){ .key = overlay_key(&prefix) };
	slot = &overlaid[at].entry.slots[manual->slot];
	slot->services = manual->services;
	slot->sequence = manual->sequence;
	slot->expires_ns = manual->for_s ? monotonic_ns() + manual->for_s * NS_PER_S : GATE25_NEVER;
	if (prefix.address.family == 4)
		control.overlay_lengths4 |= 1ULL << prefix.length;
	else
		control.overlay_lengths6[prefix.length / 64] |= 1ULL << (prefix.length & 63);
}

static int clean(void **state)
{
	(void)state;
	memset(&control, 0, sizeof(control));
	memset(overlaid, 0, sizeof(overlaid));
	memset(sources, 0, LINES * sizeof(*sources));
	memset(generation.settings.default_action, 0, GATE25_SERVICES);
	generation.settings.allow_in_table = 0;
	generation.settings.limits[0].observe = 0;
	overlaid_count = 0;
	overlay_error = 0;
	return 0;
}

/* Uses up a limit of somebody, as the kernel would. */
static void limit_spend(const char *text, enum gate25_scope scope, bool observe)
{
	const struct gate25_limit *limit = &generation.settings.limits[scope];
	struct gate25_source source = address(text);
	__u64 hash = source_hash(secret.siphash, &source, limit, scope, observe);
	__u64 *words = sources[source_line(hash, LINES)].words;
	int admitted = 0;

	while (source_admit(words, hash, monotonic_ns(), limit->interval_ns, limit->tolerance_ns) ==
	       SOURCE_ADMITTED)
		admitted++;
	assert_true(admitted >= 3 && admitted < 6);
}

static struct asker *asker_of(void)
{
	struct asker *asker = NULL;

	assert_int_equal(ask_open(&config, &guard, &asker), 0);
	return asker;
}

/* ---------------------------------------------------------------- who decides */

enum { OBSERVE = 1, OBSERVE_MX = 2, PAUSED = 4, DEFAULT_DROP = 8, ALLOW_LIVE = 16 };

static const struct {
	const char *name;
	struct manual manual[3];
	unsigned int how;
	const char *address;
	int service;
	const char *want;
} cases[] = {
	{ "on no list", {}, 0, "198.51.100.1", MX, "PASS 198.51.100.1 mx: on no list" },
	{ "a list, and its entry",
	  {},
	  0,
	  "192.0.2.7",
	  MX,
	  "BLOCKED 192.0.2.7 mx: list feed (weight 2 of 2): 192.0.2.0/24" },
	{ "an entry that is a range",
	  {},
	  0,
	  "203.0.113.7",
	  MX,
	  "BLOCKED 203.0.113.7 mx: list feed (weight 2 of 2): 203.0.113.5-203.0.113.9" },
	{ "IPv6",
	  {},
	  0,
	  "2001:db8:1::1",
	  MX,
	  "BLOCKED 2001:db8:1::1 mx: list feed (weight 2 of 2): 2001:db8::/32" },
	{ "what carries IPv4 is IPv4",
	  {},
	  0,
	  "64:ff9b::192.0.2.7",
	  MX,
	  "BLOCKED 192.0.2.7 mx: list feed (weight 2 of 2): 192.0.2.0/24" },
	{ "an allow list goes first",
	  {},
	  0,
	  "192.0.2.130",
	  MX,
	  "ALLOWED 192.0.2.130 mx: allow list own: 192.0.2.128/25" },
	{ "for IPv6 too",
	  {},
	  0,
	  "2001:db8:a::1",
	  MX,
	  "ALLOWED 2001:db8:a::1 mx: allow list own: 2001:db8:a::/48" },
	{ "sums, a negative weight among them",
	  {},
	  0,
	  "198.51.100.7",
	  MX,
	  "BLOCKED 198.51.100.7 mx: lists feed (weight 2): 198.51.100.7, half (weight 1): "
	  "198.51.100.7, good (weight -1): 198.51.100.7; sum 2 of 2" },
	{ "an observed list does not count",
	  {},
	  0,
	  "198.51.100.9",
	  MX,
	  "PASS 198.51.100.9 mx: would be blocked: list trial (weight 2 of 2, observed): "
	  "198.51.100.9 (only observed)" },
	{ "nor does it add to the sum of another",
	  {},
	  0,
	  "198.51.100.8",
	  MX,
	  "PASS 198.51.100.8 mx: would be blocked: lists half (weight 1): 198.51.100.8, trial "
	  "(weight 2, observed): 198.51.100.8; sum 3 of 2 (only observed)" },
	{ "what can be forged blocks nobody alone",
	  {},
	  0,
	  "198.51.100.20",
	  MX,
	  "PASS 198.51.100.20 mx: list forgeable (weight 2 of 2): 198.51.100.20, which alone stops "
	  "nobody: its transport can be forged" },
	{ "a list holds for its services",
	  {},
	  0,
	  "192.0.2.7",
	  SUBMISSION,
	  "PASS 192.0.2.7 submission: on no list that holds for it" },
	{ "or for all",
	  {},
	  0,
	  "198.51.100.30",
	  SUBMISSION,
	  "BLOCKED 198.51.100.30 submission: list everywhere (weight 2 of 2): 198.51.100.30" },
	{ "without its image the entry is not told",
	  {},
	  0,
	  "198.51.100.40",
	  MX,
	  "BLOCKED 198.51.100.40 mx: list lost (weight 2 of 2)" },
	{ "entries of the configuration have no image",
	  {},
	  0,
	  "198.51.100.50",
	  MX,
	  "BLOCKED 198.51.100.50 mx: list static (weight 2 of 2): 198.51.100.50" },

	{ "a manual block",
	  { { "198.51.100.0/25", GATE25_SLOT_BLOCK, ALL, 0, 1 } },
	  0,
	  "198.51.100.1",
	  MX,
	  "BLOCKED 198.51.100.1 mx: manual block 198.51.100.0/25" },
	{ "of another service",
	  { { "198.51.100.1", GATE25_SLOT_BLOCK, ON(MX), 0, 1 } },
	  0,
	  "198.51.100.1",
	  SUBMISSION,
	  "PASS 198.51.100.1 submission: on no list" },
	{ "that is over",
	  { { "198.51.100.1", GATE25_SLOT_BLOCK, ALL, -1, 1 } },
	  0,
	  "198.51.100.1",
	  MX,
	  "PASS 198.51.100.1 mx: on no list" },
	{ "under an allow list",
	  { { "192.0.2.130", GATE25_SLOT_BLOCK, ALL, 0, 1 } },
	  0,
	  "192.0.2.130",
	  MX,
	  "ALLOWED 192.0.2.130 mx: allow list own: 192.0.2.128/25" },
	{ "forced",
	  { { "192.0.2.130", GATE25_SLOT_FORCED, ALL, 0, 1 } },
	  0,
	  "192.0.2.130",
	  MX,
	  "BLOCKED 192.0.2.130 mx: forced manual block 192.0.2.130" },
	{ "a manual allow",
	  { { "192.0.2.7", GATE25_SLOT_ALLOW, ALL, 0, 1 } },
	  0,
	  "192.0.2.7",
	  MX,
	  "ALLOWED 192.0.2.7 mx: manual allow 192.0.2.7" },
	{ "inside a forced block",
	  { { "192.0.2.0/24", GATE25_SLOT_FORCED, ALL, 0, 2 },
	    { "192.0.2.7", GATE25_SLOT_ALLOW, ALL, 0, 1 } },
	  0,
	  "192.0.2.7",
	  MX,
	  "ALLOWED 192.0.2.7 mx: manual allow 192.0.2.7" },
	{ "a forced block inside of it",
	  { { "192.0.2.0/24", GATE25_SLOT_ALLOW, ALL, 0, 2 },
	    { "192.0.2.7", GATE25_SLOT_FORCED, ALL, 0, 1 } },
	  0,
	  "192.0.2.7",
	  MX,
	  "BLOCKED 192.0.2.7 mx: forced manual block 192.0.2.7" },
	{ "of one length the later written",
	  { { "192.0.2.7", GATE25_SLOT_FORCED, ALL, 0, 1 },
	    { "192.0.2.7", GATE25_SLOT_ALLOW, ALL, 0, 2 } },
	  0,
	  "192.0.2.7",
	  MX,
	  "ALLOWED 192.0.2.7 mx: manual allow 192.0.2.7" },
	{ "a wide manual allow over a manual block",
	  { { "198.51.0.0/16", GATE25_SLOT_ALLOW, ALL, 0, 1 },
	    { "198.51.100.1", GATE25_SLOT_BLOCK, ALL, 0, 2 } },
	  0,
	  "198.51.100.1",
	  MX,
	  "ALLOWED 198.51.100.1 mx: manual allow 198.51.0.0/16" },
	{ "an automatic ban",
	  { { "198.51.100.1", GATE25_SLOT_AUTO, ALL, 0, 1 } },
	  0,
	  "198.51.100.1",
	  MX,
	  "BLOCKED 198.51.100.1 mx: automatic ban 198.51.100.1" },
	{ "of an IPv6 /64",
	  { { "2001:db8:f:1::/64", GATE25_SLOT_AUTO, ALL, 0, 1 } },
	  0,
	  "2001:db8:f:1::9",
	  RELAY,
	  "BLOCKED 2001:db8:f:1::9 relay: automatic ban 2001:db8:f:1::/64" },
	{ "a manual block goes before a ban",
	  { { "198.51.100.1", GATE25_SLOT_AUTO, ALL, 0, 1 },
	    { "198.51.100.0/24", GATE25_SLOT_BLOCK, ALL, 0, 2 } },
	  0,
	  "198.51.100.1",
	  MX,
	  "BLOCKED 198.51.100.1 mx: manual block 198.51.100.0/24" },

	{ "the whole observes",
	  {},
	  OBSERVE,
	  "192.0.2.7",
	  MX,
	  "PASS 192.0.2.7 mx: would be blocked: list feed (weight 2 of 2): 192.0.2.0/24 (only "
	  "observed)" },
	{ "the service observes",
	  {},
	  OBSERVE_MX,
	  "192.0.2.7",
	  MX,
	  "PASS 192.0.2.7 mx: would be blocked: list feed (weight 2 of 2): 192.0.2.0/24 (only "
	  "observed)" },
	{ "another does not",
	  {},
	  OBSERVE_MX,
	  "198.51.100.30",
	  SUBMISSION,
	  "BLOCKED 198.51.100.30 submission: list everywhere (weight 2 of 2): 198.51.100.30" },
	{ "paused",
	  { { "198.51.100.1", GATE25_SLOT_BLOCK, ALL, 0, 1 } },
	  PAUSED,
	  "198.51.100.1",
	  MX,
	  "PASS 198.51.100.1 mx: would be blocked: manual block 198.51.100.1 (paused)" },
	{ "who is allowed is so in a pause too",
	  {},
	  PAUSED,
	  "192.0.2.130",
	  MX,
	  "ALLOWED 192.0.2.130 mx: allow list own: 192.0.2.128/25" },

	{ "default",
	  {},
	  DEFAULT_DROP | ALLOW_LIVE,
	  "198.51.100.1",
	  MX,
	  "BLOCKED 198.51.100.1 mx: default of mx, and no allow entry covers it" },
	{ "default, but allowed",
	  {},
	  DEFAULT_DROP | ALLOW_LIVE,
	  "192.0.2.130",
	  MX,
	  "ALLOWED 192.0.2.130 mx: allow list own: 192.0.2.128/25" },
	{ "default with nobody allowed",
	  {},
	  DEFAULT_DROP,
	  "198.51.100.1",
	  MX,
	  "PASS 198.51.100.1 mx: default of mx is to drop, but no allow entry is in force" },
	{ "default, observed",
	  {},
	  DEFAULT_DROP | ALLOW_LIVE | OBSERVE,
	  "198.51.100.1",
	  MX,
	  "PASS 198.51.100.1 mx: would be blocked: default of mx, and no allow entry covers it "
	  "(only "
	  "observed)" },
};

static void case_prepare(size_t i)
{
	clean(NULL);
	for (size_t j = 0; j < ARRAY_SIZE(cases[i].manual) && cases[i].manual[j].prefix; j++)
		overlay_put(&cases[i].manual[j]);
	control.observe = !!(cases[i].how & OBSERVE);
	control.observe_services = cases[i].how & OBSERVE_MX ? ON(MX) : 0;
	control.pause_until_ns = cases[i].how & PAUSED ? GATE25_NEVER : 0;
	generation.settings.default_action[MX] = cases[i].how & DEFAULT_DROP ? GATE25_DROP :
									       GATE25_PASS;
	generation.settings.allow_in_table = cases[i].how & ALLOW_LIVE ? ALL : 0;
}

static void test_lines(void **state)
{
	struct asker *asker = asker_of();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gate25_source source = address(cases[i].address);
		struct answer answer, verdict;
		char line[ANSWER_TEXT];
		json_t *object;

		case_prepare(i);
		assert_int_equal(ask_address(asker, &source, cases[i].service, &answer), 0);
		if (strcmp(answer_line(&answer, line), cases[i].want) != 0)
			fail_msg("%s:\n  want %s\n   got %s", cases[i].name, cases[i].want, line);
		/* the short question gives the same verdict */
		assert_int_equal(ask_verdict(asker, &source, cases[i].service, &verdict), 0);
		assert_int_equal(verdict.reason, answer.reason);
		assert_int_equal(verdict.verdict, answer.verdict);
		assert_string_equal(answer_word(&verdict), answer_word(&answer));
		/* and JSON says what the line says */
		object = answer_json(&answer);
		assert_non_null(object);
		assert_string_equal(json_string_value(json_object_get(object, "result")),
				    answer_word(&answer));
		assert_non_null(strstr(line, json_string_value(json_object_get(object, "why"))));
		json_decref(object);
	}
	clean(NULL);
	ask_close(asker);
}

/* ---------------------------------------------------------------- limits */

static void want_line(struct asker *asker, const char *text, int service, const char *want)
{
	struct gate25_source source = address(text);
	struct answer answer;
	char line[ANSWER_TEXT];

	assert_int_equal(ask_address(asker, &source, service, &answer), 0);
	assert_string_equal(answer_line(&answer, line), want);
}

static void test_limits(void **state)
{
	struct asker *asker = asker_of();

	(void)state;
	limit_spend("198.51.100.1", GATE25_SCOPE_SOURCE, false);
	want_line(asker, "198.51.100.1", MX,
		  "LIMITED 198.51.100.1 mx: limit of the source 198.51.100.1 is used up");
	want_line(asker, "198.51.100.2", MX, "PASS 198.51.100.2 mx: on no list");
	want_line(asker, "198.51.100.1", SUBMISSION, "PASS 198.51.100.1 submission: on no list");
	limit_spend("198.51.100.1", GATE25_SCOPE_NETWORK, false);
	want_line(asker, "198.51.100.2", MX,
		  "LIMITED 198.51.100.2 mx: limit of the network 198.51.100.0/24 is used up");
	want_line(asker, "198.51.100.1", MX,
		  "LIMITED 198.51.100.1 mx: limit of the source 198.51.100.1 is used up");
	limit_spend("2001:dead::1", GATE25_SCOPE_SOURCE, false);
	want_line(asker, "2001:dead::ffff", MX,
		  "LIMITED 2001:dead::ffff mx: limit of the source 2001:dead::/64 is used up");
	/* lists come first, and who is allowed has no limit */
	limit_spend("192.0.2.7", GATE25_SCOPE_SOURCE, false);
	want_line(asker, "192.0.2.7", MX,
		  "BLOCKED 192.0.2.7 mx: list feed (weight 2 of 2): 192.0.2.0/24");
	limit_spend("192.0.2.130", GATE25_SCOPE_SOURCE, false);
	want_line(asker, "192.0.2.130", MX,
		  "ALLOWED 192.0.2.130 mx: allow list own: 192.0.2.128/25");
	ask_close(asker);
}

/* An observed limit has a ledger of its own; an observed list does not shield from a limit. */
static void test_limits_observed(void **state)
{
	struct asker *asker = asker_of();

	(void)state;
	limit_spend("198.51.100.9", GATE25_SCOPE_SOURCE, false);
	want_line(asker, "198.51.100.9", MX,
		  "LIMITED 198.51.100.9 mx: limit of the source 198.51.100.9 is used up");
	generation.settings.limits[0].observe = 1;
	want_line(asker, "198.51.100.9", MX,
		  "PASS 198.51.100.9 mx: would be blocked: list trial (weight 2 of 2, observed): "
		  "198.51.100.9 (only observed)");
	limit_spend("198.51.100.1", GATE25_SCOPE_SOURCE, true);
	want_line(
		asker, "198.51.100.1", MX,
		"PASS 198.51.100.1 mx: would be limited: limit of the source 198.51.100.1 is used "
		"up (only observed)");
	generation.settings.limits[0].observe = 0;
	want_line(asker, "198.51.100.1", MX, "PASS 198.51.100.1 mx: on no list");
	control.pause_until_ns = GATE25_NEVER;
	want_line(
		asker, "198.51.100.1", MX,
		"PASS 198.51.100.1 mx: would be limited: limit of the source 198.51.100.1 is used "
		"up (paused)");
	ask_close(asker);
}

/* Asking charges nothing and writes nothing. */
static void test_no_traces(void **state)
{
	struct asker *asker = asker_of();
	struct gate25_source_line *before = malloc(LINES * sizeof(*before));
	struct gate25_control words = control;
	struct gate25_source source = address("198.51.100.1");
	struct answer answer;

	(void)state;
	assert_non_null(before);
	limit_spend("198.51.100.99", GATE25_SCOPE_SOURCE, false);
	memcpy(before, sources, LINES * sizeof(*before));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask_address(asker, &source, MX, &answer), 0);
		assert_int_equal(answer.limits[GATE25_SCOPE_SOURCE].left, 3);
	}
	assert_memory_equal(before, sources, LINES * sizeof(*before));
	assert_memory_equal(&words, &control, sizeof(control));
	free(before);
	ask_close(asker);
}

/* ---------------------------------------------------------------- the rest */

static void test_expiry_is_told(void **state)
{
	static const struct manual block = { "198.51.100.1", GATE25_SLOT_BLOCK, ALL, 3600, 1 };
	struct asker *asker = asker_of();
	struct gate25_source source = address("198.51.100.1");
	struct answer answer;
	char line[ANSWER_TEXT];

	(void)state;
	overlay_put(&block);
	assert_int_equal(ask_address(asker, &source, MX, &answer), 0);
	answer_line(&answer, line);
	assert_non_null(strstr(line, "BLOCKED 198.51.100.1 mx: manual block 198.51.100.1 until 2"));
	assert_int_equal(line[strlen(line) - 1], 'Z');
	ask_close(asker);
}

static void test_a_failing_map_is_told(void **state)
{
	static const struct manual block = { "198.51.100.1", GATE25_SLOT_BLOCK, ALL, 0, 1 };
	struct asker *asker = asker_of();
	struct gate25_source source = address("198.51.100.1");
	struct answer answer;

	(void)state;
	overlay_put(&block);
	overlay_error = -EPERM;
	assert_int_equal(ask_address(asker, &source, MX, &answer), -EPERM);
	ask_close(asker);
}

static void test_whom_to_ask(void **state)
{
	struct asker *asker = asker_of();

	(void)state;
	assert_int_equal(view_asked, 8);	  /* not the one whose device is gone */
	assert_int_equal(ask_service(asker), MX); /* that with port 25 */
	generation.ports[1] = 26;
	assert_int_equal(ask_service(asker), MX); /* the first */
	generation.ports[1] = 25;
	ask_close(asker);

	views_vanish = 2; /* swapped out between two looks */
	asker = asker_of();
	ask_close(asker);
	attachments_count = 1;
	asker = asker_of();
	assert_int_equal(view_asked, 7); /* if there is none else */
	ask_close(asker);
	attachments_count = 0;
	asker = NULL;
	assert_int_equal(ask_open(&config, &guard, &asker), -ENOENT);
	assert_null(asker);
	attachments_count = 2;
}

static void test_labels(void **state)
{
	(void)state;
	assert_string_equal(reason_label(GATE25_REASON_OK), "pass");
	assert_string_equal(reason_label(GATE25_REASON_WOULD_LIST), "would_list");
	assert_null(reason_label(15));
	assert_null(reason_label(1000));
	assert_string_equal(verdict_label(GATE25_DROP), "drop");
	assert_string_equal(verdict_label(200), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_lines, clean),
		cmocka_unit_test_setup(test_limits, clean),
		cmocka_unit_test_setup(test_limits_observed, clean),
		cmocka_unit_test_setup(test_no_traces, clean),
		cmocka_unit_test_setup(test_expiry_is_told, clean),
		cmocka_unit_test_setup(test_a_failing_map_is_told, clean),
		cmocka_unit_test_setup(test_whom_to_ask, clean),
		cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
