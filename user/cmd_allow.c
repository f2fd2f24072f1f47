// SPDX-License-Identifier: GPL-2.0-only
/*
 * allow, unblock, list: who is let in by hand, and what there is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bpf/source.h"
#include "user/ask.h"
#include "user/cmd_entries.h"
#include "user/print.h"

#define UNBLOCK_S (24 * 3600)

/* ---------------------------------------------------------------- allow */

struct covering {
	struct desk *desk;
	const struct prefix *prefix;
	bool inside; /* bans inside the prefix; else those that cover it */
};

static int ban_drop(const struct prefix *ban, const struct gate25_overlay_slot *slot, void *context)
{
	struct covering *covering = context;

	(void)slot;
	if (covering->inside ? prefix_covers(covering->prefix, ban) :
			       prefix_covers(ban, covering->prefix))
		return desk_drop_ban(covering->desk, ban);
	return 0;
}

/* An allow entry ends the bans inside it. */
static int allow_put(struct desk *desk, const struct request *request, const struct prefix *prefix,
		     __u64 expires_s)
{
	struct covering covering = { desk, prefix, true };
	struct entry entry = { .prefix = *prefix, .kind = ENTRY_ALLOW, .expires_s = expires_s };
	int error;

	entry.origin = ORIGIN_MANUAL;
	entry.reason = request->reason ? request->reason : "";
	entry.services = request->services ? request->services : "";
	entry.added_s = time(NULL);
	error = desk_put(desk, &entry);
	return error ? error : desk_each_ban(desk, ban_drop, &covering);
}

static int allow_apply(struct desk *desk, struct request *request, bool add)
{
	char text[TARGET_TEXT], terms[TERMS_TEXT];
	int code, error = 0;

	for (size_t i = 0; i < request->count && !error; i++) {
		struct target *target = &request->targets[i];
		const struct entry *entry =
			journal_find(desk->journal, &target->prefix, ENTRY_ALLOW, NULL);

		target->known = entry != NULL;
		if (add)
			error = allow_put(desk, request, &target->prefix, request->expires_s);
		else if (entry)
			error = desk_del(desk, entry);
	}
	if (error)
		return cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error));
	code = desk_commit(desk, add ? "allow add" : "allow del", NULL);
	for (size_t i = 0; i < request->count && !code; i++) {
		const struct target *target = &request->targets[i];
		const struct entry *entry =
			journal_find(desk->journal, &target->prefix, ENTRY_ALLOW, NULL);

		target_format(target, text);
		if (entry)
			json_array_append_new(desk->results, entry_json(entry));
		if (add && entry)
			desk_say(desk, "allowed %s%s", text,
				 terms_format(entry->services, entry->expires_s, terms));
		else
			desk_say(desk, "%s %s", target->known ? "removed" : "no entry for", text);
	}
	return code;
}

static int allow_change(struct cli *cli, int argc, char **argv, bool add)
{
	unsigned int takes = TAKES_ADDRESSES |
			     (add ? TAKES_TIME | TAKES_REASON | TAKES_SERVICE : TAKES_STRICT);
	struct request request;
	struct desk desk;
	int code = request_read(cli, takes, argc, argv, &request);

	if (!code) {
		code = desk_open(cli, &desk);
		if (!code && request.services)
			code = desk_services(&desk, request.services);
		if (!code)
			code = allow_apply(&desk, &request, add);
		code = desk_close(&desk, code);
	}
	request_free(&request);
	return code;
}

/* ---------------------------------------------------------------- list */

static int ban_row(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
		   void *context)
{
	char text[PREFIX_TEXT], expires[32];

	json_array_append_new(context,
			      json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "address",
					prefix_format(prefix, text), "kind", "ban", "origin",
					ORIGIN_AUTO, "services", "", "expires",
					time_format(overlay_time_s(slot->expires_ns), expires),
					"reason", "", "shadowed", 0));
	return 0;
}

static bool is_shadowed(const struct allowed *allowed, const struct entry *entry)
{
	char by[ALLOWED_TEXT];

	return entry->kind == ENTRY_BLOCK && (allowed_services(allowed, &entry->prefix, by) &
					      allowed_mask(allowed, entry->services));
}

static int list_rows(struct desk *desk, const struct request *request, bool allow, json_t *rows)
{
	struct allowed *allowed = NULL;
	int error = allowed_open(desk->guard, desk->journal, &allowed);

	if (error)
		return error;
	for (size_t i = 0; i < journal_count(desk->journal); i++) {
		const struct entry *entry = journal_at(desk->journal, i);
		json_t *row;

		if ((request->origin && strcmp(entry->origin, request->origin)) ||
		    (allow && entry->kind != ENTRY_ALLOW))
			continue;
		row = entry_json(entry);
		json_object_set_new(row, "shadowed", json_boolean(is_shadowed(allowed, entry)));
		json_array_append_new(rows, row);
	}
	allowed_close(allowed);
	if (!allow && (!request->origin || !strcmp(request->origin, ORIGIN_AUTO)))
		error = desk_each_ban(desk, ban_row, rows);
	return error;
}

