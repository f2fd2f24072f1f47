/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a list itself says of an address: the line, or the text of a zone's entry. Looked up when somebody asks, in the
 * list's file, or in the copy that is kept of what was fetched:
 *
 *   state_dir/lists/NAME.src    gzip; as old as NAME.img
 */
#ifndef GATE25_ENTRY_TEXT_H
#define GATE25_ENTRY_TEXT_H

#include "user/config.h"

/* Keeps what a list was made from; what fails is no matter but for the text. Not for files: they are there. */
void entry_text_keep(const struct config *config, const struct config_list *list, const void *text,
		     size_t length);

/*
 * The line of the list that names `address`. The text is foreign, so a process without rights looks through it. 0; -ENOENT:
 * none does, or there is no copy; -errno.
 */
int entry_text_find(const struct config *config, const struct config_list *list,
		    const struct gate25_source *address, struct list_line *out);

#endif
