// SPDX-License-Identifier: GPL-2.0-only
/*
 * add: manual block entries. And the table of the commands over entries.
 *
 * In: addresses from the command line or standard input. Out: a line for each entry, what allows it
 * all the same, and one record of changes. A batch is applied whole or not at all.
 */
#include "user/cmd_entries.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---------------------------------------------------------------- add */

#define ADD_TAKES                                                                                  \
	(TAKES_TIME | TAKES_REASON | TAKES_ORIGIN | TAKES_SERVICE | TAKES_FORCE | TAKES_STRICT |   \
	 TAKES_ADDRESSES)

struct adding {
	struct desk desk;
	struct request request;
	struct refusals *refusals; /* NULL: --force */
	struct allowed *allowed;
	struct entry entry; /* what all targets have in common */
	size_t added, refreshed, refused;
};

/* With an origin, a script speaks: what it may not block is skipped, and the rest applied. */
static void add_refused(struct adding *adding, const struct target *target, const char *why)
{
	char text[TARGET_TEXT];

	adding->refused++;
	target_format(target, text);
	if (adding->request.origin)
		cli_note("skipped %s: %s", text, why);
	else if (adding->refused <= SAID_MOST)
		cli_fail(adding->desk.cli, EXIT_FAILED, "%s: %s; --force blocks it all the same",
			 text, why);
}

/* One entry a prefix and origin: what was said last holds, with --force or without. */
static int add_stage(struct adding *adding, struct target *target)
{
	struct journal *journal = adding->desk.journal;
	struct entry *entry = &adding->entry;
	enum entry_kind other = entry->kind == ENTRY_BLOCK ? ENTRY_FORCED : ENTRY_BLOCK;
	const struct entry *former = journal_find(journal, &entry->prefix, other, entry->origin);
	int error = 0;

	target->known = former || journal_find(journal, &entry->prefix, entry->kind, entry->origin);
	if (former)
		error = desk_del(&adding->desk, former);
	if (!error)
		error = desk_put(&adding->desk, entry);
	adding->added++;
	adding->refreshed += target->known;
	return error;
}

static int add_one(struct adding *adding, struct target *target)
{
	const char *why = NULL;
	char text[TARGET_TEXT];
	int error;

	adding->entry.prefix = target->prefix;
	if (adding->refusals)
		why = refusal_of(adding->refusals, &target->prefix, adding->entry.services);
	if (why) {
		add_refused(adding, target, why);
		return 0;
	}
	error = add_stage(adding, target);
	if (error)
		return desk_failed(&adding->desk, error);
	if (target->known && adding->request.strict)
		return cli_fail(adding->desk.cli, EXIT_FAILED,
				"%s is there already (--strict); nothing was changed",
				target_format(target, text));
	return 0;
}

static int add_all(struct adding *adding)
{
	const struct request *request = &adding->request;
	struct cli *cli = adding->desk.cli;

	for (size_t i = 0; i < request->count; i++) {
		int code = add_one(adding, &request->targets[i]);

		if (code)
			return code;
	}
	if (!adding->refused || request->origin)
		return desk_commit(&adding->desk, "add", terms_json(&adding->entry));
	if (adding->refused > SAID_MOST)
		cli_note("and %zu more", adding->refused - SAID_MOST);
	return cli_fail(cli, EXIT_FAILED, "nothing was changed");
}

/* What an operator may not have thought of. */
static void add_hints(const struct adding *adding, const struct entry *entry, const char *by)
{
	const struct entry *part = allowed_part(adding->allowed, &entry->prefix);
	struct prefix network = entry->prefix;
	char text[PREFIX_TEXT], inner[PREFIX_TEXT];

	prefix_format(&entry->prefix, text);
	if (by)
		cli_note("%s stays allowed by %s: the entry is kept in its shadow", text, by);
	if (part)
		cli_note("of %s, %s stays allowed (allow entry)", text,
			 prefix_format(&part->prefix, inner));
	if (adding->request.count == 1 && !adding->request.origin && network.length == 128) {
		network.length = 64;
		prefix_mask(&network);
		cli_note("hint: who has one IPv6 address usually has its whole /64, %s",
			 prefix_format(&network, inner));
	}
}

static void add_say(const struct adding *adding, const struct target *target)
{
	const struct entry *entry = journal_find(adding->desk.journal, &target->prefix,
						 adding->entry.kind, adding->entry.origin);
	char text[PREFIX_TEXT], terms[TERMS_TEXT], by[ALLOWED_TEXT];
	bool shadowed;
	json_t *result;

	if (!entry)
		return; /* skipped */
	shadowed = allowed_shadows(adding->allowed, entry, by);
	result = entry_json(entry);
	json_object_set_new(result, "refreshed", json_boolean(target->known));
	json_object_set_new(result, "shadowed", json_boolean(shadowed));
	json_array_append_new(adding->desk.results, result);
	if (adding->added > SAID_MOST)
		return;
	cli_say(adding->desk.cli, "%s %s%s (%s%s%s)", target->known ? "refreshed" : "blocked",
		prefix_format(&entry->prefix, text),
		terms_format(entry->services, entry->expires_s, terms), entry->origin,
		entry->reason[0] ? ": " : "", entry->reason);
	add_hints(adding, entry, shadowed ? by : NULL);
}

