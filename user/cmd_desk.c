// SPDX-License-Identifier: GPL-2.0-only
/*
 * The open journal of a command: the lock, what is staged, what goes into the record of changes and
 * to stdout.
 *
 * Without a loaded guard the journal still takes changes, since they hold from the next load on;
 * the exit code then tells a script that nothing is in force.
 */
#include "user/cmd_entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/print.h"
#include "user/record.h"

#define BEFORE_MOST 1000 /* entries that a record shows as they were */

static int desk_start(struct cli *cli, struct desk *out)
{
	int code;

	*out = (struct desk){ .cli = cli };
	out->results = json_array();
	out->targets = json_array();
	out->before = json_array();
	if (!out->results || !out->targets || !out->before)
		return cli_fail(cli, EXIT_FAILED, "out of memory");
	code = cli_guard(cli);
	out->guard = code ? NULL : cli->guard;
	return code == EXIT_NOT_LOADED ? 0 : code;
}

int desk_open(struct cli *cli, struct desk *out)
{
	int code = cli_lock(cli), error;

	*out = (struct desk){ .cli = cli };
	if (!code)
		code = desk_start(cli, out);
	if (code)
		return code;
	error = journal_open(cli->config->state_dir, out->guard, &out->journal);
	return error ? cli_exit_code(error) : 0;
}

int desk_look(struct cli *cli, struct desk *out)
{
	int code = desk_start(cli, out), error;

	if (code)
		return code;
	error = journal_read(cli->config->state_dir, &out->journal);
	return error ? cli_exit_code(error) : 0;
}

int desk_close(struct desk *desk, int code)
{
	journal_close(desk->journal);
	json_decref(desk->targets);
	json_decref(desk->before);
	free(desk->bans);
	if (code == EXIT_DONE && desk->unkept)
		code = EXIT_FAILED;
	if (code == EXIT_DONE || json_array_size(desk->results) > 0)
		code = cli_results(desk->cli, desk->results, code);
	else
		json_decref(desk->results);
	return code == EXIT_DONE && !desk->guard ? EXIT_NOT_LOADED : code;
}

/* ---------------------------------------------------------------- services */

static bool service_known(const struct desk *desk, const char *name)
{
	if (desk->guard)
		return guard_service_slot(desk->guard, name, false) >= 0;
	return config_service_find(desk->cli->config, name) >= 0;
}

static void services_list(const struct desk *desk, char *text, size_t room)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < GATE25_SERVICES && used < room; i++) {
		const char *name = "";

		if (desk->guard)
			name = desk->guard->names->services[i];
		else if (i < (int)desk->cli->config->services_count)
			name = desk->cli->config->services[i].name;
		if (name[0])
			used += snprintf(text + used, room - used, "%s%s", used ? ", " : "", name);
	}
}

int desk_services(struct desk *desk, const char *services)
{
	char copy[ENTRY_SERVICES], known[ENTRY_SERVICES + 2 * GATE25_SERVICES];
	char *rest = copy, *name;
	int code = services && !desk->guard ? cli_config(desk->cli) : 0;

	if (!services || code)
		return code;
	snprintf(copy, sizeof(copy), "%s", services);
	while ((name = strsep(&rest, ",")) != NULL) {
		if (service_known(desk, name))
			continue;
		services_list(desk, known, sizeof(known));
		return cli_fail(desk->cli, EXIT_USAGE, "there is no service %s; there are: %s",
				name, known);
	}
	return 0;
}

/* ---------------------------------------------------------------- changes */

int desk_failed(const struct desk *desk, int error)
{
	return cli_fail(desk->cli, cli_exit_code(error), "%s", strerror(-error));
}

void desk_say_observed(const struct desk *desk)
{
	const struct gate25_control *control = desk->guard ? desk->guard->control : NULL;

	if (control && control->pause_until_ns > monotonic_ns())
		cli_note("but it is paused, and nobody is stopped: gate25 resume");
	else if (control && control->observe)
		cli_note("but the guard only observes, and nobody is stopped: gate25 policy "
			 "enforce");
}

int desk_target(struct desk *desk, const struct prefix *prefix)
{
	size_t count = json_array_size(desk->targets);
	const char *last = json_string_value(json_array_get(desk->targets, count - 1));
	char text[PREFIX_TEXT];

	prefix_format(prefix, text);
	if (last && !strcmp(last, text))
		return 0;
	return json_array_append_new(desk->targets, json_string(text)) ? -ENOMEM : 0;
}

static int note_before(struct desk *desk, const struct entry *entry)
{
	if (json_array_size(desk->before) >= BEFORE_MOST)
		return 0;
	return json_array_append_new(desk->before, entry_json(entry)) ? -ENOMEM : 0;
}

int desk_put(struct desk *desk, const struct entry *entry)
{
	const struct entry *before =
		journal_find(desk->journal, &entry->prefix, entry->kind, entry->origin);
	int error = before ? note_before(desk, before) : 0;

	if (!error)
		error = desk_target(desk, &entry->prefix);
	return error ? error : journal_put(desk->journal, entry);
}

int desk_del(struct desk *desk, const struct entry *entry)
{
	int error = note_before(desk, entry);

	if (!error)
		error = desk_target(desk, &entry->prefix);
	if (error)
		return error;
	return journal_del(desk->journal, &entry->prefix, entry->kind, entry->origin);
}

/* ---------------------------------------------------------------- automatic bans */

struct ban_walk {
	int (*each)(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
		    void *context);
	void *context;
	__u64 now_ns;
};

