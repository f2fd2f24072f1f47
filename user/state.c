// SPDX-License-Identifier: GPL-2.0-only
/*
 * What operators said: control.json, and the stable ids of lists: ids.json.
 *
 * Both files are replaced by rename with fsync: after a crash there is the old one or the new one.
 * A damaged file is put aside, so that it can be looked at. What was said in control.json is then
 * lost, perhaps "observe", so from then on the guard only observes.
 */
#include "user/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/log.h"
#include "user/overlay.h"

#define WORD_ENFORCE "enforce"
#define WORD_OBSERVE "observe"

/* ---------------------------------------------------------------- files */

static int path_of(const char *folder, const char *name, char path[static PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);

	return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* *out is an object or NULL: no such file (0), or a damaged one that was put aside (-EBADMSG). */
static int json_read(const char *folder, const char *name, json_t **out)
{
	char path[PATH_MAX], aside[PATH_MAX + 16];
	json_error_t why;
	json_t *root;

	*out = NULL;
	if (path_of(folder, name, path))
		return -ENAMETOOLONG;
	if (access(path, R_OK))
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(root)) {
		*out = root;
		return 0;
	}
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	log_error("%s is damaged (%s) and put aside as %s.damaged", path,
		  root ? "no JSON object" : why.text, name);
	json_decref(root);
	return rename(path, aside) ? -errno : -EBADMSG;
}

static int folder_sync(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

/* `root` is taken over. */
static int json_replace(const char *folder, const char *name, json_t *root)
{
	char path[PATH_MAX], fresh[PATH_MAX + 8];
	int fd = -1, error;

	error = path_of(folder, name, path);
	if (error || !root)
		goto out;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (mkdir(folder, 0750) && errno != EEXIST) {
		error = -errno;
		goto out;
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0 || json_dumpfd(root, fd, JSON_INDENT(2) | JSON_SORT_KEYS) || fsync(fd) ||
	    rename(fresh, path))
		error = errno ? -errno : -EIO;
	else
		error = folder_sync(folder);
out:
	if (error)
		log_error("cannot write %s/%s: %s", folder, name, strerror(-error));
	if (fd >= 0)
		close(fd);
	json_decref(root);
	return error;
}

/* ---------------------------------------------------------------- control.json */

static enum policy_word policy_of(const json_t *word)
{
	const char *text = json_string_value(word);

	if (!text)
		return POLICY_UNSET;
	return !strcmp(text, WORD_OBSERVE) ? POLICY_OBSERVE :
	       !strcmp(text, WORD_ENFORCE) ? POLICY_ENFORCE :
					     POLICY_UNSET;
}

static json_t *policy_json(enum policy_word policy)
{
	return policy == POLICY_UNSET ?
		       json_null() :
		       json_string(policy == POLICY_OBSERVE ? WORD_OBSERVE : WORD_ENFORCE);
}

static int policies_read(const json_t *object, struct named_policy **array, size_t *count)
{
	const char *name;
	json_t *word;
	int error = 0;

	json_object_foreach((json_t *)object, name, word) {
		if (!error && policy_of(word) != POLICY_UNSET)
			error = state_set_policy(array, count, name, policy_of(word));
	}
	return error;
}

static json_t *policies_json(const struct named_policy *array, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, array[i].name, policy_json(array[i].policy));
	return object;
}

static int state_fill(struct state *state, const json_t *root)
{
	const json_t *pause = json_object_get(root, "pause_until");
	const json_t *unloaded = json_object_get(root, "unloaded");
	int error;

	if (json_is_integer(pause) && json_integer_value(pause) > 0)
		state->pause_until_s = json_integer_value(pause);
	else if (json_is_string(pause))
		state->pause_until_s = GATE25_NEVER;
	state->policy = policy_of(json_object_get(root, "policy"));
	state->lost = json_is_true(json_object_get(root, "lost"));
	error = policies_read(json_object_get(root, "services"), &state->services,
			      &state->services_count);
	if (!error)
		error = policies_read(json_object_get(root, "lists"), &state->lists,
				      &state->lists_count);
	for (size_t i = 0; !error && i < json_array_size(unloaded); i++) {
		const char *iface = json_string_value(json_array_get(unloaded, i));

		if (iface)
			error = state_set_unloaded(state, iface, true);
	}
	return error;
}

/* Our failure passes mail: who had said "observe" must not find his mail dropped. */
static void state_recover(const char *state_dir, struct state *state)
{
	state->policy = POLICY_OBSERVE;
	state->lost = true;
	log_error("%s", STATE_LOST);
	state_write(state_dir, state);
}

int state_read(const char *state_dir, struct state **out)
{
	struct state *state = calloc(1, sizeof(*state));
	json_t *root = NULL;
	int error = state ? json_read(state_dir, "control.json", &root) : -ENOMEM;

	if (error == -EBADMSG) {
		state_recover(state_dir, state);
		error = 0;
	}
	if (!error && root)
		error = state_fill(state, root);
	json_decref(root);
	if (error) {
		log_error("cannot read %s/control.json: %s", state_dir, strerror(-error));
		state_free(state);
		return error;
	}
	*out = state;
	return 0;
}

