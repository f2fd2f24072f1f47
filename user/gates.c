// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates: may what was read of a list come into force?
 *
 * In: what was measured of it and of the last good one, the bounds of the configuration, the time. Out: the first
 * gate that holds it back, in words, and whether waiting opens it.
 */
#include "user/gates.h"

#include <math.h>
#include <stdio.h>

#include "user/lists/measure.h"
#include "user/print.h"

const char *gate_label(enum gate gate)
{
	static const char *const labels[GATES] = {
#define GATE_LABEL(number, name, label) [number] = (label),
		GATE_TABLE(GATE_LABEL)
#undef GATE_LABEL
	};

	return gate < GATES ? labels[gate] : "?";
}

bool gate_waits(enum gate gate)
{
	return gate == GATE_COVERED || gate == GATE_OLD || gate == GATE_GROWTH ||
	       gate == GATE_SHRINK;
}

void gate_measure(const struct list_image *image, struct gate_facts *facts)
{
	facts->entries4 = image->count4;
	facts->entries6 = image->count6;
	facts->lines = image->lines;
	facts->bad_lines = image->bad_lines;
	facts->covered4 = image_covered4(image);
	facts->covered6 = image_covered6(image) / COVERED6_WHOLE;
}

static __u64 entries_of(const struct gate_facts *facts)
{
	return facts->entries4 + facts->entries6;
}

/* "5 %", "0.1 %" */
static const char *percent(double share, char text[static 24])
{
	snprintf(text, 24, "%.3g %%", share * 100);
	return text;
}

/* ---------------------------------------------------------------- one gate each */

/* Each says whether it holds the list back, and why. */
typedef bool (*gate_check)(const struct gate_question *question, char why[static GATE_TEXT]);

static bool is_empty(const struct gate_question *question, char why[static GATE_TEXT])
{
	if (entries_of(question->facts))
		return false;
	snprintf(why, GATE_TEXT, "holds no entry; an empty list is never taken for a good one");
	return true;
}

static bool is_truncated(const struct gate_question *question, char why[static GATE_TEXT])
{
	if (!question->facts->cut)
		return false;
	snprintf(why, GATE_TEXT, "is cut short: %s", question->facts->cut);
	return true;
}

static bool is_bad(const struct gate_question *question, char why[static GATE_TEXT])
{
	const struct gate_facts *facts = question->facts;
	double bound = question->list->bounds.bad_lines;
	char text[24];

	if (facts->bad_lines <= GATE_LEAST_BAD_LINES || facts->bad_lines <= facts->lines * bound)
		return false;
	snprintf(why, GATE_TEXT,
		 "more than %s of its lines are bad (%llu of %llu); is `format:` right?",
		 percent(bound, text), facts->bad_lines, facts->lines);
	return true;
}

static bool is_covering(const struct gate_question *question, char why[static GATE_TEXT])
{
	const struct gate_facts *facts = question->facts;
	double bound = question->list->bounds.covered, share4 = facts->covered4 / 0x1p32;
	bool four = share4 > bound;
	char text[24], has[24];

	if (!four && facts->covered6 <= bound)
		return false;
	snprintf(why, GATE_TEXT,
		 "covers %s of all %s addresses, more than the %s of `bounds: covered`",
		 percent(four ? share4 : facts->covered6, has), four ? "IPv4" : "IPv6",
		 percent(bound, text));
	return true;
}

static bool is_old(const struct gate_question *question, char why[static GATE_TEXT])
{
	__u64 data_s = question->facts->data_s, most_s = question->list->max_age_s;
	char age[32], most[32];

	if (!data_s || !most_s || question->now_s < data_s || question->now_s - data_s <= most_s)
		return false;
	snprintf(why, GATE_TEXT, "is %s old by its own time stamp, more than the %s of `max_age`",
		 duration_format(question->now_s - data_s, age), duration_format(most_s, most));
	return true;
}

/* Did a number grow by more than the share, and by more than `least`? */
static bool grew(double from, double to, double share, double least)
{
	return to - from > least && to - from > from * share;
}

