// SPDX-License-Identifier: GPL-2.0-only
/*
 * Response policy zones: the addresses of their rpz-ip triggers.
 *
 * In: a zone file. Out: ranges. The longest prefix decides, as where such a zone is in use. What
 * passes there (rpz-passthru) is not blocked here: it un-lists, within this list. An allow list
 * takes it the other way round, and allows what passes. Triggers of other kinds are left out.
 */
#include "user/lists/reading.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "user/lists/longest.h"

#define LABELS	     10 /* a prefix length and eight groups, and one more to see */
#define DETECT_LINES 10000
#define TRIGGER	     "rpz-ip"

struct word {
	const char *at;
	size_t length;
};

struct rpz {
	struct longest longest;
	struct word owner;   /* of the record before: one that begins with a blank has it too */
	bool origin_trigger; /* names are relative to rpz-ip */
	bool in_brackets;    /* of a record that goes on over lines */
};

static bool word_is(const struct word *word, const char *text)
{
	return word->length == strlen(text) && !strncasecmp(word->at, text, word->length);
}

/* A word of the line; comments begin with ; alone. */
static bool word_next(struct scan *scan, struct word *out)
{
	scan_skip_blanks(scan);
	out->at = scan->at;
	while (scan->at < scan->end && *scan->at != ';' && !scan_blank(scan))
		scan->at++;
	out->length = scan->at - out->at;
	return out->length > 0;
}

/* ---------------------------------------------------------------- triggers */

/* The labels before "rpz-ip", last one first; 0: it is no such trigger. */
static size_t trigger_labels(const struct word *owner, bool origin_trigger,
			     struct word labels[LABELS])
{
	struct word all[LABELS + 1], label = { .at = owner->at };
	const char *end = owner->at + owner->length;
	size_t count = 0, i;
	bool trigger = false;

	while (label.at < end && !trigger && count <= LABELS) {
		const char *dot = memchr(label.at, '.', end - label.at);

		label.length = (dot ? dot : end) - label.at;
		trigger = word_is(&label, TRIGGER);
		all[count++] = label;
		label.at += label.length + 1;
	}
	if (trigger)
		count--;
	else if (!origin_trigger || label.at < end || (count && end[-1] == '.'))
		return 0;
	if (count > LABELS)
		return 0;
	for (i = 0; i < count; i++)
		labels[i] = all[count - 1 - i];
	return count;
}

/* "192.0.2.0/24" or "2001:db8::/48", as text that is read like any other entry. */
static bool trigger_text(const struct word *labels, size_t count, char text[64])
{
	bool family4 = count == 5 && !word_is(&labels[0], "zz");
	size_t length = 0;

	for (size_t i = 0; i + 1 < count; i++)
		family4 = family4 && labels[i].length <= 3 && !word_is(&labels[i], "zz");
	for (size_t i = 0; i < count; i++) {
		const struct word *label = &labels[i];
		bool zeros = word_is(label, "zz");

		if (label->length > 4 || !label->length || length > 50)
			return false;
		if (i + 1 == count) {
			if (length && word_is(&labels[i - 1], "zz"))
				text[length++] = ':';
			text[length++] = '/';
		} else if (i) {
			text[length++] = family4 ? '.' : ':';
		} else if (zeros) {
			text[length++] = ':';
		}
		if (!zeros) {
			memcpy(text + length, label->at, label->length);
			length += label->length;
		}
	}
	text[length] = '\0';
	return true;
}

static const char *trigger_prefix(const struct parse_settings *settings, const struct word *labels,
				  size_t count, struct prefix *out)
{
	static const char none[] = "an rpz-ip trigger that names no prefix";
	const char *why = none;
	char text[64];

	if (count < 2 || !trigger_text(labels, count, text) ||

	    prefix_parse(text, settings->translated, settings->translated_count, out, &why))
		return why;
	return NULL;
}

/* ---------------------------------------------------------------- records */

/* Between owner and type: a time to live and a class, in either order. */
static bool type_next(struct scan *scan, struct word *out)
{
	while (word_next(scan, out)) {
		if (*out->at >= '0' && *out->at <= '9')
			continue;
		if (!word_is(out, "IN"))
			return true;
	}
	return false;
}

enum policy { POLICY_REWRITE, POLICY_PASS, POLICY_NONE };

/* The old way to say passthru: a CNAME to the trigger's own name, without rpz-ip. */
static bool names_itself(const struct rpz *rpz, const struct word *target)
{
	return target->length < rpz->owner.length && rpz->owner.at[target->length] == '.' &&
	       target->length > 2 && !strncasecmp(target->at, rpz->owner.at, target->length);
}

static enum policy record_policy(const struct rpz *rpz, struct scan *scan)
{
	struct word type, target;

