// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate25 as a subject: the agent as it is shipped puts a list in force on a device of its own. Its program is measured
 * there, and once more inside of a wrapper that drops whatever it answers (plain.bpf.c says why): the same
 * source, loaded with the constants of the one in force and over its maps.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/gate25.h"
#include "tools/bench/bench.h"
#include "tools/bench/plain.skel.h"
#include "tools/bench/wrapped.skel.h"
#include "user/log.h"

#define MAPS_MOST    32
#define SECONDS_MOST 60 /* until a list is in force */

struct guard_run {
	char name[32], folder[64], pins[64], config[128];
	struct device device;
	pid_t agent;
	int prog_fd;
	struct {
		char name[BPF_OBJ_NAME_LEN];
		int fd;
	} maps[MAPS_MOST]; /* of the program in force */
	int maps_count;
	int cpus;
	double start_seconds;
	const struct gate25_counter *counters;
	size_t counters_bytes;
};

/* ---------------------------------------------------------------- the agent */

static int config_write(const struct guard_run *guard, const struct guard_wish *wish)
{
	FILE *file = fopen(guard->config, "we");

	if (!file)
		return -errno;
	fprintf(file,
		"interfaces: [{name: %s, mode: native}]\n"
		"state_dir: %s/state\nrun_dir: %s/run\npin_dir: %s\n"
		"ports: [25]\npolicy: enforce\nthreshold: 1\nmetrics: {listen: \"off\"}\n"
		"lists:\n  - {name: bench, file: %s, format: %s}\n%s",
		guard->device.name, wish->state ? wish->state : guard->folder, guard->folder,
		guard->pins, wish->file, wish->format, wish->config);
	return fclose(file) ? -errno : 0;
}

static int agent_spawn(struct guard_run *guard)
{
	char program[512], log[128];

	snprintf(program, sizeof(program), "%s/gate25d", ground_build());
	snprintf(log, sizeof(log), "%s/log", guard->folder);
	guard->agent = fork();
	if (guard->agent < 0)
		return -errno;
	if (guard->agent > 0)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!freopen(log, "we", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		_exit(126);
	fcntl(STDOUT_FILENO, F_SETFD, 0);
	execl(program, program, "-c", guard->config, (char *)NULL);
	_exit(127);
}

long long guard_entries(const struct guard_run *guard, __u32 *prog_id)
{
	static struct gate25_generation generation;
	__u32 zero = 0;
	char path[128];
	int fd;

	if (bpf_xdp_query_id(guard->device.ifindex, XDP_FLAGS_DRV_MODE, prog_id) || !*prog_id)
		return -1;
	snprintf(path, sizeof(path), "%s/gen/%u/generation", guard->pins, *prog_id);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -1;
	if (bpf_map_lookup_elem(fd, &zero, &generation))
		generation.lists_count = 0;
	close(fd);
	if (!generation.lists_count)
		return -1;
	return (long long)(generation.lists[0].entries4 + generation.lists[0].entries6);
}

static int guard_await(struct guard_run *guard, __u64 entries, __u32 *prog_id)
{
	double began = seconds_now();

	while (guard_entries(guard, prog_id) < (long long)entries) {
		if (waitpid(guard->agent, NULL, WNOHANG) == guard->agent)
			guard->agent = 0;
		if (!guard->agent || seconds_now() > began + SECONDS_MOST) {
			log_error("gate25d did not put %llu entries in force; it said:", entries);
			command_run("tail -n 20 %s/log >&2", guard->folder);
			return -ETIMEDOUT;
		}
		usleep(2000);
	}
	guard->start_seconds = seconds_now() - began;
	return 0;
}

/* ---------------------------------------------------------------- its program and maps */

static int maps_open(struct guard_run *guard, __u32 prog_id)
{
	__u32 ids[MAPS_MOST];
	struct bpf_prog_info prog = { .nr_map_ids = MAPS_MOST, .map_ids = (__u64)(long)ids };
	__u32 length = sizeof(prog);

	guard->prog_fd = bpf_prog_get_fd_by_id(prog_id);
	if (guard->prog_fd < 0 || bpf_obj_get_info_by_fd(guard->prog_fd, &prog, &length))
		return -errno;
	for (__u32 i = 0; i < prog.nr_map_ids; i++) {
		struct bpf_map_info map = { 0 };
		int fd = bpf_map_get_fd_by_id(ids[i]);

		length = sizeof(map);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &map, &length))
			return -errno;
		memcpy(guard->maps[guard->maps_count].name, map.name, BPF_OBJ_NAME_LEN);
		guard->maps[guard->maps_count++].fd = fd;
	}
	return 0;
}

