/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Presets: known lists, a YAML file each. Its mapping `preset:` says where the list comes from and on what
 * terms; the rest is configuration, and becomes a file in conf.d.
 */
#ifndef GATE25_PRESETS_H
#define GATE25_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/config_tree.h"

#define PRESET_LISTS 8

struct preset_list {
	const char *name, *source, *refresh; /* source: its url, or the names it stands for */
};

struct preset {
	char name[GATE25_NAME];
	/* "ship": on, observe or off; last_checked: a date or "never" */
	const char *about, *source, *terms, *terms_url, *ship, *last_checked;
	bool accept_terms; /* they want to be accepted */
	bool allow;	   /* of allow lists */
	bool numbered;	   /* it is about one autonomous system, whose number has to be said */
	struct preset_list lists[PRESET_LISTS];
	size_t lists_count;
	char *text;		/* the configuration in it */
	struct reading reading; /* owns what stands above */
};

/*
 * Reads DIR/NAME.yaml. `asn` (NULL: none is said) stands in for {ASN} in texts, lists and sources. -ENOENT: there is
 * none of that name; -EINVAL: it is no preset, with the message written to `errors`; -ENOMEM, and what
 * open(2) says. *out is left alone on failure.
 */
int preset_read(const char *dir, const char *name, const char *asn, FILE *errors,
		struct preset **out);
void preset_free(struct preset *preset); /* NULL is fine */

/* The names of the presets in DIR, sorted; to be freed one by one, then the array. 0 or -errno. */
int presets_names(const char *dir, char ***names, size_t *count);

/* Do two texts of configuration differ in more than comments and empty lines? */
bool preset_text_same(const char *a, const char *b);

#endif
