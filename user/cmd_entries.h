/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands over manual entries share: their arguments, the open journal with what is to be
 * printed, who is allowed, and what must not be blocked by mistake.
 *
 *   cmd_entries.c (add)  cmd_del.c (del, allow del, flush)  cmd_allow.c  cmd_unblock.c  cmd_list.c
 *   cmd_request.c (arguments, addresses)  cmd_desk.c (lock, journal, results)  cmd_refusal.c
 */
#ifndef GATE25_CMD_ENTRIES_H
#define GATE25_CMD_ENTRIES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "user/command.h"
#include "user/overlay.h"

#define SAID_MOST 20 /* entries of a batch that get a line of their own */

#define ORIGIN_MANUAL "manual"
#define ORIGIN_AUTO   "auto" /* automatic bans: in the map alone */

/* ---- cmd_request.c */

struct target {
	struct prefix prefix;
	size_t line; /* of standard input; 0: an argument */
	bool known;  /* the command found an entry for it */
};

enum option_bit {
	TAKES_TIME = 1 << 0, /* --for, --until */
	TAKES_FOR = 1 << 1,
	TAKES_REASON = 1 << 2,
	TAKES_ORIGIN = 1 << 3,
	TAKES_SERVICE = 1 << 4,
	TAKES_FORCE = 1 << 5,
	TAKES_STRICT = 1 << 6,
	TAKES_LIMIT = 1 << 7,
	TAKES_ADDRESSES = 1 << 8, /* one or more, or "-" */
	TAKES_ADDRESS = 1 << 9,	  /* one, without a length */
};

struct request {
	const char *origin, *reason; /* NULL: not given */
	char *services;		     /* likewise; names, comma separated */
	__u64 for_s;		     /* 0: --for was not given */
	__u64 expires_s;	     /* GATE25_NEVER when neither --for nor --until was given */
	bool force, strict;
	size_t limit;		/* 0: none */
	struct target *targets; /* sorted, each prefix once */
	size_t count;
	bool from_stdin;
};

/*
 * Reads options and addresses; `takes` is a set of option_bit. 0, or the exit code with the message
 * printed; in both cases request_free() is to be called. Reads the paths of the configuration
 * first.
 */
int request_read(struct cli *cli, unsigned int takes, int argc, char **argv, struct request *out);
void request_free(struct request *request);

/* "192.0.2.7", or "192.0.2.7 (line 3)" */
#define TARGET_TEXT (PREFIX_TEXT + 32)
const char *target_format(const struct target *target, char text[static TARGET_TEXT]);

/* ---- cmd_desk.c */

struct desk {
	struct cli *cli;
	struct guard *guard; /* NULL: not loaded */
	struct journal *journal;
	json_t *results;     /* for -j */
	json_t *targets;     /* of the record of changes */
	json_t *before;	     /* entries that are replaced or removed */
	struct prefix *bans; /* automatic ones, to be dropped with the commit */
	size_t bans_count, bans_room;
	bool lets_in; /* to be put in force even where it cannot be kept on disk */
	int unkept;   /* why it was not kept, if so; the exit code is then EXIT_FAILED */
};

/*
 * Lock, guard if loaded, journal. 0, or the exit code with the message printed; then desk_close()
 * all the same.
 */
int desk_open(struct cli *cli, struct desk *out);
int desk_look(struct cli *cli, struct desk *out); /* likewise, to read only: without the lock */
/* Are these names services? 0 or EXIT_USAGE, with a message that names those that there are. */
int desk_services(struct desk *desk, const char *services);
/* Stages, and notes what the entry replaces for the record. -errno. */
int desk_put(struct desk *desk, const struct entry *entry);
int desk_del(struct desk *desk, const struct entry *entry);	   /* the journal's own */
int desk_drop_ban(struct desk *desk, const struct prefix *prefix); /* exactly this; -ENOENT */
int desk_target(struct desk *desk, const struct prefix *prefix);   /* notes it for the record */
/*
 * desk_apply() commits; desk_record() writes the record of changes, of what was noted since the
 * last one, unless that is nothing. `after` is taken over and may be NULL. 0, or the exit code with
 * the message printed.
 */