/* In entries, or in what they cover: as many networks as there were hosts is no small change. */
static bool is_grown(const struct gate_question *question, char why[static GATE_TEXT])
{
	const struct gate_facts *facts = question->facts, *good = question->good;
	double bound = question->list->bounds.growth;
	__u64 from, to;
	char before[32], after[32], text[24];
	bool entries;

	if (!good || isinf(bound))
		return false;
	entries = grew(entries_of(good), entries_of(facts), bound, GATE_GROWTH_ENTRIES);
	if (!entries && grew(good->covered6, facts->covered6, bound, GATE_GROWTH_SHARE6)) {
		snprintf(why, GATE_TEXT,
			 "grew from %s to %s of the IPv6 addresses, more than the %s of `bounds: "
			 "growth`",
			 percent(good->covered6, before), percent(facts->covered6, after),
			 percent(bound, text));
		return true;
	}
	if (!entries && !grew(good->covered4, facts->covered4, bound, GATE_GROWTH_ADDRESSES))
		return false;
	from = entries ? entries_of(good) : good->covered4;
	to = entries ? entries_of(facts) : facts->covered4;
	snprintf(why, GATE_TEXT, "grew from %s to %s %s, more than the %s of `bounds: growth`",
		 number_format(from, before), number_format(to, after),
		 entries ? "entries" : "addresses", percent(bound, text));
	return true;
}

static bool shrank(double from, double to, double share)
{
	return to < from - from * share;
}

/* In entries; of an allow list also in what they cover: whoever is no more in it is exempt no more. */
static bool is_shrunk(const struct gate_question *question, char why[static GATE_TEXT])
{
	const struct gate_facts *facts = question->facts, *good = question->good;
	double bound = question->list->bounds.shrink;
	char before[32], after[32], text[24];

	if (!good || isinf(bound))
		return false;
	if (question->list->allow && !shrank(entries_of(good), entries_of(facts), bound) &&
	    (shrank(good->covered4, facts->covered4, bound) ||
	     shrank(good->covered6, facts->covered6, bound))) {
		snprintf(why, GATE_TEXT,
			 "covers less than %s of the addresses that it did, see `bounds: shrink`",
			 percent(1 - bound, text));
		return true;
	}
	if (!shrank(entries_of(good), entries_of(facts), bound))
		return false;
	snprintf(why, GATE_TEXT,
		 "shrank from %s to %s entries, more than the %s of `bounds: shrink`",
		 number_format(entries_of(good), before), number_format(entries_of(facts), after),
		 percent(bound, text));
	return true;
}

static const gate_check checks[GATES] = {
	[GATE_EMPTY] = is_empty,   [GATE_TRUNCATED] = is_truncated,
	[GATE_BAD_LINES] = is_bad, [GATE_COVERED] = is_covering,
	[GATE_OLD] = is_old,	   [GATE_GROWTH] = is_grown,
	[GATE_SHRINK] = is_shrunk,
};

/* ---------------------------------------------------------------- the whole */

/* Of an allow list a change in either direction may hurt, and none is in a hurry. */
static bool waited_enough(const struct gate_question *question, const struct gate_wait *wait)
{
	if (question->list->allow)
		return false;
	if (wait->gate == GATE_SHRINK)
		return wait->seen >= GATE_SHRINK_FETCHES;
	return wait->gate == GATE_GROWTH && wait->seen >= GATE_GROWTH_FETCHES &&
	       question->now_s >= wait->since_s + GATE_GROWTH_S;
}

static void wait_on(const struct gate_question *question, struct gate_verdict *out)
{
	bool goes_on = question->wait.gate == out->gate && question->alike &&
		       question->wait.since_s <= question->now_s;

	out->wait = (struct gate_wait){
		.gate = out->gate,
		.seen = goes_on ? question->wait.seen + 1 : 1,
		.since_s = goes_on ? question->wait.since_s : question->now_s,
	};
	if (waited_enough(question, &out->wait))
		*out = (struct gate_verdict){ .gate = GATE_OPEN };
}

void gates_judge(const struct gate_question *question, struct gate_verdict *out)
{
	*out = (struct gate_verdict){ .gate = GATE_OPEN };
	for (int gate = GATE_OPEN + 1; gate < GATES; gate++) {
		if (!checks[gate](question, out->why))
			continue;
		out->gate = gate;
		wait_on(question, out);
		return;
	}
}
