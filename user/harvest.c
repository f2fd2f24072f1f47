// SPDX-License-Identifier: GPL-2.0-only
/*
 * Class hits: read while an instance is in force, folded into list_totals when it is not.
 *
 * In: the instances pinned under gen/. Out: hits per list that never step back and count no SYN twice, also
 * when a process is killed in the middle of a harvest, and while another process harvests.
 *
 * A harvest goes through three states, in generation.harvested:
 *   0  class_hits count, on top of list_totals
 *   1  its last CPU has left; harvest_totals say what list_totals become, some of which may be so already
 *   2  list_totals have it all; the pins may go
 * A harvest that stopped in state 1 is finished before another begins, under the lock, so writing harvest_totals
 * again changes nothing.
 */
#include "user/dataplane_internal.h"

#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/log.h"

#define READ_TRIES 100
#define GRACE_US   100000

/* ---------------------------------------------------------------- instances that are pinned */

int instances_pinned(const char *pin_dir, __u32 ids[INSTANCES_MAX])
{
	char path[PATH_MAX], *end;
	struct dirent *entry;
	int count = 0;
	DIR *directory;

	if (pin_path(path, "%s/gen", pin_dir))
		return -ENAMETOOLONG;
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (count < INSTANCES_MAX && (entry = readdir(directory))) {
		unsigned long id = strtoul(entry->d_name, &end, 10);

		if (id && !*end)
			ids[count++] = id;
	}
	closedir(directory);
	return count;
}

int instance_map(const char *pin_dir, __u32 prog_id, const struct map_shape *shape, int protection,
		 struct mapping *out)
{
	struct bpf_map_info info;
	char path[PATH_MAX];
	int fd = -1, error;

	error = pin_path(path, "%s/gen/%u/%s", pin_dir, prog_id, shape->name);
	if (!error)
		error = map_open(path, &fd);
	if (!error)
		error = map_info(fd, &info);
	if (!error && !map_has_shape(&info, shape))
		error = -EPROTO;
	if (!error)
		error = map_map(fd, protection, out);
	fd_close(&fd);
	return error;
}

/* ---------------------------------------------------------------- views */

static int view_map(const struct guard *guard, __u32 prog_id, int count, struct view *out)
{
	static const struct map_shape *const shapes[] = { &shape_generation, &shape_classes,
							  &shape_class_hits, &shape_table };
	struct mapping parts[4] = { 0 };
	int error = 0;

	for (int i = 0; !error && i < count; i++)
		error = instance_map(guard->pin_dir, prog_id, shapes[i], PROT_READ, &parts[i]);
	if (error) {
		for (int i = 0; i < count; i++)
			mapping_release(&parts[i]);
		return error;
	}
	*out = (struct view){
		.generation = parts[0].memory,
		.generation_bytes = parts[0].bytes,
		.classes = parts[1].memory,
		.classes_bytes = parts[1].bytes,
		.class_hits = parts[2].memory,
		.hits_bytes = parts[2].bytes,
		.table = parts[3].memory,
		.table_bytes = parts[3].bytes,
		.prog_id = prog_id,
	};
	return 0;
}

int view_open(const struct guard *guard, __u32 prog_id, struct view *out)
{
	return view_map(guard, prog_id, 4, out);
}

int view_open_names(const struct guard *guard, __u32 prog_id, struct view *out)
{
	return view_map(guard, prog_id, 3, out);
}

static void view_part_close(const void *memory, size_t bytes)
{
	if (memory)
		munmap((void *)memory, bytes);
}

void view_close(struct view *view)
{
	view_part_close(view->generation, view->generation_bytes);
	view_part_close(view->classes, view->classes_bytes);
	view_part_close(view->class_hits, view->hits_bytes);
	view_part_close(view->table, view->table_bytes);
	memset(view, 0, sizeof(*view));
}

/* ---------------------------------------------------------------- sums per list */

/* What harvesting and reading need of an instance. */
struct tally {
	struct mapping generation, class_hits, classes;
	__u32 harvested; /* as it was when it was opened */
};

static struct gate25_generation *tally_generation(const struct tally *tally)
{
	return tally->generation.memory;
}

static void tally_close(struct tally *tally)
{
	mapping_release(&tally->generation);
	mapping_release(&tally->class_hits);
	mapping_release(&tally->classes);
}

static int tally_open(const char *pin_dir, __u32 prog_id, int protection, struct tally *out)
{
	struct tally tally = { 0 };
	int error =
		instance_map(pin_dir, prog_id, &shape_generation, protection, &tally.generation);

	if (!error)
		error = instance_map(pin_dir, prog_id, &shape_class_hits, PROT_READ,
				     &tally.class_hits);
	if (!error)
		error = instance_map(pin_dir, prog_id, &shape_classes, PROT_READ, &tally.classes);
	if (error) {
		tally_close(&tally);
		return error;
	}
	tally.harvested = __atomic_load_n(&tally_generation(&tally)->harvested, __ATOMIC_ACQUIRE);
	*out = tally;
	return 0;
}

