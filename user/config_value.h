/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes of the configuration -> numbers, words, names, prefixes.
 *
 * Each function notes what is wrong and what is allowed, and returns whether *out was set.
 * What was refused before (NODE_REFUSED) says nothing more.
 */
#ifndef GATE25_CONFIG_VALUE_H
#define GATE25_CONFIG_VALUE_H

#include "user/addr.h"
#include "user/config_tree.h"

/* One of some words. `later`: known, but not of this version; the text says what works instead. */
struct word {
	const char *text;
	int value;
	const char *later;
};

/* A table of words ends with a NULL text. */
bool value_word(struct reading *reading, const struct node *node, const struct word *words,
		int *out);

/* Text that is not empty; NULL (and said so) for anything else. */
const char *value_text(struct reading *reading, const struct node *node);

bool value_kind(struct reading *reading, const struct node *node, enum node_kind kind,
		const char *example);
bool value_number(struct reading *reading, const struct node *node, long least, long most,
		  long *out);
bool value_rate(struct reading *reading, const struct node *node, double *per_s);
bool value_duration(struct reading *reading, const struct node *node, unsigned long least_s,
		    unsigned long most_s, unsigned int *seconds);
/* "5%", "0.1%", up to `most` percent, as a share; "off" is INFINITY. */
bool value_share(struct reading *reading, const struct node *node, double most, double *share);
bool value_mebibytes(struct reading *reading, const struct node *node, unsigned int *mb);
bool value_prefix(struct reading *reading, const struct node *node, const __u64 (*translated)[2],
		  unsigned int count, struct prefix *out);

/* [A-Za-z0-9][A-Za-z0-9._-]{0,46} */
bool value_name(struct reading *reading, const struct node *node, char out[GATE25_NAME]);
bool value_interface(struct reading *reading, const struct node *node, char out[16]);

/* An absolute path of at most `most` bytes, without slashes at its end. malloc'ed. */
bool value_folder(struct reading *reading, const struct node *node, size_t most, char **out);
/* A path; a relative one is taken from the folder of the file that names it. malloc'ed, absolute. */
bool value_file(struct reading *reading, const struct node *node, char **out);
/* http or https. malloc'ed. */
bool value_url(struct reading *reading, const struct node *node, char **out);
/* "rsync://HOST/MODULE/FILE" or "HOST::MODULE/FILE"; *out is the former. malloc'ed. */
bool value_rsync(struct reading *reading, const struct node *node, char **out);
/* "192.0.2.1:9925", "[2001:db8::1]:9925" or "off". malloc'ed. */
bool value_listen(struct reading *reading, const struct node *node, char **out);

/* The one of `names` that was probably meant, or NULL. `names` ends with NULL. */
const char *value_near(const char *text, const char *const *names);

#endif
