/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From configuration and lists to a generation in force: what the agent's loader, `gate25 load` and `gate25 reload` share.
 */
#ifndef GATE25_APPLY_H
#define GATE25_APPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/feeds.h"
#include "user/state.h"

/* What happened, for people and JSON: arrays of strings, one fact each. */
struct apply_report {
	json_t *changes, *warnings, *errors;
};
void apply_report_init(struct apply_report *report);
void apply_report_free(struct apply_report *report);

/*
 * Step 1 (may run in a thread, takes long): reads the sources as `how` says, compiles, fills the maps
 * of a generation and loads an instance for each interface that is to be guarded. Nothing is in force yet.
 */
struct prepared;
int apply_prepare(const struct config *config, const struct state *state, struct guard *guard,
		  enum feed_how how, struct apply_report *report, struct prepared **out);
/* Step 2 (short, under the lock): puts it in force on every interface that exists and was not unloaded. */
int apply_enforce(struct guard *guard, const struct config *config, const struct state *state,
		  struct prepared *prepared, struct apply_report *report);
void prepared_free(struct prepared *prepared);

/*
 * Both steps at once with the lock taken, without the agent: for `gate25 load` (FEED_CACHED) and
 * `gate25 reload` (FEED_CHANGED). `ifaces` narrows it to some interfaces (count 0: all configured);
 * naming them clears their "unloaded" mark. The overlay is synced from the journal, the control words set.
 */
int apply_now(const char *config_path, enum feed_how how, char *const *ifaces, size_t count,
	      struct apply_report *report);

/*
 * Asks the running agent through run_dir/gate25d.sock: one JSON object {"command": "reload"} and one
 * in return: {"ok": bool, "changes": […], "warnings": […], "errors": […]}. -ENOENT or -ECONNREFUSED: no agent runs.
 */
int agent_request(const char *run_dir, const char *command, json_t **reply);

#endif
