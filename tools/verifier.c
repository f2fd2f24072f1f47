// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's verifier makes of the BPF programs: loads each object named twice, once with
 * every setting off and once with every setting on and at its bound, and prints how many
 * instructions it saw. Settings are constants that the verifier folds away, so the two differ.
 *
 *   verifier [-m BOUND] OBJECT…      exits 1 if a program is refused or costs more than BOUND
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate25.h"

#define PORTS 65536

static unsigned int bound = 200000;

static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

/* Everything at its bound, each limit on, each address to be compared. */
static void settings_fill(void *data)
{
	struct gate25_settings *settings = data;

	for (int i = 0; i < GATE25_SCOPES; i++) {
		settings->limits[i].interval_ns = 200000000;
		settings->limits[i].tolerance_ns = 30000000000;
		settings->limits[i].action = GATE25_DROP;
		settings->limits[i].services = 0xff;
	}
	settings->limits[GATE25_SCOPE_SOURCE].length4 = 32;
	settings->limits[GATE25_SCOPE_SOURCE].length6 = 64;
	settings->limits[GATE25_SCOPE_NETWORK].length4 = 24;
	settings->limits[GATE25_SCOPE_NETWORK].length6 = 48;
	for (int i = 0; i < GATE25_ADDRESSES; i++) {
		settings->addresses[i].address.family = i % 2 ? 4 : 6;
		settings->addresses[i].address.lo = i;
		settings->addresses[i].length = i % 2 ? 32 : 128;
		settings->addresses[i].services = 1 << i % GATE25_SERVICES;
	}
	settings->addresses_count = GATE25_ADDRESSES;
	for (int i = 0; i < GATE25_TRANSLATED; i++)
		settings->translated[i][0] = 0x64ff9b0000000000ULL + i;
	settings->translated_count = GATE25_TRANSLATED;
	settings->source_lines = 65536;
	settings->class_stride = 1024;
	settings->event_interval_ns = 1000000;
	settings->event_tolerance_ns = 100000000;
	memset(settings->default_action, GATE25_DROP, sizeof(settings->default_action));
	settings->defaults = settings->any_address = settings->allow_in_table = 0xff;
}

/* Every section is there. */
static void table_fill(void *data)
{
	struct gate25_table_layout *table = data;

	table->lines = 1 << 16;
	table->v4_blocks = 4096;
	table->v4_leaves = 8192;
	table->v4_hosts = 16384;
	table->v4_hosts_buckets = 8191;
	table->v6_first = 24576;
	table->v6_groups = 26624;
	table->v6_nets = 28672;
	table->v6_nets_buckets = 8191;
	table->v6_hosts = 40960;
	table->v6_hosts_buckets = 8191;
	table->seed = 1;
	table->has_v4 = table->has_v6 = 1;
}

/* Each port is guarded. */
static void ports_fill(void *data)
{
	memset(data, 0xff, PORTS);
}

static const struct {
	const char *name;
	size_t size;
	void (*fill)(void *data);
} constants[] = {
	{ "settings", sizeof(struct gate25_settings), settings_fill },
	{ "layout", sizeof(struct gate25_table_layout), table_fill },
	{ "port_services", PORTS, ports_fill },
};

/* Finds the constants by name in .rodata and fills them. */
static void constants_fill(struct bpf_object *object, void *rodata)
{
	const struct btf *btf = bpf_object__btf(object);
	int section = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *type = section > 0 ? btf__type_by_id(btf, section) : NULL;
	const struct btf_var_secinfo *variable = type ? btf_var_secinfos(type) : NULL;

	for (int i = 0; type && i < btf_vlen(type); i++, variable++) {
		const struct btf_type *var = btf__type_by_id(btf, variable->type);

		for (size_t j = 0; j < sizeof(constants) / sizeof(constants[0]); j++) {
			if (!strcmp(btf__name_by_offset(btf, var->name_off), constants[j].name) &&
			    variable->size == constants[j].size)
				constants[j].fill((char *)rodata + variable->offset);
		}
	}
}

static int rodata_fill(struct bpf_object *object, struct bpf_map *map)
{
	size_t size;
	const void *initial = bpf_map__initial_value(map, &size);
	void *data = initial ? malloc(size) : NULL;
	int error;

	if (!data)
		return initial ? -ENOMEM : 0;
	memcpy(data, initial, size);
	constants_fill(object, data);
	error = bpf_map__set_initial_value(map, data, size);
	free(data);
	return error;
}

/* Maps whose size the loader sets get some size; nothing is pinned. */
static int maps_prepare(struct bpf_object *object, bool everything)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, object) {
		bpf_map__set_pin_path(map, NULL);
		if (!bpf_map__max_entries(map))
			bpf_map__set_max_entries(map, 65536);
		if (everything && strstr(bpf_map__name(map), ".rodata") && !error)
			error = rodata_fill(object, map);
	}
	return error;
}

static int program_print(const char *path, const struct bpf_program *program, const char *settings)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size);
	const char *file = strrchr(path, '/');

	if (error) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	printf("%-20s %-16s %-16s %7u of %u instructions%s\n", file ? file + 1 : path,
	       bpf_program__name(program), settings, info.verified_insns, bound,
	       info.verified_insns > bound ? "  TOO MANY" : "");
	return info.verified_insns > bound ? -E2BIG : 0;
}

static int object_measure(const char *path, bool everything)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	int error = libbpf_get_error(object);

	if (error)
		return error;
	error = maps_prepare(object, everything);
	if (!error)
		error = bpf_object__load(object);
	if (!error) {
		bpf_object__for_each_program(program, object) {
			if (program_print(path, program,
					  everything ? "all settings" : "no settings"))
				error = -E2BIG;
		}
	}
	bpf_object__close(object);
	return error;
}

int main(int argc, char **argv)
{
	int option, status = 0;

	while ((option = getopt(argc, argv, "m:")) != -1) {
		if (option != 'm') {
			fprintf(stderr, "usage: verifier [-m BOUND] OBJECT...\n");
			return 2;
		}
		bound = strtoul(optarg, NULL, 10);
	}
	libbpf_set_print(print_warnings);
	for (int i = optind; i < argc; i++) {
		if (object_measure(argv[i], false) || object_measure(argv[i], true))
			status = 1;
	}
	return status;
}