static int ban_step(const struct gate25_overlay_key *key, const struct gate25_overlay_entry *entry,
		    void *context)
{
	const struct gate25_overlay_slot *slot = &entry->slots[GATE25_SLOT_AUTO];
	const struct ban_walk *walk = context;
	struct prefix prefix = overlay_prefix(key);

	return slot->expires_ns > walk->now_ns ? walk->each(&prefix, slot, walk->context) : 0;
}

int desk_each_ban(const struct desk *desk,
		  int (*each)(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
			      void *context),
		  void *context)
{
	struct ban_walk walk = { each, context, monotonic_ns() };

	return desk->guard ? overlay_each(desk->guard, ban_step, &walk) : 0;
}

static int ban_before(struct desk *desk, const struct prefix *prefix,
		      const struct gate25_overlay_slot *slot)
{
	char address[PREFIX_TEXT], expires[32];
	json_t *before = json_pack("{s:s, s:s, s:s, s:s}", "address",
				   prefix_format(prefix, address), "kind", "ban", "origin",
				   ORIGIN_AUTO, "expires",
				   time_format(overlay_time_s(slot->expires_ns), expires));

	return json_array_append_new(desk->before, before) ? -ENOMEM : 0;
}

int desk_drop_ban(struct desk *desk, const struct prefix *prefix)
{
	struct gate25_overlay_entry entry;
	const struct gate25_overlay_slot *slot = &entry.slots[GATE25_SLOT_AUTO];
	int error = desk->guard ? overlay_get(desk->guard, prefix, &entry) : -ENOENT;

	if (error || slot->expires_ns <= monotonic_ns())
		return error ? error : -ENOENT;
	if (desk->bans_count == desk->bans_room) {
		size_t room = desk->bans_room ? 2 * desk->bans_room : 16;
		struct prefix *more = realloc(desk->bans, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		desk->bans = more;
		desk->bans_room = room;
	}
	desk->bans[desk->bans_count++] = *prefix;
	error = ban_before(desk, prefix, slot);
	return error ? error : desk_target(desk, prefix);
}

/* ---------------------------------------------------------------- the commit */

/* Who is let in at night is let in, whatever the disk thinks of it. */
static int entries_commit(struct desk *desk)
{
	int unkept = 0, error;

	if (!desk->lets_in)
		return journal_commit(desk->journal);
	error = journal_commit_anyway(desk->journal, &unkept);
	if (unkept && !desk->unkept)
		cli_fail(desk->cli, EXIT_FAILED,
			 "in force now, but not kept on disk (%s): the next load or restart undoes "
			 "it; "
			 "make %s writable, then say it again",
			 strerror(-unkept), desk->cli->config->state_dir);
	if (unkept)
		desk->unkept = unkept;
	return error;
}

int desk_apply(struct desk *desk)
{
	int error = entries_commit(desk), cleared = 0;

	if (error)
		return cli_fail(desk->cli, cli_exit_code(error), "nothing was changed");
	if (desk->bans_count)
		cleared = overlay_clear_slots(desk->guard, desk->bans, desk->bans_count,
					      GATE25_SLOT_AUTO);
	desk->bans_count = 0;
	if (cleared < 0)
		return cli_fail(
			desk->cli, cli_exit_code(cleared),
			"not all automatic bans could be dropped; the entries are as asked");
	return 0;
}

void desk_record(struct desk *desk, const char *action, json_t *after)
{
	if (json_array_size(desk->targets)) {
		record_change(desk->cli->config->state_dir, action, desk->targets,
			      json_array_size(desk->before) ? desk->before : NULL, after);
		if (!desk->guard)
			cli_note("it is kept, and holds from the next load on");
	}
	json_decref(after);
	json_array_clear(desk->targets);
	json_array_clear(desk->before);
}

int desk_commit(struct desk *desk, const char *action, json_t *after)
{
	int code = desk_apply(desk);

	if (code)
		json_decref(after);
	else
		desk_record(desk, action, after);
	return code;
}

/* ---------------------------------------------------------------- entries as text */

const char *kind_name(enum entry_kind kind)
{
	static const char *const names[ENTRY_KINDS] = {
		[ENTRY_ALLOW] = "allow",
		[ENTRY_BLOCK] = "block",
		[ENTRY_FORCED] = "forced",
	};

	return kind < ENTRY_KINDS ? names[kind] : "?";
}

json_t *entry_json(const struct entry *entry)
{
	char address[PREFIX_TEXT], added[32], expires[32];

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "address",
			 prefix_format(&entry->prefix, address), "kind", kind_name(entry->kind),
			 "origin", entry->origin, "services",
			 entry->services[0] ? entry->services : "all", "added",
			 time_format(entry->added_s, added), "expires",
			 time_format(entry->expires_s, expires), "reason", entry->reason);
}

json_t *terms_json(const struct entry *entry)
{
	char expires[32];

	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", kind_name(entry->kind), "origin",
			 entry->origin, "services", entry->services[0] ? entry->services : "all",
			 "expires", time_format(entry->expires_s, expires), "reason",
			 entry->reason);
}

const char *terms_format(const char *services, __u64 expires_s, char text[static TERMS_TEXT])
{
	char time[32];
	size_t used = 0;

	text[0] = '\0';
	if (services[0])
		used = snprintf(text, TERMS_TEXT, " for %s", services);
	if (expires_s != GATE25_NEVER && used < TERMS_TEXT)
		snprintf(text + used, TERMS_TEXT - used, " until %s", time_format(expires_s, time));
	return text;
}
