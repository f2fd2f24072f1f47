/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a gate held back of a list, on disk: state_dir/lists/NAME.held. Once somebody accepted it, it is NAME.accepted
 * until the next load takes it as the last good image.
 */
#ifndef GATE25_FEEDS_HELD_H
#define GATE25_FEEDS_HELD_H

#include <stdbool.h>

#include "user/config.h"
#include "user/lists/image.h"

/* -ENOENT: none is held. */
int held_read(const struct config *config, const char *list, struct list_image **out);
int held_write(const struct config *config, const char *list, const struct list_image *image);
void held_drop(const struct config *config, const char *list);

/* From held to accepted: it takes the next load to put it in force. -ENOENT: none is held. */
int held_accept(const struct config *config, const char *list);

/* What was accepted and not taken yet, and that it was taken. */
int accepted_read(const struct config *config, const char *list, struct list_image **out);
void accepted_drop(const struct config *config, const char *list);

#endif
