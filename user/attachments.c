// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinned links: which interface runs which instance, and how to take it off again.
 *
 * In: pin_dir/links/. Out: struct attachment for each. A link outlives its device; it is then dead, and stays
 * listed until it is replaced or detached.
 */
#include "user/dataplane_internal.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "user/log.h"

/* ---------------------------------------------------------------- names in bpffs */

void iface_encode(const char *iface, char name[static 48])
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *iface; iface++) {
		if (*iface != '.' && *iface != '%') {
			*name++ = *iface;
			continue;
		}
		*name++ = '%';
		*name++ = digits[(unsigned char)*iface >> 4];
		*name++ = digits[*iface & 15];
	}
	*name = '\0';
}

int iface_decode(const char *name, char iface[static 16])
{
	unsigned int length = 0, code;

	while (*name) {
		if (length == 15)
			return -EINVAL;
		if (*name != '%') {
			iface[length++] = *name++;
			continue;
		}
		if (sscanf(name + 1, "%2X", &code) != 1 || (code != '.' && code != '%'))
			return -EINVAL; /* "%new": a link that a killed process left half pinned */
		iface[length++] = code;
		name += 3;
	}
	iface[length] = '\0';
	return length ? 0 : -EINVAL;
}

int link_pin_path(const struct guard *guard, const char *iface, char path[static PATH_MAX])
{
	char name[48];

	if (!iface[0] || strlen(iface) > 15 || strchr(iface, '/'))
		return -EINVAL;
	iface_encode(iface, name);
	return pin_path(path, "%s/links/%s", guard->pin_dir, name);
}

/* ---------------------------------------------------------------- links */

int pinned_link_open(const struct guard *guard, const char *iface, struct pinned_link *out)
{
	struct bpf_link_info info = { 0 };
	__u32 length = sizeof(info);
	char path[PATH_MAX];
	int fd = -1, error;

	error = link_pin_path(guard, iface, path);
	if (!error)
		error = map_open(path, &fd);
	if (!error && bpf_obj_get_info_by_fd(fd, &info, &length))
		error = -errno;
	if (!error && info.type != BPF_LINK_TYPE_XDP)
		error = -EPROTO;
	if (error) {
		fd_close(&fd);
		return error;
	}
	out->fd = fd;
	out->prog_id = info.prog_id;
	out->ifindex = info.xdp.ifindex;
	return 0;
}

int xdp_query(unsigned int ifindex, __u32 *prog_id, bool *native)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int error = bpf_xdp_query(ifindex, 0, &query);

	*prog_id = 0;
	*native = false;
	if (error)
		return error;
	*native = query.attach_mode == XDP_ATTACHED_DRV || query.attach_mode == XDP_ATTACHED_HW;
	*prog_id = query.prog_id;
	if (!*prog_id) /* several modes at once: the first that there is */
		*prog_id = query.drv_prog_id ? query.drv_prog_id :
			   query.skb_prog_id ? query.skb_prog_id :
					       query.hw_prog_id;
	return 0;
}

int guard_attachments(struct guard *guard, struct attachment out[GATE25_IFACES])
{
	char path[PATH_MAX];
	struct dirent *entry;
	int count = 0, error;
	DIR *directory;

	error = pin_path(path, "%s/links", guard->pin_dir);
	if (error)
		return error;
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (count < GATE25_IFACES && (entry = readdir(directory))) {
		struct attachment *found = &out[count];
		struct pinned_link link;
		__u32 running;

		if (entry->d_name[0] == '.' || iface_decode(entry->d_name, found->iface) ||
		    pinned_link_open(guard, found->iface, &link))
			continue;
		close(link.fd);
		found->ifindex = link.ifindex;
		found->prog_id = link.prog_id;
		found->native = false;
		if (link.ifindex)
			xdp_query(link.ifindex, &running, &found->native);
		count++;
	}
	closedir(directory);
	return count;
}

int guard_detach(struct guard *guard, const char *iface)
{
	struct attachment attached[GATE25_IFACES];
	struct pinned_link link;
	char path[PATH_MAX];
	int error = link_pin_path(guard, iface, path);

	if (!error)
		error = pinned_link_open(guard, iface, &link);
	if (error) {
		if (error != -ENOENT)
			log_error("%s: cannot open its link: %s", iface, strerror(-error));
		return error;
	}
	/* At once, not only when the last descriptor is closed; a dead link has nothing to detach. */
	if (bpf_link_detach(link.fd) && errno != ENOLINK && link.ifindex) {
		error = -errno;
		log_error("%s: cannot detach: %s", iface, strerror(-error));
	} else if (unlink(path)) {
		error = -errno;
		log_error("cannot remove %s: %s", path, strerror(-error));
	}
	close(link.fd);
	if (!error && guard_attachments(guard, attached) == 0)
		sessions_detach(guard, 0);
	return error ? error : guard_harvest(guard);
}

/* ---------------------------------------------------------------- remove */

/* Removes a folder of pins, and what is in it up to two levels deep. -ENOENT is fine. */
static int folder_remove(const char *path, int depth)
{
	DIR *directory = opendir(path);
	char inner[PATH_MAX];
	struct dirent *entry;
	int error = 0;

	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!error && (entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		error = pin_path(inner, "%s/%s", path, entry->d_name);
		if (error || unlink(inner) == 0)
			continue;
		error = depth && errno == EISDIR ? folder_remove(inner, depth - 1) : -errno;
	}
	closedir(directory);
	if (!error && rmdir(path))
		error = -errno;
	return error;
}

static int pins_remove(const char *pin_dir)
{
	char names[PATH_MAX];
	int error = pin_path(names, "%s/%s", pin_dir, state_shapes[STATE_NAMES].name);

	if (error)
		return error;
	unlink(names); /* from here on it is not loaded, even if we are killed */
	error = folder_remove(pin_dir, 2);
	if (error)
		log_error("cannot remove what is pinned in %s: %s%s", pin_dir, strerror(-error),
			  error == -EPERM || error == -EACCES ? "; run as root" : "");
	return error;
}

int guard_remove(struct guard *guard)
{
	struct attachment attached[GATE25_IFACES];
	int count = guard_attachments(guard, attached);

	if (count < 0)
		return count;
	if (count) {
		log_error("%s is still guarded: detach it first", attached[0].iface);
		return -EBUSY;
	}
	sessions_detach(guard, 0);
	return pins_remove(guard->pin_dir);
}

/* At once: the kernel detaches a link only some time after its last pin has gone. */
static void links_detach(const char *pin_dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	if (pin_path(path, "%s/links", pin_dir))
		return;
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		int fd = -1;

		if (pin_path(path, "%s/links/%s", pin_dir, entry->d_name) == 0 &&
		    map_open(path, &fd) == 0)
			bpf_link_detach(fd);
		fd_close(&fd);
	}
	if (directory)
		closedir(directory);
}

int guard_purge(const char *pin_dir)
{
	struct stat info;

	if (stat(pin_dir, &info))
		return -errno;
	links_detach(pin_dir);
	sessions_unpin(pin_dir);
	return pins_remove(pin_dir);
}

int instance_unpin(const char *pin_dir, __u32 prog_id)
{
	char path[PATH_MAX];
	int error = pin_path(path, "%s/gen/%u", pin_dir, prog_id);

	if (!error)
		error = folder_remove(path, 0);
	if (error)
		log_warning("cannot remove %s: %s", path, strerror(-error));
	return error;
}