/* Adds up, per list of the generation, the hits of all classes that it is part of. */
static void class_hits_sum(const struct gate25_generation *generation, const __u64 *class_hits,
			   const struct gate25_class *classes, unsigned int cpus,
			   __u64 sums[GATE25_LISTS])
{
	__u32 stride = generation->settings.class_stride;

	memset(sums, 0, GATE25_LISTS * sizeof(sums[0]));
	for (__u32 class = 1; class < generation->classes; class ++) {
		__u64 lists = classes[class].lists, hits = 0;

		for (unsigned int cpu = 0; cpu < cpus; cpu++)
			hits += __atomic_load_n(&class_hits[(size_t)cpu * stride + class],
						__ATOMIC_RELAXED);
		for (; hits && lists; lists &= lists - 1)
			sums[__builtin_ctzll(lists)] += hits;
	}
}

/* Two lists of a generation never share an id, so each total is written from one place. */
void harvest_note(const struct guard *guard, struct gate25_generation *generation,
		  const __u64 *class_hits, const struct gate25_class *classes)
{
	__u64 sums[GATE25_LISTS];

	class_hits_sum(generation, class_hits, classes, guard->cpus, sums);
	for (__u32 i = 0; i < generation->lists_count; i++)
		generation->harvest_totals[i] =
			guard->totals[generation->lists[i].id % GATE25_LIST_IDS].hits + sums[i];
	__atomic_store_n(&generation->harvested, HARVEST_NOTED, __ATOMIC_RELEASE);
}

