// SPDX-License-Identifier: GPL-2.0-only
/*
 * allow: who is let in by hand.
 *
 * In: addresses from the command line or standard input. Out: a line for each entry, what blocks a
 * part of it all the same, and one record of changes. An allow entry ends the automatic bans inside
 * it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "user/cmd_entries.h"
#include "user/print.h"

struct allowing {
	struct desk desk;
	struct request request;
};

static int ban_drop(const struct prefix *ban, const struct gate25_overlay_slot *slot, void *context)
{
	struct allowing *allowing = context;
	const struct request *request = &allowing->request;

	(void)slot;
	for (size_t i = 0; i < request->count; i++)
		if (prefix_covers(&request->targets[i].prefix, ban))
			return desk_drop_ban(&allowing->desk, ban);
	return 0;
}

static void entry_of_request(const struct request *request, struct entry *out)
{
	*out = (struct entry){ .kind = ENTRY_ALLOW, .origin = ORIGIN_MANUAL };
	out->reason = request->reason ? request->reason : "";
	out->services = request->services ? request->services : "";
	out->added_s = time(NULL);
	out->expires_s = request->expires_s;
}

static int allow_stage(struct allowing *allowing, struct entry *entry)
{
	struct request *request = &allowing->request;
	int error = 0;

	for (size_t i = 0; i < request->count && !error; i++) {
		struct target *target = &request->targets[i];

		entry->prefix = target->prefix;
		target->known = journal_find(allowing->desk.journal, &entry->prefix, ENTRY_ALLOW,
					     entry->origin);
		error = desk_put(&allowing->desk, entry);
	}
	return error ? error : desk_each_ban(&allowing->desk, ban_drop, allowing);
}

/* A longer forced block wins over it; manual blocks lie in its shadow from now on. */
static void allow_hints(const struct desk *desk, const struct prefix *prefix)
{
	char text[PREFIX_TEXT], inner[PREFIX_TEXT], blocks_text[64];
	const struct entry *forced = NULL;
	size_t blocks = 0;

	for (size_t i = 0; i < journal_count(desk->journal); i++) {
		const struct entry *entry = journal_at(desk->journal, i);

		if (!prefix_covers(prefix, &entry->prefix))
			continue;
		blocks += entry->kind == ENTRY_BLOCK;
		if (entry->kind == ENTRY_FORCED && entry->prefix.length > prefix->length)
			forced = entry;
	}
	prefix_format(prefix, text);
	if (blocks)
		cli_note("%s in %s without effect now: gate25 list",
			 count_format(blocks, "manual block is", "manual blocks are", blocks_text),
			 text);
	if (forced)
		cli_note("of %s, %s stays blocked (forced manual block)", text,
			 prefix_format(&forced->prefix, inner));
}

static void allow_say(struct allowing *allowing, const struct target *target)
{
	struct desk *desk = &allowing->desk;
	const struct entry *entry =
		journal_find(desk->journal, &target->prefix, ENTRY_ALLOW, ORIGIN_MANUAL);
	char text[PREFIX_TEXT], terms[TERMS_TEXT];
	json_t *result;

	if (!entry)
		return; /* it is over already */
	result = entry_json(entry);
	json_object_set_new(result, "refreshed", json_boolean(target->known));
	json_array_append_new(desk->results, result);
	if (allowing->request.count > SAID_MOST)
		return;
	cli_say(desk->cli, "%s %s%s", target->known ? "refreshed" : "allowed",
		prefix_format(&entry->prefix, text),
		terms_format(entry->services, entry->expires_s, terms));
	allow_hints(desk, &target->prefix);
}

static int allow_all(struct allowing *allowing)
{
	struct request *request = &allowing->request;
	struct desk *desk = &allowing->desk;
	struct entry entry;
	size_t bans;
	char text[64];
	int code = desk_services(desk, request->services), error;

	for (size_t i = 0; i < request->count && !code; i++)
		if (!request->targets[i].prefix.length)
			code = cli_fail(desk->cli, EXIT_FAILED,
					"that is everybody: gate25 pause lets everybody in");
	if (code)
		return code;
	entry_of_request(request, &entry);
	error = allow_stage(allowing, &entry);
	if (error)
		return desk_failed(desk, error);
	bans = desk->bans_count;
	code = desk_commit(desk, "allow add", terms_json(&entry));
	for (size_t i = 0; i < request->count && !code; i++)
		allow_say(allowing, &request->targets[i]);
	if (!code && request->count > SAID_MOST)
		cli_say(desk->cli, "allowed %zu addresses and networks", request->count);
	if (!code && bans)
		cli_note("%s ended", count_format(bans, "automatic ban", "automatic bans", text));
	return code;
}

static int do_allow_add(struct cli *cli, int argc, char **argv)
{
	struct allowing allowing = { 0 };
	int code = request_read(cli, TAKES_TIME | TAKES_REASON | TAKES_SERVICE | TAKES_ADDRESSES,
				argc, argv, &allowing.request);

	if (!code) {
		code = desk_open(cli, &allowing.desk);
		allowing.desk.lets_in = true;
		if (!code)
			code = allow_all(&allowing);
		code = desk_close(&allowing.desk, code);
	}
	request_free(&allowing.request);
	return code;
}

int do_allow(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct cli *cli, int argc, char **argv);
	} words[] = {
		{ "add", do_allow_add },
		{ "del", do_allow_del },
		{ "list", do_allow_list },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(argv[1], words[i].name))
			return words[i].run(cli, argc - 1, argv + 1);
	return cli_fail(cli, EXIT_USAGE, "one of add, del and list is wanted");
}
