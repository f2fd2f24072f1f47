// SPDX-License-Identifier: GPL-2.0-only
/*
 * test --domain: would a connection from where a domain sends its mail from be stopped?
 *
 * In: a domain; what SPF and MX say of it; the generation in force. Out: each network with what it meets. A network
 * is not asked address by address: the answer can only change where an entry of a list, or of the overlay, begins or
 * ends, so one address of each stretch between them is asked.
 */
#include "user/cmd_show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/ask.h"
#include "user/lists/ranges.h"
#include "user/names.h"
#include "user/overlay.h"
#include "user/print.h"

#define RESOLVE_S     30
#define STOPPED_SHOWN 20
#define STEPS_MOST    (1u << 21) /* of one network */

struct steps {
	u128 *first;
	size_t count, room;
	u128 low, high; /* of the network */
	unsigned int family;
};

struct inquiry {
	struct cli *cli;
	struct asker *asker;
	int slot;
	json_t *networks, *stopped, *notes;
	unsigned long long addresses4, stopped4, stopped_networks, stretches;
	bool passed; /* some address is not BLOCKED */
};

/* ---------------------------------------------------------------- stretches */

static u128 source_value(const struct gate25_source *source)
{
	return (u128)source->hi << 64 | source->lo;
}

static struct gate25_source source_of(u128 value, unsigned int family)
{
	return (struct gate25_source){ .hi = value >> 64, .lo = value, .family = family };
}

static int step_add(struct steps *steps, u128 at)
{
	int error;

	if (at < steps->low || at > steps->high || steps->count == STEPS_MOST)
		return 0;
	error = array_grow(&steps->first, &steps->room, steps->count, sizeof(*steps->first));
	if (!error)
		steps->first[steps->count++] = at;
	return error;
}

/* The answer may change where a range begins, and behind it. */
static int steps_add(struct steps *steps, u128 first, u128 last)
{
	int error = step_add(steps, first);

	return error || last == (u128)-1 ? error : step_add(steps, last + 1);
}

static int steps_of_image(struct steps *steps, const struct list_image *image)
{
	int error = 0;

	for (size_t i = 0; !error && steps->family == 4 && i < image->count4; i++)
		error = steps_add(steps, image->ranges4[i].first, image->ranges4[i].last);
	for (size_t i = 0; !error && steps->family == 6 && i < image->count6; i++)
		error = steps_add(steps, address6_value(&image->ranges6[i].first),
				  address6_value(&image->ranges6[i].last));
	return error;
}

static int step_of_overlay(const struct gate25_overlay_key *key,
			   const struct gate25_overlay_entry *entry, void *context)
{
	struct prefix prefix = overlay_prefix(key);
	struct gate25_source last = prefix_last(&prefix);
	struct steps *steps = context;

	(void)entry;
	if (prefix.address.family != steps->family)
		return 0;
	return steps_add(steps, source_value(&prefix.address), source_value(&last));
}

