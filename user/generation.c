// SPDX-License-Identifier: GPL-2.0-only
/*
 * A generation: fresh maps of exact size for a compiled table, and the settings of its instances.
 *
 * In: configuration, lists, the table that was compiled from them. Out: filled maps that no program runs yet, and
 * struct gate25_generation, which tells everything about them without configuration or agent.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "bpf/source.h"
#include "user/log.h"

#define NS_PER_S 1000000000ULL

const struct map_shape shape_table = { "table", BPF_MAP_TYPE_ARRAY, sizeof(__u32), 64,
				       BPF_F_MMAPABLE };
const struct map_shape shape_classes = { "classes", BPF_MAP_TYPE_ARRAY, sizeof(__u32),
					 sizeof(struct gate25_class), BPF_F_MMAPABLE };

/* ---------------------------------------------------------------- settings */

static void limit_fill(struct gate25_limit *out, enum gate25_scope scope,
		       const struct config_limit *limit, const __u8 *slots)
{
	static const __u8 lengths[GATE25_SCOPES][2] = {
		[GATE25_SCOPE_SOURCE] = { 32, 64 },
		[GATE25_SCOPE_NETWORK] = { 24, 48 },
	};

	out->length4 = lengths[scope][0];
	out->length6 = lengths[scope][1];
	if (!limit->set || limit->rate_per_s <= 0)
		return;
	out->interval_ns = NS_PER_S / limit->rate_per_s;
	if (!out->interval_ns) /* more than one in a nanosecond */
		out->interval_ns = 1;
	out->tolerance_ns = SOURCE_AHEAD_NS;
	if (limit->burst <= SOURCE_AHEAD_NS / out->interval_ns)
		out->tolerance_ns = limit->burst * out->interval_ns;
	else
		log_warning("a limit's burst is more than its rate gives in 8 hours: taken as %llu",
			    SOURCE_AHEAD_NS / out->interval_ns);
	out->action = limit->action;
	out->observe = limit->observe;
	out->services = services_to_slots(limit->services, slots);
}

static int address_fill(struct gate25_settings *settings, const struct prefix *prefix, __u8 service)
{
	struct gate25_service_address *address = settings->addresses;
	struct gate25_service_address *end = address + settings->addresses_count;

	for (; address < end; address++)
		if (address->length == prefix->length &&
		    address->address.hi == prefix->address.hi &&
		    address->address.lo == prefix->address.lo &&
		    address->address.family == prefix->address.family)
			break;
	if (address == end) {
		if (settings->addresses_count == GATE25_ADDRESSES)
			return -E2BIG;
		settings->addresses_count++;
		address->address = prefix->address;
		address->length = prefix->length;
	}
	address->services |= service;
	return 0;
}

static int port_fill(struct generation *generation, __u16 port, __u8 service)
{
	struct gate25_generation *info = &generation->info;
	unsigned int i;

	generation->port_services[port] |= service;
	for (i = 0; i < info->ports_count; i++)
		if (info->ports[i] == port)
			break;
	if (i == GATE25_PORTS)
		return -E2BIG;
	if (i == info->ports_count)
		info->ports_count++;
	info->ports[i] = port;
	info->port_services[i] |= service;
	return 0;
}

static int service_fill(struct generation *generation, const struct config_service *service,
			int slot)
{
	struct gate25_settings *settings = &generation->info.settings;
	__u8 bit = 1 << slot;
	int error = 0;

	generation->info.services |= bit;
	settings->default_action[slot] = service->default_action;
	if (service->default_action != GATE25_PASS)
		settings->defaults |= bit;
	if (!service->addresses_count)
		settings->any_address |= bit;
	for (unsigned int i = 0; !error && i < service->addresses_count; i++)
		error = address_fill(settings, &service->addresses[i], bit);
	for (unsigned int i = 0; !error && i < service->ports_count; i++)
		error = port_fill(generation, service->ports[i], bit);
	if (error)
		log_error("service %s: more than %d ports or %d addresses over all services",
			  service->name, GATE25_PORTS, GATE25_ADDRESSES);
	return error;
}

/* Of the namespace that we guard; 0, with which nothing is counted, where the kernel has none (before 5.14). */
static __u64 netns_cookie(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	__u64 cookie = 0;
	socklen_t length = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length))
		log_warning("this network namespace cannot be told from others: %s",
			    strerror(errno));
	fd_close(&fd);
	return cookie;
}

static int settings_fill(struct generation *generation, const struct generation_plan *plan)
{
	struct gate25_settings *settings = &generation->info.settings;
	const struct config *config = plan->config;
	int error = 0;

	for (int scope = 0; scope < GATE25_SCOPES; scope++)
		limit_fill(&settings->limits[scope], scope, &config->limits[scope],
			   plan->service_slots);
	for (unsigned int i = 0; !error && i < config->services_count; i++)
		error = service_fill(generation, &config->services[i], plan->service_slots[i]);
	for (unsigned int i = 0; i < config->services_count; i++)
		memcpy(generation->services[plan->service_slots[i]], config->services[i].name,
		       GATE25_NAME);
	if (error)
		return error;
	memcpy(settings->translated, config->translated, sizeof(settings->translated));
	settings->translated_count = config->translated_count;
	settings->class_stride = (plan->table->classes_count + 7) & ~7u;
	if (config->events_per_s > 0) {
		settings->event_interval_ns = NS_PER_S / config->events_per_s;
		settings->event_tolerance_ns = NS_PER_S; /* what a second holds may come at once */
	}
	settings->allow_in_table = plan->table->allow_services;
	settings->netns_cookie = netns_cookie();
	settings->table_empty = !plan->table->layout.has_v4 && !plan->table->layout.has_v6;
	return 0;
}