static int add_say_all(struct adding *adding)
{
	const struct request *request = &adding->request;
	int error = allowed_open(adding->desk.guard, adding->desk.journal, &adding->allowed);

	if (error)
		return desk_failed(&adding->desk, error);
	for (size_t i = 0; i < request->count; i++)
		add_say(adding, &request->targets[i]);
	if (adding->added > SAID_MOST)
		cli_say(adding->desk.cli,
			"blocked %zu addresses and networks (%s), %zu of them "
			"refreshed",
			adding->added, adding->entry.origin, adding->refreshed);
	if (adding->added)
		desk_say_observed(&adding->desk);
	return 0;
}

static void entry_of_request(const struct request *request, struct entry *out)
{
	*out = (struct entry){ .kind = request->force ? ENTRY_FORCED : ENTRY_BLOCK };
	out->origin = request->origin ? request->origin : ORIGIN_MANUAL;
	out->reason = request->reason ? request->reason : "";
	out->services = request->services ? request->services : "";
	out->added_s = time(NULL);
	out->expires_s = request->expires_s;
}

static int add_run(struct adding *adding)
{
	struct request *request = &adding->request;
	int code = desk_services(&adding->desk, request->services), error = 0;

	if (code)
		return code;
	entry_of_request(request, &adding->entry);
	if (!request->force)
		error = refusals_open(&adding->desk, &adding->refusals);
	if (error)
		return cli_fail(adding->desk.cli, cli_exit_code(error),
				"cannot tell whom not to block: %s; --force adds it unasked",
				strerror(-error));
	code = add_all(adding);
	return code ? code : add_say_all(adding);
}

static int do_add(struct cli *cli, int argc, char **argv)
{
	struct adding adding = { 0 };
	int code = request_read(cli, ADD_TAKES, argc, argv, &adding.request);

	if (!code && adding.request.origin && !strcmp(adding.request.origin, ORIGIN_AUTO))
		code = cli_fail(cli, EXIT_USAGE,
				"--origin auto is for automatic bans: take another");
	if (!code) {
		code = desk_open(cli, &adding.desk);
		if (!code)
			code = add_run(&adding);
		code = desk_close(&adding.desk, code);
	}
	refusals_close(adding.refusals);
	allowed_close(adding.allowed);
	request_free(&adding.request);
	return code;
}

/* ---------------------------------------------------------------- the table */

const struct command commands_entries[] = {
	{ "add", "ADDR[/LEN]…|- [--for 24h|--until TIME] [--reason TEXT] …", "block addresses",
	  "  --for TIME        90, 30s, 5m, 24h, 7d, 2w\n"
	  "  --until TIME      2026-12-01T12:00:00Z, or \"2026-12-01 12:00\" local time\n"
	  "  --reason TEXT     why, for those who read it later\n"
	  "  --origin NAME     who says so (default manual); what it may not block is skipped\n"
	  "  --service NAME    only there (may be given again)\n"
	  "  --force           also this host, allow-listed ones, ssh peers, short prefixes\n"
	  "  --strict          fail if it is there already, instead of refreshing it\n"
	  "  -                 read them from standard input, one a line, all or nothing\n",
	  do_add },
	{ "del", "ADDR[/LEN]…|- [--origin NAME] [--strict]",
	  "remove blocks and bans of exactly these",
	  "  --origin NAME     only those of this origin\n"
	  "  --strict          fail if there is no such entry\n"
	  "  -                 read them from standard input, one a line, all or nothing\n",
	  do_del },
	{ "flush", "--origin NAME", "remove all blocks of an origin (auto: automatic bans)",
	  "Allow entries stay.\n", do_flush },
	{ "unblock", "ADDR [--for 24h] [--reason TEXT]", "do what it takes to let an address in",
	  "Removes manual blocks of exactly this address and all bans of it, and where something\n"
	  "else blocks it, allows it. Prints how it stands then, as gate25 test does.\n\n"
	  "  --for TIME        how long it is allowed then (default 24h)\n",
	  do_unblock },
	{ "allow", "add ADDR[/LEN]…|- | del ADDR[/LEN]…|- | list", "manual allow entries",
	  "  --for, --until, --reason, --service as for add; --strict for del; --limit for list\n",
	  do_allow },
	{ "list", "[--origin NAME] [--limit N]", "show manual entries and bans", NULL, do_list },
	{ NULL, NULL, NULL, NULL, NULL },
};
