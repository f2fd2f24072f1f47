/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is foreign is fetched, unpacked and parsed in processes of their own, which have no rights and end with the
 * errand: this very program again, with WORKER_ARGUMENT.
 *
 *   fetch   url -> bytes; has the network, and no list
 *   parse   bytes -> image; has nothing but its memory
 *
 * In: one request over a socket, files with it. Out: one reply, and a sealed memfd. Whatever becomes of a worker
 * (it crashes, hangs, is stopped, runs out of memory) is an error of that errand, nothing more.
 */
#ifndef GATE25_WORKER_H
#define GATE25_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "user/config.h"
#include "user/fetch.h"
#include "user/lists/parse.h"

#define WORKER_ARGUMENT "--worker"
#define WORKER_USER	"_gate25" /* unless `user:` names another */

/* For main(), before anything else: was this process made to be a worker? Then what worker_main() returns is its exit code. */
bool worker_is_wanted(int argc, char **argv);
int worker_main(void);

/*
 * Who workers run as from now on, and where they may lay files down: `user`, or NULL for WORKER_USER if there is one,
 * else nobody. Without the right to become somebody else they run as who we are, without capabilities; said once.
 */
void worker_configure(const char *user, const char *run_dir);

/*
 * fetch_all() of one, in a worker. -ECHILD in fetch->error: the worker died; fetch->why says of what. The body is a
 * mapping of what it sealed.
 */
int worker_fetch(struct fetch *fetch, const atomic_bool *cancel);

/*
 * list_parse() in a worker. -ECHILD: the worker died, *why says of what. *why is good until the thread's next call.
 * Lines that are told are told after the worker's end.
 */
int worker_parse(const void *text, size_t length, const struct parse_settings *settings,
		 struct list_image **out, const char **why);

#endif
