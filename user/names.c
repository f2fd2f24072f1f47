// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names that stand for addresses.
 *
 * In: a domain, and a resolver. Out: networks; notes of what could not be followed. A record is foreign: each
 * step is bounded by RFC 7208's limits, which count over all records that one domain leads to.
 */
#include "user/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMES_PREFIXES 65536 /* of one name */
#define NOTES_BYTES    4096
#define SPF_VERSION    "v=spf1"

/* One domain on its way. */
struct search {
	struct dns *dns;
	struct names_found *found;
	bool stopped; /* by a limit or a broken record: a receiver would stop here too */
};

const char *name_kind_word(enum name_kind kind)
{
	static const char *const words[NAME_KINDS] = {
		[NAME_SPF] = "spf",
		[NAME_MX] = "mx",
		[NAME_HOST] = "host",
	};

	return words[kind];
}

bool name_is_domain(const char *text)
{
	size_t label = 0, dots = 0;

	for (const char *c = text; *c; c++) {
		bool dot = *c == '.';

		if ((dot && !label) || !(dot || isalnum((unsigned char)*c) || strchr("-_", *c)))
			return false;
		label = dot ? 0 : label + 1;
		dots += dot && c[1];
		if (label > 63)
			return false;
	}
	return dots && strlen(text) < 254;
}

/* ---------------------------------------------------------------- what is found */

static void note(struct search *search, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void note(struct search *search, const char *format, ...)
{
	struct names_found *found = search->found;
	size_t left = NOTES_BYTES - found->notes_length;
	va_list arguments;
	int length;

	if (!found->notes)
		found->notes = calloc(1, NOTES_BYTES + 1);
	if (!found->notes || left < 2)
		return;
	va_start(arguments, format);
	length = vsnprintf(found->notes + found->notes_length, left, format, arguments);
	va_end(arguments);
	for (char *c = found->notes + found->notes_length; *c; c++)
		*c = *c < ' ' || *c > '~' ? '?' : *c;
	found->notes_length += length < (int)left ? (size_t)length : left - 1;
	if (found->notes_length < NOTES_BYTES - 1)
		found->notes[found->notes_length++] = '\n';
}

static void stop(struct search *search, const char *domain, const char *why)
{
	note(search, "%s: %s; what stands behind it is left out", domain, why);
	search->stopped = true;
}

static int add(struct search *search, const struct gate25_source *address, unsigned int length)
{
	struct names_found *found = search->found;

	if (found->count == NAMES_PREFIXES) {
		search->stopped = true;
		return 0;
	}
	if (found->count == found->room) {
		size_t room = found->room ? 2 * found->room : 32;
		void *more = realloc(found->prefixes, room * sizeof(*found->prefixes));

		if (!more)
			return -ENOMEM;
		found->prefixes = more;
		found->room = room;
	}
	found->prefixes[found->count] = (struct prefix){ .address = *address, .length = length };
	prefix_mask(&found->prefixes[found->count++]);
	return 0;
}

static void settle(struct names_found *found)
{
	size_t kept = 0;

	if (found->count)
		qsort(found->prefixes, found->count, sizeof(*found->prefixes), prefix_compare);
	for (size_t i = 0; i < found->count; i++)
		if (!kept || !prefix_equal(&found->prefixes[kept - 1], &found->prefixes[i]))
			found->prefixes[kept++] = found->prefixes[i];
	found->count = kept;
}

static int fail(struct search *search, int error, const char *domain, const char *why)
{
	snprintf(search->found->why, sizeof(search->found->why), "%.150s: %s", domain, why);
	return error;
}

/* An answer, or -ENODATA. What keeps us from knowing is said. */
static int ask(struct search *search, const char *name, int type, struct dns_answer *answer)
{
	int error = dns_ask(search->dns, name, type, answer);

	if (!error && answer->ttl_s < search->found->ttl_s)
		search->found->ttl_s = answer->ttl_s;
	if (error && error != -ENODATA && error != -EINVAL)
		return fail(search, error, name, dns_why(error));
	return error ? -ENODATA : 0;
}

/* ---------------------------------------------------------------- hosts and mail exchangers */

struct masks {
	unsigned int length4, length6; /* 32 and 128 where none is given */
};

static const struct masks whole = { 32, 128 };

static int host_find(struct search *search, const char *host, struct masks masks)
{
	struct dns_answer answer;
	int error = ask(search, host, DNS_ADDRESSES, &answer);

	if (error)
		return error;
	for (size_t i = 0; !error && i < answer.count; i++) {
		const struct gate25_source *address = &answer.records[i].address;

		error = add(search, address, address->family == 4 ? masks.length4 : masks.length6);
	}
	dns_answer_release(&answer);
	return error;
}

/* A host that is gone leaves the others as they are. */
static int mx_find(struct search *search, const char *domain, struct masks masks)
{
	struct dns_answer answer;
	int error = ask(search, domain, ns_t_mx, &answer);

	if (error)
		return error;
	if (answer.count > SPF_MX)
		note(search, "%s: has %zu mail exchangers, more than %d; the others are left out",
		     domain, answer.count, SPF_MX);
	for (size_t i = 0; !error && i < answer.count && i < SPF_MX; i++) {
		if (!*answer.records[i].text)
			continue;
		error = host_find(search, answer.records[i].text, masks);
		if (error == -ENODATA) {
			note(search, "%s: its mail exchanger %s has no address", domain,
			     answer.records[i].text);
			error = 0;
		}
	}
	dns_answer_release(&answer);
	return error;
}

/* RFC 5321, 5.1: without a mail exchanger the domain itself takes its mail. */
static int mx_or_host(struct search *search, const char *domain)
{
	int error = mx_find(search, domain, whole);

	return error == -ENODATA ? host_find(search, domain, whole) : error;
}

/* ---------------------------------------------------------------- SPF: terms */

struct term {
	char qualifier; /* + - ~ ? */
	char name[32];
	char value[DNS_NAME]; /* behind : or =, without the lengths */
	bool modifier;
	struct masks masks;
	bool masked;
};

static bool number_read(const char *text, unsigned int most, unsigned int *out)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || number > most ||
	    (*text == '0' && text[1])) /* RFC 7208, 5.6: no leading zeros */
		return false;
	*out = number;
	return true;
}

