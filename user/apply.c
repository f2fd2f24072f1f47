// SPDX-License-Identifier: GPL-2.0-only
/*
 * From configuration, state and lists to a generation in force, in two steps: one that takes long and changes
 * nothing, and a short one under the lock.
 */
#include "user/apply.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/apply_report.h"
#include "user/link.h"
#include "user/lists/compile.h"
#include "user/log.h"
#include "user/overlay.h"
#include "user/print.h"
#include "user/record.h"

struct prepared {
	struct generation *generation;
	__u8 slots[GATE25_SERVICES]; /* by index in config->services */
	/* by index in config->interfaces; NULL: not there, unloaded, or attached since */
	struct instance *instances[GATE25_IFACES];
	char ifaces[GATE25_IFACES][16]; /* whose they are */
	bool attached;			/* one of them at least, until now */
	/* what counts connections; NULL: not wanted, or (sessions_error) not to be had */
	struct sessions *sessions;
	int sessions_error;
};

/* ---------------------------------------------------------------- lists */

/*
 * An allow list that was never read cannot exempt anybody. Until it can, what it would have to exempt from
 * only observes: bits of the services where that is so.
 */
static __u8 services_without_allow(const struct config *config, const struct feed *feeds,
				   struct apply_report *report)
{
	__u8 services = 0;

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = feeds[i].list;

		if (!list->allow || feeds[i].image)
			continue;
		services |= list->services;
		apply_say(
			report->errors,
			"allow list %s was never read with success: until it is, block lists only "
			"observe, so that nobody is stopped whom it exempts",
			list->name);
	}
	return services;
}

static int lists_describe(const struct config *config, const struct state *state,
			  const struct prepared *prepared, const struct feed *feeds,
			  struct apply_report *report, struct compile_list *lists)
{
	static const struct list_image none;
	__u8 unsafe = services_without_allow(config, feeds, report);

	for (size_t i = 0; i < config->lists_count; i++) {
		const struct config_list *list = feeds[i].list;
		struct gate25_list_info *info = &lists[i].info;
		int id = state_list_id(config->state_dir, list->name);

		if (id < 0) {
			apply_say(report->errors, "list %s: no number for its counters: %s",
				  list->name, strerror(-id));
			return id;
		}
		lists[i].image = feeds[i].image ? feeds[i].image : &none;
		lists[i].insecure = list->insecure;
		snprintf(info->name, sizeof(info->name), "%s", list->name);
		info->id = id;
		info->weight = list->weight;
		info->allow = list->allow;
		info->observe = !list->allow &&
				(state_list_observes(state, list) || (list->services & unsafe));
		info->action = list->action;
		info->services = services_to_slots(list->services, prepared->slots);
		info->entries4 = lists[i].image->count4;
		info->entries6 = lists[i].image->count6;
		info->loaded_s = lists[i].image->loaded_s;
		info->digest = list_image_digest(lists[i].image);
	}
	return 0;
}

static int generation_make(const struct config *config, const struct state *state,
			   struct guard *guard, const struct feed *feeds,
			   struct apply_report *report, struct prepared *prepared)
{
	struct compile_list *lists = calloc(config->lists_count + 1, sizeof(*lists));
	struct compiled_table *table = NULL;
	struct compile_input input = { lists, config->lists_count, config->threshold };
	struct generation_plan plan = { .config = config, .service_slots = prepared->slots };
	int error = -ENOMEM;

	if (lists)
		error = lists_describe(config, state, prepared, feeds, report, lists);
	if (!error) {
		error = table_plan(&input, &table);
		if (error)
			apply_say(report->errors, "the lists cannot be compiled: %s%s",
				  strerror(-error),
				  error == -E2BIG ? "; fewer lists, or fewer that overlap" : "");
	}
	if (!error) {
		plan.table = table;
		plan.lists = lists;
		plan.lists_count = config->lists_count;
		error = generation_create(guard, &plan, &prepared->generation);
		if (error)
			apply_say(report->errors, "no new generation: %s; see the log",
				  strerror(-error));
	}
	compiled_table_free(table);
	free(lists);
	return error;
}

