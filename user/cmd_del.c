// SPDX-License-Identifier: GPL-2.0-only
/*
 * del, allow del, flush: entries that go.
 *
 * In: addresses from the command line or standard input, or an origin. Out: a line for each, what
 * blocks it all the same, and one record of changes. A batch is applied whole or not at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/ask.h"
#include "user/cmd_entries.h"
#include "user/print.h"

/* ---------------------------------------------------------------- del */

/* What a command removes. */
struct removal {
	const char *action; /* of the record of changes */
	unsigned int takes;
	bool kinds[ENTRY_KINDS];
	bool bans;
	const char *blocked; /* "ADDR … : why" of an address that is blocked afterwards */
};

struct deleting {
	const struct removal *removal;
	struct desk desk;
	struct request request;
	struct asker *asker; /* NULL: not loaded */
	size_t known, blocked;
};

/* Entries of exactly this prefix; of any origin where none is asked for. */
static int del_stage(struct deleting *deleting, struct target *target)
{
	const char *origin = deleting->request.origin;
	struct desk *desk = &deleting->desk;
	int error = 0;

	for (enum entry_kind kind = 0; kind < ENTRY_KINDS; kind++) {
		const struct entry *entry;

		while (!error && deleting->removal->kinds[kind] &&
		       (entry = journal_find(desk->journal, &target->prefix, kind, origin))) {
			target->known = true;
			error = desk_del(desk, entry);
		}
	}
	if (!error && deleting->removal->bans && (!origin || !strcmp(origin, ORIGIN_AUTO))) {
		error = desk_drop_ban(desk, &target->prefix);
		target->known |= !error;
		error = error == -ENOENT ? 0 : error;
	}
	return error;
}

static int del_all(struct deleting *deleting)
{
	const struct request *request = &deleting->request;
	char text[TARGET_TEXT];

	for (size_t i = 0; i < request->count; i++) {
		struct target *target = &request->targets[i];
		int error = del_stage(deleting, target);

		if (error)
			return desk_failed(&deleting->desk, error);
		if (!target->known && request->strict)
			return cli_fail(deleting->desk.cli, EXIT_FAILED,
					"there is no entry %s (--strict); nothing was changed",
					target_format(target, text));
		deleting->known += target->known;
	}
	return desk_commit(&deleting->desk, deleting->removal->action, NULL);
}

/* Of a network, its first address is asked. */
static bool del_blocked(struct deleting *deleting, const struct prefix *prefix,
			char why[static ANSWER_TEXT])
{
	struct answer answer;

	why[0] = '\0';
	if (!deleting->asker || ask_any_service(deleting->asker, &prefix->address, &answer) ||
	    answer.verdict == GATE25_PASS)
		return false;
	answer_why(&answer, why);
	deleting->blocked++;
	return true;
}

static void del_say(struct deleting *deleting, const struct target *target)
{
	struct cli *cli = deleting->desk.cli;
	char text[PREFIX_TEXT], why[ANSWER_TEXT];
	bool blocked = del_blocked(deleting, &target->prefix, why);

	prefix_format(&target->prefix, text);
	json_array_append_new(deleting->desk.results,
			      json_pack("{s:s, s:b, s:b, s:s}", "address", text, "removed",
					target->known, "blocked", blocked, "why", why));
	if (deleting->request.count > SAID_MOST)
		return;
	if (target->known)
		cli_say(cli, "removed %s", text);
	else
		cli_note("there was no entry %s", text);
	if (blocked)
		cli_note("%s %s blocked: %s", text, deleting->removal->blocked, why);
}

static void del_say_all(struct deleting *deleting)
{
	const struct request *request = &deleting->request;

	if (deleting->desk.guard &&
	    ask_open(deleting->desk.cli->config, deleting->desk.guard, &deleting->asker))
		deleting->asker = NULL; /* loaded, but on no interface: nothing is blocked */
	for (size_t i = 0; i < request->count; i++)
		del_say(deleting, &request->targets[i]);
	if (request->count <= SAID_MOST)
		return;
	cli_say(deleting->desk.cli, "removed %zu of %zu", deleting->known, request->count);
	if (deleting->blocked)
		cli_note("%zu of them are blocked all the same: gate25 test tells by what",
			 deleting->blocked);
}

