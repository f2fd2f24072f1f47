// SPDX-License-Identifier: GPL-2.0-only
/*
 * An answer of ask.c in words and as JSON.
 *
 * In: struct answer. Out: "BLOCKED 192.0.2.7 mx: list uceprotect-1 (weight 1 of 1): 192.0.2.7".
 */
#include "user/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/overlay.h"
#include "user/print.h"

/* ---------------------------------------------------------------- parts of a text */

/* A text that grows up to its room and is cut there. */
struct words {
	char *text;
	size_t used, room;
};

static void say(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct words *words, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(words->text + words->used, words->room - words->used, format, arguments);
	va_end(arguments);
	if (length > 0)
		words->used += length;
	if (words->used >= words->room)
		words->used = words->room - 1;
}

/*
 * Of a family's bits, how many at the end differ between the first and the last address of a range.
 */
static unsigned int range_length(const struct gate25_source *first,
				 const struct gate25_source *last)
{
	__u64 hi = first->hi ^ last->hi, lo = first->lo ^ last->lo;
	unsigned int bits = 0;

	if (hi)
		bits = 128 - __builtin_clzll(hi);
	else if (lo)
		bits = 64 - __builtin_clzll(lo);
	return (first->family == 4 ? 32 : 128) - bits;
}

const char *entry_format(const struct gate25_source *first, const struct gate25_source *last,
			 char text[static ENTRY_TEXT])
{
	struct prefix prefix = { .address = *first, .length = range_length(first, last) };
	char last_text[PREFIX_TEXT], first_text[PREFIX_TEXT];
	struct gate25_source end;

	prefix_mask(&prefix);
	end = prefix_last(&prefix);
	if (prefix.address.hi == first->hi && prefix.address.lo == first->lo &&
	    end.hi == last->hi && end.lo == last->lo)
		return prefix_format(&prefix, text);
	snprintf(text, ENTRY_TEXT, "%s-%s", address_format(first, first_text),
		 address_format(last, last_text));
	return text;
}

/* A line that says no more than the entry says nothing. */
static bool text_tells(const struct answer_list *list, const char *entry)
{
	return list->text[0] && strcmp(list->text, entry) != 0;
}

static void say_entry(struct words *words, const struct answer_list *list)
{
	char entry[ENTRY_TEXT];

	if (!list->has_entry)
		return;
	entry_format(&list->first, &list->last, entry);
	say(words, ": %s", entry);
	if (text_tells(list, entry))
		say(words, " \"%s\"", list->text);
}

static const char *slot_name(enum gate25_slot slot)
{
	static const char *const names[GATE25_SLOTS] = {
		[GATE25_SLOT_ALLOW] = "manual allow",
		[GATE25_SLOT_BLOCK] = "manual block",
		[GATE25_SLOT_FORCED] = "forced manual block",
		[GATE25_SLOT_AUTO] = "automatic ban",
	};

	return slot < GATE25_SLOTS ? names[slot] : "?";
}

static void say_overlay(struct words *words, const struct answer *answer)
{
	const struct answer_overlay *overlay = &answer->overlay;
	char prefix[PREFIX_TEXT], until[32];

	if (!overlay->found) { /* it went away between two looks */
		say(words, "manual entry");
		return;
	}
	say(words, "%s %s", slot_name(overlay->slot), prefix_format(&overlay->prefix, prefix));
	if (overlay->expires_ns != GATE25_NEVER)
		say(words, " until %s", time_format(overlay_time_s(overlay->expires_ns), until));
}

static void say_allow(struct words *words, const struct answer *answer)
{
	for (size_t i = 0; i < answer->lists_count; i++) {
		const struct answer_list *list = &answer->lists[i];

		if (!list->info->allow || !list->applies)
			continue;
		say(words, "allow list %s", list->info->name);
		say_entry(words, list);
		return;
	}
	say(words, "allow list");
}

static bool list_observes(const struct answer_list *list)
{
	return list->info->observe || list->info->action == GATE25_PASS;
}

