// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance of the program for one interface: loaded, pinned, put in force by one update of a link.
 *
 * In: a generation, an interface. Out: the interface is guarded by it, or by what guarded it before. There is no
 * moment in between in which it is not guarded, but where a link has to change its mode.
 */
#include "user/dataplane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bpf/ingress.skel.h"
#include "user/log.h"

const struct map_shape shape_class_hits = { "class_hits", BPF_MAP_TYPE_ARRAY, sizeof(__u32),
					    sizeof(__u64), BPF_F_MMAPABLE };
const struct map_shape shape_generation = { "generation", BPF_MAP_TYPE_ARRAY, sizeof(__u32),
					    sizeof(struct gate25_generation), BPF_F_MMAPABLE };

/* ---------------------------------------------------------------- load */

static int own_maps_make(struct instance *instance, const struct generation *generation,
			 unsigned int cpus, int slot)
{
	struct gate25_generation *info;
	int error;

	error = map_create(&shape_class_hits, cpus * generation->info.settings.class_stride,
			   &instance->maps.class_hits_fd);
	if (!error)
		error = map_create_filled(&shape_generation, 1, &generation->info, 1,
					  &instance->maps.generation_fd);
	if (!error)
		error = map_map(instance->maps.generation_fd, PROT_READ | PROT_WRITE,
				&instance->generation);
	if (error)
		return error;
	info = instance->generation.memory;
	info->settings.iface = slot;
	return 0;
}

static int program_load(struct instance *instance, const struct guard *guard,
			const struct generation *generation)
{
	const struct gate25_generation *info = instance->generation.memory;
	struct ingress_bpf *skeleton;
	int error;

	libbpf_listen();
	skeleton = ingress_bpf__open();
	if (!skeleton)
		return -errno;
	skeleton->rodata->settings = info->settings;
	skeleton->rodata->layout = info->table;
	memcpy(skeleton->rodata->port_services, generation->port_services,
	       sizeof(skeleton->rodata->port_services));
	error = program_maps_use(skeleton->obj, guard, &instance->maps);
	if (!error)
		error = ingress_bpf__load(skeleton);
	if (!error)
		error = program_keep(skeleton->progs.ingress, &instance->prog_fd,
				     &instance->prog_id);
	if (error)
		log_error("the kernel refuses the program for %s: %s; %s", instance->iface,
			  strerror(-error), libbpf_said());
	ingress_bpf__destroy(skeleton);
	return error;
}

static struct instance *instance_new(const char *iface)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance)
		return NULL;
	snprintf(instance->iface, sizeof(instance->iface), "%s", iface);
	instance->prog_fd = -1;
	program_maps_init(&instance->maps);
	return instance;
}

int instance_load(struct guard *guard, struct generation *generation, const char *iface,
		  struct instance **out)
{
	struct instance *instance;
	int error, slot;

	slot = iface_slot_take(guard, iface, (const char(*)[16])generation->configured,
			       generation->configured_count);
	if (slot < 0)
		return slot;
	instance = instance_new(iface);
	if (!instance)
		return -ENOMEM;
	memcpy(instance->services, generation->services, sizeof(instance->services));
	error = own_maps_make(instance, generation, guard->cpus, slot);
	if (!error)
		error = program_maps_copy(&instance->maps, generation);
	if (!error)
		error = program_load(instance, guard, generation);
	if (error)
		instance_free(instance);
	else
		*out = instance;
	return error;
}

void instance_free(struct instance *instance)
{
	if (!instance)
		return;
	mapping_release(&instance->generation);
	fd_close(&instance->prog_fd);
	program_maps_close(&instance->maps);
	free(instance);
}

/* ---------------------------------------------------------------- pins */

/* `*fresh` tells whether it was not pinned before, as an instance is that comes back to its device. */
static int instance_pin(const struct guard *guard, const struct instance *instance, bool *fresh)
{
	const struct {
		const char *name;
		int fd;
	} objects[] = {
		{ "prog", instance->prog_fd },
		{ shape_table.name, instance->maps.table_fd },
		{ shape_classes.name, instance->maps.classes_fd },
		{ shape_class_hits.name, instance->maps.class_hits_fd },
		{ shape_generation.name, instance->maps.generation_fd },
	};
	char path[PATH_MAX];
	int error;

	error = pin_path(path, "%s/gen/%u", guard->pin_dir, instance->prog_id);
	if (error)
		return error;
	*fresh = mkdir(path, 0700) == 0;
	if (!*fresh) {
		error = -errno;
		if (error == -EEXIST)
			return 0;
		log_error("cannot make the directory %s: %s", path, strerror(-error));
		return error;
	}
	for (size_t i = 0; !error && i < sizeof(objects) / sizeof(objects[0]); i++) {
		error = pin_path(path, "%s/gen/%u/%s", guard->pin_dir, instance->prog_id,
				 objects[i].name);
		if (!error)
			error = object_pin(objects[i].fd, path, false);
	}
	return error;
}

