// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who owns which slot of the counters, and the sums over CPUs.
 *
 * The pinned map `names` says which interface and which service a slot belongs to, so a reordered configuration
 * moves no counter to another name. A slot that is taken by a new name starts from zero.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "user/log.h"

int names_lock(const struct guard *guard)
{
	int fd = open(guard->pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX)) {
		if (errno == EINTR)
			continue;
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static void counters_zero(struct guard *guard, int iface, int row)
{
	for (unsigned int cpu = 0; cpu < guard->cpus; cpu++)
		for (int i = 0; i < GATE25_IFACES; i++)
			for (int r = 0; r < GATE25_SERVICE_ROWS; r++) {
				size_t block =
					((size_t)cpu * GATE25_IFACES + i) * GATE25_SERVICE_ROWS + r;

				if (i == iface || r == row)
					memset(&guard->counters[block * GATE25_REASONS], 0,
					       GATE25_REASONS * sizeof(struct gate25_counter));
			}
}

static int iface_slot_find(const struct guard *guard, const char *name)
{
	for (int i = 0; i < GATE25_IFACES; i++)
		if (!strncmp(guard->names->ifaces[i], name, sizeof(guard->names->ifaces[i])))
			return i;
	return -ENOENT;
}

/* All are taken: one whose interface is neither attached nor configured. */
static int iface_slot_abandoned(struct guard *guard, const char (*configured)[16],
				unsigned int configured_count)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);

	if (count < 0)
		return count;
	for (int i = 0; i < GATE25_IFACES; i++) {
		const char *owner = guard->names->ifaces[i];
		bool used = false;

		for (int j = 0; j < count; j++)
			used |= !strncmp(attached[j].iface, owner, sizeof(attached[j].iface));
		for (unsigned int j = 0; j < configured_count; j++)
			used |= !strncmp(configured[j], owner, sizeof(configured[j]));
		if (!used)
			return i;
	}
	log_error("all %d interface slots are in use: unload an interface first", GATE25_IFACES);
	return -ENOSPC;
}

int iface_slot_take(struct guard *guard, const char *name, const char (*configured)[16],
		    unsigned int configured_count)
{
	int lock, slot;

	if (!name[0] || strlen(name) >= sizeof(guard->names->ifaces[0]))
		return -EINVAL;
	lock = names_lock(guard);
	if (lock < 0)
		return lock;
	slot = iface_slot_find(guard, name);
	if (slot == -ENOENT) {
		slot = iface_slot_find(guard, "");
		if (slot < 0)
			slot = iface_slot_abandoned(guard, configured, configured_count);
		if (slot >= 0) {
			counters_zero(guard, slot, -1);
			memset(guard->names->ifaces[slot], 0, sizeof(guard->names->ifaces[slot]));
			memcpy(guard->names->ifaces[slot], name, strlen(name));
		}
	}
	close(lock);
	return slot;
}

int guard_iface_slot(struct guard *guard, const char *name, bool take)
{
	struct guard_private *self = guard_private(guard);

	if (!take)
		return name[0] ? iface_slot_find(guard, name) : -ENOENT;
	return iface_slot_take(guard, name, (const char(*)[16])self->configured,
			       self->configured_count);
}

static int service_slot_find(const struct guard *guard, const char *name)
{
	for (int i = 0; i < GATE25_SERVICES; i++)
		if (!strncmp(guard->names->services[i], name, GATE25_NAME))
			return i;
	return -ENOENT;
}

/*
 * A former owner's last manual allow must not keep `default: drop` in force for the new one: without
 * it the default passes. The words about observing follow from the configuration and are left alone.
 */
static void service_slot_give(struct guard *guard, int slot, const char *name)
{
	counters_zero(guard, -1, slot);
	__atomic_store_n(&guard->control->manual_allow_until_ns[slot], 0, __ATOMIC_RELAXED);
	memset(guard->names->services[slot], 0, GATE25_NAME);
	memcpy(guard->names->services[slot], name, strnlen(name, GATE25_NAME - 1));
}

