// SPDX-License-Identifier: GPL-2.0-only
/* Loads ingress.bpf.o with maps of its own and runs it over single frames. */
#include "tests/common/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/ingress.skel.h"

#define LINE_BYTES 64

static struct bpf_object *open_object(const char *path)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "ingress");
	size_t length;
	const void *bytes;

	if (path)
		return bpf_object__open_file(path, &options);
	bytes = ingress_bpf__elf_bytes(&length);
	return bpf_object__open_mem(bytes, length, &options);
}

static int map_size(struct bpf_object *object, const char *name, size_t entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__set_max_entries(map, entries ? entries : 1) : -ENOENT;
}

/* The constants lie in the object's .rodata as the skeleton knows it. */
static int set_constants(struct bpf_object *object, const struct program_setup *setup,
			 size_t stride)
{
	struct bpf_map *map, *rodata = NULL;
	struct ingress_bpf__rodata *constants = NULL;
	const void *initial;
	size_t size = 0;
	int error;

	bpf_object__for_each_map(map, object)
		if (strstr(bpf_map__name(map), ".rodata"))
			rodata = map;
	initial = rodata ? bpf_map__initial_value(rodata, &size) : NULL;
	if (!initial || size < sizeof(*constants))
		return -ENOENT;
	constants = malloc(size);
	if (!constants)
		return -ENOMEM;
	memcpy(constants, initial, size);
	constants->settings = setup->settings;
	constants->settings.class_stride = stride;
	constants->settings.source_lines = 4096;
	constants->settings.table_empty = !setup->table;
	if (setup->table)
		constants->layout = setup->table->layout;
	for (size_t i = 0; i < 8 && setup->ports[i].services; i++)
		constants->port_services[setup->ports[i].port] = setup->ports[i].services;
	error = bpf_map__set_initial_value(rodata, constants, size);
	free(constants);
	return error;
}

static int set_sizes(struct bpf_object *object, const struct program_setup *setup, size_t stride)
{
	int cpus = libbpf_num_possible_cpus();
	int error = map_size(object, "table", setup->table ? setup->table->layout.lines : 1);

	if (!error)
		error = map_size(object, "classes", setup->table ? setup->table->classes_count : 1);
	if (!error)
		error = map_size(object, "class_hits", cpus * stride);
	if (!error)
		error = map_size(object, "sources", 4096);
	if (!error)
		error = map_size(object, "cpu_state", cpus);
	if (!error)
		error = map_size(object, "counters",
				 (size_t)cpus * GATE25_IFACES * GATE25_SERVICE_ROWS *
					 GATE25_REASONS);
	return error;
}

static int fill(struct program *program, const char *name, const void *from, size_t bytes)
{
	size_t rounded = (bytes + 4095) & ~4095UL;
	int fd = program_map(program, name);
	void *to = fd < 0 ? MAP_FAILED :
			    mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (to == MAP_FAILED)
		return fd < 0 ? fd : -errno;
	memcpy(to, from, bytes);
	munmap(to, rounded);
	return 0;
}

int program_load(struct program *program, const struct program_setup *setup)
{
	size_t classes = setup->table ? setup->table->classes_count : 1;
	size_t stride = (classes + 7) & ~7UL;
	struct bpf_program *ingress;
	int error;

	memset(program, 0, sizeof(*program));
	program->object = open_object(setup->object);
	if (!program->object)
		return -errno;
	error = set_constants(program->object, setup, stride);
	if (!error)
		error = set_sizes(program->object, setup, stride);
	if (!error)
		error = bpf_object__load(program->object);
	if (!error && setup->table)
		error = fill(program, "table", setup->table->lines,
			     (size_t)setup->table->layout.lines * LINE_BYTES);
	if (!error && setup->table)
		error = fill(program, "classes", setup->table->classes,
			     classes * sizeof(struct gate25_class));
	ingress = bpf_object__find_program_by_name(program->object, "ingress");
	if (!error && !ingress)
		error = -ENOENT;
	if (error)
		program_free(program);
	else
		program->fd = bpf_program__fd(ingress);
	return error;
}

int program_map(const struct program *program, const char *name)
{
	return bpf_object__find_map_fd_by_name(program->object, name);
}

unsigned int program_run(const struct program *program, const void *frame, size_t length)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length,
		    .repeat = 1);

	if (bpf_prog_test_run_opts(program->fd, &options))
		abort(); /* not a verdict: the test itself is broken */
	return options.retval;
}

void program_free(struct program *program)
{
	bpf_object__close(program->object);
	memset(program, 0, sizeof(*program));
}