/* ---------------------------------------------------------------- prepare */

static bool cancelled(const atomic_bool *cancel)
{
	return cancel && atomic_load(cancel);
}

/* One that the kernel refuses for one interface would be refused for all. */
static int instances_load(const struct config *config, const struct state *state,
			  struct guard *guard, const atomic_bool *cancel,
			  struct apply_report *report, struct prepared *prepared)
{
	int error = 0;

	for (unsigned int i = 0; !error && i < config->interfaces_count; i++) {
		const char *iface = config->interfaces[i].name;

		snprintf(prepared->ifaces[i], sizeof(prepared->ifaces[i]), "%s", iface);
		if (cancelled(cancel))
			return -ECANCELED;
		if (state_is_unloaded(state, iface) || !if_nametoindex(iface))
			continue;
		error = instance_load(guard, prepared->generation, iface, &prepared->instances[i]);
		if (error)
			apply_say(report->errors,
				  "interface %s: the program cannot be loaded: %s; "
				  "see the log",
				  iface, strerror(-error));
	}
	return error;
}

static int states_gather(const struct config *config, const struct feed_states *known,
			 struct feed_states *out)
{
	int error = feeds_read(config, out);

	out->fetcher = known ? known->fetcher : NULL;
	for (size_t i = 0; !error && known && i < known->count; i++) {
		struct feed_state *state = feeds_find(out, known->array[i].name);

		if (state)
			*state = known->array[i];
	}
	return error;
}

static bool feeds_changed(const struct feed *feeds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (feeds[i].changed)
			return true;
	return false;
}

static int feeds_gather(const struct config *config, enum feed_how how, struct guard *guard,
			struct feed_states *known, const atomic_bool *cancel,
			struct feed_states *states, struct feed **out)
{
	struct feed *feeds = calloc(config->lists_count + 1, sizeof(*feeds));
	int error;

	if (!feeds)
		return -ENOMEM;
	error = states_gather(config, known, states);
	if (!error)
		error = feeds_load(config, how, guard, states, cancel, feeds);
	if (error) {
		free(feeds);
		return error;
	}
	if (how != FEED_CACHED || feeds_changed(feeds, config->lists_count))
		feeds_write(config, states);
	*out = feeds;
	return 0;
}

static bool sessions_wanted(const struct config *config)
{
	return config->count != COUNT_SYNS && config_limited(config);
}

static int prepare(const struct config *config, const struct state *state, struct guard *guard,
		   const struct feed *feeds, const atomic_bool *cancel, struct apply_report *report,
		   struct prepared *prepared)
{
	int error = guard_assign_services(guard, config, prepared->slots);

	if (error)
		apply_say(report->errors, "no room for the services: %s", strerror(-error));
	if (!error)
		error = generation_make(config, state, guard, feeds, report, prepared);
	if (!error)
		error = instances_load(config, state, guard, cancel, report, prepared);
	if (!error && sessions_wanted(config)) /* without it limits count SYNs */
		prepared->sessions_error =
			sessions_load(guard, prepared->generation, &prepared->sessions);
	if (!error)
		report_compare(report, guard, generation_info(prepared->generation));
	return error;
}

int apply_prepare(const struct config *config, const struct state *state, struct guard *guard,
		  enum feed_how how, struct feed_states *known, const atomic_bool *cancel,
		  struct apply_report *report, struct prepared **out)
{
	struct prepared *prepared = calloc(1, sizeof(*prepared));
	struct feed_states states = { 0 };
	struct feed *feeds = NULL;
	int error = -ENOMEM;

	if (!prepared)
		goto out;
	error = feeds_gather(config, how, guard, known, cancel, &states, &feeds);
	if (error) {
		if (error != -ECANCELED)
			apply_say(report->errors, "the lists cannot be read: %s", strerror(-error));
		goto out;
	}
	report_feeds(report, feeds, config->lists_count, how);
	if (state->lost)
		apply_say(report->warnings, "%s", STATE_LOST);
	error = how == FEED_DUE && !feeds_changed(feeds, config->lists_count) ? -EALREADY : 0;
	if (!error)
		error = prepare(config, state, guard, feeds, cancel, report, prepared);
	if (!error) {
		*out = prepared;
		prepared = NULL;
	}
out:
	if (feeds)
		feeds_release(feeds, config->lists_count);
	if (known && feeds) {
		free(known->array);
		*known = states;
		states.array = NULL;
	}
	free(feeds);
	free(states.array);
	prepared_free(prepared);
	return error;
}

