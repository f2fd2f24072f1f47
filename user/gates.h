/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Gates: may what was read of a list come into force?
 *
 * A list is foreign data. Broken, poisoned or mistaken, it would stop honest senders (a block list), or nobody any
 * more (an allow list). So what was read is measured, and held back where it is beyond a bound; what is in force
 * stays. Nothing here reads or writes: facts, bounds, what was before, the time in; a verdict out.
 */
#ifndef GATE25_GATES_H
#define GATE25_GATES_H

#include <stdbool.h>
#include <stddef.h>

#include "user/config.h"
#include "user/lists/image.h"

/* A list is refused when more of its lines than both are bad. */
#define GATE_LEAST_BAD_LINES  10
/* Growth by less is never asked about: entries, addresses of IPv4 that they cover, share of those of IPv6. */
#define GATE_GROWTH_ENTRIES   1000
#define GATE_GROWTH_ADDRESSES (1U << 20)
#define GATE_GROWTH_SHARE6    0x1p-12 /* as much of the one as of the other */
/* When a block list that changed a lot comes into force by itself: fetches that say the same, and over how long. */
#define GATE_GROWTH_FETCHES   3
#define GATE_GROWTH_S	      (6 * 3600)
#define GATE_SHRINK_FETCHES   2

/* In this order they are asked. Numbers stand in feeds.json, labels in metrics: they never change. */
#define GATE_TABLE(X)                                                                              \
	X(0, OPEN, "open")                                                                         \
	X(1, EMPTY, "empty")                                                                       \
	X(2, TRUNCATED, "truncated") /* less than the list itself says it holds */                 \
	X(3, BAD_LINES, "bad_lines")                                                               \
	X(4, COVERED, "covered") /* too much of the address space */                               \
	X(5, OLD, "old")	 /* by its own time stamp */                                       \
	X(6, GROWTH, "growth")                                                                     \
	X(7, SHRINK, "shrink")

enum gate {
#define GATE_ENUM(number, name, label) GATE_##name = number,
	GATE_TABLE(GATE_ENUM)
#undef GATE_ENUM
		GATES = 8
};

const char *gate_label(enum gate gate);
/* Is what it holds back kept, to be let in by hand or by waiting? Else it is broken, and good for nothing. */
bool gate_waits(enum gate gate);

/* What was measured of a list. */
struct gate_facts {
	__u64 lines, bad_lines; /* of them */
	__u64 entries4, entries6;
	__u64 covered4;	 /* addresses */
	double covered6; /* share of the IPv6 addresses that are given out (2000::/3) */
	const char *cut; /* why its end seems to be missing (parse.h); NULL: it does not */
	__u64 data_s; /* the time that it gives itself, where that is trusted, seconds since 1970; 0: none */
};

/* Fills entries and coverage in. */
void gate_measure(const struct list_image *image, struct gate_facts *facts);

/* A list that waits behind a gate: how often it was seen alike, and since when. */
struct gate_wait {
	enum gate gate; /* GATE_OPEN: none waits */
	unsigned int seen;
	__u64 since_s;
};

struct gate_question {
	const struct gate_facts *facts;
	const struct gate_facts
		*good; /* of the last good one; NULL: there is none to compare with */
	const struct config_list *list;
	struct gate_wait wait; /* of what was held back before */
	bool alike;	       /* this is much the same as that */
	__u64 now_s;
};

#define GATE_TEXT 200
struct gate_verdict {
	enum gate gate;	       /* that holds it back; GATE_OPEN: it may come into force */
	struct gate_wait wait; /* from now on */
	char why[GATE_TEXT];   /* "grew from 31,735 to 106,404 entries, …"; "" where it is open */
};

void gates_judge(const struct gate_question *question, struct gate_verdict *out);

#endif
