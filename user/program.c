// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every program of a generation needs to be loaded: its constants, and its maps.
 *
 * In: a guard, a generation, an object that libbpf has opened. Out: an object whose maps are those of the
 * guard and the generation; then a handle to the program.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/log.h"

void program_maps_init(struct program_maps *maps)
{
	memset(maps, 0, sizeof(*maps));
	maps->table_fd = maps->classes_fd = -1;
	maps->class_hits_fd = maps->generation_fd = -1;
	maps->overlay_fd = maps->sources_fd = -1;
}

static int fd_copy(int from, int *to)
{
	if (from < 0)
		return 0;
	*to = fcntl(from, F_DUPFD_CLOEXEC, 0);
	return *to < 0 ? -errno : 0;
}

int program_maps_copy(struct program_maps *maps, const struct generation *generation)
{
	int error = fd_copy(generation->table_fd, &maps->table_fd);

	if (!error)
		error = fd_copy(generation->classes_fd, &maps->classes_fd);
	if (!error)
		error = fd_copy(generation->overlay_fd, &maps->overlay_fd);
	if (!error)
		error = fd_copy(generation->sources_fd, &maps->sources_fd);
	return error;
}

void program_maps_close(struct program_maps *maps)
{
	fd_close(&maps->table_fd);
	fd_close(&maps->classes_fd);
	fd_close(&maps->class_hits_fd);
	fd_close(&maps->generation_fd);
	fd_close(&maps->overlay_fd);
	fd_close(&maps->sources_fd);
}

/* What the program was compiled with must be what the map is: libbpf would not look. */
static int map_reuse(struct bpf_map *map, int fd)
{
	struct bpf_map_info info;
	int error;

	if (fd < 0) /* the program does not use it */
		return bpf_map__set_autocreate(map, false);
	error = map_info(fd, &info);
	if (!error && (bpf_map__type(map) != (enum bpf_map_type)info.type ||
		       bpf_map__key_size(map) != info.key_size ||
		       bpf_map__value_size(map) != info.value_size ||
		       bpf_map__map_flags(map) != info.map_flags)) {
		log_error(
			"map %s is not what the program expects: program and gate25 were not built "
			"from the same sources",
			bpf_map__name(map));
		return -EPROTO;
	}
	return error ? error : bpf_map__reuse_fd(map, fd);
}

/* A map by its name; one of a single value is a variable in the program, in a section of that name. */
static struct bpf_map *map_find(const struct bpf_object *object, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	char section[BPF_OBJ_NAME_LEN + sizeof(".data.")];

	if (map)
		return map;
	snprintf(section, sizeof(section), ".data.%s", name);
	return bpf_object__find_map_by_name(object, section);
}

int program_maps_use(const struct bpf_object *object, const struct guard *guard,
		     struct program_maps *maps)
{
	const struct {
		const char *name;
		int fd;
	} own[] = {
		{ shape_table.name, maps->table_fd },
		{ shape_classes.name, maps->classes_fd },
		{ shape_class_hits.name, maps->class_hits_fd },
		{ shape_generation.name, maps->generation_fd },
	};
	int fds[STATE_MAPS], error = 0;
	struct bpf_map *map;

	memcpy(fds, guard_private(guard)->fds, sizeof(fds));
	if (maps->overlay_fd >= 0)
		fds[STATE_OVERLAY] = maps->overlay_fd;
	if (maps->sources_fd >= 0)
		fds[STATE_SOURCES] = maps->sources_fd;
	for (int i = 0; !error && i < STATE_MAPS; i++) {
		map = map_find(object, state_shapes[i].name);
		if (map)
			error = map_reuse(map, fds[i]);
		if (!error)
			error = map_id(fds[i], &maps->state_ids[i]);
	}
	for (size_t i = 0; !error && i < sizeof(own) / sizeof(own[0]); i++) {
		map = map_find(object, own[i].name);
		if (map)
			error = map_reuse(map, own[i].fd);
	}
	return error;
}

int program_keep(const struct bpf_program *program, int *fd, __u32 *id)
{
	struct bpf_prog_info info = { 0 };
	__u32 length = sizeof(info);
	int error = fd_copy(bpf_program__fd(program), fd);

	if (!error && bpf_obj_get_info_by_fd(*fd, &info, &length))
		error = -errno;
	*id = info.id;
	return error;
}

static bool state_is_fresh(const struct program_maps *maps, enum state_map map)
{
	return (map == STATE_OVERLAY && maps->overlay_fd >= 0) ||
	       (map == STATE_SOURCES && maps->sources_fd >= 0);
}

bool program_is_current(const struct guard *guard, const struct program_maps *maps)
{
	__u32 id;

	if (!guard_current(guard))
		return false;
	for (int map = 0; map < STATE_MAPS; map++)
		if (!state_is_fresh(maps, map) &&
		    (map_id(guard_private(guard)->fds[map], &id) || id != maps->state_ids[map]))
			return false;
	return true;
}