/* "/24", "//64", "/24//64" at the end of `text`, which then ends before. */
static bool masks_read(char *text, struct term *term)
{
	char *six = strstr(text, "//"), *four;

	term->masks = whole;
	if (six) {
		*six = '\0';
		if (!number_read(six + 2, 128, &term->masks.length6))
			return false;
	}
	four = strrchr(text, '/');
	if (four) {
		*four = '\0';
		if (!number_read(four + 1, 128, &term->masks.length4))
			return false;
	}
	term->masked = six || four;
	return true;
}

/* false: no RFC would know it. */
static bool term_read(const char *text, size_t length, struct term *term)
{
	char copy[NS_MAXDNAME];
	char *value;

	*term = (struct term){ .qualifier = '+', .masks = whole };
	if (length && strchr("+-~?", *text)) {
		term->qualifier = *text++;
		length--;
	}
	if (!length || length >= sizeof(copy) || !isalpha((unsigned char)*text))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	value = copy + strcspn(copy, ":=/");
	if ((size_t)(value - copy) >= sizeof(term->name))
		return false;
	memcpy(term->name, copy, value - copy);
	term->modifier = *value == '=';
	if (*value == ':' || *value == '=')
		value++;
	if (!term->modifier && !strchr(value, '%') && !masks_read(value, term))
		return false;
	if (strlen(value) >= sizeof(term->value))
		return false;
	memcpy(term->value, value, strlen(value) + 1);
	return true;
}

/* ---------------------------------------------------------------- SPF: mechanisms */

static int spf_record(struct search *search, const char *domain, bool included);

/* Counts one of the look-ups that are allowed. */
static bool lookup_take(struct search *search, const char *domain)
{
	if (search->found->lookups == SPF_LOOKUPS) {
		stop(search, domain, "more than 10 look-ups (RFC 7208)");
		return false;
	}
	search->found->lookups++;
	return true;
}

/* Nothing was there: that is allowed twice. */
static int void_take(struct search *search, int error, const char *domain, const char *target)
{
	if (error != -ENODATA)
		return error;
	note(search, "%s: %s has no address or record", domain, target);
	if (++search->found->voids > SPF_VOIDS)
		stop(search, domain, "more than 2 look-ups that found nothing (RFC 7208)");
	return 0;
}

