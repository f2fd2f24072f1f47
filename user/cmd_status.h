/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `status` knows, gathered once; its printers only read it.
 *
 *   cmd_status.c (the command, words)  cmd_status_gather.c  cmd_status_doubts.c  cmd_status_json.c
 */
#ifndef GATE25_CMD_STATUS_H
#define GATE25_CMD_STATUS_H

#include <jansson.h>
#include <stdbool.h>

#include "user/ask.h"
#include "user/command.h"
#include "user/state.h"

/* As Nagios counts. A note is shown and changes no exit code: it tells what was, not what is. */
enum severity { SEVERITY_OK = 0, SEVERITY_WARNING = 1, SEVERITY_CRITICAL = 2, SEVERITY_NOTE = 3 };

/* Connections and frames by what became of them. */
struct status_traffic {
	struct gate25_counter passed, observed, dropped;
};

struct status {
	struct cli *cli;
	struct guard *guard; /* NULL: not loaded */
	struct asker *asker; /* NULL: no interface is guarded, or what is in force cannot be read */
	const struct gate25_generation *generation; /* likewise */
	struct attachment attached[GATE25_IFACES];  /* whose device is there */
	unsigned int attached_count;
	struct state *state; /* NULL: it cannot be read */
	json_t *agent;	     /* what it says of itself; NULL: none runs */
	int agent_error;     /* why there is none */
	json_t *lists;	     /* as lists_describe() gives it */
	__u64 entries;	     /* of all lists in force */
	__u64 now_s, now_ns;
	__u64 pause_until_s; /* 0: not paused */
	bool observing;	     /* paused, or the whole or every service only observes */
	struct gate25_counter reasons[GATE25_REASONS];
	struct status_traffic total, services[GATE25_SERVICES];
	__u64 overlay[GATE25_SLOTS]; /* live slots by kind */
	__u64 overlay_keys;
	__u64 events_suppressed, errors[GATE25_ERRORS];
	json_t *doubts; /* [{severity, text}], the worst first */
	enum severity worst;
};

/* ---- cmd_status_gather.c */

/*
 * 0 or the exit code with the message printed; not loaded is none. status_release() in both cases.
 */
int status_gather(struct cli *cli, struct status *out);
void status_release(struct status *status);
bool service_observes(const struct status *status, int slot);
/* What its limits count: "connections", "syns", or "-" where it has none. */
const char *service_counted(const struct status *status, int slot);

/* ---- cmd_status_doubts.c */

/* What is not as it should be. */
void status_doubt(struct status *status);

/* ---- cmd_status_json.c */

json_t *status_json(const struct status *status, const char *headline);

#endif
