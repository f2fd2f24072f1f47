/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One reading of the configuration: the files that it opened, the problems that it found, its memory.
 *
 * What the steps of a reading make on the way lives until reading_end(): nodes and texts are moved and
 * shared freely, and nobody frees one alone. What outlives the reading is in struct config.
 */
#ifndef GATE25_CONFIG_READING_H
#define GATE25_CONFIG_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define READING_FILES	 64   /* with all that is included */
#define READING_PROBLEMS 60   /* shown; the rest is counted */
#define READING_TEXT	 1024 /* bytes of a value or key */

/* A line of a file. Line 0 is the file as a whole. */
struct place {
	unsigned int file; /* index in reading.files */
	unsigned int line;
};

struct reading_file {
	char *name; /* as it is shown; malloc'ed */
	dev_t device;
	ino_t inode;
	bool open; /* its includes are being read: who names it now goes round in a circle */
};

struct problem;
struct reading_block;

struct reading {
	struct reading_file files[READING_FILES];
	unsigned int files_count;
	struct problem *problems; /* malloc'ed */
	size_t problems_count, problems_hidden;
	size_t errors;
	bool broken; /* a file was not read to its end, so a key that is missing says nothing */
	int failure; /* 0, or -ENOMEM since memory ran out: the reading ends with it */
	struct reading_block *blocks;
};

void reading_begin(struct reading *reading);
void reading_end(struct reading *reading);

/* Zeroed memory until reading_end(), or NULL with `failure` set. */
void *reading_alloc(struct reading *reading, size_t size);
char *reading_text(struct reading *reading, const char *text, size_t length);

/* Notes a problem, or a doubt, with what is allowed instead. */
void reading_error(struct reading *reading, struct place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void reading_warning(struct reading *reading, struct place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "FILE:LINE" of a place, for a message about another one. Static text, good until the next call. */
const char *reading_where(const struct reading *reading, struct place place);

/*
 * Writes the problems, in the order of files and lines. Without `warnings` all are on one stream, and doubts
 * say so.
 */
void reading_report(struct reading *reading, FILE *errors, FILE *warnings);

#endif
