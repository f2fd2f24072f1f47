/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What operators said that wins over the configuration file and holds over a reboot: pause, policies,
 * unloaded interfaces. state_dir/control.json, replaced by rename with fsync.
 * Also state_dir/ids.json: the stable id of each list's name.
 */
#ifndef GATE25_STATE_H
#define GATE25_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/gate25.h"
#include "user/config.h"

enum policy_word { POLICY_UNSET = 0, POLICY_ENFORCE, POLICY_OBSERVE };

struct named_policy {
	char name[GATE25_NAME];
	enum policy_word policy;
};

struct state {
	__u64 pause_until_s;	 /* seconds since 1970; 0: not paused; GATE25_NEVER */
	enum policy_word policy; /* of the whole */
	struct named_policy *services, *lists;
	size_t services_count, lists_count;
	bool lost; /* the file was damaged, so it only observes until somebody says a policy */
	char (*unloaded)[16]; /* interfaces that an operator unloaded */
	size_t unloaded_count;
};

/*
 * A missing file is an empty state. A damaged one is put aside (".damaged") and logged; the state
 * then only observes, is `lost`, and is written so.
 */
#define STATE_LOST                                                                                 \
	"what was said of pauses and policies is lost, since control.json was damaged: until "     \
	"somebody says it again the guard only observes; go on with: gate25 policy enforce"
int state_read(const char *state_dir, struct state **out);
int state_write(const char *state_dir, const struct state *state);
void state_free(struct state *state);

int state_set_policy(struct named_policy **array, size_t *count, const char *name,
		     enum policy_word policy);
enum policy_word state_policy(const struct named_policy *array, size_t count, const char *name);
int state_set_unloaded(struct state *state, const char *iface, bool unloaded);
bool state_is_unloaded(const struct state *state, const char *iface);

/* Does this list, in this configuration and state, only observe? (its own policy, not the whole's) */
bool state_list_observes(const struct state *state, const struct config_list *list);

/*
 * The words of the control map that follow from configuration and state: observe, observe_services
 * (by slot), pause_until_ns. Writes them into `control`; leaves the other words alone.
 */
void state_to_control(const struct state *state, const struct config *config,
		      const __u8 service_slots[GATE25_SERVICES], struct gate25_control *control);

/*
 * The stable id of a list's name: found, or the next one (never one that was used before), written with
 * fsync before it is returned. -ENOSPC beyond GATE25_LIST_IDS.
 */
int state_list_id(const char *state_dir, const char *name);

#endif