void prepared_free(struct prepared *prepared)
{
	if (!prepared)
		return;
	for (int i = 0; i < GATE25_IFACES; i++)
		instance_free(prepared->instances[i]);
	sessions_free(prepared->sessions);
	generation_free(prepared->generation);
	free(prepared);
}

/* ---------------------------------------------------------------- control words */

int apply_sync_overlay(struct guard *guard, const struct config *config)
{
	struct journal *journal = NULL;
	int error = journal_open(config->state_dir, guard, &journal);

	if (!error)
		error = overlay_sync(guard, journal);
	journal_close(journal);
	return error;
}

/* By name: false while a service of the configuration has no slot yet. */
static bool service_slots(struct guard *guard, const struct config *config,
			  __u8 slots[GATE25_SERVICES])
{
	for (unsigned int i = 0; i < config->services_count; i++) {
		int slot = guard_service_slot(guard, config->services[i].name, false);

		if (slot < 0)
			return false;
		slots[i] = slot;
	}
	return true;
}

void apply_control(struct guard *guard, const struct config *config, const struct state *state)
{
	__u8 slots[GATE25_SERVICES];

	if (service_slots(guard, config, slots))
		state_to_control(state, config, slots, guard->control);
}

/* Before a swap: what either the old or the new configuration only observes, and a pause. */
static void control_widen(struct guard *guard, const struct config *config,
			  const struct state *state, const __u8 *slots)
{
	struct gate25_control fresh = { 0 };

	state_to_control(state, config, slots, &fresh);
	guard->control->observe |= fresh.observe;
	guard->control->observe_services |= fresh.observe_services;
	if (fresh.pause_until_ns > guard->control->pause_until_ns)
		guard->control->pause_until_ns = fresh.pause_until_ns;
}

static bool sysctl_is_on(const char *path)
{
	FILE *file = fopen(path, "re");
	int value = 0;

	if (!file)
		return false;
	if (fscanf(file, "%d", &value) != 1)
		value = 0;
	fclose(file);
	return value != 0;
}

static bool host_forwards(void)
{
	return sysctl_is_on("/proc/sys/net/ipv4/ip_forward") ||
	       sysctl_is_on("/proc/sys/net/ipv6/conf/all/forwarding");
}

/* Behind DNAT a decoy may listen here while the sockets live elsewhere: a host that forwards is not trusted. */
static bool service_is_local(const struct config_service *service, const unsigned char *listeners,
			     bool forwards)
{
	if (service->forwarded != FORWARDED_AUTO)
		return service->forwarded == FORWARDED_NO;
	if (forwards || !listeners)
		return false;
	return socket_listens(listeners, service->ports, service->ports_count);
}