int state_write(const char *state_dir, const struct state *state)
{
	json_t *root = json_object(), *unloaded = json_array();

	if (state->pause_until_s == GATE25_NEVER)
		json_object_set_new(root, "pause_until", json_string("until resumed"));
	else
		json_object_set_new(root, "pause_until", json_integer(state->pause_until_s));
	json_object_set_new(root, "policy", policy_json(state->policy));
	if (state->lost)
		json_object_set_new(root, "lost", json_true());
	json_object_set_new(root, "services",
			    policies_json(state->services, state->services_count));
	json_object_set_new(root, "lists", policies_json(state->lists, state->lists_count));
	for (size_t i = 0; i < state->unloaded_count; i++)
		json_array_append_new(unloaded, json_string(state->unloaded[i]));
	json_object_set_new(root, "unloaded", unloaded);
	return json_replace(state_dir, "control.json", root);
}

void state_free(struct state *state)
{
	if (!state)
		return;
	free(state->services);
	free(state->lists);
	free(state->unloaded);
	free(state);
}

/* ---------------------------------------------------------------- words */

/* `count` if it is not there. */
static size_t policy_index(const struct named_policy *array, size_t count, const char *name)
{
	size_t i = 0;

	while (i < count && strcmp(array[i].name, name) != 0)
		i++;
	return i;
}

int state_set_policy(struct named_policy **array, size_t *count, const char *name,
		     enum policy_word policy)
{
	size_t index = policy_index(*array, *count, name);
	struct named_policy *grown = *array;

	if (policy == POLICY_UNSET) {
		if (index < *count)
			grown[index] = grown[--*count];
		return 0;
	}
	if (!grown || index == *count) {
		grown = reallocarray(*array, *count + 1, sizeof(**array));
		if (!grown)
			return -ENOMEM;
		*array = grown;
		snprintf(grown[index].name, sizeof(grown->name), "%s", name);
		++*count;
	}
	grown[index].policy = policy;
	return 0;
}

enum policy_word state_policy(const struct named_policy *array, size_t count, const char *name)
{
	size_t index = policy_index(array, count, name);

	return index < count ? array[index].policy : POLICY_UNSET;
}

static size_t unloaded_index(const struct state *state, const char *iface)
{
	size_t i = 0;

	while (i < state->unloaded_count && strcmp(state->unloaded[i], iface) != 0)
		i++;
	return i;
}

int state_set_unloaded(struct state *state, const char *iface, bool unloaded)
{
	size_t index = unloaded_index(state, iface);
	char(*grown)[16];

	if ((index < state->unloaded_count) == unloaded)
		return 0;
	if (!unloaded) {
		memmove(state->unloaded[index], state->unloaded[--state->unloaded_count],
			sizeof(*state->unloaded));
		return 0;
	}
	grown = reallocarray(state->unloaded, index + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	state->unloaded = grown;
	snprintf(grown[index], sizeof(*grown), "%s", iface);
	state->unloaded_count++;
	return 0;
}

bool state_is_unloaded(const struct state *state, const char *iface)
{
	return unloaded_index(state, iface) < state->unloaded_count;
}

bool state_list_observes(const struct state *state, const struct config_list *list)
{
	enum policy_word said = state_policy(state->lists, state->lists_count, list->name);

	return said == POLICY_UNSET ? list->observe : said == POLICY_OBSERVE;
}

void state_to_control(const struct state *state, const struct config *config,
		      const __u8 service_slots[GATE25_SERVICES], struct gate25_control *control)
{
	__u8 observed = 0;

	for (unsigned int i = 0; i < config->services_count; i++) {
		const struct config_service *service = &config->services[i];
		enum policy_word said =
			state_policy(state->services, state->services_count, service->name);

		if (said == POLICY_UNSET ? service->observe : said == POLICY_OBSERVE)
			observed |= 1 << service_slots[i];
	}
	control->observe = state->policy == POLICY_UNSET ? config->observe :
							   state->policy == POLICY_OBSERVE;
	control->observe_services = observed;
	control->pause_until_ns = state->pause_until_s ? overlay_time_ns(state->pause_until_s) : 0;
}

/* ---------------------------------------------------------------- ids.json */

int state_list_id(const char *state_dir, const char *name)
{
	json_t *root = NULL, *ids;
	json_int_t next;
	int error = json_read(state_dir, "ids.json", &root);

	if (error && error != -EBADMSG) {
		log_error("cannot read %s/ids.json: %s", state_dir, strerror(-error));
		return error;
	}
	if (!root)
		root = json_object();
	ids = json_object_get(root, "ids");
	if (json_is_integer(json_object_get(ids, name))) {
		error = json_integer_value(json_object_get(ids, name));
		json_decref(root);
		return error;
	}
	if (!json_is_object(ids)) {
		ids = json_object();
		json_object_set_new(root, "ids", ids);
	}
	next = json_integer_value(json_object_get(root, "next"));
	if (next < 0 || next >= GATE25_LIST_IDS) {
		log_error("all %d ids of lists are used up; remove %s/ids.json and reboot to start "
			  "anew",
			  GATE25_LIST_IDS, state_dir);
		json_decref(root);
		return -ENOSPC;
	}
	json_object_set_new(ids, name, json_integer(next));
	json_object_set_new(root, "next", json_integer(next + 1));
	error = json_replace(state_dir, "ids.json", root);
	return error ? error : (int)next;
}