/* Is it one of those whose weights were summed up? `shadow`: those of the observed lists too. */
static bool list_counts(const struct answer_list *list, bool shadow)
{
	return list->applies && !list->info->allow && (shadow || !list_observes(list));
}

/*
 * "list a (weight 1 of 2): 192.0.2.7", "lists a (weight 1): …, b (weight 2, observed): …; sum 3 of
 * 2"
 */
static void say_lists(struct words *words, const struct answer *answer, bool shadow)
{
	size_t count = 0, told = 0;

	for (size_t i = 0; i < answer->lists_count; i++)
		count += list_counts(&answer->lists[i], shadow);
	say(words, "list%s", count > 1 ? "s" : "");
	for (size_t i = 0; i < answer->lists_count; i++) {
		const struct answer_list *list = &answer->lists[i];

		if (!list_counts(list, shadow))
			continue;
		say(words, "%s %s (weight %d", told++ ? "," : "", list->info->name,
		    list->info->weight);
		if (count == 1)
			say(words, " of %d", answer->threshold);
		say(words, "%s)", list_observes(list) ? ", observed" : "");
		say_entry(words, list);
	}
	if (count > 1)
		say(words, "; sum %d of %d", shadow ? answer->shadow_score : answer->score,
		    answer->threshold);
}

static void say_limit(struct words *words, const struct answer *answer, enum gate25_scope scope)
{
	char shared[PREFIX_TEXT];

	say(words, "limit of the %s %s is used up",
	    scope == GATE25_SCOPE_SOURCE ? "source" : "network",
	    prefix_format(&answer->limits[scope].shared, shared));
}

/* What only came over transports that can be forged never reaches the threshold: see compile.h. */
static bool sum_is_capped(const struct answer *answer)
{
	int sum = 0;

	for (size_t i = 0; i < answer->lists_count; i++)
		if (list_counts(&answer->lists[i], true))
			sum += answer->lists[i].info->weight;
	return sum >= answer->threshold && answer->shadow_score < answer->threshold;
}

/* Nothing spoke against it, or not enough. */
static void say_pass(struct words *words, const struct answer *answer)
{
	for (size_t i = 0; i < answer->lists_count; i++) {
		if (!list_counts(&answer->lists[i], true))
			continue;
		say_lists(words, answer, true);
		say(words, sum_is_capped(answer) ?
				   ", which alone stops nobody: its transport can be "
				   "forged" :
				   ", below the threshold");
		return;
	}
	say(words, answer->lists_count ? "on no list that holds for it" : "on no list");
}

static void say_step(struct words *words, const struct answer *answer, unsigned int reason)
{
	switch (reason) {
	case GATE25_REASON_ALLOW_MANUAL:
	case GATE25_REASON_MANUAL:
	case GATE25_REASON_BAN:
		say_overlay(words, answer);
		break;
	case GATE25_REASON_ALLOW:
		say_allow(words, answer);
		break;
	case GATE25_REASON_LIST:
		say_lists(words, answer, !(answer->class_flags & GATE25_CLASS_BLOCK));
		break;
	case GATE25_REASON_DEFAULT:
		say(words, "default of %s, and no allow entry covers it", answer->service_name);
		break;
	case GATE25_REASON_LIMIT_SOURCE:
		say_limit(words, answer, GATE25_SCOPE_SOURCE);
		break;
	case GATE25_REASON_LIMIT_NETWORK:
		say_limit(words, answer, GATE25_SCOPE_NETWORK);
		break;
	case GATE25_REASON_NO_ALLOW:
		say(words, "default of %s is to drop, but no allow entry is in force",
		    answer->service_name);
		break;
	default:
		say_pass(words, answer);
	}
}

/* ---------------------------------------------------------------- answers */

static bool is_limit(unsigned int reason)
{
	return reason == GATE25_REASON_LIMIT_SOURCE || reason == GATE25_REASON_LIMIT_NETWORK;
}