void apply_local_services(struct guard *guard, const struct config *config)
{
	unsigned char listeners[8192] = { 0 };
	bool known = socket_listeners(listeners) == 0, forwards = host_forwards();
	__u8 slots[GATE25_SERVICES], local = 0;

	if (!service_slots(guard, config, slots))
		return;
	for (unsigned int i = 0; i < config->services_count; i++)
		if (service_is_local(&config->services[i], known ? listeners : NULL, forwards))
			local |= 1 << slots[i];
	__atomic_store_n(&guard->control->local_services, local, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- what limits count */

static void counting_say(struct apply_report *report, const char *service, bool connections)
{
	const char *what = connections ? "connections" :
					 "SYNs, which can be forged: its sockets are not here, or "
					 "nothing is attached to count connections";

	if (report)
		apply_say(report->changes, "service %s: limits count %s", service, what);
	else
		log_notice("service %s: limits count %s", service, what);
}

void apply_counted_services(struct guard *guard, const struct config *config,
			    struct apply_report *report)
{
	struct gate25_control *control = guard->control;
	__u8 counted = 0, before = control->counted_services, limited;
	__u8 slots[GATE25_SERVICES] = { 0 };

	if (!service_slots(guard, config, slots))
		return;
	limited = services_to_slots(config_limited(config), slots);
	if (config->count != COUNT_SYNS && sessions_counting(guard))
		counted = config->count == COUNT_CONNECTIONS ? limited :
							       limited & control->local_services;
	__atomic_store_n(&control->counted_services, counted, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < config->services_count; i++)
		if ((limited & (counted ^ before)) >> slots[i] & 1)
			counting_say(report, config->services[i].name, counted >> slots[i] & 1);
}

/* With a generation that is in force: what counts connections is of that generation, or there is none. */
static void sessions_follow(struct guard *guard, const struct config *config,
			    struct prepared *prepared, struct apply_report *report)
{
	int error = prepared->sessions_error;

	if (!sessions_wanted(config)) {
		sessions_detach(guard, 0);
		return;
	}
	if (!error && prepared->sessions)
		error = sessions_attach(guard, prepared->sessions,
					config->count == COUNT_CONNECTIONS);
	if (!error)
		return;
	prepared->sessions_error = error;
	sessions_detach(guard, error);
	guard_count_error(guard, GATE25_ERROR_ATTACH);
	apply_say(
		report->warnings,
		"connections cannot be counted: %s. Limits count SYNs instead, which can be forged",
		sessions_why(error));
}

bool apply_sessions_lost(const struct guard *guard, const struct prepared *prepared)
{
	return prepared->attached && prepared->sessions && !prepared->sessions_error &&
	       guard->control->sessions_prog && !sessions_counting(guard);
}

void apply_attach_sessions(struct guard *guard, const struct config *config,
			   struct prepared *prepared, struct apply_report *report)
{
	if (!apply_sessions_lost(guard, prepared))
		return;
	apply_say(report->warnings,
		  "what counts connections was taken off by somebody else; attaching it again");
	sessions_follow(guard, config, prepared, report);
	apply_counted_services(guard, config, report);
}

/* ---------------------------------------------------------------- enforce */

static const struct attachment *attachment_find(const struct attachment *attached, int count,
						const char *iface)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(attached[i].iface, iface))
			return &attached[i];
	return NULL;
}

static const char *attach_why(int error)
{
	switch (error) {
	case -EBUSY:
		return "another XDP program sits there, and is left alone";
	case -EMEDIUMTYPE:
		return "no Ethernet device: name the one that mail arrives on";
	case -ENODEV:
		return "it is gone; guarded again as soon as it is back";
	default:
		return strerror(-error);
	}
}

static void attached_say(struct guard *guard, const char *iface, struct apply_report *report)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);
	const struct attachment *found = attachment_find(attached, count, iface);

	if (found)
		apply_say(report->changes, "interface %s attached (%s)", iface,
			  found->native ? "native" : "generic");
}

/* `fresh`: it was not attached before, or to another device of that name. */
static int interface_attach(struct guard *guard, struct prepared *prepared, unsigned int index,
			    enum attach_mode mode, bool fresh, struct apply_report *report)
{
	const char *iface = prepared->ifaces[index];
	int error = instance_attach(guard, prepared->instances[index], mode);

	instance_free(prepared->instances[index]);
	prepared->instances[index] = NULL;
	prepared->attached |= !error;
	if (!error && fresh)
		attached_say(guard, iface, report);
	if (error == -ENODEV) {
		apply_say(report->warnings, "interface %s: %s", iface, attach_why(error));
		return 0;
	}
	if (error) {
		guard_count_error(guard, GATE25_ERROR_ATTACH);
		apply_say(report->errors, "interface %s is not guarded by this: %s", iface,
			  attach_why(error));
	}
	return error;
}

