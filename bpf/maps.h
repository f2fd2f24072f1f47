/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps, by the names and layouts of gate25.h. User space sets the sizes that depend on machine
 * and configuration before it loads; here they are only valid.
 *
 * All arrays are mmapable: user space reads and fills them without system calls, values start at a
 * page, and so a value of 64 bytes is one cache line.
 */
#ifndef GATE25_MAPS_H
#define GATE25_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "gate25.h"

struct table_line {
	__u8 bytes[64];
};

#define MAP_ARRAY(map_name, value_type, entries)                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, entries);                                                      \
		__type(key, __u32);                                                                \
		__type(value, value_type);                                                         \
	} map_name SEC(".maps") __weak

/* of state: shared by all generations, pinned */
MAP_ARRAY(names, struct gate25_names, 1);
MAP_ARRAY(counters, struct gate25_counter, 1);
MAP_ARRAY(cpu_state, struct gate25_cpu_state, 1);
MAP_ARRAY(sources, struct gate25_source_line, 1);
MAP_ARRAY(list_totals, struct gate25_list_total, GATE25_LIST_IDS);
MAP_ARRAY(agent_errors, __u64, GATE25_ERRORS);

/*
 * What is one value is a variable, which a program reads without a look-up. It is an array of one
 * element all the same; its name here is that of the section, `.data.control`.
 */
#define MAP_VALUE(map_name, value_type) value_type map_name __weak SEC(".data." #map_name) = {}

MAP_VALUE(control, struct gate25_control);
MAP_VALUE(filter, struct gate25_filter);
MAP_VALUE(secret, struct gate25_secret);
MAP_VALUE(spent, struct gate25_spent);
MAP_VALUE(repeats, struct gate25_repeats);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* an update is seen whole or not at all */
	__uint(max_entries, 65536);
	__type(key, struct gate25_overlay_key);
	__type(value, struct gate25_overlay_entry);
} overlay SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps") __weak;

/* of the generation */
MAP_ARRAY(table, struct table_line, 1);
MAP_ARRAY(classes, struct gate25_class, 1);

/* of the program instance */
MAP_ARRAY(class_hits, __u64, 8);
MAP_ARRAY(generation, struct gate25_generation, 1);
MAP_VALUE(known, struct gate25_known);

#endif
