/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a worker gives up what it does not need: for good, and before it has read anything foreign.
 */
#ifndef GATE25_WORKER_CAGE_H
#define GATE25_WORKER_CAGE_H

#include "user/worker_protocol.h"

/*
 * Another user, no capability, no new privileges, limits of memory and time, a filter of system calls. `runs`: may it
 * start a program (rsync)? 0, or -errno: then nothing foreign may be touched.
 */
int cage_enter(const struct worker_request *request, bool runs);

/* From here on nothing but memory, what is open already, and memfds. */
int cage_close(void);

#endif