const char *answer_word(const struct answer *answer)
{
	if (answer->verdict != GATE25_PASS)
		return is_limit(answer->reason) ? "LIMITED" : "BLOCKED";
	if (answer->reason == GATE25_REASON_ALLOW || answer->reason == GATE25_REASON_ALLOW_MANUAL)
		return "ALLOWED";
	return "PASS";
}

static void say_why(struct words *words, const struct answer *answer)
{
	unsigned int step = answer->reason;

	if (step >= GATE25_REASON_WOULD_MANUAL) {
		step -= GATE25_WOULD;
		say(words, "would be %s: ", is_limit(step) ? "limited" : "blocked");
	}
	say_step(words, answer, step);
	if (step != answer->reason)
		say(words, answer->paused ? " (paused)" : " (only observed)");
}

const char *answer_why(const struct answer *answer, char text[static ANSWER_TEXT])
{
	struct words words = { .text = text, .room = ANSWER_TEXT };

	say_why(&words, answer);
	return text;
}

const char *answer_line(const struct answer *answer, char text[static ANSWER_TEXT])
{
	struct words words = { .text = text, .room = ANSWER_TEXT };
	char address[PREFIX_TEXT];

	say(&words, "%s %s %s: ", answer_word(answer), address_format(&answer->source, address),
	    answer->service_name);
	say_why(&words, answer);
	return text;
}

/* ---------------------------------------------------------------- JSON */

static json_t *list_json(const struct answer_list *list)
{
	char entry[ENTRY_TEXT];

	return json_pack("{s:s, s:s, s:i, s:s, s:b, s:b, s:s?, s:s?}", "name", list->info->name,
			 "kind", list->info->allow ? "allow" : "block", "weight",
			 list->info->weight, "action", verdict_label(list->info->action), "observe",
			 list_observes(list), "applies", list->applies, "entry",
			 list->has_entry ? entry_format(&list->first, &list->last, entry) : NULL,
			 "text", list->text[0] ? list->text : NULL);
}

static json_t *lists_json(const struct answer *answer)
{
	json_t *lists = json_array();

	for (size_t i = 0; lists && i < answer->lists_count; i++)
		json_array_append_new(lists, list_json(&answer->lists[i]));
	return lists;
}

static json_t *overlay_json(const struct answer_overlay *overlay)
{
	char prefix[PREFIX_TEXT], expires[32];

	if (!overlay->found)
		return json_null();
	return json_pack("{s:s, s:s, s:s}", "kind", slot_name(overlay->slot), "prefix",
			 prefix_format(&overlay->prefix, prefix), "expires",
			 time_format(overlay_time_s(overlay->expires_ns), expires));
}

static json_t *limit_json(const struct answer_limit *limit)
{
	char shared[PREFIX_TEXT];

	if (!limit->set)
		return json_null();
	return json_pack("{s:s, s:I, s:b, s:b, s:b}", "shared",
			 prefix_format(&limit->shared, shared), "left", (json_int_t)limit->left,
			 "spent", limit->spent, "observe", limit->observe, "exempt", limit->exempt);
}

json_t *answer_json(const struct answer *answer)
{
	char address[PREFIX_TEXT], why[ANSWER_TEXT];

	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s?, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:o, s:o, "
		"s:{s:o, s:o}}",
		"address", address_format(&answer->source, address), "result", answer_word(answer),
		"service", answer->service_name, "verdict", verdict_label(answer->verdict),
		"reason", reason_label(answer->reason), "would",
		answer->would ? reason_label(answer->would) : NULL, "why", answer_why(answer, why),
		"class", answer->class, "score", answer->score, "shadow_score",
		answer->shadow_score, "threshold", answer->threshold, "paused", answer->paused,
		"observed", answer->observed, "lists", lists_json(answer), "overlay",
		overlay_json(&answer->overlay), "limits", "source",
		limit_json(&answer->limits[GATE25_SCOPE_SOURCE]), "network",
		limit_json(&answer->limits[GATE25_SCOPE_NETWORK]));
}