static int spf_address(struct search *search, const char *domain, const struct term *term)
{
	bool v4 = !strcasecmp(term->name, "ip4");
	unsigned int length = v4 ? 32 : 128;
	struct prefix prefix;
	const char *why;

	/* "ip6:2001:db8::/32": what stands behind one slash is the length of either family */
	if (term->masked)
		length = term->masks.length4;
	if (prefix_parse(term->value, NULL, 0, &prefix, &why) ||
	    prefix.address.family != (v4 ? 4 : 6) || length > (v4 ? 32u : 128u)) {
		stop(search, domain, v4 ? "an ip4: that is none" : "an ip6: that is none");
		return 0;
	}
	if (!length) {
		note(search, "%s: %s:%s/0 names everybody, so it names nobody here", domain,
		     term->name, term->value);
		return 0;
	}
	return add(search, &prefix.address, length);
}

static int spf_hosts(struct search *search, const char *domain, const struct term *term)
{
	const char *target = *term->value ? term->value : domain;
	struct masks masks = term->masks;
	int error;

	if (!lookup_take(search, domain))
		return 0;
	if (masks.length4 > 32 || !masks.length4 || !masks.length6) {
		stop(search, domain, "a length of a network that is none");
		return 0;
	}
	error = !strcasecmp(term->name, "mx") ? mx_find(search, target, masks) :
						host_find(search, target, masks);
	return void_take(search, error, domain, target);
}

/* To the record of another domain; without one this record has an error in it, at this place. */
static int spf_lead(struct search *search, const char *domain, const char *target)
{
	int error;

	if (!lookup_take(search, domain))
		return 0;
	error = spf_record(search, target, true);
	if (error == -ENODATA) {
		stop(search, domain, search->found->why);
		error = 0;
	}
	return error;
}

static int spf_include(struct search *search, const char *domain, const struct term *term)
{
	return spf_lead(search, domain, term->value);
}

static int spf_noted(struct search *search, const char *domain, const struct term *term)
{
	if (!lookup_take(search, domain))
		return 0;
	note(search, "%s: %s%s%s depends on who asks and is left out", domain, term->name,
	     *term->value ? ":" : "", term->value);
	return 0;
}

static const struct mechanism {
	const char *name;
	int (*run)(struct search *search, const char *domain, const struct term *term);
	bool needs_value;
	bool looks_up;
} mechanisms[] = {
	{ "ip4", spf_address, true, false },	{ "ip6", spf_address, true, false },
	{ "a", spf_hosts, false, true },	{ "mx", spf_hosts, false, true },
	{ "include", spf_include, true, true }, { "exists", spf_noted, true, true },
	{ "ptr", spf_noted, false, true },
};

static const struct mechanism *mechanism_find(const char *name)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (!strcasecmp(mechanisms[i].name, name))
			return &mechanisms[i];
	return NULL;
}

static int spf_mechanism(struct search *search, const char *domain, const struct term *term)
{
	const struct mechanism *mechanism = mechanism_find(term->name);

	if (!strcasecmp(term->name, "all")) {
		if (term->qualifier == '+')
			note(search, "%s: +all names everybody, so it names nobody here", domain);
		return 0;
	}
	if (strchr(term->value, '%')) {
		note(search, "%s: %s:%s has a macro, which depends on who asks; left out", domain,
		     term->name, term->value);
		if (mechanism->looks_up)
			lookup_take(search, domain);
		return 0;
	}
	if (term->qualifier != '+') {
		note(search, "%s: %c%s%s%s does not pass and is left out", domain, term->qualifier,
		     term->name, *term->value ? ":" : "", term->value);
		if (mechanism->looks_up)
			lookup_take(search, domain);
		return 0;
	}
	return mechanism->run(search, domain, term);
}

/* ---------------------------------------------------------------- SPF: records */

static bool is_spf(const char *text)
{
	size_t length = strlen(SPF_VERSION);

	return !strncasecmp(text, SPF_VERSION, length) && (!text[length] || text[length] == ' ');
}

