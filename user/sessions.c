// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program that counts connections: loaded with a generation's maps, put in force by one link at the root
 * of the control groups.
 *
 * In: a generation. Out: pin_dir/sessions, a link that stands by itself; control.sessions_prog, which says
 * that what it runs counts on the maps that are pinned. Without it SYNs are counted.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/sessions.skel.h"
#include "user/log.h"

#define ROOT_INODE                                                                                 \
	1 /* of the root of all control groups; the root that a container sees has another */

struct sessions {
	int prog_fd;
	__u32 prog_id;
	struct program_maps maps;
};

const char *sessions_why(int error)
{
	switch (error < 0 ? -error : error) {
	case ENOENT:
		return "no cgroup2 file system is mounted; mount -t cgroup2 cgroup2 "
		       "/sys/fs/cgroup/unified, or as your system does";
	case EPERM:
	case EACCES:
		return "no permission to attach to the control groups: is CAP_NET_ADMIN or CAP_BPF "
		       "missing, or does a security module forbid it?";
	case EXDEV:
		return "the root of the control groups is not to be seen from here (a container), "
		       "so only what "
		       "runs in it could be counted; if the mail server does: limits: {count: "
		       "connections}";
	case EINVAL:
	case EOPNOTSUPP:
		return "this kernel has no BPF for control groups (CONFIG_CGROUP_BPF)";
	default:
		return strerror(error < 0 ? -error : error);
	}
}

/* ---------------------------------------------------------------- load */

static int program_load(struct sessions *sessions, const struct guard *guard,
			const struct generation *generation)
{
	struct sessions_bpf *skeleton;
	int error;

	if (!generation->info.settings.netns_cookie)
		return -EOPNOTSUPP;
	libbpf_listen();
	skeleton = sessions_bpf__open();
	if (!skeleton)
		return -errno;
	skeleton->rodata->settings = generation->info.settings;
	skeleton->rodata->layout = generation->info.table;
	memcpy(skeleton->rodata->port_services, generation->port_services,
	       sizeof(skeleton->rodata->port_services));
	error = program_maps_use(skeleton->obj, guard, &sessions->maps);
	if (!error)
		error = sessions_bpf__load(skeleton);
	if (!error)
		error = program_keep(skeleton->progs.sessions, &sessions->prog_fd,
				     &sessions->prog_id);
	if (error)
		log_error("the kernel refuses the program that counts connections: %s; %s",
			  strerror(-error), libbpf_said());
	sessions_bpf__destroy(skeleton);
	return error;
}

int sessions_load(struct guard *guard, const struct generation *generation, struct sessions **out)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));
	int error;

	if (!sessions)
		return -ENOMEM;
	sessions->prog_fd = -1;
	program_maps_init(&sessions->maps);
	error = program_maps_copy(&sessions->maps, generation);
	if (!error)
		error = program_load(sessions, guard, generation);
	if (error)
		sessions_free(sessions);
	else
		*out = sessions;
	return error;
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	fd_close(&sessions->prog_fd);
	program_maps_close(&sessions->maps);
	free(sessions);
}

/* ---------------------------------------------------------------- the root of the control groups */

/*
 * A host may have mounted it anywhere, and parts of it elsewhere. Returns a descriptor, or -errno; -EXDEV: only a part is
 * to be seen, and `part` does not say that it will do.
 */
static int cgroup_root_open(bool part)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct stat info = { .st_ino = 0 };
	struct mntent *mount;
	int fd = -1, error = -ENOENT;

	while (mounts && info.st_ino != ROOT_INODE && (mount = getmntent(mounts))) {
		int other;

		if (strcmp(mount->mnt_type, "cgroup2") != 0)
			continue;
		other = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (other < 0 || fstat(other, &info)) {
			error = -errno;
			fd_close(&other);
		} else if (fd < 0 || info.st_ino == ROOT_INODE) {
			fd_close(&fd);
			fd = other;
		} else {
			close(other);
		}
	}
	if (mounts)
		endmntent(mounts);
	if (fd >= 0 && info.st_ino != ROOT_INODE && !part) {
		fd_close(&fd);
		return -EXDEV;
	}
	if (fd >= 0 && info.st_ino != ROOT_INODE)
		log_notice("the root of the control groups is not to be seen from here: only "
			   "connections to processes of this container are counted");
	return fd >= 0 ? fd : error;
}

/* ---------------------------------------------------------------- the link */

static int link_path(const char *pin_dir, char path[static PATH_MAX])
{
	return pin_path(path, "%s/sessions", pin_dir);
}

static int link_make(const struct sessions *sessions, const char *path, bool part)
{
	int root = cgroup_root_open(part), fd = -1, error = root < 0 ? root : 0;

	if (!error) {
		fd = bpf_link_create(sessions->prog_fd, root, BPF_CGROUP_SOCK_OPS, NULL);
		error = fd < 0 ? -errno : 0;
	}
	/* In the place of one that is dead. Without a pin the kernel takes it off again. */
	if (!error)
		error = object_pin(fd, path, true);
	fd_close(&fd);
	fd_close(&root);
	return error;
}

int sessions_attach(struct guard *guard, const struct sessions *sessions, bool part)
{
	char path[PATH_MAX];
	int fd = -1, error;

	if (!program_is_current(guard, &sessions->maps))
		return -ESTALE;
	error = link_path(guard->pin_dir, path);
	if (error)
		return error;
	/* A link whose control group is gone refuses the update. */
	if (map_open(path, &fd) || bpf_link_update(fd, sessions->prog_fd, NULL))
		error = link_make(sessions, path, part);
	fd_close(&fd);
	if (error)
		return error;
	__atomic_store_n(&guard->control->sessions_prog, sessions->prog_id, __ATOMIC_RELEASE);
	guard->control->sessions_error = 0;
	return 0;
}

bool sessions_counting(const struct guard *guard)
{
	struct bpf_link_info info = { 0 };
	__u32 length = sizeof(info);
	char path[PATH_MAX];
	bool counting;
	int fd = -1;

	counting = link_path(guard->pin_dir, path) == 0 && map_open(path, &fd) == 0 &&
		   bpf_obj_get_info_by_fd(fd, &info, &length) == 0 &&
		   info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id && info.prog_id &&
		   info.prog_id == guard->control->sessions_prog;
	fd_close(&fd);
	return counting;
}

bool sessions_in_force(const struct guard *guard, const struct sessions *sessions)
{
	if (!sessions)
		return !guard->control->sessions_prog;
	return guard->control->sessions_prog == sessions->prog_id && sessions_counting(guard);
}

void sessions_forget(struct guard *guard)
{
	__atomic_store_n(&guard->control->counted_services, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&guard->control->sessions_prog, 0, __ATOMIC_RELEASE);
}

void sessions_unpin(const char *pin_dir)
{
	char path[PATH_MAX];
	int fd = -1;

	if (link_path(pin_dir, path) || map_open(path, &fd))
		return;
	/* At once: the kernel does it only some time after the last pin has gone. */
	if (bpf_link_detach(fd) && errno != ENOLINK)
		log_warning("cannot take off the program that counts connections: %s",
			    strerror(errno));
	fd_close(&fd);
	if (unlink(path))
		log_warning("cannot remove %s: %s", path, strerror(errno));
}

void sessions_detach(struct guard *guard, int why)
{
	sessions_forget(guard);
	guard->control->sessions_error = why < 0 ? -why : why;
	sessions_unpin(guard->pin_dir);
}