int guard_service_slot(struct guard *guard, const char *name, bool take)
{
	int lock, slot;

	if (!name[0])
		return take ? -EINVAL : -ENOENT;
	if (!take)
		return service_slot_find(guard, name);
	lock = names_lock(guard);
	if (lock < 0)
		return lock;
	slot = service_slot_find(guard, name);
	if (slot == -ENOENT) {
		slot = service_slot_find(guard, "");
		if (slot >= 0)
			service_slot_give(guard, slot, name);
		else
			slot = -ENOSPC;
	}
	close(lock);
	return slot;
}

/* A slot that is free, or else one whose service the configuration does not know any more. */
static int service_slot_spare(struct guard *guard, const struct config *config)
{
	int slot = service_slot_find(guard, "");

	if (slot >= 0)
		return slot;
	for (int i = 0; i < GATE25_SERVICES; i++)
		if (config_service_find(config, guard->names->services[i]) < 0)
			return i;
	return -ENOSPC;
}

int guard_assign_services(struct guard *guard, const struct config *config,
			  __u8 slots[GATE25_SERVICES])
{
	int lock = names_lock(guard), error = 0;

	if (lock < 0)
		return lock;
	for (unsigned int i = 0; i < config->services_count; i++) {
		int slot = service_slot_find(guard, config->services[i].name);

		if (slot < 0) {
			slot = service_slot_spare(guard, config);
			if (slot < 0) {
				log_error("more than %d services: merge some", GATE25_SERVICES);
				error = slot;
				break;
			}
			service_slot_give(guard, slot, config->services[i].name);
		}
		slots[i] = slot;
	}
	close(lock);
	return error;
}

static bool name_confirm(char *owner, const char *name, size_t size)
{
	if (!owner[0])
		memcpy(owner, name, size);
	return !strncmp(owner, name, size);
}

bool slots_confirm(struct guard *guard, int iface_slot, const char *iface,
		   const char (*services)[GATE25_NAME])
{
	int lock = names_lock(guard);
	bool same = lock >= 0 && name_confirm(guard->names->ifaces[iface_slot], iface,
					      sizeof(guard->names->ifaces[0]));

	for (int i = 0; same && i < GATE25_SERVICES; i++)
		if (services[i][0])
			same = name_confirm(guard->names->services[i], services[i], GATE25_NAME);
	fd_close(&lock);
	return same;
}

void service_slots_free(struct guard *guard, __u8 services)
{
	int lock = names_lock(guard);

	for (int i = 0; lock >= 0 && i < GATE25_SERVICES; i++)
		if (!(services & (1 << i)))
			memset(guard->names->services[i], 0, GATE25_NAME);
	fd_close(&lock);
}

__u8 services_to_slots(__u8 by_index, const __u8 slots[GATE25_SERVICES])
{
	__u8 by_slot = 0;

	for (int i = 0; i < GATE25_SERVICES; i++)
		if (by_index & (1 << i))
			by_slot |= 1 << slots[i];
	return by_slot;
}

/* ---------------------------------------------------------------- counters */

void guard_count_error(struct guard *guard, enum gate25_error kind)
{
	if (guard)
		__atomic_fetch_add(&guard->agent_errors[kind], 1, __ATOMIC_RELAXED);
}

struct gate25_counter guard_counter(const struct guard *guard, unsigned int iface_slot,
				    unsigned int service_row, unsigned int reason)
{
	struct gate25_counter sum = { 0 };

	for (unsigned int cpu = 0; cpu < guard->cpus; cpu++) {
		size_t row = ((size_t)cpu * GATE25_IFACES + iface_slot) * GATE25_SERVICE_ROWS +
			     service_row;
		const struct gate25_counter *counter =
			&guard->counters[row * GATE25_REASONS + reason];

		sum.packets += __atomic_load_n(&counter->packets, __ATOMIC_RELAXED);
		sum.connections += __atomic_load_n(&counter->connections, __ATOMIC_RELAXED);
	}
	return sum;
}
