// SPDX-License-Identifier: GPL-2.0-only
/*
 * add, del, flush: manual block entries.
 *
 * In: addresses from the command line or standard input. Out: a line for each entry, what still blocks or allows it
 * all the same, and one record of changes. A batch is applied whole or not at all.
 */
#include "user/cmd_entries.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/ask.h"

#define SAID_MOST 20 /* entries that get a line of their own */

/* ---------------------------------------------------------------- add */

#define ADD_TAKES                                                                                  \
	(TAKES_TIME | TAKES_REASON | TAKES_ORIGIN | TAKES_SERVICE | TAKES_FORCE | TAKES_STRICT |   \
	 TAKES_ADDRESSES)

struct adding {
	struct desk desk;
	struct request request;
	struct refusals *refusals;
	struct allowed *allowed;
	struct entry entry; /* what all targets have in common */
	size_t added, refused;
};

/* With an origin, a script speaks: what it may not block is skipped, and the rest applied. */
static int add_refused(struct adding *adding, const struct target *target, const char *why)
{
	char text[TARGET_TEXT];

	target_format(target, text);
	adding->refused++;
	if (!adding->request.origin)
		return cli_fail(adding->desk.cli, EXIT_FAILED, "%s: %s; --force blocks it all the same",
				text, why);
	desk_note(&adding->desk, "skipped %s: %s", text, why);
	return 0;
}

static int add_one(struct adding *adding, const struct target *target)
{
	struct entry *entry = &adding->entry;
	const char *why = NULL;
	int error;

	entry->prefix = target->prefix;
	if (adding->refusals)
		why = refusal_of(adding->refusals, &target->prefix, entry->services);
	if (why)
		return add_refused(adding, target, why);
	if (adding->request.strict && journal_find(adding->desk.journal, &entry->prefix, entry->kind,
						   entry->origin))
		return add_refused(adding, target, "it is there already (--strict)");
	error = desk_put(&adding->desk, entry);
	if (error)
		return cli_fail(adding->desk.cli, cli_exit_code(error), "%s", strerror(-error));
	adding->added++;
	return 0;
}

static void add_say(struct adding *adding, const struct prefix *prefix)
{
	const struct entry *entry = journal_find(adding->desk.journal, prefix, adding->entry.kind,
						 adding->entry.origin);
	char text[PREFIX_TEXT], terms[TERMS_TEXT], by[ALLOWED_TEXT];
	__u8 wanted;

	if (!entry)
		return; /* skipped */
	json_array_append_new(adding->desk.results, entry_json(entry));
	if (adding->added > SAID_MOST)
		return;
	prefix_format(prefix, text);
	desk_say(&adding->desk, "blocked %s%s (%s%s%s)", text,
		 terms_format(entry->services, entry->expires_s, terms), entry->origin,
		 *entry->reason ? ": " : "", entry->reason);
	wanted = allowed_mask(adding->allowed, entry->services);
	if (entry->kind == ENTRY_BLOCK && (allowed_services(adding->allowed, prefix, by) & wanted))
		desk_note(&adding->desk, "%s stays allowed by %s: the entry is kept in its shadow", text,
			  by);
	if (prefix->address.family == 6 && prefix->length == 128)
		desk_note(&adding->desk, "%s is one address; its owner usually has the whole /64", text);
}

static int add_all(struct adding *adding)
{
	struct request *request = &adding->request;
	size_t failed = 0;
	int code = 0, error;

	for (size_t i = 0; i < request->count; i++) {
		int one = add_one(adding, &request->targets[i]);

		failed += one != 0;
		code = one ? one : code;
	}
	if (failed)
		return cli_fail(adding->desk.cli, code, "nothing was changed");
	code = desk_commit(&adding->desk, "add", adding->added ? entry_json(&adding->entry) : NULL);
	if (code)
		return code;
	error = allowed_open(adding->desk.guard, adding->desk.journal, &adding->allowed);
	if (error)
		return cli_fail(adding->desk.cli, cli_exit_code(error), "%s", strerror(-error));
	for (size_t i = 0; i < request->count; i++)
		add_say(adding, &request->targets[i].prefix);
	if (adding->added > SAID_MOST)
		desk_say(&adding->desk, "blocked %zu addresses and networks (%s)", adding->added,
			 adding->entry.origin);
	return 0;
}

static void entry_of_request(const struct request *request, enum entry_kind kind, struct entry *out)
{
	*out = (struct entry){ .kind = kind };
	out->origin = request->origin ? request->origin : ORIGIN_MANUAL;
	out->reason = request->reason ? request->reason : "";
	out->services = request->services ? request->services : "";
	out->added_s = time(NULL);
	out->expires_s = request->expires_s;
}

static int do_add(struct cli *cli, int argc, char **argv)
{
	struct adding adding = { 0 };
	int code = request_read(cli, ADD_TAKES, argc, argv, &adding.request), error;

	if (code)
		goto out;
	code = desk_open(cli, &adding.desk);
	if (!code && adding.request.services)
		code = desk_services(&adding.desk, adding.request.services);
	entry_of_request(&adding.request, adding.request.force ? ENTRY_FORCED : ENTRY_BLOCK,
			 &adding.entry);
	if (!code && !adding.request.force) {
		error = refusals_open(&adding.desk, &adding.refusals);
		if (error)
			code = cli_fail(cli, cli_exit_code(error),
					"cannot tell whom not to block: %s; --force adds it unasked",
					strerror(-error));
	}
	if (!code)
		code = add_all(&adding);
	refusals_close(adding.refusals);
	allowed_close(adding.allowed);
	code = desk_close(&adding.desk, code);
out:
	request_free(&adding.request);
	return code;
}

/* ---------------------------------------------------------------- del */

