// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of precedence as a table of cases: what the overlay holds under some lengths, what the
 * class of the source says, and the step that then decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "bpf/verdict.h"
#include "user/reason.h"

#define NOW   1000ULL
#define OVER  1000ULL /* an expiry that has just come */
#define LATER 1001ULL
#define NEVER GATE25_NEVER

#define MX	   1 /* bits of services; each case is judged for this one */
#define SUBMISSION 2
#define BOTH	   3

/* An entry of the overlay, one slot of it. Several of one length are one entry. */
struct entry {
	__u8 length; /* 0 ends the list */
	enum gate25_slot slot;
	__u64 expires_ns;
	__u32 sequence;
	__u8 services; /* 0: both */
};
#define ALLOW(length, expires, sequence)                                                           \
	{                                                                                          \
		length, GATE25_SLOT_ALLOW, expires, sequence, 0                                    \
	}
#define BLOCK(length, expires)                                                                     \
	{                                                                                          \
		length, GATE25_SLOT_BLOCK, expires, 1, 0                                           \
	}
#define FORCED(length, expires, sequence)                                                          \
	{                                                                                          \
		length, GATE25_SLOT_FORCED, expires, sequence, 0                                   \
	}
#define BAN(length, expires)                                                                       \
	{                                                                                          \
		length, GATE25_SLOT_AUTO, expires, 1, 0                                            \
	}

/* What the class says */
#define LISTED	 .flags = GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW, .action = GATE25_DROP
#define OBSERVED .flags = GATE25_CLASS_SHADOW
#define ALLOWED	 .flags = GATE25_CLASS_ALLOW
#define BOTH_LISTED                                                                                \
	.flags = GATE25_CLASS_ALLOW | GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,                    \
	.action = GATE25_DROP
#define DEFAULT .default_action = GATE25_DROP, .default_live = 1

