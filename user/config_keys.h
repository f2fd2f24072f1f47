/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keys of the configuration: what each is called, and how its value gets into struct config.
 */
#ifndef GATE25_CONFIG_KEYS_H
#define GATE25_CONFIG_KEYS_H

#include "user/config.h"
#include "user/config_value.h"

/* A configuration that is being made of a tree. */
struct build {
	struct reading *reading;
	const struct node *root;
	struct config *config;
	struct place service_places[GATE25_SERVICES];
	struct place *list_places; /* by index in config->lists; from the reading's memory */
	unsigned int ports_count, addresses_count; /* over all services */
};

struct key {
	const char *name;
	/* `target` is the structure that the mapping describes. NULL where `later` is set. */
	void (*read)(struct build *build, const struct node *value, void *target);
	const struct key
		*keys;	   /* of the mapping, or of the mappings of the list, that is its value */
	const char *later; /* known, but not of this version: what works instead */
};

extern const struct key root_keys[], interface_keys[], service_keys[], list_keys[], allow_keys[],
	bounds_keys[], limits_keys[], limit_keys[];

/* Notes unknown keys, then reads the known ones in the order of the table. `what`: "in limits", or "". */
void keys_read(struct build *build, const struct node *mapping, const struct key *keys,
	       const char *what, void *target);

/* Calls `each` with every key as "limits.source.rate"; those that come later are left out. */
void keys_each(void (*each)(const char *path, void *context), void *context);

/* Readers of mappings that are items (config_lists.c, config_services.c, config_limits.c). `target` is the config. */
void lists_read(struct build *build, const struct node *value, void *target);
void allow_read(struct build *build, const struct node *value, void *target);
void services_read(struct build *build, const struct node *value, void *target);
void ports_read(struct build *build, const struct node *value, void *target);
void limits_read(struct build *build, const struct node *value, void *target);

/* Names that stand for addresses (config_names.c): `target` is a list; of resolver_read() the config. */
void spf_read(struct build *build, const struct node *value, void *target);
void mx_read(struct build *build, const struct node *value, void *target);
void host_read(struct build *build, const struct node *value, void *target);
void resolver_read(struct build *build, const struct node *value, void *target);
/*
 * Bounds of a list (config_bounds.c); `target` is the list. bounds_begin() before its keys are read, bounds_finish()
 * fills in what was not said.
 */
void bounds_read(struct build *build, const struct node *value, void *target);
void max_age_read(struct build *build, const struct node *value, void *target);
void max_age_from_read(struct build *build, const struct node *value, void *target);
void non_global_read(struct build *build, const struct node *value, void *target);
void bounds_begin(struct config_list *list);
void bounds_finish(struct config_list *list);

/* Readers that several tables share; `target` is what their first argument says. */
void observe_read(struct build *build, const struct node *value, bool *observe);
void action_read(struct build *build, const struct node *value, __u8 *action);
void mask_read(struct build *build, const struct node *value, __u8 *services);

/* Contradictions and doubts that only the whole can show. (config_check.c) */
void config_check(struct build *build);

#endif