/* Block and forced entries of exactly this prefix; NULL: of any origin, and automatic bans. */
static int del_one(struct desk *desk, const char *origin, struct target *target)
{
	static const enum entry_kind kinds[] = { ENTRY_BLOCK, ENTRY_FORCED };
	int error = 0;

	for (size_t i = 0; i < 2; i++) {
		const struct entry *entry;

		while (!error &&
		       (entry = journal_find(desk->journal, &target->prefix, kinds[i], origin))) {
			target->known = true;
			json_array_append_new(desk->results, entry_json(entry));
			error = desk_del(desk, entry);
		}
	}
	if (!error && (!origin || !strcmp(origin, ORIGIN_AUTO))) {
		error = desk_drop_ban(desk, &target->prefix);
		target->known |= !error;
		error = error == -ENOENT ? 0 : error;
	}
	return error;
}

/* What still blocks them: of a network, its first address is asked. */
static void still_blocked(struct desk *desk, const struct request *request)
{
	struct asker *asker = NULL;
	char text[TARGET_TEXT], line[ANSWER_TEXT];
	struct answer answer;

	if (!desk->guard || request->count > SAID_MOST || ask_open(desk->cli->config, desk->guard, &asker))
		return;
	for (size_t i = 0; i < request->count; i++) {
		const struct gate25_source *address = &request->targets[i].prefix.address;

		if (!ask_address(asker, address, ask_service(asker), &answer) &&
		    answer.verdict != GATE25_PASS)
			desk_note(desk, "%s stays blocked: %s",
				  target_format(&request->targets[i], text), answer_why(&answer, line));
	}
	ask_close(asker);
}

static int del_all(struct desk *desk, struct request *request)
{
	size_t known = 0;
	char text[TARGET_TEXT];
	int code;

	for (size_t i = 0; i < request->count; i++) {
		int error = del_one(desk, request->origin, &request->targets[i]);

		if (error)
			return cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error));
		known += request->targets[i].known;
		if (!request->targets[i].known && request->strict)
			return cli_fail(desk->cli, EXIT_FAILED,
					"%s: there is no such entry (--strict); nothing was changed",
					target_format(&request->targets[i], text));
	}
	code = desk_commit(desk, "del", NULL);
	if (code)
		return code;
	for (size_t i = 0; i < request->count && request->count <= SAID_MOST; i++)
		desk_say(desk, "%s %s", request->targets[i].known ? "removed" : "no entry for",
			 target_format(&request->targets[i], text));
	if (request->count > SAID_MOST)
		desk_say(desk, "removed %zu of %zu", known, request->count);
	still_blocked(desk, request);
	return 0;
}

static int do_del(struct cli *cli, int argc, char **argv)
{
	struct request request;
	struct desk desk;
	int code = request_read(cli, TAKES_ORIGIN | TAKES_STRICT | TAKES_ADDRESSES, argc, argv,
				&request);

	if (!code) {
		code = desk_open(cli, &desk);
		if (!code)
			code = del_all(&desk, &request);
		code = desk_close(&desk, code);
	}
	request_free(&request);
	return code;
}

/* ---------------------------------------------------------------- flush */

static int flush_ban(const struct prefix *prefix, const struct gate25_overlay_slot *slot, void *context)
{
	(void)slot;
	return desk_drop_ban(context, prefix);
}

static int flush_all(struct desk *desk, const char *origin)
{
	size_t index = 0, flushed = 0;
	int error = 0, code;

	while (!error && index < journal_count(desk->journal)) {
		const struct entry *entry = journal_at(desk->journal, index);

		if (entry->kind == ENTRY_ALLOW || strcmp(entry->origin, origin)) {
			index++;
			continue;
		}
		json_array_append_new(desk->results, entry_json(entry));
		error = desk_del(desk, entry);
		flushed++;
	}
	if (!error && !strcmp(origin, ORIGIN_AUTO)) {
		error = desk_each_ban(desk, flush_ban, desk);
		flushed += desk->bans_count;
	}
	if (error)
		return cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error));
	code = desk_commit(desk, "flush", NULL);
	if (!code)
		desk_say(desk, "removed %zu entries of %s", flushed, origin);
	return code;
}

static int do_flush(struct cli *cli, int argc, char **argv)
{
	struct request request;
	struct desk desk;
	int code = request_read(cli, TAKES_ORIGIN, argc, argv, &request);

	if (!code && !request.origin)
		code = cli_fail(cli, EXIT_USAGE, "whose entries? --origin NAME is wanted");
	if (!code) {
		code = desk_open(cli, &desk);
		if (!code)
			code = flush_all(&desk, request.origin);
		code = desk_close(&desk, code);
	}
	request_free(&request);
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
	  "  --strict          fail if it is there already\n"
	  "  -                 read addresses from standard input, all or nothing\n",
	  do_add },
	{ "del", "ADDR[/LEN]…|- [--origin NAME] [--strict]", "remove blocks and bans of exactly these",
	  "  --origin NAME     only those of this origin\n"
	  "  --strict          fail if there is no such entry\n",
	  do_del },
	{ "flush", "--origin NAME", "remove all blocks of an origin (auto: automatic bans)", NULL,
	  do_flush },
	{ "unblock", "ADDR [--for 24h]", "do what it takes to let an address in",
	  "  --for TIME        how long it is allowed where lists block it (default 24h)\n", do_unblock },
	{ "allow", "add ADDR[/LEN]…|- | del ADDR[/LEN]…|- | list", "manual allow entries",
	  "  --for, --until, --reason, --service as for add\n", do_allow },
	{ "list", "[--origin NAME] [--limit N]", "show manual entries and bans", NULL, do_list },
	{ NULL, NULL, NULL, NULL, NULL },
};
