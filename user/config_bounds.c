// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a list may become, and how old, before it is not trusted any more.
 *
 * In: `bounds`, `max_age`, `max_age_from`, `non_global` of a list. Out: struct config_bounds, whole: what was not said
 * has its default, which for what the operator keeps himself is that he is taken at his word.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "user/config_keys.h"
#include "user/lists/wide.h"

#define MAX_AGE_S	(72 * 3600)
#define MAX_AGE_NAMES_S (7 * 86400)

#define UNSET UINT_MAX /* of what may be 0 */

/* ---------------------------------------------------------------- keys */

static void bad_lines_read(struct build *build, const struct node *value, void *target)
{
	value_share(build->reading, value, 100, &((struct config_bounds *)target)->bad_lines);
}

static void covered_read(struct build *build, const struct node *value, void *target)
{
	value_share(build->reading, value, 100, &((struct config_bounds *)target)->covered);
}

static void growth_read(struct build *build, const struct node *value, void *target)
{
	value_share(build->reading, value, 100000, &((struct config_bounds *)target)->growth);
}

static void shrink_read(struct build *build, const struct node *value, void *target)
{
	value_share(build->reading, value, 100, &((struct config_bounds *)target)->shrink);
}

static void prefix4_read(struct build *build, const struct node *value, void *target)
{
	long number;

	if (value_number(build->reading, value, 1, 32, &number))
		((struct config_bounds *)target)->prefix4 = number;
}

static void prefix6_read(struct build *build, const struct node *value, void *target)
{
	long number;

	if (value_number(build->reading, value, 1, 128, &number))
		((struct config_bounds *)target)->prefix6 = number;
}

const struct key bounds_keys[] = {
	{ "bad_lines", bad_lines_read, NULL, NULL },
	{ "covered", covered_read, NULL, NULL },
	{ "growth", growth_read, NULL, NULL },
	{ "shrink", shrink_read, NULL, NULL },
	{ "prefix4", prefix4_read, NULL, NULL },
	{ "prefix6", prefix6_read, NULL, NULL },
	{ 0 },
};

void bounds_read(struct build *build, const struct node *value, void *target)
{
	struct config_list *list = target;

	if (value_kind(build->reading, value, NODE_MAPPING, "bounds: {covered: 1%}"))
		keys_read(build, value, bounds_keys, "in bounds", &list->bounds);
}

void max_age_read(struct build *build, const struct node *value, void *target)
{
	struct config_list *list = target;

	if (value->kind == NODE_TEXT && !strcmp(value->text, "off"))
		list->max_age_s = 0;
	else
		value_duration(build->reading, value, 10, 365 * 86400L, &list->max_age_s);
}

void max_age_from_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "check", 0, NULL }, { "data", 1, NULL }, { 0 } };
	int word;

	if (value_word(build->reading, value, words, &word))
		((struct config_list *)target)->data_time = word;
}

void non_global_read(struct build *build, const struct node *value, void *target)
{
	static const struct word words[] = { { "skip", 0, NULL }, { "keep", 1, NULL }, { 0 } };
	int word;

	if (value_word(build->reading, value, words, &word))
		((struct config_list *)target)->non_global = word;
}

/* ---------------------------------------------------------------- defaults */

void bounds_begin(struct config_list *list)
{
	list->max_age_s = UNSET;
	list->bounds = (struct config_bounds){ .prefix4 = UNSET, .prefix6 = UNSET };
}

static void share_default(double *share, double wanted)
{
	if (*share == 0)
		*share = wanted;
}

static void prefix_default(unsigned int *length, unsigned int wanted)
{
	if (*length == UNSET)
		*length = wanted;
}

/* What somebody on the way may have changed is trusted half as far. */
void bounds_finish(struct config_list *list)
{
	struct config_bounds *bounds = &list->bounds;
	bool fetched = config_list_fetched(list);
	double part = list->insecure ? 0.5 : 1;

	share_default(&bounds->bad_lines, 0.05 * part);
	share_default(&bounds->covered, fetched ? 0.01 * part : INFINITY);
	share_default(&bounds->growth, fetched ? 1 * part : INFINITY);
	share_default(&bounds->shrink, fetched ? 0.5 * part : INFINITY);
	prefix_default(&bounds->prefix4, fetched ? WIDE_LENGTH4 + list->insecure : 0);
	prefix_default(&bounds->prefix6, fetched ? WIDE_LENGTH6 + list->insecure : 0);
	if (list->max_age_s == UNSET)
		list->max_age_s = list->names_count ? MAX_AGE_NAMES_S : fetched ? MAX_AGE_S : 0;
	list->non_global |= !fetched;
}
