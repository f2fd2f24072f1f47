// SPDX-License-Identifier: GPL-2.0-only
/*
 * The maps of state: made once, pinned in pin_dir, shared by all generations; and who owns which slot.
 *
 * In: pin_dir, sizes of the configuration. Out: struct guard, mapped into memory. What is pinned in another
 * layout is refused, never read.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "user/log.h"

#define EVENTS_BYTES   (1 << 20) /* a power of two: some 14,000 events until the agent reads them */
#define LOCK_POLL_US   20000
#define LOCK_SILENT_NS 1000000000ULL
#define LOCK_HOLDER    64 /* "process 4711 (gate25d)" */

#define STATE_ARRAY(map, value)                                                                    \
	{                                                                                          \
		map, BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(value), BPF_F_MMAPABLE              \
	}

const struct map_shape state_shapes[STATE_MAPS] = {
	[STATE_CONTROL] = STATE_ARRAY("control", struct gate25_control),
	[STATE_COUNTERS] = STATE_ARRAY("counters", struct gate25_counter),
	[STATE_CPU_STATE] = STATE_ARRAY("cpu_state", struct gate25_cpu_state),
	[STATE_SOURCES] = STATE_ARRAY("sources", struct gate25_source_line),
	[STATE_REPEATS] = STATE_ARRAY("repeats", struct gate25_repeats),
	[STATE_FILTER] = STATE_ARRAY("filter", struct gate25_filter),
	[STATE_SPENT] = STATE_ARRAY("spent", struct gate25_spent),
	[STATE_TOTALS] = STATE_ARRAY("list_totals", struct gate25_list_total),
	[STATE_AGENT_ERRORS] = STATE_ARRAY("agent_errors", __u64),
	[STATE_SECRET] = STATE_ARRAY("secret", struct gate25_secret),
	[STATE_OVERLAY] = { "overlay", BPF_MAP_TYPE_HASH, sizeof(struct gate25_overlay_key),
			    sizeof(struct gate25_overlay_entry), BPF_F_NO_PREALLOC },
	[STATE_EVENTS] = { "events", BPF_MAP_TYPE_RINGBUF, 0, 0, 0 },
	[STATE_NAMES] = STATE_ARRAY("names", struct gate25_names),
};

__u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

/* ---------------------------------------------------------------- the lock */

/*
 * Who holds the lock writes his process id into it, so that a message can name him. It stays there after
 * him, so he is named only while there is such a process.
 */
static const char *lock_holder(int fd, char text[static LOCK_HOLDER])
{
	char number[16] = "", path[64], name[32] = "";
	int proc, pid = 0;

	if (pread(fd, number, sizeof(number) - 1, 0) > 0 && (pid = atoi(number)) > 0) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		proc = open(path, O_RDONLY | O_CLOEXEC);
		if (proc >= 0 && read(proc, name, sizeof(name) - 1) > 0)
			name[strcspn(name, "\n")] = '\0';
		fd_close(&proc);
	}
	if (name[0])
		snprintf(text, LOCK_HOLDER, "process %d (%s)", pid, name);
	else
		snprintf(text, LOCK_HOLDER, "another process");
	return text;
}

/* Whoever has to wait for longer than a moment is told for whom, once. */
static int lock_wait(int fd, const char *path, unsigned int wait_s)
{
	__u64 began_ns = monotonic_ns(), waited_ns = 0;
	char holder[LOCK_HOLDER];
	bool told = false;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		waited_ns = monotonic_ns() - began_ns;
		if (waited_ns >= wait_s * 1000000000ULL)
			return -EAGAIN;
		if (waited_ns >= LOCK_SILENT_NS && !told) {
			log_warning("waiting for %s, which holds %s…", lock_holder(fd, holder),
				    path);
			told = true;
		}
		usleep(LOCK_POLL_US);
	}
	return 0;
}

static void lock_failed(int fd, const char *path, int error)
{
	char holder[LOCK_HOLDER];

	if (error == -EAGAIN)
		log_error("%s is held by %s: another gate25 is at work; try again, or look what it "
			  "is doing",
			  path, lock_holder(fd, holder));
	else
		log_error("cannot lock %s: %s", path, strerror(-error));
}

