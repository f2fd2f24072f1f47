/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ${cred:NAME} in urls and headers: what it stands for is read when it is sent, and goes nowhere else.
 *
 * Looked for in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=), then in a directory of ours, where the file may be
 * readable for its owner alone.
 */
#ifndef GATE25_SECRET_H
#define GATE25_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_BYTES 1024
#define SECRET_WHY   300
#define SECRETS	     16

/* Values that were put in somewhere, so that they are known where they must not appear. */
struct secrets {
	char values[SECRETS][SECRET_BYTES];
	size_t count;
};

/* NULL, or what is wrong with how credentials are named in it. */
const char *secret_fault(const char *text);

/*
 * `text` with what stands in place of each ${cred:NAME}; `directory` may be NULL. -ENOENT, -EACCES (others may read
 * it), -EINVAL, -E2BIG: `why` says it without a value.
 */
int secret_expand(const char *directory, const char *text, char *out, size_t size,
		  struct secrets *secrets, char why[static SECRET_WHY]);

/*
 * A file that may hold a secret, whole and not empty: its length, or -errno. `alone`: -EACCES where others than its
 * owner may read it.
 */
int secret_file(const char *path, bool alone, char *out, size_t size);

bool secrets_are_in(const struct secrets *secrets, const void *bytes, size_t length);
void secrets_hide(const struct secrets *secrets, char *text, size_t size); /* "***" for each */
void secrets_forget(struct secrets *secrets);

#endif