/* ---------------------------------------------------------------- the overlay in another size */

/* Copies what is alive; under the lock nobody else writes. */
static int overlay_carry(int from, int to)
{
	struct gate25_overlay_entry entry;
	struct gate25_overlay_key key, *previous = NULL;
	__u64 now_ns = monotonic_ns();
	int error;

	while (bpf_map_get_next_key(from, previous, &key) == 0) {
		bool alive = false;

		previous = &key;
		if (bpf_map_lookup_elem(from, &key, &entry))
			continue;
		for (int i = 0; i < GATE25_SLOTS; i++)
			alive |= entry.slots[i].expires_ns > now_ns;
		if (!alive || bpf_map_update_elem(to, &key, &entry, BPF_ANY) == 0)
			continue;
		error = -errno;
		log_error("the overlay cannot be carried over to its new size%s; the generation "
			  "before "
			  "stays in force",
			  error == -E2BIG ? ": it holds more entries than that; allow for more" :
					    "");
		return error;
	}
	return 0;
}

static int fresh_state_carry(const struct guard *guard, const struct instance *instance)
{
	__u32 id;
	int error;

	if (instance->maps.overlay_fd < 0)
		return 0;
	error = map_id(guard->overlay_fd, &id);
	if (error || id == instance->maps.state_ids[STATE_OVERLAY])
		return error; /* carried over with another interface of the generation */
	return overlay_carry(guard->overlay_fd, instance->maps.overlay_fd);
}

static int fresh_state_pin(struct guard *guard, const struct instance *instance)
{
	const struct {
		enum state_map map;
		int fd;
	} fresh[] = { { STATE_OVERLAY, instance->maps.overlay_fd },
		      { STATE_SOURCES, instance->maps.sources_fd } };
	int error = 0;
	__u32 id;

	for (size_t i = 0; !error && i < sizeof(fresh) / sizeof(fresh[0]); i++) {
		if (fresh[i].fd < 0)
			continue;
		error = map_id(guard_private(guard)->fds[fresh[i].map], &id);
		if (error || id == instance->maps.state_ids[fresh[i].map])
			continue;
		sessions_forget(guard); /* it counts on the map before */
		error = guard_replace_map(guard, fresh[i].map, fresh[i].fd);
	}
	return error;
}

/* ---------------------------------------------------------------- attach */

static int ethernet_check(const char *iface)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		error = -errno;
	close(fd);
	if (error) {
		log_error("%s: cannot ask for its type: %s", iface, strerror(-error));
		return error;
	}
	if (request.ifr_hwaddr.sa_family == ARPHRD_ETHER)
		return 0;
	log_error("%s is no Ethernet device (type %u, as tunnels and lo are): its packets have no "
		  "Ethernet "
		  "header, so nothing could be judged there. In `interfaces:` name the Ethernet "
		  "device "
		  "that mail arrives on",
		  iface, request.ifr_hwaddr.sa_family);
	return -EMEDIUMTYPE;
}

static const char *mode_name(bool native)
{
	return native ? "native" : "generic";
}

static int foreign_refuse(const char *iface, __u32 prog_id)
{
	log_error("%s: another XDP program (id %u) is attached, and gate25 does not displace it. "
		  "See `bpftool "
		  "net show dev %s`; remove it with `ip link set dev %s xdp off`, or, where a link "
		  "holds "
		  "it, with `bpftool link detach id ID` or the tool that put it there",
		  iface, prog_id, iface, iface);
	return -EBUSY;
}

static int link_create(const struct instance *instance, unsigned int ifindex, bool native)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(instance->prog_fd, ifindex, BPF_XDP, &options);

	return fd < 0 ? -errno : fd;
}

/* A link in the wanted mode; *native tells what was got. Returns its descriptor. */
static int link_make(const struct instance *instance, unsigned int ifindex, enum attach_mode mode,
		     bool *native)
{
	const char *iface = instance->iface;
	int fd;

	*native = mode != ATTACH_GENERIC;
	fd = link_create(instance, ifindex, *native);
	if (fd < 0 && mode == ATTACH_AUTO) {
		log_notice(
			"%s: its driver refuses native XDP (%s); taking generic mode, which guards "
			"as well and costs more",
			iface, strerror(-fd));
		*native = false;
		fd = link_create(instance, ifindex, false);
	}
	if (fd == -EEXIST)
		log_error("%s: XDP runs already on a device above it, or in the other mode; name "
			  "that "
			  "device in `interfaces:` instead",
			  iface);
	else if (fd < 0)
		log_error("%s: cannot attach in %s mode: %s%s", iface, mode_name(*native),
			  strerror(-fd),
			  mode == ATTACH_NATIVE ? "; `mode: auto` takes generic where the driver "
						  "has no native XDP" :
						  "");
	return fd;
}