/* ---------------------------------------------------------------- what it is */

/* One more than any that is pinned. */
static __u64 generation_number(const struct guard *guard)
{
	__u32 ids[INSTANCES_MAX];
	int count = instances_pinned(guard->pin_dir, ids);
	__u64 last = 0;

	for (int i = 0; i < count; i++) {
		struct mapping mapping = { 0 };
		const struct gate25_generation *info;

		if (instance_map(guard->pin_dir, ids[i], &shape_generation, PROT_READ, &mapping))
			continue;
		info = mapping.memory;
		if (info->number > last)
			last = info->number;
		mapping_release(&mapping);
	}
	return last + 1;
}

static void info_fill(struct generation *generation, const struct guard *guard,
		      const struct generation_plan *plan)
{
	struct gate25_generation *info = &generation->info;

	info->layout = GATE25_LAYOUT;
	info->classes = plan->table->classes_count;
	info->number = generation_number(guard);
	info->created_s = time(NULL);
	info->threshold = plan->config->threshold;
	info->table = plan->table->layout;
	info->lists_count = plan->lists_count;
	for (size_t i = 0; i < plan->lists_count; i++)
		info->lists[i] = plan->lists[i].info;
	snprintf(info->version, sizeof(info->version), "%s", GATE25_VERSION);
}

/* ---------------------------------------------------------------- maps */

/* The lines are written where the kernel reads them: there is no other copy of a large table. */
static int table_fill(const struct compiled_table *table, int *fd)
{
	struct mapping mapping = { 0 };
	int error = map_create(&shape_table, table->layout.lines, fd);

	if (!error)
		error = map_map(*fd, PROT_READ | PROT_WRITE, &mapping);
	if (!error)
		table_write(table, mapping.memory);
	mapping_release(&mapping);
	return error;
}

static int maps_fill(struct generation *generation, const struct compiled_table *table)
{
	int error = table_fill(table, &generation->table_fd);

	if (!error)
		error = map_create_filled(&shape_classes, table->classes_count, table->classes,
					  table->classes_count, &generation->classes_fd);
	return error;
}

/* A fresh map of state where the configuration wants another size than the one that is pinned. */
static int resize(const struct guard *guard, enum state_map map, __u32 wanted, int *fd)
{
	const struct map_shape *shape = &state_shapes[map];
	struct bpf_map_info info;
	int error = map_info(guard_private(guard)->fds[map], &info);

	if (error || info.max_entries == wanted)
		return error;
	error = map_create(shape, wanted, fd);
	if (!error)
		log_notice("the map %s goes from %u to %u entries with this generation; %s",
			   shape->name, info.max_entries, wanted,
			   map == STATE_OVERLAY ? "what it holds is carried over" :
						  "the budgets of all sources start afresh");
	return error;
}

static int sizes_follow(struct generation *generation, const struct guard *guard,
			const struct config *config)
{
	int error = resize(guard, STATE_OVERLAY, config->overlay_entries, &generation->overlay_fd);

	if (!error)
		error = resize(guard, STATE_SOURCES, sources_entries(config),
			       &generation->sources_fd);
	if (!error)
		generation->info.settings.source_lines = sources_entries(config);
	return error;
}

static struct generation *generation_new(const struct config *config)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return NULL;
	generation->table_fd = generation->classes_fd = -1;
	generation->overlay_fd = generation->sources_fd = -1;
	generation->port_services = calloc(65536, 1);
	if (!generation->port_services) {
		free(generation);
		return NULL;
	}
	generation->configured_count = config->interfaces_count;
	for (unsigned int i = 0; i < config->interfaces_count; i++)
		memcpy(generation->configured[i], config->interfaces[i].name,
		       sizeof(generation->configured[i]));
	return generation;
}

int generation_create(struct guard *guard, const struct generation_plan *plan,
		      struct generation **out)
{
	struct generation *generation;
	int error;

	if (plan->lists_count > GATE25_LISTS || plan->table->classes_count > GATE25_CLASSES + 1) {
		log_error("%zu lists in %zu distinct combinations: at most %d and %d",
			  plan->lists_count, plan->table->classes_count, GATE25_LISTS,
			  GATE25_CLASSES);
		return -E2BIG;
	}
	generation = generation_new(plan->config);
	if (!generation)
		return -ENOMEM;
	error = settings_fill(generation, plan);
	if (!error)
		error = sizes_follow(generation, guard, plan->config);
	if (!error)
		error = maps_fill(generation, plan->table);
	if (error) {
		generation_free(generation);
		return error;
	}
	info_fill(generation, guard, plan);
	*out = generation;
	return 0;
}

/* Whoever has a list from the configuration alone has a time for it, too. */
const struct gate25_list_info *generation_unread_allow(const struct gate25_generation *generation)
{
	for (__u32 i = 0; i < generation->lists_count && i < GATE25_LISTS; i++)
		if (generation->lists[i].allow && !generation->lists[i].loaded_s)
			return &generation->lists[i];
	return NULL;
}

__u8 generation_limited(const struct gate25_generation *generation)
{
	__u8 services = 0;

	for (int scope = 0; scope < GATE25_SCOPES; scope++)
		if (generation->settings.limits[scope].interval_ns)
			services |= generation->settings.limits[scope].services;
	return services & generation->services;
}

const struct gate25_generation *generation_info(const struct generation *generation)
{
	return &generation->info;
}

void generation_free(struct generation *generation)
{
	if (!generation)
		return;
	fd_close(&generation->table_fd);
	fd_close(&generation->classes_fd);
	fd_close(&generation->overlay_fd);
	fd_close(&generation->sources_fd);
	free(generation->port_services);
	free(generation);
}