static int map_find(const struct guard_run *guard, const char *name)
{
	for (int i = 0; i < guard->maps_count; i++)
		if (!strncmp(guard->maps[i].name, name, BPF_OBJ_NAME_LEN - 1))
			return guard->maps[i].fd;
	return -1;
}

static int rodata_find(const struct guard_run *guard)
{
	for (int i = 0; i < guard->maps_count; i++)
		if (strstr(guard->maps[i].name, ".rodata"))
			return guard->maps[i].fd;
	return -1;
}

static int counters_map(struct guard_run *guard)
{
	int fd = map_find(guard, "counters");
	void *memory;

	guard->cpus = libbpf_num_possible_cpus();
	guard->counters_bytes = (size_t)guard->cpus * GATE25_IFACES * GATE25_SERVICE_ROWS *
				GATE25_REASONS * sizeof(*guard->counters);
	memory = mmap(NULL, guard->counters_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	guard->counters = memory;
	return 0;
}

int guard_start(const struct guard_wish *wish, struct guard_run **out)
{
	struct guard_run *guard = calloc(1, sizeof(*guard));
	__u32 prog_id = 0;
	int error;

	if (!guard)
		return -ENOMEM;
	guard->prog_fd = -1;
	snprintf(guard->name, sizeof(guard->name), "%.13s", wish->name);
	snprintf(guard->folder, sizeof(guard->folder), "/run/bench/%s", guard->name);
	snprintf(guard->pins, sizeof(guard->pins), "/sys/fs/bpf/%s", guard->name);
	snprintf(guard->config, sizeof(guard->config), "%s/gate25.yaml", guard->folder);
	error = mkdir(guard->folder, 0755) ? -errno : device_make(&guard->device, guard->name);
	if (!error)
		error = config_write(guard, wish);
	if (!error)
		error = agent_spawn(guard);
	if (!error)
		error = guard_await(guard, wish->entries, &prog_id);
	if (!error)
		error = maps_open(guard, prog_id);
	if (!error)
		error = counters_map(guard);
	if (error)
		guard_stop(guard);
	else
		*out = guard;
	return error;
}

void guard_stop(struct guard_run *guard)
{
	if (!guard)
		return;
	if (guard->counters)
		munmap((void *)guard->counters, guard->counters_bytes);
	for (int i = 0; i < guard->maps_count; i++)
		close(guard->maps[i].fd);
	if (guard->prog_fd >= 0)
		close(guard->prog_fd);
	if (guard->agent > 0) {
		kill(guard->agent, SIGTERM);
		waitpid(guard->agent, NULL, 0);
		command_run("%s/gate25 -c %s unload > %s/log 2>&1", ground_build(), guard->config,
			    guard->folder);
	}
	device_remove(&guard->device);
	command_run("rm -rf %s", guard->folder);
	free(guard);
}

const char *guard_config(const struct guard_run *guard)
{
	return guard->config;
}

const char *guard_pins(const struct guard_run *guard)
{
	return guard->pins;
}

const struct device *guard_device(const struct guard_run *guard)
{
	return &guard->device;
}

pid_t guard_agent(const struct guard_run *guard)
{
	return guard->agent;
}

double guard_start_seconds(const struct guard_run *guard)
{
	return guard->start_seconds;
}

/* ---------------------------------------------------------------- subjects */

static int guard_tally(struct subject *subject, __u64 tallies[TALLIES])
{
	const struct guard_run *guard = subject->own;
	size_t count = guard->counters_bytes / sizeof(*guard->counters);

	_Static_assert(TALLIES == GATE25_REASONS, "a tally for each reason");
	for (size_t i = 0; i < count; i++)
		tallies[i % GATE25_REASONS] += guard->counters[i].packets;
	return 0;
}

int subject_guard(struct subject *subject, struct guard_run *guard)
{
	subject->name = "gate25";
	subject->device = guard->device;
	subject->tally = guard_tally;
	subject->own = guard;
	return 0;
}

/* A program in XDP's native mode at the end of a new veth pair. */
static int device_guarded(struct device *device, const char *name, int prog_fd)
{
	int error = device_make(device, name);

	return error ? error : bpf_xdp_attach(device->ifindex, prog_fd, XDP_FLAGS_DRV_MODE, NULL);
}

static void device_close(struct subject *subject)
{
	device_remove(&subject->device);
}

static int plain_open(struct subject *subject, const char *device, bool drops)
{
	struct plain_bpf *plain = plain_bpf__open_and_load();
	int error;

	if (!plain)
		return -errno;
	error = device_guarded(
		&subject->device, device,
		bpf_program__fd(drops ? plain->progs.drop_all : plain->progs.wrapper));
	subject->close = device_close;
	plain_bpf__destroy(plain); /* the device holds its program */
	return error;
}

int subject_drop_all(struct subject *subject, const char *device)
{
	subject->name = "drop-only";
	return plain_open(subject, device, true);
}

int subject_pass_all(struct subject *subject, const char *device)
{
	subject->name = "pass-only";
	return plain_open(subject, device, false);
}

/* Constants and maps of the program in force. A map that it does not have is not in its code either. */
static int object_take_over(struct bpf_object *object, const struct guard_run *guard)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map);
		int pinned = strncmp(name, ".data.", 6) ? -1 : map_find(guard, name + 6);
		int fd = pinned >= 0 ? pinned : map_find(guard, name);
		__u32 zero = 0;
		char *data;

		bpf_map__set_pin_path(map, NULL);
		if (strstr(bpf_map__name(map), ".rodata")) {
			data = malloc(bpf_map__value_size(map));
			if (!data)
				return -ENOMEM;
			error = bpf_map_lookup_elem(rodata_find(guard), &zero, data);
			if (!error)
				error = bpf_map__set_initial_value(map, data,
								   bpf_map__value_size(map));
			free(data);
		} else if (fd >= 0) {
			error = bpf_map__reuse_fd(map, fd);
		} else {
			error = bpf_map__set_autocreate(map, false);
		}
		if (error)
			return error;
	}
	return 0;
}