void harvest_apply(struct guard *guard, struct gate25_generation *generation)
{
	for (__u32 i = 0; i < generation->lists_count; i++)
		__atomic_store_n(&guard->totals[generation->lists[i].id % GATE25_LIST_IDS].hits,
				 generation->harvest_totals[i], __ATOMIC_RELAXED);
	__atomic_store_n(&generation->harvested, HARVEST_DONE, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------- harvest */

/* After this no CPU runs a program that no link has any more: its class hits are final. */
static void last_cpu_wait(void)
{
	/* Waits for a grace period. Refused on kernels that keep CPUs free of ticks (nohz_full). */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(GRACE_US);
}

/* -ENOENT of a part: it was never in force, or its pins are half removed. Nothing is lost with it. */
static int instance_harvest(struct guard *guard, __u32 prog_id)
{
	struct gate25_generation *generation;
	struct tally tally;
	int error = tally_open(guard->pin_dir, prog_id, PROT_READ | PROT_WRITE, &tally);

	if (error == -ENOENT)
		return 0;
	if (error) {
		log_error("cannot read the instance %u to be harvested: %s", prog_id,
			  strerror(-error));
		return error;
	}
	generation = tally_generation(&tally);
	if (tally.harvested == HARVEST_NONE)
		harvest_note(guard, generation, tally.class_hits.memory, tally.classes.memory);
	if (tally.harvested != HARVEST_DONE)
		harvest_apply(guard, generation);
	tally_close(&tally);
	return 0;
}

/* What a killed process began comes first: harvest_totals were noted for the totals as they are. */
static int harvests_finish(struct guard *guard, const __u32 *ids, int count)
{
	int error = 0;

	for (int i = 0; !error && i < count; i++) {
		struct tally tally;

		if (tally_open(guard->pin_dir, ids[i], PROT_READ | PROT_WRITE, &tally))
			continue;
		if (tally.harvested == HARVEST_NOTED)
			harvest_apply(guard, tally_generation(&tally));
		tally_close(&tally);
	}
	return error;
}

/* Takes the instances that some link runs out of `ids`; returns how many are left, or -errno. */
static int instances_abandoned(struct guard *guard, __u32 *ids, int count)
{
	struct attachment attached[GATE25_IFACES];
	int attachments = guard_attachments(guard, attached), left = 0;

	if (attachments < 0)
		return attachments;
	for (int i = 0; i < count; i++) {
		bool runs = false;

		for (int j = 0; j < attachments; j++)
			runs |= attached[j].prog_id == ids[i];
		if (!runs)
			ids[left++] = ids[i];
	}
	return left;
}

/* Once no instance that stands uses the slot of a service that is gone, it is free. */
static void services_settle(struct guard *guard)
{
	__u32 ids[INSTANCES_MAX];
	int count = instances_pinned(guard->pin_dir, ids);
	__u8 services = 0;

	for (int i = 0; i < count; i++) {
		struct mapping mapping = { 0 };

		if (instance_map(guard->pin_dir, ids[i], &shape_generation, PROT_READ, &mapping))
			continue;
		services |= ((const struct gate25_generation *)mapping.memory)->services;
		mapping_release(&mapping);
	}
	if (count > 0)
		service_slots_free(guard, services);
}

int guard_harvest(struct guard *guard)
{
	__u32 ids[INSTANCES_MAX];
	int count = instances_pinned(guard->pin_dir, ids), error;

	if (count < 0)
		return count;
	error = harvests_finish(guard, ids, count);
	if (error)
		return error;
	count = instances_abandoned(guard, ids, count);
	if (count < 0)
		return count;
	if (count)
		last_cpu_wait();
	for (int i = 0; !error && i < count; i++) {
		error = instance_harvest(guard, ids[i]);
		if (!error)
			error = instance_unpin(guard->pin_dir, ids[i]);
	}
	if (!error)
		services_settle(guard);
	return error;
}

/* ---------------------------------------------------------------- reading */

static int tallies_open(const struct guard *guard, struct tally *tallies)
{
	__u32 ids[INSTANCES_MAX] = { 0 };
	int count = instances_pinned(guard->pin_dir, ids), opened = 0, error = 0;

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		error = tally_open(guard->pin_dir, ids[i], PROT_READ, &tallies[opened]);
		if (!error)
			opened++;
		else if (error != -ENOENT)
			break;
		error = 0;
	}
	while (error && opened)
		tally_close(&tallies[--opened]);
	return error ? error : opened;
}

static void tally_add(const struct guard *guard, const struct tally *tally,
		      __u64 hits[GATE25_LIST_IDS])
{
	const struct gate25_generation *generation = tally_generation(tally);
	__u64 sums[GATE25_LISTS];

	class_hits_sum(generation, tally->class_hits.memory, tally->classes.memory, guard->cpus,
		       sums);
	for (__u32 i = 0; i < generation->lists_count; i++)
		hits[generation->lists[i].id % GATE25_LIST_IDS] += sums[i];
}

/* Some totals may be at their new value already, and none is beyond it. */
static void tally_noted(const struct tally *tally, __u64 hits[GATE25_LIST_IDS])
{
	const struct gate25_generation *generation = tally_generation(tally);

	for (__u32 i = 0; i < generation->lists_count; i++) {
		__u64 *total = &hits[generation->lists[i].id % GATE25_LIST_IDS];

		if (*total < generation->harvest_totals[i])
			*total = generation->harvest_totals[i];
	}
}

/* One attempt: -EAGAIN if a harvest got in between. */
static int hits_read(const struct guard *guard, const struct tally *tallies, int count,
		     __u64 hits[GATE25_LIST_IDS])
{
	for (int id = 0; id < GATE25_LIST_IDS; id++)
		hits[id] = __atomic_load_n(&guard->totals[id].hits, __ATOMIC_ACQUIRE);
	for (int i = 0; i < count; i++)
		if (tallies[i].harvested == HARVEST_NOTED)
			tally_noted(&tallies[i], hits);
	for (int i = 0; i < count; i++)
		if (tallies[i].harvested == HARVEST_NONE)
			tally_add(guard, &tallies[i], hits);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (int i = 0; i < count; i++)
		if (tallies[i].harvested == HARVEST_NONE &&
		    __atomic_load_n(&tally_generation(&tallies[i])->harvested, __ATOMIC_ACQUIRE))
			return -EAGAIN;
	return 0;
}

/*
 * Why nothing is lost or counted twice, without a lock. Instances are opened first, totals are read second, class
 * hits third, and `harvested` is looked at once more, in memory that stays ours when the pins go.
 * - An instance that was at 0 and still is: totals, read before, had none of its hits.
 * - One that was at 0 and is not any more: begin again.
 * - One at 1: its harvest_totals stand; the totals of its lists are at the old value, at that one, or, when
 *   another harvest has followed, beyond it: the greater of the two is right.
 * - One at 2, or that could not be opened any more: the totals, read after, have it all.
 * - One that came after the instances were opened is not counted this time; it was not before, either.
 * Each of these values only grows, so the sum never steps back.
 */
int guard_list_hits(const struct guard *guard, __u64 hits[GATE25_LIST_IDS])
{
	struct tally *tallies = calloc(INSTANCES_MAX, sizeof(*tallies));
	int error = -EAGAIN, count;

	if (!tallies)
		return -ENOMEM;
	for (int try = 0; error == -EAGAIN && try < READ_TRIES; try++) {
		count = tallies_open(guard, tallies);
		if (count < 0) {
			error = count;
			break;
		}
		error = hits_read(guard, tallies, count, hits);
		while (count)
			tally_close(&tallies[--count]);
	}
	free(tallies);
	return error;
}