/* Calls `each` for the terms up to `all`, until it fails or the search stops. -ENODATA: no RFC would know one of them. */
static int terms_each(struct search *search, const char *domain, const char *text,
		      int (*each)(struct search *search, const char *domain,
				  const struct term *term))
{
	struct term term;
	int error = 0;

	text += strlen(SPF_VERSION);
	while (!error && !search->stopped) {
		size_t length;

		text += strspn(text, " ");
		length = strcspn(text, " ");
		if (!length)
			break;
		if (!term_read(text, length, &term))
			return -ENODATA;
		error = each(search, domain, &term);
		if (!error && !term.modifier && !strcasecmp(term.name, "all"))
			break;
		text += length;
	}
	return error;
}

/* RFC 7208, 4.6: a record with an error in it is worth nothing, wherever the error stands. */
static int term_check(struct search *search, const char *domain, const struct term *term)
{
	const struct mechanism *mechanism = mechanism_find(term->name);

	(void)search;
	(void)domain;
	if (term->modifier)
		return 0;
	if (!strcasecmp(term->name, "all"))
		return *term->value || term->masked ? -ENODATA : 0;
	return mechanism && (*term->value || !mechanism->needs_value) ? 0 : -ENODATA;
}

static int term_run(struct search *search, const char *domain, const struct term *term)
{
	return term->modifier ? 0 : spf_mechanism(search, domain, term);
}

/* `redirect=` counts where no `all` stands. */
static bool redirect_find(const char *text, char target[static DNS_NAME])
{
	struct term term;
	bool found = false;

	text += strlen(SPF_VERSION);
	for (;;) {
		size_t length;

		text += strspn(text, " ");
		length = strcspn(text, " ");
		if (!length || !term_read(text, length, &term))
			return found;
		if (!term.modifier && !strcasecmp(term.name, "all"))
			return false;
		if (term.modifier && !strcasecmp(term.name, "redirect")) {
			memcpy(target, term.value, sizeof(term.value));
			found = true;
		}
		text += length;
	}
}

static int redirect_follow(struct search *search, const char *domain, const char *text)
{
	char target[DNS_NAME] = "";

	if (search->stopped || !redirect_find(text, target))
		return 0;
	if (strchr(target, '%')) {
		note(search, "%s: redirect=%s has a macro, which depends on who asks; left out",
		     domain, target);
		return 0;
	}
	return spf_lead(search, domain, target);
}

/* The one record of a domain. -ENODATA: there is none, or more than one; said. */
static int record_choose(struct search *search, const char *domain, const struct dns_answer *answer,
			 const char **out)
{
	size_t count = 0;

	for (size_t i = 0; i < answer->count; i++)
		if (is_spf(answer->records[i].text)) {
			*out = answer->records[i].text;
			count++;
		}
	if (count == 1)
		return 0;
	return fail(search, -ENODATA, domain,
		    count ? "has more than one SPF record, which is an error" :
			    "has no SPF record");
}

static int spf_record(struct search *search, const char *domain, bool included)
{
	struct dns_answer answer = { 0 };
	const char *text = "";
	int error = ask(search, domain, ns_t_txt, &answer);

	if (error == -ENODATA) {
		if (included)
			search->found->voids++;
		return fail(search, error, domain, "has no SPF record");
	}
	if (!error)
		error = record_choose(search, domain, &answer, &text);
	if (!error && terms_each(search, domain, text, term_check))
		error = fail(search, -ENODATA, domain, "has an SPF record with an error in it");
	if (!error)
		error = terms_each(search, domain, text, term_run);
	if (!error)
		error = redirect_follow(search, domain, text);
	dns_answer_release(&answer);
	return error;
}

/* ---------------------------------------------------------------- one name */

int names_find(struct dns *dns, enum name_kind kind, const char *domain, struct names_found *out)
{
	struct search search = { .dns = dns, .found = out };
	int error;

	*out = (struct names_found){ .ttl_s = DNS_TTL_UNKNOWN };
	if (kind == NAME_SPF)
		error = spf_record(&search, domain, false);
	else if (kind == NAME_MX)
		error = mx_or_host(&search, domain);
	else
		error = host_find(&search, domain, whole);
	settle(out);
	if (!error && !out->count)
		error = -ENODATA;
	if (error == -ENODATA && !out->why[0])
		fail(&search, error, domain, "stands for no address");
	return error;
}

void names_found_release(struct names_found *found)
{
	free(found->prefixes);
	free(found->notes);
	*found = (struct names_found){ .ttl_s = DNS_TTL_UNKNOWN };
}