int guard_lock(const char *run_dir, unsigned int wait_s)
{
	char path[PATH_MAX];
	int fd = -1, error;

	if (mkdir(run_dir, 0755) && errno != EEXIST) {
		error = -errno;
		log_error("cannot make the directory %s: %s", run_dir, strerror(-error));
		return error;
	}
	error = pin_path(path, "%s/lock", run_dir);
	if (error)
		return error;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		error = -errno;
		log_error("cannot open %s: %s%s", path, strerror(-error),
			  error == -EACCES ? "; run as root" : "");
		return error;
	}
	error = lock_wait(fd, path, wait_s);
	if (error) {
		lock_failed(fd, path, error);
		close(fd);
		return error;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", getpid()) < 0)
		log_debug("cannot write to %s: %s", path, strerror(errno));
	return fd;
}

int guard_lock_try(const char *run_dir)
{
	char path[PATH_MAX];
	int error = pin_path(path, "%s/lock", run_dir), fd;

	if (error)
		return error;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = flock(fd, LOCK_EX | LOCK_NB) ? -EAGAIN : 0;
	if (error)
		close(fd);
	return error ? error : fd;
}

/* ---------------------------------------------------------------- bpffs */

static bool is_bpffs(const char *path)
{
	struct statfs info;

	return statfs(path, &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

static int directory_make(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	return -errno;
}

/* pin_dir's parent is where bpffs has to be mounted. */
static int bpffs_ensure(const char *pin_dir)
{
	char copy[PATH_MAX], *parent;
	int error = pin_path(copy, "%s", pin_dir);

	if (error || is_bpffs(pin_dir))
		return error;
	parent = dirname(copy);
	if (is_bpffs(parent))
		return 0;
	error = directory_make(parent);
	if (!error && mount("bpf", parent, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		error = -errno;
	if (error) {
		log_error(
			"no bpf file system at %s, and it cannot be mounted: %s; as root: mount -t "
			"bpf bpf %s",
			parent, strerror(-error), parent);
		return error;
	}
	log_notice("mounted a bpf file system at %s", parent);
	return 0;
}

static int directories_make(const char *pin_dir)
{
	static const char *const names[] = { "", "/gen", "/links" };
	char path[PATH_MAX];
	int error = bpffs_ensure(pin_dir);

	for (size_t i = 0; !error && i < sizeof(names) / sizeof(names[0]); i++) {
		error = pin_path(path, "%s%s", pin_dir, names[i]);
		if (!error)
			error = directory_make(path);
		if (error)
			log_error("cannot make the directory %s: %s", path, strerror(-error));
	}
	return error;
}

/* ---------------------------------------------------------------- maps of state */

__u32 sources_entries(const struct config *config)
{
	return config->sources_mb * (1024 * 1024 / sizeof(struct gate25_source_line));
}

static __u32 state_entries(enum state_map map, const struct config *config, unsigned int cpus)
{
	switch (map) {
	case STATE_COUNTERS:
		return cpus * GATE25_IFACES * GATE25_SERVICE_ROWS * GATE25_REASONS;
	case STATE_CPU_STATE:
		return cpus;
	case STATE_SOURCES:
		return config ? sources_entries(config) : 0;
	case STATE_OVERLAY:
		return config ? config->overlay_entries : 0;
	case STATE_TOTALS:
		return GATE25_LIST_IDS;
	case STATE_AGENT_ERRORS:
		return GATE25_ERRORS;
	case STATE_EVENTS:
		return EVENTS_BYTES;
	default:
		return 1;
	}
}

static int layout_refused(const char *pin_dir)
{
	log_error(
		"what is pinned in %s was made by another version of gate25 that lays out its maps "
		"differently; it goes on guarding. To change over: gate25 unload, then gate25 load",
		pin_dir);
	return -EPROTO;
}

/* Before anything else is read: is all this ours? */
static int layout_check(const char *pin_dir, int names_fd)
{
	struct mapping mapping = { 0 };
	struct bpf_map_info info;
	int error = map_info(names_fd, &info);
	__u32 layout = 0;

	if (error)
		return error;
	if (map_has_shape(&info, &state_shapes[STATE_NAMES])) {
		error = map_map(names_fd, PROT_READ, &mapping);
		if (error)
			return error;
		layout = ((const struct gate25_names *)mapping.memory)->layout;
		mapping_release(&mapping);
	}
	return layout == GATE25_LAYOUT ? 0 : layout_refused(pin_dir);
}

/* Sources and overlay may have any size: another one of the configuration comes with a generation. */
static int state_check(const struct guard *guard, enum state_map map, int fd)
{
	bool sized = map == STATE_SOURCES || map == STATE_OVERLAY || map == STATE_EVENTS;
	struct bpf_map_info info;
	int error = map_info(fd, &info);

	if (error)
		return error;
	if (!map_has_shape(&info, &state_shapes[map]) ||
	    (!sized && info.max_entries != state_entries(map, NULL, guard->cpus)))
		return layout_refused(guard->pin_dir);
	return 0;
}

/* What a fresh map must hold before anybody can see it. */
static int state_fill(enum state_map map, int fd)
{
	struct gate25_secret secret;
	struct gate25_names names = { .layout = GATE25_LAYOUT };
	__u32 zero = 0;
	int error = 0;

	if (map == STATE_NAMES)
		error = bpf_map_update_elem(fd, &zero, &names, BPF_ANY) ? -errno : 0;
	if (map == STATE_SECRET) {
		if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
			error = -EIO;
		else
			error = bpf_map_update_elem(fd, &zero, &secret, BPF_ANY) ? -errno : 0;
	}
	if (error)
		log_error("cannot fill the map %s: %s", state_shapes[map].name, strerror(-error));
	return error;
}

static int state_make(struct guard_private *self, enum state_map map, const struct config *config,
		      const char *path)
{
	__u32 entries = state_entries(map, config, self->public.cpus);
	int fd = -1, error;

	error = map_create(&state_shapes[map], entries, &fd);
	if (!error)
		error = state_fill(map, fd);
	if (!error)
		error = object_pin(fd, path, false);
	if (error)
		fd_close(&fd);
	else
		self->fds[map] = fd;
	return error;
}

/* Opens one map of state, or makes it if there is a configuration to say its size. */
static int state_open(struct guard_private *self, enum state_map map, const struct config *config)
{
	const char *pin_dir = self->public.pin_dir;
	char path[PATH_MAX];
	int error = pin_path(path, "%s/%s", pin_dir, state_shapes[map].name);

	if (error)
		return error;
	if (self->fds[map] < 0) /* names is open already */
		error = map_open(path, &self->fds[map]);
	if (!error)
		return state_check(&self->public, map, self->fds[map]);
	if (error == -ENOENT && config)
		return state_make(self, map, config, path);
	if (error == -ENOENT)
		log_error("%s is missing: something removed it. Make it again: gate25 load", path);
	else
		log_error("cannot open %s: %s", path, strerror(-error));
	return error;
}

static int state_map_all(struct guard_private *self)
{
	int error = 0;

	for (int map = 0; !error && map < STATE_MAPS; map++) {
		if (state_shapes[map].type != BPF_MAP_TYPE_ARRAY)
			continue;
		error = map_map(self->fds[map],
				map == STATE_SECRET ? PROT_READ : PROT_READ | PROT_WRITE,
				&self->mappings[map]);
	}
	return error;
}

static int guard_publish(struct guard_private *self)
{
	struct guard *guard = &self->public;
	struct bpf_map_info info;
	int error = map_info(self->fds[STATE_OVERLAY], &info);

	if (error)
		return error;
	guard->overlay_max = info.max_entries;
	guard->control = self->mappings[STATE_CONTROL].memory;
	guard->spent = self->mappings[STATE_SPENT].memory;
	guard->filter = self->mappings[STATE_FILTER].memory;
	guard->names = self->mappings[STATE_NAMES].memory;
	guard->counters = self->mappings[STATE_COUNTERS].memory;
	guard->cpu_state = self->mappings[STATE_CPU_STATE].memory;
	guard->sources = self->mappings[STATE_SOURCES].memory;
	guard->source_lines =
		self->mappings[STATE_SOURCES].bytes / sizeof(struct gate25_source_line);
	guard->totals = self->mappings[STATE_TOTALS].memory;
	guard->agent_errors = self->mappings[STATE_AGENT_ERRORS].memory;
	guard->secret = self->mappings[STATE_SECRET].memory;
	guard->overlay_fd = self->fds[STATE_OVERLAY];
	guard->events_fd = self->fds[STATE_EVENTS];
	return 0;
}

static int guard_new(const char *pin_dir, struct guard_private **out)
{
	int cpus = libbpf_num_possible_cpus();
	struct guard_private *self;

	if (cpus < 0)
		return cpus;
	self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->public.cpus = cpus;
	for (int map = 0; map < STATE_MAPS; map++)
		self->fds[map] = -1;
	if (snprintf(self->public.pin_dir, sizeof(self->public.pin_dir), "%s", pin_dir) >=
	    (int)sizeof(self->public.pin_dir)) {
		log_error("pin_dir %s is too long", pin_dir);
		free(self);
		return -ENAMETOOLONG;
	}
	*out = self;
	return 0;
}

static int names_open(struct guard_private *self, bool may_be_missing)
{
	const char *pin_dir = self->public.pin_dir;
	char path[PATH_MAX];
	int error = pin_path(path, "%s/%s", pin_dir, state_shapes[STATE_NAMES].name);

	if (!error)
		error = map_open(path, &self->fds[STATE_NAMES]);
	if (!error)
		return layout_check(pin_dir, self->fds[STATE_NAMES]);
	if (error == -ENOENT && may_be_missing)
		return 0;
	if (error == -ENOENT || error == -ENOTDIR)
		log_notice("not loaded: nothing is pinned in %s; put it in force: gate25 load",
			   pin_dir);
	else
		log_error("cannot open %s: %s%s", path, strerror(-error),
			  error == -EPERM ? "; run as root" : "");
	return error == -ENOTDIR ? -ENOENT : error;
}

static int guard_make(const char *pin_dir, const struct config *config, struct guard **out)
{
	struct guard_private *self = NULL;
	int error;

	libbpf_listen();
	error = guard_new(pin_dir, &self);
	if (error)
		return error;
	error = names_open(self, config != NULL);
	for (int map = 0; !error && map < STATE_MAPS; map++)
		error = state_open(self, map, config);
	if (!error)
		error = state_map_all(self);
	if (!error)
		error = guard_publish(self);
	if (error)
		guard_close(&self->public);
	else
		*out = &self->public;
	return error;
}

int guard_open(const char *pin_dir, struct guard **out)
{
	return guard_make(pin_dir, NULL, out);
}

int guard_create(const struct config *config, struct guard **out)
{
	struct guard_private *self;
	struct guard *guard = NULL;
	int error = directories_make(config->pin_dir);

	if (!error)
		error = guard_make(config->pin_dir, config, &guard);
	if (error)
		return error;
	self = guard_private(guard);
	self->configured_count = config->interfaces_count;
	for (unsigned int i = 0; i < config->interfaces_count; i++)
		memcpy(self->configured[i], config->interfaces[i].name,
		       sizeof(self->configured[i]));
	*out = guard;
	return 0;
}

void guard_close(struct guard *guard)
{
	struct guard_private *self = guard_private(guard);

	if (!guard)
		return;
	for (int map = 0; map < STATE_MAPS; map++) {
		mapping_release(&self->mappings[map]);
		fd_close(&self->fds[map]);
	}
	free(self);
}

bool guard_current(const struct guard *guard)
{
	const struct guard_private *self = guard_private(guard);
	struct bpf_map_info ours, pinned;
	char path[PATH_MAX];
	bool same = true;

	for (int map = 0; same && map < STATE_MAPS; map++) {
		int fd = -1;

		same = pin_path(path, "%s/%s", guard->pin_dir, state_shapes[map].name) == 0 &&
		       map_open(path, &fd) == 0 && map_info(fd, &pinned) == 0 &&
		       map_info(self->fds[map], &ours) == 0 && ours.id == pinned.id;
		fd_close(&fd);
	}
	return same;
}

int guard_replace_map(struct guard *guard, enum state_map map, int fd)
{
	struct guard_private *self = guard_private(guard);
	struct mapping mapping = { 0 };
	char path[PATH_MAX];
	int error, own = -1;

	error = pin_path(path, "%s/%s", guard->pin_dir, state_shapes[map].name);
	if (!error)
		own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (!error && own < 0)
		error = -errno;
	if (!error && state_shapes[map].type == BPF_MAP_TYPE_ARRAY)
		error = map_map(own, PROT_READ | PROT_WRITE, &mapping);
	if (!error)
		error = object_pin(own, path, true);
	if (error) {
		mapping_release(&mapping);
		fd_close(&own);
		return error;
	}
	mapping_release(&self->mappings[map]);
	fd_close(&self->fds[map]);
	self->mappings[map] = mapping;
	self->fds[map] = own;
	return guard_publish(self);
}