/* Makes a link and pins it at `path`, where nothing is. */
static int link_fresh(const struct instance *instance, unsigned int ifindex, enum attach_mode mode,
		      const char *path)
{
	__u32 foreign = 0;
	bool native;
	int fd, error;

	if (xdp_query(ifindex, &foreign, &native) == 0 && foreign)
		return foreign_refuse(instance->iface, foreign);
	fd = link_make(instance, ifindex, mode, &native);
	if (fd < 0)
		return fd;
	error = object_pin(fd, path, false);
	close(fd); /* without a pin this takes the program off again */
	if (!error)
		log_notice("%s: guarded, in %s mode", instance->iface, mode_name(native));
	return error;
}

/*
 * The mode is a property of the link. The other one is got by a new link only, and both cannot be there at
 * once: for some milliseconds all passes. What is refused must not leave the interface unguarded.
 */
static int link_switch_mode(const struct instance *instance, struct pinned_link *link,
			    unsigned int ifindex, enum attach_mode mode, const char *path)
{
	bool had_native = mode == ATTACH_GENERIC;
	int error;

	log_notice("%s: changing from %s to %s mode; for some milliseconds all passes",
		   instance->iface, mode_name(had_native), mode_name(!had_native));
	if (bpf_link_detach(link->fd)) {
		error = -errno;
		log_error("%s: cannot detach: %s", instance->iface, strerror(-error));
		return error;
	}
	unlink(path);
	error = link_fresh(instance, ifindex, mode, path);
	if (!error)
		return 0;
	log_warning("%s: stays in %s mode", instance->iface, mode_name(had_native));
	return link_fresh(instance, ifindex, had_native ? ATTACH_NATIVE : ATTACH_GENERIC, path);
}

static int link_update(const struct instance *instance, struct pinned_link *link,
		       unsigned int ifindex, enum attach_mode mode, const char *path)
{
	__u32 prog_id;
	bool native;
	int error;

	if (link->ifindex == ifindex && mode != ATTACH_AUTO &&
	    xdp_query(ifindex, &prog_id, &native) == 0 && native != (mode == ATTACH_NATIVE))
		return link_switch_mode(instance, link, ifindex, mode, path);
	if (link->ifindex == ifindex) {
		if (bpf_link_update(link->fd, instance->prog_fd, NULL) == 0)
			return 0;
		error = -errno;
		if (error != -ENOLINK) {
			log_error("%s: cannot put the new generation in force: %s; the one before "
				  "stays",
				  instance->iface, strerror(-error));
			return error;
		}
	}
	/* Its device is gone, or was renamed and another one has the name now. */
	unlink(path);
	return link_fresh(instance, ifindex, mode, path);
}

static int link_put(const struct guard *guard, const struct instance *instance,
		    unsigned int ifindex, enum attach_mode mode)
{
	struct pinned_link link;
	char path[PATH_MAX];
	int error = link_pin_path(guard, instance->iface, path);

	if (error)
		return error;
	error = pinned_link_open(guard, instance->iface, &link);
	if (error == -ENOENT)
		return link_fresh(instance, ifindex, mode, path);
	if (error) {
		log_error("cannot open %s: %s", path, strerror(-error));
		return error;
	}
	error = link_update(instance, &link, ifindex, mode, path);
	close(link.fd);
	return error;
}

int instance_attach(struct guard *guard, struct instance *instance, enum attach_mode mode)
{
	const struct gate25_generation *info = instance->generation.memory;
	unsigned int ifindex = if_nametoindex(instance->iface);
	bool fresh = false;
	int error;

	if (!ifindex) {
		log_warning("%s: no such interface; it is guarded as soon as it is there",
			    instance->iface);
		return -ENODEV;
	}
	if (info->harvested != HARVEST_NONE || !program_is_current(guard, &instance->maps) ||
	    !slots_confirm(guard, info->settings.iface, instance->iface,
			   (const char(*)[GATE25_NAME])instance->services)) {
		log_notice("%s: the guard was unloaded or loaded anew while this generation was "
			   "being made; "
			   "it is not put in force",
			   instance->iface);
		return -ESTALE;
	}
	error = ethernet_check(instance->iface);
	if (!error)
		error = fresh_state_carry(guard, instance);
	if (!error)
		error = instance_pin(guard, instance, &fresh);
	if (!error)
		error = link_put(guard, instance, ifindex, mode);
	if (error) {
		if (fresh)
			instance_unpin(guard->pin_dir, instance->prog_id);
		return error;
	}
	return fresh_state_pin(guard, instance);
}
