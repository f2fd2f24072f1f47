// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single values of the configuration: what is allowed, and what to say when it is not.
 *
 * In: a node, or text of the command line. Out: a value in its unit.
 */
#include "user/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "user/config.h"

/* ---------------------------------------------------------------- text of the command line too */

/* Digits without sign or leading zeros beyond one; *end is behind them. */
static bool parse_digits(const char *text, unsigned long *out, const char **end)
{
	char *stop;

	if (!isdigit((unsigned char)*text) || (*text == '0' && isdigit((unsigned char)text[1])))
		return false;
	errno = 0;
	*out = strtoul(text, &stop, 10);
	*end = stop;
	return !errno;
}

int config_parse_rate(const char *text, double *per_s)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = { { "/s", 1 }, { "/min", 60 }, { "/h", 3600 } };
	unsigned long number;
	const char *end;

	if (!parse_digits(text, &number, &end) || !number)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(end, units[i].unit)) {
			*per_s = number / units[i].seconds;
			return 0;
		}
	}
	return -EINVAL;
}

int config_parse_duration(const char *text, unsigned long *seconds)
{
	static const struct {
		char unit;
		unsigned long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	unsigned long number;
	const char *end;

	if (!parse_digits(text, &number, &end))
		return -EINVAL;
	if (!*end) {
		*seconds = number;
		return 0;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (*end == units[i].unit && !end[1] && number <= ULONG_MAX / units[i].seconds) {
			*seconds = number * units[i].seconds;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---------------------------------------------------------------- what was meant */

#define NEAR_LENGTH 24

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* How many slips of the finger lie between two words: a letter too many, missing, wrong, or two swapped. */
static unsigned int slips(const char *a, const char *b)
{
	unsigned int rows[3][NEAR_LENGTH + 1], *before = rows[0], *above = rows[1], *row = rows[2];
	size_t length_a = strlen(a), length_b = strlen(b);

	if (length_a > NEAR_LENGTH || length_b > NEAR_LENGTH)
		return UINT_MAX;
	for (size_t j = 0; j <= length_b; j++)
		above[j] = before[j] = j;
	for (size_t i = 1; i <= length_a; i++) {
		unsigned int *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);

			row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[length_b];
}

const char *value_near(const char *text, const char *const *names)
{
	unsigned int best =
		strlen(text) > 4 ? 3 : 2; /* one slip in a short word, two in a longer one */
	const char *found = NULL;

	for (; *names; names++) {
		unsigned int distance = slips(text, *names);

		if (distance < best) {
			best = distance;
			found = *names;
		}
	}
	return found;
}

/* ---------------------------------------------------------------- nodes */

bool value_kind(struct reading *reading, const struct node *node, enum node_kind kind,
		const char *example)
{
	static const char *const wanted[] = { "text", "a list", "a mapping" };

	if (node->kind == kind)
		return true;
	if (node->kind != NODE_REFUSED)
		reading_error(reading, node->place, "%s: must be %s, not %s; write %s", node->key,
			      wanted[kind], node_is_empty(node) ? "empty" : node_kind_name(node),
			      example);
	return false;
}

const char *value_text(struct reading *reading, const struct node *node)
{
	if (node->kind == NODE_REFUSED)
		return NULL;
	if (node->kind == NODE_TEXT && *node->text)
		return node->text;
	reading_error(reading, node->place, "%s: needs a value, not %s", node->key,
		      node->kind == NODE_TEXT ? "an empty one" : node_kind_name(node));
	return NULL;
}

/* "a, b or c" of the words that this version has. */
static void words_join(const struct word *words, char *out, size_t size)
{
	size_t count = 0, seen = 0, used = 0;

	for (const struct word *word = words; word->text; word++)
		count += !word->later;
	*out = 0;
	for (const struct word *word = words; word->text; word++) {
		if (word->later)
			continue;
		seen++;
		used += snprintf(out + used, size - used, "%s%s",
				 seen == 1     ? "" :
				 seen == count ? " or " :
						 ", ",
				 word->text);
		if (used >= size)
			return;
	}
}

bool value_word(struct reading *reading, const struct node *node, const struct word *words,
		int *out)
{
	const char *text = value_text(reading, node);
	char allowed[160];

	if (!text)
		return false;
	for (const struct word *word = words; word->text; word++) {
		if (strcmp(word->text, text) != 0)
			continue;
		if (!word->later) {
			*out = word->value;
			return true;
		}
		reading_error(reading, node->place, "%s '%s' is not there yet; %s", node->key, text,
			      word->later);
		return false;
	}
	words_join(words, allowed, sizeof(allowed));
	reading_error(reading, node->place, "%s: '%s' is not known; write %s", node->key, text,
		      allowed);
	return false;
}

bool value_number(struct reading *reading, const struct node *node, long least, long most,
		  long *out)
{
	const char *text = value_text(reading, node), *end = "";
	unsigned long number = 0;
	bool negative, good;
	long value;

	if (!text)
		return false;
	negative = *text == '-';
	good = parse_digits(text + negative, &number, &end) && !*end && number <= INT_MAX;
	value = negative ? -(long)number : (long)number;
	if (!good || value < least || value > most) {
		reading_error(reading, node->place, "%s: '%s' is not a number from %ld to %ld",
			      node->key, text, least, most);
		return false;
	}
	*out = value;
	return true;
}

bool value_rate(struct reading *reading, const struct node *node, double *per_s)
{
	const char *text = value_text(reading, node);
	double value;

	if (!text)
		return false;
	if (config_parse_rate(text, &value)) {
		reading_error(reading, node->place,
			      "%s: '%s' is not a rate; write 10/s, 300/min or 5000/h", node->key,
			      text);
		return false;
	}
	if (value > CONFIG_RATE_MOST) {
		reading_error(reading, node->place, "%s: '%s' is too much; %d/s is the most",
			      node->key, text, CONFIG_RATE_MOST);
		return false;
	}
	*per_s = value;
	return true;
}

bool value_duration(struct reading *reading, const struct node *node, unsigned long least_s,
		    unsigned long most_s, unsigned int *seconds)
{
	const char *text = value_text(reading, node);
	unsigned long value;

	if (!text)
		return false;
	if (config_parse_duration(text, &value)) {
		reading_error(reading, node->place,
			      "%s: '%s' is not a time; write 30s, 5m, 1h, 7d or 2w", node->key,
			      text);
		return false;
	}
	if (value < least_s || value > most_s) {
		reading_error(reading, node->place, "%s: '%s' is out of range; %lu s to %lu d",
			      node->key, text, least_s, most_s / 86400);
		return false;
	}
	*seconds = value;
	return true;
}

bool value_share(struct reading *reading, const struct node *node, double most, double *share)
{
	const char *text = value_text(reading, node);
	double number = 0;
	char *end = "";

	if (!text)
		return false;
	if (!strcmp(text, "off")) {
		*share = INFINITY;
		return true;
	}
	if (isdigit((unsigned char)*text) && strspn(text, "0123456789.%") == strlen(text))
		number = strtod(text, &end);
	if (strcmp(end, "%") != 0 || number <= 0 || number > most) {
		reading_error(reading, node->place,
			      "%s: '%s' is no share; write 1%% or 0.1%% (up to %.0f%%), or off",
			      node->key, text, most);
		return false;
	}
	*share = number / 100;
	return true;
}

bool value_mebibytes(struct reading *reading, const struct node *node, unsigned int *mb)
{
	const char *text = value_text(reading, node), *end = "";
	unsigned long value = 0;
	bool good;

	if (!text)
		return false;
	good = parse_digits(text, &value, &end) && (!strcmp(end, "M") || !strcmp(end, "G"));
	if (good && *end == 'G' && value <= 1)
		value *= 1024;
	else if (good && *end == 'G')
		good = false;
	if (!good || !value || value > 1024 || (value & (value - 1))) {
		reading_error(reading, node->place,
			      "%s: '%s' is not allowed; write a power of two from 1M to 1G, as 4M",
			      node->key, text);
		return false;
	}
	*mb = value;
	return true;
}