static int step_compare(const void *a, const void *b)
{
	const u128 *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* *steps is released by the caller, also after a failure. */
static int steps_find(const struct inquiry *inquiry, const struct prefix *network,
		      struct steps *steps)
{
	struct gate25_source last = prefix_last(network);
	int error;

	*steps = (struct steps){ .family = network->address.family };
	steps->low = source_value(&network->address);
	steps->high = source_value(&last);
	error = step_add(steps, steps->low);
	for (__u32 i = 0; !error && i < ask_generation(inquiry->asker)->lists_count; i++) {
		const struct list_image *image = ask_list_image(inquiry->asker, i);

		error = image ? steps_of_image(steps, image) : 0;
	}
	if (!error)
		error = overlay_each(inquiry->cli->guard, step_of_overlay, steps);
	if (!error && steps->count)
		qsort(steps->first, steps->count, sizeof(*steps->first), step_compare);
	return error;
}

/* ---------------------------------------------------------------- questions */

static const char *stretch_format(u128 first, u128 last, unsigned int family,
				  char text[static 2 * PREFIX_TEXT])
{
	struct gate25_source low = source_of(first, family), high = source_of(last, family);
	char from[PREFIX_TEXT], to[PREFIX_TEXT];

	if (first == last)
		return address_format(&low, text);
	snprintf(text, 2 * PREFIX_TEXT, "%s-%s", address_format(&low, from),
		 address_format(&high, to));
	return text;
}

/* One stretch that is not let in. */
static int stopped_add(struct inquiry *inquiry, u128 first, u128 last, const struct answer *brief)
{
	char text[2 * PREFIX_TEXT], why[ANSWER_TEXT];
	struct answer answer;
	int error;

	inquiry->stretches++;
	if (brief->source.family == 4)
		inquiry->stopped4 += last - first + 1;
	if (json_array_size(inquiry->stopped) >= STOPPED_SHOWN)
		return 0;
	error = ask_address(inquiry->asker, &brief->source, inquiry->slot, &answer);
	if (error)
		return error;
	json_array_append_new(inquiry->stopped,
			      json_pack("{s:s, s:s, s:s, s:s}", "addresses",
					stretch_format(first, last, brief->source.family, text),
					"result", answer_word(&answer), "service",
					answer.service_name, "why", answer_why(&answer, why)));
	return 0;
}

static int steps_ask(struct inquiry *inquiry, const struct steps *steps, bool *stopped)
{
	for (size_t i = 0; i < steps->count; i++) {
		u128 first = steps->first[i];
		u128 last = i + 1 < steps->count ? steps->first[i + 1] - 1 : steps->high;
		struct gate25_source source = source_of(first, steps->family);
		struct answer answer;
		int error;

		if (i + 1 < steps->count && steps->first[i + 1] == first)
			continue;
		error = ask_verdict(inquiry->asker, &source, inquiry->slot, &answer);
		if (error)
			return error;
		inquiry->passed |= strcmp(answer_word(&answer), "BLOCKED") != 0;
		if (answer.verdict == GATE25_PASS)
			continue;
		*stopped = true;
		error = stopped_add(inquiry, first, last, &answer);
		if (error)
			return error;
	}
	return 0;
}

static int network_ask(struct inquiry *inquiry, const struct prefix *network, const char *by)
{
	struct steps steps = { 0 };
	char text[PREFIX_TEXT];
	bool stopped = false;
	int error = steps_find(inquiry, network, &steps);

	if (!error)
		error = steps_ask(inquiry, &steps, &stopped);
	free(steps.first);
	if (error)
		return error;
	if (network->address.family == 4)
		inquiry->addresses4 += 1ULL << (32 - network->length);
	inquiry->stopped_networks += stopped;
	json_array_append_new(inquiry->networks,
			      json_pack("{s:s, s:s, s:b}", "network", prefix_format(network, text),
					"by", by, "stopped", stopped));
	return 0;
}

static void notes_add(struct inquiry *inquiry, const char *notes)
{
	for (const char *line = notes; line && *line;) {
		size_t length = strcspn(line, "\n");

		json_array_append_new(inquiry->notes, json_stringn(line, length));
		line += length + (line[length] == '\n');
	}
}

/* What a domain has under one kind of name. *known: something was found. */
static int kind_ask(struct inquiry *inquiry, struct dns *dns, enum name_kind kind,
		    const char *domain, bool *known)
{
	struct names_found found = { .ttl_s = DNS_TTL_UNKNOWN };
	int error = names_find(dns, kind, domain, &found);

	notes_add(inquiry, found.notes);
	if (error)
		json_array_append_new(inquiry->notes,
				      json_sprintf("%s: %s", name_kind_word(kind), found.why));
	if (error == -ENOMEM)
		goto out;
	*known |= !error;
	error = 0;
	for (size_t i = 0; !error && i < found.count; i++)
		error = network_ask(inquiry, &found.prefixes[i], name_kind_word(kind));
out:
	names_found_release(&found);
	return error;
}

/* ---------------------------------------------------------------- the command */

static void inquiry_say(const struct inquiry *inquiry, const char *domain)
{
	char networks[64], addresses[32], stretches[64];
	const json_t *item;
	size_t i;

	cli_say(inquiry->cli, "%s: %s, %s addresses of IPv4; %s would be stopped", domain,
		count_format(json_array_size(inquiry->networks), "network", "networks", networks),
		number_format(inquiry->addresses4, addresses),
		inquiry->stretches ?
			count_format(inquiry->stretches, "stretch", "stretches", stretches) :
			"none");
	json_array_foreach(inquiry->stopped, i, item)
		cli_say(inquiry->cli, "%s %s %s: %s", json_text(item, "result"),
			json_text(item, "addresses"), json_text(item, "service"),
			json_text(item, "why"));
	if (inquiry->stretches > json_array_size(inquiry->stopped))
		cli_say(inquiry->cli, "… and %llu more",
			inquiry->stretches - json_array_size(inquiry->stopped));
	json_array_foreach(inquiry->networks, i, item)
		if (!json_is_true(json_object_get(item, "stopped")))
			cli_say(inquiry->cli, "not stopped: %s (%s)", json_text(item, "network"),
				json_text(item, "by"));
	json_array_foreach(inquiry->notes, i, item)
		cli_note("note: %s", json_string_value(item));
}

static json_t *inquiry_json(const struct inquiry *inquiry, const char *domain)
{
	return json_pack("{s:s, s:O, s:O, s:I, s:I, s:O}", "domain", domain, "networks",
			 inquiry->networks, "stopped", inquiry->stopped, "addresses4",
			 (json_int_t)inquiry->addresses4, "stopped4", (json_int_t)inquiry->stopped4,
			 "notes", inquiry->notes);
}

static int inquiry_run(struct inquiry *inquiry, const char *domain)
{
	struct cli *cli = inquiry->cli;
	struct dns *dns = NULL;
	bool known = false;
	int error = dns_open(cli->config->resolver, RESOLVE_S, NULL, &dns);

	if (error)
		return cli_fail(cli, EXIT_FAILED, "cannot ask the resolver: %s", strerror(-error));
	error = kind_ask(inquiry, dns, NAME_SPF, domain, &known);
	if (!error)
		error = kind_ask(inquiry, dns, NAME_MX, domain, &known);
	dns_close(dns);
	if (error)
		return cli_fail(cli, cli_exit_code(error), "%s: %s", domain, strerror(-error));
	if (!known) {
		const char *note = json_string_value(json_array_get(inquiry->notes, 0));

		return cli_fail(cli, EXIT_FAILED, "neither SPF nor MX of %s names an address (%s)",
				domain, note ? note : "");
	}
	inquiry_say(inquiry, domain);
	return cli_results(cli, json_pack("[o]", inquiry_json(inquiry, domain)),
			   inquiry->passed ? EXIT_NOT_BLOCKED : EXIT_DONE);
}

int test_domain(struct cli *cli, struct asker *asker, int slot, const char *domain)
{
	struct inquiry inquiry = { .cli = cli, .asker = asker, .slot = slot };
	int code;

	if (!name_is_domain(domain))
		return cli_fail(cli, EXIT_USAGE,
				"--domain %s: a domain is wanted, as in example.com", domain);
	inquiry.networks = json_array();
	inquiry.stopped = json_array();
	inquiry.notes = json_array();
	code = inquiry_run(&inquiry, domain);
	json_decref(inquiry.networks);
	json_decref(inquiry.stopped);
	json_decref(inquiry.notes);
	return code;
}
