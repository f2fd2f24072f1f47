// SPDX-License-Identifier: GPL-2.0-only
/*
 * unblock: what it takes to let one address in.
 *
 * In: an address. Out: what was done on stderr, how it stands then on stdout, one record of
 * changes. Exact manual blocks and covering bans go, what the source has used up is forgotten;
 * where that is not enough, a manual allow entry for a day. A wider manual entry is left alone: it
 * is about others too.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "bpf/source.h"
#include "user/ask.h"
#include "user/cmd_entries.h"
#include "user/print.h"

#define UNBLOCK_S (24 * 3600)

int ask_any_service(struct asker *asker, const struct gate25_source *source, struct answer *out)
{
	__u32 services = ask_generation(asker)->services;
	int first = ask_service(asker), slot = first;
	int error = ask_verdict(asker, source, first, out);

	for (int other = 0; !error && out->verdict == GATE25_PASS && other < GATE25_SERVICES;
	     other++) {
		if (!(services >> other & 1) || other == first)
			continue;
		error = ask_verdict(asker, source, other, out);
		slot = out->verdict == GATE25_PASS ? first : other;
	}
	return error ? error : ask_address(asker, source, slot, out);
}

struct unblocking {
	struct desk desk;
	struct request request;
	struct asker *asker;
	const struct prefix *prefix;
	struct answer answer;
};

/* ---------------------------------------------------------------- what goes */

static int ban_drop(const struct prefix *ban, const struct gate25_overlay_slot *slot, void *context)
{
	struct unblocking *unblocking = context;
	char text[PREFIX_TEXT];

	(void)slot;
	if (!prefix_covers(ban, unblocking->prefix))
		return 0;
	cli_note("removed the automatic ban of %s", prefix_format(ban, text));
	return desk_drop_ban(&unblocking->desk, ban);
}

static int unblock_stage(struct unblocking *unblocking)
{
	static const enum entry_kind kinds[] = { ENTRY_BLOCK, ENTRY_FORCED };
	struct desk *desk = &unblocking->desk;
	int error = desk_target(desk, unblocking->prefix);
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < 2; i++) {
		const struct entry *entry;

		while (!error &&
		       (entry = journal_find(desk->journal, unblocking->prefix, kinds[i], NULL))) {
			cli_note("removed the manual block of %s (%s)",
				 prefix_format(unblocking->prefix, text), entry->origin);
			error = desk_del(desk, entry);
		}
	}
	return error ? error : desk_each_ban(desk, ban_drop, unblocking);
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

/* ---------------------------------------------------------------- what is added */

static int unblock_allow(struct unblocking *unblocking, struct entry *entry)
{
	const struct request *request = &unblocking->request;
	struct desk *desk = &unblocking->desk;
	int error;

	*entry = (struct entry){ .prefix = *unblocking->prefix, .kind = ENTRY_ALLOW };
	entry->origin = ORIGIN_MANUAL;
	entry->reason = request->reason ? request->reason : "unblock";
	entry->services = "";
	entry->added_s = time(NULL);
	entry->expires_s = entry->added_s + (request->for_s ? request->for_s : UNBLOCK_S);
	error = desk_put(desk, entry);
	return error ? desk_failed(desk, error) : desk_apply(desk);
}

static int unblock_ask(struct unblocking *unblocking)
{
	int error = ask_any_service(unblocking->asker, &unblocking->prefix->address,
				    &unblocking->answer);

	return error ? desk_failed(&unblocking->desk, error) : 0;
}

static int unblock_look(struct unblocking *unblocking, struct entry *allow)
{
	struct desk *desk = &unblocking->desk;
	int error = ask_open(desk->cli->config, desk->guard, &unblocking->asker), code;

	if (error == -ENOENT) /* on no interface, so it is not blocked; ask_open() has said so */
		return 0;
	if (error == -ENODATA) { /* he may be blocked: what can be done is done */
		code = unblock_allow(unblocking, allow);
		if (!code)
			cli_note("a manual allow entry lets him in; whether he was blocked cannot "
				 "be read");
		return code ? code : EXIT_FAILED;
	}
	if (error)
		return desk_failed(desk, error);
	budget_forget(desk->guard, ask_generation(unblocking->asker), &unblocking->prefix->address);
	code = unblock_ask(unblocking);
	if (code || unblocking->answer.verdict == GATE25_PASS)
		return code;
	code = unblock_allow(unblocking, allow);
	return code ? code : unblock_ask(unblocking);
}

static int unblock_all(struct unblocking *unblocking)
{
	struct desk *desk = &unblocking->desk;
	struct entry allow = { .kind = ENTRY_KINDS };
	char line[ANSWER_TEXT];
	int error = unblock_stage(unblocking);
	int code = error ? desk_failed(desk, error) : desk_apply(desk);

	if (code)
		return code;
	if (desk->guard)
		code = unblock_look(unblocking, &allow);
	desk_record(desk, "unblock", allow.kind == ENTRY_ALLOW ? terms_json(&allow) : NULL);
	if (code || !unblocking->asker)
		return code;
	json_array_append_new(desk->results, answer_json(&unblocking->answer));
	cli_say(desk->cli, "%s", answer_line(&unblocking->answer, line));
	return unblocking->answer.verdict == GATE25_PASS ? 0 : EXIT_FAILED;
}

int do_unblock(struct cli *cli, int argc, char **argv)
{
	struct unblocking unblocking = { 0 };
	int code = request_read(cli, TAKES_FOR | TAKES_ADDRESS | TAKES_REASON, argc, argv,
				&unblocking.request);

	if (!code) {
		unblocking.prefix = &unblocking.request.targets[0].prefix;
		code = desk_open(cli, &unblocking.desk);
		unblocking.desk.lets_in = true;
		if (!code)
			code = unblock_all(&unblocking);
		code = desk_close(&unblocking.desk, code);
	}
	ask_close(unblocking.asker);
	request_free(&unblocking.request);
	return code;
}
