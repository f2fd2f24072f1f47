/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files behind dataplane.h share: maps.c (kernel maps and their pins), guard.c (maps of state),
 * slots.c (who owns which slot), generation.c, program.c (what all programs need to be loaded), instance.c (load, pin,
 * attach), sessions.c (the program that counts connections), attachments.c (links), harvest.c (views, class hits).
 * Nobody else includes this, but for the tests.
 */
#ifndef GATE25_DATAPLANE_INTERNAL_H
#define GATE25_DATAPLANE_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>

#include "user/dataplane.h"

/* A kind of map, as it is created and as a pinned one must be. */
struct map_shape {
	const char *name; /* of the map and of its pin */
	enum bpf_map_type type;
	__u32 key_size, value_size;
	__u32 flags;
};

/* The maps of a program instance. class_hits and generation are its own, the others the generation's. */
extern const struct map_shape shape_table, shape_classes, shape_class_hits, shape_generation;

/* The maps of state, pinned in pin_dir itself. */
enum state_map {
	STATE_CONTROL,
	STATE_COUNTERS,
	STATE_CPU_STATE,
	STATE_SOURCES,
	STATE_REPEATS,
	STATE_SPENT,
	STATE_FILTER,
	STATE_TOTALS,
	STATE_AGENT_ERRORS,
	STATE_SECRET,
	STATE_OVERLAY,
	STATE_EVENTS,
	STATE_NAMES, /* the last that is made: where it is pinned, all are */
	STATE_MAPS
};
extern const struct map_shape state_shapes[STATE_MAPS];

/* Some memory of a map, shared with the kernel. */
struct mapping {
	void *memory; /* NULL: none */
	size_t bytes; /* rounded up to pages */
};

struct guard_private {
	struct guard public; /* first */
	int fds[STATE_MAPS];
	struct mapping mappings[STATE_MAPS];
	/* interfaces of the configuration, if guard_create() was given one: they keep their slots */
	char configured[GATE25_IFACES][16];
	unsigned int configured_count;
};

static inline struct guard_private *guard_private(const struct guard *guard)
{
	return (struct guard_private *)guard;
}

/* ---- maps.c */

/* 0, or -errno with the reason logged. `*fd` is left alone on failure. */
int map_create(const struct map_shape *shape, __u32 max_entries, int *fd);
/* -errno of the kernel, nothing logged: what a missing pin means is known by the caller. */
int map_open(const char *path, int *fd);
int map_info(int fd, struct bpf_map_info *info);
int map_id(int fd, __u32 *id);
bool map_has_shape(const struct bpf_map_info *info, const struct map_shape *shape);
/* `protection` as in mmap(2). Logs the reason of a failure. */
int map_map(int fd, int protection, struct mapping *out);
void mapping_release(struct mapping *mapping);
/* Creates an array and fills its first `count` elements. */
int map_create_filled(const struct map_shape *shape, __u32 max_entries, const void *elements,
		      size_t count, int *fd);
