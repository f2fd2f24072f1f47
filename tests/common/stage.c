// SPDX-License-Identifier: GPL-2.0-only
/* Namespaces, veth pairs and small tables for tests of the guard in force. */
#include "tests/common/stage.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void config_fill(struct stage *stage)
{
	struct config *config = &stage->config;
	struct config_service *service = &config->services[0];

	strcpy(config->interfaces[0].name, "mx0");
	config->interfaces_count = 1;
	strcpy(service->name, "mx");
	service->ports[0] = 25;
	service->ports_count = 1;
	config->services_count = 1;
	config->threshold = 1;
	config->sources_mb = 1;
	config->overlay_entries = 1024;
	config->events_per_s = 100;
	config->pin_dir = stage->pin_dir;
	config->run_dir = stage->run_dir;
}

int stage_enter(struct stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	strcpy(stage->directory, "/tmp/gate25-stage-XXXXXX");
	if (!mkdtemp(stage->directory) || unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("stage", stage->directory, "tmpfs", 0, "size=64m")) {
		perror("stage");
		return -1;
	}
	snprintf(stage->pin_dir, sizeof(stage->pin_dir), "%s/bpf/gate25", stage->directory);
	snprintf(stage->run_dir, sizeof(stage->run_dir), "%s/run", stage->directory);
	config_fill(stage);
	return stage_run("ip link set lo up");
}

void stage_leave(struct stage *stage)
{
	umount2(stage->directory, MNT_DETACH);
	rmdir(stage->directory);
}

int stage_run(const char *format, ...)
{
	char command[512];
	va_list arguments;
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	status = system(command);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fprintf(stderr, "failed: %s\n", command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int stage_veth(const char *name, const char *peer)
{
	int failed = stage_run("ip link add %s type veth peer name %s", name, peer);

	if (!failed)
		failed = stage_run("ip link set %s up && ip link set %s up", name, peer);
	return failed;
}

static int list_make(const struct stage_list *list, struct compile_list *out)
{
	struct prefix prefixes[128];
	struct list_image *image = NULL;
	const char *why;
	size_t count = 0;
	int error = 0;

	for (; !error && list->entries[count]; count++)
		error = count == 128 ?
				-E2BIG :
				prefix_parse(list->entries[count], NULL, 0, &prefixes[count], &why);
	if (!error)
		error = list_from_prefixes(prefixes, count, &image);
	if (error)
		return error;
	snprintf(out->info.name, sizeof(out->info.name), "%s", list->name);
	out->info.id = list->id;
	out->info.weight = 1;
	out->info.allow = list->allow;
	out->info.observe = list->observe;
	out->info.action = GATE25_DROP;
	out->info.services = 1;
	out->info.entries4 = image->count4;
	out->info.entries6 = image->count6;
	out->image = image;
	return 0;
}

int stage_table_make(const struct stage_list *lists, size_t count, struct stage_table *out)
{
	struct compile_input input = { .lists = out->lists, .count = count, .threshold = 1 };
	int error = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; !error && i < count; i++) {
		error = list_make(&lists[i], &out->lists[i]);
		out->count += !error;
	}
	if (!error)
		error = table_compile(&input, &out->compiled);
	if (error)
		stage_table_free(out);
	return error;
}

void stage_table_free(struct stage_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		list_image_free((struct list_image *)table->lists[i].image);
	table->count = 0;
	compiled_table_free(table->compiled);
	table->compiled = NULL;
}

int stage_load(const struct stage *stage, struct guard *guard, const struct stage_table *table,
	       const char *iface, struct instance **out)
{
	struct generation *generation = NULL;
	__u8 slots[GATE25_SERVICES] = { 0 };
	struct generation_plan plan = {
		.config = &stage->config,
		.service_slots = slots,
		.table = table->compiled,
		.lists = table->lists,
		.lists_count = table->count,
	};
	int error = guard_assign_services(guard, &stage->config, slots);

	if (!error)
		error = generation_create(guard, &plan, &generation);
	if (!error)
		error = instance_load(guard, generation, iface, out);
	generation_free(generation);
	return error;
}

int stage_swap(const struct stage *stage, struct guard *guard, const struct stage_table *table,
	       const char *iface, enum attach_mode mode)
{
	struct instance *instance = NULL;
	int error = stage_load(stage, guard, table, iface, &instance);

	if (!error)
		error = instance_attach(guard, instance, mode);
	instance_free(instance);
	return error ? error : guard_harvest(guard);
}
