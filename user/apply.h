/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From configuration and lists to a generation in force: what the agent's loader, `gate25 load` and `gate25 reload` share.
 */
#ifndef GATE25_APPLY_H
#define GATE25_APPLY_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/dataplane.h"
#include "user/feeds.h"
#include "user/state.h"

/* What happened, for people and JSON: arrays of strings, one fact each. */
struct apply_report {
	json_t *changes, *warnings, *errors;
	bool in_force; /* a generation was put in force, though perhaps not all of what was wanted */
};
void apply_report_init(struct apply_report *report);
void apply_report_free(struct apply_report *report);
/* Adds a fact to one of the arrays. */
void apply_say(json_t *facts, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* config_read() with its messages in the report instead of on a stream. */
int apply_read_config(const char *path, struct apply_report *report, struct config **out);

/*
 * Step 1 (may run in a thread, takes long): reads the sources as `how` says, compiles, fills the maps
 * of a generation and loads an instance for each interface that is there and is to be guarded. Nothing is in force yet.
 * What is known of the sources is read from and written to disk; `known` (may be NULL, its array may be) is
 * used first and replaced by what is known then, since a disk may be full. -ECANCELED soon after *cancel is set (NULL: never). -EALREADY: FEED_DUE, and no list changed.
 *
 * While an allow list has no image at all (its source was never read with success), the block lists
 * of its services only observe: what cannot be exempted must not be stopped.
 */
struct prepared;
int apply_prepare(const struct config *config, const struct state *state, struct guard *guard,
		  enum feed_how how, struct feed_states *known, const atomic_bool *cancel,
		  struct apply_report *report, struct prepared **out);
/*
 * Step 2 (short, under the lock): puts it in force on every interface that exists and was not unloaded,
 * and takes the guard off interfaces that the configuration names no more. One interface that fails does not keep
 * the others from being guarded; the last error is returned then, with the others in force. The caller
 * syncs the overlay before (services may have new slots), and afterwards too if guard->overlay_max changed,
 * and harvests.
 */
int apply_enforce(struct guard *guard, const struct config *config, const struct state *state,
		  struct prepared *prepared, struct apply_report *report);
/* An interface that came (back) since: load in a thread, attach under the lock. NULL frees nothing. */
int apply_load_interface(struct guard *guard, struct prepared *prepared, const char *iface);
int apply_attach_interface(struct guard *guard, const struct config *config,
			   const struct state *state, struct prepared *prepared, const char *iface,
			   struct apply_report *report);
void prepared_free(struct prepared *prepared); /* what is in force stays in force */

/* Makes the overlay say what the journal says; under the lock. */
int apply_sync_overlay(struct guard *guard, const struct config *config);

/* Makes the control map say what configuration and state say (pause, observe); under the lock. */
void apply_control(struct guard *guard, const struct config *config, const struct state *state);

/* Finds out which services have their sockets here, and says so in the control map. */
void apply_local_services(struct guard *guard, const struct config *config);
/*
 * Decides for which services limits count connections, and says so in the control map: after the above. What changed
 * is told in the report, or, where that is NULL, in the log.
 */
void apply_counted_services(struct guard *guard, const struct config *config,
			    struct apply_report *report);
/*
 * Is the program that counts connections gone, though it was put in force with this generation and nobody took it off?
 * apply_attach_sessions() tries once to have it back, under the lock.
 */
bool apply_sessions_lost(const struct guard *guard, const struct prepared *prepared);
void apply_attach_sessions(struct guard *guard, const struct config *config,
			   struct prepared *prepared, struct apply_report *report);

/*
 * Both steps at once, without the agent: for `gate25 load` (FEED_CACHED) and
 * `gate25 reload` (FEED_CHANGED). Takes the lock itself: the caller must not hold it. `ifaces` narrows it to some
 * interfaces (count 0: all configured); naming them clears their "unloaded" mark. The overlay is synced
 * from the journal, the control words set.
 */
int apply_now(const char *config_path, enum feed_how how, char *const *ifaces, size_t count,
	      struct apply_report *report);

/*
 * Asks the running agent through run_dir/gate25d.sock: one JSON object {"command": …} and one
 * in return: {"ok": bool, "in_force": bool, "changes": […], "warnings": […], "errors": […]}. -ENOENT or -ECONNREFUSED: no agent runs.
 * -ETIMEDOUT: it hangs or is held up. -ECONNRESET: it went away before it answered. Nothing is logged.
 *   "reload"  reads configuration, state and the sources that changed, and waits until all that is in force
 *   "apply"   the same without looking at the sources: after a change of the state (load, policy of a list)
 *   "config"  {"ok", "pid", "config"}: the file that it runs with, as a whole path
 *   "refresh" asks the source of `list`, or of all, now (but never sooner than refresh_min permits), and waits as a reload does
 *   "status"  answers at once: {"ok", "version", "pid", "loading", "lists": [{"name", "error", …}]}
 */
int agent_request(const char *run_dir, const char *command, json_t **reply);
/* Likewise, about a list of that name (a valid one); NULL: about all. */
int agent_request_list(const char *run_dir, const char *command, const char *list, json_t **reply);

#endif