int desk_apply(struct desk *desk);
void desk_record(struct desk *desk, const char *action, json_t *after);
int desk_commit(struct desk *desk, const char *action, json_t *after); /* both */
/* The exit code for a -errno, with its message printed. */
int desk_failed(const struct desk *desk, int error);
/* A note, if what was blocked passes all the same because everything does. */
void desk_say_observed(const struct desk *desk);
/* Every key of the overlay with a live ban. Stops at non-zero and returns it. */
int desk_each_ban(const struct desk *desk,
		  int (*each)(const struct prefix *prefix, const struct gate25_overlay_slot *slot,
			      void *context),
		  void *context);
/*
 * Prints the results if -j. Returns the exit code to leave with: EXIT_NOT_LOADED instead of
 * EXIT_DONE, if so.
 */
int desk_close(struct desk *desk, int code);

/* address, kind, origin, services, added, expires, reason */
json_t *entry_json(const struct entry *entry);
json_t *
terms_json(const struct entry *entry); /* what a batch has in common: no address, no added */
const char *kind_name(enum entry_kind kind);
/* " for mx until 2026-01-31T12:00:00Z", parts that say nothing left out */
#define TERMS_TEXT (ENTRY_SERVICES + 64)
const char *terms_format(const char *services, __u64 expires_s, char text[static TERMS_TEXT]);

/* ---- cmd_refusal.c */

/* Who is allowed: the manual allow entries, and the allow lists of the table in force. */
struct allowed;
int allowed_open(struct guard *guard, const struct journal *journal, struct allowed **out);
void allowed_close(struct allowed *allowed);
/*
 * The services (by slot) for which all of `prefix` is allowed, and by what ("allow list own",
 * "allow entry 192.0.2.0/24"; the first that was found). Of IPv4 prefixes shorter than /16 the
 * allow lists are not asked, of IPv6 prefixes only for the first and the last address.
 */
#define ALLOWED_TEXT 96
__u8 allowed_services(const struct allowed *allowed, const struct prefix *prefix,
		      char by[static ALLOWED_TEXT]);
/*
 * Services by slot: of names (0xff for "" and where nothing is loaded), and those of the table in
 * force.
 */
__u8 allowed_mask(const struct allowed *allowed, const char *services);
__u8 allowed_in_use(const struct allowed *allowed);

/*
 * Is a block entry without effect because an allow entry or list comes first, wherever it holds? Or
 * an allow or forced entry because of the other one of the same prefix, which came later? `by` says
 * what.
 */
bool allowed_shadows(const struct allowed *allowed, const struct entry *entry,
		     char by[static ALLOWED_TEXT]);
/* The first manual allow entry for a part of `prefix`; NULL: there is none. */
const struct entry *allowed_part(const struct allowed *allowed, const struct prefix *prefix);

/* What is not to be blocked without --force, besides. */
struct refusals;
int refusals_open(const struct desk *desk, struct refusals **out);
void refusals_close(struct refusals *refusals);
/*
 * Why `prefix` is not to be blocked for `services` without --force; NULL: it may. Good until the
 * next call.
 */
const char *refusal_of(struct refusals *refusals, const struct prefix *prefix,
		       const char *services);

/* ---- the other commands */

int do_del(struct cli *cli, int argc, char **argv);
int do_flush(struct cli *cli, int argc, char **argv);
int do_allow(struct cli *cli, int argc, char **argv);
int do_allow_del(struct cli *cli, int argc, char **argv);  /* argv[0] is "del" */
int do_allow_list(struct cli *cli, int argc, char **argv); /* argv[0] is "list" */
int do_unblock(struct cli *cli, int argc, char **argv);
int do_list(struct cli *cli, int argc, char **argv);

/*
 * What a new connection from `source` meets, at the service that blocks it if there is one, else at
 * the one with port 25. 0 or -errno.
 */
struct asker;
struct answer;
int ask_any_service(struct asker *asker, const struct gate25_source *source, struct answer *out);

#endif
