// SPDX-License-Identifier: GPL-2.0-only
/*
 * list, allow list: the manual entries, and the automatic bans, which stand in the map alone.
 *
 * In: the journal and the overlay, without the lock: nobody has to wait to look. Out: a table, or
 * JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd_entries.h"
#include "user/print.h"

struct ban {
	struct prefix prefix;
	struct gate25_overlay_slot slot;
};

struct listing {
	struct desk desk;
	struct request request;
	struct allowed *allowed;
	bool only_allow;
	struct ban *bans; /* sorted */
	size_t count, room;
};

/* ---------------------------------------------------------------- bans */

static int ban_note(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
		    void *context)
{
	struct listing *listing = context;

	if (listing->count == listing->room) {
		size_t room = listing->room ? 2 * listing->room : 64;
		struct ban *more = realloc(listing->bans, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		listing->bans = more;
		listing->room = room;
	}
	listing->bans[listing->count++] = (struct ban){ *prefix, *slot };
	return 0;
}

static int ban_compare(const void *a, const void *b)
{
	return prefix_compare(&((const struct ban *)a)->prefix, &((const struct ban *)b)->prefix);
}

static int bans_read(struct listing *listing)
{
	const char *origin = listing->request.origin;
	int error;

	if (listing->only_allow || (origin && strcmp(origin, ORIGIN_AUTO) != 0))
		return 0;
	error = desk_each_ban(&listing->desk, ban_note, listing);
	if (!error && listing->count)
		qsort(listing->bans, listing->count, sizeof(*listing->bans), ban_compare);
	return error;
}

/* Names of services by slot, as an entry has them: "" for all that are in use. */
static void ban_services(const struct listing *listing, const struct ban *ban,
			 char text[static ENTRY_SERVICES])
{
	const struct gate25_names *names = listing->desk.guard->names;
	size_t used = 0;
	bool all = true;

	text[0] = '\0';
	for (int slot = 0; slot < GATE25_SERVICES; slot++) {
		const char *name = names->services[slot];

		if (!name[0])
			continue;
		all &= ban->slot.services >> slot & 1;
		if (ban->slot.services >> slot & 1)
			used += snprintf(text + used, ENTRY_SERVICES - used, "%s%.*s",
					 used ? "," : "", GATE25_NAME - 1, name);
	}
	if (all)
		text[0] = '\0';
}

/* ---------------------------------------------------------------- rows */

static void row_add(struct listing *listing, const struct entry *entry, const char *kind)
{
	char by[ALLOWED_TEXT] = "";
	json_t *row = entry_json(entry);

	json_object_set_new(row, "kind", json_string(kind));
	if (!entry->added_s) /* nobody wrote down when a ban was made */
		json_object_set_new(row, "added", json_null());
	json_object_set_new(row, "shadowed",
			    json_boolean(allowed_shadows(listing->allowed, entry, by)));
	json_object_set_new(row, "shadowed_by", json_string(by));
	json_array_append_new(listing->desk.results, row);
}

static void ban_row(struct listing *listing, const struct ban *ban)
{
	char services[ENTRY_SERVICES];
	struct entry entry = {
		.prefix = ban->prefix,
		.kind = ENTRY_BLOCK, /* it ranks like one where somebody is allowed */
		.origin = ORIGIN_AUTO,
		.reason = "",
		.services = services,
		.expires_s = overlay_time_s(ban->slot.expires_ns),
	};

	ban_services(listing, ban, services);
	row_add(listing, &entry, "ban");
}

static bool is_full(const struct listing *listing)
{
	return listing->request.limit &&
	       json_array_size(listing->desk.results) >= listing->request.limit;
}

/* Journal and bans, merged in order. */
static void rows_make(struct listing *listing)
{
	const struct journal *journal = listing->desk.journal;
	const char *origin = listing->request.origin;
	size_t ban = 0;

	for (size_t i = 0; i < journal_count(journal) && !is_full(listing); i++) {
		const struct entry *entry = journal_at(journal, i);

		if ((origin && strcmp(entry->origin, origin) != 0) ||
		    (listing->only_allow && entry->kind != ENTRY_ALLOW))
			continue;
		while (ban < listing->count && !is_full(listing) &&
		       prefix_compare(&listing->bans[ban].prefix, &entry->prefix) < 0)
			ban_row(listing, &listing->bans[ban++]);
		if (!is_full(listing))
			row_add(listing, entry, kind_name(entry->kind));
	}
	while (ban < listing->count && !is_full(listing))
		ban_row(listing, &listing->bans[ban++]);
}

static int list_make(struct listing *listing)
{
	int error = allowed_open(listing->desk.guard, listing->desk.journal, &listing->allowed);

	if (!error)
		error = bans_read(listing);
	if (error)
		return desk_failed(&listing->desk, error);
	rows_make(listing);
	return 0;
}

static int list_run(struct cli *cli, int argc, char **argv, bool only_allow)
{
	static const struct column columns[] = {
		{ "address", "ADDRESS", false },      { "kind", "KIND", false },
		{ "origin", "ORIGIN", false },	      { "services", "SERVICES", false },
		{ "expires", "EXPIRES", false },      { "reason", "REASON", false },
		{ "shadowed_by", "SHADOWED", false },
	};
	struct listing listing = { .only_allow = only_allow };
	int code = request_read(cli, only_allow ? TAKES_LIMIT : TAKES_ORIGIN | TAKES_LIMIT, argc,
				argv, &listing.request);

	if (!code) {
		code = desk_look(cli, &listing.desk);
		if (!code)
			code = list_make(&listing);
		if (!code && !cli->json)
			print_results(false, json_incref(listing.desk.results), columns,
				      sizeof(columns) / sizeof(columns[0]));
		code = desk_close(&listing.desk, code);
	}
	allowed_close(listing.allowed);
	free(listing.bans);
	request_free(&listing.request);
	return code;
}

int do_list(struct cli *cli, int argc, char **argv)
{
	return list_run(cli, argc, argv, false);
}

int do_allow_list(struct cli *cli, int argc, char **argv)
{
	return list_run(cli, argc, argv, true);
}
