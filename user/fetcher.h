/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fetches that go on when nobody waits for them any more: each in a thread of its own, known by the name of
 * its list. So a list that trickles in holds up neither the others nor whoever asks.
 */
#ifndef GATE25_FETCHER_H
#define GATE25_FETCHER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "user/fetch.h"

struct fetcher;
int fetcher_new(struct fetcher **out);
void fetcher_free(struct fetcher *fetcher); /* gives up what runs, within a second; NULL is fine */
/* Readable when a fetch ended that somebody had stopped waiting for; read 8 bytes to clear it. */
int fetcher_fd(const struct fetcher *fetcher);

/*
 * Begins to fetch what `wanted` asks for. One of that name that runs or has ended already is left alone if it asks for
 * the same, else given up. What keeps it from being begun stands in its `error` and `why`.
 */
void fetcher_begin(struct fetcher *fetcher, const char *name, struct fetch *wanted);
/*
 * Waits until each has ended or has run for `patience_ms`, or *cancel (may be NULL). true: all have ended.
 * Those that have not are late: their end is told by fetcher_fd().
 */
bool fetcher_wait(struct fetcher *fetcher, unsigned int patience_ms, const atomic_bool *cancel);
/* Is there one of that name, running or at its end? And does it still run? */
bool fetcher_knows(struct fetcher *fetcher, const char *name);
bool fetcher_runs(struct fetcher *fetcher, const char *name);
/* What came of it, once: in `out`, whose borrowed members stay as they are. false: it still runs. */
bool fetcher_take(struct fetcher *fetcher, const char *name, struct fetch *out);
/* Gives up those that are not wanted any more. */
void fetcher_retain(struct fetcher *fetcher, bool (*wanted)(const void *context, const char *name),
		    const void *context);

#endif
