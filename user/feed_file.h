/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that lists are read from.
 */
#ifndef GATE25_FEED_FILE_H
#define GATE25_FEED_FILE_H

#include "user/feeds.h"

/*
 * The whole of a regular file, and its identity. -ESTALE: it changed while it was read, twice; -EINVAL, -EISDIR: no
 * regular file; -EFBIG, -ENOMEM, and what open(2) and read(2) say. *text is the caller's to free.
 */
int feed_file_read(const char *path, char **text, size_t *length, struct feed_identity *identity);
/* Could it be read now? 0, or what feed_file_read() would say before it reads. */
int feed_file_look(const char *path);
/* What to tell people of a failure. */
const char *feed_file_why(int error);

/* false: it cannot be looked at. */
bool feed_file_identity(const char *path, struct feed_identity *out);
bool feed_identity_same(const struct feed_identity *a, const struct feed_identity *b);

#endif