static int del_run(struct cli *cli, int argc, char **argv, const struct removal *removal)
{
	struct deleting deleting = { .removal = removal };
	int code = request_read(cli, removal->takes, argc, argv, &deleting.request);

	if (!code) {
		code = desk_open(cli, &deleting.desk);
		if (!code)
			code = del_all(&deleting);
		if (!code)
			del_say_all(&deleting);
		code = desk_close(&deleting.desk, code);
	}
	ask_close(deleting.asker);
	request_free(&deleting.request);
	return code;
}

int do_del(struct cli *cli, int argc, char **argv)
{
	static const struct removal removal = {
		.action = "del",
		.takes = TAKES_ORIGIN | TAKES_STRICT | TAKES_ADDRESSES,
		.kinds = { [ENTRY_BLOCK] = true, [ENTRY_FORCED] = true },
		.bans = true,
		.blocked = "stays",
	};

	return del_run(cli, argc, argv, &removal);
}

int do_allow_del(struct cli *cli, int argc, char **argv)
{
	static const struct removal removal = {
		.action = "allow del",
		.takes = TAKES_STRICT | TAKES_ADDRESSES,
		.kinds = { [ENTRY_ALLOW] = true },
		.blocked = "is now",
	};

	return del_run(cli, argc, argv, &removal);
}

/* ---------------------------------------------------------------- flush */

static int flush_ban(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
		     void *context)
{
	(void)slot;
	return desk_drop_ban(context, prefix);
}

/* A copy of who is to go: the journal's order is made anew after each removal. */
static const struct entry **flush_find(const struct journal *journal, const char *origin,
				       size_t *count)
{
	const struct entry **found =
		calloc(journal_count(journal) + 1, sizeof(const struct entry *));

	*count = 0;
	for (size_t i = 0; found && i < journal_count(journal); i++) {
		const struct entry *entry = journal_at(journal, i);

		if (entry->kind != ENTRY_ALLOW && !strcmp(entry->origin, origin))
			found[(*count)++] = entry;
	}
	return found;
}

static int flush_stage(struct desk *desk, const char *origin)
{
	size_t count;
	const struct entry **found = flush_find(desk->journal, origin, &count);
	int error = found ? 0 : -ENOMEM;

	for (size_t i = 0; !error && i < count; i++)
		error = desk_del(desk, found[i]);
	free(found);
	if (!error && !strcmp(origin, ORIGIN_AUTO))
		error = desk_each_ban(desk, flush_ban, desk);
	return error;
}

static int flush_all(struct desk *desk, const char *origin)
{
	int error = flush_stage(desk, origin), code;
	size_t flushed;
	char text[64];

	if (error)
		return desk_failed(desk, error);
	flushed = json_array_size(desk->targets);
	for (size_t i = 0; i < flushed; i++)
		json_array_append_new(desk->results,
				      json_pack("{s:O, s:b}", "address",
						json_array_get(desk->targets, i), "removed", 1));
	code = desk_commit(desk, "flush", NULL);
	if (code)
		json_array_clear(desk->results);
	else
		cli_say(desk->cli, "removed %s of %s",
			count_format(flushed, "entry", "entries", text), origin);
	return code;
}

int do_flush(struct cli *cli, int argc, char **argv)
{
	struct request request;
	struct desk desk;
	int code = request_read(cli, TAKES_ORIGIN, argc, argv, &request);

	if (!code && !request.origin) {
		code = cli_fail(cli, EXIT_USAGE, "whose entries? --origin NAME is wanted");
	} else if (!code) {
		code = desk_open(cli, &desk);
		if (!code)
			code = flush_all(&desk, request.origin);
		code = desk_close(&desk, code);
	}
	request_free(&request);
	return code;
}
