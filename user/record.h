/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who changed what, when: state_dir/changes.log, one JSON object a line, append-only (O_APPEND, one
 * write a record), rotated once at 8 MiB to changes.log.1. `gate25 log` reads it.
 */
#ifndef GATE25_RECORD_H
#define GATE25_RECORD_H

#include <jansson.h>
#include <stddef.h>

#include "user/addr.h"

/*
 * Appends {"time", "user" (the real one: loginuid, else SUDO_USER's uid, else getuid), "uid", "tty", "command"
 * (argv, quoted, without secrets), "action", "targets": [...], "before", "after"}. `targets`, `before`
 * and `after` are borrowed and may be NULL. 0 or -errno, logged: a change is never undone because its
 * record could not be written.
 */
void record_command(int argc, char *const *argv); /* once, from main */
int record_change(const char *state_dir, const char *action, const json_t *targets,
		  const json_t *before, const json_t *after);

/*
 * Calls `each` for the records, oldest first, whose targets touch `about` (covers or is covered by; NULL: all).
 * A damaged line is skipped. 0, -ENOENT is 0 too, or what `each` returned.
 */
int record_read(const char *state_dir, const struct prefix *about,
		int (*each)(const json_t *record, void *context), void *context);

#endif
