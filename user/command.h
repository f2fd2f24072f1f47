/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the subcommands of `gate25` share: their table, their context, their options, their exit
 * codes.
 *
 * Each command is one block in a cmd_*.c file: option table, and a function that parses its
 * arguments, does its work and returns an exit code. Data goes to stdout, all else to stderr.
 */
#ifndef GATE25_COMMAND_H
#define GATE25_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "user/config.h"
#include "user/dataplane.h"

#define CLI_LOCK_WAIT_S 15 /* nobody holds the lock while a source is read */

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_BLOCKED = 3, /* `test` */
	EXIT_NOT_LOADED = 4,
	EXIT_PERMISSION = 5,
};

struct cli {
	const char *config_path;
	bool json;
	const struct command *command; /* the one that runs */
	struct config *config;	       /* read at first use, by cli_config() or cli_paths() */
	bool config_whole;	       /* false: only the paths in it are to be trusted */
	struct guard *guard;	       /* opened at first use, by cli_guard() */
	int lock_fd;		       /* -1, or held since cli_lock() */
	unsigned int lock_wait_s;      /* how long cli_lock() waits for another gate25 */
	struct config *former; /* what cli_config() replaced; others may still point into it */
};

struct command {
	const char *name;
	const char *arguments; /* "ADDR[/LEN]…|- [--for TIME] …" */
	const char *summary;   /* one line */
	const char *help;      /* options and an example; may be NULL */
	int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the command's name */
};

/* Tables, each ended by a NULL name: cmd_entries.c, cmd_guard.c, cmd_show.c */
extern const struct command commands_entries[]; /* add del flush unblock allow list */
extern const struct command commands_guard[];	/* load unload pause resume policy reload check */
extern const struct command commands_show[];	/* status test lists (feeds) log version */

/*
 * 0, or the exit code to return, with the message printed. cli_guard(): EXIT_NOT_LOADED when
 * nothing is pinned. A broken configuration must not keep an operator from his guard: commands that
 * only need pin_dir, state_dir and run_dir call cli_paths(), which falls back to the defaults with
 * a warning.
 */
int cli_config(struct cli *cli);
int cli_paths(struct cli *cli);
int cli_guard(struct cli *cli);
/*
 * Before anything is tried: may the guard be changed by whom this runs as? EXIT_PERMISSION if not, which
 * main() puts in words.
 */
int cli_may_change(struct cli *cli);
/* Is something pinned, as far as we may see? Without a message; the configuration has been read. */
bool cli_pinned(const struct cli *cli);
int cli_lock(struct cli *cli);
void cli_unlock(struct cli *cli);
void cli_close(struct cli *cli);

/* An option of a command: a flag, or one with a value. -j is taken everywhere. */
struct cli_option {
	const char *name;
	bool *flag;
	const char **value;
};
#define CLI_OPTIONS 8
/*
 * Reads the options; *operands are then what remains, in their order. `options` ends with a NULL
 * name. 0, or EXIT_USAGE with the message printed.
 */
int cli_options(struct cli *cli, int argc, char **argv, const struct cli_option *options,
		int *operands_count, char ***operands);

/*
 * "gate25 COMMAND: text" on stderr; returns `code`. After EXIT_USAGE main() says how the command is
 * used.
 */
int cli_fail(const struct cli *cli, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool cli_misused(void); /* has cli_fail() been called with EXIT_USAGE? */
/* A line on stderr that is no failure, behind what stdout has so far. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line for people on stdout; nothing with -j. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * The exit code for a -errno: -EPERM, and -EACCES of whoever is not root, are EXIT_PERMISSION. To root
 * the kernel says -EACCES when its verifier refuses a program: that is EXIT_FAILED, like the rest.
 */
int cli_exit_code(int error);
/*
 * With -j prints the results, else only drops them. Returns `code`, or EXIT_FAILED when that
 * failed.
 */
int cli_results(const struct cli *cli, json_t *results, int code);

#endif