/* Pins; logs the reason of a failure. Replaces what is pinned there, atomically, if `replace`. */
int object_pin(int fd, const char *path, bool replace);
/* "-ENAMETOOLONG", or 0 with the path written. */
int pin_path(char path[static PATH_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void fd_close(int *fd);
/* The last line that libbpf or the verifier said in this thread, for the message of a failure; "" if none. */
const char *libbpf_said(void);
void libbpf_listen(void);

/* ---- guard.c */

__u32 sources_entries(const struct config *config);
/* Puts a fresh map of state (another size) in the place of the pinned one. */
int guard_replace_map(struct guard *guard, enum state_map map, int fd);

/* ---- slots.c */

/* One process at a time changes `names`; held for microseconds. A descriptor to close, or -errno. */
int names_lock(const struct guard *guard);
int iface_slot_take(struct guard *guard, const char *name, const char (*configured)[16],
		    unsigned int configured_count);
/* Do the slots belong to whom the instance takes them to belong to? Free ones are given back. */
bool slots_confirm(struct guard *guard, int iface_slot, const char *iface,
		   const char (*services)[GATE25_NAME]);
/* Frees the slots of services that are in none of `services` (bit per slot). */
void service_slots_free(struct guard *guard, __u8 services);

/* ---- generation.c */

struct generation {
	struct gate25_generation info;
	int table_fd, classes_fd;
	int overlay_fd, sources_fd; /* fresh maps of another size, or -1: those that are pinned */
	__u8 *port_services;	    /* 65,536, bit per service slot */
	char services[GATE25_SERVICES][GATE25_NAME]; /* by slot */
	char configured[GATE25_IFACES][16];
	unsigned int configured_count;
};

/* ---- program.c */

/* The maps that a program of a generation is loaded with. */
struct program_maps {
	int table_fd, classes_fd;
	int class_hits_fd, generation_fd; /* of an instance's own; -1: it has none */
	int overlay_fd, sources_fd;	  /* as in struct generation */
	__u32 state_ids[STATE_MAPS];	  /* of the maps of state that it uses */
};
void program_maps_init(struct program_maps *maps);
/* Handles of our own to the generation's maps. */
int program_maps_copy(struct program_maps *maps, const struct generation *generation);
void program_maps_close(struct program_maps *maps);
/* Before it is loaded: makes the maps of the object ours, and notes `state_ids`. */
int program_maps_use(const struct bpf_object *object, const struct guard *guard,
		     struct program_maps *maps);
/* After it was loaded: a handle of our own, and its id. */
int program_keep(const struct bpf_program *program, int *fd, __u32 *id);
/* The maps of state that it uses are those that are pinned, or are going to replace them. */
bool program_is_current(const struct guard *guard, const struct program_maps *maps);

/* ---- instance.c */

struct instance {
	char iface[16];
	__u32 prog_id;
	int prog_fd;
	struct program_maps maps;
	char services[GATE25_SERVICES][GATE25_NAME]; /* by slot */
	struct mapping generation;
};

/* ---- sessions.c */

/* No service is counted by connections, and what is attached counts for nobody. */
void sessions_forget(struct guard *guard);
/* Takes off what is pinned there. */
void sessions_unpin(const char *pin_dir);

/* ---- attachments.c */

/* A pinned link. */
struct pinned_link {
	int fd;
	__u32 prog_id;
	unsigned int ifindex; /* 0: its device is gone, or it was detached by force */
};
int link_pin_path(const struct guard *guard, const char *iface, char path[static PATH_MAX]);
/* -ENOENT: no link is pinned for that interface. */
int pinned_link_open(const struct guard *guard, const char *iface, struct pinned_link *out);
/* What XDP runs on a device: 0 and false when none. */
int xdp_query(unsigned int ifindex, __u32 *prog_id, bool *native);
/* The file name of an interface in bpffs, which refuses dots: '.' and '%' are written %2E and %25. */
void iface_encode(const char *iface, char name[static 48]);
int iface_decode(const char *name, char iface[static 16]);

/* ---- harvest.c */

/* Ids of the instances pinned under gen/, and of those that links run. Return how many or -errno. */
#define INSTANCES_MAX 256
int instances_pinned(const char *pin_dir, __u32 ids[INSTANCES_MAX]);
int instance_unpin(const char *pin_dir, __u32 prog_id);
/* Maps one of an instance's maps from its pin. -ENOENT; -EPROTO if it has another shape. */
int instance_map(const char *pin_dir, __u32 prog_id, const struct map_shape *shape, int protection,
		 struct mapping *out);
/*
 * The three steps of a harvest, each of which may be the last that a killed process did: write down
 * what the totals will be (harvested: HARVEST_NOTED), make them so, mark it (HARVEST_DONE).
 */
enum harvest_state { HARVEST_NONE = 0, HARVEST_NOTED = 1, HARVEST_DONE = 2 };
void harvest_note(const struct guard *guard, struct gate25_generation *generation,
		  const __u64 *class_hits, const struct gate25_class *classes);
void harvest_apply(struct guard *guard, struct gate25_generation *generation);

#endif
