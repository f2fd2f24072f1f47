// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel maps from user space: create, check, map into memory, pin.
 *
 * In: shapes, sizes, paths in bpffs. Out: file descriptors and memory that is shared with the kernel. Every
 * array of gate25 is mmapable, so it is read and written without a system call.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "user/log.h"

#define SAID_BYTES 256

static __thread char said[SAID_BYTES];

/* Keeps the end of what libbpf says: of a verifier's log, the last lines name the reason. */
static int libbpf_hear(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text = NULL;
	size_t length;

	if (level != LIBBPF_WARN)
		return 0;
	if (vasprintf(&text, format, arguments) < 0)
		return 0;
	length = strlen(text);
	while (length && text[length - 1] == '\n')
		text[--length] = '\0';
	if (length && strstr(text, "failed to load") == NULL)
		snprintf(said, sizeof(said), "%s",
			 length >= sizeof(said) ? text + length - sizeof(said) + 1 : text);
	log_debug("libbpf: %s", text);
	free(text);
	return 0;
}

void libbpf_listen(void)
{
	said[0] = '\0';
	libbpf_set_print(libbpf_hear);
}

const char *libbpf_said(void)
{
	return said;
}

int pin_path(char path[static PATH_MAX], const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(path, PATH_MAX, format, arguments);
	va_end(arguments);
	return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int map_create(const struct map_shape *shape, __u32 max_entries, int *fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = shape->flags);
	int made = bpf_map_create(shape->type, shape->name, shape->key_size, shape->value_size,
				  max_entries ? max_entries : 1, &options);

	if (made >= 0) {
		*fd = made;
		return 0;
	}
	made = -errno;
	if (made == -EPERM)
		log_error(
			"no permission to make BPF maps: run as root (CAP_BPF and CAP_NET_ADMIN)");
	else
		log_error("cannot make the map %s of %u entries of %u bytes: %s%s", shape->name,
			  max_entries, shape->value_size, strerror(-made),
			  made == -ENOMEM ? "; a memory limit of the service (MemoryMax) must hold "
					    "two generations of the table" :
					    "");
	return made;
}

int map_open(const char *path, int *fd)
{
	int opened = bpf_obj_get(path);

	if (opened < 0)
		return errno == EACCES ? -EPERM : -errno;
	*fd = opened;
	return 0;
}

int map_info(int fd, struct bpf_map_info *info)
{
	__u32 length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &length) ? -errno : 0;
}

int map_id(int fd, __u32 *id)
{
	struct bpf_map_info info;
	int error = map_info(fd, &info);

	*id = info.id;
	return error;
}

bool map_has_shape(const struct bpf_map_info *info, const struct map_shape *shape)
{
	return info->type == shape->type && info->key_size == shape->key_size &&
	       info->value_size == shape->value_size && info->map_flags == shape->flags;
}

int map_map(int fd, int protection, struct mapping *out)
{
	size_t page = sysconf(_SC_PAGESIZE), bytes;
	struct bpf_map_info info;
	void *memory;
	int error = map_info(fd, &info);

	if (error)
		return error;
	/* The kernel rounds each element up to 8 bytes, and the whole up to pages. */
	bytes = (size_t)((info.value_size + 7) & ~7u) * info.max_entries;
	bytes = (bytes + page - 1) & ~(page - 1);
	memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		error = -errno;
		log_error("cannot map %s (%zu bytes) into memory: %s", info.name, bytes,
			  strerror(-error));
		return error;
	}
	out->memory = memory;
	out->bytes = bytes;
	return 0;
}

void mapping_release(struct mapping *mapping)
{
	if (mapping->memory)
		munmap(mapping->memory, mapping->bytes);
	mapping->memory = NULL;
	mapping->bytes = 0;
}

int map_create_filled(const struct map_shape *shape, __u32 max_entries, const void *elements,
		      size_t count, int *fd)
{
	struct mapping mapping = { 0 };
	int made = -1, error;

	error = map_create(shape, max_entries, &made);
	if (error)
		goto out;
	error = map_map(made, PROT_READ | PROT_WRITE, &mapping);
	if (error)
		goto out;
	if (count && mapping.memory)
		memcpy(mapping.memory, elements, count * shape->value_size);
	*fd = made;
	made = -1;
out:
	mapping_release(&mapping);
	fd_close(&made);
	return error;
}

int object_pin(int fd, const char *path, bool replace)
{
	char fresh[PATH_MAX] = "";
	int error;

	if (replace) {
		error = pin_path(fresh, "%s%%new", path);
		if (error)
			return error;
		unlink(fresh); /* of a process that was killed here */
	}
	error = bpf_obj_pin(fd, replace ? fresh : path) ? -errno : 0;
	if (!error && replace && rename(fresh, path)) {
		error = -errno;
		unlink(fresh);
	}
	if (error)
		log_error("cannot pin %s: %s%s", path, strerror(-error),
			  error == -EPERM ? "; run as root" : "");
	return error;
}
