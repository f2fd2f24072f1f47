// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and reload without the agent: both steps at once, by the command line.
 *
 * In: the path of the configuration, perhaps interfaces. Out: a generation in force, or the old one and why.
 * The lock is not held while sources are read, which may take minutes.
 */
#include "user/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/log.h"

#define LOCK_WAIT_S 30

static int lock_take(const struct config *config, struct apply_report *report)
{
	int lock = guard_lock(config->run_dir, LOCK_WAIT_S);

	if (lock < 0)
		apply_say(report->errors, "cannot take the lock in %s: %s", config->run_dir,
			  strerror(-lock));
	return lock;
}

static int config_check_ifaces(const struct config *config, char *const *ifaces, size_t count,
			       struct apply_report *report)
{
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (unsigned int j = 0; j < config->interfaces_count; j++)
			found |= !strcmp(config->interfaces[j].name, ifaces[i]);
		if (found)
			continue;
		apply_say(report->errors,
			  "interface %s is not in the configuration: add it to "
			  "`interfaces:` first",
			  ifaces[i]);
		return -EINVAL;
	}
	return 0;
}

/* Naming an interface takes back that an operator unloaded it. */
static int marks_clear(const struct config *config, struct state *state, char *const *ifaces,
		       size_t count, struct apply_report *report)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		if (state_is_unloaded(state, ifaces[i]))
			error = state_set_unloaded(state, ifaces[i], false);
	if (!error && count)
		error = state_write(config->state_dir, state);
	if (error)
		apply_say(report->errors, "the state in %s cannot be written: %s",
			  config->state_dir, strerror(-error));
	return error;
}

/* Of the configuration, what was named and what is guarded already: all others are left for another time. */
static void config_narrow(struct config *config, struct guard *guard, char *const *ifaces,
			  size_t count)
{
	struct attachment attached[GATE25_IFACES];
	int running = guard_attachments(guard, attached);
	unsigned int kept = 0;

	for (unsigned int i = 0; count && i < config->interfaces_count; i++) {
		bool keep = false;

		for (size_t j = 0; j < count; j++)
			keep |= !strcmp(config->interfaces[i].name, ifaces[j]);
		for (int j = 0; j < running; j++)
			keep |= !strcmp(config->interfaces[i].name, attached[j].iface);
		if (keep)
			config->interfaces[kept++] = config->interfaces[i];
	}
	if (count)
		config->interfaces_count = kept;
}

/* Under the lock: what is pinned is made or opened, and what an operator said is read. */
static int begin(struct config *config, char *const *ifaces, size_t count,
		 struct apply_report *report, struct state **state, struct guard **guard)
{
	int lock = lock_take(config, report), error;

	if (lock < 0)
		return lock;
	error = state_read(config->state_dir, state);
	if (!error)
		error = marks_clear(config, *state, ifaces, count, report);
	if (!error)
		error = guard_create(config, guard);
	if (!error)
		config_narrow(config, *guard, ifaces, count);
	close(lock);
	return error;
}

/* While the sources were read, an operator may have paused, unloaded, or changed a policy: that holds. */
static int look_again(const struct config *config, struct state **state, struct guard *guard,
		      struct apply_report *report)
{
	struct state *fresh = NULL;
	int error;

	if (!guard_current(guard)) {
		apply_say(report->errors, "the guard was unloaded or changed meanwhile; try again");
		return -ESTALE;
	}
	error = state_read(config->state_dir, &fresh);
	if (error)
		return error;
	state_free(*state);
	*state = fresh;
	return 0;
}

static int put_in_force(const struct config *config, struct state **state, struct guard *guard,
			struct prepared *prepared, struct apply_report *report)
{
	int lock = lock_take(config, report), error, failed;
	__u32 overlay_max = guard->overlay_max;

	if (lock < 0)
		return lock;
	error = look_again(config, state, guard, report);
	if (!error)
		error = apply_sync_overlay(guard, config);
	if (error && error != -ENOSPC)
		goto out;
	failed = apply_enforce(guard, config, *state, prepared, report);
	if (guard->overlay_max != overlay_max || error)
		error = apply_sync_overlay(guard, config);
	if (failed)
		error = failed;
	if (guard_harvest(guard))
		log_warning("the counters of the generation before are folded in later");
out:
	close(lock);
	return error;
}

int apply_now(const char *config_path, enum feed_how how, char *const *ifaces, size_t count,
	      struct apply_report *report)
{
	struct prepared *prepared = NULL;
	struct config *config = NULL;
	struct state *state = NULL;
	struct guard *guard = NULL;
	int error;

	error = apply_read_config(config_path, report, &config);
	if (!error)
		error = config_check_ifaces(config, ifaces, count, report);
	if (!error)
		error = begin(config, ifaces, count, report, &state, &guard);
	if (!error)
		error = apply_prepare(config, state, guard, how, NULL, NULL, report, &prepared);
	if (!error)
		error = put_in_force(config, &state, guard, prepared, report);
	if (error && !json_array_size(report->errors))
		apply_say(report->errors, "%s; the log line above says more", strerror(-error));
	prepared_free(prepared);
	guard_close(guard);
	state_free(state);
	config_free(config);
	return error;
}