static int list_print(struct cli *cli, int argc, char **argv, bool allow)
{
	static const struct column columns[] = {
		{ "address", "ADDRESS", false },   { "kind", "KIND", false },
		{ "origin", "ORIGIN", false },	   { "services", "SERVICES", false },
		{ "expires", "EXPIRES", false },   { "reason", "REASON", false },
		{ "shadowed", "SHADOWED", false },
	};
	struct request request;
	struct desk desk;
	int code = request_read(cli, TAKES_ORIGIN | TAKES_LIMIT, argc, argv, &request), error;

	if (code)
		goto out;
	code = desk_open(cli, &desk);
	if (!code) {
		error = list_rows(&desk, &request, allow, desk.results);
		code = error ? cli_fail(cli, cli_exit_code(error), "%s", strerror(-error)) : 0;
	}
	while (request.limit && json_array_size(desk.results) > request.limit)
		json_array_remove(desk.results, json_array_size(desk.results) - 1);
	if (!code && !cli->json)
		print_results(false, json_incref(desk.results), columns,
			      sizeof(columns) / sizeof(columns[0]));
	code = desk_close(&desk, code);
out:
	request_free(&request);
	return code;
}

int do_list(struct cli *cli, int argc, char **argv)
{
	return list_print(cli, argc, argv, false);
}

int do_allow(struct cli *cli, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "add"))
		return allow_change(cli, argc - 1, argv + 1, true);
	if (argc > 1 && !strcmp(argv[1], "del"))
		return allow_change(cli, argc - 1, argv + 1, false);
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list_print(cli, argc - 1, argv + 1, true);
	return cli_fail(cli, EXIT_USAGE, "add, del or list is wanted");
}

/* ---------------------------------------------------------------- unblock */

static int unblock_clear(struct desk *desk, const struct prefix *prefix)
{
	static const enum entry_kind kinds[] = { ENTRY_BLOCK, ENTRY_FORCED };
	struct covering covering = { desk, prefix, false };
	int error = 0;

	for (size_t i = 0; i < 2; i++) {
		const struct entry *entry;

		while (!error && (entry = journal_find(desk->journal, prefix, kinds[i], NULL)))
			error = desk_del(desk, entry);
	}
	if (!error)
		error = desk_each_ban(desk, ban_drop, &covering);
	return error ? cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error)) :
		       desk_commit(desk, "unblock", NULL);
}

/* Asks the maps; budgets that are spent count as blocked too. */
static int unblock_ask(struct desk *desk, const struct prefix *prefix, struct asker **asker,
		       struct answer *answer)
{
	int error = *asker ? 0 : ask_open(desk->cli->config, desk->guard, asker);

	if (!error)
		error = ask_address(*asker, &prefix->address, ask_service(*asker), answer);
	return error ? cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error)) : 0;
}

/* What the source itself has used up, in both ledgers; what its network has is others' debt too. */
static void budget_forget(struct guard *guard, const struct gate25_generation *generation,
			  const struct gate25_source *source)
{
	const struct gate25_limit *limit = &generation->settings.limits[GATE25_SCOPE_SOURCE];

	for (__u32 observe = 0; observe <= 1; observe++) {
		__u64 hash = source_hash(guard->secret->siphash, source, limit, GATE25_SCOPE_SOURCE,
					 observe);
		__u32 line = source_line(hash, generation->settings.source_lines);

		for (int i = 0; line < guard->source_lines && i < GATE25_SOURCE_WORDS; i++) {
			__u64 *word = &guard->sources[line].words[i];
			__u64 before = __atomic_load_n(word, __ATOMIC_RELAXED);

			while (before >> SOURCE_TIME_BITS == source_tag(hash) &&
			       !__atomic_compare_exchange_n(word, &before, 0, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				;
		}
	}
}

static int unblock_all(struct desk *desk, const struct request *request)
{
	const struct prefix *prefix = &request->targets[0].prefix;
	__u64 expires_s = time(NULL) + (request->for_s ? request->for_s : UNBLOCK_S);
	struct asker *asker = NULL;
	struct answer answer;
	char line[ANSWER_TEXT];
	int code = unblock_clear(desk, prefix), error;

	if (code || !desk->guard)
		return code;
	code = unblock_ask(desk, prefix, &asker, &answer);
	if (!code) {
		budget_forget(desk->guard, ask_generation(asker), &answer.source);
		code = unblock_ask(desk, prefix, &asker, &answer);
	}
	if (!code && answer.verdict != GATE25_PASS) {
		error = allow_put(desk, request, prefix, expires_s);
		code = error ? cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error)) :
			       desk_commit(desk, "unblock", NULL);
		if (!code)
			code = unblock_ask(desk, prefix, &asker, &answer);
	}
	if (!code) {
		json_array_append_new(desk->results, answer_json(&answer));
		desk_say(desk, "%s", answer_line(&answer, line));
		code = answer.verdict == GATE25_PASS ? 0 : EXIT_FAILED;
	}
	ask_close(asker);
	return code;
}

int do_unblock(struct cli *cli, int argc, char **argv)
{
	struct request request;
	struct desk desk;
	int code =
		request_read(cli, TAKES_FOR | TAKES_ADDRESS | TAKES_REASON, argc, argv, &request);

	if (!code) {
		code = desk_open(cli, &desk);
		if (!code)
			code = unblock_all(&desk, &request);
		code = desk_close(&desk, code);
	}
	request_free(&request);
	return code;
}
