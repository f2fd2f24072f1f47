/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words for reasons and verdicts, as metrics, log, JSON and people see them; from the contract's
 * table.
 */
#ifndef GATE25_REASON_H
#define GATE25_REASON_H

#include "bpf/gate25.h"

/* "list", "would_list"; NULL for a number that is no reason. */
const char *reason_label(unsigned int reason);

/* What a reason means for the frame: "pass", "drop"; NULL for a number that is no reason. */
const char *reason_verdict(unsigned int reason);

/* "pass", "drop"; "?" for a number that is no verdict (of another version). */
const char *verdict_label(unsigned int verdict);

#endif
