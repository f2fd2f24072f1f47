/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists over rsync, by the program of that name: one file, and only what differs from the last copy is sent.
 */
#ifndef GATE25_RSYNC_H
#define GATE25_RSYNC_H

#include <stdbool.h>

#include "user/fetch.h"

#define RSYNC_SCHEME "rsync://"

bool rsync_is_url(const char *url);

/*
 * fetch_all() of one, in a worker: runs rsync in `directory` (which others may use, too), beginning with the bytes of
 * `copy` (-1: none). What came is in fetch->body, its time in mtime_s. No option comes from anywhere but here.
 */
void rsync_fetch(struct fetch *fetch, const char *directory, int copy);

#endif