/* What keeps an interface of the configuration from being guarded, if nothing failed. */
static void absent_say(const struct state *state, const char *iface, struct apply_report *report)
{
	if (state_is_unloaded(state, iface))
		apply_say(report->warnings,
			  "interface %s stays unloaded, as an operator wanted it; "
			  "back with: gate25 load %s",
			  iface, iface);
	else if (!if_nametoindex(iface))
		apply_say(report->warnings,
			  "interface %s is not there; guarded as soon as it appears", iface);
}

static int interfaces_attach(struct guard *guard, const struct config *config,
			     const struct state *state, struct prepared *prepared,
			     struct apply_report *report)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached), last = 0;

	for (unsigned int i = 0; i < config->interfaces_count; i++) {
		const struct config_interface *interface = &config->interfaces[i];
		const struct attachment *found = attachment_find(attached, count, interface->name);
		bool fresh = !found || found->ifindex != if_nametoindex(interface->name);
		int error;

		if (!prepared->instances[i] || state_is_unloaded(state, interface->name)) {
			absent_say(state, interface->name, report);
			continue;
		}
		error = interface_attach(guard, prepared, i, interface->mode, fresh, report);
		if (error)
			last = error;
	}
	return last;
}

static bool config_has_interface(const struct config *config, const char *iface)
{
	for (unsigned int i = 0; i < config->interfaces_count; i++)
		if (!strcmp(config->interfaces[i].name, iface))
			return true;
	return false;
}

static void interfaces_leave(struct guard *guard, const struct config *config,
			     struct apply_report *report)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached), error;

	for (int i = 0; i < count; i++) {
		json_t *targets;

		if (config_has_interface(config, attached[i].iface))
			continue;
		error = guard_detach(guard, attached[i].iface);
		if (error) {
			apply_say(report->errors, "interface %s cannot be detached: %s",
				  attached[i].iface, strerror(-error));
			continue;
		}
		apply_say(report->changes,
			  "interface %s detached: the configuration does not name it any more",
			  attached[i].iface);
		targets = json_pack("[s]", attached[i].iface);
		record_change(config->state_dir, "unload", targets, NULL, NULL);
		json_decref(targets);
	}
}

static void policy_say(bool before, bool after, bool first, struct apply_report *report)
{
	if (first || before != after)
		apply_say(report->changes, "policy: %s", after ? "observe" : "enforce");
}

int apply_enforce(struct guard *guard, const struct config *config, const struct state *state,
		  struct prepared *prepared, struct apply_report *report)
{
	struct attachment attached[GATE25_IFACES];
	bool first = guard_attachments(guard, attached) <= 0;
	bool before = guard->control->observe;
	int error;

	report->in_force = true;
	control_widen(guard, config, state, prepared->slots);
	apply_local_services(guard, config);
	error = interfaces_attach(guard, config, state, prepared, report);
	interfaces_leave(guard, config, report);
	if (prepared->attached)
		sessions_follow(guard, config, prepared, report);
	apply_counted_services(guard, config, report);
	apply_control(guard, config, state);
	policy_say(before, guard->control->observe, first, report);
	return error;
}

int apply_load_interface(struct guard *guard, struct prepared *prepared, const char *iface)
{
	for (int i = 0; i < GATE25_IFACES; i++) {
		if (strcmp(prepared->ifaces[i], iface) != 0)
			continue;
		instance_free(prepared->instances[i]);
		prepared->instances[i] = NULL;
		return instance_load(guard, prepared->generation, iface, &prepared->instances[i]);
	}
	return -ENOENT;
}

int apply_attach_interface(struct guard *guard, const struct config *config,
			   const struct state *state, struct prepared *prepared, const char *iface,
			   struct apply_report *report)
{
	int error;

	for (unsigned int i = 0; i < config->interfaces_count; i++) {
		if (strcmp(prepared->ifaces[i], iface) != 0 || !prepared->instances[i] ||
		    state_is_unloaded(state, iface))
			continue;
		error = interface_attach(guard, prepared, i, config->interfaces[i].mode, true,
					 report);
		if (prepared->attached && !sessions_in_force(guard, prepared->sessions)) {
			sessions_follow(guard, config, prepared, report);
			apply_counted_services(guard, config, report);
		}
		return error;
	}
	return 0;
}