static const struct {
	const char *name;
	struct entry entries[5];
	__u8 flags, action, default_action, default_live, observe;
	enum gate25_reason want; /* as counted */
	__u8 exempt;		 /* from limits */
} cases[] = {
	{ "nothing", .want = GATE25_REASON_OK },
	{ "listed", LISTED, .want = GATE25_REASON_LIST },
	{ "listed, action pass", .flags = GATE25_CLASS_BLOCK, .action = GATE25_PASS,
	  .want = GATE25_REASON_WOULD_LIST },
	{ "allow-listed", ALLOWED, .want = GATE25_REASON_ALLOW, .exempt = 1 },
	{ "listed and allow-listed", BOTH_LISTED, .want = GATE25_REASON_ALLOW, .exempt = 1 },
	{ "observed list", OBSERVED, .want = GATE25_REASON_WOULD_LIST },

	/* default */
	{ "default", DEFAULT, .want = GATE25_REASON_DEFAULT },
	{ "default, but no allow entry is live", .default_action = GATE25_DROP,
	  .want = GATE25_REASON_NO_ALLOW },
	{ "default and allow-listed", DEFAULT, ALLOWED, .want = GATE25_REASON_ALLOW, .exempt = 1 },
	{ "default and listed", DEFAULT, LISTED, .want = GATE25_REASON_LIST },
	{ "default and an observed list", DEFAULT, OBSERVED, .want = GATE25_REASON_DEFAULT },
	{ "no allow entry, but listed", LISTED, .default_action = GATE25_DROP,
	  .want = GATE25_REASON_LIST },
	{ "default and a manual allow",
	  { ALLOW(32, LATER, 1) },
	  DEFAULT,
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },

	/* manual allow against all that follows */
	{ "manual allow against listed",
	  { ALLOW(24, NEVER, 1) },
	  LISTED,
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "manual allow against a longer block",
	  { BLOCK(32, NEVER), ALLOW(8, NEVER, 1) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "manual allow against a longer ban",
	  { BAN(32, NEVER), ALLOW(24, NEVER, 1) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },

	/* manual block, ban */
	{ "manual block", { BLOCK(32, LATER) }, .want = GATE25_REASON_MANUAL },
	{ "manual block of all", { BLOCK(1, LATER) }, .want = GATE25_REASON_MANUAL },
	{ "manual block under an allow list",
	  { BLOCK(32, LATER) },
	  ALLOWED,
	  .want = GATE25_REASON_ALLOW,
	  .exempt = 1 },
	{ "manual block and a longer ban",
	  { BAN(32, LATER), BLOCK(24, LATER) },
	  .want = GATE25_REASON_MANUAL },
	{ "manual block and listed", { BLOCK(24, LATER) }, LISTED, .want = GATE25_REASON_MANUAL },
	{ "ban", { BAN(32, LATER) }, .want = GATE25_REASON_BAN },
	{ "ban and listed", { BAN(24, LATER) }, LISTED, .want = GATE25_REASON_BAN },
	{ "ban and default", { BAN(24, LATER) }, DEFAULT, .want = GATE25_REASON_BAN },
	{ "ban under an allow list",
	  { BAN(32, LATER) },
	  BOTH_LISTED,
	  .want = GATE25_REASON_ALLOW,
	  .exempt = 1 },

	/* forced: as strong as a manual allow, the longer of the two decides, at a tie the later */
	{ "forced against an allow list",
	  { FORCED(32, LATER, 1) },
	  ALLOWED,
	  .want = GATE25_REASON_MANUAL },
	{ "forced, longer than the allow",
	  { FORCED(25, LATER, 1), ALLOW(24, LATER, 2) },
	  .want = GATE25_REASON_MANUAL },
	{ "forced, shorter than the allow",
	  { ALLOW(25, LATER, 1), FORCED(24, LATER, 2) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "tie, forced is later",
	  { ALLOW(32, LATER, 7), FORCED(32, LATER, 8) },
	  .want = GATE25_REASON_MANUAL },
	{ "tie, allow is later",
	  { ALLOW(32, LATER, 9), FORCED(32, LATER, 8) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "tie, forced is later, over the wrap",
	  { ALLOW(32, LATER, 0xfffffff0), FORCED(32, LATER, 3) },
	  .want = GATE25_REASON_MANUAL },
	{ "tie, allow is later, over the wrap",
	  { ALLOW(32, LATER, 3), FORCED(32, LATER, 0xfffffff0) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "a plain block makes a longer forced no weaker",
	  { FORCED(32, LATER, 1), BLOCK(24, LATER), ALLOW(16, LATER, 9) },
	  .want = GATE25_REASON_MANUAL },
	{ "a longer plain block makes an allow no weaker",
	  { BLOCK(32, LATER), ALLOW(24, LATER, 2), FORCED(16, LATER, 9) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },

	/* an expired slot is skipped, not a match */
	{ "expired block", { BLOCK(32, OVER) }, .want = GATE25_REASON_OK },
	{ "slot that was never written", { BLOCK(32, 0) }, .want = GATE25_REASON_OK },
	{ "expired block over a live one",
	  { BLOCK(32, OVER), BLOCK(24, LATER) },
	  .want = GATE25_REASON_MANUAL },
	{ "expired allow over a forced block",
	  { ALLOW(32, OVER, 9), FORCED(24, LATER, 1) },
	  .want = GATE25_REASON_MANUAL },
	{ "expired forced over an allow",
	  { FORCED(32, OVER, 9), ALLOW(24, LATER, 1) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "tie with an expired forced that is later",
	  { ALLOW(32, LATER, 1), FORCED(32, OVER, 9) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "expired allow, live ban in one entry",
	  { ALLOW(32, OVER, 9), BAN(32, LATER) },
	  .want = GATE25_REASON_BAN },
	{ "expired ban, listed", { BAN(32, OVER) }, LISTED, .want = GATE25_REASON_LIST },

	/* entries of another service are none */
	{ "block of submission",
	  { { 32, GATE25_SLOT_BLOCK, NEVER, 1, SUBMISSION } },
	  .want = GATE25_REASON_OK },
	{ "block of both",
	  { { 32, GATE25_SLOT_BLOCK, NEVER, 1, BOTH } },
	  .want = GATE25_REASON_MANUAL },
	{ "allow of submission over a block",
	  { { 32, GATE25_SLOT_ALLOW, NEVER, 2, SUBMISSION }, BLOCK(32, NEVER) },
	  .want = GATE25_REASON_MANUAL },
	{ "forced of submission against an allow",
	  { { 32, GATE25_SLOT_FORCED, NEVER, 2, SUBMISSION }, ALLOW(8, NEVER, 1) },
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "ban of mx alone",
	  { { 32, GATE25_SLOT_AUTO, NEVER, 1, MX } },
	  .want = GATE25_REASON_BAN },

	/* observe: counted as the first step that would have decided, and the evaluation goes on */
	{ "observed: listed", LISTED, .observe = 1, .want = GATE25_REASON_WOULD_LIST },
	{ "observed: block",
	  { BLOCK(32, NEVER) },
	  .observe = 1,
	  .want = GATE25_REASON_WOULD_MANUAL },
	{ "observed: ban", { BAN(32, NEVER) }, .observe = 1, .want = GATE25_REASON_WOULD_BAN },
	{ "observed: default", DEFAULT, .observe = 1, .want = GATE25_REASON_WOULD_DEFAULT },
	{ "observed: no allow entry is live", .default_action = GATE25_DROP, .observe = 1,
	  .want = GATE25_REASON_NO_ALLOW },
	{ "observed: block, ban, listed, default",
	  { BAN(32, NEVER), BLOCK(24, NEVER) },
	  LISTED,
	  DEFAULT,
	  .observe = 1,
	  .want = GATE25_REASON_WOULD_MANUAL },
	{ "observed: forced under an allow list",
	  { FORCED(32, NEVER, 1) },
	  ALLOWED,
	  .observe = 1,
	  .want = GATE25_REASON_WOULD_MANUAL,
	  .exempt = 1 },
	{ "observed: manual allow",
	  { ALLOW(32, NEVER, 1) },
	  LISTED,
	  .observe = 1,
	  .want = GATE25_REASON_ALLOW_MANUAL,
	  .exempt = 1 },
	{ "observed: allow list", BOTH_LISTED, .observe = 1, .want = GATE25_REASON_ALLOW,
	  .exempt = 1 },
	{ "observed list beside an enforced one", .flags = GATE25_CLASS_BLOCK | GATE25_CLASS_SHADOW,
	  .action = GATE25_DROP, .want = GATE25_REASON_LIST },
	{ "observed list under an allow list", .flags = GATE25_CLASS_ALLOW | GATE25_CLASS_SHADOW,
	  .want = GATE25_REASON_ALLOW, .exempt = 1 },
	{ "observed list, no allow entry is live", OBSERVED, .default_action = GATE25_DROP,
	  .want = GATE25_REASON_WOULD_LIST },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* From the longest length to the shortest, as kernel and `gate25 test` do. */
static struct overlay_findings findings(const struct entry *entries, __u8 service)
{
	struct overlay_findings found = { 0 };

	for (int length = 128; length > 0; length--) {
		struct gate25_overlay_entry entry = { 0 };
		int there = 0;

		for (int i = 0; i < 5 && entries[i].length; i++) {
			if (entries[i].length != length)
				continue;
			there = 1;
			entry.slots[entries[i].slot] = (struct gate25_overlay_slot){
				.expires_ns = entries[i].expires_ns,
				.sequence = entries[i].sequence,
				.services = entries[i].services ? entries[i].services : BOTH,
			};
		}
		if (there)
			overlay_rank(&found, &entry, length, service, NOW);
	}
	return found;
}

static struct verdict_facts facts_of(size_t number)
{
	return (struct verdict_facts){
		.overlay = findings(cases[number].entries, MX),
		.observe = cases[number].observe,
		.class_flags = cases[number].flags,
		.class_action = cases[number].action,
		.default_action = cases[number].default_action,
		.default_live = cases[number].default_live,
	};
}

static enum gate25_verdict verdict_of(unsigned int reason)
{
	switch (reason) {
#define VERDICT_CASE(number, name, verdict, label)                                                 \
	case number:                                                                               \
		return verdict;
		GATE25_REASON_TABLE(VERDICT_CASE)
	default:
		return GATE25_VERDICTS;
	}
}

static void test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct verdict_facts facts = facts_of(i);
		struct judgement judgement = judge(&facts);
		unsigned int reason = judgement_reason(&judgement);

		if (reason != cases[i].want)
			fail_msg("%s: %s, want %s", cases[i].name, reason_label(reason),
				 reason_label(cases[i].want));
		if (judgement.action != verdict_of(reason))
			fail_msg("%s: %s, and yet action %u", cases[i].name, reason_label(reason),
				 judgement.action);
		if (judgement.exempt != cases[i].exempt)
			fail_msg("%s: exempt from limits: %u", cases[i].name, judgement.exempt);
	}
}

/*
 * Observing never drops, and says of each case that drops what it would have been. But a list that
 * only observes by itself comes before the default, and the first finding is the reason.
 */
static void test_observe_says_what_would_have_been(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct verdict_facts facts = facts_of(i);
		struct judgement enforced, observed;
		unsigned int want;

		facts.observe = 0;
		enforced = judge(&facts);
		facts.observe = 1;
		observed = judge(&facts);
		want = enforced.reason == GATE25_REASON_DEFAULT && enforced.would ?
			       enforced.would :
			       enforced.reason + GATE25_WOULD;
		assert_int_equal(observed.action, GATE25_PASS);
		if (enforced.action != GATE25_PASS && judgement_reason(&observed) != want)
			fail_msg("%s: %s, want %s", cases[i].name,
				 reason_label(judgement_reason(&observed)), reason_label(want));
	}
}

/* An observed list changes nothing but the reason of what passes anyway. */
static void test_an_observed_list_changes_no_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct verdict_facts facts = facts_of(i);
		struct judgement without, with;

		facts.class_flags &= ~GATE25_CLASS_SHADOW;
		without = judge(&facts);
		facts.class_flags |= GATE25_CLASS_SHADOW;
		with = judge(&facts);
		if (with.action != without.action || with.exempt != without.exempt ||
		    with.reason != without.reason)
			fail_msg("%s", cases[i].name);
	}
}

/* A match of a limit, which the caller asks once judge() has left the question open. */
static void test_limits(void **state)
{
	static const struct {
		const char *name;
		__u8 flags, would, action, observe, decides, want;
	} limits[] = {
		{ "enforced", 0, 0, GATE25_DROP, 0, 1, GATE25_REASON_LIMIT_SOURCE },
		{ "observed", 0, 0, GATE25_DROP, 1, 0, GATE25_REASON_WOULD_LIMIT_SOURCE },
		{ "action pass", 0, 0, GATE25_PASS, 0, 0, GATE25_REASON_WOULD_LIMIT_SOURCE },
		{ "an observed list shields from none", GATE25_CLASS_SHADOW, 0, GATE25_DROP, 0, 1,
		  GATE25_REASON_LIMIT_SOURCE },
		{ "the first finding is the reason", GATE25_CLASS_SHADOW, 0, GATE25_DROP, 1, 0,
		  GATE25_REASON_WOULD_LIST },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct verdict_facts facts = { .class_flags = limits[i].flags };
		struct judgement judgement = judge(&facts);

		assert_int_equal(judgement.action, GATE25_PASS);
		assert_int_equal(judgement.exempt, 0);
		if (judge_match(&judgement, GATE25_REASON_LIMIT_SOURCE, limits[i].action,
				limits[i].observe) != limits[i].decides ||
		    judgement_reason(&judgement) != limits[i].want)
			fail_msg("%s: %s", limits[i].name,
				 reason_label(judgement_reason(&judgement)));
	}
}

/* What `gate25 test` shows beside the step. */
static void test_findings(void **state)
{
	static const struct entry entries[5] = { BLOCK(32, LATER), BLOCK(24, LATER),
						 ALLOW(16, LATER, 1), BAN(8, LATER) };
	struct overlay_findings found = findings(entries, MX);

	(void)state;
	assert_int_equal(found.first, 1 + GATE25_SLOT_ALLOW);
	assert_int_equal(found.first_length, 16);
	assert_int_equal(found.block_length, 32);
	assert_int_equal(found.ban_length, 8);
	assert_true(found.block && found.ban);
}

/* The numbers stand in maps and metrics: a drop has its observed twin GATE25_WOULD above it. */
static void test_reasons(void **state)
{
	(void)state;
	for (unsigned int reason = 0; reason < GATE25_REASONS; reason++) {
		enum gate25_verdict verdict = verdict_of(reason);
		char would[64];

		if (verdict == GATE25_VERDICTS)
			continue;
		assert_int_equal(verdict == GATE25_DROP, reason / GATE25_WOULD == 1);
		if (verdict == GATE25_DROP) {
			snprintf(would, sizeof(would), "would_%s", reason_label(reason));
			assert_string_equal(reason_label(reason + GATE25_WOULD), would);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_observe_says_what_would_have_been),
		cmocka_unit_test(test_an_observed_list_changes_no_verdict),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
