/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands that put something in force share.
 *
 *   cmd_guard.c (load, unload, reload)  cmd_policy.c (pause, resume, policy)  cmd_check.c  cmd_force.c
 */
#ifndef GATE25_CMD_GUARD_H
#define GATE25_CMD_GUARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "user/apply.h"
#include "user/command.h"

/* ---- cmd_force.c */

/*
 * Makes a new generation of the configuration: the agent does, and if none runs we do it ourselves.
 * `request` is the agent's command, `how` our own; `ifaces` narrows our own to some interfaces. The
 * caller does not hold the lock. Prints warnings and errors. 0 or the exit code.
 */
int force_generation(struct cli *cli, const char *request, enum feed_how how, char *const *ifaces,
		     size_t count, struct apply_report *report);

/* Prints what changed, unless -j. */
void force_say(const struct cli *cli, const struct apply_report *report);

/*
 * What is in force, for the record of changes: {"interfaces", "generation", "entries"}; null: not
 * loaded.
 */
json_t *force_snapshot(struct cli *cli);

/* {"changes", "warnings", "errors"} as the one result of a command. */
/*
 * Does the agent, if one answers, run with the configuration that this command was given? It would take its own for
 * ours. 0, or the exit code with both named.
 */
int force_may(const struct cli *cli);
/* The last line of what failed: is all else in force, or is all as it was? Returns the code. */
int force_fail(const struct cli *cli, int code, const struct apply_report *report);
json_t *force_results(const struct apply_report *report);

/* ---- cmd_policy.c */

int pause_run(struct cli *cli, int argc, char **argv);
int resume_run(struct cli *cli, int argc, char **argv);
int policy_run(struct cli *cli, int argc, char **argv);

/* ---- cmd_check.c */

int check_run(struct cli *cli, int argc, char **argv);

#endif