	if (!type_next(scan, &type))
		return POLICY_NONE;
	if (!word_is(&type, "CNAME"))
		return POLICY_REWRITE;
	if (!word_next(scan, &target))
		return POLICY_NONE;
	if (word_is(&target, "rpz-passthru.") || word_is(&target, "rpz-passthru") ||
	    names_itself(rpz, &target))
		return POLICY_PASS;
	if (word_is(&target, "rpz-tcp-only.") || word_is(&target, "rpz-tcp-only"))
		return POLICY_NONE; /* neither blocks nor passes */
	return POLICY_REWRITE;
}

static int record_read(struct reading *reading, struct scan *scan)
{
	const struct parse_settings *settings = reading->settings;
	struct rpz *rpz = reading->format;
	struct word labels[LABELS];
	size_t count = trigger_labels(&rpz->owner, rpz->origin_trigger, labels);
	enum policy policy = record_policy(rpz, scan);
	struct gate25_source last;
	struct prefix prefix;
	const char *why;
	bool listed;

	if (!count) {
		reading->facts.left_out++;
		return 0;
	}
	reading->lines++;
	why = trigger_prefix(settings, labels, count, &prefix);
	if (why)
		return reading_bad(reading, why);
	if (policy == POLICY_NONE) {
		reading->facts.left_out++;
		return 0;
	}
	listed = (policy == POLICY_PASS) == settings->allow;
	if (!listed)
		reading->facts.left_out++;
	last = prefix_last(&prefix);
	if (listed && reading_wide(reading, prefix.address, last))
		return reading_bad(reading, READING_TOO_WIDE);
	if (listed)
		reading_note(reading, prefix.address, last, prefix.length + 1, 0, reading->line,
			     reading->line_end - reading->line);
	return longest_add(&rpz->longest, &prefix.address, prefix.length, listed);
}

/* "$ORIGIN rpz-ip.example.": what stands below it is a trigger without saying so. */
static void origin_take(struct rpz *rpz, struct scan scan)
{
	struct word word;
	struct word labels[LABELS];

	if (!word_next(&scan, &word) || !word_is(&word, "$ORIGIN") || !word_next(&scan, &word))
		return;
	rpz->origin_trigger =
		(word.length > sizeof(TRIGGER) - 1 && word.at[sizeof(TRIGGER) - 1] == '.' &&
		 !strncasecmp(word.at, TRIGGER ".", sizeof(TRIGGER))) ||
		trigger_labels(&word, false, labels);
}

/* Are we within ( … ) behind this line? Of quoted text nothing counts. */
static bool brackets(struct scan scan, bool open)
{
	bool quoted = false;

	for (; scan.at < scan.end && (quoted || *scan.at != ';'); scan.at++) {
		if (*scan.at == '"')
			quoted = !quoted;
		else if (!quoted && *scan.at == '(')
			open = true;
		else if (!quoted && *scan.at == ')')
			open = false;
	}
	return open;
}

static int rpz_line(struct reading *reading, struct scan *scan)
{
	struct rpz *rpz = reading->format;
	bool continued = rpz->in_brackets;
	bool indented = scan->at > reading->text && (scan->at[-1] == ' ' || scan->at[-1] == '\t');

	if (scan_at(scan, ';') || scan_at(scan, '#'))
		return 0;
	rpz->in_brackets = brackets(*scan, continued);
	if (continued)
		return 0;
	if (scan_at(scan, '$')) {
		origin_take(rpz, *scan);
		return 0;
	}
	if (!indented && !word_next(scan, &rpz->owner))
		return 0;
	if (!rpz->owner.length) {
		reading->lines++;
		return reading_bad(reading, "a record without an owner");
	}
	return record_read(reading, scan);
}

static int rpz_keep(void *context, const struct gate25_source *first,
		    const struct gate25_source *last)
{
	return reading_keep(context, first, last);
}

int rpz_read(struct reading *reading, const char *text, size_t length)
{
	struct rpz rpz = { .owner = { .length = 0 } };
	int error;

	reading->format = &rpz;
	error = reading_lines(reading, text, length, rpz_line);
	reading->format = NULL;
	if (!error)
		error = longest_finish(&rpz.longest, rpz_keep, reading);
	longest_release(&rpz.longest);
	return error;
}

/* ---------------------------------------------------------------- detection */

/* An rpz-ip trigger with a CNAME: nothing else has that. */
static int detect_line(struct reading *reading, struct scan *scan)
{
	static const struct parse_settings none = { 0 };
	struct word owner, type, labels[LABELS];
	struct prefix prefix;
	size_t count;

	if (++reading->lines > DETECT_LINES)
		return -ERANGE;
	if (scan_done(scan) || !word_next(scan, &owner))
		return 0;
	count = trigger_labels(&owner, false, labels);
	return count && !trigger_prefix(&none, labels, count, &prefix) && type_next(scan, &type) &&
	       word_is(&type, "CNAME");
}

bool rpz_detect(const char *text, size_t length)
{
	struct reading reading = { 0 };

	return reading_lines(&reading, text, length, detect_line) == 1;
}