struct wrapped {
	struct guard_run *guard;
	struct wrapped_bpf *skeleton;
};

static int wrapped_tally(struct subject *subject, __u64 tallies[TALLIES])
{
	struct wrapped *wrapped = subject->own;
	struct subject guarded = { .own = wrapped->guard };

	return guard_tally(&guarded, tallies);
}

static void wrapped_close(struct subject *subject)
{
	struct wrapped *wrapped = subject->own;

	device_remove(&subject->device);
	wrapped_bpf__destroy(wrapped->skeleton);
	free(wrapped);
}

static int wrapped_load(struct wrapped *wrapped)
{
	int error;

	wrapped->skeleton = wrapped_bpf__open();
	if (!wrapped->skeleton)
		return -errno;
	error = object_take_over(wrapped->skeleton->obj, wrapped->guard);
	return error ? error : wrapped_bpf__load(wrapped->skeleton);
}

int subject_guard_wrapped(struct subject *subject, struct guard_run *guard, const char *device)
{
	struct wrapped *wrapped = calloc(1, sizeof(*wrapped));
	int error;

	if (!wrapped)
		return -ENOMEM;
	subject->name = "gate25";
	subject->own = wrapped;
	subject->tally = wrapped_tally;
	subject->close = wrapped_close;
	wrapped->guard = guard;
	error = wrapped_load(wrapped);
	if (!error)
		error = device_guarded(&subject->device, device,
				       bpf_program__fd(wrapped->skeleton->progs.wrapper));
	if (error)
		log_error("cannot load the program in force into a wrapper: %s", strerror(-error));
	return error;
}
